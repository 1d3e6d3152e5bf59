//! A histogram of times whose buckets grow with the values.
//!
//! Each doubling is cut into sixteen equal parts, and a part is shown by its middle: what is shown is within 3.2 % of what
//! was measured, between 128 µs and an hour. Only buckets that hold something take room.

/// Parts of a doubling, as a power of two.
const PARTS_LOG: u32 = 4;
/// Values below this one, and above the last bucket, are taken for it: 128 µs, 71 minutes.
const LOWEST_LOG: u32 = 7;
const HIGHEST_LOG: u32 = 32;

/// Counts of values, in microseconds.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct Histogram {
    /// Numbers of buckets and how many values they hold, in order.
    buckets: Vec<(u16, u32)>,
}

impl Histogram {
    pub(crate) fn add(&mut self, micros: u64) {
        self.add_many(bucket(micros), 1);
    }

    fn add_many(&mut self, bucket: u16, count: u32) {
        match self.buckets.binary_search_by_key(&bucket, |(number, _)| *number) {
            Ok(at) => {
                if let Some((_, sum)) = self.buckets.get_mut(at) {
                    *sum = sum.saturating_add(count);
                }
            }
            Err(at) => self.buckets.insert(at, (bucket, count)),
        }
    }

    pub(crate) fn merge(&mut self, other: &Self) {
        for (bucket, count) in &other.buckets {
            self.add_many(*bucket, *count);
        }
    }

    /// The value that so many percent of all do not exceed, in microseconds; `None` without any.
    pub(crate) fn percentile(&self, percent: u64) -> Option<u64> {
        let total: u64 = self.buckets.iter().map(|(_, count)| u64::from(*count)).sum();
        let rank = total.saturating_mul(percent).div_ceil(100).max(1);
        let mut seen = 0u64;
        self.buckets
            .iter()
            .find(|(_, count)| {
                seen = seen.saturating_add(u64::from(*count));
                seen >= rank
            })
            .map(|(number, _)| middle(*number))
    }
}

fn bucket(micros: u64) -> u16 {
    let value = micros.clamp(1 << LOWEST_LOG, (1 << HIGHEST_LOG) - 1);
    let doubling = value.ilog2();
    let part = (value >> (doubling - PARTS_LOG)) & ((1 << PARTS_LOG) - 1);
    let number = u64::from((doubling - LOWEST_LOG) << PARTS_LOG) + part;
    // Fits: there are 25 doublings of 16 parts.
    u16::try_from(number).unwrap_or(u16::MAX)
}

fn middle(number: u16) -> u64 {
    let number = u32::from(number);
    let doubling = (number >> PARTS_LOG) + LOWEST_LOG;
    let part = u64::from(number & ((1 << PARTS_LOG) - 1));
    let width = 1u64 << (doubling - PARTS_LOG);
    (1u64 << doubling) + part * width + width / 2
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_value_is_shown_within_the_stated_error() {
        let mut value = 128u64;
        while value < 1 << 32 {
            let mut one = Histogram::default();
            one.add(value);
            let shown = one.percentile(50).unwrap();
            assert!(shown.abs_diff(value) * 1_000 <= value * 32, "{value}: {shown}");
            value += 1 + value / 97;
        }
        for (extreme, shown) in [(0, 132), (u64::MAX, (1 << 32) - (1 << 26))] {
            let mut one = Histogram::default();
            one.add(extreme);
            assert_eq!(one.percentile(99), Some(shown), "{extreme}");
        }
    }

    #[test]
    fn percentiles_are_those_of_the_values() {
        assert_eq!(Histogram::default().percentile(50), None);
        let mut all = Histogram::default();
        for part in 0..4 {
            let mut some = Histogram::default();
            (1..=1_000u64)
                .filter(|n| n % 4 == part)
                .for_each(|n| some.add(n * 1_000));
            all.merge(&some);
        }
        for (percent, exact) in [
            (1, 10_000),
            (50, 500_000),
            (95, 950_000),
            (99, 990_000),
            (100, 1_000_000),
        ] {
            let shown: u64 = all.percentile(percent).unwrap();
            assert!(shown.abs_diff(exact) * 1_000 <= exact * 32, "p{percent}: {shown}");
        }
    }
}
