//! A whole data plane in a process of its own, between a fake control plane, recording providers and raw clients.
//!
//! The process is this test binary again: [`Gateway::start`] runs it with the name of one test, `data_plane_child`,
//! and an environment variable that makes that test serve instead of returning. The listening socket is bound here
//! and inherited, as a supervisor does it. Nothing here waits for a fixed time: every wait is for a condition, with a
//! deadline that only a fault reaches.

#![allow(unsafe_code, reason = "what a child inherits, and signals to it")]

pub mod captures;
pub mod client;
pub mod control;
pub mod journal;
pub mod kernel;
pub mod ledger;
pub mod pki;
pub mod setup;
pub mod upstream;

use std::net::{SocketAddr, TcpListener};
use std::os::fd::{AsRawFd, RawFd};
use std::os::unix::process::CommandExt;
use std::path::Path;
use std::process::{Child, Command, ExitStatus, Stdio};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use rustls::ClientConfig;
use sluice_dataplane::DataplaneOptions;
use sluice_shared::snapshot::Snapshot;
use sluice_shared::usage::UsageRecord;
use sluice_shared::wire::journal::Entry;
use tempfile::TempDir;

use client::Client;
use control::{Control, Who};

/// Set in the process that serves; holds the data directory.
const CHILD_DIR: &str = "SLUICE_SERVING_TEST_DIR";
/// The inherited listening sockets, one a shard, separated by commas.
const CHILD_FDS: &str = "SLUICE_SERVING_TEST_FDS";
/// A wait that lasts longer than this has failed.
pub const PATIENCE: Duration = Duration::from_secs(30);

/// Waits for a condition.
pub fn wait_until(what: &str, mut done: impl FnMut() -> bool) {
    let start = Instant::now();
    while !done() {
        assert!(start.elapsed() < PATIENCE, "{what}: still not after {PATIENCE:?}");
        thread::park_timeout(Duration::from_micros(300));
    }
}

/// Which of monoio's drivers the shards run on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Driver {
    /// io_uring where the system has it.
    Ring,
    /// epoll.
    Epoll,
}

/// What a gateway starts with.
pub struct Setup {
    pub snapshot: Snapshot,
    pub shards: usize,
    pub driver: Driver,
    pub who: Who,
}

impl Setup {
    pub fn new(snapshot: Snapshot) -> Self {
        Self {
            snapshot,
            shards: 1,
            driver: Driver::Ring,
            who: Who::Loopback,
        }
    }

    pub fn driver(mut self, driver: Driver) -> Self {
        self.driver = driver;
        self
    }

    pub fn who(mut self, who: Who) -> Self {
        self.who = who;
        self
    }
}

/// A running data plane with its control plane. Dropping it kills the process.
pub struct Gateway {
    pub address: SocketAddr,
    pub control: Control,
    child: Child,
    dir: TempDir,
}

impl Gateway {
    pub fn start(setup: Setup) -> Self {
        Self::start_with(setup, true)
    }

    /// Starts without a control plane; `control.up()` makes it appear.
    pub fn start_orphaned(setup: Setup) -> Self {
        Self::start_with(setup, false)
    }

    fn start_with(mut setup: Setup, control_plane: bool) -> Self {
        let dir = tempfile::tempdir().unwrap();
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let address = listener.local_addr().unwrap();
        // Settings without an address are meant for the one listener there is.
        for settings in &mut setup.snapshot.listeners {
            if settings.address.is_empty() {
                settings.address = address.to_string();
            }
        }
        let control = Control::new(dir.path(), setup.snapshot, setup.who);
        if control_plane {
            control.up();
        }
        let listeners: Vec<TcpListener> = (0..setup.shards).map(|_| listener.try_clone().unwrap()).collect();
        let child = spawn(dir.path(), &listeners, setup.driver);
        Self {
            address,
            control,
            child,
            dir,
        }
    }

    pub fn client(&self) -> Client {
        Client::connect(self.address)
    }

    /// A client that speaks TLS.
    pub fn secure_client(&self, config: &Arc<ClientConfig>) -> Client {
        self.client().secure(config)
    }

    /// Sends one request on a connection of its own and reads the answer.
    pub fn call(&self, request: impl AsRef<[u8]>) -> client::Answer {
        let mut client = self.client();
        client.send(request.as_ref());
        client.answer()
    }

    /// Takes back what was said about everybody, and waits until that is in force on the (one) shard.
    pub fn revoke_all(&self) {
        let mut witness = self.client();
        witness.send(client::get("/healthz"));
        witness.answer();
        self.control.revoke(None);
        witness.rest();
    }

    pub fn data_dir(&self) -> &Path {
        self.dir.path()
    }

    pub fn pid(&self) -> u32 {
        self.child.id()
    }

    /// Every entry of the journal so far.
    pub fn entries(&self) -> Vec<Entry> {
        journal::entries(self.dir.path())
    }

    /// Usage records so far, amendments applied.
    pub fn records(&self) -> Vec<UsageRecord> {
        journal::records(self.dir.path())
    }

    /// Waits until there are as many records, and returns them.
    pub fn wait_records(&self, count: usize) -> Vec<UsageRecord> {
        wait_until(&format!("{count} records"), || self.records().len() >= count);
        let records = self.records();
        assert_eq!(records.len(), count, "more records than requests: {records:#?}");
        records
    }

    /// Sends SIGTERM, without waiting for the end.
    pub fn terminate(&self) {
        let pid = libc::pid_t::try_from(self.child.id()).unwrap();
        // SAFETY: integers only; the child has not been waited for, so the id is still its own.
        assert_eq!(unsafe { libc::kill(pid, libc::SIGTERM) }, 0);
    }

    /// Waits for the process to end by itself.
    pub fn ended(&mut self) -> ExitStatus {
        let mut status = None;
        wait_until("the process ends", || {
            status = self.child.try_wait().unwrap();
            status.is_some()
        });
        status.unwrap()
    }

    pub fn is_running(&mut self) -> bool {
        self.child.try_wait().unwrap().is_none()
    }
}

impl Drop for Gateway {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

fn spawn(dir: &Path, listeners: &[TcpListener], driver: Driver) -> Child {
    /// Children are spread over the cores, since each pins its first shard to the first core it may use.
    static NEXT_CORE: AtomicUsize = AtomicUsize::new(0);
    let cores = thread::available_parallelism().map_or(1, usize::from);
    let core = NEXT_CORE.fetch_add(1, Ordering::Relaxed) % cores;
    let pinned = listeners.len() == 1 && cores > 1;

    let fds: Vec<RawFd> = listeners.iter().map(AsRawFd::as_raw_fd).collect();
    let list: Vec<String> = fds.iter().map(ToString::to_string).collect();
    let mut command = Command::new(std::env::current_exe().unwrap());
    command
        .args(["--exact", "data_plane_child", "--nocapture", "--test-threads=1"])
        .env(CHILD_DIR, dir)
        .env(CHILD_FDS, list.join(","))
        .env_remove("MONOIO_FORCE_LEGACY_DRIVER")
        .stdin(Stdio::piped())
        .stdout(Stdio::null());
    if driver == Driver::Epoll {
        command.env("MONOIO_FORCE_LEGACY_DRIVER", "1");
    }
    // SAFETY: only async-signal-safe calls on values made before the fork.
    unsafe {
        command.pre_exec(move || {
            for fd in &fds {
                // The listening sockets, and nothing else, outlive the exec.
                if libc::fcntl(*fd, libc::F_SETFD, 0) != 0 {
                    return Err(std::io::Error::last_os_error());
                }
            }
            // The harness's own threads in the child must not take the signals that `run` waits for.
            let mut set: libc::sigset_t = std::mem::zeroed();
            libc::sigemptyset(&raw mut set);
            libc::sigaddset(&raw mut set, libc::SIGTERM);
            libc::pthread_sigmask(libc::SIG_BLOCK, &raw const set, std::ptr::null_mut());
            if pinned {
                let mut set: libc::cpu_set_t = std::mem::zeroed();
                libc::CPU_SET(core, &mut set);
                libc::sched_setaffinity(0, size_of_val(&set), &raw const set);
            }
            Ok(())
        });
    }
    command.spawn().unwrap()
}

/// Serves, if this process was started for that; to be called by the test `data_plane_child`.
pub fn serve_if_child() {
    let Some(dir) = std::env::var_os(CHILD_DIR) else {
        return;
    };
    // The parent holds the other end: when it is gone, however it went, so are we.
    thread::spawn(|| {
        let _ = std::io::copy(&mut std::io::stdin(), &mut std::io::sink());
        std::process::abort();
    });
    let fds = std::env::var(CHILD_FDS).unwrap();
    let listen_fds: Vec<RawFd> = fds.split(',').map(|fd| fd.parse().unwrap()).collect();
    let result = sluice_dataplane::run(DataplaneOptions {
        data_dir: dir.into(),
        shards: listen_fds.len(),
        listen_fds,
        listen: Vec::new(),
    });
    std::process::exit(i32::from(result.is_err()));
}
