//! The guardrails: the gate of literals alone, all detectors, and whole requests, on what people send and on what costs most.

use std::sync::LazyLock;

use criterion::{Criterion, criterion_group, criterion_main};
use sluice_benches::{Case, Engine, compare, criterion, inputs};
use sluice_proto::guard::{GuardSet, Guards};
use sluice_proto::json::Facts;
use sluice_shared::api::ApiKind;
use sluice_shared::snapshot::{GuardAction, Guardrail};

const BYTES: usize = 100_000;

/// Detectors that nothing but the gate of literals triggers.
const BY_LITERAL: &[&str] = &[
    "private_key",
    "aws_access_key",
    "aws_secret_key",
    "google_api_key",
    "gcp_service_account",
    "azure_key",
    "azure_sas",
    "openai_key",
    "anthropic_key",
    "groq_key",
    "huggingface_token",
    "replicate_token",
    "xai_key",
    "github_token",
    "gitlab_token",
    "slack_token",
    "stripe_key",
    "sendgrid_key",
    "npm_token",
    "pypi_token",
    "digitalocean_token",
    "databricks_token",
    "jwt",
];

fn set(detectors: &[&str], prompt_injection: bool) -> GuardSet {
    let rule = Guardrail {
        name: "bench".into(),
        on_requests: true,
        action: GuardAction::Redact,
        detectors: detectors.iter().map(|name| (*name).to_owned()).collect(),
        prompt_injection,
        ..Guardrail::default()
    };
    Guards::compile(&[rule])
        .map(|guards| guards.set(&[0]))
        .unwrap_or_default()
}

static LITERALS: LazyLock<GuardSet> = LazyLock::new(|| set(BY_LITERAL, false));
static ALL: LazyLock<GuardSet> = LazyLock::new(|| set(&["all"], false));
static PHRASES: LazyLock<GuardSet> = LazyLock::new(|| set(&[], true));

fn scan(set: &GuardSet, text: &[u8]) -> usize {
    let mut out = Vec::new();
    if let Some(engine) = set.requests() {
        engine.scan(text, &mut out);
    }
    out.len()
}

fn literals(text: &[u8]) -> usize {
    scan(&LITERALS, text)
}

fn all(text: &[u8]) -> usize {
    scan(&ALL, text)
}

fn phrases(text: &[u8]) -> usize {
    scan(&PHRASES, text)
}

fn request(body: &[u8]) -> usize {
    let verdict = ALL.request(ApiKind::OpenAiChat, "gpt-5.5", &Facts::default(), body);
    verdict.edits.len()
}

fn repeated(text: &str) -> Vec<u8> {
    text.repeat(BYTES / text.len() + 1).into_bytes()
}

/// Prose with the numbers and hyphens that prose has.
fn prose() -> Vec<u8> {
    repeated(
        "It was agreed in March that the well-known plan, first written down in 2019, should be looked at again. \
         Nobody had asked for it; the office had 14 people then and 37 now, and what they did not know was how \
         the risk would be shared. \"We will see,\" she said, and closed the book at page 312.\n",
    )
}

fn code() -> Vec<u8> {
    repeated(
        "pub(crate) fn step_to(&mut self, at: usize) -> Result<Option<u32>, Error> {\n    let next = self.items.get(at + 1)\
         .map(|item| item.len_max() * 2);\n    if next.is_none() || self.secret_count > 64 {\n        return \
         Err(Error::OutOfRange { at, max: 0xff }); // see step_back\n    }\n    Ok(next)\n}\n\n",
    )
}

fn texts(criterion: &mut Criterion) {
    let case = |name, input, expected| Case {
        name,
        input,
        expected,
    };
    let cases = [case("prose, 100 KB", prose(), 0), case("code, 100 KB", code(), 0)];
    let engines: [Engine<usize>; 3] = [
        ("literals", literals),
        ("all detectors", all),
        ("phrases", phrases),
    ];
    compare(criterion, "guarded text", &cases, &engines);
    let secret = format!("{}4111 2223 3344 4550, jo@example.org\n", "word ".repeat(8));
    let count = BYTES / secret.len() + 1;
    let dense = [
        case("groups of digits, 100 KB", repeated("4812 0093 771 2 "), 0),
        case("digits, 100 KB", repeated("48120093771234"), 0),
        case("two findings a line, 100 KB", repeated(&secret), 2 * count),
    ];
    let engines: [Engine<usize>; 1] = [("all detectors", all)];
    compare(criterion, "guarded text", &dense, &engines);
}

fn requests(criterion: &mut Criterion) {
    let cases = [Case {
        name: "chat, 100 KB, full of escapes",
        input: inputs::chat_request(BYTES),
        expected: 0,
    }];
    let engines: [Engine<usize>; 1] = [("all detectors", request)];
    compare(criterion, "guarded request", &cases, &engines);
}

criterion_group! { name = benches; config = criterion(); targets = texts, requests }
criterion_main!(benches);
