//! What was in buckets in the past: samples of those that changed, every five minutes for two days, of every hour the last
//! one for ninety days. A bucket without a newer sample is as the last one says, but for its refill.

use rusqlite::{Connection, OptionalExtension as _, Row, TransactionBehavior, params};
use sluice_shared::quota::Unit;
use sluice_shared::units::UnixMicros;

use super::detail::int;
use super::ledger::{self, ACCOUNT, BucketId, BucketRow, Stored};
use super::sqlite::Sqlite;
use super::{Pending, StoreError};

/// Seconds between two samples of a bucket.
pub(crate) const FINE_S: u64 = 300;
/// Seconds of which the last sample is kept for long.
pub(crate) const COARSE_S: u64 = 3_600;
/// How long each of the two is kept, in seconds.
pub(crate) const FINE_KEPT_S: u64 = 48 * 3_600;
pub(crate) const COARSE_KEPT_S: u64 = 90 * 86_400;
/// Buckets that are looked at in one transaction.
const STRETCH: i64 = 2_000;
/// Samples that are removed in one transaction.
const PURGED_MAX: i64 = 5_000;
/// Samples of one answer: all fine ones and all coarse ones.
const POINTS_MAX: i64 = 4_000;

/// A bucket at a moment.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Sample {
    pub(crate) time: UnixMicros,
    pub(crate) balance: i64,
    /// Everything that was ever charged.
    pub(crate) charged: u64,
}

/// What a stretch of sampling did.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Sampled {
    /// Where the next stretch begins; `None`: these were the last buckets.
    pub(crate) next: Option<BucketId>,
    pub(crate) taken: u32,
}

/// The part of a store that knows what was in buckets.
pub(crate) trait SampleRows: Send + Sync {
    /// Samples those of a stretch of buckets, behind `after`, that changed since their last sample; at most `limit` of them.
    fn sample_buckets(&self, after: BucketId, limit: u32, now: UnixMicros) -> Pending<'_, Sampled>;
    /// Removes some samples that are too old; whether there may be more.
    fn purge_samples(&self, now: UnixMicros) -> Pending<'_, bool>;
    /// Samples of a bucket in a period, in order: fine ones where they are kept, else coarse ones.
    fn samples(
        &self,
        bucket: BucketId,
        from: UnixMicros,
        to: UnixMicros,
        now: UnixMicros,
    ) -> Pending<'_, Vec<Sample>>;
    /// Of each bucket the last sample before a moment, or else its first one.
    fn samples_before<'a>(
        &'a self,
        buckets: &'a [BucketId],
        before: UnixMicros,
    ) -> Pending<'a, Vec<Option<Sample>>>;
    /// The bucket of a number, refilled up to now.
    fn bucket(&self, id: BucketId, now: UnixMicros) -> Pending<'_, Option<BucketRow>>;
}

impl SampleRows for Sqlite {
    fn sample_buckets(&self, after: BucketId, limit: u32, now: UnixMicros) -> Pending<'_, Sampled> {
        Box::pin(async move { sample(&mut self.writer().connection, after, limit, now) })
    }

    fn purge_samples(&self, now: UnixMicros) -> Pending<'_, bool> {
        Box::pin(async move { purge(&self.writer().connection, now) })
    }

    fn samples(
        &self,
        bucket: BucketId,
        from: UnixMicros,
        to: UnixMicros,
        now: UnixMicros,
    ) -> Pending<'_, Vec<Sample>> {
        Box::pin(self.look(move |connection| list(connection, bucket, from, to, now)))
    }

    fn samples_before<'a>(
        &'a self,
        buckets: &'a [BucketId],
        before: UnixMicros,
    ) -> Pending<'a, Vec<Option<Sample>>> {
        let buckets = buckets.to_vec();
        Box::pin(self.look(move |connection| {
            let look = |bucket: &BucketId| before_or_first(connection, *bucket, before);
            buckets.iter().map(look).collect()
        }))
    }

    fn bucket(&self, id: BucketId, now: UnixMicros) -> Pending<'_, Option<BucketRow>> {
        Box::pin(async move {
            let mut lists = self.lists();
            let view = lists.transaction()?;
            ledger::bucket(&view, id, now)
        })
    }
}

/// A bucket whose state is to be kept.
struct Changed {
    id: BucketId,
    raw: i64,
    sample: Sample,
}

fn sample(
    connection: &mut Connection,
    after: BucketId,
    limit: u32,
    now: UnixMicros,
) -> Result<Sampled, StoreError> {
    let transaction = connection.transaction_with_behavior(TransactionBehavior::Immediate)?;
    let mut changed: Vec<Changed> = Vec::new();
    let (mut seen, mut last) = (0, None);
    {
        let columns: Vec<String> = ACCOUNT.split(',').map(|column| format!("b.{column}")).collect();
        // What runs at this moment is no amount that is used up.
        let mut select = transaction.prepare_cached(&format!(
            "SELECT b.id, {}, s.raw, s.balance, s.charged FROM buckets b LEFT JOIN quota_sampled s ON s.bucket = b.id \
             WHERE b.id > ? AND b.unit <> {} ORDER BY b.id LIMIT {STRETCH}",
            columns.join(","),
            Unit::Concurrency as u8
        ))?;
        let at = 1 + columns.len();
        let mut rows = select.query([int(after)])?;
        while let Some(row) = rows.next()? {
            if changed.len() >= usize::try_from(limit).unwrap_or(usize::MAX) {
                // The next stretch begins behind the last one that was looked at.
                seen = STRETCH;
                break;
            }
            seen += 1;
            let id = row.get(0)?;
            last = Some(id);
            let mut account = Stored::read(row, 1)?.account;
            let raw = account.balance;
            account.refill(now);
            let known: Option<i64> = row.get(at)?;
            let same = match known {
                None => false,
                Some(known) => {
                    let (balance, charged): (i64, u64) = (row.get(at + 1)?, row.get(at + 2)?);
                    let full = account.balance >= account.terms.ceiling();
                    // A bucket that has just been refilled to its ceiling changed, too.
                    known == raw && charged == account.charged && (!full || balance == account.balance)
                }
            };
            if !same {
                changed.push(Changed {
                    id,
                    raw,
                    sample: Sample {
                        time: now,
                        balance: account.balance,
                        charged: account.charged,
                    },
                });
            }
        }
        let mut keep = transaction.prepare_cached(
            "INSERT OR REPLACE INTO quota_samples (bucket,level,slot,time,balance,charged) VALUES (?,?,?,?,?,?)",
        )?;
        let mut note = transaction.prepare_cached(
            "INSERT OR REPLACE INTO quota_sampled (bucket,raw,balance,charged) VALUES (?,?,?,?)",
        )?;
        for Changed { id, raw, sample } in &changed {
            for level in [FINE_S, COARSE_S] {
                keep.execute(params![
                    int(*id),
                    int(level),
                    int(slot(now, level)),
                    int(sample.time.0),
                    sample.balance,
                    int(sample.charged)
                ])?;
            }
            note.execute(params![int(*id), raw, sample.balance, int(sample.charged)])?;
        }
    }
    transaction.commit()?;
    Ok(Sampled {
        next: last.filter(|_| seen >= STRETCH),
        taken: u32::try_from(changed.len()).unwrap_or(u32::MAX),
    })
}

/// The beginning of a sample's stretch, in Unix seconds.
fn slot(time: UnixMicros, level: u64) -> u64 {
    let second = time.0 / 1_000_000;
    second - second % level
}

fn purge(connection: &Connection, now: UnixMicros) -> Result<bool, StoreError> {
    let second = now.0 / 1_000_000;
    let mut more = false;
    for (level, kept) in [(FINE_S, FINE_KEPT_S), (COARSE_S, COARSE_KEPT_S)] {
        let removed = connection
            .prepare_cached(&format!(
                "DELETE FROM quota_samples WHERE (bucket,level,slot) IN (SELECT bucket,level,slot FROM quota_samples \
                 INDEXED BY quota_samples_by_slot WHERE level = ? AND slot < ? ORDER BY slot LIMIT {PURGED_MAX})"
            ))?
            .execute([int(level), int(second.saturating_sub(kept))])?;
        more |= int(removed as u64) >= PURGED_MAX;
    }
    Ok(more)
}

fn read(row: &Row<'_>) -> rusqlite::Result<Sample> {
    Ok(Sample {
        time: UnixMicros(row.get(0)?),
        balance: row.get(1)?,
        charged: row.get(2)?,
    })
}

fn list(
    connection: &Connection,
    bucket: BucketId,
    from: UnixMicros,
    to: UnixMicros,
    now: UnixMicros,
) -> Result<Vec<Sample>, StoreError> {
    let second = |time: UnixMicros| time.0.min(i64::MAX.unsigned_abs()) / 1_000_000;
    // Whole hours, so that none is told twice.
    let fine_from = second(now).saturating_sub(FINE_KEPT_S).next_multiple_of(COARSE_S);
    let mut select = connection.prepare_cached(&format!(
        "SELECT time,balance,charged FROM quota_samples WHERE bucket = ?1 AND level = ?2 AND slot >= ?3 AND slot < ?4 \
         AND time >= ?5 AND time < ?6 ORDER BY slot DESC LIMIT {POINTS_MAX}"
    ))?;
    let mut out = Vec::new();
    for (level, low, high) in [(FINE_S, fine_from, u64::MAX), (COARSE_S, 0, fine_from)] {
        let low = low.max(slot(from, level));
        let rows = select.query_map(
            [
                int(bucket),
                int(level),
                int(low),
                int(high.min(second(to).saturating_add(1))),
                int(from.0),
                int(to.0),
            ],
            read,
        )?;
        out.extend(rows.collect::<Result<Vec<_>, _>>()?);
    }
    out.reverse();
    Ok(out)
}

fn before_or_first(
    connection: &Connection,
    bucket: BucketId,
    before: UnixMicros,
) -> Result<Option<Sample>, StoreError> {
    for (level, order) in [
        (FINE_S, "<= ?3"),
        (COARSE_S, "<= ?3 - 3600"),
        (FINE_S, "> ?3"),
        (COARSE_S, "> ?3 - 3600"),
    ] {
        let direction = if order.starts_with('<') { "DESC" } else { "ASC" };
        let found = connection
            .prepare_cached(&format!(
                "SELECT time,balance,charged FROM quota_samples WHERE bucket = ?1 AND level = ?2 AND slot {order} \
                 ORDER BY slot {direction} LIMIT 1"
            ))?
            .query_row([int(bucket), int(level), int(before.0 / 1_000_000)], read)
            .optional()?;
        if found.is_some() {
            return Ok(found);
        }
    }
    Ok(None)
}

#[cfg(test)]
pub(crate) mod tests;
