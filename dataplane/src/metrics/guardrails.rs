//! What guardrails found, from the verdicts in records: on requests and on answers.
//!
//! Labels come from the document: names of rules, of detectors and of the operator's expressions. The first
//! [`SERIES_MAX`] of a shard have series of their own.

use sluice_shared::usage::{Judge, Verdict};

/// Series with labels of their own.
pub const SERIES_MAX: usize = 256;
/// The label of all others.
pub const OTHER: &str = "other";

#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
struct Series {
    rule: Box<str>,
    detector: Box<str>,
    action: &'static str,
    on: &'static str,
}

/// Counts of a shard.
#[derive(Clone, Debug, Default)]
pub struct GuardrailCounts {
    found: Vec<(Series, u64)>,
}

impl GuardrailCounts {
    /// Counts a verdict; those of hooks are counted elsewhere.
    pub fn count(&mut self, verdict: &Verdict) {
        if verdict.judge != Judge::Guardrail {
            return;
        }
        let action = if verdict.shadow {
            "shadow"
        } else {
            verdict.action.name()
        };
        let on = if verdict.on_answer { "answer" } else { "request" };
        // What stands behind a colon may come from a client: the name of a tool.
        let what = verdict.what.split(':').next().unwrap_or_default();
        self.add(&verdict.name, what, action, on, u64::from(verdict.count));
    }

    fn add(&mut self, rule: &str, detector: &str, action: &'static str, on: &'static str, count: u64) {
        let full = self.found.len() >= SERIES_MAX;
        let same = |series: &Series, rule: &str, detector: &str| {
            *series.rule == *rule
                && *series.detector == *detector
                && series.action == action
                && series.on == on
        };
        let find = |found: &[(Series, u64)], rule: &str, detector: &str| {
            found.iter().position(|(series, _)| same(series, rule, detector))
        };
        let at = find(&self.found, rule, detector)
            .or_else(|| full.then(|| find(&self.found, OTHER, OTHER)).flatten());
        match at.and_then(|at| self.found.get_mut(at)) {
            Some((_, sum)) => *sum = sum.saturating_add(count),
            None => {
                let (rule, detector) = if full { (OTHER, OTHER) } else { (rule, detector) };
                let series = Series {
                    rule: rule.into(),
                    detector: detector.into(),
                    action,
                    on,
                };
                self.found.push((series, count));
            }
        }
    }

    /// Every series, sorted: its labels and its count.
    #[must_use]
    pub fn sorted(&self) -> Vec<([(&'static str, &str); 4], u64)> {
        let mut all: Vec<_> = self.found.iter().collect();
        all.sort_unstable();
        all.into_iter()
            .map(|(series, count)| {
                let labels = [
                    ("rule", &*series.rule),
                    ("detector", &*series.detector),
                    ("action", series.action),
                    ("on", series.on),
                ];
                (labels, *count)
            })
            .collect()
    }

    /// Adds the counts of another shard.
    pub(super) fn merge(&mut self, other: &Self) {
        for (series, count) in &other.found {
            self.add(&series.rule, &series.detector, series.action, series.on, *count);
        }
    }
}

#[cfg(test)]
mod tests {
    use sluice_shared::usage::Action;

    use super::*;

    fn verdict(name: &str, count: u32) -> Verdict {
        Verdict {
            judge: Judge::Guardrail,
            name: name.into(),
            action: Action::Redact,
            shadow: false,
            on_answer: true,
            what: "email:more".into(),
            count,
            took_us: 0,
        }
    }

    #[test]
    fn series_are_bounded_and_counts_add_up() {
        let (mut one, mut two) = (GuardrailCounts::default(), GuardrailCounts::default());
        for n in 0..SERIES_MAX + 10 {
            one.count(&verdict(&format!("rule{n:03}"), 2));
        }
        two.count(&verdict("rule000", 3));
        two.count(&Verdict {
            shadow: true,
            on_answer: false,
            ..verdict("new", 1)
        });
        two.count(&Verdict {
            judge: Judge::Hook,
            ..verdict("hook", 1)
        });
        one.merge(&two);
        let sorted = one.sorted();
        // One `other` for each action and side.
        assert_eq!(sorted.len(), SERIES_MAX + 2);
        let of = |rule: &str| -> Vec<u64> {
            let of = sorted.iter().filter(|(labels, _)| labels[0].1 == rule);
            of.map(|(_, count)| *count).collect()
        };
        assert_eq!((of("rule000"), of(OTHER)), (vec![5], vec![20, 1]));
        assert_eq!(sorted[0].0[1], ("detector", OTHER));
        assert_eq!(sorted[3].0[1], ("detector", "email"));
    }
}
