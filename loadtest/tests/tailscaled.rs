//! The stand-in for the tailnet's daemon behaves as the daemon does.

#![allow(clippy::unwrap_used, clippy::expect_used, reason = "tests")]

use sluice_loadtest::tailscaled::{Node, Socket, Tailscaled, User};
use tokio::io::{AsyncBufReadExt as _, AsyncReadExt as _, AsyncWriteExt as _, BufReader};
use tokio::net::UnixStream;

fn tailnet() -> Tailscaled {
    let daemon = Tailscaled::new();
    daemon.put(Node::person(1, "100.64.0.1", User::new(45, "alice@example.com")));
    daemon.put(Node::tagged(2, "fd7a:115c:a1e0::2", &["tag:ci"]));
    daemon
}

/// The whole answer to a request on a connection of its own.
async fn answer(daemon: &Tailscaled, target: &str, fields: &str) -> String {
    let mut stream = daemon.dial().unwrap();
    let request = format!("GET {target} HTTP/1.1\r\n{fields}\r\n");
    stream.write_all(request.as_bytes()).await.unwrap();
    let mut text = String::new();
    let mut buffer = vec![0; 64 << 10];
    while !is_whole(&text) {
        let read = stream.read(&mut buffer).await.unwrap();
        assert!(read > 0, "{text}");
        text.push_str(std::str::from_utf8(&buffer[..read]).unwrap());
    }
    text
}

fn is_whole(text: &str) -> bool {
    let Some((head, body)) = text.split_once("\r\n\r\n") else {
        return false;
    };
    match head.split_once("content-length: ") {
        Some((_, length)) => body.len() >= length.lines().next().unwrap().parse().unwrap(),
        None => body.ends_with("0\r\n\r\n"),
    }
}

const HOST: &str = "host: local-tailscaled.sock\r\n";

#[tokio::test]
async fn requests_are_answered_as_the_daemon_answers_them() {
    let daemon = tailnet();
    let check = async |target: &str, fields: &str, status: u16, part: &str| {
        let text = answer(&daemon, target, fields).await;
        assert!(
            text.starts_with(&format!("HTTP/1.1 {status} ")),
            "{target} {fields}: {text}"
        );
        assert!(text.contains(part), "{target} {fields}: {text}");
    };
    let whois = |addr: &str| format!("/localapi/v0/whois?addr={addr}&proto=tcp");
    let alice = whois("100.64.0.1");
    check(&alice, HOST, 200, "\"LoginName\":\"alice@example.com\"").await;
    check(&alice, HOST, 200, "\"Addresses\":[\"100.64.0.1/32\"]").await;
    check(&alice, HOST, 200, "\"CapMap\":null").await;
    check(&whois("100.64.0.1%3A4000"), HOST, 200, "alice").await;
    check(
        &whois("fd7a%3A115c%3Aa1e0%3A%3A2"),
        HOST,
        200,
        "\"Tags\":[\"tag:ci\"]",
    )
    .await;
    check(
        &whois("fd7a:115c:a1e0::2"),
        HOST,
        200,
        "\"LoginName\":\"tagged-devices\"",
    )
    .await;
    check(&whois(&format!("nodekey:{:064x}", 1)), HOST, 200, "alice").await;
    check(&whois("100.64.0.9"), HOST, 404, "no match").await;
    check(&whois("nobody"), HOST, 400, "invalid").await;
    check(&whois(""), HOST, 400, "invalid").await;
    check(
        "/localapi/v0/whois?addr=100.64.0.1&proto=sctp",
        HOST,
        400,
        "invalid",
    )
    .await;
    check(&alice, "host: \r\n", 200, "alice").await;
    check(&alice, "host: evil.example\r\n", 403, "").await;
    check(&alice, "", 403, "").await;
    check(&alice, &format!("{HOST}origin: http://x\r\n"), 403, "").await;
    check(&alice, &format!("{HOST}Referer: http://x/\r\n"), 403, "").await;
    check("/localapi/v0/watch-ipn-bus?mask=4352", HOST, 400, "").await;
    check("/localapi/v0/watch-ipn-bus?mask=x", HOST, 400, "").await;
    check("/localapi/v0/status", HOST, 200, "\"BackendState\":\"Running\"").await;
    check("/localapi/v0/other", HOST, 404, "").await;
}

#[tokio::test]
async fn long_answers_come_in_chunks() {
    let daemon = tailnet();
    assert!(
        answer(&daemon, "/localapi/v0/whois?addr=100.64.0.1", HOST)
            .await
            .contains("content-length")
    );
    daemon.grant("n1", serde_json::json!({"x": ["y".repeat(4_000)]}));
    assert!(
        answer(&daemon, "/localapi/v0/whois?addr=100.64.0.1", HOST)
            .await
            .contains("chunked")
    );
}

#[tokio::test]
async fn an_unknown_port_holds_everybody_up() {
    let daemon = tailnet();
    let stalled = answer(&daemon, "/localapi/v0/whois?addr=127.0.0.1%3A9&proto=tcp", HOST);
    let other = async {
        daemon.until_asked(1).await;
        answer(&daemon, "/localapi/v0/whois?addr=100.64.0.1", HOST).await
    };
    let (stalled, other) = tokio::join!(stalled, other);
    assert!(stalled.contains(" 404 ") && other.contains("alice"));
    let done: Vec<u16> = daemon.calls().iter().map(|call| call.status).collect();
    assert_eq!(done, [404, 200], "whoever came second waited for the first");
}

#[tokio::test]
async fn the_bus_tells_what_was_asked_for() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("tailscaled.sock");
    let daemon = tailnet();
    let mut socket = Socket::bind(&daemon, &path).unwrap();
    let stream = UnixStream::connect(&path).await.unwrap();
    let mut stream = BufReader::new(stream);
    let request = format!("GET /localapi/v0/watch-ipn-bus?mask=20482 HTTP/1.1\r\n{HOST}\r\n");
    stream.write_all(request.as_bytes()).await.unwrap();
    let mut lines = stream.lines();
    let mut next = async |part: &str| {
        loop {
            let line = lines.next_line().await.unwrap();
            let line = line.unwrap_or_else(|| panic!("ended before {part}"));
            if line.starts_with('{') {
                assert!(line.contains(part), "{line} should hold {part}");
                return;
            }
        }
    };
    next("\"InitialStatus\"").await;
    daemon.until_watched(1).await;
    daemon.change("n1", |node| node.tags = vec!["tag:web".into()]);
    next("\"PeersChanged\"").await;
    // Grants are told to nobody: the next line is about something else.
    daemon.grant("n1", serde_json::json!({"x": [1]}));
    daemon.remove("n1");
    next("\"PeersRemoved\":[1]").await;
    socket.down();
    daemon.until_unwatched().await;
    assert!(UnixStream::connect(&path).await.is_err());
    socket.up().unwrap();
    assert!(UnixStream::connect(&path).await.is_ok());
}

#[tokio::test]
async fn a_file_is_the_table() {
    let folder = tempfile::tempdir().unwrap();
    let (path, file) = (
        folder.path().join("tailscaled.sock"),
        folder.path().join("state.json"),
    );
    let write = |text: &str| {
        let fresh = file.with_extension("new");
        std::fs::write(&fresh, text).unwrap();
        std::fs::rename(&fresh, &file).unwrap();
    };
    let node = r#"{"id": 1, "stable_id": "n1", "addresses": ["100.64.0.1"], "user": {"id": 45, "login": "alice@example.com"}}"#;
    write(&format!("{{\"nodes\": [{node}]}}"));
    let (socket, state) = (path.clone(), file.clone());
    let (complaints, mut complained) = tokio::sync::mpsc::unbounded_channel();
    tokio::spawn(async move {
        sluice_loadtest::tailscaled::serve_file(&socket, &state, |error| {
            let _ = complaints.send(format!("{error:#}"));
        })
        .await
    });
    let ask = async || {
        let mut stream = UnixStream::connect(&path).await.ok()?;
        let request = format!("GET /localapi/v0/whois?addr=100.64.0.1 HTTP/1.1\r\n{HOST}\r\n");
        stream.write_all(request.as_bytes()).await.ok()?;
        let mut buffer = vec![0; 4096];
        let read = stream.read(&mut buffer).await.ok()?;
        Some(String::from_utf8_lossy(&buffer[..read]).into_owned())
    };
    let until = async |part: &str| {
        for _ in 0..10_000 {
            if ask().await.is_some_and(|text| text.contains(part)) {
                return;
            }
            tokio::time::sleep(std::time::Duration::from_millis(5)).await;
        }
        panic!("never {part}");
    };
    until("alice@example.com").await;
    write("{\"nodes\": 7}");
    assert!(complained.recv().await.unwrap().contains("state.json"));
    until("alice@example.com").await;
    write("{\"nodes\": []}");
    until(" 404 ").await;
}
