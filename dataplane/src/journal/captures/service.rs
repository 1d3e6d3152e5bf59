//! The thread behind the rows of captures of all shards. It is not the journal's: what it does takes longer, and records
//! must not wait for it.

use std::io::{self, ErrorKind};
use std::sync::Arc;
use std::sync::PoisonError;
use std::sync::atomic::Ordering;
use std::time::{Duration, Instant};

use crossbeam::channel::{Receiver, Sender, bounded};
use sluice_shared::ids::ShardId;
use sluice_shared::wire::capture::SegmentHeader;

use super::files::Files;
use super::row::{Segment, ShardCaptures, WARM_BYTES};
use super::{AHEAD, CaptureOptions, Shared};
use crate::journal::directory::Directory;
use crate::journal::row::Progress;

/// Pause between two counts of what waits on disk.
const COUNT_EVERY: Duration = Duration::from_millis(500);
/// Pause between two tries while no segment can be made.
const RETRY_EVERY: Duration = Duration::from_millis(20);
/// Full segments that nobody has read for this long give their memory back.
const COOL_AFTER: Duration = Duration::from_secs(1);
/// Segments that nobody has written for this long give their memory back.
const IDLE_AFTER: Duration = Duration::from_secs(5);
/// Full segments of a shard that wait to be taken back.
const FULL_MAX: usize = 16;

/// The service's side of one shard.
#[derive(Debug)]
struct Row {
    shard: ShardId,
    ready: Sender<Segment>,
    full: Receiver<Segment>,
    progress: Arc<Progress>,
    /// Number of the next segment to be made.
    next: u32,
    /// Those that are ready or being written, oldest first.
    live: Vec<Live>,
    /// What [`Progress`] said when it was last looked at for rest.
    seen: (u32, usize),
}

/// A segment that is ready or being written.
#[derive(Debug)]
struct Live {
    number: u32,
    file: u64,
    /// Its pages are at hand.
    hot: bool,
}

/// The thread's state.
#[derive(Debug)]
pub(in crate::journal) struct Service {
    files: Files,
    options: CaptureOptions,
    rows: Vec<Row>,
    shared: Arc<Shared>,
    /// Why no segment can be made was logged, and none has been made since.
    failing: bool,
    retry_at: Option<Instant>,
    idle_at: Instant,
}

impl Service {
    pub(in crate::journal) fn new(
        directory: Arc<Directory>,
        options: CaptureOptions,
        shared: Arc<Shared>,
    ) -> Self {
        Self {
            files: Files::new(directory),
            options,
            rows: Vec::new(),
            shared,
            failing: false,
            retry_at: None,
            idle_at: Instant::now() + IDLE_AFTER,
        }
    }

    pub(in crate::journal) fn add_shard(&mut self, shard: ShardId, bell: Sender<()>) -> ShardCaptures {
        let (ready, next) = bounded(AHEAD);
        let (full, taken) = bounded(FULL_MAX);
        let progress = Arc::<Progress>::default();
        self.rows.push(Row {
            shard,
            ready,
            full: taken,
            progress: Arc::clone(&progress),
            next: 0,
            live: Vec::new(),
            seen: (0, 0),
        });
        ShardCaptures::new(next, full, bell, progress, Arc::clone(&self.shared))
    }

    /// Runs until it is told to end.
    pub(in crate::journal) fn run(mut self, bell: &Receiver<()>) {
        let mut count_at = Instant::now();
        loop {
            if self.shared.ending.load(Ordering::Acquire) {
                self.files.give_up_all();
                return;
            }
            let asked = self.shared.asked.load(Ordering::Acquire);
            self.collect();
            if self.shared.wanted.load(Ordering::Relaxed) {
                self.warm();
                if self.retry_at.is_none_or(|at| Instant::now() >= at) {
                    let prepared = self.prepare_all();
                    self.report(prepared);
                }
            }
            if Instant::now() >= count_at {
                count_at = Instant::now() + COUNT_EVERY;
                // A directory that cannot be read shows when a segment is to be made.
                let _ = self.count();
                self.files.cool(COOL_AFTER);
                self.rest();
            }
            *self.shared.done.lock().unwrap_or_else(PoisonError::into_inner) = asked;
            self.shared.prepared.notify_all();
            let now = Instant::now();
            let wake_at = self.retry_at.map_or(count_at, |at| at.min(count_at));
            // A bell that nobody holds any more means that all shards are gone.
            if bell.recv_timeout(wake_at.saturating_duration_since(now)).is_ok()
                && let Some(at) = self.retry_at
            {
                // Every capture that is dropped rings.
                std::thread::park_timeout(at.saturating_duration_since(Instant::now()));
            }
        }
    }

    /// Takes back what is full.
    fn collect(&mut self) {
        for row in &mut self.rows {
            while let Ok(segment) = row.full.try_recv() {
                row.live.retain(|live| live.number != segment.number);
                self.files.take_back(segment, self.options.retained_bytes);
            }
        }
    }

    /// Keeps segments ready for each shard: first one for each, then the others.
    fn prepare_all(&mut self) -> io::Result<()> {
        let mut counted = false;
        for ahead in 1..=AHEAD {
            for index in 0..self.rows.len() {
                let lacking = self.rows.get(index).is_some_and(|row| row.ready.len() < ahead);
                if !lacking {
                    continue;
                }
                if !std::mem::replace(&mut counted, true) {
                    self.count()?;
                }
                self.prepare(index)?;
            }
        }
        Ok(())
    }

    fn prepare(&mut self, index: usize) -> io::Result<()> {
        let shards = self.rows.len();
        let bytes_max = self.shared.bytes_max.load(Ordering::Relaxed);
        let len = self.options.segment_bytes_within(bytes_max, shards);
        let waiting = self.shared.bytes.load(Ordering::Relaxed);
        if waiting.saturating_add(len as u64) > bytes_max {
            return Err(io::Error::new(
                ErrorKind::QuotaExceeded,
                "captures.buffer_bytes_max is reached; nobody reads what waits",
            ));
        }
        let Some(row) = self.rows.get_mut(index) else {
            return Ok(());
        };
        let header = SegmentHeader {
            incarnation: self.files.directory().incarnation(),
            shard: row.shard,
            number: u64::from(row.next),
        };
        let name = format!("{:03}-{:08}.cap", row.shard.0, row.next);
        let segment = match self.files.again(&name, &header, len)? {
            Some(segment) => segment,
            None => {
                let free = self.files.directory().free_bytes()?;
                if free < self.options.reserve_bytes.saturating_add(len as u64) {
                    return Err(io::Error::new(
                        ErrorKind::StorageFull,
                        "what the disk still has is left to the journal",
                    ));
                }
                self.files.make(&name, &header, len)?
            }
        };
        row.next = row.next.checked_add(1).ok_or(ErrorKind::QuotaExceeded)?;
        row.live.push(Live {
            number: segment.number,
            file: segment.file,
            hot: segment.hot,
        });
        self.shared.segments.fetch_add(1, Ordering::Relaxed);
        self.shared.bytes.fetch_add(len as u64, Ordering::Relaxed);
        // The only sender, and it has room; a shard that is gone needs no segment.
        drop(row.ready.try_send(segment));
        Ok(())
    }

    fn report(&mut self, result: io::Result<()>) {
        match result {
            Ok(()) => {
                self.retry_at = None;
                self.shared.full.store(false, Ordering::Relaxed);
                if std::mem::take(&mut self.failing) {
                    tracing::info!("captures find room again");
                }
            }
            Err(error) => {
                self.retry_at = Some(Instant::now() + RETRY_EVERY);
                self.shared.full.store(true, Ordering::Relaxed);
                if !std::mem::replace(&mut self.failing, true) {
                    self.shared.failures.fetch_add(1, Ordering::Relaxed);
                    tracing::error!(%error, "next capture segment cannot be made; captures that find no room are dropped");
                }
            }
        }
    }

    fn count(&self) -> io::Result<()> {
        let (segments, bytes) = self.files.directory().captures()?;
        self.shared.segments.store(segments, Ordering::Relaxed);
        self.shared.bytes.store(bytes, Ordering::Relaxed);
        Ok(())
    }

    /// Makes the pages ahead of the writers of new files writable.
    fn warm(&self) {
        for row in &self.rows {
            let (number, at) = row.progress.load();
            if let Some(live) = row.live.iter().find(|live| live.number == number && !live.hot)
                && let Some(map) = self.files.map(live.file)
                && row.seen != (number, at)
            {
                map.populate(at..at.saturating_add(WARM_BYTES));
            }
        }
    }

    /// Gives memory back that nobody has used for a while.
    fn rest(&mut self) {
        if Instant::now() < self.idle_at {
            return;
        }
        self.idle_at = Instant::now() + IDLE_AFTER;
        let mut busy = false;
        for row in &mut self.rows {
            let now = row.progress.load();
            if row.seen != now {
                row.seen = now;
                busy = true;
                continue;
            }
            for live in &mut row.live {
                let Some(map) = self.files.map(live.file) else {
                    continue;
                };
                live.hot = false;
                let written = if live.number == now.0 { now.1 } else { 0 };
                map.forget(0..written);
                map.forget(written.saturating_add(WARM_BYTES)..map.len());
            }
        }
        if !busy {
            self.files.give_up_full();
        }
    }
}
