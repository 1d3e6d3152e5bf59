//! `limits` and `timeouts`: numbers with units.

use sluice_shared::snapshot::{Limits, Timeouts};

use super::domain::ApiRates;
use super::hujson::Value;
use super::keys::{self, MILLIS_MAX, Shape, Unit};
use super::message::Messages;
use super::reader::Field;
use super::units;

/// `limits`: keys are the names of the snapshot's fields; those of the admin API begin with `api_`.
pub(crate) fn read(field: &Field<'_>, messages: &mut Messages<'_>) -> (Limits, ApiRates) {
    let (mut limits, mut api) = (Limits::default(), ApiRates::default());
    let rows: [(&str, &mut u64); 18] = [
        ("head_bytes", &mut limits.head_bytes),
        ("header_count", &mut limits.header_count),
        ("target_bytes", &mut limits.target_bytes),
        ("head_ms", &mut limits.head_ms),
        ("body_bytes", &mut limits.body_bytes),
        ("file_body_bytes", &mut limits.file_body_bytes),
        ("body_idle_ms", &mut limits.body_idle_ms),
        ("body_rate_bytes", &mut limits.body_rate_bytes),
        ("keep_alive_ms", &mut limits.keep_alive_ms),
        ("pool_idle_ms", &mut limits.pool_idle_ms),
        ("pool_idle_count", &mut limits.pool_idle_count),
        ("buffer_bytes", &mut limits.buffer_bytes),
        ("in_flight", &mut limits.in_flight),
        ("connections", &mut limits.connections),
        ("drain_ms", &mut limits.drain_ms),
        ("identity_ms", &mut limits.identity_ms),
        ("api_reads_per_s", &mut api.reads_per_s),
        ("api_changes_per_s", &mut api.changes_per_s),
    ];
    let Some(fields) = field.open(&keys::LIMITS, messages) else {
        return (limits, api);
    };
    for (key, target) in rows {
        if let Some(value) = fields.field(key).and_then(|f| quantity(&f, messages)) {
            *target = value;
        }
    }
    (limits, api)
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
    let Some(fields) = field.open(&keys::TIMEOUTS, messages) else {
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

/// A number in the unit and within the bounds that the key's table states, or text with a unit.
pub(super) fn quantity(field: &Field<'_>, messages: &mut Messages<'_>) -> Option<u64> {
    let Some(Shape::Quantity(unit, min, max)) = field.key.map(|key| &key.shape) else {
        return None;
    };
    let (value, example) = match (&field.node.value, *unit) {
        (Value::Number(text), _) => (text.parse().ok(), "an integer"),
        (_, Unit::Count) => {
            field.integer(messages)?;
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
    if !(*min..=*max).contains(&value) {
        field.warn(
            messages,
            format!("{value} is out of bounds; allowed are {min} to {max}"),
        );
        return None;
    }
    Some(value)
}
