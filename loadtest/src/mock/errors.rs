//! Errors in each provider's own words: a whole answer, and the event that ends a stream.

use serde_json::{Value, json};

use super::answer::Draft;
use super::route::{Family, Kind};
use super::settings::Settings;

/// The answer to a request that `settings.status` says shall fail.
pub(super) fn draft(kind: Kind, status: u16, message: &str, settings: &Settings, id: &str) -> Draft {
    let family = kind.family();
    let mut draft = Draft::json(&body(family, status, message, id));
    draft.status = status;
    if let Some(seconds) = settings.retry_after {
        draft = draft.field("retry-after", seconds.to_string());
    }
    match family {
        Family::Anthropic => draft.field("request-id", format!("req_{id}")),
        Family::Bedrock => draft
            .field(
                "x-amzn-errortype",
                format!("{}:http://internal.amazon.com/coral/", exception(status)),
            )
            .field("x-amzn-requestid", id),
        _ => draft.field("x-request-id", format!("req_{id}")),
    }
}

/// The body of an error, by family.
pub(super) fn body(family: Family, status: u16, message: &str, id: &str) -> Value {
    match family {
        Family::OpenAi => {
            let (kind, code) = openai(status);
            json!({"error": {"message": message, "type": kind, "param": null, "code": code}})
        }
        Family::Anthropic => json!({
            "type": "error",
            "error": {"type": anthropic(status), "message": message},
            "request_id": format!("req_{id}"),
        }),
        Family::Google => json!({"error": {"code": status, "message": message, "status": google(status)}}),
        Family::Bedrock => json!({"message": message}),
        Family::Ollama => json!({"error": message}),
    }
}

fn openai(status: u16) -> (&'static str, Value) {
    match status {
        401 => ("invalid_request_error", json!("invalid_api_key")),
        403 => ("permission_error", json!("forbidden")),
        404 => ("invalid_request_error", json!("model_not_found")),
        429 => ("rate_limit_error", json!("rate_limit_exceeded")),
        503 => ("server_error", json!("server_is_overloaded")),
        500.. => ("server_error", Value::Null),
        _ => ("invalid_request_error", Value::Null),
    }
}

fn anthropic(status: u16) -> &'static str {
    match status {
        401 => "authentication_error",
        402 => "billing_error",
        403 => "permission_error",
        404 => "not_found_error",
        413 => "request_too_large",
        429 => "rate_limit_error",
        504 => "timeout_error",
        529 => "overloaded_error",
        500.. => "api_error",
        _ => "invalid_request_error",
    }
}

fn google(status: u16) -> &'static str {
    match status {
        401 => "UNAUTHENTICATED",
        403 => "PERMISSION_DENIED",
        404 => "NOT_FOUND",
        429 => "RESOURCE_EXHAUSTED",
        503 | 529 => "UNAVAILABLE",
        504 => "DEADLINE_EXCEEDED",
        500.. => "INTERNAL",
        _ => "INVALID_ARGUMENT",
    }
}

fn exception(status: u16) -> &'static str {
    match status {
        401 | 403 => "AccessDeniedException",
        404 => "ResourceNotFoundException",
        408 => "ModelTimeoutException",
        424 => "ModelErrorException",
        429 => "ThrottlingException",
        503 | 529 => "ServiceUnavailableException",
        500.. => "InternalServerException",
        _ => "ValidationException",
    }
}
