//! Events that wait for hooks: the outbox.
//!
//! An event is written by whoever commits the capture that it tells of, in the same transaction ([`enqueue`]), and removed
//! when its delivery is committed. So none is lost by a crash, and one whose delivery was not yet committed is delivered
//! again, under the same id.

use rusqlite::{Connection, OptionalExtension as _, Row, TransactionBehavior, params};
use serde::{Deserialize, Serialize};
use sluice_shared::ids::RequestId;
use sluice_shared::snapshot::HookEvent;
use sluice_shared::units::UnixMicros;
use sluice_shared::usage::{Ended, UsageRecord};
use sluice_shared::wire::capture::EventUse;
use sluice_shared::wire::control::Bucket;

use super::detail::int;
use super::sqlite::Sqlite;
use super::{Pending, StoreError};

/// Longest text of an error that is kept, in bytes.
const ERROR_BYTES_MAX: usize = 400;

const WAITING: i64 = 0;
const DEAD: i64 = 1;
const COLUMNS: &str = "id,hook,event,request_id,segment,send,grants,detail,since,due,tries,error";

/// An event that is to be written.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct NewEvent {
    pub(crate) hook: String,
    pub(crate) event: HookEvent,
    /// Bits of `HookPart`.
    pub(crate) send: u16,
    /// Value of `grants` as JSON; empty: it is not sent.
    pub(crate) grants: String,
    /// A [`Detail`] as JSON.
    pub(crate) detail: String,
}

/// What is told of a request beside its bodies.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Detail {
    pub(crate) login: String,
    pub(crate) node: String,
    pub(crate) user_agent: String,
    /// Path and query, without credentials.
    pub(crate) url: String,
    pub(crate) model: String,
    pub(crate) provider: String,
    pub(crate) session: String,
    /// In nanodollars; `None`: not known.
    pub(crate) cost: Option<u64>,
    /// Input, output, cached read, cache write, of it 5 minutes and 1 hour, reasoning, image input and output, searches.
    pub(crate) usage: [Option<u64>; 10],
    /// Numbers of the buckets that it was charged to.
    pub(crate) buckets: Vec<u64>,
}

/// The events of a capture that has ended, for its transaction. `url` and `model` are as they went to the provider,
/// `calls` says how many tools the answer called.
pub(crate) fn events_of(
    uses: &[EventUse],
    record: &UsageRecord,
    url: &str,
    model: &str,
    calls: usize,
) -> Vec<NewEvent> {
    if uses.is_empty() || record.ended != Ended::Complete {
        return Vec::new();
    }
    let usage = &record.usage;
    let detail = Detail {
        login: record.user.clone(),
        node: record.node.clone(),
        user_agent: record.user_agent.clone().unwrap_or_default(),
        url: url.to_owned(),
        model: model.to_owned(),
        provider: record.provider.clone(),
        session: record.session.clone().unwrap_or_default(),
        cost: record.cost.map(|cost| cost.0),
        usage: [
            usage.input,
            usage.output,
            usage.cached_read,
            usage.cache_write,
            usage.cache_write_5m,
            usage.cache_write_1h,
            usage.reasoning,
            usage.input_image,
            usage.output_image,
            usage.web_searches,
        ],
        buckets: record.charges.iter().map(|charge| charge.bucket).collect(),
    };
    // A struct of texts and numbers has a JSON text.
    let detail = serde_json::to_string(&detail).unwrap_or_default();
    let called = calls > 0 || record.tool_calls > 0;
    let wanted = [
        (HookEvent::EntireRequest, true),
        (HookEvent::ToolCallEntireRequest, called),
    ];
    let mut out = Vec::new();
    for used in uses {
        for (event, happened) in wanted {
            if happened && used.events & (1 << event as u8) != 0 {
                out.push(NewEvent {
                    hook: used.hook.clone(),
                    event,
                    send: used.send,
                    grants: used.grants.clone(),
                    detail: detail.clone(),
                });
            }
        }
    }
    out
}

/// Writes the events of a capture in this segment, in the transaction that the connection is in. An event that is there
/// already stays.
pub(super) fn enqueue(
    connection: &Connection,
    segment: u64,
    request_id: RequestId,
    events: &[NewEvent],
    now: UnixMicros,
) -> Result<(), StoreError> {
    if events.is_empty() {
        return Ok(());
    }
    let mut insert = connection.prepare_cached(
        "INSERT OR IGNORE INTO outbox (hook,event,request_id,segment,send,grants,detail,since,due,tries,state,error) \
         VALUES (?,?,?,?,?,?,?,?,?,0,0,'')",
    )?;
    for event in events {
        insert.execute(params![
            event.hook,
            event.event as u8,
            request_id.0.as_slice(),
            int(segment),
            event.send,
            event.grants,
            event.detail,
            int(now.0),
            int(now.0),
        ])?;
    }
    Ok(())
}

/// Whether anybody still has to be told of a capture in this segment; dead letters count, since they may be retried.
pub(super) fn awaited(connection: &Connection, segment: u64) -> Result<bool, StoreError> {
    let mut select = connection.prepare_cached("SELECT 1 FROM outbox WHERE segment = ? LIMIT 1")?;
    Ok(select.exists([int(segment)])?)
}

/// An event that waits, or a dead letter.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Event {
    pub(crate) id: u64,
    pub(crate) hook: String,
    pub(crate) event: HookEvent,
    pub(crate) request_id: RequestId,
    pub(crate) send: u16,
    pub(crate) grants: String,
    pub(crate) detail: Detail,
    /// When its tries began.
    pub(crate) since: UnixMicros,
    /// When the next try is made; of a dead letter, when it became one.
    pub(crate) due: UnixMicros,
    pub(crate) tries: u32,
    pub(crate) error: String,
}

impl Event {
    /// What receivers know it by, however often it is delivered.
    pub(crate) fn stable_id(&self) -> String {
        format!("{}.{}", self.request_id, self.event.name())
    }
}

/// What became of a try.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Outcome {
    Delivered,
    /// It failed; the next try is made then.
    Again {
        due: UnixMicros,
        error: String,
    },
    /// It failed for good.
    Dead {
        error: String,
    },
}

/// What became of the try of an event.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Tried {
    pub(crate) id: u64,
    pub(crate) hook: String,
    /// [`Event::since`] of what was tried: what was made to wait anew since is not concerned by a failure.
    pub(crate) since: UnixMicros,
    pub(crate) outcome: Outcome,
}

/// The state of a hook's events.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct HookState {
    pub(crate) hook: String,
    pub(crate) waiting: u64,
    /// When the oldest that waits began to.
    pub(crate) oldest: Option<UnixMicros>,
    /// Dead letters that are there.
    pub(crate) dead: u64,
    /// Since there is this store.
    pub(crate) delivered: u64,
    /// Tries that failed.
    pub(crate) failed: u64,
    /// Events that ever became dead letters.
    pub(crate) died: u64,
    pub(crate) last_delivered: Option<UnixMicros>,
    pub(crate) last_failed: Option<UnixMicros>,
    pub(crate) last_error: String,
}

/// Which dead letters are wanted, newest first.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct DeadQuery {
    pub(crate) hook: Option<String>,
    /// Only those below this number.
    pub(crate) before: Option<u64>,
    pub(crate) limit: u32,
}

/// The part of a store that holds the outbox.
pub(crate) trait OutboxRows {
    /// Events of a hook whose next try is due, those first that wait for it longest.
    fn due_events<'a>(&'a self, hook: &'a str, now: UnixMicros, limit: u32) -> Pending<'a, Vec<Event>>;
    /// Takes note of what became of tries, in one durable transaction.
    fn tried_events<'a>(&'a self, tried: &'a [Tried], now: UnixMicros) -> Pending<'a, ()>;
    /// Makes dead letters of what waits for hooks other than these; how many.
    fn orphan_events<'a>(&'a self, known: &'a [String], why: &'a str, now: UnixMicros) -> Pending<'a, u64>;
    /// Makes dead letters of what has waited since before; how many.
    fn overdue_events<'a>(&'a self, before: UnixMicros, why: &'a str, now: UnixMicros) -> Pending<'a, u64>;
    /// Removes dead letters that became so before; how many.
    fn expire_events(&self, before: UnixMicros) -> Pending<'_, u64>;
    /// The state of every hook that has or had events, by name.
    fn hook_states(&self) -> Pending<'_, Vec<HookState>>;
    /// Dead letters.
    fn dead_events<'a>(&'a self, query: &'a DeadQuery) -> Pending<'a, Vec<Event>>;
    /// A dead letter.
    fn dead_event(&self, id: u64) -> Pending<'_, Option<Event>>;
    /// Makes a dead letter wait again, as if it were new. `false`: there is none.
    fn retry_event(&self, id: u64, now: UnixMicros) -> Pending<'_, bool>;
    /// Removes a dead letter. `false`: there is none.
    fn delete_event(&self, id: u64) -> Pending<'_, bool>;
    /// The bucket of a number.
    fn bucket_name(&self, id: u64) -> Pending<'_, Option<Bucket>>;
}

impl OutboxRows for Sqlite {
    fn due_events<'a>(&'a self, hook: &'a str, now: UnixMicros, limit: u32) -> Pending<'a, Vec<Event>> {
        Box::pin(async move {
            let lists = self.lists();
            let mut select = lists.prepare_cached(&format!(
                "SELECT {COLUMNS} FROM outbox WHERE state = 0 AND hook = ? AND due <= ? ORDER BY due, id LIMIT ?"
            ))?;
            let rows = select.query_and_then(params![hook, int(now.0), limit], read)?;
            rows.collect()
        })
    }

    fn tried_events<'a>(&'a self, tried: &'a [Tried], now: UnixMicros) -> Pending<'a, ()> {
        Box::pin(async move {
            let mut writer = self.writer();
            let transaction = writer
                .connection
                .transaction_with_behavior(TransactionBehavior::Immediate)?;
            for tried in tried {
                note(&transaction, tried, now)?;
            }
            transaction.commit()?;
            Ok(())
        })
    }

    fn orphan_events<'a>(&'a self, known: &'a [String], why: &'a str, now: UnixMicros) -> Pending<'a, u64> {
        Box::pin(async move {
            // A look first: nearly always there is nothing to write.
            let names: Vec<String> = {
                let lists = self.lists();
                let mut select = lists.prepare_cached("SELECT DISTINCT hook FROM outbox WHERE state = 0")?;
                let names = select.query_map([], |row| row.get(0))?;
                names.collect::<Result<_, _>>()?
            };
            let mut count = 0;
            for name in names.iter().filter(|name| !known.contains(name)) {
                let mut writer = self.writer();
                let transaction = writer
                    .connection
                    .transaction_with_behavior(TransactionBehavior::Immediate)?;
                let died = transaction.execute(
                    "UPDATE outbox SET state = 1, due = ?, error = ? WHERE state = 0 AND hook = ?",
                    params![int(now.0), why, name],
                )?;
                add(&transaction, name, [0, 0, died as u64], Some((now, why)))?;
                transaction.commit()?;
                count += died as u64;
            }
            Ok(count)
        })
    }

    fn overdue_events<'a>(&'a self, before: UnixMicros, why: &'a str, now: UnixMicros) -> Pending<'a, u64> {
        Box::pin(async move {
            // A look first: nearly always there is nothing to write.
            let hooks: Vec<String> = {
                let lists = self.lists();
                let mut select =
                    lists.prepare_cached("SELECT DISTINCT hook FROM outbox WHERE state = 0 AND since < ?")?;
                let hooks = select.query_map([int(before.0)], |row| row.get(0))?;
                hooks.collect::<Result<_, _>>()?
            };
            let mut died = 0;
            for hook in &hooks {
                let mut writer = self.writer();
                let transaction = writer
                    .connection
                    .transaction_with_behavior(TransactionBehavior::Immediate)?;
                let changed = transaction.execute(
                    "UPDATE outbox SET state = 1, due = ?, error = ? WHERE state = 0 AND hook = ? AND since < ?",
                    params![int(now.0), why, hook, int(before.0)],
                )?;
                add(&transaction, hook, [0, 0, changed as u64], Some((now, why)))?;
                transaction.commit()?;
                died += changed as u64;
            }
            Ok(died)
        })
    }

    fn expire_events(&self, before: UnixMicros) -> Pending<'_, u64> {
        Box::pin(async move {
            let any = {
                let lists = self.lists();
                let mut select =
                    lists.prepare_cached("SELECT 1 FROM outbox WHERE state = 1 AND due < ? LIMIT 1")?;
                select.exists([int(before.0)])?
            };
            if !any {
                return Ok(0);
            }
            let removed = self
                .writer()
                .connection
                .execute("DELETE FROM outbox WHERE state = 1 AND due < ?", [int(before.0)])?;
            Ok(removed as u64)
        })
    }

    fn hook_states(&self) -> Pending<'_, Vec<HookState>> {
        Box::pin(async move {
            let mut lists = self.lists();
            let view = lists.transaction()?;
            states(&view)
        })
    }

    fn dead_events<'a>(&'a self, query: &'a DeadQuery) -> Pending<'a, Vec<Event>> {
        Box::pin(async move {
            let lists = self.lists();
            let mut select = lists.prepare_cached(&format!(
                "SELECT {COLUMNS} FROM outbox WHERE state = 1 AND id < ?1 AND (?2 IS NULL OR hook = ?2) \
                 ORDER BY id DESC LIMIT ?3"
            ))?;
            let before = query.before.map_or(i64::MAX, int);
            let rows = select.query_and_then(params![before, query.hook, query.limit], read)?;
            rows.collect()
        })
    }

    fn dead_event(&self, id: u64) -> Pending<'_, Option<Event>> {
        Box::pin(async move {
            let lists = self.lists();
            let mut select = lists.prepare_cached(&format!(
                "SELECT {COLUMNS} FROM outbox WHERE state = 1 AND id = ?"
            ))?;
            let mut rows = select.query([int(id)])?;
            rows.next()?.map(read).transpose()
        })
    }

    fn retry_event(&self, id: u64, now: UnixMicros) -> Pending<'_, bool> {
        Box::pin(async move {
            let changed = self.writer().connection.execute(
                "UPDATE outbox SET state = 0, since = ?1, due = ?1, tries = 0 WHERE state = 1 AND id = ?2",
                params![int(now.0), int(id)],
            )?;
            Ok(changed > 0)
        })
    }

    fn delete_event(&self, id: u64) -> Pending<'_, bool> {
        Box::pin(async move {
            let removed = self
                .writer()
                .connection
                .execute("DELETE FROM outbox WHERE state = 1 AND id = ?", [int(id)])?;
            Ok(removed > 0)
        })
    }

    fn bucket_name(&self, id: u64) -> Pending<'_, Option<Bucket>> {
        Box::pin(async move {
            let lists = self.lists();
            let mut select = lists.prepare_cached("SELECT quota,name,unit FROM buckets WHERE id = ?")?;
            let found = select
                .query_row([int(id)], |row| {
                    Ok((
                        row.get::<_, String>(0)?,
                        row.get::<_, String>(1)?,
                        row.get::<_, u8>(2)?,
                    ))
                })
                .optional()?;
            found
                .map(|(quota, name, unit)| {
                    let unit = sluice_shared::quota::Unit::from_index(unit);
                    let unit = unit.ok_or(StoreError::Column("unit"))?;
                    Ok(Bucket { quota, name, unit })
                })
                .transpose()
        })
    }
}

fn note(connection: &Connection, tried: &Tried, now: UnixMicros) -> Result<(), StoreError> {
    match &tried.outcome {
        Outcome::Delivered => {
            connection
                .prepare_cached("DELETE FROM outbox WHERE id = ?")?
                .execute([int(tried.id)])?;
            add(connection, &tried.hook, [1, 0, 0], None)?;
            connection
                .prepare_cached("UPDATE outbox_hooks SET last_delivered = ? WHERE hook = ?")?
                .execute(params![int(now.0), tried.hook])?;
        }
        // It may have become a dead letter for its age meanwhile: that stands, and counts once.
        Outcome::Again { due, error } => {
            connection
                .prepare_cached(
                    "UPDATE outbox SET tries = tries + 1, due = ?, error = ? WHERE id = ? AND since = ? AND state = 0",
                )?
                .execute(params![int(due.0), cut(error), int(tried.id), int(tried.since.0)])?;
            add(connection, &tried.hook, [0, 1, 0], Some((now, error)))?;
        }
        Outcome::Dead { error } => {
            let died = connection
                .prepare_cached(
                    "UPDATE outbox SET state = 1, tries = tries + 1, due = ?, error = ? \
                     WHERE id = ? AND since = ? AND state = 0",
                )?
                .execute(params![int(now.0), cut(error), int(tried.id), int(tried.since.0)])?;
            add(connection, &tried.hook, [0, 1, died as u64], Some((now, error)))?;
        }
    }
    Ok(())
}

/// Adds to a hook's counts: delivered, failed, dead.
fn add(
    connection: &Connection,
    hook: &str,
    more: [u64; 3],
    error: Option<(UnixMicros, &str)>,
) -> Result<(), StoreError> {
    let [delivered, failed, dead] = more.map(int);
    connection
        .prepare_cached(
            "INSERT INTO outbox_hooks (hook,delivered,failed,dead,last_delivered,last_failed,last_error) \
             VALUES (?1,?2,?3,?4,0,0,'') ON CONFLICT DO UPDATE SET \
             delivered = delivered + ?2, failed = failed + ?3, dead = dead + ?4",
        )?
        .execute(params![hook, delivered, failed, dead])?;
    if let Some((at, error)) = error {
        connection
            .prepare_cached("UPDATE outbox_hooks SET last_failed = ?, last_error = ? WHERE hook = ?")?
            .execute(params![int(at.0), cut(error), hook])?;
    }
    Ok(())
}

fn states(view: &Connection) -> Result<Vec<HookState>, StoreError> {
    let mut out: Vec<HookState> = Vec::new();
    {
        let mut select = view.prepare_cached(
            "SELECT hook,delivered,failed,dead,last_delivered,last_failed,last_error FROM outbox_hooks",
        )?;
        let mut rows = select.query([])?;
        while let Some(row) = rows.next()? {
            let number = |at: usize| natural(row.get(at)?, "count");
            let time = |at: usize| number(at).map(|time| Some(UnixMicros(time)).filter(|time| time.0 > 0));
            out.push(HookState {
                hook: row.get(0)?,
                delivered: number(1)?,
                failed: number(2)?,
                died: number(3)?,
                last_delivered: time(4)?,
                last_failed: time(5)?,
                last_error: row.get(6)?,
                ..HookState::default()
            });
        }
    }
    let mut select =
        view.prepare_cached("SELECT hook,state,count(*),min(since) FROM outbox GROUP BY hook,state")?;
    let mut rows = select.query([])?;
    while let Some(row) = rows.next()? {
        let (hook, state): (String, i64) = (row.get(0)?, row.get(1)?);
        let (count, oldest) = (natural(row.get(2)?, "count")?, natural(row.get(3)?, "since")?);
        let at = out
            .iter()
            .position(|known| known.hook == hook)
            .unwrap_or_else(|| {
                out.push(HookState {
                    hook,
                    ..HookState::default()
                });
                out.len() - 1
            });
        let Some(known) = out.get_mut(at) else { continue };
        match state {
            WAITING => (known.waiting, known.oldest) = (count, Some(UnixMicros(oldest))),
            DEAD => known.dead = count,
            _ => return Err(StoreError::Column("state")),
        }
    }
    out.sort_by(|a, b| a.hook.cmp(&b.hook));
    Ok(out)
}

fn read(row: &Row<'_>) -> Result<Event, StoreError> {
    let event: u8 = row.get(2)?;
    let detail: String = row.get(7)?;
    Ok(Event {
        id: natural(row.get(0)?, "id")?,
        hook: row.get(1)?,
        event: HookEvent::from_index(event).ok_or(StoreError::Column("event"))?,
        request_id: RequestId(row.get(3)?),
        send: row.get(5)?,
        grants: row.get(6)?,
        detail: serde_json::from_str(&detail).map_err(|_| StoreError::Column("detail"))?,
        since: UnixMicros(natural(row.get(8)?, "since")?),
        due: UnixMicros(natural(row.get(9)?, "due")?),
        tries: row.get(10)?,
        error: row.get(11)?,
    })
}

fn natural(value: i64, column: &'static str) -> Result<u64, StoreError> {
    u64::try_from(value).map_err(|_| StoreError::Column(column))
}

fn cut(text: &str) -> &str {
    text.get(..text.floor_char_boundary(ERROR_BYTES_MAX))
        .unwrap_or_default()
}
