//! The granter's side: the true balance of a bucket, and what of it is leased to whom.
//!
//! Every counter of a lease only grows, so a message that comes twice or late changes nothing: the larger value
//! holds. A grant that its holder has not seen when it asks again is taken back, which makes a lost answer harmless.
//!
//! The balance contains what is leased. It falls by charges alone, which come from the journal, each once; it grows
//! by refill and by hand, never above the ceiling. A lease is over when the journal of its holder has been stored to
//! its end: what it had not charged by then was never spent.

use rkyv::{Archive, Deserialize, Serialize};

use super::bucket::{Accrual, Rate, Terms};
use super::{signed, unsigned};
use crate::units::UnixMicros;

/// Millionths of the refill that holders may be promised together.
const WHOLE_PPM: u32 = 1_000_000;

/// The true state of one bucket.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Account {
    /// Ceiling and refill.
    pub terms: Terms,
    /// What is there, leased or not; negative after charges beyond what was reserved.
    pub balance: i64,
    /// Refill below one amount.
    pub accrual: Accrual,
    /// Up to when it has been refilled.
    pub as_of: UnixMicros,
    /// Sum of all charges.
    pub charged: u64,
}

/// What one holder has of a bucket.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Lease {
    /// Whose: the number of the data plane's journal.
    pub holder: u64,
    /// Last question that was answered.
    pub seq: u64,
    /// Ever granted.
    pub granted: u64,
    /// Ever given back.
    pub returned: u64,
    /// Ever credited by the holder itself, from its share of the refill, while we were away.
    pub advanced: u64,
    /// Ever charged by it, as stored from its journal.
    pub charged: u64,
    /// Its share of the refill, in millionths.
    pub share_ppm: u32,
    /// When it last reported `advanced`: since then it may have credited its share without our knowing.
    pub as_of: UnixMicros,
}

/// A holder's question. All sums are since the holder began.
#[derive(Archive, Serialize, Deserialize, Clone, Copy, Debug, Default, PartialEq, Eq)]
#[rkyv(derive(Debug))]
pub struct Ask {
    /// Counts the holder's questions about this bucket, from 1.
    pub seq: u64,
    /// Granted, as far as it knows.
    pub seen: u64,
    /// Given back.
    pub returned: u64,
    /// Credited by itself.
    pub advanced: u64,
    /// What a waiting request lacks; 0 if it only reports.
    pub need: u64,
}

/// The answer to an [`Ask`].
#[derive(Archive, Serialize, Deserialize, Clone, Copy, Debug, Default, PartialEq, Eq)]
#[rkyv(derive(Debug))]
pub struct Grant {
    /// Of the question.
    pub seq: u64,
    /// Ever granted; never below what the holder said that it had seen.
    pub granted: u64,
    /// Ceiling and refill in force.
    pub terms: Terms,
    /// What the holder may credit itself while the ledger is away, from the moment it asked.
    pub share: Rate,
}

impl Account {
    /// A new bucket: full.
    #[must_use]
    pub const fn open(terms: Terms, now: UnixMicros) -> Self {
        Self {
            terms,
            balance: terms.ceiling(),
            accrual: Accrual { remainder: 0 },
            as_of: now,
            charged: 0,
        }
    }

    /// Refills up to a moment. One before the last changes nothing.
    pub fn refill(&mut self, to: UnixMicros) {
        let Some(elapsed) = to.0.checked_sub(self.as_of.0) else {
            return;
        };
        self.as_of = to;
        let came = self.accrual.take(self.terms.rate, elapsed);
        self.balance = self.balance.saturating_add(signed(came));
        self.cap();
    }

    /// The clock of a new process says another time: what was refilled in a future that has not come yet counts as
    /// refilled, and time goes on from now.
    pub fn resume(&mut self, now: UnixMicros) {
        if self.as_of > now {
            self.as_of = now;
        }
    }

    fn cap(&mut self) {
        let ceiling = self.terms.ceiling();
        if self.balance >= ceiling {
            self.balance = ceiling;
            self.accrual.clear();
        }
    }

    /// Charges what a request used at a moment, which is refilled up to first. A moment in the future is `now`.
    pub fn charge(&mut self, amount: u64, at: UnixMicros, now: UnixMicros) {
        self.refill(at.min(now));
        self.balance = self.balance.saturating_sub(signed(amount));
        self.charged = self.charged.saturating_add(amount);
    }

    /// Other terms: what time has brought until now is kept, what is above the new ceiling is gone.
    pub fn set_terms(&mut self, terms: Terms, now: UnixMicros) {
        self.refill(now);
        if terms.rate != self.terms.rate {
            self.accrual.clear();
        }
        self.terms = terms;
        self.cap();
    }

    /// Adds an amount by hand, up to the ceiling; what was really added.
    pub fn add(&mut self, amount: u64, now: UnixMicros) -> u64 {
        self.refill(now);
        let before = self.balance;
        self.balance = self.balance.saturating_add(signed(amount));
        self.cap();
        unsigned(self.balance.saturating_sub(before))
    }

    /// What is not leased to anybody; negative where leases and advances exceed the balance.
    #[must_use]
    pub fn free(&self, leases: &[Lease]) -> i64 {
        leases.iter().fold(self.balance, |free, lease| {
            free.saturating_sub(lease.outstanding(self.terms, self.as_of))
        })
    }

    /// Answers a holder. `others` are the leases of everybody else. The bucket is refilled up to `now` first. A question
    /// that is older than the last is not answered: `None`.
    ///
    /// With one holder it gets all there is. With several, it gets what it needs, and of the rest its part.
    pub fn answer(
        &mut self,
        lease: &mut Lease,
        others: &[Lease],
        ask: &Ask,
        now: UnixMicros,
    ) -> Option<Grant> {
        if ask.seq <= lease.seq {
            return None;
        }
        self.refill(now);
        lease.seq = ask.seq;
        // What it has not seen, it cannot have spent.
        lease.granted = ask.seen;
        lease.returned = lease.returned.max(ask.returned);
        lease.advanced = lease.advanced.max(ask.advanced);
        lease.as_of = self.as_of;
        let promised = others
            .iter()
            .fold(0u32, |sum, other| sum.saturating_add(other.share_ppm));
        let holders = u32::try_from(others.len()).unwrap_or(u32::MAX).saturating_add(1);
        let fair = WHOLE_PPM.checked_div(holders).unwrap_or(0);
        lease.share_ppm =
            WHOLE_PPM
                .saturating_sub(promised)
                .min(if others.is_empty() { WHOLE_PPM } else { fair });
        let free = self
            .free(others)
            .saturating_sub(lease.outstanding(self.terms, self.as_of));
        let free = unsigned(free);
        let part = if others.is_empty() {
            free
        } else {
            let parts = u64::from(holders).saturating_mul(2);
            free.checked_div(parts).unwrap_or(0).max(ask.need.min(free))
        };
        lease.granted = lease.granted.saturating_add(part);
        Some(Grant {
            seq: ask.seq,
            granted: lease.granted,
            terms: self.terms,
            share: self.terms.rate.share(lease.share_ppm),
        })
    }
}

impl Lease {
    /// A holder that has nothing yet.
    #[must_use]
    pub fn new(holder: u64, now: UnixMicros) -> Self {
        Self {
            holder,
            as_of: now,
            ..Self::default()
        }
    }

    /// What the holder may still have: granted and credited, less given back and charged; with what it may have
    /// credited itself since it last reported.
    #[must_use]
    pub fn outstanding(&self, terms: Terms, now: UnixMicros) -> i64 {
        let since = now.0.saturating_sub(self.as_of.0);
        let unreported = Accrual::default().take(terms.rate.share(self.share_ppm), since);
        let plus = signed(self.granted).saturating_add(signed(self.advanced));
        let minus = signed(self.returned).saturating_add(signed(self.charged));
        let known = plus.saturating_sub(minus);
        // It never credits itself above the ceiling.
        let most = terms.ceiling().saturating_sub(known).max(0);
        known.saturating_add(signed(unreported).min(most))
    }
}
