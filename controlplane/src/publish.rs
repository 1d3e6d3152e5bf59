//! Publishing: each new configuration gets the next epoch, is sealed, kept in the data directory and handed to every
//! connected data plane.
//!
//! The epoch is written down before a snapshot with it can be seen by anybody, so that it never comes twice, whatever
//! is killed when. `snapshot.bin` lets a data plane start while no control plane runs.

use std::io;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};

use rkyv::util::AlignedVec;
use sluice_shared::ids::Epoch;
use sluice_shared::snapshot::{self, Sealed, Snapshot};
use tokio::sync::watch;

use crate::compile::compile;
use crate::config::domain::Document;
use crate::files;

/// A snapshot ready to be handed over.
#[derive(Clone)]
pub(crate) struct Published {
    pub(crate) epoch: Epoch,
    /// Sealed bytes.
    pub(crate) bytes: Arc<[u8]>,
    pub(crate) snapshot: Arc<Snapshot>,
}

/// Why a configuration was not published; the old one stays.
#[derive(Debug, thiserror::Error)]
pub(crate) enum PublishError {
    #[error("cannot write {0}")]
    Write(PathBuf, #[source] io::Error),
    #[error("cannot serialise the snapshot")]
    Seal,
    #[error("the snapshot is larger than {} bytes", snapshot::SNAPSHOT_BYTES_MAX)]
    TooLarge,
    #[error("epochs are used up")]
    Epochs,
}

/// Owner of the epoch.
pub(crate) struct Publisher {
    data: PathBuf,
    current: watch::Sender<Option<Published>>,
    state: Mutex<State>,
}

struct State {
    last: Epoch,
    document: Option<Arc<Document>>,
}

impl Publisher {
    /// Finds the last epoch that was ever used in this data directory.
    pub(crate) fn open(data: &Path) -> Self {
        let written = std::fs::read_to_string(data.join("epoch"))
            .ok()
            .and_then(|text| text.trim().parse().ok());
        let sealed = std::fs::read(data.join("snapshot.bin"))
            .ok()
            .and_then(|bytes| Sealed::open(&bytes).ok());
        let kept = sealed.map(|sealed| sealed.snapshot().epoch.0.to_native());
        let last = Epoch(written.unwrap_or(0).max(kept.unwrap_or(0)));
        Self {
            data: data.to_owned(),
            current: watch::Sender::new(None),
            state: Mutex::new(State { last, document: None }),
        }
    }

    pub(crate) fn subscribe(&self) -> watch::Receiver<Option<Published>> {
        self.current.subscribe()
    }

    pub(crate) fn current(&self) -> Option<Published> {
        self.current.borrow().clone()
    }

    /// Whether a document could be published, apart from what the disk says.
    pub(crate) fn examine(&self, document: &Document) -> Result<(), PublishError> {
        let last = self.state.lock().unwrap_or_else(PoisonError::into_inner).last;
        seal(document, last).map(|_| ())
    }

    /// Publishes a document under the next epoch.
    pub(crate) fn publish(&self, document: Arc<Document>) -> Result<Epoch, PublishError> {
        let mut state = self.state.lock().unwrap_or_else(PoisonError::into_inner);
        self.publish_after(&mut state, document)
    }

    /// A data plane runs on a later epoch than we know (the data directory was restored or replaced): go above it, so
    /// that it takes our configuration.
    pub(crate) fn exceed(&self, seen: Epoch) -> Result<(), PublishError> {
        let mut state = self.state.lock().unwrap_or_else(PoisonError::into_inner);
        if seen <= state.last {
            return Ok(());
        }
        state.last = seen;
        match state.document.clone() {
            Some(document) => self.publish_after(&mut state, document).map(|_| ()),
            None => Ok(()),
        }
    }

    fn publish_after(&self, state: &mut State, document: Arc<Document>) -> Result<Epoch, PublishError> {
        let (epoch, snapshot, bytes) = seal(&document, state.last)?;
        self.write("epoch", epoch.0.to_string().as_bytes())?;
        state.last = epoch;
        self.write("snapshot.bin", &bytes)?;
        state.document = Some(document);
        self.current.send_replace(Some(Published {
            epoch,
            bytes: Arc::from(bytes.as_slice()),
            snapshot: Arc::new(snapshot),
        }));
        Ok(epoch)
    }

    fn write(&self, name: &str, bytes: &[u8]) -> Result<(), PublishError> {
        let path = self.data.join(name);
        files::replace(&path, bytes).map_err(|error| PublishError::Write(path, error))
    }
}

/// A document as the epoch after `last`.
fn seal(document: &Document, last: Epoch) -> Result<(Epoch, Snapshot, AlignedVec), PublishError> {
    let epoch = Epoch(last.0.checked_add(1).ok_or(PublishError::Epochs)?);
    let snapshot = compile(document, epoch);
    let bytes = snapshot::seal(&snapshot).map_err(|_| PublishError::Seal)?;
    if bytes.len() > snapshot::SNAPSHOT_BYTES_MAX {
        return Err(PublishError::TooLarge);
    }
    Ok((epoch, snapshot, bytes))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn epochs_grow_across_restarts_and_losses() {
        let folder = tempfile::tempdir().unwrap();
        let document = Arc::new(Document::default());
        let publisher = Publisher::open(folder.path());
        assert_eq!(publisher.publish(document.clone()).unwrap(), Epoch(1));
        assert_eq!(publisher.publish(document.clone()).unwrap(), Epoch(2));

        let publisher = Publisher::open(folder.path());
        assert_eq!(publisher.publish(document.clone()).unwrap(), Epoch(3));
        std::fs::remove_file(folder.path().join("epoch")).unwrap();
        let publisher = Publisher::open(folder.path());
        assert_eq!(
            publisher.publish(document.clone()).unwrap(),
            Epoch(4),
            "snapshot.bin remembers too"
        );
        std::fs::write(folder.path().join("snapshot.bin"), "garbage").unwrap();
        let publisher = Publisher::open(folder.path());
        assert_eq!(publisher.publish(document).unwrap(), Epoch(5));

        publisher.exceed(Epoch(3)).unwrap();
        assert_eq!(publisher.current().unwrap().epoch, Epoch(5));
        publisher.exceed(Epoch(70)).unwrap();
        assert_eq!(publisher.current().unwrap().epoch, Epoch(71));
        assert!(publisher.exceed(Epoch(u64::MAX)).is_err());
        let kept = std::fs::read(folder.path().join("snapshot.bin")).unwrap();
        assert_eq!(
            Sealed::open(&kept).unwrap().to_owned().unwrap(),
            *publisher.current().unwrap().snapshot
        );
    }
}
