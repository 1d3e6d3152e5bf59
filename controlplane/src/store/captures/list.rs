//! Lists of captures and of tool calls, newest first.
//!
//! A page is found through the index that says most: session, user, name of a tool, else time. What else is asked is
//! filtered along it.

use rusqlite::types::Value;
use rusqlite::{Connection, Row, params_from_iter};
use sluice_shared::api::ApiKind;
use sluice_shared::ids::RequestId;
use sluice_shared::units::UnixMicros;
use sluice_shared::usage::Ended;

use super::super::StoreError;
use super::super::detail::int;
use super::{SegmentState, natural};

/// Which captures are wanted.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct CaptureQuery {
    /// From here on.
    pub(crate) since: Option<UnixMicros>,
    /// Up to, and without, this.
    pub(crate) until: Option<UnixMicros>,
    pub(crate) user: Option<String>,
    /// As the client named it.
    pub(crate) model: Option<String>,
    pub(crate) provider: Option<String>,
    pub(crate) session: Option<String>,
    /// Lowest and highest status.
    pub(crate) status: Option<(u16, u16)>,
    /// At least this many bytes of both bodies together, as they came.
    pub(crate) bytes_min: Option<u64>,
    /// Only what comes after this one in the list.
    pub(crate) after: Option<(UnixMicros, RequestId)>,
    pub(crate) limit: u32,
}

impl CaptureQuery {
    /// Whether a capture is one of those that are wanted, wherever the list is.
    pub(crate) fn matches(&self, c: &CaptureView) -> bool {
        let is = |asked: &Option<String>, has: &str| asked.as_deref().is_none_or(|asked| asked == has);
        c.kept
            && self.since.is_none_or(|since| c.time >= since)
            && self.until.is_none_or(|until| c.time < until)
            && is(&self.user, &c.user)
            && is(&self.model, &c.model)
            && is(&self.provider, &c.provider)
            && self
                .session
                .as_ref()
                .is_none_or(|asked| c.session.as_ref() == Some(asked))
            && self
                .status
                .is_none_or(|(low, high)| (low..=high).contains(&c.status))
            && self
                .bytes_min
                .is_none_or(|min| c.request_bytes.saturating_add(c.answer_bytes) >= min)
    }
}

/// A capture as the index knows it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct CaptureView {
    pub(crate) segment: u64,
    pub(crate) number: u64,
    pub(crate) offset: u64,
    pub(crate) length: u64,
    /// What may be done to its segment.
    pub(crate) state: SegmentState,
    /// Name of its segment's object.
    pub(crate) object: Option<String>,
    pub(crate) request_id: RequestId,
    pub(crate) time: UnixMicros,
    pub(crate) user: String,
    pub(crate) provider: String,
    pub(crate) model: String,
    pub(crate) api: ApiKind,
    pub(crate) status: u16,
    pub(crate) ended: Ended,
    pub(crate) flags: u32,
    pub(crate) request_bytes: u64,
    pub(crate) request_kept: u64,
    pub(crate) answer_bytes: u64,
    pub(crate) answer_kept: u64,
    pub(crate) tool_calls: u64,
    pub(crate) session: Option<String>,
    pub(crate) agent: Option<String>,
    pub(crate) kept: bool,
}

/// Which tool calls are wanted.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct ToolCallQuery {
    pub(crate) since: Option<UnixMicros>,
    pub(crate) until: Option<UnixMicros>,
    pub(crate) user: Option<String>,
    pub(crate) model: Option<String>,
    pub(crate) provider: Option<String>,
    pub(crate) session: Option<String>,
    /// Name of the tool.
    pub(crate) name: Option<String>,
    pub(crate) request: Option<RequestId>,
    /// Only what comes after this one in the list.
    pub(crate) after: Option<ToolCallPlace>,
    pub(crate) limit: u32,
}

/// Where a tool call stands in the list: time of its request, request, place in the answer.
pub(crate) type ToolCallPlace = (UnixMicros, RequestId, u64);

/// A tool call as it is stored.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct ToolCallView {
    pub(crate) request_id: RequestId,
    /// Place in the answer, from 0.
    pub(crate) call: u64,
    pub(crate) time: UnixMicros,
    pub(crate) user: String,
    pub(crate) provider: String,
    pub(crate) model: String,
    pub(crate) session: Option<String>,
    pub(crate) agent: Option<String>,
    pub(crate) name: String,
    pub(crate) call_id: String,
    pub(crate) arguments: String,
    pub(crate) arguments_bytes: u64,
    pub(crate) hosted: bool,
}

const CAPTURE: &str = "c.segment,c.number,c.offset,c.length,s.state,s.object,c.request_id,c.time,u.text,p.text,m.text,\
                       c.api,c.status,c.ended,c.flags,c.request_bytes,c.request_kept,c.answer_bytes,c.answer_kept,\
                       c.tool_calls,c.session,c.agent,c.kept";
// A segment whose captures go is none that anybody should look into.
const CAPTURE_FROM: &str = "captures c CROSS JOIN capture_segments s ON s.number = c.segment AND s.state < 4 \
                            CROSS JOIN texts u ON u.id = c.user CROSS JOIN texts p ON p.id = c.provider \
                            CROSS JOIN texts m ON m.id = c.model";
const CALL: &str = "c.request_id,c.call,c.time,u.text,p.text,m.text,c.session,c.agent,c.name,c.call_id,c.arguments,\
                    c.arguments_bytes,c.hosted";
const CALL_FROM: &str = "tool_calls c CROSS JOIN texts u ON u.id = c.user CROSS JOIN texts p ON p.id = c.provider \
                         CROSS JOIN texts m ON m.id = c.model";
const _: () = assert!(SegmentState::Doomed as u8 == 4, "the lists say so");

/// What a list is filtered by.
struct Filter {
    sql: String,
    bound: Vec<Value>,
}

impl Filter {
    fn new(first: &str) -> Self {
        Self {
            sql: first.to_owned(),
            bound: Vec::new(),
        }
    }

    /// `{}` in `condition` is where the value goes.
    fn and(&mut self, condition: &str, value: impl Into<Value>) {
        self.bound.push(value.into());
        let place = format!("?{}", self.bound.len());
        self.sql += " AND ";
        self.sql += &condition.replace("{}", &place);
    }

    fn time(&mut self, since: Option<UnixMicros>, until: Option<UnixMicros>) {
        if let Some(since) = since {
            self.and("c.time >= {}", int(since.0));
        }
        if let Some(until) = until {
            self.and("c.time < {}", int(until.0));
        }
    }

    /// Filters by the number of a text. Whether there is anything to find.
    fn text(
        &mut self,
        connection: &Connection,
        column: &str,
        text: Option<&String>,
    ) -> Result<bool, StoreError> {
        let Some(text) = text else { return Ok(true) };
        let mut select = connection.prepare_cached("SELECT id FROM texts WHERE text = ?")?;
        let mut rows = select.query([text])?;
        let Some(row) = rows.next()? else { return Ok(false) };
        let id: i64 = row.get(0)?;
        self.and(&format!("c.{column} = {{}}"), id);
        Ok(true)
    }
}

pub(super) fn one(connection: &Connection, id: RequestId) -> Result<Option<CaptureView>, StoreError> {
    let sql = format!("SELECT {CAPTURE} FROM {CAPTURE_FROM} WHERE c.request_id = ?");
    let mut select = connection.prepare_cached(&sql)?;
    let mut rows = select.query([id.0.as_slice()])?;
    rows.next()?.map(read_capture).transpose()
}

pub(super) fn after(
    connection: &Connection,
    (segment, number): (i64, i64),
    limit: u32,
) -> Result<Vec<CaptureView>, StoreError> {
    let sql = format!(
        "SELECT {CAPTURE} FROM {CAPTURE_FROM} WHERE (c.segment, c.number) > (?, ?) AND c.kept = 1 \
         ORDER BY c.segment, c.number LIMIT ?"
    );
    let mut select = connection.prepare_cached(&sql)?;
    let mut rows = select.query((segment, number, limit))?;
    let mut out = Vec::new();
    while let Some(row) = rows.next()? {
        out.push(read_capture(row)?);
    }
    Ok(out)
}

pub(super) fn captures(
    connection: &Connection,
    query: &CaptureQuery,
) -> Result<Vec<CaptureView>, StoreError> {
    // One view: texts are there when their rows are.
    let view = connection.unchecked_transaction()?;
    let mut filter = Filter::new("c.kept = 1");
    filter.time(query.since, query.until);
    for (column, text) in [
        ("user", &query.user),
        ("model", &query.model),
        ("provider", &query.provider),
    ] {
        if !filter.text(&view, column, text.as_ref())? {
            return Ok(Vec::new());
        }
    }
    if let Some(session) = &query.session {
        filter.and("c.session IS NOT NULL AND c.session = {}", session.clone());
    }
    if let Some((low, high)) = query.status {
        filter.and("c.status >= {}", i64::from(low));
        filter.and("c.status <= {}", i64::from(high));
    }
    if let Some(bytes) = query.bytes_min {
        filter.and("c.request_bytes + c.answer_bytes >= {}", int(bytes));
    }
    if let Some((time, id)) = query.after {
        filter.and("c.time <= {}", int(time.0));
        filter.bound.push(id.0.to_vec().into());
        let (time, id) = (filter.bound.len() - 1, filter.bound.len());
        filter.sql += &format!(" AND (c.time, c.request_id) < (?{time}, ?{id})");
    }
    let index = match (&query.session, &query.user) {
        (Some(_), _) => "captures_by_session",
        (None, Some(_)) => "captures_by_user",
        (None, None) => "captures_by_time",
    };
    let from = CAPTURE_FROM.replacen("captures c", &format!("captures c INDEXED BY {index}"), 1);
    let sql = format!(
        "SELECT {CAPTURE} FROM {from} WHERE {} ORDER BY c.time DESC, c.request_id DESC LIMIT {}",
        filter.sql, query.limit
    );
    let mut select = view.prepare_cached(&sql)?;
    let mut rows = select.query(params_from_iter(filter.bound))?;
    let mut out = Vec::new();
    while let Some(row) = rows.next()? {
        out.push(read_capture(row)?);
    }
    Ok(out)
}

pub(super) fn tool_calls(
    connection: &Connection,
    query: &ToolCallQuery,
) -> Result<Vec<ToolCallView>, StoreError> {
    let view = connection.unchecked_transaction()?;
    let mut filter = Filter::new("1");
    filter.time(query.since, query.until);
    for (column, text) in [
        ("user", &query.user),
        ("model", &query.model),
        ("provider", &query.provider),
    ] {
        if !filter.text(&view, column, text.as_ref())? {
            return Ok(Vec::new());
        }
    }
    if let Some(session) = &query.session {
        filter.and("c.session IS NOT NULL AND c.session = {}", session.clone());
    }
    if let Some(name) = &query.name {
        filter.and("c.name = {}", name.clone());
    }
    if let Some(request) = &query.request {
        filter.and("c.request_id = {}", request.0.to_vec());
    }
    if let Some((time, id, call)) = query.after {
        filter.and("c.time <= {}", int(time.0));
        filter.bound.push(id.0.to_vec().into());
        filter.bound.push(int(call).into());
        let last = filter.bound.len();
        // Newest requests first, and in them the calls as they were made.
        filter.sql += &format!(
            " AND ((c.time, c.request_id) < (?{0}, ?{1}) OR (c.time = ?{0} AND c.request_id = ?{1} AND c.call > ?{2}))",
            last - 2,
            last - 1,
            last
        );
    }
    let index = match (&query.request, &query.session, &query.name, &query.user) {
        (Some(_), _, _, _) => "tool_calls_by_request",
        (None, Some(_), _, _) => "tool_calls_by_session",
        (None, None, Some(_), _) => "tool_calls_by_name",
        (None, None, None, Some(_)) => "tool_calls_by_user",
        (None, None, None, None) => "tool_calls_by_time",
    };
    let from = CALL_FROM.replacen("tool_calls c", &format!("tool_calls c INDEXED BY {index}"), 1);
    let sql = format!(
        "SELECT {CALL} FROM {from} WHERE {} ORDER BY c.time DESC, c.request_id DESC, c.call LIMIT {}",
        filter.sql, query.limit
    );
    let mut select = view.prepare_cached(&sql)?;
    let mut rows = select.query(params_from_iter(filter.bound))?;
    let mut out = Vec::new();
    while let Some(row) = rows.next()? {
        out.push(read_call(row)?);
    }
    Ok(out)
}

fn read_capture(row: &Row<'_>) -> Result<CaptureView, StoreError> {
    let number = |at: usize, name: &'static str| natural(row.get(at)?, name);
    Ok(CaptureView {
        segment: number(0, "segment")?,
        number: number(1, "number")?,
        offset: number(2, "offset")?,
        length: number(3, "length")?,
        state: SegmentState::ALL
            .get(row.get::<_, usize>(4)?)
            .copied()
            .ok_or(StoreError::Column("state"))?,
        object: row.get(5)?,
        request_id: RequestId(row.get(6)?),
        time: UnixMicros(number(7, "time")?),
        user: row.get(8)?,
        provider: row.get(9)?,
        model: row.get(10)?,
        api: ApiKind::from_index(row.get(11)?).ok_or(StoreError::Column("api"))?,
        status: row.get(12)?,
        ended: Ended::from_index(row.get(13)?).ok_or(StoreError::Column("ended"))?,
        flags: row.get(14)?,
        request_bytes: number(15, "request_bytes")?,
        request_kept: number(16, "request_kept")?,
        answer_bytes: number(17, "answer_bytes")?,
        answer_kept: number(18, "answer_kept")?,
        tool_calls: number(19, "tool_calls")?,
        session: row.get(20)?,
        agent: row.get(21)?,
        kept: row.get(22)?,
    })
}

fn read_call(row: &Row<'_>) -> Result<ToolCallView, StoreError> {
    let number = |at: usize, name: &'static str| natural(row.get(at)?, name);
    Ok(ToolCallView {
        request_id: RequestId(row.get(0)?),
        call: number(1, "call")?,
        time: UnixMicros(number(2, "time")?),
        user: row.get(3)?,
        provider: row.get(4)?,
        model: row.get(5)?,
        session: row.get(6)?,
        agent: row.get(7)?,
        name: row.get(8)?,
        call_id: row.get(9)?,
        arguments: row.get(10)?,
        arguments_bytes: number(11, "arguments_bytes")?,
        hosted: row.get(12)?,
    })
}
