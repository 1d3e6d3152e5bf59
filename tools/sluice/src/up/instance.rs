//! The data directory of one running instance: made for its owner only, locked by the supervisor.

use std::fs::{DirBuilder, File, OpenOptions, Permissions, TryLockError};
use std::io::{Read, Seek, Write};
use std::os::unix::fs::{DirBuilderExt, OpenOptionsExt, PermissionsExt};
use std::path::{Path, PathBuf};

use anyhow::{Context, Result, bail};

/// Longest path of a data directory: Unix sockets in it have names of up to 107 bytes, `/control.sock` included.
const PATH_BYTES_MAX: usize = 107 - "/control.sock".len();

/// A locked data directory. The lock is the kernel's (`flock`), so it ends with this process however that ends.
#[derive(Debug)]
pub(super) struct Instance {
    dir: PathBuf,
    own: bool,
    _lock: File,
}

impl Instance {
    /// Makes the directory if it is missing (0700) and locks it.
    ///
    /// # Errors
    /// If it cannot be written or belongs to a running instance.
    pub(super) fn claim(dir: &Path) -> Result<Self> {
        let unwritable = || format!("cannot write to the data directory {}", dir.display());
        DirBuilder::new()
            .recursive(true)
            .mode(0o700)
            .create(dir)
            .with_context(unwritable)?;
        let dir = dir.canonicalize().with_context(unwritable)?;
        let bytes = dir.as_os_str().len();
        if bytes > PATH_BYTES_MAX {
            bail!(
                "the path of the data directory {} is too long for sockets: {bytes} bytes, at most {PATH_BYTES_MAX}",
                dir.display()
            );
        }
        let own = is_own(&dir).with_context(unwritable)?;
        let mut lock = OpenOptions::new()
            .read(true)
            .write(true)
            .create(true)
            .truncate(false)
            .mode(0o600)
            .open(dir.join("lock"))
            .with_context(unwritable)?;
        match lock.try_lock() {
            Ok(()) => {}
            Err(TryLockError::WouldBlock) => {
                let mut holder = String::new();
                lock.read_to_string(&mut holder).ok();
                bail!(
                    "the data directory {} belongs to a running instance (pid {})",
                    dir.display(),
                    holder.trim()
                );
            }
            Err(TryLockError::Error(error)) => {
                return Err(error)
                    .with_context(|| format!("cannot lock the data directory {}", dir.display()));
            }
        }
        let pid = std::process::id();
        lock.set_len(0).with_context(unwritable)?;
        lock.rewind().with_context(unwritable)?;
        writeln!(lock, "{pid}").with_context(unwritable)?;
        let instance = Self {
            dir,
            own,
            _lock: lock,
        };
        instance.write("supervisor.pid", &format!("{pid}\n"))?;
        Ok(instance)
    }

    /// The directory, absolute.
    pub(super) fn dir(&self) -> &Path {
        &self.dir
    }

    /// Whether everything in the directory is ours: it was empty, or an instance has run in it before.
    pub(super) const fn is_own(&self) -> bool {
        self.own
    }

    /// Gives the directory and all in it to the user that everything runs as from now on, and to nobody else.
    ///
    /// # Errors
    /// If that cannot be done.
    pub(super) fn give_to(&self, uid: u32, gid: u32) -> Result<()> {
        std::fs::set_permissions(&self.dir, Permissions::from_mode(0o700))
            .with_context(|| format!("cannot close {} to others", self.dir.display()))?;
        super::user::give(&self.dir, uid, gid)
    }

    /// Writes a small file into the directory, whole or not at all.
    ///
    /// # Errors
    /// If that cannot be done.
    pub(super) fn write(&self, name: &str, text: &str) -> Result<()> {
        let part = self.dir.join(format!("{name}.part"));
        let path = self.dir.join(name);
        std::fs::write(&part, text)
            .and_then(|()| std::fs::rename(&part, &path))
            .with_context(|| format!("cannot write {}", path.display()))
    }

    /// Removes such a file; one that is not there is as good.
    pub(super) fn remove(&self, name: &str) {
        std::fs::remove_file(self.dir.join(name)).ok();
    }
}

impl Drop for Instance {
    fn drop(&mut self) {
        for name in ["supervisor.pid", "listen"] {
            self.remove(name);
        }
    }
}

/// Empty, or with the lock of an instance in it.
fn is_own(dir: &Path) -> std::io::Result<bool> {
    Ok(dir.join("lock").exists() || dir.read_dir()?.next().is_none())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_directory_with_other_files_is_not_our_own() {
        let place = tempfile::tempdir().unwrap();
        let check = |name: &str, expected: bool| {
            let instance = Instance::claim(&place.path().join(name)).unwrap();
            assert_eq!(instance.is_own(), expected, "{name}");
        };
        check("new", true);
        check("new", true);
        std::fs::create_dir(place.path().join("other")).unwrap();
        std::fs::write(place.path().join("other/letter"), "").unwrap();
        check("other", false);
    }

    #[test]
    fn one_instance_a_directory() {
        let place = tempfile::tempdir().unwrap();
        let dir = place.path().join("a/b");
        let first = Instance::claim(&dir).unwrap();
        assert_eq!(dir.metadata().unwrap().permissions().mode() & 0o777, 0o700);
        let refused = Instance::claim(&dir).unwrap_err().to_string();
        let pid = std::process::id();
        assert!(
            refused.ends_with(&format!("belongs to a running instance (pid {pid})")),
            "{refused}"
        );
        drop(first);
        Instance::claim(&dir).unwrap();
    }

    #[test]
    fn a_path_must_leave_room_for_sockets() {
        let place = tempfile::tempdir().unwrap();
        let room = PATH_BYTES_MAX - place.path().canonicalize().unwrap().as_os_str().len() - 1;
        Instance::claim(&place.path().join("d".repeat(room))).unwrap();
        let refused = Instance::claim(&place.path().join("d".repeat(room + 1)))
            .unwrap_err()
            .to_string();
        assert!(refused.ends_with("95 bytes, at most 94"), "{refused}");
    }

    #[test]
    fn a_place_that_cannot_be_written_is_named() {
        let place = tempfile::tempdir().unwrap();
        let file = place.path().join("file");
        std::fs::write(&file, "").unwrap();
        let refused = format!("{:#}", Instance::claim(&file.join("data")).unwrap_err());
        assert!(
            refused.starts_with("cannot write to the data directory"),
            "{refused}"
        );
    }
}
