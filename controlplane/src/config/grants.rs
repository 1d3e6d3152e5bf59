//! `grants`: who may do what. Deny by default, so every doubt about a capability takes something away, never adds it.

use sluice_shared::snapshot::{AppValue, Capability, Grant, Role, SendHook, Source};

use super::domain::network;
use super::hujson::Value;
use super::keys::{self, CAPABILITY_KEY};
use super::message::Messages;
use super::nearest::nearest;
use super::providers::model_name;
use super::quotas::UNREADABLE;
use super::reader::{Field, Fields};
use super::{captures, header, hooks, secret};

/// Bytes of the values under one foreign key of a grant.
const APP_BYTES_MAX: usize = 64 << 10;

/// Names that grants may refer to.
pub(crate) struct Names<'a> {
    pub(crate) providers: Vec<&'a str>,
    pub(crate) quotas: Vec<&'a str>,
    pub(crate) hooks: Vec<&'a str>,
    pub(crate) guardrails: Vec<&'a str>,
    pub(crate) mcp_servers: Vec<&'a str>,
}

/// What the document around grants knows.
#[derive(Clone, Copy)]
pub(super) struct Around<'a> {
    pub(super) names: &'a Names<'a>,
    pub(super) secrets: secret::Sources<'a>,
}

/// Reads `grants`.
pub(super) fn read(field: &Field<'_>, around: Around<'_>, messages: &mut Messages<'_>) -> Vec<Grant> {
    field
        .array(messages)
        .unwrap_or_default()
        .iter()
        .filter_map(|item| grant(item, around, messages))
        .collect()
}

fn grant(field: &Field<'_>, around: Around<'_>, messages: &mut Messages<'_>) -> Option<Grant> {
    let fields = field.open(&keys::GRANT, messages)?;
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
        && let Some(apps) = app.open_names(messages)
    {
        for (key, value) in apps.all() {
            if key == CAPABILITY_KEY {
                lists.push(value);
            } else {
                grant.app.extend(app_value(key, &value, messages));
            }
        }
    }
    lists.extend(fields.field("capabilities"));
    if lists.is_empty() && grant.app.is_empty() {
        field.warn(
            messages,
            format!("grant without capabilities: neither app[{CAPABILITY_KEY:?}] nor capabilities"),
        );
    }
    // Both spellings make one list.
    let items: Vec<Field<'_>> = lists
        .iter()
        .flat_map(|list| list.array(messages).unwrap_or_default())
        .collect();
    // A list that cannot be read might have named models.
    let whole = lists
        .iter()
        .all(|list| matches!(list.node.value, Value::Array(_)));
    grant.capabilities = capabilities(&items, whole, Some(around), messages);
    Some(grant)
}

/// A value that is handed to hooks as it is.
fn app_value(key: &str, field: &Field<'_>, messages: &mut Messages<'_>) -> Option<AppValue> {
    let json = field.node.value.compact();
    if json.len() > APP_BYTES_MAX {
        field.warn(
            messages,
            format!("is longer than {APP_BYTES_MAX} bytes; it is left out"),
        );
        return None;
    }
    Some(AppValue {
        key: key.to_owned(),
        json,
    })
}

/// Reads the capabilities of one list, that of a grant or of a tailnet's policy. What cannot be read is left out; if it
/// named models, or could have, the roles of the list grant none by themselves all the same. `whole`: the list itself
/// could be read. Without `around` the list is not the document's: nothing of the document or the environment goes
/// into it.
pub(super) fn capabilities(
    items: &[Field<'_>],
    whole: bool,
    around: Option<Around<'_>>,
    messages: &mut Messages<'_>,
) -> Vec<Capability> {
    let names_models = !whole || items.iter().any(names_models);
    let mut out = Vec::new();
    for item in items {
        let Some(mut capability) = capability(item, around, messages) else {
            continue;
        };
        capability.grants_models =
            capability.models.is_some() || (capability.role.is_some() && !names_models);
        if capability.grants_models && capability.models.is_none() {
            messages.notice(
                item.node.at,
                &item.path,
                "role without models: grants every model; name models to limit it",
            );
        }
        out.push(capability);
    }
    out
}

/// Whether a capability names models, in whatever way it tries to.
fn names_models(field: &Field<'_>) -> bool {
    match &field.node.value {
        Value::Object(members) => members
            .iter()
            .any(|member| member.key == "models" || misspelt_models(&member.key)),
        _ => true,
    }
}

fn misspelt_models(key: &str) -> bool {
    misspelt(key, "models")
}

/// Whether a key is not known, and was probably to be this one.
fn misspelt(key: &str, meant: &str) -> bool {
    let known = keys::CAPABILITY.names();
    !known.contains(&key) && nearest(key, &known) == Some(meant)
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
    around: Option<Around<'_>>,
    messages: &mut Messages<'_>,
) -> Option<Capability> {
    let fields = field.open(&keys::CAPABILITY, messages)?;
    let names = around.map(|around| around.names);
    let mut out = Capability {
        quotas: quotas(&fields, names, messages),
        send_hooks: send_hooks(&fields, names, messages),
        guardrails: guardrails(&fields, names, messages),
        ..Capability::default()
    };
    // Whatever else is left out of it: its budgets, hooks and guardrails hold, then for all models.
    let holds = !(out.quotas.is_empty() && out.send_hooks.is_empty() && out.guardrails.is_empty());
    let holding = holds.then(|| out.clone());
    if let Some(role) = fields.field("role") {
        out.role = match role.text(messages) {
            Some("admin") => Some(Role::Admin),
            Some("user") => Some(Role::User),
            other => {
                if let Some(other) = other {
                    role.warn(
                        messages,
                        format!(
                            "unknown role {other:?}; known are admin and user; the capability is left out"
                        ),
                    );
                }
                return holding;
            }
        };
    }
    match fields.field("models") {
        Some(models) => match globs(&models, names, messages) {
            Some(globs) => out.models = Some(globs),
            None => return holding,
        },
        // A misspelt `models` must not widen the capability to every model.
        None if fields.all().any(|(key, _)| misspelt_models(key)) => out.models = Some(Vec::new()),
        None => {}
    }
    for (item, text) in fields
        .field("add_headers")
        .and_then(|f| f.texts(messages))
        .unwrap_or_default()
    {
        let expanded = match around {
            Some(around) => around.secrets.expand(text),
            None if text.contains("${") => {
                item.warn(
                    messages,
                    "a policy cannot refer to secrets of the gateway; the header is left out",
                );
                continue;
            }
            None => Ok(text.to_owned()),
        };
        match expanded.map(|text| header::parse(&text)) {
            Ok(Ok(header)) => out.add_headers.push(header),
            Ok(Err(error)) => item.warn(
                messages,
                format!("bad add_headers entry: {error}; it is left out"),
            ),
            Err(error) => messages.error(item.node.at, &item.path, error),
        }
    }
    out.read_metrics = fields
        .field("read_metrics")
        .and_then(|f| f.boolean(messages))
        .unwrap_or(false);
    out.capture_share = fields
        .field("capture")
        .and_then(|f| captures::share(&f, messages));
    without_effect(&fields, names, messages);
    Some(out)
}

/// `send_hooks`: which hooks are called, when, and what they are sent.
fn send_hooks(fields: &Fields<'_>, names: Option<&Names<'_>>, messages: &mut Messages<'_>) -> Vec<SendHook> {
    let mut out = Vec::new();
    for item in fields
        .field("send_hooks")
        .and_then(|f| f.array(messages))
        .unwrap_or_default()
    {
        let Some(reference) = item.open(&keys::SEND_HOOK, messages) else {
            continue;
        };
        let known = names.map(|names| names.hooks.as_slice());
        if let Some(name) = reference_to(&reference, &item, "name", "hook", known, messages) {
            out.push(hooks::sending(name, &reference, messages));
        }
    }
    out
}

/// `guardrails`: names of those that hold.
fn guardrails(fields: &Fields<'_>, names: Option<&Names<'_>>, messages: &mut Messages<'_>) -> Vec<String> {
    let mut out = Vec::new();
    for (item, name) in fields
        .field("guardrails")
        .and_then(|f| f.texts(messages))
        .unwrap_or_default()
    {
        if let Some(names) = names.filter(|names| !names.guardrails.contains(&name)) {
            item.warn(
                messages,
                format!(
                    "names an unknown guardrail {name:?}{}",
                    hint(name, &names.guardrails)
                ),
            );
        }
        out.push(name.to_owned());
    }
    out
}

/// `models`: a glob or an array of them. `None` if nothing could be read, so that the capability is left out.
fn globs(field: &Field<'_>, names: Option<&Names<'_>>, messages: &mut Messages<'_>) -> Option<Vec<String>> {
    let items = field.one_or_many(messages)?;
    let mut out = Vec::new();
    for (item, text) in items {
        if !model_name(text) {
            item.warn(messages, "is no glob over provider/model; it is left out");
            continue;
        }
        if let Some((provider, _)) = text.split_once('/')
            && let Some(names) = names
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

/// `quotas`: names of budgets. What cannot be read is a name that nobody defined, so that its calls are refused.
fn quotas(fields: &Fields<'_>, names: Option<&Names<'_>>, messages: &mut Messages<'_>) -> Vec<String> {
    let mut out: Vec<&str> = Vec::new();
    for (_, field) in fields.all().filter(|(key, _)| misspelt(key, "quotas")) {
        messages.warn(
            field.key_at,
            &field.path,
            "may have been meant to name a quota, so its calls are refused",
        );
        out.push(UNREADABLE);
    }
    let field = fields.field("quotas");
    let items = match &field {
        None => Vec::new(),
        Some(field) => field.array(messages).unwrap_or_else(|| {
            out.push(UNREADABLE);
            Vec::new()
        }),
    };
    for item in items {
        let name = item.open(&keys::QUOTA_REFERENCE, messages).and_then(|reference| {
            let known = names.map(|names| names.quotas.as_slice());
            reference_to(&reference, &item, "bucket", "quota", known, messages)
        });
        let name = name.unwrap_or(UNREADABLE);
        if !out.contains(&name) {
            out.push(name);
        }
    }
    out.into_iter().map(str::to_owned).collect()
}

/// Fields that a later version acts on: their types and the names in them are checked now.
fn without_effect(fields: &Fields<'_>, names: Option<&Names<'_>>, messages: &mut Messages<'_>) {
    let mut later = Vec::new();
    for key in ["mcp_tools", "mcp_resources", "mcp_templates"] {
        let Some(field) = fields.field(key) else { continue };
        for (item, text) in field.one_or_many(messages).unwrap_or_default() {
            if let Some((server, _)) = text.split_once('/')
                && let Some(names) = names
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

/// The name that a reference holds, known or not.
fn reference_to<'a>(
    fields: &Fields<'a>,
    item: &Field<'_>,
    key: &str,
    what: &str,
    known: Option<&[&str]>,
    messages: &mut Messages<'_>,
) -> Option<&'a str> {
    let Some(field) = fields.field(key) else {
        item.warn(messages, format!("needs {key:?}, the name of a {what}"));
        return None;
    };
    let name = field.text(messages)?;
    let then = if what == "quota" {
        ", so its calls are refused"
    } else {
        ""
    };
    if let Some(known) = known.filter(|known| !known.contains(&name)) {
        field.warn(
            messages,
            format!("names an unknown {what} {name:?}{then}{}", hint(name, known)),
        );
    }
    Some(name)
}

fn hint(word: &str, known: &[&str]) -> String {
    nearest(word, known).map_or_else(String::new, |near| format!("; did you mean {near:?}?"))
}
