//! The scanner over the parts.
//!
//! A body is `--B`, then parts separated by `CR LF --B`, then `--`. The delimiter's first byte, CR, occurs nowhere
//! else in it (a boundary holds none), so after a mismatch the search goes on at the byte itself or at the next CR: one
//! counter of matched bytes is all the state there is, and every cut of the input gives the same answer.

use memchr::memchr;

use super::head::{Part, part};
use super::{FIELD_BYTES_MAX, MultipartFacts, MultipartReject, PART_HEAD_BYTES_MAX, PARTS_MAX};
use crate::json::StringFact;

/// Where the scanner stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum State {
    /// In the first delimiter, which has no CR LF before it.
    Opening,
    /// After a delimiter: `CR LF` begins a part, `--` ends the body.
    AfterDelimiter,
    /// After the CR there.
    AfterDelimiterCr,
    /// After the first `-` there.
    AfterDelimiterDash,
    /// In a part's head.
    Head,
    /// In a part's body.
    Body,
    /// After the last delimiter: one CR LF may follow.
    Closed,
    /// After the CR there.
    ClosedCr,
    /// After CR LF there: nothing may follow.
    Ended,
}

/// Incremental scanner of a `multipart/form-data` body.
#[derive(Clone, Debug)]
pub struct MultipartScan {
    /// `CR LF --B`
    delimiter: Vec<u8>,
    state: State,
    /// Bytes of `delimiter` matched so far.
    matched: usize,
    /// Absolute offset of the next byte.
    offset: u64,
    /// The part's head, at most [`PART_HEAD_BYTES_MAX`] bytes.
    head: Vec<u8>,
    /// What the current part is.
    part: Part,
    /// The policy field's value so far, at most [`FIELD_BYTES_MAX`] bytes and a delimiter.
    value: Vec<u8>,
    /// Absolute offset of the current part's first body byte.
    value_start: u64,
    facts: MultipartFacts,
    failed: Option<MultipartReject>,
}

impl MultipartScan {
    /// A scanner for bodies with this boundary (see [`super::boundary`]).
    #[must_use]
    pub fn new(boundary: &[u8]) -> Self {
        let mut delimiter = Vec::with_capacity(boundary.len().saturating_add(4));
        delimiter.extend_from_slice(b"\r\n--");
        delimiter.extend_from_slice(boundary);
        Self {
            delimiter,
            state: State::Opening,
            matched: 2,
            offset: 0,
            head: Vec::new(),
            part: Part::Other,
            value: Vec::new(),
            value_start: 0,
            facts: MultipartFacts::default(),
            failed: None,
        }
    }

    /// Takes the next piece of the body.
    ///
    /// # Errors
    ///
    /// The first fault found; the same again on every later call.
    pub fn feed(&mut self, chunk: &[u8]) -> Result<(), MultipartReject> {
        if let Some(reject) = self.failed {
            return Err(reject);
        }
        self.run(chunk).map_err(|reason| {
            let reject = MultipartReject {
                offset: self.offset,
                reason,
            };
            self.failed = Some(reject);
            reject
        })
    }

    /// Ends the body.
    ///
    /// # Errors
    ///
    /// A fault found before, or a body that does not end with its closing delimiter.
    pub fn finish(&mut self) -> Result<MultipartFacts, MultipartReject> {
        if let Some(reject) = self.failed {
            return Err(reject);
        }
        match self.state {
            State::Closed | State::Ended => {
                self.facts.bytes = self.offset;
                Ok(std::mem::take(&mut self.facts))
            }
            _ => Err(MultipartReject {
                offset: self.offset,
                reason: "the form ends before its closing boundary",
            }),
        }
    }

    fn run(&mut self, chunk: &[u8]) -> Result<(), &'static str> {
        let mut rest = chunk;
        while let Some((&byte, tail)) = rest.split_first() {
            if self.state == State::Body {
                let taken = self.body(rest)?;
                self.advance(taken);
                rest = rest.get(taken..).unwrap_or_default();
                continue;
            }
            self.step(byte)?;
            self.advance(1);
            rest = tail;
            if self.state == State::Body {
                self.value_start = self.offset;
            }
        }
        Ok(())
    }

    fn advance(&mut self, bytes: usize) {
        self.offset = self
            .offset
            .saturating_add(u64::try_from(bytes).unwrap_or(u64::MAX));
    }

    /// One byte outside a part's body.
    fn step(&mut self, byte: u8) -> Result<(), &'static str> {
        self.state = match (self.state, byte) {
            (State::Opening, _) => {
                if self.delimiter.get(self.matched) != Some(&byte) {
                    return Err("the form does not begin with its boundary");
                }
                self.matched += 1;
                if self.matched == self.delimiter.len() {
                    State::AfterDelimiter
                } else {
                    State::Opening
                }
            }
            (State::AfterDelimiter, b'\r') => State::AfterDelimiterCr,
            (State::AfterDelimiter, b'-') => State::AfterDelimiterDash,
            (State::AfterDelimiterCr, b'\n') => {
                self.begin_part()?;
                State::Head
            }
            (State::AfterDelimiterDash, b'-') => State::Closed,
            (State::Head, _) => {
                if self.head.len() >= PART_HEAD_BYTES_MAX {
                    return Err("the head of a part is too large");
                }
                self.head.push(byte);
                // An empty head ends with a lone CR LF, every other one with an empty line.
                if self.head.ends_with(b"\r\n\r\n") || self.head == b"\r\n" {
                    self.end_head()?;
                    State::Body
                } else {
                    State::Head
                }
            }
            (State::Closed, b'\r') => State::ClosedCr,
            (State::ClosedCr, b'\n') => State::Ended,
            (State::Closed | State::ClosedCr | State::Ended, _) => {
                return Err("bytes after the end of the form");
            }
            (
                State::AfterDelimiter | State::AfterDelimiterCr | State::AfterDelimiterDash | State::Body,
                _,
            ) => {
                return Err("unexpected bytes after a boundary");
            }
        };
        Ok(())
    }

    fn begin_part(&mut self) -> Result<(), &'static str> {
        if self.facts.parts >= PARTS_MAX {
            return Err("too many parts");
        }
        self.facts.parts += 1;
        self.head.clear();
        Ok(())
    }

    fn end_head(&mut self) -> Result<(), &'static str> {
        let end = self.head.len().saturating_sub(2);
        self.part = part(self.head.get(..end).unwrap_or_default())?;
        let doubled = match self.part {
            Part::Model => self.facts.model.is_some(),
            Part::Stream => self.facts.stream.is_some(),
            Part::Other => false,
        };
        if doubled {
            return Err("the fields \"model\" and \"stream\" must not occur twice");
        }
        self.value.clear();
        self.matched = 0;
        Ok(())
    }

    /// A run of a part's body; returns how much of it was taken.
    fn body(&mut self, bytes: &[u8]) -> Result<usize, &'static str> {
        let Some((&byte, _)) = bytes.split_first() else {
            return Ok(0);
        };
        if self.matched == 0 {
            let plain = memchr(b'\r', bytes).unwrap_or(bytes.len());
            if plain > 0 {
                self.keep(bytes.get(..plain).unwrap_or_default())?;
                return Ok(plain);
            }
        }
        self.keep(&[byte])?;
        if self.delimiter.get(self.matched) == Some(&byte) {
            self.matched += 1;
        } else {
            self.matched = usize::from(byte == b'\r');
        }
        if self.matched == self.delimiter.len() {
            self.end_part()?;
            self.state = State::AfterDelimiter;
        }
        Ok(1)
    }

    /// Keeps bytes of a policy field.
    fn keep(&mut self, bytes: &[u8]) -> Result<(), &'static str> {
        if self.part != Part::Other {
            if self.value.len().saturating_add(bytes.len()) > FIELD_BYTES_MAX + self.delimiter.len() {
                return Err("the value of a field is too long");
            }
            self.value.extend_from_slice(bytes);
        }
        Ok(())
    }

    /// The delimiter after a part has just been matched in whole.
    fn end_part(&mut self) -> Result<(), &'static str> {
        if self.part == Part::Other {
            return Ok(());
        }
        let len = self.value.len().saturating_sub(self.delimiter.len());
        let value = self.value.get(..len).unwrap_or_default();
        if len > FIELD_BYTES_MAX {
            return Err("the value of a field is too long");
        }
        let span = self.value_start
            ..self
                .value_start
                .saturating_add(u64::try_from(len).unwrap_or(u64::MAX));
        match self.part {
            Part::Model => {
                let text = std::str::from_utf8(value).map_err(|_| "the field \"model\" is not UTF-8")?;
                self.facts.model = Some(StringFact {
                    value: text.to_owned(),
                    span,
                });
            }
            Part::Stream => {
                self.facts.stream = Some(match value {
                    b"true" => true,
                    b"false" => false,
                    _ => return Err("the field \"stream\" must be true or false"),
                });
                self.facts.stream_span = Some(span);
            }
            Part::Other => {}
        }
        Ok(())
    }
}
