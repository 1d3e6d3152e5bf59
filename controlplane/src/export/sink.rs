//! Where batches go.

use std::pin::Pin;
use std::time::Duration;

use super::hec::Hec;
use super::item::Batch;
use super::otlp::Otlp;
use super::s3::Bucket;
use super::webhook::Webhook;
use crate::config::domain;

/// Why a batch was not taken.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum SendError {
    /// A smaller one may be.
    TooLarge(String),
    /// The same may be later; not before a while, if the receiver says so.
    Later(String, Option<Duration>),
    /// Somebody has to change something first. It is tried again all the same: nothing is thrown away.
    Refused(String),
}

/// A batch under way.
pub(crate) type Sending<'a> = Pin<Box<dyn Future<Output = Result<(), SendError>> + Send + 'a>>;

/// A place that takes batches. A batch that was taken may come again after a crash, with the same items and numbers.
pub(crate) trait Sink: Send + Sync {
    fn send<'a>(&'a self, batch: &'a Batch) -> Sending<'a>;
}

/// Makes the sink of an exporter.
pub(crate) fn open(sink: &domain::Sink) -> Result<Box<dyn Sink>, String> {
    Ok(match sink {
        domain::Sink::S3 { target, format } => Box::new(Bucket::open(target, *format)?),
        domain::Sink::Webhook(endpoint) => Box::new(Webhook::open(endpoint)?),
        domain::Sink::Hec {
            endpoint,
            index,
            source,
            sourcetype,
        } => Box::new(Hec::open(endpoint, index, source, sourcetype)?),
        domain::Sink::Otlp {
            endpoint,
            logs,
            traces,
            metrics,
        } => Box::new(Otlp::open(endpoint, *logs, *traces, *metrics)?),
    })
}

/// What an exporter is called in lists, and where it leads; without credentials.
pub(crate) fn describe(sink: &domain::Sink) -> (&'static str, String) {
    let url = |endpoint: &domain::Endpoint| crate::web::tidy(&endpoint.url);
    match sink {
        domain::Sink::S3 { target, format } => {
            let kind = match format {
                domain::S3Format::Jsonl => "s3_jsonl",
                domain::S3Format::Cbor => "s3_cbor",
                domain::S3Format::Parquet => "s3_parquet",
            };
            (kind, format!("s3://{}/{}", target.bucket, target.prefix))
        }
        domain::Sink::Webhook(endpoint) => ("webhook", url(endpoint)),
        domain::Sink::Hec { endpoint, .. } => ("hec", url(endpoint)),
        domain::Sink::Otlp { endpoint, .. } => ("otlp", url(endpoint)),
    }
}
