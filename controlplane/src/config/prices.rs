//! `prices`: what the operator says about the cost of models. Amounts are decimals, as text or as numbers, and are read
//! exactly: nothing passes through floating point.

use sluice_shared::cost::decimal;
use sluice_shared::snapshot::{AboveOverride, PriceOverride, RateOverride, TierOverride};
use sluice_shared::usage::ServiceTier;

use super::hujson::Value;
use super::keys;
use super::message::Messages;
use super::providers;
use super::reader::{Field, Fields};

/// Dearest rate and fee: a million dollars. Beyond it a slip is more probable than a price.
const NANODOLLARS_MAX: u64 = 1_000_000_000_000_000;

/// Reads `prices`. An entry with a part that cannot be read is left out whole: half a price is none.
pub(super) fn read(field: &Field<'_>, messages: &mut Messages<'_>) -> Vec<PriceOverride> {
    let Some(fields) = field.open_names(messages) else {
        return Vec::new();
    };
    let mut out = Vec::new();
    for (pattern, field) in fields.all() {
        if !providers::model_name(pattern) {
            messages.warn(
                field.key_at,
                &field.path,
                "is neither a model nor a pattern for models; the price is left out",
            );
            continue;
        }
        let before = messages.warnings.len();
        let entry = entry(pattern, &field, messages);
        match entry {
            Some(entry) if messages.warnings.len() == before => {
                if entry == empty(pattern) {
                    messages.notice(field.key_at, &field.path, "says nothing: the table's price stays");
                }
                out.push(entry);
            }
            _ => field.warn(messages, "the price is left out; the built-in table's counts"),
        }
    }
    out
}

fn empty(pattern: &str) -> PriceOverride {
    PriceOverride {
        pattern: pattern.to_owned(),
        ..PriceOverride::default()
    }
}

fn entry(pattern: &str, field: &Field<'_>, messages: &mut Messages<'_>) -> Option<PriceOverride> {
    let fields = field.open(&keys::PRICE, messages)?;
    let table = fields.field("table").and_then(|field| field.boolean(messages));
    let mut out = PriceOverride {
        alone: table == Some(false),
        rates: rates(&fields, messages),
        ..empty(pattern)
    };
    if let Some(above) = fields.field("above") {
        let fields = above.open(&keys::PRICE_ABOVE, messages)?;
        let Some(tokens) = fields.field("tokens") else {
            above.warn(messages, "above needs tokens: from how many on its rates hold");
            return None;
        };
        out.above = Some(AboveOverride {
            tokens: count(&tokens, messages)?,
            rates: rates(&fields, messages),
        });
    }
    for tier in ServiceTier::ALL {
        if let Some(field) = fields.field(tier.name()) {
            let fields = field.open(&keys::PRICE_TIER, messages)?;
            out.tiers.push(TierOverride {
                tier: *tier,
                rates: rates(&fields, messages),
            });
        }
    }
    for (slot, key) in [
        (&mut out.request, "request"),
        (&mut out.search, "search"),
        (&mut out.file_search, "file_search"),
        (&mut out.code_session, "code_session"),
        (&mut out.per_image, "image"),
        (&mut out.per_second, "second"),
    ] {
        *slot = dollars(&fields, key, messages);
    }
    for (slot, key) in [(&mut out.context, "context"), (&mut out.max_output, "max_output")] {
        *slot = fields.field(key).and_then(|field| count(&field, messages));
    }
    Some(out)
}

fn count(field: &Field<'_>, messages: &mut Messages<'_>) -> Option<u64> {
    u64::try_from(field.integer(messages)?).ok()
}

fn rates(fields: &Fields<'_>, messages: &mut Messages<'_>) -> RateOverride {
    let mut rate = |key: &str| dollars(fields, key, messages);
    RateOverride {
        input: rate("input"),
        output: rate("output"),
        cache_read: rate("cache_read"),
        cache_write_5m: rate("cache_write_5m"),
        cache_write_1h: rate("cache_write_1h"),
        reasoning: rate("reasoning"),
        audio_input: rate("audio_input"),
        audio_output: rate("audio_output"),
        image_input: rate("image_input"),
        image_output: rate("image_output"),
    }
}

fn dollars(fields: &Fields<'_>, key: &str, messages: &mut Messages<'_>) -> Option<u64> {
    let field = fields.field(key)?;
    let text = match &field.node.value {
        Value::Number(text) => text.as_str(),
        Value::Text(text) => text.strip_prefix('$').unwrap_or(text),
        other => {
            field.warn(
                messages,
                format!(
                    "expected US dollars, such as 1.25 or \"1.25\", found {}",
                    other.kind()
                ),
            );
            return None;
        }
    };
    let amount = decimal::nanodollars(text);
    let good = amount.filter(|amount| *amount <= NANODOLLARS_MAX);
    if good.is_none() {
        field.warn(
            messages,
            match amount {
                Some(_) => "more than $1,000,000 is no price",
                None => "is no amount of US dollars, from 0 on with at most nine decimal places",
            },
        );
    }
    good
}
