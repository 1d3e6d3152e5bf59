//! The stable codes and what follows from each.

use super::ErrorFamily;

macro_rules! codes {
    ($($(#[$meta:meta])* $variant:ident = $name:literal, $status:literal);+ $(;)?) => {
        /// What went wrong, in Sluice's own stable words (`x-sluice-error`).
        #[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
        pub enum ErrorCode { $($(#[$meta])* $variant),+ }

        impl ErrorCode {
            /// Every code.
            pub const ALL: &'static [Self] = &[$(Self::$variant),+];

            /// The word sent in `x-sluice-error`; never changes.
            #[must_use]
            pub const fn name(self) -> &'static str {
                match self { $(Self::$variant => $name),+ }
            }

            /// Its usual HTTP status.
            #[must_use]
            pub const fn status(self) -> u16 {
                match self { $(Self::$variant => $status),+ }
            }
        }
    };
}

codes! {
    /// The HTTP message itself is malformed; the connection closes.
    BadHttp = "bad_http", 400;
    /// The path could be read in two ways.
    BadPath = "bad_path", 400;
    /// A field that policy needs is missing, doubled or of the wrong type.
    BadRequest = "bad_request", 400;
    /// The body is not JSON, or too complex.
    InvalidJson = "invalid_json", 400;
    /// The body is not an acceptable `multipart/form-data`.
    InvalidMultipart = "invalid_multipart", 400;
    /// No model named, or a name outside the alphabet.
    InvalidModel = "invalid_model", 400;
    /// What the request may use has no bound, under a quota that wants one.
    CannotBound = "cannot_bound", 400;
    /// Two different credentials of this gateway's shape in one request.
    CredentialAmbiguous = "credential_ambiguous", 400;
    /// A credential that claims to be this gateway's own, or of a configured issuer, and does not hold.
    CredentialRefused = "credential_refused", 401;
    /// No identity source knows the peer.
    IdentityUnknown = "identity_unknown", 403;
    /// Connection and credential prove different principals.
    IdentityConflict = "identity_conflict", 403;
    /// A page of another origin tried to reach the administration.
    ForeignOrigin = "foreign_origin", 403;
    /// The caller has no role.
    NoRole = "no_role", 403;
    /// The model is not granted to the caller.
    ModelNotGranted = "model_not_granted", 403;
    /// The model has no price, under a quota in dollars that wants one.
    UnpricedModel = "unpriced_model", 403;
    /// The caller may not see this page (admin, metrics).
    Forbidden = "forbidden", 403;
    /// A guardrail or hook refused the call.
    GuardrailBlocked = "guardrail_blocked", 403;
    /// No row of the path table matches.
    PathNotFound = "path_not_found", 404;
    /// Nobody serves the model on this API.
    ModelNotFound = "model_not_found", 404;
    /// The path is known, the method is not allowed on it.
    MethodNotAllowed = "method_not_allowed", 405;
    /// The client was too slow with its head or body.
    RequestTimeout = "request_timeout", 408;
    /// A body without a stated length where one is needed.
    LengthRequired = "length_required", 411;
    /// The body is above the limit.
    BodyTooLarge = "body_too_large", 413;
    /// The URI is above the limit.
    UriTooLong = "uri_too_long", 414;
    /// A `Content-Encoding` on the request.
    UnsupportedEncoding = "unsupported_encoding", 415;
    /// A `Content-Type` that this API does not take.
    UnsupportedMediaType = "unsupported_media_type", 415;
    /// An expectation other than `100-continue`.
    ExpectationFailed = "expectation_failed", 417;
    /// WebSockets are not served here; use POST.
    UpgradeRequired = "upgrade_required", 426;
    /// A bucket is empty.
    QuotaExceeded = "quota_exceeded", 429;
    /// A quota counts that is not defined, or whose definition cannot be read.
    QuotaUndefined = "quota_undefined", 429;
    /// The caller has too much in flight.
    TooManyRequests = "too_many_requests", 429;
    /// Header section above the limit.
    HeadersTooLarge = "headers_too_large", 431;
    /// A fault of ours.
    Internal = "internal", 500;
    /// A method or transfer coding that we do not implement.
    NotImplemented = "not_implemented", 501;
    /// The provider could not be reached.
    UpstreamConnect = "upstream_connect", 502;
    /// The provider's answer was not acceptable HTTP.
    UpstreamBadAnswer = "upstream_bad_answer", 502;
    /// The provider broke off in mid-answer.
    UpstreamClosed = "upstream_closed", 502;
    /// The control plane cannot be asked who this is.
    IdentityUnavailable = "identity_unavailable", 503;
    /// What is left of a quota cannot be found out.
    QuotaUnavailable = "quota_unavailable", 503;
    /// The control plane does not answer.
    ControlPlaneUnavailable = "control_plane_unavailable", 503;
    /// A hook failed whose policy is fail-closed.
    HookFailed = "hook_failed", 503;
    /// What is to be kept of the call finds no room, and nothing is to be served without that.
    CaptureUnavailable = "capture_unavailable", 503;
    /// Out of the memory or connections set aside for requests.
    Overloaded = "overloaded", 503;
    /// The gateway is going down.
    ShuttingDown = "shutting_down", 503;
    /// No configuration has been loaded yet.
    NotReady = "not_ready", 503;
    /// The provider did not answer in time.
    UpstreamTimeout = "upstream_timeout", 504;
    /// An HTTP version that is not served.
    HttpVersion = "http_version_not_supported", 505;
}

impl ErrorCode {
    /// A decision about this caller, which no retry changes: sent with `x-should-retry: false`.
    #[must_use]
    pub const fn denial(self) -> bool {
        matches!(
            self,
            Self::CredentialAmbiguous
                | Self::CredentialRefused
                | Self::IdentityUnknown
                | Self::IdentityConflict
                | Self::ForeignOrigin
                | Self::NoRole
                | Self::ModelNotGranted
                | Self::Forbidden
                | Self::GuardrailBlocked
                | Self::QuotaExceeded
                | Self::QuotaUndefined
                | Self::CannotBound
                | Self::UnpricedModel
        )
    }

    /// `Retry-After` where waiting helps, in seconds. A quota states its own.
    #[must_use]
    pub const fn retry_after_s(self) -> Option<u32> {
        match self {
            Self::IdentityUnavailable
            | Self::QuotaUnavailable
            | Self::ControlPlaneUnavailable
            | Self::HookFailed
            | Self::CaptureUnavailable
            | Self::Overloaded
            | Self::ShuttingDown
            | Self::NotReady
            | Self::TooManyRequests => Some(1),
            _ => None,
        }
    }

    /// OpenAI's `error.type`. Never `server_error` for a 4xx: some clients retry on the word alone.
    pub(crate) const fn openai_type(self, status: u16) -> &'static str {
        match self {
            Self::QuotaExceeded | Self::QuotaUndefined => "insufficient_quota",
            Self::GuardrailBlocked => "guardrail_blocked",
            // As the API itself answers a wrong key.
            Self::CredentialRefused => "invalid_request_error",
            _ => match status {
                401 => "authentication_error",
                403 => "permission_error",
                429 => "rate_limit_error",
                400..=499 => "invalid_request_error",
                _ => "server_error",
            },
        }
    }

    /// OpenAI's `error.code`: its own word where clients know one, else ours.
    pub(crate) const fn openai_code(self) -> &'static str {
        match self {
            Self::QuotaExceeded | Self::QuotaUndefined => "insufficient_quota",
            Self::TooManyRequests => "rate_limit_exceeded",
            Self::CredentialRefused => "invalid_api_key",
            _ => self.name(),
        }
    }

    /// Anthropic's `error.type`.
    pub(crate) const fn anthropic_type(self, status: u16) -> &'static str {
        match self {
            Self::GuardrailBlocked => "invalid_request_error",
            Self::Overloaded => "overloaded_error",
            _ => match status {
                401 => "authentication_error",
                403 => "permission_error",
                404 => "not_found_error",
                413 => "request_too_large",
                429 => "rate_limit_error",
                400..=499 => "invalid_request_error",
                504 => "timeout_error",
                _ => "api_error",
            },
        }
    }

    /// Google's canonical status name (`google.rpc.Code`).
    pub(crate) const fn google_status(self, status: u16) -> &'static str {
        match self {
            Self::GuardrailBlocked => "PERMISSION_DENIED",
            Self::QuotaExceeded | Self::QuotaUndefined => "RESOURCE_EXHAUSTED",
            _ => match status {
                401 => "UNAUTHENTICATED",
                403 => "PERMISSION_DENIED",
                404 => "NOT_FOUND",
                429 => "RESOURCE_EXHAUSTED",
                501 => "UNIMPLEMENTED",
                400..=499 => "INVALID_ARGUMENT",
                504 => "DEADLINE_EXCEEDED",
                500 => "INTERNAL",
                _ => "UNAVAILABLE",
            },
        }
    }

    /// AWS's exception name, on which its SDKs dispatch.
    pub(crate) const fn amzn_type(self, status: u16) -> &'static str {
        match self {
            Self::QuotaExceeded | Self::QuotaUndefined => "ThrottlingException",
            _ => match status {
                401 => "UnrecognizedClientException",
                403 => "AccessDeniedException",
                404 => "ResourceNotFoundException",
                408 | 504 => "ModelTimeoutException",
                429 => "ThrottlingException",
                400..=499 => "ValidationException",
                503 => "ServiceUnavailableException",
                _ => "InternalServerException",
            },
        }
    }

    /// The family's word for this error, as written in the body or header.
    pub(crate) const fn word(self, family: ErrorFamily, status: u16) -> &'static str {
        match family {
            ErrorFamily::OpenAi => self.openai_type(status),
            ErrorFamily::Anthropic => self.anthropic_type(status),
            ErrorFamily::Google => self.google_status(status),
            ErrorFamily::Bedrock => self.amzn_type(status),
            ErrorFamily::Plain => self.name(),
        }
    }
}
