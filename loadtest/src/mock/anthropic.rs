//! Anthropic messages: JSON, and SSE from `message_start` to `message_stop`. Also on Vertex and inside Bedrock.

use serde_json::{Value, json};

use super::answer::Draft;
use super::ask::Ask;
use super::errors;
use super::reply::{Reply, argument_pieces};
use super::route::Family;

/// Answers a message.
pub(super) fn answer(ask: &Ask, reply: &Reply) -> Draft {
    let draft = if ask.stream {
        let events = events(reply).iter().map(sse).collect();
        let mut error = errors::body(Family::Anthropic, 529, "Overloaded", &reply.id);
        error["request_id"] = Value::Null;
        Draft::events("text/event-stream; charset=utf-8", events, sse(&error))
    } else {
        Draft::json(&whole(reply))
    };
    draft
        .field("request-id", format!("req_{}", reply.suffix()))
        .field("anthropic-organization-id", "mock")
        .counted(reply.input, reply.output)
}

/// The count of `/v1/messages/count_tokens`.
pub(super) fn count(ask: &Ask) -> Draft {
    Draft::json(&json!({"input_tokens": ask.input_tokens()}))
}

fn sse(value: &Value) -> Vec<u8> {
    let name = value.get("type").and_then(Value::as_str).unwrap_or("message");
    format!("event: {name}\ndata: {value}\n\n").into_bytes()
}

fn usage(reply: &Reply, output: u64) -> Value {
    json!({
        "input_tokens": reply.uncached(),
        "cache_creation_input_tokens": 0,
        "cache_read_input_tokens": reply.cached,
        "cache_creation": {"ephemeral_5m_input_tokens": 0, "ephemeral_1h_input_tokens": 0},
        "output_tokens": output,
        "service_tier": "standard",
    })
}

/// The message object.
pub(super) fn whole(reply: &Reply) -> Value {
    let (content, stop) = match &reply.tool {
        Some(call) => (
            json!([{
                "type": "tool_use", "id": format!("toolu_{}", reply.suffix()), "name": call.name, "input": call.input,
            }]),
            "tool_use",
        ),
        None => (json!([{"type": "text", "text": reply.text()}]), "end_turn"),
    };
    json!({
        "id": format!("msg_{}", reply.id),
        "type": "message",
        "role": "assistant",
        "model": reply.model,
        "content": content,
        "stop_reason": stop,
        "stop_sequence": null,
        "usage": usage(reply, reply.output),
    })
}

/// The events of a stream, each with its `type`.
pub(super) fn events(reply: &Reply) -> Vec<Value> {
    let mut events = Vec::with_capacity(reply.pieces.len() + 6);
    events.push(json!({"type": "message_start", "message": {
        "id": format!("msg_{}", reply.id),
        "type": "message",
        "role": "assistant",
        "model": reply.model,
        "content": [],
        "stop_reason": null,
        "stop_sequence": null,
        "usage": usage(reply, 1),
    }}));
    let (block, deltas, stop): (Value, Vec<Value>, &str) = match &reply.tool {
        Some(call) => (
            json!({"type": "tool_use", "id": format!("toolu_{}", reply.suffix()), "name": call.name, "input": {}}),
            argument_pieces(call)
                .iter()
                .map(|piece| json!({"type": "input_json_delta", "partial_json": piece}))
                .collect(),
            "tool_use",
        ),
        None => (
            json!({"type": "text", "text": ""}),
            reply
                .pieces
                .iter()
                .map(|piece| json!({"type": "text_delta", "text": piece}))
                .collect(),
            "end_turn",
        ),
    };
    events.push(json!({"type": "content_block_start", "index": 0, "content_block": block}));
    events.push(json!({"type": "ping"}));
    for delta in deltas {
        events.push(json!({"type": "content_block_delta", "index": 0, "delta": delta}));
    }
    events.push(json!({"type": "content_block_stop", "index": 0}));
    events.push(json!({
        "type": "message_delta",
        "delta": {"stop_reason": stop, "stop_sequence": null},
        "usage": {
            "input_tokens": reply.uncached(),
            "cache_creation_input_tokens": 0,
            "cache_read_input_tokens": reply.cached,
            "output_tokens": reply.output,
        },
    }));
    events.push(json!({"type": "message_stop"}));
    events
}
