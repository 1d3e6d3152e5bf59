//! Anthropic messages, also as served by Vertex (`streamRawPredict`).
//!
//! `message_start.message.usage` is where a stream begins; each field present in `message_delta.usage` replaces it:
//! they are running totals, and input can grow when server tools run. `input_tokens` excludes both caches.
//! `usage.iterations` lists work billed beside the counts above, except for its entries of type `message`, whose
//! sum the counts are.

use sluice_shared::usage::SideUsage;

use super::openai_responses::event_name;
use super::{Apart, Interest, SIDE_MAX, State, note, provider_error};
use crate::meter::tree::{View, clip};
use crate::sse::{Key, key};

static START: Key = key!(b"message_start\"");
static DELTA: Key = key!(b"message_delta\"");
static STOP: Key = key!(b"message_stop\"");
static BLOCK: Key = key!(b"content_block_start\"");
static TOOL: Key = key!(b"tool_use\"");
static ERROR: Key = key!(b"error\"");

pub(crate) fn interest(raw: &[u8]) -> Interest {
    let parse = match event_name(raw) {
        Some(b"message_start" | b"message_delta" | b"message_stop" | b"error") => true,
        Some(b"content_block_start") => TOOL.is_in(raw),
        Some(b"content_block_delta" | b"content_block_stop" | b"ping") => false,
        _ => {
            START.is_in(raw)
                || DELTA.is_in(raw)
                || STOP.is_in(raw)
                || ERROR.is_in(raw)
                || (BLOCK.is_in(raw) && TOOL.is_in(raw))
        }
    };
    if parse { Interest::Parse } else { Interest::Skip }
}

pub(crate) fn event(state: &mut State, name: &[u8], view: View<'_>) {
    let kind = view.get("type").and_then(View::text).map_or(name, str::as_bytes);
    match kind {
        b"message_start" => {
            if let Some(message) = view.get("message") {
                head(state, message);
            }
        }
        b"message_delta" => {
            state.set_stop(0, view.path(&["delta", "stop_reason"]));
            if let Some(usage) = view.get("usage") {
                let before = state.apart.uncached;
                usage_object(state, usage);
                if before.is_some_and(|before| state.apart.uncached.is_some_and(|after| after != before)) {
                    note(&mut state.notes, "input_grows_in_message_delta");
                }
                state.usage_final = true;
            }
        }
        b"message_stop" => state.ended = true,
        b"content_block_start" => {
            if let Some(block) = view.get("content_block") {
                content_block(state, block, view.get("index").and_then(View::count));
            }
        }
        b"error" => state.stream_error = Some(provider_error::read(view)),
        // A whole message in place of a stream.
        b"message" => document(state, view),
        _ => {}
    }
}

pub(crate) fn document(state: &mut State, message: View<'_>) {
    head(state, message);
    for block in message.get("content").into_iter().flat_map(View::items) {
        content_block(state, block, None);
    }
    state.ended = true;
    state.usage_final = true;
}

fn head(state: &mut State, message: View<'_>) {
    state.set_model(message.get("model"));
    state.set_id(message.get("id"));
    state.set_stop(0, message.get("stop_reason"));
    if let Some(usage) = message.get("usage") {
        usage_object(state, usage);
    }
}

fn content_block(state: &mut State, block: View<'_>, index: Option<u64>) {
    if block.get("type").and_then(View::text) == Some("tool_use") {
        let id = block.get("id").and_then(View::word).unwrap_or_default();
        let place = if id.is_empty() {
            Some(index.unwrap_or_else(|| u64::from(state.tool_calls)))
        } else {
            None
        };
        state.count_call((id, place));
    }
}

fn usage_object(state: &mut State, usage: View<'_>) {
    let stated = apart(usage);
    state.usage_seen |= stated.is_known();
    state.apart.replace(&stated);
    state.set_tier(usage.get("service_tier"));
    if let Some(iterations) = usage.get("iterations") {
        state.usage.side.clear();
        for iteration in iterations.items().take(SIDE_MAX.saturating_mul(4)) {
            let kind = iteration.get("type").and_then(View::text).unwrap_or_default();
            if kind != "message" && !kind.is_empty() && state.usage.side.len() < SIDE_MAX {
                state.usage.side.push(side(kind, iteration, &mut state.notes));
            }
        }
    }
}

/// Reads an Anthropic usage object, or the part of one that an event states.
pub(crate) fn apart(usage: View<'_>) -> Apart {
    let count = |key: &str| usage.get(key).and_then(View::count);
    let within = |outer: &str, key: &str| usage.path(&[outer, key]).and_then(View::count);
    Apart {
        uncached: count("input_tokens"),
        read: count("cache_read_input_tokens"),
        write: count("cache_creation_input_tokens"),
        write_5m: within("cache_creation", "ephemeral_5m_input_tokens"),
        write_1h: within("cache_creation", "ephemeral_1h_input_tokens"),
        output: count("output_tokens"),
        reasoning: within("output_tokens_details", "thinking_tokens"),
        total: None,
        web_searches: within("server_tool_use", "web_search_requests"),
        web_fetches: within("server_tool_use", "web_fetch_requests"),
    }
}

fn side(kind: &str, iteration: View<'_>, notes: &mut Vec<&'static str>) -> SideUsage {
    let usage = apart(iteration).usage(notes);
    SideUsage {
        kind: clip(kind, 64),
        model: iteration
            .get("model")
            .and_then(View::word)
            .map(|name| clip(name, 256)),
        input: usage.input,
        input_uncached: usage.input_uncached,
        cached_read: usage.cached_read,
        cache_write: usage.cache_write,
        cache_write_5m: usage.cache_write_5m,
        cache_write_1h: usage.cache_write_1h,
        output: usage.output,
    }
}
