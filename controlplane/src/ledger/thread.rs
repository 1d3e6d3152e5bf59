//! The thread that asks the store: it takes what has come, answers it in one transaction, and tells.

use std::sync::Arc;
use std::sync::mpsc::{Receiver, RecvTimeoutError};
use std::time::{Duration, Instant};

use sluice_shared::quota::Terms;
use sluice_shared::wire::control::{BucketRef, LeaseAnswer};
use tokio::runtime::{Builder, Runtime};
use tokio::sync::oneshot;

use super::sampling::Sampling;
use super::{Outcome, Question, Shared};
use crate::link::chain;
use crate::store::{Definitions, LeaseAsk, LeaseOutcome, StoreError};

/// Questions of one transaction.
const TOGETHER_MAX: usize = 256;
/// Pause between two tries to bring buckets in line with the document.
const RETRY: Duration = Duration::from_secs(1);
/// How often buckets that are as good as new are looked for.
const PRUNE: Duration = Duration::from_secs(3_600);
/// Pause between two stretches of that.
const PRUNE_STEP: Duration = Duration::from_millis(200);

/// Starts it. It ends with the last sender of questions.
pub(super) fn start(shared: Arc<Shared>, asked: Receiver<Question>) {
    // A store may have to wait for others than the disk.
    let runtime = Builder::new_current_thread().enable_all().build();
    let started = runtime.and_then(|runtime| {
        let work = Work {
            shared,
            runtime,
            prune_at: Instant::now() + PRUNE,
            prune_after: 0,
            sample_at: Instant::now(),
            sampling: Sampling::default(),
        };
        let thread = std::thread::Builder::new().name("ledger".to_owned());
        thread.spawn(move || work.run(&asked))
    });
    if let Err(error) = started {
        // Every question is answered: cannot be asked.
        tracing::error!(%error, "cannot start the ledger's thread");
    }
}

struct Work {
    shared: Arc<Shared>,
    runtime: Runtime,
    /// When the next stretch of buckets is looked at.
    prune_at: Instant,
    /// Where it begins.
    prune_after: u64,
    /// When buckets are looked at for samples.
    sample_at: Instant,
    sampling: Sampling,
}

/// A question that is answered by the store, and where the answer goes.
struct Asked {
    ask: LeaseAsk,
    answer: oneshot::Sender<Outcome>,
}

impl Work {
    fn run(mut self, asked: &Receiver<Question>) {
        loop {
            let next = self.prune_at.min(self.sample_at);
            let pause = next.saturating_duration_since(Instant::now());
            let pause = if self.shared.defined().pending {
                pause.min(RETRY)
            } else {
                pause
            };
            let first = match asked.recv_timeout(pause) {
                Ok(question) => Some(question),
                Err(RecvTimeoutError::Timeout) => None,
                Err(RecvTimeoutError::Disconnected) => return,
            };
            let more = asked.try_iter().take(TOGETHER_MAX.saturating_sub(1));
            let questions: Vec<Question> = first.into_iter().chain(more).collect();
            self.answer(questions);
            if self.prune_at <= Instant::now() {
                self.prune();
            }
            if self.sample_at <= Instant::now() {
                self.sample();
            }
        }
    }

    fn answer(&self, questions: Vec<Question>) {
        // Held to the end: a document is published before or after, not in between.
        let mut defined = self.shared.defined();
        let mut failed = None;
        if defined.pending {
            match self.reconcile(&defined.definitions) {
                Ok(()) => defined.pending = false,
                Err(error) => {
                    tracing::error!(error = %chain(&error), "cannot bring budgets in line with the document");
                    failed = Some(error);
                }
            }
        }
        let mut asked = Vec::with_capacity(questions.len());
        for question in questions {
            let Question::Lease {
                holder,
                bucket,
                ask,
                last,
                answer,
            } = question
            else {
                continue;
            };
            let seq = ask.seq;
            let say = |answer: oneshot::Sender<Outcome>, said| {
                // Whoever asked may be gone.
                let _ = answer.send(Outcome::Answer(said));
            };
            if failed.is_some() {
                say(answer, LeaseAnswer::Unavailable { seq });
                continue;
            }
            let terms = match &bucket {
                BucketRef::Named(bucket) => defined.definitions.terms(bucket),
                BucketRef::Numbered(_) => Some(Terms::default()),
            };
            let Some(terms) = terms else {
                say(answer, LeaseAnswer::Undefined { seq });
                continue;
            };
            let ask = LeaseAsk {
                bucket,
                terms,
                holder,
                ask,
                last,
            };
            asked.push(Asked { ask, answer });
        }
        if !asked.is_empty() {
            self.lease(asked);
        }
    }

    fn lease(&self, asked: Vec<Asked>) {
        let (asks, answers): (Vec<LeaseAsk>, Vec<_>) =
            asked.into_iter().map(|asked| (asked.ask, asked.answer)).unzip();
        let shared = &self.shared;
        let contested = shared.waiting.contested();
        let outcomes = self
            .runtime
            .block_on(shared.store.lease(&asks, shared.clock.now(), &contested));
        let outcomes = match outcomes {
            Ok(outcomes) => outcomes,
            Err(error) => {
                tracing::error!(error = %chain(&error), "the ledger cannot be asked");
                for (ask, answer) in asks.iter().zip(answers) {
                    let seq = ask.ask.seq;
                    let _ = answer.send(Outcome::Answer(LeaseAnswer::Unavailable { seq }));
                }
                return;
            }
        };
        for ((outcome, answer), ask) in outcomes.into_iter().zip(answers).zip(&asks) {
            let outcome = match outcome {
                LeaseOutcome::Granted { bucket, grant } => {
                    // Something may have been given back with the question.
                    shared.waiting.changed(bucket);
                    Outcome::Answer(LeaseAnswer::Granted { bucket, grant })
                }
                LeaseOutcome::Stale { .. } => Outcome::Stale,
                LeaseOutcome::Undefined => Outcome::Answer(LeaseAnswer::Undefined { seq: ask.ask.seq }),
                LeaseOutcome::Short { bucket, others } => Outcome::Short { bucket, others },
            };
            let _ = answer.send(outcome);
        }
    }

    fn reconcile(&self, definitions: &Definitions) -> Result<(), StoreError> {
        let shared = &self.shared;
        let touched = self
            .runtime
            .block_on(shared.store.reconcile(definitions, shared.clock.now()))?;
        if !touched.is_empty() {
            tracing::info!(buckets = touched.len(), "budgets follow the document");
        }
        shared.changed(&touched);
        Ok(())
    }

    fn sample(&mut self) {
        let shared = &self.shared;
        let step = self.sampling.step(&*shared.store, shared.clock.now());
        let pause = self.runtime.block_on(step).unwrap_or_else(|error| {
            tracing::warn!(error = %chain(&error), "cannot sample budgets");
            Sampling::retry()
        });
        self.sample_at = Instant::now() + pause;
    }

    fn prune(&mut self) {
        let shared = &self.shared;
        let pruned = self
            .runtime
            .block_on(shared.store.prune_buckets(self.prune_after, shared.clock.now()));
        let (after, pause) = match pruned {
            Ok(Some(after)) => (after, PRUNE_STEP),
            Ok(None) => (0, PRUNE),
            Err(error) => {
                tracing::warn!(error = %chain(&error), "cannot look for budgets to forget");
                (0, PRUNE)
            }
        };
        (self.prune_after, self.prune_at) = (after, Instant::now() + pause);
    }
}
