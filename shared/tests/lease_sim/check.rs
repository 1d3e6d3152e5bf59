//! The invariants.

use crate::fault::Invariant;
use crate::naive::{self, PER_US};
use crate::node::{Request, Want};
use crate::world::World;

/// After every step.
pub fn always(world: &mut World) {
    let World {
        context,
        allowed,
        ledger,
        store,
        nodes,
        ..
    } = world;
    for (bucket, allowed) in allowed.iter().enumerate() {
        let books = [Some(&*store), ledger.as_ref().map(|ledger| &ledger.books)];
        let (added, above) = books
            .into_iter()
            .flatten()
            .map(|books| &books.buckets[bucket].history)
            .fold((0, 0), |(added, above), history| {
                (added.max(history.added), above.max(history.above))
            });
        let most = allowed / u128::from(PER_US) + added + above + context.over[bucket];
        let spent = context.spent[bucket];
        if spent > most {
            context.fail(Invariant::Q1, || {
                format!("bucket {bucket}: {spent} used where {most} may be")
            });
        }
        let Some(ledger) = &*ledger else { continue };
        let book = &ledger.books.buckets[bucket];
        let mut account = book.account;
        if account.balance > account.terms.ceiling() {
            let (balance, ceiling) = (account.balance, account.terms.ceiling());
            context.fail(Invariant::Ceiling, || {
                format!("bucket {bucket}: balance {balance} of {ceiling}")
            });
        }
        account.refill(ledger.now(context));
        for node in nodes.iter().filter(|node| node.alive) {
            let here = &node.buckets[bucket];
            let held = i128::from(here.holder.held(here.all_charged()));
            if held <= 0 {
                continue;
            }
            let lease = book.leases.iter().find(|lease| lease.holder == node.id as u64);
            let most = lease.map_or(0, |lease| lease.outstanding(account.terms, account.as_of));
            // A ceiling that was lowered hides what was credited below the old one; but then nothing is free.
            let hidden = most >= account.terms.ceiling();
            let lost = i128::try_from(book.history.lost).unwrap();
            if held > i128::from(most) + lost && !hidden {
                context.fail(Invariant::Lease, || {
                    format!(
                        "bucket {bucket}: node {} has {held}, its lease says {most}",
                        node.id
                    )
                });
            }
        }
    }
}

/// The balance by the model, as a whole number rounded down, and how far the ledger's may be below and above it.
fn model(world: &World, bucket: usize) -> (i128, i128, i128) {
    let ledger = world.ledger.as_ref().unwrap();
    let book = &ledger.books.buckets[bucket];
    let balance = naive::balance(
        book,
        world.opening[bucket],
        &world.nodes,
        bucket,
        world.context.now,
    );
    (
        balance.div_euclid(i128::from(PER_US)),
        i128::try_from(book.history.below).unwrap() + 1,
        i128::try_from(book.history.above).unwrap(),
    )
}

/// Q3 for a node that is alone: what it had asked for, with what it had reserved, was not there.
pub fn refusal(world: &mut World, bucket: usize, need: u64, asked: u64) {
    let ledger = world.ledger.as_ref().unwrap();
    let book = &ledger.books.buckets[bucket];
    let (balance, below, _) = model(world, bucket);
    let since = world.context.now - asked;
    let came = i128::from(book.account.terms.rate.amount) * i128::from(since) / i128::from(PER_US) + 1;
    let late = i128::try_from(book.history.unknown).unwrap();
    let sure = balance - below - came - late;
    if i128::from(need) <= sure {
        world.context.fail(Invariant::Q3, || {
            format!("bucket {bucket}: {need} refused, the model has {sure}")
        });
    }
}

/// Q4, where all charges have been stored.
pub fn balanced(world: &mut World) {
    for bucket in 0..world.terms.len() {
        let Some(ledger) = &world.ledger else { return };
        let book = &ledger.books.buckets[bucket];
        if ledger.late(&world.nodes, bucket) > 0 {
            continue;
        }
        let mut account = book.account;
        account.refill(ledger.now(&world.context));
        let (expected, below, above) = model(world, bucket);
        let balance = i128::from(account.balance);
        if balance < expected - below || balance > expected + above {
            let what =
                format!("bucket {bucket}: balance {balance}, the model has {expected} (−{below} +{above})");
            return world.context.fail(Invariant::Q4, || what);
        }
    }
}

/// Q2, with nothing running or on its way.
pub fn resting(world: &mut World) {
    for bucket in 0..world.terms.len() {
        let ledger = world.ledger.as_ref().unwrap();
        let book = &ledger.books.buckets[bucket];
        let mut account = book.account;
        account.refill(ledger.now(&world.context));
        let balance = i128::from(account.balance);
        let mut known = 0;
        let mut owed = 0;
        let mut found = Vec::new();
        for node in world.nodes.iter().filter(|node| node.alive) {
            let here = &node.buckets[bucket];
            let held = here.holder.held(here.all_charged());
            let (free, reserved) = (here.free(), here.reserved());
            owed += u128::from(here.owed());
            if reserved != 0 || free != held {
                found.push(format!(
                    "node {}: {reserved} reserved, {free} free, {held} held",
                    node.id
                ));
            }
            if held > here.holder.terms().ceiling() {
                let what = format!("bucket {bucket}: node {} has {held} above its ceiling", node.id);
                return world.context.fail(Invariant::Ceiling, || what);
            }
            let lease = book.leases.iter().find(|lease| lease.holder == node.id as u64);
            let leased = lease.map_or(0, |lease| {
                i128::from(lease.before.cast_signed())
                    + i128::from(lease.granted)
                    + i128::from(lease.advanced)
                    - i128::from(lease.returned)
                    - i128::from(lease.charged)
            });
            if leased != i128::from(held) {
                found.push(format!("node {}: {held} held, {leased} leased", node.id));
            }
            known += leased;
        }
        let alive = world.nodes.iter().filter(|node| node.alive).count();
        if book.leases.len() > alive {
            found.push(format!("{} leases for {alive} nodes", book.leases.len()));
        }
        // What is neither leased nor promised is free; one holder has been given all of it.
        let free = i128::from(account.free(&book.leases));
        if free > balance - known {
            found.push(format!("{free} free of {balance} with {known} leased"));
        }
        if let Some(what) = found.into_iter().next() {
            return world
                .context
                .fail(Invariant::Q2, || format!("bucket {bucket}: {what}"));
        }
        // From here on no more may be spent than there is: what was used beyond reservations has been paid,
        // but for what one shard owes while another has something.
        let leased: i64 = book
            .leases
            .iter()
            .map(|lease| lease.outstanding(account.terms, account.as_of).max(0))
            .sum();
        let there = u128::try_from(leased.max(account.balance)).unwrap_or(0) + 1;
        let most = world.context.spent[bucket] + there;
        let counted = book.history.added + book.history.above;
        let allowed = world.allowed[bucket] / u128::from(PER_US) + counted + world.context.over[bucket];
        if most < allowed && most >= counted {
            world.allowed[bucket] = (most - counted) * u128::from(PER_US);
            world.context.over[bucket] = owed;
        }
    }
}

/// Somebody asks for all that is there, and must have it; and then for more than can be there.
pub fn exam(world: &mut World) {
    for bucket in 0..world.terms.len() {
        let ledger = world.ledger.as_ref().unwrap();
        let book = &ledger.books.buckets[bucket];
        let mut account = book.account;
        account.refill(ledger.now(&world.context));
        let Some(node) = world.nodes.iter().position(|node| node.alive) else {
            return;
        };
        // Where leases exceed the balance, by refill that did not fit, others may have more than is missing.
        let alone = book.leases.iter().all(|lease| lease.holder == node as u64);
        let others = if alone {
            0
        } else {
            account.free(&book.leases).min(0)
        };
        // What others have been promised of the refill while this goes on.
        let promised = if alone {
            0
        } else {
            account.terms.rate.amount * 3 + 3
        };
        let need = u64::try_from(account.balance + others)
            .unwrap_or(0)
            .saturating_sub(promised);
        if need == 0 {
            continue;
        }
        let want = Want {
            bucket,
            need,
            reserved: 0,
            used: 0,
            will_use: 0,
        };
        let request = Request {
            shard: 0,
            wants: vec![want],
            exam: true,
        };
        world.context.exam = None;
        world.nodes[node].start(&mut world.context, request);
        if !world.settle(None) {
            return;
        }
        if world.context.exam != Some(true) {
            world.context.fail(Invariant::Q3, || {
                format!("bucket {bucket}: {need} refused when nothing else ran")
            });
            return;
        }
    }
}
