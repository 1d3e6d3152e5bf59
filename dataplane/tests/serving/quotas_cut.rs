//! Streams that use their budget up: cut behind a whole event, in the words of each format, and charged for what came.

use std::sync::{Mutex, mpsc};

use sluice_shared::quota::Unit;
use sluice_shared::snapshot::{Admission, OnExhausted, Quota};
use sluice_shared::usage::{Ended, Known, UsageRecord};

use crate::support::client::{Answer, Client, Cut, get, post};
use crate::support::setup::{counting, plain, quota};
use crate::support::upstream::Upstream;
use crate::support::{Gateway, Setup};

/// So many tokens that a few events do not use them up, and the ones sent here do.
const TOKENS: u64 = 400;

fn cutting() -> Quota {
    Quota {
        admission: Admission::Positive,
        on_exhausted: OnExhausted::Cut,
        ..quota("t:<user>", &[(Unit::Tokens, TOKENS), (Unit::Concurrency, 1)])
    }
}

/// How a format writes an event with some text.
struct Format {
    path: &'static str,
    body: &'static str,
    content_type: &'static str,
    event: fn(&str) -> Vec<u8>,
}

fn sse(data: &str) -> Vec<u8> {
    format!("data: {data}\n\n").into_bytes()
}

/// CRC-32 (IEEE 802.3), bit by bit.
fn crc32(bytes: &[u8]) -> [u8; 4] {
    let crc = bytes.iter().fold(!0u32, |crc, byte| {
        (0..8).fold(crc ^ u32::from(*byte), |crc, _| {
            crc >> 1 ^ if crc & 1 == 1 { 0xedb8_8320 } else { 0 }
        })
    });
    (!crc).to_be_bytes()
}

/// A message of an AWS event stream.
fn message(payload: &str) -> Vec<u8> {
    let mut headers = Vec::new();
    for (name, value) in [(":event-type", "contentBlockDelta"), (":message-type", "event")] {
        headers.push(u8::try_from(name.len()).unwrap());
        headers.extend_from_slice(name.as_bytes());
        headers.push(7);
        headers.extend_from_slice(&u16::try_from(value.len()).unwrap().to_be_bytes());
        headers.extend_from_slice(value.as_bytes());
    }
    let total = u32::try_from(headers.len() + payload.len() + 16).unwrap();
    let mut out = total.to_be_bytes().to_vec();
    out.extend_from_slice(&u32::try_from(headers.len()).unwrap().to_be_bytes());
    let checksum = crc32(&out);
    out.extend_from_slice(&checksum);
    out.extend_from_slice(&headers);
    out.extend_from_slice(payload.as_bytes());
    let checksum = crc32(&out);
    out.extend_from_slice(&checksum);
    out
}

const CHAT: Format = Format {
    path: "/v1/chat/completions",
    body: r#"{"model":"m","stream":true}"#,
    content_type: "text/event-stream",
    event: |text| {
        sse(&format!(
            r#"{{"id":"c","model":"m","choices":[{{"index":0,"delta":{{"content":"{text}"}}}}]}}"#
        ))
    },
};
const RESPONSES: Format = Format {
    path: "/v1/responses",
    body: r#"{"model":"m","stream":true}"#,
    content_type: "text/event-stream; charset=utf-8",
    event: |text| {
        sse(&format!(
            r#"{{"type":"response.output_text.delta","sequence_number":1,"delta":"{text}"}}"#
        ))
    },
};
const MESSAGES: Format = Format {
    path: "/v1/messages",
    body: r#"{"model":"m","stream":true}"#,
    content_type: "text/event-stream",
    event: |text| {
        format!("event: content_block_delta\ndata: {{\"type\":\"content_block_delta\",\"index\":0,\"delta\":{{\"type\":\"text_delta\",\"text\":\"{text}\"}}}}\n\n").into_bytes()
    },
};
const GEMINI: Format = Format {
    path: "/v1beta/models/m:streamGenerateContent?alt=sse",
    body: "{}",
    content_type: "text/event-stream",
    event: |text| {
        format!("data: {{\"candidates\":[{{\"content\":{{\"parts\":[{{\"text\":\"{text}\"}}]}}}}]}}\r\n\r\n")
            .into_bytes()
    },
};
const GEMINI_ARRAY: Format = Format {
    path: "/v1beta/models/m:streamGenerateContent",
    body: "{}",
    content_type: "application/json",
    event: |text| {
        format!("{{\"candidates\":[{{\"content\":{{\"parts\":[{{\"text\":\"{text}\"}}]}}}}]}}\r\n,")
            .into_bytes()
    },
};
const BEDROCK: Format = Format {
    path: "/bedrock/model/m/converse-stream",
    body: "{}",
    content_type: "application/vnd.amazon.eventstream",
    event: |text| {
        message(&format!(
            r#"{{"contentBlockIndex":0,"delta":{{"text":"{text}"}}}}"#
        ))
    },
};
const OLLAMA: Format = Format {
    path: "/ollama/api/chat",
    body: r#"{"model":"m"}"#,
    content_type: "application/x-ndjson",
    event: |text| {
        format!("{{\"model\":\"m\",\"message\":{{\"role\":\"assistant\",\"content\":\"{text}\"}},\"done\":false}}\n").into_bytes()
    },
};

/// A provider that sends an event for each text, and would go on for ever.
fn talking(format: &'static Format, texts: mpsc::Receiver<Vec<u8>>) -> Upstream {
    let texts = Mutex::new(texts);
    Upstream::scripted(move |exchange| {
        exchange.body();
        exchange.send(format!(
            "HTTP/1.1 200 OK\r\nContent-Type: {}\r\nTransfer-Encoding: chunked\r\n\r\n",
            format.content_type
        ));
        while let Ok(event) = texts.lock().unwrap().recv() {
            exchange.send(format!("{:x}\r\n", event.len()));
            exchange.send(&event);
            exchange.send("\r\n");
        }
        exchange.until_closed();
    })
}

/// Runs a stream into its end: a small event that reaches the client, then one that uses the budget up, and the beginning
/// of a third with it. What the client got, and the record.
fn cut(format: &'static Format) -> (Result<Answer, Cut>, UsageRecord, Vec<u8>) {
    let (send, texts) = mpsc::channel();
    let upstream = talking(format, texts);
    let gateway = Gateway::start(Setup::new(counting(plain(upstream.address), vec![cutting()])));
    let mut client = gateway.client();
    client.send(post(format.path, format.body));
    let small = (format.event)("first");
    send.send(small.clone()).unwrap();
    client.wait_for(b"first");
    let large = (format.event)(&"word ".repeat(20_000));
    let half = (format.event)("half");
    send.send([large, half[..half.len() / 2].to_vec()].concat())
        .unwrap();
    let got = client.try_answer(false);
    // The provider is let go of at once, although it has more to say.
    upstream.closed_at(0);
    let record = gateway.wait_records(1).remove(0);
    // Nothing is left: the debt stands, and the place among the running ones is free.
    let refused = gateway.call(post(format.path, format.body));
    assert_eq!(refused.status, 429, "{}", refused.text());
    assert!(refused.text().contains("is overdrawn by"), "{}", refused.text());
    let metrics = gateway.call(get("/metrics")).text();
    assert!(
        metrics.contains("sluice_quota_cuts_total{quota=\"t:<user>\"} 1\n"),
        "{metrics}"
    );
    (got, record, small)
}

fn check_record(record: &UsageRecord) {
    assert_eq!((record.ended, record.status), (Ended::CutByQuota, 200));
    assert_eq!(record.usage_known, Known::Estimated);
    assert_eq!(record.error.as_deref(), Some("quota_exceeded"));
    let used = record.usage.input.unwrap() + record.usage.output.unwrap();
    assert!(used > TOKENS, "{record:#?}");
    let charged: Vec<_> = record.charges.iter().map(|c| (c.unit, c.amount)).collect();
    assert_eq!(charged, [(Unit::Tokens, used)]);
}

/// Red if a cut stream ends in the middle of an event, does not say why, or looks complete.
#[test]
fn every_format_ends_with_its_own_words() {
    let words = "(loopback) is used up; the answer ends here";
    let ends: [(&'static Format, String, &str); 5] = [
        (
            &CHAT,
            format!(
                r#"data: {{"error":{{"message":"quota exceeded: t:{words}","type":"insufficient_quota","param":null,"code":"insufficient_quota"}}}}{}"#,
                "\n\n"
            ),
            "[DONE]",
        ),
        (
            &RESPONSES,
            format!(
                "event: error\ndata: {{\"type\":\"error\",\"code\":\"insufficient_quota\",\"message\":\"quota exceeded: t:{words}\",\"param\":null,\"sequence_number\":0}}\n\n"
            ),
            "response.completed",
        ),
        (
            &MESSAGES,
            format!(
                "event: error\ndata: {{\"type\":\"error\",\"error\":{{\"type\":\"rate_limit_error\",\"message\":\"quota exceeded: t:{words}\"}},"
            ),
            "message_stop",
        ),
        (
            &GEMINI,
            format!(
                r#"data: {{"error":{{"code":429,"message":"quota exceeded: t:{words}","status":"RESOURCE_EXHAUSTED"}}}}{}"#,
                "\n\n"
            ),
            "finishReason",
        ),
        (
            &OLLAMA,
            format!("{{\"error\":\"quota exceeded: t:{words}\"}}\n"),
            "\"done\":true",
        ),
    ];
    for (format, end, complete) in ends {
        let (got, record, small) = cut(format);
        let answer = got.unwrap_or_else(|cut| panic!("{}: {:?}", format.path, cut.end));
        let text = answer.text();
        assert!(answer.body.starts_with(&small), "{}: {text}", format.path);
        let at = text
            .find("quota exceeded")
            .unwrap_or_else(|| panic!("{}: {text}", format.path));
        let before = &text.as_bytes()[..at];
        assert_eq!(
            before.windows(4).filter(|word| *word == b"word").count() % 20_000,
            0,
            "whole or not at all"
        );
        assert!(
            text.contains(&end),
            "{}: {}",
            format.path,
            &text[at.saturating_sub(100)..]
        );
        assert!(
            !text.contains("half") && !text.contains(complete),
            "{}",
            format.path
        );
        check_record(&record);
        assert_eq!(record.response_bytes, answer.body.len() as u64, "{}", format.path);
    }
}

/// Red if an AWS event stream is cut otherwise than by an exception between two messages.
#[test]
fn an_event_stream_ends_with_an_exception() {
    let (got, record, small) = cut(&BEDROCK);
    let body = got.unwrap().body;
    assert!(body.starts_with(&small));
    let mut messages = Vec::new();
    let mut rest = &body[..];
    while !rest.is_empty() {
        let length = u32::from_be_bytes(rest[..4].try_into().unwrap()) as usize;
        messages.push(&rest[..length]);
        rest = &rest[length..];
    }
    let last = String::from_utf8_lossy(messages.last().unwrap()).into_owned();
    assert!(
        last.contains("throttlingException") && last.contains("is used up"),
        "{last}"
    );
    check_record(&record);
}

/// Red if a stream in which nothing can be said looks whole.
#[test]
fn an_array_breaks_off() {
    let (got, record, small) = cut(&GEMINI_ARRAY);
    let cut = got.expect_err("a clean end");
    let at = cut
        .received
        .windows(small.len())
        .position(|window| window == small);
    assert!(at.is_some());
    check_record(&record);
}

/// Red if an event that the budget suffices for is held back, or one is cut that uses no more than there is.
#[test]
fn what_fits_is_not_cut() {
    let (send, texts) = mpsc::channel();
    let upstream = talking(&CHAT, texts);
    let gateway = Gateway::start(Setup::new(counting(plain(upstream.address), vec![cutting()])));
    let mut client = gateway.client();
    client.send(post(CHAT.path, CHAT.body));
    for number in 0..3 {
        let text = format!("number {number}");
        send.send((CHAT.event)(&text)).unwrap();
        client.wait_for(text.as_bytes());
    }
    drop(client);
    assert_eq!(gateway.wait_records(1)[0].ended, Ended::ClientGone);
}

/// Red if a whole answer, which is paid for anyway, is cut; or a stream of a quota that lets streams finish.
#[test]
fn what_is_paid_for_is_not_cut() {
    let long = "x".repeat(100_000);
    let whole = format!(
        r#"{{"id":"c","model":"m","choices":[{{"index":0,"message":{{"role":"assistant","content":"{long}"}},"finish_reason":"stop"}}],"usage":{{"prompt_tokens":3,"completion_tokens":9000,"total_tokens":9003}}}}"#
    );
    let upstream = Upstream::answering(crate::support::upstream::json(&whole));
    let gateway = Gateway::start(Setup::new(counting(plain(upstream.address), vec![cutting()])));
    let answer = gateway.call(post("/v1/chat/completions", r#"{"model":"m"}"#));
    assert_eq!(answer.body.len(), whole.len());
    let record = gateway.wait_records(1).remove(0);
    assert_eq!((record.ended, record.charges[0].amount), (Ended::Complete, 9_003));

    let (send, texts) = mpsc::channel();
    let upstream = talking(&CHAT, texts);
    let finishing = Quota {
        on_exhausted: OnExhausted::Finish,
        ..cutting()
    };
    let gateway = Gateway::start(Setup::new(counting(plain(upstream.address), vec![finishing])));
    let mut client: Client = gateway.client();
    client.send(post(CHAT.path, CHAT.body));
    send.send((CHAT.event)(&long)).unwrap();
    client.wait_for(b"xxx");
    send.send((CHAT.event)("still here")).unwrap();
    client.wait_for(b"still here");
}
