//! From path to API kind. Prefixes are allowed before every provider path, as clients keep them.

/// What a path asks for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(super) enum Kind {
    Chat,
    Completions,
    Responses,
    ResponsesInputTokens,
    Embeddings,
    Images,
    Speech,
    Transcription,
    Moderations,
    Rerank,
    Messages,
    CountTokens,
    GeminiGenerate,
    GeminiStream,
    GeminiCount,
    GeminiEmbed,
    GeminiBatchEmbed,
    VertexPredict,
    VertexRaw,
    VertexRawStream,
    VertexRawCount,
    BedrockInvoke,
    BedrockInvokeStream,
    BedrockConverse,
    BedrockConverseStream,
    BedrockCount,
    OllamaChat,
    OllamaGenerate,
    OllamaEmbed,
    OllamaEmbeddings,
    Models,
    Root,
    Ledger,
    Stats,
    Reset,
    Unknown,
}

/// In whose words an error is written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Family {
    OpenAi,
    Anthropic,
    Google,
    Bedrock,
    Ollama,
}

impl Kind {
    pub(super) fn family(self) -> Family {
        match self {
            Self::Messages
            | Self::CountTokens
            | Self::VertexRaw
            | Self::VertexRawStream
            | Self::VertexRawCount => Family::Anthropic,
            Self::GeminiGenerate
            | Self::GeminiStream
            | Self::GeminiCount
            | Self::GeminiEmbed
            | Self::GeminiBatchEmbed
            | Self::VertexPredict => Family::Google,
            Self::BedrockInvoke
            | Self::BedrockInvokeStream
            | Self::BedrockConverse
            | Self::BedrockConverseStream
            | Self::BedrockCount => Family::Bedrock,
            Self::OllamaChat | Self::OllamaGenerate | Self::OllamaEmbed | Self::OllamaEmbeddings => {
                Family::Ollama
            }
            _ => Family::OpenAi,
        }
    }

    /// Name in the ledger.
    pub(super) fn name(self) -> &'static str {
        match self {
            Self::Chat => "openai_chat",
            Self::Completions => "openai_completions",
            Self::Responses | Self::ResponsesInputTokens => "openai_responses",
            Self::Embeddings => "openai_embeddings",
            Self::Images => "openai_images",
            Self::Speech | Self::Transcription => "openai_audio",
            Self::Moderations => "openai_moderations",
            Self::Rerank => "openai_rerank",
            Self::Messages => "anthropic_messages",
            Self::CountTokens => "anthropic_count_tokens",
            Self::GeminiGenerate | Self::GeminiStream => "gemini_generate_content",
            Self::GeminiCount => "gemini_count_tokens",
            Self::GeminiEmbed | Self::GeminiBatchEmbed => "gemini_embed_content",
            Self::VertexPredict => "google_predict",
            Self::VertexRaw | Self::VertexRawStream | Self::VertexRawCount => "google_raw_predict",
            Self::BedrockInvoke | Self::BedrockInvokeStream => "bedrock_model_invoke",
            Self::BedrockConverse | Self::BedrockConverseStream => "bedrock_converse",
            Self::BedrockCount => "bedrock_count_tokens",
            Self::OllamaChat | Self::OllamaGenerate => "ollama_chat",
            Self::OllamaEmbed | Self::OllamaEmbeddings => "ollama_embed",
            Self::Models => "models",
            Self::Root | Self::Unknown => "none",
            Self::Ledger | Self::Stats | Self::Reset => "mock",
        }
    }

    /// Whether it is a call of a provider's API, to be kept in the ledger.
    pub(super) fn counts(self) -> bool {
        !matches!(
            self,
            Self::Ledger | Self::Stats | Self::Reset | Self::Root | Self::Models
        )
    }
}

/// Classifies a request; the second part is the model if the path names it, percent-decoded.
pub(super) fn classify(method: &str, target: &str) -> (Kind, Option<String>) {
    let path = target.split('?').next().unwrap_or("");
    let path = path.strip_suffix('/').unwrap_or(path);
    match (method, path) {
        ("GET", "/mock/ledger") => return (Kind::Ledger, None),
        ("GET", "/mock/stats") => return (Kind::Stats, None),
        ("POST", "/mock/reset") => return (Kind::Reset, None),
        ("GET" | "HEAD", "") => return (Kind::Root, None),
        _ => {}
    }
    if method == "GET" {
        return match path.rsplit_once("/models") {
            Some((_, "")) => (Kind::Models, None),
            Some((_, name)) => (Kind::Models, Some(decode(name.trim_start_matches('/')))),
            None => (Kind::Unknown, None),
        };
    }
    if method != "POST" {
        return (Kind::Unknown, None);
    }
    if let Some(found) = google(path).or_else(|| bedrock(path)) {
        return found;
    }
    let kind = match last_two(path) {
        (_, "chat/completions") => Kind::Chat,
        (_, "responses/input_tokens") => Kind::ResponsesInputTokens,
        (_, "responses/compact") => Kind::Responses,
        (_, "images/generations" | "images/edits" | "images/variations") => Kind::Images,
        (_, "audio/speech") => Kind::Speech,
        (_, "audio/transcriptions" | "audio/translations") => Kind::Transcription,
        (_, "messages/count_tokens") => Kind::CountTokens,
        (_, "api/chat") => Kind::OllamaChat,
        (_, "api/generate") => Kind::OllamaGenerate,
        (_, "api/embed") => Kind::OllamaEmbed,
        (_, "api/embeddings") => Kind::OllamaEmbeddings,
        ("completions", _) => Kind::Completions,
        ("responses", _) => Kind::Responses,
        ("embeddings", _) => Kind::Embeddings,
        ("moderations", _) => Kind::Moderations,
        ("rerank", _) => Kind::Rerank,
        ("messages", _) => Kind::Messages,
        _ => Kind::Unknown,
    };
    let deployment = path
        .split_once("/deployments/")
        .and_then(|(_, rest)| rest.split('/').next());
    (kind, deployment.map(decode))
}

/// The last segment and the last two.
fn last_two(path: &str) -> (&str, &str) {
    let mut slashes = path
        .bytes()
        .enumerate()
        .rev()
        .filter(|(_, b)| *b == b'/')
        .map(|(at, _)| at + 1);
    let one = slashes.next().unwrap_or(0);
    let two = slashes.next().unwrap_or(0);
    (path.get(one..).unwrap_or(""), path.get(two..).unwrap_or(""))
}

/// `…/models/M:method`, Gemini and Vertex.
fn google(path: &str) -> Option<(Kind, Option<String>)> {
    let (_, rest) = path.rsplit_once("/models/")?;
    let (model, method) = rest.rsplit_once(':')?;
    let kind = match method {
        "generateContent" => Kind::GeminiGenerate,
        "streamGenerateContent" => Kind::GeminiStream,
        "countTokens" => Kind::GeminiCount,
        "embedContent" => Kind::GeminiEmbed,
        "batchEmbedContents" => Kind::GeminiBatchEmbed,
        "predict" => Kind::VertexPredict,
        "rawPredict" if model == "count-tokens" => Kind::VertexRawCount,
        "rawPredict" => Kind::VertexRaw,
        "streamRawPredict" => Kind::VertexRawStream,
        _ => return None,
    };
    Some((kind, Some(decode(model))))
}

/// `/model/M/operation`; M may be an ARN with slashes.
fn bedrock(path: &str) -> Option<(Kind, Option<String>)> {
    let (_, rest) = path.split_once("/model/")?;
    let (model, operation) = rest.rsplit_once('/')?;
    let kind = match operation {
        "invoke" => Kind::BedrockInvoke,
        "invoke-with-response-stream" => Kind::BedrockInvokeStream,
        "converse" => Kind::BedrockConverse,
        "converse-stream" => Kind::BedrockConverseStream,
        "count-tokens" => Kind::BedrockCount,
        _ => return None,
    };
    Some((kind, Some(decode(model))))
}

/// Percent-decodes; what is no valid escape stays as it is.
fn decode(text: &str) -> String {
    let bytes = text.as_bytes();
    let mut out = Vec::with_capacity(bytes.len());
    let mut at = 0;
    while let Some(&byte) = bytes.get(at) {
        let escaped = (byte == b'%')
            .then(|| bytes.get(at + 1..at + 3))
            .flatten()
            .and_then(|hex| std::str::from_utf8(hex).ok())
            .and_then(|hex| u8::from_str_radix(hex, 16).ok());
        out.push(escaped.unwrap_or(byte));
        at += if escaped.is_some() { 3 } else { 1 };
    }
    String::from_utf8_lossy(&out).into_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_path_has_its_kind() {
        fn check(method: &str, target: &str, kind: Kind, model: Option<&str>) {
            assert_eq!(
                classify(method, target),
                (kind, model.map(str::to_owned)),
                "{target}"
            );
        }
        check("POST", "/v1/chat/completions", Kind::Chat, None);
        check("POST", "/chat/completions", Kind::Chat, None);
        check("POST", "/openai/v1/chat/completions?x=y", Kind::Chat, None);
        check(
            "POST",
            "/openai/deployments/gpt%2D4/chat/completions?api-version=1",
            Kind::Chat,
            Some("gpt-4"),
        );
        check("POST", "/v1/completions", Kind::Completions, None);
        check("POST", "/v1/responses", Kind::Responses, None);
        check("POST", "/v1/embeddings", Kind::Embeddings, None);
        check("POST", "/v1/messages?beta=true", Kind::Messages, None);
        check("POST", "/v1/messages/count_tokens", Kind::CountTokens, None);
        check(
            "POST",
            "/v1beta/models/g-1:streamGenerateContent?alt=sse",
            Kind::GeminiStream,
            Some("g-1"),
        );
        check(
            "POST",
            "/models/g-1:generateContent",
            Kind::GeminiGenerate,
            Some("g-1"),
        );
        check(
            "POST",
            "/v1/projects/p/locations/l/publishers/anthropic/models/claude@1:streamRawPredict",
            Kind::VertexRawStream,
            Some("claude@1"),
        );
        check(
            "POST",
            "/model/a.b-v1%3A0/converse-stream",
            Kind::BedrockConverseStream,
            Some("a.b-v1:0"),
        );
        check(
            "POST",
            "/model/arn:aws:x/y/invoke",
            Kind::BedrockInvoke,
            Some("arn:aws:x/y"),
        );
        check("POST", "/api/chat", Kind::OllamaChat, None);
        check("POST", "/api/embeddings", Kind::OllamaEmbeddings, None);
        check("GET", "/v1/models", Kind::Models, None);
        check("GET", "/v1/models?limit=1000", Kind::Models, None);
        check("GET", "/v1beta/models/g-1", Kind::Models, Some("g-1"));
        check("GET", "/v1/responses", Kind::Unknown, None);
        check("HEAD", "/", Kind::Root, None);
        check("GET", "/mock/ledger?since=4", Kind::Ledger, None);
    }
}
