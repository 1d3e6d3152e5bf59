//! `GET /aperture/pricing[/{model}]`: what calls cost by the configuration in use. Everybody with a role may read it: a
//! price is no secret from those who spend.

use std::collections::HashMap;
use std::path::Path;
use std::sync::Arc;

use axum::Json;
use axum::extract::rejection::PathRejection;
use axum::extract::{Path as Segment, State};
use axum::http::Uri;
use serde_json::{Map, Value, json};
use sluice_shared::cost::{Above, Found, Price, PriceBook, Rates, TABLE_VERSION, decimal};
use sluice_shared::glob::Glob;
use sluice_shared::ids::Epoch;
use sluice_shared::snapshot::Snapshot;

use super::Shown;
use super::parameters::Parameters;
use super::problem::Problem;
use crate::compile::compile;
use crate::config::{self, Report};

/// Every model that the configuration names; patterns name none.
pub(super) async fn list(State(shown): State<Arc<Shown>>, uri: Uri) -> Result<Json<Value>, Problem> {
    let parameters = Parameters::read(&uri, &["provider"])?;
    let current = shown.publisher.current();
    let Some(snapshot) = current.as_ref().map(|published| &published.snapshot) else {
        return Ok(Json(answer(0, "models", Vec::new())));
    };
    let wanted = parameters.text("provider");
    if let Some(id) = wanted
        && !snapshot.providers.iter().any(|provider| provider.id == id)
    {
        return Err(Problem::not_found("there is no such provider"));
    }
    let book = PriceBook::compile(snapshot);
    let mut models = Vec::new();
    for provider in &snapshot.providers {
        if wanted.is_some_and(|id| provider.id != id) {
            continue;
        }
        for model in provider.models.iter().filter(|model| !model.contains('*')) {
            models.push(row(
                &book,
                &provider.id,
                model,
                &book.explain(&provider.id, model, None),
            ));
        }
    }
    Ok(Json(answer(snapshot.epoch.0, "models", models)))
}

/// One model, at each provider that serves it, and how its price was found. A name that nobody serves is looked up in the
/// table alone.
pub(super) async fn show(
    State(shown): State<Arc<Shown>>,
    model: Result<Segment<String>, PathRejection>,
    uri: Uri,
) -> Result<Json<Value>, Problem> {
    let Segment(model) =
        model.map_err(|_| Problem::bad_parameter("model", "is not percent-encoded UTF-8"))?;
    let parameters = Parameters::read(&uri, &["provider"])?;
    let current = shown.publisher.current();
    let none = Snapshot::default();
    let snapshot = current.as_ref().map_or(&none, |published| &*published.snapshot);
    let book = PriceBook::compile(snapshot);
    let (ids, model) = match parameters.text("provider") {
        Some(id) if snapshot.providers.iter().any(|provider| provider.id == id) => {
            (vec![id.to_owned()], model)
        }
        Some(_) => return Err(Problem::not_found("there is no such provider")),
        None => serving(snapshot, &model),
    };
    let of = |provider: &str| {
        let found = book.explain(provider, &model, None);
        let mut row = row(&book, provider, &model, &found);
        row["steps"] = json!(found.steps);
        row
    };
    let prices: Vec<Value> = if ids.is_empty() {
        vec![of("")]
    } else {
        ids.iter().map(|id| of(id)).collect()
    };
    if ids.is_empty() && prices.iter().all(|price| price["priced"] == false) {
        return Err(Problem::not_found(
            "no provider serves this model, and the table does not know it",
        ));
    }
    Ok(Json(answer(snapshot.epoch.0, "prices", prices)))
}

/// The providers that serve a model, the one tried first at the front, and the name that they get: `provider/model`
/// addresses one of them.
fn serving(snapshot: &Snapshot, model: &str) -> (Vec<String>, String) {
    let addressed = model
        .split_once('/')
        .filter(|(id, _)| snapshot.providers.iter().any(|provider| provider.id == *id));
    let (only, name) = match addressed {
        Some((id, rest)) => (Some(id), rest),
        None => (None, model),
    };
    let serves = |pattern: &String| Glob::parse(pattern).map_or(pattern == name, |glob| glob.matches(name));
    let ids = snapshot
        .providers
        .iter()
        .filter(|provider| only.is_none_or(|id| provider.id == id) && provider.models.iter().any(serves))
        .map(|provider| provider.id.clone())
        .collect();
    (ids, name.to_owned())
}

fn answer(epoch: u64, name: &str, rows: Vec<Value>) -> Value {
    json!({ "epoch": epoch, "table_version": *TABLE_VERSION, "currency": "USD", name: rows })
}

fn row(book: &PriceBook, provider: &str, model: &str, found: &Found) -> Value {
    let mut out = json!({
        "model": model,
        "provider": if provider.is_empty() { Value::Null } else { provider.into() },
        "cost_basis": book.basis(provider),
        "priced": found.price.is_some(),
        "overridden": found.entry.is_some(),
    });
    if let Some(price) = &found.price
        && let (Value::Object(out), Value::Object(price)) = (&mut out, price_json(price))
    {
        out.extend(price);
    }
    out
}

/// A price as JSON: rates in US dollars for a million tokens, fees in US dollars, exact decimals as text. What does not
/// apply is absent.
#[must_use]
pub fn price_json(price: &Price) -> Value {
    let mut out = Map::new();
    let mut text = |name: &str, value: &str| {
        if !value.is_empty() {
            out.insert(name.to_owned(), value.into());
        }
    };
    text("basis", &price.basis);
    text("priced_as", &price.model);
    text("source", &price.source);
    text("check", &price.check);
    text("date", &price.date);
    out.insert("per_million".into(), rates(&price.rates));
    if let Some(long) = &price.above {
        out.insert("above".into(), above(long));
    }
    if !price.tiers.is_empty() {
        let tier = |tier: &sluice_shared::cost::Tier| {
            let mut out = json!({ "per_million": rates(&tier.rates) });
            if let Some(long) = &tier.above {
                out["above"] = above(long);
            }
            (tier.tier.name().to_owned(), out)
        };
        out.insert("tiers".into(), price.tiers.iter().map(tier).collect());
    }
    for (name, fee) in fees(price) {
        if let Some(fee) = fee {
            out.insert(name.into(), decimal::dollars(fee).into());
        }
    }
    for (name, tokens) in [("context", price.context), ("max_output", price.max_output)] {
        if let Some(tokens) = tokens {
            out.insert(name.into(), tokens.into());
        }
    }
    Value::Object(out)
}

fn fees(price: &Price) -> [(&'static str, Option<u64>); 6] {
    [
        ("per_request", price.request),
        ("per_search", price.search),
        ("per_file_search", price.file_search),
        ("per_code_session", price.code_session),
        ("per_image", price.per_image),
        ("per_second", price.per_second),
    ]
}

fn above(above: &Above) -> Value {
    json!({ "tokens": above.tokens, "per_million": rates(&above.rates) })
}

fn rates(rates: &Rates) -> Value {
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
    let some = all.into_iter().filter_map(|(name, rate)| {
        let text = decimal::dollars(rate?);
        Some((name.to_owned(), Value::from(text)))
    });
    Value::Object(some.collect())
}

/// The prices of a document that is not in use, the providers that serve `model` in the order in which they are tried, and
/// the name that they get.
///
/// # Errors
/// The document cannot be used.
pub fn prices_of(
    text: &str,
    environment: &HashMap<String, String>,
    folder: &Path,
    model: &str,
) -> Result<(PriceBook, Vec<String>, String), Box<Report>> {
    let (document, report) = config::load(text, environment, Some(folder));
    let document = document.ok_or_else(|| Box::new(report))?;
    Ok(prices_in(&compile(&document, Epoch(0)), model))
}

/// The same for a configuration in use.
#[must_use]
pub fn prices_in(snapshot: &Snapshot, model: &str) -> (PriceBook, Vec<String>, String) {
    let (ids, name) = serving(snapshot, model);
    (PriceBook::compile(snapshot), ids, name)
}
