//! Request vectors by class: each whole, cut at every byte, byte by byte, pipelined first and pipelined second.
//!
//! A vector is bytes on a connection. `serve` stands for the shell: it scans, parses, reads the body, goes on with
//! what follows, and ends at the first fault. Requests served before the fault and the fault itself must not depend
//! on the cut.

#![allow(clippy::unwrap_used, reason = "helpers of tests stop where a test would")]

use std::fmt::Write as _;

use sluice_proto::http1::{
    BodyDecoder, BodyError, Framing, HeadLimits, HeadScanner, Kind, Reject, Version, parse_request,
};

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Fault {
    Head(Reject),
    Body(BodyError),
}

#[derive(Clone, Debug, PartialEq, Eq, Default)]
struct Served {
    /// One line a request, as the expectations spell it.
    requests: Vec<String>,
    fault: Option<Fault>,
    /// Bytes of an unfinished message that are left.
    unfinished: usize,
}

/// Everything that the connection brings about, when its bytes come in `pieces`.
fn serve<'a>(pieces: impl IntoIterator<Item = &'a [u8]>) -> Served {
    let limits = HeadLimits::default();
    let mut served = Served::default();
    let mut buffer: Vec<u8> = Vec::new();
    let mut scanner = HeadScanner::new(Kind::Request, limits);
    let mut open: Option<(String, Vec<u8>, BodyDecoder)> = None;
    let mut messages_begun = 0usize;
    for piece in pieces {
        buffer.extend_from_slice(piece);
        loop {
            if let Some((line, body, decoder)) = &mut open {
                let piece = match decoder.decode(&buffer) {
                    Ok(piece) => piece,
                    Err(error) => {
                        served.fault = Some(Fault::Body(error));
                        return served;
                    }
                };
                body.extend_from_slice(piece.data);
                let (consumed, stalled) = (piece.consumed, piece.data.is_empty());
                buffer.drain(..consumed);
                if decoder.is_done() {
                    let mut line = std::mem::take(line);
                    if !body.is_empty() {
                        write!(line, " {}", String::from_utf8_lossy(body)).unwrap();
                    }
                    served.requests.push(line);
                    open = None;
                    scanner.reset();
                } else if stalled {
                    break;
                }
                continue;
            }
            match scanner.scan(&buffer).and_then(|found| match found {
                None => Ok(None),
                Some(len) => parse_request(&buffer[..len], &limits).map(|head| Some((len, head))),
            }) {
                Err(reject) => {
                    served.fault = Some(Fault::Head(reject));
                    return served;
                }
                Ok(None) => break,
                Ok(Some((len, head))) => {
                    messages_begun += 1;
                    let bytes = &buffer[..len];
                    let mut line = format!(
                        "{} {}",
                        head.method.as_str(),
                        std::str::from_utf8(head.target.of(bytes)).unwrap()
                    );
                    let marks = [
                        (head.version == Version::Http10, " 1.0"),
                        (!head.keep_alive, " close"),
                        (head.expect_continue, " continue?"),
                        (head.upgrade, " upgrade?"),
                        (head.framing == Framing::Chunked, " chunked"),
                    ];
                    marks
                        .iter()
                        .filter(|(is, _)| *is)
                        .for_each(|(_, mark)| line.push_str(mark));
                    if let Framing::Length(length) = head.framing {
                        write!(line, " length={length}").unwrap();
                    }
                    open = Some((line, Vec::new(), BodyDecoder::new(head.framing)));
                    buffer.drain(..len);
                }
            }
        }
    }
    assert!(messages_begun >= served.requests.len());
    served.unfinished = buffer.len() + usize::from(open.is_some());
    served
}

/// The outcome of a vector, which every way of cutting it must share.
fn outcome(data: &[u8]) -> Served {
    let whole = serve([data]);
    if data.len() <= 2_048 {
        for cut in 1..data.len() {
            let (a, b) = data.split_at(cut);
            assert_eq!(serve([a, b]), whole, "cut at {cut}: {}", data.escape_ascii());
        }
    }
    assert_eq!(
        serve(data.chunks(1)),
        whole,
        "byte by byte: {}",
        data.escape_ascii()
    );
    whole
}

const FIRST: &[u8] = b"POST /first HTTP/1.1\r\nHost: a\r\nContent-Length: 3\r\n\r\none";
const SECOND: &[u8] = b"GET /second HTTP/1.1\r\nHost: a\r\n\r\n";

/// The vector is refused with this fault: alone, before another request, and after one.
#[track_caller]
fn refused(data: impl AsRef<[u8]>, fault: Fault) {
    let data = data.as_ref();
    let shown = data[..data.len().min(300)].escape_ascii().to_string();
    let alone = outcome(data);
    assert_eq!(
        (alone.fault, alone.requests.len()),
        (Some(fault), 0),
        "alone: {shown}"
    );
    let first = outcome(&[data, SECOND].concat());
    assert_eq!(
        (first.fault, first.requests.len()),
        (Some(fault), 0),
        "pipelined first: {shown}"
    );
    let second = outcome(&[FIRST, data].concat());
    assert_eq!(
        (second.fault, second.requests.len()),
        (Some(fault), 1),
        "pipelined second: {shown}"
    );
}

#[track_caller]
fn all_refused<T: AsRef<[u8]>>(reject: Reject, rows: &[T]) {
    for row in rows {
        refused(row, Fault::Head(reject));
    }
}

/// The vector is one request, spelled so, alone, before another request, and after one.
#[track_caller]
fn accepted(data: impl AsRef<[u8]>, expected: &str) {
    let data = data.as_ref();
    let shown = data[..data.len().min(300)].escape_ascii().to_string();
    for (before, after) in [(&b""[..], &b""[..]), (b"", SECOND), (FIRST, b""), (FIRST, SECOND)] {
        let served = outcome(&[before, data, after].concat());
        let mut lines: Vec<&str> = Vec::new();
        if !before.is_empty() {
            lines.push("POST /first length=3 one");
        }
        lines.push(expected);
        if !after.is_empty() {
            lines.push("GET /second");
        }
        assert_eq!(served.requests, lines, "{shown}");
        assert_eq!((served.fault, served.unfinished), (None, 0), "{shown}");
    }
}

/// A GET with these further field lines.
fn get(fields: impl AsRef<[u8]>) -> Vec<u8> {
    [b"GET / HTTP/1.1\r\nHost: a\r\n", fields.as_ref(), b"\r\n"].concat()
}

/// A POST with these further field lines and this body.
fn post(fields: impl AsRef<[u8]>, body: impl AsRef<[u8]>) -> Vec<u8> {
    [
        b"POST / HTTP/1.1\r\nHost: a\r\n",
        fields.as_ref(),
        b"\r\n",
        body.as_ref(),
    ]
    .concat()
}

/// A GET with this request line.
fn line(line: impl AsRef<[u8]>) -> Vec<u8> {
    [line.as_ref(), b"\r\nHost: a\r\n\r\n"].concat()
}

#[test]
fn content_length() {
    use Reject::{BodyTooLarge, ContentLength, ContentLengthRepeated, LengthRequired};
    accepted(post("Content-Length: 5\r\n", "hello"), "POST / length=5 hello");
    accepted(post("content-length:5\r\n", "hello"), "POST / length=5 hello");
    accepted(
        post("CONTENT-LENGTH: \t 5 \t \r\n", "hello"),
        "POST / length=5 hello",
    );
    accepted(post("Content-Length: 0\r\n", ""), "POST / length=0");
    accepted(post("Content-Length: 005\r\n", "hello"), "POST / length=5 hello");
    accepted(
        post("Content-Length: 00000000000000000000000000000005\r\n", "hello"),
        "POST / length=5 hello",
    );
    accepted(get("Content-Length: 0\r\n"), "GET / length=0");
    accepted(
        [&get("Content-Length: 2\r\n"), &b"hi"[..]].concat(),
        "GET / length=2 hi",
    );
    accepted(post("Content-Length: 5\r\n", "GET /"), "POST / length=5 GET /");
    accepted(
        "DELETE / HTTP/1.1\r\nHost: a\r\nContent-Length: 2\r\n\r\nhi",
        "DELETE / length=2 hi",
    );
    // Look-alikes are fields like any other.
    accepted(get("Content_Length: 5\r\n"), "GET /");
    accepted(get("X-Content-Length: 5\r\n"), "GET /");
    accepted(get("Content-Length-X: 5\r\n"), "GET /");
    let malformed = [
        "", " ", "+5", "-5", "-0", "5.0", "5,5", "5, 5", "5,", ",5", "5 5", "0x5", "5h", "five", "5e0",
        "1_000", "\"5\"", "5;", "5\t5", "0x", "0b1", "0o5", "\u{0665}", "5\u{a0}", "=5", "5:", "'5'", "$5",
        "5\\", "-", "+",
    ];
    for value in malformed {
        all_refused(
            ContentLength,
            &[post(format!("Content-Length: {value}\r\n"), "hello")],
        );
    }
    for value in [
        "9007199254740993",
        "9223372036854775808",
        "18446744073709551615",
        "18446744073709551616",
        "18446744073709551621",
        "340282366920938463463374607431768211461",
        "99999999999999999999999999999999",
    ] {
        all_refused(
            BodyTooLarge,
            &[post(format!("Content-Length: {value}\r\n"), "hello")],
        );
    }
    all_refused(
        ContentLengthRepeated,
        &[
            post("Content-Length: 5\r\nContent-Length: 5\r\n", "hello"),
            post("Content-Length: 5\r\nContent-Length: 6\r\n", "hello"),
            post("Content-Length: 0\r\ncontent-length: 5\r\n", "hello"),
            post("Content-Length: 5\r\nX: y\r\nCONTENT-LENGTH: 5\r\n", "hello"),
            post("Content-Length: 5\r\nContent-Length:\r\n", "hello"),
            post("Content-Length: x\r\nContent-Length: 5\r\n", "hello"),
        ],
    );
    for method in ["POST", "PUT", "PATCH"] {
        all_refused(LengthRequired, &[line(format!("{method} / HTTP/1.1"))]);
        all_refused(LengthRequired, &[line(format!("{method} / HTTP/1.0"))]);
    }
}

#[test]
fn largest_length_is_accepted() {
    let head = post("Content-Length: 9007199254740992\r\n", "");
    let parsed = parse_request(&head, &HeadLimits::default()).unwrap();
    assert_eq!(parsed.framing, Framing::Length(1 << 53));
}

#[test]
fn transfer_encoding() {
    use Reject::{
        ContentLengthRepeated, LengthAndChunked, TransferCoding, TransferEncoding, TransferEncodingRepeated,
        TransferEncodingVersion,
    };
    let body = "5\r\nhello\r\n0\r\n\r\n";
    for value in ["chunked", "Chunked", "CHUNKED", "cHuNkEd", "\tchunked \t"] {
        accepted(
            post(format!("Transfer-Encoding: {value}\r\n"), body),
            "POST / chunked hello",
        );
    }
    accepted(
        post("transfer-encoding:chunked\r\n", body),
        "POST / chunked hello",
    );
    accepted(
        [get("Transfer-Encoding: chunked\r\n"), body.into()].concat(),
        "GET / chunked hello",
    );
    accepted(get("Transfer_Encoding: chunked\r\n"), "GET /");
    accepted(get("X-Transfer-Encoding: chunked\r\n"), "GET /");
    accepted(get("TE: chunked\r\nConnection: TE\r\n"), "GET /");
    let malformed = [
        "",
        "identity",
        "gzip",
        "xchunked",
        "chunkedx",
        "chunked, identity",
        "chunked, gzip",
        "chunked, chunked",
        "chunked,chunked",
        "chunked,",
        ",chunked",
        ", chunked",
        "chunked;q=1",
        "chunked;foo=bar",
        "chunked ;x",
        "\"chunked\"",
        "'chunked'",
        "chun ked",
        "chunked chunked",
        "chunked gzip",
        "chunk",
        "chunke",
        "x, gzip",
        "gzip,, chunked",
        "chunked;",
        "=chunked",
        "chunked, gzip, chunked",
        "chunked:",
        "g zip, chunked",
        "gzip\", chunked",
        "\u{0441}hunked",
        "chunked\u{a0}",
        "cow, chunked;x=y",
    ];
    for value in malformed {
        all_refused(
            TransferEncoding,
            &[post(format!("Transfer-Encoding: {value}\r\n"), body)],
        );
    }
    for value in [
        "gzip, chunked",
        "identity, chunked",
        "gzip,deflate,chunked",
        "x-custom;a=b, chunked",
    ] {
        all_refused(
            TransferCoding,
            &[post(format!("Transfer-Encoding: {value}\r\n"), body)],
        );
    }
    all_refused(
        TransferEncodingRepeated,
        &[
            post(
                "Transfer-Encoding: chunked\r\nTransfer-Encoding: chunked\r\n",
                body,
            ),
            post(
                "Transfer-Encoding: chunked\r\ntransfer-encoding: identity\r\n",
                body,
            ),
            post("Transfer-Encoding: gzip\r\nTransfer-Encoding: chunked\r\n", body),
            post("Transfer-Encoding:\r\nTransfer-Encoding: chunked\r\n", body),
            post(
                "Transfer-Encoding: chunked\r\nContent-Length: 5\r\nTransfer-Encoding: x\r\n",
                body,
            ),
        ],
    );
    all_refused(
        LengthAndChunked,
        &[
            post("Transfer-Encoding: chunked\r\nContent-Length: 5\r\n", body),
            post("Content-Length: 5\r\nTransfer-Encoding: chunked\r\n", body),
            post("Content-Length: 15\r\ntransfer-encoding: CHUNKED\r\n", body),
            post("Content-Length: 0\r\nTransfer-Encoding: chunked\r\n", body),
            post("Content-Length: x\r\nTransfer-Encoding: chunked\r\n", body),
            post("Transfer-Encoding: identity\r\nContent-Length: 5\r\n", "hello"),
            post("Transfer-Encoding:\r\nContent-Length: 5\r\n", "hello"),
            post(
                "Content-Length: 5\r\nContent-Length: 5\r\nTransfer-Encoding: chunked\r\n",
                body,
            ),
            "POST / HTTP/1.0\r\nHost: a\r\nContent-Length: 5\r\nTransfer-Encoding: chunked\r\n\r\nhello"
                .into(),
        ],
    );
    all_refused(
        TransferEncodingVersion,
        &[
            "POST / HTTP/1.0\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
            "GET / HTTP/1.0\r\nHost: a\r\nTransfer-Encoding: identity\r\n\r\n",
        ],
    );
    all_refused(
        ContentLengthRepeated,
        &[post(
            "Content-Length: 5\r\nContent-Length: 5\r\nTransfer_Encoding: chunked\r\n",
            body,
        )],
    );
    // White space around the name is no name.
    all_refused(
        Reject::HeaderName,
        &[
            post("Transfer-Encoding : chunked\r\n", body),
            post("Transfer-Encoding\t: chunked\r\n", body),
            post(" Transfer-Encoding: chunked\r\n", body),
            post("Content-Length : 5\r\n", "hello"),
            post("X: y\r\n Transfer-Encoding: chunked\r\n", body),
            post("Transfer-Encoding\x0b: chunked\r\n", body),
            post("Transfer-Encoding\0: chunked\r\n".replace('\0', "\x01"), body),
        ],
    );
    all_refused(
        Reject::HeaderValue,
        &[
            post("Transfer-Encoding: \x0bchunked\r\n", body),
            post("Transfer-Encoding: chunked\x0c\r\n", body),
            post("Content-Length: 5\x7f\r\n", "hello"),
        ],
    );
    all_refused(
        Reject::BareCr,
        &[
            post("Transfer-Encoding: chunked\r\r\n", body),
            post("X: y\rTransfer-Encoding: chunked\r\n", body),
            post("Content-Length: 5\rx\r\n", "hello"),
        ],
    );
}

#[test]
fn head_grammar() {
    use Reject::{BareCr, BareLf, EmptyLines, HeaderName, NulByte, RequestLine};
    accepted(get(""), "GET /");
    accepted(get("X-Empty:\r\nX-Blank: \t \r\nX: a b\tc\r\n"), "GET /");
    accepted(get("x:y\r\nx:y\r\nx:z\r\n"), "GET /");
    accepted(get("X: a:b::c\r\n"), "GET /");
    accepted(get("!#$%&'*+-.^_`|~09azAZ: v\r\n"), "GET /");
    accepted(get(b"X: caf\xc3\xa9 \xff\x80\r\n"), "GET /");
    accepted("\r\nGET / HTTP/1.1\r\nHost: a\r\n\r\n", "GET /");
    accepted("\r\n\r\n\r\n\r\nGET / HTTP/1.1\r\nHost: a\r\n\r\n", "GET /");
    all_refused(
        EmptyLines,
        &["\r\n\r\n\r\n\r\n\r\nGET / HTTP/1.1\r\nHost: a\r\n\r\n"],
    );
    all_refused(
        BareLf,
        &[
            "GET / HTTP/1.1\nHost: a\n\n",
            "GET / HTTP/1.1\nHost: a\r\n\r\n",
            "GET / HTTP/1.1\r\nHost: a\n\r\n",
            "GET / HTTP/1.1\r\nHost: a\r\n\n",
            "GET / HTTP/1.1\r\nHost: a\r\nX: y\nZ: w\r\n\r\n",
            "GET / HTTP/1.1\r\nHost: a\n\nGET /second HTTP/1.1\r\n\r\n",
            "\nGET / HTTP/1.1\r\nHost: a\r\n\r\n",
            "\r\n\nGET / HTTP/1.1\r\nHost: a\r\n\r\n",
            "GET /\nHTTP/1.1\r\nHost: a\r\n\r\n",
            "GET / HTTP/1.1\r\nHost:\n a\r\n\r\n",
        ],
    );
    all_refused(
        BareCr,
        &[
            "GET / HTTP/1.1\rHost: a\r\r",
            "GET / HTTP/1.1\r\nHost: a\rX: y\r\n\r\n",
            "GET / HTTP/1.1\r\nHost: a\r\n\rX",
            "GET / HTTP/1.1\r\r\nHost: a\r\n\r\n",
            "GET / HTTP/1.1\r\nHost: a\r\nX: \ry\r\n\r\n",
            "GET / HTTP/1.1\r\nHost: a\r\nX\r: y\r\n\r\n",
            "GET /\r HTTP/1.1\r\nHost: a\r\n\r\n",
            "\rGET / HTTP/1.1\r\nHost: a\r\n\r\n",
        ],
    );
    all_refused(
        NulByte,
        &[
            "GET / HTTP/1.1\r\nHost: a\0\r\n\r\n",
            "GET /\0 HTTP/1.1\r\nHost: a\r\n\r\n",
            "GET / HTTP/1.1\r\nHost: a\r\n\0X: y\r\n\r\n",
            "\0GET / HTTP/1.1\r\nHost: a\r\n\r\n",
            "GET / HTTP/1.1\r\nHost: a\r\nX: y\0\r\n\r\n",
        ],
    );
    all_refused(
        HeaderName,
        &[
            get(": y\r\n"),
            get(":\r\n"),
            get("X\r\n"),
            get("X y\r\n"),
            get("X Y: z\r\n"),
            get("X : y\r\n"),
            get("X\t: y\r\n"),
            get(" X: y\r\n"),
            get("\tX: y\r\n"),
            get("X: y\r\n folded\r\n"),
            get("X: y\r\n\tfolded\r\n"),
            get("X: y\r\n \r\n"),
            get("X:\r\n y\r\n"),
            get("(X): y\r\n"),
            get("X=Y\r\n"),
            get("\"X\": y\r\n"),
            get("X@Y: z\r\n"),
            get("X[]: z\r\n"),
            get("X/Y: z\r\n"),
            get("{X}: z\r\n"),
            get(b"X\xff: y\r\n"),
            get("\u{ff38}: y\r\n"),
            get("X\x7f: y\r\n"),
            get("GET / HTTP/1.1\r\n"),
            get("Host a\r\n"),
            b"GET / HTTP/1.1\r\n Host: a\r\n\r\n".to_vec(),
            b"GET / HTTP/1.1\r\n \r\nHost: a\r\n\r\n".to_vec(),
        ],
    );
    // Noise of other protocols ends at its first byte or line, not at a time limit.
    all_refused(
        RequestLine,
        &[
            &b"\x16\x03\x01\x02"[..],
            b"\x80",
            b" ",
            b"{\"a\":1}",
            b"@",
            b"\xef\xbb\xbfGET / HTTP/1.1",
        ],
    );
    all_refused(
        Reject::NoVersion,
        &["GET /\r\n", "GET /index.html\r\n", "EHLO example.org\r\n"],
    );
    all_refused(RequestLine, &["QUIT\r\n", "GET\r\n", "GET \r\n"]);
}

#[test]
fn every_byte_in_names_and_values() {
    let token = |b: u8| b.is_ascii_alphanumeric() || b"!#$%&'*+-.^_`|~".contains(&b);
    for b in 0..=u8::MAX {
        // At several places, so that vectorised scanners are asked in and behind their blocks.
        for before in [0usize, 1, 15, 40] {
            let pad = vec![b'x'; before];
            let name = get([&pad, &[b][..], b"yz: v\r\n"].concat());
            let value = get([b"N: ", &pad[..], &[b], b"z\r\n"].concat());
            let parsed = |head: &[u8]| serve([head]);
            if token(b) || (b == b':' && before > 0) {
                assert_eq!(parsed(&name).requests, ["GET /"], "name byte {b:#x}");
            } else {
                assert!(
                    parsed(&name).fault.is_some() && parsed(&name).requests.is_empty(),
                    "name byte {b:#x}"
                );
            }
            if b == b'\t' || (b >= 0x20 && b != 0x7f) {
                assert_eq!(parsed(&value).requests, ["GET /"], "value byte {b:#x}");
            } else {
                assert!(
                    parsed(&value).fault.is_some() && parsed(&value).requests.is_empty(),
                    "value byte {b:#x}"
                );
            }
        }
    }
}

#[test]
fn request_line() {
    use Reject::{MethodRefused, MethodUnknown, NoVersion, RequestLine, VersionSyntax, VersionUnknown};
    for method in ["GET", "HEAD", "DELETE", "OPTIONS"] {
        accepted(line(format!("{method} /a HTTP/1.1")), &format!("{method} /a"));
    }
    for method in ["POST", "PUT", "PATCH"] {
        let with_length = format!("{method} /a HTTP/1.1\r\nHost: a\r\nContent-Length: 2\r\n\r\nhi");
        accepted(with_length, &format!("{method} /a length=2 hi"));
    }
    accepted(line("GET / HTTP/1.0"), "GET / 1.0 close");
    all_refused(
        MethodRefused,
        &[
            line("CONNECT a:443 HTTP/1.1"),
            line("TRACE / HTTP/1.1"),
            line("QUERY / HTTP/1.1"),
            line("CONNECT / HTTP/1.1"),
        ],
    );
    all_refused(
        MethodUnknown,
        &[
            line("get / HTTP/1.1"),
            line("Get / HTTP/1.1"),
            line("PROPFIND / HTTP/1.1"),
            line("G / HTTP/1.1"),
            line("GETS / HTTP/1.1"),
            line("POSTX / HTTP/1.1"),
            line("M-SEARCH * HTTP/1.1"),
            line("!#$ / HTTP/1.1"),
        ],
    );
    all_refused(
        RequestLine,
        &[
            line(" GET / HTTP/1.1"),
            line("\tGET / HTTP/1.1"),
            line("GET  / HTTP/1.1"),
            line("GET\t/ HTTP/1.1"),
            line("G@T / HTTP/1.1"),
            line("GET: / HTTP/1.1"),
            line("G(T / HTTP/1.1"),
            line("GE\u{301}T / HTTP/1.1"),
            line("\"GET\" / HTTP/1.1"),
            line("G\x7fT / HTTP/1.1"),
            line("GET/ HTTP/1.1"),
            line("HTTP/1.1 200 OK"),
            line("HTTP/1.1 200"),
        ],
    );
    all_refused(NoVersion, &[line("GET /"), line("GET /a?b"), line("G /")]);
    all_refused(
        VersionSyntax,
        &[
            line("GET / HTTP/1.1 "),
            line("GET /  HTTP/1.1"),
            line("GET / HTTP/1.1 x"),
            line("GET / x HTTP/1.1"),
            line("GET /a b HTTP/1.1"),
            line("GET / "),
            line("GET / http/1.1"),
            line("GET / HTTP/1"),
            line("GET / HTTP/1."),
            line("GET / HTTP/.1"),
            line("GET / HTTP/11"),
            line("GET / HTTP/1.10"),
            line("GET / HTTP/01.1"),
            line("GET / HTTP/1.01"),
            line("GET / HTTP/1,1"),
            line("GET / HTTP/-1.1"),
            line("GET / HTTP/+1.1"),
            line("GET / HTTP /1.1"),
            line("GET / HTTP/ 1.1"),
            line("GET / HTTP\t/1.1"),
            line("GET / HTTPS/1.1"),
            line("GET / ICY/1.1"),
            line("GET / HTTP/1.1\t"),
            line("GET / HTTP/1.a"),
            line("GET / HTTP/\u{ff11}.1"),
            line("GET / XHTTP/1.1"),
            line("GET / \tHTTP/1.1"),
            line("GET / HTTP/1.1;"),
        ],
    );
    all_refused(
        VersionUnknown,
        &[
            line("GET / HTTP/0.9"),
            line("GET / HTTP/1.2"),
            line("GET / HTTP/1.9"),
            line("GET / HTTP/2.0"),
            line("GET / HTTP/3.0"),
            line("GET / HTTP/0.0"),
            line("GET / HTTP/9.9"),
            b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n".to_vec(),
        ],
    );
}

#[test]
fn targets() {
    use Reject::{TargetBytes, TargetForm};
    for target in [
        "/",
        "/a",
        "/a/b/",
        "/a?b",
        "/a?",
        "/?",
        "/a?b=c&d=e",
        "/a?b?c",
        "/a?/b/../c",
        "//a",
        "/a//b",
        "/..",
        "/./a/..",
        "/%41",
        "/%2f%2F",
        "/%00",
        "/a%3Fb",
        "/a:b@c",
        "/a;x=y",
        "/a,b",
        "/!$&'()*+,;=:@-._~",
        "/a?!$&'()*+,;=:@-._~/?",
        "/v1beta/models/gemini-3:streamGenerateContent?alt=sse",
        "/v1/models?limit=1000",
        "/a?x=%5B%5D",
    ] {
        accepted(line(format!("GET {target} HTTP/1.1")), &format!("GET {target}"));
    }
    accepted(line("OPTIONS * HTTP/1.1"), "OPTIONS *");
    for target in [
        "*",
        "a",
        "a/b",
        "http://a/",
        "http://a",
        "HTTP://a/",
        "https://a/",
        "a:80",
        "a:443",
        "?a",
        "http:/a",
        "**",
        "*/",
        "./a",
        "../a",
        "%2fa",
        "@a",
        "\\a",
        "#",
        "ws://a/",
        "urn:x",
        ":80",
        "[::1]:80",
    ] {
        all_refused(TargetForm, &[line(format!("GET {target} HTTP/1.1"))]);
    }
    all_refused(
        TargetForm,
        &[
            line("OPTIONS ** HTTP/1.1"),
            line("OPTIONS *?a HTTP/1.1"),
            line("OPTIONS a HTTP/1.1"),
        ],
    );
    for target in [
        "/a#b",
        "/#",
        "/a?b#c",
        "/a\\b",
        "/a?b\\c",
        "/a\"b",
        "/a<b",
        "/a>b",
        "/a^b",
        "/a`b",
        "/a{b",
        "/a|b",
        "/a}b",
        "/a[b",
        "/a]b",
        "/a?b[]=c",
        "/a?{}",
        "/a?|",
        "/a?\"",
        "/%",
        "/%4",
        "/%zz",
        "/%4g",
        "/a%",
        "/a?%",
        "/a?%g0",
        "/a%%41",
        "/%u0041",
        "/\u{e9}",
        "/a?\u{e9}",
        "/\u{7f}",
        "/a\tb",
        "/a?\t",
        "/\u{1}",
        "/\u{1f}",
        "/a\u{b}b",
        "/\u{ff0f}a",
    ] {
        all_refused(TargetBytes, &[line(format!("GET {target} HTTP/1.1"))]);
    }
    all_refused(
        TargetBytes,
        &[line(b"GET /\x80 HTTP/1.1"), line(b"GET /a?\xff HTTP/1.1")],
    );
}

#[test]
fn every_byte_in_targets() {
    let pchar = |b: u8| b.is_ascii_alphanumeric() || b"-._~!$&'()*+,;=:@/".contains(&b);
    for b in 0..=u8::MAX {
        for (prefix, fine) in [
            (&b"/a"[..], pchar(b) || b == b'?'),
            (b"/a?q", pchar(b) || b == b'?'),
        ] {
            let head = line([b"GET ", prefix, &[b], b"z HTTP/1.1"].concat());
            let served = serve([&head[..]]);
            assert_eq!(served.requests.len(), usize::from(fine), "byte {b:#x}");
            assert_eq!(served.fault.is_some(), !fine, "byte {b:#x}");
        }
    }
}

#[test]
fn hosts() {
    use Reject::{HostMissing, HostRepeated, HostSyntax};
    let host = |value: &str| format!("GET / HTTP/1.1\r\nHost: {value}\r\n\r\n");
    for value in [
        "a",
        "a.b.c",
        "example.com",
        "example.com:80",
        "example.com:0",
        "example.com:65535",
        "example.com:00080",
        "a:",
        "a.",
        "localhost:8080",
        "127.0.0.1",
        "127.0.0.1:8080",
        "1.2.3.999",
        "[::1]",
        "[::1]:80",
        "[::1]:",
        "[2001:db8::1]:443",
        "[::ffff:1.2.3.4]",
        "[v1.fe80::a+en1]",
        "[vF.x]:1",
        "a_b",
        "a-b",
        "a~b",
        "%41",
        "a%2fb",
        "A.B",
        "!$&'()*+;=",
        "xn--bcher-kva.example",
        "-",
        "_",
    ] {
        accepted(host(value), "GET /");
    }
    for value in [
        "",
        " ",
        ":80",
        ":",
        "a b",
        "a\tb",
        "a,b",
        "a, b",
        "a/b",
        "a/",
        "/",
        "http://a",
        "a?b",
        "a#b",
        "a@b",
        "u:p@a",
        "@a",
        "a:b",
        "a:80:80",
        "a:80a",
        "a:-1",
        "a:+80",
        "a: 80",
        "a :80",
        "a:65536",
        "a:99999",
        "a:4294967376",
        "a:18446744073709551696",
        "[",
        "]",
        "[]",
        "[::1",
        "::1",
        "[::1]a",
        "[::1]80",
        "[::1]:65536",
        "[::1]:x",
        "[:::1]",
        "[1.2.3.4]",
        "[::1%25eth0]",
        "[fe80::1%eth0]",
        "[g::1]",
        "[::1]]",
        "[[::1]]",
        "[v.x]",
        "[v1.]",
        "[v1]",
        "[vg.x]",
        "[v1.a b]",
        "a\\b",
        "a\"b",
        "<a>",
        "a^b",
        "a`b",
        "{a}",
        "a|b",
        "%",
        "%4",
        "%zz",
        "a%",
        "\u{e9}",
        "a\u{ff0e}b",
        "[1:2:3:4:5:6:7:8:9]",
        "[12345::]",
        "a[::1]",
        "*a,",
        "a;b,c",
    ] {
        all_refused(HostSyntax, &[host(value)]);
    }
    all_refused(
        HostSyntax,
        &[
            &b"GET / HTTP/1.1\r\nHost: a\xff\r\n\r\n"[..],
            b"GET / HTTP/1.0\r\nHost:\r\n\r\n",
        ],
    );
    all_refused(
        HostMissing,
        &["GET / HTTP/1.1\r\n\r\n", "GET / HTTP/1.1\r\nX-Host: a\r\n\r\n"],
    );
    accepted("GET / HTTP/1.0\r\n\r\n", "GET / 1.0 close");
    accepted("GET / HTTP/1.0\r\nHost: a\r\n\r\n", "GET / 1.0 close");
    all_refused(
        HostRepeated,
        &[
            "GET / HTTP/1.1\r\nHost: a\r\nHost: a\r\n\r\n",
            "GET / HTTP/1.1\r\nHost: a\r\nhost: b\r\n\r\n",
            "GET / HTTP/1.1\r\nHost: a\r\nX: y\r\nHOST: b\r\n\r\n",
            "GET / HTTP/1.1\r\nHost:\r\nHost: a\r\n\r\n",
            "GET / HTTP/1.0\r\nHost: a\r\nHost: a\r\n\r\n",
        ],
    );
}

#[test]
fn expectations_upgrades_connection() {
    use Reject::{Connection, Expectation};
    accepted(
        post("Expect: 100-continue\r\nContent-Length: 2\r\n", "hi"),
        "POST / continue? length=2 hi",
    );
    accepted(
        post(
            "expect: 100-Continue\r\nTransfer-Encoding: chunked\r\n",
            "2\r\nhi\r\n0\r\n\r\n",
        ),
        "POST / continue? chunked hi",
    );
    accepted(get("Expect: 100-continue\r\n"), "GET /");
    accepted(
        post("Expect: 100-continue\r\nContent-Length: 0\r\n", ""),
        "POST / length=0",
    );
    accepted(
        "POST / HTTP/1.0\r\nExpect: 100-continue\r\nContent-Length: 2\r\n\r\nhi",
        "POST / 1.0 close length=2 hi",
    );
    for value in [
        "",
        "200-ok",
        "100-continue, 100-continue",
        "100-continue, x",
        "100",
        "100-continue;q=1",
        "100-continued",
        "x",
    ] {
        all_refused(
            Expectation,
            &[post(format!("Expect: {value}\r\nContent-Length: 2\r\n"), "hi")],
        );
    }
    all_refused(
        Expectation,
        &[get("Expect: 100-continue\r\nExpect: 100-continue\r\n")],
    );

    accepted(
        get("Connection: Upgrade\r\nUpgrade: websocket\r\n"),
        "GET / upgrade?",
    );
    accepted(get("Upgrade: h2c\r\n"), "GET / upgrade?");
    accepted(get("Connection: keep-alive, upgrade\r\n"), "GET / upgrade?");
    accepted(
        get("Connection: Upgrade, HTTP2-Settings\r\nUpgrade: h2c\r\nHTTP2-Settings: AAMA\r\n"),
        "GET / upgrade?",
    );
    accepted(
        post("Upgrade: h2c\r\nContent-Length: 2\r\n", "hi"),
        "POST / upgrade? length=2 hi",
    );
    accepted("GET / HTTP/1.0\r\nUpgrade: websocket\r\n\r\n", "GET / 1.0 close");

    accepted(get("Connection: close\r\n"), "GET / close");
    accepted(get("Connection: CLOSE\r\n"), "GET / close");
    accepted(get("Connection: x, close\r\n"), "GET / close");
    accepted(get("Connection: keep-alive, close\r\n"), "GET / close");
    accepted(
        get("Connection: keep-alive\r\nConnection: close\r\n"),
        "GET / close",
    );
    accepted(get("Connection: closed\r\n"), "GET /");
    accepted(get("Connection: \r\n"), "GET /");
    accepted(get("Connection: , ,x,\r\n"), "GET /");
    accepted(
        get("Proxy-Connection: close\r\nKeep-Alive: timeout=5\r\n"),
        "GET /",
    );
    accepted("GET / HTTP/1.0\r\nConnection: keep-alive\r\n\r\n", "GET / 1.0");
    accepted(
        "GET / HTTP/1.0\r\nConnection: keep-alive, close\r\n\r\n",
        "GET / 1.0 close",
    );
    for value in [
        "a b",
        "\"close\"",
        "close;",
        "a/b",
        "clo(se",
        "x, y z",
        "\u{e9}",
        "a=b",
        ";",
    ] {
        all_refused(Connection, &[get(format!("Connection: {value}\r\n"))]);
    }
    all_refused(Connection, &[get(format!("Connection: {}\r\n", ",".repeat(64)))]);
    accepted(get(format!("Connection: {}\r\n", ",".repeat(63))), "GET /");
}

#[test]
fn limits_one_under_and_one_over() {
    use Reject::{HeadTooLarge, TargetTooLong, TooManyHeaders};
    let target = |len: usize| line(format!("GET /{} HTTP/1.1", "a".repeat(len - 1)));
    accepted(target(8_192), &format!("GET /{}", "a".repeat(8_191)));
    all_refused(TargetTooLong, &[target(8_193), target(9_000), target(70_000)]);
    all_refused(
        TargetTooLong,
        &["A".repeat(9_000), format!("GET /{}", "a".repeat(9_000))],
    );

    let fields = |count: usize| get("x: y\r\n".repeat(count - 1));
    accepted(fields(100), "GET /");
    all_refused(TooManyHeaders, &[fields(101), fields(102), fields(500)]);
    // Refused at the end of its line, before the head is complete.
    let endless = [b"GET / HTTP/1.1\r\n".to_vec(), b"x: y\r\n".repeat(101)].concat();
    all_refused(TooManyHeaders, &[endless]);

    let head = |len: usize| {
        let empty = get("X: \r\n").len();
        get(format!("X: {}\r\n", "v".repeat(len - empty)))
    };
    assert_eq!(head(65_536).len(), 65_536);
    let served = serve([&head(65_536)[..]]);
    assert_eq!((served.requests, served.fault), (vec!["GET /".to_owned()], None));
    for len in [65_537usize, 70_000, 200_000] {
        let head = head(len);
        for step in [1, 4_096, len] {
            assert_eq!(
                serve(head.chunks(step)).fault,
                Some(Fault::Head(HeadTooLarge)),
                "{len} in {step}"
            );
        }
    }
    // A name of 64 KiB, as once killed another codec.
    let name = [
        b"GET / HTTP/1.1\r\nHost: a\r\n".to_vec(),
        vec![b'n'; 70_000],
        b": v\r\n\r\n".to_vec(),
    ]
    .concat();
    assert_eq!(serve(name.chunks(1_000)).fault, Some(Fault::Head(HeadTooLarge)));
}

#[test]
fn configured_limits_hold() {
    let limits = HeadLimits {
        head_bytes_max: 64,
        header_count_max: 2,
        target_bytes_max: 8,
    };
    let outcome = |head: &str| {
        let mut scanner = HeadScanner::new(Kind::Request, limits);
        scanner.scan(head.as_bytes()).and_then(|found| match found {
            Some(len) => parse_request(&head.as_bytes()[..len], &limits).map(|_| true),
            None => Ok(false),
        })
    };
    assert_eq!(outcome("GET /2345678 HTTP/1.1\r\nHost: a\r\n\r\n"), Ok(true));
    assert_eq!(
        outcome("GET /23456789 HTTP/1.1\r\nHost: a\r\n\r\n"),
        Err(Reject::TargetTooLong)
    );
    assert_eq!(outcome("GET / HTTP/1.1\r\nHost: a\r\nb: c\r\n\r\n"), Ok(true));
    assert_eq!(
        outcome("GET / HTTP/1.1\r\nHost: a\r\nb: c\r\nd: e\r\n\r\n"),
        Err(Reject::TooManyHeaders)
    );
    let head = |len: usize| format!("GET / HTTP/1.1\r\nHost: a\r\nb: {}\r\n\r\n", "c".repeat(len - 32));
    assert_eq!((head(64).len(), outcome(&head(64))), (64, Ok(true)));
    assert_eq!(outcome(&head(65)), Err(Reject::HeadTooLarge));
    // More than the ceilings is the ceilings.
    let vast = HeadLimits {
        head_bytes_max: usize::MAX,
        header_count_max: usize::MAX,
        target_bytes_max: usize::MAX,
    };
    let many = get("x: y\r\n".repeat(255));
    assert_eq!(
        parse_request(&many, &vast).map(|head| head.headers.len()),
        Ok(256)
    );
    let too_many = get("x: y\r\n".repeat(256));
    assert_eq!(
        parse_request(&too_many, &vast).map(|_| ()),
        Err(Reject::TooManyHeaders)
    );
    let long = line(format!("GET /{} HTTP/1.1", "a".repeat(65_600)));
    assert_eq!(
        HeadScanner::new(Kind::Request, vast).scan(&long),
        Err(Reject::HeadTooLarge)
    );
    assert_eq!(parse_request(&long, &vast).map(|_| ()), Err(Reject::HeadTooLarge));
}

#[test]
fn chunked_bodies() {
    use BodyError::{
        ChunkDataEnd, ChunkExtension, ChunkLineEnd, ChunkOverhead, ChunkSize, ChunkTooLarge, Trailer,
        TrailerForbidden,
    };
    let chunked = |body: &str| post("Transfer-Encoding: chunked\r\n", body);
    for (body, data) in [
        ("0\r\n\r\n", ""),
        ("5\r\nhello\r\n0\r\n\r\n", " hello"),
        ("1\r\nh\r\n4\r\nello\r\n00\r\n\r\n", " hello"),
        ("a\r\n0123456789\r\n0\r\n\r\n", " 0123456789"),
        ("A\r\n0123456789\r\n0\r\n\r\n", " 0123456789"),
        ("0000000000000005\r\nhello\r\n0000000000000000\r\n\r\n", " hello"),
        ("5;a\r\nhello\r\n0;b=c\r\n\r\n", " hello"),
        ("5 ; a = \"x\\\"y;\" ; b\r\nhello\r\n0\r\n\r\n", " hello"),
        ("5\t;a=b\r\nhello\r\n0\r\n\r\n", " hello"),
        ("5;a=\"\"\r\nhello\r\n0\r\n\r\n", " hello"),
        ("5\r\n0\r\n\r\n\r\n0\r\n\r\n", " 0\r\n\r\n"),
        ("5\r\nhello\r\n0\r\nX: y\r\nZ:\r\n\r\n", " hello"),
        (
            "0\r\nContent-MD5: x\r\nContent-Length-X: 5\r\nHos: a\r\nHosts: a\r\n\r\n",
            "",
        ),
    ] {
        accepted(chunked(body), &format!("POST / chunked{data}"));
    }
    let rows: &[(BodyError, &[&str])] = &[
        (
            ChunkSize,
            &[
                "\r\nhello\r\n0\r\n\r\n",
                "\r\n",
                ";a\r\nhello\r\n0\r\n\r\n",
                " 5\r\nhello\r\n0\r\n\r\n",
                "+5\r\nhello\r\n",
                "-5\r\nhello\r\n",
                "0x5\r\nhello\r\n",
                "5h\r\nhello\r\n",
                "5,\r\nhello\r\n",
                "g\r\n",
                "00000000000000005\r\nhello\r\n",
                "00000000000000000\r\n\r\n",
                "\u{665}\r\n",
                "5.0\r\nhello",
                "5_0\r\n",
                "\"5\"\r\nhello\r\n",
                "5\u{b}\r\n",
                "\t5\r\n",
                "5\0\r\n",
                "5\r\nhello\r\n\r\n0\r\n\r\n",
                "5\r\nhello\r\n\r\n",
            ],
        ),
        (
            ChunkTooLarge,
            &[
                "20000000000001\r\n",
                "ffffffffffffffff\r\n",
                "FFFFFFFFFFFFFFFFF\r\n",
                "10000000000000005\r\nhello\r\n",
            ],
        ),
        (
            ChunkLineEnd,
            &[
                "5\nhello\r\n0\r\n\r\n",
                "5\rhello\r\n",
                "5\r\r\nhello\r\n",
                "5;a\nhello\r\n",
                "5;a=\"b\n\"\r\n",
                "5 \nhello\r\n",
                "0\n\r\n",
                "0\r\n\n",
                "0\r\n\rX",
                "0\r\nX: y\n\r\n",
                "0\r\nX: y\rZ: w\r\n\r\n",
                "0\r\nX\n\r\n",
                "0\r\n\r\r\n",
            ],
        ),
        (
            ChunkDataEnd,
            &[
                "5\r\nhello!\r\n0\r\n\r\n",
                "5\r\nhello\n0\r\n\r\n",
                "5\r\nhello0\r\n\r\n",
                "4\r\nhello\r\n0\r\n\r\n",
                "6\r\nhello\r\n0\r\n\r\n",
                "5\r\nhello\r0\r\n\r\n",
                "5\r\nhello \r\n0\r\n\r\n",
                "5\r\nhello\r\r\n0\r\n\r\n",
            ],
        ),
        (
            ChunkExtension,
            &[
                "5 \r\nhello\r\n0\r\n\r\n",
                "5\t\r\nhello\r\n",
                "5;\r\nhello\r\n",
                "5; \r\nhello\r\n",
                "5;a=\r\nhello\r\n",
                "5;=b\r\nhello\r\n",
                "5;a=b c\r\nhello\r\n",
                "5;a b\r\nhello\r\n",
                "5;a;;b\r\nhello\r\n",
                "5;a \r\nhello\r\n",
                "5;a=b \r\nhello\r\n",
                "5 5\r\nhello\r\n",
                "5;a=\"b\r\nhello\r\n",
                "5;a=\"b\"c\r\nhello\r\n",
                "5;a=\"b\\\r\n",
                "5;\u{e9}=b\r\n",
                "5;a=\u{e9}\r\n",
                "5;a=b=c\r\n",
                "5;a\0\r\n",
                "5;a=\"\u{1}\"\r\n",
                "5;a,b\r\n",
                "5;\"a\"=b\r\n",
                "5;a=b\"c\"\r\n",
                "5;a=\"b\\\u{7f}\"\r\n",
                "5;(a)\r\n",
            ],
        ),
        (
            Trailer,
            &[
                "0\r\n X: y\r\n\r\n",
                "0\r\nX : y\r\n\r\n",
                "0\r\n: y\r\n\r\n",
                "0\r\nX\r\n\r\n",
                "0\r\nX: y\r\n folded\r\n\r\n",
                "0\r\nX: \u{1}\r\n\r\n",
                "0\r\nX y: z\r\n\r\n",
                "0\r\nX: y\0\r\n\r\n",
                "0\r\nGET / HTTP/1.1\r\nHost: a\r\n\r\n",
                "0\r\n\u{e9}: y\r\n\r\n",
                "0\r\n;a\r\n\r\n",
            ],
        ),
        (
            TrailerForbidden,
            &[
                "0\r\nContent-Length: 5\r\n\r\n",
                "0\r\ntransfer-encoding: chunked\r\n\r\n",
                "0\r\nX: y\r\nHOST: b\r\n\r\n",
                "0\r\nTE: x\r\n\r\n",
                "0\r\nTrailer: x\r\n\r\n",
                "0\r\nConnection: close\r\n\r\n",
                "0\r\nUpgrade: h2c\r\n\r\n",
                "0\r\nExpect: x\r\n\r\n",
                "0\r\nContent-Length:\r\n\r\n",
            ],
        ),
    ];
    for (error, bodies) in rows {
        for body in *bodies {
            refused(chunked(body), Fault::Body(*error));
        }
    }
    // 256 bytes of extensions on a line, and 16 KiB of them and trailers in a message.
    let extension = |len: usize| format!(";{}", "e".repeat(len - 1));
    accepted(
        chunked(&format!("5{}\r\nhello\r\n0\r\n\r\n", extension(256))),
        "POST / chunked hello",
    );
    refused(
        chunked(&format!("5{}\r\nhello\r\n0\r\n\r\n", extension(257))),
        Fault::Body(ChunkOverhead),
    );
    let lines = |count: usize| format!("1{}\r\nx\r\n", extension(256)).repeat(count);
    accepted(
        chunked(&format!("{}0\r\n\r\n", lines(64))),
        &format!("POST / chunked {}", "x".repeat(64)),
    );
    refused(
        chunked(&format!("{}0;a\r\n\r\n", lines(64))),
        Fault::Body(ChunkOverhead),
    );
    let trailer = |len: usize| format!("0\r\nT: {}\r\n\r\n", "v".repeat(len - 5));
    accepted(chunked(&trailer(16_384)), "POST / chunked");
    refused(chunked(&trailer(16_385)), Fault::Body(ChunkOverhead));
}

#[test]
fn unfinished_messages_wait() {
    for data in [
        &b"G"[..],
        b"GET / HTTP/1.1\r",
        b"GET / HTTP/1.1\r\n",
        b"GET / HTTP/1.1\r\nHost: a\r\n",
        b"GET / HTTP/1.1\r\nHost: a\r\n\r",
        b"POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 5\r\n\r\nhell",
        b"POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n0\r\n",
        b"\r\n",
    ] {
        let served = outcome(data);
        assert!(
            served.requests.is_empty() && served.fault.is_none() && served.unfinished > 0,
            "{}",
            data.escape_ascii()
        );
    }
}

#[test]
fn idle_is_told_from_slow() {
    let started = |data: &[u8]| {
        let mut scanner = HeadScanner::new(Kind::Request, HeadLimits::default());
        assert_eq!(scanner.scan(data), Ok(None));
        scanner.has_started()
    };
    assert!(!started(b"") && !started(b"\r\n") && !started(b"\r\n\r\n"));
    assert!(started(b"G") && started(b"\r\nG") && started(b"GET / HTTP/1.1\r\n"));
}

#[test]
fn statuses() {
    assert_eq!(Reject::ALL.len(), 34);
    for reject in Reject::ALL {
        assert!(
            [400, 405, 411, 413, 414, 415, 417, 426, 431, 501, 505].contains(&reject.status()),
            "{reject:?}"
        );
        assert!(!reject.reason().is_empty() && !reject.reason().ends_with('.'));
    }
    for (reject, status) in [
        (Reject::BareLf, 400),
        (Reject::MethodRefused, 405),
        (Reject::LengthRequired, 411),
        (Reject::BodyTooLarge, 413),
        (Reject::TargetTooLong, 414),
        (Reject::EncodedBody, 415),
        (Reject::Expectation, 417),
        (Reject::UpgradeRefused, 426),
        (Reject::HeadTooLarge, 431),
        (Reject::TooManyHeaders, 431),
        (Reject::MethodUnknown, 501),
        (Reject::TransferCoding, 501),
        (Reject::VersionUnknown, 505),
    ] {
        assert_eq!(reject.status(), status, "{reject:?}");
    }
}

#[test]
fn what_a_head_says() {
    let head = b"POST /v1/chat?key=k HTTP/1.1\r\nhOsT: api.example:8080\r\nX-A:  b \r\nConnection: X-Secret, close, keep-alive\r\n\
        x-secret: s\r\nContent-Encoding: gzip\r\nContent-Length: 3\r\nTE: trailers\r\nKeep-Alive: x\r\nx-a: c\r\n\r\n";
    let parsed = parse_request(head, &HeadLimits::default()).unwrap();
    assert_eq!(parsed.path(head), b"/v1/chat");
    assert_eq!(parsed.query(head), Some(&b"key=k"[..]));
    assert_eq!(
        parsed.host.map(|span| span.of(head)),
        Some(&b"api.example:8080"[..])
    );
    assert_eq!(parsed.headers.len(), 9);
    assert_eq!(parsed.headers.find(head, "X-A"), Some(&b"b"[..]));
    assert_eq!(
        parsed.headers.find_all(head, "x-a").collect::<Vec<_>>(),
        [&b"b"[..], b"c"]
    );
    assert_eq!(parsed.headers.find(head, "x-b"), None);
    assert_eq!(
        parsed.headers.get(1).map(|slot| slot.name.of(head)),
        Some(&b"X-A"[..])
    );
    assert_eq!(parsed.headers.get(9), None);
    assert_eq!(
        parsed.connection.nominated(head).collect::<Vec<_>>(),
        [&b"X-Secret"[..]]
    );
    let kept: Vec<_> = parsed.end_to_end(head).collect();
    assert_eq!(
        kept,
        [
            (&b"X-A"[..], &b"b"[..]),
            (b"Content-Encoding", b"gzip"),
            (b"x-a", b"c")
        ]
    );
    assert_eq!(parsed.refuse_encoded(head), Err(Reject::EncodedBody));
    // A span of another head is no panic.
    assert_eq!(
        parsed.headers.get(8).map(|slot| slot.value.of(b"short")),
        Some(&b""[..])
    );

    for (value, refused) in [
        ("identity", false),
        ("Identity", false),
        ("", false),
        ("gzip", true),
        ("zstd", true),
        ("identity, gzip", true),
    ] {
        let head = post(format!("Content-Encoding: {value}\r\nContent-Length: 0\r\n"), "");
        let parsed = parse_request(&head, &HeadLimits::default()).unwrap();
        assert_eq!(parsed.refuse_encoded(&head).is_err(), refused, "{value}");
    }
    let two = get("Content-Encoding: identity\r\nContent-Encoding: br\r\n");
    assert!(
        parse_request(&two, &HeadLimits::default())
            .unwrap()
            .refuse_encoded(&two)
            .is_err()
    );
}

#[test]
fn the_parser_takes_nothing_on_trust() {
    // Slices that no scanner would hand over.
    let parse = |head: &[u8]| parse_request(head, &HeadLimits::default()).map(|_| ());
    for head in [
        &b""[..],
        b"\r\n",
        b"GET / HTTP/1.1",
        b"GET / HTTP/1.1\r\n",
        b"GET / HTTP/1.1\r\nHost: a\r\n",
        b"GET / HTTP/1.1\r\nHost: a\r\n\r\nx",
        b"GET / HTTP/1.1\r\nHost: a\r\n\r\n\r\n",
        b"GET / HTTP/1.1\nHost: a\r\n\r\n",
        b"GET / HTTP/1.1\r\nHost: a\n\r\n",
        b"GET / HTTP/1.1\r\nHost: a\r\n\n",
        b"GET / HTTP/1.1\r\n\nHost: a\r\n\r\n",
        b"\nGET / HTTP/1.1\r\nHost: a\r\n\r\n",
        b"GET / HTTP/1.1\r\n\r\nHost: a\r\n\r\n",
        b"\r\n\r\n\r\n\r\n\r\n\r\n",
        b"GET / HTTP/1.1\r\nHost: a\r\nX: \n\r\n",
        b"GET / HTTP/1.1\r\nHost: a\r\nX:\n\r\n",
        b"GET / HTTP/1.1\r\nHost: a\r\nX: y \n\r\n",
        b"GET / HTTP/1.1\r\nHost: a\r\nX: y\r\r\n\r\n",
        b"GET / HTTP/1.1\r\nHost: a\r\nX: y\0\r\n\r\n",
    ] {
        assert!(parse(head).is_err(), "{}", head.escape_ascii());
    }
    for (head, reject) in [
        (&b"GET / HTTP/1.1\r\nHost: a\n\r\n"[..], Reject::BareLf),
        (b"GET / HTTP/1.1\nHost: a\r\n\r\n", Reject::BareLf),
        (b"GET / HTTP/1.1\r\nHost: a\r\n\r\nx", Reject::HeadEnd),
        (b"GET / HTTP/1.1\r\nHost: a\r\n", Reject::HeadEnd),
        (b"GET / HTTP/1.1\r\nHost: a\rb\r\n\r\n", Reject::HeaderValue),
        (
            b"\r\n\r\n\r\n\r\n\r\nGET / HTTP/1.1\r\nHost: a\r\n\r\n",
            Reject::EmptyLines,
        ),
    ] {
        assert_eq!(parse(head), Err(reject), "{}", head.escape_ascii());
    }
    assert_eq!(parse(&get("x: y\r\n".repeat(99))), Ok(()));
    assert_eq!(parse(&get("x: y\r\n".repeat(100))), Err(Reject::TooManyHeaders));
}

#[test]
fn the_scanner_refuses_without_the_parser() {
    let scan = |data: &str| HeadScanner::new(Kind::Request, HeadLimits::default()).scan(data.as_bytes());
    assert_eq!(scan("\r\n\r\n\r\n\r\n"), Ok(None));
    assert_eq!(scan("\r\n\r\n\r\n\r\n\r\n"), Err(Reject::EmptyLines));
    assert_eq!(scan("GET / HTTP/1.1\r\nHost: a\n"), Err(Reject::BareLf));
    assert_eq!(scan("GET / HTTP/1.1\r\nHost: a\rb"), Err(Reject::BareCr));
    assert_eq!(scan("GET / HTTP/1.1\r\nHost: a\0"), Err(Reject::NulByte));
    assert_eq!(scan(&"x".repeat(8_192 + 32 + 10)), Ok(None));
    assert_eq!(scan(&"x".repeat(8_192 + 32 + 11)), Err(Reject::TargetTooLong));
}
