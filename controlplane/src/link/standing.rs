//! What runs in the data planes, asked for when somebody looks.

use std::collections::BTreeMap;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use sluice_shared::wire::control::Standing;
use tokio::sync::{Notify, watch};

/// What a data plane that does not answer said this long ago still counts.
const STALE: Duration = Duration::from_secs(5);
/// Providers that are believed of one data plane.
const POOLS_MAX: usize = 1_024;

/// What data planes have said.
#[derive(Debug)]
pub(super) struct Standings {
    /// How often was asked: each connection passes a new question on.
    asked: watch::Sender<u64>,
    /// By incarnation: when, and what.
    told: Mutex<BTreeMap<u64, (Instant, Standing)>>,
    news: Notify,
}

impl Standings {
    pub(super) fn new() -> Self {
        Self {
            asked: watch::Sender::new(0),
            told: Mutex::default(),
            news: Notify::new(),
        }
    }

    /// Tells of each new question.
    pub(super) fn questions(&self) -> watch::Receiver<u64> {
        self.asked.subscribe()
    }

    pub(super) fn told(&self, incarnation: u64, mut standing: Standing) {
        standing.pools.truncate(POOLS_MAX);
        self.lock().insert(incarnation, (Instant::now(), standing));
        self.news.notify_waiters();
    }

    pub(super) fn gone(&self, incarnation: u64) {
        self.lock().remove(&incarnation);
        self.news.notify_waiters();
    }

    /// Asks `connected()` data planes and waits for them, but no longer than `patience`. `None`: nobody has said anything
    /// lately.
    pub(super) async fn ask(&self, patience: Duration, connected: impl Fn() -> usize) -> Option<Standing> {
        let began = Instant::now();
        self.asked.send_modify(|count| *count = count.wrapping_add(1));
        let all = async {
            loop {
                let mut news = std::pin::pin!(self.news.notified());
                news.as_mut().enable();
                let answered = self.lock().values().filter(|(at, _)| *at >= began).count();
                if answered >= connected() {
                    return;
                }
                news.await;
            }
        };
        // Whoever is late counts with what it said before.
        let _ = tokio::time::timeout(patience, all).await;
        let told = self.lock();
        let mut recent = told.values().filter(|(at, _)| at.elapsed() <= STALE);
        let mut sum = recent.next()?.1.clone();
        recent.for_each(|(_, more)| sum.merge(more));
        Some(sum)
    }

    fn lock(&self) -> MutexGuard<'_, BTreeMap<u64, (Instant, Standing)>> {
        self.told.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
