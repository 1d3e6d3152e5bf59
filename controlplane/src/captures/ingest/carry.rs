//! Carrying: the frames of captures that have no end yet move into a file of their own, so that the segments around them can
//! go. Pieces of a body that follow each other become one: an answer of a thousand small reads is a few frames then.
//!
//! The new file is synced and named before the segments go. Killed in between, frames are there twice; pieces bear offsets and
//! count once.

use std::fs::{File, OpenOptions};
use std::io::{self, BufWriter, Write as _};
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::Path;

use sluice_shared::wire::capture::{Kind, OFFSET_BYTES, PAYLOAD_BYTES_MAX, frame_tail, tag};
use sluice_shared::wire::journal::{SEGMENT_HEADER_BYTES, record_bytes};

use super::row::{Files, Place, Row, Source};
use crate::captures::{Killed, Settings, Step};
use crate::files;

/// Carried files of a row, above which they become one.
const CARRIES_MAX: usize = 4;

/// Why frames were not carried.
pub(super) enum CarryError {
    Io(io::Error),
    Killed(Killed),
}

impl From<io::Error> for CarryError {
    fn from(error: io::Error) -> Self {
        Self::Io(error)
    }
}

impl From<Killed> for CarryError {
    fn from(killed: Killed) -> Self {
        Self::Killed(killed)
    }
}

/// Moves the frames of all captures without an end out of complete segments, and with `all` out of the present one.
pub(super) fn carry(
    row: &mut Row,
    files: &Files,
    all: bool,
    settings: &Settings,
    buffer: &mut [u8],
) -> Result<(), CarryError> {
    let present = row.segment;
    let merge = files.carries.len() >= CARRIES_MAX;
    let moves = move |source: Source| match source {
        Source::Carry(_) => merge || all,
        Source::Segment(number) => all || number < present,
    };
    let above = files.carries.last().map_or(0, |last| last.saturating_add(1));
    // What was listed may be older than the last carry.
    let number = above.max(row.next_carry);
    let source = Source::Carry(number);
    let path = row.path(source);
    let draft = path.with_extension("carry-draft");
    files::remove(&draft)?;
    let file = OpenOptions::new()
        .write(true)
        .create_new(true)
        .mode(0o600)
        .open(&draft)?;
    let mut out = Writer {
        file: BufWriter::with_capacity(1 << 20, file),
        at: SEGMENT_HEADER_BYTES as u64,
        source,
    };
    out.file.write_all(&row.header(number).encode())?;
    let mut moved = Vec::new();
    let numbers: Vec<u64> = row.pending.keys().copied().collect();
    for capture in numbers {
        let Some(pending) = row.pending.get(&capture) else {
            continue;
        };
        if !pending.places.iter().any(|place| moves(place.source)) {
            continue;
        }
        let places = pending.places.clone();
        // What stays behind carried frames stays where it is in their order, too.
        let (go, stay): (Vec<Place>, Vec<Place>) = places.into_iter().partition(|place| moves(place.source));
        let before = stay
            .iter()
            .filter(|place| matches!(place.source, Source::Carry(_)));
        let mut new: Vec<Place> = before.copied().collect();
        let mut piece: Option<(Kind, u64, Vec<u8>)> = None;
        for place in go {
            let Some(frame) = row.frame(place, buffer)? else {
                continue;
            };
            match (frame.piece(), &mut piece) {
                (Some((offset, bytes)), Some((kind, start, held)))
                    if *kind == frame.kind
                        && start.checked_add(held.len() as u64) == Some(offset)
                        && held.len() + bytes.len() <= PAYLOAD_BYTES_MAX - OFFSET_BYTES =>
                {
                    held.extend_from_slice(bytes);
                }
                (Some((offset, bytes)), _) => {
                    let next = (frame.kind, offset, bytes.to_vec());
                    if let Some((kind, start, held)) = piece.replace(next) {
                        new.push(out.put(capture, kind, &start.to_le_bytes(), &held)?);
                    }
                }
                (None, _) => {
                    if let Some((kind, start, held)) = piece.take() {
                        new.push(out.put(capture, kind, &start.to_le_bytes(), &held)?);
                    }
                    new.push(out.put(capture, frame.kind, &[], frame.payload())?);
                }
            }
        }
        if let Some((kind, start, held)) = piece {
            new.push(out.put(capture, kind, &start.to_le_bytes(), &held)?);
        }
        let after = stay
            .iter()
            .filter(|place| matches!(place.source, Source::Segment(_)));
        new.extend(after.copied());
        moved.push((capture, new));
    }
    let file = out.file.into_inner().map_err(io::IntoInnerError::into_error)?;
    file.sync_all()?;
    settings.reached(Step::CarryWritten)?;
    std::fs::rename(&draft, &path)?;
    files::sync_folder(&row.directory)?;
    row.next_carry = number.saturating_add(1);
    settings.reached(Step::CarryNamed)?;
    for (capture, places) in moved {
        let Some(mut pending) = row.pending.remove(&capture) else {
            continue;
        };
        row.release(&pending);
        pending.places = places;
        row.frames += pending.places.len();
        for source in pending.sources() {
            *row.waits.entry(source).or_insert(0) += 1;
        }
        row.pending.insert(capture, pending);
    }
    row.carried_frames = row.frames;
    Ok(())
}

/// Removes what a process before this one did not finish.
pub(super) fn clean(directory: &Path) -> io::Result<()> {
    for name in crate::ingest::names(directory)? {
        if name.ends_with(".carry-draft") {
            files::remove(&directory.join(name))?;
        }
    }
    Ok(())
}

struct Writer {
    file: BufWriter<File>,
    at: u64,
    source: Source,
}

impl Writer {
    fn put(&mut self, capture: u64, kind: Kind, first: &[u8], rest: &[u8]) -> io::Result<Place> {
        let payload = first.len() + rest.len();
        let length = record_bytes(payload);
        let word = u32::try_from(payload).map_err(io::Error::other)?;
        self.file.write_all(&word.to_le_bytes())?;
        self.file
            .write_all(&frame_tail(tag(capture, kind), first, rest))?;
        self.file.write_all(first)?;
        self.file.write_all(rest)?;
        let padding = length.saturating_sub(payload + 16);
        self.file.write_all([0; 16].get(..padding).unwrap_or_default())?;
        let place = Place {
            source: self.source,
            at: self.at,
            length: u32::try_from(length).map_err(io::Error::other)?,
            kind,
        };
        self.at = self.at.saturating_add(length as u64);
        Ok(place)
    }
}
