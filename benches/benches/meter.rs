//! Usage folds: model tokens out of whole answers, against parsing every event.

use criterion::{Criterion, criterion_group, criterion_main};
use serde_json::Value;
use sluice_benches::{Case, Engine, compare, criterion, inputs};
use sluice_proto::meter::{Meter, ResponseFacts};
use sluice_shared::api::ApiKind;

/// Input and output tokens.
type Answer = (Option<u64>, Option<u64>);

fn streams(criterion: &mut Criterion) {
    let chat = Case {
        name: "200 events",
        expected: (Some(1_200), Some(200)),
        input: inputs::chat_stream(200),
    };
    let engines: [Engine<Answer>; 2] = [
        ("ours, 4 KiB reads", ours_chat),
        ("serde_json, every event", parsed_chat),
    ];
    compare(criterion, "chat stream", &[chat], &engines);
    let input = inputs::messages_stream(200);
    let messages = Case {
        name: "200 events",
        expected: (Some(3_210), Some(200)),
        input,
    };
    let engines: [Engine<Answer>; 2] = [
        ("ours, 4 KiB reads", ours_messages),
        ("serde_json, every event", parsed_messages),
    ];
    compare(criterion, "messages stream", &[messages], &engines);
}

fn ours_chat(bytes: &[u8]) -> Answer {
    ours(ApiKind::OpenAiChat, bytes)
}

fn ours_messages(bytes: &[u8]) -> Answer {
    ours(ApiKind::AnthropicMessages, bytes)
}

fn ours(kind: ApiKind, bytes: &[u8]) -> Answer {
    let facts = ResponseFacts {
        content_type: Some("text/event-stream"),
        streaming_expected: true,
        ..ResponseFacts::default()
    };
    let mut meter = Meter::new(kind, facts);
    for piece in bytes.chunks(4 << 10) {
        meter.feed(piece);
    }
    let usage = meter.finish(false).usage;
    (usage.input, usage.output)
}

fn parsed_chat(bytes: &[u8]) -> Answer {
    let usage = events(bytes)
        .filter_map(|event| event.get("usage").filter(|usage| usage.is_object()).cloned())
        .last();
    let count = |name: &str| usage.as_ref().and_then(|usage| usage[name].as_u64());
    (count("prompt_tokens"), count("completion_tokens"))
}

fn parsed_messages(bytes: &[u8]) -> Answer {
    let mut answer = (None, None);
    for event in events(bytes) {
        if event["type"] == "message_start" {
            let usage = &event["message"]["usage"];
            let count = |name: &str| usage[name].as_u64().unwrap_or_default();
            let cache = count("cache_creation_input_tokens") + count("cache_read_input_tokens");
            answer.0 = Some(count("input_tokens") + cache);
        }
        if event["type"] == "message_delta" {
            answer.1 = event["usage"]["output_tokens"].as_u64();
        }
    }
    answer
}

fn events(bytes: &[u8]) -> impl Iterator<Item = Value> {
    let lines = bytes.split(|byte| *byte == b'\n');
    lines.filter_map(|line| serde_json::from_slice(line.strip_prefix(b"data: ")?).ok())
}

criterion_group! { name = benches; config = criterion(); targets = streams }
criterion_main!(benches);
