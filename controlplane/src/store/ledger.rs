//! The ledger's rows: buckets, what is leased of them, and what happened to them.
//!
//! The arithmetic is that of [`sluice_shared::quota::ledger`]; here it is read, done and written, inside whatever
//! transaction the caller has. A charge is written in the transaction that inserts its record, an answer to a data plane
//! before anybody is told.

mod charge;
mod definitions;
mod history;
mod lease;
mod list;
mod mark;
mod rows;

use sluice_shared::quota::ledger::{Account, Ask, Grant};
use sluice_shared::quota::{Terms, Unit, unsigned};
use sluice_shared::units::UnixMicros;
use sluice_shared::wire::control::{Bucket, BucketRef};

pub(super) use charge::{Charges, charge};
pub(crate) use definitions::Definitions;
pub(super) use definitions::{prune, reconcile};
pub(super) use history::{events, refill, refills};
pub(super) use lease::{end_leases, holders, lease, resume};
pub(super) use list::{after_prefix, bucket, buckets};
pub(super) use rows::{ACCOUNT, Stored};

/// Number of a bucket.
pub(crate) type BucketId = u64;

/// A question of a data plane, with what is needed to answer it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct LeaseAsk {
    pub(crate) bucket: BucketRef,
    /// Ceiling and refill if a named bucket has to be opened.
    pub(crate) terms: Terms,
    /// Who asks: number of its journal.
    pub(crate) holder: u64,
    pub(crate) ask: Ask,
    /// Answer with what there is, although others could give something back.
    pub(crate) last: bool,
}

/// What came of a question.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum LeaseOutcome {
    /// The answer, as it is stored.
    Granted { bucket: BucketId, grant: Grant },
    /// Older than the last that was answered: not answered.
    Stale { bucket: BucketId },
    /// There is no bucket of this number, or not for this holder.
    Undefined,
    /// There is not enough, and others have what would help. What the holder reported is stored, no answer is.
    Short {
        bucket: BucketId,
        /// Who has something of it, and the last question of theirs that was answered.
        others: Vec<Other>,
    },
}

/// Another holder of a bucket.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Other {
    pub(crate) holder: u64,
    pub(crate) seq: u64,
}

/// A bucket of which more may be there than its holders were told.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Touched {
    pub(crate) bucket: BucketId,
    /// Who has a lease of it.
    pub(crate) holders: Vec<u64>,
}

/// Order of a list of buckets.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(crate) enum BucketOrder {
    /// Name, quota and unit.
    #[default]
    Name,
    /// The fullest use first, then as above. All of them are looked at for each page.
    Used,
}

impl BucketOrder {
    pub(crate) const ALL: [Self; 2] = [Self::Name, Self::Used];

    pub(crate) const fn name(self) -> &'static str {
        match self {
            Self::Name => "bucket",
            Self::Used => "used",
        }
    }
}

/// Which buckets are wanted.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct BucketQuery {
    /// The one of this number.
    pub(crate) id: Option<u64>,
    /// Name of the quota, with its templates.
    pub(crate) quota: Option<String>,
    /// Name of the bucket.
    pub(crate) name: Option<String>,
    pub(crate) unit: Option<Unit>,
    /// Only these: what a user may see. `None`: all.
    pub(crate) among: Option<Vec<Among>>,
    /// Only those whose names hold this, in whatever case (ASCII).
    pub(crate) search: Option<String>,
    pub(crate) order: BucketOrder,
    /// Only what comes after this one in the list; with [`BucketOrder::Used`] also [`BucketRow::used_ppm`] of it.
    pub(crate) after: Option<(u64, Bucket)>,
    pub(crate) limit: u32,
}

/// Buckets of a quota by their names.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Among {
    /// Of this name.
    Name { quota: String, name: String },
    /// Whose names begin so.
    Prefix { quota: String, prefix: String },
}

/// A bucket, refilled up to the moment of the question.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct BucketRow {
    pub(crate) id: BucketId,
    pub(crate) bucket: Bucket,
    pub(crate) account: Account,
    /// What data planes have of it or may have.
    pub(crate) leased: u64,
}

impl BucketRow {
    /// How much of the ceiling is used, in millionths, rounded down; above a million in debt.
    pub(crate) fn used_ppm(&self) -> u64 {
        used_ppm(&self.account)
    }
}

fn used_ppm(account: &Account) -> u64 {
    let used = u128::from(unsigned(account.terms.ceiling().saturating_sub(account.balance)));
    let ppm = used
        .saturating_mul(1_000_000)
        .checked_div(u128::from(account.terms.capacity));
    u64::try_from(ppm.unwrap_or(1_000_000)).unwrap_or(u64::MAX)
}

/// What a refill by hand did.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Refilled {
    pub(crate) before: i64,
    pub(crate) after: i64,
    pub(crate) added: u64,
    pub(crate) touched: Touched,
}

/// Which part of a history is wanted, newest first.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct HistoryQuery {
    /// Name of the quota, with its templates.
    pub(crate) quota: Option<String>,
    /// Name of the bucket.
    pub(crate) name: Option<String>,
    /// Only of these: what a user may see. `None`: all.
    pub(crate) among: Option<Vec<Among>>,
    /// Only entries older than the one of this number.
    pub(crate) before: Option<u64>,
    pub(crate) limit: u32,
}

/// A refill by hand, as it is remembered.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct RefillEntry {
    pub(crate) id: u64,
    pub(crate) time: UnixMicros,
    pub(crate) bucket: Bucket,
    /// Login of whoever did it.
    pub(crate) author: String,
    pub(crate) added: u64,
    pub(crate) before: i64,
    pub(crate) after: i64,
}

/// A bucket that was used up to one of its marks.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct QuotaEvent {
    pub(crate) id: u64,
    pub(crate) time: UnixMicros,
    pub(crate) bucket: Bucket,
    /// 50, 80 or 100.
    pub(crate) percent: u8,
    pub(crate) balance: i64,
    pub(crate) capacity: u64,
}

#[cfg(test)]
mod tests;
