//! Snapshots from outside: a sealed memory file from the control plane, or the copy in the data directory.

use std::fs::{File, OpenOptions};
use std::io::{self, Read};
use std::os::fd::{AsFd, OwnedFd};
use std::os::unix::fs::{FileExt, MetadataExt, OpenOptionsExt};
use std::path::Path;

use sluice_shared::ids::Epoch;
use sluice_shared::snapshot::{OpenError, SNAPSHOT_BYTES_MAX, Sealed};
use zeroize::Zeroizing;

use super::socket;
use crate::config::CompileError;

/// Seals without which a memory file could change while it is read, or shorten under a mapping.
const SEALS: i32 = libc::F_SEAL_SHRINK | libc::F_SEAL_GROW | libc::F_SEAL_WRITE;

/// Why a snapshot was not taken.
#[derive(Debug, thiserror::Error)]
pub(super) enum RefuseError {
    #[error("no memory file came with the announcement")]
    Missing,
    #[error("the file is not sealed against changes")]
    Unsealed,
    #[error("the file has {found} bytes, {announced} were announced")]
    Length { announced: u64, found: u64 },
    #[error("epoch {found} inside, {announced} announced")]
    Epoch { announced: u64, found: u64 },
    #[error("epoch {offered} is older than {current}, which is in use")]
    Old { offered: u64, current: u64 },
    #[error("the copy belongs to user {0}, or others may write it")]
    Owner(u32),
    #[error(transparent)]
    Open(#[from] OpenError),
    #[error(transparent)]
    Compile(#[from] CompileError),
    #[error(transparent)]
    Io(#[from] io::Error),
}

/// Reads and checks the memory file that came with an announcement.
pub(super) fn from_memory_file(
    file: Option<OwnedFd>,
    epoch: Epoch,
    announced: u64,
) -> Result<Sealed, RefuseError> {
    let file = file.ok_or(RefuseError::Missing)?;
    // Seals exist for memory files only; every other file is refused by the error.
    if socket::seals(file.as_fd()).map_err(|_| RefuseError::Unsealed)? & SEALS != SEALS {
        return Err(RefuseError::Unsealed);
    }
    let file = File::from(file);
    let found = file.metadata()?.len();
    if found != announced || found > SNAPSHOT_BYTES_MAX as u64 {
        return Err(RefuseError::Length { announced, found });
    }
    let mut bytes = Zeroizing::new(vec![0; usize::try_from(found).map_err(|_| OpenError::Length)?]);
    file.read_exact_at(&mut bytes, 0)?;
    let sealed = Sealed::open(&bytes)?;
    let found = sealed_epoch(&sealed);
    if found != epoch {
        return Err(RefuseError::Epoch {
            announced: epoch.0,
            found: found.0,
        });
    }
    Ok(sealed)
}

/// Reads and checks the copy in the data directory, which nobody but us (or root) may have written.
pub(super) fn from_copy(path: &Path) -> Result<Sealed, RefuseError> {
    let file = OpenOptions::new()
        .read(true)
        .custom_flags(libc::O_NOFOLLOW | libc::O_NONBLOCK)
        .open(path)?;
    let meta = file.metadata()?;
    let trusted = meta.uid() == socket::own_uid() || meta.uid() == 0;
    if !trusted || !meta.is_file() || meta.mode() & 0o022 != 0 {
        return Err(RefuseError::Owner(meta.uid()));
    }
    // Large enough at once: growing would leave copies of keys behind.
    let expected = usize::try_from(meta.len().min(SNAPSHOT_BYTES_MAX as u64)).unwrap_or_default();
    let mut bytes = Zeroizing::new(Vec::with_capacity(expected.saturating_add(64)));
    // One byte more than allowed, so that a longer file is seen to be too long.
    file.take(SNAPSHOT_BYTES_MAX as u64 + 1).read_to_end(&mut bytes)?;
    Ok(Sealed::open(&bytes)?)
}

pub(super) fn sealed_epoch(sealed: &Sealed) -> Epoch {
    Epoch(sealed.snapshot().epoch.0.to_native())
}
