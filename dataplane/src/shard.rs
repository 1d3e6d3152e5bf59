//! One shard: a thread pinned to a core, and everything it owns. Nothing here is shared with another thread except
//! the [`Process`] half, and that only through atomics and messages.

use std::cell::{Cell, RefCell};
use std::collections::HashMap;
use std::net::IpAddr;
use std::rc::Rc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, OnceLock};
use std::time::Duration;

use sluice_shared::cost::Price;
use sluice_shared::ids::{Epoch, RequestId, ShardId};
use sluice_shared::quota::Unit;
use sluice_shared::quota::estimate::Estimates;
use sluice_shared::units::{MonoMicros, NanoUsd, UnixMicros};
use sluice_shared::usage::Usage;
use sluice_shared::wire::control::{PoolStanding, Proof, Standing, Whom};

use crate::certificate;
use crate::clock;
use crate::config::{Config, Published};
use crate::control_link::SnapshotCell;
use crate::dns::{ResolveError, ResolverClient};
use crate::identity::facts::{Facts, Token};
use crate::identity::known::{Dated, Known, Learnt, Resolved, Step};
use crate::identity::{IdentityAnswer, IdentityClient, Key};
use crate::journal::{InFlight, ShardCaptures, ShardJournal};
use crate::limits;
use crate::mailbox::{Mailbox, MailboxReceiver, ShardMessage};
use crate::metrics::{Labels, MetricsCollector, ProcessGauges, ShardMetrics};
use crate::quota::bucket::Bucket;
use crate::quota::buckets::{self, Attempt};
use crate::quota::{Buckets, QuotaClient, Reservation, Short, Want};
use crate::sock::Sock;
use crate::tls::{TlsConfig, TlsError};
use crate::upstream::Pools;
use crate::wait::Slot;
use crate::watch::{QUIET_SWEEP_MS, SWEEP_MS, Watches};

/// What all shards of the process see.
pub(crate) struct Process {
    /// The newest snapshot; `None` before the first.
    pub(crate) snapshot: SnapshotCell,
    /// The system's certificates, read once.
    pub(crate) system_tls: OnceLock<Result<TlsConfig, String>>,
    /// Numbers of the services, for the metrics.
    pub(crate) gauges: Box<dyn Fn() -> ProcessGauges + Send + Sync>,
    /// Label values that all shards agree on.
    pub(crate) labels: Arc<Labels>,
    /// Bytes of request bodies and unsent answers that the process holds.
    pub(crate) held_bytes: AtomicU64,
    /// Client connections of all shards.
    pub(crate) connections: AtomicU64,
    /// Most client connections, from the descriptor limit.
    pub(crate) connections_max: u64,
    /// Set when the process drains.
    pub(crate) draining: AtomicBool,
    /// Socket of the control plane's API.
    pub(crate) api_socket: std::path::PathBuf,
    /// One mailbox a shard, for collecting metrics.
    pub(crate) mailboxes: Vec<Mailbox>,
    /// Drawn once per start; part of every request id.
    pub(crate) seed: u64,
    /// Meter and record nothing: what benchmarks compare the rest with.
    pub(crate) bare: bool,
}

impl Process {
    /// The system's certificates; the first call reads them from disk.
    pub(crate) fn system_tls(&self) -> Result<TlsConfig, TlsError> {
        let read = self
            .system_tls
            .get_or_init(|| TlsConfig::system().map_err(|error| error.to_string()));
        read.clone().map_err(TlsError::Roots)
    }
}

/// Memory of the process that is held until this is dropped.
pub(crate) struct Held {
    process: Arc<Process>,
    bytes: u64,
}

impl Held {
    pub(crate) fn none(process: &Arc<Process>) -> Self {
        Self {
            process: process.clone(),
            bytes: 0,
        }
    }

    /// Takes `more` bytes of the process-wide budget; `false` if they cannot be had.
    pub(crate) fn grow(&mut self, more: u64, bytes_max: u64) -> bool {
        let before = self.process.held_bytes.fetch_add(more, Ordering::Relaxed);
        if before.saturating_add(more) > bytes_max {
            self.process.held_bytes.fetch_sub(more, Ordering::Relaxed);
            return false;
        }
        self.bytes += more;
        true
    }

    /// Takes or gives back, so that it is `bytes`; `false` if they cannot be had.
    pub(crate) fn resize(&mut self, bytes: u64, bytes_max: u64) -> bool {
        if let Some(spare) = self.bytes.checked_sub(bytes) {
            if spare > 0 {
                self.process.held_bytes.fetch_sub(spare, Ordering::Relaxed);
                self.bytes = bytes;
            }
            return true;
        }
        self.grow(bytes - self.bytes, bytes_max)
    }
}

impl Drop for Held {
    fn drop(&mut self) {
        if self.bytes > 0 {
            self.process.held_bytes.fetch_sub(self.bytes, Ordering::Relaxed);
        }
    }
}

/// Times that a caller is looked up anew because something was forgotten meanwhile; then it is 503.
const IDENTIFY_ROUNDS_MAX: u32 = 16;

/// A place among the questions about proofs that are open for an address, until it is dropped.
struct ProofQuestion<'a> {
    open: &'a RefCell<HashMap<[u8; 16], u32>>,
    address: [u8; 16],
}

impl<'a> ProofQuestion<'a> {
    fn open(open: &'a RefCell<HashMap<[u8; 16], u32>>, address: [u8; 16]) -> Option<Self> {
        let mut places = open.borrow_mut();
        let place = places.entry(address).or_default();
        if *place >= limits::PROOF_QUESTIONS_MAX {
            return None;
        }
        *place += 1;
        Some(Self { open, address })
    }
}

impl Drop for ProofQuestion<'_> {
    fn drop(&mut self) {
        let mut places = self.open.borrow_mut();
        if let Some(place) = places.get_mut(&self.address) {
            *place = place.saturating_sub(1);
            if *place == 0 {
                places.remove(&self.address);
            }
        }
    }
}

/// Prices that were looked up in the configuration of an epoch. The shard has its own copies: a count that all shards share
/// would travel between their cores.
#[derive(Default)]
struct KnownPrices {
    epoch: Epoch,
    /// A buffer for the key.
    key: String,
    found: HashMap<String, Option<Rc<Price>>>,
}

type IdentityReply = Dated;
type ResolveReply = Result<Arc<[IpAddr]>, ResolveError>;

/// The shard.
pub(crate) struct Shard {
    pub(crate) id: ShardId,
    pub(crate) process: Arc<Process>,
    snapshot: RefCell<arc_swap::Cache<SnapshotCell, Option<Arc<Published>>>>,
    config: RefCell<Option<Rc<Config>>>,
    /// What was in use before and is being let go of.
    retired: RefCell<Vec<Rc<Config>>>,
    /// Epoch of a snapshot that could not be compiled, so that it is tried only once.
    refused: Cell<Epoch>,
    pub(crate) watches: Rc<Watches>,
    pub(crate) metrics: RefCell<ShardMetrics>,
    pub(crate) journal: RefCell<ShardJournal>,
    pub(crate) in_flight: RefCell<InFlight>,
    pub(crate) captures: RefCell<ShardCaptures>,
    pub(crate) pools: RefCell<Pools>,
    /// Bytes are read into this between two awaits; it never holds anything across one.
    pub(crate) scratch: RefCell<Box<[u8]>>,
    /// Ciphertext, in the same way.
    pub(crate) cipher: RefCell<Box<[u8]>>,
    /// What is to be sent is put together here, in the same way.
    pub(crate) out: RefCell<Vec<u8>>,
    spare: RefCell<Vec<Vec<u8>>>,
    /// What is known of who calls.
    known: RefCell<Known>,
    /// Grows whenever something of that is forgotten, so that nothing older is used afterwards.
    forgotten: Cell<u64>,
    /// Open questions about proofs, by the address that showed them.
    proof_questions: RefCell<HashMap<[u8; 16], u32>>,
    prices: RefCell<KnownPrices>,
    /// Budgets.
    quotas: Buckets,
    /// What requests of each model have used so far, learnt where a quota counts.
    pub(crate) estimates: RefCell<Estimates>,
    identities: IdentityClient,
    resolver: ResolverClient,
    tickets: Cell<u64>,
    identity_waits: RefCell<HashMap<u64, Slot<IdentityReply>>>,
    resolve_waits: RefCell<HashMap<u64, Slot<ResolveReply>>>,
    metrics_waits: RefCell<HashMap<u64, Slot<()>>>,
    sequence: Cell<u32>,
    /// Requests that run.
    pub(crate) running: Cell<u64>,
    /// Of these: answers that are being streamed.
    pub(crate) streaming: Cell<u64>,
    drain_deadline: Cell<Option<MonoMicros>>,
    drain_began: Slot<()>,
}

impl Shard {
    pub(crate) fn new(
        id: ShardId,
        process: Arc<Process>,
        journal: ShardJournal,
        in_flight: InFlight,
        captures: ShardCaptures,
        identities: IdentityClient,
        quotas: QuotaClient,
        resolver: ResolverClient,
    ) -> Rc<Self> {
        Rc::new(Self {
            id,
            snapshot: RefCell::new(arc_swap::Cache::new(process.snapshot.clone())),
            config: RefCell::new(None),
            retired: RefCell::default(),
            refused: Cell::new(Epoch(0)),
            watches: Rc::new(Watches::default()),
            metrics: RefCell::new(ShardMetrics::new(process.labels.clone())),
            process,
            journal: RefCell::new(journal),
            in_flight: RefCell::new(in_flight),
            captures: RefCell::new(captures),
            pools: RefCell::new(Pools::default()),
            scratch: RefCell::new(vec![0; limits::SCRATCH_BYTES].into_boxed_slice()),
            cipher: RefCell::new(vec![0; limits::CIPHER_BYTES].into_boxed_slice()),
            out: RefCell::new(Vec::with_capacity(limits::SCRATCH_BYTES + 4_096)),
            spare: RefCell::new(Vec::new()),
            known: RefCell::new(Known::new()),
            forgotten: Cell::new(0),
            proof_questions: RefCell::new(HashMap::new()),
            prices: RefCell::default(),
            quotas: Buckets::new(quotas),
            estimates: RefCell::default(),
            identities,
            resolver,
            tickets: Cell::new(0),
            identity_waits: RefCell::new(HashMap::new()),
            resolve_waits: RefCell::new(HashMap::new()),
            metrics_waits: RefCell::new(HashMap::new()),
            sequence: Cell::new(0),
            running: Cell::new(0),
            streaming: Cell::new(0),
            drain_deadline: Cell::new(None),
            drain_began: Slot::new(),
        })
    }

    /// The newest configuration that could be compiled. Looking costs one comparison unless a new one is there.
    pub(crate) fn config(&self) -> Option<Rc<Config>> {
        let mut cache = self.snapshot.borrow_mut();
        let newest = cache.load().as_ref()?;
        let epoch = Epoch(newest.snapshot().epoch.0.to_native());
        let mut config = self.config.borrow_mut();
        let current = config.as_ref().map(|c| c.epoch);
        if current != Some(epoch) && self.refused.get() != epoch {
            let system_tls = || self.process.system_tls();
            match Config::compile(newest, config.as_deref(), &system_tls) {
                Ok(compiled) => self
                    .retired
                    .borrow_mut()
                    .extend(config.replace(Rc::new(compiled))),
                Err(error) => {
                    self.refused.set(epoch);
                    tracing::error!(%error, epoch = epoch.0, "new configuration cannot be used, the old one stays");
                }
            }
        }
        config.clone()
    }

    /// Lets go of a piece of what is no longer in use. A principal that nobody hears of keeps its old policy, and that
    /// must not keep a provider's old key.
    fn let_go(&self) {
        let mut retired = self.retired.borrow_mut();
        if retired.last().is_some_and(|config| !config.rights.forget_some()) {
            retired.pop();
        }
    }

    /// Waits until the process drains.
    pub(crate) async fn drain_began(&self) {
        self.drain_began.take().await;
    }

    /// When what still runs is cut; `None` unless the process drains.
    pub(crate) fn drain_deadline(&self) -> Option<MonoMicros> {
        self.drain_deadline.get()
    }

    /// Milliseconds of the shard's clock, which deadlines count in.
    pub(crate) fn now_ms() -> u64 {
        clock::coarse_ms()
    }

    pub(crate) fn next_request_id(&self) -> RequestId {
        self.request_id_at(clock::unix_now())
    }

    /// An id for a request that began at this time.
    pub(crate) fn request_id_at(&self, time: UnixMicros) -> RequestId {
        let sequence = self.sequence.get();
        self.sequence.set(sequence.wrapping_add(1));
        RequestId::new(time.0 / 1_000, self.id, sequence, self.process.seed)
    }

    /// The price of a call by the newest configuration: `asked` is the name that was sent to the provider. Looked up once
    /// per provider and model, since that takes some comparing.
    pub(crate) fn price(&self, provider: &str, asked: &str, answered: Option<&str>) -> Option<Rc<Price>> {
        let config = self.config.borrow();
        let config = config.as_ref()?;
        let mut known = self.prices.borrow_mut();
        let KnownPrices { epoch, key, found } = &mut *known;
        if *epoch != config.epoch {
            *epoch = config.epoch;
            found.clear();
        }
        key.clear();
        for part in [provider, asked, answered.unwrap_or_default()] {
            key.push_str(part);
            key.push('\n');
        }
        if let Some(price) = found.get(key.as_str()) {
            return price.clone();
        }
        let price = config
            .prices()
            .price_of_call(provider, asked, answered)
            .map(Rc::new);
        if found.len() >= limits::KNOWN_PRICES_MAX {
            found.clear();
        }
        found.insert(key.clone(), price.clone());
        price
    }

    /// What a call has cost, side work at other models included; `None` where that is not known.
    pub(crate) fn cost(&self, provider: &str, price: &Price, usage: &Usage) -> Option<NanoUsd> {
        self.config
            .borrow()
            .as_ref()?
            .prices()
            .cost(provider, price, usage)
    }

    /// An empty buffer, reused if one is there.
    pub(crate) fn take_buffer(&self) -> Vec<u8> {
        self.spare.borrow_mut().pop().unwrap_or_default()
    }

    /// Gives a buffer back. Large and surplus ones are freed.
    pub(crate) fn give_buffer(&self, mut buffer: Vec<u8>) {
        let mut spare = self.spare.borrow_mut();
        if buffer.capacity() > 0
            && buffer.capacity() <= limits::SPARE_BUFFER_BYTES_MAX
            && spare.len() < limits::SPARE_BUFFERS_MAX
        {
            buffer.clear();
            spare.push(buffer);
        }
    }

    fn ticket(&self) -> u64 {
        let ticket = self.tickets.get();
        self.tickets.set(ticket.wrapping_add(1));
        ticket
    }

    /// Number of times that something was forgotten.
    pub(crate) fn forgotten(&self) -> u64 {
        self.forgotten.get()
    }

    /// Counts a caller who was known to the connection already.
    pub(crate) fn count_identity_hit(&self) {
        self.metrics.borrow_mut().counts.identity_hits += 1;
    }

    /// Who calls, and what they may do under `config`. Also returns the number of [`Self::forgotten`] under which that
    /// holds.
    pub(crate) async fn identify(&self, config: &Config, facts: &Facts<'_>) -> (Resolved, u64) {
        let mut learnt = Learnt::default();
        let mut forgotten = self.forgotten.get();
        for round in 0..IDENTIFY_ROUNDS_MAX {
            let now = clock::mono_now();
            let step = self.known.borrow_mut().resolve(config, facts, &learnt, now);
            let (key, about_bearer) = match step {
                Step::Done(resolved) => {
                    if round == 0 {
                        self.count_identity_hit();
                    }
                    return (resolved, forgotten);
                }
                Step::AskConnection(key) => (key, false),
                Step::AskBearer(key) => (key, true),
            };
            if round == 0 {
                self.metrics.borrow_mut().counts.identity_misses += 1;
            }
            let proof = if about_bearer {
                facts.bearer.as_ref().map(Token::proof)
            } else {
                facts.served.proof()
            };
            let answer = self.ask(config, key, proof, facts.address).await;
            if self.forgotten.get() != forgotten {
                // Something was revoked meanwhile, perhaps what was just learnt: from the beginning.
                forgotten = self.forgotten.get();
                learnt = Learnt::default();
                continue;
            }
            self.known.borrow_mut().learn(key, &answer.0, answer.1);
            if about_bearer {
                learnt.bearer = Some(answer);
            } else {
                learnt.connection = Some(answer);
            }
        }
        (Resolved::Unavailable { retry_after_s: 1 }, forgotten)
    }

    async fn ask(&self, config: &Config, key: Key, proof: Option<Proof>, address: [u8; 16]) -> Dated {
        let unavailable = || {
            let answer = IdentityAnswer::Unavailable { retry_after_s: 1 };
            (answer, clock::mono_now())
        };
        let _place = match key {
            Key::Peer { .. } => None,
            Key::Proof(_) => match ProofQuestion::open(&self.proof_questions, address) {
                None => return unavailable(),
                place => place,
            },
        };
        let slot = Slot::new();
        let ticket = self.ticket();
        self.identity_waits.borrow_mut().insert(ticket, slot.clone());
        if self.identities.ask(key, proof, ticket).is_err() {
            self.identity_waits.borrow_mut().remove(&ticket);
            return unavailable();
        }
        // The service answers within its own limit; this one only covers its death.
        let patience =
            Duration::from_millis(config.limits.identity_ms.saturating_mul(2).saturating_add(1_000));
        let reply = monoio::time::timeout(patience, slot.take()).await;
        self.identity_waits.borrow_mut().remove(&ticket);
        reply.unwrap_or_else(|_| unavailable())
    }

    /// A bucket by the name of its quota, with templates, and its own; see [`Buckets::bucket`].
    pub(crate) fn bucket(&self, quota: &str, name: &str, unit: Unit) -> Rc<Bucket> {
        self.quotas.bucket(quota, name, unit)
    }

    /// Reserves all of it or nothing. Waits for what is short, if that can help, at most [`limits::QUOTA_PATIENCE`]; may
    /// be dropped at any moment.
    pub(crate) async fn reserve(&self, wants: &[Want]) -> Result<Reservation, Short> {
        let mut attempt = Attempt::default();
        let wait = match self.quotas.step(wants, &mut attempt) {
            buckets::Step::Done(reserved) => return reserved,
            buckets::Step::Wait(wait) => wait,
        };
        let waiting = self.quotas.go_on(wants, &mut attempt, wait);
        let reserved = monoio::time::timeout(limits::QUOTA_PATIENCE, waiting).await;
        reserved.unwrap_or_else(|_| {
            let index = attempt.index;
            Err(Short::Unavailable { index })
        })
    }

    /// Addresses of a host name, by the resolver thread.
    pub(crate) async fn resolve(&self, host: &str) -> Option<Arc<[IpAddr]>> {
        let slot = Slot::new();
        let ticket = self.ticket();
        self.resolve_waits.borrow_mut().insert(ticket, slot.clone());
        let asked = self.resolver.resolve(host, ticket).is_ok();
        let reply = if asked {
            monoio::time::timeout(limits::RESOLVE_PATIENCE, slot.take())
                .await
                .ok()
        } else {
            None
        };
        self.resolve_waits.borrow_mut().remove(&ticket);
        reply.and_then(Result::ok)
    }

    /// Text of the metrics of all shards.
    pub(crate) async fn render_metrics(&self) -> Option<String> {
        let slot = Slot::new();
        let ticket = self.ticket();
        let mailbox = self.process.mailboxes.get(usize::from(self.id.0))?.clone();
        let shards = self.process.mailboxes.len();
        let collector = Arc::new(MetricsCollector::new(shards, Some((mailbox, ticket))));
        self.metrics_waits.borrow_mut().insert(ticket, slot.clone());
        for mailbox in &self.process.mailboxes {
            // A shard whose mailbox is full is missing from this scrape; the text says how many answered.
            let _ = mailbox.send(ShardMessage::CollectMetrics(collector.clone()));
        }
        // Time out or not: what has been handed in by then is shown.
        let _ = monoio::time::timeout(limits::METRICS_PATIENCE, slot.take()).await;
        self.metrics_waits.borrow_mut().remove(&ticket);
        Some(collector.render(&(self.process.gauges)()))
    }

    /// Handles messages until the process ends.
    pub(crate) async fn read_mail(self: Rc<Self>, mut mailbox: MailboxReceiver) {
        let Ok(stream) = mailbox.wake_stream().and_then(monoio::net::UnixStream::from_std) else {
            tracing::error!(
                shard = self.id.0,
                "no descriptor for the mailbox: the shard cannot be told anything"
            );
            std::process::abort();
        };
        let wake = Sock::Unix(stream);
        loop {
            if wake.readable().await.is_err() {
                return;
            }
            mailbox.wakened();
            while let Some(message) = mailbox.next() {
                self.handle(message);
            }
        }
    }

    fn handle(&self, message: ShardMessage) {
        match message {
            // The cell holds it already; the next request picks it up.
            ShardMessage::Snapshot(_) => {}
            ShardMessage::Identity {
                ticket,
                answer,
                valid_until,
            } => {
                if let Some(slot) = self.identity_waits.borrow_mut().remove(&ticket) {
                    slot.put((answer, valid_until));
                }
            }
            ShardMessage::Resolved { ticket, result } => {
                if let Some(slot) = self.resolve_waits.borrow_mut().remove(&ticket) {
                    slot.put(result);
                }
            }
            ShardMessage::Forget { whom, cut } => {
                self.forgotten.set(self.forgotten.get().wrapping_add(1));
                let mut known = self.known.borrow_mut();
                match whom {
                    Whom::Address(address) => known.forget_address(&address),
                    Whom::Proof(hash) => known.forget_proof(&hash),
                    Whom::Everyone => known.forget_everyone(),
                }
                if cut {
                    self.watches.cut(whom);
                }
            }
            ShardMessage::Quota(message) => self.quotas.handle(message),
            ShardMessage::CollectMetrics(collector) => {
                let mut metrics = self.metrics.borrow_mut();
                metrics.gauges.connections_open = self.watches.len() as u64;
                metrics.gauges.requests_running = self.running.get();
                metrics.gauges.streams_running = self.streaming.get();
                metrics.gauges.epoch = self.config.borrow().as_ref().map_or(0, |c| c.epoch.0);
                metrics.gauges.quota_leases = self.quotas.len() as u64;
                metrics.gauges.quota_reservations = self.quotas.reservations();
                metrics.counts.quota_waits = self.quotas.waits();
                self.pools.borrow().report(&mut metrics);
                metrics.learnt(&self.estimates.borrow());
                collector.hand_in(&metrics);
            }
            ShardMessage::MetricsReady { ticket } => {
                if let Some(slot) = self.metrics_waits.borrow_mut().remove(&ticket) {
                    slot.put(());
                }
            }
            ShardMessage::Standing(round) => round.hand_in(self.standing()),
            ShardMessage::Drain { deadline } => {
                self.process.draining.store(true, Ordering::Relaxed);
                self.drain_deadline.set(Some(deadline));
                self.drain_began.put(());
                self.watches.cut_idle();
            }
        }
    }

    /// What runs here.
    fn standing(&self) -> Standing {
        let config = self.config.borrow();
        let providers = config.iter().flat_map(|config| &config.providers);
        let mut pools = self.pools.borrow_mut();
        let pools = providers.map(|provider| {
            let (open, idle) = pools.standing(provider.pool);
            PoolStanding {
                provider: provider.spec.id.clone(),
                open,
                idle,
            }
        });
        Standing {
            running: self.running.get(),
            streams: self.streaming.get(),
            pools: pools.collect(),
        }
    }

    /// Ends waits whose deadline has passed and closes pooled connections that are too old.
    pub(crate) async fn sweep(self: Rc<Self>) {
        loop {
            let interval = if self.running.get() > 0 {
                SWEEP_MS
            } else {
                QUIET_SWEEP_MS
            };
            monoio::time::sleep(Duration::from_millis(interval)).await;
            let now_ms = Self::now_ms();
            self.watches.sweep(now_ms);
            certificate::recheck::recheck(&self);
            self.pools.borrow_mut().expire(now_ms);
            self.quotas.sweep(now_ms);
            // A shard that nobody calls takes the new configuration, too, and gives the old one up.
            self.config();
            self.let_go();
            if self.process.draining.load(Ordering::Relaxed) {
                // The message may have found the mailbox full; the flag is seen in any case.
                self.drain_began.put(());
                self.watches.cut_idle();
            }
        }
    }
}
