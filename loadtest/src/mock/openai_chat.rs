//! OpenAI chat and the old completions: JSON, and SSE of `data:` lines that ends with `[DONE]`.

use serde_json::{Value, json};

use super::answer::Draft;
use super::ask::Ask;
use super::errors;
use super::reply::{Reply, argument_pieces};
use super::route::{Family, Kind};
use super::settings::UsageSent;

/// Answers chat and completions.
pub(super) fn answer(ask: &Ask, reply: &Reply) -> Draft {
    let draft = match (ask.kind, ask.stream) {
        (Kind::Completions, false) => Draft::json(&whole_completion(reply)),
        (_, false) => Draft::json(&whole(reply)),
        (Kind::Completions, true) => stream(completion_chunks(ask, reply), reply),
        (_, true) => stream(chunks(ask, reply), reply),
    };
    let id = reply.suffix();
    draft
        .field("x-request-id", format!("req_{id}"))
        .field("openai-processing-ms", "1")
        .field("openai-version", "2020-10-01")
        .counted(reply.input, reply.output)
}

fn stream(chunks: Vec<Value>, reply: &Reply) -> Draft {
    let mut events: Vec<Vec<u8>> = chunks.iter().map(data).collect();
    events.push(b"data: [DONE]\n\n".to_vec());
    let error = errors::body(Family::OpenAi, 500, "the mock was told to fail here", &reply.id);
    Draft::events("text/event-stream; charset=utf-8", events, data(&error))
}

/// One `data:` event.
fn data(value: &Value) -> Vec<u8> {
    format!("data: {value}\n\n").into_bytes()
}

fn usage(reply: &Reply) -> Value {
    json!({
        "prompt_tokens": reply.input,
        "completion_tokens": reply.output,
        "total_tokens": reply.total(),
        "prompt_tokens_details": {"cached_tokens": reply.cached, "audio_tokens": 0},
        "completion_tokens_details": {
            "reasoning_tokens": reply.reasoning,
            "audio_tokens": 0,
            "accepted_prediction_tokens": 0,
            "rejected_prediction_tokens": 0,
        },
    })
}

fn whole(reply: &Reply) -> Value {
    let (message, finish) = match &reply.tool {
        Some(call) => (
            json!({
                "role": "assistant",
                "content": null,
                "tool_calls": [{
                    "id": format!("call_{}", reply.suffix()),
                    "type": "function",
                    "function": {"name": call.name, "arguments": call.input.to_string()},
                }],
                "refusal": null,
                "annotations": [],
            }),
            "tool_calls",
        ),
        None => (
            json!({"role": "assistant", "content": reply.text(), "refusal": null, "annotations": []}),
            "stop",
        ),
    };
    json!({
        "id": format!("chatcmpl-{}", reply.id),
        "object": "chat.completion",
        "created": reply.created,
        "model": reply.model,
        "choices": [{"index": 0, "message": message, "logprobs": null, "finish_reason": finish}],
        "usage": usage(reply),
        "service_tier": "default",
        "system_fingerprint": "fp_mock",
    })
}

fn chunks(ask: &Ask, reply: &Reply) -> Vec<Value> {
    let when = ask.settings.usage.unwrap_or(UsageSent::Asked);
    let asked = ask.usage_asked && when == UsageSent::Asked;
    let chunk = |choices: Value, usage: Option<Value>| {
        let mut chunk = json!({
            "id": format!("chatcmpl-{}", reply.id),
            "object": "chat.completion.chunk",
            "created": reply.created,
            "model": reply.model,
            "service_tier": "default",
            "system_fingerprint": "fp_mock",
            "choices": choices,
        });
        match usage {
            Some(usage) => chunk["usage"] = usage,
            None if asked => chunk["usage"] = Value::Null,
            None => {}
        }
        chunk
    };
    let choice = |delta: Value, finish: Option<&str>| json!([{"index": 0, "delta": delta, "logprobs": null, "finish_reason": finish}]);
    let mut chunks = Vec::with_capacity(reply.pieces.len() + 4);
    let finish = match &reply.tool {
        Some(call) => {
            let head = json!({"role": "assistant", "content": null, "tool_calls": [{
                "index": 0,
                "id": format!("call_{}", reply.suffix()),
                "type": "function",
                "function": {"name": call.name, "arguments": ""},
            }], "refusal": null});
            chunks.push(chunk(choice(head, None), None));
            for piece in argument_pieces(call) {
                let delta = json!({"tool_calls": [{"index": 0, "function": {"arguments": piece}}]});
                chunks.push(chunk(choice(delta, None), None));
            }
            "tool_calls"
        }
        None => {
            let head = json!({"role": "assistant", "content": "", "refusal": null});
            chunks.push(chunk(choice(head, None), None));
            for piece in &reply.pieces {
                chunks.push(chunk(choice(json!({"content": piece}), None), None));
            }
            "stop"
        }
    };
    let unasked = (when == UsageSent::Always).then(|| usage(reply));
    chunks.push(chunk(choice(json!({}), Some(finish)), unasked));
    if asked {
        chunks.push(chunk(json!([]), Some(usage(reply))));
    }
    chunks
}

fn whole_completion(reply: &Reply) -> Value {
    json!({
        "id": format!("cmpl-{}", reply.id),
        "object": "text_completion",
        "created": reply.created,
        "model": reply.model,
        "choices": [{"text": reply.text(), "index": 0, "logprobs": null, "finish_reason": "stop"}],
        "usage": usage(reply),
    })
}

fn completion_chunks(ask: &Ask, reply: &Reply) -> Vec<Value> {
    let when = ask.settings.usage.unwrap_or(UsageSent::Asked);
    let asked = ask.usage_asked && when == UsageSent::Asked;
    let chunk = |choices: Value, usage: Option<Value>| {
        let mut chunk = json!({
            "id": format!("cmpl-{}", reply.id),
            "object": "text_completion",
            "created": reply.created,
            "choices": choices,
            "model": reply.model,
        });
        match usage {
            Some(usage) => chunk["usage"] = usage,
            None if asked => chunk["usage"] = Value::Null,
            None => {}
        }
        chunk
    };
    let choice = |text: &str, finish: Option<&str>| json!([{"text": text, "index": 0, "logprobs": null, "finish_reason": finish}]);
    let mut chunks: Vec<Value> = reply
        .pieces
        .iter()
        .map(|piece| chunk(choice(piece, None), None))
        .collect();
    chunks.push(chunk(
        choice("", Some("stop")),
        (when == UsageSent::Always).then(|| usage(reply)),
    ));
    if asked {
        chunks.push(chunk(json!([]), Some(usage(reply))));
    }
    chunks
}
