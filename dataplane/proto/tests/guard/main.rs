//! The guardrails' engine: what each detector finds and leaves, that no cut of a text hides anything, and what becomes of
//! requests. No key in here was ever one: they are put together from parts when the tests run.

#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]
#![allow(
    clippy::print_stderr,
    clippy::print_stdout,
    reason = "a skip must be visible, and so must a count"
)]
#![allow(clippy::cast_possible_truncation, reason = "the texts are short")]

mod detectors;
mod fixtures;
mod hostile;
mod pieces;
mod requests;
mod rules;
mod samples;

use sluice_proto::guard::{DETECTORS, GuardSet, Guards};
use sluice_shared::snapshot::{GuardAction, Guardrail};

/// A rule on both sides that redacts what these detectors find.
fn rule(detectors: &[&str]) -> Guardrail {
    Guardrail {
        name: "rule".into(),
        everyone: true,
        on_requests: true,
        on_answers: true,
        action: GuardAction::Redact,
        detectors: detectors.iter().map(|name| (*name).to_owned()).collect(),
        hold_back_bytes: 1024,
        hold_back_ms: 1000,
        ..Guardrail::default()
    }
}

/// The set of one rule.
fn set(rule: Guardrail) -> GuardSet {
    Guards::compile(&[rule]).unwrap().set(&[0])
}

/// What a set finds in a whole text: names and texts.
fn found<'a>(set: &GuardSet, text: &'a str) -> Vec<(String, &'a str)> {
    let mut out = Vec::new();
    set.requests().unwrap().scan(text.as_bytes(), &mut out);
    out.iter()
        .map(|found| {
            let name = set.rule(found.rule).unwrap().what(found.detector).to_owned();
            (name, &text[found.range.clone()])
        })
        .collect()
}

#[test]
fn every_detector_has_a_sample() {
    let samples = samples::all();
    for name in DETECTORS {
        assert!(samples.iter().any(|sample| sample.detector == *name), "{name}");
    }
}
