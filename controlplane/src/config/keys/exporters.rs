//! Keys of `exporters`.

use super::providers::{AUTHORIZATIONS, PROVIDER_TLS};
use super::{Key, Object, Shape, key, object, required};

pub(crate) static WHAT: [&str; 4] = ["requests", "captures", "audit", "quota_events"];
pub(crate) static SIGNALS: [&str; 3] = ["logs", "traces", "metrics"];

const ENDPOINT: Key = key(
    "endpoint",
    Shape::Text,
    "",
    "http:// or https://; Amazon's own if it is not given.",
);
const BUCKET: Key = required("bucket_name", Shape::Text, "Bucket.");
const REGION: Key = key("region", Shape::Text, "", "Region.");
const PREFIX: Key = key(
    "prefix",
    Shape::Pattern("^(.*[^/])?$", "audit/sluice"),
    r#""""#,
    "Put before object names, without a / at its end.",
);
const ACCESS_KEY: Key = key(
    "access_key_id",
    Shape::Text,
    "",
    "Access key; without one, what the environment of the host offers.",
);
const SECRET: Key = key(
    "access_secret",
    Shape::Text,
    "",
    "Its secret; ${env:NAME} and ${file:PATH} keep it out of the document.",
);

/// A bucket, where nothing but a bucket will do.
pub(crate) static S3: Object = object(
    "s3",
    "S3-compatible object storage.",
    &[ENDPOINT, BUCKET, REGION, PREFIX, ACCESS_KEY, SECRET],
);

pub(crate) static EXPORTER: Object = object(
    "exporter",
    "Where records are sent. Each goes its own way: one that is slow or down delays no other.",
    &[
        key(
            "type",
            Shape::Word(&["s3", "webhook", "hec", "otlp"]),
            "",
            "s3: objects in a bucket (the type of the exporter named s3, and of all with bucket_name); webhook: JSON by POST; hec: Splunk's HTTP event collector; otlp: OpenTelemetry over HTTP (Sluice).",
        ),
        key(
            "disabled",
            Shape::Bool,
            "false",
            "As if it were not there (Sluice).",
        ),
        key(
            "what",
            Shape::List(&Shape::Word(&WHAT)),
            "",
            r#"What is sent (Sluice). By default ["captures"] to s3 as jsonl or cbor, else ["requests"]. Captures hold the usage record of their request; a request that was not captured is sent without bodies."#,
        ),
        key(
            "every",
            Shape::Integer(1, 31_536_000),
            "3600",
            "Seconds between exports; 10 by default for all but s3.",
        ),
        key(
            "limit",
            Shape::Integer(1, 1_000_000),
            "1000",
            "Records in one object or message.",
        ),
        ENDPOINT,
        key("bucket_name", Shape::Text, "", "Bucket."),
        REGION,
        PREFIX,
        ACCESS_KEY,
        SECRET,
        key(
            "format",
            Shape::Word(&["jsonl", "cbor", "parquet"]),
            r#""jsonl""#,
            "How objects are written (Sluice). jsonl and cbor are compressed by zstd; parquet holds usage records only.",
        ),
        key(
            "url",
            Shape::Pattern(
                "^[Hh][Tt][Tt][Pp][Ss]?://",
                "https://siem.example.com/services/collector/event",
            ),
            "",
            "http:// or https://, of a webhook, collector or OpenTelemetry receiver (Sluice).",
        ),
        key(
            "apikey",
            Shape::Text,
            "",
            "Its key; ${env:NAME} and ${file:PATH} keep it out of the document. Sent to a hec as its token (Sluice).",
        ),
        key(
            "authorization",
            Shape::Word(&AUTHORIZATIONS),
            r#""bearer""#,
            "The header that carries the key of a webhook or OpenTelemetry receiver (Sluice).",
        ),
        key(
            "add_headers",
            Shape::List(&Shape::Pattern("^[^:]+:", "X-Team: blue")),
            "[]",
            "Headers set on every message, \"Name: value\" (Sluice).",
        ),
        key(
            "timeout",
            Shape::Duration,
            r#""30s""#,
            "How long one message may take (Sluice).",
        ),
        key(
            "tls",
            Shape::Object(&PROVIDER_TLS),
            "{}",
            "How the receiver's certificate is checked (Sluice).",
        ),
        key("index", Shape::Text, r#""""#, "Index of hec events (Sluice)."),
        key(
            "source",
            Shape::Text,
            r#""sluice""#,
            "Source of hec events (Sluice).",
        ),
        key(
            "sourcetype",
            Shape::Text,
            r#""_json""#,
            "Source type of hec events (Sluice).",
        ),
        key(
            "signals",
            Shape::List(&Shape::Word(&SIGNALS)),
            r#"["logs", "traces", "metrics"]"#,
            "What an otlp receiver is sent (Sluice).",
        ),
    ],
);
