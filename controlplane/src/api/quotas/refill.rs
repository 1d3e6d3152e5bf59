//! `POST /api/quotas/refill`: money by hand, never above the ceiling.

use std::sync::Arc;

use axum::Json;
use axum::extract::{Request, State};
use axum::http::Uri;
use serde_json::{Map, Value, json};
use sluice_shared::quota::Unit;
use sluice_shared::wire::control::Bucket;

use super::super::parameters::Parameters;
use super::super::principal::Principal;
use super::super::problem::Problem;
use super::super::{Shown, body};
use super::{LIMIT, members, named, units};
use crate::audit::action;
use crate::config::amount::{self, show, show_balance};
use crate::store::BucketQuery;

/// Members of a POST.
const KNOWN: [&str; 4] = ["bucket", "quota", "unit", "amount"];

pub(in super::super) async fn refill(
    State(shown): State<Arc<Shown>>,
    principal: Principal,
    uri: Uri,
    request: Request,
) -> Result<Json<Value>, Problem> {
    Parameters::read(&uri, &[])?;
    let body = body::object(request).await?;
    if let Some(unknown) = body.keys().find(|key| !KNOWN.contains(&key.as_str())) {
        return Err(Problem::bad_body(format!(
            "{unknown:?} is not known; known are {}",
            KNOWN.join(", ")
        )));
    }
    let name = body::text(&body, "bucket")?.filter(|name| !name.is_empty());
    let name = name.ok_or_else(|| Problem::bad_body("\"bucket\" must be the name of a bucket"))?;
    let unit = match body::text(&body, "unit")? {
        None => Unit::Usd,
        Some(text) => Unit::parse(text)
            .ok_or_else(|| Problem::bad_body(format!("\"unit\" must be one of {}", units())))?,
    };
    let wanted = wanted(&body, unit)?;
    let bucket = find(&shown, name, body::text(&body, "quota")?, unit).await?;
    let on_record = json!({
        "quota": bucket.quota,
        "unit": unit.name(),
        "amount": wanted,
        "display": wanted.map(|wanted| show(wanted, unit)),
    });
    let (actor, node) = (&principal.login, &principal.node);
    shown
        .audit
        .record(actor, node, action::QUOTA_REFILL, &bucket.name, on_record)
        .await?;
    let done = shown.ledger.refill(&bucket, wanted, &principal.login).await?;
    // It went between the look and the deed.
    let done = done.ok_or_else(|| Problem::no_bucket(untouched(name)))?;
    tracing::info!(
        bucket = %bucket.name,
        quota = %bucket.quota,
        unit = unit.name(),
        added = done.added,
        author = %principal.login,
        "bucket refilled"
    );
    let mut answer = named(&bucket);
    answer.extend(members(json!({
        "before": done.before,
        "after": done.after,
        "added": done.added,
        "display": {
            "before": show_balance(done.before, unit),
            "after": show_balance(done.after, unit),
            "added": show(done.added, unit),
        },
    })));
    Ok(Json(Value::Object(answer)))
}

/// What is to be added; `None`: all that is missing.
fn wanted(body: &Map<String, Value>, unit: Unit) -> Result<Option<u64>, Problem> {
    let read = match body.get("amount") {
        None | Some(Value::Null) => return Ok(None),
        Some(Value::String(text)) => amount::amount(text, unit),
        // A number is of dollars, as a text is.
        Some(Value::Number(number)) if unit == Unit::Usd => {
            let text = number.to_string();
            match text.strip_prefix('-') {
                None => amount::amount(&format!("${text}"), unit),
                Some(_) => Err(amount::AmountError::Negative),
            }
        }
        Some(Value::Number(number)) => amount::amount(&number.to_string(), unit),
        Some(_) => return Err(Problem::bad_body("\"amount\" must be a string or a number")),
    };
    match read {
        Ok(0) => Err(Problem::bad_amount("\"amount\" is 0: it would add nothing")),
        Ok(amount) => Ok(Some(amount)),
        Err(error) => Err(Problem::bad_amount(format!("\"amount\" {error}"))),
    }
}

/// The one bucket of this name and unit.
async fn find(shown: &Shown, name: &str, quota: Option<&str>, unit: Unit) -> Result<Bucket, Problem> {
    let query = BucketQuery {
        quota: quota.map(str::to_owned),
        name: Some(name.to_owned()),
        limit: LIMIT.1,
        ..BucketQuery::default()
    };
    let all = shown.store.buckets(&query, shown.ledger.now()).await?;
    let mut fitting = all
        .iter()
        .map(|row| &row.bucket)
        .filter(|bucket| bucket.unit == unit);
    match (fitting.next(), fitting.next()) {
        (Some(bucket), None) => Ok(bucket.clone()),
        (Some(first), Some(second)) => {
            let candidates = [first, second].into_iter().chain(fitting);
            let candidates: Vec<Value> = candidates.map(|bucket| Value::Object(named(bucket))).collect();
            Err(Problem::ambiguous_bucket(name, candidates.into()))
        }
        (None, _) if all.is_empty() => Err(Problem::no_bucket(untouched(name))),
        (None, _) => {
            let mut others: Vec<&str> = all.iter().map(|row| row.bucket.unit.name()).collect();
            others.dedup();
            Err(Problem::no_bucket(format!(
                "the bucket {name:?} does not count {}, but {}; say so with \"unit\"",
                unit.name(),
                others.join(" and ")
            )))
        }
    }
}

fn untouched(name: &str) -> String {
    format!(
        "there is no bucket {name:?}: GET /api/quotas lists those that are in use; any other is full, or of no quota"
    )
}
