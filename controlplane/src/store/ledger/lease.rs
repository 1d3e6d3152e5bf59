//! Questions of data planes, answered and written down; and how leases end.

use std::collections::BTreeSet;

use rusqlite::{Connection, OptionalExtension as _, params};
use sluice_shared::quota::ledger::{Account, Lease};
use sluice_shared::quota::{Terms, unsigned};
use sluice_shared::units::UnixMicros;
use sluice_shared::wire::control::{Bucket, BucketRef};

use super::rows::{ACCOUNT, Stored, holders_of, leases, save_lease};
use super::{BucketId, LeaseAsk, LeaseOutcome, Other, Touched};
use crate::store::StoreError;
use crate::store::detail::int;

/// Answers a question; opens the bucket if it is new. Of a bucket that somebody waits for (`contested`) nobody gets more
/// than he needs.
pub(in crate::store) fn lease(
    connection: &Connection,
    asked: &LeaseAsk,
    now: UnixMicros,
    contested: &BTreeSet<BucketId>,
) -> Result<LeaseOutcome, StoreError> {
    let ask = &asked.ask;
    let found = match &asked.bucket {
        BucketRef::Named(bucket) => Some(named(connection, bucket, asked.terms, now)?),
        BucketRef::Numbered(id) => numbered(connection, *id)?.map(|stored| (*id, stored)),
    };
    let Some((id, mut stored)) = found else {
        return Ok(LeaseOutcome::Undefined);
    };
    let mut others = leases(connection, id)?;
    let own = others.iter().position(|lease| lease.holder == asked.holder);
    let mut lease = match (own, &asked.bucket) {
        (Some(at), _) => others.swap_remove(at),
        (None, BucketRef::Named(_)) => Lease::new(asked.holder, now),
        // Its number was told by another store, whose numbers are not ours.
        (None, BucketRef::Numbered(_)) => return Ok(LeaseOutcome::Undefined),
    };
    let known = lease;
    let Some(mut grant) = stored.account.answer(&mut lease, &others, ask, now) else {
        return Ok(LeaseOutcome::Stale { bucket: id });
    };
    let missing = ask.need.saturating_sub(grant.granted.saturating_sub(ask.seen));
    let leased = |other: &Lease| unsigned(other.outstanding(stored.account.terms, stored.account.as_of));
    let away = others.iter().map(leased).fold(0, u64::saturating_add);
    stored.update(connection, id)?;
    if !asked.last && missing > 0 && missing <= away {
        // The report counts at once, so that it helps others who are short; the question stays open. A stint that
        // begins has nothing to report; it counts as a holder all the same.
        if own.is_none() {
            save_lease(connection, id, &known, false)?;
        } else if ask.first == known.first {
            let reported = Lease {
                granted: ask.seen,
                seen: ask.seen,
                returned: ask.returned,
                advanced: ask.advanced,
                ..known
            };
            save_lease(connection, id, &reported, false)?;
        }
        let others = others.iter().filter(|other| leased(other) > 0);
        return Ok(LeaseOutcome::Short {
            bucket: id,
            others: others
                .map(|other| Other {
                    holder: other.holder,
                    seq: other.seq,
                })
                .collect(),
        });
    }
    if contested.contains(&id) {
        let part = grant.granted.wrapping_sub(ask.seen).min(ask.need);
        lease.granted = ask.seen.wrapping_add(part);
        grant.granted = lease.granted;
    }
    save_lease(connection, id, &lease, ask.last)?;
    Ok(LeaseOutcome::Granted { bucket: id, grant })
}

/// A bucket by its name, opened if it is new.
fn named(
    connection: &Connection,
    bucket: &Bucket,
    terms: Terms,
    now: UnixMicros,
) -> Result<(BucketId, Stored), StoreError> {
    let sql = format!("SELECT id,{ACCOUNT} FROM buckets WHERE name = ? AND quota = ? AND unit = ?");
    let found = connection
        .prepare_cached(&sql)?
        .query_row(params![bucket.name, bucket.quota, bucket.unit as u8], |row| {
            Ok((row.get(0)?, Stored::read(row, 1)?))
        })
        .optional()?;
    match found {
        Some(found) => Ok(found),
        None => {
            let account = Account::open(terms, now);
            let stored = Stored { account, mark: 0 };
            Ok((stored.insert(connection, bucket)?, stored))
        }
    }
}

fn numbered(connection: &Connection, id: BucketId) -> Result<Option<Stored>, StoreError> {
    let sql = format!("SELECT {ACCOUNT} FROM buckets WHERE id = ?");
    let mut select = connection.prepare_cached(&sql)?;
    Ok(select
        .query_row([int(id)], |row| Stored::read(row, 0))
        .optional()?)
}

/// Ends everything that a holder had: its journal is stored to the end. What it had not charged was never spent, so that
/// others can have more now.
pub(in crate::store) fn end_leases(connection: &Connection, holder: u64) -> Result<Vec<Touched>, StoreError> {
    let buckets = {
        let mut select = connection.prepare("SELECT bucket FROM leases WHERE holder = ?")?;
        let rows = select.query_map([int(holder)], |row| row.get(0))?;
        rows.collect::<Result<Vec<u64>, _>>()?
    };
    connection.execute("DELETE FROM leases WHERE holder = ?", [int(holder)])?;
    let touched = buckets.into_iter().map(|bucket| {
        Ok(Touched {
            bucket,
            holders: holders_of(connection, bucket)?,
        })
    });
    touched.collect()
}

/// Who has leases.
pub(in crate::store) fn holders(connection: &Connection) -> Result<Vec<u64>, StoreError> {
    let mut select = connection.prepare("SELECT DISTINCT holder FROM leases ORDER BY 1")?;
    let rows = select.query_map([], |row| row.get(0))?;
    Ok(rows.collect::<Result<_, _>>()?)
}

/// A new process begins: what was refilled in a future that has not come yet counts as refilled
/// ([`Account::resume`] and [`Lease::set_back`], for all at once).
pub(in crate::store) fn resume(connection: &Connection, now: UnixMicros) -> Result<(), StoreError> {
    connection.execute(
        "UPDATE leases SET as_of = max(0, leases.as_of - (b.as_of - ?1)), since = max(0, since - (b.as_of - ?1))
         FROM buckets b WHERE b.id = leases.bucket AND b.as_of > ?1",
        [int(now.0)],
    )?;
    connection.execute("UPDATE buckets SET as_of = ?1 WHERE as_of > ?1", [int(now.0)])?;
    Ok(())
}
