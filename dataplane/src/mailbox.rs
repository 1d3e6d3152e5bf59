//! Messages to a shard: a bounded queue and a socket that becomes readable when something lies in it.
//!
//! A sender never blocks: a full mailbox is an answer, and the service that got it keeps the message in its
//! [`Outbox`] and tries again. Only the first message into an emptied mailbox costs a system call (`wake.rs`).

use std::collections::VecDeque;
use std::fmt;
use std::io;
use std::net::IpAddr;
use std::os::fd::BorrowedFd;
use std::os::unix::net::UnixStream;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use crossbeam::queue::ArrayQueue;
use sluice_shared::units::MonoMicros;
use sluice_shared::wire::control::Whom;

use crate::config::Published;
use crate::dns::ResolveError;
use crate::identity::IdentityAnswer;
use crate::metrics::MetricsCollector;
use crate::quota::QuotaMessage;
use crate::standing::StandingRound;
use crate::wake::{Bell, Ear, wake_pair};

/// Messages that wait in a mailbox at most. Larger than the number of requests that usually start in one turn;
/// what does not fit waits with its sender.
pub const MAILBOX_MESSAGES_MAX: usize = 4_096;

/// What service threads and other shards tell a shard.
#[derive(Debug)]
pub enum ShardMessage {
    /// A newer configuration; it also stands in the shared cell.
    Snapshot(Arc<Published>),
    /// Answer to [`crate::identity::IdentityClient::ask`].
    Identity {
        /// Ticket of the question.
        ticket: u64,
        /// Who it is, as far as known.
        answer: IdentityAnswer,
        /// Until when the answer may be used without asking again.
        valid_until: MonoMicros,
    },
    /// Forget what is known about an address, a proof, or everybody.
    Forget {
        /// About whom.
        whom: Whom,
        /// Also end what runs on it.
        cut: bool,
    },
    /// Answer to [`crate::dns::ResolverClient::resolve`].
    Resolved {
        /// Ticket of the question.
        ticket: u64,
        /// Addresses in the order of the resolver, never empty.
        result: Result<Arc<[IpAddr]>, ResolveError>,
    },
    /// About a bucket of the shard's.
    Quota(QuotaMessage),
    /// Hand a copy of the shard's metrics to the collector.
    CollectMetrics(Arc<MetricsCollector>),
    /// Every shard has handed in its metrics.
    MetricsReady {
        /// Ticket given to [`MetricsCollector::new`].
        ticket: u64,
    },
    /// Say what runs.
    Standing(Arc<StandingRound>),
    /// Stop accepting, finish what runs, at the latest at the deadline.
    Drain {
        /// When what still runs is cut.
        deadline: MonoMicros,
    },
}

/// The mailbox was full; the message comes back.
pub struct MailboxFull(pub ShardMessage);

impl fmt::Debug for MailboxFull {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("MailboxFull")
    }
}

/// The sending end; cheap to clone, usable from every thread.
#[derive(Clone)]
pub struct Mailbox {
    shared: Arc<Shared>,
    bell: Bell,
}

/// The shard's end.
pub struct MailboxReceiver {
    shared: Arc<Shared>,
    ear: Ear,
}

struct Shared {
    queue: ArrayQueue<ShardMessage>,
    refused: AtomicU64,
}

/// Makes a mailbox for at most `messages_max` messages (at least 1).
///
/// # Errors
/// No descriptors are left for the wake socket.
pub fn mailbox(messages_max: usize) -> io::Result<(Mailbox, MailboxReceiver)> {
    let (bell, ear) = wake_pair()?;
    let shared = Arc::new(Shared {
        queue: ArrayQueue::new(messages_max.max(1)),
        refused: AtomicU64::new(0),
    });
    let mailbox = Mailbox {
        shared: Arc::clone(&shared),
        bell,
    };
    Ok((mailbox, MailboxReceiver { shared, ear }))
}

impl Mailbox {
    /// Puts a message in and wakes the shard; never blocks.
    ///
    /// # Errors
    /// The mailbox is full; the message comes back, the refusal is counted.
    pub fn send(&self, message: ShardMessage) -> Result<(), MailboxFull> {
        self.shared.queue.push(message).map_err(|message| {
            self.shared.refused.fetch_add(1, Ordering::Relaxed);
            MailboxFull(message)
        })?;
        self.bell.ring();
        Ok(())
    }

    /// Messages refused since the start because the mailbox was full.
    #[must_use]
    pub fn refused(&self) -> u64 {
        self.shared.refused.load(Ordering::Relaxed)
    }
}

impl MailboxReceiver {
    /// Becomes readable when a message waits. Only to be waited on: [`Self::wakened`] does the reading.
    #[must_use]
    pub fn wake_fd(&self) -> BorrowedFd<'_> {
        self.ear.fd()
    }

    /// A second descriptor of the wake socket, for a runtime that wants to own what it waits on.
    ///
    /// # Errors
    /// No descriptor is left.
    pub fn wake_stream(&self) -> io::Result<UnixStream> {
        self.ear.stream()
    }

    /// Takes the wake-up back; call it first, then [`Self::next`] until that is `None`.
    pub fn wakened(&mut self) {
        self.ear.clear();
    }

    /// The oldest message.
    #[allow(
        clippy::should_implement_trait,
        reason = "an empty mailbox is no end, as an iterator would say"
    )]
    pub fn next(&mut self) -> Option<ShardMessage> {
        self.shared.queue.pop()
    }

    /// Messages refused since the start because the mailbox was full.
    #[must_use]
    pub fn refused(&self) -> u64 {
        self.shared.refused.load(Ordering::Relaxed)
    }
}

/// Messages of one service to all shards, kept in order for those whose mailbox is full.
///
/// Bounded: what a service may owe is bounded by the questions it accepted; of snapshots only the newest is kept, and
/// revocations collapse into one for everybody when too many wait.
pub struct Outbox {
    shards: Vec<(Mailbox, VecDeque<ShardMessage>)>,
}

/// Revocations waiting for one shard, beyond which they become one for everybody.
const REVOCATIONS_MAX: usize = 1_024;

impl Outbox {
    /// An outbox for these shards, in order of their index.
    #[must_use]
    pub fn new(mailboxes: Vec<Mailbox>) -> Self {
        Self {
            shards: mailboxes.into_iter().map(|m| (m, VecDeque::new())).collect(),
        }
    }

    /// Number of shards.
    #[must_use]
    pub fn shards(&self) -> usize {
        self.shards.len()
    }

    /// Sends to one shard, or keeps the message for the next [`Self::flush`]. An unknown shard is ignored.
    pub fn post(&mut self, shard: usize, message: ShardMessage) {
        let Some((mailbox, waiting)) = self.shards.get_mut(shard) else {
            return;
        };
        if waiting.is_empty() {
            if let Err(MailboxFull(message)) = mailbox.send(message) {
                waiting.push_back(message);
            }
            return;
        }
        match &message {
            ShardMessage::Snapshot(_) => waiting.retain(|m| !matches!(m, ShardMessage::Snapshot(_))),
            ShardMessage::Forget { cut, .. } => {
                let revocation = |m: &ShardMessage| matches!(m, ShardMessage::Forget { .. });
                if waiting.iter().filter(|m| revocation(m)).count() >= REVOCATIONS_MAX {
                    let cuts = |m: &ShardMessage| matches!(m, ShardMessage::Forget { cut: true, .. });
                    let cut = *cut || waiting.iter().any(cuts);
                    waiting.retain(|m| !revocation(m));
                    let whom = Whom::Everyone;
                    waiting.push_back(ShardMessage::Forget { whom, cut });
                    return;
                }
            }
            _ => {}
        }
        waiting.push_back(message);
    }

    /// Sends to every shard.
    pub fn post_all(&mut self, message: impl Fn() -> ShardMessage) {
        for shard in 0..self.shards.len() {
            self.post(shard, message());
        }
    }

    /// Tries again what is owed; true if nothing is owed any more.
    pub fn flush(&mut self) -> bool {
        let mut done = true;
        for (mailbox, waiting) in &mut self.shards {
            while let Some(message) = waiting.pop_front() {
                if let Err(MailboxFull(message)) = mailbox.send(message) {
                    waiting.push_front(message);
                    done = false;
                    break;
                }
            }
        }
        done
    }
}

#[cfg(test)]
mod tests {
    use std::os::fd::AsRawFd;
    use std::thread;

    use super::*;

    fn revoke(n: u32) -> ShardMessage {
        ShardMessage::Forget {
            whom: Whom::Address(u128::from(n).to_be_bytes()),
            cut: n.is_multiple_of(2),
        }
    }

    fn drain(receiver: &mut MailboxReceiver) -> Vec<String> {
        receiver.wakened();
        std::iter::from_fn(|| receiver.next())
            .map(|m| format!("{m:?}"))
            .collect()
    }

    fn readable(receiver: &MailboxReceiver, timeout_ms: i32) -> bool {
        let mut poll = libc::pollfd {
            fd: receiver.wake_fd().as_raw_fd(),
            events: libc::POLLIN,
            revents: 0,
        };
        #[allow(unsafe_code, reason = "the test waits as a runtime would")]
        // SAFETY: one valid pollfd lives for the whole call.
        let ready = unsafe { libc::poll(&raw mut poll, 1, timeout_ms) };
        ready == 1
    }

    #[test]
    fn a_message_wakes_once_and_comes_in_order() {
        let (sender, mut receiver) = mailbox(8).unwrap();
        assert!(!readable(&receiver, 0));
        for n in 0..3 {
            sender.send(revoke(n)).unwrap();
        }
        assert!(readable(&receiver, 0));
        assert_eq!(drain(&mut receiver).len(), 3);
        assert!(!readable(&receiver, 0), "the wake-up was taken back");
        sender.send(revoke(9)).unwrap();
        assert!(readable(&receiver, 0));
    }

    #[test]
    fn a_full_mailbox_gives_the_message_back_and_counts() {
        let (sender, mut receiver) = mailbox(2).unwrap();
        sender.send(revoke(0)).unwrap();
        sender.send(revoke(1)).unwrap();
        let MailboxFull(message) = sender.send(revoke(2)).unwrap_err();
        assert_eq!(format!("{message:?}"), format!("{:?}", revoke(2)));
        assert_eq!((sender.refused(), receiver.refused()), (1, 1));
        assert_eq!(drain(&mut receiver).len(), 2);
        sender.send(message).unwrap();
        assert_eq!(drain(&mut receiver).len(), 1);
    }

    #[test]
    fn no_wake_up_is_lost_between_threads() {
        const EACH: usize = 20_000;
        let (sender, mut receiver) = mailbox(64).unwrap();
        let threads: Vec<_> = (0..3)
            .map(|_| {
                let sender = sender.clone();
                thread::spawn(move || {
                    for ticket in 0..EACH {
                        let mut message = ShardMessage::MetricsReady {
                            ticket: ticket as u64,
                        };
                        while let Err(MailboxFull(back)) = sender.send(message) {
                            message = back;
                            thread::yield_now();
                        }
                    }
                })
            })
            .collect();
        let mut seen = 0;
        while seen < 3 * EACH {
            assert!(
                readable(&receiver, 20_000),
                "a message lies there and nobody was wakened"
            );
            receiver.wakened();
            while receiver.next().is_some() {
                seen += 1;
            }
        }
        for thread in threads {
            thread.join().unwrap();
        }
    }

    #[test]
    fn an_outbox_keeps_order_and_folds_what_may_be_folded() {
        let (sender, mut receiver) = mailbox(1).unwrap();
        let mut outbox = Outbox::new(vec![sender]);
        outbox.post(7, revoke(0));
        for n in 0..3 {
            outbox.post(0, revoke(n));
        }
        assert!(!outbox.flush());
        let mut seen = Vec::new();
        while !outbox.flush() {
            seen.extend(drain(&mut receiver));
        }
        seen.extend(drain(&mut receiver));
        assert_eq!(
            seen,
            (0..3).map(|n| format!("{:?}", revoke(n))).collect::<Vec<_>>()
        );

        for n in 0..3_000 {
            outbox.post(0, revoke(n));
        }
        let mut last = Vec::new();
        let mut count = 0;
        loop {
            let done = outbox.flush();
            let batch = drain(&mut receiver);
            count += batch.len();
            last.extend(batch.into_iter().last());
            if done {
                break;
            }
        }
        assert!(count < 2 * REVOCATIONS_MAX + 2, "{count}");
        assert!(
            last.iter().any(|m| m.contains("Everyone") && m.contains("true")),
            "{last:?}"
        );
    }
}
