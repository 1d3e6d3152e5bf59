//! Capture segments: where heads and bodies of requests and answers wait for the control plane.
//!
//! They lie beside the segments of the journal, `SSS-NNNNNNNN.cap`, and are made like them: preallocated, mapped shared,
//! a 64-byte header, then frames, each 16-byte aligned:
//!
//! ```text
//! 0            4        8                              16
//! | length u32 | crc32c | capture number 56 bits, kind | payload … | zeros to the next multiple of 16
//! ```
//!
//! The length word, that of the payload, is stored last (release): a frame whose length is 0 does not exist yet, and
//! every payload has a byte at least. [`END_OF_SEGMENT`] says that the shard went on in the next segment. The checksum is
//! over the eight bytes of the number and the payload.
//!
//! A capture is a run of frames with one number, mixed with those of others and spread over segments: [`Kind::Open`], then
//! pieces of bodies, each with the offset of its first byte so that one that is read twice counts once, the head of the
//! answer when it is there, and at the end [`Kind::Close`]. Numbers are a shard's own and never used twice in one
//! incarnation. A capture without an end belongs to a request that runs, or ran when its process died.

#![allow(missing_docs, reason = "rkyv derives undocumented twins of documented fields")]

use rkyv::util::AlignedVec;
use rkyv::{Archive, Deserialize, Serialize, rancor};

use super::journal::{END_OF_SEGMENT, RECORD_HEADER_BYTES, SEGMENT_HEADER_BYTES, record_bytes};
use crate::api::{ApiKind, named_enum};
use crate::ids::{Epoch, RequestId, ShardId};
use crate::units::UnixMicros;
use crate::usage::UsageRecord;

/// Version of the layout.
pub const VERSION: u32 = 1;
/// Largest payload of a frame, in bytes; longer bodies are several.
pub const PAYLOAD_BYTES_MAX: usize = 256 << 10;
/// Bytes of the offset in front of a piece of a body.
pub const OFFSET_BYTES: usize = 8;
/// Highest capture number.
pub const NUMBER_MAX: u64 = (1 << 56) - 1;

const MAGIC: &[u8; 8] = b"SLUICECP";

named_enum! {
    /// What a frame holds.
    Kind {
        /// An [`Opened`].
        Open = "open",
        /// An offset, 8 bytes, and a piece of the request body as it was forwarded.
        RequestBody = "request_body",
        /// An [`AnswerHead`].
        AnswerHead = "answer_head",
        /// An offset, 8 bytes, and a piece of the answer body, as it came from the provider but for what a guardrail
        /// changed.
        AnswerBody = "answer_body",
        /// A [`Closed`].
        Close = "close",
    }
}

/// Fields of a head, in order; values of credentials are replaced already.
pub type Fields = Vec<(String, Vec<u8>)>;

/// How a capture begins.
#[derive(Archive, Serialize, Deserialize, Clone, Debug, PartialEq, Eq)]
pub struct Opened {
    /// The request.
    pub request_id: RequestId,
    /// When its head had been read.
    pub time: UnixMicros,
    /// Configuration that it began with.
    pub epoch: Epoch,
    /// Wire format.
    pub api: ApiKind,
    /// Whether a stream was asked for.
    pub stream: bool,
    /// Login of the principal.
    pub user: String,
    /// Node of the principal.
    pub node: String,
    /// Method.
    pub method: String,
    /// Path and query as forwarded; credentials in the query are replaced.
    pub target: String,
    /// Provider that it is sent to; empty: none.
    pub provider: String,
    /// Model as it is named to the provider.
    pub model: String,
    /// Head of the request as forwarded.
    pub headers: Fields,
    /// It is to be kept; otherwise it is there for its `events` alone.
    pub keep: bool,
    /// Whom to tell of it.
    pub events: Vec<EventUse>,
}

/// A hook that is told of a request once it is over.
#[derive(Archive, Serialize, Deserialize, Clone, Debug, PartialEq, Eq)]
pub struct EventUse {
    /// Name of the hook.
    pub hook: String,
    /// Bits of [`crate::snapshot::HookEvent`]; `pre_request` is not among them.
    pub events: u8,
    /// Bits of [`crate::snapshot::HookPart`].
    pub send: u16,
    /// Value of `grants` for the hook as JSON; empty: it is not sent.
    pub grants: String,
}

/// The head of an answer.
#[derive(Archive, Serialize, Deserialize, Clone, Debug, Default, PartialEq, Eq)]
pub struct AnswerHead {
    /// Status.
    pub status: u16,
    /// Fields.
    pub headers: Fields,
}

/// How a capture ends.
#[derive(Archive, Serialize, Deserialize, Clone, Debug, PartialEq, Eq)]
pub struct Closed {
    /// The record of the request.
    pub record: UsageRecord,
    /// Bytes of the request body, those included that were not kept.
    pub request_bytes: u64,
    /// Bytes of the answer body, those included that were not kept.
    pub answer_bytes: u64,
}

/// What the header of a capture segment says.
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
        super::journal::segment_header(MAGIC, VERSION, self.shard, self.incarnation, self.number)
    }

    /// Reads a header; `None` if it is none of ours or damaged.
    #[must_use]
    pub fn decode(bytes: &[u8]) -> Option<Self> {
        let (shard, incarnation, number) = super::journal::read_segment_header(MAGIC, VERSION, bytes)?;
        Some(Self {
            incarnation,
            shard,
            number,
        })
    }
}

/// The word that says whose frame it is and what it holds.
#[must_use]
pub const fn tag(number: u64, kind: Kind) -> u64 {
    (number & NUMBER_MAX) | (kind as u64) << 56
}

/// The 12 bytes behind the length word of a frame with this payload, given in two parts (an offset and bytes, or nothing
/// and everything): checksum and tag.
#[must_use]
pub fn frame_tail(tag: u64, first: &[u8], rest: &[u8]) -> [u8; 12] {
    let tag = tag.to_le_bytes();
    let crc = crc32c::crc32c_append(crc32c::crc32c_append(crc32c::crc32c(&tag), first), rest);
    let mut out = [0; 12];
    out[..4].copy_from_slice(&crc.to_le_bytes());
    out[4..].copy_from_slice(&tag);
    out
}

/// Serialises the payload of [`Kind::Open`].
///
/// # Errors
/// Only if memory cannot be had.
pub fn encode_opened(opened: &Opened) -> Result<AlignedVec, rancor::Error> {
    rkyv::to_bytes::<rancor::Error>(opened)
}

/// Serialises the payload of [`Kind::AnswerHead`].
///
/// # Errors
/// Only if memory cannot be had.
pub fn encode_answer_head(head: &AnswerHead) -> Result<AlignedVec, rancor::Error> {
    rkyv::to_bytes::<rancor::Error>(head)
}

/// Serialises the payload of [`Kind::Close`].
///
/// # Errors
/// Only if memory cannot be had.
pub fn encode_closed(closed: &Closed) -> Result<AlignedVec, rancor::Error> {
    rkyv::to_bytes::<rancor::Error>(closed)
}

/// A frame that was read.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Frame<'a> {
    /// Number of the capture in its shard.
    pub number: u64,
    /// What it holds.
    pub kind: Kind,
    payload: &'a [u8],
}

impl<'a> Frame<'a> {
    /// Offset and bytes of a piece of a body; `None` for other kinds and for damage.
    #[must_use]
    pub fn piece(&self) -> Option<(u64, &'a [u8])> {
        match self.kind {
            Kind::RequestBody | Kind::AnswerBody => {
                let (offset, bytes) = self.payload.split_first_chunk::<OFFSET_BYTES>()?;
                Some((u64::from_le_bytes(*offset), bytes))
            }
            Kind::Open | Kind::AnswerHead | Kind::Close => None,
        }
    }

    /// How the capture begins; `None` for other kinds and for damage.
    #[must_use]
    pub fn opened(&self) -> Option<Opened> {
        (self.kind == Kind::Open).then_some(())?;
        rkyv::from_bytes::<Opened, rancor::Error>(&aligned(self.payload)).ok()
    }

    /// The head of the answer; `None` for other kinds and for damage.
    #[must_use]
    pub fn answer_head(&self) -> Option<AnswerHead> {
        (self.kind == Kind::AnswerHead).then_some(())?;
        rkyv::from_bytes::<AnswerHead, rancor::Error>(&aligned(self.payload)).ok()
    }

    /// How the capture ends; `None` for other kinds and for damage.
    #[must_use]
    pub fn closed(&self) -> Option<Closed> {
        (self.kind == Kind::Close).then_some(())?;
        rkyv::from_bytes::<Closed, rancor::Error>(&aligned(self.payload)).ok()
    }

    /// The payload as it stands, to be copied elsewhere.
    #[must_use]
    pub const fn payload(&self) -> &'a [u8] {
        self.payload
    }
}

fn aligned(payload: &[u8]) -> AlignedVec<16> {
    let mut aligned = AlignedVec::with_capacity(payload.len());
    aligned.extend_from_slice(payload);
    aligned
}

/// What stands at a place in a segment.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Slot<'a> {
    /// Nothing yet.
    Empty,
    /// The row goes on in the next segment.
    End,
    /// More bytes are needed: this many from the start of the frame.
    Need(usize),
    /// A frame, and its length with padding.
    Frame(Frame<'a>, usize),
    /// A length was published and the bytes do not hold: damage.
    Damaged,
}

/// Reads what stands at the start of `bytes`, which begin at a frame boundary.
#[must_use]
pub fn decode(bytes: &[u8]) -> Slot<'_> {
    let Some((&[l0, l1, l2, l3, c0, c1, c2, c3, ref tag @ ..], rest)) =
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
    let Some(payload) = rest.get(..length) else {
        return Slot::Need(record_bytes(length));
    };
    if crc32c::crc32c_append(crc32c::crc32c(tag), payload) != u32::from_le_bytes([c0, c1, c2, c3]) {
        return Slot::Damaged;
    }
    let tag = u64::from_le_bytes(*tag);
    let kind = u8::try_from(tag >> 56).ok().and_then(Kind::from_index);
    let Some(kind) = kind else {
        return Slot::Damaged;
    };
    let frame = Frame {
        number: tag & NUMBER_MAX,
        kind,
        payload,
    };
    Slot::Frame(frame, record_bytes(length))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn written(tag: u64, first: &[u8], rest: &[u8]) -> Vec<u8> {
        let length = first.len() + rest.len();
        let mut out = u32::try_from(length).unwrap().to_le_bytes().to_vec();
        out.extend_from_slice(&frame_tail(tag, first, rest));
        out.extend_from_slice(first);
        out.extend_from_slice(rest);
        out.resize(record_bytes(length), 0);
        out
    }

    #[test]
    fn a_piece_reads_back_and_every_flipped_bit_is_noticed() {
        let bytes = written(tag(7, Kind::AnswerBody), &9u64.to_le_bytes(), b"hello");
        let Slot::Frame(frame, length) = decode(&bytes) else {
            panic!("a frame was written");
        };
        assert_eq!(
            (frame.number, frame.kind, length),
            (7, Kind::AnswerBody, bytes.len())
        );
        assert_eq!(frame.piece(), Some((9, b"hello".as_slice())));
        assert!(frame.opened().is_none() && frame.closed().is_none());
        assert_eq!(decode(&bytes[..20]), Slot::Need(bytes.len()));
        assert_eq!(decode(&bytes[..9]), Slot::Need(16));
        // All but the padding.
        for bit in 32..(16 + 8 + 5) * 8 {
            let mut flipped = bytes.clone();
            flipped[bit / 8] ^= 1 << (bit % 8);
            assert_eq!(decode(&flipped), Slot::Damaged, "bit {bit}");
        }
        let mut torn = bytes;
        torn[..4].fill(0);
        assert_eq!(decode(&torn), Slot::Empty);
        assert_eq!(decode(&[0xff; 16]), Slot::End);
    }

    #[test]
    fn ends_of_captures_read_back() {
        let record = UsageRecord::draft(
            RequestId([3; 16]),
            UnixMicros(5),
            ShardId(1),
            Epoch(2),
            ApiKind::OpenAiChat,
        );
        let closed = Closed {
            record,
            request_bytes: 1,
            answer_bytes: 2,
        };
        let payload = encode_closed(&closed).unwrap();
        let bytes = written(tag(NUMBER_MAX, Kind::Close), &[], &payload);
        let Slot::Frame(frame, _) = decode(&bytes) else {
            panic!("a frame was written");
        };
        assert_eq!(frame.closed(), Some(closed));
        assert_eq!((frame.number, frame.piece()), (NUMBER_MAX, None));
        // The right checksum over the wrong thing.
        let bytes = written(tag(1, Kind::Open), &[], b"no archive");
        let Slot::Frame(frame, _) = decode(&bytes) else {
            panic!("a frame was written");
        };
        assert_eq!(frame.opened(), None);
    }

    #[test]
    fn segments_of_records_are_none_of_captures() {
        let header = SegmentHeader {
            incarnation: 3,
            shard: ShardId(1),
            number: 9,
        };
        assert_eq!(SegmentHeader::decode(&header.encode()), Some(header));
        assert!(super::super::journal::SegmentHeader::decode(&header.encode()).is_none());
    }
}
