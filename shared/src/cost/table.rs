//! The price table: text in the binary. The names are indexed once, when the first price is asked for; a row is read when
//! it is looked up, and whoever asks often keeps what was found.

use std::borrow::Cow;
use std::sync::OnceLock;

use super::{Above, Price, Rate, Rates, Tier, decimal};
use crate::usage::ServiceTier;

const TEXT: &str = include_str!("prices.txt");

/// Date of the table and a checksum of its text.
pub static TABLE_VERSION: std::sync::LazyLock<String> = std::sync::LazyLock::new(|| {
    let date = TEXT.lines().find_map(|line| line.strip_prefix("!date "));
    format!(
        "{}+{:08x}",
        date.unwrap_or("undated").trim(),
        crc32c::crc32c(TEXT.as_bytes())
    )
});

/// A row that is not read yet.
#[derive(Clone, Copy)]
struct Entry {
    basis: &'static str,
    model: &'static str,
    line: &'static str,
}

struct Index {
    /// Sorted by basis and model.
    entries: Vec<Entry>,
    /// Short names of the pages that rows were read from.
    sources: Vec<(&'static str, &'static str)>,
    /// Why a figure was chosen where sources differ.
    reasons: Vec<(&'static str, &'static str)>,
    date: &'static str,
}

fn index() -> &'static Index {
    static INDEX: OnceLock<Index> = OnceLock::new();
    INDEX.get_or_init(|| {
        let mut index = Index {
            entries: Vec::new(),
            sources: Vec::new(),
            reasons: Vec::new(),
            date: "",
        };
        for line in TEXT.lines().map(str::trim) {
            if line.is_empty() || line.starts_with('#') {
                continue;
            }
            if let Some(rest) = line.strip_prefix('!') {
                match rest.split_once(' ') {
                    Some(("date", date)) => index.date = date.trim(),
                    Some(("source", rest)) => index.sources.extend(rest.trim().split_once(' ')),
                    Some(("reason", rest)) => index.reasons.extend(rest.trim().split_once(' ')),
                    _ => {}
                }
                continue;
            }
            let mut words = line.split_ascii_whitespace();
            if let (Some(basis), Some(model)) = (words.next(), words.next()) {
                index.entries.push(Entry { basis, model, line });
            }
        }
        index
            .entries
            .sort_by(|a, b| (a.basis, a.model).cmp(&(b.basis, b.model)));
        index
    })
}

/// Every row, sorted by basis and model.
#[must_use]
pub fn all() -> Vec<Price> {
    index()
        .entries
        .iter()
        .filter_map(|entry| row(entry.line))
        .collect()
}

/// Whether there is a list of this name; its name as the table writes it.
pub(super) fn basis(name: &str) -> Option<&'static str> {
    let entries = &index().entries;
    let at = entries.partition_point(|entry| entry.basis < name);
    entries
        .get(at)
        .map(|entry| entry.basis)
        .filter(|found| *found == name)
}

/// Names of geographic inference profiles begin with this in [`find`].
pub(super) const GEO: &str = "geo:";

/// The row of this name at this basis. A name that begins with [`GEO`] wants the regional rates, if there are any.
pub(super) fn find(basis: &str, name: &str) -> Option<Price> {
    let (name, geo) = match name.strip_prefix(GEO) {
        Some(rest) => (rest, true),
        None => (name, false),
    };
    let entries = &index().entries;
    let at = entries
        .binary_search_by(|entry| (entry.basis, entry.model).cmp(&(basis, name)))
        .ok()?;
    let line = entries.get(at)?.line;
    let price = row(line)?;
    match percent(line).filter(|_| geo) {
        Some(percent) => price.scaled(percent.checked_mul(10_000)?),
        None => Some(price),
    }
}

/// Percent of the rates that a geographic profile costs.
fn percent(line: &str) -> Option<u64> {
    let mut words = line.split_ascii_whitespace();
    words.find_map(|word| word.strip_prefix("geo="))?.parse().ok()
}

/// Reads a line; `None` for one that is not a row (a test refuses those).
fn row(line: &'static str) -> Option<Price> {
    let mut words = line.split_ascii_whitespace();
    let (basis, model) = (words.next()?, words.next()?);
    let columns = [
        words.next()?,
        words.next()?,
        words.next()?,
        words.next()?,
        words.next()?,
    ];
    let mut price = Price {
        basis: Cow::Borrowed(basis),
        model: Cow::Borrowed(model),
        rates: rates(columns)?,
        date: Cow::Borrowed(index().date),
        ..Price::default()
    };
    let mut above = None;
    let mut tiers = Vec::new();
    let mut source = None;
    for word in words {
        let Some((key, value)) = word.split_once('=') else {
            if source.replace(word).is_some() {
                return None;
            }
            continue;
        };
        let amount = || rate(value).map(Some);
        match key {
            "above" => above = Some(value.split_once(':')?),
            "batch" | "flex" | "priority" => tiers.push((ServiceTier::parse(key)?, value)),
            "reasoning" => price.rates.reasoning = amount()?,
            "audio_input" => price.rates.audio_input = amount()?,
            "audio_output" => price.rates.audio_output = amount()?,
            "image_input" => price.rates.image_input = amount()?,
            "image_output" => price.rates.image_output = amount()?,
            "request" => price.request = amount()?,
            "search" => price.search = amount()?,
            "file_search" => price.file_search = amount()?,
            "code_session" => price.code_session = amount()?,
            "image" => price.per_image = amount()?,
            "second" => price.per_second = amount()?,
            "context" => price.context = Some(value.parse().ok()?),
            "output" => price.max_output = Some(value.parse().ok()?),
            "date" => price.date = Cow::Borrowed(value),
            "geo" => {
                let _: u64 = value.parse().ok()?;
            }
            _ => return None,
        }
    }
    if let Some((tokens, columns)) = above {
        let mut rates = rates(slashed(columns)?)?;
        rates.apart_like(&price.rates);
        price.above = Some(Above {
            tokens: tokens.parse().ok()?,
            rates,
        });
    }
    for (tier, value) in tiers {
        price.tiers.push(self::tier(tier, value, &price)?);
    }
    let (page, check) = source?.split_once('/')?;
    price.source = Cow::Borrowed(named(&index().sources, page)?);
    price.check = Cow::Borrowed(match check {
        "agree" | "alone" => check,
        reason => named(&index().reasons, reason)?,
    });
    Some(price)
}

fn named(list: &[(&'static str, &'static str)], name: &str) -> Option<&'static str> {
    list.iter()
        .find(|(key, _)| *key == name)
        .map(|(_, text)| text.trim())
}

/// `50%` of every rate, or the five columns; rates apart and for long inputs are in proportion.
fn tier(tier: ServiceTier, value: &str, price: &Price) -> Option<Tier> {
    if let Some(percent) = value.strip_suffix('%') {
        let percent: u64 = percent.parse().ok()?;
        let above = match price.above {
            Some(above) => Some(Above {
                rates: above.rates.map(|rate| super::scale(rate, percent, 100))?,
                ..above
            }),
            None => None,
        };
        return Some(Tier {
            tier,
            rates: price.rates.map(|rate| super::scale(rate, percent, 100))?,
            above,
        });
    }
    let mut own = rates(slashed(value)?)?;
    own.apart_like(&price.rates);
    let above = match price.above {
        Some(above) => Some(above.like(&own, &price.rates)?),
        None => None,
    };
    Some(Tier {
        tier,
        rates: own,
        above,
    })
}

fn slashed(text: &str) -> Option<[&str; 5]> {
    let mut columns = text.split('/');
    let found = [
        columns.next()?,
        columns.next()?,
        columns.next()?,
        columns.next()?,
        columns.next()?,
    ];
    columns.next().is_none().then_some(found)
}

fn rates([input, output, read, write_5m, write_1h]: [&str; 5]) -> Option<Rates> {
    let or = |text: &str, otherwise: Rate| if text == "-" { Some(otherwise) } else { rate(text) };
    let input = rate(input)?;
    let cache_write_5m = or(write_5m, input)?;
    Some(Rates {
        input,
        output: or(output, 0)?,
        cache_read: or(read, input)?,
        cache_write_5m,
        cache_write_1h: or(write_1h, cache_write_5m)?,
        ..Rates::default()
    })
}

fn rate(text: &str) -> Option<Rate> {
    decimal::nanodollars(text)
}
