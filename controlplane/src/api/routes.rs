//! Every route of the control plane, one row each: what it is called, who may call it, what answers.
//!
//! The router is built from this table and from nothing else, and the guard in front of a handler is made of its row's
//! access: a route that declares no access cannot be written down. Handlers learn who calls from the guard alone.

use std::sync::Arc;

use axum::Router;
use axum::extract::{Request, State};
use axum::middleware::{self, Next};
use axum::response::{IntoResponse, Response};
use axum::routing::{MethodFilter, MethodRouter, on};

use super::limits::{self, Kind, Limiter};
use super::principal::{Principal, Role};
use super::problem::Problem;
use super::{
    Shown, adoption, audit, captures, document, explain, exports, guardrails, health, history, hooks, live,
    me, models, openapi, people, pricing, providers, quotas, requests, search, series, sessions, tags,
    tokens, tool_calls, ui, usage,
};

/// Who may call a route.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Access {
    /// Whoever has a role; users may get less of an answer.
    AnyRole,
    /// Whoever has a role; users get what is theirs, and ask for nobody else.
    Own,
    /// Admins.
    Admin,
}

/// A method that a route has.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Method {
    /// And HEAD.
    Get,
    Post,
    Put,
    Delete,
}

impl Method {
    /// The word as OpenAPI writes it.
    pub(super) const fn name(self) -> &'static str {
        match self {
            Self::Get => "get",
            Self::Post => "post",
            Self::Put => "put",
            Self::Delete => "delete",
        }
    }

    const fn filter(self) -> MethodFilter {
        match self {
            Self::Get => MethodFilter::GET,
            Self::Post => MethodFilter::POST,
            Self::Put => MethodFilter::PUT,
            Self::Delete => MethodFilter::DELETE,
        }
    }
}

/// A row of the table.
pub(super) struct Route {
    pub(super) method: Method,
    /// As axum writes it: `{name}` is one segment.
    pub(super) path: &'static str,
    pub(super) access: Access,
    handler: fn(MethodFilter) -> MethodRouter<Arc<Shown>>,
}

macro_rules! table {
    ($($method:ident $path:literal $access:ident => $handler:path;)*) => {
        [$(Route {
            method: Method::$method,
            path: $path,
            access: Access::$access,
            handler: |filter| on(filter, $handler),
        },)*]
    };
}

/// The table.
pub(super) static ROUTES: &[Route] = &table! {
    Get    "/aperture/config"          Admin   => document::get;
    Put    "/aperture/config"          Admin   => document::put;
    Post   "/aperture/config:validate" Admin   => document::validate;
    Get    "/aperture/openapi.json"    AnyRole => openapi::show;
    Get    "/aperture/pricing"         AnyRole => pricing::list;
    Get    "/aperture/pricing/{*model}" AnyRole => pricing::show;
    Get    "/api/adoption"             Admin   => adoption::show;
    Get    "/api/adoption/users"       Admin   => adoption::users;
    Get    "/api/audit"                Admin   => audit::list;
    Get    "/api/audit/verify"         Admin   => audit::verify;
    Get    "/api/captures"             Own     => captures::list;
    Get    "/api/captures/{id}"        Own     => captures::show;
    Get    "/api/captures/{id}/shadow" Own     => captures::shadow;
    Get    "/api/captures/{id}/{part}" Own     => captures::part;
    Get    "/api/config"               Admin   => document::get_hashed;
    Put    "/api/config"               Admin   => document::put_hashed;
    Get    "/api/config/history"       Admin   => history::list;
    Get    "/api/config/history/{id}"  Admin   => history::show;
    Post   "/api/config/rollback"      Admin   => history::rollback;
    Get    "/api/explain"              Own     => explain::show;
    Get    "/api/hooks"                Admin   => hooks::list;
    Get    "/api/hooks/dead"           Admin   => hooks::dead;
    Delete "/api/hooks/dead/{id}"      Admin   => hooks::remove;
    Post   "/api/hooks/dead/{id}/retry" Admin  => hooks::retry;
    Get    "/api/export"               Own     => exports::by_hand;
    Get    "/api/exports"              Admin   => exports::list;
    Post   "/api/exports/{name}/run"   Admin   => exports::run;
    Get    "/api/guardrails"           Admin   => guardrails::list;
    Get    "/api/guardrails/hits"      Own     => guardrails::hits;
    Get    "/api/health"               AnyRole => health::show;
    Get    "/api/live"                 Own     => live::show;
    Get    "/api/me"                   AnyRole => me::show;
    Get    "/api/models"               AnyRole => models::list;
    Get    "/api/models/{*model}"      AnyRole => models::show;
    Get    "/api/people"               Own     => people::list;
    Get    "/api/people/{login}"       Own     => people::show;
    Get    "/api/providers"            AnyRole => providers::list;
    Get    "/api/providers/{id}"       Admin   => providers::show;
    Get    "/api/quotas"               Own     => quotas::list;
    Get    "/api/quotas/events"        Own     => quotas::events;
    Post   "/api/quotas/refill"        Admin   => quotas::refill;
    Get    "/api/quotas/refills"       Own     => quotas::refills;
    Get    "/api/quotas/{id}/history"  Own     => quotas::history;
    Get    "/api/requests"             Own     => requests::list;
    Get    "/api/requests/{id}"        Own     => requests::show;
    Get    "/api/search"               Own     => search::show;
    Get    "/api/sessions"             Own     => sessions::list;
    Get    "/api/sessions/{id}"        Own     => sessions::show;
    Get    "/api/sessions/{id}/requests" Own   => sessions::requests;
    Get    "/api/tokens"               Own     => tokens::list;
    Post   "/api/tokens"               Own     => tokens::create;
    Delete "/api/tokens/{id}"          Own     => tokens::revoke;
    Get    "/api/tool-calls"           Own     => tool_calls::list;
    Get    "/api/tool-calls/summary"   Own     => tool_calls::summary;
    Get    "/api/usage"                Own     => usage::sums;
    Get    "/api/usage/series"         Own     => series::show;
    Get    "/ui"                       AnyRole => ui::begin;
    Get    "/ui/"                      AnyRole => ui::index;
    Get    "/ui/{*path}"               AnyRole => ui::file;
};

/// The router of the table.
pub(super) fn router(limiter: &Arc<Limiter>) -> Router<Arc<Shown>> {
    ROUTES.iter().fold(Router::new(), |router, route| {
        let gate = Gate {
            access: route.access,
            cost: limits::cost(route.path),
            limiter: limiter.clone(),
        };
        let guarded =
            (route.handler)(route.method.filter()).route_layer(middleware::from_fn_with_state(gate, guard));
        router.route(route.path, guarded)
    })
}

/// What stands in front of a handler.
#[derive(Clone)]
struct Gate {
    access: Access,
    cost: u64,
    limiter: Arc<Limiter>,
}

/// Lets a request to its handler if the caller may call the route, and has not called too often.
async fn guard(State(gate): State<Gate>, request: Request, next: Next) -> Response {
    let principal = match Principal::read(request.headers()) {
        Ok(principal) => principal,
        Err(problem) => {
            return ui::refused(request.uri(), request.headers()).unwrap_or_else(|| problem.into_response());
        }
    };
    let kind = Kind::of(request.method());
    let left = gate.limiter.take(&principal.login, kind, gate.cost);
    let mut response = match left {
        Some(left) if left.wait_s > 0 => Problem::too_fast(left.wait_s).into_response(),
        _ => admitted(gate.access, principal, request, next).await,
    };
    if let Some(left) = left {
        left.tell(response.headers_mut());
    }
    response
}

async fn admitted(access: Access, principal: Principal, mut request: Request, next: Next) -> Response {
    match (access, principal.role) {
        (Access::AnyRole | Access::Own, Role::User | Role::Admin) | (Access::Admin, Role::Admin) => {}
        (Access::Admin, Role::User) => return Problem::admins_only().into_response(),
    }
    request.extensions_mut().insert(principal);
    if Kind::of(request.method()) == Kind::Changes {
        return next.run(request).await;
    }
    let (path, asked) = (request.uri().path().to_owned(), request.headers().clone());
    tags::tagged(&path, &asked, next.run(request).await).await
}
