//! `kill -9` at random moments under load, then the books are balanced (`reconcile`).
//!
//! The mock lives in this process, so that its ledger outlives every kill. Requests are numbered; number n asks for
//! the model `mock-kill-n` and bears `x-mock-id: n`. Answers are JSON, short streams and long ones in turn, so that a
//! kill finds requests in every phase.

use std::cell::{Cell, RefCell};
use std::collections::{BTreeMap, BTreeSet};
use std::net::SocketAddr;
use std::rc::Rc;
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, bail};
use clap::ValueEnum;
use serde_json::Value;
use sluice_loadtest::mock::{Ending, Mock, MockOptions};
use sluice_loadtest::random::Random;
use tokio::io::AsyncWriteExt as _;
use tokio::net::{TcpListener, TcpStream};
use tokio::task::LocalSet;

use crate::gateway::{Gateway, Plane};
use crate::generator::check::Expect;
use crate::generator::client::{Fault, Reader};
use crate::process::signal;
use crate::reconcile::{Books, Record, Seen, reconcile};

/// Beginning of the models that are asked for.
const MODEL_PREFIX: &str = "mock-kill-";
/// How long a plane may take to be back.
const RESTART_LIMIT: Duration = Duration::from_secs(15);
/// How long any one answer may take.
const ANSWER_LIMIT: Duration = Duration::from_secs(20);

/// What is killed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(crate) enum Victim {
    Dataplane,
    Controlplane,
    Both,
    /// One of the three, drawn each time
    Random,
}

/// How to kill.
#[derive(clap::Args, Debug)]
pub(crate) struct Options {
    /// The `sluice` binary
    #[arg(long, value_name = "PATH")]
    sluice: String,
    /// Number of kills
    #[arg(long, default_value_t = 30)]
    kills: u32,
    /// What to kill
    #[arg(long, value_enum, default_value_t = Victim::Random)]
    victim: Victim,
    /// Connections of the load
    #[arg(long, default_value_t = 24)]
    connections: usize,
    /// Shards of the data plane
    #[arg(long, default_value_t = 2)]
    shards: u32,
    /// Longest pause before a kill, in milliseconds (drawn between a tenth of it and it)
    #[arg(long, default_value_t = 1200)]
    pause_ms: u64,
    /// Beginning of the random numbers
    #[arg(long)]
    seed: Option<u64>,
    /// How long the gateway may take to bring its records home after the last kill, in seconds
    #[arg(long, default_value_t = 20)]
    settle: u64,
}

/// What the asking tasks share.
struct Shared {
    next: Cell<u64>,
    stop: Cell<bool>,
    seen: RefCell<BTreeMap<u64, Seen>>,
    wrong: RefCell<Vec<String>>,
    /// The gateway's own errors, and how often each came.
    refused: RefCell<BTreeMap<String, u64>>,
}

/// Runs the kills and balances the books.
pub(crate) async fn run(options: Options) -> Result<()> {
    let clock = std::time::SystemTime::now()
        .duration_since(std::time::UNIX_EPOCH)
        .unwrap_or_default();
    let seed = options
        .seed
        .unwrap_or_else(|| u64::from(clock.subsec_nanos()) | 1);
    println!("seed {seed}");
    let mut random = Random::new(seed);
    let dir = std::env::temp_dir().join(format!("sluice-kill-{}", std::process::id()));
    std::fs::create_dir_all(&dir)?;
    let mock = Mock::new(MockOptions {
        ledger_max: 5_000_000,
        ..MockOptions::default()
    });
    let listener = TcpListener::bind(("127.0.0.1", 0)).await?;
    let upstream = listener.local_addr()?;
    tokio::spawn(mock.clone().serve(listener));
    let gateway = {
        let (binary, shards, dir) = (options.sluice.clone(), options.shards, dir.clone());
        // Starting blocks until the gateway answers, which needs the mock to run meanwhile.
        tokio::task::spawn_blocking(move || Gateway::start(&binary, shards, upstream, &dir)).await??
    };
    let shared = Rc::new(Shared {
        next: Cell::new(1),
        stop: Cell::new(false),
        seen: RefCell::default(),
        wrong: RefCell::default(),
        refused: RefCell::default(),
    });
    let local = LocalSet::new();
    let tasks: Vec<_> = (0..options.connections)
        .map(|_| local.spawn_local(keep_asking(gateway.address(), Rc::clone(&shared))))
        .collect();
    let kills = local
        .run_until(async {
            let done = kill(&options, &gateway, &mut random).await;
            shared.stop.set(true);
            for task in tasks {
                let _ended = task.await;
            }
            done
        })
        .await?;
    println!("kills: {kills:?}");
    let (wrong, seen) = (shared.wrong.take(), shared.seen.take());
    let books = balance(&gateway, &mock, &seen, Duration::from_secs(options.settle)).await?;
    print(&books, &wrong);
    for (text, count) in shared.refused.take() {
        println!("refused {count} times: {text}");
    }
    if books.faults() > 0 || !wrong.is_empty() {
        bail!(
            "the books do not balance: {} faults; data kept in {}",
            books.faults() + wrong.len(),
            dir.display()
        );
    }
    drop(gateway);
    std::fs::remove_dir_all(&dir)?;
    Ok(())
}

/// Kills as often as asked; gives how often each was killed and the slowest restart in milliseconds.
async fn kill(
    options: &Options,
    gateway: &Gateway,
    random: &mut Random,
) -> Result<BTreeMap<&'static str, u128>> {
    let mut counts: BTreeMap<&'static str, u128> = BTreeMap::new();
    for _ in 0..options.kills {
        let pause = random.between(options.pause_ms / 10, options.pause_ms);
        tokio::time::sleep(Duration::from_millis(pause)).await;
        let victim = match (options.victim, random.between(0, 2)) {
            (Victim::Random, 0) => Victim::Dataplane,
            (Victim::Random, 1) => Victim::Controlplane,
            (Victim::Random, _) => Victim::Both,
            (victim, _) => victim,
        };
        let (name, planes): (&str, &[Plane]) = match victim {
            Victim::Dataplane => ("data plane", &[Plane::Data]),
            Victim::Controlplane => ("control plane", &[Plane::Control]),
            Victim::Both | Victim::Random => ("both", &[Plane::Data, Plane::Control]),
        };
        let mut dead = Vec::new();
        for plane in planes {
            dead.push((
                *plane,
                gateway
                    .pid(*plane)
                    .with_context(|| format!("no process found for {plane:?}"))?,
            ));
        }
        for (_, pid) in &dead {
            signal("KILL", *pid);
        }
        *counts.entry(name).or_default() += 1;
        for (plane, pid) in dead {
            let took = gateway.restarted(plane, pid, RESTART_LIMIT).await?;
            let slowest = counts
                .entry(match plane {
                    Plane::Data => "slowest restart of the data plane, ms",
                    Plane::Control => "slowest restart of the control plane, ms",
                })
                .or_default();
            *slowest = (*slowest).max(took.as_millis());
        }
        await_service(gateway).await?;
    }
    Ok(counts)
}

async fn await_service(gateway: &Gateway) -> Result<()> {
    let begin = Instant::now();
    let address = gateway.address();
    while begin.elapsed() < RESTART_LIMIT {
        let status = tokio::task::spawn_blocking(move || crate::target::probe(address)).await?;
        if matches!(status, Ok(200)) {
            return Ok(());
        }
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
    bail!("the gateway does not serve {RESTART_LIMIT:?} after a kill")
}

/// Request number n on the wire, and whether its answer is a stream.
fn request(number: u64, address: SocketAddr) -> Vec<u8> {
    let (path, stream, settings) = match number % 4 {
        0 => ("/v1/chat/completions", false, "x-mock-events: 20\r\n"),
        1 => (
            "/v1/chat/completions",
            true,
            "x-mock-events: 10\r\nx-mock-gap-ms: 3\r\n",
        ),
        2 => ("/v1/messages", true, "x-mock-events: 40\r\nx-mock-gap-ms: 10\r\n"),
        _ => (
            "/v1/messages",
            false,
            "x-mock-events: 20\r\nx-mock-head-ms: 30\r\n",
        ),
    };
    let options = match (stream, path) {
        (true, "/v1/chat/completions") => r#","stream":true,"stream_options":{"include_usage":true}"#,
        (true, _) => r#","stream":true"#,
        (false, _) => "",
    };
    let body = format!(
        r#"{{"model":"{MODEL_PREFIX}{number}","max_tokens":100,"messages":[{{"role":"user","content":"hi"}}]{options}}}"#
    );
    format!(
        "POST {path} HTTP/1.1\r\nHost: {address}\r\nContent-Type: application/json\r\nAuthorization: Bearer x\r\n\
         User-Agent: loadtest-kill/{number}\r\nx-mock-id: {number}\r\nx-mock-verify: 1\r\n{settings}Content-Length: {}\r\n\r\n{body}",
        body.len()
    )
    .into_bytes()
}

async fn keep_asking(address: SocketAddr, shared: Rc<Shared>) {
    let mut connection: Option<TcpStream> = None;
    while !shared.stop.get() {
        let stream = match connection.take() {
            Some(stream) => stream,
            None => match TcpStream::connect(address).await {
                Ok(stream) => stream,
                Err(_) => {
                    tokio::time::sleep(Duration::from_millis(5)).await;
                    continue;
                }
            },
        };
        let number = shared.next.replace(shared.next.get() + 1);
        let asked = tokio::time::timeout(ANSWER_LIMIT, ask(stream, number, address)).await;
        let (seen, kept) = match asked {
            Ok(Ok(stream)) => (Seen::Complete, stream),
            Ok(Err(Broken::Fault(Fault::Status(status, text)))) => {
                // Without the request's own number and id, so that equal refusals count together.
                let plain = text
                    .split_inclusive(' ')
                    .filter(|word| !word.bytes().any(|b| b.is_ascii_digit()));
                let key = format!("{status} {}", plain.collect::<String>());
                *shared.refused.borrow_mut().entry(key).or_default() += 1;
                (Seen::Refused, None)
            }
            Ok(Err(Broken::Fault(Fault::Closed) | Broken::Connection)) => (Seen::Broken, None),
            Ok(Err(Broken::Fault(fault))) => {
                shared
                    .wrong
                    .borrow_mut()
                    .push(format!("request {number}: {fault:?}"));
                (Seen::Broken, None)
            }
            Err(_) => {
                shared
                    .wrong
                    .borrow_mut()
                    .push(format!("request {number}: no end within {ANSWER_LIMIT:?}"));
                (Seen::Broken, None)
            }
        };
        connection = kept;
        shared.seen.borrow_mut().insert(number, seen);
    }
}

enum Broken {
    Fault(Fault),
    Connection,
}

/// Gives the connection back if it can serve again.
async fn ask(mut stream: TcpStream, number: u64, address: SocketAddr) -> Result<Option<TcpStream>, Broken> {
    let mut reader = Reader::new(Expect::Whole);
    stream
        .write_all(&request(number, address))
        .await
        .map_err(|_| Broken::Connection)?;
    let mut buffer = vec![0; 16 << 10];
    loop {
        stream.readable().await.map_err(|_| Broken::Connection)?;
        let done = match stream.try_read(&mut buffer) {
            Ok(0) => reader.closed().map(|()| true),
            Ok(n) => reader.feed(buffer.get(..n).unwrap_or_default()),
            Err(error) if error.kind() == std::io::ErrorKind::WouldBlock => continue,
            Err(_) => return Err(Broken::Connection),
        };
        if done.map_err(Broken::Fault)? {
            return Ok(Some(stream).filter(|_| !reader.close()));
        }
    }
}

/// Waits until the books balance or the time is up; the last comparison counts.
async fn balance(
    gateway: &Gateway,
    mock: &Mock,
    seen: &BTreeMap<u64, Seen>,
    limit: Duration,
) -> Result<Books> {
    let begin = Instant::now();
    loop {
        let entries = mock.entries(0, usize::MAX);
        let running = entries
            .iter()
            .filter(|entry| entry.ended == Ending::Running)
            .count();
        let at_mock: BTreeSet<u64> = entries
            .iter()
            .filter_map(|entry| entry.id.as_deref()?.parse().ok())
            .collect();
        let records = gateway.records().await?;
        let records: Vec<Record> = records.iter().filter_map(record).collect();
        let books = reconcile(seen, &at_mock, &records);
        if (books.faults() == 0 && running == 0) || begin.elapsed() > limit {
            return Ok(books);
        }
        tokio::time::sleep(Duration::from_millis(200)).await;
    }
}

/// A record of ours; those of other calls (probes) are none.
fn record(value: &Value) -> Option<Record> {
    let text = |name: &str| value.get(name).and_then(Value::as_str);
    let number = text("model_asked")?.strip_prefix(MODEL_PREFIX)?.parse().ok()?;
    Some(Record {
        request_id: text("request_id").unwrap_or_default().to_owned(),
        number,
        ended: text("ended").unwrap_or_default().to_owned(),
    })
}

fn print(books: &Books, wrong: &[String]) {
    println!(
        "requests sent {}: complete {}, broken {}, refused {}; reached the mock {}",
        books.sent, books.complete, books.broken, books.refused, books.at_mock
    );
    println!("records {}: {:?}", books.records, books.by_ending);
    let first = |numbers: &[u64]| numbers.iter().take(10).copied().collect::<Vec<_>>();
    println!(
        "complete without a record: {} {:?}",
        books.complete_unrecorded.len(),
        first(&books.complete_unrecorded)
    );
    println!(
        "complete but recorded otherwise: {} {:?}",
        books.complete_misrecorded.len(),
        books.complete_misrecorded.iter().take(10).collect::<Vec<_>>()
    );
    println!(
        "at the mock without a record: {} {:?}",
        books.mock_unrecorded.len(),
        first(&books.mock_unrecorded)
    );
    println!(
        "with two records: {} {:?}",
        books.doubled.len(),
        first(&books.doubled)
    );
    println!(
        "request ids twice: {} {:?}",
        books.ids_doubled.len(),
        books.ids_doubled.first()
    );
    println!(
        "records of nothing sent: {} {:?}",
        books.unknown.len(),
        first(&books.unknown)
    );
    println!("wrong answers: {} {:?}", wrong.len(), wrong.first());
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn records_of_ours_are_known_by_their_model() {
        let ours = json!({"request_id": "a", "model_asked": "mock-kill-12", "ended": "aborted"});
        let expected = Record {
            request_id: "a".into(),
            number: 12,
            ended: "aborted".into(),
        };
        assert_eq!(record(&ours), Some(expected));
        assert_eq!(
            record(&json!({"request_id": "a", "model_asked": "mock-gpt"})),
            None
        );
    }
}
