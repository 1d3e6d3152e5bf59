//! What a request asks of its buckets, holds of them while it runs, and leaves behind.

use std::cell::Cell;
use std::rc::Rc;

use sluice_shared::quota::{AMOUNT_MAX, Charge, Terms};
use smallvec::SmallVec;

use super::bucket::Bucket;

/// An amount that a request needs of a bucket.
#[derive(Clone, Debug)]
pub(crate) struct Want {
    /// Which bucket; see [`super::Buckets::bucket`].
    pub(crate) bucket: Rc<Bucket>,
    /// How much, in the smallest amount of the unit; what is more than [`AMOUNT_MAX`] counts as that.
    pub(crate) need: u64,
}

/// Why a request does not get what it needs. `index` is that of the want.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Short {
    /// It is not there.
    Exhausted {
        /// Of the first want that is short.
        index: usize,
        /// Seconds until the refill will have brought it; `None`: it never will.
        retry_after_s: Option<u32>,
        /// What the shard and the node have free; negative: owed.
        free: i64,
        /// Ceiling and refill.
        terms: Terms,
    },
    /// Nobody can say: the control plane is away and the bucket was never opened, or there is no room for it.
    Unavailable {
        /// Of the want.
        index: usize,
    },
    /// No such limit is defined.
    Undefined {
        /// Of the want.
        index: usize,
    },
}

/// What a running request holds. Dropping it gives everything back and charges nothing.
#[derive(Debug, Default)]
pub(crate) struct Reservation {
    held: SmallVec<[Held; 4]>,
    shards: u32,
    /// Counts the reservations of the shard.
    open: Option<Rc<Cell<u64>>>,
}

#[derive(Debug)]
struct Held {
    bucket: Rc<Bucket>,
    amount: u64,
}

impl Held {
    fn charge(&self, amount: u64) -> Charge {
        Charge {
            bucket: self.bucket.cell().id(),
            unit: self.bucket.unit(),
            amount,
        }
    }
}

impl Reservation {
    pub(super) fn new(shards: u32, open: &Rc<Cell<u64>>) -> Self {
        open.set(open.get().wrapping_add(1));
        Self {
            held: SmallVec::new(),
            shards,
            open: Some(Rc::clone(open)),
        }
    }

    /// Takes hold of an amount more, which has been reserved.
    pub(super) fn push(&mut self, bucket: Rc<Bucket>, amount: u64) {
        self.held.push(Held { bucket, amount });
    }

    /// What is reserved, for the record in the making: if the process dies, it stands for what was used.
    pub(crate) fn charges(&self) -> SmallVec<[Charge; 2]> {
        self.held.iter().map(|held| held.charge(held.amount)).collect()
    }

    /// What is reserved of a want; 0 for one that was never made.
    pub(crate) fn reserved(&self, index: usize) -> u64 {
        self.held.get(index).map_or(0, |held| held.amount)
    }

    /// Reserves more, at once or not at all: nobody is asked. `false`, and nothing has changed, if it is not there.
    pub(crate) fn extend(&mut self, index: usize, more: u64) -> bool {
        let shards = self.shards;
        let Some(held) = self.held.get_mut(index) else {
            return false;
        };
        let more = more.min(AMOUNT_MAX);
        if !held.bucket.extend(more, shards) {
            return false;
        }
        held.amount = held.amount.saturating_add(more);
        true
    }

    /// Ends it with what was used, in the order of the wants; a want without a figure used nothing. The charges for the
    /// record; those of nothing are left out.
    pub(crate) fn settle(mut self, used: &[u64]) -> SmallVec<[Charge; 2]> {
        let held = std::mem::take(&mut self.held);
        let used = used.iter().copied().chain(std::iter::repeat(0));
        let mut charges = SmallVec::new();
        for (held, used) in held.into_iter().zip(used) {
            let used = used.min(AMOUNT_MAX);
            held.bucket.settle(held.amount, used);
            if used > 0 {
                charges.push(held.charge(used));
            }
        }
        charges
    }
}

impl Drop for Reservation {
    fn drop(&mut self) {
        for held in self.held.drain(..) {
            held.bucket.settle(held.amount, 0);
        }
        if let Some(open) = &self.open {
            open.set(open.get().wrapping_sub(1));
        }
    }
}
