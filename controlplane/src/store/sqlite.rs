//! The store in one SQLite file.
//!
//! Write-ahead log with `synchronous=FULL`: a commit is on the disk when it returns, because the journal segments behind
//! it are deleted next. One connection writes, a few read; readers never wait for the writer. Writing happens on the
//! thread that asks for it (`writer.rs`).
//!
//! `requests` is clustered by `(time, request_id)`, the order of every list and of the list's cursor. Its rows hold
//! numbers for texts and a packed rest (`detail.rs`); filtered lists find their seconds in `seen` (`seen.rs`).

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

use super::detail::{COLUMNS, Columns, Row, TextId, int};
use super::views::Views;
use super::writer::{Writer, amend, check_version, finish, set_cursor};
use super::{
    Batch, BucketId, BucketQuery, BucketRow, Cursor, Definitions, FILE, HistoryQuery, Ingested, LeaseAsk,
    LeaseOutcome, Pending, QuotaEvent, RefillEntry, Refilled, RequestQuery, Store, StoreError, StoredToken,
    Touched, UsageGroup, UsageQuery, When, ledger, seen, tokens,
};

/// A store in a file.
pub(crate) struct Sqlite {
    write: Mutex<Writer>,
    /// Lists of the ledger, which are short.
    lists: Mutex<Connection>,
    /// Lists of captures, which may be long.
    looks: Arc<Mutex<Connection>>,
    pub(super) read: Reads,
    /// Questions whose answers are added up.
    pub(super) views: Views,
    path: PathBuf,
}

/// The connections that read.
pub(crate) struct Reads(pub(super) SqlitePool, PathBuf);

impl Sqlite {
    /// Opens the store of a data directory, makes it if it is missing, and brings its schema up to date.
    pub(crate) fn open(data_dir: &Path) -> Pending<'_, Self> {
        Box::pin(async move {
            let path = data_dir.join(FILE);
            let write = Mutex::new(Writer::open(&path)?);
            let lists = Mutex::new(open_lists(&path)?);
            let looks = Arc::new(Mutex::new(open_lists(&path)?));
            let read = Reads::connect(&path, SqliteConnectOptions::new().filename(&path)).await?;
            Ok(Self {
                write,
                lists,
                looks,
                read,
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
        let looks = self.looks.clone();
        let looked =
            tokio::task::spawn_blocking(move || look(&looks.lock().unwrap_or_else(PoisonError::into_inner)));
        looked
            .await
            .unwrap_or_else(|_| Err(StoreError::Column("(the query ended early)")))
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
            let options = SqliteConnectOptions::new().filename(&path).read_only(true);
            let reads = Self::connect(&path, options).await?;
            let found = sqlx::query("PRAGMA user_version")
                .fetch_one(&reads.0)
                .await?
                .try_get(0)?;
            check_version(found)?;
            Ok(reads)
        })
    }

    async fn connect(path: &Path, options: SqliteConnectOptions) -> Result<Self, StoreError> {
        let options = options
            .pragma("query_only", "on")
            .busy_timeout(Duration::from_secs(10));
        let pool = SqlitePoolOptions::new()
            .max_connections(4)
            .min_connections(0)
            .idle_timeout(Duration::from_secs(60))
            .connect_with(options)
            .await?;
        Ok(Self(pool, path.to_owned()))
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

    fn requests<'a>(&'a self, query: &'a RequestQuery) -> Pending<'a, Vec<UsageRecord>> {
        Box::pin(self.read.requests(query))
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

/// A list's statement and the numbers that are bound to it, in order.
struct List {
    sql: String,
    bound: Vec<i64>,
}

impl Reads {
    pub(super) async fn requests(&self, query: &RequestQuery) -> Result<Vec<UsageRecord>, StoreError> {
        // One view of the file: texts are there when their rows are.
        let mut view = self.0.begin().await?;
        let mut numbers = [None; 3];
        for (number, text) in numbers
            .iter_mut()
            .zip([&query.user, &query.model, &query.provider])
        {
            if let Some(text) = text {
                *number = number_of(&mut view, text).await?;
                if number.is_none() {
                    return Ok(Vec::new());
                }
            }
        }
        let list = list_sql(query, numbers);
        let mut bound = sqlx::query(&list.sql);
        for number in list.bound {
            bound = bound.bind(number);
        }
        if let Some((_, id)) = &query.after {
            bound = bound.bind(id.0.as_slice());
        }
        let rows = bound.fetch_all(&mut *view).await?;
        records(&mut view, &rows).await
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
            if check_version(found)? < super::narrow::VERSION {
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

/// The statement of a list. With a filter, the seconds in which all its values occur are gone through from the newest,
/// and of each the records; without, the records are in order as they stand.
fn list_sql(query: &RequestQuery, [user, model, provider]: [Option<TextId>; 3]) -> List {
    let status = query.status.and_then(|(low, high)| seen::range_value(low, high));
    let since = query.since.map_or(0, |time| int(time.0));
    let until = query.until.map_or(i64::MAX, |time| int(time.0));
    let mut bound = vec![since, until];
    let mut filter = String::from("r.time >= ?1 AND r.time < ?2");
    let mut place = |value: i64| {
        bound.push(value);
        format!("?{}", bound.len())
    };
    if let Some(user) = user {
        filter += &format!(" AND r.user = {}", place(user));
    }
    if let Some(model) = model {
        let model = place(model);
        filter += &format!(" AND (r.model_asked = {model} OR r.model_answered = {model})");
    }
    if let Some(provider) = provider {
        filter += &format!(" AND r.provider = {}", place(provider));
    }
    if let Some((low, high)) = query.status {
        let (low, high) = (place(i64::from(low)), place(i64::from(high)));
        filter += &format!(" AND r.status BETWEEN {low} AND {high}");
    }
    // Those that say most come first.
    let mut values = [user, model, provider, status].into_iter().flatten();
    let first = values.next();
    let mut from = String::from("requests r");
    let mut order = "";
    if let Some(value) = first {
        let last = query.after.map_or(until, |(time, _)| int(time.0).min(until)) / 1_000_000;
        let (value, low, high) = (place(value), place(since / 1_000_000), place(last));
        from = "seen s CROSS JOIN requests r".to_owned();
        filter += &format!(
            " AND s.value = {value} AND s.second BETWEEN {low} AND {high} \
             AND r.time >= s.second * 1000000 AND r.time < (s.second + 1) * 1000000"
        );
        for value in values {
            filter += &format!(
                " AND EXISTS (SELECT 1 FROM seen o WHERE o.value = {} AND o.second = s.second)",
                place(value)
            );
        }
        order = "s.second DESC, ";
    }
    let limit = place(i64::from(query.limit));
    if let Some((time, _)) = query.after {
        let time = place(int(time.0));
        // The id is bound last.
        filter += &format!(" AND (r.time, r.request_id) < ({time}, ?{})", bound.len() + 1);
    }
    let columns: Vec<String> = COLUMNS.split(',').map(|column| format!("r.{column}")).collect();
    List {
        sql: format!(
            "SELECT {} FROM {from} WHERE {filter} ORDER BY {order}r.time DESC, r.request_id DESC LIMIT {limit}",
            columns.join(",")
        ),
        bound,
    }
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

#[cfg(test)]
mod tests {
    use sluice_shared::units::UnixMicros;

    use super::*;

    #[tokio::test]
    async fn no_list_is_sorted_or_scanned() {
        let folder = tempfile::tempdir().unwrap();
        let store = Sqlite::open(folder.path()).await.unwrap();
        for bits in 0u8..32 {
            let has = |bit: u8| (bits >> bit & 1 == 1).then_some(i64::from(bit));
            let query = RequestQuery {
                status: has(3).map(|_| (400, 499)),
                after: has(4).map(|_| (UnixMicros(5), RequestId([1; 16]))),
                limit: 5,
                ..RequestQuery::default()
            };
            let list = list_sql(&query, [has(0), has(1), has(2)]);
            let writer = store.writer();
            let sql = format!("EXPLAIN QUERY PLAN {}", list.sql);
            let mut statement = writer.connection.prepare(&sql).unwrap();
            let plan = statement.raw_query().mapped(|row| row.get(3));
            let plan: Vec<String> = plan.collect::<Result<_, _>>().unwrap();
            assert!(!plan.is_empty());
            for step in &plan {
                assert!(
                    !step.contains("TEMP B-TREE") && !step.starts_with("SCAN"),
                    "{}: {plan:?}",
                    list.sql
                );
            }
        }
    }
}
