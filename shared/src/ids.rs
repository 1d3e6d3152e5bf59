//! Identifiers: small, copyable, not mixed up with each other.

use std::fmt;

use rkyv::{Archive, Deserialize, Serialize};

/// Generation of the configuration. Only ever grows; 0 means "none yet".
#[derive(
    Archive, Serialize, Deserialize, Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash,
)]
#[rkyv(derive(Debug))]
pub struct Epoch(pub u64);

/// Index of a shard, one thread pinned to one core.
#[derive(
    Archive, Serialize, Deserialize, Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash,
)]
#[rkyv(derive(Debug))]
pub struct ShardId(pub u16);

/// Identity of one request: 128 bits, sortable by start time, written as 32 lower-case hex digits.
///
/// Layout from the top: 48 bits Unix milliseconds, 12 bits shard, 20 bits sequence, 48 bits drawn at random
/// once per process start. Unique as long as one shard starts fewer than 2^20 requests a millisecond.
#[derive(Archive, Serialize, Deserialize, Clone, Copy, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct RequestId(pub [u8; 16]);

impl RequestId {
    /// Puts an id together; `sequence` and `process_seed` are cut to their widths.
    #[must_use]
    pub fn new(unix_ms: u64, shard: ShardId, sequence: u32, process_seed: u64) -> Self {
        let low = (u128::from(shard.0 & 0x0fff) << 68)
            | (u128::from(sequence & 0x000f_ffff) << 48)
            | u128::from(process_seed & 0xffff_ffff_ffff);
        Self(((u128::from(unix_ms & 0xffff_ffff_ffff) << 80) | low).to_be_bytes())
    }

    /// Writes the 32 hex digits without allocating.
    #[must_use]
    pub fn hex(&self) -> [u8; 32] {
        const DIGITS: &[u8; 16] = b"0123456789abcdef";
        let mut out = [0; 32];
        for (pair, byte) in out.chunks_exact_mut(2).zip(self.0) {
            pair[0] = DIGITS[usize::from(byte >> 4)];
            pair[1] = DIGITS[usize::from(byte & 15)];
        }
        out
    }

    /// Reads 32 hex digits, as [`Self::hex`] writes them.
    #[must_use]
    pub fn parse(text: &str) -> Option<Self> {
        if text.len() != 32 || !text.bytes().all(|b| b.is_ascii_hexdigit()) {
            return None;
        }
        u128::from_str_radix(text, 16).ok().map(|n| Self(n.to_be_bytes()))
    }
}

impl fmt::Display for RequestId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:032x}", u128::from_be_bytes(self.0))
    }
}

impl fmt::Debug for RequestId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "RequestId({self})")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn request_ids_sort_by_time_and_survive_text() {
        let a = RequestId::new(1_000, ShardId(3), 7, 0xabcdef);
        let b = RequestId::new(1_001, ShardId(0), 0, 0);
        assert!(a < b);
        assert_eq!(RequestId::parse(&a.to_string()), Some(a));
        assert_eq!(a.hex().as_slice(), a.to_string().as_bytes());
        assert_eq!(RequestId::parse("zz"), None);
    }

    #[test]
    fn fields_do_not_overlap() {
        let full = RequestId::new(u64::MAX, ShardId(u16::MAX), u32::MAX, u64::MAX);
        assert_eq!(full.0, [0xff; 16]);
        let sequence = RequestId::new(0, ShardId(0), u32::MAX, 0);
        assert_eq!(u128::from_be_bytes(sequence.0), 0xf_ffff << 48);
    }
}
