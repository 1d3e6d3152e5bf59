//! Ollama's native API: the line with `"done":true` has the counts. A cached prompt leaves its count out.

use sluice_shared::usage::Usage;

use super::{Interest, State, provider_error};
use crate::meter::tree::View;
use crate::sse::{Key, key};

static COUNT: Key = key!(b"eval_count\"");
static TOOLS: Key = key!(b"tool_calls\"");
static DONE: Key = key!(b"done_reason\"");
static ERROR: Key = key!(b"error\"");
static TRUE: Key = key!(b"true");

pub(crate) fn interest(state: &State, raw: &[u8]) -> Interest {
    if state.wants_head()
        || TRUE.is_in(raw)
        || COUNT.is_in(raw)
        || TOOLS.has_value(raw)
        || DONE.has_value(raw)
        || ERROR.is_in(raw)
    {
        Interest::Parse
    } else {
        Interest::Skip
    }
}

pub(crate) fn event(state: &mut State, line: View<'_>) {
    state.set_model(line.get("model"));
    if line.get("error").is_some() {
        state.stream_error = Some(provider_error::read(line));
    }
    let calls = line
        .path(&["message", "tool_calls"])
        .into_iter()
        .flat_map(View::items)
        .count();
    state.tool_calls = state
        .tool_calls
        .saturating_add(u32::try_from(calls).unwrap_or(u32::MAX));
    let done = line.get("done").is_some_and(View::is_true);
    if done {
        state.ended = true;
        state.set_stop(0, line.get("done_reason"));
    }
    if line.get("embedding").or_else(|| line.get("embeddings")).is_some() {
        state.ended = true;
    }
    let input = line.get("prompt_eval_count").and_then(View::count);
    let output = line.get("eval_count").and_then(View::count);
    if input.is_some() || output.is_some() {
        let input = input.unwrap_or(0);
        state.usage = Usage {
            input: Some(input),
            input_uncached: Some(input),
            cached_read: Some(0),
            cache_write: Some(0),
            output: Some(output.unwrap_or(0)),
            reasoning: Some(0),
            ..Usage::default()
        };
        state.usage_seen = true;
        state.usage_final |= done || line.get("done").is_none();
    }
}
