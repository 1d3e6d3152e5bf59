//! OpenAI responses: JSON, and SSE from `response.created` to `response.completed`, numbered, without `[DONE]`.

use serde_json::{Value, json};

use super::answer::Draft;
use super::ask::Ask;
use super::reply::{Reply, argument_pieces};
use super::tool::ToolCall;

/// Answers a response.
pub(super) fn answer(ask: &Ask, reply: &Reply) -> Draft {
    let draft = if ask.stream {
        let mut events = Vec::with_capacity(reply.pieces.len() + 8);
        stream(ask, reply, &mut events);
        let error = json!({
            "type": "error", "code": "server_error", "message": "the mock was told to fail here", "param": null,
            "sequence_number": events.len(),
        });
        Draft::events("text/event-stream; charset=utf-8", events, event(&error))
    } else {
        Draft::json(&response(
            ask,
            reply,
            "completed",
            vec![item(reply, "completed")],
            usage(reply),
        ))
    };
    draft
        .field("x-request-id", format!("req_{}", reply.suffix()))
        .field("openai-processing-ms", "1")
        .field("openai-version", "2020-10-01")
        .counted(reply.input, reply.output)
}

/// The count of `/v1/responses/input_tokens`.
pub(super) fn input_tokens(ask: &Ask) -> Draft {
    Draft::json(&json!({"object": "response.input_tokens", "input_tokens": ask.input_tokens()}))
}

fn event(value: &Value) -> Vec<u8> {
    let name = value.get("type").and_then(Value::as_str).unwrap_or("message");
    format!("event: {name}\ndata: {value}\n\n").into_bytes()
}

fn usage(reply: &Reply) -> Value {
    json!({
        "input_tokens": reply.input,
        "input_tokens_details": {"cached_tokens": reply.cached},
        "output_tokens": reply.output,
        "output_tokens_details": {"reasoning_tokens": reply.reasoning},
        "total_tokens": reply.total(),
    })
}

/// The response object; what the request said is echoed where the API echoes it.
fn response(ask: &Ask, reply: &Reply, status: &str, output: Vec<Value>, usage: Value) -> Value {
    let echo = |name: &str, default: Value| match ask.body.get(name) {
        None | Some(Value::Null) => default,
        Some(value) => value.clone(),
    };
    json!({
        "id": format!("resp_{}", reply.id),
        "object": "response",
        "created_at": reply.created,
        "status": status,
        "background": false,
        "error": null,
        "incomplete_details": null,
        "instructions": echo("instructions", Value::Null),
        "max_output_tokens": echo("max_output_tokens", Value::Null),
        "model": reply.model,
        "output": output,
        "parallel_tool_calls": echo("parallel_tool_calls", json!(true)),
        "previous_response_id": echo("previous_response_id", Value::Null),
        "prompt_cache_key": echo("prompt_cache_key", Value::Null),
        "reasoning": echo("reasoning", json!({"effort": null, "summary": null})),
        "service_tier": "default",
        "store": echo("store", json!(true)),
        "temperature": echo("temperature", json!(1.0)),
        "text": echo("text", json!({"format": {"type": "text"}})),
        "tool_choice": echo("tool_choice", json!("auto")),
        "tools": echo("tools", json!([])),
        "top_p": echo("top_p", json!(1.0)),
        "truncation": echo("truncation", json!("disabled")),
        "usage": usage,
        "user": echo("user", Value::Null),
        "metadata": echo("metadata", json!({})),
    })
}

fn item(reply: &Reply, status: &str) -> Value {
    match &reply.tool {
        Some(call) => call_item(reply, call, status, &argument_pieces(call).concat()),
        None => json!({
            "id": format!("msg_{}", reply.id),
            "type": "message",
            "status": status,
            "content": [part(&reply.text())],
            "role": "assistant",
        }),
    }
}

fn part(text: &str) -> Value {
    json!({"type": "output_text", "annotations": [], "logprobs": [], "text": text})
}

fn call_item(reply: &Reply, call: &ToolCall, status: &str, arguments: &str) -> Value {
    let (kind, field, prefix) = match call.custom {
        true => ("custom_tool_call", "input", "ctc"),
        false => ("function_call", "arguments", "fc"),
    };
    let mut item = json!({
        "id": format!("{prefix}_{}", reply.id),
        "type": kind,
        "status": status,
        field: arguments,
        "call_id": format!("call_{}", reply.suffix()),
        "name": call.name,
    });
    if let Some(namespace) = &call.namespace {
        item["namespace"] = json!(namespace);
    }
    item
}

fn stream(ask: &Ask, reply: &Reply, events: &mut Vec<Vec<u8>>) {
    let mut push = |mut value: Value| {
        value["sequence_number"] = json!(events.len());
        events.push(event(&value));
    };
    let begun = response(ask, reply, "in_progress", Vec::new(), Value::Null);
    push(json!({"type": "response.created", "response": begun}));
    push(json!({"type": "response.in_progress", "response": begun}));
    let done = item(reply, "completed");
    match &reply.tool {
        Some(call) => {
            let begun = call_item(reply, call, "in_progress", "");
            let (prefix, field) = match call.custom {
                true => ("response.custom_tool_call_input", "input"),
                false => ("response.function_call_arguments", "arguments"),
            };
            push(json!({"type": "response.output_item.added", "output_index": 0, "item": begun}));
            for piece in argument_pieces(call) {
                push(json!({
                    "type": format!("{prefix}.delta"), "item_id": done["id"], "output_index": 0, "delta": piece,
                }));
            }
            push(json!({
                "type": format!("{prefix}.done"), "item_id": done["id"], "output_index": 0, field: done[field],
            }));
        }
        None => {
            let begun = json!({
                "id": done["id"], "type": "message", "status": "in_progress", "content": [], "role": "assistant",
            });
            push(json!({"type": "response.output_item.added", "output_index": 0, "item": begun}));
            let place = |kind: &str| json!({"type": kind, "item_id": done["id"], "output_index": 0, "content_index": 0});
            let with = |mut value: Value, name: &str, inner: Value| {
                value[name] = inner;
                value
            };
            push(with(place("response.content_part.added"), "part", part("")));
            for piece in &reply.pieces {
                let delta = with(place("response.output_text.delta"), "delta", json!(piece));
                push(with(delta, "logprobs", json!([])));
            }
            let text = with(place("response.output_text.done"), "text", json!(reply.text()));
            push(with(text, "logprobs", json!([])));
            push(with(
                place("response.content_part.done"),
                "part",
                part(&reply.text()),
            ));
        }
    }
    push(json!({"type": "response.output_item.done", "output_index": 0, "item": done}));
    let response = response(ask, reply, "completed", vec![done], usage(reply));
    push(json!({"type": "response.completed", "response": response}));
}
