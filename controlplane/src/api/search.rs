//! `GET /api/search`: what a few letters could mean.

use std::sync::Arc;

use axum::Json;
use axum::extract::State;
use axum::http::Uri;
use serde_json::{Value, json};

use super::Shown;
use super::parameters::{Parameters, show_time};
use super::principal::Principal;
use super::problem::Problem;
use crate::store::search::{FOUND_MAX, SearchQuery, SessionFound};

/// Longest text that is looked for, in bytes.
const TEXT_BYTES_MAX: usize = 256;

pub(super) async fn show(
    State(shown): State<Arc<Shown>>,
    principal: Principal,
    uri: Uri,
) -> Result<Json<Value>, Problem> {
    let parameters = Parameters::read(&uri, &["q"])?;
    let text = parameters.text("q").unwrap_or_default().trim();
    if text.len() > TEXT_BYTES_MAX {
        return Err(Problem::bad_parameter(
            "q",
            format_args!("is longer than {TEXT_BYTES_MAX} bytes"),
        ));
    }
    if text.is_empty() {
        return Ok(Json(
            json!({ "people": [], "models": [], "sessions": [], "requests": [], "tools": [] }),
        ));
    }
    let query = SearchQuery {
        text: text.to_owned(),
        user: principal.only(None),
    };
    let found = shown.store.search(&query).await?;
    let mut models = super::models::named(&shown, &principal, text);
    models.extend(found.models);
    models.sort();
    models.dedup();
    // Those that begin so come first.
    models.sort_by_key(|model| !model.starts_with(text));
    models.truncate(FOUND_MAX);
    let sessions: Vec<Value> = found.sessions.iter().map(session).collect();
    let requests: Vec<String> = found.requests.iter().map(ToString::to_string).collect();
    Ok(Json(json!({
        "people": found.people,
        "models": models,
        "sessions": sessions,
        "requests": requests,
        "tools": found.tools,
    })))
}

fn session(session: &SessionFound) -> Value {
    json!({ "id": session.id.to_string(), "key": session.key, "last": show_time(session.last) })
}
