//! The `sluice` command: what starts the gateway, and what a person asks it.
//!
//! `up` is the supervisor and runs the other two as child processes of the same executable: `controlplane`
//! (configuration, identity, store, admin API; on tokio) and `dataplane` (between clients and providers; on monoio).
//! This package is the only one that sees both planes. The rest of the subcommands start, print and end.

#![allow(
    clippy::print_stdout,
    clippy::print_stderr,
    reason = "a program whose output is its purpose"
)]

mod check;
mod cli;
mod environment;
mod logging;
mod meter;
mod mock;
mod planes;
mod up;
mod usage;

use std::process::ExitCode;

use clap::Parser;

use crate::cli::{Cli, Command};

/// Small blocks of a known thread dominate the data plane's use; this allocator hands them out without a lock.
#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

fn main() -> ExitCode {
    let cli = Cli::parse();
    if matches!(cli.command, Command::Dataplane(_)) {
        planes::hold_signals();
    }
    let logs = logging::start(cli.log_format);
    let done = match cli.command {
        Command::Up(options) => up::run(options, cli.log_format),
        Command::Controlplane(options) => planes::controlplane(options),
        Command::Dataplane(options) => planes::dataplane(options),
        Command::Check(options) => check::run(&options),
        Command::Usage(options) => usage::run(&options),
        Command::Mock(options) => mock::run(options),
        Command::Meter(options) => meter::run(&options),
        Command::Version => {
            println!("sluice {}", env!("CARGO_PKG_VERSION"));
            Ok(ExitCode::SUCCESS)
        }
    };
    drop(logs);
    done.unwrap_or_else(|error| {
        eprintln!("sluice: {error:#}");
        ExitCode::FAILURE
    })
}
