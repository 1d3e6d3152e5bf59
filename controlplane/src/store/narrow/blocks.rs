//! Sums of users over days, weeks and stretches of four weeks that are over, so that sums of all users over months are a few
//! rows a user. A day is summed when a later one has begun; what comes for it after that is added here, too.

use std::collections::BTreeMap;
use std::sync::LazyLock;

use rusqlite::{Connection, params_from_iter};

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
        &["level", "bucket", "user"],
        "level, bucket, user",
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
    let mut late: BTreeMap<(u64, u64, TextId), Totals> = BTreeMap::new();
    for (key, totals) in sums
        .iter()
        .filter(|(key, _)| key.level == DAY && key.bucket < until)
    {
        for (level, bucket) in over(key.bucket, until) {
            rollup::add(late.entry((level, bucket, key.user)).or_default(), totals);
        }
    }
    if late.is_empty() {
        return Ok(());
    }
    let mut upsert = connection.prepare_cached(&UPSERT)?;
    for ((level, bucket, user), totals) in &late {
        let values = [int(*level), int(*bucket), *user];
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
        "UPDATE user_sums SET errors = max(errors + ?, 0) WHERE level = ? AND bucket = ? AND user = ?",
    )?;
    for (level, bucket) in over(key.bucket, until(connection)?) {
        update.execute((errors, int(level), int(bucket), key.user))?;
    }
    Ok(())
}

/// Sums the days that are over when the clock of requests stands at `newest` (Unix seconds), and what they complete.
pub(super) fn close(connection: &Connection, newest: u64) -> Result<(), StoreError> {
    let (before, now) = (until(connection)?, newest.saturating_sub(GRACE) / DAY * DAY);
    if now <= before {
        return Ok(());
    }
    let columns = rollup::COLUMNS.join(",");
    for (at, level) in LEVELS.into_iter().enumerate() {
        let (table, of) = match at.checked_sub(1).and_then(|finer| LEVELS.get(finer)) {
            None => ("rollups", DAY),
            Some(finer) => ("user_sums", *finer),
        };
        connection
            .prepare_cached(&format!(
                "INSERT INTO user_sums (level,bucket,user,{columns}) \
                 SELECT ?1, bucket / ?1 * ?1 AS b, user, {} FROM {table} \
                 WHERE level = ?2 AND bucket >= ?3 AND bucket < ?4 GROUP BY b, user",
                summed()
            ))?
            .execute((
                int(level),
                int(of),
                int(before / level * level),
                int(now / level * level),
            ))?;
    }
    connection
        .prepare_cached("UPDATE user_sums_until SET until = ?")?
        .execute([int(now)])?;
    Ok(())
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
