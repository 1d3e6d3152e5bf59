//! `GET /api/guardrails`: what hooks and guardrails found, by rule; `GET /api/guardrails/hits`: in which requests.
//!
//! Rules of the configuration in use stand there whether they found something or not, and rules that are gone as long as
//! something of theirs lies in the period.

use std::collections::BTreeMap;
use std::sync::Arc;

use axum::Json;
use axum::extract::State;
use axum::http::Uri;
use serde_json::{Value, json};
use sluice_shared::ids::RequestId;
use sluice_shared::snapshot::{Guardrail, Snapshot};
use sluice_shared::units::UnixMicros;
use sluice_shared::usage::{Action, Judge, UsageRecord};

use super::Shown;
use super::parameters::{Parameters, show_time};
use super::period::{Period, show_second};
use super::principal::Principal;
use super::problem::Problem;
use super::requests::{parse_cursor, verdict};
use crate::store::verdicts::{HitQuery, VerdictSum};

const KNOWN: [&str; 3] = ["since", "until", "step"];
const HITS_KNOWN: [&str; 9] = [
    "rule", "judge", "action", "shadow", "user", "since", "until", "limit", "cursor",
];
/// Hits of a page, unless asked otherwise, and at most.
const LIMIT: (u32, u32) = (100, 1_000);
/// Days that are shown unless asked otherwise.
const DAYS: u64 = 7;

/// What one judge found in a period.
#[derive(Default)]
struct Tally {
    verdicts: u64,
    total: u64,
    by_action: BTreeMap<&'static str, u64>,
    shadow: u64,
    timed: u64,
    took_us: u64,
    took_max_us: u64,
    last: Option<UnixMicros>,
}

impl Tally {
    fn add(&mut self, sum: &VerdictSum) {
        self.verdicts = self.verdicts.saturating_add(sum.verdicts);
        self.timed = self.timed.saturating_add(sum.timed);
        self.took_us = self.took_us.saturating_add(sum.took_us);
        self.took_max_us = self.took_max_us.max(sum.took_max_us);
        if sum.action == Action::Allow {
            return;
        }
        self.total = self.total.saturating_add(sum.verdicts);
        self.last = self.last.max(Some(sum.last));
        // In shadow mode nothing of it was done.
        let count = if sum.shadow {
            &mut self.shadow
        } else {
            self.by_action.entry(sum.action.name()).or_default()
        };
        *count = count.saturating_add(sum.verdicts);
    }

    fn show(&self) -> Value {
        let of = |action: Action| self.by_action.get(action.name()).copied().unwrap_or(0);
        let mean = self.took_us.checked_div(self.timed);
        json!({
            "verdicts": self.verdicts,
            "hits": {
                "total": self.total,
                "blocked": of(Action::Block),
                "redacted": of(Action::Redact),
                "modified": of(Action::Modify),
                "flagged": of(Action::Log),
                "failed": of(Action::Failed),
                "shadow": self.shadow,
            },
            "took_us": mean.map(|mean| json!({ "mean": mean, "max": self.took_max_us })),
            "last": self.last.map(show_time),
        })
    }
}

pub(super) async fn list(
    State(shown): State<Arc<Shown>>,
    _principal: Principal,
    uri: Uri,
) -> Result<Json<Value>, Problem> {
    let parameters = Parameters::read(&uri, &KNOWN)?;
    let period = Period::read(&parameters, shown.ledger.now(), DAYS)?;
    let sums = shown.store.verdict_sums(period.from, period.to).await?;
    let lines = shown
        .store
        .verdict_series(period.from, period.to, period.step)
        .await?;
    let mut tallies: BTreeMap<(u8, String), Tally> = BTreeMap::new();
    let published = shown.publisher.current();
    let none = Snapshot::default();
    let snapshot = published.as_ref().map_or(&none, |published| &*published.snapshot);
    let key = |judge: Judge, name: &str| (judge as u8, name.to_owned());
    for rule in &snapshot.guardrails {
        tallies.entry(key(Judge::Guardrail, &rule.name)).or_default();
    }
    for hook in &snapshot.hooks {
        tallies.entry(key(Judge::Hook, &hook.name)).or_default();
    }
    for sum in &sums {
        tallies.entry(key(sum.judge, &sum.name)).or_default().add(sum);
    }
    let rules: Vec<Value> = tallies
        .iter()
        .map(|((judge, name), tally)| rule(snapshot, *judge, name, tally))
        .collect();
    let series: Vec<Value> = lines
        .iter()
        .map(|((judge, name), line)| {
            let hits: Vec<u64> = period
                .starts()
                .map(|time| line.get(&time).copied().unwrap_or(0))
                .collect();
            json!({ "name": name, "judge": judge.name(), "hits": hits })
        })
        .collect();
    Ok(Json(json!({
        "since": show_second(period.from),
        "until": show_second(period.to),
        "step": period.step_name(),
        "times": period.times(),
        "rules": rules,
        "series": series,
    })))
}

/// A rule with what the configuration says of it, if it is there.
fn rule(snapshot: &Snapshot, judge: u8, name: &str, tally: &Tally) -> Value {
    let guardrail = judge == Judge::Guardrail as u8;
    let spec = snapshot
        .guardrails
        .iter()
        .find(|rule| guardrail && rule.name == name);
    let hook = !guardrail && snapshot.hooks.iter().any(|hook| hook.name == name);
    let mut out = tally.show();
    out["name"] = name.into();
    out["judge"] = if guardrail { Judge::Guardrail } else { Judge::Hook }
        .name()
        .into();
    out["configured"] = (spec.is_some() || hook).into();
    out["action"] = spec.map(|rule| rule.action.name()).into();
    out["shadow"] = spec.map(|rule| rule.shadow).into();
    out["on"] = spec.map(on).into();
    out
}

/// What a guardrail looks at.
pub(super) fn on(rule: &Guardrail) -> Vec<&'static str> {
    let of = [(rule.on_requests, "requests"), (rule.on_answers, "answers")];
    of.into_iter()
        .filter(|(is, _)| *is)
        .map(|(_, name)| name)
        .collect()
}

pub(super) async fn hits(
    State(shown): State<Arc<Shown>>,
    principal: Principal,
    uri: Uri,
) -> Result<Json<Value>, Problem> {
    let parameters = Parameters::read(&uri, &HITS_KNOWN)?;
    let limit = parameters.number("limit", 1, LIMIT.1, LIMIT.0)?;
    let asked = parameters.text("user").map(str::to_owned);
    let query = HitQuery {
        since: parameters.time("since")?,
        until: parameters.time("until")?,
        name: parameters.text("rule").map(str::to_owned),
        judge: parameters.word("judge", Judge::ALL, Judge::name)?,
        action: parameters.word("action", Action::ALL, Action::name)?,
        shadow: parameters.flag("shadow")?,
        user: principal.only(asked.clone()),
        after: parameters.text("cursor").map(place).transpose()?,
        limit: limit + 1,
    };
    let mut found = if principal.may_ask_for(asked.as_deref()) {
        shown.store.verdict_hits(&query).await?
    } else {
        // Somebody else's: to a user they do not exist.
        Vec::new()
    };
    let limit = usize::try_from(limit).unwrap_or(usize::MAX);
    let more = found.len() > limit;
    found.truncate(limit);
    let next = found
        .last()
        .filter(|_| more)
        .map(|(record, number)| format!("{}-{}-{number}", record.time.0, record.request_id));
    let hits: Vec<Value> = found
        .iter()
        .map(|(record, number)| hit(record, *number))
        .collect();
    Ok(Json(json!({ "hits": hits, "next_cursor": next })))
}

fn place(text: &str) -> Result<(UnixMicros, RequestId, u32), Problem> {
    let bad = || Problem::bad_parameter("cursor", "is not one that this API gave");
    let (request, number) = text.rsplit_once('-').ok_or_else(bad)?;
    let (time, id) = parse_cursor(request)?;
    let digits = !number.is_empty() && number.bytes().all(|b| b.is_ascii_digit());
    let number = number.parse().ok().filter(|_| digits).ok_or_else(bad)?;
    Ok((time, id, number))
}

fn hit(record: &UsageRecord, number: u32) -> Value {
    let found = usize::try_from(number)
        .ok()
        .and_then(|at| record.verdicts.get(at));
    json!({
        "time": show_time(record.time),
        "request_id": record.request_id.to_string(),
        "user": record.user,
        "provider": record.provider,
        "model": record.model_asked,
        "session": record.session,
        "verdict": found.map(verdict),
    })
}
