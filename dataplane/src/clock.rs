//! The two clocks. Limits count [`mono_now`], records bear [`unix_now`].

use std::sync::OnceLock;
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use sluice_shared::units::{MonoMicros, UnixMicros};

static START: OnceLock<Instant> = OnceLock::new();

/// Offset of the process's first reading, so that "long ago" can be subtracted without reaching 0.
const FIRST_US: u64 = 1_000_000;

/// Monotonic time, comparable between all threads of this process.
#[must_use]
pub fn mono_now() -> MonoMicros {
    let elapsed = START.get_or_init(Instant::now).elapsed();
    MonoMicros(FIRST_US.saturating_add(micros(elapsed)))
}

/// Monotonic milliseconds for deadlines, a few of them late: read without a look at the hardware. Not comparable
/// with [`mono_now`].
#[must_use]
#[allow(
    unsafe_code,
    reason = "the coarse clock has no safe wrapper in the standard library"
)]
pub fn coarse_ms() -> u64 {
    let mut time = libc::timespec {
        tv_sec: 0,
        tv_nsec: 0,
    };
    // SAFETY: the kernel fills `time`; the clock exists since Linux 2.6.32.
    unsafe { libc::clock_gettime(libc::CLOCK_MONOTONIC_COARSE, &raw mut time) };
    let seconds = u64::try_from(time.tv_sec).unwrap_or(0);
    let nanos = u64::try_from(time.tv_nsec).unwrap_or(0);
    seconds
        .saturating_mul(1_000)
        .saturating_add(nanos / 1_000_000)
        .saturating_add(1_000)
}

/// Wall-clock time, for records only; 0 if the clock stands before 1970.
#[must_use]
pub fn unix_now() -> UnixMicros {
    UnixMicros(micros(
        SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default(),
    ))
}

/// A duration in whole microseconds, stopping at the largest.
#[must_use]
pub fn micros(duration: Duration) -> u64 {
    u64::try_from(duration.as_micros()).unwrap_or(u64::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn time_begins_above_zero_and_never_runs_back() {
        let first = mono_now();
        assert!(first.0 >= FIRST_US);
        assert!((0..1_000).map(|_| mono_now()).is_sorted());
        assert!(unix_now().0 > 1_600_000_000_000_000);
        assert_eq!(micros(Duration::MAX), u64::MAX);
    }
}
