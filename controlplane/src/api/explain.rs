//! `GET /api/explain`: what somebody may do and by which grant, or what is missing; the same offline for a document.
//!
//! Whoever is asked about need not be connected: the question names what grants look at. An address alone is answered by
//! the identity sources that know addresses, as they would answer the data plane.

use std::collections::HashMap;
use std::net::IpAddr;
use std::path::Path;
use std::sync::Arc;

use axum::Json;
use axum::extract::State;
use axum::http::Uri;
use serde_json::{Value, json};
use sluice_shared::api::{ApiKind, Flag};
use sluice_shared::ids::Epoch;
use sluice_shared::policy::{
    ApiAnswer, By, CandidateAnswer, CapabilityView, Explanation, MatchedGrant, ModelAnswer, Outcome,
    QuotaAnswer, Rules,
};
use sluice_shared::snapshot::{self, QuotaLimit, Snapshot, SourceKind};
use sluice_shared::wire::control::{IdentityAnswer, Principal};

use super::Shown;
use super::parameters::Parameters;
use super::principal::{self, Role};
use super::problem::Problem;
use crate::compile::compile;
use crate::config::domain::{Identity, Network};
use crate::config::{self, Report, amount};
use crate::store::{BucketQuery, BucketRow};

const KNOWN: [&str; 7] = ["as", "tag", "group", "address", "source", "model", "api"];

/// Buckets whose balances are looked up for one answer.
const BUCKETS_MAX: usize = 256;
/// Buckets of one name: one for each unit.
const BUCKETS_MAX_OF_ONE: u32 = 4;

/// Whom a question is about, and which model.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Question {
    /// Login; a device has `tags` instead.
    pub login: Option<String>,
    /// Tags, `tag:x`.
    pub tags: Vec<String>,
    /// Groups, `group:x`.
    pub groups: Vec<String>,
    /// Address of the peer.
    pub address: Option<IpAddr>,
    /// Identity source that would prove it, e.g. `tailscale`; only `loopback` makes a difference to grants.
    pub source: Option<String>,
    /// Model, as a client would name it.
    pub model: Option<String>,
    /// API: a compatibility flag (`openai_chat`) or an API kind (`openai-chat`); all if absent.
    pub api: Option<String>,
}

/// Why a question has no answer.
#[derive(Debug, thiserror::Error)]
pub enum ExplainError {
    /// The document cannot be used.
    #[error("the document cannot be used")]
    Document(Box<Report>),
    /// Neither a login nor tags nor an address.
    #[error("say whom it is about: a login, a tag or an address")]
    Nobody,
    /// No such API.
    #[error("{given:?} is no API; known are {known}")]
    Api {
        /// As it was asked.
        given: String,
        /// Every flag.
        known: String,
    },
    /// A document that passed its check and cannot be compiled.
    #[error("{0}")]
    Rules(String),
}

/// Answers a question about a document, without any running gateway. The same JSON as `GET /api/explain`.
///
/// # Errors
/// The document cannot be used, or the question is none.
pub fn explain(
    text: &str,
    environment: &HashMap<String, String>,
    folder: &Path,
    question: &Question,
) -> Result<Value, ExplainError> {
    let (document, report) = config::load(text, environment, Some(folder));
    let document = document.ok_or_else(|| ExplainError::Document(Box::new(report)))?;
    let snapshot = compile(&document, Epoch(0));
    let found = question
        .only_address()
        .map(|address| by_document(&document.identity, address));
    answer(&snapshot, question, found.as_ref())
}

impl Question {
    /// The address, if nothing else says who it is: then the identity sources do.
    fn only_address(&self) -> Option<IpAddr> {
        self.address
            .filter(|_| self.login.is_none() && self.tags.is_empty())
    }

    fn principal(&self) -> Option<Principal> {
        let (mut tags, mut groups) = (self.tags.clone(), self.groups.clone());
        for list in [&mut tags, &mut groups] {
            list.sort();
            list.dedup();
        }
        let login = if tags.is_empty() {
            self.login.clone()?
        } else {
            tags.join(",")
        };
        Some(Principal {
            source: principal::source_of(self.source.as_deref().unwrap_or_default(), &login),
            node: self
                .address
                .map(|address| address.to_string())
                .unwrap_or_default(),
            login,
            tags,
            groups,
            ..Principal::default()
        })
    }

    fn flag(&self) -> Result<Option<Flag>, ExplainError> {
        let Some(given) = &self.api else { return Ok(None) };
        let flag = Flag::parse(given).or_else(|| Flag::parse(&given.replace('-', "_")));
        let kind = || ApiKind::parse(given).or_else(|| ApiKind::parse(&given.replace('-', "_")));
        flag.or_else(|| kind().map(ApiKind::flag))
            .map(Some)
            .ok_or_else(|| ExplainError::Api {
                given: given.clone(),
                known: Flag::ALL
                    .iter()
                    .map(|flag| flag.name())
                    .collect::<Vec<_>>()
                    .join(", "),
            })
    }
}

/// Whom an address belongs to by the document alone. Sources that would have to ask somebody know nobody here.
fn by_document(identity: &Identity, address: IpAddr) -> IdentityAnswer {
    let address = address.to_canonical();
    let bits = snapshot::address_bits(address);
    let known = |principal: Principal| IdentityAnswer::Known {
        principal: Principal {
            node: address.to_string(),
            ..principal
        },
        whole_address: true,
        age_ms_max: identity.age_ms_max,
    };
    for source in &identity.sources {
        if *source == SourceKind::Loopback && address.is_loopback() {
            return known(Principal {
                source: source.name().into(),
                login: "(loopback)".into(),
                ..Principal::default()
            });
        }
        let inside = |network: &&Network| snapshot::in_network(bits, network.address, network.prefix);
        // Of equally narrow ones the first counts, and `max_by_key` takes the last.
        let narrowest = identity
            .networks
            .iter()
            .rev()
            .filter(inside)
            .max_by_key(|network| network.prefix);
        if let (SourceKind::Static, Some(network)) = (source, narrowest) {
            return known(Principal {
                source: source.name().into(),
                login: if network.tags.is_empty() {
                    network.login.clone()
                } else {
                    network.tags.join(",")
                },
                tags: network.tags.clone(),
                groups: network.groups.clone(),
                ..Principal::default()
            });
        }
    }
    IdentityAnswer::Unknown { age_ms_max: 0 }
}

/// `found` is what the identity sources say about the address of a question that names nobody.
fn answer(
    snapshot: &Snapshot,
    question: &Question,
    found: Option<&IdentityAnswer>,
) -> Result<Value, ExplainError> {
    let flag = question.flag()?;
    let rules = Rules::compile(snapshot).map_err(|error| ExplainError::Rules(error.to_string()))?;
    let address = question.address.map(snapshot::address_bits).unwrap_or_default();
    let (principal, from) = match (question.principal(), found) {
        (Some(principal), _) => (principal, "the question".to_owned()),
        (None, Some(IdentityAnswer::Known { principal, .. })) => (
            principal.clone(),
            format!("the identity source {}", principal.source),
        ),
        (None, Some(answer)) => {
            let missing = match answer {
                IdentityAnswer::Unavailable { .. } => {
                    "an identity source that is responsible for this address does not answer: 503"
                }
                _ => "no identity source that goes by addresses knows this address: 403",
            };
            return Ok(
                json!({ "epoch": snapshot.epoch.0, "principal": null, "role": null, "missing": missing }),
            );
        }
        (None, None) => return Err(ExplainError::Nobody),
    };
    let explained = rules.explain(&principal, address, flag, question.model.as_deref());
    Ok(whole(&explained, snapshot, &from))
}

pub(super) async fn show(
    State(shown): State<Arc<Shown>>,
    caller: principal::Principal,
    uri: Uri,
) -> Result<Json<Value>, Problem> {
    let parameters = Parameters::read_lists(&uri, &KNOWN, &["tag", "group"])?;
    let text = |name: &str| parameters.text(name).map(str::to_owned);
    let address = match parameters.text("address") {
        None => None,
        Some(text) => Some(
            text.parse::<IpAddr>()
                .map_err(|_| Problem::bad_parameter("address", "must be an IP address"))?
                .to_canonical(),
        ),
    };
    let mut question = Question {
        login: text("as"),
        tags: parameters.texts("tag"),
        groups: parameters.texts("group"),
        address,
        source: text("source"),
        model: text("model"),
        api: text("api"),
    };
    let others =
        question.tags.len() + question.groups.len() > 0 || address.is_some() || question.source.is_some();
    let about_self = question.login.as_ref().is_none_or(|login| *login == caller.login) && !others;
    if caller.role == Role::User && !about_self {
        return Err(Problem::only_yourself());
    }
    let Some(published) = shown.publisher.current() else {
        return Err(Problem::internal());
    };
    let mut found = None;
    if about_self && (question.login.is_none() || caller.role == Role::User) {
        let (proven, peer) = caller.proven();
        question = Question {
            login: Some(proven.login),
            tags: proven.tags,
            groups: proven.groups,
            address: (peer != [0; 16]).then(|| IpAddr::from(peer).to_canonical()),
            source: Some(proven.source),
            ..question
        };
    } else if let Some(address) = question.only_address() {
        let bits = snapshot::address_bits(address);
        found = Some(shown.identities.whois(bits, 0).await);
    }
    match answer(&published.snapshot, &question, found.as_ref()) {
        Ok(mut answer) => {
            balances(&shown, &mut answer).await?;
            Ok(Json(answer))
        }
        Err(error @ ExplainError::Nobody) => {
            Err(Problem::bad_parameter("as", format_args!("is missing: {error}")))
        }
        Err(error @ ExplainError::Api { .. }) => {
            Err(Problem::bad_parameter("api", format_args!("is unknown: {error}")))
        }
        Err(error) => {
            tracing::error!(%error, "the document in use cannot be explained");
            Err(Problem::internal())
        }
    }
}

/// Fills in what is in the buckets; one that nobody has used yet keeps its `null`.
async fn balances(shown: &Shown, answer: &mut Value) -> Result<(), Problem> {
    let now = shown.ledger.now();
    let mut known: HashMap<(String, String), Vec<BucketRow>> = HashMap::new();
    for budget in budgets(answer) {
        let quota = budget["quota"].as_str().unwrap_or_default().to_owned();
        for bucket in items(budget, "buckets") {
            let name = bucket["bucket"].as_str().unwrap_or_default().to_owned();
            let key = (quota.clone(), name.clone());
            if !known.contains_key(&key) {
                if known.len() >= BUCKETS_MAX {
                    return Ok(());
                }
                let query = BucketQuery {
                    quota: Some(quota.clone()),
                    name: Some(name),
                    limit: BUCKETS_MAX_OF_ONE,
                    ..BucketQuery::default()
                };
                known.insert(key.clone(), shown.store.buckets(&query, now).await?);
            }
            let rows = known.get(&key).map(Vec::as_slice).unwrap_or_default();
            for limit in items(bucket, "limits") {
                let row = rows.iter().find(|row| limit["unit"] == row.bucket.unit.name());
                if let Some(row) = row {
                    limit["balance"] = row.account.balance.into();
                    limit["display"]["balance"] =
                        amount::show_balance(row.account.balance, row.bucket.unit).into();
                }
            }
        }
    }
    Ok(())
}

/// Every budget in an answer.
fn budgets(answer: &mut Value) -> impl Iterator<Item = &mut Value> {
    let model = answer.get_mut("model").into_iter();
    model
        .flat_map(|model| items(model, "apis"))
        .flat_map(|api| items(api, "candidates"))
        .flat_map(|candidate| items(candidate, "quotas"))
}

/// The items of a member, if it is there: what is not there must not appear by being looked for.
fn items<'a>(value: &'a mut Value, name: &str) -> impl Iterator<Item = &'a mut Value> + use<'a> {
    let list = value.get_mut(name).and_then(Value::as_array_mut);
    list.into_iter().flatten()
}

fn whole(e: &Explanation, snapshot: &Snapshot, from: &str) -> Value {
    json!({
        "epoch": snapshot.epoch.0,
        "principal": {
            "from": from,
            "source": e.source,
            "login": e.login,
            "node": e.node,
            "tags": e.tags,
            "groups": e.groups,
        },
        "role": e.role.map(role),
        "role_by": list(&e.role_by, by),
        "read_metrics": e.read_metrics,
        "read_metrics_by": list(&e.read_metrics_by, by),
        "scope": e.scope.as_ref().map(|scope| json!({ "models": scope.models, "role": scope.role.map(role) })),
        "grants": list(&e.grants, grant),
        "model": e.model.as_ref().map(|answer| model(answer, snapshot)),
        "missing": e.missing,
    })
}

fn list<T>(items: &[T], show: impl Fn(&T) -> Value) -> Value {
    items.iter().map(show).collect()
}

const fn role(role: snapshot::Role) -> &'static str {
    match role {
        snapshot::Role::Admin => "admin",
        snapshot::Role::User => "user",
    }
}

fn by(by: &By) -> Value {
    json!({ "grant": by.origin.to_string(), "sources": by.sources })
}

fn grant(grant: &MatchedGrant) -> Value {
    json!({
        "grant": grant.by.origin.to_string(),
        "sources": grant.by.sources,
        "capabilities": list(&grant.capabilities, capability),
    })
}

fn capability(c: &CapabilityView) -> Value {
    json!({
        "role": c.role.map(role),
        "models": c.models,
        "grants_models": c.grants_models,
        "read_metrics": c.read_metrics,
        "add_headers": c.headers,
        "quotas": c.quotas,
    })
}

fn model(m: &ModelAnswer, snapshot: &Snapshot) -> Value {
    let served: Vec<&str> = m.served_on.iter().map(|flag| flag.name()).collect();
    json!({
        "asked": m.asked,
        "alias_of": m.alias_of,
        "served_on": served,
        "apis": list(&m.apis, |answer| api(answer, snapshot)),
        "missing": m.missing,
    })
}

fn api(a: &ApiAnswer, snapshot: &Snapshot) -> Value {
    json!({
        "api": a.flag.name(),
        "outcome": match a.outcome {
            Outcome::Allowed => "allowed",
            Outcome::NotGranted => "not_granted",
            Outcome::NotServed => "not_served",
        },
        "candidates": list(&a.candidates, |answer| candidate(answer, snapshot)),
        "missing": a.missing,
    })
}

fn candidate(c: &CandidateAnswer, snapshot: &Snapshot) -> Value {
    let headers: Vec<Value> = c
        .headers
        .iter()
        .map(|(name, origin)| json!({ "name": name, "grant": origin.to_string() }))
        .collect();
    json!({
        "provider": c.provider,
        "model": c.model,
        "granted": c.granted,
        "granted_by": list(&c.granted_by, by),
        "add_headers": headers,
        "quotas": list(&c.quotas, |answer| budget(answer, snapshot)),
    })
}

/// A budget that counts, with its buckets and what each may hold.
fn budget(q: &QuotaAnswer, snapshot: &Snapshot) -> Value {
    let defined = snapshot.quotas.iter().find(|quota| quota.name == q.name);
    let limits: Vec<Value> = defined
        .filter(|_| q.usable)
        .into_iter()
        .flat_map(|quota| &quota.limits)
        .map(|QuotaLimit { unit, terms }| {
            json!({
                "unit": unit.name(),
                "capacity": terms.capacity,
                "balance": null,
                "display": {
                    "capacity": amount::show(terms.capacity, *unit),
                    "balance": null,
                    "rate": amount::show_rate(terms.rate, *unit),
                },
            })
        })
        .collect();
    json!({
        "quota": q.name,
        "grant": q.origin.to_string(),
        "usable": q.usable,
        "buckets": list(&q.buckets, |name| json!({ "bucket": name, "limits": limits })),
    })
}
