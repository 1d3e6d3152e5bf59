//! Sums of users over days, weeks and stretches of four weeks that are over, by model and altogether, so that sums of all
//! users over months are a few rows a user. A day is summed when a later one has begun; what comes for it after that is added here, too.

use std::collections::BTreeMap;
use std::sync::LazyLock;

use rusqlite::{Connection, params_from_iter};

use super::active::ANY_MODEL;
use super::{summed, upsert};
use crate::store::detail::{TextId, int};
use crate::store::rollup::{self, Key, Sums};
use crate::store::{StoreError, Totals};

/// A day in seconds, whose sums are taken from `rollups`.
const DAY: u64 = 86_400;
/// Lengths of stretches in seconds, each a multiple of the one before.
pub(in crate::store) const LEVELS: [u64; 3] = [DAY, 7 * DAY, 28 * DAY];
/// A day is not summed in the first hour of the next: its last requests are still coming.
const GRACE: u64 = 3_600;

static UPSERT: LazyLock<String> = LazyLock::new(|| {
    upsert(
        "user_sums",
        &["level", "model", "bucket", "user"],
        "level, model, bucket, user",
        "",
    )
});

/// Up to which moment sums are there, in Unix seconds; the beginning of a day.
pub(in crate::store) fn until(connection: &Connection) -> Result<u64, StoreError> {
    Ok(connection
        .prepare_cached("SELECT until FROM user_sums_until")?
        .query_row([], |row| row.get(0))?)
}

/// The stretches that a day belongs to and that are over at `until`: level and beginning.
fn over(day: u64, until: u64) -> impl Iterator<Item = (u64, u64)> {
    LEVELS
        .into_iter()
        .map(move |level| (level, day / level * level))
        .filter(move |(level, bucket)| bucket.saturating_add(*level) <= until)
}

/// Adds what a batch holds of days that are over.
pub(super) fn add(connection: &Connection, sums: &Sums) -> Result<(), StoreError> {
    let until = until(connection)?;
    let mut late: BTreeMap<(u64, TextId, u64, TextId), Totals> = BTreeMap::new();
    for (key, totals) in sums
        .iter()
        .filter(|(key, _)| key.level == DAY && key.bucket < until)
    {
        for (level, bucket) in over(key.bucket, until) {
            for model in [ANY_MODEL, key.model] {
                rollup::add(late.entry((level, model, bucket, key.user)).or_default(), totals);
            }
        }
    }
    if late.is_empty() {
        return Ok(());
    }
    let mut upsert = connection.prepare_cached(&UPSERT)?;
    for ((level, model, bucket, user), totals) in &late {
        let values = [int(*level), *model, int(*bucket), *user];
        upsert.execute(params_from_iter(
            values.into_iter().chain(rollup::columns(totals).map(int)),
        ))?;
    }
    Ok(())
}

/// Changes the errors of a user in stretches that are over.
pub(super) fn amend(connection: &Connection, key: &Key, errors: i64) -> Result<(), StoreError> {
    if key.level != DAY {
        return Ok(());
    }
    let mut update = connection.prepare_cached(
        "UPDATE user_sums SET errors = max(errors + ?, 0) WHERE level = ? AND model IN (?, ?) AND bucket = ? \
         AND user = ?",
    )?;
    for (level, bucket) in over(key.bucket, until(connection)?) {
        update.execute((errors, int(level), ANY_MODEL, key.model, int(bucket), key.user))?;
    }
    Ok(())
}

/// Sums the days that are over when the clock of requests stands at `newest` (Unix seconds), and what they complete.
pub(super) fn close(connection: &Connection, newest: u64) -> Result<(), StoreError> {
    let (before, now) = (until(connection)?, newest.saturating_sub(GRACE) / DAY * DAY);
    if now <= before {
        return Ok(());
    }
    let mut finer = None;
    for level in LEVELS {
        let (from, to) = (int(before / level * level), int(now / level * level));
        if from < to {
            match finer {
                None => days(connection, from, to)?,
                Some(finer) => stretches(connection, (level, finer), from, to)?,
            }
        }
        finer = Some(level);
    }
    connection
        .prepare_cached("UPDATE user_sums_until SET until = ?")?
        .execute([int(now)])?;
    Ok(())
}

/// Sums days of `rollups`, by model and altogether.
fn days(connection: &Connection, from: i64, to: i64) -> Result<(), StoreError> {
    for model in ["-1", "model"] {
        let sql = insertion(
            &format!("86400, {model} AS m, bucket AS b, user"),
            "rollups WHERE level = 86400 AND bucket >= ?1 AND bucket < ?2 GROUP BY b, m, user",
        );
        connection.prepare_cached(&sql)?.execute((from, to))?;
    }
    Ok(())
}

/// Sums stretches of a level from those of a finer one, model by model: their rows stand together.
fn stretches(
    connection: &Connection,
    (level, finer): (u64, u64),
    from: i64,
    to: i64,
) -> Result<(), StoreError> {
    let mut select = connection.prepare_cached(
        "SELECT DISTINCT model FROM totals WHERE level = 86400 AND bucket >= ?1 AND bucket < ?2",
    )?;
    let models = select.query_map((from, to), |row| row.get::<_, TextId>(0))?;
    let models: Vec<TextId> = models.collect::<Result<_, _>>()?;
    let sql = insertion(
        "?1, model, bucket / ?1 * ?1 AS b, user",
        "user_sums WHERE level = ?2 AND model = ?3 AND bucket >= ?4 AND bucket < ?5 GROUP BY b, user",
    );
    let mut insert = connection.prepare_cached(&sql)?;
    for model in models.into_iter().chain([ANY_MODEL]) {
        insert.execute((int(level), int(finer), model, from, to))?;
    }
    Ok(())
}

fn insertion(keys: &str, from: &str) -> String {
    format!(
        "INSERT INTO user_sums (level,model,bucket,user,{}) SELECT {keys}, {} FROM {from}",
        rollup::COLUMNS.join(","),
        summed()
    )
}

/// Covers `from..to` (Unix seconds, beginnings of days) with stretches as long as fit: level, from, to.
pub(in crate::store) fn cover(from: u64, to: u64) -> Vec<(u64, u64, u64)> {
    let mut out = Vec::new();
    split(from, to, LEVELS.len() - 1, &mut out);
    out
}

fn split(from: u64, to: u64, at: usize, out: &mut Vec<(u64, u64, u64)>) {
    let Some(level) = LEVELS.get(at).filter(|_| from < to) else {
        return;
    };
    let (first, last) = (from.div_ceil(*level).saturating_mul(*level), to / level * level);
    let finer = at.checked_sub(1);
    if first >= last {
        if let Some(finer) = finer {
            split(from, to, finer, out);
        }
        return;
    }
    if let Some(finer) = finer {
        split(from, first, finer, out);
    }
    out.push((*level, first, last));
    if let Some(finer) = finer {
        split(last, to, finer, out);
    }
}
