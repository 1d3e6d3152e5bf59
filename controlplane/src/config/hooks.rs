//! `hooks`: web services that judge calls. One that cannot be used and fails closed stays, without an address: the calls that
//! it is to judge are refused, as they would be if it were down.

use sluice_shared::snapshot::{Hook, HookEvent, HookPart, Secret, SendHook};

use super::hujson::Value;
use super::keys;
use super::message::Messages;
use super::reader::{Field, Fields};
use super::secret::Sources;
use super::{base_url, endpoint, limits};

/// How long a hook may take unless it says otherwise, in milliseconds.
const TIMEOUT_MS: u64 = 5_000;
/// Longest name, in bytes.
const NAME_BYTES_MAX: usize = 128;

/// Reads `hooks`; those that are disabled are checked and left out.
pub(super) fn read(field: &Field<'_>, secrets: Sources<'_>, messages: &mut Messages<'_>) -> Vec<Hook> {
    let Some(fields) = field.open_names(messages) else {
        return Vec::new();
    };
    fields
        .all()
        .filter_map(|(name, field)| hook(name, &field, secrets, messages))
        .collect()
}

fn hook(name: &str, field: &Field<'_>, secrets: Sources<'_>, messages: &mut Messages<'_>) -> Option<Hook> {
    if !plain_name(name) {
        messages.warn(
            field.key_at,
            &field.path,
            format!("a name has 1 to {NAME_BYTES_MAX} bytes and no control characters; the hook is left out"),
        );
        return None;
    }
    let fields = field.open(&keys::HOOK, messages)?;
    let disabled = fields
        .field("disabled")
        .and_then(|f| f.boolean(messages))
        .unwrap_or(false);
    // A policy that cannot be read is the safe one.
    let fail_closed = fields
        .field("fail_policy")
        .is_some_and(|f| f.word("; fail_closed is taken", messages) != Some("fail_open"));
    let left_out = if fail_closed {
        "; the calls that the hook is to judge are refused"
    } else {
        "; the hook is left out"
    };
    let mut hook = Hook {
        name: name.to_owned(),
        fail_closed,
        preference: fields
            .field("preference")
            .and_then(|f| f.integer(messages))
            .and_then(|v| i32::try_from(v).ok())
            .unwrap_or(0),
        timeout_ms: fields
            .field("timeout")
            .and_then(|f| limits::duration(&f, 0, messages))
            .unwrap_or(TIMEOUT_MS),
        ..Hook::default()
    };
    let reached = address(field, &fields, left_out, disabled, secrets, &mut hook, messages);
    if disabled || (reached.is_none() && !fail_closed) {
        return None;
    }
    if reached.is_none() {
        hook.base = sluice_shared::snapshot::BaseUrl::default();
    }
    Some(hook)
}

/// Whether a name can stand in records, metrics and messages.
pub(super) fn plain_name(name: &str) -> bool {
    (1..=NAME_BYTES_MAX).contains(&name.len()) && !name.chars().any(char::is_control)
}

/// Everything that it takes to reach a hook.
fn address(
    field: &Field<'_>,
    fields: &Fields<'_>,
    left_out: &str,
    disabled: bool,
    secrets: Sources<'_>,
    hook: &mut Hook,
    messages: &mut Messages<'_>,
) -> Option<()> {
    hook.authorization = endpoint::authorization(fields, left_out, messages)?;
    let Some(url) = fields.field("url") else {
        messages.warn(field.key_at, &field.path, format!("hook without url{left_out}"));
        return None;
    };
    let text = url.text(messages)?;
    let scheme = text.split_once("://").map_or("", |(scheme, _)| scheme);
    if !text.starts_with("${")
        && !scheme.eq_ignore_ascii_case("http")
        && !scheme.eq_ignore_ascii_case("https")
    {
        url.warn(
            messages,
            format!("hook url must begin with http:// or https://{left_out}"),
        );
        return None;
    }
    let expanded = endpoint::expand(&url, text, disabled, secrets, messages)?;
    let (base, query) = expanded.split_once('?').unwrap_or((&expanded, ""));
    let query_is_plain = query.bytes().all(|b| (0x21..=0x7e).contains(&b) && b != b'#');
    match base_url::parse(base) {
        Ok(base) if query_is_plain => {
            hook.base = base;
            query.clone_into(&mut hook.query);
        }
        Ok(_) => {
            url.warn(
                messages,
                format!("hook url has a query that cannot be sent{left_out}"),
            );
            return None;
        }
        Err(error) => {
            let error = endpoint::wrong_url(&url, expanded.clone(), error);
            url.warn(messages, format!("hook url {error}{left_out}"));
            return None;
        }
    }
    if let Some(key) = fields.field("apikey") {
        hook.key = Secret(endpoint::key(&key, left_out, disabled, secrets, messages)?);
    }
    hook.ca_pem = endpoint::ca_pem(fields, left_out, secrets, messages)?;
    Some(())
}

/// `send_hooks` of a capability: the name is checked by the caller.
pub(super) fn sending(name: &str, reference: &Fields<'_>, messages: &mut Messages<'_>) -> SendHook {
    let mut out = SendHook {
        name: name.to_owned(),
        ..SendHook::default()
    };
    for text in words(reference, "events", &keys::EVENTS, messages) {
        if let Some(event) = HookEvent::parse(text) {
            out.events |= 1 << event as u8;
        }
    }
    for text in words(reference, "send", &keys::SEND, messages) {
        if let Some(part) = HookPart::parse(text) {
            out.send |= 1 << part as u8;
        }
    }
    if out.events == 0
        && !matches!(reference.field("events").map(|f| &f.node.value), Some(Value::Array(items)) if !items.is_empty())
    {
        messages.notice(
            reference.at,
            &reference.path,
            "names no events: the hook is not called for it",
        );
    }
    out
}

/// Words of a list that are known; others are reported.
pub(super) fn words<'a>(
    fields: &Fields<'a>,
    key: &str,
    known: &[&str],
    messages: &mut Messages<'_>,
) -> Vec<&'a str> {
    let mut out = Vec::new();
    for (item, text) in fields
        .field(key)
        .and_then(|f| f.texts(messages))
        .unwrap_or_default()
    {
        if known.contains(&text) {
            out.push(text);
        } else {
            let hint = super::nearest::nearest(text, known)
                .map_or_else(String::new, |near| format!("; did you mean {near:?}?"));
            item.warn(messages, format!("unknown word {text:?}{hint}"));
        }
    }
    out
}
