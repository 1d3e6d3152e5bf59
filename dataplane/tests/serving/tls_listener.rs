//! TLS towards clients: the same bytes as without, honest ends, certificates that change under running streams.

use std::io::Write;
use std::sync::Arc;
use std::sync::Mutex;
use std::sync::mpsc;

use rustls::ClientConfig;
use sluice_shared::snapshot::{ClientAuth, Listener, Snapshot};
use sluice_shared::usage::Ended;

use crate::support::client::{Client, End, chat, chat_stream, get, post, post_with};
use crate::support::kernel;
use crate::support::pki::{Authority, counter};
use crate::support::setup::plain;
use crate::support::upstream::{Exchange, Upstream};
use crate::support::{Driver, Gateway, Setup, wait_until};

const EVENT: &str =
    "data: {\"id\":\"c\",\"model\":\"m\",\"choices\":[{\"index\":0,\"delta\":{\"content\":\"a\"}}]}\n\n";

/// A gateway whose one listener speaks TLS.
struct Secure {
    gateway: Gateway,
    authority: Authority,
    config: Arc<ClientConfig>,
}

impl Secure {
    fn start(upstream: &Upstream) -> Self {
        Self::with(upstream, Driver::Ring, |_| {})
    }

    fn with(upstream: &Upstream, driver: Driver, change: impl FnOnce(&mut Snapshot)) -> Self {
        let authority = Authority::new();
        let mut snapshot = plain(upstream.address);
        snapshot.listeners = vec![authority.gateway().listener(ClientAuth::None)];
        change(&mut snapshot);
        let gateway = Gateway::start(Setup::new(snapshot).driver(driver));
        let config = authority.config(None);
        Self {
            gateway,
            authority,
            config,
        }
    }

    fn client(&self) -> Client {
        self.gateway.secure_client(&self.config)
    }

    fn metrics(&self) -> String {
        let mut client = self.client();
        client.send(get("/metrics"));
        let answer = client.answer();
        assert_eq!(answer.status, 200);
        answer.text()
    }

    fn failures(&self, reason: &str) -> u64 {
        counter(
            &self.metrics(),
            &format!("sluice_tls_failures_total{{reason=\"{reason}\"}}"),
        )
    }
}

/// Red if a listener that leaves the document while its socket stays open begins to serve without TLS, or all pages.
#[test]
fn a_listener_that_is_taken_out_stays_as_guarded_as_it_was() {
    let upstream = Upstream::plain();
    let secure = Secure::start(&upstream);
    // The shard is there and has seen how its listener is guarded; one that starts later only knows what is configured then.
    let mut early = secure.client();
    early.send(get("/healthz"));
    assert_eq!(early.answer().status, 200);
    let elsewhere = Listener {
        address: "127.0.0.1:1".into(),
        llm: true,
        ..Listener::default()
    };
    secure
        .gateway
        .control
        .publish(|snapshot| snapshot.listeners = vec![elsewhere]);
    let mut client = secure.client();
    client.send(chat("m"));
    assert_eq!(client.answer().status, 200);
    client.send(get("/api/health"));
    assert_eq!(client.answer().status, 404, "admin pages stand elsewhere now");
    let mut plain = secure.gateway.client();
    plain.send(get("/healthz"));
    let (said, _) = plain.rest();
    assert!(!said.starts_with(b"HTTP"), "answered without TLS");
}

/// Bytes that no two places of have in common.
fn noise(bytes: usize) -> String {
    let mut state = 1u32;
    (0..bytes)
        .map(|_| {
            state = state.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
            char::from(b'a' + u8::try_from(state >> 24).unwrap() % 26)
        })
        .collect()
}

/// Red if TLS changes, loses or reorders a byte of a body or of a stream, in either version, on either driver, or
/// holds the end of an answer back.
#[test]
fn bytes_pass_as_they_are() {
    let pieces: Vec<String> = [1, 100, 16 << 10, (16 << 10) + 1, 70_000, 300_000, 5]
        .iter()
        .map(|bytes| format!("data: {{\"pad\":\"{}\"}}\n\n", noise(*bytes)))
        .collect();
    let expected = pieces.concat();
    let upstream = Upstream::scripted(move |exchange| {
        exchange.body();
        exchange.begin_events();
        for piece in &pieces {
            exchange.chunk(piece);
        }
        exchange.chunk("");
    });
    for driver in [Driver::Ring, Driver::Epoll] {
        let secure = Secure::with(&upstream, driver, |_| {});
        for version in [&rustls::version::TLS13, &rustls::version::TLS12] {
            let config = secure.authority.config_of(None, &[version]);
            let mut client = secure.gateway.secure_client(&config);
            for bytes in [10, 20_000, 3 << 20] {
                let body = format!("{{\"model\":\"m\",\"stream\":true,\"pad\":\"{}\"}}", noise(bytes));
                let mut chunked =
                    b"POST /v1/messages HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n".to_vec();
                for piece in body.as_bytes().chunks(9_999) {
                    write!(chunked, "{:x}\r\n", piece.len()).unwrap();
                    chunked.extend_from_slice(piece);
                    chunked.extend_from_slice(b"\r\n");
                }
                chunked.extend_from_slice(b"0\r\n\r\n");
                for request in [post("/v1/messages", &body), chunked] {
                    client.send(request);
                    let answer = client.answer();
                    assert_eq!(answer.status, 200, "{}", answer.text());
                    assert!(answer.body == expected.as_bytes(), "the stream was changed");
                    assert!(upstream.last().body == body.as_bytes(), "the body was changed");
                }
            }
        }
    }
}

/// Red if an event waits for the next one, or a key update of the client disturbs a stream.
#[test]
fn every_event_arrives_before_the_next_is_sent() {
    let (go, gone) = mpsc::channel::<usize>();
    let gone = Mutex::new(gone);
    let upstream = Upstream::scripted(move |exchange: &mut Exchange<'_>| {
        exchange.body();
        exchange.begin_events();
        for turn in gone.lock().unwrap().iter() {
            exchange.chunk(&format!("data: {{\"turn\":{turn}}}\n\n"));
        }
        exchange.chunk("");
    });
    let secure = Secure::start(&upstream);
    let mut client = secure.client();
    client.send(chat_stream("m"));
    for turn in 0..20 {
        go.send(turn).unwrap();
        client.wait_for(format!("\"turn\":{turn}}}").as_bytes());
        if turn == 10 {
            client.tls().refresh_traffic_keys().unwrap();
            client.flush_tls();
        }
    }
    drop(go);
    assert_eq!(client.answer().status, 200);
    client.send(get("/healthz"));
    assert_eq!(client.answer().status, 200);
}

/// Red if requests that come in one record are answered in another order, or the second is forgotten.
#[test]
fn pipelined_requests_are_answered_in_order() {
    let upstream = Upstream::plain();
    let secure = Secure::start(&upstream);
    let mut client = secure.client();
    let mut both = chat("m");
    both.extend_from_slice(&get("/healthz"));
    both.extend_from_slice(&chat("m"));
    client.send(both);
    assert!(client.answer().text().contains("choices"));
    assert_eq!(client.answer().text(), "ok\n");
    assert!(client.answer().text().contains("choices"));
}

/// Red if a request behind a running stream disturbs it, is lost, or keeps the provider of a client that left working.
#[test]
fn a_request_behind_a_stream_waits_its_turn() {
    let (go, gone) = mpsc::channel::<()>();
    let gone = Mutex::new(gone);
    let upstream = Upstream::scripted(move |exchange: &mut Exchange<'_>| {
        exchange.body();
        exchange.begin_events();
        exchange.chunk(EVENT);
        let _ = gone.lock().unwrap().recv();
        exchange.chunk(EVENT);
        exchange.chunk("");
    });
    let secure = Secure::start(&upstream);
    let mut client = secure.client();
    client.send(chat_stream("m"));
    client.wait_for(b"\"a\"");
    client.send(get("/healthz"));
    client.wait_read();
    go.send(()).unwrap();
    assert_eq!(client.answer().text(), EVENT.repeat(2));
    assert_eq!(client.answer().text(), "ok\n");
}

/// Red if a connection that is closed for its silence looks cut, or is not closed.
#[test]
fn an_idle_connection_is_closed_with_a_goodbye() {
    let upstream = Upstream::plain();
    let secure = Secure::with(&upstream, Driver::Ring, |snapshot| {
        snapshot.limits.keep_alive_ms = 300;
    });
    let mut client = secure.client();
    client.send(get("/healthz"));
    client.answer();
    assert_eq!(client.expect_end(), End::Fin);
    // One that never asks for anything.
    let mut client = secure.client();
    client.shake();
    assert_eq!(client.expect_end(), End::Fin);
}

/// Red if a provider that breaks off looks to the client like a good end.
#[test]
fn a_broken_provider_is_no_clean_end() {
    let upstream = Upstream::scripted(|exchange| {
        exchange.body();
        if exchange.head.contains("until-close") {
            exchange.send("HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\n\r\n");
        } else {
            exchange.begin_events();
        }
        exchange.send(EVENT);
        exchange.reset();
    });
    let secure = Secure::start(&upstream);
    for field in ["", "X-Test: until-close\r\n"] {
        let mut client = secure.client();
        client.send(post_with(
            "/v1/chat/completions",
            field,
            b"{\"model\":\"m\",\"stream\":true}",
        ));
        let (said, end) = client.rest();
        if said.starts_with(b"HTTP/1.1 200") {
            assert!(matches!(end, End::Reset | End::Truncated), "{end:?}");
        } else {
            // The reset has overtaken the head.
            assert!(said.starts_with(b"HTTP/1.1 502"), "{said:?}");
        }
    }
}

/// Red if plain HTTP is answered on a listener that speaks TLS, or TLS is waited for on one that does not.
#[test]
fn neither_port_speaks_the_other_language() {
    let upstream = Upstream::plain();
    let secure = Secure::start(&upstream);
    let mut client = secure.gateway.client();
    client.send(chat("m"));
    let (said, _) = client.rest();
    assert!(!said.starts_with(b"HTTP"), "answered without TLS");
    assert_eq!(secure.failures("not_tls"), 1);
    assert!(upstream.requests().is_empty());

    let gateway = Gateway::start(Setup::new(plain(upstream.address)));
    let mut hello = Vec::new();
    let mut shy = gateway.client().secure(&secure.config);
    shy.tls().write_tls(&mut hello).unwrap();
    let mut client = gateway.client();
    client.send(hello);
    assert_eq!(client.answer().status, 400);
}

/// Red if a client that leaves by any way keeps the provider working, or its record says something else.
#[test]
fn a_client_that_leaves_cancels_the_provider() {
    let upstream = Upstream::scripted(|exchange| {
        exchange.body();
        exchange.begin_events();
        exchange.chunk(EVENT);
        exchange.until_closed();
    });
    let secure = Secure::start(&upstream);
    for run in 0..9 {
        let mut client = secure.client();
        client.send(chat_stream("m"));
        client.wait_for(b"\"a\"");
        match run % 3 {
            // The goodbye, while the socket stays open.
            0 => {
                client.tls().send_close_notify();
                client.flush_tls();
                upstream.closed_at(run);
            }
            1 => {
                drop(client);
                upstream.closed_at(run);
            }
            _ => {
                client.reset();
                upstream.closed_at(run);
            }
        }
    }
    for record in secure.gateway.wait_records(9) {
        assert_eq!(record.ended, Ended::ClientGone, "{record:#?}");
    }
}

/// Red if a finished answer looks cut, or a cut one finished.
#[test]
fn only_a_whole_answer_ends_with_a_goodbye() {
    let upstream = Upstream::scripted(|exchange| {
        exchange.body();
        if exchange.head.contains("whole") {
            exchange.json("{}");
            return;
        }
        exchange.begin_events();
        exchange.chunk(EVENT);
        exchange.until_closed();
    });
    let secure = Secure::start(&upstream);
    let mut client = secure.client();
    client.send(post_with(
        "/v1/chat/completions",
        "Connection: close\r\nX-Test: whole\r\n",
        b"{\"model\":\"m\"}",
    ));
    assert_eq!(client.answer().status, 200);
    assert_eq!(client.expect_end(), End::Fin);
    // A refusal while the body is still coming is read whole, too.
    let mut client = secure.client();
    client.send("GET /healthz HTTP/1.1\r\nHost: a\r\nHost: b\r\n\r\nmore");
    assert_eq!(client.answer().status, 400);
    assert_eq!(client.expect_end(), End::Fin);

    let mut client = secure.client();
    client.send(chat_stream("m"));
    client.wait_for(b"\"a\"");
    secure.gateway.control.revoke(None);
    let (_, end) = client.rest();
    assert!(matches!(end, End::Reset | End::Truncated), "{end:?}");
}

/// Red if a new certificate costs a running stream or a kept connection, or new connections get the old one.
#[test]
fn a_certificate_changes_under_running_streams() {
    let (go, gone) = mpsc::channel::<()>();
    let gone = Mutex::new(gone);
    let upstream = Upstream::scripted(move |exchange: &mut Exchange<'_>| {
        exchange.body();
        exchange.begin_events();
        exchange.chunk(EVENT);
        let _ = gone.lock().unwrap().recv();
        exchange.chunk(EVENT);
        exchange.chunk("");
    });
    let secure = Secure::start(&upstream);
    let mut stream = secure.client();
    let first = stream.shake();
    stream.send(chat_stream("m"));
    stream.wait_for(b"\"a\"");
    let mut kept = secure.client();
    kept.send(get("/healthz"));
    kept.answer();
    for _ in 0..3 {
        let renewed = secure.authority.gateway();
        secure.gateway.control.publish(|snapshot| {
            snapshot.listeners[0].tls = Some(renewed.tls(ClientAuth::None));
        });
        let mut client = secure.client();
        let shown = client.shake();
        assert_eq!(shown, renewed.chain);
        assert_ne!(shown, first);
        client.send(get("/healthz"));
        assert_eq!(client.answer().status, 200);
        kept.send(get("/healthz"));
        assert_eq!(kept.answer().status, 200);
    }
    go.send(()).unwrap();
    let answer = stream.answer();
    assert_eq!(answer.text(), EVENT.repeat(2));
}

/// Red if a listener whose certificate cannot be used serves anybody, in plain or otherwise, or stays shut when it
/// has a good one again.
#[test]
fn a_listener_without_a_usable_certificate_serves_nobody() {
    let upstream = Upstream::plain();
    let secure = Secure::start(&upstream);
    let good = secure.authority.gateway();
    let broken = [
        ("not a certificate".to_owned(), good.key_pem.clone()),
        (good.cert_pem.clone(), "not a key".to_owned()),
        // The key of another certificate.
        (good.cert_pem.clone(), secure.authority.gateway().key_pem),
    ];
    for (cert_pem, key_pem) in broken {
        secure.gateway.control.publish(|snapshot| {
            let tls = snapshot.listeners[0].tls.as_mut().unwrap();
            tls.cert_pem = cert_pem;
            tls.key_pem.0 = key_pem;
        });
        let mut client = secure.gateway.client();
        client.try_send(get("/healthz"));
        let (said, _) = client.rest();
        assert!(said.is_empty(), "{said:?}");
        let mut client = secure.client();
        client.try_send(get("/healthz"));
        let (said, end) = client.rest();
        assert!(said.is_empty() && end != End::Fin, "{said:?} {end:?}");
    }
    secure.gateway.control.publish(|snapshot| {
        snapshot.listeners[0].tls = Some(good.tls(ClientAuth::None));
    });
    assert_eq!(secure.failures("unavailable"), 6);
}

/// Red if a handshake that is not finished holds its connection beyond the limit.
#[test]
fn half_open_handshakes_are_dropped() {
    let upstream = Upstream::plain();
    let secure = Secure::with(&upstream, Driver::Ring, |snapshot| snapshot.limits.head_ms = 300);
    let mut hello = Vec::new();
    secure.client().tls().write_tls(&mut hello).unwrap();
    let mut silent = secure.gateway.client();
    let mut half = secure.gateway.client();
    half.send(&hello[..hello.len() / 2]);
    // The gateway's part comes, ours never.
    let mut deaf = secure.gateway.client();
    deaf.send(&hello);
    silent.expect_end();
    half.expect_end();
    deaf.rest();
    wait_until("the handshakes are counted", || secure.failures("timeout") == 3);
    // Two that gave up by themselves: this one, and the one whose hello was borrowed.
    drop(secure.gateway.client());
    wait_until("the ends are counted", || secure.failures("closed") == 2);
}

/// Red if an answer that outruns its reader by far is lost in part, or its end is never sent.
#[test]
fn a_slow_reader_gets_everything() {
    let upstream = Upstream::scripted(|exchange| {
        exchange.body();
        exchange.begin_events();
        let piece = noise(64 << 10);
        for _ in 0..256 {
            exchange.chunk(&piece);
        }
        exchange.chunk("");
    });
    let secure = Secure::start(&upstream);
    let mut client = secure.client();
    kernel::receive_buffer(&client.stream, 128 << 10);
    client.send(chat_stream("m"));
    client.wait_for(b"\r\n\r\n");
    let answer = client.answer();
    assert!(answer.text() == noise(64 << 10).repeat(256));
}
