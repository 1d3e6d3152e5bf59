//! The ledger as data planes see it.

use std::path::Path;
use std::sync::atomic::AtomicU64;

use sluice_shared::quota::{Rate, Terms, Unit};
use sluice_shared::snapshot::QuotaLimit;
use sluice_shared::wire::control::ToData;

use super::*;
use crate::store::Sqlite;

/// A store in a folder, opened from wherever.
pub(crate) fn store(folder: &Path) -> Arc<dyn Store> {
    let folder = folder.to_owned();
    let opened = std::thread::spawn(move || {
        let runtime = tokio::runtime::Builder::new_current_thread()
            .enable_all()
            .build()
            .unwrap();
        runtime.block_on(Sqlite::open(&folder)).unwrap()
    });
    Arc::new(opened.join().unwrap())
}

/// A ledger without quotas.
pub(crate) fn empty(folder: &Path) -> Arc<Ledger> {
    Ledger::new(store(folder), Clock::start(), &[])
}

/// A quota in dollars that is never refilled.
pub(crate) fn quota(name: &str, capacity: u64) -> Quota {
    let terms = Terms {
        capacity,
        rate: Rate::NONE,
    };
    let unit = Unit::Usd;
    Quota {
        name: name.into(),
        limits: vec![QuotaLimit { unit, terms }],
        ..Quota::default()
    }
}

/// Its bucket.
pub(crate) fn bucket(name: &str) -> Bucket {
    Bucket {
        quota: name.into(),
        name: name.into(),
        unit: Unit::Usd,
    }
}

/// A clock that stands, and what moves it.
pub(crate) fn clock(at: u64) -> (Clock, Arc<AtomicU64>) {
    let time = Arc::new(AtomicU64::new(at));
    (Clock::Set(time.clone()), time)
}

fn first(need: u64) -> Ask {
    Ask {
        seq: 1,
        first: 1,
        need,
        ..Ask::default()
    }
}

async fn ask(ledger: &Ledger, holder: u64, name: &str, ask: Ask) -> Option<(u64, u64)> {
    let answer = ledger.lease(holder, BucketRef::Named(bucket(name)), ask).await?;
    match answer {
        LeaseAnswer::Granted { bucket, grant } => {
            assert_eq!(grant.seq, ask.seq);
            Some((bucket, grant.granted))
        }
        LeaseAnswer::Undefined { .. } | LeaseAnswer::Unavailable { .. } => panic!("{answer:?}"),
    }
}

#[tokio::test(start_paused = true)]
async fn who_is_short_gets_what_there_is_when_others_stay_silent() {
    let folder = tempfile::tempdir().unwrap();
    let ledger = Ledger::new(store(folder.path()), Clock::start(), &[quota("q", 100)]);
    let silent = ledger.connected(1);
    let (id, granted) = ask(&ledger, 1, "q", first(1)).await.unwrap();
    assert_eq!(granted, 100);
    assert_eq!(ask(&ledger, 2, "q", first(10)).await, Some((id, 0)));
    assert_eq!(silent.next().await, ToData::RecallBucket { bucket: id });
    assert_eq!(
        ask(&ledger, 2, "q", first(10)).await,
        None,
        "a question is answered once"
    );
}

#[tokio::test]
async fn who_is_short_waits_for_what_others_give_back() {
    let folder = tempfile::tempdir().unwrap();
    let ledger = Ledger::new(store(folder.path()), Clock::start(), &[quota("q", 100)]);
    let other = ledger.connected(1);
    let (id, _) = ask(&ledger, 1, "q", first(1)).await.unwrap();
    let waiting = tokio::spawn({
        let ledger = ledger.clone();
        async move { ask(&ledger, 2, "q", first(40)).await }
    });
    assert_eq!(other.next().await, ToData::RecallBucket { bucket: id });
    let report = Ask {
        seq: 2,
        answered: 1,
        seen: 100,
        returned: 70,
        ..first(0)
    };
    let (_, granted) = ask(&ledger, 1, "q", report).await.unwrap();
    let (_, theirs) = waiting.await.unwrap().unwrap();
    assert!(theirs >= 40 && theirs + granted <= 170, "{theirs} {granted}");
}

#[tokio::test]
async fn two_who_are_short_do_not_wait_for_each_other() {
    let folder = tempfile::tempdir().unwrap();
    let ledger = Ledger::new(store(folder.path()), Clock::start(), &[quota("q", 100)]);
    let one = ledger.connected(1);
    let _two = ledger.connected(2);
    let (id, _) = ask(&ledger, 1, "q", first(1)).await.unwrap();
    let waiting = tokio::spawn({
        let ledger = ledger.clone();
        async move { ask(&ledger, 2, "q", first(60)).await }
    });
    assert_eq!(one.next().await, ToData::RecallBucket { bucket: id });
    // It gives everything back with a question of its own, for more than is there beside what it kept.
    let question = Ask {
        seq: 2,
        answered: 1,
        seen: 100,
        returned: 100,
        ..first(60)
    };
    let (_, mine) = ask(&ledger, 1, "q", question).await.unwrap();
    let (_, theirs) = waiting.await.unwrap().unwrap();
    let got = [mine - 100, theirs];
    assert!(got.contains(&60) && got.iter().sum::<u64>() <= 100, "{got:?}");
}

#[tokio::test]
async fn the_end_of_a_data_plane_helps_who_waits() {
    let folder = tempfile::tempdir().unwrap();
    let ledger = Ledger::new(store(folder.path()), Clock::start(), &[quota("q", 100)]);
    let old = ledger.connected(1);
    let plane = ledger.connected(2);
    let (id, _) = ask(&ledger, 1, "q", first(1)).await.unwrap();
    let waiting = tokio::spawn({
        let ledger = ledger.clone();
        async move { ask(&ledger, 2, "q", first(100)).await }
    });
    assert_eq!(old.next().await, ToData::RecallBucket { bucket: id });
    drop(old);
    let done = ledger
        .shared
        .store
        .finish(1, &[], crate::store::When::default())
        .await
        .unwrap();
    ledger.ingested(&done);
    assert_eq!(waiting.await.unwrap(), Some((id, 100)));
    let refilled = ledger.refill(&bucket("q"), None, "root").await.unwrap().unwrap();
    assert_eq!((refilled.before, refilled.after), (100, 100));
    assert_eq!(plane.next().await, ToData::BucketChanged { bucket: id });
}

#[tokio::test]
async fn a_published_document_holds_from_its_first_answer_on() {
    let folder = tempfile::tempdir().unwrap();
    let ledger = Ledger::new(
        store(folder.path()),
        Clock::start(),
        &[quota("q", 100), quota("r", 9)],
    );
    let plane = ledger.connected(1);
    let (id, granted) = ask(&ledger, 1, "q", first(1)).await.unwrap();
    assert_eq!(granted, 100);
    let (other, _) = ask(&ledger, 1, "r", first(1)).await.unwrap();
    let unchanged = ledger.publishing(|| vec![quota("x", 1)], || Err::<(), _>("disk full"));
    assert_eq!(unchanged, Err("disk full"));
    assert!(ask(&ledger, 2, "q", first(1_000)).await.is_some());
    ledger
        .publishing(|| vec![quota("q", 30), quota("s", 5)], || Ok::<_, ()>(()))
        .unwrap();
    let (_, granted) = ask(&ledger, 1, "s", first(1)).await.unwrap();
    assert_eq!(granted, 5, "defined a moment ago");
    let mut told = [plane.next().await, plane.next().await];
    told.sort_by_key(|frame| format!("{frame:?}"));
    assert_eq!(told, [id, other].map(|bucket| ToData::BucketChanged { bucket }));
    for gone in [BucketRef::Named(bucket("r")), BucketRef::Numbered(other)] {
        let answer = ledger.lease(1, gone, Ask { seq: 7, ..first(1) }).await;
        assert_eq!(answer, Some(LeaseAnswer::Undefined { seq: 7 }));
    }
}

#[tokio::test]
async fn a_store_that_fails_is_said_to_be_unavailable() {
    let folder = tempfile::tempdir().unwrap();
    let ledger = Ledger::new(store(folder.path()), Clock::start(), &[quota("q", 100)]);
    ask(&ledger, 1, "q", first(1)).await.unwrap();
    let other = rusqlite::Connection::open(folder.path().join(crate::store::FILE)).unwrap();
    other
        .execute_batch("ALTER TABLE leases RENAME TO elsewhere")
        .unwrap();
    let again = Ask { seq: 2, ..first(1) };
    let named = || BucketRef::Named(bucket("q"));
    let answer = ledger.lease(1, named(), again).await;
    assert_eq!(answer, Some(LeaseAnswer::Unavailable { seq: 2 }));
    other
        .execute_batch("ALTER TABLE elsewhere RENAME TO leases")
        .unwrap();
    let answer = ledger
        .lease(
            1,
            named(),
            Ask {
                seq: 3,
                seen: 100,
                ..again
            },
        )
        .await;
    assert!(matches!(answer, Some(LeaseAnswer::Granted { .. })), "{answer:?}");
}

#[tokio::test]
async fn leases_without_a_journal_end() {
    let folder = tempfile::tempdir().unwrap();
    let ledger = Ledger::new(store(folder.path()), Clock::start(), &[quota("q", 100)]);
    ask(&ledger, 1, "q", first(1)).await.unwrap();
    let alive = || Ok::<_, StoreError>([1, 2].into());
    ledger.end_orphans(alive).await.unwrap();
    assert_eq!(ledger.shared.store.holders().await.unwrap(), [1]);
    ledger
        .end_orphans(|| Ok::<_, StoreError>([2].into()))
        .await
        .unwrap();
    assert_eq!(ledger.shared.store.holders().await.unwrap(), [0u64; 0]);
}

#[test]
fn the_clock_goes_on_from_the_time_of_day() {
    let anchored = Clock::start();
    let (first, second) = (anchored.now(), anchored.now());
    assert!(first <= second);
    assert!(second.0.abs_diff(crate::reload::now().0) < 60_000_000);
    let (set, time) = clock(5);
    time.store(9, std::sync::atomic::Ordering::Relaxed);
    assert_eq!(set.now(), UnixMicros(9));
}
