//! The largest sessions of a period. Sizes change with every request, so that no list of them is kept: an index by the
//! last request holds the sizes, too, and as many of its newest entries are looked through as are read in a moment.

use rusqlite::{Connection, OptionalExtension as _, params_from_iter};
use sluice_shared::units::UnixMicros;

use super::{SessionId, SessionQuery, SessionRow};
use crate::store::cells::number;
use crate::store::detail::{TextId, int};
use crate::store::sqlite::Sqlite;
use crate::store::{Pending, StoreError};

/// Most sessions that are looked through.
const CONSIDERED: i64 = 100_000;
/// Where each is asked for its models.
const CONSIDERED_OF_MODEL: i64 = 20_000;

/// What sessions are sorted by, the largest first.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Size {
    Cost,
    Requests,
    /// Prompt and generated ones.
    Tokens,
}

impl Size {
    /// The size of a session.
    pub(crate) const fn of(self, session: &SessionRow) -> u64 {
        let totals = &session.sum.totals;
        match self {
            Self::Cost => totals.cost_nanousd,
            Self::Requests => totals.requests,
            Self::Tokens => totals.input.saturating_add(totals.output),
        }
    }

    const fn column(self) -> &'static str {
        match self {
            Self::Cost => "s.cost_nanousd",
            Self::Requests => "s.requests",
            // Each is at most 1 << 61.
            Self::Tokens => "s.input + s.output",
        }
    }
}

/// The largest sessions.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct TopSessions {
    pub(crate) sessions: Vec<SessionRow>,
    /// Those whose last request began before this were not looked at: there were too many. `None`: all were.
    pub(crate) considered_since: Option<UnixMicros>,
}

/// The part of a store that knows the largest sessions.
pub(crate) trait TopSessionRows {
    /// The largest sessions of a query, where `after` is the size, and the number, of the last one on the page before.
    fn top_sessions<'a>(
        &'a self,
        query: &'a SessionQuery,
        size: Size,
        after: Option<(u64, i64)>,
    ) -> Pending<'a, TopSessions>;
}

impl TopSessionRows for Sqlite {
    fn top_sessions<'a>(
        &'a self,
        query: &'a SessionQuery,
        size: Size,
        after: Option<(u64, i64)>,
    ) -> Pending<'a, TopSessions> {
        let asked = query.clone();
        Box::pin(async move {
            let bound = if asked.model.is_some() {
                CONSIDERED_OF_MODEL
            } else {
                CONSIDERED
            };
            let found = self
                .views
                .ask(move |connection| top(connection, &asked, size, after, bound));
            let (ids, considered_since) = found.await?;
            let mut sessions = Vec::with_capacity(ids.len());
            for id in ids {
                sessions.extend(self.session_row(id).await?);
            }
            Ok(TopSessions {
                sessions,
                considered_since,
            })
        })
    }
}

/// The ids of the largest of the newest `bound` sessions, and from where on they were looked at if there are more.
fn top(
    connection: &Connection,
    query: &SessionQuery,
    size: Size,
    after: Option<(u64, i64)>,
    bound: i64,
) -> Result<(Vec<SessionId>, Option<UnixMicros>), StoreError> {
    let mut numbers = [None; 2];
    for (place, text) in numbers.iter_mut().zip([&query.user, &query.model]) {
        if let Some(text) = text {
            *place = number(connection, text)?;
            if place.is_none() {
                return Ok((Vec::new(), None));
            }
        }
    }
    let (mut since, until) = (
        query.since.map_or(0, |time| int(time.0)),
        query.until.map_or(i64::MAX, |time| int(time.0)),
    );
    let (filter, mut values) = filter(query, numbers);
    let index = index(numbers[0].is_some());
    let cut: Option<i64> = connection
        .prepare_cached(&format!(
            "SELECT s.last FROM sessions s INDEXED BY {index} WHERE s.last >= ?1 AND s.last < ?2{filter} \
             ORDER BY s.last DESC LIMIT 1 OFFSET {bound}"
        ))?
        .query_row(params_from_iter([since, until].iter().chain(&values)), |row| {
            row.get(0)
        })
        .optional()?;
    if let Some(cut) = cut {
        since = cut.saturating_add(1);
    }
    let all = list(size, &filter, index, values.len(), after.is_some());
    if let Some((size, number)) = after {
        values.extend([int(size), number]);
    }
    values.push(i64::from(query.limit));
    let mut select = connection.prepare_cached(&all)?;
    let ids = select.query_map(params_from_iter([since, until].iter().chain(&values)), |row| {
        row.get(0).map(SessionId)
    })?;
    let ids = ids.collect::<Result<_, _>>()?;
    let considered = cut.and_then(|_| u64::try_from(since).ok()).map(UnixMicros);
    Ok((ids, considered))
}

const fn index(of_user: bool) -> &'static str {
    if of_user {
        "sessions_by_user"
    } else {
        "sessions_by_last"
    }
}

/// What sessions must be besides being of the period, with what is bound from `?3` on.
fn filter(query: &SessionQuery, [user, model]: [Option<TextId>; 2]) -> (String, Vec<i64>) {
    let (mut filter, mut values) = (String::new(), Vec::new());
    let mut place = |value: i64| {
        values.push(value);
        values.len() + 2
    };
    if let Some(user) = user {
        filter += &format!(" AND s.user = ?{}", place(user));
    }
    if let Some(client) = query.client {
        filter += &format!(" AND s.client = ?{}", place(client as i64));
    }
    if let Some(model) = model {
        filter += &format!(
            " AND EXISTS (SELECT 1 FROM session_models o WHERE o.session = s.number AND o.model = ?{})",
            place(model)
        );
    }
    (filter, values)
}

/// The statement of the list: sizes come from the index, and only what is shown from the sessions.
fn list(size: Size, filter: &str, index: &str, bound: usize, after: bool) -> String {
    let column = size.column();
    let (behind, limit) = if after {
        let (size, number) = (bound + 3, bound + 4);
        (
            format!(" AND ({column}, s.number) < (?{size}, ?{number})"),
            bound + 5,
        )
    } else {
        (String::new(), bound + 3)
    };
    format!(
        "SELECT w.id FROM (SELECT s.number AS number, {column} AS size FROM sessions s INDEXED BY {index} \
         WHERE s.last >= ?1 AND s.last < ?2{filter}{behind} ORDER BY size DESC, s.number DESC LIMIT ?{limit}) t \
         CROSS JOIN sessions w ON w.number = t.number"
    )
}

#[cfg(test)]
mod tests {
    use super::super::Client;
    use super::*;
    use crate::store::tests::record;
    use crate::store::{Batch, Store as _};

    #[tokio::test]
    async fn what_was_not_looked_at_is_said() {
        let folder = tempfile::tempdir().unwrap();
        let store = Sqlite::open(folder.path()).await.unwrap();
        // The older, the larger.
        let records = (1..=5).flat_map(|session: u64| {
            (0..6 - session).map(move |n| {
                let mut r = record(session * 10 + n, session * 1_000_000);
                (r.user, r.session) = ("a".into(), Some(format!("s{session}")));
                r
            })
        });
        let batch = Batch {
            records: records.collect(),
            ..Batch::default()
        };
        store.ingest(&batch).await.unwrap();
        let query = SessionQuery {
            limit: 2,
            ..SessionQuery::default()
        };
        let id = |session: u64| SessionId::of("a", &format!("s{session}"));
        let check = |bound: i64, after, expected: &[u64], considered: Option<u64>| {
            let writer = store.writer();
            let (ids, since) = top(&writer.connection, &query, Size::Requests, after, bound).unwrap();
            let expected: Vec<SessionId> = expected.iter().map(|session| id(*session)).collect();
            assert_eq!((ids, since.map(|time| time.0)), (expected, considered), "{bound}");
        };
        check(5, None, &[1, 2], None);
        check(5, Some((4, i64::MAX)), &[2, 3], None);
        check(3, None, &[3, 4], Some(2_000_001));
        check(1, None, &[5], Some(4_000_001));
    }

    #[tokio::test]
    async fn sizes_are_read_from_an_index() {
        let folder = tempfile::tempdir().unwrap();
        let store = Sqlite::open(folder.path()).await.unwrap();
        for bits in 0u8..16 {
            let has = |bit: u8| (bits >> bit & 1 == 1).then_some(i64::from(bit));
            let query = SessionQuery {
                client: has(2).map(|_| Client::Codex),
                ..SessionQuery::default()
            };
            let (filter, values) = filter(&query, [has(0), has(1)]);
            for size in [Size::Cost, Size::Requests, Size::Tokens] {
                let index = index(has(0).is_some());
                let sql = list(size, &filter, index, values.len(), has(3).is_some());
                let plan = crate::store::tests::plan(&store, &sql);
                let covering = format!("SEARCH s USING COVERING INDEX {index}");
                assert!(
                    plan.iter().any(|step| step.starts_with(&covering)),
                    "{sql}: {plan:?}"
                );
                assert!(
                    !plan.iter().any(|step| step.starts_with("SCAN s")),
                    "{sql}: {plan:?}"
                );
            }
        }
    }
}
