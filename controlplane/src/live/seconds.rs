//! What happened in each second, for the last two minutes.

use sluice_shared::units::UnixMicros;
use sluice_shared::usage::UsageRecord;

use crate::store::is_error;

/// Seconds that are shown of the past.
pub(crate) const SHOWN: u64 = 120;
/// Seconds that are kept: those shown, and some that have not ended yet by one clock or the other.
const KEPT: usize = 128;

/// Sums over the requests that ended in one second. Unknown counts add nothing.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(crate) struct Sums {
    pub(crate) requests: u64,
    /// As everywhere: answered with 400 or more, failed upstream or aborted.
    pub(crate) errors: u64,
    pub(crate) input: u64,
    pub(crate) output: u64,
    pub(crate) cost_nanousd: u64,
}

impl Sums {
    /// What one request adds.
    pub(crate) fn of(record: &UsageRecord) -> Self {
        Self {
            requests: 1,
            errors: u64::from(is_error(record.status, record.ended)),
            input: record.usage.input.unwrap_or(0),
            output: record.usage.output.unwrap_or(0),
            cost_nanousd: record.cost.map_or(0, |cost| cost.0),
        }
    }

    pub(crate) fn add(&mut self, more: Self) {
        let Self {
            requests,
            errors,
            input,
            output,
            cost_nanousd,
        } = more;
        for (sum, more) in [
            (&mut self.requests, requests),
            (&mut self.errors, errors),
            (&mut self.input, input),
            (&mut self.output, output),
            (&mut self.cost_nanousd, cost_nanousd),
        ] {
            *sum = sum.saturating_add(more);
        }
    }
}

/// The second in which a request ended, by the clock of its data plane.
pub(crate) const fn end_of(record: &UsageRecord) -> u64 {
    record.time.0.saturating_add(record.duration_us) / 1_000_000
}

/// The second of a moment.
pub(crate) const fn second_of(time: UnixMicros) -> u64 {
    time.0 / 1_000_000
}

/// A ring of seconds.
#[derive(Debug)]
pub(crate) struct Seconds {
    /// Number of the second and its sums, at the place of its number.
    ring: Box<[(u64, Sums); KEPT]>,
    /// The first second of which everything is known.
    since: u64,
}

impl Seconds {
    /// Of which everything is known from `since` on.
    pub(crate) fn new(since: u64) -> Self {
        Self {
            ring: Box::new([(0, Sums::default()); KEPT]),
            since,
        }
    }

    pub(crate) const fn since(&self) -> u64 {
        self.since
    }

    /// Everything is known from here on.
    pub(crate) const fn set_since(&mut self, since: u64) {
        self.since = since;
    }

    /// Adds to a second; to one that has left the ring nothing is added.
    pub(crate) fn add(&mut self, second: u64, sums: Sums) {
        let Some((number, sum)) = self.ring.get_mut(place(second)) else {
            return;
        };
        if *number < second {
            (*number, *sum) = (second, Sums::default());
        }
        if *number == second {
            sum.add(sums);
        }
    }

    /// What happened in a second; nothing, if it has left the ring.
    pub(crate) fn get(&self, second: u64) -> Sums {
        let found = self.ring.get(place(second));
        found
            .filter(|(number, _)| *number == second)
            .map(|(_, sums)| *sums)
            .unwrap_or_default()
    }

    /// The seconds up to `last` of which everything is known, at most [`SHOWN`], oldest first.
    pub(crate) fn until(&self, last: u64) -> impl Iterator<Item = (u64, Sums)> + '_ {
        let from = last.saturating_sub(SHOWN - 1).max(self.since);
        (from..=last).map(|second| (second, self.get(second)))
    }

    /// Sums of the seconds up to `last`, at most so many of them, and how many they are.
    pub(crate) fn span(&self, last: u64, seconds: u64) -> (Sums, u64) {
        let from = last.saturating_sub(seconds.saturating_sub(1)).max(self.since);
        let mut sum = Sums::default();
        (from..=last).for_each(|second| sum.add(self.get(second)));
        (sum, last.saturating_add(1).saturating_sub(from))
    }
}

fn place(second: u64) -> usize {
    // Always fits: it is smaller than `KEPT`.
    usize::try_from(second % KEPT as u64).unwrap_or(0)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn requests(count: u64) -> Sums {
        Sums {
            requests: count,
            ..Sums::default()
        }
    }

    #[test]
    fn a_second_leaves_the_ring_and_never_counts_for_another() {
        let mut seconds = Seconds::new(1_000);
        seconds.add(1_000, requests(1));
        seconds.add(1_000, requests(2));
        assert_eq!(seconds.get(1_000), requests(3));
        seconds.add(1_000 + KEPT as u64, requests(5));
        assert_eq!(seconds.get(1_000), requests(0));
        seconds.add(1_000, requests(7));
        assert_eq!(seconds.get(1_000 + KEPT as u64), requests(5));
        assert_eq!(seconds.get(1_000), requests(0), "too late");
    }

    #[test]
    fn only_known_seconds_are_shown() {
        let mut seconds = Seconds::new(1_000);
        seconds.add(1_001, requests(4));
        let shown: Vec<_> = seconds.until(1_002).collect();
        assert_eq!(
            shown,
            [(1_000, requests(0)), (1_001, requests(4)), (1_002, requests(0))]
        );
        assert_eq!(seconds.until(999).count(), 0);
        assert_eq!(seconds.until(5_000).count() as u64, SHOWN);
        assert_eq!(seconds.span(1_002, 10), (requests(4), 3));
        assert_eq!(seconds.span(1_002, 1), (requests(0), 1));
        assert_eq!(seconds.span(999, 10), (requests(0), 0));
    }
}
