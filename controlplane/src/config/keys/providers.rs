//! Keys of `providers`.

use super::captures::SHARE;
use super::limits::TIMEOUTS;
use super::{Key, Object, Shape, key, object, required};

/// Longest model name or glob, in bytes.
pub(crate) const MODEL_BYTES_MAX: usize = 256;
pub(super) static AUTHORIZATIONS: [&str; 3] = ["bearer", "x-api-key", "x-goog-api-key"];
static AUTH_MODES: [&str; 3] = ["override", "passthrough", "none"];

pub(crate) static PROVIDER: Object = object(
    "provider",
    "An upstream that serves models.",
    &[
        required(
            "baseurl",
            Shape::Text,
            "http:// or https://, host, optional port and path; no user name, query, fragment or dot segments.",
        ),
        required(
            "models",
            Shape::List(&Shape::Text),
            "Model names or globs (* within a path segment, ** across). Without it nothing is routed to the provider.",
        ),
        key(
            "apikey",
            Shape::Text,
            "",
            "The provider's key; ${env:NAME} and ${file:PATH} keep it out of the document.",
        ),
        key(
            "authorization",
            Shape::Word(&AUTHORIZATIONS),
            r#""bearer""#,
            "The header that carries the key.",
        ),
        key(
            "auth_mode",
            Shape::Word(&AUTH_MODES),
            r#""override""#,
            "override: the client's credentials are dropped and the key is sent; passthrough: the client's pass; none: neither.",
        ),
        key("name", Shape::Text, "", "For people; the id if it is not given."),
        key("description", Shape::Text, r#""""#, "For people."),
        key(
            "compatibility",
            Shape::Object(&COMPATIBILITY),
            r#"{"openai_chat": true}"#,
            "Families of endpoints that the provider serves. The default holds only where the block is absent.",
        ),
        key(
            "preference",
            Shape::Integer(i32::MIN as i64, i32::MAX as i64),
            "0",
            "The highest that serves a model is taken; equal ones by id.",
        ),
        key(
            "weight",
            Shape::Integer(0, 1_000_000),
            "1",
            "Share among equals (Sluice).",
        ),
        key(
            "disabled",
            Shape::Bool,
            "false",
            "Left out, as if it were not there.",
        ),
        key(
            "add_headers",
            Shape::List(&Shape::Pattern("^[^:]+:", "X-Team: blue")),
            "[]",
            "Headers set on every request to it, \"Name: value\"; none that frames the message or belongs to the connection.",
        ),
        key(
            "cost_basis",
            Shape::Text,
            "",
            "Price list, e.g. anthropic; told by host and flags if it is not given and auto_cost_basis is not false.",
        ),
        key(
            "model_cost_map",
            Shape::List(&Shape::Object(&COST_RULE)),
            "[]",
            "Rewrites of the model name for pricing; the first match wins.",
        ),
        key(
            "timeouts",
            Shape::Object(&TIMEOUTS),
            "{}",
            "Limits of patience (Sluice).",
        ),
        key(
            "max_connections",
            Shape::Integer(0, 1_000_000),
            "0",
            "Connections a shard may have open to it; 0: no limit (Sluice).",
        ),
        key(
            "tls",
            Shape::Object(&PROVIDER_TLS),
            "{}",
            "How its certificate is checked (Sluice).",
        ),
        key(
            "capture",
            SHARE,
            "",
            "Share of calls to it that is captured at most, whatever grants say (Sluice).",
        ),
    ],
);

pub(crate) static COMPATIBILITY: Object = object(
    "compatibility",
    "Families of endpoints; what is not named is not served.",
    &[
        flag(
            "openai_chat",
            "Chat, completions, embeddings, images, audio, moderations, rerank in OpenAI's format.",
        ),
        flag("openai_responses", "OpenAI's Responses API."),
        flag("anthropic_messages", "Anthropic's Messages API."),
        flag("gemini_generate_content", "Gemini's API (AI Studio)."),
        flag("google_generate_content", "Gemini on Vertex AI."),
        flag("google_raw_predict", "Claude on Vertex AI."),
        flag("bedrock_model_invoke", "Bedrock's InvokeModel."),
        flag("bedrock_converse", "Bedrock's Converse."),
        flag("ollama", "Ollama's own API."),
    ],
);

const fn flag(name: &'static str, about: &'static str) -> Key {
    key(name, Shape::Bool, "false", about)
}

pub(crate) static PROVIDER_TLS: Object = object(
    "provider_tls",
    "How a provider's certificate is checked.",
    &[key(
        "ca_file",
        Shape::Text,
        "",
        "PEM certificates trusted instead of the public ones, at most 1 MiB; unreadable: the provider is left out.",
    )],
);

pub(crate) static COST_RULE: Object = object(
    "cost_rule",
    "A rewrite of a model name for pricing.",
    &[
        required("match", Shape::Text, "Glob over the model name."),
        key("as", Shape::Text, r#""""#, "Model whose price is taken."),
        key("adjustment", Shape::Factor, "1", "Factor on the price."),
    ],
);

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_flags_are_those_of_the_gateway() {
        let flags: Vec<&str> = sluice_shared::api::Flag::ALL
            .iter()
            .map(|flag| flag.name())
            .collect();
        assert_eq!(COMPATIBILITY.names(), flags);
    }
}
