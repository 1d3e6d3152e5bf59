//! What a node has of its buckets, as a state machine: questions of shards, rounds, answers of the ledger and time in;
//! answers, rounds and questions for the ledger out.
//!
//! One thing at a time happens to a bucket, a *flight*. Whoever asks meanwhile joins it.
//!
//! ```text
//!  not open ──Named──────────────────────────────▶ Asking ──granted──▶ answer
//!  open ──▶ Recalling (tight from here) ──short──▶ Asking, or credit while the ledger is away ──▶ answer
//!                                       └─enough──────────────────────────────────────────────▶ answer
//!  nobody knows it ──▶ Closing: all is given back; forgotten when that is answered
//! ```
//!
//! - A bucket is recalled before the ledger is asked, unless it is tight: then no shard has anything idle.
//! - Somebody else's need (`RecallBucket`), and a ceiling that was lowered, are flights, too: after the round, what lies
//!   idle, or what is too much, is taken out of the cell and reported as returned.
//! - A question that is not answered in time counts as lost, as all do when the link breaks: the node goes on with its
//!   share of the refill, and the next question tells the ledger what it may forget.
//! - After a break every bucket that is in use is asked about, some at a time: what the ledger had to say meanwhile was
//!   missed.
//! - Numbers of questions count over all buckets, so that those about one grow however often it is forgotten.

use std::collections::{HashMap, HashSet, VecDeque};
use std::sync::Arc;

use sluice_shared::quota::lease::{Holder, Quiet};
use sluice_shared::quota::ledger::{Ask, Grant};
use sluice_shared::quota::{AMOUNT_MAX, signed, unsigned};
use sluice_shared::units::MonoMicros;
use sluice_shared::wire::control::{Bucket, BucketRef, LeaseAnswer, ToControl};

use super::cell::{MOVED, NodeCell, OPEN, RECALLING, TIGHT, UNDEFINED};
use super::deals::{Deal, DealBook, Deals};
use super::index::Index;
use super::slab::Slab;
use super::{Answer, BUCKETS_MAX, Message, Question, QuotaMessage, ROUNDS_MAX, RoundId};

#[cfg(test)]
mod tests;

/// How long the ledger is waited for, in microseconds; it takes up to 1.5 s to ask other nodes. Within the patience of
/// a request.
const ASK_US_MAX: u64 = 1_800_000;
/// How long a shard is waited for to return what lies idle, in microseconds: far longer than a turn of a busy one.
const ROUND_US_MAX: u64 = 500_000;
/// Interval at which tight cells are looked at, and idle ones sought, in microseconds.
const TICK_US: u64 = 1_000_000;
/// Ticks in which every bucket is looked at once.
const TICKS_A_ROUND: usize = 60;
/// Buckets that are refreshed or closed at a time, so that the ledger is not flooded.
const BACKGROUND_MAX: usize = 64;
/// A bucket is tight no longer when this part of its ceiling is free again.
const PLENTY_PART: i64 = 4;

/// What is to be done after a step.
#[derive(Debug, Default)]
pub(crate) struct Actions {
    /// Answers for shards.
    pub(crate) replies: Vec<Reply>,
    /// Rounds through all shards.
    pub(crate) rounds: Vec<(Arc<NodeCell>, RoundId)>,
    /// Questions for the ledger.
    pub(crate) questions: Vec<ToControl>,
}

/// An answer for a shard.
#[derive(Debug)]
pub(crate) struct Reply {
    pub(crate) shard: usize,
    pub(crate) message: QuotaMessage,
}

impl Reply {
    /// `cell` is the one that counts.
    fn new(shard: usize, cell: Arc<NodeCell>, answer: Answer) -> Self {
        let message = Message::Answered(cell, answer).into();
        Self { shard, message }
    }
}

impl Actions {
    pub(crate) fn is_empty(&self) -> bool {
        self.replies.is_empty() && self.rounds.is_empty() && self.questions.is_empty()
    }
}

/// Counts since the start.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct AgentCounts {
    /// Questions to the ledger.
    pub(crate) asks: u64,
    /// Of those: not answered in time.
    pub(crate) unanswered: u64,
    /// Rounds through all shards.
    pub(crate) recalls: u64,
}

/// See the module.
#[derive(Debug, Default)]
pub(crate) struct Agent {
    entries: Slab<Entry>,
    by_key: Index,
    by_id: Index,
    /// Holders that an entry cannot tell.
    holders: HashMap<u32, Holder>,
    flights: HashMap<u32, Flight>,
    deals: DealBook,
    /// Buckets whose cells are tight.
    tight: HashSet<u32>,
    /// Buckets that are not defined.
    undefined: HashSet<u32>,
    /// Buckets of which the node has more than their lowered ceilings.
    too_much: HashSet<u32>,
    /// Buckets that may credit themselves nothing before the ledger has answered again: it may have closed them.
    uncredited: HashSet<u32>,
    /// Buckets about which a question was not answered although the ledger is there: it is asked again.
    unanswered: HashSet<u32>,
    /// When rounds and questions end, in order.
    round_ends: VecDeque<(MonoMicros, RoundId)>,
    ask_ends: VecDeque<(MonoMicros, RoundId)>,
    serials: u64,
    /// Stints that have begun.
    stints: u64,
    connected: bool,
    tick_at: MonoMicros,
    /// Where the search for idle buckets goes on.
    cursor: u32,
    /// Where the refreshing goes on; `None`: everything is fresh.
    stale_from: Option<u32>,
    /// Refreshes and closings under way.
    background: usize,
    counts: AgentCounts,
}

/// One bucket, small, because a million may live. What it says of the holder is right while that is quiet, and is
/// overruled by [`Agent::holders`].
#[derive(Debug)]
struct Entry {
    cell: Arc<NodeCell>,
    /// Granted in the stint.
    seen: u64,
    /// The stint, and its questions so far. Together they number a question.
    stint: u32,
    questions: u32,
    /// When the last answer came, in milliseconds, rounded up and wrapping.
    at_ms: u32,
}

const _: () = assert!(size_of::<Option<Entry>>() <= 32, "a million of them are paid for");

#[derive(Debug, Default)]
struct Flight {
    /// Of the round or question that is under way.
    serial: u64,
    phase: Phase,
    name: Option<Box<Bucket>>,
    /// Shards that wait for the answer.
    askers: Vec<usize>,
    /// What they lack together.
    need: u64,
    /// The largest need that the ledger has been asked for.
    asked: Option<u64>,
    asked_at: MonoMicros,
    giving: Giving,
    /// Something was given back, or has changed at the ledger: ask it in any case.
    report: bool,
    /// It runs for nobody in particular.
    background: bool,
    /// Questions that came while the bucket was being closed.
    later: Vec<Question>,
}

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
enum Phase {
    #[default]
    Begun,
    /// The shards return what lies idle.
    Recalling,
    /// The ledger was asked, with this number.
    Asking(u64),
    /// The same, and then the bucket is forgotten.
    Closing(u64),
}

/// What is to be given back to the ledger.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
enum Giving {
    #[default]
    Nothing,
    /// What is above the ceiling.
    Excess,
    /// Whatever is free.
    Everything,
}

impl Agent {
    /// What shards read of it.
    pub(crate) fn deals(&self) -> Deals {
        self.deals.shared()
    }

    /// Buckets that the node knows.
    pub(crate) fn len(&self) -> usize {
        self.entries.len()
    }

    pub(crate) fn counts(&self) -> AgentCounts {
        self.counts
    }

    /// A shard asks.
    pub(crate) fn ask(&mut self, question: Question, now: MonoMicros, out: &mut Actions) {
        let Question { shard, cell, .. } = &question;
        let (shard, asked_cell) = (*shard, Arc::clone(cell));
        let Some(at) = self
            .find(cell)
            .or_else(|| self.insert(Arc::clone(cell), now, out))
        else {
            let reply = Reply::new(shard, asked_cell, Answer::Unavailable);
            out.replies.push(reply);
            return;
        };
        let Some(cell) = self.cell(at) else { return };
        if !Arc::ptr_eq(&cell, &asked_cell) {
            asked_cell.set(MOVED);
        }
        if let Some(flight) = self.flights.get_mut(&at) {
            if matches!(flight.phase, Phase::Closing(_)) {
                flight.later.push(question);
                return;
            }
            flight.askers.push(shard);
            flight.name = flight.name.take().or(question.name);
            flight.need = flight.need.saturating_add(question.lack).min(AMOUNT_MAX);
            return;
        }
        let answer = if cell.is(UNDEFINED) {
            Some(Answer::Undefined)
        } else if self.flights.len() >= ROUNDS_MAX {
            Some(Answer::Unavailable)
        } else {
            None
        };
        if let Some(answer) = answer {
            out.replies.push(Reply::new(shard, cell, answer));
            return;
        }
        let flight = Flight {
            name: question.name,
            askers: vec![shard],
            need: question.lack.min(AMOUNT_MAX),
            ..Flight::default()
        };
        self.flights.insert(at, flight);
        self.proceed(at, now, out);
    }

    /// All shards have returned what they had idle.
    pub(crate) fn returned(&mut self, id: RoundId, now: MonoMicros, out: &mut Actions) {
        let waiting = self
            .flights
            .get(&id.bucket)
            .is_some_and(|flight| flight.serial == id.serial && flight.phase == Phase::Recalling);
        if waiting {
            self.proceed(id.bucket, now, out);
        }
    }

    /// The ledger answers.
    pub(crate) fn answered(&mut self, ticket: u64, answer: &LeaseAnswer, now: MonoMicros, out: &mut Actions) {
        let Ok(at) = u32::try_from(ticket) else { return };
        let Some(phase) = self.flights.get(&at).map(|flight| flight.phase) else {
            return;
        };
        let seq = match answer {
            LeaseAnswer::Granted { grant, .. } => grant.seq,
            LeaseAnswer::Undefined { seq } | LeaseAnswer::Unavailable { seq } => *seq,
        };
        match (phase, answer) {
            (Phase::Asking(asked) | Phase::Closing(asked), _) if asked != seq => {}
            (Phase::Begun | Phase::Recalling, _) => {}
            (Phase::Closing(_), LeaseAnswer::Granted { .. } | LeaseAnswer::Undefined { .. }) => {
                self.forget(at, now, out);
            }
            (Phase::Asking(_), LeaseAnswer::Granted { bucket, grant }) => {
                self.granted(at, *bucket, grant, now, out);
            }
            (Phase::Asking(_), LeaseAnswer::Undefined { .. }) => self.is_undefined(at, out),
            (_, LeaseAnswer::Unavailable { .. }) => self.lost(at, now, out),
        }
    }

    /// There may be more of a bucket, or its terms are others.
    pub(crate) fn changed(&mut self, id: u64, now: MonoMicros, out: &mut Actions) {
        self.errand(id, Giving::Nothing, now, out);
    }

    /// Another node is short.
    pub(crate) fn recall(&mut self, id: u64, now: MonoMicros, out: &mut Actions) {
        self.errand(id, Giving::Everything, now, out);
    }

    fn errand(&mut self, id: u64, giving: Giving, now: MonoMicros, out: &mut Actions) {
        let same = |at| self.entries.get(at).is_some_and(|entry| entry.cell.id() == id);
        let Some(at) = self.by_id.find(hash_of_id(id), same) else {
            return;
        };
        if let Some(flight) = self.flights.get_mut(&at) {
            if giving == Giving::Nothing {
                flight.report = true;
            } else if flight.askers.is_empty() {
                // Whoever has requests waiting has nothing idle.
                flight.giving = giving;
            }
            return;
        }
        let flight = Flight {
            giving,
            report: true,
            ..Flight::default()
        };
        self.flights.insert(at, flight);
        self.proceed(at, now, out);
    }

    /// The link is there; what the ledger had to say meanwhile was missed.
    pub(crate) fn connected(&mut self, now: MonoMicros, out: &mut Actions) {
        self.connected = true;
        self.stale_from = Some(0);
        self.refresh(now, out);
    }

    /// The link is gone, and with it every answer.
    pub(crate) fn disconnected(&mut self, now: MonoMicros, out: &mut Actions) {
        self.connected = false;
        self.stale_from = None;
        self.ask_ends.clear();
        let asking = |flight: &Flight| matches!(flight.phase, Phase::Asking(_) | Phase::Closing(_));
        let lost: Vec<u32> = self
            .flights
            .iter()
            .filter_map(|(at, flight)| asking(flight).then_some(*at))
            .collect();
        for at in lost {
            self.lost(at, now, out);
        }
    }

    /// Another configuration: what was not defined may be now.
    pub(crate) fn configured(&mut self) {
        for at in self.undefined.drain() {
            if let Some(entry) = self.entries.get(at) {
                entry.cell.clear(UNDEFINED);
            }
        }
    }

    /// When [`Self::expire`] has something to do.
    pub(crate) fn next_deadline(&self) -> Option<MonoMicros> {
        let ends = [self.round_ends.front(), self.ask_ends.front()];
        let ends = ends.into_iter().flatten().map(|(end, _)| *end);
        ends.chain((self.entries.len() > 0).then_some(self.tick_at)).min()
    }

    /// Ends what takes too long, and looks after what lies idle.
    pub(crate) fn expire(&mut self, now: MonoMicros, out: &mut Actions) {
        while let Some((end, id)) = self.round_ends.front().copied()
            && end <= now
        {
            self.round_ends.pop_front();
            self.returned(id, now, out);
        }
        while let Some((end, id)) = self.ask_ends.front().copied() {
            let flight = self.flights.get(&id.bucket);
            let waits = flight.is_some_and(|flight| flight.serial == id.serial);
            if waits && end > now {
                break;
            }
            // Answered ones go at once: a million that were just opened are not to be remembered until their time is up.
            self.ask_ends.pop_front();
            if waits {
                self.counts.unanswered = self.counts.unanswered.saturating_add(1);
                self.lost(id.bucket, now, out);
            }
        }
        if now >= self.tick_at {
            self.tick_at = later(now, TICK_US);
            self.loosen();
            self.repeat(now, out);
            self.let_go(now, out);
            self.refresh(now, out);
        }
    }

    /// Takes the next step for a bucket, until something has to be waited for.
    fn proceed(&mut self, at: u32, now: MonoMicros, out: &mut Actions) {
        let Some(cell) = self.cell(at) else { return };
        let charged = cell.charged();
        let Some(flight) = self.flights.get_mut(&at) else {
            return;
        };
        if flight.phase == Phase::Recalling {
            cell.clear(RECALLING);
        }
        flight.phase = Phase::Begun;
        let (open, tight) = (cell.is(OPEN), cell.is(TIGHT));
        if open && !tight && (flight.giving != Giving::Nothing || (flight.need > 0 && short(&cell, flight))) {
            self.round(at, &cell, now, out);
            return;
        }
        if open && flight.giving != Giving::Nothing {
            let giving = std::mem::take(&mut flight.giving);
            let holder = self.holder(at, now);
            let most = match giving {
                Giving::Everything => AMOUNT_MAX,
                Giving::Excess | Giving::Nothing => holder.excess(charged),
            };
            let taken = cell.take_back(most);
            holder.give_back(taken);
            let left = holder.excess(charged);
            if left == 0 {
                self.too_much.remove(&at);
            }
            if let Some(flight) = self.flights.get_mut(&at) {
                flight.report |= taken > 0;
            }
        }
        let Some(flight) = self.flights.get_mut(&at) else {
            return;
        };
        let new_need = flight.asked.is_none_or(|asked| asked < flight.need);
        let wanted = !open || flight.report || (short(&cell, flight) && new_need);
        if !wanted {
            self.finish(at, Answer::TryAgain, now, out);
        } else if self.connected {
            self.question(at, &cell, now, out);
        } else if open {
            self.credit(at, &cell, now);
            self.finish(at, Answer::TryAgain, now, out);
        } else {
            self.finish(at, Answer::Unavailable, now, out);
        }
    }

    /// Has all shards return what they have idle, and keep nothing from now on.
    fn round(&mut self, at: u32, cell: &Arc<NodeCell>, now: MonoMicros, out: &mut Actions) {
        let serial = self.serial();
        let Some(flight) = self.flights.get_mut(&at) else {
            return;
        };
        cell.set(TIGHT | RECALLING);
        self.tight.insert(at);
        flight.phase = Phase::Recalling;
        flight.serial = serial;
        let id = RoundId { bucket: at, serial };
        self.round_ends.push_back((later(now, ROUND_US_MAX), id));
        self.counts.recalls = self.counts.recalls.saturating_add(1);
        out.rounds.push((Arc::clone(cell), id));
    }

    /// Asks the ledger.
    fn question(&mut self, at: u32, cell: &Arc<NodeCell>, now: MonoMicros, out: &mut Actions) {
        let Some(flight) = self.flights.get_mut(&at) else {
            return;
        };
        let bucket = match (cell.is(OPEN), &flight.name) {
            (true, _) => BucketRef::Numbered(cell.id()),
            (false, Some(name)) => BucketRef::Named((**name).clone()),
            (false, None) => {
                self.finish(at, Answer::Unavailable, now, out);
                return;
            }
        };
        let need = flight.need;
        let owed = unsigned(cell.free().saturating_neg());
        let free = unsigned(cell.free());
        let lack = need.saturating_add(owed).saturating_sub(free);
        let ask = self.holder(at, now).ask(if need == 0 { 0 } else { lack }, now);
        let serial = self.serial();
        if let Some(flight) = self.flights.get_mut(&at) {
            flight.asked = Some(need);
            flight.asked_at = now;
            flight.report = false;
        }
        self.say(at, bucket, ask, Phase::Asking(ask.seq), serial, now, out);
    }

    fn say(
        &mut self,
        at: u32,
        bucket: BucketRef,
        ask: Ask,
        phase: Phase,
        serial: u64,
        now: MonoMicros,
        out: &mut Actions,
    ) {
        if let Some(flight) = self.flights.get_mut(&at) {
            flight.phase = phase;
            flight.serial = serial;
        }
        let id = RoundId { bucket: at, serial };
        self.ask_ends.push_back((later(now, ASK_US_MAX), id));
        self.counts.asks = self.counts.asks.saturating_add(1);
        out.questions.push(ToControl::Lease {
            ticket: u64::from(at),
            bucket,
            ask,
        });
    }

    /// Credits the node's share of the refill.
    fn credit(&mut self, at: u32, cell: &NodeCell, now: MonoMicros) {
        if self.uncredited.contains(&at) {
            return;
        }
        let more = self.holder(at, now).advance(cell.charged(), now);
        cell.add(more);
        cell.set_as_of(millis(now));
    }

    fn granted(&mut self, at: u32, id: u64, grant: &Grant, now: MonoMicros, out: &mut Actions) {
        let Some(cell) = self.cell(at) else { return };
        if cell.is(OPEN) && cell.id() != id {
            self.is_undefined(at, out);
            return;
        }
        let Some(more) = self.holder(at, now).granted(grant, now) else {
            return;
        };
        self.uncredited.remove(&at);
        self.unanswered.remove(&at);
        let deal = Deal {
            terms: grant.terms,
            share: grant.share,
        };
        let number = self.deals.join(deal);
        if cell.is(OPEN) {
            let before = self.deals.get(cell.terms());
            self.deals.leave(cell.terms());
            if deal.terms.capacity < before.terms.capacity {
                self.too_much.insert(at);
                if let Some(flight) = self.flights.get_mut(&at) {
                    flight.giving = flight.giving.max(Giving::Excess);
                }
            }
        } else {
            let entries = &self.entries;
            let hash = |at| {
                entries
                    .get(at)
                    .map_or(0, |entry: &Entry| hash_of_id(entry.cell.id()))
            };
            self.by_id.insert(hash_of_id(id), at, hash);
        }
        let asked_at = self.flights.get(&at).map_or(now, |flight| flight.asked_at);
        cell.set_as_of(millis(asked_at));
        cell.add(more);
        cell.open(id, number);
        self.proceed(at, now, out);
    }

    /// The ledger knows no such bucket (any more).
    fn is_undefined(&mut self, at: u32, out: &mut Actions) {
        let Some(cell) = self.cell(at) else { return };
        let answer = if cell.is(OPEN) {
            // It may be defined anew: whoever asks again asks by name.
            let fresh = Arc::new(NodeCell::new(cell.key()));
            self.close_cell(at, &cell);
            if let Some(entry) = self.entries.get_mut(at) {
                entry.cell = fresh;
                entry.seen = 0;
                entry.questions = 0;
            }
            Answer::Unavailable
        } else {
            cell.set(UNDEFINED);
            self.undefined.insert(at);
            Answer::Undefined
        };
        self.holders.remove(&at);
        self.end(at, answer, out);
    }

    /// An open cell counts no more.
    fn close_cell(&mut self, at: u32, cell: &NodeCell) {
        cell.set(MOVED);
        self.by_id.remove(hash_of_id(cell.id()), at);
        self.deals.leave(cell.terms());
        self.tight.remove(&at);
        self.too_much.remove(&at);
        self.uncredited.remove(&at);
        self.unanswered.remove(&at);
    }

    /// A question will not be answered, or the ledger could not.
    fn lost(&mut self, at: u32, now: MonoMicros, out: &mut Actions) {
        let Some(cell) = self.cell(at) else { return };
        self.holder(at, now).lost();
        let closing = self
            .flights
            .get(&at)
            .is_some_and(|flight| matches!(flight.phase, Phase::Closing(_)));
        if closing {
            self.uncredited.insert(at);
        }
        if cell.is(OPEN) && !closing {
            if self.connected {
                self.unanswered.insert(at);
            }
            self.credit(at, &cell, now);
            self.finish(at, Answer::TryAgain, now, out);
        } else {
            self.finish(at, Answer::Unavailable, now, out);
        }
    }

    /// Answers whoever waits; the bucket rests.
    fn finish(&mut self, at: u32, answer: Answer, now: MonoMicros, out: &mut Actions) {
        self.quieten(at);
        for question in self.end(at, answer, out) {
            self.ask(question, now, out);
        }
        self.refresh(now, out);
    }

    fn end(&mut self, at: u32, answer: Answer, out: &mut Actions) -> Vec<Question> {
        let Some(flight) = self.flights.remove(&at) else {
            return Vec::new();
        };
        if flight.background {
            self.background = self.background.saturating_sub(1);
        }
        if let Some(cell) = self.cell(at) {
            let reply = |shard: &usize| Reply::new(*shard, Arc::clone(&cell), answer);
            out.replies.extend(flight.askers.iter().map(reply));
        }
        flight.later
    }

    /// The last question was answered.
    fn forget(&mut self, at: u32, now: MonoMicros, out: &mut Actions) {
        let later = self.end(at, Answer::Unavailable, out);
        self.drop_entry(at);
        for question in later {
            self.ask(question, now, out);
        }
        self.refresh(now, out);
    }

    fn drop_entry(&mut self, at: u32) {
        let Some(cell) = self.cell(at) else { return };
        if cell.is(OPEN) {
            self.close_cell(at, &cell);
        }
        cell.set(MOVED);
        self.undefined.remove(&at);
        self.holders.remove(&at);
        self.by_key.remove(cell.key().0, at);
        self.entries.remove(at);
    }

    /// Cells of which plenty is there again are tight no longer.
    pub(super) fn loosen(&mut self) {
        let Self {
            tight,
            too_much,
            flights,
            entries,
            deals,
            ..
        } = self;
        tight.retain(|at| {
            let Some(entry) = entries.get(*at) else {
                return false;
            };
            let free = entry.cell.free();
            let ceiling = deals.get(entry.cell.terms()).terms.ceiling();
            let plenty = free > 0 && free.saturating_mul(PLENTY_PART) >= ceiling;
            let busy = flights.contains_key(at) || too_much.contains(at);
            if plenty && !busy {
                entry.cell.clear(TIGHT);
            }
            busy || !plenty
        });
    }

    /// Asks again what was not answered, and takes out what running requests have freed of buckets whose ceiling was
    /// lowered.
    fn repeat(&mut self, now: MonoMicros, out: &mut Actions) {
        if self.connected {
            let some: Vec<u32> = self.unanswered.iter().copied().take(BACKGROUND_MAX).collect();
            for at in some {
                self.errand_at(at, Giving::Nothing, true, now, out);
            }
        }
        let some: Vec<u32> = self.too_much.iter().copied().take(BACKGROUND_MAX).collect();
        for at in some {
            self.errand_at(at, Giving::Excess, false, now, out);
        }
    }

    /// Closes buckets that no shard knows.
    fn let_go(&mut self, now: MonoMicros, out: &mut Actions) {
        let places = self.entries.places();
        for _ in 0..places.div_ceil(TICKS_A_ROUND) {
            if self.background >= BACKGROUND_MAX {
                return;
            }
            self.close_next(now, out);
        }
    }

    /// Looks at the next place; whether a bucket was dropped at once.
    fn close_next(&mut self, now: MonoMicros, out: &mut Actions) -> bool {
        let at = self.cursor;
        let places = u32::try_from(self.entries.places()).unwrap_or(u32::MAX);
        self.cursor = at.saturating_add(1);
        if self.cursor >= places {
            self.cursor = 0;
        }
        let Some(entry) = self.entries.get_mut(at) else {
            return false;
        };
        // Whoever had it has returned everything before letting go, and that is seen after this.
        if Arc::get_mut(&mut entry.cell).is_none() || self.flights.contains_key(&at) {
            return false;
        }
        let cell = Arc::clone(&entry.cell);
        if !cell.is(OPEN) {
            self.drop_entry(at);
            return true;
        }
        if !self.connected || self.background >= BACKGROUND_MAX {
            return false;
        }
        if cell.free() < 0 {
            // A holder that left owing would be lent the debt anew. What the refill brings pays it first.
            drop(cell);
            self.errand_at(at, Giving::Nothing, false, now, out);
            return false;
        }
        let taken = cell.take_back(AMOUNT_MAX);
        let holder = self.holder(at, now);
        holder.give_back(taken);
        let ask = holder.last(now);
        let serial = self.serial();
        let flight = Flight {
            background: true,
            ..Flight::default()
        };
        self.flights.insert(at, flight);
        self.background = self.background.saturating_add(1);
        let bucket = BucketRef::Numbered(cell.id());
        self.say(at, bucket, ask, Phase::Closing(ask.seq), serial, now, out);
        false
    }

    /// Asks about buckets in use after a break, some at a time.
    fn refresh(&mut self, now: MonoMicros, out: &mut Actions) {
        while let Some(at) = self.stale_from
            && self.connected
            && self.background < BACKGROUND_MAX
        {
            let more = usize::try_from(at).is_ok_and(|at| at < self.entries.places());
            self.stale_from = more.then_some(at.saturating_add(1));
            let used = |entry: &Entry| entry.cell.is(OPEN) && Arc::strong_count(&entry.cell) > 1;
            if self.entries.get(at).is_some_and(used) {
                self.errand_at(at, Giving::Nothing, true, now, out);
            }
        }
    }

    fn errand_at(&mut self, at: u32, giving: Giving, report: bool, now: MonoMicros, out: &mut Actions) {
        if self.flights.contains_key(&at) {
            return;
        }
        let flight = Flight {
            giving,
            report,
            background: true,
            ..Flight::default()
        };
        self.flights.insert(at, flight);
        self.background = self.background.saturating_add(1);
        self.proceed(at, now, out);
    }

    fn find(&self, cell: &NodeCell) -> Option<u32> {
        let key = cell.key();
        let same = |at| self.entries.get(at).is_some_and(|entry| entry.cell.key() == key);
        self.by_key.find(key.0, same)
    }

    fn cell(&self, at: u32) -> Option<Arc<NodeCell>> {
        self.entries.get(at).map(|entry| Arc::clone(&entry.cell))
    }

    /// A bucket that is not known yet; `None` if there is no room.
    fn insert(&mut self, cell: Arc<NodeCell>, now: MonoMicros, out: &mut Actions) -> Option<u32> {
        let mut looks = 0;
        while self.entries.len() >= BUCKETS_MAX {
            looks += 1;
            if !self.close_next(now, out) && looks >= ROOM_LOOKS {
                return None;
            }
        }
        let cell = if cell.is_any(MOVED | OPEN) {
            Arc::new(NodeCell::new(cell.key()))
        } else {
            cell
        };
        let hash = cell.key().0;
        let at = self.entries.insert(Entry {
            cell,
            seen: 0,
            stint: 0,
            questions: 0,
            at_ms: 0,
        })?;
        let entries = &self.entries;
        let hash_at = |at| entries.get(at).map_or(0, |entry: &Entry| entry.cell.key().0);
        self.by_key.insert(hash, at, hash_at);
        if self.entries.len() == 1 {
            self.tick_at = later(now, TICK_US);
        }
        Some(at)
    }

    /// The holder of a bucket, until [`Self::quieten`].
    fn holder(&mut self, at: u32, now: MonoMicros) -> &mut Holder {
        let Self {
            holders,
            entries,
            deals,
            stints,
            ..
        } = self;
        holders.entry(at).or_insert_with(|| match entries.get(at) {
            Some(entry) if entry.questions > 0 => {
                let deal = deals.get(entry.cell.terms());
                entry.quiet(now).holder(deal.terms, deal.share)
            }
            _ => {
                *stints = stints.saturating_add(1);
                Holder::begin(stints.saturating_mul(STINT), now)
            }
        })
    }

    /// Keeps a holder in few bytes, if they can tell it.
    fn quieten(&mut self, at: u32) {
        let Some(quiet) = self.holders.get(&at).and_then(Holder::quiet) else {
            return;
        };
        // A stint of very many questions runs into the numbers of the next: they are not given again.
        self.stints = self.stints.max(quiet.answered / STINT);
        if let Some(entry) = self.entries.get_mut(at)
            && entry.keep(quiet)
        {
            self.holders.remove(&at);
        }
    }

    fn serial(&mut self) -> u64 {
        self.serials = self.serials.saturating_add(1);
        self.serials
    }
}

impl Entry {
    fn quiet(&self, now: MonoMicros) -> Quiet {
        let base = u64::from(self.stint).saturating_mul(STINT);
        let now_ms = millis(now);
        let age_ms = u64::from(low(now_ms).wrapping_sub(self.at_ms));
        // Rounded up it may lie ahead by less than a millisecond, which then looks like an age of 49 days.
        let at_ms = match age_ms {
            AHEAD_MS => now_ms.saturating_add(1),
            age_ms => now_ms.saturating_sub(age_ms),
        };
        Quiet {
            first: base.saturating_add(1),
            answered: base.saturating_add(u64::from(self.questions)),
            seen: self.seen,
            at: MonoMicros(at_ms.saturating_mul(1_000)),
        }
    }

    /// Whether it could be kept.
    fn keep(&mut self, quiet: Quiet) -> bool {
        let base = quiet.first.saturating_sub(1);
        let stint = u32::try_from(base / STINT);
        let questions = u32::try_from(quiet.answered.saturating_sub(base));
        let (Ok(stint), Ok(questions)) = (stint, questions) else {
            return false;
        };
        *self = Self {
            cell: Arc::clone(&self.cell),
            seen: quiet.seen,
            stint,
            questions,
            at_ms: low(quiet.at.0.div_ceil(1_000)),
        };
        base.is_multiple_of(STINT)
    }
}

/// Whether the cell does not have what is lacking.
fn short(cell: &NodeCell, flight: &Flight) -> bool {
    flight.need > 0 && cell.free() < signed(flight.need)
}

/// One millisecond ahead, as a wrapped age.
const AHEAD_MS: u64 = u32::MAX as u64;

/// Numbers of questions that a stint has for itself.
const STINT: u64 = 1 << 32;

/// Places that are looked at to make room for one more bucket.
const ROOM_LOOKS: usize = 64;

const fn later(now: MonoMicros, us: u64) -> MonoMicros {
    MonoMicros(now.0.saturating_add(us))
}

const fn millis(time: MonoMicros) -> u64 {
    time.0 / 1_000
}

#[allow(clippy::cast_possible_truncation, reason = "the low bits are what is wanted")]
const fn low(ms: u64) -> u32 {
    ms as u32
}

fn hash_of_id(id: u64) -> u64 {
    id.wrapping_mul(0x9e37_79b9_7f4a_7c15)
}
