//! The granter's side: the true balance of a bucket, and what of it is leased to whom.
//!
//! The counters of a lease only grow, and questions are numbered, so a message that comes twice or late changes
//! nothing. A grant that its holder has not seen when it asks again is taken back, which makes a lost answer harmless.
//! Until it asks again nobody knows whether the answer arrived. What is free for others is therefore what is left in
//! the worse of two cases ([`Lease::outstanding`]):
//!
//! - it arrived: the holder has what was granted, and its share of the refill from the answer on;
//! - it did not: the holder has what it had seen, and its share from the time that its question named.
//!
//! The balance contains what is leased. It falls by charges alone, which come from the journal, each once; it grows
//! by refill and by hand, never above the ceiling. A lease is over when the journal of its holder has been stored to
//! its end: what it had not charged by then was never spent.
//!
//! Charges come late, because a journal is read behind the present, or after an hour in which nobody read it. Refill
//! that did not fit meanwhile is remembered ([`Account::spilled`]) and makes good for what had been charged before it:
//! the balance is what it would be had every charge been known at its moment.

use rkyv::{Archive, Deserialize, Serialize};

use super::bucket::{Accrual, Rate, Terms, WHOLE_PPM};
use super::{AMOUNT_MAX, apart, signed, unsigned};
use crate::units::UnixMicros;

#[cfg(test)]
mod stints;

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
    /// Sum of all charges, for people; at most `u64::MAX`.
    pub charged: u64,
    /// Refill that did not fit since the bucket has been full; 0 while it is not full. A charge from before that
    /// refill takes of this first.
    pub spilled: u64,
}

/// What one holder has of a bucket.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Lease {
    /// Whose: the number of the data plane's journal.
    pub holder: u64,
    /// Last question that was answered.
    pub seq: u64,
    /// First question of its present stint ([`Ask::first`]).
    pub first: u64,
    /// What came of its former stints: granted and credited, less given back. That has been charged, or will be.
    pub before: u64,
    /// Granted in this stint.
    pub granted: u64,
    /// Granted in this stint, as far as the holder knew when it asked last.
    pub seen: u64,
    /// Given back in this stint.
    pub returned: u64,
    /// Credited in this stint by the holder itself, from its share of the refill, while we were away.
    pub advanced: u64,
    /// Ever charged by it, as stored from its journal; see [`Self::charge`].
    pub charged: u64,
    /// Its share of the refill, if the last answer arrived.
    pub share: Rate,
    /// When that answer was given: if it arrived, the share may have been credited from here on.
    pub as_of: UnixMicros,
    /// Its share of the refill, if the last answer did not arrive.
    pub share_before: Rate,
    /// From when on that share may have been credited without our knowing.
    pub since: UnixMicros,
}

/// A holder's question. All sums are since its stint began: a holder that has had no use for a bucket for some time gives
/// everything back with a `last` question and forgets the bucket once that is answered; if it needs the bucket again, it
/// begins with sums of 0 and a larger `first`.
#[derive(Archive, Serialize, Deserialize, Clone, Copy, Debug, Default, PartialEq, Eq)]
#[rkyv(derive(Debug))]
pub struct Ask {
    /// Grows with every question of the holder about this bucket, over all stints; at least 1.
    pub seq: u64,
    /// `seq` of the first question of the stint.
    pub first: u64,
    /// The stint ends: nothing is to be granted, nothing will be credited, and whatever was not given back has been
    /// charged.
    pub last: bool,
    /// The question whose answer came last; 0: none yet.
    pub answered: u64,
    /// Microseconds after the arrival of that answer for which the holder will credit itself nothing more: they are in
    /// `advanced`, or given up.
    pub used_us: u64,
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
    /// Granted in this stint; never behind what the holder said that it had seen.
    pub granted: u64,
    /// Ceiling and refill in force.
    pub terms: Terms,
    /// What the holder may credit itself while the ledger is away, from the arrival of this on.
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
            spilled: 0,
        }
    }

    /// Refills up to a moment. One before the last changes nothing.
    pub fn refill(&mut self, to: UnixMicros) {
        let Some(elapsed) = to.0.checked_sub(self.as_of.0) else {
            return;
        };
        self.as_of = to;
        let came = self.accrual.take(self.terms.rate, elapsed);
        self.credit(came);
    }

    /// Adds refill; what does not fit is remembered.
    fn credit(&mut self, came: u64) {
        let room = unsigned(self.terms.ceiling().saturating_sub(self.balance));
        self.balance = self.balance.saturating_add(signed(came));
        if came >= room {
            self.spilled = self.spilled.saturating_add(came.saturating_sub(room));
        }
        self.cap();
    }

    /// The clock of a new process says another time: what was refilled in a future that has not come yet counts as
    /// refilled, and time goes on from now. By how many microseconds it was set back for that; each of its leases has to
    /// be set back by as much ([`Lease::set_back`]), since its moments lie on the same line.
    pub fn resume(&mut self, now: UnixMicros) -> u64 {
        let back_us = self.as_of.0.saturating_sub(now.0);
        self.as_of = self.as_of.min(now);
        back_us
    }

    fn cap(&mut self) {
        self.balance = self.balance.min(self.terms.ceiling());
    }

    /// Charges what a request used at a moment, which is refilled up to first. A moment in the future is `now`. An
    /// amount above [`AMOUNT_MAX`] is cut to it. Beside this, the lease of the holder takes note ([`Lease::charge`]).
    ///
    /// The moment is what somebody's clock said. One that was put back would have refill from before the request make
    /// good for it; so the caller passes no moment before it last had read all journals to their end, since then the
    /// request had not ended.
    pub fn charge(&mut self, amount: u64, at: UnixMicros, now: UnixMicros) {
        let amount = amount.min(AMOUNT_MAX);
        let at = at.min(now);
        let late_us = self.as_of.0.saturating_sub(at.0);
        self.refill(at);
        self.charged = self.charged.saturating_add(amount);
        if amount == 0 {
            return;
        }
        if self.balance >= self.terms.ceiling() {
            // The part of an amount that has gathered is above the ceiling, too.
            self.accrual.clear();
        }
        // What came after that moment and did not fit would have fitted.
        let fits = Accrual::default()
            .take(self.terms.rate, late_us)
            .min(self.spilled);
        let missing = amount.saturating_sub(fits);
        self.spilled = fits.saturating_sub(amount);
        self.balance = self.balance.saturating_sub(signed(missing));
    }

    /// Other terms: what time has brought until now is kept, what is above the new ceiling is gone. A bucket of which
    /// nothing was ever charged is full, as a new one would be: one that is never refilled, as for requests that run
    /// at the same time, could not grow otherwise.
    pub fn set_terms(&mut self, terms: Terms, now: UnixMicros) {
        self.refill(now);
        if terms == self.terms {
            return;
        }
        if terms.rate != self.terms.rate || self.balance >= self.terms.ceiling() {
            self.accrual.clear();
        }
        self.spilled = 0;
        self.terms = terms;
        if self.charged == 0 {
            self.balance = terms.ceiling();
        }
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

    /// What is not leased to anybody, as of the last refill; negative where leases and advances exceed the balance. What
    /// a holder owes, for charges beyond what it had reserved, is off the balance already and nobody else's to spend.
    #[must_use]
    pub fn free(&self, leases: &[Lease]) -> i64 {
        leases.iter().fold(self.balance, |free, lease| {
            free.saturating_sub(lease.outstanding(self.terms, self.as_of).max(0))
        })
    }

    /// Answers a holder. `others` are the leases of everybody else. The bucket is refilled up to `now` first. A question
    /// that is older than the last is not answered: `None`.
    ///
    /// With one holder it gets all there is. With several, it gets what it needs, or its part if that is more; and
    /// nothing if it needs nothing, so that what it gives back for the sake of others does not return to it.
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
        let now = self.as_of;
        if ask.first > lease.first {
            lease.begin(ask.first, now);
        }
        if lease.seq > 0 {
            // Time that the holder has seen pass and our clock has not, because it was put back while we were away.
            let credited = unsigned(apart([ask.advanced, 0], [lease.advanced, 0]));
            self.credit(credited.saturating_sub(lease.unreported(now)));
        }
        if ask.answered == lease.seq {
            lease.share_before = lease.share;
            lease.since = UnixMicros(lease.as_of.0.saturating_add(ask.used_us)).min(now);
        }
        lease.seq = ask.seq;
        // What it has not seen, it cannot have spent.
        lease.seen = ask.seen;
        lease.granted = ask.seen;
        lease.returned = ask.returned;
        lease.advanced = ask.advanced;
        lease.as_of = now;
        lease.share = self.terms.rate.share(self.share_ppm(others));
        if ask.last {
            (lease.share, lease.share_before) = (Rate::NONE, Rate::NONE);
        }
        let known = lease.known(lease.granted);
        let free = unsigned(self.free(others).saturating_sub(known));
        let part = if ask.last {
            0
        } else if others.is_empty() {
            free
        } else if ask.need == 0 {
            0
        } else {
            let parts = holders(others).saturating_mul(2);
            free.checked_div(u64::from(parts))
                .unwrap_or(0)
                .max(ask.need.min(free))
        };
        lease.granted = lease.granted.wrapping_add(part);
        Some(Grant {
            seq: ask.seq,
            granted: lease.granted,
            terms: self.terms,
            share: lease.share,
        })
    }

    /// The share of the refill for one more holder beside others: all of it if it is alone, else at most an equal part
    /// of what they have not been promised.
    fn share_ppm(&self, others: &[Lease]) -> u32 {
        if others.is_empty() {
            return WHOLE_PPM;
        }
        let promised = others.iter().fold(0u32, |sum, other| {
            let rate = self.terms.rate;
            sum.saturating_add(other.share.part_of(rate).max(other.share_before.part_of(rate)))
        });
        let fair = WHOLE_PPM.checked_div(holders(others)).unwrap_or(0);
        WHOLE_PPM.saturating_sub(promised).min(fair)
    }
}

/// How many holders there are with one more than these.
fn holders(others: &[Lease]) -> u32 {
    u32::try_from(others.len()).unwrap_or(u32::MAX).saturating_add(1)
}

impl Lease {
    /// A holder that has nothing yet.
    #[must_use]
    pub fn new(holder: u64, now: UnixMicros) -> Self {
        Self {
            holder,
            as_of: now,
            since: now,
            ..Self::default()
        }
    }

    /// A stint begins. The holder has forgotten the one before, so what it had not seen by then it has not had.
    fn begin(&mut self, first: u64, now: UnixMicros) {
        let granted = self.seen.wrapping_add(self.advanced);
        *self = Self {
            seq: self.seq,
            first,
            before: self.before.wrapping_add(granted).wrapping_sub(self.returned),
            charged: self.charged,
            ..Self::new(self.holder, now)
        };
    }

    /// Takes note of a charge from the holder's journal: so much less is outstanding.
    pub fn charge(&mut self, amount: u64) {
        self.charged = self.charged.wrapping_add(amount.min(AMOUNT_MAX));
    }

    /// Moves its moments with those of its bucket ([`Account::resume`]).
    pub fn set_back(&mut self, back_us: u64) {
        self.as_of = UnixMicros(self.as_of.0.saturating_sub(back_us));
        self.since = UnixMicros(self.since.0.saturating_sub(back_us));
    }

    /// The most that the holder may have: granted and credited, less given back and charged, with what it may have
    /// credited itself since it last reported; whether or not the last answer has arrived.
    #[must_use]
    pub fn outstanding(&self, terms: Terms, now: UnixMicros) -> i64 {
        let arrived = credited(self.known(self.granted), self.share, self.as_of, terms, now);
        let lost = credited(self.known(self.seen), self.share_before, self.since, terms, now);
        arrived.max(lost)
    }

    /// What the holder has by its own report, if it had been granted this much.
    fn known(&self, granted: u64) -> i64 {
        let granted = self.before.wrapping_add(granted);
        apart([granted, self.advanced], [self.returned, self.charged])
    }

    /// The most that the holder may have credited itself since it last reported.
    fn unreported(&self, now: UnixMicros) -> u64 {
        let arrived = share_of(self.share, self.as_of, now);
        let lost = share_of(self.share_before, self.since, now);
        arrived.max(lost)
    }
}

fn share_of(share: Rate, since: UnixMicros, now: UnixMicros) -> u64 {
    Accrual::default().take(share, now.0.saturating_sub(since.0))
}

/// With the share of the refill since a moment. No holder credits itself above the ceiling.
fn credited(known: i64, share: Rate, since: UnixMicros, terms: Terms, now: UnixMicros) -> i64 {
    let room = unsigned(terms.ceiling().saturating_sub(known));
    known.saturating_add(signed(share_of(share, since, now).min(room)))
}
