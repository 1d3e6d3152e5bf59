//! Reading captures, wherever their segment is.

use std::fs::File;
use std::io;
use std::os::unix::fs::FileExt as _;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};

use object_store::{ObjectStore, ObjectStoreExt as _};
use sluice_shared::ids::RequestId;
use tokio::sync::Semaphore;

use super::format::{ENTRY_BYTES, Entry, Part};
use super::{Head, file_name, folder};
use crate::store::captures::CaptureView;
use crate::store::{Store, StoreError};

/// Bodies that are unpacked at a time, of all who ask; the others wait.
const READERS_MAX: usize = 4;
/// Bytes of an entry that are fetched with its header: small captures are one read.
const FIRST_BYTES: u64 = 64 << 10;

/// Why a capture cannot be read.
#[derive(Debug, thiserror::Error)]
pub(crate) enum ReadError {
    /// It was purged since it was found.
    #[error("the capture is gone")]
    Gone,
    /// Its segment is in an object store and none is configured.
    #[error("the capture is in an object store, and the document names none")]
    NoBucket,
    /// The object store does not answer, or not with that.
    #[error("the object store could not answer")]
    Object(#[source] object_store::Error),
    /// The file cannot be read.
    #[error("cannot read the segment {0}")]
    File(PathBuf, #[source] io::Error),
    /// The bytes do not hold.
    #[error("the capture is damaged at {offset} of segment {segment}")]
    Damaged { segment: u64, offset: u64 },
    #[error("cannot find the capture")]
    Store(#[from] StoreError),
}

/// A bucket that segments are in.
#[derive(Clone)]
pub(crate) struct Bucket {
    pub(crate) objects: Arc<dyn ObjectStore>,
    /// Put before names, without a slash at its end.
    pub(crate) prefix: String,
}

impl Bucket {
    /// The object's name in the store's terms.
    pub(super) fn path(&self, name: &str) -> object_store::path::Path {
        let whole = if self.prefix.is_empty() {
            name.to_owned()
        } else {
            format!("{}/{name}", self.prefix)
        };
        object_store::path::Path::from(whole)
    }
}

/// Captures that are stored.
pub(crate) struct Captures {
    folder: PathBuf,
    store: Arc<dyn Store>,
    bucket: Mutex<Option<Bucket>>,
    readers: Semaphore,
}

impl Captures {
    /// The captures of a data directory.
    pub(crate) fn new(data: &Path, store: Arc<dyn Store>) -> Arc<Self> {
        Arc::new(Self {
            folder: folder(data),
            store,
            bucket: Mutex::new(None),
            readers: Semaphore::new(READERS_MAX),
        })
    }

    /// Says where segments are that are not local.
    pub(crate) fn set_bucket(&self, bucket: Option<Bucket>) {
        *self.bucket.lock().unwrap_or_else(PoisonError::into_inner) = bucket;
    }

    pub(super) fn bucket(&self) -> Option<Bucket> {
        self.bucket.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    pub(super) fn path(&self, segment: u64) -> PathBuf {
        self.folder.join(file_name(segment))
    }

    /// A capture as the index knows it, also one that is there for hooks alone; `None` if there is none, or it was purged.
    pub(crate) async fn find(&self, id: RequestId) -> Result<Option<CaptureView>, StoreError> {
        self.store.capture(id).await
    }

    /// What is known of a capture beside its bodies.
    pub(crate) async fn head(&self, capture: &CaptureView) -> Result<Head, ReadError> {
        let bytes = self.part(capture, Part::Head).await?;
        serde_json::from_slice(&bytes).map_err(|_| damaged(capture))
    }

    /// A part of a capture, unpacked; empty if it has none.
    pub(crate) async fn part(&self, capture: &CaptureView, part: Part) -> Result<Vec<u8>, ReadError> {
        // Never closed.
        let _permit = self.readers.acquire().await;
        let first = self.bytes(capture, 0, FIRST_BYTES.min(capture.length)).await?;
        let entry = Entry::decode(&first)
            .filter(|entry| entry.request_id == capture.request_id && entry.length == capture.length)
            .ok_or_else(|| damaged(capture))?;
        let wanted = entry.part(part);
        let here = usize::try_from(wanted.at)
            .ok()
            .zip(usize::try_from(wanted.at.saturating_add(wanted.stored)).ok())
            .and_then(|(from, to)| first.get(from..to));
        let unpacked = match here {
            Some(bytes) => wanted.unpack(bytes),
            None => {
                let bytes = self.bytes(capture, wanted.at, wanted.stored).await?;
                tokio::task::spawn_blocking(move || wanted.unpack(&bytes))
                    .await
                    .unwrap_or_default()
            }
        };
        unpacked.ok_or_else(|| damaged(capture))
    }

    /// The answer as one object: what was put together, or the body where that is one already.
    pub(crate) async fn assembled(&self, capture: &CaptureView) -> Result<Vec<u8>, ReadError> {
        let part = if capture.flags & crate::store::captures::ASSEMBLED == 0 {
            Part::Answer
        } else {
            Part::Assembled
        };
        self.part(capture, part).await
    }

    /// Bytes of an entry, from the file or from the object.
    async fn bytes(&self, capture: &CaptureView, at: u64, length: u64) -> Result<Vec<u8>, ReadError> {
        debug_assert!(ENTRY_BYTES as u64 <= FIRST_BYTES, "a header is read at once");
        let from = capture.offset.saturating_add(at);
        let path = self.path(capture.segment);
        let read = {
            let path = path.clone();
            tokio::task::spawn_blocking(move || {
                let mut bytes = vec![0; usize::try_from(length).map_err(io::Error::other)?];
                File::open(path)?.read_exact_at(&mut bytes, from)?;
                Ok::<_, io::Error>(bytes)
            })
        };
        match read.await.unwrap_or_else(|error| Err(io::Error::other(error))) {
            Ok(bytes) => return Ok(bytes),
            Err(error) if error.kind() == io::ErrorKind::NotFound => {}
            Err(error) if error.kind() == io::ErrorKind::UnexpectedEof => return Err(damaged(capture)),
            Err(error) => return Err(ReadError::File(path, error)),
        }
        // It may have gone to the object store since it was found.
        let row = self.store.segment(capture.segment).await?;
        let object = row.and_then(|row| row.object).ok_or(ReadError::Gone)?;
        let bucket = self.bucket().ok_or(ReadError::NoBucket)?;
        let range = from..from.saturating_add(length);
        match bucket.objects.get_range(&bucket.path(&object), range).await {
            Ok(bytes) => Ok(bytes.to_vec()),
            Err(object_store::Error::NotFound { .. }) => Err(ReadError::Gone),
            Err(error) => Err(ReadError::Object(error)),
        }
    }
}

const fn damaged(capture: &CaptureView) -> ReadError {
    ReadError::Damaged {
        segment: capture.segment,
        offset: capture.offset,
    }
}
