//! Exports: records, captures, the audit and marks of budgets, sent to where the document says.
//!
//! Each exporter is a task of its own with its own place in the log (`store/export.rs`): a slow or dead receiver delays
//! nobody else. What cannot be sent is tried again for as long as the exporter stands in the document, with pauses that grow
//! and differ; nothing is thrown away. The log is written only while an exporter wants what it is about: what happened
//! before an exporter was added is not sent by it, but can be written by hand (`by_hand.rs`).

pub(crate) mod by_hand;
mod cbor;
mod exporter;
mod hec;
mod http;
pub(crate) mod item;
mod kept;
mod otlp;
mod s3;
mod sink;
pub(crate) mod table;
mod webhook;

use std::collections::BTreeMap;
use std::hash::{BuildHasher as _, RandomState};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use sluice_shared::units::UnixMicros;
use tokio::sync::{Notify, watch};
use tokio::task::JoinHandle;

use crate::config::domain::{self, Document, Exported};
use crate::store::export::{ExportState, Wanted, Wants};
use crate::store::{Store, StoreError};
use exporter::{Exporter, Failure, Step};
use item::ReadCaptures;
use sink::SendError;

/// How long a record waits for its capture before it is exported as one whose capture is missing.
const CAPTURE_PATIENCE: Duration = Duration::from_secs(600);
/// How often that is looked at.
const LOOK: Duration = Duration::from_secs(15);
/// The first pause after a failure, and the longest.
const PAUSE: (Duration, Duration) = (Duration::from_secs(1), Duration::from_secs(300));

/// Exporters that run, and what is known of them.
pub(crate) struct Exports {
    store: Arc<dyn Store>,
    captures: Arc<dyn ReadCaptures>,
    now: fn() -> UnixMicros,
    running: Mutex<BTreeMap<String, Running>>,
}

/// An exporter of the document.
struct Running {
    exporter: domain::Exporter,
    report: Arc<Report>,
    /// `None`: it is disabled, or cannot be opened.
    task: Option<JoinHandle<()>>,
}

impl Drop for Running {
    fn drop(&mut self) {
        if let Some(task) = &self.task {
            task.abort();
        }
    }
}

/// What a task says of itself.
#[derive(Default)]
struct Report {
    /// Somebody wants it to run now.
    kick: Notify,
    said: Mutex<Said>,
}

#[derive(Debug, Clone, Default)]
struct Said {
    error: Option<(UnixMicros, String)>,
    failures: u32,
}

/// An exporter as the API shows it.
#[derive(Debug, Clone)]
pub(crate) struct View {
    pub(crate) name: String,
    pub(crate) kind: &'static str,
    pub(crate) place: String,
    pub(crate) what: Vec<&'static str>,
    pub(crate) every_s: u64,
    pub(crate) disabled: bool,
    /// `None`: the store does not know it yet.
    pub(crate) state: Option<ExportState>,
    /// Age of the oldest entry that waits, in seconds.
    pub(crate) lag_s: u64,
    /// The last failure, if nothing was sent since.
    pub(crate) error: Option<(UnixMicros, String)>,
    /// Failures since something was sent.
    pub(crate) failures: u32,
}

/// The present time.
pub(crate) fn clock() -> UnixMicros {
    let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    UnixMicros(u64::try_from(since.as_micros()).unwrap_or(u64::MAX))
}

impl Exports {
    pub(crate) fn new(
        store: Arc<dyn Store>,
        captures: Arc<dyn ReadCaptures>,
        now: fn() -> UnixMicros,
    ) -> Arc<Self> {
        Arc::new(Self {
            store,
            captures,
            now,
            running: Mutex::default(),
        })
    }

    fn running(&self) -> MutexGuard<'_, BTreeMap<String, Running>> {
        self.running.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Runs the exporters of the document in use until the documents end. Dropping it stops them all.
    pub(crate) async fn run(self: Arc<Self>, mut documents: watch::Receiver<Arc<Document>>) {
        let _stop = Stop(self.clone());
        let mut look = tokio::time::interval(LOOK);
        look.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
        // The one in use is news.
        documents.mark_changed();
        loop {
            tokio::select! {
                changed = documents.changed() => {
                    if changed.is_err() {
                        return;
                    }
                    let document = documents.borrow_and_update().clone();
                    if let Err(error) = self.take(&document.exporters).await {
                        tracing::error!("exporters cannot be taken over: {}", crate::link::chain(&error));
                        documents.mark_changed();
                        tokio::time::sleep(PAUSE.0).await;
                    }
                }
                _ = look.tick() => self.look().await,
            }
        }
    }

    /// Takes over exporters: the same go on, others are stopped, changed or new ones are started.
    pub(crate) async fn take(&self, exporters: &[domain::Exporter]) -> Result<(), StoreError> {
        let wanted: Vec<Wanted> = exporters
            .iter()
            .map(|it| Wanted {
                name: it.name.clone(),
                wants: wants(it),
                enabled: !it.disabled,
            })
            .collect();
        self.store.set_exporters(&wanted).await?;
        let mut running = self.running();
        running.retain(|name, run| exporters.iter().any(|it| it.name == *name && *it == run.exporter));
        for it in exporters {
            if !running.contains_key(&it.name) {
                running.insert(it.name.clone(), self.start(it));
            }
        }
        Ok(())
    }

    fn start(&self, exporter: &domain::Exporter) -> Running {
        let report = Arc::new(Report::default());
        let task = if exporter.disabled {
            None
        } else {
            match sink::open(&exporter.sink) {
                Ok(sink) => {
                    let worker = Exporter::new(
                        &exporter.name,
                        exporter.limit,
                        sink,
                        self.store.clone(),
                        self.captures.clone(),
                        self.now,
                    );
                    let every = Duration::from_secs(exporter.every_s.max(1));
                    Some(tokio::spawn(run(worker, every, report.clone(), self.now)))
                }
                Err(why) => {
                    tracing::error!(exporter = %exporter.name, "cannot export: {why}");
                    report.failed((self.now)(), why);
                    None
                }
            }
        };
        Running {
            exporter: exporter.clone(),
            report,
            task,
        }
    }

    /// Logs what waited too long for a capture, and removes what everybody has.
    async fn look(&self) {
        let patience = u64::try_from(CAPTURE_PATIENCE.as_micros()).unwrap_or(u64::MAX);
        let before = UnixMicros((self.now)().0.saturating_sub(patience));
        match self.store.release_waiting(before).await {
            Ok(0) => {}
            Ok(count) => tracing::warn!(
                count,
                "records are exported without their captures: they did not come in time"
            ),
            Err(error) => tracing::error!("waiting records: {}", crate::link::chain(&error)),
        }
        while matches!(self.store.prune_export_log().await, Ok(true)) {
            tokio::task::yield_now().await;
        }
    }

    /// Lets an exporter run now; whether there is one that runs.
    pub(crate) fn kick(&self, name: &str) -> Option<bool> {
        let running = self.running();
        let found = running.get(name)?;
        found.report.kick.notify_one();
        Some(found.task.is_some())
    }

    /// All exporters, by name.
    pub(crate) async fn list(&self) -> Result<Vec<View>, StoreError> {
        let mut states: BTreeMap<String, ExportState> = BTreeMap::new();
        for state in self.store.exports().await? {
            states.insert(state.name.clone(), state);
        }
        let now = (self.now)().0;
        let running = self.running();
        let views = running.iter().map(|(name, run)| {
            let (kind, place) = sink::describe(&run.exporter.sink);
            let said = run.report.said();
            let state = states.remove(name);
            let oldest = state.as_ref().and_then(|state| state.oldest);
            View {
                name: name.clone(),
                kind,
                place,
                what: run.exporter.what.iter().map(|what| word(*what)).collect(),
                every_s: run.exporter.every_s,
                disabled: run.exporter.disabled,
                lag_s: oldest.map_or(0, |oldest| now.saturating_sub(oldest.0) / 1_000_000),
                state,
                error: said.error,
                failures: said.failures,
            }
        });
        Ok(views.collect())
    }
}

/// Stops all exporters.
struct Stop(Arc<Exports>);

impl Drop for Stop {
    fn drop(&mut self) {
        self.0.running().clear();
    }
}

impl Report {
    fn said(&self) -> Said {
        self.said.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    fn failed(&self, now: UnixMicros, why: String) -> u32 {
        let mut said = self.said.lock().unwrap_or_else(PoisonError::into_inner);
        said.failures = said.failures.saturating_add(1);
        said.error = Some((now, why));
        said.failures
    }

    fn sent(&self) {
        *self.said.lock().unwrap_or_else(PoisonError::into_inner) = Said::default();
    }
}

fn wants(exporter: &domain::Exporter) -> Wants {
    exporter.what.iter().fold(Wants::default(), |all, what| {
        all.and(match what {
            Exported::Requests => Wants::REQUESTS,
            Exported::Captures => Wants::CAPTURES,
            Exported::Audit => Wants::AUDIT,
            Exported::QuotaEvents => Wants::QUOTA_EVENTS,
        })
    })
}

/// The word of the document.
const fn word(what: Exported) -> &'static str {
    match what {
        Exported::Requests => "requests",
        Exported::Captures => "captures",
        Exported::Audit => "audit",
        Exported::QuotaEvents => "quota_events",
    }
}

/// Runs one exporter for ever: everything that waits, then a pause.
async fn run(mut exporter: Exporter, every: Duration, report: Arc<Report>, now: fn() -> UnixMicros) {
    loop {
        let pause = match exporter.step().await {
            Ok(Step::Idle) => every,
            Ok(Step::Noted) => {
                report.sent();
                continue;
            }
            Ok(Step::Read | Step::Planned | Step::Sent | Step::Pruned | Step::Shrunk) => continue,
            Err(failure) => {
                let (why, asked) = match failure {
                    Failure::Own(why) | Failure::Sink(SendError::Refused(why) | SendError::TooLarge(why)) => {
                        (why, None)
                    }
                    Failure::Sink(SendError::Later(why, asked)) => (why, asked),
                };
                tracing::warn!("export failed and is tried again: {why}");
                let failures = report.failed(now(), why);
                pause(failures).max(asked.unwrap_or_default())
            }
        };
        tokio::select! {
            () = tokio::time::sleep(pause) => {}
            () = report.kick.notified() => {}
        }
    }
}

/// The pause after so many failures in a row: doubled each time up to a bound, and between half and all of that, so that
/// exporters of many gateways do not come back at once.
fn pause(failures: u32) -> Duration {
    let doublings = failures.saturating_sub(1).min(16);
    let full = PAUSE.0.saturating_mul(1 << doublings).min(PAUSE.1);
    let share = RandomState::new().hash_one(failures) % 512 + 512;
    full.saturating_mul(u32::try_from(share).unwrap_or(1_024)) / 1_024
}

#[cfg(test)]
mod tests;
