//! What an answer has used whose provider has not said so, or has not yet.

use sluice_proto::meter::Counts;
use sluice_shared::api::ApiKind;
use sluice_shared::quota::estimate::{Estimates, Learnt};
use sluice_shared::usage::{Ended, Known, Usage, UsageRecord};

use super::Use;

/// What a request is taken to have used so far: what the provider has stated, or what the bytes say, if that is more.
pub(crate) fn running(record: &UsageRecord, so_far: Counts, response_bytes: u64, learnt: &Learnt) -> Use {
    let default = answer_bytes_default(record.api, record.stream);
    let output = match texts(record.api, &record.model_asked) {
        Texts::Both => learnt.answer_tokens(record.stream, response_bytes, default),
        Texts::Asked | Texts::Neither => 0,
    };
    let input = match texts(record.api, &record.model_asked) {
        Texts::Both | Texts::Asked => so_far
            .input
            .unwrap_or_else(|| learnt.input_tokens(record.request_bytes)),
        Texts::Neither => 0,
    };
    Use {
        input,
        output,
        ..Use::default()
    }
    .max(so_far)
}

/// What a provider has stated so far.
pub(crate) fn stated(so_far: Counts) -> Use {
    Use::default().max(so_far)
}

/// The usage of an ended request where the provider did not state it, or stated less than there must have been because the
/// answer was cut; `None`: the record stands as it is.
///
/// `sent`: the request went to a provider whole. `began`: bytes of an answer came. `model` is the name that was sent.
pub(crate) fn estimate_unstated(
    record: &UsageRecord,
    model: &str,
    estimates: &Estimates,
    sent: bool,
    began: bool,
) -> Option<Usage> {
    let texts = texts(record.api, model);
    // Providers do not bill what they refuse or fail to do; nor what they never got.
    let billed = record.api.billed()
        && sent
        && texts != Texts::Neither
        && record.ended != Ended::Blocked
        && (began || record.ended != Ended::UpstreamFailed)
        && record.status < 300;
    let open = match record.usage_known {
        Known::Reported | Known::Estimated => false,
        Known::Partial | Known::Unknown => true,
    };
    if !billed || !open {
        return None;
    }
    let learnt = estimates.of(&record.provider, model);
    let stated = &record.usage;
    let input = stated
        .input
        .unwrap_or_else(|| learnt.input_tokens(record.request_bytes));
    let by_bytes = if began && texts == Texts::Both {
        let default = answer_bytes_default(record.api, record.stream);
        learnt.answer_tokens(record.stream, record.response_bytes, default)
    } else {
        0
    };
    let output = by_bytes.max(stated.output.unwrap_or(0));
    if stated.input == Some(input) && stated.output == Some(output) {
        return None;
    }
    let mut usage = stated.clone();
    usage.input = Some(input);
    usage.output = Some(output);
    if usage.input_uncached.is_none() {
        let cached = usage
            .cached_read
            .unwrap_or(0)
            .saturating_add(usage.cache_write.unwrap_or(0));
        usage.input_uncached = Some(input.saturating_sub(cached));
    }
    usage.total = None;
    Some(usage)
}

/// What of a call is text, so that bytes say something about tokens.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Texts {
    /// Request and answer.
    Both,
    /// The request; the answer is vectors or scores, and costs nothing.
    Asked,
    Neither,
}

fn texts(kind: ApiKind, model: &str) -> Texts {
    let has = |word: &str| model.contains(word);
    match kind {
        // The vendor's own body, for any kind of model.
        ApiKind::BedrockInvoke if has("embed") || has("rerank") => Texts::Asked,
        ApiKind::BedrockInvoke
            if has("image") || has("canvas") || has("reel") || has("stable-") || has("stability.") =>
        {
            Texts::Neither
        }
        ApiKind::OpenAiChat
        | ApiKind::OpenAiCompletions
        | ApiKind::OpenAiResponses
        | ApiKind::AnthropicMessages
        | ApiKind::GeminiGenerate
        | ApiKind::VertexGenerate
        | ApiKind::VertexRawPredict
        | ApiKind::BedrockInvoke
        | ApiKind::BedrockConverse
        | ApiKind::OllamaChat => Texts::Both,
        ApiKind::OpenAiEmbeddings | ApiKind::OpenAiRerank | ApiKind::GeminiEmbed | ApiKind::OllamaEmbed => {
            Texts::Asked
        }
        // Images, sound, and what is free. Vertex predicts vectors or images, and the path does not say which.
        ApiKind::OpenAiImages
        | ApiKind::OpenAiAudio
        | ApiKind::OpenAiModerations
        | ApiKind::VertexPredict
        | ApiKind::AnthropicCountTokens
        | ApiKind::GeminiCountTokens
        | ApiKind::VertexCountTokens
        | ApiKind::BedrockCountTokens => Texts::Neither,
    }
}

/// Bytes of an answer for a thousand tokens before it is learnt. Streams wrap every few tokens in an event, the vendors
/// differently; the figures lie at the lower end of what recorded answers have, so that tokens are not missed.
const fn answer_bytes_default(kind: ApiKind, stream: bool) -> u64 {
    if !stream {
        return 6_000;
    }
    match kind {
        ApiKind::AnthropicMessages | ApiKind::VertexRawPredict => 30_000,
        ApiKind::GeminiGenerate | ApiKind::VertexGenerate => 12_000,
        ApiKind::BedrockConverse | ApiKind::BedrockInvoke => 40_000,
        ApiKind::OpenAiResponses => 100_000,
        _ => 120_000,
    }
}
