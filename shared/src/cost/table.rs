//! The price table: text in the binary, read once.

use std::sync::OnceLock;

use super::{Price, Rate, Rates};

const TEXT: &str = include_str!("prices.txt");

/// Every row, sorted by basis and model.
pub(super) fn rows() -> &'static [Price] {
    static ROWS: OnceLock<Vec<Price>> = OnceLock::new();
    ROWS.get_or_init(|| {
        let mut rows = Vec::new();
        for mut row in TEXT.lines().filter_map(row) {
            if let Some(percent) = row.geo_percent.take()
                && let Some(regional) = regional(&row, percent)
            {
                rows.push(regional);
            }
            rows.push(row);
        }
        rows.sort_by(|a, b| (a.basis, a.model, a.geo_percent).cmp(&(b.basis, b.model, b.geo_percent)));
        rows
    })
}

/// Names of geographic inference profiles begin with this in [`find`].
pub(super) const GEO: &str = "geo:";

/// The row of this name at this basis. A name that begins with [`GEO`] wants the regional rates, if there are any.
pub(super) fn find(basis: &str, name: &str) -> Option<&'static Price> {
    let (name, geo) = match name.strip_prefix(GEO) {
        Some(rest) => (rest, true),
        None => (name, false),
    };
    let rows = rows();
    let start = rows.partition_point(|row| (row.basis, row.model) < (basis, name));
    let same = rows
        .get(start..)?
        .iter()
        .take_while(|row| row.basis == basis && row.model == name);
    let mut plain = None;
    for row in same {
        match (row.geo_percent.is_some(), geo) {
            (true, true) => return Some(row),
            (false, _) => plain = Some(row),
            (true, false) => {}
        }
    }
    plain
}

/// Reads a line; `None` for comments and for lines that are not rows (a test refuses those).
fn row(line: &'static str) -> Option<Price> {
    let line = line.trim();
    if line.is_empty() || line.starts_with('#') {
        return None;
    }
    let mut words = line.split_ascii_whitespace();
    let basis = words.next()?;
    let model = words.next()?;
    let columns = [
        words.next()?,
        words.next()?,
        words.next()?,
        words.next()?,
        words.next()?,
    ];
    let mut price = Price {
        basis,
        model,
        rates: rates(columns)?,
        above: None,
        reasoning: None,
        audio_input: None,
        audio_output: None,
        image_input: None,
        image_output: None,
        request: None,
        search: None,
        geo_percent: None,
        source: "",
        date: "",
    };
    for word in words {
        match word.split_once('=') {
            Some(("above", value)) => {
                let (tokens, columns) = value.split_once(':')?;
                let mut columns = columns.split('/');
                let columns = [
                    columns.next()?,
                    columns.next()?,
                    columns.next()?,
                    columns.next()?,
                    columns.next()?,
                ];
                price.above = Some((tokens.parse().ok()?, rates(columns)?));
            }
            Some(("reasoning", value)) => price.reasoning = Some(rate(value)?),
            Some(("audio_input", value)) => price.audio_input = Some(rate(value)?),
            Some(("audio_output", value)) => price.audio_output = Some(rate(value)?),
            Some(("image_input", value)) => price.image_input = Some(rate(value)?),
            Some(("image_output", value)) => price.image_output = Some(rate(value)?),
            Some(("request", value)) => price.request = Some(rate(value)?),
            Some(("search", value)) => price.search = Some(rate(value)?),
            Some(("geo", value)) => price.geo_percent = Some(value.parse().ok()?),
            Some(_) => return None,
            None if price.source.is_empty() => price.source = word,
            None => price.date = word,
        }
    }
    (!price.date.is_empty()).then_some(price)
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
    })
}

/// Dollars, as a decimal of at most nine places, in nanodollars.
fn rate(text: &str) -> Option<Rate> {
    let (whole, fraction) = text.split_once('.').unwrap_or((text, ""));
    if fraction.len() > 9 || whole.is_empty() {
        return None;
    }
    let digits: u64 = format!("{whole}{fraction:0<9}").parse().ok()?;
    Some(digits)
}

/// The row for geographic profiles; it stands beside the base row, told apart by its `geo_percent`.
fn regional(row: &Price, percent: u64) -> Option<Price> {
    let scale = |rate: Rate| rate.checked_mul(percent).map(|scaled| scaled / 100);
    let all = |rates: Rates| {
        Some(Rates {
            input: scale(rates.input)?,
            output: scale(rates.output)?,
            cache_read: scale(rates.cache_read)?,
            cache_write_5m: scale(rates.cache_write_5m)?,
            cache_write_1h: scale(rates.cache_write_1h)?,
        })
    };
    let above = match row.above {
        Some((tokens, rates)) => Some((tokens, all(rates)?)),
        None => None,
    };
    Some(Price {
        rates: all(row.rates)?,
        above,
        geo_percent: Some(percent),
        ..row.clone()
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_line_is_a_row_and_no_name_stands_twice() {
        let lines = TEXT
            .lines()
            .map(str::trim)
            .filter(|line| !line.is_empty() && !line.starts_with('#'));
        let mut seen = std::collections::BTreeSet::new();
        for line in lines {
            let row = row(line).unwrap_or_else(|| panic!("not a row: {line}"));
            assert!(seen.insert((row.basis, row.model)), "twice: {line}");
            assert_eq!(
                row.model,
                row.model.to_ascii_lowercase(),
                "names are looked up in lower case"
            );
            assert!(row.date.len() == 10 && row.source.contains('/'), "{line}");
            assert!(row.rates.cache_read <= row.rates.input, "{line}");
        }
        assert!(seen.len() > 150, "{} rows", seen.len());
    }

    #[test]
    fn decimals_are_exact() {
        for (text, want) in [
            ("0.0375", Some(37_500_000)),
            ("12.5", Some(12_500_000_000)),
            ("3", Some(3_000_000_000)),
            ("0.000000001", Some(1)),
            ("0.0000000001", None),
            ("-1", None),
            ("", None),
            ("x", None),
        ] {
            assert_eq!(rate(text), want, "{text}");
        }
    }
}
