//! Vertex `:predict`: embeddings state a token count for each input; everything else states nothing.

use sluice_shared::usage::Usage;

use super::{State, gemini};
use crate::meter::tree::View;

pub(crate) fn document(state: &mut State, answer: View<'_>) {
    let mut sum: Option<u64> = None;
    for prediction in answer.get("predictions").into_iter().flat_map(View::items) {
        let count = prediction
            .path(&["embeddings", "statistics", "token_count"])
            .or_else(|| prediction.path(&["statistics", "token_count"]));
        if let Some(tokens) = count.and_then(View::count) {
            sum = Some(sum.unwrap_or(0).saturating_add(tokens));
        }
    }
    match sum {
        Some(input) => {
            state.usage = Usage {
                input: Some(input),
                input_uncached: Some(input),
                cached_read: Some(0),
                cache_write: Some(0),
                output: Some(0),
                reasoning: Some(0),
                ..Usage::default()
            };
            state.usage_seen = true;
        }
        None => gemini::event(state, answer),
    }
    state.ended = true;
    state.usage_final = state.usage_seen;
}
