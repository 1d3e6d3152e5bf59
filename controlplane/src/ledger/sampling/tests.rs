//! Rounds of sampling in virtual time.

use std::sync::Arc;

use sluice_shared::quota::Unit;

use super::*;
use crate::store::Sqlite;
use crate::store::samples::tests::{TERMS, bucket, charge};

/// The beginning of a round.
const START: u64 = 1_795_341_600_000_000;

async fn open() -> (tempfile::TempDir, Arc<dyn Store>) {
    let folder = tempfile::tempdir().unwrap();
    let store = Sqlite::open(folder.path()).await.unwrap();
    (folder, Arc::new(store))
}

/// Works until there is time; when that is.
async fn until_idle(sampling: &mut Sampling, store: &dyn Store, mut now: u64) -> u64 {
    for _ in 0..1_000 {
        let pause = sampling.step(store, UnixMicros(now)).await.unwrap();
        now += u64::try_from(pause.as_micros()).unwrap();
        if pause > PAUSE {
            return now;
        }
    }
    panic!("a round has no end")
}

#[tokio::test]
async fn a_round_begins_every_five_minutes_and_sees_every_bucket() {
    let (_folder, store) = open().await;
    let start = UnixMicros(START);
    let mut ids = Vec::new();
    for number in 0..5 {
        ids.push(bucket(&*store, &format!("q:{number}"), Unit::Tokens, TERMS, start).await);
    }
    let mut sampling = Sampling::default();
    let mut now = until_idle(&mut sampling, &*store, START).await;
    assert_eq!(now, START + ROUND_US);
    for (round, id) in (1u64..).zip(&ids) {
        charge(&*store, round, *id, 7).await;
        now = until_idle(&mut sampling, &*store, now).await;
        assert_eq!(now, START + ROUND_US * (round + 1));
    }
    for (at, id) in (0u64..).zip(&ids) {
        let samples = store
            .samples(*id, start, UnixMicros(now), UnixMicros(now))
            .await
            .unwrap();
        let times: Vec<u64> = samples
            .iter()
            .map(|sample| (sample.time.0 - START) / ROUND_US)
            .collect();
        assert_eq!(times, [0, at + 1], "bucket {id}");
    }
    // Whoever slept through rounds makes one.
    let late = START + 50 * ROUND_US + 9;
    assert_eq!(
        until_idle(&mut sampling, &*store, late).await,
        START + 51 * ROUND_US
    );
}

#[tokio::test]
async fn a_round_that_is_full_leaves_the_rest_to_the_next() {
    let (_folder, store) = open().await;
    let start = UnixMicros(START);
    let mut ids = Vec::new();
    for number in 0..3 {
        ids.push(bucket(&*store, &format!("q:{number}"), Unit::Tokens, TERMS, start).await);
    }
    let mut sampling = Sampling::default();
    sampling.step(&*store, start).await.unwrap();
    // As if it had taken all but one.
    let (mut now, mut number) = (START + ROUND_US, 0);
    let mut sampled = Vec::new();
    now = until_idle(&mut sampling, &*store, now).await;
    for _ in 0..3 {
        for id in &ids {
            number += 1;
            charge(&*store, number, *id, 1).await;
        }
        sampling.round = Some(Round {
            number: now / ROUND_US,
            taken: ROUND_MAX - 1,
            began: sampling.after,
            wrapped: false,
            purging: false,
        });
        let from = UnixMicros(now);
        now = until_idle(&mut sampling, &*store, now).await;
        for id in &ids {
            let found = store
                .samples(*id, from, UnixMicros(now), UnixMicros(now))
                .await
                .unwrap();
            sampled.extend(found.iter().map(|_| *id));
        }
    }
    assert_eq!(sampled, ids, "each round goes on where the one before ended");
}
