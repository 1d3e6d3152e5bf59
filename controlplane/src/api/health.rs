//! `GET /api/health`: how the control plane is. Users learn that it is there; admins learn what is wrong.

use std::sync::Arc;

use axum::Json;
use axum::extract::State;
use axum::http::Uri;
use serde_json::{Value, json};

use super::Shown;
use super::parameters::Parameters;
use super::principal::{Principal, Role};
use super::problem::Problem;
use crate::config::Message;

/// Ingest that has not caught up for this long is worth attention, in milliseconds.
const LAG_MS_MAX: u64 = 10_000;

pub(super) async fn show(
    State(shown): State<Arc<Shown>>,
    principal: Principal,
    uri: Uri,
) -> Result<Json<Value>, Problem> {
    Parameters::read(&uri, &[])?;
    let ingest = shown.ingest.figures();
    let captures = shown.capture_status.figures();
    let config = shown.config.view();
    let degraded = config.rejected.is_some()
        || ingest.error.is_some()
        || ingest.lag_ms > LAG_MS_MAX
        || ingest.damaged > 0
        || captures.error.is_some()
        || captures.care_error.is_some()
        || captures.damaged > 0;
    let status = if degraded { "degraded" } else { "ok" };
    let epoch = shown.publisher.current().map_or(0, |published| published.epoch.0);
    if principal.role == Role::User {
        return Ok(Json(json!({ "status": status, "epoch": epoch })));
    }
    Ok(Json(json!({
        "status": status,
        "epoch": epoch,
        "uptime_s": shown.started.elapsed().as_secs(),
        "config": {
            "source": config.source,
            "saves_to": shown.configuration.target(),
            "version": shown.configuration.present().version.id,
            "summary": config.report.summary,
            "warnings": messages(&config.report.warnings),
            "notices": messages(&config.report.notices),
            "rejected": config.rejected.as_ref().map(|report| json!({
                "errors": messages(&report.errors),
                "warnings": messages(&report.warnings),
            })),
        },
        "data_planes": shown.link.connected(),
        "ingest": {
            "records": ingest.records,
            "duplicates": ingest.duplicates,
            "amended": ingest.amended,
            "aborted": ingest.aborted,
            "damaged": ingest.damaged,
            "charges_dropped": ingest.charges_dropped,
            "incarnations": ingest.incarnations,
            "lag_ms": ingest.lag_ms,
            "error": ingest.error,
        },
        "captures": {
            "stored": captures.stored,
            "partial": captures.partial,
            "dropped": captures.dropped,
            "lost": captures.lost,
            "tool_calls": captures.tool_calls,
            "damaged": captures.damaged,
            "open": captures.open,
            "waiting_bytes": captures.waiting_bytes,
            "uploaded": captures.uploaded,
            "upload_waiting_bytes": captures.upload_waiting_bytes,
            "purged": captures.purged,
            "error": captures.error,
            "care_error": captures.care_error,
        },
        "store": { "kind": "sqlite", "bytes": shown.store.bytes() },
    })))
}

fn messages(list: &[Message]) -> Vec<Value> {
    list.iter()
        .map(|m| json!({ "path": m.path, "line": m.line, "column": m.column, "text": m.text }))
        .collect()
}
