//! The admin API, on a Unix socket of the data directory.
//!
//! The data plane relays `/ui`, `/api` and `/aperture` here and says in `x-sluice-*` headers who calls. That is trusted
//! because the socket is private and the kernel says that its peer is our own user; the data plane drops such headers
//! when a client sends them.

mod health;
mod parameters;
mod principal;
mod problem;
mod providers;
mod requests;
mod usage;

use std::sync::Arc;
use std::time::Instant;

use axum::Router;
use axum::http::Uri;
use axum::response::{IntoResponse, Response};
use axum::routing::get;
use tokio::net::UnixStream;

use crate::ingest;
use crate::link::Link;
use crate::publish::Publisher;
use crate::reload::ConfigState;
use crate::socket::OwnListener;
use crate::store::Store;
use problem::Problem;

/// What the API shows.
pub(crate) struct Shown {
    pub(crate) store: Arc<dyn Store>,
    pub(crate) publisher: Arc<Publisher>,
    pub(crate) link: Arc<Link>,
    pub(crate) ingest: Arc<ingest::Status>,
    pub(crate) config: Arc<ConfigState>,
    pub(crate) started: Instant,
}

/// Routes of the API.
pub(crate) fn router(shown: Arc<Shown>) -> Router {
    Router::new()
        .route("/api/requests", get(requests::list))
        .route("/api/usage", get(usage::sums))
        .route("/api/providers", get(providers::list))
        .route("/api/health", get(health::show))
        .fallback(not_found)
        .method_not_allowed_fallback(not_allowed)
        .with_state(shown)
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

async fn not_found(uri: Uri) -> Response {
    let text = if uri.path().starts_with("/ui") {
        "the dashboard is not part of this version; usage is at /api/usage and /api/requests"
    } else {
        "there is no such resource"
    };
    Problem::not_found(text).into_response()
}

async fn not_allowed() -> Response {
    Problem::method_not_allowed().into_response()
}

#[cfg(test)]
mod tests;
