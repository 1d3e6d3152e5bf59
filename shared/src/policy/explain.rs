//! The same evaluation in words: who somebody is, what they get and by which grant, or precisely what is missing.
//!
//! Header values never appear here, only names: they may be credentials.

use super::nearest::distance;
use super::source::{applies, names};
use super::{Granted, Origin, Rule, Rules};
use crate::api::Flag;
use crate::quota::name::Values;
use crate::snapshot::{Role, Source};
use crate::wire::control::{Principal, Scope};

/// Who gets what and why.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Explanation {
    /// Source that proved the principal.
    pub source: String,
    /// Login; the tags of a device.
    pub login: String,
    /// Stable id of the node.
    pub node: String,
    /// Tags.
    pub tags: Vec<String>,
    /// Groups.
    pub groups: Vec<String>,
    /// The role that counts.
    pub role: Option<Role>,
    /// Grants that give the highest role; a scope may have lowered it.
    pub role_by: Vec<By>,
    /// May read `/metrics`; an admin may in any case.
    pub read_metrics: bool,
    /// Grants that say so.
    pub read_metrics_by: Vec<By>,
    /// Limit of the credential.
    pub scope: Option<Scope>,
    /// Everything that matches the principal, in the order in which it counts.
    pub grants: Vec<MatchedGrant>,
    /// About the model, if one was asked for.
    pub model: Option<ModelAnswer>,
    /// What is missing for the principal to have a role.
    pub missing: Option<String>,
}

/// A grant and how it came to match.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct By {
    /// Which.
    pub origin: Origin,
    /// Its sources that mean the principal, as in the document; empty for what came with the principal.
    pub sources: Vec<String>,
}

/// A grant that matches, with all of its capabilities.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct MatchedGrant {
    /// Which, and by what.
    pub by: By,
    /// Its capabilities in order.
    pub capabilities: Vec<CapabilityView>,
}

/// A capability as it counts.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct CapabilityView {
    /// Role.
    pub role: Option<Role>,
    /// Patterns; `None`: every model.
    pub models: Option<Vec<String>>,
    /// Whether it grants models; otherwise what it says holds for models that are granted otherwise.
    pub grants_models: bool,
    /// May read `/metrics`.
    pub read_metrics: bool,
    /// Names of the headers it adds.
    pub headers: Vec<String>,
    /// Names of the quotas that count for its models.
    pub quotas: Vec<String>,
}

/// What becomes of a model name.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ModelAnswer {
    /// The name as asked.
    pub asked: String,
    /// What an alias makes of it.
    pub alias_of: Option<String>,
    /// APIs on which any enabled provider serves it.
    pub served_on: Vec<Flag>,
    /// The API asked about; without one, all of `served_on`.
    pub apis: Vec<ApiAnswer>,
    /// What is missing for it to be served at all.
    pub missing: Option<String>,
}

/// What becomes of a model name on one API.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ApiAnswer {
    /// The API.
    pub flag: Flag,
    /// In one word.
    pub outcome: Outcome,
    /// Every provider that serves it, best first, granted or not.
    pub candidates: Vec<CandidateAnswer>,
    /// What is missing for a provider to be tried.
    pub missing: Option<String>,
}

/// The verdict.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Outcome {
    /// The first granted candidate is tried first.
    Allowed,
    /// Served, not granted: 403.
    NotGranted,
    /// No provider serves it: 404.
    NotServed,
}

/// A provider that serves the model.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct CandidateAnswer {
    /// Its id.
    pub provider: String,
    /// The model as the provider knows it.
    pub model: String,
    /// Whether it would be tried.
    pub granted: bool,
    /// Capabilities that grant it, were there a role and no scope.
    pub granted_by: Vec<By>,
    /// Names of the headers that grants add, and the grant of each.
    pub headers: Vec<(String, Origin)>,
    /// Quotas that count for it: all of them must pass.
    pub quotas: Vec<QuotaAnswer>,
}

/// A quota that counts for a candidate.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct QuotaAnswer {
    /// Its name, with placeholders.
    pub name: String,
    /// Where it is named first.
    pub origin: Origin,
    /// Whether it is defined and can be read; if not, every call is refused.
    pub usable: bool,
    /// Its buckets for this principal, provider and model, for a request that names no session.
    pub buckets: Vec<String>,
}

/// Pairs of names that are compared to find the nearest: 1,000 grants for somebody with a few groups.
const PAIRS_MAX: usize = 10_000;

impl Rules {
    /// Explains what a principal at this address may do; about one API or, with `None`, all of them.
    #[must_use]
    pub fn explain(
        &self,
        principal: &Principal,
        address: [u8; 16],
        flag: Option<Flag>,
        model: Option<&str>,
    ) -> Explanation {
        let granted = self.granted(principal, address);
        let view = View {
            rules: self,
            principal,
            address,
            granted: &granted,
        };
        let highest = granted.rules(self).filter_map(|(_, rule)| rule.role).max();
        let missing = view.role_missing();
        Explanation {
            source: principal.source.clone(),
            login: principal.login.clone(),
            node: principal.node.clone(),
            tags: principal.tags.clone(),
            groups: principal.groups.clone(),
            role: granted.role,
            role_by: view.by(|rule| rule.role.is_some() && rule.role == highest),
            read_metrics: granted.read_metrics,
            read_metrics_by: view.by(|rule| rule.read_metrics),
            scope: principal.scope.clone(),
            grants: view.matched(),
            model: model.map(|asked| view.model(flag, asked, missing.as_deref())),
            missing,
        }
    }
}

/// What all parts of an explanation look at.
struct View<'a> {
    rules: &'a Rules,
    principal: &'a Principal,
    address: [u8; 16],
    granted: &'a Granted,
}

impl View<'_> {
    fn matched(&self) -> Vec<MatchedGrant> {
        let mut out: Vec<MatchedGrant> = Vec::new();
        for origin in self.origins() {
            let rules = self.granted.rules(self.rules).filter(|(from, _)| *from == origin);
            out.push(MatchedGrant {
                by: self.how(origin),
                capabilities: rules.map(|(_, rule)| CapabilityView::new(rule)).collect(),
            });
        }
        out
    }

    /// Everything that matches; a grant without capabilities, too.
    fn origins(&self) -> Vec<Origin> {
        let grants = self.granted.grants.iter().copied().map(Origin::Grant);
        let own = (!self.granted.own.is_empty()).then_some(Origin::Principal);
        grants.chain(own).collect()
    }

    /// Grants of which a capability fits.
    fn by(&self, fits: impl Fn(&Rule) -> bool) -> Vec<By> {
        let fitting = self.granted.rules(self.rules).filter(|(_, rule)| fits(rule));
        let mut origins: Vec<Origin> = fitting.map(|(origin, _)| origin).collect();
        origins.dedup();
        origins.into_iter().map(|origin| self.how(origin)).collect()
    }

    fn how(&self, origin: Origin) -> By {
        let mut sources = Vec::new();
        if let Origin::Grant(index) = origin
            && let Some(grant) = usize::try_from(index)
                .ok()
                .and_then(|at| self.rules.grants.get(at))
        {
            let meant = grant
                .sources
                .iter()
                .filter(|source| applies(source, self.principal, self.address));
            sources.extend(meant.map(ToString::to_string));
        }
        By { origin, sources }
    }

    /// Why there is no role.
    fn role_missing(&self) -> Option<String> {
        if self.granted.role.is_some() {
            return None;
        }
        let matched = self.origins();
        if matched.is_empty() {
            let near = self
                .nearest()
                .map_or_else(String::new, |near| format!("; {near}"));
            return Some(format!("no role: no grant matches{near}"));
        }
        let matched: Vec<String> = matched
            .into_iter()
            .map(|origin| self.how(origin).to_string())
            .collect();
        Some(format!(
            "no role: {} matches, but no capability of it names a role",
            matched.join(", ")
        ))
    }

    /// The grant whose source is nearest to a name of the principal.
    fn nearest(&self) -> Option<String> {
        let written = self.rules.grants.iter().enumerate().flat_map(|(at, grant)| {
            grant.sources.iter().filter_map(move |source| match source {
                Source::Login(name) | Source::Group(name) => Some((at, name.as_str())),
                _ => None,
            })
        });
        let pairs = written.flat_map(|(at, name)| names(self.principal).map(move |ours| (at, name, ours)));
        let mut best: Option<(usize, usize, &str)> = None;
        for (at, written, ours) in pairs.take(PAIRS_MAX) {
            if let Some(distance) = distance(ours, written)
                && best.is_none_or(|(before, _, _)| distance < before)
            {
                best = Some((distance, at, written));
            }
        }
        best.map(|(_, at, written)| format!("the nearest, grants[{at}], is for {written:?}"))
    }

    fn model(&self, flag: Option<Flag>, asked: &str, role_missing: Option<&str>) -> ModelAnswer {
        let name = self.rules.resolve(asked);
        let served = |flag: &Flag| !self.rules.serving(*flag, name).is_empty();
        let served_on: Vec<Flag> = Flag::ALL.iter().copied().filter(served).collect();
        let asked_about = flag.map_or_else(|| served_on.clone(), |flag| vec![flag]);
        ModelAnswer {
            asked: asked.to_owned(),
            alias_of: (name != asked).then(|| name.to_owned()),
            missing: served_on
                .is_empty()
                .then(|| format!("no enabled provider serves {name} on any API")),
            apis: asked_about
                .into_iter()
                .map(|flag| self.api(flag, name, &served_on, role_missing))
                .collect(),
            served_on,
        }
    }

    fn api(&self, flag: Flag, name: &str, served_on: &[Flag], role_missing: Option<&str>) -> ApiAnswer {
        let serving = self.rules.serving(flag, name);
        let candidates: Vec<_> = serving
            .iter()
            .map(|&(provider, model)| self.candidate(provider, model))
            .collect();
        let (outcome, missing) = if candidates.is_empty() {
            let others: Vec<&str> = served_on.iter().map(|flag| flag.name()).collect();
            let others = match others.as_slice() {
                [] => "nor on any other".to_owned(),
                _ => format!("served on: {}", others.join(", ")),
            };
            let api = flag.name();
            let missing = format!("no enabled provider serves {name} on {api}; {others}");
            (Outcome::NotServed, Some(missing))
        } else if candidates.iter().any(|candidate| candidate.granted) {
            (Outcome::Allowed, None)
        } else {
            let missing = role_missing.map_or_else(|| self.model_missing(&candidates), str::to_owned);
            (Outcome::NotGranted, Some(missing))
        };
        ApiAnswer {
            flag,
            outcome,
            candidates,
            missing,
        }
    }

    fn candidate(&self, provider: usize, model: &str) -> CandidateAnswer {
        let id: &str = self
            .rules
            .providers
            .get(provider)
            .map_or("", |provider| &provider.id);
        let headers = self.rules.headers(self.granted, provider, model);
        CandidateAnswer {
            provider: id.to_owned(),
            model: model.to_owned(),
            granted: self.rules.grants(self.granted, id, model),
            granted_by: self.by(|rule| rule.grants_models && rule.covers(id, model)),
            headers: headers
                .map(|(origin, header)| (header.name.clone(), origin))
                .collect(),
            quotas: self.quotas(id, model),
        }
    }

    /// The quotas that count, and their buckets.
    fn quotas(&self, provider: &str, model: &str) -> Vec<QuotaAnswer> {
        let values = Values {
            user: &self.principal.login,
            node: &self.principal.node,
            model,
            provider,
            ..Values::default()
        };
        let counting = self.rules.counting(self.granted, provider, model);
        let answers = counting.into_iter().map(|counting| {
            let budget = counting.budget.and_then(|at| self.rules.budget(at));
            let mut buckets = Vec::new();
            if let Some(budget) = budget {
                let mut scratch = String::new();
                budget.names(&self.principal.groups, values, &mut scratch, |name| {
                    buckets.push(name.to_owned());
                });
            }
            QuotaAnswer {
                name: counting.name.to_owned(),
                origin: counting.origin,
                usable: budget.is_some(),
                buckets,
            }
        });
        answers.collect()
    }

    /// Why a principal with a role is granted none of these.
    fn model_missing(&self, candidates: &[CandidateAnswer]) -> String {
        let highest = self
            .granted
            .rules(self.rules)
            .filter_map(|(_, rule)| rule.role)
            .max();
        let role = match self.granted.role {
            Some(Role::Admin) => "admin",
            Some(Role::User) => "user",
            None => "none",
        };
        let role_by = listed(&self.by(|rule| rule.role.is_some() && rule.role == highest));
        let names: Vec<String> = candidates
            .iter()
            .map(|c| format!("{}/{}", c.provider, c.model))
            .collect();
        let names = names.join(" or ");
        let granting: Vec<By> = candidates.iter().flat_map(|c| c.granted_by.clone()).collect();
        if granting.is_empty() {
            format!("role {role} by {role_by}, but no capability names a glob that matches {names}")
        } else {
            let scope = self.principal.scope.as_ref().and_then(|s| s.models.as_deref());
            format!(
                "granted by {}, but the credential is limited to models that match {}",
                listed(&granting),
                scope.unwrap_or_default().join(" or ")
            )
        }
    }
}

fn listed(by: &[By]) -> String {
    let mut texts: Vec<String> = by.iter().map(ToString::to_string).collect();
    texts.dedup();
    texts.join(", ")
}

/// `grants[2] (group:eng)`
impl std::fmt::Display for By {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        self.origin.fmt(f)?;
        if self.sources.is_empty() {
            return Ok(());
        }
        write!(f, " ({})", self.sources.join(", "))
    }
}

impl CapabilityView {
    fn new(rule: &Rule) -> Self {
        let texts = |globs: &[crate::glob::Glob]| globs.iter().map(|glob| glob.as_str().to_owned()).collect();
        Self {
            role: rule.role,
            models: rule.models.as_deref().map(texts),
            grants_models: rule.grants_models,
            read_metrics: rule.read_metrics,
            headers: rule.headers.iter().map(|header| header.name.clone()).collect(),
            quotas: rule.quotas.iter().map(|name| name.to_string()).collect(),
        }
    }
}
