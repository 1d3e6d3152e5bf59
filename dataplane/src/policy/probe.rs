//! Entry for benchmarks and for the test that counts allocations: a shard's lookup of a known principal and of its
//! verdict, without the shard.

use std::collections::HashMap;
use std::rc::Rc;
use std::sync::Arc;

use sluice_shared::api::Flag;
use sluice_shared::quota::name::Values;
use sluice_shared::wire::control::Principal;

use super::{Policy, Verdict};
use crate::config::{CompileError, Config, Published};
use crate::quota::node;
use crate::tls::TlsError;

/// Principals by address, as a shard knows them.
#[derive(Default)]
pub struct Peers {
    config: Option<Rc<Config>>,
    known: HashMap<[u8; 16], Rc<Policy>>,
}

impl std::fmt::Debug for Peers {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Peers")
            .field("known", &self.known.len())
            .finish_non_exhaustive()
    }
}

impl Peers {
    /// Puts a configuration into use, as a shard does with the next request; nobody's policy is touched.
    ///
    /// # Errors
    /// The configuration cannot be used.
    pub fn adopt(&mut self, published: &Arc<Published>) -> Result<(), CompileError> {
        let no_tls = || Err(TlsError::Roots("none here".into()));
        let config = Config::compile(published, self.config.as_deref(), &no_tls)?;
        self.config = Some(Rc::new(config));
        Ok(())
    }

    /// Remembers a principal; `false` without a configuration.
    pub fn remember(&mut self, address: [u8; 16], principal: Arc<Principal>) -> bool {
        let Some(config) = &self.config else { return false };
        let policy = Policy::compile(config, principal, address);
        self.known.insert(address, Rc::new(policy));
        true
    }

    /// What a request of a known principal costs: the policy, compiled anew if it is of another epoch, and the
    /// verdict. How many providers may be tried; `None` for a stranger.
    pub fn check(&mut self, address: [u8; 16], flag: Flag, model: &str) -> Option<usize> {
        let config = self.config.as_ref()?;
        let known = self.known.get_mut(&address)?;
        if known.epoch != config.epoch {
            *known = Rc::new(Policy::compile(config, known.principal.clone(), address));
        }
        let policy = Rc::clone(known);
        Some(match &*policy.verdict(config, flag, model) {
            Verdict::NotServed | Verdict::NotGranted => 0,
            Verdict::Allowed(candidates) => candidates.len(),
        })
    }

    /// Hands over the buckets that count for a request of a known principal to the first provider that may be tried, as they
    /// are found before each request. Those that are not at hand are looked up in the shard.
    pub fn budgets(
        &self,
        address: [u8; 16],
        flag: Flag,
        model: &str,
        shard: &node::Shard,
        mut with: impl FnMut(node::Handle),
    ) {
        let (Some(config), Some(policy)) = (&self.config, self.known.get(&address)) else {
            return;
        };
        let verdict = policy.verdict(config, flag, model);
        let Verdict::Allowed(candidates) = &*verdict else {
            return;
        };
        let Some(candidate) = candidates.first() else {
            return;
        };
        let values = Values {
            model: &candidate.model,
            provider: &candidate.provider.spec.id,
            ..Values::default()
        };
        let find = |quota: &str, name: &str, unit| shard.find(quota, name, unit);
        for counted in &candidate.quotas {
            let budget = counted
                .budget
                .and_then(|at| Some((at, config.published.rules.budget(at)?)));
            if let Some((at, budget)) = budget {
                policy.each_bucket(find, config, at, budget, values, |_, bucket| {
                    with(node::Handle::new(bucket));
                });
            }
        }
    }
}
