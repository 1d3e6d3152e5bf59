//! Clients that leave, in six phases, by FIN and by RST: how long until the provider's connection is closed.
//!
//! The mock lives in this process, so both moments are read from one clock. Phases:
//! a: before the upstream connects (an upstream whose accept queue is full) · b: while uploading · c: before the first
//! byte of a stream · d: in the middle of a stream · e: waiting for an answer that is no stream · f: between the last
//! content event and the usage.
//!
//! In a and b nothing may have reached the provider. For a, the time counts until the kernel shows no half-open
//! connection to that port; for b, a request that never arrived counts as 0.

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use anyhow::{Context as _, Result, bail};
use sluice_loadtest::mock::{Ending, Mock, MockOptions};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::{TcpListener, TcpSocket, TcpStream};

use crate::generator::histogram::Histogram;
use crate::process::Spawned;
use crate::target::{Running, free_port, probe, sluice};

/// How long the mock may take to notice before the run counts as failed.
const NOTICE_LIMIT: Duration = Duration::from_secs(3);

/// How to leave.
#[derive(clap::Args, Debug)]
pub(crate) struct Options {
    /// The `sluice` binary; without it, the client's connection to the mock itself is measured (the noise)
    #[arg(long, value_name = "PATH")]
    sluice: Option<String>,
    /// Runs of each phase and kind
    #[arg(long, default_value_t = 50)]
    runs: u32,
    /// Shards of the data plane
    #[arg(long, default_value_t = 2)]
    shards: u32,
    /// p99 above which the command fails, in milliseconds
    #[arg(long, default_value_t = 100)]
    limit_ms: u64,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Phase {
    Connecting,
    Uploading,
    FirstByte,
    MidStream,
    Waiting,
    BeforeUsage,
}

impl Phase {
    const ALL: [Self; 6] = [
        Self::Connecting,
        Self::Uploading,
        Self::FirstByte,
        Self::MidStream,
        Self::Waiting,
        Self::BeforeUsage,
    ];

    fn name(self) -> &'static str {
        match self {
            Self::Connecting => "a before the upstream connects",
            Self::Uploading => "b while uploading",
            Self::FirstByte => "c before the first byte",
            Self::MidStream => "d in the middle of a stream",
            Self::Waiting => "e waiting without stream",
            Self::BeforeUsage => "f before the usage",
        }
    }
}

/// Runs every phase both ways and prints the table.
pub(crate) async fn run(options: Options) -> Result<()> {
    let dir = std::env::temp_dir().join(format!("sluice-disconnect-{}", std::process::id()));
    std::fs::create_dir_all(&dir)?;
    let mock = Mock::new(MockOptions {
        ledger_max: 100_000,
        ..MockOptions::default()
    });
    let listener = TcpListener::bind(("127.0.0.1", 0)).await?;
    let upstream = listener.local_addr()?;
    tokio::spawn(mock.clone().serve(listener));
    let hole = Hole::new().await?;
    let gateway = match &options.sluice {
        Some(binary) => {
            let (binary, shards, dir, hole) = (binary.clone(), options.shards, dir.clone(), hole.address);
            let start = move || start(&binary, shards, upstream, hole, &dir);
            Some(tokio::task::spawn_blocking(start).await??)
        }
        None => None,
    };
    let target = gateway.as_ref().map_or(upstream, |gateway| gateway.address);
    let mut number = 0_u64;
    let mut failed = Vec::new();
    println!(
        "| phase | kind | runs | p50 ms | p99 ms | max ms | not noticed |\n| --- | --- | --- | --- | --- | --- | --- |"
    );
    for phase in Phase::ALL {
        if phase == Phase::Connecting && gateway.is_none() {
            println!("| {} | – | 0 | – | – | – | needs a gateway |", phase.name());
            continue;
        }
        for reset in [false, true] {
            let mut times = Histogram::default();
            let mut worst = 0;
            let mut missed: BTreeMap<String, u32> = BTreeMap::new();
            for _ in 0..options.runs {
                number += 1;
                match leave(phase, reset, number, target, &mock, &hole).await {
                    Ok(took) => {
                        times.record(took);
                        worst = worst.max(took);
                    }
                    Err(error) => *missed.entry(format!("{error:#}")).or_default() += 1,
                }
            }
            let ms = |micros: u64| micros as f64 / 1000.0;
            let p99 = times.percentile(99.0);
            println!(
                "| {} | {} | {} | {:.2} | {:.2} | {:.2} | {missed:?} |",
                phase.name(),
                if reset { "RST" } else { "FIN" },
                options.runs,
                ms(times.percentile(50.0)),
                ms(p99),
                ms(worst),
            );
            if !missed.is_empty() || p99 > options.limit_ms * 1000 {
                failed.push(format!("{} {}", phase.name(), if reset { "RST" } else { "FIN" }));
            }
        }
    }
    drop(gateway);
    std::fs::remove_dir_all(&dir)?;
    if !failed.is_empty() {
        bail!(
            "over {} ms or not noticed: {}",
            options.limit_ms,
            failed.join("; ")
        );
    }
    Ok(())
}

/// The gateway with a second provider, `hole`, that never accepts.
fn start(
    binary: &str,
    shards: u32,
    upstream: SocketAddr,
    hole: SocketAddr,
    dir: &std::path::Path,
) -> Result<Running> {
    let config = dir.join("sluice.hujson");
    let provider = format!(
        "\"hole\": {{\"baseurl\": \"http://{hole}\", \"apikey\": \"x\", \"models\": [\"hole-*\"], \
         \"compatibility\": {{\"openai_chat\": true}}}},\n    \"mock\": {{"
    );
    std::fs::write(&config, sluice(upstream).replacen("\"mock\": {", &provider, 1))?;
    let listen = free_port()?;
    let command: Vec<String> = [
        binary,
        "up",
        "--config",
        &config.display().to_string(),
        "--listen",
        &listen.to_string(),
        "--data",
        &dir.join("data").display().to_string(),
        "--shards",
        &shards.to_string(),
    ]
    .map(str::to_owned)
    .to_vec();
    let process = Spawned::start(&command, None, dir, "sluice")?;
    let mut running = Running {
        label: "sluice".into(),
        address: listen,
        process: Some(process),
        rewrites: true,
    };
    running.await_answer()?;
    probe(listen)?;
    Ok(running)
}

/// A listening socket whose accept queue is full: connections to it stay half-open.
struct Hole {
    address: SocketAddr,
    _listener: TcpListener,
    _fill: Vec<TcpStream>,
}

impl Hole {
    async fn new() -> Result<Self> {
        let socket = TcpSocket::new_v4()?;
        socket.bind(([127, 0, 0, 1], 0).into())?;
        let listener = socket.listen(1)?;
        let address = listener.local_addr()?;
        let mut fill = Vec::new();
        for _ in 0..64 {
            match tokio::time::timeout(Duration::from_millis(200), TcpStream::connect(address)).await {
                Ok(stream) => fill.push(stream?),
                Err(_) => {
                    return Ok(Self {
                        address,
                        _listener: listener,
                        _fill: fill,
                    });
                }
            }
        }
        bail!("the accept queue does not fill up")
    }

    /// Connections to it that the kernel has begun and not finished (state 02, SYN-SENT).
    fn half_open(&self) -> usize {
        let table = std::fs::read_to_string("/proc/net/tcp").unwrap_or_default();
        let port = format!(":{:04X}", self.address.port());
        table
            .lines()
            .filter(|line| {
                let mut fields = line.split_whitespace().skip(2);
                fields.next().is_some_and(|remote| remote.ends_with(&port)) && fields.next() == Some("02")
            })
            .count()
    }
}

fn unix_micros() -> u64 {
    let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    u64::try_from(since.as_micros()).unwrap_or(u64::MAX)
}

/// One client that leaves; gives the microseconds until the provider's side was closed.
async fn leave(
    phase: Phase,
    reset: bool,
    number: u64,
    target: SocketAddr,
    mock: &Mock,
    hole: &Hole,
) -> Result<u64> {
    let id = format!("leave-{number}");
    let (stream_asked, settings) = match phase {
        Phase::Connecting | Phase::Uploading => (true, "x-mock-events: 5\r\n"),
        Phase::FirstByte => (true, "x-mock-head-ms: 60000\r\n"),
        Phase::MidStream => (true, "x-mock-events: 1000\r\nx-mock-gap-ms: 20\r\n"),
        Phase::Waiting => (false, "x-mock-head-ms: 60000\r\n"),
        // Role, three contents, finish: what is left out is the usage and [DONE].
        Phase::BeforeUsage => (true, "x-mock-events: 3\r\nx-mock-fault: stall:5\r\n"),
    };
    let model = if phase == Phase::Connecting {
        "hole-x"
    } else {
        "mock-gpt"
    };
    let options = if stream_asked {
        r#","stream":true,"stream_options":{"include_usage":true}"#
    } else {
        ""
    };
    let padding = if phase == Phase::Uploading {
        "x".repeat(1 << 20)
    } else {
        "hi".to_owned()
    };
    let body =
        format!(r#"{{"model":"{model}"{options},"messages":[{{"role":"user","content":"{padding}"}}]}}"#);
    let head = format!(
        "POST /v1/chat/completions HTTP/1.1\r\nHost: {target}\r\nContent-Type: application/json\r\n\
         Authorization: Bearer x\r\nx-mock-id: {id}\r\nx-mock-numbered: 1\r\n{settings}Content-Length: {}\r\n\r\n",
        body.len()
    );
    let sent = if phase == Phase::Uploading {
        body.len() / 2
    } else {
        body.len()
    };
    let mut stream = TcpStream::connect(target).await?;
    stream.set_nodelay(true)?;
    stream.write_all(head.as_bytes()).await?;
    stream
        .write_all(body.get(..sent).unwrap_or_default().as_bytes())
        .await?;
    match phase {
        Phase::Connecting => until(|| hole.half_open() > 0)
            .await
            .context("the upstream was not tried")?,
        // The gateway needs a moment to have read what was sent; there is no sign of it to wait for.
        Phase::Uploading => tokio::time::sleep(Duration::from_millis(5)).await,
        Phase::FirstByte | Phase::Waiting => {
            let arrived = || mock.find(&id).is_some_and(|entry| entry.events > 0);
            until(arrived)
                .await
                .context("the request did not reach the mock")?;
        }
        Phase::MidStream => read_until(&mut stream, b"000002 ").await?,
        Phase::BeforeUsage => read_until(&mut stream, b"\"finish_reason\":\"stop\"").await?,
    }
    if reset {
        stream.set_zero_linger()?;
    }
    let left = unix_micros();
    drop(stream);
    if phase == Phase::Connecting {
        until(|| hole.half_open() == 0)
            .await
            .context("the connection attempt goes on")?;
        return Ok(unix_micros().saturating_sub(left));
    }
    if phase == Phase::Uploading && mock.find(&id).is_none() {
        // Nothing reached the provider. It must stay so.
        tokio::time::sleep(Duration::from_millis(20)).await;
        if mock.find(&id).is_none() {
            return Ok(0);
        }
    }
    let ended = || mock.find(&id).is_some_and(|entry| entry.ended != Ending::Running);
    until(ended).await.context("the mock saw no end")?;
    let entry = mock.find(&id).context("the ledger lost the request")?;
    if !matches!(entry.ended, Ending::ClientClosed | Ending::ClientReset) {
        bail!("it ended as {:?}", entry.ended);
    }
    Ok(entry.ended_us.saturating_sub(left))
}

/// Polls each half millisecond; the figures come from time stamps, not from when this returns, phase a aside.
async fn until(mut done: impl FnMut() -> bool) -> Result<()> {
    let begin = Instant::now();
    while begin.elapsed() < NOTICE_LIMIT {
        if done() {
            return Ok(());
        }
        tokio::time::sleep(Duration::from_micros(500)).await;
    }
    bail!("not within {NOTICE_LIMIT:?}")
}

async fn read_until(stream: &mut TcpStream, needle: &[u8]) -> Result<()> {
    let mut seen = Vec::new();
    let mut buffer = vec![0; 16 << 10];
    while memchr::memmem::find(&seen, needle).is_none() {
        let n = tokio::time::timeout(NOTICE_LIMIT, stream.read(&mut buffer))
            .await
            .context("no answer")??;
        if n == 0 {
            bail!(
                "the answer ended early: {}",
                String::from_utf8_lossy(seen.get(..seen.len().min(300)).unwrap_or_default())
            );
        }
        seen.extend_from_slice(buffer.get(..n).unwrap_or_default());
    }
    Ok(())
}
