//! Byte edits over a chain of chunks: change only the bytes concerned, hand on all others as they came.
//!
//! A body arrives as a chain of chunks and leaves as the same chain with a few replacements. [`Edits`] holds them in
//! absolute offsets of the original body, sorted and disjoint; [`Edits::pieces`] walks chain and edits side by side
//! and yields slices, copying nothing. Since the chain itself is never changed, a retry starts from the original.

use std::ops::Range;

use bytes::Bytes;

use crate::json::Facts;

mod output;

pub use output::OutputKey;

/// Replace the bytes `at` (of the original body) by `with`. An empty range inserts.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Edit {
    /// Absolute offsets in the original body.
    pub at: Range<u64>,
    /// What stands there afterwards.
    pub with: Bytes,
}

/// Why edits cannot be applied together.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum EditError {
    /// Two edits touch the same bytes, or a range is reversed.
    #[error("two edits overlap")]
    Overlap,
    /// An edit reaches beyond the end of the body.
    #[error("an edit lies beyond the end of the body")]
    BeyondEnd,
}

/// Edits of one body, sorted and disjoint.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Edits(Vec<Edit>);

impl Edits {
    /// Sorts the edits.
    ///
    /// # Errors
    ///
    /// [`EditError::Overlap`] if two of them touch the same byte. Two insertions at one place keep their order.
    pub fn new(mut edits: Vec<Edit>) -> Result<Self, EditError> {
        edits.sort_by_key(|edit| (edit.at.start, edit.at.end));
        let reversed = edits.iter().any(|edit| edit.at.end < edit.at.start);
        let overlap = edits
            .iter()
            .zip(edits.iter().skip(1))
            .any(|(a, b)| a.at.end > b.at.start);
        if reversed || overlap {
            Err(EditError::Overlap)
        } else {
            Ok(Self(edits))
        }
    }

    /// Whether nothing changes.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// The edits in the order of their places.
    #[must_use]
    pub fn as_slice(&self) -> &[Edit] {
        &self.0
    }

    /// Length of the body after the edits, given its length before.
    ///
    /// # Errors
    ///
    /// [`EditError::BeyondEnd`] if an edit reaches beyond `len`.
    pub fn len_after(&self, len: u64) -> Result<u64, EditError> {
        let mut after = len;
        for edit in &self.0 {
            if edit.at.end > len {
                return Err(EditError::BeyondEnd);
            }
            let removed = edit.at.end - edit.at.start;
            let added = u64::try_from(edit.with.len()).unwrap_or(u64::MAX);
            after = after.saturating_sub(removed).saturating_add(added);
        }
        Ok(after)
    }

    /// The edited body as slices of the chunks and of the replacements; empty slices are left out.
    pub fn pieces<'a, C: AsRef<[u8]>>(&'a self, chunks: &'a [C]) -> Pieces<'a, C> {
        Pieces {
            chunks,
            edits: &self.0,
            chunk_start: 0,
            at: 0,
        }
    }

    /// As [`Self::pieces`], as owned handles that share the chunks' memory.
    pub fn pieces_owned<'a>(&'a self, chunks: &'a [Bytes]) -> impl Iterator<Item = Bytes> + 'a {
        let mut pieces = self.pieces(chunks);
        std::iter::from_fn(move || {
            Some(match pieces.next_piece()? {
                Piece::Kept { chunk, range } => chunk.slice(range),
                Piece::New(with) => with.clone(),
            })
        })
    }
}

/// One piece of output.
enum Piece<'a, C> {
    Kept { chunk: &'a C, range: Range<usize> },
    New(&'a Bytes),
}

/// Iterator over an edited body; see [`Edits::pieces`].
pub struct Pieces<'a, C> {
    /// Chunks not wholly passed yet.
    chunks: &'a [C],
    /// Edits not wholly applied yet.
    edits: &'a [Edit],
    /// Absolute offset of the first of `chunks`.
    chunk_start: u64,
    /// Absolute offset of the next byte to hand out; `chunk_start <= at`.
    at: u64,
}

impl<'a, C: AsRef<[u8]>> Pieces<'a, C> {
    fn next_piece(&mut self) -> Option<Piece<'a, C>> {
        loop {
            if let Some((edit, rest)) = self.edits.split_first()
                && self.at >= edit.at.start
            {
                // All bytes before the edit are out: hand out the replacement and step over the replaced bytes.
                self.at = self.at.max(edit.at.end);
                self.edits = rest;
                if !edit.with.is_empty() {
                    return Some(Piece::New(&edit.with));
                }
                continue;
            }
            let (chunk, rest) = self.chunks.split_first()?;
            let chunk_len = u64::try_from(chunk.as_ref().len()).unwrap_or(u64::MAX);
            let chunk_end = self.chunk_start.saturating_add(chunk_len);
            if self.at >= chunk_end {
                self.chunk_start = chunk_end;
                self.chunks = rest;
                continue;
            }
            let until = self
                .edits
                .first()
                .map_or(chunk_end, |edit| edit.at.start.min(chunk_end));
            let from = usize::try_from(self.at - self.chunk_start).unwrap_or(usize::MAX);
            let to = usize::try_from(until - self.chunk_start).unwrap_or(usize::MAX);
            self.at = until;
            return Some(Piece::Kept {
                chunk,
                range: from..to,
            });
        }
    }
}

impl<'a, C: AsRef<[u8]>> Iterator for Pieces<'a, C> {
    type Item = &'a [u8];

    fn next(&mut self) -> Option<&'a [u8]> {
        Some(match self.next_piece()? {
            Piece::Kept { chunk, range } => chunk.as_ref().get(range).unwrap_or_default(),
            Piece::New(with) => with,
        })
    }
}

/// Puts another model name into a JSON body; `None` if the body names no model.
#[must_use]
pub fn replace_model(facts: &Facts, model: &str) -> Option<Edit> {
    let fact = facts.model.as_ref()?;
    Some(Edit {
        at: fact.span.clone(),
        with: json_string(model),
    })
}

/// Makes a JSON body say `stream_options.include_usage: true`; `None` if it does already.
#[must_use]
pub fn include_usage(facts: &Facts) -> Option<Edit> {
    let insert = |at: u64, with: &'static str| {
        Some(Edit {
            at: at..at,
            with: Bytes::from_static(with.as_bytes()),
        })
    };
    match &facts.stream_options {
        Some(options) if options.include_usage == Some(true) => None,
        Some(options) if options.is_null => Some(Edit {
            at: options.span.clone(),
            with: Bytes::from_static(br#"{"include_usage":true}"#),
        }),
        Some(options) => match &options.include_usage_span {
            Some(span) => Some(Edit {
                at: span.clone(),
                with: Bytes::from_static(b"true"),
            }),
            None if options.is_empty => insert(options.open, r#""include_usage":true"#),
            None => insert(options.open, r#""include_usage":true,"#),
        },
        None if facts.is_empty_object => insert(
            facts.top_level_object_open,
            r#""stream_options":{"include_usage":true}"#,
        ),
        None => insert(
            facts.top_level_object_open,
            r#""stream_options":{"include_usage":true},"#,
        ),
    }
}

/// `text` as a JSON string, quotes included.
#[must_use]
pub fn json_string(text: &str) -> Bytes {
    let mut out = Vec::with_capacity(text.len().saturating_add(2));
    write_json_string(text, &mut out);
    out.into()
}

/// Appends `text` as a JSON string, quotes included. Control characters, quotes and backslashes are escaped; so is
/// U+007F, and U+2028/U+2029 for readers that take JSON for JavaScript.
pub fn write_json_string(text: &str, out: &mut Vec<u8>) {
    const HEX: &[u8; 16] = b"0123456789abcdef";
    out.push(b'"');
    for c in text.chars() {
        match c {
            '"' => out.extend_from_slice(br#"\""#),
            '\\' => out.extend_from_slice(br"\\"),
            '\n' => out.extend_from_slice(br"\n"),
            '\r' => out.extend_from_slice(br"\r"),
            '\t' => out.extend_from_slice(br"\t"),
            '\u{2028}' => out.extend_from_slice(br"\u2028"),
            '\u{2029}' => out.extend_from_slice(br"\u2029"),
            '\0'..='\u{1f}' | '\u{7f}' => {
                let code = u32::from(c).to_be_bytes()[3];
                out.extend_from_slice(br"\u00");
                out.push(HEX[usize::from(code >> 4)]);
                out.push(HEX[usize::from(code & 15)]);
            }
            _ => out.extend_from_slice(c.encode_utf8(&mut [0; 4]).as_bytes()),
        }
    }
    out.push(b'"');
}
