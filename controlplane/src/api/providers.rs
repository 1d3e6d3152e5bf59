//! `GET /api/providers`: what is configured, without keys. Users see what they need to choose a model; addresses are for
//! admins.

use std::sync::Arc;

use axum::Json;
use axum::extract::State;
use axum::http::Uri;
use serde_json::{Value, json};
use sluice_shared::api::Flag;
use sluice_shared::snapshot::{AuthMode, Authorization, Provider};

use super::Shown;
use super::parameters::Parameters;
use super::principal::{Principal, Role};
use super::problem::Problem;

pub(super) async fn list(
    State(shown): State<Arc<Shown>>,
    principal: Principal,
    uri: Uri,
) -> Result<Json<Value>, Problem> {
    Parameters::read(&uri, &[])?;
    let current = shown.publisher.current();
    let snapshot = current.as_ref().map(|published| &published.snapshot);
    let providers: Vec<Value> = snapshot
        .into_iter()
        .flat_map(|snapshot| &snapshot.providers)
        .map(|provider| match principal.role {
            Role::Admin => for_admin(provider),
            Role::User => for_user(provider),
        })
        .collect();
    Ok(Json(
        json!({ "epoch": snapshot.map_or(0, |s| s.epoch.0), "providers": providers }),
    ))
}

fn for_user(p: &Provider) -> Value {
    json!({ "id": p.id, "name": p.name, "description": p.description, "models": p.models })
}

fn for_admin(p: &Provider) -> Value {
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
    })
}
