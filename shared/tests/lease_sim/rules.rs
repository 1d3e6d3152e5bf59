//! The functions under test, as the simulated processes call them: the real ones, or with one rule broken.

use sluice_shared::quota::lease::Holder;
use sluice_shared::quota::ledger::{Account, Ask, Grant, Lease};
use sluice_shared::quota::shard::ShardLease;
use sluice_shared::quota::{Rate, Terms};
use sluice_shared::units::{MonoMicros, UnixMicros};

use crate::fault::Fault;

fn before(fault: Fault, account: &mut Account) {
    match fault {
        Fault::RemainderDropped => account.accrual.clear(),
        Fault::SpillForgotten => account.spilled = 0,
        _ => {}
    }
}

/// Refills by the rules of the fault, so that what follows finds it done.
fn refill(fault: Fault, account: &mut Account, to: UnixMicros) {
    before(fault, account);
    let (old, since) = (account.balance, account.as_of);
    account.refill(to);
    if fault == Fault::RefilledAboveCeiling && to > since {
        let came = u128::from(account.terms.rate.amount) * u128::from(to.0 - since.0)
            / u128::from(account.terms.rate.per_us.max(1));
        account.balance = old + i64::try_from(came).unwrap();
    }
}

pub fn charge(
    fault: Fault,
    account: &mut Account,
    lease: Option<&mut Lease>,
    amount: u64,
    at: UnixMicros,
    now: UnixMicros,
) {
    let at = if fault == Fault::ChargedWhenStored {
        now
    } else {
        at
    };
    refill(fault, account, at.min(now));
    let high = account.balance - account.terms.ceiling();
    account.charge(amount, at, now);
    if fault == Fault::RefilledAboveCeiling && high > 0 {
        account.balance += high;
    }
    if let Some(lease) = lease {
        lease.charge(amount);
    }
}

pub fn answer(
    fault: Fault,
    account: &mut Account,
    lease: &mut Lease,
    others: &[Lease],
    ask: &Ask,
    now: UnixMicros,
) -> Option<Grant> {
    refill(fault, account, now);
    if fault == Fault::RefilledAboveCeiling && account.balance > account.terms.ceiling() {
        return None;
    }
    match fault {
        Fault::OldQuestionAnswered => lease.seq = lease.seq.min(ask.seq - 1),
        Fault::StintForgotten if ask.first > lease.first => {
            (lease.granted, lease.advanced, lease.returned) = (0, 0, 0);
        }
        _ => {}
    }
    let kept = lease.granted.saturating_sub(ask.seen);
    let mut grant = account.answer(lease, others, ask, now)?;
    let part = grant.granted - ask.seen;
    let more = match fault {
        Fault::UnseenGrantKept => i128::from(kept),
        Fault::GrantedBeyondFree => i128::from(ask.need.saturating_sub(part)),
        Fault::GrantedHalf => -i128::from(part / 2),
        _ => 0,
    };
    grant.granted = u64::try_from(i128::from(grant.granted) + more).unwrap();
    lease.granted = grant.granted;
    match fault {
        Fault::LostAnswerForgotten => (lease.seen, lease.share_before) = (lease.granted, Rate::NONE),
        Fault::SharesOverlap => (lease.share, grant.share) = (grant.terms.rate, grant.terms.rate),
        _ => {}
    }
    Some(grant)
}

pub fn set_terms(fault: Fault, account: &mut Account, terms: Terms, now: UnixMicros) {
    before(fault, account);
    account.refill(now);
    let balance = account.balance;
    account.set_terms(terms, now);
    if fault == Fault::LoweredKept {
        account.balance = account.balance.max(balance);
    }
}

pub fn add(fault: Fault, account: &mut Account, amount: u64, now: UnixMicros) -> u64 {
    before(fault, account);
    if fault == Fault::AddedAboveCeiling {
        account.refill(now);
        account.balance += i64::try_from(amount).unwrap();
        return amount;
    }
    account.add(amount, now)
}

pub fn resume(fault: Fault, account: &mut Account, leases: &mut [Lease], now: UnixMicros) {
    if fault == Fault::ClockBackWaits {
        return;
    }
    let back_us = account.resume(now);
    for lease in leases {
        lease.set_back(if fault == Fault::LeaseNotSetBack {
            0
        } else {
            back_us
        });
    }
}

pub fn advance(fault: Fault, holder: &mut Holder, charged: u64, now: MonoMicros) -> u64 {
    // As if much more had been charged: then there is room.
    let charged = charged
        + if fault == Fault::AdvancedUncapped {
            1 << 40
        } else {
            0
        };
    holder.advance(charged, now)
}

pub fn granted(fault: Fault, holder: &mut Holder, grant: &Grant, seq: u64, now: MonoMicros) -> Option<u64> {
    let taken = match fault {
        Fault::OldAnswerTaken => holder.granted(&Grant { seq, ..*grant }, now),
        _ => holder.granted(grant, now),
    };
    if taken.is_none() && fault == Fault::AdvancedWhileAsking && grant.seq == seq && !holder.is_asking() {
        let again = holder.ask(0, now);
        return holder.granted(
            &Grant {
                seq: again.seq,
                ..*grant
            },
            now,
        );
    }
    taken
}

/// What was reserved.
pub fn reserve(fault: Fault, shard: &mut ShardLease, need: u64) -> Option<u64> {
    if fault == Fault::ReservationCapped && shard.free > 0 {
        let less = need.min(u64::try_from(shard.free).unwrap());
        shard.reserve(less);
        return Some(less);
    }
    shard.reserve(need).then_some(need)
}

pub fn settle(fault: Fault, shard: &mut ShardLease, reserved: u64, used: u64) {
    match fault {
        Fault::SettledWithoutRelease => shard.charged += used,
        Fault::OvershootForgotten => shard.settle(reserved, used.min(reserved)),
        _ => shard.settle(reserved, used),
    }
}

/// A reservation ends before anything was sent.
pub fn cancel(fault: Fault, shard: &mut ShardLease, reserved: u64) {
    if fault != Fault::CancelKept {
        shard.settle(reserved, 0);
    }
}

/// What a shard returns to the cell when it is asked to.
pub fn give_up(fault: Fault, shard: &mut ShardLease) -> (i64, u64) {
    if fault == Fault::RecallIgnored {
        return (0, std::mem::take(&mut shard.charged));
    }
    let (free, charged) = shard.give_up();
    match fault {
        Fault::ChargesForgotten => (free, 0),
        _ => (free, charged),
    }
}
