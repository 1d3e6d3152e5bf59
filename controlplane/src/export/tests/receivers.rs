//! Real messages to stand-ins for web services, and every kind of answer.

use opentelemetry_proto::tonic::collector::logs::v1::{
    ExportLogsPartialSuccess, ExportLogsServiceRequest, ExportLogsServiceResponse,
};
use opentelemetry_proto::tonic::collector::metrics::v1::ExportMetricsServiceRequest;
use opentelemetry_proto::tonic::collector::trace::v1::ExportTraceServiceRequest;
use prost::Message as _;
use serde_json::Value;
use sluice_shared::snapshot::{Authorization, Header, Secret};

use super::stand::Stand;
use super::*;
use crate::config::domain::Endpoint;
use crate::export::item::{Item, RequestItem};
use crate::store::export::Kept;
use crate::store::tests::full;

const KEY: &str = "canary-key";

fn batch() -> Batch {
    let mut records = vec![full(), record(1, 1_700_000_000_000_001)];
    records[0].user = "=ada".into();
    let captured = Captured {
        method: "POST".into(),
        target: "/v1/x".into(),
        request_headers: vec![("a".into(), b"b".to_vec())],
        request_body: br#"{"x":1}"#.to_vec(),
        request_bytes: 9,
        request_cut: true,
        status: 200,
        answer_headers: Vec::new(),
        answer_body: vec![0xff, 0],
        answer_bytes: 2,
        answer_cut: false,
        assembled: None,
    };
    let mut items: Vec<Item> = records
        .into_iter()
        .map(|record| {
            Item::Request(Box::new(RequestItem {
                record,
                capture: Kept::None,
                captured: None,
            }))
        })
        .collect();
    if let Item::Request(first) = &mut items[0] {
        (first.capture, first.captured) = (Kept::Stored, Some(captured));
    }
    Batch {
        exporter: "e".into(),
        id: "0a".into(),
        first: 4,
        last: 5,
        items,
    }
}

fn endpoint(url: String) -> Endpoint {
    Endpoint {
        url,
        key: Secret(KEY.into()),
        authorization: Authorization::Bearer,
        headers: vec![Header {
            name: "x-team".into(),
            value: Secret("canary-header".into()),
        }],
        timeout_ms: 5_000,
        ca_pem: None,
    }
}

#[tokio::test]
async fn a_web_service_gets_an_array_of_items_with_ids() {
    let (stand, address) = Stand::start(b"").await;
    let sink = sink::open(&domain::Sink::Webhook(endpoint(format!(
        "http://{address}/in?x=1"
    ))))
    .unwrap();
    let batch = batch();
    sink.send(&batch).await.unwrap();
    let got = stand.got();
    assert_eq!((got.len(), got[0].path.as_str()), (1, "/in"));
    let header = |name: &str| {
        got[0]
            .headers
            .get(name)
            .map(|value| value.to_str().unwrap().to_owned())
    };
    assert_eq!(header("authorization"), Some(format!("Bearer {KEY}")));
    assert_eq!(header("x-team").as_deref(), Some("canary-header"));
    assert_eq!(header("content-type").as_deref(), Some("application/json"));
    let items: Vec<Value> = serde_json::from_slice(&got[0].body).unwrap();
    assert_eq!(items.len(), 2);
    let ids: Vec<String> = batch
        .requests()
        .map(|it| it.record.request_id.to_string())
        .collect();
    assert_eq!(items[0]["id"], ids[0].as_str());
    assert_eq!(items[1]["id"], ids[1].as_str());
    assert_eq!(items[0]["captured"]["request"]["body"], r#"{"x":1}"#);
    assert_eq!(items[0]["captured"]["request"]["body_cut"], true);
    assert_eq!(
        items[0]["captured"]["answer"]["body_base64"], "/wA=",
        "bytes that are no text"
    );
    assert_eq!(items[1]["captured"], Value::Null);
    assert_eq!(items[1]["capture"], "off");
}

#[tokio::test]
async fn answers_of_a_web_service_decide_what_is_next() {
    let (stand, address) = Stand::start(b"").await;
    let (elsewhere, other) = Stand::start(b"").await;
    let sink = sink::open(&domain::Sink::Webhook(endpoint(format!("http://{address}/")))).unwrap();
    let batch = batch();
    stand.tell(503, &[("retry-after", "7")], b"busy");
    assert_eq!(
        sink.send(&batch).await,
        Err(SendError::Later(
            "answered with status 503: busy".into(),
            Some(Duration::from_secs(7))
        ))
    );
    stand.tell(413, &[], b"");
    assert!(matches!(sink.send(&batch).await, Err(SendError::TooLarge(_))));
    // Neither the body nor the key go where the document does not say.
    stand.tell(307, &[("location", &format!("http://{other}/"))], b"");
    assert!(matches!(sink.send(&batch).await, Err(SendError::Refused(_))));
    assert!(elsewhere.got().is_empty());
    // A receiver that quotes what it got shows no secret.
    let echo = format!("bad key {KEY} and canary-header\u{7} at https://h/?key=abc");
    stand.tell(401, &[], echo.as_bytes());
    let Err(SendError::Refused(why)) = sink.send(&batch).await else {
        panic!("refused");
    };
    assert_eq!(
        why,
        "answered with status 401: bad key *** and *** at https://h/?…"
    );
    // Nor does one that talks without end fill the memory.
    stand.tell(500, &[], &vec![b'x'; 1 << 20]);
    let Err(SendError::Later(why, _)) = sink.send(&batch).await else {
        panic!("later");
    };
    assert!(why.len() < 1_000);
    assert_eq!(stand.got().len(), 5);
    let gone = sink::open(&domain::Sink::Webhook(endpoint("http://127.0.0.1:1/".into()))).unwrap();
    let Err(SendError::Later(why, None)) = gone.send(&batch).await else {
        panic!("later");
    };
    assert!(!why.contains("canary"), "{why}");
}

#[tokio::test]
async fn splunk_gets_events_and_must_say_that_it_has_them() {
    let (stand, address) = Stand::start(br#"{"text":"Success","code":0}"#).await;
    let sink = sink::open(&domain::Sink::Hec {
        endpoint: endpoint(format!("http://{address}")),
        index: "main".into(),
        source: "sluice".into(),
        sourcetype: "_json".into(),
    })
    .unwrap();
    let batch = batch();
    sink.send(&batch).await.unwrap();
    let got = stand.got();
    assert_eq!(got[0].path, "/services/collector/event");
    assert_eq!(got[0].headers["authorization"], format!("Splunk {KEY}").as_str());
    let events: Vec<Value> = serde_json::Deserializer::from_slice(&got[0].body)
        .into_iter()
        .collect::<Result<_, _>>()
        .unwrap();
    assert_eq!(events.len(), 2);
    for (event, item) in events.iter().zip(&batch.items) {
        assert_eq!(event["event"], item.json());
        assert_eq!(
            (&event["index"], &event["source"]),
            (&"main".into(), &"sluice".into())
        );
        assert_eq!(event["sourcetype"], "_json");
        assert!(!event["host"].as_str().unwrap().is_empty());
    }
    let text = String::from_utf8(got[0].body.to_vec()).unwrap();
    assert!(text.contains(r#""time":1700000000.123456,"#), "{text}");
    stand.tell(503, &[], br#"{"text":"Server is busy","code":9}"#);
    assert!(matches!(sink.send(&batch).await, Err(SendError::Later(..))));
    stand.tell(
        400,
        &[],
        br#"{"text":"Incorrect index","code":7,"invalid-event-number":1}"#,
    );
    let Err(SendError::Refused(why)) = sink.send(&batch).await else {
        panic!("refused");
    };
    assert!(why.contains("Incorrect index"), "{why}");
    // Something that is no Splunk.
    stand.tell(200, &[], b"<html>hello</html>");
    assert!(matches!(sink.send(&batch).await, Err(SendError::Refused(_))));
}

#[tokio::test]
async fn a_collector_gets_three_signals_each_once() {
    let (stand, address) = Stand::start(b"").await;
    let sink = sink::open(&domain::Sink::Otlp {
        endpoint: endpoint(format!("http://{address}/otel/")),
        logs: true,
        traces: true,
        metrics: true,
    })
    .unwrap();
    let mut batch = batch();
    // A part was not taken: that is said and not tried again. Then one fails: what was taken is not sent again.
    let partial = ExportLogsServiceResponse {
        partial_success: Some(ExportLogsPartialSuccess {
            rejected_log_records: 1,
            error_message: "too old".into(),
        }),
    };
    stand.tell(200, &[], &partial.encode_to_vec());
    stand.tell(429, &[("retry-after", "3")], b"");
    assert_eq!(
        sink.send(&batch).await,
        Err(SendError::Later(
            "/v1/traces: answered with status 429".into(),
            Some(Duration::from_secs(3))
        ))
    );
    sink.send(&batch).await.unwrap();
    let got = stand.got();
    let paths: Vec<&str> = got.iter().map(|message| message.path.as_str()).collect();
    assert_eq!(
        paths,
        [
            "/otel/v1/logs",
            "/otel/v1/traces",
            "/otel/v1/traces",
            "/otel/v1/metrics"
        ]
    );
    assert_eq!(got[0].headers["content-type"], "application/x-protobuf");
    let logs = ExportLogsServiceRequest::decode(got[0].body.as_ref()).unwrap();
    assert_eq!(logs.resource_logs[0].scope_logs[0].log_records.len(), 2);
    let spans = ExportTraceServiceRequest::decode(got[2].body.as_ref()).unwrap();
    assert_eq!(spans.resource_spans[0].scope_spans[0].spans.len(), 2);
    assert_eq!(got[1].body, got[2].body, "the same is sent again");
    let metrics = ExportMetricsServiceRequest::decode(got[3].body.as_ref()).unwrap();
    assert_eq!(metrics.resource_metrics[0].scope_metrics[0].metrics.len(), 2);
    // The next batch is another one.
    (batch.first, batch.last) = (6, 7);
    sink.send(&batch).await.unwrap();
    assert_eq!(stand.got().len(), 3);
}
