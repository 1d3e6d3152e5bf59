//! What a principal may do under one epoch, remembered: the grants are evaluated by `sluice_shared::policy`, here is
//! what makes that a hash lookup per request.
//!
//! ```text
//! Policy (one a principal) ──▶ Right (one for all who are granted the same) ──▶ verdicts by model name and API
//! ```
//!
//! The verdict on a model depends on what is granted, the API family and the name alone, so it is computed at the
//! first request and kept. A new epoch begins with nothing: a principal's policy is compiled at its next request, and
//! what it replaces is freed then, one at a time. Neither points at the rules of its epoch, so a policy that nobody
//! asks for keeps no old configuration alive.

use std::cell::{Cell, RefCell};
use std::collections::{HashMap, HashSet};
use std::hash::{Hash, Hasher};
use std::rc::Rc;
use std::sync::Arc;

use sluice_shared::api::Flag;
use sluice_shared::ids::Epoch;
use sluice_shared::policy::{Decision, Granted};
use sluice_shared::snapshot::Role;
use sluice_shared::wire::control::Principal;
use smallvec::SmallVec;
use zeroize::Zeroizing;

use crate::config::{Config, Provider, header_lines};

pub mod probe;

/// Verdicts kept for a right; when full, its table starts over.
const VERDICTS_MAX: usize = 1_024;
/// Verdicts kept for all rights of a shard and epoch, some hundred bytes each; beyond, they are computed anew each time.
const VERDICTS_TOTAL_MAX: usize = 65_536;
/// Rights that are looked up to be shared; beyond, each principal has its own. Also what letting go of an epoch
/// costs at most at once.
const RIGHTS_MAX: usize = 1_024;

/// The compiled policy of one principal.
pub(crate) struct Policy {
    pub(crate) principal: Arc<Principal>,
    pub(crate) epoch: Epoch,
    pub(crate) role: Option<Role>,
    pub(crate) read_metrics: bool,
    right: Rc<Right>,
}

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
        }
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
