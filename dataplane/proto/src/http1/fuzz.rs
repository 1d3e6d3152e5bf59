//! Entry points for fuzzing, called by unit tests too. Each panics if an invariant of the codec is broken.

use super::emit;
use super::query::without_credentials;
use super::{
    BodyDecoder, BodyError, Framing, HEAD_BYTES_CEILING, HeadLimits, HeadScanner, Headers, Kind, LENGTH_MAX,
    Method, Reject, RequestHead, parse_request, parse_response,
};

/// Request heads: every cut gives the same outcome, spans lie in the head, a head written anew from what was parsed
/// means the same, and what is accepted obeys the rules that make requests unambiguous.
pub fn fuzz_head(data: &[u8]) {
    let limits = HeadLimits::default();
    let whole = scan_cut(Kind::Request, data, data.len().max(1));
    assert_eq!(
        whole,
        scan_cut(Kind::Request, data, 1),
        "the cut decides about the head"
    );
    let split = data.len() / 2;
    assert_eq!(
        whole,
        scan_cut(Kind::Request, data, split.max(1)),
        "the cut decides about the head"
    );
    super::credential::fuzz_credential(data);
    super::served::fuzz_served(data);
    // The parser alone must be as strict as scanner and parser together.
    if let Ok(parsed) = parse_request(data, &limits) {
        assert_eq!(
            whole,
            Ok(Some(data.len())),
            "the parser accepts what the scanner refuses"
        );
        check_request(data, &parsed);
    }
    let Ok(Some(len)) = whole else { return };
    assert!(
        len <= data.len() && len <= HEAD_BYTES_CEILING,
        "the head is longer than what was read"
    );
    let head = data.get(..len).unwrap_or_default();
    if let Ok(parsed) = parse_request(head, &limits) {
        check_request(head, &parsed);
    }
}

/// Answer heads, for every kind of request.
pub fn fuzz_answer(data: &[u8]) {
    let whole = scan_cut(Kind::Response, data, data.len().max(1));
    assert_eq!(
        whole,
        scan_cut(Kind::Response, data, 1),
        "the cut decides about the head"
    );
    let Ok(Some(len)) = whole else { return };
    let head = data.get(..len).unwrap_or_default();
    for method in [Method::Get, Method::Head, Method::Post] {
        let Ok(parsed) = parse_response(head, method, &HeadLimits::default()) else {
            continue;
        };
        check_headers(head, &parsed.headers);
        assert!(
            (100..=599).contains(&parsed.status) && parsed.status != 101,
            "an impossible status"
        );
        let bodiless = method == Method::Head || parsed.status < 200 || matches!(parsed.status, 204 | 304);
        assert!(
            !bodiless || parsed.framing == Framing::None,
            "a body where none can be"
        );
        assert!(
            !parsed.keep_alive || parsed.framing != Framing::UntilClose,
            "a closed connection is kept"
        );
        check_framing(head, &parsed.headers, parsed.framing, bodiless);
    }
}

/// Chunked bodies: every cut and both ways of decoding give the same bytes, the same end and the same error, and what
/// is decoded can be sent on and decoded again.
pub fn fuzz_chunked(data: &[u8]) {
    let whole = body_cut(Framing::Chunked, data, data.len().max(1));
    assert_eq!(
        whole,
        body_cut(Framing::Chunked, data, 1),
        "the cut decides about the body"
    );
    assert_eq!(
        whole,
        body_cut(Framing::Chunked, data, 3),
        "the cut decides about the body"
    );
    assert_in_place(Framing::Chunked, data, &whole);
    if whole.end == Ok(true) {
        let mut again = Vec::new();
        for chunk in whole.body.chunks(7) {
            let mut header = [0u8; emit::CHUNK_HEADER_BYTES_MAX];
            let len = emit::chunk_header(chunk.len(), &mut header);
            again.extend_from_slice(header.get(..len).unwrap_or_default());
            again.extend_from_slice(chunk);
            again.extend_from_slice(emit::CRLF);
        }
        again.extend_from_slice(emit::LAST_CHUNK);
        let second = body_cut(Framing::Chunked, &again, 5);
        assert_eq!(
            (second.end, second.consumed),
            (Ok(true), again.len()),
            "our own chunks are refused"
        );
        assert_eq!(second.body, whole.body, "our own chunks hold other bytes");
    }
}

/// Bodies of a declared length and those that end with the connection. The first two bytes are the length.
pub fn fuzz_length(data: &[u8]) {
    let [low, high, body @ ..] = data else { return };
    let length = usize::from(u16::from_le_bytes([*low, *high]));
    for framing in [Framing::None, Framing::Length(length as u64), Framing::UntilClose] {
        let whole = body_cut(framing, body, body.len().max(1));
        assert_eq!(
            whole,
            body_cut(framing, body, 1),
            "the cut decides about the body"
        );
        assert_in_place(framing, body, &whole);
        let expected = match framing {
            Framing::Length(_) => length.min(body.len()),
            Framing::UntilClose => body.len(),
            Framing::None | Framing::Chunked => 0,
        };
        assert_eq!(
            Some(whole.body.as_slice()),
            body.get(..expected),
            "the body is not what was sent"
        );
    }
}

/// Query strings: no credential is left, every other parameter keeps bytes and place, a second pass changes nothing.
pub fn fuzz_query(data: &[u8]) {
    let once = without_credentials(data);
    assert!(once.len() <= data.len(), "something was added");
    assert_eq!(without_credentials(&once), once, "a credential was left");
}

/// Whether the scanner and the parser together accept the request at the start of `data`, fed in pieces of `step`
/// bytes; and why not.
pub fn request_outcome(data: &[u8], step: usize) -> Result<Option<(usize, RequestHead)>, Reject> {
    let Some(len) = scan_cut(Kind::Request, data, step)? else {
        return Ok(None);
    };
    let head = data.get(..len).unwrap_or_default();
    parse_request(head, &HeadLimits::default()).map(|parsed| Some((len, parsed)))
}

/// What the scanner says when `data` comes in pieces of `step` bytes.
pub fn scan_cut(kind: Kind, data: &[u8], step: usize) -> Result<Option<usize>, Reject> {
    let mut scanner = HeadScanner::new(kind, HeadLimits::default());
    let mut end = 0;
    while end < data.len() {
        end = end.saturating_add(step.max(1)).min(data.len());
        let found = scanner.scan(data.get(..end).unwrap_or_default())?;
        if found.is_some() {
            return Ok(found);
        }
    }
    Ok(None)
}

/// What became of a body.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct BodyOutcome {
    /// The bytes decoded before the end or the error.
    pub body: Vec<u8>,
    /// Bytes read up to the end; what was read up to an error depends on the cut and is 0.
    pub consumed: usize,
    /// Whether the end was reached, or the error.
    pub end: Result<bool, BodyError>,
}

/// What the decoder says when `data` comes in pieces of `step` bytes.
#[must_use]
pub fn body_cut(framing: Framing, data: &[u8], step: usize) -> BodyOutcome {
    let mut decoder = BodyDecoder::new(framing);
    let (mut body, mut consumed) = (Vec::new(), 0);
    for piece in data.chunks(step.max(1)) {
        let mut rest = piece;
        while !rest.is_empty() && !decoder.is_done() {
            match decoder.decode(rest) {
                Ok(found) => {
                    assert!(found.consumed <= rest.len(), "more was consumed than given");
                    assert!(found.consumed > 0, "no progress");
                    body.extend_from_slice(found.data);
                    consumed += found.consumed;
                    rest = rest.get(found.consumed..).unwrap_or_default();
                }
                Err(error) => {
                    assert_eq!(decoder.decode(rest), Err(error), "an error is forgotten");
                    return BodyOutcome {
                        body,
                        consumed: 0,
                        end: Err(error),
                    };
                }
            }
        }
    }
    BodyOutcome {
        body,
        consumed,
        end: Ok(decoder.is_done()),
    }
}

fn assert_in_place(framing: Framing, data: &[u8], expected: &BodyOutcome) {
    for step in [data.len().max(1), 1, 4] {
        let mut decoder = BodyDecoder::new(framing);
        let (mut body, mut consumed) = (Vec::new(), 0);
        let mut end = Ok(false);
        for piece in data.chunks(step) {
            let mut buf = piece.to_vec();
            match decoder.decode_in_place(&mut buf) {
                Ok(decoded) => {
                    assert!(
                        decoded.body <= decoded.consumed && decoded.consumed <= buf.len(),
                        "out of bounds"
                    );
                    assert!(
                        decoded.consumed == buf.len() || decoder.is_done(),
                        "bytes were left over"
                    );
                    body.extend_from_slice(buf.get(..decoded.body).unwrap_or_default());
                    consumed += decoded.consumed;
                }
                Err(error) => {
                    end = Err(error);
                    break;
                }
            }
        }
        if end.is_ok() {
            end = Ok(decoder.is_done());
            assert_eq!(
                (&body, consumed),
                (&expected.body, expected.consumed),
                "in place differs from in pieces"
            );
        }
        assert_eq!(end, expected.end, "in place ends otherwise than in pieces");
    }
}

fn check_headers(head: &[u8], headers: &Headers) {
    for (name, value) in headers.pairs(head) {
        assert!(
            emit::is_field(name, value),
            "a field outside the grammar was accepted"
        );
        assert!(
            !value.starts_with(b" ") && !value.ends_with(b"\t"),
            "a value was not trimmed"
        );
    }
}

fn check_framing(head: &[u8], headers: &Headers, framing: Framing, bodiless: bool) {
    let lengths = headers.find_all(head, "content-length").count();
    let codings = headers.find_all(head, "transfer-encoding").count();
    assert!(lengths + codings <= 1, "two framings were accepted");
    match framing {
        Framing::Length(length) => assert!(lengths == 1 && length <= LENGTH_MAX, "a length out of nothing"),
        Framing::Chunked => assert_eq!(codings, 1, "chunks out of nothing"),
        Framing::None | Framing::UntilClose => {
            assert!(bodiless || lengths + codings == 0, "a framing was ignored");
        }
    }
}

fn check_request(head: &[u8], parsed: &RequestHead) {
    check_headers(head, &parsed.headers);
    check_framing(head, &parsed.headers, parsed.framing, false);
    let target = parsed.target.of(head);
    assert!(
        target.starts_with(b"/") || target == b"*",
        "a target in another form"
    );
    assert!(
        target.iter().all(u8::is_ascii_graphic),
        "a target with blanks or controls"
    );
    assert!(parsed.headers.find_all(head, "host").count() <= 1, "two hosts");

    // What we would forward, parsed again, means the same.
    let mut out = Vec::with_capacity(head.len());
    emit::request_line(&mut out, parsed.method, target);
    emit::field(&mut out, b"host", b"provider.example");
    emit::framing(&mut out, parsed.framing);
    for (name, value) in parsed.end_to_end(head) {
        emit::field(&mut out, name, value);
    }
    emit::end_head(&mut out);
    let roomy = HeadLimits {
        header_count_max: 256,
        ..HeadLimits::default()
    };
    match parse_request(&out, &roomy) {
        Ok(again) => {
            assert_eq!(
                (again.method, again.framing),
                (parsed.method, parsed.framing),
                "another request was emitted"
            );
            assert_eq!(again.target.of(&out), target, "another target was emitted");
            assert!(
                again.end_to_end(&out).eq(parsed.end_to_end(head)),
                "other fields were emitted"
            );
        }
        // Our own fields may push a head over the limit that it just met.
        Err(error) => assert_eq!(error, Reject::HeadTooLarge, "what is forwarded is refused"),
    }
}
