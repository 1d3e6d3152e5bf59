//! The holder's side: what a node has of a bucket, and what it says to the ledger.
//!
//! The node's own cell (free amount, sum of charges) is shared between threads and stands elsewhere; here is what one
//! thread of the node keeps beside it.
//!
//! The share of the refill is for the time in which the ledger is away. While it is there, it refills and grants; so an
//! answer starts that time anew, and between asking and being answered nothing is credited, because the ledger may be
//! granting that same time. Every question says up to when the time is used up (`answered`, `used_us`), so that the
//! ledger knows the most that the node may have, whether or not the answer arrives:
//!
//! ```text
//! answer 4 ─────advance────▶ since ── ── ── ask 5 ── ── ── ▶ answer 5: since = its arrival
//!    └──────── used_us ───────┘                     └─ lost: since stays, and goes on counting
//! ```
//!
//! A node that shares the refill with others gives up the time until it asks, or nobody could be granted that time
//! before the node has asked once more. One that has all of the refill keeps it: should the ledger die before it
//! answers, what has been refilled since the last answer is not out of reach.

use super::bucket::{Accrual, Rate, Terms};
use super::ledger::{Ask, Grant};
use super::{apart, unsigned};
use crate::units::MonoMicros;

mod quiet;

pub use quiet::Quiet;

/// A node's lease of one bucket.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Holder {
    seq: u64,
    /// First question of the stint; 0: none yet.
    first: u64,
    /// Question whose answer came last; 0: none yet.
    answered: u64,
    /// When that answer came.
    answered_at: MonoMicros,
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
            answered_at: now,
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
        self.answered > 0
    }

    /// Whether a question is under way.
    #[must_use]
    pub const fn is_asking(&self) -> bool {
        self.asking
    }

    /// Ever granted, credited by itself and given back. With the sum of charges: what the node has.
    #[must_use]
    pub fn held(&self, charged: u64) -> i64 {
        apart([self.seen, self.advanced], [self.returned, charged])
    }

    /// A node that takes up a bucket, perhaps again: its questions count on from `seq`, which is at least that of any it
    /// has ever asked about the bucket.
    #[must_use]
    pub fn begin(seq: u64, now: MonoMicros) -> Self {
        Self {
            seq,
            ..Self::new(now)
        }
    }

    /// The last question of a stint, after everything that was free has been given back: what is [`Self::held`] is 0. A
    /// holder that owes cannot leave, or its debt would be granted to it a second time when it comes back. Once the
    /// question is answered, the holder is to be forgotten; until then nothing may be credited, and only this may be
    /// asked again.
    pub fn last(&mut self, now: MonoMicros) -> Ask {
        Ask {
            last: true,
            ..self.ask(0, now)
        }
    }

    /// The next question. Call [`Self::advance`] first where the ledger was away, and only there.
    pub fn ask(&mut self, need: u64, now: MonoMicros) -> Ask {
        self.seq = self.seq.saturating_add(1);
        if self.first == 0 {
            self.first = self.seq;
        }
        self.asking = true;
        // The ledger counts from `since` in whole amounts; a part from before would be one more.
        self.accrual.clear();
        if need == 0 || self.share != self.terms.rate {
            self.since = now;
        }
        Ask {
            seq: self.seq,
            first: self.first,
            last: false,
            answered: self.answered,
            used_us: self.since.since(self.answered_at),
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
        self.answered = grant.seq;
        self.answered_at = now;
        self.since = now;
        self.accrual.clear();
        self.share = grant.share;
        self.terms = grant.terms;
        // Never below what was seen.
        let more = unsigned(apart([grant.granted, 0], [self.seen, 0]));
        self.seen = self.seen.wrapping_add(more);
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
        self.advanced = self.advanced.wrapping_add(more);
        more
    }

    /// What the node must give back because it has more than the ceiling: after the ceiling was lowered. `charged` must
    /// contain what shards have charged: recall first, or what was spent long ago would be given back and granted again.
    #[must_use]
    pub fn excess(&self, charged: u64) -> u64 {
        unsigned(self.held(charged).saturating_sub(self.terms.ceiling()))
    }

    /// Gives back what was taken out of the cell for it.
    pub fn give_back(&mut self, amount: u64) {
        self.returned = self.returned.wrapping_add(amount);
    }
}
