//! Who did what in the last two minutes: enough to begin a user's figures when somebody looks.
//!
//! Nothing is summed by user as long as nobody asks. A row of the log is a hash of the login and what one request added;
//! the log is bounded, and says how far it reaches back.

use std::collections::VecDeque;

use super::seconds::{SHOWN, Seconds, Sums};

/// Rows of the log: two minutes of 500 requests a second, about four megabytes at most.
const ROWS_MAX: usize = 1 << 16;

/// A login, hashed with a key of this process.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(crate) struct Who(pub(crate) u64);

#[derive(Debug)]
pub(crate) struct Lately {
    rows: VecDeque<(Who, u64, Sums)>,
    /// The newest second of a row that was pushed out.
    lost: Option<u64>,
}

impl Lately {
    pub(crate) const fn new() -> Self {
        Self {
            rows: VecDeque::new(),
            lost: None,
        }
    }

    /// Adds a row; rows that are out of sight, or too many, go.
    pub(crate) fn push(&mut self, who: Who, second: u64, sums: Sums) {
        while let Some((_, first, _)) = self.rows.front().copied() {
            let old = first.saturating_add(SHOWN) < second;
            if !old && self.rows.len() < ROWS_MAX {
                break;
            }
            self.rows.pop_front();
            if !old {
                self.lost = self.lost.max(Some(first));
            }
        }
        self.rows.push_back((who, second, sums));
    }

    /// What is known of somebody; `since` is when everybody's figures begin.
    pub(crate) fn of(&self, who: Who, since: u64) -> Seconds {
        let since = self.lost.map_or(since, |lost| since.max(lost.saturating_add(1)));
        let mut seconds = Seconds::new(since);
        for (_, second, sums) in self.rows.iter().filter(|(other, ..)| *other == who) {
            seconds.add(*second, *sums);
        }
        seconds
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const ONE: Sums = Sums {
        requests: 1,
        errors: 0,
        input: 0,
        output: 0,
        cost_nanousd: 0,
    };

    #[test]
    fn each_login_has_its_own_figures() {
        let mut log = Lately::new();
        for (who, second) in [(1, 10), (2, 10), (1, 11), (1, 11)] {
            log.push(Who(who), second, ONE);
        }
        let of = |who| -> Vec<u64> {
            let seconds = log.of(Who(who), 10);
            seconds.until(11).map(|(_, sums)| sums.requests).collect()
        };
        assert_eq!((of(1), of(2), of(3)), (vec![1, 2], vec![1, 0], vec![0, 0]));
    }

    #[test]
    fn the_log_is_bounded_and_says_how_far_it_reaches() {
        let mut log = Lately::new();
        for number in 0..ROWS_MAX as u64 + 5 {
            log.push(Who(number % 2), 100 + number / 40_000, ONE);
        }
        assert_eq!(log.rows.len(), ROWS_MAX);
        assert_eq!(
            log.of(Who(0), 50).since(),
            101,
            "second 100 is not whole any more"
        );
        // Two minutes later everything before is out of sight, and nothing is lost by that.
        log.push(Who(0), 500, ONE);
        assert_eq!(log.rows.len(), 1);
        assert_eq!(log.of(Who(0), 450).since(), 450);
    }
}
