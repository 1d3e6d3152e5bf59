//! Rows of captures: which segment holds what, and the tool calls in them.
//!
//! A capture is in the index or it does not exist: segments are written and synced first, then one transaction adds the
//! rows and says how far the segment belongs to the index. Rows are clustered by segment, so that what goes with a segment
//! is one range, and the pages that it leaves are given back piece by piece.

mod list;
mod purge;

use rusqlite::{Connection, OptionalExtension as _, Row, TransactionBehavior, params};
use sluice_shared::api::ApiKind;
use sluice_shared::ids::RequestId;
use sluice_shared::units::UnixMicros;
use sluice_shared::usage::{Capture, Ended};

use super::detail::{TextId, int};
use super::outbox::{self, NewEvent};
use super::sqlite::Sqlite;
use super::tools::Called;
use super::writer::Writer;
use super::{Pending, StoreError, detail};
pub(crate) use list::{CaptureQuery, CaptureView, ToolCallPlace, ToolCallQuery, ToolCallView};

/// Bits of [`NewCapture::flags`]: a stream was asked for.
pub(crate) const STREAM: u32 = 1;
/// It has no end: its process died while the request ran.
pub(crate) const UNFINISHED: u32 = 2;
/// Not all of the request body is kept.
pub(crate) const REQUEST_CUT: u32 = 4;
/// Not all of the answer body is kept.
pub(crate) const ANSWER_CUT: u32 = 8;
/// The request body is stored compressed as it came: it could not be decoded within bounds.
pub(crate) const REQUEST_ENCODED: u32 = 16;
/// The same of the answer body.
pub(crate) const ANSWER_ENCODED: u32 = 32;
/// The answer is stored as one object beside its body.
pub(crate) const ASSEMBLED: u32 = 64;

/// What may be done to the file of a segment. Numbers are stored.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(crate) enum SegmentState {
    /// Captures are added.
    Open = 0,
    /// Complete; its file is local.
    Sealed = 1,
    /// Complete and local; its object may exist.
    Uploading = 2,
    /// Its object is verified; a file may be left.
    Remote = 3,
    /// Its captures go: file and object first, then rows.
    Doomed = 4,
    /// Only tool calls are left.
    Gone = 5,
}

impl SegmentState {
    const ALL: [Self; 6] = [
        Self::Open,
        Self::Sealed,
        Self::Uploading,
        Self::Remote,
        Self::Doomed,
        Self::Gone,
    ];

    /// The word that people read.
    pub(crate) const fn name(self) -> &'static str {
        match self {
            Self::Open => "open",
            Self::Sealed => "sealed",
            Self::Uploading => "uploading",
            Self::Remote => "remote",
            Self::Doomed => "doomed",
            Self::Gone => "gone",
        }
    }
}

/// A segment of captures.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct SegmentRow {
    pub(crate) number: u64,
    pub(crate) state: SegmentState,
    /// Its captures are kept; otherwise they are there for hooks alone.
    pub(crate) kept: bool,
    pub(crate) opened: UnixMicros,
    /// How far the file belongs to the index.
    pub(crate) bytes: u64,
    pub(crate) captures: u64,
    /// Times of the oldest and the newest request in it; 0 while it is empty.
    pub(crate) first: UnixMicros,
    pub(crate) newest: UnixMicros,
    /// Name of its object.
    pub(crate) object: Option<String>,
}

/// A capture that is in a segment and is to be in the index.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct NewCapture {
    pub(crate) segment: u64,
    /// Place in the segment, from 0.
    pub(crate) number: u64,
    pub(crate) offset: u64,
    /// Bytes in the segment.
    pub(crate) length: u64,
    pub(crate) request_id: RequestId,
    pub(crate) time: UnixMicros,
    pub(crate) user: String,
    pub(crate) provider: String,
    /// As the client named it.
    pub(crate) model: String,
    pub(crate) api: ApiKind,
    pub(crate) status: u16,
    pub(crate) ended: Ended,
    pub(crate) flags: u32,
    /// Bytes of the request body as it was forwarded.
    pub(crate) request_bytes: u64,
    /// How many of them are kept.
    pub(crate) request_kept: u64,
    pub(crate) answer_bytes: u64,
    pub(crate) answer_kept: u64,
    pub(crate) session: Option<String>,
    pub(crate) agent: Option<String>,
    /// It is kept; otherwise it is there for hooks alone.
    pub(crate) kept: bool,
    /// Calls in the answer; only those of kept captures get rows.
    pub(crate) calls: Vec<NewToolCall>,
    /// Whom to tell of it.
    pub(crate) events: Vec<NewEvent>,
}

/// A tool call in an answer.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct NewToolCall {
    pub(crate) name: String,
    pub(crate) call_id: String,
    pub(crate) arguments: String,
    /// Bytes that there were before they were cut.
    pub(crate) arguments_bytes: u64,
    pub(crate) hosted: bool,
}

/// How far a segment belongs to the index, after a commit.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Reach {
    pub(crate) segment: u64,
    pub(crate) bytes: u64,
}

/// What one transaction commits.
#[derive(Debug, Default)]
pub(crate) struct CaptureBatch {
    /// When it is committed.
    pub(crate) now: UnixMicros,
    pub(crate) captures: Vec<NewCapture>,
    pub(crate) reaches: Vec<Reach>,
}

/// What the store knows of a request whose capture has no end.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Fate {
    /// Nothing: it may still run.
    Unknown,
    /// Its capture is stored.
    Stored,
    /// Its record is there.
    Recorded { ended: Ended, capture: Capture },
}

/// What goes of a segment's rows.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Purge {
    pub(crate) captures: bool,
    pub(crate) tools: bool,
}

/// The part of a store that knows captures.
pub(crate) trait CaptureRows: Send + Sync {
    /// A new open segment; its number.
    fn open_segment(&self, kept: bool, now: UnixMicros) -> Pending<'_, u64>;
    /// Every segment, oldest first.
    fn segments(&self) -> Pending<'_, Vec<SegmentRow>>;
    /// One segment.
    fn segment(&self, number: u64) -> Pending<'_, Option<SegmentRow>>;
    /// Says what may be done to a file, durably; `object` replaces what is there if it is given.
    fn set_segment<'a>(
        &'a self,
        number: u64,
        state: SegmentState,
        object: Option<&'a str>,
    ) -> Pending<'a, ()>;
    /// Adds captures whose bytes are on the disk, in one durable transaction.
    fn add_captures<'a>(&'a self, batch: &'a CaptureBatch) -> Pending<'a, ()>;
    /// What is known of requests, in their order.
    fn fates<'a>(&'a self, ids: &'a [RequestId]) -> Pending<'a, Vec<Fate>>;
    /// One capture, kept or not.
    fn capture(&self, id: RequestId) -> Pending<'_, Option<CaptureView>>;
    /// Kept captures, newest first.
    fn captures<'a>(&'a self, query: &'a CaptureQuery) -> Pending<'a, Vec<CaptureView>>;
    /// Kept captures behind a place, segment and number, in the order in which they were committed.
    fn captures_after(&self, place: (i64, i64), limit: u32) -> Pending<'_, Vec<CaptureView>>;
    /// Tool calls, newest first.
    fn tool_calls<'a>(&'a self, query: &'a ToolCallQuery) -> Pending<'a, Vec<ToolCallView>>;
    /// Whether somebody still has to be told of a capture in the segment.
    fn awaited(&self, segment: u64) -> Pending<'_, bool>;
    /// Removes at most `limit` rows of a segment; whether there may be more.
    fn purge_rows(&self, segment: u64, purge: Purge, limit: u32) -> Pending<'_, bool>;
    /// Forgets a segment that has no rows left.
    fn forget_segment(&self, number: u64) -> Pending<'_, ()>;
    /// Gives up to this many free pages back to the file system; how many are still free.
    fn give_back(&self, pages: u32) -> Pending<'_, u64>;
}

impl CaptureRows for Sqlite {
    fn open_segment(&self, kept: bool, now: UnixMicros) -> Pending<'_, u64> {
        Box::pin(async move {
            let writer = self.writer();
            writer.connection.execute(
                "INSERT INTO capture_segments (state,kept,opened,bytes,captures,first,newest) \
                 VALUES (?,?,?,0,0,0,0)",
                params![SegmentState::Open as i64, kept, int(now.0)],
            )?;
            natural(writer.connection.last_insert_rowid(), "number")
        })
    }

    fn segments(&self) -> Pending<'_, Vec<SegmentRow>> {
        Box::pin(async move {
            let writer = self.writer();
            let mut select = writer
                .connection
                .prepare_cached(&format!("SELECT {SEGMENT} FROM capture_segments ORDER BY number"))?;
            let mut rows = select.query([])?;
            let mut out = Vec::new();
            while let Some(row) = rows.next()? {
                out.push(read_segment(row)?);
            }
            Ok(out)
        })
    }

    fn segment(&self, number: u64) -> Pending<'_, Option<SegmentRow>> {
        Box::pin(async move {
            let writer = self.writer();
            let mut select = writer.connection.prepare_cached(&format!(
                "SELECT {SEGMENT} FROM capture_segments WHERE number = ?"
            ))?;
            let mut rows = select.query([int(number)])?;
            rows.next()?.map(read_segment).transpose()
        })
    }

    fn set_segment<'a>(
        &'a self,
        number: u64,
        state: SegmentState,
        object: Option<&'a str>,
    ) -> Pending<'a, ()> {
        Box::pin(async move {
            self.writer().connection.execute(
                "UPDATE capture_segments SET state = ?, object = coalesce(?, object) WHERE number = ?",
                params![state as i64, object, int(number)],
            )?;
            Ok(())
        })
    }

    fn add_captures<'a>(&'a self, batch: &'a CaptureBatch) -> Pending<'a, ()> {
        Box::pin(async move { self.writer().add_captures(batch) })
    }

    fn fates<'a>(&'a self, ids: &'a [RequestId]) -> Pending<'a, Vec<Fate>> {
        Box::pin(async move {
            let writer = self.writer();
            ids.iter().map(|id| fate(&writer.connection, *id)).collect()
        })
    }

    fn capture(&self, id: RequestId) -> Pending<'_, Option<CaptureView>> {
        Box::pin(self.look(move |connection| list::one(connection, id)))
    }

    fn captures<'a>(&'a self, query: &'a CaptureQuery) -> Pending<'a, Vec<CaptureView>> {
        let query = query.clone();
        Box::pin(self.look(move |connection| list::captures(connection, &query)))
    }

    fn captures_after(&self, place: (i64, i64), limit: u32) -> Pending<'_, Vec<CaptureView>> {
        Box::pin(self.look(move |connection| list::after(connection, place, limit)))
    }

    fn tool_calls<'a>(&'a self, query: &'a ToolCallQuery) -> Pending<'a, Vec<ToolCallView>> {
        let query = query.clone();
        Box::pin(self.look(move |connection| list::tool_calls(connection, &query)))
    }

    fn awaited(&self, segment: u64) -> Pending<'_, bool> {
        Box::pin(async move { purge::awaited(&self.writer().connection, segment) })
    }

    fn purge_rows(&self, segment: u64, purge: Purge, limit: u32) -> Pending<'_, bool> {
        Box::pin(async move { purge::rows(&mut self.writer().connection, segment, purge, limit) })
    }

    fn forget_segment(&self, number: u64) -> Pending<'_, ()> {
        Box::pin(async move {
            self.writer()
                .connection
                .execute("DELETE FROM capture_segments WHERE number = ?", [int(number)])?;
            Ok(())
        })
    }

    fn give_back(&self, pages: u32) -> Pending<'_, u64> {
        Box::pin(async move { purge::give_back(&self.writer().connection, pages) })
    }
}

const SEGMENT: &str = "number,state,kept,opened,bytes,captures,first,newest,object";

fn read_segment(row: &Row<'_>) -> Result<SegmentRow, StoreError> {
    let number = |at: usize, name: &'static str| natural(row.get(at)?, name);
    let state: usize = row.get(1)?;
    Ok(SegmentRow {
        number: number(0, "number")?,
        state: SegmentState::ALL
            .get(state)
            .copied()
            .ok_or(StoreError::Column("state"))?,
        kept: row.get(2)?,
        opened: UnixMicros(number(3, "opened")?),
        bytes: number(4, "bytes")?,
        captures: number(5, "captures")?,
        first: UnixMicros(number(6, "first")?),
        newest: UnixMicros(number(7, "newest")?),
        object: row.get(8)?,
    })
}

fn natural(value: i64, column: &'static str) -> Result<u64, StoreError> {
    u64::try_from(value).map_err(|_| StoreError::Column(column))
}

impl Writer {
    fn add_captures(&mut self, batch: &CaptureBatch) -> Result<(), StoreError> {
        let added = self.try_add_captures(batch);
        if added.is_err() {
            // What was remembered may have been rolled back.
            self.texts.forget();
            self.tools.forget();
        }
        added
    }

    fn try_add_captures(&mut self, batch: &CaptureBatch) -> Result<(), StoreError> {
        let transaction = self
            .connection
            .transaction_with_behavior(TransactionBehavior::Immediate)?;
        let mut called = Called::default();
        {
            let mut insert = transaction.prepare_cached(
                "INSERT INTO captures (segment,number,offset,length,request_id,time,user,provider,model,api,status,\
                 ended,flags,request_bytes,request_kept,answer_bytes,answer_kept,tool_calls,session,agent,kept) \
                 VALUES (?,?,?,?,?,?,?,?,?,?,?,?,?,?,?,?,?,?,?,?,?)",
            )?;
            let mut insert_call = transaction.prepare_cached(
                "INSERT OR IGNORE INTO tool_calls (segment,capture,call,request_id,time,user,provider,model,session,\
                 agent,name,call_id,arguments,arguments_bytes,hosted) VALUES (?,?,?,?,?,?,?,?,?,?,?,?,?,?,?)",
            )?;
            let mut count = transaction.prepare_cached(
                "UPDATE capture_segments SET captures = captures + 1, newest = max(newest, ?2), \
                 first = CASE captures WHEN 0 THEN ?2 ELSE min(first, ?2) END WHERE number = ?1",
            )?;
            for c in &batch.captures {
                let mut number =
                    |text: &str| -> Result<TextId, StoreError> { Ok(self.texts.of(&transaction, text)?) };
                let (user, provider, model) = (number(&c.user)?, number(&c.provider)?, number(&c.model)?);
                insert.execute(params![
                    int(c.segment),
                    int(c.number),
                    int(c.offset),
                    int(c.length),
                    c.request_id.0.as_slice(),
                    int(c.time.0),
                    user,
                    provider,
                    model,
                    c.api as u8,
                    c.status,
                    c.ended as u8,
                    c.flags,
                    int(c.request_bytes),
                    int(c.request_kept),
                    int(c.answer_bytes),
                    int(c.answer_kept),
                    int(c.calls.len() as u64),
                    c.session,
                    c.agent,
                    c.kept,
                ])?;
                count.execute(params![int(c.segment), int(c.time.0)])?;
                outbox::enqueue(&transaction, c.segment, c.request_id, &c.events, batch.now)?;
                for (at, call) in c.calls.iter().enumerate().filter(|_| c.kept) {
                    let inserted = insert_call.execute(params![
                        int(c.segment),
                        int(c.number),
                        int(at as u64),
                        c.request_id.0.as_slice(),
                        int(c.time.0),
                        user,
                        provider,
                        model,
                        c.session,
                        c.agent,
                        call.name,
                        call.call_id,
                        call.arguments,
                        int(call.arguments_bytes),
                        call.hosted,
                    ])?;
                    if inserted > 0 {
                        let (time, call) = (c.time.0, (call.name.as_str(), call.hosted));
                        called.add(&transaction, &mut self.tools, user, time, call)?;
                    }
                }
            }
            for reach in &batch.reaches {
                transaction
                    .prepare_cached("UPDATE capture_segments SET bytes = ? WHERE number = ?")?
                    .execute(params![int(reach.bytes), int(reach.segment)])?;
            }
        }
        called.write(&transaction)?;
        transaction.commit()?;
        Ok(())
    }
}

fn fate(connection: &Connection, id: RequestId) -> Result<Fate, StoreError> {
    let stored = connection
        .prepare_cached("SELECT 1 FROM captures WHERE request_id = ?")?
        .exists([id.0.as_slice()])?;
    if stored {
        return Ok(Fate::Stored);
    }
    let found = connection
        .prepare_cached("SELECT time,status,detail FROM requests WHERE request_id = ?")?
        .query_row([id.0.as_slice()], |row| {
            Ok((
                row.get::<_, i64>(0)?,
                row.get::<_, u16>(1)?,
                row.get::<_, Vec<u8>>(2)?,
            ))
        })
        .optional()?;
    let Some((time, status, packed)) = found else {
        return Ok(Fate::Unknown);
    };
    let columns = detail::Columns {
        time: natural(time, "time")?,
        request_id: id,
        user: 0,
        provider: 0,
        model_asked: 0,
        model_answered: None,
        status,
    };
    let row = detail::Row::unpack(&columns, &packed).ok_or(StoreError::Column("detail"))?;
    let record = row.bare();
    Ok(Fate::Recorded {
        ended: record.ended,
        capture: record.capture,
    })
}
