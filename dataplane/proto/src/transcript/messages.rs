//! Anthropic messages, also as served by Vertex and by Bedrock's InvokeModel.
//!
//! `message_start.message` is where it begins; content blocks are found by `index` and grow by deltas; the pieces of a
//! tool's input are JSON only when all are there. Each field that `message_delta` states takes the place of the one before.

use std::collections::BTreeMap;

use serde_json::Value;

use super::body::Event;
use super::join::{
    ARGUMENT_VALUES_MAX, Object, append, arguments, as_object, count, list, member, put, text, word,
};
use super::parse::Budget;

#[derive(Default)]
pub(super) struct Messages {
    message: Option<Object>,
    blocks: BTreeMap<u64, Block>,
}

#[derive(Default)]
struct Block {
    fields: Object,
    /// The pieces of its input.
    input: Option<String>,
}

impl super::Fold for Messages {
    fn event(&mut self, event: &Event) {
        let data = &event.value;
        let index = || count(data, "index").unwrap_or(0);
        match event.kind() {
            "message_start" => {
                if let Some(Value::Object(message)) = data.get("message") {
                    self.whole(message.clone());
                }
            }
            // A whole message in place of a stream.
            "message" => {
                if let Value::Object(message) = data {
                    self.whole(message.clone());
                }
            }
            "content_block_start" => {
                if let Some(Value::Object(block)) = data.get("content_block") {
                    self.blocks.entry(index()).or_default().fields = block.clone();
                }
            }
            "content_block_delta" => {
                if let Some(delta) = data.get("delta") {
                    self.blocks.entry(index()).or_default().delta(delta);
                }
            }
            "message_delta" => self.delta(data),
            "message_stop" => {
                if let Some(metrics) = data.get(INVOCATION_METRICS) {
                    put(self.message.get_or_insert_default(), INVOCATION_METRICS, metrics);
                }
            }
            _ => {}
        }
    }

    fn finish(self: Box<Self>) -> Option<Value> {
        let mut message = match self.message {
            Some(message) => message,
            None if self.blocks.is_empty() => return None,
            None => Object::new(),
        };
        if !self.blocks.is_empty() {
            let mut budget = Budget::new(ARGUMENT_VALUES_MAX);
            let blocks = self
                .blocks
                .into_values()
                .map(|block| block.finish(&mut budget))
                .collect();
            message.insert("content".to_owned(), Value::Array(blocks));
        }
        Some(Value::Object(message))
    }
}

/// What Bedrock adds to the last event.
const INVOCATION_METRICS: &str = "amazon-bedrock-invocationMetrics";

impl Messages {
    fn whole(&mut self, message: Object) {
        self.message = Some(message);
        self.blocks.clear();
    }

    fn delta(&mut self, data: &Value) {
        let message = self.message.get_or_insert_default();
        for (key, value) in data.as_object().into_iter().flatten() {
            match (key.as_str(), value) {
                ("type", _) => {}
                ("delta", Value::Object(delta)) => {
                    for (key, value) in delta {
                        put(message, key, value);
                    }
                }
                ("usage", Value::Object(usage)) => {
                    let before = member(message, key);
                    for (key, value) in usage {
                        put(before, key, value);
                    }
                }
                // `context_management` and what else stands beside them.
                _ => put(message, key, value),
            }
        }
    }
}

impl Block {
    fn delta(&mut self, delta: &Value) {
        let block = &mut self.fields;
        match (word(delta, "type").unwrap_or_default(), delta) {
            ("input_json_delta", _) => {
                let piece = text(delta, "partial_json").unwrap_or_default();
                self.input.get_or_insert_default().push_str(piece);
            }
            ("citations_delta", _) => {
                if let Some(citation) = delta.get("citation") {
                    list(block, "citations").push(citation.clone());
                }
            }
            // Whole, as the SDKs take it.
            ("signature_delta", _) => {
                if let Some(signature) = delta.get("signature") {
                    put(block, "signature", signature);
                }
            }
            (_, Value::Object(fields)) => {
                for (key, value) in fields {
                    match value {
                        _ if key == "type" => {}
                        Value::String(piece) => append(block, key, piece),
                        _ => put(block, key, value),
                    }
                }
            }
            _ => {}
        }
    }

    fn finish(mut self, budget: &mut Budget) -> Value {
        if let Some(input) = self.input
            && !(input.is_empty() && self.fields.contains_key("input"))
        {
            self.fields.insert("input".to_owned(), arguments(&input, budget));
        }
        let mut block = Value::Object(self.fields);
        as_object(&mut block);
        block
    }
}
