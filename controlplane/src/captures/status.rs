//! What became of captures, for `/api/health`.

use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Mutex, PoisonError};
use std::time::Instant;

/// Counters since the start of the process, and what is so now.
#[derive(Debug, Default)]
pub(crate) struct Status {
    pub(super) stored: Count,
    /// Of `stored`: without an end.
    pub(super) partial: Count,
    /// Given up by their data plane before their end: their records say so.
    pub(super) dropped: Count,
    /// Whose frames are damaged or have no beginning.
    pub(super) lost: Count,
    pub(super) tool_calls: Count,
    /// Places where a segment could not be read.
    pub(super) damaged: Count,
    /// Bytes of data planes' segments that wait.
    pub(super) waiting_bytes: Count,
    /// Captures that have no end yet.
    pub(super) open: Count,
    pub(super) uploaded: Count,
    pub(super) purged: Count,
    /// Bytes of complete segments that wait for the object store.
    pub(super) upload_waiting_bytes: Count,
    errors: Mutex<[Option<(String, Instant)>; 2]>,
}

/// A counter, or a gauge.
#[derive(Debug, Default)]
pub(super) struct Count(AtomicU64);

impl Count {
    pub(super) fn add(&self, more: u64) {
        self.0.fetch_add(more, Ordering::Relaxed);
    }

    pub(super) fn set(&self, value: u64) {
        self.0.store(value, Ordering::Relaxed);
    }

    fn get(&self) -> u64 {
        self.0.load(Ordering::Relaxed)
    }
}

/// Whose errors are told of.
#[derive(Debug, Clone, Copy)]
pub(super) enum Side {
    Ingest = 0,
    Care = 1,
}

/// A copy.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct Figures {
    pub(crate) stored: u64,
    pub(crate) partial: u64,
    pub(crate) dropped: u64,
    pub(crate) lost: u64,
    pub(crate) tool_calls: u64,
    pub(crate) damaged: u64,
    pub(crate) waiting_bytes: u64,
    pub(crate) open: u64,
    pub(crate) uploaded: u64,
    pub(crate) purged: u64,
    pub(crate) upload_waiting_bytes: u64,
    /// What last went wrong with storing, until it goes well again.
    pub(crate) error: Option<String>,
    /// The same with uploads and retention.
    pub(crate) care_error: Option<String>,
}

impl Status {
    /// Keeps an error; whether it is worth a line in the log: another one, or ten seconds after the last.
    pub(super) fn failed(&self, side: Side, text: &str) -> bool {
        let mut errors = self.errors.lock().unwrap_or_else(PoisonError::into_inner);
        let now = Instant::now();
        let Some(error) = errors.get_mut(side as usize) else {
            return true;
        };
        match error {
            Some((known, at)) if known == text && now.duration_since(*at).as_secs() < 10 => false,
            _ => {
                *error = Some((text.to_owned(), now));
                true
            }
        }
    }

    /// Bytes of complete segments that wait for the object store.
    pub(super) fn local_bytes(&self) -> u64 {
        self.upload_waiting_bytes.get()
    }

    pub(super) fn well(&self, side: Side) {
        let mut errors = self.errors.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(error) = errors.get_mut(side as usize) {
            *error = None;
        }
    }

    pub(crate) fn figures(&self) -> Figures {
        let errors = self.errors.lock().unwrap_or_else(PoisonError::into_inner);
        let error = |side: Side| {
            let kept = errors.get(side as usize).and_then(Option::as_ref);
            kept.map(|(text, _)| text.clone())
        };
        Figures {
            stored: self.stored.get(),
            partial: self.partial.get(),
            dropped: self.dropped.get(),
            lost: self.lost.get(),
            tool_calls: self.tool_calls.get(),
            damaged: self.damaged.get(),
            waiting_bytes: self.waiting_bytes.get(),
            open: self.open.get(),
            uploaded: self.uploaded.get(),
            purged: self.purged.get(),
            upload_waiting_bytes: self.upload_waiting_bytes.get(),
            error: error(Side::Ingest),
            care_error: error(Side::Care),
        }
    }
}
