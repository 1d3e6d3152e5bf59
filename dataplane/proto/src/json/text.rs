//! Finding the end of a run of plain string bytes.
//!
//! Plain is every byte but `"`, `\` and the control characters below 0x20. Eight bytes are looked at as one word: for
//! each of the three tests, the classic subtract-with-borrow trick sets the top bit of every byte that passes. A borrow can
//! set bits above a true hit, never below one, so the lowest bit set is always a true hit. Long runs go by blocks of
//! 64 bytes, in a form that compilers turn into vector instructions.

const ONES: u64 = 0x0101_0101_0101_0101;
const TOPS: u64 = 0x8080_8080_8080_8080;

/// Number of leading plain bytes.
#[inline]
pub(crate) fn plain_prefix(bytes: &[u8]) -> usize {
    let mut at = 0;
    let mut rest = bytes;
    // Most keys and many values are short: two words before anything cleverer.
    for _ in 0..2 {
        let Some((word, tail)) = rest.split_first_chunk::<8>() else {
            return at + tail_prefix(rest);
        };
        let hits = special(u64::from_le_bytes(*word));
        if hits != 0 {
            return at + (hits.trailing_zeros() / 8) as usize;
        }
        at += 8;
        rest = tail;
    }
    while let Some((block, tail)) = rest.split_first_chunk::<64>() {
        if block_has_special(block) {
            break;
        }
        at += 64;
        rest = tail;
    }
    while let Some((word, tail)) = rest.split_first_chunk::<8>() {
        let hits = special(u64::from_le_bytes(*word));
        if hits != 0 {
            return at + (hits.trailing_zeros() / 8) as usize;
        }
        at += 8;
        rest = tail;
    }
    at + tail_prefix(rest)
}

/// The same, a byte at a time.
#[inline]
pub(super) fn tail_prefix(bytes: &[u8]) -> usize {
    bytes.iter().position(|&byte| !plain(byte)).unwrap_or(bytes.len())
}

#[inline]
const fn plain(byte: u8) -> bool {
    byte >= 0x20 && byte != b'"' && byte != b'\\'
}

/// Top bits of the bytes that are not plain; exact in the lowest bit set.
#[inline]
const fn special(word: u64) -> u64 {
    let quote = word ^ (ONES * b'"' as u64);
    let backslash = word ^ (ONES * b'\\' as u64);
    ((quote.wrapping_sub(ONES) & !quote)
        | (backslash.wrapping_sub(ONES) & !backslash)
        | (word.wrapping_sub(ONES * 0x20) & !word))
        & TOPS
}

#[inline]
fn block_has_special(block: &[u8; 64]) -> bool {
    block.iter().fold(0u8, |seen, &byte| {
        seen | u8::from(byte < 0x20) | u8::from(byte == b'"') | u8::from(byte == b'\\')
    }) != 0
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_byte_at_every_place_is_found() {
        for len in 0..200usize {
            for byte in [0u8, 0x1f, b'"', b'\\', 0x20, b'a', 0x7f, 0x80, 0xff] {
                for place in (0..len).step_by(1 + len / 40) {
                    let mut text = vec![0xa2; len];
                    text[place] = byte;
                    // A second hit further on must not disturb the first.
                    if let Some(last) = text.last_mut() {
                        *last = b'"';
                    }
                    assert_eq!(plain_prefix(&text), tail_prefix(&text), "{len} {byte:#x} {place}");
                }
            }
        }
    }

    #[test]
    fn every_byte_value_is_told_right() {
        for byte in 0..=255u8 {
            let word = u64::from_le_bytes([byte, b'a', 0x80, 0xff, b' ', b'!', b'#', b'[']);
            assert_eq!(special(word) != 0, !plain(byte), "{byte:#x}");
        }
    }
}
