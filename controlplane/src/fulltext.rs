//! Full text over captures: which captures hold some words.
//!
//! ```text
//! captures, as they are committed ─ indexer ─ what is new in each ─▶ search.sqlite ─ words ─▶ places of requests
//! ```
//!
//! The index is a file of its own that follows the captures: it says itself how far it has come, in the transaction that
//! adds what it read, so that it may be killed at any time, and deleted: then it is built again. Words of captures that
//! are purged go from the file with their bytes. Of a request only what is new is indexed (the last message of the
//! person, results of tools) and the answer: what came before is in the captures before.

mod file;
mod indexer;
#[cfg(test)]
mod tests;
mod texts;
mod words;

use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use sluice_shared::units::UnixMicros;

pub(crate) use indexer::{Indexer, Settings};
pub(crate) use words::Words;

use crate::store::{Place, StoreError};
use file::Index;

/// File of the index in the data directory.
pub(crate) const FILE: &str = "search.sqlite";

/// Which captures are wanted, newest first.
#[derive(Debug, Clone)]
pub(crate) struct TextQuery {
    pub(crate) words: Words,
    /// Of this login only.
    pub(crate) user: Option<String>,
    pub(crate) since: Option<UnixMicros>,
    /// Up to, and without, this.
    pub(crate) until: Option<UnixMicros>,
    /// Only what comes after this one in the list.
    pub(crate) after: Option<Place>,
    pub(crate) limit: usize,
}

/// The index, while it is configured.
pub(crate) struct FullText {
    path: PathBuf,
    /// Who writes, and who reads.
    write: Mutex<Option<Index>>,
    read: Mutex<Option<Index>>,
}

impl FullText {
    /// The index of a data directory, which is not opened yet.
    pub(crate) fn new(data: &Path) -> Arc<Self> {
        Arc::new(Self {
            path: data.join(FILE),
            write: Mutex::default(),
            read: Mutex::default(),
        })
    }

    /// Whether words can be looked for.
    pub(crate) fn is_on(&self) -> bool {
        lock(&self.read).is_some()
    }

    /// Opens the file; one that cannot be read is made anew.
    fn open(&self) -> Result<(), StoreError> {
        let mut write = lock(&self.write);
        if write.is_none() {
            *write = Some(Index::open_or_make(&self.path)?);
            *lock(&self.read) = Some(Index::open(&self.path)?);
        }
        Ok(())
    }

    /// Closes the file and removes it: nobody wants it.
    fn remove(&self) -> std::io::Result<()> {
        *lock(&self.write) = None;
        *lock(&self.read) = None;
        file::remove(&self.path)
    }

    /// Where captures with some words stand, newest first. It may wait for the disk. Empty while there is no index.
    pub(crate) async fn find(self: &Arc<Self>, query: TextQuery) -> Result<Vec<Place>, StoreError> {
        let this = self.clone();
        let found = tokio::task::spawn_blocking(move || {
            lock(&this.read)
                .as_ref()
                .map_or_else(|| Ok(Vec::new()), |index| index.find(&query))
        });
        found
            .await
            .unwrap_or_else(|_| Err(StoreError::Column("(the query ended early)")))
    }
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
