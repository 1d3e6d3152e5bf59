//! API kinds: the wire formats that clients call, and the compatibility flags by which providers serve them.

use rkyv::{Archive, Deserialize, Serialize};

macro_rules! named_enum {
    ($(#[$meta:meta])* $name:ident { $($(#[$vmeta:meta])* $variant:ident = $text:literal $(| $alias:literal)*),+ $(,)? }) => {
        $(#[$meta])*
        #[derive(Archive, Serialize, Deserialize, Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
        #[rkyv(derive(Debug, PartialEq), compare(PartialEq))]
        #[repr(u8)]
        pub enum $name { $($(#[$vmeta])* $variant),+ }

        impl $name {
            /// Every value, in declaration order.
            pub const ALL: &'static [Self] = &[$(Self::$variant),+];

            /// The name used in configuration, records, metrics and logs.
            #[must_use]
            pub const fn name(self) -> &'static str {
                match self { $(Self::$variant => $text),+ }
            }

            /// Reads a name or one of its aliases; hyphens count as underscores.
            #[must_use]
            pub fn parse(text: &str) -> Option<Self> {
                let text = text.replace('-', "_");
                match text.as_str() { $($text $(| $alias)* => Some(Self::$variant),)+ _ => None }
            }

            /// The value with this discriminant, as stored in fixed-width tables.
            #[must_use]
            pub fn from_index(index: u8) -> Option<Self> {
                Self::ALL.get(usize::from(index)).copied()
            }
        }
    };
}
pub(crate) use named_enum;

named_enum! {
    /// The wire format of a call. Decided once from the path (`dataplane/proto`), used everywhere after.
    ApiKind {
        /// `POST /v1/chat/completions`, OpenAI's and every compatible server's.
        OpenAiChat = "openai_chat" | "compat_chat",
        /// `POST /v1/completions`.
        OpenAiCompletions = "openai_completions",
        /// `POST /v1/responses` and its sub-paths.
        OpenAiResponses = "openai_responses",
        /// `POST /v1/embeddings`.
        OpenAiEmbeddings = "openai_embeddings",
        /// `POST /v1/images/*`.
        OpenAiImages = "openai_images",
        /// `POST /v1/audio/*`.
        OpenAiAudio = "openai_audio",
        /// `POST /v1/moderations`.
        OpenAiModerations = "openai_moderations",
        /// `POST /v1/rerank`.
        OpenAiRerank = "openai_rerank",
        /// `POST /v1/messages`.
        AnthropicMessages = "anthropic_messages",
        /// `POST /v1/messages/count_tokens`: free, but routed and granted like a message.
        AnthropicCountTokens = "anthropic_count_tokens",
        /// `…/models/{m}:generateContent` and `:streamGenerateContent` (AI Studio).
        GeminiGenerate = "gemini_generate_content" | "gemini_generate",
        /// `…/models/{m}:countTokens` (AI Studio): free.
        GeminiCountTokens = "gemini_count_tokens",
        /// `…/models/{m}:embedContent` and `:batchEmbedContents` (AI Studio).
        GeminiEmbed = "gemini_embed_content" | "gemini_embed",
        /// `…/publishers/google/models/{m}:generateContent` and `:streamGenerateContent` (Vertex).
        VertexGenerate = "google_generate_content" | "vertex_generate",
        /// `…/publishers/google/models/{m}:countTokens` (Vertex): free.
        VertexCountTokens = "google_count_tokens" | "vertex_count_tokens",
        /// `…/publishers/google/models/{m}:predict`, `:embedContent` (Vertex embeddings and images).
        VertexPredict = "google_predict" | "vertex_predict",
        /// `…/publishers/anthropic/models/{m}:rawPredict` and `:streamRawPredict` (Claude on Vertex).
        VertexRawPredict = "google_raw_predict" | "vertex_raw_predict",
        /// `POST /bedrock/model/{m}/invoke` and `/invoke-with-response-stream`.
        BedrockInvoke = "bedrock_model_invoke" | "bedrock_invoke",
        /// `POST /bedrock/model/{m}/converse` and `/converse-stream`.
        BedrockConverse = "bedrock_converse",
        /// `POST /bedrock/model/{m}/count-tokens`: free.
        BedrockCountTokens = "bedrock_count_tokens",
        /// `POST /ollama/api/chat` and `/ollama/api/generate`.
        OllamaChat = "ollama_chat" | "ollama" | "ollama_native",
        /// `POST /ollama/api/embed` and `/ollama/api/embeddings`.
        OllamaEmbed = "ollama_embed",
    }
}

named_enum! {
    /// A provider's `compatibility` flag: which families of endpoints it serves.
    Flag {
        /// OpenAI chat, completions, embeddings, images, audio, moderations, rerank.
        OpenAiChat = "openai_chat",
        /// OpenAI responses.
        OpenAiResponses = "openai_responses",
        /// Anthropic messages and token counting.
        AnthropicMessages = "anthropic_messages",
        /// Gemini as AI Studio serves it.
        GeminiGenerateContent = "gemini_generate_content",
        /// Gemini as Vertex serves it.
        GoogleGenerateContent = "google_generate_content",
        /// Claude on Vertex.
        GoogleRawPredict = "google_raw_predict",
        /// Bedrock InvokeModel.
        BedrockModelInvoke = "bedrock_model_invoke",
        /// Bedrock Converse.
        BedrockConverse = "bedrock_converse",
        /// Ollama's native API.
        Ollama = "ollama",
    }
}

/// In whose words an error made by Sluice is written (`docs/ERRORS.md`).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ErrorFamily {
    /// `{"error":{"message","type","param","code"}}`
    OpenAi,
    /// `{"type":"error","error":{"type","message"},"request_id"}`
    Anthropic,
    /// `{"error":{"code","message","status"}}`
    Google,
    /// `{"message"}` and `x-amzn-ErrorType`
    Bedrock,
    /// `{"error":"…"}`: Ollama's own shape and the one used when no API is known.
    Plain,
}

impl ApiKind {
    /// The provider flag that must be set for this kind to be served.
    #[must_use]
    pub const fn flag(self) -> Flag {
        match self {
            Self::OpenAiChat
            | Self::OpenAiCompletions
            | Self::OpenAiEmbeddings
            | Self::OpenAiImages
            | Self::OpenAiAudio
            | Self::OpenAiModerations
            | Self::OpenAiRerank => Flag::OpenAiChat,
            Self::OpenAiResponses => Flag::OpenAiResponses,
            Self::AnthropicMessages | Self::AnthropicCountTokens => Flag::AnthropicMessages,
            Self::GeminiGenerate | Self::GeminiCountTokens | Self::GeminiEmbed => Flag::GeminiGenerateContent,
            Self::VertexGenerate | Self::VertexCountTokens | Self::VertexPredict => {
                Flag::GoogleGenerateContent
            }
            Self::VertexRawPredict => Flag::GoogleRawPredict,
            Self::BedrockInvoke | Self::BedrockCountTokens => Flag::BedrockModelInvoke,
            Self::BedrockConverse => Flag::BedrockConverse,
            Self::OllamaChat | Self::OllamaEmbed => Flag::Ollama,
        }
    }

    /// The shape of errors that clients of this kind understand.
    #[must_use]
    pub const fn error_family(self) -> ErrorFamily {
        match self.flag() {
            Flag::OpenAiChat | Flag::OpenAiResponses => ErrorFamily::OpenAi,
            Flag::AnthropicMessages | Flag::GoogleRawPredict => ErrorFamily::Anthropic,
            Flag::GeminiGenerateContent | Flag::GoogleGenerateContent => ErrorFamily::Google,
            Flag::BedrockModelInvoke | Flag::BedrockConverse => ErrorFamily::Bedrock,
            Flag::Ollama => ErrorFamily::Plain,
        }
    }

    /// Whether the provider bills this call by tokens; counting calls are free.
    #[must_use]
    pub const fn billed(self) -> bool {
        !matches!(
            self,
            Self::AnthropicCountTokens
                | Self::GeminiCountTokens
                | Self::VertexCountTokens
                | Self::BedrockCountTokens
        )
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_unique_and_read_back() {
        for kind in ApiKind::ALL {
            assert_eq!(ApiKind::parse(kind.name()), Some(*kind));
            assert_eq!(ApiKind::from_index(*kind as u8), Some(*kind));
        }
        for flag in Flag::ALL {
            assert_eq!(Flag::parse(flag.name()), Some(*flag));
        }
        assert_eq!(
            ApiKind::parse("anthropic-messages"),
            Some(ApiKind::AnthropicMessages)
        );
        assert_eq!(ApiKind::parse("nothing"), None);
    }
}
