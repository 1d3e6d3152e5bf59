//! A data plane process: cells, shards, the agent that asks the ledger, running requests; and its journal, which outlives it.

use sluice_shared::quota::lease::Holder;
use sluice_shared::quota::ledger::Grant;
use sluice_shared::quota::shard::{ShardLease, chunk};
use sluice_shared::units::MonoMicros;

use crate::fault::{Fault, Invariant};
use crate::net::Body;
use crate::rules;
use crate::world::Context;

/// After so long an answer counts as lost.
const PATIENCE_US: u64 = 2_000_000;

pub struct Node {
    /// Number of the incarnation: its index among all that ever were.
    pub id: usize,
    pub alive: bool,
    pub connected: bool,
    pub buckets: Vec<Bucket>,
    pub running: Vec<Request>,
    pub waiting: Vec<Waiting>,
    pub journal: Vec<Record>,
}

pub struct Bucket {
    pub holder: Holder,
    pub cell: i64,
    /// Charges that shards have told the cell of.
    pub charged: u64,
    /// Shards keep nothing idle.
    pub tight: bool,
    pub shards: Vec<ShardLease>,
    pub agent: Agent,
    /// The question under way.
    pub asked: u64,
    /// The ledger was away since the last answer.
    pub away: bool,
    /// The ledger wants idle amounts back.
    pub wanted: bool,
    /// The ledger has said that something changed.
    pub changed: bool,
    /// It is given up: the last question has been asked, or is to be.
    pub leaving: bool,
    /// While an answer is being acted on: when its question had been sent.
    pub fresh: Option<u64>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Agent {
    Idle,
    /// Shards that have not returned what is idle, a bit each.
    Recalling(u32),
    Asking {
        since: u64,
    },
}

#[derive(Clone, Copy, Debug)]
pub struct Want {
    pub bucket: usize,
    /// Needed; then what is reserved.
    pub need: u64,
    pub reserved: u64,
    pub used: u64,
    /// What it will have used when it ends.
    pub will_use: u64,
}

#[derive(Clone, Debug)]
pub struct Request {
    pub shard: usize,
    pub wants: Vec<Want>,
    /// Its fate is looked at.
    pub exam: bool,
}

pub struct Waiting {
    pub request: Request,
    /// Index of the want that is waited for; those before are reserved.
    pub at: usize,
    /// Buckets that it has waited for, a bit each.
    pub waited: u32,
    /// When it began to wait.
    pub since: u64,
}

#[derive(Clone, Copy, Debug)]
pub struct Record {
    /// In true time.
    pub end: u64,
    /// As the node's clock says.
    pub stamp: u64,
    pub charges: [(usize, u64); 2],
}

impl Want {
    /// Used beyond what was needed by its estimate, and reserved later.
    fn over(&self) -> u64 {
        self.used.saturating_sub(self.reserved.max(self.need))
    }
}

impl Bucket {
    /// Nothing, and questions that count on from `seq`.
    fn begin(shards: usize, seq: u64, now: u64) -> Self {
        Self {
            holder: Holder::begin(seq, MonoMicros(now)),
            cell: 0,
            charged: 0,
            tight: false,
            shards: vec![ShardLease::default(); shards],
            agent: Agent::Idle,
            asked: 0,
            away: false,
            wanted: false,
            changed: false,
            leaving: false,
            fresh: None,
        }
    }

    /// A shard returns what is idle and says what it has charged.
    fn give_up(&mut self, fault: Fault, shard: usize) {
        let (free, charged) = rules::give_up(fault, &mut self.shards[shard]);
        self.cell += free;
        self.charged = self.charged.wrapping_add(charged);
    }

    fn reserve(&mut self, fault: Fault, shard: usize, need: u64) -> Option<u64> {
        if let Some(reserved) = rules::reserve(fault, &mut self.shards[shard], need) {
            return Some(reserved);
        }
        let lack = self.shards[shard].lacks(need);
        let tight = self.tight && fault != Fault::TightIgnored;
        let part = match tight {
            true if u64::try_from(self.cell).is_ok_and(|cell| cell >= lack) => lack,
            true => 0,
            false => chunk(self.cell, lack, u32::try_from(self.shards.len()).unwrap()),
        };
        if part == 0 {
            return None;
        }
        self.cell -= i64::try_from(part).unwrap();
        self.shards[shard].add(part);
        rules::reserve(fault, &mut self.shards[shard], need)
    }

    fn end(&mut self, fault: Fault, shard: usize, want: &Want) {
        rules::settle(fault, &mut self.shards[shard], want.reserved, want.used);
        self.ended(fault, shard);
    }

    fn cancel(&mut self, fault: Fault, shard: usize, want: &Want) {
        rules::cancel(fault, &mut self.shards[shard], want.reserved);
        self.ended(fault, shard);
    }

    /// What is owed is told at once, for others to pay; what is left only where somebody waits.
    fn ended(&mut self, fault: Fault, shard: usize) {
        let tight = self.tight && fault != Fault::TightIgnored;
        if tight || self.shards[shard].free < 0 {
            self.give_up(fault, shard);
        }
    }

    /// What is free in the node, wherever.
    pub fn free(&self) -> i64 {
        self.cell + self.shards.iter().map(|shard| shard.free).sum::<i64>()
    }

    /// What is owed in one place of the node while it may be free in another.
    pub fn owed(&self) -> u64 {
        let owed = |free: i64| u64::try_from(-free).unwrap_or(0);
        owed(self.cell) + self.shards.iter().map(|shard| owed(shard.free)).sum::<u64>()
    }

    pub fn all_charged(&self) -> u64 {
        self.shards
            .iter()
            .fold(self.charged, |sum, shard| sum.wrapping_add(shard.charged))
    }

    pub fn reserved(&self) -> u64 {
        self.shards.iter().map(|shard| shard.reserved).sum()
    }
}

impl Node {
    pub fn new(id: usize, buckets: usize, shards: usize, now: u64) -> Self {
        Self {
            id,
            alive: true,
            connected: false,
            buckets: (0..buckets).map(|_| Bucket::begin(shards, 0, now)).collect(),
            running: Vec::new(),
            waiting: Vec::new(),
            journal: Vec::new(),
        }
    }

    pub fn start(&mut self, context: &mut Context, request: Request) {
        self.admit(
            context,
            Waiting {
                request,
                at: 0,
                waited: 0,
                since: context.now,
            },
        );
    }

    /// Reserves from the want on that it stands at; waits at most once for each bucket.
    fn admit(&mut self, context: &mut Context, mut waiting: Waiting) {
        let shard = waiting.request.shard;
        while waiting.at < waiting.request.wants.len() {
            let want = &mut waiting.request.wants[waiting.at];
            let (index, need) = (want.bucket, want.need);
            let bucket = &mut self.buckets[index];
            if let Some(reserved) = bucket.reserve(context.fault, shard, need) {
                want.reserved = reserved;
                waiting.at += 1;
            } else if waiting.waited & (1 << index) == 0 && context.fault != Fault::RefusedUnasked {
                waiting.waited |= 1 << index;
                waiting.since = context.now;
                self.waiting.push(waiting);
                return;
            } else {
                self.refused(context, &waiting, index, need);
                self.release(context, &waiting);
                return;
            }
        }
        context.admitted += 1;
        context.note(|| format!("node {} admits {:?}", self.id, waiting.request));
        if waiting.request.exam {
            context.exam = Some(true);
        }
        self.running.push(waiting.request);
    }

    fn refused(&mut self, context: &mut Context, waiting: &Waiting, index: usize, need: u64) {
        context.refused += 1;
        context.note(|| {
            format!(
                "node {} bucket {index} refuses {need}, {:?}",
                self.id, self.buckets[index].shards
            )
        });
        if waiting.request.exam {
            context.exam = Some(false);
        }
        let bucket = &self.buckets[index];
        let free = bucket.free();
        if i64::try_from(need).is_ok_and(|need| free >= need) {
            context.fail(Invariant::Q3, || {
                format!("{need} refused with {free} free in the node")
            });
        }
        if context.fault == Fault::RefusedUnasked || bucket.fresh.is_some_and(|asked| asked >= waiting.since)
        {
            let judge = (
                self.id,
                index,
                need + bucket.reserved(),
                bucket.fresh.unwrap_or(context.now),
            );
            if context.judge.is_none_or(|other| other.2 > judge.2) {
                context.judge = Some(judge);
            }
        }
    }

    fn release(&mut self, context: &Context, waiting: &Waiting) {
        if context.fault == Fault::PartKept {
            return;
        }
        for want in &waiting.request.wants[..waiting.at] {
            self.buckets[want.bucket].cancel(context.fault, waiting.request.shard, want);
        }
    }

    /// Those that wait for a bucket try once more.
    fn serve(&mut self, context: &mut Context, index: usize) {
        if !self.buckets[index].tight {
            // The question was not theirs: what shards have idle has not been recalled yet.
            return;
        }
        let all = std::mem::take(&mut self.waiting);
        let (now, later): (Vec<_>, Vec<_>) = all
            .into_iter()
            .partition(|waiting| waiting.request.wants[waiting.at].bucket == index);
        self.waiting = later;
        for waiting in now {
            self.admit(context, waiting);
        }
    }

    /// The ledger has never said anything about the bucket, and is away: 503.
    fn unavailable(&mut self, context: &mut Context, index: usize) {
        let all = std::mem::take(&mut self.waiting);
        for waiting in all {
            if waiting.request.wants[waiting.at].bucket == index {
                self.release(context, &waiting);
            } else {
                self.waiting.push(waiting);
            }
        }
    }

    /// A running request gets on.
    pub fn progress(&mut self, context: &mut Context, which: usize, to_end: bool) {
        let request = &mut self.running[which];
        for want in &mut request.wants {
            let left = want.will_use - want.used;
            let step = if to_end {
                left
            } else {
                context.random.below(left + 1)
            };
            let over = want.over();
            want.used += step;
            context.spent[want.bucket] += u128::from(step);
            context.over[want.bucket] += u128::from(want.over() - over);
        }
        if to_end {
            self.end(context, which);
        }
    }

    /// A running request reserves more while it runs.
    pub fn extend(&mut self, context: &mut Context, which: usize) {
        let shard = self.running[which].shard;
        for at in 0..self.running[which].wants.len() {
            let want = self.running[which].wants[at];
            let more = want.used.saturating_sub(want.reserved);
            if more == 0 {
                continue;
            }
            if let Some(reserved) = self.buckets[want.bucket].reserve(context.fault, shard, more) {
                let want = &mut self.running[which].wants[at];
                let over = want.over();
                want.reserved += reserved;
                context.over[want.bucket] -= u128::from(over - want.over());
            }
        }
    }

    /// A request ends with what it has used so far: its record, then its reservation.
    pub fn end(&mut self, context: &Context, which: usize) {
        let request = self.running.swap_remove(which);
        context.note(|| format!("node {} ends {request:?}", self.id));
        self.journal.push(record(context, &request));
        for want in &request.wants {
            self.buckets[want.bucket].end(context.fault, request.shard, want);
        }
    }

    /// A request ends before it was sent to anybody.
    pub fn cancel(&mut self, context: &Context, which: usize) {
        if self.running[which].wants.iter().any(|want| want.used > 0) {
            return self.end(context, which);
        }
        let request = self.running.swap_remove(which);
        for want in &request.wants {
            self.buckets[want.bucket].cancel(context.fault, request.shard, want);
        }
    }

    /// Killed: what ran becomes aborted records, from the in-flight table.
    pub fn kill(&mut self, context: &Context) {
        context.note(|| format!("node {} killed", self.id));
        self.alive = false;
        self.connected = false;
        self.waiting.clear();
        for request in std::mem::take(&mut self.running) {
            let mut record = record(context, &request);
            if context.fault == Fault::AbortedForgotten {
                record.charges = [(0, 0); 2];
            }
            self.journal.push(record);
        }
    }

    /// A shard looks into its mailbox.
    pub fn mail(&mut self, context: &Context, index: usize, shard: usize) {
        let bucket = &mut self.buckets[index];
        if let Agent::Recalling(pending) = bucket.agent
            && pending & (1 << shard) != 0
        {
            bucket.give_up(context.fault, shard);
            bucket.agent = Agent::Recalling(pending & !(1 << shard));
        }
    }

    /// The agent does what is next for a bucket.
    pub fn agent(&mut self, context: &mut Context, index: usize) {
        let waits = self.waits(index);
        let bucket = &mut self.buckets[index];
        let mono = MonoMicros(context.now);
        match bucket.agent {
            Agent::Idle => {
                let excess = bucket.holder.excess(bucket.charged);
                let excess = if context.fault == Fault::ExcessKept {
                    0
                } else {
                    excess
                };
                if bucket.leaving {
                    if self.connected {
                        self.ask(context, index, 0);
                    } else if waits {
                        self.unavailable(context, index);
                    }
                } else if waits || bucket.wanted || (excess > 0 && !bucket.tight) {
                    bucket.tight = true;
                    bucket.agent = Agent::Recalling((1 << bucket.shards.len()) - 1);
                } else if excess > 0 && bucket.cell > 0 {
                    self.give_back(context, index, excess);
                } else if bucket.changed && self.connected {
                    bucket.changed = false;
                    self.ask(context, index, 0);
                } else if bucket.tight
                    && bucket.holder.is_open()
                    && bucket.reserved() == 0
                    && context.random.percent(3)
                {
                    self.leave(context, index);
                } else if bucket.tight && excess == 0 && context.random.percent(30) {
                    bucket.tight = false;
                }
            }
            Agent::Recalling(0) => self.recalled(context, index, waits),
            Agent::Recalling(_) => {}
            Agent::Asking { since } => {
                if context.fault == Fault::AdvancedWhileAsking && bucket.holder.is_asking() {
                    bucket.holder.lost();
                    let more = rules::advance(context.fault, &mut bucket.holder, bucket.charged, mono);
                    bucket.cell += i64::try_from(more).unwrap();
                }
                if context.now - since > PATIENCE_US {
                    self.lost(context, index);
                }
            }
        }
    }

    fn waits(&self, index: usize) -> bool {
        self.waiting
            .iter()
            .any(|waiting| waiting.request.wants[waiting.at].bucket == index)
    }

    /// All shards have returned what was idle.
    fn recalled(&mut self, context: &mut Context, index: usize, waits: bool) {
        let need = self
            .waiting
            .iter()
            .map(|waiting| (waiting.request.shard, &waiting.request.wants[waiting.at]))
            .filter(|(_, want)| want.bucket == index)
            .map(|(_, want)| want.need)
            .max();
        let bucket = &mut self.buckets[index];
        let wanted = std::mem::take(&mut bucket.wanted);
        bucket.agent = Agent::Idle;
        let lacks = need.map_or(0, |need| {
            u64::try_from(i64::try_from(need).unwrap() - bucket.cell).unwrap_or(0)
        });
        if waits && lacks == 0 {
            self.serve(context, index);
        } else if !self.connected {
            self.away(context, index);
        } else {
            if wanted && !waits {
                self.give_back(context, index, u64::MAX);
            }
            self.ask(context, index, lacks);
        }
    }

    fn give_back(&mut self, context: &Context, index: usize, most: u64) {
        let bucket = &mut self.buckets[index];
        let amount = u64::try_from(bucket.cell).unwrap_or(0).min(most);
        bucket.cell -= i64::try_from(amount).unwrap();
        if context.fault != Fault::ReturnNotReported {
            bucket.holder.give_back(amount);
        }
        bucket.changed = true;
    }

    /// Gives everything back, to forget the bucket once that is known. Shards have nothing: they are tight.
    fn leave(&mut self, context: &mut Context, index: usize) {
        if self.waits(index) || !self.connected || self.buckets[index].away {
            return;
        }
        self.give_back(context, index, u64::MAX);
        let bucket = &mut self.buckets[index];
        if bucket.holder.held(bucket.all_charged()) == 0 || context.fault == Fault::LeftOwing {
            context.note(|| format!("node {} leaves bucket {index}", self.id));
            bucket.leaving = true;
        }
    }

    fn ask(&mut self, context: &mut Context, index: usize, need: u64) {
        let mono = MonoMicros(context.now);
        let bucket = &mut self.buckets[index];
        if bucket.away {
            let more = rules::advance(context.fault, &mut bucket.holder, bucket.charged, mono);
            bucket.cell += i64::try_from(more).unwrap();
            bucket.away = false;
        }
        let ask = if bucket.leaving {
            bucket.holder.last(mono)
        } else {
            bucket.holder.ask(need, mono)
        };
        bucket.asked = ask.seq;
        bucket.agent = Agent::Asking { since: context.now };
        context.send(self.id, index, Body::Ask(ask));
    }

    /// The question under way will not be answered.
    pub fn lost(&mut self, context: &mut Context, index: usize) {
        let bucket = &mut self.buckets[index];
        bucket.holder.lost();
        bucket.agent = Agent::Idle;
        self.away(context, index);
    }

    /// The ledger is away: what the share of the refill has brought has to do.
    fn away(&mut self, context: &mut Context, index: usize) {
        let bucket = &mut self.buckets[index];
        if bucket.leaving {
            return self.unavailable(context, index);
        }
        bucket.away = true;
        if !bucket.holder.is_open() {
            return self.unavailable(context, index);
        }
        let more = rules::advance(
            context.fault,
            &mut bucket.holder,
            bucket.charged,
            MonoMicros(context.now),
        );
        bucket.cell += i64::try_from(more).unwrap();
        context.note(|| format!("node {} bucket {index} credits itself {more}", self.id));
        let (held, ceiling) = (
            bucket.holder.held(bucket.charged),
            bucket.holder.terms().ceiling(),
        );
        if more > 0 && held > ceiling {
            context.fail(Invariant::Ceiling, || {
                format!("credited itself up to {held} of {ceiling}")
            });
        }
        self.serve(context, index);
    }

    pub fn disconnect(&mut self, context: &mut Context) {
        self.connected = false;
        for index in 0..self.buckets.len() {
            if matches!(self.buckets[index].agent, Agent::Asking { .. }) {
                self.lost(context, index);
            }
        }
    }

    pub fn granted(&mut self, context: &mut Context, index: usize, grant: &Grant) {
        let bucket = &mut self.buckets[index];
        let Some(more) = rules::granted(
            context.fault,
            &mut bucket.holder,
            grant,
            bucket.asked,
            MonoMicros(context.now),
        ) else {
            return;
        };
        if let Agent::Asking { since } = bucket.agent {
            bucket.fresh = Some(since);
        }
        bucket.agent = Agent::Idle;
        bucket.away = false;
        if bucket.leaving {
            *bucket = Bucket::begin(bucket.shards.len(), bucket.asked, context.now);
            return;
        }
        bucket.cell += i64::try_from(more).unwrap();
        if context.fault != Fault::ExcessKept {
            let excess = bucket.holder.excess(bucket.charged);
            if excess > 0 && bucket.tight {
                self.give_back(context, index, excess);
            }
        }
        self.serve(context, index);
        self.buckets[index].fresh = None;
    }
}

fn record(context: &Context, request: &Request) -> Record {
    let mut charges = [(0, 0); 2];
    for (charge, want) in charges.iter_mut().zip(&request.wants) {
        *charge = (want.bucket, want.used);
    }
    Record {
        end: context.now,
        stamp: context.clock(),
        charges,
    }
}
