//! Folds from events to usage: one file for each wire format.
//!
//! Every fold works on one [`State`]. For each event of a stream, [`interest`] first looks at the raw bytes and
//! says whether the event can matter; only then is it parsed and given to [`event`]. A body that is one JSON
//! document goes to [`document`]. [`State::settle`] turns what was collected into normalised counts.

pub(crate) mod anthropic;
pub(crate) mod batches;
pub(crate) mod bedrock_converse;
pub(crate) mod bedrock_invoke;
pub(crate) mod counting;
pub(crate) mod gemini;
pub(crate) mod ollama;
pub(crate) mod openai_chat;
pub(crate) mod openai_media;
pub(crate) mod openai_responses;
pub(crate) mod openai_usage;
pub(crate) mod provider_error;
pub(crate) mod realtime;
pub(crate) mod vertex_predict;

use std::hash::{DefaultHasher, Hash, Hasher};

use sluice_shared::api::ApiKind;
use sluice_shared::usage::{ServiceTier, Usage};

use crate::meter::tree::{View, clip};
use crate::meter::{BedrockCounts, ProviderError};

/// Which fold reads an answer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Fold {
    Chat,
    Responses,
    Media,
    Anthropic,
    Gemini,
    GeminiEmbed,
    Converse,
    Invoke,
    Ollama,
    Predict,
    Counting,
    Batches,
    Realtime,
    Live,
}

impl Fold {
    pub(crate) const fn of(kind: ApiKind) -> Self {
        match kind {
            ApiKind::OpenAiChat | ApiKind::OpenAiCompletions => Self::Chat,
            ApiKind::OpenAiResponses => Self::Responses,
            ApiKind::OpenAiEmbeddings
            | ApiKind::OpenAiImages
            | ApiKind::OpenAiAudio
            | ApiKind::OpenAiModerations
            | ApiKind::OpenAiRerank => Self::Media,
            ApiKind::AnthropicMessages | ApiKind::VertexRawPredict => Self::Anthropic,
            ApiKind::GeminiGenerate | ApiKind::VertexGenerate => Self::Gemini,
            ApiKind::GeminiEmbed => Self::GeminiEmbed,
            ApiKind::VertexPredict => Self::Predict,
            ApiKind::BedrockInvoke => Self::Invoke,
            ApiKind::BedrockConverse => Self::Converse,
            ApiKind::OllamaChat | ApiKind::OllamaEmbed => Self::Ollama,
            ApiKind::AnthropicCountTokens
            | ApiKind::GeminiCountTokens
            | ApiKind::VertexCountTokens
            | ApiKind::BedrockCountTokens => Self::Counting,
        }
    }

    /// Recordings that do not pass the gateway as one answer, by the name of their format.
    pub(crate) fn of_recording(name: &str) -> Option<Self> {
        match name.replace('_', "-").as_str() {
            "openai-realtime" => Some(Self::Realtime),
            "gemini-live" => Some(Self::Live),
            "anthropic-batches" => Some(Self::Batches),
            other => ApiKind::parse(other).map(Self::of),
        }
    }
}

/// What an event is worth, judged by its raw bytes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Interest {
    /// Nothing in it matters.
    Skip,
    /// It matters only if no later event says more: running totals. Its bytes are kept unparsed.
    Keep,
    /// It is to be parsed now.
    Parse,
}

/// Events at the head of a stream that are parsed in search of the model's name.
const HEAD_EVENTS_MAX: u64 = 4;
/// Distinct tool calls remembered; further ones are counted without looking for repetitions.
const CALLS_MAX: usize = 512;
/// Choices whose stop reasons are kept.
const CHOICES_MAX: usize = 128;
/// Pieces of side work kept.
pub(crate) const SIDE_MAX: usize = 64;

/// Counts of a provider that states uncached, read and written tokens apart.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Apart {
    pub(crate) uncached: Option<u64>,
    pub(crate) read: Option<u64>,
    pub(crate) write: Option<u64>,
    pub(crate) write_5m: Option<u64>,
    pub(crate) write_1h: Option<u64>,
    pub(crate) output: Option<u64>,
    pub(crate) reasoning: Option<u64>,
    pub(crate) total: Option<u64>,
    pub(crate) web_searches: Option<u64>,
    pub(crate) web_fetches: Option<u64>,
}

impl Apart {
    pub(crate) const fn is_known(&self) -> bool {
        self.uncached.is_some() || self.output.is_some() || self.read.is_some() || self.write.is_some()
    }

    /// Takes every field that `later` states.
    pub(crate) fn replace(&mut self, later: &Self) {
        fn take(field: &mut Option<u64>, later: Option<u64>) {
            if later.is_some() {
                *field = later;
            }
        }
        take(&mut self.uncached, later.uncached);
        take(&mut self.read, later.read);
        take(&mut self.write, later.write);
        take(&mut self.write_5m, later.write_5m);
        take(&mut self.write_1h, later.write_1h);
        take(&mut self.output, later.output);
        take(&mut self.reasoning, later.reasoning);
        take(&mut self.total, later.total);
        take(&mut self.web_searches, later.web_searches);
        take(&mut self.web_fetches, later.web_fetches);
    }

    /// The normalised counts. What the provider leaves out next to a stated count is 0.
    pub(crate) fn usage(&self, notes: &mut Vec<&'static str>) -> Usage {
        if !self.is_known() {
            return Usage::default();
        }
        let uncached = self.uncached.unwrap_or(0);
        let read = self.read.unwrap_or(0);
        let write = self.write.unwrap_or(0);
        let (mut write_5m, mut write_1h) = (self.write_5m, self.write_1h);
        if (write_5m.is_some() || write_1h.is_some())
            && write_5m.unwrap_or(0).saturating_add(write_1h.unwrap_or(0)) != write
            && self.write.is_some()
        {
            // The split came with the first event only and the total moved on: the rest is 5 minutes.
            let hour = write_1h.unwrap_or(0).min(write);
            write_1h = Some(hour);
            write_5m = Some(write.saturating_sub(hour));
            note(notes, "cache_write_split_stale");
        }
        let output = self.output.unwrap_or(0);
        let reasoning = self.reasoning.unwrap_or(0);
        if reasoning > output {
            note(notes, "reasoning_exceeds_output");
        }
        Usage {
            input: Some(uncached.saturating_add(read).saturating_add(write)),
            input_uncached: Some(uncached),
            cached_read: Some(read),
            cache_write: Some(write),
            cache_write_5m: write_5m,
            cache_write_1h: write_1h,
            output: Some(output),
            reasoning: Some(reasoning),
            total: self.total,
            web_searches: self.web_searches,
            web_fetches: self.web_fetches,
            ..Usage::default()
        }
    }
}

pub(crate) fn note(notes: &mut Vec<&'static str>, word: &'static str) {
    if !notes.contains(&word) {
        notes.push(word);
    }
}

/// Everything collected from one answer.
pub(crate) struct State {
    pub(crate) fold: Fold,
    pub(crate) status: u16,
    /// Events seen, all kinds.
    pub(crate) events: u64,
    /// The normalised counts, for folds that take whole usage objects.
    pub(crate) usage: Usage,
    /// Counts stated apart, for folds that collect them field by field.
    pub(crate) apart: Apart,
    /// Bedrock's counts in headers.
    pub(crate) headers: BedrockCounts,
    /// Bedrock's `amazon-bedrock-invocationMetrics`.
    pub(crate) metrics: Option<Apart>,
    /// The vendor's counts are running ones (Titan, Llama): the metrics of the last event are as good and final.
    pub(crate) running: bool,
    pub(crate) candidates_seen: bool,
    pub(crate) candidates_dropped: bool,
    /// Where the counts of a Bedrock call were found.
    pub(crate) usage_from: Option<&'static str>,
    pub(crate) usage_seen: bool,
    /// Usage came with the end marker or after it, so that it is final.
    pub(crate) usage_final: bool,
    pub(crate) model: Option<String>,
    pub(crate) stops: Vec<(u64, String)>,
    calls: Vec<u64>,
    pub(crate) tool_calls: u32,
    pub(crate) done_marker: bool,
    /// The protocol's end was seen.
    pub(crate) ended: bool,
    pub(crate) stream_error: Option<ProviderError>,
    pub(crate) error: Option<ProviderError>,
    pub(crate) service_tier: Option<String>,
    pub(crate) response_id: Option<String>,
    pub(crate) counted_tokens: Option<u64>,
    pub(crate) hosted: Vec<(String, u32)>,
    /// Containers that a hosted code interpreter ran in.
    pub(crate) containers: Vec<String>,
    pub(crate) images: Option<u64>,
    pub(crate) items: Option<u64>,
    pub(crate) responses: u64,
    pub(crate) notes: Vec<&'static str>,
    /// Model that transcribes the user's audio (realtime).
    pub(crate) transcriber: Option<String>,
}

impl State {
    pub(crate) fn new(fold: Fold, status: u16, headers: BedrockCounts) -> Self {
        Self {
            fold,
            status,
            events: 0,
            usage: Usage::default(),
            apart: Apart::default(),
            headers,
            metrics: None,
            running: false,
            candidates_seen: false,
            candidates_dropped: false,
            usage_from: None,
            usage_seen: false,
            usage_final: false,
            model: None,
            stops: Vec::new(),
            calls: Vec::new(),
            tool_calls: 0,
            done_marker: false,
            ended: false,
            stream_error: None,
            error: None,
            service_tier: None,
            response_id: None,
            counted_tokens: None,
            hosted: Vec::new(),
            containers: Vec::new(),
            images: None,
            items: None,
            responses: 0,
            notes: Vec::new(),
            transcriber: None,
        }
    }

    /// Whether events are still parsed in search of the model's name.
    pub(crate) const fn wants_head(&self) -> bool {
        self.model.is_none() && self.events <= HEAD_EVENTS_MAX
    }

    pub(crate) fn set_model(&mut self, name: Option<View<'_>>) {
        if let Some(name) = name.and_then(View::word) {
            match &self.model {
                Some(known) if known == name => {}
                _ => self.model = Some(clip(name, 256)),
            }
        }
    }

    pub(crate) fn set_id(&mut self, id: Option<View<'_>>) {
        if self.response_id.is_none()
            && let Some(id) = id.and_then(View::word)
        {
            self.response_id = Some(clip(id, 256));
        }
    }

    pub(crate) fn set_tier(&mut self, tier: Option<View<'_>>) {
        if let Some(tier) = tier.and_then(View::word) {
            self.service_tier = Some(clip(tier, 64));
        }
    }

    pub(crate) fn set_stop(&mut self, choice: u64, reason: Option<View<'_>>) {
        let Some(reason) = reason.and_then(View::name) else {
            return;
        };
        if let Some(stop) = self.stops.iter_mut().find(|(index, _)| *index == choice) {
            stop.1 = reason;
        } else if self.stops.len() < CHOICES_MAX {
            self.stops.push((choice, reason));
            self.stops.sort_by_key(|(index, _)| *index);
        }
    }

    /// Counts a tool call once, by whatever tells it apart.
    pub(crate) fn count_call(&mut self, identity: impl Hash) {
        let mut hasher = DefaultHasher::new();
        identity.hash(&mut hasher);
        let hash = hasher.finish();
        if self.calls.contains(&hash) {
            return;
        }
        if self.calls.len() < CALLS_MAX {
            self.calls.push(hash);
        }
        self.tool_calls = self.tool_calls.saturating_add(1);
    }

    /// Forgets the calls counted so far: a document that lists all of them follows.
    pub(crate) fn restart_calls(&mut self) {
        self.calls.clear();
        self.tool_calls = 0;
    }

    /// Notes the container that a code interpreter ran in; calls in the same one are one session.
    pub(crate) fn count_container(&mut self, id: Option<&str>) {
        let id = clip(id.unwrap_or_default(), 64);
        if !self.containers.contains(&id) && self.containers.len() < 32 {
            self.containers.push(id);
        }
    }

    fn code_sessions(&self) -> u64 {
        u64::try_from(self.containers.len()).unwrap_or(u64::MAX)
    }

    pub(crate) fn count_hosted(&mut self, kind: &str) {
        if let Some((_, count)) = self.hosted.iter_mut().find(|(name, _)| name == kind) {
            *count = count.saturating_add(1);
        } else if self.hosted.len() < 32 {
            self.hosted.push((clip(kind, 64), 1));
        }
    }

    /// Adds another answer's counts: realtime sessions and batch results.
    pub(crate) fn add_usage(&mut self, more: Usage) {
        fn add(sum: &mut Option<u64>, more: Option<u64>) {
            if let Some(more) = more {
                *sum = Some(sum.unwrap_or(0).saturating_add(more));
            }
        }
        self.usage_seen = true;
        let sum = &mut self.usage;
        for (sum, more) in [
            (&mut sum.input, more.input),
            (&mut sum.input_uncached, more.input_uncached),
            (&mut sum.cached_read, more.cached_read),
            (&mut sum.cache_write, more.cache_write),
            (&mut sum.cache_write_5m, more.cache_write_5m),
            (&mut sum.cache_write_1h, more.cache_write_1h),
            (&mut sum.output, more.output),
            (&mut sum.reasoning, more.reasoning),
            (&mut sum.total, more.total),
            (&mut sum.input_audio, more.input_audio),
            (&mut sum.input_image, more.input_image),
            (&mut sum.cached_audio, more.cached_audio),
            (&mut sum.output_audio, more.output_audio),
            (&mut sum.output_image, more.output_image),
            (&mut sum.web_searches, more.web_searches),
            (&mut sum.web_fetches, more.web_fetches),
        ] {
            add(sum, more);
        }
        let room = SIDE_MAX.saturating_sub(sum.side.len());
        sum.side.extend(more.side.into_iter().take(room));
    }

    /// The normalised counts as known now.
    pub(crate) fn settle(&mut self) -> Usage {
        let mut usage = match self.fold {
            Fold::Anthropic | Fold::Converse => {
                let side = std::mem::take(&mut self.usage.side);
                Usage {
                    side,
                    ..self.apart.usage(&mut self.notes)
                }
            }
            Fold::Invoke => bedrock_invoke::settle(self),
            _ => self.usage.clone(),
        };
        if self.candidates_dropped {
            note(&mut self.notes, "last_usage_drops_candidates");
        }
        let hosted = |kinds: &[&str]| -> u64 {
            self.hosted
                .iter()
                .filter(|(name, _)| kinds.contains(&name.as_str()))
                .map(|(_, count)| u64::from(*count))
                .sum()
        };
        if !self.hosted.is_empty() {
            let searches = hosted(&["web_search_call"]);
            let all: u64 = self.hosted.iter().map(|(_, count)| u64::from(*count)).sum();
            if usage.web_searches.is_none() && searches > 0 {
                usage.web_searches = Some(searches);
            }
            if all > searches {
                usage.hosted_tools = Some(all - searches);
            }
            let some = |count: u64| Some(count).filter(|count| *count > 0);
            usage.file_searches = some(hosted(&["file_search_call"]));
            usage.code_sessions = some(self.code_sessions());
        }
        usage.images = usage.images.or(self.images);
        usage.tier = self.service_tier.as_deref().and_then(tier);
        usage
    }
}

/// The price tier that a provider's word stands for; `None` for the ordinary one (`default`, `standard`, `ON_DEMAND`), for
/// capacity that is paid for otherwise (`scale`, `PROVISIONED_THROUGHPUT`), and for words that are not known.
fn tier(word: &str) -> Option<ServiceTier> {
    ServiceTier::parse(&word.to_ascii_lowercase())
}

/// Judges an event of a stream by its raw bytes. `name` is the event's type where the framing carries one.
pub(crate) fn interest(state: &State, name: &[u8], raw: &[u8]) -> Interest {
    match state.fold {
        Fold::Chat => openai_chat::interest(state, raw),
        Fold::Responses => openai_responses::interest(state, raw),
        Fold::Anthropic => anthropic::interest(raw),
        Fold::Gemini => gemini::interest(state, raw),
        Fold::Converse => bedrock_converse::interest(name),
        Fold::Invoke => bedrock_invoke::interest(raw),
        Fold::Ollama => ollama::interest(state, raw),
        Fold::Media => openai_media::interest(raw),
        Fold::GeminiEmbed | Fold::Predict | Fold::Counting | Fold::Batches | Fold::Realtime | Fold::Live => {
            Interest::Parse
        }
    }
}

/// Folds one parsed event in.
pub(crate) fn event(state: &mut State, name: &[u8], view: View<'_>) {
    match state.fold {
        Fold::Chat => openai_chat::event(state, view),
        Fold::Responses => openai_responses::event(state, name, view),
        Fold::Anthropic => anthropic::event(state, name, view),
        Fold::Gemini => gemini::event(state, view),
        Fold::Converse => bedrock_converse::event(state, name, view),
        Fold::Invoke => bedrock_invoke::event(state, view),
        Fold::Ollama => ollama::event(state, view),
        Fold::Media => openai_media::event(state, name, view),
        Fold::Batches => batches::line(state, view),
        Fold::Realtime => realtime::message(state, view),
        Fold::Live => realtime::live_message(state, view),
        Fold::GeminiEmbed | Fold::Predict | Fold::Counting => document(state, view),
    }
}

/// Folds in a body that is one JSON document.
pub(crate) fn document(state: &mut State, view: View<'_>) {
    if state.status >= 400 {
        state.error = Some(provider_error::read(view));
        return;
    }
    match state.fold {
        Fold::Chat => openai_chat::document(state, view),
        Fold::Responses => openai_responses::document(state, view),
        Fold::Anthropic => anthropic::document(state, view),
        Fold::Gemini | Fold::GeminiEmbed => gemini::document(state, view),
        Fold::Converse => bedrock_converse::document(state, view),
        Fold::Invoke => bedrock_invoke::document(state, view),
        Fold::Ollama => ollama::event(state, view),
        Fold::Media => openai_media::document(state, view),
        Fold::Predict => vertex_predict::document(state, view),
        Fold::Counting => counting::document(state, view),
        Fold::Batches => batches::document(state, view),
        Fold::Realtime => realtime::message(state, view),
        Fold::Live => realtime::live_message(state, view),
    }
    if !state.usage_seen
        && state.fold != Fold::Responses
        && state.stream_error.is_none()
        && let Some(error) = view.get("error")
        && (error.is_object() || error.word().is_some())
    {
        state.stream_error = Some(provider_error::read(view));
    }
}
