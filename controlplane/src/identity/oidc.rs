//! The `oidc` source: JSON web tokens of configured issuers, verified here.
//!
//! The unverified `iss` chooses the issuer; a token of an issuer that is not configured is none of ours. From then on
//! whatever does not hold is refused. The document pins audiences and algorithms; the token chooses among the issuer's
//! keys by `kid` and nothing else. The order is: shape, algorithm, claims, keys, signature, so that only tokens that could
//! be good make us ask for keys.

mod algorithm;
mod claims;
mod fetch;
mod json;
mod jwt;
mod key_set;
mod keys;
#[cfg(test)]
pub(super) mod tests;

use std::collections::HashMap;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::{Duration, SystemTime};

use sluice_shared::wire::control::Principal;
use tokio::sync::{Notify, Semaphore};

use crate::config::domain;
use algorithm::Algorithm;
use jwt::Jwt;
use key_set::KeySet;
use keys::{Found, Keys};

pub(super) use jwt::shaped;
pub(crate) use keys::Settings;

/// Questions that wait for issuers at a time, half of what a data plane may ask at once: a slow issuer, and whoever sends
/// tokens with made-up keys, must not keep others from being known. Whoever finds no room is asked to come again.
const WAITING_MAX: usize = 32;

/// What does not change with the document.
#[derive(Clone)]
pub(super) struct Place {
    /// Data directory.
    pub(super) data: PathBuf,
    pub(super) settings: Settings,
    /// Told when the keys of some issuer have changed.
    pub(super) changed: Arc<Notify>,
    /// Room for questions that wait for an issuer.
    pub(super) waiting: Arc<Semaphore>,
}

impl Place {
    pub(super) fn new(data: &Path, settings: Settings) -> Self {
        Self {
            data: data.to_owned(),
            settings,
            changed: Arc::default(),
            waiting: Arc::new(Semaphore::new(WAITING_MAX)),
        }
    }
}

/// What is said about a token.
#[derive(Debug)]
pub(super) enum Verdict {
    /// It holds, for so long.
    Known {
        principal: Box<Principal>,
        remaining: Duration,
        issuer: String,
        /// Hash of the key that signed it.
        key: [u8; 32],
    },
    /// It claims to be of a configured issuer and does not hold.
    Refused(&'static str),
    /// Of an issuer that is not configured.
    Foreign,
    /// The issuer's keys are not known and cannot be had.
    Unavailable,
}

/// The issuers of a document.
#[derive(Default)]
pub(super) struct Oidc {
    issuers: HashMap<String, Issuer>,
}

struct Issuer {
    config: domain::Issuer,
    algorithms: Vec<Algorithm>,
    keys: Arc<Keys>,
}

impl Oidc {
    /// The issuers of a document; keys that an earlier one had are taken over.
    pub(super) fn new(issuers: &[domain::Issuer], before: &Self, place: &Place) -> Self {
        let mut out = HashMap::new();
        for config in issuers {
            let keys = match before.issuers.get(&config.issuer) {
                Some(issuer) if issuer.keys.are_of(config) => issuer.keys.clone(),
                _ => Arc::new(Keys::new(config, place)),
            };
            let issuer = Issuer {
                algorithms: config
                    .algorithms
                    .iter()
                    .filter_map(|name| Algorithm::parse(name))
                    .collect(),
                config: config.clone(),
                keys,
            };
            out.entry(config.issuer.clone()).or_insert(issuer);
        }
        Self { issuers: out }
    }

    /// Whether there are no issuers.
    pub(super) fn is_empty(&self) -> bool {
        self.issuers.is_empty()
    }

    /// Whether an issuer stands here as it stands there.
    pub(super) fn same(&self, other: &Self, issuer: &str) -> bool {
        match (self.issuers.get(issuer), other.issuers.get(issuer)) {
            (Some(here), Some(there)) => here.config == there.config,
            _ => false,
        }
    }

    /// Whether an issuer still publishes a key; `true` while nothing is known about it.
    pub(super) fn holds(&self, issuer: &str, key: &[u8; 32]) -> bool {
        self.issuers
            .get(issuer)
            .is_some_and(|issuer| issuer.keys.usable().is_none_or(|set| set.holds(key)))
    }

    /// Fetches the keys that have come of age, of all issuers at once.
    pub(super) async fn keep_fresh(&self) {
        let mut all = tokio::task::JoinSet::new();
        for issuer in self.issuers.values() {
            all.spawn(issuer.keys.clone().keep_fresh());
        }
        all.join_all().await;
    }

    /// Whose a token is, now.
    pub(super) async fn verify(&self, token: &str) -> Verdict {
        let claimed = jwt::claims_of(token).map_or_else(Vec::new, |claims| json::texts_under(&claims, "iss"));
        let Some(issuer) = claimed.iter().find_map(|iss| self.issuers.get(iss)) else {
            return Verdict::Foreign;
        };
        match issuer.verify(token).await {
            Ok(verdict) => verdict,
            Err(reason) => Verdict::Refused(reason),
        }
    }
}

impl Issuer {
    async fn verify(&self, token: &str) -> Result<Verdict, &'static str> {
        let jwt = Jwt::parse(token)?;
        if !self.algorithms.contains(&jwt.algorithm) {
            return Err("signature algorithm is not accepted");
        }
        let (principal, remaining) = claims::check(&jwt.claims, &self.config, unix_seconds())?;
        let kid = jwt.kid.as_deref();
        let wanted = |set: &KeySet| match kid {
            Some(kid) => set.names(kid),
            None => !set.candidates(None, jwt.algorithm).is_empty(),
        };
        let set = match self.keys.find(wanted).await {
            Found::Set(set) => set,
            Found::Missing => return Err("token is signed with an unknown key"),
            Found::Unavailable => return Ok(Verdict::Unavailable),
        };
        let signer = |set: &KeySet| {
            set.candidates(kid, jwt.algorithm)
                .into_iter()
                .find(|key| jwt.algorithm.verify(&key.material, jwt.signed, &jwt.signature))
                .map(|key| key.print)
        };
        let key = signer(&set).ok_or("signature does not hold")?;
        Ok(Verdict::Known {
            principal: Box::new(principal),
            remaining,
            issuer: self.config.issuer.clone(),
            key,
        })
    }
}

fn unix_seconds() -> f64 {
    SystemTime::now()
        .duration_since(SystemTime::UNIX_EPOCH)
        .map_or(0.0, |since| since.as_secs_f64())
}
