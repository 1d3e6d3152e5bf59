//! `GET /api/captures`: heads and bodies of requests and answers.
//!
//! The list and one capture are JSON; bodies come as they are stored, whole or a range of them (RFC 9110 §14); what is put
//! together from them comes whole. They are what
//! somebody else wrote: they are sent as attachments of no type that a browser shows. Who is no admin sees what is his own, and of
//! everything else only that it does not exist. An admin who looks into a capture of another person is put on record
//! first, and sees nothing if that cannot be done.

mod range;
mod shadow;

use std::sync::Arc;

use axum::Json;
use axum::body::Body;
use axum::extract::{Path, State};
use axum::http::{HeaderMap, HeaderValue, StatusCode, Uri, header};
use axum::response::Response;
use serde_json::{Value, json};
use sluice_proto::transcript;
use sluice_shared::ids::RequestId;
use sluice_shared::units::UnixMicros;

use super::Shown;
use super::parameters::{Parameters, show_time};
use super::principal::{Principal, Role};
use super::problem::Problem;
use super::requests::{PLACES, PLACES_READ_MAX, parse_cursor, place, status, words};
use crate::audit::action;
use crate::captures::{Part, ReadError};
use crate::fulltext::{TextQuery, Words};
use crate::store::Place;
use crate::store::captures::{
    ANSWER_CUT, ANSWER_ENCODED, ASSEMBLED, CaptureQuery, CaptureView, REQUEST_CUT, REQUEST_ENCODED, STREAM,
    UNFINISHED,
};
use range::Asked;
pub(super) use shadow::shadow;

const KNOWN: [&str; 11] = [
    "text",
    "since",
    "until",
    "user",
    "model",
    "provider",
    "session",
    "status",
    "min_bytes",
    "limit",
    "cursor",
];
/// Captures of a page, unless asked otherwise, and at most.
const LIMIT: (u32, u32) = (100, 1_000);

pub(super) async fn list(
    State(shown): State<Arc<Shown>>,
    principal: Principal,
    uri: Uri,
) -> Result<Json<Value>, Problem> {
    let parameters = Parameters::read(&uri, &KNOWN)?;
    let limit = parameters.number("limit", 1, LIMIT.1, LIMIT.0)?;
    let text = |name: &str| parameters.text(name).map(str::to_owned);
    let asked = text("user");
    let query = CaptureQuery {
        since: parameters.time("since")?,
        until: parameters.time("until")?,
        user: principal.only(asked.clone()),
        model: text("model"),
        provider: text("provider"),
        session: text("session"),
        status: parameters.text("status").map(status).transpose()?,
        bytes_min: match parameters.number("min_bytes", 0, u32::MAX, 0)? {
            0 => None,
            bytes => Some(u64::from(bytes)),
        },
        after: parameters.text("cursor").map(parse_cursor).transpose()?,
        limit: limit + 1,
    };
    let words = words(&shown, &parameters)?;
    let (mut captures, cut) = if !principal.may_ask_for(asked.as_deref()) {
        // Somebody else's: to a user they do not exist.
        (Vec::new(), None)
    } else if let Some(words) = words {
        with_words(&shown, &query, words).await?
    } else {
        (shown.store.captures(&query).await?, None)
    };
    let limit = usize::try_from(limit).unwrap_or(usize::MAX);
    let more = captures.len() > limit;
    captures.truncate(limit);
    let next = captures.last().filter(|_| more).map(cursor);
    let next = next.or_else(|| cut.map(place));
    let captures: Vec<Value> = captures.iter().map(view).collect();
    Ok(Json(
        json!({ "captures": captures, "next_cursor": next, "cut": cut.is_some() && !more }),
    ))
}

/// Captures that hold some words, by what else is asked; and where to go on if there was too much to read.
async fn with_words(
    shown: &Shown,
    query: &CaptureQuery,
    words: Words,
) -> Result<(Vec<CaptureView>, Option<Place>), Problem> {
    let wanted = usize::try_from(query.limit).unwrap_or(usize::MAX);
    let mut text = TextQuery {
        words,
        user: query.user.clone(),
        since: query.since,
        until: query.until,
        after: query.after,
        limit: PLACES,
    };
    let mut found = Vec::new();
    for _ in 0..PLACES_READ_MAX / PLACES {
        let places = shown.full_text.find(text.clone()).await?;
        for (_, id) in &places {
            let capture = shown.store.capture(*id).await?;
            found.extend(capture.filter(|capture| query.matches(capture)));
            if found.len() >= wanted {
                return Ok((found, None));
            }
        }
        match places.last() {
            Some(last) if places.len() >= PLACES => text.after = Some(*last),
            _ => return Ok((found, None)),
        }
    }
    Ok((found, text.after))
}

pub(super) async fn show(
    State(shown): State<Arc<Shown>>,
    principal: Principal,
    Path(id): Path<String>,
    uri: Uri,
) -> Result<Json<Value>, Problem> {
    Parameters::read(&uri, &[])?;
    let capture = find(&shown, &principal, &id).await?;
    on_record(&shown, &principal, &capture, "head").await?;
    let head = shown.captures.head(&capture).await?;
    let mut view = view(&capture);
    if let (Some(view), Ok(Value::Object(head))) = (view.as_object_mut(), serde_json::to_value(&head)) {
        for name in [
            "method",
            "target",
            "model_sent",
            "node",
            "parent",
            "complete",
            "epoch",
        ] {
            view.insert(name.to_owned(), head.get(name).cloned().unwrap_or_default());
        }
        let fields = |name: &str| head.get(name).cloned().unwrap_or_default();
        view.insert("request_headers".to_owned(), fields("request_headers"));
        view.insert("answer_headers".to_owned(), fields("answer_headers"));
        view.insert(
            "request_encoding".to_owned(),
            json!(head_encoding(&head, "request")),
        );
        view.insert(
            "answer_encoding".to_owned(),
            json!(head_encoding(&head, "answer")),
        );
    }
    Ok(Json(view))
}

fn head_encoding(head: &serde_json::Map<String, Value>, body: &str) -> Option<String> {
    let encoded = head.get(body)?.get("encoded")?.as_str()?;
    Some(encoded.to_owned())
}

pub(super) async fn part(
    State(shown): State<Arc<Shown>>,
    principal: Principal,
    Path((id, part)): Path<(String, String)>,
    uri: Uri,
    headers: HeaderMap,
) -> Result<Response, Problem> {
    Parameters::read(&uri, &[])?;
    let none = || Problem::not_found("a capture has the parts request, answer, assembled and events");
    let known = ["request", "answer", "assembled", "events"].contains(&part.as_str());
    known.then_some(()).ok_or_else(none)?;
    let capture = find(&shown, &principal, &id).await?;
    on_record(&shown, &principal, &capture, &part).await?;
    let bytes = match part.as_str() {
        "request" => shown.captures.part(&capture, Part::Request).await?,
        "answer" => shown.captures.part(&capture, Part::Answer).await?,
        "assembled" => {
            let assembled = shown.captures.assembled(&capture).await?;
            return Ok(attachment(StatusCode::OK, assembled, JSON, &id, &part));
        }
        _ => {
            let events = events(&shown, &capture).await?;
            return Ok(attachment(StatusCode::OK, events, JSON, &id, &part));
        }
    };
    ranged(bytes, &id, &part, &headers)
}

const BYTES: &str = "application/octet-stream";
const JSON: &str = "application/json";

/// The events of a streamed answer, as a JSON array.
async fn events(shown: &Shown, capture: &CaptureView) -> Result<Vec<u8>, Problem> {
    let no_stream = || Problem::not_found("the answer was no stream of events that can be read");
    if capture.flags & ANSWER_ENCODED != 0 {
        return Err(no_stream());
    }
    let head = shown.captures.head(capture).await?;
    let body = shown.captures.part(capture, Part::Answer).await?;
    let api = capture.api;
    let read = tokio::task::spawn_blocking(move || {
        let kind = head.answer_field("content-type").map(str::to_owned);
        let events = transcript::reassemble(api, kind.as_deref(), &body).events?;
        serde_json::to_vec(&events).ok()
    });
    read.await.unwrap_or_default().ok_or_else(no_stream)
}

/// Bytes, or the range of them that is asked for.
fn ranged(mut bytes: Vec<u8>, id: &str, part: &str, headers: &HeaderMap) -> Result<Response, Problem> {
    let whole = bytes.len();
    let (status, content_range) = match range::asked(headers, whole) {
        Asked::All => (StatusCode::OK, None),
        Asked::Part(from, to) => {
            bytes.truncate(to.saturating_add(1));
            bytes.drain(..from.min(bytes.len()));
            (
                StatusCode::PARTIAL_CONTENT,
                Some(format!("bytes {from}-{to}/{whole}")),
            )
        }
        Asked::Nothing => return Err(Problem::no_such_range(whole)),
    };
    let mut response = attachment(status, bytes, BYTES, id, part);
    let out = response.headers_mut();
    out.insert(header::ACCEPT_RANGES, HeaderValue::from_static("bytes"));
    if let Some(value) = content_range.and_then(|text| HeaderValue::from_str(&text).ok()) {
        out.insert(header::CONTENT_RANGE, value);
    }
    Ok(response)
}

fn attachment(status: StatusCode, bytes: Vec<u8>, kind: &'static str, id: &str, part: &str) -> Response {
    let mut response = Response::new(Body::from(bytes));
    *response.status_mut() = status;
    let out = response.headers_mut();
    out.insert(header::CONTENT_TYPE, HeaderValue::from_static(kind));
    // Ids and parts are checked: they are what a header may hold.
    if let Ok(value) = HeaderValue::from_str(&format!("attachment; filename=\"{id}-{part}\"")) {
        out.insert(header::CONTENT_DISPOSITION, value);
    }
    response
}

/// A capture that the caller may see.
async fn find(shown: &Shown, principal: &Principal, id: &str) -> Result<CaptureView, Problem> {
    let id = RequestId::parse(id).ok_or_else(Problem::no_capture)?;
    let found = shown.captures.find(id).await?;
    found
        .filter(|capture| capture.kept && principal.may_ask_for(Some(&capture.user)))
        .ok_or_else(Problem::no_capture)
}

/// Puts on record that an admin looks into what another person said.
async fn on_record(
    shown: &Shown,
    principal: &Principal,
    capture: &CaptureView,
    part: &str,
) -> Result<(), Problem> {
    if principal.role != Role::Admin || principal.login == capture.user {
        return Ok(());
    }
    let detail = json!({ "user": capture.user, "part": part });
    let id = capture.request_id.to_string();
    shown
        .audit
        .record(
            &principal.login,
            &principal.node,
            action::CAPTURE_VIEW,
            &id,
            detail,
        )
        .await?;
    Ok(())
}

fn cursor(capture: &CaptureView) -> String {
    format!("{}-{}", capture.time.0, capture.request_id)
}

/// A capture as the list shows it.
fn view(c: &CaptureView) -> Value {
    let is = |flag: u32| c.flags & flag != 0;
    let body = |bytes: u64, kept: u64, cut: u32, encoded: u32| json!({ "bytes": bytes, "kept": kept, "truncated": is(cut), "encoded": is(encoded) });
    let time: UnixMicros = c.time;
    json!({
        "request_id": c.request_id.to_string(),
        "time": show_time(time),
        "user": c.user,
        "provider": c.provider,
        "model": c.model,
        "api": c.api.name(),
        "status": c.status,
        "ended": c.ended.name(),
        "stream": is(STREAM),
        "unfinished": is(UNFINISHED),
        "request": body(c.request_bytes, c.request_kept, REQUEST_CUT, REQUEST_ENCODED),
        "answer": body(c.answer_bytes, c.answer_kept, ANSWER_CUT, ANSWER_ENCODED),
        "assembled": is(ASSEMBLED),
        "tool_calls": c.tool_calls,
        "session": c.session,
        "agent": c.agent,
        "stored_bytes": c.length,
        "place": c.state.name(),
    })
}

impl From<ReadError> for Problem {
    fn from(error: ReadError) -> Self {
        match error {
            ReadError::Gone => Self::no_capture(),
            error => {
                tracing::error!(error = %crate::link::chain(&error), "a capture could not be read");
                Self::captures_unavailable(&error.to_string())
            }
        }
    }
}
