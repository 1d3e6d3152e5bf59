//! Sums that are narrower than `rollups`, for questions about everybody: all users together (`totals`), people over all
//! time (`people`), who was active when (`active`), and people over days, weeks and four weeks that are over (`blocks`).
//!
//! They are written in the transaction that inserts the requests, from the sums of the batch: what a batch costs here
//! grows with its users and models, not with its records.

pub(super) mod active;
pub(super) mod blocks;
pub(super) mod people;
#[cfg(test)]
mod tests;
mod totals;

use std::collections::{BTreeMap, HashMap};

use rusqlite::Connection;
use sluice_shared::units::UnixMicros;

use super::rollup::{self, Sums};
use super::texts::NO_TEXT;
use super::{StoreError, When};
use crate::store::detail::TextId;
use active::{ANY_MODEL, Active};
use people::Person;

/// Schema version from which the narrower sums are there, and that from which the sums of days are by model.
const VERSION: usize = 9;
pub(super) const BY_MODEL: usize = 12;

/// What a batch holds of a user.
type People = BTreeMap<TextId, Person>;

/// Writes the narrower sums; remembers what of them is written.
#[derive(Default)]
pub(super) struct Narrow {
    active: Active,
}

/// Activity of a batch: a second with a user and the model that the request counts under.
pub(super) type Moment = (u64, TextId, TextId);

impl Narrow {
    /// Writes what a batch adds: its sums, its people and when they were active. Belongs to the transaction of the
    /// connection: if that is rolled back, call [`Self::forget`].
    pub(super) fn add(
        &mut self,
        connection: &Connection,
        sums: &Sums,
        people: &People,
        moments: impl Iterator<Item = Moment>,
        when: When,
    ) -> Result<(), StoreError> {
        totals::add(connection, sums)?;
        let mut numbers = HashMap::with_capacity(people.len());
        for (user, person) in people {
            numbers.insert(*user, people::add(connection, *user, person)?);
        }
        for (second, user, model) in moments {
            let Some(number) = numbers.get(&user) else {
                continue;
            };
            self.active
                .mark(connection, ANY_MODEL, second / 3_600 * 3_600, *number)?;
            if model != NO_TEXT {
                self.active
                    .mark(connection, model, second / 86_400 * 86_400, *number)?;
            }
        }
        let newest = sums.keys().map(|key| key.bucket).max();
        blocks::add(connection, sums)?;
        if let Some(newest) = newest {
            let now = rollup::second(when.now);
            blocks::close(
                connection,
                if when.now == UnixMicros(0) {
                    newest
                } else {
                    newest.min(now)
                },
            )?;
        }
        Ok(())
    }

    /// Forgets what was written.
    pub(super) fn forget(&mut self) {
        self.active.forget();
    }
}

/// Changes the number of errors of a request that ended otherwise than was written.
pub(super) fn amend(
    connection: &Connection,
    keys: impl Iterator<Item = rollup::Key>,
    user: TextId,
    errors: i64,
) -> Result<(), StoreError> {
    for key in keys {
        totals::amend(connection, &key, errors)?;
        blocks::amend(connection, &key, errors)?;
    }
    people::amend(connection, user, errors)
}

/// Fills what the script that brings the schema to a version cannot, from what is stored.
pub(super) fn fill(connection: &Connection, version: usize) -> Result<(), StoreError> {
    match version {
        VERSION => {
            people::refine(connection)?;
            active::fill(connection)
        }
        BY_MODEL => {
            let newest: Option<u64> =
                connection.query_row("SELECT max(bucket) FROM rollups WHERE level = 60", [], |row| {
                    row.get(0)
                })?;
            newest.map_or(Ok(()), |newest| blocks::close(connection, newest))
        }
        _ => Ok(()),
    }
}

/// An insertion into a table of sums that adds to a row which is there; `set` says what else changes in it.
fn upsert(table: &str, keys: &[&str], conflict: &str, set: &str) -> String {
    let sums = rollup::COLUMNS;
    let all: Vec<&str> = keys.iter().chain(&sums).copied().collect();
    format!(
        "INSERT INTO {table} ({}) VALUES ({}) ON CONFLICT ({conflict}) DO UPDATE SET {set}{}",
        all.join(","),
        vec!["?"; all.len()].join(","),
        sums.map(|c| format!("{c} = min({c} + excluded.{c}, {})", rollup::CAP))
            .join(","),
    )
}

/// Sums of columns as an expression each, in two halves of 32 bits, so that wild figures overflow nothing.
fn summed() -> String {
    rollup::COLUMNS
        .map(|c| {
            format!(
                "min(min(sum({c} >> 32), {}) * 4294967296 + sum({c} & 4294967295), {})",
                rollup::CAP >> 32,
                rollup::CAP
            )
        })
        .join(",")
}
