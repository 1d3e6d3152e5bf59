//! The most that a request can use.

use sluice_shared::cost::Price;
use sluice_shared::quota::Unit;

use super::{Call, Unbounded, Use, generates};

/// Tokens that a provider may put around what it is given: its template, hidden instructions, those for tools. The largest
/// seen in 675 recorded requests without hosted tools was below 1,300.
const TEMPLATE_TOKENS: u64 = 2_048;
/// The same for every key and value of the body.
const TEMPLATE_TOKENS_EACH: u64 = 4;

/// The largest amount that the call can take.
pub(super) fn bound(call: &Call<'_>, unit: Unit, price: Option<&Price>) -> Result<u64, Unbounded> {
    let output = if generates(call.kind) {
        allowed(call).ok_or(Unbounded {
            what: "max_tokens is missing",
        })?
    } else {
        0
    };
    let used = Use {
        input: input(call),
        output,
        ..Use::default()
    };
    Ok(used.amount(unit, price))
}

/// Tokens of the answer that the request allows; `None`: it sets no limit.
pub(super) fn allowed(call: &Call<'_>) -> Option<u64> {
    let each = call.facts.max_tokens?;
    Some(each.saturating_mul(call.facts.choices.unwrap_or(1).max(1)))
}

/// No token stands for less than a byte of what the model is given.
fn input(call: &Call<'_>) -> u64 {
    u64::from(call.facts.tokens)
        .saturating_mul(TEMPLATE_TOKENS_EACH)
        .saturating_add(call.body_bytes)
        .saturating_add(TEMPLATE_TOKENS)
}
