//! The watch on the files of a document.

use std::collections::{BTreeSet, HashSet};
use std::ffi::OsString;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use notify::{RecursiveMode, Watcher as _};
use tokio::sync::mpsc;

use super::Configuration;

/// Pause between looks at the files.
const LOOK: Duration = Duration::from_secs(1);
/// An editor's several steps are one change.
const SETTLE: Duration = Duration::from_millis(50);

impl Configuration {
    /// Watches for ever. As long as there is no file there is nothing to watch.
    pub(crate) async fn watch(self: Arc<Self>) {
        let mut file = self.file.subscribe();
        if file.wait_for(Option::is_some).await.is_err() {
            return std::future::pending().await;
        }
        let (notices, mut noticed) = mpsc::channel(1);
        let mut watching = Watching::default();
        loop {
            let files = self.files();
            if files != watching.files {
                watching = Watching::start(files, notices.clone());
            }
            tokio::select! {
                Some(()) = noticed.recv() => tokio::time::sleep(SETTLE).await,
                () = tokio::time::sleep(LOOK) => {}
            }
            let this = self.clone();
            let looked = tokio::task::spawn_blocking(move || {
                // A notice may be about a neighbour in the folder, and mostly nothing has happened at all.
                if this.anything_new() {
                    this.look();
                }
            });
            if looked.await.is_err() {
                tracing::error!("looking at the document failed");
            }
        }
    }

    fn files(&self) -> Vec<PathBuf> {
        self.turn().stamps.files()
    }

    fn anything_new(&self) -> bool {
        self.turn().stamps.are_stale()
    }
}

/// A watch on the folders of files: a file itself is replaced, and with it what a watch on it would hold on to.
#[derive(Default)]
struct Watching {
    files: Vec<PathBuf>,
    /// Ends with this. A folder that cannot be watched is looked at all the same.
    _watcher: Option<notify::RecommendedWatcher>,
}

impl Watching {
    fn start(files: Vec<PathBuf>, notices: mpsc::Sender<()>) -> Self {
        let names: HashSet<OsString> = files
            .iter()
            .filter_map(|file| file.file_name().map(ToOwned::to_owned))
            .collect();
        let told = move |event: notify::Result<notify::Event>| {
            // An unreadable notice may be about anything. A busy neighbour (the store) is none of ours.
            let ours = event.map_or(true, |event| {
                let mut touched = event.paths.iter().filter_map(|path| path.file_name());
                touched.any(|name| names.contains(name))
            });
            if ours {
                // A full channel already holds a notice.
                let _ = notices.try_send(());
            }
        };
        let mut watcher = notify::recommended_watcher(told).ok();
        let folders: BTreeSet<&Path> = files
            .iter()
            .filter_map(|file| file.parent())
            .map(|folder| {
                if folder.as_os_str().is_empty() {
                    Path::new(".")
                } else {
                    folder
                }
            })
            .collect();
        for folder in folders {
            if let Some(watcher) = &mut watcher {
                let _ = watcher.watch(folder, RecursiveMode::NonRecursive);
            }
        }
        Self {
            files,
            _watcher: watcher,
        }
    }
}
