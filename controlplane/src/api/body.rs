//! Bodies of requests: JSON objects of a bounded size.

use axum::body::Bytes;
use axum::extract::{FromRequest as _, Request};
use axum::http::{HeaderMap, StatusCode, header};
use serde_json::{Map, Value};

use super::problem::Problem;

/// Largest body, in bytes.
pub(super) const BODY_BYTES_MAX: usize = 4 << 20;

/// Reads the JSON object that a request brings.
pub(super) async fn object(request: Request) -> Result<Map<String, Value>, Problem> {
    is_json(request.headers())?;
    // The router's limit counts while the body comes.
    let bytes = Bytes::from_request(request, &()).await.map_err(|rejection| {
        if rejection.status() == StatusCode::PAYLOAD_TOO_LARGE {
            Problem::too_large()
        } else {
            Problem::bad_body("the body did not come whole")
        }
    })?;
    match serde_json::from_slice(&bytes) {
        Ok(Value::Object(object)) => Ok(object),
        Ok(_) => Err(Problem::bad_body("the body must be a JSON object")),
        // The words of the parser name a place and a kind of mistake, never the text.
        Err(error) => Err(Problem::bad_body(format!(
            "the body is not JSON (line {}, column {})",
            error.line(),
            error.column()
        ))),
    }
}

fn is_json(headers: &HeaderMap) -> Result<(), Problem> {
    let kind = headers
        .get(header::CONTENT_TYPE)
        .and_then(|value| value.to_str().ok())
        .unwrap_or_default();
    let kind = kind.split(';').next().unwrap_or_default().trim();
    if kind.eq_ignore_ascii_case("application/json") {
        Ok(())
    } else {
        Err(Problem::unsupported_media_type())
    }
}

/// A text among the members of a body.
pub(super) fn text<'a>(object: &'a Map<String, Value>, name: &str) -> Result<Option<&'a str>, Problem> {
    match object.get(name) {
        None | Some(Value::Null) => Ok(None),
        Some(Value::String(text)) => Ok(Some(text)),
        Some(_) => Err(Problem::bad_body(format!("{name:?} must be a string"))),
    }
}
