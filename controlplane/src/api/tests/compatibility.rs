//! Shapes that clients of other gateways of this kind know: the members which they read are there, and are of their kind.

use super::*;

const DOCUMENT: &str = r#"{
  "providers": {
    "anthropic": {"baseurl": "https://api.anthropic.com", "apikey": "sk-canary", "authorization": "x-api-key",
                  "models": ["claude-*"], "compatibility": {"anthropic_messages": true}},
  },
  "grants": [{"src": ["*"], "capabilities": [{"role": "admin", "models": "**"}]}],
}"#;

/// A request, and what is read of its answer: places and kinds.
struct Row {
    line: &'static str,
    body: Option<Value>,
    status: u16,
    kind: &'static str,
    reads: &'static [(&'static str, &'static str)],
}

fn kind(value: Option<&Value>) -> &'static str {
    match value {
        None => "absent",
        Some(Value::Null) => "null",
        Some(Value::Bool(_)) => "boolean",
        Some(Value::Number(_)) => "number",
        Some(Value::String(_)) => "string",
        Some(Value::Array(_)) => "array",
        Some(Value::Object(_)) => "object",
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn members_that_clients_read_are_there() {
    const JSON: &str = "application/json";
    const PROBLEM: &str = "application/problem+json";
    let api = Api::with(DOCUMENT).await;
    let changed = DOCUMENT
        .replace("sk-canary", "*redacted*")
        .replace("claude-*", "claude-sonnet-*");
    let row = |line, body, status, kind, reads| Row {
        line,
        body,
        status,
        kind,
        reads,
    };
    let rows = [
        row(
            "GET /aperture/config",
            None,
            200,
            JSON,
            &[("/config", "string"), ("/etag", "string")],
        ),
        row(
            "POST /aperture/config:validate",
            Some(json!({ "config": DOCUMENT })),
            200,
            JSON,
            &[("/valid", "boolean"), ("/messages", "array")],
        ),
        row(
            "GET /api/config",
            None,
            200,
            JSON,
            &[("/config", "string"), ("/hash", "string")],
        ),
        row(
            "PUT /api/config",
            Some(json!({ "config": "{", "hash": "*" })),
            422,
            PROBLEM,
            &[
                ("/messages/0/text", "string"),
                ("/messages/0/line", "number"),
                ("/detail", "string"),
            ],
        ),
        row(
            "PUT /api/config",
            Some(json!({ "config": changed, "hash": "1-0000000000000000" })),
            412,
            PROBLEM,
            &[("/etag", "string"), ("/detail", "string")],
        ),
        row(
            "PUT /api/config",
            Some(json!({ "config": changed })),
            428,
            PROBLEM,
            &[("/detail", "string")],
        ),
        row(
            "GET /api/providers",
            None,
            200,
            JSON,
            &[
                ("/providers/0/id", "string"),
                ("/providers/0/name", "string"),
                ("/providers/0/description", "string"),
                ("/providers/0/baseurl", "string"),
                ("/providers/0/models/0", "string"),
                ("/providers/0/compatibility/0", "string"),
                ("/providers/0/authorization", "string"),
                ("/providers/0/preference", "number"),
                ("/providers/0/apikey", "absent"),
            ],
        ),
        row(
            "GET /api/quotas",
            None,
            200,
            JSON,
            &[("/quotas", "array"), ("/time", "string")],
        ),
        row(
            "POST /api/quotas/refill",
            Some(json!({ "bucket": "daily:alice", "amount": "$5.00" })),
            404,
            PROBLEM,
            &[
                ("/type", "string"),
                ("/title", "string"),
                ("/status", "number"),
                ("/detail", "string"),
            ],
        ),
        row(
            "GET /aperture/openapi.json",
            None,
            200,
            JSON,
            &[("/openapi", "string"), ("/paths", "object")],
        ),
    ];
    for Row {
        line,
        body,
        status,
        kind: content,
        reads,
    } in rows
    {
        let body = body.map(|body| body.to_string()).unwrap_or_default();
        let request = format!(
            "{line} HTTP/1.1\r\nhost: x\r\nx-sluice-role: admin\r\nx-sluice-login: root\r\ncontent-type: application/json\r\ncontent-length: {}\r\nconnection: close\r\n\r\n{body}",
            body.len()
        );
        let answer = described::ask(&api.path, request.as_bytes());
        assert_eq!(
            (answer.status, answer.header("content-type")),
            (status, content),
            "{line}: {answer}"
        );
        let found = answer.json();
        for (place, wanted) in reads {
            assert_eq!(kind(found.pointer(place)), *wanted, "{line} {place}: {answer}");
        }
        assert!(!answer.to_string().contains("canary"), "{line} shows a key");
    }
}
