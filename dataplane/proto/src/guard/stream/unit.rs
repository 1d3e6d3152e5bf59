//! One unit of a body while it waits: its bytes, the document in it, and what changes before it is handed on.

use std::ops::Range;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use sluice_shared::api::ApiKind;

use super::cut::Framing;
use super::inner::Run;
use super::lane::Change;
use super::place::Form;
use super::tape::{Tape, wide};
use super::text;
use crate::eventstream;

/// How a document stands in a unit.
#[derive(Debug)]
enum Shape {
    /// As it is: where each piece of the document stands in the bytes.
    Plain(Vec<Slice>),
    /// As the payload of a message of an event stream.
    Payload(Range<usize>),
    /// In base64, as a string of such a payload.
    Packed {
        payload: Range<usize>,
        string: Range<usize>,
    },
}

#[derive(Clone, Debug)]
struct Slice {
    doc: usize,
    raw: usize,
    len: usize,
}

/// A unit of a body.
#[derive(Debug)]
pub(super) struct Unit {
    raw: Vec<u8>,
    shape: Shape,
    /// The document, where it does not stand in the bytes in one piece.
    doc: Vec<u8>,
    /// Name of the event, where it is said outside of the document.
    name: Range<usize>,
    /// Bytes beside the document that are looked at by themselves.
    pub(super) odd: Vec<Range<usize>>,
    /// The document is text and not JSON.
    pub(super) is_text: bool,
    /// It marks the end of the stream.
    pub(super) is_end: bool,
    /// Strings of it that are not judged yet.
    pub(super) open: u32,
    /// When it came, in the caller's milliseconds.
    pub(super) since_ms: u64,
    edits: Vec<(Range<usize>, Vec<u8>)>,
    odd_edits: Vec<(Range<usize>, Vec<u8>)>,
    /// What goes if anything changes, and what takes its place.
    logprobs: Vec<(Range<usize>, &'static [u8])>,
}

/// Why a unit cannot be read.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Unreadable;

impl Unit {
    /// Reads how the unit is made up.
    pub(super) fn new(
        raw: Vec<u8>,
        framing: Framing,
        kind: ApiKind,
        since_ms: u64,
        tape: &mut Tape,
    ) -> Result<Self, Unreadable> {
        let len = raw.len();
        let mut unit = Self {
            raw,
            shape: Shape::Plain(vec![Slice { doc: 0, raw: 0, len }]),
            doc: Vec::new(),
            name: 0..0,
            odd: Vec::new(),
            is_text: framing == Framing::Text,
            is_end: false,
            open: 0,
            since_ms,
            edits: Vec::new(),
            odd_edits: Vec::new(),
            logprobs: Vec::new(),
        };
        match framing {
            Framing::Sse => unit.read_event(),
            Framing::Messages => unit.read_message(kind, tape)?,
            Framing::Lines => {
                let first = unit.raw.trim_ascii().first().copied();
                unit.is_text = !matches!(first, None | Some(b'{' | b'['));
            }
            Framing::Array | Framing::Row | Framing::Document | Framing::Text => {}
        }
        Ok(unit)
    }

    /// Bytes that it takes.
    pub(super) fn len(&self) -> usize {
        self.raw.len().saturating_add(self.doc.len())
    }

    /// The document.
    pub(super) fn doc(&self) -> &[u8] {
        match &self.shape {
            Shape::Plain(slices) => match slices.as_slice() {
                [one] => self.raw.get(one.raw..one.raw + one.len).unwrap_or_default(),
                _ => &self.doc,
            },
            Shape::Payload(payload) => self.raw.get(payload.clone()).unwrap_or_default(),
            Shape::Packed { .. } => &self.doc,
        }
    }

    /// The event's name.
    pub(super) fn name(&self) -> &[u8] {
        self.raw.get(self.name.clone()).unwrap_or_default()
    }

    /// Bytes beside the document.
    pub(super) fn odd_bytes(&self, range: &Range<usize>) -> &[u8] {
        self.raw.get(range.clone()).unwrap_or_default()
    }

    fn read_event(&mut self) {
        let mut slices: Vec<Slice> = Vec::new();
        let mut doc_len = 0;
        let mut at = if self.raw.starts_with(b"\xEF\xBB\xBF") {
            3
        } else {
            0
        };
        while let Some(rest) = self.raw.get(at..).filter(|rest| !rest.is_empty()) {
            let end = memchr::memchr2(b'\n', b'\r', rest).unwrap_or(rest.len());
            let line = rest.get(..end).unwrap_or_default();
            let colon = memchr::memchr(b':', line).unwrap_or(end);
            let blank = line.get(colon + 1) == Some(&b' ');
            let value = at + (colon + 1 + usize::from(blank)).min(end)..at + end;
            match line.get(..colon).unwrap_or_default() {
                b"data" => {
                    if !slices.is_empty() {
                        // Lines are joined by one line feed.
                        doc_len += 1;
                    }
                    slices.push(Slice {
                        doc: doc_len,
                        raw: value.start,
                        len: value.len(),
                    });
                    doc_len += value.len();
                }
                b"event" => self.name = value,
                b"id" | b"retry" => {}
                b"" if value.is_empty() => {}
                // Comments, and fields that nobody knows.
                _ => self.odd.push(value),
            }
            at += end + 1;
        }
        if slices.len() > 1 {
            for slice in &slices {
                if slice.doc > 0 {
                    self.doc.push(b'\n');
                }
                let line = self.raw.get(slice.raw..slice.raw + slice.len);
                self.doc.extend_from_slice(line.unwrap_or_default());
            }
        }
        if slices.is_empty() {
            slices.push(Slice {
                doc: 0,
                raw: 0,
                len: 0,
            });
        }
        self.shape = Shape::Plain(slices);
        let doc = self.doc().trim_ascii();
        let (is_end, first) = (doc == b"[DONE]", doc.first().copied());
        self.is_end = is_end;
        self.is_text = !matches!(first, Some(b'{' | b'['));
    }

    fn read_message(&mut self, kind: ApiKind, tape: &mut Tape) -> Result<(), Unreadable> {
        let message = eventstream::parse(&self.raw).ok_or(Unreadable)?;
        let place = |part: &[u8]| {
            let from = (part.as_ptr() as usize).wrapping_sub(self.raw.as_ptr() as usize);
            from..from.wrapping_add(part.len())
        };
        let payload = place(message.payload);
        let name = message.event_type.to_vec();
        let is_event = !matches!(message.message_type, b"exception" | b"error");
        let bytes = message.payload;
        if is_event && kind == ApiKind::BedrockInvoke && tape.read(bytes).is_ok() {
            let packed = tape.member(bytes, 0, b"bytes").and_then(|at| tape.node(at));
            if let Some(node) = packed {
                let string = wide(&node.at);
                let mut base64 = Vec::new();
                text::decode(bytes.get(string.clone()).unwrap_or_default(), &mut base64);
                let doc = STANDARD.decode(&base64).map_err(|_| Unreadable)?;
                self.doc = doc;
                self.shape = Shape::Packed { payload, string };
                return Ok(());
            }
        }
        self.is_text = !matches!(bytes.trim_ascii().first(), Some(b'{' | b'['));
        if let Some(at) = memchr::memmem::find(self.raw.get(..payload.start).unwrap_or_default(), &name)
            .filter(|_| !name.is_empty())
        {
            self.name = at..at + name.len();
        }
        self.shape = Shape::Payload(payload);
        Ok(())
    }

    /// Notes what must go when the text changes.
    pub(super) fn repeats_in(&mut self, range: Range<usize>, key_is_result: bool) {
        let with: &'static [u8] = match self.doc().get(range.start) {
            Some(b'[') => b"[]",
            _ if key_is_result => b"{}",
            _ => b"null",
        };
        self.logprobs.push((range, with));
    }

    /// Changes a part of a string.
    pub(super) fn change(&mut self, change: &Change, replacement: Option<&str>) {
        let span = &change.said.span;
        if change.said.form == Form::Raw {
            // A line must stay one.
            let text = replacement.unwrap_or_default().replace(['\r', '\n'], " ");
            let range = span.start + change.part.start..span.start + change.part.end;
            self.edits.push((range, text.into_bytes()));
            return;
        }
        let content = self.doc().get(span.clone()).unwrap_or_default();
        let mut with = Vec::new();
        let part = match change.said.form {
            Form::Bare => {
                if let Some(text) = replacement {
                    crate::splice::write_json_string(text, &mut with);
                } else {
                    with.extend_from_slice(b"null");
                }
                0..span.len()
            }
            Form::Args => {
                let mut inner = Vec::new();
                match (replacement, change.run) {
                    (Some(text), Run::Bare) => crate::splice::write_json_string(text, &mut inner),
                    (Some(text), Run::String) => text::encode(text, &mut inner),
                    (Some(text), Run::Text) => inner.extend_from_slice(text.as_bytes()),
                    (None, _) => {}
                }
                text::encode(&String::from_utf8_lossy(&inner), &mut with);
                text::locate(content, change.part.clone())
            }
            Form::Text | Form::Raw => {
                text::encode(replacement.unwrap_or_default(), &mut with);
                text::locate(content, change.part.clone())
            }
        };
        self.edits
            .push((span.start + part.start..span.start + part.end, with));
    }

    /// Changes bytes beside the document.
    pub(super) fn change_odd(&mut self, range: Range<usize>, replacement: Option<&str>) {
        let text = replacement.unwrap_or_default().replace(['\r', '\n'], " ");
        self.odd_edits.push((range, text.into_bytes()));
    }

    /// Appends the bytes to hand on.
    pub(super) fn write(mut self, out: &mut Vec<u8>) {
        if self.edits.is_empty() && self.odd_edits.is_empty() {
            out.extend_from_slice(&self.raw);
            return;
        }
        let mut edits = std::mem::take(&mut self.edits);
        for (range, with) in std::mem::take(&mut self.logprobs) {
            edits.push((range, with.to_vec()));
        }
        match &self.shape {
            Shape::Plain(slices) => {
                let mut raw = std::mem::take(&mut self.odd_edits);
                for (range, mut with) in edits {
                    // What stands on several lines is said by the first.
                    for slice in slices {
                        let start = range.start.max(slice.doc);
                        let end = range.end.min(slice.doc + slice.len);
                        if start < end {
                            let place = start - slice.doc + slice.raw..end - slice.doc + slice.raw;
                            raw.push((place, std::mem::take(&mut with)));
                        }
                    }
                }
                splice(&self.raw, raw, out);
            }
            Shape::Payload(payload) => {
                let mut changed = Vec::new();
                splice(self.doc(), edits, &mut changed);
                self.write_message(&changed, payload, out);
            }
            Shape::Packed { payload, string } => {
                let mut inner = Vec::new();
                splice(&self.doc, edits, &mut inner);
                let packed = STANDARD.encode(&inner).into_bytes();
                let mut changed = Vec::new();
                let whole = self.raw.get(payload.clone()).unwrap_or_default();
                splice(whole, vec![(string.clone(), packed)], &mut changed);
                self.write_message(&changed, payload, out);
            }
        }
    }

    fn write_message(&self, changed: &[u8], payload: &Range<usize>, out: &mut Vec<u8>) {
        // A message that was read can be written.
        if let Some(message) = eventstream::with_payload(&self.raw, changed) {
            out.extend_from_slice(&message);
        } else {
            debug_assert!(false, "no message: {payload:?}");
        }
    }
}

/// Appends `bytes` with edits. Where two meet, the first counts and the other has what is left of its place.
fn splice(bytes: &[u8], mut edits: Vec<(Range<usize>, Vec<u8>)>, out: &mut Vec<u8>) {
    edits.sort_by_key(|(range, _)| (range.start, range.end));
    let mut at = 0;
    for (range, with) in edits {
        if range.end <= at && at > 0 {
            continue;
        }
        let start = range.start.max(at);
        out.extend_from_slice(bytes.get(at..start).unwrap_or_default());
        if range.start >= at {
            out.extend_from_slice(&with);
        }
        at = range.end;
    }
    out.extend_from_slice(bytes.get(at..).unwrap_or_default());
}
