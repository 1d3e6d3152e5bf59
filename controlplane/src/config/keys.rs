//! Every key of the document, once: its type, bounds, default and meaning.
//!
//! The readers open objects with these tables (so an unknown key finds its nearest known one), take their bounds from
//! them, and the JSON Schema is written from them. A reader that asks for a key which its table lacks, or opens a table
//! which the document does not lead to, stops a debug build: the schema cannot fall behind.

mod access;
mod captures;
mod exporters;
mod guardrails;
mod hooks;
mod identity;
mod later;
mod limits;
mod prices;
mod providers;
mod quotas;

pub(crate) use access::{CAPABILITY, CAPABILITY_KEY, EVENTS, GRANT, QUOTA_REFERENCE, SEND, SEND_HOOK};
pub(crate) use captures::{CAPTURES, DATABASE, PURGE, RETENTION};
pub(crate) use exporters::{EXPORTER, S3, SIGNALS, WHAT};
pub(crate) use guardrails::{GUARD_CAPS, GUARD_PATTERN, GUARD_TOOLS, GUARDRAIL, WHERE};
pub(crate) use hooks::HOOK;
pub(crate) use identity::{ALGORITHMS, BUNDLE, IDENTITY, ISSUER, LISTENER, LISTENER_TLS, NETWORK, TAILSCALE};
pub(crate) use later::MCP;
pub(crate) use limits::{LIMITS, MILLIS_MAX, TIMEOUTS};
pub(crate) use prices::{PRICE, PRICE_ABOVE, PRICE_TIER};
pub(crate) use providers::{COMPATIBILITY, COST_RULE, MODEL_BYTES_MAX, PROVIDER, PROVIDER_TLS};
pub(crate) use quotas::{QUOTA, QUOTA_LIMIT};

/// An object with known keys.
#[derive(Debug)]
pub(crate) struct Object {
    /// Name of the definition in the schema.
    pub(crate) name: &'static str,
    /// What it is, in one sentence.
    pub(crate) about: &'static str,
    pub(crate) keys: &'static [Key],
    /// What an unknown key in it is called.
    pub(crate) unknown: &'static str,
}

/// A key of an object.
#[derive(Debug)]
pub(crate) struct Key {
    pub(crate) name: &'static str,
    pub(crate) shape: Shape,
    /// JSON text; empty: there is none.
    pub(crate) default: &'static str,
    /// What it means.
    pub(crate) about: &'static str,
    /// The object is of no use without it.
    pub(crate) needed: bool,
}

/// What a value looks like.
#[derive(Debug)]
pub(crate) enum Shape {
    Text,
    Bool,
    /// Integer with its bounds.
    Integer(i64, i64),
    /// A decimal factor that is not negative.
    Factor,
    /// Text with a unit, `5s`; or a bare 0.
    Duration,
    /// Integer in the unit that the key ends with, or text with a unit; bounds in that unit.
    Quantity(Unit, u64, u64),
    /// One of these words.
    Word(&'static [&'static str]),
    /// Text that an expression of JSON Schema (ECMA 262) describes, with an example.
    Pattern(&'static str, &'static str),
    List(&'static Self),
    /// One, or an array of them.
    OneOrMany(&'static Self),
    /// An object whose keys are names that the operator chose.
    Map(&'static Self),
    Object(&'static Object),
    AnyOf(&'static [Self]),
    /// Whatever.
    Any,
}

/// What a number means, and so how it may be written.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Unit {
    Bytes,
    Millis,
    Count,
}

impl Object {
    pub(crate) fn key(&self, name: &str) -> Option<&'static Key> {
        self.keys.iter().find(|key| key.name == name)
    }

    pub(crate) fn names(&self) -> Vec<&'static str> {
        self.keys.iter().map(|key| key.name).collect()
    }
}

const fn key(name: &'static str, shape: Shape, default: &'static str, about: &'static str) -> Key {
    Key {
        name,
        shape,
        default,
        about,
        needed: false,
    }
}

/// A key whose object is of no use without it.
const fn required(name: &'static str, shape: Shape, about: &'static str) -> Key {
    Key {
        name,
        shape,
        default: "",
        about,
        needed: true,
    }
}

const fn object(name: &'static str, about: &'static str, keys: &'static [Key]) -> Object {
    Object {
        name,
        about,
        keys,
        unknown: "unknown config key",
    }
}

/// The document itself.
pub(crate) static DOCUMENT: Object = object(
    "document",
    "Configuration of the Sluice AI gateway. HuJSON: comments and trailing commas are allowed.",
    &[
        key(
            "$schema",
            Shape::Text,
            "",
            "Address of this schema, for editors; ignored.",
        ),
        required(
            "providers",
            Shape::Map(&Shape::Object(&PROVIDER)),
            "Upstreams that serve models, by id (1 to 64 of A-Z a-z 0-9 . _ -). Clients may address one by id/model.",
        ),
        key(
            "grants",
            Shape::List(&Shape::Object(&GRANT)),
            "[]",
            "Who may do what. Nothing is allowed that no grant gives; grants add up.",
        ),
        key(
            "temp_grants",
            Shape::List(&Shape::Object(&GRANT)),
            "[]",
            "Deprecated: read like grants and united with them.",
        ),
        key(
            "model_aliases",
            Shape::Map(&Shape::Text),
            "{}",
            "Name -> model or provider/model. The name is replaced before anything is decided, once, exactly.",
        ),
        key(
            "identity",
            Shape::Object(&IDENTITY),
            "{}",
            "Where principals come from (Sluice).",
        ),
        key(
            "listeners",
            Shape::List(&Shape::Object(&LISTENER)),
            r#"[{"address": "127.0.0.1:8080"}]"#,
            "Addresses to listen on (Sluice). --listen on the command line replaces them.",
        ),
        key(
            "limits",
            Shape::Object(&LIMITS),
            "{}",
            "Bounds of the gateway (Sluice).",
        ),
        key(
            "auto_cost_basis",
            Shape::Bool,
            "true",
            "Whether a provider's cost_basis is told by its host and flags where it is not given.",
        ),
        key(
            "quotas",
            Shape::Map(&Shape::Object(&QUOTA)),
            "{}",
            "Budgets, by name; a name may hold <user>, <node>, <group>, <model>, <provider>, <session>: a bucket for each.",
        ),
        key(
            "hooks",
            Shape::Map(&Shape::Object(&HOOK)),
            "{}",
            "Web services that are asked about calls or told of them, by name. A grant's send_hooks says of which.",
        ),
        key(
            "guardrails",
            Shape::Map(&Shape::Object(&GUARDRAIL)),
            "{}",
            "Built-in checks of requests and answers, by name (Sluice).",
        ),
        key(
            "captures",
            Shape::Object(&CAPTURES),
            "{}",
            "What is kept of requests and answers (Sluice).",
        ),
        key("database", Shape::Object(&DATABASE), "{}", "How long it is kept."),
        key(
            "exporters",
            Shape::Map(&Shape::Object(&EXPORTER)),
            "{}",
            "Where records are sent, by name. Where an exporter has got to is kept under its name.",
        ),
        key(
            "mcp",
            Shape::Object(&MCP),
            "{}",
            "MCP servers behind the gateway. No effect in this version.",
        ),
        key(
            "prices",
            Shape::Map(&Shape::Object(&PRICE)),
            "{}",
            "Prices that replace those of the built-in table, by model or provider/model; either may be a glob (Sluice).",
        ),
    ],
);

/// Every object that the document leads to, outermost first, each once.
pub(crate) fn objects() -> &'static [&'static Object] {
    static ALL: std::sync::OnceLock<Vec<&'static Object>> = std::sync::OnceLock::new();
    fn visit(shape: &'static Shape, out: &mut Vec<&'static Object>) {
        match shape {
            Shape::List(inner) | Shape::OneOrMany(inner) | Shape::Map(inner) => visit(inner, out),
            Shape::AnyOf(shapes) => shapes.iter().for_each(|shape| visit(shape, out)),
            Shape::Object(object) => enter(object, out),
            Shape::Text
            | Shape::Bool
            | Shape::Integer(..)
            | Shape::Factor
            | Shape::Duration
            | Shape::Quantity(..)
            | Shape::Word(_)
            | Shape::Pattern(..)
            | Shape::Any => {}
        }
    }
    fn enter(object: &'static Object, out: &mut Vec<&'static Object>) {
        if !out.iter().any(|known| std::ptr::eq(*known, object)) {
            out.push(object);
            object.keys.iter().for_each(|key| visit(&key.shape, out));
        }
    }
    ALL.get_or_init(|| {
        let mut out = Vec::new();
        enter(&DOCUMENT, &mut out);
        out
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn tables_name_each_key_once_and_defaults_are_json() {
        let mut names = std::collections::HashSet::new();
        for object in objects() {
            assert!(
                names.insert(object.name),
                "two definitions are called {}",
                object.name
            );
            let mut keys = std::collections::HashSet::new();
            for key in object.keys {
                assert!(keys.insert(key.name), "{}.{}", object.name, key.name);
                assert!(key.about.ends_with('.'), "{}.{}", object.name, key.name);
                let json =
                    key.default.is_empty() || serde_json::from_str::<serde_json::Value>(key.default).is_ok();
                assert!(json, "{}.{}", object.name, key.name);
            }
        }
        assert!(objects().len() > 15, "{}", objects().len());
    }
}
