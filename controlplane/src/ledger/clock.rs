//! The ledger's clock: the time of day when the process began, and from then on a clock that nobody sets.

use std::time::Instant;

use sluice_shared::units::UnixMicros;

use crate::reload::now;

/// Tells by what time buckets are refilled. Never goes back within a process.
pub(crate) enum Clock {
    /// Time of day at a moment.
    Anchored(UnixMicros, Instant),
    /// What a test says.
    #[cfg(test)]
    Set(std::sync::Arc<std::sync::atomic::AtomicU64>),
}

impl Clock {
    /// Begins with the time of day.
    pub(crate) fn start() -> Self {
        Self::Anchored(now(), Instant::now())
    }

    pub(crate) fn now(&self) -> UnixMicros {
        match self {
            Self::Anchored(time, moment) => {
                let since = u64::try_from(moment.elapsed().as_micros()).unwrap_or(u64::MAX);
                UnixMicros(time.0.saturating_add(since))
            }
            #[cfg(test)]
            Self::Set(time) => UnixMicros(time.load(std::sync::atomic::Ordering::Relaxed)),
        }
    }
}
