//! Who is the peer at an address? Sources are asked in the order of the document; the first that knows, answers. One
//! that is responsible for an address and cannot say ends the walk: then nobody can say.
//!
//! A bounded book holds what was said, so that when the document changes exactly the addresses whose answer changed are
//! revoked. If the book ever had to forget an address, everything is revoked instead. What a source learns by itself
//! (the tailnet's daemon tells of nodes that went) it revokes by itself, see [`revocations`].

mod loopback;
mod oidc;
pub(crate) mod proof;
pub(crate) mod revocations;
mod served;
mod static_table;
mod tailscale;
pub(crate) mod token;

use std::collections::HashMap;
use std::net::IpAddr;
use std::sync::{Arc, Mutex, OnceLock, PoisonError, RwLock};
use std::time::{Duration, Instant};

use sluice_shared::snapshot::SourceKind;
use sluice_shared::wire::control::{IdentityAnswer, Principal, Proof, Whom};
use tokio::sync::broadcast::error::RecvError;

use crate::config::domain;
use proof::{ChangedProofs, Proofs};
use revocations::Revocations;
use static_table::StaticTable;
use tailscale::Tailscale;

/// Answers that the book holds.
const BOOK_MAX: usize = 65_536;
/// How long "nobody knows this peer" counts at most, in milliseconds.
const UNKNOWN_MS_MAX: u64 = 10_000;
/// None of ours.
const FOREIGN: IdentityAnswer = IdentityAnswer::Foreign { age_ms_max: 10_000 };
/// Seconds after which a client should try again when nobody can say who it is.
const RETRY_AFTER_S: u32 = 1;

/// One source of principals that goes by the address of the peer.
enum Source {
    Loopback,
    Static(StaticTable),
    Tailscale(Arc<Tailscale>),
}

/// What a source says. Ages are in milliseconds, `u64::MAX` where the source sets no limit.
enum Verdict {
    /// This is who it is, from every port of the address if `whole_address`.
    Known {
        principal: Principal,
        whole_address: bool,
        age_ms: u64,
    },
    /// Mine, and not let in; no other source is asked.
    Denied { whole_address: bool, age_ms: u64 },
    /// Not mine; ask the next source. Says so for every port of the address if `whole_address`.
    Pass { whole_address: bool, age_ms: u64 },
    /// Mine, and I cannot say now.
    Unavailable,
}

impl Verdict {
    /// Not mine, for as long as the document stays.
    const fn pass() -> Self {
        Self::Pass {
            whole_address: true,
            age_ms: u64::MAX,
        }
    }
}

/// What a source would say without asking anybody.
enum Peek {
    /// This one, or nobody who is let in.
    Is(Option<Principal>),
    Pass,
    /// It would have to ask.
    NotKnown,
}

impl Source {
    async fn whois(&self, address: [u8; 16], port: u16) -> Verdict {
        match self {
            Self::Loopback => loopback::whois(address),
            Self::Static(table) => table.whois(address),
            Self::Tailscale(daemon) => daemon.whois(address, port).await,
        }
    }

    fn peek(&self, address: [u8; 16], port: u16) -> Peek {
        let said = match self {
            Self::Loopback => loopback::whois(address),
            Self::Static(table) => table.whois(address),
            Self::Tailscale(daemon) => return daemon.peek(address, port),
        };
        match said {
            Verdict::Known { principal, .. } => Peek::Is(Some(principal)),
            Verdict::Denied { .. } => Peek::Is(None),
            Verdict::Pass { .. } => Peek::Pass,
            Verdict::Unavailable => Peek::NotKnown,
        }
    }
}

struct Sources {
    list: Vec<Source>,
    serve_headers: bool,
    age_ms_max: u64,
}

impl Sources {
    /// The sources of a document; a daemon that was there before is kept if it is asked in the same way.
    fn new(identity: &domain::Identity, revocations: &Arc<Revocations>, before: Option<&Self>) -> Self {
        let before = before.and_then(Self::tailscale);
        let tailscale = || match before {
            Some(daemon) if *daemon.settings() == identity.tailscale => daemon.clone(),
            before => Arc::new(Tailscale::start(
                &identity.tailscale,
                revocations.clone(),
                before.map(|daemon| &**daemon),
            )),
        };
        let list = identity.sources.iter().filter_map(|kind| match kind {
            SourceKind::Loopback => Some(Source::Loopback),
            SourceKind::Static => Some(Source::Static(StaticTable::new(&identity.networks))),
            SourceKind::Tailscale => Some(Source::Tailscale(tailscale())),
            SourceKind::Mtls | SourceKind::Oidc | SourceKind::Token | SourceKind::ServeHeaders => None,
        });
        Self {
            list: list.collect(),
            serve_headers: identity.sources.contains(&SourceKind::ServeHeaders),
            age_ms_max: identity.age_ms_max,
        }
    }

    fn tailscale(&self) -> Option<&Arc<Tailscale>> {
        self.list.iter().find_map(|source| match source {
            Source::Tailscale(daemon) => Some(daemon),
            Source::Loopback | Source::Static(_) => None,
        })
    }

    /// The answer, and whether it is the same for every port.
    async fn ask(&self, address: [u8; 16], port: u16) -> (IdentityAnswer, bool) {
        // An answer counts no longer, and for no more ports, than what the sources before it said.
        let mut age = self.age_ms_max;
        let mut every_port = true;
        for source in &self.list {
            match source.whois(address, port).await {
                Verdict::Known {
                    principal,
                    whole_address,
                    age_ms,
                } => {
                    let whole_address = whole_address && every_port;
                    let answer = IdentityAnswer::Known {
                        principal,
                        whole_address,
                        age_ms_max: age.min(age_ms),
                    };
                    return (answer, whole_address);
                }
                Verdict::Denied {
                    whole_address,
                    age_ms,
                } => {
                    let answer = IdentityAnswer::Unknown {
                        age_ms_max: age.min(age_ms).min(UNKNOWN_MS_MAX),
                    };
                    return (answer, whole_address && every_port);
                }
                Verdict::Pass {
                    whole_address,
                    age_ms,
                } => {
                    every_port &= whole_address;
                    age = age.min(age_ms);
                }
                Verdict::Unavailable => {
                    let answer = IdentityAnswer::Unavailable {
                        retry_after_s: RETRY_AFTER_S,
                    };
                    return (answer, false);
                }
            }
        }
        let answer = IdentityAnswer::Unknown {
            age_ms_max: age.min(UNKNOWN_MS_MAX),
        };
        (answer, every_port)
    }

    fn peek(&self, address: [u8; 16], port: u16) -> Peek {
        for source in &self.list {
            match source.peek(address, port) {
                Peek::Pass => {}
                other => return other,
            }
        }
        Peek::Is(None)
    }
}

/// What was said about an address and a port.
struct Said {
    principal: Option<Principal>,
    until: Instant,
}

#[derive(Default)]
struct Book {
    /// By address, and by port where the answer was for that port only (0: for all).
    answers: HashMap<([u8; 16], u16), Said>,
    forgot: bool,
}

impl Book {
    fn note(&mut self, address: [u8; 16], port: u16, answer: &IdentityAnswer) {
        let (principal, age) = match answer {
            IdentityAnswer::Known {
                principal,
                age_ms_max,
                ..
            } => (Some(principal.clone()), *age_ms_max),
            IdentityAnswer::Unknown { age_ms_max } => (None, *age_ms_max),
            IdentityAnswer::Refused { .. }
            | IdentityAnswer::Foreign { .. }
            | IdentityAnswer::Unavailable { .. } => return,
        };
        let now = Instant::now();
        if self.answers.len() >= BOOK_MAX {
            // What has run out in every data plane needs no revocation.
            self.answers.retain(|_, said| said.until > now);
            if self.answers.len() >= BOOK_MAX {
                self.answers.clear();
                self.forgot = true;
            }
        }
        let until = now + Duration::from_millis(age);
        self.answers.insert((address, port), Said { principal, until });
    }
}

/// What has to be revoked after a change.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Changed {
    /// These addresses, each list sorted and without duplicates.
    Addresses {
        /// Another principal, or none: what runs is ended.
        cut: Vec<[u8; 16]>,
        /// The same principal with other rights: it is asked for again.
        forget: Vec<[u8; 16]>,
        /// Credentials that hold no longer, by SHA-256; what runs is ended.
        proofs: Vec<[u8; 32]>,
    },
    /// Everything that was ever said.
    Everything,
}

/// The identity service of a control plane.
pub(crate) struct Identities {
    sources: RwLock<Arc<Sources>>,
    book: Mutex<Book>,
    revocations: Arc<Revocations>,
    /// Judges bearer credentials; without it all of them are foreign.
    proofs: OnceLock<Arc<Proofs>>,
}

impl Identities {
    /// Must be called within a runtime if the tailnet's daemon is among the sources.
    pub(crate) fn new(identity: &domain::Identity) -> Self {
        let revocations = Arc::default();
        Self {
            sources: RwLock::new(Arc::new(Sources::new(identity, &revocations, None))),
            book: Mutex::default(),
            revocations,
            proofs: OnceLock::new(),
        }
    }

    /// Lets credentials be judged from now on, and passes on what is revoked of them. Once, within a runtime.
    pub(crate) fn attach(&self, proofs: &Arc<Proofs>) {
        if self.proofs.set(proofs.clone()).is_err() {
            return;
        }
        let mut hashes = proofs.revocations();
        let revocations = self.revocations.clone();
        tokio::spawn(async move {
            loop {
                match hashes.recv().await {
                    Ok(hash) => revocations.send(Whom::Proof(hash), true),
                    // Some were missed: whatever it was, it holds no longer.
                    Err(RecvError::Lagged(_)) => revocations.send(Whom::Everyone, true),
                    Err(RecvError::Closed) => return,
                }
            }
        });
    }

    fn sources(&self) -> Arc<Sources> {
        self.sources
            .read()
            .unwrap_or_else(PoisonError::into_inner)
            .clone()
    }

    /// Where revocations go, of this service and of whoever else has something to revoke.
    pub(crate) const fn revocations(&self) -> &Arc<Revocations> {
        &self.revocations
    }

    /// Whether answers may have been revoked while a data plane was not connected.
    pub(crate) fn revokes_by_itself(&self) -> bool {
        self.sources().tailscale().is_some() || self.proofs.get().is_some_and(|proofs| proofs.judges())
    }

    /// Answers a question of a data plane about an address.
    pub(crate) async fn whois(&self, address: [u8; 16], port: u16) -> IdentityAnswer {
        let address = canonical(address);
        loop {
            let sources = self.sources();
            let (answer, every_port) = sources.ask(address, port).await;
            let mut book = self.book.lock().unwrap_or_else(PoisonError::into_inner);
            // Sources are replaced with the book locked: what is noted here is compared then.
            if Arc::ptr_eq(&sources, &self.sources()) {
                book.note(address, if every_port { 0 } else { port }, &answer);
                return answer;
            }
        }
    }

    /// Answers a question of a data plane about a credential.
    pub(crate) async fn prove(&self, proof: &Proof) -> IdentityAnswer {
        match proof {
            Proof::Served { login, capabilities } if self.sources().serve_headers => {
                served::prove(login, capabilities)
            }
            Proof::Served { .. } => FOREIGN,
            Proof::Bearer { .. } => match self.proofs.get() {
                Some(proofs) => proofs.prove(proof).await,
                None => FOREIGN,
            },
        }
    }

    /// Takes over the sources of a new document and says whose answer changed with it.
    pub(crate) fn replace(&self, identity: &domain::Identity) -> Changed {
        let proofs = match self.proofs.get().map(|proofs| proofs.replace(identity)) {
            None => Some(Vec::new()),
            Some(ChangedProofs::These(hashes)) => Some(hashes),
            Some(ChangedProofs::Everything) => None,
        };
        let mut book = self.book.lock().unwrap_or_else(PoisonError::into_inner);
        let old = self.sources();
        let fresh = Arc::new(Sources::new(identity, &self.revocations, Some(&old)));
        *self.sources.write().unwrap_or_else(PoisonError::into_inner) = fresh.clone();
        let old = std::mem::take(&mut *book);
        let Some(proofs) = proofs.filter(|_| !old.forgot) else {
            return Changed::Everything;
        };
        let now = Instant::now();
        let (mut cut, mut forget) = (Vec::new(), Vec::new());
        for ((address, port), before) in old.answers {
            if before.principal.is_none() && before.until <= now {
                continue;
            }
            let after = match fresh.peek(address, port) {
                Peek::Is(after) => Some(after),
                Peek::Pass => Some(None),
                Peek::NotKnown => None,
            };
            match (&before.principal, after) {
                (before, Some(after)) if *before == after => {}
                (None, _) => {
                    forget.push(address);
                    continue;
                }
                (Some(before), Some(Some(after))) if tailscale::is_same(before, &after) => {
                    forget.push(address);
                    continue;
                }
                (Some(_), _) => {
                    cut.push(address);
                    continue;
                }
            }
            // The same: what was said stays good until it runs out.
            if before.until > now {
                book.answers.insert((address, port), before);
            }
        }
        for list in [&mut cut, &mut forget] {
            list.sort_unstable();
            list.dedup();
        }
        forget.retain(|address| cut.binary_search(address).is_err());
        Changed::Addresses { cut, forget, proofs }
    }
}

/// IPv4 in one spelling only: mapped into IPv6.
fn canonical(address: [u8; 16]) -> [u8; 16] {
    sluice_shared::snapshot::address_bits(readable(address))
}

/// The address as people write it.
pub(crate) fn readable(address: [u8; 16]) -> IpAddr {
    IpAddr::from(address).to_canonical()
}

/// Entry for fuzzing: an answer or a line of the tailnet's daemon.
#[doc(hidden)]
pub fn fuzz_localapi(data: &[u8]) {
    tailscale::fuzz(data);
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::domain::Network;

    fn bits(text: &str) -> [u8; 16] {
        sluice_shared::snapshot::address_bits(text.parse().unwrap())
    }

    fn identity(networks: &[(&str, &str)]) -> domain::Identity {
        domain::Identity {
            sources: vec![SourceKind::Loopback, SourceKind::Static],
            networks: networks
                .iter()
                .map(|(cidr, login)| {
                    let (address, prefix) = domain::network(cidr).unwrap();
                    Network {
                        address,
                        prefix,
                        login: (*login).into(),
                        tags: vec![],
                        groups: vec![],
                    }
                })
                .collect(),
            age_ms_max: 60_000,
            ..domain::Identity::default()
        }
    }

    fn cut(addresses: &[&str]) -> Changed {
        Changed::Addresses {
            cut: addresses.iter().map(|address| bits(address)).collect(),
            forget: vec![],
            proofs: vec![],
        }
    }

    async fn login(identities: &Identities, address: &str) -> Option<String> {
        match identities.whois(bits(address), 1).await {
            IdentityAnswer::Known { principal, .. } => Some(principal.login),
            _ => None,
        }
    }

    #[tokio::test]
    async fn the_first_source_that_knows_answers() {
        let identities = Identities::new(&identity(&[("0.0.0.0/0", "net"), ("10.1.0.0/16", "alice")]));
        assert_eq!(
            login(&identities, "127.0.0.1").await.as_deref(),
            Some("(loopback)")
        );
        assert_eq!(login(&identities, "::1").await.as_deref(), Some("(loopback)"));
        assert_eq!(login(&identities, "10.1.2.3").await.as_deref(), Some("alice"));
        assert_eq!(login(&identities, "10.2.2.3").await.as_deref(), Some("net"));
        assert_eq!(login(&identities, "fd7a::1").await, None);
    }

    #[tokio::test]
    async fn a_change_revokes_exactly_what_it_changes() {
        let identities = Identities::new(&identity(&[("10.1.0.0/16", "alice"), ("10.2.0.0/16", "bob")]));
        for address in ["127.0.0.1", "10.1.0.1", "10.2.0.1", "10.3.0.1"] {
            identities.whois(bits(address), 1).await;
        }
        let next = identity(&[
            ("10.1.0.0/16", "alice"),
            ("10.2.0.0/16", "eve"),
            ("10.3.0.0/16", "carol"),
        ]);
        assert_eq!(
            identities.replace(&next),
            Changed::Addresses {
                cut: vec![bits("10.2.0.1")],
                forget: vec![bits("10.3.0.1")],
                proofs: vec![],
            }
        );
        assert_eq!(login(&identities, "10.2.0.1").await.as_deref(), Some("eve"));
        assert_eq!(identities.replace(&next), cut(&[]));
    }

    #[tokio::test]
    async fn a_book_that_had_to_forget_revokes_everything_once() {
        let identities = Identities::new(&identity(&[("10.0.0.0/8", "net")]));
        for number in 0..=u32::try_from(BOOK_MAX).unwrap() {
            let [_, b, c, d] = number.to_be_bytes();
            identities.whois(bits(&format!("10.{b}.{c}.{d}")), 1).await;
        }
        assert_eq!(identities.replace(&identity(&[])), Changed::Everything);
        assert_eq!(identities.replace(&identity(&[])), cut(&[]));
    }
}
