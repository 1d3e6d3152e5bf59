//! The body scanner against tables, against every cut, and against a reader that holds the whole document.

#![allow(
    clippy::unwrap_used,
    clippy::cast_possible_truncation,
    reason = "a test that breaks here fails, as it should; bodies of tests are small"
)]

use proptest::prelude::*;
use serde::de::{Deserializer, MapAccess, Visitor};
use serde_json::Value;
use sluice_proto::json::{BodyScan, ConfigShape, Facts, JsonLimits, JsonReason, JsonReject, KeyTable};
use sluice_proto::route::ApiKind;

fn scan_pieces<'a>(kind: ApiKind, pieces: impl Iterator<Item = &'a [u8]>) -> Result<Facts, JsonReject> {
    let mut scan = BodyScan::new(KeyTable::for_kind(kind), JsonLimits::DEFAULT);
    for piece in pieces {
        scan.feed(piece)?;
    }
    scan.finish()
}

/// Scans the body whole, then cut at every byte and in pieces of every small size; all outcomes must be the same.
fn scan_as(kind: ApiKind, body: &[u8]) -> Result<Facts, JsonReject> {
    let whole = scan_pieces(kind, std::iter::once(body));
    for cut in 0..=body.len() {
        let (left, right) = body.split_at(cut);
        assert_eq!(
            scan_pieces(kind, [left, right].into_iter()),
            whole,
            "cut at {cut}"
        );
    }
    for size in 1..=body.len().min(9) {
        assert_eq!(scan_pieces(kind, body.chunks(size)), whole, "pieces of {size}");
    }
    whole
}

fn scan(body: &[u8]) -> Result<Facts, JsonReject> {
    scan_as(ApiKind::OpenAiChat, body)
}

#[test]
fn facts_of_a_chat_request() {
    let body = r#" {"messages":[{"role":"user","content":"model \"model\":\"decoy\" \ud83d\ude00"}], "model" : "gpt\u002d5",
        "stream":true,"stream_options":{"include_usage":false,"x":[{}]},"max_tokens":100,"max_completion_tokens":2e2,"n":3,
        "store":false,"background":null,"service_tier":"flex","prompt_cache_key":"k1","previous_response_id":"r\n1",
        "metadata":{"user_id":"u","user":{"user_id":"other"}},"client_metadata":{"a":1,"session_id":"s"},
        "litellm_session_id":"l","nested":{"model":"no","stream":1}} "#;
    let facts = scan(body.as_bytes()).unwrap();
    let text = |span: std::ops::Range<u64>| &body[span.start as usize..span.end as usize];
    let model = facts.model.unwrap();
    assert_eq!(
        (model.value.as_str(), text(model.span)),
        ("gpt-5", r#""gpt\u002d5""#)
    );
    let options = facts.stream_options.unwrap();
    assert_eq!(text(options.span), r#"{"include_usage":false,"x":[{}]}"#);
    assert_eq!(text(options.include_usage_span.unwrap()), "false");
    assert_eq!(
        (options.include_usage, options.is_empty, options.is_null),
        (Some(false), false, false)
    );
    assert_eq!(&body[options.open as usize - 1..options.open as usize + 1], "{\"");
    assert_eq!(facts.stream, Some(true));
    assert_eq!((facts.max_tokens, facts.choices), (Some(200), Some(3)));
    assert_eq!((facts.store, facts.background), (Some(false), None));
    assert_eq!(facts.service_tier.as_deref(), Some("flex"));
    assert_eq!(facts.prompt_cache_key.as_deref(), Some("k1"));
    assert_eq!(facts.previous_response_id.as_deref(), Some("r\n1"));
    assert_eq!(facts.metadata_user_id.as_deref(), Some("u"));
    assert_eq!(facts.client_metadata_session_id.as_deref(), Some("s"));
    assert_eq!(facts.litellm_session_id.as_deref(), Some("l"));
    assert_eq!((facts.top_level_object_open, facts.is_empty_object), (2, false));
    assert_eq!(facts.bytes, body.len() as u64);
}

#[test]
fn limits_on_output_in_the_other_formats() {
    let check = |kind: ApiKind, body: &str, max_tokens: Option<u64>, choices: Option<u64>| {
        let facts = scan_as(kind, body.as_bytes()).unwrap();
        assert_eq!((facts.max_tokens, facts.choices), (max_tokens, choices), "{body}");
    };
    check(
        ApiKind::GeminiGenerate,
        r#"{"generationConfig":{"maxOutputTokens":8,"candidateCount":2},"system_instruction":{}}"#,
        Some(8),
        Some(2),
    );
    check(
        ApiKind::VertexGenerate,
        r#"{"generation_config":{"max_output_tokens":9}}"#,
        Some(9),
        None,
    );
    check(
        ApiKind::BedrockConverse,
        r#"{"inferenceConfig":{"maxTokens":7}}"#,
        Some(7),
        None,
    );
    check(
        ApiKind::OllamaChat,
        r#"{"model":"m","options":{"num_predict":5}}"#,
        Some(5),
        None,
    );
    check(
        ApiKind::OllamaChat,
        r#"{"model":"m","options":{"num_predict":-1}}"#,
        None,
        None,
    );
    check(
        ApiKind::AnthropicMessages,
        r#"{"max_tokens":64000}"#,
        Some(64_000),
        None,
    );
    check(
        ApiKind::OpenAiResponses,
        r#"{"max_output_tokens":12.5}"#,
        Some(13),
        None,
    );
    check(
        ApiKind::OpenAiChat,
        r#"{"max_tokens":1e999}"#,
        Some(u64::MAX),
        None,
    );
    check(ApiKind::OpenAiChat, r#"{"max_tokens":null}"#, None, None);
    // Only where the key means that.
    check(
        ApiKind::OpenAiChat,
        r#"{"generationConfig":{"maxOutputTokens":8}}"#,
        None,
        None,
    );
}

#[test]
fn long_strings_of_interest() {
    let body = |key: &str, len: usize| format!(r#"{{"{key}":"{}"}}"#, "x".repeat(len));
    let run = |text: &str| scan_pieces(ApiKind::OpenAiChat, std::iter::once(text.as_bytes()));
    assert!(run(&body("model", 256)).unwrap().model.is_some());
    assert!(matches!(
        run(&body("model", 257)),
        Err(JsonReject {
            offset: 9,
            reason: JsonReason::WrongType { .. }
        })
    ));
    assert!(
        run(&body("prompt_cache_key", 256))
            .unwrap()
            .prompt_cache_key
            .is_some()
    );
    assert!(
        run(&body("prompt_cache_key", 257))
            .unwrap()
            .prompt_cache_key
            .is_none()
    );
    assert!(run(&body("x", 1 << 20)).is_ok());
    assert!(run(&format!(r#"{{"{}":1}}"#, "k".repeat(100_000))).is_ok());
}

#[test]
fn documents_that_are_json() {
    for body in [
        "{}",
        " \t\r\n{ } \n",
        r#"{"":0}"#,
        r#"{"a":[],"b":[[]],"c":{},"d":[{}]}"#,
        r#"{"a":-0,"b":0.0,"c":1E+2,"d":-1.5e-10,"e":10}"#,
        r#"{"a":true,"b":false,"c":null}"#,
        r#"{"a":"\"\\\/\b\f\n\r\t\u00e9\uD834\uDD1E\u0000"}"#,
        "{\"a\":\"\u{7f}é€😀\"}",
        r#"{"a":1,"a":2}"#,
        r#"{"stream":null,"stream_options":null}"#,
    ] {
        assert!(serde_json::from_str::<Value>(body).is_ok(), "{body}");
        assert!(scan(body.as_bytes()).is_ok(), "{body}");
    }
    assert!(scan(b"{}").unwrap().is_empty_object);
    assert!(!scan(b"{\"a\":{}}").unwrap().is_empty_object);
}

#[test]
fn documents_that_are_not() {
    for body in [
        &b""[..],
        b" ",
        b"[]",
        b"1",
        b"\"model\"",
        b"null",
        b"{",
        b"}",
        b"{]",
        b"{\"a\"}",
        b"{\"a\":}",
        b"{\"a\":1,}",
        b"{,}",
        b"{a:1}",
        b"{'a':1}",
        b"{\"a\" 1}",
        b"{\"a\":1 \"b\":2}",
        b"{\"a\":[1,]}",
        b"{\"a\":[,1]}",
        b"{\"a\":[1 2]}",
        b"{\"a\":[1}",
        b"{\"a\":{]}",
        b"{}{}",
        b"{} x",
        b"{}\0",
        b"{}}",
        b"\xef\xbb\xbf{}",
        b"{\"a\":1}//c",
        b"/**/{\"a\":1}",
        b"{\"a\":NaN}",
        b"{\"a\":Infinity}",
        b"{\"a\":+1}",
        b"{\"a\":01}",
        b"{\"a\":-}",
        b"{\"a\":1.}",
        b"{\"a\":.5}",
        b"{\"a\":1e}",
        b"{\"a\":1e+}",
        b"{\"a\":0x1}",
        b"{\"a\":--1}",
        b"{\"a\":tru}",
        b"{\"a\":truee}",
        b"{\"a\":True}",
        b"{\"a\":nul",
        b"{\"a\":\"",
        b"{\"a\":\"\\x\"}",
        b"{\"a\":\"\\u12g4\"}",
        b"{\"a\":\"\\ud800\"}",
        b"{\"a\":\"\\ud800\\n\"}",
        b"{\"a\":\"\\ud800\\ud800\"}",
        b"{\"a\":\"\\udc00\"}",
        b"{\"a\":\"\\ud800x\"}",
        b"{\"a\":\"\n\"}",
        b"{\"a\":\"\0\"}",
        b"{\"a\":\"\x1f\"}",
        b"{\"a\":\"\xff\"}",
        b"{\"a\":\"\xc3\"}",
        b"{\"a\":\"\xc0\xaf\"}",
        b"{\"a\":\"\xed\xa0\x80\"}",
        b"{\"a\":\"\xf4\x90\x80\x80\"}",
        b"{\"a\":\"\xe2\x82\"}",
        b"{\"a\":1}\xc2\xa0",
        b"{\xc2\xa0}",
        b"{\"a\":\x0b1}",
    ] {
        let shown = String::from_utf8_lossy(body);
        assert!(
            serde_json::from_slice::<serde_json::Map<String, Value>>(body).is_err(),
            "serde_json takes {shown}"
        );
        assert!(
            matches!(
                scan(body),
                Err(JsonReject {
                    reason: JsonReason::Syntax(_),
                    ..
                })
            ),
            "{shown:?}: {:?}",
            scan(body)
        );
    }
}

#[test]
fn faults_say_where() {
    let check = |body: &[u8], offset: u64, reason: &str| {
        let reject = scan(body).unwrap_err();
        assert_eq!(
            (reject.offset, reject.reason.to_string().as_str()),
            (offset, reason)
        );
    };
    check(b"{\"a\":\x01}", 5, "the body is not valid JSON: expected a value");
    check(
        b"{\"abc\":\"x\xe2\x82(\"}",
        9,
        "the body is not valid JSON: a byte sequence that is not UTF-8",
    );
    check(
        b"{\"a\":1} {",
        8,
        "the body is not valid JSON: bytes after the end of the document",
    );
    check(
        b"{\"model\":\"a\", \"model\":\"b\"}",
        14,
        "the key \"model\" must not occur twice",
    );
    check(
        b"{\"a\":1,\"MODEL\":2}",
        7,
        "the key \"model\" must be spelt in exactly this letter case",
    );
    check(b"{\"model\": 2}", 10, "the value of \"model\" must be a string");
    check(
        b"{\"a\":",
        5,
        "the body is not valid JSON: the body ends in the middle of the document",
    );
}

#[test]
fn bounds_one_under_and_one_over() {
    let run = |body: &str| {
        scan_pieces(ApiKind::OpenAiChat, body.as_bytes().chunks(4096)).map_err(|reject| reject.reason)
    };
    let nested = |depth: usize| format!("{{\"a\":{}{}}}", "[".repeat(depth - 1), "]".repeat(depth - 1));
    assert!(run(&nested(128)).is_ok());
    assert_eq!(run(&nested(129)), Err(JsonReason::Limit("nested too deeply")));
    let objects = |depth: usize| format!("{}0{}", "{\"a\":".repeat(depth), "}".repeat(depth));
    assert!(run(&objects(128)).is_ok());
    assert_eq!(run(&objects(129)), Err(JsonReason::Limit("nested too deeply")));
    let number = |len: usize| format!("{{\"a\":{}}}", "1".repeat(len));
    assert!(run(&number(64)).is_ok());
    assert_eq!(run(&number(65)), Err(JsonReason::Limit("a number is too long")));
    // The object, one key, the array: three tokens beside the elements.
    let tokens = |count: usize| format!("{{\"a\":[{}1]}}", "1,".repeat(count - 4));
    assert_eq!(run(&tokens(1_000_000)).unwrap().tokens, 1_000_000);
    assert_eq!(
        run(&tokens(1_000_001)),
        Err(JsonReason::Limit("too many keys and values"))
    );
}

#[test]
fn policy_keys_must_be_plain() {
    for key in [
        "model",
        "stream",
        "messages",
        "tools",
        "max_tokens",
        "metadata",
        "service_tier",
        "stream_options",
        "input",
    ] {
        let value = match key {
            "model" | "service_tier" => "\"m\"",
            "stream" => "true",
            "max_tokens" => "1",
            _ => "{}",
        };
        let padding = format!("\"pad\":\"{}\"", "x".repeat(300));
        let escaped = format!("\\u{:04x}{}", key.as_bytes()[0], &key[1..]);
        let title = format!("{}{}", key[..1].to_uppercase(), &key[1..]);
        let long_s = key.replace('s', "\u{17f}").replace('k', "\u{212a}");
        for second in [key.to_owned(), escaped] {
            for body in [
                format!("{{\"{key}\":{value},\"{second}\":{value}}}"),
                format!("{{\"{second}\":{value},{padding},\"{key}\":{value}}}"),
            ] {
                let reject = scan(body.as_bytes()).unwrap_err();
                assert!(
                    matches!(reject.reason, JsonReason::Duplicate(name) if name == key),
                    "{body}: {reject}"
                );
            }
        }
        for variant in [key.to_uppercase(), title, long_s] {
            if variant == key {
                continue;
            }
            let body = format!("{{{padding},\"{variant}\":{value}}}");
            let reject = scan(body.as_bytes()).unwrap_err();
            assert!(
                matches!(reject.reason, JsonReason::CaseVariant(name) if name == key),
                "{body}: {reject}"
            );
        }
        // Deeper down the same words are nobody's business.
        assert!(
            scan(format!("{{\"a\":{{\"{key}\":1,\"{key}\":2}},\"b\":[{{\"{key}\":3}}]}}").as_bytes()).is_ok()
        );
    }
    assert!(scan(br#"{"stream_options":{"include_usage":true,"include_usage":false}}"#).is_err());
    assert!(scan(br#"{"stream_options":{"Include_Usage":true}}"#).is_err());
    assert!(scan(br#"{"metadata":{"user_id":"a","user_id":"b"}}"#).is_err());
    assert!(
        scan_as(
            ApiKind::GeminiGenerate,
            br#"{"generationConfig":{},"generation_config":{}}"#
        )
        .is_err()
    );
    assert!(scan_as(ApiKind::GeminiGenerate, br#"{"generationconfig":{}}"#).is_err());
}

#[test]
fn policy_values_have_their_types() {
    for body in [
        r#"{"model":null}"#,
        r#"{"model":["m"]}"#,
        r#"{"model":{"m":1}}"#,
        r#"{"model":true}"#,
        r#"{"stream":"true"}"#,
        r#"{"stream":1}"#,
        r#"{"stream":[]}"#,
        r#"{"stream_options":[]}"#,
        r#"{"stream_options":true}"#,
        r#"{"stream_options":{"include_usage":"yes"}}"#,
        r#"{"max_tokens":"1"}"#,
        r#"{"background":"x"}"#,
    ] {
        assert!(
            matches!(
                scan(body.as_bytes()),
                Err(JsonReject {
                    reason: JsonReason::WrongType { .. },
                    ..
                })
            ),
            "{body}"
        );
    }
    assert!(
        scan(br#"{"metadata":"x","service_tier":1,"store":"y","prompt_cache_key":[{"model":1}]}"#).is_ok()
    );
}

#[test]
fn a_refusal_stays() {
    let mut scan = BodyScan::new(KeyTable::for_kind(ApiKind::OpenAiChat), JsonLimits::DEFAULT);
    let first = scan.feed(b"{]").unwrap_err();
    assert_eq!(scan.feed(b"{}"), Err(first));
    assert_eq!(scan.finish(), Err(first));
}

/// The document's members in order, doubles included.
struct Members(Vec<(String, Value)>);

impl<'de> serde::Deserialize<'de> for Members {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Collect;
        impl<'de> Visitor<'de> for Collect {
            type Value = Members;
            fn expecting(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
                f.write_str("an object")
            }
            fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Members, A::Error> {
                let mut members = Vec::new();
                while let Some(member) = map.next_entry()? {
                    members.push(member);
                }
                Ok(Members(members))
            }
        }
        deserializer.deserialize_map(Collect)
    }
}

const OPENAI_KEYS: &[&str] = &[
    "model",
    "stream",
    "stream_options",
    "messages",
    "input",
    "prompt",
    "instructions",
    "tools",
    "tool_choice",
    "functions",
    "max_tokens",
    "max_completion_tokens",
    "max_output_tokens",
    "n",
    "metadata",
    "client_metadata",
    "litellm_session_id",
    "prompt_cache_key",
    "previous_response_id",
    "background",
    "store",
    "service_tier",
];

/// What a reader with the whole document would say: `None` refuses, else the model and `stream`. Nothing but top-level
/// rules; the generator makes no watched nested members.
fn naive(body: &[u8]) -> Option<(Option<String>, Option<bool>)> {
    let Members(members) = serde_json::from_slice(body).ok()?;
    let fold = |key: &str| {
        key.replace('\u{17f}', "s")
            .replace('\u{212a}', "k")
            .to_ascii_lowercase()
    };
    let mut seen = Vec::new();
    for (key, value) in &members {
        let Some(policy) = OPENAI_KEYS.iter().find(|policy| **policy == fold(key)) else {
            continue;
        };
        let typed = match *policy {
            "model" => value.as_str().is_some_and(|model| model.len() <= 256),
            "stream" | "background" => value.is_boolean() || value.is_null(),
            "stream_options" => value.is_object() || value.is_null(),
            "max_tokens" | "max_completion_tokens" | "max_output_tokens" | "n" => {
                value.is_number() || value.is_null()
            }
            _ => true,
        };
        if key != policy || seen.contains(policy) || !typed {
            return None;
        }
        seen.push(*policy);
    }
    let first = |name: &str| {
        members
            .iter()
            .find(|(key, _)| key == name)
            .map(|(_, value)| value)
    };
    let last = |name: &str| {
        members
            .iter()
            .rev()
            .find(|(key, _)| key == name)
            .map(|(_, value)| value)
    };
    assert_eq!(first("model"), last("model"));
    Some((
        first("model").and_then(Value::as_str).map(str::to_owned),
        first("stream").and_then(Value::as_bool),
    ))
}

fn json_text() -> impl Strategy<Value = String> {
    let leaf = prop_oneof![
        Just("null".to_owned()),
        Just("true".to_owned()),
        Just("false".to_owned()),
        "-?(0|[1-9][0-9]{0,6})(\\.[0-9]{1,4})?([eE][+-]?[0-9]{1,2})?",
        any::<String>().prop_map(|text| serde_json::to_string(&text).unwrap()),
        Just(r#""\ud83d\ude00 \u00e9\n""#.to_owned()),
        Just(r#""\ud83d""#.to_owned()),
    ];
    leaf.prop_recursive(4, 24, 4, |inner| {
        prop_oneof![
            proptest::collection::vec(inner.clone(), 0..4)
                .prop_map(|items| format!("[{}]", items.join(" , "))),
            proptest::collection::vec(("[a-z]{0,3}|model|stream", inner), 0..4).prop_map(|members| {
                let members: Vec<_> = members
                    .iter()
                    .map(|(key, value)| format!("\"{key}\" :{value}"))
                    .collect();
                format!("{{{}}}", members.join(","))
            }),
        ]
    })
}

fn member() -> impl Strategy<Value = String> {
    let key = prop_oneof![
        3 => "[a-z]{1,5}",
        3 => proptest::sample::select(OPENAI_KEYS).prop_map(str::to_owned),
        1 => proptest::sample::select(&["Model", "MODEL", "mod\\u0065l", "\\u006dodel", "ſtream", "Messages", "too\\u006cs", "model ", "models"][..])
            .prop_map(str::to_owned),
    ];
    (
        key,
        prop_oneof![
            json_text(),
            Just("\"gpt-5\"".to_owned()),
            Just("true".to_owned()),
            Just("7".to_owned())
        ],
    )
        .prop_map(|(key, value)| format!("\"{key}\": {value}"))
}

fn document() -> impl Strategy<Value = Vec<u8>> {
    proptest::collection::vec(member(), 0..6)
        .prop_map(|members| format!("{{ {} }}\n", members.join(" ,\n")).into_bytes())
}

/// Documents with up to three bytes replaced, put in or taken out.
fn damaged() -> impl Strategy<Value = Vec<u8>> {
    let interesting =
        proptest::sample::select(&b"{}[],:\"\\0123eE+-.truefalsn \n\x00\x1f\x80\xc3\xe2\xf0\xff/*"[..]);
    let change = (any::<prop::sample::Index>(), 0u8..3, interesting);
    (document(), proptest::collection::vec(change, 0..4)).prop_map(|(mut body, changes)| {
        for (place, what, byte) in changes {
            let at = place.index(body.len().max(1)).min(body.len().saturating_sub(1));
            match what {
                0 if !body.is_empty() => body[at] = byte,
                1 if !body.is_empty() => drop(body.remove(at)),
                _ => body.insert(at, byte),
            }
        }
        body
    })
}

/// serde_json refuses numbers that no `f64` holds; the grammar knows no such bound.
fn out_of_range(body: &[u8]) -> bool {
    serde_json::from_slice::<Value>(body).is_err_and(|error| error.to_string().contains("out of range"))
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(ProptestConfig::default().cases.max(2000)))]

    #[test]
    fn the_scanner_and_a_whole_reader_agree(body in damaged(), size in 1usize..40) {
        let fast = scan_pieces(ApiKind::OpenAiChat, body.chunks(size));
        let shown = String::from_utf8_lossy(&body).into_owned();
        prop_assert_eq!(&scan_pieces(ApiKind::OpenAiChat, std::iter::once(&body[..])), &fast, "{}", shown);
        if out_of_range(&body) {
            return Ok(());
        }
        // A nested `include_usage` cannot occur: the generator has no such key.
        let slow = naive(&body);
        let fast_short = fast.as_ref().ok().map(|facts| (facts.model.as_ref().map(|model| model.value.clone()), facts.stream));
        prop_assert_eq!(&fast_short, &slow, "{}: {:?}", shown, fast);
        if let Ok(Facts { model: Some(model), .. }) = &fast {
            let quoted = &body[model.span.start as usize..model.span.end as usize];
            prop_assert_eq!(&serde_json::from_slice::<String>(quoted).unwrap(), &model.value);
        }
    }

    #[test]
    fn noise_is_never_a_panic(body in proptest::collection::vec(any::<u8>(), 0..200)) {
        sluice_proto::json::fuzz::fuzz_json(&body);
    }
}

#[test]
fn limits_on_output_say_where_they_stand() {
    let check = |kind, body: &str, expected: &[(&str, Option<u64>, &str)]| {
        let facts = scan_as(kind, body.as_bytes()).unwrap();
        let found: Vec<_> = facts
            .output_limits
            .iter()
            .map(|limit| {
                let text = &body[limit.span.start as usize..limit.span.end as usize];
                (limit.name, limit.value, text)
            })
            .collect();
        assert_eq!(found, expected, "{body}");
    };
    check(
        ApiKind::OpenAiChat,
        r#"{"max_tokens": 100 ,"max_completion_tokens":null,"n":2,"x":{"max_tokens":9}}"#,
        &[
            ("max_tokens", Some(100), "100"),
            ("max_completion_tokens", None, "null"),
        ],
    );
    check(
        ApiKind::OllamaChat,
        r#"{"options":{"num_predict":-1,"x":{"num_predict":3}}}"#,
        &[("num_predict", None, "-1")],
    );
    check(
        ApiKind::GeminiGenerate,
        r#"{"generation_config":{"maxOutputTokens":1.5e1}}"#,
        &[("maxOutputTokens", Some(15), "1.5e1")],
    );
    check(
        ApiKind::BedrockInvoke,
        r#"{"max_gen_len":7,"textGenerationConfig":{"maxTokenCount":8},"inferenceConfig":{"max_new_tokens":9}}"#,
        &[
            ("max_gen_len", Some(7), "7"),
            ("maxTokenCount", Some(8), "8"),
            ("max_new_tokens", Some(9), "9"),
        ],
    );
}

#[test]
fn the_object_of_the_limit_is_found_in_every_shape() {
    let check = |body: &str, expected: Option<ConfigShape>| {
        let facts = scan_as(ApiKind::GeminiGenerate, body.as_bytes()).unwrap();
        let config = facts.generation_config;
        assert!(config.as_ref().is_none_or(|c| c.name == "generationConfig"));
        assert_eq!(config.map(|c| c.shape), expected, "{body}");
    };
    let object = |open, is_empty| Some(ConfigShape::Object { open, is_empty });
    check(r#"{"contents":[]}"#, None);
    check(r#"{"generationConfig":{}}"#, object(21, true));
    check(r#"{"generationConfig": {"a":{}}}"#, object(22, false));
    check(r#"{"generationConfig": null }"#, Some(ConfigShape::Null(21..25)));
    check(r#"{"generationConfig":[{}]}"#, Some(ConfigShape::Other));
    check(r#"{"generationConfig":"x"}"#, Some(ConfigShape::Other));
}

#[test]
fn prompts_and_choices_are_counted() {
    let check = |body: &str, prompts: u32, choices: Option<u64>| {
        let facts = scan_as(ApiKind::OpenAiCompletions, body.as_bytes()).unwrap();
        assert_eq!((facts.prompts, facts.choices), (prompts, choices), "{body}");
    };
    check(r#"{"prompt":"a"}"#, 0, None);
    check(r#"{"prompt":[]}"#, 0, None);
    check(r#"{"prompt":["a","b"],"n":2}"#, 2, Some(2));
    check(r#"{"prompt":[[1,2],[3]],"n":2,"best_of":5}"#, 5, Some(5));
    check(r#"{"n":2,"messages":["a","b"]}"#, 0, Some(2));
}

/// A member of a document that names limits, in or out of the object that they belong to.
fn limiting() -> impl Strategy<Value = (String, String)> {
    let limits = prop::sample::select(vec![
        "max_tokens",
        "max_completion_tokens",
        "max_output_tokens",
        "maxOutputTokens",
        "maxTokens",
        "max_new_tokens",
        "max_gen_len",
        "maxTokenCount",
        "num_predict",
        "model",
        "temperature",
    ]);
    let numbers = prop::sample::select(vec![
        "null",
        "0",
        "1",
        "16",
        "17",
        "18",
        "1e3",
        "-1",
        "0.5",
        "18446744073709551615",
        "1e99",
        "\"x\"",
        "{}",
    ]);
    let plain = (limits, numbers).prop_map(|(name, value)| (name.to_owned(), value.to_owned()));
    let configs = prop::sample::select(vec![
        "generationConfig",
        "generation_config",
        "inferenceConfig",
        "textGenerationConfig",
        "options",
    ]);
    let inner = prop_oneof![
        proptest::collection::vec(plain.clone(), 0..3).prop_map(|members| braced(&members)),
        prop::sample::select(vec!["null", "[]", "1", "{ }"]).prop_map(str::to_owned),
    ];
    let config = (configs, inner).prop_map(|(name, value)| (name.to_owned(), value));
    prop_oneof![plain, config]
}

fn braced(members: &[(String, String)]) -> String {
    let members: Vec<String> = members
        .iter()
        .map(|(name, value)| format!("\"{name}\": {value}"))
        .collect();
    format!("{{{}}}", members.join(","))
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(2_000))]

    #[test]
    fn whatever_limits_a_document_names_they_can_be_lowered(
        kind in 0u8..22,
        members in proptest::collection::vec(limiting(), 0..5),
    ) {
        let mut input = vec![kind];
        input.extend_from_slice(braced(&members).as_bytes());
        sluice_proto::json::fuzz::fuzz_json(&input);
    }
}
