//! Ollama's native API: chat and generate. The last line has the counts; its message is what the lines say together.

use serde_json::Value;

use super::body::Event;
use super::join::{Object, append, extend, join, member, put_last};

#[derive(Default)]
pub(super) struct Ollama {
    answer: Object,
}

impl super::Fold for Ollama {
    fn event(&mut self, event: &Event) {
        for (key, value) in event.value.as_object().into_iter().flatten() {
            match (key.as_str(), value) {
                ("error", _) => {}
                ("response" | "thinking", Value::String(text)) => append(&mut self.answer, key, text),
                ("message", Value::Object(piece)) => message(member(&mut self.answer, key), piece),
                ("logprobs" | "tool_calls" | "images", Value::Array(items)) => {
                    extend(&mut self.answer, key, items);
                }
                _ => put_last(&mut self.answer, key, value),
            }
        }
    }

    fn finish(self: Box<Self>) -> Option<Value> {
        (!self.answer.is_empty()).then_some(Value::Object(self.answer))
    }
}

fn message(message: &mut Object, piece: &Object) {
    for (key, value) in piece {
        match (key.as_str(), value) {
            ("content" | "thinking", Value::String(text)) => append(message, key, text),
            _ => join(message, key, value),
        }
    }
}
