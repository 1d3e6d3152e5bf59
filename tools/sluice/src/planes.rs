//! The two planes as processes: from command line options to `run`. The only place that sees both.

use std::collections::HashMap;
use std::net::{SocketAddr, TcpListener};
use std::os::fd::{FromRawFd, IntoRawFd, RawFd};
use std::path::Path;
use std::process::ExitCode;

use anyhow::{Context, Result, bail};
use sluice_controlplane::config;
use tokio::signal::unix::{SignalKind, signal};

use crate::cli::{ControlplaneOptions, DataplaneOptions};
use crate::{environment, process};

/// What a configuration, or the environment where there is none, offers.
#[derive(Debug, Default)]
pub(crate) struct Found {
    /// Addresses of the document's `listeners`, or the default.
    pub(crate) listeners: Vec<SocketAddr>,
    /// One line: how many providers and which, grants, aliases. No keys.
    pub(crate) summary: String,
    /// Problems that do not hinder a start, with their places.
    pub(crate) warnings: Vec<String>,
    /// There is nothing to forward to: the mock provider is to be started.
    pub(crate) needs_mock: bool,
}

/// Reads the configuration without starting anything.
///
/// # Errors
/// If it cannot be read or used; the message holds every place.
pub(crate) fn look(file: Option<&Path>, mock: bool) -> Result<Found> {
    let environment = if mock {
        HashMap::new()
    } else {
        environment::readable()
    };
    let (name, text, needs_mock) = match file {
        Some(path) => {
            let text = std::fs::read_to_string(path)
                .with_context(|| format!("cannot read the configuration {}", path.display()))?;
            (path.display().to_string(), text, false)
        }
        None => {
            // The address is not known yet and does not matter here.
            let with_mock = config::default_document(&environment, Some("http://127.0.0.1:9090"));
            let needs_mock = with_mock != config::default_document(&environment, None);
            ("environment".to_owned(), with_mock, needs_mock)
        }
    };
    let folder = file.and_then(Path::parent).unwrap_or_else(|| Path::new("."));
    let report = config::check_in(&text, &environment, folder);
    if !report.usable() {
        let list: Vec<String> = report
            .errors
            .iter()
            .map(|error| format!("{name}:{error}"))
            .collect();
        bail!("invalid configuration: {}", list.join("; "));
    }
    let listeners = config::listen_addresses(&text, &environment)
        .iter()
        .map(|address| {
            address
                .parse()
                .with_context(|| format!("the listener {address:?} is no IP:PORT"))
        })
        .collect::<Result<Vec<_>>>()?;
    let warnings = report
        .warnings
        .iter()
        .map(|warning| format!("{name}:{warning}"))
        .collect();
    Ok(Found {
        listeners,
        summary: report.summary,
        warnings,
        needs_mock,
    })
}

/// Gives up all capabilities, as a plane does that has its sockets from a supervisor or needs none. One that a person
/// starts may still have to bind a port below 1024.
pub(crate) fn drop_privileges() {
    let supervised = [environment::LISTEN_FDS, environment::HANDED_OVER]
        .iter()
        .any(|name| std::env::var_os(name).is_some());
    if supervised && let Err(error) = process::drop_capabilities() {
        eprintln!("sluice: cannot give up capabilities: {error}");
    }
}

/// Runs the control plane until SIGTERM or SIGINT.
///
/// # Errors
/// If it cannot start or one of its parts fails.
pub(crate) fn controlplane(options: ControlplaneOptions) -> Result<ExitCode> {
    let options = sluice_controlplane::Options {
        config_file: options.config,
        data_dir: options.place.data,
        mock_url: options.mock_url,
        environment: environment::readable(),
        listen: options.listen,
    };
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .enable_all()
        .thread_name("control")
        .build()?;
    runtime.block_on(async {
        let mut terminate = signal(SignalKind::terminate())?;
        let mut interrupt = signal(SignalKind::interrupt())?;
        let shutdown = async {
            tokio::select! {
                _ = terminate.recv() => {}
                _ = interrupt.recv() => {}
            }
        };
        sluice_controlplane::run(options, shutdown)
            .await
            .context("the control plane failed")
    })?;
    Ok(ExitCode::SUCCESS)
}

/// Holds SIGTERM and SIGINT back from every thread that is started from now on: the data plane takes them on a thread
/// of its own. To be called before the first thread starts.
#[allow(unsafe_code, reason = "signal masks have no safe form")]
pub(crate) fn hold_signals() {
    // SAFETY: the set is initialised by `sigemptyset` before it is used; all calls take valid pointers to it.
    unsafe {
        let mut set = std::mem::zeroed::<libc::sigset_t>();
        libc::sigemptyset(&raw mut set);
        libc::sigaddset(&raw mut set, libc::SIGTERM);
        libc::sigaddset(&raw mut set, libc::SIGINT);
        libc::pthread_sigmask(libc::SIG_BLOCK, &raw const set, std::ptr::null_mut());
    }
}

/// Runs the data plane until SIGTERM or SIGINT.
///
/// # Errors
/// If it cannot start.
pub(crate) fn dataplane(options: DataplaneOptions) -> Result<ExitCode> {
    let listen_fds = inherited_sockets()?
        .into_iter()
        .map(IntoRawFd::into_raw_fd)
        .collect();
    sluice_dataplane::run(sluice_dataplane::DataplaneOptions {
        data_dir: options.place.data,
        listen_fds,
        listen: options.listen,
        shards: usize::from(options.shards.unwrap_or_else(crate::up::cores)),
    })
    .context("the data plane failed")?;
    Ok(ExitCode::SUCCESS)
}

/// Listening sockets named in `SLUICE_LISTEN_FDS`, marked so that no further process inherits them.
///
/// # Errors
/// If one of them is no open descriptor.
#[allow(unsafe_code, reason = "owning an inherited descriptor has no safe form")]
pub(crate) fn inherited_sockets() -> Result<Vec<TcpListener>> {
    let Some(list) = std::env::var_os(environment::LISTEN_FDS) else {
        return Ok(Vec::new());
    };
    let list = list.to_string_lossy();
    let mut sockets = Vec::new();
    for text in list.split(',').filter(|text| !text.is_empty()) {
        let fd: RawFd = text
            .parse()
            .with_context(|| format!("SLUICE_LISTEN_FDS holds {text:?}"))?;
        // SAFETY: `fcntl` with F_SETFD takes integers; a number that is no descriptor is an error, not a fault.
        if fd < 3 || unsafe { libc::fcntl(fd, libc::F_SETFD, libc::FD_CLOEXEC) } == -1 {
            bail!("SLUICE_LISTEN_FDS names {fd}, which is not open");
        }
        // SAFETY: the descriptor is open (just checked) and was handed over by the parent for nobody but us.
        sockets.push(unsafe { TcpListener::from_raw_fd(fd) });
    }
    Ok(sockets)
}
