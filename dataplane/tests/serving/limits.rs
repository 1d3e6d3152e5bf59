//! Bounds, each one under and one over; refusals while the body is still coming; slow clients.

use std::time::{Duration, Instant};

use sluice_shared::snapshot::Snapshot;
use sluice_shared::usage::Ended;

use crate::support::client::{End, chat, chat_stream, get, post, post_with};
use crate::support::setup::plain;
use crate::support::upstream::Upstream;
use crate::support::{Gateway, Setup};

fn start(upstream: &Upstream, change: impl FnOnce(&mut Snapshot)) -> Gateway {
    let mut snapshot = plain(upstream.address);
    change(&mut snapshot);
    Gateway::start(Setup::new(snapshot))
}

/// A chat body of exactly so many bytes.
fn body(bytes: usize) -> String {
    let start = r#"{"model":"m","pad":""#;
    format!("{start}{}\"}}", "x".repeat(bytes - start.len() - 2))
}

/// Red if a limit counts one byte too few or too many, with either framing, or a refusal reaches the provider.
#[test]
fn body_limits_hold_to_the_byte() {
    let upstream = Upstream::plain();
    let gateway = start(&upstream, |snapshot| {
        snapshot.limits.body_bytes = 1_000;
        snapshot.limits.file_body_bytes = 2_000;
    });
    let check = |path: &str, bytes: usize, status: u16| {
        let body = body(bytes);
        let chunked = format!(
            "POST {path} HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n100\r\n{}\r\n{:x}\r\n{}\r\n0\r\n\r\n",
            &body[..256],
            bytes - 256,
            &body[256..],
        );
        for request in [post(path, &body), chunked.into_bytes()] {
            let before = upstream.requests().len();
            let mut client = gateway.client();
            client.send(&request);
            let answer = client.answer();
            assert_eq!(answer.status, status, "{path} {bytes}: {}", answer.text());
            assert_eq!(upstream.requests().len() - before, usize::from(status == 200));
            if status != 200 {
                assert_eq!(answer.field("x-sluice-error"), Some("body_too_large"));
                client.expect_end();
            }
        }
    };
    check("/v1/chat/completions", 1_000, 200);
    check("/v1/chat/completions", 1_001, 413);
    check("/v1/images/generations", 2_000, 200);
    check("/v1/images/generations", 2_001, 413);
    let records = gateway.wait_records(8);
    assert_eq!(
        records
            .iter()
            .filter(|r| r.ended == Ended::Blocked && r.status == 413)
            .count(),
        4
    );
}

/// Red if head limits count one too few or too many.
#[test]
fn head_limits_hold_to_the_byte() {
    let upstream = Upstream::plain();
    let gateway = start(&upstream, |snapshot| {
        snapshot.limits.head_bytes = 2_000;
        snapshot.limits.header_count = 10;
        snapshot.limits.target_bytes = 500;
    });
    let head = |bytes: usize| {
        let start = "GET /healthz HTTP/1.1\r\nHost: a\r\nX: ";
        format!("{start}{}\r\n\r\n", "x".repeat(bytes - start.len() - 4))
    };
    let count = |fields: usize| {
        format!(
            "GET /healthz HTTP/1.1\r\nHost: a\r\n{}\r\n",
            "X: y\r\n".repeat(fields - 1)
        )
    };
    let target = |bytes: usize| {
        format!(
            "GET /healthz?{} HTTP/1.1\r\nHost: a\r\n\r\n",
            "x".repeat(bytes - 9)
        )
    };
    for (request, status) in [
        (head(2_000), 200),
        (head(2_001), 431),
        (count(10), 200),
        (count(11), 431),
        (target(500), 200),
        (target(501), 414),
    ] {
        let mut client = gateway.client();
        client.send(&request);
        assert_eq!(client.answer().status, status, "{} bytes", request.len());
        if status != 200 {
            assert_eq!(client.expect_end(), End::Fin);
        }
    }
}

/// Red if a client that trickles its head, or nothing but a part of its body, is waited for without end, or cut
/// without being told.
#[test]
fn slow_clients_are_told_and_cut() {
    let upstream = Upstream::plain();
    let gateway = start(&upstream, |snapshot| {
        snapshot.limits.head_ms = 300;
        snapshot.limits.body_idle_ms = 300;
        snapshot.limits.keep_alive_ms = 300;
    });
    for (what, bytes, answer) in [
        ("head", &b"GET /healthz HTTP/1.1\r\nHost: a\r\nX-A"[..], Some(408)),
        (
            "body",
            b"POST /v1/messages HTTP/1.1\r\nHost: a\r\nContent-Length: 100\r\n\r\n{\"mod",
            Some(408),
        ),
        (
            "chunked body",
            b"POST /v1/messages HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n5\r\n{\"mod\r\n",
            Some(408),
        ),
        ("nothing", b"", None),
    ] {
        let mut client = gateway.client();
        client.send(bytes);
        let (answers, end) = client.answers();
        let statuses: Vec<u16> = answers.iter().map(|a| a.status).collect();
        assert_eq!(statuses, answer.into_iter().collect::<Vec<_>>(), "{what}");
        assert_eq!(end, End::Fin, "{what}");
    }
    assert_eq!(upstream.bytes(), 0);
    let records = gateway.wait_records(2);
    assert!(
        records
            .iter()
            .all(|r| (r.ended, r.status) == (Ended::Blocked, 408))
    );
}

/// Red if a byte now and then keeps a head alive for ever.
#[test]
fn a_trickled_head_ends_in_time() {
    let upstream = Upstream::plain();
    let gateway = start(&upstream, |snapshot| snapshot.limits.head_ms = 500);
    let mut client = gateway.client();
    client
        .stream
        .set_read_timeout(Some(Duration::from_millis(20)))
        .unwrap();
    client.send("GET /healthz HTTP/1.1\r\nX-A: ");
    let start = Instant::now();
    let mut piece = [0; 4];
    // One more byte whenever 20 ms have brought no answer.
    while matches!(client.stream.peek(&mut piece), Err(error) if error.kind() == std::io::ErrorKind::WouldBlock)
    {
        assert!(start.elapsed() < Duration::from_secs(20), "still listening");
        client.send("x");
    }
    assert_eq!(client.answer().status, 408);
}

/// Red if `100 Continue` is sent for a body that is not wanted, is missing for one that is, or is sent twice.
#[test]
fn continue_is_said_only_for_a_body_that_is_wanted() {
    let upstream = Upstream::plain();
    let gateway = start(&upstream, |snapshot| snapshot.limits.body_bytes = 1_000);
    let head = |length: usize, fields: &str| {
        format!(
            "POST /v1/chat/completions HTTP/1.1\r\nHost: a\r\nExpect: 100-continue\r\n{fields}Content-Length: {length}\r\n\r\n"
        )
    };
    let good = body(500);
    let mut client = gateway.client();
    client.send(head(500, ""));
    assert_eq!(client.answer().status, 100);
    client.send(&good);
    assert_eq!(client.answer().status, 200);
    assert!(upstream.last().fields("expect").is_empty());
    // A body that comes along needs no invitation.
    client.send(head(500, "") + &good);
    assert_eq!(client.answer().status, 200);

    for (request, status) in [
        (head(1_001, ""), 413),
        (head(500, "Content-Encoding: gzip\r\n"), 415),
    ] {
        let before = upstream.requests().len();
        let mut client = gateway.client();
        client.send(request);
        assert_eq!(client.answer().status, status);
        client.expect_end();
        assert_eq!(upstream.requests().len(), before);
    }
}

/// Red if the client cannot read a refusal because its unread body makes the connection break.
#[test]
fn a_refusal_is_readable_while_the_body_is_still_coming() {
    let upstream = Upstream::plain();
    let gateway = start(&upstream, |snapshot| snapshot.limits.body_bytes = 1_000);
    for _ in 0..20 {
        let mut client = gateway.client();
        client.send("POST /v1/chat/completions HTTP/1.1\r\nHost: a\r\nContent-Length: 3000000\r\n\r\n");
        // All of it is sent before the answer is looked at.
        client.try_send(vec![b'x'; 3_000_000]);
        let answer = client.answer();
        assert_eq!((answer.status, answer.says_close()), (413, true));
        assert_eq!(client.expect_end(), End::Fin);
    }
    assert_eq!(upstream.bytes(), 0);
}

/// Red if a provider's early answer is lost, or the rest of the body is taken for the next request.
#[test]
fn an_early_answer_ends_the_upload() {
    let upstream = Upstream::scripted(|exchange| {
        exchange
            .send("HTTP/1.1 429 Slow Down\r\nContent-Type: application/json\r\nContent-Length: 2\r\n\r\n{}");
        exchange.until_closed();
    });
    let gateway = start(&upstream, |_| {});
    let mut client = gateway.client();
    for round in 0..3 {
        upstream.set_deaf(true);
        client.send(post("/v1/embeddings", &body(8 << 20)));
        let answer = client.answer();
        assert_eq!((answer.status, answer.text().as_str()), (429, "{}"));
        // An answer before the whole request leaves the connection unusable.
        upstream.set_deaf(false);
        upstream.closed_at(round);
    }
    client.send(get("/healthz"));
    assert_eq!(client.answer().text(), "ok\n");
    let records = gateway.wait_records(3);
    assert!(
        records
            .iter()
            .all(|r| (r.ended, r.status) == (Ended::Complete, 429))
    );
}

/// Red if bodies can take more memory than they may, or what they took is not given back.
#[test]
fn the_budget_of_held_bytes_refuses() {
    let upstream = Upstream::plain();
    let gateway = start(&upstream, |snapshot| snapshot.limits.buffer_bytes = 1 << 20);
    let request = post("/v1/embeddings", &body(700 << 10));
    let (most, rest) = request.split_at(request.len() - 10);
    for _ in 0..3 {
        let mut first = gateway.client();
        first.send(most);
        first.wait_read();
        let refused = gateway.call(&request);
        assert_eq!(
            (
                refused.status,
                refused.field("x-sluice-error"),
                refused.field("retry-after")
            ),
            (503, Some("overloaded"), Some("1"))
        );
        first.send(rest);
        assert_eq!(first.answer().status, 200);
    }
}

/// Red if a provider that never answers, or falls silent, is waited for without end.
#[test]
fn silent_providers_are_given_up() {
    let upstream = Upstream::scripted(|exchange| {
        exchange.body();
        if exchange.target().starts_with("/v1/chat") {
            exchange.begin_events();
            exchange.chunk("data: {}\n\n");
        }
        exchange.until_closed();
    });
    let gateway = start(&upstream, |snapshot| {
        snapshot.providers[0].timeouts.first_byte_ms = 300;
        snapshot.providers[0].timeouts.idle_ms = 300;
    });
    let answer = gateway.call(post("/v1/messages", r#"{"model":"m"}"#));
    assert_eq!(
        (answer.status, answer.field("x-sluice-error")),
        (504, Some("upstream_timeout"))
    );
    upstream.closed_at(0);
    let mut client = gateway.client();
    client.send(chat_stream("m"));
    let cut = client.try_answer(false).unwrap_err();
    assert!(!cut.received.ends_with(b"0\r\n\r\n"));
    upstream.closed_at(1);
    let records = gateway.wait_records(2);
    let ends: Vec<_> = records
        .iter()
        .map(|r| (r.ended, r.status, r.error.as_deref()))
        .collect();
    assert_eq!(
        ends,
        [
            (Ended::UpstreamFailed, 504, Some("upstream_timeout")),
            (Ended::UpstreamFailed, 200, Some("upstream_timeout")),
        ]
    );
}

/// Red if the whole exchange may last longer than its own limit.
#[test]
fn the_limit_of_the_whole_exchange_holds() {
    let upstream = Upstream::scripted(|exchange| {
        exchange.body();
        exchange.begin_events();
        // Never idle for long.
        while exchange.chunk(": tick\n\n") && !exchange.is_closed() {
            std::thread::park_timeout(Duration::from_millis(20));
        }
    });
    let gateway = start(&upstream, |snapshot| {
        snapshot.providers[0].timeouts.total_ms = 400;
    });
    let mut client = gateway.client();
    client.send(chat_stream("m"));
    client.try_answer(false).unwrap_err();
    upstream.closed_at(0);
    assert_eq!(gateway.wait_records(1)[0].ended, Ended::UpstreamFailed);
}

/// Red if idle pooled connections are kept longer, or more of them, than configured.
#[test]
fn the_pool_keeps_its_bounds() {
    let upstream = Upstream::plain();
    let gateway = start(&upstream, |snapshot| {
        snapshot.limits.pool_idle_ms = 300;
        snapshot.limits.pool_idle_count = 1;
    });
    assert_eq!(gateway.call(chat("m")).status, 200);
    upstream.closed_at(0);
    assert_eq!(
        gateway
            .call(post_with("/v1/messages", "", br#"{"model":"m"}"#))
            .status,
        200
    );
    assert_eq!(upstream.connections(), 2);
}
