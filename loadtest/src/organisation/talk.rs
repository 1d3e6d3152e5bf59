//! What is said: stories of people and their models, told answer by answer, as the clients' wire formats have it.
//!
//! A story is a row of steps: somebody asks, the model calls a tool and gets what came of it, or says something. The
//! request of an answer holds everything before it, as clients send it; a story that is over is followed by another.

use serde_json::{Value, json};
use sluice_shared::api::ApiKind;
use sluice_shared::usage::UsageRecord;

mod stories;

use stories::{CHATS, CODING, Step, Story};

/// Which story is told, and how many answers there were before this one.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Told {
    /// Number of the story.
    pub story: u64,
    /// Answers before.
    pub turn: u32,
}

/// A request and its answer as they went over the wire.
#[derive(Clone, Debug)]
pub struct Exchange {
    /// Fields of the request's head.
    pub request_headers: Vec<(String, Vec<u8>)>,
    /// Its body.
    pub request: Vec<u8>,
    /// Fields of the answer's head.
    pub answer_headers: Vec<(String, Vec<u8>)>,
    /// Its body.
    pub answer: Vec<u8>,
}

/// Steps of a conversation that are sent again with each request, at most.
const HISTORY_MAX: usize = 40;

const CODING_SYSTEM: &str =
    "You are a coding agent in a terminal. Read before you change, keep changes small, run the tests.";
const CHAT_SYSTEM: &str =
    "You are the assistant of Example Corp. Answer briefly and say when you are not sure.";

/// What is said in a request.
#[must_use]
pub fn exchange(told: Told, record: &UsageRecord) -> Exchange {
    let coding = matches!(
        record.api,
        ApiKind::AnthropicMessages | ApiKind::BedrockConverse | ApiKind::AnthropicCountTokens
    ) && record.session_source == sluice_shared::usage::SessionSource::Header;
    let stories: &'static [Story] = if coding { &CODING } else { &CHATS };
    let (history, next) = until(stories, told);
    let (request, answer, kind) = match record.api {
        ApiKind::AnthropicMessages | ApiKind::AnthropicCountTokens => {
            let request =
                messages_request(record, &history, if coding { CODING_SYSTEM } else { CHAT_SYSTEM });
            let (answer, kind) = messages_answer(record, next);
            (request, answer, kind)
        }
        ApiKind::BedrockConverse => (converse_request(&history), converse_answer(record, next), JSON),
        _ => (chat_request(record, &history), chat_answer(record, next), JSON),
    };
    let head = |fields: &[(&str, String)]| {
        let field = |(name, value): &(&str, String)| ((*name).to_owned(), value.clone().into_bytes());
        fields.iter().map(field).collect()
    };
    let answer = if record.status == 200 {
        answer
    } else {
        refusal(record)
    };
    Exchange {
        request_headers: head(&[
            ("content-type", JSON.to_owned()),
            ("user-agent", record.user_agent.clone().unwrap_or_default()),
            ("authorization", "[redacted]".to_owned()),
        ]),
        request: request.to_string().into_bytes(),
        answer_headers: head(&[
            (
                "content-type",
                if record.status == 200 { kind } else { JSON }.to_owned(),
            ),
            (
                "request-id",
                format!("req_{:016x}", told.story << 8 | u64::from(told.turn)),
            ),
        ]),
        answer,
    }
}

const JSON: &str = "application/json";
const EVENTS: &str = "text/event-stream";

/// The steps before an answer, the last of them, and the answer.
fn until(stories: &'static [Story], told: Told) -> (Vec<&'static Step>, &'static Step) {
    let mut answers = told.turn;
    let mut history: Vec<&'static Step> = Vec::new();
    let count = stories.len() as u64;
    for at in 0.. {
        let number = usize::try_from((told.story + at) % count).unwrap_or(0);
        for step in stories[number].0 {
            if !matches!(step, Step::Asks(_)) {
                if answers == 0 {
                    let begin = history.len().saturating_sub(HISTORY_MAX);
                    let mut kept = history.split_off(begin);
                    // A conversation begins with a question.
                    let first = kept
                        .iter()
                        .position(|step| matches!(step, Step::Asks(_)))
                        .unwrap_or(0);
                    kept.drain(..first);
                    // What a model says and then goes on is one answer: nobody is asked in between.
                    while matches!(kept.last(), Some(Step::Says(_))) {
                        kept.pop();
                    }
                    return (kept, step);
                }
                answers -= 1;
            }
            history.push(step);
        }
    }
    (history, &Step::Says(""))
}

fn call_id(at: usize) -> String {
    format!("toolu_{at:04}")
}

fn arguments(text: &str) -> Value {
    serde_json::from_str(text).unwrap_or_default()
}

fn messages_request(record: &UsageRecord, history: &[&Step], system: &str) -> Value {
    let mut messages = Vec::new();
    for (at, step) in history.iter().enumerate() {
        match step {
            Step::Asks(text) => {
                messages.push(json!({ "role": "user", "content": [{ "type": "text", "text": text }] }));
            }
            Step::Says(text) => {
                messages.push(json!({ "role": "assistant", "content": [{ "type": "text", "text": text }] }));
            }
            Step::Calls {
                name,
                arguments: with,
                gets,
            } => {
                messages.push(json!({ "role": "assistant", "content": [
                    { "type": "tool_use", "id": call_id(at), "name": name, "input": arguments(with) }
                ] }));
                messages.push(json!({ "role": "user", "content": [
                    { "type": "tool_result", "tool_use_id": call_id(at), "content": gets }
                ] }));
            }
        }
    }
    let tools: Vec<Value> = ["Bash", "Edit", "Glob", "Grep", "Read", "Write"]
        .iter()
        .map(|name| json!({ "name": name, "input_schema": { "type": "object" } }))
        .collect();
    json!({
        "model": record.model_asked, "max_tokens": 16_000, "stream": record.stream,
        "system": [{ "type": "text", "text": system, "cache_control": { "type": "ephemeral" } }],
        "tools": tools, "messages": messages,
    })
}

/// The answer as a stream of events, or as one object.
fn messages_answer(record: &UsageRecord, step: &Step) -> (Vec<u8>, &'static str) {
    let u = &record.usage;
    let count = |value: Option<u64>| value.unwrap_or(0);
    let usage = json!({
        "input_tokens": count(u.input_uncached), "cache_read_input_tokens": count(u.cached_read),
        "cache_creation_input_tokens": count(u.cache_write), "output_tokens": count(u.output),
    });
    let id = format!("msg_{}", record.request_id);
    let stop = if matches!(step, Step::Calls { .. }) {
        "tool_use"
    } else {
        "end_turn"
    };
    if !record.stream {
        let answer = json!({
            "id": id, "type": "message", "role": "assistant", "model": record.model_answered,
            "content": [block(step, true)], "stop_reason": stop, "stop_sequence": null, "usage": usage,
        });
        return (answer.to_string().into_bytes(), JSON);
    }
    let mut out = String::new();
    let mut event = |data: &Value| {
        let name = data["type"].as_str().unwrap_or_default().to_owned();
        out += &format!("event: {name}\ndata: {data}\n\n");
    };
    event(&json!({ "type": "message_start", "message": {
        "id": id, "type": "message", "role": "assistant", "model": record.model_answered, "content": [],
        "stop_reason": null, "stop_sequence": null, "usage": usage,
    } }));
    event(&json!({ "type": "content_block_start", "index": 0, "content_block": block(step, false) }));
    let text = match step {
        Step::Calls { arguments, .. } => *arguments,
        Step::Asks(text) | Step::Says(text) => *text,
    };
    let characters: Vec<char> = text.chars().collect();
    for piece in characters.chunks(48) {
        let piece: String = piece.iter().collect();
        let delta = match step {
            Step::Calls { .. } => json!({ "type": "input_json_delta", "partial_json": piece }),
            Step::Asks(_) | Step::Says(_) => json!({ "type": "text_delta", "text": piece }),
        };
        event(&json!({ "type": "content_block_delta", "index": 0, "delta": delta }));
    }
    event(&json!({ "type": "content_block_stop", "index": 0 }));
    event(
        &json!({ "type": "message_delta", "delta": { "stop_reason": stop, "stop_sequence": null }, "usage": usage }),
    );
    event(&json!({ "type": "message_stop" }));
    (out.into_bytes(), EVENTS)
}

fn block(step: &Step, whole: bool) -> Value {
    match step {
        Step::Calls {
            name,
            arguments: with,
            ..
        } => {
            let input = if whole { arguments(with) } else { json!({}) };
            json!({ "type": "tool_use", "id": call_id(9_999), "name": name, "input": input })
        }
        Step::Asks(text) | Step::Says(text) => {
            json!({ "type": "text", "text": if whole { text } else { "" } })
        }
    }
}

fn chat_request(record: &UsageRecord, history: &[&Step]) -> Value {
    let mut messages = vec![json!({ "role": "system", "content": CHAT_SYSTEM })];
    for (at, step) in history.iter().enumerate() {
        match step {
            Step::Asks(text) => messages.push(json!({ "role": "user", "content": text })),
            Step::Says(text) => messages.push(json!({ "role": "assistant", "content": text })),
            Step::Calls {
                name,
                arguments,
                gets,
            } => {
                messages.push(json!({ "role": "assistant", "content": null, "tool_calls": [
                    { "id": call_id(at), "type": "function", "function": { "name": name, "arguments": arguments } }
                ] }));
                messages.push(json!({ "role": "tool", "tool_call_id": call_id(at), "content": gets }));
            }
        }
    }
    json!({ "model": record.model_asked, "messages": messages })
}

fn chat_answer(record: &UsageRecord, step: &Step) -> Vec<u8> {
    let u = &record.usage;
    let (message, stop) = match step {
        Step::Calls { name, arguments, .. } => (
            json!({ "role": "assistant", "content": null, "tool_calls": [
                { "id": call_id(9_999), "type": "function", "function": { "name": name, "arguments": arguments } }
            ] }),
            "tool_calls",
        ),
        Step::Asks(text) | Step::Says(text) => (json!({ "role": "assistant", "content": text }), "stop"),
    };
    json!({
        "id": format!("chatcmpl-{}", record.request_id), "object": "chat.completion", "model": record.model_answered,
        "created": record.time.0 / 1_000_000,
        "choices": [{ "index": 0, "message": message, "finish_reason": stop }],
        "usage": { "prompt_tokens": u.input, "completion_tokens": u.output,
                   "total_tokens": u.input.unwrap_or(0) + u.output.unwrap_or(0) },
    })
    .to_string()
    .into_bytes()
}

fn converse_request(history: &[&Step]) -> Value {
    let mut messages = Vec::new();
    for (at, step) in history.iter().enumerate() {
        match step {
            Step::Asks(text) => messages.push(json!({ "role": "user", "content": [{ "text": text }] })),
            Step::Says(text) => messages.push(json!({ "role": "assistant", "content": [{ "text": text }] })),
            Step::Calls {
                name,
                arguments: with,
                gets,
            } => {
                messages.push(json!({ "role": "assistant", "content": [
                    { "toolUse": { "toolUseId": call_id(at), "name": name, "input": arguments(with) } }
                ] }));
                messages.push(json!({ "role": "user", "content": [
                    { "toolResult": { "toolUseId": call_id(at), "content": [{ "text": gets }] } }
                ] }));
            }
        }
    }
    json!({ "system": [{ "text": CODING_SYSTEM }], "messages": messages })
}

fn converse_answer(record: &UsageRecord, step: &Step) -> Vec<u8> {
    let u = &record.usage;
    let (content, stop) = match step {
        Step::Calls {
            name,
            arguments: with,
            ..
        } => (
            json!({ "toolUse": { "toolUseId": call_id(9_999), "name": name, "input": arguments(with) } }),
            "tool_use",
        ),
        Step::Asks(text) | Step::Says(text) => (json!({ "text": text }), "end_turn"),
    };
    json!({
        "output": { "message": { "role": "assistant", "content": [content] } }, "stopReason": stop,
        "usage": { "inputTokens": u.input, "outputTokens": u.output },
    })
    .to_string()
    .into_bytes()
}

fn refusal(record: &UsageRecord) -> Vec<u8> {
    let code = record.error.as_deref().unwrap_or("api_error");
    json!({ "type": "error", "error": { "type": code, "message": "the request was not answered" } })
        .to_string()
        .into_bytes()
}

#[cfg(test)]
mod tests {
    use sluice_shared::ids::{Epoch, RequestId, ShardId};
    use sluice_shared::units::UnixMicros;
    use sluice_shared::usage::SessionSource;

    use super::*;

    #[test]
    fn stories_go_on_and_their_requests_hold_what_was_said() {
        let mut record = UsageRecord::draft(
            RequestId::new(1, ShardId(0), 1, 1),
            UnixMicros(1),
            ShardId(0),
            Epoch(1),
            ApiKind::AnthropicMessages,
        );
        (record.status, record.stream, record.session_source) = (200, true, SessionSource::Header);
        for api in [
            ApiKind::AnthropicMessages,
            ApiKind::OpenAiChat,
            ApiKind::BedrockConverse,
        ] {
            record.api = api;
            for story in 0..40 {
                for turn in 0..60 {
                    let said = exchange(Told { story, turn }, &record);
                    let request: Value = serde_json::from_slice(&said.request).unwrap();
                    let messages = request["messages"].as_array().unwrap();
                    assert!(!messages.is_empty() && messages.len() <= 2 * HISTORY_MAX + 1);
                    let role = messages.last().unwrap()["role"].as_str().unwrap();
                    assert!(
                        ["user", "tool"].contains(&role),
                        "{role}: somebody is to be answered"
                    );
                    assert!(!said.answer.is_empty());
                }
            }
        }
        for story in CODING.iter().chain(&CHATS) {
            assert!(matches!(story.0.first(), Some(Step::Asks(_))));
            assert!(matches!(story.0.last(), Some(Step::Says(_))));
            for step in story.0 {
                if let Step::Calls { arguments, .. } = step {
                    assert!(
                        serde_json::from_str::<Value>(arguments).unwrap().is_object(),
                        "{arguments}"
                    );
                }
            }
        }
    }
}
