//! Exports: how they stand, running one now, and records by hand.

use std::sync::Arc;

use axum::Json;
use axum::body::Body;
use axum::extract::{Path, State};
use axum::http::{StatusCode, Uri, header};
use axum::response::{IntoResponse as _, Response};
use serde_json::{Value, json};

use super::Shown;
use super::parameters::{Parameters, show_time};
use super::principal::Principal;
use super::problem::Problem;
use super::segment;
use crate::audit::action;
use crate::export::View;
use crate::export::by_hand::{ExportFormat, Lines, Selection};

/// `GET /api/exports`: every exporter of the document, by name.
pub(super) async fn list(State(shown): State<Arc<Shown>>, uri: Uri) -> Result<Json<Value>, Problem> {
    Parameters::read(&uri, &[])?;
    let exports: Vec<Value> = shown.exports.list().await?.iter().map(about).collect();
    Ok(Json(json!({ "exports": exports })))
}

fn about(view: &View) -> Value {
    let state = view.state.as_ref();
    json!({
        "name": view.name,
        "kind": view.kind,
        "place": view.place,
        "what": view.what,
        "every_s": view.every_s,
        "disabled": view.disabled,
        "records": state.map(|state| state.records),
        "last_success": state.and_then(|state| state.succeeded).map(show_time),
        "lag_records": state.map(|state| state.lag),
        "lag_s": view.lag_s,
        "failures": view.failures,
        "last_error": view.error.as_ref().map(|(time, text)| json!({ "time": show_time(*time), "text": text })),
    })
}

/// `POST /api/exports/{name}/run`: without waiting for its time.
pub(super) async fn run(
    State(shown): State<Arc<Shown>>,
    principal: Principal,
    Path(name): Path<String>,
    uri: Uri,
) -> Result<Response, Problem> {
    Parameters::read(&uri, &[])?;
    let name = segment::name("name", name)?;
    let known = shown
        .exports
        .list()
        .await?
        .into_iter()
        .find(|view| view.name == name);
    let Some(view) = known else {
        return Err(Problem::not_found("there is no exporter of this name"));
    };
    shown
        .audit
        .record(
            &principal.login,
            &principal.node,
            action::EXPORT_RUN,
            &name,
            json!({}),
        )
        .await?;
    let running = shown.exports.kick(&name).unwrap_or(false);
    let body = json!({ "name": view.name, "running": running });
    Ok((StatusCode::ACCEPTED, Json(body)).into_response())
}

/// `GET /api/export`: records as a table or as lines; users get their own.
pub(super) async fn by_hand(
    State(shown): State<Arc<Shown>>,
    principal: Principal,
    uri: Uri,
) -> Result<Response, Problem> {
    let parameters = Parameters::read(&uri, &["since", "until", "user", "format"])?;
    let (format, kind, name) = match parameters.text("format") {
        None | Some("csv") => (ExportFormat::Csv, "text/csv; charset=utf-8", "usage.csv"),
        Some("jsonl") => (ExportFormat::Jsonl, "application/jsonl", "usage.jsonl"),
        Some(_) => return Err(Problem::bad_parameter("format", "must be csv or jsonl")),
    };
    let asked = parameters.text("user").map(str::to_owned);
    let mut selection = Selection {
        since: parameters.time("since")?,
        until: parameters.time("until")?,
        user: None,
    };
    if !principal.may_ask_for(asked.as_deref()) {
        // Somebody else's records: to a user they do not exist.
        selection.until = selection.since.or(Some(sluice_shared::units::UnixMicros(0)));
    }
    selection.user = principal.only(asked);
    let body = Body::new(Lines::begin(shown.store.clone(), &selection, format));
    let headers = [
        (header::CONTENT_TYPE, kind.to_owned()),
        (
            header::CONTENT_DISPOSITION,
            format!("attachment; filename=\"{name}\""),
        ),
    ];
    Ok((headers, body).into_response())
}
