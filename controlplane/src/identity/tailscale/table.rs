//! What the daemon has said about peers, and how far that can be believed.
//!
//! Time is an argument. Every entry bears the moment at which its question was put:
//!
//! ```text
//! confirmed ── FRESH 30 s ──▶ must be asked again ── KNOWN 60 s ──▶ nobody may say who it is
//!              (nobody there: NEGATIVE)             (only while the daemon does not answer)
//! ```
//!
//! An event makes an entry *stale* (ask again before use) or *suspect* (the node itself has changed or gone: if the
//! daemon does not confirm it now, it counts as gone). Entries outlive their freshness, because a stream may run for
//! hours on an answer, and if its peer is removed then, it has to be cut.
//!
//! Simplification: who is still connected is not known here. So an address counts as in use for a day after the last
//! question about it, or until there is no room.

use std::collections::{HashMap, HashSet, VecDeque};
use std::time::{Duration, SystemTime};

use sluice_shared::snapshot::address_bits;
use sluice_shared::wire::control::Principal;
use tokio::time::Instant;

use super::answer::{Node, NodeIds, Said};
use super::gate::Key;

/// How long an answer counts: changes of grants are told by no event.
pub(super) const FRESH: Duration = Duration::from_secs(30);
/// How long the last answer counts while the daemon is away.
pub(super) const KNOWN: Duration = Duration::from_secs(60);
/// How long nobody stays nobody. Shorter for a port: the next connection may be somebody's.
const NEGATIVE: Duration = Duration::from_secs(10);
const NEGATIVE_PORT: Duration = Duration::from_secs(5);
/// How long an answer from before counts while the daemon is away, before it is tried again.
const AWAY_AGE: Duration = Duration::from_secs(5);
/// How long an address counts as in use after the last question about it.
const IN_USE: Duration = Duration::from_secs(24 * 3600);
/// Entries at most.
const ENTRIES_MAX: usize = 65_536;

/// Who is at an address.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Who {
    Known(Principal),
    /// A node that is not let in.
    Denied,
    Nobody,
}

/// How far an entry can be believed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum Trust {
    Fresh,
    Stale,
    Suspect,
}

struct Entry {
    who: Who,
    ids: NodeIds,
    expires: Option<SystemTime>,
    confirmed: Instant,
    used: Instant,
    trust: Trust,
}

/// What data planes have to be told about an address.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Change {
    None,
    /// Ask again.
    Forget,
    /// And end what runs.
    Cut,
}

/// What may be said about a peer, and for how long.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Hit {
    pub(super) who: Who,
    pub(super) age: Duration,
}

/// The entries, and which of them are to be asked for again.
#[derive(Default)]
pub(super) struct Table {
    entries: HashMap<Key, Entry>,
    queue: VecDeque<Key>,
    queued: HashSet<Key>,
    /// Somebody who was known had to be dropped for lack of room.
    forgot: bool,
}

impl Table {
    /// What is fresh. Somebody at a port is never: the mapping ends with the connection, and the next one from the same
    /// port may be anybody's.
    pub(super) fn hit(&mut self, key: &Key, now: Instant, wall: SystemTime) -> Option<Hit> {
        let entry = self.entries.get_mut(key)?;
        entry.used = now;
        let known = matches!(entry.who, Who::Known(_));
        if entry.trust != Trust::Fresh || (known && key.port.is_some()) {
            return None;
        }
        let counts = match (&entry.who, key.port) {
            (Who::Known(_), _) => FRESH,
            (_, None) => NEGATIVE,
            (_, Some(_)) => NEGATIVE_PORT,
        };
        let mut age = (entry.confirmed + counts).checked_duration_since(now)?;
        if let Some(expires) = entry.expires.filter(|_| known) {
            age = age.min(expires.duration_since(wall).ok()?);
        }
        (!age.is_zero()).then(|| Hit {
            who: entry.who.clone(),
            age,
        })
    }

    /// What may still be said while the daemon does not answer.
    pub(super) fn last(&self, key: &Key, now: Instant, wall: SystemTime) -> Option<Hit> {
        let entry = self.entries.get(key)?;
        if key.port.is_some()
            || entry.trust == Trust::Suspect
            || !matches!(entry.who, Who::Known(_))
            || entry.expires.is_some_and(|expires| expires <= wall)
        {
            return None;
        }
        let left = (entry.confirmed + KNOWN).checked_duration_since(now)?;
        (!left.is_zero()).then(|| Hit {
            who: entry.who.clone(),
            age: left.min(AWAY_AGE),
        })
    }

    /// Who was said to be there, however long ago.
    pub(super) fn said(&self, key: &Key) -> Option<&Who> {
        self.entries.get(key).map(|entry| &entry.who)
    }

    /// What may be said right after [`Self::settle`].
    pub(super) fn settled(&self, key: &Key, now: Instant, wall: SystemTime, sure: bool) -> Option<Hit> {
        let entry = self.entries.get(key)?;
        let counts = match (&entry.who, key.port) {
            (Who::Known(_), Some(_)) => Duration::ZERO,
            (Who::Known(_), None) => FRESH,
            (_, None) => NEGATIVE,
            (_, Some(_)) => NEGATIVE_PORT,
        };
        let mut age = (entry.confirmed + counts).saturating_duration_since(now);
        if let Some(expires) = entry.expires {
            age = age.min(expires.duration_since(wall).unwrap_or_default());
        }
        if !sure {
            age = age.min(Duration::from_secs(1));
        }
        Some(Hit {
            who: entry.who.clone(),
            age,
        })
    }

    /// Takes an answer to a question that was put at `asked`. Not `sure`: something changed meanwhile, again and again.
    pub(super) fn settle(&mut self, key: Key, said: Option<Said>, asked: Instant, sure: bool) -> Change {
        let (who, ids, expires) = match said {
            None => (Who::Nobody, NodeIds::default(), None),
            Some(said) => (said.who.map_or(Who::Denied, Who::Known), said.ids, said.expires),
        };
        let before = self.entries.remove(&key);
        let change = before
            .as_ref()
            .map_or(Change::None, |entry| change(&key, entry, &who));
        self.make_room();
        let entry = Entry {
            who,
            ids,
            expires,
            confirmed: asked,
            used: before.map_or(asked, |entry| entry.used.max(asked)),
            trust: if sure { Trust::Fresh } else { Trust::Stale },
        };
        self.entries.insert(key, entry);
        change
    }

    /// The daemon did not answer. Whom an event has made suspect counts as gone.
    pub(super) fn fail(&mut self, key: &Key) -> Change {
        let Some(entry) = self
            .entries
            .get(key)
            .filter(|entry| entry.trust == Trust::Suspect)
        else {
            return Change::None;
        };
        let known = matches!(entry.who, Who::Known(_));
        self.entries.remove(key);
        if known { Change::Cut } else { Change::None }
    }

    /// Nodes came or were replaced. Returns addresses about which a "nobody" is to be forgotten.
    pub(super) fn nodes_changed(&mut self, nodes: &[Node]) -> Vec<[u8; 16]> {
        let by_id: HashMap<i64, (&Node, NodeIds)> = nodes
            .iter()
            .map(|node| {
                let ids = node.ids();
                (ids.id, (node, ids))
            })
            .collect();
        let addresses: HashSet<[u8; 16]> = nodes.iter().flat_map(Node::addresses).map(address_bits).collect();
        let mut concerned = Vec::new();
        let mut forget = Vec::new();
        self.entries.retain(|key, entry| {
            let at = addresses.contains(&key.address);
            let named = by_id.get(&entry.ids.id).filter(|_| entry.who != Who::Nobody);
            if named.is_none() && !at {
                return true;
            }
            match &entry.who {
                Who::Known(_) => {
                    // The same node with the same face: only its grants may be others.
                    let same = named.is_some_and(|(node, ids)| {
                        *ids == entry.ids
                            && !node.is_expired()
                            && (key.port.is_some()
                                || node.addresses().any(|ip| address_bits(ip) == key.address))
                    });
                    let trust = if same { Trust::Stale } else { Trust::Suspect };
                    entry.trust = entry.trust.max(trust);
                    concerned.push(*key);
                    true
                }
                Who::Denied | Who::Nobody => {
                    forget.push(key.address);
                    false
                }
            }
        });
        self.ask_first(concerned);
        forget
    }

    /// Nodes went. `true`: one of them may have been dropped for lack of room, so everything has to be revoked.
    pub(super) fn nodes_removed(&mut self, removed: &[i64]) -> bool {
        let removed: HashSet<i64> = removed.iter().copied().collect();
        let concerned = self.doubt(Trust::Suspect, |entry| removed.contains(&entry.ids.id));
        let found: HashSet<i64> = concerned
            .iter()
            .filter_map(|key| Some(self.entries.get(key)?.ids.id))
            .collect();
        self.ask_first(concerned);
        let everything = self.forgot && removed.iter().any(|id| !found.contains(id));
        if everything {
            self.entries.clear();
            self.forgot = false;
        }
        everything
    }

    /// Profiles of users changed.
    pub(super) fn users_changed(&mut self, users: &[i64]) {
        let users: HashSet<i64> = users.iter().copied().collect();
        let concerned = self.doubt(Trust::Stale, |entry| users.contains(&entry.ids.user));
        self.ask_first(concerned);
    }

    /// Anything may have changed: everybody is asked for again. Returns whether there is anybody.
    pub(super) fn everything_changed(&mut self) -> bool {
        self.entries.retain(|_, entry| matches!(entry.who, Who::Known(_)));
        let concerned = self.doubt(Trust::Stale, |_| true);
        for key in concerned {
            if self.queued.insert(key) {
                self.queue.push_back(key);
            }
        }
        !self.entries.is_empty()
    }

    /// Takes over whom another table knew, to be confirmed at once or to be cut.
    pub(super) fn inherit(&mut self, other: &Self, now: Instant) {
        for (key, entry) in &other.entries {
            if let Who::Known(_) = entry.who {
                let entry = Entry {
                    who: entry.who.clone(),
                    ids: entry.ids.clone(),
                    expires: entry.expires,
                    confirmed: now,
                    used: entry.used,
                    trust: Trust::Suspect,
                };
                self.entries.insert(*key, entry);
                self.ask_first(vec![*key]);
            }
        }
    }

    /// What time alone does: keys run out, what nobody asks for is dropped.
    pub(super) fn sweep(&mut self, now: Instant, wall: SystemTime) {
        self.entries.retain(|key, entry| {
            let counts = match (&entry.who, key.port) {
                (Who::Known(_), _) => return now < entry.used + IN_USE,
                (_, None) => NEGATIVE,
                (_, Some(_)) => NEGATIVE_PORT,
            };
            now < entry.confirmed + counts
        });
        let expired = |entry: &Entry| entry.expires.is_some_and(|expires| expires <= wall);
        let concerned = self.doubt(Trust::Suspect, expired);
        self.ask_first(concerned);
    }

    /// The next key to ask for again; those that an event concerns come first.
    pub(super) fn next(&mut self) -> Option<Key> {
        let key = self.queue.pop_front()?;
        self.queued.remove(&key);
        Some(key)
    }

    fn doubt(&mut self, trust: Trust, concerns: impl Fn(&Entry) -> bool) -> Vec<Key> {
        let mut concerned = Vec::new();
        for (key, entry) in &mut self.entries {
            if matches!(entry.who, Who::Known(_)) && concerns(entry) {
                entry.trust = entry.trust.max(trust);
                concerned.push(*key);
            }
        }
        concerned
    }

    fn ask_first(&mut self, keys: Vec<Key>) {
        for key in keys {
            // One that waits at the back is asked for twice; that is cheaper than looking for it.
            self.queued.insert(key);
            self.queue.push_front(key);
        }
        if self.queue.len() > 2 * ENTRIES_MAX {
            let mut seen = HashSet::new();
            self.queue.retain(|key| seen.insert(*key));
        }
    }

    fn make_room(&mut self) {
        if self.entries.len() < ENTRIES_MAX {
            return;
        }
        self.entries.retain(|_, entry| matches!(entry.who, Who::Known(_)));
        if self.entries.len() < ENTRIES_MAX {
            return;
        }
        let mut used: Vec<Instant> = self.entries.values().map(|entry| entry.used).collect();
        let quarter = used.len() / 4;
        let (_, border, _) = used.select_nth_unstable(quarter);
        let border = *border;
        self.entries.retain(|_, entry| entry.used > border);
        self.forgot = true;
    }
}

/// What the difference between an entry and a new answer means to data planes.
fn change(key: &Key, before: &Entry, after: &Who) -> Change {
    match (&before.who, after) {
        // From a port, a new answer to an ordinary question is about a new connection, and nobody there means that the
        // connection is gone; unless an event was about its node.
        (Who::Known(_), _) if key.port.is_some() && before.trust == Trust::Fresh => Change::None,
        (Who::Known(_), Who::Nobody) if key.port.is_some() && before.trust == Trust::Stale => Change::None,
        (Who::Known(old), Who::Known(new)) if old == new => Change::None,
        (Who::Known(old), Who::Known(new)) if is_same(old, new) => Change::Forget,
        (Who::Known(_), _) => Change::Cut,
        (Who::Denied | Who::Nobody, Who::Known(_)) => Change::Forget,
        (Who::Denied | Who::Nobody, Who::Denied | Who::Nobody) => Change::None,
    }
}

/// The same person or machine, whatever it may do.
pub(in crate::identity) fn is_same(a: &Principal, b: &Principal) -> bool {
    (&a.source, &a.login, &a.node, &a.tags) == (&b.source, &b.login, &b.node, &b.tags)
}
