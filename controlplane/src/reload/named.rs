//! The files that a document depends on: its own, and those that it names.

use std::collections::BTreeMap;
use std::os::unix::fs::MetadataExt as _;
use std::path::{Path, PathBuf};
use std::time::SystemTime;

use jsonc_parser::{CollectOptions, ParseOptions, ast, parse_to_ast};

/// Files that are looked at; a document with more is reloaded when it changes itself.
const NAMED_MAX: usize = 1_024;

/// How a file stood; `None` if it was not there.
type Stamp = Option<(u64, SystemTime, u64)>;

/// How all of them stood at the last look.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(super) struct Stamps {
    file: Option<(PathBuf, Stamp)>,
    named: BTreeMap<PathBuf, Stamp>,
}

impl Stamps {
    /// How the document's file stands; to be asked before it is read, so that no change falls between.
    pub(super) fn of(file: Option<&Path>) -> Self {
        Self {
            file: file.map(|file| (file.to_owned(), stamp(file))),
            named: BTreeMap::new(),
        }
    }

    /// Adds what the texts of a document in `folder` name; to be asked before those files are read.
    pub(super) fn naming(self, folder: Option<&Path>, texts: &[&str]) -> Self {
        let paths = texts.iter().flat_map(|text| named(text));
        Self {
            file: self.file,
            named: paths
                .map(|path| folder.map_or_else(|| PathBuf::from(&path), |folder| folder.join(&path)))
                .take(NAMED_MAX)
                .map(|path| {
                    let stamp = stamp(&path);
                    (path, stamp)
                })
                .collect(),
        }
    }

    /// Adds files that are known by their paths.
    pub(super) fn and(mut self, files: &[PathBuf]) -> Self {
        for file in files {
            if self.named.len() < NAMED_MAX && !self.named.contains_key(file) {
                self.named.insert(file.clone(), stamp(file));
            }
        }
        self
    }

    /// The next look shall read the file, whatever its stamp says.
    pub(super) fn unread(self, file: &Path) -> Self {
        Self {
            file: Some((file.to_owned(), None)),
            named: self.named,
        }
    }

    /// Whether a file that both know stands otherwise.
    pub(super) fn named_differ(&self, before: &Self) -> bool {
        let known =
            |(path, stamp): (&PathBuf, &Stamp)| before.named.get(path).is_some_and(|old| old != stamp);
        self.named.iter().any(known)
    }

    /// Whether anything has changed since.
    pub(super) fn are_stale(&self) -> bool {
        let all = self
            .file
            .iter()
            .map(|(path, stamp)| (path, stamp))
            .chain(&self.named);
        all.into_iter().any(|(path, before)| stamp(path) != *before)
    }

    /// Every file that is looked at.
    pub(super) fn files(&self) -> Vec<PathBuf> {
        let all = self.file.iter().map(|(path, _)| path).chain(self.named.keys());
        all.cloned().collect()
    }
}

fn stamp(path: &Path) -> Stamp {
    let metadata = std::fs::metadata(path).ok()?;
    Some((metadata.len(), metadata.modified().ok()?, metadata.ino()))
}

/// Paths in a text: `${file:…}`, and strings behind keys that end in `_file`. A text that does not parse names none.
fn named(text: &str) -> Vec<String> {
    fn walk(value: &ast::Value<'_>, file: bool, out: &mut Vec<String>) {
        match value {
            ast::Value::Object(object) => {
                for property in &object.properties {
                    walk(&property.value, property.name.as_str().ends_with("_file"), out);
                }
            }
            ast::Value::Array(array) => array.elements.iter().for_each(|item| walk(item, file, out)),
            ast::Value::StringLit(text) => {
                let mut rest: &str = &text.value;
                if file && !rest.is_empty() {
                    out.push(rest.to_owned());
                }
                while let Some((_, from)) = rest.split_once("${file:") {
                    let Some((path, after)) = from.split_once('}') else {
                        return;
                    };
                    out.push(path.to_owned());
                    rest = after;
                }
            }
            ast::Value::NumberLit(_) | ast::Value::BooleanLit(_) | ast::Value::NullKeyword(_) => {}
        }
    }
    let mut out = Vec::new();
    let parsed = parse_to_ast(text, &CollectOptions::default(), &ParseOptions::default());
    if let Some(root) = parsed.ok().and_then(|parsed| parsed.value) {
        walk(&root, false, &mut out);
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn files_are_found_in_values_and_behind_their_keys() {
        let check = |text: &str, expected: &[&str]| assert_eq!(named(text), expected, "{text}");
        check(r#"{"apikey": "${file:a}${file:b} ${env:c}"}"#, &["a", "b"]);
        check(
            r#"{"tls": {"ca_file": "x.pem", "cert_file": "y.pem"}}"#,
            &["x.pem", "y.pem"],
        );
        check(r#"{"client_ca_file": ["p", "q"]}"#, &["p", "q"]);
        check(r#"{"name": "file", "file_name": "x"}"#, &[]);
        check(r#"{"apikey": "${file:open"}"#, &[]);
        check("{oops", &[]);
        check("", &[]);
    }
}
