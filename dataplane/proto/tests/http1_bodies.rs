//! The body decoder against a naive one, in pieces and in place, at every cut.

#![allow(clippy::unwrap_used, reason = "helpers of tests stop where a test would")]

use proptest::prelude::*;
use sluice_proto::http1::fuzz::{BodyOutcome, body_cut, fuzz_chunked, fuzz_length};
use sluice_proto::http1::{BodyDecoder, BodyError, Framing};

/// The chunk grammar of RFC 9112 §7.1 read off the page, over a whole body: `Some((data, length))` if `bytes` begins
/// with one. Knows neither limits nor pieces.
fn naive(bytes: &[u8]) -> Option<(Vec<u8>, usize)> {
    let mut data = Vec::new();
    let mut at = 0;
    loop {
        let line_len = bytes[at..].windows(2).position(|two| two == b"\r\n")?;
        let line = &bytes[at..at + line_len];
        at += line_len + 2;
        let digits = line.iter().take_while(|b| b.is_ascii_hexdigit()).count();
        if !(1..=16).contains(&digits) || !naive_extensions(&line[digits..]) {
            return None;
        }
        let size = usize::from_str_radix(std::str::from_utf8(&line[..digits]).unwrap(), 16).ok()?;
        if size == 0 {
            break;
        }
        data.extend_from_slice(bytes.get(at..at.checked_add(size)?)?);
        at += size;
        if bytes.get(at..at + 2)? != b"\r\n" {
            return None;
        }
        at += 2;
    }
    loop {
        let line_len = bytes[at..].windows(2).position(|two| two == b"\r\n")?;
        let line = &bytes[at..at + line_len];
        at += line_len + 2;
        if line.is_empty() {
            return Some((data, at));
        }
        let colon = line.iter().position(|&b| b == b':')?;
        let (name, value) = (&line[..colon], &line[colon + 1..]);
        let framing = [
            "content-length",
            "transfer-encoding",
            "host",
            "connection",
            "upgrade",
            "trailer",
            "te",
            "expect",
        ];
        if name.is_empty()
            || !name.iter().all(|&b| token_byte(b))
            || !value.iter().all(|&b| b == b'\t' || (b >= b' ' && b != 0x7f))
            || framing.iter().any(|f| name.eq_ignore_ascii_case(f.as_bytes()))
        {
            return None;
        }
    }
}

fn token_byte(b: u8) -> bool {
    b.is_ascii_alphanumeric() || b"!#$%&'*+-.^_`|~".contains(&b)
}

/// `*( BWS ";" BWS chunk-ext-name [ BWS "=" BWS chunk-ext-val ] )`, by recursive descent.
fn naive_extensions(text: &[u8]) -> bool {
    let blanks = |text: &[u8]| text.iter().take_while(|&&b| b == b' ' || b == b'\t').count();
    let token = |text: &[u8]| text.iter().take_while(|&&b| token_byte(b)).count();
    if text.is_empty() {
        return true;
    }
    let rest = &text[blanks(text)..];
    let Some(rest) = rest.strip_prefix(b";") else {
        return false;
    };
    let rest = &rest[blanks(rest)..];
    let name = token(rest);
    if name == 0 {
        return false;
    }
    let rest = &rest[name..];
    let Some(value) = rest[blanks(rest)..].strip_prefix(b"=") else {
        return naive_extensions(rest);
    };
    let value = &value[blanks(value)..];
    let Some(quoted) = value.strip_prefix(b"\"") else {
        let len = token(value);
        return len > 0 && naive_extensions(&value[len..]);
    };
    let mut at = 0;
    while let Some(&b) = quoted.get(at) {
        match b {
            b'"' => return naive_extensions(&quoted[at + 1..]),
            b'\\'
                if quoted
                    .get(at + 1)
                    .is_some_and(|&b| b == b'\t' || (b >= b' ' && b != 0x7f)) =>
            {
                at += 2;
            }
            b'\t' | b' '..=b'[' | b']'..=b'~' | 0x80.. => at += 1,
            _ => return false,
        }
    }
    false
}

#[track_caller]
fn agree(bytes: &[u8]) {
    let BodyOutcome { body, consumed, end } = body_cut(Framing::Chunked, bytes, bytes.len().max(1));
    match (naive(bytes), end) {
        (Some(expected), Ok(true)) => assert_eq!((body, consumed), expected, "{}", bytes.escape_ascii()),
        (None, Ok(false) | Err(_)) => {}
        (Some(_), Err(BodyError::ChunkOverhead | BodyError::ChunkTooLarge)) => {}
        (expected, end) => panic!("naive {expected:?}, ours {end:?}: {}", bytes.escape_ascii()),
    }
    fuzz_chunked(bytes);
}

fn extension() -> impl Strategy<Value = String> {
    prop_oneof![
        6 => Just(String::new()),
        1 => "( |\t){0,2};( |\t){0,2}[a-z]{1,4}",
        1 => "( |\t){0,2};( |\t){0,2}[a-z]{1,4}( |\t){0,2}=( |\t){0,2}[!-~]{0,4}",
        1 => ";[a-z]{1,3}=\"([ -!#-\\[\\]-~]|\\\\[ -~]){0,6}\"",
        1 => "[ ;=\"a\\\\\t]{0,6}",
    ]
}

fn chunked_body() -> impl Strategy<Value = Vec<u8>> {
    let chunk = (
        prop::collection::vec(any::<u8>(), 1..40),
        0..3usize,
        extension(),
        any::<bool>(),
    );
    let trailer = "[A-Za-z-]{0,5}: ?[ -~]{0,8}";
    (
        prop::collection::vec(chunk, 0..6),
        extension(),
        prop::collection::vec(trailer, 0..3),
    )
        .prop_map(|(chunks, last, trailers)| {
            let mut out = Vec::new();
            for (data, zeros, extension, upper) in chunks {
                let size = if upper {
                    format!("{:X}", data.len())
                } else {
                    format!("{:x}", data.len())
                };
                out.extend_from_slice(format!("{}{size}{extension}\r\n", "0".repeat(zeros)).as_bytes());
                out.extend_from_slice(&data);
                out.extend_from_slice(b"\r\n");
            }
            out.extend_from_slice(format!("0{last}\r\n").as_bytes());
            for line in trailers {
                out.extend_from_slice(format!("{line}\r\n").as_bytes());
            }
            out.extend_from_slice(b"\r\n");
            out
        })
}

proptest! {
    #[test]
    fn agrees_with_the_naive_decoder(body in chunked_body(), tail in prop::collection::vec(any::<u8>(), 0..8)) {
        agree(&[body, tail].concat());
    }

    #[test]
    fn agrees_after_a_mutation(body in chunked_body(), at in any::<prop::sample::Index>(), byte in prop_oneof![
        Just(b'\r'), Just(b'\n'), Just(b' '), Just(b';'), Just(b'0'), Just(b'1'), Just(b'"'), Just(b':'), any::<u8>()
    ], how in 0..3u8) {
        let mut body = body;
        let at = at.index(body.len());
        match how {
            0 => body[at] = byte,
            1 => body.insert(at, byte),
            _ => { body.remove(at); }
        }
        agree(&body);
    }

    #[test]
    fn agrees_on_noise(noise in prop::collection::vec(prop::sample::select(b"015aF;= \t\"\\:\r\nx\0\xff".to_vec()), 0..40)) {
        agree(&noise);
    }

    #[test]
    fn lengths_and_closes(data in prop::collection::vec(any::<u8>(), 0..200), length in 0u16..250) {
        fuzz_length(&[&length.to_le_bytes()[..], &data].concat());
    }

    #[test]
    fn every_pair_of_cuts(body in chunked_body(), a in any::<prop::sample::Index>(), b in any::<prop::sample::Index>()) {
        let (a, b) = (a.index(body.len()), b.index(body.len()));
        let (a, b) = (a.min(b), a.max(b));
        let whole = body_cut(Framing::Chunked, &body, body.len());
        let mut decoder = BodyDecoder::new(Framing::Chunked);
        let mut data = Vec::new();
        let mut end = Ok(());
        for piece in [&body[..a], &body[a..b], &body[b..]] {
            let mut piece = piece.to_vec();
            match decoder.decode_in_place(&mut piece) {
                Ok(decoded) => data.extend_from_slice(&piece[..decoded.body]),
                Err(error) => { end = Err(error); break; }
            }
        }
        prop_assert_eq!(end.map(|()| decoder.is_done()), whole.end);
        if whole.end.is_ok() {
            prop_assert_eq!(data, whole.body);
        }
    }
}

#[test]
fn pieces_are_slices_of_the_buffer() {
    let body = b"5\r\nhello\r\n3;x\r\nabc\r\n0\r\n\r\nnext";
    let mut decoder = BodyDecoder::new(Framing::Chunked);
    let first = decoder.decode(body).unwrap();
    assert_eq!((first.data, first.consumed), (&b"hello"[..], 8));
    assert_eq!(first.data.as_ptr(), body[3..].as_ptr());
    let second = decoder.decode(&body[8..]).unwrap();
    assert_eq!((second.data, second.consumed), (&b"abc"[..], 10));
    let last = decoder.decode(&body[18..]).unwrap();
    assert_eq!((last.data, last.consumed, decoder.is_done()), (&b""[..], 7, true));
    let none = decoder.decode(&body[25..]).unwrap();
    assert_eq!((none.data, none.consumed), (&b""[..], 0));
    assert_eq!(decoder.finish_eof(), Ok(()));
}

#[test]
fn in_place_compacts_and_leaves_the_next_message() {
    let mut buffer = b"5\r\nhello\r\n3;x\r\nabc\r\n0\r\nT: v\r\n\r\nGET / HTTP/1.1".to_vec();
    let mut decoder = BodyDecoder::new(Framing::Chunked);
    let decoded = decoder.decode_in_place(&mut buffer).unwrap();
    assert_eq!(&buffer[..decoded.body], b"helloabc");
    assert_eq!(&buffer[decoded.consumed..], b"GET / HTTP/1.1");
    assert!(decoder.is_done());

    let mut buffer = b"hello world".to_vec();
    let mut decoder = BodyDecoder::new(Framing::Length(5));
    let decoded = decoder.decode_in_place(&mut buffer).unwrap();
    assert_eq!(
        (decoded.body, decoded.consumed, decoder.remaining()),
        (5, 5, Some(0))
    );
    let mut decoder = BodyDecoder::new(Framing::Length(50));
    let decoded = decoder.decode_in_place(&mut buffer).unwrap();
    assert_eq!(
        (decoded.body, decoded.consumed, decoder.remaining()),
        (11, 11, Some(39))
    );
    let mut decoder = BodyDecoder::new(Framing::UntilClose);
    let decoded = decoder.decode_in_place(&mut buffer).unwrap();
    assert_eq!(
        (decoded.body, decoded.consumed, decoder.remaining()),
        (11, 11, None)
    );
    let decoded = decoder.decode_in_place(&mut []).unwrap();
    assert_eq!((decoded.body, decoded.consumed), (0, 0));
}

#[test]
fn ends() {
    let finish = |framing: Framing, data: &[u8]| {
        let mut decoder = BodyDecoder::new(framing);
        let result = decoder.decode_in_place(&mut data.to_vec());
        (
            result.is_ok(),
            decoder.is_done(),
            decoder.finish_eof(),
            decoder.is_done(),
        )
    };
    assert_eq!(finish(Framing::None, b"x"), (true, true, Ok(()), true));
    assert_eq!(finish(Framing::Length(0), b""), (true, true, Ok(()), true));
    assert_eq!(
        finish(Framing::Length(1), b""),
        (true, false, Err(BodyError::Truncated), false)
    );
    assert_eq!(finish(Framing::UntilClose, b"x"), (true, false, Ok(()), true));
    assert_eq!(finish(Framing::Chunked, b"0\r\n\r\n"), (true, true, Ok(()), true));
    assert_eq!(
        finish(Framing::Chunked, b"0\r\n"),
        (true, false, Err(BodyError::Truncated), false)
    );
    assert_eq!(
        finish(Framing::Chunked, b"x"),
        (false, false, Err(BodyError::ChunkSize), false)
    );
    // After the end of the connection nothing is decoded any more.
    let mut decoder = BodyDecoder::new(Framing::Length(1));
    assert_eq!(decoder.finish_eof(), Err(BodyError::Truncated));
    assert_eq!(decoder.decode(b"x"), Err(BodyError::Truncated));
}

#[test]
fn chunks_up_to_the_largest() {
    let mut decoder = BodyDecoder::new(Framing::Chunked);
    assert_eq!(
        decoder.decode(b"20000000000000\r\nx").map(|piece| piece.data),
        Ok(&b"x"[..])
    );
    let mut decoder = BodyDecoder::new(Framing::Chunked);
    assert_eq!(
        decoder.decode(b"20000000000001\r\nx"),
        Err(BodyError::ChunkTooLarge)
    );
    for error in BodyError::ALL {
        assert!([400, 413, 431].contains(&error.status()), "{error:?}");
    }
}
