//! What was served: one entry a request, kept in a ring, so that kill and disconnect tests can reconcile.

use std::collections::{BTreeMap, VecDeque};

use serde::Serialize;

/// How a request ended, as the mock saw it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, serde::Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Ending {
    /// Still being read or answered.
    Running,
    /// The whole answer was handed to the kernel.
    Complete,
    /// The mock broke it off, as it was told to.
    Cut,
    /// The peer closed in good order before the end.
    ClientClosed,
    /// The peer reset the connection before the end.
    ClientReset,
    /// The request was not to be understood.
    Refused,
}

/// One request.
#[derive(Clone, Debug, Serialize, serde::Deserialize)]
pub struct Entry {
    /// Number in the order of arrival, from 1.
    pub seq: u64,
    /// `x-mock-id` of the request.
    pub id: Option<String>,
    /// Id of the answer, as in its body behind the prefix.
    pub answer_id: Option<String>,
    /// `x-sluice-request-id`, if a gateway sent one.
    pub gateway_id: Option<String>,
    /// API kind.
    pub api: String,
    /// Headers that were to be noted and were there.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub headers: BTreeMap<String, String>,
    /// Path and query.
    pub target: String,
    /// Model with its suffix.
    pub model: String,
    /// Whether the answer was a stream.
    pub stream: bool,
    /// Status answered; 0 if none was.
    pub status: u16,
    /// Input tokens stated.
    pub input_tokens: u64,
    /// Output tokens stated.
    pub output_tokens: u64,
    /// Bytes of the request's body.
    pub body_bytes: u64,
    /// CRC-32C of the request's body, hex; empty until it has come whole.
    pub body_crc32c: String,
    /// Events of the answer as planned.
    pub events: u64,
    /// Events handed to the kernel in full.
    pub events_sent: u64,
    /// How it ended.
    pub ended: Ending,
    /// When the head had come, in Unix microseconds.
    pub started_us: u64,
    /// When it ended, in Unix microseconds; 0 while it runs.
    pub ended_us: u64,
}

/// The ring of entries.
pub(super) struct Ledger {
    entries: VecDeque<Entry>,
    next: u64,
    max: usize,
}

impl Ledger {
    pub(super) fn new(max: usize) -> Self {
        Self {
            entries: VecDeque::new(),
            next: 1,
            max: max.max(1),
        }
    }

    /// Adds a running entry; gives its number.
    pub(super) fn begin(&mut self, mut entry: Entry) -> u64 {
        let seq = self.next;
        self.next += 1;
        entry.seq = seq;
        if self.entries.len() >= self.max {
            self.entries.pop_front();
        }
        self.entries.push_back(entry);
        seq
    }

    /// The entry with this number, unless it has left the ring.
    pub(super) fn entry(&mut self, seq: u64) -> Option<&mut Entry> {
        let first = self.entries.front()?.seq;
        let at = usize::try_from(seq.checked_sub(first)?).ok()?;
        self.entries.get_mut(at)
    }

    pub(super) fn since(&self, since: u64, limit: usize) -> Vec<Entry> {
        let first = self.entries.front().map_or(0, |entry| entry.seq);
        let skipped = usize::try_from((since + 1).saturating_sub(first)).unwrap_or(usize::MAX);
        self.entries.iter().skip(skipped).take(limit).cloned().collect()
    }

    /// The latest entry with this `x-mock-id`.
    pub(super) fn find(&self, id: &str) -> Option<Entry> {
        self.entries
            .iter()
            .rev()
            .find(|entry| entry.id.as_deref() == Some(id))
            .cloned()
    }

    /// Number of requests ever, and of those no longer kept.
    pub(super) fn counts(&self) -> (u64, u64) {
        let total = self.next - 1;
        (total, total - self.entries.len() as u64)
    }

    /// Forgets all entries; numbers go on.
    pub(super) fn clear(&mut self) {
        self.entries.clear();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn entry() -> Entry {
        Entry {
            seq: 0,
            id: None,
            answer_id: None,
            gateway_id: None,
            api: String::new(),
            headers: BTreeMap::new(),
            target: String::new(),
            model: String::new(),
            stream: false,
            status: 0,
            input_tokens: 0,
            output_tokens: 0,
            body_bytes: 0,
            body_crc32c: String::new(),
            events: 0,
            events_sent: 0,
            ended: Ending::Running,
            started_us: 0,
            ended_us: 0,
        }
    }

    #[test]
    fn the_ring_forgets_the_oldest_and_keeps_numbers() {
        let mut ledger = Ledger::new(3);
        for n in 1..=5 {
            assert_eq!(ledger.begin(entry()), n);
        }
        assert!(ledger.entry(2).is_none());
        assert_eq!(ledger.entry(4).unwrap().seq, 4);
        assert_eq!(
            ledger.since(3, 10).iter().map(|e| e.seq).collect::<Vec<_>>(),
            [4, 5]
        );
        assert_eq!(
            ledger.since(0, 2).iter().map(|e| e.seq).collect::<Vec<_>>(),
            [3, 4]
        );
        assert_eq!(ledger.counts(), (5, 2));
        ledger.clear();
        assert_eq!(ledger.begin(entry()), 6);
        assert_eq!(ledger.entry(6).unwrap().seq, 6);
    }
}
