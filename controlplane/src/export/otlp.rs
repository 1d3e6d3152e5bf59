//! OpenTelemetry over HTTP with protobuf (OTLP/HTTP 1.x): logs, spans and metrics.
//!
//! A collector's answer counts per signal: 2xx is taken, 429, 502, 503 and 504 may be tried again, everything else is not
//! (OTLP specification, "Failures"). A `partial_success` with rejected records is success that is not tried again, as the
//! specification demands; it is logged. What was taken of a batch before another signal failed is remembered, so that it
//! is not sent twice while this process lives.

mod convert;
#[cfg(test)]
mod tests;

use std::sync::{Mutex, PoisonError};

use opentelemetry_proto::tonic::collector::logs::v1::ExportLogsServiceResponse;
use opentelemetry_proto::tonic::collector::metrics::v1::ExportMetricsServiceResponse;
use opentelemetry_proto::tonic::collector::trace::v1::ExportTraceServiceResponse;
use prost::Message;

use super::http::{Scheme, Service};
use super::item::Batch;
use super::sink::{SendError, Sending, Sink};
use crate::config::domain::Endpoint;

/// A signal: bit, path, what it is made of and what its answer rejects.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Signal {
    Logs,
    Traces,
    Metrics,
}

impl Signal {
    const fn bit(self) -> u8 {
        1 << self as u8
    }

    const fn path(self) -> &'static str {
        match self {
            Self::Logs => "/v1/logs",
            Self::Traces => "/v1/traces",
            Self::Metrics => "/v1/metrics",
        }
    }

    /// `None`: the batch holds nothing for it.
    fn message(self, batch: &Batch) -> Option<Vec<u8>> {
        match self {
            Self::Logs => convert::logs(batch).map(|it| it.encode_to_vec()),
            Self::Traces => convert::spans(batch).map(|it| it.encode_to_vec()),
            Self::Metrics => convert::metrics(batch).map(|it| it.encode_to_vec()),
        }
    }

    /// How many were rejected, and why. An answer that cannot be read rejects nothing.
    fn rejected(self, body: &[u8]) -> Option<(i64, String)> {
        let said = match self {
            Self::Logs => ExportLogsServiceResponse::decode(body)
                .ok()?
                .partial_success
                .map(|it| (it.rejected_log_records, it.error_message)),
            Self::Traces => ExportTraceServiceResponse::decode(body)
                .ok()?
                .partial_success
                .map(|it| (it.rejected_spans, it.error_message)),
            Self::Metrics => ExportMetricsServiceResponse::decode(body)
                .ok()?
                .partial_success
                .map(|it| (it.rejected_data_points, it.error_message)),
        };
        said.filter(|(count, why)| *count != 0 || !why.is_empty())
    }
}

/// Which signals of which batch were taken.
#[derive(Default)]
struct Taken {
    batch: (u64, u64),
    bits: u8,
}

pub(super) struct Otlp {
    service: Service,
    url: String,
    signals: Vec<Signal>,
    taken: Mutex<Taken>,
}

impl Otlp {
    pub(super) fn open(endpoint: &Endpoint, logs: bool, traces: bool, metrics: bool) -> Result<Self, String> {
        let all = [
            (logs, Signal::Logs),
            (traces, Signal::Traces),
            (metrics, Signal::Metrics),
        ];
        Ok(Self {
            service: Service::open(endpoint, Scheme::Document)?,
            url: endpoint.url.trim_end_matches('/').to_owned(),
            signals: all
                .into_iter()
                .filter_map(|(on, signal)| on.then_some(signal))
                .collect(),
            taken: Mutex::default(),
        })
    }

    /// Whether a signal of a batch was taken already.
    fn is_taken(&self, batch: &Batch, signal: Signal) -> bool {
        let taken = self.taken.lock().unwrap_or_else(PoisonError::into_inner);
        taken.batch == (batch.first, batch.last) && taken.bits & signal.bit() != 0
    }

    fn take(&self, batch: &Batch, signal: Signal) {
        let mut taken = self.taken.lock().unwrap_or_else(PoisonError::into_inner);
        let batch = (batch.first, batch.last);
        if taken.batch != batch {
            *taken = Taken { batch, bits: 0 };
        }
        taken.bits |= signal.bit();
    }
}

impl Sink for Otlp {
    fn send<'a>(&'a self, batch: &'a Batch) -> Sending<'a> {
        Box::pin(async move {
            for signal in self.signals.iter().copied() {
                if self.is_taken(batch, signal) {
                    continue;
                }
                let Some(message) = signal.message(batch) else {
                    continue;
                };
                let url = format!("{}{}", self.url, signal.path());
                let answer = self
                    .service
                    .post(&url, "application/x-protobuf", message)
                    .await
                    .map_err(|error| of_signal(error, signal))?;
                if let Some((count, why)) = signal.rejected(&answer.body) {
                    let why = self.service.hide(&crate::web::tidy(&why));
                    tracing::warn!(
                        exporter = %batch.exporter, rejected = count, why = %why,
                        "the collector did not take all of {}", signal.path()
                    );
                }
                self.take(batch, signal);
            }
            Ok(())
        })
    }
}

/// Puts the signal before what went wrong.
fn of_signal(error: SendError, signal: Signal) -> SendError {
    let named = |why: String| format!("{}: {why}", signal.path());
    match error {
        SendError::TooLarge(why) => SendError::TooLarge(named(why)),
        SendError::Later(why, pause) => SendError::Later(named(why), pause),
        SendError::Refused(why) => SendError::Refused(named(why)),
    }
}
