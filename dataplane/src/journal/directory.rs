//! The directory of one incarnation, `journal/NNNNNNNN/`, and the files in it.
//!
//! A directory appears under its number only when its lock is held, so whoever finds a directory without a held
//! lock may take its owner for dead. A number is never used twice, even after its directory was removed: `journal/last`
//! remembers the highest. Files likewise appear under their names only when they are complete.

use std::fs::{self, DirBuilder, File, OpenOptions};
use std::io::{self, ErrorKind, Write};
use std::os::fd::AsRawFd;
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::{DirBuilderExt, OpenOptionsExt};
use std::path::{Path, PathBuf};

/// Tries at finding a free number, against others who look at the same time.
const TRIES: usize = 64;

/// A directory of our own; its lock is held as long as this lives.
#[derive(Debug)]
pub(super) struct Directory {
    path: PathBuf,
    incarnation: u64,
    /// Held for its lock.
    lock: File,
}

impl Directory {
    /// Makes the directory of the next incarnation under `data_dir/journal`.
    pub(super) fn create(data_dir: &Path) -> io::Result<Self> {
        let journal = data_dir.join("journal");
        DirBuilder::new().recursive(true).mode(0o700).create(&journal)?;
        sweep(&journal);
        let fresh = journal.join(format!(".new-{}-{:p}", std::process::id(), &journal));
        DirBuilder::new().mode(0o700).create(&fresh)?;
        let lock = new_file(&fresh.join("lock"))?;
        lock.try_lock().map_err(io::Error::from)?;
        let last = journal.join("last");
        for _ in 0..TRIES {
            let number = highest(&journal, &last)?
                .checked_add(1)
                .ok_or(ErrorKind::QuotaExceeded)?;
            replace(&last, number.to_string().as_bytes())?;
            let path = journal.join(format!("{number:08}"));
            match rename_new(&fresh, &path) {
                Ok(()) => {
                    sync_directory(&journal)?;
                    return Ok(Self {
                        path,
                        incarnation: number,
                        lock,
                    });
                }
                Err(e) if matches!(e.kind(), ErrorKind::AlreadyExists | ErrorKind::DirectoryNotEmpty) => {}
                Err(e) => return Err(e),
            }
        }
        Err(ErrorKind::AlreadyExists.into())
    }

    /// Number of the incarnation.
    pub(super) const fn incarnation(&self) -> u64 {
        self.incarnation
    }

    /// Where it is.
    pub(super) fn path(&self) -> &Path {
        &self.path
    }

    /// Makes a file of `len` bytes, all of them allocated, that may be lost in a power cut.
    pub(super) fn draft(&self, path: &Path, len: usize) -> io::Result<File> {
        debug_assert_eq!(path.parent(), Some(self.path.as_path()), "a file of ours");
        let file = new_file(path)?;
        allocate(&file, len)?;
        Ok(file)
    }

    /// Capture segments that are there now, those of all shards, and their bytes.
    pub(super) fn captures(&self) -> io::Result<(u64, u64)> {
        let (mut count, mut bytes) = (0, 0u64);
        for entry in fs::read_dir(&self.path)? {
            let entry = entry?;
            if entry.file_name().as_bytes().ends_with(b".cap") {
                match entry.metadata() {
                    Ok(meta) => {
                        count += 1;
                        bytes = bytes.saturating_add(meta.len());
                    }
                    // Read and removed meanwhile.
                    Err(e) if e.kind() == ErrorKind::NotFound => {}
                    Err(e) => return Err(e),
                }
            }
        }
        Ok((count, bytes))
    }

    /// Bytes of the file system that are free for us.
    #[allow(unsafe_code, reason = "the free space of a file system has no safe interface")]
    pub(super) fn free_bytes(&self) -> io::Result<u64> {
        let mut found = std::mem::MaybeUninit::<libc::statvfs>::uninit();
        // SAFETY: the descriptor is open, and the target has the size that the call fills.
        let result = unsafe { libc::fstatvfs(self.lock.as_raw_fd(), found.as_mut_ptr()) };
        if result != 0 {
            return Err(io::Error::last_os_error());
        }
        // SAFETY: the call has succeeded and filled it.
        let found = unsafe { found.assume_init() };
        Ok(found.f_bavail.saturating_mul(found.f_frsize))
    }

    /// Makes a file of `len` bytes, all of them allocated, with `head` at its start. It is complete on disk before it
    /// bears its name.
    pub(super) fn allocate(&self, name: &str, len: usize, head: &[u8]) -> io::Result<File> {
        let draft = self.path.join(format!(".{name}"));
        let file = fill(&draft, len, head).inspect_err(|_| {
            // What could not be allocated in full gives back what it took; if that fails too, the next try
            // replaces it.
            let _ = fs::remove_file(&draft);
        })?;
        fs::rename(&draft, self.path.join(name))?;
        sync_directory(&self.path)?;
        Ok(file)
    }

    /// Segments that are there now, those of all shards.
    pub(super) fn segments(&self) -> io::Result<u64> {
        let mut count = 0;
        for entry in fs::read_dir(&self.path)? {
            count += u64::from(entry?.file_name().as_bytes().ends_with(b".seg"));
        }
        Ok(count)
    }
}

fn fill(path: &Path, len: usize, head: &[u8]) -> io::Result<File> {
    let mut file = new_file(path)?;
    allocate(&file, len)?;
    file.write_all(head)?;
    file.sync_data()?;
    Ok(file)
}

/// The highest number that was ever used.
fn highest(journal: &Path, last: &Path) -> io::Result<u64> {
    let mut highest = match fs::read_to_string(last) {
        Ok(text) => text.trim().parse().unwrap_or(0),
        Err(e) if e.kind() == ErrorKind::NotFound => 0,
        Err(e) => return Err(e),
    };
    for entry in fs::read_dir(journal)? {
        let name = entry?.file_name();
        if let Some(number) = name.to_str().and_then(|n| n.parse::<u64>().ok()) {
            highest = highest.max(number);
        }
    }
    Ok(highest)
}

/// Removes what processes that died while they started have left; whose lock is held is left alone.
fn sweep(journal: &Path) {
    let Ok(entries) = fs::read_dir(journal) else {
        return;
    };
    for entry in entries.flatten() {
        if !entry.file_name().as_bytes().starts_with(b".new-") {
            continue;
        }
        let path = entry.path();
        // A directory without a lock file is one that is being made right now, or an empty one: the lock comes first.
        let Ok(lock) = File::open(path.join("lock")) else {
            continue;
        };
        if lock.try_lock().is_ok() {
            let _ = fs::remove_file(path.join("lock"));
            let _ = fs::remove_dir(&path);
        }
    }
}

fn new_file(path: &Path) -> io::Result<File> {
    OpenOptions::new()
        .read(true)
        .write(true)
        .create(true)
        .truncate(true)
        .mode(0o600)
        .open(path)
}

fn replace(path: &Path, content: &[u8]) -> io::Result<()> {
    let draft = path.with_extension(format!("{}.tmp", std::process::id()));
    let mut file = new_file(&draft)?;
    file.write_all(content)?;
    file.sync_data()?;
    fs::rename(&draft, path)
}

fn sync_directory(path: &Path) -> io::Result<()> {
    File::open(path)?.sync_all()
}

/// Takes the blocks of the whole file now, so that no later store can find the disk full.
#[allow(unsafe_code, reason = "allocation of blocks has no safe interface")]
fn allocate(file: &File, len: usize) -> io::Result<()> {
    let length = libc::off_t::try_from(len).map_err(|_| ErrorKind::InvalidInput)?;
    loop {
        // SAFETY: the descriptor is open for writing.
        if unsafe { libc::fallocate(file.as_raw_fd(), 0, 0, length) } == 0 {
            return Ok(());
        }
        let error = io::Error::last_os_error();
        match error.raw_os_error() {
            Some(libc::EINTR) => {}
            Some(libc::EOPNOTSUPP | libc::ENOSYS) => return write_zeros(file, len),
            _ => return Err(error),
        }
    }
}

/// The same on file systems without an allocation call.
fn write_zeros(file: &File, len: usize) -> io::Result<()> {
    use std::os::unix::fs::FileExt;

    let zeros = vec![0; 64 << 10];
    let mut at = 0;
    while at < len {
        let piece = zeros.len().min(len - at);
        file.write_all_at(&zeros[..piece], at as u64)?;
        at += piece;
    }
    Ok(())
}

/// Renames, unless the target exists.
#[allow(unsafe_code, reason = "a rename that replaces nothing has no safe interface")]
fn rename_new(from: &Path, to: &Path) -> io::Result<()> {
    let path =
        |p: &Path| std::ffi::CString::new(p.as_os_str().as_bytes()).map_err(|_| ErrorKind::InvalidInput);
    let (from, to) = (path(from)?, path(to)?);
    // SAFETY: both are strings that end in NUL and live for the call.
    let renamed = unsafe {
        libc::renameat2(
            libc::AT_FDCWD,
            from.as_ptr(),
            libc::AT_FDCWD,
            to.as_ptr(),
            libc::RENAME_NOREPLACE,
        )
    };
    if renamed == 0 {
        Ok(())
    } else {
        Err(io::Error::last_os_error())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_rise_and_are_never_used_again() {
        let data = tempfile::tempdir().unwrap();
        let first = Directory::create(data.path()).unwrap();
        let second = Directory::create(data.path()).unwrap();
        assert_eq!((first.incarnation(), second.incarnation()), (1, 2));
        let path = second.path.clone();
        drop(second);
        fs::remove_dir_all(path).unwrap();
        assert_eq!(Directory::create(data.path()).unwrap().incarnation(), 3);
        fs::create_dir(data.path().join("journal/00000007")).unwrap();
        assert_eq!(Directory::create(data.path()).unwrap().incarnation(), 8);
    }

    #[test]
    fn the_lock_is_held_for_life() {
        let data = tempfile::tempdir().unwrap();
        let directory = Directory::create(data.path()).unwrap();
        let lock = File::open(data.path().join("journal/00000001/lock")).unwrap();
        assert!(lock.try_lock().is_err());
        drop(directory);
        lock.try_lock().unwrap();
    }

    #[test]
    fn what_dead_starters_left_is_removed_and_nothing_else() {
        let data = tempfile::tempdir().unwrap();
        let journal = data.path().join("journal");
        for name in [".new-1-a", ".new-1-b"] {
            fs::create_dir_all(journal.join(name)).unwrap();
            new_file(&journal.join(name).join("lock")).unwrap();
        }
        let held = File::open(journal.join(".new-1-b/lock")).unwrap();
        held.try_lock().unwrap();
        Directory::create(data.path()).unwrap();
        assert!(!journal.join(".new-1-a").exists());
        assert!(journal.join(".new-1-b").exists());
    }

    #[test]
    fn files_are_allocated_and_private() {
        use std::os::unix::fs::MetadataExt;

        let data = tempfile::tempdir().unwrap();
        let directory = Directory::create(data.path()).unwrap();
        let file = directory.allocate("000-00000000.seg", 1 << 20, b"head").unwrap();
        let meta = file.metadata().unwrap();
        assert_eq!((meta.len(), meta.mode() & 0o777), (1 << 20, 0o600));
        assert!(meta.blocks() * 512 >= 1 << 20, "every block is there");
        assert_eq!(directory.segments().unwrap(), 1);
        let file = tempfile::tempfile().unwrap();
        write_zeros(&file, 100_000).unwrap();
        assert_eq!(file.metadata().unwrap().len(), 100_000);
    }
}
