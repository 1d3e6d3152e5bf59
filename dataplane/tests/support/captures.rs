//! Capture segments as the control plane reads them.

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};

use sluice_shared::usage::{Capture, UsageRecord};
use sluice_shared::wire::capture::{AnswerHead, Closed, Kind, Opened, SegmentHeader, Slot, decode};
use sluice_shared::wire::journal::SEGMENT_HEADER_BYTES;

/// One capture, put together.
#[derive(Clone, Debug)]
pub struct Captured {
    pub opened: Opened,
    pub request: Vec<u8>,
    pub head: Option<AnswerHead>,
    pub answer: Vec<u8>,
    pub closed: Option<Closed>,
}

impl Captured {
    /// The value of the one field of this name in the request.
    pub fn field(&self, name: &str) -> Option<String> {
        value(&self.opened.headers, name)
    }

    /// The value of the one field of this name in the answer.
    pub fn answer_field(&self, name: &str) -> Option<String> {
        value(&self.head.as_ref()?.headers, name)
    }

    pub fn status(&self) -> Option<u16> {
        self.head.as_ref().map(|head| head.status)
    }

    pub fn record(&self) -> &UsageRecord {
        &self.closed.as_ref().unwrap().record
    }
}

fn value(fields: &[(String, Vec<u8>)], name: &str) -> Option<String> {
    let mut found = fields.iter().filter(|(n, _)| n.eq_ignore_ascii_case(name));
    let value = found.next()?;
    assert!(found.next().is_none(), "{name} is repeated: {fields:?}");
    Some(String::from_utf8_lossy(&value.1).into_owned())
}

/// The capture segments of a data directory, in order.
pub fn segments(data_dir: &Path) -> Vec<PathBuf> {
    let mut segments: Vec<PathBuf> = Vec::new();
    for incarnation in fs::read_dir(data_dir.join("journal"))
        .into_iter()
        .flatten()
        .flatten()
    {
        let files = fs::read_dir(incarnation.path()).into_iter().flatten().flatten();
        segments.extend(files.map(|file| file.path()));
    }
    segments.retain(|path| path.extension().is_some_and(|kind| kind == "cap"));
    segments.sort();
    segments
}

/// Every capture that somebody wants, in the order in which they began on their shard.
pub fn captures(data_dir: &Path) -> Vec<Captured> {
    let mut found: BTreeMap<(u16, u64), Captured> = BTreeMap::new();
    for path in segments(data_dir) {
        let bytes = fs::read(&path).unwrap();
        let header = SegmentHeader::decode(&bytes);
        let header = header.expect("a segment bears its name only when its header stands");
        let mut at = SEGMENT_HEADER_BYTES;
        while let Some(rest) = bytes.get(at..) {
            match decode(rest) {
                Slot::Frame(frame, length) => {
                    at += length;
                    let key = (header.shard.0, frame.number);
                    if frame.kind == Kind::Open {
                        let captured = Captured {
                            opened: frame.opened().unwrap(),
                            request: Vec::new(),
                            head: None,
                            answer: Vec::new(),
                            closed: None,
                        };
                        let before = found.insert(key, captured);
                        assert!(
                            before.is_none_or(|before| before.closed.is_none()),
                            "a number is used twice"
                        );
                        continue;
                    }
                    let captured = found.get_mut(&key).expect("a capture begins with its head");
                    assert!(captured.closed.is_none(), "{:?} behind the end", frame.kind);
                    match frame.kind {
                        Kind::Open => {}
                        Kind::RequestBody => append(&mut captured.request, frame.piece().unwrap()),
                        Kind::AnswerBody => append(&mut captured.answer, frame.piece().unwrap()),
                        Kind::AnswerHead => captured.head = Some(frame.answer_head().unwrap()),
                        Kind::Close => captured.closed = Some(frame.closed().unwrap()),
                    }
                }
                Slot::End | Slot::Empty => break,
                bad => panic!("{} at {at}: {bad:?}", path.display()),
            }
        }
    }
    let wanted = |captured: &Captured| captured.opened.keep || !captured.opened.events.is_empty();
    found.into_values().filter(wanted).collect()
}

fn append(body: &mut Vec<u8>, (offset, bytes): (u64, &[u8])) {
    assert_eq!(offset, body.len() as u64, "pieces follow each other");
    body.extend_from_slice(bytes);
}

/// Holds the captures that have ended against the records: as many as say that theirs was written, each with its record.
pub fn reconcile(captures: &[Captured], records: &[UsageRecord]) {
    let written = records.iter().filter(|record| record.capture == Capture::Written);
    let mut written: Vec<&UsageRecord> = written.collect();
    for captured in captures.iter().filter(|captured| captured.closed.is_some()) {
        let id = captured.opened.request_id;
        let at = written.iter().position(|record| record.request_id == id);
        let record = written.remove(at.expect("a capture without its record"));
        let kept = captured.record();
        assert_eq!((kept.capture, kept.cost), (Capture::Written, record.cost));
        assert_eq!(captured.opened.user, record.user);
    }
    assert!(written.is_empty(), "records without their capture: {written:#?}");
}
