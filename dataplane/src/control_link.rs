//! The link to the control plane: one thread that shards talk to through queues.
//!
//! ```text
//!  control plane ──snapshot (sealed memory file), answers, revocations──▶ link ──mailboxes──▶ shards
//!                ◀──hello, questions, applied or refused──────────────── link ◀──questions── shards
//! ```
//!
//! - The socket is `DATA/control.sock`. Whoever listens there must be our own user or root.
//! - A connection begins with our hello. Anything that does not hold (framing, version, checksum) ends it; the link then
//!   connects again, after 50 ms to 1 s, for ever. Shards notice nothing.
//! - A snapshot is taken if it is sealed, whole and newer than what is in use; otherwise the old one stays and the
//!   control plane is told why. It is stored in the shared cell first, then announced to the shards.
//! - If no control plane answers at the start, the copy `DATA/snapshot.bin` serves.
//! - Questions about peers and proofs go through the [`IdentityCache`].

use std::io::{self, ErrorKind};
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::path::PathBuf;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Condvar, Mutex, PoisonError};
use std::thread::JoinHandle;
use std::time::Duration;

use arc_swap::ArcSwapOption;
use sluice_shared::ids::Epoch;
use sluice_shared::snapshot::Sealed;
use sluice_shared::units::MonoMicros;
use sluice_shared::wire::control::{ToControl, ToData};

use crate::clock::mono_now;
pub use crate::config::{CompileError, Published};
use crate::identity::cache::{Actions, IdentityCache};
use crate::identity::{IdentityClient, Questions};
use crate::journal::CaptureControl;
use crate::mailbox::{Mailbox, Outbox, ShardMessage};
use crate::metrics::marks::{QuotaMark, QuotaMarks};
use crate::quota::agent::{self, Agent};
use crate::quota::{self, QuotaClient};
use crate::service_thread;
use crate::standing::StandingRounds;
use crate::wake::{Bell, Ear, wake_pair};

mod frames;
mod receive;
mod socket;

use frames::{FrameReader, Outgoing};
use receive::RefuseError;

/// First pause before connecting again, in microseconds; doubled up to the longest.
const BACKOFF_US_MIN: u64 = 50_000;
/// Longest pause before connecting again, in microseconds.
const BACKOFF_US_MAX: u64 = 1_000_000;
/// Pause between looks whether a configuration that was replaced is still in use somewhere, in microseconds.
const RETIRED_LOOK_US: u64 = 250_000;
/// Pause before a message that found a full mailbox is tried again, in microseconds.
const OUTBOX_RETRY_US: u64 = 2_000;
/// Bytes read at once.
const READ_BYTES: usize = 64 << 10;
/// Reads in one turn, so that a talkative control plane does not keep shards waiting.
const READS_MAX: usize = 16;
/// Bytes that may wait for a control plane that does not read; beyond, the connection is given up.
const OUTGOING_BYTES_MAX: usize = 8 << 20;
/// Descriptors that may wait for their frame.
const DESCRIPTORS_MAX: usize = 4;

/// Where the current configuration stands; a shard reads it through an `arc_swap::Cache`. Empty before the first.
pub type SnapshotCell = Arc<ArcSwapOption<Published>>;

/// What the link needs to know.
#[derive(Clone)]
pub struct ControlLinkOptions {
    /// Directory with `control.sock` and `snapshot.bin`.
    pub data_dir: PathBuf,
    /// Number of the journal directory, for the hello.
    pub incarnation: u64,
    /// The shards, in order of their index.
    pub mailboxes: Vec<Mailbox>,
    /// How long the control plane is waited for before `snapshot.bin` is used, in milliseconds.
    pub cold_start_ms: u64,
    /// What is told whether captures are wanted, before shards see a configuration.
    pub captures: Option<CaptureControl>,
}

/// Numbers of the link for the metrics.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct LinkStatus {
    /// Whether the control plane is connected.
    pub connected: bool,
    /// Connections made.
    pub connects: u64,
    /// Snapshots refused.
    pub snapshots_refused: u64,
    /// Epoch in use; 0 if none.
    pub epoch: Epoch,
    /// Buckets that are open or being opened.
    pub quota_buckets: u64,
    /// Questions about buckets that the ledger was asked.
    pub quota_asks: u64,
    /// Of those: not answered in time.
    pub quota_unanswered: u64,
    /// Rounds in which all shards returned what they had idle of a bucket.
    pub quota_recalls: u64,
}

/// The thread that talks to the control plane. It ends when this is dropped.
pub struct ControlLink {
    shared: Arc<Shared>,
    bell: Bell,
    clients: Vec<IdentityClient>,
    quota_clients: Vec<QuotaClient>,
    thread: Option<JoinHandle<()>>,
}

#[derive(Default)]
struct Shared {
    snapshot: SnapshotCell,
    first: (Mutex<bool>, Condvar),
    connected: AtomicBool,
    connects: AtomicU64,
    refused: AtomicU64,
    epoch: AtomicU64,
    ending: AtomicBool,
    quota_buckets: AtomicU64,
    quota_asks: AtomicU64,
    quota_unanswered: AtomicU64,
    quota_recalls: AtomicU64,
    quota_marks: QuotaMarks,
}

impl ControlLink {
    /// Starts the thread.
    ///
    /// # Errors
    /// No thread or descriptor is left.
    pub fn start(options: ControlLinkOptions) -> io::Result<Self> {
        let shared = Arc::<Shared>::default();
        let (bell, ear) = wake_pair()?;
        let questions = Questions::new();
        let clients = (0..options.mailboxes.len())
            .map(|shard| questions.client(shard, &bell))
            .collect();
        let budgets = Agent::default();
        let shards = options.mailboxes.len();
        let quota_questions = quota::Questions::new(budgets.deals());
        let quota_clients = (0..shards)
            .map(|shard| quota_questions.client(shard, shards, &bell))
            .collect();
        let now = mono_now();
        let worker = Worker {
            socket_path: options.data_dir.join("control.sock"),
            copy_path: options.data_dir.join("snapshot.bin"),
            incarnation: options.incarnation,
            outbox: Outbox::new(options.mailboxes),
            shards,
            standing: StandingRounds::new(),
            shared: Arc::clone(&shared),
            ear,
            bell: bell.clone(),
            questions,
            quota_questions,
            identities: IdentityCache::default(),
            budgets,
            budget_actions: agent::Actions::default(),
            connection: None,
            connect_at: now,
            backoff_us: BACKOFF_US_MIN,
            copy_at: later(now, options.cold_start_ms.saturating_mul(1_000)),
            told_away: false,
            told_copy: false,
            retired: Vec::new(),
            captures: options.captures,
        };
        let thread = service_thread::spawn("sluice-control", move || worker.run())?;
        Ok(Self {
            shared,
            bell,
            clients,
            quota_clients,
            thread: Some(thread),
        })
    }

    /// Where the current configuration stands.
    #[must_use]
    pub fn snapshot(&self) -> SnapshotCell {
        Arc::clone(&self.shared.snapshot)
    }

    /// Waits for the first configuration; `None` if there is still none when the patience ends. Blocks: not for a shard.
    #[must_use]
    pub fn first_snapshot(&self, patience: Duration) -> Option<Arc<Published>> {
        let (arrived, condition) = &self.shared.first;
        let guard = arrived.lock().unwrap_or_else(PoisonError::into_inner);
        let (guard, _) = condition
            .wait_timeout_while(guard, patience, |arrived| !*arrived)
            .unwrap_or_else(PoisonError::into_inner);
        drop(guard);
        self.shared.snapshot.load_full()
    }

    /// A shard's way to ask who a peer is; `None` for a shard that the options did not name.
    #[must_use]
    pub fn identity(&self, shard: usize) -> Option<IdentityClient> {
        self.clients.get(shard).cloned()
    }

    /// A shard's way to ask for budgets; `None` for a shard that the options did not name.
    pub(crate) fn quotas(&self, shard: usize) -> Option<QuotaClient> {
        self.quota_clients.get(shard).cloned()
    }

    /// A way to read the numbers of the link, for the metrics.
    pub fn status_reader(&self) -> impl Fn() -> LinkStatus + Send + Sync + use<> {
        let shared = Arc::clone(&self.shared);
        move || LinkStatus {
            connected: shared.connected.load(Ordering::Relaxed),
            connects: shared.connects.load(Ordering::Relaxed),
            snapshots_refused: shared.refused.load(Ordering::Relaxed),
            epoch: Epoch(shared.epoch.load(Ordering::Relaxed)),
            quota_buckets: shared.quota_buckets.load(Ordering::Relaxed),
            quota_asks: shared.quota_asks.load(Ordering::Relaxed),
            quota_unanswered: shared.quota_unanswered.load(Ordering::Relaxed),
            quota_recalls: shared.quota_recalls.load(Ordering::Relaxed),
        }
    }

    /// A way to read which marks buckets have reached, for the metrics.
    pub fn quota_marks_reader(&self) -> impl Fn() -> Vec<QuotaMark> + Send + Sync + use<> {
        let shared = Arc::clone(&self.shared);
        move || shared.quota_marks.read()
    }

    /// Ends the thread.
    pub fn stop(self) {
        drop(self);
    }
}

impl Drop for ControlLink {
    fn drop(&mut self) {
        self.shared.ending.store(true, Ordering::Release);
        self.bell.ring();
        if let Some(thread) = self.thread.take() {
            // A panic there has already ended the process.
            let _ = thread.join();
        }
    }
}

struct Worker {
    socket_path: PathBuf,
    copy_path: PathBuf,
    incarnation: u64,
    outbox: Outbox,
    shared: Arc<Shared>,
    ear: Ear,
    /// Rings that ear.
    bell: Bell,
    shards: usize,
    standing: StandingRounds,
    questions: Questions,
    quota_questions: quota::Questions,
    identities: IdentityCache,
    budgets: Agent,
    /// What is to be done for them at the end of the turn.
    budget_actions: agent::Actions,
    connection: Option<Connection>,
    /// When to connect again.
    connect_at: MonoMicros,
    backoff_us: u64,
    /// When to look for the copy, as long as there is no snapshot.
    copy_at: MonoMicros,
    /// It was logged that the control plane is away.
    told_away: bool,
    /// It was logged that the copy cannot be used.
    told_copy: bool,
    /// Configurations that are no longer in use, until no shard holds them.
    retired: Vec<Arc<Published>>,
    captures: Option<CaptureControl>,
}

struct Connection {
    socket: OwnedFd,
    frames: FrameReader,
    descriptors: Vec<OwnedFd>,
    outgoing: Outgoing,
}

/// Why a connection ended.
#[derive(Debug, thiserror::Error)]
enum LinkError {
    #[error("the socket belongs to user {0}, neither ours nor root's")]
    ForeignPeer(u32),
    #[error("closed by the control plane")]
    Closed,
    #[error("the control plane does not read")]
    Stuck,
    #[error("descriptors without frames")]
    StrayDescriptors,
    #[error(transparent)]
    Frame(#[from] sluice_shared::wire::control::FrameError),
    #[error(transparent)]
    Io(#[from] io::Error),
}

impl Worker {
    fn run(mut self) {
        let mut buffer = vec![0; READ_BYTES];
        loop {
            self.wait();
            self.ear.clear();
            // Whatever shards still use stays; the last to let go would otherwise free it all, on a shard.
            self.retired.retain(|old| Arc::strong_count(old) > 1);
            if self.shared.ending.load(Ordering::Acquire) {
                return;
            }
            let mut actions = Actions::default();
            let now = mono_now();
            if self.connection.is_none() && now >= self.connect_at {
                self.connect(now, &mut actions);
            }
            while let Ok(question) = self.questions.receiver.try_recv() {
                self.identities.ask(question, now, &mut actions);
            }
            while let Ok(question) = self.quota_questions.receiver.try_recv() {
                self.budgets.ask(question, now, &mut self.budget_actions);
            }
            while let Ok(round) = self.quota_questions.rounds.try_recv() {
                self.budgets.returned(round, now, &mut self.budget_actions);
            }
            while let Ok(standing) = self.standing.over.try_recv() {
                if let Err(error) = self.say(&ToControl::Standing(standing)) {
                    self.lost(&error);
                }
            }
            if let Err(error) = self.read(&mut buffer, &mut actions) {
                self.lost(&error);
            }
            let now = mono_now();
            self.identities.expire(now, &mut actions);
            self.perform(actions);
            self.budgets.expire(now, &mut self.budget_actions);
            self.perform_for_budgets();
            if let Err(error) = self.write() {
                self.lost(&error);
            }
            if self.shared.snapshot.load().is_none() && now >= self.copy_at {
                self.read_copy(now);
            }
        }
    }

    fn wait(&mut self) {
        let now = mono_now();
        let mut until = later(now, 60_000_000);
        if !self.outbox.flush() {
            until = until.min(later(now, OUTBOX_RETRY_US));
        }
        if self.connection.is_none() {
            until = until.min(self.connect_at);
        }
        if self.shared.snapshot.load().is_none() {
            until = until.min(self.copy_at);
        }
        if !self.retired.is_empty() {
            // With it goes the provider's old key.
            until = until.min(later(now, RETIRED_LOOK_US));
        }
        let deadlines = [self.identities.next_deadline(), self.budgets.next_deadline()];
        for deadline in deadlines.into_iter().flatten() {
            until = until.min(deadline);
        }
        let timeout_ms = i32::try_from(until.since(now).div_ceil(1_000)).unwrap_or(i32::MAX);
        let socket = self
            .connection
            .as_ref()
            .map(|c| (c.socket.as_fd(), c.outgoing.bytes() > 0));
        if let Err(error) = socket::wait(self.ear.fd(), socket, timeout_ms) {
            tracing::error!(%error, "control link cannot wait for its socket");
        }
    }

    fn connect(&mut self, now: MonoMicros, actions: &mut Actions) {
        let hello = ToControl::Hello {
            pid: std::process::id(),
            incarnation: self.incarnation,
            epoch: self.epoch(),
        };
        let opened = socket::connect(&self.socket_path)
            .map_err(LinkError::from)
            .and_then(|socket| {
                let uid = socket::peer_uid(socket.as_fd())?;
                if !trusted(uid, socket::own_uid()) {
                    return Err(LinkError::ForeignPeer(uid));
                }
                Ok((socket, hello.encode()?))
            });
        match opened {
            Ok((socket, hello)) => {
                let mut outgoing = Outgoing::default();
                outgoing.push(hello);
                self.connection = Some(Connection {
                    socket,
                    frames: FrameReader::default(),
                    descriptors: Vec::new(),
                    outgoing,
                });
                self.identities.connected(actions);
                self.budgets.connected(now, &mut self.budget_actions);
                self.shared.connected.store(true, Ordering::Relaxed);
                self.shared.connects.fetch_add(1, Ordering::Relaxed);
            }
            Err(error) => {
                if !self.told_away {
                    tracing::warn!(%error, "control plane cannot be reached, trying on");
                    self.told_away = true;
                }
                self.retry(now);
            }
        }
    }

    fn retry(&mut self, now: MonoMicros) {
        self.connect_at = later(now, self.backoff_us);
        self.backoff_us = self.backoff_us.saturating_mul(2).min(BACKOFF_US_MAX);
    }

    fn lost(&mut self, error: &LinkError) {
        if self.connection.take().is_none() {
            return;
        }
        if !self.told_away {
            tracing::warn!(%error, "control plane lost, serving on with what is known");
            self.told_away = true;
        }
        self.identities.disconnected();
        self.budgets.disconnected(mono_now(), &mut self.budget_actions);
        self.shared.connected.store(false, Ordering::Relaxed);
        self.retry(mono_now());
    }

    /// Reads what is there and acts on every whole frame.
    fn read(&mut self, buffer: &mut [u8], actions: &mut Actions) -> Result<(), LinkError> {
        for _ in 0..READS_MAX {
            let Some(connection) = &mut self.connection else {
                return Ok(());
            };
            match socket::receive(connection.socket.as_fd(), buffer, &mut connection.descriptors) {
                Ok(0) => return Err(LinkError::Closed),
                Ok(bytes) => connection.frames.push(buffer.get(..bytes).unwrap_or_default()),
                Err(error) if error.kind() == ErrorKind::WouldBlock => return Ok(()),
                Err(error) if error.kind() == ErrorKind::Interrupted => continue,
                Err(error) => return Err(error.into()),
            }
            while let Some(connection) = &mut self.connection
                && let Some(frame) = connection.frames.next()?
            {
                self.backoff_us = BACKOFF_US_MIN;
                if self.told_away {
                    tracing::info!("control plane is there");
                    self.told_away = false;
                }
                self.act(frame, actions)?;
            }
            if self
                .connection
                .as_ref()
                .is_some_and(|c| c.descriptors.len() > DESCRIPTORS_MAX)
            {
                return Err(LinkError::StrayDescriptors);
            }
        }
        Ok(())
    }

    fn act(&mut self, frame: ToData, actions: &mut Actions) -> Result<(), LinkError> {
        match frame {
            ToData::Snapshot { epoch, bytes } => {
                let descriptors = self.connection.as_mut().map(|c| &mut c.descriptors);
                let file = descriptors.filter(|d| !d.is_empty()).map(|d| d.remove(0));
                let result = receive::from_memory_file(file, epoch, bytes).and_then(|s| self.publish(s));
                self.say(&match result {
                    Ok(()) => ToControl::SnapshotApplied { epoch },
                    Err(error) => {
                        self.shared.refused.fetch_add(1, Ordering::Relaxed);
                        tracing::error!(epoch = epoch.0, %error, "configuration refused, the old one stays");
                        let reason = error.to_string();
                        ToControl::SnapshotRefused { epoch, reason }
                    }
                })
            }
            ToData::Identity { ticket, answer } => {
                self.identities.answered(ticket, answer, mono_now(), actions);
                Ok(())
            }
            ToData::Forget { whom, cut } => {
                // What was found out before goes to the shards before the order to forget it.
                self.perform(std::mem::take(actions));
                self.identities.revoke(whom, actions);
                self.outbox.post_all(|| ShardMessage::Forget { whom, cut });
                Ok(())
            }
            ToData::Leased { ticket, answer } => {
                let out = &mut self.budget_actions;
                self.budgets.answered(ticket, &answer, mono_now(), out);
                Ok(())
            }
            ToData::BucketChanged { bucket } => {
                let out = &mut self.budget_actions;
                self.budgets.changed(bucket, mono_now(), out);
                Ok(())
            }
            ToData::RecallBucket { bucket } => {
                let out = &mut self.budget_actions;
                self.budgets.recall(bucket, mono_now(), out);
                Ok(())
            }
            ToData::Stand => {
                if let Some(round) = self.standing.open(self.shards, &self.bell) {
                    self.outbox
                        .post_all(|| ShardMessage::Standing(Arc::clone(&round)));
                }
                Ok(())
            }
            ToData::QuotaMark { quota, percent } => {
                self.shared.quota_marks.count(&quota, percent);
                Ok(())
            }
        }
    }

    /// Puts a snapshot into use, if it is newer; the one in use is as good as applied.
    fn publish(&mut self, sealed: Sealed) -> Result<(), RefuseError> {
        let (offered, current) = (receive::sealed_epoch(&sealed), self.epoch());
        if offered == current && self.shared.snapshot.load().is_some() {
            return Ok(());
        }
        if offered < current {
            return Err(RefuseError::Old {
                offered: offered.0,
                current: current.0,
            });
        }
        let published = Published::new(sealed)?;
        let snapshot = published.snapshot();
        self.identities.configure(
            snapshot.limits.identity_ms.to_native(),
            snapshot.identity.age_ms_max.to_native(),
        );
        self.budgets.configured();
        if let Some(captures) = &self.captures {
            captures.configure(published.capture_bytes_max());
        }
        let published = Arc::new(published);
        let old = self.shared.snapshot.swap(Some(Arc::clone(&published)));
        self.retired.extend(old);
        self.shared.epoch.store(offered.0, Ordering::Relaxed);
        self.outbox
            .post_all(|| ShardMessage::Snapshot(Arc::clone(&published)));
        let (arrived, condition) = &self.shared.first;
        *arrived.lock().unwrap_or_else(PoisonError::into_inner) = true;
        condition.notify_all();
        tracing::info!(epoch = offered.0, "configuration in use");
        Ok(())
    }

    fn read_copy(&mut self, now: MonoMicros) {
        self.copy_at = later(now, BACKOFF_US_MAX);
        match receive::from_copy(&self.copy_path).and_then(|sealed| self.publish(sealed)) {
            Ok(()) => {
                tracing::warn!("no control plane at the start: using the copy of the last configuration");
            }
            Err(error) if !self.told_copy => {
                tracing::warn!(%error, "no control plane, and no usable copy of a configuration");
                self.told_copy = true;
            }
            Err(_) => {}
        }
    }

    fn epoch(&self) -> Epoch {
        Epoch(self.shared.epoch.load(Ordering::Relaxed))
    }

    fn perform(&mut self, actions: Actions) {
        for reply in actions.replies {
            let message = ShardMessage::Identity {
                ticket: reply.ticket,
                answer: reply.answer,
                valid_until: reply.valid_until,
            };
            self.outbox.post(reply.shard, message);
        }
        for question in actions.questions {
            if let Err(error) = self.say(&question) {
                self.lost(&error);
            }
        }
    }

    /// As [`Self::perform`], until nothing more comes of it: losing the link does.
    fn perform_for_budgets(&mut self) {
        while !self.budget_actions.is_empty() {
            let actions = std::mem::take(&mut self.budget_actions);
            for reply in actions.replies {
                let message = ShardMessage::Quota(reply.message);
                self.outbox.post(reply.shard, message);
            }
            for (cell, id) in actions.rounds {
                let round = self.quota_questions.round(cell, id, &self.bell);
                self.outbox
                    .post_all(|| ShardMessage::Quota(quota::Message::Recall(Arc::clone(&round)).into()));
            }
            for question in actions.questions {
                if let Err(error) = self.say(&question) {
                    self.lost(&error);
                }
            }
        }
        let counts = self.budgets.counts();
        for (shared, value) in [
            (&self.shared.quota_buckets, self.budgets.len() as u64),
            (&self.shared.quota_asks, counts.asks),
            (&self.shared.quota_unanswered, counts.unanswered),
            (&self.shared.quota_recalls, counts.recalls),
        ] {
            shared.store(value, Ordering::Relaxed);
        }
    }

    /// Queues a frame; without a connection it is forgotten, for the next one begins anew.
    fn say(&mut self, frame: &ToControl) -> Result<(), LinkError> {
        let Some(connection) = &mut self.connection else {
            return Ok(());
        };
        let bytes = frame.encode()?;
        if connection.outgoing.bytes() + bytes.len() > OUTGOING_BYTES_MAX {
            return Err(LinkError::Stuck);
        }
        connection.outgoing.push(bytes);
        Ok(())
    }

    fn write(&mut self) -> Result<(), LinkError> {
        let Some(connection) = &mut self.connection else {
            return Ok(());
        };
        while let Some(piece) = connection.outgoing.front() {
            let socket: BorrowedFd<'_> = connection.socket.as_fd();
            match socket::send(socket, piece) {
                Ok(sent) => connection.outgoing.sent(sent),
                Err(error) if error.kind() == ErrorKind::WouldBlock => return Ok(()),
                Err(error) if error.kind() == ErrorKind::Interrupted => {}
                Err(error) => return Err(error.into()),
            }
        }
        Ok(())
    }
}

/// Whose control plane is obeyed.
const fn trusted(peer: u32, own: u32) -> bool {
    peer == own || peer == 0
}

const fn later(now: MonoMicros, us: u64) -> MonoMicros {
    MonoMicros(now.0.saturating_add(us))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_our_own_user_and_root_are_obeyed() {
        assert!(trusted(1_000, 1_000) && trusted(0, 1_000) && trusted(0, 0));
        assert!(!trusted(1_001, 1_000) && !trusted(1_000, 0) && !trusted(u32::MAX, 0));
    }
}
