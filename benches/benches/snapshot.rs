//! Getting at the snapshot: what a shard pays a request to see the current configuration, and what a change costs.

use std::hint::black_box;
use std::sync::Arc;

use arc_swap::{ArcSwap, Cache};
use criterion::{Criterion, criterion_group, criterion_main};
use sluice_benches::criterion;
use sluice_shared::ids::Epoch;
use sluice_shared::snapshot::{Provider, Sealed, Snapshot, seal};

fn access(criterion: &mut Criterion) {
    let sealed = seal(&sample()).expect("memory for a snapshot");
    let current = ArcSwap::from_pointee(Sealed::open(&sealed).expect("what was sealed opens"));
    let mut cache = Cache::new(&current);
    assert_eq!(epoch(cache.load()), 7);
    assert_eq!(epoch(&current.load()), 7);
    let mut group = criterion.benchmark_group("snapshot access");
    group.bench_function("arc_swap::Cache", |bencher| {
        bencher.iter(|| epoch(black_box(&mut cache).load()));
    });
    group.bench_function("ArcSwap::load", |bencher| {
        bencher.iter(|| epoch(&black_box(&current).load()));
    });
    group.bench_function("ArcSwap::load_full", |bencher| {
        bencher.iter(|| epoch(&black_box(&current).load_full()));
    });
    group.finish();
    let mut group = criterion.benchmark_group("snapshot change");
    group.bench_function("open, 200 providers", |bencher| {
        bencher.iter(|| Sealed::open(black_box(&sealed)).is_ok());
    });
    group.bench_function("seal, 200 providers", |bencher| {
        let snapshot = sample();
        bencher.iter(|| seal(black_box(&snapshot)).is_ok());
    });
    group.finish();
}

fn epoch(sealed: &Arc<Sealed>) -> u64 {
    sealed.snapshot().epoch.0.to_native()
}

fn sample() -> Snapshot {
    let providers = (0..200).map(|n| Provider {
        id: format!("provider-{n}"),
        models: (0..20).map(|m| format!("model-{n}-{m}-*")).collect(),
        ..Provider::default()
    });
    Snapshot {
        epoch: Epoch(7),
        providers: providers.collect(),
        ..Snapshot::default()
    }
}

criterion_group! { name = benches; config = criterion(); targets = access }
criterion_main!(benches);
