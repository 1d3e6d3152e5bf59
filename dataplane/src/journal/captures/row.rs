//! A shard's row of capture segments: writing frames without a system call.

use std::sync::Arc;
use std::sync::atomic::Ordering;

use crossbeam::channel::{Receiver, Sender};
use rkyv::rancor;
use rkyv::util::AlignedVec;
use sluice_shared::wire::capture::{
    AnswerHead, Closed, Fields, Kind, NUMBER_MAX, OFFSET_BYTES, Opened, PAYLOAD_BYTES_MAX, frame_tail, tag,
};
use sluice_shared::wire::journal::{END_OF_SEGMENT, RECORD_HEADER_BYTES, SEGMENT_HEADER_BYTES, record_bytes};

use super::Shared;
use crate::journal::Full;
use crate::journal::map::MapWriter;
use crate::journal::row::{Progress, shortened};

/// Bytes ahead of the writer whose pages the service keeps at hand in a file that is new.
pub(super) const WARM_BYTES: usize = 2 << 20;
/// What is kept free for the end of each capture that is open: a record is seldom longer.
const CLOSE_BYTES: usize = 4 << 10;
/// Most of a segment that is kept free for that.
const CLOSES_BYTES_MAX: usize = 256 << 10;

/// A segment ready to be written; its header stands.
#[derive(Debug)]
pub(super) struct Segment {
    /// Number in the row.
    pub(super) number: u32,
    /// Which file it is.
    pub(super) file: u64,
    pub(super) writer: MapWriter,
    /// All its pages are at hand: it was written before.
    pub(super) hot: bool,
}

/// A shard's row of capture segments.
#[derive(Debug)]
pub struct ShardCaptures {
    segment: Option<Segment>,
    /// Where the next frame begins.
    at: usize,
    /// When the service is to be wakened to warm more pages.
    ring_at: usize,
    next: Receiver<Segment>,
    full: Sender<Segment>,
    bell: Sender<()>,
    progress: Arc<Progress>,
    shared: Arc<Shared>,
    scratch: AlignedVec,
    /// Number of the next capture.
    number: u64,
    /// Captures that have begun and not ended.
    open: usize,
}

impl ShardCaptures {
    pub(super) fn new(
        next: Receiver<Segment>,
        full: Sender<Segment>,
        bell: Sender<()>,
        progress: Arc<Progress>,
        shared: Arc<Shared>,
    ) -> Self {
        Self {
            segment: None,
            at: 0,
            ring_at: 0,
            next,
            full,
            bell,
            progress,
            shared,
            scratch: AlignedVec::with_capacity(4 << 10),
            number: 0,
            open: 0,
        }
    }

    /// Begins a capture and returns its number.
    ///
    /// # Errors
    /// [`Full`]: there is no room for it and the ends of all that are open. Nothing was written.
    pub fn begin(&mut self, opened: &Opened) -> Result<u64, Full> {
        let number = self.number;
        if number > NUMBER_MAX {
            return Err(Full);
        }
        self.open += 1;
        match self.open_frame(number, opened) {
            Ok(()) => {
                self.number += 1;
                Ok(number)
            }
            Err(Full) => {
                self.open -= 1;
                Err(Full)
            }
        }
    }

    /// A capture that has begun gets no end. Whoever reads it learns from the record of its request that it was dropped.
    pub const fn give_up(&mut self) {
        self.open = self.open.saturating_sub(1);
    }

    fn open_frame(&mut self, number: u64, opened: &Opened) -> Result<(), Full> {
        self.scratch.clear();
        let whole = rkyv::api::high::to_bytes_in::<_, rancor::Error>(opened, &mut self.scratch).is_ok();
        if !whole || self.scratch.len() > PAYLOAD_BYTES_MAX {
            let mut short = opened.clone();
            shorten_fields(&mut short.headers);
            for text in [
                &mut short.target,
                &mut short.user,
                &mut short.node,
                &mut short.model,
            ] {
                text.truncate(text.floor_char_boundary(8 << 10));
            }
            self.scratch.clear();
            rkyv::api::high::to_bytes_in::<_, rancor::Error>(&short, &mut self.scratch).map_err(|_| Full)?;
        }
        self.scratched(tag(number, Kind::Open), true)
    }

    /// Writes the head of the answer.
    ///
    /// # Errors
    /// [`Full`]: nothing was written.
    pub fn answer_head(&mut self, number: u64, head: &AnswerHead) -> Result<(), Full> {
        self.scratch.clear();
        let whole = rkyv::api::high::to_bytes_in::<_, rancor::Error>(head, &mut self.scratch).is_ok();
        if !whole || self.scratch.len() > PAYLOAD_BYTES_MAX {
            let mut short = head.clone();
            shorten_fields(&mut short.headers);
            self.scratch.clear();
            rkyv::api::high::to_bytes_in::<_, rancor::Error>(&short, &mut self.scratch).map_err(|_| Full)?;
        }
        self.scratched(tag(number, Kind::AnswerHead), true)
    }

    /// Writes a piece of a body straight into the segment, in as many frames as it takes. Returns how many of its bytes
    /// were written: those at its start.
    pub fn piece(&mut self, number: u64, kind: Kind, offset: u64, bytes: &[u8]) -> usize {
        let mut written = 0;
        for part in bytes.chunks(PAYLOAD_BYTES_MAX - OFFSET_BYTES) {
            let at = offset.saturating_add(written as u64).to_le_bytes();
            if self.frame(tag(number, kind), &at, part, true).is_err() {
                break;
            }
            written += part.len();
        }
        written
    }

    /// Ends a capture. When this returns, all of it survives the death of the process at any later moment.
    ///
    /// # Errors
    /// [`Full`]: it has no end and will have none.
    pub fn close(&mut self, number: u64, closed: &Closed) -> Result<(), Full> {
        self.open = self.open.saturating_sub(1);
        self.scratch.clear();
        let whole = rkyv::api::high::to_bytes_in::<_, rancor::Error>(closed, &mut self.scratch).is_ok();
        if !whole || self.scratch.len() > PAYLOAD_BYTES_MAX {
            let short = Closed {
                record: shortened(&closed.record),
                request_bytes: closed.request_bytes,
                answer_bytes: closed.answer_bytes,
            };
            self.scratch.clear();
            rkyv::api::high::to_bytes_in::<_, rancor::Error>(&short, &mut self.scratch).map_err(|_| Full)?;
        }
        self.scratched(tag(number, Kind::Close), false)
    }

    /// Whether this many bytes, and the ends of all that are open, would find room now.
    #[must_use]
    pub fn has_room(&self, bytes: usize) -> bool {
        let each = super::CAPTURE_SEGMENT_BYTES_MIN - SEGMENT_HEADER_BYTES - RECORD_HEADER_BYTES;
        let ahead = self.next.len().saturating_mul(each);
        bytes.saturating_add(self.closes()) <= self.left().saturating_add(ahead)
    }

    /// Whether a segment that is missing now is being made: waiting for it makes sense.
    #[must_use]
    pub fn is_behind(&self) -> bool {
        self.next.is_empty() && !self.shared.full.load(Ordering::Relaxed)
    }

    fn left(&self) -> usize {
        let len = self.segment.as_ref().map_or(0, |segment| segment.writer.len());
        len.saturating_sub(self.at + RECORD_HEADER_BYTES)
    }

    fn closes(&self) -> usize {
        self.open.saturating_mul(CLOSE_BYTES).min(CLOSES_BYTES_MAX)
    }

    fn scratched(&mut self, tag: u64, with_reserve: bool) -> Result<(), Full> {
        let scratch = std::mem::take(&mut self.scratch);
        let written = self.frame(tag, &[], &scratch, with_reserve);
        self.scratch = scratch;
        written
    }

    /// Writes a frame. `with_reserve`: only if the ends of all captures that are open still find room behind it.
    fn frame(&mut self, tag: u64, first: &[u8], rest: &[u8], with_reserve: bool) -> Result<(), Full> {
        let length = first.len() + rest.len();
        if length == 0 || length > PAYLOAD_BYTES_MAX {
            return Err(Full);
        }
        let need = record_bytes(length);
        let reserve = if with_reserve && self.next.is_empty() {
            self.closes()
        } else {
            0
        };
        // The end mark must fit behind every frame.
        let fits = need + reserve <= self.left();
        if !fits && !self.advance() {
            return Err(Full);
        }
        let (Some(segment), Ok(length)) = (&mut self.segment, u32::try_from(length)) else {
            return Err(Full);
        };
        let at = self.at;
        let writer = &mut segment.writer;
        writer.copy_in(at + RECORD_HEADER_BYTES, first);
        writer.copy_in(at + RECORD_HEADER_BYTES + first.len(), rest);
        let end = at + RECORD_HEADER_BYTES + first.len() + rest.len();
        let padding = [0; RECORD_HEADER_BYTES];
        writer.copy_in(end, padding.get(..at + need - end).unwrap_or_default());
        writer.copy_in(at + 4, &frame_tail(tag, first, rest));
        // The file may hold older frames; nothing stands behind this one.
        writer.publish_u32(at + need, 0);
        writer.publish_u32(at, length);
        self.at = at + need;
        self.progress.store(segment.number, self.at);
        if self.at >= self.ring_at && !segment.hot {
            self.ring_at = self.at + WARM_BYTES / 2;
            self.ring();
        }
        Ok(())
    }

    /// Goes on in the next segment; `false` if it is not there.
    fn advance(&mut self) -> bool {
        let Ok(next) = self.next.try_recv() else {
            self.ring();
            return false;
        };
        if let Some(full) = self.segment.take() {
            full.writer.publish_u32(self.at, END_OF_SEGMENT);
            // Unmapping here is the last resort: the service takes them as fast as it makes new ones.
            drop(self.full.try_send(full));
        }
        self.progress.store(next.number, SEGMENT_HEADER_BYTES);
        self.segment = Some(next);
        self.at = SEGMENT_HEADER_BYTES;
        self.ring_at = WARM_BYTES / 2;
        self.ring();
        true
    }

    /// Wakes the service; if it is already called, that is enough.
    fn ring(&self) {
        let _ = self.bell.try_send(());
    }
}

/// Cuts fields so that they surely fit a frame.
fn shorten_fields(fields: &mut Fields) {
    fields.truncate(96);
    for (name, value) in fields {
        name.truncate(name.floor_char_boundary(256));
        value.truncate(1_024);
    }
}
