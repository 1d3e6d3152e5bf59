//! OpenAI chat completions and completions, and every compatible server.
//!
//! Choices are found by `index`; the deltas of each add up to its `message`. `usage` is the last one stated, and may sit in
//! `x_groq`. Azure's first chunk has an empty model; Perplexity repeats the whole message beside each delta, which is
//! passed over. Tool calls are found by `index`, but some servers number all of them 0 or none at all: another id with a
//! name begins another call.

use std::collections::BTreeMap;

use serde_json::Value;

use super::body::Event;
use super::join::{
    Object, append, append_base64, as_object, count, extend, is_blank, items, join, member, put, put_first,
    put_last, word,
};

/// Tool calls and details of a choice that pieces are looked for in, the latest. Nobody mixes so many.
const OPEN_MAX: usize = 256;

#[derive(Default)]
pub(super) struct Chat {
    answer: Object,
    choices: BTreeMap<u64, Choice>,
    seen: bool,
}

#[derive(Default)]
struct Choice {
    fields: Object,
    message: Object,
    calls: Vec<Call>,
    /// It came as deltas or messages, not as the texts of the old completions.
    is_message: bool,
}

struct Call {
    index: Option<u64>,
    fields: Object,
}

impl super::Fold for Chat {
    fn event(&mut self, event: &Event) {
        let Some(chunk) = event.value.as_object() else {
            return;
        };
        if !chunk.contains_key("choices") && !chunk.contains_key("usage") && !chunk.contains_key("id") {
            return;
        }
        self.seen = true;
        for (key, value) in chunk {
            match key.as_str() {
                "choices" => self.choices(items(&event.value, "choices")),
                // Padding, so that the length of a chunk says nothing; Mistral calls it `p`.
                "error" | "obfuscation" | "p" => {}
                "object" => put_first(&mut self.answer, key, &unchunked(value)),
                "id" | "created" => put_first(&mut self.answer, key, value),
                "x_groq" => {
                    if let (Some(Value::Object(inner)), Value::Object(more)) =
                        (self.answer.get_mut(key), value)
                    {
                        for (key, value) in more {
                            put(inner, key, value);
                        }
                    } else {
                        put(&mut self.answer, key, value);
                    }
                }
                _ => put_last(&mut self.answer, key, value),
            }
        }
    }

    fn finish(mut self: Box<Self>) -> Option<Value> {
        if !self.seen {
            return None;
        }
        let choices = self.choices.into_values().map(Choice::finish).collect();
        self.answer.insert("choices".to_owned(), Value::Array(choices));
        // Groq's last chunk says there what answers without a stream say beside it.
        for key in ["usage", "usage_breakdown"] {
            if let Some(Value::Object(groq)) = self.answer.get_mut("x_groq")
                && let Some(value) = groq.shift_remove(key)
            {
                put_first(&mut self.answer, key, &value);
            }
        }
        Some(Value::Object(self.answer))
    }
}

fn unchunked(object: &Value) -> Value {
    match object.as_str() {
        Some("chat.completion.chunk") => Value::String("chat.completion".to_owned()),
        _ => object.clone(),
    }
}

impl Chat {
    fn choices(&mut self, choices: &[Value]) {
        for (place, choice) in choices.iter().enumerate() {
            let index = count(choice, "index").unwrap_or_else(|| u64::try_from(place).unwrap_or(u64::MAX));
            let Some(fields) = choice.as_object() else {
                continue;
            };
            self.choices.entry(index).or_default().chunk(fields);
        }
    }
}

impl Choice {
    fn chunk(&mut self, chunk: &Object) {
        let has_delta = chunk.get("delta").is_some_and(Value::is_object);
        for (key, value) in chunk {
            match (key.as_str(), value) {
                ("delta", Value::Object(delta)) => {
                    self.is_message = true;
                    self.delta(delta);
                }
                ("delta", _) => self.is_message = true,
                ("message", Value::Object(message)) => {
                    self.is_message = true;
                    if !has_delta {
                        self.message.clear();
                        self.calls.clear();
                        self.delta(message);
                    }
                }
                ("text", Value::String(text)) => append(&mut self.fields, key, text),
                ("logprobs", Value::Object(more)) => {
                    let lists = member(&mut self.fields, key);
                    for (key, value) in more {
                        match value {
                            Value::Array(items) => extend(lists, key, items),
                            _ => put(lists, key, value),
                        }
                    }
                }
                ("content_filter_results", Value::Object(more)) => {
                    let results = member(&mut self.fields, key);
                    for (key, value) in more {
                        put(results, key, value);
                    }
                }
                _ => put_last(&mut self.fields, key, value),
            }
        }
    }

    fn delta(&mut self, delta: &Object) {
        for (key, value) in delta {
            match (key.as_str(), value) {
                ("role", _) => put_first(&mut self.message, key, value),
                ("tool_calls", Value::Array(calls)) => calls.iter().for_each(|call| self.call(call)),
                ("function_call", Value::Object(more)) => function(member(&mut self.message, key), more),
                ("audio", Value::Object(more)) => audio(member(&mut self.message, key), more),
                ("content", Value::Array(parts)) => self.parts(parts),
                ("content", Value::String(text)) if self.message.get(key).is_some_and(Value::is_array) => {
                    self.parts(&[serde_json::json!({ "type": "text", "text": text })]);
                }
                ("reasoning_details", Value::Array(details)) => {
                    let list = super::join::list(&mut self.message, key);
                    details.iter().for_each(|detail| reasoning_detail(list, detail));
                }
                (
                    "content" | "refusal" | "reasoning" | "reasoning_content" | "reasoning_text" | "thinking",
                    Value::String(text),
                ) => append(&mut self.message, key, text),
                _ => join(&mut self.message, key, value),
            }
        }
    }

    /// Mistral's content in parts: thinking and text, each in pieces.
    fn parts(&mut self, parts: &[Value]) {
        let before = match self.message.get("content") {
            Some(Value::String(text)) if !text.is_empty() => Some(text.clone()),
            _ => None,
        };
        let list = super::join::list(&mut self.message, "content");
        if let Some(text) = before {
            list.push(serde_json::json!({ "type": "text", "text": text }));
        }
        for part in parts {
            let same = list
                .last_mut()
                .filter(|last| {
                    matches!(word(part, "type"), Some("text" | "thinking"))
                        && last.get("type") == part.get("type")
                })
                .and_then(Value::as_object_mut);
            match (same, part.get("text"), part.get("thinking")) {
                (Some(last), Some(Value::String(more)), _) => append(last, "text", more),
                (Some(last), _, Some(Value::String(more))) => append(last, "thinking", more),
                (Some(last), _, Some(Value::Array(more))) => {
                    let inner = super::join::list(last, "thinking");
                    for item in more {
                        match (
                            inner.last_mut().and_then(Value::as_object_mut),
                            super::join::text(item, "text"),
                        ) {
                            (Some(last), Some(text)) if last.get("type") == item.get("type") => {
                                append(last, "text", text);
                            }
                            _ => inner.push(item.clone()),
                        }
                    }
                }
                _ => list.push(part.clone()),
            }
        }
    }

    fn call(&mut self, piece: &Value) {
        let Some(more) = piece.as_object() else { return };
        let (index, id) = (count(piece, "index"), word(piece, "id"));
        let named = piece
            .get("function")
            .and_then(|function| word(function, "name"))
            .is_some();
        let place = self
            .calls
            .iter()
            .enumerate()
            .rev()
            .take(OPEN_MAX)
            .find(|(_, call)| {
                let known = call
                    .fields
                    .get("id")
                    .and_then(Value::as_str)
                    .filter(|id| !id.is_empty());
                match (id, known) {
                    (Some(id), Some(known)) if id == known => true,
                    (Some(_), Some(_)) if named => false,
                    _ => index.is_none() || call.index == index,
                }
            });
        let place = place.map(|(place, _)| place);
        // Without number and id, a name begins a call.
        let place = place.filter(|_| !(named && index.is_none() && id.is_none()));
        let call = match place.and_then(|place| self.calls.get_mut(place)) {
            Some(call) => call,
            None => {
                self.calls.push(Call {
                    index,
                    fields: Object::new(),
                });
                match self.calls.last_mut() {
                    Some(call) => call,
                    None => return,
                }
            }
        };
        for (key, value) in more {
            match (key.as_str(), value) {
                ("index", _) => {}
                ("id" | "type", _) => put_first(&mut call.fields, key, value),
                ("function" | "custom", Value::Object(more)) => function(member(&mut call.fields, key), more),
                _ => join(&mut call.fields, key, value),
            }
        }
    }

    fn finish(mut self) -> Value {
        if self.is_message {
            if !self.calls.is_empty() {
                let calls = self
                    .calls
                    .into_iter()
                    .map(|call| Value::Object(call.fields))
                    .collect();
                self.message.insert("tool_calls".to_owned(), Value::Array(calls));
            }
            self.message
                .entry("role")
                .or_insert_with(|| Value::String("assistant".to_owned()));
            self.message.entry("content").or_insert(Value::Null);
            self.fields
                .insert("message".to_owned(), Value::Object(self.message));
        }
        Value::Object(self.fields)
    }
}

/// Name and arguments of a function, or name and input of a custom tool.
fn function(function: &mut Object, more: &Object) {
    for (key, value) in more {
        match (key.as_str(), value) {
            ("arguments" | "input", Value::String(text)) => append(function, key, text),
            // Some servers give the arguments as an object, whole.
            ("arguments", Value::Object(_)) => append(function, key, &value.to_string()),
            _ => join(function, key, value),
        }
    }
}

fn audio(audio: &mut Object, more: &Object) {
    for (key, value) in more {
        match (key.as_str(), value) {
            ("data", Value::String(piece)) => append_base64(audio, key, piece),
            ("transcript", Value::String(piece)) => append(audio, key, piece),
            _ => put_last(audio, key, value),
        }
    }
}

/// OpenRouter: pieces of one detail have its `index` and `type`.
fn reasoning_detail(list: &mut Vec<Value>, piece: &Value) {
    let same =
        list.iter_mut().rev().take(OPEN_MAX).find(|detail| {
            detail.get("index") == piece.get("index") && detail.get("type") == piece.get("type")
        });
    let (Some(detail), Some(more)) = (same, piece.as_object()) else {
        list.push(piece.clone());
        return;
    };
    let detail = as_object(detail);
    for (key, value) in more {
        match (key.as_str(), value) {
            ("text" | "summary" | "data", Value::String(text)) => append(detail, key, text),
            _ if is_blank(value) => put(detail, key, value),
            _ => {
                detail.insert(key.clone(), value.clone());
            }
        }
    }
}
