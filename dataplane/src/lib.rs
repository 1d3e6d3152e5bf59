//! The data plane: monoio shards between clients and providers.

mod answer;
mod body;
mod bootstrap;
mod capture;
mod certificate;
pub mod clock;
mod config;
pub mod control_link;
pub mod dns;
mod downstream;
mod exchange;
mod hooks;
pub mod identity;
pub mod journal;
mod limits;
mod listener;
pub mod mailbox;
pub mod metrics;
#[doc(hidden)]
pub mod policy;
#[doc(hidden)]
pub mod quota;
mod service_thread;
mod shard;
mod sock;
pub mod standing;
mod tally;
pub mod tls;
mod transport;
mod upstream;
mod wait;
mod wake;
mod watch;

use std::net::SocketAddr;
use std::os::fd::RawFd;
use std::path::PathBuf;

/// What the data plane needs to know at its start; everything else comes in snapshots.
#[derive(Debug, Clone)]
pub struct DataplaneOptions {
    /// Directory of the control socket, the journal and the snapshot copy.
    pub data_dir: PathBuf,
    /// Listening sockets inherited from the supervisor, one a shard and address; taken in turn by the shards.
    pub listen_fds: Vec<RawFd>,
    /// Addresses to bind when no sockets were inherited.
    pub listen: Vec<SocketAddr>,
    /// Threads, each pinned to a core of its own.
    pub shards: usize,
}

/// Why the data plane could not start or had to stop.
#[derive(Debug, thiserror::Error)]
pub enum RunError {
    /// A file, socket or mapping that it cannot do without.
    #[error("{what}: {source}")]
    Io {
        /// What was being done.
        what: String,
        /// What the system answered.
        source: std::io::Error,
    },
}

/// Runs the data plane until SIGTERM or SIGINT, then drains and returns.
///
/// # Errors
/// See [`RunError`]; a shard that dies ends the process instead.
pub fn run(options: DataplaneOptions) -> Result<(), RunError> {
    bootstrap::run(options)
}
