//! The configuration document: HuJSON text in, checked values and messages with positions out.
//!
//! Usable without a running control plane: [`check`] is what `sluice check` shows. No message, error or `Debug` output
//! holds a secret. The environment is an argument; files are read only where the document names them (`${file:…}`,
//! `tls.ca_file`).

pub(crate) mod amount;
mod base_url;
mod captures;
mod default;
pub(crate) mod domain;
mod endpoint;
mod exporters;
mod grants;
mod guardrails;
mod header;
mod hooks;
mod hujson;
mod identity;
mod keys;
mod later;
mod limits;
mod listeners;
mod message;
mod nearest;
mod pem;
mod policy;
mod prices;
mod providers;
mod quotas;
mod reader;
#[cfg(test)]
mod redact;
mod schema;
mod secret;
mod units;
mod validate;

use std::cell::RefCell;
use std::collections::{BTreeSet, HashMap};
use std::path::{Path, PathBuf};

pub use default::default_document;
pub(crate) use hujson::{DOCUMENT_BYTES_MAX, parse as parse_hujson};
pub use message::Message;
pub use policy::{PolicyCapabilities, capabilities_of_cap_map, capabilities_of_policy};
#[cfg(test)]
pub(crate) use redact::secrets_in;
pub use schema::schema;

use domain::Document;
use message::Messages;

/// What a check found.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Report {
    /// The document cannot be used as long as there is one of these.
    pub errors: Vec<Message>,
    /// The part concerned is left out or has its default; the rest applies.
    pub warnings: Vec<Message>,
    /// Nothing wrong: parts that a later version acts on.
    pub notices: Vec<Message>,
    /// One line for people: what the document holds.
    pub summary: String,
    /// Every file that the document names, whether it could be read or not, sorted: keys, certificates, revocation lists.
    /// A change of one of them is a change of the document.
    pub files: Vec<PathBuf>,
}

impl Report {
    /// One line a message, errors first, in the form that compilers use, and a line that sums up. `name` is what the
    /// document is called.
    #[must_use]
    pub fn lines(&self, name: &str) -> Vec<String> {
        let kinds = [
            ("error", &self.errors),
            ("warning", &self.warnings),
            ("note", &self.notices),
        ];
        let mut out: Vec<String> = kinds
            .iter()
            .flat_map(|(kind, list)| {
                list.iter()
                    .map(move |message| format!("{kind}: {name}:{message}"))
            })
            .collect();
        let count =
            |number: usize, one: &str| format!("{number} {one}{}", if number == 1 { "" } else { "s" });
        out.push(format!(
            "{name}: {} ({}, {})",
            self.summary,
            count(self.errors.len(), "error"),
            count(self.warnings.len(), "warning")
        ));
        out
    }

    /// Whether there is nothing to mend: no error and no warning.
    #[must_use]
    pub const fn clean(&self) -> bool {
        self.errors.is_empty() && self.warnings.is_empty()
    }

    /// Whether the document can be used.
    #[must_use]
    pub const fn usable(&self) -> bool {
        self.errors.is_empty()
    }
}

/// Checks a document; paths in it are relative to the working directory.
#[must_use]
pub fn check(text: &str, environment: &HashMap<String, String>) -> Report {
    load(text, environment, None).1
}

/// Checks a document; paths in it are relative to `folder`, the one that the document's file lies in.
#[must_use]
pub fn check_in(text: &str, environment: &HashMap<String, String>, folder: &Path) -> Report {
    load(text, environment, Some(folder)).1
}

/// The addresses that a document listens on, for a line that says where; the default if it does not parse. Secrets that
/// cannot be resolved do not matter here.
#[must_use]
pub fn listen_addresses(text: &str, environment: &HashMap<String, String>) -> Vec<String> {
    let files = RefCell::default();
    let secrets = secret::Sources {
        environment,
        folder: None,
        files: &files,
    };
    let listeners = validate::read(text, secrets, &mut Messages::new(text))
        .map_or_else(listeners::default, |document| document.listeners);
    listeners.into_iter().map(|listener| listener.address).collect()
}

/// Reads a document; `None` if the report has errors.
pub(crate) fn load(
    text: &str,
    environment: &HashMap<String, String>,
    folder: Option<&Path>,
) -> (Option<Document>, Report) {
    // Some editors write a byte-order mark; it is no part of the document.
    let text = text.strip_prefix('\u{feff}').unwrap_or(text);
    let mut messages = Messages::new(text);
    let files: RefCell<BTreeSet<PathBuf>> = RefCell::default();
    let secrets = secret::Sources {
        environment,
        folder,
        files: &files,
    };
    let document = validate::read(text, secrets, &mut messages);
    let mut report = Report {
        errors: messages.errors,
        warnings: messages.warnings,
        notices: messages.notices,
        summary: String::new(),
        files: files.into_inner().into_iter().collect(),
    };
    for list in [&mut report.errors, &mut report.warnings, &mut report.notices] {
        list.sort_by_key(|message| (message.line, message.column));
    }
    let document = document.filter(|_| report.usable()).map(|mut document| {
        document.files.clone_from(&report.files);
        document
    });
    report.summary = document.as_ref().map_or_else(|| "not usable".to_owned(), summary);
    (document, report)
}

fn summary(document: &Document) -> String {
    let count = |number: usize, one: &str| match number {
        1 => format!("1 {one}"),
        _ => format!("{number} {one}s"),
    };
    let enabled: Vec<&str> = document
        .providers
        .iter()
        .filter(|p| !p.disabled)
        .map(|p| p.id.as_str())
        .collect();
    let named = if enabled.is_empty() {
        String::new()
    } else {
        format!(" ({})", enabled.join(", "))
    };
    let quotas = match document.quotas.len() {
        0 => String::new(),
        number => format!(", {}", count(number, "quota")),
    };
    let watching: String = [
        (document.hooks.len(), "hook"),
        (document.guardrails.len(), "guardrail"),
        (
            document.exporters.iter().filter(|e| !e.disabled).count(),
            "exporter",
        ),
    ]
    .into_iter()
    .filter(|(number, _)| *number > 0)
    .map(|(number, one)| format!(", {}", count(number, one)))
    .collect();
    format!(
        "{}{named}, {}, {}, {}{quotas}{watching}",
        count(enabled.len(), "provider"),
        count(document.grants.len(), "grant"),
        count(document.aliases.len(), "alias").replace("aliass", "aliases"),
        count(document.listeners.len(), "listener"),
    )
}

#[cfg(test)]
mod tests;
