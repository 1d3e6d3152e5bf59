//! UTF-8 validity of a byte stream that is cut anywhere.
//!
//! Whole chunks go through a vectorised validator; only a character that a cut divides is put together in four bytes
//! of carry. What the stream's first fault is, and where, does not depend on the cuts.

/// Where a faulty character begins.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Utf8Fault {
    /// So many bytes into the piece.
    At(usize),
    /// So many bytes before the piece.
    Before(usize),
}

/// The beginning of a character at the end of the bytes seen so far.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Utf8Check {
    carry: [u8; 4],
    carried: usize,
}

impl Utf8Check {
    /// Checks the next piece.
    pub(super) fn feed(&mut self, chunk: &[u8]) -> Result<(), Utf8Fault> {
        let before = self.carried;
        let mut rest = chunk;
        while self.carried > 0 {
            let Some((&byte, tail)) = rest.split_first() else {
                return Ok(());
            };
            if let Some(slot) = self.carry.get_mut(self.carried) {
                *slot = byte;
            }
            self.carried += 1;
            rest = tail;
            match std::str::from_utf8(self.carry.get(..self.carried).unwrap_or_default()) {
                Ok(_) => self.carried = 0,
                Err(error) if error.error_len().is_some() => return Err(Utf8Fault::Before(before)),
                Err(_) => {}
            }
        }
        let skipped = chunk.len() - rest.len();
        let (whole, tail) = rest.split_at(rest.len() - unfinished(rest));
        if simdutf8::basic::from_utf8(whole).is_err() {
            let good = std::str::from_utf8(whole)
                .err()
                .map_or(0, |error| error.valid_up_to());
            return Err(Utf8Fault::At(skipped + good));
        }
        if let Err(error) = std::str::from_utf8(tail)
            && error.error_len().is_some()
        {
            return Err(Utf8Fault::At(skipped + whole.len()));
        }
        self.carry[..tail.len()].copy_from_slice(tail);
        self.carried = tail.len();
        Ok(())
    }
}

/// Length of the unfinished character at the end, by its first byte: 0 to 3.
fn unfinished(bytes: &[u8]) -> usize {
    for (back, &byte) in bytes.iter().rev().take(3).enumerate() {
        let len = match byte {
            0xc0..=0xdf => 2,
            0xe0..=0xef => 3,
            0xf0..=0xff => 4,
            0x80..=0xbf => continue,
            0..=0x7f => 1,
        };
        return if len > back + 1 { back + 1 } else { 0 };
    }
    0
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Where the first fault is when the bytes come in pieces of `size`.
    fn fault(bytes: &[u8], size: usize) -> Option<usize> {
        let mut check = Utf8Check::default();
        let mut start = 0;
        for piece in bytes.chunks(size) {
            match check.feed(piece) {
                Ok(()) => start += piece.len(),
                Err(Utf8Fault::At(at)) => return Some(start + at),
                Err(Utf8Fault::Before(back)) => return Some(start - back),
            }
        }
        None
    }

    #[test]
    fn the_verdict_is_that_of_the_standard_library_at_every_cut() {
        let texts: &[&[u8]] = &[
            b"plain",
            "aé€😀z".as_bytes(),
            b"\xc3",
            b"\xc3(",
            b"\xe2\x82(",
            b"\xed\xa0\x80",
            b"\xf4\x90\x80\x80",
            b"\xf8\x88\x80\x80",
            b"a\x80b",
            b"\xc0\xaf",
            b"\xf0\x9f\x98",
        ];
        for text in texts {
            let expected = std::str::from_utf8(text)
                .err()
                .is_some_and(|error| error.error_len().is_some());
            for size in 1..=text.len() {
                assert_eq!(
                    fault(text, size).is_some(),
                    expected,
                    "{text:x?} in pieces of {size}"
                );
            }
        }
    }
}
