//! What a collector decodes from the real messages.

use opentelemetry_proto::tonic::common::v1::KeyValue;
use opentelemetry_proto::tonic::common::v1::any_value::Value as Any;
use opentelemetry_proto::tonic::metrics::v1::metric::Data;
use sluice_shared::usage::{Ended, UsageRecord};

use super::super::item::{Item, RequestItem};
use super::*;
use crate::store::export::{AuditRow, Kept};
use crate::store::tests::record;

fn batch(records: Vec<UsageRecord>) -> Batch {
    let items = records.into_iter().map(|record| {
        Item::Request(Box::new(RequestItem {
            record,
            capture: Kept::None,
            captured: None,
        }))
    });
    Batch {
        exporter: "o".into(),
        id: "0a".into(),
        first: 1,
        last: 9,
        items: items.collect(),
    }
}

fn value<'a>(attributes: &'a [KeyValue], key: &str) -> Option<&'a Any> {
    let found = attributes.iter().find(|pair| pair.key == key)?;
    found.value.as_ref()?.value.as_ref()
}

fn text(attributes: &[KeyValue], key: &str) -> Option<String> {
    match value(attributes, key)? {
        Any::StringValue(text) => Some(text.clone()),
        other => panic!("{key}: {other:?}"),
    }
}

#[test]
fn spans_follow_the_conventions() {
    let (mut a, mut b, c) = (record(1, 5_000_000), record(2, 6_000_000), record(3, 7_000_000));
    for r in [&mut a, &mut b] {
        r.user = "ada".into();
        r.session = Some("s".into());
        r.duration_us = 250;
    }
    a.model_answered = Some("m-2".into());
    a.stop_reason = Some("stop".into());
    (b.status, b.error, b.ended) = (502, Some("upstream_failed".into()), Ended::UpstreamFailed);
    let sent = convert::spans(&batch(vec![a.clone(), b, c])).unwrap();
    let spans = &sent.resource_spans[0].scope_spans[0].spans;
    let span = &spans[0];
    assert_eq!(span.name, "chat model1");
    assert_eq!(span.kind, 3);
    assert_eq!((span.trace_id.len(), span.span_id.len()), (16, 8));
    assert_eq!(
        (span.start_time_unix_nano, span.end_time_unix_nano),
        (5_000_000_000, 5_000_250_000)
    );
    let check = |key: &str, expected: &str| {
        assert_eq!(text(&span.attributes, key).as_deref(), Some(expected), "{key}");
    };
    check("gen_ai.operation.name", "chat");
    check("gen_ai.provider.name", "openai");
    check("gen_ai.system", "openai");
    check("gen_ai.request.model", "model1");
    check("gen_ai.response.model", "m-2");
    check("gen_ai.conversation.id", "s");
    check("sluice.request_id", &a.request_id.to_string());
    assert_eq!(
        value(&span.attributes, "gen_ai.usage.input_tokens"),
        Some(&Any::IntValue(1))
    );
    assert_eq!(
        value(&span.attributes, "gen_ai.usage.cache_read.input_tokens"),
        None,
        "unknown"
    );
    assert_eq!(text(&span.attributes, "error.type"), None);
    assert!(span.status.is_none());
    let failed = &spans[1];
    assert_eq!(
        text(&failed.attributes, "error.type").as_deref(),
        Some("upstream_failed")
    );
    assert_eq!(failed.status.as_ref().unwrap().code, 2);
    // A session is one trace, spans differ; without one a request is its own.
    assert_eq!(spans[0].trace_id, spans[1].trace_id);
    assert_ne!(spans[0].span_id, spans[1].span_id);
    assert_ne!(spans[0].trace_id, spans[2].trace_id);
    // The same whenever it is sent; another principal's session of the same name is another.
    let again = convert::spans(&batch(vec![a.clone()])).unwrap();
    assert_eq!(&again.resource_spans[0].scope_spans[0].spans[0], span);
    a.user = "bob".into();
    let other = convert::spans(&batch(vec![a])).unwrap();
    assert_ne!(
        other.resource_spans[0].scope_spans[0].spans[0].trace_id,
        span.trace_id
    );
}

#[test]
fn logs_are_one_an_item() {
    let mut all = batch(vec![record(1, 5_000_000), record(5, 6_000_000)]);
    let row = AuditRow {
        time: sluice_shared::units::UnixMicros(7),
        actor: "ada".into(),
        node: String::new(),
        action: "config.save".into(),
        subject: "s".into(),
        detail: "{}".into(),
        hash: vec![1],
    };
    all.items.push(Item::Audit(3, row));
    let sent = convert::logs(&all).unwrap();
    let logs = &sent.resource_logs[0].scope_logs[0].log_records;
    let names: Vec<&str> = logs.iter().map(|log| log.event_name.as_str()).collect();
    assert_eq!(names, ["sluice.request", "sluice.request", "sluice.audit"]);
    let severities: Vec<i32> = logs.iter().map(|log| log.severity_number).collect();
    assert_eq!(severities, [9, 13, 9], "the second was answered with 500");
    for (log, item) in logs.iter().zip(&all.items) {
        let body = log.body.as_ref().unwrap().value.as_ref().unwrap();
        assert_eq!(*body, Any::StringValue(item.json().to_string()));
    }
    let resource = sent.resource_logs[0].resource.as_ref().unwrap();
    assert_eq!(
        text(&resource.attributes, "service.name").as_deref(),
        Some("sluice")
    );
}

#[test]
fn metrics_count_every_request_in_its_bucket() {
    let mut records = Vec::new();
    for (number, input, duration_us) in [(2, 1, 10_000), (4, 2, 10_001), (6, 5_000_000_000, 99_000_000)] {
        let mut r = record(number, 1_000_000 * number);
        r.usage.input = Some(input);
        r.usage.output = None;
        r.duration_us = duration_us;
        records.push(r);
    }
    let sent = convert::metrics(&batch(records)).unwrap();
    let metrics = &sent.resource_metrics[0].scope_metrics[0].metrics;
    let names: Vec<(&str, &str)> = metrics
        .iter()
        .map(|m| (m.name.as_str(), m.unit.as_str()))
        .collect();
    assert_eq!(
        names,
        [
            ("gen_ai.client.token.usage", "{token}"),
            ("gen_ai.client.operation.duration", "s")
        ]
    );
    let histograms: Vec<_> = metrics
        .iter()
        .map(|m| match &m.data {
            Some(Data::Histogram(histogram)) => histogram,
            other => panic!("{other:?}"),
        })
        .collect();
    assert!(histograms.iter().all(|h| h.aggregation_temporality == 1));
    let tokens = &histograms[0].data_points;
    assert_eq!(
        tokens.len(),
        1,
        "no output is known, all inputs have the same labels"
    );
    assert_eq!(
        text(&tokens[0].attributes, "gen_ai.token.type").as_deref(),
        Some("input")
    );
    let filled = |counts: &[u64]| -> Vec<(usize, u64)> {
        let filled = counts.iter().copied().enumerate();
        filled.filter(|(_, count)| *count > 0).collect()
    };
    // A bound belongs to its bucket; what is above all is in the last.
    assert_eq!(filled(&tokens[0].bucket_counts), [(0, 1), (1, 1), (14, 1)]);
    assert_eq!(
        (tokens[0].count, tokens[0].min, tokens[0].max),
        (3, Some(1.0), Some(5e9))
    );
    let seconds = &histograms[1].data_points[0];
    assert_eq!(filled(&seconds.bucket_counts), [(0, 1), (1, 1), (14, 1)]);
    assert_eq!(
        (seconds.start_time_unix_nano, seconds.time_unix_nano),
        (2_000_000_000, 105_000_000_000)
    );
    assert!(convert::metrics(&batch(Vec::new())).is_none());
}
