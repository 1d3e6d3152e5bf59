//! Who uses the gateway over time: people who were active on days, new ones, and what each did in a period.

use std::collections::HashMap;

use rusqlite::Connection;

use super::cells::{By, Only};
use super::narrow::active::{self, ANY_MODEL, Set};
use super::people::{self, PersonRow};
use super::series::sums;
use super::sqlite::Sqlite;
use super::{Pending, StoreError, Totals, UsageGroup, cells};

/// Seconds of a day.
pub(crate) const DAY: u64 = 86_400;
/// Days of a week, and of what counts as a month.
const WEEK: u64 = 7;
const MONTH: u64 = 30;
/// Most models of an answer.
const MODELS_MAX: usize = 100;

/// A period of whole days, in Unix seconds. Both ends are the beginning of an hour and whole days apart.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Days {
    pub(crate) since: u64,
    pub(crate) until: u64,
}

impl Days {
    const fn stretch(self) -> (u64, u64) {
        (
            self.since.saturating_mul(1_000_000),
            self.until.saturating_mul(1_000_000),
        )
    }

    /// How many.
    pub(crate) const fn count(self) -> u64 {
        self.until.saturating_sub(self.since) / DAY
    }

    const fn has(self, second: u64) -> bool {
        second >= self.since && second < self.until
    }
}

/// A day.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct Day {
    /// Its beginning, in Unix seconds.
    pub(crate) time: u64,
    pub(crate) active: u64,
    /// Active on it or on the 6, and on the 29, days before.
    pub(crate) active_7d: u64,
    pub(crate) active_30d: u64,
    pub(crate) new: u64,
    pub(crate) requests: u64,
}

/// A model with those who used it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct ModelUse {
    pub(crate) users: u64,
    pub(crate) group: UsageGroup,
}

/// What a period holds.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct Adoption {
    /// Ever seen before the end.
    pub(crate) total: u64,
    /// Active on the last day, in the last 7 and in the last 30.
    pub(crate) active_last: [u64; 3],
    /// Active in the period.
    pub(crate) active: u64,
    /// Whose first request is in the period.
    pub(crate) new: u64,
    pub(crate) days: Vec<Day>,
    /// Sums of each user.
    pub(crate) users: Vec<Totals>,
    /// Those with most requests first.
    pub(crate) models: Vec<ModelUse>,
}

/// What somebody did in a period.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct UserUse {
    /// With first and last request ever, and the sums of the period.
    pub(crate) person: PersonRow,
    pub(crate) days_active: u64,
}

/// The part of a store that knows who is active.
pub(crate) trait AdoptionRows {
    /// What a period holds.
    fn adoption(&self, days: Days) -> Pending<'_, Adoption>;
    /// Everybody with requests in a period, in no order.
    fn adoption_users(&self, days: Days) -> Pending<'_, Vec<UserUse>>;
}

impl AdoptionRows for Sqlite {
    fn adoption(&self, days: Days) -> Pending<'_, Adoption> {
        Box::pin(self.views.ask(move |connection| adoption(connection, days)))
    }

    fn adoption_users(&self, days: Days) -> Pending<'_, Vec<UserUse>> {
        Box::pin(self.views.ask(move |connection| users(connection, days)))
    }
}

/// The people of each day that ends at `until` or up to `days` before, the last one last.
fn actives(connection: &Connection, until: u64, days: u64) -> Result<Vec<Set>, StoreError> {
    let since = until.saturating_sub(days.saturating_mul(DAY));
    let mut sets = vec![Set::default(); usize::try_from(days).unwrap_or(0)];
    // Whatever day is the first: days are counted from the end.
    active::read(connection, ANY_MODEL, since, until, |hour, block, people| {
        let back = usize::try_from((until - 1).saturating_sub(hour) / DAY).unwrap_or(usize::MAX);
        let at = sets.len().checked_sub(back.saturating_add(1));
        if let Some(set) = at.and_then(|at| sets.get_mut(at)) {
            set.join(block, people);
        }
    })?;
    Ok(sets)
}

/// All people of some sets.
fn together<'a>(sets: impl Iterator<Item = &'a Set>) -> Set {
    let mut all = Set::default();
    sets.for_each(|set| all.add(set));
    all
}

fn adoption(connection: &Connection, period: Days) -> Result<Adoption, StoreError> {
    let count = period.count();
    // Before the first day of the period stand those that its last 30 days begin with.
    let sets = actives(connection, period.until, count.max(1).saturating_add(MONTH - 1))?;
    // People of the last days behind whom `after` more days follow.
    let last = |days: u64, after: u64| {
        let (days, after) = (usize::try_from(days), usize::try_from(after));
        let sets = sets.iter().rev().skip(after.unwrap_or(usize::MAX));
        together(sets.take(days.unwrap_or(usize::MAX))).count()
    };
    let mut answer = Adoption {
        active_last: [1, WEEK, MONTH].map(|days| last(days, 0)),
        active: last(count, 0),
        ..Adoption::default()
    };
    answer.days = (0..count)
        .map(|at| {
            let after = count - 1 - at;
            Day {
                time: period.since.saturating_add(at * DAY),
                active: last(1, after),
                active_7d: last(WEEK, after),
                active_30d: last(MONTH, after),
                ..Day::default()
            }
        })
        .collect();
    let day_of =
        |second: u64| usize::try_from(second.saturating_sub(period.since) / DAY).unwrap_or(usize::MAX);
    for first in firsts(connection)? {
        let first = first / 1_000_000;
        answer.total += u64::from(first < period.until);
        if period.has(first) {
            answer.new += 1;
            if let Some(day) = answer.days.get_mut(day_of(first)) {
                day.new += 1;
            }
        }
    }
    cells::read(
        connection,
        period.stretch(),
        if period.since.is_multiple_of(DAY) {
            super::range::Level::Day
        } else {
            super::range::Level::Hour
        },
        By::Nothing,
        Only::default(),
        false,
        &mut |cell| {
            if let Some(day) = answer.days.get_mut(day_of(cell.second)) {
                day.requests = day.requests.saturating_add(cell.totals.requests);
            }
        },
    )?;
    let mut users = sums(connection, period.stretch(), By::User, Only::default())?;
    // Requests of nobody are nobody's.
    users.remove(&super::texts::NO_TEXT);
    answer.users = users.into_values().collect();
    answer.models = models(connection, period)?;
    Ok(answer)
}

/// When the first request of each person began, in Unix microseconds.
fn firsts(connection: &Connection) -> Result<Vec<u64>, StoreError> {
    let mut select = connection.prepare_cached("SELECT first FROM people")?;
    let firsts = select.query_map([], |row| row.get(0))?;
    Ok(firsts.collect::<Result<_, _>>()?)
}

fn models(connection: &Connection, period: Days) -> Result<Vec<ModelUse>, StoreError> {
    let mut sums: Vec<(i64, Totals)> = sums(connection, period.stretch(), By::Model, Only::default())?
        .into_iter()
        .filter(|(model, _)| *model != super::texts::NO_TEXT)
        .collect();
    sums.sort_by_key(|(model, totals)| (std::cmp::Reverse(totals.requests), *model));
    sums.truncate(MODELS_MAX);
    let mut models = Vec::with_capacity(sums.len());
    for (model, totals) in sums {
        let mut set = Set::default();
        let (from, to) = (period.since / DAY * DAY, period.until);
        active::read(connection, model, from, to, |_, block, people| {
            set.join(block, people);
        })?;
        models.push(ModelUse {
            users: set.count(),
            group: UsageGroup {
                key: cells::name(connection, By::Model, model)?,
                totals,
            },
        });
    }
    Ok(models)
}

fn users(connection: &Connection, period: Days) -> Result<Vec<UserUse>, StoreError> {
    let mut days: HashMap<u32, u64> = HashMap::new();
    for set in actives(connection, period.until, period.count())? {
        for person in set.numbers() {
            *days.entry(person).or_default() += 1;
        }
    }
    let mut sums = sums(connection, period.stretch(), By::User, Only::default())?;
    let mut users = Vec::with_capacity(sums.len());
    for (user, person) in people::all(connection)? {
        let Some(totals) = sums.remove(&user) else {
            continue;
        };
        users.push(UserUse {
            days_active: days.get(&person.number).copied().unwrap_or(0),
            person: PersonRow { totals, ..person },
        });
    }
    Ok(users)
}
