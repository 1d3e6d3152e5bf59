//! `sluice mock`: the mock provider as a process of its own.

use std::net::TcpListener;
use std::process::ExitCode;

use anyhow::{Context, Result};
use tokio::signal::unix::{SignalKind, signal};

use crate::cli::MockCommand;
use crate::planes;

/// Serves until SIGTERM or SIGINT. Prints its address on stdout if it was started by a person.
///
/// # Errors
/// If it cannot listen.
pub(crate) fn run(options: MockCommand) -> Result<ExitCode> {
    let inherited = planes::inherited_sockets()?;
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build()?;
    runtime.block_on(async move {
        let listener = match inherited.into_iter().next() {
            Some(listener) => listener,
            None => {
                let listener = TcpListener::bind(options.listen)
                    .with_context(|| format!("cannot listen on {}", options.listen))?;
                println!("mock provider on http://{}", listener.local_addr()?);
                listener
            }
        };
        listener.set_nonblocking(true)?;
        let listener = tokio::net::TcpListener::from_std(listener)?;
        let mut terminate = signal(SignalKind::terminate())?;
        tokio::select! {
            served = sluice_loadtest::mock::serve(listener, options.answers) => served.context("the mock provider failed")?,
            _ = terminate.recv() => {}
            interrupted = tokio::signal::ctrl_c() => interrupted?,
        }
        Ok(ExitCode::SUCCESS)
    })
}
