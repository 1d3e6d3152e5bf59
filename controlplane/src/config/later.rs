//! Parts of the document that this version accepts and does not act on: what can be checked is checked, so that a
//! document that is fine today is fine when they come.

use super::hujson::Value;
use super::keys;
use super::message::Messages;
use super::reader::Field;

/// Says that a part has no effect.
pub(super) fn notice(field: &Field<'_>, messages: &mut Messages<'_>) {
    let verb = if field.path.ends_with('s') { "have" } else { "has" };
    messages.notice(
        field.key_at,
        &field.path,
        format!("{} {verb} no effect in this version", field.path),
    );
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
