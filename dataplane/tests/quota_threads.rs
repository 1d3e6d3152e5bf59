//! Shards on threads of their own around one bucket: nothing is lost or made between them, and nobody is refused while
//! somewhere there is enough.
#![allow(
    clippy::unwrap_used,
    clippy::print_stdout,
    reason = "helpers of a test fail by panic, as the test does; figures are printed"
)]

use std::sync::atomic::{AtomicBool, AtomicU64, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::thread;
use std::time::{Duration, Instant};

use sluice_dataplane::quota::node::{Held, Node, Outcome, Shard, ShardSeed, Wants};
use sluice_shared::quota::{Charge, Rate, Terms};

/// xorshift64*: the same sequence for the same seed.
struct Random(u64);

impl Random {
    fn below(&mut self, n: u64) -> u64 {
        self.0 ^= self.0 >> 12;
        self.0 ^= self.0 << 25;
        self.0 ^= self.0 >> 27;
        self.0.wrapping_mul(0x2545_f491_4f6c_dd1d) % n
    }
}

/// Runs a node with these shards until all have ended; what each shard returns.
fn play<T: Send + 'static>(
    node: &mut Node,
    shards: usize,
    run: impl Fn(usize, &mut Shard) -> T + Send + Sync + Clone + 'static,
) -> Vec<T> {
    let running = Arc::new(AtomicUsize::new(shards));
    let over = Arc::new(AtomicBool::new(false));
    let threads: Vec<_> = (0..shards)
        .map(|n| {
            let seed: ShardSeed = node.seed(n).unwrap();
            let (run, running, over) = (run.clone(), Arc::clone(&running), Arc::clone(&over));
            thread::spawn(move || {
                let mut shard = seed.shard();
                let out = run(n, &mut shard);
                running.fetch_sub(1, Ordering::AcqRel);
                // Others may still need what it has idle.
                while !over.load(Ordering::Acquire) {
                    shard.turn();
                    thread::yield_now();
                }
                shard.flush();
                assert_eq!(shard.counts().1, 0, "reservations");
                out
            })
        })
        .collect();
    while running.load(Ordering::Acquire) > 0 {
        if !node.turn() {
            node.wait(Duration::from_millis(1));
        }
        node.loosen();
    }
    over.store(true, Ordering::Release);
    threads.into_iter().map(|thread| thread.join().unwrap()).collect()
}

/// Reserves, waiting where it must; `None` if it is refused.
fn reserve(shard: &mut Shard, wants: &Wants) -> Option<Held> {
    let mut outcome = shard.reserve(wants);
    let began = Instant::now();
    loop {
        match outcome {
            Outcome::Held(held) => return Some(held),
            Outcome::Refused { .. } => return None,
            Outcome::Unavailable => panic!("the ledger is there"),
            Outcome::Waiting(waiting) => {
                thread::yield_now();
                shard.turn();
                outcome = shard.resume(waiting);
                assert!(began.elapsed() < Duration::from_secs(60), "nobody answers");
            }
        }
    }
}

#[test]
fn what_is_granted_is_free_or_charged_at_the_end() {
    for shards in [2, 4] {
        let capacity = 20_000_000;
        let terms = Terms {
            capacity,
            rate: Rate::NONE,
        };
        let mut node = Node::new(shards, terms).unwrap();
        let charges = Arc::new(Mutex::new(Vec::<Charge>::new()));
        let frees = {
            let charges = Arc::clone(&charges);
            play(&mut node, shards, move |n, shard| {
                let mut random = Random(0x5eed + n as u64);
                let bucket = shard.bucket("hot");
                let mut running: Vec<(Held, u64)> = Vec::new();
                let (mut mine, mut refused) = (Vec::new(), 0);
                for _ in 0..20_000 {
                    let need = random.below(4_000) + 1;
                    match reserve(shard, &Wants::new(&[(bucket.clone(), need)])) {
                        // Some use more than was reserved, some are cancelled.
                        Some(held) => running.push((held, random.below(need * 2) * random.below(2))),
                        None => refused += 1,
                    }
                    while running.len() > 20 || (random.below(3) == 0 && !running.is_empty()) {
                        let at = usize::try_from(random.below(running.len() as u64)).unwrap();
                        let (held, used) = running.swap_remove(at);
                        held.settle_with(&[used], |charges| mine.extend_from_slice(charges));
                    }
                    shard.turn();
                }
                drop(running);
                charges.lock().unwrap().extend(mine);
                // Looked up anew: the agent may have taken another shard's cell for it.
                (refused, shard.bucket("hot").cell())
            })
        };
        let charges = charges.lock().unwrap();
        let charged: u64 = charges.iter().map(|charge| charge.amount).sum();
        node.ingest(&charges);
        let refused: u64 = frees.iter().map(|(refused, _)| refused).sum();
        let (balance, outstanding) = node.sums(1).unwrap();
        let free = frees[0].1.free();
        println!(
            "{shards} shards: {charged} charged in {}, {refused} refused",
            charges.len()
        );
        assert_eq!(outstanding, free, "what the ledger has leased lies in the cell");
        assert_eq!(
            balance,
            i64::try_from(capacity).unwrap() - i64::try_from(charged).unwrap()
        );
        assert!(balance - free >= 0);
        assert!(refused > 0, "it went to the end of the bucket");
    }
}

#[test]
fn nobody_is_refused_while_there_is_enough_somewhere() {
    const CAPACITY: u64 = 60;
    for shards in [2usize, 4] {
        let terms = Terms {
            capacity: CAPACITY,
            rate: Rate::NONE,
        };
        let mut node = Node::new(shards, terms).unwrap();
        // Whoever wants to reserve takes a permit for as much first, so that there is always enough.
        let permits = Arc::new(AtomicU64::new(CAPACITY));
        let refused = play(&mut node, shards, move |n, shard| {
            let mut random = Random(0xabcd + n as u64);
            let bucket = shard.bucket("shared");
            let mut running: Vec<(Held, u64)> = Vec::new();
            let mut refused = 0;
            let mut done = 0;
            while done < 5_000 {
                let need = random.below(CAPACITY / 3) + 1;
                let less = |permits: u64| permits.checked_sub(need);
                if permits
                    .fetch_update(Ordering::AcqRel, Ordering::Acquire, less)
                    .is_ok()
                {
                    match reserve(shard, &Wants::new(&[(bucket.clone(), need)])) {
                        Some(held) => running.push((held, need)),
                        None => refused += 1,
                    }
                    done += 1;
                } else if let Some((held, amount)) = running.pop() {
                    drop(held);
                    permits.fetch_add(amount, Ordering::AcqRel);
                } else {
                    thread::yield_now();
                }
                shard.turn();
            }
            for (held, amount) in running {
                drop(held);
                permits.fetch_add(amount, Ordering::AcqRel);
            }
            refused
        });
        let (_, asks, recalls) = node.counts();
        println!("{shards} shards, {asks} questions to the ledger and {recalls} rounds");
        assert_eq!(refused.iter().sum::<u64>(), 0);
        assert!(recalls > 0, "something lay idle in another shard");
    }
}
