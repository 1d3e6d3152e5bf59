//! `GET /api/live`: what is going on, as server-sent events.
//!
//! The stream begins with the last two minutes and then tells of each second; with `tail=true` of records as they come,
//! those that `/api/requests` would list with the same filters. Users get their own figures and records, admins all or
//! those of one login.

use std::sync::Arc;

use axum::body::Body;
use axum::extract::State;
use axum::http::{Uri, header};
use axum::response::{IntoResponse as _, Response};

use super::Shown;
use super::parameters::Parameters;
use super::principal::Principal;
use super::problem::Problem;
use super::requests;
use crate::live::Wish;
use crate::reload;

pub(super) async fn show(
    State(shown): State<Arc<Shown>>,
    principal: Principal,
    uri: Uri,
) -> Result<Response, Problem> {
    let known: Vec<&str> = requests::FILTERS.into_iter().chain(["tail"]).collect();
    let parameters = Parameters::read(&uri, &known)?;
    let tail = parameters.flag("tail")?.unwrap_or(false);
    let (mut query, _) = requests::query(&parameters)?;
    if !principal.may_ask_for(query.filter.user.as_deref()) {
        return Err(Problem::not_found("there is nobody of this name"));
    }
    query.filter.user = principal.only(query.filter.user);
    let wish = Wish {
        watcher: principal.login,
        user: query.filter.user.clone(),
        tail: tail.then_some(query),
    };
    let feed = shown.live.watch(wish, reload::now()).map_err(Problem::no_seat)?;
    let headers = [
        (header::CONTENT_TYPE, "text/event-stream"),
        // Whatever stands in between must pass each event on at once.
        (header::HeaderName::from_static("x-accel-buffering"), "no"),
    ];
    Ok((headers, Body::new(feed)).into_response())
}
