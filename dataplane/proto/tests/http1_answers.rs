//! Answer vectors by class: what a hostile or careless provider may send, whole and cut at every byte.

use sluice_proto::http1::{
    BadAnswer, BodyDecoder, BodyError, Framing, HeadLimits, HeadScanner, Kind, Method, ResponseHead, Version,
    parse_response,
};

#[derive(Clone, Debug, PartialEq, Eq)]
enum Answer {
    /// The head is not complete.
    Waiting,
    /// 502 before the head.
    Bad(BadAnswer),
    /// Status, body so far, and how it stands once the provider has closed.
    Good {
        status: u16,
        framing: Framing,
        keep_alive: bool,
        body: Vec<u8>,
        end: Result<(), BodyError>,
        surplus: usize,
    },
}

/// One exchange as a shell carries it out, interim answers skipped.
fn exchange<'a>(method: Method, pieces: impl IntoIterator<Item = &'a [u8]>) -> Answer {
    let limits = HeadLimits::default();
    let mut scanner = HeadScanner::new(Kind::Response, limits);
    let mut buffer = Vec::new();
    let mut open: Option<(ResponseHead, BodyDecoder, Vec<u8>)> = None;
    for piece in pieces {
        buffer.extend_from_slice(piece);
        while open.is_none() {
            let found = match scanner.scan(&buffer) {
                Ok(Some(len)) => {
                    parse_response(&buffer[..len], method, &limits).map(|head| Some((len, head)))
                }
                Ok(None) => Ok(None),
                Err(reject) => Err(reject.into()),
            };
            match found {
                Err(bad) => return Answer::Bad(bad),
                Ok(None) => break,
                Ok(Some((len, head))) => {
                    buffer.drain(..len);
                    scanner.reset();
                    if !head.is_interim() {
                        let decoder = BodyDecoder::new(head.framing);
                        open = Some((head, decoder, Vec::new()));
                    }
                }
            }
        }
        if let Some((head, decoder, body)) = &mut open {
            match decoder.decode_in_place(&mut buffer) {
                Ok(decoded) => {
                    body.extend_from_slice(&buffer[..decoded.body]);
                    buffer.drain(..decoded.consumed);
                }
                Err(error) => {
                    // What precedes the fault depends on the cut and does not matter: the exchange is aborted.
                    return Answer::Good {
                        status: head.status,
                        framing: head.framing,
                        keep_alive: false,
                        body: Vec::new(),
                        end: Err(error),
                        surplus: 0,
                    };
                }
            }
        }
    }
    match open {
        None => Answer::Waiting,
        Some((head, mut decoder, body)) => Answer::Good {
            status: head.status,
            framing: head.framing,
            keep_alive: head.keep_alive,
            body,
            end: decoder.finish_eof(),
            surplus: buffer.len(),
        },
    }
}

#[track_caller]
fn answer(method: Method, data: impl AsRef<[u8]>) -> Answer {
    let data = data.as_ref();
    let whole = exchange(method, [data]);
    if data.len() < 2_048 {
        for cut in 1..data.len() {
            let (a, b) = data.split_at(cut);
            assert_eq!(
                exchange(method, [a, b]),
                whole,
                "cut at {cut}: {}",
                data.escape_ascii()
            );
        }
    }
    assert_eq!(
        exchange(method, data.chunks(1)),
        whole,
        "byte by byte: {}",
        data.escape_ascii()
    );
    whole
}

#[track_caller]
fn bad<T: AsRef<[u8]>>(expected: BadAnswer, rows: &[T]) {
    for row in rows {
        assert_eq!(
            answer(Method::Post, row),
            Answer::Bad(expected),
            "{}",
            row.as_ref().escape_ascii()
        );
    }
}

#[track_caller]
fn good(method: Method, data: impl AsRef<[u8]>, expected: (u16, Framing, bool, &str)) {
    let (status, framing, keep_alive, body) = expected;
    let expected = Answer::Good {
        status,
        framing,
        keep_alive,
        body: body.into(),
        end: Ok(()),
        surplus: 0,
    };
    assert_eq!(
        answer(method, &data),
        expected,
        "{}",
        data.as_ref().escape_ascii()
    );
}

#[test]
fn framings() {
    use Framing::{Chunked, Length, None, UntilClose};
    use Method::{Get, Head, Post};
    good(
        Post,
        "HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nhi",
        (200, Length(2), true, "hi"),
    );
    good(
        Post,
        "HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n",
        (200, Length(0), true, ""),
    );
    good(
        Post,
        "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n2\r\nhi\r\n0\r\n\r\n",
        (200, Chunked, true, "hi"),
    );
    good(
        Post,
        "HTTP/1.1 200 OK\r\ntransfer-encoding: Chunked\r\n\r\n2;x=y\r\nhi\r\n0\r\nT: v\r\n\r\n",
        (200, Chunked, true, "hi"),
    );
    good(Post, "HTTP/1.1 200 OK\r\n\r\nhi", (200, UntilClose, false, "hi"));
    good(Post, "HTTP/1.1 200 OK\r\n\r\n", (200, UntilClose, false, ""));
    good(Post, "HTTP/1.0 200 OK\r\n\r\nhi", (200, UntilClose, false, "hi"));
    good(
        Post,
        "HTTP/1.0 200 OK\r\nContent-Length: 2\r\n\r\nhi",
        (200, Length(2), false, "hi"),
    );
    good(
        Post,
        "HTTP/1.0 200 OK\r\nConnection: keep-alive\r\nContent-Length: 2\r\n\r\nhi",
        (200, Length(2), true, "hi"),
    );
    good(
        Post,
        "HTTP/1.0 200 OK\r\nConnection: keep-alive\r\n\r\nhi",
        (200, UntilClose, false, "hi"),
    );
    good(
        Post,
        "HTTP/1.1 200 OK\r\nConnection: close\r\nContent-Length: 2\r\n\r\nhi",
        (200, Length(2), false, "hi"),
    );
    good(
        Post,
        "HTTP/1.1 429 Too Many\r\nContent-Length: 2\r\n\r\nhi",
        (429, Length(2), true, "hi"),
    );
    good(
        Post,
        "HTTP/1.1 599 \r\nContent-Length: 0\r\n\r\n",
        (599, Length(0), true, ""),
    );
    good(Post, "HTTP/1.1 204 No Content\r\n\r\n", (204, None, true, ""));
    good(
        Post,
        "HTTP/1.1 204 No Content\r\nContent-Length: 0\r\n\r\n",
        (204, None, true, ""),
    );
    good(
        Get,
        "HTTP/1.1 304 Not Modified\r\nContent-Length: 77\r\n\r\n",
        (304, None, true, ""),
    );
    good(
        Get,
        "HTTP/1.1 304 Not Modified\r\nTransfer-Encoding: chunked\r\n\r\n",
        (304, None, true, ""),
    );
    good(
        Head,
        "HTTP/1.1 200 OK\r\nContent-Length: 77\r\n\r\n",
        (200, None, true, ""),
    );
    good(
        Head,
        "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n",
        (200, None, true, ""),
    );
    good(Head, "HTTP/1.1 200 OK\r\n\r\n", (200, None, true, ""));
    good(
        Head,
        "HTTP/1.1 404 Not Found\r\nConnection: close\r\n\r\n",
        (404, None, false, ""),
    );
}

#[test]
fn status_lines() {
    use BadAnswer::{LineEnd, Status, StatusLine};
    let framing = Framing::Length(0);
    for line in [
        "HTTP/1.1 200 OK",
        "HTTP/1.1 200 ",
        "HTTP/1.1 200",
        "HTTP/1.1 200 A b\tc",
        "HTTP/1.1 200 OK OK",
        "HTTP/1.1 200 \u{e9}",
    ] {
        good(
            Method::Post,
            format!("{line}\r\nContent-Length: 0\r\n\r\n"),
            (200, framing, true, ""),
        );
    }
    for line in [
        "HTTP/1.1",
        "HTTP/1.1 ",
        "HTTP/1.1  200 OK",
        "HTTP/1.1\t200 OK",
        "HTTP/1.1 20",
        "HTTP/1.1 20 OK",
        "HTTP/1.1 2000 OK",
        "HTTP/1.1 2xx OK",
        "HTTP/1.1 +20 OK",
        "HTTP/1.1 -20 OK",
        "HTTP/1.1 OK",
        "HTTP/1.1 200\tOK",
        "HTTP/1.1 200OK",
        "HTTP/1.2 200 OK",
        "HTTP/2.0 200 OK",
        "HTTP/2 200 OK",
        "HTTP/0.9 200 OK",
        "http/1.1 200 OK",
        "HTTP/1.10 200 OK",
        "HTTPS/1.1 200 OK",
        "ICY 200 OK",
        " HTTP/1.1 200 OK",
        "200 OK",
        "HTTP/1.1 200 O\u{1}K",
        "HTTP/1.1 200 OK\u{7f}",
        "SSH-2.0-x",
        "GET / HTTP/1.1",
        "HTTP/1.1 \u{ff12}00 OK",
    ] {
        bad(StatusLine, &[format!("{line}\r\nContent-Length: 0\r\n\r\n")]);
    }
    bad(
        StatusLine,
        &[
            "\r\nHTTP/1.1 200 OK\r\n\r\n",
            "<html>\r\n",
            "{}\r\n",
            "\u{16}\u{3}\u{1}",
        ],
    );
    for status in ["000", "001", "099", "600", "666", "999"] {
        bad(
            Status,
            &[format!("HTTP/1.1 {status} X\r\nContent-Length: 0\r\n\r\n")],
        );
    }
    bad(
        LineEnd,
        &[
            "HTTP/1.1 200 OK\nContent-Length: 0\n\n",
            "HTTP/1.1 200 OK\r\nContent-Length: 0\n\r\n",
            "HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\n",
            "HTTP/1.1 200 OK\rX: y\r\n\r\n",
            "HTTP/1.1 200 OK\r\nX: y\rZ: w\r\n\r\n",
            "HTTP/1.1 200 OK\r\nX: \0\r\n\r\n",
            "HTTP/1.1 200 \0\r\n\r\n",
            "\nHTTP/1.1 200 OK\r\n\r\n",
        ],
    );
}

#[test]
fn hostile_framing() {
    use BadAnswer::{
        BodyForbidden, Connection, ContentLength, LengthAndChunked, SwitchingProtocols, TransferEncoding,
    };
    let with = |fields: &str| format!("HTTP/1.1 200 OK\r\n{fields}\r\nhello");
    bad(
        LengthAndChunked,
        &[
            with("Content-Length: 5\r\nTransfer-Encoding: chunked\r\n"),
            with("Transfer-Encoding: chunked\r\nContent-Length: 5\r\n"),
            with("Transfer-Encoding: identity\r\nContent-Length: 5\r\n"),
            "HTTP/1.0 200 OK\r\nTransfer-Encoding: chunked\r\nContent-Length: 5\r\n\r\nhello".into(),
            "HTTP/1.1 304 X\r\nTransfer-Encoding: chunked\r\nContent-Length: 5\r\n\r\n".into(),
        ],
    );
    for value in [
        "",
        "x",
        "+5",
        "-1",
        "5,5",
        "5, 5",
        "5 5",
        "0x5",
        "5.0",
        "5;",
        "9007199254740993",
        "18446744073709551616",
    ] {
        bad(ContentLength, &[with(&format!("Content-Length: {value}\r\n"))]);
    }
    bad(
        ContentLength,
        &[
            with("Content-Length: 5\r\nContent-Length: 5\r\n"),
            with("Content-Length: 5\r\ncontent-length: 6\r\n"),
            with("Content-Length: 0\r\nX: y\r\nContent-Length: 5\r\n"),
        ],
    );
    for value in [
        "",
        "identity",
        "gzip",
        "gzip, chunked",
        "chunked, chunked",
        "chunked, gzip",
        "chunked;a=b",
        "\"chunked\"",
        "xchunked",
        "chunked,",
    ] {
        bad(
            TransferEncoding,
            &[with(&format!("Transfer-Encoding: {value}\r\n"))],
        );
    }
    bad(
        TransferEncoding,
        &[
            with("Transfer-Encoding: chunked\r\nTransfer-Encoding: chunked\r\n"),
            with("Transfer-Encoding: chunked\r\nTransfer-Encoding: gzip\r\n"),
            "HTTP/1.0 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n".into(),
        ],
    );
    bad(
        BodyForbidden,
        &[
            "HTTP/1.1 204 No Content\r\nContent-Length: 5\r\n\r\nhello",
            "HTTP/1.1 204 No Content\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
            "HTTP/1.1 100 Continue\r\nContent-Length: 5\r\n\r\nhello",
            "HTTP/1.1 100 Continue\r\nContent-Length: 0\r\n\r\n",
            "HTTP/1.1 103 Early Hints\r\nTransfer-Encoding: chunked\r\n\r\n",
        ],
    );
    bad(
        SwitchingProtocols,
        &[
            "HTTP/1.1 101 Switching Protocols\r\nConnection: upgrade\r\nUpgrade: websocket\r\n\r\n",
            "HTTP/1.1 101 Switching Protocols\r\n\r\n",
            "HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 101 Switching Protocols\r\n\r\n",
        ],
    );
    bad(
        Connection,
        &[with("Connection: a b\r\n"), with("Connection: close;x\r\n")],
    );
}

#[test]
fn hostile_fields() {
    use BadAnswer::{Header, TooLarge};
    for field in [
        "X : y",
        " X: y",
        "X: y\r\n folded",
        "X",
        ": y",
        "X y: z",
        "X: \u{1}",
        "X\u{e9}: y",
        "X: \u{7f}",
    ] {
        bad(
            Header,
            &[format!("HTTP/1.1 200 OK\r\n{field}\r\nContent-Length: 0\r\n\r\n")],
        );
    }
    let fields = |count: usize| {
        format!(
            "HTTP/1.1 200 OK\r\n{}Content-Length: 0\r\n\r\n",
            "x: y\r\n".repeat(count - 1)
        )
    };
    good(Method::Post, fields(100), (200, Framing::Length(0), true, ""));
    bad(TooLarge, &[fields(101), fields(300)]);
    bad(
        TooLarge,
        &[format!("HTTP/1.1 200 OK\r\nX: {}\r\n\r\n", "v".repeat(70_000))],
    );
    bad(
        BadAnswer::StatusLine,
        &[format!("HTTP/1.1 200 {}\r\n\r\n", "v".repeat(70_000))],
    );
    let head = format!("HTTP/1.1 200 OK\r\nX: {}\r\n\r\n", "v".repeat(70_000));
    assert_eq!(
        parse_response(head.as_bytes(), Method::Get, &HeadLimits::default()).map(|_| ()),
        Err(TooLarge)
    );
}

#[test]
fn interim_answers() {
    good(
        Method::Post,
        "HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 103 Early Hints\r\nLink: x\r\n\r\nHTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nhi",
        (200, Framing::Length(2), true, "hi"),
    );
    let flood = "HTTP/1.1 102 Processing\r\n\r\n".repeat(20);
    assert_eq!(answer(Method::Post, flood), Answer::Waiting);
    let head = b"HTTP/1.1 199 X\r\n\r\n";
    let parsed = parse_response(head, Method::Get, &HeadLimits::default()).unwrap();
    assert!(parsed.is_interim() && parsed.framing == Framing::None);
}

#[test]
fn bodies_cut_short_never_end_cleanly() {
    for data in [
        "HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\n",
        "HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nhell",
        "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n",
        "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhel",
        "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n",
        "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n0",
        "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n0\r\n",
        "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n0\r\n\r",
        "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n0\r\nT: v\r\n",
    ] {
        let Answer::Good { end, .. } = answer(Method::Post, data) else {
            panic!("{data:?}")
        };
        assert_eq!(end, Err(BodyError::Truncated), "{data:?}");
    }
    for (body, error) in [
        ("x\r\n", BodyError::ChunkSize),
        ("\r\n", BodyError::ChunkSize),
        ("5\r\nhello!", BodyError::ChunkDataEnd),
        ("5\nhello", BodyError::ChunkLineEnd),
        ("fffffffffffffffff\r\n", BodyError::ChunkTooLarge),
        ("0\r\nContent-Length: 1\r\n\r\n", BodyError::TrailerForbidden),
    ] {
        let data = format!("HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n{body}");
        let Answer::Good { end, keep_alive, .. } = answer(Method::Post, &data) else {
            panic!("{data:?}")
        };
        assert_eq!((end, keep_alive), (Err(error), false), "{data:?}");
    }
}

#[test]
fn surplus_bytes_are_left_and_seen() {
    for (method, data, rest) in [
        (
            Method::Post,
            "HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nhiHTTP/1.1 200 OK\r\n",
            17,
        ),
        (
            Method::Post,
            "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\nmore",
            4,
        ),
        (Method::Head, "HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nhi", 2),
        (Method::Get, "HTTP/1.1 304 X\r\nContent-Length: 2\r\n\r\nhi", 2),
        (Method::Get, "HTTP/1.1 204 X\r\n\r\nhello", 5),
    ] {
        let Answer::Good { surplus, end, .. } = answer(method, data) else {
            panic!("{data:?}")
        };
        assert_eq!((surplus, end), (rest, Ok(())), "{data:?}");
    }
}

#[test]
fn what_a_head_says() {
    let head = b"HTTP/1.0 200 Fine so far\r\nContent-Length: 7\r\nConnection: X-Hop\r\nx-hop: 1\r\nKeep-Alive: 5\r\n\
        Upgrade: h2\r\nX-End: e\r\nProxy-Authenticate: Basic\r\n\r\n";
    let parsed = parse_response(head, Method::Head, &HeadLimits::default()).unwrap();
    assert_eq!((parsed.version, parsed.status), (Version::Http10, 200));
    assert_eq!(parsed.reason.of(head), b"Fine so far");
    assert_eq!(parsed.content_length, Some(7));
    assert_eq!(
        parsed.end_to_end(head).collect::<Vec<_>>(),
        [(&b"X-End"[..], &b"e"[..])]
    );
    assert!(BadAnswer::ALL.iter().all(|bad| bad.status() == 502));
}
