//! How often buckets have been used up to one of their marks, by quota. Labels are bounded: quotas beyond the first
//! [`QUOTAS_MAX`] share one.

use std::sync::Arc;

use arc_swap::ArcSwap;

/// Quotas with a label of their own.
const QUOTAS_MAX: usize = 64;
/// Longest label value, in bytes; what is longer is cut.
const NAME_BYTES_MAX: usize = 128;
/// Label of all other quotas.
const OTHER: &str = "other";

/// A counter.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct QuotaMark {
    /// Name of the quota, with its templates.
    pub quota: String,
    /// 50, 80 or 100.
    pub percent: u8,
    /// Times since the start.
    pub count: u64,
}

/// Written by one thread, read by all without waiting.
#[derive(Debug, Default)]
pub(crate) struct QuotaMarks(ArcSwap<Vec<QuotaMark>>);

impl QuotaMarks {
    /// One more. Whatever is no mark counts as the one below.
    pub(crate) fn count(&self, quota: &str, percent: u8) {
        let percent = match percent {
            100.. => 100,
            80.. => 80,
            _ => 50,
        };
        let mut marks = Vec::clone(&self.0.load());
        let name = &quota[..quota.floor_char_boundary(NAME_BYTES_MAX)];
        let known = |name: &str| marks.iter().any(|mark| mark.quota == name);
        let mut names: Vec<&str> = marks.iter().map(|mark| mark.quota.as_str()).collect();
        names.sort_unstable();
        names.dedup();
        let name = if known(name) || names.len() < QUOTAS_MAX {
            name
        } else {
            OTHER
        };
        let same = |mark: &&mut QuotaMark| mark.quota == name && mark.percent == percent;
        match marks.iter_mut().find(same) {
            Some(mark) => mark.count = mark.count.saturating_add(1),
            None => marks.push(QuotaMark {
                quota: name.to_owned(),
                percent,
                count: 1,
            }),
        }
        self.0.store(Arc::new(marks));
    }

    /// All that are not 0.
    pub(crate) fn read(&self) -> Vec<QuotaMark> {
        Vec::clone(&self.0.load())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn counts_by_quota_and_mark_and_stays_bounded() {
        let marks = QuotaMarks::default();
        for (quota, percent) in [("a", 50), ("a", 50), ("a", 80), ("b", 100), ("b", 255)] {
            marks.count(quota, percent);
        }
        let read = marks.read();
        let counts: Vec<_> = read
            .iter()
            .map(|m| (m.quota.as_str(), m.percent, m.count))
            .collect();
        assert_eq!(counts, [("a", 50, 2), ("a", 80, 1), ("b", 100, 2)]);
        for n in 0..1_000 {
            marks.count(&format!("{n}{}", "x".repeat(500)), 80);
        }
        let read = marks.read();
        assert!(read.len() <= 3 * (QUOTAS_MAX + 1), "{}", read.len());
        assert!(read.iter().all(|m| m.quota.len() <= NAME_BYTES_MAX));
        assert_eq!(read.iter().map(|m| m.count).sum::<u64>(), 1_005);
        assert!(read.iter().any(|m| m.quota == OTHER));
    }
}
