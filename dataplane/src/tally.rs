//! The account of one request: a slot in the in-flight table while it runs, one record when it ends.
//!
//! Whatever ends the request settles it, a panic included: the record is written when the tally is dropped
//! unsettled. The record of a complete answer is written *before* its last bytes go to the client, so no crash can
//! lose the record of a request that a client has seen complete; if those bytes do not arrive after all, an
//! amendment follows.

use std::rc::Rc;

use sluice_proto::meter::{Counts, Outcome};
use sluice_shared::api::ApiKind;
use sluice_shared::ids::{Epoch, RequestId};
use sluice_shared::units::{MonoMicros, NanoUsd};
use sluice_shared::usage::{Ended, Known, UsageRecord};
use sluice_shared::wire::inflight::Counter;
use sluice_shared::wire::journal::Entry;

use crate::clock;
use crate::journal::SlotId;
use crate::shard::Shard;

/// See the module.
pub(crate) struct Tally {
    shard: Rc<Shard>,
    record: Option<Box<UsageRecord>>,
    slot: Option<SlotId>,
    pub(crate) request_id: RequestId,
    pub(crate) started: MonoMicros,
    /// Model as it was named to the provider that serves it; empty before one was tried.
    pub(crate) model_sent: String,
}

impl Tally {
    /// Opens the account.
    pub(crate) fn open(shard: &Rc<Shard>, epoch: Epoch, api: ApiKind, started: MonoMicros) -> Self {
        let time = clock::unix_now();
        let request_id = shard.request_id_at(time);
        let record = UsageRecord::draft(request_id, time, shard.id, epoch, api);
        shard.running.set(shard.running.get() + 1);
        Self {
            shard: shard.clone(),
            record: Some(Box::new(record)),
            slot: None,
            request_id,
            started,
            model_sent: String::new(),
        }
    }

    /// The record in the making; `None` once it is written.
    pub(crate) fn record(&mut self) -> Option<&mut UsageRecord> {
        self.record.as_deref_mut()
    }

    /// Whether nothing is metered or recorded.
    pub(crate) fn is_bare(&self) -> bool {
        self.shard.process.bare
    }

    /// Takes a slot in the in-flight table; from here on a crash leaves an `aborted` record. `false` if as many
    /// requests run as may.
    pub(crate) fn occupy(&mut self) -> bool {
        if self.shard.process.bare {
            return true;
        }
        let mut table = self.shard.in_flight.borrow_mut();
        // A second candidate: the slot is written anew, with the name of the provider that is tried now.
        if let Some(slot) = self.slot.take() {
            table.free(slot);
        }
        self.slot = self.record.as_ref().and_then(|record| table.take(record));
        self.slot.is_some()
    }

    /// Notes the first byte of the answer; later calls change nothing.
    pub(crate) fn first_byte(&mut self, status: u16, now: MonoMicros) {
        let since = now.since(self.started);
        let Some(record) = self.record.as_deref_mut() else {
            return;
        };
        if record.ttft_us.is_some() {
            return;
        }
        record.status = status;
        record.ttft_us = Some(since);
        self.count(Counter::Status, u64::from(status));
        self.count(Counter::Ttft, since);
    }

    /// Notes what is known so far, for the case that the process dies.
    pub(crate) fn so_far(&self, counts: Counts, response_bytes: u64, now: MonoMicros) {
        let Some(slot) = &self.slot else { return };
        let table = self.shard.in_flight.borrow();
        for (counter, value) in [
            (Counter::Input, counts.input),
            (Counter::Output, counts.output),
            (Counter::CachedRead, counts.cached_read),
            (Counter::CacheWrite, counts.cache_write),
            (Counter::ResponseBytes, Some(response_bytes)),
            (Counter::Duration, Some(now.since(self.started))),
        ] {
            if let Some(value) = value {
                table.update(slot, counter, value);
            }
        }
    }

    fn count(&self, counter: Counter, value: u64) {
        if let Some(slot) = &self.slot {
            self.shard.in_flight.borrow().update(slot, counter, value);
        }
    }

    /// Writes the record. The first call counts.
    pub(crate) fn settle(
        &mut self,
        ended: Ended,
        status: u16,
        outcome: Option<Outcome>,
        response_bytes: u64,
    ) {
        let Some(mut record) = self.record.take() else {
            return;
        };
        record.ended = ended;
        if status != 0 {
            record.status = status;
        }
        record.duration_us = clock::mono_now().since(self.started);
        record.response_bytes = response_bytes;
        if let Some(outcome) = outcome {
            take_outcome(&mut record, outcome);
        }
        if !record.api.billed() {
            record.cost = Some(NanoUsd(0));
            record.priced = true;
        } else if record.ended != Ended::Blocked {
            let sent = Some(&self.model_sent).filter(|sent| !sent.is_empty());
            let sent = sent.unwrap_or(&record.model_asked);
            let shard = &self.shard;
            let price = shard.price(&record.provider, sent, record.model_answered.as_deref());
            record.priced = price.is_some();
            record.cost = price
                .filter(|_| record.usage_known != Known::Unknown)
                .and_then(|price| shard.cost(&record.provider, &price, &record.usage));
        }
        let shard = &self.shard;
        shard.metrics.borrow_mut().record(&record);
        self.append(&Entry::Usage(record));
        if let Some(slot) = self.slot.take() {
            self.shard.in_flight.borrow_mut().free(slot);
        }
    }

    /// Corrects how a settled request ended.
    pub(crate) fn amend(&self, ended: Ended) {
        let duration_us = clock::mono_now().since(self.started);
        self.append(&Entry::Amend {
            request_id: self.request_id,
            ended,
            duration_us,
        });
    }

    fn append(&self, entry: &Entry) {
        if self.shard.process.bare {
            return;
        }
        let written = self.shard.journal.borrow_mut().append(entry).is_ok();
        let counts = &mut self.shard.metrics.borrow_mut().counts;
        if written {
            counts.journal_appended += 1;
        } else {
            counts.journal_dropped += 1;
        }
    }
}

impl Drop for Tally {
    fn drop(&mut self) {
        self.settle(Ended::Aborted, 0, None, 0);
        self.shard.running.set(self.shard.running.get().saturating_sub(1));
    }
}

fn take_outcome(record: &mut UsageRecord, outcome: Outcome) {
    record.usage_known = outcome.known;
    record.usage = outcome.usage;
    record.model_answered = outcome.model;
    record.stop_reason = outcome.stop_reason;
    record.tool_calls = outcome.tool_calls;
    let error = outcome.error.or(outcome.stream_error);
    // The provider's own word, if it had one; else what we noted ourselves stays.
    if let Some(mut word) = error.and_then(|e| e.kind.or(e.code)) {
        let end = (0..=word.len().min(128))
            .rev()
            .find(|at| word.is_char_boundary(*at))
            .unwrap_or(0);
        word.truncate(end);
        record.error = Some(word);
    }
}
