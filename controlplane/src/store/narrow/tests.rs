//! The narrower sums against a recomputation from the records, whatever order, batch, repetition or correction they come
//! in, and answers made of them against adding up records one by one.

use std::collections::{BTreeMap, BTreeSet};

use sluice_shared::api::ApiKind;
use sluice_shared::usage::{Ended, Known, Usage, UsageRecord};

use super::*;
use crate::store::adoption::{AdoptionRows as _, Days};
use crate::store::people::PeopleRows as _;
use crate::store::series::{Series, SeriesQuery, SeriesRows as _, Split, Step};
use crate::store::tests::record;
use crate::store::{Amend, Batch, Sqlite, Store as _, Totals};

const DAY: u64 = 86_400;
/// In the middle of a stretch of four weeks.
const START: u64 = 20_780 * DAY;

/// Numbers that look random and are the same in every run.
struct Random(u64);

impl Random {
    fn below(&mut self, bound: u64) -> u64 {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        self.0 % bound
    }
}

async fn store() -> (tempfile::TempDir, Sqlite) {
    let folder = tempfile::tempdir().unwrap();
    let store = Sqlite::open(folder.path()).await.unwrap();
    (folder, store)
}

/// A record at about a second, of some user, model, provider and API.
fn some(random: &mut Random, number: u64, second: u64) -> UsageRecord {
    let mut r = record(number, second * 1_000_000 + random.below(1_000_000));
    r.user = match random.below(12) {
        0 => String::new(),
        n => format!("user{n}@example.com"),
    };
    r.model_asked = format!("model{}", random.below(4));
    r.provider = ["anthropic", "openai", "openai", ""][usize::try_from(random.below(4)).unwrap()].into();
    r.api = [ApiKind::OpenAiChat, ApiKind::AnthropicMessages][usize::try_from(random.below(2)).unwrap()];
    r.usage.reasoning = Some(random.below(9));
    r.usage.cached_read = Some(random.below(99));
    match random.below(8) {
        0 => (r.usage_known, r.cost, r.usage) = (Known::Unknown, None, Usage::default()),
        1 => r.ended = Ended::Aborted,
        2 => r.status = 429,
        _ => {}
    }
    r
}

/// A gateway's life of six weeks: batches that go on, and some that come late, twice, or correct what was stored.
async fn life(store: &Sqlite, seed: u64) -> Vec<UsageRecord> {
    let mut random = Random(seed);
    let mut all: Vec<UsageRecord> = Vec::new();
    let mut now = START + random.below(DAY);
    for _ in 0..60 {
        now += random.below(DAY * 3 / 2);
        let mut batch = Batch::default();
        for _ in 0..1 + random.below(9) {
            let late = [0, 0, random.below(3_600), random.below(40 * DAY)];
            let second = now - late[usize::try_from(random.below(4)).unwrap()];
            batch.records.push(some(&mut random, all.len() as u64, second));
            all.push(batch.records.last().unwrap().clone());
        }
        for _ in 0..random.below(3) {
            let again = usize::try_from(random.below(all.len() as u64)).unwrap();
            // It is there already.
            batch.records.push(all[again].clone());
            let ended = [Ended::ClientGone, Ended::UpstreamFailed, Ended::Complete][again % 3];
            batch.amends.push(Amend {
                request_id: all[again].request_id,
                ended,
                duration_us: 5,
            });
            (all[again].ended, all[again].duration_us) = (ended, 5);
        }
        store.ingest(&batch).await.unwrap();
    }
    all
}

fn model(r: &UsageRecord) -> &str {
    if r.provider.is_empty() { "" } else { &r.model_asked }
}

fn sum<'a>(records: impl IntoIterator<Item = &'a UsageRecord>) -> Totals {
    let mut totals = Totals::default();
    for r in records {
        rollup::add(&mut totals, &rollup::contribution(r, !r.provider.is_empty()));
    }
    totals
}

fn grouped<K: Ord>(all: &[UsageRecord], keys: impl Fn(&UsageRecord) -> Vec<K>) -> BTreeMap<K, Totals> {
    let mut groups: BTreeMap<K, Totals> = BTreeMap::new();
    for r in all {
        for key in keys(r) {
            rollup::add(groups.entry(key).or_default(), &sum([r]));
        }
    }
    groups
}

/// Everything in the narrower tables, with names instead of numbers.
#[derive(Debug, Default, PartialEq, Eq)]
struct Tables {
    totals: BTreeMap<(u64, u64, String, String, String), Totals>,
    people: BTreeMap<String, (u64, u64, Totals)>,
    /// Model (`None`: any), bucket, logins.
    active: BTreeMap<(Option<String>, u64), BTreeSet<String>>,
    /// Level, model (`None`: any), bucket, login.
    users: BTreeMap<(u64, Option<String>, u64, String), Totals>,
    until: u64,
}

impl Tables {
    fn stored(connection: &Connection) -> Self {
        let text = |id: TextId| -> String {
            connection
                .query_row("SELECT text FROM texts WHERE id = ?", [id], |row| row.get(0))
                .unwrap()
        };
        let sums = rollup::COLUMNS.join(",");
        let cells = |row: &rusqlite::Row<'_>, from| crate::store::cells::totals(row, from).unwrap();
        let mut tables = Self {
            until: blocks::until(connection).unwrap(),
            ..Self::default()
        };
        let each = |sql: &str, row: &mut dyn FnMut(&rusqlite::Row<'_>)| {
            let mut select = connection.prepare(sql).unwrap();
            let mut rows = select.query([]).unwrap();
            while let Some(found) = rows.next().unwrap() {
                row(found);
            }
        };
        each(
            &format!("SELECT level,bucket,model,provider,api,{sums} FROM totals"),
            &mut |row| {
                let key = (
                    row.get(0).unwrap(),
                    row.get(1).unwrap(),
                    text(row.get(2).unwrap()),
                    text(row.get(3).unwrap()),
                    row.get(4).unwrap(),
                );
                tables.totals.insert(key, cells(row, 5));
            },
        );
        let mut logins = BTreeMap::new();
        each(
            &format!("SELECT number,user,first,last,{sums} FROM people"),
            &mut |row| {
                let login = text(row.get(1).unwrap());
                logins.insert(row.get::<_, u32>(0).unwrap(), login.clone());
                tables
                    .people
                    .insert(login, (row.get(2).unwrap(), row.get(3).unwrap(), cells(row, 4)));
            },
        );
        each("SELECT model,bucket,block,people FROM active", &mut |row| {
            let model: TextId = row.get(0).unwrap();
            let mut set = active::Set::default();
            set.join(row.get(2).unwrap(), &row.get::<_, Vec<u8>>(3).unwrap());
            assert_eq!(set.count(), set.numbers().count() as u64);
            let key = ((model != ANY_MODEL).then(|| text(model)), row.get(1).unwrap());
            let people = set.numbers().map(|number| logins[&number].clone());
            tables.active.entry(key).or_default().extend(people);
        });
        each(
            &format!("SELECT level,model,bucket,user,{sums} FROM user_sums"),
            &mut |row| {
                let model: TextId = row.get(1).unwrap();
                let key = (
                    row.get(0).unwrap(),
                    (model != ANY_MODEL).then(|| text(model)),
                    row.get(2).unwrap(),
                    text(row.get(3).unwrap()),
                );
                tables.users.insert(key, cells(row, 4));
            },
        );
        tables
    }

    fn expected(all: &[UsageRecord], until: u64) -> Self {
        let second = |r: &UsageRecord| r.time.0 / 1_000_000;
        let mut tables = Self {
            totals: grouped(all, |r| {
                [60, 3_600, DAY]
                    .map(|level| {
                        (
                            level,
                            second(r) / level * level,
                            model(r).to_owned(),
                            r.provider.clone(),
                            r.api.name().to_owned(),
                        )
                    })
                    .to_vec()
            }),
            users: grouped(all, |r| {
                let over = [DAY, 7 * DAY, 28 * DAY].map(|level| (level, second(r) / level * level));
                over.into_iter()
                    .filter(|(level, bucket)| bucket + level <= until)
                    .flat_map(|(level, bucket)| {
                        [None, Some(model(r).to_owned())].map(|model| (level, model, bucket, r.user.clone()))
                    })
                    .collect()
            }),
            until,
            ..Self::default()
        };
        for r in all.iter().filter(|r| !r.user.is_empty()) {
            let person = tables
                .people
                .entry(r.user.clone())
                .or_insert_with(|| (r.time.0, r.time.0, Totals::default()));
            (person.0, person.1) = (person.0.min(r.time.0), person.1.max(r.time.0));
            rollup::add(&mut person.2, &sum([r]));
            let mut mark = |model: Option<&str>, bucket: u64| {
                let set = tables
                    .active
                    .entry((model.map(str::to_owned), bucket))
                    .or_default();
                set.insert(r.user.clone());
            };
            mark(None, second(r) / 3_600 * 3_600);
            if !model(r).is_empty() {
                mark(Some(model(r)), second(r) / DAY * DAY);
            }
        }
        tables
    }
}

#[tokio::test]
async fn the_tables_are_what_the_records_say() {
    for seed in [88_172_645_463_325_252, 3, 0xdead_beef] {
        let (_folder, store) = store().await;
        let all = life(&store, seed).await;
        let found = Tables::stored(&store.writer().connection);
        let newest = all.iter().map(|r| r.time.0 / 1_000_000).max().unwrap();
        assert!(
            found.until > START + 20 * DAY,
            "days are summed when they are over"
        );
        assert!(found.until + DAY + 3_600 > newest / 60 * 60, "{}", found.until);
        let expected = Tables::expected(&all, found.until);
        assert_eq!(found.totals, expected.totals, "{seed}");
        assert_eq!(found.people, expected.people, "{seed}");
        assert_eq!(found.active, expected.active, "{seed}");
        assert_eq!(found.users, expected.users, "{seed}");
        assert!(found.users.keys().any(|key| key.0 == 28 * DAY));
    }
}

#[tokio::test]
async fn a_store_of_an_earlier_version_gets_the_same_tables() {
    let (_folder, store) = store().await;
    let all = life(&store, 42).await;
    let writer = store.writer();
    let before = Tables::stored(&writer.connection);
    writer
        .connection
        .execute_batch(
            "DROP TABLE totals; DROP TABLE people; DROP TABLE active; DROP TABLE user_sums; DROP TABLE user_sums_until;",
        )
        .unwrap();
    for (version, script) in [
        (VERSION, include_str!("../schema/0009.sql")),
        (BY_MODEL, include_str!("../schema/0012.sql")),
    ] {
        writer.connection.execute_batch(script).unwrap();
        fill(&writer.connection, version).unwrap();
    }
    let after = Tables::stored(&writer.connection);
    assert!(after == Tables::expected(&all, after.until), "as the records say");
    assert_eq!(after.until, before.until);
    assert!(after == before, "as it was");
}

#[tokio::test]
async fn wild_figures_do_not_stop_the_sums_of_days() {
    let (_folder, store) = store().await;
    let wild = |number: u64, second: u64| {
        let mut r = record(number, second * 1_000_000);
        r.user = "wild".into();
        r.usage.input = Some(u64::MAX);
        r.usage.output = Some((1 << 33) + 1);
        r
    };
    let mut records: Vec<UsageRecord> = (0..40).map(|n| wild(n, START + n * DAY)).collect();
    records.push(wild(99, u64::MAX / 1_000_000));
    for record in &records {
        let batch = Batch {
            records: vec![record.clone()],
            ..Batch::default()
        };
        store.ingest(&batch).await.unwrap();
    }
    let people = store.people(None).await.unwrap();
    assert_eq!(people[0].totals.input, rollup::CAP);
    assert_eq!(people[0].totals.output, 41 * ((1 << 33) + 1));
    let days = Days {
        since: START,
        until: START + 40 * DAY,
    };
    let users = store.adoption_users(days).await.unwrap();
    assert_eq!(
        (users[0].person.totals.input, users[0].days_active),
        (rollup::CAP, 40)
    );
}

fn of(r: &UsageRecord, split: Split) -> String {
    match split {
        Split::None => String::new(),
        Split::Model => model(r).to_owned(),
        Split::Provider => r.provider.clone(),
        Split::User => r.user.clone(),
        Split::Api => r.api.name().to_owned(),
    }
}

#[tokio::test]
async fn series_agree_with_adding_up_records() {
    let (_folder, store) = store().await;
    let all = life(&store, 7).await;
    let middle = START + 20 * DAY + 7 * 3_600 + 120;
    let mut checked = 0;
    for (step, spans) in [
        (Step::Minute, [(middle, middle + 3_600), (middle, middle + 60)]),
        (
            Step::Hour,
            [(START, START + 50 * DAY), (middle, middle + 3 * DAY + 60)],
        ),
        (
            Step::Day,
            [(START - DAY, START + 99 * DAY), (middle - 30 * DAY, middle + 120)],
        ),
    ] {
        for (since, until) in spans {
            for split in Split::ALL {
                for offset_s in [0, -5 * 3_600, 14 * 3_600] {
                    for (user, model, provider) in [
                        (None, None, None),
                        (Some("user3@example.com"), None, None),
                        (None, Some("model1"), None),
                        (None, Some("model2"), Some("openai")),
                        (Some("nobody"), None, None),
                    ] {
                        let query = SeriesQuery {
                            step,
                            split,
                            since,
                            until,
                            user: user.map(str::to_owned),
                            model: model.map(str::to_owned),
                            provider: provider.map(str::to_owned),
                            top: 2,
                            offset_s,
                        };
                        checked += check(&store, &all, &query).await;
                    }
                }
            }
        }
    }
    assert!(checked > 100, "{checked} series with something in them");
}

/// How many series have requests.
async fn check(store: &Sqlite, all: &[UsageRecord], query: &SeriesQuery) -> u64 {
    let times: Vec<u64> = query.times().collect();
    assert_eq!(times.len() as u64, query.count());
    assert!(times[0] <= query.since && query.until <= times.last().unwrap() + query.step.seconds());
    for time in &times {
        let shift = if query.step == Step::Day {
            query.offset_s
        } else {
            0
        };
        let local = i64::try_from(*time).unwrap() + shift;
        assert_eq!(
            local % i64::try_from(query.step.seconds()).unwrap(),
            0,
            "{query:?}"
        );
    }
    let asked: Vec<&UsageRecord> = all
        .iter()
        .filter(|r| (query.since..query.until).contains(&(r.time.0 / 1_000_000)))
        .filter(|r| query.user.as_ref().is_none_or(|user| *user == r.user))
        .filter(|r| query.model.as_ref().is_none_or(|asked| asked == model(r)))
        .filter(|r| {
            query
                .provider
                .as_ref()
                .is_none_or(|provider| *provider == r.provider)
        })
        .collect();
    let series = |key: Option<String>, records: &[&UsageRecord]| Series {
        key,
        totals: sum(records.iter().copied()),
        times: times
            .iter()
            .map(|time| {
                let inside = |r: &&&UsageRecord| {
                    (*time..time + query.step.seconds()).contains(&(r.time.0 / 1_000_000))
                };
                sum(records.iter().filter(inside).copied())
            })
            .collect(),
    };
    let mut keys: BTreeMap<String, Vec<&UsageRecord>> = BTreeMap::new();
    for r in &asked {
        keys.entry(of(r, query.split)).or_default().push(r);
    }
    let found = store.series(query).await.unwrap();
    assert_eq!(found.total, series(None, &asked), "{query:?}");
    if query.split == Split::None {
        assert_eq!((found.series.len(), found.other), (0, None));
        return u64::from(!asked.is_empty());
    }
    assert_eq!(found.series.len(), keys.len().min(query.top), "{query:?}");
    let mut before = (u64::MAX, u64::MAX);
    for one in &found.series {
        let records = keys.remove(one.key.as_ref().unwrap()).unwrap();
        assert_eq!(*one, series(one.key.clone(), &records), "{query:?}");
        let rank = (one.totals.cost_nanousd, one.totals.requests);
        assert!(rank <= before, "{query:?}");
        before = rank;
    }
    let rest: Vec<&UsageRecord> = asked
        .iter()
        .filter(|r| keys.contains_key(&of(r, query.split)))
        .copied()
        .collect();
    for records in keys.values() {
        let left = sum(records.iter().copied());
        assert!(
            (left.cost_nanousd, left.requests) <= before,
            "the largest are shown: {query:?}"
        );
    }
    assert_eq!(
        found.other,
        (!rest.is_empty()).then(|| series(None, &rest)),
        "{query:?}"
    );
    found.series.len() as u64
}

#[tokio::test]
async fn adoption_agrees_with_counting_people() {
    let (_folder, store) = store().await;
    let all = life(&store, 11).await;
    let people = |from: u64, to: u64, keep: &dyn Fn(&UsageRecord) -> bool| -> BTreeSet<String> {
        all.iter()
            .filter(|r| !r.user.is_empty() && (from..to).contains(&(r.time.0 / 1_000_000)) && keep(r))
            .map(|r| r.user.clone())
            .collect()
    };
    let count = |from: u64, to: u64| people(from, to, &|_| true).len() as u64;
    for (since, until) in [
        (START, START + 60 * DAY),
        (START + 10 * DAY, START + 11 * DAY),
        (START + 3 * DAY + 7_200, START + 33 * DAY + 7_200),
        (START + 5 * DAY, START + 5 * DAY),
    ] {
        let found = store.adoption(Days { since, until }).await.unwrap();
        let before = |from: u64| all.iter().filter(move |r| r.time.0 / 1_000_000 < from);
        let known = |from: u64| {
            before(from)
                .filter(|r| !r.user.is_empty())
                .map(|r| &r.user)
                .collect::<BTreeSet<_>>()
        };
        assert_eq!(found.total, known(until).len() as u64);
        assert_eq!(found.new, (known(until).len() - known(since).len()) as u64);
        assert_eq!(found.active, count(since, until));
        assert_eq!(
            found.active_last,
            [1, 7, 30].map(|days| count(until - days * DAY, until))
        );
        assert_eq!(found.days.len() as u64, (until - since) / DAY);
        for day in &found.days {
            let (from, to) = (day.time, day.time + DAY);
            assert_eq!(
                [day.active, day.active_7d, day.active_30d],
                [1, 7, 30].map(|days| count(to.saturating_sub(days * DAY), to))
            );
            assert_eq!(day.new, (known(to).len() - known(from).len()) as u64);
            assert_eq!(day.requests, (before(to).count() - before(from).count()) as u64);
        }
        let whole_days = since / DAY * DAY;
        for used in &found.models {
            let name = &used.group.key;
            let last = until.div_ceil(DAY) * DAY;
            assert_eq!(
                used.users,
                people(whole_days, last, &|r| model(r) == name).len() as u64,
                "{name}"
            );
        }
        let mut users = store.adoption_users(Days { since, until }).await.unwrap();
        users.sort_by(|a, b| a.person.login.cmp(&b.person.login));
        let expected = people(since, until, &|_| true);
        assert_eq!(
            users.iter().map(|user| &user.person.login).collect::<Vec<_>>(),
            expected.iter().collect::<Vec<_>>()
        );
        assert_eq!(found.users.len(), users.len());
        for user in &users {
            let login = &user.person.login;
            let own = |r: &&UsageRecord| r.user == *login;
            let inside = |r: &&UsageRecord| (since..until).contains(&(r.time.0 / 1_000_000));
            assert_eq!(
                user.person.totals,
                sum(all.iter().filter(own).filter(inside)),
                "{login}"
            );
            let days: BTreeSet<u64> = all
                .iter()
                .filter(own)
                .filter(inside)
                .map(|r| (r.time.0 / 1_000_000 - since) / DAY)
                .collect();
            assert_eq!(user.days_active, days.len() as u64, "{login}");
            let times = || all.iter().filter(own).map(|r| r.time);
            assert_eq!(
                (Some(user.person.first), Some(user.person.last)),
                (times().min(), times().max())
            );
        }
    }
}

#[tokio::test]
async fn a_person_has_models_and_providers_of_all_time() {
    let (_folder, store) = store().await;
    let all = life(&store, 5).await;
    let login = "user4@example.com";
    let own: Vec<UsageRecord> = all.iter().filter(|r| r.user == login).cloned().collect();
    let found = store.person(login).await.unwrap().unwrap();
    let map = |groups: &[crate::store::UsageGroup]| -> BTreeMap<String, Totals> {
        groups.iter().map(|g| (g.key.clone(), g.totals.clone())).collect()
    };
    assert_eq!(found.person.totals, sum(&own));
    assert_eq!(map(&found.models), grouped(&own, |r| vec![model(r).to_owned()]));
    assert_eq!(map(&found.providers), grouped(&own, |r| vec![r.provider.clone()]));
    // A text that is no login, and one that never occurred.
    for nobody in ["model1", "", "nobody"] {
        assert_eq!(store.person(nobody).await.unwrap(), None, "{nobody:?}");
        assert_eq!(store.people(Some(nobody)).await.unwrap(), [], "{nobody:?}");
    }
}

#[test]
fn stretches_of_days_are_covered_once() {
    let mut random = Random(9);
    for _ in 0..5_000 {
        let from = random.below(400);
        let to = from + random.below(200);
        let mut at = from * DAY;
        let parts = blocks::cover(from * DAY, to * DAY);
        for (level, from, to) in &parts {
            assert_eq!((*from, from % level, to % level), (at, 0, 0));
            assert!(to > from);
            at = *to;
        }
        assert_eq!(at, to * DAY);
        let rows: u64 = parts.iter().map(|(level, from, to)| (to - from) / level).sum();
        assert!(rows <= 12 + 6 + (to - from) / 28, "{parts:?}");
    }
}
