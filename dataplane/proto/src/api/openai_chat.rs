//! OpenAI chat completions and completions, and every compatible server.
//!
//! Usage: the last object seen wins. It may sit in a chunk with empty `choices`, in the finish chunk, in
//! `x_groq.usage`, or in every chunk as a running total. The stream ends with `data: [DONE]`, or for servers that
//! send none with a finish reason.

use super::{Interest, State, openai_usage, provider_error};
use crate::meter::tree::View;
use crate::sse::{Key, key};

static USAGE: Key = key!(b"usage\"");
static TOKENS: Key = key!(b"tokens\"");
static FINISH: Key = key!(b"finish_reason\"");
static TOOLS: Key = key!(b"tool_calls\"");
static NAME: Key = key!(b"name\"");
static ERROR: Key = key!(b"error\"");

pub(crate) fn interest(state: &State, raw: &[u8]) -> Interest {
    if state.wants_head()
        || FINISH.has_value(raw)
        || ERROR.has_value(raw)
        || (TOOLS.has_value(raw) && NAME.has_value(raw))
    {
        Interest::Parse
    } else if USAGE.has_value(raw) && TOKENS.has_value(raw) {
        if state.ended {
            Interest::Parse
        } else {
            Interest::Keep
        }
    } else {
        Interest::Skip
    }
}

pub(crate) fn event(state: &mut State, chunk: View<'_>) {
    if let Some(error) = chunk.get("error")
        && (error.is_object() || error.word().is_some())
    {
        state.stream_error = Some(provider_error::read(chunk));
    }
    fold(state, chunk, "delta");
}

pub(crate) fn document(state: &mut State, answer: View<'_>) {
    fold(state, answer, "message");
    state.ended = true;
}

fn fold(state: &mut State, chunk: View<'_>, message: &str) {
    state.set_model(chunk.get("model"));
    state.set_id(chunk.get("id"));
    state.set_tier(chunk.get("service_tier"));
    for (place, choice) in chunk.get("choices").into_iter().flat_map(View::items).enumerate() {
        let index = choice
            .get("index")
            .and_then(View::count)
            .unwrap_or_else(|| u64::try_from(place).unwrap_or(u64::MAX));
        if choice.get("finish_reason").and_then(View::name).is_some() {
            state.set_stop(index, choice.get("finish_reason"));
            state.ended = true;
        }
        let calls = choice
            .path(&[message, "tool_calls"])
            .or_else(|| choice.path(&["message", "tool_calls"]));
        for (place, call) in calls.into_iter().flat_map(View::items).enumerate() {
            let slot = call
                .get("index")
                .and_then(View::count)
                .unwrap_or_else(|| u64::try_from(place).unwrap_or(0));
            if let Some(id) = call.get("id").and_then(View::word) {
                state.count_call(("id", index, id));
            } else if call.path(&["function", "name"]).and_then(View::word).is_some() {
                state.count_call(("slot", index, slot));
            }
        }
    }
    if let Some(usage) = usage_of(chunk).and_then(|usage| openai_usage::read(usage, &mut state.notes)) {
        state.usage = usage;
        state.usage_seen = true;
        state.usage_final |= state.ended;
    }
}

/// Where a chunk has its usage.
pub(crate) fn usage_of(chunk: View<'_>) -> Option<View<'_>> {
    chunk.get("usage").or_else(|| chunk.path(&["x_groq", "usage"]))
}
