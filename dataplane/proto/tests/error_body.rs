//! Errors in every family: bodies that parse, headers that clients act on, events that end a stream.

#![allow(
    clippy::unwrap_used,
    clippy::cast_possible_truncation,
    reason = "a test that breaks here fails, as it should; bodies of tests are small"
)]

use serde_json::{Value, json};
use sluice_proto::error_body::{
    ApiKind, ErrorAnswer, ErrorCode, ErrorFamily, StreamFraming, error_headers, write_error,
    write_stream_error,
};

const ID: &str = "0123456789abcdef0123456789abcdef";

const FAMILIES: [ErrorFamily; 5] = [
    ErrorFamily::OpenAi,
    ErrorFamily::Anthropic,
    ErrorFamily::Google,
    ErrorFamily::Bedrock,
    ErrorFamily::Plain,
];

fn body(family: ErrorFamily, answer: &ErrorAnswer) -> Value {
    let mut out = Vec::new();
    write_error(family, answer, ID, &mut out);
    serde_json::from_slice(&out).unwrap()
}

fn headers(family: ErrorFamily, answer: &ErrorAnswer) -> Vec<(String, String)> {
    let mut out = Vec::new();
    error_headers(family, answer, ID, |name, value| {
        out.push((name.to_ascii_lowercase(), value.to_owned()));
    });
    out
}

fn header(family: ErrorFamily, answer: &ErrorAnswer, name: &str) -> Option<String> {
    headers(family, answer)
        .into_iter()
        .find(|(key, _)| key == name)
        .map(|(_, value)| value)
}

#[test]
fn the_shapes() {
    let answer = ErrorAnswer::new(ErrorCode::ModelNotGranted, "ask \"Ann\"\n");
    let message = "ask \"Ann\"\n";
    let check = |family, expected: Value| assert_eq!(body(family, &answer), expected);
    check(
        ErrorFamily::OpenAi,
        json!({"error": {"message": message, "type": "permission_error", "param": null, "code": "model_not_granted"}}),
    );
    check(
        ErrorFamily::Anthropic,
        json!({"type": "error", "error": {"type": "permission_error", "message": message}, "request_id": ID}),
    );
    check(
        ErrorFamily::Google,
        json!({"error": {"code": 403, "message": message, "status": "PERMISSION_DENIED"}}),
    );
    check(ErrorFamily::Bedrock, json!({ "message": message }));
    check(ErrorFamily::Plain, json!({ "error": message }));
}

#[test]
fn the_words_of_each_family() {
    let check = |code: ErrorCode, status: u16, openai: &str, anthropic: &str, google: &str, bedrock: &str| {
        let answer = ErrorAnswer::new(code, "m");
        assert_eq!(answer.status, status, "{code:?}");
        assert_eq!(
            body(ErrorFamily::OpenAi, &answer)["error"]["type"],
            openai,
            "{code:?}"
        );
        assert_eq!(
            body(ErrorFamily::Anthropic, &answer)["error"]["type"],
            anthropic,
            "{code:?}"
        );
        assert_eq!(
            body(ErrorFamily::Google, &answer)["error"]["status"],
            google,
            "{code:?}"
        );
        assert_eq!(
            header(ErrorFamily::Bedrock, &answer, "x-amzn-errortype").as_deref(),
            Some(bedrock),
            "{code:?}"
        );
    };
    let denied = (
        "permission_error",
        "permission_error",
        "PERMISSION_DENIED",
        "AccessDeniedException",
    );
    check(ErrorCode::NoRole, 403, denied.0, denied.1, denied.2, denied.3);
    check(
        ErrorCode::IdentityUnknown,
        403,
        denied.0,
        denied.1,
        denied.2,
        denied.3,
    );
    check(
        ErrorCode::ModelNotGranted,
        403,
        denied.0,
        denied.1,
        denied.2,
        denied.3,
    );
    check(
        ErrorCode::GuardrailBlocked,
        403,
        "guardrail_blocked",
        "invalid_request_error",
        denied.2,
        denied.3,
    );
    check(
        ErrorCode::QuotaExceeded,
        429,
        "insufficient_quota",
        "rate_limit_error",
        "RESOURCE_EXHAUSTED",
        "ThrottlingException",
    );
    check(
        ErrorCode::QuotaUndefined,
        429,
        "insufficient_quota",
        "rate_limit_error",
        "RESOURCE_EXHAUSTED",
        "ThrottlingException",
    );
    check(
        ErrorCode::UnpricedModel,
        403,
        denied.0,
        denied.1,
        denied.2,
        denied.3,
    );
    check(
        ErrorCode::QuotaUnavailable,
        503,
        "server_error",
        "api_error",
        "UNAVAILABLE",
        "ServiceUnavailableException",
    );
    let not_found = (
        "invalid_request_error",
        "not_found_error",
        "NOT_FOUND",
        "ResourceNotFoundException",
    );
    check(
        ErrorCode::ModelNotFound,
        404,
        not_found.0,
        not_found.1,
        not_found.2,
        not_found.3,
    );
    let bad = (
        "invalid_request_error",
        "invalid_request_error",
        "INVALID_ARGUMENT",
        "ValidationException",
    );
    check(ErrorCode::InvalidJson, 400, bad.0, bad.1, bad.2, bad.3);
    check(ErrorCode::UpgradeRequired, 426, bad.0, bad.1, bad.2, bad.3);
    check(
        ErrorCode::BodyTooLarge,
        413,
        bad.0,
        "request_too_large",
        bad.2,
        bad.3,
    );
    check(
        ErrorCode::Overloaded,
        503,
        "server_error",
        "overloaded_error",
        "UNAVAILABLE",
        "ServiceUnavailableException",
    );
    check(
        ErrorCode::UpstreamTimeout,
        504,
        "server_error",
        "timeout_error",
        "DEADLINE_EXCEEDED",
        "ModelTimeoutException",
    );
    check(
        ErrorCode::UpstreamConnect,
        502,
        "server_error",
        "api_error",
        "UNAVAILABLE",
        "InternalServerException",
    );
    check(
        ErrorCode::Internal,
        500,
        "server_error",
        "api_error",
        "INTERNAL",
        "InternalServerException",
    );
}

#[test]
fn a_refused_quota_keeps_its_words_under_another_status() {
    let answer = ErrorAnswer::new(ErrorCode::QuotaExceeded, "m")
        .with_status(403)
        .retry_after(3600);
    assert_eq!(
        body(ErrorFamily::OpenAi, &answer)["error"]["type"],
        "insufficient_quota"
    );
    assert_eq!(
        body(ErrorFamily::Anthropic, &answer)["error"]["type"],
        "permission_error"
    );
    assert_eq!(
        header(ErrorFamily::OpenAi, &answer, "retry-after").as_deref(),
        Some("3600")
    );
}

#[test]
fn headers_of_every_code_and_family() {
    for family in FAMILIES {
        for code in ErrorCode::ALL {
            let answer = ErrorAnswer::new(*code, "m");
            let get = |name: &str| header(family, &answer, name);
            assert_eq!(get("x-sluice-request-id").as_deref(), Some(ID));
            assert_eq!(get("x-sluice-error").as_deref(), Some(code.name()));
            assert_eq!(get("content-type").as_deref(), Some("application/json"));
            let id_header = match family {
                ErrorFamily::Anthropic => "request-id",
                ErrorFamily::Bedrock => "x-amzn-requestid",
                ErrorFamily::OpenAi | ErrorFamily::Google | ErrorFamily::Plain => "x-request-id",
            };
            assert_eq!(get(id_header).as_deref(), Some(ID));
            assert_eq!(get("x-should-retry").is_some(), code.denial(), "{code:?}");
            if code.denial() {
                assert_eq!(get("retry-after"), None, "{code:?}: a quota states its own");
            }
            // Some clients retry whatever is called a server error.
            if answer.status < 500 {
                assert_ne!(
                    body(ErrorFamily::OpenAi, &answer)["error"]["type"],
                    "server_error",
                    "{code:?}"
                );
            }
            let mut names: Vec<_> = headers(family, &answer)
                .into_iter()
                .map(|(name, _)| name)
                .collect();
            let count = names.len();
            names.sort();
            names.dedup();
            assert_eq!(names.len(), count, "{code:?}: a header twice");
        }
    }
    let answer = ErrorAnswer::from_path(sluice_proto::route::PathError::MethodNotAllowed { allow: "POST" });
    assert_eq!(
        header(ErrorFamily::Plain, &answer, "allow").as_deref(),
        Some("POST")
    );
}

#[test]
fn codes_are_unique_and_documented() {
    let page = include_str!("../../../docs/ERRORS.md");
    let mut names: Vec<_> = ErrorCode::ALL.iter().map(|code| code.name()).collect();
    for code in ErrorCode::ALL {
        let row = format!("| `{}` | {} |", code.name(), code.status());
        assert!(page.contains(&row), "docs/ERRORS.md lacks the row {row}");
    }
    let rows = page
        .lines()
        .filter(|line| line.starts_with("| `") && line.matches('|').count() == 5)
        .count();
    assert_eq!(rows, names.len(), "docs/ERRORS.md lists another number of codes");
    names.sort_unstable();
    names.dedup();
    assert_eq!(names.len(), ErrorCode::ALL.len());
}

#[test]
fn streams_end_with_an_event_of_their_kind() {
    let answer = ErrorAnswer::new(ErrorCode::UpstreamClosed, "gone\n\ndata: x");
    let event = |kind: ApiKind, framing: StreamFraming| {
        let mut out = Vec::new();
        assert!(write_stream_error(kind, framing, &answer, ID, &mut out));
        out
    };
    let sse = |kind: ApiKind| {
        let text = String::from_utf8(event(kind, StreamFraming::Sse)).unwrap();
        assert!(
            text.ends_with("\n\n") && text.matches("\n\n").count() == 1,
            "{text:?}"
        );
        let name = text
            .lines()
            .find_map(|line| line.strip_prefix("event: "))
            .map(str::to_owned);
        let data = text.lines().find_map(|line| line.strip_prefix("data: ")).unwrap();
        (name, serde_json::from_str::<Value>(data).unwrap())
    };
    let (name, data) = sse(ApiKind::OpenAiChat);
    assert_eq!((name, &data["error"]["code"]), (None, &json!("upstream_closed")));
    let (name, data) = sse(ApiKind::OpenAiResponses);
    assert_eq!(name.as_deref(), Some("error"));
    assert_eq!(
        (&data["type"], &data["code"], &data["param"]),
        (&json!("error"), &json!("upstream_closed"), &Value::Null)
    );
    for kind in [ApiKind::AnthropicMessages, ApiKind::VertexRawPredict] {
        let (name, data) = sse(kind);
        assert_eq!(name.as_deref(), Some("error"));
        assert_eq!(
            (&data["type"], &data["error"]["type"]),
            (&json!("error"), &json!("api_error"))
        );
    }
    let (name, data) = sse(ApiKind::GeminiGenerate);
    assert_eq!((name, &data["error"]["status"]), (None, &json!("UNAVAILABLE")));
    let line = event(ApiKind::OllamaChat, StreamFraming::Ndjson);
    assert_eq!(line.iter().filter(|byte| **byte == b'\n').count(), 1);
    assert_eq!(
        serde_json::from_slice::<Value>(&line).unwrap()["error"],
        "gone\n\ndata: x"
    );
    for framing in [StreamFraming::JsonArray, StreamFraming::Opaque] {
        let mut out = Vec::new();
        assert!(!write_stream_error(
            ApiKind::GeminiGenerate,
            framing,
            &answer,
            ID,
            &mut out
        ));
        assert!(out.is_empty());
    }
}

/// CRC-32 (IEEE 802.3), bit by bit.
fn crc32(bytes: &[u8]) -> u32 {
    !bytes.iter().fold(!0u32, |crc, byte| {
        (0..8).fold(crc ^ u32::from(*byte), |crc, _| {
            crc >> 1 ^ if crc & 1 == 1 { 0xedb8_8320 } else { 0 }
        })
    })
}

#[test]
fn an_aws_event_stream_ends_with_an_exception() {
    let mut out = Vec::new();
    let answer = ErrorAnswer::new(ErrorCode::QuotaExceeded, "no more");
    assert!(write_stream_error(
        ApiKind::BedrockConverse,
        StreamFraming::EventStream,
        &answer,
        ID,
        &mut out
    ));
    let word = |at: usize| u32::from_be_bytes(out[at..at + 4].try_into().unwrap());
    assert_eq!(word(0) as usize, out.len());
    assert_eq!(word(8), crc32(&out[..8]));
    assert_eq!(word(out.len() - 4), crc32(&out[..out.len() - 4]));
    let mut at = 12;
    let mut found = Vec::new();
    while at < 12 + word(4) as usize {
        let len = usize::from(out[at]);
        let name = String::from_utf8_lossy(&out[at + 1..at + 1 + len]).into_owned();
        at += 1 + len;
        assert_eq!(out[at], 7);
        let len = usize::from(u16::from_be_bytes([out[at + 1], out[at + 2]]));
        found.push((
            name,
            String::from_utf8_lossy(&out[at + 3..at + 3 + len]).into_owned(),
        ));
        at += 3 + len;
    }
    let expected = [
        (":exception-type", "throttlingException"),
        (":content-type", "application/json"),
        (":message-type", "exception"),
    ];
    assert_eq!(
        found,
        expected.map(|(name, value)| (name.to_owned(), value.to_owned()))
    );
    assert_eq!(&out[at..out.len() - 4], br#"{"message":"no more"}"#);
}
