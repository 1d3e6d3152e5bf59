//! The look-up of a caller without sockets around it, for tests and benchmarks that count what it costs.

use std::sync::Arc;

use sluice_proto::http1::{credential, parse_request};
use sluice_shared::snapshot::{Role, Sealed, Snapshot, seal};
use sluice_shared::units::MonoMicros;

use super::facts::{Facts, Rules, Served, Token};
use super::known::{Known, Learnt, Resolved, Step};
use super::{IdentityAnswer, Key};
use crate::config::{Config, Published};
use crate::tls::TlsConfig;

/// What a shard knows about callers, under one configuration.
pub struct Probe {
    config: Config,
    known: Known,
}

/// What came of a request.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Looked {
    /// The caller is known, and has this role.
    Known(Option<Role>),
    /// Somebody would have to be asked.
    Asks(Key),
    /// It is refused.
    Refused,
}

impl std::fmt::Debug for Probe {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Probe")
    }
}

impl Probe {
    /// A shard that knows nobody.
    ///
    /// # Errors
    /// The snapshot cannot be used; why.
    pub fn new(snapshot: &Snapshot) -> Result<Self, String> {
        Ok(Self {
            config: compile(snapshot, None)?,
            known: Known::new(),
        })
    }

    /// Puts another snapshot into use.
    ///
    /// # Errors
    /// It cannot be used; why.
    pub fn publish(&mut self, snapshot: &Snapshot) -> Result<(), String> {
        self.config = compile(snapshot, Some(&self.config))?;
        Ok(())
    }

    /// The control plane has answered.
    pub fn learn(&mut self, key: Key, answer: &IdentityAnswer, valid_until: MonoMicros) {
        self.known.learn(key, answer, valid_until);
    }

    /// A request with this head comes from an address.
    #[must_use]
    pub fn look(&mut self, address: [u8; 16], head: &[u8], now: MonoMicros) -> Looked {
        let Ok(parsed) = parse_request(head, &self.config.head_limits) else {
            return Looked::Refused;
        };
        let rules = Rules::of(&self.config.identity);
        let shapes = credential::Shapes {
            token: rules.token,
            jwt: rules.oidc,
        };
        let Ok(bearer) = credential::find(&parsed, head, shapes) else {
            return Looked::Refused;
        };
        let facts = Facts {
            address,
            port: 1,
            certificate: None,
            served: Served::NotHere,
            bearer: bearer.and_then(Token::new),
        };
        match self.known.resolve(&self.config, &facts, &Learnt::default(), now) {
            Step::Done(Resolved::Known(caller)) => Looked::Known(caller.policy.role),
            Step::Done(_) => Looked::Refused,
            Step::AskBearer(key) | Step::AskConnection(key) => Looked::Asks(key),
        }
    }
}

pub(super) fn compile(snapshot: &Snapshot, previous: Option<&Config>) -> Result<Config, String> {
    let bytes = seal(snapshot).map_err(|error| error.to_string())?;
    let sealed = Sealed::open(&bytes).map_err(|error| error.to_string())?;
    let published = Arc::new(Published::new(sealed).map_err(|error| error.to_string())?);
    Config::compile(&published, previous, &TlsConfig::system).map_err(|error| error.to_string())
}
