//! Captures: heads and bodies of requests and answers, from the data planes' segments into the store's.
//!
//! ```text
//! journal/NNNNNNNN/SSS-NNNNNNNN.cap ─ ingest ─ assemble ─▶ captures/NNNNNNNN.caps ─ care ─▶ object store
//!        frames, mixed                                      entries, compressed     └─▶ purged, by age
//!                                                           index: tables captures, tool_calls
//! ```
//!
//! The order in which things happen is what keeps captures whole whatever is killed when: an entry is in its segment and
//! synced before the index has it; the index has it before the frames go. A segment of the store is cut back to what the
//! index knows before anything is added to it. What goes is marked in the index first, then file and object go, then the
//! rows. So each step may be done again, and nothing is there that nobody knows of.

mod append;
mod assemble;
mod care;
mod format;
mod ingest;
mod read;
mod seed;
mod status;
#[cfg(test)]
pub(crate) mod tests;

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

pub(crate) use assemble::Head;
pub(crate) use care::Care;
pub(crate) use format::Part;
pub(crate) use ingest::CaptureIngest;
pub(crate) use read::{Captures, ReadError};
pub(crate) use seed::{Filled, SeedAppender};
pub(crate) use status::Status;

/// Bytes of a segment after which the next is begun.
const ROLL_BYTES: u64 = 64 << 20;
/// How long captures are added to one segment, in microseconds: what retention is precise to.
const ROLL_US: u64 = 3_600_000_000;
/// Most bytes of complete segments that wait on the local disk for an object store that does not take them. Beyond, captures
/// are left with the data planes, which drop and count them when their own room is used up.
const LOCAL_BYTES_MAX: u64 = 16 << 30;

/// What tests change.
#[derive(Clone)]
pub(crate) struct Settings {
    /// Pause while little comes; where nothing does, they become longer.
    pub(crate) idle: Duration,
    pub(crate) roll_bytes: u64,
    pub(crate) roll_us: u64,
    pub(crate) local_bytes_max: u64,
    /// Complete segments of a shard that may wait for captures that have no end yet.
    pub(crate) waiting_segments_max: usize,
    /// Frames of captures without an end that are remembered, of all shards.
    pub(crate) frames_max: usize,
    /// Captures, and bytes of them, of one transaction.
    pub(crate) batch_captures: usize,
    pub(crate) batch_bytes: u64,
    /// Pause between looks at what is to be sent away or purged.
    pub(crate) care: Duration,
    /// Rows that are purged, and pages that are given back, at a time.
    pub(crate) purge_rows: u32,
    pub(crate) give_back_pages: u32,
    /// Asked at every step; `true` ends the work as a kill would.
    pub(crate) kill: Option<Arc<dyn Fn(Step) -> bool + Send + Sync>>,
}

impl Default for Settings {
    fn default() -> Self {
        Self {
            idle: Duration::from_millis(100),
            roll_bytes: ROLL_BYTES,
            roll_us: ROLL_US,
            local_bytes_max: LOCAL_BYTES_MAX,
            waiting_segments_max: 4,
            frames_max: 1 << 20,
            batch_captures: 256,
            batch_bytes: 16 << 20,
            care: Duration::from_secs(10),
            purge_rows: 2_000,
            give_back_pages: 1_000,
            kill: None,
        }
    }
}

/// Moments at which a kill matters.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(crate) enum Step {
    SegmentOpened,
    FileMade,
    Appended,
    Synced,
    Committed,
    FramesRemoved,
    CarryWritten,
    CarryNamed,
    DamagedMoved,
    Sealed,
    Drained,
    Uploading,
    Uploaded,
    Remote,
    LocalRemoved,
    Doomed,
    ObjectRemoved,
    FileRemoved,
    RowsRemoved,
    Forgotten,
}

/// Ends the work as a kill would, if a test says so.
#[derive(Debug, thiserror::Error)]
#[error("killed at {0:?}")]
pub(crate) struct Killed(Step);

impl Settings {
    fn reached(&self, step: Step) -> Result<(), Killed> {
        match &self.kill {
            Some(kill) if kill(step) => Err(Killed(step)),
            _ => Ok(()),
        }
    }
}

/// Where segments of the store are.
fn folder(data: &Path) -> PathBuf {
    data.join("captures")
}

/// Name of a segment's file, and of its object behind the prefix.
fn file_name(number: u64) -> String {
    format!("{number:08}.caps")
}

/// Number in the name of a segment's file.
fn file_number(name: &str) -> Option<u64> {
    let stem = name.strip_suffix(".caps")?;
    let digits = stem.len() >= 8 && stem.bytes().all(|b| b.is_ascii_digit());
    let number = digits.then(|| stem.parse().ok()).flatten()?;
    (file_name(number) == name).then_some(number)
}
