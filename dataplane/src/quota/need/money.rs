//! What tokens cost, expected and at most.

use sluice_shared::cost::{self, Price};

use super::Use;

/// At the rates that the counts have.
pub(super) fn expected(price: &Price, used: &Use) -> u64 {
    cost::cost(price, &used.usage()).map_or(u64::MAX, |cost| cost.0)
}

/// At the dearest rate that each token can have.
pub(super) fn most(price: &Price, input: u64, output: u64) -> u64 {
    let long = price
        .above
        .iter()
        .filter(|(tokens, _)| input > *tokens)
        .map(|(_, rates)| rates);
    let (mut read, mut written) = (0, 0);
    for rates in std::iter::once(&price.rates).chain(long) {
        read = [
            rates.input,
            rates.cache_read,
            rates.cache_write_5m,
            rates.cache_write_1h,
        ]
        .into_iter()
        .chain([price.audio_input, price.image_input].into_iter().flatten())
        .fold(read, u64::max);
        written = [price.audio_output, price.image_output, price.reasoning]
            .into_iter()
            .flatten()
            .chain([rates.output])
            .fold(written, u64::max);
    }
    let of = |tokens: u64, rate: u64| u128::from(tokens).saturating_mul(u128::from(rate));
    let sum = of(input, read)
        .saturating_add(of(output, written))
        .div_ceil(1_000_000)
        .saturating_add(u128::from(price.request.unwrap_or(0)));
    u64::try_from(sum).unwrap_or(u64::MAX)
}
