//! How long a reader rests between looks: a gateway that nobody calls should cost nothing to speak of.

use std::time::{Duration, Instant};

/// After so long without anything the pauses become longer.
const QUIET_AFTER: Duration = Duration::from_secs(2);
/// How many times as long.
const QUIET: u32 = 4;

/// The pauses of a reader.
#[derive(Debug)]
pub(crate) struct Pace {
    idle: Duration,
    found: Instant,
}

impl Pace {
    /// Pauses of `idle` while something comes now and then.
    pub(crate) const fn new(idle: Duration, now: Instant) -> Self {
        Self { idle, found: now }
    }

    /// The pause behind a look that found something, or nothing.
    pub(crate) fn pause(&mut self, found: bool, now: Instant) -> Duration {
        if found {
            self.found = now;
        }
        if now.saturating_duration_since(self.found) < QUIET_AFTER {
            self.idle
        } else {
            self.idle * QUIET
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pauses_are_short_while_something_comes_and_long_when_nothing_does() {
        let (idle, begin) = (Duration::from_millis(40), Instant::now());
        let at = |ms: u64| begin + Duration::from_millis(ms);
        let mut pace = Pace::new(idle, begin);
        assert_eq!(pace.pause(false, at(1_999)), idle);
        assert_eq!(pace.pause(false, at(2_000)), 4 * idle);
        assert_eq!(pace.pause(true, at(9_000)), idle);
        assert_eq!(pace.pause(false, at(10_999)), idle);
        assert_eq!(pace.pause(false, at(11_000)), 4 * idle);
        assert_eq!(pace.pause(true, at(5_000)), idle, "a clock that stands");
    }
}
