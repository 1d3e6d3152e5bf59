//! The text of a JSON string, and where each of its bytes comes from.

use std::ops::Range;

/// An escape that has been decoded.
#[derive(Clone, Debug)]
struct Escape {
    text: Range<usize>,
    raw: Range<usize>,
}

/// A decoded string. Kept to be used again for the next.
#[derive(Clone, Debug, Default)]
pub(super) struct Text {
    bytes: Vec<u8>,
    escapes: Vec<Escape>,
}

impl Text {
    /// Decodes what stands between the quotes of a JSON string. What is no escape stays as it is.
    pub(super) fn decode(&mut self, raw: &[u8]) {
        self.bytes.clear();
        self.escapes.clear();
        let mut at = 0;
        while let Some(rest) = raw.get(at..).filter(|rest| !rest.is_empty()) {
            let plain = memchr::memchr(b'\\', rest).unwrap_or(rest.len());
            self.bytes
                .extend_from_slice(rest.get(..plain).unwrap_or_default());
            at += plain;
            let Some(escape) = rest.get(plain..).filter(|escape| !escape.is_empty()) else {
                break;
            };
            let begin = self.bytes.len();
            let len = self.escape(escape).min(escape.len());
            self.escapes.push(Escape {
                text: begin..self.bytes.len(),
                raw: at..at + len,
            });
            at += len;
        }
    }

    /// The text.
    pub(super) fn bytes(&self) -> &[u8] {
        &self.bytes
    }

    /// Decodes one escape; returns its length.
    fn escape(&mut self, escape: &[u8]) -> usize {
        let plain = match escape.get(1) {
            Some(b'n') => b'\n',
            Some(b't') => b'\t',
            Some(b'r') => b'\r',
            Some(b'b') => 8,
            Some(b'f') => 12,
            Some(b'u') => return self.unicode(escape),
            Some(other) => *other,
            None => b'\\',
        };
        self.bytes.push(plain);
        2
    }

    fn unicode(&mut self, escape: &[u8]) -> usize {
        let unit = |at: usize| -> Option<u32> {
            let digits = escape.get(at..at + 6)?.strip_prefix(b"\\u")?;
            digits.iter().try_fold(0, |value, digit| {
                Some(value << 4 | char::from(*digit).to_digit(16)?)
            })
        };
        let (code, len) = match (unit(0), unit(6)) {
            (Some(high @ 0xD800..=0xDBFF), Some(low @ 0xDC00..=0xDFFF)) => {
                (0x1_0000 + ((high - 0xD800) << 10) + (low - 0xDC00), 12)
            }
            (Some(code), _) => (code, 6),
            (None, _) => (0xFFFD, 2),
        };
        let code = char::from_u32(code).unwrap_or('\u{FFFD}');
        self.bytes
            .extend_from_slice(code.encode_utf8(&mut [0; 4]).as_bytes());
        len
    }

    /// The raw bytes that a part of the text comes from; a character in part is one in whole.
    pub(super) fn raw(&self, part: &Range<usize>) -> Range<usize> {
        let start = match self.before(part.start) {
            Some(escape) if part.start < escape.text.end => escape.raw.start,
            Some(escape) => escape.raw.end + (part.start - escape.text.end),
            None => part.start,
        };
        let end = match self.before(part.end.saturating_sub(1)) {
            Some(escape) if part.end <= escape.text.end => escape.raw.end,
            Some(escape) => escape.raw.end + (part.end - escape.text.end),
            None => part.end,
        };
        start..end.max(start)
    }

    /// The last escape whose text begins at or before an offset.
    fn before(&self, at: usize) -> Option<&Escape> {
        let count = self.escapes.partition_point(|escape| escape.text.start <= at);
        self.escapes.get(count.checked_sub(1)?)
    }
}

/// Widens a part of a text to whole characters, should it be UTF-8.
pub(super) fn whole_characters(text: &[u8], part: &Range<usize>) -> Range<usize> {
    let inner = |at: usize| text.get(at).is_some_and(|byte| byte & 0xC0 == 0x80);
    let (mut start, mut end) = (part.start, part.end);
    while start > 0 && inner(start) {
        start -= 1;
    }
    while inner(end) {
        end += 1;
    }
    start..end
}
