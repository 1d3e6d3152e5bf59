//! Deadlines without timers: a shard's list of running connections, swept a few times a second.
//!
//! Arming a deadline is two plain stores, so an idle limit can be renewed for every event of a stream. When one has
//! passed, the sweep shuts the socket down on which the connection waits; the wait ends as if the peer had closed,
//! and [`Watch::fired`] says that it was the deadline. Precision is one sweep ([`SWEEP_MS`]).

use std::cell::{Cell, RefCell};
use std::os::fd::RawFd;
use std::pin::Pin;
use std::rc::Rc;
use std::task::{Context, Poll, Waker};

use sluice_shared::ids::Epoch;
use sluice_shared::wire::control::Whom;

use crate::certificate::recheck::Shown;
use crate::identity::facts::Basis;
use crate::shard::Shard;
use crate::sock;

/// Milliseconds between two sweeps.
pub(crate) const SWEEP_MS: u64 = 20;

/// Milliseconds between two sweeps while no request runs: one that begins now is looked at soon enough to notice
/// within 100 ms that its client has left.
pub(crate) const QUIET_SWEEP_MS: u64 = 50;

const NEVER: u64 = u64::MAX;
const NO_FD: RawFd = -1;

/// What ended a wait.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Fired {
    /// Nothing: the peer did.
    No,
    /// The deadline passed.
    Deadline,
    /// The process drains and its time is up, or the principal was revoked.
    Cut,
}

/// One connection's entry.
pub(crate) struct Watch {
    deadline_ms: Cell<u64>,
    waits_on: Cell<RawFd>,
    whole: Cell<bool>,
    total_ms: Cell<u64>,
    /// When the proof of who calls runs out.
    life_ms: Cell<u64>,
    other: Cell<RawFd>,
    fired: Cell<Fired>,
    /// A task that wants to be wakened once if it still waits at the next sweep but one.
    sleeper: RefCell<Option<Waker>>,
    sleeper_since_ms: Cell<u64>,
    /// A task that wants to be wakened at some time, whatever its sockets do.
    alarm: RefCell<Option<Waker>>,
    alarm_ms: Cell<u64>,
    /// Between requests: nothing is lost if it is closed.
    idle: Cell<bool>,
    /// What proves who calls, for revocation.
    basis: Cell<Basis>,
    /// Address of the peer, for revocation.
    address: Cell<[u8; 16]>,
    /// What proves who calls, if that is a certificate; looked at again when the bundles change.
    shown: RefCell<Option<Rc<Shown>>>,
}

impl Watch {
    /// Arms a deadline for reading: at `deadline_ms` (shard clock) reads of the socket `fd` end; an answer can
    /// still be written.
    pub(crate) fn arm_read(&self, fd: RawFd, deadline_ms: u64) {
        self.waits_on.set(fd);
        self.whole.set(false);
        self.deadline_ms.set(deadline_ms);
    }

    /// Arms a deadline for connecting or writing: the socket is ended in both directions.
    pub(crate) fn arm_whole(&self, fd: RawFd, deadline_ms: u64) {
        self.waits_on.set(fd);
        self.whole.set(true);
        self.deadline_ms.set(deadline_ms);
    }

    /// Forgets sockets and deadlines; must happen before a named socket is closed.
    pub(crate) fn disarm(&self) {
        self.deadline_ms.set(NEVER);
        self.waits_on.set(NO_FD);
    }

    /// Limits the whole exchange, whatever is awaited in it.
    pub(crate) fn limit_total(&self, deadline_ms: u64) {
        self.total_ms.set(deadline_ms);
    }

    /// Limits the connection's life: at `deadline_ms` it is cut, whatever runs on it.
    pub(crate) fn limit_life(&self, deadline_ms: u64) {
        self.life_ms.set(deadline_ms);
    }

    /// The peer turns out to be somewhere else than its socket says.
    pub(crate) fn set_address(&self, address: [u8; 16]) {
        self.address.set(address);
    }

    /// Puts another in the place of what proves who calls.
    pub(crate) fn renew_shown(&self, shown: Rc<Shown>) {
        *self.shown.borrow_mut() = Some(shown);
    }

    /// Whether a certificate proves who calls; not any more when the connection has ended.
    pub(crate) fn is_shown(&self) -> bool {
        self.shown.borrow().is_some()
    }

    /// Cuts this connection.
    pub(crate) fn cut(&self) {
        self.fire(Fired::Cut);
    }

    /// Says what proves who the running request is from. Before that is known, and between requests, it is the address:
    /// [`Basis::address_only`].
    pub(crate) fn rests_on(&self, basis: Basis) {
        self.basis.set(basis);
    }

    /// Names a socket that a cut must end, too.
    pub(crate) fn cut_also(&self, fd: Option<RawFd>) {
        self.other.set(fd.unwrap_or(NO_FD));
    }

    /// Asks to be wakened once by a sweep that is at least one sweep away, unless [`Self::wake_not`] comes first. What
    /// is over sooner never pays for it.
    pub(crate) fn wake_later(&self, waker: &Waker, now_ms: u64) {
        self.sleeper_since_ms.set(now_ms);
        *self.sleeper.borrow_mut() = Some(waker.clone());
    }

    /// Whether the wake-up is still to come.
    pub(crate) fn will_wake(&self) -> bool {
        self.sleeper.borrow().is_some()
    }

    /// Takes that back.
    pub(crate) fn wake_not(&self) {
        self.sleeper.borrow_mut().take();
    }

    /// Waits until a time by the shard's clock. Nothing is ended by it, and dropping the wait forgets it.
    pub(crate) fn alarm(&self, at_ms: u64) -> Alarm<'_> {
        Alarm { watch: self, at_ms }
    }

    /// Marks the connection as being between two requests.
    pub(crate) fn set_idle(&self, idle: bool) {
        self.idle.set(idle);
    }

    /// What ended the last wait; reading it resets it, except a cut, which lasts.
    pub(crate) fn fired(&self) -> Fired {
        match self.fired.get() {
            Fired::Cut => Fired::Cut,
            other => {
                self.fired.set(Fired::No);
                other
            }
        }
    }

    fn fire(&self, why: Fired) {
        self.fired.set(why);
        self.deadline_ms.set(NEVER);
        self.total_ms.set(NEVER);
        let whole = why == Fired::Cut || self.whole.get();
        for fd in [self.waits_on.get(), self.other.get()] {
            if fd >= 0 && (why == Fired::Cut || fd == self.waits_on.get()) {
                sock::shutdown(fd, if whole { libc::SHUT_RDWR } else { libc::SHUT_RD });
            }
        }
    }
}

/// A wait for a time; [`Watch::alarm`].
pub(crate) struct Alarm<'a> {
    watch: &'a Watch,
    at_ms: u64,
}

impl Future for Alarm<'_> {
    type Output = ();

    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<()> {
        if Shard::now_ms() >= self.at_ms {
            return Poll::Ready(());
        }
        self.watch.alarm_ms.set(self.at_ms);
        *self.watch.alarm.borrow_mut() = Some(cx.waker().clone());
        Poll::Pending
    }
}

impl Drop for Alarm<'_> {
    fn drop(&mut self) {
        self.watch.alarm_ms.set(NEVER);
        self.watch.alarm.borrow_mut().take();
    }
}

/// All connections of a shard.
#[derive(Default)]
pub(crate) struct Watches {
    entries: RefCell<Vec<Option<Rc<Watch>>>>,
    free: RefCell<Vec<usize>>,
    /// Configuration that the certificates on the list were compared with; `None` if that must be done again.
    pub(crate) compared: Cell<Option<Epoch>>,
    /// Connections that are proven by a certificate.
    certified: Cell<usize>,
}

/// Ownership of an entry; dropping it takes it off the list.
pub(crate) struct WatchGuard {
    list: Rc<Watches>,
    index: usize,
    watch: Rc<Watch>,
}

impl Drop for WatchGuard {
    fn drop(&mut self) {
        // Whoever still holds the entry must not end a socket that has taken over a number.
        self.watch.disarm();
        self.watch.cut_also(None);
        if self.watch.shown.take().is_some() {
            self.list
                .certified
                .set(self.list.certified.get().saturating_sub(1));
        }
        if let Some(entry) = self.list.entries.borrow_mut().get_mut(self.index) {
            *entry = None;
            self.list.free.borrow_mut().push(self.index);
        }
    }
}

impl WatchGuard {
    /// Keeps what proves who calls, once in the life of a connection.
    pub(crate) fn set_shown(&self, shown: Rc<Shown>) {
        if self.watch.shown.replace(Some(shown)).is_none() {
            self.list.certified.set(self.list.certified.get() + 1);
        }
    }
}

impl std::ops::Deref for WatchGuard {
    type Target = Watch;
    fn deref(&self) -> &Watch {
        &self.watch
    }
}

impl Watches {
    /// Adds a connection.
    pub(crate) fn add(self: &Rc<Self>, address: [u8; 16]) -> WatchGuard {
        let watch = Rc::new(Watch {
            deadline_ms: Cell::new(NEVER),
            waits_on: Cell::new(NO_FD),
            whole: Cell::new(false),
            total_ms: Cell::new(NEVER),
            life_ms: Cell::new(NEVER),
            other: Cell::new(NO_FD),
            fired: Cell::new(Fired::No),
            sleeper: RefCell::new(None),
            sleeper_since_ms: Cell::new(0),
            alarm: RefCell::new(None),
            alarm_ms: Cell::new(NEVER),
            idle: Cell::new(true),
            basis: Cell::new(Basis::address_only()),
            address: Cell::new(address),
            shown: RefCell::new(None),
        });
        let index = match self.free.borrow_mut().pop() {
            Some(index) => index,
            None => {
                self.entries.borrow_mut().push(None);
                self.entries.borrow().len() - 1
            }
        };
        if let Some(entry) = self.entries.borrow_mut().get_mut(index) {
            *entry = Some(watch.clone());
        }
        WatchGuard {
            list: self.clone(),
            index,
            watch,
        }
    }

    /// Connections on the list.
    pub(crate) fn len(&self) -> usize {
        self.entries.borrow().len() - self.free.borrow().len()
    }

    /// Ends the waits whose deadline has passed.
    pub(crate) fn sweep(&self, now_ms: u64) {
        self.each(|watch| {
            if watch.deadline_ms.get() <= now_ms || watch.total_ms.get() <= now_ms {
                watch.fire(Fired::Deadline);
            }
            if watch.life_ms.get() <= now_ms {
                watch.life_ms.set(NEVER);
                watch.fire(Fired::Cut);
            }
            if watch.alarm_ms.get() <= now_ms {
                watch.alarm_ms.set(NEVER);
                if let Some(waker) = watch.alarm.borrow_mut().take() {
                    waker.wake();
                }
            }
            if watch.sleeper_since_ms.get().saturating_add(SWEEP_MS) <= now_ms
                && let Some(waker) = watch.sleeper.borrow_mut().take()
            {
                waker.wake();
            }
        });
    }

    /// Cuts the connections whose request, or whose next one, rests on an address or a proof, or every one.
    pub(crate) fn cut(&self, whom: Whom) {
        self.each(|watch| {
            if watch.basis.get().concerns(whom, watch.address.get()) {
                watch.fire(Fired::Cut);
            }
        });
    }

    /// Whether any connection is proven by a certificate.
    pub(crate) fn has_shown(&self) -> bool {
        self.certified.get() > 0
    }

    /// The connections that are proven by a certificate.
    pub(crate) fn shown(&self) -> Vec<(Rc<Watch>, Rc<Shown>)> {
        let with_proof = |watch: &Rc<Watch>| Some((watch.clone(), watch.shown.borrow().clone()?));
        self.entries
            .borrow()
            .iter()
            .flatten()
            .filter_map(with_proof)
            .collect()
    }

    /// Cuts the connections that are between two requests.
    pub(crate) fn cut_idle(&self) {
        self.each(|watch| {
            if watch.idle.get() {
                watch.fire(Fired::Cut);
            }
        });
    }

    fn each(&self, mut act: impl FnMut(&Watch)) {
        let entries = self.entries.borrow();
        for watch in entries.iter().flatten() {
            act(watch);
        }
    }
}
