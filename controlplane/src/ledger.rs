//! The ledger: whose budget is how large, told to data planes and to people.
//!
//! One thread asks the store. Questions that come while it waits for the disk share the next transaction; an answer is
//! on the disk before anybody is told. Charges do not pass here: ingest writes them with their records.
//!
//! A data plane that is short while others have what it lacks waits for them, for a moment: they are asked to give back
//! what lies idle (`RecallBucket`), the journal of a dead one is stored to its end meanwhile, and what came of it decides
//! the one answer to its question.

mod aborted;
mod clock;
mod planes;
mod sampling;
mod thread;
mod waiting;

use std::collections::BTreeSet;
use std::sync::mpsc;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use sluice_shared::quota::ledger::Ask;
use sluice_shared::snapshot::Quota;
use sluice_shared::units::UnixMicros;
use sluice_shared::wire::control::{Bucket, BucketRef, LeaseAnswer};
use tokio::sync::oneshot;
use tokio::time::Instant;

use crate::store::{Definitions, Ingested, QuotaEvent, Refilled, Store, StoreError, Touched};

pub(crate) use aborted::settle as settle_aborted;
pub(crate) use clock::Clock;
pub(crate) use planes::Plane;
use planes::Planes;
use waiting::Waiting;

/// How long a data plane that is short waits for what others have.
const PATIENCE: Duration = Duration::from_millis(1_500);
/// Marks of one transaction that are written to the log; the rest is counted.
const LOGGED_MAX: usize = 20;

/// The ledger of a control plane.
pub(crate) struct Ledger {
    shared: Arc<Shared>,
    questions: mpsc::Sender<Question>,
}

/// What the ledger's thread has, too.
struct Shared {
    store: Arc<dyn Store>,
    clock: Clock,
    defined: Mutex<Defined>,
    planes: Planes,
    waiting: Waiting,
}

/// What the document in use defines.
#[derive(Default)]
struct Defined {
    definitions: Arc<Definitions>,
    /// The buckets in the store are not brought in line with it yet.
    pending: bool,
}

/// A question on its way to the thread.
enum Question {
    /// Look whether there is something to do.
    Wake,
    Lease {
        holder: u64,
        bucket: BucketRef,
        ask: Ask,
        last: bool,
        answer: oneshot::Sender<Outcome>,
    },
}

/// What the thread says to a question.
#[derive(Debug)]
enum Outcome {
    Answer(LeaseAnswer),
    /// Older than the last that was answered.
    Stale,
    Short {
        bucket: u64,
        others: Vec<crate::store::Other>,
    },
}

impl Ledger {
    /// Begins with the buckets in a store, which has resumed at the clock's time, and what is defined now.
    pub(crate) fn new(store: Arc<dyn Store>, clock: Clock, quotas: &[Quota]) -> Arc<Self> {
        let (questions, asked) = mpsc::channel();
        let shared = Arc::new(Shared {
            store,
            clock,
            defined: Mutex::new(Defined {
                definitions: Arc::new(Definitions::of(quotas)),
                pending: true,
            }),
            planes: Planes::default(),
            waiting: Waiting::default(),
        });
        thread::start(shared.clone(), asked);
        let ledger = Arc::new(Self { shared, questions });
        ledger.wake();
        ledger
    }

    /// The time by which buckets are refilled.
    pub(crate) fn now(&self) -> UnixMicros {
        self.shared.clock.now()
    }

    /// A data plane has connected; it is told what concerns its buckets until what is returned is dropped.
    pub(crate) fn connected(&self, incarnation: u64) -> Plane {
        self.shared.planes.connected(incarnation)
    }

    /// Publishes a document. No question is answered until its quotas are in force, so that none is judged by the document
    /// before: who has the new snapshot is answered by the new definitions.
    pub(crate) fn publishing<T, E>(
        &self,
        quotas: impl FnOnce() -> Vec<Quota>,
        publish: impl FnOnce() -> Result<T, E>,
    ) -> Result<T, E> {
        let mut defined = self.shared.defined();
        let published = publish()?;
        let definitions = Definitions::of(&quotas());
        if definitions != *defined.definitions {
            *defined = Defined {
                definitions: Arc::new(definitions),
                pending: true,
            };
        }
        drop(defined);
        self.wake();
        Ok(published)
    }

    /// Answers a question of a data plane. `None`: a later one has been answered.
    pub(crate) async fn lease(&self, holder: u64, bucket: BucketRef, ask: Ask) -> Option<LeaseAnswer> {
        let deadline = Instant::now() + PATIENCE;
        let mut waiter = None;
        let mut asked: Vec<(u64, u64)> = Vec::new();
        let mut last = false;
        loop {
            match self.ask(holder, bucket.clone(), ask, last).await {
                Outcome::Answer(answer) => return Some(answer),
                Outcome::Stale => return None,
                Outcome::Short { bucket: id, others } => {
                    if waiter.is_none() {
                        // Looked at once more from here on nothing is missed.
                        waiter = Some(self.shared.waiting.enter(id, holder));
                        for other in &others {
                            self.shared.planes.recall(other.holder, id);
                            asked.push((other.holder, other.seq));
                        }
                        continue;
                    }
                    let Some(waiter) = &waiter else { return None };
                    let awaited = others.iter().any(|other| {
                        let before = asked.iter().find(|(holder, _)| *holder == other.holder);
                        // Who has said nothing since, and does not wait for us in turn.
                        before.is_none_or(|(_, seq)| *seq == other.seq) && !waiter.is_waiting(other.holder)
                    });
                    last = !awaited || tokio::time::timeout_at(deadline, waiter.changed()).await.is_err();
                }
            }
        }
    }

    async fn ask(&self, holder: u64, bucket: BucketRef, ask: Ask, last: bool) -> Outcome {
        let (answer, answered) = oneshot::channel();
        let question = Question::Lease {
            holder,
            bucket,
            ask,
            last,
            answer,
        };
        // Without its thread the ledger cannot be asked.
        let unavailable = Outcome::Answer(LeaseAnswer::Unavailable { seq: ask.seq });
        if self.questions.send(question).is_err() {
            return unavailable;
        }
        answered.await.unwrap_or(unavailable)
    }

    /// Adds an amount to a bucket, or all that is missing, and tells whoever spends of it. `None`: nobody has ever asked for
    /// the bucket, so that it is full.
    pub(crate) async fn refill(
        &self,
        bucket: &Bucket,
        amount: Option<u64>,
        author: &str,
    ) -> Result<Option<Refilled>, StoreError> {
        let refilled = self
            .shared
            .store
            .refill(bucket, amount, author, self.now())
            .await?;
        if let Some(refilled) = &refilled {
            self.shared.changed(std::slice::from_ref(&refilled.touched));
        }
        Ok(refilled)
    }

    /// Tells whom it concerns what a transaction of ingest did to buckets.
    pub(crate) fn ingested(&self, done: &Ingested) {
        self.shared.changed(&done.freed);
        self.shared.marked(&done.events);
    }

    /// Ends the leases of data planes that have no journal any more, as after a backup was restored: nobody will ever
    /// finish those. `alive` says which journals are there, and is asked after who has leases.
    pub(crate) async fn end_orphans<E: From<StoreError>>(
        &self,
        alive: impl FnOnce() -> Result<BTreeSet<u64>, E>,
    ) -> Result<(), E> {
        let holders = self.shared.store.holders().await?;
        let alive = alive()?;
        for holder in holders.into_iter().filter(|holder| !alive.contains(holder)) {
            let freed = self.shared.store.end_leases(holder).await?;
            tracing::warn!(
                incarnation = holder,
                buckets = freed.len(),
                "leases of a data plane without a journal have ended"
            );
            self.shared.changed(&freed);
        }
        Ok(())
    }

    fn wake(&self) {
        // Without its thread every question is answered: cannot be asked.
        let _ = self.questions.send(Question::Wake);
    }
}

impl Shared {
    fn defined(&self) -> MutexGuard<'_, Defined> {
        self.defined.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// More may be there, or other terms apply.
    fn changed(&self, touched: &[Touched]) {
        for it in touched {
            self.waiting.changed(it.bucket);
            self.planes.changed(&it.holders, it.bucket);
        }
    }

    fn marked(&self, events: &[QuotaEvent]) {
        for event in events {
            self.planes.marked(&event.bucket.quota, event.percent);
        }
        for QuotaEvent {
            bucket,
            percent,
            balance,
            capacity,
            ..
        } in events.iter().take(LOGGED_MAX)
        {
            let (name, unit) = (bucket.name.escape_debug(), bucket.unit.name());
            if *percent < 100 {
                tracing::info!(bucket = %name, unit, balance, capacity, "{percent}% of a budget are used");
            } else {
                tracing::warn!(bucket = %name, unit, balance, capacity, "a budget is used up");
            }
        }
        if let Some(more) = events.len().checked_sub(LOGGED_MAX).filter(|more| *more > 0) {
            tracing::warn!(more, "more budgets have reached a mark");
        }
    }
}

#[cfg(test)]
pub(crate) mod tests;
