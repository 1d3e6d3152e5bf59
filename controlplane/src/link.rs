//! The control socket: data planes connect, say hello, get the newest snapshot, ask who their peers are and what is left
//! in budgets.
//!
//! One task reads a connection, one writes it. A frame that does not hold ends the connection; the data plane serves
//! on meanwhile and connects again. Everything is bounded: frames by their format, questions under way by a semaphore
//! (a data plane that asks faster than we answer is read no further; questions about budgets, which may have to wait for
//! others, are counted apart), answers by a queue.
//!
//! An answer that was looked up before a revocation and would go out after it is looked up again, so that no data plane
//! believes what was revoked (see [`crate::identity::revocations`]).

mod standing;

use std::io;
use std::os::fd::AsRawFd as _;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use sluice_shared::ids::Epoch;
use sluice_shared::wire::control::{
    FrameError, HEADER_BYTES, Header, IdentityAnswer, LeaseAnswer, Proof, Standing, ToControl, ToData, Whom,
};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _, Interest};
use tokio::net::UnixStream;
use tokio::net::unix::{OwnedReadHalf, OwnedWriteHalf};
use tokio::sync::{OwnedSemaphorePermit, Semaphore, broadcast, mpsc, watch};

use crate::identity::revocations::Revocation;
use crate::identity::{Changed, Identities};
use crate::ledger::{Ledger, Plane};
use crate::publish::{Published, Publisher};
use crate::socket::OwnListener;
use crate::sys;
use standing::Standings;

/// A connection has this long for its hello, and for each frame once it has begun.
const FRAME_TIMEOUT: Duration = Duration::from_secs(10);
/// Questions of one connection under way.
const QUESTIONS_MAX: usize = 64;
/// Questions of one connection about budgets under way: each waits for one transaction, or a moment for other data
/// planes.
const LEASES_MAX: usize = 1_024;
/// Connections at a time; a node has one data plane, or two while it is upgraded.
const CONNECTIONS_MAX: usize = 64;
/// Data planes are waited for this long when they are asked what runs.
const STANDING_PATIENCE: Duration = Duration::from_millis(200);
/// Addresses and credentials that are revoked one by one; more are one message about everybody.
const REVOKED_MAX: usize = 512;

/// What all connections share.
pub(crate) struct Link {
    publisher: Arc<Publisher>,
    identities: Arc<Identities>,
    ledger: Arc<Ledger>,
    connected: AtomicUsize,
    standings: Standings,
}

/// Why a connection ended.
#[derive(Debug, thiserror::Error)]
enum LinkError {
    #[error("socket")]
    Io(#[from] io::Error),
    #[error("frame")]
    Frame(#[from] FrameError),
    #[error("first frame was no hello")]
    NoHello,
    #[error("hello came twice")]
    SecondHello,
    #[error("took too long")]
    Timeout,
}

impl Link {
    pub(crate) fn new(
        publisher: Arc<Publisher>,
        identities: Arc<Identities>,
        ledger: Arc<Ledger>,
    ) -> Arc<Self> {
        Arc::new(Self {
            publisher,
            identities,
            ledger,
            connected: AtomicUsize::new(0),
            standings: Standings::new(),
        })
    }

    /// Data planes that have said hello and are still there.
    pub(crate) fn connected(&self) -> usize {
        self.connected.load(Ordering::Relaxed)
    }

    /// What runs in all data planes; `None` if none is connected or has said so lately. Waits for their answers, but not
    /// for long.
    pub(crate) async fn standing(&self) -> Option<Standing> {
        if self.connected() == 0 {
            return None;
        }
        self.standings.ask(STANDING_PATIENCE, || self.connected()).await
    }

    /// Tells every data plane to forget what changed.
    pub(crate) fn revoke(&self, changed: Changed) {
        let revocations = self.identities.revocations();
        let send = |whom: Vec<Whom>, cut| {
            if whom.len() > REVOKED_MAX {
                revocations.send(Whom::Everyone, cut);
            } else {
                whom.into_iter().for_each(|whom| revocations.send(whom, cut));
            }
        };
        match changed {
            Changed::Addresses { cut, forget, proofs } => {
                let ended = cut.into_iter().map(Whom::Address);
                send(ended.chain(proofs.into_iter().map(Whom::Proof)).collect(), true);
                send(forget.into_iter().map(Whom::Address).collect(), false);
            }
            Changed::Everything => revocations.send(Whom::Everyone, true),
        }
    }

    /// Serves connections for ever.
    pub(crate) async fn serve(self: Arc<Self>, listener: OwnListener) {
        let room = Arc::new(Semaphore::new(CONNECTIONS_MAX));
        loop {
            let stream = listener.accept().await;
            let Ok(permit) = room.clone().try_acquire_owned() else {
                tracing::warn!("more than {CONNECTIONS_MAX} control connections; the newest is closed");
                continue;
            };
            let link = self.clone();
            tokio::spawn(async move {
                let _permit = permit;
                link.connection(stream).await;
            });
        }
    }

    async fn connection(self: Arc<Self>, stream: UnixStream) {
        let (mut read, write) = stream.into_split();
        let hello = match self.hello(&mut read).await {
            Ok(hello) => hello,
            Err(error) => {
                tracing::warn!(error = %chain(&error), "control connection refused");
                return;
            }
        };
        let (pid, incarnation) = hello;
        self.connected.fetch_add(1, Ordering::Relaxed);
        tracing::info!(pid, incarnation, "data plane connected");
        let (answers, queue) = mpsc::channel(QUESTIONS_MAX);
        let plane = self.ledger.connected(incarnation);
        let writer = self.write_frames(write, queue, answers.downgrade(), &plane);
        let end = tokio::select! {
            end = self.read_frames(&mut read, incarnation, answers) => end,
            end = writer => end,
        };
        self.connected.fetch_sub(1, Ordering::Relaxed);
        self.standings.gone(incarnation);
        match end {
            Ok(()) => tracing::info!(pid, incarnation, "data plane gone"),
            Err(error) => {
                tracing::warn!(pid, incarnation, error = %chain(&error), "control connection ended");
            }
        }
    }

    async fn hello(&self, read: &mut OwnedReadHalf) -> Result<(u32, u64), LinkError> {
        let frame = tokio::time::timeout(FRAME_TIMEOUT, read_frame(read))
            .await
            .map_err(|_| LinkError::Timeout)??;
        let Some(ToControl::Hello {
            pid,
            incarnation,
            epoch,
        }) = frame
        else {
            return Err(LinkError::NoHello);
        };
        if let Err(error) = self.publisher.exceed(epoch) {
            tracing::error!(error = %chain(&error), epoch = epoch.0, "cannot go above the epoch of the data plane");
        }
        Ok((pid, incarnation))
    }

    async fn read_frames(
        self: &Arc<Self>,
        read: &mut OwnedReadHalf,
        incarnation: u64,
        answers: mpsc::Sender<Answered>,
    ) -> Result<(), LinkError> {
        let room = Arc::new(Semaphore::new(QUESTIONS_MAX));
        let leases = Arc::new(Semaphore::new(LEASES_MAX));
        while let Some(frame) = read_frame(read).await? {
            let (ticket, question) = match frame {
                ToControl::Hello { .. } => return Err(LinkError::SecondHello),
                ToControl::WhoIs {
                    ticket,
                    address,
                    port,
                } => (ticket, Question::Address(address, port)),
                ToControl::Prove { ticket, proof } => (ticket, Question::Proof(proof)),
                ToControl::Lease { ticket, bucket, ask } => {
                    let Ok(permit) = leases.clone().acquire_owned().await else {
                        return Ok(());
                    };
                    let (ledger, answers) = (self.ledger.clone(), answers.clone());
                    tokio::spawn(async move {
                        if let Some(answer) = ledger.lease(incarnation, bucket, ask).await {
                            // The connection may be gone; then nobody waits for the answer.
                            let _ = answers
                                .send(Answered::Lease {
                                    ticket,
                                    answer,
                                    _permit: permit,
                                })
                                .await;
                        }
                    });
                    continue;
                }
                ToControl::Standing(standing) => {
                    self.standings.told(incarnation, standing);
                    continue;
                }
                ToControl::SnapshotApplied { epoch } => {
                    tracing::info!(epoch = epoch.0, "snapshot applied");
                    continue;
                }
                ToControl::SnapshotRefused { epoch, reason } => {
                    tracing::error!(epoch = epoch.0, reason = %reason.escape_debug(), "snapshot refused by the data plane");
                    continue;
                }
            };
            let Ok(permit) = room.clone().acquire_owned().await else {
                return Ok(());
            };
            self.clone().answer(ticket, question, permit, answers.clone());
        }
        Ok(())
    }

    /// Looks an answer up and queues it.
    fn answer(
        self: Arc<Self>,
        ticket: u64,
        question: Question,
        permit: OwnedSemaphorePermit,
        answers: mpsc::Sender<Answered>,
    ) {
        tokio::spawn(async move {
            let before = self.identities.revocations().count();
            let answer = match &question {
                Question::Address(address, port) => self.identities.whois(*address, *port).await,
                Question::Proof(proof) => self.identities.prove(proof).await,
            };
            let answered = Answered::Identity {
                ticket,
                question,
                answer,
                before,
                permit,
            };
            // The connection may be gone; then nobody waits for the answer.
            let _ = answers.send(answered).await;
        });
    }

    /// Sends snapshots before anything else, so that a revocation never overtakes the document that caused it.
    async fn write_frames(
        self: &Arc<Self>,
        mut write: OwnedWriteHalf,
        mut answered: mpsc::Receiver<Answered>,
        answers: mpsc::WeakSender<Answered>,
        plane: &Plane,
    ) -> Result<(), LinkError> {
        let mut snapshots: watch::Receiver<Option<Published>> = self.publisher.subscribe();
        let mut revocations = self.identities.revocations().subscribe();
        let mut standing = self.standings.questions();
        let mut sent = Epoch(0);
        // The newest revocation that has gone out.
        let mut revoked = 0;
        // It may remember what another control plane said, which heard of changes that we never did.
        let mut outdated = self.identities.revokes_by_itself();
        loop {
            let newest = snapshots.borrow_and_update().clone();
            if let Some(published) = newest.filter(|published| published.epoch > sent) {
                sent = published.epoch;
                send_snapshot(&mut write, &published).await?;
            }
            if std::mem::take(&mut outdated) {
                let frame = ToData::Forget {
                    whom: Whom::Everyone,
                    cut: false,
                };
                send(&mut write, &frame.encode()?).await?;
            }
            let frame = tokio::select! {
                biased;
                changed = snapshots.changed() => match changed {
                    Ok(()) => continue,
                    Err(_) => return Ok(()),
                },
                revocation = revocations.recv() => match revocation {
                    Ok(Revocation { number, whom, cut }) => {
                        revoked = number;
                        ToData::Forget { whom, cut }
                    }
                    // Some were missed: forget everything.
                    Err(broadcast::error::RecvError::Lagged(_)) => {
                        // In this order: what comes between is told again rather than lost.
                        revocations = revocations.resubscribe();
                        revoked = self.identities.revocations().count();
                        ToData::Forget {
                            whom: Whom::Everyone,
                            cut: true,
                        }
                    }
                    Err(broadcast::error::RecvError::Closed) => return Ok(()),
                },
                told = plane.next() => told,
                asked = standing.changed() => match asked {
                    Ok(()) => ToData::Stand,
                    Err(_) => return Ok(()),
                },
                answer = answered.recv() => match answer {
                    Some(Answered::Identity { ticket, question, before, permit, .. }) if before < revoked => {
                        if let Some(answers) = answers.upgrade() {
                            self.clone().answer(ticket, question, permit, answers);
                        }
                        continue;
                    }
                    Some(Answered::Identity { ticket, answer, .. }) => ToData::Identity { ticket, answer },
                    Some(Answered::Lease { ticket, answer, .. }) => ToData::Leased { ticket, answer },
                    None => return Ok(()),
                },
            };
            send(&mut write, &encode(frame)?).await?;
        }
    }
}

/// A question of a data plane.
enum Question {
    Address([u8; 16], u16),
    Proof(Proof),
}

/// An answer on its way out.
enum Answered {
    Identity {
        ticket: u64,
        question: Question,
        answer: IdentityAnswer,
        /// Revocations that there were before it was looked up.
        before: u64,
        permit: OwnedSemaphorePermit,
    },
    Lease {
        ticket: u64,
        answer: LeaseAnswer,
        /// Of the questions about budgets; back when the answer goes out.
        _permit: OwnedSemaphorePermit,
    },
}

/// Reads one frame; `None` where the other side closed between frames.
async fn read_frame(read: &mut OwnedReadHalf) -> Result<Option<ToControl>, LinkError> {
    let mut head = [0; HEADER_BYTES];
    if read.read(&mut head[..1]).await? == 0 {
        return Ok(None);
    }
    let rest = async {
        read.read_exact(&mut head[1..]).await?;
        let header = Header::parse(&head)?;
        let mut payload = vec![0; header.payload_bytes];
        read.read_exact(&mut payload).await?;
        Ok::<_, LinkError>(header.to_control(&payload)?)
    };
    tokio::time::timeout(FRAME_TIMEOUT, rest)
        .await
        .map_err(|_| LinkError::Timeout)?
        .map(Some)
}

/// The bytes of a frame. An answer that is too long for one is no answer.
fn encode(frame: ToData) -> Result<Vec<u8>, FrameError> {
    match (frame.encode(), frame) {
        (Err(FrameError::TooLong(bytes)), ToData::Identity { ticket, .. }) => {
            tracing::error!(bytes, "what is known about a peer is too long for a frame");
            let answer = IdentityAnswer::Unavailable { retry_after_s: 60 };
            ToData::Identity { ticket, answer }.encode()
        }
        (encoded, _) => encoded,
    }
}

async fn send(write: &mut OwnedWriteHalf, bytes: &[u8]) -> Result<(), LinkError> {
    tokio::time::timeout(FRAME_TIMEOUT, write.write_all(bytes))
        .await
        .map_err(|_| LinkError::Timeout)??;
    Ok(())
}

async fn send_snapshot(write: &mut OwnedWriteHalf, published: &Published) -> Result<(), LinkError> {
    // A memory file of its own for every receiver: the position in it is shared by all who hold the same one.
    let memory = sys::sealed_memory(c"sluice-snapshot", &published.bytes)?;
    let frame = ToData::Snapshot {
        epoch: published.epoch,
        bytes: published.bytes.len() as u64,
    }
    .encode()?;
    let first = async {
        let stream: &UnixStream = write.as_ref();
        stream
            .async_io(Interest::WRITABLE, || {
                sys::send_with_descriptor(stream.as_raw_fd(), &frame, memory.as_raw_fd())
            })
            .await
    };
    let sent = tokio::time::timeout(FRAME_TIMEOUT, first)
        .await
        .map_err(|_| LinkError::Timeout)??;
    send(write, frame.get(sent..).unwrap_or_default()).await
}

/// An error with its causes, for a log line.
pub(crate) fn chain(error: &dyn std::error::Error) -> String {
    let mut out = error.to_string();
    let mut source = error.source();
    while let Some(cause) = source {
        out.push_str(": ");
        out.push_str(&cause.to_string());
        source = cause.source();
    }
    out
}

#[cfg(test)]
mod tests;
