//! Every document that was in use, so that a change can be looked at and taken back.
//!
//! One file a version in `config-history`, named by its number: a line of JSON about it, then the text as it was, keys
//! included. The files are private like the document. Versions and their bytes are bounded; the oldest go first.

use std::fs;
use std::io::{BufRead as _, BufReader, Read as _};
use std::os::unix::fs::DirBuilderExt as _;
use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};
use sluice_shared::units::UnixMicros;

use super::{diff, redact};
use crate::files;

/// Versions that are kept.
const VERSIONS_MAX: usize = 200;
/// Bytes of all of them together; the newest is kept whatever its size.
const BYTES_MAX: u64 = 16 << 20;
/// Longest line about a version, in bytes.
const ABOUT_BYTES_MAX: u64 = 64 << 10;
const ENDING: &str = "version";

/// Author of what came from the file instead of the API.
pub(crate) const FILE: &str = "(file)";
/// Author of the document that stands in where there is none.
pub(crate) const BUILT_IN: &str = "(built-in)";

/// What is known about a version.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Version {
    /// Number, growing.
    pub(crate) id: u64,
    /// Taken into use, in microseconds since 1970.
    pub(crate) time: u64,
    /// Login of who saved it, or [`FILE`].
    pub(crate) author: String,
    /// What the document holds, in one line.
    pub(crate) summary: String,
    /// What was done, if not just saved.
    #[serde(default)]
    pub(crate) note: String,
    /// SHA-256 of the text as it is shown: without secrets.
    pub(crate) hash: String,
    /// Lines that the version before did not have.
    pub(crate) added: usize,
    /// Lines of the version before that it does not have.
    pub(crate) removed: usize,
    /// Paths of secrets that are not as they were.
    #[serde(default)]
    pub(crate) secrets: Vec<String>,
}

impl Version {
    /// The entity tag: the number tells versions apart whose only difference is a secret.
    pub(crate) fn etag(&self) -> String {
        format!("\"{}-{}\"", self.id, self.hash.get(..16).unwrap_or(&self.hash))
    }
}

/// The kept versions of a data directory.
#[derive(Debug)]
pub(crate) struct History {
    folder: PathBuf,
    /// Oldest first, each with its bytes on disk.
    versions: Vec<(Version, u64)>,
    last: u64,
}

impl History {
    /// Reads what is kept; what cannot be read is left alone and not shown.
    pub(crate) fn open(data: &Path) -> Self {
        let folder = data.join("config-history");
        let made = fs::DirBuilder::new().recursive(true).mode(0o700).create(&folder);
        if let Err(error) = made {
            tracing::warn!(%error, "no history of documents can be kept in {}", folder.display());
        }
        let mut versions = Vec::new();
        let mut last = 0;
        for entry in fs::read_dir(&folder).into_iter().flatten().flatten() {
            let path = entry.path();
            let number = path
                .file_stem()
                .and_then(|name| name.to_str())
                .and_then(|name| name.parse::<u64>().ok());
            let (Some(id), Some(ENDING)) = (number, path.extension().and_then(|e| e.to_str())) else {
                continue;
            };
            last = last.max(id);
            match about(&path) {
                Some(version) if version.id == id => {
                    versions.push((version, entry.metadata().map_or(0, |m| m.len())));
                }
                _ => tracing::warn!("{} is no version of a document", path.display()),
            }
        }
        versions.sort_by_key(|(version, _)| version.id);
        Self {
            folder,
            versions,
            last,
        }
    }

    /// Newest first.
    pub(crate) fn list(&self) -> impl Iterator<Item = &Version> {
        self.versions.iter().rev().map(|(version, _)| version)
    }

    /// The number that the next version gets.
    pub(crate) const fn next(&self) -> u64 {
        self.last.saturating_add(1)
    }

    pub(crate) fn newest(&self) -> Option<&Version> {
        self.versions.last().map(|(version, _)| version)
    }

    /// A version and the one before it that is still kept.
    pub(crate) fn find(&self, id: u64) -> Option<(&Version, Option<&Version>)> {
        let at = self.versions.binary_search_by_key(&id, |(v, _)| v.id).ok()?;
        let before = at.checked_sub(1).and_then(|at| self.versions.get(at));
        Some((&self.versions.get(at)?.0, before.map(|(version, _)| version)))
    }

    /// The text of a version, keys included.
    pub(crate) fn text(&self, id: u64) -> Option<String> {
        let mut file = BufReader::new(fs::File::open(self.path(id)).ok()?);
        let mut line = Vec::new();
        (&mut file)
            .take(ABOUT_BYTES_MAX)
            .read_until(b'\n', &mut line)
            .ok()?;
        let mut text = String::new();
        let limit = crate::config::DOCUMENT_BYTES_MAX as u64 + 4;
        file.take(limit).read_to_string(&mut text).ok()?;
        Some(text)
    }

    /// Keeps a text that is in use from now on. A version whose file cannot be written is not listed, but has a number
    /// of its own all the same.
    pub(crate) fn record(&mut self, text: &str, who: &Author, summary: &str, now: UnixMicros) -> Version {
        let before = self.newest().and_then(|version| self.text(version.id));
        let shown = redact::redact(text).unwrap_or_default();
        let (added, removed, secrets) = match &before {
            None => (shown.lines().count(), 0, Vec::new()),
            Some(before) => {
                let old = redact::redact(before).unwrap_or_default();
                let (added, removed) = diff::counts(&diff::lines(&old, &shown));
                (added, removed, redact::changed(before, text))
            }
        };
        self.last = self.next();
        let version = Version {
            id: self.last,
            time: now.0,
            author: who.name.clone(),
            summary: summary.to_owned(),
            note: who.note.clone(),
            hash: hash(&shown),
            added,
            removed,
            secrets: secrets.into_iter().take(100).collect(),
        };
        match self.write(&version, text) {
            Ok(bytes) => {
                self.versions.push((version.clone(), bytes));
                self.prune();
            }
            Err(error) => tracing::warn!(%error, "this version of the document is not kept in the history"),
        }
        version
    }

    fn write(&self, version: &Version, text: &str) -> std::io::Result<u64> {
        let mut bytes = serde_json::to_vec(version)?;
        bytes.push(b'\n');
        bytes.extend_from_slice(text.as_bytes());
        files::replace(&self.path(version.id), &bytes)?;
        Ok(bytes.len() as u64)
    }

    fn prune(&mut self) {
        let mut bytes: u64 = self.versions.iter().map(|(_, bytes)| bytes).sum();
        let mut gone = 0;
        for (version, size) in &self.versions {
            let left = self.versions.len() - gone;
            if left <= 1 || (left <= VERSIONS_MAX && bytes <= BYTES_MAX) {
                break;
            }
            if let Err(error) = files::remove(&self.path(version.id)) {
                tracing::warn!(%error, "an old version of the document cannot be removed");
            }
            bytes = bytes.saturating_sub(*size);
            gone += 1;
        }
        self.versions.drain(..gone);
    }

    fn path(&self, id: u64) -> PathBuf {
        self.folder.join(format!("{id:08}.{ENDING}"))
    }
}

/// Who brings a document.
#[derive(Debug, Clone, Default)]
pub(crate) struct Author {
    pub(crate) name: String,
    /// Node that it came from; empty where there is none.
    pub(crate) node: String,
    pub(crate) note: String,
}

impl Author {
    pub(crate) fn new(name: impl Into<String>) -> Self {
        Self {
            name: name.into(),
            ..Self::default()
        }
    }
}

fn about(path: &Path) -> Option<Version> {
    let mut line = Vec::new();
    let file = BufReader::new(fs::File::open(path).ok()?);
    file.take(ABOUT_BYTES_MAX).read_until(b'\n', &mut line).ok()?;
    serde_json::from_slice(&line).ok()
}

/// SHA-256 in hexadecimal digits.
pub(crate) fn hash(text: &str) -> String {
    let digest = ring::digest::digest(&ring::digest::SHA256, text.as_bytes());
    digest.as_ref().iter().map(|byte| format!("{byte:02x}")).collect()
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::PermissionsExt as _;

    use super::*;

    fn record(history: &mut History, text: &str) -> Version {
        history.record(text, &Author::new("alice"), "a summary", UnixMicros(7))
    }

    #[test]
    fn versions_are_kept_privately_and_found_again() {
        let folder = tempfile::tempdir().unwrap();
        let mut history = History::open(folder.path());
        let first = record(&mut history, "{\n\"apikey\": \"one\"\n}");
        let second = record(&mut history, "{\n\"apikey\": \"two\",\n\"x\": 1\n}");
        assert_eq!((first.id, first.added, first.removed), (1, 3, 0));
        assert_eq!((second.id, second.added, second.removed), (2, 2, 1));
        assert_eq!(second.secrets, ["apikey"]);
        let third = record(&mut history, "{\n\"apikey\": \"three\",\n\"x\": 1\n}");
        assert_eq!(
            (third.added, third.removed, third.hash == second.hash),
            (0, 0, true)
        );
        assert_ne!(third.etag(), second.etag(), "only a secret differs");

        let again = History::open(folder.path());
        assert_eq!(again.list().map(|v| v.id).collect::<Vec<_>>(), [3, 2, 1]);
        assert_eq!(again.find(2), Some((&second, Some(&first))));
        assert_eq!(again.find(4), None);
        assert_eq!(again.text(1).unwrap(), "{\n\"apikey\": \"one\"\n}");
        let mode = |path: &Path| fs::metadata(path).unwrap().permissions().mode() & 0o777;
        assert_eq!(mode(&again.folder), 0o700);
        assert_eq!(mode(&again.path(1)), 0o600);
    }

    #[test]
    fn only_so_many_are_kept_and_numbers_never_come_twice() {
        let folder = tempfile::tempdir().unwrap();
        let mut history = History::open(folder.path());
        for number in 0..VERSIONS_MAX + 5 {
            record(&mut history, &format!("{{\"n\": {number}}}"));
        }
        assert_eq!(history.list().count(), VERSIONS_MAX);
        assert_eq!(fs::read_dir(&history.folder).unwrap().count(), VERSIONS_MAX);
        assert_eq!(history.list().last().unwrap().id, 6);
        let large = format!("{{\"x\": \"{}\"}}", "y".repeat(3 << 20));
        for _ in 0..8 {
            record(&mut history, &large);
        }
        assert_eq!(history.list().count(), 5, "16 MiB");
        for entry in fs::read_dir(&history.folder).unwrap() {
            fs::write(entry.unwrap().path(), "damaged").unwrap();
        }
        let mut history = History::open(folder.path());
        assert_eq!(history.list().count(), 0);
        assert_eq!(record(&mut history, "{}").id, 214);
    }
}
