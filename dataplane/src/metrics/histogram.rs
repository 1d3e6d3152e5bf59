//! A histogram of microseconds in powers of two, from 1 µs to about 71 minutes.
//!
//! Powers of two, because the bucket of a value is one instruction and no table; a quantile read from it is at
//! most a factor of two off, which is what a latency graph needs.

/// Number of buckets; the last one takes everything above the last bound.
pub const BUCKETS: usize = 34;

/// Counts of durations.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Histogram {
    buckets: [u64; BUCKETS],
    sum_us: u64,
}

impl Default for Histogram {
    fn default() -> Self {
        Self {
            buckets: [0; BUCKETS],
            sum_us: 0,
        }
    }
}

impl Histogram {
    /// Counts one duration in microseconds.
    pub fn add(&mut self, us: u64) {
        if let Some(bucket) = self.buckets.get_mut(index(us)) {
            *bucket += 1;
        }
        self.sum_us = self.sum_us.saturating_add(us);
    }

    /// Adds what another one counted.
    pub fn merge(&mut self, other: &Self) {
        for (sum, more) in self.buckets.iter_mut().zip(other.buckets) {
            *sum += more;
        }
        self.sum_us = self.sum_us.saturating_add(other.sum_us);
    }

    /// Durations counted.
    #[must_use]
    pub fn count(&self) -> u64 {
        self.buckets.iter().sum()
    }

    /// Their sum in microseconds.
    #[must_use]
    pub const fn sum_us(&self) -> u64 {
        self.sum_us
    }

    /// Bounds in microseconds and the number of durations up to each, the open bucket left out.
    pub fn cumulative(&self) -> impl Iterator<Item = (u64, u64)> + '_ {
        let bounded = &self.buckets[..BUCKETS - 1];
        bounded.iter().enumerate().scan(0, |sum, (index, count)| {
            *sum += count;
            Some((1 << index, *sum))
        })
    }
}

/// The bucket of a duration: the first whose bound, 2^index µs, is not below it.
fn index(us: u64) -> usize {
    let bits = u64::BITS - us.saturating_sub(1).leading_zeros();
    (bits as usize).min(BUCKETS - 1)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_duration_falls_into_the_first_bucket_that_bounds_it() {
        let naive = |us: u64| (0..BUCKETS - 1).find(|i| us <= 1 << i).unwrap_or(BUCKETS - 1);
        let edges = (0..64).flat_map(|bit| [(1u64 << bit) - 1, 1 << bit, (1 << bit) + 1]);
        for us in edges.chain([u64::MAX]) {
            assert_eq!(index(us), naive(us), "{us}");
        }
    }

    #[test]
    fn counts_add_up() {
        let mut a = Histogram::default();
        let mut b = Histogram::default();
        for us in [0, 1, 2, 3, 1_000] {
            a.add(us);
        }
        b.add(u64::MAX);
        a.merge(&b);
        assert_eq!((a.count(), a.sum_us()), (6, u64::MAX));
        let cumulative: Vec<_> = a.cumulative().collect();
        assert_eq!(cumulative[..3], [(1, 2), (2, 3), (4, 4)]);
        assert_eq!(
            cumulative.last(),
            Some(&(1 << 32, 5)),
            "the open bucket is the sixth"
        );
    }
}
