//! Reading the data planes' capture segments: captures that have ended go into the store, then their frames go.
//!
//! Nothing is kept of what was read but in memory: after a start, everything that is there is read again, and captures that
//! the index knows are let go of. A capture without an end belongs to a request that runs. It is given up when the
//! request's record says that there was no room for its end; when its process is dead, what there is of it is stored.

mod carry;
mod frames;
mod row;

use std::collections::BTreeMap;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::mpsc::{Receiver, RecvTimeoutError};
use std::time::{Duration, Instant};

use sluice_shared::ids::RequestId;
use sluice_shared::units::UnixMicros;
use sluice_shared::usage::{Capture, Ended};
use tokio::runtime::Handle;

use super::append::Appender;
use super::assemble::{Raw, assemble};
use super::status::{Side, Status};
use super::{Killed, Settings, Step};
use crate::files;
use crate::ingest::{Endings, Pace, directory_name, is_of_captures, names, number_of};
use crate::link::chain;
use crate::store::captures::Fate;
use crate::store::{Store, StoreError};
use carry::CarryError;
use row::{Files, Pending, Row, RowProgress, Source};

/// Where damaged segments are kept, beside the journal.
const DAMAGED: &str = "damaged";
/// Longest pause after an error.
const PAUSE_MAX: Duration = Duration::from_secs(30);
/// How often captures without an end are looked after while segments wait for them.
const LOOK_AFTER: Duration = Duration::from_secs(10);

/// Why a pass ended early. The next one reads everything anew.
#[derive(Debug, thiserror::Error)]
pub(crate) enum IngestError {
    #[error("cannot read the captures at {0}")]
    Journal(PathBuf, #[source] io::Error),
    #[error("cannot write captures at {0}")]
    Segments(PathBuf, #[source] io::Error),
    #[error("cannot store captures")]
    Store(#[from] StoreError),
    /// Nothing is read until there is room.
    #[error("captures wait: {0} bytes that the object store has not taken fill the room on the local disk")]
    Full(u64),
    #[error(transparent)]
    Killed(#[from] Killed),
}

/// The reader of captures.
pub(crate) struct CaptureIngest {
    root: PathBuf,
    store: Arc<dyn Store>,
    runtime: Handle,
    status: Arc<Status>,
    endings: Arc<Endings>,
    settings: Settings,
    appender: Appender,
    incarnations: BTreeMap<u64, Incarnation>,
    buffer: Vec<u8>,
}

/// What is known of one data plane process's captures.
struct Incarnation {
    directory: PathBuf,
    rows: BTreeMap<u16, Row>,
    looked_after: Option<Instant>,
}

/// What a pass did, to be counted once it is committed.
#[derive(Default)]
struct Counted {
    stored: u64,
    partial: u64,
    calls: u64,
}

impl CaptureIngest {
    /// Reads the captures under `data`; waits for the store on `runtime`.
    ///
    /// # Errors
    /// There is no memory to compress in.
    pub(crate) fn new(
        data: &Path,
        store: Arc<dyn Store>,
        runtime: Handle,
        status: Arc<Status>,
        endings: Arc<Endings>,
        settings: Settings,
    ) -> io::Result<Self> {
        Ok(Self {
            root: data.join("journal"),
            appender: Appender::new(data, store.clone(), runtime.clone(), settings.clone())?,
            store,
            runtime,
            status,
            endings,
            settings,
            incarnations: BTreeMap::new(),
            buffer: vec![0; frames::BUFFER_BYTES],
        })
    }

    /// Runs until `stop` is sent to or dropped, then once more.
    pub(crate) fn run(mut self, stop: &Receiver<()>) {
        let mut stopping = false;
        let mut pause = self.settings.idle;
        let mut pace = Pace::new(pause, Instant::now());
        loop {
            match self.pass(now()) {
                Ok(found) => pause = pace.pause(found, Instant::now()),
                Err(error) => {
                    let text = chain(&error);
                    if self.status.failed(Side::Ingest, &text) {
                        tracing::error!(error = %text, "captures are not stored; it is tried again");
                    }
                    pause = (pause * 2).clamp(Duration::from_secs(1), PAUSE_MAX);
                }
            }
            if stopping {
                return;
            }
            stopping = !matches!(stop.recv_timeout(pause), Err(RecvTimeoutError::Timeout));
        }
    }

    /// One look at everything. Whether anything was stored; after an error everything is read anew.
    pub(crate) fn pass(&mut self, now: UnixMicros) -> Result<bool, IngestError> {
        let found = self.try_pass(now);
        match &found {
            Ok(_) => self.status.well(Side::Ingest),
            Err(_) => {
                self.incarnations.clear();
                self.appender.reset();
            }
        }
        found
    }

    fn try_pass(&mut self, now: UnixMicros) -> Result<bool, IngestError> {
        self.appender.prepare()?;
        let full = self.status.local_bytes();
        if full > self.settings.local_bytes_max {
            return Err(IngestError::Full(full));
        }
        let listed = names(&self.root).map_err(|e| IngestError::Journal(self.root.clone(), e))?;
        let numbers: Vec<u64> = listed.iter().filter_map(|name| number_of(name)).collect();
        self.incarnations.retain(|number, _| numbers.contains(number));
        let mut found = false;
        let (mut waiting, mut open) = (0u64, 0u64);
        for number in numbers {
            // Taken out, so that it is forgotten if this fails.
            let mut incarnation = self.incarnations.remove(&number).unwrap_or_else(|| Incarnation {
                directory: self.root.join(directory_name(number)),
                rows: BTreeMap::new(),
                looked_after: None,
            });
            let dead = self.endings.is_ended(number);
            let directory = incarnation.directory.clone();
            let read = self.read(number, &mut incarnation, dead, now, &mut found);
            match read {
                // The directory went while it was looked at.
                Err(IngestError::Journal(_, error))
                    if error.kind() == io::ErrorKind::NotFound && !directory.exists() =>
                {
                    continue;
                }
                read => read?,
            }
            waiting = waiting.saturating_add(bytes_in(&incarnation.directory));
            open = incarnation
                .rows
                .values()
                .fold(open, |open, row| open.saturating_add(row.pending.len() as u64));
            self.incarnations.insert(number, incarnation);
        }
        self.appender.roll(now)?;
        self.status.waiting_bytes.set(waiting);
        self.status.open.set(open);
        Ok(found)
    }

    /// Reads one incarnation until nothing more is there.
    fn read(
        &mut self,
        number: u64,
        incarnation: &mut Incarnation,
        dead: bool,
        now: UnixMicros,
        found: &mut bool,
    ) -> Result<(), IngestError> {
        let directory = incarnation.directory.clone();
        let failed = |error| IngestError::Journal(directory.clone(), error);
        let listed = Files::list(&directory).map_err(failed)?;
        if listed.is_empty() {
            return Ok(());
        }
        if incarnation.rows.is_empty() {
            carry::clean(&directory).map_err(failed)?;
        }
        for (shard, files) in &listed {
            let row = incarnation
                .rows
                .entry(*shard)
                .or_insert_with(|| Row::new(directory.clone(), number, *shard));
            loop {
                let room = self.settings.batch_captures;
                // Carrying again is worth it when there is twice as much to carry.
                let frames_max = self.settings.frames_max.max(row.carried_frames.saturating_mul(2));
                let progress = row
                    .read(files, room, frames_max, dead, &mut self.buffer, &self.status)
                    .map_err(failed)?;
                *found |= !row.ready.is_empty();
                self.store_ready(row, now)?;
                if let RowProgress::Damaged(segment) = progress {
                    self.put_aside(number, row, files, segment)?;
                } else if row.frames >= frames_max {
                    self.carry(row, files, true)?;
                } else if !matches!(progress, RowProgress::Full) {
                    break;
                }
            }
            self.headless(row)?;
        }
        if dead {
            return self.drain(incarnation, now, found);
        }
        self.look_after(incarnation, &listed)?;
        for (shard, files) in &listed {
            if let Some(row) = incarnation.rows.get_mut(shard) {
                self.remove(row, files)?;
            }
        }
        Ok(())
    }

    /// Stores what has ended.
    fn store_ready(&mut self, row: &mut Row, now: UnixMicros) -> Result<(), IngestError> {
        let ready: Vec<Pending> = std::mem::take(&mut row.ready)
            .into_iter()
            .filter_map(|number| row.pending.remove(&number))
            .collect();
        let mut counted = Counted::default();
        let ids: Vec<RequestId> = ready.iter().map(|pending| pending.id).collect();
        let fates = self.runtime.block_on(self.store.fates(&ids))?;
        for (pending, fate) in ready.into_iter().zip(fates) {
            if fate != Fate::Stored {
                self.store_one(row, &pending, now, &mut counted)?;
            }
            // Its files stay until this is committed: they are removed after that only.
            row.release(&pending);
            if self.appender.is_full() {
                self.commit(&mut counted)?;
            }
        }
        self.commit(&mut counted)?;
        self.appender.roll(now)
    }

    /// Hands one capture to the appender.
    fn store_one(
        &mut self,
        row: &mut Row,
        pending: &Pending,
        now: UnixMicros,
        counted: &mut Counted,
    ) -> Result<(), IngestError> {
        let raw = row
            .gather(pending, &mut self.buffer)
            .map_err(|e| IngestError::Journal(row.directory.clone(), e))?;
        let Some(raw) = raw else {
            self.status.lost.add(1);
            return Ok(());
        };
        if !is_wanted(&raw) {
            return Ok(());
        }
        let unfinished = raw.closed.is_none();
        let assembled = assemble(raw);
        counted.stored += 1;
        counted.partial += u64::from(unfinished);
        if assembled.row.kept {
            counted.calls += assembled.row.calls.len() as u64;
        }
        self.appender.add(assembled, now)
    }

    fn commit(&mut self, counted: &mut Counted) -> Result<(), IngestError> {
        self.appender.commit()?;
        let Counted {
            stored,
            partial,
            calls,
        } = std::mem::take(counted);
        self.status.stored.add(stored);
        self.status.partial.add(partial);
        self.status.tool_calls.add(calls);
        Ok(())
    }

    /// Counts captures that ended without a beginning and are not in the store: their first frames were damaged.
    fn headless(&self, row: &mut Row) -> Result<(), IngestError> {
        let ids = std::mem::take(&mut row.headless);
        let fates = self.runtime.block_on(self.store.fates(&ids))?;
        let lost = fates.iter().filter(|fate| {
            matches!(
                fate,
                Fate::Recorded {
                    capture: Capture::Written,
                    ..
                }
            )
        });
        self.status.lost.add(lost.count() as u64);
        Ok(())
    }

    /// Sees to captures that have no end while segments wait for them.
    fn look_after(
        &mut self,
        incarnation: &mut Incarnation,
        listed: &BTreeMap<u16, Files>,
    ) -> Result<(), IngestError> {
        let due = incarnation
            .looked_after
            .is_none_or(|at| at.elapsed() >= LOOK_AFTER);
        let mut looked = false;
        for (shard, files) in listed {
            let Some(row) = incarnation.rows.get_mut(shard) else {
                continue;
            };
            let waiting = row.waiting(files);
            let many = waiting > self.settings.waiting_segments_max;
            if waiting == 0 && files.carries.is_empty() || !(many || due) {
                continue;
            }
            looked = true;
            self.give_up(row)?;
            self.remove(row, files)?;
            if row.waiting(files) > self.settings.waiting_segments_max {
                self.carry(row, files, false)?;
            }
        }
        if looked {
            incarnation.looked_after = Some(Instant::now());
        }
        Ok(())
    }

    /// Lets go of captures whose records say that there was no room for their end. The record is written after the last
    /// frame: who was recorded before the row was read to its end, and has no end in it, has none.
    fn give_up(&self, row: &mut Row) -> Result<(), IngestError> {
        let gone: Vec<u64> = row
            .pending
            .iter()
            .filter(|(_, pending)| pending.given_up)
            .map(|(number, _)| *number)
            .collect();
        for number in gone {
            if let Some(pending) = row.pending.remove(&number) {
                row.release(&pending);
                self.status.dropped.add(1);
            }
        }
        let ids: Vec<RequestId> = row.pending.values().map(|pending| pending.id).collect();
        let fates = self.runtime.block_on(self.store.fates(&ids))?;
        let mut stored = Vec::new();
        for ((number, pending), fate) in row.pending.iter_mut().zip(fates) {
            match fate {
                Fate::Stored => stored.push(*number),
                // Those that are there for hooks alone have records without a capture.
                Fate::Recorded {
                    capture: Capture::Dropped | Capture::Off,
                    ..
                } => pending.given_up = true,
                Fate::Recorded {
                    capture: Capture::Written,
                    ..
                }
                | Fate::Unknown => {}
            }
        }
        for number in stored {
            if let Some(pending) = row.pending.remove(&number) {
                row.release(&pending);
            }
        }
        Ok(())
    }

    fn carry(&mut self, row: &mut Row, files: &Files, all: bool) -> Result<(), IngestError> {
        carry::carry(row, files, all, &self.settings, &mut self.buffer).map_err(|error| match error {
            CarryError::Io(error) => IngestError::Segments(row.directory.clone(), error),
            CarryError::Killed(killed) => killed.into(),
        })
    }

    /// Removes the files that nobody needs any more.
    fn remove(&self, row: &mut Row, files: &Files) -> Result<(), IngestError> {
        for source in row.obsolete(files) {
            let path = row.path(source);
            files::remove(&path).map_err(|e| IngestError::Journal(path, e))?;
            row.forget_file(source);
            self.settings.reached(Step::FramesRemoved)?;
        }
        Ok(())
    }

    /// Moves a damaged segment out of the way, for people. What was read of it is carried first.
    fn put_aside(
        &mut self,
        number: u64,
        row: &mut Row,
        files: &Files,
        segment: u64,
    ) -> Result<(), IngestError> {
        let path = row.path(Source::Segment(segment));
        self.carry(row, files, true)?;
        let folder = self.root.join(DAMAGED);
        let name = path
            .file_stem()
            .unwrap_or_default()
            .to_string_lossy()
            .into_owned();
        let to = folder.join(format!("{}-{name}.damaged-cap", directory_name(number)));
        let fail = |error| IngestError::Journal(path.clone(), error);
        std::fs::create_dir_all(&folder).map_err(fail)?;
        std::fs::rename(&path, &to).map_err(fail)?;
        files::sync_folder(&folder).map_err(fail)?;
        tracing::error!(segment = %path.display(), kept = %to.display(), "damaged segment of captures; the rest of it is skipped");
        row.pass_over(segment);
        self.settings.reached(Step::DamagedMoved)?;
        Ok(())
    }

    /// Ends a dead process's captures: those without an end are stored as far as they go, then the files go.
    fn drain(
        &mut self,
        incarnation: &mut Incarnation,
        now: UnixMicros,
        found: &mut bool,
    ) -> Result<(), IngestError> {
        let mut counted = Counted::default();
        for row in incarnation.rows.values_mut() {
            let pending: Vec<Pending> = std::mem::take(&mut row.pending).into_values().collect();
            let ids: Vec<RequestId> = pending.iter().map(|pending| pending.id).collect();
            let fates = self.runtime.block_on(self.store.fates(&ids))?;
            for (pending, fate) in pending.into_iter().zip(fates) {
                match fate {
                    Fate::Stored => {}
                    // All records are there: it ran when its process died, or its end was damaged.
                    Fate::Unknown
                    | Fate::Recorded {
                        ended: Ended::Aborted,
                        ..
                    }
                    | Fate::Recorded {
                        capture: Capture::Written,
                        ..
                    } => {
                        *found = true;
                        self.store_one(row, &pending, now, &mut counted)?;
                    }
                    Fate::Recorded { .. } => self.status.dropped.add(1),
                }
                if self.appender.is_full() {
                    self.commit(&mut counted)?;
                }
            }
        }
        self.commit(&mut counted)?;
        self.settings.reached(Step::Drained)?;
        incarnation.rows.clear();
        let failed = |error| IngestError::Journal(incarnation.directory.clone(), error);
        // Those that say how captures begin go first, as always.
        let mut left: Vec<String> = names(&incarnation.directory).map_err(failed)?;
        left.retain(|name| is_of_captures(name));
        left.sort_by_key(|name| (name.ends_with(".cap"), name.clone()));
        for name in left {
            files::remove(&incarnation.directory.join(name)).map_err(failed)?;
            self.settings.reached(Step::FramesRemoved)?;
        }
        Ok(())
    }
}

/// Whether anybody wants a capture: it is kept, or somebody is to be told of it.
fn is_wanted(raw: &Raw) -> bool {
    raw.opened.keep || !raw.opened.events.is_empty() && raw.closed.is_some()
}

/// Bytes of captures in a directory.
fn bytes_in(directory: &Path) -> u64 {
    let names = names(directory).unwrap_or_default();
    let bytes = names
        .iter()
        .filter(|name| is_of_captures(name))
        .map(|name| std::fs::metadata(directory.join(name)).map_or(0, |metadata| metadata.len()));
    bytes.fold(0, u64::saturating_add)
}

/// Now, by the clock of this host.
pub(super) fn now() -> UnixMicros {
    let since = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH);
    UnixMicros(since.map_or(0, |since| u64::try_from(since.as_micros()).unwrap_or(u64::MAX)))
}
