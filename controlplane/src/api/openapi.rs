//! `GET /aperture/openapi.json`: the API's description, OpenAPI 3.1.
//!
//! It is put together from fragments, one for each resource (`openapi/*.json`, each with `paths` and `schemas`), so that a
//! description lies beside what it describes. What follows from the table of routes is not written but added here: who may
//! call (`x-access`), the operation's id and tag, and the answers that every route may give. Tests compare the whole with
//! `docs/openapi.json`, the paths with the table, and every answer of other tests with its schema.

use std::sync::LazyLock;

use axum::Json;
use axum::http::Uri;
use serde_json::{Map, Value, json};

use super::parameters::Parameters;
use super::problem::Problem;
use super::routes::{Access, ROUTES};
use super::tags::NEVER_KEPT;

macro_rules! fragments {
    ($($name:literal)*) => {
        [$(($name, include_str!(concat!("openapi/", $name, ".json")))),*]
    };
}

/// Fragments by their names, which are the tags of their operations.
pub(super) static FRAGMENTS: &[(&str, &str)] = &fragments! {
    "adoption"
    "audit"
    "captures"
    "config"
    "explain"
    "exports"
    "guardrails"
    "health"
    "hooks"
    "live"
    "me"
    "models"
    "openapi"
    "people"
    "pricing"
    "providers"
    "quotas"
    "requests"
    "search"
    "sessions"
    "tokens"
    "tool-calls"
    "usage"
};

/// The whole description.
static DOCUMENT: LazyLock<Value> = LazyLock::new(assemble);

pub(super) async fn show(uri: Uri) -> Result<Json<&'static Value>, Problem> {
    Parameters::read(&uri, &[])?;
    Ok(Json(&DOCUMENT))
}

/// The description, for tests.
#[cfg(test)]
pub(super) fn document() -> &'static Value {
    &DOCUMENT
}

/// A fragment that cannot be read counts as empty; a test sees to it that there is none.
fn assemble() -> Value {
    let mut document: Value = serde_json::from_str(include_str!("openapi/base.json")).unwrap_or_default();
    let mut paths = Map::new();
    let mut tags = Vec::new();
    for (tag, text) in FRAGMENTS {
        let fragment: Value = serde_json::from_str(text).unwrap_or_default();
        tags.push(json!({ "name": tag, "description": fragment["description"] }));
        if let Some(schemas) = fragment["schemas"].as_object() {
            for (name, schema) in schemas {
                document["components"]["schemas"][name] = schema.clone();
            }
        }
        let operations = fragment["paths"].as_object().into_iter().flatten();
        for (path, methods) in operations {
            for (method, operation) in methods.as_object().into_iter().flatten() {
                let mut operation = operation.clone();
                complete(&mut operation, tag, method, path);
                paths.entry(path.clone()).or_insert_with(|| json!({}))[method] = operation;
            }
        }
    }
    for parameter in document["components"]["parameters"]
        .as_object_mut()
        .into_iter()
        .flatten()
    {
        may_be_empty(parameter.1);
    }
    document["info"]["version"] = env!("CARGO_PKG_VERSION").into();
    document["tags"] = tags.into();
    paths.sort_keys();
    document["paths"] = paths.into();
    document
}

/// Adds what the table of routes says of an operation.
fn complete(operation: &mut Value, tag: &str, method: &str, path: &str) {
    let route = ROUTES
        .iter()
        .find(|route| documented(route.path) == path && route.method.name() == method);
    let access = route.map(|route| route.access);
    operation["tags"] = json!([tag]);
    operation["x-access"] = match access {
        Some(Access::Admin) => "admin",
        Some(Access::Own) => "own",
        Some(Access::AnyRole) | None => "any",
    }
    .into();
    let mut common = vec![
        ("400", "BadRequest"),
        ("403", "Forbidden"),
        ("429", "TooManyRequests"),
        ("500", "Internal"),
        ("503", "Unavailable"),
    ];
    if operation["requestBody"].is_object() {
        common.extend([("413", "TooLarge"), ("415", "UnsupportedMediaType")]);
    }
    if path.contains('{') {
        common.push(("404", "NotFound"));
    }
    let parameters = operation.get_mut("parameters").and_then(Value::as_array_mut);
    parameters.into_iter().flatten().for_each(may_be_empty);
    cached(operation, method, path);
    for (status, name) in common {
        if operation["responses"][status].is_null() {
            operation["responses"][status] = json!({ "$ref": format!("#/components/responses/{name}") });
        }
    }
}

/// A parameter of the query that has no text counts as absent.
fn may_be_empty(parameter: &mut Value) {
    if parameter["in"] == "query" {
        parameter["allowEmptyValue"] = true.into();
    }
}

/// What holds for every answer: limits, and for JSON that is read, entity tags.
fn cached(operation: &mut Value, method: &str, path: &str) {
    let header = |name: &str| json!({ "$ref": format!("#/components/headers/{name}") });
    let mut tagged = false;
    if let Some(responses) = operation["responses"].as_object_mut() {
        for (status, response) in responses.iter_mut().filter(|(status, _)| status.starts_with('2')) {
            let json = !response["content"]["application/json"].is_null();
            if json
                && status == "200"
                && !path.starts_with(NEVER_KEPT)
                && (method == "get" || path.ends_with("/config"))
            {
                response["headers"]["ETag"] = header("ETag");
                tagged = method == "get";
            }
            for name in ["RateLimit", "RateLimit-Policy"] {
                response["headers"][name] = header(name);
            }
        }
    }
    if tagged {
        operation["responses"]["304"] = json!({ "$ref": "#/components/responses/NotModified" });
        let parameter = json!({ "$ref": "#/components/parameters/IfNoneMatch" });
        match operation.get_mut("parameters").and_then(Value::as_array_mut) {
            Some(parameters) => parameters.push(parameter),
            None => operation["parameters"] = json!([parameter]),
        }
    }
}

/// A path as OpenAPI writes it; it knows no wildcards over segments.
pub(super) fn documented(path: &str) -> String {
    path.replace("{*", "{")
}
