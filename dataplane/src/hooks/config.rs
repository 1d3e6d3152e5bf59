//! A hook as shards use it: its spec, whom to trust, and the pool of its connections.

use std::collections::HashMap;
use std::sync::Arc;

use sluice_proto::http1::{Method, emit};
use sluice_shared::snapshot::{self, Authorization};
use zeroize::Zeroizing;

use crate::config::{CompileError, header_lines};
use crate::tls::{TlsConfig, TlsError};
use crate::upstream::Place;

/// What shards share of a hook.
pub(crate) struct HookPart {
    pub(crate) spec: Arc<snapshot::Hook>,
    /// Trust in `ca_pem`.
    ca: Option<TlsConfig>,
}

/// A hook, ready to be called.
pub(crate) struct Hook {
    pub(crate) spec: Arc<snapshot::Hook>,
    /// The head of every request up to the fields that differ, credential included.
    pub(crate) head: Zeroizing<Vec<u8>>,
    tls: Option<TlsConfig>,
    /// Index of its connection pool in every shard; shared with nothing else, and with itself over epochs.
    pub(crate) pool: usize,
}

impl HookPart {
    pub(crate) fn new(spec: snapshot::Hook) -> Result<Self, CompileError> {
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

fn failed(spec: &snapshot::Hook, what: &str) -> CompileError {
    CompileError::Hook {
        hook: spec.name.clone(),
        what: what.to_owned(),
    }
}

impl Hook {
    pub(crate) fn compile(
        part: &HookPart,
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
        // A provider's place begins with its id, which has no such characters.
        let place = format!(
            "hook {}|{}|{}|{}|{}",
            spec.name,
            spec.base.tls,
            spec.base.host,
            spec.base.port,
            spec.ca_pem.as_deref().unwrap_or_default()
        );
        let next = pools.len();
        let pool = *pools.entry(place).or_insert(next);
        Ok(Self {
            head: head(spec),
            tls,
            pool,
            spec: Arc::clone(spec),
        })
    }

    /// Where it is.
    pub(crate) fn place(&self) -> Place<'_> {
        Place {
            base: &self.spec.base,
            tls: self.tls.as_ref(),
            connect_ms: self.spec.timeout_ms,
        }
    }
}

/// Request line and fields that every call has.
fn head(spec: &snapshot::Hook) -> Zeroizing<Vec<u8>> {
    let mut target = Vec::new();
    let path = spec.base.path.as_bytes();
    if path.first() != Some(&b'/') {
        target.push(b'/');
    }
    target.extend_from_slice(path);
    if !spec.query.is_empty() {
        target.push(b'?');
        target.extend_from_slice(spec.query.as_bytes());
    }
    let credential = (!spec.key.0.is_empty()).then_some(match spec.authorization {
        Authorization::Bearer => ("authorization", "Bearer ", spec.key.0.as_str()),
        Authorization::XApiKey => ("x-api-key", "", spec.key.0.as_str()),
        Authorization::XGoogApiKey => ("x-goog-api-key", "", spec.key.0.as_str()),
    });
    let (credential, _) = header_lines(credential.into_iter());
    // Room for all of it: a buffer that grows leaves a copy of the key behind.
    let room = target.len() + spec.base.authority.len() + credential.len() + 256;
    let mut out = Zeroizing::new(Vec::with_capacity(room));
    emit::request_line(&mut out, Method::Post, &target);
    emit::field(&mut out, b"host", spec.base.authority.as_bytes());
    emit::field(
        &mut out,
        b"user-agent",
        concat!("sluice/", env!("CARGO_PKG_VERSION")).as_bytes(),
    );
    emit::field(&mut out, b"accept", b"application/json");
    emit::field(&mut out, b"accept-encoding", b"identity");
    emit::field(&mut out, b"content-type", b"application/json");
    out.extend_from_slice(&credential);
    out
}
