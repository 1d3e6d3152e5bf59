//! How much of a bucket a request needs, by each way of admission, and what learning from a record costs.
//!
//! `estimate` and `positive` are on the path of every request that a quota counts for; they do not look at the body. `strict`
//! walks over its strings once.

use std::hint::black_box;

use criterion::{Criterion, Throughput, criterion_group, criterion_main};
use sluice_benches::{criterion, inputs};
use sluice_dataplane::quota::probe::Asked;
use sluice_shared::snapshot::Admission;

fn needs(criterion: &mut Criterion) {
    for (name, bytes) in [("1 KiB", 1 << 10), ("64 KiB", 64 << 10), ("1 MiB", 1 << 20)] {
        let body = inputs::chat_request(bytes);
        let mut group = criterion.benchmark_group(format!("need of a request of {name}"));
        group.throughput(Throughput::Bytes(body.len() as u64));
        for (engine, admission) in [
            ("estimate", Admission::Estimate),
            ("positive", Admission::Positive),
            ("strict", Admission::Strict),
        ] {
            let asked = Asked::new(&body, admission);
            let need = asked.need();
            let least = if admission == Admission::Positive {
                1
            } else {
                1_000_000
            };
            assert!(need >= least, "{engine} needs {need}");
            group.bench_function(engine, |bencher| bencher.iter(|| black_box(&asked).need()));
        }
        group.finish();
    }
}

fn clamps(criterion: &mut Criterion) {
    let asked = Asked::new(&inputs::chat_request(1 << 10), Admission::Strict);
    let all = asked.need();
    let free = all.saturating_sub(all / 4);
    assert!((16..1_024).contains(&asked.clamp(free)), "the limit is lowered");
    criterion.bench_function("lower the limit of a request of 1 KiB", |bencher| {
        bencher.iter(|| black_box(&asked).clamp(free));
    });
}

fn learning(criterion: &mut Criterion) {
    let mut asked = Asked::new(&inputs::chat_request(1 << 10), Admission::Estimate);
    let mut need_after = |output: u64| {
        (0..2_000).for_each(|_| asked.learn("gpt-5.5", output));
        asked.need()
    };
    assert!(need_after(1) < need_after(900), "what was learnt is used");
    let mut output = 0u64;
    criterion.bench_function("learn from a record", |bencher| {
        bencher.iter(|| {
            output = output.wrapping_mul(25).wrapping_add(7) & 0xffff;
            asked.learn("gpt-5.5", output);
        });
    });
}

criterion_group! { name = benches; config = criterion(); targets = needs, clamps, learning }
criterion_main!(benches);
