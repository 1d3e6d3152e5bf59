//! One shard's row of segments: which frames belong to which capture.
//!
//! Bodies stay in their files; what is remembered of a frame is where it is. A segment may go when it is complete, no
//! capture without an end has frames in it, and all segments before it are gone. So the first frame of a capture, which
//! names the request, goes first: frames without one belong to a capture that is let go of already.

use std::collections::{BTreeMap, BTreeSet};
use std::fs::File;
use std::io;
use std::path::{Path, PathBuf};

use sluice_shared::ids::{RequestId, ShardId};
use sluice_shared::wire::capture::{AnswerHead, Closed, Frame, Kind, Opened, SegmentHeader, Slot, decode};
use sluice_shared::wire::journal::SEGMENT_HEADER_BYTES;

use super::frames::{self, Header, Stop};
use crate::captures::assemble::{BODY_BYTES_MAX, Raw};
use crate::captures::status::Status;

/// A file that frames are in: carried ones come before those of segments.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Source {
    Carry(u64),
    Segment(u64),
}

/// Where a frame is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Place {
    pub(super) source: Source,
    pub(super) at: u64,
    pub(super) length: u32,
    pub(super) kind: Kind,
}

/// A capture that is not stored yet.
#[derive(Debug)]
pub(super) struct Pending {
    pub(super) id: RequestId,
    pub(super) places: Vec<Place>,
    /// Its record says that it was given up.
    pub(super) given_up: bool,
}

impl Pending {
    /// Files that its frames are in, each once.
    pub(super) fn sources(&self) -> impl Iterator<Item = Source> {
        let mut last = None;
        self.places.iter().filter_map(move |place| {
            let new = last != Some(place.source);
            last = Some(place.source);
            new.then_some(place.source)
        })
    }
}

/// What a look at a row came to.
pub(super) enum RowProgress {
    /// There are ends enough to store.
    Full,
    /// Everything published is read, and more may come.
    Waiting,
    /// Everything is read, and nothing more can come.
    Exhausted,
    /// This segment is damaged where the row stands, and its shard has gone on.
    Damaged(u64),
}

/// A shard's row.
pub(super) struct Row {
    pub(super) directory: PathBuf,
    incarnation: u64,
    pub(super) shard: u16,
    /// The segment that is read; those before are complete.
    pub(super) segment: u64,
    pub(super) offset: u64,
    begun: bool,
    carries_read: bool,
    damage_known: bool,
    pub(super) pending: BTreeMap<u64, Pending>,
    /// Of these, those whose end was read, in order.
    pub(super) ready: Vec<u64>,
    /// How many captures have frames in a file.
    pub(super) waits: BTreeMap<Source, usize>,
    /// Frames that are remembered.
    pub(super) frames: usize,
    /// Requests whose capture ends and has no beginning.
    pub(super) headless: Vec<RequestId>,
    /// Number of the next carried file.
    pub(super) next_carry: u64,
    /// Frames that were left when frames were carried last.
    pub(super) carried_frames: usize,
    files: BTreeMap<Source, File>,
}

/// The files of a row that are there.
#[derive(Debug, Default)]
pub(super) struct Files {
    pub(super) segments: BTreeSet<u64>,
    pub(super) carries: BTreeSet<u64>,
}

impl Row {
    pub(super) const fn new(directory: PathBuf, incarnation: u64, shard: u16) -> Self {
        Self {
            directory,
            incarnation,
            shard,
            segment: 0,
            offset: SEGMENT_HEADER_BYTES as u64,
            begun: false,
            carries_read: false,
            damage_known: false,
            pending: BTreeMap::new(),
            ready: Vec::new(),
            waits: BTreeMap::new(),
            frames: 0,
            headless: Vec::new(),
            next_carry: 0,
            carried_frames: 0,
            files: BTreeMap::new(),
        }
    }

    pub(super) fn path(&self, source: Source) -> PathBuf {
        let name = match source {
            Source::Carry(number) => format!("{:03}-{number:08}.carry", self.shard),
            Source::Segment(number) => format!("{:03}-{number:08}.cap", self.shard),
        };
        self.directory.join(name)
    }

    pub(super) const fn header(&self, number: u64) -> SegmentHeader {
        SegmentHeader {
            incarnation: self.incarnation,
            shard: ShardId(self.shard),
            number,
        }
    }

    /// Reads until `room` captures are ready, `frames_max` frames are remembered, or all that is there is read.
    pub(super) fn read(
        &mut self,
        files: &Files,
        room: usize,
        frames_max: usize,
        dead: bool,
        buffer: &mut [u8],
        status: &Status,
    ) -> io::Result<RowProgress> {
        if !self.carries_read {
            self.read_carries(files, buffer, status)?;
        }
        let at_rest = if dead {
            RowProgress::Exhausted
        } else {
            RowProgress::Waiting
        };
        loop {
            if self.ready.len() >= room || self.frames >= frames_max {
                return Ok(RowProgress::Full);
            }
            if !files.segments.contains(&self.segment) {
                let Some(next) = files.segments.range(self.segment..).next() else {
                    return Ok(at_rest);
                };
                self.move_to(*next);
            }
            let present = self.segment;
            let source = Source::Segment(present);
            let next = files.segments.range(present + 1..).next().copied();
            let path = self.path(source);
            if !self.begun {
                let file = File::open(&path)?;
                match frames::check(&file, self.header(present))? {
                    Header::Good => self.begun = true,
                    Header::Missing => match next {
                        Some(next) if dead => {
                            self.move_to(next);
                            continue;
                        }
                        _ => return Ok(at_rest),
                    },
                    Header::Damaged => return self.damaged(present, next, dead, status),
                }
                self.files.insert(source, file);
            }
            let file = self.open_file(source)?;
            let mut offset = self.offset;
            let stop = frames::read(&file, &mut offset, buffer, |at, length, frame| {
                self.take(source, at, length, frame, status);
                self.ready.len() < room && self.frames < frames_max
            })?;
            self.files.insert(source, file);
            self.offset = offset;
            let goes_on = |next: Option<u64>| match next {
                Some(next) => frames::is_begun(&self.path(Source::Segment(next))),
                None => Ok(false),
            };
            match (stop, next) {
                (Stop::Enough, _) => return Ok(RowProgress::Full),
                // A dead process wrote nothing behind a gap, except in a segment that it had gone on to.
                (Stop::Empty, Some(next)) if dead => self.move_to(next),
                (Stop::EndOfFile, Some(number)) if dead || goes_on(next)? => self.move_to(number),
                (Stop::Empty | Stop::EndOfFile, _) => return Ok(at_rest),
                (Stop::End, _) => self.move_to(present + 1),
                (Stop::Damaged, _) => return self.damaged(present, next, dead, status),
            }
        }
    }

    /// Reads what was carried by a process before this one.
    fn read_carries(&mut self, files: &Files, buffer: &mut [u8], status: &Status) -> io::Result<()> {
        for number in &files.carries {
            let source = Source::Carry(*number);
            let file = File::open(self.path(source))?;
            let mut offset = SEGMENT_HEADER_BYTES as u64;
            let well = frames::check(&file, self.header(*number))? == Header::Good;
            let stop = frames::read(&file, &mut offset, buffer, |at, length, frame| {
                self.take(source, at, length, frame, status);
                true
            })?;
            if !well || !matches!(stop, Stop::EndOfFile | Stop::Empty) {
                tracing::error!(carry = %self.path(source).display(), offset, "damaged frames of captures");
                status.damaged.add(1);
            }
            self.files.insert(source, file);
            // It is there, whoever has frames in it.
            self.waits.entry(source).or_insert(0);
        }
        self.carries_read = true;
        Ok(())
    }

    /// Notes a frame.
    fn take(&mut self, source: Source, at: u64, length: usize, frame: &Frame<'_>, status: &Status) {
        let place = Place {
            source,
            at,
            length: u32::try_from(length).unwrap_or(u32::MAX),
            kind: frame.kind,
        };
        if frame.kind == Kind::Open {
            match frame.opened() {
                // Carried, and still in its segment.
                _ if self.pending.contains_key(&frame.number) => {}
                Some(opened) => {
                    let pending = Pending {
                        id: opened.request_id,
                        places: vec![place],
                        given_up: false,
                    };
                    self.frames += 1;
                    *self.waits.entry(source).or_insert(0) += 1;
                    self.pending.insert(frame.number, pending);
                }
                None => status.lost.add(1),
            }
            return;
        }
        let Some(pending) = self.pending.get_mut(&frame.number) else {
            if frame.kind == Kind::Close {
                self.headless
                    .extend(frame.closed().map(|closed| closed.record.request_id));
            }
            return;
        };
        if pending.places.last().is_some_and(|last| last.source != source) {
            *self.waits.entry(source).or_insert(0) += 1;
        }
        pending.places.push(place);
        self.frames += 1;
        if frame.kind == Kind::Close && !self.ready.contains(&frame.number) {
            self.ready.push(frame.number);
        }
    }

    fn move_to(&mut self, segment: u64) {
        self.segment = segment;
        self.offset = SEGMENT_HEADER_BYTES as u64;
        self.begun = false;
        self.damage_known = false;
    }

    /// A damaged segment is left alone until its shard writes to the next one.
    fn damaged(
        &mut self,
        present: u64,
        next: Option<u64>,
        dead: bool,
        status: &Status,
    ) -> io::Result<RowProgress> {
        if !std::mem::replace(&mut self.damage_known, true) {
            let path = self.path(Source::Segment(present));
            tracing::error!(segment = %path.display(), offset = self.offset, "damaged frame of a capture");
            status.damaged.add(1);
        }
        let gone_on = match next {
            _ if dead => true,
            Some(next) => frames::is_begun(&self.path(Source::Segment(next)))?,
            None => false,
        };
        Ok(if gone_on {
            RowProgress::Damaged(present)
        } else {
            RowProgress::Waiting
        })
    }

    /// Goes on behind a segment that cannot be read.
    pub(super) fn pass_over(&mut self, segment: u64) {
        self.files.remove(&Source::Segment(segment));
        self.move_to(segment.saturating_add(1));
    }

    fn open_file(&mut self, source: Source) -> io::Result<File> {
        match self.files.remove(&source) {
            Some(file) => Ok(file),
            None => File::open(self.path(source)),
        }
    }

    /// Reads one frame again.
    pub(super) fn frame<'b>(&mut self, place: Place, buffer: &'b mut [u8]) -> io::Result<Option<Frame<'b>>> {
        let file = self.open_file(place.source)?;
        let length = usize::try_from(place.length).unwrap_or(usize::MAX);
        let Some(wanted) = buffer.get_mut(..length) else {
            return Ok(None);
        };
        let filled = frames::read_full(&file, wanted, place.at);
        self.files.insert(place.source, file);
        if filled? < length {
            return Ok(None);
        }
        Ok(match decode(wanted) {
            Slot::Frame(frame, _) => Some(frame),
            _ => None,
        })
    }

    /// Reads all frames of a capture again. `None`: its beginning is damaged.
    pub(super) fn gather(&mut self, pending: &Pending, buffer: &mut [u8]) -> io::Result<Option<Raw>> {
        let (mut opened, mut closed) = (None::<Opened>, None::<Closed>);
        let mut answer_head = None::<AnswerHead>;
        let (mut request, mut answer) = (Vec::new(), Vec::new());
        for place in &pending.places {
            let Some(frame) = self.frame(*place, buffer)? else {
                continue;
            };
            match frame.kind {
                Kind::Open => opened = opened.or_else(|| frame.opened()),
                Kind::AnswerHead => answer_head = answer_head.or_else(|| frame.answer_head()),
                Kind::Close => closed = closed.or_else(|| frame.closed()),
                Kind::RequestBody => put(&mut request, frame.piece()),
                Kind::AnswerBody => put(&mut answer, frame.piece()),
            }
        }
        Ok(opened.map(|opened| Raw {
            opened,
            request,
            answer_head,
            answer,
            closed,
        }))
    }

    /// Nobody needs the frames of a capture any more.
    pub(super) fn release(&mut self, pending: &Pending) {
        self.frames = self.frames.saturating_sub(pending.places.len());
        for source in pending.sources() {
            if let Some(waits) = self.waits.get_mut(&source) {
                *waits = waits.saturating_sub(1);
            }
        }
    }

    /// Files that may go, in the order in which they must.
    pub(super) fn obsolete(&self, files: &Files) -> Vec<Source> {
        let carries = files.carries.iter().map(|number| Source::Carry(*number));
        let carries = carries.filter(|source| !self.is_waited_for(*source));
        let complete = files
            .segments
            .range(..self.segment)
            .map(|number| Source::Segment(*number));
        let complete = complete.take_while(|source| !self.is_waited_for(*source));
        carries.chain(complete).collect()
    }

    /// Complete segments that cannot go.
    pub(super) fn waiting(&self, files: &Files) -> usize {
        let complete = files.segments.range(..self.segment);
        complete
            .skip_while(|number| !self.is_waited_for(Source::Segment(**number)))
            .count()
    }

    fn is_waited_for(&self, source: Source) -> bool {
        self.waits.get(&source).is_some_and(|waits| *waits > 0)
    }

    pub(super) fn forget_file(&mut self, source: Source) {
        self.files.remove(&source);
        self.waits.remove(&source);
    }
}

/// Puts a piece where it belongs; what is there already stays, and behind a gap nothing is put.
fn put(body: &mut Vec<u8>, piece: Option<(u64, &[u8])>) {
    let Some((offset, bytes)) = piece else { return };
    let length = body.len() as u64;
    let Some(known) = length
        .checked_sub(offset)
        .and_then(|known| usize::try_from(known).ok())
    else {
        return;
    };
    let new = bytes.get(known..).unwrap_or_default();
    if body.len().saturating_add(new.len()) <= BODY_BYTES_MAX {
        body.extend_from_slice(new);
    }
}

impl Files {
    /// The files of every row of a directory.
    pub(super) fn list(directory: &Path) -> io::Result<BTreeMap<u16, Self>> {
        let mut rows: BTreeMap<u16, Self> = BTreeMap::new();
        for name in crate::ingest::names(directory)? {
            let parsed = name.rsplit_once('.').and_then(|(stem, end)| {
                let (shard, number) = stem.split_once('-')?;
                let digits = shard.len() >= 3 && shard.bytes().all(|b| b.is_ascii_digit());
                let shard: u16 = shard.parse().ok().filter(|_| digits)?;
                Some((shard, crate::ingest::number_of(number)?, end))
            });
            match parsed {
                Some((shard, number, "cap")) => {
                    rows.entry(shard).or_default().segments.insert(number);
                }
                Some((shard, number, "carry")) => {
                    rows.entry(shard).or_default().carries.insert(number);
                }
                _ => {}
            }
        }
        Ok(rows)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pieces_count_once_and_nothing_stands_behind_a_gap() {
        let check = |pieces: &[(u64, &str)], expected: &str| {
            let mut body = Vec::new();
            for (offset, bytes) in pieces {
                put(&mut body, Some((*offset, bytes.as_bytes())));
            }
            assert_eq!(String::from_utf8(body).unwrap(), expected, "{pieces:?}");
        };
        check(&[(0, "abc"), (3, "def")], "abcdef");
        check(&[(0, "abc"), (0, "abc"), (3, "def"), (1, "bc")], "abcdef");
        check(&[(0, "abcd"), (2, "cdef")], "abcdef");
        check(&[(0, "abc"), (4, "e"), (3, "d")], "abcd");
        check(&[(1, "b")], "");
        check(&[(u64::MAX, "b"), (0, "a")], "a");
    }
}
