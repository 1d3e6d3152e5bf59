//! Reloading: the document is read again when its file changes; one that cannot be used changes nothing.
//!
//! Changes are noticed by the file system's own notices about the folder (editors replace files instead of writing
//! them) and, because those get lost on some file systems, by a look at the file every second.

use std::collections::HashMap;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, SystemTime};

use notify::{RecursiveMode, Watcher as _};
use tokio::sync::mpsc;

use crate::config::domain::Document;
use crate::config::{self, Report, default_document};
use crate::identity::Identities;
use crate::link::{Link, chain};
use crate::publish::Publisher;
use crate::{Error, files};

/// The last document that was used, for a start with a broken one.
const KEPT: &str = "config.last.hujson";
/// Pause between looks at the file.
const LOOK: Duration = Duration::from_secs(1);
/// An editor's several steps are one change.
const SETTLE: Duration = Duration::from_millis(50);

/// Where the document comes from.
#[derive(Debug, Clone)]
pub(crate) struct Source {
    pub(crate) file: Option<PathBuf>,
    pub(crate) mock_url: Option<String>,
    pub(crate) environment: HashMap<String, String>,
    /// Address that replaces the document's listeners.
    pub(crate) listen: Option<std::net::SocketAddr>,
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

    fn accept(&self, report: Report) {
        let mut view = self.view.lock().unwrap_or_else(PoisonError::into_inner);
        view.report = report;
        view.rejected = None;
    }

    fn reject(&self, report: Report) {
        self.view.lock().unwrap_or_else(PoisonError::into_inner).rejected = Some(report);
    }
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

    fn text(&self) -> std::io::Result<String> {
        match &self.file {
            Some(file) => String::from_utf8(read_bytes(file)?)
                .map_err(|_| std::io::Error::new(std::io::ErrorKind::InvalidData, "is not UTF-8")),
            None => Ok(default_document(&self.environment, self.mock_url.as_deref())),
        }
    }

    /// Checks a text.
    fn load(&self, text: String) -> Result<Loaded, Report> {
        let folder = self.file.as_deref().and_then(Path::parent);
        let (document, report) = config::load(&text, &self.environment, folder);
        let Some(mut document) = document else {
            return Err(report);
        };
        if let Some(address) = self.listen {
            document.listeners = vec![sluice_shared::snapshot::Listener {
                address: address.to_string(),
                llm: true,
                admin: true,
                ..sluice_shared::snapshot::Listener::default()
            }];
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

/// What a change acts on.
pub(crate) struct Reload {
    pub(crate) source: Source,
    pub(crate) publisher: Arc<Publisher>,
    pub(crate) identities: Arc<Identities>,
    pub(crate) link: Arc<Link>,
    pub(crate) state: Arc<ConfigState>,
    /// The text that the control plane started with: what came since is a change.
    pub(crate) seen: String,
}

impl Reload {
    /// Watches for ever. Without a file there is nothing to watch.
    pub(crate) async fn watch(self) {
        let Some(file) = self.source.file.clone() else {
            return std::future::pending().await;
        };
        let (notices, mut noticed) = mpsc::channel(1);
        let _watcher = watcher(&file, notices);
        let mut seen = Some(self.seen.clone());
        let mut stamp = None;
        loop {
            // A lost watcher closes the channel: then the clock alone drives the loop.
            tokio::select! {
                Some(()) = noticed.recv() => tokio::time::sleep(SETTLE).await,
                () = tokio::time::sleep(LOOK) => {
                    let now = stamp_of(&file);
                    if now == stamp {
                        continue;
                    }
                }
            }
            stamp = stamp_of(&file);
            match self.source.text() {
                // While an editor replaces the file it may be missing or empty for a moment.
                Err(error) => {
                    if seen.take().is_some() {
                        self.unreadable(&error);
                    }
                }
                Ok(text) if seen.as_ref() == Some(&text) => {}
                Ok(text) => {
                    seen = Some(text.clone());
                    self.apply(text);
                }
            }
        }
    }

    fn unreadable(&self, error: &std::io::Error) {
        tracing::error!(%error, "cannot read {}; the document in use stays", self.source.name());
        let message = config::Message {
            path: String::new(),
            line: 1,
            column: 1,
            text: format!("cannot be read: {error}"),
        };
        self.state.reject(Report {
            errors: vec![message],
            summary: "not usable".into(),
            ..Report::default()
        });
    }

    /// Takes a new text over, or reports why not.
    pub(crate) fn apply(&self, text: String) {
        let loaded = match self.source.load(text) {
            Ok(loaded) => loaded,
            Err(report) => {
                self.source.log(&report);
                tracing::error!("the new document cannot be used; the one in use stays");
                self.state.reject(report);
                return;
            }
        };
        self.source.log(&loaded.report);
        let epoch = match self.publisher.publish(loaded.document.clone()) {
            Ok(epoch) => epoch,
            Err(error) => {
                tracing::error!(error = %chain(&error), "the new document was not published; the one in use stays");
                let text = format!("was not published: {}", chain(&error));
                let message = config::Message {
                    path: String::new(),
                    line: 1,
                    column: 1,
                    text,
                };
                self.state.reject(Report {
                    errors: vec![message],
                    ..loaded.report
                });
                return;
            }
        };
        let changed = self.identities.replace(&loaded.document.identity);
        self.link.revoke(changed);
        self.source.keep(&loaded);
        tracing::info!(epoch = epoch.0, "new document in use: {}", loaded.report.summary);
        self.state.accept(loaded.report);
    }
}

/// Size and time of the last change; what a look compares.
fn stamp_of(file: &Path) -> Option<(u64, SystemTime, u64)> {
    use std::os::unix::fs::MetadataExt as _;
    let metadata = std::fs::metadata(file).ok()?;
    Some((metadata.len(), metadata.modified().ok()?, metadata.ino()))
}

/// Watches the folder: the file itself is replaced, and with it what a watch on it would hold on to.
fn watcher(file: &Path, notices: mpsc::Sender<()>) -> Option<notify::RecommendedWatcher> {
    let name = file.file_name()?.to_owned();
    let folder = file
        .parent()
        .filter(|folder| !folder.as_os_str().is_empty())
        .unwrap_or_else(|| Path::new("."));
    let told = move |event: notify::Result<notify::Event>| {
        // An unreadable notice may be about anything; a full channel already holds one.
        let ours = event.map_or(true, |event| {
            event.paths.iter().any(|path| path.file_name() == Some(&name))
        });
        if ours {
            let _ = notices.try_send(());
        }
    };
    let mut watcher = notify::recommended_watcher(told).ok()?;
    watcher.watch(folder, RecursiveMode::NonRecursive).ok()?;
    Some(watcher)
}

#[cfg(test)]
mod tests;
