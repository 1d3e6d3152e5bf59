//! Sums of a stretch of time, read from the narrowest table that knows the answer, cell by cell: everybody from `totals`,
//! one user from `rollups` bucket by bucket, each user from `user_sums` where days are over and nothing else is asked.
//! What lies before and behind whole minutes is added up from the records.

use rusqlite::{Connection, OptionalExtension as _, Row, params_from_iter};
use sluice_shared::api::ApiKind;

use super::detail::{self, TextId, int};
use super::narrow::active::ANY_MODEL;
use super::narrow::blocks;
use super::range::{self, Level};
use super::texts::NO_TEXT;
use super::{StoreError, Totals, rollup, writer};

/// Most buckets that are looked up one by one; more are read with everybody's.
const SEEKS_MAX: u64 = 50_000;

/// What a cell is told apart by.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum By {
    /// Nothing but time.
    Nothing,
    User,
    Model,
    Provider,
    /// Key: index of the API.
    Api,
}

/// What is summed.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(super) struct Only {
    pub(super) user: Option<TextId>,
    pub(super) model: Option<TextId>,
    pub(super) provider: Option<TextId>,
}

/// Sums of a bucket, or of a record.
pub(super) struct Cell {
    /// Beginning of the bucket, in Unix seconds. Where cells of several days were asked for, it may be of some days.
    pub(super) second: u64,
    pub(super) key: i64,
    pub(super) totals: Totals,
}

/// Which rows of a table, and how they are found.
enum Rows {
    Totals,
    /// Of one user: one bucket after the other.
    User(TextId),
    /// Of all users.
    Rollups,
}

/// The stretch `from..to`, in Unix microseconds, in buckets no longer than `longest`. `whole`: cells of users may be of
/// several days.
pub(super) fn read(
    connection: &Connection,
    (from, to): (u64, u64),
    longest: Level,
    by: By,
    only: Only,
    whole: bool,
    each: &mut dyn FnMut(Cell),
) -> Result<(), StoreError> {
    let to = to.min(i64::MAX.unsigned_abs());
    let (from, to) = match only.user.filter(|user| *user != NO_TEXT) {
        Some(user) => match person(connection, user)? {
            // Nothing of a person lies outside.
            Some((first, last)) => (from.max(first), to.min(last.saturating_add(1))),
            None => return Ok(()),
        },
        None => (from, to),
    };
    for part in range::cover(from, to, longest) {
        if part.level == Level::Raw {
            records(connection, part, by, only, each)?;
            continue;
        }
        let level = part.level.seconds();
        let (mut from, to) = (part.from / 1_000_000, part.to.div_ceil(1_000_000));
        let rows = match (only.user, by) {
            (Some(user), _) if (to - from) / level <= SEEKS_MAX => Rows::User(user),
            (Some(_), _) | (None, By::User) => Rows::Rollups,
            (None, _) => Rows::Totals,
        };
        let summed = only.user.is_none() && only.provider.is_none();
        if whole && summed && by == By::User && part.level == Level::Day {
            let over = to.min(blocks::until(connection)?).max(from);
            users(connection, only.model.unwrap_or(ANY_MODEL), from, over, each)?;
            from = over;
        }
        buckets(connection, &rows, level, (from, to), by, only, each)?;
    }
    Ok(())
}

/// When the first and the last request of a user began, in Unix microseconds.
pub(super) fn person(connection: &Connection, user: TextId) -> Result<Option<(u64, u64)>, StoreError> {
    Ok(connection
        .prepare_cached("SELECT first, last FROM people WHERE user = ?")?
        .query_row([user], |row| Ok((row.get(0)?, row.get(1)?)))
        .optional()?)
}

/// The statement for rows of sums. `?1`: level, `?2` and `?3`: from and to; then what is bound besides.
fn sql(rows: &Rows, by: By, only: Only) -> (String, Vec<i64>) {
    const STRETCH: &str = "r.bucket >= ?2 AND r.bucket < ?3";
    let (from, when, user) = match rows {
        Rows::Totals => ("totals r", STRETCH, None),
        Rows::Rollups => ("rollups r", STRETCH, only.user),
        Rows::User(user) => (
            "(WITH RECURSIVE b(bucket) AS (SELECT ?2 WHERE ?2 < ?3 UNION ALL \
             SELECT bucket + ?1 FROM b WHERE bucket + ?1 < ?3) SELECT bucket FROM b) b CROSS JOIN rollups r",
            "r.bucket = b.bucket",
            Some(*user),
        ),
    };
    let mut bound = Vec::new();
    let mut filter = String::new();
    for (column, value) in [("user", user), ("model", only.model), ("provider", only.provider)] {
        if let Some(value) = value {
            bound.push(value);
            filter += &format!(" AND r.{column} = ?{}", bound.len() + 3);
        }
    }
    let key = match by {
        By::Nothing => "0",
        By::User => "r.user",
        By::Model => "r.model",
        By::Provider => "r.provider",
        By::Api => "r.api",
    };
    let sums = rollup::COLUMNS.map(|column| format!("r.{column}")).join(",");
    (
        format!("SELECT r.bucket,{key},{sums} FROM {from} WHERE r.level = ?1 AND {when}{filter}"),
        bound,
    )
}

fn buckets(
    connection: &Connection,
    rows: &Rows,
    level: u64,
    (from, to): (u64, u64),
    by: By,
    only: Only,
    each: &mut dyn FnMut(Cell),
) -> Result<(), StoreError> {
    if from >= to {
        return Ok(());
    }
    let (sql, bound) = sql(rows, by, only);
    let mut select = connection.prepare_cached(&sql)?;
    let values = [int(level), int(from), int(to)].into_iter().chain(bound);
    let mut rows = select.query(params_from_iter(values))?;
    while let Some(row) = rows.next()? {
        let key = if by == By::Api {
            let name = row.get_ref(1)?.as_str().map_err(|_| StoreError::Column("api"))?;
            api_key(ApiKind::parse(name).ok_or(StoreError::Column("api"))?)
        } else {
            row.get(1)?
        };
        each(Cell {
            second: row.get(0)?,
            key,
            totals: totals(row, 2)?,
        });
    }
    Ok(())
}

/// Sums of each user over days that are over, in Unix seconds.
fn users(
    connection: &Connection,
    model: TextId,
    from: u64,
    to: u64,
    each: &mut dyn FnMut(Cell),
) -> Result<(), StoreError> {
    let mut select = connection.prepare_cached(&users_sql())?;
    for (level, from, to) in blocks::cover(from, to) {
        let mut rows = select.query((int(level), model, int(from), int(to)))?;
        while let Some(row) = rows.next()? {
            each(Cell {
                second: row.get(0)?,
                key: row.get(1)?,
                totals: totals(row, 2)?,
            });
        }
    }
    Ok(())
}

fn users_sql() -> String {
    format!(
        "SELECT bucket,user,{} FROM user_sums WHERE level = ? AND model = ? AND bucket >= ? AND bucket < ?",
        rollup::COLUMNS.join(",")
    )
}

/// Records of a stretch that no sums cover: less than a minute at each end.
fn records(
    connection: &Connection,
    part: range::Part,
    by: By,
    only: Only,
    each: &mut dyn FnMut(Cell),
) -> Result<(), StoreError> {
    let mut select = connection.prepare_cached(&records_sql())?;
    let mut rows = select.query((int(part.from), int(part.to)))?;
    while let Some(row) = rows.next()? {
        let (columns, packed) = writer::read(row)?;
        let row = detail::Row::unpack(&columns, &packed).ok_or(StoreError::Column("detail"))?;
        let who = row.grouped();
        let model = rollup::counted_model(who.provider, who.model_asked);
        let is = |only: Option<TextId>, found: TextId| only.is_none_or(|only| only == found);
        if !(is(only.user, who.user) && is(only.model, model) && is(only.provider, who.provider)) {
            continue;
        }
        let record = row.bare();
        each(Cell {
            second: rollup::second(record.time),
            key: match by {
                By::Nothing => 0,
                By::User => who.user,
                By::Model => model,
                By::Provider => who.provider,
                By::Api => api_key(record.api),
            },
            totals: rollup::contribution(record, who.provider != NO_TEXT),
        });
    }
    Ok(())
}

fn records_sql() -> String {
    format!(
        "SELECT {} FROM requests WHERE time >= ? AND time < ?",
        detail::COLUMNS
    )
}

fn api_key(api: ApiKind) -> i64 {
    i64::from(api as u8)
}

/// The name of a key; of texts it is asked for.
pub(super) fn name(connection: &Connection, by: By, key: i64) -> Result<String, StoreError> {
    match by {
        By::Nothing => Ok(String::new()),
        By::Api => {
            let index = u8::try_from(key).ok();
            let api = index
                .and_then(ApiKind::from_index)
                .ok_or(StoreError::Column("api"))?;
            Ok(api.name().to_owned())
        }
        By::User | By::Model | By::Provider => Ok(connection
            .prepare_cached("SELECT text FROM texts WHERE id = ?")?
            .query_row([key], |row| row.get(0))?),
    }
}

/// The number of a text, if it has one.
pub(super) fn number(connection: &Connection, text: &str) -> Result<Option<TextId>, StoreError> {
    Ok(connection
        .prepare_cached("SELECT id FROM texts WHERE text = ?")?
        .query_row([text], |row| row.get(0))
        .optional()?)
}

/// Sums in the order of [`rollup::COLUMNS`] from a column on.
pub(super) fn totals(row: &Row<'_>, from: usize) -> Result<Totals, StoreError> {
    let mut totals = Totals::default();
    for (at, total) in (from..).zip(rollup::columns_mut(&mut totals)) {
        *total = row.get(at)?;
    }
    Ok(totals)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn no_table_is_read_from_end_to_end() {
        let folder = tempfile::tempdir().unwrap();
        let store = super::super::Sqlite::open(folder.path()).await.unwrap();
        let mut statements = vec![
            users_sql(),
            records_sql(),
            super::super::narrow::active::READ.to_owned(),
        ];
        for by in [By::Nothing, By::User, By::Model, By::Provider, By::Api] {
            for bits in 0..4 {
                let only = Only {
                    user: None,
                    model: (bits & 1 == 1).then_some(1),
                    provider: (bits & 2 == 2).then_some(2),
                };
                for rows in [Rows::Totals, Rows::Rollups, Rows::User(3)] {
                    // Sums of all users together know none.
                    if !(matches!(rows, Rows::Totals) && by == By::User) {
                        statements.push(sql(&rows, by, only).0);
                    }
                }
            }
        }
        for statement in statements {
            let plan = super::super::tests::plan(&store, &statement);
            for step in &plan {
                let scan =
                    step.starts_with("SCAN") && !step.contains("SCAN b") && !step.contains("CONSTANT ROW");
                assert!(!scan && !step.contains("TEMP B-TREE"), "{statement}: {plan:?}");
            }
            if statement.contains("RECURSIVE") {
                assert!(
                    plan.iter()
                        .any(|step| step.contains("level=? AND bucket=? AND user=?")),
                    "{statement}: {plan:?}"
                );
            }
        }
    }
}
