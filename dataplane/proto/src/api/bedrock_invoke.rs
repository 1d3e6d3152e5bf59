//! Bedrock InvokeModel: the body is the vendor's own.
//!
//! | vendor | counts in the body |
//! | --- | --- |
//! | Claude (messages) | as Anthropic's own API |
//! | Nova | `usage` as in Converse |
//! | Titan | `inputTextTokenCount`, `results[].tokenCount`; in a stream `totalOutputTextTokenCount` |
//! | Llama | `prompt_token_count`, `generation_token_count` |
//! | OpenAI and compatible weights | `usage.prompt_tokens` … |
//! | Mistral, Cohere, AI21, Claude 2 | none |
//!
//! What the body does not state is taken from the headers, then from `amazon-bedrock-invocationMetrics`, which the
//! last event of a stream carries. The body goes first: the metrics can be lower than what the vendor counted.

use sluice_shared::usage::Usage;

use super::{Apart, Interest, State, anthropic, bedrock_converse, note};
use crate::meter::tree::View;
use crate::sse::{Key, key};

static NEEDLES: [Key; 8] = [
    key!(b"message_"),
    key!(b"invocationMetrics\""),
    key!(b"tool"),
    key!(b"token_count\""),
    key!(b"TokenCount\""),
    key!(b"usage\""),
    key!(b"metadata\""),
    key!(b"messageStop\""),
];
static REASONS: [Key; 5] = [
    key!(b"stop_reason\""),
    key!(b"stopReason\""),
    key!(b"finish_reason\""),
    key!(b"completionReason\""),
    key!(b"finishReason\""),
];

pub(crate) fn interest(raw: &[u8]) -> Interest {
    if NEEDLES.iter().any(|needle| needle.is_in(raw)) || REASONS.iter().any(|needle| needle.has_value(raw)) {
        Interest::Parse
    } else {
        Interest::Skip
    }
}

pub(crate) fn event(state: &mut State, view: View<'_>) {
    if let Some(metrics) = view.get("amazon-bedrock-invocationMetrics") {
        let count = |key: &str| metrics.get(key).and_then(View::count);
        state.metrics = Some(Apart {
            uncached: count("inputTokenCount"),
            output: count("outputTokenCount"),
            read: count("cacheReadInputTokenCount"),
            write: count("cacheWriteInputTokenCount"),
            ..Apart::default()
        });
        state.ended = true;
    }
    vendor(state, view);
}

pub(crate) fn document(state: &mut State, view: View<'_>) {
    event(state, view);
    state.ended = true;
}

fn vendor(state: &mut State, view: View<'_>) {
    // Claude messages.
    let kind = view.get("type").and_then(View::text);
    if matches!(
        kind,
        Some(
            "message_start" | "message_delta" | "message_stop" | "content_block_start" | "error" | "message"
        )
    ) {
        let ended = state.ended;
        anthropic::event(state, b"", view);
        // The metrics come with the last event, which is the end here.
        state.ended |= ended;
        return;
    }
    state.set_model(view.get("model"));
    // Nova, streamed: one member named like the event.
    for (name, inner) in view.members() {
        if matches!(name, "metadata" | "messageStop" | "contentBlockStart") && inner.is_object() {
            bedrock_converse::event(state, name.as_bytes(), inner);
        }
    }
    // Nova and OpenAI-like bodies.
    if let Some(usage) = view.get("usage") {
        let mut stated = bedrock_converse::apart(usage);
        if stated.is_known() {
            for (place, block) in view
                .path(&["output", "message", "content"])
                .into_iter()
                .flat_map(View::items)
                .enumerate()
            {
                if block.get("toolUse").is_some() {
                    state.count_call(place);
                }
            }
        } else if let Some(usage) = super::openai_usage::read(usage, &mut state.notes) {
            stated = Apart {
                uncached: usage.input_uncached,
                read: usage.cached_read,
                write: usage.cache_write,
                output: usage.output,
                reasoning: usage.reasoning,
                total: usage.total,
                ..Apart::default()
            };
        }
        state.apart.replace(&stated);
    }
    // Titan and Llama.
    let count = |key: &str| view.get(key).and_then(View::count);
    let results = view.get("results");
    let mut tokens: Option<u64> = None;
    for result in results.into_iter().flat_map(View::items) {
        if let Some(more) = result.get("tokenCount").and_then(View::count) {
            tokens = Some(tokens.unwrap_or(0).saturating_add(more));
        }
    }
    let loose = Apart {
        uncached: count("inputTextTokenCount").or_else(|| count("prompt_token_count")),
        output: tokens
            .or_else(|| count("totalOutputTextTokenCount"))
            .or_else(|| count("generation_token_count")),
        ..Apart::default()
    };
    state.running |= loose.is_known();
    state.apart.replace(&loose);
    // The reason, wherever the vendor puts it.
    for key in ["stop_reason", "stopReason", "completionReason", "finish_reason"] {
        state.set_stop(0, view.get(key));
    }
    for list in ["results", "outputs", "generations", "completions", "choices"] {
        for (place, entry) in view.get(list).into_iter().flat_map(View::items).enumerate() {
            let place = u64::try_from(place).unwrap_or(u64::MAX);
            for key in ["completionReason", "stop_reason", "finish_reason"] {
                state.set_stop(place, entry.get(key));
            }
            state.set_stop(place, entry.path(&["finishReason", "reason"]));
        }
    }
}

/// Chooses between body, headers and metrics, field by field.
pub(crate) fn settle(state: &mut State) -> Usage {
    let body = if state.running && state.metrics.is_some_and(|metrics| metrics.is_known()) {
        Apart::default()
    } else {
        state.apart
    };
    let headers = Apart {
        uncached: state.headers.input,
        output: state.headers.output,
        read: state.headers.cache_read,
        write: state.headers.cache_write,
        ..Apart::default()
    };
    let metrics = state.metrics.unwrap_or_default();
    if body.is_known() && metrics.output.is_some() && body.output.is_some() && body.output != metrics.output {
        note(&mut state.notes, "invocation_metrics_differ_from_body");
    }
    state.usage_from = if body.is_known() {
        Some("body")
    } else if headers.is_known() {
        Some("headers")
    } else if metrics.is_known() {
        Some("amazon-bedrock-invocationMetrics")
    } else {
        None
    };
    let mut all = metrics;
    all.replace(&headers);
    all.replace(&body);
    state.usage_seen |= all.is_known();
    let side = std::mem::take(&mut state.usage.side);
    Usage {
        side,
        ..all.usage(&mut state.notes)
    }
}
