//! `GET /api/requests`: records, newest first, in pages; `GET /api/requests/{id}`: one of them.
//!
//! A cursor names the last record of a page by time and id. Records that arrive later are newer than any cursor or stand
//! at their place in time; pages never repeat and never skip what was there when the first was read. A page for whose
//! filter there is too much to read ends early and says so; its cursor goes on.

use std::sync::Arc;

use axum::Json;
use axum::extract::{Path, State};
use axum::http::Uri;
use serde_json::{Value, json};
use sluice_shared::api::ApiKind;
use sluice_shared::ids::RequestId;
use sluice_shared::quota::Charge;
use sluice_shared::units::UnixMicros;
use sluice_shared::usage::{Action, Capture, Ended, UsageRecord, Verdict};

use super::Shown;
use super::parameters::{Parameters, show_time};
use super::principal::Principal;
use super::problem::Problem;
use crate::fulltext::{TextQuery, Words};
use crate::store::filter::{Failure, Judgement};
use crate::store::sessions::SessionId;
use crate::store::{Filter, Page, Place, RequestQuery, side_json};

/// Parameters that say which records are wanted, whatever their time: of lists and of what is shown live.
pub(super) const FILTERS: [&str; 16] = [
    "user",
    "model",
    "provider",
    "status",
    "session",
    "agent",
    "api",
    "ended",
    "error",
    "stream",
    "tools",
    "min_cost_nanousd",
    "min_duration_ms",
    "verdict",
    "rule",
    "capture",
];
/// Captures with the words that are looked for that are read at once, and for one page.
pub(super) const PLACES: usize = 200;
pub(super) const PLACES_READ_MAX: usize = 4_000;
/// Records of a page, unless asked otherwise, and at most.
const LIMIT: (u32, u32) = (100, 1_000);

pub(super) async fn list(
    State(shown): State<Arc<Shown>>,
    principal: Principal,
    uri: Uri,
) -> Result<Json<Value>, Problem> {
    let known = [FILTERS.as_slice(), &["text", "since", "until", "limit", "cursor"]].concat();
    let parameters = Parameters::read(&uri, &known)?;
    let (mut query, limit) = query(&parameters)?;
    let words = words(&shown, &parameters)?;
    let Page { mut records, cut } = if principal.may_ask_for(query.filter.user.as_deref()) {
        query.filter.user = principal.only(query.filter.user.take());
        match words {
            Some(words) => with_words(&shown, &query, words).await?,
            None => shown.store.requests(&query).await?,
        }
    } else {
        // Somebody else's records: to a user they do not exist.
        Page::default()
    };
    let more = records.len() > limit;
    records.truncate(limit);
    let next = records.last().filter(|_| more).map(cursor);
    let next = next.or_else(|| cut.map(place));
    let requests: Vec<Value> = records.iter().map(record).collect();
    Ok(Json(
        json!({ "requests": requests, "next_cursor": next, "cut": cut.is_some() && !more }),
    ))
}

/// The words that captures are looked for.
pub(super) fn words(shown: &Shown, parameters: &Parameters) -> Result<Option<Words>, Problem> {
    let Some(text) = parameters.text("text") else {
        return Ok(None);
    };
    let words = Words::parse(text).map_err(|error| Problem::bad_parameter("text", error))?;
    if !shown.full_text.is_on() {
        return Err(Problem::bad_parameter(
            "text",
            "cannot be looked for: captures are not made searchable here (captures.full_text)",
        ));
    }
    Ok(Some(words))
}

/// Requests whose captures hold some words, by what else is asked.
async fn with_words(shown: &Shown, query: &RequestQuery, words: Words) -> Result<Page, Problem> {
    let wanted = usize::try_from(query.limit).unwrap_or(usize::MAX);
    let mut text = TextQuery {
        words,
        user: query.filter.user.clone(),
        since: query.since,
        until: query.until,
        after: query.after,
        limit: PLACES,
    };
    let mut page = Page::default();
    for _ in 0..PLACES_READ_MAX / PLACES {
        let places = shown.full_text.find(text.clone()).await?;
        let records = shown.store.requests_at(&places).await?;
        let passing = records.into_iter().filter(|record| query.filter.matches(record));
        page.records.extend(passing);
        if page.records.len() >= wanted {
            page.records.truncate(wanted);
            return Ok(page);
        }
        match places.last() {
            Some(last) if places.len() >= PLACES => text.after = Some(*last),
            _ => return Ok(page),
        }
    }
    page.cut = text.after;
    Ok(page)
}

/// One record; to a user, those of others do not exist.
pub(super) async fn show(
    State(shown): State<Arc<Shown>>,
    Path(id): Path<String>,
    principal: Principal,
    uri: Uri,
) -> Result<Json<Value>, Problem> {
    Parameters::read(&uri, &[])?;
    let none = || Problem::not_found("there is no such request");
    let id = RequestId::parse(&id).ok_or_else(none)?;
    let found = shown.store.request(id).await?;
    let found = found.filter(|record| principal.may_ask_for(Some(&record.user)));
    found.as_ref().map(record).map(Json).ok_or_else(none)
}

/// The query, with room for one record more than the page: whether there is a next page.
pub(super) fn query(parameters: &Parameters) -> Result<(RequestQuery, usize), Problem> {
    let limit = parameters.number("limit", 1, LIMIT.1, LIMIT.0)?;
    let query = RequestQuery {
        since: parameters.time("since")?,
        until: parameters.time("until")?,
        filter: filter(parameters)?,
        after: parameters.text("cursor").map(parse_cursor).transpose()?,
        limit: limit + 1,
    };
    Ok((query, usize::try_from(limit).unwrap_or(usize::MAX)))
}

/// What is asked by [`FILTERS`].
pub(super) fn filter(parameters: &Parameters) -> Result<Filter, Problem> {
    let text = |name: &str| parameters.text(name).map(str::to_owned);
    Ok(Filter {
        user: text("user"),
        model: text("model"),
        provider: text("provider"),
        status: parameters.text("status").map(status).transpose()?,
        session: text("session"),
        agent: text("agent"),
        api: parameters.word("api", ApiKind::ALL, ApiKind::name)?,
        ended: parameters.word("ended", Ended::ALL, Ended::name)?,
        error: text("error").map(|code| match code.as_str() {
            "any" => Failure::Any,
            _ => Failure::Code(code),
        }),
        stream: parameters.flag("stream")?,
        tools: parameters.flag("tools")?,
        cost_min: parameters.count("min_cost_nanousd")?,
        duration_min_us: parameters
            .count("min_duration_ms")?
            .map(|ms| ms.saturating_mul(1_000)),
        verdict: match parameters.text("verdict") {
            Some("any") => Some(Judgement::Any),
            _ => parameters
                .word("verdict", Action::ALL, Action::name)?
                .map(Judgement::Of),
        },
        rule: text("rule"),
        capture: parameters.word("capture", Capture::ALL, Capture::name)?,
    })
}

/// `429`, or a class: `4xx`.
pub(super) fn status(text: &str) -> Result<(u16, u16), Problem> {
    let exact = text
        .parse::<u16>()
        .ok()
        .filter(|status| *status <= 999 && text.len() <= 3 && text.bytes().all(|b| b.is_ascii_digit()));
    let class = text.strip_suffix("xx").and_then(|digit| match digit.as_bytes() {
        [digit @ b'1'..=b'5'] => Some(u16::from(digit - b'0') * 100),
        _ => None,
    });
    exact
        .map(|status| (status, status))
        .or_else(|| class.map(|low| (low, low + 99)))
        .ok_or_else(|| Problem::bad_parameter("status", "must be a status, e.g. 429, or a class, e.g. 4xx"))
}

pub(super) fn cursor(record: &UsageRecord) -> String {
    place((record.time, record.request_id))
}

/// The cursor of a place.
pub(super) fn place((time, id): Place) -> String {
    format!("{}-{id}", time.0)
}

pub(super) fn parse_cursor(text: &str) -> Result<(UnixMicros, RequestId), Problem> {
    text.split_once('-')
        .and_then(|(time, id)| {
            let digits = !time.is_empty() && time.bytes().all(|b| b.is_ascii_digit());
            Some((
                UnixMicros(time.parse().ok().filter(|_| digits)?),
                RequestId::parse(id)?,
            ))
        })
        .ok_or_else(|| Problem::bad_parameter("cursor", "is not one that this API gave"))
}

/// What was taken from a bucket; its number is that of `/api/quotas`.
fn charge(charge: &Charge) -> Value {
    json!({ "bucket": charge.bucket, "unit": charge.unit.name(), "amount": charge.amount })
}

pub(super) fn verdict(verdict: &Verdict) -> Value {
    json!({
        "judge": verdict.judge.name(),
        "name": verdict.name,
        "action": verdict.action.name(),
        "shadow": verdict.shadow,
        "on_answer": verdict.on_answer,
        "what": verdict.what,
        "count": verdict.count,
        "took_us": verdict.took_us,
    })
}

/// Where its session is shown; a request of nobody is in none.
fn session_id(r: &UsageRecord) -> Option<String> {
    let key = r.session.as_deref().filter(|_| !r.user.is_empty())?;
    Some(SessionId::of(&r.user, key).to_string())
}

/// Providers that were tried; records of earlier versions do not say.
fn attempts(r: &UsageRecord) -> Option<u32> {
    let known = r.attempts > 0 || r.provider.is_empty() || r.ended == Ended::Blocked;
    known.then_some(r.attempts)
}

/// A record as it is shown; what is not known is `null`, never 0.
pub(crate) fn record(r: &UsageRecord) -> Value {
    let u = &r.usage;
    let fields: [(&str, Value); 56] = [
        ("request_id", Value::from(r.request_id.to_string())),
        ("time", Value::from(show_time(r.time))),
        ("user", Value::from(r.user.as_str())),
        ("node", Value::from(r.node.as_str())),
        ("tags", Value::from(r.tags.clone())),
        ("api", Value::from(r.api.name())),
        ("path", Value::from(r.path.as_str())),
        ("provider", Value::from(r.provider.as_str())),
        ("model_asked", Value::from(r.model_asked.as_str())),
        ("model_answered", Value::from(r.model_answered.as_deref())),
        ("status", Value::from(r.status)),
        ("stream", Value::from(r.stream)),
        ("ended", Value::from(r.ended.name())),
        ("error", Value::from(r.error.as_deref())),
        ("usage_known", Value::from(r.usage_known.name())),
        ("input", Value::from(u.input)),
        ("input_uncached", Value::from(u.input_uncached)),
        ("cached_read", Value::from(u.cached_read)),
        ("cache_write", Value::from(u.cache_write)),
        ("cache_write_5m", Value::from(u.cache_write_5m)),
        ("cache_write_1h", Value::from(u.cache_write_1h)),
        ("output", Value::from(u.output)),
        ("reasoning", Value::from(u.reasoning)),
        ("total", Value::from(u.total)),
        ("input_audio", Value::from(u.input_audio)),
        ("input_image", Value::from(u.input_image)),
        ("cached_audio", Value::from(u.cached_audio)),
        ("output_audio", Value::from(u.output_audio)),
        ("output_image", Value::from(u.output_image)),
        ("audio_ms", Value::from(u.audio_ms)),
        ("web_searches", Value::from(u.web_searches)),
        ("web_fetches", Value::from(u.web_fetches)),
        ("hosted_tools", Value::from(u.hosted_tools)),
        (
            "stated_cost_nanousd",
            Value::from(u.stated_cost.map(|cost| cost.0)),
        ),
        ("side", side_json(&u.side)),
        ("cost_nanousd", Value::from(r.cost.map(|cost| cost.0))),
        ("priced", Value::from(r.priced)),
        ("stop_reason", Value::from(r.stop_reason.as_deref())),
        ("charges", r.charges.iter().map(charge).collect()),
        ("tool_calls", Value::from(r.tool_calls)),
        ("attempts", Value::from(attempts(r))),
        ("queued_us", Value::from(r.queued_us)),
        ("ttft_us", Value::from(r.ttft_us)),
        ("duration_us", Value::from(r.duration_us)),
        ("session", Value::from(r.session.as_deref())),
        ("session_id", Value::from(session_id(r))),
        ("session_source", Value::from(r.session_source.name())),
        ("agent", Value::from(r.agent.as_deref())),
        ("parent", Value::from(r.parent.as_deref())),
        ("capture", Value::from(r.capture.name())),
        ("verdicts", r.verdicts.iter().map(verdict).collect()),
        ("user_agent", Value::from(r.user_agent.as_deref())),
        ("request_bytes", Value::from(r.request_bytes)),
        ("response_bytes", Value::from(r.response_bytes)),
        ("shard", Value::from(r.shard.0)),
        ("epoch", Value::from(r.epoch.0)),
    ];
    fields
        .into_iter()
        .map(|(name, value)| (name.to_owned(), value))
        .collect()
}
