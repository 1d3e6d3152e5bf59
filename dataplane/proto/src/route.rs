//! The path table: which API a request path names, where its model stands, and what path the upstream gets.
//!
//! A path is classified once; the same [`Route`] is used for authorisation and for forwarding, so the two cannot
//! disagree. Clients keep arbitrary prefixes (`/openai/v1/…`) or drop the version (`/models/M:generateContent`), so
//! rows are matched at the end of the path; only the canonical suffix is ever forwarded. The admin prefixes
//! (`/ui`, `/api`, `/aperture`) match at the very start only and win over every suffix.

use std::ops::Range;

pub use sluice_shared::api::ApiKind;

mod admin_guard;
mod classify;
mod samples;
mod table;
mod upstream;

pub use admin_guard::{AdminHosts, AdminRefusal, admin_guard};
pub use classify::classify;
#[doc(hidden)]
pub use samples::{Sample, samples};
pub use sluice_shared::model_name::{MODEL_BYTES_MAX, valid_model};
pub use upstream::upstream_path;

/// Longest path looked at, in bytes; the codec answers 414 before, this is the second line.
pub const PATH_BYTES_MAX: usize = 8 * 1024;

/// A request method, as far as the path table cares.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Method {
    /// `GET`
    Get,
    /// `HEAD`: allowed wherever `GET` is.
    Head,
    /// `POST`
    Post,
    /// `PUT`
    Put,
    /// `PATCH`
    Patch,
    /// `DELETE`
    Delete,
    /// `OPTIONS`
    Options,
    /// Anything else; never allowed on an API path.
    Other,
}

impl Method {
    /// Those that some path may allow.
    pub const NAMED: [(Self, &'static str); 7] = [
        (Self::Get, "GET"),
        (Self::Head, "HEAD"),
        (Self::Post, "POST"),
        (Self::Put, "PUT"),
        (Self::Patch, "PATCH"),
        (Self::Delete, "DELETE"),
        (Self::Options, "OPTIONS"),
    ];
}

impl Method {
    /// Reads a method; names are case-sensitive (RFC 9110 §9.1).
    #[must_use]
    pub fn parse(name: &[u8]) -> Self {
        match name {
            b"GET" => Self::Get,
            b"HEAD" => Self::Head,
            b"POST" => Self::Post,
            b"PUT" => Self::Put,
            b"PATCH" => Self::Patch,
            b"DELETE" => Self::Delete,
            b"OPTIONS" => Self::Options,
            _ => Self::Other,
        }
    }
}

/// What a path asks for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Endpoint {
    /// A call of an LLM API, to be routed by model.
    Api(ApiKind),
    /// `GET …/models`: what the caller may use.
    ModelsList,
    /// `GET …/models/{m}`: one entry of that list; [`Route::model`] is set.
    ModelsOne,
    /// `GET` or `HEAD /`.
    Root,
    /// `GET /healthz`: the process lives.
    Healthz,
    /// `GET /readyz`: it can serve.
    Readyz,
    /// `GET /metrics`.
    Metrics,
    /// `/ui`, `/api`, `/aperture` and everything below: relayed to the control plane.
    ControlPlane,
    /// A stored response by its id (`GET`/`DELETE /v1/responses/{id}`, `GET …/input_items`, `POST …/cancel`): names
    /// no model.
    ResponsesById,
}

/// Who may use an endpoint. The gate of the data plane obeys this and nothing else.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Access {
    /// Whoever reaches the listener; nobody is asked who they are.
    Public,
    /// Principals with the capability to read metrics, and admins.
    ReadMetrics,
    /// Principals with a role.
    Role,
    /// Principals with a role to whom the named model is granted.
    RoleAndModel,
    /// Principals with a role to whom any model of a provider of this API is granted; the request names none.
    RoleAndAnyModel,
    /// Every principal: the request goes to the control plane with the principal and its role, and that decides.
    RelayWithPrincipal,
}

impl Endpoint {
    /// Who may use it. Without a wildcard, so that an endpoint without a declared rule does not compile.
    #[must_use]
    pub const fn access(self) -> Access {
        match self {
            Self::Root | Self::Healthz | Self::Readyz => Access::Public,
            Self::Metrics => Access::ReadMetrics,
            Self::ModelsList | Self::ModelsOne => Access::Role,
            Self::Api(_) => Access::RoleAndModel,
            Self::ResponsesById => Access::RoleAndAnyModel,
            Self::ControlPlane => Access::RelayWithPrincipal,
        }
    }
}

/// The model as it stands in the path.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PathModel {
    /// Offset of its first byte in the path.
    pub start: usize,
    /// Its length in the path, in bytes, still percent-encoded.
    pub len: usize,
    /// Percent-decoded once; passes [`valid_model`].
    pub name: String,
}

impl PathModel {
    /// Its bytes' place in the path.
    #[must_use]
    pub fn range(&self) -> Range<usize> {
        self.start..self.start.saturating_add(self.len)
    }
}

/// A classified path.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Route {
    /// What is asked for.
    pub endpoint: Endpoint,
    /// The model, where the path names it; `None`: it is in the body, or there is none.
    pub model: Option<PathModel>,
    /// Whether the answer streams, where the path decides that; `None`: the body does.
    pub stream_by_path: Option<bool>,
    /// Offset of the `/` with which the canonical suffix begins: what stands before is the client's own prefix.
    /// Includes the version segment if there is one.
    pub suffix_start: usize,
    /// Whether the suffix begins with a version segment.
    pub has_version: bool,
    /// For model lists: the path itself asks for Gemini's format (`/v1beta/models`).
    pub gemini_style: bool,
    /// A counting call: routed and granted like the others, but the provider bills nothing.
    pub free: bool,
    /// Offset of the `/` after the version segment; equals `suffix_start` without one.
    pub(crate) unversioned_start: usize,
    /// The version put in when neither the client nor the base URL names one.
    pub(crate) default_version: Option<&'static str>,
}

impl Route {
    /// Whether a `model` in the body of a call whose path names the model says the same. Gemini's SDKs send
    /// `models/{m}` beside the path; anything else at odds is to be refused with 400.
    #[must_use]
    pub fn body_model_agrees(&self, body_model: &str) -> bool {
        self.model.as_ref().is_none_or(|path| {
            body_model == path.name
                || body_model
                    .strip_prefix("models/")
                    .is_some_and(|bare| bare == path.name)
        })
    }

    /// The API kind, if this is a call of one.
    #[must_use]
    pub fn kind(&self) -> Option<ApiKind> {
        match self.endpoint {
            Endpoint::Api(kind) => Some(kind),
            Endpoint::ModelsList
            | Endpoint::ModelsOne
            | Endpoint::Root
            | Endpoint::Healthz
            | Endpoint::Readyz
            | Endpoint::Metrics
            | Endpoint::ControlPlane
            | Endpoint::ResponsesById => None,
        }
    }
}

/// Why a path is not served.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum PathError {
    /// 400: the path could be read in two ways (dot segments, `//`, encoded slashes, control bytes, `;`, `\`).
    #[error("the path is malformed or ambiguous")]
    BadPath,
    /// 404: no row matches.
    #[error("no such path")]
    NotFound,
    /// 405: the path is known, the method is not allowed on it.
    #[error("method not allowed; allowed: {allow}")]
    MethodNotAllowed {
        /// Value of the `Allow` header.
        allow: &'static str,
    },
}

impl PathError {
    /// The HTTP status.
    #[must_use]
    pub const fn status(self) -> u16 {
        match self {
            Self::BadPath => 400,
            Self::NotFound => 404,
            Self::MethodNotAllowed { .. } => 405,
        }
    }
}
