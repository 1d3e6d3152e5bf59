//! What a principal may do under one epoch, remembered: the grants are evaluated by `sluice_shared::policy`, here is
//! what makes that a hash lookup per request.
//!
//! ```text
//! Policy (one a principal) ──▶ Right (one for all who are granted the same) ──▶ verdicts by model name and API
//!    └──▶ buckets of the quotas that count for it, as far as their names follow from the principal
//! ```
//!
//! The verdict on a model depends on what is granted, the API family and the name alone, so it is computed at the
//! first request and kept. A new epoch begins with nothing: a principal's policy is compiled at its next request, and
//! what it replaces is freed then, one at a time. Neither points at the rules of its epoch, so a policy that nobody
//! asks for keeps no old configuration alive.

use std::cell::{Cell, RefCell};
use std::collections::{HashMap, HashSet};
use std::hash::{Hash, Hasher};
use std::rc::{Rc, Weak};
use std::sync::Arc;

use sluice_proto::guard::GuardSet;
use sluice_shared::api::Flag;
use sluice_shared::ids::Epoch;
use sluice_shared::policy::{Budget, Decision, Granted, Watch};
use sluice_shared::quota::Unit;
use sluice_shared::quota::name::Values;
use sluice_shared::snapshot::{QuotaLimit, Role};
use sluice_shared::wire::control::Principal;
use smallvec::SmallVec;
use zeroize::Zeroizing;

use crate::config::{Config, Provider, header_lines};
use crate::quota::bucket::Bucket;

pub mod probe;

/// Verdicts kept for a right; when full, its table starts over.
const VERDICTS_MAX: usize = 1_024;
/// Verdicts kept for all rights of a shard and epoch, some hundred bytes each; beyond, they are computed anew each time.
const VERDICTS_TOTAL_MAX: usize = 65_536;
/// Rights that are looked up to be shared; beyond, each principal has its own. Also what letting go of an epoch
/// costs at most at once.
const RIGHTS_MAX: usize = 1_024;
/// Quotas of a principal whose buckets are kept at hand; those beyond are looked up in the shard's table each time.
const QUOTAS_AT_HAND_MAX: usize = 16;
/// Verdicts that are forgotten at once when an epoch is over: well below a millisecond.
const FORGOTTEN_AT_ONCE: usize = 1_024;

/// The compiled policy of one principal.
pub(crate) struct Policy {
    pub(crate) principal: Arc<Principal>,
    pub(crate) epoch: Epoch,
    pub(crate) role: Option<Role>,
    pub(crate) read_metrics: bool,
    right: Rc<Right>,
    /// Buckets of quotas whose names depend on the principal alone, by the quota's index.
    /// For each name that counts one for each limit, in the quota's order. The shard is free to forget them.
    buckets: RefCell<Vec<AtHand>>,
}

/// Index of a quota, and its buckets.
type AtHand = (usize, Box<[Weak<Bucket>]>);

/// What may be done with a model name.
pub(crate) enum Verdict {
    /// No enabled provider serves it on this API.
    NotServed,
    /// Served, but not granted to this principal.
    NotGranted,
    /// Providers to try, best first; never empty.
    Allowed(SmallVec<[Candidate; 1]>),
}

/// A provider and the model name that it is to be sent.
pub(crate) struct Candidate {
    pub(crate) provider: Arc<Provider>,
    /// Name for the provider; the bytes are only touched if it differs from what was asked.
    pub(crate) model: String,
    /// Header lines that grants add for this model, and their lower-case names.
    pub(crate) added_lines: Zeroizing<Vec<u8>>,
    pub(crate) added_names: Vec<String>,
    /// Quotas that count for it.
    pub(crate) quotas: Box<[Counted]>,
    /// Who looks at its calls.
    pub(crate) watch: Watch,
    /// The guardrails among them, compiled.
    pub(crate) guards: GuardSet,
}

/// A quota that counts for a candidate.
pub(crate) struct Counted {
    /// Its name, with placeholders.
    pub(crate) name: Rc<str>,
    /// Index for `Rules::budget`; `None`: it cannot be used, and nothing passes.
    pub(crate) budget: Option<usize>,
}

impl Policy {
    pub(crate) fn compile(config: &Config, principal: Arc<Principal>, address: [u8; 16]) -> Self {
        let granted = config.published.rules.granted(&principal, address);
        Self {
            principal,
            epoch: config.epoch,
            role: granted.role,
            read_metrics: granted.read_metrics,
            right: config.rights.of(granted),
            buckets: RefCell::default(),
        }
    }

    /// Calls `with` for each bucket of a quota that counts for a request of this principal, and its limit. `values` says
    /// what the request names; who calls is filled in here. Where the names depend on the principal alone the buckets
    /// are at hand after the first time; others `find` looks up, by quota, name and unit.
    pub(crate) fn each_bucket(
        &self,
        find: impl Fn(&str, &str, Unit) -> Rc<Bucket>,
        config: &Config,
        index: usize,
        budget: &Budget,
        values: Values<'_>,
        mut with: impl FnMut(&QuotaLimit, Rc<Bucket>),
    ) {
        let limits = &budget.quota.limits;
        if let Some(buckets) = self.at_hand(index) {
            let buckets = buckets.into_iter().zip(limits.iter().cycle());
            return buckets.for_each(|(bucket, limit)| with(limit, bucket));
        }
        let mut keep = (!budget.template.of_request()).then(Vec::new);
        let values = Values {
            user: &self.principal.login,
            node: &self.principal.node,
            ..values
        };
        let mut name = config.rights.name.borrow_mut();
        budget.names(&self.principal.groups, values, &mut name, |name| {
            for limit in limits {
                let bucket = find(&budget.quota.name, name, limit.unit);
                if let Some(keep) = &mut keep {
                    keep.push(Rc::downgrade(&bucket));
                }
                with(limit, bucket);
            }
        });
        let mut known = self.buckets.borrow_mut();
        if let Some(keep) = keep {
            known.retain(|(of, _)| *of != index);
            if known.len() < QUOTAS_AT_HAND_MAX {
                known.push((index, keep.into()));
            }
        }
    }

    /// The buckets of a quota, if all of them are at hand and in use.
    fn at_hand(&self, index: usize) -> Option<SmallVec<[Rc<Bucket>; 4]>> {
        let known = self.buckets.borrow();
        let (_, buckets) = known.iter().find(|(of, _)| *of == index)?;
        let buckets = buckets.iter().map(Weak::upgrade);
        buckets
            .map(|bucket| bucket.filter(|bucket| bucket.counts()))
            .collect()
    }

    /// The verdict on a model name as the client wrote it. `config` must be of the policy's epoch.
    pub(crate) fn verdict(&self, config: &Config, flag: Flag, asked: &str) -> Rc<Verdict> {
        debug_assert_eq!(
            self.epoch, config.epoch,
            "indices of one epoch mean nothing in another"
        );
        if let Some(verdict) = self.right.known(flag, asked) {
            return verdict;
        }
        let decision = config.published.rules.decide(&self.right.granted, flag, asked);
        let verdict = Rc::new(Verdict::new(config, decision));
        // Names that nobody serves are endless, and found out without trying grants.
        if !matches!(*verdict, Verdict::NotServed) {
            self.right.remember(flag, asked, &verdict);
        }
        verdict
    }

    /// Providers for a call that names no model: those that serve the API and of which any model is granted.
    pub(crate) fn any(&self, config: &Config, flag: Flag) -> Rc<Verdict> {
        let mut known = self.right.any.borrow_mut();
        if let Some((_, verdict)) = known.iter().find(|(of, _)| *of == flag) {
            return verdict.clone();
        }
        let decision = config.published.rules.decide_any(&self.right.granted, flag);
        let verdict = Rc::new(Verdict::new(config, decision));
        known.push((flag, verdict.clone()));
        verdict
    }

    /// What the principal is granted under keys that are not Sluice's, for hooks; see `Rules::app_json`.
    pub(crate) fn app_json(&self, config: &Config) -> String {
        config.published.rules.app_json(&self.right.granted)
    }

    /// Whether any grant covers `provider/model`.
    pub(crate) fn grants(&self, config: &Config, provider: &str, model: &str) -> bool {
        config
            .published
            .rules
            .grants(&self.right.granted, provider, model)
    }
}

impl Verdict {
    fn new(config: &Config, decision: Decision<'_>) -> Self {
        match decision {
            Decision::NotServed => Self::NotServed,
            Decision::NotGranted => Self::NotGranted,
            Decision::Allowed(candidates) => Self::Allowed(
                candidates
                    .into_iter()
                    .filter_map(|candidate| {
                        let headers = candidate.headers.iter();
                        let headers = headers.map(|h| (h.name.as_str(), "", h.value.0.as_str()));
                        let (added_lines, added_names) = header_lines(headers);
                        Some(Candidate {
                            provider: Arc::clone(config.providers.get(candidate.provider)?),
                            model: candidate.model.to_owned(),
                            added_lines,
                            added_names,
                            quotas: candidate
                                .quotas
                                .iter()
                                .map(|counting| Counted {
                                    name: counting.name.into(),
                                    budget: counting.budget,
                                })
                                .collect(),
                            guards: config.published.guards.set(&candidate.watch.guardrails),
                            watch: candidate.watch,
                        })
                    })
                    .collect(),
            ),
        }
    }
}

/// All rights of a shard and epoch.
#[derive(Default)]
pub(crate) struct Rights {
    known: RefCell<HashSet<Rc<Right>>>,
    verdicts: Rc<Cell<usize>>,
    /// Names of buckets are put together here.
    name: RefCell<String>,
}

impl Rights {
    /// The right of everybody who is granted this.
    fn of(&self, granted: Granted) -> Rc<Right> {
        let right = Right {
            granted,
            verdicts: RefCell::default(),
            any: RefCell::default(),
            total: Rc::clone(&self.verdicts),
        };
        let mut known = self.known.borrow_mut();
        if let Some(same) = known.get(&right) {
            return Rc::clone(same);
        }
        let right = Rc::new(right);
        if known.len() < RIGHTS_MAX {
            known.insert(Rc::clone(&right));
        }
        right
    }
}

impl Rights {
    /// Forgets some of the verdicts, and with them providers and their keys. Returns whether there are more.
    pub(crate) fn forget_some(&self) -> bool {
        let mut known = self.known.borrow_mut();
        let mut forgotten = 0;
        while forgotten < FORGOTTEN_AT_ONCE {
            let Some(right) = known.iter().next().cloned() else {
                return false;
            };
            known.remove(&right);
            let verdicts = right.verdicts.take();
            self.verdicts
                .set(self.verdicts.get().saturating_sub(verdicts.len()));
            forgotten += verdicts.len() + right.any.take().len() + 1;
        }
        !known.is_empty()
    }
}

/// What is granted, and the verdicts that follow from it. Two are equal if the same is granted.
struct Right {
    granted: Granted,
    /// By the name asked for; most names are asked for on one API only.
    verdicts: RefCell<HashMap<Box<str>, PerFlag>>,
    /// For calls that name no model.
    any: RefCell<PerFlag>,
    /// Entries of the `verdicts` of all rights.
    total: Rc<Cell<usize>>,
}

type PerFlag = SmallVec<[(Flag, Rc<Verdict>); 1]>;

impl Right {
    fn known(&self, flag: Flag, asked: &str) -> Option<Rc<Verdict>> {
        let verdicts = self.verdicts.borrow();
        let of_name = verdicts.get(asked)?;
        let (_, verdict) = of_name.iter().find(|(of, _)| *of == flag)?;
        Some(Rc::clone(verdict))
    }

    fn remember(&self, flag: Flag, asked: &str, verdict: &Rc<Verdict>) {
        let mut verdicts = self.verdicts.borrow_mut();
        if let Some(of_name) = verdicts.get_mut(asked) {
            of_name.push((flag, Rc::clone(verdict)));
            return;
        }
        if verdicts.len() >= VERDICTS_MAX {
            self.total.set(self.total.get().saturating_sub(verdicts.len()));
            verdicts.clear();
        }
        if self.total.get() < VERDICTS_TOTAL_MAX {
            self.total.set(self.total.get() + 1);
            verdicts.insert(asked.into(), smallvec::smallvec![(flag, Rc::clone(verdict))]);
        }
    }
}

impl Drop for Right {
    fn drop(&mut self) {
        let entries = self.verdicts.get_mut().len();
        self.total.set(self.total.get().saturating_sub(entries));
    }
}

impl PartialEq for Right {
    fn eq(&self, other: &Self) -> bool {
        self.granted == other.granted
    }
}

impl Eq for Right {}

impl Hash for Right {
    fn hash<H: Hasher>(&self, state: &mut H) {
        self.granted.hash(state);
    }
}

#[cfg(test)]
mod tests {
    use sluice_shared::snapshot::{
        BaseUrl, Capability, Grant, Provider as Spec, Sealed, Secret, Snapshot, Source, seal,
    };

    use super::*;
    use crate::config::Published;
    use crate::tls::TlsError;

    /// Two providers; a role for everybody, a header for `alice`.
    fn snapshot(epoch: u64) -> Snapshot {
        let provider = |id: &str| Spec {
            id: id.into(),
            models: vec!["**".into()],
            flags: u16::MAX,
            base: BaseUrl {
                host: format!("{id}.example.com"),
                ..BaseUrl::default()
            },
            key: Secret("key".into()),
            ..Spec::default()
        };
        let grant = |source, capability| Grant {
            sources: vec![source],
            capabilities: vec![capability],
            ..Grant::default()
        };
        let role = Capability {
            role: Some(Role::User),
            grants_models: true,
            ..Capability::default()
        };
        let metrics = Capability {
            read_metrics: true,
            ..Capability::default()
        };
        Snapshot {
            epoch: Epoch(epoch),
            providers: vec![provider("a"), provider("b")],
            grants: vec![
                grant(Source::Any, role),
                grant(Source::Login("alice".into()), metrics),
            ],
            ..Snapshot::default()
        }
    }

    fn config(snapshot: &Snapshot, previous: Option<&Config>) -> Config {
        let sealed = Sealed::open(&seal(snapshot).unwrap()).unwrap();
        let published = Arc::new(Published::new(sealed).unwrap());
        let no_tls = || Err(TlsError::Roots("none here".into()));
        Config::compile(&published, previous, &no_tls).unwrap()
    }

    fn policy(config: &Config, login: &str) -> Policy {
        let principal = Principal {
            login: login.into(),
            ..Principal::default()
        };
        Policy::compile(config, Arc::new(principal), [0; 16])
    }

    #[test]
    fn whoever_is_granted_the_same_shares_what_was_decided() {
        let config = config(&snapshot(1), None);
        let [alice, bob, carol] = ["alice", "bob", "carol"].map(|login| policy(&config, login));
        assert!(alice.read_metrics && !bob.read_metrics);
        assert!(Rc::ptr_eq(&bob.right, &carol.right) && !Rc::ptr_eq(&alice.right, &bob.right));
        let verdict = bob.verdict(&config, Flag::OpenAiChat, "m");
        assert!(matches!(&*verdict, Verdict::Allowed(candidates) if candidates.len() == 2));
        assert!(Rc::ptr_eq(
            &verdict,
            &carol.verdict(&config, Flag::OpenAiChat, "m")
        ));
        assert!(!Rc::ptr_eq(&verdict, &carol.verdict(&config, Flag::Ollama, "m")));
        let any = bob.any(&config, Flag::OpenAiChat);
        assert!(Rc::ptr_eq(&any, &carol.any(&config, Flag::OpenAiChat)));
        assert!(!Rc::ptr_eq(&any, &carol.any(&config, Flag::Ollama)));
    }

    #[test]
    fn tables_are_bounded_and_give_back_what_they_took() {
        let config = config(&snapshot(1), None);
        let bob = policy(&config, "bob");
        for n in 0..3 * VERDICTS_MAX {
            bob.verdict(&config, Flag::OpenAiChat, &format!("m-{n}"));
            let kept = bob.right.verdicts.borrow().len();
            assert!(kept <= VERDICTS_MAX);
            assert_eq!(config.rights.verdicts.get(), kept);
        }
        // A name asked for on another API is no further entry.
        let before = config.rights.verdicts.get();
        bob.verdict(&config, Flag::Ollama, &format!("m-{}", 3 * VERDICTS_MAX - 1));
        assert_eq!(config.rights.verdicts.get(), before);

        // More rights than are shared: each has its own table, and gives it back when it goes.
        let granted = |n: usize| {
            let principal = Principal {
                capabilities: vec![Capability {
                    models: Some(vec![format!("a/m-{n}")]),
                    grants_models: true,
                    ..Capability::default()
                }],
                ..Principal::default()
            };
            Policy::compile(&config, Arc::new(principal), [0; 16])
        };
        let first: Vec<Policy> = (0..RIGHTS_MAX + 10).map(granted).collect();
        assert_eq!(config.rights.known.borrow().len(), RIGHTS_MAX);
        let last = first.last().unwrap();
        assert!(!Rc::ptr_eq(&last.right, &granted(RIGHTS_MAX + 9).right));
        last.verdict(&config, Flag::OpenAiChat, "m");
        assert_eq!(config.rights.verdicts.get(), before + 1);
        drop(first);
        assert_eq!(config.rights.verdicts.get(), before);

        // With the total used up verdicts are still right, only not kept.
        config.rights.verdicts.set(VERDICTS_TOTAL_MAX);
        let alice = policy(&config, "alice");
        let verdict = alice.verdict(&config, Flag::OpenAiChat, "m");
        assert!(matches!(&*verdict, Verdict::Allowed(candidates) if candidates.len() == 2));
        assert!(alice.right.verdicts.borrow().is_empty());
    }

    #[test]
    fn names_that_nobody_serves_are_not_kept() {
        let mut snapshot = snapshot(1);
        for provider in &mut snapshot.providers {
            provider.models = vec!["m".into()];
        }
        let config = config(&snapshot, None);
        let bob = policy(&config, "bob");
        for name in ["x", "y", "a/x"] {
            assert!(matches!(
                *bob.verdict(&config, Flag::OpenAiChat, name),
                Verdict::NotServed
            ));
        }
        assert!(bob.right.verdicts.borrow().is_empty());
    }

    #[test]
    fn what_did_not_change_is_handed_on() {
        let first = config(&snapshot(1), None);
        let mut changed = snapshot(2);
        changed.providers[1].key = Secret("rotated".into());
        let second = config(&changed, Some(&first));
        assert!(Arc::ptr_eq(&first.providers[0], &second.providers[0]));
        let (old, new) = (&first.providers[1], &second.providers[1]);
        assert!(!Arc::ptr_eq(old, new));
        assert_eq!(*new.added_lines, b"authorization: Bearer rotated\r\n");
        assert_eq!(old.pool, new.pool, "the same place");
        changed.epoch = Epoch(3);
        changed.providers[1].base.host = "elsewhere.example.com".into();
        let third = config(&changed, Some(&second));
        assert_ne!(
            third.providers[1].pool, new.pool,
            "connections to another place are not reused"
        );
        // Verdicts of a new epoch name the new provider.
        let verdict = policy(&third, "bob").verdict(&third, Flag::OpenAiChat, "m");
        let Verdict::Allowed(candidates) = &*verdict else {
            panic!("granted")
        };
        assert!(Arc::ptr_eq(&candidates[1].provider, &third.providers[1]));
    }
}
