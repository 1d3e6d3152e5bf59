//! What a principal may do under one epoch: compiled once from the grants, then a hash lookup per request.
//!
//! Deny by default, additive, allow only. The verdict on a model depends on the principal, the API family and the
//! name alone, so it is computed at the first request and kept; a new epoch begins with an empty table.

use std::cell::RefCell;
use std::collections::HashMap;
use std::rc::Rc;
use std::sync::Arc;

use sluice_shared::api::Flag;
use sluice_shared::glob::Glob;
use sluice_shared::ids::Epoch;
use sluice_shared::snapshot::{self, Role, Source, in_network};
use sluice_shared::wire::control::Principal;
use smallvec::SmallVec;

use crate::config::Config;

/// Verdicts kept per principal and epoch; when full, the table starts over.
const VERDICTS_MAX: usize = 4_096;

/// The compiled policy of one principal.
pub(crate) struct Policy {
    pub(crate) principal: Arc<Principal>,
    pub(crate) epoch: Epoch,
    pub(crate) role: Option<Role>,
    pub(crate) read_metrics: bool,
    capabilities: Vec<Compiled>,
    /// One table per API family, so that looking up costs no allocation.
    verdicts: RefCell<[HashMap<Box<str>, Rc<Verdict>>; Flag::ALL.len()]>,
}

struct Compiled {
    /// `None`: every model.
    models: Option<Vec<Glob>>,
    grants_models: bool,
    headers: Vec<snapshot::Header>,
}

/// What may be done with a model name.
pub(crate) enum Verdict {
    /// No enabled provider serves it on this API.
    NotServed,
    /// Served, but not granted to this principal.
    NotGranted,
    /// Providers to try, best first; never empty.
    Allowed(SmallVec<[Candidate; 2]>),
}

/// A provider and the model name that it is to be sent.
pub(crate) struct Candidate {
    pub(crate) provider: Arc<crate::config::Provider>,
    /// Name for the provider; the bytes are only touched if it differs from what was asked.
    pub(crate) model: String,
    /// Header lines that grants add for this model, and their lower-case names.
    pub(crate) added_lines: Vec<u8>,
    pub(crate) added_names: Vec<String>,
}

impl Policy {
    pub(crate) fn compile(config: &Config, principal: Arc<Principal>, address: [u8; 16]) -> Self {
        let mut role = None;
        let mut read_metrics = false;
        let mut capabilities = Vec::new();
        for grant in &config.grants {
            if !grant
                .sources
                .iter()
                .any(|source| matches(source, &principal, address))
            {
                continue;
            }
            for capability in &grant.capabilities {
                role = role.max(capability.role);
                read_metrics |= capability.read_metrics;
                // An unreadable pattern grants nothing; the control plane refuses such documents anyway.
                let models = capability
                    .models
                    .as_ref()
                    .map(|patterns| patterns.iter().filter_map(|p| Glob::parse(p).ok()).collect());
                capabilities.push(Compiled {
                    models,
                    grants_models: capability.grants_models,
                    headers: capability.add_headers.clone(),
                });
            }
        }
        Self {
            principal,
            epoch: config.epoch,
            role,
            read_metrics,
            capabilities,
            verdicts: RefCell::default(),
        }
    }

    /// The verdict on a model name as the client wrote it.
    pub(crate) fn verdict(&self, config: &Config, flag: Flag, asked: &str) -> Rc<Verdict> {
        let index = flag as usize;
        if let Some(verdict) = self
            .verdicts
            .borrow()
            .get(index)
            .and_then(|table| table.get(asked))
        {
            return verdict.clone();
        }
        let verdict = Rc::new(self.decide(config, flag, asked));
        if let Some(table) = self.verdicts.borrow_mut().get_mut(index) {
            if table.len() >= VERDICTS_MAX {
                table.clear();
            }
            table.insert(asked.into(), verdict.clone());
        }
        verdict
    }

    /// Providers for a call that names no model: those that serve the API and of which any model is granted.
    pub(crate) fn any(&self, config: &Config, flag: Flag) -> Rc<Verdict> {
        let mut served = false;
        let mut candidates = SmallVec::new();
        for provider in &config.providers {
            if provider.spec.serves(flag) {
                served = true;
                if provider
                    .spec
                    .models
                    .iter()
                    .any(|model| self.grants(&provider.spec.id, model))
                {
                    candidates.push(self.candidate(provider, ""));
                }
            }
        }
        Rc::new(match (served, candidates.is_empty()) {
            (false, _) => Verdict::NotServed,
            (true, true) => Verdict::NotGranted,
            (true, false) => Verdict::Allowed(candidates),
        })
    }

    fn decide(&self, config: &Config, flag: Flag, asked: &str) -> Verdict {
        let name = config.aliases.get(asked).map_or(asked, String::as_str);
        let addressed = name.split_once('/').and_then(|(id, rest)| {
            let provider = config
                .providers
                .iter()
                .find(|p| p.spec.id == id && p.spec.serves(flag))?;
            provider
                .globs
                .iter()
                .any(|g| g.matches(rest))
                .then_some((provider, rest))
        });
        let mut served = false;
        let mut candidates = SmallVec::new();
        let mut offer = |provider: &Arc<crate::config::Provider>, model: &str| {
            served = true;
            if self.grants(&provider.spec.id, model) {
                candidates.push(self.candidate(provider, model));
            }
        };
        match addressed {
            Some((provider, model)) => offer(provider, model),
            None => {
                for provider in &config.providers {
                    if provider.spec.serves(flag) && provider.globs.iter().any(|g| g.matches(name)) {
                        offer(provider, name);
                    }
                }
            }
        }
        match (served, candidates.is_empty()) {
            (false, _) => Verdict::NotServed,
            (true, true) => Verdict::NotGranted,
            (true, false) => Verdict::Allowed(candidates),
        }
    }

    /// Whether any grant covers `provider/model`.
    pub(crate) fn grants(&self, provider: &str, model: &str) -> bool {
        self.role.is_some()
            && self
                .capabilities
                .iter()
                .any(|c| c.grants_models && covers(c.models.as_deref(), provider, model))
    }

    fn candidate(&self, provider: &Arc<crate::config::Provider>, model: &str) -> Candidate {
        let mut added_lines = Vec::new();
        let mut added_names: Vec<String> = Vec::new();
        for capability in &self.capabilities {
            if capability.headers.is_empty()
                || !covers(capability.models.as_deref(), &provider.spec.id, model)
            {
                continue;
            }
            for header in &capability.headers {
                let name = header.name.to_ascii_lowercase();
                if added_names.contains(&name) || provider.added_names.contains(&name) {
                    continue;
                }
                added_lines.extend_from_slice(header.name.as_bytes());
                added_lines.extend_from_slice(b": ");
                added_lines.extend_from_slice(header.value.0.as_bytes());
                added_lines.extend_from_slice(b"\r\n");
                added_names.push(name);
            }
        }
        Candidate {
            provider: provider.clone(),
            model: model.to_owned(),
            added_lines,
            added_names,
        }
    }
}

fn covers(models: Option<&[Glob]>, provider: &str, model: &str) -> bool {
    models.is_none_or(|globs| globs.iter().any(|g| g.matches_pair(provider, model)))
}

fn matches(source: &Source, principal: &Principal, address: [u8; 16]) -> bool {
    match source {
        Source::Any => true,
        Source::Login(name) => *name == principal.login || principal.tags.contains(name),
        Source::Group(name) => principal.groups.contains(name),
        Source::Network { address: net, prefix } => in_network(address, *net, *prefix),
        Source::Loopback => principal.source == "loopback",
        Source::Member => principal.tags.is_empty(),
        Source::Tagged => !principal.tags.is_empty(),
    }
}
