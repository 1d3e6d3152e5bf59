//! Lists of sessions and one with its parts. Every list is read in its order from an index.

use std::collections::{BTreeSet, HashMap};

use sluice_shared::ids::RequestId;
use sluice_shared::units::UnixMicros;
use sluice_shared::usage::{SessionSource, UsageRecord};
use sqlx::sqlite::SqliteRow;
use sqlx::{Row as _, SqliteConnection};

use super::{
    AgentRow, Client, ModelRow, PARTS_MAX, SessionDetail, SessionId, SessionQuery, SessionRow, SessionRows,
    Sum, ToolRow, sum_columns,
};
use crate::store::detail::{COLUMNS, TextId, int};
use crate::store::sqlite::{Sqlite, number_of, records, texts_of};
use crate::store::{Pending, StoreError};

const OWN: &str = "number,id,user,node,key,source,client,user_agent,parent,first,last";

impl SessionRows for Sqlite {
    fn sessions<'a>(&'a self, query: &'a SessionQuery) -> Pending<'a, Vec<SessionRow>> {
        Box::pin(async move {
            let mut view = self.read.0.begin().await?;
            let mut numbers = [None; 2];
            for (number, text) in numbers.iter_mut().zip([&query.user, &query.model]) {
                if let Some(text) = text {
                    *number = number_of(&mut view, text).await?;
                    if number.is_none() {
                        return Ok(Vec::new());
                    }
                }
            }
            let (sql, bound) = list_sql(query, numbers);
            let mut list = sqlx::query(&sql);
            for number in bound {
                list = list.bind(number);
            }
            let rows = list.fetch_all(&mut *view).await?;
            sessions(&mut view, &rows).await
        })
    }

    fn session(&self, id: SessionId) -> Pending<'_, Option<SessionDetail>> {
        Box::pin(async move {
            let mut view = self.read.0.begin().await?;
            let sql = format!("SELECT {} FROM sessions s WHERE id = ?", columns());
            let rows = sqlx::query(&sql)
                .bind(id.0.as_slice())
                .fetch_all(&mut *view)
                .await?;
            let Some(session) = sessions(&mut view, &rows).await?.pop() else {
                return Ok(None);
            };
            Ok(Some(SessionDetail {
                agents: agents(&mut view, session.number).await?,
                models: models(&mut view, session.number).await?,
                tools: tools(&mut view, session.number).await?,
                children: children(&mut view, id).await?,
                session,
            }))
        })
    }

    fn session_requests(
        &self,
        number: i64,
        after: Option<(UnixMicros, RequestId)>,
        limit: u32,
    ) -> Pending<'_, Vec<UsageRecord>> {
        Box::pin(async move {
            let mut view = self.read.0.begin().await?;
            let behind = if after.is_some() {
                " AND (o.time, o.request_id) < (?3, ?4)"
            } else {
                ""
            };
            let wanted: Vec<String> = COLUMNS.split(',').map(|column| format!("r.{column}")).collect();
            let sql = format!(
                "SELECT {} FROM session_requests o CROSS JOIN requests r ON r.time = o.time AND \
                 r.request_id = o.request_id WHERE o.session = ?1{behind} ORDER BY o.time DESC, \
                 o.request_id DESC LIMIT ?2",
                wanted.join(",")
            );
            let mut list = sqlx::query(&sql).bind(number).bind(i64::from(limit));
            if let Some((time, id)) = &after {
                list = list.bind(int(time.0)).bind(id.0.as_slice());
            }
            let rows = list.fetch_all(&mut *view).await?;
            records(&mut view, &rows).await
        })
    }
}

impl Sqlite {
    /// A session as it is listed.
    pub(super) async fn session_row(&self, id: SessionId) -> Result<Option<SessionRow>, StoreError> {
        let mut view = self.read.0.begin().await?;
        let sql = format!("SELECT {} FROM sessions s WHERE id = ?", columns());
        let rows = sqlx::query(&sql)
            .bind(id.0.as_slice())
            .fetch_all(&mut *view)
            .await?;
        Ok(sessions(&mut view, &rows).await?.pop())
    }
}

fn columns() -> String {
    let all: Vec<String> = OWN
        .split(',')
        .chain(sum_columns())
        .map(|c| format!("s.{c}"))
        .collect();
    all.join(",")
}

/// The statement of a list, and what is bound to it in order.
pub(super) fn list_sql(query: &SessionQuery, [user, model]: [Option<TextId>; 2]) -> (String, Vec<i64>) {
    let mut bound = vec![
        query.since.map_or(0, |time| int(time.0)),
        query.until.map_or(i64::MAX, |time| int(time.0)),
        i64::from(query.limit),
    ];
    let mut place = |value: i64| {
        bound.push(value);
        format!("?{}", bound.len())
    };
    // The sessions of one user are few; those of a model are found by their last request, as all are.
    let (from, order) = match (user, model) {
        (None, Some(_)) => (
            "session_models m CROSS JOIN sessions s ON s.number = m.session",
            "m",
        ),
        _ => ("sessions s", "s"),
    };
    let number = if order == "m" { "m.session" } else { "s.number" };
    let mut filter = format!("{order}.last >= ?1 AND {order}.last < ?2");
    if let Some(user) = user {
        filter += &format!(" AND s.user = {}", place(user));
    }
    if let Some(model) = model {
        let model = place(model);
        filter += &if order == "m" {
            format!(" AND m.model = {model}")
        } else {
            format!(
                " AND EXISTS (SELECT 1 FROM session_models o WHERE o.session = s.number AND o.model = {model})"
            )
        };
    }
    if let Some(client) = query.client {
        filter += &format!(" AND s.client = {}", place(client as i64));
    }
    if let Some((last, after)) = query.after {
        let (last, after) = (place(int(last.0)), place(after));
        filter += &format!(" AND ({order}.last, {number}) < ({last}, {after})");
    }
    let sql = format!(
        "SELECT {} FROM {from} WHERE {filter} ORDER BY {order}.last DESC, {number} DESC LIMIT ?3",
        columns()
    );
    (sql, bound)
}

async fn sessions(view: &mut SqliteConnection, rows: &[SqliteRow]) -> Result<Vec<SessionRow>, StoreError> {
    let users: BTreeSet<TextId> = rows.iter().map(|row| row.try_get(2)).collect::<Result<_, _>>()?;
    let texts = texts_of(view, users).await?;
    rows.iter().map(|row| session(row, &texts)).collect()
}

fn session(row: &SqliteRow, texts: &HashMap<TextId, String>) -> Result<SessionRow, StoreError> {
    let id = |bytes: &[u8]| bytes.try_into().map(SessionId);
    let small =
        |at: usize, name| usize::try_from(row.try_get::<i64, _>(at)?).map_err(|_| StoreError::Column(name));
    let user: TextId = row.try_get(2)?;
    Ok(SessionRow {
        number: row.try_get(0)?,
        id: id(row.try_get(1)?).map_err(|_| StoreError::Column("id"))?,
        user: texts.get(&user).cloned().ok_or(StoreError::Column("user"))?,
        node: row.try_get(3)?,
        key: row.try_get(4)?,
        source: *SessionSource::ALL
            .get(small(5, "source")?)
            .ok_or(StoreError::Column("source"))?,
        client: *Client::ALL
            .get(small(6, "client")?)
            .ok_or(StoreError::Column("client"))?,
        user_agent: row.try_get(7)?,
        parent: row
            .try_get::<Option<&[u8]>, _>(8)?
            .map(id)
            .transpose()
            .map_err(|_| StoreError::Column("parent"))?,
        first: time(row, 9)?,
        last: time(row, 10)?,
        sum: sum(row, 11)?,
    })
}

fn time(row: &SqliteRow, at: usize) -> Result<UnixMicros, StoreError> {
    let value = u64::try_from(row.try_get::<i64, _>(at)?).map_err(|_| StoreError::Column("time"))?;
    Ok(UnixMicros(value))
}

/// The sums that begin at a column.
fn sum(row: &SqliteRow, from: usize) -> Result<Sum, StoreError> {
    let mut values = [0; 13];
    for (at, value) in (from..).zip(&mut values) {
        *value = row.try_get(at)?;
    }
    Sum::of_values(values)
}

async fn agents(view: &mut SqliteConnection, number: i64) -> Result<Vec<AgentRow>, StoreError> {
    let sql = format!(
        "SELECT agent,parent,first,last,{} FROM session_agents WHERE session = ?1 ORDER BY first, agent LIMIT {PARTS_MAX}",
        sum_columns().join(",")
    );
    let rows = sqlx::query(&sql).bind(number).fetch_all(view).await?;
    let agent = |row: &SqliteRow| {
        Ok(AgentRow {
            agent: row.try_get(0)?,
            parent: row.try_get(1)?,
            first: time(row, 2)?,
            last: time(row, 3)?,
            sum: sum(row, 4)?,
        })
    };
    rows.iter().map(agent).collect()
}

async fn models(view: &mut SqliteConnection, number: i64) -> Result<Vec<ModelRow>, StoreError> {
    let sql = format!(
        "SELECT (SELECT text FROM texts WHERE id = m.model) AS name,{} FROM session_models m WHERE session = ?1 \
         ORDER BY requests DESC, name LIMIT {PARTS_MAX}",
        sum_columns().join(",")
    );
    let rows = sqlx::query(&sql).bind(number).fetch_all(view).await?;
    let model = |row: &SqliteRow| {
        Ok(ModelRow {
            model: row.try_get(0)?,
            sum: sum(row, 1)?,
        })
    };
    rows.iter().map(model).collect()
}

async fn tools(view: &mut SqliteConnection, number: i64) -> Result<Vec<ToolRow>, StoreError> {
    let sql = format!(
        "SELECT c.name, count(*) AS calls FROM sessions s CROSS JOIN tool_calls c ON c.session = s.key AND \
         c.user = s.user WHERE s.number = ?1 GROUP BY c.name ORDER BY calls DESC, c.name LIMIT {PARTS_MAX}"
    );
    let rows = sqlx::query(&sql).bind(number).fetch_all(view).await?;
    let tool = |row: &SqliteRow| {
        Ok(ToolRow {
            name: row.try_get(0)?,
            calls: u64::try_from(row.try_get::<i64, _>(1)?).map_err(|_| StoreError::Column("calls"))?,
        })
    };
    rows.iter().map(tool).collect()
}

async fn children(view: &mut SqliteConnection, id: SessionId) -> Result<Vec<SessionRow>, StoreError> {
    let sql = format!(
        "SELECT {} FROM sessions s WHERE parent = ? ORDER BY first, number LIMIT {PARTS_MAX}",
        columns()
    );
    let rows = sqlx::query(&sql)
        .bind(id.0.as_slice())
        .fetch_all(&mut *view)
        .await?;
    sessions(view, &rows).await
}
