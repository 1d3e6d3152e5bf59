//! `GET /api/providers`: what is configured, without keys, and how it does; `GET /api/providers/{id}`: one of them, with
//! its last hour. Users see what they need to choose a model; addresses and figures are for admins.

use std::sync::Arc;

use axum::Json;
use axum::extract::{Path, State};
use axum::http::Uri;
use serde_json::{Map, Value, json};
use sluice_shared::api::Flag;
use sluice_shared::snapshot::{AuthMode, Authorization, Provider};
use sluice_shared::units::UnixMicros;
use sluice_shared::wire::control::Standing;

use super::Shown;
use super::parameters::{Parameters, show_time};
use super::principal::{Principal, Role};
use super::problem::Problem;
use super::segment;
use crate::live::health::{self, Figures, Histogram, View};
use crate::reload;

pub(super) async fn list(
    State(shown): State<Arc<Shown>>,
    principal: Principal,
    uri: Uri,
) -> Result<Json<Value>, Problem> {
    Parameters::read(&uri, &[])?;
    let now = reload::now();
    let standing = match principal.role {
        Role::Admin => shown.link.standing().await,
        Role::User => None,
    };
    let current = shown.publisher.current();
    let snapshot = current.as_ref().map(|published| &published.snapshot);
    let providers: Vec<Value> = snapshot
        .into_iter()
        .flat_map(|snapshot| &snapshot.providers)
        .map(|provider| match principal.role {
            Role::Admin => {
                let health = about_health(
                    &shown.live.health().of(&provider.id, now),
                    pool(provider, standing.as_ref()),
                );
                for_admin(provider, health)
            }
            Role::User => for_user(provider),
        })
        .collect();
    Ok(Json(
        json!({ "epoch": snapshot.map_or(0, |s| s.epoch.0), "providers": providers }),
    ))
}

pub(super) async fn show(
    State(shown): State<Arc<Shown>>,
    Path(id): Path<String>,
    uri: Uri,
) -> Result<Json<Value>, Problem> {
    Parameters::read(&uri, &[])?;
    let id = segment::name("id", id)?;
    let now = reload::now();
    let standing = shown.link.standing().await;
    let none = || Problem::not_found("there is no such provider");
    let current = shown.publisher.current().ok_or_else(none)?;
    let mut providers = current.snapshot.providers.iter();
    let provider = providers.find(|provider| provider.id == id).ok_or_else(none)?;
    let health = shown.live.health();
    let hour = health.hour(&id, now);
    let pool = pool(provider, standing.as_ref());
    let mut body = for_admin(provider, about_health(&health.of(&id, now), pool));
    body["epoch"] = current.snapshot.epoch.0.into();
    body["minutes"] = hour.minutes.iter().map(|(start, f)| minute(*start, f)).collect();
    body["by_model"] = hour.models.iter().map(|(name, f)| model(name, f)).collect();
    Ok(Json(body))
}

fn for_user(p: &Provider) -> Value {
    json!({ "id": p.id, "name": p.name, "description": p.description, "models": p.models })
}

fn minute(start: u64, figures: &Figures) -> Value {
    json!({
        "time": show_time(UnixMicros(start.saturating_mul(1_000_000))),
        "requests": figures.requests,
        "errors": figures.errors,
        "ttft_p50_ms": milliseconds(&figures.ttft, 50),
        "ttft_p95_ms": milliseconds(&figures.ttft, 95),
    })
}

fn model(name: &str, figures: &Figures) -> Value {
    json!({
        "model": name,
        "requests": figures.requests,
        "errors": figures.errors,
        "ttft_ms": percentiles(&figures.ttft),
        "duration_ms": percentiles(&figures.duration),
    })
}

/// How a provider does, see [`crate::live::health`].
fn about_health(view: &View, pool: Value) -> Value {
    let figures = &view.window;
    let statuses = figures.by_status.iter();
    let by_status: Map<String, Value> = statuses
        .map(|(status, count)| (status.to_string(), Value::from(*count)))
        .collect();
    json!({
        "state": health::State::of(figures.requests, figures.errors).name(),
        "window_s": health::WINDOW_S,
        "requests": figures.requests,
        "errors": figures.errors,
        "by_status": by_status,
        "ttft_ms": percentiles(&figures.ttft),
        "duration_ms": percentiles(&figures.duration),
        "last_error": view.last_error.as_ref().map(|error| json!({
            "time": show_time(error.time),
            "code": error.code,
            "status": error.status,
        })),
        "pool": pool,
    })
}

/// Connections to a provider, as data planes say.
fn pool(provider: &Provider, standing: Option<&Standing>) -> Value {
    let pools = standing.into_iter().flat_map(|standing| &standing.pools);
    let mut own = pools.filter(|pool| pool.provider == provider.id);
    own.next().map_or(Value::Null, |pool| {
        json!({ "open": pool.open, "idle": pool.idle, "in_flight": pool.open.saturating_sub(pool.idle) })
    })
}

fn percentiles(times: &Histogram) -> Value {
    if times.percentile(50).is_none() {
        return Value::Null;
    }
    json!({
        "p50": milliseconds(times, 50),
        "p95": milliseconds(times, 95),
        "p99": milliseconds(times, 99),
    })
}

/// With one decimal: more would say more than is known.
#[allow(clippy::cast_precision_loss, reason = "a time is shown with one decimal")]
fn milliseconds(times: &Histogram, percent: u64) -> Option<f64> {
    times
        .percentile(percent)
        .map(|micros| micros.saturating_add(50).div_euclid(100) as f64 / 10.0)
}

fn for_admin(p: &Provider, health: Value) -> Value {
    let flags: Vec<&str> = Flag::ALL
        .iter()
        .filter(|flag| p.serves(**flag))
        .map(|flag| flag.name())
        .collect();
    let scheme = if p.base.tls { "https" } else { "http" };
    let headers: Vec<&str> = p.add_headers.iter().map(|header| header.name.as_str()).collect();
    json!({
        "id": p.id,
        "name": p.name,
        "description": p.description,
        "models": p.models,
        "baseurl": format!("{scheme}://{}{}", p.base.authority, p.base.path),
        "compatibility": flags,
        "authorization": match p.authorization {
            Authorization::Bearer => "bearer",
            Authorization::XApiKey => "x-api-key",
            Authorization::XGoogApiKey => "x-goog-api-key",
        },
        "auth_mode": match p.auth_mode {
            AuthMode::Override => "override",
            AuthMode::Passthrough => "passthrough",
            AuthMode::None => "none",
        },
        "has_key": !p.key.0.is_empty(),
        "add_headers": headers,
        "preference": p.preference,
        "weight": p.weight,
        "cost_basis": p.cost_basis,
        "max_connections": p.connections_max,
        "health": health,
    })
}
