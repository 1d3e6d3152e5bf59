//! People: one row for each login that has sent a request, with its sums over all time.

use std::sync::LazyLock;

use rusqlite::{Connection, OptionalExtension as _, params_from_iter};
use sluice_shared::units::UnixMicros;

use super::upsert;
use crate::store::detail::{TextId, int};
use crate::store::rollup;
use crate::store::texts::NO_TEXT;
use crate::store::{StoreError, Totals};

/// What a batch holds of a user: when the first and the last request began, in Unix microseconds, and their sums.
#[derive(Debug, Clone)]
pub(in crate::store) struct Person {
    pub(in crate::store) first: u64,
    pub(in crate::store) last: u64,
    pub(in crate::store) totals: Totals,
}

static UPSERT: LazyLock<String> = LazyLock::new(|| {
    let upsert = upsert(
        "people",
        &["user", "first", "last"],
        "user",
        "first = min(first, excluded.first), last = max(last, excluded.last),",
    );
    format!("{upsert} RETURNING number")
});

impl Person {
    /// Somebody at a moment, before anything is added.
    pub(in crate::store) fn at(time: UnixMicros) -> Self {
        Self {
            first: time.0,
            last: time.0,
            totals: Totals::default(),
        }
    }

    /// Adds a request.
    pub(in crate::store) fn add(&mut self, time: UnixMicros, more: &Totals) {
        self.first = self.first.min(time.0);
        self.last = self.last.max(time.0);
        rollup::add(&mut self.totals, more);
    }

    /// Adds a part of a batch to what it holds of its users. Whoever has no login is nobody.
    pub(in crate::store) fn gather(people: &mut super::People, user: TextId, part: &Self) {
        if user == NO_TEXT {
            return;
        }
        people
            .entry(user)
            .and_modify(|person| {
                person.first = person.first.min(part.first);
                person.last = person.last.max(part.last);
                rollup::add(&mut person.totals, &part.totals);
            })
            .or_insert_with(|| part.clone());
    }
}

/// Adds what a batch holds of a user; the person's number.
pub(super) fn add(connection: &Connection, user: TextId, person: &Person) -> Result<u32, StoreError> {
    let sums = rollup::columns(&person.totals).map(int);
    let values = [user, int(person.first), int(person.last)]
        .into_iter()
        .chain(sums);
    Ok(connection
        .prepare_cached(&UPSERT)?
        .query_row(params_from_iter(values), |row| row.get(0))?)
}

/// Changes the errors of a person.
pub(super) fn amend(connection: &Connection, user: TextId, errors: i64) -> Result<(), StoreError> {
    connection
        .prepare_cached("UPDATE people SET errors = max(errors + ?, 0) WHERE user = ?")?
        .execute((errors, user))?;
    Ok(())
}

/// Makes the days of first and last requests, which the schema's script knows, moments: from the hour, the minute and, if
/// it is still stored, the request.
pub(super) fn refine(connection: &Connection) -> Result<(), StoreError> {
    let mut select = connection.prepare("SELECT number, user, first, last FROM people")?;
    let people: Vec<(i64, TextId, u64, u64)> = select
        .query_map([], |row| Ok((row.get(0)?, row.get(1)?, row.get(2)?, row.get(3)?)))?
        .collect::<Result<_, _>>()?;
    let mut update = connection.prepare("UPDATE people SET first = ?, last = ? WHERE number = ?")?;
    for (number, user, first, last) in people {
        let first = moment(connection, user, first / 1_000_000, false)?;
        let last = moment(connection, user, last / 1_000_000, true)?;
        update.execute((int(first), int(last), number))?;
    }
    Ok(())
}

/// The first or last request of a user on a day, in Unix microseconds.
fn moment(connection: &Connection, user: TextId, day: u64, last: bool) -> Result<u64, StoreError> {
    let hour = bucket(connection, user, day, 3_600, 24, last)?;
    let minute = bucket(connection, user, hour, 60, 60, last)?;
    let from = minute.saturating_mul(1_000_000);
    let order = if last { "max" } else { "min" };
    let found: Option<u64> = connection
        .prepare_cached(&format!(
            "SELECT {order}(time) FROM requests WHERE time >= ?1 AND time < ?2 AND user = ?3"
        ))?
        .query_row((int(from), int(from.saturating_add(60_000_000)), user), |row| {
            row.get(0)
        })?;
    Ok(found.unwrap_or(from))
}

/// The first or last of some buckets in which a user has sums; the first of them if none has.
fn bucket(
    connection: &Connection,
    user: TextId,
    from: u64,
    level: u64,
    count: u64,
    last: bool,
) -> Result<u64, StoreError> {
    let mut select = connection
        .prepare_cached("SELECT 1 FROM rollups WHERE level = ? AND bucket = ? AND user = ? LIMIT 1")?;
    let mut has = |at: u64| -> Result<bool, StoreError> {
        let found: Option<i64> = select
            .query_row((int(level), int(at), user), |row| row.get(0))
            .optional()?;
        Ok(found.is_some())
    };
    for step in 0..count {
        let step = if last { count - 1 - step } else { step };
        let at = from.saturating_add(step * level);
        if has(at)? {
            return Ok(at);
        }
    }
    Ok(from)
}
