//! Buckets and leases as rows.

use rusqlite::{Connection, OptionalExtension as _, Row, params};
use sluice_shared::quota::bucket::Accrual;
use sluice_shared::quota::ledger::{Account, Lease};
use sluice_shared::quota::{Rate, Terms, Unit};
use sluice_shared::units::UnixMicros;
use sluice_shared::wire::control::Bucket;

use super::BucketId;
use crate::store::StoreError;
use crate::store::detail::int;

/// Columns of an account, in the order of [`Stored::read`].
pub(in crate::store) const ACCOUNT: &str =
    "capacity,rate_amount,rate_per_us,balance,remainder,as_of,charged,spilled,mark";
/// Columns that name a bucket, in the order of [`name`].
pub(super) const NAME: &str = "quota,name,unit";

/// An account with the highest mark that was told.
pub(in crate::store) struct Stored {
    pub(in crate::store) account: Account,
    pub(super) mark: u8,
}

impl Stored {
    /// Reads the columns of [`ACCOUNT`], which begin at `at`.
    pub(in crate::store) fn read(row: &Row<'_>, at: usize) -> rusqlite::Result<Self> {
        Ok(Self {
            account: Account {
                terms: Terms {
                    capacity: row.get(at)?,
                    rate: Rate {
                        amount: row.get(at + 1)?,
                        per_us: row.get(at + 2)?,
                    },
                },
                balance: row.get(at + 3)?,
                accrual: Accrual {
                    remainder: row.get(at + 4)?,
                },
                as_of: UnixMicros(row.get(at + 5)?),
                charged: row.get(at + 6)?,
                spilled: row.get(at + 7)?,
            },
            mark: row.get(at + 8)?,
        })
    }

    /// A new row; its number.
    pub(super) fn insert(&self, connection: &Connection, bucket: &Bucket) -> Result<BucketId, StoreError> {
        let sql = format!("INSERT INTO buckets ({NAME},{ACCOUNT}) VALUES (?,?,?,?,?,?,?,?,?,?,?,?)");
        let account = &self.account;
        let id = connection.prepare_cached(&sql)?.insert(params![
            bucket.quota,
            bucket.name,
            bucket.unit as u8,
            int(account.terms.capacity),
            int(account.terms.rate.amount),
            int(account.terms.rate.per_us),
            account.balance,
            int(account.accrual.remainder),
            int(account.as_of.0),
            int(account.charged),
            int(account.spilled),
            self.mark,
        ])?;
        u64::try_from(id).map_err(|_| StoreError::Column("id"))
    }

    /// Writes what can have changed.
    pub(super) fn update(&self, connection: &Connection, id: BucketId) -> Result<(), StoreError> {
        let account = &self.account;
        connection
            .prepare_cached(
                "UPDATE buckets SET capacity = ?, rate_amount = ?, rate_per_us = ?, balance = ?, remainder = ?, \
                 as_of = ?, charged = ?, spilled = ?, mark = ? WHERE id = ?",
            )?
            .execute(params![
                int(account.terms.capacity),
                int(account.terms.rate.amount),
                int(account.terms.rate.per_us),
                account.balance,
                int(account.accrual.remainder),
                int(account.as_of.0),
                int(account.charged),
                int(account.spilled),
                self.mark,
                int(id),
            ])?;
        Ok(())
    }
}

/// Reads the columns of [`NAME`], which begin at `at`.
pub(super) fn name(row: &Row<'_>, at: usize) -> Result<Bucket, StoreError> {
    Ok(Bucket {
        quota: row.get(at)?,
        name: row.get(at + 1)?,
        unit: Unit::from_index(row.get(at + 2)?).ok_or(StoreError::Column("unit"))?,
    })
}

const LEASE: &str = "holder,seq,first,before,granted,seen,returned,advanced,charged,share_amount,share_per_us,as_of,\
                     share_before_amount,share_before_per_us,since";

/// Reads the columns of [`LEASE`].
fn lease(row: &Row<'_>) -> rusqlite::Result<Lease> {
    let counter = |at| row.get(at).map(i64::cast_unsigned);
    let rate = |at| {
        Ok::<_, rusqlite::Error>(Rate {
            amount: row.get(at)?,
            per_us: row.get(at + 1)?,
        })
    };
    Ok(Lease {
        holder: row.get(0)?,
        seq: row.get(1)?,
        first: row.get(2)?,
        before: counter(3)?,
        granted: counter(4)?,
        seen: counter(5)?,
        returned: counter(6)?,
        advanced: counter(7)?,
        charged: counter(8)?,
        share: rate(9)?,
        as_of: UnixMicros(row.get(11)?),
        share_before: rate(12)?,
        since: UnixMicros(row.get(14)?),
    })
}

/// Everybody's lease of a bucket.
pub(super) fn leases(connection: &Connection, bucket: BucketId) -> Result<Vec<Lease>, StoreError> {
    let sql = format!("SELECT {LEASE} FROM leases WHERE bucket = ?");
    let mut select = connection.prepare_cached(&sql)?;
    let rows = select.query_map([int(bucket)], lease)?;
    Ok(rows.collect::<Result<_, _>>()?)
}

/// A holder's lease of a bucket takes note of charges.
pub(super) fn charge_lease(
    connection: &Connection,
    bucket: BucketId,
    holder: u64,
    amounts: impl Iterator<Item = u64>,
) -> Result<(), StoreError> {
    let sql = format!("SELECT {LEASE} FROM leases WHERE bucket = ? AND holder = ?");
    let mut select = connection.prepare_cached(&sql)?;
    let found = select.query_row([int(bucket), int(holder)], lease).optional()?;
    let Some(mut lease) = found else { return Ok(()) };
    amounts.for_each(|amount| lease.charge(amount));
    connection
        .prepare_cached("UPDATE leases SET charged = ? WHERE bucket = ? AND holder = ?")?
        .execute([lease.charged.cast_signed(), int(bucket), int(holder)])?;
    Ok(())
}

/// Who has a lease of a bucket.
pub(super) fn holders_of(connection: &Connection, bucket: BucketId) -> Result<Vec<u64>, StoreError> {
    let mut select = connection.prepare_cached("SELECT holder FROM leases WHERE bucket = ?")?;
    let rows = select.query_map([int(bucket)], |row| row.get(0))?;
    Ok(rows.collect::<Result<_, _>>()?)
}

/// Writes a lease over the one that its holder had. `ended`: the holder has forgotten the bucket, or is about to.
pub(super) fn save_lease(
    connection: &Connection,
    bucket: BucketId,
    lease: &Lease,
    ended: bool,
) -> Result<(), StoreError> {
    let sql = format!(
        "INSERT OR REPLACE INTO leases (bucket,ended,{LEASE}) VALUES (?,?,?,?,?,?,?,?,?,?,?,?,?,?,?,?,?)"
    );
    connection.prepare_cached(&sql)?.execute(params![
        int(bucket),
        ended,
        int(lease.holder),
        int(lease.seq),
        int(lease.first),
        lease.before.cast_signed(),
        lease.granted.cast_signed(),
        lease.seen.cast_signed(),
        lease.returned.cast_signed(),
        lease.advanced.cast_signed(),
        lease.charged.cast_signed(),
        int(lease.share.amount),
        int(lease.share.per_us),
        int(lease.as_of.0),
        int(lease.share_before.amount),
        int(lease.share_before.per_us),
        int(lease.since.0),
    ])?;
    Ok(())
}

/// Forgets leases that their holders have ended before a moment, if everything they used is charged.
pub(super) fn drop_ended(
    connection: &Connection,
    bucket: BucketId,
    account: &Account,
    before: UnixMicros,
) -> Result<(), StoreError> {
    let sql = format!("SELECT {LEASE} FROM leases WHERE bucket = ? AND ended AND as_of < ?");
    let mut select = connection.prepare_cached(&sql)?;
    let ended = select.query_map([int(bucket), int(before.0)], lease)?;
    for lease in ended.collect::<Result<Vec<_>, _>>()? {
        if lease.outstanding(account.terms, account.as_of) == 0 {
            connection
                .prepare_cached("DELETE FROM leases WHERE bucket = ? AND holder = ?")?
                .execute([int(bucket), int(lease.holder)])?;
        }
    }
    Ok(())
}
