//! Writing the document's file as its owner would: whole, with the mode and owner that it has.

use std::fs::{self, File, OpenOptions};
use std::io::{self, Write as _};
use std::os::unix::fs::{MetadataExt as _, OpenOptionsExt as _, PermissionsExt as _, fchown};
use std::path::Path;

use crate::files;

/// Replaces the content of a file: whoever reads it sees the old text or the new, also after a power cut. A symbolic
/// link stays one. A file that is made is its owner's only.
///
/// # Errors
/// The folder cannot be written, or the file is somebody else's and would become ours.
pub(super) fn write(path: &Path, text: &str) -> io::Result<()> {
    let path = match fs::canonicalize(path) {
        Ok(path) => path,
        Err(error) if error.kind() == io::ErrorKind::NotFound => {
            return files::replace(path, text.as_bytes());
        }
        Err(error) => return Err(error),
    };
    let present = fs::metadata(&path)?;
    let folder = path.parent().unwrap_or_else(|| Path::new("/"));
    let mut name = std::ffi::OsString::from(".");
    name.push(path.file_name().unwrap_or_default());
    name.push(".new");
    let fresh = folder.join(name);
    // A leftover of a killed process.
    files::remove(&fresh)?;
    let mut file = OpenOptions::new()
        .write(true)
        .create_new(true)
        .mode(0o600)
        .open(&fresh)?;
    let written = fill(&mut file, &present, text).and_then(|()| fs::rename(&fresh, &path));
    if let Err(error) = written {
        let _ = files::remove(&fresh);
        return Err(error);
    }
    files::sync_folder(folder)
}

fn fill(file: &mut File, present: &fs::Metadata, text: &str) -> io::Result<()> {
    let made = file.metadata()?;
    if (made.uid(), made.gid()) != (present.uid(), present.gid()) {
        fchown(&*file, Some(present.uid()), Some(present.gid())).map_err(|error| {
            io::Error::new(
                error.kind(),
                format!(
                    "the file belongs to user {} and would not any more",
                    present.uid()
                ),
            )
        })?;
    }
    file.set_permissions(fs::Permissions::from_mode(present.mode() & 0o7777))?;
    file.write_all(text.as_bytes())?;
    file.sync_all()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn mode_and_links_stay_and_nothing_is_left_behind() {
        let folder = tempfile::tempdir().unwrap();
        let (real, link) = (folder.path().join("real"), folder.path().join("link"));
        fs::write(&real, "one").unwrap();
        fs::set_permissions(&real, fs::Permissions::from_mode(0o640)).unwrap();
        std::os::unix::fs::symlink("real", &link).unwrap();
        fs::write(folder.path().join(".real.new"), "leftover").unwrap();
        write(&link, "two").unwrap();
        assert_eq!(fs::read_to_string(&real).unwrap(), "two");
        assert_eq!(fs::metadata(&real).unwrap().permissions().mode() & 0o7777, 0o640);
        assert!(fs::symlink_metadata(&link).unwrap().is_symlink());
        assert_eq!(fs::read_dir(folder.path()).unwrap().count(), 2);

        let made = folder.path().join("made");
        write(&made, "x").unwrap();
        assert_eq!(fs::metadata(&made).unwrap().permissions().mode() & 0o777, 0o600);
        assert!(write(&folder.path().join("no/such/folder"), "x").is_err());
    }
}
