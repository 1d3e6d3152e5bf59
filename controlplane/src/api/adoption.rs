//! Who uses the gateway: active users over time, how use is spread among them, and what each of them did.

use std::fmt::Write as _;
use std::sync::Arc;

use axum::Json;
use axum::extract::State;
use axum::http::{Uri, header};
use axum::response::{IntoResponse as _, Response};
use serde_json::{Value, json};
use sluice_shared::units::UnixMicros;

use super::Shown;
use super::parameters::{Parameters, show_time};
use super::problem::Problem;
use super::series::{offset, second};
use super::sorted::{Entry, Sort, Wanted};
use crate::export::table::cell as csv_text;
use crate::store::Totals;
use crate::store::adoption::{DAY, Days, UserUse};
use crate::store::people::PersonRow;

/// Days that are counted where nothing is said, and at most.
const DAYS: (u64, u64) = (30, 400);
/// Sorts of the list of users.
const SORTS: [Sort; 6] = [
    Sort::Cost,
    Sort::Requests,
    Sort::Tokens,
    Sort::Days,
    Sort::Last,
    Sort::Login,
];
/// Where the classes of costs begin behind the first one, in nanodollars: a cent, three, ten, …
const CENT: u64 = 10_000_000;

/// `GET /api/adoption`.
pub(super) async fn show(State(shown): State<Arc<Shown>>, uri: Uri) -> Result<Json<Value>, Problem> {
    let parameters = Parameters::read(&uri, &["since", "until", "offset_s"])?;
    let offset_s = offset(&parameters)?;
    let days = period(&parameters, offset_s, shown.ledger.now())?;
    let found = shown.store.adoption(days).await?;
    let [day, week, month] = found.active_last;
    let on_days = found.days.iter().map(|day| {
        json!({
            "time": second(day.time),
            "active": day.active,
            "active_7d": day.active_7d,
            "active_30d": day.active_30d,
            "new": day.new,
            "requests": day.requests,
        })
    });
    let models = found.models.iter().map(|model| {
        let sums = &model.group.totals;
        json!({
            "model": model.group.key,
            "users": model.users,
            "requests": sums.requests,
            "input": sums.input,
            "output": sums.output,
            "cost_nanousd": sums.cost_nanousd,
        })
    });
    let requests = classes(1, found.users.iter().map(|sums| sums.requests));
    let requests = requests
        .iter()
        .map(|(from, to, users)| json!({ "from": from, "to": to, "users": users }));
    let known = found.users.iter().filter(|sums| !cost_unknown(sums));
    let cost = classes(CENT, known.map(|sums| sums.cost_nanousd));
    let cost = cost
        .iter()
        .map(|(from, to, users)| json!({ "from_nanousd": from, "to_nanousd": to, "users": users }));
    Ok(Json(json!({
        "since": second(days.since),
        "until": second(days.until),
        "offset_s": offset_s,
        "users": {
            "total": found.total,
            "active_1d": day,
            "active_7d": week,
            "active_30d": month,
            "active": found.active,
            "new": found.new,
        },
        "days": on_days.collect::<Vec<_>>(),
        "distribution": {
            "requests": requests.collect::<Vec<_>>(),
            "cost": cost.collect::<Vec<_>>(),
            "cost_unknown": found.users.iter().filter(|sums| cost_unknown(sums)).count(),
        },
        "models": models.collect::<Vec<_>>(),
    })))
}

/// Whether none of the requests whose cost somebody should know has one.
const fn cost_unknown(sums: &Totals) -> bool {
    sums.cost_nanousd == 0 && (sums.unknown > 0 || sums.unpriced > 0)
}

/// Whole days of a zone that hold what is asked for.
fn period(parameters: &Parameters, offset_s: i64, now: UnixMicros) -> Result<Days, Problem> {
    // Days of the zone are those of UTC, moved by a distance that is not negative.
    let ahead = u64::try_from(offset_s.rem_euclid(86_400)).unwrap_or(0);
    let seconds = |time: UnixMicros| time.0 / 1_000_000;
    let down = |second: u64| {
        let day = second.saturating_add(ahead) / DAY * DAY;
        // The first day of 1970 begins before it in zones east of UTC; times are not negative.
        day.checked_sub(ahead).unwrap_or(DAY - ahead)
    };
    let until = match parameters.time("until")? {
        Some(UnixMicros(0)) => 0,
        Some(until) => seconds(UnixMicros(until.0 - 1)),
        None => seconds(now),
    };
    let until = down(until).saturating_add(DAY);
    let since = match parameters.time("since")? {
        Some(since) => down(seconds(since)),
        None => until.checked_sub(DAYS.0 * DAY).unwrap_or_else(|| down(0)),
    };
    let days = Days { since, until };
    if days.count() > DAYS.1 {
        return Err(Problem::bad_parameter(
            "since",
            format_args!("is too far from until: at most {} days are counted", DAYS.1),
        ));
    }
    Ok(days)
}

/// How many values lie in classes that begin at 0, `one`, 3 × `one`, 10 × `one`, 30 × `one`, …: from, to (not included),
/// count. Where nothing is below the first class, or above the last, there is none. The smallest value there can be of
/// requests is 1: the class before is left out.
fn classes(one: u64, values: impl Iterator<Item = u64>) -> Vec<(u64, Option<u64>, u64)> {
    let mut bounds = if one == 1 { vec![1] } else { vec![0, one] };
    let mut next = one;
    while let (Some(three), Some(ten)) = (next.checked_mul(3), next.checked_mul(10)) {
        bounds.extend([three, ten]);
        next = ten;
    }
    let mut counts = vec![0u64; bounds.len()];
    for value in values {
        let at = bounds.partition_point(|from| *from <= value).saturating_sub(1);
        if let Some(count) = counts.get_mut(at) {
            *count += 1;
        }
    }
    let used = counts.iter().rposition(|count| *count > 0).map_or(0, |at| at + 1);
    let ends = bounds.iter().skip(1).copied().map(Some).chain([None]);
    let all = bounds.iter().copied().zip(ends).zip(counts);
    all.take(used)
        .map(|((from, to), count)| (from, to, count))
        .collect()
}

impl Entry for UserUse {
    fn person(&self) -> &PersonRow {
        &self.person
    }

    fn days(&self) -> u64 {
        self.days_active
    }
}

/// `GET /api/adoption/users`.
pub(super) async fn users(State(shown): State<Arc<Shown>>, uri: Uri) -> Result<Response, Problem> {
    let mut known = vec!["since", "until", "offset_s", "format"];
    known.extend(Wanted::PARAMETERS);
    let parameters = Parameters::read(&uri, &known)?;
    let offset_s = offset(&parameters)?;
    let days = period(&parameters, offset_s, shown.ledger.now())?;
    let wanted = Wanted::read(&parameters, &SORTS, Sort::Cost)?;
    let csv = match parameters.text("format") {
        None | Some("json") => false,
        Some("csv") => true,
        Some(_) => return Err(Problem::bad_parameter("format", "must be json or csv")),
    };
    let users = wanted.all(shown.store.adoption_users(days).await?);
    if csv {
        let headers = [
            (header::CONTENT_TYPE, "text/csv; charset=utf-8"),
            (header::CONTENT_DISPOSITION, "attachment; filename=\"users.csv\""),
        ];
        return Ok((headers, table(&users)).into_response());
    }
    let (page, next) = wanted.page(&users);
    Ok(Json(json!({
        "since": second(days.since),
        "until": second(days.until),
        "offset_s": offset_s,
        "users": page.iter().map(user).collect::<Vec<_>>(),
        "total": users.len(),
        "next_cursor": next,
    }))
    .into_response())
}

fn user(user: &UserUse) -> Value {
    let sums = &user.person.totals;
    json!({
        "login": user.person.login,
        "requests": sums.requests,
        "errors": sums.errors,
        "input": sums.input,
        "output": sums.output,
        "cost_nanousd": sums.cost_nanousd,
        "unpriced": sums.unpriced,
        "unknown": sums.unknown,
        "days_active": user.days_active,
        "first": show_time(user.person.first),
        "last": show_time(user.person.last),
    })
}

/// All of them as CSV (RFC 4180).
fn table(users: &[UserUse]) -> String {
    let mut out = String::from(
        "login,requests,errors,input,output,cost_nanousd,unpriced,unknown,days_active,first,last\r\n",
    );
    for user in users {
        let (person, sums) = (&user.person, &user.person.totals);
        // Writing into a text does not fail.
        let _ = write!(
            out,
            "{},{},{},{},{},{},{},{},{},{},{}\r\n",
            csv_text(&person.login),
            sums.requests,
            sums.errors,
            sums.input,
            sums.output,
            sums.cost_nanousd,
            sums.unpriced,
            sums.unknown,
            user.days_active,
            show_time(person.first),
            show_time(person.last),
        );
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn periods_are_whole_days_of_a_zone() {
        const HOUR: u64 = 3_600;
        let check = |query: &str, offset_s: i64, expected: Option<(u64, u64)>| {
            let uri: Uri = format!("/x?{query}").parse().unwrap();
            let parameters = Parameters::read(&uri, &["since", "until"]).unwrap();
            let now = UnixMicros((100 * DAY + 5 * HOUR) * 1_000_000);
            let found = period(&parameters, offset_s, now).ok();
            assert_eq!(
                found.map(|days| (days.since, days.until)),
                expected,
                "{query} {offset_s}"
            );
        };
        let days = |from: u64, to: u64| Some((from * DAY, to * DAY));
        check("", 0, days(71, 101));
        check("since=8640000", 0, days(100, 101));
        check("since=8640001&until=8726400", 0, days(100, 101));
        check("since=8640001&until=8726401", 0, days(100, 102));
        check("since=8639999&until=8640000", 0, days(99, 100));
        // At 5 o'clock UTC it is the day before in the far west, and still the same day in the east.
        check("", -6 * 3_600, Some((70 * DAY + 6 * HOUR, 100 * DAY + 6 * HOUR)));
        check("", 2 * 3_600, Some((70 * DAY + 22 * HOUR, 100 * DAY + 22 * HOUR)));
        check("since=0", 0, days(0, 101));
        check("until=0", 0, days(0, 1));
        check(
            "since=9000000000&until=9000000000",
            0,
            Some((8_999_942_400, 9_000_028_800)),
        );
        check("since=0&until=34560000", 0, days(0, 400));
        check("since=0&until=34560001", 0, None);
    }

    #[test]
    fn values_are_put_into_classes() {
        let check = |one: u64, values: &[u64], expected: &[(u64, Option<u64>, u64)]| {
            assert_eq!(classes(one, values.iter().copied()), expected, "{one} {values:?}");
        };
        check(1, &[], &[]);
        check(1, &[1, 2, 3, 9], &[(1, Some(3), 2), (3, Some(10), 2)]);
        check(1, &[10], &[(1, Some(3), 0), (3, Some(10), 0), (10, Some(30), 1)]);
        check(
            CENT,
            &[0, CENT - 1, CENT],
            &[(0, Some(CENT), 2), (CENT, Some(3 * CENT), 1)],
        );
        let widest = classes(1, [u64::MAX].into_iter());
        assert_eq!(widest.last().map(|class| (class.1, class.2)), Some((None, 1)));
    }
}
