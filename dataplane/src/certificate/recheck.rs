//! Looking again at the certificates of open connections when the bundles have changed.
//!
//! An authority that was taken away, a new revocation list, other groups: a connection that was let in under the old
//! bundles must not outlive them, since a stream may last for an hour. The sweep notices that there is a newer
//! configuration; only connections with a certificate are looked at, a few at a time, because each costs signature
//! checks. One that does not hold any more, or proves somebody else, is cut.

use std::rc::Rc;
use std::sync::Arc;
use std::time::Duration;

use rustls::pki_types::CertificateDer;
use sluice_shared::wire::control::Principal;

use super::{Certified, Trust};
use crate::shard::Shard;

/// Connections that are looked at before others get their turn; some signature checks each.
const AT_ONCE: usize = 4;
/// How long the others' turn is.
const PAUSE: Duration = Duration::from_millis(2);

/// What a connection was let in for.
pub(crate) struct Shown {
    chain: Vec<CertificateDer<'static>>,
    principal: Arc<Principal>,
    trust: Arc<Trust>,
}

impl Shown {
    pub(crate) fn new(
        chain: Vec<CertificateDer<'static>>,
        certified: &Certified,
        trust: &Arc<Trust>,
    ) -> Rc<Self> {
        Rc::new(Self {
            chain,
            principal: certified.principal.clone(),
            trust: trust.clone(),
        })
    }
}

/// Compares the certificates of open connections with the newest bundles, if that has not been done. To be called by
/// the sweep; costs a comparison unless there are certificates and a new configuration.
pub(crate) fn recheck(shard: &Rc<Shard>) {
    if !shard.watches.has_shown() {
        return;
    }
    let Some(config) = shard.config() else { return };
    if shard.watches.compared.replace(Some(config.epoch)) == Some(config.epoch) {
        return;
    }
    let bundles = &config.identity.certificates;
    let mut stale = shard.watches.shown();
    // Most share one trust, which is compared once.
    let mut last: Option<(Arc<Trust>, bool)> = None;
    stale.retain(|(_, shown)| match &last {
        Some((trust, holds)) if Arc::ptr_eq(trust, &shown.trust) => !holds,
        _ => {
            let holds = shown.trust.is_of(bundles);
            last = Some((shown.trust.clone(), holds));
            !holds
        }
    });
    if stale.is_empty() {
        return;
    }
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    // Bundles that cannot be used let nobody in, which the listener says; who is in stays.
    let Ok(trust) = Trust::compile(bundles, false, &provider) else {
        return;
    };
    let shard = shard.clone();
    monoio::spawn(async move {
        for some in stale.chunks(AT_ONCE) {
            for (watch, shown) in some {
                if !watch.is_shown() {
                    // It has ended meanwhile.
                    continue;
                }
                match trust.admit(&shown.chain) {
                    Ok(certified) if certified.principal == shown.principal => {
                        watch.renew_shown(Shown::new(shown.chain.clone(), &certified, &trust));
                    }
                    Ok(_) | Err(_) => {
                        shard.metrics.borrow_mut().entrance.withdrawn += 1;
                        watch.cut();
                    }
                }
            }
            monoio::time::sleep(PAUSE).await;
        }
    });
}
