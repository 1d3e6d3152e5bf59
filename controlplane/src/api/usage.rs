//! `GET /api/usage`: sums by user, model, provider, API, hour or day.

use std::sync::Arc;

use axum::Json;
use axum::extract::State;
use axum::http::Uri;
use serde_json::{Map, Value, json};

use super::Shown;
use super::parameters::{Parameters, show_time};
use super::principal::Principal;
use super::problem::Problem;
use super::series::second;
use crate::store::{GROUPS_MAX, GroupBy, Totals, UsageGroup, UsageQuery, UsageSort};

const KNOWN: [&str; 8] = [
    "by", "sort", "limit", "since", "until", "user", "model", "provider",
];

pub(super) async fn sums(
    State(shown): State<Arc<Shown>>,
    principal: Principal,
    uri: Uri,
) -> Result<Json<Value>, Problem> {
    let parameters = Parameters::read(&uri, &KNOWN)?;
    let by = parameters
        .word("by", &GroupBy::ALL, GroupBy::name)?
        .unwrap_or(GroupBy::Model);
    let asked = parameters.text("user").map(str::to_owned);
    let allowed = principal.may_ask_for(asked.as_deref());
    let most = u32::try_from(GROUPS_MAX).unwrap_or(u32::MAX);
    let limit = parameters.number("limit", 1, most, most)?;
    let limit = usize::try_from(limit).unwrap_or(GROUPS_MAX);
    let query = UsageQuery {
        by,
        sort: parameters
            .word("sort", &UsageSort::ALL, UsageSort::name)?
            .unwrap_or(UsageSort::Requests),
        // One more tells whether there is more.
        limit: limit.saturating_add(1),
        since: parameters.time("since")?,
        until: parameters.time("until")?,
        user: principal.only(asked),
        model: parameters.text("model").map(str::to_owned),
        provider: parameters.text("provider").map(str::to_owned),
    };
    let mut groups = if allowed {
        shown.store.usage(&query).await?
    } else {
        Vec::new()
    };
    let truncated = groups.len() > limit;
    if truncated && matches!(by, GroupBy::Hour | GroupBy::Day) {
        groups.remove(0);
    }
    groups.truncate(limit);
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
        GroupBy::Hour | GroupBy::Day => second(group.key.parse().unwrap_or(0)),
        GroupBy::User | GroupBy::Model | GroupBy::Provider | GroupBy::Api => group.key.clone(),
    };
    let mut out = Map::new();
    out.insert("key".into(), key.into());
    out.extend(totals(&group.totals));
    out.into()
}

/// Members of sums.
pub(super) fn totals(t: &Totals) -> Map<String, Value> {
    let mut out = Map::new();
    for (name, value) in [
        ("requests", t.requests),
        ("errors", t.errors),
        ("unknown", t.unknown),
        ("unpriced", t.unpriced),
        ("input", t.input),
        ("input_uncached", t.input_uncached),
        ("cached_read", t.cached_read),
        ("cache_write", t.cache_write),
        ("output", t.output),
        ("reasoning", t.reasoning),
        ("cost_nanousd", t.cost_nanousd),
    ] {
        out.insert(name.into(), value.into());
    }
    out
}
