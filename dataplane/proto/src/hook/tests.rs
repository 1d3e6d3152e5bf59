//! Payloads that parse and say what they are given; replies that are decisions, and those that are none.

use serde_json::{Value, json};
use sluice_shared::quota::{Rate, Terms, Unit};

use super::*;

fn whole(payload: &Payload<'_>, body: &str) -> Value {
    let written = payload.write();
    let mut bytes = written.before;
    if let Some(after) = written.after {
        bytes.extend_from_slice(body.as_bytes());
        bytes.extend_from_slice(after);
    }
    serde_json::from_slice(&bytes)
        .unwrap_or_else(|error| panic!("{error}: {}", String::from_utf8_lossy(&bytes)))
}

fn bare(metadata: Metadata<'_>) -> Payload<'_> {
    Payload {
        event: HookEvent::PreRequest,
        metadata,
        tool_calls: None,
        user_message: None,
        response_body: None,
        raw_responses: None,
        request_body: false,
    }
}

#[test]
fn what_was_not_asked_for_is_not_there() {
    let payload = bare(Metadata {
        login_name: "a\"b\\\n\u{7f}",
        ..Metadata::default()
    });
    assert_eq!(
        whole(&payload, ""),
        json!({"event": "pre_request", "metadata": {
            "login_name": "a\"b\\\n\u{7f}", "user_agent": "", "url": "", "model": "", "provider": "",
            "tailnet_name": "", "stable_node_id": "", "request_id": "", "session_id": "",
        }})
    );
}

#[test]
fn every_part_has_its_name() {
    let usage = Usage {
        input: Some(1),
        output: Some(2),
        cached_read: Some(3),
        cache_write: Some(4),
        cache_write_5m: Some(5),
        cache_write_1h: Some(6),
        reasoning: Some(7),
        input_image: Some(8),
        output_image: None,
        web_searches: Some(10),
        ..Usage::default()
    };
    let state = |unit, current, capacity, amount| BucketState {
        name: "daily:alice",
        unit,
        current,
        terms: Terms {
            capacity,
            rate: Rate {
                amount,
                per_us: 86_400_000_000,
            },
        },
    };
    let quotas = [
        state(Unit::Usd, Some(-1_500_000_000), 10_000_000_000, 5_000_000_001),
        state(Unit::Tokens, None, 1_000, 70),
        state(Unit::Usd, Some(1), 1, 1),
    ];
    let tools = [
        Tool {
            name: "read",
            params: Some(r#" {"path":"x"} "#),
        },
        Tool {
            name: "cut",
            params: Some(r#"{"path":"#),
        },
        Tool {
            name: "offered",
            params: None,
        },
    ];
    let payload = Payload {
        event: HookEvent::ToolCallEntireRequest,
        metadata: Metadata {
            estimated_cost: Some(EstimatedCost {
                cost: Some(NanoUsd(1_230)),
                cost_basis: "openai",
                usage: &usage,
            }),
            grants: Some(r#"{"example.com/cap/x":[1]}"#),
            quotas: Some(&quotas),
            ..Metadata::default()
        },
        tool_calls: Some(&tools),
        user_message: Some(Some("hi\u{2028}")),
        response_body: Some(Some(r#"{"id":"r"}"#)),
        raw_responses: Some(None),
        request_body: true,
    };
    let found = whole(&payload, r#" {"n":1.0e2} "#);
    let metadata = &found["metadata"];
    assert_eq!(
        metadata["estimated_cost"],
        json!({"dollars": 0.000_001_23, "cost_basis": "openai", "usage": {
            "input_tokens": 1, "output_tokens": 2, "cached_tokens": 3, "cache_creation_input_tokens": 4,
            "cache_creation_5m_input_tokens": 5, "cache_creation_1h_input_tokens": 6, "reasoning_tokens": 7,
            "image_input_tokens": 8, "image_output_tokens": null, "web_search_count": 10,
        }})
    );
    assert_eq!(metadata["grants"], json!({"example.com/cap/x": [1]}));
    assert_eq!(
        metadata["quotas"],
        json!({
            "daily:alice": {"current": -1.5, "capacity": 10, "rate": "$5.000000001/day", "unit": "usd"},
            "daily:alice (tokens)": {"current": null, "capacity": 1000, "rate": "70/day", "unit": "tokens"},
        })
    );
    assert_eq!(found["event"], "tool_call_entire_request");
    assert_eq!(
        found["tool_calls"],
        json!([
            {"name": "read", "params": {"path": "x"}},
            {"name": "cut", "params": "{\"path\":"},
            {"name": "offered", "params": null},
        ])
    );
    assert_eq!(found["user_message"], "hi\u{2028}");
    assert_eq!(found["response_body"], json!({"id": "r"}));
    assert_eq!(found["raw_responses"], Value::Null);
    assert_eq!(found["request_body"], json!({"n": 100.0}));
}

#[test]
fn refills_are_written_as_in_the_document() {
    let check = |amount, per_us, unit, expected: &str| {
        assert_eq!(rate(Rate { amount, per_us }, unit), expected);
    };
    check(0, 60_000_000, Unit::Usd, "");
    check(5_000_000_000, 60_000_000, Unit::Usd, "$5.00/min");
    check(50_000_000, 7_000_000, Unit::Usd, "$0.05/7 s");
    check(7, 3_600_000_000, Unit::Requests, "7/hour");
}

#[test]
fn amounts_are_exact() {
    for (nanodollars, expected) in [
        (0, "0"),
        (1, "0.000000001"),
        (1_000_000_000, "1"),
        (10_500_000_000, "10.5"),
        (u64::MAX, "18446744073.709551615"),
    ] {
        assert_eq!(dollars(nanodollars), expected);
    }
}

#[test]
fn replies() {
    let check = |body: &str, expected: Result<Reply<'_>, BadReply>| {
        assert_eq!(Reply::read(body.as_bytes()), expected, "{body}");
    };
    let block = |status, message: &str| {
        Ok(Reply::Block {
            status,
            message: message.into(),
        })
    };
    check(r#"{"action":"allow"}"#, Ok(Reply::Allow));
    check(
        r#" {"action":"allow","message":null,"status_code":null,"more":[1]} "#,
        Ok(Reply::Allow),
    );
    check(r#"{"action":"block"}"#, block(403, ""));
    check(
        r#"{"action":"bl\u006fck","status_code":451,"message":" no\r\nx "}"#,
        block(451, "no  x"),
    );
    for status in ["400", "599"] {
        check(
            &format!(r#"{{"action":"block","status_code":{status}}}"#),
            block(status.parse().unwrap(), ""),
        );
    }
    for status in ["399", "600", "200", "-1", "70000"] {
        check(
            &format!(r#"{{"action":"block","status_code":{status}}}"#),
            block(403, ""),
        );
    }
    check(
        r#"{"action":"modify","request_body": {"a":1.0, "b":"\u00e9"} }"#,
        Ok(Reply::Modify(br#"{"a":1.0, "b":"\u00e9"}"#)),
    );
    for body in ["[1]", "null", "\"{}\"", "5"] {
        check(
            &format!(r#"{{"action":"modify","request_body":{body}}}"#),
            Ok(Reply::Allow),
        );
    }
    check(r#"{"action":"modify"}"#, Ok(Reply::Allow));
    check(r#"{"action":"Allow"}"#, Err(BadReply::Action));
    check(r#"{"action":""}"#, Err(BadReply::Action));
    for bad in [
        "",
        "{}",
        "null",
        "allow",
        r#"["allow",null,null,null]"#,
        r#"{"action":1}"#,
        r#"{"action":"allow","action":"block"}"#,
        r#"{"action":"block","status_code":"403"}"#,
        r#"{"action":"block","message":{}}"#,
        r#"{"action":"allow"} x"#,
        r#"{"action":"allow""#,
        r#"{"action":"modify","request_body":{"a":}}"#,
    ] {
        check(bad, Err(BadReply::Shape));
    }
    assert_eq!(
        Reply::read(b"{\"action\":\"allow\",\"message\":\"\xff\"}"),
        Err(BadReply::Shape)
    );
}

#[test]
fn a_message_is_cut_at_a_character() {
    let long = "é".repeat(MESSAGE_BYTES_MAX);
    assert_eq!(clean(&long).len(), MESSAGE_BYTES_MAX);
    assert_eq!(clean(&format!("x{long}")).len(), MESSAGE_BYTES_MAX - 1);
    assert_eq!(clean("a\0b\u{85}c"), "a b c");
}
