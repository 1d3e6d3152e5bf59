//! Who is the peer at an address? Sources are asked in the order of the document; the first that knows, answers.
//!
//! Answers are kept in a bounded book, for two reasons: sources that have to ask elsewhere are not asked twice within
//! the age of an answer, and when the document changes, exactly the addresses whose answer changed are revoked. If the
//! book ever had to forget an address, everything is revoked instead.

mod loopback;
mod oidc;
pub(crate) mod proof;
mod static_table;
pub(crate) mod token;

use std::collections::HashMap;
use std::net::IpAddr;
use std::sync::{Arc, Mutex, PoisonError, RwLock};
use std::time::{Duration, Instant};

use sluice_shared::snapshot::SourceKind;
use sluice_shared::wire::control::{IdentityAnswer, Principal};

use crate::config::domain;
use static_table::StaticTable;

/// Addresses that the book holds.
const BOOK_MAX: usize = 65_536;
/// How long "nobody knows this peer" counts at most, in milliseconds.
const UNKNOWN_MS_MAX: u64 = 10_000;

/// One source of principals. Sources to come (tailnet, certificates, tokens) are further variants.
enum Source {
    Loopback,
    Static(StaticTable),
}

/// What a source says.
enum Verdict {
    /// This is who it is, from every port of the address if `whole_address`.
    Known {
        principal: Principal,
        whole_address: bool,
    },
    /// Not mine; ask the next source.
    Pass,
}

impl Source {
    fn whois(&self, address: [u8; 16]) -> Verdict {
        match self {
            Self::Loopback => loopback::whois(address),
            Self::Static(table) => table.whois(address),
        }
    }
}

struct Sources {
    list: Vec<Source>,
    age_ms_max: u64,
}

impl Sources {
    fn new(identity: &domain::Identity) -> Self {
        let list = identity.sources.iter().filter_map(|kind| match kind {
            SourceKind::Loopback => Some(Source::Loopback),
            SourceKind::Static => Some(Source::Static(StaticTable::new(&identity.networks))),
            _ => None,
        });
        Self {
            list: list.collect(),
            age_ms_max: identity.age_ms_max,
        }
    }

    fn ask(&self, address: [u8; 16]) -> IdentityAnswer {
        for source in &self.list {
            if let Verdict::Known {
                principal,
                whole_address,
            } = source.whois(address)
            {
                return IdentityAnswer::Known {
                    principal,
                    whole_address,
                    age_ms_max: self.age_ms_max,
                };
            }
        }
        IdentityAnswer::Unknown {
            age_ms_max: self.age_ms_max.min(UNKNOWN_MS_MAX),
        }
    }
}

#[derive(Default)]
struct Book {
    answers: HashMap<[u8; 16], (IdentityAnswer, Instant)>,
    forgot: bool,
}

/// What has to be revoked after a change.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Changed {
    /// These addresses.
    Addresses(Vec<[u8; 16]>),
    /// Everything that was ever said.
    Everything,
}

/// The identity service of a control plane.
pub(crate) struct Identities {
    sources: RwLock<Arc<Sources>>,
    book: Mutex<Book>,
}

impl Identities {
    pub(crate) fn new(identity: &domain::Identity) -> Self {
        Self {
            sources: RwLock::new(Arc::new(Sources::new(identity))),
            book: Mutex::default(),
        }
    }

    /// Answers a question of a data plane.
    #[allow(
        clippy::unused_async,
        reason = "sources to come ask over a socket; callers must not assume otherwise"
    )]
    pub(crate) async fn whois(&self, address: [u8; 16], _port: u16) -> IdentityAnswer {
        let address = canonical(address);
        let sources = self
            .sources
            .read()
            .unwrap_or_else(PoisonError::into_inner)
            .clone();
        let now = Instant::now();
        let mut book = self.book.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some((answer, _)) = book.answers.get(&address).filter(|(_, until)| *until > now) {
            return answer.clone();
        }
        let answer = sources.ask(address);
        let age = match &answer {
            IdentityAnswer::Known { age_ms_max, .. }
            | IdentityAnswer::Unknown { age_ms_max }
            | IdentityAnswer::Refused { age_ms_max, .. }
            | IdentityAnswer::Foreign { age_ms_max } => *age_ms_max,
            IdentityAnswer::Unavailable { .. } => return answer,
        };
        if book.answers.len() >= BOOK_MAX {
            // What has run out in every data plane needs no revocation.
            book.answers.retain(|_, (_, until)| *until > now);
            if book.answers.len() >= BOOK_MAX {
                book.answers.clear();
                book.forgot = true;
            }
        }
        book.answers
            .insert(address, (answer.clone(), now + Duration::from_millis(age)));
        answer
    }

    /// Takes over the sources of a new document and says whose answer changed with it.
    pub(crate) fn replace(&self, identity: &domain::Identity) -> Changed {
        let fresh = Arc::new(Sources::new(identity));
        let mut book = self.book.lock().unwrap_or_else(PoisonError::into_inner);
        *self.sources.write().unwrap_or_else(PoisonError::into_inner) = fresh.clone();
        let old = std::mem::take(&mut *book);
        if old.forgot {
            return Changed::Everything;
        }
        let now = Instant::now();
        let mut changed = Vec::new();
        for (address, (before, until)) in old.answers {
            let after = fresh.ask(address);
            if principal(&before) == principal(&after) {
                // Same principal: what was said stays good until it runs out.
                if until > now {
                    book.answers.insert(address, (before, until));
                }
            } else {
                changed.push(address);
            }
        }
        changed.sort_unstable();
        Changed::Addresses(changed)
    }
}

const fn principal(answer: &IdentityAnswer) -> Option<&Principal> {
    match answer {
        IdentityAnswer::Known { principal, .. } => Some(principal),
        IdentityAnswer::Unknown { .. }
        | IdentityAnswer::Refused { .. }
        | IdentityAnswer::Foreign { .. }
        | IdentityAnswer::Unavailable { .. } => None,
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

    async fn login(identities: &Identities, address: &str) -> Option<String> {
        principal(&identities.whois(bits(address), 1).await).map(|p| p.login.clone())
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
            Changed::Addresses(vec![bits("10.2.0.1"), bits("10.3.0.1")])
        );
        assert_eq!(login(&identities, "10.2.0.1").await.as_deref(), Some("eve"));
        assert_eq!(identities.replace(&next), Changed::Addresses(vec![]));
    }

    #[tokio::test]
    async fn a_book_that_had_to_forget_revokes_everything_once() {
        let identities = Identities::new(&identity(&[("10.0.0.0/8", "net")]));
        for number in 0..=u32::try_from(BOOK_MAX).unwrap() {
            let [_, b, c, d] = number.to_be_bytes();
            identities.whois(bits(&format!("10.{b}.{c}.{d}")), 1).await;
        }
        assert_eq!(identities.replace(&identity(&[])), Changed::Everything);
        assert_eq!(identities.replace(&identity(&[])), Changed::Addresses(vec![]));
    }
}
