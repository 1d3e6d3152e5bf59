use proptest::prelude::*;
use serde_json::{Value, json};
use sluice_proto::guard::{GuardSet, Guards, RequestVerdict};
use sluice_proto::json::{BodyScan, Facts, JsonLimits, KeyTable};
use sluice_proto::splice::Edits;
use sluice_shared::api::ApiKind;
use sluice_shared::snapshot::{GuardAction, GuardCaps, Guardrail, ToolRule};
use sluice_shared::usage::{Action, VERDICTS_MAX};

use crate::samples::{ALNUM, all, drawn};
use crate::{rule, set};

fn facts(kind: ApiKind, body: &[u8]) -> Facts {
    let mut scan = BodyScan::new(KeyTable::for_kind(kind), JsonLimits::DEFAULT);
    scan.feed(body).unwrap();
    scan.finish().unwrap()
}

fn judge_as(kind: ApiKind, set: &GuardSet, body: &str) -> RequestVerdict {
    set.request(kind, "model", &facts(kind, body.as_bytes()), body.as_bytes())
}

fn judge(set: &GuardSet, body: &str) -> RequestVerdict {
    judge_as(ApiKind::OpenAiChat, set, body)
}

fn edited(body: &[u8], verdict: &RequestVerdict) -> String {
    let edits = Edits::new(verdict.edits.clone()).unwrap();
    let chunks = [body];
    String::from_utf8(edits.pieces(&chunks).collect::<Vec<_>>().concat()).unwrap()
}

fn redacted(set: &GuardSet, body: &str) -> String {
    let verdict = judge(set, body);
    assert_eq!(verdict.blocked, None);
    edited(body.as_bytes(), &verdict)
}

fn what(verdict: &RequestVerdict) -> Vec<(&str, Action, u32)> {
    let one = |v: &'_ sluice_shared::usage::Verdict| (v.action, v.count);
    verdict
        .verdicts
        .iter()
        .map(|v| (v.what.as_str(), one(v).0, one(v).1))
        .collect()
}

#[test]
fn exactly_what_is_found_gives_way() {
    let set = set(rule(&["email", "card"]));
    let check = |body: &str, expected: &str| assert_eq!(redacted(&set, body), expected, "{body}");
    check(
        r#"{"model":"m", "messages":[{"role":"user","content":"I am jo@example.org, 4111 2223 3344 4550."}]}"#,
        r#"{"model":"m", "messages":[{"role":"user","content":"I am [REDACTED:email], [REDACTED:card]."}]}"#,
    );
    // Escapes, also of two units, before and within.
    check(
        r#"{"a":"\ud83d\ude00\njo\u0040ex\u0061mple.org\t!"}"#,
        r#"{"a":"\ud83d\ude00\n[REDACTED:email]\t!"}"#,
    );
    check(
        r#"{"a":"\"\/jo@example.org\/\""}"#,
        r#"{"a":"\"\/[REDACTED:email]\/\""}"#,
    );
    check(r#"{"a":"ü jo@example.org ü"}"#, r#"{"a":"ü [REDACTED:email] ü"}"#);
    // Ids, signatures and hidden thoughts are the provider's.
    let kept = r#"{"messages":[{"id":"jo@example.org","tool_call_id":"jo@example.org","signature":"jo@example.org","encrypted_content":"jo@example.org","thoughtSignature":"jo@example.org"}]}"#;
    check(kept, kept);
    // Where the keys are the client's own they protect nothing, and numbers count.
    check(
        r#"{"messages":[{"type":"tool_use","id":"x","input":{"id":"jo@example.org","card":4111222333444550,"n":12}}]}"#,
        r#"{"messages":[{"type":"tool_use","id":"x","input":{"id":"[REDACTED:email]","card":"[REDACTED:card]","n":12}}]}"#,
    );
    // Arguments are JSON in a string.
    check(
        r#"{"messages":[{"tool_calls":[{"id":"c","function":{"name":"f","arguments":"{\"to\":\"jo\\u0040example.org\",\"card\":4111222333444550}"}}]}]}"#,
        r#"{"messages":[{"tool_calls":[{"id":"c","function":{"name":"f","arguments":"{\"to\":\"[REDACTED:email]\",\"card\":\"[REDACTED:card]\"}"}}]}]}"#,
    );
}

#[test]
fn files_are_not_read() {
    let set = set(rule(&["all"]));
    // Base64 that holds what would be found as text.
    let file = format!("{}/4111222333444550/{}==", drawn(ALNUM, 300), drawn(ALNUM, 300));
    for body in [
        format!(r#"{{"source":{{"type":"base64","media_type":"image/png","data":"{file}"}}}}"#),
        format!(r#"{{"image_url":{{"url":"data:image/png;base64,{file}"}}}}"#),
        format!(r#"{{"inlineData":{{"mimeType":"image/png","data":"{file}"}}}}"#),
        format!(r#"{{"images":["{file}"]}}"#),
    ] {
        assert_eq!(judge(&set, &body), RequestVerdict::default(), "{body}");
    }
    let text = format!(
        r#"{{"source":{{"type":"text","data":"{} 4111222333444550"}}}}"#,
        drawn(ALNUM, 300)
    );
    assert_eq!(judge(&set, &text).edits.len(), 1);
}

#[test]
fn a_replacement_stays_within_its_string() {
    let set = set(Guardrail {
        replacement: "\"<{detector}>\\\n\"".into(),
        ..rule(&["email"])
    });
    let body = r#"{"a":"jo@example.org","b":{"arguments":"{\"x\":\"jo@example.org\"}"}}"#;
    let out: Value = serde_json::from_str(&redacted(&set, body)).unwrap();
    assert_eq!(out["a"], "\"<email>\\\n\"");
    let inner: Value = serde_json::from_str(out["b"]["arguments"].as_str().unwrap()).unwrap();
    assert_eq!(inner["x"], "\"<email>\\\n\"");
}

#[test]
fn actions_and_shadow_decide_what_is_done() {
    let body = r#"{"a":"jo@example.org and al@example.org"}"#;
    let with = |action, shadow| {
        judge(
            &set(Guardrail {
                action,
                shadow,
                ..rule(&["email"])
            }),
            body,
        )
    };
    let check = |verdict: RequestVerdict, edits: usize, action, shadow, blocked: bool| {
        assert_eq!(verdict.edits.len(), edits);
        assert_eq!(what(&verdict), [("email", action, 2)]);
        assert_eq!(verdict.verdicts[0].shadow, shadow);
        assert_eq!(verdict.blocked.is_some(), blocked);
    };
    check(with(GuardAction::Redact, false), 2, Action::Redact, false, false);
    // What a capture must not hold is said, too.
    check(with(GuardAction::Block, false), 2, Action::Block, false, true);
    check(with(GuardAction::Log, false), 0, Action::Log, false, false);
    check(with(GuardAction::Block, true), 0, Action::Block, true, false);
    check(with(GuardAction::Redact, true), 0, Action::Redact, true, false);
}

#[test]
fn all_rules_look_and_the_first_by_name_has_the_word() {
    let named = |name: &str, action, detector: &str| Guardrail {
        name: name.into(),
        action,
        message: format!("says {name}"),
        ..rule(&[detector])
    };
    let rules = [
        named("c", GuardAction::Block, "email"),
        named("a", GuardAction::Redact, "url_password"),
        named("b", GuardAction::Block, "email"),
        named("d", GuardAction::Block, "card"),
    ];
    let set = Guards::compile(&rules).unwrap().set(&[0, 1, 2]);
    let body = r#"{"a":"ftp://jo:hunter22@mail.example.org/ 4111222333444550"}"#;
    let verdict = judge(&set, body);
    let blocked = verdict.blocked.clone().unwrap();
    assert_eq!((blocked.rule.as_str(), blocked.message.as_str()), ("b", "says b"));
    let names: Vec<&str> = verdict.verdicts.iter().map(|v| v.name.as_str()).collect();
    assert_eq!(names, ["a", "b", "c"]);
    // What several redact is redacted once.
    let out = edited(body.as_bytes(), &verdict);
    assert_eq!(out, r#"{"a":"ftp://jo:[REDACTED:email]/ 4111222333444550"}"#);
    assert!(!set.requests().unwrap().is_empty() && set.guards_answers());
    assert!(Guards::compile(&rules).unwrap().set(&[9]).is_empty());
}

#[test]
fn a_key_that_is_found_cannot_be_redacted() {
    let set = set(rule(&["email"]));
    let verdict = judge(&set, r#"{"messages":[{"input":{"jo\u0040example.org":1}}]}"#);
    assert!(verdict.blocked.is_some() && verdict.edits.is_empty());
    assert_eq!(what(&verdict), [("email", Action::Block, 1)]);
}

#[test]
fn forms_are_read_field_by_field() {
    let set = set(rule(&["email"]));
    let body = "--B\r\nContent-Disposition: form-data; name=\"prompt\"\r\n\r\nI am jo@example.org\r\n--B\r\n\
                Content-Disposition: form-data; name=\"file\"; filename=\"a.wav\"\r\nContent-Type: audio/wav\r\n\r\n\
                jo@example.org\r\n--B--\r\n";
    let verdict = set.request(ApiKind::OpenAiAudio, "m", &Facts::default(), body.as_bytes());
    assert_eq!(
        edited(body.as_bytes(), &verdict),
        body.replacen("jo@example.org", "[REDACTED:email]", 1)
    );
}

#[test]
fn tools_are_judged_in_every_spelling() {
    let check = |tools: &ToolRule, body: Value, expected: &[&str]| {
        let set = set(Guardrail {
            tools: tools.clone(),
            ..rule(&[])
        });
        let verdict = judge(&set, &body.to_string());
        let found: Vec<&str> = verdict.verdicts.iter().map(|v| v.what.as_str()).collect();
        assert_eq!(found, expected, "{body}");
        assert_eq!(verdict.blocked.is_some(), !expected.is_empty());
        assert!(verdict.verdicts.iter().all(|v| v.action == Action::Block));
    };
    let list = |names: &[&str]| names.iter().map(|name| (*name).to_owned()).collect::<Vec<_>>();
    let deny = ToolRule {
        deny: list(&["bash*", "web_search"]),
        ..ToolRule::default()
    };
    check(
        &deny,
        json!({"tools":[{"type":"function","function":{"name":"bash_run"}}]}),
        &["tool:bash_run"],
    );
    check(
        &deny,
        json!({"tools":[{"type":"function","name":"bash"}]}),
        &["tool:bash"],
    );
    check(
        &deny,
        json!({"tools":[{"name":"bash","input_schema":{}},{"name":"read"}]}),
        &["tool:bash"],
    );
    check(
        &deny,
        json!({"tools":[{"type":"web_search"}]}),
        &["tool:web_search"],
    );
    check(
        &deny,
        json!({"tools":[{"type":"web_search_20250305","name":"web_search"}]}),
        &["tool:web_search"],
    );
    check(
        &deny,
        json!({"tools":[{"functionDeclarations":[{"name":"ok"},{"name":"bash"}]}]}),
        &["tool:bash"],
    );
    check(
        &deny,
        json!({"toolConfig":{"tools":[{"toolSpec":{"name":"bash"}}]}}),
        &["tool:bash"],
    );
    check(&deny, json!({"functions":[{"name":"bash"}]}), &["tool:bash"]);
    check(
        &deny,
        json!({"tool_choice":{"type":"function","function":{"name":"bash"}}}),
        &["tool:bash"],
    );
    check(
        &deny,
        json!({"tool_choice":{"type":"tool","name":"bash"}}),
        &["tool:bash"],
    );
    check(
        &deny,
        json!({"tool_choice":"auto","tools":[{"name":"read"}]}),
        &[],
    );
    check(&deny, json!({"messages":[{"content":"tools: bash"}]}), &[]);
    let body = r#"{"to\u006fls":[{"name":"b\u0061sh"}]}"#;
    assert!(
        judge(
            &set(Guardrail {
                tools: deny.clone(),
                ..rule(&[])
            }),
            body
        )
        .blocked
        .is_some()
    );
    let allow = ToolRule {
        allow: list(&["read", "mcp__files__*"]),
        ..ToolRule::default()
    };
    check(
        &allow,
        json!({"tools":[{"name":"read"},{"name":"mcp__files__list"}]}),
        &[],
    );
    check(&allow, json!({"tools":[{"name":"write"}]}), &["tool:write"]);
    check(
        &allow,
        json!({"tools":[{"googleSearch":{}}]}),
        &["tool:googleSearch"],
    );
    check(
        &allow,
        json!({"tools":[{"type":"mcp","server_label":"files","server_url":"https://x"}]}),
        &[],
    );
    check(
        &allow,
        json!({"tools":[{"type":"mcp","server_label":"web"}]}),
        &["tool:mcp__web__*"],
    );
    let servers = ToolRule {
        deny_servers: list(&["web*"]),
        allow_servers: list(&["files", "web"]),
        ..ToolRule::default()
    };
    check(
        &servers,
        json!({"tools":[{"name":"mcp__web__get"},{"name":"mcp__files__get"},{"name":"x"}]}),
        &["tool:mcp__web__get"],
    );
    check(
        &servers,
        json!({"mcp_servers":[{"name":"other"},{"name":"files"}]}),
        &["tool:mcp__other__*"],
    );
    check(
        &servers,
        json!({"tools":[{"type":"mcp_toolset","mcp_server_name":"web"}]}),
        &["tool:mcp__web__*"],
    );
    check(
        &servers,
        json!({"tools":[{"type":"mcp","server_label":"web","allowed_tools":["a"]}]}),
        &["tool:mcp__web__a"],
    );
}

#[test]
fn caps_count_what_each_api_calls_it() {
    let caps = GuardCaps {
        max_tokens: Some(100),
        messages: Some(2),
        images: Some(1),
    };
    let check = |kind, body: Value, expected: &[&str]| {
        let set = set(Guardrail { caps, ..rule(&[]) });
        let verdict = judge_as(kind, &set, &body.to_string());
        let found: Vec<&str> = verdict.verdicts.iter().map(|v| v.what.as_str()).collect();
        assert_eq!(found, expected, "{body}");
    };
    let chat = ApiKind::OpenAiChat;
    check(chat, json!({"max_tokens":100,"messages":[{},{}]}), &[]);
    check(chat, json!({"max_completion_tokens":101}), &["max_tokens"]);
    check(
        ApiKind::OpenAiResponses,
        json!({"max_output_tokens":101,"input":[{},{},{}]}),
        &["max_tokens", "messages"],
    );
    check(
        ApiKind::GeminiGenerate,
        json!({"generationConfig":{"maxOutputTokens":101},"contents":[{},{},{}]}),
        &["max_tokens", "messages"],
    );
    check(
        ApiKind::BedrockConverse,
        json!({"inferenceConfig":{"maxTokens":101}}),
        &["max_tokens"],
    );
    check(
        ApiKind::OllamaChat,
        json!({"options":{"num_predict":101}}),
        &["max_tokens"],
    );
    let image = json!({"type":"image","source":{"type":"base64","media_type":"image/png","data":"aaaa"}});
    check(
        ApiKind::AnthropicMessages,
        json!({"messages":[{"content":[image]}]}),
        &[],
    );
    check(
        ApiKind::AnthropicMessages,
        json!({"messages":[{"content":[image, image]}]}),
        &["images"],
    );
    let image = json!({"type":"image_url","image_url":{"url":"https://x/image.png"}});
    check(
        chat,
        json!({"messages":[{"content":[image]},{"content":[image]}]}),
        &["images"],
    );
    let image = json!({"type":"input_image","image_url":"https://x/image.png"});
    check(
        ApiKind::OpenAiResponses,
        json!({"input":[{"content":[image, image]}]}),
        &["images"],
    );
    let image = json!({"inlineData":{"mimeType":"image/png","data":"aaaa"}});
    let sound = json!({"inlineData":{"mimeType":"audio/wav","data":"aaaa"}});
    check(
        ApiKind::GeminiGenerate,
        json!({"contents":[{"parts":[image, image, sound]}]}),
        &["images"],
    );
    check(
        ApiKind::GeminiGenerate,
        json!({"contents":[{"parts":[image, sound, sound]}]}),
        &[],
    );
    let image = json!({"image":{"format":"png","source":{"bytes":"aaaa"}}});
    check(
        ApiKind::BedrockConverse,
        json!({"messages":[{"content":[image, image]}]}),
        &["images"],
    );
    check(
        ApiKind::OllamaChat,
        json!({"messages":[{"images":["aaaa","bbbb"]}]}),
        &["images"],
    );
    check(
        chat,
        json!({"messages":[{"input":{"type":"image"}},{"input":{"type":"image"}}]}),
        &[],
    );
}

#[test]
fn fields_are_required_and_forbidden_by_their_path() {
    let check = |body: Value, expected: &[&str]| {
        let set = set(Guardrail {
            require: vec!["user".into(), "metadata.team".into()],
            forbid: vec!["store".into(), "messages.name".into()],
            ..rule(&[])
        });
        let verdict = judge(&set, &body.to_string());
        let found: Vec<&str> = verdict.verdicts.iter().map(|v| v.what.as_str()).collect();
        assert_eq!(found, expected, "{body}");
    };
    check(json!({"user":"u","metadata":{"team":"t"}}), &[]);
    check(
        json!({"user":null,"metadata":{"x":{"team":1}}}),
        &["require:user", "require:metadata.team"],
    );
    check(
        json!({"user":"u","metadata":{"team":[]},"store":false,"messages":[{"role":"r"},{"name":"n"}]}),
        &["forbid:store", "forbid:messages.name"],
    );
    check(
        json!({"user":{},"metadata":{"team":0,"store":1},"x":{"messages":{"name":1}}}),
        &[],
    );
}

#[test]
fn a_flood_of_findings_stays_within_the_record() {
    let rules: Vec<Guardrail> = (0..30)
        .map(|at| Guardrail {
            name: format!("rule{at:02}"),
            action: if at == 29 {
                GuardAction::Block
            } else {
                GuardAction::Log
            },
            ..rule(&["email", "card"])
        })
        .collect();
    let set = Guards::compile(&rules).unwrap().set(&(0..30).collect::<Vec<_>>());
    let verdict = judge(&set, r#"{"a":"jo@example.org 4111222333444550"}"#);
    assert_eq!(verdict.verdicts.len(), VERDICTS_MAX);
    assert_eq!(verdict.blocked.unwrap().rule, "rule29");
}

/// Any string written as JSON, some of its characters escaped.
fn written(text: &str, escape: &[bool]) -> String {
    let mut out = String::from("\"");
    for (at, c) in text.chars().enumerate() {
        let forced = c < ' ' || c == '"' || c == '\\';
        if forced || escape[at % escape.len()] {
            let mut units = [0; 2];
            for unit in c.encode_utf16(&mut units) {
                out.push_str(&format!("\\u{unit:04x}"));
            }
        } else {
            out.push(c);
        }
    }
    out.push('"');
    out
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    #[test]
    fn a_redacted_body_is_json_and_clean_and_the_rest_of_it_untouched(
        // Without two letters, which the words have that say that numbers are a version and no address.
        texts in prop::collection::vec("[ -DF-UW-df-uw-~\n\u{e4}\u{1F600}]{0,24}", 1..6),
        picks in prop::collection::vec(0_usize..60, 1..6),
        escape in prop::collection::vec(any::<bool>(), 1..9),
    ) {
        let set = set(rule(&["all"]));
        let samples = all();
        let mut parts = Vec::new();
        for (text, pick) in texts.iter().zip(&picks) {
            let sample = &samples[pick % samples.len()];
            let text = format!("{text} {} {text}", sample.text());
            parts.push(written(&text, &escape));
        }
        let body = format!(r#"{{"model":"m","messages":[{}]}}"#, parts.join(", "));
        let verdict = judge(&set, &body);
        prop_assert!(!verdict.edits.is_empty());
        let out = edited(body.as_bytes(), &verdict);
        let before: Value = serde_json::from_str(&body).unwrap();
        let after: Value = serde_json::from_str(&out).unwrap();
        prop_assert_eq!(before["messages"].as_array().unwrap().len(), after["messages"].as_array().unwrap().len());
        // Outside of the edits nothing changed.
        let mut rest = out.as_bytes();
        let mut from = 0;
        for edit in &verdict.edits {
            let (start, end) = (edit.at.start as usize, edit.at.end as usize);
            let kept = &body.as_bytes()[from..start];
            prop_assert!(rest.starts_with(kept));
            rest = &rest[kept.len()..];
            prop_assert!(rest.starts_with(&edit.with));
            rest = &rest[edit.with.len()..];
            from = end;
        }
        prop_assert_eq!(rest, &body.as_bytes()[from..]);
        let again = judge(&set, &out);
        prop_assert!(again.edits.is_empty(), "{:?} in {}", again.verdicts, out);
    }
}
