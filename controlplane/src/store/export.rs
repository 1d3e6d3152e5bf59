//! What is to be exported: a log of what became complete, in the order of commits, and how far each exporter is.
//!
//! A request is complete when its record is stored and its capture is, or is not to come. Record and capture take two roads
//! and meet here: whoever is second writes the entry of the log, in its own transaction. A record is logged where records
//! are stored ([`Wants::record`]); captures, entries of the audit and marks of budgets by triggers of the writing
//! connection, which are there while an exporter wants what they are about. With no exporter nothing is written at all.
//!
//! A capture that never comes (it was lost with a dead process) delays its record by a bounded time
//! ([`ExportRows::release_waiting`]). If it comes after all, the request is logged again: receivers know it by its id.
//!
//! The log is in the order of commits because one connection writes: an entry is visible only after all before it are.

use std::collections::hash_map::Entry;
use std::collections::{BTreeMap, HashMap};

use rusqlite::{Connection, OptionalExtension as _, Row, TransactionBehavior, params};
use sluice_shared::ids::RequestId;
use sluice_shared::units::UnixMicros;
use sluice_shared::usage::{Capture, UsageRecord};

use super::detail::int;
use super::sqlite::Sqlite;
use super::{Pending, StoreError};

/// Bits of what an exporter sends.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(crate) struct Wants(pub(crate) u8);

impl Wants {
    pub(crate) const REQUESTS: Self = Self(1);
    pub(crate) const CAPTURES: Self = Self(1 << 1);
    pub(crate) const AUDIT: Self = Self(1 << 2);
    pub(crate) const QUOTA_EVENTS: Self = Self(1 << 3);

    pub(crate) const fn and(self, other: Self) -> Self {
        Self(self.0 | other.0)
    }

    pub(crate) const fn has(self, other: Self) -> bool {
        self.0 & other.0 != 0
    }
}

/// Kinds of entries; their numbers are those of the schema.
const REQUEST: i64 = 0;
const AUDIT: i64 = 2;
const QUOTA: i64 = 3;

/// Entries that go in one transaction when the log is pruned.
const PRUNED_AT_ONCE: u64 = 5_000;
/// Halves of requests that are forgotten when nobody came for them: the other half cannot come any more.
const HALF_US_MAX: u64 = 7 * 86_400 * 1_000_000;

/// The present time, in Unix microseconds.
const NOW: &str = "CAST(unixepoch('subsec') * 1000000 AS INTEGER)";

/// An exporter of the document.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Wanted {
    pub(crate) name: String,
    pub(crate) wants: Wants,
    pub(crate) enabled: bool,
}

/// How far an exporter is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct ExportState {
    pub(crate) name: String,
    /// Eight hexadecimal digits: this exporter of this store, since it was added.
    pub(crate) id: String,
    pub(crate) wants: Wants,
    pub(crate) enabled: bool,
    /// Last entry of the log that it has.
    pub(crate) cursor: u64,
    /// Last entry of what is being sent.
    pub(crate) planned: Option<u64>,
    /// Records that were sent; what was sent twice counts once.
    pub(crate) records: u64,
    /// When something was sent last.
    pub(crate) succeeded: Option<UnixMicros>,
    /// Entries that wait for it.
    pub(crate) lag: u64,
    /// When the oldest of them was logged.
    pub(crate) oldest: Option<UnixMicros>,
}

/// What became of a request's capture.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Kept {
    /// There is none to export.
    None,
    Stored,
    /// It did not come in time.
    Missing,
}

/// What an entry of the log stands for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Logged {
    Request {
        id: RequestId,
        capture: Kept,
    },
    /// Number of the entry of the audit.
    Audit(u64),
    /// Number of the mark.
    Quota(u64),
}

/// An entry of the log.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct LogEntry {
    pub(crate) seq: u64,
    pub(crate) what: Logged,
}

/// A stretch of the log.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct Stretch {
    /// Entries that the exporter wants, in order.
    pub(crate) entries: Vec<LogEntry>,
    /// Last entry of the log that was looked at: nothing else is wanted up to it.
    pub(crate) looked_up_to: u64,
}

/// The part of a store that knows what is to be exported.
pub(crate) trait ExportRows {
    /// Takes over the exporters of a document, durably. A new one begins with what is logged from now on; one that is
    /// gone is forgotten; one that is disabled keeps its place.
    fn set_exporters<'a>(&'a self, wanted: &'a [Wanted]) -> Pending<'a, ()>;
    /// How far all exporters are, by name.
    fn exports(&self) -> Pending<'_, Vec<ExportState>>;
    /// How far one is; what waits for it is not counted.
    fn export_place<'a>(&'a self, name: &'a str) -> Pending<'a, Option<ExportState>>;
    /// At most `limit` entries of the log behind `after`, of the kinds in `wants`, up to and with `last` if it is given.
    fn export_log(&self, after: u64, last: Option<u64>, wants: Wants, limit: u64) -> Pending<'_, Stretch>;
    /// An exporter is about to send everything up to an entry, durably.
    fn plan_export<'a>(&'a self, name: &'a str, last: u64) -> Pending<'a, ()>;
    /// An exporter has everything up to an entry, durably; `records` are new.
    fn exported<'a>(&'a self, name: &'a str, up_to: u64, records: u64, now: UnixMicros) -> Pending<'a, ()>;
    /// Logs records whose captures did not come before a moment, and forgets halves that are too old; how many were logged.
    fn release_waiting(&self, before: UnixMicros) -> Pending<'_, u64>;
    /// Removes a piece of what every exporter has; whether there may be more.
    fn prune_export_log(&self) -> Pending<'_, bool>;
    /// Every request with a capture from before this moment was exported by whoever wants captures. `None`: all were, or
    /// nobody wants any.
    fn exported_up_to(&self) -> Pending<'_, Option<UnixMicros>>;
    /// Records by their ids, in no order; those that are not there are left out.
    fn records<'a>(&'a self, ids: &'a [RequestId]) -> Pending<'a, Vec<UsageRecord>>;
    /// Entries of the audit by number.
    fn audit_by_number<'a>(&'a self, numbers: &'a [u64]) -> Pending<'a, BTreeMap<u64, AuditRow>>;
    /// Marks of budgets by number.
    fn quota_events_by_number<'a>(&'a self, numbers: &'a [u64]) -> Pending<'a, BTreeMap<u64, QuotaRow>>;
}

/// An entry of the audit as it is exported.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct AuditRow {
    pub(crate) time: UnixMicros,
    pub(crate) actor: String,
    pub(crate) node: String,
    pub(crate) action: String,
    pub(crate) subject: String,
    /// JSON.
    pub(crate) detail: String,
    /// Its hash in the chain.
    pub(crate) hash: Vec<u8>,
}

/// A mark of a budget as it is exported.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct QuotaRow {
    pub(crate) time: UnixMicros,
    pub(crate) quota: String,
    pub(crate) name: String,
    /// Index of the unit.
    pub(crate) unit: usize,
    pub(crate) percent: u8,
    pub(crate) balance: i64,
    pub(crate) capacity: u64,
}

impl ExportRows for Sqlite {
    fn set_exporters<'a>(&'a self, wanted: &'a [Wanted]) -> Pending<'a, ()> {
        Box::pin(async move {
            let mut writer = self.writer();
            set_exporters(&mut writer.connection, wanted)?;
            writer.wants = Wants::open(&writer.connection)?;
            Ok(())
        })
    }

    fn exports(&self) -> Pending<'_, Vec<ExportState>> {
        Box::pin(async move { states(&self.lists()) })
    }

    fn export_place<'a>(&'a self, name: &'a str) -> Pending<'a, Option<ExportState>> {
        Box::pin(async move {
            let lists = self.lists();
            let mut select = lists.prepare_cached(&format!("SELECT {PLACE} FROM exports WHERE name = ?"))?;
            let mut rows = select.query([name])?;
            rows.next()?.map(place).transpose()
        })
    }

    fn export_log(&self, after: u64, last: Option<u64>, wants: Wants, limit: u64) -> Pending<'_, Stretch> {
        Box::pin(async move { stretch(&self.lists(), after, last, wants, limit) })
    }

    fn plan_export<'a>(&'a self, name: &'a str, last: u64) -> Pending<'a, ()> {
        Box::pin(async move {
            let sql = "UPDATE exports SET planned = ? WHERE name = ?";
            self.writer().connection.execute(sql, params![int(last), name])?;
            Ok(())
        })
    }

    fn exported<'a>(&'a self, name: &'a str, up_to: u64, records: u64, now: UnixMicros) -> Pending<'a, ()> {
        Box::pin(async move {
            let sql = "UPDATE exports SET cursor = max(cursor, ?1), planned = NULL, records = records + ?2, \
                       succeeded = CASE WHEN ?2 > 0 THEN ?3 ELSE succeeded END WHERE name = ?4";
            self.writer()
                .connection
                .execute(sql, params![int(up_to), int(records), int(now.0), name])?;
            Ok(())
        })
    }

    fn release_waiting(&self, before: UnixMicros) -> Pending<'_, u64> {
        Box::pin(async move { release(&mut self.writer().connection, before) })
    }

    fn prune_export_log(&self) -> Pending<'_, bool> {
        Box::pin(async move {
            let sql = "DELETE FROM export_log WHERE seq <= (SELECT coalesce(min(cursor), 9223372036854775807) FROM exports) \
                       AND seq < (SELECT min(seq) FROM export_log) + ?";
            let gone = self.writer().connection.execute(sql, [int(PRUNED_AT_ONCE)])?;
            Ok(gone as u64 >= PRUNED_AT_ONCE)
        })
    }

    fn exported_up_to(&self) -> Pending<'_, Option<UnixMicros>> {
        Box::pin(async move { exported_up_to(&self.lists()) })
    }

    fn records<'a>(&'a self, ids: &'a [RequestId]) -> Pending<'a, Vec<UsageRecord>> {
        Box::pin(async move { records(&self.lists(), ids) })
    }

    fn audit_by_number<'a>(&'a self, numbers: &'a [u64]) -> Pending<'a, BTreeMap<u64, AuditRow>> {
        Box::pin(async move {
            let sql = "SELECT time,actor,node,action,subject,detail,hash FROM audit WHERE seq = ?";
            by_number(&self.lists(), sql, numbers, |row| {
                Ok(AuditRow {
                    time: moment(row, 0)?,
                    actor: row.get(1)?,
                    node: row.get(2)?,
                    action: row.get(3)?,
                    subject: row.get(4)?,
                    detail: row.get(5)?,
                    hash: row.get(6)?,
                })
            })
        })
    }

    fn quota_events_by_number<'a>(&'a self, numbers: &'a [u64]) -> Pending<'a, BTreeMap<u64, QuotaRow>> {
        Box::pin(async move {
            let sql = "SELECT time,quota,name,unit,percent,balance,capacity FROM quota_events WHERE id = ?";
            by_number(&self.lists(), sql, numbers, |row| {
                Ok(QuotaRow {
                    time: moment(row, 0)?,
                    quota: row.get(1)?,
                    name: row.get(2)?,
                    unit: row.get(3)?,
                    percent: row.get(4)?,
                    balance: row.get(5)?,
                    capacity: row.get(6)?,
                })
            })
        })
    }
}

fn records(connection: &Connection, ids: &[RequestId]) -> Result<Vec<UsageRecord>, StoreError> {
    let mut select = connection.prepare_cached(&format!(
        "SELECT {} FROM requests WHERE request_id = ?",
        super::detail::COLUMNS
    ))?;
    let mut rows = Vec::with_capacity(ids.len());
    for id in ids {
        let found = select
            .query_row([id.0.as_slice()], super::writer::read)
            .optional()?;
        if let Some((columns, detail)) = found {
            let row = super::detail::Row::unpack(&columns, &detail);
            rows.push(row.ok_or(StoreError::Column("detail"))?);
        }
    }
    let mut select = connection.prepare_cached("SELECT text FROM texts WHERE id = ?")?;
    let mut texts = HashMap::new();
    for number in rows.iter().flat_map(super::detail::Row::numbers) {
        if let Entry::Vacant(place) = texts.entry(number) {
            place.insert(select.query_row([number], |row| row.get(0))?);
        }
    }
    rows.into_iter().map(|row| row.with_texts(&texts)).collect()
}

fn moment(row: &Row<'_>, at: usize) -> rusqlite::Result<UnixMicros> {
    row.get(at).map(UnixMicros)
}

fn by_number<T>(
    connection: &Connection,
    sql: &str,
    numbers: &[u64],
    read: impl Fn(&Row<'_>) -> rusqlite::Result<T>,
) -> Result<BTreeMap<u64, T>, StoreError> {
    let mut out = BTreeMap::new();
    if numbers.is_empty() {
        return Ok(out);
    }
    let mut select = connection.prepare_cached(sql)?;
    for number in numbers {
        if let Some(found) = select.query_row([int(*number)], &read).optional()? {
            out.insert(*number, found);
        }
    }
    Ok(out)
}

impl Wants {
    /// What all enabled exporters want together; makes the triggers of the writing connection fit.
    pub(super) fn open(connection: &Connection) -> Result<Self, StoreError> {
        let mut all = Self::default();
        let mut select = connection.prepare("SELECT wants FROM exports WHERE enabled = 1")?;
        for wants in select.query_map([], |row| row.get(0))? {
            all = all.and(Self(wants?));
        }
        let log = |kind: i64| {
            format!(
                "INSERT INTO export_log (kind,added,time,item,capture) VALUES ({kind},{NOW},NEW.time,NEW.{},0);",
                if kind == AUDIT { "seq" } else { "id" }
            )
        };
        // If the record waits for it, or was told without it: the request is complete. If there is no record yet, the
        // capture waits. Else the record was logged before anybody wanted captures.
        let capture = format!(
            "INSERT INTO export_log (kind,added,time,request_id,capture) \
                 SELECT {REQUEST},{NOW},time,request_id,NEW.kept FROM export_waiting \
                 WHERE request_id = NEW.request_id AND (state = 0 OR state = 2 AND NEW.kept = 1); \
             INSERT INTO export_waiting (request_id,time,since,state) \
                 SELECT NEW.request_id,NEW.time,{NOW},CASE NEW.kept WHEN 1 THEN 1 ELSE 3 END \
                 WHERE NOT EXISTS (SELECT 1 FROM export_waiting WHERE request_id = NEW.request_id) \
                   AND NOT EXISTS (SELECT 1 FROM requests WHERE request_id = NEW.request_id); \
             DELETE FROM export_waiting WHERE request_id = NEW.request_id AND state IN (0,2);"
        );
        for (wanted, table, act) in [
            (Self::CAPTURES, "captures", capture),
            (Self::AUDIT, "audit", log(AUDIT)),
            (Self::QUOTA_EVENTS, "quota_events", log(QUOTA)),
        ] {
            connection.execute_batch(&format!("DROP TRIGGER IF EXISTS temp.export_{table}"))?;
            let there: bool = connection.query_row(
                "SELECT EXISTS (SELECT 1 FROM main.sqlite_master WHERE type = 'table' AND name = ?)",
                [table],
                |row| row.get(0),
            )?;
            if there && all.has(wanted) {
                connection.execute_batch(&format!(
                    "CREATE TEMP TRIGGER export_{table} AFTER INSERT ON main.{table} BEGIN {act} END"
                ))?;
            }
        }
        Ok(all)
    }

    /// A record was stored just now.
    pub(super) fn record(self, connection: &Connection, r: &UsageRecord) -> Result<(), StoreError> {
        if !self.has(Self::REQUESTS.and(Self::CAPTURES)) {
            return Ok(());
        }
        let (id, time) = (r.request_id.0.as_slice(), int(r.time.0));
        if !self.has(Self::CAPTURES) || r.capture != Capture::Written {
            return log(connection, id, time, 0);
        }
        let taken = connection
            .prepare_cached(
                "DELETE FROM export_waiting WHERE request_id = ? AND state IN (1,3) RETURNING state",
            )?
            .query_row([id], |row| row.get::<_, i64>(0))
            .optional()?;
        match taken {
            Some(state) => log(connection, id, time, i64::from(state == 1)),
            None => {
                connection
                    .prepare_cached(&format!(
                        "INSERT OR IGNORE INTO export_waiting (request_id,time,since,state) VALUES (?,?,{NOW},0)"
                    ))?
                    .execute(params![id, time])?;
                Ok(())
            }
        }
    }

    /// A record turned out otherwise after it was stored: it is exported again, unless it still waits.
    pub(super) fn amended(self, connection: &Connection, id: RequestId, time: i64) -> Result<(), StoreError> {
        if !self.has(Self::REQUESTS.and(Self::CAPTURES)) {
            return Ok(());
        }
        connection
            .prepare_cached(&format!(
                "INSERT INTO export_log (kind,added,time,request_id,capture) SELECT {REQUEST},{NOW},?2,?1, \
                     coalesce((SELECT capture FROM export_log WHERE request_id = ?1 AND kind = {REQUEST} \
                               AND seq > (SELECT max(seq) - 10000 FROM export_log) ORDER BY seq DESC LIMIT 1), 0) \
                 WHERE NOT EXISTS (SELECT 1 FROM export_waiting WHERE request_id = ?1 AND state = 0)"
            ))?
            .execute(params![id.0.as_slice(), time])?;
        Ok(())
    }
}

fn log(connection: &Connection, id: &[u8], time: i64, capture: i64) -> Result<(), StoreError> {
    connection
        .prepare_cached(&format!(
            "INSERT INTO export_log (kind,added,time,request_id,capture) VALUES ({REQUEST},{NOW},?,?,?)"
        ))?
        .execute(params![time, id, capture])?;
    Ok(())
}

fn set_exporters(connection: &mut Connection, wanted: &[Wanted]) -> Result<(), StoreError> {
    let transaction = connection.transaction_with_behavior(TransactionBehavior::Immediate)?;
    let names: Vec<&str> = wanted.iter().map(|it| it.name.as_str()).collect();
    transaction.execute(
        "DELETE FROM exports WHERE name NOT IN (SELECT value FROM json_each(?))",
        [serde_json::json!(names).to_string()],
    )?;
    for it in wanted {
        transaction.execute(
            "INSERT INTO exports (name,id,wants,enabled,cursor,records) \
             VALUES (?,lower(hex(randomblob(4))),?,?,coalesce((SELECT seq FROM sqlite_sequence WHERE name = 'export_log'),0),0) \
             ON CONFLICT DO UPDATE SET wants = excluded.wants, enabled = excluded.enabled",
            params![it.name, it.wants.0, it.enabled],
        )?;
    }
    let captures: bool = transaction.query_row(
        "SELECT EXISTS (SELECT 1 FROM exports WHERE enabled = 1 AND wants & ?)",
        [Wants::CAPTURES.0],
        |row| row.get(0),
    )?;
    if !captures {
        // Nobody waits for captures any more.
        log_waiting(&transaction, i64::MAX)?;
        transaction.execute("DELETE FROM export_waiting", [])?;
    }
    transaction.commit()?;
    Ok(())
}

/// Logs the records that wait since before a moment.
fn log_waiting(connection: &Connection, before: i64) -> Result<u64, StoreError> {
    let logged = connection.execute(
        &format!(
            "INSERT INTO export_log (kind,added,time,request_id,capture) \
             SELECT {REQUEST},{NOW},time,request_id,2 FROM export_waiting WHERE state = 0 AND since < ? ORDER BY time"
        ),
        [before],
    )?;
    Ok(logged as u64)
}

fn release(connection: &mut Connection, before: UnixMicros) -> Result<u64, StoreError> {
    let transaction = connection.transaction_with_behavior(TransactionBehavior::Immediate)?;
    let moment = int(before.0);
    let logged = log_waiting(&transaction, moment)?;
    transaction.execute(
        "UPDATE export_waiting SET state = 2 WHERE state = 0 AND since < ?",
        [moment],
    )?;
    let old = int(before.0.saturating_sub(HALF_US_MAX));
    transaction.execute(
        "DELETE FROM export_waiting WHERE state IN (1,2,3) AND since < ?",
        [old],
    )?;
    transaction.commit()?;
    Ok(logged)
}

fn number(value: i64, column: &'static str) -> Result<u64, StoreError> {
    u64::try_from(value).map_err(|_| StoreError::Column(column))
}

const PLACE: &str = "name,id,wants,enabled,cursor,planned,records,succeeded";

fn place(row: &Row<'_>) -> Result<ExportState, StoreError> {
    let optional =
        |value: Option<i64>, name: &'static str| value.map(|value| number(value, name)).transpose();
    Ok(ExportState {
        name: row.get(0)?,
        id: row.get(1)?,
        wants: Wants(row.get(2)?),
        enabled: row.get(3)?,
        cursor: number(row.get(4)?, "cursor")?,
        planned: optional(row.get(5)?, "planned")?,
        records: number(row.get(6)?, "records")?,
        succeeded: optional(row.get(7)?, "succeeded")?.map(UnixMicros),
        lag: 0,
        oldest: None,
    })
}

fn states(connection: &Connection) -> Result<Vec<ExportState>, StoreError> {
    let mut select = connection.prepare_cached(&format!("SELECT {PLACE} FROM exports ORDER BY name"))?;
    let mut rows = select.query([])?;
    let mut out = Vec::new();
    while let Some(row) = rows.next()? {
        let mut state = place(row)?;
        let (lag, oldest): (i64, Option<i64>) = connection
            .prepare_cached(&format!(
                "SELECT count(*), min(added) FROM export_log WHERE seq > ? AND {}",
                kinds(state.wants)
            ))?
            .query_row([int(state.cursor)], |row| Ok((row.get(0)?, row.get(1)?)))?;
        state.lag = number(lag, "seq")?;
        state.oldest = oldest
            .map(|oldest| number(oldest, "added").map(UnixMicros))
            .transpose()?;
        out.push(state);
    }
    Ok(out)
}

/// The condition for entries of the kinds that are wanted. Without records only requests with a capture are.
fn kinds(wants: Wants) -> String {
    let mut any = vec!["0".to_owned()];
    if wants.has(Wants::REQUESTS) {
        any.push(format!("kind = {REQUEST}"));
    } else if wants.has(Wants::CAPTURES) {
        any.push(format!("(kind = {REQUEST} AND capture = 1)"));
    }
    if wants.has(Wants::AUDIT) {
        any.push(format!("kind = {AUDIT}"));
    }
    if wants.has(Wants::QUOTA_EVENTS) {
        any.push(format!("kind = {QUOTA}"));
    }
    format!("({})", any.join(" OR "))
}

fn stretch(
    connection: &Connection,
    after: u64,
    last: Option<u64>,
    wants: Wants,
    limit: u64,
) -> Result<Stretch, StoreError> {
    // The end first: what is written between the two is behind it.
    let end: i64 = connection
        .prepare_cached("SELECT coalesce(max(seq), ?1) FROM export_log WHERE seq > ?1 AND seq <= ?2")?
        .query_row(params![int(after), int(last.unwrap_or(u64::MAX))], |row| {
            row.get(0)
        })?;
    let mut select = connection.prepare_cached(&format!(
        "SELECT seq,kind,request_id,item,capture FROM export_log WHERE seq > ?1 AND seq <= ?2 AND {} ORDER BY seq LIMIT ?3",
        kinds(wants)
    ))?;
    let mut rows = select.query(params![int(after), end, int(limit)])?;
    let mut entries = Vec::new();
    while let Some(row) = rows.next()? {
        entries.push(entry(row)?);
    }
    let full = entries.len() as u64 >= limit;
    let looked_up_to = match entries.last() {
        Some(last) if full => last.seq,
        _ => number(end, "seq")?,
    };
    Ok(Stretch {
        entries,
        looked_up_to,
    })
}

fn entry(row: &Row<'_>) -> Result<LogEntry, StoreError> {
    let item = || number(row.get::<_, Option<i64>>(3)?.unwrap_or(-1), "item");
    let what = match row.get::<_, i64>(1)? {
        REQUEST => Logged::Request {
            id: RequestId(row.get(2)?),
            capture: match row.get::<_, i64>(4)? {
                1 => Kept::Stored,
                2 => Kept::Missing,
                _ => Kept::None,
            },
        },
        AUDIT => Logged::Audit(item()?),
        QUOTA => Logged::Quota(item()?),
        _ => return Err(StoreError::Column("kind")),
    };
    Ok(LogEntry {
        seq: number(row.get(0)?, "seq")?,
        what,
    })
}

fn exported_up_to(connection: &Connection) -> Result<Option<UnixMicros>, StoreError> {
    let slowest: Option<i64> = connection.query_row(
        "SELECT min(cursor) FROM exports WHERE enabled = 1 AND wants & ?",
        [Wants::CAPTURES.0],
        |row| row.get(0),
    )?;
    let Some(slowest) = slowest else {
        return Ok(None);
    };
    let first: Option<i64> = connection.query_row(
        "SELECT min(time) FROM (SELECT min(time) AS time FROM export_log WHERE seq > ?1 AND kind = 0 AND capture = 1 \
         UNION ALL SELECT min(time) FROM export_waiting WHERE state IN (0,1))",
        [slowest],
        |row| row.get(0),
    )?;
    first.map(|time| number(time, "time").map(UnixMicros)).transpose()
}

#[cfg(test)]
mod tests;
