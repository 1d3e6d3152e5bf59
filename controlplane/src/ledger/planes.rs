//! Connected data planes, and what each is still to be told. What waits is bounded by the buckets that a data plane has
//! leases of: what is said twice before it is sent is sent once.

use std::collections::{BTreeSet, VecDeque};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use sluice_shared::wire::control::ToData;
use tokio::sync::Notify;

/// Marks that wait for one data plane; they are for metrics, and the oldest give way.
const MARKS_MAX: usize = 1_024;

/// Everybody who is connected.
#[derive(Default)]
pub(super) struct Planes(Arc<Mutex<Connected>>);

#[derive(Default)]
struct Connected {
    last: u64,
    planes: Vec<(u64, Arc<Outbox>)>,
}

/// A data plane's connection.
pub(crate) struct Plane {
    number: u64,
    outbox: Arc<Outbox>,
    planes: Arc<Mutex<Connected>>,
}

struct Outbox {
    incarnation: u64,
    told: Mutex<Told>,
    filled: Notify,
}

/// What is to be told.
#[derive(Default)]
struct Told {
    changed: BTreeSet<u64>,
    recalled: BTreeSet<u64>,
    marks: VecDeque<(String, u8)>,
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

impl Planes {
    pub(super) fn connected(&self, incarnation: u64) -> Plane {
        let outbox = Arc::new(Outbox {
            incarnation,
            told: Mutex::default(),
            filled: Notify::new(),
        });
        let mut connected = lock(&self.0);
        connected.last = connected.last.wrapping_add(1);
        let number = connected.last;
        connected.planes.push((number, outbox.clone()));
        Plane {
            number,
            outbox,
            planes: self.0.clone(),
        }
    }

    /// More may be there in a bucket of these data planes than they know.
    pub(super) fn changed(&self, incarnations: &[u64], bucket: u64) {
        self.tell(
            |incarnation| incarnations.contains(&incarnation),
            |told| {
                told.changed.insert(bucket);
            },
        );
    }

    /// A data plane is to give back what lies idle.
    pub(super) fn recall(&self, incarnation: u64, bucket: u64) {
        self.tell(
            |it| it == incarnation,
            |told| {
                told.recalled.insert(bucket);
            },
        );
    }

    /// A mark is reached: everybody counts it.
    pub(super) fn marked(&self, quota: &str, percent: u8) {
        self.tell(
            |_| true,
            |told| {
                told.marks.push_back((quota.to_owned(), percent));
                if told.marks.len() > MARKS_MAX {
                    told.marks.pop_front();
                }
            },
        );
    }

    fn tell(&self, whom: impl Fn(u64) -> bool, what: impl Fn(&mut Told)) {
        let connected = lock(&self.0);
        for (_, outbox) in connected.planes.iter().filter(|(_, it)| whom(it.incarnation)) {
            what(&mut lock(&outbox.told));
            outbox.filled.notify_one();
        }
    }
}

impl Plane {
    /// Waits for the next thing to tell. Can be dropped while it waits: nothing is lost.
    pub(crate) async fn next(&self) -> ToData {
        loop {
            let filled = self.outbox.filled.notified();
            if let Some(frame) = lock(&self.outbox.told).take() {
                return frame;
            }
            filled.await;
        }
    }
}

impl Told {
    /// Recalls first: somebody waits for them.
    fn take(&mut self) -> Option<ToData> {
        if let Some(bucket) = self.recalled.pop_first() {
            return Some(ToData::RecallBucket { bucket });
        }
        if let Some(bucket) = self.changed.pop_first() {
            return Some(ToData::BucketChanged { bucket });
        }
        let (quota, percent) = self.marks.pop_front()?;
        Some(ToData::QuotaMark { quota, percent })
    }
}

impl Drop for Plane {
    fn drop(&mut self) {
        lock(&self.planes)
            .planes
            .retain(|(number, _)| *number != self.number);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn each_is_told_once_what_concerns_it() {
        let planes = Planes::default();
        let (first, second) = (planes.connected(1), planes.connected(2));
        planes.changed(&[1], 7);
        planes.changed(&[1, 2], 7);
        planes.recall(2, 9);
        planes.recall(3, 9);
        for percent in 0..=u8::MAX {
            for _ in 0..5 {
                planes.marked("q", percent);
            }
        }
        assert_eq!(first.next().await, ToData::BucketChanged { bucket: 7 });
        assert_eq!(second.next().await, ToData::RecallBucket { bucket: 9 });
        assert_eq!(second.next().await, ToData::BucketChanged { bucket: 7 });
        for plane in [&first, &second] {
            let mark = |percent| ToData::QuotaMark {
                quota: "q".into(),
                percent,
            };
            assert_eq!(plane.next().await, mark(51), "the oldest gave way");
            let mut rest = 1;
            while lock(&plane.outbox.told).take().is_some() {
                rest += 1;
            }
            assert_eq!(rest, MARKS_MAX);
        }
        let waiting = tokio::spawn(async move { first.next().await });
        tokio::task::yield_now().await;
        planes.recall(1, 3);
        assert_eq!(waiting.await.unwrap(), ToData::RecallBucket { bucket: 3 });
        drop(second);
        assert!(lock(&planes.0).planes.is_empty(), "who is gone is forgotten");
    }
}
