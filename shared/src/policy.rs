//! Who may do what: the one evaluation of grants, for the data plane's calls and the control plane's explanations.
//!
//! [`Rules`] is compiled from a [`Snapshot`] once. [`Rules::granted`] finds, by an index over the sources of all grants,
//! what a principal is granted: the cost grows with the grants that match, not with those that exist.
//! [`Rules::decide`] then says which providers may serve a model name. [`Rules::explain`] says the same in words.
//!
//! Deny by default, additive, allow only:
//!
//! - A grant matches a principal by any of its sources ([`applies`]). Capabilities of all matching grants and those
//!   that came with the principal (the network's own policy) are united; nothing takes anything away but a
//!   credential's scope.
//! - The highest role counts. Without a role no model is granted, whatever `models` says.
//! - A model is granted if a capability that grants models at all covers `provider/model`, and the scope, if it
//!   names models, covers it, too. Capabilities with neither role nor models float: they grant no model, and what else
//!   they say holds for every model that is granted otherwise.
//! - A scope limits the role and the models. It leaves `read_metrics` alone: that is either granted by name, or
//!   follows from the role.
//! - Quotas, hooks and guardrails take: every one that any matching capability names counts ([`Rules::counting`],
//!   [`Rules::watch`]).
//!
//! What cannot be read gives nothing: a pattern that does not parse matches no model (and quotas beside it count for
//! every model), a header that is no header is not added. The control plane reports both when it reads the document.

use std::collections::HashMap;
use std::fmt;

use crate::api::Flag;
use crate::glob::{Glob, GlobError};
use crate::ids::Epoch;
use crate::snapshot::{
    AppValue, AuthMode, Authorization, Capability, Header, Provider, Role, SendHook, Snapshot, Source,
};
use crate::wire::control::Principal;

mod app;
mod budget;
mod decide;
mod explain;
mod nearest;
mod source;
#[cfg(test)]
mod tests;
mod watch;

pub use budget::{Budget, Counting};
pub use decide::{Candidate, Decision};
pub use explain::{
    ApiAnswer, By, CandidateAnswer, CapabilityView, Explanation, MatchedGrant, ModelAnswer, Outcome,
    QuotaAnswer,
};
pub use source::applies;
pub use watch::{HookUse, Watch};

/// The grants, providers and aliases of one epoch, ready for use.
#[derive(Debug)]
pub struct Rules {
    epoch: Epoch,
    providers: Vec<Served>,
    by_id: HashMap<Box<str>, usize>,
    models: decide::ModelIndex,
    aliases: HashMap<Box<str>, Box<str>>,
    grants: Vec<CompiledGrant>,
    index: source::Index,
    budgets: budget::Budgets,
    watching: watch::Watching,
}

/// What rules know of a provider.
#[derive(Debug)]
struct Served {
    id: Box<str>,
    flags: u16,
    /// Its models as written, for calls that name none.
    models: Vec<Box<str>>,
    globs: Vec<Glob>,
    /// Lower-case names of the headers that it is sent in any case; grants do not change those.
    fixed: Vec<Box<str>>,
}

#[derive(Debug)]
struct CompiledGrant {
    sources: Vec<Source>,
    rules: Vec<Rule>,
    app: Box<[AppValue]>,
}

/// A capability with its patterns compiled.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct Rule {
    /// Role, if it names one.
    pub role: Option<Role>,
    /// Patterns over `provider/model`; `None`: every model.
    pub models: Option<Box<[Glob]>>,
    /// Whether it grants models at all.
    pub grants_models: bool,
    /// May read `/metrics`.
    pub read_metrics: bool,
    headers: Box<[Header]>,
    /// Names of the quotas that count for these models.
    quotas: Box<[Box<str>]>,
    /// Hooks that are called for these models.
    send_hooks: Box<[SendHook]>,
    /// Names of the guardrails that hold for these models.
    guardrails: Box<[Box<str>]>,
    /// Share of these requests that is captured, in millionths.
    capture_share: Option<u32>,
    /// A pattern of it does not parse. It grants nothing, and its quotas, hooks and guardrails count for
    /// every model.
    unread: bool,
}

/// Where a capability comes from.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Origin {
    /// The grant with this index in [`Snapshot::grants`].
    Grant(u32),
    /// What came with the principal: the tailnet's policy, or what a token was issued with.
    Principal,
}

impl fmt::Display for Origin {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Grant(index) => write!(f, "grants[{index}]"),
            Self::Principal => f.write_str("the network's own policy"),
        }
    }
}

/// What one principal is granted under one [`Rules`]. Equal values may do the same.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct Granted {
    /// The highest role, limited by the scope.
    pub role: Option<Role>,
    /// May read `/metrics`.
    pub read_metrics: bool,
    /// Indices of the grants that match, ascending.
    grants: Box<[u32]>,
    /// What came with the principal.
    own: Box<[Rule]>,
    /// Values under other keys that came with it.
    app: Box<[AppValue]>,
    /// Patterns that a granted model must match besides.
    scope: Option<Box<[Glob]>>,
}

/// Why rules cannot be made of a snapshot.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum CompileError {
    /// A provider's list of models holds a pattern that does not parse: it would serve less than it says.
    #[error("provider {provider}: models: {error}")]
    Model {
        /// Id of the provider.
        provider: String,
        /// What is wrong with the pattern.
        error: GlobError,
    },
}

impl Rules {
    /// Compiles a snapshot. The work grows with its size: with 1,000 grants it is too long for a shard.
    ///
    /// # Errors
    /// A provider's model pattern does not parse.
    pub fn compile(snapshot: &Snapshot) -> Result<Self, CompileError> {
        let mut providers = Vec::with_capacity(snapshot.providers.len());
        let mut by_id = HashMap::with_capacity(snapshot.providers.len());
        for (at, provider) in snapshot.providers.iter().enumerate() {
            by_id.entry(provider.id.as_str().into()).or_insert(at);
            providers.push(Served::compile(provider)?);
        }
        let aliases = &snapshot.aliases;
        let grants = snapshot.grants.iter().map(|grant| CompiledGrant {
            sources: grant.sources.clone(),
            rules: grant.capabilities.iter().map(Rule::compile).collect(),
            app: grant.app.clone().into_boxed_slice(),
        });
        let grants: Vec<_> = grants.collect();
        Ok(Self {
            epoch: snapshot.epoch,
            models: decide::ModelIndex::new(&providers),
            providers,
            by_id,
            aliases: aliases
                .iter()
                .map(|a| (a.from.as_str().into(), a.to.as_str().into()))
                .collect(),
            index: source::Index::new(grants.iter().map(|grant| grant.sources.as_slice())),
            grants,
            budgets: budget::Budgets::new(&snapshot.quotas),
            watching: watch::Watching::new(snapshot),
        })
    }

    /// Epoch of the snapshot.
    #[must_use]
    pub fn epoch(&self) -> Epoch {
        self.epoch
    }

    /// What a principal at this address is granted; see [`crate::snapshot::address_bits`] for the form of addresses.
    #[must_use]
    pub fn granted(&self, principal: &Principal, address: [u8; 16]) -> Granted {
        self.unite(principal, self.index.matching(principal, address))
    }

    fn unite(&self, principal: &Principal, grants: Vec<u32>) -> Granted {
        let mut granted = Granted {
            role: None,
            read_metrics: false,
            grants: grants.into_boxed_slice(),
            own: principal.capabilities.iter().map(Rule::compile).collect(),
            app: principal.app.clone().into_boxed_slice(),
            scope: None,
        };
        let (mut role, mut read_metrics) = (None, false);
        for (_, rule) in granted.rules(self) {
            role = role.max(rule.role);
            read_metrics |= rule.read_metrics;
        }
        if let Some(scope) = &principal.scope {
            role = role.map(|role: Role| scope.role.map_or(role, |limit| role.min(limit)));
            granted.scope = scope.models.as_deref().map(globs);
        }
        granted.role = role;
        granted.read_metrics = read_metrics;
        granted
    }

    /// Whether `provider/model` is granted.
    #[must_use]
    pub fn grants(&self, granted: &Granted, provider: &str, model: &str) -> bool {
        granted.role.is_some()
            && granted.in_scope(provider, model)
            && granted
                .rules(self)
                .any(|(_, rule)| rule.grants_models && rule.covers(provider, model))
    }
}

impl Granted {
    /// Every capability of the principal and where it comes from: grants in the document's order, then what came with
    /// the principal. `rules` must be the ones that this was made from.
    pub fn rules<'a>(&'a self, rules: &'a Rules) -> impl Iterator<Item = (Origin, &'a Rule)> {
        let from_grants = self.grants.iter().flat_map(|index| {
            let grant = usize::try_from(*index).ok().and_then(|at| rules.grants.get(at));
            let rules = grant.map_or(&[][..], |grant| &grant.rules);
            rules.iter().map(|rule| (Origin::Grant(*index), rule))
        });
        from_grants.chain(self.own.iter().map(|rule| (Origin::Principal, rule)))
    }

    /// Whether the credential's scope lets this model pass.
    #[must_use]
    pub fn in_scope(&self, provider: &str, model: &str) -> bool {
        covers(self.scope.as_deref(), provider, model)
    }
}

impl Rule {
    fn compile(capability: &Capability) -> Self {
        Self {
            role: capability.role,
            models: capability.models.as_deref().map(globs),
            grants_models: capability.grants_models,
            read_metrics: capability.read_metrics,
            headers: capability
                .add_headers
                .iter()
                .filter(|header| is_header(header))
                .cloned()
                .collect(),
            quotas: capability
                .quotas
                .iter()
                .map(|name| name.as_str().into())
                .collect(),
            send_hooks: capability.send_hooks.clone().into_boxed_slice(),
            guardrails: capability
                .guardrails
                .iter()
                .map(|name| name.as_str().into())
                .collect(),
            capture_share: capability.capture_share,
            unread: capability
                .models
                .iter()
                .flatten()
                .any(|pattern| Glob::parse(pattern).is_err()),
        }
    }

    /// Whether its patterns cover `provider/model`; that alone grants nothing.
    #[must_use]
    pub fn covers(&self, provider: &str, model: &str) -> bool {
        covers(self.models.as_deref(), provider, model)
    }

    /// Neither role nor models: it holds for every model that is granted otherwise.
    #[must_use]
    pub fn floats(&self) -> bool {
        !self.grants_models && self.role.is_none() && self.models.is_none()
    }
}

impl Served {
    fn compile(provider: &Provider) -> Result<Self, CompileError> {
        let glob = |pattern: &String| {
            Glob::parse(pattern).map_err(|error| CompileError::Model {
                provider: provider.id.clone(),
                error,
            })
        };
        let credential = credential_header(provider).into_iter();
        let configured = provider.add_headers.iter().map(|header| header.name.as_str());
        Ok(Self {
            id: provider.id.as_str().into(),
            flags: provider.flags,
            models: provider
                .models
                .iter()
                .map(|model| model.as_str().into())
                .collect(),
            globs: provider.models.iter().map(glob).collect::<Result<_, _>>()?,
            fixed: credential
                .chain(configured)
                .map(|name| name.to_ascii_lowercase().into())
                .collect(),
        })
    }

    const fn serves(&self, flag: Flag) -> bool {
        self.flags & (1 << flag as u8) != 0
    }
}

/// Name of the header that carries the provider's key; `None` if no key is sent.
#[must_use]
pub fn credential_header(provider: &Provider) -> Option<&'static str> {
    if provider.auth_mode != AuthMode::Override || provider.key.0.is_empty() {
        return None;
    }
    Some(match provider.authorization {
        Authorization::Bearer => "authorization",
        Authorization::XApiKey => "x-api-key",
        Authorization::XGoogApiKey => "x-goog-api-key",
    })
}

/// Patterns that parse.
fn globs(patterns: &[String]) -> Box<[Glob]> {
    patterns
        .iter()
        .filter_map(|pattern| Glob::parse(pattern).ok())
        .collect()
}

fn covers(models: Option<&[Glob]>, provider: &str, model: &str) -> bool {
    models.is_none_or(|globs| globs.iter().any(|glob| glob.matches_pair(provider, model)))
}

/// A token and a value without control characters (RFC 9110, 5.1 and 5.5): it is written into requests as it is.
fn is_header(header: &Header) -> bool {
    let token = |byte: u8| byte.is_ascii_alphanumeric() || b"!#$%&'*+-.^_`|~".contains(&byte);
    !header.name.is_empty()
        && header.name.bytes().all(token)
        && header
            .value
            .0
            .bytes()
            .all(|byte| byte == b'\t' || (byte >= b' ' && byte != 0x7f))
}
