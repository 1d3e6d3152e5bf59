//! The audit: who did what, newest first, and whether anybody has changed it since.

use std::sync::Arc;

use axum::Json;
use axum::extract::State;
use axum::http::Uri;
use serde_json::{Value, json};

use super::Shown;
use super::parameters::{Parameters, show_time};
use super::problem::Problem;
use crate::audit::{hex, unhex};
use crate::store::audit::AuditQuery;
use crate::store::audit::chain::{AuditEntry, Break, Link};

/// Entries of a page, unless asked otherwise, and at most.
const LIMIT: (u32, u32) = (100, 1_000);

pub(super) async fn list(State(shown): State<Arc<Shown>>, uri: Uri) -> Result<Json<Value>, Problem> {
    let known = ["since", "until", "actor", "action", "limit", "cursor"];
    let parameters = Parameters::read(&uri, &known)?;
    let limit = parameters.number("limit", 1, LIMIT.1, LIMIT.0)?;
    let query = AuditQuery {
        actor: parameters.text("actor").map(str::to_owned),
        action: parameters.text("action").map(str::to_owned),
        since: parameters.time("since")?,
        until: parameters.time("until")?,
        before: parameters
            .text("cursor")
            .map(|text| {
                number(text).ok_or_else(|| Problem::bad_parameter("cursor", "is not one that this API gave"))
            })
            .transpose()?,
        // One more than the page: whether there is a next one.
        limit: limit + 1,
    };
    let mut entries = shown.store.audit(&query).await?;
    let limit = usize::try_from(limit).unwrap_or(usize::MAX);
    let more = entries.len() > limit;
    entries.truncate(limit);
    let next = entries.last().filter(|_| more).map(|entry| entry.seq.to_string());
    let entries: Vec<Value> = entries.iter().map(entry).collect();
    Ok(Json(json!({ "entries": entries, "next_cursor": next })))
}

/// Walks along the whole chain. With `seq` and `hash`, which belong together, it also has to lead through that entry: so
/// somebody who keeps the head of an earlier answer elsewhere finds a chain that was written anew.
pub(super) async fn verify(State(shown): State<Arc<Shown>>, uri: Uri) -> Result<Json<Value>, Problem> {
    let parameters = Parameters::read(&uri, &["seq", "hash"])?;
    let noted = match (parameters.text("seq"), parameters.text("hash")) {
        (None, None) => None,
        (seq, hash) => Some(Link {
            seq: seq
                .and_then(number)
                .filter(|seq| *seq > 0)
                .ok_or_else(|| Problem::bad_parameter("seq", "must be the number of an entry"))?,
            hash: hash
                .and_then(unhex)
                .ok_or_else(|| Problem::bad_parameter("hash", "must be the hash of that entry, 64 digits"))?,
        }),
    };
    let audit = shown.audit.clone();
    let kept = tokio::task::spawn_blocking(move || audit.verify(noted))
        .await
        .map_err(|_| Problem::internal())??;
    let found = &kept.verified;
    Ok(Json(json!({
        "ok": found.broken == 0,
        "entries": found.entries,
        "head": link(&found.head),
        "file": kept.file.as_ref().map(link),
        "broken": found.broken,
        "breaks": found.breaks.iter().map(broken).collect::<Vec<_>>(),
    })))
}

fn entry(entry: &AuditEntry) -> Value {
    json!({
        "seq": entry.seq,
        "time": show_time(entry.time),
        "actor": entry.actor,
        "node": entry.node,
        "action": entry.action,
        "subject": entry.subject,
        // One that something else wrote is shown as the text that it is.
        "detail": serde_json::from_str(&entry.detail).unwrap_or_else(|_| Value::from(entry.detail.as_str())),
        "hash": hex(&entry.hash),
    })
}

fn link(link: &Link) -> Value {
    json!({ "seq": link.seq, "hash": hex(&link.hash) })
}

fn broken(place: &Break) -> Value {
    match place {
        Break::Missing { first, last } => json!({ "what": "missing", "seq": first, "last": last }),
        Break::Changed { seq } => json!({ "what": "changed", "seq": seq }),
        Break::Beyond { seq } => json!({ "what": "beyond", "seq": seq }),
        Break::Rewritten { seq, noted } => {
            json!({ "what": "rewritten", "seq": seq, "noted_by": noted.name() })
        }
    }
}

fn number(text: &str) -> Option<u64> {
    let digits = !text.is_empty() && text.bytes().all(|b| b.is_ascii_digit());
    text.parse().ok().filter(|_| digits)
}
