//! How much a request can cost at most, whatever the provider makes of it.

use super::{Price, Rate, Rates, TOKENS_PER_RATE};
use crate::units::NanoUsd;

/// The most that a request of at most so many tokens can cost, whatever of them is cached, written, audio, an image or
/// reasoning, and in whatever tier it is answered; the fee for a request is included. Rounded up. Hosted tools, pictures and
/// seconds of audio billed by the piece, and side work are not: nobody knows beforehand how many there will be.
///
/// [`cost`](super::cost) of a usage with these counts is never above it. `None` if it does not fit.
#[must_use]
pub fn upper_bound(price: &Price, input_tokens: u64, output_tokens: u64) -> Option<NanoUsd> {
    let (input, output) = dearest(price, input_tokens);
    sum_up(&[(input_tokens, input), (output_tokens, output)], price.request)
}

/// The dearest rates for a token read and for a token generated, of a request with at most so much input.
fn dearest(price: &Price, input_tokens: u64) -> (Rate, Rate) {
    let tiers = price.tiers.iter().map(|tier| (&tier.rates, &tier.above));
    let mut most = (0, 0);
    for (rates, above) in std::iter::once((&price.rates, &price.above)).chain(tiers) {
        let above = above.as_ref().filter(|above| input_tokens > above.tokens);
        for rates in std::iter::once(rates).chain(above.map(|above| &above.rates)) {
            most = (
                most.0.max(dearest_input(rates)),
                most.1.max(dearest_output(rates)),
            );
        }
    }
    most
}

fn dearest_input(rates: &Rates) -> Rate {
    [
        rates.cache_read,
        rates.cache_write_5m,
        rates.cache_write_1h,
        rates.audio_input.unwrap_or(0),
        rates.image_input.unwrap_or(0),
    ]
    .into_iter()
    .fold(rates.input, Rate::max)
}

fn dearest_output(rates: &Rates) -> Rate {
    [rates.reasoning, rates.audio_output, rates.image_output]
        .into_iter()
        .flatten()
        .fold(rates.output, Rate::max)
}

/// Tokens times rates, and a fee; rounded up.
pub(super) fn sum_up(tokens: &[(u64, Rate)], fee: Option<u64>) -> Option<NanoUsd> {
    let mut sum = u128::from(fee.unwrap_or(0)).checked_mul(TOKENS_PER_RATE)?;
    for (count, rate) in tokens {
        sum = sum.checked_add(u128::from(*count).checked_mul(u128::from(*rate))?)?;
    }
    u64::try_from(sum.div_ceil(TOKENS_PER_RATE)).ok().map(NanoUsd)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::super::{Above, Tier, cost, price_for};
    use super::*;
    use crate::usage::{ServiceTier, Usage};

    #[test]
    fn the_bound_is_the_dearest_of_everything() {
        let check = |basis: &str, model: &str, input: u64, output: u64, want: u64| {
            let price = price_for(basis, model).unwrap();
            assert_eq!(
                upper_bound(&price, input, output),
                Some(NanoUsd(want)),
                "{basis} {model}"
            );
        };
        // A write for an hour is dearest: 1,000 × 6 + 100 × 15 = 7,500 millionths
        check("anthropic", "claude-sonnet-4-6", 1_000, 100, 7_500_000);
        // Priority: 1,000 × 3.5 + 100 × 14 = 4,900
        check("openai", "gpt-4.1", 1_000, 100, 4_900_000);
        // Below and above the long-context limit, priority 1.8 times: 200,000 × 2.25 + 18; 200,001 × 4.5 + 27
        check("gemini", "gemini-2.5-pro", 200_000, 1, 450_018_000);
        check("gemini", "gemini-2.5-pro", 200_001, 1, 900_031_500);
        // Audio: 10 × 40 + 10 × 80
        check("openai", "gpt-4o-audio-preview-2024-12-17", 10, 10, 1_200_000);
        // The fee: 8 + 15 and half a cent
        check("perplexity", "sonar", 8, 15, 5_023_000);
        check("openai", "gpt-4.1", 0, 0, 0);
        let price = price_for("openai", "gpt-4.1").unwrap();
        assert_eq!(upper_bound(&price, u64::MAX, u64::MAX), None);
        // One token of half a nanodollar is a whole one.
        let tiny = Price {
            rates: Rates {
                input: 1,
                ..Rates::default()
            },
            ..Price::default()
        };
        assert_eq!(upper_bound(&tiny, 1, 0), Some(NanoUsd(1)));
        assert_eq!(tiny.estimate(1, 0), Some(NanoUsd(1)));
    }

    #[test]
    fn an_estimate_is_the_ordinary_price() {
        let check = |model: &str, input: u64, output: u64, want: u64| {
            let price = price_for("", model).unwrap();
            assert_eq!(price.estimate(input, output), Some(NanoUsd(want)), "{model}");
        };
        check("claude-sonnet-4-6", 1_000, 100, 4_500_000);
        check("gemini-2.5-pro", 200_001, 1, 500_017_500);
        check("sonar", 8, 15, 5_023_000);
    }

    fn rates() -> impl Strategy<Value = Rates> {
        let rate = || 0..50_000_000_000u64;
        let apart = || proptest::option::of(rate());
        let plain = (rate(), rate(), rate(), rate(), rate());
        (plain, apart(), apart(), apart(), apart(), apart()).prop_map(
            |(plain, reasoning, audio_input, audio_output, image_input, image_output)| Rates {
                input: plain.0,
                output: plain.1,
                cache_read: plain.2,
                cache_write_5m: plain.3,
                cache_write_1h: plain.4,
                reasoning,
                audio_input,
                audio_output,
                image_input,
                image_output,
            },
        )
    }

    fn above() -> impl Strategy<Value = Option<Above>> {
        proptest::option::of((0..3_000u64, rates()).prop_map(|(tokens, rates)| Above { tokens, rates }))
    }

    fn price() -> impl Strategy<Value = Price> {
        let tier = (0..3usize, rates(), above()).prop_map(|(tier, rates, above)| Tier {
            tier: ServiceTier::ALL[tier],
            rates,
            above,
        });
        let tiers = proptest::collection::vec(tier, 0..3);
        let fee = proptest::option::of(0..9_000_000u64);
        (rates(), above(), tiers, fee).prop_map(|(rates, above, tiers, request)| Price {
            rates,
            above,
            tiers,
            request,
            ..Price::default()
        })
    }

    fn usage() -> impl Strategy<Value = Usage> {
        let some = || proptest::option::of(0..5_000u64);
        let counts = proptest::collection::vec(some(), 11);
        (0..5_000u64, some(), counts, proptest::option::of(0..3usize)).prop_map(
            |(input, output, counts, tier)| Usage {
                input: Some(input),
                output,
                input_uncached: counts[0],
                cached_read: counts[1],
                cache_write: counts[2],
                cache_write_5m: counts[3],
                cache_write_1h: counts[4],
                reasoning: counts[5],
                input_audio: counts[6],
                input_image: counts[7],
                cached_audio: counts[8],
                output_audio: counts[9],
                output_image: counts[10],
                tier: tier.map(|tier| ServiceTier::ALL[tier]),
                ..Usage::default()
            },
        )
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(ProptestConfig::default().cases.max(4000)))]

        /// Whatever an answer says of its tokens, even if it contradicts itself.
        #[test]
        fn no_cost_is_above_the_bound(price in price(), usage in usage()) {
            let most = upper_bound(&price, usage.input.unwrap_or(0), usage.output.unwrap_or(0));
            prop_assert!(cost(&price, &usage) <= most);
        }

        #[test]
        fn a_bound_grows_with_its_tokens(price in price(), input in 0..5_000u64, output in 0..5_000u64) {
            let less = upper_bound(&price, input, output);
            prop_assert!(price.estimate(input, output) <= less);
            prop_assert!(less <= upper_bound(&price, input + 1, output));
            prop_assert!(less <= upper_bound(&price, input, output + 1));
        }
    }
}
