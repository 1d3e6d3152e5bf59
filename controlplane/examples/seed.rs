//! A data directory that looks like a real organisation's: ten million requests of ten thousand people over ninety days,
//! with sessions, captures, budgets. Measurements of the admin API and pictures of the dashboard are made from it.
//!
//! ```text
//! cargo run --release -p sluice-controlplane --example seed -- --data DIRECTORY [--requests 10000000] [--users 10000]
//!     [--days 90] [--captures 20000] [--seed 1] [--end UNIX-SECONDS]
//! ```
//!
//! The same arguments give the same store. What is asked comes from the load test's model of an organisation; it is stored by
//! the code that ingest uses, so that every sum and index is what ingest would have written. A small one
//! (`--requests 20000 --captures 400`) takes seconds. `--end`: when the last request comes, by default the full hour before
//! now. The directory must not hold a store yet; start a gateway in it with its `sluice.hujson`.

#![allow(clippy::print_stdout, reason = "a program that reports what it did")]
#![allow(clippy::unwrap_used, clippy::expect_used, reason = "a tool fails loudly")]

use std::collections::HashMap;
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::mpsc;
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use sluice_controlplane::seeding::{SeedCapture, Seeder};
use sluice_loadtest::organisation::{Asked, Organisation, Shape, Work, exchange};
use sluice_shared::quota::{Charge, Unit};
use sluice_shared::units::UnixMicros;
use sluice_shared::usage::{Ended, UsageRecord};
use sluice_shared::wire::capture::{AnswerHead, Opened};

/// Providers, guardrails and budgets that the requests are about.
const DOCUMENT: &str = include_str!("seed/sluice.hujson");
/// Requests of one transaction: what of them goes to one sum is added up first.
const BATCH: usize = 100_000;
/// Budgets are charged with the requests of these last days.
const CHARGED_US: u64 = 3 * 86_400_000_000;

fn main() {
    let mut arguments: HashMap<String, String> = HashMap::new();
    let mut words = std::env::args().skip(1);
    while let Some(word) = words.next() {
        let name = word.strip_prefix("--").expect("options begin with --").to_owned();
        let known = ["data", "requests", "users", "days", "captures", "seed", "end"];
        assert!(known.contains(&name.as_str()), "known are {known:?}");
        arguments.insert(name, words.next().expect("an option has a value"));
    }
    let number = |name: &str| {
        let text = arguments.get(name)?;
        Some(
            text.parse::<u64>()
                .unwrap_or_else(|_| panic!("--{name} is a number")),
        )
    };
    let requests = number("requests").unwrap_or(10_000_000);
    let large = requests >= 1_000_000;
    let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap().as_secs();
    let shape = Shape {
        requests,
        users: u32::try_from(number("users").unwrap_or_else(|| (requests / 100).clamp(40, 10_000))).unwrap(),
        days: u32::try_from(number("days").unwrap_or(if large { 90 } else { 14 })).unwrap(),
        captures: number("captures").unwrap_or_else(|| 20_000.min(requests / 50)),
        seed: number("seed").unwrap_or(1),
        end: number("end").unwrap_or(now / 3_600 * 3_600) * 1_000_000,
    };
    let data = PathBuf::from(arguments.get("data").expect("--data DIRECTORY"));
    fill(&data, shape);
}

fn fill(data: &std::path::Path, shape: Shape) {
    let began = Instant::now();
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .worker_threads(1)
        .enable_all()
        .build()
        .unwrap();
    let mut seeder = Seeder::new(data, DOCUMENT, runtime.handle().clone()).unwrap();
    let organisation = Arc::new(Organisation::new(&shape));
    // One thread makes up, the other stores.
    let (send, batches) = mpsc::sync_channel::<Vec<Asked>>(2);
    let people = organisation.clone();
    let making = std::thread::spawn(move || {
        let mut work = Work::new(shape, people);
        loop {
            let batch: Vec<Asked> = work.by_ref().take(BATCH).collect();
            if batch.is_empty() || send.send(batch).is_err() {
                return;
            }
        }
    });
    let charged_from = shape.end.saturating_sub(CHARGED_US);
    let (mut buckets, mut stored, mut said) = (Buckets::default(), 0u64, Duration::ZERO);
    for mut batch in batches {
        let last = batch.last().expect("batches are not empty").record.time;
        for asked in batch
            .iter_mut()
            .filter(|asked| asked.record.time.0 >= charged_from)
        {
            buckets.charge(&seeder, &mut asked.record, UnixMicros(charged_from));
        }
        stored += batch.len() as u64;
        for asked in batch.iter().filter(|asked| asked.told.is_some()) {
            let (capture, ended) = capture(asked);
            seeder.capture(capture, ended).unwrap();
        }
        let records = batch.into_iter().map(|asked| asked.record).collect();
        seeder.records(records, last).unwrap();
        if began.elapsed() > said + Duration::from_secs(10) {
            said = began.elapsed();
            println!("{stored} requests after {said:.0?}");
        }
    }
    making.join().unwrap();
    let bytes = seeder.finish().unwrap();
    println!(
        "{stored} requests of {} people and devices, {} captures at most: {:.1?}, {} MiB",
        organisation.people.len(),
        shape.captures,
        began.elapsed(),
        bytes >> 20
    );
}

/// Numbers of budgets by their names.
#[derive(Default)]
struct Buckets(HashMap<(String, Unit), Option<u64>>);

impl Buckets {
    /// Takes what a request used from the budgets of the person and of all.
    fn charge(&mut self, seeder: &Seeder, record: &mut UsageRecord, now: UnixMicros) {
        let tokens = record.usage.input.unwrap_or(0) + record.usage.output.unwrap_or(0);
        let cost = record.cost.map_or(0, |cost| cost.0);
        let own = format!("person:{}", record.user);
        for (quota, name, unit, amount) in [
            ("person:<user>", own.as_str(), Unit::Usd, cost),
            ("person:<user>", own.as_str(), Unit::Tokens, tokens),
            ("company", "company", Unit::Usd, cost),
        ] {
            let key = (name.to_owned(), unit);
            let number = *self
                .0
                .entry(key)
                .or_insert_with(|| seeder.bucket(quota, name, unit, now).unwrap());
            if let Some(bucket) = number.filter(|_| amount > 0) {
                record.charges.push(Charge { bucket, unit, amount });
            }
        }
    }
}

/// A capture, and when it ended.
fn capture(asked: &Asked) -> (SeedCapture, UnixMicros) {
    let record = asked.record.clone();
    let said = exchange(asked.told.expect("it is told"), &record);
    let opened = Opened {
        request_id: record.request_id,
        time: record.time,
        epoch: record.epoch,
        api: record.api,
        stream: record.stream,
        user: record.user.clone(),
        node: record.node.clone(),
        method: "POST".to_owned(),
        target: record.path.clone(),
        provider: record.provider.clone(),
        model: record.model_asked.clone(),
        headers: said.request_headers,
        keep: true,
        events: Vec::new(),
    };
    let ended = UnixMicros(record.time.0.saturating_add(record.duration_us));
    let answered = record.ended != Ended::UpstreamFailed;
    let capture = SeedCapture {
        opened,
        request: said.request,
        answer_head: answered.then_some(AnswerHead {
            status: record.status,
            headers: said.answer_headers,
        }),
        answer: if answered { said.answer } else { Vec::new() },
        record,
    };
    (capture, ended)
}
