//! Errors as `application/problem+json` (RFC 9457).

use axum::http::{HeaderName, HeaderValue, StatusCode, header};
use axum::response::{IntoResponse, Response};
use serde_json::{Map, Value, json};

use crate::audit::AuditError;
use crate::link::chain;
use crate::live::NoSeat;
use crate::store::StoreError;

/// An error answer.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Problem {
    status: StatusCode,
    /// Last part of the `type`, and how programs tell problems apart.
    code: &'static str,
    detail: String,
    /// Further members of the body.
    more: Box<Map<String, Value>>,
    /// Headers beside the content type.
    headers: Vec<(HeaderName, HeaderValue)>,
}

impl Problem {
    fn new(status: StatusCode, code: &'static str, detail: impl Into<String>) -> Self {
        Self {
            status,
            code,
            detail: detail.into(),
            more: Box::default(),
            headers: Vec::new(),
        }
    }

    fn header(mut self, name: HeaderName, value: &str) -> Self {
        // What is no header value is left out; none of ours is.
        if let Ok(value) = HeaderValue::from_str(value) {
            self.headers.push((name, value));
        }
        self
    }

    fn with(mut self, name: &str, value: impl Into<Value>) -> Self {
        self.more.insert(name.to_owned(), value.into());
        self
    }

    pub(super) fn bad_parameter(name: &str, what: impl std::fmt::Display) -> Self {
        Self::new(
            StatusCode::BAD_REQUEST,
            "bad-parameter",
            format!("parameter {name:?} {what}"),
        )
    }

    /// A parameter that the route does not have, with those that it has.
    pub(super) fn unknown_parameter(name: &str, known: &[&str]) -> Self {
        let what = if known.is_empty() {
            "is not known; there are none here".to_owned()
        } else {
            format!("is not known; known are {}", known.join(", "))
        };
        Self::bad_parameter(name, what).with("known", known)
    }

    pub(super) fn no_role() -> Self {
        Self::new(
            StatusCode::FORBIDDEN,
            "no-role",
            "access denied: no role granted; ask whoever runs this gateway",
        )
    }

    pub(super) fn bad_principal() -> Self {
        Self::new(
            StatusCode::FORBIDDEN,
            "bad-principal",
            "the request does not say who calls",
        )
    }

    pub(super) fn not_found(detail: &str) -> Self {
        Self::new(StatusCode::NOT_FOUND, "not-found", detail)
    }

    pub(super) fn method_not_allowed() -> Self {
        Self::new(
            StatusCode::METHOD_NOT_ALLOWED,
            "method-not-allowed",
            "this resource has no such method; the header Allow lists those it has",
        )
    }

    pub(super) fn admins_only() -> Self {
        Self::new(
            StatusCode::FORBIDDEN,
            "admins-only",
            "this needs the role admin; yours is user",
        )
    }

    pub(super) fn only_yourself() -> Self {
        Self::new(
            StatusCode::FORBIDDEN,
            "only-yourself",
            "with the role user you can ask about yourself only, without parameters that say who you are",
        )
    }

    /// The caller has used up what it may ask.
    pub(super) fn too_fast(wait_s: u64) -> Self {
        Self::new(
            StatusCode::TOO_MANY_REQUESTS,
            "too-fast",
            format!("you ask faster than this API answers one caller; go on in {wait_s} s"),
        )
        .header(header::RETRY_AFTER, &wait_s.to_string())
    }

    pub(super) fn bad_header(name: &str) -> Self {
        Self::new(
            StatusCode::BAD_REQUEST,
            "bad-header",
            format!("the header {name} cannot be read"),
        )
    }

    pub(super) fn bad_body(detail: impl Into<String>) -> Self {
        Self::new(StatusCode::BAD_REQUEST, "bad-body", detail)
    }

    pub(super) fn unsupported_media_type() -> Self {
        Self::new(
            StatusCode::UNSUPPORTED_MEDIA_TYPE,
            "unsupported-media-type",
            "the body must be application/json",
        )
    }

    pub(super) fn too_large() -> Self {
        Self::new(
            StatusCode::PAYLOAD_TOO_LARGE,
            "body-too-large",
            format!("the body is longer than {} bytes", super::body::BODY_BYTES_MAX),
        )
    }

    pub(super) fn precondition_required(detail: &str) -> Self {
        Self::new(StatusCode::PRECONDITION_REQUIRED, "precondition-required", detail)
    }

    /// The document in use is not the one that was to be replaced.
    pub(super) fn precondition_failed(etag: &str) -> Self {
        Self::new(
            StatusCode::PRECONDITION_FAILED,
            "precondition-failed",
            "the document has changed since it was read; read it again and redo the change",
        )
        .with("etag", etag)
    }

    pub(super) fn invalid_config(messages: Value) -> Self {
        Self::new(
            StatusCode::UNPROCESSABLE_ENTITY,
            "invalid-config",
            "the document was not saved: errors and warnings are to be mended first",
        )
        .with("messages", messages)
    }

    pub(super) fn not_written(path: &str, error: &std::io::Error) -> Self {
        Self::new(
            StatusCode::SERVICE_UNAVAILABLE,
            "config-not-written",
            format!(
                "cannot write {path}: {error}; the gateway's user must own the file and be able to write its folder \
                 (mount the folder, not the file)"
            ),
        )
    }

    pub(super) fn not_published(said: &str) -> Self {
        Self::new(
            StatusCode::SERVICE_UNAVAILABLE,
            "config-not-published",
            format!("the document could not be put into use: {said}; the one in use stays"),
        )
    }

    pub(super) fn no_version(id: &str) -> Self {
        Self::new(
            StatusCode::NOT_FOUND,
            "no-version",
            format!("version {id:?} is not in the history; GET /api/config/history lists what is"),
        )
    }

    pub(super) fn no_token(detail: String) -> Self {
        Self::new(StatusCode::NOT_FOUND, "no-token", detail)
    }

    pub(super) fn token_not_yours(detail: String) -> Self {
        Self::new(StatusCode::FORBIDDEN, "token-not-yours", detail)
    }

    pub(super) fn tokens_full(detail: String) -> Self {
        Self::new(StatusCode::CONFLICT, "tokens-full", detail)
    }

    pub(super) fn bad_token(detail: String) -> Self {
        Self::new(StatusCode::UNPROCESSABLE_ENTITY, "bad-token", detail)
    }

    pub(super) fn tokens_unavailable() -> Self {
        Self::new(
            StatusCode::SERVICE_UNAVAILABLE,
            "tokens",
            "the store could not answer; the log says why",
        )
    }

    pub(super) fn no_bucket(detail: impl Into<String>) -> Self {
        Self::new(StatusCode::NOT_FOUND, "no-bucket", detail)
    }

    /// A name that several quotas have given.
    pub(super) fn ambiguous_bucket(name: &str, candidates: Value) -> Self {
        Self::new(
            StatusCode::CONFLICT,
            "ambiguous-bucket",
            format!("several quotas have a bucket {name:?}; say which with \"quota\""),
        )
        .with("candidates", candidates)
    }

    pub(super) fn bad_amount(detail: impl Into<String>) -> Self {
        Self::new(StatusCode::UNPROCESSABLE_ENTITY, "bad-amount", detail)
    }

    pub(super) fn no_capture() -> Self {
        Self::new(
            StatusCode::NOT_FOUND,
            "no-capture",
            "there is no such capture, or it was purged, or it is not yours",
        )
    }

    /// A range that lies beyond a body of so many bytes.
    pub(super) fn no_such_range(bytes: usize) -> Self {
        Self::new(
            StatusCode::RANGE_NOT_SATISFIABLE,
            "no-such-range",
            format!("the body has {bytes} bytes, none of them in the range"),
        )
        .header(header::CONTENT_RANGE, &format!("bytes */{bytes}"))
    }

    pub(super) fn captures_unavailable(said: &str) -> Self {
        Self::new(
            StatusCode::SERVICE_UNAVAILABLE,
            "captures",
            format!("{said}; the log says more"),
        )
    }

    pub(super) fn no_seat(why: NoSeat) -> Self {
        let text = match why {
            NoSeat::Full => "too many watch already, or you do yourself; close another page and try again",
            NoSeat::Closed => "the control plane stops; try again shortly",
        };
        Self::new(StatusCode::SERVICE_UNAVAILABLE, "no-seat", text)
    }

    pub(super) fn internal() -> Self {
        Self::new(
            StatusCode::INTERNAL_SERVER_ERROR,
            "internal",
            "the control plane made a mistake; the log says which",
        )
    }
}

/// What cannot be put on record is not done.
impl From<AuditError> for Problem {
    fn from(error: AuditError) -> Self {
        tracing::error!(error = %chain(&error), "an act was refused: the audit could not be written");
        Self::new(
            StatusCode::SERVICE_UNAVAILABLE,
            "audit",
            "nothing was done: the act could not be put on record; the log says why",
        )
    }
}

impl From<StoreError> for Problem {
    fn from(error: StoreError) -> Self {
        tracing::error!(error = %chain(&error), "the store failed a query");
        Self::new(
            StatusCode::SERVICE_UNAVAILABLE,
            "store",
            "the store could not answer; the log says why",
        )
    }
}

impl IntoResponse for Problem {
    fn into_response(self) -> Response {
        let mut body = json!({
            "type": format!("urn:sluice:problem:{}", self.code),
            "title": self.status.canonical_reason().unwrap_or("Error"),
            "status": self.status.as_u16(),
            "detail": self.detail,
        });
        if let Some(members) = body.as_object_mut() {
            members.extend(*self.more);
        }
        let kind = [(header::CONTENT_TYPE, "application/problem+json")];
        let mut response = (self.status, kind, body.to_string()).into_response();
        response.headers_mut().extend(self.headers);
        response
    }
}
