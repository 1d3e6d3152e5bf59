//! Bodies that are a row of JSON documents: one a line, or the elements of one array sent piece by piece.
//!
//! Both cutters hand out a document as a slice of the caller's bytes where it lies wholly in them, and keep only
//! an unfinished one. A document over [`DOCUMENT_BYTES_MAX`] is handed out in pieces, as [`Piece::Long`].

/// Longest document handed out whole, in bytes.
pub const DOCUMENT_BYTES_MAX: usize = 1 << 20;

/// Part of a row of documents.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Piece<'a> {
    /// A whole document.
    Whole(&'a [u8]),
    /// Part of a document that is too long.
    Long(&'a [u8]),
    /// The end of a document that came as [`Piece::Long`].
    LongEnd,
}

/// The bytes of an unfinished document.
#[derive(Debug, Default)]
pub(crate) struct Carry {
    bytes: Vec<u8>,
    long: bool,
}

/// A buffer grown beyond this is given back once its document is through.
const KEEP_BYTES_MAX: usize = 64 * 1024;

impl Carry {
    /// Adds the end of a document and hands it out.
    pub(crate) fn end(&mut self, tail: &[u8], mut sink: impl FnMut(Piece<'_>)) {
        if self.long {
            sink(Piece::Long(tail));
            sink(Piece::LongEnd);
            self.long = false;
        } else if self.bytes.len().saturating_add(tail.len()) > DOCUMENT_BYTES_MAX {
            sink(Piece::Long(&self.bytes));
            sink(Piece::Long(tail));
            sink(Piece::LongEnd);
            self.bytes = Vec::new();
        } else if self.bytes.is_empty() {
            sink(Piece::Whole(tail));
        } else {
            self.bytes.extend_from_slice(tail);
            sink(Piece::Whole(&self.bytes));
            if self.bytes.capacity() > KEEP_BYTES_MAX {
                self.bytes = Vec::new();
            } else {
                self.bytes.clear();
            }
        }
    }

    /// Whether nothing is kept.
    pub(crate) fn is_empty(&self) -> bool {
        self.bytes.is_empty() && !self.long
    }

    /// Keeps the beginning of a document.
    pub(crate) fn keep(&mut self, part: &[u8], mut sink: impl FnMut(Piece<'_>)) {
        if self.long {
            sink(Piece::Long(part));
        } else if self.bytes.len().saturating_add(part.len()) > DOCUMENT_BYTES_MAX {
            sink(Piece::Long(&self.bytes));
            sink(Piece::Long(part));
            self.bytes = Vec::new();
            self.long = true;
        } else {
            self.bytes.extend_from_slice(part);
        }
    }

    pub(crate) fn finish(&mut self, mut sink: impl FnMut(Piece<'_>)) {
        if self.long {
            sink(Piece::LongEnd);
            self.long = false;
        } else if !self.bytes.is_empty() {
            sink(Piece::Whole(&self.bytes));
            self.bytes.clear();
        }
    }
}

/// Cuts a body at its line ends. Empty lines are passed over.
#[derive(Debug, Default)]
pub struct Lines {
    carry: Carry,
}

impl Lines {
    /// Takes the next bytes.
    pub fn feed(&mut self, bytes: &[u8], mut sink: impl FnMut(Piece<'_>)) {
        let mut rest = bytes;
        while let Some(end) = memchr::memchr(b'\n', rest) {
            let (line, after) = rest.split_at(end);
            if !(self.carry.is_empty() && line.trim_ascii().is_empty()) {
                self.carry.end(line, &mut sink);
            }
            rest = after.get(1..).unwrap_or_default();
        }
        if !rest.is_empty() {
            self.carry.keep(rest, sink);
        }
    }

    /// Ends the body: a last line without a line end counts.
    pub fn finish(&mut self, sink: impl FnMut(Piece<'_>)) {
        self.carry.finish(sink);
    }
}

/// Cuts a JSON array into its elements, or a row of documents into documents, as they arrive.
#[derive(Debug)]
pub struct Documents {
    carry: Carry,
    /// Depth at which a document stands: 1 in an array, 0 in a row.
    base: u32,
    depth: u32,
    in_string: bool,
    escape: bool,
    closed: bool,
}

impl Documents {
    /// For the elements of one array; the first significant byte must be its `[`.
    #[must_use]
    pub fn of_array() -> Self {
        Self {
            carry: Carry::default(),
            base: 1,
            depth: 0,
            in_string: false,
            escape: false,
            closed: false,
        }
    }

    /// For documents one after another, however they are laid out.
    #[must_use]
    pub fn in_row() -> Self {
        Self {
            base: 0,
            ..Self::of_array()
        }
    }

    /// Whether the array has been closed, or no document is open.
    #[must_use]
    pub const fn closed(&self) -> bool {
        self.closed
    }

    /// Takes the next bytes.
    pub fn feed(&mut self, bytes: &[u8], mut sink: impl FnMut(Piece<'_>)) {
        let mut start = if self.depth > self.base { Some(0) } else { None };
        let mut at = 0;
        while let Some(&byte) = bytes.get(at) {
            if self.in_string {
                if self.escape {
                    self.escape = false;
                    at += 1;
                    continue;
                }
                let rest = bytes.get(at..).unwrap_or_default();
                let Some(found) = memchr::memchr2(b'"', b'\\', rest) else {
                    break;
                };
                at += found + 1;
                if rest.get(found) == Some(&b'"') {
                    self.in_string = false;
                } else {
                    self.escape = true;
                }
                continue;
            }
            match byte {
                b'"' => self.in_string = true,
                b'{' | b'[' => {
                    if self.depth == self.base {
                        start = Some(at);
                        self.closed = false;
                    }
                    self.depth = self.depth.saturating_add(1);
                }
                b'}' | b']' => {
                    self.depth = self.depth.saturating_sub(1);
                    if self.depth == self.base
                        && let Some(from) = start.take()
                    {
                        self.carry
                            .end(bytes.get(from..=at).unwrap_or_default(), &mut sink);
                    }
                    self.closed = self.depth == 0;
                }
                _ => {}
            }
            at += 1;
        }
        if let Some(from) = start {
            self.carry.keep(bytes.get(from..).unwrap_or_default(), sink);
        }
    }

    /// Ends the body; an unfinished document is handed out as it is.
    pub fn finish(&mut self, sink: impl FnMut(Piece<'_>)) {
        self.carry.finish(sink);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn collect(feed: impl Fn(&mut dyn FnMut(Piece<'_>))) -> Vec<String> {
        let mut all = Vec::new();
        feed(&mut |piece| match piece {
            Piece::Whole(bytes) => all.push(String::from_utf8(bytes.to_vec()).unwrap()),
            Piece::Long(bytes) => all.push(format!("long {}", bytes.len())),
            Piece::LongEnd => all.push("end".to_owned()),
        });
        all
    }

    #[test]
    fn lines_at_every_cut() {
        let body = b"{\"a\":1}\r\n\n{\"b\":2}\n{\"c\":3}";
        for cut in 0..=body.len() {
            let got = collect(|mut sink| {
                let mut lines = Lines::default();
                lines.feed(&body[..cut], &mut sink);
                lines.feed(&body[cut..], &mut sink);
                lines.finish(&mut sink);
            });
            let got: Vec<&str> = got
                .iter()
                .map(|line| line.trim())
                .filter(|line| !line.is_empty())
                .collect();
            assert_eq!(got, ["{\"a\":1}", "{\"b\":2}", "{\"c\":3}"], "{cut}");
        }
    }

    #[test]
    fn array_elements_and_rows_at_every_cut() {
        let array = br#" [{"a":"]}\"["}
,
 {"b":[{}]},{}]"#;
        let row = b"{\n \"a\": \"}\"\n}\n{\"b\":[1]}[]";
        for cut in 0..=array.len() {
            let got = collect(|mut sink| {
                let mut documents = Documents::of_array();
                documents.feed(&array[..cut], &mut sink);
                documents.feed(&array[cut..], &mut sink);
                assert!(documents.closed());
            });
            assert_eq!(got, [r#"{"a":"]}\"["}"#, r#"{"b":[{}]}"#, "{}"], "{cut}");
        }
        for cut in 0..=row.len() {
            let got = collect(|mut sink| {
                let mut documents = Documents::in_row();
                documents.feed(&row[..cut], &mut sink);
                documents.feed(&row[cut..], &mut sink);
            });
            assert_eq!(got, ["{\n \"a\": \"}\"\n}", "{\"b\":[1]}", "[]"], "{cut}");
        }
    }

    #[test]
    fn long_documents_come_in_pieces_whatever_the_cuts() {
        let body = format!("[{{\"a\":\"{}\"}},{{}}]", "x".repeat(DOCUMENT_BYTES_MAX));
        for step in [body.len(), 100_000] {
            let mut bytes = 0;
            let mut rest = Vec::new();
            let mut documents = Documents::of_array();
            for piece in body.as_bytes().chunks(step) {
                documents.feed(piece, |piece| match piece {
                    Piece::Long(part) => bytes += part.len(),
                    Piece::LongEnd => rest.push("end".to_owned()),
                    Piece::Whole(part) => rest.push(String::from_utf8(part.to_vec()).unwrap()),
                });
            }
            assert_eq!(
                (bytes, rest),
                (body.len() - 5, vec!["end".to_owned(), "{}".to_owned()])
            );
        }
    }
}
