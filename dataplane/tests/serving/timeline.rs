//! When things happened in a request, as its record says.

use std::net::TcpListener;

use sluice_shared::usage::{Ended, UsageRecord};

use crate::support::client::{chat, get, post};
use crate::support::setup::{plain, provider, snapshot};
use crate::support::upstream::{COMPLETION, Upstream};
use crate::support::{Gateway, Setup, wait_until};

fn one(gateway: &Gateway) -> UsageRecord {
    gateway.wait_records(1).pop().unwrap()
}

/// Red if the moment is taken before the body was read, or from the answer.
#[test]
fn a_request_is_queued_until_the_provider_has_the_whole_of_it() {
    let upstream = Upstream::scripted(|exchange| {
        exchange.body();
        exchange.json(COMPLETION);
    });
    let gateway = Gateway::start(Setup::new(plain(upstream.address)));
    let mut client = gateway.client();
    let request = chat("m");
    let (first, rest) = request.split_at(request.len() - 2);
    client.send(first);
    client.wait_read();
    // Whatever the client takes for the rest is part of it.
    let mut witness = gateway.client();
    witness.send(get("/healthz"));
    witness.answer();
    client.send(rest);
    assert_eq!(client.answer().status, 200);
    let record = one(&gateway);
    assert_eq!(record.attempts, 1);
    let (queued, ttft) = (record.queued_us.unwrap(), record.ttft_us.unwrap());
    assert!(
        0 < queued && queued <= ttft && ttft <= record.duration_us,
        "{record:?}"
    );
}

/// Red if a request that was never sent looks as if it had been, or if only the last provider is counted.
#[test]
fn attempts_are_counted_and_what_was_not_sent_was_not_queued() {
    let upstream = Upstream::plain();
    // Nobody listens there any more.
    let dead = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
    let preferred = |id: &str, address, preference| {
        let mut one = provider(id, address);
        one.preference = preference;
        one
    };
    let both = snapshot(vec![
        preferred("dead", dead, 2),
        preferred("live", upstream.address, 1),
    ]);
    let gateway = Gateway::start(Setup::new(both));
    assert_eq!(gateway.call(chat("m")).status, 200);
    let record = one(&gateway);
    assert_eq!((record.provider.as_str(), record.attempts), ("live", 2));
    assert!(record.queued_us.is_some());

    let gateway = Gateway::start(Setup::new(plain(dead)));
    assert_eq!(gateway.call(chat("m")).status, 502);
    let record = one(&gateway);
    assert_eq!((record.ended, record.attempts), (Ended::UpstreamFailed, 1));
    assert_eq!(record.queued_us, None);

    let gateway = Gateway::start(Setup::new(plain(upstream.address)));
    assert_eq!(gateway.call(post("/v1/chat/completions", "{}")).status, 400);
    let record = one(&gateway);
    assert_eq!((record.attempts, record.queued_us), (0, None));
}

/// Red if an answer that came too early hides that the request was never whole.
#[test]
fn a_provider_that_answers_early_has_not_got_the_whole() {
    let upstream = Upstream::scripted(|exchange| {
        exchange.send("HTTP/1.1 413 Too Large\r\nContent-Length: 2\r\nConnection: close\r\n\r\n{}");
        exchange.until_closed();
    });
    // The sockets on the way cannot hold all of it.
    upstream.set_deaf(true);
    let gateway = Gateway::start(Setup::new(plain(upstream.address)));
    let body = format!("{{\"model\":\"m\",\"pad\":\"{}\"}}", "x".repeat(12 << 20));
    let mut client = gateway.client();
    client.send(post("/v1/embeddings", &body));
    assert_eq!(client.answer().status, 413);
    upstream.set_deaf(false);
    wait_until("the record is there", || gateway.records().len() == 1);
    let record = one(&gateway);
    assert_eq!((record.attempts, record.queued_us), (1, None));
}
