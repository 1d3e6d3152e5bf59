//! A kill at every step: what was captured is there once and whole afterwards, and nothing is there that nobody knows of.

use std::collections::BTreeSet;
use std::sync::Mutex;

use super::*;

/// A journal with everything in it: two shards, an answer that has no end yet and makes segments wait, a dead process with
/// another.
fn journal(data: &Path) -> (Plane, Plane, Vec<Told>, [Told; 2]) {
    let mut dead = Plane::new(data, 1);
    let mut plane = Plane::new(data, 2);
    let mut expected = Vec::new();
    let partial = told(900);
    dead.begin(0, 0, &partial);
    for n in 0..4u32 {
        dead.whole(0, 1 + u64::from(n), &told(n));
        expected.push(told(n));
    }
    dead.die();
    let long = told(800);
    plane.begin(0, 0, &long);
    for n in 10..34u32 {
        plane.whole(u16::try_from(n % 2).unwrap(), u64::from(n), &told(n));
        expected.push(told(n));
    }
    (dead, plane, expected, [partial, long])
}

fn work(reader: &mut Reader, bucket: &Bucket) -> bool {
    for _ in 0..2 {
        let well = reader.records.pass().is_ok()
            && reader.ingest.pass(NOW).is_ok()
            && reader.turn(Keep::Forever, Some(bucket)).is_ok();
        if !well {
            return false;
        }
    }
    true
}

#[allow(clippy::print_stdout, reason = "the count is part of what the run shows")]
#[test]
fn a_kill_at_every_step_of_storing_loses_and_doubles_nothing() {
    let mut at = 0;
    let mut seen = BTreeSet::new();
    loop {
        let data = tempfile::tempdir().unwrap();
        let (_dead, mut plane, mut expected, [partial, long]) = journal(data.path());
        let bucket = bucket();
        let count = Arc::new(Mutex::new((0usize, None)));
        let counter = count.clone();
        let kill = move |step: Step| {
            let mut count = counter.lock().unwrap();
            count.0 += 1;
            let now = count.0 > at;
            if now && count.1.is_none() {
                count.1 = Some(step);
            }
            now
        };
        let settings_of = |kill| Settings {
            kill,
            waiting_segments_max: 0,
            frames_max: 60,
            ..settings()
        };
        let mut reader = Reader::new(data.path(), &settings_of(Some(Arc::new(kill))));
        let whole = work(&mut reader, &bucket);
        // Its frames were carried by now, or not, or half.
        plane.end(0, 0, &long);
        expected.push(long);
        let whole = whole && work(&mut reader, &bucket);
        drop(reader);
        let killed = count.lock().unwrap().1;
        let mut reader = Reader::new(data.path(), &settings_of(None));
        assert!(work(&mut reader, &bucket), "killed at {killed:?}, number {at}");
        let all = reader.all();
        assert_eq!(all.len(), expected.len() + 1, "killed at {killed:?}, number {at}");
        // The first runs look into every capture, the others into some.
        for (n, told) in expected.iter().enumerate() {
            let capture = all
                .iter()
                .find(|c| c.request_id == told.opened.request_id)
                .unwrap();
            if n % 7 == at % 7 {
                reader.is(capture, told);
            }
        }
        let cut = all
            .iter()
            .find(|c| c.request_id == partial.opened.request_id)
            .unwrap();
        assert_eq!(cut.ended, Ended::Aborted);
        reader.agrees(data.path());
        let rows = reader.runtime.block_on(reader.store.segments()).unwrap();
        let mut named: Vec<String> = rows
            .iter()
            .filter_map(|row| row.object.as_ref().map(|name| format!("some/where/{name}")))
            .collect();
        named.sort_unstable();
        assert_eq!(objects(&reader, &bucket), named, "killed at {killed:?}");
        assert!(!data.path().join("journal").join("00000001").exists());
        assert_eq!(
            (plane.files(".cap"), plane.files(".carry")),
            (4, 0),
            "killed at {killed:?}"
        );
        assert_eq!(plane.files(".carry-draft"), 0, "killed at {killed:?}");
        seen.extend(killed.map(|step| format!("{step:?}")));
        if whole {
            break;
        }
        at += 1;
    }
    println!(
        "{at} kills while storing, at {} kinds of steps: {seen:?}",
        seen.len()
    );
    for step in [
        "Appended",
        "Synced",
        "Committed",
        "Sealed",
        "CarryNamed",
        "Drained",
        "Uploading",
        "Uploaded",
        "Remote",
    ] {
        assert!(seen.contains(step), "{step} was never reached: {seen:?}");
    }
}

#[allow(clippy::print_stdout, reason = "the count is part of what the run shows")]
#[test]
fn a_kill_at_every_step_of_purging_leaves_no_orphan() {
    let mut at = 0;
    let mut seen = BTreeSet::new();
    loop {
        let data = tempfile::tempdir().unwrap();
        let mut plane = Plane::new(data.path(), 1);
        let bucket = bucket();
        let mut reader = Reader::new(data.path(), &settings());
        for n in 0..12u32 {
            plane.whole(0, u64::from(n), &told(n));
        }
        reader.ingest.pass(NOW).unwrap();
        reader.turn(Keep::Forever, Some(&bucket)).unwrap();
        // These stay on the local disk; the last are in a segment that is still open.
        for n in 12..21u32 {
            plane.whole(0, u64::from(n), &told(n));
        }
        reader.ingest.pass(NOW).unwrap();
        let rows = reader.runtime.block_on(reader.store.segments()).unwrap();
        let left = rows.iter().filter(|row| row.state == SegmentState::Open);
        let left: u64 = left.map(|row| row.captures).sum();
        drop(reader);
        let count = Arc::new(Mutex::new((0usize, None)));
        let counter = count.clone();
        let kill = move |step: Step| {
            let mut count = counter.lock().unwrap();
            count.0 += 1;
            let now = count.0 > at;
            if now && count.1.is_none() {
                count.1 = Some(step);
            }
            now
        };
        let few = |kill| Settings {
            kill,
            purge_rows: 2,
            ..settings()
        };
        let mut reader = Reader::new(data.path(), &few(Some(Arc::new(kill))));
        let whole = reader.turn(Keep::Millis(1), Some(&bucket)).is_ok();
        // Nobody finds what is going.
        let rows = reader.runtime.block_on(reader.store.segments()).unwrap();
        for capture in reader.all() {
            let row = rows.iter().find(|row| row.number == capture.segment).unwrap();
            assert!(row.state < SegmentState::Doomed);
        }
        drop(reader);
        let killed = count.lock().unwrap().1;
        let mut reader = Reader::new(data.path(), &few(None));
        reader.turn(Keep::Millis(1), Some(&bucket)).unwrap();
        assert_eq!(
            reader.all().len() as u64,
            left,
            "killed at {killed:?}, number {at}"
        );
        assert_eq!(
            objects(&reader, &bucket),
            [] as [String; 0],
            "killed at {killed:?}"
        );
        let rows = reader.runtime.block_on(reader.store.segments()).unwrap();
        assert!(
            rows.iter()
                .all(|row| matches!(row.state, SegmentState::Open | SegmentState::Gone))
        );
        // Tool calls are another matter.
        let calls = ToolCallQuery {
            limit: 100,
            ..ToolCallQuery::default()
        };
        let calls = reader.runtime.block_on(reader.store.tool_calls(&calls)).unwrap();
        assert_eq!(calls.len(), 21);
        seen.extend(killed.map(|step| format!("{step:?}")));
        if whole {
            break;
        }
        at += 1;
    }
    println!(
        "{at} kills while purging, at {} kinds of steps: {seen:?}",
        seen.len()
    );
    for step in [
        "Doomed",
        "ObjectRemoved",
        "FileRemoved",
        "RowsRemoved",
        "Forgotten",
    ] {
        assert!(seen.contains(step), "{step} was never reached: {seen:?}");
    }
}
