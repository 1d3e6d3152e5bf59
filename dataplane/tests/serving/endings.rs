//! Who leaves first: clients in every phase, providers in mid-answer, and what the record says.

use std::collections::HashSet;
use std::sync::Mutex;
use std::sync::mpsc;
use std::time::{Duration, Instant};

use sluice_shared::usage::{Ended, Known, UsageRecord};

use crate::support::client::{Client, End, chat, chat_stream, post, post_with, show};
use crate::support::setup::plain;
use crate::support::upstream::{COMPLETION, Exchange, Upstream};
use crate::support::{Gateway, Setup, wait_until};

/// Where an exchange stands when the client leaves.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Phase {
    /// The client is still sending.
    Upload,
    /// The provider takes the request slowly.
    Forward,
    /// The provider has it and says nothing yet.
    BeforeAnswer,
    /// In the middle of a stream.
    Stream,
    /// Between the last event and the usage.
    BeforeUsage,
    /// Usage and end marker have gone out, the end of the body has not.
    AfterEnd,
}

const USAGE: &str = "data: {\"id\":\"c\",\"model\":\"m\",\"choices\":[],\"usage\":{\"prompt_tokens\":3,\"completion_tokens\":5,\"total_tokens\":8}}\n\n";
const EVENT: &str =
    "data: {\"id\":\"c\",\"model\":\"m\",\"choices\":[{\"index\":0,\"delta\":{\"content\":\"a\"}}]}\n\n";

fn script(phase: Phase, exchange: &mut Exchange<'_>) {
    match phase {
        Phase::Upload | Phase::Forward => exchange.until_closed(),
        Phase::BeforeAnswer => {
            exchange.body();
            exchange.until_closed();
        }
        Phase::Stream | Phase::BeforeUsage | Phase::AfterEnd => {
            exchange.body();
            exchange.begin_events();
            exchange.chunk(EVENT);
            if phase == Phase::BeforeUsage {
                exchange.chunk("data: {\"id\":\"c\",\"model\":\"m\",\"choices\":[{\"index\":0,\"delta\":{},\"finish_reason\":\"stop\"}]}\n\n");
            }
            if phase == Phase::AfterEnd {
                exchange.chunk(USAGE);
                exchange.chunk("data: [DONE]\n\n");
            }
            exchange.until_closed();
        }
    }
}

/// Brings an exchange into its phase.
fn bring(client: &mut Client, phase: Phase, upstream: &Upstream, number: usize) {
    match phase {
        Phase::Upload => {
            client.send("POST /v1/embeddings HTTP/1.1\r\nHost: a\r\nContent-Length: 1000\r\n\r\n{\"model\"");
            client.wait_read();
        }
        Phase::Forward => {
            // Large enough that the sockets on the way cannot hold it.
            client.send(post(
                "/v1/embeddings",
                &format!("{{\"model\":\"m\",\"pad\":\"{}\"}}", "x".repeat(12 << 20)),
            ));
            wait_until("the request goes out", || upstream.connections() > number);
        }
        Phase::BeforeAnswer => {
            client.send(chat("m"));
            wait_until("the request is there", || upstream.requests().len() > number);
        }
        Phase::Stream => {
            client.send(chat_stream("m"));
            client.wait_for(b"\"a\"");
        }
        Phase::BeforeUsage => {
            client.send(chat_stream("m"));
            client.wait_for(b"\"stop\"");
        }
        Phase::AfterEnd => {
            client.send(chat_stream("m"));
            client.wait_for(b"[DONE]");
        }
    }
}

/// Red if a client that leaves keeps the provider working, leaves no record or two, or one that says something else.
#[test]
fn a_client_that_leaves_cancels_the_provider_at_once() {
    for phase in [
        Phase::Upload,
        Phase::Forward,
        Phase::BeforeAnswer,
        Phase::Stream,
        Phase::BeforeUsage,
        Phase::AfterEnd,
    ] {
        let runs = if phase == Phase::Forward { 20 } else { 60 };
        let upstream = Upstream::scripted(move |exchange| script(phase, exchange));
        let gateway = Gateway::start(Setup::new(plain(upstream.address)));
        let mut took: Vec<Duration> = Vec::new();
        for run in 0..runs {
            if phase == Phase::Forward {
                upstream.set_deaf(true);
            }
            let mut client = gateway.client();
            bring(&mut client, phase, &upstream, run);
            let left = Instant::now();
            if run % 2 == 0 {
                drop(client);
            } else {
                client.reset();
            }
            if phase == Phase::Forward {
                // A provider that does not read cannot see the end; the record tells that the gateway has.
                gateway.wait_records(run + 1);
                took.push(left.elapsed());
                upstream.set_deaf(false);
                upstream.closed_at(run);
            } else if phase == Phase::Upload {
                gateway.wait_records(run + 1);
                took.push(left.elapsed());
            } else {
                took.push(upstream.closed_at(run).saturating_duration_since(left));
            }
        }
        took.sort();
        let (p50, p99) = (took[runs / 2], took[runs * 99 / 100]);
        println!("client leaves, {phase:?}: {runs} runs, p50 {p50:?}, p99 {p99:?}");
        assert!(p99 < Duration::from_secs(2), "{phase:?}: {p99:?}");
        let records = gateway.wait_records(runs);
        for record in &records {
            check_left(phase, record);
        }
        if phase == Phase::Upload {
            assert_eq!(upstream.connections(), 0);
        }
    }
}

fn check_left(phase: Phase, record: &UsageRecord) {
    let expected = match phase {
        Phase::Upload | Phase::Forward | Phase::BeforeAnswer => (Ended::ClientGone, Known::Unknown, None),
        Phase::Stream | Phase::BeforeUsage => (Ended::ClientGone, Known::Unknown, None),
        Phase::AfterEnd => (Ended::Complete, Known::Reported, Some(5)),
    };
    let found = (record.ended, record.usage_known, record.usage.output);
    assert!(
        found == expected || (found.0, found.1) == (expected.0, Known::Partial),
        "{phase:?}: {record:#?}"
    );
}

/// Red if a half-closed client loses its answer although it only said that it sends nothing more.
///
/// A client that closes its sending side cannot be told from one that is gone; the gateway takes it for gone.
#[test]
fn half_closing_is_leaving() {
    let upstream = Upstream::scripted(|exchange| script(Phase::BeforeAnswer, exchange));
    let gateway = Gateway::start(Setup::new(plain(upstream.address)));
    let mut client = gateway.client();
    client.send(chat("m"));
    wait_until("the request is there", || upstream.requests().len() == 1);
    client.half_close();
    upstream.closed_at(0);
    assert_eq!(gateway.wait_records(1)[0].ended, Ended::ClientGone);
}

/// How a provider breaks off.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Break {
    Fin,
    Reset,
    /// After a half event.
    Half,
    /// Silence, until the gateway's patience ends.
    Stall,
    /// A body that only the connection's end delimits.
    ResetUndelimited,
}

/// Red if a client can take a cut stream for a whole one, or the usage of a cut stream for the whole usage.
#[test]
fn a_provider_that_breaks_off_is_never_a_clean_end() {
    for how in [
        Break::Fin,
        Break::Reset,
        Break::Half,
        Break::Stall,
        Break::ResetUndelimited,
    ] {
        for with_usage in [false, true] {
            let (seen, wait) = mpsc::channel::<()>();
            let wait = Mutex::new(wait);
            let upstream = Upstream::scripted(move |exchange| {
                exchange.body();
                let chunked = how != Break::ResetUndelimited;
                let send = |data: &str| {
                    if chunked {
                        exchange.chunk(data)
                    } else {
                        exchange.send(data)
                    }
                };
                if chunked {
                    exchange.begin_events();
                } else {
                    exchange.send("HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\n\r\n");
                }
                send(
                    "event: message_start\ndata: {\"type\":\"message_start\",\"message\":{\"id\":\"m\",\"model\":\"m\",\"usage\":{\"input_tokens\":7,\"output_tokens\":1}}}\n\n",
                );
                if with_usage {
                    send(
                        "event: message_delta\ndata: {\"type\":\"message_delta\",\"delta\":{\"stop_reason\":\"end_turn\"},\"usage\":{\"output_tokens\":9}}\n\n",
                    );
                }
                if how == Break::Half {
                    send("event: content_block_delta\ndata: {\"type\":");
                }
                send(": here\n\n");
                // What was sent has reached the client, so that no reset overtakes it.
                wait.lock().unwrap().recv().unwrap();
                match how {
                    Break::Fin | Break::Half => exchange.fin(),
                    Break::Reset | Break::ResetUndelimited => exchange.reset(),
                    Break::Stall => exchange.until_closed(),
                }
            });
            let mut snapshot = plain(upstream.address);
            snapshot.providers[0].timeouts.idle_ms = 500;
            let gateway = Gateway::start(Setup::new(snapshot));
            let mut client = gateway.client();
            client.send(post("/v1/messages", r#"{"model":"m","stream":true}"#));
            client.wait_for(b": here\n\n");
            seen.send(()).unwrap();
            match client.try_answer(false) {
                Ok(answer) => panic!("{how:?}: a clean end: {answer:?}"),
                Err(cut) => assert!(
                    cut.received.starts_with(b"HTTP/1.1 200"),
                    "{}",
                    show(&cut.received)
                ),
            }
            let record = gateway.wait_records(1).remove(0);
            assert_eq!(record.ended, Ended::UpstreamFailed, "{how:?}");
            assert_eq!(
                (record.status, record.usage_known),
                (200, Known::Partial),
                "{how:?}"
            );
            assert_eq!(record.usage.input, Some(7), "{how:?}");
            if with_usage {
                assert_eq!(record.usage.output, Some(9), "{how:?}");
            }
        }
    }
}

/// Red if an old client, to which the end of the connection is the end of the body, takes a cut answer for a whole one.
#[test]
fn an_old_client_sees_a_reset_when_the_provider_breaks_off() {
    let (seen, wait) = mpsc::channel::<()>();
    let wait = Mutex::new(wait);
    let upstream = Upstream::scripted(move |exchange| {
        exchange.body();
        exchange.begin_events();
        exchange.chunk(EVENT);
        wait.lock().unwrap().recv().unwrap();
        exchange.fin();
    });
    let gateway = Gateway::start(Setup::new(plain(upstream.address)));
    let mut client = gateway.client();
    let body = r#"{"model":"m","stream":true,"stream_options":{"include_usage":true}}"#;
    client.send(format!(
        "POST /v1/chat/completions HTTP/1.0\r\nContent-Length: {}\r\n\r\n{body}",
        body.len()
    ));
    client.wait_for(EVENT.as_bytes());
    seen.send(()).unwrap();
    assert_eq!(client.rest().1, End::Reset);
    assert_eq!(gateway.wait_records(1)[0].ended, Ended::UpstreamFailed);
}

/// Red if a request is lost because its pooled connection had been closed before, or if any is sent twice.
///
/// A close that crosses the request on the way may cost it (502), but never doubles it.
#[test]
fn closed_idle_connections_cost_nobody_a_request() {
    let reuses = 2_000;
    let (done, answered) = mpsc::channel();
    let upstream = Upstream::scripted(move |exchange| {
        let body = exchange.body();
        exchange.json(COMPLETION);
        // Some connections end after their first answer, some after their third, some stay.
        match (exchange.connection() % 4, exchange.index) {
            (0, _) | (2, 1) => exchange.close(),
            (1, 2) if exchange.head.contains("X-Wait") => exchange.reset(),
            _ => {}
        }
        done.send(body.unwrap_or_default()).unwrap();
    });
    let gateway = Gateway::start(Setup::new(plain(upstream.address)));
    let mut client = gateway.client();
    let mut lost = 0;
    // Answered, and the end of its exchange not seen yet; a reset may take an answer along, so each is known by its body.
    let mut open = HashSet::new();
    let mut early = HashSet::new();
    let mut crossed = false;
    for number in 0..reuses {
        // Every second time the close is sure to come before the next request.
        let wait = number % 2 == 0;
        let field = if wait { "X-Wait: 1\r\n" } else { "" };
        let body = format!(r#"{{"model":"m{number}"}}"#);
        client.send(post_with("/v1/chat/completions", field, body.as_bytes()));
        let answer = client.answer();
        match answer.status {
            200 => {}
            502 if crossed => {}
            status => panic!("request {number}: {status} {}", answer.text()),
        }
        lost += usize::from(answer.status == 502);
        crossed = !wait;
        if answer.status == 200 && !early.remove(body.as_bytes()) {
            open.insert(body.into_bytes());
        }
        while wait && !open.is_empty() {
            let ended = answered.recv().unwrap();
            if !open.remove(&ended) {
                early.insert(ended);
            }
        }
        if wait && number % 100 == 98 {
            upstream.close_all();
        }
    }
    let mut models: Vec<Vec<u8>> = upstream.requests().into_iter().map(|r| r.body).collect();
    let all = models.len();
    models.sort();
    models.dedup();
    assert_eq!(
        (models.len(), all),
        (reuses, reuses),
        "a request was doubled or lost"
    );
    gateway.wait_records(reuses);
    println!(
        "{reuses} requests over {} connections, {lost} crossed a close",
        upstream.connections()
    );
}

/// Red if a request that a provider has taken, and then dropped, is sent again: it would be paid for twice.
#[test]
fn a_request_that_was_taken_is_not_repeated() {
    for reset in [false, true] {
        let upstream = Upstream::scripted(move |exchange| {
            exchange.body();
            match (exchange.index, reset) {
                (0, _) => drop(exchange.json("{}")),
                (_, false) => exchange.fin(),
                (_, true) => exchange.reset(),
            }
        });
        let gateway = Gateway::start(Setup::new(plain(upstream.address)));
        assert_eq!(gateway.call(chat("m")).status, 200);
        // Large enough that its first part is acknowledged before its last part has come.
        let body = format!(r#"{{"model":"m","pad":"{}"}}"#, "x".repeat(1 << 20));
        let answer = gateway.call(post("/v1/embeddings", &body));
        assert_eq!(upstream.requests().len(), 2, "reset {reset}");
        assert_eq!(
            (answer.status, answer.field("x-sluice-error")),
            (502, Some("upstream_closed"))
        );
        assert_eq!(gateway.wait_records(2)[1].ended, Ended::UpstreamFailed);
    }
}
