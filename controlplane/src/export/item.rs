//! What is sent: items of a batch, and how each looks as JSON.

use std::pin::Pin;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use serde_json::{Map, Value, json};
use sluice_shared::ids::RequestId;
use sluice_shared::quota::Unit;
use sluice_shared::usage::{Capture, UsageRecord};

use crate::api::parameters::show_time;
use crate::api::requests::record as record_json;
use crate::store::export::{AuditRow, Kept, QuotaRow};

/// Heads and bodies of a request and its answer, as they are kept.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct Captured {
    pub(crate) method: String,
    /// Path and query.
    pub(crate) target: String,
    pub(crate) request_headers: Vec<(String, Vec<u8>)>,
    pub(crate) request_body: Vec<u8>,
    /// Bytes of the request body as it was forwarded, which may have been compressed.
    pub(crate) request_bytes: u64,
    /// Not all of it is kept.
    pub(crate) request_cut: bool,
    /// 0: there was no answer.
    pub(crate) status: u16,
    pub(crate) answer_headers: Vec<(String, Vec<u8>)>,
    pub(crate) answer_body: Vec<u8>,
    /// Bytes of the answer body as it came.
    pub(crate) answer_bytes: u64,
    /// Not all of it is kept.
    pub(crate) answer_cut: bool,
    /// A streamed answer as one object.
    pub(crate) assembled: Option<Value>,
}

/// A capture that is asked for.
pub(crate) type Reading<'a> = Pin<Box<dyn Future<Output = Result<Option<Captured>, String>> + Send + 'a>>;

/// Where captures are read.
pub(crate) trait ReadCaptures: Send + Sync + 'static {
    /// A capture; `None`: it is not kept any more. An error is one that may pass.
    fn read(&self, id: RequestId) -> Reading<'_>;
}

/// A request.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct RequestItem {
    pub(crate) record: UsageRecord,
    pub(crate) capture: Kept,
    /// Heads and bodies, where they are wanted and there.
    pub(crate) captured: Option<Captured>,
}

/// What an entry of the log stands for.
#[derive(Debug, Clone, PartialEq)]
pub(crate) enum Item {
    Request(Box<RequestItem>),
    Audit(u64, AuditRow),
    Quota(u64, QuotaRow),
}

/// Some items in the order of the log.
#[derive(Debug, Clone, Default, PartialEq)]
pub(crate) struct Batch {
    /// Name of the exporter.
    pub(crate) exporter: String,
    /// Tells the exporter from those of the same name elsewhere or before.
    pub(crate) id: String,
    /// First and last entry of the log that it stands for.
    pub(crate) first: u64,
    pub(crate) last: u64,
    pub(crate) items: Vec<Item>,
}

impl Batch {
    pub(crate) fn requests(&self) -> impl Iterator<Item = &RequestItem> {
        self.items.iter().filter_map(|item| match item {
            Item::Request(request) => Some(&**request),
            Item::Audit(..) | Item::Quota(..) => None,
        })
    }
}

impl Item {
    /// Bytes that it takes in memory, about.
    pub(crate) fn bytes(&self) -> u64 {
        const RECORD: u64 = 2_048;
        let captured = match self {
            Self::Request(request) => request.captured.as_ref(),
            Self::Audit(..) | Self::Quota(..) => None,
        };
        let bodies = captured.map_or(0, |it| it.request_body.len() + it.answer_body.len());
        RECORD.saturating_add(bodies as u64)
    }

    /// When it happened, in Unix microseconds.
    pub(crate) const fn time_us(&self) -> u64 {
        match self {
            Self::Request(request) => request.record.time.0,
            Self::Audit(_, row) => row.time.0,
            Self::Quota(_, row) => row.time.0,
        }
    }

    /// As one object. `type` says what it is, `id` tells it from all others: whoever gets it twice knows it by both.
    pub(crate) fn json(&self) -> Value {
        match self {
            Self::Request(request) => request.json(),
            Self::Audit(number, row) => json!({
                "type": "audit",
                "id": format!("audit-{number}"),
                "time": show_time(row.time),
                "actor": row.actor,
                "node": row.node,
                "action": row.action,
                "subject": row.subject,
                "detail": serde_json::from_str(&row.detail).unwrap_or(Value::String(row.detail.clone())),
                "hash": hex(&row.hash),
            }),
            Self::Quota(number, row) => json!({
                "type": "quota_event",
                "id": format!("quota-{number}"),
                "time": show_time(row.time),
                "quota": row.quota,
                "bucket": row.name,
                "unit": Unit::ALL.get(row.unit).map(|unit| unit.name()),
                "percent": row.percent,
                "balance": row.balance,
                "capacity": row.capacity,
            }),
        }
    }
}

impl RequestItem {
    /// What became of its capture, in a word.
    pub(crate) const fn capture_word(&self) -> &'static str {
        match (self.capture, self.record.capture) {
            (Kept::Stored, _) => "stored",
            (Kept::Missing, _) => "missing",
            (Kept::None, Capture::Dropped) => "dropped",
            (Kept::None, Capture::Off | Capture::Written) => "off",
        }
    }

    fn json(&self) -> Value {
        let mut out = Map::new();
        out.insert("type".into(), "request".into());
        out.insert("id".into(), self.record.request_id.to_string().into());
        if let Value::Object(fields) = record_json(&self.record) {
            out.extend(fields);
        }
        out.insert("capture".into(), self.capture_word().into());
        if let Some(captured) = &self.captured {
            out.insert("captured".into(), captured.json());
        }
        Value::Object(out)
    }
}

impl Captured {
    fn json(&self) -> Value {
        let mut request = Map::new();
        request.insert("method".into(), self.method.as_str().into());
        request.insert("target".into(), self.target.as_str().into());
        side(&mut request, &self.request_headers, &self.request_body);
        request.insert("body_bytes".into(), self.request_bytes.into());
        request.insert("body_cut".into(), self.request_cut.into());
        let mut answer = Map::new();
        answer.insert("status".into(), self.status.into());
        side(&mut answer, &self.answer_headers, &self.answer_body);
        answer.insert("body_bytes".into(), self.answer_bytes.into());
        answer.insert("body_cut".into(), self.answer_cut.into());
        if let Some(assembled) = &self.assembled {
            answer.insert("assembled".into(), assembled.clone());
        }
        json!({ "request": request, "answer": answer })
    }
}

fn side(out: &mut Map<String, Value>, headers: &[(String, Vec<u8>)], body: &[u8]) {
    let fields = headers
        .iter()
        .map(|(name, value)| json!([name, String::from_utf8_lossy(value)]));
    out.insert("headers".into(), fields.collect());
    match std::str::from_utf8(body) {
        Ok(text) => out.insert("body".into(), text.into()),
        Err(_) => out.insert("body_base64".into(), STANDARD.encode(body).into()),
    };
}

pub(crate) fn hex(bytes: &[u8]) -> String {
    let digit = |nibble: u8| char::from_digit(u32::from(nibble), 16).unwrap_or('0');
    bytes
        .iter()
        .flat_map(|byte| [digit(byte >> 4), digit(byte & 15)])
        .collect()
}
