//! The model that judges the balance: all events in their true order, in exact fractions, from the beginning.

use sluice_shared::quota::Terms;

use crate::ledger::Book;
use crate::node::Node;

/// All rates are so much per this many microseconds; a prime, so that remainders do not cancel out.
pub const PER_US: u64 = 1_000_003;
/// Largest rate.
pub const RATE_MAX: u64 = 60;

/// What happens to a balance beside charges.
#[derive(Clone, Copy, Debug)]
pub enum Op {
    Terms {
        terms: Terms,
        fresh: bool,
    },
    Add(u64),
    /// The clock was put forward by so many microseconds.
    Jump(u64),
}

#[derive(Clone, Copy)]
enum Event {
    Op(Op),
    Charge(u64),
}

/// The balance times [`PER_US`].
pub fn balance(book: &Book, opening: Terms, nodes: &[Node], bucket: usize, now: u64) -> i128 {
    // What ended in the moment of an op comes before it.
    let mut events = Vec::new();
    for record in nodes.iter().flat_map(|node| &node.journal) {
        for (charged, amount) in record.charges {
            if charged == bucket && amount > 0 {
                events.push((record.end, Event::Charge(amount)));
            }
        }
    }
    events.extend(book.history.ops.iter().map(|(at, op)| (*at, Event::Op(*op))));
    events.sort_by_key(|(at, _)| *at);
    let whole = |amount: u64| i128::from(amount) * i128::from(PER_US);
    let mut terms = opening;
    let mut balance = whole(terms.capacity);
    let mut charged = 0;
    let mut time = 0;
    for (at, event) in events.into_iter().chain([(now, Event::Charge(0))]) {
        let came = i128::from(terms.rate.amount) * i128::from(at - time);
        balance = (balance + came).min(whole(terms.capacity));
        time = at;
        match event {
            Event::Charge(amount) => {
                balance -= whole(amount);
                charged += whole(amount);
            }
            Event::Op(Op::Add(amount)) => balance += whole(amount),
            Event::Op(Op::Jump(us)) => balance += i128::from(terms.rate.amount) * i128::from(us),
            Event::Op(Op::Terms { terms: other, fresh }) => {
                terms = other;
                if fresh {
                    balance = whole(terms.capacity) - charged;
                }
            }
        }
        balance = balance.min(whole(terms.capacity));
    }
    balance
}
