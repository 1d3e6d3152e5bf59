//! Samples of buckets over virtual days.

use std::collections::BTreeSet;

use sluice_shared::quota::ledger::Ask;
use sluice_shared::quota::{Charge, Rate, Terms};
use sluice_shared::wire::control::{Bucket, BucketRef};

use super::super::tests::record;
use super::super::{Batch, LeaseAsk, LeaseOutcome};
use super::*;

const START: u64 = 1_795_341_600;
pub(crate) const TERMS: Terms = Terms {
    capacity: 1_000_000,
    rate: Rate::NONE,
};

fn at(second: u64) -> UnixMicros {
    UnixMicros((START + second) * 1_000_000)
}

async fn open() -> (tempfile::TempDir, Sqlite) {
    let folder = tempfile::tempdir().unwrap();
    let store = Sqlite::open(folder.path()).await.unwrap();
    (folder, store)
}

/// Makes a bucket by asking for it; its number.
pub(crate) async fn bucket(
    store: &dyn super::super::Store,
    name: &str,
    unit: Unit,
    terms: Terms,
    now: UnixMicros,
) -> BucketId {
    let named = Bucket {
        quota: "q:<user>".into(),
        name: name.into(),
        unit,
    };
    let ask = LeaseAsk {
        bucket: BucketRef::Named(named),
        terms,
        holder: 1,
        ask: Ask {
            seq: 1,
            first: 1,
            need: 1,
            ..Ask::default()
        },
        last: true,
    };
    match store
        .lease(&[ask], now, &BTreeSet::new())
        .await
        .unwrap()
        .as_slice()
    {
        [LeaseOutcome::Granted { bucket, .. }] => *bucket,
        other => panic!("{name}: {other:?}"),
    }
}

pub(crate) async fn charge(store: &dyn super::super::Store, number: u64, bucket: BucketId, amount: u64) {
    let mut used = record(number, 1_000_000 * START);
    used.charges = vec![Charge {
        bucket,
        unit: Unit::Tokens,
        amount,
    }];
    let batch = Batch {
        holder: 1,
        records: vec![used],
        ..Batch::default()
    };
    store.ingest(&batch).await.unwrap();
}

async fn sample(store: &Sqlite, second: u64) -> u32 {
    store.sample_buckets(0, 1_000, at(second)).await.unwrap().taken
}

#[tokio::test]
async fn only_what_changed_is_sampled() {
    let (_folder, store) = open().await;
    let one = bucket(&store, "q:a", Unit::Tokens, TERMS, at(0)).await;
    let other = bucket(&store, "q:b", Unit::Tokens, TERMS, at(0)).await;
    bucket(&store, "q:c", Unit::Concurrency, TERMS, at(0)).await;
    assert_eq!(sample(&store, 0).await, 2);
    assert_eq!(sample(&store, 300).await, 0);
    charge(&store, 1, one, 400).await;
    assert_eq!(sample(&store, 600).await, 1);
    assert_eq!(sample(&store, 900).await, 0);
    let samples = store.samples(one, at(0), at(10_000), at(10_000)).await.unwrap();
    let told: Vec<(u64, i64, u64)> = samples
        .iter()
        .map(|s| (s.time.0 / 1_000_000 - START, s.balance, s.charged))
        .collect();
    assert_eq!(told, [(0, 1_000_000, 0), (600, 999_600, 400)]);
    assert_eq!(
        store
            .samples(other, at(0), at(10_000), at(10_000))
            .await
            .unwrap()
            .len(),
        1
    );
    // Stretches of one: the next begins behind the last one that was looked at.
    charge(&store, 2, one, 1).await;
    charge(&store, 3, other, 1).await;
    let first = store.sample_buckets(0, 1, at(1_200)).await.unwrap();
    assert_eq!(
        first,
        Sampled {
            next: Some(one),
            taken: 1
        }
    );
    let second = store.sample_buckets(one, 1, at(1_200)).await.unwrap();
    assert_eq!(second.taken, 1);
}

#[tokio::test]
async fn a_bucket_that_fills_up_is_sampled_when_it_is_full() {
    let (_folder, store) = open().await;
    let rate = Rate {
        amount: 1,
        per_us: 1_000_000,
    };
    let terms = Terms {
        capacity: 1_000,
        rate,
    };
    let one = bucket(&store, "q:a", Unit::Tokens, terms, at(0)).await;
    charge(&store, 1, one, 900).await;
    assert_eq!(sample(&store, 300).await, 1);
    assert_eq!(sample(&store, 600).await, 0, "it is on its way");
    assert_eq!(sample(&store, 1_200).await, 1);
    assert_eq!(sample(&store, 1_500).await, 0);
    let samples = store.samples(one, at(0), at(9_999), at(9_999)).await.unwrap();
    assert_eq!(samples.last().map(|sample| sample.balance), Some(1_000));
}

#[tokio::test]
async fn fine_samples_are_kept_for_two_days_and_coarse_ones_for_ninety() {
    const HOUR: u64 = 3_600;
    const DAY: u64 = 24 * HOUR;
    let (_folder, store) = open().await;
    let one = bucket(&store, "q:a", Unit::Tokens, TERMS, at(0)).await;
    // Every twenty minutes of three days, then nothing.
    let mut number = 0;
    for second in (0..3 * DAY).step_by(1_200) {
        number += 1;
        charge(&store, number, one, 1).await;
        assert_eq!(sample(&store, second).await, 1);
    }
    while store.purge_samples(at(3 * DAY)).await.unwrap() {}
    let all = async |now: u64| store.samples(one, at(0), at(now), at(now)).await.unwrap();
    let told = all(3 * DAY).await;
    assert_eq!(told.len(), 24 + 48 * 3);
    assert!(told.is_sorted_by_key(|sample| sample.time));
    // Of an hour the last sample stays.
    assert_eq!(told.first().map(|sample| sample.charged), Some(3));
    let part = store
        .samples(one, at(DAY / 2), at(2 * DAY), at(3 * DAY))
        .await
        .unwrap();
    assert_eq!(part.len(), 12 + 24 * 3);
    assert!(part.iter().all(|s| s.time >= at(DAY / 2) && s.time < at(2 * DAY)));
    while store.purge_samples(at(10 * DAY)).await.unwrap() {}
    assert_eq!(all(10 * DAY).await.len(), 72);
    while store.purge_samples(at(100 * DAY)).await.unwrap() {}
    assert_eq!(all(100 * DAY).await.len(), 0);
    let rows: u64 = store
        .writer()
        .connection
        .query_row("SELECT count(*) FROM quota_samples", [], |row| row.get(0))
        .unwrap();
    assert_eq!(rows, 0);
}

#[tokio::test]
async fn the_state_of_before_a_moment_is_found_however_old_it_is() {
    const DAY: u64 = 86_400;
    let (_folder, store) = open().await;
    let one = bucket(&store, "q:a", Unit::Tokens, TERMS, at(0)).await;
    for (number, second) in [(1, 0), (2, 600), (3, 7_200)] {
        charge(&store, number, one, 10).await;
        sample(&store, second).await;
    }
    let check = async |second: u64, expected: Option<u64>| {
        let found = store.samples_before(&[one, 99], at(second)).await.unwrap();
        assert_eq!(found.len(), 2);
        assert_eq!(found[1], None);
        assert_eq!(found[0].map(|sample| sample.charged), expected, "{second}");
    };
    check(0, Some(10)).await;
    check(599, Some(10)).await;
    check(600, Some(20)).await;
    check(7_199, Some(20)).await;
    check(9 * DAY, Some(30)).await;
    let before = UnixMicros(at(0).0 - 50_000_000);
    let first = store.samples_before(&[one], before).await.unwrap();
    assert_eq!(
        first[0].map(|sample| sample.charged),
        Some(10),
        "the first, where there is none before"
    );
    while store.purge_samples(at(9 * DAY)).await.unwrap() {}
    check(9 * DAY, Some(30)).await;
}

#[tokio::test]
async fn buckets_are_found_by_their_numbers() {
    let (_folder, store) = open().await;
    let one = bucket(&store, "q:a", Unit::Tokens, TERMS, at(0)).await;
    let found = store.bucket(one, at(5)).await.unwrap().unwrap();
    assert_eq!((found.id, found.bucket.name.as_str()), (one, "q:a"));
    assert!(store.bucket(one + 1, at(5)).await.unwrap().is_none());
}
