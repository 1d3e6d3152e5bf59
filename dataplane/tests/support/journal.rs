//! The journal as the control plane reads it.

use std::fs;
use std::path::{Path, PathBuf};

use sluice_shared::usage::UsageRecord;
use sluice_shared::wire::inflight::{SLOT_BYTES, recover};
use sluice_shared::wire::journal::{Entry, SEGMENT_HEADER_BYTES, SegmentHeader, Slot, decode};

/// Every entry of every segment of a data directory, in order within a shard.
pub fn entries(data_dir: &Path) -> Vec<Entry> {
    let mut segments: Vec<PathBuf> = Vec::new();
    let Ok(incarnations) = fs::read_dir(data_dir.join("journal")) else {
        return Vec::new();
    };
    for incarnation in incarnations.flatten() {
        let Ok(files) = fs::read_dir(incarnation.path()) else {
            continue;
        };
        segments.extend(files.flatten().map(|file| file.path()));
    }
    segments.retain(|path| path.extension().is_some_and(|kind| kind == "seg"));
    segments.sort();
    let mut out = Vec::new();
    for path in segments {
        let bytes = fs::read(&path).unwrap();
        SegmentHeader::decode(&bytes).expect("a segment bears its name only when its header stands");
        let mut at = SEGMENT_HEADER_BYTES;
        while let Some(rest) = bytes.get(at..) {
            match decode(rest) {
                Slot::Entry(entry, length) => {
                    out.push(*entry);
                    at += length;
                }
                Slot::End | Slot::Empty => break,
                bad => panic!("{} at {at}: {bad:?}", path.display()),
            }
        }
    }
    out
}

/// The usage records, amendments applied.
pub fn records(data_dir: &Path) -> Vec<UsageRecord> {
    let mut out: Vec<UsageRecord> = Vec::new();
    for entry in entries(data_dir) {
        match entry {
            Entry::Usage(record) => out.push(*record),
            Entry::Amend {
                request_id, ended, ..
            } => {
                let amended = out.iter_mut().find(|record| record.request_id == request_id);
                amended.expect("an amendment follows its record").ended = ended;
            }
        }
    }
    out
}

/// Slots of the in-flight tables that are occupied: requests that a crash would now leave as `aborted`.
pub fn occupied_slots(data_dir: &Path) -> usize {
    interrupted(data_dir).len()
}

/// The records that a crash would now leave.
pub fn interrupted(data_dir: &Path) -> Vec<UsageRecord> {
    let incarnations = fs::read_dir(data_dir.join("journal"))
        .into_iter()
        .flatten()
        .flatten();
    let files = incarnations.flat_map(|dir| fs::read_dir(dir.path()).into_iter().flatten().flatten());
    let tables = files
        .map(|file| file.path())
        .filter(|path| path.extension().is_some_and(|kind| kind == "inflight"));
    tables
        .flat_map(|path| {
            let bytes = fs::read(path).unwrap();
            let slots = bytes.chunks(SLOT_BYTES);
            slots.filter_map(recover).collect::<Vec<_>>()
        })
        .collect()
}
