//! What a record adds to the sums, and sums of a batch before they are written.

use std::collections::BTreeMap;

use sluice_shared::usage::{Ended, Known, UsageRecord};

use super::Totals;
use super::range::Level;

/// Largest value of a sum: two of them add up without overflow in a database that counts in 64 signed bits.
pub(super) const CAP: u64 = 1 << 61;

/// What sums are kept by, beside the time.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Key {
    /// Bucket length in seconds.
    pub(super) level: u64,
    /// Start of the bucket in Unix seconds.
    pub(super) bucket: u64,
    pub(super) user: String,
    /// Model as asked for; empty for a request that reached no provider, so that nobody can make up groups.
    pub(super) model: String,
    pub(super) provider: String,
    pub(super) api: &'static str,
}

/// Sums of a batch.
pub(super) type Sums = BTreeMap<Key, Totals>;

/// Whether a request counts as failed.
pub(super) const fn is_error(status: u16, ended: Ended) -> bool {
    status >= 400 || matches!(ended, Ended::UpstreamFailed | Ended::Aborted)
}

/// The keys that a record counts under, one a level.
pub(super) fn keys(record: &UsageRecord) -> impl Iterator<Item = Key> + '_ {
    let second = record.time.0.min(i64::MAX.unsigned_abs()) / 1_000_000;
    Level::ROLLUPS.into_iter().map(move |level| Key {
        level: level.seconds(),
        bucket: second / level.seconds() * level.seconds(),
        user: record.user.clone(),
        model: if record.provider.is_empty() {
            String::new()
        } else {
            record.model_asked.clone()
        },
        provider: record.provider.clone(),
        api: record.api.name(),
    })
}

/// What one record adds.
pub(super) fn contribution(record: &UsageRecord) -> Totals {
    let usage = &record.usage;
    let count = |value: Option<u64>| value.unwrap_or(0).min(CAP);
    let billed = !record.provider.is_empty() && record.api.billed();
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

/// Adds a record to the sums of its batch.
pub(super) fn add(sums: &mut Sums, record: &UsageRecord) {
    let more = contribution(record);
    for key in keys(record) {
        let sum = sums.entry(key).or_default();
        for (sum, more) in columns_mut(sum).into_iter().zip(columns(&more)) {
            *sum = sum.saturating_add(more).min(CAP);
        }
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
