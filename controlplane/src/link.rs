//! The control socket: data planes connect, say hello, get the newest snapshot, ask who their peers are.
//!
//! One task reads a connection, one writes it. A frame that does not hold ends the connection; the data plane serves
//! on meanwhile and connects again. Everything is bounded: frames by their format, questions under way by a semaphore
//! (a data plane that asks faster than we answer is read no further), answers by a queue.

use std::io;
use std::os::fd::AsRawFd as _;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use sluice_shared::ids::Epoch;
use sluice_shared::wire::control::{
    FrameError, HEADER_BYTES, Header, IdentityAnswer, ToControl, ToData, Whom,
};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _, Interest};
use tokio::net::UnixStream;
use tokio::net::unix::{OwnedReadHalf, OwnedWriteHalf};
use tokio::sync::{Semaphore, broadcast, mpsc, watch};

use crate::identity::{Changed, Identities};
use crate::publish::{Published, Publisher};
use crate::socket::OwnListener;
use crate::sys;

/// A connection has this long for its hello, and for each frame once it has begun.
const FRAME_TIMEOUT: Duration = Duration::from_secs(10);
/// Questions of one connection under way.
const QUESTIONS_MAX: usize = 64;
/// Connections at a time; a node has one data plane, or two while it is upgraded.
const CONNECTIONS_MAX: usize = 64;

/// What all connections share.
pub(crate) struct Link {
    publisher: Arc<Publisher>,
    identities: Arc<Identities>,
    revocations: broadcast::Sender<ToData>,
    connected: AtomicUsize,
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
    pub(crate) fn new(publisher: Arc<Publisher>, identities: Arc<Identities>) -> Arc<Self> {
        Arc::new(Self {
            publisher,
            identities,
            revocations: broadcast::channel(1024).0,
            connected: AtomicUsize::new(0),
        })
    }

    /// Data planes that have said hello and are still there.
    pub(crate) fn connected(&self) -> usize {
        self.connected.load(Ordering::Relaxed)
    }

    /// Tells every data plane to forget what changed.
    pub(crate) fn revoke(&self, changed: Changed) {
        // Nobody connected is no error: whoever connects later knows nothing old. More addresses than the queue holds
        // are one message.
        let send = |address: Option<[u8; 16]>| {
            let _ = self.revocations.send(ToData::Forget {
                whom: address.map_or(Whom::Everyone, Whom::Address),
                cut: true,
            });
        };
        match changed {
            Changed::Addresses(addresses) if addresses.len() <= 512 => {
                addresses.into_iter().for_each(|address| send(Some(address)));
            }
            Changed::Addresses(_) | Changed::Everything => send(None),
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

    async fn connection(&self, stream: UnixStream) {
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
        let writer = write_frames(
            write,
            queue,
            self.publisher.subscribe(),
            self.revocations.subscribe(),
        );
        let end = tokio::select! {
            end = self.read_frames(&mut read, answers) => end,
            end = writer => end,
        };
        self.connected.fetch_sub(1, Ordering::Relaxed);
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
        &self,
        read: &mut OwnedReadHalf,
        answers: mpsc::Sender<ToData>,
    ) -> Result<(), LinkError> {
        let room = Arc::new(Semaphore::new(QUESTIONS_MAX));
        while let Some(frame) = read_frame(read).await? {
            match frame {
                ToControl::Hello { .. } => return Err(LinkError::SecondHello),
                ToControl::WhoIs {
                    ticket,
                    address,
                    port,
                } => {
                    let Ok(permit) = room.clone().acquire_owned().await else {
                        return Ok(());
                    };
                    let (identities, answers) = (self.identities.clone(), answers.clone());
                    tokio::spawn(async move {
                        let answer = identities.whois(address, port).await;
                        // The connection may be gone; then nobody waits for the answer.
                        let _ = answers.send(ToData::Identity { ticket, answer }).await;
                        drop(permit);
                    });
                }
                ToControl::Prove { ticket, .. } => {
                    let answer = IdentityAnswer::Foreign { age_ms_max: 1_000 };
                    let _ = answers.send(ToData::Identity { ticket, answer }).await;
                }
                ToControl::SnapshotApplied { epoch } => tracing::info!(epoch = epoch.0, "snapshot applied"),
                ToControl::SnapshotRefused { epoch, reason } => {
                    tracing::error!(epoch = epoch.0, reason = %reason.escape_debug(), "snapshot refused by the data plane");
                }
            }
        }
        Ok(())
    }
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

/// Sends snapshots before anything else, so that a revocation never overtakes the document that caused it.
async fn write_frames(
    mut write: OwnedWriteHalf,
    mut answers: mpsc::Receiver<ToData>,
    mut snapshots: watch::Receiver<Option<Published>>,
    mut revocations: broadcast::Receiver<ToData>,
) -> Result<(), LinkError> {
    let mut sent = Epoch(0);
    loop {
        let newest = snapshots.borrow_and_update().clone();
        if let Some(published) = newest.filter(|published| published.epoch > sent) {
            sent = published.epoch;
            send_snapshot(&mut write, &published).await?;
        }
        let frame = tokio::select! {
            biased;
            changed = snapshots.changed() => match changed {
                Ok(()) => continue,
                Err(_) => return Ok(()),
            },
            revocation = revocations.recv() => match revocation {
                Ok(frame) => frame,
                // Some were missed: forget everything.
                Err(broadcast::error::RecvError::Lagged(_)) => ToData::Forget {
                    whom: Whom::Everyone,
                    cut: true,
                },
                Err(broadcast::error::RecvError::Closed) => return Ok(()),
            },
            answer = answers.recv() => match answer {
                Some(frame) => frame,
                None => return Ok(()),
            },
        };
        send(&mut write, &frame.encode()?).await?;
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
