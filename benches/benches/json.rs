//! The scanner of request bodies: the model and whether a stream is asked for, against full parses. It checks the
//! whole grammar too and keeps nothing.

use criterion::{Criterion, criterion_group, criterion_main};
use simd_json::prelude::{ValueAsScalar, ValueObjectAccess};
use sluice_benches::{Case, Engine, compare, criterion, inputs};
use sluice_proto::json::{BodyScan, JsonLimits, KeyTable};
use sluice_shared::api::ApiKind;

type Answer = (String, bool);

fn bodies(criterion: &mut Criterion) {
    let expected = || ("gpt-5.5".to_owned(), true);
    let cases = [
        Case {
            name: "1 KiB",
            expected: expected(),
            input: inputs::chat_request(1 << 10),
        },
        Case {
            name: "64 KiB",
            expected: expected(),
            input: inputs::chat_request(64 << 10),
        },
        Case {
            name: "256 KiB",
            expected: expected(),
            input: inputs::chat_request(256 << 10),
        },
    ];
    let engines: [Engine<Answer>; 4] = [
        ("ours", ours),
        ("ours, 16 KiB reads", in_reads),
        ("serde_json::Value", serde),
        ("simd-json", simd),
    ];
    compare(criterion, "request body", &cases, &engines);
}

fn ours(bytes: &[u8]) -> Answer {
    scan(std::iter::once(bytes))
}

fn in_reads(bytes: &[u8]) -> Answer {
    scan(bytes.chunks(16 << 10))
}

fn scan<'a>(pieces: impl Iterator<Item = &'a [u8]>) -> Answer {
    let mut scan = BodyScan::new(KeyTable::for_kind(ApiKind::OpenAiChat), JsonLimits::DEFAULT);
    for piece in pieces {
        if scan.feed(piece).is_err() {
            return Answer::default();
        }
    }
    let facts = scan.finish().unwrap_or_default();
    (
        facts.model.map(|model| model.value).unwrap_or_default(),
        facts.stream == Some(true),
    )
}

fn serde(bytes: &[u8]) -> Answer {
    let value: serde_json::Value = serde_json::from_slice(bytes).unwrap_or_default();
    (
        value["model"].as_str().unwrap_or_default().to_owned(),
        value["stream"] == true,
    )
}

/// It parses in place, so it needs a copy.
fn simd(bytes: &[u8]) -> Answer {
    let mut copy = bytes.to_vec();
    let Ok(value) = simd_json::to_borrowed_value(&mut copy) else {
        return Answer::default();
    };
    let model = value
        .get("model")
        .and_then(|model| model.as_str())
        .unwrap_or_default();
    (
        model.to_owned(),
        value.get("stream").and_then(|stream| stream.as_bool()) == Some(true),
    )
}

criterion_group! { name = benches; config = criterion(); targets = bodies }
criterion_main!(benches);
