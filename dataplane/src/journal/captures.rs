//! Rows of capture segments: what is kept of requests and answers on its way to the control plane.
//!
//! They are made like segments of the journal, with two differences that follow from their size, a hundred times that of
//! the records:
//!
//! - **Files are used again.** Making a page of a file and putting it into the memory of the process costs more than
//!   everything else that a capture costs. So each file has a second, hidden name, `.cap-NNNNNNNN`, and stays mapped
//!   when it is full. When the control plane has read it, it removes the name that it knows; the file then gets the next
//!   number in the row, and its pages are written over. A writer puts the end mark, a length of 0, behind a frame before
//!   it publishes the frame, so that nobody ever reads what a file held before. At most
//!   [`CaptureOptions::retained_bytes`] are held for this; beyond, files are given up and made anew.
//! - **Nothing is written back on purpose.** The kernel does that when it likes. The death of the process loses nothing; a
//!   power cut may lose the captures of the last half minute, while records keep their second.
//!
//! There are no segments at all until somebody wants captures ([`CaptureControl::configure`]). The row ends where the disk
//! holds as much as the configuration allows, or has no more to give beyond a reserve that is left to the journal; then
//! captures are dropped and counted until the control plane has removed something.

use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Condvar, Mutex, PoisonError};
use std::time::Duration;

use crossbeam::channel::Sender;
use sluice_shared::wire::capture::PAYLOAD_BYTES_MAX;
use sluice_shared::wire::journal::{RECORD_HEADER_BYTES, SEGMENT_HEADER_BYTES, record_bytes};

mod files;
mod row;
pub(super) mod service;

pub use row::ShardCaptures;

/// Bytes of a segment where the configuration leaves room for that: what some sixty calls with large bodies fill.
pub const CAPTURE_SEGMENT_BYTES: usize = 8 << 20;
/// The smallest segment: one frame of any size fits.
pub const CAPTURE_SEGMENT_BYTES_MIN: usize = 512 << 10;

/// Segments that a shard has at most before any is full: one that it writes, two that are ready.
const AHEAD: usize = 2;
/// How long a change of the configuration waits until the first segments are there.
const CONFIGURE_PATIENCE: Duration = Duration::from_secs(2);

const _: () = assert!(
    SEGMENT_HEADER_BYTES + record_bytes(PAYLOAD_BYTES_MAX) + RECORD_HEADER_BYTES
        <= CAPTURE_SEGMENT_BYTES_MIN - (64 << 10),
    "a frame must fit an empty segment"
);

/// How rows of captures are laid out.
#[derive(Clone, Copy, Debug)]
pub struct CaptureOptions {
    /// Most bytes of a segment: a multiple of 4,096, from [`CAPTURE_SEGMENT_BYTES_MIN`] to 1 GiB. They are smaller where
    /// the configuration allows fewer than four for each shard.
    pub segment_bytes: usize,
    /// Bytes of full segments that stay mapped, over all shards, in order to be used again.
    pub retained_bytes: u64,
    /// Bytes of the file system that captures leave to others, the journal above all.
    pub reserve_bytes: u64,
}

impl Default for CaptureOptions {
    fn default() -> Self {
        Self {
            segment_bytes: CAPTURE_SEGMENT_BYTES,
            retained_bytes: 64 << 20,
            reserve_bytes: 256 << 20,
        }
    }
}

impl CaptureOptions {
    pub(super) fn is_sound(&self) -> bool {
        (CAPTURE_SEGMENT_BYTES_MIN..=1 << 30).contains(&self.segment_bytes)
            && self.segment_bytes.is_multiple_of(4_096)
    }

    /// Bytes of a segment where this many may wait on disk.
    fn segment_bytes_within(&self, bytes_max: u64, shards: usize) -> usize {
        let share = usize::try_from(bytes_max).unwrap_or(usize::MAX) / shards.max(1) / (AHEAD + 2);
        let share = share / 4_096 * 4_096;
        share.clamp(CAPTURE_SEGMENT_BYTES_MIN, self.segment_bytes)
    }
}

/// Numbers of the captures' rows for the metrics.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct CaptureStatus {
    /// Segments that wait for the control plane, those included that are prepared or partly written.
    pub segments: u64,
    /// Their bytes.
    pub bytes: u64,
    /// Times that a segment could not be made.
    pub failures: u64,
    /// No more segments are made: the limit is reached, or the disk is full or fails.
    pub full: bool,
}

/// What shards, the configuration and the service share.
#[derive(Debug, Default)]
pub(super) struct Shared {
    /// Captures are wanted.
    wanted: AtomicBool,
    /// Most bytes on disk.
    bytes_max: AtomicU64,
    /// Grows with each change of the two above.
    asked: AtomicU64,
    /// The change up to which segments were prepared.
    done: Mutex<u64>,
    prepared: Condvar,
    segments: AtomicU64,
    bytes: AtomicU64,
    failures: AtomicU64,
    full: AtomicBool,
    ending: AtomicBool,
}

impl Shared {
    pub(super) fn read(&self) -> CaptureStatus {
        CaptureStatus {
            segments: self.segments.load(Ordering::Relaxed),
            bytes: self.bytes.load(Ordering::Relaxed),
            failures: self.failures.load(Ordering::Relaxed),
            full: self.full.load(Ordering::Relaxed),
        }
    }

    pub(super) fn end(&self) {
        self.ending.store(true, Ordering::Release);
    }
}

/// Switches the rows on and off.
#[derive(Clone, Debug)]
pub struct CaptureControl {
    shared: Arc<Shared>,
    bell: Sender<()>,
}

impl CaptureControl {
    pub(super) const fn new(shared: Arc<Shared>, bell: Sender<()>) -> Self {
        Self { shared, bell }
    }

    /// Says whether captures are wanted, and how many bytes of them may wait on disk. Where they are, returns when every
    /// shard has its first segments or cannot have them: some milliseconds, two seconds at most. Not for a shard.
    pub fn configure(&self, bytes_max: Option<u64>) {
        let shared = &self.shared;
        let wanted = bytes_max.is_some();
        if let Some(bytes_max) = bytes_max {
            shared.bytes_max.store(bytes_max, Ordering::Relaxed);
        }
        let was_wanted = shared.wanted.swap(wanted, Ordering::Relaxed);
        let mine = shared.asked.fetch_add(1, Ordering::AcqRel) + 1;
        let _ = self.bell.try_send(());
        if !wanted || was_wanted {
            return;
        }
        let done = shared.done.lock().unwrap_or_else(PoisonError::into_inner);
        // What does not come in time comes later; captures are dropped and counted until then.
        let _ = shared
            .prepared
            .wait_timeout_while(done, CONFIGURE_PATIENCE, |done| *done < mine);
    }
}
