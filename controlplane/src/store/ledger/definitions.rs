//! What the document defines, and what becomes of buckets when it changes.

use std::collections::HashMap;

use rusqlite::Connection;
use sluice_shared::quota::{Terms, Unit};
use sluice_shared::snapshot::{Quota, QuotaLimit};
use sluice_shared::units::UnixMicros;
use sluice_shared::wire::control::Bucket;

use super::rows::{ACCOUNT, Stored, drop_ended, holders_of};
use super::{BucketId, Touched, mark};
use crate::store::StoreError;
use crate::store::detail::int;

/// A bucket that nobody has a lease of, that is full and was not touched for this long, is forgotten: one that is opened
/// later starts full, too.
const UNTOUCHED_US: u64 = 24 * 3_600 * 1_000_000;
/// Buckets of a stretch.
const PRUNED_MAX: u32 = 2_000;

/// The quotas of a document by their names.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct Definitions(HashMap<String, Vec<QuotaLimit>>);

/// What becomes of a bucket.
enum Verdict {
    Stays,
    Changes(Terms),
    Goes,
}

impl Definitions {
    pub(crate) fn of(quotas: &[Quota]) -> Self {
        let limits = |quota: &Quota| (quota.name.clone(), quota.limits.clone());
        Self(quotas.iter().map(limits).collect())
    }

    /// Ceiling and refill of a bucket; `None`: it is not defined, or its definition cannot be read.
    pub(crate) fn terms(&self, bucket: &Bucket) -> Option<Terms> {
        let limits = self.0.get(&bucket.quota)?;
        let limit = limits.iter().find(|limit| limit.unit == bucket.unit)?;
        Some(limit.terms)
    }

    fn verdict(&self, quota: &str, unit: Unit, present: Terms) -> Verdict {
        match self.0.get(quota).map(Vec::as_slice) {
            None => Verdict::Goes,
            // Somebody mistyped an amount: that costs nobody a balance.
            Some([]) => Verdict::Stays,
            Some(limits) => match limits.iter().find(|limit| limit.unit == unit) {
                None => Verdict::Goes,
                Some(limit) if limit.terms == present => Verdict::Stays,
                Some(limit) => Verdict::Changes(limit.terms),
            },
        }
    }
}

/// Brings all buckets in line with what is defined: what is defined no more goes with its leases, other terms apply from
/// now on. Those that changed or went.
pub(in crate::store) fn reconcile(
    connection: &mut Connection,
    definitions: &Definitions,
    now: UnixMicros,
) -> Result<Vec<Touched>, StoreError> {
    let transaction = connection.transaction()?;
    let mut verdicts: Vec<(BucketId, Verdict)> = Vec::new();
    {
        let mut select =
            transaction.prepare("SELECT id,quota,unit,capacity,rate_amount,rate_per_us FROM buckets")?;
        let mut rows = select.query([])?;
        while let Some(row) = rows.next()? {
            let present = Terms {
                capacity: row.get(3)?,
                rate: sluice_shared::quota::Rate {
                    amount: row.get(4)?,
                    per_us: row.get(5)?,
                },
            };
            let unit = Unit::from_index(row.get(2)?).ok_or(StoreError::Column("unit"))?;
            let quota = row
                .get_ref(1)?
                .as_str()
                .map_err(|_| StoreError::Column("quota"))?;
            match definitions.verdict(quota, unit, present) {
                Verdict::Stays => {}
                verdict => verdicts.push((row.get(0)?, verdict)),
            }
        }
    }
    let mut touched = Vec::with_capacity(verdicts.len());
    for (id, verdict) in verdicts {
        touched.push(Touched {
            bucket: id,
            holders: holders_of(&transaction, id)?,
        });
        if let Verdict::Changes(terms) = verdict {
            let sql = format!("SELECT {ACCOUNT} FROM buckets WHERE id = ?");
            let mut stored = transaction
                .prepare_cached(&sql)?
                .query_row([int(id)], |row| Stored::read(row, 0))?;
            stored.account.set_terms(terms, now);
            // Nobody used anything by this: no mark is told, and those that are passed count as told.
            stored.mark = mark::reached(&stored.account);
            stored.update(&transaction, id)?;
        } else {
            remove(&transaction, id)?;
        }
    }
    transaction.commit()?;
    Ok(touched)
}

/// Looks at a stretch of buckets, those after a number, and forgets the ones that are as good as new. Where the next
/// stretch begins; `None` at the end.
pub(in crate::store) fn prune(
    connection: &mut Connection,
    after: BucketId,
    now: UnixMicros,
) -> Result<Option<BucketId>, StoreError> {
    let transaction = connection.transaction()?;
    let stretch: Vec<(u64, Stored)> = {
        let sql = format!("SELECT id,{ACCOUNT} FROM buckets WHERE id > ? ORDER BY id LIMIT {PRUNED_MAX}");
        let mut select = transaction.prepare_cached(&sql)?;
        let rows = select.query_map([int(after)], |row| Ok((row.get(0)?, Stored::read(row, 1)?)))?;
        rows.collect::<Result<_, _>>()?
    };
    let last = stretch.last().map(|(id, _)| *id);
    let before = UnixMicros(now.0.saturating_sub(UNTOUCHED_US));
    for (id, stored) in stretch {
        let mut account = stored.account;
        if account.as_of >= before {
            continue;
        }
        account.refill(now);
        drop_ended(&transaction, id, &account, before)?;
        if account.balance == account.terms.ceiling() && holders_of(&transaction, id)?.is_empty() {
            remove(&transaction, id)?;
        }
    }
    transaction.commit()?;
    Ok(last)
}

fn remove(connection: &Connection, id: BucketId) -> Result<(), StoreError> {
    for sql in [
        "DELETE FROM leases WHERE bucket = ?",
        "DELETE FROM buckets WHERE id = ?",
        "DELETE FROM quota_sampled WHERE bucket = ?",
    ] {
        connection.prepare_cached(sql)?.execute([int(id)])?;
    }
    Ok(())
}
