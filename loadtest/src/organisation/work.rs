//! What is asked, request by request, in the order of time.
//!
//! Each hour has its number of requests, at random moments. At each, the session that has waited longest goes on; if none
//! is due, somebody begins a new one. So sessions overlap as much as there is traffic, and the number of requests is exact.

use std::collections::BTreeMap;
use std::sync::Arc;

use sluice_shared::api::ApiKind;
use sluice_shared::ids::{Epoch, RequestId, ShardId};
use sluice_shared::units::{NanoUsd, UnixMicros};
use sluice_shared::usage::{Action, Capture, Ended, Judge, Known, SessionSource, UsageRecord, Verdict};

use super::Shape;
use super::draw::{Draw, sums};
use super::hours::{HOUR_US, spread, weights};
use super::models::{CATALOGUE, Model, named};
use super::people::{Organisation, Person};
use super::talk::Told;

/// What somebody asks with.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Client {
    ClaudeCode,
    Codex,
    GeminiCli,
    Opencode,
    /// A chat over an SDK, whose sessions are told by how they begin.
    Chat,
    /// Single calls from a notebook.
    Notebook,
    /// A coding agent without a person.
    Headless,
    /// A program that embeds.
    Embedder,
    /// A program that asks.
    Script,
}

/// A request, and what was said in it if that is told.
#[derive(Clone, Debug)]
pub struct Asked {
    /// Its record.
    pub record: UsageRecord,
    /// Its conversation up to here.
    pub told: Option<Told>,
}

/// Longest that a session waits for its turn before it is given up.
const PATIENCE_US: u64 = 3 * HOUR_US;

/// A session that goes on.
#[derive(Debug)]
struct Live {
    person: usize,
    client: Client,
    key: Option<Arc<str>>,
    source: SessionSource,
    user_agent: &'static str,
    main: usize,
    small: usize,
    left: u64,
    /// Tokens of the conversation so far.
    context: u64,
    /// Agents beside the main one, with what each has left to do and its tokens.
    agents: Vec<(String, u64, u64)>,
    /// Number of the story, and answers so far, if it is told.
    told: Option<(u64, u32)>,
}

/// Requests in the order of time.
#[derive(Debug)]
pub struct Work {
    shape: Shape,
    organisation: Arc<Organisation>,
    draw: Draw,
    /// Requests of each hour, the first hour, and the one that is told now.
    hours: Vec<u64>,
    first: u64,
    at: usize,
    /// Moments of this hour that are still to come, the last first.
    moments: Vec<u64>,
    live: BTreeMap<(u64, u64), Live>,
    begun: u64,
    given: u64,
    captures: u64,
    told_share: Option<f64>,
    process: u64,
    trouble: Trouble,
}

/// A provider that has a bad hour.
#[derive(Clone, Copy, Debug, Default)]
struct Trouble {
    provider: Option<&'static str>,
}

impl Work {
    /// The requests of an organisation.
    #[must_use]
    pub fn new(shape: Shape, organisation: Arc<Organisation>) -> Self {
        let hours = u64::from(shape.days.max(1)) * 24;
        // The last hour may be cut short by the end.
        let first = (shape.end / HOUR_US)
            .saturating_sub(hours.saturating_sub(u64::from(!shape.end.is_multiple_of(HOUR_US))));
        Self {
            shape,
            organisation,
            draw: Draw::new(shape.seed),
            hours: spread(first, hours, shape.requests),
            first,
            at: 0,
            moments: Vec::new(),
            live: BTreeMap::new(),
            begun: 0,
            given: 0,
            captures: 0,
            told_share: None,
            process: 0,
            trouble: Trouble::default(),
        }
    }

    /// Moments of the next hour that has any.
    fn fill(&mut self) {
        while self.moments.is_empty() {
            let Some(count) = self.hours.get(self.at).copied() else {
                return;
            };
            let begin = (self.first + self.at as u64) * HOUR_US;
            let length = HOUR_US.min(self.shape.end.saturating_sub(begin)).max(1);
            let draw = &mut self.draw;
            self.moments = (0..count).map(|_| begin + draw.below(length)).collect();
            self.moments.sort_unstable_by(|a, b| b.cmp(a));
            self.at += 1;
            // Twice a week somebody has a bad hour.
            let bad = draw.happens(2.0 / 168.0);
            let who = *draw.one(&["anthropic", "anthropic", "openai", "google", "bedrock", "local"]);
            self.trouble.provider = bad.then_some(who);
            // Processes are started anew with new versions.
            if self.at % 60 == 1 {
                self.process = draw.next();
            }
        }
    }

    fn told_share(&mut self) -> f64 {
        let left = self.shape.requests.saturating_sub(self.given);
        // Conversations are told of the last two weeks.
        let window = self.shape.requests.saturating_mul(14) / u64::from(self.shape.days.max(14));
        if left > window || self.captures >= self.shape.captures {
            return 0.0;
        }
        #[allow(clippy::cast_precision_loss, reason = "counts are small")]
        *self
            .told_share
            .get_or_insert_with(|| (self.shape.captures as f64 / (left.max(1) as f64 * 0.45)).min(1.0))
    }

    fn begin(&mut self, time: u64) -> Live {
        let region = {
            let sums = sums(weights(time / HOUR_US));
            self.draw.place(&sums)
        };
        let share = self.told_share();
        let (draw, shape) = (&mut self.draw, &self.shape);
        let whole = u64::from(shape.days.max(1)) * 24 * HOUR_US;
        #[allow(clippy::cast_precision_loss, reason = "a part of 1 is enough")]
        let part = 1.0 - (shape.end.saturating_sub(time)) as f64 / whole as f64;
        let person = self.organisation.somebody(region, part, draw);
        let who = self.organisation.people.get(person);
        // Nobody uses one thing only.
        let client = match who.map_or(Client::Chat, |who| who.client) {
            Client::ClaudeCode | Client::Codex | Client::GeminiCli | Client::Opencode
                if draw.happens(0.12) =>
            {
                Client::Chat
            }
            Client::Chat | Client::Notebook if draw.happens(0.15) => Client::ClaudeCode,
            client => client,
        };
        self.begun += 1;
        let number = self.begun;
        let (user_agent, main, small, length) = plan(client, part, draw);
        let (key, source): (Option<Arc<str>>, SessionSource) = match client {
            Client::ClaudeCode | Client::Headless => (Some(uuid(draw).into()), SessionSource::Header),
            Client::Codex => (Some(uuid(draw).into()), SessionSource::Header),
            Client::GeminiCli => (None, SessionSource::None),
            Client::Opencode => (
                Some(format!("ses_{:020x}", draw.next()).into()),
                SessionSource::Header,
            ),
            Client::Chat => (
                Some(format!("fp-{:016x}", draw.next()).into()),
                SessionSource::Fingerprint,
            ),
            Client::Notebook | Client::Embedder | Client::Script => (None, SessionSource::None),
        };
        let told = matches!(client, Client::ClaudeCode | Client::Chat) && draw.happens(share);
        Live {
            person,
            client,
            key,
            source,
            user_agent,
            main,
            small,
            left: length.max(1),
            context: 0,
            agents: Vec::new(),
            told: told.then_some((number, 0)),
        }
    }

    /// The next request of a session at a moment, and after how long it goes on.
    fn step(&mut self, live: &mut Live, time: u64) -> (Asked, u64) {
        let draw = &mut self.draw;
        live.left -= 1;
        let coding = matches!(live.client, Client::ClaudeCode | Client::Headless);
        // A few tasks are given to agents of their own.
        if coding && live.told.is_none() && live.agents.len() < 3 && live.left > 8 && draw.happens(0.025) {
            let id = format!("agent-{:06x}", draw.next() >> 40);
            live.agents.push((id, 3 + draw.count(7.0, 0.6), 9_000));
        }
        let agent = if live.agents.is_empty() || draw.happens(0.3) {
            None
        } else {
            let at = usize::try_from(draw.below(live.agents.len() as u64)).unwrap_or(0);
            let (id, left, context) = &mut live.agents[at];
            *left -= 1;
            *context += 1_500;
            let found = (id.clone(), *context);
            if *left == 0 {
                live.agents.swap_remove(at);
            }
            Some(found)
        };
        let helper = coding && agent.is_none() && live.told.is_none() && draw.happens(0.14);
        let which = match (&agent, helper) {
            (Some(_), _) if draw.happens(0.5) => live.small,
            (_, true) => live.small,
            _ => live.main,
        };
        let counting = helper && draw.happens(0.12);
        // The entry that counts stands fifth.
        let model = if counting { CATALOGUE[4] } else { CATALOGUE[which] };
        let nothing = Person::nobody();
        let person = self.organisation.people.get(live.person).unwrap_or(&nothing);
        let shard = ShardId(u16::try_from(draw.below(4)).unwrap_or(0));
        let sequence = u32::try_from(self.given & 0xf_ffff).unwrap_or(0);
        let id = RequestId::new(time / 1_000, shard, sequence, self.process);
        let epoch = Epoch(1 + u64::try_from(self.at).unwrap_or(0) / 60);
        let mut r = UsageRecord::draft(id, UnixMicros(time), shard, epoch, model.api);
        r.user.clone_from(&person.login);
        r.tags.clone_from(&person.tags);
        r.node.clone_from(&person.node);
        model.path.clone_into(&mut r.path);
        model.provider.clone_into(&mut r.provider);
        model.asked.clone_into(&mut r.model_asked);
        r.session = live.key.as_deref().map(str::to_owned);
        r.session_source = live.source;
        r.user_agent = Some(live.user_agent.to_owned());
        let context = match &agent {
            Some((_, context)) => *context,
            None if helper => 900,
            None => live.context,
        };
        r.agent = agent.map(|(id, _)| id);
        answer(&mut r, &model, live.client, context, draw);
        fail(&mut r, self.trouble, draw);
        judge(&mut r, draw);
        price(&mut r, &model);
        if r.status == 200 && r.agent.is_none() && !helper {
            let grown = r.usage.input.unwrap_or(0) + r.usage.output.unwrap_or(0);
            // A conversation that is full is made short.
            live.context = if grown > 160_000 { 24_000 } else { grown };
        }
        let mut told = None;
        if let Some((story, turn)) = live.told {
            let left = self.captures < self.shape.captures;
            if left && !r.provider.is_empty() {
                r.capture = Capture::Written;
                self.captures += 1;
                told = Some(Told { story, turn });
                live.told = Some((story, turn + u32::from(r.status == 200)));
            }
        }
        let pause = match live.client {
            Client::Embedder | Client::Script => draw.count(1_500_000.0, 1.0),
            Client::Chat | Client::Notebook => draw.count(45_000_000.0, 1.0),
            _ if live.agents.is_empty() && draw.happens(0.12) => draw.count(90_000_000.0, 0.9),
            _ => draw.count(5_000_000.0, 0.8),
        };
        let pause = r.duration_us.saturating_add(pause);
        (Asked { record: r, told }, pause)
    }
}

impl Iterator for Work {
    type Item = Asked;

    fn next(&mut self) -> Option<Asked> {
        self.fill();
        let time = self.moments.pop()?;
        let mut found = None;
        while let Some(entry) = self.live.first_entry().filter(|entry| entry.key().0 <= time) {
            let ((due, number), live) = entry.remove_entry();
            if time - due <= PATIENCE_US {
                found = Some((number, live));
                break;
            }
        }
        let (number, mut live) = match found {
            Some(found) => found,
            None => {
                let live = self.begin(time);
                (self.begun, live)
            }
        };
        let (asked, pause) = self.step(&mut live, time);
        self.given += 1;
        if live.left > 0 {
            self.live.insert((time.saturating_add(pause), number), live);
        }
        Some(asked)
    }
}

/// How a client asks at a part of the time: its user agent, its models and how often.
fn plan(client: Client, part: f64, draw: &mut Draw) -> (&'static str, usize, usize, u64) {
    let one = |draw: &mut Draw, of: &[(&str, f64)]| {
        let place = draw.place(&sums(of.iter().map(|(_, weight)| *weight)));
        named(of[place].0)
    };
    let haiku = named("claude-haiku-4-5");
    match client {
        Client::ClaudeCode | Client::Headless => {
            // The new one takes over from the old.
            let new = 0.25 + part;
            let main = one(
                draw,
                &[
                    ("claude-sonnet-4-5", new),
                    ("claude-sonnet-4-20250514", (1.0 - part).max(0.02)),
                    ("claude-opus-4-1", 0.16),
                    ("anthropic.claude-sonnet-4-5-20250929-v1:0", 0.09),
                ],
            );
            let agent = match (client, part < 0.5) {
                (Client::Headless, _) => "claude-cli/2.0.31 (external, sdk-cli)",
                (_, true) => "claude-cli/1.0.128 (external, cli)",
                (_, false) => "claude-cli/2.0.31 (external, cli)",
            };
            (agent, main, haiku, 4 + draw.count(26.0, 1.0).min(900))
        }
        Client::Codex => {
            let main = one(draw, &[("gpt-5-codex", 0.7), ("gpt-5", 0.25), ("o4-mini", 0.05)]);
            (
                "codex_cli_rs/0.50.0 (Mac OS 15.1; arm64)",
                main,
                main,
                3 + draw.count(18.0, 0.9).min(600),
            )
        }
        Client::GeminiCli => {
            let main = one(draw, &[("gemini-2.5-pro", 0.6), ("gemini-2.5-flash", 0.4)]);
            (
                "GeminiCLI/0.9.0 (darwin; arm64)",
                main,
                named("gemini-2.5-flash-lite"),
                3 + draw.count(12.0, 0.9).min(300),
            )
        }
        Client::Opencode => {
            let main = one(
                draw,
                &[
                    ("qwen3-coder-30b", 0.6),
                    ("gpt-oss-120b", 0.3),
                    ("claude-sonnet-4-5", 0.1),
                ],
            );
            (
                "opencode/0.15.2",
                main,
                named("mistral-small-3.2"),
                3 + draw.count(15.0, 0.9).min(300),
            )
        }
        Client::Chat => {
            let main = one(
                draw,
                &[
                    ("gpt-5-mini", 0.34),
                    ("gpt-4.1", 0.2),
                    ("gpt-4o", 0.12),
                    ("gpt-5-nano", 0.08),
                    ("llama-3.3-70b", 0.06),
                    ("gpt-oss-120b", 0.05),
                    ("claude-sonnet-4-5", 0.15),
                ],
            );
            (
                "OpenAI/Python 1.109.1",
                main,
                main,
                1 + draw.count(3.0, 0.8).min(40),
            )
        }
        Client::Notebook => {
            let main = one(
                draw,
                &[
                    ("gpt-4o", 0.3),
                    ("gemini-2.5-flash", 0.25),
                    ("amazon.nova-pro-v1:0", 0.12),
                    ("meta.llama3-3-70b-instruct-v1:0", 0.1),
                    ("text-embedding-3-small", 0.23),
                ],
            );
            (
                "python-httpx/0.28.1",
                main,
                main,
                1 + draw.count(4.0, 1.0).min(60),
            )
        }
        Client::Embedder => {
            let main = one(
                draw,
                &[
                    ("text-embedding-3-large", 0.5),
                    ("text-embedding-3-small", 0.3),
                    ("nomic-embed-text", 0.2),
                ],
            );
            (
                "OpenAI/Python 1.99.6",
                main,
                main,
                10 + draw.count(60.0, 0.8).min(900),
            )
        }
        Client::Script => {
            let main = one(
                draw,
                &[
                    ("gpt-5-nano", 0.3),
                    ("gemini-2.5-flash-lite", 0.3),
                    ("claude-haiku-4-5", 0.2),
                    ("llama-3.3-70b", 0.2),
                ],
            );
            (
                "Go-http-client/2.0",
                main,
                main,
                2 + draw.count(8.0, 0.9).min(200),
            )
        }
    }
}

/// Random bytes as most clients name sessions.
fn uuid(draw: &mut Draw) -> String {
    let (a, b) = (draw.next(), draw.next());
    format!(
        "{:08x}-{:04x}-4{:03x}-{:04x}-{:012x}",
        a >> 32,
        a >> 16 & 0xffff,
        a & 0xfff,
        b >> 48 & 0x3fff | 0x8000,
        b & 0xffff_ffff_ffff
    )
}

/// What is answered when all goes well.
fn answer(r: &mut UsageRecord, model: &Model, client: Client, context: u64, draw: &mut Draw) {
    let coding = matches!(
        client,
        Client::ClaudeCode | Client::Headless | Client::Codex | Client::GeminiCli | Client::Opencode
    );
    (r.status, r.ended, r.usage_known) = (200, Ended::Complete, Known::Reported);
    r.model_answered = Some(model.answered.to_owned());
    let fresh = if coding {
        40 + draw.count(420.0, 1.1)
    } else {
        60 + draw.count(650.0, 1.1)
    };
    let usage = &mut r.usage;
    match model.api {
        ApiKind::AnthropicCountTokens => {
            usage.input = None;
            r.usage_known = Known::Unknown;
            r.response_bytes = 25;
        }
        ApiKind::OpenAiEmbeddings | ApiKind::OllamaEmbed => {
            let tokens = 200 + draw.count(2_500.0, 1.0);
            (usage.input, usage.input_uncached, usage.output) = (Some(tokens), Some(tokens), Some(0));
        }
        api => {
            let system = if coding { 14_000 } else { 300 };
            let cached = if coding && (context > 0 || draw.happens(0.6)) {
                // The beginning is cached, except after a pause.
                if draw.happens(0.94) {
                    context.max(system)
                } else {
                    0
                }
            } else {
                0
            };
            let whole = context.max(if coding { system } else { 0 }) + fresh;
            let write = if api == ApiKind::AnthropicMessages && coding {
                whole - cached - fresh / 8
            } else {
                0
            };
            let uncached = whole.saturating_sub(cached).saturating_sub(write);
            usage.input = Some(uncached + cached + write);
            usage.input_uncached = Some(uncached);
            usage.cached_read = Some(cached);
            if api == ApiKind::AnthropicMessages {
                usage.cache_write = Some(write);
                usage.cache_write_5m = Some(write);
                usage.cache_write_1h = Some(0);
            }
            let output = 8 + draw.count(if coding { 170.0 } else { 330.0 }, 1.0).min(16_000);
            usage.output = Some(output);
            if model.asked.starts_with("gpt-5")
                || model.asked.starts_with("o4")
                || model.asked.starts_with("gemini-2.5-pro")
            {
                usage.reasoning = Some(output / 2);
            }
            if api == ApiKind::OpenAiResponses {
                usage.total = Some(uncached + cached + write + output);
            }
            r.stream = coding || draw.happens(0.55);
            r.tool_calls = match (coding, draw.below(100)) {
                (true, 0..66) => 1,
                (true, 66..76) => 2,
                (true, 76..79) => 3,
                (false, 0..6) => 1,
                _ => 0,
            };
            let stopped = match (r.tool_calls > 0, api) {
                (true, ApiKind::AnthropicMessages | ApiKind::BedrockConverse) => "tool_use",
                (true, _) => "tool_calls",
                (false, ApiKind::AnthropicMessages | ApiKind::BedrockConverse) => "end_turn",
                (false, ApiKind::GeminiGenerate) => "STOP",
                (false, _) => "stop",
            };
            r.stop_reason = Some(stopped.to_owned());
        }
    }
    let output = r.usage.output.unwrap_or(0);
    let ttft = u64::from(model.ttft_ms) * 1_000;
    #[allow(clippy::cast_precision_loss, reason = "counts are small")]
    let ttft = draw.count(ttft as f64, 0.45).max(20_000);
    r.ttft_us = Some(ttft);
    r.duration_us = ttft + output * 1_000_000 / u64::from(model.speed.max(1)) + draw.below(20_000);
    r.request_bytes = 600 + r.usage.input.unwrap_or(2_000) * 4;
    if r.response_bytes == 0 {
        r.response_bytes = 400 + output * if r.stream { 160 } else { 5 };
    }
}

/// What goes wrong.
fn fail(r: &mut UsageRecord, trouble: Trouble, draw: &mut Draw) {
    let trouble = trouble.provider == Some(r.provider.as_str());
    let scale = if trouble { 14.0 } else { 1.0 };
    let kinds = [
        0.012 * scale,
        0.0025 * scale,
        0.0015 * scale,
        0.0030,
        0.0006,
        0.0110,
        0.0006 * scale,
        0.0012,
        0.0004,
        0.0003,
        0.0015,
        0.0001,
    ];
    let mut drawn = draw.share();
    let mut which = kinds.len();
    for (at, share) in kinds.into_iter().enumerate() {
        if drawn < share {
            which = at;
            break;
        }
        drawn -= share;
    }
    let anthropic = r.provider == "anthropic";
    let refused = |r: &mut UsageRecord, status: u16, code: &str| {
        (r.status, r.error) = (status, Some(code.to_owned()));
        r.usage = sluice_shared::usage::Usage::default();
        r.usage_known = Known::Unknown;
        (r.tool_calls, r.stream, r.stop_reason, r.model_answered) = (0, false, None, None);
        (r.response_bytes, r.duration_us) = (180, 90_000 + r.duration_us % 400_000);
        r.ttft_us = Some(r.duration_us - 1_000);
    };
    match which {
        0 => refused(
            r,
            429,
            if anthropic {
                "rate_limit_error"
            } else {
                "rate_limit_exceeded"
            },
        ),
        1 if anthropic => refused(r, 529, "overloaded_error"),
        1 => refused(r, 503, "service_unavailable"),
        2 => refused(r, 500, if anthropic { "api_error" } else { "server_error" }),
        3 => refused(
            r,
            400,
            if anthropic {
                "invalid_request_error"
            } else {
                "context_length_exceeded"
            },
        ),
        4 => refused(r, 404, "model_not_found"),
        5 => {
            r.ended = Ended::ClientGone;
            r.usage_known = Known::Partial;
            r.usage.output = r.usage.output.map(|output| output / 3);
            r.stop_reason = None;
            r.duration_us /= 2;
        }
        6 => {
            refused(r, 502, "upstream_timeout");
            (r.ended, r.ttft_us) = (Ended::UpstreamFailed, None);
        }
        7 => {
            refused(r, 429, "quota_exceeded");
            (r.ended, r.ttft_us, r.duration_us) = (Ended::Blocked, None, 800);
            r.provider.clear();
        }
        8 => {
            refused(r, 403, "model_not_granted");
            (r.ended, r.ttft_us, r.duration_us) = (Ended::Blocked, None, 400);
            r.provider.clear();
        }
        9 => {
            (r.ended, r.usage_known) = (Ended::CutByQuota, Known::Partial);
            r.error = Some("quota_exceeded".to_owned());
            r.stop_reason = None;
        }
        // A provider that says nothing about what it used.
        10 => {
            r.usage = sluice_shared::usage::Usage::default();
            r.usage_known = Known::Unknown;
        }
        11 => {
            (r.ended, r.usage_known, r.status) = (Ended::Aborted, Known::Unknown, 200);
            r.usage = sluice_shared::usage::Usage::default();
        }
        _ => {}
    }
}

/// What guardrails and a hook say.
fn judge(r: &mut UsageRecord, draw: &mut Draw) {
    if !r.api.billed() || r.provider.is_empty() && r.error.is_some() {
        return;
    }
    let verdict = |judge, name: &str, action, shadow, what: &str, count| Verdict {
        judge,
        name: name.to_owned(),
        action,
        shadow,
        on_answer: false,
        what: what.to_owned(),
        count,
        took_us: 0,
    };
    let drawn = draw.below(100_000);
    let count = u32::try_from(1 + draw.below(3)).unwrap_or(1);
    match drawn {
        0..240 => r.verdicts.push(verdict(
            Judge::Guardrail,
            "secrets",
            Action::Redact,
            false,
            "aws_access_key",
            count,
        )),
        240..600 => r.verdicts.push(verdict(
            Judge::Guardrail,
            "personal-data",
            Action::Log,
            false,
            "email",
            count,
        )),
        600..760 => r.verdicts.push(verdict(
            Judge::Guardrail,
            "personal-data",
            Action::Redact,
            false,
            "iban",
            count,
        )),
        760..900 => r.verdicts.push(verdict(
            Judge::Guardrail,
            "internal-names",
            Action::Block,
            true,
            "project names",
            1,
        )),
        900..960 => {
            r.verdicts.push(verdict(
                Judge::Guardrail,
                "no-customer-dumps",
                Action::Block,
                false,
                "csv of customers",
                1,
            ));
            (r.status, r.ended, r.error) = (403, Ended::Blocked, Some("guardrail_blocked".to_owned()));
            r.usage = sluice_shared::usage::Usage::default();
            r.usage_known = Known::Unknown;
            (r.tool_calls, r.stream, r.stop_reason, r.model_answered) = (0, false, None, None);
            (r.ttft_us, r.duration_us, r.response_bytes) = (None, 1_200, 220);
            r.provider.clear();
        }
        960..1_100 => {
            let mut of = verdict(Judge::Hook, "review", Action::Allow, false, "", 1);
            of.took_us = 20_000 + draw.below(60_000);
            r.verdicts.push(of);
        }
        1_100..1_110 => {
            let mut of = verdict(Judge::Hook, "review", Action::Failed, false, "timeout", 1);
            of.took_us = 2_000_000;
            r.verdicts.push(of);
        }
        _ => {}
    }
}

/// What it costs.
fn price(r: &mut UsageRecord, model: &Model) {
    let Some([input, read, write, output]) = model.price.filter(|_| !r.provider.is_empty()) else {
        return;
    };
    r.priced = true;
    let u = &r.usage;
    if r.usage_known == Known::Unknown || u.input.is_none() {
        return;
    }
    let sum = [
        (u.input_uncached, input),
        (u.cached_read, read),
        (u.cache_write, write),
        (u.output, output),
    ];
    let cost = sum.iter().map(|(count, each)| count.unwrap_or(0) * each).sum();
    r.cost = Some(NanoUsd(cost));
}

#[cfg(test)]
mod tests {
    use std::collections::{BTreeMap, BTreeSet};

    use super::*;

    fn shape(requests: u64) -> Shape {
        Shape {
            requests,
            users: 300,
            days: 14,
            captures: 200,
            seed: 5,
            end: 1_795_341_600_000_000,
        }
    }

    #[test]
    fn the_same_seed_gives_the_same_requests_in_order_and_number() {
        let all = |seed: u64| -> Vec<UsageRecord> {
            let shape = Shape {
                seed,
                ..shape(20_000)
            };
            let work = Work::new(shape, Arc::new(Organisation::new(&shape)));
            work.map(|asked| asked.record).collect()
        };
        let records = all(5);
        assert_eq!(records.len(), 20_000);
        assert!(records == all(5) && records != all(6));
        assert!(records.is_sorted_by_key(|r| r.time));
        let (first, last) = (records[0].time.0, records[19_999].time.0);
        assert!(last < 1_795_341_600_000_000 && last - first > 12 * 24 * HOUR_US);
        let ids: BTreeSet<RequestId> = records.iter().map(|r| r.request_id).collect();
        assert_eq!(ids.len(), 20_000);
    }

    #[test]
    fn everything_that_a_dashboard_shows_occurs() {
        let shape = shape(60_000);
        let work = Work::new(shape, Arc::new(Organisation::new(&shape)));
        let (mut counts, mut sessions) = (BTreeMap::<&str, u64>::new(), BTreeMap::<String, u64>::new());
        let mut told = 0;
        for Asked {
            record: r,
            told: talk,
        } in work
        {
            let mut count = |what: &'static str, is: bool| *counts.entry(what).or_default() += u64::from(is);
            count("agents", r.agent.is_some());
            count("devices", !r.tags.is_empty());
            count("429", r.status == 429);
            count("5xx", r.status >= 500);
            count("400", r.status == 400);
            count("gone", r.ended == Ended::ClientGone);
            count("blocked", r.ended == Ended::Blocked);
            count("no price", !r.priced && !r.provider.is_empty());
            count("unknown", r.usage_known == Known::Unknown && r.status == 200);
            count("verdicts", !r.verdicts.is_empty());
            count("tools", r.tool_calls > 0);
            told += u64::from(talk.is_some());
            assert_eq!(talk.is_some(), r.capture == Capture::Written);
            if let Some(key) = r.session {
                *sessions.entry(key).or_default() += 1;
            }
            let u = &r.usage;
            if let (Some(input), Some(uncached)) = (u.input, u.input_uncached) {
                assert_eq!(
                    input,
                    uncached + u.cached_read.unwrap_or(0) + u.cache_write.unwrap_or(0)
                );
            }
        }
        assert!(counts.values().all(|count| *count > 10), "{counts:?}");
        // As many as were asked for, less those that fell on requests without a body.
        assert!((160..=200).contains(&told), "{told}");
        let long = sessions.values().filter(|requests| **requests > 20).count();
        assert!(long > 100 && sessions.len() > 1_000, "{long} {}", sessions.len());
    }
}
