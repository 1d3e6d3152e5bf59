//! How much of a bucket a request needs before it is sent, has used while it runs, and has used at its end.
//!
//! | admission | input | output | money |
//! | --- | --- | --- | --- |
//! | `estimate` | bytes of the body by the learnt ratio | what nine of ten answers stay within, at most what is asked for | estimated counts at the ordinary rates |
//! | `strict` | every byte a token, and what the provider adds ([`strict`]) | what is asked for, at most what the model can | the dearest rate that each token can have |
//! | `positive` | nothing: one smallest amount | | |
//!
//! What has no bound is refused under `strict` ([`Unbounded`]), never guessed. All sums saturate.

#![deny(clippy::arithmetic_side_effects, clippy::float_arithmetic)]

use std::cell::OnceCell;

use sluice_proto::json::{Facts, Outside};
use sluice_proto::meter::Counts;
use sluice_shared::api::ApiKind;
use sluice_shared::cost::Price;
use sluice_shared::quota::estimate::Estimates;
use sluice_shared::quota::{AMOUNT_MAX, Unit};
use sluice_shared::snapshot::{Admission, Quota, QuotaLimit};
use sluice_shared::usage::{Usage, UsageRecord};

#[cfg(test)]
#[allow(clippy::arithmetic_side_effects, reason = "a test that overflows fails")]
mod tests;

mod clamp;
mod money;
#[doc(hidden)]
pub mod probe;
mod strict;
mod unstated;

pub(crate) use clamp::{Clamp, clamp_max_tokens};

pub(crate) use unstated::{estimate_unstated, running, stated};

/// A request that is about to be sent to one provider.
#[derive(Clone)]
pub(crate) struct Call<'a> {
    /// Wire format.
    pub(crate) kind: ApiKind,
    /// Id of the provider.
    pub(crate) provider: &'a str,
    /// The model, as it is named to the provider.
    pub(crate) model: &'a str,
    /// The provider's price list; may be empty.
    pub(crate) basis: &'a str,
    /// What the scanner found.
    pub(crate) facts: &'a Facts,
    /// The body is a form, of which the scanner knows next to nothing.
    pub(crate) is_form: bool,
    /// Length of the body as received.
    pub(crate) body_bytes: u64,
    /// The body as received; looked at under `strict` only.
    pub(crate) chunks: &'a [Vec<u8>],
    /// The limit on output tokens of each answer that was put in, if one was.
    pub(crate) lowered: Option<u64>,
    /// What was found in the body; empty at first.
    pub(crate) outside: OnceCell<Outside>,
}

impl Call<'_> {
    /// What the request brings in beside its bytes; looked for once.
    fn outside(&self) -> Outside {
        *self.outside.get_or_init(|| Outside::find(self.kind, self.chunks))
    }
}

/// What has to be reserved.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Need {
    /// In the smallest amount of the limit's unit.
    pub(crate) amount: u64,
}

/// What a request may cost has no bound that is known, so `strict` cannot admit it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Unbounded {
    /// Why, for the client: "`max_tokens` is missing".
    pub(crate) what: &'static str,
}

/// Model tokens that a request is taken to use or to have used.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Use {
    /// All of the prompt.
    pub(crate) input: u64,
    /// Of it: read from the provider's cache.
    pub(crate) cached_read: u64,
    /// Of it: written to the provider's cache.
    pub(crate) cache_write: u64,
    /// All of the answer.
    pub(crate) output: u64,
}

/// What a limit of a quota needs for a call.
///
/// # Errors
/// [`Unbounded`] under `strict`, and for a model without a price under a limit in dollars that refuses such.
pub(crate) fn need(
    limit: &QuotaLimit,
    quota: &Quota,
    call: &Call<'_>,
    estimates: &Estimates,
    price: Option<&Price>,
) -> Result<Need, Unbounded> {
    let some = |amount: u64| {
        Ok(Need {
            amount: amount.clamp(1, AMOUNT_MAX),
        })
    };
    if !call.kind.billed() {
        return Ok(Need { amount: 0 });
    }
    match (limit.unit, quota.admission) {
        (Unit::Requests | Unit::Concurrency, _) => some(1),
        (Unit::Usd, _) if price.is_none() => {
            if quota.refuse_unpriced {
                return Err(Unbounded {
                    what: "the model has no price",
                });
            }
            Ok(Need { amount: 0 })
        }
        (_, Admission::Positive) => some(1),
        (unit, Admission::Estimate) => some(expected(call, estimates, unit, price)),
        (unit, Admission::Strict) => some(strict::bound(call, unit, price, quota.clamp_max_tokens)?),
    }
}

/// What such a call will probably use.
fn expected(call: &Call<'_>, estimates: &Estimates, unit: Unit, price: Option<&Price>) -> u64 {
    let learnt = estimates.of(call.provider, call.model);
    let input = learnt.input_tokens(call.body_bytes);
    let output = if generates(call.kind) {
        learnt.output_tokens(strict::allowed(call))
    } else {
        0
    };
    match (unit, price) {
        (Unit::Usd, Some(price)) => {
            let pieces = match call.kind {
                ApiKind::OpenAiImages => price
                    .per_image
                    .map(|each| each.saturating_mul(call.facts.choices.unwrap_or(1).max(1))),
                ApiKind::OpenAiAudio => price
                    .per_second
                    .map(|each| each.saturating_mul(call.body_bytes.div_ceil(AUDIO_BYTES_PER_S))),
                _ => None,
            };
            money::expected(price, input, output).max(pieces.unwrap_or(0))
        }
        (Unit::Usd, None) => 0,
        _ => input.saturating_add(output),
    }
}

/// What such a call will probably use, and cost where it has a price, for whoever is told of it beforehand.
pub(crate) fn foreseen(
    call: &Call<'_>,
    estimates: &Estimates,
    price: Option<&Price>,
) -> (Usage, Option<u64>) {
    let learnt = estimates.of(call.provider, call.model);
    let output = generates(call.kind).then(|| learnt.output_tokens(strict::allowed(call)));
    let usage = Usage {
        input: Some(learnt.input_tokens(call.body_bytes)),
        output: output.or(Some(0)),
        ..Usage::default()
    };
    let cost = price.map(|price| expected(call, estimates, Unit::Usd, Some(price)));
    (usage, cost)
}

/// Bytes of a second of recorded speech, at the lower end of what compressed files have: 32 kbit/s.
const AUDIO_BYTES_PER_S: u64 = 4_000;

/// Whether answers are generated, rather than computed at a cost that the input alone decides.
pub(crate) const fn generates(kind: ApiKind) -> bool {
    !matches!(
        kind,
        ApiKind::OpenAiEmbeddings
            | ApiKind::OpenAiModerations
            | ApiKind::OpenAiRerank
            | ApiKind::GeminiEmbed
            | ApiKind::VertexPredict
            | ApiKind::OllamaEmbed
            | ApiKind::AnthropicCountTokens
            | ApiKind::GeminiCountTokens
            | ApiKind::VertexCountTokens
            | ApiKind::BedrockCountTokens
    )
}

impl Use {
    /// The same, as a provider would state it.
    pub(crate) fn usage(&self) -> Usage {
        Usage {
            input: Some(self.input),
            cached_read: Some(self.cached_read),
            cache_write: Some(self.cache_write),
            output: Some(self.output),
            ..Usage::default()
        }
    }

    /// How much of a bucket that is; dollars without a price are 0.
    pub(crate) fn amount(&self, unit: Unit, price: Option<&Price>) -> u64 {
        match unit {
            Unit::Tokens => self.input.saturating_add(self.output),
            Unit::Usd => price.map_or(0, |price| money::stated(price, self)),
            Unit::Requests => 1,
            Unit::Concurrency => 0,
        }
    }

    /// The larger of two, count by count.
    fn max(self, counts: Counts) -> Self {
        Self {
            input: self.input.max(counts.input.unwrap_or(0)),
            cached_read: counts.cached_read.unwrap_or(self.cached_read),
            cache_write: counts.cache_write.unwrap_or(self.cache_write),
            output: self.output.max(counts.output.unwrap_or(0)),
        }
    }
}

/// What a settled request takes from a bucket. The record says what was used, an estimate included if there is one; a
/// request that is not billed, or was never sent, takes nothing, and its record says so by what it lacks.
pub(crate) fn used(unit: Unit, record: &UsageRecord) -> u64 {
    if !record.api.billed() {
        return 0;
    }
    let amount = match unit {
        Unit::Usd => record.cost.map_or(0, |cost| cost.0),
        Unit::Tokens => {
            let counted = record
                .usage
                .input
                .unwrap_or(0)
                .saturating_add(record.usage.output.unwrap_or(0));
            // Some providers state the total alone.
            if record.usage.input.is_none() && record.usage.output.is_none() {
                record.usage.total.unwrap_or(0)
            } else {
                counted
            }
        }
        Unit::Requests => 1,
        Unit::Concurrency => 0,
    };
    amount.min(AMOUNT_MAX)
}
