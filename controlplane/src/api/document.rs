//! The configuration document: read with its secrets redacted, checked, and saved.
//!
//! A save names the document that it replaces by its entity tag, so that of two admins the second is told instead of
//! the first being overwritten: `If-Match` is required, and `*` says that anything may be replaced. The same is done
//! twice, because there are two kinds of clients: `/aperture/config` with `ETag` and `If-Match`, and `/api/config`
//! with `hash` in the body.

use std::sync::Arc;

use axum::Json;
use axum::extract::{Request, State};
use axum::http::{HeaderMap, HeaderValue, Uri, header};
use axum::response::{IntoResponse, Response};
use serde_json::{Map, Value, json};

use super::own_role;
use super::parameters::Parameters;
use super::principal::Principal;
use super::problem::Problem;
use super::{Shown, body};
use crate::config::{Message, Report};
use crate::reload::history::Author;
use crate::reload::{IfMatch, Present, Save, SaveError, Saved, redact};

pub(super) async fn get(State(shown): State<Arc<Shown>>, uri: Uri) -> Result<Response, Problem> {
    Parameters::read(&uri, &[])?;
    let present = shown.configuration.present();
    let etag = present.version.etag();
    let mut answer = about(&present);
    answer.insert("config".into(), shown_text(&present.text)?.into());
    answer.insert("source".into(), shown.config.view().source.into());
    Ok(tagged(&etag, Json(Value::Object(answer)).into_response()))
}

pub(super) async fn get_hashed(State(shown): State<Arc<Shown>>, uri: Uri) -> Result<Response, Problem> {
    Parameters::read(&uri, &[])?;
    let present = shown.configuration.present();
    let etag = present.version.etag();
    let answer = json!({ "config": shown_text(&present.text)?, "hash": plain(&etag) });
    Ok(tagged(&etag, Json(answer).into_response()))
}

pub(super) async fn put(
    State(shown): State<Arc<Shown>>,
    principal: Principal,
    uri: Uri,
    request: Request,
) -> Result<Response, Problem> {
    Parameters::read(&uri, &[])?;
    let if_match = if_match(request.headers())?;
    let body = body::object(request).await?;
    let text = config(&body)?;
    let if_match = if_match.ok_or_else(|| {
        Problem::precondition_required(
            "name the document that is replaced: If-Match with its ETag, or If-Match: * for any",
        )
    })?;
    save(&shown, &principal, text, if_match, String::new()).await
}

pub(super) async fn put_hashed(
    State(shown): State<Arc<Shown>>,
    principal: Principal,
    uri: Uri,
    request: Request,
) -> Result<Response, Problem> {
    Parameters::read(&uri, &[])?;
    let header = if_match(request.headers())?;
    let body = body::object(request).await?;
    let text = config(&body)?;
    let hash = body::text(&body, "hash")?.map(|hash| match hash {
        "*" => IfMatch::Any,
        tag => IfMatch::Tags(vec![format!("\"{}\"", plain(tag))]),
    });
    let if_match = hash.or(header).ok_or_else(|| {
        Problem::precondition_required(
            "name the document that is replaced: \"hash\" as it was read, or \"*\" for any",
        )
    })?;
    save(&shown, &principal, text, if_match, String::new()).await
}

pub(super) async fn validate(
    State(shown): State<Arc<Shown>>,
    principal: Principal,
    uri: Uri,
    request: Request,
) -> Result<Json<Value>, Problem> {
    Parameters::read(&uri, &[])?;
    let text = config(&body::object(request).await?)?;
    let configuration = shown.configuration.clone();
    let report = tokio::task::spawn_blocking(move || {
        configuration.examine(&text, &|present, new| own_role::lost(&principal, present, new))
    })
    .await
    .map_err(|_| Problem::internal())?;
    let valid = report.errors.is_empty() && report.warnings.is_empty();
    Ok(Json(json!({
        "valid": valid,
        "summary": report.summary,
        "messages": messages(&report),
    })))
}

/// Saves, and answers with what is in use then.
pub(super) async fn save(
    shown: &Arc<Shown>,
    principal: &Principal,
    text: String,
    if_match: IfMatch,
    note: String,
) -> Result<Response, Problem> {
    let configuration = shown.configuration.clone();
    let principal = principal.clone();
    let saved = tokio::task::spawn_blocking(move || {
        configuration.save(Save {
            text,
            author: Author {
                name: principal.login.clone(),
                node: principal.node.clone(),
                note,
            },
            if_match,
            check: &|present, new| own_role::lost(&principal, present, new),
        })
    })
    .await
    .map_err(|_| Problem::internal())?;
    let Saved { present, notices } = saved.map_err(refused)?;
    let etag = present.version.etag();
    let mut answer = about(&present);
    answer.insert("hash".into(), plain(&etag).into());
    answer.insert(
        "messages".into(),
        notices.iter().map(|message| entry("notice", message)).collect(),
    );
    Ok(tagged(&etag, Json(Value::Object(answer)).into_response()))
}

fn refused(error: SaveError) -> Problem {
    match error {
        SaveError::Conflict { etag } => Problem::precondition_failed(&etag),
        SaveError::Invalid(report) => Problem::invalid_config(messages(&report)),
        SaveError::Write(path, error) => {
            tracing::error!(%error, "cannot write {path}");
            Problem::not_written(&path, &error)
        }
        SaveError::Audit(error) => error.into(),
        SaveError::Publish(said) => {
            tracing::error!(error = %said, "a saved document was not published");
            Problem::not_published(&said)
        }
    }
}

/// Every message, in the order of the document.
pub(super) fn messages(report: &Report) -> Value {
    let lists = [
        ("error", &report.errors),
        ("warning", &report.warnings),
        ("notice", &report.notices),
    ];
    let mut all: Vec<(&str, &Message)> = lists
        .iter()
        .flat_map(|(severity, list)| list.iter().map(move |message| (*severity, message)))
        .collect();
    all.sort_by_key(|(_, message)| (message.line, message.column));
    all.into_iter()
        .map(|(severity, message)| entry(severity, message))
        .collect()
}

fn entry(severity: &str, message: &Message) -> Value {
    json!({
        "severity": severity,
        "path": message.path,
        "line": message.line,
        "column": message.column,
        "text": message.text,
    })
}

/// The document of a body: a text, or an object of JSON.
fn config(body: &Map<String, Value>) -> Result<String, Problem> {
    match body.get("config") {
        Some(Value::String(text)) => Ok(text.clone()),
        Some(object @ Value::Object(_)) => Ok(format!("{object:#}\n")),
        Some(_) => Err(Problem::bad_body(
            "\"config\" must be the text of the document, or an object",
        )),
        None => Err(Problem::bad_body("the body has no \"config\"")),
    }
}

fn shown_text(text: &str) -> Result<String, Problem> {
    redact::redact(text).ok_or_else(Problem::internal)
}

fn about(present: &Present) -> Map<String, Value> {
    let about = json!({
        "version": present.version.id,
        "epoch": present.epoch.0,
        "etag": present.version.etag(),
        "summary": present.version.summary,
    });
    match about {
        Value::Object(map) => map,
        _ => Map::new(),
    }
}

fn tagged(etag: &str, mut response: Response) -> Response {
    if let Ok(value) = HeaderValue::from_str(etag) {
        response.headers_mut().insert(header::ETAG, value);
    }
    response
}

/// An entity tag without its quotes.
fn plain(etag: &str) -> &str {
    etag.trim().trim_start_matches('"').trim_end_matches('"')
}

/// Reads `If-Match`; weak tags match nothing (RFC 9110, section 13.1.1).
pub(super) fn if_match(headers: &HeaderMap) -> Result<Option<IfMatch>, Problem> {
    let mut tags = Vec::new();
    let mut seen = false;
    for value in headers.get_all(header::IF_MATCH) {
        seen = true;
        let text = value.to_str().map_err(|_| Problem::bad_header("if-match"))?;
        for tag in text.split(',').map(str::trim) {
            if tag == "*" {
                return Ok(Some(IfMatch::Any));
            }
            let strong = tag.len() >= 2 && tag.starts_with('"') && tag.ends_with('"');
            let weak = tag.starts_with("W/\"") && tag.ends_with('"');
            if !strong && !weak {
                return Err(Problem::bad_header("if-match"));
            }
            tags.push(tag.to_owned());
        }
    }
    Ok(seen.then_some(IfMatch::Tags(tags)))
}
