//! What is going on now, for whoever watches: `GET /api/live`.
//!
//! Ingest hands every batch here once it is stored. The hub adds it to sums by second and keeps a bounded log of who did
//! what; only while somebody watches are events made of it. A request counts in the second in which it ended. A second is
//! told of shortly after it is over; a record that comes later than that, and not much later, counts in the next one that
//! is told, so that what a viewer adds up is whole.
//!
//! Everything is bounded: seconds, rows of the log, viewers, and what waits for each of them. A viewer who reads too
//! slowly misses events and is told how many. Nothing here waits for anybody.

pub(crate) mod event;
pub(crate) mod health;
mod histogram;
mod lately;
mod seconds;
mod viewer;

use std::collections::HashMap;
use std::hash::{BuildHasher as _, RandomState};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use axum::body::Bytes;
use sluice_shared::units::UnixMicros;
use sluice_shared::usage::UsageRecord;
use tokio::sync::Notify;

use crate::link::Link;
use crate::reload;
use crate::store::{RequestQuery, Store, StoreError};
use health::Health;
use lately::{Lately, Who};
use seconds::{SHOWN, Seconds, Sums, end_of, second_of};
use viewer::Viewer;
pub(crate) use viewer::{Feed, Wish};

/// Viewers at a time.
const VIEWERS_MAX: usize = 64;
/// Of these, by one login.
const OWN_MAX: usize = 8;
/// A second is told of this long after its end: by then ingest has most of what ended in it.
const SETTLE_US: u64 = 400_000;
/// A record that is late by up to this many seconds counts in the next second that is told of.
const LATE_S: u64 = 10;
/// Seconds that are told of at once after a pause.
const BEHIND_MAX: u64 = 5;
/// Records that are read from the store at start, and how many at a time.
const RECALLED: (usize, u32) = (20_000, 1_000);

/// Requests that run.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Running {
    pub(crate) requests: u64,
    /// Of these: answers that are being streamed.
    pub(crate) streams: u64,
}

/// Why somebody may not watch.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum NoSeat {
    /// All seats are taken.
    Full,
    /// The control plane stops.
    Closed,
}

/// The hub.
pub(crate) struct Live {
    state: Mutex<State>,
    health: Health,
    hasher: RandomState,
    /// Somebody has come.
    came: Notify,
}

struct State {
    all: Seconds,
    log: Lately,
    /// Figures of users whom somebody watches.
    watched: HashMap<Who, Seconds>,
    viewers: Vec<Viewer>,
    seats: u64,
    /// The last second that viewers were told of; `None`: nobody watches.
    told: Option<u64>,
    running: Option<Running>,
    closed: bool,
}

impl Live {
    /// Nothing is known of what was before `now`.
    pub(crate) fn new(now: UnixMicros) -> Arc<Self> {
        Arc::new(Self {
            state: Mutex::new(State {
                all: Seconds::new(second_of(now).saturating_add(1)),
                log: Lately::new(),
                watched: HashMap::new(),
                viewers: Vec::new(),
                seats: 0,
                told: None,
                running: None,
                closed: false,
            }),
            health: Health::default(),
            hasher: RandomState::new(),
            came: Notify::new(),
        })
    }

    /// How providers do.
    pub(crate) const fn health(&self) -> &Health {
        &self.health
    }

    /// Takes in what was stored. Called by ingest after each commit, and by nobody else at the same time.
    pub(crate) fn feed(&self, records: &[UsageRecord], now: UnixMicros) {
        if records.is_empty() {
            return;
        }
        self.health.feed(records, now);
        let mut state = self.lock();
        let present = second_of(now);
        for record in records {
            let who = self.who(&record.user);
            state.count(who, end_of(record), present, Sums::of(record));
        }
        if state.viewers.iter().any(Viewer::has_tail) {
            for record in records {
                let mut text: Option<Bytes> = None;
                for viewer in &mut state.viewers {
                    viewer.offer(record, || {
                        text.get_or_insert_with(|| event::request(record).into()).clone()
                    });
                }
            }
        }
    }

    /// Reads the last hour from the store, before ingest begins: who looks after a restart sees what was before it.
    pub(crate) async fn recall(&self, store: &dyn Store, now: UnixMicros) -> Result<(), StoreError> {
        let since = UnixMicros(now.0.saturating_sub(health::HOUR_S * 1_000_000));
        let mut query = RequestQuery {
            since: Some(since),
            limit: RECALLED.1,
            ..RequestQuery::default()
        };
        let mut pages = Vec::new();
        let mut count = 0usize;
        let whole_since = loop {
            let page = store.requests(&query).await?.records;
            count = count.saturating_add(page.len());
            let last = page.last().map(|record| (record.time, record.request_id));
            let full = page.len() >= usize::try_from(RECALLED.1).unwrap_or(usize::MAX);
            pages.push(page);
            match last {
                Some(_) if !full => break since,
                Some((time, _)) if count >= RECALLED.0 => break time,
                Some(_) => query.after = last,
                None => break since,
            }
        };
        for page in pages.iter_mut().rev() {
            // Oldest first, as it was.
            page.reverse();
            self.feed(page, now);
        }
        let mut state = self.lock();
        let from = second_of(whole_since).saturating_add(1);
        state
            .all
            .set_since(from.max(second_of(now).saturating_sub(SHOWN)));
        Ok(())
    }

    /// What data planes say of what runs; `None`: nobody says.
    pub(crate) fn set_running(&self, running: Option<Running>) {
        self.lock().running = running;
    }

    /// Takes a seat.
    pub(crate) fn watch(self: &Arc<Self>, wish: Wish, now: UnixMicros) -> Result<Feed, NoSeat> {
        let who = wish.user.as_deref().map(|user| self.who(user));
        let mut state = self.lock();
        if state.closed {
            return Err(NoSeat::Closed);
        }
        let own = state
            .viewers
            .iter()
            .filter(|viewer| viewer.watcher == wish.watcher);
        if state.viewers.len() >= VIEWERS_MAX || own.count() >= OWN_MAX {
            return Err(NoSeat::Full);
        }
        state.seats = state.seats.wrapping_add(1);
        let seat = state.seats;
        let told = *state.told.get_or_insert_with(|| over(now));
        if let Some(who) = who
            && !state.watched.contains_key(&who)
        {
            let seconds = state.log.of(who, state.all.since());
            state.watched.insert(who, seconds);
        }
        let (mut viewer, events) = Viewer::new(seat, who, wish);
        if let Some(seconds) = state.figures(who) {
            viewer.send(event::history(seconds, told).into());
        }
        state.viewers.push(viewer);
        drop(state);
        self.came.notify_one();
        Ok(Feed {
            events,
            live: self.clone(),
            seat,
        })
    }

    /// Frees a seat.
    fn leave(&self, seat: u64) {
        let mut state = self.lock();
        state.viewers.retain(|viewer| viewer.seat != seat);
        let State { viewers, watched, .. } = &mut *state;
        watched.retain(|who, _| viewers.iter().any(|viewer| viewer.who == Some(*who)));
        if state.viewers.is_empty() {
            state.told = None;
        }
    }

    /// Viewers that there are.
    pub(crate) fn viewers(&self) -> usize {
        self.lock().viewers.len()
    }

    /// Tells everybody of the seconds that are over.
    pub(crate) fn tick(&self, now: UnixMicros) {
        let mut state = self.lock();
        let Some(told) = state.told else { return };
        let last = over(now);
        if last.saturating_add(BEHIND_MAX) < told {
            // Somebody set the clock back.
            state.told = Some(last);
            return;
        }
        let first = told.saturating_add(1).max(last.saturating_sub(BEHIND_MAX - 1));
        for second in first..=last {
            state.tell(second, now);
        }
        state.told = Some(told.max(last));
        state.viewers.iter_mut().for_each(Viewer::tick);
    }

    /// Ticks while somebody watches, for ever.
    pub(crate) async fn run(self: Arc<Self>, link: Arc<Link>) {
        loop {
            if self.viewers() == 0 {
                self.came.notified().await;
            }
            let now = reload::now();
            // To the next moment at which a second is told of.
            let past = now.0.saturating_sub(SETTLE_US) % 1_000_000;
            tokio::time::sleep(Duration::from_micros(1_000_000 - past)).await;
            let standing = link.standing().await;
            self.set_running(standing.map(|standing| Running {
                requests: standing.running,
                streams: standing.streams,
            }));
            self.tick(reload::now());
        }
    }

    /// Ends every stream, and begins none any more.
    pub(crate) fn close(&self) {
        let mut state = self.lock();
        state.closed = true;
        state.viewers.clear();
        state.watched.clear();
        state.told = None;
    }

    fn who(&self, user: &str) -> Who {
        Who(self.hasher.hash_one(user))
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// The last second that is over and settled.
const fn over(now: UnixMicros) -> u64 {
    (now.0.saturating_sub(SETTLE_US) / 1_000_000).saturating_sub(1)
}

impl State {
    /// Counts a request that ended in a second, by its data plane's clock.
    fn count(&mut self, who: Who, end: u64, present: u64, sums: Sums) {
        let end = end.min(present);
        let second = match self.told {
            Some(told) if end <= told && end.saturating_add(LATE_S) >= told => told.saturating_add(1),
            _ => end,
        };
        if second.saturating_add(SHOWN) < present {
            return;
        }
        self.all.add(second, sums);
        self.log.push(who, second, sums);
        if let Some(seconds) = self.watched.get_mut(&who) {
            seconds.add(second, sums);
        }
    }

    /// Figures of a user who is watched, or of all.
    fn figures(&self, who: Option<Who>) -> Option<&Seconds> {
        match who {
            None => Some(&self.all),
            Some(who) => self.watched.get(&who),
        }
    }

    /// Tells everybody of a second.
    fn tell(&mut self, second: u64, now: UnixMicros) {
        let mut texts: HashMap<Option<Who>, Bytes> = HashMap::new();
        for at in 0..self.viewers.len() {
            let Some(who) = self.viewers.get(at).map(|viewer| viewer.who) else {
                continue;
            };
            let text = match texts.get(&who) {
                Some(text) => text.clone(),
                None => {
                    let Some(seconds) = self.figures(who) else {
                        continue;
                    };
                    let running = self.running.filter(|_| who.is_none());
                    let text = Bytes::from(event::now(seconds, second, running, now));
                    texts.insert(who, text.clone());
                    text
                }
            };
            if let Some(viewer) = self.viewers.get_mut(at) {
                viewer.send(text);
            }
        }
    }
}

#[cfg(test)]
mod tests;
