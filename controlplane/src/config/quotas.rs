//! `quotas`: budgets. A definition that cannot be read limits to nothing rather than not at all, so every doubt about what
//! may be spent closes the quota: it stays in the document without limits, and its calls are refused.

use sluice_shared::quota::name::{Placeholder, Template};
use sluice_shared::quota::{AMOUNT_MAX, Rate, Terms, Unit};
use sluice_shared::snapshot::{Admission, OnExhausted, Quota, QuotaLimit};

use super::amount::{self, AmountError};
use super::hujson::Value;
use super::keys;
use super::message::Messages;
use super::nearest::nearest;
use super::reader::{Field, Fields};

/// Longest name, in bytes, before its placeholders are filled in.
const NAME_BYTES_MAX: usize = 128;
/// Name that stands in a capability for a quota that cannot be read there. No definition has it.
pub(super) const UNREADABLE: &str = "(unreadable)";
/// Behind what is said about a definition that cannot be read.
const CLOSED: &str = "; its calls are refused";

/// Who names quotas.
#[derive(Debug, Clone, Copy)]
pub(super) struct Naming<'a> {
    /// Names that the grants of the document use.
    pub(super) named: &'a [&'a str],
    /// A tailnet's policy may name quotas, too.
    pub(super) policy: bool,
}

/// Reads `quotas`, by name.
pub(super) fn read(field: &Field<'_>, naming: Naming<'_>, messages: &mut Messages<'_>) -> Vec<Quota> {
    let Some(fields) = field.open_names(messages) else {
        return Vec::new();
    };
    let mut quotas: Vec<Quota> = fields
        .all()
        .map(|(name, field)| quota(name, &field, naming, messages))
        .collect();
    quotas.sort_by(|a, b| a.name.cmp(&b.name));
    quotas
}

fn quota(name: &str, field: &Field<'_>, naming: Naming<'_>, messages: &mut Messages<'_>) -> Quota {
    let mut out = Quota {
        name: name.to_owned(),
        deny_status: 429,
        ..Quota::default()
    };
    let named = named(name, field, messages);
    if !matches!(field.node.value, Value::Object(_)) {
        let kind = field.node.value.kind();
        field.warn(messages, format!("expected an object, found {kind}{CLOSED}"));
        return out;
    }
    let Some(fields) = field.open(&keys::QUOTA, messages) else {
        return out;
    };
    out.disabled = flag(&fields, "disabled", messages);
    out.clamp_max_tokens = flag(&fields, "clamp_max_tokens", messages);
    if let Some(status) = fields.field("deny_status") {
        match &status.node.value {
            Value::Number(text) if text == "400" => out.deny_status = 400,
            Value::Number(text) if text == "403" => out.deny_status = 403,
            Value::Number(text) if text == "429" => {}
            _ => status.warn(messages, "known are 400, 403 and 429; 429 is used"),
        }
    }
    for key in ["description", "on_exceed"] {
        let Some(part) = fields.field(key) else { continue };
        match key {
            "on_exceed" => part.word("; reject is used", messages),
            _ => part.text(messages),
        };
    }
    // All of it is read before the first thing that is wrong closes the quota: everything is said at once.
    let words = words(&fields, &mut out, messages);
    let limits = limits(&fields, field, messages);
    let misspelt = misspelt_limit(&fields, messages);
    if named && words && !misspelt {
        out.limits = limits.unwrap_or_default();
    }
    if !out.disabled && !naming.named.contains(&name) {
        let unless = if naming.policy {
            "unless the tailnet's policy does, it limits nothing"
        } else {
            "it limits nothing"
        };
        messages.notice(field.key_at, &field.path, format!("no grant names it: {unless}"));
    }
    out
}

/// Whether the name is one.
fn named(name: &str, field: &Field<'_>, messages: &mut Messages<'_>) -> bool {
    let said = if name.is_empty() || name.len() > NAME_BYTES_MAX || name.chars().any(char::is_control) {
        format!("a quota's name has 1 to {NAME_BYTES_MAX} bytes and no control characters")
    } else if name.starts_with('(') {
        "a quota's name must not begin with (".to_owned()
    } else if let Err(error) = Template::parse(name) {
        let known: Vec<&str> = Placeholder::ALL.iter().map(|known| known.text()).collect();
        format!("bad quota template: {error}; known are {}", known.join(" "))
    } else {
        return true;
    };
    messages.warn(field.key_at, &field.path, said + CLOSED);
    false
}

fn flag(fields: &Fields<'_>, key: &str, messages: &mut Messages<'_>) -> bool {
    let field = fields.field(key);
    field.and_then(|field| field.boolean(messages)).unwrap_or(false)
}

/// The words that say how strictly the limits are held. `false`: one of them cannot be read.
fn words(fields: &Fields<'_>, out: &mut Quota, messages: &mut Messages<'_>) -> bool {
    let mut good = true;
    for key in ["admission", "on_exhausted", "unpriced"] {
        let Some(field) = fields.field(key) else { continue };
        let word = if matches!(field.node.value, Value::Text(_)) {
            field.word(CLOSED, messages)
        } else {
            let kind = field.node.value.kind();
            field.warn(messages, format!("expected a string, found {kind}{CLOSED}"));
            None
        };
        match word {
            None => good = false,
            Some("strict") => out.admission = Admission::Strict,
            Some("positive") => out.admission = Admission::Positive,
            Some("cut") => out.on_exhausted = OnExhausted::Cut,
            Some("refuse") => out.refuse_unpriced = true,
            Some(_) => {}
        }
    }
    good
}

/// Whether an unknown key was to be a limit.
fn misspelt_limit(fields: &Fields<'_>, messages: &mut Messages<'_>) -> bool {
    let known = keys::QUOTA.names();
    let limits = ["capacity", "tokens", "requests", "concurrency"];
    let mut found = false;
    for (key, field) in fields.all().filter(|(key, _)| !known.contains(key)) {
        if nearest(key, &known).is_some_and(|near| limits.contains(&near)) {
            messages.warn(
                field.key_at,
                &field.path,
                format!("may have been meant as a limit{CLOSED}"),
            );
            found = true;
        }
    }
    found
}

/// Every limit; `None` if there is none, or one cannot be read.
fn limits(fields: &Fields<'_>, quota: &Field<'_>, messages: &mut Messages<'_>) -> Option<Vec<QuotaLimit>> {
    let (capacity, rate) = (fields.field("capacity"), fields.field("rate"));
    let mut read: Vec<(Unit, Option<Terms>)> = Vec::new();
    match (&capacity, &rate) {
        (None, None) => {}
        (None, Some(rate)) => {
            without_capacity(rate, messages);
            read.push((Unit::Usd, None));
        }
        (Some(capacity), rate) => {
            read.push((Unit::Usd, terms(capacity, rate.as_ref(), Unit::Usd, messages)));
        }
    }
    for unit in [Unit::Tokens, Unit::Requests] {
        if let Some(field) = fields.field(unit.name()) {
            read.push((unit, count(&field, unit, messages)));
        }
    }
    if let Some(field) = fields.field(Unit::Concurrency.name()) {
        read.push((Unit::Concurrency, concurrency(&field, messages)));
    }
    if read.is_empty() {
        messages.warn(
            quota.key_at,
            &quota.path,
            format!("quota without capacity, tokens, requests or concurrency{CLOSED}"),
        );
        return None;
    }
    for (unit, _) in read
        .iter()
        .filter(|(_, terms)| terms.is_some_and(|terms| terms.capacity == 0))
    {
        let text = match unit {
            Unit::Usd => "a capacity of $0.00 lets nobody pass".to_owned(),
            unit => format!("a capacity of 0 {} lets nobody pass", unit.name()),
        };
        messages.notice(quota.key_at, &quota.path, text);
    }
    read.into_iter()
        .map(|(unit, terms)| Some(QuotaLimit { unit, terms: terms? }))
        .collect()
}

fn without_capacity(rate: &Field<'_>, messages: &mut Messages<'_>) {
    messages.warn(
        rate.key_at,
        &rate.path,
        format!("a rate without a capacity: say how much the bucket holds{CLOSED}"),
    );
}

/// Capacity and rate that stand apart. Both are read, so that both are complained about.
fn terms(
    capacity: &Field<'_>,
    rate: Option<&Field<'_>>,
    unit: Unit,
    messages: &mut Messages<'_>,
) -> Option<Terms> {
    let read = match &capacity.node.value {
        Value::Text(text) => amount::amount(text, unit),
        Value::Number(text) if unit != Unit::Usd => amount::amount(text, unit),
        Value::Number(text) if text.starts_with('-') => Err(AmountError::Negative),
        _ => Err(AmountError::NotANumber(unit)),
    };
    let capacity = good(read, capacity, messages);
    let rate = match rate {
        None => Some(Rate::NONE),
        Some(field) => match &field.node.value {
            Value::Text(text) => good(amount::rate(text, unit), field, messages),
            _ => good(Err(AmountError::NoPeriod(unit)), field, messages),
        },
    };
    let terms = Terms {
        capacity: capacity?,
        rate: rate?,
    };
    Some(terms)
}

fn good<T>(read: Result<T, AmountError>, field: &Field<'_>, messages: &mut Messages<'_>) -> Option<T> {
    match read {
        Ok(value) => Some(value),
        Err(error) => {
            field.warn(messages, format!("{error}{CLOSED}"));
            None
        }
    }
}

/// `tokens` and `requests`.
fn count(field: &Field<'_>, unit: Unit, messages: &mut Messages<'_>) -> Option<Terms> {
    match &field.node.value {
        Value::Text(text) if text.contains('/') => {
            let rate = good(amount::rate(text, unit), field, messages)?;
            Some(Terms {
                capacity: rate.amount,
                rate,
            })
        }
        Value::Object(_) => {
            let parts = field.open(&keys::QUOTA_LIMIT, messages)?;
            let rate = parts.field("rate");
            match parts.field("capacity") {
                Some(capacity) => terms(&capacity, rate.as_ref(), unit, messages),
                None => {
                    match &rate {
                        Some(rate) => without_capacity(rate, messages),
                        None => field.warn(messages, format!("a limit without a capacity{CLOSED}")),
                    }
                    None
                }
            }
        }
        _ => terms(field, None, unit, messages),
    }
}

/// `concurrency`: what runs is not used up, so there is nothing to refill.
fn concurrency(field: &Field<'_>, messages: &mut Messages<'_>) -> Option<Terms> {
    let refilled = match &field.node.value {
        Value::Text(text) => text.contains('/'),
        Value::Object(_) => true,
        _ => false,
    };
    let said = if refilled {
        "concurrency has no rate: what ends makes room; write a number, e.g. 8".to_owned()
    } else {
        let read = match &field.node.value {
            Value::Number(text) => amount::amount(text, Unit::Concurrency),
            _ => Err(AmountError::NotANumber(Unit::Concurrency)),
        };
        match read {
            Ok(capacity @ 1..) => {
                return Some(Terms {
                    capacity,
                    rate: Rate::NONE,
                });
            }
            Ok(0) => format!("expected an integer from 1 to {AMOUNT_MAX}, found 0"),
            Err(AmountError::NotANumber(_)) => format!("expected an integer from 1 to {AMOUNT_MAX}"),
            Err(error) => error.to_string(),
        }
    };
    field.warn(messages, said + CLOSED);
    None
}
