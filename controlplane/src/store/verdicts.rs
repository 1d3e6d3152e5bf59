//! What hooks and guardrails said: sums by hour, and where each verdict stands that says more than "allow". Both are written
//! in the transaction that inserts the records, so that neither needs to look through them.

use std::collections::{BTreeMap, HashMap};

use rusqlite::{Connection, params};
use sluice_shared::ids::RequestId;
use sluice_shared::units::UnixMicros;
use sluice_shared::usage::{Action, Judge, UsageRecord, Verdict};
use sqlx::Row as _;

use super::detail::{COLUMNS, TextId, int};
use super::rollup::CAP;
use super::sqlite::{Sqlite, number_of, records};
use super::{Pending, StoreError};

const HOUR_US: u64 = 3_600_000_000;

/// Whether a verdict is more than "the call goes on".
pub(crate) fn is_hit(verdict: &Verdict) -> bool {
    verdict.action != Action::Allow
}

/// What one judge said in one way, in a period.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct VerdictSum {
    pub(crate) judge: Judge,
    pub(crate) name: String,
    pub(crate) action: Action,
    pub(crate) shadow: bool,
    pub(crate) verdicts: u64,
    /// Findings of these verdicts.
    pub(crate) found: u64,
    /// Verdicts that say how long they took.
    pub(crate) timed: u64,
    /// How long those took together, in microseconds.
    pub(crate) took_us: u64,
    pub(crate) took_max_us: u64,
    pub(crate) last: UnixMicros,
}

/// Hits of a judge by step, in Unix seconds.
pub(crate) type VerdictLine = ((Judge, String), BTreeMap<u64, u64>);

/// Which verdicts are wanted, newest first.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct HitQuery {
    pub(crate) since: Option<UnixMicros>,
    pub(crate) until: Option<UnixMicros>,
    pub(crate) name: Option<String>,
    pub(crate) judge: Option<Judge>,
    pub(crate) action: Option<Action>,
    pub(crate) shadow: Option<bool>,
    pub(crate) user: Option<String>,
    /// Only what comes after this one in the list.
    pub(crate) after: Option<(UnixMicros, RequestId, u32)>,
    pub(crate) limit: u32,
}

/// The part of a store that knows verdicts.
pub(crate) trait VerdictRows: Send + Sync {
    /// Sums of the hours in a period of Unix seconds.
    fn verdict_sums(&self, from: u64, to: u64) -> Pending<'_, Vec<VerdictSum>>;
    /// Hits in a period, by steps of whole hours.
    fn verdict_series(&self, from: u64, to: u64, step: u64) -> Pending<'_, Vec<VerdictLine>>;
    /// Records with a verdict that says more than "allow", each with its place in the record.
    fn verdict_hits<'a>(&'a self, query: &'a HitQuery) -> Pending<'a, Vec<(UsageRecord, u32)>>;
}

/// Verdicts of a batch.
#[derive(Default)]
pub(super) struct Judged {
    sums: HashMap<(u64, u8, TextId, u8, bool), Sum>,
    hits: Vec<Hit>,
}

#[derive(Default)]
struct Sum {
    verdicts: u64,
    found: u64,
    timed: u64,
    took_us: u64,
    took_max_us: u64,
    last: u64,
}

struct Hit {
    time: i64,
    request_id: RequestId,
    number: usize,
    user: TextId,
    judge: u8,
    name: TextId,
    action: u8,
    shadow: bool,
}

impl Judged {
    /// A record that was inserted; `names` are the numbers of its judges, in the order of its verdicts.
    pub(super) fn add(&mut self, record: &UsageRecord, user: TextId, names: &[TextId]) {
        for (number, (verdict, name)) in record.verdicts.iter().zip(names).enumerate() {
            let (judge, action) = (verdict.judge as u8, verdict.action as u8);
            let hour = record.time.0.min(i64::MAX.unsigned_abs()) / HOUR_US * 3_600;
            let key = (hour, judge, *name, action, verdict.shadow);
            let sum = self.sums.entry(key).or_default();
            let took = verdict.took_us.min(CAP);
            sum.verdicts += 1;
            sum.found = sum.found.saturating_add(u64::from(verdict.count));
            sum.timed += u64::from(took > 0);
            sum.took_us = sum.took_us.saturating_add(took).min(CAP);
            sum.took_max_us = sum.took_max_us.max(took);
            sum.last = sum.last.max(record.time.0);
            if is_hit(verdict) {
                self.hits.push(Hit {
                    time: int(record.time.0),
                    request_id: record.request_id,
                    number,
                    user,
                    judge,
                    name: *name,
                    action,
                    shadow: verdict.shadow,
                });
            }
        }
    }

    /// Writes all of it. Belongs to the transaction of the connection.
    pub(super) fn write(&self, connection: &Connection) -> Result<(), StoreError> {
        if self.sums.is_empty() {
            return Ok(());
        }
        let mut upsert = connection.prepare_cached(&format!(
            "INSERT INTO verdict_sums (hour,judge,name,action,shadow,verdicts,found,timed,took_us,took_max_us,last) \
             VALUES (?,?,?,?,?,?,?,?,?,?,?) ON CONFLICT DO UPDATE SET verdicts = verdicts + excluded.verdicts, \
             found = min(found + excluded.found, {CAP}), timed = timed + excluded.timed, \
             took_us = min(took_us + excluded.took_us, {CAP}), \
             took_max_us = max(took_max_us, excluded.took_max_us), last = max(last, excluded.last)"
        ))?;
        for ((hour, judge, name, action, shadow), sum) in &self.sums {
            upsert.execute(params![
                int(*hour),
                judge,
                name,
                action,
                shadow,
                int(sum.verdicts),
                int(sum.found.min(CAP)),
                int(sum.timed),
                int(sum.took_us),
                int(sum.took_max_us),
                int(sum.last),
            ])?;
        }
        let mut insert = connection.prepare_cached(
            "INSERT OR IGNORE INTO verdict_hits (time,request_id,number,user,judge,name,action,shadow) \
             VALUES (?,?,?,?,?,?,?,?)",
        )?;
        for hit in &self.hits {
            insert.execute(params![
                hit.time,
                hit.request_id.0.as_slice(),
                int(hit.number as u64),
                hit.user,
                hit.judge,
                hit.name,
                hit.action,
                hit.shadow,
            ])?;
        }
        Ok(())
    }
}

impl VerdictRows for Sqlite {
    fn verdict_sums(&self, from: u64, to: u64) -> Pending<'_, Vec<VerdictSum>> {
        Box::pin(self.look(move |connection| {
            let mut select = connection.prepare_cached(
                "SELECT judge, (SELECT text FROM texts WHERE id = name), action, shadow, sum(verdicts), \
                 sum(found >> 20), sum(found & 1048575), sum(timed), sum(took_us >> 20), \
                 sum(took_us & 1048575), max(took_max_us), max(last) FROM verdict_sums \
                 WHERE hour >= ? AND hour < ? GROUP BY judge, name, action, shadow",
            )?;
            let mut rows = select.query([int(from), int(to)])?;
            let mut out = Vec::new();
            while let Some(row) = rows.next()? {
                let whole = |high: u64, low: u64| high.saturating_mul(1 << 20).saturating_add(low);
                out.push(VerdictSum {
                    judge: Judge::from_index(row.get(0)?).ok_or(StoreError::Column("judge"))?,
                    name: row.get(1)?,
                    action: Action::from_index(row.get(2)?).ok_or(StoreError::Column("action"))?,
                    shadow: row.get(3)?,
                    verdicts: row.get(4)?,
                    found: whole(row.get(5)?, row.get(6)?),
                    timed: row.get(7)?,
                    took_us: whole(row.get(8)?, row.get(9)?),
                    took_max_us: row.get(10)?,
                    last: UnixMicros(row.get(11)?),
                });
            }
            Ok(out)
        }))
    }

    fn verdict_series(&self, from: u64, to: u64, step: u64) -> Pending<'_, Vec<VerdictLine>> {
        Box::pin(self.look(move |connection| {
            let mut select = connection.prepare_cached(
                "SELECT judge, (SELECT text FROM texts WHERE id = name), hour / ?3 * ?3, sum(verdicts) \
                 FROM verdict_sums WHERE hour >= ?1 AND hour < ?2 AND action <> ?4 GROUP BY judge, name, 3 \
                 ORDER BY judge, name, 3",
            )?;
            let allow = i64::from(Action::Allow as u8);
            let mut rows = select.query([int(from), int(to), int(step.max(3_600)), allow])?;
            let mut out: Vec<VerdictLine> = Vec::new();
            while let Some(row) = rows.next()? {
                let judge = Judge::from_index(row.get(0)?).ok_or(StoreError::Column("judge"))?;
                let key = (judge, row.get(1)?);
                if out.last().is_none_or(|(last, _)| *last != key) {
                    out.push((key, BTreeMap::new()));
                }
                if let Some((_, line)) = out.last_mut() {
                    line.insert(row.get(2)?, row.get(3)?);
                }
            }
            Ok(out)
        }))
    }

    fn verdict_hits<'a>(&'a self, query: &'a HitQuery) -> Pending<'a, Vec<(UsageRecord, u32)>> {
        Box::pin(async move {
            let mut view = self.read.0.begin().await?;
            let mut numbers = [None; 2];
            for (number, text) in numbers.iter_mut().zip([&query.user, &query.name]) {
                if let Some(text) = text {
                    *number = number_of(&mut view, text).await?;
                    if number.is_none() {
                        return Ok(Vec::new());
                    }
                }
            }
            let (sql, bound) = hits_sql(query, numbers);
            let mut list = sqlx::query(&sql);
            for number in bound {
                list = list.bind(number);
            }
            if let Some((_, id, _)) = &query.after {
                list = list.bind(id.0.as_slice());
            }
            let rows = list.fetch_all(&mut *view).await?;
            let places: Vec<u32> = rows.iter().map(|row| row.try_get(8)).collect::<Result<_, _>>()?;
            let found = records(&mut view, &rows).await?;
            Ok(found.into_iter().zip(places).collect())
        })
    }
}

/// The statement of a list, and what is bound to it in order; the id of `after` is bound last. The index is named: which
/// one says most does not depend on what the database knows of its tables.
fn hits_sql(query: &HitQuery, [user, name]: [Option<TextId>; 2]) -> (String, Vec<i64>) {
    let mut bound = vec![
        query.since.map_or(0, |time| int(time.0)),
        query.until.map_or(i64::MAX, |time| int(time.0)),
        i64::from(query.limit),
    ];
    let mut place = |value: i64| {
        bound.push(value);
        format!("?{}", bound.len())
    };
    let index = match (user, name, query.action) {
        (Some(_), _, _) => "INDEXED BY verdict_hits_by_user",
        (None, Some(_), _) => "INDEXED BY verdict_hits_by_name",
        (None, None, Some(_)) => "INDEXED BY verdict_hits_by_action",
        (None, None, None) => "NOT INDEXED",
    };
    let mut filter = String::from("h.time >= ?1 AND h.time < ?2");
    let conditions = [
        ("user", user),
        ("name", name),
        ("judge", query.judge.map(|judge| judge as i64)),
        ("action", query.action.map(|action| action as i64)),
        ("shadow", query.shadow.map(i64::from)),
    ];
    for (column, value) in conditions {
        if let Some(value) = value {
            filter += &format!(" AND h.{column} = {}", place(value));
        }
    }
    if let Some((time, _, number)) = query.after {
        let (time, number) = (place(int(time.0)), place(i64::from(number)));
        filter += &format!(
            " AND (h.time, h.request_id, h.number) < ({time}, ?{}, {number})",
            bound.len() + 1
        );
    }
    let columns: Vec<String> = COLUMNS.split(',').map(|column| format!("r.{column}")).collect();
    let sql = format!(
        "SELECT {}, h.number FROM verdict_hits h {index} CROSS JOIN requests r ON r.time = h.time AND \
         r.request_id = h.request_id WHERE {filter} ORDER BY h.time DESC, h.request_id DESC, h.number DESC LIMIT ?3",
        columns.join(",")
    );
    (sql, bound)
}

#[cfg(test)]
pub(super) mod tests;
