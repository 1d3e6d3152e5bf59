//! The hub without sockets: seconds, late records, seats, slow viewers.

use serde_json::Value;

use super::*;
use crate::store::tests::record;

const SECOND: u64 = 1_795_341_600;

fn at(millis: u64) -> UnixMicros {
    UnixMicros(SECOND * 1_000_000 + millis * 1_000)
}

/// A request of user1 that took half a second and ended at a moment.
fn ended(millis: u64) -> UsageRecord {
    let mut record = record(1, at(millis).0 - 500_000);
    record.duration_us = 500_000;
    record
}

fn watch(live: &Arc<Live>, user: Option<&str>, tail: bool, now: UnixMicros) -> Feed {
    let wish = Wish {
        watcher: user.unwrap_or("root").into(),
        user: user.map(str::to_owned),
        tail: tail.then(RequestQuery::default),
    };
    live.watch(wish, now).unwrap()
}

/// Events that wait: name and data.
fn events(feed: &mut Feed) -> Vec<(String, Value)> {
    let mut out = Vec::new();
    while let Ok(text) = feed.events.try_recv() {
        let text = String::from_utf8(text.to_vec()).unwrap();
        assert!(text.ends_with("\n\n"), "{text:?}");
        let mut lines = text
            .lines()
            .filter(|line| !line.is_empty() && !line.starts_with("retry: "));
        let name = lines.next().unwrap().strip_prefix("event: ").unwrap().to_owned();
        let data = lines.next().unwrap().strip_prefix("data: ").unwrap();
        assert_eq!(lines.next(), None);
        out.push((name, serde_json::from_str(data).unwrap()));
    }
    out
}

fn requests_of(list: &Value) -> Vec<u64> {
    let seconds = list["seconds"].as_array().unwrap().iter();
    seconds
        .map(|second| second["requests"].as_u64().unwrap())
        .collect()
}

#[test]
fn history_and_seconds_join_without_gap_or_overlap() {
    let live = Live::new(at(0));
    live.feed(&[ended(1_200), ended(1_900), ended(2_100)], at(2_300));
    let mut feed = watch(&live, None, false, at(3_500));
    let first = events(&mut feed);
    assert_eq!(first.len(), 1);
    assert_eq!(first[0].0, "history");
    // Known from the second after the start on; the third one has begun.
    assert_eq!(requests_of(&first[0].1), [2, 1]);
    assert_eq!(first[0].1["seconds"][0]["time"], "2026-11-22T10:00:01.000000Z");
    live.feed(&[ended(3_600)], at(3_700));
    live.tick(at(4_300));
    assert_eq!(events(&mut feed), [], "the third is not settled yet");
    live.tick(at(4_450));
    live.tick(at(4_460));
    let next = events(&mut feed);
    assert_eq!(next.len(), 1);
    let (name, now) = &next[0];
    assert_eq!(
        (name.as_str(), &now["last"]["requests"]),
        ("now", &Value::from(1))
    );
    assert_eq!(now["last"]["time"], "2026-11-22T10:00:03.000000Z");
    // Four requests in three known seconds.
    assert_eq!(now["requests_per_s"], 1.33);
    assert_eq!(now["cost_nanousd_per_h"], 4 * 10 * 3_600 / 3);
    assert_eq!((&now["in_flight"], &now["streams"]), (&Value::Null, &Value::Null));
}

#[test]
fn a_late_record_counts_in_the_next_second_that_is_told_of() {
    let live = Live::new(at(0));
    let mut feed = watch(&live, None, false, at(19_500));
    live.tick(at(20_500));
    events(&mut feed);
    live.feed(&[ended(19_900)], at(20_600));
    // From a journal that lay there for a while: it does not belong to now.
    live.feed(&[ended(5_000)], at(20_600));
    live.tick(at(21_500));
    let next = events(&mut feed);
    assert_eq!(next[0].1["last"]["requests"], 1);
    assert_eq!(next[0].1["last"]["time"], "2026-11-22T10:00:20.000000Z");
    let mut second = watch(&live, None, false, at(21_600));
    let history = requests_of(&events(&mut second)[0].1);
    // From the first second on.
    assert_eq!((history[4], history[18], history[19]), (1, 0, 1), "{history:?}");
}

#[test]
fn a_request_that_ends_in_the_future_ends_now_and_one_of_long_ago_is_left_out() {
    let live = Live::new(at(0));
    live.feed(&[ended(90_000), ended(2_000)], at(5_000));
    live.feed(&[ended(6_000)], at(200_000));
    let mut feed = watch(&live, None, false, at(7_500));
    assert_eq!(requests_of(&events(&mut feed)[0].1), [0, 1, 0, 0, 1, 0]);
}

#[test]
fn users_see_their_own_figures_and_records_only() {
    let live = Live::new(at(0));
    let mut other = ended(1_500);
    other.user = "user2".into();
    live.set_running(Some(Running {
        requests: 7,
        streams: 3,
    }));
    live.feed(&[ended(1_500), other.clone(), other.clone()], at(1_600));
    let own = Wish {
        watcher: "user1".into(),
        user: Some("user1".into()),
        tail: Some(RequestQuery {
            filter: crate::store::Filter::of(Some("user1".into())),
            ..RequestQuery::default()
        }),
    };
    let mut own = live.watch(own, at(2_500)).unwrap();
    let mut all = watch(&live, None, true, at(2_500));
    live.feed(&[ended(2_500), other], at(2_600));
    live.tick(at(3_500));
    let (own, all) = (events(&mut own), events(&mut all));
    let names = |list: &[(String, Value)]| -> Vec<String> { list.iter().map(|(n, _)| n.clone()).collect() };
    assert_eq!(names(&own), ["history", "request", "now"]);
    assert_eq!(names(&all), ["history", "request", "request", "now"]);
    assert_eq!(
        (requests_of(&own[0].1), requests_of(&all[0].1)),
        (vec![1], vec![3])
    );
    assert_eq!(own[1].1["user"], "user1");
    assert_eq!(own[2].1["last"]["requests"], 1);
    assert_eq!(all[3].1["last"]["requests"], 2);
    // What runs is told of the whole gateway only.
    assert_eq!(
        (&own[2].1["in_flight"], &all[3].1["in_flight"]),
        (&Value::Null, &Value::from(7))
    );
    assert_eq!(all[3].1["streams"], 3);
}

#[test]
fn a_burst_is_cut_and_what_is_missing_is_counted() {
    let live = Live::new(at(0));
    let mut feed = watch(&live, None, true, at(1_500));
    let burst: Vec<UsageRecord> = (0..80).map(|_| ended(1_600)).collect();
    live.feed(&burst, at(1_700));
    live.tick(at(2_500));
    let got = events(&mut feed);
    let count = |name: &str| got.iter().filter(|(n, _)| n == name).count();
    assert_eq!((count("request"), count("skipped"), count("now")), (50, 1, 1));
    let (_, told) = got.iter().find(|(n, _)| n == "skipped").unwrap();
    assert_eq!(told["count"], 30);
    // The next second has room again.
    live.feed(&burst[..10], at(2_700));
    assert_eq!(events(&mut feed).len(), 10);
}

#[test]
fn who_reads_too_slowly_misses_events_and_holds_nobody_up() {
    let live = Live::new(at(0));
    let mut slow = watch(&live, None, false, at(1_500));
    let mut quick = watch(&live, None, false, at(1_500));
    let mut seen = events(&mut quick).len();
    for second in 2..402 {
        live.tick(at(second * 1_000 + 500));
        seen += events(&mut quick).len();
    }
    assert_eq!(seen, 401);
    let got = events(&mut slow);
    assert_eq!(got.len(), 128, "no more waits than the queue holds");
    live.tick(at(402_500));
    let after = events(&mut slow);
    let names: Vec<&str> = after.iter().map(|(name, _)| name.as_str()).collect();
    assert_eq!(names, ["now", "skipped"]);
    assert_eq!(after[1].1["count"], 401 - 128);
}

#[test]
fn seats_are_bounded_and_free_again() {
    let live = Live::new(at(0));
    let ask = |watcher: String| {
        live.watch(
            Wish {
                watcher,
                ..Wish::default()
            },
            at(1_500),
        )
    };
    let own: Vec<Feed> = (0..OWN_MAX).map(|_| ask("a".into()).unwrap()).collect();
    assert_eq!(ask("a".into()).err(), Some(NoSeat::Full));
    let others: Vec<Feed> = (own.len()..VIEWERS_MAX)
        .map(|number| ask(format!("u{number}")).unwrap())
        .collect();
    assert_eq!(ask("z".into()).err(), Some(NoSeat::Full));
    drop(own);
    assert_eq!(live.viewers(), others.len());
    assert!(ask("a".into()).is_ok());
    live.close();
    assert_eq!(ask("a".into()).err(), Some(NoSeat::Closed));
    for mut feed in others {
        while let Ok(event) = feed.events.try_recv() {
            assert!(event.starts_with(b"retry"));
        }
        assert_eq!(
            feed.events.try_recv().err(),
            Some(tokio::sync::mpsc::error::TryRecvError::Disconnected)
        );
    }
}

#[test]
fn a_clock_that_is_set_back_stops_nothing_for_good() {
    let live = Live::new(at(0));
    let mut feed = watch(&live, None, false, at(100_500));
    live.tick(at(50_500));
    events(&mut feed);
    live.tick(at(51_500));
    assert_eq!(events(&mut feed).len(), 1);
    // After a long pause the newest seconds are told of, and not all of them.
    live.tick(at(99_500));
    assert_eq!(events(&mut feed).len() as u64, BEHIND_MAX);
}

#[tokio::test]
async fn what_was_before_the_start_is_read_from_the_store() {
    let folder = tempfile::tempdir().unwrap();
    let store = crate::store::Sqlite::open(folder.path()).await.unwrap();
    let records: Vec<UsageRecord> = (0..2_500u64)
        .map(|number| {
            let mut one = record(number, at(100_000).0 - number * 1_000_000);
            one.user = "user1".into();
            one
        })
        .collect();
    let batch = crate::store::Batch {
        records,
        ..crate::store::Batch::default()
    };
    store.ingest(&batch).await.unwrap();
    let live = Live::new(at(101_000));
    live.recall(&store, at(101_000)).await.unwrap();
    for user in [None, Some("user1")] {
        let mut feed = watch(&live, user, false, at(101_500));
        let history = requests_of(&events(&mut feed)[0].1);
        assert_eq!(history, vec![1; history.len()], "each second once");
        assert!(history.len() >= 119, "{}", history.len());
    }
    let hour = live.health().hour("openai", at(101_000));
    let requests: u64 = hour.minutes.iter().map(|(_, figures)| figures.requests).sum();
    assert_eq!(requests, 2_500);
}
