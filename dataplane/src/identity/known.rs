//! What a shard remembers of who calls: answers about addresses and proofs, and the policies compiled from them.
//!
//! A request is looked up by plain values ([`Facts`]); the result is a policy, a refusal, or the one question that is
//! still open. A hit, on a connection seen before or on a new one, costs no allocation, no system call and no message:
//! a hash of the credential, if there is one, and a look into at most three tables.

use std::rc::Rc;
use std::sync::Arc;

use sluice_shared::snapshot::BearerMode;
use sluice_shared::units::MonoMicros;
use sluice_shared::wire::control::Principal;

use super::combine::{Bearer, Certificate, Connection, Outcome, combine};
use super::facts::{Basis, Facts, Hash, Rules, Served, unknown_on_every_port};
use super::narrow::narrowed;
use super::table::Table;
use super::{IdentityAnswer, Key};
use crate::config::Config;
use crate::limits;
use crate::policy::Policy;

#[cfg(test)]
mod tests;

/// An answer and until when it holds.
pub(crate) type Dated = (IdentityAnswer, MonoMicros);

/// Answers that this request got, whether or not the tables have kept them.
#[derive(Debug, Default)]
pub(crate) struct Learnt {
    pub(crate) connection: Option<Dated>,
    pub(crate) bearer: Option<Dated>,
}

/// What looking up came to.
pub(crate) enum Step {
    Done(Resolved),
    /// Somebody has to be asked about the connection.
    AskConnection(Key),
    /// Or about the credential.
    AskBearer(Key),
}

/// Who the caller is, or why nobody.
pub(crate) enum Resolved {
    Known(Caller),
    Unknown,
    ConnectionRefused(&'static str),
    CredentialRefused(Arc<str>),
    Conflict {
        connection: Arc<Principal>,
        bearer: Arc<Principal>,
    },
    Unavailable {
        retry_after_s: u32,
    },
}

/// A caller that is known.
#[derive(Clone)]
pub(crate) struct Caller {
    pub(crate) policy: Rc<Policy>,
    /// From then on it must be asked for again.
    pub(crate) valid_until: MonoMicros,
    /// What it rests on.
    pub(crate) basis: Basis,
    /// The credential is one of ours, which nobody else may see.
    pub(crate) own_credential: bool,
}

struct Peer {
    principal: Arc<Principal>,
    valid_until: MonoMicros,
    era: u64,
    policy: Option<Rc<Policy>>,
}

/// A policy that does not rest on the address alone, and what it was made from.
struct Combined {
    connection: Option<Arc<Principal>>,
    bearer: Option<Arc<Principal>>,
    policy: Rc<Policy>,
}

/// See the module.
pub(crate) struct Known {
    peers: Table<[u8; 16], Peer>,
    /// Addresses that nobody knows, until when.
    strangers: Table<[u8; 16], (MonoMicros, u64)>,
    proofs: Table<Hash, (Dated, u64)>,
    /// Proofs that prove nothing; of their own, so that made-up ones push out no good one.
    negatives: Table<Hash, (Dated, u64)>,
    policies: Table<([u8; 16], Hash), Combined>,
    /// What was learnt in an earlier era is forgotten. So forgetting everybody takes no time, however many they are.
    era: u64,
}

/// What the connection proves, and by what.
struct Connected {
    principal: Result<Arc<Principal>, Connection<'static>>,
    valid_until: MonoMicros,
    by: By,
}

#[derive(Clone, Copy)]
enum By {
    Nothing,
    Address,
    /// The address at this port only.
    Port,
    Served(Hash),
    Certificate,
}

const FOREVER: MonoMicros = MonoMicros(u64::MAX);

impl Known {
    pub(crate) fn new() -> Self {
        Self {
            peers: Table::new(limits::KNOWN_PEERS_MAX),
            strangers: Table::new(limits::KNOWN_NOBODIES_MAX),
            proofs: Table::new(limits::KNOWN_PROOFS_MAX),
            negatives: Table::new(limits::KNOWN_NOBODIES_MAX),
            policies: Table::new(limits::KNOWN_PROOFS_MAX),
            era: 0,
        }
    }

    /// Takes an answer to a question down.
    pub(crate) fn learn(&mut self, key: Key, answer: &IdentityAnswer, valid_until: MonoMicros) {
        let era = self.era;
        match (key, answer) {
            (_, IdentityAnswer::Unavailable { .. }) => {}
            (
                Key::Peer { address, .. },
                IdentityAnswer::Known {
                    principal,
                    whole_address: true,
                },
            ) => {
                self.strangers.remove(&address);
                // The same principal keeps its policy.
                let same = self
                    .peers
                    .remove(&address)
                    .filter(|peer| peer.principal == *principal);
                let peer = Peer {
                    principal: principal.clone(),
                    valid_until,
                    era,
                    policy: same.and_then(|peer| peer.policy),
                };
                self.peers.insert(address, peer);
            }
            (Key::Peer { address, .. }, IdentityAnswer::Unknown) => {
                self.peers.remove(&address);
                if unknown_on_every_port(address) {
                    self.strangers.insert(address, (valid_until, era));
                }
            }
            (Key::Peer { .. }, _) => {}
            (Key::Proof(hash), IdentityAnswer::Known { .. }) => {
                self.negatives.remove(&hash);
                self.proofs.insert(hash, ((answer.clone(), valid_until), era));
            }
            (
                Key::Proof(hash),
                IdentityAnswer::Unknown | IdentityAnswer::Refused { .. } | IdentityAnswer::Foreign,
            ) => {
                self.proofs.remove(&hash);
                self.negatives.insert(hash, ((answer.clone(), valid_until), era));
            }
        }
    }

    /// Forgets what is known about an address.
    pub(crate) fn forget_address(&mut self, address: &[u8; 16]) {
        self.peers.remove(address);
        self.strangers.remove(address);
    }

    /// Forgets what is known about a proof.
    pub(crate) fn forget_proof(&mut self, hash: &Hash) {
        self.proofs.remove(hash);
        self.negatives.remove(hash);
    }

    /// Forgets everything. Compiled policies stay; they are used only with principals that are proven anew.
    pub(crate) fn forget_everyone(&mut self) {
        self.era = self.era.wrapping_add(1);
    }

    fn proof(&mut self, hash: &Hash, now: MonoMicros) -> Option<Dated> {
        let era = self.era;
        let valid = |(dated, learnt): &&mut (Dated, u64)| now < dated.1 && *learnt == era;
        if let Some((known, _)) = self.proofs.get(hash).filter(valid) {
            return Some(known.clone());
        }
        self.negatives
            .get(hash)
            .filter(valid)
            .map(|(known, _)| known.clone())
    }

    /// Looks a request up.
    pub(crate) fn resolve(
        &mut self,
        config: &Config,
        facts: &Facts<'_>,
        learnt: &Learnt,
        now: MonoMicros,
    ) -> Step {
        let rules = Rules::of(&config.identity);
        let bearer = match &facts.bearer {
            None => None,
            Some(token) => {
                let known = learnt.bearer.clone().or_else(|| self.proof(&token.hash, now));
                match known {
                    None => return Step::AskBearer(Key::Proof(token.hash)),
                    Some(known) => Some((token.hash, known)),
                }
            }
        };
        let shown = match &bearer {
            None => Bearer::Absent,
            Some((_, (answer, _))) => shown(answer),
        };
        let decided = match (shown, &facts.served) {
            // Whatever the connection proves, the outcome is the same: it need not be asked about.
            (Bearer::Refused, _) => Some(Connection::Unknown),
            (_, Served::Refused(_)) => Some(Connection::Refused),
            (Bearer::Known(_), _) if rules.mode == BearerMode::Replace => Some(Connection::Unknown),
            _ => None,
        };
        let connected = match decided {
            Some(proven) => Connected {
                principal: Err(proven),
                valid_until: FOREVER,
                by: By::Nothing,
            },
            None => match self.connection(rules, facts, learnt, now) {
                Ok(connected) => connected,
                Err(key) => return Step::AskConnection(key),
            },
        };
        let proven = match &connected.principal {
            Ok(principal) => Connection::Known(&principal.login),
            Err(other) => *other,
        };
        let outcome = combine(proven, shown, rules.mode);
        Step::Done(self.finish(config, facts, outcome, connected, bearer))
    }

    /// What the connection proves; an error is the question that is open.
    fn connection(
        &mut self,
        rules: Rules,
        facts: &Facts<'_>,
        learnt: &Learnt,
        now: MonoMicros,
    ) -> Result<Connected, Key> {
        let certificate = match (facts.certificate, rules.mtls) {
            (Some((_, until)), Some(first)) if now < until => {
                if first {
                    Certificate::First
                } else {
                    Certificate::Last
                }
            }
            _ => Certificate::Absent,
        };
        let certified = |or: Connected| match facts.certificate {
            Some((principal, until)) => Connected {
                principal: Ok(principal.clone()),
                valid_until: until.min(or.valid_until),
                by: By::Certificate,
            },
            None => or,
        };
        let nobody = |valid_until| Connected {
            principal: Err(Connection::Unknown),
            valid_until,
            by: By::Nothing,
        };
        if certificate == Certificate::First {
            return Ok(certified(nobody(FOREVER)));
        }
        let otherwise = match &facts.served {
            Served::Nobody | Served::Refused(_) => nobody(FOREVER),
            Served::User { hash, .. } => {
                let answer = learnt.connection.clone().or_else(|| self.proof(hash, now));
                connected(answer.ok_or(Key::Proof(*hash))?, By::Served(*hash))
            }
            Served::NotHere if !rules.by_address => nobody(FOREVER),
            Served::NotHere => match &learnt.connection {
                Some(answer) => connected(answer.clone(), By::Address),
                None => self.peer(facts, now)?,
            },
        };
        let unknown = matches!(otherwise.principal, Err(Connection::Unknown));
        Ok(if certificate.counts(|| unknown) {
            certified(otherwise)
        } else {
            otherwise
        })
    }

    fn peer(&mut self, facts: &Facts<'_>, now: MonoMicros) -> Result<Connected, Key> {
        let era = self.era;
        if let Some(peer) = self
            .peers
            .get(&facts.address)
            .filter(|peer| now < peer.valid_until && peer.era == era)
        {
            return Ok(Connected {
                principal: Ok(peer.principal.clone()),
                valid_until: peer.valid_until,
                by: By::Address,
            });
        }
        let known_stranger = self
            .strangers
            .get(&facts.address)
            .filter(|(until, learnt)| now < *until && *learnt == era);
        match known_stranger {
            Some((until, _)) => Ok(Connected {
                principal: Err(Connection::Unknown),
                valid_until: *until,
                by: By::Nothing,
            }),
            None => Err(Key::Peer {
                address: facts.address,
                port: facts.port,
            }),
        }
    }

    fn finish(
        &mut self,
        config: &Config,
        facts: &Facts<'_>,
        outcome: Outcome,
        connected: Connected,
        bearer: Option<(Hash, Dated)>,
    ) -> Resolved {
        let own_credential = bearer
            .as_ref()
            .is_some_and(|(_, (answer, _))| *answer != IdentityAnswer::Foreign);
        let bearer_until = bearer.as_ref().map_or(FOREVER, |(_, (_, until))| *until);
        let address = facts.address;
        let mut basis = Basis::default();
        if matches!(outcome, Outcome::Connection | Outcome::Narrowed) {
            match connected.by {
                By::Address | By::Port => basis.address = true,
                By::Served(hash) => basis.served = Some(hash),
                By::Certificate | By::Nothing => {}
            }
        }
        if let (Outcome::Narrowed | Outcome::Bearer, Some((hash, _))) = (outcome, &bearer) {
            basis.bearer = Some(*hash);
        }
        let connection = connected.principal.as_ref().ok();
        let token = match &bearer {
            Some((hash, (IdentityAnswer::Known { principal, .. }, _))) => Some((hash, principal)),
            _ => None,
        };
        let policy = match (outcome, connection, token) {
            (Outcome::Connection, Some(principal), _) => match connected.by {
                By::Address => self.peer_policy(config, address, principal),
                By::Served(hash) => self.combined(config, address, hash, Some(principal), None),
                By::Port | By::Certificate | By::Nothing => {
                    Rc::new(Policy::compile(config, principal.clone(), address))
                }
            },
            (Outcome::Narrowed, Some(principal), Some((hash, bearer))) => {
                self.combined(config, address, *hash, Some(principal), Some(bearer))
            }
            (Outcome::Bearer, _, Some((hash, bearer))) => {
                self.combined(config, address, *hash, None, Some(bearer))
            }
            (Outcome::Conflict, Some(connection), Some((_, bearer))) => {
                return Resolved::Conflict {
                    connection: connection.clone(),
                    bearer: bearer.clone(),
                };
            }
            (Outcome::CredentialRefused, ..) => {
                let reason = match bearer {
                    Some((_, (IdentityAnswer::Refused { reason }, _))) => reason,
                    _ => "".into(),
                };
                return Resolved::CredentialRefused(reason);
            }
            (Outcome::ConnectionRefused, ..) => {
                return Resolved::ConnectionRefused(match facts.served {
                    Served::Refused(why) => why,
                    _ => "the connection is refused",
                });
            }
            (Outcome::Unavailable(retry_after_s), ..) => return Resolved::Unavailable { retry_after_s },
            (
                Outcome::Unknown
                | Outcome::Connection
                | Outcome::Narrowed
                | Outcome::Bearer
                | Outcome::Conflict,
                ..,
            ) => return Resolved::Unknown,
        };
        Resolved::Known(Caller {
            policy,
            valid_until: connected.valid_until.min(bearer_until),
            basis,
            own_credential,
        })
    }

    /// The policy of a principal that the address alone proves.
    fn peer_policy(&mut self, config: &Config, address: [u8; 16], principal: &Arc<Principal>) -> Rc<Policy> {
        let compile = || Rc::new(Policy::compile(config, principal.clone(), address));
        match self
            .peers
            .get(&address)
            .filter(|peer| peer.principal == *principal)
        {
            Some(peer) => match &peer.policy {
                Some(policy) if policy.epoch == config.epoch => policy.clone(),
                _ => peer.policy.insert(compile()).clone(),
            },
            None => compile(),
        }
    }

    /// The policy of a principal that a proof proves, alone or beside the connection's.
    fn combined(
        &mut self,
        config: &Config,
        address: [u8; 16],
        hash: Hash,
        connection: Option<&Arc<Principal>>,
        bearer: Option<&Arc<Principal>>,
    ) -> Rc<Policy> {
        let key = (address, hash);
        if let Some(known) = self.policies.get(&key)
            && known.connection.as_ref() == connection
            && known.bearer.as_ref() == bearer
        {
            if known.policy.epoch != config.epoch {
                let principal = known.policy.principal.clone();
                known.policy = Rc::new(Policy::compile(config, principal, address));
            }
            return known.policy.clone();
        }
        let principal = match (connection, bearer) {
            (Some(connection), Some(bearer)) => narrowed(connection, bearer),
            (Some(one), None) | (None, Some(one)) => one.clone(),
            (None, None) => Arc::default(),
        };
        let policy = Rc::new(Policy::compile(config, principal, address));
        let combined = Combined {
            connection: connection.cloned(),
            bearer: bearer.cloned(),
            policy: policy.clone(),
        };
        self.policies.insert(key, combined);
        policy
    }
}

fn shown(answer: &IdentityAnswer) -> Bearer<'_> {
    match answer {
        IdentityAnswer::Known { principal, .. } => Bearer::Known(&principal.login),
        IdentityAnswer::Unknown => Bearer::Unknown,
        IdentityAnswer::Refused { .. } => Bearer::Refused,
        IdentityAnswer::Foreign => Bearer::Foreign,
        IdentityAnswer::Unavailable { retry_after_s } => Bearer::Unavailable(*retry_after_s),
    }
}

fn connected((answer, valid_until): Dated, by: By) -> Connected {
    let (principal, by) = match answer {
        IdentityAnswer::Known {
            principal,
            whole_address,
        } => match by {
            By::Address if !whole_address => (Ok(principal), By::Port),
            by => (Ok(principal), by),
        },
        // Of the headers of `tailscale serve`: somebody who is known and not let in. Nothing else makes up for that.
        IdentityAnswer::Refused { .. } => (Err(Connection::Refused), By::Nothing),
        IdentityAnswer::Unknown | IdentityAnswer::Foreign => (Err(Connection::Unknown), By::Nothing),
        IdentityAnswer::Unavailable { retry_after_s } => {
            (Err(Connection::Unavailable(retry_after_s)), By::Nothing)
        }
    };
    Connected {
        principal,
        valid_until,
        by,
    }
}
