//! Hooks that fail: in every way, under both policies, and what it costs nobody else.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use sluice_shared::usage::{Action, Ended, UsageRecord};

use crate::support::client::{chat, get, post};
use crate::support::control::Who;
use crate::support::pki::counter;
use crate::support::setup::{hook, judged, plain};
use crate::support::upstream::{Exchange, Upstream, json};
use crate::support::{Gateway, Setup, wait_until};

/// A way to fail: its name, what the hook does, and how the record tells it.
type Way = (&'static str, fn(&mut Exchange<'_>), &'static str);

const ALLOW: &str = r#"{"action":"allow"}"#;

fn raw(exchange: &mut Exchange<'_>, answer: &[u8]) {
    if exchange.body().is_some() {
        exchange.send(answer);
        exchange.close();
    }
}

const WAYS: &[Way] = &[
    ("garbage", |e| raw(e, b"\x00\x01\x02 what?\r\n\r\n"), "bad HTTP"),
    (
        "not JSON",
        |e| raw(e, &json("allow")),
        "the answer is not the JSON",
    ),
    ("no action", |e| raw(e, &json("{}")), "the answer is not the JSON"),
    (
        "an array",
        |e| raw(e, &json(r#"["allow"]"#)),
        "the answer is not the JSON",
    ),
    (
        "unknown action",
        |e| raw(e, &json(r#"{"action":"maybe"}"#)),
        "unknown action",
    ),
    (
        "invalid UTF-8",
        |e| {
            raw(
                e,
                &[
                    &b"HTTP/1.1 200 OK\r\nContent-Length: 22\r\n\r\n{\"action\":\"allow\",\""[..],
                    &[0xff],
                    b"\":1}",
                ]
                .concat(),
            );
        },
        "the answer is not the JSON",
    ),
    (
        "empty",
        |e| raw(e, b"HTTP/1.1 204 No Content\r\n\r\n"),
        "the answer is not the JSON",
    ),
    (
        "error",
        |e| {
            raw(
                e,
                b"HTTP/1.1 500 Oops\r\nContent-Length: 18\r\n\r\n{\"action\":\"allow\"}",
            );
        },
        "answered with status 500",
    ),
    (
        "redirect",
        |e| {
            raw(
                e,
                b"HTTP/1.1 307 There\r\nLocation: /judge\r\nContent-Length: 18\r\n\r\n{\"action\":\"allow\"}",
            );
        },
        "answered with status 307",
    ),
    (
        "compressed",
        |e| {
            raw(e, b"HTTP/1.1 200 OK\r\nContent-Encoding: gzip\r\nContent-Length: 18\r\n\r\n{\"action\":\"allow\"}");
        },
        "the answer is compressed",
    ),
    (
        "two framings",
        |e| {
            raw(e, b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\nContent-Length: 18\r\n\r\n{\"action\":\"allow\"}");
        },
        "bad HTTP",
    ),
    (
        "announces 11 MiB",
        |e| raw(e, b"HTTP/1.1 200 OK\r\nContent-Length: 11534336\r\n\r\n{"),
        "the answer is too long",
    ),
    (
        "sends 11 MiB",
        |e| {
            if e.body().is_some() && e.begin_events() {
                let piece = " ".repeat(64 << 10);
                for _ in 0..176 {
                    if !e.chunk(&piece) {
                        return;
                    }
                }
            }
        },
        "the answer is too long",
    ),
    ("closes", |e| e.close(), "closed the connection without an answer"),
    ("resets", |e| e.reset(), "closed the connection without an answer"),
    (
        "cut",
        |e| {
            raw(
                e,
                b"HTTP/1.1 200 OK\r\nContent-Length: 18\r\n\r\n{\"action\":\"al",
            );
        },
        "closed the connection without an answer",
    ),
    (
        "interim for ever",
        |e| {
            if e.body().is_some() {
                while e.send("HTTP/1.1 102 Processing\r\n\r\n") {}
            }
        },
        "bad HTTP",
    ),
    (
        "huge head",
        |e| {
            if e.body().is_some() && e.send("HTTP/1.1 200 OK\r\n") {
                while e.send(format!("X-More: {}\r\n", "a".repeat(1_000))) {}
            }
        },
        "bad HTTP",
    ),
];

fn failing(way: fn(&mut Exchange<'_>), fail_closed: bool) -> (Upstream, Upstream, Gateway) {
    let upstream = Upstream::plain();
    let judge = Upstream::scripted(way);
    let mut hook = hook("judge", judge.address);
    hook.fail_closed = fail_closed;
    let snapshot = judged(plain(upstream.address), vec![hook]);
    let gateway = Gateway::start(Setup::new(snapshot).who(Who::somebody("alice")));
    (upstream, judge, gateway)
}

fn check_failed(record: &UsageRecord, why: &str) {
    let [verdict] = &record.verdicts[..] else {
        panic!("{why}: {:?}", record.verdicts)
    };
    assert_eq!((verdict.name.as_str(), verdict.action), ("judge", Action::Failed));
    assert!(verdict.what.contains(why), "{why}: {}", verdict.what);
}

/// Red if a failure is taken for a decision, stops a call that may go on, or lets one go on that may not.
#[test]
fn every_failure_follows_the_policy() {
    for fail_closed in [false, true] {
        let script = Arc::new(AtomicUsize::new(0));
        let (upstream, next) = (Upstream::plain(), script.clone());
        let judge = Upstream::scripted(move |exchange| WAYS[next.load(Ordering::Relaxed)].1(exchange));
        let mut hook = hook("judge", judge.address);
        hook.fail_closed = fail_closed;
        let snapshot = judged(plain(upstream.address), vec![hook]);
        let gateway = Gateway::start(Setup::new(snapshot).who(Who::somebody("alice")));
        for (at, (name, _, why)) in WAYS.iter().enumerate() {
            script.store(at, Ordering::Relaxed);
            let answer = gateway.call(chat("m"));
            let records = gateway.wait_records(at + 1);
            let record = &records[at];
            check_failed(record, why);
            if fail_closed {
                assert_eq!(
                    (answer.status, answer.field("x-sluice-error")),
                    (503, Some("hook_failed")),
                    "{name}"
                );
                assert!(
                    answer.text().contains("the hook judge must judge"),
                    "{}",
                    answer.text()
                );
                assert_eq!(answer.field("retry-after"), Some("1"));
                assert_eq!((record.ended, record.status), (Ended::Blocked, 503), "{name}");
            } else {
                assert_eq!(answer.status, 200, "{name}: {}", answer.text());
                assert_eq!(record.ended, Ended::Complete, "{name}");
            }
        }
        assert_eq!(
            upstream.requests().len(),
            if fail_closed { 0 } else { WAYS.len() }
        );
        let outcome = if fail_closed {
            "failed_closed"
        } else {
            "failed_open"
        };
        let metrics = gateway.call(get("/metrics")).text();
        let sample = format!("sluice_hook_calls_total{{hook=\"judge\",outcome=\"{outcome}\"}}");
        assert_eq!(counter(&metrics, &sample), WAYS.len() as u64);
    }
}

/// Red if the deadline does not cover every part of a call: no connection, no answer, an answer by the byte.
#[test]
fn the_deadline_covers_the_whole_call() {
    let hang: fn(&mut Exchange<'_>) = |exchange| exchange.until_closed();
    let slow: fn(&mut Exchange<'_>) = |exchange| {
        if exchange.body().is_some() {
            let whole = json(&format!("{}{ALLOW}", " ".repeat(64 << 10)));
            // A byte at a time, each when the one before was read: never a pause that a limit on idleness would see.
            for byte in whole {
                if !exchange.send([byte]) {
                    return;
                }
            }
        }
    };
    for (what, way) in [("hangs", hang), ("answers by the byte", slow)] {
        let upstream = Upstream::plain();
        let judge = Upstream::scripted(way);
        let mut hook = hook("judge", judge.address);
        hook.timeout_ms = 50;
        hook.fail_closed = true;
        let snapshot = judged(plain(upstream.address), vec![hook]);
        let gateway = Gateway::start(Setup::new(snapshot).who(Who::somebody("alice")));
        let answer = gateway.call(chat("m"));
        assert_eq!(answer.status, 503, "{what}");
        check_failed(&gateway.wait_records(1)[0], "no answer in time");
        judge.closed_at(0);
        assert_eq!(upstream.requests().len(), 0);
    }
    // An address that takes nothing: its backlog is full and nobody accepts.
    let upstream = Upstream::plain();
    let full = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let address = full.local_addr().unwrap();
    let mut fillers = Vec::new();
    while let Ok(stream) =
        std::net::TcpStream::connect_timeout(&address, std::time::Duration::from_millis(50))
    {
        fillers.push(stream);
    }
    let mut hook = hook("judge", address);
    hook.timeout_ms = 50;
    hook.fail_closed = true;
    let snapshot = judged(plain(upstream.address), vec![hook]);
    let gateway = Gateway::start(Setup::new(snapshot).who(Who::somebody("alice")));
    assert_eq!(gateway.call(chat("m")).status, 503);
    check_failed(&gateway.wait_records(1)[0], "no answer in time");
}

/// Red if a hook that nobody serves holds a call up, or a call goes on that may not.
#[test]
fn a_hook_that_is_not_there() {
    let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap();
    drop(listener);
    for (fail_closed, status) in [(false, 200), (true, 503)] {
        let upstream = Upstream::plain();
        let mut hook = hook("judge", address);
        hook.fail_closed = fail_closed;
        let snapshot = judged(plain(upstream.address), vec![hook]);
        let gateway = Gateway::start(Setup::new(snapshot).who(Who::somebody("alice")));
        assert_eq!(gateway.call(chat("m")).status, status);
        check_failed(
            &gateway.wait_records(1)[0],
            "cannot be reached: connection refused",
        );
    }
}

/// Red if a client that leaves during a hook keeps its call running, or others wait for it.
#[test]
fn a_client_that_leaves_ends_the_call_of_the_hook() {
    let (upstream, judge, gateway) = failing(
        |exchange| {
            if exchange
                .body()
                .is_some_and(|body| body.ends_with(br#""hang":1}}"#))
            {
                exchange.until_closed();
            } else {
                exchange.json(ALLOW);
            }
        },
        true,
    );
    let mut leaving = gateway.client();
    leaving.send(post("/v1/chat/completions", r#"{"model":"m","hang":1}"#));
    wait_until("the hook is asked", || judge.requests().len() == 1);
    // Somebody else is served meanwhile.
    assert_eq!(gateway.call(chat("m")).status, 200);
    drop(leaving);
    judge.closed_at(0);
    let records = gateway.wait_records(2);
    let left = records
        .iter()
        .find(|record| record.ended == Ended::ClientGone)
        .unwrap();
    assert_eq!((left.status, left.verdicts.len()), (0, 0));
    assert_eq!(upstream.requests().len(), 1);
    let metrics = gateway.call(get("/metrics")).text();
    assert_eq!(
        counter(
            &metrics,
            "sluice_hook_calls_total{hook=\"judge\",outcome=\"client_gone\"}"
        ),
        1
    );
}

/// Red if a connection that the hook closed while idle fails a call.
#[test]
fn a_stale_connection_is_replaced() {
    let upstream = Upstream::plain();
    let judge = Upstream::scripted(|exchange| {
        if exchange.index == 1 {
            // The keep-alive race: the second request on a connection finds it closed.
            exchange.reset();
        } else if exchange.body().is_some() {
            exchange.json(ALLOW);
        }
    });
    let mut hook = hook("judge", judge.address);
    hook.fail_closed = true;
    let snapshot = judged(plain(upstream.address), vec![hook]);
    let gateway = Gateway::start(Setup::new(snapshot).who(Who::somebody("alice")));
    assert_eq!(gateway.call(chat("m")).status, 200);
    judge.close_all();
    judge.closed_at(0);
    assert_eq!(gateway.call(chat("m")).status, 200);
    assert_eq!(judge.connections(), 2);
}

/// Red if a large body is not handed to the hook whole, or is not taken from it.
#[test]
fn bodies_of_32_mib() {
    let upstream = Upstream::plain();
    let judge = Upstream::scripted(|exchange| {
        if exchange.body().is_some() {
            exchange.json(ALLOW);
        }
    });
    let mut hook = hook("judge", judge.address);
    hook.fail_closed = true;
    let mut snapshot = judged(plain(upstream.address), vec![hook]);
    snapshot.limits.body_bytes = 40 << 20;
    let gateway = Gateway::start(Setup::new(snapshot).who(Who::somebody("alice")));
    let text = "x".repeat(32 << 20);
    let body = format!(r#"{{"model":"m","messages":[{{"role":"user","content":"{text}"}}]}}"#);
    assert_eq!(gateway.call(post("/v1/chat/completions", &body)).status, 200);
    let seen = judge.last().body;
    let end = format!(r#","request_body":{body}}}"#);
    assert!(seen.ends_with(end.as_bytes()), "{} bytes", seen.len());
    assert_eq!(upstream.last().body.len(), body.len());
}

/// Red if a modified body of nearly 10 MiB is refused.
#[test]
fn a_modified_body_may_be_large() {
    let upstream = Upstream::plain();
    let text = "y".repeat((10 << 20) - 1_000);
    let body = format!(r#"{{"model":"m","messages":[{{"role":"user","content":"{text}"}}]}}"#);
    let reply = format!(r#"{{"action":"modify","request_body":{body}}}"#);
    let judge = Upstream::scripted(move |exchange| {
        if exchange.body().is_some() {
            exchange.json(&reply);
        }
    });
    let mut hook = hook("judge", judge.address);
    hook.fail_closed = true;
    let snapshot = judged(plain(upstream.address), vec![hook]);
    let gateway = Gateway::start(Setup::new(snapshot).who(Who::somebody("alice")));
    let answer = gateway.call(chat("m"));
    assert_eq!(answer.status, 200, "{}", answer.text());
    assert!(upstream.last().body == body.as_bytes());
}
