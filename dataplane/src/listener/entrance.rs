//! What a listener asks of its connections, compiled from the newest configuration.
//!
//! Each shard keeps one for each of its listening sockets and compiles it again when the configuration's epoch has
//! changed; TLS settings that are the same keep what was compiled. A connection keeps the one that it was accepted
//! under, so a certificate is changed without touching any connection.

use std::rc::Rc;

use sluice_shared::ids::Epoch;
use sluice_shared::snapshot::{Listener, NetworkPrefix, in_network};

use crate::config::Config;
use crate::tls::server::ServerTls;

/// What a listener asks of its connections.
pub(crate) struct Entrance {
    epoch: Option<Epoch>,
    /// Senders of a PROXY header; from them, and only from them, one is required.
    proxy_senders: Vec<NetworkPrefix>,
    pub(crate) security: Security,
}

/// Whether connections are encrypted.
#[derive(Clone)]
pub(crate) enum Security {
    Plain,
    Tls(Rc<ServerTls>),
    /// They should be, and cannot: nobody is let in.
    Broken,
}

impl Entrance {
    /// Before there is a configuration.
    pub(crate) fn unknown() -> Rc<Self> {
        Rc::new(Self {
            epoch: None,
            proxy_senders: Vec::new(),
            security: Security::Plain,
        })
    }

    /// The entrance under `config` of the listener at `address`; `self` if that has not changed.
    pub(crate) fn renewed(self: &Rc<Self>, config: Option<&Rc<Config>>, address: &str) -> Rc<Self> {
        let Some(config) = config else {
            return self.clone();
        };
        if self.epoch == Some(config.epoch) {
            return self.clone();
        }
        let Some(listener) = config.listeners.iter().find(|l| l.address == address) else {
            return Rc::new(self.unnamed(config, address));
        };
        let bundles = &config.identity.certificates;
        let security = match (&listener.tls, &self.security) {
            (None, _) => Security::Plain,
            (Some(spec), Security::Tls(kept)) if kept.is_of(spec, bundles) => Security::Tls(kept.clone()),
            (Some(spec), _) => match ServerTls::compile(spec, bundles) {
                Ok(tls) => Security::Tls(Rc::new(tls)),
                Err(error) => {
                    tracing::error!(%error, listener = address, "TLS cannot be served: connections are refused");
                    Security::Broken
                }
            },
        };
        Rc::new(Self {
            epoch: Some(config.epoch),
            proxy_senders: listener.proxy_senders.clone(),
            security,
        })
    }

    /// The socket is open and the configuration does not name it: its listener was removed, and goes with the next
    /// restart. Until then it stays as it was; it never becomes less guarded than what is configured.
    fn unnamed(&self, config: &Config, address: &str) -> Self {
        let guarded = |l: &Listener| l.tls.is_some() || !l.proxy_senders.is_empty();
        let security = match (self.epoch, config.listeners.iter().any(guarded)) {
            (Some(_), _) => self.security.clone(),
            (None, false) => Security::Plain,
            (None, true) => {
                tracing::error!(
                    listener = address,
                    "not in the configuration, whose listeners have TLS or PROXY senders: connections are refused"
                );
                Security::Broken
            }
        };
        Self {
            epoch: Some(config.epoch),
            proxy_senders: self.proxy_senders.clone(),
            security,
        }
    }

    /// Whether there was a configuration. Without one nobody knows whether connections should be encrypted.
    pub(crate) fn is_known(&self) -> bool {
        self.epoch.is_some()
    }

    /// Whether it was compiled from this configuration.
    pub(crate) fn is_of(&self, config: &Config) -> bool {
        self.epoch == Some(config.epoch)
    }

    /// Whether a connection begins with requests at once.
    pub(crate) fn is_open_to(&self, address: [u8; 16]) -> bool {
        matches!(self.security, Security::Plain) && !self.expects_proxy(address)
    }

    /// Whether a connection from this address begins with a PROXY header.
    pub(crate) fn expects_proxy(&self, address: [u8; 16]) -> bool {
        self.proxy_senders
            .iter()
            .any(|net| in_network(address, net.address, net.prefix))
    }
}
