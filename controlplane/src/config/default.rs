//! The document that stands in when there is none: loopback is admin, providers come from the usual key variables.
//!
//! It is an ordinary document, so that `sluice check` can show it and an operator can start from it.

use std::collections::HashMap;
use std::fmt::Write as _;

/// A provider that is registered when its key is in the environment.
struct Usual {
    variable: &'static str,
    id: &'static str,
    baseurl: &'static str,
    authorization: &'static str,
    flags: &'static [&'static str],
    models: &'static [&'static str],
    preference: i32,
}

/// Model globs keep several providers apart; those that serve everybody's models come last.
const USUAL: [Usual; 9] = [
    Usual {
        variable: "OPENAI_API_KEY",
        id: "openai",
        baseurl: "https://api.openai.com",
        authorization: "bearer",
        flags: &["openai_chat", "openai_responses"],
        models: &[
            "gpt-*",
            "o1*",
            "o3*",
            "o4*",
            "chatgpt-*",
            "codex-*",
            "computer-use-*",
            "text-embedding-3-*",
            "text-embedding-ada-*",
            "dall-e-*",
            "whisper-*",
            "tts-*",
            "omni-moderation-*",
            "text-moderation-*",
            "davinci-*",
            "babbage-*",
            "ft:*",
        ],
        preference: 0,
    },
    Usual {
        variable: "ANTHROPIC_API_KEY",
        id: "anthropic",
        baseurl: "https://api.anthropic.com",
        authorization: "x-api-key",
        flags: &["anthropic_messages"],
        models: &["claude-*"],
        preference: 0,
    },
    Usual {
        variable: "GEMINI_API_KEY",
        id: "gemini",
        baseurl: "https://generativelanguage.googleapis.com",
        authorization: "x-goog-api-key",
        flags: &["gemini_generate_content"],
        models: &[
            "gemini-*",
            "gemma-*",
            "learnlm-*",
            "text-embedding-*",
            "embedding-*",
            "imagen-*",
        ],
        preference: 0,
    },
    Usual {
        variable: "GOOGLE_API_KEY",
        id: "gemini",
        baseurl: "https://generativelanguage.googleapis.com",
        authorization: "x-goog-api-key",
        flags: &["gemini_generate_content"],
        models: &[
            "gemini-*",
            "gemma-*",
            "learnlm-*",
            "text-embedding-*",
            "embedding-*",
            "imagen-*",
        ],
        preference: 0,
    },
    Usual {
        variable: "MISTRAL_API_KEY",
        id: "mistral",
        baseurl: "https://api.mistral.ai",
        authorization: "bearer",
        flags: &["openai_chat"],
        models: &[
            "mistral-*",
            "ministral-*",
            "magistral-*",
            "codestral-*",
            "devstral-*",
            "pixtral-*",
            "open-mi*",
        ],
        preference: 0,
    },
    Usual {
        variable: "DEEPSEEK_API_KEY",
        id: "deepseek",
        baseurl: "https://api.deepseek.com",
        authorization: "bearer",
        flags: &["openai_chat"],
        models: &["deepseek-*"],
        preference: 0,
    },
    Usual {
        variable: "XAI_API_KEY",
        id: "xai",
        baseurl: "https://api.x.ai",
        authorization: "bearer",
        flags: &["openai_chat", "openai_responses"],
        models: &["grok-*"],
        preference: 0,
    },
    Usual {
        variable: "GROQ_API_KEY",
        id: "groq",
        baseurl: "https://api.groq.com/openai/v1",
        authorization: "bearer",
        flags: &["openai_chat"],
        models: &["**"],
        preference: -10,
    },
    Usual {
        variable: "OPENROUTER_API_KEY",
        id: "openrouter",
        baseurl: "https://openrouter.ai/api/v1",
        authorization: "bearer",
        flags: &["openai_chat"],
        models: &["**"],
        preference: -20,
    },
];

/// Models that the mock is registered with by name, so that lists of models are not empty; it answers every other too.
const MOCK_MODELS: [&str; 8] = [
    "mock-model",
    "gpt-5.1",
    "gpt-5-mini",
    "claude-opus-4-5",
    "claude-sonnet-4-5",
    "claude-haiku-4-5",
    "gemini-2.5-pro",
    "gemini-2.5-flash",
];

/// Writes the default document for an environment. With `mock_url`, and no key variable set, the mock provider at that
/// address is registered as `mock` and serves every model.
#[must_use]
pub fn default_document(environment: &HashMap<String, String>, mock_url: Option<&str>) -> String {
    let mut out =
        String::from("// The document that Sluice uses when it is given none.\n{\n  \"providers\": {\n");
    let mut ids: Vec<&str> = Vec::new();
    for usual in &USUAL {
        let set = environment
            .get(usual.variable)
            .is_some_and(|value| !value.trim().is_empty());
        if !set || ids.contains(&usual.id) {
            continue;
        }
        ids.push(usual.id);
        let list = |words: &[&str], suffix: &str| {
            words
                .iter()
                .map(|word| format!("\"{word}\"{suffix}"))
                .collect::<Vec<_>>()
                .join(", ")
        };
        let _ = write!(
            out,
            "    \"{}\": {{\n      \"baseurl\": \"{}\",\n      \"apikey\": \"${{env:{}}}\",\n      \
             \"authorization\": \"{}\",\n      \"compatibility\": {{ {} }},\n      \"preference\": {},\n      \
             \"models\": [{}],\n    }},\n",
            usual.id,
            usual.baseurl,
            usual.variable,
            usual.authorization,
            list(usual.flags, ": true"),
            usual.preference,
            list(usual.models, ""),
        );
    }
    if let (Some(url), true) = (mock_url, ids.is_empty()) {
        let flags: Vec<String> = sluice_shared::api::Flag::ALL
            .iter()
            .map(|flag| format!("\"{}\": true", flag.name()))
            .collect();
        let _ = write!(
            out,
            "    \"mock\": {{\n      \"name\": \"Built-in mock\",\n      \"baseurl\": {},\n      \
             \"auth_mode\": \"none\",\n      \"compatibility\": {{ {} }},\n      \"models\": [{}, \"**\"],\n    }},\n",
            serde_json::Value::from(url),
            flags.join(", "),
            MOCK_MODELS.map(|model| format!("\"{model}\"")).join(", "),
        );
    }
    out.push_str(
        "  },\n  \"identity\": { \"sources\": [\"loopback\"] },\n  \"grants\": [\n    { \"src\": [\"(loopback)\"], \"capabilities\": [\n      \
         { \"role\": \"admin\", \"models\": \"**\", \"read_metrics\": true },\n    ] },\n  ],\n}\n",
    );
    out
}
