//! One run: time passes, and anything may happen at any step.

use sluice_shared::quota::ledger::Account;
use sluice_shared::quota::{Rate, Terms};
use sluice_shared::units::UnixMicros;

use crate::check;
use crate::fault::{Fault, Invariant};
use crate::ledger::{Book, Books, History, Ledger};
use crate::naive::{PER_US, RATE_MAX};
use crate::net::{Body, Message, Weather};
use crate::node::{Agent, Node, Request, Want};
use crate::random::Random;

/// Steps before everything is brought to rest; each does several things.
pub const STEPS: u32 = 220;
/// Unix time less true time, in the beginning.
const EPOCH_US: i64 = 1_800_000_000_000_000;
const HOUR_US: i64 = 3_600_000_000;

/// What all parts may look at.
pub struct Context {
    /// True time, in microseconds.
    pub now: u64,
    pub random: Random,
    pub fault: Fault,
    pub weather: Weather,
    pub net: Vec<Message>,
    /// Unix time of the machine less true time.
    pub offset: i64,
    /// When a dead process was last finished.
    pub finished: u64,
    /// Used by requests, by bucket; and of that, beyond what was reserved.
    pub spent: Vec<u128>,
    pub over: Vec<u128>,
    pub admitted: u32,
    pub refused: u32,
    /// Whether the request that is looked at was admitted.
    pub exam: Option<bool>,
    /// A refusal to be judged: node, bucket, need and reserved, when the question was sent.
    pub judge: Option<(usize, usize, u64, u64)>,
    /// Print what happens.
    pub trace: bool,
    pub found: Option<(Invariant, String)>,
}

impl Context {
    /// The machine's clock.
    pub fn clock(&self) -> u64 {
        self.now.strict_add_signed(self.offset)
    }

    pub fn note(&self, what: impl FnOnce() -> String) {
        if self.trace {
            println!("{:>12} {}", self.now, what());
        }
    }

    pub fn fail(&mut self, invariant: Invariant, what: impl FnOnce() -> String) {
        if self.found.is_none() {
            self.found = Some((invariant, what()));
        }
    }
}

/// What kind of requests a bucket sees.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Admission {
    Estimate,
    Strict,
    Positive,
    /// Reserved while it runs, never charged.
    Concurrency,
}

pub struct World {
    pub context: Context,
    pub admissions: Vec<Admission>,
    /// In force by the document.
    pub terms: Vec<Terms>,
    pub opening: Vec<Terms>,
    /// Most that may have been spent, times [`PER_US`].
    pub allowed: Vec<u128>,
    pub store: Books,
    pub ledger: Option<Ledger>,
    /// All incarnations that ever were.
    pub nodes: Vec<Node>,
    wanted_nodes: usize,
    shards: usize,
    mishaps: u64,
    jumps: bool,
    changes: bool,
}

/// What a run has seen.
#[derive(Clone, Copy, Debug, Default)]
pub struct Seen {
    pub admitted: u64,
    pub refused: u64,
    pub incarnations: u64,
}

/// Runs a seed to its end or to the first invariant that fails.
pub fn run(seed: u64, fault: Fault, trace: bool) -> Result<Seen, (Invariant, String)> {
    let mut world = World::new(seed, fault, trace);
    for step in 0..STEPS {
        world.step();
        check::always(&mut world);
        if world.context.random.percent(10) || trace {
            check::balanced(&mut world);
        }
        if step == STEPS / 2 && world.context.random.percent(40) {
            world.rest();
        }
        if let Some(found) = world.context.found.take() {
            return Err((found.0, format!("step {step}: {}", found.1)));
        }
    }
    world.rest();
    if let Some(found) = world.context.found.take() {
        return Err((found.0, format!("at rest: {}", found.1)));
    }
    Ok(Seen {
        admitted: u64::from(world.context.admitted),
        refused: u64::from(world.context.refused),
        incarnations: world.nodes.len() as u64,
    })
}

impl World {
    fn new(seed: u64, fault: Fault, trace: bool) -> Self {
        let mut random = Random::new(seed);
        let buckets = random.index(3) + 1;
        let admissions: Vec<_> = (0..buckets)
            .map(|_| match random.below(7) {
                0..=2 => Admission::Estimate,
                3..=4 => Admission::Strict,
                5 => Admission::Positive,
                _ => Admission::Concurrency,
            })
            .collect();
        let terms: Vec<_> = admissions.iter().map(|kind| terms(&mut random, *kind)).collect();
        let weather = match random.below(3) {
            0 => Weather {
                loss: 0,
                doubled: 0,
                delay_us: 20_000,
            },
            1 => Weather {
                loss: 5,
                doubled: 10,
                delay_us: 500_000,
            },
            _ => Weather {
                loss: 25,
                doubled: 20,
                delay_us: 6_000_000,
            },
        };
        let context = Context {
            now: 1_000,
            fault,
            weather,
            net: Vec::new(),
            offset: EPOCH_US,
            finished: 0,
            spent: vec![0; buckets],
            over: vec![0; buckets],
            admitted: 0,
            refused: 0,
            exam: None,
            judge: None,
            trace,
            found: None,
            random,
        };
        let now = UnixMicros(context.clock());
        let store = Books {
            buckets: terms
                .iter()
                .map(|terms| Book {
                    account: Account::open(*terms, now),
                    leases: Vec::new(),
                    history: History::default(),
                })
                .collect(),
            offset: EPOCH_US,
            ..Books::default()
        };
        let mut world = Self {
            allowed: terms
                .iter()
                .map(|terms| u128::from(terms.capacity) * u128::from(PER_US))
                .collect(),
            opening: terms.clone(),
            terms,
            admissions,
            store,
            ledger: None,
            nodes: Vec::new(),
            wanted_nodes: 1,
            shards: 1,
            mishaps: 0,
            jumps: false,
            changes: false,
            context,
        };
        let random = &mut world.context.random;
        world.wanted_nodes = match random.below(10) {
            0..=4 => 1,
            5..=8 => 2,
            _ => 3,
        };
        world.shards = random.index(4) + 1;
        world.mishaps = random.below(3) * 5;
        world.jumps = random.percent(25);
        world.changes = random.percent(40);
        // What was advanced by a clock at the start of time.
        world.start_ledger();
        for _ in 0..world.wanted_nodes {
            world.start_node();
        }
        world
    }

    fn step(&mut self) {
        let random = &mut self.context.random;
        let pause = match random.below(100) {
            0..=79 => random.below(30_000),
            80..=96 => random.below(1_000_000),
            _ => random.below(20_000_000),
        };
        self.pass(pause);
        for _ in 0..3 {
            self.act();
        }
        if self.context.random.percent(self.mishaps) {
            self.mishap();
        }
        self.recover();
        self.judge();
    }

    /// Time passes: what is refilled may be spent.
    fn pass(&mut self, us: u64) {
        self.context.now += us;
        for (bucket, allowed) in self.allowed.iter_mut().enumerate() {
            // The document's rate, and those that were in force and that somebody still goes by.
            let books = [
                Some(&self.store),
                self.ledger.as_ref().map(|ledger| &ledger.books),
            ];
            let rate = books
                .into_iter()
                .flatten()
                .map(|books| books.buckets[bucket].account.terms.rate.amount)
                .chain(
                    self.nodes
                        .iter()
                        .filter(|node| node.alive)
                        .map(|node| node.buckets[bucket].holder.terms().rate.amount),
                )
                .fold(self.terms[bucket].rate.amount, u64::max);
            *allowed += u128::from(rate) * u128::from(us);
        }
    }

    fn act(&mut self) {
        match self.context.random.below(100) {
            0..=24 => self.request(),
            25..=44 => self.get_on(),
            45..=62 => self.deliver(),
            63..=84 => self.work(),
            _ => self.keep_books(),
        }
    }

    fn alive(&mut self) -> Option<usize> {
        let alive = self.nodes.iter().filter(|node| node.alive).count();
        if alive == 0 {
            return None;
        }
        let which = self.context.random.index(alive);
        self.nodes
            .iter()
            .filter(|node| node.alive)
            .nth(which)
            .map(|node| node.id)
    }

    fn request(&mut self) {
        let Some(node) = self.alive() else { return };
        let random = &mut self.context.random;
        let shard = random.index(self.shards);
        let first = random.index(self.terms.len());
        let mut buckets = vec![first];
        if self.terms.len() > 1 && random.percent(50) {
            buckets.push((first + 1) % self.terms.len());
        }
        let wants = buckets
            .into_iter()
            .map(|bucket| {
                let (need, will_use) = amounts(random, self.admissions[bucket], self.terms[bucket].capacity);
                Want {
                    bucket,
                    need,
                    reserved: 0,
                    used: 0,
                    will_use,
                }
            })
            .collect();
        self.nodes[node].start(
            &mut self.context,
            Request {
                shard,
                wants,
                exam: false,
            },
        );
    }

    fn get_on(&mut self) {
        let Some(node) = self.alive() else { return };
        let node = &mut self.nodes[node];
        if node.running.is_empty() {
            return;
        }
        let which = self.context.random.index(node.running.len());
        match self.context.random.below(10) {
            0..=2 => node.progress(&mut self.context, which, false),
            3 => node.extend(&mut self.context, which),
            4 => node.cancel(&self.context, which),
            _ => node.progress(&mut self.context, which, true),
        }
    }

    fn deliver(&mut self) {
        for _ in 0..3 {
            let Some(message) = self.context.receive() else {
                return;
            };
            let Message {
                node, bucket, body, ..
            } = message;
            if let Body::Ask(ask) = body {
                if let Some(ledger) = &mut self.ledger {
                    ledger.ask(&mut self.context, &self.nodes, node, bucket, ask);
                }
                continue;
            }
            let node = &mut self.nodes[node];
            if !node.alive {
                continue;
            }
            match body {
                Body::Grant(grant) => node.granted(&mut self.context, bucket, &grant),
                Body::Changed => node.buckets[bucket].changed = true,
                Body::Recall => node.buckets[bucket].wanted = true,
                Body::Ask(_) => {}
            }
        }
    }

    /// Shards and agents look at what there is to do.
    fn work(&mut self) {
        let Some(node) = self.alive() else { return };
        let node = &mut self.nodes[node];
        for index in 0..node.buckets.len() {
            for shard in 0..self.shards {
                if self.context.random.percent(60) {
                    node.mail(&self.context, index, shard);
                }
            }
            node.agent(&mut self.context, index);
        }
    }

    fn keep_books(&mut self) {
        let Some(ledger) = &mut self.ledger else { return };
        let most = self.context.random.index(8);
        match self.context.random.below(3) {
            0 => ledger.ingest(&mut self.context, &self.nodes, most),
            1 => ledger.ingest(&mut self.context, &self.nodes, usize::MAX / 2),
            _ => ledger.release(&mut self.context, &self.nodes),
        }
        if self.context.random.percent(70) {
            ledger.commit(&mut self.context, &mut self.store);
        }
    }

    fn mishap(&mut self) {
        match self.context.random.below(100) {
            0..=24 => self.kill_ledger(),
            25..=44 => {
                if let Some(node) = self.alive() {
                    self.nodes[node].kill(&self.context);
                    if self.context.fault == Fault::LeaseEndedEarly
                        && let Some(ledger) = &mut self.ledger
                    {
                        ledger.end_lease(&mut self.context, &self.nodes, node);
                    }
                }
            }
            45..=64 => {
                if let Some(node) = self.alive() {
                    self.nodes[node].disconnect(&mut self.context);
                }
            }
            65..=79 if self.changes => self.change(),
            80..=92 if self.jumps => self.jump(),
            _ => {
                let bucket = self.context.random.index(self.terms.len());
                let amount = self.context.random.below(self.terms[bucket].capacity) + 1;
                if let Some(ledger) = &mut self.ledger {
                    ledger.add(&mut self.context, &self.nodes, bucket, amount);
                }
            }
        }
    }

    /// What is down comes back, by and by.
    fn recover(&mut self) {
        if self.ledger.is_none() && self.context.random.percent(15) {
            self.start_ledger();
        }
        let alive = self.nodes.iter().filter(|node| node.alive).count();
        if alive < self.wanted_nodes && self.context.random.percent(20) {
            self.start_node();
        }
        if self.ledger.is_some()
            && self.context.random.percent(40)
            && let Some(node) = self.alive()
        {
            self.nodes[node].connected = true;
        }
    }

    fn kill_ledger(&mut self) {
        self.context.note(|| "ledger killed".into());
        self.ledger = None;
        for node in self.nodes.iter_mut().filter(|node| node.connected) {
            node.disconnect(&mut self.context);
        }
    }

    fn start_ledger(&mut self) {
        let ledger = Ledger::start(&mut self.context, &self.store, &self.nodes, &self.terms);
        let jump = self.context.offset - self.store.offset;
        for (allowed, book) in self.allowed.iter_mut().zip(&self.store.buckets) {
            // A clock that was put forward refills what fits.
            let Account { terms, balance, .. } = book.account;
            let came = u128::from(terms.rate.amount) * u128::try_from(jump).unwrap_or(0);
            let room = u128::from(terms.capacity) + u128::from(balance.min(0).unsigned_abs());
            *allowed += came.min(room * u128::from(PER_US));
        }
        self.context
            .note(|| format!("ledger starts, clock moved by {jump}"));
        self.ledger = Some(ledger);
    }

    fn start_node(&mut self) {
        let id = self.nodes.len();
        self.context.note(|| format!("node {id} starts"));
        self.nodes
            .push(Node::new(id, self.terms.len(), self.shards, self.context.now));
        self.store.stored.push(0);
        self.store.finished.push(false);
        if let Some(ledger) = &mut self.ledger {
            ledger.met(id + 1);
        }
    }

    fn change(&mut self) {
        let bucket = self.context.random.index(self.terms.len());
        let other = terms(&mut self.context.random, self.admissions[bucket]);
        let terms = &mut self.terms[bucket];
        match self.context.random.below(3) {
            0 => terms.capacity = other.capacity,
            1 => terms.rate = other.rate,
            _ => *terms = other,
        }
        let terms = *terms;
        if let Some(ledger) = &mut self.ledger {
            ledger.set_terms(&mut self.context, &self.nodes, bucket, terms);
        }
    }

    /// The clock is put back or forward; a ledger that runs goes on by its own until it is started anew.
    fn jump(&mut self) {
        self.context.offset += match self.context.random.below(3) {
            0 => -2 * HOUR_US,
            1 => HOUR_US,
            _ => 30 * 24 * HOUR_US,
        };
        if self.context.random.percent(70) {
            self.kill_ledger();
        }
    }

    /// A refusal of the only node, after it had asked: by the model, it must not have been enough.
    fn judge(&mut self) {
        let Some((node, bucket, need, asked)) = self.context.judge.take() else {
            return;
        };
        let Some(ledger) = &self.ledger else { return };
        let book = &ledger.books.buckets[bucket];
        let history = &book.history;
        let quiet = history.ops.last().is_none_or(|(at, _)| *at < asked) && self.context.finished < asked;
        if book.leases.len() != 1 || book.leases[0].holder != node as u64 || !quiet || !self.nodes[node].alive
        {
            return;
        }
        check::refusal(self, bucket, need, asked);
    }

    /// Nothing new happens; what is under way comes to its end, and everything must add up.
    fn rest(&mut self) {
        let weather = std::mem::take(&mut self.context.weather);
        self.context.weather.delay_us = 500;
        if self.ledger.is_none() {
            self.start_ledger();
        }
        if !self.nodes.iter().any(|node| node.alive) {
            self.start_node();
        }
        // With several, once what is idle is given back; then everybody says once more what it has.
        let alive = self.nodes.iter().filter(|node| node.alive).count();
        for report in [None, Some(alive > 1), Some(false), Some(false)] {
            if !self.settle(report) {
                return;
            }
        }
        check::balanced(self);
        check::resting(self);
        if self.context.found.is_none() {
            check::exam(self);
        }
        self.context.weather = weather;
    }

    /// Until nothing is on its way and nobody waits; `false` if that does not come. With `report`, every node says once
    /// more what it has; if it is `true`, after giving back what is idle.
    pub fn settle(&mut self, report: Option<bool>) -> bool {
        for node in self.nodes.iter_mut().filter(|node| node.alive) {
            node.connected = true;
            for bucket in &mut node.buckets {
                bucket.wanted |= report == Some(true);
                bucket.changed |= report == Some(false);
            }
        }
        for turn in 0..600 {
            self.pass(if turn < 100 { 10_000 } else { 40_000 });
            for id in 0..self.nodes.len() {
                let node = &mut self.nodes[id];
                if !node.alive {
                    continue;
                }
                while !node.running.is_empty() {
                    node.progress(&mut self.context, 0, true);
                }
                for index in 0..node.buckets.len() {
                    for shard in 0..self.shards {
                        node.mail(&self.context, index, shard);
                    }
                    node.agent(&mut self.context, index);
                }
            }
            let Some(ledger) = &mut self.ledger else {
                return false;
            };
            ledger.ingest(&mut self.context, &self.nodes, usize::MAX / 2);
            ledger.commit(&mut self.context, &mut self.store);
            while self
                .context
                .net
                .iter()
                .any(|message| message.due <= self.context.now)
            {
                self.deliver();
            }
            if self.context.found.is_some() {
                return false;
            }
            if self.rests() {
                return true;
            }
        }
        let agents: Vec<_> = self
            .nodes
            .iter()
            .filter(|node| node.alive)
            .flat_map(|node| {
                node.buckets
                    .iter()
                    .map(|bucket| (node.id, bucket.agent, bucket.wanted, bucket.changed))
            })
            .collect();
        let on_its_way = self.context.net.len();
        self.context.fail(Invariant::Rest, || {
            format!("something goes on for ever: {agents:?}, {on_its_way} messages")
        });
        false
    }

    fn rests(&self) -> bool {
        let nodes = self.nodes.iter().filter(|node| node.alive).all(|node| {
            node.waiting.is_empty()
                && node.running.is_empty()
                && node
                    .buckets
                    .iter()
                    .all(|bucket| bucket.agent == Agent::Idle && !bucket.wanted && !bucket.changed)
        });
        nodes && self.context.net.is_empty() && self.ledger.as_ref().is_some_and(Ledger::rests)
    }
}

fn terms(random: &mut Random, admission: Admission) -> Terms {
    if admission == Admission::Concurrency {
        return Terms {
            capacity: random.between(1, 8),
            rate: Rate::NONE,
        };
    }
    let amount = match random.below(4) {
        0 => 0,
        1 => random.between(1, 5),
        _ => random.between(1, RATE_MAX),
    };
    let rate = if amount == 0 {
        Rate::NONE
    } else {
        Rate {
            amount,
            per_us: PER_US,
        }
    };
    Terms {
        capacity: random.between(20, 1_000),
        rate,
    }
}

/// What a request needs, and what it will use.
fn amounts(random: &mut Random, admission: Admission, capacity: u64) -> (u64, u64) {
    let most = capacity / if random.percent(80) { 8 } else { 1 };
    let need = random.below(most.max(1)) + 1;
    match admission {
        Admission::Estimate => (need, random.below(need * 2 + 1)),
        Admission::Strict => (need, random.below(need + 1)),
        Admission::Positive => (1, random.below(need + 1)),
        Admission::Concurrency => (1, 0),
    }
}
