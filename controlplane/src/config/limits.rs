//! `limits` and `timeouts`: numbers with units.

use sluice_shared::snapshot::{Limits, Timeouts};

use super::hujson::Value;
use super::message::Messages;
use super::reader::{Field, Unknown};
use super::units;

/// Keys of `limits`: the names of the snapshot's fields.
pub(crate) const KEYS: [&str; 16] = [
    "head_bytes",
    "header_count",
    "target_bytes",
    "head_ms",
    "body_bytes",
    "file_body_bytes",
    "body_idle_ms",
    "body_rate_bytes",
    "keep_alive_ms",
    "pool_idle_ms",
    "pool_idle_count",
    "buffer_bytes",
    "in_flight",
    "connections",
    "drain_ms",
    "identity_ms",
];

/// What a number means, and so how it may be written.
#[derive(Clone, Copy)]
enum Unit {
    Bytes,
    Millis,
    Count,
}

/// The longest time that a setting may name: 400 days.
const MILLIS_MAX: u64 = 400 * 86_400_000;

/// `limits`: keys are the names of the snapshot's fields.
pub(crate) fn read(field: &Field<'_>, messages: &mut Messages<'_>) -> Limits {
    let mut limits = Limits::default();
    let rows: [(&str, &mut u64, Unit, u64, u64); 16] = [
        (
            "head_bytes",
            &mut limits.head_bytes,
            Unit::Bytes,
            1 << 10,
            1 << 20,
        ),
        ("header_count", &mut limits.header_count, Unit::Count, 8, 1_000),
        (
            "target_bytes",
            &mut limits.target_bytes,
            Unit::Bytes,
            64,
            64 << 10,
        ),
        ("head_ms", &mut limits.head_ms, Unit::Millis, 1, MILLIS_MAX),
        ("body_bytes", &mut limits.body_bytes, Unit::Bytes, 1, 4 << 30),
        (
            "file_body_bytes",
            &mut limits.file_body_bytes,
            Unit::Bytes,
            1,
            64 << 30,
        ),
        (
            "body_idle_ms",
            &mut limits.body_idle_ms,
            Unit::Millis,
            1,
            MILLIS_MAX,
        ),
        (
            "body_rate_bytes",
            &mut limits.body_rate_bytes,
            Unit::Bytes,
            0,
            1 << 30,
        ),
        (
            "keep_alive_ms",
            &mut limits.keep_alive_ms,
            Unit::Millis,
            1,
            MILLIS_MAX,
        ),
        (
            "pool_idle_ms",
            &mut limits.pool_idle_ms,
            Unit::Millis,
            0,
            MILLIS_MAX,
        ),
        (
            "pool_idle_count",
            &mut limits.pool_idle_count,
            Unit::Count,
            0,
            1 << 20,
        ),
        (
            "buffer_bytes",
            &mut limits.buffer_bytes,
            Unit::Bytes,
            1 << 20,
            1 << 44,
        ),
        ("in_flight", &mut limits.in_flight, Unit::Count, 1, 1 << 20),
        ("connections", &mut limits.connections, Unit::Count, 0, 1 << 24),
        ("drain_ms", &mut limits.drain_ms, Unit::Millis, 0, MILLIS_MAX),
        ("identity_ms", &mut limits.identity_ms, Unit::Millis, 1, 60_000),
    ];
    let Some(fields) = field.open(&KEYS, Unknown::ConfigKey, messages) else {
        return Limits::default();
    };
    for (key, target, unit, min, max) in rows {
        if let Some(value) = fields
            .field(key)
            .and_then(|f| quantity(&f, unit, min, max, messages))
        {
            *target = value;
        }
    }
    limits
}

/// `timeouts` of a provider: `connect`, `first_byte`, `idle`, `total`; 0 means none.
pub(crate) fn timeouts(field: &Field<'_>, messages: &mut Messages<'_>) -> Timeouts {
    let mut timeouts = Timeouts::default();
    let rows = [
        ("connect", &mut timeouts.connect_ms),
        ("first_byte", &mut timeouts.first_byte_ms),
        ("idle", &mut timeouts.idle_ms),
        ("total", &mut timeouts.total_ms),
    ];
    let known: Vec<&str> = rows.iter().map(|row| row.0).collect();
    let Some(fields) = field.open(&known, Unknown::ConfigKey, messages) else {
        return Timeouts::default();
    };
    for (key, target) in rows {
        if let Some(value) = fields.field(key).and_then(|f| duration(&f, 0, messages)) {
            *target = value;
        }
    }
    timeouts
}

/// A duration written as text; a bare 0 is allowed, any other bare number has no unit.
pub(crate) fn duration(field: &Field<'_>, min: u64, messages: &mut Messages<'_>) -> Option<u64> {
    let value = match &field.node.value {
        Value::Number(text) if text == "0" => Some(0),
        Value::Number(_) => None,
        _ => units::duration_ms(field.text(messages)?),
    };
    let value = value.filter(|value| (min..=MILLIS_MAX).contains(value));
    if value.is_none() {
        field.warn(
            messages,
            "expected a duration with its unit, e.g. \"500ms\", \"10s\", \"5m\"",
        );
    }
    value
}

fn quantity(field: &Field<'_>, unit: Unit, min: u64, max: u64, messages: &mut Messages<'_>) -> Option<u64> {
    let (value, example) = match (&field.node.value, unit) {
        (Value::Number(text), _) => (text.parse().ok(), "an integer"),
        (_, Unit::Count) => {
            field.integer(0, i64::MAX, messages)?;
            return None;
        }
        (_, Unit::Bytes) => (
            units::size(field.text(messages)?),
            "a size, e.g. \"32MiB\" or a number of bytes",
        ),
        (_, Unit::Millis) => (
            units::duration_ms(field.text(messages)?),
            "a duration, e.g. \"10s\" or a number of milliseconds",
        ),
    };
    let Some(value) = value else {
        field.warn(messages, format!("expected {example}"));
        return None;
    };
    if !(min..=max).contains(&value) {
        field.warn(
            messages,
            format!("{value} is out of bounds; allowed are {min} to {max}"),
        );
        return None;
    }
    Some(value)
}
