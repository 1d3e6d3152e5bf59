//! `GET /api/tool-calls/summary`: which tools are called how often, over time.

use std::sync::Arc;

use axum::Json;
use axum::extract::State;
use axum::http::Uri;
use serde_json::{Value, json};
use sluice_shared::units::UnixMicros;

use super::super::Shown;
use super::super::parameters::{Parameters, show_time};
use super::super::period::{Period, show_second};
use super::super::principal::Principal;
use super::super::problem::Problem;
use crate::store::tools::{ToolSum, ToolSums, ToolSumsQuery};

const KNOWN: [&str; 5] = ["since", "until", "user", "step", "top"];
/// Days that are shown unless asked otherwise.
const DAYS: u64 = 7;
/// Tools with a line of their own, at most and unless asked otherwise.
const TOP: (u32, u32) = (50, 8);

pub(in super::super) async fn summary(
    State(shown): State<Arc<Shown>>,
    principal: Principal,
    uri: Uri,
) -> Result<Json<Value>, Problem> {
    let parameters = Parameters::read(&uri, &KNOWN)?;
    let period = Period::read(&parameters, shown.ledger.now(), DAYS)?;
    let asked = parameters.text("user").map(str::to_owned);
    let query = ToolSumsQuery {
        from: period.from,
        to: period.to,
        step: period.step,
        top: parameters.number("top", 0, TOP.0, TOP.1)?,
        open: period.open,
        user: principal.only(asked.clone()),
    };
    let sums = if principal.may_ask_for(asked.as_deref()) {
        shown.store.tool_sums(&query).await?
    } else {
        // Somebody else's: to a user they do not exist.
        ToolSums::default()
    };
    let line = |of: &dyn Fn(u64) -> u64| period.starts().map(of).collect::<Vec<u64>>();
    let at = |line: &std::collections::BTreeMap<u64, u64>, time: u64| line.get(&time).copied().unwrap_or(0);
    let all = line(&|time| at(&sums.all, time));
    let named = sums.series.iter().zip(&sums.tools);
    let series: Vec<Value> = named
        .map(|(counts, tool)| json!({ "name": tool.name, "calls": line(&|time| at(counts, time)) }))
        .collect();
    let rest = line(&|time| {
        let shown: u64 = sums.series.iter().map(|counts| at(counts, time)).sum();
        at(&sums.all, time).saturating_sub(shown)
    });
    let other = rest.iter().any(|calls| *calls > 0);
    let tools: Vec<Value> = sums.tools.iter().map(tool).collect();
    Ok(Json(json!({
        "since": show_second(period.from),
        "until": show_second(period.to),
        "step": period.step_name(),
        "times": period.times(),
        "tools": tools,
        "series": series,
        "other": other.then_some(rest),
        "total": { "calls": sums.calls, "hosted": sums.hosted, "series": all },
    })))
}

fn tool(tool: &ToolSum) -> Value {
    json!({
        "name": tool.name,
        "calls": tool.calls,
        "hosted": tool.hosted,
        "users": tool.users,
        "last": show_time(UnixMicros(tool.last)),
    })
}
