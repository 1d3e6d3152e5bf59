//! Bedrock InvokeModel: the vendor's own events. Which vendor it is, the first event that tells says.
//!
//! | vendor | event | answer |
//! | --- | --- | --- |
//! | Anthropic | as its own API | as its own API |
//! | Amazon Nova | as Converse, one member named like the event | as Converse |
//! | Amazon Titan | `outputText` | `results[].outputText` |
//! | Meta Llama | `generation` | `generation` |
//! | Mistral | `outputs[].text` | `outputs[].text` |
//! | Cohere | `event_type`, or `text` and `is_finished` | the last event's `response`, or `generations[].text` |
//! | AI21, OpenAI and others | `choices[].delta` | as OpenAI chat |

use serde_json::Value;

use super::Fold;
use super::body::Event;
use super::chat::Chat;
use super::converse::{self, Converse};
use super::join::{Object, append, as_object, element, is_blank, items, list, put, put_last, text};
use super::loose::Loose;
use super::messages::Messages;

const INVOCATION_METRICS: &str = "amazon-bedrock-invocationMetrics";

#[derive(Default)]
pub(super) struct Invoke {
    vendor: Option<Vendor>,
    metrics: Option<Value>,
}

enum Vendor {
    Anthropic(Messages),
    Nova(Converse),
    Titan(Object),
    Llama(Object),
    Mistral(Object),
    Cohere(Object),
    Chat(Chat),
    Other(Loose),
}

impl Vendor {
    fn of(event: &Event) -> Self {
        let value = &event.value;
        let has = |key: &str| value.get(key).is_some();
        if text(value, "type").is_some() {
            Self::Anthropic(Messages::default())
        } else if converse::is_event(value) {
            Self::Nova(Converse::default())
        } else if has("outputText") {
            Self::Titan(Object::new())
        } else if has("generation") {
            Self::Llama(Object::new())
        } else if has("outputs") {
            Self::Mistral(Object::new())
        } else if has("event_type") || has("is_finished") || has("generations") {
            Self::Cohere(Object::new())
        } else if has("choices") {
            Self::Chat(Chat::default())
        } else {
            Self::Other(Loose::default())
        }
    }
}

impl Fold for Invoke {
    fn event(&mut self, event: &Event) {
        if let Some(metrics) = event.value.get(INVOCATION_METRICS) {
            self.metrics = Some(metrics.clone());
        }
        match self.vendor.get_or_insert_with(|| Vendor::of(event)) {
            Vendor::Anthropic(messages) => messages.event(event),
            Vendor::Nova(converse) => {
                for (name, data) in event.value.as_object().into_iter().flatten() {
                    converse.named(name, data);
                }
            }
            Vendor::Titan(answer) => titan(answer, &event.value),
            Vendor::Llama(answer) => llama(answer, &event.value),
            Vendor::Mistral(answer) => mistral(answer, &event.value),
            Vendor::Cohere(answer) => cohere(answer, &event.value),
            Vendor::Chat(chat) => chat.event(event),
            Vendor::Other(loose) => loose.event(event),
        }
    }

    fn finish(self: Box<Self>) -> Option<Value> {
        let mut answer = match self.vendor? {
            Vendor::Anthropic(messages) => Box::new(messages).finish(),
            Vendor::Nova(converse) => Box::new(converse).finish(),
            Vendor::Chat(chat) => Box::new(chat).finish(),
            Vendor::Other(loose) => Box::new(loose).finish(),
            Vendor::Titan(answer)
            | Vendor::Llama(answer)
            | Vendor::Mistral(answer)
            | Vendor::Cohere(answer) => Some(Value::Object(answer)),
        };
        // Without a stream these counts are headers; in a stream they stand nowhere else.
        if let (Some(answer), Some(metrics)) = (&mut answer, self.metrics) {
            as_object(answer).insert(INVOCATION_METRICS.to_owned(), metrics);
        }
        answer
    }
}

/// Whether a member is text of the answer is told by its name; everything else is replaced.
fn plain(answer: &mut Object, value: &Value, texts: &[&str]) {
    for (key, value) in value.as_object().into_iter().flatten() {
        match value {
            _ if key == INVOCATION_METRICS => {}
            Value::String(piece) if texts.contains(&key.as_str()) => append(answer, key, piece),
            _ => put_last(answer, key, value),
        }
    }
}

fn llama(answer: &mut Object, value: &Value) {
    plain(answer, value, &["generation"]);
}

fn titan(answer: &mut Object, value: &Value) {
    for (key, value) in value.as_object().into_iter().flatten() {
        let result = |answer: &mut Object, key: &str, value: &Value| {
            let slot = as_object(element(list(answer, "results"), 0));
            match value {
                Value::String(piece) if key == "outputText" => append(slot, key, piece),
                _ => put_last(slot, key, value),
            }
        };
        match key.as_str() {
            INVOCATION_METRICS | "index" => {}
            "outputText" | "completionReason" => result(answer, key, value),
            "totalOutputTextTokenCount" => result(answer, "tokenCount", value),
            _ => put_last(answer, key, value),
        }
    }
}

fn mistral(answer: &mut Object, value: &Value) {
    for (place, output) in items(value, "outputs").iter().enumerate() {
        let place = u64::try_from(place).unwrap_or(u64::MAX);
        plain(
            as_object(element(list(answer, "outputs"), place)),
            output,
            &["text"],
        );
    }
    for (key, value) in value.as_object().into_iter().flatten() {
        if !matches!(key.as_str(), "outputs" | INVOCATION_METRICS) {
            put_last(answer, key, value);
        }
    }
}

fn cohere(answer: &mut Object, value: &Value) {
    // Command R: the last event brings the whole answer.
    if let Some(Value::Object(response)) = value.get("response") {
        *answer = response.clone();
        return;
    }
    if text(value, "event_type").is_some() {
        if let Some(piece) = text(value, "text") {
            append(answer, "text", piece);
        }
        return;
    }
    let index = value.get("index").and_then(Value::as_u64).unwrap_or(0);
    for (key, value) in value.as_object().into_iter().flatten() {
        match (key.as_str(), value) {
            (INVOCATION_METRICS | "is_finished" | "index", _) => {}
            ("generations", Value::Array(all)) if !all.is_empty() => {
                put(answer, key, &Value::Array(all.clone()));
            }
            ("text", Value::String(piece)) => {
                append(as_object(element(list(answer, "generations"), index)), key, piece);
            }
            ("finish_reason", _) if !is_blank(value) => {
                put(as_object(element(list(answer, "generations"), index)), key, value);
            }
            _ => put_last(answer, key, value),
        }
    }
}
