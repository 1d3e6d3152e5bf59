//! Errors as `application/problem+json` (RFC 9457).

use axum::http::{StatusCode, header};
use axum::response::{IntoResponse, Response};
use serde_json::json;

use crate::link::chain;
use crate::store::StoreError;

/// An error answer.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Problem {
    status: StatusCode,
    /// Last part of the `type`, and how programs tell problems apart.
    code: &'static str,
    detail: String,
}

impl Problem {
    fn new(status: StatusCode, code: &'static str, detail: impl Into<String>) -> Self {
        Self {
            status,
            code,
            detail: detail.into(),
        }
    }

    pub(super) fn bad_parameter(name: &str, what: impl std::fmt::Display) -> Self {
        Self::new(
            StatusCode::BAD_REQUEST,
            "bad-parameter",
            format!("parameter {name:?} {what}"),
        )
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
            "this resource is read with GET",
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
        let body = json!({
            "type": format!("urn:sluice:problem:{}", self.code),
            "title": self.status.canonical_reason().unwrap_or("Error"),
            "status": self.status.as_u16(),
            "detail": self.detail,
        });
        (
            self.status,
            [(header::CONTENT_TYPE, "application/problem+json")],
            body.to_string(),
        )
            .into_response()
    }
}
