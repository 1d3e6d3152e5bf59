//! `GET /api/usage`: sums by user, model, provider, hour or day.

use std::sync::Arc;

use axum::Json;
use axum::extract::State;
use axum::http::Uri;
use serde_json::{Value, json};
use sluice_shared::units::UnixMicros;

use super::Shown;
use super::parameters::{Parameters, show_time};
use super::principal::Principal;
use super::problem::Problem;
use crate::store::{GROUPS_MAX, GroupBy, UsageGroup, UsageQuery};

const KNOWN: [&str; 4] = ["by", "since", "until", "user"];

pub(super) async fn sums(
    State(shown): State<Arc<Shown>>,
    principal: Principal,
    uri: Uri,
) -> Result<Json<Value>, Problem> {
    let parameters = Parameters::read(&uri, &KNOWN)?;
    let by = match parameters.text("by") {
        None => GroupBy::Model,
        Some(text) => GroupBy::parse(text).ok_or_else(|| {
            Problem::bad_parameter(
                "by",
                format_args!("must be one of {}", GroupBy::ALL.map(GroupBy::name).join(", ")),
            )
        })?,
    };
    let asked = parameters.text("user").map(str::to_owned);
    let allowed = principal.may_ask_for(asked.as_deref());
    let query = UsageQuery {
        by,
        since: parameters.time("since")?,
        until: parameters.time("until")?,
        user: principal.only(asked),
    };
    let groups = if allowed {
        shown.store.usage(&query).await?
    } else {
        Vec::new()
    };
    let truncated = groups.len() >= GROUPS_MAX;
    let groups: Vec<Value> = groups.iter().map(|g| group(by, g)).collect();
    Ok(Json(json!({
        "by": by.name(),
        "since": query.since.map(show_time),
        "until": query.until.map(show_time),
        "truncated": truncated,
        "groups": groups,
    })))
}

fn group(by: GroupBy, group: &UsageGroup) -> Value {
    let key = match by {
        GroupBy::Hour | GroupBy::Day => show_time(UnixMicros(
            group.key.parse::<u64>().unwrap_or(0).saturating_mul(1_000_000),
        )),
        GroupBy::User | GroupBy::Model | GroupBy::Provider => group.key.clone(),
    };
    let t = &group.totals;
    json!({
        "key": key,
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
    })
}
