//! People as they are listed: everybody who has sent a request, with what they add up to.

use rusqlite::{Connection, OptionalExtension as _};
use sluice_shared::units::UnixMicros;

use super::cells::{self, By, Only};
use super::detail::TextId;
use super::series::sums;
use super::sqlite::Sqlite;
use super::{Pending, StoreError, Totals, UsageGroup, rollup};

/// Most models and providers of one person's answer.
const PARTS_MAX: usize = 100;

/// Somebody who has sent requests.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct PersonRow {
    /// Stable.
    pub(crate) number: u32,
    pub(crate) login: String,
    /// When the first request began.
    pub(crate) first: UnixMicros,
    /// When the last one began.
    pub(crate) last: UnixMicros,
    pub(crate) totals: Totals,
}

/// Somebody with the models and providers of all time, those with most requests first.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct PersonDetail {
    pub(crate) person: PersonRow,
    pub(crate) models: Vec<UsageGroup>,
    pub(crate) providers: Vec<UsageGroup>,
}

/// The part of a store that holds people.
pub(crate) trait PeopleRows {
    /// Everybody, or whoever has this login, in no order.
    fn people<'a>(&'a self, login: Option<&'a str>) -> Pending<'a, Vec<PersonRow>>;
    /// Whoever has a login.
    fn person<'a>(&'a self, login: &'a str) -> Pending<'a, Option<PersonDetail>>;
}

impl PeopleRows for Sqlite {
    fn people<'a>(&'a self, login: Option<&'a str>) -> Pending<'a, Vec<PersonRow>> {
        let login = login.map(str::to_owned);
        Box::pin(self.views.ask(move |connection| {
            match login {
                None => Ok(all(connection)?.into_iter().map(|(_, person)| person).collect()),
                Some(login) => Ok(one(connection, &login)?
                    .into_iter()
                    .map(|(_, person)| person)
                    .collect()),
            }
        }))
    }

    fn person<'a>(&'a self, login: &'a str) -> Pending<'a, Option<PersonDetail>> {
        let login = login.to_owned();
        Box::pin(self.views.ask(move |connection| {
            let Some((user, person)) = one(connection, &login)? else {
                return Ok(None);
            };
            Ok(Some(PersonDetail {
                models: parts(connection, user, By::Model)?,
                providers: parts(connection, user, By::Provider)?,
                person,
            }))
        }))
    }
}

fn select() -> String {
    let sums = rollup::COLUMNS.map(|column| format!("p.{column}")).join(",");
    format!("SELECT p.number,p.user,t.text,p.first,p.last,{sums}")
}

fn read(row: &rusqlite::Row<'_>) -> Result<(TextId, PersonRow), StoreError> {
    let person = PersonRow {
        number: row.get(0)?,
        login: row.get(2)?,
        first: UnixMicros(row.get(3)?),
        last: UnixMicros(row.get(4)?),
        totals: cells::totals(row, 5)?,
    };
    Ok((row.get(1)?, person))
}

/// Everybody, with the number of the login: a row a person.
pub(super) fn all(connection: &Connection) -> Result<Vec<(TextId, PersonRow)>, StoreError> {
    let sql = format!("{} FROM people p CROSS JOIN texts t ON t.id = p.user", select());
    let mut select = connection.prepare_cached(&sql)?;
    let mut rows = select.query([])?;
    let mut people = Vec::new();
    while let Some(row) = rows.next()? {
        people.push(read(row)?);
    }
    Ok(people)
}

fn one(connection: &Connection, login: &str) -> Result<Option<(TextId, PersonRow)>, StoreError> {
    let sql = format!(
        "{} FROM texts t CROSS JOIN people p ON p.user = t.id WHERE t.text = ?",
        select()
    );
    let mut select = connection.prepare_cached(&sql)?;
    let found = select.query_row([login], |row| Ok(read(row))).optional()?;
    found.transpose()
}

fn parts(connection: &Connection, user: TextId, by: By) -> Result<Vec<UsageGroup>, StoreError> {
    let only = Only {
        user: Some(user),
        ..Only::default()
    };
    let mut parts: Vec<(i64, Totals)> = sums(connection, (0, u64::MAX), by, only)?.into_iter().collect();
    parts.sort_by_key(|(key, totals)| (std::cmp::Reverse(totals.requests), *key));
    parts.truncate(PARTS_MAX);
    let named = parts.into_iter().map(|(key, totals)| {
        Ok(UsageGroup {
            key: cells::name(connection, by, key)?,
            totals,
        })
    });
    named.collect()
}
