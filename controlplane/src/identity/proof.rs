//! Whose is a credential that a request carries?
//!
//! Its shape decides who is asked: `slt_…` the tokens of this gateway, three parts of base64url the issuers of JSON web
//! tokens; everything else, and everything whose source is not in the document, is none of ours.
//!
//! Answers are kept under the SHA-256 of the whole credential, never of a part of it: two credentials that begin alike
//! share nothing. Good answers are kept until they run out, because a change of the document has to revoke those that
//! were said; bad ones for ten seconds, so that a change heals by itself. Whatever takes a while (keys that must be
//! fetched) is done once for all who wait; the rest is microseconds and needs no waiting.

pub(crate) mod name;
#[cfg(test)]
pub(super) mod tests;

use std::collections::HashMap;
use std::path::Path;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, RwLock};
use std::time::{Duration, Instant};

use sluice_shared::snapshot::SourceKind;
use sluice_shared::wire::control::{BEARER_BYTES_MAX, IdentityAnswer, Principal, Proof};
use tokio::sync::broadcast;

use super::oidc::{self, Oidc, Place};
use super::token::{self, PREFIX, Tokens, hash};
use crate::config::domain;

/// Good answers that are remembered.
const KNOWN_MAX: usize = 65_536;
/// Bad answers that are remembered.
const MISSES_MAX: usize = 65_536;
/// How long a bad answer counts.
const MISS_AGE: Duration = Duration::from_secs(10);
/// How long a good answer counts at most, whatever the document says.
const KNOWN_AGE_MAX: Duration = Duration::from_secs(300);
/// When to come back while an issuer is down.
const RETRY_AFTER_S: u32 = 5;
/// Pause between looks at the age of keys.
const LOOK: Duration = Duration::from_secs(30);

/// What has to be revoked after a change of the document.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum ChangedProofs {
    /// These credentials, by SHA-256, sorted.
    These(Vec<[u8; 32]>),
    /// Everything that was ever said.
    Everything,
}

/// Who said a good answer, and on what it rests.
#[derive(Debug, Clone, PartialEq, Eq)]
enum Basis {
    Token,
    Key { issuer: String, key: [u8; 32] },
}

struct Known {
    principal: Principal,
    basis: Basis,
    until: Instant,
}

#[derive(Default)]
struct Cache {
    known: HashMap<[u8; 32], Known>,
    misses: HashMap<[u8; 32], (IdentityAnswer, Instant)>,
    /// A good answer had to be forgotten.
    forgot: bool,
}

/// What the document says.
struct Setting {
    token: bool,
    /// Empty if `oidc` is not among the sources.
    oidc: Oidc,
    age: Duration,
}

impl Setting {
    fn new(identity: &domain::Identity, before: &Oidc, place: &Place) -> Self {
        let issuers = if identity.sources.contains(&SourceKind::Oidc) {
            identity.issuers.as_slice()
        } else {
            &[]
        };
        Self {
            token: identity.sources.contains(&SourceKind::Token),
            oidc: Oidc::new(issuers, before, place),
            age: Duration::from_millis(identity.age_ms_max).min(KNOWN_AGE_MAX),
        }
    }
}

/// The service that judges credentials.
pub(crate) struct Proofs {
    tokens: Arc<Tokens>,
    place: Place,
    setting: RwLock<Arc<Setting>>,
    cache: Mutex<Cache>,
    /// The document changed: keys may be missing.
    replaced: tokio::sync::Notify,
}

impl Proofs {
    /// Keys of issuers are kept in the data directory. [`Proofs::run`] keeps them fresh.
    pub(crate) fn new(identity: &domain::Identity, data: &Path, tokens: Arc<Tokens>) -> Arc<Self> {
        Self::with_settings(identity, data, tokens, oidc::Settings::default())
    }

    fn with_settings(
        identity: &domain::Identity,
        data: &Path,
        tokens: Arc<Tokens>,
        settings: oidc::Settings,
    ) -> Arc<Self> {
        let place = Place::new(data, settings);
        Arc::new(Self {
            tokens,
            setting: RwLock::new(Arc::new(Setting::new(identity, &Oidc::default(), &place))),
            place,
            cache: Mutex::default(),
            replaced: tokio::sync::Notify::new(),
        })
    }

    /// Answers a question of a data plane. Headers of `tailscale serve` are not judged here: they are foreign.
    pub(crate) async fn prove(&self, proof: &Proof) -> IdentityAnswer {
        let Proof::Bearer { token } = proof else {
            return foreign();
        };
        let token = token.0.as_str();
        if token.len() > BEARER_BYTES_MAX {
            return refused("credential is too long");
        }
        // What `Proof::canonical` is for bearer tokens, without a copy.
        let name = hash(token.as_bytes());
        if token.starts_with(PREFIX) {
            self.prove_token(token, name)
        } else if oidc::shaped(token) {
            self.prove_jwt(token, name).await
        } else {
            foreign()
        }
    }

    /// Hashes of credentials that hold no longer: revoked and expired tokens, tokens whose key the issuer took back.
    pub(crate) fn revocations(&self) -> broadcast::Receiver<[u8; 32]> {
        self.tokens.revocations()
    }

    /// Whether any credential may be known, and so be revoked.
    pub(crate) fn judges(&self) -> bool {
        let setting = self.setting();
        setting.token || !setting.oidc.is_empty()
    }

    fn prove_token(&self, token: &str, name: [u8; 32]) -> IdentityAnswer {
        loop {
            let setting = self.setting();
            if !setting.token {
                return foreign();
            }
            // Asked every time: the book of tokens is as near as a cache would be, and always right.
            let (principal, remaining) = match self.tokens.check(token, &name) {
                token::Verdict::Known { principal, remaining } => (principal, remaining),
                token::Verdict::Refused(reason) => return refused(reason),
            };
            let known = Known {
                principal,
                basis: Basis::Token,
                until: Instant::now() + remaining.min(setting.age),
            };
            if let Some(answer) = self.remember(&setting, name, known) {
                return answer;
            }
        }
    }

    async fn prove_jwt(&self, token: &str, name: [u8; 32]) -> IdentityAnswer {
        loop {
            let setting = self.setting();
            if let Some(answer) = self.cached(&name) {
                return answer;
            }
            let answer = match setting.oidc.verify(token).await {
                oidc::Verdict::Known {
                    principal,
                    remaining,
                    issuer,
                    key,
                } => {
                    let known = Known {
                        principal: *principal,
                        basis: Basis::Key { issuer, key },
                        until: Instant::now() + remaining.min(setting.age),
                    };
                    match self.remember(&setting, name, known) {
                        Some(answer) => return answer,
                        // The document changed meanwhile: judged by the new one.
                        None => continue,
                    }
                }
                oidc::Verdict::Refused(reason) => refused(reason),
                oidc::Verdict::Foreign => foreign(),
                oidc::Verdict::Unavailable => {
                    return IdentityAnswer::Unavailable {
                        retry_after_s: RETRY_AFTER_S,
                    };
                }
            };
            if self.remember_miss(&setting, name, &answer) {
                return answer;
            }
        }
    }

    fn setting(&self) -> Arc<Setting> {
        self.setting
            .read()
            .unwrap_or_else(PoisonError::into_inner)
            .clone()
    }

    fn cache(&self) -> MutexGuard<'_, Cache> {
        self.cache.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Whether a judgement by this setting is still one by the document. Settings change under the lock of the cache.
    fn is_current(&self, setting: &Arc<Setting>) -> bool {
        Arc::ptr_eq(setting, &self.setting())
    }

    fn cached(&self, name: &[u8; 32]) -> Option<IdentityAnswer> {
        let now = Instant::now();
        let cache = self.cache();
        if let Some(known) = cache.known.get(name).filter(|known| known.until > now) {
            return Some(answer(known, now));
        }
        let (answer, _) = cache.misses.get(name).filter(|(_, until)| *until > now)?;
        Some(answer.clone())
    }

    /// Remembers a good answer; `None` if the document changed meanwhile.
    fn remember(&self, setting: &Arc<Setting>, name: [u8; 32], known: Known) -> Option<IdentityAnswer> {
        let mut cache = self.cache();
        if !self.is_current(setting) {
            return None;
        }
        let now = Instant::now();
        if cache.known.len() >= KNOWN_MAX && !cache.known.contains_key(&name) {
            // What has run out in every data plane needs no revocation.
            cache.known.retain(|_, known| known.until > now);
            if cache.known.len() >= KNOWN_MAX {
                cache.known.clear();
                cache.forgot = true;
            }
        }
        let answer = answer(&known, now);
        cache.misses.remove(&name);
        cache.known.insert(name, known);
        Some(answer)
    }

    fn remember_miss(&self, setting: &Arc<Setting>, name: [u8; 32], answer: &IdentityAnswer) -> bool {
        let mut cache = self.cache();
        if !self.is_current(setting) {
            return false;
        }
        let now = Instant::now();
        if cache.misses.len() >= MISSES_MAX {
            cache.misses.retain(|_, (_, until)| *until > now);
            if cache.misses.len() >= MISSES_MAX {
                cache.misses.clear();
            }
        }
        cache.misses.insert(name, (answer.clone(), now + MISS_AGE));
        true
    }

    /// Takes over a new document and says which good answers do not follow from it. The caller revokes them, after the
    /// data planes have the document.
    pub(crate) fn replace(&self, identity: &domain::Identity) -> ChangedProofs {
        let before = self.setting();
        let fresh = Arc::new(Setting::new(identity, &before.oidc, &self.place));
        let mut cache = self.cache();
        *self.setting.write().unwrap_or_else(PoisonError::into_inner) = fresh.clone();
        self.replaced.notify_one();
        let old = std::mem::take(&mut *cache);
        if old.forgot {
            return ChangedProofs::Everything;
        }
        let now = Instant::now();
        let mut changed = Vec::new();
        for (name, known) in old.known {
            let stays = match &known.basis {
                Basis::Token => fresh.token,
                Basis::Key { issuer, .. } => fresh.oidc.same(&before.oidc, issuer),
            };
            if !stays {
                changed.push(name);
            } else if known.until > now {
                cache.known.insert(name, known);
            }
        }
        changed.sort_unstable();
        ChangedProofs::These(changed)
    }

    /// Keeps the keys of issuers fresh, and revokes what was signed with keys that are gone, for ever.
    pub(crate) async fn run(self: Arc<Self>) {
        loop {
            self.keep_fresh().await;
            self.drop_gone_keys();
            tokio::select! {
                () = tokio::time::sleep(LOOK) => {}
                () = self.place.changed.notified() => {}
                () = self.replaced.notified() => {}
            }
        }
    }

    /// Fetches the keys that have come of age.
    pub(super) async fn keep_fresh(&self) {
        self.setting().oidc.keep_fresh().await;
    }

    fn drop_gone_keys(&self) {
        let mut cache = self.cache();
        let setting = self.setting();
        let gone: Vec<[u8; 32]> = cache
            .known
            .extract_if(|_, known| match &known.basis {
                Basis::Token => false,
                Basis::Key { issuer, key } => !setting.oidc.holds(issuer, key),
            })
            .map(|(name, _)| name)
            .collect();
        drop(cache);
        for name in gone {
            self.tokens.tell(name);
        }
    }
}

fn answer(known: &Known, now: Instant) -> IdentityAnswer {
    IdentityAnswer::Known {
        principal: known.principal.clone(),
        whole_address: false,
        age_ms_max: milliseconds(known.until.saturating_duration_since(now)),
    }
}

fn refused(reason: &str) -> IdentityAnswer {
    IdentityAnswer::Refused {
        reason: reason.to_owned(),
        age_ms_max: milliseconds(MISS_AGE),
    }
}

fn foreign() -> IdentityAnswer {
    IdentityAnswer::Foreign {
        age_ms_max: milliseconds(MISS_AGE),
    }
}

fn milliseconds(duration: Duration) -> u64 {
    u64::try_from(duration.as_millis()).unwrap_or(u64::MAX).max(1)
}
