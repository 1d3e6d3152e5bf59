//! Filling a data directory for measurements and pictures: records and captures go in by the code that ingest uses, so
//! that every sum and index is what it would be, but nothing waits for the disk. Not for data that anybody needs: what is
//! killed half-way is damaged.

use std::collections::{BTreeSet, HashMap};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use sluice_shared::quota::Unit;
use sluice_shared::quota::ledger::Ask;
use sluice_shared::units::UnixMicros;
use sluice_shared::usage::UsageRecord;
use sluice_shared::wire::capture::{AnswerHead, Closed, Opened};
use sluice_shared::wire::control::{Bucket, BucketRef};
use tokio::runtime::Handle;

use crate::captures::{Filled, SeedAppender};
use crate::link::chain;
use crate::publish::Publisher;
use crate::reload::Source;
use crate::store::{Batch, Definitions, LeaseAsk, LeaseOutcome, Sqlite, Store, When};

/// Number of the data plane whose leases the charges use up.
const HOLDER: u64 = 1;

/// Why a directory could not be filled.
#[derive(Debug, thiserror::Error)]
#[error("cannot fill the store: {0}")]
pub struct SeedError(String);

impl SeedError {
    fn of(error: &(dyn std::error::Error + 'static)) -> Self {
        Self(chain(error))
    }
}

/// Somebody's request and its answer, as a data plane captures them.
#[derive(Debug)]
pub struct SeedCapture {
    /// How it began.
    pub opened: Opened,
    /// Body of the request.
    pub request: Vec<u8>,
    /// Head of the answer; `None`: there was none.
    pub answer_head: Option<AnswerHead>,
    /// Body of the answer.
    pub answer: Vec<u8>,
    /// Record of the request.
    pub record: UsageRecord,
}

/// A data directory that is filled. It is called from a thread that may wait.
pub struct Seeder {
    data: PathBuf,
    store: Arc<Sqlite>,
    appender: SeedAppender,
    definitions: Definitions,
    runtime: Handle,
}

impl Seeder {
    /// Makes a directory with a document and an empty store.
    ///
    /// # Errors
    /// There is something in it, it cannot be written, or the document cannot be used.
    pub fn new(data: &Path, document: &str, runtime: Handle) -> Result<Self, SeedError> {
        let io = |error: std::io::Error| SeedError::of(&error);
        std::fs::create_dir_all(data).map_err(io)?;
        let file = data.join("sluice.hujson");
        if data.join(crate::store::FILE).exists() || file.exists() {
            return Err(SeedError(format!("{} is in use", data.display())));
        }
        std::fs::write(&file, document).map_err(io)?;
        let source = Source {
            file: Some(file),
            mock_url: None,
            environment: HashMap::new(),
            listen: Vec::new(),
            data: data.to_owned(),
        };
        let first = source.first().map_err(|error| SeedError::of(&error))?;
        let publisher = Publisher::open(data);
        publisher
            .publish(first.loaded.document.clone())
            .map_err(|error| SeedError::of(&error))?;
        let quotas = publisher
            .current()
            .map(|published| published.snapshot.quotas.clone());
        let store = runtime
            .block_on(Sqlite::open_unsafely(data))
            .map_err(|error| SeedError::of(&error))?;
        let store = Arc::new(store);
        Ok(Self {
            appender: SeedAppender::new(data, store.clone(), runtime.clone())
                .map_err(|error| SeedError::of(&error))?,
            definitions: Definitions::of(&quotas.unwrap_or_default()),
            data: data.to_owned(),
            store,
            runtime,
        })
    }

    /// Opens a bucket at a moment; its number. `None`: the document does not define it.
    ///
    /// # Errors
    /// The store failed.
    pub fn bucket(
        &self,
        quota: &str,
        name: &str,
        unit: Unit,
        now: UnixMicros,
    ) -> Result<Option<u64>, SeedError> {
        let bucket = Bucket {
            quota: quota.to_owned(),
            name: name.to_owned(),
            unit,
        };
        let Some(terms) = self.definitions.terms(&bucket) else {
            return Ok(None);
        };
        let ask = LeaseAsk {
            bucket: BucketRef::Named(bucket),
            terms,
            holder: HOLDER,
            ask: Ask {
                seq: 1,
                first: 1,
                ..Ask::default()
            },
            last: true,
        };
        let asks = [ask];
        let outcomes = self
            .runtime
            .block_on(self.store.lease(&asks, now, &BTreeSet::new()))
            .map_err(|error| SeedError::of(&error))?;
        Ok(outcomes.first().and_then(|outcome| match outcome {
            LeaseOutcome::Granted { bucket, .. } => Some(*bucket),
            LeaseOutcome::Stale { .. } | LeaseOutcome::Undefined | LeaseOutcome::Short { .. } => None,
        }))
    }

    /// Stores records in one transaction, as if it were `now`.
    ///
    /// # Errors
    /// The store failed.
    pub fn records(&self, records: Vec<UsageRecord>, now: UnixMicros) -> Result<(), SeedError> {
        let batch = Batch {
            holder: HOLDER,
            when: When {
                since: UnixMicros(0),
                now,
            },
            records,
            ..Batch::default()
        };
        self.runtime
            .block_on(self.store.ingest(&batch))
            .map_err(|error| SeedError::of(&error))?;
        Ok(())
    }

    /// Stores a capture as if it were `now`.
    ///
    /// # Errors
    /// It cannot be written.
    pub fn capture(&mut self, capture: SeedCapture, now: UnixMicros) -> Result<(), SeedError> {
        let (request, answer) = (capture.request.len() as u64, capture.answer.len() as u64);
        let filled = Filled {
            opened: capture.opened,
            request: capture.request,
            answer_head: capture.answer_head,
            answer: capture.answer,
            closed: Closed {
                record: capture.record,
                request_bytes: request,
                answer_bytes: answer,
            },
        };
        self.appender
            .add(filled, now)
            .map_err(|error| SeedError::of(&error))
    }

    /// Ends leases and closes the store; its bytes.
    ///
    /// # Errors
    /// It cannot be written.
    pub fn finish(mut self) -> Result<u64, SeedError> {
        self.appender.commit().map_err(|error| SeedError::of(&error))?;
        drop(self.appender);
        let ended = self.runtime.block_on(self.store.end_leases(HOLDER));
        ended.map_err(|error| SeedError::of(&error))?;
        drop(self.store);
        // Opened once as it is used: what is written from now on is durable.
        let store = self
            .runtime
            .block_on(Sqlite::open(&self.data))
            .map_err(|error| SeedError::of(&error))?;
        Ok(store.bytes())
    }
}
