//! Body and headers of an error answer.

use super::{ErrorAnswer, ErrorFamily};
use crate::splice::write_json_string;

/// The media type of every error body.
#[must_use]
pub const fn content_type() -> &'static str {
    "application/json"
}

/// Appends the body of `answer` in the shape of `family`.
pub fn write_error(family: ErrorFamily, answer: &ErrorAnswer, request_id: &str, out: &mut Vec<u8>) {
    match family {
        ErrorFamily::OpenAi => {
            out.extend_from_slice(br#"{"error":"#);
            write_openai_object(answer, out);
            out.push(b'}');
        }
        ErrorFamily::Anthropic => write_anthropic_object(answer, request_id, out),
        ErrorFamily::Google => write_google_object(answer, out),
        ErrorFamily::Bedrock => {
            out.extend_from_slice(br#"{"message":"#);
            write_json_string(&answer.message, out);
            out.push(b'}');
        }
        ErrorFamily::Plain => {
            out.extend_from_slice(br#"{"error":"#);
            write_json_string(&answer.message, out);
            out.push(b'}');
        }
    }
}

/// `{"message","type","param":null,"code"}`
pub(crate) fn write_openai_object(answer: &ErrorAnswer, out: &mut Vec<u8>) {
    out.extend_from_slice(br#"{"message":"#);
    write_json_string(&answer.message, out);
    out.extend_from_slice(br#","type":"#);
    write_json_string(answer.code.word(ErrorFamily::OpenAi, answer.status), out);
    out.extend_from_slice(br#","param":null,"code":"#);
    write_json_string(answer.code.openai_code(), out);
    out.push(b'}');
}

/// `{"type":"error","error":{"type","message"},"request_id"}`
pub(crate) fn write_anthropic_object(answer: &ErrorAnswer, request_id: &str, out: &mut Vec<u8>) {
    out.extend_from_slice(br#"{"type":"error","error":{"type":"#);
    write_json_string(answer.code.word(ErrorFamily::Anthropic, answer.status), out);
    out.extend_from_slice(br#","message":"#);
    write_json_string(&answer.message, out);
    out.extend_from_slice(br#"},"request_id":"#);
    write_json_string(request_id, out);
    out.push(b'}');
}

/// `{"error":{"code","message","status"}}`
pub(crate) fn write_google_object(answer: &ErrorAnswer, out: &mut Vec<u8>) {
    out.extend_from_slice(br#"{"error":{"code":"#);
    out.extend_from_slice(itoa::Buffer::new().format(answer.status).as_bytes());
    out.extend_from_slice(br#","message":"#);
    write_json_string(&answer.message, out);
    out.extend_from_slice(br#","status":"#);
    write_json_string(answer.code.word(ErrorFamily::Google, answer.status), out);
    out.extend_from_slice(b"}}");
}

/// Hands every header of the answer beyond framing, date and connection to `push(name, value)`: content type, ids,
/// code, retry advice. Names are lower case but for AWS's own spelling.
pub fn error_headers(
    family: ErrorFamily,
    answer: &ErrorAnswer,
    request_id: &str,
    mut push: impl FnMut(&str, &str),
) {
    push("content-type", content_type());
    push("x-sluice-request-id", request_id);
    push("x-sluice-error", answer.code.name());
    match family {
        ErrorFamily::Anthropic => push("request-id", request_id),
        ErrorFamily::Bedrock => {
            push("x-amzn-ErrorType", answer.code.word(family, answer.status));
            push("x-amzn-requestid", request_id);
        }
        ErrorFamily::OpenAi | ErrorFamily::Google | ErrorFamily::Plain => push("x-request-id", request_id),
    }
    if answer.code.denial() {
        push("x-should-retry", "false");
    }
    if let Some(seconds) = answer.retry_after_s {
        push("retry-after", itoa::Buffer::new().format(seconds));
    }
    if let Some(allow) = answer.allow {
        push("allow", allow);
    }
    if answer.status == 401 {
        // RFC 9110 §11.6.1 wants one, RFC 6750 §3 says which.
        push("www-authenticate", r#"Bearer error="invalid_token""#);
    }
    if answer.status == 426 {
        push("upgrade", "HTTP/1.1");
    }
}
