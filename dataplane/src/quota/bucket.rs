//! A shard's lease of one bucket.

use std::cell::Cell;
use std::sync::Arc;

use sluice_shared::quota::shard::ShardLease;
use sluice_shared::quota::{Unit, signed, unsigned};

use super::cell::{MOVED, NodeCell, OPEN, TIGHT};

/// A bucket as one shard sees it: what it holds of the node's cell, in plain integers.
#[derive(Debug)]
pub(crate) struct Bucket {
    cell: Arc<NodeCell>,
    lease: Cell<ShardLease>,
    unit: Unit,
    /// Rounds of the sweep since it was last used.
    rounds: Cell<u8>,
}

impl Bucket {
    pub(super) fn new(cell: Arc<NodeCell>, unit: Unit) -> Self {
        Self {
            cell,
            unit,
            lease: Cell::default(),
            rounds: Cell::new(0),
        }
    }

    pub(super) fn cell(&self) -> &Arc<NodeCell> {
        &self.cell
    }

    /// What it counts.
    pub(crate) fn unit(&self) -> Unit {
        self.unit
    }

    /// Whether it is open, and still the one that counts: who has kept it need not look it up anew.
    pub(crate) fn counts(&self) -> bool {
        self.cell.is(OPEN) && !self.cell.is(MOVED)
    }

    /// What this shard and the node have free, for whoever is told; `None` before it is open. Other shards and nodes may
    /// have more.
    pub(crate) fn left(&self) -> Option<i64> {
        self.counts().then(|| self.free_in_all())
    }

    /// Free in this shard, owed if negative.
    pub(super) fn free(&self) -> i64 {
        self.lease.get().free
    }

    /// Free in this shard and the cell.
    pub(super) fn free_in_all(&self) -> i64 {
        self.cell.free().saturating_add(self.free())
    }

    /// Reserves an amount from the lease, or with what that lacks from the cell; `false`, and nothing changes, if it is
    /// not there or the bucket is not open.
    pub(super) fn reserve(&self, need: u64, shards: u32) -> bool {
        if !self.cell.is(OPEN) {
            return false;
        }
        self.rounds.set(0);
        self.extend(need, shards)
    }

    /// The same for a bucket that is known to be open.
    pub(super) fn extend(&self, need: u64, shards: u32) -> bool {
        if self.cell.free() < 0 {
            // What another shard owes comes before what lies idle here.
            self.flush();
        }
        let mut lease = self.lease.get();
        if !lease.reserve(need) {
            let Some(got) = self
                .cell
                .take(unsigned(signed(need).saturating_sub(lease.free)), shards)
            else {
                return false;
            };
            lease.add(got);
            if !lease.reserve(need) {
                // What was needed came, so this is never reached; if it were, nothing would be lost.
                self.lease.set(lease);
                return false;
            }
        }
        self.lease.set(lease);
        true
    }

    /// Ends a reservation. The rest stays here, unless something is owed or the bucket is tight.
    pub(super) fn settle(&self, reserved: u64, used: u64) {
        let mut lease = self.lease.get();
        lease.settle(reserved, used);
        self.lease.set(lease);
        if lease.free < 0 || self.cell.is(TIGHT) {
            self.flush();
        }
    }

    /// Returns to the cell what lies idle, and tells it what was charged.
    pub(super) fn flush(&self) {
        let mut lease = self.lease.get();
        let (free, charged) = lease.give_up();
        self.lease.set(lease);
        self.cell.give(free, charged);
    }

    /// One round of the sweep has passed; how many since the last use.
    pub(super) fn age(&self) -> u8 {
        let rounds = self.rounds.get().saturating_add(1);
        self.rounds.set(rounds);
        rounds
    }
}

#[cfg(test)]
mod tests {
    use super::super::cell::Key;
    use super::*;

    #[test]
    fn what_another_shard_owes_comes_before_what_lies_idle_here() {
        let cell = Arc::new(NodeCell::new(Key(1, 2)));
        cell.open(7, 0);
        cell.add(1_000);
        let [one, two] = [(); 2].map(|()| Bucket::new(Arc::clone(&cell), Unit::Usd));
        assert!(one.reserve(1, 2) && two.reserve(1, 2));
        assert!(one.free() > 1, "there is plenty, so a part of it is taken");
        // The other uses more than there is in all.
        two.settle(1, 5_000);
        assert!(!one.reserve(1, 2), "{} is free in the cell", cell.free());
        assert_eq!(
            (one.free(), one.free_in_all()),
            (0, -4_001),
            "all that is left is reserved: 1"
        );
        one.settle(1, 0);
        assert_eq!(one.free_in_all(), -4_000);
    }
}
