//! Buckets and leases as rows.

use rusqlite::{Connection, Row, params};
use sluice_shared::quota::bucket::Accrual;
use sluice_shared::quota::ledger::{Account, Lease};
use sluice_shared::quota::{Rate, Terms, Unit};
use sluice_shared::units::UnixMicros;
use sluice_shared::wire::control::Bucket;

use super::BucketId;
use crate::store::StoreError;
use crate::store::detail::int;

/// Columns of an account, in the order of [`Stored::read`].
pub(super) const ACCOUNT: &str = "capacity,rate_amount,rate_per_us,balance,remainder,as_of,charged,mark";
/// Columns that name a bucket, in the order of [`name`].
pub(super) const NAME: &str = "quota,name,unit";

/// An account with the highest mark that was told.
pub(super) struct Stored {
    pub(super) account: Account,
    pub(super) mark: u8,
}

impl Stored {
    /// Reads the columns of [`ACCOUNT`], which begin at `at`.
    pub(super) fn read(row: &Row<'_>, at: usize) -> rusqlite::Result<Self> {
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
            },
            mark: row.get(at + 7)?,
        })
    }

    /// A new row; its number.
    pub(super) fn insert(&self, connection: &Connection, bucket: &Bucket) -> Result<BucketId, StoreError> {
        let sql = format!("INSERT INTO buckets ({NAME},{ACCOUNT}) VALUES (?,?,?,?,?,?,?,?,?,?,?)");
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
                 as_of = ?, charged = ?, mark = ? WHERE id = ?",
            )?
            .execute(params![
                int(account.terms.capacity),
                int(account.terms.rate.amount),
                int(account.terms.rate.per_us),
                account.balance,
                int(account.accrual.remainder),
                int(account.as_of.0),
                int(account.charged),
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

/// Everybody's lease of a bucket.
pub(super) fn leases(connection: &Connection, bucket: BucketId) -> Result<Vec<Lease>, StoreError> {
    let mut select = connection.prepare_cached(
        "SELECT holder,seq,granted,returned,advanced,charged,share_ppm,as_of FROM leases WHERE bucket = ?",
    )?;
    let rows = select.query_map([int(bucket)], |row| {
        Ok(Lease {
            holder: row.get(0)?,
            seq: row.get(1)?,
            granted: row.get(2)?,
            returned: row.get(3)?,
            advanced: row.get(4)?,
            charged: row.get(5)?,
            share_ppm: row.get(6)?,
            as_of: UnixMicros(row.get(7)?),
        })
    })?;
    Ok(rows.collect::<Result<_, _>>()?)
}

/// Who has a lease of a bucket.
pub(super) fn holders_of(connection: &Connection, bucket: BucketId) -> Result<Vec<u64>, StoreError> {
    let mut select = connection.prepare_cached("SELECT holder FROM leases WHERE bucket = ?")?;
    let rows = select.query_map([int(bucket)], |row| row.get(0))?;
    Ok(rows.collect::<Result<_, _>>()?)
}

/// Writes a lease over the one that its holder had.
pub(super) fn save_lease(connection: &Connection, bucket: BucketId, lease: &Lease) -> Result<(), StoreError> {
    connection
        .prepare_cached(
            "INSERT OR REPLACE INTO leases (bucket,holder,seq,granted,returned,advanced,charged,share_ppm,as_of) \
             VALUES (?,?,?,?,?,?,?,?,?)",
        )?
        .execute(params![
            int(bucket),
            int(lease.holder),
            int(lease.seq),
            int(lease.granted),
            int(lease.returned),
            int(lease.advanced),
            int(lease.charged),
            lease.share_ppm,
            int(lease.as_of.0),
        ])?;
    Ok(())
}
