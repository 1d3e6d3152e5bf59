//! Anthropic message batches: a status document without usage, or results, one message a line, which add up.

use super::{State, anthropic};
use crate::meter::tree::View;

pub(crate) fn document(state: &mut State, view: View<'_>) {
    if view.get("result").is_some() {
        line(state, view);
    }
    state.ended = true;
}

pub(crate) fn line(state: &mut State, view: View<'_>) {
    let Some(result) = view.get("result") else { return };
    state.items = Some(state.items.unwrap_or(0).saturating_add(1));
    state.ended = true;
    let Some(message) = result.get("message") else {
        return;
    };
    state.set_model(message.get("model"));
    if let Some(usage) = message.get("usage") {
        state.set_tier(usage.get("service_tier"));
        let stated = anthropic::apart(usage);
        if stated.is_known() {
            let usage = stated.usage(&mut state.notes);
            state.add_usage(usage);
            state.usage_final = true;
        }
    }
}
