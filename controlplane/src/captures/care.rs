//! What is done with complete segments: those that are to be kept elsewhere are sent there, those whose time has come go.
//!
//! An upload has a name in the index before it begins, so that what a crash leaves in the object store is known and
//! overwritten; the local file goes after the object was looked at. A purge marks first and removes rows last. Every
//! turn begins with what the index says, and so goes on with whatever was cut short.

use std::io;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::{Duration, Instant};

use object_store::{ObjectStoreExt as _, PutPayload};
use sluice_shared::units::UnixMicros;
use tokio::sync::watch;

use super::ingest::now;
use super::read::Bucket;
use super::status::{Side, Status};
use super::{Captures, Killed, Settings, Step};
use crate::config::domain::{Document, Keep, Retention};
use crate::link::chain;
use crate::store::captures::{Purge, SegmentRow, SegmentState};
use crate::store::{Store, StoreError};
use crate::{files, objects};

/// Longest pause after an upload that failed.
const PAUSE_MAX: Duration = Duration::from_secs(300);

/// Why a turn ended early; the next one goes on.
#[derive(Debug, thiserror::Error)]
pub(crate) enum CareError {
    #[error("cannot bring captures up to date")]
    Store(#[from] StoreError),
    #[error("cannot use the segment of captures {0}")]
    File(PathBuf, #[source] io::Error),
    #[error("the object store does not take captures: {0}")]
    Upload(String),
    #[error("the object store has {found} bytes of a segment of {sent}")]
    Short { found: u64, sent: u64 },
    #[error("the object store does not let go of captures: {0}")]
    Remove(String),
    #[error("segments of captures are to be removed from an object store, and the document names none")]
    NoBucket,
    #[error(transparent)]
    Killed(#[from] Killed),
}

/// What is done with complete segments.
#[derive(Clone, Default)]
pub(crate) struct Policy {
    pub(crate) retention: Retention,
    /// Where they are kept; `None`: where they are.
    pub(crate) bucket: Option<Bucket>,
}

/// The care of complete segments.
pub(crate) struct Care {
    store: Arc<dyn Store>,
    captures: Arc<Captures>,
    status: Arc<Status>,
    settings: Settings,
    /// Uploads are tried again then, and how long after that.
    later: Option<(Instant, Duration)>,
}

impl Care {
    pub(crate) const fn new(
        store: Arc<dyn Store>,
        captures: Arc<Captures>,
        status: Arc<Status>,
        settings: Settings,
    ) -> Self {
        Self {
            store,
            captures,
            status,
            settings,
            later: None,
        }
    }

    /// Runs by the document in use until it is dropped.
    pub(crate) async fn run(mut self, mut documents: watch::Receiver<Arc<Document>>) {
        let mut policy = self.policy(&documents.borrow_and_update().clone());
        loop {
            match self.turn(&policy, now()).await {
                Ok(()) => self.status.well(Side::Care),
                Err(error) => {
                    let text = chain(&error);
                    if self.status.failed(Side::Care, &text) {
                        tracing::error!(error = %text, "captures wait for their care; it is tried again");
                    }
                }
            }
            tokio::select! {
                changed = documents.changed() => {
                    if changed.is_err() {
                        return;
                    }
                    let document = documents.borrow_and_update().clone();
                    policy = self.policy(&document);
                    self.later = None;
                }
                () = tokio::time::sleep(self.settings.care) => {}
            }
        }
    }

    fn policy(&self, document: &Document) -> Policy {
        let bucket = document
            .capture_store
            .as_ref()
            .and_then(|s3| match objects::open(s3) {
                Ok(objects) => Some(Bucket {
                    objects,
                    prefix: s3.prefix.clone(),
                }),
                Err(error) => {
                    tracing::error!(error = %chain(&error), "captures stay on the local disk");
                    None
                }
            });
        self.captures.set_bucket(bucket.clone());
        Policy {
            retention: document.retention.clone(),
            bucket,
        }
    }

    /// Does what is due.
    pub(crate) async fn turn(&mut self, policy: &Policy, now: UnixMicros) -> Result<(), CareError> {
        let mut first = Ok(());
        let rows = self.store.segments().await?;
        // What cannot be done with one segment keeps nobody from the others, but a kill ends everything.
        for row in &rows {
            let done = self.see_to(row, policy, now).await;
            if matches!(done, Err(CareError::Killed(_))) {
                return done;
            }
            first = first.and(done);
        }
        self.give_back().await?;
        let rows = self.store.segments().await?;
        let waiting = rows
            .iter()
            .filter(|row| policy.bucket.is_some() && row.kept)
            .filter(|row| matches!(row.state, SegmentState::Sealed | SegmentState::Uploading))
            .fold(0u64, |bytes, row| bytes.saturating_add(row.bytes));
        self.status.upload_waiting_bytes.set(waiting);
        first
    }

    async fn see_to(&mut self, row: &SegmentRow, policy: &Policy, now: UnixMicros) -> Result<(), CareError> {
        let tools = policy.retention.purge_tools || !row.kept;
        match row.state {
            SegmentState::Open => Ok(()),
            SegmentState::Sealed | SegmentState::Uploading | SegmentState::Remote => {
                let due = self.is_due(row, &policy.retention, now).await?;
                if due && (policy.retention.purge_captures || !row.kept) {
                    self.store
                        .set_segment(row.number, SegmentState::Doomed, None)
                        .await?;
                    self.settings.reached(Step::Doomed)?;
                    return self.purge(row, tools, policy.bucket.as_ref()).await;
                }
                if due && tools {
                    self.purge_tools(row).await?;
                }
                match &policy.bucket {
                    Some(bucket) if row.kept && row.state != SegmentState::Remote => {
                        self.send(row, bucket).await
                    }
                    _ if row.state == SegmentState::Remote => self.remove_file(row, Step::LocalRemoved),
                    _ => Ok(()),
                }
            }
            SegmentState::Doomed => self.purge(row, tools, policy.bucket.as_ref()).await,
            SegmentState::Gone if tools && self.is_due(row, &policy.retention, now).await? => {
                self.purge_tools(row).await?;
                self.forget(row).await
            }
            SegmentState::Gone => Ok(()),
        }
    }

    /// Whether a segment's time has come.
    async fn is_due(
        &self,
        row: &SegmentRow,
        retention: &Retention,
        now: UnixMicros,
    ) -> Result<bool, CareError> {
        if !row.kept {
            return Ok(!self.store.awaited(row.number).await?);
        }
        let old = match retention.keep {
            Keep::Forever => false,
            Keep::Nothing => true,
            Keep::Millis(ms) => row.newest.0 < now.0.saturating_sub(ms.saturating_mul(1_000)),
        };
        Ok(old && (!retention.require_export || self.is_exported(row).await?))
    }

    /// Whether everybody who exports captures has those of a segment.
    async fn is_exported(&self, row: &SegmentRow) -> Result<bool, CareError> {
        let waits_from = self.store.exported_up_to().await?;
        Ok(waits_from.is_none_or(|from| row.newest < from))
    }

    /// Sends a segment to the object store.
    async fn send(&mut self, row: &SegmentRow, bucket: &Bucket) -> Result<(), CareError> {
        if self.later.is_some_and(|(at, _)| Instant::now() < at) {
            return Ok(());
        }
        let sent = self.try_send(row, bucket).await;
        match &sent {
            Ok(()) => self.later = None,
            Err(CareError::Killed(_)) => {}
            Err(_) => {
                let pause = self
                    .later
                    .map_or(self.settings.care, |(_, pause)| (pause * 2).min(PAUSE_MAX));
                self.later = Some((Instant::now() + pause, pause));
            }
        }
        sent
    }

    async fn try_send(&self, row: &SegmentRow, bucket: &Bucket) -> Result<(), CareError> {
        let path = self.captures.path(row.number);
        // Two gateways may share a bucket: the moment tells their segments apart.
        let name = match &row.object {
            Some(name) => name.clone(),
            None => format!("captures/{:08}-{:016x}.caps", row.number, row.opened.0),
        };
        self.store
            .set_segment(row.number, SegmentState::Uploading, Some(&name))
            .await?;
        self.settings.reached(Step::Uploading)?;
        let read = {
            let path = path.clone();
            tokio::task::spawn_blocking(move || std::fs::read(path))
        };
        let mut bytes = read
            .await
            .unwrap_or_else(|error| Err(io::Error::other(error)))
            .map_err(|error| CareError::File(path, error))?;
        bytes.truncate(usize::try_from(row.bytes).unwrap_or(usize::MAX));
        let sent = bytes.len() as u64;
        let place = bucket.path(&name);
        let shown = |error: object_store::Error| CareError::Upload(crate::web::shown(&error));
        // One request, so that there is either the whole object or none.
        bucket
            .objects
            .put(&place, PutPayload::from(bytes))
            .await
            .map_err(shown)?;
        self.settings.reached(Step::Uploaded)?;
        let found = bucket.objects.head(&place).await.map_err(shown)?.size;
        if found != sent || sent != row.bytes {
            return Err(CareError::Short { found, sent });
        }
        self.store
            .set_segment(row.number, SegmentState::Remote, None)
            .await?;
        self.settings.reached(Step::Remote)?;
        self.status.uploaded.add(1);
        self.remove_file(row, Step::LocalRemoved)
    }

    /// The end of a segment: object, file, rows, and then the segment itself, or what is left of it.
    async fn purge(&self, row: &SegmentRow, tools: bool, bucket: Option<&Bucket>) -> Result<(), CareError> {
        if let Some(object) = &row.object {
            let bucket = bucket.ok_or(CareError::NoBucket)?;
            match bucket.objects.delete(&bucket.path(object)).await {
                Ok(()) | Err(object_store::Error::NotFound { .. }) => {}
                Err(error) => return Err(CareError::Remove(crate::web::shown(&error))),
            }
        }
        self.settings.reached(Step::ObjectRemoved)?;
        self.remove_file(row, Step::FileRemoved)?;
        let purge = Purge {
            captures: true,
            tools,
        };
        while self
            .store
            .purge_rows(row.number, purge, self.settings.purge_rows)
            .await?
        {
            self.settings.reached(Step::RowsRemoved)?;
        }
        self.status.purged.add(row.captures);
        if tools {
            return self.forget(row).await;
        }
        self.store
            .set_segment(row.number, SegmentState::Gone, None)
            .await?;
        Ok(self.settings.reached(Step::Forgotten)?)
    }

    async fn purge_tools(&self, row: &SegmentRow) -> Result<(), CareError> {
        let purge = Purge {
            captures: false,
            tools: true,
        };
        while self
            .store
            .purge_rows(row.number, purge, self.settings.purge_rows)
            .await?
        {
            self.settings.reached(Step::RowsRemoved)?;
        }
        Ok(())
    }

    async fn forget(&self, row: &SegmentRow) -> Result<(), CareError> {
        self.store.forget_segment(row.number).await?;
        Ok(self.settings.reached(Step::Forgotten)?)
    }

    fn remove_file(&self, row: &SegmentRow, step: Step) -> Result<(), CareError> {
        let path = self.captures.path(row.number);
        if path.exists() {
            files::remove(&path).map_err(|error| CareError::File(path, error))?;
            self.settings.reached(step)?;
        }
        Ok(())
    }

    /// Gives free pages of the store back to the file system.
    async fn give_back(&self) -> Result<(), CareError> {
        let mut left = u64::MAX;
        loop {
            let free = self.store.give_back(self.settings.give_back_pages).await?;
            // Rows that are added meanwhile take some of them.
            if free == 0 || free >= left {
                return Ok(());
            }
            left = free;
            tokio::task::yield_now().await;
        }
    }
}
