//! Object storage: one object a batch, named by its exporter and the entries of the log that it stands for. A batch that is
//! sent again after a crash has the same name and overwrites itself.

use std::io::Write as _;
use std::sync::Arc;

use object_store::path::Path;
use object_store::{Error, ObjectStore, ObjectStoreExt as _};

use super::item::{Batch, Item};
use super::sink::{SendError, Sending, Sink};
use super::{cbor, table};
use crate::config::domain::{S3, S3Format};
use crate::{objects, web};

/// zstd's level: fast, and good enough for text.
const LEVEL: i32 = 3;

pub(super) struct Bucket {
    store: Arc<dyn ObjectStore>,
    prefix: String,
    format: S3Format,
}

impl Bucket {
    pub(super) fn open(target: &S3, format: S3Format) -> Result<Self, String> {
        Ok(Self {
            store: objects::open(target).map_err(|error| web::shown(&error))?,
            prefix: target.prefix.clone(),
            format,
        })
    }

    async fn put(&self, name: &str, bytes: Vec<u8>) -> Result<(), SendError> {
        let path = Path::from(name);
        match self.store.put(&path, bytes.into()).await {
            Ok(_) => Ok(()),
            Err(error) => Err(judge(&error)),
        }
    }
}

/// The name of an object; `extension` with its dot.
pub(super) fn object_name(prefix: &str, batch: &Batch, extension: &str) -> String {
    let slash = if prefix.is_empty() { "" } else { "/" };
    format!(
        "{prefix}{slash}{}-{}-{:016}-{:016}{extension}",
        batch.exporter, batch.id, batch.first, batch.last
    )
}

fn judge(error: &Error) -> SendError {
    let why = web::shown(error);
    match error {
        Error::NotFound { .. }
        | Error::PermissionDenied { .. }
        | Error::Unauthenticated { .. }
        | Error::InvalidPath { .. } => SendError::Refused(why),
        _ if why.contains("EntityTooLarge") => SendError::TooLarge(why),
        _ => SendError::Later(why, None),
    }
}

/// Lines of JSON, compressed.
pub(super) fn jsonl<'a>(items: impl Iterator<Item = &'a Item>) -> std::io::Result<Vec<u8>> {
    let mut out = zstd::Encoder::new(Vec::new(), LEVEL)?;
    for item in items {
        serde_json::to_writer(&mut out, &item.json())?;
        out.write_all(b"\n")?;
    }
    out.finish()
}

impl Bucket {
    async fn write(&self, batch: &Batch) -> Result<(), SendError> {
        let name = |extension: &str| object_name(&self.prefix, batch, extension);
        if self.format == S3Format::Jsonl {
            let lines = jsonl(batch.items.iter()).map_err(|error| unwritable(&error))?;
            return self.put(&name(".jsonl.zst"), lines).await;
        }
        let (requests, others): (Vec<&Item>, Vec<&Item>) = batch
            .items
            .iter()
            .partition(|item| matches!(item, Item::Request(_)));
        if !requests.is_empty() {
            if self.format == S3Format::Cbor {
                let bytes = cbor::records(batch).map_err(|error| unwritable(&error))?;
                self.put(&name(".cbor.zstd"), bytes).await?;
            } else {
                let records: Vec<_> = batch.requests().map(|request| &request.record).collect();
                let bytes = table::parquet(&records).map_err(|error| unwritable(&error))?;
                self.put(&name(".parquet"), bytes).await?;
            }
        }
        // Both formats are for requests alone; everything else stands beside them.
        if !others.is_empty() {
            let lines = jsonl(others.into_iter()).map_err(|error| unwritable(&error))?;
            self.put(&name(".other.jsonl.zst"), lines).await?;
        }
        Ok(())
    }
}

fn unwritable(error: &dyn std::error::Error) -> SendError {
    SendError::Refused(format!("cannot be written: {}", web::shown(error)))
}

impl Sink for Bucket {
    fn send<'a>(&'a self, batch: &'a Batch) -> Sending<'a> {
        Box::pin(self.write(batch))
    }
}
