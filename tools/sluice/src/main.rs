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

mod allocator;
mod audit;
mod check;
mod cli;
mod client;
mod config;
mod environment;
mod explain;
mod export;
mod exporter;
mod hook;
mod logging;
mod meter;
mod mock;
mod planes;
mod price;
mod process;
mod quota;
mod session;
mod token;
mod up;
mod usage;

use std::process::ExitCode;

use clap::Parser;

use crate::cli::{Cli, Command};

#[global_allocator]
static ALLOCATOR: allocator::Allocator = allocator::Allocator;

fn main() -> ExitCode {
    environment::take();
    let cli = Cli::parse();
    // All this before the first thread, which is the one that writes the log.
    match cli.command {
        Command::Up(_) => {
            process::harden("sluice-up");
            allocator::wipe_freed();
        }
        Command::Controlplane(_) => {
            process::harden("sluice-control");
            allocator::wipe_freed();
            planes::drop_privileges();
        }
        Command::Dataplane(_) => {
            planes::hold_signals();
            process::harden("sluice-data");
            planes::drop_privileges();
        }
        Command::Mock(_) => {
            process::harden("sluice-mock");
            planes::drop_privileges();
        }
        _ => {}
    }
    // The supervisor starts its log when it has become who it stays.
    let logs = (!matches!(cli.command, Command::Up(_))).then(|| logging::start(cli.log_format));
    let done = match cli.command {
        Command::Up(options) => up::run(options, cli.log_format),
        Command::Controlplane(options) => planes::controlplane(options),
        Command::Dataplane(options) => planes::dataplane(options),
        Command::Check(options) => Ok(check::run(&options)),
        Command::Schema => Ok(check::schema()),
        Command::Usage(options) => usage::run(&options),
        Command::Export(options) => export::run(&options),
        Command::Config(options) => config::run(&options),
        Command::Explain(options) => explain::run(&options),
        Command::Token(options) => token::run(&options),
        Command::Quota(options) => quota::run(&options),
        Command::Session(options) => session::run(&options),
        Command::Audit(options) => audit::run(&options),
        Command::Hook(options) => hook::run(&options),
        Command::Exporter(options) => exporter::run(&options),
        Command::Price(options) => price::run(&options),
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
