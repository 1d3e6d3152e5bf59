//! The journal of one data plane process: a row of segments for each shard, and its in-flight tables.

use std::collections::{BTreeMap, BTreeSet};
use std::fs::File;
use std::io;
use std::path::{Path, PathBuf};
use std::time::Instant;

use sluice_shared::ids::ShardId;
use sluice_shared::usage::UsageRecord;
use sluice_shared::wire::inflight;
use sluice_shared::wire::journal::{Entry, SEGMENT_HEADER_BYTES, SegmentHeader};

use super::segment::{self, Header, Stop};
use super::status::Status;
use super::{Settings, names, number_of};
use crate::lock::FileLock;
use crate::store::{Amend, Batch, Cursor};

/// What a look at an incarnation came to.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Progress {
    /// The batch is full.
    More,
    /// Everything published is read, and more may come.
    Waiting,
    /// Everything is read, and nothing more can come.
    Exhausted,
    /// This segment is damaged where the cursor stands, and its shard has gone on.
    Damaged(PathBuf),
}

/// A directory of the journal.
pub(super) struct Incarnation {
    number: u64,
    pub(super) directory: PathBuf,
    rows: BTreeMap<u16, Row>,
    /// Held once the process is dead, so that nobody else does this work.
    dead: Option<FileLock>,
    probed: Option<Instant>,
    /// Segments that are read to their end, to be deleted after the next commit.
    obsolete: Vec<PathBuf>,
}

/// A shard's row of segments.
struct Row {
    segment: u64,
    offset: u64,
    /// The present segment, with a good header.
    file: Option<File>,
    /// Said once in the log.
    damage_known: bool,
}

/// What in-flight tables leave.
#[derive(Debug, Default)]
pub(super) struct Recovery {
    pub(super) records: Vec<UsageRecord>,
    /// Occupied slots that cannot be read.
    pub(super) damaged: u64,
}

/// What a look at a row came to.
enum RowProgress {
    Full,
    Waiting,
    Exhausted,
    Damaged(PathBuf),
}

impl Incarnation {
    pub(super) fn new(number: u64, directory: PathBuf, cursors: &[Cursor]) -> Self {
        let row = |c: &Cursor| (c.shard.0, Row::at(c.segment, c.offset));
        Self {
            number,
            directory,
            rows: cursors.iter().map(row).collect(),
            dead: None,
            probed: None,
            obsolete: Vec::new(),
        }
    }

    /// Looks whether the process is dead.
    pub(super) fn probe(&mut self, settings: &Settings) -> io::Result<()> {
        let now = Instant::now();
        let soon = self
            .probed
            .is_some_and(|at| now.duration_since(at) < settings.probe);
        if self.dead.is_some() || soon {
            return Ok(());
        }
        self.probed = Some(now);
        let path = self.directory.join("lock");
        // A directory appears under its number with its lock held: a free lock means a dead owner.
        self.dead = match FileLock::take_existing(&path) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => FileLock::take(&path)?,
            other => other?,
        };
        Ok(())
    }

    /// Reads into a batch, at most `room` entries. Cursors of rows that moved go with it.
    pub(super) fn read(
        &mut self,
        batch: &mut Batch,
        room: usize,
        buffer: &mut [u8],
        status: &Status,
    ) -> io::Result<Progress> {
        let files = Segments::list(&self.directory)?;
        for (shard, numbers) in &files.rows {
            let Some(first) = numbers.first() else { continue };
            self.rows
                .entry(*shard)
                .or_insert_with(|| Row::at(*first, SEGMENT_HEADER_BYTES as u64));
        }
        let dead = self.dead.is_some();
        let mut progress = if dead {
            Progress::Exhausted
        } else {
            Progress::Waiting
        };
        for (shard, row) in &mut self.rows {
            let before = (row.segment, row.offset);
            let mut look = Look {
                directory: &self.directory,
                incarnation: self.number,
                shard: *shard,
                numbers: files.rows.get(shard),
                dead,
                status,
                obsolete: &mut self.obsolete,
            };
            let came_to = look.read(row, batch, room, buffer)?;
            if (row.segment, row.offset) != before {
                batch.cursors.push(Cursor {
                    incarnation: self.number,
                    shard: ShardId(*shard),
                    segment: row.segment,
                    offset: row.offset,
                });
            }
            match came_to {
                RowProgress::Full => return Ok(Progress::More),
                // What was read before the damage is stored first.
                RowProgress::Damaged(_) if !batch.is_empty() => return Ok(Progress::More),
                RowProgress::Damaged(path) => return Ok(Progress::Damaged(path)),
                RowProgress::Waiting => progress = Progress::Waiting,
                RowProgress::Exhausted => {}
            }
        }
        Ok(progress)
    }

    /// Segments that may go, now that the batch they were read into is stored.
    pub(super) fn take_obsolete(&mut self) -> Vec<PathBuf> {
        std::mem::take(&mut self.obsolete)
    }

    /// What the process was doing when it died.
    pub(super) fn recover(&self) -> io::Result<Recovery> {
        let mut out = Recovery::default();
        let mut slot = vec![0; inflight::SLOT_BYTES];
        for name in names(&self.directory)? {
            if !name.ends_with(".inflight") {
                continue;
            }
            let file = File::open(self.directory.join(&name))?;
            let mut at = 0;
            while segment::read_full(&file, &mut slot, at)? == slot.len() {
                at = at.saturating_add(slot.len() as u64);
                match inflight::recover(&slot) {
                    Some(record) => out.records.push(record),
                    None if slot.get(..4) != Some(&inflight::FREE.to_le_bytes()) => out.damaged += 1,
                    None => {}
                }
            }
        }
        Ok(out)
    }
}

impl Row {
    const fn at(segment: u64, offset: u64) -> Self {
        Self {
            segment,
            offset,
            file: None,
            damage_known: false,
        }
    }

    fn move_to(&mut self, segment: u64) {
        *self = Self::at(segment, SEGMENT_HEADER_BYTES as u64);
    }
}

/// One look at one row.
struct Look<'a> {
    directory: &'a Path,
    incarnation: u64,
    shard: u16,
    numbers: Option<&'a BTreeSet<u64>>,
    dead: bool,
    status: &'a Status,
    obsolete: &'a mut Vec<PathBuf>,
}

impl Look<'_> {
    fn read(
        &mut self,
        row: &mut Row,
        batch: &mut Batch,
        room: usize,
        buffer: &mut [u8],
    ) -> io::Result<RowProgress> {
        // Left over from a kill between commit and removal.
        for number in self
            .numbers
            .into_iter()
            .flatten()
            .take_while(|number| **number < row.segment)
        {
            self.obsolete.push(self.path(*number));
        }
        loop {
            if batch.records.len() + batch.amends.len() >= room {
                return Ok(RowProgress::Full);
            }
            let Some(present) = self.present(row) else {
                return Ok(self.at_rest());
            };
            let path = self.path(present);
            if row.file.is_none() {
                let file = File::open(&path)?;
                let expected = SegmentHeader {
                    incarnation: self.incarnation,
                    shard: ShardId(self.shard),
                    number: present,
                };
                match segment::check(&file, expected)? {
                    Header::Good => row.file = Some(file),
                    Header::Missing if self.dead && self.next(present).is_some() => {
                        self.obsolete.push(path);
                        row.move_to(present + 1);
                        continue;
                    }
                    Header::Missing => return Ok(self.at_rest()),
                    Header::Damaged => return self.damaged(row, present, path),
                }
            }
            let Some(file) = &row.file else {
                return Ok(RowProgress::Waiting);
            };
            let stop = segment::read(file, &mut row.offset, buffer, |entry| {
                match entry {
                    Entry::Usage(record) => batch.records.push(*record),
                    Entry::Amend {
                        request_id,
                        ended,
                        duration_us,
                    } => {
                        batch.amends.push(Amend {
                            request_id,
                            ended,
                            duration_us,
                        });
                    }
                }
                batch.records.len() + batch.amends.len() < room
            })?;
            match stop {
                Stop::Enough => return Ok(RowProgress::Full),
                // A dead process wrote nothing behind a gap, except in a segment that it had gone on to.
                Stop::Empty if self.dead && self.next(present).is_some() => {}
                Stop::EndOfFile if self.goes_on(present)? => {}
                Stop::Empty | Stop::EndOfFile => return Ok(self.at_rest()),
                Stop::End => {}
                Stop::Damaged => return self.damaged(row, present, path),
            }
            self.obsolete.push(path);
            row.move_to(present + 1);
        }
    }

    /// The segment to read: the one that the cursor names, or, if that is gone, the next that is there.
    fn present(&self, row: &mut Row) -> Option<u64> {
        let numbers = self.numbers?;
        if row.file.is_some() || numbers.contains(&row.segment) {
            return Some(row.segment);
        }
        let next = *numbers.range(row.segment..).next()?;
        row.move_to(next);
        Some(next)
    }

    fn next(&self, present: u64) -> Option<u64> {
        self.numbers?.range(present + 1..).next().copied()
    }

    const fn at_rest(&self) -> RowProgress {
        if self.dead {
            RowProgress::Exhausted
        } else {
            RowProgress::Waiting
        }
    }

    /// A damaged segment is left alone until its shard writes to the next one: what it still writes there is kept.
    fn damaged(&self, row: &mut Row, present: u64, path: PathBuf) -> io::Result<RowProgress> {
        if !std::mem::replace(&mut row.damage_known, true) {
            tracing::error!(segment = %path.display(), offset = row.offset, "damaged journal record");
            self.status.damaged(1);
        }
        let gone_on = self.dead || self.goes_on(present)?;
        Ok(if gone_on {
            RowProgress::Damaged(path)
        } else {
            RowProgress::Waiting
        })
    }

    /// Whether the shard has written to a later segment. That one exists says nothing: it is made in advance.
    fn goes_on(&self, present: u64) -> io::Result<bool> {
        self.next(present)
            .map_or(Ok(false), |next| segment::is_begun(&self.path(next)))
    }

    fn path(&self, number: u64) -> PathBuf {
        self.directory.join(format!("{:03}-{number:08}.seg", self.shard))
    }
}

/// The segment files of a directory.
struct Segments {
    rows: BTreeMap<u16, BTreeSet<u64>>,
}

impl Segments {
    fn list(directory: &Path) -> io::Result<Self> {
        let mut rows: BTreeMap<u16, BTreeSet<u64>> = BTreeMap::new();
        for name in names(directory)? {
            let Some((shard, number)) = name.strip_suffix(".seg").and_then(|stem| stem.split_once('-'))
            else {
                continue;
            };
            let digits = shard.len() >= 3 && shard.bytes().all(|b| b.is_ascii_digit());
            if let (Some(shard), Some(number)) = (shard.parse().ok().filter(|_| digits), number_of(number)) {
                rows.entry(shard).or_default().insert(number);
            }
        }
        Ok(Self { rows })
    }
}
