//! The cache and its open questions, as a state machine: questions, answers and time in, replies and questions out.
//!
//! - An answer about a peer holds for one `address:port`, or for the whole address where the control plane says so. It
//!   is used until its age limit, counted from the moment it was given; the control plane being away changes nothing.
//! - An answer about a proof holds for the proof. Those that say no have a table of their own, so that somebody who
//!   shows one made-up token after the other pushes out nobody whose token is good; and no more than
//!   [`PROOF_FLIGHTS_MAX`] such questions are open at a time, the next is answered [`IdentityAnswer::Unavailable`].
//! - After a gap in the link, revocations may have been missed: what was learnt before the gap is asked for again
//!   and serves only if no answer comes in time.
//! - One question per peer or proof is open at a time. While the first question about an address is open, the other
//!   ports of that address wait for it, for its answer usually holds for them too; if it does not, each is asked for.
//! - What is revoked while a question about it is open is asked anew: the answer on its way may be the old one.
//! - A question that waits longer than the patience is answered [`IdentityAnswer::Unavailable`]; an answer that comes
//!   later still fills the cache.
//! - Everything is bounded: entries one by one, oldest first, waiting questions by refusal.

use std::cmp::Reverse;
use std::collections::{BinaryHeap, HashMap, VecDeque};
use std::sync::Arc;

use sluice_shared::units::MonoMicros;
use sluice_shared::wire::control::{self, Proof, ToControl, Whom};

use super::table::Table;
use super::{IdentityAnswer, Key, Question};

#[cfg(test)]
mod tests;

/// Answers about peers that are remembered at most, and good answers about proofs; the oldest goes first.
pub const ENTRIES_MAX: usize = 131_072;
/// Answers about proofs that say no and are remembered at most.
pub const NEGATIVES_MAX: usize = 16_384;
/// Questions of shards that wait for an answer at most, and questions to the control plane that are open at most.
pub const ASKERS_MAX: usize = 16_384;
/// Questions about proofs that are open at most. Bounds what a flood of made-up tokens costs the control plane.
pub const PROOF_FLIGHTS_MAX: usize = 256;
/// Questions of shards that wait for answers about proofs at most.
pub const PROOF_ASKERS_MAX: usize = 4_096;
/// How long an answer is waited for after its askers were told "unavailable", in microseconds.
const FLIGHT_US_MAX: u64 = 10_000_000;
/// `Retry-After` where nobody could be asked, in seconds.
const RETRY_AFTER_S: u32 = 1;

/// What is to be done after a step.
#[derive(Debug, Default, PartialEq, Eq)]
pub struct Actions {
    /// Answers for shards.
    pub replies: Vec<Reply>,
    /// Questions for the control plane.
    pub questions: Vec<ToControl>,
}

/// An answer for a shard.
#[derive(Debug, PartialEq, Eq)]
pub struct Reply {
    /// Index of the shard.
    pub shard: usize,
    /// Ticket of its question.
    pub ticket: u64,
    /// The answer.
    pub answer: IdentityAnswer,
    /// Until when it may be used without asking again.
    pub valid_until: MonoMicros,
}

/// See the module.
#[derive(Debug)]
pub struct IdentityCache {
    entries: HashMap<[u8; 16], HashMap<Option<u16>, Entry>>,
    order: VecDeque<(u64, [u8; 16], Option<u16>)>,
    entries_max: usize,
    count: usize,
    stamps: u64,
    /// Good answers about proofs.
    proofs: Table<[u8; 32], Entry>,
    /// The others.
    negatives: Table<[u8; 32], Entry>,
    flights: HashMap<u64, Flight>,
    open: HashMap<[u8; 16], Vec<u64>>,
    open_proofs: HashMap<[u8; 32], u64>,
    deadlines: BinaryHeap<Reverse<(MonoMicros, u64)>>,
    askers: usize,
    proof_askers: usize,
    tickets: u64,
    /// Number of the current connection to the control plane.
    link: u64,
    connected: bool,
    patience_us: u64,
    age_us_max: u64,
}

#[derive(Debug)]
struct Entry {
    answer: IdentityAnswer,
    valid_until: MonoMicros,
    link: u64,
    stamp: u64,
}

#[derive(Debug)]
struct Flight {
    key: Key,
    proof: Option<Proof>,
    born: MonoMicros,
    askers: Vec<Asker>,
}

impl Flight {
    fn question(&self, ticket: u64) -> Option<ToControl> {
        match self.key {
            Key::Peer { address, port } => Some(ToControl::WhoIs {
                ticket,
                address,
                port,
            }),
            Key::Proof(_) => Some(ToControl::Prove {
                ticket,
                proof: self.proof.clone()?,
            }),
        }
    }
}

#[derive(Clone, Copy, Debug)]
struct Asker {
    shard: usize,
    ticket: u64,
    key: Key,
    deadline: MonoMicros,
}

impl Asker {
    fn reply(&self, answer: IdentityAnswer, valid_until: MonoMicros) -> Reply {
        Reply {
            shard: self.shard,
            ticket: self.ticket,
            answer,
            valid_until,
        }
    }
}

impl Default for IdentityCache {
    fn default() -> Self {
        Self::new(ENTRIES_MAX)
    }
}

impl IdentityCache {
    /// An empty cache for at most this many answers of each kind, with 500 ms of patience and no age limit of its own.
    #[must_use]
    pub fn new(entries_max: usize) -> Self {
        Self {
            entries: HashMap::new(),
            order: VecDeque::new(),
            entries_max: entries_max.max(1),
            count: 0,
            stamps: 0,
            proofs: Table::new(entries_max),
            negatives: Table::new(entries_max.min(NEGATIVES_MAX)),
            flights: HashMap::new(),
            open: HashMap::new(),
            open_proofs: HashMap::new(),
            deadlines: BinaryHeap::new(),
            askers: 0,
            proof_askers: 0,
            tickets: 0,
            link: 0,
            connected: false,
            patience_us: 500_000,
            age_us_max: u64::MAX,
        }
    }

    /// Takes over the limits of a configuration, in milliseconds; an age of 0 leaves the age to each answer.
    pub fn configure(&mut self, identity_ms: u64, age_ms_max: u64) {
        self.patience_us = identity_ms.saturating_mul(1_000);
        self.age_us_max = match age_ms_max {
            0 => u64::MAX,
            ms => ms.saturating_mul(1_000),
        };
    }

    /// Answers that are remembered.
    #[must_use]
    pub fn len(&self) -> usize {
        self.count + self.proofs.len() + self.negatives.len()
    }

    /// Whether nothing is remembered.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// A shard asks.
    pub fn ask(&mut self, question: Question, now: MonoMicros, out: &mut Actions) {
        let Question {
            shard,
            ticket,
            key,
            proof,
        } = question;
        let asker = Asker {
            shard,
            ticket,
            key,
            deadline: MonoMicros(now.0.saturating_add(self.patience_us)),
        };
        if let Some(entry) = self.entry(key, now)
            && (!self.connected || entry.link == self.link)
        {
            out.replies
                .push(asker.reply(entry.answer.clone(), entry.valid_until));
            return;
        }
        if self.crowded(key) {
            let answer = self.fallback(&asker, now, RETRY_AFTER_S);
            out.replies.push(answer);
            return;
        }
        self.wait(asker, proof, now, out);
    }

    /// Whether a further question of this kind is one too many.
    fn crowded(&self, key: Key) -> bool {
        match key {
            Key::Peer { .. } => {
                self.askers - self.proof_askers >= ASKERS_MAX
                    || self.flights.len() - self.open_proofs.len() >= ASKERS_MAX
            }
            Key::Proof(hash) => {
                self.proof_askers >= PROOF_ASKERS_MAX
                    || (self.open_proofs.len() >= PROOF_FLIGHTS_MAX && !self.open_proofs.contains_key(&hash))
            }
        }
    }

    /// The control plane answers. Answers to unknown tickets are ignored.
    pub fn answered(
        &mut self,
        ticket: u64,
        answer: control::IdentityAnswer,
        now: MonoMicros,
        out: &mut Actions,
    ) {
        let Some(flight) = self.land(ticket) else {
            return;
        };
        let about_proof = matches!(flight.key, Key::Proof(_));
        let (answer, age_ms) = match answer {
            control::IdentityAnswer::Known {
                principal,
                whole_address,
                age_ms_max,
            } => {
                let known = IdentityAnswer::Known {
                    principal: Arc::new(principal),
                    whole_address: whole_address || about_proof,
                };
                (known, age_ms_max)
            }
            control::IdentityAnswer::Refused { reason, age_ms_max } if about_proof => {
                let reason = reason.into();
                (IdentityAnswer::Refused { reason }, age_ms_max)
            }
            control::IdentityAnswer::Foreign { age_ms_max } if about_proof => {
                (IdentityAnswer::Foreign, age_ms_max)
            }
            control::IdentityAnswer::Unknown { age_ms_max }
            | control::IdentityAnswer::Refused { age_ms_max, .. }
            | control::IdentityAnswer::Foreign { age_ms_max } => (IdentityAnswer::Unknown, age_ms_max),
            control::IdentityAnswer::Unavailable { retry_after_s } => {
                for asker in flight.askers {
                    let reply = self.fallback(&asker, now, retry_after_s);
                    out.replies.push(reply);
                }
                return;
            }
        };
        let for_all = about_proof
            || matches!(
                answer,
                IdentityAnswer::Known {
                    whole_address: true,
                    ..
                }
            );
        let age_us = age_ms.saturating_mul(1_000).min(self.age_us_max);
        let valid_until = MonoMicros(now.0.saturating_add(age_us));
        let mut others = Vec::new();
        for asker in flight.askers {
            if for_all || asker.key == flight.key {
                out.replies.push(asker.reply(answer.clone(), valid_until));
            } else {
                others.push(asker);
            }
        }
        match flight.key {
            Key::Peer { address, port } => {
                self.remember(address, (!for_all).then_some(port), answer, valid_until);
            }
            Key::Proof(hash) => self.remember_proof(hash, answer, valid_until),
        }
        for asker in others {
            self.wait(asker, None, now, out);
        }
    }

    /// Forgets an address, a proof, or everything; open questions about it are asked anew.
    pub fn revoke(&mut self, whom: Whom, out: &mut Actions) {
        let open: Vec<u64> = match whom {
            Whom::Address(address) => {
                if let Some(ports) = self.entries.remove(&address) {
                    self.count -= ports.len();
                }
                self.open.get(&address).cloned().unwrap_or_default()
            }
            Whom::Proof(hash) => {
                self.proofs.remove(&hash);
                self.negatives.remove(&hash);
                self.open_proofs.get(&hash).copied().into_iter().collect()
            }
            Whom::Everyone => {
                self.entries.clear();
                self.order.clear();
                self.count = 0;
                self.proofs.clear();
                self.negatives.clear();
                let mut all: Vec<u64> = self.flights.keys().copied().collect();
                all.sort_unstable();
                all
            }
        };
        for ticket in open {
            self.ask_anew(ticket, out);
        }
    }

    /// Gives an open question another ticket, so that the answer to the old one is ignored.
    fn ask_anew(&mut self, old: u64, out: &mut Actions) {
        let Some(flight) = self.flights.remove(&old) else {
            return;
        };
        self.tickets += 1;
        let ticket = self.tickets;
        match flight.key {
            Key::Peer { address, .. } => {
                for open in self.open.get_mut(&address).into_iter().flatten() {
                    if *open == old {
                        *open = ticket;
                    }
                }
            }
            Key::Proof(hash) => drop(self.open_proofs.insert(hash, ticket)),
        }
        for asker in &flight.askers {
            self.deadlines.push(Reverse((asker.deadline, ticket)));
        }
        if flight.askers.is_empty() {
            let give_up = MonoMicros(flight.born.0.saturating_add(FLIGHT_US_MAX));
            self.deadlines.push(Reverse((give_up, ticket)));
        }
        if self.connected {
            out.questions.extend(flight.question(ticket));
        }
        self.flights.insert(ticket, flight);
    }

    /// The link stands: what is still open is asked (again).
    pub fn connected(&mut self, out: &mut Actions) {
        self.link += 1;
        self.connected = true;
        let mut open: Vec<_> = self.flights.iter().collect();
        open.sort_by_key(|(ticket, _)| **ticket);
        out.questions.extend(
            open.into_iter()
                .filter_map(|(ticket, flight)| flight.question(*ticket)),
        );
    }

    /// The link is gone; questions that are open wait for the next one.
    pub fn disconnected(&mut self) {
        self.connected = false;
    }

    /// When [`Self::expire`] has something to do.
    #[must_use]
    pub fn next_deadline(&self) -> Option<MonoMicros> {
        self.deadlines.peek().map(|Reverse((deadline, _))| *deadline)
    }

    /// Answers those who have waited long enough and gives up questions that nobody waits for.
    pub fn expire(&mut self, now: MonoMicros, out: &mut Actions) {
        while let Some(Reverse((deadline, ticket))) = self.deadlines.peek().copied() {
            if deadline > now {
                break;
            }
            self.deadlines.pop();
            let Some(flight) = self.flights.get_mut(&ticket) else {
                continue;
            };
            let (late, waiting): (Vec<_>, Vec<_>) = flight.askers.drain(..).partition(|a| a.deadline <= now);
            let abandoned = waiting.is_empty() && now.since(flight.born) >= FLIGHT_US_MAX;
            let last = waiting.is_empty();
            let about_proof = matches!(flight.key, Key::Proof(_));
            flight.askers = waiting;
            self.askers -= late.len();
            if about_proof {
                self.proof_askers -= late.len();
            }
            for asker in late {
                let reply = self.fallback(&asker, now, RETRY_AFTER_S);
                out.replies.push(reply);
            }
            if abandoned {
                self.land(ticket);
            } else if last {
                let give_up = MonoMicros(now.0.saturating_add(FLIGHT_US_MAX));
                self.deadlines.push(Reverse((give_up, ticket)));
            }
        }
    }

    /// An answer that may still be used: of the port or of the whole address, or of the proof.
    fn entry(&self, key: Key, now: MonoMicros) -> Option<&Entry> {
        match key {
            Key::Peer { address, port } => {
                let ports = self.entries.get(&address)?;
                let valid = |key| ports.get(&key).filter(|e| now < e.valid_until);
                valid(Some(port)).or_else(|| valid(None))
            }
            Key::Proof(hash) => {
                let valid = |table: &'_ Table<[u8; 32], Entry>| {
                    table.peek(&hash).is_some_and(|e| now < e.valid_until)
                };
                if valid(&self.negatives) {
                    self.negatives.peek(&hash)
                } else {
                    self.proofs.peek(&hash).filter(|e| now < e.valid_until)
                }
            }
        }
    }

    fn fallback(&self, asker: &Asker, now: MonoMicros, retry_after_s: u32) -> Reply {
        match self.entry(asker.key, now) {
            Some(entry) => asker.reply(entry.answer.clone(), entry.valid_until),
            None => asker.reply(IdentityAnswer::Unavailable { retry_after_s }, now),
        }
    }

    /// Puts an asker to an open question, or opens one.
    fn wait(&mut self, asker: Asker, proof: Option<Proof>, now: MonoMicros, out: &mut Actions) {
        let ticket = match asker.key {
            Key::Peer { address, .. } => {
                let by_port = self
                    .entries
                    .get(&address)
                    .is_some_and(|ports| ports.keys().any(Option::is_some));
                let open = self.open.get(&address).map_or(&[][..], Vec::as_slice);
                let same_port = open
                    .iter()
                    .find(|t| self.flights.get(t).is_some_and(|f| f.key == asker.key));
                same_port.or_else(|| open.first().filter(|_| !by_port)).copied()
            }
            Key::Proof(hash) => self.open_proofs.get(&hash).copied(),
        };
        let ticket = ticket.unwrap_or_else(|| self.depart(asker.key, proof, now, out));
        if let Some(flight) = self.flights.get_mut(&ticket) {
            flight.askers.push(asker);
            self.askers += 1;
            if matches!(asker.key, Key::Proof(_)) {
                self.proof_askers += 1;
            }
        }
        self.deadlines.push(Reverse((asker.deadline, ticket)));
    }

    /// Opens a question.
    fn depart(&mut self, key: Key, proof: Option<Proof>, now: MonoMicros, out: &mut Actions) -> u64 {
        self.tickets += 1;
        let ticket = self.tickets;
        match key {
            Key::Peer { address, .. } => self.open.entry(address).or_default().push(ticket),
            Key::Proof(hash) => drop(self.open_proofs.insert(hash, ticket)),
        }
        let flight = Flight {
            key,
            proof,
            born: now,
            askers: Vec::new(),
        };
        if self.connected {
            out.questions.extend(flight.question(ticket));
        }
        self.flights.insert(ticket, flight);
        ticket
    }

    /// Closes a question; its askers are no longer counted.
    fn land(&mut self, ticket: u64) -> Option<Flight> {
        let flight = self.flights.remove(&ticket)?;
        self.askers -= flight.askers.len();
        match flight.key {
            Key::Peer { address, .. } => {
                if let Some(open) = self.open.get_mut(&address) {
                    open.retain(|t| *t != ticket);
                    if open.is_empty() {
                        self.open.remove(&address);
                    }
                }
            }
            Key::Proof(hash) => {
                self.proof_askers -= flight.askers.len();
                self.open_proofs.remove(&hash);
            }
        }
        Some(flight)
    }

    fn remember_proof(&mut self, hash: [u8; 32], answer: IdentityAnswer, valid_until: MonoMicros) {
        let good = matches!(answer, IdentityAnswer::Known { .. });
        let entry = Entry {
            answer,
            valid_until,
            link: self.link,
            stamp: 0,
        };
        let (to, from) = if good {
            (&mut self.proofs, &mut self.negatives)
        } else {
            (&mut self.negatives, &mut self.proofs)
        };
        from.remove(&hash);
        to.insert(hash, entry);
    }

    fn remember(
        &mut self,
        address: [u8; 16],
        port: Option<u16>,
        answer: IdentityAnswer,
        valid_until: MonoMicros,
    ) {
        self.stamps += 1;
        let entry = Entry {
            answer,
            valid_until,
            link: self.link,
            stamp: self.stamps,
        };
        self.order.push_back((self.stamps, address, port));
        let ports = self.entries.entry(address).or_default();
        if ports.insert(port, entry).is_none() {
            self.count += 1;
        }
        // The order also holds places that were since renewed or revoked; they are skipped, and cleared out
        // when they outnumber the living.
        while self.count > self.entries_max || self.order.len() > 2 * self.entries_max {
            let Some((stamp, address, port)) = self.order.pop_front() else {
                break;
            };
            let Some(ports) = self.entries.get_mut(&address) else {
                continue;
            };
            if ports.get(&port).is_some_and(|e| e.stamp == stamp) {
                ports.remove(&port);
                self.count -= 1;
                if ports.is_empty() {
                    self.entries.remove(&address);
                }
            }
        }
    }
}
