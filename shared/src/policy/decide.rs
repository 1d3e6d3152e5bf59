//! From a model name to the providers that may serve it.
//!
//! An alias is followed once. `provider/model` addresses one provider if it has that id, serves the API and lists the
//! rest; otherwise the whole name is looked for with all providers, since model names hold slashes, too.

use std::collections::HashMap;

use super::{Counting, Granted, Rules, Served, Watch};
use crate::api::Flag;
use crate::glob::Glob;
use crate::snapshot::Header;

/// What may be done with a model name.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Decision<'a> {
    /// No enabled provider serves it on this API.
    NotServed,
    /// Served, but not granted to this principal.
    NotGranted,
    /// Providers to try, best first; never empty.
    Allowed(Vec<Candidate<'a>>),
}

/// A provider and the model name that it is to be sent.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Candidate<'a> {
    /// Index in [`crate::snapshot::Snapshot::providers`].
    pub provider: usize,
    /// Name for the provider; empty where the call names no model.
    pub model: &'a str,
    /// Headers that grants add, each name once, none that the provider is sent anyway.
    pub headers: Vec<&'a Header>,
    /// Quotas that count for it, see [`Rules::counting`]; none for calls that name no model, which look at what is
    /// stored and are not billed.
    pub quotas: Vec<Counting<'a>>,
    /// Who looks at its calls.
    pub watch: Watch,
}

impl Rules {
    /// What a principal may do with a model name as the client wrote it.
    #[must_use]
    pub fn decide<'a>(&'a self, granted: &'a Granted, flag: Flag, asked: &'a str) -> Decision<'a> {
        let serving = self.serving(flag, self.resolve(asked));
        let candidates = serving.iter().filter_map(|&(provider, model)| {
            let id = &self.providers.get(provider)?.id;
            self.grants(granted, id, model)
                .then(|| self.candidate(granted, provider, model))
        });
        decision(!serving.is_empty(), candidates.collect())
    }

    /// Providers for a call that names no model: those that serve the API and of which any model is granted.
    #[must_use]
    pub fn decide_any<'a>(&'a self, granted: &'a Granted, flag: Flag) -> Decision<'a> {
        let serving = self.providers.iter().enumerate();
        let serving: Vec<_> = serving.filter(|(_, provider)| provider.serves(flag)).collect();
        let candidates = serving
            .iter()
            .filter(|(_, provider)| {
                let mut models = provider.models.iter();
                models.any(|model| self.grants(granted, &provider.id, model))
            })
            .map(|(at, _)| self.candidate(granted, *at, ""));
        decision(!serving.is_empty(), candidates.collect())
    }

    /// What an alias stands for, or the name itself.
    pub(super) fn resolve<'a>(&'a self, asked: &'a str) -> &'a str {
        self.aliases.get(asked).map_or(asked, |name| name)
    }

    /// Providers that serve a name, best first, each with the name that it knows the model by.
    pub(super) fn serving<'a>(&self, flag: Flag, name: &'a str) -> Vec<(usize, &'a str)> {
        if let Some((id, rest)) = name.split_once('/')
            && let Some(&at) = self.by_id.get(id)
            && let Some(provider) = self.providers.get(at)
            && provider.serves(flag)
            && provider.globs.iter().any(|glob| glob.matches(rest))
        {
            return vec![(at, rest)];
        }
        let mut out = self.models.listing(name);
        out.retain(|&at| {
            self.providers
                .get(at)
                .is_some_and(|provider| provider.serves(flag))
        });
        out.into_iter().map(|at| (at, name)).collect()
    }

    fn candidate<'a>(&'a self, granted: &'a Granted, provider: usize, model: &'a str) -> Candidate<'a> {
        Candidate {
            provider,
            model,
            headers: self
                .headers(granted, provider, model)
                .map(|(_, header)| header)
                .collect(),
            quotas: match self.providers.get(provider) {
                Some(served) if !model.is_empty() => self.counting(granted, &served.id, model),
                _ => Vec::new(),
            },
            watch: match self.providers.get(provider) {
                Some(served) => self.watch(granted, provider, &served.id, model),
                None => Watch::default(),
            },
        }
    }

    /// Headers that grants add to requests of a model, and where each comes from.
    pub(super) fn headers<'a>(
        &'a self,
        granted: &'a Granted,
        provider: usize,
        model: &str,
    ) -> impl Iterator<Item = (super::Origin, &'a Header)> {
        let mut out: Vec<(super::Origin, &'a Header)> = Vec::new();
        if let Some(served) = self.providers.get(provider) {
            for (origin, rule) in granted.rules(self) {
                if rule.headers.is_empty() || !rule.covers(&served.id, model) {
                    continue;
                }
                for header in &rule.headers {
                    let same = |name: &str| name.eq_ignore_ascii_case(&header.name);
                    if !served.fixed.iter().any(|name| same(name))
                        && !out.iter().any(|(_, before)| same(&before.name))
                    {
                        out.push((origin, header));
                    }
                }
            }
        }
        out.into_iter()
    }
}

fn decision(served: bool, candidates: Vec<Candidate<'_>>) -> Decision<'_> {
    match (served, candidates.is_empty()) {
        (false, _) => Decision::NotServed,
        (true, true) => Decision::NotGranted,
        (true, false) => Decision::Allowed(candidates),
    }
}

/// Providers by the models that they list.
#[derive(Debug)]
pub(super) struct ModelIndex {
    /// Names without a star.
    exact: HashMap<Box<str>, Vec<usize>>,
    /// All other patterns.
    patterns: Vec<(usize, Glob)>,
}

impl ModelIndex {
    pub(super) fn new(providers: &[Served]) -> Self {
        let mut exact: HashMap<Box<str>, Vec<usize>> = HashMap::new();
        let mut patterns = Vec::new();
        for (at, provider) in providers.iter().enumerate() {
            for glob in &provider.globs {
                if glob.is_exact() {
                    exact.entry(glob.as_str().into()).or_default().push(at);
                } else {
                    patterns.push((at, glob.clone()));
                }
            }
        }
        Self { exact, patterns }
    }

    /// Indices of the providers that list this name, ascending: in order of preference.
    fn listing(&self, name: &str) -> Vec<usize> {
        let mut out = self.exact.get(name).cloned().unwrap_or_default();
        let matching = self.patterns.iter().filter(|(_, glob)| glob.matches(name));
        out.extend(matching.map(|(at, _)| *at));
        out.sort_unstable();
        out.dedup();
        out
    }
}
