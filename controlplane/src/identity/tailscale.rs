//! The `tailscale` source: the tailnet's daemon on this machine knows who is at an address.
//!
//! One [`Tailscale`] is one daemon: a client ([`localapi`]), a [`table`] of answers, and three kinds of tasks.
//!
//! * A **flight** asks about one address. Whoever wants to know joins it; at most [`localapi::CALLS_MAX`] are on the
//!   wire. If something changed at the daemon while it was under way, it asks again before anybody hears its answer.
//! * The **watch** listens on the daemon's bus. A node that went, came or changed is asked for at once, and what changed
//!   with it is revoked: cut if it is another person, forgotten if it may do other things. After any gap (the bus broke
//!   off, the daemon was restarted or off the tailnet) everything is forgotten and everybody is asked for again.
//! * The **workers** do that asking, two at a time, so that newcomers find the other calls free.
//!
//! Changes of grants are told by no event, hence the age of answers. While the daemon is away, whom it knew stays known
//! for a minute after the last answer about them, and then nobody can say; the next source is never asked instead.

mod answer;
mod event;
mod gate;
mod localapi;
mod table;
#[cfg(test)]
mod tests;

use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, SystemTime};

use sluice_shared::wire::control::Whom;
use tokio::sync::{Notify, watch};
use tokio::task::AbortHandle;
use tokio::time::Instant;

use super::Verdict;
use super::revocations::Revocations;
use crate::config::domain;
use crate::link::chain;
pub(super) use answer::cap_map;
use gate::Key;
use localapi::{CallError, Dial, Line, LocalApi};
pub(super) use table::is_same;
use table::{Change, Hit, Table, Who};

/// State, peers that change, and the status at once.
const MASK: u32 = 2 + 4096 + 16384;
/// What older daemons know: state and the whole network map.
const MASK_OLD: u32 = 2 + 8;
/// Addresses that are asked about or wait for it.
const FLIGHTS_MAX: usize = 4_096;
/// Addresses asked for again at a time, of [`localapi::CALLS_MAX`] calls.
const WORKERS: usize = 2;
/// How often a flight asks when things keep changing.
const TRIES: usize = 3;
/// How long somebody waits for an answer; a little less than the data plane does.
const PATIENCE: Duration = Duration::from_millis(450);
/// How long one who is known waits for a daemon that does not answer.
const PATIENCE_KNOWN: Duration = Duration::from_millis(200);
/// How long the daemon may be off the tailnet before nobody new is let in.
const GRACE: Duration = Duration::from_secs(10);
/// Pauses before the bus is tried again.
const BACKOFF: (Duration, Duration) = (Duration::from_millis(50), Duration::from_secs(1));
/// Pause between looks at what time does.
const SWEEP: Duration = Duration::from_secs(1);

/// One daemon.
pub(super) struct Tailscale {
    inner: Arc<Inner>,
    tasks: Vec<AbortHandle>,
}

struct Inner {
    settings: domain::Tailscale,
    api: LocalApi,
    state: Mutex<State>,
    revocations: Arc<Revocations>,
    /// Something waits for a worker.
    work: Notify,
}

#[derive(Default)]
struct State {
    table: Table,
    flights: HashMap<Key, Flight>,
    /// Since when the daemon is not on the tailnet.
    off_since: Option<Instant>,
    /// When everybody was last asked for without the bus; `None` while the bus stands.
    blind_since: Option<Instant>,
    /// The daemon does not let us listen at all.
    refused: bool,
    /// The last call failed, and that was said.
    away: bool,
}

impl State {
    /// Whether "nobody" means nobody: a daemon that has just started knows no node yet.
    const fn knows_nobody(&self) -> bool {
        self.off_since.is_none() && (self.blind_since.is_none() || self.refused)
    }
}

struct Flight {
    done: watch::Receiver<Option<Landing>>,
    /// Something changed since it asked.
    dirty: bool,
}

/// How a flight ended: what may be said, or that the daemon did not answer.
type Landing = Result<Hit, ()>;

impl Drop for Tailscale {
    fn drop(&mut self) {
        for task in &self.tasks {
            task.abort();
        }
    }
}

impl Tailscale {
    /// Begins to listen to the daemon. Must be called within a runtime.
    pub(super) fn start(
        settings: &domain::Tailscale,
        revocations: Arc<Revocations>,
        before: Option<&Self>,
    ) -> Self {
        Self::start_at(Dial::of(settings), settings, revocations, before)
    }

    fn start_at(
        dial: Dial,
        settings: &domain::Tailscale,
        revocations: Arc<Revocations>,
        before: Option<&Self>,
    ) -> Self {
        let inner = Arc::new(Inner {
            settings: settings.clone(),
            api: LocalApi::new(dial),
            state: Mutex::new(State {
                blind_since: Some(Instant::now()),
                ..State::default()
            }),
            revocations,
            work: Notify::new(),
        });
        if let Some(before) = before {
            inner
                .lock()
                .table
                .inherit(&before.inner.lock().table, Instant::now());
        }
        let mut tasks = vec![
            tokio::spawn(inner.clone().watch()).abort_handle(),
            tokio::spawn(inner.clone().sweep()).abort_handle(),
        ];
        for _ in 0..WORKERS {
            tasks.push(tokio::spawn(inner.clone().work()).abort_handle());
        }
        Self { inner, tasks }
    }

    pub(super) fn settings(&self) -> &domain::Tailscale {
        &self.inner.settings
    }

    /// Who is at an address?
    pub(super) async fn whois(&self, address: [u8; 16], port: u16) -> Verdict {
        let inner = &self.inner;
        let Some(key) = Key::of(address, port, inner.settings.userspace) else {
            return Verdict::Pass {
                whole_address: true,
                age_ms: u64::MAX,
            };
        };
        let (hit, known) = {
            let (now, wall) = (Instant::now(), SystemTime::now());
            let mut state = inner.lock();
            let hit = state.table.hit(&key, now, wall);
            (hit, state.table.last(&key, now, wall).is_some())
        };
        if let Some(hit) = hit {
            return verdict(&key, hit);
        }
        let patience = if known { PATIENCE_KNOWN } else { PATIENCE };
        let landing = tokio::time::timeout(patience, inner.clone().fly(key)).await;
        match landing {
            Ok(Ok(hit)) => verdict(&key, hit),
            Ok(Err(())) | Err(_) => {
                let last = inner.lock().table.last(&key, Instant::now(), SystemTime::now());
                last.map_or(Verdict::Unavailable, |hit| verdict(&key, hit))
            }
        }
    }

    /// Who was last said to be at an address, without asking.
    pub(super) fn peek(&self, address: [u8; 16], port: u16) -> super::Peek {
        let Some(key) = Key::of(address, port, self.inner.settings.userspace) else {
            return super::Peek::Pass;
        };
        match self.inner.lock().table.said(&key) {
            Some(Who::Known(principal)) => super::Peek::Is(Some(principal.clone())),
            Some(Who::Denied) => super::Peek::Is(None),
            Some(Who::Nobody) => super::Peek::Pass,
            None => super::Peek::NotKnown,
        }
    }
}

fn verdict(key: &Key, hit: Hit) -> Verdict {
    let whole_address = key.port.is_none();
    let age_ms = u64::try_from(hit.age.as_millis()).unwrap_or(u64::MAX);
    match hit.who {
        Who::Known(principal) => Verdict::Known {
            principal,
            whole_address,
            age_ms,
        },
        Who::Denied => Verdict::Denied {
            whole_address,
            age_ms,
        },
        Who::Nobody => Verdict::Pass {
            whole_address,
            age_ms,
        },
    }
}

impl Inner {
    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Asks about an address, or joins whoever does.
    async fn fly(self: Arc<Self>, key: Key) -> Landing {
        let mut done = {
            let mut state = self.lock();
            if let Some(flight) = state.flights.get(&key) {
                flight.done.clone()
            } else {
                if state.flights.len() >= FLIGHTS_MAX {
                    return Err(());
                }
                let (sender, done) = watch::channel(None);
                let flight = Flight {
                    done: done.clone(),
                    dirty: false,
                };
                state.flights.insert(key, flight);
                // On its own: whoever asked first may leave first.
                tokio::spawn(self.clone().flight(key, sender));
                done
            }
        };
        match done.wait_for(Option::is_some).await {
            Ok(landing) => landing.clone().unwrap_or(Err(())),
            Err(_) => Err(()),
        }
    }

    async fn flight(self: Arc<Self>, key: Key, done: watch::Sender<Option<Landing>>) {
        for left in (0..TRIES).rev() {
            if let Some(flight) = self.lock().flights.get_mut(&key) {
                flight.dirty = false;
            }
            let (asked, answer) = self.ask(&key).await;
            let mut state = self.lock();
            let dirty = state.flights.get(&key).is_some_and(|flight| flight.dirty);
            if dirty && left > 0 && answer.is_ok() {
                continue;
            }
            self.report(&mut state, &key, answer.as_ref().err());
            let (change, landing) = match answer {
                Ok(said) => {
                    let change = state.table.settle(key, said, asked, !dirty);
                    let hit = state
                        .table
                        .settled(&key, Instant::now(), SystemTime::now(), !dirty);
                    (change, hit.ok_or(()))
                }
                Err(_) => (state.table.fail(&key), Err(())),
            };
            state.flights.remove(&key);
            self.revoke(key.address, change);
            drop(state);
            let _ = done.send(Some(landing));
            return;
        }
    }

    async fn ask(&self, key: &Key) -> (Instant, Result<Option<answer::Said>, CallError>) {
        if self.is_off() {
            return (Instant::now(), Err(CallError::NotRunning));
        }
        let (asked, body) = self.api.whois(key).await;
        let said = body.and_then(|body| match body {
            Some(body) => {
                let said = answer::read(&body, self.settings.allow_shared, SystemTime::now())?;
                Ok(Some(said))
            }
            None if self.lock().knows_nobody() => Ok(None),
            None => Err(CallError::NotRunning),
        });
        if let Ok(Some(said)) = &said {
            let node = said.ids.stable_id.as_str();
            if let Err(why) = &said.who {
                tracing::warn!(peer = %key.addr(), node, "tailnet node is not let in: {why}");
            }
            for complaint in &said.complaints {
                tracing::warn!(peer = %key.addr(), node, "grant of the tailnet policy: {}", complaint.escape_debug());
            }
        }
        (asked, said)
    }

    /// Off the tailnet for longer than the grace.
    fn is_off(&self) -> bool {
        let off_since = self.lock().off_since;
        off_since.is_some_and(|since| since.elapsed() >= GRACE)
    }

    /// Says once that the daemon is away, and once that it is back.
    #[allow(clippy::unused_self, reason = "a step of a flight, named where it belongs")]
    fn report(&self, state: &mut State, key: &Key, error: Option<&CallError>) {
        match error {
            Some(error) if !state.away => {
                state.away = true;
                tracing::warn!(peer = %key.addr(), error = %chain(error), "the tailnet's daemon does not say who a peer is");
            }
            None if state.away => {
                state.away = false;
                tracing::info!("the tailnet's daemon answers again");
            }
            Some(_) | None => {}
        }
    }

    fn revoke(&self, address: [u8; 16], change: Change) {
        let cut = match change {
            Change::None => return,
            Change::Forget => false,
            Change::Cut => true,
        };
        self.revocations.send(Whom::Address(address), cut);
    }

    /// Asks again for whom that is due.
    async fn work(self: Arc<Self>) {
        loop {
            let waits = self.work.notified();
            let next = self.lock().table.next();
            match next {
                Some(key) => {
                    // What comes of it is in the table, and revoked.
                    let _ = self.clone().fly(key).await;
                }
                None => waits.await,
            }
        }
    }

    /// Something may have changed: flights ask again, workers look.
    fn stir(&self, state: &mut State) {
        for flight in state.flights.values_mut() {
            flight.dirty = true;
        }
        for _ in 0..WORKERS {
            self.work.notify_one();
        }
    }

    /// Listens to the bus for ever.
    async fn watch(self: Arc<Self>) {
        let mut mask = MASK;
        let mut pause = BACKOFF.0;
        let mut said = false;
        loop {
            match self.api.watch(mask).await {
                Ok(mut bus) => {
                    pause = BACKOFF.0;
                    said = false;
                    tracing::info!(mask, "listening to the tailnet's daemon");
                    if self.listen(&mut bus, mask).await {
                        mask = MASK_OLD;
                        continue;
                    }
                    self.gap();
                    // It may come back as another version.
                    mask = MASK;
                }
                Err(CallError::Status(400)) if mask == MASK => {
                    mask = MASK_OLD;
                    continue;
                }
                Err(error) => {
                    if !said {
                        said = true;
                        if error.is_absence() {
                            tracing::info!(
                                "no tailnet daemon runs here; callers with tailnet addresses get 503 until one does"
                            );
                        } else {
                            tracing::warn!(error = %chain(&error), "cannot listen to the tailnet's daemon");
                        }
                    }
                    self.lock().refused = matches!(error, CallError::Status(_));
                    mask = MASK;
                }
            }
            tokio::time::sleep(pause).await;
            pause = (pause * 2).min(BACKOFF.1);
        }
    }

    /// Handles lines until the bus ends. `true`: the daemon is too old for the mask.
    async fn listen(&self, bus: &mut localapi::Bus, mask: u32) -> bool {
        let mut first = true;
        loop {
            let event = match bus.line().await {
                Ok(Some(Line::Text(line))) if line.is_empty() => continue,
                Ok(Some(Line::Text(line))) => event::read(&line),
                Ok(Some(Line::TooLong)) => event::Event {
                    everything: true,
                    ..event::Event::default()
                },
                Ok(None) => return false,
                Err(error) => {
                    tracing::info!(error = %chain(&error), "the bus of the tailnet's daemon broke off");
                    return false;
                }
            };
            // Old daemons ignore bits that they do not know, and would tell nothing.
            if first && mask == MASK && !event.has_status && !event.everything {
                return true;
            }
            self.handle(&event);
            if std::mem::take(&mut first) {
                // The first line says whether the daemon is on the tailnet.
                self.flush();
            }
        }
    }

    fn handle(&self, event: &event::Event) {
        let mut state = self.lock();
        let state = &mut *state;
        match event.running {
            Some(true) if state.off_since.take().is_some() => {
                self.flush_locked(state);
            }
            Some(false) if state.off_since.is_none() => {
                tracing::warn!("the tailnet's daemon is not on the tailnet");
                state.off_since = Some(Instant::now());
            }
            Some(_) | None => {}
        }
        let mut concerned = event.everything;
        if event.everything {
            state.table.everything_changed();
        }
        if !event.changed.is_empty() {
            concerned = true;
            for address in state.table.nodes_changed(&event.changed) {
                self.revoke(address, Change::Forget);
            }
        }
        if !event.removed.is_empty() {
            concerned = true;
            if state.table.nodes_removed(&event.removed) {
                self.revocations.send(Whom::Everyone, true);
            }
        }
        if !event.users.is_empty() {
            concerned = true;
            state.table.users_changed(&event.users);
        }
        if concerned {
            self.stir(state);
        }
    }

    /// The bus stands (again): what was told before may be outdated.
    fn flush(&self) {
        let mut state = self.lock();
        (state.blind_since, state.refused) = (None, false);
        self.flush_locked(&mut state);
    }

    fn flush_locked(&self, state: &mut State) {
        if state.table.everything_changed() {
            self.revocations.send(Whom::Everyone, false);
        }
        self.stir(state);
    }

    /// The bus broke off: nothing counts without being asked for, until it stands again.
    fn gap(&self) {
        let mut state = self.lock();
        state.blind_since = Some(Instant::now());
        state.table.everything_changed();
        self.stir(&mut state);
    }

    /// What time alone does.
    async fn sweep(self: Arc<Self>) {
        loop {
            tokio::time::sleep(SWEEP).await;
            let now = Instant::now();
            let mut state = self.lock();
            state.table.sweep(now, SystemTime::now());
            // Without the bus, everybody is asked for as often as answers age.
            if state
                .blind_since
                .is_some_and(|since| now.duration_since(since) >= table::FRESH)
            {
                state.blind_since = Some(now);
                state.table.everything_changed();
            }
            drop(state);
            for _ in 0..WORKERS {
                self.work.notify_one();
            }
        }
    }
}

/// Entry for fuzzing: whatever the daemon says, an answer and no panic, and nobody is let in whom it calls expired.
pub(super) fn fuzz(data: &[u8]) {
    let _ = event::read(data);
    let Ok(said) = answer::read(data, false, SystemTime::UNIX_EPOCH) else {
        return;
    };
    if let Ok(principal) = said.who {
        assert!(!principal.login.is_empty() && !principal.node.is_empty());
        assert!(principal.tags.is_empty() || principal.login == principal.tags.join(","));
    }
}
