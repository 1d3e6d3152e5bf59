//! A data plane's side of the journal, written by hand after the layout's description: preallocated segments, one made
//! ahead, length words stored last; in-flight tables of whole slots.

#![allow(dead_code, reason = "each test binary uses a part")]

use std::collections::BTreeMap;
use std::fs::File;
use std::os::unix::fs::FileExt as _;
use std::path::{Path, PathBuf};

use sluice_shared::ids::ShardId;
use sluice_shared::usage::UsageRecord;
use sluice_shared::wire::inflight::{self, Counter};
use sluice_shared::wire::journal::{
    END_OF_SEGMENT, Entry, SEGMENT_HEADER_BYTES, SegmentHeader, encode, record_bytes, record_tail,
};

const SEGMENT_BYTES: u64 = 8 << 10;

/// A slot of an in-flight table: the draft and the counters that are known.
pub(crate) type Slot<'a> = Option<(&'a UsageRecord, &'a [(Counter, u64)])>;

/// The journal of one incarnation.
pub(crate) struct Writer {
    pub(crate) directory: PathBuf,
    number: u64,
    lock: Option<File>,
    /// Of each shard the segment and the byte that is written next.
    pub(crate) rows: BTreeMap<u16, (u64, u64)>,
}

impl Writer {
    pub(crate) fn new(data: &Path, number: u64) -> Self {
        let directory = data.join("journal").join(format!("{number:08}"));
        // A directory appears with its lock held.
        let fresh = data.join("journal").join(format!(".new-{number}"));
        std::fs::create_dir_all(&fresh).unwrap();
        let lock = File::create(fresh.join("lock")).unwrap();
        lock.try_lock().unwrap();
        std::fs::rename(&fresh, &directory).unwrap();
        Self {
            directory,
            number,
            lock: Some(lock),
            rows: BTreeMap::new(),
        }
    }

    pub(crate) fn segment(&self, shard: u16, number: u64) -> PathBuf {
        self.directory.join(format!("{shard:03}-{number:08}.seg"))
    }

    /// Segments are made one ahead.
    pub(crate) fn make(&self, shard: u16, number: u64) {
        let path = self.segment(shard, number);
        if path.exists() {
            return;
        }
        let draft = path.with_extension("draft");
        let file = File::create(&draft).unwrap();
        file.set_len(SEGMENT_BYTES).unwrap();
        let header = SegmentHeader {
            incarnation: self.number,
            shard: ShardId(shard),
            number,
        };
        file.write_all_at(&header.encode(), 0).unwrap();
        std::fs::rename(&draft, &path).unwrap();
    }

    pub(crate) fn append(&mut self, shard: u16, entry: &Entry) {
        let payload = encode(entry).unwrap();
        let bytes = record_bytes(payload.len()) as u64;
        if !self.rows.contains_key(&shard) {
            self.make(shard, 0);
            self.make(shard, 1);
            self.rows.insert(shard, (0, SEGMENT_HEADER_BYTES as u64));
        }
        let (mut number, mut offset) = self.rows[&shard];
        // Room for the end mark is kept.
        if offset + bytes + 16 > SEGMENT_BYTES {
            let file = File::options()
                .write(true)
                .open(self.segment(shard, number))
                .unwrap();
            file.write_all_at(&END_OF_SEGMENT.to_le_bytes(), offset).unwrap();
            (number, offset) = (number + 1, SEGMENT_HEADER_BYTES as u64);
            self.make(shard, number + 1);
        }
        let file = File::options()
            .write(true)
            .open(self.segment(shard, number))
            .unwrap();
        file.write_all_at(&payload, offset + 16).unwrap();
        file.write_all_at(&record_tail(&payload), offset + 4).unwrap();
        file.write_all_at(&u32::try_from(payload.len()).unwrap().to_le_bytes(), offset)
            .unwrap();
        self.rows.insert(shard, (number, offset + bytes));
    }

    pub(crate) fn usage(&mut self, shard: u16, record: &UsageRecord) {
        self.append(shard, &Entry::Usage(Box::new(record.clone())));
    }

    pub(crate) fn in_flight(&self, shard: u16, slots: &[Slot<'_>]) {
        let mut bytes = Vec::new();
        for slot in slots {
            let mut out = vec![0; inflight::SLOT_BYTES];
            if let Some((record, counters)) = slot {
                let draft = inflight::encode_draft(record).unwrap();
                let (length, crc) = inflight::draft_words(&draft).unwrap();
                out[..4].copy_from_slice(&inflight::RUNNING.to_le_bytes());
                out[4..8].copy_from_slice(&length.to_le_bytes());
                out[8..12].copy_from_slice(&crc.to_le_bytes());
                out[inflight::COUNTERS_AT..inflight::DRAFT_AT].fill(0xff);
                for (which, value) in *counters {
                    let at = inflight::COUNTERS_AT + *which as usize * 8;
                    out[at..at + 8].copy_from_slice(&value.to_le_bytes());
                }
                out[inflight::DRAFT_AT..inflight::DRAFT_AT + draft.len()].copy_from_slice(&draft);
            }
            bytes.extend_from_slice(&out);
        }
        std::fs::write(self.directory.join(format!("{shard:03}.inflight")), bytes).unwrap();
    }

    /// A record whose writer died before it was published.
    pub(crate) fn torn(&self, shard: u16, record: &UsageRecord) {
        let Some((number, offset)) = self.rows.get(&shard).copied() else {
            return;
        };
        let payload = encode(&Entry::Usage(Box::new(record.clone()))).unwrap();
        let room = SEGMENT_BYTES - offset;
        let file = File::options()
            .write(true)
            .open(self.segment(shard, number))
            .unwrap();
        if room > payload.len() as u64 + 16 {
            file.write_all_at(&payload, offset + 16).unwrap();
            file.write_all_at(&record_tail(&payload), offset + 4).unwrap();
        }
    }

    /// What a kill does: the lock is free, the files stay.
    pub(crate) fn die(&mut self) {
        self.lock = None;
    }
}
