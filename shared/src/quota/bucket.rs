//! Ceiling and refill of a bucket, exact to the smallest amount.

use rkyv::{Archive, Deserialize, Serialize};

use super::{AMOUNT_MAX, signed};

/// A continuous refill: `amount` every `per_us` microseconds.
#[derive(Archive, Serialize, Deserialize, Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
#[rkyv(derive(Debug))]
pub struct Rate {
    /// Smallest amounts of the unit, at most [`AMOUNT_MAX`]; 0: never refilled.
    pub amount: u64,
    /// Microseconds; 0 counts as never.
    pub per_us: u64,
}

impl Rate {
    /// Never refilled.
    pub const NONE: Self = Self { amount: 0, per_us: 0 };

    /// Microseconds until `amount` has been refilled, rounded up; `None`: never.
    #[must_use]
    pub fn time_for(self, amount: u64) -> Option<u64> {
        if amount == 0 {
            return Some(0);
        }
        if self.per_us == 0 {
            return None;
        }
        let us = u128::from(amount)
            .saturating_mul(u128::from(self.per_us))
            .checked_add(u128::from(self.amount).saturating_sub(1))?
            .checked_div(u128::from(self.amount))?;
        Some(u64::try_from(us).unwrap_or(u64::MAX))
    }

    /// A part of it, in millionths, rounded down; a million or more is all of it.
    #[must_use]
    pub fn share(self, ppm: u32) -> Self {
        if ppm >= WHOLE_PPM {
            return self;
        }
        // The amount stays whole and the time grows, so that nothing is rounded, unless a number became too large.
        let common = gcd(ppm, WHOLE_PPM);
        let parts = u64::from(ppm.checked_div(common).unwrap_or(0));
        let of = u64::from(WHOLE_PPM.checked_div(common).unwrap_or(1));
        match (self.amount.checked_mul(parts), self.per_us.checked_mul(of)) {
            (Some(0), _) => Self::NONE,
            (Some(amount), Some(per_us)) => Self { amount, per_us },
            _ => {
                let amount = u128::from(self.amount).saturating_mul(u128::from(parts));
                Self {
                    // Never more than the whole, since `parts` is below `of`.
                    amount: u64::try_from(amount.checked_div(u128::from(of)).unwrap_or(0)).unwrap_or(0),
                    per_us: self.per_us,
                }
            }
        }
    }

    /// How much of `whole` this is, in millionths, rounded up and at most a million.
    #[must_use]
    pub fn part_of(self, whole: Self) -> u32 {
        if self.amount == 0 || self.per_us == 0 {
            return 0;
        }
        let mine = u128::from(self.amount).saturating_mul(u128::from(whole.per_us));
        let all = u128::from(whole.amount).saturating_mul(u128::from(self.per_us));
        if mine >= all {
            return WHOLE_PPM;
        }
        // A product that does not fit counts as the whole, which promises too little to others and never too much.
        let up = mine
            .checked_mul(u128::from(WHOLE_PPM))
            .and_then(|up| up.checked_add(all.saturating_sub(1)))
            .and_then(|up| up.checked_div(all));
        up.and_then(|up| u32::try_from(up).ok())
            .unwrap_or(WHOLE_PPM)
            .min(WHOLE_PPM)
    }
}

/// All of a refill, in millionths.
pub(super) const WHOLE_PPM: u32 = 1_000_000;

/// Largest common divisor; of two numbers of which one is 0: the other.
const fn gcd(mut a: u32, mut b: u32) -> u32 {
    while let Some(rest) = a.checked_rem(b) {
        a = b;
        b = rest;
    }
    a
}

/// What a bucket may hold and how it is refilled.
#[derive(Archive, Serialize, Deserialize, Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
#[rkyv(derive(Debug))]
pub struct Terms {
    /// Ceiling and starting balance, at most [`AMOUNT_MAX`].
    pub capacity: u64,
    /// Refill.
    pub rate: Rate,
}

impl Terms {
    /// The ceiling as a balance.
    #[must_use]
    pub const fn ceiling(&self) -> i64 {
        signed(self.capacity)
    }
}

/// The part of a refill that has not made a whole amount yet, so that a thousand small refills are one large one.
#[derive(Archive, Serialize, Deserialize, Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Accrual {
    /// Amount × microseconds, below `per_us` of the rate it was gathered under.
    pub remainder: u64,
}

impl Accrual {
    /// What `elapsed_us` microseconds at this rate bring, at most [`AMOUNT_MAX`].
    pub fn take(&mut self, rate: Rate, elapsed_us: u64) -> u64 {
        if rate.per_us == 0 || rate.amount == 0 {
            self.remainder = 0;
            return 0;
        }
        let total = u128::from(rate.amount)
            .saturating_mul(u128::from(elapsed_us))
            .saturating_add(u128::from(self.remainder));
        let per = u128::from(rate.per_us);
        let whole = total.checked_div(per).unwrap_or(0);
        let rest = total.checked_rem(per).unwrap_or(0);
        self.remainder = u64::try_from(rest).unwrap_or(0);
        u64::try_from(whole).unwrap_or(AMOUNT_MAX).min(AMOUNT_MAX)
    }

    /// Forgets the part: the bucket is full, or its rate has changed.
    pub fn clear(&mut self) {
        self.remainder = 0;
    }
}
