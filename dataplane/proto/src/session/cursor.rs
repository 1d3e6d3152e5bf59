//! Reading JSON that has been checked, out of a chain of chunks, a bounded number of bytes of it.
//!
//! Since the body is known to be JSON, this looks only at brackets and quotes: commas, colons and white space are passed over
//! alike. At the end of the bytes, or of the bound, everything reads as ended.

use crate::json::text::plain_prefix;

/// A place in a body.
pub(super) struct Cursor<'b> {
    /// What is left of the chunk at hand.
    rest: &'b [u8],
    chunks: std::slice::Iter<'b, &'b [u8]>,
    /// Bytes that may still be read.
    left: usize,
}

impl<'b> Cursor<'b> {
    /// At an offset of the body; `None` beyond its end.
    pub(super) fn at(body: &'b [&'b [u8]], offset: u64, bytes_max: usize) -> Option<Self> {
        let mut offset = usize::try_from(offset).ok()?;
        let mut chunks = body.iter();
        loop {
            let chunk = chunks.next()?;
            if let Some(rest) = chunk.get(offset..).filter(|rest| !rest.is_empty()) {
                let mut cursor = Self {
                    rest: &[],
                    chunks,
                    left: bytes_max,
                };
                cursor.enter(rest);
                return Some(cursor);
            }
            offset = offset.checked_sub(chunk.len())?;
        }
    }

    fn enter(&mut self, chunk: &'b [u8]) {
        let (readable, _) = chunk.split_at(chunk.len().min(self.left));
        self.left = self.left.saturating_sub(readable.len());
        self.rest = readable;
    }

    /// Whether it stopped at its bound, not at the end of something.
    pub(super) const fn is_spent(&self) -> bool {
        self.rest.is_empty() && self.left == 0
    }

    /// The byte at hand.
    fn peek(&mut self) -> Option<u8> {
        while self.rest.is_empty() {
            let chunk = self.chunks.next().filter(|_| self.left > 0)?;
            self.enter(chunk);
        }
        self.rest.first().copied()
    }

    /// Passes over one byte.
    pub(super) fn step(&mut self) {
        self.rest = self.rest.get(1..).unwrap_or_default();
    }

    fn next(&mut self) -> Option<u8> {
        let byte = self.peek()?;
        self.step();
        Some(byte)
    }

    /// The next byte that means something.
    pub(super) fn significant(&mut self) -> Option<u8> {
        loop {
            match self.peek()? {
                b' ' | b'\t' | b'\r' | b'\n' | b',' | b':' => self.step(),
                byte => return Some(byte),
            }
        }
    }

    /// Reads the string that begins here and gives its decoded text in pieces.
    pub(super) fn string(&mut self, mut sink: impl FnMut(&[u8])) {
        self.step();
        // The first half of a surrogate pair.
        let mut high = None;
        while self.peek().is_some() {
            let plain = plain_prefix(self.rest).min(self.rest.len());
            let (text, tail) = self.rest.split_at(plain);
            if !text.is_empty() {
                sink(text);
            }
            self.rest = tail;
            match self.rest.first() {
                None => {}
                Some(b'\\') => {
                    self.step();
                    self.escape(&mut high, &mut sink);
                }
                Some(b'"') => return self.step(),
                Some(_) => self.step(),
            }
        }
    }

    fn escape(&mut self, high: &mut Option<u32>, sink: &mut impl FnMut(&[u8])) {
        let byte = match self.next() {
            None => return,
            Some(b'n') => b'\n',
            Some(b't') => b'\t',
            Some(b'r') => b'\r',
            Some(b'b') => 8,
            Some(b'f') => 12,
            Some(b'u') => {
                let mut unit = 0;
                for _ in 0..4 {
                    let digit = self.next().and_then(|byte| char::from(byte).to_digit(16));
                    unit = unit << 4 | digit.unwrap_or(0);
                }
                let code = match (high.take(), unit) {
                    (_, 0xD800..=0xDBFF) => {
                        *high = Some(unit);
                        return;
                    }
                    (Some(high), 0xDC00..=0xDFFF) => 0x1_0000 + ((high - 0xD800) << 10) + (unit - 0xDC00),
                    _ => unit,
                };
                let character = char::from_u32(code).unwrap_or(char::REPLACEMENT_CHARACTER);
                return sink(character.encode_utf8(&mut [0; 4]).as_bytes());
            }
            Some(other) => other,
        };
        sink(&[byte]);
    }

    /// Passes over the value that begins here.
    pub(super) fn skip(&mut self) {
        let mut depth = 0_u32;
        loop {
            match self.peek() {
                None => return,
                Some(b'"') => self.skip_string(),
                Some(b'{' | b'[') => {
                    depth = depth.saturating_add(1);
                    self.step();
                }
                Some(b'}' | b']') => {
                    // The end of what is around a value that is none.
                    if depth == 0 {
                        return;
                    }
                    depth = depth.saturating_sub(1);
                    self.step();
                }
                Some(b',') if depth == 0 => return,
                Some(_) => {
                    self.step();
                    continue;
                }
            }
            if depth == 0 {
                return;
            }
        }
    }

    fn skip_string(&mut self) {
        self.step();
        while self.peek().is_some() {
            match memchr::memchr2(b'"', b'\\', self.rest) {
                None => self.rest = &[],
                Some(at) => {
                    let is_end = self.rest.get(at) == Some(&b'"');
                    self.rest = self.rest.get(at.saturating_add(1)..).unwrap_or_default();
                    if is_end {
                        return;
                    }
                    // What is escaped, be it a quote.
                    let _ = self.next();
                }
            }
        }
    }
}
