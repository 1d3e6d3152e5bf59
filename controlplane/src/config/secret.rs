//! `${env:NAME}` and `${file:path}` in values that may be secret.

use std::cell::RefCell;
use std::collections::{BTreeSet, HashMap};
use std::fs::OpenOptions;
use std::io::Read as _;
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::{Path, PathBuf};

/// Largest file that a secret is read from, in bytes.
pub(crate) const FILE_BYTES_MAX: u64 = 64 << 10;
/// Largest file of certificates, in bytes.
pub(crate) const CA_BYTES_MAX: u64 = 1 << 20;
/// Largest file of revocation lists, in bytes.
pub(crate) const CRL_BYTES_MAX: u64 = 16 << 20;

/// Where secrets come from. The environment is handed in, never read here.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Sources<'a> {
    pub(crate) environment: &'a HashMap<String, String>,
    /// Folder that relative paths start from; the working directory if there is none.
    pub(crate) folder: Option<&'a Path>,
    /// Every file that the document names, readable or not: a change of one is a change of the document.
    pub(crate) files: &'a RefCell<BTreeSet<PathBuf>>,
}

impl Sources<'_> {
    /// Replaces every placeholder in `text`. The error names the first that cannot be resolved, never a value.
    pub(crate) fn expand(&self, text: &str) -> Result<String, String> {
        let mut out = String::with_capacity(text.len());
        let mut rest = text;
        while let Some((before, after)) = rest.split_once("${") {
            out.push_str(before);
            let Some((inside, after)) = after.split_once('}') else {
                return Err("secret placeholder is not closed by }".into());
            };
            out.push_str(&self.resolve(inside)?);
            rest = after;
        }
        out.push_str(rest);
        Ok(out)
    }

    fn resolve(&self, inside: &str) -> Result<String, String> {
        match inside.split_once(':') {
            Some(("env", name)) => match self.environment.get(name) {
                None => Err(format!(
                    "secret ${{env:{name}}} is not resolved: the variable is not set"
                )),
                Some(value) if value.is_empty() => Err(format!(
                    "secret ${{env:{name}}} is not resolved: the variable is empty"
                )),
                Some(value) => Ok(value.clone()),
            },
            Some(("file", path)) => self
                .read(path)
                .map_err(|error| format!("secret ${{file:{path}}} is not resolved: {error}")),
            _ => Err(format!(
                "secret ${{{inside}}} is not resolved: use ${{env:NAME}} or ${{file:PATH}}"
            )),
        }
    }

    /// Reads a small regular file that the document names.
    pub(crate) fn file(&self, path: &str, bytes_max: u64) -> Result<String, String> {
        let path = self
            .folder
            .map_or_else(|| PathBuf::from(path), |folder| folder.join(path));
        let text = read_bounded(&path, bytes_max);
        self.files.borrow_mut().insert(path);
        text
    }

    fn read(&self, path: &str) -> Result<String, String> {
        let text = self.file(path, FILE_BYTES_MAX)?;
        let text = text.trim_end_matches(['\r', '\n']);
        if text.is_empty() {
            Err("the file is empty".into())
        } else {
            Ok(text.to_owned())
        }
    }
}

/// Reads a small regular file as text.
fn read_bounded(path: &Path, bytes_max: u64) -> Result<String, String> {
    // Without waiting: a pipe that nobody writes to would hold the control plane for ever.
    let file = OpenOptions::new()
        .read(true)
        .custom_flags(libc::O_NONBLOCK)
        .open(path)
        .map_err(|error| error.to_string())?;
    let metadata = file.metadata().map_err(|error| error.to_string())?;
    if !metadata.is_file() {
        return Err("not a regular file".into());
    }
    let mut text = String::new();
    let read = file
        .take(bytes_max + 1)
        .read_to_string(&mut text)
        .map_err(|error| error.to_string())?;
    if read as u64 > bytes_max {
        Err(format!("longer than {bytes_max} bytes"))
    } else {
        Ok(text)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn placeholders_are_replaced_or_named() {
        let folder = tempfile::tempdir().unwrap();
        std::fs::write(folder.path().join("key"), "from-file\n").unwrap();
        std::fs::write(folder.path().join("empty"), "\n").unwrap();
        std::fs::write(folder.path().join("long"), "x".repeat(70_000)).unwrap();
        let environment = HashMap::from([
            ("KEY".to_owned(), "from-env".to_owned()),
            ("NONE".to_owned(), String::new()),
        ]);
        let sources = Sources {
            environment: &environment,
            folder: Some(folder.path()),
            files: &RefCell::default(),
        };
        let good = |text: &str, expected: &str| assert_eq!(sources.expand(text).as_deref(), Ok(expected));
        good("plain", "plain");
        good("${env:KEY}", "from-env");
        good("a ${env:KEY} b ${file:key} c", "a from-env b from-file c");
        good("$ {env:KEY} $", "$ {env:KEY} $");
        let bad = |text: &str, named: &str| {
            let error = sources.expand(text).unwrap_err();
            assert!(error.contains(named), "{text}: {error}");
            assert!(!error.contains("from-env"), "{error}");
        };
        bad("${env:MISSING}", "${env:MISSING}");
        bad("${env:KEY}${env:NONE}", "${env:NONE}");
        bad("${file:nowhere}", "${file:nowhere}");
        bad("${file:empty}", "empty");
        bad("${file:long}", "longer");
        bad("${file:.}", "regular file");
        bad("${vault:x}", "${vault:x}");
        // A pipe without a writer is no file, and not waited for.
        let made = std::process::Command::new("mkfifo")
            .arg(folder.path().join("pipe"))
            .status();
        assert!(made.unwrap().success());
        bad("${file:pipe}", "regular file");
        bad("${env:KEY", "not closed");
    }
}
