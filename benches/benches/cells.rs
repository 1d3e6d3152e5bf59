//! Budgets on a shard: reserving and settling where the shard's lease suffices, on one thread and on two around one hot
//! bucket, and refusing on a dry one.
//!
//! The threads of the contended case run for the same time side by side, and in turn alone; what counts is how much more
//! two of them get done than one, in one run on one machine.

use std::hint::black_box;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Barrier};
use std::thread;
use std::time::{Duration, Instant};

use criterion::{Criterion, criterion_group, criterion_main};
use sluice_benches::criterion;
use sluice_dataplane::quota::node::{Held, Node, Outcome, Shard, Wants};
use sluice_shared::quota::{Rate, Terms};

/// A billion dollars: nobody comes to its end.
const TERMS: Terms = Terms {
    capacity: 1_000_000_000_000_000_000,
    rate: Rate::NONE,
};

/// What a request reserves and uses, in nanodollars: 5 and 3 cents.
const NEED: u64 = 50_000_000;
const USED: u64 = 30_000_000;

/// Slices of time that are compared; short, so that some of them find both cores free on a machine with other work.
const SLICES: usize = 400;
const SLICE: Duration = Duration::from_millis(4);

fn reserve(node: &mut Node, shard: &mut Shard, wants: &Wants) -> Held {
    let mut outcome = shard.reserve(wants);
    loop {
        match outcome {
            Outcome::Held(held) => return held,
            Outcome::Waiting(waiting) => {
                node.turn();
                shard.turn();
                outcome = shard.resume(waiting);
            }
            other => panic!("{other:?}"),
        }
    }
}

fn at_once(shard: &Shard, wants: &Wants) -> u64 {
    match shard.reserve(wants) {
        Outcome::Held(held) => held.settle(&[USED, USED, USED]),
        other => panic!("{other:?}"),
    }
}

fn fast(c: &mut Criterion) {
    let mut node = Node::new(2, TERMS).expect("descriptors");
    let mut shard = node.seed(0).expect("a new node").shard();
    let names = ["daily:alice@example.com", "team:engineering", "model:gpt-5.5"];
    let handles: Vec<_> = names.iter().map(|name| (shard.bucket(name), NEED)).collect();
    let three = Wants::new(&handles);
    let one = Wants::new(&handles[..1]);
    drop(reserve(&mut node, &mut shard, &three));
    let mut group = c.benchmark_group("cells");
    group.bench_function("reserve and settle", |b| {
        b.iter(|| at_once(&shard, black_box(&one)));
    });
    group.bench_function("reserve and settle, 3 buckets", |b| {
        b.iter(|| at_once(&shard, black_box(&three)));
    });
    group.bench_function("reserve and cancel", |b| {
        b.iter(|| drop(black_box(shard.reserve(black_box(&one)))));
    });
    group.bench_function("look a bucket up by its name", |b| {
        b.iter(|| shard.bucket(black_box(names[0])));
    });
    group.finish();
}

fn dry(c: &mut Criterion) {
    let mut node = Node::new(1, TERMS).expect("descriptors");
    let mut shard = node.seed(0).expect("a new node").shard();
    let bucket = shard.bucket("daily:alice@example.com");
    let all = reserve(
        &mut node,
        &mut shard,
        &Wants::new(&[(bucket.clone(), TERMS.capacity)]),
    );
    let one = Wants::new(&[(bucket, NEED)]);
    let mut outcome = shard.reserve(&one);
    while let Outcome::Waiting(waiting) = outcome {
        node.turn();
        shard.turn();
        outcome = shard.resume(waiting);
    }
    c.benchmark_group("cells")
        .bench_function("refuse on a dry bucket", |b| {
            b.iter(|| match shard.reserve(black_box(&one)) {
                Outcome::Refused { retry_after_s } => retry_after_s,
                other => panic!("{other:?}"),
            });
        });
    drop(all);
}

/// Requests that this many threads get done in a slice of time, together, on one bucket.
fn side_by_side(threads: usize) -> u64 {
    let mut node = Node::new(2, TERMS).expect("descriptors");
    let seeds: Vec<_> = (0..2).filter_map(|n| node.seed(n)).collect();
    let (start, over) = (
        Arc::new(Barrier::new(threads + 1)),
        Arc::new(AtomicBool::new(false)),
    );
    let opened = Arc::new(Barrier::new(threads + 1));
    let running: Vec<_> = seeds
        .into_iter()
        .take(threads)
        .map(|seed| {
            let (start, over, opened) = (Arc::clone(&start), Arc::clone(&over), Arc::clone(&opened));
            thread::spawn(move || {
                let mut shard = seed.shard();
                let wants = Wants::new(&[(shard.bucket("hot"), NEED)]);
                let mut outcome = shard.reserve(&wants);
                while let Outcome::Waiting(waiting) = outcome {
                    thread::yield_now();
                    shard.turn();
                    outcome = shard.resume(waiting);
                }
                drop(outcome);
                opened.wait();
                start.wait();
                let mut done = 0;
                while !over.load(Ordering::Relaxed) {
                    for _ in 0..256 {
                        black_box(at_once(&shard, black_box(&wants)));
                    }
                    done += 256;
                }
                done
            })
        })
        .collect();
    // Whoever opens the bucket needs the agent.
    let agent = {
        let done = Arc::new(AtomicBool::new(false));
        let stop = Arc::clone(&done);
        let thread = thread::spawn(move || {
            while !stop.load(Ordering::Acquire) {
                if !node.turn() {
                    node.wait(Duration::from_millis(1));
                }
            }
        });
        opened.wait();
        done.store(true, Ordering::Release);
        thread
    };
    agent.join().expect("the agent");
    start.wait();
    let began = Instant::now();
    thread::sleep(SLICE);
    over.store(true, Ordering::Relaxed);
    let took = began.elapsed();
    let done: u64 = running
        .into_iter()
        .map(|thread| thread.join().expect("a shard"))
        .sum();
    u64::try_from(u128::from(done) * SLICE.as_nanos() / took.as_nanos()).unwrap_or(u64::MAX)
}

#[allow(clippy::print_stdout, reason = "the figures are what this is for")]
fn contended(_: &mut Criterion) {
    // Under `cargo test` a look is enough.
    let slices = if std::env::args().any(|arg| arg == "--test") || cfg!(debug_assertions) {
        1
    } else {
        SLICES
    };
    let (mut one, mut two) = (Vec::new(), Vec::new());
    for _ in 0..slices {
        one.push(side_by_side(1));
        two.push(side_by_side(2));
    }
    // What other programs take from the machine makes a slice slower, never faster.
    let best = |done: &[u64]| done.iter().copied().max().unwrap_or(0);
    let (best_one, best_two) = (best(&one), best(&two));
    one.sort_unstable();
    two.sort_unstable();
    println!(
        "one hot bucket, {slices} slices of {SLICE:?}: 1 thread {best_one}, 2 threads {best_two}, ratio of the best {}.{:02}, of the medians {}.{:02}",
        best_two / best_one.max(1),
        best_two * 100 / best_one.max(1) % 100,
        two[slices / 2] / one[slices / 2].max(1),
        two[slices / 2] * 100 / one[slices / 2].max(1) % 100,
    );
}

criterion_group! { name = benches; config = criterion(); targets = fast, dry, contended }
criterion_main!(benches);
