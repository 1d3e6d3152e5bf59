//! Events as they go out, in the format of server-sent events.

use serde_json::{Value, json};
use sluice_shared::units::UnixMicros;
use sluice_shared::usage::UsageRecord;

use super::Running;
use super::seconds::{Seconds, Sums};
use crate::api::parameters::show_time;
use crate::api::requests;

/// Seconds that rates are means over.
const RATE_S: u64 = 10;
/// Seconds that the spend of an hour is reckoned from.
const SPEND_S: u64 = 60;

/// What a client does when the stream ends: it comes back after this many milliseconds.
const BEGINNING: &str = "retry: 2000\n\n";

fn event(name: &str, data: &Value) -> String {
    // JSON has no line breaks of its own.
    format!("event: {name}\ndata: {data}\n\n")
}

/// The first event of a stream.
pub(super) fn history(seconds: &Seconds, last: u64) -> String {
    let list: Vec<Value> = seconds
        .until(last)
        .map(|(second, sums)| one(second, sums))
        .collect();
    format!("{BEGINNING}{}", event("history", &json!({ "seconds": list })))
}

/// What is going on, once the second `last` is over.
pub(super) fn now(seconds: &Seconds, last: u64, running: Option<Running>, time: UnixMicros) -> String {
    let (rates, length) = seconds.span(last, RATE_S);
    let (spend, spent_s) = seconds.span(last, SPEND_S);
    let hour = u128::from(spend.cost_nanousd) * 3_600 / u128::from(spent_s.max(1));
    let data = json!({
        "time": show_time(time),
        "requests_per_s": rate(rates.requests, length),
        "errors_per_s": rate(rates.errors, length),
        "input_per_s": rate(rates.input, length),
        "output_per_s": rate(rates.output, length),
        "cost_nanousd_per_h": u64::try_from(hour).unwrap_or(u64::MAX),
        "in_flight": running.map(|running| running.requests),
        "streams": running.map(|running| running.streams),
        "last": one(last, seconds.get(last)),
    });
    event("now", &data)
}

pub(super) fn request(record: &UsageRecord) -> String {
    event("request", &requests::record(record))
}

pub(super) fn skipped(count: u64) -> String {
    event("skipped", &json!({ "count": count }))
}

fn one(second: u64, sums: Sums) -> Value {
    json!({
        "time": show_time(UnixMicros(second.saturating_mul(1_000_000))),
        "requests": sums.requests,
        "errors": sums.errors,
        "input": sums.input,
        "output": sums.output,
        "cost_nanousd": sums.cost_nanousd,
    })
}

/// A mean with two decimals.
#[allow(clippy::cast_precision_loss, reason = "a rate is shown with two decimals")]
fn rate(count: u64, seconds: u64) -> f64 {
    (count as f64 * 100.0 / seconds.max(1) as f64).round() / 100.0
}
