//! A new document every second under running streams: nobody is reset, nothing is mixed.
//!
//! Version N of the document sets everything that a request meets to N: the provider's key, a header of the provider, a
//! header of the grant, the model behind the alias that is asked for, and the only model that is granted. The mock
//! lives in this process and notes the four; a request that bears two versions is mixed, one that was judged by one
//! version and renamed by another is refused. Streams run all the time, one after the other on each connection; short
//! calls on connections of their own measure what a swap costs, first without and then with reloads.

use std::cell::{Cell, RefCell};
use std::collections::{BTreeMap, BTreeSet};
use std::net::SocketAddr;
use std::path::Path;
use std::rc::Rc;
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, bail};
use serde_json::{Value, json};
use sluice_loadtest::mock::{Ending, Entry, Mock, MockOptions};
use tokio::io::AsyncWriteExt as _;
use tokio::net::{TcpListener, TcpStream};
use tokio::task::LocalSet;

use crate::gateway::Gateway;
use crate::generator::check::Expect;
use crate::generator::client::Reader;
use crate::generator::histogram::Histogram;

/// What every request asks for; each version sends it elsewhere.
const ALIAS: &str = "mock-reload";
/// How long any one answer may be silent.
const SILENCE_LIMIT: Duration = Duration::from_secs(20);
/// Headers that the mock notes of each request.
const NOTED: [&str; 3] = ["authorization", "x-config", "x-grant"];
/// Faults that are printed.
const FAULTS_SHOWN: usize = 10;

/// How to reload.
#[derive(clap::Args, Debug)]
pub(crate) struct Options {
    /// The `sluice` binary
    #[arg(long, value_name = "PATH")]
    sluice: String,
    /// Seconds of reloads, one new document each
    #[arg(long, default_value_t = 60)]
    seconds: u64,
    /// Seconds without reloads before, to compare with
    #[arg(long, default_value_t = 20)]
    before: u64,
    /// Streams that run at any moment
    #[arg(long, default_value_t = 1_000)]
    streams: usize,
    /// Short calls a second
    #[arg(long, default_value_t = 200)]
    rate: u32,
    /// Shards of the data plane
    #[arg(long, default_value_t = 2)]
    shards: u32,
    /// Users in the document, each with an address of its own
    #[arg(long, default_value_t = 0)]
    users: u32,
    /// Grants in the document beside those that are needed
    #[arg(long, default_value_t = 0)]
    grants: u32,
    /// p99 that reloads may add to a short call, in milliseconds; more fails the command
    #[arg(long, default_value_t = 5.0)]
    step_ms: f64,
}

/// What the asking tasks share.
#[derive(Default)]
struct Shared {
    stop: Cell<bool>,
    /// Version in the file.
    version: Cell<u64>,
    streams: Cell<u64>,
    short: Cell<u64>,
    faults: Cell<u64>,
    texts: RefCell<BTreeMap<String, u64>>,
    times: RefCell<Histogram>,
}

impl Shared {
    fn fault(&self, text: String) {
        self.faults.set(self.faults.get() + 1);
        let mut texts = self.texts.borrow_mut();
        if texts.len() < 1_000 || texts.contains_key(&text) {
            *texts.entry(text).or_default() += 1;
        }
    }
}

/// Document number `version`.
fn document(version: u64, upstream: SocketAddr, users: u32, grants: u32) -> String {
    let model = format!("mock-v{version}");
    let mut rules = vec![json!({"src": ["(loopback)"], "capabilities": [
        {"role": "admin", "models": [format!("mock/{model}"), "mock/mock-gpt"], "read_metrics": true},
        {"models": [format!("mock/{model}")], "add_headers": [format!("x-grant: {version}")]},
    ]})];
    rules.extend((0..grants).map(|n| {
        json!({"src": [format!("group:g{n}"), format!("user{n}@example.com")],
               "capabilities": [{"role": "user", "models": [format!("mock/mock-{n}-*"), format!("mock/*-{n}")]}]})
    }));
    let networks: Vec<Value> = (0..users)
        .map(|n| {
            let [_, b, c, d] = n.to_be_bytes();
            json!({"cidr": format!("10.{b}.{c}.{d}/32"), "login": format!("user{n}@example.com"),
                   "groups": [format!("group:g{}", n % grants.max(1))]})
        })
        .collect();
    let mut document = json!({
        "providers": {"mock": {
            "baseurl": format!("http://{upstream}"),
            "apikey": format!("key-{version}"),
            "models": ["mock-*"],
            "add_headers": [format!("x-config: {version}")],
            "compatibility": {"openai_chat": true},
        }},
        "model_aliases": {ALIAS: model},
        "grants": rules,
    });
    if users > 0 {
        document["identity"] = json!({"sources": ["loopback", "static"], "static": networks});
    }
    document.to_string()
}

/// Replaces the document as editors do.
fn write(path: &Path, text: &str) -> Result<()> {
    let fresh = path.with_extension("fresh");
    std::fs::write(&fresh, text)?;
    std::fs::rename(&fresh, path)?;
    Ok(())
}

/// Runs the reloads and judges what was seen.
pub(crate) async fn run(options: Options) -> Result<()> {
    let dir = std::env::temp_dir().join(format!("sluice-reload-{}", std::process::id()));
    std::fs::create_dir_all(&dir)?;
    let wanted = options.streams.saturating_mul(2).saturating_add(512);
    let files = crate::process::raise_open_files().context("reading the limit of open files")?;
    if files < wanted as u64 {
        bail!("{wanted} open files are needed, {files} are allowed (ulimit -n)");
    }
    let mock = Mock::new(MockOptions {
        ledger_max: 5_000_000,
        ledger_headers: NOTED.map(str::to_owned).to_vec(),
        ..MockOptions::default()
    });
    let listener = TcpListener::bind(("127.0.0.1", 0)).await?;
    let upstream = listener.local_addr()?;
    tokio::spawn(mock.clone().serve(listener));
    let (users, grants) = (options.users, options.grants);
    let first = document(1, upstream, users, grants);
    println!(
        "document: {} bytes, {users} users, {} grants",
        first.len(),
        grants + 1
    );
    let gateway = {
        let (binary, shards, dir) = (options.sluice.clone(), options.shards, dir.clone());
        tokio::task::spawn_blocking(move || Gateway::start_with(&binary, shards, &dir, &first)).await??
    };
    let file = gateway.document();
    let shared = Rc::new(Shared::default());
    shared.version.set(1);
    let local = LocalSet::new();
    let mut tasks: Vec<_> = (0..options.streams)
        .map(|n| local.spawn_local(keep_streaming(n, gateway.address(), Rc::clone(&shared))))
        .collect();
    tasks.push(local.spawn_local(keep_calling(options.rate, gateway.address(), Rc::clone(&shared))));
    let (quiet, loaded) = local
        .run_until(async {
            let phases = phases(&options, &file, upstream, &shared).await;
            shared.stop.set(true);
            for task in tasks {
                let _ended = task.await;
            }
            phases
        })
        .await?;
    let step = report(&options, &shared, &quiet, &loaded);
    let faults = judge(&gateway, &mock, &shared).await?;
    if faults > 0 || step > options.step_ms {
        bail!(
            "{faults} faults, p99 {step:.2} ms above that without reloads; data kept in {}",
            dir.display()
        );
    }
    drop(gateway);
    std::fs::remove_dir_all(&dir)?;
    Ok(())
}

/// First without reloads, then with one a second. Gives the times of short calls in both.
async fn phases(
    options: &Options,
    file: &Path,
    upstream: SocketAddr,
    shared: &Rc<Shared>,
) -> Result<(Histogram, Histogram)> {
    // All streams run.
    tokio::time::sleep(Duration::from_secs(3)).await;
    shared.times.take();
    tokio::time::sleep(Duration::from_secs(options.before)).await;
    let quiet = shared.times.take();
    let begin = tokio::time::Instant::now();
    for second in 0..options.seconds {
        let version = second + 2;
        let (path, users, grants) = (file.to_owned(), options.users, options.grants);
        // Large documents take a while to be put together; the load goes on meanwhile.
        tokio::task::spawn_blocking(move || write(&path, &document(version, upstream, users, grants)))
            .await??;
        shared.version.set(version);
        tokio::time::sleep_until(begin + Duration::from_secs(second + 1)).await;
    }
    Ok((quiet, shared.times.take()))
}

fn request(id: &str, address: SocketAddr, stream: bool) -> Vec<u8> {
    let (option, settings) = if stream {
        (
            r#","stream":true,"stream_options":{"include_usage":true}"#,
            "x-mock-events: 100\r\nx-mock-gap-ms: 50\r\n",
        )
    } else {
        ("", "x-mock-events: 5\r\n")
    };
    let body = format!(r#"{{"model":"{ALIAS}","messages":[{{"role":"user","content":"hi"}}]{option}}}"#);
    format!(
        "POST /v1/chat/completions HTTP/1.1\r\nHost: {address}\r\nContent-Type: application/json\r\n\
         x-mock-id: {id}\r\nx-mock-verify: 1\r\n{settings}Content-Length: {}\r\n\r\n{body}",
        body.len()
    )
    .into_bytes()
}

/// One whole answer; an error says in what way it was not.
async fn exchange(stream: &mut TcpStream, message: &[u8]) -> Result<(), String> {
    let mut reader = Reader::new(Expect::Whole);
    let text = |error: std::io::Error| error.kind().to_string();
    stream.write_all(message).await.map_err(text)?;
    let mut buffer = vec![0; 4 << 10];
    loop {
        tokio::time::timeout(SILENCE_LIMIT, stream.readable())
            .await
            .map_err(|_| "silence".to_owned())?
            .map_err(text)?;
        let done = match stream.try_read(&mut buffer) {
            Ok(0) => reader.closed().map(|()| true),
            Ok(n) => reader.feed(buffer.get(..n).unwrap_or_default()),
            Err(error) if error.kind() == std::io::ErrorKind::WouldBlock => continue,
            Err(error) => return Err(text(error)),
        };
        if done.map_err(|fault| format!("{fault:?}"))? {
            return if reader.close() {
                Err("the gateway closed a connection that could have lived on".to_owned())
            } else {
                Ok(())
            };
        }
    }
}

/// Streams one after the other on one connection, begun at different moments.
async fn keep_streaming(number: usize, address: SocketAddr, shared: Rc<Shared>) {
    tokio::time::sleep(Duration::from_millis((number as u64).saturating_mul(7) % 2_000)).await;
    let mut kept: Option<TcpStream> = None;
    let mut turn = 0_u64;
    while !shared.stop.get() {
        let mut stream = match kept.take() {
            Some(stream) => stream,
            None => match TcpStream::connect(address).await {
                Ok(stream) => stream,
                Err(error) => {
                    shared.fault(format!("connect: {}", error.kind()));
                    return;
                }
            },
        };
        turn += 1;
        match exchange(
            &mut stream,
            &request(&format!("s-{number}-{turn}"), address, true),
        )
        .await
        {
            Ok(()) => {
                shared.streams.set(shared.streams.get() + 1);
                kept = Some(stream);
            }
            Err(text) => shared.fault(format!("stream: {text}")),
        }
    }
}

/// Short calls at a steady pace, each on the one connection that is free.
async fn keep_calling(rate: u32, address: SocketAddr, shared: Rc<Shared>) {
    let pause = Duration::from_secs(1) / rate.max(1);
    let idle: Rc<RefCell<Vec<TcpStream>>> = Rc::default();
    let mut due = tokio::time::Instant::now();
    let mut number = 0_u64;
    let mut running = Vec::new();
    while !shared.stop.get() {
        tokio::time::sleep_until(due).await;
        due += pause;
        number += 1;
        let (idle, shared) = (Rc::clone(&idle), Rc::clone(&shared));
        running.push(tokio::task::spawn_local(async move {
            let kept = idle.borrow_mut().pop();
            let mut stream = match kept {
                Some(stream) => stream,
                None => match TcpStream::connect(address).await {
                    Ok(stream) => stream,
                    Err(error) => return shared.fault(format!("connect: {}", error.kind())),
                },
            };
            let begin = Instant::now();
            match exchange(&mut stream, &request(&format!("c-{number}"), address, false)).await {
                Ok(()) => {
                    let micros = u64::try_from(begin.elapsed().as_micros()).unwrap_or(u64::MAX);
                    shared.times.borrow_mut().record(micros);
                    shared.short.set(shared.short.get() + 1);
                    idle.borrow_mut().push(stream);
                }
                Err(text) => shared.fault(format!("call: {text}")),
            }
        }));
        running.retain(|task| !task.is_finished());
    }
    for task in running {
        let _ended = task.await;
    }
}

/// Prints the times; gives how much p99 grew, in milliseconds.
fn report(options: &Options, shared: &Shared, quiet: &Histogram, loaded: &Histogram) -> f64 {
    let ms = |micros: u64| micros as f64 / 1_000.0;
    println!("| short calls | p50 ms | p99 ms | p99.9 ms | max ms |\n| --- | --- | --- | --- | --- |");
    for (name, times) in [("without reloads", quiet), ("with reloads", loaded)] {
        let [p50, p99, p999, max] = [50.0, 99.0, 99.9, 100.0].map(|percent| ms(times.percentile(percent)));
        println!("| {name} | {p50:.2} | {p99:.2} | {p999:.2} | {max:.2} |");
    }
    println!(
        "{} versions of the document; {} whole streams, {} whole short calls, {} faults",
        options.seconds + 1,
        shared.streams.get(),
        shared.short.get(),
        shared.faults.get()
    );
    for (text, count) in shared.texts.borrow().iter().take(FAULTS_SHOWN) {
        println!("  {count} times: {text}");
    }
    ms(loaded.percentile(99.0)) - ms(quiet.percentile(99.0))
}

/// The versions that a request bears at the mock; one if all is well.
fn versions(entry: &Entry) -> BTreeSet<String> {
    let mut found = BTreeSet::new();
    let noted = |name: &str| entry.headers.get(name).map_or("missing", String::as_str);
    found.insert(
        noted("authorization")
            .trim_start_matches("Bearer key-")
            .to_owned(),
    );
    found.insert(noted("x-config").to_owned());
    found.insert(noted("x-grant").to_owned());
    found.insert(entry.model.trim_start_matches("mock-v").to_owned());
    found
}

/// A record's place in the order of starts on its shard, from its id: 12 digits of time, 3 of the shard, 5 of a number.
fn start(record: &Value) -> Option<(u64, u64)> {
    let id = record.get("request_id")?.as_str()?;
    let part = |range| u64::from_str_radix(id.get(range)?, 16).ok();
    Some((part(12..15)?, part(0..12)?.checked_shl(20)? | part(15..20)?))
}

/// Pairs of requests that began in one order and were judged by documents in the other.
fn backward(records: &[Value]) -> usize {
    let mut rows: Vec<((u64, u64), u64)> = records
        .iter()
        .filter_map(|record| Some((start(record)?, record.get("epoch")?.as_u64()?)))
        .collect();
    rows.sort_unstable();
    rows.windows(2)
        .filter(|pair| matches!(pair, [(a, before), (b, after)] if a.0 == b.0 && before > after))
        .count()
}

/// Counts what must not be: mixed requests, records out of order, answers that were not whole, reloads that were not.
async fn judge(gateway: &Gateway, mock: &Mock, shared: &Shared) -> Result<u64> {
    let entries: Vec<Entry> = mock
        .entries(0, usize::MAX)
        .into_iter()
        .filter(|entry| entry.id.is_some())
        .collect();
    let mut seen = BTreeSet::new();
    let (mut mixed, mut broken) = (0_u64, 0_u64);
    for entry in &entries {
        let found = versions(entry);
        if found.len() != 1 {
            mixed += 1;
            println!("mixed: {found:?} in {:?}", entry.id);
        }
        if entry.ended != Ending::Complete {
            broken += 1;
        }
        seen.extend(found);
    }
    let wanted = shared.streams.get() + shared.short.get();
    let begin = Instant::now();
    let records = loop {
        let records = gateway.records().await?;
        if records.len() as u64 >= wanted || begin.elapsed() > SILENCE_LIMIT {
            break records;
        }
        tokio::time::sleep(Duration::from_millis(200)).await;
    };
    let backward = backward(&records);
    let epochs: BTreeSet<u64> = records
        .iter()
        .filter_map(|record| record.get("epoch")?.as_u64())
        .collect();
    println!(
        "{} requests at the mock: {mixed} mixed, {broken} broken off; {} of {} versions seen there; {} records, {} epochs, \
         {backward} out of order",
        entries.len(),
        seen.len(),
        shared.version.get(),
        records.len(),
        epochs.len(),
    );
    let mut faults = shared.faults.get() + mixed + broken + backward as u64;
    // A document that is replaced before it was read is no fault; hardly any reload at all is.
    if (seen.len() as u64) * 2 < shared.version.get() {
        println!("too few versions were ever used");
        faults += 1;
    }
    if (records.len() as u64) < wanted {
        println!("{} records are missing", wanted - records.len() as u64);
        faults += 1;
    }
    Ok(faults)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_document_holds_one_version() {
        let text = document(7, "127.0.0.1:1".parse().unwrap(), 300, 3);
        let read: Value = serde_json::from_str(&text).unwrap();
        assert_eq!(read["providers"]["mock"]["apikey"], "key-7");
        assert_eq!(read["model_aliases"][ALIAS], "mock-v7");
        assert_eq!(read["grants"].as_array().map(Vec::len), Some(4));
        assert_eq!(read["identity"]["static"][299]["cidr"], "10.0.1.43/32");
    }

    #[test]
    fn records_out_of_order_are_found() {
        let record = |ms: u64, shard: u64, number: u64, epoch: u64| json!({"request_id": format!("{ms:012x}{shard:03x}{number:05x}000000000000"), "epoch": epoch});
        let check = |records: &[Value], expected| assert_eq!(backward(records), expected, "{records:?}");
        check(&[record(1, 0, 0, 1), record(1, 0, 1, 2), record(2, 0, 2, 2)], 0);
        check(&[record(2, 0, 2, 2), record(1, 0, 0, 3)], 1);
        check(&[record(1, 0, 1, 1), record(1, 0, 0, 2)], 1);
        check(&[record(1, 0, 0, 2), record(2, 1, 1, 1)], 0);
    }
}
