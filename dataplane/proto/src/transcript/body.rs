//! A body cut into its events, or read as one document.

use base64::Engine as _;
use serde_json::{Map, Value};
use sluice_shared::api::ApiKind;

use super::parse::Budget;
use crate::api::Fold;
use crate::eventstream::{Found, Message};
use crate::meter::{Framing, Hint};
use crate::ndjson::Piece;
use crate::sse;

/// One event of a stream.
#[derive(Clone, Debug)]
pub(super) struct Event {
    /// The SSE field `event`, or `:event-type`; may be empty.
    pub(super) name: String,
    /// Its data.
    pub(super) value: Value,
    /// The framing itself says that this is an error.
    pub(super) fault: bool,
    /// From an AWS event stream: the name does not stand in the data.
    named: bool,
}

impl Event {
    fn new(name: &[u8], value: Value) -> Self {
        Self {
            name: String::from_utf8_lossy(name).into_owned(),
            value,
            fault: false,
            named: false,
        }
    }

    /// The event's type: in its data, else its name.
    pub(super) fn kind(&self) -> &str {
        self.value
            .get("type")
            .and_then(Value::as_str)
            .unwrap_or(&self.name)
    }

    /// The error that the event brings, if it brings one.
    pub(super) fn error(&self) -> Option<Value> {
        if self.fault {
            let inner = self.value.get("error").filter(|inner| inner.is_object());
            return Some(inner.unwrap_or(&self.value).clone());
        }
        let object = self.value.as_object()?;
        match object.get("error") {
            Some(error @ Value::Object(_)) => Some(error.clone()),
            // xAI: the code stands beside the text.
            Some(Value::String(text)) if !text.is_empty() => Some(match object.get("code") {
                Some(code) => serde_json::json!({"code": code, "message": text}),
                None => Value::String(text.clone()),
            }),
            _ if self.kind() == "error" => Some(
                object
                    .iter()
                    .filter(|(key, _)| !matches!(key.as_str(), "type" | "sequence_number"))
                    .map(|(key, value)| (key.clone(), value.clone()))
                    .collect::<Map<_, _>>()
                    .into(),
            ),
            _ => None,
        }
    }

    /// The event as it is handed out.
    pub(super) fn into_value(self) -> Value {
        if self.named {
            let mut outer = Map::new();
            outer.insert(self.name, self.value);
            Value::Object(outer)
        } else {
            self.value
        }
    }
}

/// What a body turned out to be.
pub(super) enum Shape {
    /// Empty, or nothing that can be read.
    Nothing,
    /// One document; `None` where it is no JSON even when mended.
    Document(Option<Value>),
    /// Events, all of them given to the sink.
    Events,
    /// One document given to the sink as an event.
    Single,
}

/// Reads a body. `sink` gets each event and the number of values in it.
pub(super) fn read(
    api: ApiKind,
    content_type: Option<&str>,
    body: &[u8],
    budget: &mut Budget,
    sink: impl FnMut(Event, u32),
) -> Shape {
    let at = body
        .iter()
        .position(|byte| !matches!(byte, b' ' | b'\t' | b'\r' | b'\n' | 0xEF | 0xBB | 0xBF));
    let Some(body) = at.and_then(|at| body.get(at..)) else {
        return Shape::Nothing;
    };
    let Some(&first) = body.first() else {
        return Shape::Nothing;
    };
    let mut hint = Hint::of(&content_type.unwrap_or_default().to_ascii_lowercase(), true);
    hint.one_document |= api == ApiKind::OllamaEmbed;
    let mut reader = Reader {
        budget,
        sink,
        documents: 0,
        long: Vec::new(),
        joined: Vec::new(),
        unpack: api == ApiKind::BedrockInvoke,
    };
    match Framing::choose(first, Fold::of(api), hint) {
        Framing::Unknown | Framing::Ignored => return Shape::Nothing,
        Framing::Document(_) => {
            let budget = reader.budget;
            return Shape::Document(budget.parse(body).or_else(|| budget.parse(&mend(body))));
        }
        Framing::Sse(mut scanner) => {
            scanner.feed(body, |piece| reader.piece(piece, Reader::sse));
            scanner.finish(|piece| reader.piece(piece, Reader::sse));
        }
        Framing::Lines(mut lines) => {
            lines.feed(body, |piece| reader.piece(piece, Reader::json));
            lines.finish(|piece| reader.piece(piece, Reader::json));
        }
        Framing::Documents(mut documents) => {
            documents.feed(body, |piece| reader.piece(piece, Reader::json));
            documents.finish(|piece| reader.piece(piece, Reader::json));
            if reader.documents == 1 && first == b'{' {
                return Shape::Single;
            }
        }
        Framing::EventStream(mut stream) => stream.feed(body, |found| match found {
            Found::Message(message) => reader.message(message),
            Found::TooLong | Found::Damaged => reader.budget.overlook(),
        }),
    }
    Shape::Events
}

struct Reader<'b, S> {
    budget: &'b mut Budget,
    sink: S,
    /// Documents met in a row of them.
    documents: u32,
    /// A long event, as far as it came.
    long: Vec<u8>,
    joined: Vec<u8>,
    /// The data of a message is another event in base64.
    unpack: bool,
}

impl<S: FnMut(Event, u32)> Reader<'_, S> {
    fn piece(&mut self, piece: Piece<'_>, whole: fn(&mut Self, &[u8])) {
        match piece {
            Piece::Whole(raw) => whole(self, raw),
            Piece::Long(part) => self.long.extend_from_slice(part),
            Piece::LongEnd => {
                let long = std::mem::take(&mut self.long);
                whole(self, &long);
            }
        }
    }

    fn parse(&mut self, json: &[u8]) -> Option<(Value, u32)> {
        let before = self.budget.left();
        let value = self.budget.parse(json)?;
        Some((value, before.saturating_sub(self.budget.left())))
    }

    fn sse(&mut self, raw: &[u8]) {
        let mut joined = std::mem::take(&mut self.joined);
        let fields = sse::fields(raw, &mut joined);
        if let Some(data) = fields.data {
            match self.parse(data) {
                Some((value, values)) => (self.sink)(Event::new(fields.event, value), values),
                // `[DONE]`, or half an event at the end of a body that was cut.
                None => {
                    let text = String::from_utf8_lossy(data).into_owned();
                    (self.sink)(Event::new(fields.event, Value::String(text)), 1);
                }
            }
        } else if let Some(error) = fields.error {
            // llama.cpp reports a failure in the middle as a field `error`.
            let text = || {
                let message = Value::String(String::from_utf8_lossy(error).into_owned());
                (serde_json::json!({ "message": message }), 2)
            };
            let (value, values) = self.parse(error).unwrap_or_else(text);
            let mut event = Event::new(b"error", value);
            event.fault = true;
            (self.sink)(event, values);
        }
        self.joined = joined;
    }

    fn json(&mut self, raw: &[u8]) {
        self.documents = self.documents.saturating_add(1);
        if let Some((value, values)) = self.parse(raw) {
            (self.sink)(Event::new(b"", value), values);
        }
    }

    fn message(&mut self, message: Message<'_>) {
        if matches!(message.message_type, b"exception" | b"error") {
            let text = |bytes: &[u8]| Value::String(String::from_utf8_lossy(bytes).into_owned());
            let (mut value, values) = match self.parse(message.payload) {
                Some((value @ Value::Object(_), values)) => (value, values),
                _ => (serde_json::json!({ "message": text(message.error_message) }), 2),
            };
            if let Some(object) = value.as_object_mut() {
                object.insert("type".to_owned(), text(message.error_type));
            }
            let mut event = Event::new(message.message_type, value);
            (event.fault, event.named) = (true, true);
            (self.sink)(event, values);
            return;
        }
        if self.unpack {
            if let Some((value, values)) = self.unpacked(message.payload) {
                (self.sink)(Event::new(b"", value), values);
            }
            return;
        }
        let parsed = self.parse(message.payload);
        if let Some((value, values)) = parsed {
            let mut event = Event::new(message.event_type, value);
            event.named = true;
            (self.sink)(event, values);
        }
    }

    /// An InvokeModel chunk: the vendor's event in base64.
    fn unpacked(&mut self, payload: &[u8]) -> Option<(Value, u32)> {
        let (chunk, _) = self.parse(payload)?;
        let packed = chunk.get("bytes")?.as_str()?;
        let json = base64::engine::general_purpose::STANDARD.decode(packed).ok()?;
        self.parse(&json)
    }
}

/// Closes what is open in a document that was cut, and leaves out the half of a key, word or escape at its end.
/// Whether the result is JSON, the parser says.
fn mend(cut: &[u8]) -> Vec<u8> {
    let mut open: Vec<u8> = Vec::new();
    // Where the document may be broken off, and how many brackets are open there.
    let mut good = (0, 0);
    let (mut in_string, mut escape, mut after_colon) = (false, false, false);
    let mut string_from = 0;
    for (at, &byte) in cut.iter().enumerate() {
        let next = at.saturating_add(1);
        if in_string {
            match byte {
                _ if escape => escape = false,
                b'\\' => escape = true,
                b'"' => {
                    in_string = false;
                    if after_colon || open.last() == Some(&b']') {
                        good = (next, open.len());
                    }
                }
                _ => {}
            }
            continue;
        }
        match byte {
            b'"' => {
                in_string = true;
                string_from = at;
            }
            b'{' | b'[' => {
                open.push(if byte == b'{' { b'}' } else { b']' });
                good = (next, open.len());
                after_colon = false;
            }
            b'}' | b']' => {
                open.pop();
                good = (next, open.len());
            }
            b':' => after_colon = true,
            b',' => {
                good = (at, open.len());
                after_colon = false;
            }
            _ => {}
        }
        if open.len() > 128 {
            break;
        }
    }
    let is_value = after_colon || open.last() == Some(&b']');
    let mut mended = Vec::new();
    if in_string && is_value {
        let text = cut.get(string_from..).unwrap_or_default();
        mended.extend_from_slice(cut.get(..string_from).unwrap_or_default());
        mended.extend_from_slice(whole_characters(text));
        mended.push(b'"');
        good.1 = open.len();
    } else {
        mended.extend_from_slice(cut.get(..good.0).unwrap_or_default());
    }
    open.truncate(good.1);
    mended.extend(open.iter().rev());
    mended
}

/// The beginning of a string without the half of a character or of an escape at its end.
fn whole_characters(text: &[u8]) -> &[u8] {
    let valid = match std::str::from_utf8(text) {
        Ok(_) => text,
        Err(fault) => text.get(..fault.valid_up_to()).unwrap_or_default(),
    };
    // `\ud83d\ude` can leave the half of a pair behind: both escapes go.
    let mut end = valid.len();
    let tail_from = valid.len().saturating_sub(12);
    let mut at = tail_from;
    while let Some(&byte) = valid.get(at) {
        if byte != b'\\' || preceded_by_odd_backslashes(valid, at) {
            at = at.saturating_add(1);
            continue;
        }
        let len = if valid.get(at.saturating_add(1)) == Some(&b'u') {
            6
        } else {
            2
        };
        let high = len == 6
            && valid
                .get(at.saturating_add(2))
                .is_some_and(|d| matches!(d, b'd' | b'D'))
            && valid
                .get(at.saturating_add(3))
                .is_some_and(|d| matches!(d, b'8'..=b'9' | b'a' | b'b' | b'A' | b'B'));
        let need = if high { 12 } else { len };
        if at.saturating_add(need) > valid.len() {
            end = at;
            break;
        }
        at = at.saturating_add(need);
    }
    valid.get(..end).unwrap_or_default()
}

fn preceded_by_odd_backslashes(text: &[u8], at: usize) -> bool {
    let before = text.get(..at).unwrap_or_default();
    before.iter().rev().take_while(|byte| **byte == b'\\').count() % 2 == 1
}
