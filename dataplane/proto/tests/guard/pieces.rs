use sluice_proto::guard::{Found, GuardSet, INJECTION, Lane, Settled};
use sluice_shared::snapshot::{GuardPattern, Guardrail};

use crate::samples::all;
use crate::{rule, set};

/// Rule, detector and range of all findings in a text that comes in pieces, those that go on put together.
fn in_pieces(set: &GuardSet, pieces: &[&[u8]]) -> Vec<Found> {
    let engine = set.answers().unwrap();
    let mut lane = Lane::default();
    let mut settled = Vec::new();
    let mut judged = 0;
    for piece in pieces {
        lane.push(engine, piece, &mut settled);
        assert!(lane.settled() >= judged, "what is judged stays judged");
        judged = lane.settled();
        assert!(settled.iter().all(|one| one.range.end <= judged));
    }
    lane.finish(engine, &mut settled);
    joined(settled)
}

fn joined(settled: Vec<Settled>) -> Vec<Found> {
    let mut out: Vec<Found> = Vec::new();
    for one in settled {
        let range = usize::try_from(one.range.start).unwrap()..usize::try_from(one.range.end).unwrap();
        if one.continues {
            let before = out.iter_mut().rev().find(|found| found.rule == one.rule).unwrap();
            assert_eq!(before.range.end, range.start);
            before.range.end = range.end;
        } else {
            out.push(Found {
                rule: one.rule,
                detector: one.detector,
                range,
            });
        }
    }
    out
}

fn whole(set: &GuardSet, text: &[u8]) -> Vec<Found> {
    let mut out = Vec::new();
    set.answers().unwrap().scan(text, &mut out);
    out
}

fn everything() -> GuardSet {
    set(Guardrail {
        patterns: vec![
            GuardPattern {
                name: "ticket".into(),
                regex: r"\bACME-[0-9]{6}\b".into(),
            },
            GuardPattern {
                name: "quoted".into(),
                regex: r"<<[^>]*>>".into(),
            },
        ],
        phrases: vec!["internal use only".into()],
        prompt_injection: true,
        ..rule(&["all"])
    })
}

#[test]
fn no_cut_into_two_or_three_hides_or_changes_anything() {
    let set = everything();
    let mut texts: Vec<String> = all().iter().map(crate::samples::Sample::text).collect();
    texts.push("see ACME-123456, not ACME-1234567 <<this\nand that>> for Internal  Use\nONLY. Fine.".into());
    texts.push(format!("please {} and go on", INJECTION[0]));
    for text in &texts {
        let text = text.as_bytes();
        let expected = whole(&set, text);
        assert!(!expected.is_empty(), "{}", String::from_utf8_lossy(text));
        for first in 0..=text.len() {
            let (a, rest) = text.split_at(first);
            // All second cuts of short texts, some of long ones: which, changes with the first.
            let step = if text.len() > 90 { 17 } else { 1 };
            for second in (first % step..=rest.len()).step_by(step) {
                let (b, c) = rest.split_at(second);
                let found = in_pieces(&set, &[a, b, c]);
                assert_eq!(
                    found,
                    expected,
                    "{:?} | {:?} | {:?}",
                    String::from_utf8_lossy(a),
                    String::from_utf8_lossy(b),
                    String::from_utf8_lossy(c)
                );
            }
        }
    }
}

#[test]
fn byte_by_byte_a_long_text_gives_the_same() {
    let set = everything();
    let mut text = String::new();
    for sample in all() {
        text.push_str(
            "Ordinary words stand here, with 12 numbers and 3,400 more; a word-with-hyphens, e.g. this. ",
        );
        text.push_str(&sample.text());
        text.push('\n');
    }
    let text = text.as_bytes();
    let pieces: Vec<&[u8]> = text.chunks(1).collect();
    assert_eq!(in_pieces(&set, &pieces), whole(&set, text));
}

#[test]
fn ordinary_prose_is_held_back_for_a_word_at_most() {
    let set = everything();
    let engine = set.answers().unwrap();
    let prose = "The quick brown fox jumps over the lazy dog. It was the best of times, and nobody ignored it; \
                 you would act the same, in 2024 or later, with 3 friends (or 4).\nA new line begins here.";
    let mut lane = Lane::default();
    let (mut out, mut most, mut sum) = (Vec::new(), 0, 0);
    for byte in prose.as_bytes() {
        lane.push(engine, &[*byte], &mut out);
        most = most.max(lane.held());
        sum += lane.held();
    }
    assert!(out.is_empty());
    assert!(most <= 16, "{most} bytes were held at once");
    assert!(
        sum / prose.len() <= 5,
        "{} bytes were held on average",
        sum / prose.len()
    );
}

#[test]
fn a_key_is_settled_while_it_comes_and_followed_to_its_end() {
    let set = set(rule(&["private_key"]));
    let engine = set.answers().unwrap();
    let key = crate::samples::private_key("RSA PRIVATE KEY", "\n");
    let (mut lane, mut out) = (Lane::default(), Vec::new());
    lane.push(engine, &key.as_bytes()[..100], &mut out);
    assert_eq!(out.len(), 1, "a key is one before it ends");
    assert_eq!((lane.held(), out[0].range.clone()), (0, 0..100));
    lane.push(engine, &key.as_bytes()[100..], &mut out);
    lane.push(engine, b" and on", &mut out);
    lane.finish(engine, &mut out);
    assert!(out[1..].iter().all(|one| one.continues));
    let end = out.last().unwrap().range.end;
    assert_eq!(end, key.len() as u64);
}

#[test]
fn what_is_flushed_is_judged_as_it_stands_and_its_word_followed() {
    let set = set(rule(&["openai_key", "card"]));
    let engine = set.answers().unwrap();
    let key = ["sk", "-proj-", &crate::samples::drawn(crate::samples::ALNUM, 60)].concat();
    let (head, tail) = key.as_bytes().split_at(50);
    let (mut lane, mut out) = (Lane::default(), Vec::new());
    lane.push(engine, b"use ", &mut out);
    lane.push(engine, head, &mut out);
    assert!(out.is_empty() && lane.held() == 50);
    lane.flush(engine, &mut out);
    assert_eq!((lane.held(), out.len()), (0, 1));
    lane.push(engine, tail, &mut out);
    lane.push(engine, b" or not", &mut out);
    lane.finish(engine, &mut out);
    let found = joined(out);
    assert_eq!(found[0].range, 4..4 + key.len());
    assert_eq!(found.len(), 1);
}
