//! A shard's part of a node's bucket: reserve and settle without touching anything shared.

use super::{AMOUNT_MAX, signed, unsigned};

/// What a shard has of a bucket.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct ShardLease {
    /// Free to be reserved; below 0 after a charge beyond its reservation, until that is taken from the cell.
    pub free: i64,
    /// Reserved by running requests.
    pub reserved: u64,
    /// Charges that the cell has not been told of.
    pub charged: u64,
}

impl ShardLease {
    /// Reserves an amount; `false`, and nothing changes, if it is not there. More than [`AMOUNT_MAX`] is never there.
    pub fn reserve(&mut self, need: u64) -> bool {
        if need > AMOUNT_MAX || self.free < signed(need) {
            return false;
        }
        self.free = self.free.saturating_sub(signed(need));
        self.reserved = self.reserved.saturating_add(need);
        true
    }

    /// What has to come from the cell before `need` can be reserved: the debt, too.
    #[must_use]
    pub const fn lacks(&self, need: u64) -> u64 {
        if need > AMOUNT_MAX {
            return need;
        }
        unsigned(signed(need).saturating_sub(self.free))
    }

    /// Ends a reservation: charges what was used and frees the rest. A use beyond the reservation is owed. A use above
    /// [`AMOUNT_MAX`] is cut to it, here and in the ledger.
    pub fn settle(&mut self, reserved: u64, used: u64) {
        let used = used.min(AMOUNT_MAX);
        self.reserved = self.reserved.saturating_sub(reserved);
        self.free = self
            .free
            .saturating_add(signed(reserved))
            .saturating_sub(signed(used));
        self.charged = self.charged.saturating_add(used);
    }

    /// Takes what came from the cell.
    pub fn add(&mut self, amount: u64) {
        self.free = self.free.saturating_add(signed(amount));
    }

    /// Gives up what is free, a debt included, and the charges that the cell has not been told of.
    #[must_use]
    pub fn give_up(&mut self) -> (i64, u64) {
        (std::mem::take(&mut self.free), std::mem::take(&mut self.charged))
    }

    /// Whether nothing is reserved, free or owed.
    #[must_use]
    pub const fn is_empty(&self) -> bool {
        self.free == 0 && self.reserved == 0 && self.charged == 0
    }
}

/// How much a shard takes from the cell at a time when it lacks `need` and the cell has `free`: its part of half of what
/// is there while that is plenty, else exactly what it needs; 0 if that is not there.
#[must_use]
pub fn chunk(free: i64, need: u64, shards: u32) -> u64 {
    let free = unsigned(free);
    if free < need {
        return 0;
    }
    let part = free.checked_div(u64::from(shards).saturating_mul(2)).unwrap_or(0);
    if part >= need.saturating_mul(PLENTY) {
        part
    } else {
        need
    }
}

/// From how many times the need on a part of the cell is plenty.
const PLENTY: u64 = 4;
