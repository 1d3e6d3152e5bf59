//! The account of one request: a slot in the in-flight table while it runs, one record when it ends.
//!
//! Whatever ends the request settles it, a panic included: the record is written when the tally is dropped
//! unsettled. The record of a complete answer is written *before* its last bytes go to the client, so no crash can
//! lose the record of a request that a client has seen complete; if those bytes do not arrive after all, an
//! amendment follows.
//!
//! The account holds what is reserved for the request, and every end settles it. What is charged follows from the
//! record: nothing before a provider had the whole request or began to answer it; after that what the provider
//! stated, or what the bytes tell where it stated too little (`quota/need.rs`).

use std::cell::Cell;
use std::rc::Rc;

use sluice_proto::http1::RequestHead;
use sluice_proto::meter::{Counts, Outcome};
use sluice_shared::api::ApiKind;
use sluice_shared::ids::{Epoch, RequestId};
use sluice_shared::policy::Watch;
use sluice_shared::quota::Unit;
use sluice_shared::quota::estimate::Sample;
use sluice_shared::quota::name::{Placeholder, Template, Values};
use sluice_shared::units::{MonoMicros, NanoUsd};
use sluice_shared::usage::{Action, Ended, Known, SessionSource, UsageRecord, VERDICTS_MAX, Verdict};
use sluice_shared::wire::inflight::Counter;
use sluice_shared::wire::journal::Entry;
use smallvec::SmallVec;

use crate::capture::{Capturing, Tap};
use crate::clock;
use crate::config::Config;
use crate::journal::SlotId;
use crate::policy::{Candidate, Policy};
use crate::quota::Reservation;
use crate::quota::need;
use crate::shard::Shard;

/// A running request reserves this part of what it has used ahead.
const STEPS: u64 = 16;

/// See the module.
pub(crate) struct Tally {
    shard: Rc<Shard>,
    record: Option<Box<UsageRecord>>,
    slot: Option<SlotId>,
    pub(crate) request_id: RequestId,
    pub(crate) started: MonoMicros,
    /// Model as it was named to the provider that serves it; empty before one was tried.
    pub(crate) model_sent: String,
    /// A provider has the whole request.
    sent: Cell<bool>,
    /// When it had, in microseconds since the head of the request.
    queued_us: Cell<Option<u64>>,
    /// What is reserved; `None` where no quota counts.
    spend: Option<Spend>,
    /// It counts among the answers that are being streamed.
    streaming: bool,
    /// Bytes of the answer that had come when its budget was last looked at. Of a stream that is cut the client gets fewer,
    /// and the provider made them all the same.
    received: u64,
    /// What becomes of its capture.
    capture: Capturing,
}

/// What a request has reserved.
pub(crate) struct Spend {
    reservation: Reservation,
    /// What for, in the order of the reservation.
    lines: Lines,
    /// Any of them cuts.
    cuts: bool,
}

pub(crate) type Lines = SmallVec<[Line; 4]>;

/// One bucket that a request takes from.
pub(crate) struct Line {
    /// Name of its quota, with placeholders.
    pub(crate) quota: Rc<str>,
    pub(crate) unit: Unit,
    /// A stream that uses it up is cut.
    pub(crate) cut: bool,
    /// What is reserved is the most that the request can use: an estimate above it is wrong.
    pub(crate) strict: bool,
}

impl Spend {
    /// `lines` in the order of what was reserved.
    pub(crate) fn new(reservation: Reservation, lines: Lines) -> Self {
        let cuts = lines.iter().any(|line| line.cut);
        Self {
            reservation,
            lines,
            cuts,
        }
    }

    /// Whether a stream may have to be cut.
    pub(crate) fn cuts(&self) -> bool {
        self.cuts
    }
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
            sent: Cell::new(false),
            queued_us: Cell::new(None),
            spend: None,
            streaming: false,
            received: 0,
            capture: Capturing::default(),
        }
    }

    /// Says who looks at the request, for each provider that is tried; `None`: it reaches none.
    pub(crate) fn watched(&mut self, config: &Config, watch: Option<(&Watch, &Policy)>) {
        if let Some(record) = &self.record
            && !self.shard.process.bare
        {
            self.capture.watched(&self.shard, config, watch, record);
        }
    }

    /// Begins the capture, if one is wanted, with the head that a provider is to get. `false`: it finds no room, and nothing may
    /// go uncaptured.
    pub(crate) fn capture_sent(
        &mut self,
        config: &Config,
        candidate: &Candidate,
        head: &[u8],
        body_bytes: u64,
    ) -> bool {
        let Some(record) = &mut self.record else {
            return true;
        };
        self.capture
            .open(&self.shard, config, candidate, record, head, body_bytes)
    }

    /// Captures a request that no provider gets: its head as it came, and its body, as it may be kept.
    pub(crate) fn capture_unsent<'a>(
        &mut self,
        config: &Config,
        head: (&[u8], &RequestHead),
        body: impl Iterator<Item = &'a [u8]>,
    ) {
        if let Some(record) = &mut self.record {
            self.capture
                .unsent(&self.shard, config, record, &self.model_sent, head, body);
        }
    }

    /// Captures an answer that Sluice makes itself, as it goes out.
    pub(crate) fn capture_own_answer(&self, status: u16, message: &[u8]) {
        if let Some(tap) = self.capture.tap() {
            tap.own_answer(status, message);
        }
    }

    /// The capture, if one has begun: what passes is handed to it.
    pub(crate) fn tap(&self) -> Option<&Tap> {
        self.capture.tap()
    }

    /// Adds a verdict to the record, whose number of them is bounded: the last place is for one that ends the request.
    pub(crate) fn judged(&mut self, verdict: Verdict) {
        let Some(record) = &mut self.record else { return };
        if record.verdicts.len() < VERDICTS_MAX {
            record.verdicts.push(verdict);
        } else if verdict.action == Action::Block
            && let Some(last) = record.verdicts.last_mut()
        {
            *last = verdict;
        }
    }

    /// The record in the making; `None` once it is written.
    pub(crate) fn record(&mut self) -> Option<&mut UsageRecord> {
        self.record.as_deref_mut()
    }

    /// The session that the client named, for the budgets of sessions. A fingerprint names none: every first message would
    /// have a budget of its own.
    pub(crate) fn session(&self) -> Option<&str> {
        let record = self.record.as_ref()?;
        let named = record.session_source != SessionSource::Fingerprint;
        record.session.as_deref().filter(|_| named)
    }

    /// Whether nothing is metered or recorded.
    pub(crate) fn is_bare(&self) -> bool {
        self.shard.process.bare
    }

    /// Gives back what is reserved: another provider is tried, and may need other buckets.
    pub(crate) fn release(&mut self) {
        self.spend = None;
        if let Some(record) = &mut self.record {
            record.charges.clear();
        }
    }

    /// Takes over what is reserved. The record in the making says so, for the case that the process dies; a place among
    /// the running requests is not spent by that.
    pub(crate) fn reserve(&mut self, spend: Spend) {
        if let Some(record) = &mut self.record {
            let charges = spend.reservation.charges().into_iter();
            record.charges.clear();
            record
                .charges
                .extend(charges.filter(|charge| charge.unit != Unit::Concurrency));
        }
        self.spend = Some(spend);
    }

    /// Whether a stream may have to be cut.
    pub(crate) fn may_cut(&self) -> bool {
        self.spend.as_ref().is_some_and(Spend::cuts)
    }

    /// Whether a provider has the whole request.
    pub(crate) fn note_sent(&self, whole: bool) {
        self.sent.set(whole);
        self.queued_us
            .set(whole.then(|| clock::mono_now().since(self.started)));
    }

    /// Another provider is tried.
    pub(crate) fn attempt(&mut self) {
        if let Some(record) = &mut self.record {
            record.attempts = record.attempts.saturating_add(1);
        }
    }

    /// Reserves what a running request has used beyond its reservation. Returns the quota that has no more, if a stream
    /// is to be cut for it; without one, what is used too much is charged at the end.
    pub(crate) fn keep_pace(&mut self, counts: Counts, response_bytes: u64) -> Option<Rc<str>> {
        self.received = response_bytes;
        let (spend, record) = (self.spend.as_mut()?, self.record.as_deref()?);
        let shard = &self.shard;
        let estimates = shard.estimates.borrow();
        let learnt = estimates.of(&record.provider, &self.model_sent);
        let used = need::running(record, counts, response_bytes, learnt);
        let stated = need::stated(counts);
        let money = spend.lines.iter().any(|line| line.unit == Unit::Usd);
        let price = money.then(|| shard.price(&record.provider, &self.model_sent, None));
        let price = price.flatten();
        let mut empty = None;
        for (index, line) in spend.lines.iter().enumerate() {
            if !matches!(line.unit, Unit::Usd | Unit::Tokens) {
                continue;
            }
            let used = if line.strict { stated } else { used };
            let used = used.amount(line.unit, price.as_deref());
            let more = used.saturating_sub(spend.reservation.reserved(index));
            if more == 0 {
                continue;
            }
            // A step ahead, so that a stream does not come back for every event; or else what it takes.
            let ahead = more.saturating_add(used / STEPS);
            let extended = spend.reservation.extend(index, ahead)
                || spend.reservation.extend(index, more)
                || (!line.cut && extend_partly(&mut spend.reservation, index, more));
            if !extended && line.cut && empty.is_none() {
                empty = Some(Rc::clone(&line.quota));
            }
        }
        empty
    }

    /// The bucket of a quota that this request takes from; `<group>` stays as it is.
    pub(crate) fn bucket_name(&self, quota: &str) -> String {
        let mut name = quota.to_owned();
        if let (Some(record), Ok(template)) = (&self.record, Template::parse(quota)) {
            let values = Values {
                user: &record.user,
                node: &record.node,
                group: Placeholder::Group.text(),
                model: &self.model_sent,
                provider: &record.provider,
                session: record.session.as_deref(),
            };
            template.fill(&values, &mut name);
        }
        name
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
        if record.stream && !self.streaming {
            self.streaming = true;
            self.shard.streaming.set(self.shard.streaming.get() + 1);
        }
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
        record.queued_us = self.queued_us.get();
        record.response_bytes = response_bytes;
        let began = outcome.is_some();
        if let Some(outcome) = outcome {
            take_outcome(&mut record, outcome);
        }
        let spend = self.spend.take();
        if spend.is_some() {
            self.state_usage(&mut record, began);
        }
        if !record.api.billed() {
            record.cost = Some(NanoUsd(0));
            record.priced = true;
        } else if record.ended != Ended::Blocked || began {
            let sent = Some(&self.model_sent).filter(|sent| !sent.is_empty());
            let sent = sent.unwrap_or(&record.model_asked);
            let shard = &self.shard;
            let price = shard.price(&record.provider, sent, record.model_answered.as_deref());
            record.priced = price.is_some();
            record.cost = price
                .filter(|_| record.usage_known != Known::Unknown)
                .and_then(|price| shard.cost(&record.provider, &price, &record.usage));
        }
        record.charges.clear();
        if let Some(spend) = spend {
            self.charge(&mut record, spend, began);
        }
        let record = self.capture.settle(&self.shard, record);
        let shard = &self.shard;
        shard.metrics.borrow_mut().record(&record);
        self.append(&Entry::Usage(record));
        if let Some(slot) = self.slot.take() {
            self.shard.in_flight.borrow_mut().free(slot);
        }
    }

    /// Fills in what nobody stated, where a quota wants to know.
    fn state_usage(&self, record: &mut UsageRecord, began: bool) {
        let estimates = self.shard.estimates.borrow();
        let sent = self.sent.get();
        let passed_on = record.response_bytes;
        record.response_bytes = passed_on.max(self.received);
        if let Some(usage) = need::estimate_unstated(record, &self.model_sent, &estimates, sent, began) {
            record.usage = usage;
            record.usage_known = Known::Estimated;
        }
        record.response_bytes = passed_on;
    }

    /// Charges what the record says. Dropping a reservation charges nothing.
    fn charge(&self, record: &mut UsageRecord, spend: Spend, began: bool) {
        if !self.sent.get() && !began {
            return;
        }
        let lines = spend.lines.iter().enumerate();
        let used = lines.map(|(index, line)| {
            let used = need::used(line.unit, record);
            if line.strict && record.usage_known == Known::Estimated {
                used.min(spend.reservation.reserved(index))
            } else {
                used
            }
        });
        let used: SmallVec<[u64; 4]> = used.collect();
        record.charges.extend(spend.reservation.settle(&used));
        if let Some(sample) = Sample::of(record) {
            let mut estimates = self.shard.estimates.borrow_mut();
            estimates.learn(&record.provider, &self.model_sent, &sample);
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
        if self.streaming {
            let left = self.shard.streaming.get().saturating_sub(1);
            self.shard.streaming.set(left);
        }
    }
}

/// Reserves as much as can be had of an amount that cannot be had whole, by halves. Returns whether all of it came after
/// all.
fn extend_partly(reservation: &mut Reservation, index: usize, more: u64) -> bool {
    let (mut left, mut step) = (more, more / 2);
    while step > 0 {
        if reservation.extend(index, step) {
            left = left.saturating_sub(step);
            step = step.min(left);
        } else {
            step /= 2;
        }
    }
    left == 0
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
