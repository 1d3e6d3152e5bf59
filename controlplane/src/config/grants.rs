//! `grants`: who may do what. Deny by default, so every doubt about a capability takes something away, never adds it.

use sluice_shared::snapshot::{Capability, Grant, Role, Source};

use super::domain::network;
use super::message::Messages;
use super::nearest::nearest;
use super::providers::model_name;
use super::reader::{Field, Fields, Unknown};
use super::{header, secret};

/// Key under which the capabilities of a grant stand in an Aperture document.
const CAPABILITY: &str = "tailscale.com/cap/aperture";

/// Known keys.
pub(crate) const FIELDS: [&str; 12] = [
    "role",
    "models",
    "add_headers",
    "read_metrics",
    "quotas",
    "send_hooks",
    "mcp_tools",
    "mcp_resources",
    "mcp_templates",
    "enable_chat_ui",
    "read_pricing",
    "connectors",
];
const EVENTS: [&str; 3] = ["pre_request", "entire_request", "tool_call_entire_request"];
const SEND: [&str; 8] = [
    "tools",
    "request_body",
    "user_message",
    "response_body",
    "raw_responses",
    "estimated_cost",
    "grants",
    "quotas",
];

/// Names that grants may refer to.
pub(crate) struct Names<'a> {
    pub(crate) providers: Vec<&'a str>,
    pub(crate) quotas: Vec<&'a str>,
    pub(crate) hooks: Vec<&'a str>,
    pub(crate) mcp_servers: Vec<&'a str>,
}

/// Reads `grants`.
pub(crate) fn read(
    field: &Field<'_>,
    names: &Names<'_>,
    secrets: secret::Sources<'_>,
    messages: &mut Messages<'_>,
) -> Vec<Grant> {
    field
        .array(messages)
        .unwrap_or_default()
        .iter()
        .filter_map(|item| grant(item, names, secrets, messages))
        .collect()
}

fn grant(
    field: &Field<'_>,
    names: &Names<'_>,
    secrets: secret::Sources<'_>,
    messages: &mut Messages<'_>,
) -> Option<Grant> {
    let fields = field.open(&["src", "app", "capabilities"], Unknown::GrantField, messages)?;
    let mut grant = Grant::default();
    match fields.field("src") {
        None => field.warn(messages, "grant without src: it is for nobody"),
        Some(src) => {
            for (item, text) in src.texts(messages).unwrap_or_default() {
                match source(text) {
                    Ok(source) => grant.sources.push(source),
                    Err(error) => item.warn(messages, error),
                }
            }
            if grant.sources.is_empty() {
                src.warn(messages, "grant without a usable src: it is for nobody");
            }
        }
    }
    let mut lists: Vec<Field<'_>> = Vec::new();
    if let Some(app) = fields.field("app")
        && let Some(apps) = app.open(&[], Unknown::Names, messages)
    {
        for (key, value) in apps.all() {
            if key == CAPABILITY {
                lists.push(value);
            } else {
                messages.notice(
                    value.key_at,
                    &value.path,
                    "is handed to hooks, which need a later version",
                );
            }
        }
    }
    lists.extend(fields.field("capabilities"));
    if lists.is_empty() {
        field.warn(
            messages,
            format!("grant without capabilities: neither app[{CAPABILITY:?}] nor capabilities"),
        );
    }
    for list in lists {
        for item in list.array(messages).unwrap_or_default() {
            grant
                .capabilities
                .extend(capability(&item, names, secrets, messages));
        }
    }
    Some(grant)
}

fn source(text: &str) -> Result<Source, String> {
    Ok(match text {
        "*" => Source::Any,
        "(loopback)" => Source::Loopback,
        "autogroup:member" => Source::Member,
        "autogroup:tagged" => Source::Tagged,
        _ if text.starts_with("autogroup:") => {
            return Err(format!(
                "unknown {text:?}; known are autogroup:member and autogroup:tagged"
            ));
        }
        _ if text.starts_with("group:") => Source::Group(text.to_owned()),
        _ if text.is_empty() || text.chars().any(char::is_control) => {
            return Err("source is empty or holds control characters".into());
        }
        _ => match network(text) {
            Some((address, prefix)) => Source::Network { address, prefix },
            None if text.contains('/') => return Err(format!("{text:?} is neither a network nor a login")),
            None => Source::Login(text.to_owned()),
        },
    })
}

fn capability(
    field: &Field<'_>,
    names: &Names<'_>,
    secrets: secret::Sources<'_>,
    messages: &mut Messages<'_>,
) -> Option<Capability> {
    let fields = field.open(&FIELDS, Unknown::GrantField, messages)?;
    let mut out = Capability::default();
    if let Some(role) = fields.field("role") {
        out.role = match role.text(messages)? {
            "admin" => Some(Role::Admin),
            "user" => Some(Role::User),
            other => {
                role.warn(
                    messages,
                    format!("unknown role {other:?}; known are admin and user; the capability is left out"),
                );
                return None;
            }
        };
    }
    match fields.field("models") {
        Some(models) => out.models = Some(globs(&models, names, messages)?),
        None => {
            // A misspelt `models` must not widen the capability to every model.
            if fields
                .all()
                .any(|(key, _)| !FIELDS.contains(&key) && nearest(key, &FIELDS) == Some("models"))
            {
                out.models = Some(Vec::new());
            }
        }
    }
    out.grants_models = out.models.is_some() || out.role.is_some();
    for (item, text) in fields
        .field("add_headers")
        .and_then(|f| f.texts(messages))
        .unwrap_or_default()
    {
        let parsed = secrets
            .expand(text)
            .map_err(|error| (true, error))
            .and_then(|expanded| {
                header::parse(&expanded)
                    .map_err(|error| (false, format!("bad add_headers entry: {error}; it is left out")))
            });
        match parsed {
            Ok(header) => out.add_headers.push(header),
            Err((true, error)) => messages.error(item.node.at, &item.path, error),
            Err((false, error)) => item.warn(messages, error),
        }
    }
    out.read_metrics = fields
        .field("read_metrics")
        .and_then(|f| f.boolean(messages))
        .unwrap_or(false);
    without_effect(&fields, names, messages);
    Some(out)
}

/// `models`: a glob or an array of them. `None` if nothing could be read, so that the capability is left out.
fn globs(field: &Field<'_>, names: &Names<'_>, messages: &mut Messages<'_>) -> Option<Vec<String>> {
    let items = match field.node.value {
        super::hujson::Value::Array(_) => field.texts(messages)?,
        _ => vec![(field.clone(), field.text(messages)?)],
    };
    let mut out = Vec::new();
    for (item, text) in items {
        if !model_name(text) {
            item.warn(messages, "is no glob over provider/model; it is left out");
            continue;
        }
        if let Some((provider, _)) = text.split_once('/')
            && !provider.contains('*')
            && !names.providers.contains(&provider)
        {
            item.warn(
                messages,
                format!(
                    "names an unknown provider {provider:?}{}",
                    hint(provider, &names.providers)
                ),
            );
        }
        out.push(text.to_owned());
    }
    Some(out)
}

/// Fields that a later version acts on: their types and the names in them are checked now.
fn without_effect(fields: &Fields<'_>, names: &Names<'_>, messages: &mut Messages<'_>) {
    let mut later = Vec::new();
    if let Some(quotas) = fields.field("quotas") {
        for item in quotas.array(messages).unwrap_or_default() {
            let Some(reference) = item.open(&["bucket"], Unknown::GrantField, messages) else {
                continue;
            };
            reference_to(&reference, &item, "bucket", "quota", &names.quotas, messages);
        }
        later.push(quotas);
    }
    if let Some(hooks) = fields.field("send_hooks") {
        for item in hooks.array(messages).unwrap_or_default() {
            let Some(reference) = item.open(&["name", "events", "send"], Unknown::GrantField, messages)
            else {
                continue;
            };
            reference_to(&reference, &item, "name", "hook", &names.hooks, messages);
            for (key, known) in [("events", EVENTS.as_slice()), ("send", SEND.as_slice())] {
                for (word, text) in reference
                    .field(key)
                    .and_then(|f| f.texts(messages))
                    .unwrap_or_default()
                {
                    if !known.contains(&text) {
                        word.warn(messages, format!("unknown word {text:?}{}", hint(text, known)));
                    }
                }
            }
        }
        later.push(hooks);
    }
    for key in ["mcp_tools", "mcp_resources", "mcp_templates"] {
        let Some(field) = fields.field(key) else { continue };
        let items = match field.node.value {
            super::hujson::Value::Array(_) => field.texts(messages).unwrap_or_default(),
            _ => field
                .text(messages)
                .map(|text| (field.clone(), text))
                .into_iter()
                .collect(),
        };
        for (item, text) in items {
            if let Some((server, _)) = text.split_once('/')
                && !server.contains('*')
                && !names.mcp_servers.contains(&server)
            {
                item.warn(
                    messages,
                    format!(
                        "names an unknown MCP server {server:?}{}",
                        hint(server, &names.mcp_servers)
                    ),
                );
            }
        }
        later.push(field);
    }
    for key in ["enable_chat_ui", "read_pricing"] {
        if let Some(field) = fields.field(key)
            && field.boolean(messages).is_some()
        {
            later.push(field);
        }
    }
    later.extend(fields.field("connectors"));
    for field in later {
        messages.notice(field.key_at, &field.path, "has no effect in this version");
    }
}

fn reference_to(
    fields: &Fields<'_>,
    item: &Field<'_>,
    key: &str,
    what: &str,
    known: &[&str],
    messages: &mut Messages<'_>,
) {
    let Some(field) = fields.field(key) else {
        item.warn(messages, format!("needs {key:?}, the name of a {what}"));
        return;
    };
    let Some(name) = field.text(messages) else { return };
    if !known.contains(&name) {
        field.warn(
            messages,
            format!("names an unknown {what} {name:?}{}", hint(name, known)),
        );
    }
}

fn hint(word: &str, known: &[&str]) -> String {
    nearest(word, known).map_or_else(String::new, |near| format!("; did you mean {near:?}?"))
}
