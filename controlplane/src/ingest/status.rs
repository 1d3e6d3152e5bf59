//! What ingest has done, for `/api/health`.

use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};
use std::sync::{Mutex, PoisonError};
use std::time::Instant;

use crate::store::{Batch, Ingested};

/// Counters since the start of the process.
#[derive(Debug)]
pub(crate) struct Status {
    records: AtomicU64,
    duplicates: AtomicU64,
    amended: AtomicU64,
    aborted: AtomicU64,
    damaged: AtomicU64,
    charges_dropped: AtomicU64,
    incarnations: AtomicUsize,
    state: Mutex<State>,
}

#[derive(Debug)]
struct State {
    caught_up: Instant,
    error: Option<(String, Instant)>,
}

/// A copy of the counters.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Figures {
    pub(crate) records: u64,
    pub(crate) duplicates: u64,
    pub(crate) amended: u64,
    pub(crate) aborted: u64,
    pub(crate) damaged: u64,
    /// Charges of buckets that are not defined any more.
    pub(crate) charges_dropped: u64,
    pub(crate) incarnations: usize,
    /// Since everything that was in the journal was in the store.
    pub(crate) lag_ms: u64,
    pub(crate) error: Option<String>,
}

impl Status {
    pub(crate) fn new(now: Instant) -> Self {
        Self {
            records: AtomicU64::new(0),
            duplicates: AtomicU64::new(0),
            amended: AtomicU64::new(0),
            aborted: AtomicU64::new(0),
            damaged: AtomicU64::new(0),
            charges_dropped: AtomicU64::new(0),
            incarnations: AtomicUsize::new(0),
            state: Mutex::new(State {
                caught_up: now,
                error: None,
            }),
        }
    }

    pub(super) fn stored(&self, batch: &Batch, done: &Ingested) {
        self.records.fetch_add(done.inserted, Ordering::Relaxed);
        self.duplicates.fetch_add(done.duplicates, Ordering::Relaxed);
        self.amended
            .fetch_add(batch.amends.len() as u64, Ordering::Relaxed);
        self.dropped(done);
    }

    /// Counts charges of buckets that are gone, and says so the first time.
    fn dropped(&self, done: &Ingested) {
        let more = done.charges_dropped;
        if more > 0 && self.charges_dropped.fetch_add(more, Ordering::Relaxed) == 0 {
            tracing::warn!(
                charges = more,
                "requests were charged to budgets that are not defined any more; later ones are counted only"
            );
        }
    }

    pub(super) fn aborted(&self, done: &Ingested) {
        self.aborted.fetch_add(done.inserted, Ordering::Relaxed);
        self.dropped(done);
    }

    pub(super) fn damaged(&self, places: u64) {
        self.damaged.fetch_add(places, Ordering::Relaxed);
    }

    pub(super) fn set_incarnations(&self, count: usize) {
        self.incarnations.store(count, Ordering::Relaxed);
    }

    pub(super) fn caught_up(&self, now: Instant) {
        let mut state = self.state.lock().unwrap_or_else(PoisonError::into_inner);
        state.caught_up = now;
        state.error = None;
    }

    /// Keeps an error; whether it is worth a line in the log (another one, or ten seconds after the last).
    pub(super) fn failed(&self, text: &str) -> bool {
        let mut state = self.state.lock().unwrap_or_else(PoisonError::into_inner);
        let now = Instant::now();
        match &state.error {
            Some((known, at)) if known == text && now.duration_since(*at).as_secs() < 10 => false,
            _ => {
                state.error = Some((text.to_owned(), now));
                true
            }
        }
    }

    pub(crate) fn figures(&self) -> Figures {
        let state = self.state.lock().unwrap_or_else(PoisonError::into_inner);
        Figures {
            records: self.records.load(Ordering::Relaxed),
            duplicates: self.duplicates.load(Ordering::Relaxed),
            amended: self.amended.load(Ordering::Relaxed),
            aborted: self.aborted.load(Ordering::Relaxed),
            damaged: self.damaged.load(Ordering::Relaxed),
            charges_dropped: self.charges_dropped.load(Ordering::Relaxed),
            incarnations: self.incarnations.load(Ordering::Relaxed),
            lag_ms: u64::try_from(state.caught_up.elapsed().as_millis()).unwrap_or(u64::MAX),
            error: state.error.as_ref().map(|(text, _)| text.clone()),
        }
    }
}
