//! The store in one SQLite file.
//!
//! Write-ahead log with `synchronous=FULL`: a commit is on the disk when it returns, because the journal segments behind
//! it are deleted next. One connection writes, a few read; readers never wait for the writer.
//!
//! `requests` is clustered by `(time, request_id)`, the order of every list and of the list's cursor. Records come in
//! groups of [`GROUPS`] to a statement: a statement costs more than its rows.

use std::path::{Path, PathBuf};
use std::time::Duration;

use sluice_shared::ids::ShardId;
use sluice_shared::usage::{Ended, UsageRecord};
use sqlx::sqlite::{
    SqliteConnectOptions, SqliteJournalMode, SqlitePool, SqlitePoolOptions, SqliteSynchronous,
};
use sqlx::{Executor as _, Row as _, SqliteConnection, Transaction};

use super::range::{Level, cover};
use super::row::int;
use super::{
    Amend, Batch, Cursor, FILE, GROUPS_MAX, GroupBy, Ingested, Pending, RequestQuery, Store, StoreError,
    Totals, UsageGroup, UsageQuery, rollup, row,
};

/// Schema changes, oldest first; the file's `user_version` says how many it has.
const MIGRATIONS: [&str; 1] = [include_str!("schema/0001.sql")];
/// Records a statement, largest first.
const GROUPS: [usize; 3] = [64, 8, 1];

/// A store in a file.
pub(crate) struct Sqlite {
    write: SqlitePool,
    read: SqlitePool,
    inserts: [String; GROUPS.len()],
    upsert: String,
    path: PathBuf,
}

impl Sqlite {
    /// Opens the store of a data directory, makes it if it is missing, and brings its schema up to date.
    pub(crate) fn open(data_dir: &Path) -> Pending<'_, Self> {
        Box::pin(async move {
            let path = data_dir.join(FILE);
            let options = SqliteConnectOptions::new()
                .filename(&path)
                .create_if_missing(true)
                .journal_mode(SqliteJournalMode::Wal)
                .synchronous(SqliteSynchronous::Full)
                .busy_timeout(Duration::from_secs(10))
                .optimize_on_close(true, None);
            let write = SqlitePoolOptions::new()
                .max_connections(1)
                .idle_timeout(None)
                .max_lifetime(None)
                .connect_with(options.clone())
                .await?;
            migrate(&write).await?;
            let read = Self::readers(options.create_if_missing(false)).await?;
            Ok(Self::with_pools(write, read, path))
        })
    }

    /// Opens the store for reading only.
    pub(crate) fn open_read_only(data_dir: &Path) -> Pending<'_, Self> {
        Box::pin(async move {
            let path = data_dir.join(FILE);
            if !path.exists() {
                return Err(StoreError::Missing(data_dir.display().to_string()));
            }
            let options = SqliteConnectOptions::new().filename(&path).read_only(true);
            let read = Self::readers(options).await?;
            let found = version(&mut *read.acquire().await?).await?;
            check_version(found)?;
            Ok(Self::with_pools(read.clone(), read, path))
        })
    }

    async fn readers(options: SqliteConnectOptions) -> Result<SqlitePool, StoreError> {
        let options = options
            .pragma("query_only", "on")
            .busy_timeout(Duration::from_secs(10));
        Ok(SqlitePoolOptions::new()
            .max_connections(4)
            .min_connections(0)
            .connect_with(options)
            .await?)
    }

    fn with_pools(write: SqlitePool, read: SqlitePool, path: PathBuf) -> Self {
        let columns = row::COLUMNS.join(",");
        let one = format!("({})", vec!["?"; row::COLUMNS.len()].join(","));
        let insert = |count: usize| {
            format!(
                "INSERT OR IGNORE INTO requests ({columns}) VALUES {}",
                vec![one.as_str(); count].join(",")
            )
        };
        let sums = rollup::COLUMNS;
        let upsert = format!(
            "INSERT INTO rollups (level,bucket,user,model,provider,api,{}) VALUES (?,?,?,?,?,?,{}) \
             ON CONFLICT DO UPDATE SET {}",
            sums.join(","),
            vec!["?"; sums.len()].join(","),
            sums.map(|c| format!("{c}=min({c}+excluded.{c},{})", rollup::CAP))
                .join(","),
        );
        Self {
            write,
            read,
            inserts: GROUPS.map(insert),
            upsert,
            path,
        }
    }

    /// Inserts records that are all new, in large groups; `None`, with the transaction spoilt, if some are not.
    async fn insert_new(
        &self,
        connection: &mut SqliteConnection,
        records: &[UsageRecord],
    ) -> Result<Option<rollup::Sums>, StoreError> {
        let mut sums = rollup::Sums::new();
        let mut rest = records;
        for (size, sql) in GROUPS.into_iter().zip(&self.inserts) {
            while let Some((group, after)) = rest.split_at_checked(size) {
                rest = after;
                let query = group.iter().fold(sqlx::query(sql), row::bind);
                if query.execute(&mut *connection).await?.rows_affected() != group.len() as u64 {
                    return Ok(None);
                }
                group.iter().for_each(|record| rollup::add(&mut sums, record));
            }
        }
        Ok(Some(sums))
    }

    /// Inserts records one by one, to see which are new.
    async fn insert_some(
        &self,
        connection: &mut SqliteConnection,
        records: &[UsageRecord],
    ) -> Result<(rollup::Sums, Ingested), StoreError> {
        let [.., single] = &self.inserts;
        let mut sums = rollup::Sums::new();
        let mut done = Ingested::default();
        for record in records {
            let query = row::bind(sqlx::query(single), record);
            if query.execute(&mut *connection).await?.rows_affected() == 1 {
                rollup::add(&mut sums, record);
                done.inserted += 1;
            } else {
                done.duplicates += 1;
            }
        }
        Ok((sums, done))
    }

    /// Begins a transaction with records and their sums in it.
    async fn begin_with(
        &self,
        records: &[UsageRecord],
    ) -> Result<(Transaction<'static, sqlx::Sqlite>, Ingested), StoreError> {
        let mut transaction = self.write.begin().await?;
        let (sums, done) = match self.insert_new(&mut transaction, records).await? {
            Some(sums) => (
                sums,
                Ingested {
                    inserted: records.len() as u64,
                    duplicates: 0,
                },
            ),
            None => {
                // Only after a kill between commit and what follows it: then once more, with care.
                transaction.rollback().await?;
                transaction = self.write.begin().await?;
                self.insert_some(&mut transaction, records).await?
            }
        };
        self.add_sums(&mut transaction, &sums).await?;
        Ok((transaction, done))
    }

    async fn add_sums(
        &self,
        connection: &mut SqliteConnection,
        sums: &rollup::Sums,
    ) -> Result<(), StoreError> {
        for (key, totals) in sums {
            let mut query = sqlx::query(&self.upsert)
                .bind(int(key.level))
                .bind(int(key.bucket))
                .bind(key.user.as_str())
                .bind(key.model.as_str())
                .bind(key.provider.as_str())
                .bind(key.api);
            for value in rollup::columns(totals) {
                query = query.bind(int(value));
            }
            query.execute(&mut *connection).await?;
        }
        Ok(())
    }

    async fn amend(&self, connection: &mut SqliteConnection, amend: &Amend) -> Result<(), StoreError> {
        let found = sqlx::query("SELECT * FROM requests WHERE request_id = ?")
            .bind(amend.request_id.0.as_slice())
            .fetch_optional(&mut *connection)
            .await?;
        let Some(found) = found else {
            tracing::warn!(request_id = %amend.request_id, "amendment of a record that is not stored");
            return Ok(());
        };
        let before = row::read(&found)?;
        sqlx::query("UPDATE requests SET ended = ?, duration_us = ? WHERE time = ? AND request_id = ?")
            .bind(amend.ended.name())
            .bind(int(amend.duration_us))
            .bind(int(before.time.0))
            .bind(amend.request_id.0.as_slice())
            .execute(&mut *connection)
            .await?;
        let (was, is) = (
            rollup::is_error(before.status, before.ended),
            rollup::is_error(before.status, amend.ended),
        );
        if was != is {
            for key in rollup::keys(&before) {
                sqlx::query(
                    "UPDATE rollups SET errors = max(errors + ?, 0) WHERE level = ? AND bucket = ? AND user = ? \
                     AND model = ? AND provider = ? AND api = ?",
                )
                .bind(if is { 1i64 } else { -1 })
                .bind(int(key.level))
                .bind(int(key.bucket))
                .bind(key.user)
                .bind(key.model)
                .bind(key.provider)
                .bind(key.api)
                .execute(&mut *connection)
                .await?;
            }
        }
        Ok(())
    }
}

impl Store for Sqlite {
    fn ingest<'a>(&'a self, batch: &'a Batch) -> Pending<'a, Ingested> {
        Box::pin(async move {
            let (mut transaction, done) = self.begin_with(&batch.records).await?;
            for amend in &batch.amends {
                self.amend(&mut transaction, amend).await?;
            }
            for cursor in &batch.cursors {
                sqlx::query(
                    "INSERT INTO cursors (incarnation,shard,segment,offset) VALUES (?,?,?,?) \
                     ON CONFLICT DO UPDATE SET segment = excluded.segment, offset = excluded.offset",
                )
                .bind(int(cursor.incarnation))
                .bind(i64::from(cursor.shard.0))
                .bind(int(cursor.segment))
                .bind(int(cursor.offset))
                .execute(&mut *transaction)
                .await?;
            }
            transaction.commit().await?;
            Ok(done)
        })
    }

    fn finish<'a>(&'a self, incarnation: u64, aborted: &'a [UsageRecord]) -> Pending<'a, Ingested> {
        Box::pin(async move {
            debug_assert!(
                aborted.iter().all(|record| record.ended == Ended::Aborted),
                "recovered records only"
            );
            let (mut transaction, done) = self.begin_with(aborted).await?;
            sqlx::query("DELETE FROM cursors WHERE incarnation = ?")
                .bind(int(incarnation))
                .execute(&mut *transaction)
                .await?;
            sqlx::query("INSERT OR IGNORE INTO finished (incarnation) VALUES (?)")
                .bind(int(incarnation))
                .execute(&mut *transaction)
                .await?;
            transaction.commit().await?;
            Ok(done)
        })
    }

    fn finished(&self) -> Pending<'_, Vec<u64>> {
        Box::pin(async move {
            let rows = sqlx::query("SELECT incarnation FROM finished ORDER BY 1")
                .fetch_all(&self.write)
                .await?;
            rows.iter()
                .map(|row| natural(row.try_get(0)?, "incarnation"))
                .collect()
        })
    }

    fn forget(&self, incarnation: u64) -> Pending<'_, ()> {
        Box::pin(async move {
            sqlx::query("DELETE FROM finished WHERE incarnation = ?")
                .bind(int(incarnation))
                .execute(&self.write)
                .await?;
            Ok(())
        })
    }

    fn cursors(&self, incarnation: u64) -> Pending<'_, Vec<Cursor>> {
        Box::pin(async move {
            let rows = sqlx::query("SELECT shard,segment,offset FROM cursors WHERE incarnation = ?")
                .bind(int(incarnation))
                .fetch_all(&self.write)
                .await?;
            let cursor = |row: &sqlx::sqlite::SqliteRow| {
                let shard =
                    u16::try_from(row.try_get::<i64, _>(0)?).map_err(|_| StoreError::Column("shard"))?;
                Ok(Cursor {
                    incarnation,
                    shard: ShardId(shard),
                    segment: natural(row.try_get(1)?, "segment")?,
                    offset: natural(row.try_get(2)?, "offset")?,
                })
            };
            rows.iter().map(cursor).collect()
        })
    }

    fn requests<'a>(&'a self, query: &'a RequestQuery) -> Pending<'a, Vec<UsageRecord>> {
        Box::pin(async move {
            let mut sql = format!(
                "SELECT {} FROM requests WHERE time >= ? AND time < ?",
                row::COLUMNS.join(",")
            );
            if query.user.is_some() {
                sql.push_str(" AND user = ?");
            }
            if query.model.is_some() {
                sql.push_str(" AND (model_asked = ? OR model_answered = ?)");
            }
            if query.provider.is_some() {
                sql.push_str(" AND provider = ?");
            }
            if query.status.is_some() {
                sql.push_str(" AND status BETWEEN ? AND ?");
            }
            if query.after.is_some() {
                sql.push_str(" AND (time, request_id) < (?, ?)");
            }
            sql.push_str(" ORDER BY time DESC, request_id DESC LIMIT ?");
            let mut bound = sqlx::query(&sql)
                .bind(query.since.map_or(0, |time| int(time.0)))
                .bind(query.until.map_or(i64::MAX, |time| int(time.0)));
            if let Some(user) = &query.user {
                bound = bound.bind(user);
            }
            if let Some(model) = &query.model {
                bound = bound.bind(model).bind(model);
            }
            if let Some(provider) = &query.provider {
                bound = bound.bind(provider);
            }
            if let Some((low, high)) = query.status {
                bound = bound.bind(i64::from(low)).bind(i64::from(high));
            }
            if let Some((time, id)) = &query.after {
                bound = bound.bind(int(time.0)).bind(id.0.as_slice());
            }
            let rows = bound.bind(i64::from(query.limit)).fetch_all(&self.read).await?;
            rows.iter().map(row::read).collect()
        })
    }

    fn usage<'a>(&'a self, query: &'a UsageQuery) -> Pending<'a, Vec<UsageGroup>> {
        Box::pin(async move {
            let sql = usage_sql(query);
            let mut bound = sqlx::query(&sql);
            if let Some(user) = &query.user {
                bound = bound.bind(user);
            }
            let rows = bound.fetch_all(&self.read).await?;
            let mut groups = Vec::with_capacity(rows.len());
            for row in &rows {
                let mut totals = Totals::default();
                for (at, total) in rollup::columns_mut(&mut totals).into_iter().enumerate() {
                    let high = natural(row.try_get(1 + 2 * at)?, "sum")?;
                    let low = natural(row.try_get(2 + 2 * at)?, "sum")?;
                    *total = high.saturating_mul(1 << 32).saturating_add(low);
                }
                groups.push(UsageGroup {
                    key: row.try_get(0)?,
                    totals,
                });
            }
            if matches!(query.by, GroupBy::Hour | GroupBy::Day) {
                groups.reverse();
            }
            Ok(groups)
        })
    }

    fn bytes(&self) -> u64 {
        ["", "-wal", "-shm"]
            .iter()
            .map(|suffix| {
                let mut path = self.path.clone().into_os_string();
                path.push(suffix);
                std::fs::metadata(path).map_or(0, |metadata| metadata.len())
            })
            .sum()
    }
}

/// The statement that sums usage; only numbers and fixed words go into its text. Sums are taken in two halves of
/// 32 bits, so that no provider's wild figures make the database's 64-bit sum overflow.
fn usage_sql(query: &UsageQuery) -> String {
    let longest = if query.by == GroupBy::Hour {
        Level::Hour
    } else {
        Level::Day
    };
    let key = |bucket: &str, level: Level| match query.by {
        GroupBy::User => "user".to_owned(),
        GroupBy::Model if level == Level::Raw => "iif(provider = '', '', model_asked)".to_owned(),
        GroupBy::Model => "model".to_owned(),
        GroupBy::Provider => "provider".to_owned(),
        GroupBy::Hour => format!("{bucket} / 3600 * 3600"),
        GroupBy::Day => format!("{bucket} / 86400 * 86400"),
    };
    let user = if query.user.is_some() {
        " AND user = ?1"
    } else {
        ""
    };
    let from = query.since.map_or(0, |time| time.0);
    let to = query
        .until
        .map_or(u64::MAX, |time| time.0)
        .min(i64::MAX.unsigned_abs());
    let mut parts: Vec<String> = Vec::new();
    for part in cover(from, to, longest) {
        let (columns, table, time, unit) = match part.level {
            Level::Raw => (raw_columns(), "requests", "time", 1),
            Level::Minute | Level::Hour | Level::Day => {
                (rollup::COLUMNS.join(","), "rollups", "bucket", 1_000_000)
            }
        };
        let bucket = if part.level == Level::Raw {
            "(time / 1000000)"
        } else {
            "bucket"
        };
        let level = match part.level.seconds() {
            0 => String::new(),
            seconds => format!(" AND level = {seconds}"),
        };
        parts.push(format!(
            "SELECT {} AS k, {columns} FROM {table} WHERE {time} >= {} AND {time} < {}{level}{user}",
            key(bucket, part.level),
            part.from / unit,
            part.to.div_ceil(unit),
        ));
    }
    if parts.is_empty() {
        let none = rollup::COLUMNS.map(|column| format!("0 AS {column}")).join(",");
        parts.push(format!(
            "SELECT '' AS k, {none} FROM (SELECT 1) WHERE 0{}",
            user.replace("user", "''")
        ));
    }
    let sums = rollup::COLUMNS
        .map(|c| format!("coalesce(sum({c} >> 32), 0), coalesce(sum({c} & 4294967295), 0)"))
        .join(",");
    let order = match query.by {
        GroupBy::Hour | GroupBy::Day => "k DESC",
        GroupBy::User | GroupBy::Model | GroupBy::Provider => "sum(requests) DESC, k",
    };
    format!(
        "SELECT CAST(k AS TEXT), {sums} FROM ({}) GROUP BY k ORDER BY {order} LIMIT {GROUPS_MAX}",
        parts.join(" UNION ALL ")
    )
}

/// What [`rollup::contribution`] computes, as columns over `requests`; a test compares the two.
fn raw_columns() -> String {
    let free: Vec<String> = sluice_shared::api::ApiKind::ALL
        .iter()
        .filter(|kind| !kind.billed())
        .map(|kind| format!("'{}'", kind.name()))
        .collect();
    let billed = format!("provider <> '' AND api NOT IN ({})", free.join(","));
    let count = |column: &str, name: &str| format!("min(coalesce({column}, 0), {}) AS {name}", rollup::CAP);
    [
        "1 AS requests".to_owned(),
        "(status >= 400 OR ended IN ('upstream_failed','aborted')) AS errors".to_owned(),
        format!("({billed} AND status < 400 AND usage_known = 'unknown') AS unknown"),
        format!("({billed} AND usage_known <> 'unknown' AND cost IS NULL) AS unpriced"),
        count("input", "input"),
        count("input_uncached", "input_uncached"),
        count("cached_read", "cached_read"),
        count("cache_write", "cache_write"),
        count("output", "output"),
        count("reasoning", "reasoning"),
        count("cost", "cost_nanousd"),
    ]
    .join(",")
}

fn natural(value: i64, column: &'static str) -> Result<u64, StoreError> {
    u64::try_from(value).map_err(|_| StoreError::Column(column))
}

async fn version(connection: &mut SqliteConnection) -> Result<i64, StoreError> {
    Ok(sqlx::query("PRAGMA user_version")
        .fetch_one(connection)
        .await?
        .try_get(0)?)
}

fn check_version(found: i64) -> Result<usize, StoreError> {
    let known = i64::try_from(MIGRATIONS.len()).unwrap_or(i64::MAX);
    usize::try_from(found)
        .ok()
        .filter(|found| *found <= MIGRATIONS.len())
        .ok_or(StoreError::Newer { found, known })
}

async fn migrate(pool: &SqlitePool) -> Result<(), StoreError> {
    let mut transaction = pool.begin().await?;
    let done = check_version(version(&mut transaction).await?)?;
    for (at, script) in MIGRATIONS.iter().enumerate().skip(done) {
        transaction.execute(*script).await?;
        transaction
            .execute(format!("PRAGMA user_version = {}", at + 1).as_str())
            .await?;
    }
    transaction.commit().await?;
    Ok(())
}

#[cfg(test)]
impl Sqlite {
    /// Pretends that another version wrote the file.
    pub(super) async fn set_version(&self, version: u32) {
        sqlx::raw_sql(&format!("PRAGMA user_version = {version}"))
            .execute(&self.write)
            .await
            .unwrap();
    }
}
