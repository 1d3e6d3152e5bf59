//! Gemini, from AI Studio and from Vertex, as SSE or as one array.
//!
//! Candidates are found by `index`; their parts follow one another, and neighbouring texts of the same kind (thought or
//! not) are one text. A text that has its signature is finished. The arguments of a function call can come piece by
//! piece too (`partialArgs`), each at its place (`$.recipe.steps[0]`). The last `usageMetadata` with counts wins, as a whole.

use std::collections::BTreeMap;

use serde_json::Value;

use super::body::Event;
use super::join::{
    Object, append, as_object, count, element, extend, is_blank, items, list, member, put, put_first,
    put_last,
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
            let candidates = self.candidates.into_values().map(closed).collect();
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
    if let (Some(before), Some(text)) = (before, part.get("text").and_then(Value::as_str)) {
        let before = as_object(before);
        append(before, "text", text);
        if let Some(signature) = part.get("thoughtSignature") {
            put(before, "thoughtSignature", signature);
        }
        return;
    }
    let Some(Value::Object(piece)) = part.get("functionCall") else {
        parts.push(part.clone());
        return;
    };
    let is_open = |part: &Value| part.pointer("/functionCall/willContinue") == Some(&Value::Bool(true));
    if piece.contains_key("name") || !parts.last().is_some_and(is_open) {
        let mut part = part.clone();
        if let Some(Value::Object(call)) = part.get_mut("functionCall") {
            call.shift_remove("partialArgs");
        }
        parts.push(part);
    }
    if let Some(Value::Object(call)) = parts.last_mut().and_then(|part| part.get_mut("functionCall")) {
        for argument in piece
            .get("partialArgs")
            .and_then(Value::as_array)
            .into_iter()
            .flatten()
        {
            argument_piece(call, argument);
        }
        call.insert(
            "willContinue".to_owned(),
            piece.get("willContinue").cloned().unwrap_or(Value::Bool(false)),
        );
    }
}

/// Deepest place of an argument.
const PLACE_DEPTH_MAX: usize = 64;

/// Puts one piece of an argument to its place: a text is appended to what is there.
fn argument_piece(call: &mut Object, piece: &Value) {
    let place = piece.get("jsonPath").and_then(Value::as_str).unwrap_or_default();
    let mut slot = call.entry("args").or_insert_with(|| Value::Object(Object::new()));
    for step in place
        .trim_start_matches('$')
        .split(['.', '['])
        .filter(|step| !step.is_empty())
        .take(PLACE_DEPTH_MAX)
    {
        let name = step.trim_end_matches(']').trim_matches(['\'', '"']);
        slot = match (step.ends_with(']'), name.parse()) {
            (true, Ok(index)) => {
                if !slot.is_array() {
                    *slot = Value::Array(Vec::new());
                }
                match slot {
                    Value::Array(list) => element(list, index),
                    other => other,
                }
            }
            _ => as_object(slot).entry(name).or_insert(Value::Null),
        };
    }
    for (key, value) in piece.as_object().into_iter().flatten() {
        match (key.as_str(), value, &mut *slot) {
            ("stringValue", Value::String(more), Value::String(text)) => text.push_str(more),
            ("stringValue" | "numberValue" | "boolValue", _, slot) => *slot = value.clone(),
            ("nullValue", _, slot) => *slot = Value::Null,
            _ => {}
        }
    }
}

/// A candidate without the marks of how its function calls came.
fn closed(mut candidate: Object) -> Value {
    if let Some(Value::Object(content)) = candidate.get_mut("content") {
        for part in content
            .get_mut("parts")
            .and_then(Value::as_array_mut)
            .into_iter()
            .flatten()
        {
            if let Some(Value::Object(call)) = part.get_mut("functionCall")
                && call.shift_remove("willContinue").is_some()
            {
                call.entry("args").or_insert_with(|| Value::Object(Object::new()));
            }
        }
    }
    Value::Object(candidate)
}
