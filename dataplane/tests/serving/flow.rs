//! Clients and providers of different speed, and many of them.

use std::io::Read;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::thread;

use crate::support::client::{Client, chat, post, post_with};
use crate::support::kernel;
use crate::support::setup::plain;
use crate::support::upstream::Upstream;
use crate::support::{Gateway, Setup, wait_until};

/// Red if the gateway takes in what its client does not read, or others wait for a slow client.
#[test]
fn a_client_that_does_not_read_stops_the_provider_and_nobody_else() {
    let sent = Arc::new(AtomicUsize::new(0));
    let total = 32 << 20;
    let counter = sent.clone();
    let upstream = Upstream::scripted(move |exchange| {
        exchange.body();
        if !exchange.target().starts_with("/v1/embeddings") {
            exchange.json("{}");
            return;
        }
        exchange.send(format!("HTTP/1.1 200 OK\r\nContent-Length: {total}\r\n\r\n"));
        let piece = vec![b'x'; 64 << 10];
        while counter.load(Ordering::Relaxed) < total && exchange.send(&piece) {
            counter.fetch_add(piece.len(), Ordering::Relaxed);
        }
    });
    let gateway = Gateway::start(Setup::new(plain(upstream.address)));
    let mut slow = Client::connect(gateway.address);
    kernel::receive_buffer(&slow.stream, 64 << 10);
    slow.send(post("/v1/embeddings", r#"{"model":"m"}"#));
    // Stuck: nothing more is taken over a thousand calls of others, each of which is answered.
    let mut calm = 0;
    let mut before = 0;
    let mut others = gateway.client();
    wait_until("the provider is stopped", || {
        let now = sent.load(Ordering::Relaxed);
        calm = if now == before && now > 0 { calm + 1 } else { 0 };
        before = now;
        others.send(chat("m"));
        assert_eq!(others.answer().text(), "{}");
        calm >= 200
    });
    // The sockets on the way hold up to 4 MiB of sending and 6 MiB of receiving each by Linux' defaults; the client's
    // holds next to nothing. What the gateway itself holds is in its memory.
    let taken = sent.load(Ordering::Relaxed);
    println!("taken from the provider while the client does not read: {taken} bytes of {total}");
    assert!(taken < 16 << 20, "{taken}");
    let memory = resident(gateway.pid());
    // Then all of it arrives.
    let mut got = 0;
    let mut piece = vec![0; 1 << 20];
    while got < total {
        match slow.stream.read(&mut piece).unwrap() {
            0 => panic!("ended after {got}"),
            n => got += n,
        }
    }
    let after = resident(gateway.pid());
    println!("resident: {memory} KiB while stuck, {after} KiB after");
    wait_until("the records are there", || {
        gateway.records().iter().any(|r| r.response_bytes == total as u64)
    });
}

/// KiB of memory that a process has.
fn resident(pid: u32) -> u64 {
    let status = std::fs::read_to_string(format!("/proc/{pid}/status")).unwrap();
    let line = status
        .lines()
        .find_map(|line| line.strip_prefix("RssAnon:"))
        .unwrap();
    line.split_whitespace().next().unwrap().parse().unwrap()
}

/// Red if stuck streams each hold more memory than a read's worth.
#[test]
fn stuck_streams_hold_a_bounded_amount_of_memory() {
    let streams = 200;
    let upstream = Upstream::scripted(|exchange| {
        exchange.body();
        exchange.send("HTTP/1.1 200 OK\r\nContent-Length: 16000000\r\n\r\n");
        let piece = vec![b'x'; 1 << 20];
        while !exchange.is_closed() && exchange.send(&piece) {}
    });
    let gateway = Gateway::start(Setup::new(plain(upstream.address)));
    gateway.call(crate::support::client::get("/healthz"));
    let before = resident(gateway.pid());
    let clients: Vec<Client> = (0..streams)
        .map(|_| {
            let mut client = gateway.client();
            kernel::receive_buffer(&client.stream, 64 << 10);
            client.send(post("/v1/embeddings", r#"{"model":"m"}"#));
            client
        })
        .collect();
    wait_until("all are at the provider", || upstream.requests().len() == streams);
    let mut last = 0;
    let mut calm = 0;
    wait_until("memory stands still", || {
        let now = resident(gateway.pid());
        calm = if now == last { calm + 1 } else { 0 };
        last = now;
        calm > 1_000
    });
    let each = last.saturating_sub(before) / streams as u64;
    println!("{streams} stuck streams: {each} KiB each");
    assert!(each <= 96, "{each} KiB");
    drop(clients);
}

/// Red if answers are mixed up between connections, under load and with providers that close at will.
#[test]
fn nobody_gets_anothers_answer() {
    let upstream = Upstream::scripted(|exchange| {
        let Some(body) = exchange.body() else { return };
        let text = String::from_utf8_lossy(&body).into_owned();
        if exchange.index == 6 {
            exchange.send(format!("HTTP/1.1 200 OK\r\nConnection: close\r\n\r\n{text}"));
            exchange.fin();
        } else if exchange.index % 2 == 0 {
            exchange.send("HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n");
            for piece in text.as_bytes().chunks(100) {
                exchange.chunk(std::str::from_utf8(piece).unwrap());
            }
            exchange.send("0\r\n\r\n");
        } else {
            exchange.json(&text);
        }
    });
    let mut setup = Setup::new(plain(upstream.address));
    setup.shards = 2;
    let gateway = Arc::new(Gateway::start(setup));
    let (clients, calls) = (12, 60);
    let threads: Vec<_> = (0..clients)
        .map(|client| {
            let gateway = gateway.clone();
            thread::spawn(move || {
                let mut connection = gateway.client();
                for call in 0..calls {
                    let pad = "z".repeat((client * 131 + call * 17) % 900);
                    let body = format!(r#"{{"model":"m","client":{client},"call":{call},"pad":"{pad}"}}"#);
                    let close = call % 10 == 9;
                    let field = if close { "Connection: close\r\n" } else { "" };
                    connection.send(post_with("/v1/embeddings", field, body.as_bytes()));
                    assert_eq!(connection.answer().text(), body);
                    if close {
                        connection.expect_end();
                        connection = gateway.client();
                    }
                }
            })
        })
        .collect();
    for thread in threads {
        thread.join().unwrap();
    }
    assert_eq!(upstream.requests().len(), clients * calls);
    gateway.wait_records(clients * calls);
}
