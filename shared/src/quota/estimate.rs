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

/// Requests of a model after each of which the quantiles are counted anew; later after every eighth.
const COUNTED_ALWAYS: u64 = 64;
const COUNTED_EVERY: u64 = 8;

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
        good.then_some(Self {
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
            // Counting costs more than all the rest, and one answer of hundreds moves little.
            if self.samples <= COUNTED_ALWAYS || self.samples.is_multiple_of(COUNTED_EVERY) {
                (self.p50, self.p90) = (self.outputs.quantile(500), self.outputs.quantile(900));
            }
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

#[cfg(test)]
#[allow(clippy::arithmetic_side_effects, reason = "a test that overflows fails")]
mod tests {
    use super::*;

    /// A deterministic source of numbers (xorshift).
    struct Numbers(u64);

    impl Numbers {
        fn below(&mut self, bound: u64) -> u64 {
            self.0 ^= self.0 << 13;
            self.0 ^= self.0 >> 7;
            self.0 ^= self.0 << 17;
            (self.0 >> 11) % bound
        }
    }

    fn sample(request_bytes: u64, input: u64, response_bytes: u64, output: u64, stream: bool) -> Sample {
        Sample {
            request_bytes,
            input: Some(input),
            response_bytes,
            output: Some(output),
            stream,
        }
    }

    #[test]
    fn classes_are_exact_below_16_and_an_eighth_wide_above() {
        let mut last = 0;
        for tokens in (0..5_000u64).chain([1 << 20, (1 << 20) + 5, (1 << 24) - 1]) {
            let end = upper_end(class_of(tokens));
            assert!(end >= tokens, "{tokens} in a class that ends at {end}");
            assert!(
                end <= tokens + tokens / 8,
                "{tokens} in a class that ends at {end}"
            );
            assert!(class_of(tokens) >= last);
            last = class_of(tokens);
        }
        for class in 1..CLASSES {
            assert_eq!(class_of(upper_end(class)), class);
            assert_eq!(class_of(upper_end(class - 1) + 1), class);
        }
        assert_eq!(class_of(u64::MAX), CLASSES - 1);
        assert_eq!(upper_end(CLASSES - 1), (1 << 24) - 1);
    }

    #[test]
    fn the_defaults_hold_until_enough_is_learnt() {
        let mut estimates = Estimates::new();
        let unknown = estimates.of("p", "m");
        assert_eq!((unknown.samples(), unknown.is_learnt()), (0, false));
        assert_eq!(unknown.input_tokens(4_001), 1_001);
        assert_eq!(unknown.output_tokens(None), OUTPUT_DEFAULT);
        assert_eq!(unknown.output_tokens(Some(20)), 20);
        assert_eq!(unknown.answer_tokens(true, 1_000, 100_000), 10);
        for n in 1..=LEARNT_AFTER {
            estimates.learn("p", "m", &sample(200, 100, 3_000, 10, true));
            let learnt = estimates.of("p", "m");
            assert_eq!(learnt.samples(), n);
            if n < LEARNT_AFTER {
                assert_eq!(learnt.input_bytes(), INPUT_BYTES_DEFAULT);
                assert_eq!(learnt.output_p90(), OUTPUT_DEFAULT);
                assert_eq!(learnt.answer_bytes(true), None);
            }
        }
        let learnt = estimates.of("p", "m");
        assert_eq!(learnt.input_tokens(4_000), 2_000);
        assert_eq!((learnt.output_p50(), learnt.output_p90()), (10, 10));
        assert_eq!(learnt.output_tokens(Some(3)), 3);
        assert_eq!(learnt.answer_tokens(true, 3_000, 1), 10);
        // Nothing was learnt of whole answers.
        assert_eq!(learnt.answer_bytes(false), None);
        // Another model, and the same of another provider, are not known.
        assert!(!estimates.of("p", "n").is_learnt());
        assert!(!estimates.of("q", "m").is_learnt());
    }

    #[test]
    fn a_new_process_begins_with_the_defaults() {
        let mut estimates = Estimates::new();
        for _ in 0..100 {
            estimates.learn("p", "m", &sample(200, 100, 30, 7, false));
        }
        assert!(estimates.of("p", "m").is_learnt());
        let estimates = Estimates::new();
        assert_eq!(estimates.of("p", "m"), &Learnt::default());
        assert!(estimates.is_empty());
    }

    #[test]
    fn the_ratio_converges_on_what_requests_have() {
        let mut numbers = Numbers(7);
        let mut estimates = Estimates::new();
        // 3.5 bytes a token behind 300 bytes of JSON, sizes over three orders of magnitude.
        let mut one = |estimates: &mut Estimates, tenths: u64| {
            let input = 50u64 << numbers.below(10);
            let input = input + numbers.below(input);
            estimates.learn("p", "m", &sample(300 + input * tenths / 10, input, 9, 1, false));
        };
        for _ in 0..300 {
            one(&mut estimates, 35);
        }
        let bytes = estimates.of("p", "m").input_bytes();
        assert!((3_450..3_700).contains(&bytes), "{bytes}");
        // A new tokenizer shows within some dozens of requests.
        for _ in 0..150 {
            one(&mut estimates, 25);
        }
        let bytes = estimates.of("p", "m").input_bytes();
        assert!((2_450..2_700).contains(&bytes), "{bytes}");
    }

    #[test]
    fn one_request_with_a_picture_does_not_speak_for_the_others() {
        let mut estimates = Estimates::new();
        for _ in 0..200 {
            estimates.learn("p", "m", &sample(40_000, 10_000, 9, 1, false));
        }
        estimates.learn("p", "m", &sample(8 << 20, 1_200, 9, 1, false));
        let bytes = estimates.of("p", "m").input_bytes();
        assert!((4_000..4_300).contains(&bytes), "{bytes}");
    }

    #[test]
    fn the_quantiles_converge_on_what_answers_have() {
        let mut numbers = Numbers(11);
        let mut estimates = Estimates::new();
        // Every value from 1 to 1,000 equally often: nine of ten are at most 900.
        for _ in 0..2_000 {
            let output = 1 + numbers.below(1_000);
            estimates.learn("p", "m", &sample(100, 25, 10, output, false));
        }
        let learnt = estimates.of("p", "m");
        let (p50, p90) = (learnt.output_p50(), learnt.output_p90());
        assert!((450..=600).contains(&p50), "{p50}");
        assert!((860..=1_023).contains(&p90), "{p90}");
        // Answers become ten times as long.
        for _ in 0..1_500 {
            let output = 10 * (1 + numbers.below(1_000));
            estimates.learn("p", "m", &sample(100, 25, 10, output, false));
        }
        let p90 = estimates.of("p", "m").output_p90();
        assert!((8_300..=10_240).contains(&p90), "{p90}");
    }

    #[test]
    fn quantiles_equal_those_of_a_sorted_list_to_one_class() {
        let mut numbers = Numbers(3);
        for _ in 0..200 {
            let mut outputs = Outputs::default();
            let mut all = Vec::new();
            // Fewer than make the older ones count half.
            for _ in 0..=numbers.below(400) {
                let power = numbers.below(20);
                let tokens = numbers.below(1 << power);
                outputs.add(tokens);
                all.push(tokens);
            }
            all.sort_unstable();
            for permille in [1u32, 500, 900, 1_000] {
                let rank = (all.len() * permille as usize).div_ceil(1_000);
                let exact = all[rank - 1];
                assert_eq!(outputs.quantile(permille), upper_end(class_of(exact)));
            }
        }
    }

    #[test]
    fn the_oldest_model_gives_way() {
        let mut estimates = Estimates::new();
        let one = sample(100, 25, 10, 5, false);
        for n in 0..MODELS_MAX {
            estimates.learn(&format!("p{}", n % 7), &format!("m{n}"), &one);
        }
        estimates.learn("p0", "m0", &one);
        estimates.learn("p", "new", &one);
        assert_eq!(estimates.len(), MODELS_MAX);
        assert_eq!(estimates.iter().count(), MODELS_MAX);
        assert_eq!(estimates.of("p0", "m0").samples(), 2);
        assert_eq!(estimates.of("p1", "m1").samples(), 0);
        assert_eq!(estimates.of("p", "new").samples(), 1);
        for n in 0..10_000 {
            estimates.learn("q", &format!("n{n}"), &one);
        }
        assert_eq!(
            (estimates.len(), estimates.iter().count()),
            (MODELS_MAX, MODELS_MAX)
        );
        assert_eq!(estimates.providers.len(), 1);
    }

    #[test]
    fn two_shards_together_know_what_one_would() {
        let mut numbers = Numbers(5);
        let (mut left, mut right, mut all) = (Estimates::new(), Estimates::new(), Estimates::new());
        for n in 0..200 {
            let one = sample(4_000, 1_000, 500, 1 + numbers.below(300), false);
            let half = if n % 2 == 0 { &mut left } else { &mut right };
            half.learn("p", "m", &one);
            all.learn("p", "m", &one);
        }
        let mut sum = left.of("p", "m").clone();
        sum.merge(right.of("p", "m"));
        let all = all.of("p", "m");
        assert_eq!(
            (sum.samples(), sum.input_bytes()),
            (all.samples(), all.input_bytes())
        );
        assert_eq!(
            (sum.output_p50(), sum.output_p90()),
            (all.output_p50(), all.output_p90())
        );
    }

    #[test]
    fn no_number_is_too_large() {
        let mut estimates = Estimates::new();
        for huge in [u64::MAX, u64::MAX - 1, 1 << 60, 1, 0] {
            for other in [u64::MAX, 0, 1] {
                for _ in 0..20 {
                    estimates.learn("p", "m", &sample(huge, other, other, huge, true));
                }
                let learnt = estimates.of("p", "m");
                assert!(PER_THOUSAND.contains(&learnt.input_bytes()));
                let _ = learnt.input_tokens(u64::MAX);
                let _ = learnt.answer_tokens(true, u64::MAX, 0);
                let mut sum = learnt.clone();
                sum.merge(learnt);
                assert!(sum.output_p90() < 1 << 24);
            }
        }
    }
}
