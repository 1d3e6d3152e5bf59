//! `GET /api/me`: who the gateway takes the caller for.

use std::sync::Arc;

use axum::Json;
use axum::extract::State;
use axum::http::Uri;
use serde_json::{Value, json};

use super::Shown;
use super::parameters::{Parameters, show_time};
use super::principal::{Principal, Role};
use super::problem::Problem;

pub(super) async fn show(
    State(shown): State<Arc<Shown>>,
    principal: Principal,
    uri: Uri,
) -> Result<Json<Value>, Problem> {
    Parameters::read(&uri, &[])?;
    let current = shown.publisher.current();
    let captures = current.is_some_and(|published| {
        let captures = &published.snapshot.captures;
        captures.enabled && captures.share > 0
    });
    Ok(Json(json!({
        "login": principal.login,
        "role": match principal.role {
            Role::User => "user",
            Role::Admin => "admin",
        },
        "node": principal.node,
        "tags": principal.tags,
        "groups": principal.groups,
        "source": principal.source,
        "scoped": principal.scoped,
        "version": env!("CARGO_PKG_VERSION"),
        "time": show_time(shown.ledger.now()),
        "features": { "captures": captures, "full_text": shown.full_text.is_on() },
    })))
}
