//! The control plane: what it has stored, what it has in memory, and what it will say once that is stored.

use sluice_shared::quota::Terms;
use sluice_shared::quota::ledger::{Account, Ask, Grant, Lease};
use sluice_shared::units::UnixMicros;

use crate::fault::Fault;
use crate::naive::{Op, PER_US, RATE_MAX};
use crate::net::Body;
use crate::node::Node;
use crate::rules;
use crate::world::Context;

/// How long an answer is held back while others return what is idle.
const RECALL_US: u64 = 400_000;

/// What is stored, all in one transaction.
#[derive(Clone, Debug, Default)]
pub struct Books {
    pub buckets: Vec<Book>,
    /// Records stored of each incarnation's journal.
    pub stored: Vec<usize>,
    pub finished: Vec<bool>,
    /// Unix time less true time, by the clock of the process that stored this.
    pub offset: i64,
}

#[derive(Clone, Debug)]
pub struct Book {
    pub account: Account,
    pub leases: Vec<Lease>,
    /// For the model that judges.
    pub history: History,
}

/// What the model must know of a bucket's life.
#[derive(Clone, Debug, Default)]
pub struct History {
    pub ops: Vec<(u64, Op)>,
    /// Added by hand or by a higher ceiling.
    pub added: u128,
    /// How far the balance may lie below the model, and above.
    pub below: u128,
    pub above: u128,
    /// End of the latest charge, in true time.
    pub charged_to: u64,
    /// Refill for time that a clock which was put back has lost.
    pub lost: u128,
    /// Charges that had happened when the last answer was given, and were not stored.
    pub unknown: u128,
}

pub struct Ledger {
    pub books: Books,
    /// Unix time of its clock less true time.
    pub offset: i64,
    outbox: Vec<(usize, usize, Body)>,
    parked: Vec<Parked>,
    /// How far each journal has been read; a restart begins somewhat earlier.
    read: Vec<usize>,
    /// When all journals had last been read to their end, by its clock.
    complete: u64,
    pub dirty: bool,
}

struct Tried {
    account: Account,
    lease: Lease,
    others: Vec<Lease>,
    grant: Option<Grant>,
}

struct Parked {
    node: usize,
    bucket: usize,
    ask: Ask,
    until: u64,
}

impl Ledger {
    /// Starts from what is stored.
    pub fn start(context: &mut Context, store: &Books, nodes: &[Node], terms: &[Terms]) -> Self {
        let before = store.offset;
        let mut ledger = Self {
            books: store.clone(),
            offset: context.offset,
            outbox: Vec::new(),
            parked: Vec::new(),
            read: store
                .stored
                .iter()
                .map(|stored| context.random.index(stored + 1))
                .collect(),
            complete: 0,
            dirty: true,
        };
        ledger.books.offset = ledger.offset;
        let now = ledger.now(context);
        let jump = context.offset - before;
        for (bucket, terms) in terms.iter().enumerate() {
            let late = ledger.late(nodes, bucket);
            let book = &mut ledger.books.buckets[bucket];
            let rate = u128::from(book.account.terms.rate.amount);
            if jump > 0 {
                // What ended after the jump and is not stored lies behind it here, and before it in the model.
                book.history.below += late;
                book.history
                    .ops
                    .push((context.now, Op::Jump(jump.unsigned_abs())));
            } else if jump < 0 {
                let refilled = i128::from(book.account.as_of.0) - i128::from(before);
                let passed = u64::try_from(i128::from(context.now) - refilled).unwrap_or(0);
                let seen = now.0.saturating_sub(book.account.as_of.0);
                let lost = u128::from(passed.saturating_sub(seen));
                book.history.below += rate * lost / u128::from(PER_US) + 2;
                // Its holders may go by another rate.
                book.history.lost += u128::from(RATE_MAX) * lost / u128::from(PER_US) + 2;
            }
            rules::resume(context.fault, &mut book.account, &mut book.leases, now);
            ledger_terms(context, book, *terms, now, late);
        }
        ledger
    }

    pub fn now(&self, context: &Context) -> UnixMicros {
        UnixMicros(context.now.strict_add_signed(self.offset))
    }

    /// Stores, then tells.
    pub fn commit(&mut self, context: &mut Context, store: &mut Books) {
        if self.dirty {
            store.clone_from(&self.books);
            self.dirty = false;
        }
        for (node, bucket, body) in std::mem::take(&mut self.outbox) {
            context.send(node, bucket, body);
        }
    }

    fn tell(&mut self, context: &mut Context, node: usize, bucket: usize, body: Body) {
        self.dirty = true;
        if context.fault == Fault::ToldBeforeStored {
            context.send(node, bucket, body);
        } else {
            self.outbox.push((node, bucket, body));
        }
    }

    pub fn ask(&mut self, context: &mut Context, nodes: &[Node], node: usize, bucket: usize, ask: Ask) {
        if self.books.finished[node] || !nodes[node].alive {
            return;
        }
        if self.short(context, nodes, node, bucket, &ask) {
            self.parked
                .retain(|parked| (parked.node, parked.bucket) != (node, bucket));
            let until = context.now + RECALL_US;
            self.parked.push(Parked {
                node,
                bucket,
                ask,
                until,
            });
            for other in nodes.iter().filter(|other| other.id != node && other.connected) {
                context.send(other.id, bucket, Body::Recall);
            }
            return;
        }
        self.answer(context, nodes, node, bucket, &ask);
        self.release(context, nodes);
    }

    /// Whether there is not what it needs, and others may have that. What it reports counts at once; the question stays
    /// open.
    fn short(&mut self, context: &Context, nodes: &[Node], node: usize, bucket: usize, ask: &Ask) -> bool {
        let Tried {
            account,
            others,
            grant,
            ..
        } = self.attempt(context, node, bucket, ask);
        let Some(grant) = grant else { return false };
        let missing = ask.need.saturating_sub(grant.granted - ask.seen);
        let away: i64 = others
            .iter()
            .map(|other| other.outstanding(account.terms, account.as_of).max(0))
            .sum();
        if missing == 0 || away == 0 {
            return false;
        }
        let known = self.lease(context, node, bucket);
        if ask.first == known.first {
            let reported = Lease {
                granted: ask.seen,
                seen: ask.seen,
                returned: ask.returned,
                advanced: ask.advanced,
                ..known
            };
            self.keep(context, nodes, bucket, account, reported, others);
        }
        true
    }

    fn lease(&self, context: &Context, node: usize, bucket: usize) -> Lease {
        let leases = &self.books.buckets[bucket].leases;
        let own = leases.iter().find(|lease| lease.holder == node as u64);
        own.copied()
            .unwrap_or_else(|| Lease::new(node as u64, self.now(context)))
    }

    /// What an answer would be.
    fn attempt(&self, context: &Context, node: usize, bucket: usize, ask: &Ask) -> Tried {
        let book = &self.books.buckets[bucket];
        let mut account = book.account;
        let mut lease = self.lease(context, node, bucket);
        let others = book.leases.iter().filter(|lease| lease.holder != node as u64);
        let others: Vec<_> = others.copied().collect();
        let grant = rules::answer(
            context.fault,
            &mut account,
            &mut lease,
            &others,
            ask,
            self.now(context),
        );
        Tried {
            account,
            lease,
            others,
            grant,
        }
    }

    fn keep(
        &mut self,
        context: &Context,
        nodes: &[Node],
        bucket: usize,
        account: Account,
        lease: Lease,
        others: Vec<Lease>,
    ) {
        let unknown = self.late(nodes, bucket);
        let now = self.now(context);
        let book = &mut self.books.buckets[bucket];
        let mut refilled = book.account;
        refilled.refill(now);
        // What its holder has credited itself in time that the clock has lost: the model knows the time, and the ceiling then.
        let credited = i128::from(account.balance) - i128::from(refilled.balance)
            + i128::from(account.spilled)
            - i128::from(refilled.spilled);
        book.history.above += u128::try_from(credited).unwrap_or(0);
        book.history.unknown = unknown;
        book.account = account;
        book.leases = others;
        book.leases.push(lease);
        self.dirty = true;
    }

    /// Answers those that were held back, where it helps no longer to wait or there is enough.
    pub fn release(&mut self, context: &mut Context, nodes: &[Node]) {
        for parked in std::mem::take(&mut self.parked) {
            if self.books.finished[parked.node] {
                continue;
            }
            if parked.until <= context.now
                || !self.short(context, nodes, parked.node, parked.bucket, &parked.ask)
            {
                self.answer(context, nodes, parked.node, parked.bucket, &parked.ask);
            } else {
                self.parked.push(parked);
            }
        }
    }

    fn answer(&mut self, context: &mut Context, nodes: &[Node], node: usize, bucket: usize, ask: &Ask) {
        let Tried {
            account,
            lease,
            others,
            grant,
        } = self.attempt(context, node, bucket, ask);
        let Some(grant) = grant else { return };
        context.note(|| format!("ledger answers node {node}: {account:?} {lease:?} {grant:?}"));
        self.keep(context, nodes, bucket, account, lease, others);
        self.tell(context, node, bucket, Body::Grant(grant));
    }

    /// Reads on in the journals, up to so many records of each, and stores them in the order of their ends.
    pub fn ingest(&mut self, context: &mut Context, nodes: &[Node], most: usize) {
        let now = self.now(context);
        let mut batch = Vec::new();
        let mut complete = true;
        for node in nodes.iter().filter(|node| !self.books.finished[node.id]) {
            let from = self.read[node.id];
            let to = node.journal.len().min(from + most);
            complete &= to == node.journal.len();
            let stored = &mut self.books.stored[node.id];
            // What is read once more is known by its number, as in the store by its request.
            let new = if context.fault == Fault::DuplicateCharged {
                from
            } else {
                from.max(*stored)
            };
            batch.extend((new..to).map(|at| (node.id, &node.journal[at])));
            *stored = to.max(*stored);
            self.read[node.id] = to;
        }
        batch.sort_by_key(|(_, record)| record.stamp);
        // No record that comes now was there at the last complete reading.
        let earliest = if context.fault == Fault::StampBelieved {
            0
        } else {
            self.complete
        };
        for (node, record) in batch {
            for (bucket, amount) in record.charges.into_iter().filter(|(_, amount)| *amount > 0) {
                let book = &mut self.books.buckets[bucket];
                let at = UnixMicros(record.stamp.max(self.complete));
                book.history
                    .charged(&book.account, amount, record.end, at, now, self.offset);
                let at = UnixMicros(record.stamp.max(earliest));
                let lease = book.leases.iter_mut().find(|lease| lease.holder == node as u64);
                rules::charge(context.fault, &mut book.account, lease, amount, at, now);
                context.note(|| {
                    format!(
                        "ledger charges {amount} of {} at {at:?}: {:?}",
                        record.end, book.account
                    )
                });
            }
            self.dirty = true;
        }
        if complete {
            self.complete = now.0;
            self.finish(context, nodes);
        }
        self.release(context, nodes);
    }

    /// Journals of dead processes that have been stored to the end: their leases are over.
    fn finish(&mut self, context: &mut Context, nodes: &[Node]) {
        for node in nodes.iter().filter(|node| !node.alive) {
            if !self.books.finished[node.id] && self.books.stored[node.id] == node.journal.len() {
                self.books.finished[node.id] = true;
                if context.fault != Fault::LeaseNotEnded {
                    self.end_lease(context, nodes, node.id);
                }
            }
        }
    }

    /// The lease of a process is over: others may ask again.
    pub fn end_lease(&mut self, context: &mut Context, nodes: &[Node], node: usize) {
        context.finished = context.now;
        for bucket in 0..self.books.buckets.len() {
            let leases = &mut self.books.buckets[bucket].leases;
            let before = leases.len();
            leases.retain(|lease| lease.holder != node as u64);
            if leases.len() < before {
                self.changed(context, nodes, bucket);
            }
        }
    }

    fn changed(&mut self, context: &mut Context, nodes: &[Node], bucket: usize) {
        self.dirty = true;
        for node in nodes.iter().filter(|node| node.connected) {
            self.tell(context, node.id, bucket, Body::Changed);
        }
    }

    pub fn set_terms(&mut self, context: &mut Context, nodes: &[Node], bucket: usize, terms: Terms) {
        let now = self.now(context);
        let late = self.late(nodes, bucket);
        ledger_terms(context, &mut self.books.buckets[bucket], terms, now, late);
        self.changed(context, nodes, bucket);
    }

    pub fn add(&mut self, context: &mut Context, nodes: &[Node], bucket: usize, amount: u64) {
        let now = self.now(context);
        let late = self.late(nodes, bucket);
        let book = &mut self.books.buckets[bucket];
        let added = rules::add(context.fault, &mut book.account, amount, now);
        context.note(|| format!("by hand {amount}: {added}, {:?}", book.account));
        book.history.added += u128::from(added);
        book.history.below += late;
        book.history.ops.push((context.now, Op::Add(amount)));
        self.changed(context, nodes, bucket);
    }

    /// Charges that have happened and are not stored.
    pub fn late(&self, nodes: &[Node], bucket: usize) -> u128 {
        nodes
            .iter()
            .flat_map(|node| &node.journal[self.books.stored[node.id]..])
            .flat_map(|record| record.charges)
            .filter(|(charged, _)| *charged == bucket)
            .map(|(_, amount)| u128::from(amount))
            .sum()
    }

    /// A process has begun: its journal is there.
    pub fn met(&mut self, nodes: usize) {
        self.books.stored.resize(nodes, 0);
        self.books.finished.resize(nodes, false);
        self.read.resize(nodes, 0);
    }

    /// Nothing is left to say or to store.
    pub fn rests(&self) -> bool {
        self.outbox.is_empty() && self.parked.is_empty() && !self.dirty
    }
}

/// Other terms, and what the model has to know about it.
fn ledger_terms(context: &Context, book: &mut Book, terms: Terms, now: UnixMicros, late: u128) {
    if book.account.terms == terms {
        return;
    }
    let mut old = book.account;
    old.refill(now);
    let fresh = old.charged == 0;
    context.note(|| format!("{:?} becomes {terms:?}, late {late}, fresh {fresh}", book.account));
    rules::set_terms(context.fault, &mut book.account, terms, now);
    book.history.added += u128::try_from(book.account.balance - old.balance).unwrap_or(0);
    // A part of an amount is dropped with the rate it was gathered under.
    book.history.below += late + 1;
    book.history.ops.push((context.now, Op::Terms { terms, fresh }));
}

impl History {
    /// How much a charge may move the balance away from the model, which knows its true moment.
    fn charged(
        &mut self,
        account: &Account,
        amount: u64,
        end: u64,
        at: UnixMicros,
        now: UnixMicros,
        offset: i64,
    ) {
        let amount = u128::from(amount);
        let rate = u128::from(account.terms.rate.amount);
        let counted = i128::from(at.min(now).0) - i128::from(offset);
        let end_at = i128::from(end);
        if end < self.charged_to {
            // Another that was charged before it may have taken the refill that had not fitted.
            self.below += amount;
        } else if counted > end_at {
            self.below += amount + rate * (counted - end_at).unsigned_abs() / u128::from(PER_US);
        } else if counted < end_at {
            self.above += (rate * (end_at - counted).unsigned_abs() / u128::from(PER_US) + 1).min(amount);
        }
        if at < account.as_of {
            self.below += 1;
        }
        self.charged_to = self.charged_to.max(end);
    }
}
