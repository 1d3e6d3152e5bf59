//! Questions of data planes, answered and written down; and how leases end.

use rusqlite::{Connection, OptionalExtension as _, params};
use sluice_shared::quota::ledger::{Account, Lease};
use sluice_shared::quota::unsigned;
use sluice_shared::units::UnixMicros;

use super::rows::{ACCOUNT, Stored, holders_of, leases, save_lease};
use super::{LeaseAsk, LeaseOutcome, Other, Touched};
use crate::store::StoreError;
use crate::store::detail::int;

/// Answers a question; opens the bucket if it is new.
pub(in crate::store) fn lease(
    connection: &Connection,
    asked: &LeaseAsk,
    now: UnixMicros,
) -> Result<LeaseOutcome, StoreError> {
    let (bucket, ask) = (&asked.bucket, &asked.ask);
    let sql = format!("SELECT id,{ACCOUNT} FROM buckets WHERE name = ? AND quota = ? AND unit = ?");
    let found = connection
        .prepare_cached(&sql)?
        .query_row(params![bucket.name, bucket.quota, bucket.unit as u8], |row| {
            Ok((row.get(0)?, Stored::read(row, 1)?))
        })
        .optional()?;
    let (id, mut stored) = match found {
        Some(found) => found,
        None => {
            let account = Account::open(asked.terms, now);
            let stored = Stored { account, mark: 0 };
            (stored.insert(connection, bucket)?, stored)
        }
    };
    let mut others = leases(connection, id)?;
    let own = others.iter().position(|lease| lease.holder == asked.holder);
    let mut lease = own.map_or_else(|| Lease::new(asked.holder, now), |at| others.swap_remove(at));
    let known = lease;
    let Some(grant) = stored.account.answer(&mut lease, &others, ask, now) else {
        return Ok(LeaseOutcome::Stale { bucket: id });
    };
    let missing = ask.need.saturating_sub(grant.granted.saturating_sub(ask.seen));
    let leased = |other: &Lease| unsigned(other.outstanding(stored.account.terms, stored.account.as_of));
    let away = others.iter().map(leased).fold(0, u64::saturating_add);
    stored.update(connection, id)?;
    if !asked.last && missing > 0 && missing <= away {
        // The report counts at once, so that it helps others who are short; the question stays open.
        let reported = Lease {
            granted: ask.seen,
            seen: ask.seen,
            returned: ask.returned,
            advanced: ask.advanced,
            ..known
        };
        save_lease(connection, id, &reported)?;
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
    save_lease(connection, id, &lease)?;
    Ok(LeaseOutcome::Granted { bucket: id, grant })
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
/// ([`Account::resume`] and [`Lease::resume`], for all at once).
pub(in crate::store) fn resume(connection: &Connection, now: UnixMicros) -> Result<(), StoreError> {
    connection.execute("UPDATE buckets SET as_of = ?1 WHERE as_of > ?1", [int(now.0)])?;
    connection.execute(
        "UPDATE leases SET as_of = min(as_of, ?1), since = min(since, ?1) WHERE as_of > ?1 OR since > ?1",
        [int(now.0)],
    )?;
    Ok(())
}
