//! Keys of the parts that a later version acts on.

use super::providers::AUTHORIZATIONS;
use super::{Object, Shape, key, object, required};

pub(crate) static PURGE: [&str; 2] = ["captures", "tools"];

pub(crate) static HOOK: Object = object(
    "hook",
    "A web service that is asked about calls or told of them.",
    &[
        required(
            "url",
            Shape::Pattern("^[Hh][Tt][Tt][Pp][Ss]?://", "http://guard:8080/scrub"),
            "http:// or https://.",
        ),
        key(
            "apikey",
            Shape::Text,
            "",
            "Its key; ${env:NAME} and ${file:PATH} keep it out of the document.",
        ),
        key(
            "authorization",
            Shape::Word(&AUTHORIZATIONS),
            r#""bearer""#,
            "The header that carries the key.",
        ),
        key(
            "timeout",
            Shape::Duration,
            r#""5s""#,
            "How long it may take; 0: no limit.",
        ),
        key("disabled", Shape::Bool, "false", "As if it were not there."),
        key(
            "fail_policy",
            Shape::Word(&["fail_open", "fail_closed"]),
            r#""fail_open""#,
            "Whether a call goes on (fail_open) or gets 503 (fail_closed) when the hook fails.",
        ),
        key(
            "preference",
            Shape::Integer(i32::MIN as i64, i32::MAX as i64),
            "0",
            "The highest is called first; equal ones by name.",
        ),
    ],
);

pub(crate) static EXPORTERS: Object = object(
    "exporters",
    "Where captures and usage are exported to.",
    &[key("s3", Shape::Object(&S3), "", "S3-compatible object storage.")],
);

pub(crate) static S3: Object = object(
    "s3",
    "S3-compatible object storage.",
    &[
        key(
            "endpoint",
            Shape::Text,
            "",
            "http:// or https://; Amazon's own if it is not given.",
        ),
        required("bucket_name", Shape::Text, "Bucket."),
        key("region", Shape::Text, "", "Region."),
        key(
            "prefix",
            Shape::Pattern("^(.*[^/])?$", "audit/sluice"),
            r#""""#,
            "Put before object names, without a / at its end.",
        ),
        key("access_key_id", Shape::Text, "", "Access key."),
        key(
            "access_secret",
            Shape::Text,
            "",
            "Its secret; ${env:NAME} and ${file:PATH} keep it out of the document.",
        ),
        key(
            "every",
            Shape::Integer(1, 31_536_000),
            "3600",
            "Seconds between exports.",
        ),
        key(
            "limit",
            Shape::Integer(1, 1_000_000),
            "1000",
            "Records in one object.",
        ),
    ],
);

pub(crate) static DATABASE: Object = object(
    "database",
    "What is kept, and how long.",
    &[key(
        "retention",
        Shape::Object(&RETENTION),
        "{}",
        "How long bodies are kept.",
    )],
);

pub(crate) static RETENTION: Object = object(
    "retention",
    "How long bodies are kept. Metrics are never purged by it.",
    &[
        key(
            "duration",
            Shape::AnyOf(&[Shape::Duration, Shape::Word(&[""])]),
            r#""""#,
            "\"\": for ever; 0: no bodies are kept; else 1h to 3650d.",
        ),
        key(
            "require_export",
            Shape::Bool,
            "false",
            "Nothing is purged before it was exported.",
        ),
        key(
            "purge",
            Shape::List(&Shape::Word(&PURGE)),
            r#"["captures"]"#,
            "What is purged.",
        ),
    ],
);

pub(crate) static MCP: Object = object(
    "mcp",
    "MCP servers behind the gateway.",
    &[key(
        "servers",
        Shape::Map(&Shape::Map(&Shape::Any)),
        "{}",
        "By name; each an object.",
    )],
);
