//! The shape of JSON documents, learned from examples.

use std::collections::{BTreeMap, BTreeSet};

use serde_json::Value;

/// What was seen at one place. Items of lists are told apart by their `type`, or by the name of their first member where
/// they have none.
#[derive(Default)]
pub(crate) struct Shape {
    types: BTreeSet<&'static str>,
    objects: u32,
    members: BTreeMap<String, Member>,
    items: BTreeMap<String, Self>,
}

#[derive(Default)]
struct Member {
    seen: u32,
    shape: Shape,
}

/// Objects that must have been seen for a member of all of them to count as one that is always there.
const SEEN_MIN: u32 = 8;

/// Members whose content is the model's or the user's own.
const FREE: &[&str] = &[
    "input",
    "args",
    "arguments",
    "metadata",
    "parameters",
    "schema",
    "content_filter_results",
];

fn type_of(value: &Value) -> &'static str {
    match value {
        Value::Null => "null",
        Value::Bool(_) => "bool",
        Value::Number(_) => "number",
        Value::String(_) => "string",
        Value::Array(_) => "array",
        Value::Object(_) => "object",
    }
}

fn tag(item: &Value) -> String {
    match (item, item.get("type")) {
        (_, Some(Value::String(kind))) => kind.clone(),
        (Value::Object(members), None) => {
            // Untagged unions of Google and Bedrock: the member that is an object or text.
            const UNION: &[&str] = &[
                "text",
                "functionCall",
                "executableCode",
                "codeExecutionResult",
                "inlineData",
                "toolUse",
                "reasoningContent",
                "toolResult",
                "citationsContent",
            ];
            UNION
                .iter()
                .find(|key| members.contains_key(**key))
                .map_or_else(String::new, |key| (*key).to_owned())
        }
        _ => String::new(),
    }
}

impl Shape {
    pub(crate) fn learn(&mut self, value: &Value) {
        self.types.insert(type_of(value));
        match value {
            Value::Object(members) => {
                self.objects += 1;
                for (key, value) in members {
                    let member = self.members.entry(key.clone()).or_default();
                    member.seen += 1;
                    member.shape.learn(value);
                }
            }
            Value::Array(items) => {
                for item in items {
                    self.items.entry(tag(item)).or_default().learn(item);
                }
            }
            _ => {}
        }
    }

    /// Every place where a value has a member, a type or a kind of item that was never seen there, or lacks a member that
    /// was always there.
    pub(crate) fn compare(&self, value: &Value, path: String, found: &mut Vec<String>) {
        if !self.types.contains(type_of(value)) {
            found.push(format!(
                "{path}: is {}, not {:?}: {value}",
                type_of(value),
                self.types
            ));
            return;
        }
        match value {
            Value::Object(members) => {
                for (key, value) in members {
                    match self.members.get(key) {
                        _ if FREE.contains(&key.as_str()) => {}
                        Some(member) => member.shape.compare(value, format!("{path}.{key}"), found),
                        None => found.push(format!("{path}.{key}: unknown: {value}")),
                    }
                }
                for (key, member) in &self.members {
                    if member.seen == self.objects && self.objects >= SEEN_MIN && !members.contains_key(key) {
                        found.push(format!("{path}.{key}: missing, though in all {}", self.objects));
                    }
                }
            }
            Value::Array(items) => {
                for item in items {
                    let tag = tag(item);
                    match self.items.get(&tag) {
                        Some(shape) => shape.compare(item, format!("{path}[{tag}]"), found),
                        None => found.push(format!("{path}[{tag}]: unknown: {item}")),
                    }
                }
            }
            _ => {}
        }
    }
}
