//! How long what may be something is held, and how much of it.

use sluice_proto::guard::stream::{AnswerGuard, HELD_BYTES_MAX, Step};
use sluice_shared::api::ApiKind;
use sluice_shared::snapshot::{GuardAction, Guardrail};

use super::formats::{FORMATS, Format};
use super::{guard, guards, rule};

fn chat() -> &'static Format {
    &FORMATS[0]
}

fn event(text: &str) -> Vec<u8> {
    let mut event = chat().frame_events(&[(chat().event)(text)]);
    event.truncate(event.len() - b"data: [DONE]\n\n".len());
    event
}

fn begin(rule: Guardrail) -> AnswerGuard {
    guard(&guards(&[rule]), ApiKind::OpenAiChat, "text/event-stream", true)
}

fn feed(guard: &mut AnswerGuard, bytes: &[u8], now_ms: u64) -> Vec<u8> {
    let mut out = Vec::new();
    assert_eq!(guard.feed(bytes, now_ms, &mut out), Step::Go);
    out
}

#[test]
fn an_event_waits_with_all_behind_it_until_it_is_decided() {
    let mut guard = begin(rule(GuardAction::Redact));
    assert_eq!(feed(&mut guard, &event("hello "), 5), event("hello "));
    assert_eq!(guard.deadline_ms(), None);
    assert_eq!(feed(&mut guard, &event("it is AKIAQ3ZT"), 7), b"");
    // The order stays: what is no text waits, too.
    assert_eq!(feed(&mut guard, b": ping\n\n", 9), b"");
    assert_eq!(guard.deadline_ms(), Some(1007));
    let rest = feed(&mut guard, &event(" not, "), 11);
    assert_eq!(
        rest,
        [event("it is AKIAQ3ZT"), b": ping\n\n".to_vec(), event(" not, ")].concat()
    );
    assert_eq!((guard.deadline_ms(), guard.held_bytes()), (None, 0));
}

#[test]
fn when_the_time_is_up_it_is_judged_as_it_stands() {
    let mut guard = begin(rule(GuardAction::Redact));
    feed(&mut guard, &event("write to alice@mail.example"), 0);
    let mut out = Vec::new();
    assert_eq!(guard.expire(&mut out), Step::Go);
    // It was one already; what comes behind it belongs to it.
    assert_eq!(
        chat().said(&[out, b"data: [DONE]\n\n".to_vec()].concat()),
        "write to [REDACTED:email]"
    );
    assert_eq!(guard.deadline_ms(), None);
}

#[test]
fn no_more_text_is_held_than_the_rule_allows() {
    let mut guard = begin(Guardrail {
        hold_back_bytes: 100,
        ..rule(GuardAction::Redact)
    });
    feed(&mut guard, &event("sk-proj-"), 0);
    let mut held = 0;
    for _ in 0..30 {
        feed(&mut guard, &event("aaaaaaaaaa"), 0);
        held = held.max(guard.held_bytes());
    }
    assert!(held < 13 * event("aaaaaaaaaa").len(), "{held}");
}

#[test]
fn too_much_that_waits_ends_the_answer() {
    let mut guard = begin(rule(GuardAction::Redact));
    feed(&mut guard, &event("AKIAQ3ZT"), 0);
    let ping = format!(": {}\n\n", "x ".repeat(100_000));
    let mut out = Vec::new();
    let mut pings = 0;
    let ended = loop {
        pings += 1;
        let step = guard.feed(ping.as_bytes(), 0, &mut out);
        if step != Step::Go {
            break step;
        }
        assert!(guard.held_bytes() <= HELD_BYTES_MAX + ping.len());
    };
    assert!(matches!(ended, Step::Unreadable { .. }) && pings > 10 && out.is_empty());
}

#[test]
fn a_private_key_is_swallowed_without_holding_it() {
    let mut guard = begin(rule(GuardAction::Redact));
    let mut out = feed(&mut guard, &event("-----BEGIN PRIVATE KEY-----\n"), 0);
    let line = "aB3dE5fG7hJ9kL2mN4pQ6rS8tVaB3dE5fG7hJ9kL2mN4pQ6rS8tV\n";
    for _ in 0..2000 {
        out.extend(feed(&mut guard, &event(line), 0));
        assert!(guard.held_bytes() < 10_000, "{}", guard.held_bytes());
    }
    out.extend(feed(&mut guard, &event("-----END PRIVATE KEY-----\nbye"), 0));
    assert_eq!(guard.finish(0, &mut out), Step::Go);
    out.extend_from_slice(b"data: [DONE]\n\n");
    assert_eq!(chat().said(&out), "[REDACTED:private_key]\nbye");
}
