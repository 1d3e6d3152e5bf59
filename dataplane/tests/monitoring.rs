//! The dashboard and the alert rules in `docs`: they parse, and ask for metrics and labels that a data plane shows.
//!
//! What it shows is the golden text of the tests of the metrics, which has a series of every family.

#![allow(
    clippy::unwrap_used,
    reason = "helpers of a test fail by panic, as the test does"
)]

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::Path;

use serde_json::Value;

/// Labels that scrapers add.
const SCRAPED: [&str; 2] = ["job", "instance"];

fn file(path: &str) -> String {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("..").join(path);
    fs::read_to_string(&path).unwrap_or_else(|error| panic!("{}: {error}", path.display()))
}

/// Names of series with the labels that they have.
fn shown() -> BTreeMap<String, BTreeSet<String>> {
    let mut names: BTreeMap<String, BTreeSet<String>> = BTreeMap::new();
    for line in file("dataplane/tests/golden/metrics.txt").lines() {
        if let Some(rest) = line.strip_prefix("# TYPE ") {
            let (name, kind) = rest.split_once(' ').unwrap();
            if kind != "histogram" {
                names.entry(name.to_owned()).or_default();
            }
        } else if !line.starts_with('#') {
            let end = line.find(['{', ' ']).unwrap();
            let (name, rest) = line.split_at(end);
            let labels = names.entry(name.to_owned()).or_default();
            labels.extend(selected(rest).into_iter().map(str::to_owned));
        }
    }
    names
}

/// Names of the labels in the braces that a text begins with.
fn selected(text: &str) -> Vec<&str> {
    let mut names = Vec::new();
    let Some(mut rest) = text.strip_prefix('{') else {
        return names;
    };
    while let Some(equals) = rest.find(['=', '!', '}']) {
        if rest[equals..].starts_with('}') {
            break;
        }
        names.push(rest[..equals].trim_matches([',', ' ']));
        // Behind the value, whose quotes may be escaped.
        let open = rest[equals..].find('"').unwrap() + equals + 1;
        let mut escaped = false;
        let close = rest[open..]
            .find(|c| {
                let ends = c == '"' && !escaped;
                escaped = c == '\\' && !escaped;
                ends
            })
            .unwrap();
        rest = &rest[open + close + 1..];
    }
    names
}

/// Every metric of ours that a text names, with the labels it is selected by.
fn named(text: &str) -> Vec<(&str, Vec<&str>)> {
    let is_word = |c: char| c.is_ascii_alphanumeric() || c == '_' || c == ':';
    let mut found = Vec::new();
    for (at, _) in text.match_indices("sluice_") {
        if text[..at].ends_with(is_word) {
            continue;
        }
        let end = text[at..]
            .find(|c| !is_word(c))
            .map_or(text.len(), |end| at + end);
        found.push((&text[at..end], selected(&text[end..])));
    }
    found
}

fn check(place: &str, text: &str, seen: &mut BTreeSet<String>) {
    let shown = shown();
    for (name, labels) in named(text) {
        let Some(known) = shown.get(name) else {
            panic!("{place}: there is no metric {name}")
        };
        for label in labels {
            assert!(
                known.contains(label) || SCRAPED.contains(&label),
                "{place}: {name} has no label {label}"
            );
        }
        seen.insert(name.to_owned());
    }
}

fn strings<'a>(value: &'a Value, out: &mut Vec<&'a str>) {
    match value {
        Value::String(text) => out.push(text),
        Value::Array(items) => items.iter().for_each(|item| strings(item, out)),
        Value::Object(members) => members.values().for_each(|member| strings(member, out)),
        _ => {}
    }
}

#[test]
fn the_dashboard_asks_for_what_there_is() {
    let dashboard: Value = serde_json::from_str(&file("docs/grafana/sluice.json")).unwrap();
    let mut texts = Vec::new();
    strings(&dashboard, &mut texts);
    let mut seen = BTreeSet::new();
    texts
        .iter()
        .for_each(|text| check("docs/grafana/sluice.json", text, &mut seen));
    assert!(seen.len() > 30, "{seen:?}");
    let panels = dashboard["panels"].as_array().unwrap();
    let mut ids = BTreeSet::new();
    for panel in panels {
        assert!(ids.insert(panel["id"].as_u64().unwrap()), "{}", panel["title"]);
        if panel["type"] == "row" {
            continue;
        }
        assert!(
            panel["description"].is_string(),
            "{} explains nothing",
            panel["title"]
        );
        let targets = panel["targets"].as_array().unwrap();
        assert!(!targets.is_empty(), "{} asks for nothing", panel["title"]);
        for part in targets.iter().chain([panel]) {
            assert_eq!(part["datasource"]["uid"], "${datasource}", "{}", panel["title"]);
        }
        // No panel lies over another one.
        let place = |panel: &Value, name: &str| panel["gridPos"][name].as_u64().unwrap();
        let span = |panel: &Value, at: &str, long: &str| {
            let from = place(panel, at);
            from..from + place(panel, long)
        };
        let apart = |a: std::ops::Range<u64>, b: std::ops::Range<u64>| a.end <= b.start || b.end <= a.start;
        for other in panels.iter().filter(|other| other["id"] != panel["id"]) {
            assert!(
                apart(span(panel, "x", "w"), span(other, "x", "w"))
                    || apart(span(panel, "y", "h"), span(other, "y", "h")),
                "{} lies over {}",
                panel["title"],
                other["title"]
            );
        }
    }
}

#[test]
fn the_alerts_ask_for_what_there_is_and_say_what_to_do() {
    let text = file("docs/prometheus/alerts.yml");
    let mut seen = BTreeSet::new();
    check("docs/prometheus/alerts.yml", &text, &mut seen);
    assert!(seen.len() > 15, "{seen:?}");
    assert!(!text.contains('\t'), "YAML knows no tabs");
    let mut alerts: Vec<(&str, Vec<&str>)> = Vec::new();
    for line in text.lines() {
        if let Some(name) = line.strip_prefix("      - alert: ") {
            alerts.push((name, Vec::new()));
        } else if let Some((_, lines)) = alerts.last_mut() {
            lines.push(line);
        }
    }
    let page = file("docs/MONITORING.md");
    for (name, lines) in &alerts {
        let severity = lines
            .iter()
            .find_map(|line| line.strip_prefix("          severity: "))
            .unwrap_or_else(|| panic!("{name} has no severity"));
        assert!(["page", "ticket"].contains(&severity), "{name}: {severity}");
        for part in [
            "        expr: ",
            "          summary: \"",
            "          description: \"",
            "          action: \"",
        ] {
            let found = lines.iter().filter(|line| line.starts_with(part)).count();
            assert_eq!(found, 1, "{name}: {part}");
        }
        let row = page
            .lines()
            .find(|line| line.starts_with(&format!("| `{name}` |")))
            .unwrap_or_else(|| panic!("{name} is not on the page"));
        assert!(row.ends_with(&format!("| {severity} |")), "{row}");
    }
    let rows = page.lines().filter(|line| line.starts_with("| `Sluice")).count();
    assert_eq!(rows, alerts.len(), "the page tells of alerts that there are not");
    assert!(rows > 15);
}

#[test]
fn names_and_labels_are_found() {
    let check = |text: &str, expected: &[(&str, &[&str])]| {
        let found = named(text);
        let expected: Vec<(&str, Vec<&str>)> = expected.iter().map(|(n, l)| (*n, l.to_vec())).collect();
        assert_eq!(found, expected, "{text}");
    };
    check("up == 0 # Sluice sluice-x", &[]);
    check("rate(sluice_a_total[5m]) > 0", &[("sluice_a_total", &[])]);
    check(
        "sum(sluice_a{job=~\"$j\", x!=\"a\\\"}\"}) / my_sluice_b + sluice_c{}",
        &[("sluice_a", &["job", "x"]), ("sluice_c", &[])],
    );
    assert!(shown()["sluice_requests_total"].contains("ended"));
    assert!(shown().contains_key("sluice_overhead_seconds_bucket"));
}
