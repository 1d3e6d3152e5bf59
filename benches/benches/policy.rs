//! Who may do what: a request of a known principal, a principal met for the first time, and a change of the
//! configuration under 100,000 known principals.
//!
//! What matters after a swap is the slowest request, so every one is timed on its own, and the distribution is
//! printed beside criterion's mean. Of each request the least of all runs counts there: what other programs take from
//! the core hits another request in each run, what the swap costs hits the same.

use std::hint::black_box;
use std::sync::Arc;
use std::time::{Duration, Instant};

use criterion::{Criterion, SamplingMode, criterion_group, criterion_main};
use sluice_benches::criterion;
use sluice_dataplane::control_link::Published;
use sluice_dataplane::policy::probe::Peers;
use sluice_shared::api::Flag;
use sluice_shared::ids::Epoch;
use sluice_shared::policy::{Decision, Rules};
use sluice_shared::snapshot::{
    Alias, Capability, Grant, Provider, Role, Sealed, Snapshot, Source, address_bits, seal,
};
use sluice_shared::wire::control::Principal;

const PRINCIPALS: u32 = 100_000;
const GRANTS: u32 = 1_000;
const CHAT: Flag = Flag::OpenAiChat;
const MODEL: &str = "model-7-3";

/// 1,000 grants as an organisation writes them: logins, groups, tags, networks, and a few for everybody.
fn document(epoch: u64) -> Snapshot {
    let providers = (0..20).map(|n| Provider {
        id: format!("provider-{n}"),
        models: (0..20)
            .map(|m| format!("model-{n}-{m}"))
            .chain([format!("family-{n}-*")])
            .collect(),
        flags: 1 << CHAT as u8,
        ..Provider::default()
    });
    let grants = (0..GRANTS).map(|n| Grant {
        sources: vec![match n % 10 {
            0 if n < 30 => Source::Any,
            0..=4 => Source::Login(format!("user-{n}@example.com")),
            5..=7 => Source::Group(format!("group:team-{n}")),
            8 => Source::Login(format!("tag:service-{n}")),
            _ => Source::Network {
                address: (u128::from(n.wrapping_mul(0x0101_0101)) | 0xffff_0000_0000).to_be_bytes(),
                prefix: 96 + 24,
            },
        }],
        capabilities: vec![
            Capability {
                role: Some(Role::User),
                ..Capability::default()
            },
            Capability {
                models: Some(vec![format!("provider-{}/**", n % 20), "*/model-7-*".into()]),
                grants_models: true,
                ..Capability::default()
            },
        ],
        ..Grant::default()
    });
    Snapshot {
        epoch: Epoch(epoch),
        providers: providers.collect(),
        aliases: (0..100)
            .map(|n| Alias {
                from: format!("alias-{n:03}"),
                to: format!("model-{}-1", n % 20),
            })
            .collect(),
        grants: grants.collect(),
        ..Snapshot::default()
    }
}

fn principal(n: u32) -> Principal {
    Principal {
        source: "tailscale".into(),
        login: format!("user-{n}@example.com"),
        node: format!("n{n}"),
        groups: vec![format!("group:team-{}", n % GRANTS)],
        ..Principal::default()
    }
}

fn address(n: u32) -> [u8; 16] {
    address_bits(std::net::Ipv4Addr::from(0x0a00_0000 | n).into())
}

fn publish(epoch: u64) -> Arc<Published> {
    let bytes = seal(&document(epoch)).expect("memory for a snapshot");
    let sealed = Sealed::open(&bytes).expect("what was sealed opens");
    Arc::new(Published::new(sealed).expect("a good document"))
}

fn policy(criterion: &mut Criterion) {
    let bytes = seal(&document(1)).expect("memory for a snapshot");
    let rules = Rules::compile(&document(1)).expect("a good document");
    let somebody = principal(5);
    let mut peers = Peers::default();
    peers.adopt(&publish(1)).expect("no TLS is needed");
    assert!(peers.remember(address(5), Arc::new(somebody.clone())));
    assert_eq!(peers.check(address(5), CHAT, MODEL), Some(1));
    let granted = rules.granted(&somebody, address(5));
    assert!(matches!(rules.decide(&granted, CHAT, MODEL), Decision::Allowed(c) if c.len() == 1));

    let mut group = criterion.benchmark_group("policy: 1,000 grants");
    group.bench_function("a known principal and model", |bencher| {
        bencher.iter(|| peers.check(black_box(address(5)), CHAT, black_box(MODEL)));
    });
    group.bench_function("grants of a principal", |bencher| {
        bencher.iter(|| rules.granted(black_box(&somebody), black_box(address(5))));
    });
    group.bench_function("verdict on a new model", |bencher| {
        bencher.iter(|| rules.decide(black_box(&granted), CHAT, black_box(MODEL)) == Decision::NotServed);
    });
    group.bench_function("open the snapshot", |bencher| {
        bencher.iter(|| Sealed::open(black_box(&bytes)).is_ok());
    });
    group.bench_function("prepare it, on the thread of the control link", |bencher| {
        bencher.iter_with_large_drop(|| {
            Published::new(Sealed::open(black_box(&bytes)).expect("what was sealed opens")).is_ok()
        });
    });
    let two = [publish(2), publish(3)];
    let mut turn = 0;
    group.bench_function("adopt it, on a shard", |bencher| {
        bencher.iter(|| {
            turn += 1;
            peers.adopt(black_box(&two[turn % 2])).is_ok()
        });
    });
    group.finish();
}

/// Requests of 100,000 known principals in turn: with nothing changed, and the first of each after a change.
fn swap(criterion: &mut Criterion) {
    let mut group = criterion.benchmark_group("policy: a request, 100,000 principals, 1,000 grants");
    group.sample_size(10).sampling_mode(SamplingMode::Flat);
    // Kept as the control link keeps them, so that no shard is the last to let go.
    let epochs = [publish(1), publish(2)];
    for (what, swapped) in [("no change", false), ("the first after a swap", true)] {
        let mut quietest: Option<(Duration, Vec<Duration>)> = None;
        let mut runs = 0;
        group.bench_function(what, |bencher| {
            let mut peers = Peers::default();
            peers.adopt(&epochs[0]).expect("no TLS is needed");
            for n in 0..PRINCIPALS {
                assert!(peers.remember(address(n), Arc::new(principal(n))));
                assert!(peers.check(address(n), CHAT, MODEL).is_some());
            }
            let mut turn = 0;
            bencher.iter_custom(|iterations| {
                let mut total = Duration::ZERO;
                for _ in 0..iterations {
                    turn += 1;
                    let next = swapped.then(|| &epochs[turn % 2]);
                    let run = requests(&mut peers, next);
                    total += run.0 + run.1.iter().sum::<Duration>();
                    runs += 1;
                    quietest = Some(match quietest.take() {
                        None => run,
                        Some(before) => (
                            before.0.min(run.0),
                            before.1.into_iter().zip(run.1).map(|(a, b)| a.min(b)).collect(),
                        ),
                    });
                }
                total / PRINCIPALS
            });
        });
        if let Some((adopted, times)) = quietest {
            show(what, runs, adopted, times);
        }
    }
    group.finish();
}

/// How long it took to adopt a configuration, and each request after it.
fn requests(peers: &mut Peers, next: Option<&Arc<Published>>) -> (Duration, Vec<Duration>) {
    let start = Instant::now();
    if let Some(next) = next {
        peers.adopt(next).expect("no TLS is needed");
    }
    let adopted = start.elapsed();
    let time = |n| {
        let start = Instant::now();
        black_box(peers.check(address(n), CHAT, MODEL));
        start.elapsed()
    };
    (adopted, (0..PRINCIPALS).map(time).collect())
}

#[allow(clippy::print_stdout, reason = "the figures are what this is for")]
fn show(what: &str, runs: u32, adopted: Duration, mut times: Vec<Duration>) {
    times.sort_unstable();
    let mean = times.iter().sum::<Duration>() / PRINCIPALS;
    let [half, most, nearly, worst] = [
        times.len() / 2,
        times.len() * 99 / 100,
        times.len() * 999 / 1_000,
        times.len() - 1,
    ]
    .map(|at| times[at]);
    println!(
        "    {what}, the least of {runs} runs: adopted in {adopted:?}; each request: mean {mean:?}, p50 {half:?}, p99 {most:?}, p99.9 {nearly:?}, \
         worst {worst:?}"
    );
}

criterion_group! { name = benches; config = criterion(); targets = policy, swap }
criterion_main!(benches);
