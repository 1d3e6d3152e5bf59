//! `cargo xtask`: the one door to everything that checks this project.
//!
//! `cargo xtask ci` does on a laptop what CI does. It needs Rust only; what needs more (Python for the official
//! client libraries, npm and Chromium for the dashboard) is skipped with a line that says so.

#![allow(
    clippy::print_stdout,
    clippy::print_stderr,
    reason = "a program whose output is its purpose"
)]

mod e2e;
mod fuzz;
mod run;
mod s3_server;
mod tidy;
mod ui;

use std::path::{Path, PathBuf};
use std::process::{Command, ExitCode};
use std::time::Instant;

use anyhow::{Context, Result};
use clap::{Parser, Subcommand};

use crate::run::run;

#[derive(Parser)]
#[command(
    name = "cargo xtask",
    about = "Checks, benchmarks and fuzzing of this project"
)]
struct Cli {
    #[command(subcommand)]
    task: Task,
}

#[derive(Subcommand)]
enum Task {
    /// Everything CI checks: tidy, fmt, clippy, tests, client libraries end to end
    Ci,
    /// Import walls, unreferenced files, forbidden words, links in documents
    Tidy,
    /// The official Python client libraries through `sluice up` (needs python3 with venv)
    E2e,
    /// The admin API against its description: everything that it describes, and much that it forbids (needs python3 with venv)
    Api,
    /// The dashboard: its sources' own checks, then every page in a browser (needs npm and Chromium)
    Ui {
        /// Tests nothing, and puts a picture of each page of a made-up organisation into this folder
        #[arg(long)]
        pictures: Option<PathBuf>,
    },
    /// Installs the S3-compatible server that tests of object storage start (needs python3 with venv)
    S3Server,
    /// Claude Code, Codex and Gemini CLI through `sluice up` (needs npm; installs them below target/)
    Clients {
        /// Folder that already holds their node_modules
        #[arg(long)]
        node: Option<PathBuf>,
    },
    /// Fuzz every target, one after the other (needs `cargo install cargo-fuzz`)
    Fuzz {
        /// Seconds a target
        #[arg(long, default_value_t = 60)]
        seconds: u64,
        /// Only these targets
        targets: Vec<String>,
    },
    /// Budgets under load, in a release build: waves with kills, streams that are left, what it costs
    Quotas {
        /// Streams at once
        #[arg(long, default_value_t = 2_000)]
        streams: u32,
        /// Streams that are left
        #[arg(long, default_value_t = 10_000)]
        left: u32,
    },
    /// The criterion benchmarks of benches/
    Bench {
        /// Passed to criterion, e.g. a filter
        args: Vec<String>,
    },
}

fn main() -> ExitCode {
    let task = Cli::parse().task;
    match perform(task) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("xtask: {error:#}");
            ExitCode::FAILURE
        }
    }
}

fn perform(task: Task) -> Result<()> {
    let root = root()?;
    match task {
        Task::Ci => ci(&root),
        Task::Tidy => tidy::tidy(&root),
        Task::E2e => e2e::libraries(&root),
        Task::Api => e2e::api(&root),
        Task::Ui { pictures } => {
            if let Some(folder) = pictures {
                return ui::pictures(&root, &folder);
            }
            ui::sources(&root)?;
            ui::pages(&root)
        }
        Task::S3Server => s3_server::install(&root),
        Task::Clients { node } => e2e::programs(&root, node),
        Task::Fuzz { seconds, targets } => fuzz::fuzz(&root, seconds, &targets),
        Task::Quotas { streams, left } => quotas(&root, streams, left),
        Task::Bench { args } => run(cargo(&root)
            .args(["bench", "--package", "sluice-benches", "--"])
            .args(args)),
    }
}

/// One after the other: what runs beside it would be measured, too.
fn quotas(root: &Path, streams: u32, left: u32) -> Result<()> {
    run(cargo(root).args([
        "build",
        "--release",
        "--package",
        "sluice",
        "--package",
        "sluice-loadtest",
    ]))?;
    let binary = |name: &str| target_dir(root).join("release").join(name);
    let played: [(&str, Vec<String>); 3] = [
        ("quota", vec!["--kills".into(), format!("--streams={streams}")]),
        (
            "quota",
            vec!["--mode=strict".into(), format!("--cancel-storm={left}")],
        ),
        ("quota-cost", Vec::new()),
    ];
    for (scenario, options) in played {
        println!("── loadtest {scenario} {}", options.join(" "));
        let mut command = Command::new(binary("loadtest"));
        command.arg(scenario).arg("--sluice").arg(binary("sluice"));
        run(command.args(options))?;
    }
    Ok(())
}

fn ci(root: &Path) -> Result<()> {
    let steps: [(&str, &dyn Fn() -> Result<()>); 9] = [
        ("tidy", &|| tidy::tidy(root)),
        ("fmt", &|| run(cargo(root).args(["fmt", "--all", "--check"]))),
        ("clippy", &|| {
            run(cargo(root).args(["clippy", "--workspace", "--all-targets", "--", "-D", "warnings"]))
        }),
        ("ui sources", &|| ui::sources(root)),
        ("s3-server", &|| s3_server::install(root)),
        ("test", &|| run(cargo(root).args(["test", "--workspace"]))),
        ("e2e", &|| e2e::libraries(root)),
        ("api", &|| e2e::api(root)),
        ("ui", &|| ui::pages(root)),
    ];
    let mut times = Vec::new();
    for (name, step) in steps {
        println!("── {name}");
        let started = Instant::now();
        step().with_context(|| format!("{name} failed"))?;
        times.push(format!("{name} {} s", started.elapsed().as_secs()));
    }
    println!("── all good: {}", times.join(", "));
    Ok(())
}

/// A cargo of this workspace.
fn cargo(root: &Path) -> Command {
    let mut command = Command::new(std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into()));
    command.current_dir(root);
    command
}

/// Where build products go.
fn target_dir(root: &Path) -> PathBuf {
    std::env::var_os("CARGO_TARGET_DIR").map_or_else(|| root.join("target"), PathBuf::from)
}

/// The root of the workspace: two levels above this package.
fn root() -> Result<PathBuf> {
    // `cargo run` says where the package lies now, which may be elsewhere than where it was built.
    let package = std::env::var_os("CARGO_MANIFEST_DIR")
        .map_or_else(|| env!("CARGO_MANIFEST_DIR").into(), PathBuf::from);
    Ok(package
        .ancestors()
        .nth(2)
        .context("this package lies too high")?
        .to_owned())
}
