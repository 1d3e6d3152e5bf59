//! A period of whole hours in equal steps, as sums over hours are shown.

use sluice_shared::units::UnixMicros;

use super::parameters::{Parameters, show_time};
use super::problem::Problem;

/// Most steps of an answer.
pub(super) const STEPS_MAX: u64 = 1_500;
const HOUR: u64 = 3_600;
const DAY: u64 = 86_400;
/// Longest period that is shown by hours if no step is asked for.
const HOURLY_MAX: u64 = 4 * DAY;

/// Hours from `from` up to and without `to`, in Unix seconds.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Period {
    pub(super) from: u64,
    pub(super) to: u64,
    pub(super) step: u64,
    /// It reaches up to now.
    pub(super) open: bool,
}

impl Period {
    /// Reads `since`, `until` and `step`; without `since` the last `days`.
    pub(super) fn read(parameters: &Parameters, now: UnixMicros, days: u64) -> Result<Self, Problem> {
        let now = now.0 / 1_000_000;
        let until = parameters.time("until")?.map(|time| time.0.div_ceil(1_000_000));
        let to = until.unwrap_or(now).div_ceil(HOUR).saturating_mul(HOUR);
        let since = parameters.time("since")?.map(|time| time.0 / 1_000_000);
        let from = since.unwrap_or_else(|| to.saturating_sub(days.saturating_mul(DAY))) / HOUR * HOUR;
        let step = match parameters.text("step") {
            None if to.saturating_sub(from) <= HOURLY_MAX => HOUR,
            None | Some("day") => DAY,
            Some("hour") => HOUR,
            Some(_) => return Err(Problem::bad_parameter("step", "must be one of hour, day")),
        };
        let period = Self {
            from,
            to: to.max(from),
            step,
            open: to >= now,
        };
        if period.steps() > STEPS_MAX {
            return Err(Problem::bad_parameter(
                "step",
                format_args!(
                    "makes more than {STEPS_MAX} points of the period; choose a longer step or a shorter period"
                ),
            ));
        }
        Ok(period)
    }

    fn steps(&self) -> u64 {
        let first = self.from / self.step;
        self.to.div_ceil(self.step).saturating_sub(first)
    }

    /// Beginnings of its steps, in Unix seconds.
    pub(super) fn starts(&self) -> impl Iterator<Item = u64> + use<> {
        let (first, step) = (self.from / self.step, self.step);
        (first..first.saturating_add(self.steps())).map(move |at| at.saturating_mul(step))
    }

    /// The same as they are shown.
    pub(super) fn times(&self) -> Vec<String> {
        self.starts().map(show_second).collect()
    }

    /// The word of its step.
    pub(super) const fn step_name(&self) -> &'static str {
        if self.step == DAY { "day" } else { "hour" }
    }
}

/// A second as it is shown.
pub(super) fn show_second(second: u64) -> String {
    show_time(UnixMicros(second.saturating_mul(1_000_000)))
}

#[cfg(test)]
mod tests {
    use axum::http::Uri;

    use super::*;

    /// 2026-11-22T10:30:00Z
    const NOW: UnixMicros = UnixMicros(1_795_343_400_000_000);

    fn read(query: &str) -> Result<Period, Problem> {
        let uri: Uri = format!("/x?{query}").parse().unwrap();
        let parameters = Parameters::read(&uri, &["since", "until", "step"]).unwrap();
        Period::read(&parameters, NOW, 1)
    }

    #[test]
    fn periods_are_whole_hours_that_hold_what_was_asked_for() {
        let check = |query: &str, from: &str, to: &str, step: &str, steps: usize, open: bool| {
            let period = read(query).unwrap();
            assert_eq!(
                (
                    show_second(period.from).get(..16),
                    show_second(period.to).get(..16)
                ),
                (Some(from), Some(to)),
                "{query}"
            );
            assert_eq!(
                (period.step_name(), period.times().len(), period.open),
                (step, steps, open),
                "{query}"
            );
        };
        check("", "2026-11-21T11:00", "2026-11-22T11:00", "hour", 24, true);
        check("step=day", "2026-11-21T11:00", "2026-11-22T11:00", "day", 2, true);
        check(
            "since=2026-11-22T09:59:59Z&until=2026-11-22T10:00:00Z",
            "2026-11-22T09:00",
            "2026-11-22T10:00",
            "hour",
            1,
            false,
        );
        check(
            "since=2026-10-01T00:00:00Z&until=2026-11-22T10:00:00.000001Z",
            "2026-10-01T00:00",
            "2026-11-22T11:00",
            "day",
            53,
            true,
        );
        check(
            "since=2026-11-23T00:00:00Z",
            "2026-11-23T00:00",
            "2026-11-23T00:00",
            "hour",
            0,
            true,
        );
    }

    #[test]
    fn periods_of_too_many_steps_are_refused() {
        assert!(read("since=0").is_err());
        assert!(read("step=hour&since=2026-09-01T00:00:00Z").is_err());
        assert!(read("step=hour&since=2026-10-01T00:00:00Z").is_ok());
        assert!(read("step=week").is_err());
        assert_eq!(read("until=18446744073709").unwrap().times().len(), 24);
    }
}
