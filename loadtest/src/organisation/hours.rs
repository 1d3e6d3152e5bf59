//! How the requests of some weeks fall on hours.

/// Micros of an hour.
pub(super) const HOUR_US: u64 = 3_600_000_000;

/// Where people work: hours east of UTC, and their share.
pub(super) const REGIONS: [(i64, f64); 3] = [(1, 0.45), (-5, 0.35), (8, 0.20)];

/// What an hour of the day weighs where people live, from midnight.
const DAY: [f64; 24] = [
    0.03, 0.02, 0.01, 0.01, 0.01, 0.02, 0.06, 0.2, 0.55, 0.95, 1.0, 0.95, 0.65, 0.85, 1.0, 0.98, 0.85, 0.6,
    0.32, 0.22, 0.2, 0.16, 0.1, 0.05,
];

/// Weight of a local hour; hours are counted from the beginning of 1970, a Thursday.
fn local(hour: i64) -> f64 {
    let day = hour.div_euclid(24);
    let weekday = (day + 3).rem_euclid(7);
    let of_day = DAY[usize::try_from(hour.rem_euclid(24)).unwrap_or(0)];
    // Saturday and Sunday; machines go on.
    let week = if weekday >= 5 { 0.1 } else { 1.0 };
    0.015 + of_day * week
}

/// Weight of an hour, counted from the beginning of 1970, in each region.
pub(super) fn weights(hour: u64) -> [f64; 3] {
    let hour = i64::try_from(hour).unwrap_or(0);
    REGIONS.map(|(east, share)| local(hour + east) * share)
}

/// Requests of each hour from `first` on, so that there are `requests` in all; use grows over time by about a half.
#[allow(
    clippy::cast_precision_loss,
    clippy::cast_possible_truncation,
    clippy::cast_sign_loss,
    reason = "counts are small"
)]
pub(super) fn spread(first: u64, hours: u64, requests: u64) -> Vec<u64> {
    let weight = |at: u64| {
        let grown = 0.65 + 0.35 * at as f64 / hours.max(1) as f64;
        weights(first + at).iter().sum::<f64>() * grown
    };
    let whole: f64 = (0..hours).map(weight).sum();
    let (mut sum, mut given) = (0.0, 0u64);
    let mut out = Vec::new();
    for at in 0..hours {
        sum += weight(at);
        let upto = (sum / whole * requests as f64).round() as u64;
        let upto = if at + 1 == hours {
            requests
        } else {
            upto.min(requests)
        };
        out.push(upto - given);
        given = upto;
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn all_requests_have_an_hour_and_most_a_working_one() {
        // 2026-11-16, a Monday, 00:00 UTC.
        let monday = 1_794_787_200 / 3_600;
        let spread = spread(monday, 7 * 24, 1_000_001);
        assert_eq!(spread.iter().sum::<u64>(), 1_000_001);
        let day = |day: usize| spread[day * 24..][..24].iter().sum::<u64>();
        assert!(day(1) > 4 * day(5) && day(1) > 4 * day(6), "{spread:?}");
        let tuesday = &spread[24..48];
        assert!(
            tuesday.iter().max() > tuesday.iter().min().map(|least| least * 3).as_ref(),
            "{tuesday:?}"
        );
    }
}
