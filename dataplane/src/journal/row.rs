//! A shard's row of segments: appending without a system call.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use crossbeam::channel::{Receiver, Sender};
use crossbeam::utils::CachePadded;
use rkyv::rancor;
use rkyv::util::AlignedVec;
use sluice_shared::usage::UsageRecord;
use sluice_shared::wire::journal::{
    END_OF_SEGMENT, Entry, PAYLOAD_BYTES_MAX, RECORD_HEADER_BYTES, SEGMENT_HEADER_BYTES, record_bytes,
    record_tail,
};

use super::Full;
use super::map::MapWriter;

/// Bytes ahead of the writer whose pages the service keeps writable.
pub(super) const WARM_BYTES: usize = 256 << 10;

/// Where a shard writes now, told to the service: number of the segment and offset in it.
#[derive(Debug, Default)]
pub(super) struct Progress(CachePadded<AtomicU64>);

impl Progress {
    pub(super) fn store(&self, number: u32, at: usize) {
        // Segments are far smaller than 4 GiB.
        self.0.store(
            (u64::from(number) << 32) | (at as u64 & 0xffff_ffff),
            Ordering::Release,
        );
    }

    /// Segment and offset; everything before it is written.
    pub(super) fn load(&self) -> (u32, usize) {
        let [n0, n1, n2, n3, a0, a1, a2, a3] = self.0.load(Ordering::Acquire).to_be_bytes();
        let at = u32::from_be_bytes([a0, a1, a2, a3]);
        (u32::from_be_bytes([n0, n1, n2, n3]), at as usize)
    }
}

/// A segment ready to be written; its header stands.
#[derive(Debug)]
pub(super) struct Prepared {
    pub(super) number: u32,
    pub(super) writer: MapWriter,
}

/// A shard's row of segments.
#[derive(Debug)]
pub struct ShardJournal {
    segment: Prepared,
    /// Where the next record begins.
    at: usize,
    /// When the service is to be wakened to warm more pages.
    ring_at: usize,
    next: Receiver<Prepared>,
    bell: Sender<()>,
    progress: Arc<Progress>,
    scratch: AlignedVec,
    appended: u64,
    refused: u64,
}

impl ShardJournal {
    pub(super) fn new(
        segment: Prepared,
        next: Receiver<Prepared>,
        bell: Sender<()>,
        progress: Arc<Progress>,
    ) -> Self {
        progress.store(segment.number, SEGMENT_HEADER_BYTES);
        Self {
            segment,
            at: SEGMENT_HEADER_BYTES,
            ring_at: WARM_BYTES / 2,
            next,
            bell,
            progress,
            scratch: AlignedVec::with_capacity(4 << 10),
            appended: 0,
            refused: 0,
        }
    }

    /// Writes an entry. When this returns, the entry survives the death of the process at any later moment.
    ///
    /// No system call, except one per segment and per 128 KiB that may wake the service. A record that is too long
    /// for the format loses the ends of its texts, never its counts.
    ///
    /// # Errors
    /// [`Full`]: the next segment is not there (disk full, or the writer is faster than the disk). Nothing was written.
    pub fn append(&mut self, entry: &Entry) -> Result<(), Full> {
        let appended = self.try_append(entry);
        match appended {
            Ok(()) => self.appended += 1,
            Err(Full) => self.refused += 1,
        }
        appended
    }

    /// Entries written.
    #[must_use]
    pub const fn appended(&self) -> u64 {
        self.appended
    }

    /// Entries that found the journal full.
    #[must_use]
    pub const fn refused(&self) -> u64 {
        self.refused
    }

    fn try_append(&mut self, entry: &Entry) -> Result<(), Full> {
        self.encode(entry)?;
        let need = record_bytes(self.scratch.len());
        // The end mark must fit behind every record.
        if self.at + need + RECORD_HEADER_BYTES > self.segment.writer.len() {
            self.advance()?;
        }
        let length = u32::try_from(self.scratch.len()).map_err(|_| Full)?;
        let writer = &mut self.segment.writer;
        writer.copy_in(self.at + RECORD_HEADER_BYTES, &self.scratch);
        writer.copy_in(self.at + 4, &record_tail(&self.scratch));
        writer.publish_u32(self.at, length);
        self.at += need;
        self.progress.store(self.segment.number, self.at);
        if self.at >= self.ring_at {
            self.ring_at = self.at + WARM_BYTES / 2;
            self.ring();
        }
        Ok(())
    }

    /// Goes on in the next segment.
    fn advance(&mut self) -> Result<(), Full> {
        let next = self.next.try_recv().map_err(|_| {
            self.ring();
            Full
        })?;
        self.segment.writer.publish_u32(self.at, END_OF_SEGMENT);
        self.segment = next;
        self.at = SEGMENT_HEADER_BYTES;
        self.ring_at = WARM_BYTES / 2;
        self.progress.store(self.segment.number, self.at);
        self.ring();
        Ok(())
    }

    /// Wakes the service; if it is already called, that is enough.
    fn ring(&self) {
        let _ = self.bell.try_send(());
    }

    fn encode(&mut self, entry: &Entry) -> Result<(), Full> {
        self.scratch.clear();
        let whole = rkyv::api::high::to_bytes_in::<_, rancor::Error>(entry, &mut self.scratch).is_ok();
        if whole && self.scratch.len() <= PAYLOAD_BYTES_MAX {
            return Ok(());
        }
        let Entry::Usage(record) = entry else {
            return Err(Full);
        };
        let short = Entry::Usage(Box::new(shortened(record)));
        self.scratch.clear();
        rkyv::api::high::to_bytes_in::<_, rancor::Error>(&short, &mut self.scratch).map_err(|_| Full)?;
        if self.scratch.len() <= PAYLOAD_BYTES_MAX {
            Ok(())
        } else {
            Err(Full)
        }
    }
}

/// The record with texts and lists cut so that it surely fits.
pub(super) fn shortened(record: &UsageRecord) -> UsageRecord {
    const TEXT_BYTES: usize = 1 << 10;
    const LIST_ITEMS: usize = 32;

    let cut = |text: &mut String| text.truncate(text.floor_char_boundary(TEXT_BYTES));
    let mut short = record.clone();
    for text in [
        &mut short.user,
        &mut short.node,
        &mut short.path,
        &mut short.provider,
        &mut short.model_asked,
    ] {
        cut(text);
    }
    for text in [
        &mut short.model_answered,
        &mut short.stop_reason,
        &mut short.error,
        &mut short.session,
        &mut short.user_agent,
    ] {
        text.iter_mut().for_each(cut);
    }
    short.tags.truncate(LIST_ITEMS);
    short
        .tags
        .iter_mut()
        .for_each(|tag| tag.truncate(tag.floor_char_boundary(256)));
    short.usage.side.truncate(LIST_ITEMS);
    for side in &mut short.usage.side {
        side.kind.truncate(side.kind.floor_char_boundary(64));
        if let Some(model) = &mut side.model {
            model.truncate(model.floor_char_boundary(256));
        }
    }
    short
}
