//! Incremental strict JSON scanner: checks a request body while it arrives and picks out the few facts that policy
//! needs, without ever holding the document.
//!
//! [`BodyScan`] is fed the body in whatever pieces the network gives. The whole grammar of RFC 8259 is enforced (UTF-8,
//! surrogate pairs, numbers, one document, nothing after it), together with limits on depth, tokens and number
//! length, so that what is forwarded reads the same to every parser behind us. At depth 1 (and inside a few named
//! objects at depth 2) keys are unescaped and compared with a [`KeyTable`]; a policy key that occurs twice, or in
//! another letter case, is refused, since two parsers could then read two different requests.
//!
//! Simplifications: the top level must be an object; strings of interest are kept up to a bound each, everything else
//! is only skipped over.

use std::ops::Range;

use smallvec::SmallVec;

mod keys;
mod machine;
mod outside;
pub(crate) mod text;
mod utf8;

#[doc(hidden)]
pub mod fuzz;

pub use keys::KeyTable;
pub use machine::BodyScan;
pub use outside::Outside;

/// Bounds of a document.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct JsonLimits {
    /// Deepest nesting; the top-level object is depth 1. At most 128.
    pub depth_max: u8,
    /// Most tokens, counted as keys plus values (an object or array is one value).
    pub tokens_max: u32,
    /// Longest number, in bytes.
    pub number_bytes_max: u8,
}

impl JsonLimits {
    /// Depth 128, a million tokens, numbers of 64 characters.
    pub const DEFAULT: Self = Self {
        depth_max: 128,
        tokens_max: 1_000_000,
        number_bytes_max: 64,
    };
}

impl Default for JsonLimits {
    fn default() -> Self {
        Self::DEFAULT
    }
}

/// A string value and where it stands.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct StringFact {
    /// Unescaped.
    pub value: String,
    /// Absolute byte offsets of the value in the body. In JSON both quotes are included; in multipart the value is bare.
    pub span: Range<u64>,
}

/// The top-level `stream_options`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct StreamOptions {
    /// Absolute byte offsets of the whole value, braces included (or the word `null`).
    pub span: Range<u64>,
    /// The value is `null`, which means absent.
    pub is_null: bool,
    /// Offset just after `{`.
    pub open: u64,
    /// The object has no keys.
    pub is_empty: bool,
    /// `include_usage`, if it is there and a boolean.
    pub include_usage: Option<bool>,
    /// Offsets of the value of `include_usage` (also when it is `null`).
    pub include_usage_span: Option<Range<u64>>,
}

/// A limit on output tokens and where it stands.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct OutputLimit {
    /// Its key.
    pub name: &'static str,
    /// The number, rounded up; `None` if it is `null` or negative.
    pub value: Option<u64>,
    /// Absolute byte offsets of the value.
    pub span: Range<u64>,
}

/// The object in which some APIs put the limit on output tokens.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ConfigObject {
    /// Its key: `generationConfig`, `inferenceConfig`, `options` …
    pub name: &'static str,
    /// What it is.
    pub shape: ConfigShape,
}

/// The value of a [`ConfigObject`].
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum ConfigShape {
    /// An object.
    Object {
        /// Offset just after `{`.
        open: u64,
        /// It has no keys.
        is_empty: bool,
    },
    /// `null`, which means absent, at these offsets.
    Null(Range<u64>),
    /// Nothing that a provider would take.
    Other,
}

/// What a scanned body says at its top level. Every string comes from the client: bounded, but not trusted.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Facts {
    /// `model`, at most 1,024 bytes; check it with [`crate::route::valid_model`].
    pub model: Option<StringFact>,
    /// `stream`; `None` if absent or `null`.
    pub stream: Option<bool>,
    /// `stream_options`.
    pub stream_options: Option<StreamOptions>,
    /// Largest of the limits on output tokens that the body names (`max_tokens`, `max_completion_tokens`,
    /// `max_output_tokens`, `generationConfig.maxOutputTokens`, `inferenceConfig.maxTokens`, `options.num_predict`, and
    /// what vendors on Bedrock call it).
    pub max_tokens: Option<u64>,
    /// Every such limit, where it stands.
    pub output_limits: SmallVec<[OutputLimit; 1]>,
    /// The object that such a limit stands in, for the APIs that have one.
    pub generation_config: Option<ConfigObject>,
    /// Answers asked for at once (`n`, `best_of`, `generationConfig.candidateCount`), the largest of them.
    pub choices: Option<u64>,
    /// Keys and values in the top-level array `prompt`, each of which may be a prompt of its own; 0 if it is no array.
    pub prompts: u32,
    /// `prompt_cache_key`, up to 256 bytes (a longer one is dropped, as are the strings below).
    pub prompt_cache_key: Option<String>,
    /// `previous_response_id`, up to 256 bytes.
    pub previous_response_id: Option<String>,
    /// `metadata.user_id`, up to 1,024 bytes; Claude Code hides its session in it.
    pub metadata_user_id: Option<String>,
    /// `client_metadata.session_id`, up to 256 bytes.
    pub client_metadata_session_id: Option<String>,
    /// `litellm_session_id`, up to 256 bytes.
    pub litellm_session_id: Option<String>,
    /// `background` (Responses API): the answer comes later.
    pub background: Option<bool>,
    /// `store`.
    pub store: Option<bool>,
    /// `service_tier`, up to 64 bytes.
    pub service_tier: Option<String>,
    /// Where the value begins that holds what is said: `messages`, `input`, `contents`, else `prompt`.
    pub dialogue: Option<u64>,
    /// Where the value of `system`, `instructions` or `systemInstruction` begins.
    pub system: Option<u64>,
    /// Offset just after the `{` of the document: where a key can be put in.
    pub top_level_object_open: u64,
    /// The document is `{}`, so a key put in takes no comma.
    pub is_empty_object: bool,
    /// Keys and values counted.
    pub tokens: u32,
    /// Bytes of the body, white space around the document included.
    pub bytes: u64,
}

/// Why a body is refused: 400 in every case.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{reason} (at byte {offset})")]
pub struct JsonReject {
    /// Absolute offset of the byte (or of the beginning of the key or value) at fault.
    pub offset: u64,
    /// What is wrong.
    pub reason: JsonReason,
}

/// The reason of a refusal.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum JsonReason {
    /// Not JSON as RFC 8259 has it.
    #[error("the body is not valid JSON: {0}")]
    Syntax(&'static str),
    /// JSON beyond our bounds.
    #[error("the JSON body is too complex: {0}")]
    Limit(&'static str),
    /// A policy key stands there twice.
    #[error("the key {0:?} must not occur twice")]
    Duplicate(&'static str),
    /// A policy key is spelt in another letter case.
    #[error("the key {0:?} must be spelt in exactly this letter case")]
    CaseVariant(&'static str),
    /// A policy key has a value of the wrong type.
    #[error("the value of {key:?} must be {expected}")]
    WrongType {
        /// The key.
        key: &'static str,
        /// What its value has to be.
        expected: &'static str,
    },
}
