//! Side by side: every scenario on every target, rounds interleaved A B C A B C, medians and ratios.
//!
//! The mock and the generator share one core, the target has the other. All targets stand side by side and idle while
//! another is measured, so that every round sees the same machine; for open streams each target is started anew,
//! since memory once taken is not given back.

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::fs;
use std::path::{Path, PathBuf};
use std::time::Duration;

use anyhow::{Context as _, Result, bail};
use serde::{Deserialize, Serialize};

use crate::measure::{Cell, Timing, measure};
use crate::process::{self, Spawned};
use crate::scenario::{self, Drive, Scenario, Unit};
use crate::target::{Running, Target, free_port};

/// How to compare.
#[derive(clap::Args, Debug)]
pub(crate) struct Options {
    /// The `sluice` binary to measure
    #[arg(long, value_name = "PATH")]
    sluice: Option<String>,
    /// A further target: LABEL=COMMAND LINE with {config} {listen} {data} {upstream}
    #[arg(long = "target", value_name = "LABEL=CMD")]
    targets: Vec<String>,
    /// Also nginx with its default of reading requests whole before forwarding them
    #[arg(long)]
    nginx_buffered: bool,
    /// Leave out nginx, haproxy or direct
    #[arg(long, value_name = "LABEL", value_delimiter = ',')]
    without: Vec<String>,
    /// Scenarios to run (default: all)
    #[arg(long = "scenario", value_name = "NAME", value_delimiter = ',')]
    scenarios: Vec<String>,
    /// Rounds; each runs every scenario on every target once
    #[arg(long, default_value_t = 3)]
    rounds: usize,
    /// Measured seconds of a cell
    #[arg(long, default_value_t = 4.0)]
    seconds: f64,
    /// Seconds before measuring
    #[arg(long, default_value_t = 1.0)]
    warmup: f64,
    /// Core of the targets
    #[arg(long, default_value_t = 0)]
    core: usize,
    /// Core of the mock and the generator
    #[arg(long, default_value_t = 1)]
    generator_core: usize,
    /// Where to write the figures as JSON
    #[arg(long, value_name = "FILE")]
    json: Option<PathBuf>,
    /// Where to write the table as Markdown
    #[arg(long, value_name = "FILE")]
    markdown: Option<PathBuf>,
}

/// All figures of a comparison, as written to the JSON file.
#[derive(Debug, Default, Serialize, Deserialize)]
struct Report {
    machine: Machine,
    /// Scenario → target → one cell a round.
    cells: BTreeMap<String, BTreeMap<String, Vec<Cell>>>,
    skipped: Vec<String>,
}

/// Where it was measured.
#[derive(Debug, Default, Serialize, Deserialize)]
struct Machine {
    kernel: String,
    cpu: String,
    cores: usize,
    /// Whether the kernel offers hardware counters, without which there are no instruction counts.
    hardware_counters: bool,
    versions: BTreeMap<String, String>,
    /// Seconds since 1970.
    time: u64,
}

/// Runs the comparison and prints the table.
pub(crate) async fn run(options: Options) -> Result<()> {
    let chosen = scenarios(&options.scenarios)?;
    let mut targets = vec![Target::Direct, Target::Nginx { buffered: false }, Target::Haproxy];
    targets.extend(options.nginx_buffered.then_some(Target::Nginx { buffered: true }));
    targets.extend(options.sluice.as_deref().map(Target::sluice));
    for text in &options.targets {
        targets.push(Target::parse(text)?);
    }
    targets.retain(|target| !options.without.iter().any(|label| label == target.label()));
    let mut report = Report {
        machine: machine(),
        ..Report::default()
    };
    targets.retain(|target| match target.missing() {
        Some(why) => {
            println!("skipped: {why}");
            report.skipped.push(why.to_owned());
            false
        }
        None => true,
    });
    let dir = std::env::temp_dir().join(format!("sluice-loadtest-{}", std::process::id()));
    fs::create_dir_all(&dir)?;
    process::pin(std::process::id(), options.generator_core)?;
    let result = rounds(&options, &chosen, &targets, &dir, &mut report).await;
    let table = markdown(&report, &chosen, &targets);
    println!("\n{table}");
    if let Some(path) = &options.json {
        fs::write(path, serde_json::to_vec_pretty(&report)?)?;
    }
    if let Some(path) = &options.markdown {
        fs::write(path, &table)?;
    }
    result?;
    fs::remove_dir_all(&dir).with_context(|| format!("removing {}", dir.display()))?;
    let errors: u64 = report
        .cells
        .values()
        .flat_map(BTreeMap::values)
        .flatten()
        .map(|cell| cell.errors)
        .sum();
    if errors > 0 {
        bail!("{errors} answers were wrong or missing");
    }
    Ok(())
}

/// The scenarios with these names; all if there are none.
pub(crate) fn scenarios(names: &[String]) -> Result<Vec<Scenario>> {
    let all = scenario::all();
    if names.is_empty() {
        return Ok(all);
    }
    names
        .iter()
        .map(|name| {
            let known = || all.iter().map(|s| s.name).collect::<Vec<_>>().join(", ");
            all.iter()
                .find(|s| s.name == name)
                .cloned()
                .with_context(|| format!("no scenario `{name}`; known: {}", known()))
        })
        .collect()
}

/// Starts the mock as a process of its own.
pub(crate) fn start_mock(dir: &Path, core: Option<usize>) -> Result<Running> {
    let listen = free_port()?;
    let program = std::env::current_exe()?.display().to_string();
    let command = [program, "mock".into(), "--listen".into(), listen.to_string()];
    let process = Spawned::start(&command, core, dir, "mock")?;
    let mut running = Running {
        label: "mock".into(),
        address: listen,
        process: Some(process),
        rewrites: false,
    };
    running.await_answer()?;
    Ok(running)
}

async fn rounds(
    options: &Options,
    chosen: &[Scenario],
    targets: &[Target],
    dir: &Path,
    report: &mut Report,
) -> Result<()> {
    let mock = start_mock(dir, Some(options.generator_core))?;
    let timing = Timing {
        warmup: Duration::from_secs_f64(options.warmup.clamp(0.0, 600.0)),
        window: Duration::from_secs_f64(options.seconds.clamp(0.1, 600.0)),
    };
    let mut standing: BTreeMap<String, Running> = BTreeMap::new();
    for target in targets {
        let running = target.start(mock.address, dir, Some(options.core))?;
        standing.insert(target.label().to_owned(), running);
    }
    for round in 1..=options.rounds {
        for scenario in chosen {
            for target in targets {
                if matches!(scenario.drive, Drive::Held { .. }) {
                    // Memory once taken is not given back: a fresh process each time.
                    standing.remove(target.label());
                    let running = target.start(mock.address, dir, Some(options.core))?;
                    standing.insert(target.label().to_owned(), running);
                }
                let Some(running) = standing.get(target.label()) else {
                    continue;
                };
                let cell = measure(scenario, running, timing).await;
                println!(
                    "round {round}  {:<18} {:<12} {}",
                    scenario.name,
                    target.label(),
                    line(scenario, &cell)
                );
                report
                    .cells
                    .entry(scenario.name.to_owned())
                    .or_default()
                    .entry(target.label().to_owned())
                    .or_default()
                    .push(cell);
            }
        }
    }
    Ok(())
}

/// One cell for people.
pub(crate) fn line(scenario: &Scenario, cell: &Cell) -> String {
    let unit = match scenario.unit {
        Unit::Request => "request",
        Unit::Event => "event",
        Unit::Stream => "stream",
    };
    let mut line = match scenario.unit {
        Unit::Stream => format!(
            "{:7.2} KiB RSS/stream {:7.2} KiB PSS/stream ({} open)",
            cell.rss_kib_per_stream, cell.pss_kib_per_stream, cell.requests
        ),
        Unit::Request | Unit::Event => format!(
            "{:8.2} µs CPU/{unit}  core {:4.0} %  {:8.0} req/s {:9.0} ev/s  p50 {} µs p99 {} µs  ttft p50 {} µs",
            cell.cpu_us_per_unit,
            cell.core_share * 100.0,
            cell.requests_per_s,
            cell.events_per_s,
            cell.latency_p50_us,
            cell.latency_p99_us,
            cell.ttft_p50_us,
        ),
    };
    if cell.errors > 0 {
        let _infallible = write!(line, "  {} ERRORS: {}", cell.errors, cell.error_words.join("; "));
    }
    line
}

/// The middle one; of an even number the mean of both in the middle.
pub(crate) fn median(mut values: Vec<f64>) -> f64 {
    values.sort_by(f64::total_cmp);
    match values.len() {
        0 => f64::NAN,
        n if n.is_multiple_of(2) => (values[n / 2 - 1] + values[n / 2]) / 2.0,
        n => values[n / 2],
    }
}

/// Title, figure, and whether the direct run's figure is taken off.
type Row = (String, fn(&Cell) -> f64, bool);

/// What the rows of the table show of a scenario, and what of it is less the direct run's.
fn rows(scenario: &Scenario) -> Vec<Row> {
    let name = scenario.name;
    match (scenario.drive, scenario.unit) {
        (Drive::Open { .. }, _) => vec![
            (
                format!("{name}: added p50, µs"),
                |c| c.latency_p50_us as f64,
                true,
            ),
            (
                format!("{name}: added p99, µs"),
                |c| c.latency_p99_us as f64,
                true,
            ),
            (format!("{name}: µs CPU/request"), |c| c.cpu_us_per_unit, false),
        ],
        (Drive::Held { .. }, _) => vec![
            (format!("{name}: KiB RSS/stream"), |c| c.rss_kib_per_stream, false),
            (format!("{name}: KiB PSS/stream"), |c| c.pss_kib_per_stream, false),
        ],
        (Drive::Closed { .. }, Unit::Event) => vec![
            (format!("{name}: µs CPU/event"), |c| c.cpu_us_per_unit, false),
            (format!("{name}: events/s"), |c| c.events_per_s, false),
            (format!("{name}: TTFT p50, µs"), |c| c.ttft_p50_us as f64, false),
        ],
        (Drive::Closed { .. }, _) => vec![
            (format!("{name}: µs CPU/request"), |c| c.cpu_us_per_unit, false),
            (format!("{name}: requests/s"), |c| c.requests_per_s, false),
            (format!("{name}: p99, µs"), |c| c.latency_p99_us as f64, false),
        ],
    }
}

/// The table: medians over the rounds, in brackets the ratio to nginx.
fn markdown(report: &Report, chosen: &[Scenario], targets: &[Target]) -> String {
    let mut text = format!(
        "{} · {} cores · Linux {} · {} hardware counters\n\n| median of rounds (× nginx) |",
        report.machine.cpu,
        report.machine.cores,
        report.machine.kernel,
        if report.machine.hardware_counters {
            "with"
        } else {
            "no"
        },
    );
    for target in targets {
        let _infallible = write!(text, " {} |", target.label());
    }
    text.push_str("\n| --- |");
    text.push_str(&" --- |".repeat(targets.len()));
    text.push('\n');
    for scenario in chosen {
        let Some(cells) = report.cells.get(scenario.name) else {
            continue;
        };
        for (title, value, added) in rows(scenario) {
            // Less the direct run of the same round, where the row asks for it.
            let of = |label: &str| {
                let rounds = cells.get(label).map(Vec::as_slice).unwrap_or_default();
                let direct = cells.get("direct").map(Vec::as_slice).unwrap_or_default();
                median(
                    rounds
                        .iter()
                        .enumerate()
                        .filter_map(|(at, cell)| match (added, direct.get(at)) {
                            (true, direct) => Some(value(cell) - value(direct?)),
                            (false, _) => Some(value(cell)),
                        })
                        .collect(),
                )
            };
            let nginx = of("nginx");
            let _infallible = write!(text, "| {title} |");
            for target in targets {
                let figure = of(target.label());
                let shown = if figure.abs() < 100.0 {
                    format!("{figure:.2}")
                } else {
                    format!("{figure:.0}")
                };
                let ratio = figure / nginx;
                let _infallible = match target {
                    Target::Nginx { buffered: false } | Target::Direct => write!(text, " {shown} |"),
                    _ if ratio.is_finite() => write!(text, " {shown} ({ratio:.2}) |"),
                    _ => write!(text, " {shown} |"),
                };
            }
            text.push('\n');
        }
        let errors: u64 = cells.values().flatten().map(|cell| cell.errors).sum();
        if errors > 0 {
            let _infallible = writeln!(
                text,
                "| {}: **{errors} wrong or missing answers** |",
                scenario.name
            );
        }
    }
    for why in &report.skipped {
        let _infallible = writeln!(text, "\nskipped: {why}");
    }
    text
}

fn machine() -> Machine {
    let read = |path: &str| fs::read_to_string(path).unwrap_or_default();
    let cpu = read("/proc/cpuinfo")
        .lines()
        .find_map(|line| line.strip_prefix("model name"))
        .map(|rest| rest.trim_start_matches([' ', '\t', ':']).to_owned())
        .unwrap_or_default();
    let version = |program: &str, argument: &str| {
        let output = std::process::Command::new(program).arg(argument).output().ok()?;
        let text = [output.stdout, output.stderr].concat();
        String::from_utf8_lossy(&text).lines().next().map(str::to_owned)
    };
    let versions = [("nginx", "-v"), ("haproxy", "-v")]
        .into_iter()
        .filter_map(|(program, argument)| Some((program.to_owned(), version(program, argument)?)))
        .collect();
    Machine {
        kernel: read("/proc/sys/kernel/osrelease").trim().to_owned(),
        cpu,
        cores: std::thread::available_parallelism().map_or(0, std::num::NonZeroUsize::get),
        hardware_counters: Path::new("/sys/bus/event_source/devices/cpu").exists(),
        versions,
        time: std::time::SystemTime::now()
            .duration_since(std::time::UNIX_EPOCH)
            .map_or(0, |since| since.as_secs()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn medians_and_ratios_stand_in_the_table() {
        let chosen = scenarios(&["json-1k".into(), "latency-200".into()]).unwrap();
        let targets = [
            Target::Direct,
            Target::Nginx { buffered: false },
            Target::parse("sluice=x").unwrap(),
        ];
        let mut report = Report::default();
        for (label, cpu, p50) in [("direct", 0.0, 100), ("nginx", 20.0, 300), ("sluice", 15.0, 250)] {
            for round in 0..3 {
                let cell = Cell {
                    cpu_us_per_unit: cpu + f64::from(round),
                    latency_p50_us: p50,
                    ..Cell::default()
                };
                for scenario in &chosen {
                    let cells = report.cells.entry(scenario.name.to_owned()).or_default();
                    cells.entry(label.to_owned()).or_default().push(cell.clone());
                }
            }
        }
        let table = markdown(&report, &chosen, &targets);
        assert!(
            table.contains("| json-1k: µs CPU/request | 1.00 | 21.00 | 16.00 (0.76) |"),
            "{table}"
        );
        assert!(
            table.contains("| latency-200: added p50, µs | 0.00 | 200 | 150 (0.75) |"),
            "{table}"
        );
    }

    #[test]
    fn medians() {
        assert_eq!(median(vec![3.0, 1.0, 2.0]).to_bits(), 2.0_f64.to_bits());
        assert_eq!(median(vec![4.0, 1.0, 2.0, 3.0]).to_bits(), 2.5_f64.to_bits());
        assert!(median(Vec::new()).is_nan());
    }

    #[test]
    fn an_unknown_scenario_is_told() {
        let error = scenarios(&["nope".into()]).unwrap_err().to_string();
        assert!(error.contains("json-1k"), "{error}");
    }
}
