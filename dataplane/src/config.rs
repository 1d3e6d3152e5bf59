//! The snapshot in use, in two halves.
//!
//! [`Published`] is what all shards share of an epoch. The thread of the control link makes it (reading the archive,
//! compiling 1,000 grants, parsing certificates takes milliseconds) and frees it, when the last shard has let go.
//! [`Config`] is what a shard makes of it: providers with their connection pools and TLS sessions. A provider that has
//! not changed is handed on from epoch to epoch as it is, with its sessions.

use std::collections::HashMap;
use std::fmt;
use std::ops::Deref;
use std::rc::Rc;
use std::sync::Arc;

use sluice_proto::guard::{GuardError, Guards};
use sluice_proto::http1::HeadLimits;
use sluice_shared::cost::PriceBook;
use sluice_shared::ids::Epoch;
use sluice_shared::policy::{self, Rules};
use sluice_shared::snapshot::{self, Alias, Authorization, Limits, Sealed, Snapshot};
use zeroize::Zeroizing;

use crate::hooks::config::{Hook, HookPart};
use crate::policy::Rights;
use crate::tls::{TlsConfig, TlsError};
use crate::upstream::Place;

/// A configuration that holds, ready for every shard.
pub struct Published {
    sealed: Sealed,
    /// Who may do what.
    pub(crate) rules: Rules,
    /// What calls cost.
    prices: PriceBook,
    /// What requests and answers must not contain.
    pub(crate) guards: Guards,
    providers: Vec<Part>,
    hooks: Vec<HookPart>,
    /// Everything else; providers, hooks and grants are gone from it.
    rest: Snapshot,
}

/// What shards share of a provider.
struct Part {
    spec: Arc<snapshot::Provider>,
    /// Trust in `ca_pem`.
    ca: Option<TlsConfig>,
}

/// Why a snapshot cannot be used although it is intact.
#[derive(Debug, thiserror::Error)]
pub enum CompileError {
    /// The archive cannot be taken apart.
    #[error("snapshot cannot be read: {0}")]
    Archive(String),
    /// A pattern that does not parse.
    #[error(transparent)]
    Rules(#[from] policy::CompileError),
    /// A hook's certificates, or the system's.
    #[error("hook {hook}: {what}")]
    Hook {
        /// Its name.
        hook: String,
        /// What is wrong.
        what: String,
    },
    /// A guardrail that cannot be used.
    #[error(transparent)]
    Guards(#[from] GuardError),
    /// A provider's certificates, or the system's.
    #[error("provider {provider}: {what}")]
    Provider {
        /// Its id.
        provider: String,
        /// What is wrong.
        what: String,
    },
}

impl Published {
    /// Compiles a snapshot. Takes milliseconds: not for a shard.
    ///
    /// # Errors
    /// See [`CompileError`].
    pub fn new(sealed: Sealed) -> Result<Self, CompileError> {
        let mut rest = sealed
            .to_owned()
            .map_err(|error| CompileError::Archive(error.to_string()))?;
        let rules = Rules::compile(&rest)?;
        let prices = PriceBook::compile(&rest);
        let guards = Guards::compile(&rest.guardrails)?;
        let providers = std::mem::take(&mut rest.providers);
        let hooks = std::mem::take(&mut rest.hooks);
        drop(std::mem::take(&mut rest.grants));
        Ok(Self {
            sealed,
            rules,
            prices,
            guards,
            providers: providers.into_iter().map(Part::new).collect::<Result<_, _>>()?,
            hooks: hooks.into_iter().map(HookPart::new).collect::<Result<_, _>>()?,
            rest,
        })
    }
}

impl Published {
    /// Bytes of captures that may wait on disk; `None` where nobody wants any. Hooks that are told of a request
    /// afterwards are told by a capture.
    pub(crate) fn capture_bytes_max(&self) -> Option<u64> {
        let captures = &self.rest.captures;
        (captures.enabled || !self.hooks.is_empty()).then_some(captures.buffer_bytes_max)
    }
}

impl Deref for Published {
    type Target = Sealed;

    fn deref(&self) -> &Sealed {
        &self.sealed
    }
}

impl fmt::Debug for Published {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Published")
            .field("epoch", &self.rest.epoch)
            .finish_non_exhaustive()
    }
}

impl Part {
    fn new(spec: snapshot::Provider) -> Result<Self, CompileError> {
        let ca = match (spec.base.tls, &spec.ca_pem) {
            (true, Some(pem)) => {
                let ca = TlsConfig::from_ca_pem(pem);
                Some(ca.map_err(|error| failed(&spec, &format!("tls.ca_file: {error}")))?)
            }
            _ => None,
        };
        let spec = Arc::new(spec);
        Ok(Self { spec, ca })
    }
}

fn failed(spec: &snapshot::Provider, what: &str) -> CompileError {
    CompileError::Provider {
        provider: spec.id.clone(),
        what: what.to_owned(),
    }
}

/// One epoch's configuration in a shard.
pub(crate) struct Config {
    pub(crate) epoch: Epoch,
    pub(crate) published: Arc<Published>,
    /// In order of preference.
    pub(crate) providers: Vec<Arc<Provider>>,
    /// In the order in which they are called.
    pub(crate) hooks: Vec<Arc<Hook>>,
    pub(crate) limits: Limits,
    pub(crate) head_limits: HeadLimits,
    /// What each listening address serves; see [`Config::serves`] for one that is not named.
    pub(crate) listeners: Vec<snapshot::Listener>,
    /// Where principals come from.
    pub(crate) identity: snapshot::Identity,
    /// What is kept of requests and answers.
    pub(crate) captures: Rc<snapshot::Captures>,
    /// What principals of the shard are granted: one for all who are granted the same.
    pub(crate) rights: Rights,
    pools: HashMap<String, usize>,
}

/// A provider, ready to be used.
pub(crate) struct Provider {
    pub(crate) spec: Arc<snapshot::Provider>,
    /// `name: value\r\n` lines that replace the client's: credentials and configured headers.
    pub(crate) added_lines: Zeroizing<Vec<u8>>,
    /// Lower-case names of those lines.
    pub(crate) added_names: Vec<String>,
    pub(crate) tls: Option<TlsConfig>,
    /// Index of its connection pool in every shard. The same place, credentials aside, keeps its pool over epochs;
    /// another host, port, certificate set or provider id never shares one.
    pub(crate) pool: usize,
}

impl Config {
    /// A shard's half; `previous` hands on pools and the providers that have not changed.
    pub(crate) fn compile(
        published: &Arc<Published>,
        previous: Option<&Self>,
        system_tls: &dyn Fn() -> Result<TlsConfig, TlsError>,
    ) -> Result<Self, CompileError> {
        let before = previous.map(|p| p.providers.as_slice()).unwrap_or_default();
        let before: HashMap<&str, &Arc<Provider>> = before.iter().map(|p| (p.spec.id.as_str(), p)).collect();
        let mut pools = previous.map(|p| p.pools.clone()).unwrap_or_default();
        let mut providers = Vec::with_capacity(published.providers.len());
        for part in &published.providers {
            providers.push(match before.get(part.spec.id.as_str()) {
                Some(same) if same.spec == part.spec => Arc::clone(same),
                _ => Arc::new(Provider::compile(part, &mut pools, system_tls)?),
            });
        }
        let before = previous.map(|p| p.hooks.as_slice()).unwrap_or_default();
        let mut hooks = Vec::with_capacity(published.hooks.len());
        for part in &published.hooks {
            let same = before.iter().find(|hook| hook.spec == part.spec);
            hooks.push(match same {
                Some(same) => Arc::clone(same),
                None => Arc::new(Hook::compile(part, &mut pools, system_tls)?),
            });
        }
        let rest = &published.rest;
        let limits = rest.limits.clone();
        let width = |n: u64| usize::try_from(n).unwrap_or(usize::MAX);
        Ok(Self {
            epoch: rest.epoch,
            published: Arc::clone(published),
            providers,
            hooks,
            head_limits: HeadLimits {
                head_bytes_max: width(limits.head_bytes),
                header_count_max: width(limits.header_count),
                target_bytes_max: width(limits.target_bytes),
            },
            limits,
            identity: rest.identity.clone(),
            listeners: rest.listeners.clone(),
            captures: Rc::new(rest.captures.clone()),
            rights: Rights::default(),
            pools,
        })
    }

    /// What calls cost.
    pub(crate) fn prices(&self) -> &PriceBook {
        &self.published.prices
    }

    /// Names that stand for others, sorted.
    pub(crate) fn aliases(&self) -> &[Alias] {
        &self.published.rest.aliases
    }
}

/// What a listening address serves.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Serves {
    pub(crate) llm: bool,
    pub(crate) admin: bool,
}

impl Config {
    /// What the listener at this address serves. A socket that is open and not named any more serves the admin pages only
    /// where every named listener does.
    pub(crate) fn serves(&self, address: &str) -> Serves {
        let named = self.listeners.iter().find(|listener| listener.address == address);
        match named {
            Some(listener) => Serves {
                llm: listener.llm,
                admin: listener.admin,
            },
            None => Serves {
                llm: true,
                admin: self.listeners.iter().all(|listener| listener.admin),
            },
        }
    }
}

impl Provider {
    /// Where it is.
    pub(crate) fn place(&self) -> Place<'_> {
        Place {
            base: &self.spec.base,
            tls: self.tls.as_ref(),
            connect_ms: self.spec.timeouts.connect_ms,
        }
    }

    fn compile(
        part: &Part,
        pools: &mut HashMap<String, usize>,
        system_tls: &dyn Fn() -> Result<TlsConfig, TlsError>,
    ) -> Result<Self, CompileError> {
        let spec = &part.spec;
        let tls = match (spec.base.tls, &part.ca) {
            (false, _) => None,
            (true, Some(ca)) => Some(ca.for_shard()),
            (true, None) => {
                let system = system_tls().map_err(|error| failed(spec, &error.to_string()))?;
                Some(system.for_shard())
            }
        };
        let scheme = match spec.authorization {
            Authorization::Bearer => "Bearer ",
            Authorization::XApiKey | Authorization::XGoogApiKey => "",
        };
        let credential = policy::credential_header(spec).map(|name| (name, scheme, spec.key.0.as_str()));
        let configured = spec.add_headers.iter();
        let configured = configured.map(|header| (header.name.as_str(), "", header.value.0.as_str()));
        let (added_lines, added_names) = header_lines(credential.into_iter().chain(configured));
        let place = format!(
            "{}|{}|{}|{}|{}",
            spec.id,
            spec.base.tls,
            spec.base.host,
            spec.base.port,
            spec.ca_pem.as_deref().unwrap_or_default()
        );
        let next = pools.len();
        let pool = *pools.entry(place).or_insert(next);
        Ok(Self {
            added_lines,
            added_names,
            tls,
            pool,
            spec: Arc::clone(spec),
        })
    }
}

/// `name: value\r\n` lines of headers given as name and two parts of the value, and the names in lower case. The lines may
/// hold credentials: they are written into memory that is taken once, and overwritten when they are dropped.
pub(crate) fn header_lines<'a>(
    headers: impl Iterator<Item = (&'a str, &'a str, &'a str)> + Clone,
) -> (Zeroizing<Vec<u8>>, Vec<String>) {
    let bytes = headers
        .clone()
        .map(|(name, first, second)| name.len() + first.len() + second.len() + 4)
        .sum();
    let mut lines = Zeroizing::new(Vec::with_capacity(bytes));
    let mut names = Vec::new();
    for (name, first, second) in headers {
        for part in [name, ": ", first, second, "\r\n"] {
            lines.extend_from_slice(part.as_bytes());
        }
        names.push(name.to_ascii_lowercase());
    }
    (lines, names)
}
