//! Numbers that come again with their seed (SplitMix64: Steele, Lea and Flood, 2014), and what is drawn with them.

/// A row of numbers.
#[derive(Clone, Debug)]
pub struct Draw(u64);

impl Draw {
    /// The numbers of a seed.
    #[must_use]
    pub const fn new(seed: u64) -> Self {
        Self(seed)
    }

    /// The next number.
    pub const fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let z = (self.0 ^ (self.0 >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        let z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^ (z >> 31)
    }

    /// A number below `bound`, which is not 0.
    pub const fn below(&mut self, bound: u64) -> u64 {
        // The high half of the product: no division, and even enough for bounds this small.
        ((self.next() as u128 * bound as u128) >> 64) as u64
    }

    /// A number from 0 up to, and without, 1.
    #[allow(clippy::cast_precision_loss, reason = "53 bits are what fits")]
    pub const fn share(&mut self) -> f64 {
        (self.next() >> 11) as f64 / (1u64 << 53) as f64
    }

    /// Whether something happens that does so in `share` of all cases.
    pub const fn happens(&mut self, share: f64) -> bool {
        self.share() < share
    }

    /// One of some things, which are not none.
    pub fn one<'a, T>(&mut self, of: &'a [T]) -> &'a T {
        &of[usize::try_from(self.below(of.len() as u64)).unwrap_or(0)]
    }

    /// A number around a middle that half of all are below, and now and then far above: `spread` is the sigma of the
    /// logarithm.
    pub fn around(&mut self, middle: f64, spread: f64) -> f64 {
        // Sum of twelve: close enough to a normal distribution.
        let normal = (0..12).map(|_| self.share()).sum::<f64>() - 6.0;
        middle * (normal * spread).exp()
    }

    /// The same as a whole number.
    #[allow(
        clippy::cast_possible_truncation,
        clippy::cast_sign_loss,
        reason = "it saturates"
    )]
    pub fn count(&mut self, middle: f64, spread: f64) -> u64 {
        self.around(middle, spread) as u64
    }

    /// Place of a draw in sums of weights, which grow.
    pub fn place(&mut self, sums: &[f64]) -> usize {
        let whole = sums.last().copied().unwrap_or_default();
        let drawn = self.share() * whole;
        sums.partition_point(|sum| *sum <= drawn)
            .min(sums.len().saturating_sub(1))
    }
}

/// Sums of weights up to each, for [`Draw::place`].
pub(super) fn sums(weights: impl IntoIterator<Item = f64>) -> Vec<f64> {
    weights
        .into_iter()
        .scan(0.0, |sum, weight| {
            *sum += weight;
            Some(*sum)
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn draws_come_again_and_follow_their_weights() {
        let (mut a, mut b) = (Draw::new(7), Draw::new(7));
        assert!((0..100).all(|_| a.next() == b.next()));
        assert!(Draw::new(8).next() != Draw::new(7).next());
        let sums = sums([1.0, 0.0, 3.0]);
        let mut counts = [0u32; 3];
        for _ in 0..10_000 {
            counts[a.place(&sums)] += 1;
            assert!(a.below(5) < 5 && a.share() < 1.0);
        }
        assert_eq!(counts[1], 0);
        assert!((2_200..2_800).contains(&counts[0]), "{counts:?}");
        let middle = (0..1_001).filter(|_| a.around(10.0, 0.8) < 10.0).count();
        assert!((430..570).contains(&middle), "{middle}");
    }
}
