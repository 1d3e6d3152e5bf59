//! Names to addresses, off the shards.
//!
//! A shard asks by [`ResolverClient::resolve`], without waiting; the answer comes as
//! [`ShardMessage::Resolved`]. Behind it one thread keeps the [`cache::ResolverCache`] and two do the blocking
//! lookups, so that one name server that hangs does not hold up every other name.

use std::io;
use std::net::{IpAddr, ToSocketAddrs};
use std::sync::Arc;
use std::time::Duration;

use crossbeam::channel::{Receiver, RecvTimeoutError, Sender, TrySendError, bounded};

use crate::clock::mono_now;
use crate::mailbox::{Mailbox, Outbox, ShardMessage};
use crate::service_thread;

pub mod cache;

use cache::{Actions, Asker, ResolverCache};

/// Questions that wait for the resolver thread at most.
pub const QUESTIONS_MAX: usize = 4_096;
/// Threads that look names up.
const LOOKUP_THREADS: usize = 2;
/// Pause before a message that found a full mailbox is tried again.
const RETRY: Duration = Duration::from_millis(2);

/// Why there are no addresses.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum ResolveError {
    /// The system's resolver failed, and no good answer of the last hour is left.
    #[error("name cannot be resolved: {0}")]
    Failed(Arc<str>),
    /// The resolver knows the name and it has no address.
    #[error("name has no address")]
    NoAddress,
    /// Too many lookups are waiting.
    #[error("too many names are being resolved")]
    Busy,
}

/// A blocking lookup; a value of its own so that tests can answer for the name server.
pub type Lookup = Arc<dyn Fn(&str) -> io::Result<Vec<IpAddr>> + Send + Sync>;

/// The address that `host` is, if it is one and no name; IPv6 with or without brackets.
#[must_use]
pub fn literal(host: &str) -> Option<IpAddr> {
    let bare = host
        .strip_prefix('[')
        .and_then(|h| h.strip_suffix(']'))
        .unwrap_or(host);
    bare.parse().ok()
}

/// One shard's way to ask.
#[derive(Clone, Debug)]
pub struct ResolverClient {
    shard: usize,
    events: Sender<Event>,
}

impl ResolverClient {
    /// Asks for the addresses of a name (use [`literal`] first), without waiting.
    ///
    /// # Errors
    /// [`ResolveError::Busy`]: [`QUESTIONS_MAX`] questions wait already, or the resolver has ended.
    pub fn resolve(&self, host: &str, ticket: u64) -> Result<(), ResolveError> {
        let asker = Asker {
            shard: self.shard,
            ticket,
        };
        self.events
            .try_send(Event::Ask(host.into(), asker))
            .map_err(|_| ResolveError::Busy)
    }
}

/// The threads behind every [`ResolverClient`]; they end when this is dropped.
#[derive(Debug)]
pub struct Resolver {
    events: Sender<Event>,
}

#[derive(Debug)]
enum Event {
    Ask(Arc<str>, Asker),
    Found(Arc<str>, Result<Arc<[IpAddr]>, ResolveError>),
    End,
}

impl Resolver {
    /// Starts the threads, asking the system's resolver.
    ///
    /// # Errors
    /// A thread cannot be started.
    pub fn start(mailboxes: Vec<Mailbox>) -> io::Result<Self> {
        Self::start_with(mailboxes, Arc::new(system_lookup))
    }

    /// Starts the threads with a lookup of one's own.
    ///
    /// # Errors
    /// A thread cannot be started.
    pub fn start_with(mailboxes: Vec<Mailbox>, lookup: Lookup) -> io::Result<Self> {
        let (events, incoming) = bounded(QUESTIONS_MAX);
        // As many lookups as names may be open, so that handing one over never fails.
        let (lookups, work) = bounded::<Arc<str>>(cache::OPEN_MAX);
        for index in 0..LOOKUP_THREADS {
            let (work, found, lookup) = (work.clone(), events.clone(), Arc::clone(&lookup));
            service_thread::spawn(&format!("sluice-dns-{index}"), move || {
                for host in work {
                    let result = answer(lookup(&host));
                    if found.send(Event::Found(host, result)).is_err() {
                        return;
                    }
                }
            })?;
        }
        service_thread::spawn("sluice-dns", move || {
            serve(&incoming, &lookups, Outbox::new(mailboxes));
        })?;
        Ok(Self { events })
    }

    /// The way for one shard to ask.
    #[must_use]
    pub fn client(&self, shard: usize) -> ResolverClient {
        ResolverClient {
            shard,
            events: self.events.clone(),
        }
    }
}

impl Drop for Resolver {
    fn drop(&mut self) {
        // A full queue means that the thread is busy; it then ends with the process.
        let _ = self.events.try_send(Event::End);
    }
}

fn serve(events: &Receiver<Event>, lookups: &Sender<Arc<str>>, mut outbox: Outbox) {
    let mut cache = ResolverCache::default();
    loop {
        let mut actions = Actions::default();
        let now = mono_now();
        let mut wait = match cache.next_deadline() {
            Some(deadline) => Duration::from_micros(deadline.since(now)),
            None => Duration::from_secs(3_600),
        };
        if !outbox.flush() {
            wait = wait.min(RETRY);
        }
        let event = match events.recv_timeout(wait) {
            Ok(event) => Some(event),
            Err(RecvTimeoutError::Timeout) => None,
            Err(RecvTimeoutError::Disconnected) => return,
        };
        let now = mono_now();
        match event {
            Some(Event::Ask(host, asker)) => cache.ask(&host, asker, now, &mut actions),
            Some(Event::Found(host, result)) => cache.found(&host, result, now, &mut actions),
            Some(Event::End) => return,
            None => {}
        }
        cache.expire(now, &mut actions);
        for host in actions.lookups {
            match lookups.try_send(host) {
                Ok(()) => {}
                Err(TrySendError::Full(host) | TrySendError::Disconnected(host)) => {
                    let mut failed = Actions::default();
                    cache.found(&host, Err(ResolveError::Busy), now, &mut failed);
                    actions.replies.append(&mut failed.replies);
                }
            }
        }
        for (asker, result) in actions.replies {
            let ticket = asker.ticket;
            outbox.post(asker.shard, ShardMessage::Resolved { ticket, result });
        }
    }
}

fn answer(result: io::Result<Vec<IpAddr>>) -> Result<Arc<[IpAddr]>, ResolveError> {
    match result {
        Ok(addresses) if addresses.is_empty() => Err(ResolveError::NoAddress),
        Ok(addresses) => Ok(addresses.into()),
        Err(error) => Err(ResolveError::Failed(error.to_string().into())),
    }
}

#[allow(
    clippy::disallowed_methods,
    reason = "the one place where names are resolved, on a thread made for it"
)]
fn system_lookup(host: &str) -> io::Result<Vec<IpAddr>> {
    let mut addresses = Vec::new();
    for address in (host, 0).to_socket_addrs()? {
        if !addresses.contains(&address.ip()) {
            addresses.push(address.ip());
        }
    }
    Ok(addresses)
}
