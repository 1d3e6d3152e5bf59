//! What is new in a capture, as text: what was said since the model's last turn, and what the model said.
//!
//! It knows no wire format by name. Requests of all of them hold turns in an array, whose last run that is not the model's
//! is new; what people read are texts in them, and what they do not read stands under keys that all formats share.

use serde_json::Value;

/// Most bytes of a capture's text, and of the answer in it.
const BYTES_MAX: usize = 64 << 10;
const ANSWER_BYTES_MAX: usize = 32 << 10;
/// A word that is longer is none: encoded images, keys, hashes.
const WORD_BYTES_MAX: usize = 256;

/// Where requests have their turns.
const TURNS: [&str; 4] = ["messages", "input", "contents", "prompt"];
/// What stands under these keys is not said to anybody.
const UNSAID: [&str; 27] = [
    "type",
    "role",
    "id",
    "object",
    "model",
    "modelVersion",
    "status",
    "data",
    "source",
    "url",
    "image_url",
    "signature",
    "encrypted_content",
    "thoughtSignature",
    "media_type",
    "mime_type",
    "mimeType",
    "format",
    "tool_use_id",
    "tool_call_id",
    "toolUseId",
    "call_id",
    "cache_control",
    "finish_reason",
    "finishReason",
    "stop_reason",
    "service_tier",
];

/// The text of a capture; both bodies decoded, the answer as one object.
pub(super) fn text_of(request: &[u8], answer: &[u8]) -> String {
    let mut text = Text {
        out: String::new(),
        bytes_max: ANSWER_BYTES_MAX,
    };
    if let Ok(answer) = serde_json::from_slice::<Value>(answer) {
        text.add(&answer);
    }
    text.bytes_max = BYTES_MAX;
    if let Ok(request) = serde_json::from_slice::<Value>(request) {
        for turns in TURNS.iter().filter_map(|name| request.get(name)) {
            match turns {
                Value::Array(turns) => new(turns).iter().for_each(|turn| text.add(turn)),
                one => text.add(one),
            }
        }
    }
    text.out
}

/// Turns behind the model's last.
fn new(turns: &[Value]) -> &[Value] {
    let of_model = |turn: &Value| {
        let is = |key: &str, names: &[&str]| {
            turn.get(key)
                .and_then(Value::as_str)
                .is_some_and(|it| names.contains(&it))
        };
        is("role", &["assistant", "model"]) || is("type", &["function_call", "reasoning", "custom_tool_call"])
    };
    let behind = turns
        .iter()
        .rposition(of_model)
        .map_or(0, |at| at.saturating_add(1));
    turns.get(behind..).unwrap_or_default()
}

struct Text {
    out: String,
    bytes_max: usize,
}

impl Text {
    /// Adds every text in a value. JSON that was read is not deep enough to matter.
    fn add(&mut self, value: &Value) {
        match value {
            Value::String(text) => self.push(text),
            Value::Array(items) => items.iter().for_each(|item| self.add(item)),
            Value::Object(members) => {
                let role = members.get("role").and_then(Value::as_str);
                if matches!(role, Some("system" | "developer")) {
                    return;
                }
                for (key, value) in members {
                    if !UNSAID.contains(&key.as_str()) {
                        self.add(value);
                    }
                }
            }
            Value::Null | Value::Bool(_) | Value::Number(_) => {}
        }
    }

    fn push(&mut self, text: &str) {
        for word in text.split_inclusive(char::is_whitespace) {
            if word.len() > WORD_BYTES_MAX && word.is_ascii() {
                continue;
            }
            if self.out.len().saturating_add(word.len()) > self.bytes_max {
                return;
            }
            self.out.push_str(word);
        }
        self.out.push('\n');
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn words(request: &Value, answer: &Value) -> Vec<String> {
        let text = text_of(request.to_string().as_bytes(), answer.to_string().as_bytes());
        text.split_whitespace().map(str::to_owned).collect()
    }

    #[test]
    fn of_every_format_what_is_new_is_found_and_nothing_else() {
        let check = |request: Value, answer: Value, expected: &str| {
            assert_eq!(words(&request, &answer).join(" "), expected, "{request}");
        };
        check(
            json!({ "model": "claude", "system": "old", "messages": [
                { "role": "user", "content": "old" },
                { "role": "assistant", "content": [{ "type": "tool_use", "id": "t1", "name": "Bash", "input": { "command": "old" } }] },
                { "role": "user", "content": [{ "type": "tool_result", "tool_use_id": "t1", "content": [{ "type": "text", "text": "result" }] },
                    { "type": "image", "source": { "type": "base64", "data": "aaaa" } }, { "type": "text", "text": "question" }] },
            ] }),
            json!({ "id": "msg_1", "type": "message", "role": "assistant", "model": "claude", "stop_reason": "tool_use",
                "content": [{ "type": "text", "text": "answer" }, { "type": "tool_use", "id": "t2", "name": "Read", "input": { "path": "a.rs" } }],
                "usage": { "input_tokens": 3 } }),
            "answer Read a.rs result question",
        );
        check(
            json!({ "messages": [{ "role": "system", "content": "old" }, { "role": "user", "content": "question" }] }),
            json!({ "id": "c", "object": "chat.completion", "choices": [{ "index": 0, "finish_reason": "stop", "message": { "role": "assistant", "content": "answer" } }] }),
            "answer question",
        );
        check(
            json!({ "input": [{ "role": "user", "content": "old" }, { "type": "function_call", "name": "old", "call_id": "c", "arguments": "{}" },
                { "type": "function_call_output", "call_id": "c", "output": "result" }] }),
            json!({ "output": [{ "type": "message", "role": "assistant", "content": [{ "type": "output_text", "text": "answer" }] }] }),
            "answer result",
        );
        check(json!({ "input": "question" }), json!(null), "question");
        check(
            json!({ "contents": [{ "role": "user", "parts": [{ "text": "old" }] }, { "role": "model", "parts": [{ "text": "old" }] },
                { "role": "user", "parts": [{ "text": "question" }, { "inlineData": { "mimeType": "image/png", "data": "aaaa" } }] }] }),
            json!({ "candidates": [{ "content": { "role": "model", "parts": [{ "text": "answer" }] }, "finishReason": "STOP" }] }),
            "answer question",
        );
        check(
            json!({ "messages": [{ "role": "user", "content": [{ "text": "question" }] }] }),
            json!({ "output": { "message": { "role": "assistant", "content": [{ "text": "answer" }] } }, "stopReason": 1 }),
            "answer question",
        );
        check(
            json!({ "prompt": "question", "model": "m" }),
            json!({ "response": "answer", "model": "m" }),
            "answer question",
        );
        check(json!([1, 2]), json!(3), "");
    }

    #[test]
    fn texts_are_bounded_and_words_that_are_none_are_left_out() {
        let long = "word ".repeat(40_000);
        let found = text_of(
            json!({ "prompt": long }).to_string().as_bytes(),
            json!({ "text": long }).to_string().as_bytes(),
        );
        assert!(found.len() <= BYTES_MAX + 2 && found.len() > BYTES_MAX - 16);
        let found = words(
            &json!({ "prompt": format!("a {} b", "x".repeat(300)) }),
            &json!({}),
        );
        assert_eq!(found, ["a", "b"]);
        assert_eq!(text_of(b"{\"messages\":[", b"\xff"), "");
    }
}
