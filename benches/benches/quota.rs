//! Budgets, the arithmetic alone: what a request pays on its shard, and what a question costs the ledger.

use std::hint::black_box;

use criterion::{Criterion, criterion_group, criterion_main};
use sluice_benches::criterion;
use sluice_shared::quota::lease::Holder;
use sluice_shared::quota::ledger::{Account, Lease};
use sluice_shared::quota::shard::{ShardLease, chunk};
use sluice_shared::quota::{Rate, Terms};
use sluice_shared::units::{MonoMicros, UnixMicros};

const NANO_USD: u64 = 1_000_000_000;

fn terms() -> Terms {
    Terms {
        capacity: 1_000 * NANO_USD,
        rate: Rate {
            amount: 50 * NANO_USD,
            per_us: 86_400_000_000,
        },
    }
}

/// A request: reserves 3 cents and uses 1.
fn request(shard: &mut ShardLease) -> bool {
    let need = black_box(30_000_000);
    if !shard.reserve(need) {
        return false;
    }
    shard.settle(need, black_box(10_000_000));
    true
}

fn shard(criterion: &mut Criterion) {
    let mut checked = ShardLease::default();
    checked.add(100_000_000);
    assert!(request(&mut checked));
    assert_eq!(
        (checked.free, checked.reserved, checked.charged),
        (90_000_000, 0, 10_000_000)
    );

    let mut group = criterion.benchmark_group("shard lease");
    group.bench_function("reserve and settle", |bencher| {
        let mut shard = ShardLease::default();
        shard.add(1 << 59);
        bencher.iter(|| {
            if !request(&mut shard) {
                shard.add(1 << 59);
            }
        });
    });
    group.bench_function("chunk", |bencher| {
        bencher.iter(|| chunk(black_box(1 << 40), black_box(30_000_000), black_box(8)));
    });
    group.finish();
}

fn ledger(criterion: &mut Criterion) {
    let mut group = criterion.benchmark_group("ledger");
    for others in [0, 1, 7] {
        let others: Vec<Lease> = (1..=others)
            .map(|holder| Lease::new(holder, UnixMicros(0)))
            .collect();
        group.bench_function(
            format!("question and answer, {} others", others.len()),
            |bencher| {
                let mut account = Account::open(terms(), UnixMicros(0));
                let mut lease = Lease::new(0, UnixMicros(0));
                let mut holder = Holder::new(MonoMicros(0));
                let mut now = 0;
                bencher.iter(|| {
                    now += 1_000;
                    let ask = holder.ask(30_000_000, MonoMicros(now));
                    let grant = account.answer(&mut lease, &others, &ask, UnixMicros(now));
                    grant.and_then(|grant| holder.granted(&grant, MonoMicros(now)))
                });
            },
        );
    }
    group.bench_function("charge", |bencher| {
        let mut account = Account::open(terms(), UnixMicros(0));
        let mut now = 0;
        bencher.iter(|| {
            now += 1_000;
            account.charge(black_box(1_000), UnixMicros(now), UnixMicros(now));
            account.balance
        });
    });
    group.finish();
}

criterion_group! {
    name = benches;
    config = criterion();
    targets = shard, ledger
}
criterion_main!(benches);
