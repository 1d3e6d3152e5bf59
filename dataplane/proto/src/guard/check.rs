//! What is wrong with a rule, for whoever writes one.

use sluice_shared::snapshot::Guardrail;

use super::detectors::{DETECTORS, GROUPS, named};
use super::patterns::Pattern;

/// Most detectors, expressions, phrases, names of tools and fields of one rule, each.
const ENTRIES_MAX: usize = 1_000;
/// Most expressions of one rule: each is a search of its own.
const PATTERNS_MAX: usize = 64;
/// Longest phrase, name or path, in bytes.
const ENTRY_BYTES_MAX: usize = 256;
/// Longest text for a client or in place of a finding, in bytes.
const TEXT_BYTES_MAX: usize = 1_024;

/// A fault in a rule.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Problem {
    /// Part of the rule: `detectors`, `patterns`, `phrases`, `tools.allow` …
    pub part: String,
    /// Which entry of it.
    pub index: Option<usize>,
    /// What is wrong.
    pub message: String,
}

/// Looks for faults in a rule. A rule without any compiles.
#[must_use]
pub fn check(rule: &Guardrail) -> Vec<Problem> {
    let mut out = Vec::new();
    let mut fault = |part: &str, index: Option<usize>, message: String| {
        out.push(Problem {
            part: part.to_owned(),
            index,
            message,
        });
    };
    for (at, name) in rule.detectors.iter().enumerate() {
        if named(name).is_none() {
            let nearest = nearest(name).map(|nearest| format!("; did you mean {nearest:?}?"));
            let nearest = nearest.unwrap_or_default();
            fault(
                "detectors",
                Some(at),
                format!("no detector is called {name:?}{nearest}"),
            );
        }
    }
    if rule.patterns.len() > PATTERNS_MAX {
        fault("patterns", None, format!("more than {PATTERNS_MAX} expressions"));
    }
    for (at, pattern) in rule.patterns.iter().take(PATTERNS_MAX).enumerate() {
        if let Err(error) = Pattern::new(&pattern.regex) {
            fault("patterns", Some(at), error);
        }
        if pattern.name.is_empty() || pattern.name.len() > 64 {
            fault(
                "patterns",
                Some(at),
                "the name must have 1 to 64 bytes".to_owned(),
            );
        }
    }
    let tools = &rule.tools;
    for (part, list) in [
        ("detectors", &rule.detectors),
        ("phrases", &rule.phrases),
        ("tools.allow", &tools.allow),
        ("tools.deny", &tools.deny),
        ("tools.allow_servers", &tools.allow_servers),
        ("tools.deny_servers", &tools.deny_servers),
        ("require", &rule.require),
        ("forbid", &rule.forbid),
    ] {
        if list.len() > ENTRIES_MAX {
            fault(part, None, format!("more than {ENTRIES_MAX} entries"));
        }
        for (at, entry) in list.iter().take(ENTRIES_MAX).enumerate() {
            if entry.trim().is_empty() {
                fault(part, Some(at), "is empty".to_owned());
            } else if entry.len() > ENTRY_BYTES_MAX {
                fault(part, Some(at), format!("is longer than {ENTRY_BYTES_MAX} bytes"));
            }
        }
    }
    for (part, paths) in [("require", &rule.require), ("forbid", &rule.forbid)] {
        for (at, path) in paths.iter().enumerate() {
            if !path.is_empty() && path.split('.').any(str::is_empty) {
                fault(
                    part,
                    Some(at),
                    "is not a path of keys with dots between them".to_owned(),
                );
            }
        }
    }
    for (part, text) in [("replacement", &rule.replacement), ("message", &rule.message)] {
        if text.len() > TEXT_BYTES_MAX {
            fault(part, None, format!("is longer than {TEXT_BYTES_MAX} bytes"));
        }
    }
    out
}

/// The name that one is nearest to, if it is near at all.
fn nearest(name: &str) -> Option<&'static str> {
    let names = DETECTORS.iter().chain(GROUPS);
    let distance = |known: &&&'static str| edits(name, known);
    let nearest = names.min_by_key(distance)?;
    (edits(name, nearest) <= nearest.len() / 2).then_some(nearest)
}

/// Insertions, deletions and replacements that make one text of another.
fn edits(a: &str, b: &str) -> usize {
    let a: Vec<u8> = a.bytes().take(64).collect();
    let mut row: Vec<usize> = (0..=b.len()).collect();
    for (i, x) in a.iter().enumerate() {
        let mut diagonal = i;
        let mut left = i + 1;
        for (cell, y) in row.iter_mut().skip(1).zip(b.bytes()) {
            let best = (left + 1).min(*cell + 1).min(diagonal + usize::from(*x != y));
            diagonal = std::mem::replace(cell, best);
            left = best;
        }
        if let Some(first) = row.first_mut() {
            *first = i + 1;
        }
    }
    row.last().copied().unwrap_or_default()
}
