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
