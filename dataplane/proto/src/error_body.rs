//! Errors made by Sluice, written in the words of the API that was called (`docs/ERRORS.md`).
//!
//! An [`ErrorAnswer`] says what happened: a stable [`ErrorCode`], a status and a sentence for a person. The caller's
//! [`ErrorFamily`] decides how it looks: body, extra headers, and the event that ends a stream already begun.
//! Provider errors never come through here; they pass byte for byte.

use std::borrow::Cow;

pub use sluice_shared::api::{ApiKind, ErrorFamily};

mod code;
mod stream;
mod write;

pub use code::ErrorCode;
pub use stream::{StreamFraming, write_stream_error};
pub use write::{content_type, error_headers, write_error};

/// An error to be told to a client.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ErrorAnswer {
    /// HTTP status.
    pub status: u16,
    /// Stable code, sent as `x-sluice-error`.
    pub code: ErrorCode,
    /// A sentence for the person; names no key, address or upstream body.
    pub message: Cow<'static, str>,
    /// `Retry-After`, in seconds.
    pub retry_after_s: Option<u32>,
    /// `Allow`, for 405.
    pub allow: Option<&'static str>,
}

impl ErrorAnswer {
    /// An answer with the code's own status and, for passing troubles of ours, its usual `Retry-After`.
    #[must_use]
    pub fn new(code: ErrorCode, message: impl Into<Cow<'static, str>>) -> Self {
        Self {
            status: code.status(),
            code,
            message: message.into(),
            retry_after_s: code.retry_after_s(),
            allow: None,
        }
    }

    /// The same with another `Retry-After`, in seconds.
    #[must_use]
    pub fn retry_after(mut self, seconds: u32) -> Self {
        self.retry_after_s = Some(seconds);
        self
    }

    /// The same with another status: `quotas.<name>.deny_status`, or a more exact 400 or 502.
    #[must_use]
    pub fn with_status(mut self, status: u16) -> Self {
        self.status = status;
        self
    }

    /// The answer to a path that is not served.
    #[must_use]
    pub fn from_path(error: crate::route::PathError) -> Self {
        use crate::route::PathError;
        match error {
            PathError::BadPath => Self::new(ErrorCode::BadPath, "the request path is malformed or ambiguous"),
            PathError::NotFound => Self::new(ErrorCode::PathNotFound, "no such path on this gateway"),
            PathError::MethodNotAllowed { allow } => Self {
                allow: Some(allow),
                ..Self::new(
                    ErrorCode::MethodNotAllowed,
                    format!("method not allowed; allowed: {allow}"),
                )
            },
        }
    }

    /// The answer to a body that is no acceptable JSON.
    #[must_use]
    pub fn from_json(reject: &crate::json::JsonReject) -> Self {
        use crate::json::JsonReason;
        let code = match reject.reason {
            JsonReason::Syntax(_) | JsonReason::Limit(_) => ErrorCode::InvalidJson,
            JsonReason::Duplicate(_) | JsonReason::CaseVariant(_) | JsonReason::WrongType { .. } => {
                ErrorCode::BadRequest
            }
        };
        Self::new(code, reject.to_string())
    }

    /// The answer to a form that is refused.
    #[must_use]
    pub fn from_multipart(reject: &crate::multipart::MultipartReject) -> Self {
        Self::new(ErrorCode::InvalidMultipart, reject.to_string())
    }
}
