//! `GET /api/usage/series`: sums over time, split by what they are of.

use std::sync::Arc;

use axum::Json;
use axum::extract::State;
use axum::http::Uri;
use serde_json::{Map, Value, json};
use sluice_shared::units::UnixMicros;

use super::Shown;
use super::parameters::{Parameters, show_time};
use super::principal::Principal;
use super::problem::Problem;
use super::usage::totals;
use crate::store::Totals;
use crate::store::series::{Series, SeriesAnswer, SeriesQuery, Split, Step, TIMES_MAX};

const KNOWN: [&str; 9] = [
    "step", "split", "since", "until", "user", "model", "provider", "top", "offset_s",
];
/// Series of an answer, unless asked otherwise, and at most.
const TOP: (u32, u32) = (8, 50);
/// Farthest zones, in hours west and east of UTC.
const ZONES: (i64, i64) = (-12, 14);

pub(super) async fn show(
    State(shown): State<Arc<Shown>>,
    principal: Principal,
    uri: Uri,
) -> Result<Json<Value>, Problem> {
    let parameters = Parameters::read(&uri, &KNOWN)?;
    let step = parameters
        .word("step", &Step::ALL, Step::name)?
        .unwrap_or(Step::Hour);
    let split = parameters
        .word("split", &Split::ALL, Split::name)?
        .unwrap_or(Split::None);
    let until = match parameters.time("until")? {
        Some(time) => time,
        None => shown.ledger.now(),
    };
    let until = (until.0 / 1_000_000).div_ceil(60).saturating_mul(60);
    let since = match parameters.time("since")? {
        Some(time) => time.0 / 60_000_000 * 60,
        None => until.saturating_sub(match step {
            Step::Minute => 3_600,
            Step::Hour => 86_400,
            Step::Day => 30 * 86_400,
        }),
    };
    let text = |name: &str| parameters.text(name).map(str::to_owned);
    let asked = text("user");
    let allowed = principal.may_ask_for(asked.as_deref());
    let query = SeriesQuery {
        step,
        split,
        since,
        until,
        user: principal.only(asked),
        model: text("model"),
        provider: text("provider"),
        top: usize::try_from(parameters.number("top", 1, TOP.1, TOP.0)?).unwrap_or(usize::MAX),
        offset_s: offset(&parameters)?,
    };
    if query.count() > TIMES_MAX {
        return Err(Problem::bad_parameter(
            "since",
            format_args!(
                "is too far from until: in steps of a {} there would be {} times, at most {TIMES_MAX} are answered",
                step.name(),
                query.count()
            ),
        ));
    }
    let times: Vec<String> = query.times().map(second).collect();
    let answer = if allowed {
        shown.store.series(&query).await?
    } else {
        nothing(times.len())
    };
    Ok(Json(json!({
        "step": step.name(),
        "split": split.name(),
        "since": second(query.since),
        "until": second(query.until),
        "offset_s": query.offset_s,
        "times": times,
        "total": series(&answer.total),
        "series": answer.series.iter().map(series).collect::<Vec<_>>(),
        "other": answer.other.as_ref().map(series),
    })))
}

/// Where days begin: seconds east of UTC, in whole hours.
pub(super) fn offset(parameters: &Parameters) -> Result<i64, Problem> {
    let Some(text) = parameters.text("offset_s") else {
        return Ok(0);
    };
    let digits = text.strip_prefix('-').unwrap_or(text);
    digits
        .parse::<i64>()
        .ok()
        .filter(|_| digits.bytes().all(|b| b.is_ascii_digit()))
        .map(|seconds| {
            if digits.len() == text.len() {
                seconds
            } else {
                -seconds
            }
        })
        .filter(|seconds| seconds % 3_600 == 0 && (ZONES.0..=ZONES.1).contains(&(seconds / 3_600)))
        .ok_or_else(|| {
            Problem::bad_parameter(
                "offset_s",
                format_args!(
                    "must be seconds east of UTC in whole hours, from {} to {}",
                    ZONES.0 * 3_600,
                    ZONES.1 * 3_600
                ),
            )
        })
}

/// A moment given in Unix seconds.
pub(super) fn second(second: u64) -> String {
    show_time(UnixMicros(second.saturating_mul(1_000_000)))
}

fn nothing(count: usize) -> SeriesAnswer {
    SeriesAnswer {
        total: Series {
            times: vec![Totals::default(); count],
            ..Series::default()
        },
        ..SeriesAnswer::default()
    }
}

fn series(series: &Series) -> Value {
    let list = |pick: fn(&Totals) -> u64| -> Value { series.times.iter().map(pick).collect() };
    let mut out = Map::new();
    out.insert("key".into(), json!(series.key));
    out.insert("totals".into(), totals(&series.totals).into());
    out.insert("requests".into(), list(|t| t.requests));
    out.insert("errors".into(), list(|t| t.errors));
    out.insert("input".into(), list(|t| t.input));
    out.insert("cached_read".into(), list(|t| t.cached_read));
    out.insert("output".into(), list(|t| t.output));
    out.insert("reasoning".into(), list(|t| t.reasoning));
    out.insert("cost_nanousd".into(), list(|t| t.cost_nanousd));
    out.insert("unpriced".into(), list(|t| t.unpriced));
    out.insert("unknown".into(), list(|t| t.unknown));
    out.into()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn zones_are_whole_hours_within_bounds() {
        let check = |text: &str, expected: Option<i64>| {
            let uri: Uri = format!("/x?offset_s={text}").parse().unwrap();
            let parameters = Parameters::read(&uri, &["offset_s"]).unwrap();
            assert_eq!(offset(&parameters).ok(), expected, "{text}");
        };
        check("", Some(0));
        check("0", Some(0));
        check("7200", Some(7_200));
        check("-18000", Some(-18_000));
        check("-43200", Some(-43_200));
        check("50400", Some(50_400));
        for refused in [
            "54000",
            "-46800",
            "1800",
            "--3600",
            "+3600",
            "1e3",
            "-",
            "99999999999999999999",
        ] {
            check(refused, None);
        }
    }
}
