//! `GET /api/models`: which models there are, who serves them at which price, and how they were used.
//!
//! A model is there if the configuration names it, as a model or as an alias, or if it was used in the period. What
//! providers serve by pattern has no end and is listed as patterns. Users see what they are granted.

mod budgets;

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::sync::Arc;

use axum::Json;
use axum::extract::rejection::PathRejection;
use axum::extract::{Path, State};
use axum::http::Uri;
use serde_json::{Map, Value, json};
use sluice_shared::api::Flag;
use sluice_shared::cost::{PriceBook, decimal};
use sluice_shared::glob::Glob;
use sluice_shared::policy::{Granted, Rules};
use sluice_shared::snapshot::{Provider, Snapshot};
use sluice_shared::units::UnixMicros;
use sluice_shared::wire::control;

use super::Shown;
use super::parameters::{Parameters, show_time};
use super::principal::{Principal, Role};
use super::problem::Problem;
use crate::live::health::Figures;
use crate::publish::Published;
use crate::store::{Filter, GroupBy, RequestQuery, Totals, UsageQuery};
use budgets::Budgets;

/// Days of usage that are summed unless asked otherwise.
const DAYS: u64 = 7;
/// Models of one answer: those that the configuration names, then the most used.
const MODELS_MAX: usize = 1_000;

pub(super) async fn list(
    State(shown): State<Arc<Shown>>,
    principal: Principal,
    uri: Uri,
) -> Result<Json<Value>, Problem> {
    let look = Look::new(&shown, &principal, &uri)?;
    let used = look.used().await?;
    let mut names: Vec<String> = look.configured().into_iter().collect();
    let known: BTreeSet<String> = names.iter().cloned().collect();
    names.extend(used.order.iter().filter(|name| !known.contains(*name)).cloned());
    names.retain(|name| look.admin || look.is_granted(name));
    let truncated = names.len() > MODELS_MAX;
    names.truncate(MODELS_MAX);
    let mut budgets = Budgets::default();
    let mut models = Vec::with_capacity(names.len());
    for name in &names {
        models.push(look.model(name, &used, &mut budgets).await?);
    }
    Ok(Json(json!({
        "since": show_time(look.since),
        "truncated": truncated,
        "models": models,
        "patterns": look.patterns(),
    })))
}

pub(super) async fn show(
    State(shown): State<Arc<Shown>>,
    principal: Principal,
    model: Result<Path<String>, PathRejection>,
    uri: Uri,
) -> Result<Json<Value>, Problem> {
    let Path(name) = model.map_err(|_| Problem::bad_parameter("model", "is not percent-encoded UTF-8"))?;
    let look = Look::new(&shown, &principal, &uri)?;
    let used = look.used().await?;
    let (provider, plain) = look.split(&name);
    let none = || Problem::not_found("no provider serves this model, and nobody used it");
    // `provider/model` is that model, too, where it is one that the answer can be about.
    let name = if provider.is_some() {
        plain.to_owned()
    } else {
        name
    };
    let there = if look.admin {
        !look.serving(&name).is_empty() || used.by_model.contains_key(&name)
    } else {
        look.is_granted(&name)
    };
    if !there {
        return Err(none());
    }
    let mut model = look.model(&name, &used, &mut Budgets::default()).await?;
    if !look.admin {
        let query = RequestQuery {
            since: Some(look.since),
            filter: Filter {
                user: Some(principal.login.clone()),
                model: Some(name),
                ..Filter::default()
            },
            limit: 1,
            ..RequestQuery::default()
        };
        let last = shown.store.requests(&query).await?;
        if let (Some(usage), Some(last)) = (model["usage"].as_object_mut(), last.records.first()) {
            usage.insert("last".to_owned(), show_time(last.time).into());
        }
    }
    Ok(Json(model))
}

/// Configured models whose names hold a text, as far as the caller may know them.
pub(super) fn named(shown: &Shown, principal: &Principal, text: &str) -> Vec<String> {
    let Ok(look) = Look::at(shown, principal, UnixMicros(0)) else {
        return Vec::new();
    };
    let names = look.configured().into_iter().filter(|name| name.contains(text));
    names.filter(|name| look.admin || look.is_granted(name)).collect()
}

/// One caller's look at the configuration in use.
struct Look<'a> {
    shown: &'a Shown,
    published: Published,
    rules: Rules,
    book: PriceBook,
    globs: Vec<Vec<Glob>>,
    granted: Granted,
    proven: control::Principal,
    admin: bool,
    since: UnixMicros,
    /// What is known of models of the last hour, by provider.
    health: HashMap<String, HashMap<String, Figures>>,
}

/// What was used in the period.
#[derive(Default)]
struct Used {
    by_model: HashMap<String, Totals>,
    /// The most used first.
    order: Vec<String>,
}

impl<'a> Look<'a> {
    fn new(shown: &'a Shown, principal: &Principal, uri: &Uri) -> Result<Self, Problem> {
        let parameters = Parameters::read(uri, &["since"])?;
        let now = shown.ledger.now().0;
        let since = parameters.time("since")?;
        let since = since.unwrap_or_else(|| UnixMicros(now.saturating_sub(DAYS * 86_400_000_000)));
        Self::at(shown, principal, since)
    }

    fn at(shown: &'a Shown, principal: &Principal, since: UnixMicros) -> Result<Self, Problem> {
        let published = shown.publisher.current().ok_or_else(Problem::internal)?;
        let rules = Rules::compile(&published.snapshot).map_err(|error| {
            tracing::error!(%error, "the document in use cannot be explained");
            Problem::internal()
        })?;
        let (proven, address) = principal.proven();
        let glob = |model: &String| Glob::parse(model).ok();
        let globs = published.snapshot.providers.iter();
        let (live, now) = (shown.live.health(), crate::reload::now());
        let health = published.snapshot.providers.iter().map(|provider| {
            let models = live.hour(&provider.id, now).models;
            (provider.id.clone(), models.into_iter().collect())
        });
        let health = health.collect();
        Ok(Self {
            shown,
            granted: rules.granted(&proven, address),
            book: PriceBook::compile(&published.snapshot),
            globs: globs
                .map(|p| p.models.iter().filter_map(glob).collect())
                .collect(),
            rules,
            proven,
            admin: principal.role == Role::Admin,
            since,
            health,
            published,
        })
    }

    fn snapshot(&self) -> &Snapshot {
        &self.published.snapshot
    }

    /// Names that stand in the configuration.
    fn configured(&self) -> BTreeSet<String> {
        let providers = self.snapshot().providers.iter();
        let listed = providers.flat_map(|provider| &provider.models);
        let exact = listed.filter(|model| !model.contains('*')).cloned();
        let aliases = self.snapshot().aliases.iter().map(|alias| alias.from.clone());
        exact.chain(aliases).collect()
    }

    /// A name of the form `provider/model`, taken apart.
    fn split<'n>(&self, name: &'n str) -> (Option<&'n str>, &'n str) {
        match name.split_once('/') {
            Some((id, rest))
                if self
                    .snapshot()
                    .providers
                    .iter()
                    .zip(&self.globs)
                    .any(|(p, globs)| p.id == id && globs.iter().any(|glob| glob.matches(rest))) =>
            {
                (Some(id), rest)
            }
            _ => (None, name),
        }
    }

    /// What an alias stands for.
    fn target(&self, name: &str) -> Option<&str> {
        let alias = self.snapshot().aliases.iter().find(|alias| alias.from == name);
        alias.map(|alias| alias.to.as_str())
    }

    /// Providers that serve a name, the preferred first; whether they list it, and the name that they know it by.
    fn serving<'n>(&'n self, name: &'n str) -> Vec<(&'n Provider, bool, &'n str)> {
        let name = self.target(name).unwrap_or(name);
        let (only, name) = self.split(name);
        let providers = self.snapshot().providers.iter().zip(&self.globs);
        providers
            .filter(|(provider, _)| only.is_none_or(|id| provider.id == id))
            .filter_map(|(provider, globs)| {
                let mut matching = globs.iter().filter(|glob| glob.matches(name)).peekable();
                matching.peek()?;
                Some((provider, matching.any(Glob::is_exact), name))
            })
            .collect()
    }

    fn is_granted(&self, name: &str) -> bool {
        let serving = self.serving(name);
        let mut serving = serving.iter();
        serving.any(|(provider, _, name)| self.rules.grants(&self.granted, &provider.id, name))
    }

    async fn used(&self) -> Result<Used, Problem> {
        let query = UsageQuery {
            since: Some(self.since),
            user: (!self.admin).then(|| self.proven.login.clone()),
            ..UsageQuery::all(GroupBy::Model)
        };
        let mut out = Used::default();
        for group in self.shown.store.usage(&query).await? {
            if group.key.is_empty() {
                // They reached no provider.
                continue;
            }
            let (_, name) = self.split(&group.key);
            let name = name.to_owned();
            if !out.by_model.contains_key(&name) {
                out.order.push(name.clone());
            }
            add(out.by_model.entry(name).or_default(), &group.totals);
        }
        Ok(out)
    }

    async fn model(&self, name: &str, used: &Used, budgets: &mut Budgets) -> Result<Value, Problem> {
        let mut serving = self.serving(name);
        if !self.admin {
            serving.retain(|(provider, _, name)| self.rules.grants(&self.granted, &provider.id, name));
        }
        let providers: Vec<Value> = serving
            .iter()
            .map(|(provider, listed, model)| self.provider(provider, *listed, model))
            .collect();
        let first = serving
            .iter()
            .find(|(provider, _, name)| self.rules.grants(&self.granted, &provider.id, name));
        let quotas = match first {
            Some((provider, _, model)) => budgets.of(self, &provider.id, model).await?,
            None => Vec::new(),
        };
        let usage = match used.by_model.get(name) {
            None => None,
            Some(totals) => Some(self.usage(name, totals).await?),
        };
        Ok(json!({
            "model": name,
            "alias_of": self.target(name),
            "granted": first.is_some(),
            "providers": providers,
            "usage": usage,
            "health": self.health(&serving),
            "quotas": quotas,
        }))
    }

    /// How a model does at the providers that serve it, in the last hour; `null`: nobody called it.
    fn health(&self, serving: &[(&Provider, bool, &str)]) -> Value {
        let mut all = Figures::default();
        for (provider, _, model) in serving {
            let of_provider = self.health.get(provider.id.as_str());
            if let Some(figures) = of_provider.and_then(|models| models.get(*model)) {
                all.merge(figures);
            }
        }
        if all.requests == 0 {
            return Value::Null;
        }
        let ms = |percent| all.ttft.percentile(percent).map(|micros| micros / 1_000);
        // Counts of an hour are far below what a float holds exactly.
        let float = |count: u64| f64::from(u32::try_from(count).unwrap_or(u32::MAX));
        json!({
            "error_share": float(all.errors) / float(all.requests),
            "ttft_p50_ms": ms(50),
            "ttft_p95_ms": ms(95),
        })
    }

    async fn usage(&self, name: &str, totals: &Totals) -> Result<Value, Problem> {
        let last = if self.admin {
            self.shown.store.last_seen(name).await?
        } else {
            None
        };
        Ok(json!({
            "requests": totals.requests,
            "errors": totals.errors,
            "unknown": totals.unknown,
            "unpriced": totals.unpriced,
            "input": totals.input,
            "output": totals.output,
            "cost_nanousd": totals.cost_nanousd,
            "last": last.map(show_time),
        }))
    }

    fn provider(&self, provider: &Provider, listed: bool, model: &str) -> Value {
        let endpoints: Vec<&str> = Flag::ALL
            .iter()
            .filter(|flag| provider.serves(**flag))
            .map(|flag| flag.name())
            .collect();
        let found = self.book.explain(&provider.id, model, None);
        let price = found.price.as_ref();
        json!({
            "id": provider.id,
            "name": provider.name,
            "model": model,
            "endpoints": endpoints,
            "serves": if listed { "listed" } else { "pattern" },
            "preference": provider.preference,
            "cost_basis": self.book.basis(&provider.id),
            "price": price.map(|price| rates(&price.rates)),
            "price_source": price.map(|price| price.source.to_string()).filter(|source| !source.is_empty()),
            "overridden": found.entry.is_some(),
        })
    }

    /// Patterns, each with the providers that serve it and that the caller is granted something of.
    fn patterns(&self) -> Vec<Value> {
        let mut out: BTreeMap<&str, Vec<&str>> = BTreeMap::new();
        for provider in &self.snapshot().providers {
            for pattern in provider.models.iter().filter(|model| model.contains('*')) {
                // What a grant covers of a pattern is asked as if the pattern were a name.
                if self.admin || self.rules.grants(&self.granted, &provider.id, pattern) {
                    out.entry(pattern).or_default().push(&provider.id);
                }
            }
        }
        out.iter()
            .map(|(pattern, providers)| json!({ "pattern": pattern, "providers": providers }))
            .collect()
    }
}

fn add(to: &mut Totals, more: &Totals) {
    let fields = [
        (&mut to.requests, more.requests),
        (&mut to.errors, more.errors),
        (&mut to.unknown, more.unknown),
        (&mut to.unpriced, more.unpriced),
        (&mut to.input, more.input),
        (&mut to.output, more.output),
        (&mut to.cost_nanousd, more.cost_nanousd),
    ];
    for (to, more) in fields {
        *to = to.saturating_add(more);
    }
}

/// Rates in US dollars for a million tokens, as exact decimals.
fn rates(rates: &sluice_shared::cost::Rates) -> Value {
    let all = [
        ("input", Some(rates.input)),
        ("output", Some(rates.output)),
        ("cache_read", Some(rates.cache_read)),
        ("cache_write_5m", Some(rates.cache_write_5m)),
        ("cache_write_1h", Some(rates.cache_write_1h)),
        ("reasoning", rates.reasoning),
        ("audio_input", rates.audio_input),
        ("audio_output", rates.audio_output),
        ("image_input", rates.image_input),
        ("image_output", rates.image_output),
    ];
    let text = |rate: Option<u64>| rate.map_or(Value::Null, |rate| decimal::dollars(rate).into());
    let members: Map<String, Value> = all
        .into_iter()
        .map(|(name, rate)| (name.to_owned(), text(rate)))
        .collect();
    Value::Object(members)
}
