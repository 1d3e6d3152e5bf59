//! What tokens cost, expected and at most, in nanodollars. What does not fit is more than any bucket holds.

use sluice_shared::cost::{self, Price};

use super::Use;

/// Of a request that is not sent yet: nothing of it is taken to be cached.
pub(super) fn expected(price: &Price, input: u64, output: u64) -> u64 {
    price.estimate(input, output).map_or(u64::MAX, |cost| cost.0)
}

/// Of counts as a provider would state them.
pub(super) fn stated(price: &Price, used: &Use) -> u64 {
    cost::cost(price, &used.usage()).map_or(u64::MAX, |cost| cost.0)
}

/// At the dearest rate that each token can have.
pub(super) fn most(price: &Price, input: u64, output: u64) -> u64 {
    cost::upper_bound(price, input, output).map_or(u64::MAX, |cost| cost.0)
}
