//! Bedrock Converse, and Amazon Nova's events on InvokeModel, which have its words.

use std::collections::BTreeMap;

use serde_json::Value;

use super::body::Event;
use super::join::{ARGUMENT_VALUES_MAX, Object, append, arguments, count, join, list, member, put, text};
use super::parse::Budget;

#[derive(Default)]
pub(super) struct Converse {
    answer: Object,
    message: Object,
    blocks: BTreeMap<u64, Block>,
    seen: bool,
}

#[derive(Default)]
struct Block {
    fields: Object,
    /// The pieces of a tool's input.
    input: Option<String>,
}

impl super::Fold for Converse {
    fn event(&mut self, event: &Event) {
        self.named(&event.name, &event.value);
    }

    fn finish(mut self: Box<Self>) -> Option<Value> {
        if !self.seen {
            return None;
        }
        let mut budget = Budget::new(ARGUMENT_VALUES_MAX);
        let content = self
            .blocks
            .into_values()
            .map(|block| block.finish(&mut budget))
            .collect();
        self.message.insert("content".to_owned(), Value::Array(content));
        let mut answer = Object::new();
        member(&mut answer, "output").insert("message".to_owned(), Value::Object(self.message));
        answer.append(&mut self.answer);
        Some(Value::Object(answer))
    }
}

impl Converse {
    pub(super) fn named(&mut self, name: &str, data: &Value) {
        let index = count(data, "contentBlockIndex").unwrap_or(0);
        match name {
            "messageStart" => {
                if let Some(role) = data.get("role") {
                    put(&mut self.message, "role", role);
                }
            }
            "contentBlockStart" => {
                if let Some(Value::Object(start)) = data.get("start") {
                    self.blocks.entry(index).or_default().fields = start.clone();
                }
            }
            "contentBlockDelta" => {
                if let Some(Value::Object(delta)) = data.get("delta") {
                    self.blocks.entry(index).or_default().delta(delta);
                }
            }
            "contentBlockStop" => {}
            "messageStop" | "metadata" => {
                for (key, value) in data
                    .as_object()
                    .into_iter()
                    .flatten()
                    .filter(|(key, _)| *key != "p")
                {
                    put(&mut self.answer, key, value);
                }
            }
            _ => return,
        }
        self.seen = true;
    }
}

impl Block {
    fn delta(&mut self, delta: &Object) {
        for (key, value) in delta {
            match (key.as_str(), value) {
                ("text", Value::String(piece)) => match self.fields.get_mut("citationsContent") {
                    Some(Value::Object(cited)) => cited_text(cited, piece),
                    _ => append(&mut self.fields, key, piece),
                },
                ("toolUse", Value::Object(tool)) => {
                    for (name, value) in tool {
                        match value {
                            Value::String(piece) if name == "input" => {
                                self.input.get_or_insert_default().push_str(piece);
                            }
                            _ => put(member(&mut self.fields, key), name, value),
                        }
                    }
                }
                ("reasoningContent", Value::Object(piece)) => {
                    let reasoning = member(&mut self.fields, key);
                    for (name, value) in piece {
                        match (name.as_str(), value) {
                            ("text", Value::String(piece)) => {
                                append(member(reasoning, "reasoningText"), name, piece);
                            }
                            ("signature", _) => put(member(reasoning, "reasoningText"), name, value),
                            _ => join(reasoning, name, value),
                        }
                    }
                }
                // A text with citations is a block of its own kind.
                ("citation", _) => {
                    let before = self.fields.shift_remove("text");
                    let cited = member(&mut self.fields, "citationsContent");
                    if let Some(Value::String(before)) = before {
                        cited_text(cited, &before);
                    }
                    list(cited, "citations").push(value.clone());
                }
                ("toolResult", Value::Array(parts)) => {
                    list(member(&mut self.fields, key), "content").extend_from_slice(parts);
                }
                _ => join(&mut self.fields, key, value),
            }
        }
    }

    fn finish(mut self, budget: &mut Budget) -> Value {
        if let Some(Value::Object(tool)) = self.fields.get_mut("toolUse") {
            let input = self.input.unwrap_or_default();
            if !(input.is_empty() && tool.contains_key("input")) {
                tool.insert("input".to_owned(), arguments(&input, budget));
            }
        }
        Value::Object(self.fields)
    }
}

fn cited_text(cited: &mut Object, piece: &str) {
    let content = list(cited, "content");
    match content.last_mut() {
        Some(Value::Object(last)) if last.contains_key("text") => append(last, "text", piece),
        _ => content.push(serde_json::json!({ "text": piece })),
    }
}

/// Whether an event of InvokeModel has the words of Converse.
pub(super) fn is_event(value: &Value) -> bool {
    const NAMES: &[&str] = &[
        "messageStart",
        "contentBlockStart",
        "contentBlockDelta",
        "contentBlockStop",
        "messageStop",
        "metadata",
    ];
    NAMES
        .iter()
        .any(|name| value.get(name).is_some_and(Value::is_object))
        && text(value, "type").is_none()
}
