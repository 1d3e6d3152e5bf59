//! The mock on a real socket: faults where they were asked for, framings, keep-alive, the ledger.
#![allow(clippy::unwrap_used, reason = "tests, helpers included")]

use std::future::Future;
use std::net::SocketAddr;
use std::time::Duration;

use serde_json::Value;
use sluice_loadtest::mock::{Ending, Entry, Mock, MockOptions};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::{TcpListener, TcpStream};

/// Bound of a test that hangs; nothing waits for it otherwise.
const LIMIT: Duration = Duration::from_secs(20);

fn scenario<F: Future<Output = ()>>(test: impl FnOnce(Mock, SocketAddr) -> F) {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .unwrap();
    runtime.block_on(async {
        let listener = TcpListener::bind(("127.0.0.1", 0)).await.unwrap();
        let address = listener.local_addr().unwrap();
        let mock = Mock::new(MockOptions {
            ledger_max: 1000,
            ..MockOptions::default()
        });
        tokio::spawn(mock.clone().serve(listener));
        tokio::time::timeout(LIMIT, test(mock, address))
            .await
            .expect("the test hangs");
    });
}

fn request(path: &str, fields: &str, body: &str) -> Vec<u8> {
    format!(
        "POST {path} HTTP/1.1\r\nHost: x\r\n{fields}Content-Length: {}\r\n\r\n{body}",
        body.len()
    )
    .into_bytes()
}

/// Sends, ends nothing, reads until the mock closes; an error of the connection comes with what was read.
async fn read_to_end(stream: &mut TcpStream) -> (Vec<u8>, Option<std::io::ErrorKind>) {
    let mut all = Vec::new();
    let mut buffer = [0; 4096];
    loop {
        match stream.read(&mut buffer).await {
            Ok(0) => return (all, None),
            Ok(n) => all.extend_from_slice(&buffer[..n]),
            Err(error) => return (all, Some(error.kind())),
        }
    }
}

async fn exchange(address: SocketAddr, request: &[u8]) -> (String, Option<std::io::ErrorKind>) {
    let mut stream = TcpStream::connect(address).await.unwrap();
    stream.write_all(request).await.unwrap();
    let (bytes, error) = read_to_end(&mut stream).await;
    (String::from_utf8_lossy(&bytes).into_owned(), error)
}

async fn read_until(stream: &mut TcpStream, needle: &str) -> String {
    let mut text = String::new();
    let mut buffer = [0; 4096];
    while !text.contains(needle) {
        let n = stream.read(&mut buffer).await.unwrap();
        assert_ne!(n, 0, "closed before {needle}: {text}");
        text.push_str(std::str::from_utf8(&buffer[..n]).unwrap());
    }
    text
}

/// The entry once the mock is done with it.
async fn ended(mock: &Mock, id: &str) -> Entry {
    loop {
        if let Some(entry) = mock.find(id).filter(|entry| entry.ended != Ending::Running) {
            return entry;
        }
        tokio::task::yield_now().await;
    }
}

const STREAM: &str = r#"{"model":"m","stream":true,"messages":[]}"#;

#[test]
fn faults_come_after_the_events_asked_for() {
    scenario(|mock, address| async move {
        let rows = [
            ("fin:2", 2, None, ""),
            ("half:2", 2, None, "\r\nda"),
            ("reset:2", 2, Some(std::io::ErrorKind::ConnectionReset), ""),
        ];
        for (number, (fault, events, error, rest)) in rows.into_iter().enumerate() {
            let id = format!("f{number}");
            let fields = format!("x-mock-id: {id}\r\nx-mock-fault: {fault}\r\nx-mock-numbered: 1\r\n");
            let (text, got) = exchange(address, &request("/v1/chat/completions", &fields, STREAM)).await;
            assert_eq!(
                text.matches("data: {").count(),
                events + usize::from(!rest.is_empty()),
                "{fault}: {text}"
            );
            assert_eq!(got, error, "{fault}");
            assert!(
                text.contains(rest) && !text.ends_with("0\r\n\r\n"),
                "{fault}: {text}"
            );
            let entry = ended(&mock, &id).await;
            assert_eq!(
                (entry.ended, entry.events_sent),
                (Ending::Cut, events as u64),
                "{fault}"
            );
        }
        let (text, _) = exchange(
            address,
            &request("/v1/chat/completions", "x-mock-fault: fin\r\n", STREAM),
        )
        .await;
        assert_eq!(text, "", "no number: before the head");
    });
}

#[test]
fn an_error_event_ends_a_stream_in_good_order() {
    scenario(|mock, address| async move {
        let fields = "x-mock-id: e\r\nx-mock-fault: error:2\r\nConnection: close\r\n";
        let (text, _) = exchange(address, &request("/v1/messages", fields, STREAM)).await;
        assert!(
            text.contains("event: error\ndata: {\"type\":\"error\"") && text.ends_with("0\r\n\r\n"),
            "{text}"
        );
        assert!(!text.contains("message_stop"));
        assert_eq!(ended(&mock, "e").await.ended, Ending::Complete);
    });
}

#[test]
fn a_stalled_stream_notices_that_the_client_leaves() {
    scenario(|mock, address| async move {
        let mut stream = TcpStream::connect(address).await.unwrap();
        let fields = "x-mock-id: s\r\nx-mock-fault: stall:1\r\n";
        stream
            .write_all(&request("/v1/chat/completions", fields, STREAM))
            .await
            .unwrap();
        read_until(&mut stream, "\n\n").await;
        assert_eq!(mock.find("s").unwrap().ended, Ending::Running);
        drop(stream);
        assert_eq!(ended(&mock, "s").await.ended, Ending::ClientClosed);
    });
}

#[test]
fn a_client_that_resets_in_the_middle_is_told_apart() {
    scenario(|mock, address| async move {
        let mut stream = TcpStream::connect(address).await.unwrap();
        let fields = "x-mock-id: r\r\nx-mock-events: 100\r\nx-mock-gap-ms: 60000\r\n";
        stream
            .write_all(&request("/v1/chat/completions", fields, STREAM))
            .await
            .unwrap();
        read_until(&mut stream, "\n\n").await;
        stream.set_zero_linger().unwrap();
        drop(stream);
        let entry = ended(&mock, "r").await;
        assert_eq!((entry.ended, entry.events_sent), (Ending::ClientReset, 1));
    });
}

#[test]
fn pipelined_requests_are_answered_in_turn_and_ids_differ() {
    scenario(|mock, address| async move {
        let mut stream = TcpStream::connect(address).await.unwrap();
        let body = r#"{"model":"m","messages":[]}"#;
        let one = request("/v1/chat/completions", "x-mock-id: p1\r\n", body);
        let chunked = format!(
            "POST /v1/chat/completions HTTP/1.1\r\nHost: x\r\nx-mock-id: p2\r\nConnection: close\r\n\
             Transfer-Encoding: chunked\r\n\r\n5\r\n{}\r\n{:x}\r\n{}\r\n0\r\n\r\n",
            &body[..5],
            body.len() - 5,
            &body[5..]
        );
        stream
            .write_all(&[one, chunked.into_bytes()].concat())
            .await
            .unwrap();
        let (bytes, _) = read_to_end(&mut stream).await;
        let text = String::from_utf8(bytes).unwrap();
        assert_eq!(text.matches("HTTP/1.1 200 OK").count(), 2, "{text}");
        let (first, second) = (ended(&mock, "p1").await, ended(&mock, "p2").await);
        assert_eq!(
            first.body_crc32c, second.body_crc32c,
            "chunks make no difference to the body"
        );
        assert_ne!(first.answer_id, second.answer_id);
        for entry in [first, second] {
            assert!(
                text.contains(&format!("chatcmpl-{}", entry.answer_id.unwrap())),
                "{text}"
            );
            assert_eq!(entry.input_tokens, body.len().div_ceil(4) as u64);
        }
    });
}

#[test]
fn an_early_answer_leaves_the_body_unread() {
    scenario(|_, address| async move {
        let head = "POST /v1/messages HTTP/1.1\r\nHost: x\r\nx-mock-early: 1\r\nx-mock-status: 413\r\n\
            Content-Length: 1000000\r\n\r\nonly a little";
        let (text, error) = exchange(address, head.as_bytes()).await;
        assert!(
            text.starts_with("HTTP/1.1 413 ") && text.contains("request_too_large"),
            "{text}"
        );
        assert_eq!(error, None);
    });
}

#[test]
fn expect_continue_is_answered_before_the_body() {
    scenario(|_, address| async move {
        let mut stream = TcpStream::connect(address).await.unwrap();
        let head =
            "POST /v1/messages HTTP/1.1\r\nHost: x\r\nExpect: 100-continue\r\nContent-Length: 13\r\n\r\n";
        stream.write_all(head.as_bytes()).await.unwrap();
        assert_eq!(
            read_until(&mut stream, "\r\n\r\n").await,
            "HTTP/1.1 100 Continue\r\n\r\n"
        );
        stream.write_all(br#"{"model":"m"}"#).await.unwrap();
        read_until(&mut stream, "end_turn").await;
    });
}

#[test]
fn echo_tells_what_arrived() {
    scenario(|_, address| async move {
        let body = "{ \"model\" : \"m\",\t\"odd\": 1e3 }";
        let fields = "X-Api-Key: secret\r\nX-Odd:  two words \r\nx-mock-echo: 1\r\nConnection: close\r\n";
        let (text, _) = exchange(address, &request("/v1/messages?beta=true", fields, body)).await;
        let echoed: Value = serde_json::from_str(text.split_once("\r\n\r\n").unwrap().1).unwrap();
        assert_eq!(echoed["target"], "/v1/messages?beta=true");
        assert_eq!(
            echoed["body_crc32c"],
            format!("{:08x}", crc32c::crc32c(body.as_bytes()))
        );
        assert_eq!(echoed["headers"][1], serde_json::json!(["X-Api-Key", "secret"]));
        assert_eq!(echoed["headers"][2], serde_json::json!(["X-Odd", "two words"]));
    });
}

#[test]
fn framings_carry_the_same_body() {
    scenario(|_, address| async move {
        let mut bodies = Vec::new();
        for framing in ["length", "close"] {
            let fields = format!("x-mock-framing: {framing}\r\nConnection: close\r\nx-mock-events: 3\r\n");
            let (text, _) = exchange(address, &request("/v1/messages", &fields, STREAM)).await;
            let (head, body) = text.split_once("\r\n\r\n").unwrap();
            assert_eq!(head.contains("content-length"), framing == "length");
            bodies.push(
                body.split("\"msg_").next().unwrap().to_owned() + body.split("\",\"type\"").nth(1).unwrap(),
            );
        }
        assert_eq!(bodies[0], bodies[1]);
        let fields = "x-mock-events: 3\r\n";
        let old = String::from_utf8(request("/v1/messages", fields, STREAM))
            .unwrap()
            .replace("HTTP/1.1", "HTTP/1.0");
        let (text, _) = exchange(address, old.as_bytes()).await;
        assert!(
            !text.contains("chunked") && text.contains("message_stop"),
            "{text}"
        );
    });
}

#[test]
fn the_ledger_and_the_gauges_are_read_over_http() {
    scenario(|mock, address| async move {
        exchange(
            address,
            &request("/v1/messages", "x-mock-id: l\r\nConnection: close\r\n", STREAM),
        )
        .await;
        ended(&mock, "l").await;
        let get = |path: &str| format!("GET {path} HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n");
        let json =
            |text: String| -> Value { serde_json::from_str(text.split_once("\r\n\r\n").unwrap().1).unwrap() };
        let ledger = json(
            exchange(address, get("/mock/ledger?since=0&limit=5").as_bytes())
                .await
                .0,
        );
        assert_eq!(ledger["entries"][0]["id"], "l");
        assert_eq!(ledger["entries"][0]["ended"], "complete");
        assert_eq!(ledger["entries"][0]["api"], "anthropic_messages");
        let stats = json(exchange(address, get("/mock/stats").as_bytes()).await.0);
        assert_eq!(
            (&stats["requests_open"], &stats["requests_total"]),
            (&0.into(), &1.into())
        );
    });
}

#[test]
fn nonsense_is_refused() {
    scenario(|_, address| async move {
        for (bytes, status) in [
            (&b"NONSENSE\r\n\r\n"[..], "400"),
            (
                b"POST / HTTP/1.1\r\ncontent-length: 99999999999999999999\r\n\r\n",
                "413",
            ),
            (
                b"POST /v1/messages HTTP/1.1\r\ntransfer-encoding: chunked\r\n\r\nzz\r\n",
                "400",
            ),
        ] {
            let (text, _) = exchange(address, bytes).await;
            assert_eq!(text.get(9..12), Some(status), "{text}");
        }
        let wrong = request("/v1/messages", "x-mock-evnts: 3\r\nConnection: close\r\n", STREAM);
        let (text, _) = exchange(address, &wrong).await;
        assert!(
            text.starts_with("HTTP/1.1 400") && text.contains("unknown mock setting `evnts`"),
            "{text}"
        );
    });
}
