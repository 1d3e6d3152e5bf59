//! Captures that did not come from a data plane: see [`crate::seeding`].

use std::io;
use std::path::Path;
use std::sync::Arc;

use sluice_shared::units::UnixMicros;
use sluice_shared::wire::capture::{AnswerHead, Closed, Opened};
use tokio::runtime::Handle;

use super::Settings;
use super::append::Appender;
use super::assemble::{Raw, assemble};
use super::ingest::IngestError;
use crate::store::Store;

/// What the frames of a capture would hold.
pub(crate) struct Filled {
    pub(crate) opened: Opened,
    pub(crate) request: Vec<u8>,
    pub(crate) answer_head: Option<AnswerHead>,
    pub(crate) answer: Vec<u8>,
    pub(crate) closed: Closed,
}

/// Adds captures to segments, by the moments at which they are said to come.
pub(crate) struct SeedAppender(Appender);

impl SeedAppender {
    pub(crate) fn new(data: &Path, store: Arc<dyn Store>, runtime: Handle) -> io::Result<Self> {
        Appender::new(data, store, runtime, Settings::default()).map(Self)
    }

    /// Adds one; segments are closed as they would be.
    pub(crate) fn add(&mut self, filled: Filled, now: UnixMicros) -> Result<(), IngestError> {
        let raw = Raw {
            opened: filled.opened,
            request: filled.request,
            answer_head: filled.answer_head,
            answer: filled.answer,
            closed: Some(filled.closed),
        };
        if self.0.is_due(now) {
            self.0.commit()?;
            self.0.roll(now)?;
        }
        self.0.add(assemble(raw), now)?;
        if self.0.is_full() {
            self.0.commit()?;
        }
        Ok(())
    }

    /// Makes what was added part of the store.
    pub(crate) fn commit(&mut self) -> Result<(), IngestError> {
        self.0.commit()
    }
}
