//! Policy keys: which top-level keys of an API are read, or at least must be unambiguous.

use sluice_shared::api::ApiKind;

/// Longest key that is compared with a table, in bytes; no policy key is longer, so longer ones cannot be one.
pub(super) const KEY_BYTES_MAX: usize = 48;

/// What is done with a value.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Slot {
    /// Nothing.
    None,
    /// Nothing, but its key must be unique.
    Guard,
    /// What is said; where it begins is noted.
    Dialogue,
    /// The system prompt; where it begins is noted.
    System,
    Model,
    Stream,
    StreamOptions,
    IncludeUsage,
    MaxTokens,
    Choices,
    /// An array of it asks for as many answers.
    Prompts,
    PromptCacheKey,
    PreviousResponseId,
    Metadata,
    UserId,
    ClientMetadata,
    SessionId,
    LitellmSessionId,
    Background,
    Store,
    ServiceTier,
    GenerationConfig,
    InferenceConfig,
    Options,
    TextGenerationConfig,
}

/// One policy key in its spellings (snake and camel case of Google's APIs); at most one of them may occur, once.
#[derive(Clone, Copy, Debug)]
pub(super) struct Key {
    pub(super) names: &'static [&'static str],
    pub(super) slot: Slot,
}

/// The policy keys of an API kind.
#[derive(Debug)]
pub struct KeyTable {
    keys: &'static [Key],
    /// By length of the name: bit n for the nth key. Most keys of a document are told apart by this and the next.
    by_length: [u64; KEY_BYTES_MAX + 1],
    /// Bit n: some name begins with the nth letter, in either case.
    initials: u32,
}

/// The outcome of a look-up.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Lookup {
    /// No policy key.
    Unknown,
    /// This one, exactly.
    Exact {
        index: usize,
        name: &'static str,
        slot: Slot,
    },
    /// Another spelling of this one.
    Variant(&'static str),
}

const fn key(names: &'static [&'static str], slot: Slot) -> Key {
    Key { names, slot }
}

impl KeyTable {
    const fn new(keys: &'static [Key]) -> Self {
        assert!(keys.len() <= 64, "one bit of a word for each key");
        let (mut by_length, mut initials) = ([0u64; KEY_BYTES_MAX + 1], 0u32);
        let mut i = 0;
        while i < keys.len() {
            let mut j = 0;
            while j < keys[i].names.len() {
                let name = keys[i].names[j].as_bytes();
                assert!(
                    !name.is_empty() && name.len() <= KEY_BYTES_MAX,
                    "a policy key fits the key buffer"
                );
                assert!(
                    name[0].is_ascii_lowercase(),
                    "a policy key begins with a small letter"
                );
                by_length[name.len()] |= 1 << i;
                initials |= 1 << (name[0] - b'a');
                j += 1;
            }
            i += 1;
        }
        Self {
            keys,
            by_length,
            initials,
        }
    }

    /// The table for an API kind.
    #[must_use]
    pub const fn for_kind(kind: ApiKind) -> &'static Self {
        match kind {
            ApiKind::OpenAiChat
            | ApiKind::OpenAiCompletions
            | ApiKind::OpenAiResponses
            | ApiKind::OpenAiEmbeddings
            | ApiKind::OpenAiImages
            | ApiKind::OpenAiAudio
            | ApiKind::OpenAiModerations
            | ApiKind::OpenAiRerank => &OPENAI,
            ApiKind::AnthropicMessages | ApiKind::AnthropicCountTokens | ApiKind::VertexRawPredict => {
                &ANTHROPIC
            }
            ApiKind::GeminiGenerate
            | ApiKind::GeminiCountTokens
            | ApiKind::GeminiEmbed
            | ApiKind::VertexGenerate
            | ApiKind::VertexCountTokens
            | ApiKind::VertexPredict => &GOOGLE,
            ApiKind::BedrockInvoke | ApiKind::BedrockConverse | ApiKind::BedrockCountTokens => &BEDROCK,
            ApiKind::OllamaChat | ApiKind::OllamaEmbed => &OLLAMA,
        }
    }

    /// The keys of the JSON object that Claude Code hides in `metadata.user_id`.
    pub const USER_ID: &'static Self = &USER_ID_KEYS;

    /// The table for the members of a watched object, if its slot has any of interest.
    pub(super) const fn nested(slot: Slot) -> Option<&'static Self> {
        match slot {
            Slot::StreamOptions => Some(&STREAM_OPTIONS),
            Slot::Metadata => Some(&METADATA),
            Slot::ClientMetadata => Some(&CLIENT_METADATA),
            Slot::GenerationConfig => Some(&GENERATION_CONFIG),
            Slot::InferenceConfig => Some(&INFERENCE_CONFIG),
            Slot::Options => Some(&OPTIONS),
            Slot::TextGenerationConfig => Some(&TEXT_GENERATION_CONFIG),
            _ => None,
        }
    }

    /// Looks an unescaped key up.
    ///
    /// Letter case is ignored as the laxest known decoder does it: ASCII case, and the two characters outside ASCII
    /// that fold to ASCII letters, U+017F (long s) and U+212A (Kelvin sign).
    pub(super) fn lookup(&self, key: &[u8]) -> Lookup {
        let mut folded = [0u8; KEY_BYTES_MAX];
        let key_folded = if key.is_ascii() {
            key
        } else {
            fold(key, &mut folded)
        };
        let Some(first) = key_folded.first().map(u8::to_ascii_lowercase) else {
            return Lookup::Unknown;
        };
        let letter = first.wrapping_sub(b'a');
        if letter >= 26 || self.initials >> letter & 1 == 0 {
            return Lookup::Unknown;
        }
        let mut candidates = self.by_length.get(key_folded.len()).copied().unwrap_or_default();
        while candidates != 0 {
            let index = candidates.trailing_zeros() as usize;
            candidates &= candidates - 1;
            let Some(candidate) = self.keys.get(index) else {
                break;
            };
            for name in candidate.names {
                if key_folded.eq_ignore_ascii_case(name.as_bytes()) {
                    return if key == name.as_bytes() {
                        Lookup::Exact {
                            index,
                            name,
                            slot: candidate.slot,
                        }
                    } else {
                        Lookup::Variant(name)
                    };
                }
            }
        }
        Lookup::Unknown
    }
}

/// Replaces U+017F and U+212A by the letters that they fold to; other characters stay. What does not fit is no
/// policy key, and comes out empty.
fn fold<'a>(key: &[u8], out: &'a mut [u8; KEY_BYTES_MAX]) -> &'a [u8] {
    let mut len = 0usize;
    let mut rest = key;
    while let Some((&byte, tail)) = rest.split_first() {
        let (byte, tail) = if let Some(tail) = rest.strip_prefix("\u{17f}".as_bytes()) {
            (b's', tail)
        } else if let Some(tail) = rest.strip_prefix("\u{212a}".as_bytes()) {
            (b'k', tail)
        } else {
            (byte, tail)
        };
        let Some(slot) = out.get_mut(len) else { return &[] };
        *slot = byte;
        len += 1;
        rest = tail;
    }
    out.get(..len).unwrap_or_default()
}

/// OpenAI and compatible servers, all endpoints.
static OPENAI: KeyTable = KeyTable::new(&[
    key(&["model"], Slot::Model),
    key(&["stream"], Slot::Stream),
    key(&["stream_options"], Slot::StreamOptions),
    key(&["messages"], Slot::Dialogue),
    key(&["input"], Slot::Dialogue),
    key(&["prompt"], Slot::Prompts),
    key(&["instructions"], Slot::System),
    key(&["tools"], Slot::Guard),
    key(&["tool_choice"], Slot::Guard),
    key(&["functions"], Slot::Guard),
    key(&["max_tokens"], Slot::MaxTokens),
    key(&["max_completion_tokens"], Slot::MaxTokens),
    key(&["max_output_tokens"], Slot::MaxTokens),
    key(&["n"], Slot::Choices),
    key(&["best_of"], Slot::Choices),
    key(&["metadata"], Slot::Metadata),
    key(&["client_metadata"], Slot::ClientMetadata),
    key(&["litellm_session_id"], Slot::LitellmSessionId),
    key(&["prompt_cache_key"], Slot::PromptCacheKey),
    key(&["previous_response_id"], Slot::PreviousResponseId),
    key(&["background"], Slot::Background),
    key(&["store"], Slot::Store),
    key(&["service_tier"], Slot::ServiceTier),
]);

/// Anthropic's messages, also on Vertex.
static ANTHROPIC: KeyTable = KeyTable::new(&[
    key(&["model"], Slot::Model),
    key(&["stream"], Slot::Stream),
    key(&["messages"], Slot::Dialogue),
    key(&["system"], Slot::System),
    key(&["tools"], Slot::Guard),
    key(&["tool_choice"], Slot::Guard),
    key(&["mcp_servers"], Slot::Guard),
    key(&["max_tokens"], Slot::MaxTokens),
    key(&["metadata"], Slot::Metadata),
    key(&["litellm_session_id"], Slot::LitellmSessionId),
    key(&["service_tier"], Slot::ServiceTier),
    key(&["anthropic_version"], Slot::Guard),
]);

/// Gemini and Vertex: both spellings, since the SDKs mix them within one body.
static GOOGLE: KeyTable = KeyTable::new(&[
    key(&["model"], Slot::Model),
    key(&["contents"], Slot::Dialogue),
    key(&["content"], Slot::Guard),
    key(&["requests"], Slot::Guard),
    key(&["instances"], Slot::Guard),
    key(&["parameters"], Slot::Guard),
    key(&["tools"], Slot::Guard),
    key(&["toolConfig", "tool_config"], Slot::Guard),
    key(&["systemInstruction", "system_instruction"], Slot::System),
    key(&["generationConfig", "generation_config"], Slot::GenerationConfig),
    key(
        &["generateContentRequest", "generate_content_request"],
        Slot::Guard,
    ),
    key(&["cachedContent", "cached_content"], Slot::Guard),
    key(&["safetySettings", "safety_settings"], Slot::Guard),
]);

/// Bedrock: Converse, and the vendors' own bodies of InvokeModel.
static BEDROCK: KeyTable = KeyTable::new(&[
    key(&["model"], Slot::Model),
    key(&["stream"], Slot::Guard),
    key(&["messages"], Slot::Dialogue),
    key(&["system"], Slot::System),
    key(&["prompt"], Slot::Dialogue),
    key(&["input"], Slot::Dialogue),
    key(&["tools"], Slot::Guard),
    key(&["tool_choice"], Slot::Guard),
    key(&["toolConfig"], Slot::Guard),
    key(&["guardrailConfig"], Slot::Guard),
    key(&["inferenceConfig"], Slot::InferenceConfig),
    key(&["textGenerationConfig"], Slot::TextGenerationConfig),
    key(&["max_tokens"], Slot::MaxTokens),
    key(&["max_completion_tokens"], Slot::MaxTokens),
    key(&["max_gen_len"], Slot::MaxTokens),
    key(&["metadata"], Slot::Metadata),
    key(&["anthropic_version"], Slot::Guard),
]);

/// Ollama's native API.
static OLLAMA: KeyTable = KeyTable::new(&[
    key(&["model"], Slot::Model),
    key(&["stream"], Slot::Stream),
    key(&["messages"], Slot::Dialogue),
    key(&["prompt"], Slot::Dialogue),
    key(&["input"], Slot::Dialogue),
    key(&["system"], Slot::System),
    key(&["tools"], Slot::Guard),
    key(&["options"], Slot::Options),
]);

static USER_ID_KEYS: KeyTable = KeyTable::new(&[key(&["session_id"], Slot::SessionId)]);
static STREAM_OPTIONS: KeyTable = KeyTable::new(&[key(&["include_usage"], Slot::IncludeUsage)]);
static METADATA: KeyTable = KeyTable::new(&[key(&["user_id"], Slot::UserId)]);
static CLIENT_METADATA: KeyTable = KeyTable::new(&[key(&["session_id"], Slot::SessionId)]);
static GENERATION_CONFIG: KeyTable = KeyTable::new(&[
    key(&["maxOutputTokens", "max_output_tokens"], Slot::MaxTokens),
    key(&["candidateCount", "candidate_count"], Slot::Choices),
]);
static INFERENCE_CONFIG: KeyTable = KeyTable::new(&[
    key(&["maxTokens"], Slot::MaxTokens),
    key(&["max_new_tokens"], Slot::MaxTokens),
]);
static TEXT_GENERATION_CONFIG: KeyTable = KeyTable::new(&[key(&["maxTokenCount"], Slot::MaxTokens)]);
static OPTIONS: KeyTable = KeyTable::new(&[key(&["num_predict"], Slot::MaxTokens)]);

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn look_ups() {
        let check = |key: &str, expected: Option<Result<&str, &str>>| {
            let found = match OPENAI.lookup(key.as_bytes()) {
                Lookup::Unknown => None,
                Lookup::Exact { name, .. } => Some(Ok(name)),
                Lookup::Variant(name) => Some(Err(name)),
            };
            assert_eq!(found, expected, "{key:?}");
        };
        check("model", Some(Ok("model")));
        check("Model", Some(Err("model")));
        check("MODEL", Some(Err("model")));
        check("\u{17f}tream", Some(Err("stream")));
        check("tool\u{17f}", Some(Err("tools")));
        check("max_to\u{212a}ens", Some(Err("max_tokens")));
        check("n", Some(Ok("n")));
        check("N", Some(Err("n")));
        check("", None);
        check("models", None);
        check("mod\u{e9}l", None);
        check("max-tokens", None);
        check(&"m".repeat(60), None);
        check(&"\u{17f}".repeat(60), None);
    }

    #[test]
    fn every_kind_watches_its_model_and_every_name_is_found() {
        for kind in ApiKind::ALL {
            let table = KeyTable::for_kind(*kind);
            for (index, key) in table.keys.iter().enumerate() {
                for name in key.names {
                    assert_eq!(
                        table.lookup(name.as_bytes()),
                        Lookup::Exact {
                            index,
                            name,
                            slot: key.slot
                        }
                    );
                }
            }
            assert!(table.keys.iter().any(|key| key.slot == Slot::Model), "{kind:?}");
        }
    }
}
