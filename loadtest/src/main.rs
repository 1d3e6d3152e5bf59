//! `loadtest`: the mock provider, load scenarios, the comparison with other proxies, kill and disconnect loops.
#![allow(clippy::print_stdout, clippy::print_stderr, reason = "a program that prints")]

mod capture_cost;
mod compare;
mod disconnect;
mod gateway;
mod generator;
mod kill;
mod measure;
mod quota_cost;
mod reconcile;
mod reload;
mod scenario;
mod target;

use std::net::SocketAddr;
use std::time::Duration;

use clap::{Parser, Subcommand};
use sluice_loadtest::mock::{self, MockOptions};
use sluice_loadtest::report::Report;
use sluice_loadtest::{conversation, process, quota, tailnet};

#[derive(Parser)]
#[command(name = "loadtest", version, about)]
struct Cli {
    #[command(subcommand)]
    command: Command,
}

#[derive(Subcommand)]
enum Command {
    /// Serve the mock provider
    Mock {
        /// Address to listen on
        #[arg(long, default_value = "127.0.0.1:9090")]
        listen: SocketAddr,
        #[command(flatten)]
        options: MockOptions,
    },
    /// Put one scenario, or all, on a running gateway that serves `mock-*` from a mock
    Run {
        /// Address of the gateway
        #[arg(long)]
        target: SocketAddr,
        /// Scenarios to run (default: all)
        #[arg(long = "scenario", value_name = "NAME", value_delimiter = ',')]
        scenarios: Vec<String>,
        /// Processes of the gateway; their children count too
        #[arg(long = "pid", value_delimiter = ',')]
        pids: Vec<u32>,
        /// Measured seconds
        #[arg(long, default_value_t = 5.0)]
        seconds: f64,
        /// Seconds before measuring
        #[arg(long, default_value_t = 1.0)]
        warmup: f64,
        /// Print JSON, one object a line
        #[arg(long)]
        json: bool,
    },
    /// Compare gateways with nginx and haproxy, side by side
    Compare(compare::Options),
    /// Kill the planes of a gateway at random moments under load, then balance its records
    Kill(kill::Options),
    /// Leave in six phases and measure until the provider's side is closed
    Disconnect(disconnect::Options),
    /// Serve a stand-in for the tailnet's daemon
    Tailscaled {
        /// Unix socket to make
        #[arg(long)]
        socket: std::path::PathBuf,
        /// JSON file with its nodes, read again whenever it changes
        #[arg(long)]
        state: std::path::PathBuf,
    },
    /// Rewrite the document once a second under running streams
    Reload(reload::Options),
    /// Play what happens on a tailnet, with a stand-in for its daemon and a real gateway, and time it
    Tailnet(tailnet::Options),
    /// Many streams at once on budgets that run out, with kills or cancellations; all books are compared
    Quota(quota::Options),
    /// Conversations of coding agents through a real gateway, and the sessions that come of them
    Conversation(conversation::Options),
    /// What budgets cost: the same gateway with and without, side by side
    QuotaCost(quota_cost::Options),
    /// What captures cost the data plane: the same gateway with and without, side by side
    CaptureCost(capture_cost::Options),
    /// List the scenarios
    Scenarios,
}

fn main() -> anyhow::Result<()> {
    let cli = Cli::parse();
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()?;
    match cli.command {
        Command::Mock { listen, options } => runtime.block_on(async {
            let listener = tokio::net::TcpListener::bind(listen).await?;
            println!("mock provider on http://{}", listener.local_addr()?);
            mock::serve(listener, options).await?;
            Ok(())
        }),
        Command::Run {
            target,
            scenarios,
            pids,
            seconds,
            warmup,
            json,
        } => {
            let timing = measure::Timing {
                warmup: Duration::from_secs_f64(warmup.clamp(0.0, 600.0)),
                window: Duration::from_secs_f64(seconds.clamp(0.1, 3600.0)),
            };
            for scenario in compare::scenarios(&scenarios)? {
                let cell = runtime.block_on(measure::measure_at(&scenario, target, &pids, true, timing));
                if json {
                    println!(
                        "{}",
                        serde_json::json!({"scenario": scenario.name, "figures": cell})
                    );
                } else {
                    println!("{:<18} {}", scenario.name, compare::line(&scenario, &cell));
                }
            }
            Ok(())
        }
        Command::Compare(options) => runtime.block_on(unless_stopped(compare::run(options))),
        Command::Kill(options) => runtime.block_on(unless_stopped(kill::run(options))),
        Command::Disconnect(options) => runtime.block_on(unless_stopped(disconnect::run(options))),
        Command::Tailscaled { socket, state } => runtime.block_on(unless_stopped(async move {
            let complain = |error: anyhow::Error| eprintln!("{error:#}; the table stays as it is");
            sluice_loadtest::tailscaled::serve_file(&socket, &state, complain).await
        })),
        Command::Reload(options) => runtime.block_on(unless_stopped(reload::run(options))),
        Command::Tailnet(options) => {
            // The client measures while the daemon and the provider work.
            let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build()?;
            runtime.block_on(unless_stopped(async move {
                told(&tailnet::run(&options).await?, options.json)
            }))
        }
        Command::Quota(options) => {
            // Clients and provider work at once.
            let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build()?;
            runtime.block_on(unless_stopped(async move {
                told(&quota::run(&options).await?, options.json)
            }))
        }
        Command::Conversation(options) => runtime.block_on(unless_stopped(async move {
            let played = conversation::run(&options).await?;
            if !options.json {
                println!("{}", played.trees);
            }
            told(&played.report, options.json)
        })),
        Command::QuotaCost(options) => runtime.block_on(unless_stopped(quota_cost::run(options))),
        Command::CaptureCost(options) => runtime.block_on(unless_stopped(capture_cost::run(options))),
        Command::Scenarios => {
            for scenario in scenario::all() {
                println!("{:<18} {}", scenario.name, scenario.about);
            }
            Ok(())
        }
    }
}

/// Prints a report; an error if anything was not as declared.
fn told(report: &Report, json: bool) -> anyhow::Result<()> {
    if json {
        println!("{}", report.json());
    } else {
        print!("{}", report.table());
    }
    anyhow::ensure!(report.faults() == 0, "{} faults", report.faults());
    Ok(())
}

/// Drops the work on SIGINT or SIGTERM; what it started ends with it.
async fn unless_stopped(work: impl Future<Output = anyhow::Result<()>>) -> anyhow::Result<()> {
    use tokio::signal::unix::{SignalKind, signal};
    let (mut interrupt, mut terminate) = (signal(SignalKind::interrupt())?, signal(SignalKind::terminate())?);
    tokio::select! {
        done = work => done,
        _ = interrupt.recv() => anyhow::bail!("interrupted"),
        _ = terminate.recv() => anyhow::bail!("terminated"),
    }
}
