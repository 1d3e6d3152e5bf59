//! OpenAI responses.
//!
//! `response.completed`, `.incomplete` and `.failed` bring the whole answer. Until one of them comes, the last response
//! seen (`.created`, `.in_progress`) is filled with the items that the events built: an item's own `done` event is its final
//! form, before it its deltas add up. The same is done where the last event leaves `output` empty.

use std::collections::BTreeMap;

use serde_json::{Value, json};

use super::body::Event;
use super::join::{Object, append, as_object, count, element, extend, list, put, put_first, text, word};

#[derive(Default)]
pub(super) struct Responses {
    response: Option<Object>,
    output: BTreeMap<u64, Value>,
    ended: bool,
}

impl super::Fold for Responses {
    fn event(&mut self, event: &Event) {
        let kind = event.kind();
        let data = &event.value;
        if let Some(Value::Object(response)) = data.get("response") {
            let end = matches!(
                kind,
                "response.completed" | "response.incomplete" | "response.failed" | "response.cancelled"
            );
            // Another response after one that ended: the last one counts.
            if kind == "response.created" {
                self.output.clear();
                self.ended = false;
            }
            if end || !self.ended {
                self.response = Some(response.clone());
                self.ended |= end;
            }
            return;
        }
        // A whole response in place of a stream.
        if data.get("object").and_then(Value::as_str) == Some("response") {
            self.response = data.as_object().cloned();
            self.ended = true;
            return;
        }
        let Some(step) = kind.strip_prefix("response.") else {
            return;
        };
        let Some(index) = count(data, "output_index") else {
            return;
        };
        if let "output_item.added" | "output_item.done" = step {
            if let Some(item @ Value::Object(_)) = data.get("item") {
                self.output.insert(index, item.clone());
            }
            return;
        }
        let item = as_object(self.output.entry(index).or_insert(Value::Null));
        if item.is_empty() {
            begin(item, step, data);
        }
        grow(item, step, data);
    }

    fn finish(self: Box<Self>) -> Option<Value> {
        let this = *self;
        let built: Vec<Value> = this.output.into_values().collect();
        let mut response = match this.response {
            Some(response) => response,
            None if built.is_empty() => return None,
            None => Object::new(),
        };
        let empty = response
            .get("output")
            .and_then(Value::as_array)
            .is_none_or(Vec::is_empty);
        if empty && !built.is_empty() {
            response.insert("output".to_owned(), Value::Array(built));
        }
        Some(Value::Object(response))
    }
}

/// An item whose beginning was not announced: its kind is told by what it grows by.
fn begin(item: &mut Object, step: &str, data: &Value) {
    let kind = match step.split('.').next().unwrap_or_default() {
        "function_call_arguments" => "function_call",
        "custom_tool_call_input" => "custom_tool_call",
        "mcp_call_arguments" => "mcp_call",
        "code_interpreter_call_code" => "code_interpreter_call",
        part if part.starts_with("reasoning") => "reasoning",
        part if part.ends_with("_call") => part,
        _ => "message",
    };
    item.insert("type".to_owned(), json!(kind));
    if let Some(id) = data.get("item_id") {
        put(item, "id", id);
    }
    if kind == "message" {
        item.insert("role".to_owned(), json!("assistant"));
    }
}

fn grow(item: &mut Object, step: &str, data: &Value) {
    let delta = text(data, "delta").unwrap_or_default();
    match step {
        "content_part.added" | "content_part.done" => {
            if let Some(part) = data.get("part") {
                *content(item, data) = part.clone();
            }
        }
        "reasoning_summary_part.added" | "reasoning_summary_part.done" => {
            if let Some(part) = data.get("part") {
                *summary(item, data) = part.clone();
            }
        }
        "output_text.delta" | "reasoning_text.delta" | "refusal.delta" => {
            let (kind, key) = part_of(step);
            let part = begun(content(item, data), kind);
            append(part, key, delta);
            if let Some(Value::Array(logprobs)) = data.get("logprobs")
                && !logprobs.is_empty()
            {
                extend(part, "logprobs", logprobs);
            }
        }
        "output_text.done" | "reasoning_text.done" | "refusal.done" => {
            let (kind, key) = part_of(step);
            if let Some(whole) = data.get(key) {
                put(begun(content(item, data), kind), key, whole);
            }
        }
        "output_text.annotation.added" => {
            if let Some(annotation) = data.get("annotation") {
                list(begun(content(item, data), "output_text"), "annotations").push(annotation.clone());
            }
        }
        "reasoning_summary_text.delta" => append(begun(summary(item, data), "summary_text"), "text", delta),
        "reasoning_summary_text.done" => {
            if let Some(whole) = data.get("text") {
                put(begun(summary(item, data), "summary_text"), "text", whole);
            }
        }
        "function_call_arguments.delta" | "mcp_call_arguments.delta" => append(item, "arguments", delta),
        "function_call_arguments.done" | "mcp_call_arguments.done" => set(item, "arguments", data),
        "custom_tool_call_input.delta" => append(item, "input", delta),
        "custom_tool_call_input.done" => set(item, "input", data),
        "code_interpreter_call_code.delta" => append(item, "code", delta),
        "code_interpreter_call_code.done" => set(item, "code", data),
        "image_generation_call.partial_image" => {
            // The best picture so far, until the item's own is there.
            if let Some(picture) = data.get("partial_image_b64") {
                item.insert("result".to_owned(), picture.clone());
            }
        }
        // `web_search_call.searching`, `mcp_call.completed` and so on say how far a call is.
        _ => {
            if let Some((call, state)) = step.split_once('.')
                && item.get("type").and_then(Value::as_str) == Some(call)
                && !state.contains('.')
            {
                item.insert("status".to_owned(), json!(state));
            }
        }
    }
}

/// Kind of the part that a step grows, and the member with its text.
fn part_of(step: &str) -> (&'static str, &'static str) {
    if step.starts_with("refusal") {
        ("refusal", "refusal")
    } else if step.starts_with("reasoning_text") {
        ("reasoning_text", "text")
    } else {
        ("output_text", "text")
    }
}

fn content<'i>(item: &'i mut Object, data: &Value) -> &'i mut Value {
    element(list(item, "content"), count(data, "content_index").unwrap_or(0))
}

fn summary<'i>(item: &'i mut Object, data: &Value) -> &'i mut Value {
    element(list(item, "summary"), count(data, "summary_index").unwrap_or(0))
}

fn begun<'p>(part: &'p mut Value, kind: &str) -> &'p mut Object {
    let part = as_object(part);
    put_first(part, "type", &json!(kind));
    if kind == "output_text" {
        list(part, "annotations");
    }
    part
}

fn set(item: &mut Object, key: &str, data: &Value) {
    // Some servers close with an empty word what they gave in pieces.
    if word(data, key).is_some() {
        put(item, key, data.get(key).unwrap_or(&Value::Null));
    }
}
