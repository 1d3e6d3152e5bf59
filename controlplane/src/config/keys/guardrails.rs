//! Keys of `guardrails`.

use super::{Object, Shape, Unit, key, object, required};

static ACTIONS: [&str; 3] = ["block", "redact", "log"];
pub(crate) static WHERE: [&str; 2] = ["requests", "answers"];

pub(crate) static GUARDRAIL: Object = object(
    "guardrail",
    "A built-in check of requests and answers. All that hold for a call are applied, in the order of their names.",
    &[
        key(
            "on",
            Shape::List(&Shape::Word(&WHERE)),
            r#"["requests"]"#,
            "What is looked at.",
        ),
        key(
            "apply",
            Shape::Word(&["everyone", "granted"]),
            r#""everyone""#,
            "everyone: it holds for every call; granted: where a capability names it in guardrails.",
        ),
        key(
            "models",
            Shape::OneOrMany(&Shape::Text),
            "",
            "Glob or globs over provider/model that it holds for; all if it is not given.",
        ),
        key(
            "action",
            Shape::Word(&ACTIONS),
            r#""block""#,
            "What happens to what detectors, patterns and phrases find: block, redact or log. What breaks the other rules is blocked, or with log noted.",
        ),
        key(
            "shadow",
            Shape::Bool,
            "false",
            "Findings are recorded and counted; nothing is done.",
        ),
        key(
            "detectors",
            Shape::List(&Shape::Text),
            "[]",
            "Names of built-in detectors or groups of them (pii, secrets, all): see GUARDRAILS.md.",
        ),
        key(
            "patterns",
            Shape::List(&Shape::Object(&GUARD_PATTERN)),
            "[]",
            "Regular expressions; matched in linear time.",
        ),
        key(
            "phrases",
            Shape::List(&Shape::Text),
            "[]",
            "Phrases, looked for without regard to letter case and white space.",
        ),
        key(
            "prompt_injection",
            Shape::Bool,
            "false",
            "Looks for the built-in list of phrases that try to override instructions.",
        ),
        key(
            "tools",
            Shape::Object(&GUARD_TOOLS),
            "{}",
            "Tools that a request may offer and an answer may call.",
        ),
        key(
            "caps",
            Shape::Object(&GUARD_CAPS),
            "{}",
            "Most of what a request may ask for.",
        ),
        key(
            "require",
            Shape::List(&Shape::Text),
            "[]",
            "Fields that a request must have: keys joined by dots.",
        ),
        key(
            "forbid",
            Shape::List(&Shape::Text),
            "[]",
            "Fields that a request must not have: keys joined by dots.",
        ),
        key(
            "replacement",
            Shape::Text,
            r#""[REDACTED:{detector}]""#,
            "What redacted text is replaced by; {detector} stands for the name of what found it.",
        ),
        key(
            "message",
            Shape::Text,
            "",
            "What a client reads whose call is blocked; by default a text that names the rule.",
        ),
        key(
            "hold_back_bytes",
            Shape::Quantity(Unit::Bytes, 64, 64 << 10),
            r#""1KiB""#,
            "Most bytes of an answer's text that are held back while a match may still be coming.",
        ),
        key(
            "hold_back_ms",
            Shape::Quantity(Unit::Millis, 1, 60_000),
            r#""1s""#,
            "Longest that they are held back when the provider pauses.",
        ),
    ],
);

pub(crate) static GUARD_PATTERN: Object = object(
    "guard_pattern",
    "A regular expression.",
    &[
        required("name", Shape::Text, "Named in findings and replacements."),
        required(
            "regex",
            Shape::Text,
            "Syntax of the regex crate of Rust: no back-references, no look-around.",
        ),
    ],
);

pub(crate) static GUARD_TOOLS: Object = object(
    "guard_tools",
    "Tools by globs of their names; * stands for any text.",
    &[
        key(
            "allow",
            Shape::List(&Shape::Text),
            "[]",
            "Only these; none named: all.",
        ),
        key("deny", Shape::List(&Shape::Text), "[]", "None of these."),
        key(
            "allow_servers",
            Shape::List(&Shape::Text),
            "[]",
            "Only tools of these MCP servers; none named: all. Tools of no server are not concerned.",
        ),
        key(
            "deny_servers",
            Shape::List(&Shape::Text),
            "[]",
            "No tools of these MCP servers.",
        ),
    ],
);

pub(crate) static GUARD_CAPS: Object = object(
    "guard_caps",
    "Most of what a request may ask for.",
    &[
        key(
            "max_tokens",
            Shape::Integer(1, 1 << 40),
            "",
            "Tokens of output; a request that names no limit passes.",
        ),
        key("messages", Shape::Integer(1, 1 << 32), "", "Messages."),
        key(
            "images",
            Shape::Integer(0, 1 << 32),
            "",
            "Images in the messages.",
        ),
    ],
);
