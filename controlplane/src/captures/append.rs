//! Adding captures to segments: entries first, synced, then the index.

use std::fs::{File, OpenOptions};
use std::io;
use std::os::unix::fs::{DirBuilderExt as _, FileExt as _, OpenOptionsExt as _};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use sluice_shared::units::UnixMicros;
use tokio::runtime::Handle;

use super::assemble::Assembled;
use super::format::{HEADER_BYTES, Packer, SegmentHeader};
use super::ingest::IngestError;
use super::{Settings, Step, file_name, file_number, folder};
use crate::files;
use crate::store::Store;
use crate::store::captures::{CaptureBatch, Reach, SegmentRow, SegmentState};

/// The segments that are added to: one for what is kept, one for what is there for hooks alone.
pub(super) struct Appender {
    folder: PathBuf,
    store: Arc<dyn Store>,
    runtime: Handle,
    settings: Settings,
    packer: Packer,
    open: [Option<Open>; 2],
    batch: CaptureBatch,
    batch_bytes: u64,
    ready: bool,
}

/// A segment that is added to.
struct Open {
    number: u64,
    file: File,
    opened: UnixMicros,
    /// Where the next entry goes.
    end: u64,
    /// How far the index knows it.
    committed: u64,
    captures: u64,
}

impl Open {
    fn is_due(&self, settings: &Settings, now: UnixMicros) -> bool {
        let old = now.0.saturating_sub(self.opened.0) >= settings.roll_us;
        self.captures > 0 && (self.committed >= settings.roll_bytes || old)
    }
}

impl Appender {
    pub(super) fn new(
        data: &Path,
        store: Arc<dyn Store>,
        runtime: Handle,
        settings: Settings,
    ) -> io::Result<Self> {
        Ok(Self {
            folder: folder(data),
            store,
            runtime,
            settings,
            packer: Packer::new()?,
            open: [None, None],
            batch: CaptureBatch::default(),
            batch_bytes: 0,
            ready: false,
        })
    }

    /// Forgets what is not committed; the next use begins with what the index says.
    pub(super) fn reset(&mut self) {
        self.open = [None, None];
        self.batch = CaptureBatch::default();
        self.batch_bytes = 0;
        self.ready = false;
    }

    /// Brings files in line with the index: what it does not know goes.
    pub(super) fn prepare(&mut self) -> Result<(), IngestError> {
        if self.ready {
            return Ok(());
        }
        std::fs::DirBuilder::new()
            .recursive(true)
            .mode(0o700)
            .create(&self.folder)
            .map_err(|error| self.failed(error))?;
        let rows = self.runtime.block_on(self.store.segments())?;
        let entries = std::fs::read_dir(&self.folder).map_err(|error| self.failed(error))?;
        for entry in entries {
            let name = entry.map_err(|error| self.failed(error))?.file_name();
            let Some(number) = name.to_str().and_then(file_number) else {
                continue;
            };
            let row = rows.iter().find(|row| row.number == number);
            // Doomed ones are the business of who purges.
            if row.is_none_or(|row| row.state == SegmentState::Gone) {
                files::remove(&self.folder.join(name)).map_err(|error| self.failed(error))?;
            }
        }
        for row in rows.iter().filter(|row| row.state == SegmentState::Open) {
            self.take_up(row)?;
        }
        self.ready = true;
        Ok(())
    }

    /// Goes on with an open segment. One that cannot be gone on with is closed as it is.
    fn take_up(&mut self, row: &SegmentRow) -> Result<(), IngestError> {
        let path = self.folder.join(file_name(row.number));
        let place = usize::from(row.kept);
        let known = row.bytes.max(HEADER_BYTES as u64);
        let file = OpenOptions::new().read(true).write(true).open(&path);
        let file = match file {
            Ok(file) => file,
            Err(error) if error.kind() == io::ErrorKind::NotFound && row.captures == 0 => {
                self.make(&path, row.number, row.kept, row.opened)?
            }
            Err(error) if error.kind() == io::ErrorKind::NotFound => {
                tracing::error!(segment = %path.display(), captures = row.captures, "a segment of captures is missing");
                self.set(row.number, SegmentState::Sealed)?;
                return Ok(());
            }
            Err(error) => return Err(self.failed(error)),
        };
        let length = file.metadata().map_err(|error| self.failed(error))?.len();
        let taken = self.open.get(place).is_some_and(Option::is_some);
        let mut header = [0; HEADER_BYTES];
        let headed = file.read_exact_at(&mut header, 0).is_ok()
            && SegmentHeader::decode(&header).is_some_and(|header| header.number == row.number);
        let whole = row.captures == 0 || length >= known && headed;
        if !whole || taken {
            if !whole {
                tracing::error!(segment = %path.display(), length, known, headed, "a segment of captures is not what its index says; it is closed as it is");
            }
            self.set(row.number, SegmentState::Sealed)?;
            return Ok(());
        }
        let cut = file.set_len(known).and_then(|()| {
            if row.captures > 0 {
                return Ok(());
            }
            let header = SegmentHeader {
                number: row.number,
                kept: row.kept,
                opened: row.opened,
            };
            file.write_all_at(&header.encode(), 0)
        });
        cut.map_err(|error| self.failed(error))?;
        if let Some(open) = self.open.get_mut(place) {
            *open = Some(Open {
                number: row.number,
                file,
                opened: row.opened,
                end: known,
                committed: known,
                captures: row.captures,
            });
        }
        Ok(())
    }

    /// Adds a capture; it is not there before [`Self::commit`].
    pub(super) fn add(&mut self, capture: Assembled, now: UnixMicros) -> Result<(), IngestError> {
        self.prepare()?;
        let Assembled { mut row, parts } = capture;
        let [head, request, answer, assembled] = &parts;
        let entry = self
            .packer
            .pack(
                row.request_id,
                row.time,
                row.api,
                [head, request, answer, assembled],
            )
            .map_err(|error| self.failed(error))?;
        let place = usize::from(row.kept);
        if self.open.get(place).is_none_or(Option::is_none) {
            self.begin(row.kept, now)?;
        }
        let folder = &self.folder;
        let Some(open) = self.open.get_mut(place).and_then(Option::as_mut) else {
            return Ok(());
        };
        let failed = |error| IngestError::Segments(folder.join(file_name(open.number)), error);
        open.file.write_all_at(&entry, open.end).map_err(failed)?;
        self.settings.reached(Step::Appended)?;
        (row.segment, row.number) = (open.number, open.captures);
        (row.offset, row.length) = (open.end, entry.len() as u64);
        open.end = open.end.saturating_add(entry.len() as u64);
        open.captures += 1;
        self.batch_bytes = self.batch_bytes.saturating_add(entry.len() as u64);
        self.batch.captures.push(row);
        Ok(())
    }

    /// Whether it is time to commit.
    pub(super) fn is_full(&self) -> bool {
        self.batch.captures.len() >= self.settings.batch_captures
            || self.batch_bytes >= self.settings.batch_bytes
    }

    /// Makes what was added part of the store. Returns how many captures and tool calls that are.
    pub(super) fn commit(&mut self) -> Result<(), IngestError> {
        if self.batch.captures.is_empty() {
            return Ok(());
        }
        let folder = &self.folder;
        for open in self
            .open
            .iter_mut()
            .flatten()
            .filter(|open| open.end > open.committed)
        {
            let failed = |error| IngestError::Segments(folder.join(file_name(open.number)), error);
            open.file.sync_data().map_err(failed)?;
            self.batch.reaches.push(Reach {
                segment: open.number,
                bytes: open.end,
            });
        }
        self.settings.reached(Step::Synced)?;
        self.batch.now = super::ingest::now();
        self.runtime.block_on(self.store.add_captures(&self.batch))?;
        self.batch = CaptureBatch::default();
        self.batch_bytes = 0;
        self.settings.reached(Step::Committed)?;
        for open in self.open.iter_mut().flatten() {
            open.committed = open.end;
        }
        Ok(())
    }

    /// Whether a segment is large or old enough to be closed.
    pub(super) fn is_due(&self, now: UnixMicros) -> bool {
        self.open
            .iter()
            .flatten()
            .any(|open| open.is_due(&self.settings, now))
    }

    /// Closes segments that are large or old enough; nothing may wait for a commit.
    pub(super) fn roll(&mut self, now: UnixMicros) -> Result<(), IngestError> {
        for place in 0..self.open.len() {
            let open = self.open.get(place).and_then(Option::as_ref);
            if !open.is_some_and(|open| open.is_due(&self.settings, now)) {
                continue;
            }
            if let Some(open) = self.open.get_mut(place).and_then(Option::take) {
                self.set(open.number, SegmentState::Sealed)?;
                self.settings.reached(Step::Sealed)?;
            }
        }
        Ok(())
    }

    fn begin(&mut self, kept: bool, now: UnixMicros) -> Result<(), IngestError> {
        let number = self.runtime.block_on(self.store.open_segment(kept, now))?;
        self.settings.reached(Step::SegmentOpened)?;
        let path = self.folder.join(file_name(number));
        let file = self.make(&path, number, kept, now)?;
        self.settings.reached(Step::FileMade)?;
        if let Some(open) = self.open.get_mut(usize::from(kept)) {
            *open = Some(Open {
                number,
                file,
                opened: now,
                end: HEADER_BYTES as u64,
                committed: HEADER_BYTES as u64,
                captures: 0,
            });
        }
        Ok(())
    }

    fn make(&self, path: &Path, number: u64, kept: bool, opened: UnixMicros) -> Result<File, IngestError> {
        let header = SegmentHeader { number, kept, opened };
        let make = || {
            let file = OpenOptions::new()
                .read(true)
                .write(true)
                .create(true)
                .truncate(true)
                .mode(0o600)
                .open(path)?;
            file.write_all_at(&header.encode(), 0)?;
            files::sync_folder(&self.folder)?;
            Ok(file)
        };
        make().map_err(|error| IngestError::Segments(path.to_owned(), error))
    }

    fn set(&self, number: u64, state: SegmentState) -> Result<(), IngestError> {
        Ok(self
            .runtime
            .block_on(self.store.set_segment(number, state, None))?)
    }

    fn failed(&self, error: io::Error) -> IngestError {
        IngestError::Segments(self.folder.clone(), error)
    }
}
