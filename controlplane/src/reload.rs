//! The document in use, and how another takes its place: because its file changed, because a file that it names
//! changed, or because somebody saved it through the API. One that cannot be used changes nothing.
//!
//! All three ways end in [`Configuration::take`], one at a time. A save writes the file before it takes the document into
//! use and remembers the text as seen, so that the watch on the file finds nothing new.
//!
//! Changes of files are noticed by the file system's own notices about their folders (editors replace files instead of
//! writing them) and, because those get lost on some file systems, by a look at the files every second.

pub(crate) mod diff;
pub(crate) mod history;
mod named;
mod paths;
pub(crate) mod redact;
mod save;
mod watch;
mod write;

use std::collections::HashMap;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{SystemTime, UNIX_EPOCH};

use sluice_shared::ids::Epoch;
use sluice_shared::snapshot::Listener;
use sluice_shared::units::UnixMicros;
use tokio::sync::watch as channel;

use crate::audit::{Audit, action};
use crate::config::domain::Document;
use crate::config::{self, Report, default_document};
use crate::identity::Identities;
use crate::ledger::Ledger;
use crate::link::{Link, chain};
use crate::publish::{PublishError, Publisher};
use crate::{Error, files};
use history::{Author, History, Version};
use named::Stamps;

pub(crate) use save::{IfMatch, Save, SaveError, Saved};

/// What is saved where no file was named, in the data directory.
pub const SAVED: &str = "config.hujson";

/// The last document that was used, for a start with a broken one.
const KEPT: &str = "config.last.hujson";

/// Where the document comes from.
#[derive(Debug, Clone)]
pub(crate) struct Source {
    pub(crate) file: Option<PathBuf>,
    pub(crate) mock_url: Option<String>,
    pub(crate) environment: HashMap<String, String>,
    /// Addresses that take the place of the document's; empty: the document's own.
    pub(crate) listen: Vec<SocketAddr>,
    pub(crate) data: PathBuf,
}

/// How the configuration stands, for `/api/health`.
#[derive(Debug)]
pub(crate) struct ConfigState {
    view: Mutex<View>,
}

/// A copy of it.
#[derive(Debug, Clone)]
pub(crate) struct View {
    /// Name of the file, or that there is none.
    pub(crate) source: String,
    /// About the document in use.
    pub(crate) report: Report,
    /// About the newest one, if it could not be used.
    pub(crate) rejected: Option<Report>,
}

impl ConfigState {
    pub(crate) const fn new(source: String, report: Report, rejected: Option<Report>) -> Self {
        Self {
            view: Mutex::new(View {
                source,
                report,
                rejected,
            }),
        }
    }

    pub(crate) fn view(&self) -> View {
        self.view.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// The document has a file from now on.
    fn moved(&self, source: String) {
        self.view.lock().unwrap_or_else(PoisonError::into_inner).source = source;
    }

    fn accept(&self, report: Report) {
        let mut view = self.view.lock().unwrap_or_else(PoisonError::into_inner);
        view.report = report;
        view.rejected = None;
    }

    fn reject(&self, report: Report) {
        self.view.lock().unwrap_or_else(PoisonError::into_inner).rejected = Some(report);
    }
}

/// The document's listeners at other addresses. As many addresses as listeners: each takes the place of its own. Otherwise
/// all are as the first listener is, and serve everything; TLS is never lost by this, and headers of `tailscale serve` are
/// believed on loopback only.
fn listeners_at(addresses: &[SocketAddr], listeners: &[Listener]) -> Vec<Listener> {
    let same_number = addresses.len() == listeners.len();
    let at = |(index, address): (usize, &SocketAddr)| {
        let mut listener = match listeners.get(index).filter(|_| same_number) {
            Some(own) => own.clone(),
            None => Listener {
                llm: true,
                admin: true,
                ..listeners.first().cloned().unwrap_or_default()
            },
        };
        listener.address = address.to_string();
        listener.serve_headers &= address.ip().is_loopback();
        listener
    };
    addresses.iter().enumerate().map(at).collect()
}

/// A document that can be used.
pub(crate) struct Loaded {
    pub(crate) document: Arc<Document>,
    pub(crate) report: Report,
    pub(crate) text: String,
}

/// What a control plane starts with.
pub(crate) struct First {
    pub(crate) loaded: Loaded,
    /// About the present document, if an earlier one had to be taken.
    pub(crate) rejected: Option<Report>,
    /// The present document, usable or not.
    pub(crate) seen: String,
}

impl Source {
    /// What messages call the document.
    pub(crate) fn name(&self) -> String {
        self.file.as_ref().map_or_else(
            || "built-in document".to_owned(),
            |file| file.display().to_string(),
        )
    }

    /// Where a save goes.
    pub(crate) fn target(&self) -> PathBuf {
        self.file.clone().unwrap_or_else(|| self.data.join(SAVED))
    }

    /// Takes a document that was saved earlier where none was named.
    pub(crate) fn or_saved(mut self) -> Self {
        let saved = self.data.join(SAVED);
        match &self.file {
            None if saved.exists() => {
                tracing::info!("{} is used: it was saved through the API", saved.display());
                self.file = Some(saved);
            }
            Some(file) if saved.exists() && file.canonicalize().ok() != saved.canonicalize().ok() => {
                tracing::warn!("{} is not used: {} is named", saved.display(), file.display());
            }
            _ => {}
        }
        self
    }

    fn text(&self) -> std::io::Result<String> {
        match &self.file {
            Some(file) => String::from_utf8(read_bytes(file)?)
                .map_err(|_| std::io::Error::new(std::io::ErrorKind::InvalidData, "is not UTF-8")),
            None => Ok(default_document(&self.environment, self.mock_url.as_deref())),
        }
    }

    /// Checks a text.
    fn load(&self, text: String) -> Result<Loaded, Report> {
        self.load_in(self.folder(), text)
    }

    /// Where relative paths in the document start.
    fn folder(&self) -> Option<&Path> {
        self.file.as_deref().and_then(Path::parent)
    }

    fn load_in(&self, folder: Option<&Path>, text: String) -> Result<Loaded, Report> {
        let (document, report) = config::load(&text, &self.environment, folder);
        let Some(mut document) = document else {
            return Err(report);
        };
        if !self.listen.is_empty() {
            document.listeners = listeners_at(&self.listen, &document.listeners);
        }
        Ok(Loaded {
            document: Arc::new(document),
            report,
            text,
        })
    }

    /// The document to start with: the present one, or if that cannot be used, the last that was.
    pub(crate) fn first(&self) -> Result<First, Error> {
        let seen = self.text().map_err(|error| Error::ConfigRead {
            name: self.name(),
            error,
        })?;
        let report = match self.load(seen.clone()) {
            Ok(loaded) => {
                return Ok(First {
                    loaded,
                    rejected: None,
                    seen,
                });
            }
            Err(report) => report,
        };
        self.log(&report);
        let kept = std::fs::read_to_string(self.data.join(KEPT))
            .ok()
            .filter(|_| self.file.is_some());
        match kept.map(|text| self.load(text)) {
            Some(Ok(loaded)) => {
                tracing::error!("the document cannot be used; the last one that could is");
                Ok(First {
                    loaded,
                    rejected: Some(report),
                    seen,
                })
            }
            Some(Err(_)) | None => Err(Error::Config {
                name: self.name(),
                report: Box::new(report),
            }),
        }
    }

    /// Remembers a document that is in use.
    pub(crate) fn keep(&self, loaded: &Loaded) {
        if self.file.is_some()
            && let Err(error) = files::replace(&self.data.join(KEPT), loaded.text.as_bytes())
        {
            tracing::warn!(%error, "cannot keep a copy of the document");
        }
    }

    /// Writes a report to the log, a line a message.
    pub(crate) fn log(&self, report: &Report) {
        let name = self.name();
        for message in &report.errors {
            tracing::error!("{name}:{message}");
        }
        for message in &report.warnings {
            tracing::warn!("{name}:{message}");
        }
        for message in &report.notices {
            tracing::info!("{name}:{message}");
        }
    }
}

fn read_bytes(file: &Path) -> std::io::Result<Vec<u8>> {
    use std::io::Read as _;
    let mut bytes = Vec::new();
    // One byte more than a document may have: the parser refuses it with its own words.
    let limit = config::DOCUMENT_BYTES_MAX as u64 + 1;
    std::fs::File::open(file)?.take(limit).read_to_end(&mut bytes)?;
    Ok(bytes)
}

/// The document in use.
#[derive(Debug)]
pub(crate) struct Present {
    pub(crate) text: String,
    pub(crate) document: Arc<Document>,
    pub(crate) version: Version,
    pub(crate) epoch: Epoch,
}

/// The configuration of a control plane.
pub(crate) struct Configuration {
    publisher: Arc<Publisher>,
    identities: Arc<Identities>,
    ledger: Arc<Ledger>,
    link: Arc<Link>,
    audit: Arc<Audit>,
    state: Arc<ConfigState>,
    /// Its file, once there is one.
    file: channel::Sender<Option<PathBuf>>,
    /// The document in use, for whoever has to do something when it changes.
    documents: channel::Sender<Arc<Document>>,
    turn: Mutex<Turn>,
}

/// Who holds this may change the document.
struct Turn {
    source: Source,
    /// The text that was read last, usable or not; `None` if it could not be read.
    seen: Option<String>,
    stamps: Stamps,
    present: Arc<Present>,
    history: History,
}

/// A part of the program that a new document concerns.
pub(crate) struct Parts {
    pub(crate) publisher: Arc<Publisher>,
    pub(crate) identities: Arc<Identities>,
    pub(crate) ledger: Arc<Ledger>,
    pub(crate) link: Arc<Link>,
    pub(crate) audit: Arc<Audit>,
    pub(crate) state: Arc<ConfigState>,
}

impl Configuration {
    /// Starts with a document that is published already.
    pub(crate) fn new(source: Source, loaded: Loaded, seen: String, epoch: Epoch, parts: Parts) -> Arc<Self> {
        let mut history = History::open(&source.data);
        let author = if source.file.is_some() {
            history::FILE
        } else {
            history::BUILT_IN
        };
        let kept = history
            .newest()
            .filter(|version| history.text(version.id).as_ref() == Some(&loaded.text))
            .cloned();
        let version = kept.unwrap_or_else(|| {
            let before = history.newest().and_then(|version| history.text(version.id));
            let version = history.record(&loaded.text, &Author::new(author), &loaded.report.summary, now());
            // It is in use already: whoever changed the file did so while nobody looked.
            let detail = change(version.id, &version.summary, before.as_deref(), &loaded.text);
            parts
                .audit
                .note(author, "", action::CONFIG_FILE, &source.name(), &detail);
            version
        });
        // What was read a moment ago may have changed since: the first look reads it again.
        let mut stamps = Stamps::default()
            .naming(source.folder(), &[&loaded.text, &seen])
            .and(&loaded.document.files);
        if let Some(file) = &source.file {
            stamps = stamps.unread(file);
        }
        let present = Arc::new(Present {
            text: loaded.text,
            document: loaded.document,
            version,
            epoch,
        });
        Arc::new(Self {
            publisher: parts.publisher,
            identities: parts.identities,
            ledger: parts.ledger,
            link: parts.link,
            audit: parts.audit,
            state: parts.state,
            file: channel::Sender::new(source.file.clone()),
            documents: channel::Sender::new(present.document.clone()),
            turn: Mutex::new(Turn {
                source,
                seen: Some(seen),
                stamps,
                present,
                history,
            }),
        })
    }

    /// The document in use.
    pub(crate) fn present(&self) -> Arc<Present> {
        self.turn().present.clone()
    }

    /// The document in use, and each that takes its place.
    pub(crate) fn documents(&self) -> channel::Receiver<Arc<Document>> {
        self.documents.subscribe()
    }

    /// Looks into the history.
    pub(crate) fn history<T>(&self, look: impl FnOnce(&History) -> T) -> T {
        look(&self.turn().history)
    }

    /// Where a save goes: the document's file, or the one that it will have.
    pub(crate) fn target(&self) -> PathBuf {
        self.turn().source.target()
    }

    fn turn(&self) -> MutexGuard<'_, Turn> {
        self.turn.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Looks at the files, and takes over what changed.
    pub(crate) fn look(&self) {
        self.look_in(&mut self.turn());
    }

    fn look_in(&self, turn: &mut Turn) {
        if turn.source.file.is_none() {
            return;
        }
        let stamps = Stamps::of(turn.source.file.as_deref());
        let folder = turn.source.folder();
        let text = match turn.source.text() {
            Ok(text) => text,
            // While an editor replaces the file it may be missing or empty for a moment.
            Err(error) => {
                if turn.seen.take().is_some() {
                    self.unreadable(&turn.source, &error);
                }
                turn.stamps = stamps.naming(folder, &[&turn.present.text]);
                return;
            }
        };
        let stamps = stamps
            .naming(folder, &[&turn.present.text, &text])
            .and(&turn.present.document.files);
        let named_changed = stamps.named_differ(&turn.stamps);
        turn.stamps = stamps;
        if turn.seen.as_ref() == Some(&text) && !named_changed {
            return;
        }
        turn.seen = Some(text.clone());
        match turn.source.load(text) {
            Ok(loaded) => {
                let same = turn.present.text == loaded.text && turn.present.document == loaded.document;
                if same {
                    // Back to what is in use: nothing to publish, but nothing to complain about any more.
                    self.state.accept(loaded.report);
                    return;
                }
                turn.source.log(&loaded.report);
                let before = turn.present.clone();
                // What could not be published was said; the next change tries again.
                if let Ok(present) = self.take(turn, loaded, &Author::new(history::FILE)) {
                    let version = &present.version;
                    let detail = change(version.id, &version.summary, Some(&before.text), &present.text);
                    let document = turn.source.name();
                    self.audit
                        .note(history::FILE, "", action::CONFIG_FILE, &document, &detail);
                }
                turn.stamps = std::mem::take(&mut turn.stamps).and(&turn.present.document.files);
            }
            Err(report) => {
                turn.source.log(&report);
                tracing::error!("the new document cannot be used; the one in use stays");
                self.state.reject(report);
            }
        }
    }

    fn unreadable(&self, source: &Source, error: &std::io::Error) {
        tracing::error!(%error, "cannot read {}; the document in use stays", source.name());
        self.state.reject(Report {
            errors: vec![whole_document(format!("cannot be read: {error}"))],
            summary: "not usable".into(),
            ..Report::default()
        });
    }

    /// Takes a document into use: published, kept, in the history, and told to whom it concerns.
    fn take(&self, turn: &mut Turn, loaded: Loaded, author: &Author) -> Result<Arc<Present>, PublishError> {
        let quotas = || {
            let current = self.publisher.current();
            current.map_or_else(Vec::new, |published| published.snapshot.quotas.clone())
        };
        let publish = || self.publisher.publish(loaded.document.clone());
        let epoch = match self.ledger.publishing(quotas, publish) {
            Ok(epoch) => epoch,
            Err(error) => {
                let said = chain(&error);
                tracing::error!(error = %said, "the new document was not published; the one in use stays");
                self.state.reject(Report {
                    errors: vec![whole_document(format!("was not published: {said}"))],
                    ..loaded.report
                });
                return Err(error);
            }
        };
        let changed = self.identities.replace(&loaded.document.identity);
        self.link.revoke(changed);
        turn.source.keep(&loaded);
        let version = if turn.present.text == loaded.text {
            // Only a file that it names changed.
            turn.present.version.clone()
        } else {
            turn.history
                .record(&loaded.text, author, &loaded.report.summary, now())
        };
        tracing::info!(
            epoch = epoch.0,
            version = version.id,
            author = %author.name.escape_debug(),
            "new document in use: {}",
            loaded.report.summary
        );
        self.state.accept(loaded.report);
        turn.present = Arc::new(Present {
            text: loaded.text,
            document: loaded.document,
            version,
            epoch,
        });
        self.documents.send_replace(turn.present.document.clone());
        Ok(turn.present.clone())
    }
}

/// What the audit says about a change: never values.
fn change(version: u64, summary: &str, before: Option<&str>, text: &str) -> serde_json::Value {
    let (paths, more) = paths::changed(before.unwrap_or_default(), text);
    serde_json::json!({ "version": version, "summary": summary, "changed": paths, "changed_more": more })
}

fn whole_document(text: String) -> config::Message {
    config::Message {
        path: String::new(),
        line: 1,
        column: 1,
        text,
    }
}

/// The time of day.
pub(crate) fn now() -> UnixMicros {
    let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    UnixMicros(u64::try_from(since.as_micros()).unwrap_or(u64::MAX))
}

#[cfg(test)]
mod tests;
