//! Items as OpenTelemetry's messages, after the semantic conventions for generative AI (`gen_ai.*`, of 2025/2026, in
//! development): spans of clients named `{operation} {model}`, and the two histograms of clients.
//!
//! Requests of one session are one trace. Ids are hashes: the same request has the same ids whenever it is sent.

use std::collections::BTreeMap;

use opentelemetry_proto::tonic::collector::logs::v1::ExportLogsServiceRequest;
use opentelemetry_proto::tonic::collector::metrics::v1::ExportMetricsServiceRequest;
use opentelemetry_proto::tonic::collector::trace::v1::ExportTraceServiceRequest;
use opentelemetry_proto::tonic::common::v1::any_value::Value as Any;
use opentelemetry_proto::tonic::common::v1::{AnyValue, ArrayValue, InstrumentationScope, KeyValue};
use opentelemetry_proto::tonic::logs::v1::{LogRecord, ResourceLogs, ScopeLogs};
use opentelemetry_proto::tonic::metrics::v1::{
    Histogram, HistogramDataPoint, Metric, ResourceMetrics, ScopeMetrics, metric::Data,
};
use opentelemetry_proto::tonic::resource::v1::Resource;
use opentelemetry_proto::tonic::trace::v1::{ResourceSpans, ScopeSpans, Span, Status};
use sluice_shared::api::ApiKind;
use sluice_shared::usage::{Ended, UsageRecord};

use super::super::item::{Batch, Item, RequestItem};

/// `SEVERITY_NUMBER_INFO` and `SEVERITY_NUMBER_WARN`.
const INFO: i32 = 9;
const WARN: i32 = 13;
/// `SPAN_KIND_CLIENT`.
const CLIENT: i32 = 3;
/// `STATUS_CODE_ERROR`.
const ERROR: i32 = 2;
/// `AGGREGATION_TEMPORALITY_DELTA`: a batch tells what is new in it.
const DELTA: i32 = 1;
/// Flag of a span and a log record: sampled.
const SAMPLED: u32 = 1;
/// Bounds of buckets that the conventions advise, for seconds and for tokens.
const SECONDS: [f64; 14] = [
    0.01, 0.02, 0.04, 0.08, 0.16, 0.32, 0.64, 1.28, 2.56, 5.12, 10.24, 20.48, 40.96, 81.92,
];
const TOKENS: [f64; 14] = [
    1.0,
    4.0,
    16.0,
    64.0,
    256.0,
    1_024.0,
    4_096.0,
    16_384.0,
    65_536.0,
    262_144.0,
    1_048_576.0,
    4_194_304.0,
    16_777_216.0,
    67_108_864.0,
];

fn text(key: &str, value: &str) -> KeyValue {
    pair(key, Any::StringValue(value.to_owned()))
}

fn int(key: &str, value: u64) -> KeyValue {
    pair(key, Any::IntValue(i64::try_from(value).unwrap_or(i64::MAX)))
}

fn pair(key: &str, value: Any) -> KeyValue {
    KeyValue {
        key: key.to_owned(),
        value: Some(AnyValue { value: Some(value) }),
        ..KeyValue::default()
    }
}

fn texts(key: &str, values: &[String]) -> KeyValue {
    let values = values.iter().map(|value| AnyValue {
        value: Some(Any::StringValue(value.clone())),
    });
    pair(
        key,
        Any::ArrayValue(ArrayValue {
            values: values.collect(),
        }),
    )
}

fn resource(batch: &Batch) -> Resource {
    Resource {
        attributes: vec![
            text("service.name", "sluice"),
            text("service.version", env!("CARGO_PKG_VERSION")),
            text("service.instance.id", &batch.id),
        ],
        ..Resource::default()
    }
}

fn scope() -> InstrumentationScope {
    InstrumentationScope {
        name: "sluice.export".to_owned(),
        version: env!("CARGO_PKG_VERSION").to_owned(),
        ..InstrumentationScope::default()
    }
}

/// `gen_ai.operation.name`; kinds without a word of the conventions keep their own.
const fn operation(api: ApiKind) -> &'static str {
    match api {
        ApiKind::OpenAiChat
        | ApiKind::OpenAiResponses
        | ApiKind::AnthropicMessages
        | ApiKind::VertexRawPredict
        | ApiKind::BedrockInvoke
        | ApiKind::BedrockConverse
        | ApiKind::OllamaChat => "chat",
        ApiKind::OpenAiCompletions => "text_completion",
        ApiKind::GeminiGenerate | ApiKind::VertexGenerate => "generate_content",
        ApiKind::OpenAiEmbeddings | ApiKind::GeminiEmbed | ApiKind::OllamaEmbed => "embeddings",
        ApiKind::OpenAiImages
        | ApiKind::OpenAiAudio
        | ApiKind::OpenAiModerations
        | ApiKind::OpenAiRerank
        | ApiKind::AnthropicCountTokens
        | ApiKind::GeminiCountTokens
        | ApiKind::VertexCountTokens
        | ApiKind::VertexPredict
        | ApiKind::BedrockCountTokens => api.name(),
    }
}

/// `gen_ai.provider.name`: whose format the call speaks.
const fn provider(api: ApiKind) -> &'static str {
    match api {
        ApiKind::OpenAiChat
        | ApiKind::OpenAiCompletions
        | ApiKind::OpenAiResponses
        | ApiKind::OpenAiEmbeddings
        | ApiKind::OpenAiImages
        | ApiKind::OpenAiAudio
        | ApiKind::OpenAiModerations
        | ApiKind::OpenAiRerank => "openai",
        ApiKind::AnthropicMessages | ApiKind::AnthropicCountTokens => "anthropic",
        ApiKind::GeminiGenerate | ApiKind::GeminiCountTokens | ApiKind::GeminiEmbed => "gcp.gemini",
        ApiKind::VertexGenerate
        | ApiKind::VertexCountTokens
        | ApiKind::VertexPredict
        | ApiKind::VertexRawPredict => "gcp.vertex_ai",
        ApiKind::BedrockInvoke | ApiKind::BedrockConverse | ApiKind::BedrockCountTokens => "aws.bedrock",
        ApiKind::OllamaChat | ApiKind::OllamaEmbed => "ollama",
    }
}

/// `error.type`: the code of the error, else its status, else how it ended; `None`: none.
fn error_type(r: &UsageRecord) -> Option<String> {
    let failed = r.status >= 400 || r.status == 0 || !matches!(r.ended, Ended::Complete | Ended::ClientGone);
    failed.then(|| match (&r.error, r.status) {
        (Some(code), _) => code.clone(),
        (None, status @ 400..) => status.to_string(),
        (None, _) => r.ended.name().to_owned(),
    })
}

/// What a metric may be told apart by: few values each.
fn labels(r: &UsageRecord) -> Vec<KeyValue> {
    let mut out = vec![
        text("gen_ai.operation.name", operation(r.api)),
        text("gen_ai.provider.name", provider(r.api)),
        // The older name of the same, for receivers that know only that.
        text("gen_ai.system", provider(r.api)),
        text("gen_ai.request.model", &r.model_asked),
    ];
    if let Some(model) = &r.model_answered {
        out.push(text("gen_ai.response.model", model));
    }
    out
}

/// Everything that is known of a request.
fn attributes(request: &RequestItem) -> Vec<KeyValue> {
    let r = &request.record;
    let mut out = labels(r);
    let counts = [
        ("gen_ai.usage.input_tokens", r.usage.input),
        ("gen_ai.usage.output_tokens", r.usage.output),
        ("gen_ai.usage.cache_read.input_tokens", r.usage.cached_read),
        ("gen_ai.usage.cache_creation.input_tokens", r.usage.cache_write),
        ("sluice.usage.reasoning_tokens", r.usage.reasoning),
        ("sluice.cost_nanousd", r.cost.map(|cost| cost.0)),
        ("sluice.time_to_first_token_us", r.ttft_us),
    ];
    out.extend(counts.iter().filter_map(|(key, count)| Some(int(key, (*count)?))));
    let optional = [
        ("gen_ai.conversation.id", &r.session),
        ("gen_ai.agent.id", &r.agent),
        ("sluice.parent", &r.parent),
        ("user_agent.original", &r.user_agent),
    ];
    out.extend(
        optional
            .iter()
            .filter_map(|(key, value)| Some(text(key, value.as_deref()?))),
    );
    if let Some(reason) = &r.stop_reason {
        out.push(texts(
            "gen_ai.response.finish_reasons",
            std::slice::from_ref(reason),
        ));
    }
    if let Some(error) = error_type(r) {
        out.push(text("error.type", &error));
    }
    out.extend([
        text("sluice.request_id", &r.request_id.to_string()),
        text("sluice.api", r.api.name()),
        text("sluice.provider", &r.provider),
        text("sluice.ended", r.ended.name()),
        text("sluice.usage_known", r.usage_known.name()),
        text("sluice.capture", request.capture_word()),
        text("user.name", &r.user),
        text("url.path", &r.path),
        int("http.response.status_code", r.status.into()),
    ]);
    out
}

fn hash(parts: [&[u8]; 3], bytes: usize) -> Vec<u8> {
    let mut context = ring::digest::Context::new(&ring::digest::SHA256);
    for part in parts {
        context.update(&(part.len() as u64).to_le_bytes());
        context.update(part);
    }
    let digest = context.finish();
    digest.as_ref().iter().copied().take(bytes).collect()
}

/// One trace a session of a principal; a request without a session is its own.
fn trace_id(r: &UsageRecord) -> Vec<u8> {
    match &r.session {
        Some(session) => hash([b"session", r.user.as_bytes(), session.as_bytes()], 16),
        None => hash([b"request", &r.request_id.0, b""], 16),
    }
}

fn span_id(r: &UsageRecord) -> Vec<u8> {
    hash([b"span", &r.request_id.0, b""], 8)
}

const fn nanos(us: u64) -> u64 {
    us.saturating_mul(1_000)
}

/// One record an item.
pub(super) fn logs(batch: &Batch) -> Option<ExportLogsServiceRequest> {
    let log_records: Vec<LogRecord> = batch.items.iter().map(log).collect();
    if log_records.is_empty() {
        return None;
    }
    Some(ExportLogsServiceRequest {
        resource_logs: vec![ResourceLogs {
            resource: Some(resource(batch)),
            scope_logs: vec![ScopeLogs {
                scope: Some(scope()),
                log_records,
                ..ScopeLogs::default()
            }],
            ..ResourceLogs::default()
        }],
    })
}

fn log(item: &Item) -> LogRecord {
    let mut out = LogRecord {
        severity_number: INFO,
        severity_text: "INFO".to_owned(),
        body: Some(AnyValue {
            value: Some(Any::StringValue(item.json().to_string())),
        }),
        ..LogRecord::default()
    };
    match item {
        Item::Request(request) => {
            let r = &request.record;
            if error_type(r).is_some() {
                (out.severity_number, out.severity_text) = (WARN, "WARN".to_owned());
            }
            out.event_name = "sluice.request".to_owned();
            // It is known when the request is over.
            out.time_unix_nano = nanos(r.time.0.saturating_add(r.duration_us));
            out.attributes = attributes(request);
            (out.trace_id, out.span_id, out.flags) = (trace_id(r), span_id(r), SAMPLED);
        }
        Item::Audit(number, row) => {
            out.event_name = "sluice.audit".to_owned();
            out.time_unix_nano = nanos(row.time.0);
            out.attributes = vec![
                int("sluice.audit.number", *number),
                text("sluice.audit.action", &row.action),
                text("sluice.audit.subject", &row.subject),
                text("user.name", &row.actor),
            ];
        }
        Item::Quota(number, row) => {
            (out.severity_number, out.severity_text) = (WARN, "WARN".to_owned());
            out.event_name = "sluice.quota_event".to_owned();
            out.time_unix_nano = nanos(row.time.0);
            out.attributes = vec![
                int("sluice.quota_event.number", *number),
                text("sluice.quota", &row.quota),
                text("sluice.bucket", &row.name),
                int("sluice.quota.percent", row.percent.into()),
            ];
        }
    }
    out.observed_time_unix_nano = out.time_unix_nano;
    out
}

/// One span a request.
pub(super) fn spans(batch: &Batch) -> Option<ExportTraceServiceRequest> {
    let spans: Vec<Span> = batch.requests().map(span).collect();
    if spans.is_empty() {
        return None;
    }
    Some(ExportTraceServiceRequest {
        resource_spans: vec![ResourceSpans {
            resource: Some(resource(batch)),
            scope_spans: vec![ScopeSpans {
                scope: Some(scope()),
                spans,
                ..ScopeSpans::default()
            }],
            ..ResourceSpans::default()
        }],
    })
}

fn span(request: &RequestItem) -> Span {
    let r = &request.record;
    let status = error_type(r).map(|message| Status { message, code: ERROR });
    Span {
        trace_id: trace_id(r),
        span_id: span_id(r),
        flags: SAMPLED,
        name: format!("{} {}", operation(r.api), r.model_asked),
        kind: CLIENT,
        start_time_unix_nano: nanos(r.time.0),
        end_time_unix_nano: nanos(r.time.0.saturating_add(r.duration_us)),
        attributes: attributes(request),
        status,
        ..Span::default()
    }
}

/// Values that are told apart by the same labels.
struct Point {
    attributes: Vec<KeyValue>,
    values: Vec<f64>,
}

/// Points by the text of their labels, in an order of their own.
type Points = BTreeMap<String, Point>;

fn add(points: &mut Points, attributes: Vec<KeyValue>, value: f64) {
    let key = format!("{attributes:?}");
    points
        .entry(key)
        .or_insert_with(|| Point {
            attributes,
            values: Vec::new(),
        })
        .values
        .push(value);
}

/// The two histograms of clients over the requests of a batch.
pub(super) fn metrics(batch: &Batch) -> Option<ExportMetricsServiceRequest> {
    let (mut tokens, mut seconds) = (Points::new(), Points::new());
    let (mut from, mut to) = (u64::MAX, 0);
    for r in batch.requests().map(|request| &request.record) {
        from = from.min(r.time.0);
        to = to.max(r.time.0.saturating_add(r.duration_us));
        for (kind, count) in [("input", r.usage.input), ("output", r.usage.output)] {
            if let Some(count) = count {
                let mut attributes = labels(r);
                attributes.push(text("gen_ai.token.type", kind));
                add(&mut tokens, attributes, count as f64);
            }
        }
        let mut attributes = labels(r);
        if let Some(error) = error_type(r) {
            attributes.push(text("error.type", &error));
        }
        add(&mut seconds, attributes, r.duration_us as f64 / 1e6);
    }
    if to == 0 {
        return None;
    }
    let histogram = |points: Points, bounds: &[f64]| {
        let data_points = points
            .into_values()
            .map(|point| data_point(point, bounds, nanos(from), nanos(to)));
        Some(Data::Histogram(Histogram {
            data_points: data_points.collect(),
            aggregation_temporality: DELTA,
        }))
    };
    let metric = |name: &str, description: &str, unit: &str, data: Option<Data>| Metric {
        name: name.to_owned(),
        description: description.to_owned(),
        unit: unit.to_owned(),
        data,
        ..Metric::default()
    };
    let metrics = vec![
        metric(
            "gen_ai.client.token.usage",
            "Number of input and output tokens used",
            "{token}",
            histogram(tokens, &TOKENS),
        ),
        metric(
            "gen_ai.client.operation.duration",
            "GenAI operation duration",
            "s",
            histogram(seconds, &SECONDS),
        ),
    ];
    Some(ExportMetricsServiceRequest {
        resource_metrics: vec![ResourceMetrics {
            resource: Some(resource(batch)),
            scope_metrics: vec![ScopeMetrics {
                scope: Some(scope()),
                metrics,
                ..ScopeMetrics::default()
            }],
            ..ResourceMetrics::default()
        }],
    })
}

/// A bucket holds what is above the bound before it, up to and with its own; the last has no end.
fn data_point(point: Point, bounds: &[f64], from: u64, to: u64) -> HistogramDataPoint {
    let mut bucket_counts = vec![0; bounds.len() + 1];
    for value in &point.values {
        let at = bounds.partition_point(|bound| bound < value);
        if let Some(count) = bucket_counts.get_mut(at) {
            *count += 1;
        }
    }
    HistogramDataPoint {
        attributes: point.attributes,
        start_time_unix_nano: from,
        time_unix_nano: to,
        count: point.values.len() as u64,
        sum: Some(point.values.iter().sum()),
        bucket_counts,
        explicit_bounds: bounds.to_vec(),
        min: point.values.iter().copied().reduce(f64::min),
        max: point.values.iter().copied().reduce(f64::max),
        ..HistogramDataPoint::default()
    }
}
