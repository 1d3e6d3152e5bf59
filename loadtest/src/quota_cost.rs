//! What budgets cost: one binary, one load, the document with and without quotas, in turn.
//!
//! Both gateways stand side by side and idle while the other is measured. With quotas every request counts against dollars and
//! tokens of its user, requests of its user, and a seat, all ample: what is compared is the work, not a refusal.

use std::collections::BTreeMap;
use std::path::Path;
use std::time::Duration;

use anyhow::{Context as _, Result, bail};
use serde_json::{Value, json};

use crate::compare::{line, median, scenarios, start_mock};
use crate::measure::{Cell, Timing, measure};
use crate::process::{self, Spawned};
use crate::scenario::{Drive, MODEL};
use crate::target::{Running, free_port};

/// The gateways, in the order of a round.
const LABELS: [&str; 2] = ["off", "on"];

/// How to compare.
#[derive(clap::Args, Debug)]
pub(crate) struct Options {
    /// The `sluice` binary
    #[arg(long, value_name = "PATH")]
    sluice: String,
    /// Scenarios to run
    #[arg(
        long = "scenario",
        value_name = "NAME",
        value_delimiter = ',',
        default_value = "json-1k,sse-paced,sse-unpaced"
    )]
    scenarios: Vec<String>,
    /// Rounds; each runs every scenario on both once
    #[arg(long, default_value_t = 5)]
    rounds: usize,
    /// Measured seconds of a cell
    #[arg(long, default_value_t = 3.0)]
    seconds: f64,
    /// Seconds before measuring
    #[arg(long, default_value_t = 1.0)]
    warmup: f64,
    /// Core of the gateways
    #[arg(long, default_value_t = 0)]
    core: usize,
    /// Core of the mock and the generator
    #[arg(long, default_value_t = 1)]
    generator_core: usize,
    /// CPU with quotas against without above which the command fails
    #[arg(long, default_value_t = 1.03)]
    limit: f64,
}

/// The document, with or without quotas.
fn document(upstream: std::net::SocketAddr, quotas: bool) -> Value {
    let mut models = json!({"role": "admin", "models": ["mock/**"], "read_metrics": true});
    let mut document = json!({
        "providers": {"mock": {
            "baseurl": format!("http://{upstream}"),
            "apikey": "mock-key",
            "models": [MODEL],
            "compatibility": {"openai_chat": true},
        }},
        // Priced in both, so that only the budgets differ.
        "prices": {MODEL: {"input": 0.15, "output": 0.6}},
    });
    if quotas {
        models["quotas"] = json!([{"bucket": "day:<user>"}, {"bucket": "seats"}]);
        document["quotas"] = json!({
            "day:<user>": {"capacity": "$1000000.00", "rate": "$1000.00/day", "tokens": "1000000M/day", "requests": "1000000M/day"},
            "seats": {"concurrency": 1_000_000},
        });
    }
    document["grants"] = json!([{"src": ["(loopback)"], "capabilities": [models]}]);
    document
}

fn start(options: &Options, dir: &Path, upstream: std::net::SocketAddr, label: &str) -> Result<Running> {
    let dir = dir.join(label);
    std::fs::create_dir_all(&dir)?;
    let (config, data) = (dir.join("sluice.hujson"), dir.join("data"));
    std::fs::write(&config, document(upstream, label == "on").to_string())?;
    let listen = free_port()?;
    let command = [
        options.sluice.clone(),
        "up".into(),
        "--config".into(),
        config.display().to_string(),
        "--listen".into(),
        listen.to_string(),
        "--data".into(),
        data.display().to_string(),
        "--shards".into(),
        "1".into(),
    ];
    let process = Spawned::start(&command, Some(options.core), &dir, label)?;
    let mut running = Running {
        label: label.to_owned(),
        address: listen,
        process: Some(process),
        rewrites: true,
    };
    running
        .await_answer()
        .with_context(|| format!("its output is in {}", dir.display()))?;
    Ok(running)
}

/// Runs the rounds and prints the ratios.
pub(crate) async fn run(options: Options) -> Result<()> {
    let chosen = scenarios(&options.scenarios)?;
    if let Some(held) = chosen.iter().find(|s| matches!(s.drive, Drive::Held { .. })) {
        bail!("{} measures memory, not work", held.name);
    }
    let dir = std::env::temp_dir().join(format!("sluice-quota-cost-{}", std::process::id()));
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
    let mut cells: BTreeMap<&str, BTreeMap<String, Vec<Cell>>> = BTreeMap::new();
    for round in 1..=options.rounds {
        for scenario in &chosen {
            // Who comes second finds the machine as the first left it, so they change places.
            let order: Vec<&Running> = if round % 2 == 0 {
                standing.iter().rev().collect()
            } else {
                standing.iter().collect()
            };
            for running in order {
                let cell = measure(scenario, running, timing).await;
                println!(
                    "round {round}  {:<18} {:<4} {}",
                    scenario.name,
                    running.label,
                    line(scenario, &cell)
                );
                let row = cells.entry(scenario.name).or_default();
                row.entry(running.label.clone()).or_default().push(cell);
            }
        }
    }
    drop(standing);
    let worst = table(&cells);
    let errors: u64 = cells
        .values()
        .flat_map(BTreeMap::values)
        .flatten()
        .map(|cell| cell.errors)
        .sum();
    std::fs::remove_dir_all(&dir)?;
    if errors > 0 {
        bail!("{errors} answers were wrong or missing");
    }
    if worst > options.limit {
        bail!("{worst:.3} times the CPU, {} are allowed", options.limit);
    }
    Ok(())
}

/// Prints medians and ratios; gives the worst ratio. A ratio is the median of the rounds' own ratios, since both of a round
/// saw the same machine.
fn table(cells: &BTreeMap<&str, BTreeMap<String, Vec<Cell>>>) -> f64 {
    println!(
        "\n| µs CPU a unit, median | quotas off | quotas on | ratio, median of rounds |\n| --- | --- | --- | --- |"
    );
    let mut worst = 0.0_f64;
    for (name, by_label) in cells {
        let of = |label: &str| by_label.get(label).map(Vec::as_slice).unwrap_or_default();
        let cost = |cell: &Cell| cell.cpu_us_per_unit;
        let (off, on) = (of("off"), of("on"));
        let ratios = off.iter().zip(on).map(|(off, on)| cost(on) / cost(off));
        let ratio = median(ratios.collect());
        let middle = |cells: &[Cell]| median(cells.iter().map(cost).collect());
        println!("| {name} | {:.2} | {:.2} | {ratio:.3} |", middle(off), middle(on));
        worst = worst.max(ratio);
    }
    worst
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_the_budgets_differ() {
        let upstream = std::net::SocketAddr::from(([127, 0, 0, 1], 9));
        let (mut on, off) = (document(upstream, true), document(upstream, false));
        assert_ne!(on, off);
        for name in ["day:<user>", "seats"] {
            assert!(on["quotas"][name].is_object(), "{name}");
        }
        on.as_object_mut().unwrap().remove("quotas");
        on["grants"][0]["capabilities"][0]
            .as_object_mut()
            .unwrap()
            .remove("quotas");
        assert_eq!(on, off);
    }

    #[test]
    fn the_ratio_is_that_of_the_rounds() {
        let cell = |cpu_us_per_unit| Cell {
            cpu_us_per_unit,
            ..Cell::default()
        };
        // The machine was twice as slow in the second round, for both.
        let row = BTreeMap::from([
            ("off".to_owned(), vec![cell(10.0), cell(20.0), cell(10.0)]),
            ("on".to_owned(), vec![cell(11.0), cell(22.0), cell(11.0)]),
        ]);
        let worst = table(&BTreeMap::from([("json-1k", row)]));
        assert!((worst - 1.1).abs() < 1e-9, "{worst}");
    }
}
