//! The loops that put load on a target.
//!
//! *Closed*: N connections, each sends its next request when the last answer is complete; shows the cost of work.
//! *Open*: requests are due at fixed times and counted from when they were due, so that a slow target cannot slow
//! its own measurement down; shows latency. *Held*: N streams are opened and stay open; shows memory.
//!
//! Times are taken in the generator, in microseconds. What happens before the window begins is warm-up and not
//! counted; events and requests count where they arrive, so one that spans the edge is counted on one side only.

use std::cell::{Cell, RefCell};
use std::collections::BTreeMap;
use std::io::{Read as _, Write as _};
use std::net::SocketAddr;
use std::rc::Rc;
use std::sync::Arc;
use std::time::{Duration, Instant};

use tokio::io::AsyncWriteExt as _;
use tokio::net::TcpStream;
use tokio::task::LocalSet;

use super::check::Expect;
use super::client::{Fault, Reader};
use super::histogram::Histogram;

/// Bytes read at once.
const READ_BYTES: usize = 64 << 10;
/// Errors after which a run is given up.
const ERRORS_MAX: u64 = 2_000;
/// How long any one answer may take.
const ANSWER_LIMIT: Duration = Duration::from_secs(30);

/// What is sent where, and what must come back.
#[derive(Clone)]
pub(crate) struct Load {
    pub(crate) target: SocketAddr,
    /// The request as it stands on the wire.
    pub(crate) request: Arc<[u8]>,
    pub(crate) expect: Expect,
}

/// What a run showed, within its window.
#[derive(Clone, Debug, Default)]
pub(crate) struct Outcome {
    pub(crate) requests: u64,
    pub(crate) events: u64,
    /// What went wrong, and how often.
    pub(crate) errors: BTreeMap<String, u64>,
    /// From sending (closed) or from when it was due (open) to the last byte, microseconds.
    pub(crate) latency: Histogram,
    /// To the first byte of the body, microseconds.
    pub(crate) ttft: Histogram,
    pub(crate) window: Duration,
}

impl Outcome {
    pub(crate) fn error_count(&self) -> u64 {
        self.errors.values().sum()
    }

    fn error(&mut self, text: String) {
        if self.errors.len() < 20 || self.errors.contains_key(&text) {
            *self.errors.entry(text).or_default() += 1;
        } else {
            *self.errors.entry("others".to_owned()).or_default() += 1;
        }
    }

    fn merge(&mut self, other: &Self, latencies: &[(u64, u64)]) {
        self.requests += other.requests;
        self.events += other.events;
        for (text, count) in &other.errors {
            *self.errors.entry(text.clone()).or_default() += count;
        }
        for (latency, ttft) in latencies {
            self.latency.record(*latency);
            self.ttft.record(*ttft);
        }
    }
}

fn micros(duration: Duration) -> u64 {
    u64::try_from(duration.as_micros()).unwrap_or(u64::MAX)
}

/// How a fault is counted.
fn word(fault: &Fault) -> String {
    match fault {
        Fault::Status(status, text) => {
            let text: String = text.chars().take(120).collect();
            format!("status {status}: {text}")
        }
        Fault::Protocol(what) => (*what).to_owned(),
        Fault::Body(wrong) => format!("body: {wrong:?}").chars().take(200).collect(),
        Fault::Closed => "closed early".to_owned(),
        Fault::Surplus => "surplus bytes".to_owned(),
    }
}

/// What the tasks of one loop share.
struct Shared {
    recording: Cell<bool>,
    stop: Cell<bool>,
    begun: Cell<usize>,
    outcome: RefCell<Outcome>,
}

impl Shared {
    fn new() -> Rc<Self> {
        Rc::new(Self {
            recording: Cell::new(false),
            stop: Cell::new(false),
            begun: Cell::new(0),
            outcome: RefCell::default(),
        })
    }

    fn failed(&self, text: String) {
        let mut outcome = self.outcome.borrow_mut();
        outcome.error(text);
        if outcome.error_count() > ERRORS_MAX {
            self.stop.set(true);
        }
    }
}

/// The closed loop. `edge` is called as the window opens and as it closes; connections start spread over `ramp`.
pub(crate) async fn closed(
    load: &Load,
    connections: usize,
    ramp: Duration,
    warmup: Duration,
    window: Duration,
    mut edge: impl FnMut(),
) -> Outcome {
    let shared = Shared::new();
    let local = LocalSet::new();
    for n in 0..connections {
        let (load, shared) = (load.clone(), Rc::clone(&shared));
        let delay = ramp.mul_f64(n as f64 / connections.max(1) as f64);
        local.spawn_local(async move {
            tokio::time::sleep(delay).await;
            keep_asking(&load, &shared).await;
        });
    }
    local
        .run_until(async {
            tokio::time::sleep(ramp + warmup).await;
            edge();
            shared.recording.set(true);
            let begin = Instant::now();
            while begin.elapsed() < window && !shared.stop.get() {
                let left = window.saturating_sub(begin.elapsed());
                tokio::time::sleep(left.min(Duration::from_millis(50))).await;
            }
            shared.recording.set(false);
            edge();
            shared.outcome.borrow_mut().window = begin.elapsed();
            shared.stop.set(true);
        })
        .await;
    drop(local);
    shared.outcome.take()
}

/// One connection of the closed loop, renewed when it breaks.
async fn keep_asking(load: &Load, shared: &Shared) {
    let mut buffer = vec![0; READ_BYTES];
    while !shared.stop.get() {
        let mut stream = match connect(load.target).await {
            Ok(stream) => stream,
            Err(error) => {
                shared.failed(format!("connect: {error}"));
                tokio::time::sleep(Duration::from_millis(20)).await;
                continue;
            }
        };
        let mut reader = Reader::new(load.expect.clone());
        while !shared.stop.get() {
            match tokio::time::timeout(
                ANSWER_LIMIT,
                ask(load, shared, &mut stream, &mut reader, &mut buffer),
            )
            .await
            {
                Ok(Ok(())) if !reader.close() => {}
                Ok(Ok(())) => break,
                Ok(Err(text)) => {
                    shared.failed(text);
                    break;
                }
                Err(_) => {
                    shared.failed("no answer in time".to_owned());
                    break;
                }
            }
        }
    }
}

async fn connect(target: SocketAddr) -> std::io::Result<TcpStream> {
    let stream = TcpStream::connect(target).await?;
    stream.set_nodelay(true)?;
    Ok(stream)
}

/// One request and its answer.
async fn ask(
    load: &Load,
    shared: &Shared,
    stream: &mut TcpStream,
    reader: &mut Reader,
    buffer: &mut [u8],
) -> Result<(), String> {
    reader.reset();
    let begin = Instant::now();
    stream
        .write_all(&load.request)
        .await
        .map_err(|error| format!("send: {error}"))?;
    let mut ttft = None;
    let mut events = 0;
    loop {
        let n = receive(stream, buffer).await?;
        let done = if n == 0 {
            reader.closed().map(|()| true)
        } else {
            reader.feed(buffer.get(..n).unwrap_or_default())
        };
        let done = done.map_err(|fault| word(&fault))?;
        if ttft.is_none() && reader.begun() {
            ttft = Some(begin.elapsed());
            shared.begun.set(shared.begun.get() + 1);
        }
        if shared.recording.get() {
            shared.outcome.borrow_mut().events += reader.events() - events;
        }
        events = reader.events();
        if done {
            if shared.recording.get() {
                let mut outcome = shared.outcome.borrow_mut();
                outcome.requests += 1;
                outcome.latency.record(micros(begin.elapsed()));
                outcome.ttft.record(micros(ttft.unwrap_or_default()));
            }
            return Ok(());
        }
    }
}

async fn receive(stream: &TcpStream, buffer: &mut [u8]) -> Result<usize, String> {
    loop {
        match stream.try_read(buffer) {
            Ok(n) => return Ok(n),
            Err(error) if error.kind() == std::io::ErrorKind::WouldBlock => {
                stream
                    .readable()
                    .await
                    .map_err(|error| format!("receive: {error}"))?;
            }
            Err(error) => return Err(format!("receive: {error}")),
        }
    }
}

/// Opens `streams` and keeps them open. `opened` is called once all of them have begun and `settle` has passed; the
/// streams are dropped after it. Gives how many were open then.
pub(crate) async fn held(
    load: &Load,
    streams: usize,
    limit: Duration,
    settle: Duration,
    opened: impl FnOnce(),
) -> Outcome {
    let shared = Shared::new();
    shared.recording.set(true);
    let local = LocalSet::new();
    for n in 0..streams {
        let (load, shared) = (load.clone(), Rc::clone(&shared));
        local.spawn_local(async move {
            // 2,000 new connections a second, well within any accept queue.
            tokio::time::sleep(Duration::from_micros(500 * n as u64)).await;
            let mut stream = match connect(load.target).await {
                Ok(stream) => stream,
                Err(error) => return shared.failed(format!("connect: {error}")),
            };
            let mut reader = Reader::new(load.expect.clone());
            // Small: thousands of these live at once.
            let mut buffer = vec![0; 4 << 10];
            if let Err(text) = ask(&load, &shared, &mut stream, &mut reader, &mut buffer).await {
                shared.failed(text);
            }
        });
    }
    local
        .run_until(async {
            let begin = Instant::now();
            while shared.begun.get() < streams && begin.elapsed() < limit && !shared.stop.get() {
                tokio::time::sleep(Duration::from_millis(10)).await;
            }
            tokio::time::sleep(settle).await;
            let missing = streams - shared.begun.get().min(streams);
            if missing > 0 {
                shared
                    .outcome
                    .borrow_mut()
                    .error(format!("{missing} streams did not begin"));
            }
            opened();
            shared.outcome.borrow_mut().window = begin.elapsed();
        })
        .await;
    drop(local);
    let mut outcome = shared.outcome.take();
    outcome.requests = shared.begun.get() as u64;
    outcome
}

/// The open loop: `rate` requests a second on `threads` blocking connections, one due every `1/rate` seconds.
///
/// Threads instead of a runtime: a thread's sleep is accurate to about 60 µs, a timer wheel only to a millisecond,
/// which is more than what is measured.
pub(crate) fn open(load: &Load, rate: u32, threads: u32, warmup: Duration, window: Duration) -> Outcome {
    let begin = Instant::now() + Duration::from_millis(20);
    let workers: Vec<_> = (0..threads)
        .map(|worker| {
            let load = load.clone();
            std::thread::spawn(move || open_worker(&load, rate, threads, worker, begin, warmup, window))
        })
        .collect();
    let mut total = Outcome {
        window,
        ..Outcome::default()
    };
    for worker in workers {
        match worker.join() {
            Ok((outcome, times)) => total.merge(&outcome, &times),
            Err(_) => total.error("a worker panicked".to_owned()),
        }
    }
    total
}

fn open_worker(
    load: &Load,
    rate: u32,
    threads: u32,
    worker: u32,
    begin: Instant,
    warmup: Duration,
    window: Duration,
) -> (Outcome, Vec<(u64, u64)>) {
    let mut outcome = Outcome::default();
    let mut times = Vec::new();
    let mut connection: Option<std::net::TcpStream> = None;
    let mut reader = Reader::new(load.expect.clone());
    let mut buffer = vec![0; READ_BYTES];
    for turn in 0_u32.. {
        let number = turn.saturating_mul(threads).saturating_add(worker);
        let due = Duration::from_secs(1) * number / rate.max(1);
        if due >= warmup + window || outcome.error_count() > ERRORS_MAX {
            break;
        }
        std::thread::sleep((begin + due).saturating_duration_since(Instant::now()));
        let answered = match connection
            .take()
            .map_or_else(|| connect_blocking(load.target), Ok)
        {
            Ok(stream) => ask_blocking(load, stream, &mut reader, &mut buffer, begin + due),
            Err(error) => Err(format!("connect: {error}")),
        };
        match answered {
            Ok((stream, latency, ttft)) => {
                connection = Some(stream).filter(|_| !reader.close());
                if due >= warmup {
                    outcome.requests += 1;
                    outcome.events += reader.events();
                    times.push((latency, ttft));
                }
            }
            Err(text) => outcome.error(text),
        }
    }
    (outcome, times)
}

fn connect_blocking(target: SocketAddr) -> std::io::Result<std::net::TcpStream> {
    let stream = std::net::TcpStream::connect_timeout(&target, Duration::from_secs(5))?;
    stream.set_nodelay(true)?;
    stream.set_read_timeout(Some(ANSWER_LIMIT))?;
    Ok(stream)
}

type Answered = (std::net::TcpStream, u64, u64);

fn ask_blocking(
    load: &Load,
    mut stream: std::net::TcpStream,
    reader: &mut Reader,
    buffer: &mut [u8],
    due: Instant,
) -> Result<Answered, String> {
    reader.reset();
    stream
        .write_all(&load.request)
        .map_err(|error| format!("send: {error}"))?;
    let mut ttft = None;
    loop {
        let n = stream.read(buffer).map_err(|error| format!("receive: {error}"))?;
        let done = if n == 0 {
            reader.closed().map(|()| true)
        } else {
            reader.feed(buffer.get(..n).unwrap_or_default())
        };
        let done = done.map_err(|fault| word(&fault))?;
        if ttft.is_none() && reader.begun() {
            ttft = Some(micros(due.elapsed()));
        }
        if done {
            return Ok((stream, micros(due.elapsed()), ttft.unwrap_or_default()));
        }
    }
}
