//! Sessions: the list, one with the tree of its agents, and its requests. To a user, those of others do not exist.

mod tree;

use std::sync::Arc;

use axum::Json;
use axum::extract::{Path, State};
use axum::http::Uri;
use serde_json::{Map, Value, json};
use sluice_shared::units::UnixMicros;

use super::Shown;
use super::parameters::{Parameters, show_time};
use super::principal::Principal;
use super::problem::Problem;
use super::requests::{cursor as request_cursor, parse_cursor as parse_request_cursor, record};
use crate::store::sessions::top::{Size, TopSessions};
use crate::store::sessions::{
    Client, ModelRow, PARTS_MAX, SessionDetail, SessionId, SessionQuery, SessionRow, Sum,
};

/// Entries of a page, unless asked otherwise, and at most.
const LIMIT: (u32, u32) = (100, 1_000);

pub(super) async fn list(
    State(shown): State<Arc<Shown>>,
    principal: Principal,
    uri: Uri,
) -> Result<Json<Value>, Problem> {
    let known = [
        "since", "until", "user", "client", "model", "sort", "limit", "cursor",
    ];
    let parameters = Parameters::read(&uri, &known)?;
    let (limit, page) = limit(&parameters)?;
    let text = |name: &str| parameters.text(name).map(str::to_owned);
    let user = text("user");
    let size = size(&parameters)?;
    let after = parameters.text("cursor").map(parse_cursor).transpose()?;
    let query = SessionQuery {
        client: parameters.word("client", Client::ALL, Client::name)?,
        model: text("model"),
        since: parameters.time("since")?,
        until: parameters.time("until")?,
        after,
        // One more than the page: whether there is a next one.
        limit: limit + 1,
        user: principal.only(user.clone()),
    };
    let found = match size {
        _ if !principal.may_ask_for(user.as_deref()) => TopSessions::default(),
        None => TopSessions {
            sessions: shown.store.sessions(&query).await?,
            considered_since: None,
        },
        Some(size) => {
            let after = after.map(|(size, number)| (size.0, number));
            shown.store.top_sessions(&query, size, after).await?
        }
    };
    let mut sessions = found.sessions;
    let more = sessions.len() > page;
    sessions.truncate(page);
    let next = sessions.last().filter(|_| more).map(|last| cursor(last, size));
    let sessions: Vec<Value> = sessions.iter().map(|row| Value::Object(session(row))).collect();
    Ok(Json(json!({
        "sessions": sessions,
        "considered_since": found.considered_since.map(show_time),
        "next_cursor": next,
    })))
}

pub(super) async fn show(
    State(shown): State<Arc<Shown>>,
    Path(id): Path<String>,
    principal: Principal,
    uri: Uri,
) -> Result<Json<Value>, Problem> {
    Parameters::read(&uri, &[])?;
    let SessionDetail {
        session: row,
        agents,
        models,
        tools,
        children,
    } = find(&shown, &id, &principal).await?;
    let parts = [agents.len(), models.len(), tools.len(), children.len()];
    let cut = parts.into_iter().any(|count| count >= PARTS_MAX);
    let mut answer = session(&row);
    answer.insert("tree".into(), tree::of(&row, &agents));
    answer.insert("models".into(), models.iter().map(model).collect());
    let tools = tools
        .iter()
        .map(|tool| json!({ "name": tool.name, "calls": tool.calls }));
    answer.insert("tools".into(), tools.collect());
    let children = children.iter().map(|row| Value::Object(session(row)));
    answer.insert("sessions".into(), children.collect());
    answer.insert("truncated".into(), cut.into());
    Ok(Json(Value::Object(answer)))
}

pub(super) async fn requests(
    State(shown): State<Arc<Shown>>,
    Path(id): Path<String>,
    principal: Principal,
    uri: Uri,
) -> Result<Json<Value>, Problem> {
    let parameters = Parameters::read(&uri, &["limit", "cursor"])?;
    let (limit, page) = limit(&parameters)?;
    let after = parameters.text("cursor").map(parse_request_cursor).transpose()?;
    let found = find(&shown, &id, &principal).await?;
    let number = found.session.number;
    let mut records = shown.store.session_requests(number, after, limit + 1).await?;
    let more = records.len() > page;
    records.truncate(page);
    let next = records.last().filter(|_| more).map(request_cursor);
    let requests: Vec<Value> = records.iter().map(record).collect();
    Ok(Json(
        json!({ "requests": requests, "next_cursor": next, "cut": false }),
    ))
}

async fn find(shown: &Shown, id: &str, principal: &Principal) -> Result<SessionDetail, Problem> {
    let none = || Problem::not_found("there is no such session");
    let id = SessionId::parse(id).ok_or_else(none)?;
    let found = shown.store.session(id).await?;
    found
        .filter(|found| principal.may_ask_for(Some(&found.session.user)))
        .ok_or_else(none)
}

fn limit(parameters: &Parameters) -> Result<(u32, usize), Problem> {
    let limit = parameters.number("limit", 1, LIMIT.1, LIMIT.0)?;
    Ok((limit, usize::try_from(limit).unwrap_or(usize::MAX)))
}

/// What the list is sorted by; `None`: by the last request.
fn size(parameters: &Parameters) -> Result<Option<Size>, Problem> {
    match parameters.text("sort") {
        None | Some("last") => Ok(None),
        Some("cost") => Ok(Some(Size::Cost)),
        Some("requests") => Ok(Some(Size::Requests)),
        Some("tokens") => Ok(Some(Size::Tokens)),
        Some(_) => Err(Problem::bad_parameter(
            "sort",
            "must be one of last, cost, requests, tokens",
        )),
    }
}

/// Where a session stands in the list: what it is sorted by, and its number.
fn cursor(session: &SessionRow, size: Option<Size>) -> String {
    let place = size.map_or(session.last.0, |size| size.of(session));
    format!("{place}-{}", session.number)
}

fn parse_cursor(text: &str) -> Result<(UnixMicros, i64), Problem> {
    let digits = |text: &str| !text.is_empty() && text.bytes().all(|b| b.is_ascii_digit());
    text.split_once('-')
        .filter(|(last, number)| digits(last) && digits(number))
        .and_then(|(last, number)| Some((UnixMicros(last.parse().ok()?), number.parse().ok()?)))
        .ok_or_else(|| Problem::bad_parameter("cursor", "is not one that this API gave"))
}

/// A session as it is listed.
fn session(row: &SessionRow) -> Map<String, Value> {
    let mut out = members(json!({
        "id": row.id.to_string(),
        "user": row.user,
        "node": row.node,
        "key": row.key,
        "source": row.source.name(),
        "client": row.client.name(),
        "user_agent": row.user_agent,
        "parent": row.parent.map(|id| id.to_string()),
        "first": show_time(row.first),
        "last": show_time(row.last),
        "duration_us": row.last.0.saturating_sub(row.first.0),
    }));
    out.extend(sum(&row.sum));
    out
}

fn model(row: &ModelRow) -> Value {
    let mut out = members(json!({ "model": row.model }));
    out.extend(sum(&row.sum));
    Value::Object(out)
}

fn sum(sum: &Sum) -> Map<String, Value> {
    let t = &sum.totals;
    members(json!({
        "requests": t.requests,
        "errors": t.errors,
        "unknown": t.unknown,
        "unpriced": t.unpriced,
        "input": t.input,
        "input_uncached": t.input_uncached,
        "cached_read": t.cached_read,
        "cache_write": t.cache_write,
        "output": t.output,
        "reasoning": t.reasoning,
        "cost_nanousd": t.cost_nanousd,
        "tool_calls": sum.tool_calls,
        "busy_us": sum.busy_us,
    }))
}

fn members(value: Value) -> Map<String, Value> {
    match value {
        Value::Object(map) => map,
        _ => Map::new(),
    }
}
