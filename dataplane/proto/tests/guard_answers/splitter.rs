//! Each secret cut at every byte over two and three pieces, in every format, and the body cut at every byte.

use std::fmt::Write as _;

use sluice_proto::guard::stream::Step;
use sluice_proto::guard::{GuardSet, Guards};
use sluice_shared::snapshot::GuardAction;

use super::formats::{FORMATS, Format, Frame};
use super::{guard, guards, pass, rule, secrets};

/// What the whole text becomes when it is looked at in one piece.
fn redacted(set: &GuardSet, text: &str) -> String {
    let mut found = Vec::new();
    set.answers().unwrap().scan(text.as_bytes(), &mut found);
    found.sort_by_key(|found| (found.range.start, std::cmp::Reverse(found.range.end)));
    let mut out = String::new();
    let mut at = 0;
    for one in found {
        if one.range.start < at {
            at = at.max(one.range.end);
            continue;
        }
        out.push_str(&text[at..one.range.start]);
        out.push_str(&set.rule(0).unwrap().replacement(one.detector));
        at = one.range.end;
    }
    out.push_str(&text[at..]);
    out
}

/// Every form in which a secret would be readable in an answer.
fn leaks(said: &str, raw: &[u8], secret: &str) -> bool {
    let quoted = serde_json::to_string(secret).unwrap();
    let quoted = quoted.trim_matches('"').as_bytes();
    said.contains(secret)
        || memchr::memmem::find(raw, secret.as_bytes()).is_some()
        || memchr::memmem::find(raw, quoted).is_some()
}

fn check(guards: &Guards, format: &Format, pieces: &[&str], step: usize, expected: &str, secret: &str) {
    let body = format.body(pieces);
    let mut guard = guard(guards, format.kind, format.content_type(), format.streams());
    let (out, ended) = pass(&mut guard, body.chunks(step.clamp(1, body.len())));
    let said = format.said(&out);
    let why = || format!("{}: {pieces:?} by {step}", format.name);
    assert_eq!(ended, Step::Go, "{}", why());
    assert!(!leaks(&said, &out, secret), "{}: leaks: {said:?}", why());
    assert_eq!(said, expected, "{}", why());
}

/// Cuts what says `before secret after` in two and in three, anywhere in the secret.
fn split(guards: &Guards, format: &Format, before: &str, secret: &str, after: &str, stride: usize) -> usize {
    let text = format!("{before}{secret}{after}");
    let expected = redacted(&guards.set(&[0]), &text);
    assert!(!expected.contains(secret), "{expected}");
    let written = format.written(&text);
    let quoted = format.written(secret);
    let quoted = if format.args {
        quoted
            .strip_prefix(r#"{"n":1,"note":""#)
            .and_then(|rest| rest.strip_suffix("\"}"))
            .unwrap()
            .to_owned()
    } else {
        quoted
    };
    let from = written.find(&quoted).unwrap();
    let to = from + quoted.len();
    let mut runs = 0;
    let mut run = |pieces: &[&str], step| {
        runs += 1;
        check(guards, format, pieces, step, &expected, secret);
    };
    run(&[&written], usize::MAX);
    for one in from..=to {
        run(&[&written[..one], &written[one..]], usize::MAX);
        for two in (one + 1..=to).step_by(stride) {
            run(
                &[&written[..one], &written[one..two], &written[two..]],
                usize::MAX,
            );
        }
    }
    runs
}

#[test]
fn every_detector_over_a_chat() {
    let guards = guards(&[rule(GuardAction::Redact)]);
    let chat = &FORMATS[0];
    let mut runs = 0;
    for (_, before, secret, after) in secrets::all() {
        // All pairs of cuts of what is short; of what is long, enough to meet each part of it.
        let stride = 1 + secret.len() / 24;
        runs += split(&guards, chat, before, &secret, after, stride);
    }
    assert!(runs > 10_000, "{runs}");
}

#[test]
fn every_format() {
    let guards = guards(&[rule(GuardAction::Redact)]);
    let some = ["email", "card", "aws_access_key", "private_key", "iban"];
    for format in FORMATS {
        for (name, before, secret, after) in secrets::all() {
            if some.contains(&name) {
                split(&guards, format, before, &secret, after, 1 + secret.len() / 4);
            }
        }
    }
}

#[test]
fn a_byte_an_event() {
    let guards = guards(&[rule(GuardAction::Redact)]);
    for format in FORMATS {
        for (_, before, secret, after) in secrets::all() {
            let text = format!("{before}{secret}{after}");
            let expected = redacted(&guards.set(&[0]), &text);
            let written = format.written(&text);
            let pieces: Vec<&str> = (0..written.len()).map(|at| &written[at..=at]).collect();
            check(&guards, format, &pieces, usize::MAX, &expected, &secret);
        }
    }
}

#[test]
fn the_body_cut_at_every_byte() {
    let guards = guards(&[rule(GuardAction::Redact)]);
    for format in FORMATS {
        let (before, secret, after) = ("write to ", "alice.smith@mail.example.com", ", please");
        let text = format!("{before}{secret}{after}");
        let expected = redacted(&guards.set(&[0]), &text);
        let written = format.written(&text);
        let at = written.find("smith").unwrap();
        let pieces = [&written[..at], &written[at..at + 9], &written[at + 9..]];
        let body = format.body(&pieces);
        for cut in 0..body.len() {
            let mut guard = guard(&guards, format.kind, format.content_type(), format.streams());
            let (out, ended) = pass(&mut guard, [&body[..cut], &body[cut..]].into_iter());
            assert_eq!(ended, Step::Go);
            assert_eq!(format.said(&out), expected, "{} at {cut}", format.name);
        }
        for step in [1, 2, 3, 7] {
            check(&guards, format, &pieces, step, &expected, secret);
        }
    }
}

/// All characters as escapes of JSON.
fn escaped(text: &str) -> String {
    let mut out = String::new();
    for unit in text.encode_utf16() {
        write!(out, "\\u{unit:04x}").unwrap();
    }
    out
}

#[test]
fn escapes_hide_nothing() {
    let guards = guards(&[rule(GuardAction::Redact)]);
    let secret = "alice.smith@mail.example.com";
    for format in FORMATS
        .iter()
        .filter(|format| format.frame == Frame::Sse || format.frame == Frame::NamedSse)
    {
        // In the string of the event, every character escaped, whatever the cut between events.
        for cut in 0..=secret.len() {
            let (one, two) = secret.split_at(cut);
            let quote = |text: &str| serde_json::to_string(text).unwrap();
            let written = format.written("MARK1MARK2");
            let at = written.find("MARK2").unwrap();
            let plain = format.body(&[&written[..at], &written[at..]]);
            let plain = String::from_utf8(plain).unwrap();
            let body = plain
                .replace("MARK1", &escaped(one))
                .replace("MARK2", &escaped(two));
            let mut guard = guard(&guards, format.kind, format.content_type(), true);
            let (out, _) = pass(&mut guard, [body.as_bytes()].into_iter());
            let said = format.said(&out);
            assert!(!leaks(&said, &out, secret), "{}: {said}", format.name);
            assert_eq!(
                said,
                "[REDACTED:email]",
                "{} at {cut}: {}",
                format.name,
                quote(&body)
            );
        }
    }
}

#[test]
fn escapes_in_arguments_hide_nothing() {
    let guards = guards(&[rule(GuardAction::Redact)]);
    let secret = "alice.smith@mail.example.com";
    let hidden = format!(r#"{{"n":1,"note":"to {} now"}}"#, escaped(secret));
    for format in FORMATS.iter().filter(|format| format.args) {
        for one in 0..=hidden.len() {
            let two = (one + 11).min(hidden.len());
            let pieces = [&hidden[..one], &hidden[one..two], &hidden[two..]];
            check(
                &guards,
                format,
                &pieces,
                usize::MAX,
                "to [REDACTED:email] now",
                secret,
            );
        }
    }
}

#[test]
fn numbers_in_arguments_stay_json() {
    let guards = guards(&[rule(GuardAction::Redact)]);
    let args = r#"{"note":"x","card": 4539148803436467 ,"n":[4539148803436467]}"#;
    for format in FORMATS.iter().filter(|format| format.args) {
        for one in 0..=args.len() {
            let body = format.body(&[&args[..one], &args[one..]]);
            let mut guard = guard(&guards, format.kind, format.content_type(), true);
            let (out, _) = pass(&mut guard, [body.as_slice()].into_iter());
            assert_eq!(format.said(&out), "x");
            let all: String = format
                .events(&out)
                .iter()
                .filter_map(|event| Some(event.pointer(format.path)?.as_str()?.to_owned()))
                .collect();
            assert_eq!(
                all, r#"{"note":"x","card": "[REDACTED:card]" ,"n":["[REDACTED:card]"]}"#,
                "{} at {one}",
                format.name
            );
        }
    }
}
