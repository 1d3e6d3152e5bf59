//! What holds of the arithmetic for all amounts, and the cases that were once wrong.

use proptest::prelude::*;

use super::lease::Holder;
use super::ledger::{Account, Ask, Lease};
use super::shard::{ShardLease, chunk};
use super::*;
use crate::units::{MonoMicros, UnixMicros};

const HOUR_US: u64 = 3_600_000_000;
/// Some moment.
const T: u64 = 1_800_000_000_000_000;

fn at(us: u64) -> UnixMicros {
    UnixMicros(T + us)
}

fn mono(us: u64) -> MonoMicros {
    MonoMicros(1_000 + us)
}

/// So much an hour.
fn hourly(capacity: u64, amount: u64) -> Terms {
    Terms {
        capacity,
        rate: Rate {
            amount,
            per_us: HOUR_US,
        },
    }
}

fn rates() -> impl Strategy<Value = Rate> {
    let amount = prop_oneof![0..=3u64, 1..=1_000_000u64, Just(AMOUNT_MAX)];
    let per_us = prop_oneof![1..=3u64, 1..=30 * 24 * HOUR_US];
    (amount, per_us).prop_map(|(amount, per_us)| Rate { amount, per_us })
}

/// A holder and its lease at a ledger, with a way between them that loses nothing unless told.
struct Pair {
    holder: Holder,
    lease: Lease,
    cell: i64,
    charged: u64,
}

impl Pair {
    fn new(number: u64) -> Self {
        Self {
            holder: Holder::new(mono(0)),
            lease: Lease::new(number, at(0)),
            cell: 0,
            charged: 0,
        }
    }

    /// Asks and is answered at one moment; what came.
    fn ask(&mut self, account: &mut Account, others: &[Lease], need: u64, us: u64) -> u64 {
        let ask = self.holder.ask(need, mono(us));
        let grant = account.answer(&mut self.lease, others, &ask, at(us)).unwrap();
        let more = self.holder.granted(&grant, mono(us)).unwrap();
        self.cell += signed(more);
        more
    }

    /// Asks at one moment, is answered at another, and never hears of it.
    fn ask_in_vain(&mut self, account: &mut Account, others: &[Lease], need: u64, us: u64, answered: u64) {
        let ask = self.holder.ask(need, mono(us));
        account
            .answer(&mut self.lease, others, &ask, at(answered))
            .unwrap();
        self.holder.lost();
    }

    fn advance(&mut self, us: u64) -> u64 {
        let more = self.holder.advance(self.charged, mono(us));
        self.cell += signed(more);
        more
    }

    /// Spends and has it stored at once.
    fn spend(&mut self, account: &mut Account, amount: u64, us: u64) {
        self.cell -= signed(amount);
        self.charged += amount;
        account.charge(amount, at(us), at(us));
        self.lease.charge(amount);
    }
}

proptest! {
    #[test]
    fn many_small_refills_are_one_large(rate in rates(), parts in prop::collection::vec(0..HOUR_US, 1..20)) {
        let rate = Rate { amount: rate.amount.min(1 << 40), ..rate };
        let whole = Accrual::default().take(rate, parts.iter().sum());
        let mut accrual = Accrual::default();
        let sum: u128 = parts.iter().map(|part| u128::from(accrual.take(rate, *part))).sum();
        prop_assert_eq!(u64::try_from(sum).unwrap_or(AMOUNT_MAX).min(AMOUNT_MAX), whole);
    }

    #[test]
    fn time_for_is_exact(rate in rates(), amount in 0..=AMOUNT_MAX) {
        match rate.time_for(amount) {
            None => prop_assert_eq!(rate.amount, 0),
            Some(us) => {
                // A time that does not fit is cut.
                prop_assert!(us == u64::MAX || Accrual::default().take(rate, us) >= amount);
                if us > 0 {
                    prop_assert!(Accrual::default().take(rate, us - 1) < amount);
                }
            }
        }
    }

    #[test]
    fn shares_are_never_more_than_the_whole(
        rate in rates(),
        ppm in prop::collection::vec(0..=1_000_000u32, 1..6),
        us in 0..1_000 * HOUR_US,
    ) {
        let mut left = 1_000_000;
        let mut sum = 0u128;
        for ppm in ppm {
            let ppm = ppm.min(left);
            left -= ppm;
            let share = rate.share(ppm);
            prop_assert!(share.part_of(rate) <= ppm || rate.amount == 0);
            sum += u128::from(Accrual::default().take(share, us));
        }
        let whole = u128::from(rate.amount) * u128::from(us) / u128::from(rate.per_us);
        prop_assert!(sum <= whole);
    }

    /// The balance is what came less what went, as long as the bucket is not full, and never above the ceiling.
    #[test]
    fn refill_and_charges_are_conserved(
        capacity in 1..1_000_000u64,
        amount in 0..1_000_000u64,
        steps in prop::collection::vec((0..HOUR_US, 0..1_000_000u64), 1..30),
    ) {
        let mut account = Account::open(hourly(capacity, amount), at(0));
        let (mut now, mut charged) = (0, 0);
        for (pause, used) in steps {
            let (before, since) = (account.balance, now);
            now += pause;
            account.charge(used, at(now), at(now));
            charged += used;
            prop_assert!(account.balance <= signed(capacity) - signed(used));
            let came = i128::from(amount) * i128::from(now - since) / i128::from(HOUR_US);
            let expected = (i128::from(before) + came).min(i128::from(capacity)) - i128::from(used);
            // A part of an amount may have been there before.
            prop_assert!((expected..=expected + 1).contains(&i128::from(account.balance)));
        }
        prop_assert_eq!(account.charged, charged);
    }

    /// Answers that refilled the bucket before charges were known change nothing but parts of an amount.
    #[test]
    fn late_charges_count_as_if_they_had_been_known(
        capacity in 1..100_000u64,
        amount in 0..100_000u64,
        steps in prop::collection::vec((0..HOUR_US, 0..50_000u64, 0..2 * HOUR_US), 1..20),
    ) {
        let terms = hourly(capacity, amount);
        let (mut known, mut late) = (Account::open(terms, at(0)), Account::open(terms, at(0)));
        let (mut end, mut last) = (0, 0);
        for (pause, used, behind) in &steps {
            end += pause;
            known.charge(*used, at(end), at(end));
            last = last.max(end + behind);
            late.refill(at(last));
            late.charge(*used, at(end), at(last));
        }
        let last = at(last.max(end) + HOUR_US);
        known.refill(last);
        late.refill(last);
        let most = known.balance;
        let least = most - i64::try_from(steps.len()).unwrap();
        prop_assert!((least..=most).contains(&late.balance), "{} of {least}..={most}", late.balance);
    }
}

#[test]
fn extremes_neither_wrap_nor_panic() {
    let fast = Rate {
        amount: AMOUNT_MAX,
        per_us: 1,
    };
    let terms = Terms {
        capacity: u64::MAX,
        rate: fast,
    };
    assert_eq!(Accrual { remainder: u64::MAX }.take(fast, u64::MAX), AMOUNT_MAX);
    assert_eq!(
        Rate {
            amount: 1,
            per_us: u64::MAX
        }
        .time_for(u64::MAX),
        Some(u64::MAX)
    );
    assert_eq!(Rate { amount: 1, per_us: 0 }.time_for(1), None);
    assert_eq!(fast.share(999_999).part_of(fast), 999_999);
    let mut account = Account::open(terms, UnixMicros(0));
    account.add(u64::MAX, UnixMicros(u64::MAX));
    for _ in 0..20 {
        account.charge(u64::MAX, UnixMicros(u64::MAX), UnixMicros(u64::MAX));
    }
    assert!(account.balance <= 0);
    let mut lease = Lease::new(1, UnixMicros(u64::MAX));
    let ask = Ask {
        seq: u64::MAX,
        first: 1,
        last: false,
        answered: u64::MAX,
        used_us: u64::MAX,
        seen: u64::MAX,
        returned: u64::MAX,
        advanced: u64::MAX,
        need: u64::MAX,
    };
    let others = [lease, lease];
    account.answer(&mut lease, &others, &ask, UnixMicros(0)).unwrap();
    assert_eq!(account.answer(&mut lease, &[], &ask, UnixMicros(0)), None);
}

/// Sums pass 2^64 when a large bucket is given back and granted again many times.
#[test]
fn sums_may_begin_anew_at_zero() {
    let mut account = Account::open(hourly(AMOUNT_MAX, 0), at(0));
    let mut pair = Pair::new(1);
    for _ in 0..40 {
        assert_eq!(pair.ask(&mut account, &[], 1, 0), AMOUNT_MAX - pair.charged);
        let free = unsigned(pair.cell);
        pair.cell = 0;
        pair.holder.give_back(free - 1);
        pair.cell = 1;
        pair.spend(&mut account, 1, 0);
        assert_eq!(pair.ask(&mut account, &[], 0, 0), AMOUNT_MAX - pair.charged);
        let free = unsigned(pair.cell);
        pair.holder.give_back(free);
        pair.cell = 0;
        assert_eq!(pair.holder.held(pair.charged), 0);
    }
    assert_eq!(account.balance, signed(AMOUNT_MAX) - 40);
}

/// The first holder's question is answered late and in vain; it goes on by itself from the time before the question. What
/// that brings it must not be granted to another.
#[test]
fn an_answer_that_is_lost_leaves_its_holder_the_time_before_it() {
    let mut account = Account::open(hourly(100, 100), at(0));
    let (mut one, mut two) = (Pair::new(1), Pair::new(2));
    assert_eq!(one.ask(&mut account, &[], 1, 0), 100);
    one.spend(&mut account, 100, 0);
    // Its share of the refill is all of it.
    one.ask_in_vain(&mut account, &[], 1, HOUR_US / 2, HOUR_US / 2);
    let others = [one.lease];
    assert_eq!(two.ask(&mut account, &others, 100, HOUR_US / 2), 0);
    assert_eq!(one.advance(HOUR_US / 2), 50);
    assert_eq!(account.balance, 50);
}

/// The same where the answer brought nothing, so that what was granted does not tell whether it arrived.
#[test]
fn an_answer_that_granted_nothing_may_be_lost_too() {
    let mut account = Account::open(hourly(100, 100), at(0));
    let (mut one, mut two) = (Pair::new(1), Pair::new(2));
    one.ask(&mut account, &[], 1, 0);
    one.spend(&mut account, 100, 0);
    let shared = [two.lease];
    one.ask(&mut account, &shared, 1, 1);
    two.ask(&mut account, &[one.lease], 1, 1);
    // Half of an hour's refill is promised to the first. It asks at once, and is answered an hour later, in vain.
    one.ask_in_vain(&mut account, &[two.lease], 0, 1, HOUR_US);
    let granted = two.ask(&mut account, &[one.lease], 100, HOUR_US);
    assert_eq!((granted, one.advance(HOUR_US), account.balance), (51, 49, 100));
}

#[test]
fn shares_go_to_those_who_are_there() {
    let mut account = Account::open(hourly(100, 100), at(0));
    let (mut one, mut two) = (Pair::new(1), Pair::new(2));
    let ppm = |pair: &Pair, account: &Account| pair.lease.share.part_of(account.terms.rate);
    one.ask(&mut account, &[], 1, 0);
    assert_eq!(ppm(&one, &account), 1_000_000);
    // The first has been promised everything, until it has heard otherwise and said so.
    two.ask(&mut account, &[one.lease], 1, 0);
    assert_eq!(ppm(&two, &account), 0);
    one.ask(&mut account, &[two.lease], 0, 0);
    two.ask(&mut account, &[one.lease], 0, 0);
    assert_eq!((ppm(&one, &account), ppm(&two, &account)), (500_000, 0));
    one.ask(&mut account, &[two.lease], 0, 0);
    two.ask(&mut account, &[one.lease], 0, 0);
    assert_eq!((ppm(&one, &account), ppm(&two, &account)), (500_000, 500_000));
    one.ask(&mut account, &[], 0, 0);
    assert_eq!(ppm(&one, &account), 1_000_000);
}

#[test]
fn a_report_is_granted_nothing_where_others_are() {
    let mut account = Account::open(hourly(100, 0), at(0));
    let (mut one, mut two) = (Pair::new(1), Pair::new(2));
    one.ask(&mut account, &[], 1, 0);
    assert_eq!(two.ask(&mut account, &[one.lease], 70, 0), 0);
    one.holder.give_back(90);
    one.cell -= 90;
    assert_eq!(one.ask(&mut account, &[two.lease], 0, 0), 0);
    assert_eq!(two.ask(&mut account, &[one.lease], 70, 0), 70);
}

/// A holder that owes has spent what is off the balance already: nobody is granted it once more.
#[test]
fn a_debt_is_nobody_elses() {
    let mut account = Account::open(hourly(100, 0), at(0));
    let (mut one, mut two) = (Pair::new(1), Pair::new(2));
    one.ask(&mut account, &[], 1, 0);
    one.holder.give_back(90);
    one.cell -= 90;
    one.spend(&mut account, 15, 0);
    one.ask(&mut account, &[two.lease], 0, 0);
    assert_eq!((one.cell, account.balance), (-5, 85));
    assert_eq!(two.ask(&mut account, &[one.lease], 85, 0), 85);
    assert_eq!(account.free(&[one.lease, two.lease]), 0);
}

#[test]
fn terms_change_with_leases_open() {
    let mut account = Account::open(hourly(100, 0), at(0));
    let mut pair = Pair::new(1);
    pair.ask(&mut account, &[], 1, 0);
    pair.spend(&mut account, 10, 0);
    account.set_terms(hourly(50, 0), at(0));
    assert_eq!(account.balance, 50);
    assert_eq!(pair.ask(&mut account, &[], 1, 0), 0);
    assert_eq!(pair.holder.excess(pair.charged), 40);
    pair.holder.give_back(40);
    assert_eq!(pair.ask(&mut account, &[], 0, 0), 0);
    assert_eq!(account.free(&[pair.lease]), 0);
    // Higher again: the balance stays, for something was charged.
    account.set_terms(hourly(200, 0), at(0));
    assert_eq!(account.balance, 50);
}

#[test]
fn a_bucket_that_was_never_charged_grows_with_its_ceiling() {
    let mut account = Account::open(hourly(2, 0), at(0));
    for capacity in [5, 1, 8] {
        account.set_terms(hourly(capacity, 0), at(0));
        assert_eq!(account.balance, signed(capacity));
    }
    account.charge(1, at(0), at(0));
    account.set_terms(hourly(10, 0), at(0));
    assert_eq!(account.balance, 7);
}

#[test]
fn a_clock_that_jumps_neither_gives_nor_takes() {
    let terms = hourly(100, 10);
    for (jump, expected) in [(0, 100), (30 * 24, 100), (1, 60), (-2, 50)] {
        let mut account = Account::open(terms, at(3 * HOUR_US));
        account.charge(50, at(3 * HOUR_US), at(3 * HOUR_US));
        let now = UnixMicros(
            at(3 * HOUR_US)
                .0
                .saturating_add_signed(jump * i64::try_from(HOUR_US).unwrap()),
        );
        account.resume(now);
        account.refill(now);
        let expected = if jump == 0 { 50 } else { expected };
        assert_eq!(account.balance, expected, "{jump} hours");
        // And time goes on from there.
        account.refill(UnixMicros(now.0 + HOUR_US));
        assert_eq!(
            account.balance,
            (expected + 10).min(100),
            "an hour after {jump} hours"
        );
    }
}

/// While the ledger is away for an hour, its clock is put back by two. The holder knows of the hour.
#[test]
fn time_that_the_clock_has_lost_is_learnt_from_the_holder() {
    let mut account = Account::open(hourly(100, 40), at(0));
    let mut pair = Pair::new(1);
    pair.ask(&mut account, &[], 1, 0);
    pair.spend(&mut account, 100, 0);
    pair.holder.lost();
    assert_eq!(pair.advance(HOUR_US), 40);
    let back = UnixMicros(T - HOUR_US);
    let by = account.resume(back);
    pair.lease.set_back(by);
    let ask = pair.holder.ask(0, mono(HOUR_US));
    let grant = account.answer(&mut pair.lease, &[], &ask, back).unwrap();
    assert_eq!(pair.holder.granted(&grant, mono(HOUR_US)), Some(0));
    assert_eq!((account.balance, account.free(&[pair.lease])), (40, 0));
}

/// Nothing but the time that is missing is learnt: what the ledger had refilled before it was killed counts once.
#[test]
fn a_clock_put_back_counts_no_refill_twice() {
    let mut account = Account::open(hourly(100, 40), at(0));
    let mut pair = Pair::new(1);
    pair.ask(&mut account, &[], 1, 0);
    pair.spend(&mut account, 100, 0);
    assert_eq!(pair.advance(HOUR_US), 40);
    account.refill(at(HOUR_US));
    let back = UnixMicros(T - HOUR_US);
    let by = account.resume(back);
    pair.lease.set_back(by);
    let ask = pair.holder.ask(0, mono(HOUR_US));
    account.answer(&mut pair.lease, &[], &ask, back).unwrap();
    assert_eq!(account.balance, 40);
}

#[test]
fn a_charge_from_the_future_is_of_now() {
    let mut account = Account::open(hourly(100, 10), at(0));
    account.charge(50, at(0), at(0));
    account.charge(10, at(1_000 * HOUR_US), at(HOUR_US));
    assert_eq!((account.balance, account.as_of), (50, at(HOUR_US)));
}

#[test]
fn by_hand_no_more_is_added_than_fits() {
    let mut account = Account::open(hourly(100, 0), at(0));
    account.charge(130, at(0), at(0));
    assert_eq!(account.balance, -30);
    assert_eq!(account.add(50, at(0)), 50);
    assert_eq!(account.add(u64::MAX, at(0)), 80);
    assert_eq!(account.add(1, at(0)), 0);
}

#[test]
fn a_holder_credits_itself_only_while_nobody_else_might() {
    let mut account = Account::open(hourly(100, 100), at(0));
    let mut pair = Pair::new(1);
    assert!(!pair.holder.is_open());
    pair.ask(&mut account, &[], 1, 0);
    assert!(pair.holder.is_open());
    pair.spend(&mut account, 60, 0);
    let ask = pair.holder.ask(1, mono(HOUR_US / 10));
    assert_eq!(pair.advance(HOUR_US / 2), 0);
    pair.holder.lost();
    // All of the refill is its own, so the time before the question is not lost.
    assert_eq!(pair.advance(HOUR_US / 2), 50);
    assert_eq!(pair.advance(HOUR_US / 2), 0);
    // Never above the ceiling.
    assert_eq!(pair.advance(10 * HOUR_US), 10);
    // The answer comes after all: too late.
    let grant = account
        .answer(&mut pair.lease, &[], &ask, at(HOUR_US / 2))
        .unwrap();
    assert_eq!(pair.holder.granted(&grant, mono(10 * HOUR_US)), None);
}

#[test]
fn who_shares_the_refill_gives_up_the_time_before_its_question() {
    let mut account = Account::open(hourly(100, 100), at(0));
    let (mut one, two) = (Pair::new(1), Pair::new(2));
    one.ask(&mut account, &[two.lease], 1, 0);
    one.spend(&mut account, 20, 0);
    let share = one.holder.held(one.charged);
    one.holder.ask(1, mono(HOUR_US / 2));
    one.holder.lost();
    assert_eq!(one.advance(HOUR_US / 2), 0);
    assert_eq!(one.advance(HOUR_US), 25);
    assert_eq!(one.holder.held(one.charged), share + 25);
}

#[test]
fn shards_reserve_all_or_nothing() {
    let mut shard = ShardLease::default();
    assert!(!shard.reserve(1));
    shard.add(10);
    assert!(!shard.reserve(11));
    assert!(!shard.reserve(u64::MAX));
    assert_eq!(
        (shard.lacks(10), shard.lacks(11), shard.lacks(u64::MAX)),
        (0, 1, u64::MAX)
    );
    assert!(shard.reserve(10));
    shard.settle(10, 14);
    assert_eq!((shard.free, shard.reserved, shard.charged), (-4, 0, 14));
    assert_eq!(shard.lacks(3), 7);
    shard.add(7);
    assert!(shard.reserve(3));
    shard.settle(3, 0);
    assert_eq!(shard.give_up(), (3, 14));
    assert!(shard.is_empty());
    shard.settle(0, u64::MAX);
    assert_eq!(shard.charged, AMOUNT_MAX);
}

#[test]
fn chunks() {
    // free in the cell, need, shards: taken
    for (free, need, shards, expected) in [
        (100, 1, 2, 25),
        (100, 6, 2, 25),
        (100, 7, 2, 7),
        (100, 100, 2, 100),
        (100, 101, 2, 0),
        (1, 1, 64, 1),
        (0, 1, 2, 0),
        (-5, 1, 2, 0),
        (7, 7, 0, 7),
        (i64::MAX, u64::MAX, u32::MAX, 0),
    ] {
        assert_eq!(
            chunk(free, need, shards),
            expected,
            "{need} of {free} for {shards}"
        );
    }
}
