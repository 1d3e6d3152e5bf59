//! What a shard counts, and the text that Prometheus reads.
//!
//! A shard counts in plain integers of its own; nothing is shared while requests run. To show metrics, some thread
//! makes a [`MetricsCollector`] and sends it to every shard ([`ShardMessage::CollectMetrics`]); each hands in a copy,
//! and [`MetricsCollector::render`] adds them up. Times are microseconds inside and seconds outside, money is integer
//! nanodollars inside and dollars outside.
//!
//! Labels are bounded (`labels.rs`): whatever clients send, the number of time series has a limit.

use std::collections::HashMap;
use std::hash::{BuildHasherDefault, Hasher};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use crossbeam::queue::ArrayQueue;
use sluice_shared::api::ApiKind;
use sluice_shared::quota::estimate::Estimates;
use sluice_shared::usage::{Ended, Known, UsageRecord};

use crate::mailbox::{Mailbox, ShardMessage};

pub mod entrance;
pub mod estimates;
pub mod guardrails;
pub mod histogram;
pub mod hooks;
pub mod labels;
pub mod marks;
pub mod quotas;
mod render;

pub use entrance::EntranceCounts;
pub use estimates::EstimateGauges;
pub use guardrails::GuardrailCounts;
pub use histogram::Histogram;
pub use hooks::{HookCounts, HookOutcome};
pub use labels::{LabelSlot, Labels};
pub use quotas::QuotaCounts;

/// Different reject codes that are counted; they are words of Sluice's own, so this is never reached.
const REJECT_CODES_MAX: usize = 128;

/// Everything one shard counts.
#[derive(Clone, Debug)]
pub struct ShardMetrics {
    labels: Arc<Labels>,
    requests: HashMap<u32, u64, BuildHasherDefault<PackedHasher>>,
    spending: HashMap<u32, Spending, BuildHasherDefault<PackedHasher>>,
    api: Vec<ApiTimes>,
    rejects: Vec<(&'static str, u64)>,
    /// Time between two reads of a streaming answer.
    pub event_gap: Histogram,
    /// Time that Sluice itself added to a request.
    pub overhead: Histogram,
    /// Plain counts.
    pub counts: Counts,
    /// Handshakes and PROXY headers.
    pub entrance: EntranceCounts,
    /// What was learnt of models.
    pub estimates: EstimateGauges,
    /// Refusals by quotas.
    pub quotas: QuotaCounts,
    /// What guardrails found.
    pub guardrails: GuardrailCounts,
    /// Calls of hooks.
    pub hooks: HookCounts,
    /// Values that go up and down.
    pub gauges: Gauges,
}

/// Counts since the start of the shard.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Counts {
    /// Records whose usage nobody stated, of calls that are billed.
    pub usage_unknown: u64,
    /// Records whose usage is known and whose model has no price.
    pub unpriced: u64,
    /// Provider connections taken from the pool.
    pub pool_hits: u64,
    /// Provider connections that had to be made.
    pub pool_misses: u64,
    /// Provider connections that could not be made.
    pub connect_failures: u64,
    /// Client connections accepted.
    pub connections_accepted: u64,
    /// Client connections refused because of a limit.
    pub connections_refused: u64,
    /// Bytes read from clients.
    pub client_bytes_in: u64,
    /// Bytes written to clients.
    pub client_bytes_out: u64,
    /// Bytes read from providers.
    pub provider_bytes_in: u64,
    /// Bytes written to providers.
    pub provider_bytes_out: u64,
    /// Identities found in the shard.
    pub identity_hits: u64,
    /// Identities that had to be asked for.
    pub identity_misses: u64,
    /// Requests refused because connection and credential prove different principals.
    pub identity_conflicts: u64,
    /// Header fields of clients that claimed an identity and were removed.
    pub identity_headers_stripped: u64,
    /// Records written to the journal.
    pub journal_appended: u64,
    /// Records that found the journal full.
    pub journal_dropped: u64,
    /// Captures that stand in the segments, whole or cut.
    pub captures_written: u64,
    /// Captures that were wanted and found no room.
    pub captures_dropped: u64,
    /// Requests of which no capture was made because only a share of them is captured.
    pub captures_sampled_out: u64,
    /// Of the captures written: bodies that were cut off, because of the limit or for want of room.
    pub captures_truncated: u64,
    /// Bytes of bodies that were written into capture segments.
    pub capture_bytes: u64,
    /// Panics that cost one connection.
    pub panics: u64,
    /// Messages that found the shard's mailbox full.
    pub mailbox_refused: u64,
    /// Times that a request waited for what its buckets lacked.
    pub quota_waits: u64,
}

/// Values of a shard at one moment.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Gauges {
    /// Client connections that are open.
    pub connections_open: u64,
    /// Provider connections that are open, idle ones included.
    pub pool_open: u64,
    /// Provider connections that are idle.
    pub pool_idle: u64,
    /// Requests that run.
    pub requests_running: u64,
    /// Of these: answers that are being streamed.
    pub streams_running: u64,
    /// Bytes of bodies that are held.
    pub buffer_bytes: u64,
    /// Epoch of the configuration in use; 0 if none.
    pub epoch: u64,
    /// Leases of buckets that shards have.
    pub quota_leases: u64,
    /// Requests that hold reservations.
    pub quota_reservations: u64,
}

/// Values of the process, known where the text is made.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct ProcessGauges {
    /// Whether the control plane is connected.
    pub control_connected: bool,
    /// Times the control plane was connected to.
    pub control_connects: u64,
    /// Snapshots that were refused.
    pub snapshots_refused: u64,
    /// Journal segments of this process that are not yet removed.
    pub journal_segments: u64,
    /// Bytes of those segments.
    pub journal_bytes: u64,
    /// Times a journal segment could not be prepared.
    pub journal_failures: u64,
    /// Capture segments of this process that are not yet removed.
    pub capture_segments: u64,
    /// Bytes of those segments.
    pub capture_bytes: u64,
    /// Times that capture segments could not be made any more.
    pub capture_failures: u64,
    /// No capture segment can be made now.
    pub captures_full: bool,
    /// Buckets that are open or being opened.
    pub quota_buckets: u64,
    /// Questions about buckets that the ledger was asked.
    pub quota_asks: u64,
    /// Of those: not answered in time.
    pub quota_unanswered: u64,
    /// Rounds in which all shards returned what they had idle of a bucket.
    pub quota_recalls: u64,
    /// Memory of the process that lies in RAM, in bytes; `None` where the system does not say.
    pub resident_bytes: Option<u64>,
    /// How often buckets have reached their marks.
    pub quota_marks: Vec<marks::QuotaMark>,
}

#[derive(Clone, Copy, Debug, Default)]
struct Spending {
    input_uncached: u64,
    cached_read: u64,
    cache_write: u64,
    output: u64,
    cost_nanousd: u64,
}

#[derive(Clone, Debug, Default)]
struct ApiTimes {
    duration: Histogram,
    ttft: Histogram,
}

impl ShardMetrics {
    /// Counters at 0; `labels` is the one of the process.
    #[must_use]
    pub fn new(labels: Arc<Labels>) -> Self {
        Self {
            labels,
            requests: HashMap::default(),
            spending: HashMap::default(),
            api: vec![ApiTimes::default(); ApiKind::ALL.len()],
            rejects: Vec::new(),
            event_gap: Histogram::default(),
            overhead: Histogram::default(),
            counts: Counts::default(),
            entrance: EntranceCounts::default(),
            estimates: EstimateGauges::default(),
            quotas: QuotaCounts::default(),
            guardrails: GuardrailCounts::default(),
            hooks: HookCounts::default(),
            gauges: Gauges::default(),
        }
    }

    /// Takes over what the shard has learnt.
    pub fn learnt(&mut self, estimates: &Estimates) {
        self.estimates.take(&self.labels, estimates);
    }

    /// Counts a finished request from the record it leaves.
    pub fn record(&mut self, record: &UsageRecord) {
        let provider = self.labels.provider(&record.provider);
        self.count_request(record.api, provider, record.status, record.ended);
        self.count_times(record.api, record.duration_us, record.ttft_us);
        for verdict in &record.verdicts {
            self.guardrails.count(verdict);
        }
        // What was blocked on its way back was billed all the same.
        let unsent = record.ended == Ended::Blocked
            && (record.usage_known == Known::Unknown || record.provider.is_empty());
        if !record.api.billed() || unsent {
            return;
        }
        if record.usage_known == Known::Unknown {
            self.counts.usage_unknown += 1;
            return;
        }
        if !record.priced {
            self.counts.unpriced += 1;
        }
        let model = record.model_answered.as_deref().unwrap_or(&record.model_asked);
        let slot = self.labels.model(&record.provider, model);
        let usage = &record.usage;
        let spent = self.spending.entry(pack(provider, slot)).or_default();
        let add = |sum: &mut u64, count: Option<u64>| *sum = sum.saturating_add(count.unwrap_or(0));
        add(&mut spent.input_uncached, usage.input_uncached.or(usage.input));
        add(&mut spent.cached_read, usage.cached_read);
        add(&mut spent.cache_write, usage.cache_write);
        add(&mut spent.output, usage.output);
        add(&mut spent.cost_nanousd, record.cost.map(|c| c.0));
    }

    /// Counts one request of an API kind, by provider, class of status and end.
    pub fn count_request(&mut self, api: ApiKind, provider: LabelSlot, status: u16, ended: Ended) {
        let class = u32::from(status / 100).min(9);
        let key = (u32::from(provider.0) << 24)
            | (u32::from(api as u8) << 16)
            | (class << 8)
            | u32::from(ended as u8);
        *self.requests.entry(key).or_default() += 1;
    }

    /// Counts the times of one request, in microseconds.
    pub fn count_times(&mut self, api: ApiKind, duration_us: u64, ttft_us: Option<u64>) {
        let Some(times) = self.api.get_mut(usize::from(api as u8)) else {
            return;
        };
        times.duration.add(duration_us);
        if let Some(ttft_us) = ttft_us {
            times.ttft.add(ttft_us);
        }
    }

    /// Counts a request that Sluice refused, by the code of its error.
    pub fn reject(&mut self, code: &'static str) {
        if let Some((_, count)) = self.rejects.iter_mut().find(|(c, _)| *c == code) {
            *count += 1;
        } else if self.rejects.len() < REJECT_CODES_MAX {
            self.rejects.push((code, 1));
        }
    }

    /// Adds what another shard counted.
    fn merge(&mut self, other: &Self) {
        for (key, count) in &other.requests {
            *self.requests.entry(*key).or_default() += count;
        }
        for (key, more) in &other.spending {
            let sum = self.spending.entry(*key).or_default();
            sum.input_uncached = sum.input_uncached.saturating_add(more.input_uncached);
            sum.cached_read = sum.cached_read.saturating_add(more.cached_read);
            sum.cache_write = sum.cache_write.saturating_add(more.cache_write);
            sum.output = sum.output.saturating_add(more.output);
            sum.cost_nanousd = sum.cost_nanousd.saturating_add(more.cost_nanousd);
        }
        for (sum, more) in self.api.iter_mut().zip(&other.api) {
            sum.duration.merge(&more.duration);
            sum.ttft.merge(&more.ttft);
        }
        for (code, count) in &other.rejects {
            match self.rejects.iter_mut().find(|(c, _)| c == code) {
                Some((_, sum)) => *sum += count,
                None => self.rejects.push((code, *count)),
            }
        }
        self.event_gap.merge(&other.event_gap);
        self.overhead.merge(&other.overhead);
        self.counts.merge(&other.counts);
        self.entrance.merge(&other.entrance);
        self.estimates.merge(&other.estimates);
        self.quotas.merge(&other.quotas);
        self.guardrails.merge(&other.guardrails);
        self.hooks.merge(&other.hooks);
        self.gauges.merge(&other.gauges);
    }
}

impl Counts {
    fn merge(&mut self, other: &Self) {
        let Self {
            usage_unknown,
            unpriced,
            pool_hits,
            pool_misses,
            connect_failures,
            connections_accepted,
            connections_refused,
            client_bytes_in,
            client_bytes_out,
            provider_bytes_in,
            provider_bytes_out,
            identity_hits,
            identity_misses,
            identity_conflicts,
            identity_headers_stripped,
            journal_appended,
            journal_dropped,
            captures_written,
            captures_dropped,
            captures_sampled_out,
            captures_truncated,
            capture_bytes,
            panics,
            mailbox_refused,
            quota_waits,
        } = other;
        for (sum, more) in [
            (&mut self.usage_unknown, usage_unknown),
            (&mut self.unpriced, unpriced),
            (&mut self.pool_hits, pool_hits),
            (&mut self.pool_misses, pool_misses),
            (&mut self.connect_failures, connect_failures),
            (&mut self.connections_accepted, connections_accepted),
            (&mut self.connections_refused, connections_refused),
            (&mut self.client_bytes_in, client_bytes_in),
            (&mut self.client_bytes_out, client_bytes_out),
            (&mut self.provider_bytes_in, provider_bytes_in),
            (&mut self.provider_bytes_out, provider_bytes_out),
            (&mut self.identity_hits, identity_hits),
            (&mut self.identity_misses, identity_misses),
            (&mut self.identity_conflicts, identity_conflicts),
            (&mut self.identity_headers_stripped, identity_headers_stripped),
            (&mut self.journal_appended, journal_appended),
            (&mut self.journal_dropped, journal_dropped),
            (&mut self.captures_written, captures_written),
            (&mut self.captures_dropped, captures_dropped),
            (&mut self.captures_sampled_out, captures_sampled_out),
            (&mut self.captures_truncated, captures_truncated),
            (&mut self.capture_bytes, capture_bytes),
            (&mut self.panics, panics),
            (&mut self.mailbox_refused, mailbox_refused),
            (&mut self.quota_waits, quota_waits),
        ] {
            *sum = sum.saturating_add(*more);
        }
    }
}

impl Gauges {
    fn merge(&mut self, other: &Self) {
        self.connections_open += other.connections_open;
        self.pool_open += other.pool_open;
        self.pool_idle += other.pool_idle;
        self.requests_running += other.requests_running;
        self.streams_running += other.streams_running;
        self.buffer_bytes += other.buffer_bytes;
        self.quota_leases += other.quota_leases;
        self.quota_reservations += other.quota_reservations;
        // The oldest that is still in use, so that a shard that hangs behind shows.
        self.epoch = match (self.epoch, other.epoch) {
            (0, epoch) | (epoch, 0) => epoch,
            (a, b) => a.min(b),
        };
    }
}

/// Gathers what the shards hand in, without a lock.
pub struct MetricsCollector {
    parts: ArrayQueue<Box<ShardMetrics>>,
    missing: AtomicUsize,
    notify: Option<(Mailbox, u64)>,
}

impl std::fmt::Debug for MetricsCollector {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "MetricsCollector({} missing)", self.missing())
    }
}

impl MetricsCollector {
    /// A collector for this many shards. When the last has handed in, `notify` gets
    /// [`ShardMessage::MetricsReady`] with the ticket.
    #[must_use]
    pub fn new(shards: usize, notify: Option<(Mailbox, u64)>) -> Self {
        Self {
            parts: ArrayQueue::new(shards.max(1)),
            missing: AtomicUsize::new(shards),
            notify,
        }
    }

    /// A shard hands in a copy of its metrics, once.
    pub fn hand_in(&self, metrics: &ShardMetrics) {
        // One hand-in more than there are shards would be a fault of the caller; it is not counted.
        if self.parts.push(Box::new(metrics.clone())).is_err() {
            return;
        }
        if self.missing.fetch_sub(1, Ordering::AcqRel) == 1
            && let Some((mailbox, ticket)) = &self.notify
        {
            // If the mailbox is full, the asker's own deadline ends its wait.
            let _ = mailbox.send(ShardMessage::MetricsReady { ticket: *ticket });
        }
    }

    /// Shards that have not handed in yet.
    #[must_use]
    pub fn missing(&self) -> usize {
        self.missing.load(Ordering::Acquire)
    }

    /// Takes what was handed in and writes the text, in version 0.0.4 of the exposition format.
    #[must_use]
    pub fn render(&self, process: &ProcessGauges) -> String {
        let mut sum: Option<Box<ShardMetrics>> = None;
        while let Some(part) = self.parts.pop() {
            match &mut sum {
                None => sum = Some(part),
                Some(sum) => sum.merge(&part),
            }
        }
        render::render(sum.as_deref(), process, self.missing())
    }
}

const fn pack(provider: LabelSlot, model: LabelSlot) -> u32 {
    (provider.0 as u32) << 8 | model.0 as u32
}

/// A multiplicative hash for keys that are small packed integers of our own making.
#[derive(Clone, Copy, Debug, Default)]
struct PackedHasher(u64);

impl Hasher for PackedHasher {
    fn finish(&self) -> u64 {
        self.0
    }

    fn write(&mut self, bytes: &[u8]) {
        for byte in bytes {
            self.write_u32(u32::from(*byte));
        }
    }

    fn write_u32(&mut self, value: u32) {
        let mixed = (self.0 ^ u64::from(value)).wrapping_mul(0x9e37_79b9_7f4a_7c15);
        self.0 = mixed ^ (mixed >> 32);
    }
}
