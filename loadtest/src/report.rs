//! What came of the scenarios: whether each went as declared, and its figures.

use std::fmt::Write as _;
use std::time::Duration;

use serde_json::{Map, Value, json};

/// One scenario.
#[derive(Debug)]
pub struct Row {
    /// What was played.
    pub name: &'static str,
    /// What was measured, by name; names end with their unit where there is one.
    pub figures: Vec<(&'static str, Value)>,
    /// What was not as declared.
    pub faults: Vec<String>,
    /// Why a part of it, or all, was left out.
    pub skipped: Option<String>,
}

impl Row {
    /// One without figures.
    #[must_use]
    pub fn of(name: &'static str) -> Self {
        Self::new(name)
    }

    /// Adds a figure.
    pub fn measure(&mut self, name: &'static str, value: impl Into<Value>) {
        self.figure(name, value);
    }

    /// A fault unless it holds.
    pub fn check(&mut self, holds: bool, text: impl FnOnce() -> String) {
        self.demand(holds, text);
    }

    pub(crate) fn new(name: &'static str) -> Self {
        Self {
            name,
            figures: Vec::new(),
            faults: Vec::new(),
            skipped: None,
        }
    }

    pub(crate) fn figure(&mut self, name: &'static str, value: impl Into<Value>) {
        self.figures.push((name, value.into()));
    }

    /// A fault unless it holds.
    pub(crate) fn demand(&mut self, holds: bool, text: impl FnOnce() -> String) {
        if !holds {
            self.faults.push(text());
        }
    }
}

/// All scenarios.
#[derive(Debug, Default)]
pub struct Report {
    /// In the order of their numbers.
    pub rows: Vec<Row>,
}

impl Report {
    /// How many things were not as declared.
    #[must_use]
    pub fn faults(&self) -> usize {
        self.rows.iter().map(|row| row.faults.len()).sum()
    }

    /// A table in Markdown, with the faults below it.
    #[must_use]
    pub fn table(&self) -> String {
        let mut out = String::from("| scenario | as declared | figures |\n| --- | --- | --- |\n");
        let mut faults = String::new();
        for row in &self.rows {
            let verdict = if row.faults.is_empty() { "yes" } else { "NO" };
            let mut figures: Vec<String> = row
                .figures
                .iter()
                .map(|(name, value)| format!("{name} {}", shown(value)))
                .collect();
            if let Some(why) = &row.skipped {
                figures.push(format!("skipped: {why}"));
            }
            // Writing to text does not fail.
            let _ = writeln!(out, "| {} | {verdict} | {} |", row.name, figures.join("; "));
            for fault in &row.faults {
                let _ = writeln!(faults, "{}: {fault}", row.name);
            }
        }
        out + &faults
    }

    /// The same as an object.
    #[must_use]
    pub fn json(&self) -> Value {
        let rows = self.rows.iter().map(|row| {
            let figures: Map<String, Value> = row
                .figures
                .iter()
                .map(|(name, value)| ((*name).to_owned(), value.clone()))
                .collect();
            json!({"scenario": row.name, "as_declared": row.faults.is_empty(), "figures": figures,
                   "faults": row.faults, "skipped": row.skipped})
        });
        json!({"as_declared": self.faults() == 0, "scenarios": rows.collect::<Vec<_>>()})
    }
}

fn shown(value: &Value) -> String {
    match value {
        Value::String(text) => text.clone(),
        other => other.to_string(),
    }
}

/// Milliseconds, to a hundredth.
pub(crate) fn ms(time: Duration) -> f64 {
    (time.as_secs_f64() * 100_000.0).round() / 100.0
}

/// Median, 99th percentile and maximum in milliseconds, "a / b / c"; nearest rank.
pub(crate) fn spread(times: &[Duration]) -> String {
    let mut sorted = times.to_vec();
    sorted.sort_unstable();
    let at = |percent: usize| {
        let rank = (sorted.len() * percent).div_ceil(100).saturating_sub(1);
        ms(sorted.get(rank).copied().unwrap_or_default())
    };
    format!("{} / {} / {}", at(50), at(99), at(100))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_spread_is_of_the_nearest_rank() {
        let times: Vec<Duration> = (1..=200).rev().map(Duration::from_millis).collect();
        assert_eq!(spread(&times), "100 / 198 / 200");
        assert_eq!(spread(&[Duration::from_micros(1_234)]), "1.23 / 1.23 / 1.23");
        assert_eq!(spread(&[]), "0 / 0 / 0");
    }

    #[test]
    fn faults_are_shown_everywhere() {
        let mut row = Row::new("one");
        row.figure("took_ms", 1.5);
        row.demand(true, || "fine".into());
        row.demand(false, || "it broke".into());
        let report = Report { rows: vec![row] };
        assert_eq!(report.faults(), 1);
        assert!(
            report.table().contains("| one | NO | took_ms 1.5 |"),
            "{}",
            report.table()
        );
        assert!(report.table().contains("one: it broke"));
        assert_eq!(report.json()["scenarios"][0]["figures"]["took_ms"], 1.5);
    }
}
