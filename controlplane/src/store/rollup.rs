//! What a record adds to the sums, and sums of a batch before they are written.

use std::collections::BTreeMap;

use sluice_shared::api::ApiKind;
use sluice_shared::units::UnixMicros;
use sluice_shared::usage::{Ended, Known, UsageRecord};

use super::Totals;
use super::detail::TextId;
use super::range::Level;
use super::texts::NO_TEXT;

/// Largest value of a sum: two of them add up without overflow in a database that counts in 64 signed bits.
pub(super) const CAP: u64 = 1 << 61;

/// What sums are kept by, beside the time. User, model and provider are numbers of texts.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Key {
    /// Bucket length in seconds.
    pub(super) level: u64,
    /// Start of the bucket in Unix seconds.
    pub(super) bucket: u64,
    pub(super) user: TextId,
    /// Model as asked for; empty for a request that reached no provider, so that nobody can make up groups.
    pub(super) model: TextId,
    pub(super) provider: TextId,
    pub(super) api: ApiKind,
}

/// Sums of a batch.
pub(super) type Sums = BTreeMap<Key, Totals>;

/// Whether a request counts as failed.
pub(crate) const fn is_error(status: u16, ended: Ended) -> bool {
    status >= 400 || matches!(ended, Ended::UpstreamFailed | Ended::Aborted)
}

/// The second of a moment, as the database can hold it.
pub(super) fn second(time: UnixMicros) -> u64 {
    time.0.min(i64::MAX.unsigned_abs()) / 1_000_000
}

/// The model that a request counts under.
pub(super) const fn counted_model(provider: TextId, asked: TextId) -> TextId {
    if provider == NO_TEXT { NO_TEXT } else { asked }
}

/// The keys that a request of a second counts under, one a level.
pub(super) fn keys(
    second: u64,
    user: TextId,
    provider: TextId,
    model_asked: TextId,
    api: ApiKind,
) -> impl Iterator<Item = Key> {
    Level::ROLLUPS.into_iter().map(move |level| Key {
        level: level.seconds(),
        bucket: second / level.seconds() * level.seconds(),
        user,
        model: counted_model(provider, model_asked),
        provider,
        api,
    })
}

/// What one record adds.
///
/// `served` says whether it reached a provider.
pub(super) fn contribution(record: &UsageRecord, served: bool) -> Totals {
    let usage = &record.usage;
    let count = |value: Option<u64>| value.unwrap_or(0).min(CAP);
    let billed = served && record.api.billed();
    Totals {
        requests: 1,
        errors: u64::from(is_error(record.status, record.ended)),
        unknown: u64::from(billed && record.status < 400 && record.usage_known == Known::Unknown),
        unpriced: u64::from(billed && record.usage_known != Known::Unknown && record.cost.is_none()),
        input: count(usage.input),
        input_uncached: count(usage.input_uncached),
        cached_read: count(usage.cached_read),
        cache_write: count(usage.cache_write),
        output: count(usage.output),
        reasoning: count(usage.reasoning),
        cost_nanousd: count(record.cost.map(|cost| cost.0)),
    }
}

/// Adds sums to sums.
pub(super) fn add(sum: &mut Totals, more: &Totals) {
    for (sum, more) in columns_mut(sum).into_iter().zip(columns(more)) {
        *sum = sum.saturating_add(more).min(CAP);
    }
}

/// Takes sums from sums that they are part of.
pub(super) fn subtract(sum: &mut Totals, part: &Totals) {
    for (sum, part) in columns_mut(sum).into_iter().zip(columns(part)) {
        *sum = sum.saturating_sub(part);
    }
}

/// Names of the sums, as columns and in answers.
pub(super) const COLUMNS: [&str; 11] = [
    "requests",
    "errors",
    "unknown",
    "unpriced",
    "input",
    "input_uncached",
    "cached_read",
    "cache_write",
    "output",
    "reasoning",
    "cost_nanousd",
];

/// The sums in the order of [`COLUMNS`].
pub(super) const fn columns(t: &Totals) -> [u64; 11] {
    [
        t.requests,
        t.errors,
        t.unknown,
        t.unpriced,
        t.input,
        t.input_uncached,
        t.cached_read,
        t.cache_write,
        t.output,
        t.reasoning,
        t.cost_nanousd,
    ]
}

/// As [`columns`], to be written to.
pub(super) const fn columns_mut(t: &mut Totals) -> [&mut u64; 11] {
    [
        &mut t.requests,
        &mut t.errors,
        &mut t.unknown,
        &mut t.unpriced,
        &mut t.input,
        &mut t.input_uncached,
        &mut t.cached_read,
        &mut t.cache_write,
        &mut t.output,
        &mut t.reasoning,
        &mut t.cost_nanousd,
    ]
}
