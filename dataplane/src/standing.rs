//! What runs in the process at a moment, for the control plane when it asks.
//!
//! The thread of the control link opens a round and hands it to every shard; each adds what it has and lets go of it.
//! When the last has done so, the link is told the sum, also if a shard has ended. Nothing is counted for it while
//! nobody asks.

use std::sync::Arc;

use crossbeam::channel::{Receiver, Sender, bounded};
use crossbeam::queue::ArrayQueue;
use sluice_shared::wire::control::Standing;

use crate::wake::Bell;

/// What each shard adds to, see the module.
#[derive(Debug)]
pub struct StandingRound {
    parts: ArrayQueue<Standing>,
    done: Sender<Standing>,
    bell: Bell,
}

impl StandingRound {
    /// A shard says what it has, once.
    pub(crate) fn hand_in(&self, part: Standing) {
        // One more than there are shards would be a fault of the caller; it is not counted.
        let _ = self.parts.push(part);
    }
}

impl Drop for StandingRound {
    fn drop(&mut self) {
        let mut sum = Standing::default();
        while let Some(part) = self.parts.pop() {
            sum.merge(&part);
        }
        // Only one round is open at a time; what nobody has fetched yet is not replaced.
        let _ = self.done.try_send(sum);
        self.bell.ring();
    }
}

/// The link's end.
pub(crate) struct StandingRounds {
    sender: Sender<Standing>,
    /// Sums of rounds that are over.
    pub(crate) over: Receiver<Standing>,
    open: std::sync::Weak<StandingRound>,
}

impl StandingRounds {
    pub(crate) fn new() -> Self {
        let (sender, over) = bounded(1);
        Self {
            sender,
            over,
            open: std::sync::Weak::new(),
        }
    }

    /// Opens a round for this many shards; `None` while one is open.
    pub(crate) fn open(&mut self, shards: usize, bell: &Bell) -> Option<Arc<StandingRound>> {
        if self.open.strong_count() > 0 {
            return None;
        }
        let round = Arc::new(StandingRound {
            parts: ArrayQueue::new(shards.max(1)),
            done: self.sender.clone(),
            bell: bell.clone(),
        });
        self.open = Arc::downgrade(&round);
        Some(round)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::wake::wake_pair;

    fn running(running: u64) -> Standing {
        Standing {
            running,
            ..Standing::default()
        }
    }

    #[test]
    fn a_round_ends_with_the_last_shard_and_only_one_is_open() {
        let (bell, _ear) = wake_pair().unwrap();
        let mut rounds = StandingRounds::new();
        let first = rounds.open(2, &bell).unwrap();
        let second = Arc::clone(&first);
        assert!(rounds.open(2, &bell).is_none());
        first.hand_in(running(1));
        drop(first);
        assert!(rounds.over.try_recv().is_err(), "one shard has not said yet");
        second.hand_in(running(2));
        drop(second);
        assert_eq!(rounds.over.try_recv(), Ok(running(3)));
        // A shard that has ended says nothing and holds nobody up.
        drop(rounds.open(2, &bell));
        assert_eq!(rounds.over.try_recv(), Ok(running(0)));
    }
}
