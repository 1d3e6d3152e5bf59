//! Who waits for which bucket: data planes that are short while others have something.

use std::collections::{BTreeSet, HashMap};
use std::sync::{Arc, Mutex, PoisonError};

use tokio::sync::Notify;

/// All who wait.
#[derive(Clone, Default)]
pub(super) struct Waiting(Arc<Mutex<Places>>);

/// Bucket → who waits for it, and how it is told.
type Places = HashMap<u64, Vec<(u64, Arc<Notify>)>>;

/// A place among those who wait for a bucket.
pub(super) struct Waiter {
    bucket: u64,
    holder: u64,
    changed: Arc<Notify>,
    all: Waiting,
}

impl Waiting {
    /// Waits for a bucket from now on. Those who wait already look again: the newcomer has said what it has.
    pub(super) fn enter(&self, bucket: u64, holder: u64) -> Waiter {
        self.changed(bucket);
        let changed = Arc::new(Notify::new());
        self.with(|all| all.entry(bucket).or_default().push((holder, changed.clone())));
        Waiter {
            bucket,
            holder,
            changed,
            all: self.clone(),
        }
    }

    /// More may be there.
    pub(super) fn changed(&self, bucket: u64) {
        self.with(|all| {
            for (_, changed) in all.get(&bucket).into_iter().flatten() {
                changed.notify_one();
            }
        });
    }

    /// Buckets that somebody waits for.
    pub(super) fn contested(&self) -> BTreeSet<u64> {
        self.with(|all| all.keys().copied().collect())
    }

    fn with<T>(&self, what: impl FnOnce(&mut Places) -> T) -> T {
        what(&mut self.0.lock().unwrap_or_else(PoisonError::into_inner))
    }
}

impl Waiter {
    /// Waits until more may be there; at once if that was so since the last wait.
    pub(super) async fn changed(&self) {
        self.changed.notified().await;
    }

    /// Whether a data plane waits for the same bucket.
    pub(super) fn is_waiting(&self, holder: u64) -> bool {
        self.all.with(|all| {
            let waiting = all.get(&self.bucket);
            waiting.is_some_and(|waiting| waiting.iter().any(|(it, _)| *it == holder))
        })
    }
}

impl Drop for Waiter {
    fn drop(&mut self) {
        self.all.with(|all| {
            if let Some(waiting) = all.get_mut(&self.bucket) {
                waiting.retain(|(holder, changed)| {
                    *holder != self.holder || !Arc::ptr_eq(changed, &self.changed)
                });
                if waiting.is_empty() {
                    all.remove(&self.bucket);
                }
            }
        });
    }
}
