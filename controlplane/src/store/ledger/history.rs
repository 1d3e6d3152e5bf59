//! What happened to buckets: refills by hand, and marks that were reached. The newest of each are kept.

use rusqlite::{Connection, OptionalExtension as _, params};
use sluice_shared::quota::AMOUNT_MAX;
use sluice_shared::quota::ledger::Account;
use sluice_shared::units::UnixMicros;
use sluice_shared::wire::control::Bucket;

use super::rows::{ACCOUNT, NAME, Stored, holders_of, name};
use super::{Among, HistoryQuery, QuotaEvent, RefillEntry, Refilled, Touched, mark};
use crate::store::StoreError;
use crate::store::detail::int;

/// Entries of each history.
pub(in crate::store) const ENTRIES_MAX: i64 = 100_000;

/// A mark that is reached now.
pub(super) struct Event<'a> {
    pub(super) time: UnixMicros,
    pub(super) bucket: &'a Bucket,
    pub(super) percent: u8,
    pub(super) account: &'a Account,
}

/// Remembers a mark.
pub(super) fn add_event(connection: &Connection, event: &Event<'_>) -> Result<QuotaEvent, StoreError> {
    let capacity = event.account.terms.capacity;
    let sql =
        format!("INSERT INTO quota_events (time,{NAME},percent,balance,capacity) VALUES (?,?,?,?,?,?,?)");
    let id = connection.prepare_cached(&sql)?.insert(params![
        int(event.time.0),
        event.bucket.quota,
        event.bucket.name,
        event.bucket.unit as u8,
        event.percent,
        event.account.balance,
        int(capacity),
    ])?;
    connection
        .prepare_cached("DELETE FROM quota_events WHERE id <= ?")?
        .execute([id.saturating_sub(ENTRIES_MAX)])?;
    Ok(QuotaEvent {
        id: id.unsigned_abs(),
        time: event.time,
        bucket: event.bucket.clone(),
        percent: event.percent,
        balance: event.account.balance,
        capacity,
    })
}

/// Adds an amount to a bucket, up to its ceiling; all that is missing if none is said. `None`: nobody has ever asked for
/// the bucket, so that it is full.
pub(in crate::store) fn refill(
    connection: &mut Connection,
    bucket: &Bucket,
    amount: Option<u64>,
    author: &str,
    now: UnixMicros,
) -> Result<Option<Refilled>, StoreError> {
    let transaction = connection.transaction()?;
    let sql = format!("SELECT id,{ACCOUNT} FROM buckets WHERE name = ? AND quota = ? AND unit = ?");
    let found: Option<(u64, Stored)> = transaction
        .prepare_cached(&sql)?
        .query_row(params![bucket.name, bucket.quota, bucket.unit as u8], |row| {
            Ok((row.get(0)?, Stored::read(row, 1)?))
        })
        .optional()?;
    let Some((id, mut stored)) = found else {
        return Ok(None);
    };
    stored.account.refill(now);
    let before = stored.account.balance;
    let mut added = stored.account.add(amount.unwrap_or(AMOUNT_MAX), now);
    if amount.is_none() {
        // A debt can be deeper than the largest amount.
        while stored.account.balance < stored.account.terms.ceiling() {
            added = added.saturating_add(stored.account.add(AMOUNT_MAX, now));
        }
    }
    stored.mark = mark::rearmed(stored.mark, &stored.account);
    stored.update(&transaction, id)?;
    let after = stored.account.balance;
    let sql = format!("INSERT INTO refills (time,{NAME},author,added,before,after) VALUES (?,?,?,?,?,?,?,?)");
    let entry = transaction.prepare_cached(&sql)?.insert(params![
        int(now.0),
        bucket.quota,
        bucket.name,
        bucket.unit as u8,
        author,
        int(added),
        before,
        after,
    ])?;
    transaction.execute(
        "DELETE FROM refills WHERE id <= ?",
        [entry.saturating_sub(ENTRIES_MAX)],
    )?;
    let touched = Touched {
        bucket: id,
        holders: holders_of(&transaction, id)?,
    };
    transaction.commit()?;
    Ok(Some(Refilled {
        before,
        after,
        added,
        touched,
    }))
}

/// Refills, newest first.
pub(in crate::store) fn refills(
    connection: &Connection,
    query: &HistoryQuery,
) -> Result<Vec<RefillEntry>, StoreError> {
    let sql =
        format!("SELECT {NAME},id,time,author,added,before,after FROM refills WHERE id < ? ORDER BY id DESC");
    entries(connection, &sql, query, |row, bucket| {
        Ok(RefillEntry {
            id: row.get(3)?,
            time: UnixMicros(row.get(4)?),
            bucket,
            author: row.get(5)?,
            added: row.get(6)?,
            before: row.get(7)?,
            after: row.get(8)?,
        })
    })
}

/// Marks that were reached, newest first.
pub(in crate::store) fn events(
    connection: &Connection,
    query: &HistoryQuery,
) -> Result<Vec<QuotaEvent>, StoreError> {
    let sql = format!(
        "SELECT {NAME},id,time,percent,balance,capacity FROM quota_events WHERE id < ? ORDER BY id DESC"
    );
    entries(connection, &sql, query, |row, bucket| {
        Ok(QuotaEvent {
            id: row.get(3)?,
            time: UnixMicros(row.get(4)?),
            bucket,
            percent: row.get(5)?,
            balance: row.get(6)?,
            capacity: row.get(7)?,
        })
    })
}

/// Goes through a history until there is enough.
fn entries<T>(
    connection: &Connection,
    sql: &str,
    query: &HistoryQuery,
    read: impl Fn(&rusqlite::Row<'_>, Bucket) -> rusqlite::Result<T>,
) -> Result<Vec<T>, StoreError> {
    let mut select = connection.prepare_cached(sql)?;
    let mut rows = select.query([int(query.before.unwrap_or(u64::MAX))])?;
    let limit = usize::try_from(query.limit).unwrap_or(usize::MAX);
    let mut out = Vec::new();
    while out.len() < limit {
        let Some(row) = rows.next()? else { break };
        let bucket = name(row, 0)?;
        if wanted(query, &bucket) {
            out.push(read(row, bucket)?);
        }
    }
    Ok(out)
}

fn wanted(query: &HistoryQuery, bucket: &Bucket) -> bool {
    let is = |wanted: &Option<String>, text: &str| wanted.as_ref().is_none_or(|wanted| wanted == text);
    let among = |among: &Vec<Among>| among.iter().any(|it| it.covers(bucket));
    is(&query.quota, &bucket.quota) && is(&query.name, &bucket.name) && query.among.as_ref().is_none_or(among)
}

impl Among {
    /// Whether a bucket belongs to it.
    fn covers(&self, bucket: &Bucket) -> bool {
        match self {
            Self::Name { quota, name } => bucket.quota == *quota && bucket.name == *name,
            Self::Prefix { quota, prefix } => {
                bucket.quota == *quota && bucket.name.starts_with(prefix.as_str())
            }
        }
    }
}
