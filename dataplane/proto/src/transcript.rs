//! What was said: answers put together from their streams, the tool calls in them, and what a request asked.
//!
//! ```text
//! captured bytes ─ decode ─ framing ─ events ─ fold ─▶ one answer, as the API gives it without a stream
//! ```
//!
//! This is for captured bodies, after the fact: whole buffers in, [`serde_json::Value`]s with the order of their keys
//! out. Nothing here fails or panics, whatever the bytes are: a stream that was cut gives what there is, an error inside
//! of it stands in the answer's `error`, and what cannot be read is passed over. One file for each wire format says how its
//! events add up; fields that nobody knows yet are kept, by one rule (see `join.rs`).
//!
//! Bounds: a body gives at most [`VALUES_MAX`] JSON values; what is beyond is not read and the answer is not complete.

mod body;
mod calls;
mod chat;
mod converse;
mod encoding;
mod gemini;
mod invoke;
mod join;
mod loose;
mod media;
mod messages;
mod ollama;
mod parse;
mod request;
mod responses;

use serde_json::{Map, Value};
use sluice_shared::api::ApiKind;

use crate::meter::{ResponseFacts, meter_body};

pub use calls::{ToolCall, tool_calls};
pub use encoding::{DecodeError, decode};
pub use request::{tools_offered, user_message};

/// Most JSON values (objects, arrays, strings, numbers, words) read from one body. One takes about 80 bytes.
pub const VALUES_MAX: u32 = 4_000_000;

/// Most JSON values in the events that are handed out one by one; a longer stream is only put together.
pub const EVENT_VALUES_MAX: u32 = 1_000_000;

/// An answer put together.
#[derive(Clone, Debug, PartialEq)]
pub struct Reassembled {
    /// The answer in the shape it has without a stream; `None` where there is none (binary, empty, unreadable).
    /// Arguments of a tool call that were cut in the middle of their JSON are a string in place of an object.
    pub answer: Option<Value>,
    /// The events of a stream in their order: their data as JSON, or as a string where it is none. A message of an AWS
    /// event stream is an object with one member named like the event. `None` for an answer that is no stream, or
    /// where they hold more than [`EVENT_VALUES_MAX`] values.
    pub events: Option<Vec<Value>>,
    /// The body reached its end, as far as it says itself, and holds no error. This is the meter's judgement.
    pub complete: bool,
}

/// Puts an answer together from its body, content-encoding removed. `content_type` is a hint; the bytes decide.
#[must_use]
pub fn reassemble(api: ApiKind, content_type: Option<&str>, body: &[u8]) -> Reassembled {
    let mut budget = parse::Budget::new(VALUES_MAX);
    let mut fold = fold_of(api);
    let mut kept = Kept::default();
    let mut error = None;
    let shape = body::read(api, content_type, body, &mut budget, |event, values| {
        if let Some(found) = event.error() {
            error = Some(found);
        }
        if !event.fault {
            fold.event(&event);
        }
        kept.keep(event, values);
    });
    let complete = !budget.exceeded()
        && !body.trim_ascii().is_empty()
        && meter_body(
            api,
            ResponseFacts {
                content_type,
                ..ResponseFacts::default()
            },
            body,
        )
        .complete;
    let (answer, events) = match shape {
        body::Shape::Nothing => (None, None),
        body::Shape::Document(document) => (document, None),
        body::Shape::Events => (with_error(fold.finish(), error), kept.events),
        // Ollama frames an answer without a stream like a stream of one line.
        body::Shape::Single => (with_error(fold.finish(), error), None),
    };
    Reassembled {
        answer,
        events,
        complete,
    }
}

fn with_error(answer: Option<Value>, error: Option<Value>) -> Option<Value> {
    let Some(error) = error else { return answer };
    let mut answer = match answer {
        Some(Value::Object(answer)) => answer,
        _ => Map::new(),
    };
    // A failed response of OpenAI's states it itself.
    if answer.get("error").is_none_or(Value::is_null) {
        answer.insert("error".to_owned(), error);
    }
    Some(Value::Object(answer))
}

/// Adds events up to one answer.
trait Fold {
    fn event(&mut self, event: &body::Event);
    /// `None` where no event said anything.
    fn finish(self: Box<Self>) -> Option<Value>;
}

fn fold_of(api: ApiKind) -> Box<dyn Fold> {
    match api {
        ApiKind::OpenAiChat | ApiKind::OpenAiCompletions => Box::<chat::Chat>::default(),
        ApiKind::OpenAiResponses => Box::<responses::Responses>::default(),
        ApiKind::OpenAiImages => Box::<media::Images>::default(),
        ApiKind::OpenAiAudio => Box::<media::Audio>::default(),
        ApiKind::AnthropicMessages | ApiKind::VertexRawPredict => Box::<messages::Messages>::default(),
        ApiKind::GeminiGenerate | ApiKind::VertexGenerate => Box::<gemini::Gemini>::default(),
        ApiKind::BedrockInvoke => Box::<invoke::Invoke>::default(),
        ApiKind::BedrockConverse => Box::<converse::Converse>::default(),
        ApiKind::OllamaChat | ApiKind::OllamaEmbed => Box::<ollama::Ollama>::default(),
        ApiKind::OpenAiEmbeddings
        | ApiKind::OpenAiModerations
        | ApiKind::OpenAiRerank
        | ApiKind::AnthropicCountTokens
        | ApiKind::GeminiCountTokens
        | ApiKind::GeminiEmbed
        | ApiKind::VertexCountTokens
        | ApiKind::VertexPredict
        | ApiKind::BedrockCountTokens => Box::<loose::Loose>::default(),
    }
}

/// Events kept to be handed out.
#[derive(Default)]
struct Kept {
    events: Option<Vec<Value>>,
    values: u32,
    given_up: bool,
}

impl Kept {
    fn keep(&mut self, event: body::Event, values: u32) {
        self.values = self.values.saturating_add(values);
        if self.values > EVENT_VALUES_MAX {
            self.given_up = true;
            self.events = None;
        }
        if !self.given_up {
            self.events.get_or_insert_default().push(event.into_value());
        }
    }
}
