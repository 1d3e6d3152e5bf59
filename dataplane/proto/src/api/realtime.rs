//! Transcripts of WebSocket conversations: OpenAI realtime and Gemini Live.
//!
//! Each response states its own usage and they add up. Transcribing the user's audio is billed to another model
//! and kept as side work. A line is either a message, or `{"direction","data"}` around one.

use sluice_shared::usage::SideUsage;

use super::{SIDE_MAX, State, gemini, note, openai_usage, provider_error};
use crate::meter::tree::{View, clip};

fn received(line: View<'_>) -> Option<View<'_>> {
    match (line.get("direction").and_then(View::text), line.get("data")) {
        (Some("received"), Some(data)) => Some(data),
        (Some(_), _) => None,
        (None, _) => Some(line),
    }
}

pub(crate) fn message(state: &mut State, line: View<'_>) {
    let Some(view) = received(line) else { return };
    match view.get("type").and_then(View::text) {
        Some("session.created" | "session.updated") => {
            state.set_model(view.path(&["session", "model"]));
            let transcriber = view
                .path(&["session", "audio", "input", "transcription", "model"])
                .or_else(|| view.path(&["session", "input_audio_transcription", "model"]));
            if let Some(name) = transcriber.and_then(View::word) {
                state.transcriber = Some(clip(name, 256));
            }
        }
        Some("response.done") => {
            state.responses = state.responses.saturating_add(1);
            state.ended = true;
            let Some(response) = view.get("response") else {
                return;
            };
            state.set_stop(0, response.get("status"));
            for item in response.get("output").into_iter().flat_map(View::items) {
                if item.get("type").and_then(View::text) == Some("function_call") {
                    state.count_call(item.get("call_id").and_then(View::word).unwrap_or_default());
                }
            }
            if let Some(usage) = response
                .get("usage")
                .and_then(|usage| openai_usage::read(usage, &mut state.notes))
            {
                state.add_usage(usage);
                state.usage_final = true;
            }
        }
        Some("conversation.item.input_audio_transcription.completed") => {
            let Some(usage) = view.get("usage") else { return };
            if let Some(read) = openai_usage::read(usage, &mut state.notes)
                && state.usage.side.len() < SIDE_MAX
            {
                state.usage.side.push(SideUsage {
                    kind: "transcription".to_owned(),
                    model: state.transcriber.clone(),
                    input: read.input,
                    input_uncached: read.input_uncached,
                    cached_read: read.cached_read,
                    cache_write: read.cache_write,
                    output: read.output,
                    ..SideUsage::default()
                });
            } else if let Some(ms) = usage.get("seconds").and_then(|seconds| seconds.decimal(3)) {
                state.usage.audio_ms = Some(state.usage.audio_ms.unwrap_or(0).saturating_add(ms));
            }
        }
        Some("error") => state.stream_error = Some(provider_error::read(view)),
        _ => {}
    }
}

pub(crate) fn live_message(state: &mut State, line: View<'_>) {
    let Some(view) = received(line) else { return };
    if view
        .path(&["serverContent", "turnComplete"])
        .is_some_and(View::is_true)
    {
        state.ended = true;
    }
    let calls = view
        .path(&["toolCall", "functionCalls"])
        .into_iter()
        .flat_map(View::items)
        .count();
    state.tool_calls = state
        .tool_calls
        .saturating_add(u32::try_from(calls).unwrap_or(u32::MAX));
    let Some(metadata) = view.get("usageMetadata") else {
        return;
    };
    if let Some(usage) = gemini::read(metadata, &mut state.notes) {
        let sum = usage.input.unwrap_or(0).saturating_add(usage.output.unwrap_or(0));
        if usage.reasoning.is_some_and(|thoughts| thoughts > 0)
            && usage.total.is_some_and(|total| total < sum)
        {
            note(&mut state.notes, "live_total_leaves_out_thoughts");
        }
        state.responses = state.responses.saturating_add(1);
        state.add_usage(usage);
        state.usage_final = true;
    }
}
