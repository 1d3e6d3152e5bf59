//! From the frames of a capture to what is stored of it.
//!
//! Nothing here fails: what cannot be decoded, read or put together is kept as it came, and the capture says so.

use serde::{Deserialize, Serialize};
use sluice_proto::transcript;
use sluice_shared::ids::ShardId;
use sluice_shared::usage::{Ended, UsageRecord};
use sluice_shared::wire::capture::{AnswerHead, Closed, Fields, Opened};

use crate::store::captures::{
    ANSWER_CUT, ANSWER_ENCODED, ASSEMBLED, NewCapture, NewToolCall, REQUEST_CUT, REQUEST_ENCODED, STREAM,
    UNFINISHED,
};
use crate::store::outbox::events_of;

/// Most bytes of a body once it is decoded; one that is longer is kept as it came.
const DECODED_BYTES_MAX: usize = 128 << 20;
/// Most bytes of one body as it came that are taken from frames.
pub(super) const BODY_BYTES_MAX: usize = 512 << 20;
/// Most bytes of the arguments, and of the name and the id, of a tool call that are kept as rows; the answer has all of them.
const ARGUMENTS_BYTES_MAX: usize = 64 << 10;
const NAME_BYTES_MAX: usize = 256;
/// Most tool calls of one answer that are kept as rows.
const CALLS_MAX: usize = 256;

/// What the frames of a capture hold.
#[derive(Debug)]
pub(super) struct Raw {
    pub(super) opened: Opened,
    pub(super) request: Vec<u8>,
    pub(super) answer_head: Option<AnswerHead>,
    pub(super) answer: Vec<u8>,
    /// `None`: it has no end.
    pub(super) closed: Option<Closed>,
}

/// What is stored.
pub(super) struct Assembled {
    /// Without its place, which is not known yet.
    pub(super) row: NewCapture,
    /// Head, request, answer, answer as one object.
    pub(super) parts: [Vec<u8>; 4],
}

/// What is known of a capture beside its bodies.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Head {
    pub(crate) request_id: String,
    /// Unix microseconds.
    pub(crate) time: u64,
    pub(crate) user: String,
    pub(crate) node: String,
    pub(crate) api: String,
    pub(crate) provider: String,
    /// As the client named it.
    pub(crate) model: String,
    /// As it was named to the provider.
    pub(crate) model_sent: String,
    pub(crate) stream: bool,
    pub(crate) epoch: u64,
    pub(crate) method: String,
    /// Path and query as forwarded.
    pub(crate) target: String,
    pub(crate) request_headers: Vec<Field>,
    pub(crate) request: BodyHead,
    /// `None`: there was no answer.
    pub(crate) status: Option<u16>,
    pub(crate) answer_headers: Vec<Field>,
    pub(crate) answer: BodyHead,
    /// The answer came to its end, as far as it says itself.
    pub(crate) complete: bool,
    pub(crate) session: Option<String>,
    pub(crate) agent: Option<String>,
    pub(crate) parent: Option<String>,
    pub(crate) ended: String,
    /// It has no end: its process died while the request ran.
    pub(crate) unfinished: bool,
}

/// What is known of a body.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct BodyHead {
    /// Bytes as it was forwarded.
    pub(crate) bytes: u64,
    /// How many of them are kept.
    pub(crate) kept: u64,
    /// Not all of them are kept.
    pub(crate) truncated: bool,
    /// Its content-encoding, if it is stored so because it could not be decoded within bounds.
    pub(crate) encoded: Option<String>,
}

/// A field of a head.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Field {
    pub(crate) name: String,
    /// Bytes that are no UTF-8 are replaced.
    pub(crate) value: String,
}

/// Puts a capture together.
pub(super) fn assemble(raw: Raw) -> Assembled {
    let Raw {
        opened,
        request,
        answer_head,
        answer,
        closed,
    } = raw;
    let unfinished = closed.is_none();
    let (request_kept, answer_kept) = (request.len() as u64, answer.len() as u64);
    let (record, request_bytes, answer_bytes) = match closed {
        Some(closed) => (closed.record, closed.request_bytes, closed.answer_bytes),
        None => (draft(&opened, answer_head.as_ref()), request_kept, answer_kept),
    };
    let request_cut = request_bytes > request_kept;
    let answer_cut = unfinished || answer_bytes > answer_kept;
    let (request, request_encoded) = decode(&opened.headers, request);
    let none = Fields::new();
    let answer_headers = answer_head.as_ref().map_or(&none, |head| &head.headers);
    let (answer, answer_encoded) = decode(answer_headers, answer);
    let content_type = field(answer_headers, "content-type");
    let (mut assembled, mut calls, mut complete) = (Vec::new(), Vec::new(), false);
    if answer_encoded.is_none() && !answer.is_empty() {
        let found = transcript::reassemble(opened.api, content_type.as_deref(), &answer);
        complete = found.complete && !answer_cut;
        if let Some(object) = found.answer {
            calls = tool_calls(&opened, &object);
            // An answer that is one document is its own object.
            if found.events.is_some() || serde_json::from_slice::<serde::de::IgnoredAny>(&answer).is_err() {
                assembled = object.to_string().into_bytes();
            }
        }
    }
    let flags = [
        (opened.stream || record.stream, STREAM),
        (unfinished, UNFINISHED),
        (request_cut, REQUEST_CUT),
        (answer_cut, ANSWER_CUT),
        (request_encoded.is_some(), REQUEST_ENCODED),
        (answer_encoded.is_some(), ANSWER_ENCODED),
        (!assembled.is_empty(), ASSEMBLED),
    ];
    let flags = flags
        .into_iter()
        .filter(|(set, _)| *set)
        .fold(0, |flags, (_, bit)| flags | bit);
    let body = |bytes, kept, truncated, encoded| BodyHead {
        bytes,
        kept,
        truncated,
        encoded,
    };
    let status = answer_head.as_ref().map_or(record.status, |head| head.status);
    let model = if record.model_asked.is_empty() {
        opened.model.clone()
    } else {
        record.model_asked.clone()
    };
    let provider = if record.provider.is_empty() {
        opened.provider.clone()
    } else {
        record.provider.clone()
    };
    // The client's path, since hooks are asked about that, too.
    let query = opened.target.find('?').and_then(|at| opened.target.get(at..));
    let url = format!("{}{}", record.path, query.unwrap_or_default());
    let events = events_of(&opened.events, &record, &url, &opened.model, calls.len());
    let head = Head {
        request_id: opened.request_id.to_string(),
        time: opened.time.0,
        user: opened.user.clone(),
        node: opened.node,
        api: opened.api.name().to_owned(),
        provider: provider.clone(),
        model: model.clone(),
        model_sent: opened.model,
        stream: opened.stream || record.stream,
        epoch: opened.epoch.0,
        method: opened.method,
        target: opened.target,
        request_headers: fields(&opened.headers),
        request: body(request_bytes, request_kept, request_cut, request_encoded),
        status: answer_head.as_ref().map(|head| head.status),
        answer_headers: fields(answer_headers),
        answer: body(answer_bytes, answer_kept, answer_cut, answer_encoded),
        complete,
        session: record.session.clone(),
        agent: record.agent.clone(),
        parent: record.parent.clone(),
        ended: record.ended.name().to_owned(),
        unfinished,
    };
    // Serialising text into memory does not fail; an empty head would still leave the bodies readable.
    let head = serde_json::to_vec(&head).unwrap_or_default();
    Assembled {
        row: NewCapture {
            segment: 0,
            number: 0,
            offset: 0,
            length: 0,
            request_id: opened.request_id,
            time: opened.time,
            user: opened.user,
            provider,
            model,
            api: opened.api,
            status,
            ended: record.ended,
            flags,
            request_bytes,
            request_kept,
            answer_bytes,
            answer_kept,
            session: record.session,
            agent: record.agent,
            kept: opened.keep,
            calls,
            events,
        },
        parts: [head, request, answer, assembled],
    }
}

/// What a record would say of a request whose process died.
fn draft(opened: &Opened, head: Option<&AnswerHead>) -> UsageRecord {
    // Whose shard it was is not asked: this is no record that is stored.
    let shard = ShardId(0);
    let mut record = UsageRecord::draft(opened.request_id, opened.time, shard, opened.epoch, opened.api);
    record.ended = Ended::Aborted;
    record.status = head.map_or(0, |head| head.status);
    record.stream = opened.stream;
    record
}

/// A body with its content-encoding removed; if that cannot be done, as it came and the name of the encoding. One that was
/// cut is not decoded either.
fn decode(headers: &Fields, body: Vec<u8>) -> (Vec<u8>, Option<String>) {
    let Some(encoding) = field(headers, "content-encoding") else {
        return (body, None);
    };
    if body.is_empty() || encoding.eq_ignore_ascii_case("identity") {
        return (body, None);
    }
    match transcript::decode(Some(&encoding), &body, DECODED_BYTES_MAX) {
        Ok(decoded) => (decoded.into_owned(), None),
        Err(_) => (body, Some(encoding)),
    }
}

fn tool_calls(opened: &Opened, answer: &serde_json::Value) -> Vec<NewToolCall> {
    let calls = transcript::tool_calls(opened.api, answer)
        .into_iter()
        .take(CALLS_MAX);
    calls
        .map(|call| NewToolCall {
            arguments_bytes: call.arguments.len() as u64,
            name: cut(call.name, NAME_BYTES_MAX),
            call_id: cut(call.id, NAME_BYTES_MAX),
            arguments: cut(call.arguments, ARGUMENTS_BYTES_MAX),
            hosted: call.hosted,
        })
        .collect()
}

/// At most so many bytes of a text, whole characters.
fn cut(mut text: String, bytes_max: usize) -> String {
    if text.len() > bytes_max {
        let end = (0..=bytes_max).rev().find(|at| text.is_char_boundary(*at));
        text.truncate(end.unwrap_or(0));
    }
    text
}

/// The value of a field; several of one name are a list.
fn field(headers: &Fields, name: &str) -> Option<String> {
    let values: Vec<_> = headers
        .iter()
        .filter(|(other, _)| other.eq_ignore_ascii_case(name))
        .map(|(_, value)| String::from_utf8_lossy(value))
        .collect();
    (!values.is_empty()).then(|| values.join(", "))
}

fn fields(headers: &Fields) -> Vec<Field> {
    let field = |(name, value): &(String, Vec<u8>)| Field {
        name: name.clone(),
        value: String::from_utf8_lossy(value).into_owned(),
    };
    headers.iter().map(field).collect()
}

impl Head {
    /// Value of an answer's field.
    pub(crate) fn answer_field(&self, name: &str) -> Option<&str> {
        let found = self
            .answer_headers
            .iter()
            .find(|f| f.name.eq_ignore_ascii_case(name));
        found.map(|f| f.value.as_str())
    }
}
