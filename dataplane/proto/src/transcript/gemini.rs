//! Gemini, from AI Studio and from Vertex, as SSE or as one array.
//!
//! Candidates are found by `index`; their parts follow one another, and neighbouring texts of the same kind (thought or
//! not) are one text. A text that has its signature is finished. The last `usageMetadata` with counts wins, as a whole.

use std::collections::BTreeMap;

use serde_json::Value;

use super::body::Event;
use super::join::{
    Object, append, as_object, count, extend, is_blank, items, list, member, put, put_first, put_last,
};

#[derive(Default)]
pub(super) struct Gemini {
    answer: Object,
    candidates: BTreeMap<u64, Object>,
    seen: bool,
}

impl super::Fold for Gemini {
    fn event(&mut self, event: &Event) {
        let chunk = &event.value;
        // Code Assist wraps every chunk in `response`.
        let chunk = chunk
            .get("response")
            .filter(|inner| inner.is_object())
            .unwrap_or(chunk);
        for (key, value) in chunk.as_object().into_iter().flatten() {
            match key.as_str() {
                "error" => continue,
                "candidates" => {
                    for (place, candidate) in items(chunk, key).iter().enumerate() {
                        let place = u64::try_from(place).unwrap_or(u64::MAX);
                        let index = count(candidate, "index").unwrap_or(place);
                        join_candidate(self.candidates.entry(index).or_default(), candidate);
                    }
                    list(&mut self.answer, key);
                }
                "usageMetadata" => {
                    if has_counts(value) || !self.answer.get(key).is_some_and(has_counts) {
                        put(&mut self.answer, key, value);
                    }
                }
                "responseId" | "createTime" => put_first(&mut self.answer, key, value),
                _ => put_last(&mut self.answer, key, value),
            }
            self.seen = true;
        }
    }

    fn finish(mut self: Box<Self>) -> Option<Value> {
        if !self.candidates.is_empty() {
            let candidates = self.candidates.into_values().map(Value::Object).collect();
            self.answer
                .insert("candidates".to_owned(), Value::Array(candidates));
        }
        self.seen.then_some(Value::Object(self.answer))
    }
}

fn has_counts(usage: &Value) -> bool {
    usage
        .as_object()
        .into_iter()
        .flatten()
        .any(|(key, value)| key.ends_with("TokenCount") && value.is_u64())
}

fn join_candidate(candidate: &mut Object, more: &Value) {
    for (key, value) in more.as_object().into_iter().flatten() {
        match (key.as_str(), value) {
            ("content", Value::Object(content)) => {
                let before = member(candidate, key);
                for (key, value) in content {
                    match value {
                        Value::Array(parts) if key == "parts" => {
                            let list = list(before, key);
                            parts.iter().for_each(|part| join_part(list, part));
                        }
                        _ => put_last(before, key, value),
                    }
                }
            }
            // What was found comes before what it supports.
            ("groundingMetadata" | "urlContextMetadata", Value::Object(found)) => {
                let before = member(candidate, key);
                for (key, value) in found {
                    if value.as_array().is_none_or(|list| !list.is_empty()) || !before.contains_key(key) {
                        put(before, key, value);
                    }
                }
            }
            ("citationMetadata" | "logprobsResult", Value::Object(lists)) => {
                let before = member(candidate, key);
                for (key, value) in lists {
                    match value {
                        Value::Array(items) => extend(before, key, items),
                        _ => put(before, key, value),
                    }
                }
            }
            _ => put_last(candidate, key, value),
        }
    }
}

/// Adds a part: to the text before it, where both are plain texts of one kind.
fn join_part(parts: &mut Vec<Value>, part: &Value) {
    let is_text = |part: &Value| {
        part.as_object().is_some_and(|fields| {
            fields.get("text").is_some_and(Value::is_string)
                && fields
                    .keys()
                    .all(|key| matches!(key.as_str(), "text" | "thought" | "thoughtSignature"))
        })
    };
    let is_thought = |part: &Value| part.get("thought").and_then(Value::as_bool).unwrap_or(false);
    let before = parts.last_mut().filter(|last| {
        is_text(last)
            && is_text(part)
            && is_thought(last) == is_thought(part)
            && last.get("thoughtSignature").is_none_or(is_blank)
    });
    match (before, part.get("text").and_then(Value::as_str)) {
        (Some(before), Some(text)) => {
            let before = as_object(before);
            append(before, "text", text);
            if let Some(signature) = part.get("thoughtSignature") {
                put(before, "thoughtSignature", signature);
            }
        }
        _ => parts.push(part.clone()),
    }
}
