//! The models that are asked, who serves them, and what they cost.

use sluice_shared::api::ApiKind;

/// A model at a provider.
#[derive(Clone, Copy, Debug)]
pub struct Model {
    /// Id of the provider.
    pub provider: &'static str,
    /// As clients name it.
    pub asked: &'static str,
    /// As it names itself.
    pub answered: &'static str,
    /// Wire format.
    pub api: ApiKind,
    /// Path that it is asked at.
    pub path: &'static str,
    /// Nanodollars a token: input, read from the cache, written to it, output. `None`: nobody knows a price.
    pub price: Option<[u64; 4]>,
    /// Tokens a second that it writes.
    pub speed: u32,
    /// Milliseconds to the first byte, in the middle.
    pub ttft_ms: u32,
}

const fn model(
    provider: &'static str,
    asked: &'static str,
    answered: &'static str,
    (api, path): (ApiKind, &'static str),
    price: Option<[u64; 4]>,
    (speed, ttft_ms): (u32, u32),
) -> Model {
    Model {
        provider,
        asked,
        answered,
        api,
        path,
        price,
        speed,
        ttft_ms,
    }
}

const MESSAGES: (ApiKind, &str) = (ApiKind::AnthropicMessages, "/v1/messages");
const COUNT: (ApiKind, &str) = (ApiKind::AnthropicCountTokens, "/v1/messages/count_tokens");
const CHAT: (ApiKind, &str) = (ApiKind::OpenAiChat, "/v1/chat/completions");
const RESPONSES: (ApiKind, &str) = (ApiKind::OpenAiResponses, "/v1/responses");
const EMBEDDINGS: (ApiKind, &str) = (ApiKind::OpenAiEmbeddings, "/v1/embeddings");
const CONVERSE: (ApiKind, &str) = (ApiKind::BedrockConverse, "/bedrock/model/converse");
const OLLAMA: (ApiKind, &str) = (ApiKind::OllamaChat, "/ollama/api/chat");
const GEMINI: ApiKind = ApiKind::GeminiGenerate;

/// Every model.
pub const CATALOGUE: [Model; 25] = [
    model(
        "anthropic",
        "claude-opus-4-1",
        "claude-opus-4-1-20250805",
        MESSAGES,
        Some([15_000, 1_500, 18_750, 75_000]),
        (45, 1_900),
    ),
    model(
        "anthropic",
        "claude-sonnet-4-5",
        "claude-sonnet-4-5-20250929",
        MESSAGES,
        Some([3_000, 300, 3_750, 15_000]),
        (75, 1_300),
    ),
    model(
        "anthropic",
        "claude-haiku-4-5",
        "claude-haiku-4-5-20251001",
        MESSAGES,
        Some([1_000, 100, 1_250, 5_000]),
        (150, 600),
    ),
    model(
        "anthropic",
        "claude-sonnet-4-20250514",
        "claude-sonnet-4-20250514",
        MESSAGES,
        Some([3_000, 300, 3_750, 15_000]),
        (70, 1_400),
    ),
    model(
        "anthropic",
        "claude-sonnet-4-5",
        "claude-sonnet-4-5-20250929",
        COUNT,
        Some([0; 4]),
        (1, 220),
    ),
    model(
        "openai",
        "gpt-5",
        "gpt-5-2025-08-07",
        RESPONSES,
        Some([1_250, 125, 1_250, 10_000]),
        (80, 2_200),
    ),
    model(
        "openai",
        "gpt-5-codex",
        "gpt-5-codex",
        RESPONSES,
        Some([1_250, 125, 1_250, 10_000]),
        (95, 1_800),
    ),
    model(
        "openai",
        "gpt-5-mini",
        "gpt-5-mini-2025-08-07",
        CHAT,
        Some([250, 25, 250, 2_000]),
        (110, 900),
    ),
    model(
        "openai",
        "gpt-5-nano",
        "gpt-5-nano-2025-08-07",
        CHAT,
        Some([50, 5, 50, 400]),
        (160, 500),
    ),
    model(
        "openai",
        "gpt-4.1",
        "gpt-4.1-2025-04-14",
        CHAT,
        Some([2_000, 500, 2_000, 8_000]),
        (95, 700),
    ),
    model(
        "openai",
        "gpt-4o",
        "gpt-4o-2024-08-06",
        CHAT,
        Some([2_500, 1_250, 2_500, 10_000]),
        (100, 600),
    ),
    model(
        "openai",
        "o4-mini",
        "o4-mini-2025-04-16",
        RESPONSES,
        Some([1_100, 275, 1_100, 4_400]),
        (120, 3_400),
    ),
    model(
        "openai",
        "text-embedding-3-large",
        "text-embedding-3-large",
        EMBEDDINGS,
        Some([130, 130, 130, 0]),
        (1, 180),
    ),
    model(
        "openai",
        "text-embedding-3-small",
        "text-embedding-3-small",
        EMBEDDINGS,
        Some([20, 20, 20, 0]),
        (1, 150),
    ),
    model(
        "google",
        "gemini-2.5-pro",
        "gemini-2.5-pro",
        (GEMINI, "/v1beta/models/gemini-2.5-pro:streamGenerateContent"),
        Some([1_250, 310, 1_250, 10_000]),
        (90, 2_500),
    ),
    model(
        "google",
        "gemini-2.5-flash",
        "gemini-2.5-flash",
        (GEMINI, "/v1beta/models/gemini-2.5-flash:streamGenerateContent"),
        Some([300, 75, 300, 2_500]),
        (180, 700),
    ),
    model(
        "google",
        "gemini-2.5-flash-lite",
        "gemini-2.5-flash-lite",
        (GEMINI, "/v1beta/models/gemini-2.5-flash-lite:generateContent"),
        Some([100, 25, 100, 400]),
        (220, 400),
    ),
    model(
        "bedrock",
        "anthropic.claude-sonnet-4-5-20250929-v1:0",
        "claude-sonnet-4-5-20250929",
        CONVERSE,
        Some([3_000, 300, 3_750, 15_000]),
        (60, 1_700),
    ),
    model(
        "bedrock",
        "meta.llama3-3-70b-instruct-v1:0",
        "llama3-3-70b-instruct",
        CONVERSE,
        Some([720, 720, 720, 720]),
        (70, 800),
    ),
    model(
        "bedrock",
        "amazon.nova-pro-v1:0",
        "nova-pro",
        CONVERSE,
        Some([800, 200, 800, 3_200]),
        (95, 700),
    ),
    model(
        "local",
        "qwen3-coder-30b",
        "Qwen/Qwen3-Coder-30B-A3B-Instruct",
        CHAT,
        None,
        (55, 400),
    ),
    model(
        "local",
        "gpt-oss-120b",
        "openai/gpt-oss-120b",
        CHAT,
        None,
        (65, 500),
    ),
    model(
        "local",
        "llama-3.3-70b",
        "meta-llama/Llama-3.3-70B-Instruct",
        CHAT,
        None,
        (35, 700),
    ),
    model(
        "local",
        "mistral-small-3.2",
        "mistral-small-3.2-24b",
        OLLAMA,
        None,
        (60, 350),
    ),
    model(
        "local",
        "nomic-embed-text",
        "nomic-embed-text",
        (ApiKind::OllamaEmbed, "/ollama/api/embed"),
        None,
        (1, 60),
    ),
];

/// Place of a model in the catalogue; the first if there is none of the name.
pub(super) fn named(asked: &str) -> usize {
    CATALOGUE
        .iter()
        .position(|model| model.asked == asked)
        .unwrap_or(0)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn five_providers_serve_them() {
        let mut providers: Vec<&str> = CATALOGUE.iter().map(|model| model.provider).collect();
        providers.dedup();
        assert_eq!(providers, ["anthropic", "openai", "google", "bedrock", "local"]);
        assert!(CATALOGUE.iter().any(|model| model.price.is_none()));
        assert_eq!(CATALOGUE[named("gpt-4o")].asked, "gpt-4o");
    }
}
