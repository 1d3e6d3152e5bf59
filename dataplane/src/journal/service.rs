//! The thread behind the journals of all shards: it keeps the next segments ready, the pages ahead of the writers
//! warm, and the disk at most a second behind.

use std::collections::VecDeque;
use std::io;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::{Duration, Instant};

use crossbeam::channel::{Receiver, Sender};
use sluice_shared::ids::ShardId;
use sluice_shared::wire::inflight::SLOT_BYTES;
use sluice_shared::wire::journal::{SEGMENT_HEADER_BYTES, SegmentHeader};

use super::directory::Directory;
use super::map::{Map, MapWriter, map_shared};
use super::row::{Prepared, Progress, WARM_BYTES};
use super::table::{Usage, WARM_SLOTS};
use super::{JournalOptions, JournalStatus};

/// Time between two syncs; half of what a power cut may cost.
const SYNC_EVERY: Duration = Duration::from_millis(500);

/// What the thread tells others.
#[derive(Debug, Default)]
pub(super) struct Gauges {
    segments: AtomicU64,
    bytes: AtomicU64,
    failures: AtomicU64,
    pub(super) ending: AtomicBool,
}

impl Gauges {
    pub(super) fn read(&self) -> JournalStatus {
        JournalStatus {
            segments: self.segments.load(Ordering::Relaxed),
            bytes: self.bytes.load(Ordering::Relaxed),
            failures: self.failures.load(Ordering::Relaxed),
        }
    }
}

/// The service's side of one shard.
#[derive(Debug)]
pub(super) struct Row {
    pub(super) shard: ShardId,
    pub(super) ready: Sender<Prepared>,
    pub(super) progress: Arc<Progress>,
    /// Number of the next segment to be made.
    next: u32,
    /// Segments that are written or will be, oldest first.
    live: VecDeque<(u32, Arc<Map>)>,
    /// Up to where the oldest is on disk.
    synced: usize,
    table: Arc<Map>,
    usage: Arc<Usage>,
    changes_synced: u64,
}

/// The thread's state.
#[derive(Debug)]
pub(super) struct Service {
    directory: Arc<Directory>,
    options: JournalOptions,
    rows: Vec<Row>,
    gauges: Arc<Gauges>,
    /// A failure was logged and nothing has succeeded since.
    failing: bool,
}

impl Service {
    pub(super) fn new(directory: Arc<Directory>, options: JournalOptions, gauges: Arc<Gauges>) -> Self {
        Self {
            directory,
            options,
            rows: Vec::new(),
            gauges,
            failing: false,
        }
    }

    pub(super) fn incarnation(&self) -> u64 {
        self.directory.incarnation()
    }

    /// Makes the table and the first segment of a shard.
    pub(super) fn add_shard(
        &mut self,
        shard: ShardId,
        ready: Sender<Prepared>,
    ) -> io::Result<(Prepared, Arc<Progress>, MapWriter, Arc<Usage>)> {
        let len = self.options.in_flight_slots * SLOT_BYTES;
        let file = self
            .directory
            .allocate(&format!("{:03}.inflight", shard.0), len, &[])?;
        let (writer, table) = map_shared(&file, len)?;
        table.populate(0..WARM_SLOTS as usize * SLOT_BYTES);
        let mut row = Row {
            shard,
            ready,
            progress: Arc::default(),
            next: 0,
            live: VecDeque::new(),
            synced: 0,
            table,
            usage: Arc::default(),
            changes_synced: 0,
        };
        let first = prepare(&self.directory, &self.options, &mut row)?;
        let parts = (first, Arc::clone(&row.progress), writer, Arc::clone(&row.usage));
        self.rows.push(row);
        Ok(parts)
    }

    /// Keeps one segment ready for each shard.
    pub(super) fn prepare_all(&mut self) -> io::Result<()> {
        if self.rows.iter().all(|row| !row.ready.is_empty()) {
            return Ok(());
        }
        let mut result = self.count();
        for row in &mut self.rows {
            if !row.ready.is_empty() {
                continue;
            }
            let taken = self.gauges.bytes.load(Ordering::Relaxed);
            if taken.saturating_add(self.options.segment_bytes as u64) > self.options.bytes_max {
                result = Err(io::Error::new(
                    io::ErrorKind::QuotaExceeded,
                    "the journal has its largest size; nobody stores what it holds",
                ));
                continue;
            }
            match prepare(&self.directory, &self.options, row) {
                // The only sender, and it was empty; a shard that is gone needs no segment.
                Ok(segment) => drop(row.ready.try_send(segment)),
                Err(error) => result = Err(error),
            }
        }
        let counted = self.count();
        result.and(counted)
    }

    /// Runs until it is told to end and syncs a last time then.
    pub(super) fn run(mut self, bell: &Receiver<()>) {
        let mut sync_at = Instant::now() + SYNC_EVERY;
        loop {
            let wait = sync_at.saturating_duration_since(Instant::now());
            // A bell that nobody holds any more means that all shards are gone: sync, and wait to be ended.
            if bell.recv_timeout(wait).is_err() || Instant::now() >= sync_at {
                sync_at = Instant::now() + SYNC_EVERY;
                let (synced, counted) = (self.sync(), self.count());
                let synced = synced.and(counted);
                self.report(synced, "journal cannot be written to disk");
            }
            if self.gauges.ending.load(Ordering::Acquire) {
                let synced = self.sync();
                self.report(synced, "journal cannot be written to disk");
                return;
            }
            let prepared = self.prepare_all();
            self.report(prepared, "next journal segment cannot be prepared");
            self.warm();
        }
    }

    fn report(&mut self, result: io::Result<()>, what: &str) {
        match result {
            Ok(()) => {}
            Err(error) => {
                self.gauges.failures.fetch_add(1, Ordering::Relaxed);
                if !self.failing {
                    tracing::error!(%error, "{what}");
                }
                self.failing = true;
                return;
            }
        }
        if self.failing && self.rows.iter().all(|row| !row.ready.is_empty()) {
            self.failing = false;
            tracing::info!("journal works again");
        }
    }

    fn count(&self) -> io::Result<()> {
        let segments = self.directory.segments()?;
        self.gauges.segments.store(segments, Ordering::Relaxed);
        let bytes = segments.saturating_mul(self.options.segment_bytes as u64);
        self.gauges.bytes.store(bytes, Ordering::Relaxed);
        Ok(())
    }

    /// Writes back what was stored since the last time, and lets go of what is complete.
    fn sync(&mut self) -> io::Result<()> {
        let mut result = Ok(());
        for row in &mut self.rows {
            let (number, at) = row.progress.load();
            while let Some((oldest, map)) = row.live.front() {
                let end = if *oldest < number { map.len() } else { at };
                if *oldest > number || (end <= row.synced && *oldest == number) {
                    break;
                }
                if let Err(error) = map.sync(row.synced..end) {
                    result = Err(error);
                    break;
                }
                map.forget(row.synced.saturating_sub(map.len().min(1 << 16))..end);
                if *oldest == number {
                    row.synced = end;
                    break;
                }
                // The shard's end goes first, so that unmapping is never its work.
                if Arc::strong_count(map) > 1 {
                    break;
                }
                row.live.pop_front();
                row.synced = 0;
            }
            let changes = row.usage.changes.load(Ordering::Relaxed);
            if changes != row.changes_synced {
                match row.table.sync(0..row.used_bytes()) {
                    Ok(()) => row.changes_synced = changes,
                    Err(error) => result = Err(error),
                }
            }
        }
        result
    }

    /// Makes the pages ahead of the writers writable, which a sync takes away.
    fn warm(&self) {
        for row in &self.rows {
            let (number, at) = row.progress.load();
            if let Some((_, map)) = row.live.iter().find(|(n, _)| *n == number) {
                map.populate(at..at.saturating_add(WARM_BYTES));
            }
            row.table
                .populate(0..row.used_bytes().saturating_add(WARM_SLOTS as usize * SLOT_BYTES));
        }
    }
}

impl Row {
    fn used_bytes(&self) -> usize {
        let peak = usize::try_from(self.usage.peak.load(Ordering::Relaxed)).unwrap_or(usize::MAX);
        peak.saturating_mul(SLOT_BYTES)
    }
}

/// Makes the next segment of a row.
fn prepare(directory: &Directory, options: &JournalOptions, row: &mut Row) -> io::Result<Prepared> {
    let number = row.next;
    let header = SegmentHeader {
        incarnation: directory.incarnation(),
        shard: row.shard,
        number: u64::from(number),
    };
    let name = format!("{:03}-{number:08}.seg", row.shard.0);
    let file = directory.allocate(&name, options.segment_bytes, &header.encode())?;
    let (writer, map) = map_shared(&file, options.segment_bytes)?;
    map.populate(0..SEGMENT_HEADER_BYTES + WARM_BYTES);
    row.live.push_back((number, map));
    row.next = number.checked_add(1).ok_or(io::ErrorKind::QuotaExceeded)?;
    Ok(Prepared { number, writer })
}
