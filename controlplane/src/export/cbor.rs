//! Aperture's exported record, version 2: CBOR maps (RFC 8949) one behind the other, the whole compressed with zstd.
//!
//! The names of the fields are those that readers of such exports show in public (`docs/EXPORTS.md`). Fields of Sluice's own
//! are in the map `sluice`, so that they collide with none.

use std::io::Write as _;

use ciborium::Value;
use sluice_shared::usage::{Usage, UsageRecord};

use super::item::{Batch, Captured, RequestItem};
use crate::api::parameters::show_time;
use crate::api::requests::record as record_json;

/// Version of the record.
const VERSION: u64 = 2;
/// zstd's level.
const LEVEL: i32 = 3;

/// Every request of a batch.
pub(super) fn records(batch: &Batch) -> std::io::Result<Vec<u8>> {
    let mut out = zstd::Encoder::new(Vec::new(), LEVEL)?;
    let mut one = Vec::new();
    for request in batch.requests() {
        one.clear();
        ciborium::into_writer(&record(request), &mut one).map_err(std::io::Error::other)?;
        out.write_all(&one)?;
    }
    out.finish()
}

/// A number that fits a signed one: the request's own id is not a number, so its low bits are taken.
fn number(r: &UsageRecord) -> u64 {
    let low: [u8; 8] = r.request_id.0.last_chunk().copied().unwrap_or_default();
    u64::from_be_bytes(low) >> 1
}

fn text(value: &str) -> Value {
    Value::Text(value.to_owned())
}

fn map(entries: Vec<(&str, Value)>) -> Value {
    let entries = entries.into_iter().map(|(name, value)| (text(name), value));
    Value::Map(entries.collect())
}

/// `provider/model`, as answered if the answer says.
fn model(r: &UsageRecord) -> String {
    format!(
        "{}/{}",
        r.provider,
        r.model_answered.as_deref().unwrap_or(&r.model_asked)
    )
}

/// Counts that are known; one that is not is left out, never 0.
fn usage(u: &Usage) -> Value {
    let counts = [
        ("input_tokens", u.input),
        ("output_tokens", u.output),
        ("cached_tokens", u.cached_read),
        ("cache_creation_input_tokens", u.cache_write),
        ("cache_creation_5m_input_tokens", u.cache_write_5m),
        ("cache_creation_1h_input_tokens", u.cache_write_1h),
        ("reasoning_tokens", u.reasoning),
        ("image_input_tokens", u.input_image),
        ("image_output_tokens", u.output_image),
        ("web_search_count", u.web_searches),
    ];
    let known = counts
        .into_iter()
        .filter_map(|(name, count)| Some((name, Value::from(count?))));
    map(known.collect())
}

/// Dollars are floating-point in this format, as its readers expect.
fn cost(r: &UsageRecord) -> Option<Value> {
    let dollars = r.cost?.0 as f64 / 1e9;
    Some(map(vec![
        ("dollars", Value::Float(dollars)),
        ("cost_basis", text(&model(r))),
        ("usage", usage(&r.usage)),
    ]))
}

fn record(request: &RequestItem) -> Value {
    let r = &request.record;
    let id = r.request_id.to_string();
    let mut out = vec![
        ("id", Value::from(number(r))),
        ("ver", Value::from(VERSION)),
        ("timestamp", text(&show_time(r.time))),
        (
            "identity",
            map(vec![
                ("login_name", text(&r.user)),
                ("stable_node_id", text(&r.node)),
            ]),
        ),
        ("model", text(&model(r))),
        ("api_type", text(r.api.name())),
        ("usage", usage(&r.usage)),
    ];
    if let Some(cost) = cost(r) {
        out.push(("estimated_cost", cost));
    }
    let session = r.session.as_deref().unwrap_or_default();
    out.extend([
        ("duration_ms", Value::from(r.duration_us / 1_000)),
        ("capture_id", text(&id)),
        ("session_id", text(session)),
        ("path", text(&r.path)),
        ("status_code", Value::from(r.status)),
    ]);
    if let Some(captured) = &request.captured {
        out.push(("capture", capture(r, &id, captured)));
    }
    let mut own = record_json(r);
    own["capture"] = request.capture_word().into();
    out.push(("sluice", Value::serialized(&own).unwrap_or(Value::Null)));
    map(out)
}

/// Heads and bodies. Bodies stand twice, as in the original: as text for readers, and as the bytes that were.
fn capture(r: &UsageRecord, id: &str, it: &Captured) -> Value {
    let body = |bytes: &[u8]| Value::Text(String::from_utf8_lossy(bytes).into_owned());
    let answer = it
        .assembled
        .as_ref()
        .map_or_else(|| body(&it.answer_body), |value| Value::Text(value.to_string()));
    let mut out = vec![
        ("id", text(id)),
        ("model", text(&model(r))),
        ("startTime", text(&show_time(r.time))),
        ("loginName", text(&r.user)),
        ("stableNodeId", text(&r.node)),
        ("tags", Value::Array(r.tags.iter().map(|tag| text(tag)).collect())),
        ("method", text(&it.method)),
        ("statusCode", Value::from(it.status)),
        ("path", text(&it.target)),
        ("toolUseData", Value::Array(Vec::new())),
        ("requestHeaders", headers(&it.request_headers)),
        ("requestBody", body(&it.request_body)),
        ("responseHeaders", headers(&it.answer_headers)),
        ("responseBody", answer),
        ("rawRequestBody", Value::Bytes(it.request_body.clone())),
        ("rawResponseBody", Value::Bytes(it.answer_body.clone())),
        ("sessionId", text(r.session.as_deref().unwrap_or_default())),
    ];
    if let Some(cost) = cost(r) {
        out.push(("estimated_cost", cost));
    }
    map(out)
}

/// Names with all their values.
fn headers(fields: &[(String, Vec<u8>)]) -> Value {
    let mut out: Vec<(Value, Value)> = Vec::new();
    for (name, value) in fields {
        let value = Value::Text(String::from_utf8_lossy(value).into_owned());
        let found = out.iter_mut().find(|(other, _)| other.as_text() == Some(name));
        match found {
            Some((_, Value::Array(values))) => values.push(value),
            _ => out.push((text(name), Value::Array(vec![value]))),
        }
    }
    Value::Map(out)
}
