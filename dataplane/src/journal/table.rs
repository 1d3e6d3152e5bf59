//! A shard's in-flight table: what it was doing, for whoever finds the file after a crash.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use crossbeam::channel::Sender;
use crossbeam::utils::CachePadded;
use rkyv::rancor;
use rkyv::util::AlignedVec;
use sluice_shared::usage::UsageRecord;
use sluice_shared::wire::inflight::{
    COUNTERS, COUNTERS_AT, Counter, DRAFT_AT, DRAFT_BYTES_MAX, FREE, RUNNING, SLOT_BYTES, UNKNOWN,
    draft_words, encode_draft,
};

use super::map::MapWriter;

/// Slots behind the highest used one whose pages the service keeps writable.
pub(super) const WARM_SLOTS: u32 = 64;

/// A slot of an in-flight table, taken by one request. Dropping it frees nothing: see [`InFlight::free`].
#[derive(Debug, PartialEq, Eq)]
pub struct SlotId(u32);

/// What the service needs to know of a table.
#[derive(Debug, Default)]
pub(super) struct Usage {
    /// Slots that were ever used: all of them at the front.
    pub(super) peak: CachePadded<AtomicU64>,
    /// Slots taken and freed so far.
    pub(super) changes: AtomicU64,
}

/// A shard's table of running requests.
///
/// Slots freed last are taken first, so the memory that is touched stays at the largest number of requests that
/// ever ran at once.
#[derive(Debug)]
pub struct InFlight {
    writer: MapWriter,
    freed: Vec<u32>,
    peak: u32,
    slots: u32,
    usage: Arc<Usage>,
    bell: Sender<()>,
    scratch: AlignedVec,
}

impl InFlight {
    pub(super) fn new(writer: MapWriter, usage: Arc<Usage>, bell: Sender<()>) -> Self {
        let slots = u32::try_from(writer.len() / SLOT_BYTES).unwrap_or(u32::MAX);
        Self {
            writer,
            freed: Vec::new(),
            peak: 0,
            slots,
            usage,
            bell,
            scratch: AlignedVec::with_capacity(SLOT_BYTES),
        }
    }

    /// Takes a slot for a request before anything is sent to a provider; `None` if all are taken: 503.
    #[must_use]
    pub fn take(&mut self, draft: &UsageRecord) -> Option<SlotId> {
        self.encode(draft)?;
        let (length, crc) = draft_words(&self.scratch)?;
        let slot = match self.freed.pop() {
            Some(slot) => slot,
            None if self.peak < self.slots => {
                let slot = self.peak;
                self.peak += 1;
                self.usage.peak.store(u64::from(self.peak), Ordering::Relaxed);
                if self.peak.is_multiple_of(WARM_SLOTS / 2) {
                    let _ = self.bell.try_send(());
                }
                slot
            }
            None => return None,
        };
        let base = slot as usize * SLOT_BYTES;
        for counter in 0..COUNTERS {
            self.writer.store_u64(base + COUNTERS_AT + counter * 8, UNKNOWN);
        }
        self.writer.copy_in(base + DRAFT_AT, &self.scratch);
        self.writer.copy_in(base + 4, &length.to_le_bytes());
        self.writer.copy_in(base + 8, &crc.to_le_bytes());
        self.writer.publish_u32(base, RUNNING);
        self.changed();
        Some(SlotId(slot))
    }

    /// Stores a counter of a running request: one plain store.
    pub fn update(&self, slot: &SlotId, counter: Counter, value: u64) {
        let at = slot.0 as usize * SLOT_BYTES + COUNTERS_AT + counter as usize * 8;
        self.writer.store_u64(at, value);
    }

    /// Gives a slot back, after the record of its request stands in the journal.
    #[allow(clippy::needless_pass_by_value, reason = "the slot must not be used again")]
    pub fn free(&mut self, slot: SlotId) {
        self.writer.publish_u32(slot.0 as usize * SLOT_BYTES, FREE);
        self.freed.push(slot.0);
        self.changed();
    }

    /// Slots that are taken.
    #[must_use]
    pub fn running(&self) -> usize {
        self.peak as usize - self.freed.len()
    }

    /// Slots there are.
    #[must_use]
    pub const fn slots(&self) -> usize {
        self.slots as usize
    }

    fn changed(&self) {
        // Only this thread writes: no read-modify-write needed.
        let changes = self.usage.changes.load(Ordering::Relaxed);
        self.usage
            .changes
            .store(changes.wrapping_add(1), Ordering::Relaxed);
    }

    fn encode(&mut self, draft: &UsageRecord) -> Option<()> {
        self.scratch.clear();
        rkyv::api::high::to_bytes_in::<_, rancor::Error>(draft, &mut self.scratch).ok()?;
        if self.scratch.len() > DRAFT_BYTES_MAX {
            self.scratch = encode_draft(draft).ok()?;
        }
        Some(())
    }
}
