//! The worker of one hook: takes what is due, tells the hook, takes note of it.

use std::collections::HashSet;
use std::sync::Arc;
use std::time::Duration;

use ring::rand::{SecureRandom as _, SystemRandom};
use sluice_shared::snapshot::{Hook, HookPart};
use sluice_shared::units::UnixMicros;
use tokio::sync::{Semaphore, watch};
use tokio::task::JoinSet;
use tokio::time::Instant;

use super::payload::{self, needs, sends};
use super::send::Receiver;
use super::{AGE_MAX, AT_A_TIME, Bodies, MEMORY_BYTES, Settings, Step, TRIES_MAX, backoff, jitter};
use crate::config::domain::Document;
use crate::link::chain;
use crate::store::outbox::{Event, Outcome, Tried};
use crate::store::{BucketQuery, BucketRow, Store};
use crate::web::WebError;

/// Bytes that one permit of the memory stands for.
const PERMIT_BYTES: u64 = 1 << 10;
/// Longest pause of a hook that fails every try, so that it is soon noticed when it is back.
const PROBE_MAX: Duration = Duration::from_secs(30);

/// See the module.
pub(super) struct Worker {
    hook: Hook,
    store: Arc<dyn Store>,
    settings: Settings,
    telling: Arc<Telling>,
}

/// What one delivery needs.
struct Telling {
    store: Arc<dyn Store>,
    bodies: Arc<dyn Bodies>,
    documents: watch::Receiver<Arc<Document>>,
    receiver: Receiver,
    memory: Arc<Semaphore>,
    settings: Settings,
}

/// The worker ends here as if it had been killed.
struct Killed;

/// How one try ended.
enum End {
    Delivered,
    Failed(String),
    /// There is nothing to be delivered any more.
    Hopeless(String),
}

impl Worker {
    pub(super) fn new(
        hook: Hook,
        store: Arc<dyn Store>,
        bodies: Arc<dyn Bodies>,
        documents: watch::Receiver<Arc<Document>>,
        settings: Settings,
    ) -> Result<Self, WebError> {
        let permits = usize::try_from(MEMORY_BYTES / PERMIT_BYTES).unwrap_or(Semaphore::MAX_PERMITS);
        let telling = Telling {
            store: store.clone(),
            bodies,
            documents,
            receiver: Receiver::new(&hook)?,
            memory: Arc::new(Semaphore::new(permits)),
            settings: settings.clone(),
        };
        Ok(Self {
            hook,
            store,
            settings,
            telling: Arc::new(telling),
        })
    }

    /// Runs until it is aborted.
    pub(super) async fn run(self) {
        if self.work().await.is_err() {
            tracing::debug!(hook = %self.hook.name, "the worker of a hook was killed");
        }
    }

    async fn work(&self) -> Result<(), Killed> {
        let mut running: JoinSet<Result<(Event, End), Killed>> = JoinSet::new();
        let mut in_hand: HashSet<u64> = HashSet::new();
        let mut done: Vec<Tried> = Vec::new();
        // Tries that failed since one succeeded, and until when the hook is left alone for it.
        let mut failures = 0u32;
        let mut rest_until = Instant::now();
        loop {
            if !done.is_empty() {
                match self.store.tried_events(&done, (self.settings.now)()).await {
                    Ok(()) => {
                        for tried in done.drain(..) {
                            in_hand.remove(&tried.id);
                        }
                        self.reached(Step::Noted)?;
                    }
                    Err(error) => {
                        tracing::error!(hook = %self.hook.name, error = %chain(&error), "deliveries cannot be noted");
                    }
                }
            }
            // A hook that fails everything is asked by one event at a time.
            let places = if failures < AT_A_TIME {
                AT_A_TIME as usize
            } else {
                1
            };
            let free = places.saturating_sub(running.len() + done.len());
            if free > 0 && Instant::now() >= rest_until {
                self.take(free, &mut in_hand, &mut running).await?;
            }
            tokio::select! {
                Some(ended) = running.join_next(), if !running.is_empty() => {
                    let mut next = Some(ended);
                    while let Some(ended) = next {
                        let Ok(ended) = ended else {
                            // A delivery panicked, which is a fault of ours: the supervisor of this worker begins anew.
                            return Err(Killed);
                        };
                        let (event, end) = ended?;
                        match end {
                            End::Delivered => failures = 0,
                            End::Failed(_) => {
                                failures = failures.saturating_add(1);
                                if failures >= AT_A_TIME {
                                    let pause = backoff(self.settings.pauses, failures.saturating_sub(AT_A_TIME));
                                    rest_until = Instant::now() + pause.min(PROBE_MAX);
                                }
                            }
                            End::Hopeless(_) => {}
                        }
                        done.push(self.judge(&event, end));
                        next = running.try_join_next();
                    }
                }
                () = tokio::time::sleep(self.settings.idle) => {}
            }
        }
    }

    /// Begins deliveries of what is due.
    async fn take(
        &self,
        free: usize,
        in_hand: &mut HashSet<u64>,
        running: &mut JoinSet<Result<(Event, End), Killed>>,
    ) -> Result<(), Killed> {
        let limit = u32::try_from(free.saturating_add(in_hand.len())).unwrap_or(u32::MAX);
        let due = self
            .store
            .due_events(&self.hook.name, (self.settings.now)(), limit)
            .await;
        let due = match due {
            Ok(due) => due,
            Err(error) => {
                tracing::error!(hook = %self.hook.name, error = %chain(&error), "cannot read events for a hook");
                return Ok(());
            }
        };
        let new: Vec<Event> = due
            .into_iter()
            .filter(|event| !in_hand.contains(&event.id))
            .take(free)
            .collect();
        if !new.is_empty() {
            self.reached(Step::Taken)?;
        }
        for event in new {
            in_hand.insert(event.id);
            let telling = self.telling.clone();
            running.spawn(async move {
                let end = telling.tell(&event).await;
                if matches!(end, End::Delivered) {
                    reached(&telling.settings, Step::Sent)?;
                }
                Ok((event, end))
            });
        }
        Ok(())
    }

    /// What follows from how a try ended.
    fn judge(&self, event: &Event, end: End) -> Tried {
        let now = (self.settings.now)();
        let outcome = match end {
            End::Delivered => Outcome::Delivered,
            End::Hopeless(error) => Outcome::Dead { error },
            End::Failed(error) => {
                let age = Duration::from_micros(now.0.saturating_sub(event.since.0));
                if age >= AGE_MAX || event.tries.saturating_add(1) >= TRIES_MAX {
                    Outcome::Dead { error }
                } else {
                    let pause = jitter(backoff(self.settings.pauses, event.tries), random());
                    let pause = u64::try_from(pause.as_micros()).unwrap_or(u64::MAX);
                    let due = UnixMicros(now.0.saturating_add(pause));
                    Outcome::Again { due, error }
                }
            }
        };
        match &outcome {
            Outcome::Delivered => {}
            Outcome::Again { error, .. } => {
                tracing::warn!(hook = %self.hook.name, event = %event.stable_id(), tries = event.tries + 1, %error,
                               "an event was not delivered; it is tried again");
            }
            Outcome::Dead { error } => {
                tracing::error!(hook = %self.hook.name, event = %event.stable_id(), %error, "an event is a dead letter");
            }
        }
        Tried {
            id: event.id,
            hook: event.hook.clone(),
            since: event.since,
            outcome,
        }
    }

    fn reached(&self, step: Step) -> Result<(), Killed> {
        reached(&self.settings, step)
    }
}

impl Telling {
    /// One try.
    async fn tell(&self, event: &Event) -> End {
        let wanted = needs(event);
        let mut stored = None;
        let mut _permits = None;
        if wanted != (false, false) {
            let bytes = match self.bodies.bytes(event.request_id).await {
                Ok(Some(bytes)) => bytes,
                Ok(None) => return End::Hopeless("its capture is gone".to_owned()),
                Err(error) => return End::Failed(error),
            };
            let permits = bytes.min(MEMORY_BYTES).div_ceil(PERMIT_BYTES);
            let permits = u32::try_from(permits).unwrap_or(u32::MAX);
            // Never closed.
            _permits = self.memory.clone().acquire_many_owned(permits).await.ok();
            stored = match self.bodies.read(event.request_id, wanted).await {
                Ok(Some(stored)) => Some(stored),
                Ok(None) => return End::Hopeless("its capture is gone".to_owned()),
                Err(error) => return End::Failed(error),
            };
        }
        let mut buckets = Vec::new();
        if sends(event, HookPart::Quotas) {
            buckets = match self.buckets(event).await {
                Ok(buckets) => buckets,
                Err(error) => return End::Failed(chain(&error)),
            };
        }
        let basis = {
            let document = self.documents.borrow();
            let provider = document.providers.iter().find(|p| p.id == event.detail.provider);
            provider
                .map(|provider| provider.cost_basis.clone())
                .unwrap_or_default()
        };
        let about = event.clone();
        let written =
            tokio::task::spawn_blocking(move || payload::write(&about, stored.as_ref(), &buckets, &basis));
        let Ok(payload) = written.await else {
            return End::Failed("the payload could not be made; the log says why".to_owned());
        };
        match self.receiver.deliver(event, payload).await {
            Ok(()) => End::Delivered,
            Err(error) => End::Failed(error),
        }
    }

    async fn buckets(&self, event: &Event) -> Result<Vec<BucketRow>, crate::store::StoreError> {
        let mut out = Vec::new();
        for id in &event.detail.buckets {
            let Some(bucket) = self.store.bucket_name(*id).await? else {
                continue;
            };
            let query = BucketQuery {
                quota: Some(bucket.quota),
                name: Some(bucket.name),
                unit: Some(bucket.unit),
                limit: 1,
                ..BucketQuery::default()
            };
            out.extend(self.store.buckets(&query, (self.settings.now)()).await?);
        }
        Ok(out)
    }
}

fn reached(settings: &Settings, step: Step) -> Result<(), Killed> {
    match &settings.kill {
        Some(kill) if kill(step) => Err(Killed),
        _ => Ok(()),
    }
}

fn random() -> u32 {
    let mut bytes = [0; 4];
    // Without randomness the pauses are all the same, which is harmless.
    let _ = SystemRandom::new().fill(&mut bytes);
    u32::from_ne_bytes(bytes)
}
