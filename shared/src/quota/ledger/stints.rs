//! A holder that forgets a bucket and takes it up again, with charges of the time before still on their way.

use super::*;
use crate::quota::lease::Holder;
use crate::units::MonoMicros;

const NOW: UnixMicros = UnixMicros(1_000_000);
const MONO: MonoMicros = MonoMicros(1_000_000);

fn open(capacity: u64) -> (Account, Lease) {
    let terms = Terms {
        capacity,
        rate: Rate::NONE,
    };
    (Account::open(terms, NOW), Lease::new(1, NOW))
}

/// One question and its answer; what came for the cell.
fn exchange(account: &mut Account, lease: &mut Lease, holder: &mut Holder, need: u64) -> u64 {
    let ask = holder.ask(need, MONO);
    let grant = account.answer(lease, &[], &ask, NOW).unwrap();
    holder.granted(&grant, MONO).unwrap()
}

#[test]
fn charges_of_a_former_stint_stay_outstanding_until_they_come() {
    let (mut account, mut lease) = open(100);
    let mut holder = Holder::new(MONO);
    assert_eq!(exchange(&mut account, &mut lease, &mut holder, 1), 100);
    // 30 were used; the journal has not been read yet. The rest goes back, and the answer is lost twice.
    holder.give_back(70);
    for _ in 0..3 {
        let ask = holder.last(MONO);
        let grant = account.answer(&mut lease, &[], &ask, NOW).unwrap();
        assert_eq!(grant.granted, 100);
        assert_eq!(account.free(&[lease]), 70);
    }
    let seq = 4;

    let mut holder = Holder::begin(seq, MONO);
    assert_eq!(exchange(&mut account, &mut lease, &mut holder, 1), 70);
    assert_eq!(holder.held(0), 70);
    assert_eq!(account.free(&[lease]), 0);
    // The charge of the time before comes: nothing is freed by it, nothing is missing.
    account.charge(30, NOW, NOW);
    lease.charge(30);
    assert_eq!((account.balance, account.free(&[lease])), (70, 0));
    assert_eq!(exchange(&mut account, &mut lease, &mut holder, 1), 0);
}

#[test]
fn a_first_answer_that_is_lost_is_no_stint() {
    let (mut account, mut lease) = open(100);
    let mut holder = Holder::new(MONO);
    let ask = holder.ask(1, MONO);
    assert_eq!(account.answer(&mut lease, &[], &ask, NOW).unwrap().granted, 100);
    holder.lost();
    assert_eq!(exchange(&mut account, &mut lease, &mut holder, 1), 100);
    assert_eq!((lease.before, account.free(&[lease])), (0, 0));
}
