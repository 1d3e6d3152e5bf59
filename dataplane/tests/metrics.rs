//! The Prometheus text: golden, bounded, and collected without waiting.

#![allow(
    clippy::unwrap_used,
    reason = "helpers of a test fail by panic, as the test does"
)]

use std::collections::BTreeSet;
use std::path::Path;
use std::sync::Arc;
use std::thread;

use sluice_dataplane::mailbox::{ShardMessage, mailbox};
use sluice_dataplane::metrics::entrance::{ProxyRefusal, TlsFailure};
use sluice_dataplane::metrics::marks::QuotaMark;
use sluice_dataplane::metrics::quotas::Refused;
use sluice_dataplane::metrics::{HookOutcome, Labels, MetricsCollector, ProcessGauges, ShardMetrics};
use sluice_shared::api::ApiKind;
use sluice_shared::ids::{Epoch, RequestId, ShardId};
use sluice_shared::quota::estimate::{Estimates, Sample};
use sluice_shared::units::{NanoUsd, UnixMicros};
use sluice_shared::usage::{Ended, Known, UsageRecord};

fn record(provider: &str, model: &str) -> UsageRecord {
    let mut record = UsageRecord::draft(
        RequestId::default(),
        UnixMicros(0),
        ShardId(0),
        Epoch(1),
        ApiKind::AnthropicMessages,
    );
    record.provider = provider.into();
    record.model_asked = model.into();
    record.status = 200;
    record.ended = Ended::Complete;
    record.usage_known = Known::Reported;
    record.usage.input = Some(100);
    record.usage.input_uncached = Some(60);
    record.usage.cached_read = Some(30);
    record.usage.cache_write = Some(10);
    record.usage.output = Some(7);
    record.cost = Some(NanoUsd(1_234_567));
    record.priced = true;
    record.duration_us = 1_500_000;
    record.ttft_us = Some(250_000);
    record
}

/// A request of so many bytes and 1,000 tokens, answered with `output` tokens.
fn sample(request_bytes: u64, output: u64) -> Sample {
    Sample {
        request_bytes,
        input: Some(1_000),
        response_bytes: 100,
        output: Some(output),
        stream: false,
    }
}

fn render(shards: &[&ShardMetrics], process: &ProcessGauges) -> String {
    let collector = MetricsCollector::new(shards.len(), None);
    for shard in shards {
        collector.hand_in(shard);
    }
    collector.render(process)
}

/// Set this to write what is, then read the difference.
const UPDATE: &str = "SLUICE_UPDATE_GOLDEN";

#[test]
fn the_text_is_as_it_was() {
    let labels = Labels::new();
    let mut first = ShardMetrics::new(Arc::clone(&labels));
    let mut second = ShardMetrics::new(Arc::clone(&labels));
    first.record(&record("anthropic", "claude-sonnet-4-5"));
    second.record(&record("anthropic", "claude-sonnet-4-5"));
    second.record(&record("openai \"eu\"", "gpt\n5"));
    let mut unknown = record("anthropic", "claude-sonnet-4-5");
    unknown.usage_known = Known::Unknown;
    unknown.status = 502;
    unknown.ended = Ended::UpstreamFailed;
    second.record(&unknown);
    let mut unpriced = record("local", "llama");
    unpriced.priced = false;
    unpriced.cost = None;
    first.record(&unpriced);
    let mut blocked = record("", "secret-model");
    blocked.status = 403;
    blocked.ended = Ended::Blocked;
    first.record(&blocked);
    first.reject("no_role");
    first.reject("model_not_granted");
    second.reject("no_role");
    for us in [0, 1, 90, 1_000] {
        first.overhead.add(us);
    }
    second.event_gap.add(20_000);
    second.event_gap.add(u64::MAX);
    first.counts.pool_hits = 3;
    second.counts.pool_hits = 4;
    first.counts.client_bytes_out = 1 << 40;
    first.entrance.handshakes = 5;
    second.entrance.handshakes = 6;
    second.entrance.fail(TlsFailure::Expired);
    first.entrance.fail(TlsFailure::Expired);
    first.entrance.refuse(ProxyRefusal::Missing);
    let (mut learnt, mut unlearnt) = (Estimates::new(), Estimates::new());
    for n in 1..=10 {
        learnt.learn("anthropic", "claude-sonnet-4-5", &sample(3_500, n));
    }
    unlearnt.learn("anthropic", "claude-sonnet-4-5", &sample(3_500, 10));
    unlearnt.learn("openai", "gpt-5.5", &sample(9_999, 3));
    first.learnt(&learnt);
    second.learnt(&unlearnt);
    // A second look does not count twice.
    second.learnt(&unlearnt);
    first.quotas.refuse("daily:<user>", Refused::Exhausted);
    second.quotas.refuse("daily:<user>", Refused::Exhausted);
    second.quotas.refuse("all", Refused::Unavailable);
    second.quotas.cut("daily:<user>");
    first.hooks.count("presidio", HookOutcome::Allow, 900);
    second.hooks.count("presidio", HookOutcome::FailedOpen, 5_000_000);
    first.gauges.connections_open = 2;
    second.gauges.connections_open = 5;
    (first.gauges.streams_running, second.gauges.streams_running) = (3, 4);
    first.gauges.quota_leases = 2;
    second.gauges.quota_reservations = 1;
    second.counts.quota_waits = 4;
    first.counts.captures_written = 8;
    second.counts.captures_written = 1;
    second.counts.captures_dropped = 2;
    second.counts.captures_sampled_out = 3;
    second.counts.captures_truncated = 1;
    second.counts.capture_bytes = 1 << 33;
    first.gauges.epoch = 3;
    second.gauges.epoch = 2;
    let process = ProcessGauges {
        control_connected: true,
        control_connects: 2,
        snapshots_refused: 1,
        journal_segments: 4,
        journal_bytes: 4 << 23,
        journal_failures: 0,
        capture_segments: 6,
        capture_bytes: 6 << 23,
        capture_failures: 1,
        captures_full: true,
        quota_buckets: 3,
        quota_asks: 9,
        quota_unanswered: 1,
        quota_recalls: 5,
        resident_bytes: Some(40 << 20),
        quota_marks: vec![QuotaMark {
            quota: "daily:<user>".into(),
            percent: 80,
            count: 2,
        }],
    };
    let version = format!("version=\"{}\"", env!("CARGO_PKG_VERSION"));
    let text = render(&[&first, &second], &process).replace(&version, "version=\"0.0.0\"");
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/golden/metrics.txt");
    if std::env::var_os(UPDATE).is_some() {
        std::fs::write(&path, &text).unwrap();
    }
    let golden = std::fs::read_to_string(&path).unwrap();
    for (line, (is, was)) in text.lines().zip(golden.lines()).enumerate() {
        assert_eq!(is, was, "line {}", line + 1);
    }
    assert_eq!(text.len(), golden.len());
}

/// The rules of the exposition format that scrapers insist on.
fn check_format(text: &str) -> BTreeSet<&str> {
    let mut families = BTreeSet::new();
    let mut family = "";
    let mut series = BTreeSet::new();
    assert!(text.ends_with('\n'));
    for line in text.lines() {
        if let Some(rest) = line.strip_prefix("# HELP ") {
            family = rest.split(' ').next().unwrap();
            assert!(family.starts_with("sluice_"), "{line}");
            assert!(families.insert(family), "{family} comes twice");
            continue;
        }
        if let Some(rest) = line.strip_prefix("# TYPE ") {
            assert!(rest.starts_with(family), "{line}");
            let counter = rest.ends_with(" counter");
            assert_eq!(counter, family.ends_with("_total"), "{line}");
            continue;
        }
        let (name, value) = line.rsplit_once(' ').unwrap();
        assert!(name.starts_with(family), "{line} in {family}");
        assert!(value.parse::<f64>().is_ok_and(f64::is_finite), "{line}");
        assert!(series.insert(name), "{line} comes twice");
        assert!(!line.chars().any(char::is_control), "{line:?}");
    }
    families
}

#[test]
fn whatever_clients_name_the_number_of_series_is_bounded() {
    let labels = Labels::new();
    let mut shards: Vec<_> = (0..2).map(|_| ShardMetrics::new(Arc::clone(&labels))).collect();
    for n in 0..100_000u32 {
        let shard = &mut shards[n as usize % 2];
        let mut odd = record(
            &format!("provider-{}", n % 1_000),
            &format!("model-{n}\u{1b}[31m\"\n"),
        );
        odd.api = ApiKind::ALL[n as usize % ApiKind::ALL.len()];
        odd.status = u16::try_from(n % 1_000).unwrap();
        shard.record(&odd);
    }
    for (n, shard) in shards.iter_mut().enumerate() {
        let mut estimates = Estimates::new();
        for m in 0..1_000 {
            estimates.learn("p", &format!("model-{n}-{m}\n\""), &sample(100, 1));
        }
        shard.learnt(&estimates);
    }
    let text = render(&[&shards[0], &shards[1]], &ProcessGauges::default());
    check_format(&text);
    let lines = |prefix: &str| text.lines().filter(|l| l.starts_with(prefix)).count();
    // 64 named pairs and an "other" for each of 64 providers and the rest, four kinds each.
    assert!(lines("sluice_tokens_total{") <= (64 + 65) * 4);
    assert!(lines("sluice_cost_dollars_total{") <= 64 + 65);
    assert_eq!(lines("sluice_estimate_samples_total{"), 64);
    assert_eq!(lines("sluice_estimate_output_tokens{"), 128);
    assert!(text.contains("provider=\"other\",model=\"other\",kind=\"input\""));
    assert!(lines("sluice_requests_total{") <= 65 * ApiKind::ALL.len() * 10);
    let total: u64 = text
        .lines()
        .filter(|l| l.starts_with("sluice_requests_total{"))
        .map(|l| l.rsplit_once(' ').unwrap().1.parse::<u64>().unwrap())
        .sum();
    assert_eq!(total, 100_000, "what has no label of its own is still counted");
}

#[test]
fn models_of_failed_requests_take_no_label() {
    let labels = Labels::new();
    let mut shard = ShardMetrics::new(labels);
    for n in 0..1_000 {
        let mut failed = record("p", &format!("guess-{n}"));
        failed.usage_known = Known::Unknown;
        failed.status = 404;
        shard.record(&failed);
    }
    shard.record(&record("p", "real"));
    let text = render(&[&shard], &ProcessGauges::default());
    assert!(text.contains("model=\"real\"") && !text.contains("guess"));
    assert!(text.contains("sluice_usage_unknown_total 1000\n"));
}

#[test]
fn the_last_shard_tells_whoever_asked() {
    let (sender, mut receiver) = mailbox(4).unwrap();
    let collector = Arc::new(MetricsCollector::new(3, Some((sender, 77))));
    let labels = Labels::new();
    thread::scope(|scope| {
        for _ in 0..3 {
            let (collector, labels) = (Arc::clone(&collector), Arc::clone(&labels));
            scope.spawn(move || {
                let mut metrics = ShardMetrics::new(labels);
                metrics.reject("busy");
                collector.hand_in(&metrics);
            });
        }
    });
    receiver.wakened();
    assert!(matches!(
        receiver.next(),
        Some(ShardMessage::MetricsReady { ticket: 77 })
    ));
    assert!(receiver.next().is_none());
    collector.hand_in(&ShardMetrics::new(labels));
    let text = collector.render(&ProcessGauges::default());
    assert!(text.contains("sluice_rejects_total{code=\"busy\"} 3\n"), "{text}");
    assert!(text.contains("sluice_metrics_shards_missing 0\n"));
}

#[test]
fn shards_that_do_not_answer_are_shown() {
    let text = MetricsCollector::new(2, None).render(&ProcessGauges::default());
    check_format(&text);
    assert!(text.contains("sluice_metrics_shards_missing 2\n"));
    assert!(text.contains("sluice_control_connected 0\n"));
}

#[test]
fn families_keep_their_names() {
    let shard = ShardMetrics::new(Labels::new());
    let text = render(&[&shard], &ProcessGauges::default());
    let families = check_format(&text);
    for name in [
        "sluice_requests_total",
        "sluice_request_duration_seconds",
        "sluice_time_to_first_byte_seconds",
        "sluice_event_gap_seconds",
        "sluice_overhead_seconds",
        "sluice_tokens_total",
        "sluice_cost_dollars_total",
        "sluice_journal_dropped_total",
        "sluice_config_epoch",
    ] {
        assert!(families.contains(name), "{name}");
    }
}
