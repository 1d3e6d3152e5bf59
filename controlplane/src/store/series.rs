//! Sums over time, split by what they are of, and sums of a stretch of time by groups.
//!
//! A series is made in two steps: which keys add up to most over the whole stretch, in buckets as long as fit; then the
//! sums of these keys bucket by bucket. So the memory of an answer is bounded by what it shows, however many models or
//! users there are.

use std::cmp::Reverse;
use std::collections::{BTreeMap, HashMap};

use rusqlite::Connection;
use sluice_shared::units::UnixMicros;

use super::cells::{self, By, Only};
use super::range::Level;
use super::sqlite::Sqlite;
use super::{GroupBy, Pending, StoreError, Totals, UsageGroup, UsageQuery, rollup};

/// Most times of an answer.
pub(crate) const TIMES_MAX: u64 = 1_500;

/// Length of a stretch of a series.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Step {
    Minute,
    Hour,
    Day,
}

impl Step {
    pub(crate) const ALL: [Self; 3] = [Self::Minute, Self::Hour, Self::Day];

    pub(crate) const fn name(self) -> &'static str {
        match self {
            Self::Minute => "minute",
            Self::Hour => "hour",
            Self::Day => "day",
        }
    }

    pub(crate) const fn seconds(self) -> u64 {
        self.level().seconds()
    }

    const fn level(self) -> Level {
        match self {
            Self::Minute => Level::Minute,
            Self::Hour => Level::Hour,
            Self::Day => Level::Day,
        }
    }
}

/// What a series is of.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Split {
    None,
    Model,
    Provider,
    User,
    Api,
}

impl Split {
    pub(crate) const ALL: [Self; 5] = [Self::None, Self::Model, Self::Provider, Self::User, Self::Api];

    pub(crate) const fn name(self) -> &'static str {
        match self {
            Self::None => "none",
            Self::Model => "model",
            Self::Provider => "provider",
            Self::User => "user",
            Self::Api => "api",
        }
    }

    const fn by(self) -> By {
        match self {
            Self::None => By::Nothing,
            Self::Model => By::Model,
            Self::Provider => By::Provider,
            Self::User => By::User,
            Self::Api => By::Api,
        }
    }
}

/// Which series are wanted.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct SeriesQuery {
    pub(crate) step: Step,
    pub(crate) split: Split,
    /// The beginning of a minute, in Unix seconds.
    pub(crate) since: u64,
    /// As `since`; not included.
    pub(crate) until: u64,
    pub(crate) user: Option<String>,
    pub(crate) model: Option<String>,
    pub(crate) provider: Option<String>,
    /// Most series.
    pub(crate) top: usize,
    /// Where days begin: seconds east of UTC, whole hours.
    pub(crate) offset_s: i64,
}

impl SeriesQuery {
    /// Beginnings of the stretches, in Unix seconds; the first one may lie before `since`.
    pub(crate) fn times(&self) -> impl Iterator<Item = u64> {
        let first = self.stretch(self.since);
        (0..self.count()).map(move |at| self.beginning(first.saturating_add(int(at))))
    }

    /// How many there are.
    pub(crate) fn count(&self) -> u64 {
        if self.since >= self.until {
            return 0;
        }
        let (first, last) = (self.stretch(self.since), self.stretch(self.until - 1));
        last.abs_diff(first).saturating_add(1)
    }

    /// The number of the stretch that a moment is in.
    fn stretch(&self, second: u64) -> i64 {
        int(second)
            .saturating_add(self.shift())
            .div_euclid(int(self.step.seconds()))
    }

    fn beginning(&self, stretch: i64) -> u64 {
        let second = stretch
            .saturating_mul(int(self.step.seconds()))
            .saturating_sub(self.shift());
        u64::try_from(second).unwrap_or(0)
    }

    /// Minutes and hours begin everywhere at the same moments.
    const fn shift(&self) -> i64 {
        match self.step {
            Step::Minute | Step::Hour => 0,
            Step::Day => self.offset_s,
        }
    }

    /// The longest buckets that lie within a stretch.
    const fn longest(&self) -> Level {
        match self.step {
            Step::Day if self.offset_s % 86_400 != 0 => Level::Hour,
            step => step.level(),
        }
    }
}

fn int(value: u64) -> i64 {
    super::detail::int(value)
}

/// Sums over time.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct Series {
    /// What it is of; `None`: of everything, or of the others.
    pub(crate) key: Option<String>,
    pub(crate) totals: Totals,
    /// One entry for each time.
    pub(crate) times: Vec<Totals>,
}

impl Series {
    fn new(key: Option<String>, count: usize) -> Self {
        Self {
            key,
            totals: Totals::default(),
            times: vec![Totals::default(); count],
        }
    }

    fn add(&mut self, at: usize, more: &Totals) {
        rollup::add(&mut self.totals, more);
        if let Some(sum) = self.times.get_mut(at) {
            rollup::add(sum, more);
        }
    }

    fn take(&mut self, part: &Self) {
        rollup::subtract(&mut self.totals, &part.totals);
        for (left, part) in self.times.iter_mut().zip(&part.times) {
            rollup::subtract(left, part);
        }
    }
}

/// What a query is answered with.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct SeriesAnswer {
    pub(crate) total: Series,
    /// By cost, then by requests, the largest first.
    pub(crate) series: Vec<Series>,
    /// What is in none of them.
    pub(crate) other: Option<Series>,
}

/// The part of a store that adds up usage.
pub(crate) trait SeriesRows {
    /// Sums over time. The query's times are at most [`TIMES_MAX`].
    fn series<'a>(&'a self, query: &'a SeriesQuery) -> Pending<'a, SeriesAnswer>;
}

impl SeriesRows for Sqlite {
    fn series<'a>(&'a self, query: &'a SeriesQuery) -> Pending<'a, SeriesAnswer> {
        let query = query.clone();
        Box::pin(self.views.ask(move |connection| series(connection, &query)))
    }
}

/// The numbers of what a query is limited to; `None`: something of it never occurred.
fn only(
    connection: &Connection,
    user: Option<&str>,
    model: Option<&str>,
    provider: Option<&str>,
) -> Result<Option<Only>, StoreError> {
    let mut only = Only::default();
    for (number, text) in [
        (&mut only.user, user),
        (&mut only.model, model),
        (&mut only.provider, provider),
    ] {
        if let Some(text) = text {
            *number = cells::number(connection, text)?;
            if number.is_none() {
                return Ok(None);
            }
        }
    }
    Ok(Some(only))
}

fn series(connection: &Connection, query: &SeriesQuery) -> Result<SeriesAnswer, StoreError> {
    let count = usize::try_from(query.count().min(TIMES_MAX)).unwrap_or(0);
    let mut total = Series::new(None, count);
    let only = only(
        connection,
        query.user.as_deref(),
        query.model.as_deref(),
        query.provider.as_deref(),
    )?;
    let Some(only) = only.filter(|_| count > 0) else {
        return Ok(SeriesAnswer {
            total,
            ..SeriesAnswer::default()
        });
    };
    let stretch = (
        query.since.saturating_mul(1_000_000),
        query.until.saturating_mul(1_000_000),
    );
    let first = query.stretch(query.since);
    let at = |second: u64| {
        let at = query.stretch(second).saturating_sub(first);
        usize::try_from(at).unwrap_or(0)
    };
    let by = query.split.by();
    let top = if query.split == Split::None {
        Vec::new()
    } else {
        largest(connection, stretch, by, only, query.top)?
    };
    let mut series = Vec::with_capacity(top.len());
    let mut places = HashMap::with_capacity(top.len());
    for (place, key) in top.iter().enumerate() {
        series.push(Series::new(Some(cells::name(connection, by, *key)?), count));
        places.insert(*key, place);
    }
    // Users have too many rows to go through them all: the largest are looked up, what is left are the others.
    let each = by == By::User && only.user.is_none();
    let keyed = if each { By::Nothing } else { by };
    let mut other = Series::new(None, count);
    cells::read(
        connection,
        stretch,
        query.longest(),
        keyed,
        only,
        false,
        &mut |cell| {
            let at = at(cell.second);
            total.add(at, &cell.totals);
            if each || query.split == Split::None {
                return;
            }
            let place = places.get(&cell.key).and_then(|place| series.get_mut(*place));
            place.unwrap_or(&mut other).add(at, &cell.totals);
        },
    )?;
    if each {
        for (key, series) in top.iter().zip(&mut series) {
            let only = Only {
                user: Some(*key),
                ..only
            };
            cells::read(
                connection,
                stretch,
                query.longest(),
                by,
                only,
                false,
                &mut |cell| {
                    series.add(at(cell.second), &cell.totals);
                },
            )?;
        }
        other.clone_from(&total);
        series.iter().for_each(|series| other.take(series));
    }
    let other = (query.split != Split::None && other.totals.requests > 0).then_some(other);
    Ok(SeriesAnswer { total, series, other })
}

/// The keys that cost most in a stretch, then those with most requests, then those that are older.
fn largest(
    connection: &Connection,
    stretch: (u64, u64),
    by: By,
    only: Only,
    top: usize,
) -> Result<Vec<i64>, StoreError> {
    let mut sums: Vec<(i64, Totals)> = sums(connection, stretch, by, only)?.into_iter().collect();
    sums.sort_by_key(|(key, t)| (Reverse((t.cost_nanousd, t.requests)), *key));
    sums.truncate(top);
    Ok(sums.into_iter().map(|(key, _)| key).collect())
}

/// Sums of a stretch, in Unix microseconds, by key.
pub(super) fn sums(
    connection: &Connection,
    stretch: (u64, u64),
    by: By,
    only: Only,
) -> Result<HashMap<i64, Totals>, StoreError> {
    let mut sums: HashMap<i64, Totals> = HashMap::new();
    cells::read(connection, stretch, Level::Day, by, only, true, &mut |cell| {
        rollup::add(sums.entry(cell.key).or_default(), &cell.totals);
    })?;
    Ok(sums)
}

/// Groups of a stretch of time.
pub(super) fn usage(connection: &Connection, query: &UsageQuery) -> Result<Vec<UsageGroup>, StoreError> {
    let only = only(
        connection,
        query.user.as_deref(),
        query.model.as_deref(),
        query.provider.as_deref(),
    )?;
    let Some(only) = only else { return Ok(Vec::new()) };
    let stretch = (
        query.since.map_or(0, |time| time.0),
        query.until.map_or(u64::MAX, |UnixMicros(time)| time),
    );
    let by = match query.by {
        GroupBy::User => By::User,
        GroupBy::Model => By::Model,
        GroupBy::Provider => By::Provider,
        GroupBy::Api => By::Api,
        GroupBy::Hour => return by_time(connection, stretch, Level::Hour, only, query.limit),
        GroupBy::Day => return by_time(connection, stretch, Level::Day, only, query.limit),
    };
    // A name is looked up for what is shown, not for each of ten thousand.
    let mut sums: Vec<(i64, Totals)> = sums(connection, stretch, by, only)?.into_iter().collect();
    sums.sort_by_key(|(key, totals)| (Reverse(query.sort.of(totals)), *key));
    sums.truncate(query.limit);
    let mut groups = Vec::with_capacity(sums.len());
    for (key, totals) in sums {
        let key = cells::name(connection, by, key)?;
        groups.push(UsageGroup { key, totals });
    }
    let rank = |group: &UsageGroup| Reverse(query.sort.of(&group.totals));
    groups.sort_by(|a, b| (rank(a), &a.key).cmp(&(rank(b), &b.key)));
    Ok(groups)
}

/// The newest hours or days, in order.
fn by_time(
    connection: &Connection,
    stretch: (u64, u64),
    level: Level,
    only: Only,
    limit: usize,
) -> Result<Vec<UsageGroup>, StoreError> {
    let mut sums: BTreeMap<u64, Totals> = BTreeMap::new();
    cells::read(
        connection,
        stretch,
        level,
        By::Nothing,
        only,
        false,
        &mut |cell| {
            let begins = cell.second / level.seconds() * level.seconds();
            rollup::add(sums.entry(begins).or_default(), &cell.totals);
        },
    )?;
    let surplus = sums.len().saturating_sub(limit);
    let groups = sums.into_iter().skip(surplus);
    Ok(groups
        .map(|(begins, totals)| UsageGroup {
            key: begins.to_string(),
            totals,
        })
        .collect())
}
