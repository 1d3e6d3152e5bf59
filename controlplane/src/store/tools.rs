//! How often tools are called: sums by hour, user and name, written in the transaction that stores the captures which the
//! calls stand in. They stay when captures and calls are purged.
//!
//! Names come from models, which may make up as many as they like: of an hour the first [`NAMES_MAX`] count by name, what
//! comes later under [`OTHER`], and none is longer than [`NAME_BYTES_MAX`].

use std::collections::{BTreeMap, HashMap, HashSet};

use rusqlite::{Connection, params};

use super::detail::{TextId, int};
use super::sqlite::{Sqlite, number_in};
use super::{Pending, StoreError};

/// Names of an hour that count by name.
pub(crate) const NAMES_MAX: usize = 1_000;
/// Longest name that is kept, in bytes; of longer ones the beginning counts.
pub(crate) const NAME_BYTES_MAX: usize = 128;
/// Stands for all other names, and for a call without one.
pub(crate) const OTHER: &str = "";
/// Tools of one answer, the most called first.
pub(crate) const TOOLS_MAX: u32 = 500;
/// In place of a user: everybody.
const EVERYBODY: TextId = -1;
/// Hours whose names are remembered.
const HOURS_REMEMBERED: usize = 24;
const HOUR_US: u64 = 3_600_000_000;

/// Which calls are wanted.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct ToolSumsQuery {
    /// Hours from here on, in Unix seconds.
    pub(crate) from: u64,
    /// Up to, and without, this one.
    pub(crate) to: u64,
    /// Seconds of a step: whole hours.
    pub(crate) step: u64,
    pub(crate) user: Option<String>,
    /// How many tools get a line of their own.
    pub(crate) top: u32,
    /// The period reaches up to now, so that it can be said how many users there were.
    pub(crate) open: bool,
}

/// How often a tool was called.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct ToolSum {
    pub(crate) name: String,
    pub(crate) calls: u64,
    /// Of these: run by the provider.
    pub(crate) hosted: u64,
    /// Who had it called; `None`: not known for a period that is over.
    pub(crate) users: Option<u64>,
    /// Last call in the period, in Unix microseconds.
    pub(crate) last: u64,
}

/// Calls of a period.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct ToolSums {
    /// The most called first; at most [`TOOLS_MAX`].
    pub(crate) tools: Vec<ToolSum>,
    /// Calls of the first `top` of them, by step.
    pub(crate) series: Vec<BTreeMap<u64, u64>>,
    /// All calls, by step.
    pub(crate) all: BTreeMap<u64, u64>,
    pub(crate) calls: u64,
    pub(crate) hosted: u64,
}

/// The part of a store that knows how often tools are called.
pub(crate) trait ToolSumRows: Send + Sync {
    /// Calls of a period.
    fn tool_sums<'a>(&'a self, query: &'a ToolSumsQuery) -> Pending<'a, ToolSums>;
}

/// Names that count, by hour.
#[derive(Default)]
pub(super) struct Names {
    hours: HashMap<u64, HashSet<Box<str>>>,
}

impl Names {
    /// The name under which a call counts. Belongs to the transaction of the connection: if that is rolled back, call
    /// [`Self::forget`].
    fn of<'a>(&mut self, connection: &Connection, hour: u64, name: &'a str) -> Result<&'a str, StoreError> {
        let name = cut(name);
        if !self.hours.contains_key(&hour) {
            if self.hours.len() >= HOURS_REMEMBERED {
                self.forget();
            }
            let mut select =
                connection.prepare_cached("SELECT name FROM tool_sums WHERE user = ? AND hour = ?")?;
            let known = select.query_map([EVERYBODY, int(hour)], |row| row.get(0))?;
            self.hours.insert(hour, known.collect::<Result<_, _>>()?);
        }
        let Some(names) = self.hours.get_mut(&hour) else {
            return Ok(OTHER);
        };
        if names.contains(name) {
            return Ok(name);
        }
        if names.len() >= NAMES_MAX {
            return Ok(OTHER);
        }
        names.insert(name.into());
        Ok(name)
    }

    /// Forgets everything.
    pub(super) fn forget(&mut self) {
        self.hours = HashMap::new();
    }
}

/// The beginning of a name.
fn cut(name: &str) -> &str {
    let end = (0..=name.len().min(NAME_BYTES_MAX))
        .rev()
        .find(|at| name.is_char_boundary(*at));
    name.get(..end.unwrap_or(0)).unwrap_or_default()
}

/// Calls of a batch.
#[derive(Default)]
pub(super) struct Called<'a> {
    sums: HashMap<(TextId, u64, &'a str), Sum>,
}

#[derive(Default)]
struct Sum {
    calls: u64,
    hosted: u64,
    first: u64,
    last: u64,
}

impl Sum {
    fn add(&mut self, time: u64, hosted: bool) {
        self.first = if self.calls == 0 {
            time
        } else {
            self.first.min(time)
        };
        self.last = self.last.max(time);
        self.calls += 1;
        self.hosted += u64::from(hosted);
    }
}

impl<'a> Called<'a> {
    /// A call that was stored.
    pub(super) fn add(
        &mut self,
        connection: &Connection,
        names: &mut Names,
        user: TextId,
        time: u64,
        (name, hosted): (&'a str, bool),
    ) -> Result<(), StoreError> {
        let hour = time / HOUR_US * 3_600;
        let name = names.of(connection, hour, name)?;
        for user in [EVERYBODY, user] {
            self.sums.entry((user, hour, name)).or_default().add(time, hosted);
        }
        Ok(())
    }

    /// Writes the sums. Belongs to the transaction of the connection.
    pub(super) fn write(&self, connection: &Connection) -> Result<(), StoreError> {
        if self.sums.is_empty() {
            return Ok(());
        }
        let mut sums = connection.prepare_cached(
            "INSERT INTO tool_sums (user,hour,name,calls,hosted,last) VALUES (?,?,?,?,?,?) ON CONFLICT DO UPDATE SET \
             calls = calls + excluded.calls, hosted = hosted + excluded.hosted, last = max(last, excluded.last)",
        )?;
        let mut users = connection.prepare_cached(
            "INSERT INTO tool_users (name,user,first,last) VALUES (?,?,?,?) ON CONFLICT DO UPDATE SET \
             first = min(first, excluded.first), last = max(last, excluded.last)",
        )?;
        for ((user, hour, name), sum) in &self.sums {
            sums.execute(params![
                user,
                int(*hour),
                name,
                int(sum.calls),
                int(sum.hosted),
                int(sum.last)
            ])?;
            if *user != EVERYBODY {
                users.execute(params![name, user, int(sum.first), int(sum.last)])?;
            }
        }
        Ok(())
    }
}

impl ToolSumRows for Sqlite {
    fn tool_sums<'a>(&'a self, query: &'a ToolSumsQuery) -> Pending<'a, ToolSums> {
        let query = query.clone();
        Box::pin(self.look(move |connection| read(connection, &query)))
    }
}

fn read(connection: &Connection, query: &ToolSumsQuery) -> Result<ToolSums, StoreError> {
    let mut out = ToolSums::default();
    let user: TextId = match &query.user {
        None => EVERYBODY,
        Some(login) => match number_in(connection, login)? {
            Some(user) => user,
            None => return Ok(out),
        },
    };
    let (from, to) = (int(query.from), int(query.to));
    let step = int(query.step.max(3_600));
    let mut users: HashMap<String, u64> = HashMap::new();
    if user == EVERYBODY && query.open {
        let mut select = connection
            .prepare_cached("SELECT name, count(*) FROM tool_users WHERE last >= ? GROUP BY name")?;
        let mut rows = select.query([from.saturating_mul(1_000_000)])?;
        while let Some(row) = rows.next()? {
            users.insert(row.get(0)?, row.get(1)?);
        }
    }
    let mut select = connection.prepare_cached(
        "SELECT name, sum(calls), sum(hosted), max(last) FROM tool_sums WHERE user = ?1 AND hour >= ?2 AND hour < ?3 \
         AND name <> '' GROUP BY name ORDER BY 2 DESC, 1 LIMIT ?4",
    )?;
    let mut rows = select.query(params![user, from, to, TOOLS_MAX])?;
    while let Some(row) = rows.next()? {
        let name: String = row.get(0)?;
        out.tools.push(ToolSum {
            users: match (user, query.open) {
                (EVERYBODY, true) => Some(users.get(&name).copied().unwrap_or(0)),
                (EVERYBODY, false) => None,
                _ => Some(1),
            },
            name,
            calls: row.get(1)?,
            hosted: row.get(2)?,
            last: row.get(3)?,
        });
    }
    let mut select = connection.prepare_cached(
        "SELECT hour / ?4 * ?4, sum(calls), sum(hosted) FROM tool_sums WHERE user = ?1 AND hour >= ?2 AND hour < ?3 \
         GROUP BY 1",
    )?;
    let mut rows = select.query([user, from, to, step])?;
    while let Some(row) = rows.next()? {
        let (calls, hosted): (u64, u64) = (row.get(1)?, row.get(2)?);
        out.calls = out.calls.saturating_add(calls);
        out.hosted = out.hosted.saturating_add(hosted);
        out.all.insert(row.get(0)?, calls);
    }
    let top: Vec<&str> = out
        .tools
        .iter()
        .take(usize::try_from(query.top).unwrap_or(usize::MAX))
        .map(|tool| tool.name.as_str())
        .collect();
    let places: HashMap<&str, usize> = top.iter().enumerate().map(|(at, name)| (*name, at)).collect();
    let mut series = vec![BTreeMap::new(); top.len()];
    if !top.is_empty() {
        let mut select = connection.prepare_cached(
            "SELECT name, hour / ?4 * ?4, sum(calls) FROM tool_sums WHERE user = ?1 AND hour >= ?2 AND hour < ?3 \
             AND name IN (SELECT value FROM json_each(?5)) GROUP BY 1, 2",
        )?;
        let names = serde_json::json!(top).to_string();
        let mut rows = select.query(params![user, from, to, step, names])?;
        while let Some(row) = rows.next()? {
            let name: String = row.get(0)?;
            if let Some(line) = places.get(name.as_str()).and_then(|at| series.get_mut(*at)) {
                line.insert(row.get(1)?, row.get(2)?);
            }
        }
    }
    out.series = series;
    Ok(out)
}

#[cfg(test)]
mod tests;
