//! The admin API, on a Unix socket of the data directory.
//!
//! The data plane relays `/ui`, `/api` and `/aperture` here and says in `x-sluice-*` headers who calls. That is trusted
//! because the socket is private and the kernel says that its peer is our own user or root; the data plane drops such
//! headers when a client sends them. The command line asks over the same socket, in the same way, as the admin `(local)`.

mod adoption;
mod audit;
mod body;
mod captures;
mod document;
pub(crate) mod explain;
mod exports;
mod guardrails;
mod health;
mod history;
mod hooks;
mod limits;
mod live;
mod me;
mod models;
mod openapi;
mod own_role;
pub(crate) mod parameters;
mod people;
mod period;
pub(crate) mod pricing;
mod principal;
mod problem;
mod providers;
mod quotas;
pub(crate) mod requests;
mod routes;
mod search;
mod segment;
mod series;
mod sessions;
mod sorted;
mod tags;
mod tokens;
mod tool_calls;
mod ui;
mod usage;

use std::sync::Arc;
use std::time::Instant;

use axum::Router;
use axum::extract::DefaultBodyLimit;
use axum::http::{HeaderName, HeaderValue, header};
use axum::middleware;
use axum::response::{IntoResponse, Response};
use tokio::net::UnixStream;

use crate::audit::Audit;
use crate::captures::Captures;
use crate::export::Exports;
use crate::fulltext::FullText;
use crate::identity::Identities;
use crate::identity::token::Tokens;
use crate::ingest;
use crate::ledger::Ledger;
use crate::link::Link;
use crate::live::Live;
use crate::publish::Publisher;
use crate::reload::{ConfigState, Configuration};
use crate::socket::OwnListener;
use crate::store::Store;
use problem::Problem;

/// What the API shows.
pub(crate) struct Shown {
    pub(crate) store: Arc<dyn Store>,
    pub(crate) ledger: Arc<Ledger>,
    pub(crate) publisher: Arc<Publisher>,
    pub(crate) identities: Arc<Identities>,
    pub(crate) link: Arc<Link>,
    pub(crate) audit: Arc<Audit>,
    pub(crate) captures: Arc<Captures>,
    pub(crate) full_text: Arc<FullText>,
    pub(crate) capture_status: Arc<crate::captures::Status>,
    pub(crate) tokens: Arc<Tokens>,
    pub(crate) ingest: Arc<ingest::Status>,
    pub(crate) config: Arc<ConfigState>,
    pub(crate) configuration: Arc<Configuration>,
    pub(crate) exports: Arc<Exports>,
    pub(crate) live: Arc<Live>,
    pub(crate) started: Instant,
}

/// The API: the table of routes, and what is said about everything else.
pub(crate) fn router(shown: Arc<Shown>) -> Router {
    let limiter = Arc::new(limits::Limiter::new(shown.configuration.documents()));
    routes::router(&limiter)
        .fallback(not_found)
        .method_not_allowed_fallback(not_allowed)
        .layer(DefaultBodyLimit::max(body::BODY_BYTES_MAX))
        .layer(middleware::map_response(private))
        .with_state(shown)
}

/// Nothing from here is to be framed by a page, taken for another type than it says, or kept by anybody who does not ask
/// again before showing it: that may those whose answer has an entity tag.
async fn private(mut response: Response) -> Response {
    let headers = response.headers_mut();
    headers
        .entry(header::CACHE_CONTROL)
        .or_insert(HeaderValue::from_static("no-store"));
    let set: [(HeaderName, &'static str); 3] = [
        (header::X_CONTENT_TYPE_OPTIONS, "nosniff"),
        (
            header::CONTENT_SECURITY_POLICY,
            "default-src 'none'; frame-ancestors 'none'",
        ),
        (header::REFERRER_POLICY, "no-referrer"),
    ];
    for (name, value) in set {
        headers.entry(name).or_insert(HeaderValue::from_static(value));
    }
    response
}

/// Serves until `stop` is ready; requests under way are finished.
pub(crate) async fn serve(
    listener: OwnListener,
    shown: Arc<Shown>,
    stop: impl Future<Output = ()> + Send + 'static,
) -> std::io::Result<()> {
    axum::serve(listener, router(shown))
        .with_graceful_shutdown(stop)
        .await
}

impl axum::serve::Listener for OwnListener {
    type Io = UnixStream;
    type Addr = ();

    async fn accept(&mut self) -> (Self::Io, Self::Addr) {
        (Self::accept(self).await, ())
    }

    fn local_addr(&self) -> std::io::Result<Self::Addr> {
        Ok(())
    }
}

async fn not_found() -> Response {
    Problem::not_found("there is no such resource").into_response()
}

async fn not_allowed() -> Response {
    Problem::method_not_allowed().into_response()
}

#[cfg(test)]
mod tests;
