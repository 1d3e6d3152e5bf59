//! `GET /api/tool-calls`: what models asked tools to do, newest requests first, in each the calls in their order.

mod summary;

use std::sync::Arc;

use axum::Json;
use axum::extract::State;
use axum::http::Uri;
use serde_json::{Value, json};
use sluice_shared::ids::RequestId;

use super::Shown;
use super::parameters::{Parameters, show_time};
use super::principal::Principal;
use super::problem::Problem;
use super::requests::parse_cursor;
use crate::store::captures::{ToolCallPlace, ToolCallQuery, ToolCallView};
pub(super) use summary::summary;

const KNOWN: [&str; 10] = [
    "since", "until", "user", "model", "provider", "session", "name", "request", "limit", "cursor",
];
/// Calls of a page, unless asked otherwise, and at most.
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
    let query = ToolCallQuery {
        since: parameters.time("since")?,
        until: parameters.time("until")?,
        user: principal.only(asked.clone()),
        model: text("model"),
        provider: text("provider"),
        session: text("session"),
        name: text("name"),
        request: parameters.text("request").map(request).transpose()?,
        after: parameters.text("cursor").map(place).transpose()?,
        limit: limit + 1,
    };
    let mut calls = if principal.may_ask_for(asked.as_deref()) {
        shown.store.tool_calls(&query).await?
    } else {
        // Somebody else's: to a user they do not exist.
        Vec::new()
    };
    let limit = usize::try_from(limit).unwrap_or(usize::MAX);
    let more = calls.len() > limit;
    calls.truncate(limit);
    let next = calls.last().filter(|_| more).map(cursor);
    let calls: Vec<Value> = calls.iter().map(view).collect();
    Ok(Json(json!({ "tool_calls": calls, "next_cursor": next })))
}

fn request(text: &str) -> Result<RequestId, Problem> {
    RequestId::parse(text)
        .ok_or_else(|| Problem::bad_parameter("request", "must be a request id: 32 hex digits"))
}

fn cursor(call: &ToolCallView) -> String {
    format!("{}-{}-{}", call.time.0, call.request_id, call.call)
}

fn place(text: &str) -> Result<ToolCallPlace, Problem> {
    let bad = || Problem::bad_parameter("cursor", "is not one that this API gave");
    let (request, call) = text.rsplit_once('-').ok_or_else(bad)?;
    let (time, id) = parse_cursor(request)?;
    let digits = !call.is_empty() && call.bytes().all(|b| b.is_ascii_digit());
    let call = call.parse().ok().filter(|_| digits).ok_or_else(bad)?;
    Ok((time, id, call))
}

fn view(c: &ToolCallView) -> Value {
    json!({
        "request_id": c.request_id.to_string(),
        "call": c.call,
        "time": show_time(c.time),
        "user": c.user,
        "provider": c.provider,
        "model": c.model,
        "session": c.session,
        "agent": c.agent,
        "name": c.name,
        "id": c.call_id,
        "arguments": c.arguments,
        "arguments_bytes": c.arguments_bytes,
        "truncated": c.arguments_bytes > c.arguments.len() as u64,
        "hosted": c.hosted,
    })
}
