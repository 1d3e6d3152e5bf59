//! The journal: records that survive the death of the process, written without a system call.
//!
//! Formats are in [`sluice_shared::wire::journal`] and [`sluice_shared::wire::inflight`]. This is who does what:
//!
//! ```text
//!  shard    ShardJournal::append ──stores──▶ mapped segment ◀──reads── control plane
//!           InFlight::{take, update, free} ─▶ mapped table  ◀──reads── control plane, after a crash
//!  service  makes and maps the next segments, keeps the pages ahead writable, msync ≤ 1 s behind
//! ```
//!
//! - A store into a shared mapping is in the kernel's hands at once: only a power cut can lose it, and then at most a
//!   second of it.
//! - The service writes back only pages that records stand in, and makes the pages ahead writable again afterwards,
//!   because a page that was written back costs its next writer a fault. What lies behind is taken out of the
//!   process's memory, so a shard holds about half a megabyte of journal, not a segment.
//! - A shard never waits: the next segment is there or the journal is [`Full`].
//! - Memory of an in-flight table is that of the most requests that ever ran at once.

use std::io;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::thread::JoinHandle;

use crossbeam::channel::{Sender, bounded};
use sluice_shared::ids::ShardId;
use sluice_shared::wire::journal::{
    PAYLOAD_BYTES_MAX, RECORD_HEADER_BYTES, SEGMENT_HEADER_BYTES, record_bytes,
};

use crate::service_thread;

mod captures;
mod directory;
mod map;
mod row;
mod service;
mod table;

use directory::Directory;
use service::{Gauges, Service};

pub use captures::{
    CAPTURE_SEGMENT_BYTES, CAPTURE_SEGMENT_BYTES_MIN, CaptureControl, CaptureOptions, CaptureStatus,
    ShardCaptures,
};
pub use row::ShardJournal;
pub use table::{InFlight, SlotId};

/// Bytes of a segment unless a test says otherwise: some ten thousand records.
pub const SEGMENT_BYTES: usize = 8 << 20;
/// The smallest segment: one record of any size fits.
pub const SEGMENT_BYTES_MIN: usize = 128 << 10;

const _: () = assert!(
    SEGMENT_HEADER_BYTES + record_bytes(PAYLOAD_BYTES_MAX) + RECORD_HEADER_BYTES <= SEGMENT_BYTES_MIN,
    "a record must fit an empty segment"
);

/// How the journal is laid out.
#[derive(Clone, Debug)]
pub struct JournalOptions {
    /// Shards, each with a row of segments and an in-flight table; 1 to 1,000.
    pub shards: u16,
    /// Bytes of a segment: a multiple of 4,096, from [`SEGMENT_BYTES_MIN`] to 1 GiB.
    pub segment_bytes: usize,
    /// Slots of each in-flight table, 1 to 1,048,576.
    pub in_flight_slots: usize,
    /// Bytes of segments that may wait on disk for the store; beyond, appending finds the journal full.
    pub bytes_max: u64,
    /// Rows of captures.
    pub captures: CaptureOptions,
}

impl Default for JournalOptions {
    fn default() -> Self {
        Self {
            shards: 1,
            segment_bytes: SEGMENT_BYTES,
            in_flight_slots: 8_192,
            bytes_max: 8 << 30,
            captures: CaptureOptions::default(),
        }
    }
}

impl JournalOptions {
    fn check(&self) -> io::Result<()> {
        let good = (1..=1_000).contains(&self.shards)
            && (SEGMENT_BYTES_MIN..=1 << 30).contains(&self.segment_bytes)
            && self.segment_bytes.is_multiple_of(4_096)
            && (1..=1 << 20).contains(&self.in_flight_slots)
            && self.captures.is_sound();
        if good {
            Ok(())
        } else {
            let what = format!("journal options out of bounds: {self:?}");
            Err(io::Error::new(io::ErrorKind::InvalidInput, what))
        }
    }
}

/// No room for a record: the next segment is not there. The caller decides what becomes of the request.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("the journal is full")]
pub struct Full;

/// What one shard writes to. Both ends may be used on one thread each.
#[derive(Debug)]
pub struct ShardFiles {
    /// Its row of segments.
    pub journal: ShardJournal,
    /// Its table of running requests.
    pub in_flight: InFlight,
    /// Its row of captures.
    pub captures: ShardCaptures,
}

/// Numbers of the journal for the metrics.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct JournalStatus {
    /// Segments on disk, those included that are prepared or partly written.
    pub segments: u64,
    /// Their bytes.
    pub bytes: u64,
    /// Times a segment could not be prepared or written back.
    pub failures: u64,
}

/// The journal of this process.
#[derive(Debug)]
pub struct Journal;

impl Journal {
    /// Makes `DATA/journal/NNNNNNNN/` with the next number, locks it for the life of the service, makes every
    /// shard's table and first two segments, and starts the service thread. Blocks: not for a shard.
    ///
    /// # Errors
    /// The directory cannot be written, the disk has no room (the message says how much is needed), the options
    /// are out of bounds.
    pub fn create(
        data_dir: &Path,
        options: &JournalOptions,
    ) -> io::Result<(Vec<ShardFiles>, JournalService)> {
        options.check()?;
        Self::make(data_dir, options).map_err(|error| {
            let each = 2 * options.segment_bytes + options.in_flight_slots * 1_024;
            let bytes = each.saturating_mul(usize::from(options.shards));
            let place = data_dir.join("journal");
            let what = format!(
                "journal in {} (needs {} MiB): {error}",
                place.display(),
                bytes.div_ceil(1 << 20)
            );
            io::Error::new(error.kind(), what)
        })
    }

    fn make(data_dir: &Path, options: &JournalOptions) -> io::Result<(Vec<ShardFiles>, JournalService)> {
        let gauges = Arc::<Gauges>::default();
        let directory = Arc::new(Directory::create(data_dir)?);
        let mut service = Service::new(Arc::clone(&directory), options.clone(), Arc::clone(&gauges));
        let (bell, rung) = bounded(1);
        let kept = Arc::<captures::Shared>::default();
        let mut keeper = captures::service::Service::new(directory, options.captures, Arc::clone(&kept));
        let (keeper_bell, keeper_rung) = bounded(1);
        let mut shards = Vec::new();
        for shard in 0..options.shards {
            let (ready, next) = bounded(1);
            let (first, progress, table, usage) = service.add_shard(ShardId(shard), ready)?;
            shards.push(ShardFiles {
                journal: ShardJournal::new(first, next, bell.clone(), progress),
                in_flight: InFlight::new(table, usage, bell.clone()),
                captures: keeper.add_shard(ShardId(shard), keeper_bell.clone()),
            });
        }
        service.prepare_all()?;
        let incarnation = service.incarnation();
        let thread = service_thread::spawn("sluice-journal", move || service.run(&rung))?;
        let mut service = JournalService {
            incarnation,
            gauges,
            bell,
            thread: Some(thread),
            kept,
            keeper_bell,
            keeper_thread: None,
        };
        let keeper = service_thread::spawn("sluice-captures", move || keeper.run(&keeper_rung))?;
        service.keeper_thread = Some(keeper);
        Ok((shards, service))
    }
}

/// The threads behind all shards' journals and captures. They end when this is dropped; a shard that still appends then finds the
/// journal full at the end of its segments.
#[derive(Debug)]
pub struct JournalService {
    incarnation: u64,
    gauges: Arc<Gauges>,
    bell: Sender<()>,
    thread: Option<JoinHandle<()>>,
    kept: Arc<captures::Shared>,
    keeper_bell: Sender<()>,
    keeper_thread: Option<JoinHandle<()>>,
}

impl JournalService {
    /// Number of the directory, for the hello of the control link.
    #[must_use]
    pub const fn incarnation(&self) -> u64 {
        self.incarnation
    }

    /// A way to read the numbers of the journal, not older than half a second, for the metrics.
    pub fn status(&self) -> impl Fn() -> JournalStatus + Send + Sync + use<> {
        let gauges = Arc::clone(&self.gauges);
        move || gauges.read()
    }

    /// What switches captures on and off.
    #[must_use]
    pub fn captures(&self) -> CaptureControl {
        CaptureControl::new(Arc::clone(&self.kept), self.keeper_bell.clone())
    }

    /// A way to read the numbers of the captures, not older than half a second, for the metrics.
    pub fn capture_status(&self) -> impl Fn() -> CaptureStatus + Send + Sync + use<> {
        let kept = Arc::clone(&self.kept);
        move || kept.read()
    }

    /// Writes everything back, ends the threads and unlocks the directory. Call it after the shards have ended.
    pub fn stop(self) {
        drop(self);
    }
}

impl Drop for JournalService {
    fn drop(&mut self) {
        self.gauges.ending.store(true, Ordering::Release);
        let _ = self.bell.try_send(());
        self.kept.end();
        let _ = self.keeper_bell.try_send(());
        for thread in [self.thread.take(), self.keeper_thread.take()]
            .into_iter()
            .flatten()
        {
            // A panic there has already ended the process.
            let _ = thread.join();
        }
    }
}
