//! What it costs to bring usage records from the journal into the store: CPU of a control plane, per record.
//!
//! ```text
//! cargo run --release -p sluice-controlplane --example ingest_cost -- [records] [records a second]
//! ```
//!
//! The program writes a journal as a data plane does and runs a control plane as its child, whose CPU time it reads
//! from `/proc`. It does so three times: with records of no session, with records of sessions, and with every record charged
//! to two of 80 budgets besides. Without a rate everything is in the journal before the child starts; with one, it comes in bursts of a
//! hundredth of a second. `PERF=1` waits before it begins, so that a profiler can be attached to the child.

#![allow(clippy::print_stdout, reason = "a program that reports what it measured")]
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    reason = "a measurement fails loudly"
)]

#[path = "../tests/support/child.rs"]
mod child;

use std::fs::File;
use std::io::{Read as _, Write as _};
use std::os::unix::fs::FileExt as _;
use std::os::unix::net::UnixStream;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use child::Control;
use sluice_controlplane::store::{GroupBy, UsageQuery, open_read_only};
use sluice_shared::api::ApiKind;
use sluice_shared::ids::{Epoch, RequestId, ShardId};
use sluice_shared::quota::ledger::Ask;
use sluice_shared::quota::{Charge, Unit};
use sluice_shared::units::{NanoUsd, UnixMicros};
use sluice_shared::usage::{Ended, Known, UsageRecord};
use sluice_shared::wire::control::{Bucket, BucketRef, HEADER_BYTES, Header, LeaseAnswer, ToControl, ToData};
use sluice_shared::wire::journal::{
    END_OF_SEGMENT, Entry, SEGMENT_HEADER_BYTES, SegmentHeader, encode, record_bytes, record_tail,
};

const SEGMENT_BYTES: u64 = 8 << 20;
const SHARDS: u16 = 2;
const USERS: u64 = 40;
/// Two budgets for each user.
const DOCUMENT: &str = r#"{
    "providers": {"anthropic": {"baseurl": "http://127.0.0.1:1", "models": ["claude-*"]}},
    "identity": {"sources": ["loopback"]},
    "quotas": {"q:<user>": {"capacity": "$1000000.00", "rate": "$5.00/day", "tokens": "1000M/day"}},
    "grants": [{"src": ["*"], "capabilities": [{"role": "admin"}, {"models": "**", "quotas": [{"bucket": "q:<user>"}]}]}]
}"#;

fn main() {
    if child::was() {
        return;
    }
    let mut arguments = std::env::args()
        .skip(1)
        .map(|a| a.parse::<u64>().expect("a number"));
    let records = arguments.next().unwrap_or(200_000);
    let rate = arguments.next();
    for (what, sessions, budgets) in [
        ("neither sessions nor budgets", false, false),
        ("with sessions", true, false),
        ("with sessions and budgets", true, true),
    ] {
        println!("{what}:");
        measure(records, rate, sessions, budgets);
    }
}

fn measure(records: u64, rate: Option<u64>, sessions: bool, budgets: bool) {
    let data = tempfile::tempdir().unwrap();
    std::fs::write(data.path().join("sluice.hujson"), DOCUMENT).unwrap();
    let mut journal = Journal::new(data.path());
    let buckets = if budgets {
        open_buckets(data.path())
    } else {
        Vec::new()
    };
    let record = |number| {
        let mut record = charged(number, &buckets);
        record.session = record.session.filter(|_| sessions);
        record
    };
    if rate.is_none() {
        (0..records).for_each(|n| journal.append(&record(n)));
    }
    let mut control = Control::start(data.path());
    if std::env::var_os("PERF").is_some() {
        println!("child {}", control.process.id());
        std::thread::sleep(Duration::from_secs(5));
    }
    if let Some(rate) = rate {
        std::thread::sleep(Duration::from_secs(2));
        println!("idle: {} KiB resident", control.resident());
        let before = control.cpu();
        std::thread::sleep(Duration::from_secs(5));
        println!("idle: {:?} CPU in 5 s", control.cpu() - before);
        let before = control.cpu();
        let began = Instant::now();
        for n in 0..records {
            journal.append(&record(n));
            if n % (rate / 100).max(1) == 0 {
                let due = began + Duration::from_secs_f64(n as f64 / rate as f64);
                std::thread::sleep(due.saturating_duration_since(Instant::now()));
            }
        }
        report(records, control.cpu() - before, "while they came");
        journal.end();
        journal.wait();
        report(records, control.cpu() - before, "in all");
        println!("after: {} KiB resident", control.resident());
    } else {
        // What the start costs is small and in the figure.
        journal.end();
        journal.wait();
        report(records, control.cpu(), "in all");
    }
    let bytes = std::fs::metadata(data.path().join("store.sqlite")).map_or(0, |m| m.len());
    control.stop();
    println!("store: {} bytes a record", bytes / records);
    let stored = stored(data.path());
    assert_eq!(stored, records, "what was measured is not what was to be stored");
}

/// Requests that are in the store.
fn stored(data: &Path) -> u64 {
    let runtime = tokio::runtime::Runtime::new().unwrap();
    let groups = runtime.block_on(async {
        let store = open_read_only(data).await.unwrap();
        store.usage(&UsageQuery::all(GroupBy::Api)).await.unwrap()
    });
    groups.iter().map(|group| group.totals.requests).sum()
}

fn report(records: u64, cpu: Duration, when: &str) {
    let each = cpu.as_secs_f64() * 1e6 / records as f64;
    println!("{records} records {when}: {cpu:?} CPU, {each:.2} µs a record");
}

/// Opens the budgets of all users, two for each, one after the other; their numbers.
fn open_buckets(data: &Path) -> Vec<u64> {
    let mut control = Control::start(data);
    let mut stream = loop {
        match UnixStream::connect(data.join("control.sock")) {
            Ok(stream) => break stream,
            Err(_) => std::thread::sleep(Duration::from_millis(5)),
        }
    };
    let say =
        |stream: &mut UnixStream, frame: &ToControl| stream.write_all(&frame.encode().unwrap()).unwrap();
    say(
        &mut stream,
        &ToControl::Hello {
            pid: 1,
            incarnation: 1,
            epoch: Epoch(0),
        },
    );
    let mut buckets = Vec::new();
    let mut times = Vec::new();
    for number in 0..USERS * 2 {
        let unit = [Unit::Usd, Unit::Tokens][usize::try_from(number % 2).unwrap()];
        let bucket = BucketRef::Named(Bucket {
            quota: "q:<user>".into(),
            name: format!("q:user{}@example.com", number / 2),
            unit,
        });
        let ask = Ask {
            seq: 1,
            first: 1,
            need: 1,
            ..Ask::default()
        };
        let began = Instant::now();
        say(
            &mut stream,
            &ToControl::Lease {
                ticket: number,
                bucket,
                ask,
            },
        );
        loop {
            let mut head = [0; HEADER_BYTES];
            stream.read_exact(&mut head).unwrap();
            let header = Header::parse(&head).unwrap();
            let mut payload = vec![0; header.payload_bytes];
            stream.read_exact(&mut payload).unwrap();
            if let ToData::Leased { answer, .. } = header.to_data(&payload).unwrap() {
                let LeaseAnswer::Granted { bucket, .. } = answer else {
                    panic!("{answer:?}")
                };
                buckets.push(bucket);
                break;
            }
        }
        times.push(began.elapsed());
    }
    times.sort();
    println!(
        "a lease, one at a time, from question to answer: {:?} (half), {:?} (most)",
        times[times.len() / 2],
        times[times.len() - 1]
    );
    control.stop();
    buckets
}

/// What the kernel says of a process.
trait Measured {
    fn cpu(&self) -> Duration;
    fn resident(&self) -> u64;
}

impl Measured for Control {
    /// User and system time, in steps of the kernel's clock (10 ms).
    fn cpu(&self) -> Duration {
        let stat = std::fs::read_to_string(format!("/proc/{}/stat", self.process.id())).unwrap();
        let (_, fields) = stat.rsplit_once(')').unwrap();
        let ticks: u64 = fields
            .split_whitespace()
            .skip(11)
            .take(2)
            .map(|f| f.parse::<u64>().unwrap())
            .sum();
        Duration::from_millis(ticks * 10)
    }

    fn resident(&self) -> u64 {
        let status = std::fs::read_to_string(format!("/proc/{}/status", self.process.id())).unwrap();
        let line = status.lines().find(|l| l.starts_with("VmRSS:")).unwrap();
        line.split_whitespace().nth(1).unwrap().parse().unwrap()
    }
}

/// One incarnation, its segments made one ahead.
struct Journal {
    directory: PathBuf,
    lock: Option<File>,
    rows: Vec<Row>,
}

struct Row {
    shard: u16,
    number: u64,
    offset: u64,
    file: File,
}

impl Journal {
    fn new(data: &Path) -> Self {
        let fresh = data.join("journal/.new-1");
        std::fs::create_dir_all(&fresh).unwrap();
        let lock = File::create(fresh.join("lock")).unwrap();
        lock.try_lock().unwrap();
        let directory = data.join("journal/00000001");
        std::fs::rename(&fresh, &directory).unwrap();
        let rows = (0..SHARDS)
            .map(|shard| Row {
                shard,
                number: 0,
                offset: SEGMENT_HEADER_BYTES as u64,
                file: segment(&directory, shard, 0),
            })
            .collect();
        Self {
            directory,
            lock: Some(lock),
            rows,
        }
    }

    fn append(&mut self, record: &UsageRecord) {
        let payload = encode(&Entry::Usage(Box::new(record.clone()))).unwrap();
        let bytes = record_bytes(payload.len()) as u64;
        let row = &mut self.rows[usize::from(record.shard.0)];
        if row.offset + bytes + 16 > SEGMENT_BYTES {
            row.file
                .write_all_at(&END_OF_SEGMENT.to_le_bytes(), row.offset)
                .unwrap();
            (row.number, row.offset) = (row.number + 1, SEGMENT_HEADER_BYTES as u64);
            row.file = segment(&self.directory, row.shard, row.number);
        }
        row.file.write_all_at(&payload, row.offset + 16).unwrap();
        row.file
            .write_all_at(&record_tail(&payload), row.offset + 4)
            .unwrap();
        row.file
            .write_all_at(&u32::try_from(payload.len()).unwrap().to_le_bytes(), row.offset)
            .unwrap();
        row.offset += bytes;
    }

    /// As if the process had died.
    fn end(&mut self) {
        self.lock = None;
    }

    /// Until everything in it is stored: then its directory goes.
    fn wait(&self) {
        while self.directory.exists() {
            std::thread::sleep(Duration::from_millis(5));
        }
    }
}

fn segment(directory: &Path, shard: u16, number: u64) -> File {
    let path = directory.join(format!("{shard:03}-{number:08}.seg"));
    let draft = path.with_extension("draft");
    let file = File::create(&draft).unwrap();
    file.set_len(SEGMENT_BYTES).unwrap();
    let header = SegmentHeader {
        incarnation: 1,
        shard: ShardId(shard),
        number,
    };
    file.write_all_at(&header.encode(), 0).unwrap();
    std::fs::rename(&draft, &path).unwrap();
    file
}

/// The same, charged to both budgets of its user.
fn charged(number: u64, buckets: &[u64]) -> UsageRecord {
    let mut record = record(number);
    let user = usize::try_from(number * 7 % USERS).unwrap();
    let amounts = [
        (Unit::Usd, record.cost.map_or(0, |cost| cost.0)),
        (Unit::Tokens, 12_000 + number % 1_000),
    ];
    record.charges = buckets
        .chunks(2)
        .nth(user)
        .into_iter()
        .flatten()
        .zip(amounts)
        .map(|(bucket, (unit, amount))| Charge {
            bucket: *bucket,
            unit,
            amount,
        })
        .collect();
    record
}

/// A chat request of one of 40 users with one of five models; ten thousand a second.
fn record(number: u64) -> UsageRecord {
    let shard = ShardId(u16::try_from(number % u64::from(SHARDS)).unwrap());
    let time = 1_795_341_600_000_000 + number * 100;
    let sequence = u32::try_from(number % (1 << 20)).unwrap();
    let id = RequestId::new(time / 1_000, shard, sequence, 0x1234_5678_9abc);
    let mut r = UsageRecord::draft(id, UnixMicros(time), shard, Epoch(1), ApiKind::AnthropicMessages);
    r.user = format!("user{}@example.com", number * 7 % USERS);
    r.node = format!("100.64.0.{}", number * 7 % USERS);
    r.path = "/v1/messages".into();
    r.provider = "anthropic".into();
    r.model_asked = format!("claude-sonnet-4-{}", number % 5);
    r.model_answered = Some(format!("claude-sonnet-4-{}-20250929", number % 5));
    r.status = 200;
    r.stream = true;
    r.ended = Ended::Complete;
    r.usage_known = Known::Reported;
    r.usage.input = Some(12_000 + number % 1_000);
    r.usage.input_uncached = Some(number % 1_000);
    r.usage.cached_read = Some(12_000);
    r.usage.cache_write = Some(0);
    r.usage.output = Some(300 + number % 200);
    r.cost = Some(NanoUsd(5_000_000 + number));
    r.priced = true;
    r.stop_reason = Some("end_turn".into());
    r.ttft_us = Some(400_000 + number % 10_000);
    r.duration_us = 3_000_000 + number % 100_000;
    r.session = Some(format!("0f0e0d0c-0b0a-4908-8706-{:012x}", number / 50));
    r.user_agent = Some("claude-cli/2.0.14 (external, cli)".into());
    r.request_bytes = 60_000 + number % 1_000;
    r.response_bytes = 9_000 + number % 1_000;
    r
}
