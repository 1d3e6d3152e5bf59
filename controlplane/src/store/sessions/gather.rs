//! What a batch adds to its sessions: gathered record by record, written once a session.

use std::collections::{BTreeMap, HashMap};

use rusqlite::{Connection, OptionalExtension as _, ToSql, params_from_iter};
use sluice_shared::ids::RequestId;
use sluice_shared::usage::UsageRecord;

use super::client::client;
use super::{SessionId, Sum, sum_columns};
use crate::store::StoreError;
use crate::store::detail::{TextId, int};
use crate::store::rollup::{self, CAP};

/// Sessions of a batch, by the number of the login and the key.
#[derive(Default)]
pub(in crate::store) struct Gathered<'a> {
    sessions: HashMap<(TextId, &'a str), Session<'a>>,
}

struct Session<'a> {
    /// The one that began first, and last.
    first: &'a UsageRecord,
    last: &'a UsageRecord,
    parent: Option<SessionId>,
    sum: Sum,
    /// A session has few.
    models: Vec<(TextId, Sum)>,
    agents: BTreeMap<&'a str, Agent<'a>>,
    requests: Vec<(u64, RequestId)>,
}

struct Agent<'a> {
    parent: Option<&'a str>,
    first: u64,
    last: u64,
    sum: Sum,
}

/// The session that a record belongs to: its key.
fn key(record: &UsageRecord) -> Option<&str> {
    // Whoever is nobody could put requests into everybody's sessions.
    record.session.as_deref().filter(|_| !record.user.is_empty())
}

impl<'a> Gathered<'a> {
    /// A record that was inserted; `user` and `model` are the numbers that it counts under.
    pub(in crate::store) fn add(&mut self, record: &'a UsageRecord, user: TextId, model: TextId) {
        let Some(key) = key(record) else { return };
        let session = self.sessions.entry((user, key)).or_insert_with(|| Session {
            first: record,
            last: record,
            parent: None,
            sum: Sum::default(),
            models: Vec::new(),
            agents: BTreeMap::new(),
            requests: Vec::new(),
        });
        let place = |r: &UsageRecord| (r.time, r.request_id);
        if place(record) < place(session.first) {
            session.first = record;
        }
        if place(record) > place(session.last) {
            session.last = record;
        }
        let more = Sum {
            totals: rollup::contribution(record, !record.provider.is_empty()),
            tool_calls: u64::from(record.tool_calls),
            busy_us: record.duration_us.min(CAP),
        };
        session.sum.add(&more);
        match session.models.iter_mut().find(|(known, _)| *known == model) {
            Some((_, sum)) => sum.add(&more),
            None => session.models.push((model, more.clone())),
        }
        match (&record.agent, &record.parent) {
            (Some(agent), parent) => {
                let agent = session.agents.entry(agent).or_insert_with(|| Agent {
                    parent: None,
                    first: record.time.0,
                    last: record.time.0,
                    sum: Sum::default(),
                });
                agent.parent = least(agent.parent, parent.as_deref());
                agent.first = agent.first.min(record.time.0);
                agent.last = agent.last.max(record.time.0);
                agent.sum.add(&more);
            }
            // Of the main agent it is the session that started this one.
            (None, Some(parent)) if parent != key => {
                session.parent = least(session.parent, Some(SessionId::of(&record.user, parent)));
            }
            (None, _) => {}
        }
        session.requests.push((record.time.0, record.request_id));
    }

    /// Writes all of them. Belongs to the transaction of the connection.
    pub(in crate::store) fn write(&self, connection: &Connection) -> Result<(), StoreError> {
        if self.sessions.is_empty() {
            return Ok(());
        }
        let mut upsert = connection.prepare_cached(&SESSION)?;
        let mut model_upsert = connection.prepare_cached(&MODEL)?;
        let mut agent_upsert = connection.prepare_cached(&AGENT)?;
        let mut follow = connection
            .prepare_cached("UPDATE session_models SET last = ?2 WHERE session = ?1 AND last <> ?2")?;
        let mut request = connection.prepare_cached(
            "INSERT OR IGNORE INTO session_requests (session,time,request_id) VALUES (?,?,?)",
        )?;
        for ((user, key), session) in &self.sessions {
            let (first, last) = (session.first, session.last);
            let id = SessionId::of(&first.user, key);
            let parent = session.parent.map(|id| id.0);
            let (first_at, last_at) = (int(first.time.0), int(last.time.0));
            let sums = session.sum.values();
            let client = client(first.user_agent.as_deref()) as i64;
            let source = first.session_source as i64;
            let values: [&dyn ToSql; 10] = [
                &id.0,
                user,
                &last.node,
                key,
                &source,
                &client,
                &first.user_agent,
                &parent,
                &first_at,
                &last_at,
            ];
            let values = values.into_iter().chain(sums.iter().map(|sum| sum as &dyn ToSql));
            let (number, last_of_all, requests): (i64, i64, i64) = upsert
                .query_row(params_from_iter(values), |row| {
                    Ok((row.get(0)?, row.get(1)?, row.get(2)?))
                })?;
            for (model, sum) in &session.models {
                let values = [number, *model, last_of_all].into_iter().chain(sum.values());
                model_upsert.execute(params_from_iter(values))?;
            }
            // A session that has just begun has no other models.
            if requests != int(session.requests.len() as u64) {
                follow.execute((number, last_of_all))?;
            }
            for (name, agent) in &session.agents {
                let (first, last) = (int(agent.first), int(agent.last));
                let sums = agent.sum.values();
                let values: [&dyn ToSql; 5] = [&number, name, &agent.parent, &first, &last];
                let values = values.into_iter().chain(sums.iter().map(|sum| sum as &dyn ToSql));
                agent_upsert.execute(params_from_iter(values))?;
            }
            for (time, id) in &session.requests {
                request.execute((number, int(*time), id.0.as_slice()))?;
            }
        }
        Ok(())
    }
}

/// Whatever comes first in whatever order: if a client contradicts itself, the least.
fn least<T: Ord>(one: Option<T>, other: Option<T>) -> Option<T> {
    match (one, other) {
        (Some(one), Some(other)) => Some(one.min(other)),
        (one, other) => one.or(other),
    }
}

/// Corrects what a changed end of a request means to its session.
pub(in crate::store) fn amend(
    connection: &Connection,
    record: &UsageRecord,
    user: TextId,
    model: TextId,
    errors: i64,
    busy_us: i64,
) -> Result<(), StoreError> {
    let Some(key) = record.session.as_deref() else {
        return Ok(());
    };
    let login: Option<String> = connection
        .prepare_cached("SELECT text FROM texts WHERE id = ?")?
        .query_row([user], |row| row.get(0))
        .optional()?;
    let id = SessionId::of(login.as_deref().unwrap_or_default(), key);
    // A record of an earlier version is in no session, although one of its key may have begun since.
    let number: Option<i64> = connection
        .prepare_cached(
            "SELECT o.session FROM sessions s CROSS JOIN session_requests o ON o.session = s.number \
             WHERE s.id = ? AND o.time = ? AND o.request_id = ?",
        )?
        .query_row((id.0, int(record.time.0), record.request_id.0), |row| row.get(0))
        .optional()?;
    let Some(number) = number else { return Ok(()) };
    let set = "errors = max(errors + ?1, 0), busy_us = min(max(busy_us + ?2, 0), ?3)";
    let cap = int(CAP);
    connection
        .prepare_cached(&format!("UPDATE sessions SET {set} WHERE number = ?4"))?
        .execute((errors, busy_us, cap, number))?;
    connection
        .prepare_cached(&format!(
            "UPDATE session_models SET {set} WHERE session = ?4 AND model = ?5"
        ))?
        .execute((errors, busy_us, cap, number, model))?;
    if let Some(agent) = &record.agent {
        connection
            .prepare_cached(&format!(
                "UPDATE session_agents SET {set} WHERE session = ?4 AND agent = ?5"
            ))?
            .execute((errors, busy_us, cap, number, agent))?;
    }
    Ok(())
}

/// An insertion that adds up; `set` says what else happens to a row that is there, besides the sums.
fn upsert(table: &str, columns: &[&str], conflict: &str, set: &str, returning: &str) -> String {
    let sums = sum_columns();
    let all: Vec<&str> = columns.iter().chain(&sums).copied().collect();
    let adding: Vec<String> = sums
        .iter()
        .map(|c| format!("{c} = min({c} + excluded.{c}, {CAP})"))
        .collect();
    format!(
        "INSERT INTO {table} ({}) VALUES ({}) ON CONFLICT ({conflict}) DO UPDATE SET {set}, {} {returning}",
        all.join(","),
        vec!["?"; all.len()].join(","),
        adding.join(", "),
    )
}

static SESSION: std::sync::LazyLock<String> = std::sync::LazyLock::new(|| {
    let early = |c: &str| format!("{c} = CASE WHEN excluded.first < first THEN excluded.{c} ELSE {c} END");
    upsert(
        "sessions",
        &[
            "id",
            "user",
            "node",
            "key",
            "source",
            "client",
            "user_agent",
            "parent",
            "first",
            "last",
        ],
        "id",
        &format!(
            "node = CASE WHEN excluded.last >= last THEN excluded.node ELSE node END, {}, {}, {}, \
             parent = {LEAST_PARENT}, first = min(first, excluded.first), last = max(last, excluded.last)",
            early("source"),
            early("client"),
            early("user_agent"),
        ),
        "RETURNING number, last, requests",
    )
});

static MODEL: std::sync::LazyLock<String> = std::sync::LazyLock::new(|| {
    upsert(
        "session_models",
        &["session", "model", "last"],
        "session, model",
        "last = excluded.last",
        "",
    )
});

static AGENT: std::sync::LazyLock<String> = std::sync::LazyLock::new(|| {
    upsert(
        "session_agents",
        &["session", "agent", "parent", "first", "last"],
        "session, agent",
        &format!(
            "parent = {LEAST_PARENT}, first = min(first, excluded.first), last = max(last, excluded.last)"
        ),
        "",
    )
});

const LEAST_PARENT: &str = "CASE WHEN parent IS NULL THEN excluded.parent WHEN excluded.parent IS NULL THEN parent \
                            ELSE min(parent, excluded.parent) END";
