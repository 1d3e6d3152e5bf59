//! Captures from hand-written segments, stored exactly once, whatever happens in between.

mod crash;
mod plane;
mod space;
mod trouble;

use std::path::Path;
use std::sync::Arc;

use object_store::memory::InMemory;
use sluice_shared::ids::RequestId;
use sluice_shared::units::UnixMicros;
use sluice_shared::usage::{Capture, Ended};
use sluice_shared::wire::capture::EventUse;

use super::care::Policy;
use super::*;
use crate::captures::read::Bucket;
use crate::config::domain::{Keep, Retention};
use crate::ingest::{Endings, Ingest};
use crate::ledger::{Clock, Ledger};
use crate::store::captures::{CaptureQuery, CaptureView, SegmentState, ToolCallQuery};
use crate::store::{Batch, Sqlite, Store};
pub(crate) use plane::{Plane, Told, told};

/// When everything happens.
pub(crate) const NOW: UnixMicros = UnixMicros(1_795_341_700_000_000);

pub(crate) fn settings() -> Settings {
    Settings {
        roll_bytes: 4 << 10,
        waiting_segments_max: 2,
        batch_captures: 5,
        ..Settings::default()
    }
}

/// A control plane's side of captures, with its own runtime.
pub(crate) struct Reader {
    pub(crate) runtime: tokio::runtime::Runtime,
    pub(crate) store: Arc<dyn Store>,
    pub(crate) status: Arc<Status>,
    pub(crate) captures: Arc<Captures>,
    pub(crate) ingest: CaptureIngest,
    pub(crate) records: Ingest,
    pub(crate) care: Care,
}

impl Reader {
    pub(crate) fn new(data: &Path, settings: &Settings) -> Self {
        let runtime = tokio::runtime::Builder::new_multi_thread()
            .worker_threads(1)
            .enable_all()
            .build()
            .unwrap();
        let store: Arc<dyn Store> = Arc::new(runtime.block_on(Sqlite::open(data)).unwrap());
        let endings = Arc::new(Endings::default());
        let status = Arc::new(Status::default());
        let captures = Captures::new(data, store.clone());
        let ingest = CaptureIngest::new(
            data,
            store.clone(),
            runtime.handle().clone(),
            status.clone(),
            endings.clone(),
            settings.clone(),
        )
        .unwrap();
        let records = Ingest::new(
            data,
            store.clone(),
            Ledger::new(store.clone(), Clock::start(), &[]),
            runtime.handle().clone(),
            Arc::new(crate::ingest::Status::new(std::time::Instant::now())),
            crate::ingest::price::Bases::default(),
            crate::ingest::Settings {
                probe: Duration::ZERO,
                endings,
                ..crate::ingest::Settings::default()
            },
        );
        let care = Care::new(store.clone(), captures.clone(), status.clone(), settings.clone());
        Self {
            runtime,
            store,
            status,
            captures,
            ingest,
            records,
            care,
        }
    }

    pub(crate) fn all(&self) -> Vec<CaptureView> {
        let query = CaptureQuery {
            limit: 100_000,
            ..CaptureQuery::default()
        };
        let mut found = self.runtime.block_on(self.store.captures(&query)).unwrap();
        found.reverse();
        found
    }

    pub(crate) fn part(&self, capture: &CaptureView, part: Part) -> Vec<u8> {
        self.runtime.block_on(self.captures.part(capture, part)).unwrap()
    }

    /// Exactly these captures are stored, each whole.
    pub(crate) fn holds(&self, expected: &[Told]) {
        let all = self.all();
        let ids = |all: &[CaptureView]| all.iter().map(|c| c.request_id).collect::<Vec<RequestId>>();
        let mut wanted: Vec<RequestId> = expected.iter().map(|told| told.opened.request_id).collect();
        wanted.sort_unstable();
        assert_eq!(ids(&all), wanted);
        for told in expected {
            let capture = all
                .iter()
                .find(|c| c.request_id == told.opened.request_id)
                .unwrap();
            self.is(capture, told);
        }
    }

    pub(crate) fn is(&self, capture: &CaptureView, told: &Told) {
        assert_eq!(self.part(capture, Part::Request), told.request);
        assert_eq!(self.part(capture, Part::Answer), told.answer);
        let head = self.runtime.block_on(self.captures.head(capture)).unwrap();
        assert_eq!(head.request_id, told.opened.request_id.to_string());
        assert_eq!((head.method.as_str(), head.status), ("POST", Some(200)));
        assert_eq!(head.request_headers[0].value, "***");
        assert!(head.complete && !head.answer.truncated && !head.request.truncated);
        let object: serde_json::Value = serde_json::from_slice(&self.part(capture, Part::Assembled)).unwrap();
        assert_eq!(
            object["choices"][0]["message"]["tool_calls"][0]["function"]["name"],
            "read"
        );
        let calls = ToolCallQuery {
            request: Some(told.opened.request_id),
            limit: 10,
            ..ToolCallQuery::default()
        };
        let calls = self.runtime.block_on(self.store.tool_calls(&calls)).unwrap();
        assert_eq!(calls.len(), 1);
        assert_eq!(
            (
                calls[0].name.as_str(),
                calls[0].call_id.as_str(),
                calls[0].arguments.as_str()
            ),
            ("read", "call_1", "{\"path\":\"x\"}")
        );
    }

    pub(crate) fn turn(&mut self, keep: Keep, bucket: Option<&Bucket>) -> Result<(), care::CareError> {
        let policy = Policy {
            retention: Retention {
                keep,
                ..Retention::default()
            },
            bucket: bucket.cloned(),
        };
        self.captures.set_bucket(bucket.cloned());
        self.runtime.block_on(self.care.turn(&policy, NOW))
    }

    /// Files and rows say the same.
    pub(crate) fn agrees(&self, data: &Path) {
        let rows = self.runtime.block_on(self.store.segments()).unwrap();
        let mut files: Vec<u64> = crate::ingest::names(&folder(data))
            .unwrap()
            .iter()
            .map(|name| file_number(name).unwrap())
            .collect();
        files.sort_unstable();
        let local: Vec<u64> = rows
            .iter()
            .filter(|row| row.state < SegmentState::Remote)
            .map(|row| row.number)
            .collect();
        assert_eq!(files, local, "{rows:#?}");
        for row in rows
            .iter()
            .filter(|row| row.state < SegmentState::Remote && row.captures > 0)
        {
            let path = folder(data).join(file_name(row.number));
            assert_eq!(std::fs::metadata(path).unwrap().len(), row.bytes);
        }
    }
}

pub(crate) fn bucket() -> Bucket {
    Bucket {
        objects: Arc::new(InMemory::new()),
        prefix: "some/where".into(),
    }
}

pub(crate) fn objects(reader: &Reader, bucket: &Bucket) -> Vec<String> {
    let prefix = "some/where/captures".into();
    let listed = bucket.objects.list_with_delimiter(Some(&prefix));
    let listed = reader.runtime.block_on(listed).unwrap();
    let mut names: Vec<String> = listed.objects.iter().map(|o| o.location.to_string()).collect();
    names.sort_unstable();
    names
}

#[test]
fn captures_are_stored_whole_and_their_frames_go() {
    let data = tempfile::tempdir().unwrap();
    let mut plane = Plane::new(data.path(), 1);
    let mut reader = Reader::new(data.path(), &settings());
    assert!(!reader.ingest.pass(NOW).unwrap(), "nothing yet");
    let mut expected = Vec::new();
    for round in 0..5u32 {
        // Three captures of each shard, mixed.
        for shard in 0..2u16 {
            let three: Vec<Told> = (0..3)
                .map(|n| told(round * 6 + u32::from(shard) * 3 + n))
                .collect();
            let number = |n: usize| u64::from(round) * 10 + n as u64;
            for (n, told) in three.iter().enumerate() {
                plane.begin(shard, number(n), told);
            }
            assert!(!reader.ingest.pass(NOW).unwrap() || shard == 1, "none has ended");
            for (n, told) in three.iter().enumerate().rev() {
                plane.end(shard, number(n), told);
            }
            expected.extend(three);
        }
        assert!(reader.ingest.pass(NOW).unwrap());
        reader.holds(&expected);
        assert!(!reader.ingest.pass(NOW).unwrap(), "nothing twice");
    }
    assert!(plane.place(0).0 > 2, "several segments were filled");
    assert_eq!(
        plane.files(".cap"),
        4,
        "the present one and the next of each shard"
    );
    let figures = reader.status.figures();
    assert_eq!((figures.stored, figures.tool_calls, figures.open), (30, 30, 0));
    assert_eq!((figures.dropped, figures.lost, figures.damaged), (0, 0, 0));
    reader.agrees(data.path());
    let segments = reader.runtime.block_on(reader.store.segments()).unwrap();
    assert!(segments.len() > 3, "several segments of the store, too");
    assert_eq!(segments.iter().map(|row| row.captures).sum::<u64>(), 30);
}

#[test]
fn segments_that_wait_for_a_long_answer_are_carried() {
    let data = tempfile::tempdir().unwrap();
    let mut plane = Plane::new(data.path(), 1);
    let mut reader = Reader::new(data.path(), &settings());
    let long = told(0);
    plane.open(0, 0, &long.opened);
    plane.request(0, 0, 0, &long.request);
    plane.head(0, 0, &long.head);
    let mut expected = Vec::new();
    // Small reads of the long answer between many short ones.
    for (n, piece) in long.answer.chunks(50).enumerate() {
        plane.answer(0, 0, n as u64 * 50, piece);
        let short = told(1 + u32::try_from(n).unwrap());
        plane.whole(0, 1 + n as u64, &short);
        expected.push(short);
        reader.ingest.pass(NOW).unwrap();
        assert!(
            plane.files(".cap") <= 2 + 3 + 1,
            "{} segments wait",
            plane.files(".cap")
        );
        assert!(plane.files(".carry") <= 5);
        if n % 7 == 0 {
            // Another process goes on from what lies there.
            reader = Reader::new(data.path(), &settings());
        }
    }
    assert!(plane.files(".carry") > 0, "frames were carried");
    reader.ingest.pass(NOW).unwrap();
    reader.holds(&expected);
    plane.close(0, 0, &long.closed());
    reader.ingest.pass(NOW).unwrap();
    expected.push(long);
    reader.holds(&expected);
    reader.ingest.pass(NOW).unwrap();
    assert_eq!((plane.files(".cap"), plane.files(".carry")), (2, 0));
}

#[test]
fn a_stream_of_small_reads_is_remembered_within_bounds() {
    let data = tempfile::tempdir().unwrap();
    let mut plane = Plane::new(data.path(), 1);
    let settings = Settings {
        frames_max: 64,
        ..settings()
    };
    let mut reader = Reader::new(data.path(), &settings);
    let long = told(0);
    plane.begin(
        0,
        0,
        &Told {
            answer: Vec::new(),
            ..long.clone()
        },
    );
    for (n, piece) in long.answer.chunks(8).enumerate() {
        plane.answer(0, 0, n as u64 * 8, piece);
        if n % 50 == 0 {
            reader.ingest.pass(NOW).unwrap();
        }
    }
    plane.close(0, 0, &long.closed());
    reader.ingest.pass(NOW).unwrap();
    reader.holds(&[long]);
    assert_eq!(reader.status.figures().damaged, 0);
}

#[test]
fn what_a_dead_process_was_doing_is_stored_as_far_as_it_goes() {
    let data = tempfile::tempdir().unwrap();
    let mut plane = Plane::new(data.path(), 7);
    let mut reader = Reader::new(data.path(), &settings());
    let (whole, cut, dropped) = (told(0), told(1), told(2));
    plane.whole(0, 0, &whole);
    plane.begin(0, 1, &cut);
    plane.begin(0, 2, &dropped);
    // There was no room for the end of this one, and its record says so.
    let mut record = dropped.record();
    record.capture = Capture::Dropped;
    let batch = Batch {
        records: vec![record],
        ..Batch::default()
    };
    reader.runtime.block_on(reader.store.ingest(&batch)).unwrap();
    reader.records.pass().unwrap();
    reader.ingest.pass(NOW).unwrap();
    assert_eq!(
        reader.all().len(),
        1,
        "while the process lives, others may still end"
    );
    plane.die();
    reader.records.pass().unwrap();
    assert!(plane.directory.exists(), "its captures are not stored yet");
    reader.ingest.pass(NOW).unwrap();
    reader.records.pass().unwrap();
    assert!(!data.path().join("journal").join("00000007").exists());
    let all = reader.all();
    assert_eq!(all.len(), 2);
    let partial = all
        .iter()
        .find(|c| c.request_id == cut.opened.request_id)
        .unwrap();
    assert_eq!(partial.ended, Ended::Aborted);
    assert_eq!(reader.part(partial, Part::Request), cut.request);
    assert_eq!(
        reader.part(partial, Part::Answer),
        cut.answer[..cut.answer.len() / 2]
    );
    let head = reader.runtime.block_on(reader.captures.head(partial)).unwrap();
    assert!(head.unfinished && head.answer.truncated && !head.complete && !head.request.truncated);
    let figures = reader.status.figures();
    assert_eq!((figures.stored, figures.partial, figures.dropped), (2, 1, 1));
    reader.agrees(data.path());
}

#[test]
fn a_capture_that_lost_its_end_is_given_up_while_its_process_lives() {
    let data = tempfile::tempdir().unwrap();
    let mut plane = Plane::new(data.path(), 1);
    let mut reader = Reader::new(data.path(), &settings());
    let dropped = told(0);
    plane.begin(0, 0, &dropped);
    let mut record = dropped.record();
    record.capture = Capture::Dropped;
    let batch = Batch {
        records: vec![record],
        ..Batch::default()
    };
    reader.runtime.block_on(reader.store.ingest(&batch)).unwrap();
    let mut expected = Vec::new();
    for n in 1..40u32 {
        plane.whole(0, u64::from(n), &told(n));
        expected.push(told(n));
        reader.ingest.pass(NOW).unwrap();
    }
    reader.holds(&expected);
    assert_eq!(reader.status.figures().dropped, 1);
    assert_eq!(reader.status.figures().open, 0);
}

#[test]
fn damage_is_counted_and_kept_and_the_row_goes_on() {
    let data = tempfile::tempdir().unwrap();
    let mut plane = Plane::new(data.path(), 1);
    let mut reader = Reader::new(data.path(), &settings());
    let (first, open) = (told(0), told(1));
    plane.whole(0, 0, &first);
    plane.begin(0, 1, &open);
    let (segment, at) = plane.place(0);
    assert_eq!(segment, 0);
    // This one begins in what is damaged.
    let headless = told(2);
    plane.open(0, 2, &headless.opened);
    plane.damage(0, 0, at + 30);
    reader.ingest.pass(NOW).unwrap();
    assert!(plane.path(0, 0).exists(), "its shard may still write there");
    reader.holds(std::slice::from_ref(&first));
    let mut n = 3;
    let mut after = Vec::new();
    while plane.place(0).0 == 0 {
        plane.request(0, 900, 0, &[b'x'; 700]);
    }
    for _ in 0..3 {
        plane.whole(0, n, &told(u32::try_from(n).unwrap()));
        after.push(told(u32::try_from(n).unwrap()));
        n += 1;
    }
    plane.end(0, 1, &open);
    plane.end(0, 2, &headless);
    let batch = Batch {
        records: vec![headless.record()],
        ..Batch::default()
    };
    reader.runtime.block_on(reader.store.ingest(&batch)).unwrap();
    while reader.ingest.pass(NOW).unwrap() {}
    let kept = crate::ingest::names(&data.path().join("journal").join("damaged")).unwrap();
    assert_eq!(kept, ["00000001-000-00000000.damaged-cap"]);
    let mut expected = vec![first, open];
    expected.extend(after);
    reader.holds(&expected);
    let figures = reader.status.figures();
    assert_eq!((figures.damaged, figures.lost), (1, 1));
}

#[test]
fn bodies_are_stored_decoded_and_what_cannot_be_is_stored_as_it_came() {
    let data = tempfile::tempdir().unwrap();
    let mut plane = Plane::new(data.path(), 1);
    let mut reader = Reader::new(data.path(), &settings());
    let plain = told(0);
    let with = |number: u32, encoding: &str, answer: Vec<u8>| {
        let mut told = told(number);
        told.head
            .headers
            .push(("Content-Encoding".into(), encoding.into()));
        told.answer = answer;
        told
    };
    let zstd = |bytes: &[u8]| zstd::bulk::compress(bytes, 3).unwrap();
    let good = with(1, "zstd", zstd(&plain.answer));
    // Two hundred megabytes of zeros in a few kilobytes.
    let bomb = with(2, "zstd", zstd(&vec![0; 200 << 20]));
    let unknown = with(3, "shoco", b"\xff\xfe".to_vec());
    let binary = with(4, "identity", b"\xff\xfe\x00{".to_vec());
    for (n, told) in [&good, &bomb, &unknown, &binary].into_iter().enumerate() {
        plane.whole(0, n as u64, told);
    }
    // Its total says that more came than is kept.
    let cut = told(5);
    plane.begin(0, 9, &cut);
    plane.close(0, 9, &cut.closed());
    reader.ingest.pass(NOW).unwrap();
    let all = reader.all();
    let check = |at: usize, answer: &[u8], encoded: Option<&str>| {
        assert_eq!(reader.part(&all[at], Part::Answer), answer);
        let head = reader.runtime.block_on(reader.captures.head(&all[at])).unwrap();
        assert_eq!(head.answer.encoded.as_deref(), encoded);
    };
    check(0, &plain.answer, None);
    check(1, &bomb.answer, Some("zstd"));
    check(2, &unknown.answer, Some("shoco"));
    check(3, &binary.answer, None);
    let half = cut.answer.len() / 2;
    check(4, &cut.answer[..half], None);
    let head = reader.runtime.block_on(reader.captures.head(&all[4])).unwrap();
    assert_eq!(
        (head.answer.bytes, head.answer.kept),
        (cut.answer.len() as u64, half as u64)
    );
    assert!(head.answer.truncated && !head.unfinished && !head.complete);
}

#[test]
fn captures_for_hooks_alone_are_not_listed_and_go_when_nobody_waits() {
    let data = tempfile::tempdir().unwrap();
    let mut plane = Plane::new(data.path(), 1);
    let settings = Settings {
        roll_bytes: 1,
        ..settings()
    };
    let mut reader = Reader::new(data.path(), &settings);
    let mut told_only = told(0);
    told_only.opened.keep = false;
    told_only.opened.events = vec![EventUse {
        hook: "h".into(),
        events: 2,
        send: 1,
        grants: String::new(),
    }];
    let mut nobodys = told(1);
    nobodys.opened.keep = false;
    plane.whole(0, 0, &told_only);
    plane.whole(0, 1, &nobodys);
    reader.ingest.pass(NOW).unwrap();
    assert_eq!(reader.all(), []);
    let id = |told: &Told| told.opened.request_id;
    let find = |reader: &Reader, id| reader.runtime.block_on(reader.captures.find(id)).unwrap();
    let found = find(&reader, id(&told_only)).unwrap();
    assert!(!found.kept);
    assert_eq!(reader.part(&found, Part::Answer), told_only.answer);
    assert_eq!(find(&reader, id(&nobodys)), None);
    reader.turn(Keep::Millis(1), None).unwrap();
    assert!(
        find(&reader, id(&told_only)).is_some(),
        "the hook has not been told yet"
    );
    let other = rusqlite::Connection::open(data.path().join(crate::store::FILE)).unwrap();
    other.execute("DELETE FROM outbox", []).unwrap();
    reader.turn(Keep::Forever, None).unwrap();
    assert_eq!(find(&reader, id(&told_only)), None);
    reader.agrees(data.path());
    assert_eq!(
        crate::ingest::names(&folder(data.path())).unwrap(),
        [] as [String; 0]
    );
}
