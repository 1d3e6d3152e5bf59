//! One exporter: from the log to its sink, step by step.
//!
//! ```text
//! read ──► planned ──► sent ──► noted ──► pruned ──► read …
//! ```
//!
//! A process may end between any two of them, and within each. What is to be sent is planned durably first: after a crash
//! the same stretch of the log is sent under the same numbers, and an object overwrites itself. The cursor moves after the
//! receiver has taken it. So everything arrives at least once, and what arrives twice has the same ids.

use std::sync::Arc;

use sluice_shared::ids::RequestId;
use sluice_shared::units::UnixMicros;

use super::item::{Batch, Item, ReadCaptures, RequestItem};
use super::sink::{SendError, Sink};
use crate::store::export::{ExportState, Kept, LogEntry, Logged, Wants};
use crate::store::{Store, StoreError};

/// Bytes of bodies after which a batch ends although more would fit by number.
const BATCH_BYTES_MAX: u64 = 32 << 20;

/// Why a step was not made.
#[derive(Debug)]
pub(super) enum Failure {
    /// The store, or where captures are read.
    Own(String),
    Sink(SendError),
}

impl From<StoreError> for Failure {
    fn from(error: StoreError) -> Self {
        Self::Own(crate::link::chain(&error))
    }
}

/// A step that was made.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Step {
    /// There is nothing to send.
    Idle,
    Read,
    Planned,
    Sent,
    Noted,
    Pruned,
    /// What was planned is too much for the receiver; less is planned.
    Shrunk,
}

/// Where an exporter stands between two steps.
#[derive(Debug, Default)]
enum Stage {
    #[default]
    Begin,
    Read(Loaded),
    Planned(Loaded),
    Sent(Loaded),
    Noted,
}

/// A batch and up to where the log is done when it is sent.
#[derive(Debug)]
struct Loaded {
    batch: Batch,
    planned: bool,
    up_to: u64,
}

pub(super) struct Exporter {
    name: String,
    limit: u64,
    sink: Box<dyn Sink>,
    store: Arc<dyn Store>,
    captures: Arc<dyn ReadCaptures>,
    now: fn() -> UnixMicros,
    stage: Stage,
    /// Most entries of the next batch, if a larger one was refused.
    shrunk: Option<u64>,
    /// One request alone is too large with its bodies: it goes without.
    without_bodies: bool,
}

impl Exporter {
    pub(super) fn new(
        name: &str,
        limit: u64,
        sink: Box<dyn Sink>,
        store: Arc<dyn Store>,
        captures: Arc<dyn ReadCaptures>,
        now: fn() -> UnixMicros,
    ) -> Self {
        Self {
            name: name.to_owned(),
            limit: limit.max(1),
            sink,
            store,
            captures,
            now,
            stage: Stage::Begin,
            shrunk: None,
            without_bodies: false,
        }
    }

    /// Makes the next step. After a failure the same is tried again, from the beginning of the batch.
    pub(super) async fn step(&mut self) -> Result<Step, Failure> {
        match std::mem::take(&mut self.stage) {
            Stage::Begin => self.read().await,
            Stage::Read(loaded) => {
                if !loaded.planned {
                    self.store.plan_export(&self.name, loaded.batch.last).await?;
                }
                self.stage = Stage::Planned(loaded);
                Ok(Step::Planned)
            }
            Stage::Planned(loaded) => match self.sink.send(&loaded.batch).await {
                Ok(()) => {
                    self.stage = Stage::Sent(loaded);
                    Ok(Step::Sent)
                }
                Err(SendError::TooLarge(why)) => self.shrink(&loaded.batch, why).await,
                Err(error) => {
                    // The same batch again, without reading it again.
                    self.stage = Stage::Planned(loaded);
                    Err(Failure::Sink(error))
                }
            },
            Stage::Sent(loaded) => {
                let sent = loaded.batch.items.len() as u64;
                let noted = self.store.exported(&self.name, loaded.up_to, sent, (self.now)());
                if let Err(error) = noted.await {
                    self.stage = Stage::Sent(loaded);
                    return Err(error.into());
                }
                (self.shrunk, self.without_bodies) = (None, false);
                self.stage = Stage::Noted;
                Ok(Step::Noted)
            }
            Stage::Noted => {
                // Somebody else's turn if it fails: it is done after every batch.
                let _ = self.store.prune_export_log().await;
                Ok(Step::Pruned)
            }
        }
    }

    async fn read(&mut self) -> Result<Step, Failure> {
        let Some(place) = self.store.export_place(&self.name).await? else {
            return Ok(Step::Idle);
        };
        let limit = self.shrunk.unwrap_or(self.limit);
        let stretch = self
            .store
            .export_log(place.cursor, place.planned, place.wants, limit)
            .await?;
        let (Some(first), Some(_)) = (stretch.entries.first(), stretch.entries.last()) else {
            if stretch.looked_up_to > place.cursor || place.planned.is_some() {
                let up_to = stretch.looked_up_to;
                self.store.exported(&self.name, up_to, 0, (self.now)()).await?;
            }
            return Ok(Step::Idle);
        };
        let first = first.seq;
        let (items, last) = self.load(&stretch.entries, &place).await?;
        let all = stretch.entries.last().is_some_and(|entry| entry.seq == last);
        let planned = place.planned == Some(last) || place.planned.is_some() && all;
        self.stage = Stage::Read(Loaded {
            batch: Batch {
                exporter: self.name.clone(),
                id: place.id,
                first,
                last,
                items,
            },
            planned,
            up_to: if all { stretch.looked_up_to } else { last },
        });
        Ok(Step::Read)
    }

    /// What entries stand for, and the last of them that fitted. What is not there any more is left out.
    async fn load(&self, entries: &[LogEntry], place: &ExportState) -> Result<(Vec<Item>, u64), Failure> {
        let (mut ids, mut audit, mut quota) = (Vec::new(), Vec::new(), Vec::new());
        for entry in entries {
            match entry.what {
                Logged::Request { id, .. } => ids.push(id),
                Logged::Audit(number) => audit.push(number),
                Logged::Quota(number) => quota.push(number),
            }
        }
        let records = self.store.records(&ids).await?;
        let mut records: std::collections::HashMap<RequestId, _> = records
            .into_iter()
            .map(|record| (record.request_id, record))
            .collect();
        let mut audit = self.store.audit_by_number(&audit).await?;
        let mut quota = self.store.quota_events_by_number(&quota).await?;
        let (mut items, mut last, mut bytes) = (Vec::with_capacity(entries.len()), 0, 0u64);
        for entry in entries {
            let item = match entry.what {
                Logged::Request { id, capture } => match records.get(&id).cloned() {
                    Some(record) => Some(self.request(record, capture, place.wants).await?),
                    None => None,
                },
                Logged::Audit(number) => audit.remove(&number).map(|row| Item::Audit(number, row)),
                Logged::Quota(number) => quota.remove(&number).map(|row| Item::Quota(number, row)),
            };
            let more = item.as_ref().map_or(0, Item::bytes);
            // A batch that was planned is what it was.
            if place.planned.is_none() && !items.is_empty() && bytes.saturating_add(more) > BATCH_BYTES_MAX {
                break;
            }
            bytes = bytes.saturating_add(more);
            items.extend(item);
            last = entry.seq;
        }
        records.clear();
        Ok((items, last))
    }

    async fn request(
        &self,
        record: sluice_shared::usage::UsageRecord,
        capture: Kept,
        wants: Wants,
    ) -> Result<Item, Failure> {
        let mut item = RequestItem {
            record,
            capture,
            captured: None,
        };
        if capture == Kept::Stored && wants.has(Wants::CAPTURES) && !self.without_bodies {
            item.captured = self
                .captures
                .read(item.record.request_id)
                .await
                .map_err(Failure::Own)?;
            if item.captured.is_none() {
                item.capture = Kept::Missing;
            }
        }
        Ok(Item::Request(Box::new(item)))
    }

    /// Plans half of what was too much.
    async fn shrink(&mut self, batch: &Batch, why: String) -> Result<Step, Failure> {
        let half = batch.items.len() as u64 / 2;
        if half == 0 {
            if self.without_bodies {
                return Err(Failure::Sink(SendError::Refused(why)));
            }
            self.without_bodies = true;
        }
        let limit = half.max(1);
        let place = self.store.export_place(&self.name).await?;
        let place = place.ok_or_else(|| Failure::Own("the exporter is gone".to_owned()))?;
        let stretch = self
            .store
            .export_log(place.cursor, Some(batch.last), place.wants, limit)
            .await?;
        if let Some(last) = stretch.entries.last() {
            self.store.plan_export(&self.name, last.seq).await?;
        }
        self.shrunk = Some(limit);
        tracing::info!(exporter = %self.name, "a batch is too large for the receiver, {limit} at once are tried: {why}");
        Ok(Step::Shrunk)
    }
}
