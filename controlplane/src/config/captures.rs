//! `captures` and `database`: what is kept of requests and answers, where, and how long.

use sluice_shared::snapshot::{Captures, SHARE_ALL};

use super::domain::{Keep, Retention, S3};
use super::hujson::Value;
use super::message::Messages;
use super::reader::{Field, Fields};
use super::secret::Sources;
use super::{exporters, keys, limits, units};

/// 3650 days.
const RETENTION_MS_MAX: u64 = 3_650 * 86_400_000;

/// Reads `captures`: what is captured, the bucket that it is kept in, and whether it is not to be searchable.
pub(super) fn read(
    field: &Field<'_>,
    secrets: Sources<'_>,
    messages: &mut Messages<'_>,
) -> (Captures, Option<S3>, bool) {
    let mut out = Captures::default();
    let Some(fields) = field.open(&keys::CAPTURES, messages) else {
        return (out, None, false);
    };
    let full_text = fields.field("full_text").and_then(|f| f.boolean(messages));
    if let Some(field) = fields.field("share")
        && let Some(share) = share(&field, messages)
    {
        out.share = share;
        out.enabled = !matches!(field.node.value, Value::Bool(false));
    }
    // A policy that cannot be read is the safe one.
    out.fail_closed = fields
        .field("fail_policy")
        .is_some_and(|f| f.word("; fail_closed is taken", messages) != Some("fail_open"));
    for (key, target) in [
        ("body_bytes", &mut out.body_bytes_max),
        ("buffer_bytes", &mut out.buffer_bytes_max),
    ] {
        if let Some(value) = fields.field(key).and_then(|f| limits::quantity(&f, messages)) {
            *target = value;
        }
    }
    for (item, text) in fields
        .field("redact_headers")
        .and_then(|f| f.texts(messages))
        .unwrap_or_default()
    {
        let token = |b: u8| b.is_ascii_alphanumeric() || b"!#$%&'*+-.^_`|~".contains(&b);
        if !text.is_empty() && text.bytes().all(token) {
            out.redact_headers.push(text.to_ascii_lowercase());
        } else {
            item.warn(messages, "is no header name");
        }
    }
    let store = fields.field("store").and_then(|f| {
        let parts = f.open(&keys::S3, messages)?;
        exporters::bucket(
            &f,
            &parts,
            "; captures stay in the data directory",
            false,
            secrets,
            messages,
        )
    });
    (out, store, full_text == Some(false))
}

/// A share of requests, in millionths. `None` if it cannot be read, which is reported.
pub(super) fn share(field: &Field<'_>, messages: &mut Messages<'_>) -> Option<u32> {
    let share = match &field.node.value {
        Value::Bool(true) => Some(SHARE_ALL),
        Value::Bool(false) => Some(0),
        Value::Text(text) => text
            .strip_suffix('%')
            .and_then(units::factor_ppm)
            .and_then(|percent| u32::try_from(percent / 100).ok())
            .filter(|share| *share <= SHARE_ALL),
        _ => None,
    };
    if share.is_none() {
        field.warn(messages, "expected true, false or a percentage, e.g. \"10%\"");
    }
    share
}

/// Reads `database`.
pub(super) fn database(field: &Field<'_>, messages: &mut Messages<'_>) -> Retention {
    let mut out = Retention::default();
    let Some(parts) = field
        .open(&keys::DATABASE, messages)
        .and_then(|fields| fields.field("retention"))
        .and_then(|retention| retention.open(&keys::RETENTION, messages))
    else {
        return out;
    };
    if let Some(duration) = parts.field("duration") {
        out.keep = keep(&duration, messages);
    }
    out.require_export = parts
        .field("require_export")
        // What cannot be read must not lose anything.
        .is_some_and(|f| f.boolean(messages).unwrap_or(true));
    if let Some(purge) = purged(&parts, messages) {
        (out.purge_captures, out.purge_tools) = purge;
    }
    out
}

fn keep(field: &Field<'_>, messages: &mut Messages<'_>) -> Keep {
    match &field.node.value {
        Value::Text(text) if text.is_empty() => return Keep::Forever,
        Value::Number(text) if text == "0" => return Keep::Nothing,
        Value::Text(text) => match units::duration_ms(text) {
            Some(0) => return Keep::Nothing,
            Some(ms) if (3_600_000..=RETENTION_MS_MAX).contains(&ms) => return Keep::Millis(ms),
            _ => {}
        },
        _ => {}
    }
    field.warn(
        messages,
        "expected \"\" (for ever), 0 (no bodies) or 1h to 3650d, e.g. \"30d\"",
    );
    Keep::Forever
}

/// Whether captures are purged, and tool calls; `None` if nothing is said.
fn purged(parts: &Fields<'_>, messages: &mut Messages<'_>) -> Option<(bool, bool)> {
    let items = parts.field("purge")?.texts(messages)?;
    let mut out = (false, false);
    for (item, text) in items {
        match text {
            "captures" => out.0 = true,
            "tools" => out.1 = true,
            _ => item.warn(
                messages,
                format!("cannot purge {text:?}; known are {}", keys::PURGE.join(" and ")),
            ),
        }
    }
    Some(out)
}

#[cfg(test)]
mod tests {
    use super::super::hujson;
    use super::*;

    fn read_with<T>(text: &str, read: impl FnOnce(&Field<'_>, &mut Messages<'_>) -> T) -> (T, usize) {
        let root = hujson::parse(text).unwrap().unwrap();
        let mut messages = Messages::new(text);
        let value = read(&Field::root(&root), &mut messages);
        (value, messages.warnings.len())
    }

    #[test]
    fn shares_are_percentages() {
        let check = |text: &str, expected: Option<u32>| {
            let (share, warnings) = read_with(text, share);
            assert_eq!(
                (share, warnings),
                (expected, usize::from(expected.is_none())),
                "{text}"
            );
        };
        check("true", Some(1_000_000));
        check("false", Some(0));
        check(r#""100%""#, Some(1_000_000));
        check(r#""0%""#, Some(0));
        check(r#""12.5%""#, Some(125_000));
        check(r#""0.0001%""#, Some(1));
        for refused in [r#""101%""#, r#""10""#, r#""-1%""#, r#""%""#, "10", "0.1", "null"] {
            check(refused, None);
        }
    }

    #[test]
    fn retention_errs_on_the_side_of_keeping() {
        let check = |text: &str, expected: Retention, warned: usize| {
            let text = format!(r#"{{"retention": {{{text}}}}}"#);
            assert_eq!(read_with(&text, database), (expected, warned), "{text}");
        };
        let plain = Retention::default();
        check("", plain.clone(), 0);
        let keep = |keep| Retention {
            keep,
            ..Retention::default()
        };
        check(r#""duration": """#, plain.clone(), 0);
        check(r#""duration": 0"#, keep(Keep::Nothing), 0);
        check(r#""duration": "0s""#, keep(Keep::Nothing), 0);
        check(r#""duration": "30d""#, keep(Keep::Millis(30 * 86_400_000)), 0);
        check(r#""duration": "59m""#, plain.clone(), 1);
        check(r#""duration": "3651d""#, plain.clone(), 1);
        let (mut tools, mut nothing, mut export) = (plain.clone(), plain.clone(), plain);
        tools.purge_tools = true;
        check(r#""purge": ["captures", "tools"]"#, tools, 0);
        nothing.purge_captures = false;
        check(r#""purge": ["metrics"]"#, nothing, 1);
        export.require_export = true;
        check(r#""require_export": "yes""#, export, 1);
    }
}
