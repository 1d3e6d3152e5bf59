//! What the readers of one journal tell each other: whose records are stored to the last, and what is left of captures.
//!
//! Records and captures of an incarnation lie in one directory and are read by two threads. The lock says to one of them,
//! the reader of records, that the process is dead; it stores the last records and tells here. Then the reader of captures
//! knows that no more comes, and which of those without an end were given up. The directory goes when neither has
//! anything left in it.

use std::collections::BTreeSet;
use std::io;
use std::path::Path;
use std::sync::{Mutex, PoisonError};

/// Incarnations whose records are all stored and whose directories are still there.
#[derive(Debug, Default)]
pub(crate) struct Endings {
    dead: Mutex<BTreeSet<u64>>,
}

impl Endings {
    /// Everything that an incarnation recorded is in the store.
    pub(super) fn ended(&self, number: u64) {
        self.dead().insert(number);
    }

    /// The number may be used again.
    pub(super) fn forget(&self, number: u64) {
        self.dead().remove(&number);
    }

    pub(super) fn all(&self) -> BTreeSet<u64> {
        self.dead().clone()
    }

    /// Whether everything that an incarnation recorded is in the store.
    pub(crate) fn is_ended(&self, number: u64) -> bool {
        self.dead().contains(&number)
    }

    fn dead(&self) -> std::sync::MutexGuard<'_, BTreeSet<u64>> {
        self.dead.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Whether captures are left in the directory of an incarnation.
pub(super) fn has_captures(directory: &Path) -> io::Result<bool> {
    let names = super::names(directory)?;
    Ok(names.iter().any(|name| is_of_captures(name)))
}

/// Whether a file is the business of the reader of captures.
pub(crate) fn is_of_captures(name: &str) -> bool {
    let ends = [".cap", ".carry"];
    ends.iter().any(|end| name.ends_with(end))
}
