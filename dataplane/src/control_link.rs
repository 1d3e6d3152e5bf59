//! The control link: signatures; the working parts follow.

use std::io;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use arc_swap::ArcSwapOption;
use sluice_shared::ids::Epoch;
use sluice_shared::snapshot::Sealed;

use crate::identity::IdentityClient;
use crate::mailbox::Mailbox;

/// Where the current configuration stands; a shard reads it through an `arc_swap::Cache`.
pub type SnapshotCell = Arc<ArcSwapOption<Sealed>>;

/// What the link needs to know.
#[derive(Clone)]
pub struct ControlLinkOptions {
    /// Directory with `control.sock` and `snapshot.bin`.
    pub data_dir: PathBuf,
    /// Number of the journal directory, for the hello.
    pub incarnation: u64,
    /// The shards.
    pub mailboxes: Vec<Mailbox>,
    /// How long the control plane is waited for before `snapshot.bin` is used.
    pub cold_start_ms: u64,
}

/// Numbers of the link for the metrics.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct LinkStatus {
    /// Whether the control plane is connected.
    pub connected: bool,
    /// Connections made.
    pub connects: u64,
    /// Snapshots refused.
    pub snapshots_refused: u64,
    /// Epoch in use.
    pub epoch: Epoch,
}

/// The thread that talks to the control plane.
pub struct ControlLink {}

impl ControlLink {
    /// Starts the thread.
    ///
    /// # Errors
    /// No thread or descriptor is left.
    pub fn start(options: ControlLinkOptions) -> io::Result<Self> {
        let _ = options;
        Err(io::ErrorKind::Unsupported.into())
    }

    /// Where the current configuration stands.
    #[must_use]
    pub fn snapshot(&self) -> SnapshotCell {
        Arc::default()
    }

    /// Waits for the first configuration.
    #[must_use]
    pub fn first_snapshot(&self, patience: Duration) -> Option<Arc<Sealed>> {
        let _ = patience;
        None
    }

    /// A shard's way to ask who a peer is.
    #[must_use]
    pub fn identity(&self, shard: usize) -> Option<IdentityClient> {
        let _ = shard;
        None
    }

    /// Numbers for the metrics.
    #[must_use]
    pub fn status(&self) -> LinkStatus {
        LinkStatus::default()
    }

    /// Ends the thread.
    pub fn stop(self) {}
}
