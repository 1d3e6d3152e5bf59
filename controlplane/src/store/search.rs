//! What a few letters could mean: people, models, sessions, requests and tools whose names or ids begin so. Each kind is
//! looked for in an index and cut after a few.

use rusqlite::types::Value;
use rusqlite::{Connection, OptionalExtension as _, params, params_from_iter};
use sluice_shared::ids::RequestId;
use sluice_shared::units::UnixMicros;

use super::detail::TextId;
use super::ledger::after_prefix;
use super::sessions::SessionId;
use super::sqlite::{Sqlite, number_in};
use super::{Pending, StoreError};

/// Entries of each kind.
pub(crate) const FOUND_MAX: usize = 8;
/// Rows that are looked at for a kind.
const LOOKED_MAX: i64 = 500;
/// Sessions of a user that are looked through, the newest first.
const SESSIONS_LOOKED_MAX: i64 = 2_000;
/// Digits of an id that are enough to look for requests.
const DIGITS_MIN: usize = 8;

/// What is looked for.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct SearchQuery {
    /// Not empty.
    pub(crate) text: String,
    /// Of this login only.
    pub(crate) user: Option<String>,
}

/// A session by its names.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct SessionFound {
    pub(crate) id: SessionId,
    pub(crate) key: String,
    pub(crate) last: UnixMicros,
}

/// What was found.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct SearchFound {
    pub(crate) people: Vec<String>,
    pub(crate) models: Vec<String>,
    pub(crate) sessions: Vec<SessionFound>,
    pub(crate) requests: Vec<RequestId>,
    pub(crate) tools: Vec<String>,
}

/// The part of a store that finds things by a few letters.
pub(crate) trait SearchRows: Send + Sync {
    /// What the text could mean.
    fn search<'a>(&'a self, query: &'a SearchQuery) -> Pending<'a, SearchFound>;
    /// When a model was last asked for or answered, to the second.
    fn last_seen<'a>(&'a self, model: &'a str) -> Pending<'a, Option<UnixMicros>>;
}

impl SearchRows for Sqlite {
    fn search<'a>(&'a self, query: &'a SearchQuery) -> Pending<'a, SearchFound> {
        let query = query.clone();
        Box::pin(self.look(move |connection| search(connection, &query)))
    }

    fn last_seen<'a>(&'a self, model: &'a str) -> Pending<'a, Option<UnixMicros>> {
        let model = model.to_owned();
        Box::pin(self.look(move |connection| {
            let Some(number) = number_in(connection, &model)? else {
                return Ok(None);
            };
            let mut select = connection.prepare_cached("SELECT max(second) FROM seen WHERE value = ?")?;
            let second: Option<u64> = select.query_row([number], |row| row.get(0))?;
            Ok(second.map(|second| UnixMicros(second.saturating_mul(1_000_000))))
        }))
    }
}

fn search(connection: &Connection, query: &SearchQuery) -> Result<SearchFound, StoreError> {
    let user = match &query.user {
        None => None,
        Some(login) => match number_in(connection, login)? {
            Some(number) => Some(number),
            // Nothing was ever stored of them.
            None => return Ok(SearchFound::default()),
        },
    };
    let text = query.text.as_str();
    Ok(SearchFound {
        people: match &query.user {
            Some(login) if login.starts_with(text) => vec![login.clone()],
            Some(_) => Vec::new(),
            None => people(connection, text)?,
        },
        models: models(connection, text, user)?,
        sessions: sessions(connection, text, user)?,
        requests: requests(connection, text, user)?,
        tools: tools(connection, text, user)?,
    })
}

/// Texts that begin so, as far as `kind` holds of their numbers.
fn texts(
    connection: &Connection,
    prefix: &str,
    kind: &str,
    user: Option<TextId>,
) -> Result<Vec<String>, StoreError> {
    let end = after_prefix(prefix);
    let below = if end.is_some() {
        "AND text < ?2"
    } else {
        "AND ?2 IS NULL"
    };
    let mut select = connection.prepare(&format!(
        "SELECT text FROM (SELECT id, text FROM texts WHERE text >= ?1 {below} AND text <> '' ORDER BY text \
         LIMIT {LOOKED_MAX}) t WHERE EXISTS ({kind}) LIMIT {FOUND_MAX}"
    ))?;
    let bound = [
        Value::Text(prefix.to_owned()),
        end.map_or(Value::Null, Value::Text),
    ];
    let bound = bound.into_iter().chain(user.map(Value::Integer));
    let rows = select.query_map(params_from_iter(bound), |row| row.get(0))?;
    Ok(rows.collect::<Result<_, _>>()?)
}

fn people(connection: &Connection, text: &str) -> Result<Vec<String>, StoreError> {
    texts(
        connection,
        text,
        "SELECT 1 FROM people p WHERE p.user = t.id",
        None,
    )
}

fn models(connection: &Connection, text: &str, user: Option<TextId>) -> Result<Vec<String>, StoreError> {
    let kind = match user {
        None => "SELECT 1 FROM active a WHERE a.model = t.id",
        Some(_) => {
            "SELECT 1 FROM (SELECT number FROM sessions WHERE user = ?3 ORDER BY last DESC LIMIT 200) s \
             CROSS JOIN session_models m ON m.session = s.number WHERE m.model = t.id"
        }
    };
    texts(connection, text, kind, user)
}

/// The least and the greatest id that begin with some hexadecimal digits.
fn id_range(text: &str) -> Option<([u8; 16], [u8; 16])> {
    let digits: Vec<u8> = text
        .bytes()
        .filter(|byte| *byte != b'-')
        .map(|byte| {
            char::from(byte)
                .to_digit(16)
                .and_then(|digit| u8::try_from(digit).ok())
        })
        .collect::<Option<_>>()?;
    if digits.is_empty() || digits.len() > 32 {
        return None;
    }
    let (mut low, mut high) = ([0; 16], [0xff; 16]);
    for (at, digit) in digits.iter().enumerate() {
        let (shift, mask) = if at % 2 == 0 { (4, 0x0f) } else { (0, 0xf0) };
        for id in [&mut low, &mut high] {
            if let Some(byte) = id.get_mut(at / 2) {
                *byte = *byte & mask | digit << shift;
            }
        }
    }
    Some((low, high))
}

fn sessions(
    connection: &Connection,
    text: &str,
    user: Option<TextId>,
) -> Result<Vec<SessionFound>, StoreError> {
    let mut out: Vec<SessionFound> = Vec::new();
    let mut read = |sql: &str, bound: Vec<Value>| -> Result<(), StoreError> {
        let mut select = connection.prepare(sql)?;
        let mut rows = select.query(params_from_iter(bound))?;
        while let Some(row) = rows.next()? {
            let found = SessionFound {
                id: SessionId(row.get(0)?),
                key: row.get(1)?,
                last: UnixMicros(row.get(2)?),
            };
            if out.len() < FOUND_MAX && !out.iter().any(|known| known.id == found.id) {
                out.push(found);
            }
        }
        Ok(())
    };
    let only = if user.is_some() { " AND user = ?3" } else { "" };
    let own = |values: [Value; 2]| values.into_iter().chain(user.map(Value::Integer)).collect();
    // A few digits are too little: ids are random.
    if let Some((low, high)) = id_range(text).filter(|_| text.len() >= 4) {
        let range = own([Value::Blob(low.to_vec()), Value::Blob(high.to_vec())]);
        read(
            &format!(
                "SELECT id, key, last FROM (SELECT id, key, last, user FROM sessions WHERE id BETWEEN ?1 AND ?2 \
                 LIMIT {LOOKED_MAX}) WHERE 1{only} LIMIT {FOUND_MAX}"
            ),
            range,
        )?;
    }
    let begin = Value::Text(text.to_owned());
    let end = after_prefix(text).map_or(Value::Null, Value::Text);
    let matching = "key >= ?1 AND (?2 IS NULL OR key < ?2)";
    match user {
        None => read(
            &format!(
                "SELECT id, key, last FROM sessions INDEXED BY sessions_by_key WHERE {matching} ORDER BY key \
                 LIMIT {FOUND_MAX}"
            ),
            vec![begin, end],
        )?,
        Some(_) => read(
            &format!(
                "SELECT id, key, last FROM (SELECT id, key, last FROM sessions INDEXED BY sessions_by_user \
                 WHERE user = ?3 ORDER BY last DESC LIMIT {SESSIONS_LOOKED_MAX}) WHERE {matching} LIMIT {FOUND_MAX}"
            ),
            own([begin, end]),
        )?,
    }
    Ok(out)
}

fn requests(connection: &Connection, text: &str, user: Option<TextId>) -> Result<Vec<RequestId>, StoreError> {
    let digits = text.bytes().filter(u8::is_ascii_hexdigit).count();
    let Some((low, high)) = id_range(text).filter(|_| digits >= DIGITS_MIN) else {
        return Ok(Vec::new());
    };
    let mut select = connection.prepare_cached(&format!(
        "SELECT request_id FROM (SELECT request_id, user FROM requests INDEXED BY requests_by_id \
         WHERE request_id BETWEEN ?1 AND ?2 LIMIT {LOOKED_MAX}) WHERE ?3 IS NULL OR user = ?3 LIMIT {FOUND_MAX}"
    ))?;
    let rows = select.query_map(params![low.as_slice(), high.as_slice(), user], |row| {
        Ok(RequestId(row.get(0)?))
    })?;
    Ok(rows.collect::<Result<_, _>>()?)
}

/// Names are gone through one by one: a tool has as many rows as users.
fn tools(connection: &Connection, text: &str, user: Option<TextId>) -> Result<Vec<String>, StoreError> {
    let end = after_prefix(text);
    let mut next = connection.prepare_cached(
        "SELECT name FROM tool_users WHERE name >= ?1 AND name > ?2 AND (?3 IS NULL OR name < ?3) ORDER BY name LIMIT 1",
    )?;
    let mut own = connection.prepare_cached("SELECT 1 FROM tool_users WHERE name = ? AND user = ?")?;
    let (mut out, mut last) = (Vec::new(), String::new());
    for _ in 0..LOOKED_MAX {
        let Some(name) = next
            .query_row(params![text, last, end], |row| row.get::<_, String>(0))
            .optional()?
        else {
            break;
        };
        let theirs = match user {
            None => true,
            Some(user) => own.exists(params![name, user])?,
        };
        if theirs {
            out.push(name.clone());
        }
        if out.len() >= FOUND_MAX {
            break;
        }
        last = name;
    }
    Ok(out)
}

#[cfg(test)]
mod tests;
