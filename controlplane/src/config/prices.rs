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

#[cfg(test)]
mod tests {
    use std::collections::HashMap;

    use sluice_shared::cost::PriceBook;
    use sluice_shared::ids::Epoch;

    use super::*;
    use crate::compile::compile;
    use crate::config::domain::Document;
    use crate::config::load;

    fn document(prices: &str) -> Document {
        let text = format!(
            r#"{{"providers": {{"openai": {{"baseurl": "http://x", "models": ["**"], "cost_basis": "openai"}}}},
                "grants": [{{"src": ["*"], "capabilities": [{{"role": "admin"}}]}}], "prices": {prices}}}"#
        );
        let (document, report) = load(&text, &HashMap::new(), None);
        assert!(report.errors.is_empty(), "{text}");
        document.unwrap()
    }

    #[test]
    fn amounts_are_exact_as_text_and_as_numbers() {
        let check = |amount: &str, want: Option<u64>| {
            let read = document(&format!(r#"{{"m": {{"input": {amount}}}}}"#)).prices;
            assert_eq!(read.first().and_then(|entry| entry.rates.input), want, "{amount}");
            assert_eq!(
                read.is_empty(),
                want.is_none(),
                "{amount}: an entry is whole or not there"
            );
        };
        check("0", Some(0));
        check("1.25", Some(1_250_000_000));
        check("\"1.25\"", Some(1_250_000_000));
        check("\"$1.25\"", Some(1_250_000_000));
        // What no binary fraction holds.
        check("0.1", Some(100_000_000));
        check("0.000000003", Some(3));
        check("1e-9", Some(1));
        check("1000000", Some(1_000_000_000_000_000));
        for refused in [
            "1000000.000000001",
            "0.0000000001",
            "-1",
            "\"\"",
            "\"1,5\"",
            "\"1 \"",
            "null",
            "true",
            "[1]",
        ] {
            check(refused, None);
        }
    }

    #[test]
    fn an_entry_reaches_the_price_of_a_call() {
        let document = document(
            r#"{"openai/gpt-5": {"input": "1.1", "batch": {"output": 4}, "above": {"tokens": 10, "input": 2},
                                 "request": "0.5", "image": 0.04, "context": 9, "table": true},
                "gpt-*": {"input": 9}}"#,
        );
        let book = PriceBook::compile(&compile(&document, Epoch(1)));
        let price = book.price_for("openai", "gpt-5").unwrap();
        assert_eq!(price.rates.input, 1_100_000_000);
        assert_eq!(price.rates.output, 10_000_000_000);
        assert_eq!(price.rates.cache_read, 125_000_000);
        assert_eq!(price.rates_for(None, 11).input, 2_000_000_000);
        assert_eq!(price.rates_for(None, 11).output, 10_000_000_000);
        let batch = price.rates_for(Some(ServiceTier::Batch), 1);
        assert_eq!((batch.input, batch.output), (625_000_000, 4_000_000_000));
        assert_eq!(
            (price.request, price.per_image),
            (Some(500_000_000), Some(40_000_000))
        );
        assert_eq!(price.context, Some(9));
        assert_eq!(
            book.price_for("other", "gpt-5").unwrap().rates.input,
            9_000_000_000
        );
    }
}
