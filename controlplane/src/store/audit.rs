//! Rows of the audit: appended in one durable transaction with the chain's end, never changed, read in pages.

pub(crate) mod chain;
#[cfg(test)]
mod tests;

use rusqlite::{Connection, OpenFlags, OptionalExtension as _, Row, TransactionBehavior, params};
use sluice_shared::units::UnixMicros;

use super::detail::int;
use super::sqlite::Sqlite;
use super::{Pending, StoreError};
use chain::{AuditEntry, Hash, Link, Noted, Verified, Walk, hash};

const COLUMNS: &str = "seq,time,actor,node,action,subject,detail,hash";

/// An entry that is to be written.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct NewEntry {
    pub(crate) time: UnixMicros,
    pub(crate) actor: String,
    pub(crate) node: String,
    pub(crate) action: String,
    pub(crate) subject: String,
    /// JSON.
    pub(crate) detail: String,
}

/// Which entries are wanted, newest first.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct AuditQuery {
    pub(crate) actor: Option<String>,
    pub(crate) action: Option<String>,
    pub(crate) since: Option<UnixMicros>,
    /// Not included.
    pub(crate) until: Option<UnixMicros>,
    /// Only what comes after the entry of this number in the list.
    pub(crate) before: Option<u64>,
    pub(crate) limit: u32,
}

/// The part of a store that holds the audit.
pub(crate) trait AuditRows {
    /// Appends entries in one durable transaction, and gives the end of the chain. Waits for the disk and for a
    /// transaction of ingest: not to be called on a thread that serves.
    fn append_audit(&self, entries: &[NewEntry]) -> Result<Link, StoreError>;
    /// The end of the chain, as it is kept beside the entries.
    fn audit_end(&self) -> Result<Link, StoreError>;
    /// The hash that the entry of a number has.
    fn audit_hash(&self, seq: u64) -> Result<Option<Hash>, StoreError>;
    /// Entries.
    fn audit<'a>(&'a self, query: &'a AuditQuery) -> Pending<'a, Vec<AuditEntry>>;
    /// Walks along the whole chain, in one view of it. Reads every entry: not to be called on a thread that serves.
    fn verify_audit(&self, noted: &[(Noted, Link)]) -> Result<Verified, StoreError>;
}

impl AuditRows for Sqlite {
    fn append_audit(&self, entries: &[NewEntry]) -> Result<Link, StoreError> {
        let mut writer = self.writer();
        let transaction = writer
            .connection
            .transaction_with_behavior(TransactionBehavior::Immediate)?;
        let end = append(&transaction, entries)?;
        transaction.commit()?;
        Ok(end)
    }

    fn audit_end(&self) -> Result<Link, StoreError> {
        end(&self.lists())
    }

    fn audit_hash(&self, seq: u64) -> Result<Option<Hash>, StoreError> {
        let lists = self.lists();
        let mut select = lists.prepare_cached("SELECT hash FROM audit WHERE seq = ?")?;
        let found = select.query_row([int(seq)], |row| row.get(0)).optional()?;
        Ok(found.map(fit))
    }

    fn audit<'a>(&'a self, query: &'a AuditQuery) -> Pending<'a, Vec<AuditEntry>> {
        Box::pin(async move { list(&self.lists(), query) })
    }

    fn verify_audit(&self, noted: &[(Noted, Link)]) -> Result<Verified, StoreError> {
        // A connection of its own: the walk may take seconds, and nobody is to wait for it.
        let flags = OpenFlags::SQLITE_OPEN_READ_WRITE | OpenFlags::SQLITE_OPEN_NO_MUTEX;
        let mut connection = Connection::open_with_flags(self.path(), flags)?;
        connection.busy_timeout(std::time::Duration::from_secs(10))?;
        connection.pragma_update(None, "query_only", "on")?;
        let view = connection.transaction()?;
        let mut walk = Walk::new(end(&view)?, noted);
        let mut select = view.prepare(&format!("SELECT {COLUMNS} FROM audit ORDER BY seq"))?;
        let mut rows = select.query([])?;
        while let Some(row) = rows.next()? {
            walk.step(&read(row)?);
        }
        Ok(walk.finish())
    }
}

fn append(connection: &Connection, entries: &[NewEntry]) -> Result<Link, StoreError> {
    let mut end = end(connection)?;
    let mut insert =
        connection.prepare_cached(&format!("INSERT INTO audit ({COLUMNS}) VALUES (?,?,?,?,?,?,?,?)"))?;
    for new in entries {
        let mut entry = AuditEntry {
            seq: end.seq + 1,
            // As the database holds it: the hash is of what reads back.
            time: UnixMicros(new.time.0.min(i64::MAX.unsigned_abs())),
            actor: new.actor.clone(),
            node: new.node.clone(),
            action: new.action.clone(),
            subject: new.subject.clone(),
            detail: new.detail.clone(),
            hash: [0; 32],
        };
        entry.hash = hash(&end.hash, &entry);
        insert.execute(params![
            int(entry.seq),
            int(entry.time.0),
            entry.actor,
            entry.node,
            entry.action,
            entry.subject,
            entry.detail,
            entry.hash.as_slice(),
        ])?;
        end = Link {
            seq: entry.seq,
            hash: entry.hash,
        };
    }
    connection
        .prepare_cached("UPDATE audit_head SET seq = ?, hash = ?")?
        .execute(params![int(end.seq), end.hash.as_slice()])?;
    Ok(end)
}

fn end(connection: &Connection) -> Result<Link, StoreError> {
    let mut select = connection.prepare_cached("SELECT seq, hash FROM audit_head")?;
    let (seq, hash): (i64, Vec<u8>) = select.query_row([], |row| Ok((row.get(0)?, row.get(1)?)))?;
    Ok(Link {
        seq: u64::try_from(seq).map_err(|_| StoreError::Column("seq"))?,
        hash: fit(hash),
    })
}

fn list(connection: &Connection, query: &AuditQuery) -> Result<Vec<AuditEntry>, StoreError> {
    let time = |time: Option<UnixMicros>, default| time.map_or(default, |time| int(time.0));
    let mut filter = String::from("seq < ?1 AND time >= ?2 AND time < ?3");
    for (column, value, place) in [("actor", &query.actor, 5), ("action", &query.action, 6)] {
        if value.is_some() {
            filter += &format!(" AND {column} = ?{place}");
        }
    }
    let sql = format!("SELECT {COLUMNS} FROM audit WHERE {filter} ORDER BY seq DESC LIMIT ?4");
    let mut select = connection.prepare_cached(&sql)?;
    select.raw_bind_parameter(1, query.before.map_or(i64::MAX, int))?;
    select.raw_bind_parameter(2, time(query.since, 0))?;
    select.raw_bind_parameter(3, time(query.until, i64::MAX))?;
    select.raw_bind_parameter(4, query.limit)?;
    for (place, value) in [(5, &query.actor), (6, &query.action)] {
        if let Some(value) = value {
            select.raw_bind_parameter(place, value)?;
        }
    }
    let mut rows = select.raw_query();
    let mut out = Vec::new();
    while let Some(row) = rows.next()? {
        out.push(read(row)?);
    }
    Ok(out)
}

/// Reads the columns of [`COLUMNS`]. What was changed by something else reads as something that has another hash.
fn read(row: &Row<'_>) -> Result<AuditEntry, StoreError> {
    let number = |at: usize, name| -> Result<u64, StoreError> {
        u64::try_from(row.get::<_, i64>(at)?).map_err(|_| StoreError::Column(name))
    };
    Ok(AuditEntry {
        seq: number(0, "seq")?,
        time: UnixMicros(number(1, "time")?),
        actor: row.get(2)?,
        node: row.get(3)?,
        action: row.get(4)?,
        subject: row.get(5)?,
        detail: row.get(6)?,
        hash: fit(row.get(7)?),
    })
}

/// A hash of another length is no hash.
fn fit(bytes: Vec<u8>) -> Hash {
    bytes.try_into().unwrap_or_default()
}
