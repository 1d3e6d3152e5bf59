//! The holder's side: what a node has of a bucket, and what it says to the ledger.
//!
//! The node's own cell (free amount, sum of charges) is shared between threads and stands elsewhere; here is what one
//! thread of the node keeps beside it. Between asking and being answered nothing is credited from the share of the
//! refill, because the ledger may be granting that same time.

use super::bucket::{Accrual, Rate, Terms};
use super::ledger::{Ask, Grant};
use super::{signed, unsigned};
use crate::units::MonoMicros;

/// A node's lease of one bucket.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Holder {
    seq: u64,
    seen: u64,
    returned: u64,
    advanced: u64,
    /// A question is under way.
    asking: bool,
    /// The share of the refill counts from here.
    since: MonoMicros,
    share: Rate,
    accrual: Accrual,
    terms: Terms,
}

impl Holder {
    /// A node that has nothing yet.
    #[must_use]
    pub fn new(now: MonoMicros) -> Self {
        Self {
            since: now,
            ..Self::default()
        }
    }

    /// Ceiling and refill, as the ledger last said.
    #[must_use]
    pub const fn terms(&self) -> Terms {
        self.terms
    }

    /// Whether the ledger has ever answered.
    #[must_use]
    pub const fn is_open(&self) -> bool {
        self.seen > 0 || self.terms.capacity > 0 || self.share.amount > 0 || (self.seq > 0 && !self.asking)
    }

    /// Whether a question is under way.
    #[must_use]
    pub const fn is_asking(&self) -> bool {
        self.asking
    }

    /// Ever granted, credited by itself and given back. With the sum of charges: what the node has.
    #[must_use]
    pub fn held(&self, charged: u64) -> i64 {
        signed(self.seen)
            .saturating_add(signed(self.advanced))
            .saturating_sub(signed(self.returned))
            .saturating_sub(signed(charged))
    }

    /// The next question. Call [`Self::advance`] first only where the ledger was away.
    pub fn ask(&mut self, need: u64, now: MonoMicros) -> Ask {
        self.seq = self.seq.saturating_add(1);
        self.asking = true;
        self.since = now;
        self.accrual.clear();
        Ask {
            seq: self.seq,
            seen: self.seen,
            returned: self.returned,
            advanced: self.advanced,
            need,
        }
    }

    /// Takes an answer; what is to be added to the cell. `None`: it answers an older question.
    pub fn granted(&mut self, grant: &Grant, now: MonoMicros) -> Option<u64> {
        if !self.asking || grant.seq != self.seq {
            return None;
        }
        self.asking = false;
        self.since = now;
        self.accrual.clear();
        self.share = grant.share;
        self.terms = grant.terms;
        let more = grant.granted.saturating_sub(self.seen);
        self.seen = grant.granted.max(self.seen);
        Some(more)
    }

    /// The ledger is away: the question under way will not be answered.
    pub fn lost(&mut self) {
        self.asking = false;
    }

    /// While the ledger is away: credits the share of the refill since the last report; what is to be added to the
    /// cell. `charged` is the sum of charges; what the node holds never exceeds the ceiling by this.
    pub fn advance(&mut self, charged: u64, now: MonoMicros) -> u64 {
        if self.asking {
            return 0;
        }
        let elapsed = now.since(self.since);
        self.since = now;
        let came = self.accrual.take(self.share, elapsed);
        let room = unsigned(self.terms.ceiling().saturating_sub(self.held(charged)));
        let more = came.min(room);
        if more == room {
            self.accrual.clear();
        }
        self.advanced = self.advanced.saturating_add(more);
        more
    }

    /// What the node must give back because it has more than the ceiling: after the ceiling was lowered.
    #[must_use]
    pub fn excess(&self, charged: u64) -> u64 {
        unsigned(self.held(charged).saturating_sub(self.terms.ceiling()))
    }

    /// Gives back what was taken out of the cell for it.
    pub fn give_back(&mut self, amount: u64) {
        self.returned = self.returned.saturating_add(amount);
    }
}
