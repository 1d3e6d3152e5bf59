//! The in-flight table: what a shard was doing when its process died.
//!
//! One file a shard, `SSS.inflight` in the incarnation's directory: a row of [`SLOT_BYTES`] slots. A request takes a
//! slot before anything is sent to a provider, and frees it after its record stands in the journal. While it runs,
//! only the counters are stored to. After a crash, each occupied slot whose request has no record becomes one
//! record `ended: aborted`.
//!
//! ```text
//! 0        4           8        16                          80                           1024
//! | state  | draft len | crc32c | 8 counters, u64 each      | draft record, rkyv …       |
//! ```
//!
//! `state` is stored last when a slot is taken and first when it is freed.

use rkyv::rancor;
use rkyv::util::AlignedVec;

use crate::usage::{Ended, Known, UsageRecord};

/// Bytes of a slot.
pub const SLOT_BYTES: usize = 1024;
/// Where the counters begin.
pub const COUNTERS_AT: usize = 16;
/// Where the draft record begins.
pub const DRAFT_AT: usize = COUNTERS_AT + COUNTERS * 8;
/// Largest draft, in bytes.
pub const DRAFT_BYTES_MAX: usize = SLOT_BYTES - DRAFT_AT;
/// Number of counters.
pub const COUNTERS: usize = 8;
/// Value of a counter that is not known.
pub const UNKNOWN: u64 = u64::MAX;
/// `state` of a free slot.
pub const FREE: u32 = 0;
/// `state` of an occupied slot.
pub const RUNNING: u32 = 1;

/// Index of a counter in a slot.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(usize)]
pub enum Counter {
    /// Prompt tokens stated so far.
    Input = 0,
    /// Generated tokens stated so far.
    Output = 1,
    /// Cache reads stated so far.
    CachedRead = 2,
    /// Cache writes stated so far.
    CacheWrite = 3,
    /// Status sent to the client.
    Status = 4,
    /// Time to the first byte of the answer, in microseconds.
    Ttft = 5,
    /// Body bytes sent to the client.
    ResponseBytes = 6,
    /// Microseconds since the head of the request at the last update.
    Duration = 7,
}

/// Lengths that the texts of a draft are cut to, one after the other, until it fits.
const TEXT_BYTES: [usize; 3] = [64, 24, 8];

/// Serialises the draft of a record so that it fits a slot, cutting its texts if it must, and in the end what is reserved
/// of the last of many budgets: a request must never be refused for want of room here.
///
/// # Errors
/// Only if memory cannot be had.
pub fn encode_draft(record: &UsageRecord) -> Result<AlignedVec, rancor::Error> {
    let whole = rkyv::to_bytes::<rancor::Error>(record)?;
    if whole.len() <= DRAFT_BYTES_MAX {
        return Ok(whole);
    }
    let mut cut = record.clone();
    cut.user_agent = None;
    cut.session = None;
    cut.tags = Vec::new();
    cut.error = None;
    cut.verdicts = Vec::new();
    cut.agent = None;
    cut.parent = None;
    for most in TEXT_BYTES {
        for text in [
            &mut cut.path,
            &mut cut.model_asked,
            &mut cut.user,
            &mut cut.node,
            &mut cut.provider,
        ] {
            let end = (0..=text.len().min(most))
                .rev()
                .find(|at| text.is_char_boundary(*at))
                .unwrap_or(0);
            text.truncate(end);
        }
        let bytes = rkyv::to_bytes::<rancor::Error>(&cut)?;
        if bytes.len() <= DRAFT_BYTES_MAX {
            return Ok(bytes);
        }
    }
    loop {
        let left = cut.charges.len();
        cut.charges.truncate(left.saturating_sub(1));
        let bytes = rkyv::to_bytes::<rancor::Error>(&cut)?;
        if bytes.len() <= DRAFT_BYTES_MAX || left == 0 {
            return Ok(bytes);
        }
    }
}

/// The words in front of the counters, in the order in which they are to be stored: draft length, checksum.
#[must_use]
pub fn draft_words(draft: &[u8]) -> Option<(u32, u32)> {
    let length = u32::try_from(draft.len()).ok()?;
    (draft.len() <= DRAFT_BYTES_MAX).then(|| (length, crc32c::crc32c(draft)))
}

/// The record that an occupied slot leaves after a crash; `None` for a free or a damaged slot.
#[must_use]
pub fn recover(slot: &[u8]) -> Option<UsageRecord> {
    let slot: &[u8; SLOT_BYTES] = slot.first_chunk()?;
    let word32 = |at: usize| {
        slot.get(at..at + 4)
            .and_then(|b| b.try_into().ok())
            .map(u32::from_le_bytes)
    };
    let counter = |which: Counter| {
        let at = COUNTERS_AT + which as usize * 8;
        let value = slot
            .get(at..at + 8)
            .and_then(|b| b.try_into().ok())
            .map(u64::from_le_bytes);
        value.filter(|v| *v != UNKNOWN)
    };
    if word32(0)? != RUNNING {
        return None;
    }
    let length = usize::try_from(word32(4)?).ok()?;
    let draft = slot.get(DRAFT_AT..)?.get(..length)?;
    if crc32c::crc32c(draft) != word32(8)? {
        return None;
    }
    let mut aligned = AlignedVec::<16>::with_capacity(length);
    aligned.extend_from_slice(draft);
    let mut record = rkyv::from_bytes::<UsageRecord, rancor::Error>(&aligned).ok()?;
    record.ended = Ended::Aborted;
    record.status = counter(Counter::Status)
        .and_then(|s| u16::try_from(s).ok())
        .unwrap_or(0);
    record.ttft_us = counter(Counter::Ttft);
    record.duration_us = counter(Counter::Duration).unwrap_or(0);
    record.response_bytes = counter(Counter::ResponseBytes).unwrap_or(0);
    record.usage.input = counter(Counter::Input);
    record.usage.output = counter(Counter::Output);
    record.usage.cached_read = counter(Counter::CachedRead);
    record.usage.cache_write = counter(Counter::CacheWrite);
    if let Some(input) = record.usage.input {
        let cached = record
            .usage
            .cached_read
            .unwrap_or(0)
            .saturating_add(record.usage.cache_write.unwrap_or(0));
        record.usage.input_uncached = Some(input.saturating_sub(cached));
    }
    record.usage_known = if record.usage.is_known() {
        Known::Partial
    } else {
        Known::Unknown
    };
    Some(record)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::api::ApiKind;
    use crate::ids::{Epoch, RequestId, ShardId};
    use crate::quota::{Charge, Unit};
    use crate::units::UnixMicros;

    fn slot(record: &UsageRecord, counters: &[(Counter, u64)]) -> Vec<u8> {
        let draft = encode_draft(record).unwrap();
        let (length, crc) = draft_words(&draft).unwrap();
        let mut out = vec![0xff; SLOT_BYTES];
        out[..4].copy_from_slice(&RUNNING.to_le_bytes());
        out[4..8].copy_from_slice(&length.to_le_bytes());
        out[8..12].copy_from_slice(&crc.to_le_bytes());
        out[DRAFT_AT..DRAFT_AT + draft.len()].copy_from_slice(&draft);
        for (which, value) in counters {
            let at = COUNTERS_AT + *which as usize * 8;
            out[at..at + 8].copy_from_slice(&value.to_le_bytes());
        }
        out
    }

    fn draft() -> UsageRecord {
        let mut record = UsageRecord::draft(
            RequestId([1; 16]),
            UnixMicros(5),
            ShardId(0),
            Epoch(2),
            ApiKind::OpenAiChat,
        );
        record.user = "alice@example.com".into();
        record
    }

    #[test]
    fn an_occupied_slot_becomes_an_aborted_record() {
        let counters = [
            (Counter::Input, 100),
            (Counter::CachedRead, 30),
            (Counter::Status, 200),
        ];
        let record = recover(&slot(&draft(), &counters)).unwrap();
        assert_eq!(
            (record.ended, record.usage_known, record.status),
            (Ended::Aborted, Known::Partial, 200)
        );
        assert_eq!(
            (record.usage.input, record.usage.input_uncached),
            (Some(100), Some(70))
        );
        assert_eq!(record.usage.output, None, "unknown is never 0");
        assert_eq!(record.user, "alice@example.com");
        assert_eq!(recover(&slot(&draft(), &[])).unwrap().usage_known, Known::Unknown);
    }

    #[test]
    fn free_and_damaged_slots_leave_nothing() {
        let mut free = slot(&draft(), &[]);
        free[..4].copy_from_slice(&FREE.to_le_bytes());
        assert_eq!(recover(&free), None);
        let mut damaged = slot(&draft(), &[]);
        damaged[DRAFT_AT + 3] ^= 1;
        assert_eq!(recover(&damaged), None);
        assert_eq!(recover(&damaged[..100]), None);
    }

    #[test]
    fn a_draft_of_long_texts_is_cut_until_it_fits() {
        let mut long = draft();
        for text in [
            &mut long.path,
            &mut long.model_asked,
            &mut long.user,
            &mut long.node,
            &mut long.provider,
        ] {
            *text = "ü".repeat(4_000);
        }
        long.tags = vec!["tag:x".repeat(100); 50];
        assert!(encode_draft(&long).unwrap().len() <= DRAFT_BYTES_MAX);
        assert!(recover(&slot(&long, &[])).unwrap().user.starts_with('ü'));
    }

    #[test]
    fn many_reservations_fit_as_far_as_they_do() {
        let charge = |bucket| Charge {
            bucket,
            unit: Unit::Usd,
            amount: 7,
        };
        for count in 0..100 {
            let mut record = draft();
            record.path = "/v1/chat/completions".into();
            record.model_asked = "claude-opus-4-5-20251101".into();
            record.charges = (0..count).map(charge).collect();
            let left = recover(&slot(&record, &[])).unwrap().charges;
            assert!(record.charges.starts_with(&left), "{count}");
            assert!(left.len() as u64 >= count.min(11), "{count}: {}", left.len());
        }
    }
}
