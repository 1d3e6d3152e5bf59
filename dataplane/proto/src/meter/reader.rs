//! From decoded bytes to events, and from events to the folds.

use base64::Engine as _;

use super::skeleton::Skeleton;
use super::tree::{Parser, clip};
use super::{Counts, ProviderError};
use crate::api::{self, Fold, Interest, State};
use crate::eventstream::{EventStream, Found, Message};
use crate::ndjson::{DOCUMENT_BYTES_MAX, Documents, Lines, Piece};
use crate::sse::{self, Scanner};

/// An event kept unparsed is at most this long, in bytes; a longer one is parsed at once.
const KEPT_BYTES_MAX: usize = 64 * 1024;

/// How a body is cut into events.
pub(crate) enum Framing {
    /// Nothing but white space has come yet.
    Unknown,
    Sse(Scanner),
    EventStream(EventStream),
    Lines(Lines),
    Documents(Documents),
    Document(Document),
    /// Audio, text, pages: nothing to read.
    Ignored,
}

/// A body that is one JSON document.
#[derive(Default)]
pub(crate) struct Document {
    bytes: Vec<u8>,
    reduced: Option<Box<Skeleton>>,
}

impl Document {
    fn feed(&mut self, bytes: &[u8]) {
        if let Some(reduced) = &mut self.reduced {
            reduced.feed(bytes);
        } else if self.bytes.len().saturating_add(bytes.len()) > DOCUMENT_BYTES_MAX {
            let mut reduced = Box::new(Skeleton::new());
            reduced.feed(&self.bytes);
            reduced.feed(bytes);
            self.bytes = Vec::new();
            self.reduced = Some(reduced);
        } else {
            self.bytes.extend_from_slice(bytes);
        }
    }
}

/// An event that is too long to be kept.
struct LongEvent {
    /// What stands before its document: field names, the event's type.
    head: Vec<u8>,
    reduced: Option<Box<Skeleton>>,
}

const LONG_HEAD_BYTES_MAX: usize = 512;

/// Everything behind the framing.
pub(crate) struct Reader {
    pub(crate) state: State,
    /// Whether events are judged before they are parsed; off only to check the judgement.
    pub(crate) gated: bool,
    /// Something was passed over unread.
    pub(crate) overlooked: bool,
    pub(crate) document_whole: bool,
    /// The body has ended: what comes now may be half an event and must not displace a whole one.
    ending: bool,
    kept: Vec<u8>,
    long: Option<LongEvent>,
    parser: Parser,
    joined: Vec<u8>,
    unpacked: Vec<u8>,
}

impl Reader {
    pub(crate) fn new(state: State) -> Self {
        Self {
            state,
            gated: true,
            overlooked: false,
            document_whole: false,
            ending: false,
            kept: Vec::new(),
            long: None,
            parser: Parser,
            joined: Vec::new(),
            unpacked: Vec::new(),
        }
    }

    /// Counts known so far.
    pub(crate) fn so_far(&self) -> Counts {
        let mut notes = Vec::new();
        let usage = match self.state.fold {
            Fold::Anthropic | Fold::Converse | Fold::Invoke => self.state.apart.usage(&mut notes),
            fold if !self.kept.is_empty() => {
                let mut joined = Vec::new();
                let data = sse::fields(&self.kept, &mut joined).data.unwrap_or(&self.kept);
                let read = Parser.read(data, |view| match fold {
                    Fold::Chat => api::openai_chat::usage_of(view)
                        .and_then(|usage| api::openai_usage::read(usage, &mut notes)),
                    _ => view
                        .get("usageMetadata")
                        .and_then(|usage| api::gemini::read(usage, &mut notes)),
                });
                read.flatten().unwrap_or_else(|| self.state.usage.clone())
            }
            _ => self.state.usage.clone(),
        };
        Counts {
            input: usage.input,
            output: usage.output,
            cached_read: usage.cached_read,
            cache_write: usage.cache_write,
        }
    }

    fn sse(&mut self, piece: Piece<'_>) {
        match piece {
            Piece::Whole(raw) => self.sse_event(raw),
            other => self.long(other),
        }
    }

    fn sse_event(&mut self, raw: &[u8]) {
        if !sse::has_data(raw) {
            self.error_field(raw);
            return;
        }
        self.state.events = self.state.events.saturating_add(1);
        if raw.len() <= 32 && memchr::memmem::find(raw, b"[DONE]").is_some() {
            let mut joined = Vec::new();
            if sse::fields(raw, &mut joined)
                .data
                .is_some_and(|data| data.trim_ascii() == b"[DONE]")
            {
                self.state.done_marker = true;
                self.state.ended |= self.state.fold == Fold::Chat;
                return;
            }
        }
        let interest = if self.gated {
            api::interest(&self.state, b"", raw)
        } else {
            Interest::Parse
        };
        self.act(interest, raw);
    }

    /// llama.cpp reports a failure in the middle as a field `error`.
    fn error_field(&mut self, raw: &[u8]) {
        if memchr::memmem::find(raw, b"error").is_none() {
            return;
        }
        let mut joined = std::mem::take(&mut self.joined);
        if let Some(error) = sse::fields(raw, &mut joined).error {
            self.state.events = self.state.events.saturating_add(1);
            let read = self.parser.read(error, api::provider_error::read);
            self.state.stream_error = Some(read.unwrap_or_else(|| ProviderError {
                message: Some(clip(&String::from_utf8_lossy(error), 1024)),
                ..ProviderError::default()
            }));
        }
        self.joined = joined;
    }

    fn act(&mut self, interest: Interest, raw: &[u8]) {
        match interest {
            Interest::Skip => {}
            Interest::Keep if raw.len() <= KEPT_BYTES_MAX && !self.ending => {
                self.kept.clear();
                self.kept.extend_from_slice(raw);
            }
            Interest::Keep | Interest::Parse => {
                self.flush_kept();
                self.parse_raw(raw);
            }
        }
    }

    fn flush_kept(&mut self) {
        if !self.kept.is_empty() {
            let kept = std::mem::take(&mut self.kept);
            self.parse_raw(&kept);
            self.kept = kept;
            self.kept.clear();
        }
    }

    /// Parses an event: lines of SSE, or a bare document.
    fn parse_raw(&mut self, raw: &[u8]) {
        let mut joined = std::mem::take(&mut self.joined);
        let (name, data) = if raw.trim_ascii_start().first() == Some(&b'{') {
            (&b""[..], raw)
        } else {
            let fields = sse::fields(raw, &mut joined);
            (fields.event, fields.data.unwrap_or_default())
        };
        self.parse_event(name, data);
        self.joined = joined;
    }

    fn parse_event(&mut self, name: &[u8], data: &[u8]) {
        let state = &mut self.state;
        self.parser.read(data, |view| {
            if state.status >= 400 {
                state.error.get_or_insert_with(|| api::provider_error::read(view));
            } else {
                api::event(state, name, view);
            }
        });
    }

    fn json(&mut self, piece: Piece<'_>) {
        match piece {
            Piece::Whole(raw) => {
                self.state.events = self.state.events.saturating_add(1);
                let interest = if self.gated {
                    api::interest(&self.state, b"", raw)
                } else {
                    Interest::Parse
                };
                self.act(interest, raw);
            }
            other => self.long(other),
        }
    }

    fn long(&mut self, piece: Piece<'_>) {
        match piece {
            Piece::Long(part) => {
                let long = self.long.get_or_insert_with(|| LongEvent {
                    head: Vec::new(),
                    reduced: None,
                });
                let body = match &mut long.reduced {
                    Some(reduced) => {
                        reduced.feed(part);
                        return;
                    }
                    None => match memchr::memchr(b'{', part) {
                        Some(at) => {
                            let (head, body) = part.split_at(at);
                            long.add_head(head);
                            body
                        }
                        None => {
                            long.add_head(part);
                            return;
                        }
                    },
                };
                let mut reduced = Box::new(Skeleton::new());
                reduced.feed(body);
                long.reduced = Some(reduced);
            }
            Piece::LongEnd => {
                self.state.events = self.state.events.saturating_add(1);
                let Some(LongEvent {
                    head,
                    reduced: Some(reduced),
                }) = self.long.take()
                else {
                    self.overlooked = true;
                    return;
                };
                let (document, whole) = reduced.finish();
                self.overlooked |= !whole;
                let mut joined = Vec::new();
                let name = sse::fields(&head, &mut joined).event.to_vec();
                self.flush_kept();
                self.parse_event(&name, &document);
            }
            Piece::Whole(_) => {}
        }
    }

    fn message(&mut self, found: Found<'_>) {
        match found {
            Found::Message(message) => {
                self.state.events = self.state.events.saturating_add(1);
                match message.message_type {
                    b"exception" | b"error" => self.exception(message),
                    _ if self.state.fold == Fold::Invoke => self.chunk(message),
                    _ => {
                        let name = message.event_type;
                        if !self.gated || api::interest(&self.state, name, message.payload) == Interest::Parse
                        {
                            self.parse_event(name, message.payload);
                        }
                    }
                }
            }
            Found::TooLong | Found::Damaged => self.overlooked = true,
        }
    }

    fn exception(&mut self, message: Message<'_>) {
        let text = |bytes: &[u8]| (!bytes.is_empty()).then(|| clip(&String::from_utf8_lossy(bytes), 1024));
        let inner = self
            .parser
            .read(message.payload, |view| api::provider_error::read(view).message)
            .flatten();
        self.state.stream_error = Some(ProviderError {
            kind: text(message.error_type),
            code: None,
            message: inner.or_else(|| text(message.error_message)),
        });
    }

    /// An InvokeModel chunk: the vendor's event in base64.
    fn chunk(&mut self, message: Message<'_>) {
        const FIELD: &[u8] = b"\"bytes\":\"";
        let mut unpacked = std::mem::take(&mut self.unpacked);
        unpacked.clear();
        let payload = message.payload;
        let direct = memchr::memmem::find(payload, FIELD).and_then(|at| {
            let rest = payload.get(at + FIELD.len()..)?;
            rest.get(..memchr::memchr(b'"', rest)?)
        });
        let engine = &base64::engine::general_purpose::STANDARD;
        let read = match direct {
            Some(packed) => engine.decode_vec(packed, &mut unpacked).is_ok(),
            None => self
                .parser
                .read(payload, |view| {
                    let packed = view.get("bytes")?.text()?;
                    engine.decode_vec(packed, &mut unpacked).ok()
                })
                .flatten()
                .is_some(),
        };
        if read && (!self.gated || api::interest(&self.state, b"", &unpacked) == Interest::Parse) {
            self.parse_event(b"", &unpacked);
        }
        self.unpacked = unpacked;
    }

    /// Reads a body that is one document, as far as it came.
    fn read_document(&mut self, document: Document) {
        let state = &mut self.state;
        let (bytes, whole) = match document.reduced {
            Some(reduced) => reduced.finish(),
            None => {
                if self
                    .parser
                    .read(&document.bytes, |view| api::document(state, view))
                    .is_some()
                {
                    self.document_whole = true;
                    return;
                }
                let mut reduced = Skeleton::new();
                reduced.feed(&document.bytes);
                let (bytes, _) = reduced.finish();
                (bytes, false)
            }
        };
        self.parser.read(&bytes, |view| api::document(state, view));
        self.document_whole = whole;
        if !whole {
            self.state.ended = false;
        }
    }
}

impl LongEvent {
    fn add_head(&mut self, bytes: &[u8]) {
        let free = LONG_HEAD_BYTES_MAX.saturating_sub(self.head.len());
        self.head
            .extend_from_slice(bytes.get(..bytes.len().min(free)).unwrap_or_default());
    }
}

/// What the headers say about the framing.
#[derive(Clone, Copy, Default)]
pub(crate) struct Hint {
    pub(crate) sse: bool,
    pub(crate) event_stream: bool,
    pub(crate) lines: bool,
    pub(crate) one_document: bool,
}

impl Hint {
    /// What a `content-type` in small letters says, and whether a stream was asked for.
    pub(crate) fn of(content_type: &str, streaming_expected: bool) -> Self {
        Self {
            sse: content_type.contains("event-stream") || (content_type.is_empty() && streaming_expected),
            event_stream: content_type.contains("amazon.eventstream"),
            lines: content_type.contains("ndjson") || content_type.contains("jsonl"),
            one_document: false,
        }
    }
}

impl Framing {
    /// Chooses by the first significant byte; the headers only decide where it leaves a choice.
    pub(crate) fn choose(first: u8, fold: Fold, hint: Hint) -> Self {
        match first {
            b'{' if hint.lines || matches!(fold, Fold::Realtime | Fold::Live) => {
                Self::Lines(Lines::default())
            }
            b'{' if matches!(fold, Fold::Ollama | Fold::Batches) && !hint.one_document => {
                Self::Documents(Documents::in_row())
            }
            b'[' if fold == Fold::Gemini => Self::Documents(Documents::of_array()),
            b'{' | b'[' => Self::Document(Document::default()),
            0 if hint.event_stream || matches!(fold, Fold::Invoke | Fold::Converse) => {
                Self::EventStream(EventStream::default())
            }
            b'd' | b'e' | b'i' | b'r' | b':' => Self::Sse(Scanner::default()),
            _ if hint.sse => Self::Sse(Scanner::default()),
            _ => Self::Ignored,
        }
    }

    pub(crate) fn feed(&mut self, bytes: &[u8], hint: Hint, reader: &mut Reader) {
        let mut bytes = bytes;
        if let Self::Unknown = self {
            // White space and a byte order mark say nothing.
            let at = bytes
                .iter()
                .position(|byte| !matches!(byte, b' ' | b'\t' | b'\r' | b'\n' | 0xEF | 0xBB | 0xBF));
            let Some(at) = at else { return };
            bytes = bytes.get(at..).unwrap_or_default();
            let first = bytes.first().copied().unwrap_or_default();
            *self = Self::choose(first, reader.state.fold, hint);
        }
        match self {
            Self::Sse(scanner) => scanner.feed(bytes, |piece| reader.sse(piece)),
            Self::EventStream(stream) => stream.feed(bytes, |found| reader.message(found)),
            Self::Lines(lines) => lines.feed(bytes, |piece| reader.json(piece)),
            Self::Documents(documents) => documents.feed(bytes, |piece| reader.json(piece)),
            Self::Document(document) => document.feed(bytes),
            Self::Unknown | Self::Ignored => {}
        }
    }

    /// Ends the body.
    pub(crate) fn finish(&mut self, reader: &mut Reader) {
        reader.flush_kept();
        reader.ending = true;
        match self {
            Self::Sse(scanner) => scanner.finish(|piece| reader.sse(piece)),
            Self::Lines(lines) => lines.finish(|piece| reader.json(piece)),
            Self::Documents(documents) => documents.finish(|piece| reader.json(piece)),
            Self::Document(document) => reader.read_document(std::mem::take(document)),
            Self::EventStream(stream) => reader.overlooked |= !stream.at_boundary(),
            Self::Unknown | Self::Ignored => {}
        }
    }
}
