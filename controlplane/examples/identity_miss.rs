//! How long identity takes over the control socket, against a stand-in for the tailnet's daemon.
//!
//! ```text
//! cargo run --release -p sluice-controlplane --example identity_miss -- [addresses]
//! ```
//!
//! A control plane runs in this process, the stand-in on a Unix socket, and this program is the data plane: it asks about
//! one address after the other (misses), about all of them again (hits of the control plane), then removes nodes and
//! waits for the order to cut, changes grants, and restarts the daemon.

#![allow(clippy::print_stdout, reason = "a program that reports what it measured")]
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    reason = "a measurement fails loudly"
)]

#[path = "../tests/support/data.rs"]
mod data;

use std::net::Ipv4Addr;
use std::os::unix::fs::MetadataExt as _;
use std::time::{Duration, Instant};

use data::Data;
use sluice_loadtest::tailscaled::{Node, Socket, Tailscaled, User};
use sluice_shared::snapshot::address_bits;
use sluice_shared::wire::control::{IdentityAnswer, ToData, Whom};

fn address(n: u32) -> String {
    Ipv4Addr::from(0x6440_0000 + n).to_string()
}

fn report(what: &str, mut times: Vec<Duration>) {
    times.sort_unstable();
    let at = |share: usize| times[(times.len() * share / 1_000).min(times.len() - 1)];
    println!(
        "{what:<34} n {:>6}  p50 {:>9.1?}  p99 {:>9.1?}  p99.9 {:>9.1?}  max {:>9.1?}",
        times.len(),
        at(500),
        at(990),
        at(999),
        at(1_000)
    );
}

#[tokio::main]
async fn main() {
    let count = std::env::args()
        .nth(1)
        .map_or(5_000, |n| n.parse().expect("a number of addresses"));
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("tailscaled.sock");
    let owner = folder.path().metadata().unwrap().uid();
    let daemon = Tailscaled::new();
    for n in 1..=count {
        let user = User::new(i64::from(n), &format!("user{n}@example.com"));
        let mut node = Node::person(i64::from(n), &address(n), user);
        node.cap_map =
            serde_json::json!({"tailscale.com/cap/aperture": [{"role": "user"}, {"models": "anthropic/**"}]});
        daemon.put(node);
    }
    let mut socket = Socket::bind(&daemon, &path).unwrap();
    let document = folder.path().join("sluice.hujson");
    let text = format!(
        r#"{{"providers": {{"p": {{"baseurl": "http://127.0.0.1:9", "models": ["m"]}}}},
        "identity": {{"sources": ["tailscale"], "tailscale": {{"socket": "{}", "owner": {owner}}}}}}}"#,
        path.display()
    );
    std::fs::write(&document, text).unwrap();
    let options = sluice_controlplane::Options {
        config_file: Some(document),
        data_dir: folder.path().join("data"),
        ..sluice_controlplane::Options::default()
    };
    let data_dir = options.data_dir.clone();
    tokio::spawn(async move {
        sluice_controlplane::run(options, std::future::pending())
            .await
            .expect("it runs");
    });
    daemon.until_watched(1).await;
    tokio::task::spawn_blocking(move || measure(&daemon, &mut socket, &data_dir, count))
        .await
        .expect("it measures");
}

fn measure(daemon: &Tailscaled, socket: &mut Socket, data_dir: &std::path::Path, count: u32) {
    let mut data = loop {
        if let Some(data) = Data::connect(data_dir) {
            break data;
        }
    };
    let ask = |data: &mut Data, n: u32| {
        let began = Instant::now();
        let answer = data.ask(&address(n), 1);
        let time = began.elapsed();
        assert!(matches!(answer, IdentityAnswer::Known { .. }), "{answer:?}");
        time
    };
    report(
        "miss, one after the other",
        (1..=count).map(|n| ask(&mut data, n)).collect(),
    );
    let calls = daemon.whois_count();
    report(
        "hit of the control plane",
        (1..=count).map(|n| ask(&mut data, n)).collect(),
    );
    println!("calls for the hits: {}", daemon.whois_count() - calls);

    let removed: Vec<Duration> = (1..=count.min(500))
        .map(|n| {
            let began = Instant::now();
            daemon.remove(&format!("n{n}"));
            let wanted = ToData::Forget {
                whom: Whom::Address(address_bits(address(n).parse().unwrap())),
                cut: true,
            };
            while data.hear() != wanted {}
            began.elapsed()
        })
        .collect();
    report("node removed to order to cut", removed);

    // The whole answer to a restart: everything forgotten, everybody asked for again.
    let last = count;
    let before = daemon.whois_count();
    let began = Instant::now();
    socket.down();
    let away = ask(&mut data, last);
    socket.up().expect("the socket is free");
    let wanted = ToData::Forget {
        whom: Whom::Everyone,
        cut: false,
    };
    while data.hear() != wanted {}
    let flushed = began.elapsed();
    let everybody = usize::try_from(count - count.min(500)).unwrap_or_default();
    while daemon.whois_count() < before + everybody {
        std::thread::yield_now();
    }
    println!(
        "restart: known peer answered in {away:.1?} while away; flushed {flushed:.1?} after the socket went; \
         all {everybody} asked for again after {:.1?}",
        began.elapsed()
    );
}
