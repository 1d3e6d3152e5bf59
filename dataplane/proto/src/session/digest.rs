//! A hash of texts that is the same in every process and version, whatever pieces the text comes in.
//!
//! Eight bytes at a time are multiplied into 128 bits and folded. It tells conversations of one principal apart and
//! withstands no attack: who makes two of them equal mixes up nothing but the own sessions.

use super::fingerprint::TEXT_BYTES_MAX;

/// Odd, with as many ones as zeros, from the digits of the golden ratio.
const FACTOR: u128 = 0x9E37_79B9_7F4A_7C15;

/// A text on its way to a hash.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Digest {
    state: u64,
    /// Bytes of an unfinished word, the first one lowest.
    word: u64,
    len: u64,
}

impl Digest {
    /// Adds a text as far as texts count.
    pub(super) fn add_text(&mut self, text: &[u8]) {
        let room = usize::try_from(TEXT_BYTES_MAX.saturating_sub(self.len)).unwrap_or(usize::MAX);
        self.add(text.get(..room.min(text.len())).unwrap_or_default());
    }

    /// Adds bytes.
    pub(super) fn add(&mut self, bytes: &[u8]) {
        let mut rest = bytes;
        while let Some((&byte, tail)) = rest.split_first() {
            if self.len.is_multiple_of(8)
                && let Some((word, tail)) = rest.split_first_chunk::<8>()
            {
                self.mix(u64::from_le_bytes(*word));
                self.len = self.len.saturating_add(8);
                rest = tail;
                continue;
            }
            self.word |= u64::from(byte) << (8 * (self.len % 8));
            self.len = self.len.saturating_add(1);
            if self.len.is_multiple_of(8) {
                let word = std::mem::take(&mut self.word);
                self.mix(word);
            }
            rest = tail;
        }
    }

    /// Whether nothing was added.
    pub(super) const fn is_empty(&self) -> bool {
        self.len == 0
    }

    /// Whether no further text counts.
    pub(super) const fn is_full(&self) -> bool {
        self.len >= TEXT_BYTES_MAX
    }

    /// The hash of all that was added.
    pub(super) fn finish(mut self) -> u64 {
        let (word, len) = (self.word, self.len);
        self.mix(word);
        self.mix(len);
        self.mix(0);
        self.state
    }

    fn mix(&mut self, word: u64) {
        let product = u128::from(self.state ^ word).wrapping_mul(FACTOR);
        let [a, b, c, d, e, f, g, h, rest @ ..] = product.to_le_bytes();
        let folded = u64::from_le_bytes([a, b, c, d, e, f, g, h]) ^ u64::from_le_bytes(rest);
        self.state = folded.wrapping_add(self.state.rotate_left(23)).wrapping_add(1);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn of(pieces: &[&[u8]]) -> u64 {
        let mut digest = Digest::default();
        for piece in pieces {
            digest.add(piece);
        }
        digest.finish()
    }

    #[test]
    fn pieces_do_not_matter_and_every_byte_does() {
        let text: Vec<u8> = (0..100_u8).collect();
        let whole = of(&[&text]);
        for cut in 0..=text.len() {
            for further in cut..=text.len() {
                assert_eq!(of(&[&text[..cut], &text[cut..further], &text[further..]]), whole);
            }
        }
        let mut seen = std::collections::HashSet::from([whole]);
        for at in 0..text.len() {
            assert!(seen.insert(of(&[&text[..at]])), "length {at}");
            for bit in 0..8 {
                let mut other = text.clone();
                other[at] ^= 1 << bit;
                assert!(seen.insert(of(&[&other])), "byte {at} bit {bit}");
            }
        }
    }

    #[test]
    fn the_same_in_every_version() {
        assert_eq!(of(&[]), GOLDEN[0]);
        assert_eq!(of(&[b"hello"]), GOLDEN[1]);
        assert_eq!(of(&["the quick brown fox ".repeat(10).as_bytes()]), GOLDEN[2]);
    }

    const GOLDEN: [u64; 3] = [
        0x18B3_AF9A_E465_6625,
        0x0AB6_4556_3C1D_C72E,
        0x9940_D7A9_2875_A4B6,
    ];

    #[test]
    fn texts_count_up_to_their_bound() {
        let long = vec![b'a'; usize::try_from(TEXT_BYTES_MAX).unwrap()];
        let mut full = Digest::default();
        full.add_text(&long);
        assert!(full.is_full());
        let before = full.finish();
        full.add_text(b"more");
        assert_eq!(full.finish(), before);
    }
}
