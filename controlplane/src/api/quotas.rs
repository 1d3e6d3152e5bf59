//! Budgets: what is in the buckets, who refilled them, which marks they passed.
//!
//! A bucket is there from the first request that it counted for until it has been full for long; else it would be full. Admins see all of them, users
//! what is in [`own`].

mod burn;
mod history;
mod own;
mod refill;

use std::sync::Arc;

use axum::Json;
use axum::extract::State;
use axum::http::Uri;
use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use serde_json::{Map, Value, json};
use sluice_shared::quota::{Rate, Terms, Unit, unsigned};
use sluice_shared::units::UnixMicros;
use sluice_shared::wire::control::Bucket;

use super::Shown;
use super::parameters::{Parameters, show_time};
use super::principal::Principal;
use super::problem::Problem;
use crate::config::amount;
use crate::store::{BucketOrder, BucketQuery, BucketRow};
use burn::Burn;
pub(super) use burn::history;
pub(super) use history::{events, refills};
use own::View;
pub(super) use refill::refill;

const KNOWN: [&str; 8] = [
    "id", "quota", "bucket", "unit", "search", "sort", "cursor", "limit",
];
/// Entries of a page, unless asked otherwise, and at most.
const LIMIT: (u32, u32) = (100, 1_000);
/// How often the store is asked for one page, where not all that it finds may be seen.
const READS_MAX: u32 = 16;

pub(super) async fn list(
    State(shown): State<Arc<Shown>>,
    principal: Principal,
    uri: Uri,
) -> Result<Json<Value>, Problem> {
    let parameters = Parameters::read(&uri, &KNOWN)?;
    let limit = parameters.number("limit", 1, LIMIT.1, LIMIT.0)?;
    let view = View::of(&principal, &shown)?;
    let now = shown.ledger.now();
    let mut query = BucketQuery {
        id: parameters.count("id")?,
        quota: parameters.text("quota").map(str::to_owned),
        name: parameters.text("bucket").map(str::to_owned),
        unit: parameters.text("unit").map(unit).transpose()?,
        among: view.among(),
        search: parameters.text("search").map(str::to_owned),
        order: parameters
            .word("sort", &BucketOrder::ALL, BucketOrder::name)?
            .unwrap_or_default(),
        after: parameters.text("cursor").map(parse_cursor).transpose()?,
        limit: view.reads(limit),
    };
    let wanted = usize::try_from(limit).unwrap_or(usize::MAX);
    let mut rows: Vec<BucketRow> = Vec::new();
    // Where the next page begins, if there is one.
    let mut next = None;
    for _ in 0..READS_MAX {
        let read = shown.store.buckets(&query, now).await?;
        let last = read.len() < usize::try_from(query.limit).unwrap_or(usize::MAX);
        query.after = read.last().map(place);
        rows.extend(read.into_iter().filter(|row| view.shows(&row.bucket)));
        next.clone_from(&query.after);
        if rows.len() > wanted {
            rows.truncate(wanted);
            next = rows.last().map(place);
            break;
        }
        if last {
            next = None;
            break;
        }
    }
    let burns = burn::of(&shown, &rows, now).await?;
    let quotas: Vec<Value> = rows
        .iter()
        .zip(burns)
        .map(|(row, burn)| about(row, burn, now))
        .collect();
    Ok(Json(json!({
        "time": show_time(now),
        "quotas": quotas,
        "next": next.as_ref().map(|(used, bucket)| cursor(*used, bucket)),
    })))
}

fn about(row: &BucketRow, burn: Option<Burn>, now: UnixMicros) -> Value {
    let Terms { capacity, rate } = row.account.terms;
    let (unit, balance) = (row.bucket.unit, row.account.balance);
    let mut out = named(&row.bucket);
    out.extend(members(json!({
        "id": row.id,
        "capacity": capacity,
        "balance": balance,
        "leased": row.leased,
        "charged": row.account.charged,
        "rate": amount::show_rate(rate, unit)
            .map(|_| json!({ "amount": rate.amount, "per_s": rate.per_us / 1_000_000 })),
        "percent_used": percent_used(&row.account.terms, balance),
        "burn": burn.map(|burn| burn.show()),
        "empty_at": burn
            .and_then(|burn| burn::empty_at(burn, &row.account.terms, balance, now))
            .map(show_time),
        "full_at": full_at(&row.account.terms, balance, now).map(show_time),
        "display": {
            "capacity": amount::show(capacity, unit),
            "balance": amount::show_balance(balance, unit),
            "rate": amount::show_rate(rate, unit),
        },
    })));
    Value::Object(out)
}

/// The members that name a bucket.
fn named(bucket: &Bucket) -> Map<String, Value> {
    members(json!({ "quota": bucket.quota, "bucket": bucket.name, "unit": bucket.unit.name() }))
}

fn members(value: Value) -> Map<String, Value> {
    match value {
        Value::Object(members) => members,
        _ => Map::new(),
    }
}

/// Of the ceiling, rounded down; above 100 in debt.
pub(super) fn percent_used(terms: &Terms, balance: i64) -> u64 {
    let used = u128::from(unsigned(terms.ceiling().saturating_sub(balance)));
    let percent = used.saturating_mul(100).checked_div(u128::from(terms.capacity));
    u64::try_from(percent.unwrap_or(100)).unwrap_or(u64::MAX)
}

/// When the bucket will be full if nothing is spent; `None`: it is, or never.
fn full_at(terms: &Terms, balance: i64, now: UnixMicros) -> Option<UnixMicros> {
    let missing = unsigned(terms.ceiling().saturating_sub(balance));
    let Rate { amount, .. } = terms.rate;
    if missing == 0 || amount == 0 {
        return None;
    }
    let us = terms.rate.time_for(missing)?;
    Some(UnixMicros(now.0.saturating_add(us)))
}

fn unit(text: &str) -> Result<Unit, Problem> {
    Unit::parse(text)
        .ok_or_else(|| Problem::bad_parameter("unit", format_args!("must be one of {}", units())))
}

fn units() -> String {
    let names: Vec<&str> = Unit::ALL.iter().map(|unit| unit.name()).collect();
    names.join(", ")
}

fn place(row: &BucketRow) -> (u64, Bucket) {
    (row.used_ppm(), row.bucket.clone())
}

/// A place in the list, whatever it is ordered by, for the next page.
fn cursor(used_ppm: u64, bucket: &Bucket) -> String {
    let place = json!([bucket.name, bucket.quota, bucket.unit.name(), used_ppm]);
    URL_SAFE_NO_PAD.encode(place.to_string())
}

fn parse_cursor(text: &str) -> Result<(u64, Bucket), Problem> {
    let read = || {
        let place = URL_SAFE_NO_PAD.decode(text).ok()?;
        let (name, quota, unit, used): (String, String, String, u64) = serde_json::from_slice(&place).ok()?;
        let unit = Unit::parse(&unit)?;
        Some((used, Bucket { quota, name, unit }))
    };
    read().ok_or_else(|| Problem::bad_parameter("cursor", "is not one that this API gave"))
}

#[cfg(test)]
mod tests {
    use super::*;

    const DAY: u64 = 86_400_000_000;

    fn terms(capacity: u64, amount: u64) -> Terms {
        Terms {
            capacity,
            rate: Rate { amount, per_us: DAY },
        }
    }

    #[test]
    fn use_is_in_whole_percent_of_the_ceiling() {
        let check = |capacity: u64, balance: i64, expected: u64| {
            assert_eq!(
                percent_used(&terms(capacity, 0), balance),
                expected,
                "{capacity} {balance}"
            );
        };
        check(10, 10, 0);
        check(10, 5, 50);
        check(1_000, 1, 99);
        check(10, 0, 100);
        check(10, -5, 150);
        check(0, 0, 100);
        check(1 << 60, 0, 100);
        check(1 << 60, i64::MIN, 799);
        check(10, 12, 0);
    }

    #[test]
    fn full_again_in_the_time_that_the_refill_takes() {
        let check = |terms: Terms, balance: i64, expected: Option<u64>| {
            let found = full_at(&terms, balance, UnixMicros(7)).map(|time| time.0);
            assert_eq!(found, expected, "{terms:?} {balance}");
        };
        check(terms(10, 5), 0, Some(7 + 2 * DAY));
        check(terms(10, 5), -5, Some(7 + 3 * DAY));
        check(terms(10, 5), 10, None);
        check(terms(10, 0), 0, None);
        check(terms(0, 5), 0, None);
        check(terms(1 << 60, 1), i64::MIN, Some(u64::MAX));
    }

    #[test]
    fn cursors_come_back() {
        let bucket = Bucket {
            quota: "s:<session>".into(),
            name: "s:a/\"\u{e9}\" ,".into(),
            unit: Unit::Tokens,
        };
        assert_eq!(parse_cursor(&cursor(7, &bucket)), Ok((7, bucket)));
        for broken in ["x", "", "W10", "*", "WyJhIiwiYiIsInVzZCJd", "bnVsbA"] {
            assert!(parse_cursor(broken).is_err(), "{broken}");
        }
    }
}
