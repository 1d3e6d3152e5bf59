//! The resolver's threads with a name server of the test's own.

#![allow(
    clippy::unwrap_used,
    reason = "helpers of a test fail by panic, as the test does"
)]

use std::collections::VecDeque;
use std::io;
use std::net::IpAddr;
use std::os::fd::AsRawFd;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, mpsc};
use std::time::{Duration, Instant};

use sluice_dataplane::dns::{Lookup, ResolveError, Resolver, literal};
use sluice_dataplane::mailbox::{MailboxReceiver, ShardMessage, mailbox};

struct Shard(MailboxReceiver, VecDeque<ShardMessage>);

impl Shard {
    fn next(&mut self) -> (u64, Result<Arc<[IpAddr]>, ResolveError>) {
        let start = Instant::now();
        loop {
            match self.1.pop_front() {
                Some(ShardMessage::Resolved { ticket, result }) => return (ticket, result),
                Some(other) => panic!("{other:?}"),
                None => {}
            }
            assert!(start.elapsed() < Duration::from_secs(20), "no answer came");
            readable(self.0.wake_fd().as_raw_fd());
            self.0.wakened();
            self.1.extend(std::iter::from_fn(|| self.0.next()));
        }
    }
}

#[allow(unsafe_code, reason = "the test waits as a runtime would")]
fn readable(fd: i32) {
    let mut poll = libc::pollfd {
        fd,
        events: libc::POLLIN,
        revents: 0,
    };
    // SAFETY: one valid entry that lives for the call.
    unsafe { libc::poll(&raw mut poll, 1, 1_000) };
}

fn start(messages: usize, lookup: Lookup) -> (Resolver, Vec<Shard>) {
    let (senders, receivers): (Vec<_>, Vec<_>) = (0..2).map(|_| mailbox(messages).unwrap()).unzip();
    let resolver = Resolver::start_with(senders, lookup).unwrap();
    (
        resolver,
        receivers.into_iter().map(|r| Shard(r, VecDeque::new())).collect(),
    )
}

#[test]
fn answers_reach_the_shard_that_asked_and_one_lookup_serves_many() {
    let (go, gate) = mpsc::channel::<()>();
    let (gate, calls) = (Mutex::new(gate), Arc::new(AtomicUsize::new(0)));
    let counted = Arc::clone(&calls);
    let (resolver, mut shards) = start(
        64,
        Arc::new(move |host| {
            counted.fetch_add(1, Ordering::Relaxed);
            gate.lock().unwrap().recv().unwrap();
            match host {
                "good" => Ok(vec![IpAddr::from([10, 0, 0, 2]), IpAddr::from([10, 0, 0, 1])]),
                "empty" => Ok(Vec::new()),
                _ => Err(io::Error::other("no such host")),
            }
        }),
    );
    let (first, second) = (resolver.client(0), resolver.client(1));
    first.resolve("good", 1).unwrap();
    first.resolve("good", 2).unwrap();
    second.resolve("good", 3).unwrap();
    go.send(()).unwrap();
    let (ticket, result) = shards[0].next();
    let addresses = result.unwrap();
    assert_eq!(
        (ticket, addresses[0]),
        (1, IpAddr::from([10, 0, 0, 2])),
        "in the resolver's order"
    );
    assert_eq!(shards[0].next().0, 2);
    assert_eq!(shards[1].next(), (3, Ok(addresses)));
    assert_eq!(calls.load(Ordering::Relaxed), 1);
    first.resolve("bad", 4).unwrap();
    go.send(()).unwrap();
    assert!(matches!(shards[0].next(), (4, Err(ResolveError::Failed(why))) if why.contains("no such host")));
    second.resolve("empty", 5).unwrap();
    go.send(()).unwrap();
    assert_eq!(shards[1].next(), (5, Err(ResolveError::NoAddress)));
}

#[test]
fn one_name_that_hangs_does_not_hold_up_another() {
    let (go, gate) = mpsc::channel::<()>();
    let gate = Mutex::new(gate);
    let (resolver, mut shards) = start(
        64,
        Arc::new(move |host| {
            if host == "hangs" {
                gate.lock().unwrap().recv().unwrap();
            }
            Ok(vec![IpAddr::from([10, 0, 0, 1])])
        }),
    );
    let client = resolver.client(0);
    client.resolve("hangs", 1).unwrap();
    for ticket in 2..50 {
        client.resolve(&format!("host-{ticket}"), ticket).unwrap();
        assert_eq!(shards[0].next().0, ticket);
    }
    go.send(()).unwrap();
    assert_eq!(shards[0].next().0, 1);
}

#[test]
fn a_full_mailbox_loses_no_answer() {
    let (resolver, mut shards) = start(1, Arc::new(|_| Ok(vec![IpAddr::from([10, 0, 0, 1])])));
    let client = resolver.client(0);
    for ticket in 0..500 {
        client.resolve(&format!("host-{}", ticket % 7), ticket).unwrap();
    }
    let mut tickets: Vec<_> = (0..500).map(|_| shards[0].next().0).collect();
    tickets.sort_unstable();
    assert_eq!(tickets, (0..500).collect::<Vec<_>>());
}

#[test]
fn the_systems_resolver_knows_this_machine() {
    let (sender, receiver) = mailbox(4).unwrap();
    let resolver = Resolver::start(vec![sender]).unwrap();
    resolver.client(0).resolve("localhost", 1).unwrap();
    let (_, result) = Shard(receiver, VecDeque::new()).next();
    assert!(result.unwrap().iter().all(IpAddr::is_loopback));
}

#[test]
fn addresses_need_no_resolver() {
    let check = |host: &str, expected: Option<&str>| {
        assert_eq!(literal(host), expected.map(|e| e.parse().unwrap()), "{host}");
    };
    check("127.0.0.1", Some("127.0.0.1"));
    check("::1", Some("::1"));
    check("[::1]", Some("::1"));
    check("[127.0.0.1", None);
    check("localhost", None);
    check("127.1", None);
    check("", None);
}
