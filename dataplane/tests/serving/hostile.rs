//! Providers that break the protocol: an answer that could be read in two ways is never passed on.

use std::sync::{Arc, Mutex};

use sluice_shared::usage::{Ended, UsageRecord};

use crate::support::client::{Framed, chat, get, show};
use crate::support::setup::plain;
use crate::support::upstream::{Upstream, json};
use crate::support::{Gateway, Setup};

/// What the provider does behind the bytes of its answer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Then {
    Wait,
    Fin,
    Reset,
}

/// What the client must see.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Sees {
    /// A 502 of ours.
    Refusal,
    /// The beginning of the answer, and a break.
    Break,
    /// The answer with this status.
    Answer(u16),
}

struct Case {
    name: &'static str,
    answer: Vec<u8>,
    then: Then,
    sees: Sees,
}

fn case(name: &'static str, sees: Sees, then: Then, answer: impl Into<Vec<u8>>) -> Case {
    Case {
        name,
        answer: answer.into(),
        then,
        sees,
    }
}

/// A head that is refused; the body would be two bytes.
fn head(name: &'static str, fields: &str) -> Case {
    case(
        name,
        Sees::Refusal,
        Then::Wait,
        format!("HTTP/1.1 200 OK\r\n{fields}\r\n\r\n{{}}"),
    )
}

fn status(name: &'static str, line: &str) -> Case {
    case(
        name,
        Sees::Refusal,
        Then::Wait,
        format!("{line}\r\nContent-Length: 2\r\n\r\n{{}}"),
    )
}

/// A chunked body that is refused.
fn chunks(name: &'static str, body: impl AsRef<str>) -> Case {
    let body = body.as_ref();
    case(
        name,
        Sees::Break,
        Then::Wait,
        format!("HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n{body}"),
    )
}

fn cases() -> Vec<Case> {
    use Sees::{Answer, Break, Refusal};
    use Then::{Fin, Reset, Wait};
    vec![
        head(
            "length and chunked",
            "Content-Length: 2\r\nTransfer-Encoding: chunked",
        ),
        head(
            "chunked and length",
            "Transfer-Encoding: chunked\r\nContent-Length: 2",
        ),
        head("same length twice", "Content-Length: 2\r\nContent-Length: 2"),
        head("two lengths", "Content-Length: 2\r\nContent-Length: 20"),
        head("list of lengths", "Content-Length: 2, 2"),
        head("plus", "Content-Length: +2"),
        head("minus", "Content-Length: -2"),
        head("hexadecimal", "Content-Length: 0x2"),
        head("empty length", "Content-Length:"),
        head("length beyond 64 bits", "Content-Length: 99999999999999999999999"),
        head("coding before chunked", "Transfer-Encoding: gzip, chunked"),
        head("identity", "Transfer-Encoding: identity"),
        head("chunked not last", "Transfer-Encoding: chunked, gzip"),
        head(
            "coding twice",
            "Transfer-Encoding: chunked\r\nTransfer-Encoding: chunked",
        ),
        head("folded", "Content-Length: 2\r\nX-A: 1\r\n 2"),
        head("blank before the colon", "Content-Length : 2"),
        head("no colon", "Content-Length: 2\r\nXA"),
        head("NUL", "Content-Length: 2\r\nX-A: \0"),
        head("bare CR", "Content-Length: 2\r\nX-A: a\rb"),
        head("no list", "Content-Length: 2\r\nConnection: a b"),
        head(
            "field bomb",
            &format!("Content-Length: 2{}", "\r\nX-A: 1".repeat(150)),
        ),
        head(
            "long head",
            &format!("Content-Length: 2\r\nX-A: {}", "x".repeat(70 << 10)),
        ),
        status("another protocol", "ICY 200 OK"),
        status("HTTP/2", "HTTP/2 200 OK"),
        status("version in lower case", "http/1.1 200 OK"),
        status("two blanks", "HTTP/1.1  200 OK"),
        status("two digits", "HTTP/1.1 20 OK"),
        status("four digits", "HTTP/1.1 2000 OK"),
        status("below 100", "HTTP/1.1 099 No"),
        status("beyond 599", "HTTP/1.1 600 No"),
        status("no blank behind the status", "HTTP/1.1 200OK"),
        case(
            "chunked in 1.0",
            Refusal,
            Wait,
            "HTTP/1.0 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n2\r\n{}\r\n0\r\n\r\n",
        ),
        case(
            "line ends in LF",
            Refusal,
            Wait,
            "HTTP/1.1 200 OK\nContent-Length: 2\n\n{}",
        ),
        case(
            "a TLS record",
            Refusal,
            Wait,
            &b"\x15\x03\x01\x00\x02\x02\x46\r\n\r\n"[..],
        ),
        case(
            "switches protocols",
            Refusal,
            Wait,
            "HTTP/1.1 101 Switching Protocols\r\nUpgrade: x\r\nConnection: upgrade\r\n\r\n",
        ),
        case(
            "204 with a length",
            Refusal,
            Wait,
            "HTTP/1.1 204 No Content\r\nContent-Length: 2\r\n\r\n{}",
        ),
        case(
            "204 with chunks",
            Refusal,
            Wait,
            "HTTP/1.1 204 No Content\r\nTransfer-Encoding: chunked\r\n\r\n2\r\n{}\r\n0\r\n\r\n",
        ),
        case(
            "100 with a length",
            Refusal,
            Wait,
            "HTTP/1.1 100 Continue\r\nContent-Length: 2\r\n\r\n{}",
        ),
        case(
            "flood of 100",
            Refusal,
            Wait,
            "HTTP/1.1 100 Continue\r\n\r\n".repeat(2_000),
        ),
        case(
            "flood of 103",
            Refusal,
            Wait,
            "HTTP/1.1 103 Early Hints\r\nLink: <a>\r\n\r\n".repeat(2_000),
        ),
        case("nothing", Refusal, Fin, ""),
        case("nothing, reset", Refusal, Reset, ""),
        case("half a head", Refusal, Fin, "HTTP/1.1 200 OK\r\nContent-Le"),
        case(
            "half a head, reset",
            Refusal,
            Reset,
            "HTTP/1.1 200 OK\r\nContent-Le",
        ),
        case("only interim", Refusal, Fin, "HTTP/1.1 100 Continue\r\n\r\n"),
        chunks("chunk size of letters", "zz\r\n{}\r\n0\r\n\r\n"),
        chunks("chunk size with prefix", "0x2\r\n{}\r\n0\r\n\r\n"),
        chunks("no chunk size", "\r\n{}\r\n0\r\n\r\n"),
        chunks("seventeen digits", "00000000000000002\r\n{}\r\n0\r\n\r\n"),
        chunks("largest chunk", "ffffffffffffffff\r\n{}\r\n0\r\n\r\n"),
        chunks("chunk line ends in LF", "2\n{}\r\n0\r\n\r\n"),
        chunks("chunk too long", "2\r\n{}}\r\n0\r\n\r\n"),
        chunks("length in a trailer", "2\r\n{}\r\n0\r\nContent-Length: 2\r\n\r\n"),
        chunks(
            "long extension",
            format!("2;a={}\r\n{{}}\r\n0\r\n\r\n", "x".repeat(300)),
        ),
        chunks(
            "trailer bomb",
            format!("2\r\n{{}}\r\n0\r\n{}", "X-A: 1\r\n".repeat(4_000)),
        ),
        case(
            "chunks without end",
            Break,
            Fin,
            "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n2\r\n{}\r\n",
        ),
        case(
            "chunks without end, reset",
            Break,
            Reset,
            "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n2\r\n{}\r\n",
        ),
        case(
            "half a chunk",
            Break,
            Fin,
            "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n20\r\n{}",
        ),
        case(
            "half the last chunk",
            Break,
            Fin,
            "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n2\r\n{}\r\n0\r\n",
        ),
        case(
            "less than stated",
            Break,
            Fin,
            "HTTP/1.1 200 OK\r\nContent-Length: 20\r\n\r\n{}",
        ),
        case(
            "less than stated, reset",
            Break,
            Reset,
            "HTTP/1.1 200 OK\r\nContent-Length: 20\r\n\r\n{}",
        ),
        case("no length, reset", Break, Reset, "HTTP/1.1 200 OK\r\n\r\n{}"),
        // What is lawful passes.
        case("no length", Answer(200), Fin, "HTTP/1.1 200 OK\r\n\r\n{}"),
        case("old version", Answer(200), Fin, "HTTP/1.0 200 OK\r\n\r\n{}"),
        case(
            "no reason",
            Answer(200),
            Wait,
            "HTTP/1.1 200\r\nContent-Length: 2\r\n\r\n{}",
        ),
        case(
            "interim first",
            Answer(200),
            Wait,
            "HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 103 Hints\r\nLink: <a>\r\n\r\nHTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\n{}",
        ),
        case(
            "trailers",
            Answer(200),
            Wait,
            "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n2;a=b\r\n{}\r\n0\r\nX-A: 1\r\n\r\n",
        ),
        case(
            "no content",
            Answer(204),
            Wait,
            "HTTP/1.1 204 No Content\r\nContent-Length: 0\r\n\r\n",
        ),
        case(
            "an error of its own",
            Answer(529),
            Wait,
            "HTTP/1.1 529 Overloaded\r\nContent-Length: 2\r\n\r\n{}",
        ),
    ]
}

/// Red if a faulty answer is passed on as a good one, hangs, or leaves the connection in the pool; if a lawful one is
/// refused; if a record is missing or says something else than the client saw.
#[test]
fn ambiguous_answers_are_never_passed_on() {
    let next: Arc<Mutex<(Vec<u8>, Then)>> = Arc::new(Mutex::new((Vec::new(), Then::Wait)));
    let script = next.clone();
    let upstream = Upstream::scripted(move |exchange| {
        if exchange.body().is_none() {
            return;
        }
        let (answer, then) = script.lock().unwrap().clone();
        exchange.send(&answer);
        match then {
            Then::Wait => {}
            Then::Fin => exchange.fin(),
            Then::Reset => exchange.reset(),
        }
    });
    let gateway = Gateway::start(Setup::new(plain(upstream.address)));
    let cases = cases();
    assert!(cases.len() >= 40);
    for (
        number,
        Case {
            name,
            answer,
            then,
            sees,
        },
    ) in cases.iter().enumerate()
    {
        *next.lock().unwrap() = (answer.clone(), *then);
        let mut client = gateway.client();
        client.send(chat("m"));
        let got = client.try_answer(false);
        let record = gateway.wait_records(number + 1).pop().unwrap();
        let connection = upstream.last().connection;
        let check = |record: &UsageRecord, ended: Ended, status: u16| {
            assert_eq!((record.ended, record.status), (ended, status), "{name}");
        };
        match (sees, got) {
            (Sees::Refusal, Ok(got)) => refused(name, &got, &record, &check),
            // A reset may overtake the bytes before it.
            (Sees::Break, Ok(got)) if *then == Then::Reset && got.status == 502 => {
                refused(name, &got, &record, &check);
            }
            (Sees::Break, Err(cut)) => {
                assert!(
                    cut.received.starts_with(b"HTTP/1.1 200 ") && !cut.received.ends_with(b"0\r\n\r\n"),
                    "{name}: {}",
                    show(&cut.received)
                );
                check(&record, Ended::UpstreamFailed, 200);
            }
            (Sees::Answer(status), Ok(got)) => {
                assert_eq!(got.status, *status, "{name}");
                assert!(
                    got.field("x-sluice-error").is_none() && got.field("link").is_none(),
                    "{name}"
                );
                let body = if *status == 204 { "" } else { "{}" };
                assert_eq!(got.text(), body, "{name}");
                check(&record, Ended::Complete, *status);
                continue;
            }
            (_, got) => panic!("{name}: expected {sees:?}, got {got:?}"),
        }
        upstream.closed_at(connection);
    }
    *next.lock().unwrap() = (json("{}"), Then::Wait);
    assert_eq!(gateway.call(chat("m")).status, 200);
    println!("{} answers", cases.len());
}

fn refused(
    name: &str,
    got: &crate::support::client::Answer,
    record: &UsageRecord,
    check: &impl Fn(&UsageRecord, Ended, u16),
) {
    assert_eq!(got.status, 502, "{name}: {}", got.head);
    let code = got.field("x-sluice-error").unwrap();
    assert!(
        matches!(code, "upstream_bad_answer" | "upstream_closed"),
        "{name}: {code}"
    );
    assert_eq!(
        got.field("x-sluice-request-id").unwrap().as_bytes(),
        record.request_id.hex()
    );
    assert!(
        got.text().starts_with("{\"error\":{\"message\":"),
        "{name}: {}",
        got.text()
    );
    assert_eq!(record.error.as_deref(), Some(code), "{name}");
    check(record, Ended::UpstreamFailed, 502);
}

/// Red if bytes behind the end of an answer become the beginning of the next one.
#[test]
fn what_follows_an_answer_unasked_is_nobodys_answer() {
    for answer in [
        &b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\n{}HTTP/1.1 200 OK\r\nContent-Length: 4\r\n\r\nevil"[..],
        b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n2\r\n{}\r\n0\r\n\r\nevil",
        b"HTTP/1.1 204 No Content\r\n\r\nHTTP/1.1 200 OK\r\nContent-Length: 4\r\n\r\nevil",
    ] {
        let upstream = Upstream::answering(answer);
        let gateway = Gateway::start(Setup::new(plain(upstream.address)));
        let mut client = gateway.client();
        for round in 0..3 {
            client.send(chat("m"));
            let got = client.answer();
            assert!(!got.text().contains("evil"), "{}", show(answer));
            upstream.closed_at(round);
        }
        assert_eq!(upstream.connections(), 3);
    }
}

/// Red if an answer that comes later, while the connection idles in the pool, is taken for the next request's.
#[test]
fn an_answer_to_nothing_spoils_the_idle_connection() {
    let (sent, wait) = std::sync::mpsc::channel();
    let (answered, go) = std::sync::mpsc::channel();
    let go = Mutex::new(go);
    let upstream = Upstream::scripted(move |exchange| {
        exchange.body();
        exchange.json("{}");
        go.lock().unwrap().recv().unwrap();
        exchange.send("HTTP/1.1 200 OK\r\nContent-Length: 4\r\n\r\nevil");
        exchange.until_unread();
        sent.send(()).unwrap();
    });
    let gateway = Gateway::start(Setup::new(plain(upstream.address)));
    for _ in 0..20 {
        assert_eq!(gateway.call(chat("m")).text(), "{}");
        answered.send(()).unwrap();
        wait.recv().unwrap();
    }
    assert_eq!(upstream.connections(), 20);
}

/// Red if a stored response's HEAD is given a body, or the length is lost.
#[test]
fn head_answers_have_no_body() {
    let upstream = Upstream::answering("HTTP/1.1 200 OK\r\nContent-Length: 12\r\n\r\n");
    let gateway = Gateway::start(Setup::new(plain(upstream.address)));
    let mut client = gateway.client();
    client.send("HEAD /v1/responses/resp_1 HTTP/1.1\r\nHost: a\r\n\r\n");
    let got = client.answer_to_head();
    assert_eq!(
        (got.status, got.field("content-length"), got.framed),
        (200, Some("12"), Framed::Nothing)
    );
    client.send(get("/healthz"));
    assert_eq!(client.answer().text(), "ok\n");
    assert_eq!(upstream.requests().len(), 1);
    assert!(
        !upstream.last().head.contains("ontent-Length"),
        "{}",
        upstream.last().head
    );
}
