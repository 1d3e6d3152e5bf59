//! The format of capture segments, `captures/NNNNNNNN.caps`: a header of 64 bytes, then one entry after the other, each
//! readable without the index.
//!
//! ```text
//! header  "SLUICECS" | version u32 | kept u32 | number u64 | opened u64 | zeros | crc32c of the 60 bytes before
//! entry   "SCAP" | crc32c of the rest of these 144 bytes | length u64 | request id 16 bytes | time u64 | api u8, zeros
//!         4 × ( stored u64 | plain u64 | crc32c of what is stored u32 | encoding u32 )   head, request, answer, assembled
//!         the four parts | zeros to the next multiple of 16
//! ```
//!
//! Each part is a zstd frame of its own, or stands as it is where that is shorter: whoever wants the request need not
//! unpack the answer, and of an object only the part is fetched. Numbers are little-endian.

use sluice_shared::api::ApiKind;
use sluice_shared::ids::RequestId;
use sluice_shared::units::UnixMicros;

/// Bytes of a segment's header; the first entry begins here.
pub(super) const HEADER_BYTES: usize = 64;
/// Bytes of an entry's header; its parts follow.
pub(super) const ENTRY_BYTES: usize = 144;
/// Most bytes of a part, unpacked.
pub(super) const PART_BYTES_MAX: u64 = 1 << 30;

const MAGIC: &[u8; 8] = b"SLUICECS";
const ENTRY_MAGIC: &[u8; 4] = b"SCAP";
const VERSION: u32 = 1;
const ALIGN: usize = 16;
/// Where the descriptions of parts begin, and how long each is.
const PARTS_AT: usize = 48;
const PART_BYTES: usize = 24;
const _: () = assert!(
    PARTS_AT + Part::ALL.len() * PART_BYTES == ENTRY_BYTES,
    "all parts are described"
);

/// How hard bodies are compressed. Measured on conversations of agents (docs/CAPTURES.md): higher levels cost several
/// times the processor time for a few percent.
const LEVEL: i32 = 3;

const RAW: u32 = 0;
const ZSTD: u32 = 1;

/// What an entry consists of.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Part {
    /// What is known beside the bodies, as JSON.
    Head,
    /// The request body.
    Request,
    /// The answer body.
    Answer,
    /// The answer as one object, where its body is not that already.
    Assembled,
}

impl Part {
    const ALL: [Self; 4] = [Self::Head, Self::Request, Self::Answer, Self::Assembled];
}

/// The header of a segment.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct SegmentHeader {
    pub(super) number: u64,
    pub(super) kept: bool,
    pub(super) opened: UnixMicros,
}

impl SegmentHeader {
    pub(super) fn encode(&self) -> [u8; HEADER_BYTES] {
        let mut out = Vec::with_capacity(HEADER_BYTES);
        out.extend_from_slice(MAGIC);
        out.extend_from_slice(&VERSION.to_le_bytes());
        out.extend_from_slice(&u32::from(self.kept).to_le_bytes());
        out.extend_from_slice(&self.number.to_le_bytes());
        out.extend_from_slice(&self.opened.0.to_le_bytes());
        let mut header = [0; HEADER_BYTES];
        for (to, from) in header.iter_mut().zip(out) {
            *to = from;
        }
        let (said, crc) = header.split_at_mut(HEADER_BYTES - 4);
        crc.copy_from_slice(&crc32c::crc32c(said).to_le_bytes());
        header
    }

    /// Reads a header; `None` if it is none of ours or damaged.
    pub(super) fn decode(bytes: &[u8]) -> Option<Self> {
        let (said, crc) = bytes.get(..HEADER_BYTES)?.split_at_checked(HEADER_BYTES - 4)?;
        let well = said.starts_with(MAGIC)
            && word32(said, 8)? == VERSION
            && *crc == crc32c::crc32c(said).to_le_bytes();
        well.then_some(())?;
        Some(Self {
            number: word64(said, 16)?,
            kept: word32(said, 12)? != 0,
            opened: UnixMicros(word64(said, 24)?),
        })
    }
}

/// A part in a segment.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(super) struct Stored {
    /// Where it begins, from the start of the entry.
    pub(super) at: u64,
    pub(super) stored: u64,
    /// Its length unpacked.
    pub(super) plain: u64,
    crc: u32,
    encoding: u32,
}

/// The header of an entry.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Entry {
    /// Of the whole entry, padding included.
    pub(super) length: u64,
    pub(super) request_id: RequestId,
    pub(super) time: UnixMicros,
    pub(super) api: ApiKind,
    parts: [Stored; 4],
}

impl Entry {
    /// Reads an entry's header; `None` if it is none, or damaged.
    pub(super) fn decode(bytes: &[u8]) -> Option<Self> {
        let header = bytes.get(..ENTRY_BYTES)?;
        let well = header.starts_with(ENTRY_MAGIC) && word32(header, 4)? == crc32c::crc32c(header.get(8..)?);
        well.then_some(())?;
        let mut at = ENTRY_BYTES as u64;
        let mut parts = [Stored::default(); 4];
        for (index, part) in parts.iter_mut().enumerate() {
            let from = PARTS_AT + index * PART_BYTES;
            *part = Stored {
                at,
                stored: word64(header, from)?,
                plain: word64(header, from + 8)?,
                crc: word32(header, from + 16)?,
                encoding: word32(header, from + 20)?,
            };
            at = at.checked_add(part.stored)?;
        }
        let length = word64(header, 8)?;
        (length == at.checked_next_multiple_of(ALIGN as u64)?).then_some(())?;
        Some(Self {
            length,
            request_id: RequestId(header.get(16..32)?.try_into().ok()?),
            time: UnixMicros(word64(header, 32)?),
            api: ApiKind::from_index(*header.get(40)?)?,
            parts,
        })
    }

    pub(super) const fn part(&self, part: Part) -> Stored {
        let [head, request, answer, assembled] = self.parts;
        match part {
            Part::Head => head,
            Part::Request => request,
            Part::Answer => answer,
            Part::Assembled => assembled,
        }
    }
}

impl Stored {
    /// Unpacks what was read; `None` if it is damaged.
    pub(super) fn unpack(&self, bytes: &[u8]) -> Option<Vec<u8>> {
        let well = bytes.len() as u64 == self.stored
            && self.plain <= PART_BYTES_MAX
            && crc32c::crc32c(bytes) == self.crc;
        well.then_some(())?;
        let plain = usize::try_from(self.plain).ok()?;
        let out = match self.encoding {
            RAW => bytes.to_vec(),
            ZSTD => zstd::bulk::decompress(bytes, plain).ok()?,
            _ => return None,
        };
        (out.len() == plain).then_some(out)
    }
}

/// Writes entries.
pub(super) struct Packer {
    zstd: zstd::bulk::Compressor<'static>,
}

impl Packer {
    pub(super) fn new() -> std::io::Result<Self> {
        Ok(Self {
            zstd: zstd::bulk::Compressor::new(LEVEL)?,
        })
    }

    /// An entry with its parts in order; empty ones are not there.
    pub(super) fn pack(
        &mut self,
        request_id: RequestId,
        time: UnixMicros,
        api: ApiKind,
        parts: [&[u8]; 4],
    ) -> std::io::Result<Vec<u8>> {
        let mut out = vec![0; ENTRY_BYTES];
        let mut described = Vec::with_capacity(4 * PART_BYTES);
        for part in parts {
            let packed = self.zstd.compress(part)?;
            let (bytes, encoding) = if packed.len() < part.len() {
                (packed.as_slice(), ZSTD)
            } else {
                (part, RAW)
            };
            described.extend_from_slice(&(bytes.len() as u64).to_le_bytes());
            described.extend_from_slice(&(part.len() as u64).to_le_bytes());
            described.extend_from_slice(&crc32c::crc32c(bytes).to_le_bytes());
            described.extend_from_slice(&encoding.to_le_bytes());
            out.extend_from_slice(bytes);
        }
        out.resize(out.len().next_multiple_of(ALIGN), 0);
        let mut said = Vec::with_capacity(ENTRY_BYTES);
        said.extend_from_slice(&(out.len() as u64).to_le_bytes());
        said.extend_from_slice(&request_id.0);
        said.extend_from_slice(&time.0.to_le_bytes());
        said.extend_from_slice(&[api as u8, 0, 0, 0, 0, 0, 0, 0]);
        said.extend_from_slice(&described);
        let crc = crc32c::crc32c(&said).to_le_bytes();
        for (to, from) in out.iter_mut().zip(ENTRY_MAGIC.iter().chain(&crc).chain(&said)) {
            *to = *from;
        }
        Ok(out)
    }
}

fn word32(bytes: &[u8], at: usize) -> Option<u32> {
    Some(u32::from_le_bytes(*bytes.get(at..)?.first_chunk()?))
}

fn word64(bytes: &[u8], at: usize) -> Option<u64> {
    Some(u64::from_le_bytes(*bytes.get(at..)?.first_chunk()?))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn entries_read_back_and_every_flipped_bit_is_noticed() {
        let mut packer = Packer::new().unwrap();
        let long = b"all work and no play ".repeat(50);
        let parts: [&[u8]; 4] = [b"{}", &long, b"\xff\x00", b""];
        let bytes = packer
            .pack(RequestId([3; 16]), UnixMicros(7), ApiKind::OllamaChat, parts)
            .unwrap();
        assert!(
            bytes.len() < 350 && bytes.len().is_multiple_of(16),
            "{}",
            bytes.len()
        );
        let read = |bytes: &[u8]| -> Option<Vec<Vec<u8>>> {
            let entry = Entry::decode(bytes)?;
            assert_eq!(entry.length, bytes.len() as u64);
            assert_eq!(
                (entry.request_id, entry.time),
                (RequestId([3; 16]), UnixMicros(7))
            );
            assert_eq!(entry.api, ApiKind::OllamaChat);
            Part::ALL
                .iter()
                .map(|part| {
                    let stored = entry.part(*part);
                    let at = usize::try_from(stored.at).unwrap();
                    stored.unpack(&bytes[at..at + usize::try_from(stored.stored).unwrap()])
                })
                .collect()
        };
        assert_eq!(read(&bytes).unwrap(), parts);
        let content =
            ENTRY_BYTES + 2 + 2 + usize::try_from(Entry::decode(&bytes).unwrap().parts[1].stored).unwrap();
        for bit in 0..content * 8 {
            let mut flipped = bytes.clone();
            flipped[bit / 8] ^= 1 << (bit % 8);
            assert_eq!(read(&flipped), None, "bit {bit}");
        }
        assert!(Entry::decode(&bytes[..ENTRY_BYTES - 1]).is_none());
    }

    #[test]
    fn headers_read_back_and_notice_damage() {
        let header = SegmentHeader {
            number: 9,
            kept: true,
            opened: UnixMicros(5),
        };
        let bytes = header.encode();
        assert_eq!(SegmentHeader::decode(&bytes), Some(header));
        for bit in 0..bytes.len() * 8 {
            let mut flipped = bytes;
            flipped[bit / 8] ^= 1 << (bit % 8);
            assert_eq!(SegmentHeader::decode(&flipped), None, "bit {bit}");
        }
    }
}
