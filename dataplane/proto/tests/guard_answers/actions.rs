//! What rules do beside redacting, and what they leave alone.

use serde_json::json;
use sluice_proto::error_body::StreamFraming;
use sluice_proto::guard::stream::{AnswerGuard, Step};
use sluice_shared::api::ApiKind;
use sluice_shared::snapshot::{GuardAction, Guardrail, ToolRule};
use sluice_shared::usage::Action;

use super::formats::{FORMATS, Format, Frame};
use super::{guard, guards, pass, rule};

const SECRET: &str = "alice.smith@mail.example.com";

fn format(name: &str) -> &'static Format {
    FORMATS.iter().find(|format| format.name == name).unwrap()
}

#[test]
fn nothing_of_what_is_blocked_is_handed_on() {
    let guards = guards(&[rule(GuardAction::Block)]);
    for format in FORMATS {
        let written = format.written(&format!("write to {SECRET}, please"));
        let at = written.find(SECRET).unwrap();
        for cut in at..=at + SECRET.len() {
            let body = format.body(&[&written[..at], &written[at..cut], &written[cut..], "never said"]);
            let mut guard = guard(&guards, format.kind, format.content_type(), format.streams());
            let (out, ended) = pass(&mut guard, body.chunks(50));
            let message = "blocked by the guardrail \"rule\"; ask your administrator";
            assert_eq!(
                ended,
                Step::Blocked {
                    message: message.into()
                },
                "{} at {cut}",
                format.name
            );
            // What is handed on is a beginning of whole events, and none of them says the least of it.
            assert!(body.starts_with(&out), "{}", format.name);
            let out = String::from_utf8_lossy(&out).into_owned();
            assert!(
                !out.contains("alice") && !out.contains("never"),
                "{}: {out}",
                format.name
            );
            assert_eq!(
                guard.framing() == StreamFraming::Opaque,
                matches!(format.frame, Frame::Document | Frame::Text)
            );
            assert_eq!(guard.lets_head_pass(), format.frame != Frame::Document);
            let verdicts = guard.verdicts();
            assert_eq!(
                (verdicts.len(), verdicts[0].action, verdicts[0].count),
                (1, Action::Block, 1)
            );
        }
    }
}

#[test]
fn events_that_say_it_all_again_are_redacted_and_not_counted_again() {
    let guards = guards(&[rule(GuardAction::Redact)]);
    let format = format("responses");
    let args = json!({"to": SECRET}).to_string();
    let item = json!({"type": "function_call", "id": "fc_1", "name": "send", "arguments": args});
    let message =
        json!({"type": "message", "content": [{"type": "output_text", "text": format!("to {SECRET}")}]});
    let body = format.frame_events(&[
        json!({"type": "response.output_text.delta", "output_index": 0, "content_index": 0, "delta": "to alice.smith@"}),
        json!({"type": "response.output_text.delta", "output_index": 0, "content_index": 0, "delta": "mail.example.com"}),
        json!({"type": "response.output_text.done", "output_index": 0, "content_index": 0, "text": format!("to {SECRET}")}),
        json!({"type": "response.function_call_arguments.done", "output_index": 1, "arguments": args}),
        json!({"type": "response.completed", "response": {"id": "resp_1", "output": [message, item]}}),
    ]);
    let mut guard = guard(&guards, format.kind, format.content_type(), true);
    let (out, ended) = pass(&mut guard, body.chunks(33));
    assert_eq!(ended, Step::Go);
    let events = format.events(&out);
    assert_eq!(events[2]["text"], "to [REDACTED:email]");
    assert_eq!(events[3]["arguments"], r#"{"to":"[REDACTED:email]"}"#);
    let output = &events[4]["response"]["output"];
    assert_eq!(output[0]["content"][0]["text"], "to [REDACTED:email]");
    assert_eq!(output[1]["arguments"], r#"{"to":"[REDACTED:email]"}"#);
    assert!(!String::from_utf8(out).unwrap().contains("alice"));
    assert_eq!(guard.verdicts()[0].count, 1);
}

#[test]
fn what_repeats_the_text_in_tokens_goes_with_it() {
    let guards = guards(&[rule(GuardAction::Redact)]);
    let format = format("chat");
    let said = |text: &str, token: &str| {
        json!({"choices": [{"index": 0, "delta": {"content": text},
            "logprobs": {"content": [{"token": token, "bytes": [97], "top_logprobs": []}]}}]})
    };
    let body = format.frame_events(&[
        said("well, ", "well"),
        said("alice@", "alice"),
        said("mail.example.com ", "mail"),
        said("ok", "ok"),
    ]);
    let mut guard = guard(&guards, format.kind, format.content_type(), true);
    let (out, _) = pass(&mut guard, [body.as_slice()].into_iter());
    let tokens: Vec<_> = format
        .events(&out)
        .iter()
        .map(|event| event.pointer("/choices/0/logprobs/content/0/token").cloned())
        .collect();
    assert_eq!(tokens, [Some(json!("well")), None, None, Some(json!("ok"))]);
}

#[test]
fn what_is_signed_sealed_or_the_protocols_own_stays() {
    let guards = guards(&[rule(GuardAction::Redact)]);
    let format = format("anthropic");
    let body = format.frame_events(&[
        json!({"type": "message_start", "message": {"id": SECRET, "model": SECRET, "role": SECRET}}),
        json!({"type": "content_block_delta", "index": 0, "delta": {"type": "signature_delta", "signature": SECRET}}),
        json!({"type": "content_block_start", "index": 1, "content_block": {"type": "redacted_thinking", "data": SECRET}}),
        json!({"type": "content_block_start", "index": 2, "content_block": {"type": "tool_use", "id": SECRET, "name": "x", "input": {}}}),
    ]);
    let mut guard = guard(&guards, format.kind, format.content_type(), true);
    let (out, ended) = pass(&mut guard, body.chunks(9));
    assert_eq!((ended, out), (Step::Go, body));
}

#[test]
fn text_in_unexpected_places_is_found() {
    let guards = guards(&[rule(GuardAction::Redact)]);
    let whole = |kind, event: serde_json::Value| {
        let body = event.to_string().into_bytes();
        let mut guard = guard(&guards, kind, "application/json", false);
        let (out, _) = pass(&mut guard, body.chunks(21));
        let text = String::from_utf8(out).unwrap();
        assert!(!text.contains("alice"), "{text}");
        serde_json::from_str::<serde_json::Value>(&text).unwrap()
    };
    // In fields that nobody knows, in what a tool is called with, as a key, beside numbers that stay.
    let found = whole(
        ApiKind::OpenAiChat,
        json!({"created": 1_700_000_000, "x": [{"y": [SECRET]}], "usage": {"total_tokens": 4_539_148}}),
    );
    assert_eq!(found["x"][0]["y"][0], "[REDACTED:email]");
    let found = whole(
        ApiKind::AnthropicMessages,
        json!({"content": [{"type": "tool_use", "id": "t", "name": "x", "input": {SECRET: {"id": SECRET, "n": 4_539_148_803_436_467_u64}}}]}),
    );
    assert_eq!(
        found["content"][0]["input"],
        json!({"[REDACTED:email]": {"id": "[REDACTED:email]", "n": "[REDACTED:card]"}})
    );
    // In a comment of an event stream, and in data that is no JSON.
    let body = format!(": {SECRET}\n\ndata: to alice.smith@\n\ndata: mail.example.com \n\nbut: {SECRET}\n\n");
    let mut guard = guard(&guards, ApiKind::OpenAiChat, "text/event-stream", true);
    let (out, _) = pass(&mut guard, body.as_bytes().chunks(5));
    assert_eq!(
        String::from_utf8(out).unwrap(),
        ": [REDACTED:email]\n\ndata: to [REDACTED:email]\n\ndata:  \n\nbut: [REDACTED:email]\n\n"
    );
}

#[test]
fn tools_are_denied_in_every_format() {
    let guards = guards(&[Guardrail {
        detectors: Vec::new(),
        tools: ToolRule {
            deny: vec!["delete_*".into()],
            deny_servers: vec!["prod".into()],
            ..ToolRule::default()
        },
        ..rule(GuardAction::Redact)
    }]);
    let call = json!({"function": {"name": "delete_all", "arguments": "{}"}});
    for (name, event) in [
        (
            "chat",
            json!({"choices": [{"index": 0, "delta": {"tool_calls": [call]}}]}),
        ),
        (
            "responses",
            json!({"type": "response.output_item.added", "item": {"type": "function_call", "name": "delete_all"}}),
        ),
        (
            "responses",
            json!({"type": "response.output_item.added", "item": {"type": "mcp_call", "name": "x", "server_label": "prod"}}),
        ),
        (
            "anthropic",
            json!({"type": "content_block_start", "content_block": {"type": "tool_use", "name": "delete_all", "input": {}}}),
        ),
        (
            "gemini",
            json!({"candidates": [{"content": {"parts": [{"functionCall": {"name": "delete_all", "args": {}}}]}}]}),
        ),
        (
            "converse",
            json!({"contentBlockIndex": 1, "start": {"toolUse": {"toolUseId": "t", "name": "delete_all"}}}),
        ),
        (
            "invoke anthropic",
            json!({"type": "content_block_start", "content_block": {"type": "tool_use", "name": "delete_all"}}),
        ),
        (
            "ollama",
            json!({"message": {"tool_calls": [{"function": {"name": "delete_all", "arguments": {}}}]}, "done": false}),
        ),
    ] {
        let format = format(name);
        let body = format.frame_events(&[(format.event)("hello"), event]);
        let mut guard = guard(&guards, format.kind, format.content_type(), true);
        let (out, ended) = pass(&mut guard, body.chunks(40));
        assert!(matches!(ended, Step::Blocked { .. }), "{name}: {ended:?}");
        assert!(!String::from_utf8_lossy(&out).contains("delete_all"), "{name}");
        let verdicts = guard.verdicts();
        let wanted = if memchr::memmem::find(&body, b"mcp_call").is_some() {
            "tool:x"
        } else {
            "tool:delete_all"
        };
        assert_eq!(
            (verdicts[0].what.as_str(), verdicts[0].action),
            (wanted, Action::Block)
        );
    }
}

#[test]
fn what_cannot_be_read_passes_only_those_who_note() {
    let kind = ApiKind::OpenAiChat;
    let make = |action, content_type: &str, encoded| {
        let set = guards(&[rule(action)]).set(&[0]);
        AnswerGuard::new(set, kind, Some(content_type), encoded, true).unwrap()
    };
    for (content_type, encoded) in [("audio/mpeg", false), ("application/json", true)] {
        assert_ne!(make(GuardAction::Redact, content_type, encoded).refused(), None);
        let mut noting = make(GuardAction::Log, content_type, encoded);
        assert_eq!(noting.refused(), None);
        let (out, ended) = pass(&mut noting, [&b"\x01\x02"[..], b"\x03"].into_iter());
        assert_eq!((out.as_slice(), ended), (&b"\x01\x02\x03"[..], Step::Go));
        assert!(noting.verdicts()[0].what.starts_with("not inspected"));
    }
    for (content_type, body) in [
        (
            "application/vnd.amazon.eventstream",
            &b"this is no message at all"[..],
        ),
        ("application/octet-stream", b"\x89PNG"),
    ] {
        let (out, ended) = pass(
            &mut make(GuardAction::Block, content_type, false),
            [body].into_iter(),
        );
        assert!(
            out.is_empty() && matches!(ended, Step::Unreadable { .. }),
            "{content_type}"
        );
        let (out, ended) = pass(
            &mut make(GuardAction::Log, content_type, false),
            [body].into_iter(),
        );
        assert_eq!((out.as_slice(), ended), (body, Step::Go));
    }
}
