//! Parts of the document that this version accepts and does not act on: what can be checked is checked, so that a
//! document that is fine today is fine when they come.

use super::hujson::Value;
use super::keys;
use super::message::Messages;
use super::reader::Field;
use super::secret::Sources;
use super::{limits, units};

/// 3650 days.
const RETENTION_MS_MAX: u64 = 3_650 * 86_400_000;

/// Says that a part has no effect.
pub(super) fn notice(field: &Field<'_>, messages: &mut Messages<'_>) {
    let verb = if field.path.ends_with('s') { "have" } else { "has" };
    messages.notice(
        field.key_at,
        &field.path,
        format!("{} {verb} no effect in this version", field.path),
    );
}

/// `hooks`: each needs a URL of a scheme that is spoken.
pub(super) fn hooks(field: &Field<'_>, secrets: Sources<'_>, messages: &mut Messages<'_>) {
    notice(field, messages);
    let Some(fields) = field.open_names(messages) else {
        return;
    };
    for (_, hook) in fields.all() {
        let Some(parts) = hook.open(&keys::HOOK, messages) else {
            continue;
        };
        match parts.field("url") {
            None => messages.warn(hook.key_at, &hook.path, "hook without url"),
            Some(url) => {
                let scheme = url
                    .text(messages)
                    .map(|text| text.split_once("://").map_or("", |(s, _)| s));
                if scheme.is_some_and(|s| !s.eq_ignore_ascii_case("http") && !s.eq_ignore_ascii_case("https"))
                {
                    url.warn(messages, "hook url must begin with http:// or https://");
                }
            }
        }
        let disabled = parts.field("disabled").and_then(|f| f.boolean(messages));
        if let Some(key) = parts.field("apikey") {
            resolvable(&key, disabled == Some(true), secrets, messages);
        }
        for key in ["authorization", "fail_policy"] {
            if let Some(part) = parts.field(key) {
                part.word("", messages);
            }
        }
        if let Some(timeout) = parts.field("timeout") {
            limits::duration(&timeout, 0, messages);
        }
        if let Some(preference) = parts.field("preference") {
            preference.integer(messages);
        }
    }
}

/// A secret that nobody uses yet must be there all the same: an error, or a warning where it is switched off.
fn resolvable(field: &Field<'_>, disabled: bool, secrets: Sources<'_>, messages: &mut Messages<'_>) {
    let Some(text) = field.text(messages) else { return };
    match secrets.expand(text) {
        Ok(_) => {}
        Err(error) if disabled => field.warn(messages, error),
        Err(error) => messages.error(field.node.at, &field.path, error),
    }
}

/// `exporters`: an S3 prefix that ends in `/` would make object names with an empty segment.
pub(super) fn exporters(field: &Field<'_>, secrets: Sources<'_>, messages: &mut Messages<'_>) {
    notice(field, messages);
    let Some(s3) = field
        .open(&keys::EXPORTERS, messages)
        .and_then(|fields| fields.field("s3"))
    else {
        return;
    };
    let Some(parts) = s3.open(&keys::S3, messages) else {
        return;
    };
    for key in ["bucket_name", "region", "access_key_id"] {
        if let Some(part) = parts.field(key) {
            part.text(messages);
        }
    }
    if parts.field("bucket_name").is_none() {
        messages.warn(s3.key_at, &s3.path, "exporter without bucket_name");
    }
    if let Some(endpoint) = parts.field("endpoint")
        && let Some(text) = endpoint.text(messages)
        && let Err(error) = super::base_url::parse(text)
    {
        endpoint.warn(messages, format!("endpoint {error}"));
    }
    if let Some(prefix) = parts.field("prefix")
        && prefix.text(messages).is_some_and(|text| text.ends_with('/'))
    {
        prefix.warn(messages, "prefix must not end in /");
    }
    if let Some(secret) = parts.field("access_secret") {
        resolvable(&secret, false, secrets, messages);
    }
    for key in ["every", "limit"] {
        if let Some(part) = parts.field(key) {
            part.integer(messages);
        }
    }
}

/// `database`: how long bodies are kept.
pub(super) fn database(field: &Field<'_>, messages: &mut Messages<'_>) {
    notice(field, messages);
    let Some(parts) = field
        .open(&keys::DATABASE, messages)
        .and_then(|fields| fields.field("retention"))
        .and_then(|retention| retention.open(&keys::RETENTION, messages))
    else {
        return;
    };
    if let Some(duration) = parts.field("duration") {
        let value = match &duration.node.value {
            Value::Text(text) if text.is_empty() => Some(0),
            Value::Text(text) => units::duration_ms(text),
            Value::Number(text) if text == "0" => Some(0),
            _ => None,
        };
        if !value.is_some_and(|ms| ms == 0 || (3_600_000..=RETENTION_MS_MAX).contains(&ms)) {
            duration.warn(
                messages,
                "expected \"\" (for ever), 0 (no bodies) or 1h to 3650d, e.g. \"30d\"",
            );
        }
    }
    if let Some(export) = parts.field("require_export") {
        export.boolean(messages);
    }
    for (item, text) in parts
        .field("purge")
        .and_then(|f| f.texts(messages))
        .unwrap_or_default()
    {
        if !keys::PURGE.contains(&text) {
            item.warn(
                messages,
                format!("cannot purge {text:?}; known are captures and tools"),
            );
        }
    }
}

/// `mcp`: servers by name.
pub(super) fn mcp(field: &Field<'_>, messages: &mut Messages<'_>) {
    notice(field, messages);
    let Some(servers) = field
        .open(&keys::MCP, messages)
        .and_then(|fields| fields.field("servers"))
        .and_then(|servers| servers.open_names(messages))
    else {
        return;
    };
    for (_, server) in servers.all() {
        server.open_names(messages);
    }
}

/// Names of the MCP servers: the keys of `mcp.servers`.
pub(super) fn mcp_servers<'a>(field: Option<&Field<'a>>) -> Vec<&'a str> {
    let members = |node: &'a super::hujson::Node| match &node.value {
        Value::Object(members) => members.as_slice(),
        _ => &[],
    };
    field
        .into_iter()
        .flat_map(|field| members(field.node))
        .filter(|member| member.key == "servers")
        .flat_map(|member| members(&member.node))
        .map(|member| member.key.as_str())
        .collect()
}
