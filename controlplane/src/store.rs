//! The store: request records, their rollups, and how far the journal has been read.
//!
//! One trait, so that another database can stand beside SQLite and pass the same tests. The contract that matters:
//! `Store::ingest` and `Store::finish` are each one transaction that is durable when they return. Records are kept
//! under their request id, a second one of the same id is ignored; rollups count only what was really inserted. With the
//! cursors in the same transaction, every journal record is stored exactly once, whatever is killed when.

pub(crate) mod adoption;
pub(crate) mod audit;
pub(crate) mod captures;
mod cells;
mod detail;
pub(crate) mod export;
pub(crate) mod filter;
mod ledger;
mod looks;
mod matches;
mod narrow;
pub(crate) mod outbox;
pub(crate) mod people;
pub(crate) mod range;
mod rollup;
pub(crate) mod samples;
mod scan;
pub(crate) mod search;
mod seen;
pub(crate) mod series;
pub(crate) mod sessions;
mod sqlite;
mod texts;
mod tokens;
pub(crate) mod tools;
pub(crate) mod verdicts;
mod views;
mod writer;
mod zones;

use std::collections::BTreeSet;
use std::future::Future;
use std::path::Path;
use std::pin::Pin;

use sluice_shared::ids::{RequestId, ShardId};
use sluice_shared::units::UnixMicros;
use sluice_shared::usage::{Ended, UsageRecord};
use sluice_shared::wire::control::Bucket;

pub(crate) use detail::side_json;
pub(crate) use export::ExportRows;
pub(crate) use filter::Filter;
pub(crate) use ledger::{
    Among, BucketId, BucketOrder, BucketQuery, BucketRow, Definitions, HistoryQuery, LeaseAsk, LeaseOutcome,
    Other, QuotaEvent, RefillEntry, Refilled, Touched,
};
pub(crate) use rollup::is_error;
pub(crate) use sqlite::Sqlite;
pub(crate) use tokens::{StoredToken, TokenInfo};

/// File of the SQLite store in the data directory.
pub const FILE: &str = "store.sqlite";

/// A future of the store.
pub(crate) type Pending<'a, T> = Pin<Box<dyn Future<Output = Result<T, StoreError>> + Send + 'a>>;

/// Why the store could not do what was asked.
#[derive(Debug, thiserror::Error)]
pub enum StoreError {
    /// The database failed.
    #[error("database")]
    Database(#[from] sqlx::Error),
    /// The database failed to write.
    #[error("database")]
    Write(#[from] rusqlite::Error),
    /// The database was written by a later version.
    #[error("the store has schema version {found}, this version knows {known}")]
    Newer {
        /// Version in the file.
        found: i64,
        /// Newest version that this build knows.
        known: i64,
    },
    /// The database was written by an earlier version, and what is asked for is not in it yet.
    #[error(
        "the store has schema version {found}: start this version once, so that it brings the store up to date"
    )]
    Older {
        /// Version in the file.
        found: i64,
    },
    /// A stored row does not read back; the database was changed by something else.
    #[error("stored column {0} holds something else than was written")]
    Column(&'static str),
    /// There is no store yet.
    #[error("there is no store in {0}")]
    Missing(String),
}

/// A record that turned out otherwise after it was written.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Amend {
    pub(crate) request_id: RequestId,
    pub(crate) ended: Ended,
    pub(crate) duration_us: u64,
}

/// How far a shard's row of segments has been read.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Cursor {
    pub(crate) incarnation: u64,
    pub(crate) shard: ShardId,
    /// Segment that is read next.
    pub(crate) segment: u64,
    /// Byte in it.
    pub(crate) offset: u64,
}

/// By the ledger's clock, when requests ended whose records are stored now. Clocks of others are believed within it only.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(crate) struct When {
    /// All that had ended before was stored by then; 0: nobody knows.
    pub(crate) since: UnixMicros,
    pub(crate) now: UnixMicros,
}

/// What one transaction stores: records with their charges first, then amendments, then cursors.
#[derive(Debug, Default)]
pub(crate) struct Batch {
    /// Incarnation that wrote it: the holder of the leases that its charges use up.
    pub(crate) holder: u64,
    /// When what it tells of ended.
    pub(crate) when: When,
    pub(crate) records: Vec<UsageRecord>,
    pub(crate) amends: Vec<Amend>,
    pub(crate) cursors: Vec<Cursor>,
}

impl Batch {
    pub(crate) fn is_empty(&self) -> bool {
        self.records.is_empty() && self.amends.is_empty() && self.cursors.is_empty()
    }
}

/// What a transaction did.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct Ingested {
    pub(crate) inserted: u64,
    /// Records that were there already.
    pub(crate) duplicates: u64,
    /// Charges of buckets that are not defined any more.
    pub(crate) charges_dropped: u64,
    /// Marks that buckets have been used up to.
    pub(crate) events: Vec<QuotaEvent>,
    /// Buckets that somebody had a lease of who is dead.
    pub(crate) freed: Vec<Touched>,
}

/// Which records are wanted, newest first.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct RequestQuery {
    /// From here on.
    pub(crate) since: Option<UnixMicros>,
    /// Up to, and without, this.
    pub(crate) until: Option<UnixMicros>,
    pub(crate) filter: Filter,
    /// Only what comes after this one in the list.
    pub(crate) after: Option<Place>,
    pub(crate) limit: u32,
}

/// Where a request stands in lists.
pub(crate) type Place = (UnixMicros, RequestId);

/// A page of records, newest first.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct Page {
    pub(crate) records: Vec<UsageRecord>,
    /// The page has fewer than were asked for because there was too much to read: it goes on after this place.
    pub(crate) cut: Option<Place>,
}

/// What usage is summed by.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum GroupBy {
    /// Login, or tags, of the principal.
    User,
    /// Model as the client named it.
    Model,
    /// Provider id.
    Provider,
    /// Wire format of the call.
    Api,
    /// Hour, UTC.
    Hour,
    /// Day, UTC.
    Day,
}

impl GroupBy {
    /// Every value, in the order of documentation.
    pub const ALL: [Self; 6] = [
        Self::User,
        Self::Model,
        Self::Provider,
        Self::Api,
        Self::Hour,
        Self::Day,
    ];

    /// The word used in queries.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::User => "user",
            Self::Model => "model",
            Self::Provider => "provider",
            Self::Api => "api",
            Self::Hour => "hour",
            Self::Day => "day",
        }
    }

    /// Reads the word.
    #[must_use]
    pub fn parse(text: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|by| by.name() == text)
    }
}

/// What the first group of usage has most of.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum UsageSort {
    /// Requests.
    Requests,
    /// Input and output tokens that are known.
    Tokens,
    /// Cost that is known.
    Cost,
}

impl UsageSort {
    /// Every value, in the order of documentation.
    pub const ALL: [Self; 3] = [Self::Requests, Self::Tokens, Self::Cost];

    /// Name in the API.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Requests => "requests",
            Self::Tokens => "tokens",
            Self::Cost => "cost",
        }
    }

    pub(crate) const fn of(self, totals: &Totals) -> u64 {
        match self {
            Self::Requests => totals.requests,
            Self::Tokens => totals.input.saturating_add(totals.output),
            Self::Cost => totals.cost_nanousd,
        }
    }
}

/// Which usage is wanted.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct UsageQuery {
    /// Groups.
    pub by: GroupBy,
    /// Which groups come first; hours and days stand in order.
    pub sort: UsageSort,
    /// Most groups: the largest, of hours and days the newest.
    pub limit: usize,
    /// From here on.
    pub since: Option<UnixMicros>,
    /// Up to, and without, this.
    pub until: Option<UnixMicros>,
    /// Of this login only.
    pub user: Option<String>,
    /// Of this model only, as clients name it.
    pub model: Option<String>,
    /// Of this provider only.
    pub provider: Option<String>,
}

impl UsageQuery {
    /// Everything there is, at most [`GROUPS_MAX`] groups, those with most requests first.
    pub const fn all(by: GroupBy) -> Self {
        Self {
            by,
            sort: UsageSort::Requests,
            limit: GROUPS_MAX,
            since: None,
            until: None,
            user: None,
            model: None,
            provider: None,
        }
    }
}

/// Sums over the requests of a group. Token sums hold what is known; `unknown` says how many requests say nothing.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Totals {
    /// Requests.
    pub requests: u64,
    /// Of these: answered with a status of 400 or more, failed upstream or aborted.
    pub errors: u64,
    /// Of these: reached a provider that bills them, were not answered with an error, and nobody said what they used.
    pub unknown: u64,
    /// Of these: usage is known and no price was found.
    pub unpriced: u64,
    /// Prompt tokens.
    pub input: u64,
    /// Of `input`: neither read from nor written to a cache.
    pub input_uncached: u64,
    /// Of `input`: read from a cache.
    pub cached_read: u64,
    /// Of `input`: written to a cache.
    pub cache_write: u64,
    /// Generated tokens.
    pub output: u64,
    /// Of `output`: reasoning.
    pub reasoning: u64,
    /// Cost in nanodollars.
    pub cost_nanousd: u64,
}

/// A group with its sums.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct UsageGroup {
    /// User, model, provider or API; for hours and days its start as Unix seconds in decimal.
    pub key: String,
    /// Sums.
    pub totals: Totals,
}

/// Most groups of one answer; the largest by requests, or the newest hours and days.
pub const GROUPS_MAX: usize = 10_000;

/// A store.
pub(crate) trait Store:
    adoption::AdoptionRows
    + audit::AuditRows
    + captures::CaptureRows
    + outbox::OutboxRows
    + samples::SampleRows
    + search::SearchRows
    + people::PeopleRows
    + series::SeriesRows
    + sessions::SessionRows
    + sessions::top::TopSessionRows
    + tools::ToolSumRows
    + verdicts::VerdictRows
    + ExportRows
    + Send
    + Sync
    + 'static
{
    /// Stores a batch in one durable transaction, and charges what its new records used.
    fn ingest<'a>(&'a self, batch: &'a Batch) -> Pending<'a, Ingested>;
    /// Stores the last records of a dead data plane, charges them, ends its leases and marks its journal as done, in one
    /// durable transaction.
    fn finish<'a>(
        &'a self,
        incarnation: u64,
        aborted: &'a [UsageRecord],
        when: When,
    ) -> Pending<'a, Ingested>;
    /// Incarnations that are marked as done.
    fn finished(&self) -> Pending<'_, Vec<u64>>;
    /// Removes the mark, so that the number may be used again.
    fn forget(&self, incarnation: u64) -> Pending<'_, ()>;
    /// How far an incarnation has been read.
    fn cursors(&self, incarnation: u64) -> Pending<'_, Vec<Cursor>>;
    /// Records, newest first. What is read for a page is bounded.
    fn requests<'a>(&'a self, query: &'a RequestQuery) -> Pending<'a, Page>;
    /// The records at these places that are there, in their order.
    fn requests_at<'a>(&'a self, places: &'a [Place]) -> Pending<'a, Vec<UsageRecord>>;
    /// One record.
    fn request(&self, id: RequestId) -> Pending<'_, Option<UsageRecord>>;
    /// Sums.
    fn usage<'a>(&'a self, query: &'a UsageQuery) -> Pending<'a, Vec<UsageGroup>>;
    /// Every token that was issued, oldest first.
    fn tokens(&self) -> Pending<'_, Vec<StoredToken>>;
    /// Stores a new token, durably.
    fn add_token<'a>(&'a self, token: &'a StoredToken) -> Pending<'a, ()>;
    /// Marks a token as revoked, durably; an earlier mark stays.
    fn revoke_token<'a>(&'a self, id: &'a str, at: UnixMicros) -> Pending<'a, ()>;
    /// Notes when tokens, by id, were last used.
    fn tokens_used<'a>(&'a self, uses: &'a [(String, UnixMicros)]) -> Pending<'a, ()>;
    /// Forgets tokens that ended before a moment.
    fn prune_tokens(&self, before: UnixMicros) -> Pending<'_, ()>;
    /// A new process begins, whose clock says `now`: no bucket is refilled up to a later moment than that.
    fn resume(&self, now: UnixMicros) -> Pending<'_, ()>;
    /// Answers questions about buckets, in order, in one durable transaction. Of buckets that somebody waits for
    /// (`contested`) nobody gets more than he needs.
    fn lease<'a>(
        &'a self,
        asks: &'a [LeaseAsk],
        now: UnixMicros,
        contested: &'a BTreeSet<BucketId>,
    ) -> Pending<'a, Vec<LeaseOutcome>>;
    /// Who has leases.
    fn holders(&self) -> Pending<'_, Vec<u64>>;
    /// Ends the leases of a holder that has no journal.
    fn end_leases(&self, holder: u64) -> Pending<'_, Vec<Touched>>;
    /// Brings all buckets in line with what is defined, durably; those that changed or went.
    fn reconcile<'a>(&'a self, definitions: &'a Definitions, now: UnixMicros) -> Pending<'a, Vec<Touched>>;
    /// Adds an amount to a bucket, or all that is missing, never above its ceiling, durably. `None`: nobody has ever asked
    /// for the bucket; it is full.
    fn refill<'a>(
        &'a self,
        bucket: &'a Bucket,
        amount: Option<u64>,
        author: &'a str,
        now: UnixMicros,
    ) -> Pending<'a, Option<Refilled>>;
    /// Buckets, refilled up to now.
    fn buckets<'a>(&'a self, query: &'a BucketQuery, now: UnixMicros) -> Pending<'a, Vec<BucketRow>>;
    /// Refills by hand, newest first.
    fn refills<'a>(&'a self, query: &'a HistoryQuery) -> Pending<'a, Vec<RefillEntry>>;
    /// Marks that buckets have been used up to, newest first.
    fn quota_events<'a>(&'a self, query: &'a HistoryQuery) -> Pending<'a, Vec<QuotaEvent>>;
    /// Looks at a stretch of buckets, those after a number, and forgets full ones that nobody has touched for a day. Where
    /// the next stretch begins; `None` at the end.
    fn prune_buckets(&self, after: BucketId, now: UnixMicros) -> Pending<'_, Option<BucketId>>;
    /// Bytes on disk.
    fn bytes(&self) -> u64;
}

/// A store opened for reading beside, or without, a running control plane.
pub struct Reader(sqlite::Reads);

/// Opens the store of a data directory for reading.
///
/// # Errors
/// There is none, it is of a later version, or it cannot be read.
pub async fn open_read_only(data_dir: &Path) -> Result<Reader, StoreError> {
    sqlite::Reads::open(data_dir).await.map(Reader)
}

impl Reader {
    /// Sums of usage; groups by user, model and provider come largest first, hours and days in order.
    ///
    /// # Errors
    /// The database failed.
    pub async fn usage(&self, query: &UsageQuery) -> Result<Vec<UsageGroup>, StoreError> {
        self.0.usage(query).await
    }

    pub(crate) async fn requests(&self, query: &RequestQuery) -> Result<Page, StoreError> {
        self.0.requests(query).await
    }
}

#[cfg(test)]
pub(crate) mod tests;
