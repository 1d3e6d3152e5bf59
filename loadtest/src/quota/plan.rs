//! One request as it is drawn from the seed: what it asks for, what the provider answers, when its client leaves.
//!
//! What the answer costs is computed here from the published rates and from what the mock says it stated, without any
//! code of the gateway.

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::net::SocketAddr;

use serde_json::Value;

use super::books::Unit;
use crate::mock::Entry;
use crate::random::Random;

/// Name of the client in each record; its number follows.
const AGENT: &str = "loadtest-quota/";

/// What the vendor publishes for a model, in nanodollars a token.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Rates {
    pub(super) input: u64,
    pub(super) cached: u64,
    pub(super) output: u64,
    /// A token of the prompt and one of the answer where the provider answers with priority, the dearest of all tiers.
    pub(super) most: (u64, u64),
}

/// A model that is asked for, and the quota that counts for it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Model {
    /// Dollars, tokens, requests and seats in one quota, and a quota of one's own beside it.
    Pot,
    /// Dollars that suffice for exactly what is asked.
    Sum,
    /// Requests.
    Count,
    /// Requests at a time.
    Seats,
}

impl Model {
    pub(super) const ALL: [Self; 4] = [Self::Pot, Self::Sum, Self::Count, Self::Seats];

    pub(super) const fn name(self) -> &'static str {
        match self {
            Self::Pot => "gpt-4o-mini",
            Self::Sum => "gpt-4o",
            Self::Count => "mock-count",
            Self::Seats => "mock-seats",
        }
    }

    /// OpenAI's price list: $0.15 / $0.075 / $0.60 and $2.50 / $1.25 / $10.00 a million tokens since August 2024, with
    /// priority $0.25 / $1.00 and $4.25 / $17.00. The mock's own models have no price.
    pub(super) const fn rates(self) -> Rates {
        let (input, cached, output, most) = match self {
            Self::Pot => (150, 75, 600, (250, 1_000)),
            Self::Sum => (2_500, 1_250, 10_000, (4_250, 17_000)),
            Self::Count | Self::Seats => (0, 0, 0, (0, 0)),
        };
        Rates {
            input,
            cached,
            output,
            most,
        }
    }
}

/// Which call, and how it is answered.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Shape {
    Json,
    /// Chat, with the usage asked for.
    Chat,
    /// Chat, without: the gateway asks for it.
    ChatUnasked,
    Messages,
}

impl Shape {
    const ALL: [Self; 4] = [Self::Json, Self::Chat, Self::ChatUnasked, Self::Messages];

    const fn path(self) -> &'static str {
        match self {
            Self::Json | Self::Chat | Self::ChatUnasked => "/v1/chat/completions",
            Self::Messages => "/v1/messages",
        }
    }

    const fn options(self) -> &'static str {
        match self {
            Self::Json => "",
            Self::Chat => r#","stream":true,"stream_options":{"include_usage":true}"#,
            Self::ChatUnasked | Self::Messages => r#","stream":true"#,
        }
    }

    /// What a whole answer holds near its end.
    pub(super) const fn mark(self) -> &'static [u8] {
        match self {
            Self::Json => b"\"usage\"",
            Self::Chat | Self::ChatUnasked => b"data: [DONE]",
            Self::Messages => b"message_stop",
        }
    }
}

/// When the client leaves.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Leave {
    /// With the whole answer.
    Never,
    /// So many milliseconds after it has asked.
    Early(u64),
    /// After so many events.
    Event(u32),
    /// With the last event, before the end of the body.
    Last,
}

/// One request.
#[derive(Clone, Debug)]
pub(super) struct Plan {
    pub(super) number: u64,
    pub(super) model: Model,
    pub(super) shape: Shape,
    /// Events of content.
    pub(super) events: u32,
    pub(super) gap_ms: u32,
    /// Before the answer's head.
    pub(super) head_ms: u32,
    /// Output tokens that the provider will state.
    pub(super) output: u32,
    pub(super) max_tokens: u64,
    /// Of the input tokens: from the provider's cache.
    pub(super) cached: u32,
    /// Length of the prompt.
    pub(super) prompt: usize,
    pub(super) leave: Leave,
    /// It leaves by a reset.
    pub(super) reset: bool,
}

impl Plan {
    /// A short JSON call without anything special.
    pub(super) const fn small(number: u64, model: Model) -> Self {
        Self {
            number,
            model,
            shape: Shape::Json,
            events: 2,
            gap_ms: 0,
            head_ms: 0,
            output: 5,
            max_tokens: 16,
            cached: 0,
            prompt: 40,
            leave: Leave::Never,
            reset: false,
        }
    }

    /// Anything that a client may do, to its end.
    pub(super) fn draw(random: &mut Random, number: u64, model: Model) -> Self {
        let mut draw = |low: u64, high: u64| random.between(low, high);
        let shape = Shape::ALL
            .get(usize::try_from(draw(0, 3)).unwrap_or(0))
            .copied()
            .unwrap_or(Shape::Chat);
        let max_tokens = draw(60, 2_000);
        let prompt = draw(40, 2_000);
        Self {
            number,
            model,
            shape,
            events: narrow(draw(2, 14)),
            gap_ms: narrow(draw(0, 60)),
            head_ms: narrow(draw(0, 200)),
            // Half of them use little of what they may, as answers do.
            output: narrow(match draw(0, 1) {
                0 => draw(20, max_tokens.min(200)),
                _ => draw(20, max_tokens),
            }),
            max_tokens,
            cached: narrow(draw(0, prompt / 8)),
            prompt: usize::try_from(prompt).unwrap_or(40),
            leave: Leave::Never,
            reset: draw(0, 1) == 1,
        }
    }

    /// The same, left at a random event.
    pub(super) fn draw_leaving(random: &mut Random, number: u64, model: Model) -> Self {
        let plan = Self::draw(random, number, model);
        let leave = match random.between(0, 4) {
            0 => Leave::Early(random.between(0, 40)),
            1 => Leave::Last,
            2 => Leave::Event(1),
            _ => Leave::Event(narrow(random.between(1, u64::from(plan.events)))),
        };
        let shape = match (plan.shape, leave) {
            // It has no events.
            (Shape::Json, Leave::Event(_) | Leave::Last) => Shape::Chat,
            (shape, _) => shape,
        };
        Self {
            leave,
            shape,
            // Slow enough that there is something to leave.
            gap_ms: plan.gap_ms % 20,
            head_ms: match leave {
                Leave::Early(_) => 60,
                _ => plan.head_ms % 30,
            },
            ..plan
        }
    }

    /// The body of the request.
    pub(super) fn body(&self) -> String {
        let limit = match (self.shape, self.prompt % 2) {
            (Shape::Messages, _) | (_, 0) => "max_tokens",
            _ => "max_completion_tokens",
        };
        format!(
            r#"{{"model":"{}","{limit}":{},"messages":[{{"role":"user","content":"{}"}}]{}}}"#,
            self.model.name(),
            self.max_tokens,
            "word ".repeat(self.prompt.div_ceil(5)),
            self.shape.options(),
        )
    }

    /// The request on the wire.
    pub(super) fn message(&self, gateway: SocketAddr) -> Vec<u8> {
        let body = self.body();
        let mut text = format!(
            "POST {} HTTP/1.1\r\nHost: {gateway}\r\nContent-Type: application/json\r\nUser-Agent: {AGENT}{}\r\n\
             x-mock-id: {}\r\nx-mock-events: {}\r\nx-mock-gap-ms: {}\r\nx-mock-head-ms: {}\r\n\
             x-mock-output-tokens: {}\r\n",
            self.shape.path(),
            self.number,
            self.number,
            self.events,
            self.gap_ms,
            self.head_ms,
            self.output,
        );
        // Writing to text does not fail.
        let _ = write!(
            text,
            "x-mock-cached-tokens: {}\r\nContent-Length: {}\r\n\r\n{body}",
            self.cached,
            body.len()
        );
        text.into_bytes()
    }

    /// The most that the request can use, as `strict` has to see it: a token for each byte, 4 for each key and each value, and
    /// 2,048 for the provider's template; of the answer all that was allowed. None of it is read from a cache.
    pub(super) fn most(&self) -> BTreeMap<Unit, u64> {
        let body = self.body();
        let places = serde_json::from_str(&body).map_or(0, |body| places(&body));
        let input = body.len() as u64 + 4 * places + 2_048;
        let rates = self.model.rates();
        let money = input * rates.most.0 + self.max_tokens * rates.most.1;
        BTreeMap::from([
            (Unit::Usd, money),
            (Unit::Tokens, input + self.max_tokens),
            (Unit::Requests, 1),
        ])
    }

    /// About what the answer will cost, before it is known what the provider counts.
    pub(super) fn foreseen(&self) -> u64 {
        let rates = self.model.rates();
        (self.body().len() as u64).div_ceil(4) * rates.input + u64::from(self.output) * rates.output
    }

    /// What the request used if its answer is whole.
    pub(super) fn used(&self, served: &Entry) -> BTreeMap<Unit, u64> {
        BTreeMap::from([
            (Unit::Usd, self.cost(served)),
            (Unit::Tokens, served.input_tokens + served.output_tokens),
            (Unit::Requests, 1),
        ])
    }

    /// What the answer costs by the vendor's list, in nanodollars, from the tokens that the mock stated.
    fn cost(&self, served: &Entry) -> u64 {
        let rates = self.model.rates();
        let cached = u64::from(self.cached);
        served.input_tokens.saturating_sub(cached) * rates.input
            + cached * rates.cached
            + served.output_tokens * rates.output
    }
}

/// Keys and values of a document, itself included.
fn places(value: &Value) -> u64 {
    1 + match value {
        Value::Array(items) => items.iter().map(places).sum(),
        Value::Object(fields) => fields.values().map(|value| 1 + places(value)).sum::<u64>(),
        _ => 0,
    }
}

/// The number in a record's user agent.
pub(super) fn number_of(agent: &str) -> Option<u64> {
    agent.strip_prefix(AGENT)?.parse().ok()
}

/// Draws are far below what is cut.
fn narrow(drawn: u64) -> u32 {
    u32::try_from(drawn).unwrap_or(u32::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn draws_are_sound_and_come_again() {
        let (mut one, mut two) = (Random::new(11), Random::new(11));
        for number in 1..500 {
            let plan = Plan::draw_leaving(&mut one, number, Model::Pot);
            assert_eq!(
                plan.body(),
                Plan::draw_leaving(&mut two, number, Model::Pot).body()
            );
            assert!(u64::from(plan.output) <= plan.max_tokens, "{plan:?}");
            // The mock states a token for four bytes of the body.
            assert!((plan.cached as usize) < plan.body().len() / 4, "{plan:?}");
            let body: Value = serde_json::from_str(&plan.body()).unwrap();
            assert_eq!(body["model"], plan.model.name());
        }
        let body = r#"{"model":"m","messages":[{"role":"user","content":"x"}],"n":[1,2]}"#;
        assert_eq!(places(&serde_json::from_str(body).unwrap()), 14);
        assert_eq!(number_of("loadtest-quota/17"), Some(17));
        assert_eq!(number_of("curl"), None);
    }
}
