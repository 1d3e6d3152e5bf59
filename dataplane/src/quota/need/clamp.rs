//! Lowering what a request may generate to what a bucket has left.

use sluice_proto::splice::{Edit, OutputKey};
use sluice_shared::cost::Price;
use sluice_shared::quota::estimate::Estimates;
use sluice_shared::quota::{AMOUNT_MAX, Unit};
use sluice_shared::snapshot::{Admission, Quota, QuotaLimit};
use smallvec::SmallVec;

use super::{Call, need};

/// Fewest output tokens that are worth a request; OpenAI's responses take no lower limit.
const OUTPUT_MIN: u64 = 16;
/// Largest limit that is put in where a request names none and the model's own is not known.
const OUTPUT_MAX: u64 = 1 << 20;

/// A request with a lower limit on its output.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Clamp {
    /// Output tokens that each answer may have.
    pub(crate) max_tokens: u64,
    /// What the bucket needs then: at most what was free.
    pub(crate) amount: u64,
    /// The change of the original body.
    pub(crate) edits: SmallVec<[Edit; 1]>,
}

/// The highest limit on output tokens with which the call fits into `free` of a bucket. `None`: the quota does not want it,
/// the limit is not the matter, the body has no place for it, or it would be below [`OUTPUT_MIN`].
///
/// Where several buckets are short, the result goes into [`Call::lowered`] for the next of them; the edits of the last call
/// hold.
pub(crate) fn clamp_max_tokens(
    limit: &QuotaLimit,
    quota: &Quota,
    call: &Call<'_>,
    estimates: &Estimates,
    price: Option<&Price>,
    free: u64,
) -> Option<Clamp> {
    let matters = quota.clamp_max_tokens
        && quota.admission != Admission::Positive
        && matches!(limit.unit, Unit::Usd | Unit::Tokens)
        && !call.is_form;
    if !matters {
        return None;
    }
    let key = OutputKey::of(call.kind, call.basis, call.model)?;
    let asked = [key.limit(call.facts), call.lowered].into_iter().flatten().min();
    if quota.admission == Admission::Strict {
        // Once for all the calls below.
        let _ = call.outside();
    }
    let amount = |max_tokens: u64| {
        let call = Call {
            lowered: Some(max_tokens),
            ..call.clone()
        };
        need(limit, quota, &call, estimates, price).map_or(AMOUNT_MAX, |need| need.amount)
    };
    // The least limit that is known to fit, and the least that is known not to.
    let mut fits = OUTPUT_MIN;
    let mut above = asked.unwrap_or(OUTPUT_MAX).min(OUTPUT_MAX).saturating_add(1);
    if fits >= above || amount(fits) > free {
        return None;
    }
    while above.saturating_sub(fits) > 1 {
        let middle = fits.midpoint(above);
        if amount(middle) <= free {
            fits = middle;
        } else {
            above = middle;
        }
    }
    Some(Clamp {
        max_tokens: fits,
        amount: amount(fits),
        edits: key.lower(call.facts, fits)?,
    })
}
