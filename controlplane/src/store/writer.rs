//! The one connection that writes. It is used from the thread that ingests, without a queue in between: a row costs
//! about as much as a hand-over to another thread would (`docs/adr/0003-one-writer-without-a-pool.md`).

use std::collections::{BTreeMap, HashMap};
use std::path::Path;
use std::time::Duration;

use rusqlite::{Connection, OpenFlags, OptionalExtension as _, TransactionBehavior, params};
use sluice_shared::api::ApiKind;
use sluice_shared::ids::{RequestId, ShardId};
use sluice_shared::usage::UsageRecord;

use super::detail::{Columns, Row, TextId, amended, int, pack};
use super::export::Wants;
use super::ledger::{Charges, charge};
use super::narrow::people::Person;
use super::narrow::{self, Narrow};
use super::seen::Seen;
use super::sessions::{self, Gathered};
use super::texts::Numbers;
use super::tools::Names;
use super::verdicts::Judged;
use super::zones::Zones;
use super::{Amend, Cursor, Ingested, StoreError, When, rollup, seen};

/// Schema changes, oldest first; the file's `user_version` says how many it has.
const MIGRATIONS: [&str; 12] = [
    include_str!("schema/0001.sql"),
    include_str!("schema/0002.sql"),
    include_str!("schema/0003.sql"),
    include_str!("schema/0004.sql"),
    include_str!("schema/0005.sql"),
    include_str!("schema/0006.sql"),
    include_str!("schema/0007.sql"),
    include_str!("schema/0008.sql"),
    include_str!("schema/0009.sql"),
    include_str!("schema/0010.sql"),
    include_str!("schema/0011.sql"),
    include_str!("schema/0012.sql"),
];
/// Bytes of a page: about forty records.
const PAGE_BYTES: u32 = 8 << 10;
/// Pages in the write-ahead log after which they go into the file: 16 MiB.
const CHECKPOINT_PAGES: u32 = 2_048;

/// What `PRAGMA auto_vacuum` says when free pages can be given back.
const INCREMENTAL: u64 = 2;
/// Largest file of an earlier version that is written anew at the start: a second or two.
const REWRITE_BYTES_MAX: u64 = 256 << 20;

const INSERT: &str = "INSERT INTO requests (time,request_id,user,provider,model_asked,model_answered,status,detail) \
                      VALUES (?,?,?,?,?,?,?,?) ON CONFLICT DO NOTHING";

/// Whether this build knows a schema version, and how many changes that is.
pub(super) fn check_version(found: i64) -> Result<usize, StoreError> {
    let known = i64::try_from(MIGRATIONS.len()).unwrap_or(i64::MAX);
    usize::try_from(found)
        .ok()
        .filter(|found| *found <= MIGRATIONS.len())
        .ok_or(StoreError::Newer { found, known })
}

/// The connection and what is remembered beside it.
pub(super) struct Writer {
    pub(super) connection: Connection,
    pub(super) texts: Numbers,
    /// Tools that count by name.
    pub(super) tools: Names,
    seen: Seen,
    narrow: Narrow,
    /// What exporters want to hear of.
    pub(super) wants: Wants,
    upsert: String,
    detail: Vec<u8>,
}

/// What records of a batch are gathered by, before they are summed.
#[derive(PartialEq, Eq, Hash)]
struct Alike {
    second: u64,
    user: TextId,
    provider: TextId,
    model_asked: TextId,
    model_answered: Option<TextId>,
    status: u16,
    api: ApiKind,
}

impl Writer {
    /// Opens the file, makes it if it is missing, and brings its schema up to date.
    pub(super) fn open(path: &Path) -> Result<Self, StoreError> {
        let flags = OpenFlags::SQLITE_OPEN_READ_WRITE
            | OpenFlags::SQLITE_OPEN_CREATE
            | OpenFlags::SQLITE_OPEN_NO_MUTEX;
        let mut connection = Connection::open_with_flags(path, flags)?;
        connection.busy_timeout(Duration::from_secs(10))?;
        // The page size holds for a file that is made now.
        connection.pragma_update(None, "page_size", PAGE_BYTES)?;
        // So does that free pages can be given back piece by piece.
        connection.pragma_update(None, "auto_vacuum", "incremental")?;
        connection.pragma_update(None, "journal_mode", "wal")?;
        connection.pragma_update(None, "synchronous", "full")?;
        connection.pragma_update(None, "wal_autocheckpoint", CHECKPOINT_PAGES)?;
        let transaction = connection.transaction_with_behavior(TransactionBehavior::Immediate)?;
        let found = transaction.pragma_query_value(None, "user_version", |row| row.get(0))?;
        for (at, script) in MIGRATIONS.iter().enumerate().skip(check_version(found)?) {
            transaction.execute_batch(script)?;
            narrow::fill(&transaction, at + 1)?;
            transaction.pragma_update(None, "user_version", at + 1)?;
        }
        transaction.commit()?;
        rewrite(&connection)?;
        let sums = rollup::COLUMNS;
        let upsert = format!(
            "INSERT INTO rollups (level,bucket,user,model,provider,api,{}) VALUES (?,?,?,?,?,?,{}) \
             ON CONFLICT DO UPDATE SET {}",
            sums.join(","),
            vec!["?"; sums.len()].join(","),
            sums.map(|c| format!("{c}=min({c}+excluded.{c},{})", rollup::CAP))
                .join(","),
        );
        Ok(Self {
            wants: Wants::open(&connection)?,
            connection,
            texts: Numbers::default(),
            tools: Names::default(),
            seen: Seen::default(),
            narrow: Narrow::default(),
            upsert,
            detail: Vec::new(),
        })
    }

    /// One durable transaction: records with their sums and charges, and what `then` does after them. `holder` is whose
    /// leases the charges use up.
    pub(super) fn store(
        &mut self,
        records: &[UsageRecord],
        holder: u64,
        when: When,
        then: impl FnOnce(&Connection) -> Result<(), StoreError>,
    ) -> Result<Ingested, StoreError> {
        let stored = self.try_store(records, holder, when, then);
        if stored.is_err() {
            // What was remembered may have been rolled back.
            self.texts.forget();
            self.seen.forget();
            self.narrow.forget();
        }
        stored
    }

    fn try_store(
        &mut self,
        records: &[UsageRecord],
        holder: u64,
        when: When,
        then: impl FnOnce(&Connection) -> Result<(), StoreError>,
    ) -> Result<Ingested, StoreError> {
        let transaction = self
            .connection
            .transaction_with_behavior(TransactionBehavior::Immediate)?;
        let mut done = Ingested::default();
        let mut groups: HashMap<Alike, Person> = HashMap::new();
        let mut charges = Charges::default();
        let mut sessions = Gathered::default();
        let mut judged = Judged::default();
        let mut zones = Zones::default();
        let mut words: Vec<(i64, u64)> = Vec::new();
        {
            let mut insert = transaction.prepare_cached(INSERT)?;
            for r in records {
                let mut number = |text: &str| self.texts.of(&transaction, text);
                let alike = Alike {
                    second: rollup::second(r.time),
                    user: number(&r.user)?,
                    provider: number(&r.provider)?,
                    model_asked: number(&r.model_asked)?,
                    model_answered: r.model_answered.as_deref().map(&mut number).transpose()?,
                    status: r.status,
                    api: r.api,
                };
                pack(&mut self.detail, r, number)?;
                let inserted = insert.execute(params![
                    int(r.time.0),
                    r.request_id.0.as_slice(),
                    alike.user,
                    alike.provider,
                    alike.model_asked,
                    alike.model_answered,
                    alike.status,
                    self.detail.as_slice(),
                ])?;
                if inserted == 0 {
                    done.duplicates += 1;
                    continue;
                }
                done.inserted += 1;
                self.wants.record(&transaction, r)?;
                charges.of(r, when);
                if !r.verdicts.is_empty() {
                    let names = r.verdicts.iter().map(|it| self.texts.of(&transaction, &it.name));
                    judged.add(r, alike.user, &names.collect::<Result<Vec<_>, _>>()?);
                }
                zones.add(r);
                for word in r
                    .error
                    .iter()
                    .chain(r.verdicts.iter().map(|verdict| &verdict.name))
                {
                    words.push((self.texts.of(&transaction, word)?, alike.second));
                }
                sessions.add(
                    r,
                    alike.user,
                    rollup::counted_model(alike.provider, alike.model_asked),
                );
                let more = rollup::contribution(r, !r.provider.is_empty());
                let group = groups.entry(alike).or_insert_with(|| Person::at(r.time));
                group.add(r.time, &more);
            }
        }
        let mut sums = rollup::Sums::new();
        let mut people = BTreeMap::new();
        for (g, group) in &groups {
            for key in rollup::keys(g.second, g.user, g.provider, g.model_asked, g.api) {
                rollup::add(sums.entry(key).or_default(), &group.totals);
            }
            Person::gather(&mut people, g.user, group);
        }
        add_sums(&transaction, &self.upsert, &sums)?;
        let moments = groups
            .keys()
            .map(|g| (g.second, g.user, rollup::counted_model(g.provider, g.model_asked)));
        self.narrow.add(&transaction, &sums, &people, moments, when)?;
        let values = groups.keys().flat_map(|g| {
            seen::values(g.user, g.provider, g.model_asked, g.model_answered, g.status)
                .map(|value| (value, g.second))
        });
        self.seen.add(&transaction, values.chain(words))?;
        zones.write(&transaction)?;
        sessions.write(&transaction)?;
        judged.write(&transaction)?;
        let charged = charge(&transaction, charges, holder, when.now)?;
        (done.charges_dropped, done.events) = (charged.dropped, charged.events);
        then(&transaction)?;
        transaction.commit()?;
        Ok(done)
    }
}

/// A file of an earlier version cannot give pages back before it is written anew once. That is done where it takes a moment;
/// a large one keeps its free pages for later rows.
fn rewrite(connection: &Connection) -> Result<(), StoreError> {
    let number = |name: &str| connection.pragma_query_value(None, name, |row| row.get::<_, u64>(0));
    if number("auto_vacuum")? == INCREMENTAL {
        return Ok(());
    }
    let bytes = number("page_count")?.saturating_mul(number("page_size")?);
    if bytes > REWRITE_BYTES_MAX {
        tracing::info!(
            bytes,
            "the store was made by an earlier version: space that retention frees in it is used again, but not given back \
             to the file system; to change that, stop Sluice and run: sqlite3 store.sqlite 'PRAGMA auto_vacuum=2; VACUUM'"
        );
        return Ok(());
    }
    connection.pragma_update(None, "auto_vacuum", "incremental")?;
    connection.execute_batch("VACUUM")?;
    Ok(())
}

fn add_sums(connection: &Connection, upsert: &str, sums: &rollup::Sums) -> Result<(), StoreError> {
    let mut upsert = connection.prepare_cached(upsert)?;
    for (key, totals) in sums {
        let [a, b, c, d, e, f, g, h, i, j, k] = rollup::columns(totals).map(int);
        upsert.execute(params![
            int(key.level),
            int(key.bucket),
            key.user,
            key.model,
            key.provider,
            key.api.name(),
            a,
            b,
            c,
            d,
            e,
            f,
            g,
            h,
            i,
            j,
            k
        ])?;
    }
    Ok(())
}

/// Reads the columns of [`super::detail::COLUMNS`].
pub(super) fn read(row: &rusqlite::Row<'_>) -> rusqlite::Result<(Columns, Vec<u8>)> {
    let columns = Columns {
        time: row.get(0)?,
        request_id: RequestId(row.get(1)?),
        user: row.get(2)?,
        provider: row.get(3)?,
        model_asked: row.get(4)?,
        model_answered: row.get(5)?,
        status: row.get(6)?,
    };
    Ok((columns, row.get(7)?))
}

/// Changes how a record ended, in its row and in the sums.
pub(super) fn amend(connection: &Connection, wants: Wants, amend: &Amend) -> Result<(), StoreError> {
    let select = format!(
        "SELECT {} FROM requests WHERE request_id = ?",
        super::detail::COLUMNS
    );
    let found = connection
        .prepare_cached(&select)?
        .query_row([amend.request_id.0.as_slice()], read)
        .optional()?;
    let Some((columns, detail)) = found else {
        tracing::warn!(request_id = %amend.request_id, "amendment of a record that is not stored");
        return Ok(());
    };
    let bad = || StoreError::Column("detail");
    let row = Row::unpack(&columns, &detail).ok_or_else(bad)?;
    let before = row.bare();
    let packed = amended(&detail, amend.ended, amend.duration_us).ok_or_else(bad)?;
    connection
        .prepare_cached("UPDATE requests SET detail = ? WHERE time = ? AND request_id = ?")?
        .execute((packed, int(columns.time), amend.request_id.0.as_slice()))?;
    wants.amended(connection, amend.request_id, int(columns.time))?;
    let (was, is) = (
        rollup::is_error(before.status, before.ended),
        rollup::is_error(before.status, amend.ended),
    );
    let errors = i64::from(is) - i64::from(was);
    let longer = int(amend.duration_us).saturating_sub(int(before.duration_us));
    let mut zones = Zones::default();
    let mut after = before.clone();
    (after.ended, after.duration_us) = (amend.ended, amend.duration_us);
    zones.add(&after);
    zones.write(connection)?;
    let model = rollup::counted_model(columns.provider, columns.model_asked);
    sessions::amend(connection, before, columns.user, model, errors, longer)?;
    if errors == 0 {
        return Ok(());
    }
    let mut update = connection.prepare_cached(
        "UPDATE rollups SET errors = max(errors + ?, 0) WHERE level = ? AND bucket = ? AND user = ? \
         AND model = ? AND provider = ? AND api = ?",
    )?;
    let second = rollup::second(before.time);
    let keys = || {
        rollup::keys(
            second,
            columns.user,
            columns.provider,
            columns.model_asked,
            before.api,
        )
    };
    narrow::amend(connection, keys(), columns.user, errors)?;
    for key in keys() {
        update.execute((
            errors,
            int(key.level),
            int(key.bucket),
            key.user,
            key.model,
            key.provider,
            key.api.name(),
        ))?;
    }
    Ok(())
}

pub(super) fn set_cursor(connection: &Connection, cursor: &Cursor) -> Result<(), StoreError> {
    connection
        .prepare_cached(
            "INSERT INTO cursors (incarnation,shard,segment,offset) VALUES (?,?,?,?) \
             ON CONFLICT DO UPDATE SET segment = excluded.segment, offset = excluded.offset",
        )?
        .execute((
            int(cursor.incarnation),
            cursor.shard.0,
            int(cursor.segment),
            int(cursor.offset),
        ))?;
    Ok(())
}

pub(super) fn finish(connection: &Connection, incarnation: u64) -> Result<(), StoreError> {
    connection.execute("DELETE FROM cursors WHERE incarnation = ?", [int(incarnation)])?;
    connection.execute(
        "INSERT OR IGNORE INTO finished (incarnation) VALUES (?)",
        [int(incarnation)],
    )?;
    Ok(())
}

impl Writer {
    pub(super) fn finished(&self) -> Result<Vec<u64>, StoreError> {
        let mut select = self
            .connection
            .prepare("SELECT incarnation FROM finished ORDER BY 1")?;
        let numbers = select.query_map([], |row| row.get(0))?;
        Ok(numbers.collect::<Result<_, _>>()?)
    }

    pub(super) fn forget(&self, incarnation: u64) -> Result<(), StoreError> {
        self.connection
            .execute("DELETE FROM finished WHERE incarnation = ?", [int(incarnation)])?;
        Ok(())
    }

    pub(super) fn cursors(&self, incarnation: u64) -> Result<Vec<Cursor>, StoreError> {
        let mut select = self
            .connection
            .prepare("SELECT shard,segment,offset FROM cursors WHERE incarnation = ?")?;
        let cursors = select.query_map([int(incarnation)], |row| {
            Ok(Cursor {
                incarnation,
                shard: ShardId(row.get(0)?),
                segment: row.get(1)?,
                offset: row.get(2)?,
            })
        })?;
        Ok(cursors.collect::<Result<_, _>>()?)
    }
}
