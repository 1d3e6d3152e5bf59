//! Parts of the document that this version accepts and does not act on: what can be checked is checked, so that a
//! document that is fine today is fine when they come.

use super::message::Messages;
use super::reader::{Field, Unknown};

const QUOTA: [&str; 12] = [
    "capacity",
    "rate",
    "on_exceed",
    "tokens",
    "requests",
    "concurrency",
    "admission",
    "cut",
    "unpriced",
    "deny_status",
    "description",
    "disabled",
];
const HOOK: [&str; 7] = [
    "url",
    "apikey",
    "authorization",
    "timeout",
    "disabled",
    "fail_policy",
    "preference",
];
const PLACEHOLDERS: [&str; 6] = [
    "<user>",
    "<node>",
    "<group>",
    "<model>",
    "<provider>",
    "<session>",
];

/// `quotas`: names may hold placeholders, definitions are objects.
pub(crate) fn quotas(field: &Field<'_>, messages: &mut Messages<'_>) {
    messages.notice(field.key_at, &field.path, "quotas have no effect in this version");
    let Some(fields) = field.open(&[], Unknown::Names, messages) else {
        return;
    };
    for (name, quota) in fields.all() {
        if let Some(bad) = bad_placeholder(name) {
            messages.warn(
                quota.key_at,
                &quota.path,
                format!("bad quota template: {bad}; known are {}", PLACEHOLDERS.join(" ")),
            );
        }
        let Some(parts) = quota.open(&QUOTA, Unknown::ConfigKey, messages) else {
            continue;
        };
        for key in ["capacity", "rate", "on_exceed"] {
            if let Some(part) = parts.field(key) {
                part.text(messages);
            }
        }
    }
}

fn bad_placeholder(name: &str) -> Option<String> {
    let mut rest = name;
    while let Some(at) = rest.find(['<', '>']) {
        let from = rest.get(at..)?;
        let Some(known) = PLACEHOLDERS.iter().find(|p| from.starts_with(**p)) else {
            let end = from.find('>').map_or(from.len(), |end| end + 1);
            return Some(format!("{:?}", from.get(..end).unwrap_or(from)));
        };
        rest = from.get(known.len()..)?;
    }
    None
}

/// `hooks`: each needs a URL of a scheme that is spoken.
pub(crate) fn hooks(field: &Field<'_>, messages: &mut Messages<'_>) {
    messages.notice(field.key_at, &field.path, "hooks have no effect in this version");
    let Some(fields) = field.open(&[], Unknown::Names, messages) else {
        return;
    };
    for (_, hook) in fields.all() {
        let Some(parts) = hook.open(&HOOK, Unknown::ConfigKey, messages) else {
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
        if let Some(policy) = parts.field("fail_policy")
            && policy
                .text(messages)
                .is_some_and(|text| text != "fail_open" && text != "fail_closed")
        {
            policy.warn(messages, "known are fail_open and fail_closed");
        }
    }
}

/// `exporters`: an S3 prefix that ends in `/` would make object names with an empty segment.
pub(crate) fn exporters(field: &Field<'_>, messages: &mut Messages<'_>) {
    messages.notice(
        field.key_at,
        &field.path,
        "exporters have no effect in this version",
    );
    let Some(fields) = field.open(&[], Unknown::Names, messages) else {
        return;
    };
    for (_, exporter) in fields.all() {
        let Some(parts) = exporter.open(&[], Unknown::Names, messages) else {
            continue;
        };
        if let Some(prefix) = parts.field("prefix")
            && prefix.text(messages).is_some_and(|text| text.ends_with('/'))
        {
            prefix.warn(messages, "prefix must not end in /");
        }
    }
}

/// Names of the MCP servers: the keys of `mcp.servers`, or of `mcp` itself.
pub(crate) fn mcp_servers<'a>(field: Option<&Field<'a>>) -> Vec<&'a str> {
    let keys = |field: &Field<'a>| match &field.node.value {
        super::hujson::Value::Object(members) => members.iter().map(|m| m.key.as_str()).collect(),
        _ => Vec::new(),
    };
    let Some(field) = field else { return Vec::new() };
    let super::hujson::Value::Object(members) = &field.node.value else {
        return Vec::new();
    };
    match members.iter().find(|member| member.key == "servers") {
        Some(servers) => keys(&Field {
            path: String::new(),
            node: &servers.node,
            key_at: servers.key_at,
        }),
        None => keys(field),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn quota_names_hold_known_placeholders_only() {
        let check = |name: &str, expected: Option<&str>| {
            assert_eq!(bad_placeholder(name).as_deref(), expected, "{name}");
        };
        check("team", None);
        check("daily:<user>:<model>", None);
        check("daily:<usr>", Some("\"<usr>\""));
        check("a<user", Some("\"<user\""));
        check("a>b", Some("\">\""));
    }
}
