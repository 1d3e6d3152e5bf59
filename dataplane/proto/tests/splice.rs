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
use sluice_proto::splice::{Edit, EditError, Edits, OutputKey, include_usage, json_string, replace_model};

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

/// The body after its limit on output tokens was lowered, and how many edits that took.
fn lowered(kind: ApiKind, basis: &str, model: &str, body: &str, most: u64) -> Option<String> {
    let mut scan = BodyScan::new(KeyTable::for_kind(kind), JsonLimits::DEFAULT);
    scan.feed(body.as_bytes()).unwrap();
    let facts = scan.finish().unwrap();
    let edits = OutputKey::of(kind, basis, model)?.lower(&facts, most)?;
    let edits = Edits::new(edits.into_vec()).unwrap();
    Some(String::from_utf8(apply(body.as_bytes(), 5, &edits)).unwrap())
}

#[test]
fn the_limit_on_output_is_lowered_in_every_api() {
    use ApiKind as K;
    let check = |kind: ApiKind, basis: &str, model: &str, body: &str, expected: Option<&str>| {
        assert_eq!(
            lowered(kind, basis, model, body, 50).as_deref(),
            expected,
            "{kind:?} {model} {body}"
        );
    };
    let chat = |basis: &str, body: &str, expected: &str| {
        check(K::OpenAiChat, basis, "m", body, Some(expected));
    };
    chat(
        "",
        r#"{"max_tokens": 100 ,"x":1}"#,
        r#"{"max_tokens": 50 ,"x":1}"#,
    );
    chat("", r#"{"max_tokens":50}"#, r#"{"max_tokens":50}"#);
    chat("", r#"{"max_tokens":7}"#, r#"{"max_tokens":7}"#);
    chat("", r#"{"max_tokens":1e9}"#, r#"{"max_tokens":50}"#);
    chat(
        "",
        r#"{"max_tokens":100,"max_completion_tokens":2000}"#,
        r#"{"max_tokens":50,"max_completion_tokens":50}"#,
    );
    chat(
        "",
        r#"{"max_tokens":10,"max_completion_tokens":2000}"#,
        r#"{"max_tokens":10,"max_completion_tokens":50}"#,
    );
    // A key of another API is no limit of this one.
    chat(
        "",
        r#"{"max_output_tokens":100}"#,
        r#"{"max_tokens":50,"max_output_tokens":50}"#,
    );
    chat("", r#"{ "model":"m"}"#, r#"{"max_tokens":50, "model":"m"}"#);
    chat(
        "openai",
        r#"{"model":"m"}"#,
        r#"{"max_completion_tokens":50,"model":"m"}"#,
    );
    chat(
        "azure",
        r#"{"max_tokens":null}"#,
        r#"{"max_completion_tokens":50,"max_tokens":null}"#,
    );
    chat("", r#"{"max_tokens":null}"#, r#"{"max_tokens":50}"#);
    chat("", "{}", r#"{"max_tokens":50}"#);
    check(
        K::OpenAiCompletions,
        "openai",
        "m",
        r#"{"prompt":"p"}"#,
        Some(r#"{"max_tokens":50,"prompt":"p"}"#),
    );
    check(
        K::OpenAiResponses,
        "openai",
        "m",
        r#"{"input":"p","max_output_tokens":9999}"#,
        Some(r#"{"input":"p","max_output_tokens":50}"#),
    );
    check(
        K::OpenAiResponses,
        "",
        "m",
        r#"{"input":"max_output_tokens"}"#,
        Some(r#"{"max_output_tokens":50,"input":"max_output_tokens"}"#),
    );
    for kind in [K::AnthropicMessages, K::VertexRawPredict] {
        check(
            kind,
            "anthropic",
            "claude",
            r#"{"max_tokens":64000,"messages":[]}"#,
            Some(r#"{"max_tokens":50,"messages":[]}"#),
        );
    }
    for kind in [K::GeminiGenerate, K::VertexGenerate] {
        let google = |body: &str, expected: Option<&str>| check(kind, "gemini", "g", body, expected);
        google(
            r#"{"generationConfig":{"maxOutputTokens":100,"topP":1}}"#,
            Some(r#"{"generationConfig":{"maxOutputTokens":50,"topP":1}}"#),
        );
        google(
            r#"{"generation_config":{"topP":1}}"#,
            Some(r#"{"generation_config":{"maxOutputTokens":50,"topP":1}}"#),
        );
        google(
            r#"{"generation_config":{"max_output_tokens":null}}"#,
            Some(r#"{"generation_config":{"max_output_tokens":50}}"#),
        );
        google(
            r#"{"generationConfig":{ },"contents":[]}"#,
            Some(r#"{"generationConfig":{"maxOutputTokens":50 },"contents":[]}"#),
        );
        google(
            r#"{"generationConfig":null,"contents":[]}"#,
            Some(r#"{"generationConfig":{"maxOutputTokens":50},"contents":[]}"#),
        );
        google(
            r#"{"contents":[]}"#,
            Some(r#"{"generationConfig":{"maxOutputTokens":50},"contents":[]}"#),
        );
        // No provider takes that, and a second key of the name would be refused as well.
        google(r#"{"generationConfig":[1]}"#, None);
    }
    check(
        K::BedrockConverse,
        "bedrock",
        "m",
        r#"{"inferenceConfig":{"temperature":1,"maxTokens":100}}"#,
        Some(r#"{"inferenceConfig":{"temperature":1,"maxTokens":50}}"#),
    );
    check(
        K::BedrockConverse,
        "bedrock",
        "m",
        r#"{"messages":[]}"#,
        Some(r#"{"inferenceConfig":{"maxTokens":50},"messages":[]}"#),
    );
    let invoke = |model: &str, body: &str, expected: Option<&str>| {
        check(K::BedrockInvoke, "bedrock", model, body, expected);
    };
    invoke(
        "us.anthropic.claude-sonnet-4-5-20250929-v1:0",
        r#"{"max_tokens":100}"#,
        Some(r#"{"max_tokens":50}"#),
    );
    invoke(
        "amazon.nova-lite-v1:0",
        r#"{"inferenceConfig":{"max_new_tokens":100}}"#,
        Some(r#"{"inferenceConfig":{"max_new_tokens":50}}"#),
    );
    invoke(
        "amazon.titan-text-express-v1",
        r#"{"inputText":"a","textGenerationConfig":{"maxTokenCount":100}}"#,
        Some(r#"{"inputText":"a","textGenerationConfig":{"maxTokenCount":50}}"#),
    );
    invoke(
        "amazon.titan-text-express-v1",
        r#"{"inputText":"a"}"#,
        Some(r#"{"textGenerationConfig":{"maxTokenCount":50},"inputText":"a"}"#),
    );
    invoke(
        "meta.llama3-8b-instruct-v1:0",
        r#"{"prompt":"a"}"#,
        Some(r#"{"max_gen_len":50,"prompt":"a"}"#),
    );
    invoke(
        "arn:aws:bedrock:us-east-1:1:application-inference-profile/x",
        "{}",
        None,
    );
    check(
        K::OllamaChat,
        "",
        "m",
        r#"{"options":{"num_predict":-1}}"#,
        Some(r#"{"options":{"num_predict":50}}"#),
    );
    check(
        K::OllamaChat,
        "",
        "m",
        r#"{"model":"m"}"#,
        Some(r#"{"options":{"num_predict":50},"model":"m"}"#),
    );
    check(K::OpenAiEmbeddings, "openai", "m", r#"{"input":"a"}"#, None);
}

/// A body with the members given, in that order, with blanks where they may stand.
fn document(members: &[(String, String)], blank: &str) -> String {
    let members: Vec<String> = members
        .iter()
        .map(|(key, value)| format!("{blank}\"{key}\"{blank}:{blank}{value}{blank}"))
        .collect();
    format!("{blank}{{{}}}{blank}", members.join(","))
}

proptest! {
    #[test]
    fn nothing_but_the_limit_changes(
        kind in prop_oneof![
            Just(ApiKind::OpenAiChat), Just(ApiKind::OpenAiResponses), Just(ApiKind::AnthropicMessages),
            Just(ApiKind::GeminiGenerate), Just(ApiKind::BedrockConverse), Just(ApiKind::OllamaChat),
        ],
        basis in prop_oneof![Just("openai"), Just("")],
        most in 1u64..1_000_000,
        limit in prop_oneof![Just(None), Just(Some("null".to_owned())), (0u64..10_000_000).prop_map(|n| Some(n.to_string()))],
        in_object in prop_oneof![Just(None), Just(Some(true)), Just(Some(false))],
        text in "[a-z\"\\\\é]{0,20}",
        blank in "[ \n]{0,2}",
        place in 0usize..4,
    ) {
        let (object, name) = match kind {
            ApiKind::OpenAiChat => (None, "max_tokens"),
            ApiKind::OpenAiResponses => (None, "max_output_tokens"),
            ApiKind::GeminiGenerate => (Some("generationConfig"), "maxOutputTokens"),
            ApiKind::BedrockConverse => (Some("inferenceConfig"), "maxTokens"),
            ApiKind::OllamaChat => (Some("options"), "num_predict"),
            _ => (None, "max_tokens"),
        };
        let string = serde_json::to_string(&text).unwrap();
        let mut members = vec![
            ("messages".to_owned(), format!("[{string},{{\"{name}\":123456789}}]")),
            ("x".to_owned(), string.clone()),
            ("metadata".to_owned(), format!("{{\"a\":{string}}}")),
        ];
        let place = place.min(members.len());
        match (object, in_object, &limit) {
            (None, _, Some(limit)) => members.insert(place, (name.to_owned(), limit.clone())),
            (Some(object), Some(other), limit) => {
                let mut inner: Vec<_> = limit.iter().map(|limit| (name.to_owned(), limit.clone())).collect();
                if other {
                    inner.push(("temperature".to_owned(), "1".to_owned()));
                }
                members.insert(place, (object.to_owned(), document(&inner, "")));
            }
            _ => {}
        }
        let body = document(&members, &blank);
        let after = lowered(kind, basis, "m", &body, most).unwrap();
        let mut before: serde_json::Value = serde_json::from_str(&body).unwrap();
        let mut after: serde_json::Value = serde_json::from_str(&after).unwrap();
        // The limit in force is as low as it was to be, or lower.
        let keys: &[&str] = if kind == ApiKind::OpenAiChat { &["max_tokens", "max_completion_tokens"] } else { &[name] };
        let mut in_force = Vec::new();
        for document in [&mut before, &mut after] {
            let document = document.as_object_mut().unwrap();
            let found: Vec<u64> = {
                let holder = match object {
                    None => Some(&mut *document),
                    Some(object) => document.get_mut(object).and_then(|value| value.as_object_mut()),
                };
                holder.map_or_else(Vec::new, |holder| {
                    keys.iter().filter_map(|key| holder.remove(*key)).filter_map(|value| value.as_u64()).collect()
                })
            };
            in_force.push(found);
            // An object that holds nothing else says nothing.
            if let Some(object) = object
                && document.get(object).is_some_and(|value| value.as_object().is_some_and(serde_json::Map::is_empty))
            {
                document.remove(object);
            }
        }
        prop_assert_eq!(before, after);
        prop_assert_eq!(in_force[1].len(), 1);
        let expected = in_force[0].first().map_or(most, |limit| most.min(*limit));
        prop_assert_eq!(in_force[1][0], expected);
    }
}
