//! The snapshot as a shard uses it: the checked archive and the lookup tables compiled from it, once per epoch.

use std::collections::HashMap;
use std::sync::Arc;

use sluice_proto::http1::HeadLimits;
use sluice_shared::glob::Glob;
use sluice_shared::ids::Epoch;
use sluice_shared::snapshot::{self, AuthMode, Authorization, Grant, Limits, Sealed};

use crate::tls::{TlsConfig, TlsError};

/// One epoch's configuration.
pub(crate) struct Config {
    pub(crate) epoch: Epoch,
    /// In order of preference.
    pub(crate) providers: Vec<Arc<Provider>>,
    pub(crate) aliases: HashMap<String, String>,
    pub(crate) grants: Vec<Grant>,
    pub(crate) limits: Limits,
    pub(crate) head_limits: HeadLimits,
    /// What each listening address serves; one that is not named serves everything.
    pub(crate) listeners: Vec<snapshot::Listener>,
    /// Where principals come from.
    pub(crate) identity: snapshot::Identity,
    pools: HashMap<String, usize>,
}

/// A provider, ready to be used.
pub(crate) struct Provider {
    pub(crate) spec: snapshot::Provider,
    pub(crate) globs: Vec<Glob>,
    /// `name: value\r\n` lines that replace the client's: credentials and configured headers.
    pub(crate) added_lines: Vec<u8>,
    /// Lower-case names of those lines.
    pub(crate) added_names: Vec<String>,
    pub(crate) tls: Option<TlsConfig>,
    /// Index of its connection pool in every shard. The same place, credentials aside, keeps its pool over epochs;
    /// another host, port, certificate set or provider id never shares one.
    pub(crate) pool: usize,
}

/// Why a snapshot cannot be used although it is intact.
#[derive(Debug, thiserror::Error)]
pub(crate) enum CompileError {
    #[error("snapshot cannot be read: {0}")]
    Archive(String),
    #[error("provider {provider}: {what}")]
    Provider { provider: String, what: String },
}

impl Config {
    /// Compiles a snapshot; `previous` hands on the pool numbers.
    pub(crate) fn compile(
        sealed: &Sealed,
        previous: Option<&Self>,
        system_tls: &dyn Fn() -> Result<TlsConfig, TlsError>,
    ) -> Result<Self, CompileError> {
        let snapshot = sealed
            .to_owned()
            .map_err(|error| CompileError::Archive(error.to_string()))?;
        let mut pools = previous.map(|p| p.pools.clone()).unwrap_or_default();
        let mut providers = Vec::with_capacity(snapshot.providers.len());
        for spec in snapshot.providers {
            providers.push(Arc::new(Provider::compile(spec, &mut pools, system_tls)?));
        }
        let limits = snapshot.limits;
        let width = |n: u64| usize::try_from(n).unwrap_or(usize::MAX);
        Ok(Self {
            epoch: snapshot.epoch,
            providers,
            aliases: snapshot.aliases.into_iter().map(|a| (a.from, a.to)).collect(),
            grants: snapshot.grants,
            head_limits: HeadLimits {
                head_bytes_max: width(limits.head_bytes),
                header_count_max: width(limits.header_count),
                target_bytes_max: width(limits.target_bytes),
            },
            limits,
            listeners: snapshot.listeners,
            identity: snapshot.identity,
            pools,
        })
    }
}

/// What a listening address serves.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Serves {
    pub(crate) llm: bool,
    pub(crate) admin: bool,
}

impl Config {
    /// What the listener at this address serves.
    pub(crate) fn serves(&self, address: &str) -> Serves {
        self.listeners
            .iter()
            .find(|listener| listener.address == address)
            .map_or(
                Serves {
                    llm: true,
                    admin: true,
                },
                |listener| Serves {
                    llm: listener.llm,
                    admin: listener.admin,
                },
            )
    }
}

impl Provider {
    fn compile(
        spec: snapshot::Provider,
        pools: &mut HashMap<String, usize>,
        system_tls: &dyn Fn() -> Result<TlsConfig, TlsError>,
    ) -> Result<Self, CompileError> {
        let fail = |what: String| CompileError::Provider {
            provider: spec.id.clone(),
            what,
        };
        let mut globs = Vec::with_capacity(spec.models.len());
        for pattern in &spec.models {
            globs.push(Glob::parse(pattern).map_err(|error| fail(format!("models: {error}")))?);
        }
        let tls = match (&spec.base.tls, &spec.ca_pem) {
            (false, _) => None,
            (true, None) => Some(system_tls().map_err(|error| fail(error.to_string()))?.for_shard()),
            (true, Some(pem)) => {
                Some(TlsConfig::from_ca_pem(pem).map_err(|error| fail(format!("tls.ca_file: {error}")))?)
            }
        };
        let mut added_lines = Vec::new();
        let mut added_names = Vec::new();
        let mut add = |name: &str, value: &str| {
            added_lines.extend_from_slice(name.as_bytes());
            added_lines.extend_from_slice(b": ");
            added_lines.extend_from_slice(value.as_bytes());
            added_lines.extend_from_slice(b"\r\n");
            added_names.push(name.to_ascii_lowercase());
        };
        if spec.auth_mode == AuthMode::Override && !spec.key.0.is_empty() {
            match spec.authorization {
                Authorization::Bearer => add("authorization", &format!("Bearer {}", spec.key.0)),
                Authorization::XApiKey => add("x-api-key", &spec.key.0),
                Authorization::XGoogApiKey => add("x-goog-api-key", &spec.key.0),
            }
        }
        for header in &spec.add_headers {
            add(&header.name, &header.value.0);
        }
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
            globs,
            added_lines,
            added_names,
            tls,
            pool,
            spec,
        })
    }
}
