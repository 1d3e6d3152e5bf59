//! Benchmarks as data: inputs with the answer that every engine must give, and the engines compared.
//!
//! An engine that answers wrongly fails the benchmark before anything is measured. Each file in `benches/` bears the
//! name of the module it is for. `docs/BENCHMARKING.md` says how to run them and what was seen.
//!
//! What is measured is wall time. Instruction counts need a hardware counter, which virtual machines often lack (no
//! `/sys/bus/event_source/devices/cpu`), or an emulator: `valgrind --tool=callgrind TARGET/release/deps/json-…
//! --bench --profile-time 1 FILTER`.

use std::fmt::Debug;
use std::hint::black_box;

use criterion::measurement::WallTime;
use criterion::{BenchmarkGroup, Criterion, Throughput};

pub mod inputs;

/// One input and its right answer.
#[derive(Debug)]
pub struct Case<A> {
    /// What it is, for the report.
    pub name: &'static str,
    /// The bytes.
    pub input: Vec<u8>,
    /// What every engine must answer.
    pub expected: A,
}

/// One way to get the answer: its name for the report, and the function.
pub type Engine<A> = (&'static str, fn(&[u8]) -> A);

/// Checks every engine with every case, then measures them side by side.
///
/// # Panics
/// If an engine answers wrongly.
pub fn compare<A: PartialEq + Debug>(
    criterion: &mut Criterion,
    subject: &str,
    cases: &[Case<A>],
    engines: &[Engine<A>],
) {
    for case in cases {
        for (engine, answer) in engines {
            assert_eq!(
                answer(&case.input),
                case.expected,
                "{engine} is wrong about {subject}: {}",
                case.name
            );
        }
        let mut group = criterion.benchmark_group(format!("{subject}: {}", case.name));
        group.throughput(Throughput::Bytes(case.input.len() as u64));
        for (engine, answer) in engines {
            measure(&mut group, engine, &case.input, *answer);
        }
        group.finish();
    }
}

fn measure<A>(group: &mut BenchmarkGroup<'_, WallTime>, engine: &str, input: &[u8], answer: fn(&[u8]) -> A) {
    group.bench_function(engine, |bencher| bencher.iter(|| answer(black_box(input))));
}

/// Criterion as this project uses it: short enough that all benchmarks are done in minutes.
#[must_use]
pub fn criterion() -> Criterion {
    Criterion::default()
        .warm_up_time(std::time::Duration::from_millis(500))
        .measurement_time(std::time::Duration::from_secs(2))
        .sample_size(30)
        .configure_from_args()
}
