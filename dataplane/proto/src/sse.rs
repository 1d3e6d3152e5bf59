//! Server-sent events (WHATWG HTML §9.2), read without copying.
//!
//! ```text
//! …\n\n data: {"a":1}\n \n event: x\n data: {"b"  |  :2}\n \n …
//!       └── handed out as ┘    └── kept ────────┘   the rest completes it
//!           a slice of the piece
//! ```
//!
//! [`Scanner`] only finds where an event ends: at an empty line, whatever the line ends are (LF, CRLF, CR). Most
//! events are of no interest and are dropped after a search for a few words in their raw bytes; [`fields`] takes
//! the others apart. An event that lies wholly in the piece is handed out as a slice of it, only an unfinished one
//! is kept, up to [`DOCUMENT_BYTES_MAX`](crate::ndjson::DOCUMENT_BYTES_MAX); a longer one comes in parts.
//!
//! Differences from the standard: an event that is not closed by an empty line at the end of the body is handed
//! out all the same, and the field `error`, which llama.cpp sends, is known.

use std::sync::LazyLock;

use memchr::memmem::Finder;

use crate::meter::tree::Parser;
use crate::ndjson::{Carry, Piece};

/// Where in the grammar of lines the bytes stand.
#[derive(Clone, Copy, Debug)]
struct Position {
    /// The next byte begins a line.
    line_start: bool,
    /// The last byte was a CR: an LF now belongs to it.
    after_cr: bool,
}

impl Position {
    const START: Self = Self {
        line_start: true,
        after_cr: false,
    };
}

/// Cuts a stream into events.
#[derive(Debug)]
pub struct Scanner {
    carry: Carry,
    position: Position,
}

impl Default for Scanner {
    fn default() -> Self {
        Self {
            carry: Carry::default(),
            position: Position::START,
        }
    }
}

impl Scanner {
    /// Takes the next bytes and hands out the raw lines of each event, without the empty line that ends it.
    pub fn feed(&mut self, bytes: &[u8], mut sink: impl FnMut(Piece<'_>)) {
        let mut start = 0;
        let mut at = 0;
        let Position {
            mut line_start,
            mut after_cr,
        } = self.position;
        loop {
            let rest = bytes.get(at..).unwrap_or_default();
            let Some(&first) = rest.first() else { break };
            if after_cr {
                after_cr = false;
                if first == b'\n' {
                    if start == at && self.carry.is_empty() {
                        start += 1;
                    }
                    at += 1;
                    continue;
                }
            }
            if line_start && (first == b'\n' || first == b'\r') {
                let raw = bytes.get(start..at).unwrap_or_default();
                if !raw.is_empty() || !self.carry.is_empty() {
                    self.carry.end(raw, &mut sink);
                }
                after_cr = first == b'\r';
                at += 1;
                start = at;
                continue;
            }
            match memchr::memchr2(b'\n', b'\r', rest) {
                Some(found) => {
                    after_cr = rest.get(found) == Some(&b'\r');
                    line_start = true;
                    at += found + 1;
                }
                None => {
                    line_start = false;
                    break;
                }
            }
        }
        self.position = Position { line_start, after_cr };
        let rest = bytes.get(start..).unwrap_or_default();
        if !rest.is_empty() {
            self.carry.keep(rest, sink);
        }
    }

    /// Ends the stream: hands out an event that was not closed.
    pub fn finish(&mut self, sink: impl FnMut(Piece<'_>)) {
        self.carry.finish(sink);
    }
}

/// The fields of one event.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Fields<'a> {
    /// `event`, the last one.
    pub event: &'a [u8],
    /// All `data` lines, joined by LF; `None` if there is none.
    pub data: Option<&'a [u8]>,
    /// `error`: not in the standard, sent by llama.cpp.
    pub error: Option<&'a [u8]>,
}

/// Takes an event's lines apart. `joined` is used only where there are several `data` lines.
pub fn fields<'a>(raw: &'a [u8], joined: &'a mut Vec<u8>) -> Fields<'a> {
    joined.clear();
    let mut fields = Fields::default();
    let mut one: Option<&'a [u8]> = None;
    let mut several = false;
    let mut rest = raw.strip_prefix(b"\xEF\xBB\xBF").unwrap_or(raw);
    while !rest.is_empty() {
        let end = memchr::memchr2(b'\n', b'\r', rest).unwrap_or(rest.len());
        let (line, after) = rest.split_at(end);
        rest = after.get(1..).unwrap_or_default();
        let colon = memchr::memchr(b':', line).unwrap_or(line.len());
        let (name, value) = line.split_at(colon);
        let value = value.get(1..).unwrap_or_default();
        let value = value.strip_prefix(b" ").unwrap_or(value);
        match name {
            b"data" => match one {
                None => one = Some(value),
                Some(first) => {
                    if !several {
                        joined.extend_from_slice(first);
                        several = true;
                    }
                    joined.push(b'\n');
                    joined.extend_from_slice(value);
                }
            },
            b"event" => fields.event = value,
            b"error" => fields.error = Some(value),
            _ => {}
        }
    }
    fields.data = if several { Some(joined) } else { one };
    fields
}

/// Whether the raw lines hold a `data` field.
#[must_use]
pub fn has_data(raw: &[u8]) -> bool {
    let mut rest = raw.strip_prefix(b"\xEF\xBB\xBF").unwrap_or(raw);
    loop {
        if let Some(after) = rest.strip_prefix(b"data")
            && matches!(after.first(), None | Some(b':' | b'\n' | b'\r'))
        {
            return true;
        }
        let Some(end) = memchr::memchr2(b'\n', b'\r', rest) else {
            return false;
        };
        rest = rest.get(end + 1..).unwrap_or_default();
    }
}

/// Searches for a JSON member by its name.
pub(crate) struct Key(LazyLock<Finder<'static>>);

impl Key {
    /// `new` builds the searcher for the name with its closing quote, e.g. `usage"`.
    pub(crate) const fn new(build: fn() -> Finder<'static>) -> Self {
        Self(LazyLock::new(build))
    }

    /// Whether the member is there with a value that is neither `null` nor an empty array. Strings in JSON cannot
    /// hold the needle, since a quote in them is escaped.
    pub(crate) fn has_value(&self, raw: &[u8]) -> bool {
        let mut from = 0;
        while let Some(found) = self.0.find(raw.get(from..).unwrap_or_default()) {
            from += found + self.0.needle().len();
            let after = raw.get(from..).unwrap_or_default().trim_ascii_start();
            if let Some(value) = after.strip_prefix(b":") {
                let value = value.trim_ascii_start();
                let empty = value
                    .strip_prefix(b"[")
                    .is_some_and(|list| list.trim_ascii_start().first() == Some(&b']'));
                if !empty && value.first() != Some(&b'n') {
                    return true;
                }
            }
        }
        false
    }

    /// Whether the needle is there at all.
    pub(crate) fn is_in(&self, raw: &[u8]) -> bool {
        self.0.find(raw).is_some()
    }
}

macro_rules! key {
    ($needle:literal) => {
        $crate::sse::Key::new(|| memchr::memmem::Finder::new($needle))
    };
}
pub(crate) use key;

static USAGE: Key = key!(b"usage\"");

/// Longest unfinished event that [`UsageChunkFilter`] holds back, in bytes.
pub const HELD_BYTES_MAX: usize = 64 * 1024;

/// Removes the usage chunk that Sluice itself asked for from a chat stream.
///
/// Where a client streams without `stream_options.include_usage`, Sluice adds it upstream, and the provider
/// then sends one extra chunk: `choices` an empty array and `usage` an object. That event is withheld. Every
/// other byte passes, `"usage":null` in ordinary chunks included: no byte of a chunk that passes is changed.
/// Usage in a chunk that has choices passes too, and so does Azure's first chunk, which has neither.
pub struct UsageChunkFilter {
    held: Vec<u8>,
    /// The event under way is too long to be held and passes as it comes.
    passing: bool,
    /// The event just dropped ended in CR; an LF next belongs to it.
    drop_lf: bool,
    position: Position,
    parser: Parser,
    dropped: u32,
}

impl Default for UsageChunkFilter {
    fn default() -> Self {
        Self {
            held: Vec::new(),
            passing: false,
            drop_lf: false,
            position: Position::START,
            parser: Parser,
            dropped: 0,
        }
    }
}

impl std::fmt::Debug for UsageChunkFilter {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("UsageChunkFilter")
            .field("held", &self.held.len())
            .field("dropped", &self.dropped)
            .finish()
    }
}

impl UsageChunkFilter {
    /// A filter at the start of a body.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// Chunks withheld so far.
    #[must_use]
    pub const fn dropped(&self) -> u32 {
        self.dropped
    }

    /// Takes the next piece and appends to `out` what may pass. At most [`HELD_BYTES_MAX`] bytes of an unfinished
    /// event are held back.
    pub fn feed(&mut self, body: &[u8], out: &mut Vec<u8>) {
        let mut start = 0;
        let mut at = 0;
        let Position {
            mut line_start,
            mut after_cr,
        } = self.position;
        loop {
            let rest = body.get(at..).unwrap_or_default();
            let Some(&first) = rest.first() else { break };
            if std::mem::take(&mut after_cr) && first == b'\n' {
                if start == at && self.held.is_empty() {
                    // The second half of an event's end: it goes where the event went.
                    if !std::mem::take(&mut self.drop_lf) {
                        out.push(first);
                    }
                    start = at + 1;
                }
                at += 1;
                continue;
            }
            self.drop_lf = false;
            if line_start && (first == b'\n' || first == b'\r') {
                at += 1;
                after_cr = first == b'\r';
                self.end_event(body.get(start..at).unwrap_or_default(), after_cr, out);
                start = at;
                continue;
            }
            match memchr::memchr2(b'\n', b'\r', rest) {
                Some(found) => {
                    after_cr = rest.get(found) == Some(&b'\r');
                    line_start = true;
                    at += found + 1;
                }
                None => {
                    line_start = false;
                    break;
                }
            }
        }
        self.position = Position { line_start, after_cr };
        let rest = body.get(start..).unwrap_or_default();
        if self.passing {
            out.extend_from_slice(rest);
        } else if self.held.len().saturating_add(rest.len()) > HELD_BYTES_MAX {
            out.append(&mut self.held);
            out.extend_from_slice(rest);
            self.passing = true;
        } else {
            self.held.extend_from_slice(rest);
        }
    }

    fn end_event(&mut self, tail: &[u8], ended_by_cr: bool, out: &mut Vec<u8>) {
        if std::mem::take(&mut self.passing) {
            out.extend_from_slice(tail);
            return;
        }
        let drop = if self.held.is_empty() {
            is_usage_chunk(&mut self.parser, tail)
        } else {
            self.held.extend_from_slice(tail);
            is_usage_chunk(&mut self.parser, &self.held)
        };
        if drop {
            self.dropped = self.dropped.saturating_add(1);
            self.drop_lf = ended_by_cr;
        } else if self.held.is_empty() {
            out.extend_from_slice(tail);
        } else {
            out.extend_from_slice(&self.held);
        }
        self.held.clear();
    }

    /// Ends the body: appends what was held back.
    pub fn finish(&mut self, out: &mut Vec<u8>) {
        out.append(&mut self.held);
    }
}

fn is_usage_chunk(parser: &mut Parser, raw: &[u8]) -> bool {
    if raw.len() > HELD_BYTES_MAX || !USAGE.has_value(raw) {
        return false;
    }
    let mut joined = Vec::new();
    let Some(data) = fields(raw, &mut joined).data else {
        return false;
    };
    parser
        .read(data, |chunk| {
            chunk.get("usage").is_some_and(|usage| usage.is_object())
                && chunk
                    .get("choices")
                    .is_some_and(|choices| choices.is_array() && choices.items().next().is_none())
        })
        .unwrap_or(false)
}
