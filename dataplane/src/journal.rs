//! The journal: signatures; the working parts follow.

use std::io;
use std::path::Path;
use std::sync::Arc;

use sluice_shared::usage::UsageRecord;
use sluice_shared::wire::inflight::Counter;
use sluice_shared::wire::journal::Entry;

/// Bytes of a segment unless a test says otherwise.
pub const SEGMENT_BYTES: usize = 8 << 20;

/// How the journal is laid out.
#[derive(Clone, Debug)]
pub struct JournalOptions {
    /// Shards, each with a row of segments and an in-flight table.
    pub shards: u16,
    /// Bytes of a segment.
    pub segment_bytes: usize,
    /// Slots of each in-flight table.
    pub in_flight_slots: usize,
    /// Bytes of segments that may wait on disk; beyond, appending finds the journal full.
    pub bytes_max: u64,
}

impl Default for JournalOptions {
    fn default() -> Self {
        Self {
            shards: 1,
            segment_bytes: SEGMENT_BYTES,
            in_flight_slots: 8_192,
            bytes_max: 8 << 30,
        }
    }
}

/// No room for a record: the next segment is not there yet. The caller decides.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("the journal is full")]
pub struct Full;

/// A slot of an in-flight table.
#[derive(Debug, PartialEq, Eq)]
pub struct SlotId(u32);

/// What one shard writes to.
#[derive(Debug)]
pub struct ShardFiles {
    /// Its row of segments.
    pub journal: ShardJournal,
    /// Its table of running requests.
    pub in_flight: InFlight,
}

/// A shard's row of segments.
#[derive(Debug)]
pub struct ShardJournal {}

impl ShardJournal {
    /// Appends an entry.
    ///
    /// # Errors
    /// [`Full`].
    pub fn append(&mut self, entry: &Entry) -> Result<(), Full> {
        let _ = entry;
        Err(Full)
    }
}

/// A shard's table of running requests.
#[derive(Debug)]
pub struct InFlight {}

impl InFlight {
    /// Takes a slot; `None` if the table is full.
    pub fn take(&mut self, draft: &UsageRecord) -> Option<SlotId> {
        let _ = draft;
        None
    }

    /// Stores a counter.
    pub fn update(&self, slot: &SlotId, counter: Counter, value: u64) {
        let _ = (slot, counter, value);
    }

    /// Gives a slot back.
    pub fn free(&mut self, slot: SlotId) {
        let _ = slot;
    }
}

/// Numbers of the journal for the metrics.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct JournalStatus {
    /// Segments on disk.
    pub segments: u64,
    /// Their bytes.
    pub bytes: u64,
    /// Segments that could not be prepared.
    pub failures: u64,
}

/// The thread behind all shards' journals.
#[derive(Debug)]
pub struct JournalService {}

/// The journal of this process.
#[derive(Debug)]
pub struct Journal;

impl Journal {
    /// Makes the directory of a new incarnation and the first segments.
    ///
    /// # Errors
    /// Disk full, no permission.
    pub fn create(data_dir: &Path, options: &JournalOptions) -> io::Result<(Vec<ShardFiles>, JournalService)> {
        let _ = (data_dir, options);
        Err(io::ErrorKind::Unsupported.into())
    }
}

impl JournalService {
    /// Number of the directory.
    #[must_use]
    pub fn incarnation(&self) -> u64 {
        0
    }

    /// Numbers for the metrics, shared with whoever renders them.
    #[must_use]
    pub fn status(&self) -> Arc<dyn Fn() -> JournalStatus + Send + Sync> {
        Arc::new(JournalStatus::default)
    }

    /// Syncs what is written and ends the thread.
    pub fn stop(self) {}
}
