//! What a request consumed: token counts as the provider stated them, and the one record a request leaves.
//!
//! Unknown is a state, never 0: every count is an `Option`. Counts are normalised so that one cost rule fits
//! every provider: `input = input_uncached + cached_read + cache_write`, and `output` holds all generated
//! tokens, reasoning included.

use rkyv::{Archive, Deserialize, Serialize};

use crate::api::{ApiKind, named_enum};
use crate::ids::{Epoch, RequestId, ShardId};
use crate::quota::Charge;
use crate::units::{NanoUsd, UnixMicros};

/// Token counts of one response, normalised. `None` means the provider did not say.
#[derive(Archive, Serialize, Deserialize, Clone, Debug, Default, PartialEq, Eq)]
pub struct Usage {
    /// All prompt tokens: uncached, read from and written to the provider's cache, tool-use prompt tokens.
    pub input: Option<u64>,
    /// `input` less cache reads and writes, never below 0.
    pub input_uncached: Option<u64>,
    /// Tokens read from the provider's prompt cache.
    pub cached_read: Option<u64>,
    /// Tokens written to the provider's prompt cache, both lifetimes.
    pub cache_write: Option<u64>,
    /// Of `cache_write`: kept for 5 minutes.
    pub cache_write_5m: Option<u64>,
    /// Of `cache_write`: kept for 1 hour.
    pub cache_write_1h: Option<u64>,
    /// All generated tokens, reasoning included.
    pub output: Option<u64>,
    /// Of `output`: reasoning ("thinking").
    pub reasoning: Option<u64>,
    /// The provider's own total, if it gives one.
    pub total: Option<u64>,
    /// Of `input`: audio tokens.
    pub input_audio: Option<u64>,
    /// Of `input`: image tokens.
    pub input_image: Option<u64>,
    /// Of `cached_read`: audio tokens.
    pub cached_audio: Option<u64>,
    /// Of `output`: audio tokens.
    pub output_audio: Option<u64>,
    /// Of `output`: image tokens.
    pub output_image: Option<u64>,
    /// Audio billed by time instead of tokens, in milliseconds.
    pub audio_ms: Option<u64>,
    /// Hosted web searches the provider ran and bills.
    pub web_searches: Option<u64>,
    /// Hosted web page fetches.
    pub web_fetches: Option<u64>,
    /// Other hosted tool calls (file search, code interpreter, image generation).
    pub hosted_tools: Option<u64>,
    /// Of `hosted_tools`: searches in uploaded files.
    pub file_searches: Option<u64>,
    /// Of `hosted_tools`: sessions of a code interpreter that were used.
    pub code_sessions: Option<u64>,
    /// Images in the answer to an image call.
    pub images: Option<u64>,
    /// Price tier that the answer names; `None`: the ordinary one, or none named.
    pub tier: Option<ServiceTier>,
    /// Cost that the provider itself stated, in nanodollars, rounded half up.
    pub stated_cost: Option<NanoUsd>,
    /// Work billed on top of the counts above.
    pub side: Vec<SideUsage>,
}

impl Usage {
    /// Whether the provider stated anything that it bills by.
    #[must_use]
    pub fn is_known(&self) -> bool {
        self.input.is_some()
            || self.output.is_some()
            || self.total.is_some()
            || self.audio_ms.is_some()
            || self.images.is_some()
    }
}

/// Work billed beside the main counts, e.g. a compaction or an advisor model (Anthropic `usage.iterations`).
#[derive(Archive, Serialize, Deserialize, Clone, Debug, Default, PartialEq, Eq)]
pub struct SideUsage {
    /// The provider's word for it, e.g. `compaction`.
    pub kind: String,
    /// The model that did it; `None` means the model of the response.
    pub model: Option<String>,
    /// Its counts, with no side work of their own; in the meaning of [`Usage`].
    pub input: Option<u64>,
    /// See [`Usage::input_uncached`].
    pub input_uncached: Option<u64>,
    /// See [`Usage::cached_read`].
    pub cached_read: Option<u64>,
    /// See [`Usage::cache_write`].
    pub cache_write: Option<u64>,
    /// See [`Usage::cache_write_5m`].
    pub cache_write_5m: Option<u64>,
    /// See [`Usage::cache_write_1h`].
    pub cache_write_1h: Option<u64>,
    /// See [`Usage::output`].
    pub output: Option<u64>,
}

named_enum! {
    /// A price tier other than the ordinary one.
    ServiceTier {
        /// Answered within a day.
        Batch = "batch",
        /// Answered when there is room.
        Flex = "flex" | "on_demand_flex",
        /// Answered first.
        Priority = "priority" | "on_demand_priority",
    }
}

named_enum! {
    /// How the usage of a record is known.
    Known {
        /// The provider stated it and the answer came to its end.
        Reported = "reported",
        /// The answer was cut; the counts are those that had arrived.
        Partial = "partial",
        /// Computed by Sluice.
        Estimated = "estimated",
        /// Nobody said.
        Unknown = "unknown",
    }
}

named_enum! {
    /// How a request ended.
    Ended {
        /// The whole answer reached the client, errors of the provider included.
        Complete = "complete",
        /// The client left first.
        ClientGone = "client_gone",
        /// The provider failed: no connection, no answer in time, an answer cut short or against the protocol.
        UpstreamFailed = "upstream_failed",
        /// A quota ran out in the middle.
        CutByQuota = "cut_by_quota",
        /// Refused by Sluice: grant, guardrail, limit.
        Blocked = "blocked",
        /// The process died while the request was running; written by the recovery.
        Aborted = "aborted",
    }
}

/// The one record that every request leaves. Written to the journal by the data plane, stored by the control
/// plane under [`UsageRecord::request_id`], exactly once.
#[derive(Archive, Serialize, Deserialize, Clone, Debug, PartialEq, Eq)]
pub struct UsageRecord {
    /// Identity of the request, also sent to the client as `x-sluice-request-id`.
    pub request_id: RequestId,
    /// When the head of the request had been read.
    pub time: UnixMicros,
    /// Shard that served it.
    pub shard: ShardId,
    /// Configuration that the request began with.
    pub epoch: Epoch,
    /// Login of the principal; for a tagged device its tags, sorted, joined by `,`. Empty: not identified.
    pub user: String,
    /// Stable node id of the principal, or its address where the source knows no nodes.
    pub node: String,
    /// Tags of the principal.
    pub tags: Vec<String>,
    /// Wire format of the call.
    pub api: ApiKind,
    /// Path as received, without the query.
    pub path: String,
    /// Provider that served it; empty if none was chosen.
    pub provider: String,
    /// Model as the client named it.
    pub model_asked: String,
    /// Model as the provider named it in the answer.
    pub model_answered: Option<String>,
    /// Status that the client got; 0 if it got none.
    pub status: u16,
    /// Whether the answer was a stream of events.
    pub stream: bool,
    /// How it ended.
    pub ended: Ended,
    /// How the usage is known.
    pub usage_known: Known,
    /// Token counts.
    pub usage: Usage,
    /// Cost; `None` where the model has no price or the usage is unknown.
    pub cost: Option<NanoUsd>,
    /// Whether a price was found for the model.
    pub priced: bool,
    /// The provider's own word for why generation stopped.
    pub stop_reason: Option<String>,
    /// Tool calls in the answer.
    pub tool_calls: u32,
    /// Code of the error that Sluice made or that the provider sent, if any.
    pub error: Option<String>,
    /// From the head of the request to the first byte of the answer's body, in microseconds.
    pub ttft_us: Option<u64>,
    /// From the head of the request to its end, in microseconds.
    pub duration_us: u64,
    /// Session key that the client sent, if any (at most 256 bytes).
    pub session: Option<String>,
    /// `user-agent` of the client, cut to 256 bytes.
    pub user_agent: Option<String>,
    /// Body bytes of the request as received.
    pub request_bytes: u64,
    /// Body bytes of the answer as sent to the client.
    pub response_bytes: u64,
    /// What was taken from which bucket; while the request runs: what is reserved for it.
    pub charges: Vec<Charge>,
    /// Where the session key comes from.
    pub session_source: SessionSource,
    /// Agent within the session that made the call, as the client says (at most 256 bytes); `None`: the main one.
    pub agent: Option<String>,
    /// Agent or session that started it, as the client says.
    pub parent: Option<String>,
    /// What became of its capture.
    pub capture: Capture,
    /// What hooks and guardrails said of it, in order; at most [`VERDICTS_MAX`].
    pub verdicts: Vec<Verdict>,
    /// From the head of the request until the whole of it was written to a provider, in microseconds: reading its body,
    /// identity, hooks, guardrails, budgets, connecting. `None`: no provider got the whole of it, or the process died.
    pub queued_us: Option<u64>,
    /// Providers that were tried, the one that served it included; 0: it got that far to none.
    pub attempts: u32,
}

/// Most verdicts of one record; findings beyond are added to the last of the same rule, or left out.
pub const VERDICTS_MAX: usize = 16;

named_enum! {
    /// Where a session key comes from.
    SessionSource {
        /// There is none: the request stands for itself.
        None = "none",
        /// A header of the client.
        Header = "header",
        /// A field of the request body.
        Body = "body",
        /// The conversation's beginning: a hash of the system prompt and the first user message.
        Fingerprint = "fingerprint",
    }
}

named_enum! {
    /// What became of the capture of a request.
    Capture {
        /// Nobody wanted one.
        Off = "off",
        /// It stands in the capture segments, whole or up to where it was cut.
        Written = "written",
        /// It was wanted and there was no room.
        Dropped = "dropped",
    }
}

named_enum! {
    /// Who gave a verdict.
    Judge {
        /// A web service.
        Hook = "hook",
        /// A built-in rule.
        Guardrail = "guardrail",
    }
}

named_enum! {
    /// What was decided.
    Action {
        /// The call goes on.
        Allow = "allow",
        /// It goes on, and something was noted.
        Log = "log",
        /// Parts of it were replaced.
        Redact = "redact",
        /// The request was replaced.
        Modify = "modify",
        /// It ends here.
        Block = "block",
        /// The judge could not be heard; its policy decided.
        Failed = "failed",
    }
}

/// What a hook or a guardrail said of a request.
#[derive(Archive, Serialize, Deserialize, Clone, Debug, PartialEq, Eq)]
pub struct Verdict {
    /// Who.
    pub judge: Judge,
    /// Name of the hook or the guardrail.
    pub name: String,
    /// What was decided.
    pub action: Action,
    /// Nothing of it was done: the rule is in shadow mode.
    pub shadow: bool,
    /// It is about the answer.
    pub on_answer: bool,
    /// What was found, by the name of the detector or part of the rule, or why a hook failed; never what was matched. At
    /// most 128 bytes.
    pub what: String,
    /// How often.
    pub count: u32,
    /// How long it took, in microseconds; 0 where it was not measured.
    pub took_us: u64,
}

impl UsageRecord {
    /// A record with nothing but its identity: the draft that a running request fills.
    #[must_use]
    pub fn draft(
        request_id: RequestId,
        time: UnixMicros,
        shard: ShardId,
        epoch: Epoch,
        api: ApiKind,
    ) -> Self {
        Self {
            request_id,
            time,
            shard,
            epoch,
            user: String::new(),
            node: String::new(),
            tags: Vec::new(),
            api,
            path: String::new(),
            provider: String::new(),
            model_asked: String::new(),
            model_answered: None,
            status: 0,
            stream: false,
            ended: Ended::Aborted,
            usage_known: Known::Unknown,
            usage: Usage::default(),
            cost: None,
            priced: false,
            stop_reason: None,
            tool_calls: 0,
            error: None,
            ttft_us: None,
            duration_us: 0,
            session: None,
            user_agent: None,
            request_bytes: 0,
            response_bytes: 0,
            charges: Vec::new(),
            session_source: SessionSource::None,
            agent: None,
            parent: None,
            capture: Capture::Off,
            verdicts: Vec::new(),
            queued_us: None,
            attempts: 0,
        }
    }
}
