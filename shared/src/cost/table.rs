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

#[cfg(test)]
mod tests {
    use super::*;

    fn lines() -> impl Iterator<Item = &'static str> {
        TEXT.lines()
            .map(str::trim)
            .filter(|line| !line.is_empty() && !line.starts_with(['#', '!']))
    }

    #[test]
    fn every_line_is_a_row_that_can_hold_and_no_name_stands_twice() {
        let mut seen = std::collections::BTreeSet::new();
        for line in lines() {
            let row = row(line).unwrap_or_else(|| panic!("not a row: {line}"));
            assert!(
                seen.insert((row.basis.clone(), row.model.clone())),
                "twice: {line}"
            );
            assert_eq!(
                *row.model,
                row.model.to_ascii_lowercase(),
                "names are looked up in lower case"
            );
            assert!(row.date.len() == 10 && row.date.starts_with("20"), "{line}");
            assert!(row.source.starts_with("https://"), "{line}");
            assert!(!row.check.is_empty(), "{line}");
            assert_eq!(find(&row.basis, &row.model).as_ref(), Some(&row), "{line}");
            for rates in all_rates(&row) {
                assert!(rates.cache_read <= rates.input, "{line}");
                assert!(rates.cache_write_5m >= rates.input, "{line}");
                assert!(rates.cache_write_1h >= rates.cache_write_5m, "{line}");
                // Ten times the dearest model there ever was: a slip of the point.
                let dear = rates.input.max(rates.output);
                assert!(dear <= 6_000_000_000_000, "{line}");
            }
            for tier in &row.tiers {
                let dearer = tier.tier == ServiceTier::Priority;
                assert_eq!(tier.rates.input > row.rates.input, dearer, "{line}");
            }
        }
        assert!(seen.len() > 1_500, "{} rows", seen.len());
    }

    fn all_rates(row: &Price) -> Vec<Rates> {
        let tiers = row.tiers.iter().map(|tier| (tier.rates, tier.above));
        std::iter::once((row.rates, row.above))
            .chain(tiers)
            .flat_map(|(rates, above)| [Some(rates), above.map(|above| above.rates)])
            .flatten()
            .collect()
    }

    #[test]
    fn every_provider_that_is_promised_has_its_list() {
        let rows = all();
        for (basis, least) in [
            ("openai", 80),
            ("anthropic", 20),
            ("gemini", 40),
            ("vertex", 40),
            ("bedrock", 200),
            ("azure", 100),
            ("mistral", 30),
            ("xai", 20),
            ("deepseek", 5),
            ("groq", 5),
            ("cohere", 10),
        ] {
            let has = rows.iter().filter(|row| row.basis == basis).count();
            assert!(has >= least, "{basis}: {has}");
        }
    }

    #[test]
    fn anthropics_own_rules_hold_in_its_list() {
        let rows = all();
        let claude = rows.iter().filter(|row| row.basis == "anthropic");
        let cached = claude.filter(|row| row.rates.cache_read < row.rates.input);
        let mut tried = 0;
        for row in cached {
            let Rates {
                input,
                cache_write_5m,
                cache_write_1h,
                ..
            } = row.rates;
            assert_eq!(cache_write_5m * 4, input * 5, "{}", row.model);
            assert_eq!(cache_write_1h, input * 2, "{}", row.model);
            if let Some(batch) = row.tiers.first() {
                assert_eq!(batch.rates.input * 2, input, "{}", row.model);
                assert_eq!(batch.rates.output * 2, row.rates.output, "{}", row.model);
            }
            tried += 1;
        }
        assert!(tried > 15);
    }

    #[test]
    fn the_version_names_date_and_content() {
        assert_eq!(
            TABLE_VERSION.len(),
            "2026-11-22+00000000".len(),
            "{}",
            *TABLE_VERSION
        );
        assert!(TABLE_VERSION.starts_with("20"));
        assert_ne!(TABLE_VERSION.split('+').nth(1), Some("00000000"));
    }

    #[test]
    fn lines_that_are_no_rows_are_refused() {
        let good = "x y 1 2 - - - batch=50% above=10:2/4/-/-/- openai/agree";
        assert!(row(good).is_some());
        for bad in [
            "",
            "x y 1 2 - - openai/agree",
            "x y 1 2 - - - openai",
            "x y 1 2 - - - nowhere/agree",
            "x y 1 2 - - - openai/because",
            "x y 1 2 - - - openai/agree openai/agree",
            "x y one 2 - - - openai/agree",
            "x y 1 2 - - - bath=50% openai/agree",
            "x y 1 2 - - - batch=half openai/agree",
            "x y 1 2 - - - batch=1/2/3/4/5/6 openai/agree",
            "x y 1 2 - - - above=ten:2/4/-/-/- openai/agree",
            "x y 1 2 - - - context=many openai/agree",
        ] {
            let leaked: &'static str = Box::leak(bad.to_owned().into_boxed_str());
            assert!(row(leaked).is_none(), "{bad}");
        }
    }

    #[test]
    fn tiers_and_long_inputs_are_in_proportion_where_nothing_is_said() {
        let line = "x y 4 20 0.4 5 8 above=100:8/30/0.8/10/16 batch=50% priority=8/40/0.8/10/16 \
                    audio_input=12 image_output=60 openai/agree";
        let price = row(line).unwrap();
        let usd = |cents: u64| cents * 10_000_000;
        assert_eq!(price.rates.audio_input, Some(usd(1200)));
        let above = price.above.unwrap().rates;
        assert_eq!((above.input, above.audio_input), (usd(800), Some(usd(2400))));
        assert_eq!(above.image_output, Some(usd(9000)));
        let batch = price.tiers[0];
        assert_eq!(
            (batch.rates.input, batch.rates.cache_write_1h),
            (usd(200), usd(400))
        );
        assert_eq!(batch.rates.audio_input, Some(usd(600)));
        assert_eq!(batch.above.unwrap().rates.output, usd(1500));
        let priority = price.tiers[1];
        assert_eq!(priority.rates.audio_input, Some(usd(2400)));
        let above = priority.above.unwrap().rates;
        assert_eq!((above.input, above.output), (usd(1600), usd(6000)));
        assert_eq!(above.image_output, Some(usd(18_000)));
    }
}
