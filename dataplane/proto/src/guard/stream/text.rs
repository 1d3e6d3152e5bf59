//! Strings of JSON: what they say, and which of their bytes say it.
//!
//! Lenient: where a client's parser might refuse, something is read all the same, so that what is looked at is never
//! less than what somebody may read.

use std::ops::Range;

/// A piece of a string's content.
enum Piece {
    /// Bytes that stand for themselves.
    Plain(Range<usize>),
    /// An escape and what it stands for.
    Escape {
        raw: Range<usize>,
        bytes: [u8; 4],
        len: usize,
    },
}

struct Pieces<'a> {
    content: &'a [u8],
    at: usize,
}

impl Iterator for Pieces<'_> {
    type Item = Piece;

    fn next(&mut self) -> Option<Piece> {
        let rest = self.content.get(self.at..).filter(|rest| !rest.is_empty())?;
        let from = self.at;
        match memchr::memchr(b'\\', rest) {
            Some(0) => {
                let (c, width) = escape(rest);
                self.at += width;
                let mut bytes = [0; 4];
                let len = c.encode_utf8(&mut bytes).len();
                let raw = from..self.at;
                Some(Piece::Escape { raw, bytes, len })
            }
            found => {
                self.at += found.unwrap_or(rest.len());
                Some(Piece::Plain(from..self.at))
            }
        }
    }
}

/// Reads the escape at the start of `rest`: what it stands for, and how many bytes it takes.
fn escape(rest: &[u8]) -> (char, usize) {
    let Some(&kind) = rest.get(1) else {
        return ('\\', 1);
    };
    let c = match kind {
        b'n' => '\n',
        b't' => '\t',
        b'r' => '\r',
        b'b' => '\u{8}',
        b'f' => '\u{c}',
        b'u' => return unicode(rest),
        // Of a character of several bytes, the others follow as they are; the reader sees both.
        0x80.. => return (char::REPLACEMENT_CHARACTER, 1),
        other => char::from(other),
    };
    (c, 2)
}

fn unicode(rest: &[u8]) -> (char, usize) {
    let Some(first) = hex(rest.get(2..6)) else {
        return ('u', 2);
    };
    if let 0xd800..=0xdbff = first
        && rest.get(6..8) == Some(b"\\u")
        && let Some(second @ 0xdc00..=0xdfff) = hex(rest.get(8..12))
    {
        let code = 0x1_0000 + ((first - 0xd800) << 10) + (second - 0xdc00);
        return (char::from_u32(code).unwrap_or(char::REPLACEMENT_CHARACTER), 12);
    }
    (char::from_u32(first).unwrap_or(char::REPLACEMENT_CHARACTER), 6)
}

/// Four hexadecimal digits.
pub(super) fn hex(digits: Option<&[u8]>) -> Option<u32> {
    let digits = digits.filter(|digits| digits.len() == 4)?;
    digits.iter().try_fold(0, |value, digit| {
        let digit = char::from(*digit).to_digit(16)?;
        Some(value * 16 + digit)
    })
}

/// Appends what the content of a string (between its quotes) says.
pub(super) fn decode(content: &[u8], out: &mut Vec<u8>) {
    for piece in (Pieces { content, at: 0 }) {
        match piece {
            Piece::Plain(range) => out.extend_from_slice(content.get(range).unwrap_or_default()),
            Piece::Escape { bytes, len, .. } => {
                out.extend_from_slice(bytes.get(..len).unwrap_or_default());
            }
        }
    }
}

/// The bytes of the content that say the bytes `said` of what [`decode`] gives; whole escapes.
pub(super) fn locate(content: &[u8], said: Range<usize>) -> Range<usize> {
    let mut at = 0;
    let mut start = None;
    let mut end = content.len();
    for piece in (Pieces { content, at: 0 }) {
        let (raw, len, plain) = match piece {
            Piece::Plain(raw) => {
                let len = raw.len();
                (raw, len, true)
            }
            Piece::Escape { raw, len, .. } => (raw, len, false),
        };
        let next = at + len;
        if start.is_none() && said.start < next {
            start = Some(if plain {
                raw.start + (said.start - at)
            } else {
                raw.start
            });
        }
        if said.end <= next {
            end = if plain && said.end >= at {
                raw.start + (said.end - at)
            } else if said.end <= at {
                raw.start
            } else {
                raw.end
            };
            break;
        }
        at = next;
    }
    let start = start.unwrap_or(content.len());
    start..end.max(start)
}

/// Appends text as the content of a JSON string, without quotes.
pub(super) fn encode(text: &str, out: &mut Vec<u8>) {
    let mut quoted = Vec::with_capacity(text.len() + 2);
    crate::splice::write_json_string(text, &mut quoted);
    out.extend_from_slice(quoted.get(1..quoted.len().saturating_sub(1)).unwrap_or_default());
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn escapes_are_read_and_found_again() {
        for (content, said) in [
            (r"plain", "plain"),
            (r"a\u0040b", "a@b"),
            (r#"\"\\\/\b\f\n\r\t"#, "\"\\/\u{8}\u{c}\n\r\t"),
            (r"\ud83d\ude00!", "\u{1f600}!"),
            (r"\ud83dx", "\u{fffd}x"),
            (r"\u00zz", "u00zz"),
            ("ü\\u00fcü", "üüü"),
            ("end\\", "end\\"),
        ] {
            let mut out = Vec::new();
            decode(content.as_bytes(), &mut out);
            assert_eq!(String::from_utf8_lossy(&out), said, "{content}");
            // Each character is said by bytes that say exactly it.
            for (at, c) in said.char_indices() {
                let raw = locate(content.as_bytes(), at..at + c.len_utf8());
                let mut one = Vec::new();
                decode(&content.as_bytes()[raw.clone()], &mut one);
                assert_eq!(one, c.to_string().as_bytes(), "{content} {raw:?}");
            }
            assert_eq!(locate(content.as_bytes(), 0..said.len()), 0..content.len());
        }
    }

    #[test]
    fn a_broken_escape_hides_nothing_behind_it() {
        let mut out = Vec::new();
        decode("\\ü x".as_bytes(), &mut out);
        assert!(out.ends_with("ü x".as_bytes()));
    }
}
