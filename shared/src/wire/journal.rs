//! Journal segments: where usage records wait for the store.
//!
//! A data plane process owns one directory, `journal/NNNNNNNN/` (its *incarnation*), and each of its shards a row
//! of segment files in it, `SSS-NNNNNNNN.seg`, preallocated and mapped shared. A segment begins with a 64-byte
//! header; then records follow, each 16-byte aligned:
//!
//! ```text
//! 0            4        8       16
//! | length u32 | crc32c | kind  | payload … | zeros to the next multiple of 16
//! ```
//!
//! The payload and the rest of the header are written first, the length word last (release): a record whose length
//! is 0 does not exist yet. [`END_OF_SEGMENT`] in the length word says that the shard went on in the next segment.

#![allow(missing_docs, reason = "rkyv derives undocumented twins of documented fields")]

use rkyv::util::AlignedVec;
use rkyv::{Archive, Deserialize, Serialize, rancor};

use crate::ids::{RequestId, ShardId};
use crate::usage::{Ended, UsageRecord};

/// Version of the layout.
pub const VERSION: u32 = 4;
/// Bytes of a segment header; the first record begins here.
pub const SEGMENT_HEADER_BYTES: usize = 64;
/// Bytes of a record header.
pub const RECORD_HEADER_BYTES: usize = 16;
/// Alignment of records.
pub const RECORD_ALIGN: usize = 16;
/// Largest payload of a record, in bytes.
pub const PAYLOAD_BYTES_MAX: usize = 64 << 10;
/// Length word of the last entry of a full segment.
pub const END_OF_SEGMENT: u32 = u32::MAX;

const MAGIC: &[u8; 8] = b"SLUICEJN";

/// What a record says.
#[derive(Archive, Serialize, Deserialize, Clone, Debug, PartialEq, Eq)]
pub enum Entry {
    /// A request has ended.
    Usage(Box<UsageRecord>),
    /// A request that was recorded as complete did not reach its client after all. The record is written before
    /// the last bytes of the answer go out, so that no crash can lose a record of a completed request.
    Amend {
        /// Of the earlier record in the same segment row.
        request_id: RequestId,
        /// How it really ended.
        ended: Ended,
        /// Whole duration in microseconds.
        duration_us: u64,
    },
}

/// What the header of a segment says.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct SegmentHeader {
    /// Incarnation of the data plane that writes it.
    pub incarnation: u64,
    /// Shard that writes it.
    pub shard: ShardId,
    /// Number in the row, from 0.
    pub number: u64,
}

impl SegmentHeader {
    /// The 64 bytes at the start of the file.
    #[must_use]
    pub fn encode(&self) -> [u8; SEGMENT_HEADER_BYTES] {
        segment_header(MAGIC, VERSION, self.shard, self.incarnation, self.number)
    }

    /// Reads a header; `None` if it is none of ours or damaged.
    #[must_use]
    pub fn decode(bytes: &[u8]) -> Option<Self> {
        let (shard, incarnation, number) = read_segment_header(MAGIC, VERSION, bytes)?;
        Some(Self {
            incarnation,
            shard,
            number,
        })
    }
}

/// The header of a segment, of records or of captures.
pub(super) fn segment_header(
    magic: &[u8; 8],
    version: u32,
    shard: ShardId,
    incarnation: u64,
    number: u64,
) -> [u8; SEGMENT_HEADER_BYTES] {
    let mut out = [0; SEGMENT_HEADER_BYTES];
    out[..8].copy_from_slice(magic);
    out[8..12].copy_from_slice(&version.to_le_bytes());
    out[12..14].copy_from_slice(&shard.0.to_le_bytes());
    out[16..24].copy_from_slice(&incarnation.to_le_bytes());
    out[24..32].copy_from_slice(&number.to_le_bytes());
    let crc = crc32c::crc32c(&out[..60]);
    out[60..].copy_from_slice(&crc.to_le_bytes());
    out
}

/// Shard, incarnation and number in a header; `None` if it is another's or damaged.
pub(super) fn read_segment_header(
    magic: &[u8; 8],
    version: u32,
    bytes: &[u8],
) -> Option<(ShardId, u64, u64)> {
    let head: &[u8; SEGMENT_HEADER_BYTES] = bytes.first_chunk()?;
    let word = |at: usize| {
        head.get(at..at + 8)
            .and_then(|b| b.try_into().ok())
            .map(u64::from_le_bytes)
    };
    if &head[..8] != magic
        || head[8..12] != version.to_le_bytes()
        || head[60..] != crc32c::crc32c(&head[..60]).to_le_bytes()
    {
        return None;
    }
    let shard = ShardId(u16::from_le_bytes([head[12], head[13]]));
    Some((shard, word(16)?, word(24)?))
}

/// Length of the whole record that holds a payload of this many bytes, padding included.
#[must_use]
pub const fn record_bytes(payload: usize) -> usize {
    (RECORD_HEADER_BYTES + payload).next_multiple_of(RECORD_ALIGN)
}

/// Serialises an entry; the payload of a record.
///
/// # Errors
/// Only if memory cannot be had.
pub fn encode(entry: &Entry) -> Result<AlignedVec, rancor::Error> {
    rkyv::to_bytes::<rancor::Error>(entry)
}

/// The 12 bytes behind the length word: checksum and eight zero bytes.
#[must_use]
pub fn record_tail(payload: &[u8]) -> [u8; 12] {
    let mut out = [0; 12];
    out[..4].copy_from_slice(&crc32c::crc32c(payload).to_le_bytes());
    out
}

/// What stands at a place in a segment.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Slot {
    /// Nothing yet.
    Empty,
    /// The row goes on in the next segment.
    End,
    /// More bytes are needed: this many from the start of the record.
    Need(usize),
    /// An entry, and the length of its record.
    Entry(Box<Entry>, usize),
    /// A length was published and the bytes do not hold: damage.
    Damaged,
}

/// Reads what stands at the start of `bytes`, which begin at a record boundary.
#[must_use]
pub fn decode(bytes: &[u8]) -> Slot {
    let Some((&[l0, l1, l2, l3, c0, c1, c2, c3, ..], payload)) =
        bytes.split_first_chunk::<RECORD_HEADER_BYTES>()
    else {
        return Slot::Need(RECORD_HEADER_BYTES);
    };
    let length = u32::from_le_bytes([l0, l1, l2, l3]);
    if length == 0 {
        return Slot::Empty;
    }
    if length == END_OF_SEGMENT {
        return Slot::End;
    }
    let Some(length) = usize::try_from(length).ok().filter(|l| *l <= PAYLOAD_BYTES_MAX) else {
        return Slot::Damaged;
    };
    let Some(payload) = payload.get(..length) else {
        return Slot::Need(record_bytes(length));
    };
    if crc32c::crc32c(payload) != u32::from_le_bytes([c0, c1, c2, c3]) {
        return Slot::Damaged;
    }
    let mut aligned = AlignedVec::<16>::with_capacity(length);
    aligned.extend_from_slice(payload);
    match rkyv::from_bytes::<Entry, rancor::Error>(&aligned) {
        Ok(entry) => Slot::Entry(Box::new(entry), record_bytes(length)),
        Err(_) => Slot::Damaged,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn written(entry: &Entry) -> Vec<u8> {
        let payload = encode(entry).unwrap();
        let mut out = u32::try_from(payload.len()).unwrap().to_le_bytes().to_vec();
        out.extend_from_slice(&record_tail(&payload));
        out.extend_from_slice(&payload);
        out.resize(record_bytes(payload.len()), 0);
        out
    }

    #[test]
    fn segment_headers_read_back_and_notice_damage() {
        let header = SegmentHeader {
            incarnation: 3,
            shard: ShardId(1),
            number: 9,
        };
        let bytes = header.encode();
        assert_eq!(SegmentHeader::decode(&bytes), Some(header));
        for bit in 0..bytes.len() * 8 {
            let mut flipped = bytes;
            flipped[bit / 8] ^= 1 << (bit % 8);
            assert_eq!(SegmentHeader::decode(&flipped), None, "bit {bit}");
        }
    }

    #[test]
    fn records_read_back_and_a_torn_one_is_invisible() {
        let entry = Entry::Amend {
            request_id: RequestId([7; 16]),
            ended: Ended::ClientGone,
            duration_us: 5,
        };
        let bytes = written(&entry);
        assert_eq!(decode(&bytes), Slot::Entry(Box::new(entry), bytes.len()));
        let mut torn = bytes.clone();
        torn[..4].fill(0);
        assert_eq!(decode(&torn), Slot::Empty);
        assert_eq!(decode(&[0xff; 16]), Slot::End);
        assert_eq!(decode(&bytes[..20]), Slot::Need(bytes.len()));
        let mut damaged = bytes;
        damaged[20] ^= 1;
        assert_eq!(decode(&damaged), Slot::Damaged);
    }
}
