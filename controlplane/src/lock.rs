//! Locks on files: held as long as the value lives, and by nobody once its process is dead.

use std::fs::{File, OpenOptions, TryLockError};
use std::io;
use std::path::Path;

/// A held exclusive lock.
#[derive(Debug)]
pub(crate) struct FileLock {
    _file: File,
}

impl FileLock {
    /// Takes the lock of a file, which is made if it is missing. `None` if somebody else holds it.
    pub(crate) fn take(path: &Path) -> io::Result<Option<Self>> {
        Self::lock(
            OpenOptions::new()
                .create(true)
                .truncate(false)
                .write(true)
                .open(path)?,
        )
    }

    /// Takes the lock of a file that exists.
    pub(crate) fn take_existing(path: &Path) -> io::Result<Option<Self>> {
        Self::lock(OpenOptions::new().write(true).open(path)?)
    }

    fn lock(file: File) -> io::Result<Option<Self>> {
        match file.try_lock() {
            Ok(()) => Ok(Some(Self { _file: file })),
            Err(TryLockError::WouldBlock) => Ok(None),
            Err(TryLockError::Error(error)) => Err(error),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_lock_has_one_holder() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("lock");
        assert!(FileLock::take_existing(&path).is_err());
        let held = FileLock::take(&path).unwrap();
        assert!(held.is_some());
        assert!(FileLock::take(&path).unwrap().is_none());
        drop(held);
        assert!(FileLock::take_existing(&path).unwrap().is_some());
    }
}
