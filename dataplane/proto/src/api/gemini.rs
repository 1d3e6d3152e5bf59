//! Gemini, from AI Studio and from Vertex: `generateContent`, `streamGenerateContent`, `embedContent`.
//!
//! Nearly every chunk carries `usageMetadata`. The last one that has counts wins, as a whole: counts are not
//! monotonic, and merging field by field would mix rounds. Output is candidates plus thoughts.

use sluice_shared::usage::Usage;

use super::{Interest, State, note, provider_error};
use crate::meter::tree::{View, clip};
use crate::sse::{Key, key};

static FINISH: Key = key!(b"finishReason\"");
static CALL: Key = key!(b"functionCall\"");
static FEEDBACK: Key = key!(b"promptFeedback\"");
static ERROR: Key = key!(b"error\"");
static COUNTS: Key = key!(b"TokenCount\"");

pub(crate) fn interest(state: &State, raw: &[u8]) -> Interest {
    if state.wants_head()
        || FINISH.has_value(raw)
        || CALL.is_in(raw)
        || FEEDBACK.has_value(raw)
        || ERROR.has_value(raw)
    {
        Interest::Parse
    } else if COUNTS.is_in(raw) {
        Interest::Keep
    } else {
        Interest::Skip
    }
}

pub(crate) fn event(state: &mut State, chunk: View<'_>) {
    if chunk.get("error").is_some_and(View::is_object) {
        state.stream_error = Some(provider_error::read(chunk));
        return;
    }
    // Code Assist wraps every chunk in `response`.
    let chunk = chunk
        .get("response")
        .filter(|inner| inner.is_object())
        .unwrap_or(chunk);
    state.set_model(chunk.get("modelVersion"));
    state.set_id(chunk.get("responseId"));
    for (place, candidate) in chunk
        .get("candidates")
        .into_iter()
        .flat_map(View::items)
        .enumerate()
    {
        let index = candidate
            .get("index")
            .and_then(View::count)
            .unwrap_or_else(|| u64::try_from(place).unwrap_or(u64::MAX));
        if candidate.get("finishReason").and_then(View::name).is_some() {
            state.set_stop(index, candidate.get("finishReason"));
            state.ended = true;
        }
        for part in candidate
            .path(&["content", "parts"])
            .into_iter()
            .flat_map(View::items)
        {
            if part
                .path(&["functionCall", "name"])
                .and_then(View::word)
                .is_some()
            {
                state.tool_calls = state.tool_calls.saturating_add(1);
            }
        }
    }
    if let Some(reason) = chunk
        .path(&["promptFeedback", "blockReason"])
        .and_then(View::name)
    {
        state.stops = vec![(0, clip(&format!("blocked:{reason}"), 256))];
        state.ended = true;
    }
    if let Some(usage) = chunk
        .get("usageMetadata")
        .and_then(|usage| read(usage, &mut state.notes))
    {
        let candidates = chunk.path(&["usageMetadata", "candidatesTokenCount"]).is_some();
        state.candidates_dropped = state.candidates_seen && !candidates;
        state.candidates_seen |= candidates;
        let tier = ["serviceTier", "trafficType"]
            .iter()
            .find_map(|key| chunk.path(&["usageMetadata", key]));
        state.set_tier(tier);
        state.usage = usage;
        state.usage_seen = true;
        state.usage_final |= state.ended;
    }
}

pub(crate) fn document(state: &mut State, answer: View<'_>) {
    if answer.is_array() {
        for chunk in answer.items() {
            event(state, chunk);
        }
    } else {
        event(state, answer);
    }
    state.ended = true;
    state.usage_final = state.usage_seen;
}

/// Reads a `usageMetadata` object; `None` where it holds no counts (Vertex sends only `trafficType` at first).
pub(crate) fn read(usage: View<'_>, notes: &mut Vec<&'static str>) -> Option<Usage> {
    let count = |key: &str| usage.get(key).and_then(View::count);
    let prompt = count("promptTokenCount");
    let candidates = count("candidatesTokenCount").or_else(|| count("responseTokenCount"));
    let thoughts = count("thoughtsTokenCount");
    let tools = count("toolUsePromptTokenCount");
    let total = count("totalTokenCount");
    if prompt.is_none() && candidates.is_none() && thoughts.is_none() && tools.is_none() && total.is_none() {
        return None;
    }
    let input = prompt.unwrap_or(0).saturating_add(tools.unwrap_or(0));
    let output = candidates.unwrap_or(0).saturating_add(thoughts.unwrap_or(0));
    let cached = count("cachedContentTokenCount").unwrap_or(0);
    if cached > input {
        note(notes, "cached_exceeds_input");
    }
    let modality = |lists: &[&str], name: &str, number: u64| -> Option<u64> {
        let mut sum: Option<u64> = None;
        for entry in lists
            .iter()
            .filter_map(|list| usage.get(list))
            .flat_map(View::items)
        {
            let kind = entry.get("modality");
            let same = kind.is_some_and(|kind| {
                kind.text().is_some_and(|text| text.eq_ignore_ascii_case(name))
                    || kind.count() == Some(number)
            });
            if same && let Some(tokens) = entry.get("tokenCount").and_then(View::count) {
                sum = Some(sum.unwrap_or(0).saturating_add(tokens));
            }
        }
        sum
    };
    // The numbers are those of the enumeration `Modality` (TEXT 1, IMAGE 2, VIDEO 3, AUDIO 4, DOCUMENT 5).
    let prompts = [
        "promptTokensDetails",
        "promptTokenDetails",
        "toolUsePromptTokensDetails",
    ];
    let answers = ["candidatesTokensDetails", "responseTokensDetails"];
    Some(Usage {
        input: Some(input),
        input_uncached: Some(input.saturating_sub(cached)),
        cached_read: Some(cached),
        cache_write: Some(0),
        output: Some(output),
        reasoning: Some(thoughts.unwrap_or(0)),
        total,
        input_audio: modality(&prompts, "AUDIO", 4),
        input_image: modality(&prompts, "IMAGE", 2),
        cached_audio: modality(&["cacheTokensDetails"], "AUDIO", 4),
        output_audio: modality(&answers, "AUDIO", 4),
        output_image: modality(&answers, "IMAGE", 2),
        ..Usage::default()
    })
}
