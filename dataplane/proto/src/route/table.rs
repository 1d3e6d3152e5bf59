//! The rows: canonical path suffixes and what they mean.

use super::{ApiKind, Endpoint};

/// One segment of a row.
#[derive(Clone, Copy, Debug)]
pub(super) enum Seg {
    /// Exactly this.
    Is(&'static str),
    /// An id that names no model: `[A-Za-z0-9._~:-]`, also letters' case as it comes.
    Id,
    /// A model, percent-encoded.
    Model,
    /// A model, a colon, and one of these methods.
    ModelVerb(&'static [Verb]),
}

/// A method behind the colon of a Google path, or the last segment of a Bedrock path.
#[derive(Clone, Copy, Debug)]
pub(super) struct Verb {
    pub(super) name: &'static str,
    pub(super) kind: ApiKind,
    pub(super) stream: Option<bool>,
    pub(super) free: bool,
}

/// What a row leads to.
#[derive(Clone, Copy, Debug)]
pub(super) enum Outcome {
    /// `POST` only: the kind; whether the path decides on streaming; whether it is free.
    Call {
        kind: ApiKind,
        stream: Option<bool>,
        free: bool,
    },
    /// `POST` only: as the verb of [`Seg::ModelVerb`] says.
    ByVerb,
    /// `GET` and `HEAD`.
    Models,
    /// `POST` is a call of the Responses API, `GET` and `DELETE` are about a stored response.
    ResponsesChild,
    /// `GET`, `HEAD`: about a stored response.
    StoredGet,
    /// `POST`: about a stored response.
    StoredPost,
}

/// The version segment before a row.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Version {
    /// Clients may leave it out; this one is put in when the base URL has none either.
    Default(&'static str),
    /// The API has none; a version segment before it is the client's own prefix.
    Never,
}

/// One row.
#[derive(Clone, Copy, Debug)]
pub(super) struct Row {
    pub(super) version: Version,
    pub(super) segs: &'static [Seg],
    pub(super) outcome: Outcome,
}

impl Row {
    const fn call(segs: &'static [Seg], kind: ApiKind) -> Self {
        Self {
            version: V1,
            segs,
            outcome: Outcome::Call {
                kind,
                stream: None,
                free: false,
            },
        }
    }

    const fn verb(version: Version, segs: &'static [Seg]) -> Self {
        Self {
            version,
            segs,
            outcome: Outcome::ByVerb,
        }
    }

    const fn unversioned(segs: &'static [Seg], kind: ApiKind) -> Self {
        Self {
            version: Version::Never,
            segs,
            outcome: Outcome::Call {
                kind,
                stream: None,
                free: false,
            },
        }
    }

    const fn bedrock(segs: &'static [Seg], kind: ApiKind, stream: Option<bool>, free: bool) -> Self {
        Self {
            version: Version::Never,
            segs,
            outcome: Outcome::Call { kind, stream, free },
        }
    }

    const fn other(segs: &'static [Seg], outcome: Outcome) -> Self {
        Self {
            version: V1,
            segs,
            outcome,
        }
    }

    /// Value of `Allow`.
    pub(super) const fn allow(&self) -> &'static str {
        match self.outcome {
            Outcome::Call { .. } | Outcome::ByVerb | Outcome::StoredPost => "POST",
            Outcome::Models | Outcome::StoredGet => "GET, HEAD",
            Outcome::ResponsesChild => "GET, HEAD, POST, DELETE",
        }
    }
}

const V1: Version = Version::Default("v1");
const V1BETA: Version = Version::Default("v1beta");

const fn verb(name: &'static str, kind: ApiKind, stream: Option<bool>, free: bool) -> Verb {
    Verb {
        name,
        kind,
        stream,
        free,
    }
}

/// AI Studio.
const GEMINI: &[Verb] = &[
    verb("generateContent", ApiKind::GeminiGenerate, Some(false), false),
    verb(
        "streamGenerateContent",
        ApiKind::GeminiGenerate,
        Some(true),
        false,
    ),
    verb("countTokens", ApiKind::GeminiCountTokens, Some(false), true),
    verb("embedContent", ApiKind::GeminiEmbed, Some(false), false),
    verb("batchEmbedContents", ApiKind::GeminiEmbed, Some(false), false),
];

/// Google's models on Vertex.
const VERTEX: &[Verb] = &[
    verb("generateContent", ApiKind::VertexGenerate, Some(false), false),
    verb(
        "streamGenerateContent",
        ApiKind::VertexGenerate,
        Some(true),
        false,
    ),
    verb("countTokens", ApiKind::VertexCountTokens, Some(false), true),
    verb("predict", ApiKind::VertexPredict, Some(false), false),
    verb("embedContent", ApiKind::VertexPredict, Some(false), false),
];

/// Claude on Vertex. `rawPredict` obeys `stream` in the body.
const CLAUDE: &[Verb] = &[
    verb("rawPredict", ApiKind::VertexRawPredict, None, false),
    verb("streamRawPredict", ApiKind::VertexRawPredict, Some(true), false),
];

use Seg::{Id, Is, Model, ModelVerb};

/// All rows, the longer before the shorter where one is the end of the other.
pub(super) const ROWS: &[Row] = &[
    // Azure's older style: the deployment stands for the model. No version in the path.
    Row::unversioned(
        &[
            Is("openai"),
            Is("deployments"),
            Model,
            Is("chat"),
            Is("completions"),
        ],
        ApiKind::OpenAiChat,
    ),
    Row::unversioned(
        &[Is("openai"), Is("deployments"), Model, Is("completions")],
        ApiKind::OpenAiCompletions,
    ),
    Row::unversioned(
        &[Is("openai"), Is("deployments"), Model, Is("embeddings")],
        ApiKind::OpenAiEmbeddings,
    ),
    Row::unversioned(
        &[Is("openai"), Is("deployments"), Model, Is("images"), Id],
        ApiKind::OpenAiImages,
    ),
    Row::unversioned(
        &[Is("openai"), Is("deployments"), Model, Is("audio"), Id],
        ApiKind::OpenAiAudio,
    ),
    // Google.
    Row {
        version: V1,
        segs: &[
            Is("projects"),
            Id,
            Is("locations"),
            Id,
            Is("publishers"),
            Is("anthropic"),
            Is("models"),
            // Counts for the model in the body; `count-tokens` is no model.
            Is("count-tokens:rawPredict"),
        ],
        outcome: Outcome::Call {
            kind: ApiKind::VertexRawPredict,
            stream: Some(false),
            free: true,
        },
    },
    Row::verb(
        V1,
        &[
            Is("projects"),
            Id,
            Is("locations"),
            Id,
            Is("publishers"),
            Is("google"),
            Is("models"),
            ModelVerb(VERTEX),
        ],
    ),
    Row::verb(
        V1,
        &[
            Is("projects"),
            Id,
            Is("locations"),
            Id,
            Is("publishers"),
            Is("anthropic"),
            Is("models"),
            ModelVerb(CLAUDE),
        ],
    ),
    Row::verb(
        V1,
        &[Is("publishers"), Is("google"), Is("models"), ModelVerb(VERTEX)],
    ),
    Row::verb(V1BETA, &[Is("models"), ModelVerb(GEMINI)]),
    // Bedrock. A `/bedrock` before it is the client's prefix and falls away like any other.
    Row::bedrock(
        &[Is("model"), Model, Is("invoke")],
        ApiKind::BedrockInvoke,
        Some(false),
        false,
    ),
    Row::bedrock(
        &[Is("model"), Model, Is("invoke-with-response-stream")],
        ApiKind::BedrockInvoke,
        Some(true),
        false,
    ),
    Row::bedrock(
        &[Is("model"), Model, Is("converse")],
        ApiKind::BedrockConverse,
        Some(false),
        false,
    ),
    Row::bedrock(
        &[Is("model"), Model, Is("converse-stream")],
        ApiKind::BedrockConverse,
        Some(true),
        false,
    ),
    Row::bedrock(
        &[Is("model"), Model, Is("count-tokens")],
        ApiKind::BedrockCountTokens,
        Some(false),
        true,
    ),
    // Ollama's native API, under a prefix of its own since `/api` is the control plane's (see `classify`).
    Row::unversioned(&[Is("ollama"), Is("api"), Is("chat")], ApiKind::OllamaChat),
    Row::unversioned(&[Is("ollama"), Is("api"), Is("generate")], ApiKind::OllamaChat),
    Row::unversioned(&[Is("ollama"), Is("api"), Is("embed")], ApiKind::OllamaEmbed),
    Row::unversioned(&[Is("ollama"), Is("api"), Is("embeddings")], ApiKind::OllamaEmbed),
    // OpenAI and compatible.
    Row::call(&[Is("chat"), Is("completions")], ApiKind::OpenAiChat),
    Row::call(&[Is("completions")], ApiKind::OpenAiCompletions),
    Row::other(
        &[Is("responses"), Is("input_tokens")],
        Outcome::Call {
            kind: ApiKind::OpenAiResponses,
            stream: Some(false),
            free: true,
        },
    ),
    Row::call(&[Is("responses"), Is("compact")], ApiKind::OpenAiResponses),
    Row::other(&[Is("responses"), Id, Is("input_items")], Outcome::StoredGet),
    Row::other(&[Is("responses"), Id, Is("cancel")], Outcome::StoredPost),
    Row::other(&[Is("responses"), Id], Outcome::ResponsesChild),
    Row::call(&[Is("responses")], ApiKind::OpenAiResponses),
    Row::call(&[Is("embeddings")], ApiKind::OpenAiEmbeddings),
    Row::call(&[Is("images"), Id], ApiKind::OpenAiImages),
    Row::call(&[Is("audio"), Id], ApiKind::OpenAiAudio),
    Row::call(&[Is("moderations")], ApiKind::OpenAiModerations),
    Row::call(&[Is("rerank")], ApiKind::OpenAiRerank),
    // Anthropic.
    Row::other(
        &[Is("messages"), Is("count_tokens")],
        Outcome::Call {
            kind: ApiKind::AnthropicCountTokens,
            stream: Some(false),
            free: true,
        },
    ),
    Row::call(&[Is("messages")], ApiKind::AnthropicMessages),
    // Lists.
    Row::other(&[Is("models")], Outcome::Models),
];

/// Admin prefixes: exact first segments that belong to the control plane, with all below them.
pub(super) const ADMIN: &[&str] = &["ui", "api", "aperture"];

/// Paths of the gateway itself, exact.
pub(super) const OWN: &[(&str, Endpoint)] = &[
    ("healthz", Endpoint::Healthz),
    ("readyz", Endpoint::Readyz),
    ("metrics", Endpoint::Metrics),
];
