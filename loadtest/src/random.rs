//! Random numbers that come again with their seed.

/// Small, seedable, good enough to choose moments.
pub struct Random(u64);

impl Random {
    /// The numbers of this seed.
    #[must_use]
    pub const fn new(seed: u64) -> Self {
        Self(seed | 1)
    }

    /// A number from `low` up to and with `high`.
    pub fn between(&mut self, low: u64, high: u64) -> u64 {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        low + self.0 % (high.saturating_sub(low) + 1)
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;

    #[test]
    fn random_numbers_stay_within_and_vary() {
        let mut random = Random::new(7);
        let drawn: BTreeSet<u64> = (0..100).map(|_| random.between(3, 9)).collect();
        assert_eq!(drawn, (3..=9).collect());
    }
}
