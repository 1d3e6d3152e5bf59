//! What data planes have to forget, in one order for all of them.
//!
//! Every revocation has a number. Whoever asks for an identity notes the number that stands before the question; if a
//! later revocation went out before the answer does, the answer may be about the past and the question is put again.
//! Without that, an answer that waited in a queue could overtake the revocation that was meant for it.

use std::sync::{Mutex, PoisonError};

use sluice_shared::wire::control::Whom;
use tokio::sync::broadcast;

/// Revocations that a data plane may be behind; then it is told to forget everything.
const BEHIND_MAX: usize = 1024;

/// One revocation.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Revocation {
    /// Counts from 1.
    pub(crate) number: u64,
    pub(crate) whom: Whom,
    /// Also end what runs.
    pub(crate) cut: bool,
}

/// Where revocations go.
pub(crate) struct Revocations {
    count: Mutex<u64>,
    sender: broadcast::Sender<Revocation>,
}

impl Default for Revocations {
    fn default() -> Self {
        Self {
            count: Mutex::new(0),
            sender: broadcast::channel(BEHIND_MAX).0,
        }
    }
}

impl Revocations {
    /// Tells every data plane. Nobody connected is no error: whoever connects later knows nothing old, or is told so.
    pub(crate) fn send(&self, whom: Whom, cut: bool) {
        let mut count = self.count.lock().unwrap_or_else(PoisonError::into_inner);
        *count = count.saturating_add(1);
        let _ = self.sender.send(Revocation {
            number: *count,
            whom,
            cut,
        });
    }

    /// How many there were.
    pub(crate) fn count(&self) -> u64 {
        *self.count.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(crate) fn subscribe(&self) -> broadcast::Receiver<Revocation> {
        self.sender.subscribe()
    }
}
