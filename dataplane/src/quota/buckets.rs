//! All buckets of one shard: looking them up, reserving of several at once, waiting for what is short.

use std::cell::{Cell, RefCell};
use std::collections::HashMap;
use std::rc::Rc;
use std::sync::Arc;

use sluice_shared::quota::{AMOUNT_MAX, Accrual, Terms, Unit, signed, unsigned};
use sluice_shared::wire::control;
use smallvec::SmallVec;

use super::bucket::Bucket;
use super::cell::{HOMELESS, Key, MOVED, NodeCell, OPEN, UNDEFINED};
use super::index::Index;
use super::slab::Slab;
use super::wait::{Pending, Wait};
use super::{Answer, BUCKETS_MAX, Message, QuotaClient, QuotaMessage, Reservation, Short, Want};
use crate::clock;

/// Time in which the sweep looks at every bucket once, in milliseconds.
const ROUND_MS: u64 = 60_000;
/// Rounds without use after which a shard forgets a bucket.
const IDLE_ROUNDS: u8 = 5;
/// Places that one step of the sweep looks at at most.
const LOOKS_MAX: usize = 1_024;
/// Places that are looked at to make room for one more bucket.
const ROOM_LOOKS: usize = 64;
/// How late charges and refill may reach the ledger, in milliseconds: so much more may be there than is reckoned, for
/// those who have waited that long since the last answer.
const SLACK_MS: u64 = 1_000;

/// See the module.
#[derive(Debug)]
pub(crate) struct Buckets {
    client: QuotaClient,
    table: RefCell<Table>,
    /// Questions that are under way.
    asks: RefCell<HashMap<Key, Rc<Pending>>>,
    /// Reservations that are held.
    reservations: Rc<Cell<u64>>,
    waits: Cell<u64>,
}

#[derive(Debug, Default)]
struct Table {
    buckets: Slab<Rc<Bucket>>,
    index: Index,
    /// Names of those that are not open yet.
    names: HashMap<Key, Box<control::Bucket>>,
    /// Where the sweep goes on.
    cursor: usize,
    swept_ms: u64,
}

/// An attempt to reserve, and what it has waited for so far.
#[derive(Debug, Default)]
pub(crate) struct Attempt {
    asked: SmallVec<[Asked; 4]>,
    /// The want that was short last.
    pub(crate) index: usize,
}

/// How an attempt goes on.
#[derive(Debug)]
pub(crate) enum Step {
    /// Not at all.
    Done(Result<Reservation, Short>),
    /// After this.
    Wait(Wait),
}

/// What waiting for one want has come to so far.
#[derive(Clone, Copy, Debug, Default)]
struct Asked {
    /// Its own question was answered, or a second one of somebody else.
    own: bool,
    /// A question of somebody else was answered, which did not say how much this request lacks.
    joined: bool,
}

impl Buckets {
    pub(crate) fn new(client: QuotaClient) -> Self {
        Self {
            client,
            table: RefCell::default(),
            asks: RefCell::default(),
            reservations: Rc::default(),
            waits: Cell::new(0),
        }
    }

    /// Buckets that the shard knows.
    pub(crate) fn len(&self) -> usize {
        self.table.borrow().buckets.len()
    }

    /// Reservations that requests hold.
    pub(crate) fn reservations(&self) -> u64 {
        self.reservations.get()
    }

    /// Times that a request has waited for the agent.
    pub(crate) fn waits(&self) -> u64 {
        self.waits.get()
    }

    /// A bucket by the name of its quota, with templates, and its own. Never waits; one that is not known yet is opened
    /// by the first reservation.
    pub(crate) fn bucket(&self, quota: &str, name: &str, unit: Unit) -> Rc<Bucket> {
        let key = self.client.keys.key(quota, name, unit);
        let found = self.table.borrow().find(key);
        let bucket = match found {
            Some(bucket) if !bucket.cell().is(MOVED) => bucket,
            _ => self.renew(key, unit),
        };
        if !bucket.cell().is_any(OPEN | HOMELESS) {
            let named = || {
                Box::new(control::Bucket {
                    quota: quota.into(),
                    name: name.into(),
                    unit,
                })
            };
            self.table.borrow_mut().names.entry(key).or_insert_with(named);
        }
        bucket
    }

    /// A bucket with a new cell, in the place of one whose cell has moved.
    fn renew(&self, key: Key, unit: Unit) -> Rc<Bucket> {
        self.adopt(Arc::new(NodeCell::new(key)), unit)
    }

    /// Puts a bucket with this cell into the table, in place of one with the same key.
    fn adopt(&self, cell: Arc<NodeCell>, unit: Unit) -> Rc<Bucket> {
        let bucket = Rc::new(Bucket::new(cell, unit));
        if let Some(replaced) = self.table.borrow_mut().put(&bucket) {
            // Whatever it still had goes where its reservations will be settled.
            replaced.flush();
        }
        bucket
    }

    /// The bucket that counts, if another cell has taken the place of its own since it was looked up. One that never opened
    /// may have been replaced without having been told: nobody asked with it.
    fn current(&self, bucket: &Rc<Bucket>) -> Rc<Bucket> {
        let moved = bucket.cell().is(MOVED);
        if !moved && bucket.cell().is(OPEN) {
            return Rc::clone(bucket);
        }
        let key = bucket.cell().key();
        let found = self.table.borrow().find(key);
        match found {
            Some(found) if !found.cell().is(MOVED) => found,
            _ if moved => self.renew(key, bucket.unit()),
            _ => Rc::clone(bucket),
        }
    }

    /// Reserves all of it or nothing, and waits for what is short, once for each want, if that can help. The time is the
    /// caller's to limit; this may be dropped at any moment.
    #[cfg(test)]
    pub(crate) async fn reserve(&self, wants: &[Want]) -> Result<Reservation, Short> {
        let mut attempt = Attempt::default();
        match self.step(wants, &mut attempt) {
            Step::Done(reserved) => reserved,
            Step::Wait(wait) => self.go_on(wants, &mut attempt, wait).await,
        }
    }

    /// Goes on with an attempt that has to wait.
    pub(crate) async fn go_on(
        &self,
        wants: &[Want],
        attempt: &mut Attempt,
        first: Wait,
    ) -> Result<Reservation, Short> {
        let mut wait = first;
        loop {
            let index = attempt.index;
            match wait.await {
                Answer::TryAgain => {}
                Answer::Unavailable => return Err(Short::Unavailable { index }),
                Answer::Undefined => return Err(Short::Undefined { index }),
            }
            match self.step(wants, attempt) {
                Step::Done(reserved) => return reserved,
                Step::Wait(next) => wait = next,
            }
        }
    }

    /// Reserves all of it or nothing; where something is short and asking can help, what to wait for.
    pub(crate) fn step(&self, wants: &[Want], attempt: &mut Attempt) -> Step {
        match self.attempt(wants) {
            Ok(reservation) => Step::Done(Ok(reservation)),
            Err(index) => {
                attempt.index = index;
                self.find_help(wants, attempt)
                    .map_or_else(|short| Step::Done(Err(short)), Step::Wait)
            }
        }
    }

    fn find_help(&self, wants: &[Want], attempt: &mut Attempt) -> Result<Wait, Short> {
        let index = attempt.index;
        let unavailable = Short::Unavailable { index };
        let want = wants.get(index).ok_or(unavailable)?;
        let bucket = self.current(&want.bucket);
        let cell = bucket.cell();
        if cell.is(UNDEFINED) {
            return Err(Short::Undefined { index });
        }
        if cell.is(HOMELESS) {
            return Err(unavailable);
        }
        attempt.asked.resize(wants.len(), Asked::default());
        let asked = attempt.asked.get_mut(index).ok_or(unavailable)?;
        if asked.own && cell.is(OPEN) && Self::has_moved(&bucket, want.need) {
            *asked = Asked::default();
        }
        if cell.is(OPEN) && (asked.own || !self.may_help(&bucket, want.need)) {
            return Err(self.exhausted(index, &bucket, want.need));
        }
        if asked.own {
            return Err(unavailable);
        }
        let pending = self.asks.borrow().get(&cell.key()).cloned();
        let pending = match pending {
            Some(pending) => {
                asked.own = asked.joined;
                asked.joined = true;
                pending
            }
            None => {
                asked.own = true;
                self.ask(&bucket, want.need).ok_or(unavailable)?
            }
        };
        self.waits.set(self.waits.get().wrapping_add(1));
        Ok(Wait::new(pending))
    }

    /// Reserves all of it without waiting, or gives back what was there; the index of the first want that is short.
    pub(crate) fn attempt(&self, wants: &[Want]) -> Result<Reservation, usize> {
        let shards = self.client.shards;
        let mut reservation = Reservation::new(shards, &self.reservations);
        for (index, want) in wants.iter().enumerate() {
            let need = want.need.min(AMOUNT_MAX);
            let bucket = self.current(&want.bucket);
            if !bucket.reserve(need, shards) {
                return Err(index);
            }
            reservation.push(bucket, need);
        }
        Ok(reservation)
    }

    /// Puts a question to the agent; `None` if that cannot be done now.
    fn ask(&self, bucket: &Bucket, need: u64) -> Option<Rc<Pending>> {
        let cell = bucket.cell();
        let key = cell.key();
        let name = if cell.is(OPEN) {
            None
        } else {
            self.table.borrow().names.get(&key).cloned()
        };
        let lack = unsigned(signed(need).saturating_sub(bucket.free()));
        if !self.client.ask(Arc::clone(cell), name, lack) {
            return None;
        }
        let pending = Rc::<Pending>::default();
        self.asks.borrow_mut().insert(key, Rc::clone(&pending));
        Some(pending)
    }

    /// Whether what had been found for a request may lie elsewhere by now: the cell was loosened before the request came
    /// to take it, and another shard took a part of what there was. Seldom, and bounded by the request's patience.
    fn has_moved(bucket: &Bucket, need: u64) -> bool {
        // The flags first: once they say that all is in the cell, what is read of it is all.
        !bucket.cell().holds_all() || lack(bucket, need) == 0
    }

    /// Whether the agent could find what is lacking: in other shards, or because the refill has brought it.
    fn may_help(&self, bucket: &Bucket, need: u64) -> bool {
        let cell = bucket.cell();
        let terms = self.client.deals.terms(cell.terms());
        if need > terms.capacity {
            return false;
        }
        if !cell.holds_all() {
            return true;
        }
        let lack = lack(bucket, need);
        let age_ms = cell.age_ms(now_ms());
        let slack_ms = if age_ms >= SLACK_MS { SLACK_MS } else { 0 };
        let elapsed_us = age_ms.saturating_add(slack_ms).saturating_mul(1_000);
        Accrual::default().take(terms.rate, elapsed_us) >= lack
    }

    fn exhausted(&self, index: usize, bucket: &Bucket, need: u64) -> Short {
        let terms = self.client.deals.terms(bucket.cell().terms());
        let free = bucket.free_in_all();
        let age_us = bucket.cell().age_ms(now_ms()).saturating_mul(1_000);
        Short::Exhausted {
            index,
            retry_after_s: retry_after_s(bucket.unit(), terms, free, need, age_us),
            free,
            terms,
        }
    }

    /// Acts on a message of the agent.
    pub(crate) fn handle(&self, QuotaMessage(message): QuotaMessage) {
        match message {
            Message::Answered(cell, answer) => {
                let key = cell.key();
                if cell.is(OPEN) {
                    self.table.borrow_mut().names.remove(&key);
                }
                let known = self.table.borrow().find(key);
                if let Some(bucket) = known
                    && !Arc::ptr_eq(bucket.cell(), &cell)
                {
                    self.adopt(cell, bucket.unit());
                }
                let pending = self.asks.borrow_mut().remove(&key);
                if let Some(pending) = pending {
                    pending.put(answer);
                }
            }
            Message::Recall(round) => {
                let known = self.table.borrow().find(round.cell.key());
                if let Some(bucket) = known
                    && Arc::ptr_eq(bucket.cell(), &round.cell)
                {
                    bucket.flush();
                }
            }
        }
    }

    /// Looks at some of the buckets, so many that each has its turn once a minute, and forgets those that nobody has
    /// used for some minutes.
    pub(crate) fn sweep(&self, now_ms: u64) {
        let mut table = self.table.borrow_mut();
        let elapsed_ms = now_ms.saturating_sub(table.swept_ms).min(ROUND_MS);
        let places = table.buckets.places() as u64;
        let looks = places.saturating_mul(elapsed_ms) / ROUND_MS;
        if looks == 0 {
            return;
        }
        table.swept_ms = now_ms;
        for _ in 0..looks.min(LOOKS_MAX as u64) {
            let Some(bucket) = table.next() else { continue };
            let idle = bucket.age() >= IDLE_ROUNDS;
            if idle {
                self.forget(&mut table, &bucket);
            }
        }
    }

    /// Forgets a bucket that nobody holds or asks about.
    fn forget(&self, table: &mut Table, bucket: &Rc<Bucket>) {
        let key = bucket.cell().key();
        // The table's and the caller's.
        if Rc::strong_count(bucket) == 2 && !self.asks.borrow().contains_key(&key) {
            bucket.flush();
            table.remove(key);
        }
    }

    /// Gives everything idle back to the cells: the shard ends.
    pub(crate) fn flush_all(&self) {
        let table = self.table.borrow();
        let places = u32::try_from(table.buckets.places()).unwrap_or(u32::MAX);
        for bucket in (0..places).filter_map(|place| table.buckets.get(place)) {
            bucket.flush();
        }
    }
}

impl Table {
    fn at(&self, key: Key) -> Option<u32> {
        let same = |at| {
            self.buckets
                .get(at)
                .is_some_and(|b: &Rc<Bucket>| b.cell().key() == key)
        };
        self.index.find(key.0, same)
    }

    fn find(&self, key: Key) -> Option<Rc<Bucket>> {
        self.at(key).and_then(|at| self.buckets.get(at)).cloned()
    }

    /// Returns the one that was there.
    fn put(&mut self, bucket: &Rc<Bucket>) -> Option<Rc<Bucket>> {
        let key = bucket.cell().key();
        if let Some(at) = self.at(key) {
            let place = self.buckets.get_mut(at)?;
            return Some(std::mem::replace(place, Rc::clone(bucket)));
        }
        if self.buckets.len() >= BUCKETS_MAX && !self.make_room() {
            bucket.cell().set(HOMELESS);
            return None;
        }
        let at = self.buckets.insert(Rc::clone(bucket))?;
        let buckets = &self.buckets;
        let hash_of = |at| buckets.get(at).map_or(0, |b: &Rc<Bucket>| b.cell().key().0);
        self.index.insert(key.0, at, hash_of);
        None
    }

    fn remove(&mut self, key: Key) -> Option<Rc<Bucket>> {
        self.names.remove(&key);
        let at = self.at(key)?;
        self.index.remove(key.0, at);
        self.buckets.remove(at)
    }

    /// The bucket at the next place, if there is one.
    fn next(&mut self) -> Option<Rc<Bucket>> {
        if self.cursor >= self.buckets.places() {
            self.cursor = 0;
        }
        let at = u32::try_from(self.cursor).ok()?;
        self.cursor = self.cursor.saturating_add(1);
        self.buckets.get(at).cloned()
    }

    /// Forgets one that nobody has used for a round or more.
    fn make_room(&mut self) -> bool {
        for _ in 0..ROOM_LOOKS {
            let Some(bucket) = self.next() else { continue };
            if bucket.age() > 1 && Rc::strong_count(&bucket) == 2 {
                bucket.flush();
                return self.remove(bucket.cell().key()).is_some();
            }
        }
        false
    }
}

/// What shard and cell lack together.
fn lack(bucket: &Bucket, need: u64) -> u64 {
    unsigned(signed(need).saturating_sub(bucket.free_in_all()))
}

/// Milliseconds of the clock that cells bear.
fn now_ms() -> u64 {
    clock::mono_now().0 / 1_000
}

/// When to try again, in whole seconds, rounded up and at least 1; `None`: it is of no use. `free` is what there was
/// `age_us` ago, and what has been settled since.
fn retry_after_s(unit: Unit, terms: Terms, free: i64, need: u64, age_us: u64) -> Option<u32> {
    if need > terms.capacity {
        return None;
    }
    if unit == Unit::Concurrency {
        // Whenever one of those that run has ended.
        return Some(1);
    }
    let lack = unsigned(signed(need).saturating_sub(free));
    let us = terms.rate.time_for(lack)?.saturating_sub(age_us);
    let seconds = us.div_ceil(1_000_000).max(1);
    Some(u32::try_from(seconds).unwrap_or(u32::MAX))
}
