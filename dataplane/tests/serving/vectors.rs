//! HTTP/1.1 requests that could be read in two ways, and their lawful neighbours: alone, before and behind a good one.
//!
//! Classes after RFC 9112 and RFC 9110. A vector that must be refused gets a 4xx or 5xx and the end of the connection,
//! and not one byte of it, nor of what is pipelined behind it, reaches the provider.

use sluice_shared::usage::Ended;

use crate::support::client::{End, chat, show};
use crate::support::setup::plain;
use crate::support::upstream::Upstream;
use crate::support::{Gateway, Setup};

struct Vector {
    name: &'static str,
    bytes: Vec<u8>,
    /// Status of the refusal; `None`: the provider gets the request.
    refused: Option<u16>,
}

/// A body of 13 bytes.
const BODY: &str = r#"{"model":"m"}"#;
const LINE: &str = "POST /v1/chat/completions HTTP/1.1\r\n";

fn vector(name: &'static str, refused: impl Into<Option<u16>>, bytes: impl Into<Vec<u8>>) -> Vector {
    Vector {
        name,
        bytes: bytes.into(),
        refused: refused.into(),
    }
}

/// A POST with these fields and the body as it is.
fn fields(name: &'static str, refused: impl Into<Option<u16>>, fields: &str) -> Vector {
    vector(name, refused, format!("{LINE}Host: a\r\n{fields}\r\n{BODY}"))
}

/// A POST with a good length and these further fields.
fn further(name: &'static str, refused: impl Into<Option<u16>>, text: &str) -> Vector {
    fields(name, refused, &format!("Content-Length: 13\r\n{text}"))
}

/// A POST with this chunked body.
fn chunks(name: &'static str, refused: impl Into<Option<u16>>, body: impl AsRef<str>) -> Vector {
    let head = format!(
        "{LINE}Host: a\r\nTransfer-Encoding: chunked\r\n\r\n{}",
        body.as_ref()
    );
    vector(name, refused, head)
}

/// A POST with this request line and a good rest.
fn line(name: &'static str, refused: impl Into<Option<u16>>, line: &str) -> Vector {
    vector(
        name,
        refused,
        format!("{line}\r\nHost: a\r\nContent-Length: 13\r\n\r\n{BODY}"),
    )
}

/// A POST to this target.
fn target(name: &'static str, refused: impl Into<Option<u16>>, target: &str) -> Vector {
    line(name, refused, &format!("POST {target} HTTP/1.1"))
}

/// A POST with these lines instead of the one `Host`.
fn host(name: &'static str, refused: impl Into<Option<u16>>, lines: &str) -> Vector {
    vector(
        name,
        refused,
        format!("{LINE}{lines}Content-Length: 13\r\n\r\n{BODY}"),
    )
}

fn framing() -> Vec<Vector> {
    vec![
        fields("length", None, "Content-Length: 13\r\n"),
        fields("length with zeros", None, "Content-Length: 00013\r\n"),
        fields("length with blanks around", None, "Content-Length: \t 13 \t\r\n"),
        fields("length in another case", None, "cOnTeNt-LeNgTh:13\r\n"),
        fields("plus", 400, "Content-Length: +13\r\n"),
        fields("minus", 400, "Content-Length: -13\r\n"),
        fields("hexadecimal", 400, "Content-Length: 0x0d\r\n"),
        fields("fraction", 400, "Content-Length: 13.0\r\n"),
        fields("exponent", 400, "Content-Length: 13e0\r\n"),
        fields("underscore", 400, "Content-Length: 1_3\r\n"),
        fields("inner blank", 400, "Content-Length: 1 3\r\n"),
        fields("empty length", 400, "Content-Length:\r\n"),
        fields("list", 400, "Content-Length: 13, 13\r\n"),
        fields("semicolon", 400, "Content-Length: 13;\r\n"),
        fields("other digits", 400, "Content-Length: \u{661}\u{663}\r\n"),
        fields("vertical tab", 400, "Content-Length: \x0b13\r\n"),
        fields("beyond 64 bits", 413, "Content-Length: 18446744073709551629\r\n"),
        fields(
            "forty digits",
            413,
            &format!("Content-Length: {}\r\n", "9".repeat(40)),
        ),
        fields(
            "twice the same",
            400,
            "Content-Length: 13\r\nContent-Length: 13\r\n",
        ),
        fields("two lengths", 400, "Content-Length: 13\r\nContent-Length: 0\r\n"),
        fields(
            "length and chunked",
            400,
            "Content-Length: 13\r\nTransfer-Encoding: chunked\r\n",
        ),
        fields(
            "chunked and length",
            400,
            "Transfer-Encoding: chunked\r\nContent-Length: 13\r\n",
        ),
        fields(
            "length and an empty coding",
            400,
            "Content-Length: 13\r\nTransfer-Encoding:\r\n",
        ),
        fields(
            "length and identity",
            400,
            "Content-Length: 13\r\nTransfer-Encoding: identity\r\n",
        ),
        fields("identity", 400, "Transfer-Encoding: identity\r\n"),
        fields(
            "coding twice",
            400,
            "Transfer-Encoding: chunked\r\nTransfer-Encoding: chunked\r\n",
        ),
        fields(
            "chunked listed twice",
            400,
            "Transfer-Encoding: chunked, chunked\r\n",
        ),
        fields("chunked not last", 400, "Transfer-Encoding: chunked, gzip\r\n"),
        fields(
            "coding before chunked",
            501,
            "Transfer-Encoding: gzip, chunked\r\n",
        ),
        fields(
            "coding with a parameter",
            400,
            "Transfer-Encoding: chunked;q=1\r\n",
        ),
        fields("quoted coding", 400, "Transfer-Encoding: \"chunked\"\r\n"),
        fields("prefix of a coding", 400, "Transfer-Encoding: xchunked\r\n"),
        fields(
            "vertical tab before the coding",
            400,
            "Transfer-Encoding: \x0bchunked\r\n",
        ),
        fields("blank before the colon", 400, "Transfer-Encoding : chunked\r\n"),
        fields("blank before the length's colon", 400, "Content-Length : 13\r\n"),
        fields("underscore in the name", 411, "Content_Length: 13\r\n"),
        fields("no framing", 411, ""),
        vector(
            "chunked in 1.0",
            400,
            format!(
                "POST /v1/chat/completions HTTP/1.0\r\nTransfer-Encoding: chunked\r\n\r\nd\r\n{BODY}\r\n0\r\n\r\n"
            ),
        ),
        vector(
            "get with a bad length",
            400,
            "GET /healthz HTTP/1.1\r\nHost: a\r\nContent-Length: 1x\r\n\r\n",
        ),
    ]
}

fn chunk_grammar() -> Vec<Vector> {
    let whole = format!("d\r\n{BODY}\r\n0\r\n\r\n");
    let after = |rest: &str| format!("d\r\n{BODY}\r\n{rest}");
    vec![
        chunks("chunks", None, &whole),
        chunks("upper case size", None, format!("D\r\n{BODY}\r\n0\r\n\r\n")),
        chunks(
            "sixteen digits",
            None,
            format!("000000000000000d\r\n{BODY}\r\n000\r\n\r\n"),
        ),
        chunks(
            "extensions",
            None,
            format!("d ; a = \"b\\\";\" ;c\r\n{BODY}\r\n0;d=e\r\n\r\n"),
        ),
        chunks("trailers", None, after("0\r\nX-A: 1\r\nX-B:\r\n\r\n")),
        chunks("no size", 400, format!("\r\n{BODY}\r\n0\r\n\r\n")),
        chunks("size with prefix", 400, format!("0xd\r\n{BODY}\r\n0\r\n\r\n")),
        chunks("size with plus", 400, format!("+d\r\n{BODY}\r\n0\r\n\r\n")),
        chunks("size with minus", 400, format!("-d\r\n{BODY}\r\n0\r\n\r\n")),
        chunks("blank before the size", 400, format!(" d\r\n{BODY}\r\n0\r\n\r\n")),
        chunks("blank behind the size", 400, format!("d \r\n{BODY}\r\n0\r\n\r\n")),
        chunks(
            "seventeen digits",
            400,
            format!("0000000000000000d\r\n{BODY}\r\n0\r\n\r\n"),
        ),
        chunks("no hexadecimal digit", 400, format!("g\r\n{BODY}\r\n0\r\n\r\n")),
        chunks(
            "largest size",
            413,
            format!("ffffffffffffffff\r\n{BODY}\r\n0\r\n\r\n"),
        ),
        chunks("size line ends in LF", 400, format!("d\n{BODY}\r\n0\r\n\r\n")),
        chunks(
            "size line ends in CR CR LF",
            400,
            format!("d\r\r\n{BODY}\r\n0\r\n\r\n"),
        ),
        chunks("size line ends in CR", 400, format!("d\r{BODY}\r\n0\r\n\r\n")),
        chunks("data too long", 400, format!("5\r\n{BODY}\r\n0\r\n\r\n")),
        chunks("data too short", 400, format!("e\r\n{BODY}\r\n0\r\n\r\n")),
        chunks(
            "no line end behind the data",
            400,
            format!("d\r\n{BODY}0\r\n\r\n"),
        ),
        chunks("LF behind the data", 400, format!("d\r\n{BODY}\n0\r\n\r\n")),
        chunks("nameless extension", 400, format!("d;\r\n{BODY}\r\n0\r\n\r\n")),
        chunks(
            "control byte in an extension",
            400,
            format!("d;a\x01\r\n{BODY}\r\n0\r\n\r\n"),
        ),
        chunks("LF in an extension", 400, format!("d;a\n{BODY}\r\n0\r\n\r\n")),
        chunks(
            "LF in a quoted extension",
            400,
            format!("d;a=\"\n\"\r\n{BODY}\r\n0\r\n\r\n"),
        ),
        chunks(
            "long extension",
            431,
            format!("d;a={}\r\n{BODY}\r\n0\r\n\r\n", "x".repeat(300)),
        ),
        chunks(
            "length in a trailer",
            400,
            after("0\r\nContent-Length: 0\r\n\r\n"),
        ),
        chunks(
            "coding in a trailer",
            400,
            after("0\r\ntransfer-encoding: chunked\r\n\r\n"),
        ),
        chunks("host in a trailer", 400, after("0\r\nHost: b\r\n\r\n")),
        chunks("folded trailer", 400, after("0\r\nX-A: 1\r\n 2\r\n\r\n")),
        chunks("blank in a trailer's name", 400, after("0\r\nX A: 1\r\n\r\n")),
        chunks("trailer without a colon", 400, after("0\r\nXA\r\n\r\n")),
        chunks("trailers end in LF", 400, after("0\r\n\n")),
        chunks(
            "trailers without end",
            431,
            after(&format!(
                "0\r\n{}",
                "X-A: 0123456789012345678901234567890123456789\r\n".repeat(400)
            )),
        ),
    ]
}

fn head_grammar() -> Vec<Vector> {
    let many = |count: usize| "X-A: 1\r\n".repeat(count);
    vec![
        further(
            "tabs and letters beyond ASCII in a value",
            None,
            "X-A: \t\u{e4}\t b\r\n",
        ),
        further("empty value", None, "X-A:\r\n"),
        further("as many fields as may be", None, &many(98)),
        further("one field too many", 431, &many(99)),
        further(
            "too long a head",
            431,
            &format!("X-A: {}\r\n", "x".repeat(65 << 10)),
        ),
        further("folded", 400, "X-A: 1\r\n 2\r\n"),
        further("folded by a tab", 400, "X-A: 1\r\n\t2\r\n"),
        further("LF", 400, "X-A: 1\nX-B: 2\r\n"),
        further("CR in a value", 400, "X-A: 1\r2\r\n"),
        further("NUL in a value", 400, "X-A: 1\0\r\n"),
        further("control byte in a value", 400, "X-A: \x01\r\n"),
        further("DEL in a value", 400, "X-A: \x7f\r\n"),
        further("blank before the colon", 400, "X-A : 1\r\n"),
        further("blank in a name", 400, "X A: 1\r\n"),
        further("bracket in a name", 400, "X(A: 1\r\n"),
        further("NUL in a name", 400, "X\0A: 1\r\n"),
        further("letter beyond ASCII in a name", 400, "X\u{e4}: 1\r\n"),
        further("no name", 400, ": 1\r\n"),
        further("no colon", 400, "XA\r\n"),
        further("list that is none", 400, "Connection: a b\r\n"),
        further("unknown expectation", 417, "Expect: 200-ok\r\n"),
        further(
            "two expectations",
            417,
            "Expect: 100-continue\r\nExpect: 100-continue\r\n",
        ),
        further("another protocol", 426, "Connection: upgrade\r\nUpgrade: h2c\r\n"),
        further("web socket", 426, "Connection: upgrade\r\nUpgrade: websocket\r\n"),
        further("compressed body", 415, "Content-Encoding: gzip\r\n"),
        fields(
            "blank first line of fields",
            400,
            " X-A: 1\r\nContent-Length: 13\r\n",
        ),
        vector(
            "ends in LF LF",
            400,
            format!("{LINE}Host: a\nContent-Length: 13\n\n{BODY}"),
        ),
        vector(
            "ends in CR CR",
            400,
            format!("{LINE}Host: a\r\nContent-Length: 13\r\r{BODY}\r\n\r\n"),
        ),
    ]
}

fn request_lines() -> Vec<Vector> {
    let long = |bytes: usize| format!("/v1/chat/completions?{}", "x".repeat(bytes - 21));
    vec![
        vector(
            "empty line first",
            None,
            format!("\r\n{LINE}Host: a\r\nContent-Length: 13\r\n\r\n{BODY}"),
        ),
        target(
            "query of odd bytes",
            None,
            "/v1/chat/completions?a=%00&/?@:!$'()*+,;=b",
        ),
        target("longest target", None, &long(8 << 10)),
        target("target too long", 414, &long((8 << 10) + 1)),
        vector(
            "many empty lines first",
            400,
            format!(
                "{}{LINE}Host: a\r\nContent-Length: 13\r\n\r\n{BODY}",
                "\r\n".repeat(20)
            ),
        ),
        vector(
            "LF first",
            400,
            format!("\n{LINE}Host: a\r\nContent-Length: 13\r\n\r\n{BODY}"),
        ),
        vector(
            "blank first",
            400,
            format!(" {LINE}Host: a\r\nContent-Length: 13\r\n\r\n{BODY}"),
        ),
        line(
            "two blanks before the target",
            400,
            "POST  /v1/chat/completions HTTP/1.1",
        ),
        line(
            "two blanks behind the target",
            400,
            "POST /v1/chat/completions  HTTP/1.1",
        ),
        line("blank at the end", 400, "POST /v1/chat/completions HTTP/1.1 "),
        line("tabs", 400, "POST\t/v1/chat/completions\tHTTP/1.1"),
        line("no version", 400, "POST /v1/chat/completions"),
        line("version in lower case", 400, "POST /v1/chat/completions http/1.1"),
        line(
            "version with two digits",
            400,
            "POST /v1/chat/completions HTTP/1.10",
        ),
        line(
            "version without a point",
            400,
            "POST /v1/chat/completions HTTP/11",
        ),
        line("version 0.9", 505, "POST /v1/chat/completions HTTP/0.9"),
        line("version 1.2", 505, "POST /v1/chat/completions HTTP/1.2"),
        line("version 2.0", 505, "POST /v1/chat/completions HTTP/2.0"),
        vector("preface of HTTP/2", 505, "PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"),
        line("method in lower case", 501, "post /v1/chat/completions HTTP/1.1"),
        line("unknown method", 501, "BREW /v1/chat/completions HTTP/1.1"),
        line(
            "no token for a method",
            400,
            "PO(ST /v1/chat/completions HTTP/1.1",
        ),
        line("trace", 405, "TRACE /v1/chat/completions HTTP/1.1"),
        line("query", 405, "QUERY /api/requests HTTP/1.1"),
        line("connect", 405, "CONNECT a:443 HTTP/1.1"),
        target("absolute form", 400, "http://a/v1/chat/completions"),
        target("authority form", 400, "a:80"),
        target("asterisk", 400, "*"),
        target("no slash", 400, "v1/chat/completions"),
        target("fragment", 400, "/v1/chat/completions#a"),
        target("backslash", 400, "/v1\\chat/completions"),
        target("quote", 400, "/v1/chat/completions?\""),
        target("letter beyond ASCII", 400, "/v1/chat/completions\u{e4}"),
        target("control byte", 400, "/v1/chat/completions\x01"),
        target("broken escape", 400, "/v1/chat/completions%4"),
        target("no escape", 400, "/v1/chat/completions%zz"),
        target("dot segments", 400, "/v1/../v1/chat/completions"),
        target("encoded dot segments", 400, "/v1/%2e%2E/v1/chat/completions"),
        target("single dot", 400, "/v1/./chat/completions"),
        target("two slashes", 400, "//v1/chat/completions"),
        target("encoded slash", 400, "/v1%2fchat/completions"),
        target("encoded backslash", 400, "/v1/chat%5ccompletions"),
        target("encoded NUL", 400, "/v1/chat/completions%00"),
        target("parameter", 400, "/v1/chat/completions;a"),
        target("encoded twice", 400, "/v1/chat%252fcompletions"),
        target("encoded letter", 404, "/v1/chat/%63ompletions"),
        target("another case", 404, "/V1/Chat/Completions"),
        target("slash at the end", 404, "/v1/chat/completions/"),
        target("dot at the end", 404, "/v1/chat/completions."),
        target("beneath a page of the control plane", 404, "/v1/api/chat"),
    ]
}

fn hosts() -> Vec<Vector> {
    vec![
        host("name and port", None, "Host: a.example:8080\r\n"),
        host("IPv6", None, "Host: [::1]:80\r\n"),
        host("missing", 400, ""),
        host("twice", 400, "Host: a\r\nHost: a\r\n"),
        host("two names", 400, "Host: a\r\nHost: b\r\n"),
        host("empty", 400, "Host:\r\n"),
        host("blank", 400, "Host: a b\r\n"),
        host("comma", 400, "Host: a,b\r\n"),
        host("user", 400, "Host: u@a\r\n"),
        host("path", 400, "Host: a/b\r\n"),
        host("port too large", 400, "Host: a:99999\r\n"),
        host("port of letters", 400, "Host: a:b\r\n"),
        host("broken IPv6", 400, "Host: [::1\r\n"),
        host("beyond ASCII", 400, "Host: \u{e4}\r\n"),
    ]
}

fn all() -> Vec<Vector> {
    [
        framing(),
        chunk_grammar(),
        head_grammar(),
        request_lines(),
        hosts(),
    ]
    .into_iter()
    .flatten()
    .collect()
}

/// What came of some bytes on a connection of their own.
struct Seen {
    statuses: Vec<u16>,
    end: End,
    requests: usize,
    bytes: usize,
}

/// Sends, lets the gateway know that nothing more comes only when the last answer is there, and counts.
fn exchange(
    gateway: &Gateway,
    upstream: &Upstream,
    bytes: &[u8],
    split: Option<usize>,
    answers: usize,
) -> Seen {
    let (requests, received) = (upstream.requests().len(), upstream.bytes());
    let mut client = gateway.client();
    match split {
        None => drop(client.try_send(bytes)),
        Some(at) => client.send_split(bytes, at),
    }
    let mut statuses = Vec::new();
    // A refusal must end the connection by itself: it is not we who close.
    while statuses.len() < answers {
        let Ok(answer) = client.try_answer(false) else {
            break;
        };
        if answer.status >= 400 && answer.status != 404 {
            assert!(answer.says_close(), "{}", answer.head);
        }
        statuses.push(answer.status);
        if answer.status >= 400 {
            break;
        }
    }
    if statuses.last().is_some_and(|status| *status == 200) {
        client.half_close();
    }
    let (more, end) = client.answers();
    statuses.extend(more.iter().map(|answer| answer.status));
    Seen {
        statuses,
        end,
        requests: upstream.requests().len() - requests,
        bytes: upstream.bytes() - received,
    }
}

/// Red if a vector that must be refused reaches the provider, leaves the connection open, or lets what is pipelined
/// behind it through; if a good one is refused; if more or fewer requests arrive than answers go out or records stand.
#[test]
fn every_vector_alone_before_and_behind_a_good_request() {
    let upstream = Upstream::plain();
    let gateway = Gateway::start(Setup::new(plain(upstream.address)));
    let vectors = all();
    assert!(vectors.len() >= 80);
    let mut answered = 0;
    for Vector { name, bytes, refused } in &vectors {
        let good = chat("good");
        let own = refused.unwrap_or(200);
        for (place, sent, expected) in [
            ("alone", bytes.clone(), vec![own]),
            ("first", [bytes.as_slice(), &good].concat(), vec![own, 200]),
            ("second", [good.as_slice(), bytes].concat(), vec![200, own]),
        ] {
            let expected = match expected.iter().position(|status| *status >= 400) {
                Some(last) => &expected[..=last],
                None => &expected[..],
            };
            let seen = exchange(&gateway, &upstream, &sent, None, expected.len());
            let what = format!("{name}, {place}: {}", show(&sent));
            assert_eq!(seen.statuses, expected, "{what}");
            assert_eq!(seen.end, End::Fin, "{what}");
            let passed = expected.iter().filter(|status| **status == 200).count();
            assert_eq!(seen.requests, passed, "{what}");
            if passed == 0 {
                assert_eq!(seen.bytes, 0, "{what}");
            }
            answered += passed;
        }
    }
    for request in upstream.requests() {
        assert_eq!(request.fields("content-length").len(), 1, "{}", request.head);
        assert_eq!(request.fields("content-length"), [request.body.len().to_string()]);
        assert!(request.fields("transfer-encoding").is_empty(), "{}", request.head);
        assert_eq!(request.fields("host").len(), 1);
    }
    let complete = |record: &&_| -> bool {
        let record: &sluice_shared::usage::UsageRecord = record;
        record.ended == Ended::Complete
    };
    let records = gateway.records();
    assert_eq!(records.iter().filter(complete).count(), answered);
    assert_eq!(upstream.requests().len(), answered);
    println!(
        "{} vectors in 3 places, {answered} requests passed",
        vectors.len()
    );
}

/// Red if the outcome depends on how the bytes are cut into reads.
#[test]
fn a_cut_at_any_byte_changes_nothing() {
    let upstream = Upstream::plain();
    let gateway = Gateway::start(Setup::new(plain(upstream.address)));
    let names = [
        "length",
        "extensions",
        "trailers",
        "length and chunked",
        "data too short",
        "folded trailer",
        "twice",
        "no version",
    ];
    let mut cuts = 0;
    for Vector { name, bytes, refused } in all() {
        if !names.contains(&name) {
            continue;
        }
        let own = refused.unwrap_or(200);
        for at in 1..bytes.len() {
            let seen = exchange(&gateway, &upstream, &bytes, Some(at), 1);
            assert_eq!(seen.statuses, [own], "{name} cut at {at}");
            assert_eq!(seen.requests, usize::from(own == 200), "{name} cut at {at}");
            if own != 200 {
                assert_eq!(seen.bytes, 0, "{name} cut at {at}");
            }
            cuts += 1;
        }
    }
    assert!(cuts > 500);
    println!("{cuts} cuts");
}
