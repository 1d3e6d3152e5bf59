//! What requests of a model have used so far, learnt from their records: what the next one will probably use.
//!
//! Three things are learnt for each pair of provider and model, all in integers and all forgetting slowly, so that a
//! change of habit shows after some dozens of requests:
//!
//! - how many bytes of a request make a token of the prompt ([`Learnt::input_tokens`]),
//! - how many tokens answers have ([`Learnt::output_tokens`]: nine answers of ten had no more),
//! - how many bytes of an answer make a token of output, streams and whole answers apart ([`Learnt::answer_tokens`]),
//!   for answers whose usage nobody stated, or has stated yet.
//!
//! Before [`LEARNT_AFTER`] requests the defaults hold. What is learnt lives as long as the process: nothing is stored,
//! since a few requests bring it back.

use std::collections::HashMap;

use crate::usage::{Ended, Known, UsageRecord};

/// Pairs of provider and model that are known at a time; the one not heard of for longest goes.
pub const MODELS_MAX: usize = 512;
/// Requests from which on what was learnt counts.
pub const LEARNT_AFTER: u64 = 8;
/// Bytes of a request for a thousand tokens of the prompt, before anything is learnt: 4 for one.
pub const INPUT_BYTES_DEFAULT: u64 = 4_000;
/// Tokens of an answer, before anything is learnt.
pub const OUTPUT_DEFAULT: u64 = 1_024;

/// One settled request, as far as it teaches something.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Sample {
    /// Bytes of the request's body.
    pub request_bytes: u64,
    /// Tokens of the prompt, cached ones included.
    pub input: Option<u64>,
    /// Bytes of the answer's body.
    pub response_bytes: u64,
    /// Tokens of the answer, reasoning included.
    pub output: Option<u64>,
    /// The answer was a stream of events.
    pub stream: bool,
}

impl Sample {
    /// What a record teaches; `None`: nothing, since the answer was no success, was cut, or nobody stated its usage.
    #[must_use]
    pub fn of(record: &UsageRecord) -> Option<Self> {
        let good = record.api.billed()
            && record.ended == Ended::Complete
            && record.usage_known == Known::Reported
            && (200..300).contains(&record.status)
            && record.request_bytes > 0;
        good.then(|| Self {
            request_bytes: record.request_bytes,
            input: record.usage.input,
            response_bytes: record.response_bytes,
            output: record.usage.output,
            stream: record.stream,
        })
    }
}

/// What a shard has learnt of all models.
#[derive(Clone, Debug, Default)]
pub struct Estimates {
    providers: HashMap<String, HashMap<String, Learnt>>,
    models: usize,
    /// Counts what was learnt: the age of an entry.
    turn: u64,
    nothing: Learnt,
}

impl Estimates {
    /// Nothing is known yet.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// What is known of a model; of one never heard of, the defaults.
    #[must_use]
    pub fn of(&self, provider: &str, model: &str) -> &Learnt {
        self.providers
            .get(provider)
            .and_then(|models| models.get(model))
            .unwrap_or(&self.nothing)
    }

    /// Learns from one request. `model` is the name that was sent to the provider.
    pub fn learn(&mut self, provider: &str, model: &str, sample: &Sample) {
        self.turn = self.turn.saturating_add(1);
        let turn = self.turn;
        let known = self
            .providers
            .get_mut(provider)
            .and_then(|models| models.get_mut(model));
        if let Some(learnt) = known {
            learnt.touched = turn;
            return learnt.learn(sample);
        }
        if self.models >= MODELS_MAX {
            self.forget_oldest();
        }
        let mut learnt = Learnt {
            touched: turn,
            ..Learnt::default()
        };
        learnt.learn(sample);
        let models = self.providers.entry(provider.to_owned()).or_default();
        models.insert(model.to_owned(), learnt);
        self.models = self.models.saturating_add(1);
    }

    /// Every model that something is known of: provider, model, what.
    pub fn iter(&self) -> impl Iterator<Item = (&str, &str, &Learnt)> {
        self.providers.iter().flat_map(|(provider, models)| {
            models
                .iter()
                .map(move |(model, learnt)| (provider.as_str(), model.as_str(), learnt))
        })
    }

    /// Models that something is known of.
    #[must_use]
    pub const fn len(&self) -> usize {
        self.models
    }

    /// Whether nothing is known.
    #[must_use]
    pub const fn is_empty(&self) -> bool {
        self.models == 0
    }

    #[cold]
    fn forget_oldest(&mut self) {
        let oldest = self
            .iter()
            .min_by_key(|(_, _, learnt)| learnt.touched)
            .map(|(provider, model, _)| (provider.to_owned(), model.to_owned()));
        let Some((provider, model)) = oldest else { return };
        if let Some(models) = self.providers.get_mut(&provider) {
            if models.remove(&model).is_some() {
                self.models = self.models.saturating_sub(1);
            }
            if models.is_empty() {
                self.providers.remove(&provider);
            }
        }
    }
}

/// What is known of one model.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Learnt {
    input: Ratio,
    whole: Ratio,
    stream: Ratio,
    outputs: Outputs,
    samples: u64,
    /// Nine answers of ten, and every second, have no more tokens than this.
    p90: u64,
    p50: u64,
    touched: u64,
}

impl Learnt {
    fn learn(&mut self, sample: &Sample) {
        self.samples = self.samples.saturating_add(1);
        if let Some(input) = sample.input {
            self.input.add(sample.request_bytes, input);
        }
        if let Some(output) = sample.output {
            let ratio = if sample.stream {
                &mut self.stream
            } else {
                &mut self.whole
            };
            ratio.add(sample.response_bytes, output);
            self.outputs.add(output);
            (self.p50, self.p90) = (self.outputs.quantile(500), self.outputs.quantile(900));
        }
    }

    /// Requests that it was learnt from, of the life of the process.
    #[must_use]
    pub const fn samples(&self) -> u64 {
        self.samples
    }

    /// Whether enough was learnt to be used instead of the defaults.
    #[must_use]
    pub const fn is_learnt(&self) -> bool {
        self.samples >= LEARNT_AFTER
    }

    /// Bytes of a request for a thousand tokens of the prompt.
    #[must_use]
    pub fn input_bytes(&self) -> u64 {
        let learnt = self.input.per_thousand().filter(|_| self.is_learnt());
        learnt.unwrap_or(INPUT_BYTES_DEFAULT)
    }

    /// Tokens of the prompt that a body of this many bytes makes, rounded up.
    #[must_use]
    pub fn input_tokens(&self, bytes: u64) -> u64 {
        tokens(bytes, self.input_bytes())
    }

    /// Tokens that nine of ten answers stay within.
    #[must_use]
    pub const fn output_p90(&self) -> u64 {
        if self.is_learnt() && self.outputs.total > 0 {
            self.p90
        } else {
            OUTPUT_DEFAULT
        }
    }

    /// Tokens that every second answer stays within.
    #[must_use]
    pub const fn output_p50(&self) -> u64 {
        if self.is_learnt() && self.outputs.total > 0 {
            self.p50
        } else {
            OUTPUT_DEFAULT
        }
    }

    /// Tokens of the answer to be expected: [`Self::output_p90`], and no more than the request allows.
    #[must_use]
    pub fn output_tokens(&self, allowed: Option<u64>) -> u64 {
        self.output_p90().min(allowed.unwrap_or(u64::MAX))
    }

    /// Bytes of an answer for a thousand tokens of output; `None` before it is learnt.
    #[must_use]
    pub fn answer_bytes(&self, stream: bool) -> Option<u64> {
        let ratio = if stream { &self.stream } else { &self.whole };
        ratio.per_thousand().filter(|_| ratio.count >= LEARNT_AFTER)
    }

    /// Tokens that this many bytes of an answer hold, rounded up. `default`: bytes for a thousand tokens before
    /// anything is learnt.
    #[must_use]
    pub fn answer_tokens(&self, stream: bool, bytes: u64, default: u64) -> u64 {
        tokens(bytes, self.answer_bytes(stream).unwrap_or(default))
    }

    /// Adds what another shard has learnt of the same model: as if all of it had been learnt in one place.
    pub fn merge(&mut self, other: &Self) {
        self.input.merge(&other.input);
        self.whole.merge(&other.whole);
        self.stream.merge(&other.stream);
        self.outputs.merge(&other.outputs);
        self.samples = self.samples.saturating_add(other.samples);
        self.touched = self.touched.max(other.touched);
        (self.p50, self.p90) = (self.outputs.quantile(500), self.outputs.quantile(900));
    }
}

/// Tokens that `bytes` make at so many bytes for a thousand, rounded up.
fn tokens(bytes: u64, per_thousand: u64) -> u64 {
    let tokens = u128::from(bytes)
        .saturating_mul(1_000)
        .div_ceil(u128::from(per_thousand.max(1)));
    u64::try_from(tokens).unwrap_or(u64::MAX)
}

/// Bytes for a token: two sums in which every new sample takes 1/32 of what was before away.
///
/// A ratio of sums and not a mean of ratios, so that a long prompt, for which the ratio matters, says more than a short
/// one that is mostly JSON; but beyond [`WEIGHT_MAX`] bytes a sample says no more, so that one request with a picture
/// does not speak for all others.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
struct Ratio {
    /// Times [`SCALE`].
    bytes: u64,
    /// Times [`SCALE`].
    tokens: u64,
    count: u64,
}

/// Fixed point of the sums: what is taken away is rounded by less than a 4,096th of a byte.
const SCALE: u64 = 1 << 12;
/// Part of the sums that a new sample takes away.
const FADE: u64 = 32;
/// Bytes of a sample that count fully.
const WEIGHT_MAX: u64 = 64 << 10;
/// Least and most bytes for a thousand tokens that are believed.
const PER_THOUSAND: std::ops::RangeInclusive<u64> = 10..=100_000_000;

impl Ratio {
    fn add(&mut self, bytes: u64, tokens: u64) {
        if bytes == 0 || tokens == 0 {
            return;
        }
        // At most 64 KiB and as many tokens, of a larger sample a part in proportion.
        let larger = bytes.max(tokens);
        let part = |amount: u64| {
            let scaled = u128::from(amount).saturating_mul(u128::from(SCALE));
            let scaled = if larger > WEIGHT_MAX {
                scaled
                    .saturating_mul(u128::from(WEIGHT_MAX))
                    .div_ceil(u128::from(larger))
            } else {
                scaled
            };
            u64::try_from(scaled).unwrap_or(u64::MAX)
        };
        let fade = |sum: u64| sum.saturating_sub(sum.div_ceil(FADE));
        self.bytes = fade(self.bytes).saturating_add(part(bytes));
        self.tokens = fade(self.tokens).saturating_add(part(tokens));
        self.count = self.count.saturating_add(1);
    }

    fn per_thousand(&self) -> Option<u64> {
        let ratio = u128::from(self.bytes)
            .saturating_mul(1_000)
            .checked_div(u128::from(self.tokens))?;
        let ratio = u64::try_from(ratio).unwrap_or(u64::MAX);
        Some(ratio.clamp(*PER_THOUSAND.start(), *PER_THOUSAND.end()))
    }

    fn merge(&mut self, other: &Self) {
        self.bytes = self.bytes.saturating_add(other.bytes);
        self.tokens = self.tokens.saturating_add(other.tokens);
        self.count = self.count.saturating_add(other.count);
    }
}

/// How many answers had how many tokens, in classes that are exact below 16 and an eighth wide above, so that a quantile is
/// too high by at most one part in eight. Halved whenever it holds [`KEPT`] answers.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Outputs {
    classes: [u32; CLASSES],
    total: u32,
}

/// Classes: 0 to 15, and eight for each power of two up to 2^24 tokens.
const CLASSES: usize = 16 + 20 * 8;
/// Answers that make the older ones count half.
const KEPT: u32 = 512;
/// What one answer counts, so that halving loses nothing at once.
const ONE: u32 = 16;

impl Default for Outputs {
    fn default() -> Self {
        Self {
            classes: [0; CLASSES],
            total: 0,
        }
    }
}

impl Outputs {
    fn add(&mut self, tokens: u64) {
        if let Some(class) = self.classes.get_mut(class_of(tokens)) {
            *class = class.saturating_add(ONE);
            self.total = self.total.saturating_add(ONE);
        }
        if self.total >= KEPT.saturating_mul(ONE) {
            self.total = 0;
            for class in &mut self.classes {
                *class >>= 1;
                self.total = self.total.saturating_add(*class);
            }
        }
    }

    /// The upper end of the class in which that many of a thousand answers have been met; 0 if there are none.
    fn quantile(&self, permille: u32) -> u64 {
        let wanted = u64::from(self.total)
            .saturating_mul(u64::from(permille))
            .div_ceil(1_000);
        if wanted == 0 {
            return 0;
        }
        let mut met = 0u64;
        for (class, count) in self.classes.iter().enumerate() {
            met = met.saturating_add(u64::from(*count));
            if met >= wanted {
                return upper_end(class);
            }
        }
        upper_end(CLASSES.saturating_sub(1))
    }

    fn merge(&mut self, other: &Self) {
        for (sum, more) in self.classes.iter_mut().zip(&other.classes) {
            *sum = sum.saturating_add(*more);
        }
        self.total = self.total.saturating_add(other.total);
    }
}

/// The class of a count.
fn class_of(tokens: u64) -> usize {
    let Some(power) = tokens.checked_ilog2().filter(|power| *power >= 4) else {
        return usize::try_from(tokens).unwrap_or(0);
    };
    let eighth = (tokens >> power.saturating_sub(3)) & 7;
    let eighth = usize::try_from(eighth).unwrap_or(0);
    let power = usize::try_from(power.saturating_sub(4)).unwrap_or(0);
    power
        .saturating_mul(8)
        .saturating_add(16)
        .saturating_add(eighth)
        .min(CLASSES.saturating_sub(1))
}

/// The largest count of a class.
fn upper_end(class: usize) -> u64 {
    let Some(above) = class.checked_sub(16) else {
        return u64::try_from(class).unwrap_or(u64::MAX);
    };
    let (power, eighth) = (above >> 3, above & 7);
    let width = 2u64
        .checked_shl(u32::try_from(power).unwrap_or(u32::MAX))
        .unwrap_or(0);
    let from = u64::try_from(eighth.saturating_add(8)).unwrap_or(0);
    width.saturating_mul(from.saturating_add(1)).saturating_sub(1)
}
