//! What runs, as the control plane is told when it asks; and its own streams, passed on as they come.

use sluice_shared::wire::control::PoolStanding;

use crate::support::client::{chat, chat_stream, get};
use crate::support::setup::plain;
use crate::support::upstream::{COMPLETION, Upstream};
use crate::support::{Driver, Gateway, Setup, wait_until};

const EVENT: &str =
    "data: {\"id\":\"c\",\"model\":\"m\",\"choices\":[{\"index\":0,\"delta\":{\"content\":\"a\"}}]}\n\n";

/// Red if a stream is counted before it begins or after it ends, or if a connection is taken for idle while it is used.
#[test]
fn what_runs_is_told_when_it_is_asked_for() {
    for (shards, driver) in [(1, Driver::Ring), (3, Driver::Epoll)] {
        let upstream = Upstream::scripted(|exchange| {
            let body = exchange.body().unwrap_or_default();
            if String::from_utf8_lossy(&body).contains("stream") {
                exchange.begin_events();
                exchange.chunk(EVENT);
                exchange.until_closed();
            } else {
                exchange.json(COMPLETION);
            }
        });
        let mut setup = Setup::new(plain(upstream.address)).driver(driver);
        setup.shards = shards;
        let gateway = Gateway::start(setup);
        let pools = |open: u64, idle: u64| {
            vec![PoolStanding {
                provider: plain(upstream.address).providers[0].id.clone(),
                open,
                idle,
            }]
        };
        let sums = || {
            let standing = gateway.control.stand();
            let pools = standing.pools.iter();
            let (open, idle) = pools.fold((0, 0), |(open, idle), pool| (open + pool.open, idle + pool.idle));
            (standing.running, standing.streams, open, idle)
        };
        assert_eq!(sums(), (0, 0, 0, 0));
        let mut client = gateway.client();
        client.send(chat("m"));
        assert_eq!(client.answer().status, 200);
        assert_eq!(gateway.control.stand().pools, pools(1, 1), "{shards} shards");
        let mut reader = gateway.client();
        reader.send(chat_stream("m"));
        reader.wait_for(b"\"a\"");
        let (running, streams, open, idle) = sums();
        assert_eq!((running, streams, open - idle), (1, 1, 1));
        drop(reader);
        wait_until("the stream is over", || {
            let (running, streams, open, idle) = sums();
            (running, streams) == (0, 0) && open == idle
        });
    }
}

/// Red if an event waits for more of them, or if a seat stays taken by somebody who has gone.
#[test]
fn a_stream_of_the_control_plane_passes_at_once_and_ends_with_its_reader() {
    let upstream = Upstream::plain();
    let gateway = Gateway::start(Setup::new(plain(upstream.address)));
    let mut client = gateway.client();
    client.send(get("/api/live"));
    client.wait_for(b"event: one");
    assert_eq!(gateway.control.streams_left(), 0);
    drop(client);
    wait_until("the stream is left", || gateway.control.streams_left() == 1);
}
