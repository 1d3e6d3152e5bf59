//! Keys of `grants`.

use super::captures::SHARE;
use super::{Key, Object, Shape, key, required};

/// Key under which the capabilities of a grant stand in an Aperture document and in a tailnet's policy.
pub(crate) const CAPABILITY_KEY: &str = "tailscale.com/cap/aperture";

pub(crate) static EVENTS: [&str; 3] = ["pre_request", "entire_request", "tool_call_entire_request"];
pub(crate) static SEND: [&str; 8] = [
    "tools",
    "request_body",
    "user_message",
    "response_body",
    "raw_responses",
    "estimated_cost",
    "grants",
    "quotas",
];
static ROLES: [&str; 2] = ["admin", "user"];

const fn grant_object(name: &'static str, about: &'static str, keys: &'static [Key]) -> Object {
    Object {
        name,
        about,
        keys,
        unknown: "unknown grant field",
    }
}

pub(crate) static GRANT: Object = grant_object(
    "grant",
    "Capabilities for everybody who matches one of the sources.",
    &[
        required(
            "src",
            Shape::List(&Shape::Text),
            "*, a login, group:x, tag:x, an address or network, (loopback), autogroup:member, autogroup:tagged.",
        ),
        key(
            "capabilities",
            Shape::List(&Shape::Object(&CAPABILITY)),
            "[]",
            "What they get (Sluice's spelling).",
        ),
        key(
            "app",
            Shape::Map(&Shape::Any),
            "{}",
            "What they get, in Aperture's spelling: under tailscale.com/cap/aperture an array of capabilities. Values under other keys are kept for hooks, unread.",
        ),
    ],
);

pub(crate) static CAPABILITY: Object = grant_object(
    "capability",
    "What a grant gives. It grants models if it names models, or has a role and no capability of the same grant names models.",
    &[
        key(
            "role",
            Shape::Word(&ROLES),
            "",
            "admin: configuration, everybody's usage; user: own usage. Without any role nothing is served.",
        ),
        key(
            "models",
            Shape::OneOrMany(&Shape::Text),
            "",
            "Glob or globs over provider/model: * within a path segment, ** across.",
        ),
        key(
            "add_headers",
            Shape::List(&Shape::Pattern("^[^:]+:", "X-Team: blue")),
            "[]",
            "Headers set on requests of these models, \"Name: value\".",
        ),
        key("read_metrics", Shape::Bool, "false", "May read /metrics."),
        key(
            "quotas",
            Shape::List(&Shape::Object(&QUOTA_REFERENCE)),
            "[]",
            "Budgets that count for these models, or for all if it names none: all must have enough left, and all are charged.",
        ),
        key(
            "send_hooks",
            Shape::List(&Shape::Object(&SEND_HOOK)),
            "[]",
            "Hooks that are asked about calls of these models or told of them. Several that name the same hook add up.",
        ),
        key(
            "guardrails",
            Shape::List(&Shape::Text),
            "[]",
            "Names of guardrails that hold for calls of these models besides those for everyone (Sluice).",
        ),
        key(
            "capture",
            SHARE,
            "",
            "Share of calls of these models that is captured; of several the largest, instead of the document's (Sluice).",
        ),
        key(
            "mcp_tools",
            Shape::OneOrMany(&Shape::Text),
            "",
            "Globs over server/tool. No effect in this version.",
        ),
        key(
            "mcp_resources",
            Shape::OneOrMany(&Shape::Text),
            "",
            "Globs over server/resource. No effect in this version.",
        ),
        key(
            "mcp_templates",
            Shape::OneOrMany(&Shape::Text),
            "",
            "Globs over server/template. No effect in this version.",
        ),
        key(
            "enable_chat_ui",
            Shape::Bool,
            "false",
            "May use the chat page. No effect in this version.",
        ),
        key(
            "read_pricing",
            Shape::Bool,
            "false",
            "May read prices. No effect in this version.",
        ),
        key(
            "connectors",
            Shape::Any,
            "",
            "Connectors that may be used. No effect in this version.",
        ),
    ],
);

pub(crate) static QUOTA_REFERENCE: Object = grant_object(
    "quota_reference",
    "Names a quota.",
    &[required(
        "bucket",
        Shape::Text,
        "Name of a quota, as it is defined: daily:<user>.",
    )],
);

pub(crate) static SEND_HOOK: Object = grant_object(
    "send_hook",
    "Wires a hook.",
    &[
        required("name", Shape::Text, "Name of a hook."),
        key(
            "events",
            Shape::List(&Shape::Word(&EVENTS)),
            "[]",
            "When it is called.",
        ),
        key("send", Shape::List(&Shape::Word(&SEND)), "[]", "What it is sent."),
    ],
);
