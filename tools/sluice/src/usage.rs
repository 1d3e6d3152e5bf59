//! `sluice usage`: sums of the usage records, asked from the running control plane.

use std::process::ExitCode;
use std::time::{SystemTime, UNIX_EPOCH};

use anyhow::{Context, Result};
use serde_json::Value;

use crate::cli::UsageOptions;
use crate::client::{Client, encoded};

/// Prints a table, or the API's JSON.
///
/// # Errors
/// If no instance runs on the data directory, or it refuses the question.
pub(crate) fn run(options: &UsageOptions) -> Result<ExitCode> {
    let mut query = format!("by={}", options.by.name());
    for (name, time) in [("since", &options.since), ("until", &options.until)] {
        if let Some(text) = time {
            query.push_str(&format!("&{name}={}", encoded(&moment(text)?)));
        }
    }
    let answer = Client::new(&options.instance.data).get(&format!("/api/usage?{query}"))?;
    if options.json {
        println!("{answer:#}");
    } else {
        print!("{}", table(options.by.name(), &answer));
    }
    Ok(ExitCode::SUCCESS)
}

/// A span back from now (`90s`, `30m`, `24h`, `7d`) as Unix seconds; everything else stays as it is.
pub(crate) fn moment(text: &str) -> Result<String> {
    let Some(seconds) = span_s(text) else {
        return Ok(text.to_owned());
    };
    let now = SystemTime::now()
        .duration_since(UNIX_EPOCH)
        .context("the clock stands before 1970")?
        .as_secs();
    Ok(now.saturating_sub(seconds).to_string())
}

/// `90s`, `30m`, `24h`, `7d` in seconds.
pub(crate) fn span_s(text: &str) -> Option<u64> {
    let unit = match text.as_bytes().last()? {
        b's' => 1,
        b'm' => 60,
        b'h' => 3_600,
        b'd' => 86_400,
        _ => return None,
    };
    let digits = text.get(..text.len() - 1)?;
    let plain = !digits.is_empty() && digits.bytes().all(|b| b.is_ascii_digit());
    digits.parse::<u64>().ok().filter(|_| plain)?.checked_mul(unit)
}

fn table(by: &str, answer: &Value) -> String {
    let mut rows = vec![
        [
            by, "requests", "input", "cached", "output", "cost USD", "unknown", "unpriced",
        ]
        .map(str::to_owned),
    ];
    for group in answer["groups"].as_array().map(Vec::as_slice).unwrap_or_default() {
        let number = |name: &str| group[name].as_u64().map_or_else(|| "-".to_owned(), thousands);
        rows.push([
            group["key"].as_str().unwrap_or_default().to_owned(),
            number("requests"),
            number("input"),
            number("cached_read"),
            number("output"),
            group["cost_nanousd"]
                .as_u64()
                .map_or_else(|| "-".to_owned(), dollars),
            number("unknown"),
            number("unpriced"),
        ]);
    }
    let mut widths = [0; 8];
    for row in &rows {
        for (width, cell) in widths.iter_mut().zip(row) {
            *width = cell.chars().count().max(*width);
        }
    }
    let mut out = String::new();
    for row in &rows {
        let cells = row.iter().zip(widths).enumerate().map(|(n, (cell, width))| {
            if n == 0 {
                format!("{cell:<width$}")
            } else {
                format!("{cell:>width$}")
            }
        });
        let line = cells.collect::<Vec<_>>().join("  ");
        out.push_str(line.trim_end());
        out.push('\n');
    }
    out
}

pub(crate) fn thousands(n: u64) -> String {
    let digits = n.to_string();
    let mut out = String::new();
    for (at, digit) in digits.chars().enumerate() {
        if at > 0 && (digits.len() - at).is_multiple_of(3) {
            out.push(',');
        }
        out.push(digit);
    }
    out
}

/// Nanodollars as dollars with six places, rounded half up.
pub(crate) fn dollars(nano: u64) -> String {
    let micro = nano.saturating_add(500) / 1_000;
    format!("{}.{:06}", thousands(micro / 1_000_000), micro % 1_000_000)
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn numbers_for_people() {
        assert_eq!(thousands(0), "0");
        assert_eq!(thousands(999), "999");
        assert_eq!(thousands(1_234_567), "1,234,567");
        assert_eq!(dollars(1_500), "0.000002");
        assert_eq!(dollars(12_345_678_901_234), "12,345.678901");
    }

    #[test]
    fn moments() {
        assert_eq!(moment("2026-11-22T00:00:00Z").unwrap(), "2026-11-22T00:00:00Z");
        assert_eq!(moment("1795300000").unwrap(), "1795300000");
        let hour: u64 = moment("1h").unwrap().parse().unwrap();
        let day: u64 = moment("1d").unwrap().parse().unwrap();
        assert!(hour - day >= 82_800 && hour - day <= 82_860);
        assert_eq!(
            encoded("2026-11-22T00:00:00+01:00"),
            "2026-11-22T00%3A00%3A00%2B01%3A00"
        );
    }

    #[test]
    fn unknown_is_shown_as_such() {
        let answer = json!({ "groups": [
            { "key": "m", "requests": 1200, "input": 5, "cached_read": null, "output": 7, "cost_nanousd": null,
              "unknown": 0, "unpriced": 1 },
        ] });
        let table = table("model", &answer);
        assert_eq!(
            table.lines().nth(1),
            Some("m         1,200      5       -       7         -        0         1")
        );
    }
}
