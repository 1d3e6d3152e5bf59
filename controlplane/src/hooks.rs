//! Telling hooks of requests that are over (`docs/HOOKS.md`).
//!
//! ```text
//! capture committed ─ same transaction ─▶ outbox ─ due ─▶ worker of the hook ─ POST ─▶ hook
//!                                           ▲                   │
//!                                           └─ gone, again, dead ┘ one transaction
//! ```
//!
//! Every hook has a worker with connections, places and memory of its own, so one that is slow or down delays nobody else.
//! An event is removed after its delivery: whatever is killed when, it is delivered once at least, and always under the same
//! id. What cannot be delivered for [`AGE_MAX`] or [`TRIES_MAX`] tries becomes a dead letter, which is kept for
//! [`DEAD_FOR`] and can be retried by hand.

mod payload;
mod send;
mod stored;
#[cfg(test)]
mod tests;
mod worker;

use std::collections::HashMap;
use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;
use std::time::Duration;

use sluice_shared::api::ApiKind;
use sluice_shared::ids::RequestId;
use sluice_shared::snapshot::Hook;
use sluice_shared::units::UnixMicros;
use tokio::sync::watch;
use tokio::task::JoinHandle;

use crate::config::domain::Document;
use crate::link::chain;
use crate::reload::now;
use crate::store::Store;
pub(crate) use send::url;
use worker::Worker;

/// How long an event is tried.
pub(crate) const AGE_MAX: Duration = Duration::from_secs(24 * 3_600);
/// How often it is tried.
pub(crate) const TRIES_MAX: u32 = 200;
/// How long dead letters are kept, and their bodies with them.
pub(crate) const DEAD_FOR: Duration = Duration::from_secs(7 * 24 * 3_600);
/// The pause after a failed try: the first, doubled each time, and the longest. A part of it is random.
const PAUSES: (Duration, Duration) = (Duration::from_secs(1), Duration::from_secs(600));
/// Longest time of one try, also for hooks whose timeout is 0.
const TIMEOUT_MAX: Duration = Duration::from_secs(300);
/// Deliveries to one hook at a time.
const AT_A_TIME: u32 = 8;
/// Bytes of captures that are in memory for one hook at a time, beyond the first.
const MEMORY_BYTES: u64 = 128 << 20;
/// How often it is looked for what is too old, or for hooks that are not there any more.
const CARE: Duration = Duration::from_secs(10);

/// Why events of a hook that is not there become dead letters.
const NO_HOOK: &str = "the hook is disabled or not in the document any more";
/// Why events that have waited too long become dead letters.
const TOO_OLD: &str = "not delivered within 24 hours";

/// What is stored of a request's bodies.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Stored {
    pub(crate) api: ApiKind,
    /// Of the answer.
    pub(crate) content_type: Option<String>,
    /// As it was forwarded; empty where it was not wanted.
    pub(crate) request: Vec<u8>,
    /// As it came; empty where it was not wanted.
    pub(crate) answer: Vec<u8>,
}

/// A future of [`Bodies`]; an error is a text for people.
pub(crate) type Read<'a, T> = Pin<Box<dyn Future<Output = Result<T, String>> + Send + 'a>>;

/// Where bodies come from.
pub(crate) trait Bodies: Send + Sync + 'static {
    /// Bytes of a capture's bodies; `None`: there is no such capture any more.
    fn bytes(&self, id: RequestId) -> Read<'_, Option<u64>>;
    /// The bodies of a capture that are wanted: request, answer.
    fn read(&self, id: RequestId, wanted: (bool, bool)) -> Read<'_, Option<Stored>>;
}

/// What tests change.
#[derive(Clone)]
pub(crate) struct Settings {
    /// Pause while nothing is due.
    pub(crate) idle: Duration,
    pub(crate) care: Duration,
    pub(crate) pauses: (Duration, Duration),
    /// The clock.
    pub(crate) now: Arc<dyn Fn() -> UnixMicros + Send + Sync>,
    /// Asked at every step; `true` ends the worker as a kill would.
    pub(crate) kill: Option<Arc<dyn Fn(Step) -> bool + Send + Sync>>,
}

impl Default for Settings {
    fn default() -> Self {
        Self {
            idle: Duration::from_millis(500),
            care: CARE,
            pauses: PAUSES,
            now: Arc::new(now),
            kill: None,
        }
    }
}

/// Moments at which a kill matters.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(crate) enum Step {
    /// Events are about to be sent.
    Taken,
    /// The hook has one; nobody else knows.
    Sent,
    /// The store knows.
    Noted,
}

/// Delivers events.
pub(crate) struct Deliverer {
    store: Arc<dyn Store>,
    bodies: Arc<dyn Bodies>,
    documents: watch::Receiver<Arc<Document>>,
    settings: Settings,
    workers: HashMap<String, (Hook, JoinHandle<()>)>,
}

impl Drop for Deliverer {
    fn drop(&mut self) {
        // What is on its way is delivered again.
        for (_, worker) in self.workers.values() {
            worker.abort();
        }
    }
}

impl Deliverer {
    pub(crate) fn new(
        store: Arc<dyn Store>,
        bodies: Arc<dyn Bodies>,
        documents: watch::Receiver<Arc<Document>>,
        settings: Settings,
    ) -> Self {
        Self {
            store,
            bodies,
            documents,
            settings,
            workers: HashMap::new(),
        }
    }

    /// Runs until it is dropped.
    pub(crate) async fn run(mut self) {
        loop {
            let document = self.documents.borrow_and_update().clone();
            self.follow(&document);
            self.care(&document).await;
            let changed = tokio::time::timeout(self.settings.care, self.documents.changed()).await;
            if matches!(changed, Ok(Err(_))) {
                // Nobody hands out documents any more: the process ends.
                std::future::pending::<()>().await;
            }
        }
    }

    /// One worker for each hook of the document that is as the document says.
    fn follow(&mut self, document: &Arc<Document>) {
        self.workers.retain(|name, (spec, worker)| {
            let same = document
                .hooks
                .iter()
                .any(|hook| hook.name == *name && hook == spec);
            if !same || worker.is_finished() {
                worker.abort();
            }
            same && !worker.is_finished()
        });
        for hook in &document.hooks {
            if self.workers.contains_key(&hook.name) {
                continue;
            }
            let worker = Worker::new(
                hook.clone(),
                self.store.clone(),
                self.bodies.clone(),
                self.documents.clone(),
                self.settings.clone(),
            );
            match worker {
                Ok(worker) => {
                    let running = tokio::spawn(worker.run());
                    self.workers.insert(hook.name.clone(), (hook.clone(), running));
                }
                Err(error) => {
                    tracing::error!(hook = %hook.name, %error, "events of a hook cannot be delivered");
                }
            }
        }
    }

    async fn care(&self, document: &Document) {
        let now = (self.settings.now)();
        let known: Vec<String> = document.hooks.iter().map(|hook| hook.name.clone()).collect();
        let before = |age: Duration| {
            let age = u64::try_from(age.as_micros()).unwrap_or(u64::MAX);
            UnixMicros(now.0.saturating_sub(age))
        };
        let cared = async {
            let orphans = self.store.orphan_events(&known, NO_HOOK, now).await?;
            let old = self.store.overdue_events(before(AGE_MAX), TOO_OLD, now).await?;
            let gone = self.store.expire_events(before(DEAD_FOR)).await?;
            if orphans + old + gone > 0 {
                tracing::warn!(orphans, old, gone, "events for hooks were given up");
            }
            Ok::<_, crate::store::StoreError>(())
        };
        if let Err(error) = cared.await {
            tracing::error!(error = %chain(&error), "cannot look after events for hooks");
        }
    }
}

/// A random part of a pause, between half and all of it.
fn jitter(pause: Duration, random: u32) -> Duration {
    let half = pause / 2;
    half + half.mul_f64(f64::from(random) / f64::from(u32::MAX))
}

/// The pause after so many failed tries.
fn backoff((first, most): (Duration, Duration), tries: u32) -> Duration {
    let doubled = first.saturating_mul(1u32.checked_shl(tries.min(31)).unwrap_or(u32::MAX));
    doubled.min(most)
}
