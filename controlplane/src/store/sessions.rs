//! Sessions: requests of one conversation, by the key that their client sent or that its beginning gives, within one
//! principal. What a session adds up to stands in rows of its own, so that a list reads as many rows as it shows.
//!
//! Rows are written with the requests, in one transaction: what a batch holds of a session is gathered first, so that a
//! session costs one row a batch, however many requests it has in it. A request without a key, or of nobody, is in no
//! session: it stands for itself, and a row for each would say what its record says.

mod client;
mod gather;
mod read;
#[cfg(test)]
mod tests;
pub(crate) mod top;

use ring::digest::{Context, SHA256};
use sluice_shared::ids::RequestId;
use sluice_shared::units::UnixMicros;
use sluice_shared::usage::{SessionSource, UsageRecord};

use super::{Pending, StoreError, Totals};

pub(crate) use client::client;
pub(super) use gather::{Gathered, amend};

/// Public identity of a session: stable, and telling neither login nor key.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(crate) struct SessionId(pub(crate) [u8; 16]);

impl SessionId {
    /// The session of a key within a principal.
    pub(crate) fn of(user: &str, key: &str) -> Self {
        let mut context = Context::new(&SHA256);
        context.update(b"sluice session 1\0");
        // With its length in front, no login runs into a key.
        context.update(&(user.len() as u64).to_be_bytes());
        context.update(user.as_bytes());
        context.update(key.as_bytes());
        let mut id = [0; 16];
        for (to, from) in id.iter_mut().zip(context.finish().as_ref()) {
            *to = *from;
        }
        Self(id)
    }

    /// Reads 32 hexadecimal digits.
    pub(crate) fn parse(text: &str) -> Option<Self> {
        let digits = text.as_bytes();
        if digits.len() != 32 || !digits.iter().all(u8::is_ascii_hexdigit) {
            return None;
        }
        let mut id = [0; 16];
        for (byte, pair) in id.iter_mut().zip(digits.chunks(2)) {
            *byte = u8::from_str_radix(std::str::from_utf8(pair).ok()?, 16).ok()?;
        }
        Some(Self(id))
    }
}

impl std::fmt::Display for SessionId {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        self.0.iter().try_for_each(|byte| write!(f, "{byte:02x}"))
    }
}

macro_rules! clients {
    ($($variant:ident = $name:literal,)*) => {
        /// A program that talks to models. Stored as its index: the order is part of the file's layout.
        #[derive(Debug, Clone, Copy, PartialEq, Eq)]
        pub(crate) enum Client { $($variant,)* }

        impl Client {
            pub(crate) const ALL: &[Self] = &[$(Self::$variant,)*];

            pub(crate) const fn name(self) -> &'static str {
                match self { $(Self::$variant => $name,)* }
            }
        }
    };
}

clients! {
    Unknown = "unknown",
    Other = "other",
    ClaudeCode = "claude-code",
    Codex = "codex",
    GeminiCli = "gemini-cli",
    Opencode = "opencode",
    Aider = "aider",
    LiteLlm = "litellm",
    Copilot = "copilot",
    OpenAiSdk = "openai-sdk",
    AnthropicSdk = "anthropic-sdk",
    GoogleSdk = "google-sdk",
    GroqSdk = "groq-sdk",
    MistralSdk = "mistral-sdk",
    VercelSdk = "vercel-sdk",
    Curl = "curl",
}

/// What requests add up to.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct Sum {
    pub(crate) totals: Totals,
    /// Tool calls in answers.
    pub(crate) tool_calls: u64,
    /// Time from heads of requests to their ends, added up; what ran side by side counts several times.
    pub(crate) busy_us: u64,
}

/// A session as it is listed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct SessionRow {
    pub(crate) number: i64,
    pub(crate) id: SessionId,
    pub(crate) user: String,
    /// Of the last request.
    pub(crate) node: String,
    pub(crate) key: String,
    /// Of the first request, as are the client and its user agent.
    pub(crate) source: SessionSource,
    pub(crate) client: Client,
    pub(crate) user_agent: Option<String>,
    /// The session that started this one; it need not be there.
    pub(crate) parent: Option<SessionId>,
    /// When the first request began.
    pub(crate) first: UnixMicros,
    /// When the last one began.
    pub(crate) last: UnixMicros,
    pub(crate) sum: Sum,
}

/// What an agent beside the main one did in a session.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct AgentRow {
    pub(crate) agent: String,
    pub(crate) parent: Option<String>,
    pub(crate) first: UnixMicros,
    pub(crate) last: UnixMicros,
    pub(crate) sum: Sum,
}

/// What a model did in a session; without a name: requests that reached no provider.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct ModelRow {
    pub(crate) model: String,
    pub(crate) sum: Sum,
}

/// How often a tool was called in a session, in answers that were captured and kept.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct ToolRow {
    pub(crate) name: String,
    pub(crate) calls: u64,
}

/// A session with its parts.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct SessionDetail {
    pub(crate) session: SessionRow,
    /// By first request; at most [`PARTS_MAX`].
    pub(crate) agents: Vec<AgentRow>,
    /// By requests; at most [`PARTS_MAX`].
    pub(crate) models: Vec<ModelRow>,
    /// By calls; at most [`PARTS_MAX`].
    pub(crate) tools: Vec<ToolRow>,
    /// Sessions that this one started, by first request; at most [`PARTS_MAX`].
    pub(crate) children: Vec<SessionRow>,
}

/// Most agents, models and started sessions of one answer.
pub(crate) const PARTS_MAX: usize = 500;

/// Which sessions are wanted, those with the latest request first.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct SessionQuery {
    pub(crate) user: Option<String>,
    pub(crate) client: Option<Client>,
    /// As asked for.
    pub(crate) model: Option<String>,
    /// The last request began then, or later.
    pub(crate) since: Option<UnixMicros>,
    /// The last request began before.
    pub(crate) until: Option<UnixMicros>,
    /// Only what comes after this one in the list: its last request and its number.
    pub(crate) after: Option<(UnixMicros, i64)>,
    pub(crate) limit: u32,
}

/// The part of a store that holds sessions.
pub(crate) trait SessionRows {
    /// Sessions. One that goes on while pages are read moves to the front of the list.
    fn sessions<'a>(&'a self, query: &'a SessionQuery) -> Pending<'a, Vec<SessionRow>>;
    /// A session with its parts.
    fn session(&self, id: SessionId) -> Pending<'_, Option<SessionDetail>>;
    /// Requests of a session, newest first: those that come after `after`.
    fn session_requests(
        &self,
        number: i64,
        after: Option<(UnixMicros, RequestId)>,
        limit: u32,
    ) -> Pending<'_, Vec<UsageRecord>>;
}

/// Names of the columns of a [`Sum`].
fn sum_columns() -> Vec<&'static str> {
    let mut columns = super::rollup::COLUMNS.to_vec();
    columns.extend(["tool_calls", "busy_us"]);
    columns
}

impl Sum {
    fn add(&mut self, more: &Self) {
        super::rollup::add(&mut self.totals, &more.totals);
        let cap = |a: u64, b: u64| a.saturating_add(b).min(super::rollup::CAP);
        self.tool_calls = cap(self.tool_calls, more.tool_calls);
        self.busy_us = cap(self.busy_us, more.busy_us);
    }

    /// What is left without a part of it.
    pub(crate) fn less(mut self, part: &Self) -> Self {
        let parts = super::rollup::columns(&part.totals);
        for (left, part) in super::rollup::columns_mut(&mut self.totals)
            .into_iter()
            .zip(parts)
        {
            *left = left.saturating_sub(part);
        }
        self.tool_calls = self.tool_calls.saturating_sub(part.tool_calls);
        self.busy_us = self.busy_us.saturating_sub(part.busy_us);
        self
    }

    /// In the order of [`sum_columns`].
    fn values(&self) -> [i64; 13] {
        let [a, b, c, d, e, f, g, h, i, j, k] = super::rollup::columns(&self.totals).map(super::detail::int);
        let (tools, busy) = (
            super::detail::int(self.tool_calls),
            super::detail::int(self.busy_us),
        );
        [a, b, c, d, e, f, g, h, i, j, k, tools, busy]
    }

    fn of_values(values: [i64; 13]) -> Result<Self, StoreError> {
        let natural = |value: i64| u64::try_from(value).map_err(|_| StoreError::Column("sum"));
        let mut sum = Self::default();
        let [sums @ .., tools, busy] = values;
        for (to, from) in super::rollup::columns_mut(&mut sum.totals).into_iter().zip(sums) {
            *to = natural(from)?;
        }
        (sum.tool_calls, sum.busy_us) = (natural(tools)?, natural(busy)?);
        Ok(sum)
    }
}
