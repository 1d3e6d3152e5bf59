//! One cell of a table: a scenario on a running target, with what the target's processes paid for it.

use std::time::Duration;

use serde::{Deserialize, Serialize};

use crate::generator::drive::{self, Outcome};
use crate::process::{self, Memory};
use crate::scenario::{Drive, Scenario, Unit};
use crate::target::Running;

/// What one run of a scenario showed.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
pub(crate) struct Cell {
    pub(crate) requests: u64,
    pub(crate) events: u64,
    pub(crate) errors: u64,
    /// The commonest errors, in words.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub(crate) error_words: Vec<String>,
    pub(crate) requests_per_s: f64,
    pub(crate) events_per_s: f64,
    /// CPU of the target's processes per unit of the scenario, in microseconds; 0 for the mock itself.
    pub(crate) cpu_us_per_unit: f64,
    /// Share of one core that the target's processes used.
    pub(crate) core_share: f64,
    pub(crate) latency_p50_us: u64,
    pub(crate) latency_p99_us: u64,
    pub(crate) ttft_p50_us: u64,
    pub(crate) ttft_p99_us: u64,
    /// Memory of the target at the end of the window, in KiB.
    pub(crate) rss_kib: u64,
    pub(crate) pss_kib: u64,
    /// Growth of it per open stream, in KiB (held streams only).
    pub(crate) rss_kib_per_stream: f64,
    pub(crate) pss_kib_per_stream: f64,
}

/// How long things take.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Timing {
    pub(crate) warmup: Duration,
    pub(crate) window: Duration,
}

/// Runs a scenario on a target.
pub(crate) async fn measure(scenario: &Scenario, target: &Running, timing: Timing) -> Cell {
    measure_at(scenario, target.address, &target.pids(), target.rewrites, timing).await
}

/// As [`measure`], for an address and processes.
pub(crate) async fn measure_at(
    scenario: &Scenario,
    address: std::net::SocketAddr,
    pids: &[u32],
    rewrites: bool,
    timing: Timing,
) -> Cell {
    let load = scenario.load(address, rewrites);
    let mut cpu: Vec<u64> = Vec::with_capacity(2);
    let mut edge = || cpu.push(process::cpu_ns(pids));
    let before = process::memory(pids);
    let mut after = Memory::default();
    let outcome = match scenario.drive {
        Drive::Closed { connections, ramp } => {
            drive::closed(&load, connections, ramp, timing.warmup, timing.window, &mut edge).await
        }
        Drive::Open { rate, threads } => {
            edge();
            let outcome = tokio::task::spawn_blocking(move || {
                drive::open(&load, rate, threads, timing.warmup, timing.window)
            })
            .await
            .unwrap_or_default();
            edge();
            outcome
        }
        Drive::Held { streams } => {
            edge();
            let settled = || after = process::memory(pids);
            let outcome = drive::held(
                &load,
                streams,
                Duration::from_secs(20),
                Duration::from_secs(3),
                settled,
            )
            .await;
            edge();
            outcome
        }
    };
    if !matches!(scenario.drive, Drive::Held { .. }) {
        after = process::memory(pids);
    }
    let spent = cpu
        .last()
        .copied()
        .unwrap_or(0)
        .saturating_sub(cpu.first().copied().unwrap_or(0));
    cell(scenario, &outcome, spent, before, after, timing)
}

fn cell(
    scenario: &Scenario,
    outcome: &Outcome,
    spent: u64,
    before: Memory,
    after: Memory,
    timing: Timing,
) -> Cell {
    let seconds = outcome.window.as_secs_f64().max(1e-9);
    let units = match scenario.unit {
        Unit::Request | Unit::Stream => outcome.requests,
        Unit::Event => outcome.events,
    };
    // The open loop's CPU spans its warm-up too.
    let counted = match scenario.drive {
        Drive::Open { .. } => seconds / (seconds + timing.warmup.as_secs_f64()),
        Drive::Closed { .. } | Drive::Held { .. } => 1.0,
    };
    let per_stream = |after: u64, before: u64| match scenario.unit {
        Unit::Stream if outcome.requests > 0 => after.saturating_sub(before) as f64 / outcome.requests as f64,
        _ => 0.0,
    };
    let mut words: Vec<(&String, &u64)> = outcome.errors.iter().collect();
    words.sort_by(|a, b| b.1.cmp(a.1));
    Cell {
        requests: outcome.requests,
        events: outcome.events,
        errors: outcome.error_count(),
        error_words: words
            .iter()
            .take(3)
            .map(|(text, count)| format!("{count} × {text}"))
            .collect(),
        requests_per_s: outcome.requests as f64 / seconds,
        events_per_s: outcome.events as f64 / seconds,
        cpu_us_per_unit: if units == 0 {
            0.0
        } else {
            spent as f64 * counted / 1000.0 / units as f64
        },
        core_share: spent as f64 * counted / 1e9 / seconds,
        latency_p50_us: outcome.latency.percentile(50.0),
        latency_p99_us: outcome.latency.percentile(99.0),
        ttft_p50_us: outcome.ttft.percentile(50.0),
        ttft_p99_us: outcome.ttft.percentile(99.0),
        rss_kib: after.rss,
        pss_kib: after.pss,
        rss_kib_per_stream: per_stream(after.rss, before.rss),
        pss_kib_per_stream: per_stream(after.pss, before.pss),
    }
}
