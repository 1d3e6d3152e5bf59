//! Times in buckets: 64 to every power of two, so that a value read back is at most 1.6 % off.

/// Buckets to each power of two.
const STEPS: u64 = 64;
/// Powers of two above `STEPS` that are told apart; larger values fall into the last bucket.
const POWERS: usize = 40;

/// Counts of values in microseconds (or any other unit).
#[derive(Clone, Debug)]
pub(crate) struct Histogram {
    counts: Vec<u64>,
    total: u64,
    max: u64,
}

impl Default for Histogram {
    fn default() -> Self {
        Self {
            counts: vec![0; bucket(STEPS << POWERS)],
            total: 0,
            max: 0,
        }
    }
}

/// Where a value is counted.
fn bucket(value: u64) -> usize {
    if value < STEPS {
        return usize::try_from(value).unwrap_or(0);
    }
    let power = u64::from(value.ilog2() - STEPS.ilog2());
    let step = (value >> power) - STEPS;
    usize::try_from(STEPS * (power + 1) + step).unwrap_or(usize::MAX)
}

/// The middle of what a bucket counts.
fn middle(bucket: usize) -> u64 {
    let bucket = bucket as u64;
    if bucket < STEPS {
        return bucket;
    }
    let power = bucket / STEPS - 1;
    let low = (STEPS + bucket % STEPS) << power;
    low + (1 << power) / 2
}

impl Histogram {
    pub(crate) fn record(&mut self, value: u64) {
        let last = self.counts.len() - 1;
        self.counts[bucket(value).min(last)] += 1;
        self.total += 1;
        self.max = self.max.max(value);
    }

    /// The value that `percent` of all values do not exceed; 0 if there are none.
    pub(crate) fn percentile(&self, percent: f64) -> u64 {
        let total = self.total as f64;
        let mut seen = 0_u64;
        for (at, count) in self.counts.iter().enumerate() {
            seen += count;
            if *count > 0 && seen as f64 >= total * percent / 100.0 {
                return middle(at).min(self.max);
            }
        }
        self.max
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn values_come_back_within_two_percent() {
        for value in (0..20_000)
            .chain((0..40).map(|p| 1_u64 << p))
            .chain([123_456_789])
        {
            let back = middle(bucket(value));
            assert!(back.abs_diff(value) * 50 <= value, "{value} came back as {back}");
        }
    }

    #[test]
    fn percentiles_of_a_known_row() {
        let mut histogram = Histogram::default();
        assert_eq!(histogram.percentile(50.0), 0);
        for value in 1..=1000 {
            histogram.record(value);
        }
        for (percent, expected) in [(50.0, 500_u64), (99.0, 990), (100.0, 1000)] {
            let got = histogram.percentile(percent);
            assert!(got.abs_diff(expected) <= expected / 50, "p{percent}: {got}");
        }
        histogram.record(u64::MAX);
        assert_eq!((histogram.max, histogram.total), (u64::MAX, 1001));
    }
}
