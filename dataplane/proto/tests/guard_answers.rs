//! Answers through the guard: every secret cut everywhere, in every format; recordings that pass unchanged.

#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]
#![allow(clippy::print_stderr, reason = "a skip must be visible")]

#[path = "guard_answers/actions.rs"]
mod actions;
#[path = "guard_answers/formats.rs"]
mod formats;
#[path = "guard_answers/holding.rs"]
mod holding;
#[path = "guard_answers/recordings.rs"]
mod recordings;
#[path = "guard_answers/secrets.rs"]
mod secrets;
#[path = "guard_answers/splitter.rs"]
mod splitter;

use sluice_proto::guard::Guards;
use sluice_proto::guard::stream::{AnswerGuard, Step};
use sluice_shared::api::ApiKind;
use sluice_shared::snapshot::{GuardAction, Guardrail};

/// A rule on answers that looks for everything.
fn rule(action: GuardAction) -> Guardrail {
    Guardrail {
        name: "rule".into(),
        everyone: true,
        on_answers: true,
        action,
        detectors: vec!["all".into()],
        hold_back_bytes: 4096,
        hold_back_ms: 1000,
        ..Guardrail::default()
    }
}

fn guards(rules: &[Guardrail]) -> Guards {
    Guards::compile(rules).unwrap()
}

fn guard(guards: &Guards, kind: ApiKind, content_type: &str, streaming: bool) -> AnswerGuard {
    let set = guards.set(&[0, 1, 2, 3]);
    AnswerGuard::new(set, kind, Some(content_type), false, streaming).unwrap()
}

/// Feeds a body in these pieces; what the client gets, and how it ended.
fn pass<'a>(guard: &mut AnswerGuard, pieces: impl Iterator<Item = &'a [u8]>) -> (Vec<u8>, Step) {
    let mut out = Vec::new();
    for piece in pieces {
        let step = guard.feed(piece, 0, &mut out);
        if step != Step::Go {
            return (out, step);
        }
    }
    let step = guard.finish(0, &mut out);
    assert_eq!(guard.held_bytes(), 0, "nothing is held after the end");
    assert_eq!(guard.deadline_ms(), None);
    (out, step)
}
