//! Newtypes for quantities, so that microseconds are never added to money.

use rkyv::{Archive, Deserialize, Serialize};

/// Money in integer nanodollars: 1 USD = 1,000,000,000. Never floating point.
#[derive(
    Archive, Serialize, Deserialize, Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash,
)]
#[rkyv(derive(Debug))]
pub struct NanoUsd(pub u64);

impl NanoUsd {
    /// One US dollar.
    pub const USD: Self = Self(1_000_000_000);

    /// Sum that stops at the largest amount instead of wrapping.
    #[must_use]
    pub const fn saturating_add(self, other: Self) -> Self {
        Self(self.0.saturating_add(other.0))
    }
}

/// Wall-clock time in microseconds since 1970-01-01T00:00:00Z. For records only; limits count [`MonoMicros`].
#[derive(
    Archive, Serialize, Deserialize, Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash,
)]
#[rkyv(derive(Debug))]
pub struct UnixMicros(pub u64);

/// Monotonic time in microseconds since an arbitrary start, comparable within one process only.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct MonoMicros(pub u64);

impl MonoMicros {
    /// Microseconds from `earlier` to `self`; 0 if `earlier` is later, so a duration is never negative.
    #[must_use]
    pub const fn since(self, earlier: Self) -> u64 {
        self.0.saturating_sub(earlier.0)
    }
}
