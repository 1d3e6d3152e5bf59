//! Lists of requests: which seconds and minutes may hold what a filter lets through, and the rows in them.
//!
//! Three indexes say where to look: `seen` the seconds of a user, model, provider, status, error or rule, `zones` the
//! minutes in which the other conditions are met, `session_requests` the places of a session. They are gone through
//! together, newest first: each says the newest second up to that of the others, until all agree (a leapfrog join), and of
//! that second, or minute, the rows are read. What the indexes cannot know is asked of the row.
//!
//! The work of one page is bounded: after [`WORK_MAX`] steps the page ends where it is, and says where to go on.

use std::collections::{BTreeSet, HashMap};

use rusqlite::{Connection, OptionalExtension as _, params_from_iter};
use sluice_shared::ids::RequestId;
use sluice_shared::units::UnixMicros;
use sluice_shared::usage::UsageRecord;

use super::detail::{COLUMNS, Row, TextId, int};
use super::filter::{Failure, Filter};
use super::sessions::SessionId;
use super::writer::read;
use super::zones::{SECONDS, Zone};
use super::{Page, Place, RequestQuery, StoreError, seen};

/// Steps of one page: looks into indexes and rows that are read. About a tenth of a second.
pub(super) const WORK_MAX: u32 = 40_000;
/// Sessions that a key may name, newest first: one is told by its key within a user only.
const SESSIONS_MAX: u32 = 64;
/// Places of a session that are read at once.
const PLACES: usize = 512;
const SECOND: i64 = 1_000_000;

/// Numbers of the texts of a filter. A text without a number stands in no row.
#[derive(Debug, Default)]
struct Numbers {
    user: Option<TextId>,
    model: Option<TextId>,
    provider: Option<TextId>,
    error: Option<TextId>,
    rule: Option<TextId>,
}

/// A list that is being read.
struct Scan<'a> {
    view: &'a Connection,
    query: &'a RequestQuery,
    numbers: Numbers,
    /// First and last moment.
    from: i64,
    to: i64,
    work: u32,
    found: Vec<Row>,
}

/// Whether a part of a list was read to its end.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum End {
    /// It was, or the page is full.
    Here,
    /// There was too much to do; all before this place was read.
    Cut(Place),
}

/// A page of records. Everything is read from one view of the file.
pub(super) fn page(connection: &Connection, query: &RequestQuery, work: u32) -> Result<Page, StoreError> {
    let view = connection.unchecked_transaction()?;
    let filter = &query.filter;
    let mut numbers = Numbers::default();
    let code = match &filter.error {
        Some(Failure::Code(code)) => Some(code),
        Some(Failure::Any) | None => None,
    };
    for (number, text) in [
        (&mut numbers.user, filter.user.as_ref()),
        (&mut numbers.model, filter.model.as_ref()),
        (&mut numbers.provider, filter.provider.as_ref()),
        (&mut numbers.error, code),
        (&mut numbers.rule, filter.rule.as_ref()),
    ] {
        if let Some(text) = text {
            *number = number_of(&view, text)?;
            if number.is_none() && !may_be_unnumbered(filter, text) {
                return Ok(Page::default());
            }
        }
    }
    let to = query.until.map_or(i64::MAX, |time| int(time.0)).saturating_sub(1);
    let mut scan = Scan {
        view: &view,
        query,
        numbers,
        from: query.since.map_or(0, |time| int(time.0)),
        to: query.after.map_or(to, |(time, _)| to.min(int(time.0))),
        work,
        found: Vec::new(),
    };
    let end = if filter.session.is_some() {
        scan.sessions()?
    } else {
        scan.moments()?
    };
    let found = scan.found;
    Ok(Page {
        records: with_texts(&view, found)?,
        cut: match end {
            End::Here => None,
            // Never before the place that the page comes after.
            End::Cut(place) => Some(query.after.map_or(place, |after| place.min(after))),
        },
    })
}

/// The records at places that are there, in their order.
pub(super) fn at(connection: &Connection, places: &[Place]) -> Result<Vec<UsageRecord>, StoreError> {
    let view = connection.unchecked_transaction()?;
    let mut found = Vec::with_capacity(places.len());
    for place in places {
        found.extend(row_at(&view, *place)?);
    }
    with_texts(&view, found)
}

fn row_at(view: &Connection, (time, id): Place) -> Result<Option<Row>, StoreError> {
    let sql = format!("SELECT {COLUMNS} FROM requests WHERE time = ? AND request_id = ?");
    let mut select = view.prepare_cached(&sql)?;
    let mut rows = select.query((int(time.0), id.0.as_slice()))?;
    rows.next()?.map(unpack).transpose()
}

fn unpack(row: &rusqlite::Row<'_>) -> Result<Row, StoreError> {
    let (columns, detail) = read(row)?;
    Row::unpack(&columns, &detail).ok_or(StoreError::Column("detail"))
}

fn number_of(view: &Connection, text: &str) -> Result<Option<TextId>, StoreError> {
    let mut select = view.prepare_cached("SELECT id FROM texts WHERE text = ?")?;
    Ok(select.query_row([text], |row| row.get(0)).optional()?)
}

/// Codes and names that are long have numbers only if this version stored them.
fn may_be_unnumbered(filter: &Filter, text: &str) -> bool {
    let is = |asked: Option<&String>| asked.is_some_and(|asked| asked == text);
    let code = matches!(&filter.error, Some(Failure::Code(code)) if code == text);
    let column = is(filter.user.as_ref()) || is(filter.model.as_ref()) || is(filter.provider.as_ref());
    !column && (code || is(filter.rule.as_ref())) && text.len() > super::detail::SHARED_MAX
}

fn with_texts(view: &Connection, rows: Vec<Row>) -> Result<Vec<UsageRecord>, StoreError> {
    let wanted: BTreeSet<TextId> = rows.iter().flat_map(Row::numbers).collect();
    let mut texts = HashMap::with_capacity(wanted.len());
    let mut select = view.prepare_cached("SELECT text FROM texts WHERE id = ?")?;
    for number in wanted {
        if let Some(text) = select.query_row([number], |row| row.get(0)).optional()? {
            texts.insert(number, text);
        }
    }
    rows.into_iter().map(|row| row.with_texts(&texts)).collect()
}

impl Scan<'_> {
    fn is_full(&self) -> bool {
        self.found.len() >= usize::try_from(self.query.limit).unwrap_or(usize::MAX)
    }

    /// One step; `false`: it was one too many.
    fn step(&mut self) -> bool {
        match self.work.checked_sub(1) {
            Some(left) => {
                self.work = left;
                true
            }
            None => false,
        }
    }

    /// Whether a row passes the filter.
    fn passes(&self, row: &Row) -> bool {
        let (f, n) = (&self.query.filter, &self.numbers);
        let is =
            |asked: Option<&String>, number: Option<TextId>, has: &dyn Fn(Option<TextId>, &str) -> bool| {
                asked.is_none_or(|text| has(number, text))
            };
        let code = match &f.error {
            Some(Failure::Code(code)) => Some(code),
            Some(Failure::Any) | None => None,
        };
        is(code, n.error, &|number, text| row.has_error(number, text))
            && is(f.rule.as_ref(), n.rule, &|number, text| {
                row.has_judge(number, text)
            })
            && f.admits(row.bare())
    }

    /// By the indexes of moments.
    fn moments(&mut self) -> Result<End, StoreError> {
        let since: i64 = self
            .view
            .prepare_cached("SELECT since FROM seen_words WHERE one = 1")?
            .query_row([], |row| row.get(0))?;
        let words = self.numbers.error.is_some() || self.numbers.rule.is_some();
        let first = if words {
            self.from.max(since.saturating_mul(SECOND))
        } else {
            self.from
        };
        if first <= self.to {
            let end = self.stretch(first, self.to, true)?;
            if end != End::Here || self.is_full() {
                return Ok(end);
            }
        }
        // What an earlier version stored is found without codes and names.
        let last = self.to.min(first.saturating_sub(1));
        if words && self.from <= last {
            return self.stretch(self.from, last, false);
        }
        Ok(End::Here)
    }

    /// The values of `seen` that a request has which passes, those that say most first.
    fn values(&self, words: bool) -> Vec<i64> {
        let n = &self.numbers;
        let status = self.query.filter.status;
        let value = status.and_then(|(low, high)| seen::range_value(low, high));
        let common = status.is_some_and(|(low, _)| (200..300).contains(&low));
        let rule = n.rule.filter(|_| words);
        let error = n.error.filter(|_| words);
        [
            n.user,
            rule,
            error,
            value.filter(|_| !common),
            n.model,
            n.provider,
            value.filter(|_| common),
        ]
        .into_iter()
        .flatten()
        .collect()
    }

    /// All from one moment up to another.
    fn stretch(&mut self, from: i64, to: i64, words: bool) -> Result<End, StoreError> {
        let values = self.values(words);
        let zone = Zone::asked(&self.query.filter);
        let width = match (values.is_empty(), zone) {
            (false, _) => 1,
            (true, Some(_)) => i64::try_from(SECONDS).unwrap_or(i64::MAX),
            (true, None) => return self.rows(from, to),
        };
        let mut at = to / SECOND;
        while let Some(second) = self.newest(&values, zone, from / SECOND, at)? {
            if self.work == 0 {
                return Ok(End::Cut(behind(second)));
            }
            let begin = second / width * width;
            let end = self.rows(
                from.max(begin.saturating_mul(SECOND)),
                to.min(
                    (begin.saturating_add(width))
                        .saturating_mul(SECOND)
                        .saturating_sub(1),
                ),
            )?;
            if end != End::Here || self.is_full() {
                return Ok(end);
            }
            at = begin - 1;
        }
        Ok(End::Here)
    }

    /// The newest second up to `at` in which all values and the zone occur; the one that was reached when there was too much
    /// to do.
    fn newest(
        &mut self,
        values: &[i64],
        zone: Option<Zone>,
        from: i64,
        mut at: i64,
    ) -> Result<Option<i64>, StoreError> {
        let minute = i64::try_from(SECONDS).unwrap_or(i64::MAX);
        let view = self.view;
        let mut seek = view.prepare_cached(
            "SELECT second FROM seen WHERE value = ?1 AND second BETWEEN ?2 AND ?3 ORDER BY second DESC LIMIT 1",
        )?;
        'leap: loop {
            if let Some(zone) = zone {
                if !self.step() {
                    return Ok(Some(at));
                }
                let Some(found) = zone.newest(view, from / minute, at / minute)? else {
                    return Ok(None);
                };
                at = at.min(found.saturating_mul(minute).saturating_add(minute - 1));
            }
            for value in values {
                if !self.step() {
                    return Ok(Some(at));
                }
                let found: Option<i64> = seek.query_row([*value, from, at], |row| row.get(0)).optional()?;
                match found {
                    None => return Ok(None),
                    Some(found) if found < at => {
                        at = found;
                        // Another value agrees with itself only if there is one.
                        if values.len() > 1 || zone.is_some() {
                            continue 'leap;
                        }
                    }
                    Some(_) => {}
                }
            }
            return Ok((at >= from).then_some(at));
        }
    }

    /// The rows between two moments.
    fn rows(&mut self, from: i64, to: i64) -> Result<End, StoreError> {
        let (sql, bound) = rows_sql(&self.numbers, self.query, from, to);
        let view = self.view;
        let mut select = view.prepare_cached(&sql)?;
        let mut rows = select.query(params_from_iter(bound))?;
        while let Some(row) = rows.next()? {
            let row = unpack(row)?;
            if !self.step() {
                return Ok(End::Cut(before(&row)));
            }
            if self.passes(&row) {
                self.found.push(row);
                if self.is_full() {
                    break;
                }
            }
        }
        Ok(End::Here)
    }

    /// By the places of the sessions that are asked for.
    fn sessions(&mut self) -> Result<End, StoreError> {
        let numbers = self.session_numbers()?;
        let mut after = self.query.after;
        loop {
            let mut places: Vec<Place> = Vec::new();
            // Up to here everything of every session was read.
            let mut reached: Option<Place> = None;
            for number in &numbers {
                let some = self.places(*number, after)?;
                if let Some(last) = some.last().filter(|_| some.len() >= PLACES) {
                    reached = reached.max(Some(*last));
                }
                places.extend(some);
            }
            places.sort_unstable_by(|a, b| b.cmp(a));
            for place in places.into_iter().filter(|place| Some(*place) >= reached) {
                let Some(row) = row_at(self.view, place)? else {
                    continue;
                };
                if !self.step() {
                    return Ok(End::Cut(before(&row)));
                }
                let columns = row.grouped();
                let n = &self.numbers;
                let right = n.user.is_none_or(|user| columns.user == user)
                    && n.provider.is_none_or(|provider| columns.provider == provider)
                    && n.model.is_none_or(|model| row.has_model(model));
                if right && self.passes(&row) {
                    self.found.push(row);
                    if self.is_full() {
                        return Ok(End::Here);
                    }
                }
            }
            match reached {
                Some(_) => after = reached,
                None => return Ok(End::Here),
            }
        }
    }

    /// Sessions by their id, or by their key: as many as there are users who have one of it.
    fn session_numbers(&self) -> Result<Vec<i64>, StoreError> {
        let filter = &self.query.filter;
        let asked = filter.session.as_deref().unwrap_or_default();
        let of_user = filter.user.as_ref().map(|user| SessionId::of(user, asked));
        let mut by_id = self
            .view
            .prepare_cached("SELECT number FROM sessions WHERE id = ?")?;
        let mut numbers = Vec::new();
        for id in SessionId::parse(asked).into_iter().chain(of_user) {
            let number = by_id.query_row([id.0.as_slice()], |row| row.get::<_, i64>(0));
            numbers.extend(number.optional()?);
        }
        if of_user.is_some() {
            return Ok(numbers);
        }
        let mut select = self
            .view
            .prepare_cached("SELECT number FROM sessions WHERE key = ? ORDER BY last DESC LIMIT ?")?;
        let mut rows = select.query((asked, SESSIONS_MAX))?;
        while let Some(row) = rows.next()? {
            numbers.push(row.get(0)?);
        }
        numbers.sort_unstable();
        numbers.dedup();
        Ok(numbers)
    }

    /// Some places of a session, newest first.
    fn places(&self, session: i64, after: Option<Place>) -> Result<Vec<Place>, StoreError> {
        let mut select = self.view.prepare_cached(
            "SELECT time,request_id FROM session_requests WHERE session = ?1 AND time >= ?2 AND \
             (time, request_id) < (?3, ?4) ORDER BY time DESC, request_id DESC LIMIT ?5",
        )?;
        // No id of 17 bytes is there: all of the last moment come before it.
        let end = (self.to, vec![0xff; 17]);
        let (time, id) = match after {
            Some((time, id)) if int(time.0) <= self.to => (int(time.0), id.0.to_vec()),
            _ => end,
        };
        let mut rows = select.query((session, self.from, time, id, int(PLACES as u64)))?;
        let mut places = Vec::new();
        while let Some(row) = rows.next()? {
            let time = u64::try_from(row.get::<_, i64>(0)?).map_err(|_| StoreError::Column("time"))?;
            places.push((UnixMicros(time), RequestId(row.get(1)?)));
        }
        Ok(places)
    }
}

/// The place before which nothing of a second was read.
fn behind(second: i64) -> Place {
    let end = second.saturating_add(1).saturating_mul(SECOND);
    (UnixMicros(u64::try_from(end).unwrap_or(0)), RequestId([0; 16]))
}

/// The place that a row comes right after.
fn before(row: &Row) -> Place {
    let record = row.bare();
    let next = u128::from_be_bytes(record.request_id.0).checked_add(1);
    match next {
        Some(next) => (record.time, RequestId(next.to_be_bytes())),
        None => (UnixMicros(record.time.0.saturating_add(1)), RequestId([0; 16])),
    }
}

/// The statement that reads rows between two moments, and what is bound to it in order. Its text depends on what is asked for
/// only, so that it is prepared once.
fn rows_sql(
    numbers: &Numbers,
    query: &RequestQuery,
    from: i64,
    to: i64,
) -> (String, Vec<rusqlite::types::Value>) {
    let mut bound: Vec<rusqlite::types::Value> = vec![from.into(), to.into()];
    let mut filter = String::from("time BETWEEN ?1 AND ?2");
    let mut place = |value: rusqlite::types::Value| {
        bound.push(value);
        format!("?{}", bound.len())
    };
    if let Some(user) = numbers.user {
        filter += &format!(" AND user = {}", place(user.into()));
    }
    if let Some(model) = numbers.model {
        let model = place(model.into());
        filter += &format!(" AND (model_asked = {model} OR model_answered = {model})");
    }
    if let Some(provider) = numbers.provider {
        filter += &format!(" AND provider = {}", place(provider.into()));
    }
    if let Some((low, high)) = query.filter.status {
        let (low, high) = (place(i64::from(low).into()), place(i64::from(high).into()));
        filter += &format!(" AND status BETWEEN {low} AND {high}");
    }
    if let Some((time, id)) = query.after {
        let (time, id) = (place(int(time.0).into()), place(id.0.to_vec().into()));
        filter += &format!(" AND (time, request_id) < ({time}, {id})");
    }
    (
        format!("SELECT {COLUMNS} FROM requests WHERE {filter} ORDER BY time DESC, request_id DESC"),
        bound,
    )
}

#[cfg(test)]
mod tests {
    use sluice_shared::api::ApiKind;
    use sluice_shared::units::NanoUsd;
    use sluice_shared::usage::{Action, Capture, Ended, Judge, Verdict};

    use super::super::filter::{Judgement, MAIN_AGENT};
    use super::super::tests::record;
    use super::super::{Amend, Batch, Sqlite, Store as _};
    use super::*;

    /// Records of a week, in bursts, with everything that can be asked for.
    fn records() -> Vec<UsageRecord> {
        let mut seed = 88_172_645_463_325_252u64;
        let mut random = |below: u64| {
            seed ^= seed << 13;
            seed ^= seed >> 7;
            seed ^= seed << 17;
            seed % below
        };
        let mut time = 1_700_000_000_000_000;
        let mut one = |n: u64| {
            time += [3, 400_000, 20_000_000, 2_000_000_000][usize::try_from(random(4)).unwrap()];
            let mut r = record(n, time);
            r.user = format!("user{}", random(5));
            r.provider = ["", "openai", "anthropic"][usize::try_from(random(3)).unwrap()].into();
            r.model_asked = format!("model{}", random(3));
            r.model_answered = (random(3) == 0).then(|| format!("model{}", random(4)));
            r.status = [200, 200, 429, 500][usize::try_from(random(4)).unwrap()];
            r.api = ApiKind::ALL[usize::try_from(random(9)).unwrap()];
            r.ended = Ended::ALL[usize::try_from(random(6)).unwrap()];
            r.error = (random(6) == 0)
                .then(|| ["overloaded", "rate_limit"][usize::try_from(random(2)).unwrap()].into());
            r.stream = random(2) == 0;
            r.tool_calls = u32::try_from(random(3)).unwrap();
            r.cost = (random(3) > 0).then(|| NanoUsd(1 << random(20)));
            r.duration_us = 1 << random(20);
            r.session = (random(3) > 0).then(|| format!("s{}", random(7)));
            r.agent = (random(3) == 0).then(|| format!("agent{}", random(2)));
            r.capture = Capture::ALL[usize::try_from(random(3)).unwrap()];
            if random(9) == 0 {
                let name = match random(3) {
                    0 => "pii".to_owned(),
                    1 => "secrets".to_owned(),
                    _ => "n".repeat(200),
                };
                r.verdicts = vec![Verdict {
                    judge: Judge::Guardrail,
                    name,
                    action: Action::ALL[usize::try_from(random(6)).unwrap()],
                    shadow: false,
                    on_answer: false,
                    what: String::new(),
                    count: 1,
                    took_us: 0,
                }];
            }
            r
        };
        (0..3_000).map(&mut one).collect()
    }

    fn filters() -> Vec<Filter> {
        let f = Filter::default;
        let alone = vec![
            f(),
            Filter::of(Some("user1".into())),
            Filter {
                model: Some("model1".into()),
                ..f()
            },
            Filter {
                provider: Some("anthropic".into()),
                ..f()
            },
            Filter {
                status: Some((429, 429)),
                ..f()
            },
            Filter {
                status: Some((400, 499)),
                ..f()
            },
            Filter {
                status: Some((200, 299)),
                ..f()
            },
            Filter {
                session: Some("s3".into()),
                ..f()
            },
            Filter {
                session: Some(SessionId::of("user2", "s3").to_string()),
                ..f()
            },
            Filter {
                agent: Some("agent1".into()),
                ..f()
            },
            Filter {
                agent: Some(MAIN_AGENT.into()),
                ..f()
            },
            Filter {
                api: Some(ApiKind::AnthropicMessages),
                ..f()
            },
            Filter {
                ended: Some(Ended::Blocked),
                ..f()
            },
            Filter {
                error: Some(Failure::Any),
                ..f()
            },
            Filter {
                error: Some(Failure::Code("rate_limit".into())),
                ..f()
            },
            Filter {
                stream: Some(true),
                ..f()
            },
            Filter {
                tools: Some(false),
                ..f()
            },
            Filter {
                cost_min: Some(1 << 17),
                ..f()
            },
            Filter {
                duration_min_us: Some(1 << 18),
                ..f()
            },
            Filter {
                verdict: Some(Judgement::Any),
                ..f()
            },
            Filter {
                verdict: Some(Judgement::Of(Action::Block)),
                ..f()
            },
            Filter {
                rule: Some("pii".into()),
                ..f()
            },
            Filter {
                rule: Some("n".repeat(200)),
                ..f()
            },
            Filter {
                capture: Some(Capture::Dropped),
                ..f()
            },
        ];
        let mut all = alone.clone();
        for a in &alone {
            for b in &alone {
                all.push(Filter {
                    user: a.user.clone().or_else(|| b.user.clone()),
                    model: a.model.clone().or_else(|| b.model.clone()),
                    provider: a.provider.clone().or_else(|| b.provider.clone()),
                    status: a.status.or(b.status),
                    session: a.session.clone().or_else(|| b.session.clone()),
                    agent: a.agent.clone().or_else(|| b.agent.clone()),
                    api: a.api.or(b.api),
                    ended: a.ended.or(b.ended),
                    error: a.error.clone().or_else(|| b.error.clone()),
                    stream: a.stream.or(b.stream),
                    tools: a.tools.or(b.tools),
                    cost_min: a.cost_min.or(b.cost_min),
                    duration_min_us: a.duration_min_us.or(b.duration_min_us),
                    verdict: a.verdict.or(b.verdict),
                    rule: a.rule.clone().or_else(|| b.rule.clone()),
                    capture: a.capture.or(b.capture),
                });
            }
        }
        all
    }

    /// All pages of a list, and how many were cut.
    fn all(connection: &Connection, query: &RequestQuery, work: u32) -> (Vec<UsageRecord>, usize) {
        let (mut query, mut found, mut cuts) = (query.clone(), Vec::new(), 0);
        loop {
            let limit = usize::try_from(query.limit).unwrap();
            let Page { records, cut } = page(connection, &query, work).unwrap();
            assert!(records.len() <= limit);
            let full = records.len() == limit;
            let last = records.last().map(|r| (r.time, r.request_id));
            found.extend(records);
            let next = cut.or_else(|| last.filter(|_| full));
            cuts += usize::from(cut.is_some());
            match next {
                Some(place) => {
                    assert!(query.after.is_none_or(|after| place < after), "a page goes on");
                    query.after = Some(place);
                }
                None => return (found, cuts),
            }
        }
    }

    #[tokio::test]
    async fn every_filter_finds_what_passes_it_whatever_is_cut() {
        let folder = tempfile::tempdir().unwrap();
        let store = Sqlite::open(folder.path()).await.unwrap();
        let mut records = records();
        for some in records.chunks(70) {
            let batch = Batch {
                records: some.to_vec(),
                ..Batch::default()
            };
            store.ingest(&batch).await.unwrap();
        }
        // One turns out to have been blocked, and to have taken longer than all others.
        let changed = &mut records[1_234];
        (changed.ended, changed.duration_us) = (Ended::Blocked, 1 << 30);
        let amend = Amend {
            request_id: changed.request_id,
            ended: Ended::Blocked,
            duration_us: 1 << 30,
        };
        let batch = Batch {
            amends: vec![amend],
            ..Batch::default()
        };
        store.ingest(&batch).await.unwrap();
        records.sort_by_key(|r| std::cmp::Reverse((r.time, r.request_id)));
        let (newest, oldest) = (records[0].time.0, records[2_999].time.0);
        let writer = store.writer();
        let connection = &writer.connection;
        let longest = Filter {
            duration_min_us: Some(1 << 30),
            ..Filter::default()
        };
        assert_eq!(
            all(
                connection,
                &RequestQuery {
                    filter: longest,
                    limit: 9,
                    ..RequestQuery::default()
                },
                99
            )
            .0
            .len(),
            1
        );
        let (mut cuts, mut empty) = (0, 0);
        for (at, filter) in filters().into_iter().enumerate() {
            let (since, until) = [
                (None, None),
                (Some(oldest + 900_000_000_000), Some(newest - 500_000_000_001)),
            ][at % 2];
            let expected: Vec<&UsageRecord> = records
                .iter()
                .filter(|r| filter.matches(r))
                .filter(|r| {
                    since.is_none_or(|since| r.time.0 >= since) && until.is_none_or(|until| r.time.0 < until)
                })
                .collect();
            empty += usize::from(expected.is_empty());
            for (limit, work) in [(7, WORK_MAX), (5_000, WORK_MAX), (50, 40)] {
                let query = RequestQuery {
                    since: since.map(UnixMicros),
                    until: until.map(UnixMicros),
                    filter: filter.clone(),
                    after: None,
                    limit,
                };
                let (found, cut) = all(connection, &query, work);
                assert!(
                    found.iter().eq(expected.iter().copied()),
                    "{query:?}: {} of {}",
                    found.len(),
                    expected.len()
                );
                assert!(work < WORK_MAX || cut == 0, "{query:?}");
                cuts += cut;
            }
        }
        assert!(cuts > 1_000 && empty < 300, "{cuts} {empty}");
    }

    #[tokio::test]
    async fn stores_of_earlier_versions_are_filtered_alike() {
        let folder = tempfile::tempdir().unwrap();
        let store = Sqlite::open(folder.path()).await.unwrap();
        let records = records();
        let (old, new) = records.split_at(2_000);
        let batch = |records: &[UsageRecord]| Batch {
            records: records.to_vec(),
            ..Batch::default()
        };
        store.ingest(&batch(old)).await.unwrap();
        {
            // What the version before wrote of it: no zones, no words in `seen`.
            let writer = store.writer();
            writer
                .connection
                .execute_batch(
                    "DELETE FROM seen WHERE value IN (SELECT id FROM texts WHERE text IN ('overloaded','rate_limit','pii', \
                     'secrets') OR length(text) > 96); DROP TABLE zones; DROP TABLE seen_words;",
                )
                .unwrap();
            writer
                .connection
                .execute_batch(include_str!("schema/0011.sql"))
                .unwrap();
        }
        store.ingest(&batch(new)).await.unwrap();
        let writer = store.writer();
        for filter in filters().into_iter().step_by(3) {
            let expected = records.iter().rev().filter(|r| filter.matches(r)).count();
            let query = RequestQuery {
                filter,
                limit: 100,
                ..RequestQuery::default()
            };
            let (found, _) = all(&writer.connection, &query, WORK_MAX);
            assert_eq!(found.len(), expected, "{query:?}");
        }
    }

    #[tokio::test]
    async fn no_list_is_sorted_or_scanned() {
        let folder = tempfile::tempdir().unwrap();
        let store = Sqlite::open(folder.path()).await.unwrap();
        for bits in 0u8..32 {
            let has = |bit: u8| (bits >> bit & 1 == 1).then_some(i64::from(bit));
            let query = RequestQuery {
                filter: Filter {
                    status: has(3).map(|_| (400, 499)),
                    ..Filter::default()
                },
                after: has(4).map(|_| (UnixMicros(5), RequestId([1; 16]))),
                limit: 5,
                ..RequestQuery::default()
            };
            let numbers = Numbers {
                user: has(0),
                model: has(1),
                provider: has(2),
                ..Numbers::default()
            };
            let (sql, _) = rows_sql(&numbers, &query, 3, 9);
            crate::store::tests::assert_bounded(&store, &sql);
        }
    }
}
