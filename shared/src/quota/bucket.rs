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

    /// A part of it, in millionths, rounded down; more than a million counts as one million.
    #[must_use]
    pub fn share(self, ppm: u32) -> Self {
        // The amount stays whole and the time grows: nothing is lost to rounding but below one amount a period.
        let ppm = u128::from(ppm.min(1_000_000));
        let amount = u128::from(self.amount).saturating_mul(ppm);
        let per_us = u128::from(self.per_us).saturating_mul(1_000_000);
        match (u64::try_from(amount), u64::try_from(per_us)) {
            (Ok(amount), Ok(per_us)) if amount > 0 => Self { amount, per_us },
            (_, _) if amount == 0 => Self::NONE,
            _ => Self {
                amount: u64::try_from(amount.checked_div(1_000_000).unwrap_or(0)).unwrap_or(AMOUNT_MAX),
                per_us: self.per_us,
            },
        }
    }
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
