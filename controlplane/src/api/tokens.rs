//! Tokens that this gateway issues. Admins see and make everybody's; users their own.
//!
//! The secret is in the answer to the POST and nowhere else: nobody can ask for it again.

use std::sync::Arc;

use axum::Json;
use axum::extract::{Path, Request, State};
use axum::http::{StatusCode, Uri};
use axum::response::{IntoResponse, Response};
use serde_json::{Map, Value, json};
use sluice_shared::snapshot::{self, SourceKind};
use sluice_shared::units::UnixMicros;

use super::parameters::{Parameters, parse_time, show_time};
use super::principal::{Principal, Role};
use super::problem::Problem;
use super::{Shown, body};
use crate::audit::action;
use crate::identity::token::{Author, NewToken, TokenError, TokenInfo};
use crate::link::chain;

/// Members of a POST.
const KNOWN: [&str; 8] = [
    "name",
    "login",
    "tags",
    "groups",
    "models",
    "role",
    "expires_at",
    "expires_in_s",
];

pub(super) async fn list(
    State(shown): State<Arc<Shown>>,
    principal: Principal,
    uri: Uri,
) -> Result<Json<Value>, Problem> {
    Parameters::read(&uri, &[])?;
    let list = shown.tokens.list();
    let visible = list
        .iter()
        .filter(|token| principal.role == Role::Admin || token.login == principal.login);
    let tokens: Vec<Value> = visible.map(about).collect();
    Ok(Json(json!({ "accepted": accepted(&shown), "tokens": tokens })))
}

pub(super) async fn create(
    State(shown): State<Arc<Shown>>,
    principal: Principal,
    uri: Uri,
    request: Request,
) -> Result<Response, Problem> {
    Parameters::read(&uri, &[])?;
    let new = wish(&body::object(request).await?)?;
    let (audit, author) = (shown.audit.clone(), author(&principal));
    let node = principal.node.clone();
    let record = {
        let actor = author.login.clone();
        move |token: &TokenInfo| {
            let recorded =
                audit.record_blocking(&actor, &node, action::TOKEN_CREATE, &token.id, &on_record(token));
            recorded.map(|_| ()).map_err(TokenError::Audit)
        }
    };
    let made = shown.tokens.create_if(new, &author, record).await;
    let (info, secret) = made.map_err(refused)?;
    let mut answer = about(&info);
    answer["token"] = json!(secret.0);
    answer["accepted"] = json!(accepted(&shown));
    Ok((StatusCode::CREATED, Json(answer)).into_response())
}

pub(super) async fn revoke(
    State(shown): State<Arc<Shown>>,
    Path(id): Path<String>,
    principal: Principal,
    uri: Uri,
) -> Result<Json<Value>, Problem> {
    Parameters::read(&uri, &[])?;
    let author = author(&principal);
    let found = shown.tokens.find(&id, &author).map_err(refused)?;
    let (actor, node) = (&principal.login, &principal.node);
    shown
        .audit
        .record(actor, node, action::TOKEN_REVOKE, &found.id, on_record(&found))
        .await?;
    let info = shown.tokens.revoke(&id, &author).await;
    Ok(Json(about(&info.map_err(refused)?)))
}

/// Whether the document in use lets anybody in with a token.
fn accepted(shown: &Shown) -> bool {
    let published = shown.publisher.current();
    published.is_some_and(|published| published.snapshot.identity.sources.contains(&SourceKind::Token))
}

fn author(principal: &Principal) -> Author {
    Author {
        login: principal.login.clone(),
        role: match principal.role {
            Role::Admin => snapshot::Role::Admin,
            Role::User => snapshot::Role::User,
        },
        scoped: principal.scoped,
    }
}

fn wish(body: &Map<String, Value>) -> Result<NewToken, Problem> {
    // A misspelt limit must not make an unlimited token.
    if let Some(unknown) = body.keys().find(|key| !KNOWN.contains(&key.as_str())) {
        return Err(Problem::bad_body(format!(
            "{unknown:?} is not known; known are {}",
            KNOWN.join(", ")
        )));
    }
    let text = |name: &str| body::text(body, name).map(|text| text.map(str::to_owned));
    let expires_at = match (text("expires_at")?, body.get("expires_in_s")) {
        (None, None | Some(Value::Null)) => None,
        (Some(text), None | Some(Value::Null)) => Some(parse_time(&text).ok_or_else(|| {
            Problem::bad_body("\"expires_at\" must be RFC 3339 (2026-11-22T10:00:00Z) or Unix seconds")
        })?),
        (None, Some(seconds)) => {
            let seconds = seconds
                .as_u64()
                .ok_or_else(|| Problem::bad_body("\"expires_in_s\" must be a number of seconds"))?;
            let now = crate::reload::now().0;
            Some(UnixMicros(now.saturating_add(seconds.saturating_mul(1_000_000))))
        }
        (Some(_), Some(_)) => {
            return Err(Problem::bad_body(
                "give \"expires_at\" or \"expires_in_s\", not both",
            ));
        }
    };
    Ok(NewToken {
        name: text("name")?.unwrap_or_default(),
        login: text("login")?,
        tags: texts(body, "tags")?.unwrap_or_default(),
        groups: texts(body, "groups")?.unwrap_or_default(),
        models: texts(body, "models")?,
        role: text("role")?,
        expires_at,
    })
}

fn texts(body: &Map<String, Value>, name: &str) -> Result<Option<Vec<String>>, Problem> {
    let bad = || Problem::bad_body(format!("{name:?} must be a list of strings"));
    match body.get(name) {
        None | Some(Value::Null) => Ok(None),
        Some(Value::Array(items)) => items
            .iter()
            .map(|item| item.as_str().map(str::to_owned).ok_or_else(bad))
            .collect::<Result<Vec<String>, Problem>>()
            .map(Some),
        Some(_) => Err(bad()),
    }
}

fn refused(error: TokenError) -> Problem {
    match error {
        TokenError::Audit(error) => error.into(),
        TokenError::Unknown(_) => Problem::no_token(error.to_string()),
        TokenError::RoleAboveAuthor | TokenError::NotYours | TokenError::ScopedAuthor => {
            Problem::token_not_yours(error.to_string())
        }
        TokenError::Full => Problem::tokens_full(error.to_string()),
        _ if error.is_callers() => Problem::bad_token(error.to_string()),
        _ => {
            tracing::error!(error = %chain(&error), "a token was not made or revoked");
            Problem::tokens_unavailable()
        }
    }
}

/// What the audit says about a token.
fn on_record(token: &TokenInfo) -> Value {
    let Value::Object(mut about) = about(token) else {
        return Value::Null;
    };
    about.retain(|name, _| !matches!(name.as_str(), "id" | "created_at" | "last_used_at" | "revoked_at"));
    Value::Object(about)
}

fn about(token: &TokenInfo) -> Value {
    let role = token.scope.role.map(|role| match role {
        snapshot::Role::Admin => "admin",
        snapshot::Role::User => "user",
    });
    json!({
        "id": token.id,
        "name": token.name,
        "login": token.login,
        "tags": token.tags,
        "groups": token.groups,
        "models": token.scope.models,
        "role": role,
        "created_by": token.created_by,
        "created_at": show_time(token.created_at),
        "expires_at": show_time(token.expires_at),
        "last_used_at": token.last_used_at.map(show_time),
        "revoked_at": token.revoked_at.map(show_time),
    })
}
