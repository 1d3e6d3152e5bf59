//! Hooks: what waits for each, what became of it, and the dead letters, which an admin may retry or remove.

use std::sync::Arc;

use axum::Json;
use axum::extract::{Path, State};
use axum::http::Uri;
use serde_json::{Value, json};
use sluice_shared::snapshot::Hook;

use super::Shown;
use super::parameters::{Parameters, show_time};
use super::principal::Principal;
use super::problem::Problem;
use crate::audit::action;
use crate::hooks::url;
use crate::reload::now;
use crate::store::outbox::{DeadQuery, Event, HookState};

/// Dead letters of a page, unless asked otherwise, and at most.
const LIMIT: (u32, u32) = (100, 1_000);

/// Every hook of the document in the order in which they are called, then those that are gone and have left something.
pub(super) async fn list(State(shown): State<Arc<Shown>>, uri: Uri) -> Result<Json<Value>, Problem> {
    Parameters::read(&uri, &[])?;
    let mut states = shown.store.hook_states().await?;
    let published = shown.publisher.current();
    let hooks = published
        .as_ref()
        .map(|published| published.snapshot.hooks.as_slice())
        .unwrap_or_default();
    let mut out: Vec<Value> = Vec::with_capacity(hooks.len());
    for hook in hooks {
        let at = states.iter().position(|state| state.hook == hook.name);
        let state = at.map(|at| states.remove(at)).unwrap_or_default();
        out.push(about(&hook.name, Some(hook), &state));
    }
    out.extend(states.iter().map(|state| about(&state.hook, None, state)));
    Ok(Json(json!({ "time": show_time(now()), "hooks": out })))
}

/// Dead letters, newest first.
pub(super) async fn dead(State(shown): State<Arc<Shown>>, uri: Uri) -> Result<Json<Value>, Problem> {
    let parameters = Parameters::read(&uri, &["hook", "cursor", "limit"])?;
    let limit = parameters.number("limit", 1, LIMIT.1, LIMIT.0)?;
    let cursor = |text: &str| {
        let bad = || Problem::bad_parameter("cursor", "is not one that this API gave");
        number(text).ok_or_else(bad)
    };
    let query = DeadQuery {
        hook: parameters.text("hook").map(str::to_owned),
        before: parameters.text("cursor").map(cursor).transpose()?,
        limit: limit + 1,
    };
    let mut events = shown.store.dead_events(&query).await?;
    let wanted = usize::try_from(limit).unwrap_or(usize::MAX);
    let more = events.len() > wanted;
    events.truncate(wanted);
    let next = events.last().filter(|_| more).map(|event| event.id.to_string());
    let letters: Vec<Value> = events.iter().map(letter).collect();
    Ok(Json(json!({ "dead": letters, "next_cursor": next })))
}

/// Makes a dead letter wait again, as if it were new.
pub(super) async fn retry(
    State(shown): State<Arc<Shown>>,
    Path(id): Path<String>,
    principal: Principal,
    uri: Uri,
) -> Result<Json<Value>, Problem> {
    let event = found(&shown, &id, &uri).await?;
    put_on_record(&shown, &principal, action::HOOK_RETRY, &event).await?;
    if !shown.store.retry_event(event.id, now()).await? {
        return Err(none());
    }
    Ok(Json(letter(&event)))
}

/// Removes a dead letter.
pub(super) async fn remove(
    State(shown): State<Arc<Shown>>,
    Path(id): Path<String>,
    principal: Principal,
    uri: Uri,
) -> Result<Json<Value>, Problem> {
    let event = found(&shown, &id, &uri).await?;
    put_on_record(&shown, &principal, action::HOOK_DELETE, &event).await?;
    if !shown.store.delete_event(event.id).await? {
        return Err(none());
    }
    Ok(Json(letter(&event)))
}

async fn found(shown: &Shown, id: &str, uri: &Uri) -> Result<Event, Problem> {
    Parameters::read(uri, &[])?;
    let id = number(id).ok_or_else(none)?;
    shown.store.dead_event(id).await?.ok_or_else(none)
}

async fn put_on_record(
    shown: &Shown,
    principal: &Principal,
    action: &str,
    event: &Event,
) -> Result<(), Problem> {
    let detail = json!({ "hook": event.hook, "event_id": event.stable_id(), "error": event.error });
    let (actor, node) = (&principal.login, &principal.node);
    let subject = event.id.to_string();
    shown.audit.record(actor, node, action, &subject, detail).await?;
    Ok(())
}

fn none() -> Problem {
    Problem::not_found("there is no such dead letter")
}

/// Digits only, below what the store can hold.
fn number(text: &str) -> Option<u64> {
    let digits = !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit());
    text.parse()
        .ok()
        .filter(|_| digits)
        .filter(|id| *id <= i64::MAX.unsigned_abs())
}

fn about(name: &str, hook: Option<&Hook>, state: &HookState) -> Value {
    json!({
        "name": name,
        "configured": hook.is_some(),
        "url": hook.map(|hook| url(hook, false)),
        "timeout_ms": hook.map(|hook| hook.timeout_ms),
        "fail_policy": hook.map(|hook| if hook.fail_closed { "fail_closed" } else { "fail_open" }),
        "preference": hook.map(|hook| hook.preference),
        "waiting": state.waiting,
        "oldest": state.oldest.map(show_time),
        "delivered": state.delivered,
        "failed": state.failed,
        "dead": state.dead,
        "died": state.died,
        "last_delivered": state.last_delivered.map(show_time),
        "last_failed": state.last_failed.map(show_time),
        "last_error": Some(state.last_error.as_str()).filter(|error| !error.is_empty()),
    })
}

fn letter(event: &Event) -> Value {
    json!({
        "id": event.id.to_string(),
        "hook": event.hook,
        "event": event.event.name(),
        "event_id": event.stable_id(),
        "request_id": event.request_id.to_string(),
        "user": event.detail.login,
        "model": event.detail.model,
        "provider": event.detail.provider,
        "since": show_time(event.since),
        "died": show_time(event.due),
        "tries": event.tries,
        "error": event.error,
    })
}
