//! What hooks are sent and what they answer (`docs/HOOKS.md`). The data plane asks before a request is forwarded, the
//! control plane tells of requests that are over; both write the same [`Payload`].
//!
//! A body is not parsed to be sent: it stands in the payload as it came, between what is written before and after it
//! ([`Written`]), so that 32 MiB are neither copied nor changed. A [`Reply`] is read strictly: what is not understood is
//! a failure and no decision, and the request that it brings in the place of another is taken as it stands.

use serde_json::value::RawValue;
use sluice_shared::quota::{Rate, Terms, Unit};
use sluice_shared::snapshot::HookEvent;
use sluice_shared::units::NanoUsd;
use sluice_shared::usage::Usage;

use crate::splice::write_json_string;

mod reply;
mod spoken;

pub use reply::{BadReply, MESSAGE_BYTES_MAX, Reply, STATUS_BLOCKED, clean};
pub use spoken::Spoken;

/// What every payload says of a request.
#[derive(Clone, Debug, Default)]
pub struct Metadata<'a> {
    /// Login of the principal.
    pub login_name: &'a str,
    /// `user-agent` of the client; empty: it sent none.
    pub user_agent: &'a str,
    /// Path and query, without credentials.
    pub url: &'a str,
    /// Model as it is named to the provider; empty where a call names none.
    pub model: &'a str,
    /// Id of the provider.
    pub provider: &'a str,
    /// Name of the tailnet; empty: the principal comes from none, or it is not known.
    pub tailnet_name: &'a str,
    /// Node of the principal.
    pub stable_node_id: &'a str,
    /// Identity of the request, as the client sees it.
    pub request_id: &'a str,
    /// Session; empty: none is known.
    pub session_id: &'a str,
    /// What it cost, or may cost; `None`: not asked for.
    pub estimated_cost: Option<EstimatedCost<'a>>,
    /// Values of the grants as a JSON object; `None`: not asked for.
    pub grants: Option<&'a str>,
    /// Buckets that count; `None`: not asked for. Of several with one name, as a quota with several limits has, those
    /// behind the first bear their unit: `daily (tokens)`.
    pub quotas: Option<&'a [BucketState<'a>]>,
}

/// What a request cost, or may cost.
#[derive(Clone, Debug)]
pub struct EstimatedCost<'a> {
    /// `None`: the model has no price, or its usage is not known.
    pub cost: Option<NanoUsd>,
    /// The price list.
    pub cost_basis: &'a str,
    /// Counts; those that are not known are `null`.
    pub usage: &'a Usage,
}

/// A bucket that counts for a request.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct BucketState<'a> {
    /// Its name.
    pub name: &'a str,
    /// What is limited.
    pub unit: Unit,
    /// What is left, in the smallest amounts of the unit, negative in debt; `None`: not known.
    pub current: Option<i64>,
    /// Ceiling and refill.
    pub terms: Terms,
}

/// A tool that was called, or that is offered.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Tool<'a> {
    /// Its name.
    pub name: &'a str,
    /// Arguments as the model wrote them; `None` for one that is offered.
    pub params: Option<&'a str>,
}

/// What a hook is sent; a part that is `None` was not asked for.
#[derive(Clone, Debug)]
pub struct Payload<'a> {
    /// When.
    pub event: HookEvent,
    /// Of what.
    pub metadata: Metadata<'a>,
    /// Tool calls of the answer, or tools that the request offers.
    pub tool_calls: Option<&'a [Tool<'a>]>,
    /// Text of the last message of the user; the inner `None`: there is none, or it cannot be read.
    pub user_message: Option<Option<&'a str>>,
    /// The answer as one JSON object; the inner `None`: it cannot be read.
    pub response_body: Option<Option<&'a str>>,
    /// Events of a streamed answer as a JSON array; the inner `None`: it was no stream.
    pub raw_responses: Option<Option<&'a str>>,
    /// The request body is sent.
    pub request_body: bool,
}

/// A payload but for the request body.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Written {
    /// What stands before the request body; everything, if that is not sent.
    pub before: Vec<u8>,
    /// What stands behind it. The body, or `null` where there is none that is JSON, is to be written in between.
    pub after: Option<&'static [u8]>,
}

impl Payload<'_> {
    /// Writes everything but the request body.
    #[must_use]
    pub fn write(&self) -> Written {
        let mut out = Vec::with_capacity(1_024);
        out.extend_from_slice(b"{\"event\":");
        string(self.event.name(), &mut out);
        out.extend_from_slice(b",\"metadata\":");
        self.metadata.write(&mut out);
        if let Some(tools) = self.tool_calls {
            out.extend_from_slice(b",\"tool_calls\":[");
            for (at, tool) in tools.iter().enumerate() {
                out.extend_from_slice(if at == 0 { b"{\"name\":" } else { b",{\"name\":" });
                string(tool.name, &mut out);
                out.extend_from_slice(b",\"params\":");
                params(tool.params, &mut out);
                out.push(b'}');
            }
            out.push(b']');
        }
        if let Some(message) = self.user_message {
            out.extend_from_slice(b",\"user_message\":");
            match message {
                Some(text) => string(text, &mut out),
                None => out.extend_from_slice(b"null"),
            }
        }
        for (key, part) in [
            (&b",\"response_body\":"[..], self.response_body),
            (b",\"raw_responses\":", self.raw_responses),
        ] {
            if let Some(json) = part {
                out.extend_from_slice(key);
                out.extend_from_slice(json.unwrap_or("null").as_bytes());
            }
        }
        if self.request_body {
            out.extend_from_slice(b",\"request_body\":");
            return Written {
                before: out,
                after: Some(b"}"),
            };
        }
        out.push(b'}');
        Written {
            before: out,
            after: None,
        }
    }
}

impl Metadata<'_> {
    fn write(&self, out: &mut Vec<u8>) {
        for (at, (key, value)) in [
            ("login_name", self.login_name),
            ("user_agent", self.user_agent),
            ("url", self.url),
            ("model", self.model),
            ("provider", self.provider),
            ("tailnet_name", self.tailnet_name),
            ("stable_node_id", self.stable_node_id),
            ("request_id", self.request_id),
            ("session_id", self.session_id),
        ]
        .into_iter()
        .enumerate()
        {
            out.push(if at == 0 { b'{' } else { b',' });
            string(key, out);
            out.push(b':');
            string(value, out);
        }
        if let Some(cost) = &self.estimated_cost {
            out.extend_from_slice(b",\"estimated_cost\":");
            cost.write(out);
        }
        if let Some(grants) = self.grants {
            out.extend_from_slice(b",\"grants\":");
            out.extend_from_slice(if grants.is_empty() {
                b"{}"
            } else {
                grants.as_bytes()
            });
        }
        if let Some(quotas) = self.quotas {
            out.extend_from_slice(b",\"quotas\":{");
            for (at, bucket) in quotas.iter().enumerate() {
                let before = quotas.get(..at).unwrap_or_default();
                let named = before.iter().any(|other| other.name == bucket.name);
                if before
                    .iter()
                    .any(|other| other.name == bucket.name && other.unit == bucket.unit)
                {
                    continue;
                }
                if at > 0 {
                    out.push(b',');
                }
                if named {
                    string(&format!("{} ({})", bucket.name, bucket.unit.name()), out);
                } else {
                    string(bucket.name, out);
                }
                bucket.write(out);
            }
            out.push(b'}');
        }
        out.push(b'}');
    }
}

impl EstimatedCost<'_> {
    fn write(&self, out: &mut Vec<u8>) {
        out.extend_from_slice(b"{\"dollars\":");
        match self.cost {
            Some(cost) => out.extend_from_slice(dollars(cost.0).as_bytes()),
            None => out.extend_from_slice(b"null"),
        }
        out.extend_from_slice(b",\"cost_basis\":");
        string(self.cost_basis, out);
        out.extend_from_slice(b",\"usage\":");
        let usage = self.usage;
        for (at, (key, count)) in [
            ("input_tokens", usage.input),
            ("output_tokens", usage.output),
            ("cached_tokens", usage.cached_read),
            ("cache_creation_input_tokens", usage.cache_write),
            ("cache_creation_5m_input_tokens", usage.cache_write_5m),
            ("cache_creation_1h_input_tokens", usage.cache_write_1h),
            ("reasoning_tokens", usage.reasoning),
            ("image_input_tokens", usage.input_image),
            ("image_output_tokens", usage.output_image),
            ("web_search_count", usage.web_searches),
        ]
        .into_iter()
        .enumerate()
        {
            out.push(if at == 0 { b'{' } else { b',' });
            string(key, out);
            out.push(b':');
            match count {
                Some(count) => out.extend_from_slice(count.to_string().as_bytes()),
                None => out.extend_from_slice(b"null"),
            }
        }
        out.extend_from_slice(b"}}");
    }
}

impl BucketState<'_> {
    fn write(&self, out: &mut Vec<u8>) {
        let amount = |amount: u64| match self.unit {
            Unit::Usd => dollars(amount),
            Unit::Tokens | Unit::Requests | Unit::Concurrency => amount.to_string(),
        };
        let current = self.current.map(|current| {
            let minus = if current < 0 { "-" } else { "" };
            format!("{minus}{}", amount(current.unsigned_abs()))
        });
        out.extend_from_slice(b":{\"current\":");
        out.extend_from_slice(current.as_deref().unwrap_or("null").as_bytes());
        out.extend_from_slice(b",\"capacity\":");
        out.extend_from_slice(amount(self.terms.capacity).as_bytes());
        out.extend_from_slice(b",\"rate\":");
        string(&rate(self.terms.rate, self.unit), out);
        out.extend_from_slice(b",\"unit\":");
        string(self.unit.name(), out);
        out.push(b'}');
    }
}

/// Nanodollars as a JSON number of dollars, exact.
#[must_use]
pub fn dollars(nanodollars: u64) -> String {
    let (whole, rest) = (nanodollars / 1_000_000_000, nanodollars % 1_000_000_000);
    if rest == 0 {
        return whole.to_string();
    }
    let text = format!("{whole}.{rest:09}");
    text.trim_end_matches('0').to_owned()
}

/// A refill as the document writes it, exact: `$5.00/day`, `1000/hour`; empty: there is none.
fn rate(rate: Rate, unit: Unit) -> String {
    if rate.amount == 0 || rate.per_us == 0 {
        return String::new();
    }
    let amount = match unit {
        Unit::Usd => {
            let nanos = format!("{:09}", rate.amount % 1_000_000_000);
            let (cents, rest) = nanos.split_at_checked(2).unwrap_or((&nanos, ""));
            let rest = rest.trim_end_matches('0');
            format!("${}.{cents}{rest}", rate.amount / 1_000_000_000)
        }
        Unit::Tokens | Unit::Requests | Unit::Concurrency => rate.amount.to_string(),
    };
    let known = PERIODS.iter().find(|(_, per_us)| *per_us == rate.per_us);
    match known {
        Some((name, _)) => format!("{amount}/{name}"),
        None => format!("{amount}/{} s", rate.per_us / 1_000_000),
    }
}

/// Words for the time that a refill is for, with their microseconds; a month has 30 days.
const PERIODS: [(&str, u64); 6] = [
    ("sec", 1_000_000),
    ("min", 60_000_000),
    ("hour", 3_600_000_000),
    ("day", 86_400_000_000),
    ("week", 604_800_000_000),
    ("month", 2_592_000_000_000),
];

/// Arguments of a tool: as they stand if they are JSON, else as a string.
fn params(text: Option<&str>, out: &mut Vec<u8>) {
    match text {
        None => out.extend_from_slice(b"null"),
        Some(text) if serde_json::from_str::<&RawValue>(text).is_ok() => {
            out.extend_from_slice(text.trim().as_bytes());
        }
        Some(text) => string(text, out),
    }
}

fn string(text: &str, out: &mut Vec<u8>) {
    write_json_string(text, out);
}

#[cfg(test)]
mod tests;
