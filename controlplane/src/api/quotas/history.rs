//! `GET /api/quotas/refills`, `GET /api/quotas/events`: what happened to buckets, newest first.

use std::sync::Arc;

use axum::Json;
use axum::extract::State;
use axum::http::Uri;
use serde_json::{Value, json};

use super::super::Shown;
use super::super::parameters::{Parameters, show_time};
use super::super::principal::Principal;
use super::super::problem::Problem;
use super::own::View;
use super::{LIMIT, READS_MAX, members, named};
use crate::config::amount::{show, show_balance};
use crate::store::{HistoryQuery, QuotaEvent, RefillEntry};

const KNOWN: [&str; 4] = ["quota", "bucket", "cursor", "limit"];

/// Refills by hand, with who did them.
pub(in super::super) async fn refills(
    State(shown): State<Arc<Shown>>,
    principal: Principal,
    uri: Uri,
) -> Result<Json<Value>, Problem> {
    let mut page = Page::read(&uri, &principal, &shown)?;
    let mut entries: Vec<RefillEntry> = Vec::new();
    while page.more(entries.len()) {
        let read = shown.store.refills(&page.query).await?;
        page.have_read(read.len(), read.last().map(|entry| entry.id));
        entries.extend(read.into_iter().filter(|entry| page.view.shows(&entry.bucket)));
    }
    let next = page.next(entries.len(), |at| entries.get(at).map(|entry| entry.id));
    entries.truncate(page.wanted);
    let shown: Vec<Value> = entries.iter().map(refilled).collect();
    Ok(Json(json!({ "refills": shown, "next": next })))
}

/// Marks of use that buckets passed: 50, 80 and 100 percent.
pub(in super::super) async fn events(
    State(shown): State<Arc<Shown>>,
    principal: Principal,
    uri: Uri,
) -> Result<Json<Value>, Problem> {
    let mut page = Page::read(&uri, &principal, &shown)?;
    let mut entries: Vec<QuotaEvent> = Vec::new();
    while page.more(entries.len()) {
        let read = shown.store.quota_events(&page.query).await?;
        page.have_read(read.len(), read.last().map(|entry| entry.id));
        entries.extend(read.into_iter().filter(|entry| page.view.shows(&entry.bucket)));
    }
    let next = page.next(entries.len(), |at| entries.get(at).map(|entry| entry.id));
    entries.truncate(page.wanted);
    let shown: Vec<Value> = entries.iter().map(event).collect();
    Ok(Json(json!({ "events": shown, "next": next })))
}

/// A page in the making.
struct Page {
    query: HistoryQuery,
    view: View,
    /// Entries that were asked for.
    wanted: usize,
    reads: u32,
    /// There is nothing older.
    ended: bool,
}

impl Page {
    fn read(uri: &Uri, principal: &Principal, shown: &Shown) -> Result<Self, Problem> {
        let parameters = Parameters::read(uri, &KNOWN)?;
        let limit = parameters.number("limit", 1, LIMIT.1, LIMIT.0)?;
        let view = View::of(principal, shown)?;
        let before = match parameters.text("cursor") {
            None => None,
            Some(text) => {
                let digits = text.bytes().all(|b| b.is_ascii_digit());
                let number = text.parse().ok().filter(|_| digits);
                let bad = || Problem::bad_parameter("cursor", "is not one that this API gave");
                Some(number.ok_or_else(bad)?)
            }
        };
        Ok(Self {
            query: HistoryQuery {
                quota: parameters.text("quota").map(str::to_owned),
                name: parameters.text("bucket").map(str::to_owned),
                among: view.among(),
                before,
                limit: view.reads(limit),
            },
            view,
            wanted: usize::try_from(limit).unwrap_or(usize::MAX),
            reads: 0,
            ended: false,
        })
    }

    /// Whether the store is to be asked once more.
    const fn more(&self, found: usize) -> bool {
        found <= self.wanted && !self.ended && self.reads < READS_MAX
    }

    fn have_read(&mut self, count: usize, last: Option<u64>) {
        self.reads = self.reads.saturating_add(1);
        self.ended = count < usize::try_from(self.query.limit).unwrap_or(usize::MAX);
        self.query.before = last.or(self.query.before);
    }

    /// Where the next page begins: behind the last entry that is shown, or that was looked at.
    fn next(&self, found: usize, id: impl Fn(usize) -> Option<u64>) -> Option<String> {
        let number = if found > self.wanted {
            id(self.wanted.saturating_sub(1))
        } else {
            self.query.before.filter(|_| !self.ended)
        };
        number.map(|number| number.to_string())
    }
}

fn refilled(entry: &RefillEntry) -> Value {
    let unit = entry.bucket.unit;
    let mut out = named(&entry.bucket);
    out.extend(members(json!({
        "id": entry.id,
        "time": show_time(entry.time),
        "author": entry.author,
        "before": entry.before,
        "after": entry.after,
        "added": entry.added,
        "display": {
            "before": show_balance(entry.before, unit),
            "after": show_balance(entry.after, unit),
            "added": show(entry.added, unit),
        },
    })));
    Value::Object(out)
}

fn event(entry: &QuotaEvent) -> Value {
    let unit = entry.bucket.unit;
    let mut out = named(&entry.bucket);
    out.extend(members(json!({
        "id": entry.id,
        "time": show_time(entry.time),
        "percent": entry.percent,
        "balance": entry.balance,
        "capacity": entry.capacity,
        "display": {
            "balance": show_balance(entry.balance, unit),
            "capacity": show(entry.capacity, unit),
        },
    })));
    Value::Object(out)
}
