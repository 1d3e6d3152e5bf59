//! Bedrock Converse: `inputTokens` excludes both caches; in a stream the `metadata` event has the usage and is the end.

use super::{Apart, Interest, State};
use crate::meter::tree::View;

pub(crate) fn interest(name: &[u8]) -> Interest {
    match name {
        b"metadata" | b"messageStop" | b"contentBlockStart" => Interest::Parse,
        _ => Interest::Skip,
    }
}

pub(crate) fn event(state: &mut State, name: &[u8], view: View<'_>) {
    match name {
        b"metadata" => {
            if let Some(usage) = view.get("usage") {
                usage_object(state, usage);
            }
            state.set_tier(view.path(&["serviceTier", "type"]));
            state.usage_final = true;
            state.ended = true;
        }
        b"messageStop" => state.set_stop(0, view.get("stopReason")),
        b"contentBlockStart" => {
            if let Some(call) = view.path(&["start", "toolUse"]).filter(|call| by_client(*call)) {
                let id = call.get("toolUseId").and_then(View::word).unwrap_or_default();
                state.count_call((id, view.get("contentBlockIndex").and_then(View::count)));
            }
        }
        _ => {}
    }
}

pub(crate) fn document(state: &mut State, answer: View<'_>) {
    state.set_stop(0, answer.get("stopReason"));
    for (place, block) in answer
        .path(&["output", "message", "content"])
        .into_iter()
        .flat_map(View::items)
        .enumerate()
    {
        if block.get("toolUse").is_some_and(by_client) {
            state.count_call(place);
        }
    }
    if let Some(usage) = answer.get("usage") {
        usage_object(state, usage);
    }
    state.set_tier(answer.path(&["serviceTier", "type"]));
    state.usage_final = true;
    state.ended = true;
}

/// Whether a tool is for the client to run, not Bedrock's own.
fn by_client(call: View<'_>) -> bool {
    call.get("type").and_then(View::text) != Some("server_tool_use")
}

fn usage_object(state: &mut State, usage: View<'_>) {
    let stated = apart(usage);
    state.usage_seen |= stated.is_known();
    state.apart.replace(&stated);
}

/// Reads a usage object of Converse, or of Amazon Nova's own body.
pub(crate) fn apart(usage: View<'_>) -> Apart {
    let count = |key: &str| usage.get(key).and_then(View::count);
    let details = usage
        .get("cacheDetails")
        .filter(|details| details.items().next().is_some());
    let (mut write_5m, mut write_1h) = (details.map(|_| 0), details.map(|_| 0));
    for detail in details.into_iter().flat_map(View::items) {
        let tokens = detail.get("inputTokens").and_then(View::count);
        let slot = match detail.get("ttl").and_then(View::text) {
            Some("5m") => &mut write_5m,
            Some("1h") => &mut write_1h,
            _ => continue,
        };
        if let Some(tokens) = tokens {
            *slot = Some(slot.unwrap_or(0_u64).saturating_add(tokens));
        }
    }
    Apart {
        uncached: count("inputTokens"),
        read: count("cacheReadInputTokens").or_else(|| count("cacheReadInputTokenCount")),
        write: count("cacheWriteInputTokens").or_else(|| count("cacheWriteInputTokenCount")),
        write_5m,
        write_1h,
        output: count("outputTokens"),
        total: count("totalTokens"),
        ..Apart::default()
    }
}
