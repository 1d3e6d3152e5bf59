//! What budgets cost a shard: no allocation where leases suffice, little memory for each of a million buckets.
#![allow(unsafe_code, reason = "counting allocations takes an allocator")]
#![allow(
    clippy::unwrap_used,
    clippy::print_stdout,
    reason = "helpers of a test fail by panic, as the test does; figures are printed"
)]

use sluice_dataplane::quota::node::{Handle, Held, Node, Outcome, Shard, Wants};
use sluice_shared::quota::{Rate, Terms};

#[path = "support/alloc.rs"]
mod alloc;

use alloc::counted;

const TERMS: Terms = Terms {
    capacity: 1_000_000_000,
    rate: Rate::NONE,
};

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

#[test]
fn a_lease_that_suffices_costs_no_allocation() {
    let mut node = Node::new(2, TERMS).unwrap();
    let mut shard = node.seed(0).unwrap().shard();
    let handles: Vec<Handle> = ["a", "b", "c"].iter().map(|name| shard.bucket(name)).collect();
    let one = Wants::new(&[(handles[0].clone(), 1_000)]);
    let two = Wants::new(&[(handles[0].clone(), 1_000), (handles[1].clone(), 7)]);
    let three = Wants::new(&handles.iter().map(|h| (h.clone(), 500)).collect::<Vec<_>>());
    let (first, _, held) = counted(|| reserve(&mut node, &mut shard, &three));
    assert!(
        first > 0,
        "opening them costs something, which shows that counting works"
    );
    drop(held);
    for _ in 0..100 {
        let (calls, _, charged) = counted(|| reserve(&mut node, &mut shard, &one).settle(&[900]));
        assert_eq!((calls, charged), (0, 900));
        let (calls, _, charged) = counted(|| reserve(&mut node, &mut shard, &two).settle(&[900, 7]));
        assert_eq!((calls, charged), (0, 907));
        let (calls, _, ()) = counted(|| drop(reserve(&mut node, &mut shard, &three)));
        assert_eq!(calls, 0);
        let (calls, _, _) = counted(|| shard.bucket("b"));
        assert_eq!(calls, 0);
    }
    // A third charge has no room of its own.
    let (calls, _, charged) = counted(|| reserve(&mut node, &mut shard, &three).settle(&[1, 2, 3]));
    assert_eq!(charged, 6);
    assert!(calls <= 2, "{calls}");
}

#[test]
fn a_dry_bucket_refuses_without_allocating() {
    let mut node = Node::new(2, TERMS).unwrap();
    let mut shard = node.seed(0).unwrap().shard();
    let mut other = node.seed(1).unwrap().shard();
    let all = Wants::new(&[(shard.bucket("a"), TERMS.capacity)]);
    let held = reserve(&mut node, &mut shard, &all);
    let one = Wants::new(&[(shard.bucket("a"), 1)]);
    let mut outcome = shard.reserve(&one);
    while let Outcome::Waiting(waiting) = outcome {
        node.turn();
        other.turn();
        shard.turn();
        outcome = shard.resume(waiting);
    }
    assert!(matches!(outcome, Outcome::Refused { retry_after_s: None }));
    let before = node.counts();
    for _ in 0..100 {
        let (calls, _, outcome) = counted(|| shard.reserve(&one));
        assert!(matches!(outcome, Outcome::Refused { .. }));
        // The list of what has been waited for stays where it is.
        assert_eq!(calls, 0);
    }
    assert!(!node.turn());
    assert_eq!(node.counts(), before);
    drop(held);
}

#[test]
fn a_million_live_buckets_fit_into_200_megabytes() {
    // A sixteenth of a million: the tables are as full as with a million, so each bucket takes as much.
    const BUCKETS: usize = 62_500;
    let mut node = Node::new(1, TERMS).unwrap();
    let mut shard = node.seed(0).unwrap().shard();
    node.forget_accounts();
    let (_, bytes, ()) = counted(|| {
        for n in 0..BUCKETS {
            let name = format!("daily:user-{n}@example.com");
            let wants = Wants::new(&[(shard.bucket(&name), 1_000)]);
            let held = reserve(&mut node, &mut shard, &wants);
            assert_eq!(held.settle(&[900]), 900);
        }
    });
    assert_eq!((node.counts().0, shard.counts()), (BUCKETS, (BUCKETS, 0)));
    println!(
        "{bytes} bytes for {BUCKETS} live buckets, {} each: cell, agent and one shard's lease, with their tables",
        bytes / i64::try_from(BUCKETS).unwrap()
    );
    assert!(bytes * 16 <= 200_000_000, "{bytes}");
}
