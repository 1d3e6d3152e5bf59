//! The Prometheus text (exposition format 0.0.4): families in a fixed order, each with its help and type, base units
//! only, every label value escaped.

use std::fmt::Write;

use sluice_shared::api::ApiKind;
use sluice_shared::usage::Ended;

use super::guardrails::GuardrailCounts;
use super::hooks::{HookCounts, HookOutcome};
use super::quotas::{QuotaCounts, Refused};
use super::{Counts, EntranceCounts, Gauges, Histogram, LabelSlot, ProcessGauges, ShardMetrics};

/// Writes one family after the other.
struct Text {
    out: String,
}

impl Text {
    fn family(&mut self, name: &str, kind: &str, help: &str) {
        self.raw(format_args!("# HELP {name} {help}\n# TYPE {name} {kind}\n"));
    }

    fn raw(&mut self, text: std::fmt::Arguments<'_>) {
        // Writing into a string has no errors.
        let _ = self.out.write_fmt(text);
    }

    fn sample(&mut self, name: &str, labels: &[(&str, &str)], value: std::fmt::Arguments<'_>) {
        self.out.push_str(name);
        for (index, (label, text)) in labels.iter().enumerate() {
            self.out.push(if index == 0 { '{' } else { ',' });
            self.out.push_str(label);
            self.out.push_str("=\"");
            escape(text, &mut self.out);
            self.out.push('"');
        }
        if !labels.is_empty() {
            self.out.push('}');
        }
        self.raw(format_args!(" {value}\n"));
    }

    fn single(&mut self, name: &str, kind: &str, help: &str, value: u64) {
        self.family(name, kind, help);
        self.sample(name, &[], format_args!("{value}"));
    }

    fn histogram(&mut self, name: &str, labels: &[(&str, &str)], histogram: &Histogram) {
        let bucket = format!("{name}_bucket");
        let bounded = |le: &str, count: u64, text: &mut Self| {
            let labels: Vec<_> = labels.iter().copied().chain([("le", le)]).collect();
            text.sample(&bucket, &labels, format_args!("{count}"));
        };
        for (bound, count) in histogram.cumulative() {
            bounded(&decimal(bound, 6), count, self);
        }
        let count = histogram.count();
        bounded("+Inf", count, self);
        let sum = decimal(histogram.sum_us(), 6);
        self.sample(&format!("{name}_sum"), labels, format_args!("{sum}"));
        self.sample(&format!("{name}_count"), labels, format_args!("{count}"));
    }
}

/// The whole text; without a shard only what the process knows.
pub(super) fn render(sum: Option<&ShardMetrics>, process: &ProcessGauges, missing: usize) -> String {
    let mut text = Text { out: String::new() };
    text.family(
        "sluice_build_info",
        "gauge",
        "Version of Sluice; the value is always 1.",
    );
    let version = [("version", env!("CARGO_PKG_VERSION"))];
    text.sample("sluice_build_info", &version, format_args!("1"));
    if let Some(bytes) = process.resident_bytes {
        text.single(
            "sluice_resident_bytes",
            "gauge",
            "Memory of the data plane that lies in RAM.",
            bytes,
        );
    }
    process_gauges(&mut text, process);
    text.single(
        "sluice_metrics_shards_missing",
        "gauge",
        "Shards that did not hand in their metrics for this text.",
        missing as u64,
    );
    if let Some(sum) = sum {
        requests(&mut text, sum);
        times(&mut text, sum);
        spending(&mut text, sum);
        estimates(&mut text, sum);
        counts(&mut text, &sum.counts);
        entrance(&mut text, &sum.entrance);
        quotas(&mut text, &sum.quotas);
        guardrails(&mut text, &sum.guardrails);
        hooks(&mut text, &sum.hooks);
        gauges(&mut text, &sum.gauges);
    }
    text.out
}

fn process_gauges(text: &mut Text, process: &ProcessGauges) {
    let connected = u64::from(process.control_connected);
    text.single(
        "sluice_control_connected",
        "gauge",
        "Whether the control plane is connected.",
        connected,
    );
    text.single(
        "sluice_control_connects_total",
        "counter",
        "Connections made to the control plane.",
        process.control_connects,
    );
    text.single(
        "sluice_snapshots_refused_total",
        "counter",
        "Configurations that were refused.",
        process.snapshots_refused,
    );
    text.single(
        "sluice_journal_segments",
        "gauge",
        "Journal segments that are not yet stored and removed.",
        process.journal_segments,
    );
    text.single(
        "sluice_journal_bytes",
        "gauge",
        "Disk taken by those segments.",
        process.journal_bytes,
    );
    text.single(
        "sluice_journal_failures_total",
        "counter",
        "Journal segments that could not be prepared.",
        process.journal_failures,
    );
    text.single(
        "sluice_capture_segments",
        "gauge",
        "Capture segments that are not yet stored and removed.",
        process.capture_segments,
    );
    text.single(
        "sluice_capture_waiting_bytes",
        "gauge",
        "Disk taken by those segments.",
        process.capture_bytes,
    );
    text.single(
        "sluice_capture_failures_total",
        "counter",
        "Times that no more capture segments could be made.",
        process.capture_failures,
    );
    text.single(
        "sluice_captures_full",
        "gauge",
        "Whether no capture segment can be made now.",
        u64::from(process.captures_full),
    );
    buckets(text, process);
}

fn buckets(text: &mut Text, process: &ProcessGauges) {
    for (name, kind, help, value) in [
        (
            "sluice_quota_buckets",
            "gauge",
            "Buckets of quotas that are open here.",
            process.quota_buckets,
        ),
        (
            "sluice_quota_asks_total",
            "counter",
            "Questions about buckets that the ledger was asked.",
            process.quota_asks,
        ),
        (
            "sluice_quota_asks_unanswered_total",
            "counter",
            "Of those: not answered in time.",
            process.quota_unanswered,
        ),
        (
            "sluice_quota_recalls_total",
            "counter",
            "Times that all shards had to return what they had idle of a bucket.",
            process.quota_recalls,
        ),
    ] {
        text.single(name, kind, help, value);
    }
    let name = "sluice_quota_marks_total";
    text.family(
        name,
        "counter",
        "Times that a bucket was used up to a mark, by quota and percent.",
    );
    for mark in &process.quota_marks {
        let percent = mark.percent.to_string();
        let labels = [("quota", mark.quota.as_str()), ("percent", percent.as_str())];
        text.sample(name, &labels, format_args!("{}", mark.count));
    }
}

fn requests(text: &mut Text, sum: &ShardMetrics) {
    let name = "sluice_requests_total";
    text.family(
        name,
        "counter",
        "Requests by API, provider, class of status and end.",
    );
    let mut keys: Vec<_> = sum.requests.iter().collect();
    keys.sort();
    for (key, count) in keys {
        let [provider, api, class, ended] = key.to_be_bytes();
        let provider = sum.labels.provider_name(LabelSlot(provider));
        let status = match class {
            0 => "none".to_owned(),
            class => format!("{class}xx"),
        };
        let labels = [
            ("api", ApiKind::from_index(api).map_or("other", ApiKind::name)),
            ("provider", provider.as_str()),
            ("status", status.as_str()),
            ("ended", Ended::from_index(ended).map_or("other", Ended::name)),
        ];
        text.sample(name, &labels, format_args!("{count}"));
    }
    let name = "sluice_rejects_total";
    text.family(
        name,
        "counter",
        "Requests that Sluice refused, by the code of the error.",
    );
    let mut rejects = sum.rejects.clone();
    rejects.sort_unstable();
    for (code, count) in rejects {
        text.sample(name, &[("code", code)], format_args!("{count}"));
    }
}

fn guardrails(text: &mut Text, guardrails: &GuardrailCounts) {
    let name = "sluice_guardrail_findings_total";
    text.family(
        name,
        "counter",
        "What guardrails found, by rule, detector, action (shadow: none) and side.",
    );
    for (labels, count) in guardrails.sorted() {
        text.sample(name, &labels, format_args!("{count}"));
    }
}

fn hooks(text: &mut Text, hooks: &HookCounts) {
    let name = "sluice_hook_calls_total";
    text.family(
        name,
        "counter",
        "Calls of hooks before requests, by hook and outcome.",
    );
    let sorted = hooks.sorted();
    for (hook, calls) in &sorted {
        for (outcome, count) in HookOutcome::ALL.iter().zip(calls.ended) {
            if count > 0 {
                let labels = [("hook", *hook), ("outcome", outcome.name())];
                text.sample(name, &labels, format_args!("{count}"));
            }
        }
    }
    let name = "sluice_hook_duration_seconds";
    text.family(name, "histogram", "How long calls of hooks before requests took.");
    for (hook, calls) in &sorted {
        text.histogram(name, &[("hook", hook)], &calls.took);
    }
}

fn quotas(text: &mut Text, counts: &QuotaCounts) {
    let sorted = counts.sorted();
    let name = "sluice_quota_refusals_total";
    text.family(
        name,
        "counter",
        "Requests that a quota refused, by its name and why.",
    );
    for (quota, did) in &sorted {
        for (reason, count) in Refused::ALL.iter().zip(did.refused) {
            if count > 0 {
                let labels = [("quota", *quota), ("reason", reason.name())];
                text.sample(name, &labels, format_args!("{count}"));
            }
        }
    }
    let name = "sluice_quota_cuts_total";
    text.family(
        name,
        "counter",
        "Streams that were cut because a quota was used up.",
    );
    for (quota, did) in &sorted {
        if did.cut > 0 {
            text.sample(name, &[("quota", quota)], format_args!("{}", did.cut));
        }
    }
}

fn times(text: &mut Text, sum: &ShardMetrics) {
    let by_api = |text: &mut Text, name: &str, help: &str, pick: fn(&super::ApiTimes) -> &Histogram| {
        text.family(name, "histogram", help);
        for (api, times) in ApiKind::ALL.iter().zip(&sum.api) {
            if pick(times).count() > 0 {
                text.histogram(name, &[("api", api.name())], pick(times));
            }
        }
    };
    by_api(
        text,
        "sluice_request_duration_seconds",
        "From the head of a request to its end.",
        |t| &t.duration,
    );
    by_api(
        text,
        "sluice_time_to_first_byte_seconds",
        "From the head of a request to the first byte of the answer's body.",
        |t| &t.ttft,
    );
    text.family(
        "sluice_event_gap_seconds",
        "histogram",
        "Between two pieces of a streaming answer.",
    );
    text.histogram("sluice_event_gap_seconds", &[], &sum.event_gap);
    text.family(
        "sluice_overhead_seconds",
        "histogram",
        "Time that Sluice itself added to a request.",
    );
    text.histogram("sluice_overhead_seconds", &[], &sum.overhead);
}

fn spending(text: &mut Text, sum: &ShardMetrics) {
    let mut keys: Vec<_> = sum.spending.iter().collect();
    keys.sort_by_key(|(key, _)| **key);
    let named: Vec<_> = keys
        .into_iter()
        .map(|(key, spent)| {
            let [_, _, provider, model] = key.to_be_bytes();
            let provider = sum.labels.provider_name(LabelSlot(provider));
            (provider, sum.labels.model_name(LabelSlot(model)), spent)
        })
        .collect();
    let name = "sluice_tokens_total";
    text.family(name, "counter", "Tokens that providers stated, by kind.");
    for (provider, model, spent) in &named {
        for (kind, count) in [
            ("input", spent.input_uncached),
            ("cached_read", spent.cached_read),
            ("cache_write", spent.cache_write),
            ("output", spent.output),
        ] {
            let labels = [("provider", provider.as_str()), ("model", model), ("kind", kind)];
            text.sample(name, &labels, format_args!("{count}"));
        }
    }
    let name = "sluice_cost_dollars_total";
    text.family(name, "counter", "Cost in US dollars by the price table.");
    for (provider, model, spent) in &named {
        let cost = decimal(spent.cost_nanousd, 9);
        let labels = [("provider", provider.as_str()), ("model", model)];
        text.sample(name, &labels, format_args!("{cost}"));
    }
}

fn estimates(text: &mut Text, sum: &ShardMetrics) {
    let learnt = sum.estimates.sorted(&sum.labels);
    let name = "sluice_estimate_input_bytes_per_token";
    text.family(
        name,
        "gauge",
        "Bytes of a request for one token of its prompt, as quotas estimate it.",
    );
    for (provider, model, learnt) in &learnt {
        let ratio = decimal(learnt.input_bytes(), 3);
        let labels = [("provider", provider.as_str()), ("model", model)];
        text.sample(name, &labels, format_args!("{ratio}"));
    }
    let name = "sluice_estimate_output_tokens";
    text.family(
        name,
        "gauge",
        "Tokens that so many answers have at most; quotas reserve the upper one.",
    );
    for (provider, model, learnt) in &learnt {
        for (quantile, tokens) in [("0.5", learnt.output_p50()), ("0.9", learnt.output_p90())] {
            let labels = [
                ("provider", provider.as_str()),
                ("model", model),
                ("quantile", quantile),
            ];
            text.sample(name, &labels, format_args!("{tokens}"));
        }
    }
    let name = "sluice_estimate_samples_total";
    text.family(
        name,
        "counter",
        "Requests that estimates were learnt from; below 8 on a shard, the defaults hold there.",
    );
    for (provider, model, learnt) in &learnt {
        let labels = [("provider", provider.as_str()), ("model", model)];
        text.sample(name, &labels, format_args!("{}", learnt.samples()));
    }
}

fn counts(text: &mut Text, counts: &Counts) {
    for (name, help, value) in [
        (
            "sluice_usage_unknown_total",
            "Billed requests whose usage nobody stated.",
            counts.usage_unknown,
        ),
        (
            "sluice_unpriced_total",
            "Requests with usage whose model has no price.",
            counts.unpriced,
        ),
        (
            "sluice_pool_hits_total",
            "Provider connections taken from the pool.",
            counts.pool_hits,
        ),
        (
            "sluice_pool_misses_total",
            "Provider connections that had to be made.",
            counts.pool_misses,
        ),
        (
            "sluice_connect_failures_total",
            "Provider connections that could not be made.",
            counts.connect_failures,
        ),
        (
            "sluice_connections_accepted_total",
            "Client connections accepted.",
            counts.connections_accepted,
        ),
        (
            "sluice_connections_refused_total",
            "Client connections refused because of a limit.",
            counts.connections_refused,
        ),
        (
            "sluice_identity_hits_total",
            "Identities known to the shard.",
            counts.identity_hits,
        ),
        (
            "sluice_identity_misses_total",
            "Identities that had to be asked for.",
            counts.identity_misses,
        ),
        (
            "sluice_identity_conflicts_total",
            "Requests whose connection and credential prove different principals.",
            counts.identity_conflicts,
        ),
        (
            "sluice_identity_headers_stripped_total",
            "Header fields of clients that claimed an identity and were removed.",
            counts.identity_headers_stripped,
        ),
        (
            "sluice_journal_appended_total",
            "Records written to the journal.",
            counts.journal_appended,
        ),
        (
            "sluice_journal_dropped_total",
            "Records that found the journal full.",
            counts.journal_dropped,
        ),
        (
            "sluice_captures_truncated_total",
            "Bodies that were cut off in captures.",
            counts.captures_truncated,
        ),
        (
            "sluice_capture_bytes_total",
            "Bytes of bodies that were captured.",
            counts.capture_bytes,
        ),
        (
            "sluice_panics_total",
            "Faults of Sluice that cost one connection.",
            counts.panics,
        ),
        (
            "sluice_mailbox_refused_total",
            "Messages that found a full mailbox and had to wait.",
            counts.mailbox_refused,
        ),
        (
            "sluice_quota_waits_total",
            "Times that a request waited for what its buckets lacked.",
            counts.quota_waits,
        ),
    ] {
        text.single(name, "counter", help, value);
    }
    let name = "sluice_captures_total";
    text.family(name, "counter", "Requests by what became of their capture.");
    for (outcome, count) in [
        ("written", counts.captures_written),
        ("dropped", counts.captures_dropped),
        ("sampled_out", counts.captures_sampled_out),
    ] {
        text.sample(name, &[("outcome", outcome)], format_args!("{count}"));
    }
    let name = "sluice_network_bytes_total";
    text.family(name, "counter", "Bytes read and written, by peer and direction.");
    for (peer, direction, value) in [
        ("client", "in", counts.client_bytes_in),
        ("client", "out", counts.client_bytes_out),
        ("provider", "in", counts.provider_bytes_in),
        ("provider", "out", counts.provider_bytes_out),
    ] {
        let labels = [("peer", peer), ("direction", direction)];
        text.sample(name, &labels, format_args!("{value}"));
    }
}

fn entrance(text: &mut Text, counts: &EntranceCounts) {
    for (name, help, value) in [
        (
            "sluice_tls_handshakes_total",
            "TLS handshakes of clients that were finished.",
            counts.handshakes,
        ),
        (
            "sluice_client_certificates_total",
            "Client certificates that were accepted.",
            counts.certificates,
        ),
        (
            "sluice_client_certificates_withdrawn_total",
            "Connections cut because their certificate is not believed any more.",
            counts.withdrawn,
        ),
        (
            "sluice_proxy_headers_total",
            "PROXY protocol headers that were accepted.",
            counts.proxied,
        ),
    ] {
        text.single(name, "counter", help, value);
    }
    let name = "sluice_tls_failures_total";
    text.family(
        name,
        "counter",
        "TLS handshakes of clients that were not finished, by reason.",
    );
    for (reason, count) in counts.failures() {
        text.sample(name, &[("reason", reason)], format_args!("{count}"));
    }
    let name = "sluice_proxy_refusals_total";
    text.family(
        name,
        "counter",
        "Connections of PROXY senders that were closed, by reason.",
    );
    for (reason, count) in counts.refusals() {
        text.sample(name, &[("reason", reason)], format_args!("{count}"));
    }
}

fn gauges(text: &mut Text, gauges: &Gauges) {
    for (name, help, value) in [
        (
            "sluice_connections_open",
            "Client connections that are open.",
            gauges.connections_open,
        ),
        (
            "sluice_pool_open",
            "Provider connections that are open.",
            gauges.pool_open,
        ),
        (
            "sluice_pool_idle",
            "Provider connections that are idle.",
            gauges.pool_idle,
        ),
        (
            "sluice_requests_running",
            "Requests that run.",
            gauges.requests_running,
        ),
        (
            "sluice_streams_running",
            "Of these: answers that are being streamed.",
            gauges.streams_running,
        ),
        (
            "sluice_quota_leases",
            "Leases of buckets that shards have.",
            gauges.quota_leases,
        ),
        (
            "sluice_quota_reservations",
            "Requests that hold reservations.",
            gauges.quota_reservations,
        ),
        (
            "sluice_buffer_bytes",
            "Bytes of bodies that are held.",
            gauges.buffer_bytes,
        ),
        (
            "sluice_config_epoch",
            "Configuration in use; the oldest where shards differ.",
            gauges.epoch,
        ),
    ] {
        text.single(name, "gauge", help, value);
    }
}

/// An integer of `10^-places` units as a decimal number, exact, without trailing zeros.
fn decimal(value: u64, places: u32) -> String {
    let unit = 10u64.pow(places);
    let (whole, part) = (value / unit, value % unit);
    if part == 0 {
        return whole.to_string();
    }
    let part = format!("{part:0width$}", width = places as usize);
    format!("{whole}.{}", part.trim_end_matches('0'))
}

/// A label value as the format wants it; other control characters become `?`, lest a terminal obeys them.
fn escape(value: &str, out: &mut String) {
    for c in value.chars() {
        match c {
            '\\' => out.push_str("\\\\"),
            '"' => out.push_str("\\\""),
            '\n' => out.push_str("\\n"),
            c if c.is_control() => out.push('?'),
            c => out.push(c),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn decimals_are_exact() {
        let check = |value, places, expected: &str| assert_eq!(decimal(value, places), expected);
        check(0, 6, "0");
        check(1, 6, "0.000001");
        check(1_500_000, 6, "1.5");
        check(1_000_000_000, 9, "1");
        check(u64::MAX, 9, "18446744073.709551615");
    }

    #[test]
    fn label_values_cannot_leave_their_quotes() {
        let check = |value: &str, expected: &str| {
            let mut out = String::new();
            escape(value, &mut out);
            assert_eq!(out, expected);
        };
        check("plain/model-1", "plain/model-1");
        check("a\"b\\c\nd", "a\\\"b\\\\c\\nd");
        check("\u{1b}[31mred\r\0", "?[31mred??");
    }
}
