//! Edits over chunks: at every cut the pieces put together are what a plain replacement gives.

#![allow(
    clippy::unwrap_used,
    clippy::cast_possible_truncation,
    reason = "a test that breaks here fails, as it should; bodies of tests are small"
)]

use bytes::Bytes;
use proptest::prelude::*;
use sluice_proto::json::{BodyScan, Facts, JsonLimits, KeyTable};
use sluice_proto::route::ApiKind;
use sluice_proto::splice::{Edit, EditError, Edits, include_usage, json_string, replace_model};

fn edit(from: u64, to: u64, with: &'static str) -> Edit {
    Edit {
        at: from..to,
        with: Bytes::from_static(with.as_bytes()),
    }
}

/// Applies the edits to the body cut in pieces of `size`, both ways, and checks the stated length.
fn apply(body: &[u8], size: usize, edits: &Edits) -> Vec<u8> {
    let chunks: Vec<Bytes> = body.chunks(size).map(Bytes::copy_from_slice).collect();
    let borrowed = edits.pieces(&chunks).collect::<Vec<_>>().concat();
    let owned: Vec<Bytes> = edits.pieces_owned(&chunks).collect();
    assert!(owned.iter().all(|piece| !piece.is_empty()));
    assert_eq!(owned.concat(), borrowed);
    assert_eq!(edits.len_after(body.len() as u64), Ok(borrowed.len() as u64));
    borrowed
}

/// The five-line version: from the last edit to the first, in one buffer.
fn naive(body: &[u8], edits: &[Edit]) -> Vec<u8> {
    let mut out = body.to_vec();
    for edit in edits.iter().rev() {
        out.splice(
            edit.at.start as usize..edit.at.end as usize,
            edit.with.iter().copied(),
        );
    }
    out
}

#[test]
fn replacements_and_insertions() {
    let check = |edits: Vec<Edit>, expected: &str| {
        let edits = Edits::new(edits).unwrap();
        for size in 1..=11 {
            assert_eq!(
                apply(b"0123456789", size, &edits),
                expected.as_bytes(),
                "pieces of {size}"
            );
        }
    };
    check(vec![], "0123456789");
    check(vec![edit(0, 0, "a")], "a0123456789");
    check(vec![edit(10, 10, "a")], "0123456789a");
    check(vec![edit(0, 10, "")], "");
    check(vec![edit(7, 9, "x"), edit(2, 5, "yyyyy")], "01yyyyy56x9");
    check(
        vec![edit(3, 3, "a"), edit(3, 3, "b"), edit(3, 4, "c")],
        "012abc456789",
    );
    check(vec![edit(2, 4, ""), edit(4, 6, "-")], "01-6789");
}

#[test]
fn impossible_edits_are_refused() {
    assert_eq!(
        Edits::new(vec![edit(1, 4, ""), edit(3, 5, "")]),
        Err(EditError::Overlap)
    );
    let reversed = Edit {
        at: std::ops::Range { start: 4, end: 1 },
        with: Bytes::new(),
    };
    assert_eq!(Edits::new(vec![reversed]), Err(EditError::Overlap));
    assert_eq!(
        Edits::new(vec![edit(1, 12, "")]).unwrap().len_after(10),
        Err(EditError::BeyondEnd)
    );
}

proptest! {
    #[test]
    fn pieces_equal_the_naive_splice(
        body in proptest::collection::vec(any::<u8>(), 0..200),
        cuts in proptest::collection::vec((0usize..200, 0usize..20, "[a-z]{0,9}"), 0..6),
        size in 1usize..64,
    ) {
        let mut edits = Vec::new();
        let mut at = 0usize;
        let mut sorted = cuts;
        sorted.sort();
        for (start, len, with) in sorted {
            let start = start.max(at).min(body.len());
            let end = (start + len).min(body.len());
            edits.push(Edit { at: start as u64..end as u64, with: Bytes::from(with) });
            at = end;
        }
        let expected = naive(&body, &edits);
        let edits = Edits::new(edits).unwrap();
        prop_assert_eq!(apply(&body, size, &edits), expected);
    }
}

fn facts(body: &str) -> Facts {
    let mut scan = BodyScan::new(KeyTable::for_kind(ApiKind::OpenAiChat), JsonLimits::DEFAULT);
    scan.feed(body.as_bytes()).unwrap();
    scan.finish().unwrap()
}

#[test]
fn usage_is_asked_for_by_the_smallest_change() {
    let check = |body: &str, expected: &str| {
        let edits = Edits::new(include_usage(&facts(body)).into_iter().collect()).unwrap();
        let got = String::from_utf8(apply(body.as_bytes(), 5, &edits)).unwrap();
        assert_eq!(got, expected);
        let value: serde_json::Value = serde_json::from_str(&got).unwrap();
        assert_eq!(value["stream_options"]["include_usage"], true);
        assert_eq!(include_usage(&facts(&got)), None, "asked for twice");
    };
    check("{}", r#"{"stream_options":{"include_usage":true}}"#);
    check(
        " { \"a\" : 1 } ",
        " {\"stream_options\":{\"include_usage\":true}, \"a\" : 1 } ",
    );
    check(
        r#"{"a":1,"stream_options":null}"#,
        r#"{"a":1,"stream_options":{"include_usage":true}}"#,
    );
    check(
        r#"{"stream_options":{ }}"#,
        r#"{"stream_options":{"include_usage":true }}"#,
    );
    check(
        r#"{"stream_options":{"x":[{}]}}"#,
        r#"{"stream_options":{"include_usage":true,"x":[{}]}}"#,
    );
    check(
        r#"{"stream_options":{"x":1,"include_usage" : false ,"y":{}}}"#,
        r#"{"stream_options":{"x":1,"include_usage" : true ,"y":{}}}"#,
    );
    check(
        r#"{"stream_options":{"include_usage":null}}"#,
        r#"{"stream_options":{"include_usage":true}}"#,
    );
    check(
        r#"{"stream_options":{"include\u005fusage":false}}"#,
        r#"{"stream_options":{"include\u005fusage":true}}"#,
    );
    check(
        r#"{"stream_options":{"include_usage":true}}"#,
        r#"{"stream_options":{"include_usage":true}}"#,
    );
}

#[test]
fn the_model_is_replaced_and_nothing_else() {
    let check = |body: &str, model: &str, expected: &str| {
        let edits = Edits::new(replace_model(&facts(body), model).into_iter().collect()).unwrap();
        for size in 1..=body.len() {
            assert_eq!(
                String::from_utf8(apply(body.as_bytes(), size, &edits)).unwrap(),
                expected
            );
        }
    };
    check(
        r#"{"x":1, "model" : "a\u0062\"c" ,"y":2.0}"#,
        "gpt-5",
        r#"{"x":1, "model" : "gpt-5" ,"y":2.0}"#,
    );
    check(r#"{"model":"a"}"#, "q\"\\\n", r#"{"model":"q\"\\\n"}"#);
    check(r#"{"x":{"model":"a"}}"#, "b", r#"{"x":{"model":"a"}}"#);
}

#[test]
fn both_edits_go_together() {
    let body = r#"{"model":"p/m","stream":true}"#;
    let facts = facts(body);
    let edits = Edits::new(
        [replace_model(&facts, "m"), include_usage(&facts)]
            .into_iter()
            .flatten()
            .collect(),
    )
    .unwrap();
    let expected = r#"{"stream_options":{"include_usage":true},"model":"m","stream":true}"#;
    assert_eq!(apply(body.as_bytes(), 3, &edits), expected.as_bytes());
}

proptest! {
    #[test]
    fn strings_are_escaped_so_that_they_read_back(text in any::<String>()) {
        let json = json_string(&text);
        prop_assert_eq!(serde_json::from_slice::<String>(&json).unwrap(), text);
    }
}
