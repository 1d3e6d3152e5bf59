//! Rows of captures from outside: files that are used again, limits, a disk that nobody empties.

#![allow(
    clippy::unwrap_used,
    reason = "helpers of a test fail by panic, as the test does"
)]
#![allow(clippy::print_stdout, reason = "figures are printed")]

use std::collections::{BTreeMap, HashSet};
use std::fs::{self, File};
use std::os::unix::fs::{FileExt, MetadataExt};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::sync::atomic::{AtomicBool, Ordering};

use sluice_dataplane::journal::{
    CAPTURE_SEGMENT_BYTES_MIN, CaptureOptions, Full, Journal, JournalOptions, JournalService,
    SEGMENT_BYTES_MIN, ShardCaptures, ShardFiles,
};
use sluice_shared::api::ApiKind;
use sluice_shared::ids::{Epoch, RequestId, ShardId};
use sluice_shared::units::UnixMicros;
use sluice_shared::usage::UsageRecord;
use sluice_shared::wire::capture::{
    AnswerHead, Closed, Kind, Opened, PAYLOAD_BYTES_MAX, SegmentHeader, Slot, decode,
};
use sluice_shared::wire::journal::{Entry, SEGMENT_HEADER_BYTES};

const MIB: u64 = 1 << 20;

fn options(captures: CaptureOptions) -> JournalOptions {
    JournalOptions {
        segment_bytes: SEGMENT_BYTES_MIN,
        in_flight_slots: 64,
        captures,
        ..JournalOptions::default()
    }
}

fn small() -> CaptureOptions {
    CaptureOptions {
        segment_bytes: CAPTURE_SEGMENT_BYTES_MIN,
        reserve_bytes: 0,
        ..CaptureOptions::default()
    }
}

fn make(data: &Path, captures: CaptureOptions) -> (ShardFiles, JournalService) {
    let (mut shards, service) = Journal::create(data, &options(captures)).unwrap();
    (shards.remove(0), service)
}

fn draft(n: u32) -> UsageRecord {
    let id = RequestId::new(1, ShardId(0), n, 7);
    UsageRecord::draft(
        id,
        UnixMicros(5),
        ShardId(0),
        Epoch(1),
        ApiKind::AnthropicMessages,
    )
}

fn opened(n: u32) -> Opened {
    let record = draft(n);
    Opened {
        request_id: record.request_id,
        time: record.time,
        epoch: record.epoch,
        api: record.api,
        stream: false,
        user: "alice@example.com".into(),
        node: String::new(),
        method: "POST".into(),
        target: "/v1/messages".into(),
        provider: "main".into(),
        model: "m".into(),
        headers: vec![("a".into(), b"1".to_vec())],
        keep: true,
        events: Vec::new(),
    }
}

fn closed(n: u32, bytes: u64) -> Closed {
    Closed {
        record: draft(n),
        request_bytes: bytes,
        answer_bytes: 0,
    }
}

/// What is written for a capture: another length and other bytes for each.
fn body(n: u32) -> Vec<u8> {
    let length = 1_000 + (n as usize * 7_919) % 200_000;
    (0..length)
        .map(|at| (at as u64 ^ u64::from(n.wrapping_mul(2_654_435_761))).to_le_bytes()[0])
        .collect()
}

/// Writes a capture of one body; `false`: it found no room to begin.
fn write(row: &mut ShardCaptures, n: u32) -> bool {
    let Ok(number) = row.begin(&opened(n)) else {
        return false;
    };
    assert_eq!(number, u64::from(n), "numbers follow each other");
    let body = body(n);
    let mut at = 0;
    for piece in body.chunks(70_000) {
        wait_until("room for a piece", || row.has_room(piece.len()));
        assert_eq!(row.piece(number, Kind::RequestBody, at, piece), piece.len());
        at += piece.len() as u64;
    }
    row.close(number, &closed(n, at)).unwrap();
    true
}

fn wait_until(what: &str, mut done: impl FnMut() -> bool) {
    let start = std::time::Instant::now();
    while !done() {
        assert!(start.elapsed().as_secs() < 30, "{what} did not come");
        std::thread::yield_now();
    }
}

fn segment(data: &Path, number: u64) -> PathBuf {
    data.join(format!("journal/00000001/000-{number:08}.cap"))
}

fn on_disk(data: &Path) -> (usize, u64) {
    let files = fs::read_dir(data.join("journal/00000001")).unwrap().flatten();
    let files = files.filter(|file| file.file_name().to_string_lossy().ends_with(".cap"));
    // One that is removed meanwhile is none.
    let sizes: Vec<u64> = files
        .filter_map(|file| Some(file.metadata().ok()?.len()))
        .collect();
    (sizes.len(), sizes.iter().sum())
}

/// Reads a row as the control plane does: while it is written, in small steps, removing what is read.
struct Reader {
    data: PathBuf,
    file: Option<File>,
    number: u64,
    at: u64,
    bodies: BTreeMap<u64, Vec<u8>>,
    done: u32,
    files: HashSet<u64>,
}

impl Reader {
    fn new(data: &Path) -> Self {
        Self {
            data: data.to_owned(),
            file: None,
            number: 0,
            at: SEGMENT_HEADER_BYTES as u64,
            bodies: BTreeMap::new(),
            done: 0,
            files: HashSet::new(),
        }
    }

    /// Reads what is there. Red if a frame is damaged, one of an earlier life of the file, or out of its order.
    fn read(&mut self) {
        loop {
            let path = segment(&self.data, self.number);
            if self.file.is_none() {
                let Ok(file) = File::open(&path) else { return };
                let mut head = [0; SEGMENT_HEADER_BYTES];
                file.read_exact_at(&mut head, 0).unwrap();
                let header = SegmentHeader::decode(&head).expect("the header stands before the name");
                assert_eq!((header.number, header.shard), (self.number, ShardId(0)));
                self.files.insert(file.metadata().unwrap().ino());
                self.file = Some(file);
            }
            let file = self.file.as_ref().unwrap();
            let mut bytes = vec![0; PAYLOAD_BYTES_MAX + 64];
            let filled = file.read_at(&mut bytes, self.at).unwrap();
            bytes.truncate(filled);
            match decode(&bytes) {
                Slot::Frame(frame, length) => {
                    self.at += length as u64;
                    match frame.kind {
                        Kind::Open => {
                            let opened = frame.opened().unwrap();
                            let n = u32::try_from(frame.number).unwrap();
                            assert_eq!(opened.request_id, draft(n).request_id);
                            assert!(self.bodies.insert(frame.number, Vec::new()).is_none());
                        }
                        Kind::RequestBody => {
                            let (offset, piece) = frame.piece().unwrap();
                            let body = self.bodies.get_mut(&frame.number).expect("it has begun");
                            assert_eq!(offset, body.len() as u64);
                            body.extend_from_slice(piece);
                        }
                        Kind::Close => {
                            let found = self.bodies.remove(&frame.number).expect("it has begun");
                            assert_eq!(frame.number, u64::from(self.done), "in order, none twice");
                            assert!(found == body(self.done), "capture {}", self.done);
                            assert_eq!(frame.closed().unwrap().request_bytes, found.len() as u64);
                            self.done += 1;
                        }
                        other => panic!("{other:?} was not written"),
                    }
                }
                Slot::End => {
                    fs::remove_file(&path).unwrap();
                    self.file = None;
                    self.number += 1;
                    self.at = SEGMENT_HEADER_BYTES as u64;
                }
                Slot::Empty => return,
                bad => panic!("segment {} at {}: {bad:?}", self.number, self.at),
            }
        }
    }
}

/// Red if a reader that keeps up meets anything but what was written, in order, once, although files are written again; red
/// if they are not.
#[test]
fn files_are_used_again_and_nobody_reads_what_they_held() {
    let data = tempfile::tempdir().unwrap();
    let (mut files, service) = make(data.path(), small());
    service.captures().configure(Some(64 * MIB));
    let row = &mut files.captures;
    let writing = AtomicBool::new(true);
    let total = 600;
    let reader = std::thread::scope(|scope| {
        let reading = scope.spawn(|| {
            let mut reader = Reader::new(data.path());
            let start = std::time::Instant::now();
            while reader.done < total {
                reader.read();
                assert!(start.elapsed().as_secs() < 60 || writing.load(Ordering::Relaxed));
                std::thread::yield_now();
            }
            reader
        });
        for n in 0..total {
            wait_until("room", || write(row, n));
        }
        writing.store(false, Ordering::Relaxed);
        reading.join().unwrap()
    });
    println!("{} segments in {} files", reader.number + 1, reader.files.len());
    assert!(reader.number > 100, "{} segments", reader.number);
    assert!(
        (reader.files.len() as u64) < reader.number / 2,
        "files are used again"
    );
    service.stop();
    drop(files);
    let left: Vec<_> = fs::read_dir(data.path().join("journal/00000001"))
        .unwrap()
        .flatten()
        .map(|file| file.file_name().to_string_lossy().into_owned())
        .filter(|name| name.starts_with(".cap"))
        .collect();
    assert!(left.is_empty(), "hidden names are gone at the end: {left:?}");
}

/// Red if more waits on disk than may, if what has begun cannot be ended then, if the journal suffers, or if nothing goes on when
/// somebody reads again.
#[test]
fn the_row_ends_at_its_limit_and_goes_on_behind_it() {
    let data = tempfile::tempdir().unwrap();
    let (mut files, service) = make(data.path(), small());
    let status = service.capture_status();
    let limit = 5 * MIB;
    service.captures().configure(Some(limit));
    let row = &mut files.captures;
    let mut open = Vec::new();
    // Half of them stay open.
    let piece = vec![7; 30_000];
    let mut refused = 0;
    let mut n = 0;
    wait_until("the end", || {
        // Before the limit it is refused as well, while the next segment is being prepared.
        let full = status().full;
        match row.begin(&opened(n)) {
            Ok(number) => {
                row.piece(number, Kind::AnswerBody, 0, &piece);
                if n.is_multiple_of(2) {
                    row.close(number, &closed(n, 0)).unwrap();
                } else {
                    open.push(number);
                }
                n += 1;
            }
            Err(Full) => refused += u32::from(full),
        }
        refused > 100
    });
    assert!(on_disk(data.path()).1 <= limit);
    assert!(
        status().bytes <= limit && status().failures == 1,
        "{:?}",
        status()
    );
    assert!(!row.is_behind());
    assert_eq!(
        row.piece(open[0], Kind::AnswerBody, 30_000, &piece),
        0,
        "no room for a body"
    );
    let ends = open.len().min(64);
    for number in open.drain(..ends) {
        assert_eq!(row.close(number, &closed(0, 1)), Ok(()), "ends have their room");
    }
    let entry = Entry::Usage(Box::new(draft(1)));
    assert_eq!(files.journal.append(&entry), Ok(()));
    for number in 0..3 {
        fs::remove_file(segment(data.path(), number)).unwrap();
    }
    wait_until("room", || files.captures.begin(&opened(0)).is_ok());
    assert!(on_disk(data.path()).1 <= limit);
    // A reserve that the file system cannot leave: no room at all, and the journal works.
    let data = tempfile::tempdir().unwrap();
    let (mut files, service) = make(
        data.path(),
        CaptureOptions {
            reserve_bytes: u64::MAX,
            ..small()
        },
    );
    service.captures().configure(Some(64 * MIB));
    assert_eq!(files.captures.begin(&opened(0)), Err(Full));
    assert_eq!(on_disk(data.path()).0, 0);
    assert_eq!(service.capture_status()().failures, 1);
    assert_eq!(files.journal.append(&entry), Ok(()));
}

/// Red if there are segments before they are wanted, or none for the first capture afterwards.
#[test]
fn there_are_segments_as_soon_as_they_are_wanted() {
    let data = tempfile::tempdir().unwrap();
    let (mut files, service) = make(data.path(), CaptureOptions::default());
    service.captures().configure(None);
    assert_eq!(files.captures.begin(&opened(0)), Err(Full));
    assert_eq!(on_disk(data.path()), (0, 0));
    service.captures().configure(Some(2 << 30));
    assert_eq!(files.captures.begin(&opened(0)), Ok(0));
    assert_eq!(on_disk(data.path()), (2, 16 * MIB));
    // Segments are smaller where less may wait.
    let data = tempfile::tempdir().unwrap();
    let (mut files, service) = make(data.path(), CaptureOptions::default());
    service.captures().configure(Some(8 * MIB));
    assert_eq!(files.captures.begin(&opened(0)), Ok(0));
    assert_eq!(on_disk(data.path()), (2, 4 * MIB));
}

/// Red if a head that is longer than a frame, or a frame of the longest payload, is lost.
#[test]
fn frames_of_every_length_find_their_place() {
    let data = tempfile::tempdir().unwrap();
    let (mut files, service) = make(data.path(), small());
    service.captures().configure(Some(64 * MIB));
    let row = &mut files.captures;
    let mut long = opened(0);
    long.headers = (0..4_000)
        .map(|n| (format!("x-{n}"), vec![b'v'; 100 + n]))
        .collect();
    long.target = "/".repeat(1 << 20);
    let number = row.begin(&long).unwrap();
    let head = AnswerHead {
        status: 200,
        headers: long.headers.clone(),
    };
    row.answer_head(number, &head).unwrap();
    let bytes: Vec<u8> = (0..3 * PAYLOAD_BYTES_MAX).map(|n| n.to_le_bytes()[0]).collect();
    let mut at = 0;
    while at < bytes.len() {
        wait_until("room", || row.has_room(PAYLOAD_BYTES_MAX));
        let end = (at + PAYLOAD_BYTES_MAX + 1).min(bytes.len());
        at += row.piece(number, Kind::AnswerBody, at as u64, &bytes[at..end]);
    }
    let mut end = closed(0, 0);
    end.record.path = "p".repeat(1 << 20);
    wait_until("room", || row.has_room(PAYLOAD_BYTES_MAX));
    row.close(number, &end).unwrap();
    let (mut kinds, mut answer) = (Vec::new(), Vec::new());
    for number in 0.. {
        let Ok(bytes) = fs::read(segment(data.path(), number)) else {
            break;
        };
        let mut at = SEGMENT_HEADER_BYTES;
        while let Slot::Frame(frame, length) = decode(&bytes[at..]) {
            at += length;
            if let Some((offset, piece)) = frame.piece() {
                assert_eq!(offset, answer.len() as u64);
                answer.extend_from_slice(piece);
            } else {
                kinds.push(frame.kind);
            }
            if let Some(opened) = frame.opened() {
                assert_eq!(opened.request_id, long.request_id);
                assert!(opened.headers.len() > 50 && opened.headers[0] == long.headers[0]);
            }
            assert!(frame.kind != Kind::Close || frame.closed().unwrap().record.path.len() > 500);
        }
    }
    assert!(answer == bytes);
    assert_eq!(kinds, [Kind::Open, Kind::AnswerHead, Kind::Close]);
}

/// A file system of its own, as small as it is asked for; gone when this is dropped.
struct Tmpfs(tempfile::TempDir);

impl Tmpfs {
    /// `None` where this user may mount nothing.
    fn mount(bytes: u64) -> Option<Self> {
        let place = tempfile::tempdir().unwrap();
        let mounted = Command::new("mount")
            .args(["-t", "tmpfs", "-o", &format!("size={bytes}"), "none"])
            .arg(place.path())
            .stderr(Stdio::null())
            .status();
        mounted.is_ok_and(|status| status.success()).then(|| Self(place))
    }
}

impl Drop for Tmpfs {
    fn drop(&mut self) {
        let _ = Command::new("umount").arg("-l").arg(self.0.path()).status();
    }
}

/// Red if captures take the last of a disk from the journal, or do not go on when there is room again.
#[test]
fn a_disk_that_is_nearly_full_is_left_to_the_journal() {
    let Some(disk) = Tmpfs::mount(4 * MIB) else {
        println!("skipped: this user may not mount a tmpfs");
        return;
    };
    let data = disk.0.path();
    let (mut files, service) = make(
        data,
        CaptureOptions {
            reserve_bytes: MIB,
            ..small()
        },
    );
    service.captures().configure(Some(1 << 30));
    let status = service.capture_status();
    let piece = vec![7; 100_000];
    wait_until("a full disk", || {
        if let Ok(number) = files.captures.begin(&opened(0)) {
            files.captures.piece(number, Kind::AnswerBody, 0, &piece);
            files.captures.close(number, &closed(0, 0)).unwrap();
        }
        status().full
    });
    let taken = on_disk(data).1;
    assert!((2 * MIB..3 * MIB).contains(&taken), "{taken}");
    // Longer than the segments of the journal that were there before.
    let mut journal = 0;
    for n in 0..1_500 {
        let entry = Entry::Usage(Box::new(draft(n)));
        wait_until("room in the journal", || files.journal.append(&entry).is_ok());
        journal += 1;
    }
    assert_eq!(
        (files.journal.appended(), service.status()().failures),
        (journal, 0)
    );
    while files.captures.begin(&opened(0)).is_ok() {}
    for number in 0..3 {
        fs::remove_file(segment(data, number)).unwrap();
    }
    wait_until("room", || files.captures.begin(&opened(0)).is_ok());
}

fn resident() -> u64 {
    let status = fs::read_to_string("/proc/self/smaps_rollup").unwrap();
    let line = status.lines().find_map(|line| line.strip_prefix("Rss:")).unwrap();
    line.split_whitespace().next().unwrap().parse::<u64>().unwrap() * 1_024
}

/// Red if captures that nobody reads stay in memory: more than what is held to be used again, for more than a moment.
#[test]
fn what_nobody_reads_lies_on_disk_and_not_in_memory() {
    let data = tempfile::tempdir().unwrap();
    let (mut files, service) = make(
        data.path(),
        CaptureOptions {
            reserve_bytes: 0,
            ..CaptureOptions::default()
        },
    );
    service.captures().configure(Some(400 * MIB));
    let before = resident();
    let row = &mut files.captures;
    let mut most = 0;
    let mut n = 0;
    let written = std::cell::Cell::new(0);
    while written.get() < 300 * MIB {
        wait_until("room", || write(row, n));
        written.set(written.get() + body(n).len() as u64);
        n += 1;
        if n.is_multiple_of(100) {
            most = most.max(resident().saturating_sub(before));
        }
    }
    println!(
        "{} MiB captured, {} MiB resident at most",
        written.get() / MIB,
        most / MIB
    );
    // What is held, and three segments that are written or ready.
    assert!(most <= 64 * MIB + 3 * 8 * MIB + 16 * MIB, "{} MiB", most / MIB);
    assert!(on_disk(data.path()).1 >= 300 * MIB);
    wait_until("memory is given back", || {
        resident().saturating_sub(before) < 32 * MIB
    });
}
