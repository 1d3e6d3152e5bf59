//! Keys of `limits` and `timeouts`.

use super::{Key, Object, Shape, Unit, key, object};

/// The longest time that a setting may name: 400 days.
pub(crate) const MILLIS_MAX: u64 = 400 * 86_400_000;

/// Keys are the names of the snapshot's fields.
pub(crate) static LIMITS: Object = object(
    "limits",
    "Bounds. Numbers are in the unit that the key ends with, or text with a unit: B KiB MiB GiB kB MB GB; ns us ms s m h d.",
    &[
        bytes(
            "head_bytes",
            1 << 10,
            1 << 20,
            r#""64KiB""#,
            "Head of a message; over it 431.",
        ),
        count("header_count", 8, 1_000, "100", "Header fields; over it 431."),
        bytes(
            "target_bytes",
            64,
            64 << 10,
            r#""8KiB""#,
            "Request target; over it 414.",
        ),
        millis(
            "head_ms",
            1,
            MILLIS_MAX,
            r#""10s""#,
            "Time for a whole request head, from its first byte; over it 408.",
        ),
        bytes(
            "body_bytes",
            1,
            4 << 30,
            r#""32MiB""#,
            "Request bodies of chat-like calls; over it 413.",
        ),
        bytes(
            "file_body_bytes",
            1,
            64 << 30,
            r#""256MiB""#,
            "Request bodies of audio and images; over it 413.",
        ),
        millis(
            "body_idle_ms",
            1,
            MILLIS_MAX,
            r#""30s""#,
            "Silence within a request body; over it 408.",
        ),
        bytes(
            "body_rate_bytes",
            0,
            1 << 30,
            r#""1KiB""#,
            "Slowest upload in bytes a second, once 10 s have passed; under it 408.",
        ),
        millis(
            "keep_alive_ms",
            1,
            MILLIS_MAX,
            r#""75s""#,
            "Idle connection of a client.",
        ),
        millis(
            "pool_idle_ms",
            0,
            MILLIS_MAX,
            r#""50s""#,
            "Idle connection to a provider.",
        ),
        count(
            "pool_idle_count",
            0,
            1 << 20,
            "256",
            "Idle connections that a shard keeps to one provider.",
        ),
        bytes(
            "buffer_bytes",
            1 << 20,
            1 << 44,
            r#""1GiB""#,
            "Request bodies and unsent answers held by the process; over it 503.",
        ),
        count(
            "in_flight",
            1,
            1 << 20,
            "8192",
            "Requests in flight in one shard; over it 503.",
        ),
        count(
            "connections",
            0,
            1 << 24,
            "0",
            "Client connections of the process; 0: half of the descriptor limit.",
        ),
        millis(
            "drain_ms",
            0,
            MILLIS_MAX,
            r#""30s""#,
            "Time for running requests when the process drains.",
        ),
        millis(
            "identity_ms",
            1,
            60_000,
            r#""500ms""#,
            "How long a new connection waits for its identity; then 503.",
        ),
        count(
            "api_reads_per_s",
            0,
            100_000,
            "50",
            "Reads of the admin API that one principal may go on making, with four seconds' worth at once; over it 429. 0: no limit.",
        ),
        count(
            "api_changes_per_s",
            0,
            100_000,
            "5",
            "Changes through the admin API that one principal may go on making, with six seconds' worth at once; over it 429. 0: no limit.",
        ),
    ],
);

pub(crate) static TIMEOUTS: Object = object(
    "timeouts",
    "Limits of patience towards a provider; 0: none.",
    &[
        key(
            "connect",
            Shape::Duration,
            r#""5s""#,
            "Connection made, TLS included.",
        ),
        key(
            "first_byte",
            Shape::Duration,
            r#""10m""#,
            "First byte of the answer.",
        ),
        key("idle", Shape::Duration, r#""10m""#, "Silence within an answer."),
        key("total", Shape::Duration, "0", "The whole exchange."),
    ],
);

const fn bytes(name: &'static str, min: u64, max: u64, default: &'static str, about: &'static str) -> Key {
    key(name, Shape::Quantity(Unit::Bytes, min, max), default, about)
}

const fn millis(name: &'static str, min: u64, max: u64, default: &'static str, about: &'static str) -> Key {
    key(name, Shape::Quantity(Unit::Millis, min, max), default, about)
}

const fn count(name: &'static str, min: u64, max: u64, default: &'static str, about: &'static str) -> Key {
    key(name, Shape::Quantity(Unit::Count, min, max), default, about)
}
