//! The work behind the index: follows the captures, forgets what is purged, and takes no more time than it is given.

use std::sync::Arc;
use std::time::{Duration, Instant};

use tokio::sync::watch;

use super::file::{Entry, Index};
use super::{FullText, lock, texts};
use crate::captures::{Captures, Part, ReadError};
use crate::config::domain::Document;
use crate::link::chain;
use crate::store::captures::{ANSWER_ENCODED, ASSEMBLED, CaptureView, REQUEST_ENCODED, SegmentState};
use crate::store::{Store, StoreError};

/// Captures of one transaction.
const BATCH: u32 = 64;
/// Longest pause after an error.
const PAUSE_MAX: Duration = Duration::from_secs(60);

/// What tests change.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Settings {
    /// Pause between looks while nothing comes.
    pub(crate) idle: Duration,
    /// How many times as long as it worked it rests, so that others come first.
    pub(crate) rest: u32,
}

impl Default for Settings {
    fn default() -> Self {
        Self {
            idle: Duration::from_secs(2),
            rest: 3,
        }
    }
}

/// Why a turn ended early.
#[derive(Debug, thiserror::Error)]
pub(crate) enum IndexError {
    #[error("the index of texts cannot be used")]
    Store(#[from] StoreError),
    #[error("the index of texts cannot be removed")]
    Remove(#[source] std::io::Error),
    #[error("a capture cannot be read for the index of texts")]
    Read(#[source] ReadError),
}

/// The work behind the index.
pub(crate) struct Indexer {
    pub(crate) index: Arc<FullText>,
    pub(crate) store: Arc<dyn Store>,
    pub(crate) captures: Arc<Captures>,
    pub(crate) settings: Settings,
}

impl Indexer {
    /// Runs by the document in use until it is dropped.
    pub(crate) async fn run(self, mut documents: watch::Receiver<Arc<Document>>) {
        let mut pause = self.settings.idle;
        loop {
            let wanted = !documents.borrow_and_update().no_full_text;
            let began = Instant::now();
            match self.turn(wanted).await {
                Ok(true) => pause = began.elapsed() * self.settings.rest,
                Ok(false) => pause = self.settings.idle,
                Err(error) => {
                    tracing::warn!(error = %chain(&error), "captures are not made searchable; it is tried again");
                    pause = (pause * 2).clamp(self.settings.idle, PAUSE_MAX);
                }
            }
            tokio::select! {
                changed = documents.changed() => {
                    if changed.is_err() {
                        return;
                    }
                }
                () = tokio::time::sleep(pause) => {}
            }
        }
    }

    /// One piece of work; whether there is more.
    pub(crate) async fn turn(&self, wanted: bool) -> Result<bool, IndexError> {
        if !wanted {
            self.index.remove().map_err(IndexError::Remove)?;
            return Ok(false);
        }
        self.index.open()?;
        self.forget().await?;
        self.follow().await
    }

    /// Removes what the store knows no more.
    async fn forget(&self) -> Result<(), IndexError> {
        let rows = self.store.segments().await?;
        self.with(move |index| {
            let mut gone = index.segments()?;
            gone.retain(|number| {
                let row = rows.iter().find(|row| row.number == *number);
                row.is_none_or(|row| row.state >= SegmentState::Doomed)
            });
            if gone.is_empty() {
                return Ok(());
            }
            index.forget(&gone)
        })
        .await?;
        Ok(())
    }

    /// Does something with the file on a thread that may wait; `None` if it is closed.
    async fn with<T: Send + 'static>(
        &self,
        act: impl FnOnce(&mut Index) -> Result<T, StoreError> + Send + 'static,
    ) -> Result<Option<T>, StoreError> {
        let index = self.index.clone();
        let done = tokio::task::spawn_blocking(move || lock(&index.write).as_mut().map(act).transpose());
        done.await
            .unwrap_or_else(|_| Err(StoreError::Column("(the index ended early)")))
    }

    /// Adds the next captures; whether there may be more.
    async fn follow(&self) -> Result<bool, IndexError> {
        let Some(reached) = self.with(|index| index.reached()).await? else {
            return Ok(false);
        };
        let captures = self.store.captures_after(reached, BATCH).await?;
        let Some(last) = captures.last().map(|capture| (capture.segment, capture.number)) else {
            return Ok(false);
        };
        let mut entries = Vec::with_capacity(captures.len());
        for capture in captures {
            entries.extend(self.entry(capture).await?);
        }
        self.with(move |index| index.add(&entries, last)).await?;
        Ok(true)
    }

    /// The words of a capture; none if it is gone or damaged.
    async fn entry(&self, capture: CaptureView) -> Result<Option<Entry>, IndexError> {
        let body = async |part: Part, encoded: u32| {
            if capture.flags & encoded != 0 {
                return Ok(Vec::new());
            }
            match self.captures.part(&capture, part).await {
                Ok(bytes) => Ok(bytes),
                Err(ReadError::Gone | ReadError::Damaged { .. }) => Ok(Vec::new()),
                Err(error) => Err(IndexError::Read(error)),
            }
        };
        let request = body(Part::Request, REQUEST_ENCODED).await?;
        let answer = if capture.flags & ASSEMBLED == 0 {
            body(Part::Answer, ANSWER_ENCODED).await?
        } else {
            body(Part::Assembled, 0).await?
        };
        let text = tokio::task::spawn_blocking(move || texts::text_of(&request, &answer));
        let text = text.await.unwrap_or_default();
        if text.trim().is_empty() {
            return Ok(None);
        }
        Ok(Some(Entry {
            segment: capture.segment,
            number: capture.number,
            time: capture.time,
            request_id: capture.request_id,
            user: capture.user,
            text,
        }))
    }
}
