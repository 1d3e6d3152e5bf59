//! Which session, agent and parent a request names, and the fingerprints of those that name none.

#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

use proptest::prelude::*;
use serde_json::{Value, json};
use sluice_proto::json::{BodyScan, Facts, JsonLimits, KeyTable};
use sluice_proto::session::{Session, session};
use sluice_shared::api::ApiKind;
use sluice_shared::usage::SessionSource;

fn facts(kind: ApiKind, body: &[u8]) -> Facts {
    let mut scan = BodyScan::new(KeyTable::for_kind(kind), JsonLimits::DEFAULT);
    scan.feed(body).unwrap();
    scan.finish().unwrap()
}

fn no_headers(_: &str) -> Option<&'static [u8]> {
    None
}

/// The session of a body without headers; the same in chunks of every small size.
#[track_caller]
fn of_body(kind: ApiKind, body: &str) -> Session {
    let facts = facts(kind, body.as_bytes());
    let whole = session(kind, no_headers, &facts, &[body.as_bytes()]);
    for size in [1, 2, 3, 7, 64] {
        let chunks: Vec<&[u8]> = body.as_bytes().chunks(size).collect();
        assert_eq!(
            session(kind, no_headers, &facts, &chunks),
            whole,
            "chunks of {size}: {body}"
        );
    }
    whole
}

#[track_caller]
fn print(kind: ApiKind, body: &Value) -> Option<String> {
    let session = of_body(kind, &body.to_string());
    assert_eq!(
        session.source,
        if session.key.is_some() {
            SessionSource::Fingerprint
        } else {
            SessionSource::None
        }
    );
    session.key
}

#[test]
fn sessions_in_their_order() {
    let check = |headers: &[(&str, &[u8])], facts: &Facts, expected: Option<&str>| {
        let look_up = |name: &str| {
            headers
                .iter()
                .find(|(key, _)| *key == name)
                .map(|(_, value)| *value)
        };
        assert_eq!(
            session(ApiKind::OpenAiChat, look_up, facts, &[]).key.as_deref(),
            expected,
            "{headers:?}"
        );
    };
    let none = Facts::default();
    let user = |id: &str| Facts {
        metadata_user_id: Some(id.to_owned()),
        ..Facts::default()
    };
    let text = |value: &str| Some(value.to_owned());
    check(&[], &none, None);
    check(
        &[("x-claude-code-session-id", b"c"), ("session-id", b"s")],
        &user("user_x_account__session_u"),
        Some("c"),
    );
    check(
        &[("session-id", b"s")],
        &user("user_x_account__session_u"),
        Some("u"),
    );
    check(
        &[],
        &user(r#"{"device_id":"d","account_uuid":"","session_id":"u-1"}"#),
        Some("u-1"),
    );
    check(&[("session-id", b"s")], &user(r#"{"device_id":"d"}"#), Some("s"));
    check(&[("session-id", b"s")], &user("alice"), Some("s"));
    check(
        &[("session-id", b"s")],
        &user(r#"{"session_id":"a","session_id":"b"}"#),
        Some("s"),
    );
    check(&[("session_id", b"s"), ("thread-id", b"t")], &none, Some("s"));
    check(&[("thread-id", b"t"), ("x-session-id", b"x")], &none, Some("t"));
    check(
        &[("x-session-affinity", b"a"), ("x-client-session-id", b"x")],
        &none,
        Some("a"),
    );
    check(
        &[("x-client-session-id", b"x"), ("x-litellm-session-id", b"l")],
        &none,
        Some("x"),
    );
    let all = Facts {
        client_metadata_session_id: text("cm"),
        litellm_session_id: text("ll"),
        prompt_cache_key: text("pck"),
        previous_response_id: text("prev"),
        ..Facts::default()
    };
    check(&[("thread-id", b"t")], &all, Some("cm"));
    check(
        &[],
        &Facts {
            client_metadata_session_id: None,
            ..all.clone()
        },
        Some("ll"),
    );
    check(
        &[],
        &Facts {
            client_metadata_session_id: None,
            litellm_session_id: None,
            ..all.clone()
        },
        Some("pck"),
    );
    check(
        &[],
        &Facts {
            previous_response_id: text("prev"),
            ..Facts::default()
        },
        Some("prev"),
    );
    // Unfit values are passed over.
    check(&[("session-id", b""), ("thread-id", b"t")], &none, Some("t"));
    check(
        &[("session-id", b"a\x07b"), ("thread-id", b"t")],
        &none,
        Some("t"),
    );
    check(&[("session-id", b"\xff"), ("thread-id", b"t")], &none, Some("t"));
    check(
        &[("session-id", "x".repeat(257).as_bytes()), ("thread-id", b"t")],
        &none,
        Some("t"),
    );
    check(
        &[("session-id", "x".repeat(256).as_bytes())],
        &none,
        Some(&"x".repeat(256)),
    );
}

#[test]
fn sources_agents_and_parents_by_client() {
    use SessionSource::{Body, Header, None as Nowhere};
    type Expected = (
        Option<&'static str>,
        SessionSource,
        Option<&'static str>,
        Option<&'static str>,
    );
    let check = |client: &str, headers: &[(&str, &str)], body: Value, expected: Expected| {
        let body = body.to_string();
        let look_up = |name: &str| {
            headers
                .iter()
                .find(|(key, _)| *key == name)
                .map(|(_, value)| value.as_bytes())
        };
        let got = session(
            ApiKind::OpenAiResponses,
            look_up,
            &facts(ApiKind::OpenAiResponses, body.as_bytes()),
            &[body.as_bytes()],
        );
        let got = (
            got.key.as_deref(),
            got.source,
            got.agent.as_deref(),
            got.parent.as_deref(),
        );
        assert_eq!(got, expected, "{client}");
    };
    let claude = "x-claude-code-session-id";
    check(
        "Claude Code",
        &[(claude, "s")],
        json!({}),
        (Some("s"), Header, None, None),
    );
    check(
        "Claude Code, a sub-agent",
        &[(claude, "s"), ("x-claude-code-agent-id", "a")],
        json!({}),
        (Some("s"), Header, Some("a"), None),
    );
    check(
        "Claude Code, the agent of an agent",
        &[
            (claude, "s"),
            ("x-claude-code-agent-id", "b"),
            ("x-claude-code-parent-agent-id", "a"),
        ],
        json!({}),
        (Some("s"), Header, Some("b"), Some("a")),
    );
    check(
        "Claude Code without its headers",
        &[],
        json!({"metadata": {"user_id": "{\"device_id\":\"d\",\"session_id\":\"s\"}"}}),
        (Some("s"), Body, None, None),
    );
    let thread = [
        ("session-id", "s"),
        ("thread-id", "s"),
        ("x-client-request-id", "s"),
    ];
    check(
        "Codex",
        &thread,
        json!({"prompt_cache_key": "s"}),
        (Some("s"), Header, None, None),
    );
    check(
        "Codex, a thread of its own",
        &[
            ("session-id", "s"),
            ("thread-id", "t"),
            ("x-codex-parent-thread-id", "s"),
            ("x-openai-subagent", "review"),
        ],
        json!({}),
        (Some("s"), Header, Some("t"), Some("s")),
    );
    check(
        "Codex, a task of the main thread",
        &[
            ("session-id", "s"),
            ("thread-id", "s"),
            ("x-openai-subagent", "compact"),
        ],
        json!({}),
        (Some("s"), Header, Some("compact"), None),
    );
    check(
        "Codex of before",
        &[("session_id", "s"), ("conversation_id", "t")],
        json!({}),
        (Some("s"), Header, Some("t"), None),
    );
    check(
        "Codex by its body",
        &[],
        json!({"client_metadata": {"session_id": "s"}}),
        (Some("s"), Body, None, None),
    );
    check(
        "opencode",
        &[
            ("x-session-id", "ses_2"),
            ("x-session-affinity", "ses_2"),
            ("x-parent-session-id", "ses_1"),
        ],
        json!({"prompt_cache_key": "ses_2"}),
        (Some("ses_2"), Header, None, Some("ses_1")),
    );
    check(
        "Copilot",
        &[
            ("x-client-session-id", "s"),
            ("x-agent-task-id", "t"),
            ("x-interaction-id", "i"),
        ],
        json!({}),
        (Some("s"), Header, Some("t"), None),
    );
    check(
        "a chain",
        &[],
        json!({"previous_response_id": "resp_1"}),
        (Some("resp_1"), Body, None, None),
    );
    check("nobody", &[], json!({"model": "m"}), (None, Nowhere, None, None));
    // Unfit ids are passed over one by one.
    let long = "x".repeat(1 << 20);
    check(
        "a megabyte",
        &[
            (claude, &long),
            ("session-id", "s"),
            ("x-claude-code-agent-id", &long),
            ("thread-id", &long),
            ("x-openai-subagent", "a\u{7}"),
        ],
        json!({"prompt_cache_key": long}),
        (Some("s"), Header, None, None),
    );
}

#[test]
fn unfit_bytes_name_no_agent() {
    for bad in [&b"\xff\xfe"[..], b"a\x00b", b"", b"  "] {
        let look_up =
            |name: &str| (name == "x-claude-code-agent-id" || name == "x-parent-session-id").then_some(bad);
        let got = session(ApiKind::AnthropicMessages, look_up, &Facts::default(), &[]);
        assert_eq!((got.agent, got.parent, got.key), (None, None, None), "{bad:?}");
    }
}

/// For each kind: the same conversation's beginning in its forms, all with one fingerprint.
#[test]
fn a_conversation_keeps_its_fingerprint() {
    let check = |kind: ApiKind, same: &[Value], others: &[Value]| {
        let first = print(kind, &same[0]).unwrap();
        assert!(first.starts_with("fp-") && first.len() == 19, "{first}");
        for body in same {
            assert_eq!(print(kind, body).as_ref(), Some(&first), "{kind:?} {body}");
            let pretty = serde_json::to_string_pretty(body).unwrap();
            assert_eq!(of_body(kind, &pretty).key.as_ref(), Some(&first), "{pretty}");
            let escaped = pretty
                .replace('H', "\\u0048")
                .replace('é', "\\u00e9")
                .replace('😀', "\\ud83d\\ude00");
            assert_eq!(of_body(kind, &escaped).key.as_ref(), Some(&first), "{escaped}");
        }
        let mut seen = vec![first];
        for body in others {
            let other = print(kind, body);
            assert!(
                other.as_ref().is_none_or(|other| !seen.contains(other)),
                "{kind:?} {body}"
            );
            seen.extend(other);
        }
    };
    let hello = "Héllo 😀 \n \"quoted\" \\ end";
    check(
        ApiKind::OpenAiChat,
        &[
            json!({"model": "m", "messages": [{"role": "system", "content": "S"}, {"role": "user", "content": hello}]}),
            json!({"messages": [{"content": [{"text": "S", "type": "text"}], "role": "system"}, {"content": hello, "role": "user"}], "model": "other"}),
            json!({"messages": [{"role": "developer", "content": "S"}, {"role": "user", "name": "n", "content": [
                {"type": "image_url", "image_url": {"url": "data:image/png;base64,AAAA"}}, {"type": "text", "text": hello}]},
                {"role": "assistant", "content": "more", "tool_calls": [{"id": "c", "function": {"name": "f", "arguments": "{}"}}]},
                {"role": "tool", "tool_call_id": "c", "content": "t"}, {"role": "user", "content": "further"}]}),
        ],
        &[
            json!({"messages": [{"role": "system", "content": "S2"}, {"role": "user", "content": hello}]}),
            json!({"messages": [{"role": "user", "content": hello}]}),
            json!({"messages": [{"role": "system", "content": "S"}, {"role": "user", "content": "other"}]}),
            json!({"messages": [{"role": "system", "content": "S"}, {"role": "assistant", "content": hello}, {"role": "user", "content": "x"}]}),
        ],
    );
    check(
        ApiKind::AnthropicMessages,
        &[
            json!({"system": "S", "messages": [{"role": "user", "content": hello}]}),
            json!({"messages": [{"role": "user", "content": [{"type": "text", "text": hello, "cache_control": {"type": "ephemeral"}}]}],
                "system": [{"cache_control": {"type": "ephemeral", "ttl": "1h"}, "type": "text", "text": "S"}]}),
            json!({"messages": [{"content": hello, "role": "user"}, {"role": "assistant", "content": "a"},
                {"role": "user", "content": [{"type": "tool_result", "tool_use_id": "t", "content": "r", "cache_control": {"type": "ephemeral"}}]}],
                "system": [{"type": "text", "text": "S"}], "tools": [{"name": "f", "input_schema": {"text": "no", "content": "no"}}]}),
        ],
        &[
            json!({"system": "T", "messages": [{"role": "user", "content": hello}]}),
            json!({"messages": [{"role": "user", "content": hello}]}),
        ],
    );
    check(
        ApiKind::OpenAiResponses,
        &[
            json!({"instructions": "S", "input": hello}),
            json!({"input": [{"role": "user", "content": hello}], "instructions": "S"}),
            json!({"instructions": "S", "input": [{"type": "message", "role": "user", "content": [{"type": "input_text", "text": hello}]},
                {"type": "function_call", "name": "f", "arguments": "{}", "call_id": "c"}, {"type": "function_call_output", "call_id": "c", "output": "o"}]}),
        ],
        &[
            json!({"input": hello}),
            json!({"instructions": "S", "input": "x"}),
        ],
    );
    for kind in [ApiKind::GeminiGenerate, ApiKind::VertexGenerate] {
        check(
            kind,
            &[
                json!({"systemInstruction": {"parts": [{"text": "S"}]}, "contents": [{"role": "user", "parts": [{"text": hello}]}]}),
                json!({"contents": [{"parts": [{"text": hello}]}, {"role": "model", "parts": [{"text": "m"}]}], "system_instruction": {"role": "system", "parts": {"text": "S"}}}),
                json!({"contents": {"parts": [{"inlineData": {"mimeType": "image/png", "data": "AAAA"}}, {"text": hello}]}, "systemInstruction": {"parts": [{"text": "S"}]}}),
            ],
            &[
                json!({"contents": [{"role": "model", "parts": [{"text": hello}]}, {"role": "user", "parts": [{"text": "x"}]}], "systemInstruction": {"parts": [{"text": "S"}]}}),
            ],
        );
    }
    check(
        ApiKind::BedrockConverse,
        &[
            json!({"system": [{"text": "S"}], "messages": [{"role": "user", "content": [{"text": hello}]}]}),
            json!({"messages": [{"role": "user", "content": [{"text": hello}, {"cachePoint": {"type": "default"}}]}, {"role": "assistant", "content": [{"text": "a"}]}],
                "system": [{"text": "S"}, {"cachePoint": {"type": "default"}}]}),
        ],
        &[json!({"messages": [{"role": "user", "content": [{"text": "x"}]}]})],
    );
    check(
        ApiKind::BedrockInvoke,
        &[
            json!({"anthropic_version": "bedrock-2023-05-31", "messages": [{"role": "user", "content": hello}]}),
            json!({"prompt": hello}),
        ],
        &[json!({"prompt": "x"}), json!({"inputText": hello})],
    );
    check(
        ApiKind::OllamaChat,
        &[
            json!({"model": "m", "messages": [{"role": "user", "content": hello}]}),
            json!({"prompt": hello, "model": "m"}),
        ],
        &[json!({"prompt": hello, "system": "S"})],
    );
    check(
        ApiKind::OpenAiCompletions,
        &[json!({"prompt": hello}), json!({"prompt": [hello, "second"]})],
        &[json!({"prompt": "x"})],
    );
}

#[test]
fn no_user_message_no_fingerprint() {
    let check = |kind: ApiKind, body: Value| assert_eq!(print(kind, &body), None, "{kind:?} {body}");
    check(ApiKind::OpenAiEmbeddings, json!({"input": "text"}));
    check(ApiKind::OllamaEmbed, json!({"input": "text"}));
    check(
        ApiKind::GeminiEmbed,
        json!({"content": {"parts": [{"text": "t"}]}}),
    );
    check(ApiKind::OpenAiModerations, json!({"input": "text"}));
    check(ApiKind::OpenAiImages, json!({"prompt": "a cat"}));
    check(ApiKind::OpenAiChat, json!({}));
    check(ApiKind::OpenAiChat, json!({"messages": null}));
    check(ApiKind::OpenAiChat, json!({"messages": []}));
    check(
        ApiKind::OpenAiChat,
        json!({"messages": [[], 1, "", null, {}, {"role": "user"}, {"role": "user", "content": ""}]}),
    );
    check(
        ApiKind::OpenAiChat,
        json!({"messages": [{"role": "system", "content": "S"}, {"role": "assistant", "content": "a"}]}),
    );
    check(
        ApiKind::OpenAiChat,
        json!({"messages": [{"role": "user", "content": [{"type": "image_url", "image_url": {"url": "u"}}]}]}),
    );
    check(ApiKind::OpenAiCompletions, json!({"prompt": [1, 2, 3]}));
    check(
        ApiKind::OpenAiResponses,
        json!({"prompt": {"id": "pmpt_1", "variables": {"text": "t"}}}),
    );
    // Named or chained: no fingerprint is made.
    let chained = of_body(
        ApiKind::OpenAiResponses,
        r#"{"input":"hi","previous_response_id":"resp_1"}"#,
    );
    assert_eq!(
        (chained.key.as_deref(), chained.source),
        (Some("resp_1"), SessionSource::Body)
    );
}

#[test]
fn what_is_read_is_bounded() {
    let body =
        |system: &str, user: &str| json!({"system": system, "messages": [{"content": user, "role": "user"}]});
    let kind = ApiKind::AnthropicMessages;
    let of = |body: &Value| {
        let text = body.to_string();
        session(
            kind,
            no_headers,
            &facts(kind, text.as_bytes()),
            &[text.as_bytes()],
        )
        .key
    };
    let long = "x".repeat(32 << 10);
    // What comes after 32 KiB of text does not count, what comes before does.
    assert_eq!(
        of(&body("s", &format!("{long}a"))),
        of(&body("s", &format!("{long}b")))
    );
    assert_ne!(
        of(&body("s", &format!("a{long}"))),
        of(&body("s", &format!("b{long}")))
    );
    assert_eq!(
        of(&body(&format!("{long}a"), "u")),
        of(&body(&format!("{long}b"), "u"))
    );
    // A message too long to be read to its end, its role last; a picture before the text that is too large to pass over.
    let huge = "y".repeat(4 << 20);
    assert!(of(&body("s", &huge)).is_some());
    let picture = json!({"messages": [{"role": "user", "content": [{"type": "image", "source": {"data": huge}}, {"type": "text", "text": "t"}]}]});
    assert_eq!(of(&picture), None);
    // Nested as deeply as a body may be.
    let deep = format!("{}\"t\"{}", "[".repeat(120), "]".repeat(120));
    let deep = of_body(
        kind,
        &format!(r#"{{"messages":[{{"role":"user","content":{deep}}},{{"role":"user","content":"t"}}]}}"#),
    );
    let plain = of_body(kind, r#"{"messages":[{"role":"user","content":"t"}]}"#);
    assert_eq!(deep.key, plain.key);
}

fn words() -> impl Strategy<Value = String> {
    "[a-zA-Z \"\\\\\u{e9}\u{1F600}\n]{1,40}"
}

fn keys_reversed(value: &Value) -> Value {
    match value {
        Value::Object(members) => members
            .iter()
            .rev()
            .map(|(key, value)| (key.clone(), keys_reversed(value)))
            .collect::<serde_json::Map<_, _>>()
            .into(),
        Value::Array(items) => items.iter().map(keys_reversed).collect(),
        other => other.clone(),
    }
}

proptest! {
    #[test]
    fn later_turns_marks_space_and_order_change_nothing(
        system in proptest::option::of(words()),
        user in words(),
        later in proptest::collection::vec((words(), words()), 0..4),
        marked in 0..4_usize,
        other in words(),
    ) {
        let turns = |turns: usize, marked: usize| {
            let mark = |index: usize, text: &str| if index == marked {
                json!([{"type": "text", "text": text, "cache_control": {"type": "ephemeral"}}])
            } else {
                json!(text)
            };
            let mut messages = vec![json!({"role": "user", "content": mark(0, &user)})];
            for (index, (answer, further)) in later.iter().take(turns).enumerate() {
                messages.push(json!({"role": "assistant", "content": answer}));
                messages.push(json!({"role": "user", "content": mark(index + 1, further)}));
            }
            let mut body = json!({"model": "m", "messages": messages});
            if let Some(system) = &system {
                body["system"] = mark(3, system);
            }
            body
        };
        let kind = ApiKind::AnthropicMessages;
        let of = |body: &str| session(kind, no_headers, &facts(kind, body.as_bytes()), &[body.as_bytes()]).key;
        let first = of(&turns(0, 9).to_string());
        prop_assert!(first.is_some());
        let all = turns(later.len(), marked);
        prop_assert_eq!(of(&all.to_string()), first.clone());
        prop_assert_eq!(of(&serde_json::to_string_pretty(&all).unwrap()), first.clone());
        prop_assert_eq!(of(&keys_reversed(&all).to_string()), first.clone());
        if other != user {
            let mut changed = turns(0, 9);
            changed["messages"][0]["content"] = json!(other);
            prop_assert_ne!(of(&changed.to_string()), first.clone());
        }
        if system.as_ref() != Some(&other) {
            let mut changed = turns(0, 9);
            changed["system"] = json!(other);
            prop_assert_ne!(of(&changed.to_string()), first);
        }
    }

    #[test]
    fn any_bytes_at_any_place_end(
        body in proptest::collection::vec(prop_oneof![Just(b'"'), Just(b'{'), Just(b'}'), Just(b'['), Just(b']'), Just(b'\\'), Just(b'u'), Just(b','), any::<u8>()], 0..200),
        dialogue in 0..220_u64,
        system in 0..220_u64,
        size in 1..20_usize,
    ) {
        let facts = Facts { dialogue: Some(dialogue), system: Some(system), ..Facts::default() };
        let chunks: Vec<&[u8]> = body.chunks(size).collect();
        for kind in ApiKind::ALL {
            let whole = session(*kind, no_headers, &facts, &[&body]);
            prop_assert_eq!(session(*kind, no_headers, &facts, &chunks), whole);
        }
    }
}
