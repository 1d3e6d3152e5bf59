//! Start and end of the process: the one place that looks at the environment, the limits of the system and signals.

#![allow(unsafe_code, reason = "signal masks, resource limits and core affinity")]

use std::io;
use std::net::TcpListener as StdListener;
use std::rc::Rc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, OnceLock, mpsc};
use std::thread;
use std::time::Duration;

use monoio::{FusionDriver, RuntimeBuilder};
use sluice_shared::ids::ShardId;
use sluice_shared::snapshot::Limits;
use sluice_shared::units::MonoMicros;
use sluice_shared::wire::control::Whom;

use crate::control_link::{ControlLink, ControlLinkOptions};
use crate::dns::Resolver;
use crate::identity::IdentityClient;
use crate::journal::{Journal, JournalOptions, ShardFiles};
use crate::mailbox::{MAILBOX_MESSAGES_MAX, Mailbox, MailboxReceiver, ShardMessage, mailbox};
use crate::metrics::{Labels, ProcessGauges};
use crate::quota::QuotaClient;
use crate::shard::{Process, Shard};
use crate::{DataplaneOptions, RunError, clock, listener};

/// Entries of a shard's submission queue.
const RING_ENTRIES: u32 = 1_024;

/// How long a NOP through a new ring may take before io_uring is taken to be broken here.
const PROBE_PATIENCE: Duration = Duration::from_millis(500);

/// How long the control plane is waited for before the copy of the last snapshot is used.
const COLD_START_MS: u64 = 500;

/// How long the first configuration is waited for before connections are answered 503.
const FIRST_SNAPSHOT_PATIENCE: Duration = Duration::from_secs(5);

/// Descriptors kept back for providers, files and the control plane, out of every two.
const DESCRIPTORS_RESERVED: u64 = 256;

fn io_error(what: impl Into<String>) -> impl FnOnce(io::Error) -> RunError {
    let what = what.into();
    |source| RunError::Io { what, source }
}

/// See [`crate::run`].
pub(crate) fn run(options: DataplaneOptions) -> Result<(), RunError> {
    // Before any thread: all of them inherit the mask, and the signals wait for this one.
    let signals = block_signals().map_err(io_error("block signals"))?;
    let shards = options.shards.clamp(1, 256);
    if !ring_works() {
        tracing::warn!("io_uring does not work here, using epoll");
        // SAFETY: no other thread runs yet.
        unsafe { std::env::set_var("MONOIO_FORCE_LEGACY_DRIVER", "1") };
    }
    let mut listeners = listeners(&options, shards)?;

    let mut senders = Vec::with_capacity(shards);
    let mut receivers = Vec::with_capacity(shards);
    for _ in 0..shards {
        let (sender, receiver) = mailbox(MAILBOX_MESSAGES_MAX).map_err(io_error("make a mailbox"))?;
        senders.push(sender);
        receivers.push(receiver);
    }
    let journal_options = JournalOptions {
        shards: u16::try_from(shards).unwrap_or(u16::MAX),
        in_flight_slots: usize::try_from(Limits::default().in_flight).unwrap_or(usize::MAX),
        ..JournalOptions::default()
    };
    let (files, journal) =
        Journal::create(&options.data_dir, &journal_options).map_err(io_error("make the journal"))?;
    let link = ControlLink::start(ControlLinkOptions {
        data_dir: options.data_dir.clone(),
        incarnation: journal.incarnation(),
        mailboxes: senders.clone(),
        cold_start_ms: COLD_START_MS,
        captures: Some(journal.captures()),
    })
    .map_err(io_error("start the control link"))?;
    let resolver = Resolver::start(senders.clone()).map_err(io_error("start the resolver"))?;

    let link_status = link.status_reader();
    let quota_marks = link.quota_marks_reader();
    let (journal_status, capture_status) = (journal.status(), journal.capture_status());
    let process = Arc::new(Process {
        snapshot: link.snapshot(),
        system_tls: OnceLock::new(),
        gauges: Box::new(move || {
            let (link, journal, captures) = (link_status(), journal_status(), capture_status());
            ProcessGauges {
                control_connected: link.connected,
                control_connects: link.connects,
                snapshots_refused: link.snapshots_refused,
                journal_segments: journal.segments,
                journal_bytes: journal.bytes,
                journal_failures: journal.failures,
                capture_segments: captures.segments,
                capture_bytes: captures.bytes,
                capture_failures: captures.failures,
                captures_full: captures.full,
                quota_buckets: link.quota_buckets,
                quota_asks: link.quota_asks,
                quota_unanswered: link.quota_unanswered,
                quota_recalls: link.quota_recalls,
                resident_bytes: resident_bytes(),
                quota_marks: quota_marks(),
            }
        }),
        labels: Labels::new(),
        held_bytes: AtomicU64::new(0),
        connections: AtomicU64::new(0),
        connections_max: connections_max().map_err(io_error("read the limit of open files"))?,
        draining: AtomicBool::new(false),
        api_socket: options.data_dir.join("api.sock"),
        mailboxes: senders.clone(),
        seed: seed(),
        bare: bare(),
    });
    if link.first_snapshot(FIRST_SNAPSHOT_PATIENCE).is_none() {
        tracing::warn!("no configuration yet: answering 503 until the control plane sends one");
    }

    let (ended, shard_ended) = mpsc::channel();
    let mut threads = Vec::with_capacity(shards);
    for (index, (receiver, files)) in receivers.into_iter().zip(files).enumerate() {
        let (Some(identity), Some(quotas)) = (link.identity(index), link.quotas(index)) else {
            continue;
        };
        let start = ShardStart {
            index,
            process: process.clone(),
            files,
            identity,
            quotas,
            resolver: resolver.client(index),
            receiver,
            listeners: std::mem::take(listeners.get_mut(index).unwrap_or(&mut Vec::new())),
        };
        let ended = ended.clone();
        let spawned = thread::Builder::new()
            .name(format!("shard-{index}"))
            .spawn(move || {
                // A shard that dies must not leave the others looking healthy: the process ends, the supervisor
                // starts a whole one.
                let guard = AbortOnPanic;
                let result = run_shard(start);
                std::mem::forget(guard);
                let _ = ended.send(result);
            });
        threads.push(spawned.map_err(io_error("start a shard"))?);
    }
    drop(ended);
    tracing::info!(shards, data_dir = %options.data_dir.display(), "serving");

    wait_for_end(&signals, &process, &senders, shard_ended)?;
    for thread in threads {
        let _ = thread.join();
    }
    link.stop();
    journal.stop();
    Ok(())
}

/// What a shard's thread begins with.
struct ShardStart {
    index: usize,
    process: Arc<Process>,
    files: ShardFiles,
    identity: IdentityClient,
    quotas: QuotaClient,
    resolver: crate::dns::ResolverClient,
    receiver: MailboxReceiver,
    listeners: Vec<StdListener>,
}

struct AbortOnPanic;

impl Drop for AbortOnPanic {
    fn drop(&mut self) {
        tracing::error!("a shard died; ending the process");
        std::process::abort();
    }
}

fn run_shard(start: ShardStart) -> io::Result<()> {
    pin_to_core(start.index);
    // The runtime is built on the thread that uses it; one issuer and cooperative task running save wake-ups.
    let mut ring = io_uring::IoUring::builder();
    ring.setup_coop_taskrun().setup_single_issuer();
    let mut runtime = RuntimeBuilder::<FusionDriver>::new()
        .enable_timer()
        .with_entries(RING_ENTRIES)
        .uring_builder(ring)
        .build()
        .or_else(|_| {
            RuntimeBuilder::<FusionDriver>::new()
                .enable_timer()
                .with_entries(RING_ENTRIES)
                .build()
        })?;
    runtime.block_on(async move {
        let shard = Shard::new(
            ShardId(u16::try_from(start.index).unwrap_or(u16::MAX)),
            start.process,
            start.files.journal,
            start.files.in_flight,
            start.files.captures,
            start.identity,
            start.quotas,
            start.resolver,
        );
        monoio::spawn(shard.clone().read_mail(start.receiver));
        monoio::spawn(shard.clone().sweep());
        for listener in start.listeners {
            monoio::spawn(listener::accept(shard.clone(), listener));
        }
        drain_when_told(&shard).await;
    });
    Ok(())
}

/// Returns when the process drains and the shard has nothing left to do, or its time is up.
async fn drain_when_told(shard: &Rc<Shard>) {
    shard.drain_began().await;
    loop {
        monoio::time::sleep(Duration::from_millis(20)).await;
        let late = shard
            .drain_deadline()
            .is_some_and(|deadline| clock::mono_now() >= deadline);
        if late {
            shard.watches.cut(Whom::Everyone);
            // One more turn, so that what was cut can write its record.
            monoio::time::sleep(Duration::from_millis(20)).await;
        }
        if late || shard.running.get() == 0 {
            return;
        }
    }
}

/// Sits between the signals and the shards until all of them have ended.
fn wait_for_end(
    signals: &Signals,
    process: &Arc<Process>,
    mailboxes: &[Mailbox],
    ended: mpsc::Receiver<io::Result<()>>,
) -> Result<(), RunError> {
    loop {
        if signals
            .next(Duration::from_millis(100))
            .map_err(io_error("wait for signals"))?
        {
            if process.draining.swap(true, Ordering::Relaxed) {
                tracing::warn!("second signal: ending at once");
                return Ok(());
            }
            let patience = process.snapshot.load().as_ref().map_or_else(
                || Limits::default().drain_ms,
                |sealed| sealed.snapshot().limits.drain_ms.to_native(),
            );
            let deadline = MonoMicros(clock::mono_now().0.saturating_add(patience.saturating_mul(1_000)));
            tracing::info!(patience_ms = patience, "draining");
            for mailbox in mailboxes {
                // A shard that does not get this still sees the flag; it then drains without a deadline of its own.
                let _ = mailbox.send(ShardMessage::Drain { deadline });
            }
        }
        match ended.try_recv() {
            Ok(Err(error)) => {
                return Err(RunError::Io {
                    what: "run a shard".into(),
                    source: error,
                });
            }
            Err(mpsc::TryRecvError::Disconnected) => return Ok(()),
            Ok(Ok(())) | Err(mpsc::TryRecvError::Empty) => {}
        }
    }
}

/// The listening sockets of each shard.
fn listeners(options: &DataplaneOptions, shards: usize) -> Result<Vec<Vec<StdListener>>, RunError> {
    let mut out: Vec<Vec<StdListener>> = (0..shards).map(|_| Vec::new()).collect();
    for (index, fd) in options.listen_fds.iter().enumerate() {
        let listener = listener::inherit(*fd).map_err(io_error(format!("take over descriptor {fd}")))?;
        if let Some(row) = out.get_mut(index % shards) {
            row.push(listener);
        }
    }
    if options.listen_fds.is_empty() {
        for address in &options.listen {
            let mut address = *address;
            for row in &mut out {
                let listener = listener::bind(address).map_err(io_error(format!("listen on {address}")))?;
                // With port 0 the first socket chooses, the others share its choice.
                address = listener
                    .local_addr()
                    .map_err(io_error("read the listening address"))?;
                row.push(listener);
            }
            tracing::info!(%address, "listening");
        }
    }
    Ok(out)
}

/// Whether a ring can be made and answers; a denied `io_uring_enter` can hang without a word.
fn ring_works() -> bool {
    let (done, wait) = mpsc::channel();
    let probe = thread::Builder::new().name("ring-probe".into()).spawn(move || {
        let nop = || -> io::Result<()> {
            let mut ring = io_uring::IoUring::new(8)?;
            let entry = io_uring::opcode::Nop::new().build();
            // SAFETY: a NOP names no memory.
            unsafe { ring.submission().push(&entry) }.map_err(io::Error::other)?;
            ring.submit_and_wait(1)?;
            Ok(())
        };
        let _ = done.send(nop().is_ok());
    });
    probe.is_ok() && wait.recv_timeout(PROBE_PATIENCE).unwrap_or(false)
}

/// Memory of this process that lies in RAM, in bytes, as the kernel says.
fn resident_bytes() -> Option<u64> {
    let text = std::fs::read_to_string("/proc/self/statm").ok()?;
    let pages: u64 = text.split(' ').nth(1)?.parse().ok()?;
    // SAFETY: takes no pointers.
    let page = unsafe { libc::sysconf(libc::_SC_PAGESIZE) };
    pages.checked_mul(u64::try_from(page).ok()?)
}

/// Half of what may be open, less what is kept back: a client's connection may need one to a provider.
fn connections_max() -> io::Result<u64> {
    let mut limit = libc::rlimit {
        rlim_cur: 0,
        rlim_max: 0,
    };
    // SAFETY: the kernel fills `limit`.
    if unsafe { libc::getrlimit(libc::RLIMIT_NOFILE, &raw mut limit) } != 0 {
        return Err(io::Error::last_os_error());
    }
    if limit.rlim_cur < limit.rlim_max {
        let raised = libc::rlimit {
            rlim_cur: limit.rlim_max,
            rlim_max: limit.rlim_max,
        };
        // SAFETY: `raised` lives for the call; a refusal leaves the old limit in force.
        if unsafe { libc::setrlimit(libc::RLIMIT_NOFILE, &raw const raised) } == 0 {
            limit = raised;
        }
    }
    Ok((limit.rlim_cur.saturating_sub(DESCRIPTORS_RESERVED) / 2).max(16))
}

fn pin_to_core(index: usize) {
    // SAFETY: an all-zero set is a valid one; the calls only read and write it.
    unsafe {
        let mut allowed: libc::cpu_set_t = std::mem::zeroed();
        if libc::sched_getaffinity(0, size_of_val(&allowed), &raw mut allowed) != 0 {
            return;
        }
        let cores: Vec<usize> = (0..usize::try_from(libc::CPU_SETSIZE).unwrap_or(0))
            .filter(|core| libc::CPU_ISSET(*core, &allowed))
            .collect();
        let Some(core) = cores.get(index % cores.len().max(1)) else {
            return;
        };
        let mut set: libc::cpu_set_t = std::mem::zeroed();
        libc::CPU_SET(*core, &mut set);
        // Failing to pin costs speed, nothing else.
        let _ = libc::sched_setaffinity(0, size_of_val(&set), &raw const set);
    }
}

/// Whether `SLUICE_BARE=1` asks for a gateway that meters and records nothing (`docs/BENCHMARKING.md`).
fn bare() -> bool {
    let bare = std::env::var_os("SLUICE_BARE").is_some_and(|value| value == "1");
    if bare {
        tracing::warn!("SLUICE_BARE is set: nothing is metered or recorded; this is for benchmarks only");
    }
    bare
}

/// Something that differs between two starts, for request ids; no secret.
fn seed() -> u64 {
    let mut bytes = [0u8; 8];
    // SAFETY: at most eight bytes are written into `bytes`.
    let n = unsafe { libc::getrandom(bytes.as_mut_ptr().cast(), bytes.len(), 0) };
    let drawn = u64::from_ne_bytes(bytes);
    if n == 8 {
        drawn
    } else {
        clock::unix_now().0 ^ u64::from(std::process::id())
    }
}

/// SIGTERM and SIGINT, blocked in every thread and waited for here.
struct Signals {
    set: libc::sigset_t,
}

fn block_signals() -> io::Result<Signals> {
    // SAFETY: the set is initialised by sigemptyset before it is used.
    unsafe {
        let mut set: libc::sigset_t = std::mem::zeroed();
        libc::sigemptyset(&raw mut set);
        libc::sigaddset(&raw mut set, libc::SIGTERM);
        libc::sigaddset(&raw mut set, libc::SIGINT);
        match libc::pthread_sigmask(libc::SIG_BLOCK, &raw const set, std::ptr::null_mut()) {
            0 => Ok(Signals { set }),
            code => Err(io::Error::from_raw_os_error(code)),
        }
    }
}

impl Signals {
    /// Waits for a signal; `false` if none came in time.
    fn next(&self, patience: Duration) -> io::Result<bool> {
        let timeout = libc::timespec {
            tv_sec: libc::time_t::try_from(patience.as_secs()).unwrap_or(libc::time_t::MAX),
            tv_nsec: libc::c_long::from(patience.subsec_nanos().cast_signed()),
        };
        // SAFETY: the set and the time live for the call; no information about the signal is asked for.
        let signal =
            unsafe { libc::sigtimedwait(&raw const self.set, std::ptr::null_mut(), &raw const timeout) };
        if signal > 0 {
            return Ok(true);
        }
        let error = io::Error::last_os_error();
        match error.raw_os_error() {
            Some(libc::EAGAIN | libc::EINTR) => Ok(false),
            _ => Err(error),
        }
    }
}
