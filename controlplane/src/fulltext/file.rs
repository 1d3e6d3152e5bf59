//! The file of the index.
//!
//! Words are in tables of a day and some captures each, so that what is purged goes with a table, or costs no more than
//! one to be written anew. An entry's number is its time, made unique, which is the order of lists. Deleted rows leave
//! their words in a table until it is written anew, and their bytes in the file until pages are overwritten: both is done
//! before a purge counts as done.

use std::io;
use std::path::{Path, PathBuf};
use std::time::Duration;

use ring::digest::{SHA256, digest};
use rusqlite::{Connection, OpenFlags, OptionalExtension as _, TransactionBehavior};
use sluice_shared::ids::RequestId;
use sluice_shared::units::UnixMicros;

use super::TextQuery;
use crate::files;
use crate::store::{Place, StoreError};

/// Version of the file; another is made anew.
const VERSION: i64 = 1;
/// Bits of an entry's number behind its time.
const SLOT_BITS: u32 = 11;
const SLOTS: i64 = 1 << SLOT_BITS;
/// Entries of a table.
const PART_ENTRIES_MAX: i64 = 200_000;
const DAY_US: u64 = 86_400_000_000;

const SCHEMA: &str = "
    CREATE TABLE reached (one INTEGER PRIMARY KEY CHECK (one = 1), segment INTEGER NOT NULL, number INTEGER NOT NULL) STRICT;
    INSERT INTO reached VALUES (1, 0, -1);
    CREATE TABLE parts (number INTEGER PRIMARY KEY AUTOINCREMENT, day INTEGER NOT NULL, entries INTEGER NOT NULL,
        low INTEGER NOT NULL, high INTEGER NOT NULL) STRICT;
    CREATE TABLE segments (segment INTEGER NOT NULL, part INTEGER NOT NULL, PRIMARY KEY (segment, part)) STRICT, WITHOUT ROWID;
    CREATE TABLE entries (id INTEGER PRIMARY KEY, part INTEGER NOT NULL, segment INTEGER NOT NULL, request_id BLOB NOT NULL) STRICT;
    CREATE INDEX entries_by_segment ON entries (segment, part);";

/// A capture's words.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Entry {
    pub(super) segment: u64,
    /// Place in the segment.
    pub(super) number: u64,
    pub(super) time: UnixMicros,
    pub(super) request_id: RequestId,
    pub(super) user: String,
    pub(super) text: String,
}

/// An open file.
pub(super) struct Index(Connection);

fn int(value: u64) -> i64 {
    i64::try_from(value).unwrap_or(i64::MAX)
}

/// A word that stands for a login: nobody types it.
fn who(user: &str) -> String {
    let hash = digest(&SHA256, format!("sluice search 1\0{user}").as_bytes());
    let hex: String = hash
        .as_ref()
        .iter()
        .take(12)
        .map(|byte| format!("{byte:02x}"))
        .collect();
    format!("u{hex}")
}

/// First number of a moment.
fn first_of(time: UnixMicros) -> i64 {
    int(time.0).saturating_mul(SLOTS)
}

/// The file and what lies beside it.
fn all(path: &Path) -> [PathBuf; 3] {
    ["", "-wal", "-shm"].map(|suffix| {
        let mut path = path.to_owned().into_os_string();
        path.push(suffix);
        path.into()
    })
}

/// Removes the file and what lies beside it.
pub(super) fn remove(path: &Path) -> io::Result<()> {
    for path in all(path) {
        if path.exists() {
            files::remove(&path)?;
        }
    }
    Ok(())
}

impl Index {
    /// Opens the file; makes it if it is missing, of another version, or damaged.
    pub(super) fn open_or_make(path: &Path) -> Result<Self, StoreError> {
        match Self::open(path) {
            Ok(index) if index.version()? == VERSION => return Ok(index),
            Ok(_) => {}
            Err(error) => {
                tracing::warn!(error = %crate::link::chain(&error), "the index of texts is built anew");
            }
        }
        let failed =
            |error: io::Error| StoreError::Write(rusqlite::Error::ToSqlConversionFailure(error.into()));
        remove(path).map_err(failed)?;
        let index = Self::open(path)?;
        index.0.execute_batch(SCHEMA)?;
        index.0.pragma_update(None, "user_version", VERSION)?;
        Ok(index)
    }

    /// Opens the file as it is.
    pub(super) fn open(path: &Path) -> Result<Self, StoreError> {
        let flags = OpenFlags::SQLITE_OPEN_READ_WRITE
            | OpenFlags::SQLITE_OPEN_CREATE
            | OpenFlags::SQLITE_OPEN_NO_MUTEX;
        let connection = Connection::open_with_flags(path, flags)?;
        connection.busy_timeout(Duration::from_secs(10))?;
        connection.pragma_update(None, "auto_vacuum", "incremental")?;
        connection.pragma_update(None, "journal_mode", "wal")?;
        // What a crash of the host takes back, the place that was reached goes back with.
        connection.pragma_update(None, "synchronous", "normal")?;
        connection.pragma_update(None, "secure_delete", "on")?;
        Ok(Self(connection))
    }

    fn version(&self) -> Result<i64, StoreError> {
        Ok(self
            .0
            .pragma_query_value(None, "user_version", |row| row.get(0))?)
    }

    /// The last capture that is in it: segment and place in that.
    pub(super) fn reached(&self) -> Result<(i64, i64), StoreError> {
        Ok(self
            .0
            .query_row("SELECT segment,number FROM reached", [], |row| {
                Ok((row.get(0)?, row.get(1)?))
            })?)
    }

    /// Adds captures and says that all up to `reached` are in it, in one transaction.
    pub(super) fn add(&mut self, entries: &[Entry], reached: (u64, u64)) -> Result<(), StoreError> {
        let transaction = self.0.transaction_with_behavior(TransactionBehavior::Immediate)?;
        let mut sorted: Vec<&Entry> = entries.iter().collect();
        // Words are added in the order of numbers: else each would be written by itself.
        sorted.sort_by_key(|entry| (entry.time, entry.request_id));
        for entry in sorted {
            let part = part_for(&transaction, entry)?;
            let mut id = first_of(entry.time);
            let end = id.saturating_add(SLOTS);
            let taken = "SELECT 1 FROM entries WHERE id = ?";
            while id < end && transaction.prepare_cached(taken)?.exists([id])? {
                id += 1;
            }
            if id >= end {
                continue;
            }
            transaction
                .prepare_cached("INSERT INTO entries (id,part,segment,request_id) VALUES (?,?,?,?)")?
                .execute((id, part, int(entry.segment), entry.request_id.0.as_slice()))?;
            transaction
                .prepare_cached("INSERT OR IGNORE INTO segments (segment,part) VALUES (?,?)")?
                .execute((int(entry.segment), part))?;
            transaction
                .prepare_cached(&format!(
                    "INSERT INTO words_{part} (rowid,who,text) VALUES (?,?,?)"
                ))?
                .execute((id, who(&entry.user), &entry.text))?;
            transaction
                .prepare_cached(
                    "UPDATE parts SET entries = entries + 1, low = min(low, ?1), high = max(high, ?1) WHERE number = ?2",
                )?
                .execute((id, part))?;
        }
        transaction.execute(
            "UPDATE reached SET segment = ?, number = ?",
            (int(reached.0), int(reached.1)),
        )?;
        transaction.commit()?;
        Ok(())
    }

    /// Segments of captures that are in it.
    pub(super) fn segments(&self) -> Result<Vec<u64>, StoreError> {
        let mut select = self.0.prepare_cached("SELECT DISTINCT segment FROM segments")?;
        let rows = select.query_map([], |row| row.get(0))?;
        Ok(rows.collect::<Result<_, _>>()?)
    }

    /// Removes the captures of segments.
    pub(super) fn forget(&mut self, segments: &[u64]) -> Result<(), StoreError> {
        let mut touched = Vec::new();
        let transaction = self.0.transaction_with_behavior(TransactionBehavior::Immediate)?;
        for segment in segments.iter().map(|segment| int(*segment)) {
            let parts: Vec<i64> = transaction
                .prepare_cached("SELECT part FROM segments WHERE segment = ?")?
                .query_map([segment], |row| row.get(0))?
                .collect::<Result<_, _>>()?;
            for part in parts {
                transaction
                    .prepare_cached(&format!(
                        "DELETE FROM words_{part} WHERE rowid IN (SELECT id FROM entries WHERE segment = ? AND part = ?)"
                    ))?
                    .execute((segment, part))?;
                let gone = transaction
                    .prepare_cached("DELETE FROM entries WHERE segment = ? AND part = ?")?
                    .execute((segment, part))?;
                transaction
                    .prepare_cached("UPDATE parts SET entries = entries - ? WHERE number = ?")?
                    .execute((int(gone as u64), part))?;
                touched.push(part);
            }
            transaction
                .prepare_cached("DELETE FROM segments WHERE segment = ?")?
                .execute([segment])?;
        }
        transaction.commit()?;
        touched.sort_unstable();
        touched.dedup();
        for part in touched {
            let entries: Option<i64> = self
                .0
                .query_row("SELECT entries FROM parts WHERE number = ?", [part], |row| {
                    row.get(0)
                })
                .optional()?;
            match entries {
                Some(0) => self.0.execute_batch(&format!(
                    "BEGIN IMMEDIATE; DROP TABLE words_{part}; DELETE FROM parts WHERE number = {part}; COMMIT"
                ))?,
                // Written anew without what was deleted.
                _ => self
                    .0
                    .execute_batch(&format!("INSERT INTO words_{part} (words_{part}) VALUES ('optimize')"))?,
            }
        }
        self.give_back()
    }

    /// Gives pages back to the file system, and takes what they held out of the log beside the file.
    fn give_back(&self) -> Result<(), StoreError> {
        // It goes on as long as it is stepped.
        let mut vacuum = self.0.prepare("PRAGMA incremental_vacuum")?;
        let mut pages = vacuum.query([])?;
        while pages.next()?.is_some() {}
        drop(pages);
        drop(vacuum);
        let (busy, _, _): (i64, i64, i64) =
            self.0.query_row("PRAGMA wal_checkpoint(TRUNCATE)", [], |row| {
                Ok((row.get(0)?, row.get(1)?, row.get(2)?))
            })?;
        if busy != 0 {
            tracing::debug!("somebody reads the index of texts: its log is emptied later");
        }
        Ok(())
    }

    /// Where captures stand that hold some words, newest first.
    pub(super) fn find(&self, query: &TextQuery) -> Result<Vec<Place>, StoreError> {
        let view = self.0.unchecked_transaction()?;
        let from = query.since.map_or(0, first_of);
        let mut to = query
            .until
            .map_or(i64::MAX, |until| first_of(until).saturating_sub(1));
        if let Some((time, _)) = query.after {
            to = to.min(first_of(time).saturating_add(SLOTS - 1));
        }
        let who = query.user.as_deref().map(who);
        let expression = query.words.expression(who.as_deref());
        // Those of one moment as the one that the list comes after are told apart by their ids.
        let limit = query.limit.saturating_add(8);
        let parts: Vec<(i64, i64)> = view
            .prepare_cached("SELECT number,high FROM parts WHERE low <= ? AND high >= ? AND entries > 0 ORDER BY high DESC")?
            .query_map((to, from), |row| Ok((row.get(0)?, row.get(1)?)))?
            .collect::<Result<_, _>>()?;
        let mut ids: Vec<i64> = Vec::new();
        for (part, high) in parts {
            if ids.len() >= limit && ids.last().is_some_and(|last| *last > high) {
                break;
            }
            let sql = format!(
                "SELECT rowid FROM words_{part} WHERE words_{part} MATCH ?1 AND rowid BETWEEN ?2 AND ?3 \
                 ORDER BY rowid DESC LIMIT ?4"
            );
            let mut select = view.prepare_cached(&sql)?;
            let rows = select.query_map((&expression, from, to, int(limit as u64)), |row| row.get(0))?;
            ids.extend(rows.collect::<Result<Vec<i64>, _>>()?);
            ids.sort_unstable_by(|a, b| b.cmp(a));
            ids.truncate(limit);
        }
        let mut places = Vec::with_capacity(ids.len());
        for id in ids {
            let found: Option<[u8; 16]> = view
                .prepare_cached("SELECT request_id FROM entries WHERE id = ?")?
                .query_row([id], |row| row.get(0))
                .optional()?;
            if let Some(request) = found {
                let time = u64::try_from(id >> SLOT_BITS).unwrap_or(0);
                places.push((UnixMicros(time), RequestId(request)));
            }
        }
        places.sort_unstable_by(|a, b| b.cmp(a));
        places.retain(|place| query.after.is_none_or(|after| *place < after));
        places.truncate(query.limit);
        Ok(places)
    }
}

/// The table that an entry goes to; a new one on another day, or when the last is full.
fn part_for(connection: &Connection, entry: &Entry) -> Result<i64, StoreError> {
    let day = int(entry.time.0 / DAY_US);
    let found = connection
        .prepare_cached(
            "SELECT number FROM parts WHERE day = ? AND entries < ? ORDER BY number DESC LIMIT 1",
        )?
        .query_row((day, PART_ENTRIES_MAX), |row| row.get(0))
        .optional()?;
    if let Some(found) = found {
        return Ok(found);
    }
    connection.execute(
        "INSERT INTO parts (day,entries,low,high) VALUES (?,0,?,0)",
        (day, i64::MAX),
    )?;
    let number = connection.last_insert_rowid();
    connection.execute_batch(&format!(
        "CREATE VIRTUAL TABLE words_{number} USING fts5(who, text, content='', contentless_delete=1, prefix='3', \
         tokenize=\"unicode61 remove_diacritics 2\")"
    ))?;
    Ok(number)
}
