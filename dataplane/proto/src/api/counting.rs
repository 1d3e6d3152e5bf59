//! Token counting calls. They are free: the result is kept, usage stays unknown.

use super::State;
use crate::meter::tree::View;

pub(crate) fn document(state: &mut State, answer: View<'_>) {
    state.counted_tokens = ["input_tokens", "totalTokens", "inputTokens"]
        .iter()
        .find_map(|key| answer.get(key))
        .and_then(View::count);
    state.ended = true;
}
