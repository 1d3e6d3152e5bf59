//! OpenAI embeddings, images, audio, moderations and rerank.
//!
//! Audio is billed by tokens or by time (`usage.type` is `duration`); speech and DALL·E images state nothing.

use super::{Interest, State, openai_usage, provider_error};
use crate::meter::tree::View;
use crate::sse::{Key, key};

static USAGE: Key = key!(b"usage\"");
static ERROR: Key = key!(b"error\"");
static END: Key = key!(b"transcript.text.done\"");
static SPEECH_END: Key = key!(b"speech.audio.done\"");
static DONE: Key = key!(b".completed\"");

pub(crate) fn interest(raw: &[u8]) -> Interest {
    let matters = USAGE.has_value(raw)
        || ERROR.has_value(raw)
        || END.is_in(raw)
        || SPEECH_END.is_in(raw)
        || DONE.is_in(raw);
    if matters { Interest::Parse } else { Interest::Skip }
}

pub(crate) fn event(state: &mut State, name: &[u8], view: View<'_>) {
    let kind = view.get("type").and_then(View::text).map_or(name, str::as_bytes);
    if kind == b"error" || view.get("error").is_some_and(View::is_object) {
        state.stream_error = Some(provider_error::read(view));
        return;
    }
    if kind.ends_with(b".done") || kind.ends_with(b".completed") {
        state.ended = true;
    }
    fold(state, view);
    state.usage_final |= state.ended && state.usage_seen;
}

pub(crate) fn document(state: &mut State, view: View<'_>) {
    fold(state, view);
    state.ended = true;
    state.usage_final = state.usage_seen;
}

fn fold(state: &mut State, view: View<'_>) {
    state.set_model(view.get("model"));
    state.set_id(view.get("id"));
    if let Some(data) = view.get("data").filter(|data| data.is_array()) {
        let images = data
            .items()
            .filter(|item| item.get("url").or_else(|| item.get("b64_json")).is_some())
            .count();
        if images > 0 {
            state.images = u64::try_from(images).ok();
        }
    }
    let Some(usage) = view.get("usage") else { return };
    let seconds = usage
        .get("seconds")
        .filter(|_| usage.get("type").and_then(View::text) == Some("duration"));
    if let Some(ms) = seconds.and_then(|seconds| seconds.decimal(3)) {
        state.usage.audio_ms = Some(ms);
        state.usage_seen = true;
    } else if let Some(read) = openai_usage::read(usage, &mut state.notes) {
        state.usage = read;
        state.usage_seen = true;
    }
}
