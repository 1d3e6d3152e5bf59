//! How long to wait before a dead child is started again.

use std::time::Duration;

/// Pause before the first restart: short, since most deaths are single ones.
const FIRST: Duration = Duration::from_millis(50);
/// Longest pause: a child that cannot live must not eat the machine, and a gateway that is killed again and again must
/// be back within half a second each time.
const LONGEST: Duration = Duration::from_millis(400);
/// A child that lived this long was healthy; its next death counts as a first one.
const HEALTHY: Duration = Duration::from_secs(30);

/// The pause doubles from death to death, until a child lives long enough.
#[derive(Debug)]
pub(super) struct Backoff {
    next: Duration,
}

impl Backoff {
    /// No death yet.
    pub(super) const fn new() -> Self {
        Self { next: FIRST }
    }

    /// The pause after the death of a child that lived for `lived`.
    pub(super) fn pause(&mut self, lived: Duration) -> Duration {
        if lived >= HEALTHY {
            self.next = FIRST;
        }
        let pause = self.next;
        self.next = pause.saturating_mul(2).min(LONGEST);
        pause
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn doubles_to_a_ceiling_and_starts_over_after_health() {
        let mut backoff = Backoff::new();
        let mut pauses = Vec::new();
        for _ in 0..10 {
            pauses.push(backoff.pause(Duration::from_secs(1)).as_millis());
        }
        assert_eq!(pauses, [50, 100, 200, 400, 400, 400, 400, 400, 400, 400]);
        assert_eq!(backoff.pause(HEALTHY), FIRST);
        assert_eq!(backoff.pause(Duration::ZERO), FIRST * 2);
    }
}
