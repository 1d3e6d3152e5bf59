//! How fast buckets are used up, and what was in them.

use std::sync::Arc;

use axum::Json;
use axum::extract::{Path, State};
use axum::http::Uri;
use serde_json::{Value, json};
use sluice_shared::quota::{Rate, Terms, unsigned};
use sluice_shared::units::UnixMicros;

use super::super::Shown;
use super::super::parameters::{Parameters, show_time};
use super::super::principal::Principal;
use super::super::problem::Problem;
use super::own::View;
use super::{members, named};
use crate::store::BucketRow;
use crate::store::samples::{COARSE_S, FINE_S, Sample};

const KNOWN: [&str; 3] = ["since", "until", "step"];
const HOUR_US: u64 = 3_600_000_000;
/// Shortest time that says how fast a bucket is used.
const WINDOW_US_MIN: u64 = FINE_S * 1_000_000;
/// Most points of an answer.
const POINTS_MAX: usize = 1_500;

/// What was charged lately.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Burn {
    /// In an hour, in the smallest amount of the unit.
    pub(super) per_h: u64,
    /// Seconds that it was looked at.
    pub(super) window_s: u64,
}

impl Burn {
    /// What was charged since a sample that is the last one of more than an hour ago, or else the first one.
    fn since(sample: &Sample, charged: u64, now: UnixMicros) -> Option<Self> {
        let age = now.0.checked_sub(sample.time.0)?;
        // A sample from long before: nothing was charged between it and an hour ago.
        let window = if age > HOUR_US + WINDOW_US_MIN {
            HOUR_US
        } else {
            age
        };
        if window < WINDOW_US_MIN {
            return None;
        }
        let used = u128::from(charged.checked_sub(sample.charged)?);
        let per_h = used
            .saturating_mul(u128::from(HOUR_US))
            .checked_div(u128::from(window))?;
        Some(Self {
            per_h: u64::try_from(per_h).unwrap_or(u64::MAX),
            window_s: window / 1_000_000,
        })
    }

    pub(super) fn show(&self) -> Value {
        json!({ "per_h": self.per_h, "window_s": self.window_s })
    }
}

/// When a bucket is empty if it is used as it was lately; `None`: it is refilled as fast.
pub(super) fn empty_at(burn: Burn, terms: &Terms, balance: i64, now: UnixMicros) -> Option<UnixMicros> {
    let Rate { amount, per_us } = terms.rate;
    // Amount × microseconds, so that nothing is rounded.
    let used = u128::from(burn.per_h).saturating_mul(u128::from(per_us.max(1)));
    let refilled = if per_us == 0 {
        0
    } else {
        u128::from(amount).saturating_mul(u128::from(HOUR_US))
    };
    let net = used.checked_sub(refilled).filter(|net| *net > 0)?;
    let left = u128::from(unsigned(balance))
        .saturating_mul(u128::from(HOUR_US))
        .saturating_mul(u128::from(per_us.max(1)));
    let us = u64::try_from(left.checked_div(net)?).ok()?;
    now.0.checked_add(us).map(UnixMicros)
}

/// How fast each of some buckets is used.
pub(super) async fn of(
    shown: &Shown,
    rows: &[BucketRow],
    now: UnixMicros,
) -> Result<Vec<Option<Burn>>, Problem> {
    let ids: Vec<u64> = rows.iter().map(|row| row.id).collect();
    let hour_ago = UnixMicros(now.0.saturating_sub(HOUR_US));
    let samples = shown.store.samples_before(&ids, hour_ago).await?;
    let burn = |(row, sample): (&BucketRow, Option<Sample>)| Burn::since(&sample?, row.account.charged, now);
    Ok(rows.iter().zip(samples).map(burn).collect())
}

/// `GET /api/quotas/{id}/history`.
pub(in super::super) async fn history(
    State(shown): State<Arc<Shown>>,
    principal: Principal,
    Path(id): Path<String>,
    uri: Uri,
) -> Result<Json<Value>, Problem> {
    let parameters = Parameters::read(&uri, &KNOWN)?;
    let now = shown.ledger.now();
    let until = parameters.time("until")?.unwrap_or(now);
    let since = parameters.time("since")?;
    let since = since.unwrap_or_else(|| UnixMicros(until.0.saturating_sub(24 * HOUR_US)));
    let asked = match parameters.text("step") {
        None => None,
        Some("5m") => Some(FINE_S),
        Some("hour") => Some(COARSE_S),
        Some("day") => Some(86_400),
        Some(_) => return Err(Problem::bad_parameter("step", "must be one of 5m, hour, day")),
    };
    let none = || Problem::not_found("there is no such bucket");
    let id: u64 = id.parse().map_err(|_| none())?;
    let row = shown.store.bucket(id, now).await?.ok_or_else(none)?;
    if !View::of(&principal, &shown)?.shows(&row.bucket) {
        return Err(none());
    }
    let mut samples = shown.store.samples(id, since, until, now).await?;
    if until >= now {
        // What it is at this moment.
        samples.push(Sample {
            time: now,
            balance: row.account.balance,
            charged: row.account.charged,
        });
    }
    let (step, samples) = thinned(samples, asked);
    let points: Vec<Value> = samples
        .iter()
        .map(|sample| {
            json!({ "time": show_time(sample.time), "balance": sample.balance, "charged": sample.charged })
        })
        .collect();
    let mut out = named(&row.bucket);
    out.extend(members(json!({
        "id": row.id,
        "capacity": row.account.terms.capacity,
        "since": show_time(since),
        "until": show_time(until),
        "step_s": step,
        "points": points,
    })));
    Ok(Json(Value::Object(out)))
}

/// The last sample of each step; steps are longer than asked for where there would be too many points.
fn thinned(samples: Vec<Sample>, asked: Option<u64>) -> (u64, Vec<Sample>) {
    for step in [FINE_S, COARSE_S, 4 * COARSE_S, 86_400] {
        if asked.is_some_and(|asked| step < asked) {
            continue;
        }
        let mut out: Vec<Sample> = Vec::new();
        let slot = |sample: &Sample| sample.time.0 / 1_000_000 / step;
        for sample in &samples {
            match out.last_mut().filter(|last| slot(last) == slot(sample)) {
                Some(last) => *last = *sample,
                None => out.push(*sample),
            }
        }
        if out.len() <= POINTS_MAX || step == 86_400 {
            return (step, out);
        }
    }
    (FINE_S, samples)
}

#[cfg(test)]
mod tests {
    use super::*;

    const DAY: u64 = 24 * HOUR_US;
    const NOW: UnixMicros = UnixMicros(10 * DAY);

    #[test]
    fn what_was_charged_is_told_by_the_hour() {
        let check = |minutes: u64, before: u64, expected: Option<(u64, u64)>| {
            let sample = Sample {
                time: UnixMicros(NOW.0 - minutes * 60_000_000),
                balance: 0,
                charged: before,
            };
            let found = Burn::since(&sample, 1_000, NOW).map(|burn| (burn.per_h, burn.window_s));
            assert_eq!(found, expected, "{minutes} {before}");
        };
        check(60, 400, Some((600, 3_600)));
        check(30, 400, Some((1_200, 1_800)));
        check(64, 360, Some((600, 3_840)));
        check(600, 400, Some((600, 3_600)));
        check(5, 1_000, Some((0, 300)));
        check(4, 400, None);
        check(60, 2_000, None);
    }

    #[test]
    fn a_bucket_runs_out_if_it_is_used_faster_than_refilled() {
        let check = |per_h: u64, rate: (u64, u64), balance: i64, expected: Option<u64>| {
            let burn = Burn {
                per_h,
                window_s: 3_600,
            };
            let terms = Terms {
                capacity: 1_000,
                rate: Rate {
                    amount: rate.0,
                    per_us: rate.1,
                },
            };
            let found = empty_at(burn, &terms, balance, NOW).map(|time| time.0 - NOW.0);
            assert_eq!(found, expected, "{per_h} {rate:?} {balance}");
        };
        check(100, (0, 0), 300, Some(3 * HOUR_US));
        check(100, (50, HOUR_US), 300, Some(6 * HOUR_US));
        check(100, (100, HOUR_US), 300, None);
        check(100, (2_400, DAY), 300, None);
        check(101, (2_400, DAY), 300, Some(300 * HOUR_US));
        check(100, (0, DAY), 0, Some(0));
        check(100, (0, DAY), -5, Some(0));
        check(0, (0, 0), 300, None);
        check(1, (0, 0), i64::MAX, None);
        check(u64::MAX, (1 << 60, 1), 1, None);
    }
}
