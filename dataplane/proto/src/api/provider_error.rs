//! Errors in the many shapes of providers.

use crate::meter::ProviderError;
use crate::meter::tree::{MESSAGE_BYTES_MAX, View, clip};

/// Reads an error document or an error event.
///
/// | shape | of |
/// | --- | --- |
/// | `{"error":{"type","code","message"}}` | OpenAI, Anthropic, most compatible servers |
/// | `{"error":{"code":404,"status":"NOT_FOUND","message"}}` | Google |
/// | `{"code","error":"text"}` | xAI |
/// | `{"error":"text"}` | Ollama |
/// | `{"detail":…}` | Mistral, Voyage |
/// | `{"message","type","code"}` | Bedrock, Mistral, OpenAI's `event: error` |
pub(crate) fn read(view: View<'_>) -> ProviderError {
    // Gemini's array mode wraps the document.
    let view = view.items().next().unwrap_or(view);
    match view.get("error") {
        Some(inner) if inner.is_object() => ProviderError {
            kind: inner
                .get("type")
                .or_else(|| inner.get("status"))
                .and_then(View::name),
            code: inner.get("code").and_then(View::name),
            message: message(inner),
        },
        Some(text) => ProviderError {
            kind: None,
            code: view.get("code").and_then(View::name),
            message: Some(text.sketch()),
        },
        None => ProviderError {
            kind: view
                .get("type")
                .or_else(|| view.get("__type"))
                .and_then(View::name)
                .filter(|kind| kind != "error"),
            code: view.get("code").and_then(View::name),
            message: message(view).or_else(|| view.get("detail").map(View::sketch)),
        },
    }
}

fn message(view: View<'_>) -> Option<String> {
    view.get("message")
        .or_else(|| view.get("Message"))
        .and_then(View::text)
        .map(|text| clip(text, MESSAGE_BYTES_MAX))
}
