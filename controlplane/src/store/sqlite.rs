//! The store in one SQLite file.
//!
//! Write-ahead log with `synchronous=FULL`: a commit is on the disk when it returns, because the journal segments behind
//! it are deleted next. One connection writes, a few read; readers never wait for the writer. Writing happens on the
//! thread that asks for it (`writer.rs`).
//!
//! `requests` is clustered by `(time, request_id)`, the order of every list and of the list's cursor. Its rows hold
//! numbers for texts and a packed rest (`detail.rs`); filtered lists find where to look by indexes of moments (`scan.rs`).

use std::collections::{BTreeSet, HashMap};
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use rusqlite::{Connection, OpenFlags, OptionalExtension as _, TransactionBehavior};
use sluice_shared::ids::RequestId;
use sluice_shared::units::UnixMicros;
use sluice_shared::usage::{Ended, UsageRecord};
use sluice_shared::wire::control::Bucket;
use sqlx::sqlite::{SqliteConnectOptions, SqlitePool, SqlitePoolOptions, SqliteRow};
use sqlx::{Row as _, SqliteConnection};

use super::detail::{COLUMNS, Columns, Row, TextId};
use super::looks::Looks;
use super::views::Views;
use super::writer::{Writer, amend, check_version, finish, set_cursor};
use super::{
    Batch, BucketId, BucketQuery, BucketRow, Cursor, Definitions, FILE, HistoryQuery, Ingested, LeaseAsk,
    LeaseOutcome, Page, Pending, Place, QuotaEvent, RefillEntry, Refilled, RequestQuery, Store, StoreError,
    StoredToken, Touched, UsageGroup, UsageQuery, When, ledger, scan, tokens,
};

/// A store in a file.
pub(crate) struct Sqlite {
    write: Mutex<Writer>,
    /// Lists of the ledger, which are short.
    lists: Mutex<Connection>,
    pub(super) read: Reads,
    /// Questions whose answers are added up.
    pub(super) views: Views,
    path: PathBuf,
}

/// The connections that read.
pub(crate) struct Reads(pub(super) SqlitePool, PathBuf, Arc<Looks>);

impl Sqlite {
    /// Opens the store of a data directory, makes it if it is missing, and brings its schema up to date.
    pub(crate) fn open(data_dir: &Path) -> Pending<'_, Self> {
        Box::pin(async move {
            let path = data_dir.join(FILE);
            let write = Mutex::new(Writer::open(&path)?);
            let lists = Mutex::new(open_lists(&path)?);
            let read = Reads::connect(&path, true).await?;
            Ok(Self {
                write,
                lists,
                read,
                views: Views::of(&path),
                path,
            })
        })
    }

    /// The same for a store that is filled with what nobody needs: quick, and damaged by whatever interrupts it.
    pub(crate) fn open_unsafely(data_dir: &Path) -> Pending<'_, Self> {
        Box::pin(async move {
            let path = data_dir.join(FILE);
            let writer = Writer::open(&path)?;
            writer.connection.execute_batch(
                "PRAGMA journal_mode = off; PRAGMA synchronous = off; PRAGMA cache_size = -1500000; \
                 PRAGMA locking_mode = exclusive",
            )?;
            Ok(Self {
                write: Mutex::new(writer),
                lists: Mutex::new(Connection::open_in_memory()?),
                read: Reads::lazy(&path, true),
                views: Views::of(&path),
                path,
            })
        })
    }

    pub(super) fn writer(&self) -> MutexGuard<'_, Writer> {
        self.write.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The file.
    pub(super) fn path(&self) -> &Path {
        &self.path
    }

    pub(super) fn lists(&self) -> MutexGuard<'_, Connection> {
        self.lists.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Sqlite {
    /// Looks something up on a thread that may wait.
    pub(super) async fn look<T: Send + 'static>(
        &self,
        look: impl FnOnce(&Connection) -> Result<T, StoreError> + Send + 'static,
    ) -> Result<T, StoreError> {
        self.read.2.look(look).await
    }
}

/// A connection that reads beside the one that writes, without waiting for it.
fn open_lists(path: &Path) -> Result<Connection, StoreError> {
    let flags = OpenFlags::SQLITE_OPEN_READ_WRITE | OpenFlags::SQLITE_OPEN_NO_MUTEX;
    let connection = Connection::open_with_flags(path, flags)?;
    connection.busy_timeout(Duration::from_secs(10))?;
    connection.pragma_update(None, "query_only", "on")?;
    Ok(connection)
}

impl Reads {
    /// Opens the store of a data directory for reading only.
    pub(crate) fn open(data_dir: &Path) -> Pending<'_, Self> {
        Box::pin(async move {
            let path = data_dir.join(FILE);
            if !path.exists() {
                return Err(StoreError::Missing(data_dir.display().to_string()));
            }
            let reads = Self::connect(&path, false).await?;
            let found = sqlx::query("PRAGMA user_version")
                .fetch_one(&reads.0)
                .await?
                .try_get(0)?;
            check_version(found)?;
            Ok(reads)
        })
    }

    /// Connects to a file that this process writes (`own`) or not.
    async fn connect(path: &Path, own: bool) -> Result<Self, StoreError> {
        let reads = Self::lazy(path, own);
        reads.0.acquire().await?;
        Ok(reads)
    }

    /// The same without looking whether it can be read.
    fn lazy(path: &Path, own: bool) -> Self {
        let options = SqliteConnectOptions::new()
            .filename(path)
            .read_only(!own)
            .pragma("query_only", "on")
            .busy_timeout(Duration::from_secs(10));
        let pool = SqlitePoolOptions::new()
            .max_connections(4)
            .min_connections(0)
            .idle_timeout(Duration::from_secs(60))
            .connect_lazy_with(options);
        Self(pool, path.to_owned(), Looks::new(path, own))
    }
}

// The writing half does not wait but for the disk: its futures are ready when they are first looked at.
impl Store for Sqlite {
    fn ingest<'a>(&'a self, batch: &'a Batch) -> Pending<'a, Ingested> {
        Box::pin(async move {
            let mut writer = self.writer();
            let wants = writer.wants;
            writer.store(&batch.records, batch.holder, batch.when, |connection| {
                batch
                    .amends
                    .iter()
                    .try_for_each(|it| amend(connection, wants, it))?;
                batch.cursors.iter().try_for_each(|it| set_cursor(connection, it))
            })
        })
    }

    fn finish<'a>(
        &'a self,
        incarnation: u64,
        aborted: &'a [UsageRecord],
        when: When,
    ) -> Pending<'a, Ingested> {
        Box::pin(async move {
            debug_assert!(
                aborted.iter().all(|record| record.ended == Ended::Aborted),
                "recovered records only"
            );
            let mut freed = Vec::new();
            let done = self.writer().store(aborted, incarnation, when, |connection| {
                freed = ledger::end_leases(connection, incarnation)?;
                finish(connection, incarnation)
            })?;
            Ok(Ingested { freed, ..done })
        })
    }

    fn finished(&self) -> Pending<'_, Vec<u64>> {
        Box::pin(async move { self.writer().finished() })
    }

    fn forget(&self, incarnation: u64) -> Pending<'_, ()> {
        Box::pin(async move { self.writer().forget(incarnation) })
    }

    fn cursors(&self, incarnation: u64) -> Pending<'_, Vec<Cursor>> {
        Box::pin(async move { self.writer().cursors(incarnation) })
    }

    fn requests<'a>(&'a self, query: &'a RequestQuery) -> Pending<'a, Page> {
        Box::pin(self.read.requests(query))
    }

    fn requests_at<'a>(&'a self, places: &'a [Place]) -> Pending<'a, Vec<UsageRecord>> {
        let places = places.to_vec();
        Box::pin(self.look(move |connection| scan::at(connection, &places)))
    }

    fn request(&self, id: RequestId) -> Pending<'_, Option<UsageRecord>> {
        Box::pin(self.read.request(id))
    }

    fn usage<'a>(&'a self, query: &'a UsageQuery) -> Pending<'a, Vec<UsageGroup>> {
        let query = query.clone();
        Box::pin(
            self.views
                .ask(move |connection| super::series::usage(connection, &query)),
        )
    }

    fn tokens(&self) -> Pending<'_, Vec<StoredToken>> {
        Box::pin(async move { tokens::all(&self.writer().connection) })
    }

    fn add_token<'a>(&'a self, token: &'a StoredToken) -> Pending<'a, ()> {
        Box::pin(async move { tokens::add(&self.writer().connection, token) })
    }

    fn revoke_token<'a>(&'a self, id: &'a str, at: UnixMicros) -> Pending<'a, ()> {
        Box::pin(async move { tokens::revoke(&self.writer().connection, id, at) })
    }

    fn tokens_used<'a>(&'a self, uses: &'a [(String, UnixMicros)]) -> Pending<'a, ()> {
        Box::pin(async move { tokens::used(&mut self.writer().connection, uses) })
    }

    fn prune_tokens(&self, before: UnixMicros) -> Pending<'_, ()> {
        Box::pin(async move { tokens::prune(&self.writer().connection, before) })
    }

    fn resume(&self, now: UnixMicros) -> Pending<'_, ()> {
        Box::pin(async move { ledger::resume(&self.writer().connection, now) })
    }

    fn lease<'a>(
        &'a self,
        asks: &'a [LeaseAsk],
        now: UnixMicros,
        contested: &'a BTreeSet<BucketId>,
    ) -> Pending<'a, Vec<LeaseOutcome>> {
        Box::pin(async move {
            let mut writer = self.writer();
            let transaction = writer
                .connection
                .transaction_with_behavior(TransactionBehavior::Immediate)?;
            let outcomes = asks
                .iter()
                .map(|ask| ledger::lease(&transaction, ask, now, contested));
            let outcomes = outcomes.collect::<Result<_, _>>()?;
            transaction.commit()?;
            Ok(outcomes)
        })
    }

    fn holders(&self) -> Pending<'_, Vec<u64>> {
        Box::pin(async move { ledger::holders(&self.writer().connection) })
    }

    fn end_leases(&self, holder: u64) -> Pending<'_, Vec<Touched>> {
        Box::pin(async move {
            let mut writer = self.writer();
            let transaction = writer.connection.transaction()?;
            let freed = ledger::end_leases(&transaction, holder)?;
            transaction.commit()?;
            Ok(freed)
        })
    }

    fn reconcile<'a>(&'a self, definitions: &'a Definitions, now: UnixMicros) -> Pending<'a, Vec<Touched>> {
        Box::pin(async move { ledger::reconcile(&mut self.writer().connection, definitions, now) })
    }

    fn refill<'a>(
        &'a self,
        bucket: &'a Bucket,
        amount: Option<u64>,
        author: &'a str,
        now: UnixMicros,
    ) -> Pending<'a, Option<Refilled>> {
        Box::pin(async move { ledger::refill(&mut self.writer().connection, bucket, amount, author, now) })
    }

    fn buckets<'a>(&'a self, query: &'a BucketQuery, now: UnixMicros) -> Pending<'a, Vec<BucketRow>> {
        Box::pin(async move {
            let mut lists = self.lists();
            // One view: leases belong to their buckets.
            let view = lists.transaction()?;
            ledger::buckets(&view, query, now)
        })
    }

    fn refills<'a>(&'a self, query: &'a HistoryQuery) -> Pending<'a, Vec<RefillEntry>> {
        Box::pin(async move { ledger::refills(&self.lists(), query) })
    }

    fn quota_events<'a>(&'a self, query: &'a HistoryQuery) -> Pending<'a, Vec<QuotaEvent>> {
        Box::pin(async move { ledger::events(&self.lists(), query) })
    }

    fn prune_buckets(&self, after: BucketId, now: UnixMicros) -> Pending<'_, Option<BucketId>> {
        Box::pin(async move { ledger::prune(&mut self.writer().connection, after, now) })
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

impl Reads {
    pub(super) async fn requests(&self, query: &RequestQuery) -> Result<Page, StoreError> {
        let query = query.clone();
        self.2
            .look(move |connection| scan::page(connection, &query, scan::WORK_MAX))
            .await
    }

    async fn request(&self, id: RequestId) -> Result<Option<UsageRecord>, StoreError> {
        let mut view = self.0.begin().await?;
        let sql = format!("SELECT {COLUMNS} FROM requests WHERE request_id = ?");
        let rows = sqlx::query(&sql)
            .bind(id.0.as_slice())
            .fetch_all(&mut *view)
            .await?;
        Ok(records(&mut view, &rows).await?.pop())
    }

    /// Of a store that this version has opened for writing before.
    pub(super) async fn usage(&self, query: &UsageQuery) -> Result<Vec<UsageGroup>, StoreError> {
        let (path, query) = (self.1.clone(), query.clone());
        let asked = tokio::task::spawn_blocking(move || {
            let flags = OpenFlags::SQLITE_OPEN_READ_ONLY | OpenFlags::SQLITE_OPEN_NO_MUTEX;
            let connection = Connection::open_with_flags(path, flags)?;
            connection.busy_timeout(Duration::from_secs(10))?;
            let found = connection.pragma_query_value(None, "user_version", |row| row.get(0))?;
            if check_version(found)? < super::narrow::BY_MODEL {
                return Err(StoreError::Older { found });
            }
            let view = connection.unchecked_transaction()?;
            super::series::usage(&view, &query)
        });
        asked
            .await
            .unwrap_or_else(|_| Err(StoreError::Column("(the query ended early)")))
    }
}

/// Records of rows with the columns of [`COLUMNS`], with their texts.
pub(super) async fn records(
    view: &mut SqliteConnection,
    rows: &[SqliteRow],
) -> Result<Vec<UsageRecord>, StoreError> {
    let rows: Vec<Row> = rows.iter().map(unpack).collect::<Result<_, _>>()?;
    let wanted: BTreeSet<TextId> = rows.iter().flat_map(Row::numbers).collect();
    let texts = texts_of(view, wanted).await?;
    rows.into_iter().map(|row| row.with_texts(&texts)).collect()
}

/// Texts by their numbers.
pub(super) async fn texts_of(
    view: &mut SqliteConnection,
    wanted: BTreeSet<TextId>,
) -> Result<HashMap<TextId, String>, StoreError> {
    let wanted: Vec<TextId> = wanted.into_iter().collect();
    let mut texts = HashMap::with_capacity(wanted.len());
    for some in wanted.chunks(500) {
        let places = vec!["?"; some.len()].join(",");
        let sql = format!("SELECT id,text FROM texts WHERE id IN ({places})");
        let mut bound = sqlx::query(&sql).persistent(false);
        for number in some {
            bound = bound.bind(number);
        }
        for row in bound.fetch_all(&mut *view).await? {
            texts.insert(row.try_get(0)?, row.try_get(1)?);
        }
    }
    Ok(texts)
}

pub(super) async fn number_of(view: &mut SqliteConnection, text: &str) -> Result<Option<TextId>, StoreError> {
    let found = sqlx::query("SELECT id FROM texts WHERE text = ?")
        .bind(text)
        .fetch_optional(view)
        .await?;
    Ok(found.map(|row| row.try_get(0)).transpose()?)
}

/// The same over the other connections.
pub(super) fn number_in(connection: &Connection, text: &str) -> Result<Option<TextId>, StoreError> {
    let mut select = connection.prepare_cached("SELECT id FROM texts WHERE text = ?")?;
    Ok(select.query_row([text], |row| row.get(0)).optional()?)
}

fn unpack(row: &SqliteRow) -> Result<Row, StoreError> {
    let (id, detail): (&[u8], &[u8]) = (row.try_get(1)?, row.try_get(7)?);
    let columns = Columns {
        time: natural(row.try_get(0)?, "time")?,
        request_id: RequestId(id.try_into().map_err(|_| StoreError::Column("request_id"))?),
        user: row.try_get(2)?,
        provider: row.try_get(3)?,
        model_asked: row.try_get(4)?,
        model_answered: row.try_get(5)?,
        status: u16::try_from(row.try_get::<i64, _>(6)?).map_err(|_| StoreError::Column("status"))?,
    };
    Row::unpack(&columns, detail).ok_or(StoreError::Column("detail"))
}

fn natural(value: i64, column: &'static str) -> Result<u64, StoreError> {
    u64::try_from(value).map_err(|_| StoreError::Column(column))
}

#[cfg(test)]
impl Sqlite {
    /// Pretends that another version wrote the file.
    #[allow(clippy::unused_async, reason = "a store may have to wait")]
    pub(super) async fn set_version(&self, version: u32) {
        self.writer()
            .connection
            .pragma_update(None, "user_version", version)
            .unwrap();
    }

    /// Changes what no caller can.
    pub(crate) fn execute_for_tests(&self, sql: &str) {
        self.writer().connection.execute_batch(sql).unwrap();
    }
}
