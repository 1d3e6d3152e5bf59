//! OpenAI responses.
//!
//! `response.usage` of `response.completed`, `.incomplete` or `.failed` counts; earlier events carry `usage:null`.
//! The stop reason is the status, or `incomplete:<reason>`.

use super::{Interest, State, openai_usage, provider_error};
use crate::meter::tree::View;
use crate::sse::{Key, key};

static TYPE: Key = key!(b"\"type\"");
static COMPLETED: Key = key!(b"response.completed\"");
static INCOMPLETE: Key = key!(b"response.incomplete\"");
static FAILED: Key = key!(b"response.failed\"");
static CREATED: Key = key!(b"response.created\"");
static ITEM: Key = key!(b"response.output_item.");
static ERROR: Key = key!(b"error\"");

pub(crate) fn interest(state: &State, raw: &[u8]) -> Interest {
    let parse = match event_name(raw) {
        Some(name) => match name {
            b"response.completed" | b"response.incomplete" | b"response.failed" | b"error" => true,
            b"response.output_item.added" | b"response.output_item.done" => true,
            _ => !name.ends_with(b".delta") && !name.ends_with(b".partial_image") && state.wants_head(),
        },
        None => {
            !TYPE.is_in(raw)
                || COMPLETED.is_in(raw)
                || INCOMPLETE.is_in(raw)
                || FAILED.is_in(raw)
                || ITEM.is_in(raw)
                || ERROR.is_in(raw)
                || (state.wants_head() && CREATED.is_in(raw))
        }
    };
    if parse { Interest::Parse } else { Interest::Skip }
}

/// The `event` field, where it is the first line.
pub(crate) fn event_name(raw: &[u8]) -> Option<&[u8]> {
    let raw = raw.strip_prefix(b"\xEF\xBB\xBF").unwrap_or(raw);
    let rest = raw.strip_prefix(b"event:")?;
    let end = memchr::memchr2(b'\n', b'\r', rest)?;
    Some(rest.get(..end)?.trim_ascii())
}

pub(crate) fn event(state: &mut State, name: &[u8], view: View<'_>) {
    let kind = view.get("type").and_then(View::text).map_or(name, str::as_bytes);
    match kind {
        b"error" => {
            let error = provider_error::read(view);
            state.stream_error = Some(error);
        }
        b"response.output_item.added" | b"response.output_item.done" => {
            if let Some(item) = view.get("item") {
                output_item(state, item, false);
            }
        }
        b"response.completed" | b"response.incomplete" | b"response.failed" => {
            state.ended = true;
            if let Some(response) = view.get("response") {
                fold(state, response);
            }
        }
        _ => {
            if let Some(response) = view.get("response") {
                head(state, response);
            } else if view.get("error").is_some_and(View::is_object) {
                state.stream_error = Some(provider_error::read(view));
            }
        }
    }
}

pub(crate) fn document(state: &mut State, response: View<'_>) {
    fold(state, response);
    state.ended = true;
}

fn head(state: &mut State, response: View<'_>) {
    state.set_model(response.get("model"));
    state.set_id(response.get("id"));
}

fn fold(state: &mut State, response: View<'_>) {
    // The last response that ended counts, with its own id.
    state.response_id = None;
    head(state, response);
    state.set_tier(response.get("service_tier"));
    let status = response.get("status").and_then(View::word);
    let reason = response
        .path(&["incomplete_details", "reason"])
        .and_then(View::word);
    match (status, reason) {
        (Some("incomplete"), Some(reason)) => {
            state.stops = vec![(0, format!("incomplete:{}", crate::meter::tree::clip(reason, 128)))];
        }
        (Some(_), _) => state.set_stop(0, response.get("status")),
        (None, _) => {}
    }
    if state.stream_error.is_none() && response.get("error").is_some_and(View::is_object) {
        state.stream_error = Some(provider_error::read(response));
    }
    if let Some(output) = response.get("output") {
        // The final document lists every item: what was counted on the way is counted again here.
        if output.items().next().is_some() {
            state.restart_calls();
            state.hosted.clear();
            state.containers.clear();
        }
        for item in output.items() {
            output_item(state, item, true);
        }
    }
    let stated = response
        .get("usage")
        .filter(|usage| usage.get("input_tokens").is_some() || usage.get("output_tokens").is_some());
    if let Some(usage) = stated.and_then(|usage| openai_usage::read(usage, &mut state.notes)) {
        state.usage = usage;
        state.usage_seen = true;
        state.usage_final = true;
    }
}

fn output_item(state: &mut State, item: View<'_>, hosted: bool) {
    let Some(kind) = item.get("type").and_then(View::word) else {
        return;
    };
    match kind {
        "function_call" | "custom_tool_call" | "local_shell_call" | "computer_call" | "apply_patch_call"
        | "shell_call" => {
            let id = item
                .get("call_id")
                .or_else(|| item.get("id"))
                .and_then(View::word)
                .unwrap_or_default();
            state.count_call(("item", id));
        }
        _ if hosted && kind.ends_with("_call") => {
            state.count_hosted(kind);
            if kind == "code_interpreter_call" {
                state.count_container(item.get("container_id").and_then(View::word));
            }
        }
        _ => {}
    }
}
