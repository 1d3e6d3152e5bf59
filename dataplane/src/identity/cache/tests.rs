//! The cache in virtual time.

use sluice_shared::snapshot::Secret;
use sluice_shared::wire::control::Principal;

use super::*;

const MS: u64 = 1_000;
const A: u8 = 1;
const B: u8 = 2;

/// Drives a cache in virtual time and tells what came out as words: `?TICKET@port` and `?TICKET#token` are questions
/// to the control plane, `TICKET=login`, `TICKET=unknown` and `TICKET=503` are answers to shards.
struct Sim {
    cache: IdentityCache,
    now: MonoMicros,
    tickets: u64,
}

fn hash(token: &str) -> [u8; 32] {
    let mut hash = [0; 32];
    hash.iter_mut()
        .zip(token.bytes())
        .for_each(|(to, byte)| *to = byte);
    hash
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
        let questions = actions.questions.iter().map(|question| match question {
            ToControl::WhoIs { ticket, port, .. } => format!("?{ticket}@{port}"),
            ToControl::Prove {
                ticket,
                proof: Proof::Bearer { token },
            } => format!("?{ticket}#{}", token.0),
            other => panic!("{other:?}"),
        });
        let replies = actions.replies.iter().map(|r| match &r.answer {
            IdentityAnswer::Known { principal, .. } => format!("{}={}", r.ticket, principal.login),
            IdentityAnswer::Unknown => format!("{}=unknown", r.ticket),
            IdentityAnswer::Refused { reason } => format!("{}!{reason}", r.ticket),
            IdentityAnswer::Foreign => format!("{}=foreign", r.ticket),
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
            key: Key::Peer {
                address: [address; 16],
                port,
            },
            proof: None,
        };
        self.step(|cache, now, out| cache.ask(question, now, out))
    }

    /// Shows a token, with the next ticket; its first bytes stand for its hash.
    fn show(&mut self, token: &str) -> String {
        self.tickets += 1;
        let question = Question {
            shard: 0,
            ticket: self.tickets,
            key: Key::Proof(hash(token)),
            proof: Some(Proof::Bearer {
                token: Secret(token.into()),
            }),
        };
        self.step(|cache, now, out| cache.ask(question, now, out))
    }

    fn say(&mut self, ticket: u64, answer: control::IdentityAnswer) -> String {
        self.step(|cache, now, out| cache.answered(ticket, answer, now, out))
    }

    fn refused(&mut self, ticket: u64) -> String {
        let reason = "revoked".into();
        self.say(
            ticket,
            control::IdentityAnswer::Refused {
                reason,
                age_ms_max: 10_000,
            },
        )
    }

    fn revoke(&mut self, whom: Whom) -> String {
        self.step(|cache, _, out| cache.revoke(whom, out))
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
    assert_eq!(sim.revoke(Whom::Address([A; 16])), "");
    assert_eq!(sim.cache.len(), 1);
    assert_eq!(sim.ask(A, 1), "?3@1");
    assert_eq!(sim.ask(B, 1), "104=bob");
    assert_eq!(sim.revoke(Whom::Everyone), "?4@1");
    assert!(sim.cache.is_empty());
    assert_eq!(sim.ask(B, 1), "?5@1");
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
        sim.revoke(Whom::Address([17; 16]));
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
            key: Key::Peer {
                address: (n as u128).to_be_bytes(),
                port: 1,
            },
            proof: None,
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

/// Red if a proof is asked for twice, or its answer is another's.
#[test]
fn a_proof_is_asked_for_once_and_every_answer_is_kept() {
    let mut sim = Sim::connected();
    assert_eq!(sim.show("good"), "?1#good");
    assert_eq!(sim.show("good"), "", "waits for the answer");
    assert_eq!(sim.show("bad"), "?2#bad");
    assert_eq!(sim.ask(A, 1), "?3@1");
    assert_eq!(sim.known(1, "alice", false, 1_000), "101=alice 102=alice");
    assert_eq!(sim.refused(2), "103!revoked");
    assert_eq!(sim.show("good"), "105=alice");
    assert_eq!(sim.show("bad"), "106!revoked");
    assert_eq!(sim.show("sk"), "?4#sk");
    let foreign = control::IdentityAnswer::Foreign { age_ms_max: 1_000 };
    assert_eq!(sim.say(4, foreign.clone()), "107=foreign");
    assert_eq!(sim.show("sk"), "108=foreign");
    assert_eq!(sim.say(3, foreign), "104=unknown", "no peer is foreign");
    let (proofs, negatives) = (sim.cache.proofs.len(), sim.cache.negatives.len());
    assert_eq!((proofs, negatives, sim.cache.len()), (1, 2, 4));
    sim.pass(1_000);
    assert_eq!(sim.show("good"), "?5#good", "too old");
    assert_eq!(sim.refused(5), "109!revoked");
    assert_eq!(sim.show("good"), "110!revoked", "the new answer");
    assert_eq!((sim.cache.proofs.len(), sim.cache.negatives.len()), (0, 3));
    assert_eq!((sim.cache.askers, sim.cache.proof_askers), (0, 0));
}

/// Red if made-up tokens push out a good one, or cost the control plane more than so many questions at a time, or
/// keep peers from being asked for.
#[test]
fn a_flood_of_made_up_tokens_costs_nobody_else() {
    let mut sim = Sim::connected();
    assert_eq!(sim.show("good"), "?1#good");
    sim.known(1, "alice", true, 3_600_000);
    let mut asked = 0;
    for n in 0..100_000 {
        let said = sim.show(&format!("bad{n}"));
        if let Some(question) = said.strip_prefix('?') {
            asked += 1;
            if n % 3 == 0 {
                let ticket = question.split('#').next().unwrap().parse().unwrap();
                sim.refused(ticket);
            }
        } else {
            assert!(said.ends_with("=503"), "{said}");
        }
        assert!(sim.cache.open_proofs.len() <= PROOF_FLIGHTS_MAX);
        assert!(sim.cache.negatives.len() <= NEGATIVES_MAX);
    }
    assert!(asked < 3 * PROOF_FLIGHTS_MAX, "{asked}");
    assert!(sim.show("good").ends_with("=alice"));
    assert!(sim.ask(A, 1).starts_with('?'), "peers are still asked for");
    // Those who wait for one proof are bounded, too.
    let mut sim = Sim::connected();
    sim.show("one");
    for _ in 1..PROOF_ASKERS_MAX {
        assert_eq!(sim.show("one"), "");
    }
    assert!(sim.show("one").ends_with("=503"));
    assert_eq!(
        sim.known(1, "alice", true, 1_000).matches("alice").count(),
        PROOF_ASKERS_MAX
    );
    assert_eq!((sim.cache.askers, sim.cache.proof_askers), (0, 0));
}

/// Red if 100,000 principals do not fit, by address or by token.
#[test]
fn a_hundred_thousand_principals_fit() {
    let mut sim = Sim::connected();
    for n in 0..100_000_u64 {
        let token = format!("t{n}");
        sim.show(&token);
        sim.known(2 * n + 1, "x", true, 60_000);
        let question = Question {
            shard: 0,
            ticket: 0,
            key: Key::Peer {
                address: u128::from(n).to_be_bytes(),
                port: 1,
            },
            proof: None,
        };
        sim.step(|cache, now, out| cache.ask(question, now, out));
        sim.known(2 * n + 2, "x", true, 60_000);
    }
    assert_eq!(sim.cache.len(), 200_000);
    assert!(sim.show("t0").ends_with("=x"));
}

/// Red if an answer that was on its way when its subject was revoked is believed.
#[test]
fn an_answer_on_its_way_is_not_believed_after_a_revocation() {
    let mut sim = Sim::connected();
    assert_eq!(sim.show("good"), "?1#good");
    assert_eq!(sim.ask(A, 1), "?2@1");
    assert_eq!(sim.ask(B, 1), "?3@1");
    assert_eq!(sim.revoke(Whom::Proof(hash("good"))), "?4#good");
    assert_eq!(sim.known(1, "alice", true, 1_000), "", "the old question");
    assert_eq!(sim.refused(4), "101!revoked");
    assert_eq!(sim.revoke(Whom::Address([A; 16])), "?5@1");
    assert_eq!(sim.known(2, "alice", true, 1_000), "");
    assert_eq!(sim.ask(A, 2), "", "still one question for the address");
    assert_eq!(sim.unknown(5, 1_000), "?6@2 102=unknown");
    assert_eq!(sim.revoke(Whom::Everyone), "?7@1 ?8@2");
    assert_eq!(sim.pass(500), "103=503 104=503", "patience goes on");
    sim.pass(FLIGHT_US_MAX / MS);
    assert!(sim.cache.flights.is_empty() && sim.cache.open.is_empty());
    assert_eq!(sim.cache.next_deadline(), None);
}

/// Red if a proof's question is lost with the link, or a gap lets a revoked token be used unasked.
#[test]
fn proofs_obey_the_rules_of_the_gap() {
    let mut sim = Sim::connected();
    sim.show("good");
    sim.known(1, "alice", true, 10_000);
    sim.cache.disconnected();
    assert_eq!(sim.show("good"), "102=alice");
    assert_eq!(sim.show("new"), "");
    assert_eq!(sim.step(|cache, _, out| cache.connected(out)), "?2#new");
    assert_eq!(sim.show("good"), "?3#good", "a revocation may have been missed");
    assert_eq!(sim.refused(3), "104!revoked");
    assert_eq!(sim.known(2, "bob", true, 1_000), "103=bob");
}
