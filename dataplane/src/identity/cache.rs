//! The cache and its open questions, as a state machine: questions, answers and time in, replies and questions out.
//!
//! - An answer holds for one `address:port`, or for the whole address where the control plane says so. It is used
//!   until its age limit, counted from the moment it was given; the control plane being away changes nothing.
//! - After a gap in the link, revocations may have been missed: what was learnt before the gap is asked for again
//!   and serves only if no answer comes in time.
//! - One question per peer is open at a time. While the first question about an address is open, the other ports
//!   of that address wait for it, for its answer usually holds for them too; if it does not, each is asked for.
//! - A question that waits longer than the patience is answered [`IdentityAnswer::Unavailable`]; an answer that comes
//!   later still fills the cache.
//! - Everything is bounded: entries by age of insertion, waiting questions by refusal.

use std::cmp::Reverse;
use std::collections::{BinaryHeap, HashMap, VecDeque};
use std::sync::Arc;

use sluice_shared::units::MonoMicros;
use sluice_shared::wire::control;

use super::{IdentityAnswer, Question};

/// Answers that are remembered at most; the oldest goes first.
pub const ENTRIES_MAX: usize = 65_536;
/// Questions of shards that wait for an answer at most, and questions to the control plane that are open at most.
pub const ASKERS_MAX: usize = 16_384;
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
    pub questions: Vec<WhoIs>,
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

/// A question for the control plane.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct WhoIs {
    /// Number of the question, returned with the answer.
    pub ticket: u64,
    /// Address of the peer.
    pub address: [u8; 16],
    /// Port of the peer.
    pub port: u16,
}

/// See the module.
#[derive(Debug)]
pub struct IdentityCache {
    entries: HashMap<[u8; 16], HashMap<Option<u16>, Entry>>,
    order: VecDeque<(u64, [u8; 16], Option<u16>)>,
    entries_max: usize,
    count: usize,
    stamps: u64,
    flights: HashMap<u64, Flight>,
    open: HashMap<[u8; 16], Vec<u64>>,
    deadlines: BinaryHeap<Reverse<(MonoMicros, u64)>>,
    askers: usize,
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
    address: [u8; 16],
    port: u16,
    born: MonoMicros,
    askers: Vec<Asker>,
}

#[derive(Debug)]
struct Asker {
    question: Question,
    deadline: MonoMicros,
}

impl Default for IdentityCache {
    fn default() -> Self {
        Self::new(ENTRIES_MAX)
    }
}

impl IdentityCache {
    /// An empty cache for at most this many answers, with 500 ms of patience and no age limit of its own.
    #[must_use]
    pub fn new(entries_max: usize) -> Self {
        Self {
            entries: HashMap::new(),
            order: VecDeque::new(),
            entries_max: entries_max.max(1),
            count: 0,
            stamps: 0,
            flights: HashMap::new(),
            open: HashMap::new(),
            deadlines: BinaryHeap::new(),
            askers: 0,
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
        self.count
    }

    /// Whether nothing is remembered.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.count == 0
    }

    /// A shard asks.
    pub fn ask(&mut self, question: Question, now: MonoMicros, out: &mut Actions) {
        if let Some(entry) = self.entry(question.address, question.port, now)
            && (!self.connected || entry.link == self.link)
        {
            out.replies.push(reply(question, entry));
            return;
        }
        if self.askers >= ASKERS_MAX || self.flights.len() >= ASKERS_MAX {
            let answer = self.fallback(question, now, RETRY_AFTER_S);
            out.replies.push(answer);
            return;
        }
        let deadline = MonoMicros(now.0.saturating_add(self.patience_us));
        self.wait(Asker { question, deadline }, now, out);
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
        let (answer, age_ms) = match answer {
            control::IdentityAnswer::Known {
                principal,
                whole_address,
                age_ms_max,
            } => {
                let principal = Arc::new(principal);
                (
                    IdentityAnswer::Known {
                        principal,
                        whole_address,
                    },
                    age_ms_max,
                )
            }
            control::IdentityAnswer::Unknown { age_ms_max }
            | control::IdentityAnswer::Refused { age_ms_max, .. }
            | control::IdentityAnswer::Foreign { age_ms_max } => (IdentityAnswer::Unknown, age_ms_max),
            control::IdentityAnswer::Unavailable { retry_after_s } => {
                for asker in flight.askers {
                    let reply = self.fallback(asker.question, now, retry_after_s);
                    out.replies.push(reply);
                }
                return;
            }
        };
        let whole_address = matches!(
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
            if whole_address || asker.question.port == flight.port {
                out.replies.push(Reply {
                    shard: asker.question.shard,
                    ticket: asker.question.ticket,
                    answer: answer.clone(),
                    valid_until,
                });
            } else {
                others.push(asker);
            }
        }
        let port = (!whole_address).then_some(flight.port);
        self.remember(flight.address, port, answer, valid_until);
        for asker in others {
            self.wait(asker, now, out);
        }
    }

    /// Forgets an address, or everything.
    pub fn revoke(&mut self, address: Option<[u8; 16]>) {
        match address {
            Some(address) => {
                if let Some(ports) = self.entries.remove(&address) {
                    self.count -= ports.len();
                }
            }
            None => {
                self.entries.clear();
                self.order.clear();
                self.count = 0;
            }
        }
    }

    /// The link stands: what is still open is asked (again).
    pub fn connected(&mut self, out: &mut Actions) {
        self.link += 1;
        self.connected = true;
        out.questions
            .extend(self.flights.iter().map(|(ticket, flight)| WhoIs {
                ticket: *ticket,
                address: flight.address,
                port: flight.port,
            }));
        out.questions.sort_by_key(|q| q.ticket);
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
            flight.askers = waiting;
            self.askers -= late.len();
            for asker in late {
                let reply = self.fallback(asker.question, now, RETRY_AFTER_S);
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

    /// An answer that may still be used, of the port or of the whole address.
    fn entry(&self, address: [u8; 16], port: u16, now: MonoMicros) -> Option<&Entry> {
        let ports = self.entries.get(&address)?;
        let valid = |key| ports.get(&key).filter(|e| now < e.valid_until);
        valid(Some(port)).or_else(|| valid(None))
    }

    fn fallback(&self, question: Question, now: MonoMicros, retry_after_s: u32) -> Reply {
        match self.entry(question.address, question.port, now) {
            Some(entry) => reply(question, entry),
            None => Reply {
                shard: question.shard,
                ticket: question.ticket,
                answer: IdentityAnswer::Unavailable { retry_after_s },
                valid_until: now,
            },
        }
    }

    /// Puts an asker to an open question, or opens one.
    fn wait(&mut self, asker: Asker, now: MonoMicros, out: &mut Actions) {
        let Question { address, port, .. } = asker.question;
        let by_port = self
            .entries
            .get(&address)
            .is_some_and(|ports| ports.keys().any(Option::is_some));
        let open = self.open.get(&address).map_or(&[][..], Vec::as_slice);
        let same_port = open
            .iter()
            .find(|t| self.flights.get(t).is_some_and(|f| f.port == port));
        let ticket = same_port.or_else(|| open.first().filter(|_| !by_port)).copied();
        let asker_deadline = asker.deadline;
        let ticket = match ticket {
            Some(ticket) => ticket,
            None => {
                self.tickets += 1;
                let ticket = self.tickets;
                self.open.entry(address).or_default().push(ticket);
                let flight = Flight {
                    address,
                    port,
                    born: now,
                    askers: Vec::new(),
                };
                self.flights.insert(ticket, flight);
                if self.connected {
                    out.questions.push(WhoIs {
                        ticket,
                        address,
                        port,
                    });
                }
                ticket
            }
        };
        if let Some(flight) = self.flights.get_mut(&ticket) {
            flight.askers.push(asker);
            self.askers += 1;
        }
        self.deadlines.push(Reverse((asker_deadline, ticket)));
    }

    /// Closes a question; its askers are no longer counted.
    fn land(&mut self, ticket: u64) -> Option<Flight> {
        let flight = self.flights.remove(&ticket)?;
        self.askers -= flight.askers.len();
        if let Some(open) = self.open.get_mut(&flight.address) {
            open.retain(|t| *t != ticket);
            if open.is_empty() {
                self.open.remove(&flight.address);
            }
        }
        Some(flight)
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

fn reply(question: Question, entry: &Entry) -> Reply {
    Reply {
        shard: question.shard,
        ticket: question.ticket,
        answer: entry.answer.clone(),
        valid_until: entry.valid_until,
    }
}

#[cfg(test)]
mod tests {
    use sluice_shared::wire::control::Principal;

    use super::*;

    const MS: u64 = 1_000;
    const A: u8 = 1;
    const B: u8 = 2;

    /// Drives a cache in virtual time and tells what came out as words: `?TICKET@port` is a question to the control
    /// plane, `TICKET=login`, `TICKET=unknown` and `TICKET=503` are answers to shards.
    struct Sim {
        cache: IdentityCache,
        now: MonoMicros,
        tickets: u64,
    }

    impl Sim {
        fn connected() -> Self {
            let mut sim = Self::away();
            assert_eq!(sim.step(|cache, _, out| cache.connected(out)), "");
            sim
        }

        fn away() -> Self {
            Self {
                cache: IdentityCache::default(),
                now: MonoMicros(1_000_000),
                tickets: 100,
            }
        }

        fn step(&mut self, act: impl FnOnce(&mut IdentityCache, MonoMicros, &mut Actions)) -> String {
            let mut actions = Actions::default();
            act(&mut self.cache, self.now, &mut actions);
            let questions = actions
                .questions
                .iter()
                .map(|q| format!("?{}@{}", q.ticket, q.port));
            let replies = actions.replies.iter().map(|r| match &r.answer {
                IdentityAnswer::Known { principal, .. } => format!("{}={}", r.ticket, principal.login),
                IdentityAnswer::Unknown => format!("{}=unknown", r.ticket),
                IdentityAnswer::Unavailable { .. } => format!("{}=503", r.ticket),
            });
            questions.chain(replies).collect::<Vec<_>>().join(" ")
        }

        /// Asks with the next ticket, from 101.
        fn ask(&mut self, address: u8, port: u16) -> String {
            self.tickets += 1;
            let question = Question {
                shard: 0,
                ticket: self.tickets,
                address: [address; 16],
                port,
            };
            self.step(|cache, now, out| cache.ask(question, now, out))
        }

        fn known(&mut self, ticket: u64, login: &str, whole_address: bool, age_ms_max: u64) -> String {
            let principal = Principal {
                login: login.into(),
                ..Principal::default()
            };
            let answer = control::IdentityAnswer::Known {
                principal,
                whole_address,
                age_ms_max,
            };
            self.step(|cache, now, out| cache.answered(ticket, answer, now, out))
        }

        fn unknown(&mut self, ticket: u64, age_ms_max: u64) -> String {
            let answer = control::IdentityAnswer::Unknown { age_ms_max };
            self.step(|cache, now, out| cache.answered(ticket, answer, now, out))
        }

        fn pass(&mut self, ms: u64) -> String {
            self.now.0 += ms * MS;
            self.step(|cache, now, out| cache.expire(now, out))
        }
    }

    #[test]
    fn a_whole_address_is_asked_for_once() {
        let mut sim = Sim::connected();
        assert_eq!(sim.ask(A, 1), "?1@1");
        assert_eq!(sim.ask(A, 2), "", "waits for the answer about its address");
        assert_eq!(sim.ask(B, 1), "?2@1", "another address does not");
        assert_eq!(sim.known(1, "alice", true, 1_000), "101=alice 102=alice");
        assert_eq!(sim.ask(A, 3), "104=alice");
        assert_eq!(sim.known(1, "mallory", true, 1_000), "", "answered already");
        assert_eq!(sim.known(99, "mallory", true, 1_000), "", "never asked");
        assert_eq!(sim.ask(A, 4), "105=alice");
    }

    #[test]
    fn where_ports_differ_each_is_asked_for() {
        let mut sim = Sim::connected();
        assert_eq!(sim.ask(A, 1), "?1@1");
        assert_eq!(sim.ask(A, 2), "");
        assert_eq!(sim.ask(A, 2), "");
        assert_eq!(sim.known(1, "alice", false, 1_000), "?2@2 101=alice");
        assert_eq!(sim.ask(A, 3), "?3@3", "the address is known to differ by port");
        assert_eq!(sim.known(2, "bob", false, 1_000), "102=bob 103=bob");
        assert_eq!(sim.unknown(3, 1_000), "104=unknown");
        assert_eq!(sim.ask(A, 1), "105=alice");
        assert_eq!(sim.ask(A, 3), "106=unknown", "a miss is remembered");
    }

    #[test]
    fn an_answer_ages_from_when_it_was_given() {
        let mut sim = Sim::connected();
        sim.ask(A, 1);
        sim.known(1, "alice", true, 1_000);
        sim.pass(999);
        assert_eq!(sim.ask(A, 1), "102=alice");
        sim.pass(1);
        assert_eq!(sim.ask(A, 1), "?2@1");
        sim.cache.configure(500, 100);
        sim.known(2, "alice", true, 1_000);
        sim.pass(100);
        assert_eq!(sim.ask(A, 1), "?3@1", "the configuration allows less age");
    }

    #[test]
    fn who_waits_too_long_is_told_so_and_the_late_answer_is_kept() {
        let mut sim = Sim::connected();
        assert_eq!(sim.ask(A, 1), "?1@1");
        assert_eq!(sim.pass(300), "");
        assert_eq!(sim.ask(A, 1), "", "the question is open");
        assert_eq!(sim.pass(199), "");
        assert_eq!(sim.pass(1), "101=503");
        assert_eq!(sim.pass(299), "");
        assert_eq!(sim.pass(1), "102=503", "each by its own patience");
        assert_eq!(sim.ask(A, 1), "");
        assert_eq!(sim.known(1, "alice", true, 1_000), "103=alice");
        assert_eq!(sim.ask(A, 1), "104=alice");
    }

    #[test]
    fn a_question_that_nobody_waits_for_is_given_up_and_asked_anew() {
        let mut sim = Sim::connected();
        sim.ask(A, 1);
        assert_eq!(sim.pass(500), "101=503");
        sim.pass(FLIGHT_US_MAX / MS);
        assert_eq!(sim.cache.next_deadline(), None, "nothing is left");
        assert!(sim.cache.flights.is_empty() && sim.cache.open.is_empty());
        assert_eq!(sim.ask(A, 1), "?2@1");
    }

    #[test]
    fn without_a_control_plane_the_known_are_served_and_others_wait_for_it() {
        let mut sim = Sim::connected();
        sim.ask(A, 1);
        sim.known(1, "alice", true, 10_000);
        sim.cache.disconnected();
        sim.pass(9_999);
        assert_eq!(sim.ask(A, 1), "102=alice");
        assert_eq!(sim.ask(B, 1), "", "asked when the link stands again");
        assert_eq!(sim.step(|cache, _, out| cache.connected(out)), "?2@1");
        assert_eq!(sim.known(2, "bob", true, 1_000), "103=bob");
        sim.cache.disconnected();
        sim.pass(1);
        assert_eq!(sim.ask(A, 1), "", "too old");
        assert_eq!(sim.pass(500), "104=503");
    }

    #[test]
    fn after_a_gap_old_answers_are_confirmed_and_serve_only_if_nobody_answers() {
        let mut sim = Sim::connected();
        sim.ask(A, 1);
        sim.known(1, "alice", true, 10_000);
        sim.cache.disconnected();
        sim.step(|cache, _, out| cache.connected(out));
        assert_eq!(sim.ask(A, 1), "?2@1", "a revocation may have been missed");
        assert_eq!(sim.pass(500), "102=alice");
        assert_eq!(sim.ask(A, 1), "");
        let down = control::IdentityAnswer::Unavailable { retry_after_s: 9 };
        assert_eq!(
            sim.step(|cache, now, out| cache.answered(2, down, now, out)),
            "103=alice"
        );
        assert_eq!(sim.ask(A, 1), "?3@1");
        assert_eq!(sim.unknown(3, 1_000), "104=unknown");
        assert_eq!(
            sim.ask(A, 1),
            "105=unknown",
            "the new answer, not the old one of the address"
        );
    }

    #[test]
    fn what_is_revoked_is_forgotten() {
        let mut sim = Sim::connected();
        sim.ask(A, 1);
        sim.known(1, "alice", true, 10_000);
        sim.ask(B, 1);
        sim.known(2, "bob", false, 10_000);
        sim.cache.revoke(Some([A; 16]));
        assert_eq!(sim.cache.len(), 1);
        assert_eq!(sim.ask(A, 1), "?3@1");
        assert_eq!(sim.ask(B, 1), "104=bob");
        sim.cache.revoke(None);
        assert!(sim.cache.is_empty());
        assert_eq!(sim.ask(B, 1), "?4@1");
    }

    #[test]
    fn the_oldest_answers_make_room_and_counts_stay_true() {
        let mut sim = Sim::connected();
        sim.cache = IdentityCache::new(8);
        sim.step(|cache, _, out| cache.connected(out));
        for round in 0..10_u64 {
            for n in 0..20_u8 {
                let asked = sim.ask(n, u16::from(n) % 3);
                if let Some(ticket) = asked.strip_prefix('?') {
                    let ticket = ticket.split('@').next().unwrap().parse().unwrap();
                    sim.known(ticket, "x", (u64::from(n) + round).is_multiple_of(2), 60_000);
                }
                let counted: usize = sim.cache.entries.values().map(HashMap::len).sum();
                assert_eq!((sim.cache.len(), counted <= 8), (counted, true));
                assert!(sim.cache.order.len() <= 16);
            }
            sim.cache.revoke(Some([17; 16]));
        }
        assert_eq!(sim.cache.askers, 0);
    }

    #[test]
    fn too_many_questions_are_refused_at_once() {
        let mut sim = Sim::connected();
        for n in 0..ASKERS_MAX {
            sim.tickets += 1;
            let question = Question {
                shard: 0,
                ticket: 0,
                address: (n as u128).to_be_bytes(),
                port: 1,
            };
            assert!(
                sim.step(|cache, now, out| cache.ask(question, now, out))
                    .starts_with('?')
            );
        }
        assert!(sim.ask(0xff, 1).ends_with("=503"));
        let mut late = Actions::default();
        sim.now.0 += 500 * MS;
        sim.cache.expire(sim.now, &mut late);
        assert_eq!((late.replies.len(), sim.cache.askers), (ASKERS_MAX, 0));
    }
}
