//! What stands in the log, and when: record and capture in every order.

use sluice_shared::usage::{Capture, Ended};

use super::super::tests::record;
use super::super::{Amend, Batch, Store as _};
use super::*;

/// Far behind any moment of a test.
const LATER: UnixMicros = UnixMicros(1 << 62);

struct World {
    folder: tempfile::TempDir,
    store: Sqlite,
}

impl World {
    async fn new(wants: &[(&str, Wants)]) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let store = Sqlite::open(folder.path()).await.unwrap();
        let world = Self { folder, store };
        world.wants(wants).await;
        world
    }

    async fn wants(&self, wants: &[(&str, Wants)]) {
        let wanted: Vec<Wanted> = wants
            .iter()
            .map(|(name, wants)| Wanted {
                name: (*name).to_owned(),
                wants: *wants,
                enabled: true,
            })
            .collect();
        self.store.set_exporters(&wanted).await.unwrap();
    }

    /// Stores a record, with or without a capture to come.
    async fn record(&self, number: u64, capture: Capture) -> RequestId {
        let mut r = record(number, 1_000 + number);
        r.capture = capture;
        let id = r.request_id;
        let batch = Batch {
            records: vec![r],
            ..Batch::default()
        };
        self.store.ingest(&batch).await.unwrap();
        id
    }

    /// Commits a capture, as the captures' own writer does.
    fn capture(&self, number: u64, kept: bool) {
        let sql = "INSERT INTO captures (segment,number,offset,length,request_id,time,user,provider,model,api,status,ended,\
                   flags,request_bytes,request_kept,answer_bytes,answer_kept,tool_calls,kept) \
                   VALUES (1,?1,0,1,?2,?3,0,0,0,0,200,0,0,0,0,0,0,0,?4)";
        let r = record(number, 1_000 + number);
        let values = params![int(number), r.request_id.0.as_slice(), int(r.time.0), kept];
        self.store.writer().connection.execute(sql, values).unwrap();
    }

    async fn log(&self, wants: Wants) -> Vec<Logged> {
        let stretch = self.store.export_log(0, None, wants, 100).await.unwrap();
        stretch.entries.iter().map(|entry| entry.what).collect()
    }

    fn rows(&self, table: &str) -> u64 {
        let sql = format!("SELECT count(*) FROM {table}");
        let writer = self.store.writer();
        writer.connection.query_row(&sql, [], |row| row.get(0)).unwrap()
    }
}

const BOTH: Wants = Wants::REQUESTS.and(Wants::CAPTURES);

fn request(id: RequestId, capture: Kept) -> Logged {
    Logged::Request { id, capture }
}

#[tokio::test]
async fn nothing_is_written_while_nobody_wants_it() {
    let world = World::new(&[]).await;
    world.record(1, Capture::Written).await;
    world.capture(1, true);
    world.wants(&[("a", Wants::AUDIT)]).await;
    world.record(2, Capture::Off).await;
    world.record(3, Capture::Written).await;
    assert_eq!((world.rows("export_log"), world.rows("export_waiting")), (0, 0));
    // A capture whose record was not logged for anybody is not waited for either.
    world.wants(&[("a", BOTH)]).await;
    world.capture(3, true);
    assert_eq!((world.rows("export_log"), world.rows("export_waiting")), (0, 0));
}

#[tokio::test]
async fn a_request_is_complete_when_both_halves_are_there() {
    let world = World::new(&[("a", BOTH)]).await;
    // None to come: at once.
    let off = world.record(1, Capture::Off).await;
    let dropped = world.record(2, Capture::Dropped).await;
    // The record first, then the capture first.
    let first = world.record(3, Capture::Written).await;
    assert_eq!(world.log(BOTH).await.len(), 2);
    world.capture(3, true);
    world.capture(4, true);
    assert_eq!(world.log(BOTH).await.len(), 3);
    let second = world.record(4, Capture::Written).await;
    // Captures that are there for hooks alone.
    let third = world.record(5, Capture::Written).await;
    world.capture(5, false);
    world.capture(6, false);
    let fourth = world.record(6, Capture::Written).await;
    assert_eq!(
        world.log(BOTH).await,
        [
            request(off, Kept::None),
            request(dropped, Kept::None),
            request(first, Kept::Stored),
            request(second, Kept::Stored),
            request(third, Kept::None),
            request(fourth, Kept::None),
        ]
    );
    assert_eq!(world.rows("export_waiting"), 0);
    // Captures alone: only what has one.
    assert_eq!(
        world.log(Wants::CAPTURES).await,
        [request(first, Kept::Stored), request(second, Kept::Stored)]
    );
}

#[tokio::test]
async fn a_capture_that_never_comes_blocks_for_a_while_only() {
    let world = World::new(&[("a", BOTH)]).await;
    let id = world.record(1, Capture::Written).await;
    assert_eq!(world.store.release_waiting(UnixMicros(0)).await.unwrap(), 0);
    assert_eq!(world.log(BOTH).await, []);
    assert_eq!(world.store.release_waiting(LATER).await.unwrap(), 1);
    assert_eq!(world.log(BOTH).await, [request(id, Kept::Missing)]);
    // Once is enough.
    assert_eq!(world.store.release_waiting(LATER).await.unwrap(), 0);
}

#[tokio::test]
async fn a_capture_that_comes_late_is_told_of_all_the_same() {
    let world = World::new(&[("a", BOTH)]).await;
    let id = world.record(1, Capture::Written).await;
    // Just after it began to wait, by the store's clock: half a week later its half is still known.
    let soon = UnixMicros(super::super::super::export::clock().0 + HALF_US_MAX / 2);
    assert_eq!(world.store.release_waiting(soon).await.unwrap(), 1);
    world.capture(1, true);
    assert_eq!(
        world.log(BOTH).await,
        [request(id, Kept::Missing), request(id, Kept::Stored)]
    );
}

#[tokio::test]
async fn a_record_that_turns_out_otherwise_is_exported_again() {
    let world = World::new(&[("a", BOTH)]).await;
    let id = world.record(1, Capture::Written).await;
    let amend = |id| Batch {
        amends: vec![Amend {
            request_id: id,
            ended: Ended::ClientGone,
            duration_us: 5,
        }],
        ..Batch::default()
    };
    // It waits: it will be read as it is then.
    world.store.ingest(&amend(id)).await.unwrap();
    assert_eq!(world.log(BOTH).await, []);
    world.capture(1, true);
    world.store.ingest(&amend(id)).await.unwrap();
    assert_eq!(
        world.log(BOTH).await,
        [request(id, Kept::Stored), request(id, Kept::Stored)]
    );
}

#[tokio::test]
async fn marks_of_budgets_and_the_audit_are_logged_where_they_are_written() {
    let world = World::new(&[("a", Wants::AUDIT.and(Wants::QUOTA_EVENTS))]).await;
    let sql = "INSERT INTO quota_events (time,quota,name,unit,percent,balance,capacity) VALUES (7,'q','b',0,80,-5,9)";
    world.store.writer().connection.execute(sql, []).unwrap();
    use super::super::audit::{AuditRows as _, NewEntry};
    let entry = NewEntry {
        time: UnixMicros(8),
        actor: "ada".into(),
        node: "n".into(),
        action: "x.y".into(),
        subject: "s".into(),
        detail: "{}".into(),
    };
    world.store.append_audit(&[entry]).unwrap();
    let wants = Wants::AUDIT.and(Wants::QUOTA_EVENTS);
    assert_eq!(world.log(wants).await, [Logged::Quota(1), Logged::Audit(1)]);
    let marks = world.store.quota_events_by_number(&[1, 9]).await.unwrap();
    assert_eq!((marks[&1].percent, marks[&1].balance, marks.len()), (80, -5, 1));
    let acts = world.store.audit_by_number(&[1]).await.unwrap();
    assert_eq!((acts[&1].actor.as_str(), acts[&1].hash.len()), ("ada", 32));
}

#[tokio::test]
async fn places_in_the_log_outlive_the_process_and_prune_it() {
    let world = World::new(&[("fast", BOTH), ("slow", BOTH)]).await;
    for number in 1..=5 {
        world.record(number, Capture::Off).await;
    }
    world.store.plan_export("fast", 3).await.unwrap();
    let World { folder, store } = world;
    drop(store);
    let store = Sqlite::open(folder.path()).await.unwrap();
    let world = World { folder, store };
    let place = world.store.export_place("fast").await.unwrap().unwrap();
    assert_eq!((place.cursor, place.planned), (0, Some(3)));
    world.store.exported("fast", 3, 3, UnixMicros(9)).await.unwrap();
    let place = world.store.export_place("fast").await.unwrap().unwrap();
    assert_eq!((place.cursor, place.planned, place.records), (3, None, 3));
    assert_eq!(place.succeeded, Some(UnixMicros(9)));
    // The slow one needs them.
    while world.store.prune_export_log().await.unwrap() {}
    assert_eq!(world.rows("export_log"), 5);
    world.store.exported("slow", 2, 2, UnixMicros(9)).await.unwrap();
    while world.store.prune_export_log().await.unwrap() {}
    assert_eq!(world.rows("export_log"), 3);
    let states = world.store.exports().await.unwrap();
    let lags: Vec<(&str, u64)> = states.iter().map(|it| (it.name.as_str(), it.lag)).collect();
    assert_eq!(lags, [("fast", 2), ("slow", 3)]);
    // Triggers and wants are those of before the restart.
    world.record(6, Capture::Off).await;
    assert_eq!(world.rows("export_log"), 4);
    // One that is gone holds nothing back; a new one begins now, under an id of its own.
    let before = world.store.export_place("slow").await.unwrap().unwrap().id;
    world.wants(&[("fast", BOTH)]).await;
    while world.store.prune_export_log().await.unwrap() {}
    assert_eq!(world.rows("export_log"), 3);
    world.wants(&[("fast", BOTH), ("slow", BOTH)]).await;
    let place = world.store.export_place("slow").await.unwrap().unwrap();
    assert_eq!((place.cursor, place.records), (6, 0));
    assert_ne!(place.id, before);
}

#[tokio::test]
async fn what_may_be_purged_is_what_all_have() {
    let world = World::new(&[("a", Wants::REQUESTS)]).await;
    world.record(1, Capture::Written).await;
    assert_eq!(
        world.store.exported_up_to().await.unwrap(),
        None,
        "nobody wants captures"
    );
    world.wants(&[("a", Wants::REQUESTS), ("b", BOTH)]).await;
    assert_eq!(world.store.exported_up_to().await.unwrap(), None, "nothing waits");
    world.record(2, Capture::Off).await;
    assert_eq!(
        world.store.exported_up_to().await.unwrap(),
        None,
        "it has no capture"
    );
    world.record(3, Capture::Written).await;
    let waits = Some(UnixMicros(1_003));
    assert_eq!(world.store.exported_up_to().await.unwrap(), waits);
    world.capture(3, true);
    assert_eq!(world.store.exported_up_to().await.unwrap(), waits);
    // A capture whose record is not there yet, of an earlier request.
    world.capture(0, true);
    assert_eq!(
        world.store.exported_up_to().await.unwrap(),
        Some(UnixMicros(1_000))
    );
    world.record(0, Capture::Written).await;
    let last = world
        .store
        .export_log(0, None, BOTH, 100)
        .await
        .unwrap()
        .looked_up_to;
    world
        .store
        .exported("b", last - 1, 1, UnixMicros(1))
        .await
        .unwrap();
    assert_eq!(
        world.store.exported_up_to().await.unwrap(),
        Some(UnixMicros(1_000))
    );
    world.store.exported("b", last, 1, UnixMicros(1)).await.unwrap();
    assert_eq!(world.store.exported_up_to().await.unwrap(), None);
}

#[tokio::test]
async fn a_stretch_ends_where_it_was_planned_to() {
    let world = World::new(&[("a", BOTH)]).await;
    for number in 1..=6 {
        world.record(number, Capture::Off).await;
    }
    let check = |after: u64, last: Option<u64>, limit: u64, wants: Wants, expected: (&[u64], u64)| {
        let world = &world;
        let expected = (expected.0.to_vec(), expected.1);
        async move {
            let found = world.store.export_log(after, last, wants, limit).await.unwrap();
            let seqs: Vec<u64> = found.entries.iter().map(|entry| entry.seq).collect();
            assert_eq!((seqs, found.looked_up_to), expected, "{after} {last:?} {limit}");
        }
    };
    check(0, None, 4, BOTH, (&[1, 2, 3, 4], 4)).await;
    check(4, None, 4, BOTH, (&[5, 6], 6)).await;
    check(0, Some(2), 4, BOTH, (&[1, 2], 2)).await;
    check(6, None, 4, BOTH, (&[], 6)).await;
    // Nothing of that kind: all of it is done.
    check(0, None, 4, Wants::AUDIT, (&[], 6)).await;
}
