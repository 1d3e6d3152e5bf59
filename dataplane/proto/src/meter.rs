//! Reading what a request consumed out of a provider's answer, while the bytes pass by.
//!
//! A [`Meter`] is fed the body of one answer in whatever pieces arrive. It decides the framing from the first
//! bytes, cuts the body into events, and folds those that matter into an [`Outcome`]. It never changes the
//! bytes, never fails and holds a bounded amount of memory: what it cannot read it passes over, and says so
//! by [`Known`].
//!
//! ```text
//! body ─ decode (gzip …) ─ framing (SSE, event stream, lines, array, one document) ─ gate ─ parse ─ fold
//! ```
//!
//! Most events of a stream end at the gate: a search for a few words in the raw bytes says that nothing in them is
//! counted. They cost no allocation and no parsing.
//!
//! What a meter holds at most: an unfinished event or document of 1 MiB (a longer one is reduced as it passes),
//! 4 MiB of decoded bytes for a moment, and the parser's buffers, which are given back after a large document.

mod decode;
mod reader;
mod skeleton;
pub(crate) mod tree;

#[doc(hidden)]
pub mod fuzz;

use sluice_shared::api::ApiKind;
use sluice_shared::usage::{Known, Usage};

use crate::api::{Fold, State};
pub(crate) use decode::{Decoder, Encoding};
pub(crate) use reader::{Framing, Hint};

use reader::Reader;

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
    /// The provider's word for why generation stopped (first choice). OpenAI responses: the status, or
    /// `incomplete:<reason>`; Gemini: `blocked:<reason>` for a refused prompt.
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
    /// Calls of tools that the provider ran, by its word for them.
    pub hosted_tools: Vec<(String, u32)>,
    /// Images in the answer to an image call.
    pub images: Option<u64>,
    /// Results in a batch.
    pub items: Option<u64>,
    /// Bedrock InvokeModel: where the counts were found: `body`, `headers` or `amazon-bedrock-invocationMetrics`.
    pub usage_from: Option<&'static str>,
    /// Oddities in the counts, for people who check a bill.
    pub notes: Vec<&'static str>,
    /// Events seen.
    pub events: u64,
}

/// Reads one answer. See the module.
pub struct Meter {
    decoder: Option<Decoder>,
    /// Decoding or reading has stopped for good.
    stopped: bool,
    framing: Framing,
    hint: Hint,
    reader: Reader,
}

impl std::fmt::Debug for Meter {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Meter")
            .field("fold", &self.reader.state.fold)
            .field("events", &self.events())
            .finish()
    }
}

impl Meter {
    /// A meter for the answer to a call of this kind.
    #[must_use]
    pub fn new(kind: ApiKind, facts: ResponseFacts<'_>) -> Self {
        let mut meter = Self::with_fold(Fold::of(kind), facts);
        meter.hint.one_document |= kind == ApiKind::OllamaEmbed;
        meter
    }

    fn with_fold(fold: Fold, facts: ResponseFacts<'_>) -> Self {
        let content_type = facts.content_type.unwrap_or_default().to_ascii_lowercase();
        let encoding = Encoding::of(facts.content_encoding);
        let decoder = Decoder::new(encoding);
        let binary = ["audio/", "image/", "video/"]
            .iter()
            .any(|kind| content_type.starts_with(kind));
        Self {
            stopped: encoding != Encoding::Identity && decoder.is_none(),
            decoder,
            framing: if binary {
                Framing::Ignored
            } else {
                Framing::Unknown
            },
            hint: Hint::of(&content_type, facts.streaming_expected),
            reader: Reader::new(State::new(fold, facts.status, facts.bedrock)),
        }
    }

    /// The same meter without its gate: every event is parsed. To check the gate against.
    #[doc(hidden)]
    #[must_use]
    pub fn ungated(mut self) -> Self {
        self.reader.gated = false;
        self
    }

    /// Takes the next piece of the body, HTTP framing removed, still content-encoded.
    pub fn feed(&mut self, body: &[u8]) {
        if self.stopped {
            return;
        }
        let Self {
            decoder,
            framing,
            hint,
            reader,
            ..
        } = self;
        match decoder {
            None => framing.feed(body, *hint, reader),
            Some(decoder) => {
                if !decoder.feed(body, |decoded| framing.feed(decoded, *hint, reader)) {
                    self.stopped = true;
                    self.reader.overlooked = true;
                }
            }
        }
    }

    /// Events seen: SSE events, event-stream messages, lines, array elements.
    #[must_use]
    pub const fn events(&self) -> u64 {
        self.reader.state.events
    }

    /// Whether the protocol's own end was seen. A client that leaves after it has had everything.
    #[must_use]
    pub const fn at_end_marker(&self) -> bool {
        let state = &self.reader.state;
        match state.fold {
            // A finish reason is not the last event of a chat: usage and `[DONE]` may follow.
            Fold::Chat => state.done_marker || (state.ended && state.usage_final),
            _ => state.ended,
        }
    }

    /// Counts known so far. Cheap, except that a running total kept unparsed is read for it.
    #[must_use]
    pub fn so_far(&self) -> Counts {
        self.reader.so_far()
    }

    /// Ends the body. `cut` says that it did not come to its end on the wire.
    #[must_use]
    pub fn finish(mut self, cut: bool) -> Outcome {
        self.framing.finish(&mut self.reader);
        let at_end = self.at_end_marker();
        let overlooked = self.reader.overlooked || self.stopped;
        let Reader {
            mut state,
            document_whole,
            ..
        } = self.reader;
        let usage = if state.status >= 400 {
            Usage::default()
        } else {
            state.settle()
        };
        let complete = match self.framing {
            Framing::Unknown | Framing::Ignored => !cut,
            Framing::Document(_) => {
                document_whole && !cut && (state.fold == Fold::Responses || state.stream_error.is_none())
            }
            _ if state.status >= 400 => !cut,
            _ => match state.fold {
                Fold::Responses => state.ended,
                Fold::Batches
                | Fold::Realtime
                | Fold::Live
                | Fold::GeminiEmbed
                | Fold::Predict
                | Fold::Counting => !cut,
                Fold::Chat => (at_end || (state.ended && !cut)) && state.stream_error.is_none(),
                _ => state.ended && state.stream_error.is_none(),
            },
        };
        let known = if !usage.is_known() {
            Known::Unknown
        } else if complete && (state.usage_final || (!cut && !overlooked)) {
            Known::Reported
        } else {
            Known::Partial
        };
        let stop_reasons: Vec<String> = state.stops.iter().map(|(_, reason)| reason.clone()).collect();
        Outcome {
            usage,
            known,
            model: state.model,
            stop_reason: stop_reasons.first().cloned(),
            stop_reasons: if stop_reasons.len() > 1 {
                stop_reasons
            } else {
                Vec::new()
            },
            tool_calls: state.tool_calls,
            complete,
            done_marker: state.done_marker,
            stream_error: state.stream_error,
            error: state.error,
            service_tier: state.service_tier,
            response_id: state.response_id,
            counted_tokens: state.counted_tokens,
            hosted_tools: state.hosted,
            images: state.images,
            items: state.items,
            usage_from: state.usage_from,
            notes: state.notes,
            events: state.events,
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

/// A meter for a format by name: those of [`ApiKind::parse`], and of recordings that do not pass as one answer:
/// `openai-realtime`, `gemini-live`, `anthropic-batches`. `None` where the name is not known.
#[must_use]
pub fn meter_named(name: &str, facts: ResponseFacts<'_>) -> Option<Meter> {
    match ApiKind::parse(name) {
        Some(kind) => Some(Meter::new(kind, facts)),
        None => Fold::of_recording(name).map(|fold| Meter::with_fold(fold, facts)),
    }
}

/// Meters a recording of a format by name; see [`meter_named`].
#[must_use]
pub fn meter_recording(name: &str, facts: ResponseFacts<'_>, body: &[u8]) -> Option<Outcome> {
    let mut meter = meter_named(name, facts)?;
    meter.feed(body);
    Some(meter.finish(false))
}
