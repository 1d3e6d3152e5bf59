//! What captures cost the data plane: one binary, one load, the document with captures and without, in turn.
//!
//! Both gateways stand side by side and idle while the other is measured. CPU and memory are those of the data plane
//! process alone; what the control plane pays to read, compress and store is told beside it. It runs on the generator's core,
//! so that it takes no time from the data plane's.
//!
//! Load comes at a rate that the control plane keeps up with, and it has read everything before each measurement: captures that
//! nobody reads in time cost more, since their files cannot be used again.
//!
//! At the end the control plane is stopped where it stands (SIGSTOP) while load goes on, for the memory of a data plane whose
//! captures nobody reads: they fill the disk up to `buffer_bytes`, and then are dropped and counted.

use std::collections::BTreeMap;
use std::path::Path;
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, bail, ensure};
use serde_json::{Value, json};
use sluice_loadtest::report::Report;

use crate::compare::{line, median, start_mock};
use crate::gateway::{Gateway, Plane};
use crate::measure::{Cell, Timing, measure_at};
use crate::process::{self, signal};
use crate::scenario::{self, Drive, MODEL, Scenario};

/// The gateways, in the order of a round.
const LABELS: [&str; 2] = ["off", "on"];
/// What may wait on disk in the part where nobody reads.
const BUFFER_BYTES: u64 = 256 << 20;
/// What a shard has on disk when everything was read: a segment that is written, and those ahead.
const DRAINED_BYTES: u64 = 32 << 20;
const DRAIN_LIMIT: Duration = Duration::from_secs(60);
/// Memory that captures may take in the data plane then: segments that are held to be used again, and those ahead.
const MEMORY_KIB_MAX: u64 = 128 << 10;

/// How to compare.
#[derive(clap::Args, Debug)]
pub(crate) struct Options {
    /// The `sluice` binary
    #[arg(long, value_name = "PATH")]
    sluice: String,
    /// Rounds; each runs every scenario on both once
    #[arg(long, default_value_t = 5)]
    rounds: usize,
    /// Measured seconds of a cell
    #[arg(long, default_value_t = 3.0)]
    seconds: f64,
    /// Seconds before measuring
    #[arg(long, default_value_t = 1.0)]
    warmup: f64,
    /// Core of the data planes
    #[arg(long, default_value_t = 0)]
    core: usize,
    /// Core of the mock, the generator and the control planes
    #[arg(long, default_value_t = 1)]
    generator_core: usize,
    /// CPU with captures against without above which the command fails
    #[arg(long, default_value_t = 1.10)]
    limit: f64,
    /// Latency added at the 99th percentile of 200 requests a second, in microseconds, above which the command fails
    #[arg(long, default_value_t = 100)]
    latency_limit: u64,
    /// Print JSON
    #[arg(long)]
    json: bool,
}

/// The document, with or without captures.
fn document(upstream: std::net::SocketAddr, captures: bool) -> Value {
    json!({
        "providers": {"mock": {
            "baseurl": format!("http://{upstream}"),
            "apikey": "mock-key",
            "models": [MODEL],
            "compatibility": {"openai_chat": true},
        }},
        "grants": [{"src": ["(loopback)"], "capabilities": [
            {"role": "admin", "models": ["mock/**"], "read_metrics": true},
        ]}],
        "captures": {"share": captures, "buffer_bytes": BUFFER_BYTES},
    })
}

/// A gateway and its processes.
struct Standing {
    label: &'static str,
    gateway: Gateway,
    data: u32,
    control: u32,
}

fn start(
    options: &Options,
    dir: &Path,
    upstream: std::net::SocketAddr,
    label: &'static str,
) -> Result<Standing> {
    let dir = dir.join(label);
    std::fs::create_dir_all(&dir)?;
    let document = document(upstream, label == "on").to_string();
    let gateway = Gateway::start_with(&options.sluice, 1, &dir, &document)
        .with_context(|| format!("its output is in {}", dir.display()))?;
    let data = gateway.pid(Plane::Data).context("no data plane")?;
    let control = gateway.pid(Plane::Control).context("no control plane")?;
    process::pin(data, options.core)?;
    process::pin(control, options.generator_core)?;
    Ok(Standing {
        label,
        gateway,
        data,
        control,
    })
}

/// What a cell showed, and what the control plane paid meanwhile for a request.
struct Measured {
    cell: Cell,
    control_us: f64,
}

async fn one(scenario: &Scenario, standing: &Standing, timing: Timing) -> Measured {
    let before = process::cpu_ns(&[standing.control]);
    let cell = measure_at(
        scenario,
        standing.gateway.address(),
        &[standing.data],
        true,
        timing,
    )
    .await;
    let spent = process::cpu_ns(&[standing.control]).saturating_sub(before);
    let whole = timing.warmup + timing.window;
    let requests = cell.requests_per_s * whole.as_secs_f64();
    Measured {
        control_us: if requests > 0.0 {
            spent as f64 / 1_000.0 / requests
        } else {
            0.0
        },
        cell,
    }
}

/// Waits until the control plane has read what was captured before: a cell is measured with one that keeps up.
async fn drained(standing: &Standing) -> Result<()> {
    let begin = Instant::now();
    loop {
        let text = crate::gateway::text(standing.gateway.address(), "/metrics").await?;
        let name = "sluice_capture_waiting_bytes ";
        let waiting = text
            .lines()
            .find_map(|line| line.strip_prefix(name)?.parse::<u64>().ok());
        if waiting.context("no waiting bytes in the metrics")? <= DRAINED_BYTES {
            return Ok(());
        }
        ensure!(
            begin.elapsed() < DRAIN_LIMIT,
            "the control plane does not catch up"
        );
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
}

type Cells = BTreeMap<&'static str, BTreeMap<&'static str, Vec<Measured>>>;

/// Runs the rounds and prints the ratios.
pub(crate) async fn run(options: Options) -> Result<()> {
    let dir = std::env::temp_dir().join(format!("sluice-capture-cost-{}", std::process::id()));
    std::fs::create_dir_all(&dir)?;
    process::pin(std::process::id(), options.generator_core)?;
    let mock = start_mock(&dir, Some(options.generator_core))?;
    let timing = Timing {
        warmup: Duration::from_secs_f64(options.warmup.clamp(0.0, 600.0)),
        window: Duration::from_secs_f64(options.seconds.clamp(0.1, 600.0)),
    };
    let mut standing = Vec::new();
    for label in LABELS {
        standing.push(start(&options, &dir, mock.address, label)?);
    }
    let chosen = scenario::captured();
    let mut cells = Cells::new();
    for round in 1..=options.rounds {
        for scenario in &chosen {
            // Who comes second finds the machine as the first left it, so they change places.
            let order: Vec<&Standing> = if round % 2 == 0 {
                standing.iter().rev().collect()
            } else {
                standing.iter().collect()
            };
            for running in order {
                drained(running).await?;
                let measured = one(scenario, running, timing).await;
                if !options.json {
                    println!(
                        "round {round}  {:<18} {:<4} {}  control plane {:.1} µs",
                        scenario.name,
                        running.label,
                        line(scenario, &measured.cell),
                        measured.control_us,
                    );
                }
                let row = cells.entry(scenario.name).or_default();
                row.entry(running.label).or_default().push(measured);
            }
        }
    }
    let on = standing
        .iter()
        .find(|s| s.label == "on")
        .context("nothing stands")?;
    let unread = unread(on, &chosen, timing).await?;
    let outcomes = captures(on).await?;
    drop(standing);
    let mut report = report(&options, &chosen, &cells);
    report.rows.push(unread);
    report.rows.push(outcomes);
    std::fs::remove_dir_all(&dir)?;
    if options.json {
        println!("{}", report.json());
    } else {
        print!("\n{}", report.table());
    }
    ensure!(report.faults() == 0, "{} faults", report.faults());
    Ok(())
}

/// Load on a data plane whose captures nobody reads.
async fn unread(on: &Standing, chosen: &[Scenario], timing: Timing) -> Result<sluice_loadtest::report::Row> {
    let mut row = sluice_loadtest::report::Row::of("nobody reads");
    let Some(scenario) = chosen.first() else {
        bail!("no scenario puts load on")
    };
    // As fast as it goes, not at the rate that a control plane keeps up with.
    let scenario = &scenario.clone().driven(Drive::Closed {
        connections: 8,
        ramp: Duration::ZERO,
    });
    let before = process::memory(&[on.data]).rss;
    signal("STOP", on.control);
    let mut most = 0;
    let mut errors = 0;
    let begin = Instant::now();
    // Twice what may wait on disk passes at some hundred requests a second.
    while begin.elapsed() < Duration::from_secs(10) {
        let cell = measure_at(
            scenario,
            on.gateway.address(),
            &[on.data],
            true,
            Timing {
                warmup: Duration::ZERO,
                ..timing
            },
        )
        .await;
        errors += cell.errors;
        most = most.max(cell.rss_kib);
    }
    signal("CONT", on.control);
    row.measure("rss_before_kib", before);
    row.measure("rss_most_kib", most);
    row.check(errors == 0, || format!("{errors} answers were wrong or missing"));
    row.check(most.saturating_sub(before) <= MEMORY_KIB_MAX, || {
        format!(
            "{} KiB more, {MEMORY_KIB_MAX} are allowed",
            most.saturating_sub(before)
        )
    });
    Ok(row)
}

/// What became of all captures, as the data plane counts.
async fn captures(on: &Standing) -> Result<sluice_loadtest::report::Row> {
    let mut row = sluice_loadtest::report::Row::of("captures");
    let text = crate::gateway::text(on.gateway.address(), "/metrics").await?;
    for (figure, name) in [
        ("written", "sluice_captures_total{outcome=\"written\"} "),
        ("dropped", "sluice_captures_total{outcome=\"dropped\"} "),
        ("bodies_cut", "sluice_captures_truncated_total "),
        ("waiting_bytes", "sluice_capture_waiting_bytes "),
    ] {
        let value = text
            .lines()
            .find_map(|line| line.strip_prefix(name)?.parse::<u64>().ok());
        row.check(value.is_some(), || format!("no {name}in the metrics"));
        row.measure(figure, value.unwrap_or(0));
    }
    Ok(row)
}

/// Medians and ratios. A ratio is the median of the rounds' own ratios, since both of a round saw the same machine.
fn report(options: &Options, chosen: &[Scenario], cells: &Cells) -> Report {
    let mut report = Report::default();
    for scenario in chosen {
        let mut row = sluice_loadtest::report::Row::of(scenario.name);
        let none = Vec::new();
        let by_label = cells.get(scenario.name);
        let of = |label: &str| by_label.and_then(|row| row.get(label)).unwrap_or(&none);
        let (off, on) = (of("off"), of("on"));
        let middle = |cells: &[Measured], figure: &dyn Fn(&Measured) -> f64| {
            hundredths(median(cells.iter().map(figure).collect()))
        };
        let cpu = |measured: &Measured| measured.cell.cpu_us_per_unit;
        let p99 = |measured: &Measured| measured.cell.latency_p99_us as f64;
        let ratio = median(off.iter().zip(on).map(|(off, on)| cpu(on) / cpu(off)).collect());
        let added = median(off.iter().zip(on).map(|(off, on)| p99(on) - p99(off)).collect());
        row.measure("cpu_off_us", middle(off, &cpu));
        row.measure("cpu_on_us", middle(on, &cpu));
        row.measure("ratio", (ratio * 1_000.0).round() / 1_000.0);
        row.measure("p99_off_us", middle(off, &p99));
        row.measure("p99_on_us", middle(on, &p99));
        row.measure("p99_added_us", hundredths(added));
        row.measure("control_off_us", middle(off, &|m| m.control_us));
        row.measure("control_on_us", middle(on, &|m| m.control_us));
        row.measure("rss_on_kib", middle(on, &|m| m.cell.rss_kib as f64));
        let errors: u64 = off.iter().chain(on).map(|measured| measured.cell.errors).sum();
        row.check(errors == 0, || format!("{errors} answers were wrong or missing"));
        row.check(added <= options.latency_limit as f64, || {
            format!("{added:.0} µs more at p99, {} are allowed", options.latency_limit)
        });
        row.check(ratio <= options.limit, || {
            format!("{ratio:.3} times the CPU, {} are allowed", options.limit)
        });
        report.rows.push(row);
    }
    report
}

fn hundredths(value: f64) -> f64 {
    (value * 100.0).round() / 100.0
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_the_captures_differ() {
        let upstream = std::net::SocketAddr::from(([127, 0, 0, 1], 9));
        let (mut on, off) = (document(upstream, true), document(upstream, false));
        assert_ne!(on, off);
        on["captures"]["share"] = json!(false);
        assert_eq!(on, off);
    }

    #[test]
    fn the_ratio_is_that_of_the_rounds_and_too_much_is_a_fault() {
        let measured = |cpu: f64, p99: u64| Measured {
            cell: Cell {
                cpu_us_per_unit: cpu,
                latency_p99_us: p99,
                ..Cell::default()
            },
            control_us: 1.0,
        };
        let options = Options {
            sluice: String::new(),
            rounds: 3,
            seconds: 1.0,
            warmup: 0.0,
            core: 0,
            generator_core: 1,
            limit: 1.10,
            latency_limit: 100,
            json: false,
        };
        let chosen = scenario::captured();
        let check = |on: [f64; 3], p99: u64, faults: usize| {
            let mut cells = Cells::new();
            for scenario in &chosen {
                let off = [10.0, 20.0, 10.0].map(|cpu| measured(cpu, 1_000));
                let row = cells.entry(scenario.name).or_default();
                row.insert("off", off.into());
                row.insert("on", on.map(|cpu| measured(cpu, p99)).into());
            }
            let report = report(&options, &chosen, &cells);
            assert_eq!(report.faults(), faults, "{}", report.table());
        };
        // The machine was twice as slow in the second round, for both.
        check([10.9, 21.8, 10.9], 1_100, 0);
        check([11.1, 22.2, 11.1], 1_100, chosen.len());
        check([10.0, 20.0, 10.0], 1_101, chosen.len());
    }
}
