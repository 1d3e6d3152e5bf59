//! Buckets, leases and charges in a store.

use std::collections::{BTreeMap, BTreeSet};

use sluice_shared::quota::{AMOUNT_MAX, Charge, Rate};
use sluice_shared::snapshot::{Quota, QuotaLimit};
use sluice_shared::usage::{Ended, UsageRecord};

use super::*;
use crate::store::tests::record;
use crate::store::{Batch, Ingested, Sqlite, Store as _, StoreError, When};

const HOUR: u64 = 3_600_000_000;
/// When tests begin.
const START: u64 = 1_795_341_600_000_000;

fn at(us: u64) -> UnixMicros {
    UnixMicros(START + us)
}

fn terms(capacity: u64, amount: u64) -> Terms {
    let rate = if amount == 0 {
        Rate::NONE
    } else {
        Rate { amount, per_us: HOUR }
    };
    Terms { capacity, rate }
}

fn bucket(quota: &str, name: &str) -> Bucket {
    Bucket {
        quota: quota.into(),
        name: name.into(),
        unit: Unit::Usd,
    }
}

fn daily(login: &str) -> Bucket {
    bucket("daily:<user>", &format!("daily:{login}"))
}

fn quota(name: &str, limits: &[(Unit, Terms)]) -> Quota {
    let limit = |(unit, terms): &(Unit, Terms)| QuotaLimit {
        unit: *unit,
        terms: *terms,
    };
    Quota {
        name: name.into(),
        limits: limits.iter().map(limit).collect(),
        ..Quota::default()
    }
}

async fn open() -> (tempfile::TempDir, Sqlite) {
    let folder = tempfile::tempdir().unwrap();
    let store = Sqlite::open(folder.path()).await.unwrap();
    (folder, store)
}

/// A data plane's side of one bucket.
struct Plane {
    incarnation: u64,
    seq: u64,
    seen: u64,
    returned: u64,
    id: u64,
}

impl Plane {
    const fn new(incarnation: u64) -> Self {
        Self {
            incarnation,
            seq: 0,
            seen: 0,
            returned: 0,
            id: 0,
        }
    }

    fn question(&mut self, bucket: &Bucket, terms: Terms, need: u64, last: bool) -> LeaseAsk {
        self.seq += 1;
        LeaseAsk {
            bucket: BucketRef::Named(bucket.clone()),
            terms,
            holder: self.incarnation,
            ask: Ask {
                seq: self.seq,
                first: 1,
                answered: self.seq - 1,
                seen: self.seen,
                returned: self.returned,
                need,
                ..Ask::default()
            },
            last,
        }
    }

    /// Asks with all patience used up; what came.
    async fn ask(
        &mut self,
        store: &Sqlite,
        bucket: &Bucket,
        terms: Terms,
        need: u64,
        now: UnixMicros,
    ) -> u64 {
        let question = self.question(bucket, terms, need, true);
        let outcome = store.lease(&[question], now, &BTreeSet::new()).await.unwrap();
        let [LeaseOutcome::Granted { bucket, grant }] = outcome.as_slice() else {
            panic!("{outcome:?}")
        };
        self.id = *bucket;
        let came = grant.granted - self.seen;
        self.seen = grant.granted;
        came
    }
}

/// A record of a request that ended at a moment.
fn spent(number: u64, ended: UnixMicros, charges: &[(u64, Unit, u64)]) -> UsageRecord {
    let mut record = record(number, ended.0 - 1_000_000);
    record.duration_us = 1_000_000;
    let charge = |&(bucket, unit, amount): &(u64, Unit, u64)| Charge { bucket, unit, amount };
    record.charges = charges.iter().map(charge).collect();
    record
}

fn until(now: UnixMicros) -> When {
    When {
        since: UnixMicros(0),
        now,
    }
}

async fn ingest(store: &Sqlite, holder: u64, records: Vec<UsageRecord>, now: UnixMicros) -> Ingested {
    let batch = Batch {
        holder,
        when: until(now),
        records,
        ..Batch::default()
    };
    store.ingest(&batch).await.unwrap()
}

async fn row(store: &Sqlite, bucket: &Bucket, now: UnixMicros) -> Option<BucketRow> {
    let query = BucketQuery {
        quota: Some(bucket.quota.clone()),
        name: Some(bucket.name.clone()),
        unit: Some(bucket.unit),
        limit: 2,
        ..BucketQuery::default()
    };
    let mut rows = store.buckets(&query, now).await.unwrap();
    assert!(rows.len() < 2);
    rows.pop()
}

/// Balance, sum of charges and what is leased.
async fn figures(store: &Sqlite, bucket: &Bucket, now: UnixMicros) -> (i64, u64, u64) {
    let row = row(store, bucket, now).await.unwrap();
    (row.account.balance, row.account.charged, row.leased)
}

#[tokio::test]
async fn a_bucket_opens_full_and_what_is_granted_is_on_the_disk() {
    let (folder, store) = open().await;
    let (alice, terms) = (daily("alice"), terms(100, 0));
    let mut plane = Plane::new(1);
    assert_eq!(row(&store, &alice, at(0)).await, None, "nobody has asked for it");
    assert_eq!(plane.ask(&store, &alice, terms, 1, at(0)).await, 100);
    assert_eq!(figures(&store, &alice, at(0)).await, (100, 0, 100));
    drop(store);
    let store = Sqlite::open(folder.path()).await.unwrap();
    assert_eq!(figures(&store, &alice, at(0)).await, (100, 0, 100));
    assert_eq!(
        plane.ask(&store, &alice, terms, 1, at(0)).await,
        0,
        "it has everything"
    );
    // What it gave back, and what an answer brought that never arrived, is there again.
    plane.returned += 30;
    assert_eq!(plane.ask(&store, &alice, terms, 0, at(0)).await, 30);
    plane.seen -= 30;
    plane.returned += 10;
    assert_eq!(plane.ask(&store, &alice, terms, 0, at(0)).await, 40);
}

#[tokio::test]
async fn old_questions_are_not_answered_and_numbers_count_for_holders_only() {
    let (_folder, store) = open().await;
    let (alice, terms) = (daily("alice"), terms(100, 0));
    let mut plane = Plane::new(1);
    plane.ask(&store, &alice, terms, 1, at(0)).await;
    let mut again = plane.question(&alice, terms, 1, false);
    again.ask.seq -= 1;
    let stale = LeaseOutcome::Stale { bucket: plane.id };
    assert_eq!(
        store
            .lease(std::slice::from_ref(&again), at(0), &BTreeSet::new())
            .await
            .unwrap(),
        [stale]
    );
    again.ask.seq += 1;
    again.bucket = BucketRef::Numbered(plane.id);
    let by_number = store
        .lease(std::slice::from_ref(&again), at(0), &BTreeSet::new())
        .await
        .unwrap();
    assert!(matches!(by_number.as_slice(), [LeaseOutcome::Granted { bucket, .. }] if *bucket == plane.id));
    for (holder, number) in [(1, plane.id + 1), (2, plane.id), (1, u64::MAX)] {
        again.holder = holder;
        again.ask.seq += 1;
        again.bucket = BucketRef::Numbered(number);
        let outcome = store
            .lease(std::slice::from_ref(&again), at(0), &BTreeSet::new())
            .await
            .unwrap();
        assert_eq!(outcome, [LeaseOutcome::Undefined], "{holder} {number}");
    }
}

#[tokio::test]
async fn a_record_is_charged_once_in_the_order_of_ends() {
    let (_folder, store) = open().await;
    let alice = daily("alice");
    let terms = terms(3_600, 3_600);
    let mut plane = Plane::new(1);
    plane.ask(&store, &alice, terms, 1, at(0)).await;
    let id = plane.id;
    // One a second comes back. In the order in which they stand: 3,000 at 100 s, 600 at 50 s, 700 at 90 s.
    let records = vec![
        spent(1, at(100_000_000), &[(id, Unit::Usd, 3_000)]),
        spent(2, at(50_000_000), &[(id, Unit::Usd, 600)]),
        spent(3, at(90_000_000), &[(id, Unit::Usd, 700)]),
    ];
    let done = ingest(&store, 1, records.clone(), at(200_000_000)).await;
    assert_eq!((done.inserted, done.charges_dropped), (3, 0));
    // 3600 − 600 + 40 − 700 + 10 − 3000; then a hundred seconds.
    assert_eq!(figures(&store, &alice, at(100_000_000)).await, (-650, 4_300, 0));
    assert_eq!(figures(&store, &alice, at(200_000_000)).await.0, -550);
    let again = [records.clone(), records].concat();
    let done = ingest(&store, 1, again, at(200_000_000)).await;
    assert_eq!((done.inserted, done.duplicates), (0, 6));
    assert_eq!(figures(&store, &alice, at(100_000_000)).await, (-650, 4_300, 0));
    // What a request is amended to changes no charge.
    let amends = vec![crate::store::Amend {
        request_id: record(1, 0).request_id,
        ended: Ended::ClientGone,
        duration_us: 9,
    }];
    let batch = Batch {
        amends,
        ..Batch::default()
    };
    store.ingest(&batch).await.unwrap();
    assert_eq!(figures(&store, &alice, at(100_000_000)).await, (-650, 4_300, 0));
}

#[tokio::test]
async fn charges_of_what_is_gone_are_dropped_and_counted() {
    let (_folder, store) = open().await;
    let alice = daily("alice");
    let mut plane = Plane::new(1);
    plane.ask(&store, &alice, terms(100, 0), 1, at(0)).await;
    let id = plane.id;
    let records = vec![
        spent(
            1,
            at(0),
            &[(id, Unit::Usd, 1), (id + 1, Unit::Usd, 2), (0, Unit::Tokens, 3)],
        ),
        // Another unit than the bucket's: no charge of ours. Running ones are charged nothing.
        spent(
            2,
            at(0),
            &[
                (id, Unit::Tokens, 4),
                (id, Unit::Concurrency, 5),
                (u64::MAX, Unit::Usd, 6),
            ],
        ),
    ];
    let done = ingest(&store, 1, records, at(0)).await;
    assert_eq!((done.inserted, done.charges_dropped), (2, 4));
    assert_eq!(figures(&store, &alice, at(0)).await, (99, 1, 99));
}

#[tokio::test]
async fn a_transaction_that_fails_charges_nothing() {
    let (_folder, store) = open().await;
    let alice = daily("alice");
    let mut plane = Plane::new(1);
    plane.ask(&store, &alice, terms(100, 0), 1, at(0)).await;
    let records = [spent(1, at(0), &[(plane.id, Unit::Usd, 60)])];
    let failed = store
        .writer()
        .store(&records, 1, until(at(0)), |_| Err(StoreError::Column("x")));
    assert!(failed.is_err());
    assert_eq!(figures(&store, &alice, at(0)).await, (100, 0, 100));
    assert_eq!(store.quota_events(&history()).await.unwrap(), []);
    let done = ingest(&store, 1, records.to_vec(), at(0)).await;
    assert_eq!((done.inserted, done.events.len()), (1, 1));
    assert_eq!(figures(&store, &alice, at(0)).await, (40, 60, 40));
}

#[tokio::test]
async fn the_end_of_a_data_plane_charges_what_ran_and_frees_the_rest() {
    let (_folder, store) = open().await;
    let (alice, terms) = (daily("alice"), terms(100, 0));
    let (mut old, mut new) = (Plane::new(1), Plane::new(2));
    old.ask(&store, &alice, terms, 1, at(0)).await;
    let question = new.question(&alice, terms, 10, false);
    let outcome = store
        .lease(std::slice::from_ref(&question), at(0), &BTreeSet::new())
        .await
        .unwrap();
    let others = vec![Other { holder: 1, seq: 1 }];
    assert_eq!(
        outcome,
        [LeaseOutcome::Short {
            bucket: old.id,
            others
        }]
    );
    let mut aborted = spent(1, at(0), &[(old.id, Unit::Usd, 25)]);
    aborted.ended = Ended::Aborted;
    for round in 0..2 {
        let done = store
            .finish(1, std::slice::from_ref(&aborted), until(at(0)))
            .await
            .unwrap();
        assert_eq!(done.inserted, 1 - round);
        let freed = |bucket| Touched {
            bucket,
            holders: vec![2],
        };
        let expected = if round == 0 { vec![freed(old.id)] } else { vec![] };
        assert_eq!(done.freed, expected);
        assert_eq!(figures(&store, &alice, at(0)).await, (75, 25, 0));
    }
    // The same question, asked again.
    let outcome = store.lease(&[question], at(0), &BTreeSet::new()).await.unwrap();
    let [LeaseOutcome::Granted { grant, .. }] = outcome.as_slice() else {
        panic!("{outcome:?}")
    };
    assert_eq!(grant.granted, 75);
    assert_eq!(store.holders().await.unwrap(), [2]);
}

#[tokio::test]
async fn what_is_short_waits_only_if_others_could_help() {
    let (_folder, store) = open().await;
    let (alice, terms) = (daily("alice"), terms(100, 0));
    let (mut one, mut two) = (Plane::new(1), Plane::new(2));
    one.ask(&store, &alice, terms, 1, at(0)).await;
    // More than there is altogether: no use waiting.
    let question = two.question(&alice, terms, 101, false);
    let outcome = store.lease(&[question], at(0), &BTreeSet::new()).await.unwrap();
    assert!(matches!(outcome.as_slice(), [LeaseOutcome::Granted { grant, .. }] if grant.granted == 0));
    let question = two.question(&alice, terms, 100, false);
    let short = store
        .lease(std::slice::from_ref(&question), at(0), &BTreeSet::new())
        .await
        .unwrap();
    assert!(matches!(short.as_slice(), [LeaseOutcome::Short { .. }]));
    // What was given back meanwhile decides; the question is answered once.
    one.returned = 60;
    assert_eq!(
        one.ask(&store, &alice, terms, 0, at(0)).await,
        0,
        "it needs nothing"
    );
    let last = LeaseAsk {
        last: true,
        ..question
    };
    let outcome = store
        .lease(&[last.clone(), last], at(0), &BTreeSet::new())
        .await
        .unwrap();
    assert!(
        matches!(outcome.as_slice(), [LeaseOutcome::Granted { grant, .. }, LeaseOutcome::Stale { .. }]
            if grant.granted == 60),
        "{outcome:?}"
    );
}

#[tokio::test]
async fn two_who_are_short_see_what_the_other_gave_back() {
    let (_folder, store) = open().await;
    let (alice, terms) = (daily("alice"), terms(100, 0));
    let (mut one, mut two) = (Plane::new(1), Plane::new(2));
    assert_eq!(one.ask(&store, &alice, terms, 1, at(0)).await, 100);
    assert_eq!(two.ask(&store, &alice, terms, 40, at(0)).await, 0, "all is away");
    one.returned = 60;
    assert_eq!(one.ask(&store, &alice, terms, 0, at(0)).await, 0);
    assert_eq!(two.ask(&store, &alice, terms, 45, at(0)).await, 45);
    // One has 40, the other 45; both give back all but 10 with a question that is short.
    one.returned += 30;
    two.returned += 35;
    let first = one.question(&alice, terms, 85, false);
    let second = two.question(&alice, terms, 85, false);
    let outcomes = store
        .lease(&[first.clone(), second], at(0), &BTreeSet::new())
        .await
        .unwrap();
    assert!(
        outcomes.iter().all(|it| matches!(it, LeaseOutcome::Short { .. })),
        "{outcomes:?}"
    );
    let outcome = store
        .lease(&[LeaseAsk { last: true, ..first }], at(0), &BTreeSet::new())
        .await
        .unwrap();
    assert!(
        matches!(outcome.as_slice(), [LeaseOutcome::Granted { grant, .. }] if grant.granted - one.seen == 80),
        "{outcome:?}"
    );
}

#[tokio::test]
async fn refills_are_capped_and_remembered_with_their_author() {
    let (_folder, store) = open().await;
    let alice = daily("alice");
    assert_eq!(store.refill(&alice, None, "root", at(0)).await.unwrap(), None);
    let mut plane = Plane::new(7);
    plane.ask(&store, &alice, terms(100, 0), 1, at(0)).await;
    let id = plane.id;
    ingest(&store, 7, vec![spent(1, at(0), &[(id, Unit::Usd, 130)])], at(0)).await;
    let check = async |amount: Option<u64>, before: i64, after: i64, added: u64| {
        let refilled = store
            .refill(&alice, amount, "root", at(5))
            .await
            .unwrap()
            .unwrap();
        assert_eq!(
            (refilled.before, refilled.after, refilled.added),
            (before, after, added)
        );
        let touched = Touched {
            bucket: id,
            holders: vec![7],
        };
        assert_eq!(refilled.touched, touched);
    };
    check(Some(10), -30, -20, 10).await;
    check(Some(0), -20, -20, 0).await;
    check(None, -20, 100, 120).await;
    check(Some(1), 100, 100, 0).await;
    check(Some(u64::MAX), 100, 100, 0).await;
    // The deepest debt there is.
    let huge = (2..14).map(|n| spent(n, at(6), &[(id, Unit::Usd, u64::MAX)]));
    ingest(&store, 7, huge.collect(), at(6)).await;
    let deep = figures(&store, &alice, at(6)).await.0;
    assert!(deep < -(AMOUNT_MAX as i64), "{deep}");
    let refilled = store.refill(&alice, None, "alice", at(7)).await.unwrap().unwrap();
    assert_eq!((refilled.before, refilled.after), (deep, 100));
    let entries = store.refills(&history()).await.unwrap();
    let authors: Vec<&str> = entries.iter().map(|entry| entry.author.as_str()).collect();
    assert_eq!(authors, ["alice", "root", "root", "root", "root", "root"]);
    assert!(entries.iter().all(|entry| entry.bucket == alice));
    assert_eq!(
        (
            entries[3].before,
            entries[3].after,
            entries[3].added,
            entries[3].time
        ),
        (-20, 100, 120, at(5))
    );
}

fn history() -> HistoryQuery {
    HistoryQuery {
        limit: 100,
        ..HistoryQuery::default()
    }
}

#[tokio::test]
async fn marks_are_told_once_when_use_rises() {
    let (_folder, store) = open().await;
    let alice = daily("alice");
    let mut plane = Plane::new(1);
    plane.ask(&store, &alice, terms(1_000, 1_000), 1, at(0)).await;
    let id = plane.id;
    let mut number = 0;
    let mut check = async |us: u64, amounts: &[u64], percents: &[u8]| {
        let records = amounts.iter().map(|amount| {
            number += 1;
            spent(number, at(us), &[(id, Unit::Usd, *amount)])
        });
        let done = ingest(&store, 1, records.collect(), at(us)).await;
        let told: Vec<u8> = done.events.iter().map(|event| event.percent).collect();
        assert_eq!(told, percents, "{us} {amounts:?}");
    };
    check(0, &[499], &[]).await;
    check(0, &[1, 0, 100], &[50]).await;
    check(0, &[450], &[80, 100]).await;
    check(0, &[1], &[]).await;
    // An hour later it is full but for what was owed.
    check(HOUR, &[100], &[]).await;
    check(HOUR, &[500], &[50]).await;
    check(3 * HOUR, &[2_000], &[50, 80, 100]).await;
    let events = store.quota_events(&history()).await.unwrap();
    assert_eq!(events.len(), 7);
    assert_eq!(
        (events[0].percent, events[0].balance, events[0].time),
        (100, -1_000, at(3 * HOUR))
    );
    assert_eq!((&events[0].bucket, events[0].capacity), (&alice, 1_000));
    // Pages, filters.
    let page = HistoryQuery {
        before: Some(events[2].id),
        limit: 2,
        ..HistoryQuery::default()
    };
    assert_eq!(store.quota_events(&page).await.unwrap(), events[3..5]);
    let of = |among: Among| HistoryQuery {
        among: Some(vec![among]),
        ..history()
    };
    let quota = "daily:<user>".to_owned();
    for (among, count) in [
        (
            Among::Name {
                quota: quota.clone(),
                name: "daily:alice".into(),
            },
            7,
        ),
        (
            Among::Name {
                quota: quota.clone(),
                name: "daily:bob".into(),
            },
            0,
        ),
        (
            Among::Prefix {
                quota: quota.clone(),
                prefix: "daily:al".into(),
            },
            7,
        ),
        (
            Among::Prefix {
                quota: "other".into(),
                prefix: "daily:".into(),
            },
            0,
        ),
    ] {
        assert_eq!(store.quota_events(&of(among)).await.unwrap().len(), count);
    }
    // A refill by hand takes use down, and the marks count anew.
    store.refill(&alice, None, "root", at(3 * HOUR)).await.unwrap();
    check(3 * HOUR, &[600], &[50]).await;
}

#[tokio::test]
async fn histories_keep_the_newest() {
    let (_folder, store) = open().await;
    let alice = daily("alice");
    let mut plane = Plane::new(1);
    plane.ask(&store, &alice, terms(100, 0), 1, at(0)).await;
    store.refill(&alice, None, "first", at(0)).await.unwrap();
    // As if there had been a great many since.
    let sql = format!(
        "UPDATE sqlite_sequence SET seq = {} WHERE name = 'refills'",
        history::ENTRIES_MAX
    );
    store.writer().connection.execute(&sql, []).unwrap();
    store.refill(&alice, None, "second", at(0)).await.unwrap();
    let entries = store.refills(&history()).await.unwrap();
    assert_eq!(entries.len(), 1);
    assert_eq!(entries[0].author, "second");
}

#[tokio::test]
async fn buckets_follow_the_document() {
    let (_folder, store) = open().await;
    let hundred = terms(100, 0);
    let mut ids = BTreeMap::new();
    for name in [
        "keeps",
        "lowered",
        "raised",
        "removed",
        "unreadable",
        "other unit",
        "disabled",
    ] {
        let it = bucket(name, name);
        let mut plane = Plane::new(1);
        plane.ask(&store, &it, hundred, 1, at(0)).await;
        ids.insert(name, plane.id);
        ingest(
            &store,
            1,
            vec![spent(plane.id, at(0), &[(plane.id, Unit::Usd, 30)])],
            at(0),
        )
        .await;
    }
    let definitions = Definitions::of(&[
        quota("keeps", &[(Unit::Usd, hundred)]),
        quota("lowered", &[(Unit::Usd, terms(50, 0))]),
        quota("raised", &[(Unit::Usd, terms(200, 0))]),
        quota("unreadable", &[]),
        quota("other unit", &[(Unit::Tokens, hundred)]),
        Quota {
            disabled: true,
            ..quota("disabled", &[(Unit::Usd, hundred)])
        },
        quota("new", &[(Unit::Usd, hundred)]),
    ]);
    let mut touched = store.reconcile(&definitions, at(1)).await.unwrap();
    touched.sort_by_key(|it| it.bucket);
    let expected = ["lowered", "raised", "removed", "other unit"].map(|name| Touched {
        bucket: ids[name],
        holders: vec![1],
    });
    assert_eq!(touched, expected);
    assert_eq!(
        store.reconcile(&definitions, at(1)).await.unwrap(),
        [],
        "nothing is left to do"
    );
    for (name, balance) in [
        ("keeps", Some(70)),
        ("lowered", Some(50)),
        ("raised", Some(70)),
        ("removed", None),
        ("unreadable", Some(70)),
        ("other unit", None),
        ("disabled", Some(70)),
    ] {
        let row = row(&store, &bucket(name, name), at(1)).await;
        assert_eq!(row.map(|row| row.account.balance), balance, "{name}");
    }
    // A bucket that is gone is charged nothing, and one that is defined anew is another one, and full.
    let late = spent(99, at(1), &[(ids["removed"], Unit::Usd, 5)]);
    assert_eq!(ingest(&store, 1, vec![late], at(1)).await.charges_dropped, 1);
    let mut plane = Plane::new(1);
    plane
        .ask(&store, &bucket("removed", "removed"), hundred, 1, at(1))
        .await;
    assert!(
        !ids.values().any(|id| *id == plane.id),
        "numbers are not used again"
    );
    assert_eq!(figures(&store, &bucket("removed", "removed"), at(1)).await.0, 100);
    // What has passed a mark by other terms is not told.
    let done = ingest(
        &store,
        1,
        vec![spent(100, at(1), &[(ids["raised"], Unit::Usd, 1)])],
        at(1),
    )
    .await;
    assert_eq!(
        done.events,
        [],
        "69 of 200: two thirds were used before anybody used anything"
    );
}

#[tokio::test]
async fn a_clock_that_jumps_brings_no_refill_beyond_the_ceiling() {
    let (folder, mut store) = open().await;
    let alice = daily("alice");
    let terms = terms(1_000, 100);
    let mut plane = Plane::new(1);
    let noon = 1_000 * HOUR;
    plane.ask(&store, &alice, terms, 1, at(noon)).await;
    ingest(
        &store,
        1,
        vec![spent(1, at(noon), &[(plane.id, Unit::Usd, 900)])],
        at(noon),
    )
    .await;
    // Each step is a restart: the clock says something else, then an hour passes.
    let mut number = 1;
    for (jump, before, after) in [
        // Two hours back: nothing is lost, nothing comes for time that came already.
        (noon - 2 * HOUR, 100, 200),
        // An hour forward: that hour is refilled, as it would be after a night without the process.
        (noon, 300, 400),
        // Thirty days forward: full, no more.
        (noon + 720 * HOUR, 1_000, 1_000),
        // Back again.
        (noon, 1_000, 1_000),
    ] {
        drop(store);
        store = Sqlite::open(folder.path()).await.unwrap();
        store.resume(at(jump)).await.unwrap();
        assert_eq!(figures(&store, &alice, at(jump)).await.0, before, "{jump}");
        let later = at(jump + HOUR);
        plane.ask(&store, &alice, terms, 0, later).await;
        assert_eq!(figures(&store, &alice, later).await.0, after, "{jump}");
    }
    // Nobody's clock is believed beyond what can be.
    number += 1;
    let batch = Batch {
        holder: 1,
        when: When {
            since: at(noon + HOUR),
            now: at(noon + HOUR),
        },
        records: vec![spent(number, at(0), &[(plane.id, Unit::Usd, 0)])],
        ..Batch::default()
    };
    store.ingest(&batch).await.unwrap();
    // A record from the far future, or the far past, is charged now.
    for time in [u64::MAX - 2_000_000, 1_000_000] {
        number += 1;
        let mut record = spent(number, at(0), &[(plane.id, Unit::Usd, 1)]);
        record.time = UnixMicros(time);
        ingest(&store, 1, vec![record], at(noon + HOUR)).await;
    }
    let (balance, charged, _) = figures(&store, &alice, at(noon + HOUR)).await;
    assert!((998..=1_000).contains(&balance), "{balance}");
    assert_eq!(charged, 902);
}

#[tokio::test]
async fn the_fullest_use_comes_first_whatever_the_unit() {
    let (_folder, store) = open().await;
    // Ceiling and what is asked for, so that the order is neither that of names nor that of amounts.
    let uses: [(&str, u64, u64); 6] = [
        ("daily:Alice", 100, 30),
        ("daily:bob", 1_000, 299),
        ("daily:carol", 10, 9),
        ("daily:dave", 100, 30),
        ("daily:erin", 5, 0),
        ("s:alice/1", 3, 3),
    ];
    for (holder, (name, capacity, used)) in (1..).zip(uses) {
        let quota = if name.starts_with("s:") {
            "s:<session>"
        } else {
            "daily:<user>"
        };
        let it = bucket(quota, name);
        let mut plane = Plane::new(holder);
        plane
            .ask(&store, &it, terms(capacity, 0), used.max(1), at(0))
            .await;
        let record = spent(holder, at(0), &[(plane.id, Unit::Usd, used)]);
        ingest(&store, holder, vec![record], at(0)).await;
    }
    let list = async |query: BucketQuery| {
        let mut found = Vec::new();
        let mut query = BucketQuery {
            limit: 2,
            order: BucketOrder::Used,
            ..query
        };
        loop {
            let page = store.buckets(&query, at(0)).await.unwrap();
            let Some(last) = page.last() else { return found };
            query.after = Some((last.used_ppm(), last.bucket.clone()));
            found.extend(
                page.into_iter()
                    .map(|row| (row.bucket.name.clone(), row.used_ppm())),
            );
        }
    };
    let expected = [
        ("s:alice/1", 1_000_000),
        ("daily:carol", 900_000),
        ("daily:Alice", 300_000),
        ("daily:dave", 300_000),
        ("daily:bob", 299_000),
        ("daily:erin", 0),
    ];
    let named = |keep: &dyn Fn(&str) -> bool| -> Vec<(String, u64)> {
        let kept = expected.iter().filter(|(name, _)| keep(name));
        kept.map(|(name, ppm)| ((*name).to_owned(), *ppm)).collect()
    };
    assert_eq!(list(BucketQuery::default()).await, named(&|_| true));
    let search = |text: &str| BucketQuery {
        search: Some(text.to_owned()),
        ..BucketQuery::default()
    };
    assert_eq!(
        list(search("ALICE")).await,
        named(&|name| name.to_lowercase().contains("alice"))
    );
    assert_eq!(list(search("%")).await, []);
    let own = BucketQuery {
        among: Some(vec![
            Among::Name {
                quota: "daily:<user>".into(),
                name: "daily:dave".into(),
            },
            Among::Prefix {
                quota: "s:<session>".into(),
                prefix: "s:alice".into(),
            },
        ]),
        ..BucketQuery::default()
    };
    assert_eq!(
        list(own).await,
        named(&|name| name == "daily:dave" || name == "s:alice/1")
    );
}

#[tokio::test]
async fn lists_come_in_order_by_page_and_hold_what_may_be_seen() {
    let (_folder, store) = open().await;
    let mut all = Vec::new();
    for login in ["alice", "bob", "al", "alice/2", "zoë"] {
        for (quota, name) in [
            ("daily:<user>", format!("daily:{login}")),
            ("s:<session>", format!("s:{login}/1")),
            ("<user>", login.to_owned()),
        ] {
            for unit in [Unit::Usd, Unit::Tokens] {
                all.push(Bucket {
                    unit,
                    ..bucket(quota, &name)
                });
            }
        }
    }
    for it in &all {
        Plane::new(1).ask(&store, it, terms(100, 0), 1, at(0)).await;
    }
    all.sort_by_key(|it| (it.name.clone(), it.quota.clone(), it.unit));
    let list = async |query: BucketQuery| {
        let mut found = Vec::new();
        let mut query = BucketQuery { limit: 4, ..query };
        loop {
            let page = store.buckets(&query, at(0)).await.unwrap();
            assert!(page.len() <= 4);
            let Some(last) = page.last() else { return found };
            query.after = Some((last.used_ppm(), last.bucket.clone()));
            found.extend(page.into_iter().map(|row| row.bucket));
        }
    };
    let check = async |query: BucketQuery, keep: &dyn Fn(&Bucket) -> bool| {
        let expected: Vec<Bucket> = all.iter().filter(|it| keep(it)).cloned().collect();
        assert_eq!(list(query.clone()).await, expected, "{query:?}");
    };
    let query = BucketQuery::default;
    check(query(), &|_| true).await;
    let quota = |name: &str| Some(name.to_owned());
    check(
        BucketQuery {
            quota: quota("<user>"),
            ..query()
        },
        &|it| it.quota == "<user>",
    )
    .await;
    check(
        BucketQuery {
            quota: quota("daily:<user>"),
            unit: Some(Unit::Tokens),
            ..query()
        },
        &|it| it.quota == "daily:<user>" && it.unit == Unit::Tokens,
    )
    .await;
    check(
        BucketQuery {
            name: quota("daily:al"),
            ..query()
        },
        &|it| it.name == "daily:al",
    )
    .await;
    check(
        BucketQuery {
            quota: quota("nobody"),
            ..query()
        },
        &|_| false,
    )
    .await;
    let own = vec![
        Among::Name {
            quota: "daily:<user>".into(),
            name: "daily:alice".into(),
        },
        Among::Prefix {
            quota: "s:<session>".into(),
            prefix: "s:alice/".into(),
        },
        Among::Prefix {
            quota: "s:<session>".into(),
            prefix: "s:alice".into(),
        },
        Among::Name {
            quota: "<user>".into(),
            name: "zoë".into(),
        },
    ];
    let is_own = |it: &Bucket| {
        (it.quota == "daily:<user>" && it.name == "daily:alice")
            || (it.quota == "s:<session>" && it.name.starts_with("s:alice"))
            || (it.quota == "<user>" && it.name == "zoë")
    };
    check(
        BucketQuery {
            among: Some(own.clone()),
            ..query()
        },
        &is_own,
    )
    .await;
    check(
        BucketQuery {
            among: Some(own),
            quota: quota("s:<session>"),
            ..query()
        },
        &|it| is_own(it) && it.quota == "s:<session>",
    )
    .await;
    check(
        BucketQuery {
            among: Some(vec![]),
            ..query()
        },
        &|_| false,
    )
    .await;
}

#[tokio::test]
async fn what_is_as_good_as_new_is_forgotten() {
    let (_folder, store) = open().await;
    let terms = terms(100, 100);
    let names = ["untouched", "leased", "ended", "used", "fresh"];
    let mut ids = BTreeMap::new();
    for name in names {
        let mut plane = Plane::new(if name == "leased" { 2 } else { 1 });
        plane.ask(&store, &bucket("q", name), terms, 1, at(0)).await;
        ids.insert(name, plane.id);
        if name == "ended" {
            let mut last = plane.question(&bucket("q", name), terms, 0, false);
            last.ask.last = true;
            last.ask.returned = 100;
            last.holder = 2;
            // A holder that is not dead says that it has no more use for the bucket.
            last.ask.seen = 0;
            last.ask.returned = 0;
            last.ask.seq = 1;
            store.lease(&[last], at(0), &BTreeSet::new()).await.unwrap();
        }
    }
    let used = vec![spent(1, at(0), &[(ids["used"], Unit::Usd, 100_000)])];
    ingest(&store, 1, used, at(0)).await;
    store.end_leases(1).await.unwrap();
    let day = 24 * HOUR;
    Plane::new(3)
        .ask(&store, &bucket("q", "fresh"), terms, 1, at(day))
        .await;
    store.end_leases(3).await.unwrap();
    let prune = async |now: UnixMicros| {
        let mut after = 0;
        while let Some(next) = store.prune_buckets(after, now).await.unwrap() {
            assert!(next > after);
            after = next;
        }
        let query = BucketQuery {
            limit: 10,
            ..BucketQuery::default()
        };
        let rows = store.buckets(&query, now).await.unwrap();
        rows.into_iter().map(|row| row.bucket.name).collect::<Vec<_>>()
    };
    let every = ["ended", "fresh", "leased", "untouched", "used"];
    assert_eq!(prune(at(day - 1)).await, every, "not yet");
    assert_eq!(prune(at(day + 2)).await, ["fresh", "leased", "used"]);
    assert_eq!(prune(at(2 * day + 3)).await, ["leased", "used"]);
    assert_eq!(store.holders().await.unwrap(), [2]);
}

/// One bucket as it would be kept in memory.
struct Naive {
    account: Account,
    leases: BTreeMap<u64, sluice_shared::quota::ledger::Lease>,
}

#[tokio::test]
async fn the_store_agrees_with_the_arithmetic_in_memory() {
    use sluice_shared::quota::ledger::Lease;

    let mut random = 0x9e37_79b9_7f4a_7c15u64;
    let mut below = |bound: u64| {
        random ^= random << 13;
        random ^= random >> 7;
        random ^= random << 17;
        random % bound
    };
    let (folder, mut store) = open().await;
    let it = daily("alice");
    let terms = terms(1_000_000, 777_777);
    let mut now = at(0);
    let mut planes = [Plane::new(1), Plane::new(2)];
    let mut naive = Naive {
        account: Account::open(terms, now),
        leases: BTreeMap::new(),
    };
    let mut number = 0;
    for step in 0..400 {
        now = UnixMicros(now.0 + below(60_000_000));
        if naive.leases.is_empty() {
            // It is opened by its first question.
            naive.account = Account::open(terms, now);
        }
        let plane = &mut planes[usize::try_from(below(2)).unwrap()];
        match below(6) {
            0..=2 => {
                let held = plane.seen - plane.returned;
                plane.returned += below(held + 1);
                let question = plane.question(&it, terms, below(400_000), true);
                let mut lease = naive
                    .leases
                    .get(&plane.incarnation)
                    .copied()
                    .unwrap_or_else(|| Lease::new(plane.incarnation, now));
                let others: Vec<Lease> = naive
                    .leases
                    .values()
                    .filter(|lease| lease.holder != plane.incarnation)
                    .copied()
                    .collect();
                let expected = naive
                    .account
                    .answer(&mut lease, &others, &question.ask, now)
                    .unwrap();
                naive.leases.insert(plane.incarnation, lease);
                let outcome = store.lease(&[question], now, &BTreeSet::new()).await.unwrap();
                let [LeaseOutcome::Granted { bucket, grant }] = outcome.as_slice() else {
                    panic!("{outcome:?}")
                };
                assert_eq!(*grant, expected, "{step}");
                (plane.id, plane.seen) = (*bucket, grant.granted);
            }
            3 | 4 if plane.id > 0 => {
                let amount = below(100_000);
                number += 1;
                let ended = UnixMicros(now.0 - below(5_000_000));
                naive.account.charge(amount, ended, now);
                naive.leases.get_mut(&plane.incarnation).unwrap().charge(amount);
                let record = spent(number, ended, &[(plane.id, Unit::Usd, amount)]);
                ingest(&store, plane.incarnation, vec![record], now).await;
            }
            _ => {
                drop(store);
                store = Sqlite::open(folder.path()).await.unwrap();
            }
        }
        if naive.leases.is_empty() {
            continue;
        }
        let found = row(&store, &it, naive.account.as_of).await.unwrap();
        assert_eq!(found.account, naive.account, "{step}");
    }
    assert!(number > 50);
}

#[tokio::test]
async fn of_what_somebody_waits_for_nobody_gets_more_than_needed() {
    let (_folder, store) = open().await;
    let (alice, terms) = (daily("alice"), terms(100, 0));
    let mut planes = [Plane::new(1), Plane::new(2)];
    planes[0].ask(&store, &alice, terms, 1, at(0)).await;
    let contested = BTreeSet::from([planes[0].id]);
    planes[0].returned = 70;
    for (who, need, came) in [(0, 0, 0), (1, 60, 60), (0, 100, 10)] {
        let plane: &mut Plane = &mut planes[who];
        let question = plane.question(&alice, terms, need, true);
        let outcome = store.lease(&[question], at(0), &contested).await.unwrap();
        let [LeaseOutcome::Granted { grant, .. }] = outcome.as_slice() else {
            panic!("{outcome:?}")
        };
        assert_eq!(grant.granted - plane.seen, came);
        plane.seen = grant.granted;
    }
    assert_eq!(figures(&store, &alice, at(0)).await, (100, 0, 100));
}

#[tokio::test]
async fn a_record_that_cannot_be_charged_is_not_stored() {
    let (folder, store) = open().await;
    let alice = daily("alice");
    let mut plane = Plane::new(1);
    plane.ask(&store, &alice, terms(100, 0), 1, at(0)).await;
    let batch = Batch {
        holder: 1,
        when: until(at(0)),
        records: vec![spent(1, at(0), &[(plane.id, Unit::Usd, 60)])],
        ..Batch::default()
    };
    let other = rusqlite::Connection::open(folder.path().join(crate::store::FILE)).unwrap();
    other
        .execute_batch("ALTER TABLE leases RENAME TO elsewhere")
        .unwrap();
    assert!(store.ingest(&batch).await.is_err());
    other
        .execute_batch("ALTER TABLE elsewhere RENAME TO leases")
        .unwrap();
    assert_eq!(figures(&store, &alice, at(0)).await, (100, 0, 100));
    assert_eq!(
        store.ingest(&batch).await.unwrap().inserted,
        1,
        "it was not there"
    );
    assert_eq!(figures(&store, &alice, at(0)).await, (40, 60, 40));
}
