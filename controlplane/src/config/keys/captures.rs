//! Keys of `captures` and `database`: what is kept, where, and how long.

use super::exporters::S3;
use super::hooks::FAIL_POLICIES;
use super::{Object, Shape, Unit, key, object};

pub(crate) static PURGE: [&str; 2] = ["captures", "tools"];

/// A share of requests: all, none, or a percentage.
pub(super) const SHARE: Shape = Shape::AnyOf(&[
    Shape::Bool,
    Shape::Pattern("^(100|[0-9]{1,2}(\\.[0-9]{1,4})?)%$", "10%"),
]);

pub(crate) static CAPTURES: Object = object(
    "captures",
    "What is kept of requests and answers.",
    &[
        key(
            "share",
            SHARE,
            r#""100%""#,
            "Share of requests that is captured where no grant says otherwise; false: none at all.",
        ),
        key(
            "fail_policy",
            Shape::Word(&FAIL_POLICIES),
            r#""fail_open""#,
            "Whether a call that cannot be captured goes on (fail_open) or gets 503 (fail_closed).",
        ),
        key(
            "body_bytes",
            Shape::Quantity(Unit::Bytes, 1 << 10, 1 << 30),
            r#""32MiB""#,
            "Most bytes of one body that are kept; the capture says what was cut off.",
        ),
        key(
            "buffer_bytes",
            Shape::Quantity(Unit::Bytes, 16 << 20, 1 << 44),
            r#""2GiB""#,
            "Disk that captures may take while they wait for the control plane; beyond, they are dropped and counted.",
        ),
        key(
            "redact_headers",
            Shape::List(&Shape::Text),
            "[]",
            "Names of headers whose values are not kept, besides those that carry credentials.",
        ),
        key(
            "store",
            Shape::Object(&S3),
            "",
            "Bucket that captures are kept in; by default they stay in the data directory.",
        ),
        key(
            "full_text",
            Shape::Bool,
            "true",
            "Whether captures can be searched for words (Sluice); false removes the index.",
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
            "Nothing is purged before every exporter that takes it has it.",
        ),
        key(
            "purge",
            Shape::List(&Shape::Word(&PURGE)),
            r#"["captures"]"#,
            "What is purged.",
        ),
    ],
);
