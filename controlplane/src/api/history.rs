//! Versions of the document that were in use, what each changed, and the way back to one.

use std::sync::Arc;

use axum::Json;
use axum::extract::{Path, Request, State};
use axum::http::Uri;
use axum::response::Response;
use serde_json::{Value, json};
use sluice_shared::units::UnixMicros;

use super::parameters::{Parameters, show_time};
use super::principal::Principal;
use super::problem::Problem;
use super::{Shown, body, document};
use crate::reload::history::Version;
use crate::reload::{IfMatch, diff, redact};

pub(super) async fn list(State(shown): State<Arc<Shown>>, uri: Uri) -> Result<Json<Value>, Problem> {
    Parameters::read(&uri, &[])?;
    let present = shown.configuration.present();
    let versions: Vec<Value> = shown.configuration.history(|history| {
        let list = history.list();
        list.map(|version| about(version, version.id == present.version.id))
            .collect()
    });
    Ok(Json(
        json!({ "current": present.version.id, "versions": versions }),
    ))
}

/// A version with its text and what it changed: against the one before, or against the version `against`.
pub(super) async fn show(
    State(shown): State<Arc<Shown>>,
    Path(id): Path<String>,
    uri: Uri,
) -> Result<Json<Value>, Problem> {
    let parameters = Parameters::read(&uri, &["against"])?;
    let against = parameters.text("against").map(number).transpose()?;
    let id = number(&id).map_err(|_| Problem::no_version(&id))?;
    let configuration = shown.configuration.clone();
    let current = configuration.present().version.id;
    let found = tokio::task::spawn_blocking(move || {
        configuration.history(|history| {
            let (version, before) = history.find(id)?;
            let text = redact::redact(&history.text(id)?)?;
            let other = match against {
                Some(other) => Some(history.find(other)?.0.id),
                None => before.map(|before| before.id),
            };
            let old = other.and_then(|other| redact::redact(&history.text(other)?));
            let diff = diff::show(&diff::lines(old.as_deref().unwrap_or_default(), &text));
            let mut answer = about(version, version.id == current);
            answer["against"] = json!(other);
            answer["diff"] = json!(diff);
            answer["config"] = json!(text);
            Some(answer)
        })
    });
    let found = found.await.map_err(|_| Problem::internal())?;
    found
        .map(Json)
        .ok_or_else(|| Problem::no_version(&id.to_string()))
}

/// Takes the text of a version into use again, as a new one, with the checks of every save.
pub(super) async fn rollback(
    State(shown): State<Arc<Shown>>,
    principal: Principal,
    uri: Uri,
    request: Request,
) -> Result<Response, Problem> {
    Parameters::read(&uri, &[])?;
    let if_match = document::if_match(request.headers())?.unwrap_or(IfMatch::Any);
    let body = body::object(request).await?;
    let id = body
        .get("id")
        .and_then(Value::as_u64)
        .ok_or_else(|| Problem::bad_body("\"id\" must be the number of a version"))?;
    let text = shown.configuration.history(|history| history.text(id));
    let text = text.ok_or_else(|| Problem::no_version(&id.to_string()))?;
    document::save(
        &shown,
        &principal,
        text,
        if_match,
        format!("back to version {id}"),
    )
    .await
}

fn about(version: &Version, current: bool) -> Value {
    json!({
        "id": version.id,
        "time": show_time(UnixMicros(version.time)),
        "author": version.author,
        "note": version.note,
        "summary": version.summary,
        "hash": version.hash,
        "current": current,
        "added": version.added,
        "removed": version.removed,
        "secrets_changed": version.secrets,
    })
}

fn number(text: &str) -> Result<u64, Problem> {
    let digits = !text.is_empty() && text.bytes().all(|b| b.is_ascii_digit());
    text.parse()
        .ok()
        .filter(|_| digits)
        .ok_or_else(|| Problem::bad_parameter("against", "must be the number of a version"))
}
