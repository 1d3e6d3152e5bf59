//! `kill -9` of the control plane at random moments while data planes live, write, die and come back.
//!
//! The program starts itself again as the control plane, kills it at random, and does so until every request must have
//! been in reach of a kill somewhere between journal and store. In the end every completed request has exactly one
//! record, every request that was running when its data plane died has exactly one `aborted` record, and the sums agree;
//! and every budget has been charged with exactly what the requests of its user used.
//!
//! `SLUICE_KILLS` sets the number of kills (40), `SLUICE_SEED` the moments.

#![allow(clippy::print_stdout, reason = "a program that reports what it counted")]
#![allow(clippy::unwrap_used, clippy::expect_used, reason = "a test")]

#[path = "support/child.rs"]
mod child;
#[path = "support/http.rs"]
mod http;
#[path = "support/journal.rs"]
mod journal;

use std::collections::BTreeMap;
use std::io::{Read as _, Write as _};
use std::os::unix::net::UnixStream;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use child::Control;
use journal::Writer;
use serde_json::Value;
use sluice_shared::api::ApiKind;
use sluice_shared::ids::{Epoch, RequestId, ShardId};
use sluice_shared::quota::ledger::Ask;
use sluice_shared::quota::{Charge, Unit};
use sluice_shared::units::UnixMicros;
use sluice_shared::usage::{Ended, Known, UsageRecord};
use sluice_shared::wire::control::{Bucket, BucketRef, HEADER_BYTES, Header, LeaseAnswer, ToControl, ToData};
use sluice_shared::wire::inflight::Counter;
use sluice_shared::wire::journal::Entry;

/// A budget for each of the users, which nothing refills.
const DOCUMENT: &str = r#"{
    "providers": {"mock": {"baseurl": "http://127.0.0.1:1", "models": ["m"]}},
    "identity": {"sources": ["loopback"]},
    "quotas": {"q:<user>": {"capacity": "$1000.00"}},
    "grants": [{"src": ["*"], "capabilities": [{"role": "admin"}, {"models": "**", "quotas": [{"bucket": "q:<user>"}]}]}]
}"#;
const CAPACITY: i64 = 1_000_000_000_000;
const USERS: u64 = 5;

fn main() {
    if !child::was() {
        parent();
    }
}

/// xorshift64: the moments are random, and the same again for the same seed.
struct Random(u64);

impl Random {
    fn below(&mut self, bound: u64) -> u64 {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        self.0 % bound
    }
}

fn setting(name: &str, default: u64) -> u64 {
    std::env::var(name)
        .ok()
        .and_then(|text| text.parse().ok())
        .unwrap_or(default)
}

fn parent() {
    let kills = setting("SLUICE_KILLS", 40);
    let clock = std::time::SystemTime::now()
        .duration_since(std::time::UNIX_EPOCH)
        .unwrap();
    let seed = setting("SLUICE_SEED", u64::from(clock.subsec_nanos()) | 1);
    println!("kill: {kills} kills, SLUICE_SEED={seed}");
    let data = tempfile::tempdir().unwrap();
    std::fs::write(data.path().join("sluice.hujson"), DOCUMENT).unwrap();
    let stop = Arc::new(AtomicBool::new(false));
    let feeder = {
        let (data, stop) = (data.path().to_owned(), stop.clone());
        std::thread::spawn(move || feed(&data, &stop, seed))
    };
    let mut random = Random(seed);
    for _ in 0..kills {
        let mut control = Control::start(data.path());
        // From before its first file is open to well into its work.
        std::thread::sleep(Duration::from_millis(random.below(300)));
        control.process.kill().unwrap();
        control.process.wait().unwrap();
    }
    stop.store(true, Ordering::Relaxed);
    let (expected, charged) = feeder.join().unwrap();

    let mut control = Control::start(data.path());
    let found = settle(data.path(), &expected);
    let budgets = http::get(&data.path().join("api.sock"), "/api/quotas").expect("an answer");
    control.stop();
    compare(&expected, &found);
    let kept = compare_budgets(&budgets, &charged);
    let mut ends: BTreeMap<String, usize> = BTreeMap::new();
    for (ended, _) in expected.values() {
        *ends.entry(ended.clone()).or_default() += 1;
    }
    println!(
        "kill: {} requests, each stored once, and {kept} budgets kept, after {kills} kills: {ends:?}",
        expected.len()
    );
}

/// Request id → how it must be stored: end and input tokens.
type Expected = BTreeMap<String, (String, Option<u64>)>;
/// User → what its requests were charged.
type Charged = BTreeMap<String, u64>;

/// Data planes, one after the other, each killed with requests running.
fn feed(data: &Path, stop: &AtomicBool, seed: u64) -> (Expected, Charged) {
    let mut random = Random(seed ^ 0x9e37_79b9_7f4a_7c15);
    let mut expected = Expected::new();
    let mut charged = Charged::new();
    let mut budgets = BTreeMap::new();
    let mut count = 0u64;
    let mut number = 0;
    while !stop.load(Ordering::Relaxed) || number < 3 {
        number += 1;
        let mut writer = Writer::new(data, number);
        lease(data, number, stop, &mut budgets);
        let mut record = |number: u64, shard: u16, counts: bool| {
            let mut record = record(number, shard);
            if let Some(bucket) = budgets.get(&record.user) {
                let amount = number + 1;
                record.charges = vec![Charge {
                    bucket: *bucket,
                    unit: Unit::Usd,
                    amount,
                }];
                if counts {
                    *charged.entry(record.user.clone()).or_default() += amount;
                }
            }
            record
        };
        for _ in 0..100 + random.below(900) {
            let shard = u16::try_from(random.below(3)).unwrap();
            let record = record(count, shard, true);
            count += 1;
            writer.append(shard, &Entry::Usage(Box::new(record.clone())));
            let mut ended = record.ended;
            if random.below(10) == 0 {
                ended = Ended::ClientGone;
                writer.append(
                    shard,
                    &Entry::Amend {
                        request_id: record.request_id,
                        ended,
                        duration_us: 1,
                    },
                );
            }
            expected.insert(
                record.request_id.to_string(),
                (ended.name().into(), record.usage.input),
            );
            if random.below(8) == 0 {
                std::thread::sleep(Duration::from_micros(random.below(4_000)));
            }
        }
        for shard in 0..3 {
            // Recorded and not yet freed; running with counts; running without.
            let (recorded, running, fresh) = (
                record(count, shard, true),
                record(count + 1, shard, true),
                record(count + 2, shard, true),
            );
            writer.append(shard, &Entry::Usage(Box::new(recorded.clone())));
            expected.insert(
                recorded.request_id.to_string(),
                ("complete".into(), recorded.usage.input),
            );
            expected.insert(running.request_id.to_string(), ("aborted".into(), Some(7)));
            expected.insert(fresh.request_id.to_string(), ("aborted".into(), None));
            let counters = [(Counter::Input, 7), (Counter::Status, 200)];
            writer.in_flight(
                shard,
                &[
                    Some((&recorded, &[])),
                    None,
                    Some((&running, &counters)),
                    Some((&fresh, &[])),
                ],
            );
            writer.torn(shard, &record(count + 3, shard, false));
            count += 4;
        }
        writer.die();
    }
    (expected, charged)
}

/// A data plane asks for everybody's budget, until it has an answer for each.
fn lease(data: &Path, incarnation: u64, stop: &AtomicBool, budgets: &mut BTreeMap<String, u64>) {
    let mut attempt = 0;
    // Nobody answers any more once it is over.
    while !stop.load(Ordering::Relaxed) {
        attempt += 1;
        if try_lease(data, incarnation, attempt, budgets).is_some() {
            return;
        }
        std::thread::sleep(Duration::from_millis(5));
    }
}

fn try_lease(data: &Path, incarnation: u64, seq: u64, budgets: &mut BTreeMap<String, u64>) -> Option<()> {
    let mut stream = UnixStream::connect(data.join("control.sock")).ok()?;
    stream.set_read_timeout(Some(Duration::from_secs(20))).ok()?;
    let mut say = |frame: &ToControl| stream.write_all(&frame.encode().unwrap()).ok();
    say(&ToControl::Hello {
        pid: 1,
        incarnation,
        epoch: Epoch(0),
    })?;
    for user in 0..USERS {
        let bucket = BucketRef::Named(Bucket {
            quota: "q:<user>".into(),
            name: format!("q:user{user}"),
            unit: Unit::Usd,
        });
        let ask = Ask {
            seq,
            first: 1,
            ..Ask::default()
        };
        say(&ToControl::Lease {
            ticket: user,
            bucket,
            ask,
        })?;
    }
    let mut answered = 0;
    while answered < USERS {
        let mut head = [0; HEADER_BYTES];
        stream.read_exact(&mut head).ok()?;
        let header = Header::parse(&head).unwrap();
        let mut payload = vec![0; header.payload_bytes];
        stream.read_exact(&mut payload).ok()?;
        let ToData::Leased { ticket, answer } = header.to_data(&payload).unwrap() else {
            continue;
        };
        let LeaseAnswer::Granted { bucket, .. } = answer else {
            panic!("{answer:?}")
        };
        let known = budgets.insert(format!("user{ticket}"), bucket);
        assert!(
            known.is_none_or(|known| known == bucket),
            "a bucket keeps its number"
        );
        answered += 1;
    }
    Some(())
}

/// Whether every budget has lost exactly what its user's requests used; how many there are.
fn compare_budgets(found: &Value, charged: &Charged) -> usize {
    let rows = found["quotas"].as_array().unwrap();
    let found: BTreeMap<String, (u64, i64, u64)> = rows
        .iter()
        .map(|row| {
            let name = row["bucket"].as_str().unwrap();
            let number = |key: &str| row[key].as_u64().unwrap();
            let balance = row["balance"].as_i64().unwrap();
            let user = name.strip_prefix("q:").unwrap().to_owned();
            (user, (number("charged"), balance, number("leased")))
        })
        .collect();
    let expected = charged.iter().map(|(user, sum)| {
        let balance = CAPACITY - i64::try_from(*sum).unwrap();
        (user.clone(), (*sum, balance, 0))
    });
    assert_eq!(found, expected.collect());
    found.len()
}

fn record(number: u64, shard: u16) -> UsageRecord {
    let sequence = u32::try_from(number % (1 << 20)).unwrap();
    let id = RequestId::new(number, ShardId(shard), sequence, 1);
    let time = UnixMicros(1_795_341_600_000_000 + number * 1_000);
    let mut record = UsageRecord::draft(id, time, ShardId(shard), Epoch(1), ApiKind::AnthropicMessages);
    record.user = format!("user{}", number % USERS);
    record.provider = "mock".into();
    record.model_asked = "m".into();
    record.status = 200;
    record.ended = Ended::Complete;
    record.usage_known = Known::Reported;
    record.usage.input = Some(number);
    record.usage.output = Some(1);
    record
}

/// Waits until everything is stored, then reads it all, page by page.
fn settle(data: &Path, expected: &Expected) -> Vec<Value> {
    let socket = data.join("api.sock");
    let began = Instant::now();
    loop {
        let done = http::get(&socket, "/api/usage?by=provider").is_some_and(|body| {
            body["groups"][0]["requests"].as_u64() >= Some(expected.len() as u64) && journals(data) == 0
        });
        if done {
            break;
        }
        assert!(
            began.elapsed() < Duration::from_secs(120),
            "everything is stored in the end"
        );
        std::thread::sleep(Duration::from_millis(20));
    }
    let mut all = Vec::new();
    let mut cursor = String::new();
    loop {
        let page =
            http::get(&socket, &format!("/api/requests?limit=1000&cursor={cursor}")).expect("an answer");
        all.extend(page["requests"].as_array().unwrap().iter().cloned());
        match page["next_cursor"].as_str() {
            Some(next) => cursor = next.to_owned(),
            None => break,
        }
    }
    let users = http::get(&socket, "/api/usage?by=user").expect("an answer");
    let summed: u64 = users["groups"]
        .as_array()
        .unwrap()
        .iter()
        .map(|g| g["requests"].as_u64().unwrap())
        .sum();
    assert_eq!(summed, expected.len() as u64, "sums count every request once");
    let input: u64 = users["groups"]
        .as_array()
        .unwrap()
        .iter()
        .map(|g| g["input"].as_u64().unwrap())
        .sum();
    assert_eq!(
        input,
        expected.values().filter_map(|(_, input)| *input).sum::<u64>(),
        "and its tokens"
    );
    let health = http::get(&socket, "/api/health").expect("an answer");
    assert_eq!(health["ingest"]["damaged"], 0, "{health}");
    all
}

fn journals(data: &Path) -> usize {
    std::fs::read_dir(data.join("journal")).map_or(0, |entries| entries.count())
}

fn compare(expected: &Expected, found: &[Value]) {
    let mut seen = Expected::new();
    for record in found {
        let id = record["request_id"].as_str().unwrap().to_owned();
        let value = (
            record["ended"].as_str().unwrap().to_owned(),
            record["input"].as_u64(),
        );
        assert!(seen.insert(id.clone(), value).is_none(), "{id} is stored twice");
    }
    for (id, value) in expected {
        assert_eq!(seen.get(id), Some(value), "{id}");
    }
    assert_eq!(seen.len(), expected.len(), "nothing that nobody sent");
}
