//! The agent and real shards against a model of the ledger, in virtual time and on one thread: who does what, and when,
//! is up to the test.

use std::cell::{Cell, RefCell};
use std::future::Future;
use std::pin::Pin;
use std::rc::Rc;
use std::task::{Context, Poll, Waker};

use sluice_shared::quota::ledger::{Account, Lease};
use sluice_shared::quota::{Charge, Rate, Terms, Unit};
use sluice_shared::units::UnixMicros;

use super::*;
use crate::clock;
use crate::quota::buckets::Buckets;
use crate::quota::{Questions, Reservation, Short, Want};
use crate::wake::{Bell, wake_pair};

const NONE: Rate = Rate::NONE;

fn terms(capacity: u64, rate: Rate) -> Terms {
    Terms { capacity, rate }
}

/// One bucket table of the ledger.
#[derive(Debug)]
struct Row {
    name: Bucket,
    account: Account,
    lease: Lease,
    gone: bool,
}

struct World {
    agent: Agent,
    questions: Questions,
    bell: Bell,
    _ear: crate::wake::Ear,
    shards: Vec<Rc<Buckets>>,
    rows: Vec<Row>,
    terms: Terms,
    defined: bool,
    /// The ledger answers "unavailable".
    ill: bool,
    /// The ledger does not answer.
    mute: bool,
    /// Shards do not read their mail.
    deaf: bool,
    mail: Vec<(usize, QuotaMessage)>,
    asked: Vec<ToControl>,
    now: u64,
    out: Actions,
    connected: bool,
}

impl World {
    fn new(shards: usize, terms: Terms) -> Self {
        let agent = Agent::default();
        let questions = Questions::new(agent.deals());
        let (bell, ear) = wake_pair().unwrap();
        let shard = |n| Rc::new(Buckets::new(questions.client(n, shards, &bell)));
        let mut world = Self {
            agent,
            shards: (0..shards).map(shard).collect(),
            questions,
            bell,
            _ear: ear,
            rows: Vec::new(),
            terms,
            defined: true,
            ill: false,
            mute: false,
            deaf: false,
            mail: Vec::new(),
            asked: Vec::new(),
            // Shards read the real clock for the age of what they know; the rest of the time is the test's.
            now: clock::mono_now().0,
            out: Actions::default(),
            connected: false,
        };
        world.connect();
        world
    }

    fn now(&self) -> MonoMicros {
        MonoMicros(self.now)
    }

    fn connect(&mut self) {
        self.connected = true;
        self.agent.connected(MonoMicros(self.now), &mut self.out);
    }

    fn disconnect(&mut self) {
        self.connected = false;
        self.agent.disconnected(MonoMicros(self.now), &mut self.out);
    }

    fn wants(&self, shard: usize, of: &[(&str, u64)]) -> Vec<Want> {
        let want = |(name, need): &(&str, u64)| Want {
            bucket: self.shards[shard].bucket("q:<user>", name, Unit::Usd),
            need: *need,
        };
        of.iter().map(want).collect()
    }

    /// Everything that can happen without time passing.
    fn pump(&mut self) {
        loop {
            let now = self.now();
            let mut busy = false;
            while let Ok(question) = self.questions.receiver.try_recv() {
                busy = true;
                self.agent.ask(question, now, &mut self.out);
            }
            while let Ok(round) = self.questions.rounds.try_recv() {
                busy = true;
                self.agent.returned(round, now, &mut self.out);
            }
            let actions = std::mem::take(&mut self.out);
            busy |= !actions.is_empty();
            for reply in actions.replies {
                self.mail.push((reply.shard, reply.message));
            }
            for (cell, id) in actions.rounds {
                let round = self.questions.round(cell, id, &self.bell);
                for shard in 0..self.shards.len() {
                    self.mail
                        .push((shard, Message::Recall(Arc::clone(&round)).into()));
                }
            }
            for question in actions.questions {
                self.asked.push(question.clone());
                if self.connected && !self.mute {
                    self.ledger(question);
                }
            }
            if !self.deaf {
                for (shard, message) in std::mem::take(&mut self.mail) {
                    busy = true;
                    self.shards[shard].handle(message);
                }
            }
            if !busy {
                return;
            }
        }
    }

    fn ledger(&mut self, question: ToControl) {
        let now = self.now();
        let ToControl::Lease { ticket, bucket, ask } = question else {
            panic!("only leases are asked for");
        };
        let at = match &bucket {
            BucketRef::Numbered(id) => {
                Some(usize::try_from(*id).unwrap() - 1).filter(|at| !self.rows[*at].gone)
            }
            BucketRef::Named(name) => {
                let known = self.rows.iter().position(|row| row.name == *name && !row.gone);
                known.or_else(|| self.defined.then(|| self.open(name.clone())))
            }
        };
        let answer = match at {
            _ if self.ill => LeaseAnswer::Unavailable { seq: ask.seq },
            None => LeaseAnswer::Undefined { seq: ask.seq },
            Some(at) => {
                let row = &mut self.rows[at];
                let Some(grant) = row.account.answer(&mut row.lease, &[], &ask, UnixMicros(now.0)) else {
                    return;
                };
                let bucket = at as u64 + 1;
                LeaseAnswer::Granted { bucket, grant }
            }
        };
        self.agent.answered(ticket, &answer, now, &mut self.out);
    }

    fn open(&mut self, name: Bucket) -> usize {
        let time = UnixMicros(self.now);
        self.rows.push(Row {
            name,
            account: Account::open(self.terms, time),
            lease: Lease::new(1, time),
            gone: false,
        });
        self.rows.len() - 1
    }

    fn ingest(&mut self, charges: &[Charge]) {
        for charge in charges {
            let row = &mut self.rows[usize::try_from(charge.bucket).unwrap() - 1];
            let at = UnixMicros(self.now);
            row.account.charge(charge.amount, at, at);
            row.lease.charge(charge.amount);
        }
    }

    /// Lets time pass in steps of 100 ms, deadlines included.
    fn pass(&mut self, ms: u64) {
        for _ in 0..ms / 100 {
            self.now += 100_000;
            let now = self.now();
            self.agent.expire(now, &mut self.out);
            self.pump();
        }
    }

    fn try_reserve(&mut self, shard: usize, of: &[(&str, u64)]) -> Result<Reservation, Short> {
        let wants = self.wants(shard, of);
        let buckets = Rc::clone(&self.shards[shard]);
        let mut future = Box::pin(async move { buckets.reserve(&wants).await });
        for _ in 0..20 {
            if let Poll::Ready(done) = poll(&mut future) {
                return done;
            }
            self.pump();
            if let Poll::Ready(done) = poll(&mut future) {
                return done;
            }
            self.pass(200);
        }
        panic!("nobody answered");
    }

    fn reserve(&mut self, shard: usize, name: &str, need: u64) -> Reservation {
        self.try_reserve(shard, &[(name, need)]).unwrap()
    }

    /// Has the shards, whose clock is the real one, believe that so much time has passed since the last answer.
    fn age(&self, name: &str, ms: u64) {
        self.cell(name)
            .set_as_of((clock::mono_now().0 / 1_000).wrapping_sub(ms));
    }

    fn refused(&mut self, shard: usize, name: &str, need: u64) -> (Option<u32>, i64) {
        match self.try_reserve(shard, &[(name, need)]) {
            Err(Short::Exhausted {
                retry_after_s, free, ..
            }) => (retry_after_s, free),
            other => panic!("{other:?}"),
        }
    }

    fn cell(&self, name: &str) -> Arc<NodeCell> {
        let bucket = self.shards[0].bucket("q:<user>", name, Unit::Usd);
        Arc::clone(bucket.cell())
    }

    /// What the node has by the ledger's books, and by its own once every shard has given up what it can.
    fn books(&mut self, at: usize, name: &str) -> (i64, i64) {
        for shard in &self.shards {
            shard.flush_all();
        }
        let row = &self.rows[at];
        let outstanding = row.lease.outstanding(row.account.terms, row.account.as_of);
        (outstanding, self.cell(name).free())
    }
}

fn poll<T>(future: &mut Pin<Box<impl Future<Output = T>>>) -> Poll<T> {
    future.as_mut().poll(&mut Context::from_waker(Waker::noop()))
}

#[test]
fn a_bucket_is_opened_once_and_then_served_without_asking() {
    let mut world = World::new(2, terms(1_000, NONE));
    let first = world.reserve(0, "a", 10);
    assert_eq!(
        first.charges().as_slice(),
        [Charge {
            bucket: 1,
            unit: Unit::Usd,
            amount: 10
        }]
    );
    for _ in 0..10 {
        drop(world.reserve(0, "a", 10));
        drop(world.reserve(1, "a", 10));
    }
    assert_eq!(world.asked.len(), 1);
    assert_eq!(first.settle(&[7])[0].amount, 7);
    assert_eq!(world.books(0, "a"), (1_000, 993));
    assert_eq!(world.shards[0].reservations() + world.shards[1].reservations(), 0);
}

#[test]
fn what_lies_idle_in_another_shard_is_found_before_anybody_is_refused() {
    for need in [1, 40, 51, 100] {
        let mut world = World::new(2, terms(100, NONE));
        // Shard 1 has used the bucket, and holds all that it left.
        let all = world.reserve(1, "a", 100);
        drop(all);
        assert_eq!(world.cell("a").free(), 0);
        drop(world.reserve(0, "a", need));
        assert_eq!(world.asked.len(), 1, "the ledger has nothing to add");
        assert!(world.cell("a").is(TIGHT));
    }
}

#[test]
fn a_tight_cell_is_exact_and_a_dry_one_costs_nobody_anything() {
    let mut world = World::new(3, terms(100, NONE));
    drop(world.reserve(1, "a", 100));
    let held: Vec<_> = (0..10).map(|n| world.reserve(n % 3, "a", 10)).collect();
    assert_eq!(world.refused(0, "a", 1), (None, 0));
    let (asks, recalls) = (world.agent.counts().asks, world.agent.counts().recalls);
    for n in 0..100 {
        assert_eq!(world.refused(n % 3, "a", 1), (None, 0));
    }
    assert_eq!(
        (world.agent.counts().asks, world.agent.counts().recalls),
        (asks, recalls)
    );
    // Each amount that comes free can be had at once by whichever shard.
    for (n, held) in held.into_iter().enumerate() {
        drop(held);
        let got = world.reserve((n + 1) % 3, "a", 10);
        world.refused((n + 2) % 3, "a", 1);
        drop(got);
        let got = world.reserve(n % 3, "a", 10);
        assert_eq!(got.settle(&[10])[0].amount, 10);
    }
    assert_eq!(world.refused(0, "a", 1), (None, 0));
    assert_eq!(world.refused(0, "a", 101), (None, 0));
}

#[test]
fn nobody_is_refused_while_shards_still_return_what_they_have() {
    let mut world = World::new(3, terms(100, NONE));
    drop(world.reserve(1, "a", 100));
    world.deaf = true;
    let wants: Vec<_> = [0, 2].map(|shard| world.wants(shard, &[("a", 10)])).into();
    let mut futures = Vec::new();
    for (shard, wants) in [0, 2].into_iter().zip(wants) {
        let buckets = Rc::clone(&world.shards[shard]);
        let mut future = Box::pin(async move { buckets.reserve(&wants).await });
        assert!(poll(&mut future).is_pending());
        world.pump();
        // The cell is tight and empty by now, and shard 1 still holds everything.
        futures.push(future);
    }
    world.deaf = false;
    world.pump();
    for mut future in futures {
        assert!(matches!(poll(&mut future), Poll::Ready(Ok(_))));
    }
}

#[test]
fn all_or_none_and_the_index_of_what_is_short() {
    let mut world = World::new(1, terms(100, NONE));
    let held = world.try_reserve(0, &[("a", 60), ("b", 10)]).unwrap();
    let short = world
        .try_reserve(0, &[("b", 10), ("c", 1), ("a", 60)])
        .unwrap_err();
    assert!(
        matches!(
            short,
            Short::Exhausted {
                index: 2,
                free: 40,
                ..
            }
        ),
        "{short:?}"
    );
    assert_eq!(held.reserved(0), 60);
    drop(held);
    let held = world
        .try_reserve(0, &[("a", 100), ("b", 100), ("c", 100)])
        .unwrap();
    let charges = held.settle(&[1, 0, 3]);
    assert_eq!(
        charges.iter().map(|c| (c.bucket, c.amount)).collect::<Vec<_>>(),
        [(1, 1), (3, 3)]
    );
    assert_eq!(world.shards[0].reservations(), 0);
}

#[test]
fn a_reservation_grows_at_once_or_not_at_all() {
    let mut world = World::new(2, terms(100, NONE));
    let mut held = world.reserve(0, "a", 10);
    assert!(held.extend(0, 40) && held.reserved(0) == 50);
    assert!(!held.extend(0, 51) && held.reserved(0) == 50);
    assert!(!held.extend(1, 1));
    assert!(held.extend(0, 50));
    assert_eq!(held.settle(&[100])[0].amount, 100);
    assert_eq!(world.books(0, "a"), (100, 0));
}

#[test]
fn a_debt_goes_to_the_cell_and_is_paid_before_anything_else() {
    let rate = Rate {
        amount: 10,
        per_us: 1_000_000,
    };
    let mut world = World::new(2, terms(100, rate));
    let held = world.reserve(0, "a", 1);
    let charges = held.settle(&[250]);
    assert!(world.cell("a").free() < 0);
    world.ingest(&charges);
    let (retry, free) = world.refused(1, "a", 1);
    assert_eq!(free, -150);
    // 151 at 10 a second.
    assert!(retry.is_some_and(|s| (15..=16).contains(&s)), "{retry:?}");
    assert_eq!(world.rows[0].account.balance, -150);
}

#[test]
fn a_request_that_leaves_while_it_waits_loses_nothing() {
    let mut world = World::new(2, terms(100, NONE));
    drop(world.reserve(1, "a", 100));
    let wants = world.wants(0, &[("a", 10), ("b", 10)]);
    for left_at in 0..3 {
        let buckets = Rc::clone(&world.shards[0]);
        let wants = wants.clone();
        let mut futures: Vec<_> = (0..50)
            .map(|_| {
                let (buckets, wants) = (Rc::clone(&buckets), wants.clone());
                Box::pin(async move { buckets.reserve(&wants).await })
            })
            .collect();
        for future in &mut futures {
            let _ = poll(future);
        }
        if left_at == 1 {
            world.deaf = true;
            world.pump();
        }
        drop(futures);
        world.deaf = false;
        world.pump();
    }
    assert_eq!(world.shards[0].reservations(), 0);
    drop(world.reserve(0, "b", 100));
    drop(world.reserve(0, "a", 100));
    assert_eq!(world.books(0, "a"), (100, 100));
    assert_eq!(world.agent.flights.len(), 0);
}

#[test]
fn what_asks_at_the_same_time_shares_one_question() {
    let mut world = World::new(2, terms(1_000, NONE));
    let done = Rc::new(Cell::new(0));
    let mut futures = Vec::new();
    for n in 0..400usize {
        let wants = world.wants(n % 2, &[("a", 2)]);
        let (buckets, done) = (Rc::clone(&world.shards[n % 2]), Rc::clone(&done));
        futures.push(Box::pin(async move {
            let held = buckets.reserve(&wants).await.unwrap();
            done.set(done.get() + 1);
            held
        }));
    }
    let held = RefCell::new(Vec::new());
    for future in &mut futures {
        assert!(poll(future).is_pending());
    }
    for _ in 0..4 {
        world.pump();
        futures.retain_mut(|future| match poll(future) {
            Poll::Ready(reservation) => {
                held.borrow_mut().push(reservation);
                false
            }
            Poll::Pending => true,
        });
    }
    assert_eq!(done.get(), 400);
    assert!(world.asked.len() <= 2, "{}", world.asked.len());
}

#[test]
fn a_cell_that_was_replaced_before_it_opened_is_nobodys_end() {
    let mut world = World::new(2, terms(1_000, NONE));
    let begin = |world: &World, shard: usize, need: u64| {
        let wants = world.wants(shard, &[("a", need)]);
        let buckets = Rc::clone(&world.shards[shard]);
        Box::pin(async move { buckets.reserve(&wants).await })
    };
    // Both shards make a cell; that of the second gives way before anybody is answered.
    world.mute = true;
    let mut first = begin(&world, 0, 100);
    assert!(poll(&mut first).is_pending());
    world.pump();
    let mut second = begin(&world, 1, 100);
    assert!(poll(&mut second).is_pending());
    world.pump();
    // So this one gets yet another cell, and waits with the second for its answer.
    let mut third = begin(&world, 1, 100);
    assert!(poll(&mut third).is_pending());
    world.mute = false;
    let question = world.asked.last().cloned().unwrap();
    world.ledger(question);
    world.pump();
    let held = (poll(&mut first), poll(&mut second));
    assert!(matches!(&held, (Poll::Ready(Ok(_)), Poll::Ready(Ok(_)))));
    // Somebody asks again before the third looks: it must not take that answer for a second one of its own.
    let mut fourth = begin(&world, 1, 950);
    assert!(poll(&mut fourth).is_pending());
    assert!(matches!(poll(&mut third), Poll::Ready(Ok(_))));
    world.pump();
    assert!(matches!(
        poll(&mut fourth),
        Poll::Ready(Err(Short::Exhausted { .. }))
    ));
}

#[test]
fn refill_is_asked_for_when_it_can_have_come() {
    let rate = Rate {
        amount: 100,
        per_us: 1_000_000,
    };
    let mut world = World::new(2, terms(100, rate));
    let charges = world.reserve(0, "a", 100).settle(&[100]);
    world.ingest(&charges);
    world.refused(0, "a", 50);
    let asks = world.agent.counts().asks;
    world.age("a", 600);
    world.now += 600_000;
    drop(world.reserve(0, "a", 50));
    assert_eq!(world.agent.counts().asks, asks + 1);
}

#[test]
fn nobody_is_there_to_open_a_bucket() {
    let mut world = World::new(1, terms(100, NONE));
    world.disconnect();
    assert!(matches!(
        world.try_reserve(0, &[("a", 1)]),
        Err(Short::Unavailable { index: 0 })
    ));
    world.connect();
    drop(world.reserve(0, "a", 1));
    world.ill = true;
    assert!(matches!(
        world.try_reserve(0, &[("a", 1), ("b", 1)]),
        Err(Short::Unavailable { index: 1 })
    ));
    world.ill = false;
    world.mute = true;
    assert!(matches!(
        world.try_reserve(0, &[("c", 1)]),
        Err(Short::Unavailable { index: 0 })
    ));
    world.mute = false;
    drop(world.reserve(0, "c", 1));
    assert_eq!(world.agent.counts().unanswered, 1);
}

#[test]
fn the_share_of_the_refill_serves_while_the_control_plane_is_away_and_is_reported() {
    let rate = Rate {
        amount: 10,
        per_us: 1_000_000,
    };
    for how in ["disconnected", "mute", "ill"] {
        let mut world = World::new(2, terms(100, rate));
        let mut charges = world.reserve(0, "a", 100).settle(&[100]);
        world.ingest(&charges);
        charges.clear();
        match how {
            "disconnected" => world.disconnect(),
            "mute" => world.mute = true,
            _ => world.ill = true,
        }
        world.now += 3_000_000;
        world.age("a", 3_000);
        charges.extend(world.reserve(1, "a", 29).settle(&[29]));
        let (_, free) = world.refused(1, "a", 90);
        assert!((0..40).contains(&free), "{how}: {free}");
        // Back again: the ledger hears of it, and both books agree.
        if how == "disconnected" {
            world.connect();
        }
        (world.mute, world.ill) = (false, false);
        world.ingest(&charges);
        world.pump();
        world.agent.changed(1, world.now(), &mut world.out);
        world.pump();
        let (theirs, ours) = world.books(0, "a");
        assert_eq!(theirs, ours, "{how}");
        assert_eq!(world.rows[0].account.balance, ours, "{how}");
    }
}

#[test]
fn an_undefined_bucket_is_refused_until_a_configuration_defines_it() {
    let mut world = World::new(2, terms(100, NONE));
    world.defined = false;
    for _ in 0..3 {
        assert!(matches!(
            world.try_reserve(0, &[("a", 1)]),
            Err(Short::Undefined { index: 0 })
        ));
    }
    assert_eq!(world.asked.len(), 1);
    world.defined = true;
    world.agent.configured();
    drop(world.reserve(0, "a", 1));
    drop(world.reserve(1, "a", 1));
}

#[test]
fn a_bucket_that_was_removed_and_defined_anew_is_another_one() {
    let mut world = World::new(2, terms(100, NONE));
    let old = world.reserve(0, "a", 60);
    world.rows[0].gone = true;
    world.agent.changed(1, world.now(), &mut world.out);
    world.pump();
    assert_eq!(world.reserve(1, "a", 100).charges()[0].bucket, 2);
    assert_eq!(world.reserve(0, "a", 100).charges()[0].bucket, 2);
    // What ran on the old one is settled there.
    let charges = old.settle(&[70]);
    assert_eq!((charges[0].bucket, charges[0].amount), (1, 70));
    assert_eq!(world.books(1, "a"), (100, 100));
}

#[test]
fn a_lowered_ceiling_is_given_back_as_it_comes_free() {
    let mut world = World::new(2, terms(1_000, NONE));
    let held = world.reserve(0, "a", 600);
    drop(world.reserve(1, "a", 10));
    let now = UnixMicros(world.now);
    world.rows[0].account.set_terms(terms(500, NONE), now);
    world.agent.changed(1, world.now(), &mut world.out);
    world.pump();
    assert_eq!(world.cell("a").free(), 0, "all that was free was too much");
    drop(held);
    world.pass(2_500);
    assert_eq!(world.books(0, "a"), (500, 500));
    assert!(world.agent.too_much.is_empty());
    let charges = world.reserve(1, "a", 500).settle(&[500]);
    world.ingest(&charges);
    assert_eq!(world.rows[0].account.balance, 0);
}

#[test]
fn more_by_hand_is_there_at_once() {
    let mut world = World::new(2, terms(100, NONE));
    let charges = world.reserve(0, "a", 100).settle(&[100]);
    world.ingest(&charges);
    world.refused(1, "a", 1);
    let now = UnixMicros(world.now);
    world.rows[0].account.add(70, now);
    world.agent.changed(1, world.now(), &mut world.out);
    world.pump();
    drop(world.reserve(1, "a", 70));
}

#[test]
fn what_lies_idle_is_returned_when_another_node_is_short() {
    let mut world = World::new(2, terms(100, NONE));
    let held = world.reserve(0, "a", 30);
    drop(world.reserve(1, "a", 20));
    world.mute = true;
    world.agent.recall(1, world.now(), &mut world.out);
    world.pump();
    let Some(ToControl::Lease { ask, .. }) = world.asked.last() else {
        panic!("it reports");
    };
    assert_eq!((ask.need, ask.returned, ask.seen), (0, 70, 100));
    assert_eq!(world.cell("a").free(), 0);
    drop(held);
    world.mute = false;
    world.pass(2_000);
    world.agent.changed(1, world.now(), &mut world.out);
    world.pump();
    assert_eq!(world.books(0, "a"), (100, 100));
}

#[test]
fn a_tight_cell_loosens_when_plenty_is_there() {
    let mut world = World::new(2, terms(100, NONE));
    let held = world.reserve(1, "a", 100);
    world.refused(0, "a", 1);
    world.pass(1_500);
    assert!(world.cell("a").is(TIGHT));
    drop(held);
    world.pass(1_500);
    assert!(!world.cell("a").is_any(TIGHT));
}

#[test]
fn a_shard_that_does_not_answer_holds_nobody_up_for_long() {
    let mut world = World::new(2, terms(100, NONE));
    let held = world.reserve(1, "a", 100);
    world.deaf = true;
    let wants = world.wants(0, &[("a", 1)]);
    let buckets = Rc::clone(&world.shards[0]);
    let mut future = Box::pin(async move { buckets.reserve(&wants).await });
    assert!(poll(&mut future).is_pending());
    world.pass(700);
    // The round has ended by its deadline, the ledger was asked, the answer waits in the mailbox.
    assert_eq!(world.asked.len(), 2);
    world.deaf = false;
    world.pump();
    assert!(matches!(
        poll(&mut future),
        Poll::Ready(Err(Short::Exhausted { .. }))
    ));
    drop(held);
}

/// Every bucket has had its turn so often that one without use is forgotten by the shards.
fn idle(world: &World, from_ms: u64) {
    for shard in &world.shards {
        for step in 1..=700 {
            shard.sweep(from_ms + step * 1_000);
        }
    }
}

#[test]
fn idle_buckets_are_let_go_and_come_back_whole() {
    let mut world = World::new(2, terms(100, NONE));
    let held = world.reserve(0, "kept", 10);
    let mut charged = 0;
    for round in 0..3u64 {
        let charges = world.reserve(0, "a", 20).settle(&[7]);
        drop(world.reserve(1, "a", 5));
        charged += 7;
        idle(&world, 1_000_000 * (round + 1));
        assert_eq!(
            world.shards[0].len() + world.shards[1].len(),
            1,
            "one is reserved of"
        );
        world.pass(70_000);
        assert_eq!(world.agent.len(), 1);
        let lease = world.rows[1].lease;
        assert_eq!(
            lease.outstanding(world.terms, UnixMicros(world.now)),
            7,
            "charges come late"
        );
        world.ingest(&charges);
        let free = world.rows[1].account.free(&[world.rows[1].lease]);
        assert_eq!(free, 100 - charged);
    }
    assert_eq!(held.settle(&[1])[0].amount, 1);
    // 79 are left, and whoever needs them gets them.
    drop(world.reserve(1, "a", 79));
    world.refused(0, "a", 80);
    assert_eq!(world.agent.deals.get(0).terms.capacity, 100);
}

#[test]
fn a_closing_that_is_not_answered_is_repeated_and_harmless() {
    let mut world = World::new(1, terms(100, NONE));
    let charges = world.reserve(0, "a", 20).settle(&[7]);
    idle(&world, 1_000_000);
    world.mute = true;
    world.pass(70_000);
    assert_eq!(world.agent.len(), 1);
    assert!(world.agent.counts().unanswered > 0);
    // Somebody needs it before it could be closed.
    world.mute = false;
    world.ingest(&charges);
    drop(world.reserve(0, "a", 93));
    world.refused(0, "a", 94);
    assert_eq!(world.books(0, "a"), (93, 93));
    idle(&world, 3_000_000);
    world.pass(70_000);
    assert_eq!(world.agent.len(), 0);
    drop(world.reserve(0, "a", 93));
}

#[test]
fn a_question_that_meets_a_closing_waits_for_it() {
    let mut world = World::new(1, terms(100, NONE));
    drop(world.reserve(0, "a", 20));
    idle(&world, 1_000_000);
    world.mute = true;
    while world.asked.len() < 2 {
        world.pass(1_000);
    }
    let last = world.asked.last().cloned().unwrap();
    let wants = world.wants(0, &[("a", 100)]);
    let buckets = Rc::clone(&world.shards[0]);
    let mut future = Box::pin(async move { buckets.reserve(&wants).await });
    assert!(poll(&mut future).is_pending());
    world.pump();
    world.mute = false;
    world.ledger(last);
    world.pump();
    assert!(matches!(poll(&mut future), Poll::Ready(Ok(_))));
    assert_eq!(world.agent.len(), 1);
}

#[test]
fn after_a_break_everything_in_use_is_asked_about_some_at_a_time() {
    let mut world = World::new(1, terms(100, NONE));
    let names: Vec<String> = (0..300).map(|n| format!("u{n}")).collect();
    for name in &names {
        drop(world.reserve(0, name, 1));
    }
    world.disconnect();
    world.asked.clear();
    world.mute = true;
    world.connect();
    world.pump();
    assert_eq!(world.asked.len(), BACKGROUND_MAX);
    world.mute = false;
    world.pass(6_000);
    assert!(world.asked.len() >= 300, "{}", world.asked.len());
    assert_eq!((world.agent.background, world.agent.flights.len()), (0, 0));
    assert!(world.agent.holders.is_empty(), "all are quiet again");
}
