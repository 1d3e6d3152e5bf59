//! A provider that needs no key: every API kind on the provider's own paths, JSON and streams, deterministic.
//!
//! The model: a request is read whole, reduced to an [`ask::Ask`], and answered from a rendered
//! [`answer::Answer`] (bytes and where each event ends). Equal requests share one rendering; only the answer's id
//! differs. The server speaks HTTP/1.1 by hand instead of through a framework, because the faults it plays
//! (cut after N events, reset, half an event, an answer before the body has come) need the socket itself.
//!
//! # What is answered
//! A friendly sentence, a word an event, unless the settings say otherwise. **Input tokens = request body bytes / 4,
//! rounded up; output tokens = content events** (words, for an answer that is no stream), so that records can be
//! checked against what was sent.
//!
//! # Settings
//! From weakest to strongest: the process's options, a suffix of the model name (`mock-gpt+events=200+gap-ms=20`,
//! `.` for `:` in `fault=reset.3`), request headers (`x-mock-events: 200`). The names are those of [`Settings`].
//! Headers beside them: `x-mock-id` (any text, kept in the ledger), `x-mock-tool` (as the marker below).
//!
//! # Scripted tool calls
//! A last user message holding `MOCK_TOOL{"name":"Bash","input":{"command":"echo hi"}}` is answered with that tool
//! call, if tools were offered; the tool's result is then answered with a text that quotes its first 400
//! characters. A bare `MOCK_TOOL` picks a shell tool the request offers.
//!
//! # Looking inside
//! `GET /mock/ledger?since=SEQ&limit=N` (one entry a request), `GET /mock/stats`, `POST /mock/reset`.

mod answer;
mod anthropic;
mod ask;
mod bedrock;
mod connection;
mod errors;
mod gemini;
#[cfg(test)]
mod golden;
mod head;
mod ledger;
mod ollama;
mod openai_chat;
mod openai_other;
mod openai_responses;
mod reply;
mod route;
mod settings;
mod tool;

use std::collections::HashMap;
use std::collections::hash_map::RandomState;
use std::hash::BuildHasher;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{SystemTime, UNIX_EPOCH};

use tokio::net::TcpListener;

pub use ledger::{Ending, Entry};
pub use settings::{Compress, Fault, Framing, MockOptions, Settings, UsageSent};

/// Renderings kept for equal requests; beyond it the cache starts anew.
const CACHED_ANSWERS_MAX: usize = 128;
/// Renderings larger than this are not kept.
const CACHED_BYTES_MAX: usize = 4 << 20;

/// Serves on `listener` until the task is dropped.
///
/// # Errors
/// Fails only if the listening socket itself fails; a lack of file descriptors is waited out.
pub async fn serve(listener: TcpListener, options: MockOptions) -> std::io::Result<()> {
    Mock::new(options).serve(listener).await
}

/// A mock provider; clones share one state.
#[derive(Clone)]
pub struct Mock {
    state: Arc<State>,
}

impl Mock {
    /// A mock with an empty ledger.
    #[must_use]
    pub fn new(options: MockOptions) -> Self {
        let seed = RandomState::new().hash_one(0_u8);
        Self {
            state: Arc::new(State {
                ledger: Mutex::new(ledger::Ledger::new(options.ledger_max)),
                options,
                stats: Stats::default(),
                cache: Mutex::new(HashMap::new()),
                seed: u32::try_from(seed & 0xffff_ffff).unwrap_or_default(),
                next: AtomicU64::new(1),
            }),
        }
    }

    /// Serves on `listener` until the task is dropped.
    ///
    /// # Errors
    /// See [`serve`].
    pub async fn serve(self, listener: TcpListener) -> std::io::Result<()> {
        loop {
            match listener.accept().await {
                Ok((stream, _peer)) => {
                    let state = Arc::clone(&self.state);
                    tokio::spawn(connection::run(stream, state));
                }
                Err(error) if matches!(error.raw_os_error(), Some(libc::EMFILE | libc::ENFILE)) => {
                    tokio::time::sleep(std::time::Duration::from_millis(20)).await;
                }
                Err(error) if error.kind() == std::io::ErrorKind::ConnectionAborted => {}
                Err(error) => return Err(error),
            }
        }
    }

    /// The latest entry whose request bore this `x-mock-id`.
    #[must_use]
    pub fn find(&self, id: &str) -> Option<Entry> {
        lock(&self.state.ledger).find(id)
    }

    /// The ledger's entries with a sequence number above `since`, oldest first, at most `limit`.
    #[must_use]
    pub fn entries(&self, since: u64, limit: usize) -> Vec<Entry> {
        lock(&self.state.ledger).since(since, limit)
    }
}

/// What the connections of one mock share.
struct State {
    options: MockOptions,
    ledger: Mutex<ledger::Ledger>,
    stats: Stats,
    cache: Mutex<HashMap<u64, Arc<answer::Answer>>>,
    seed: u32,
    next: AtomicU64,
}

/// Gauges and counters of `GET /mock/stats`.
#[derive(Default)]
struct Stats {
    connections_open: AtomicU64,
    connections_total: AtomicU64,
    requests_open: AtomicU64,
    streams_open: AtomicU64,
    streams_open_max: AtomicU64,
}

impl State {
    /// A new answer id: 24 hex digits, different in every answer of every mock.
    fn answer_id(&self) -> String {
        let n = self.next.fetch_add(1, Ordering::Relaxed);
        format!("{:08x}{n:016x}", self.seed)
    }

    fn cached(&self, key: u64) -> Option<Arc<answer::Answer>> {
        lock(&self.cache).get(&key).cloned()
    }

    fn keep(&self, key: u64, answer: &Arc<answer::Answer>) {
        if answer.bytes_kept() > CACHED_BYTES_MAX {
            return;
        }
        let mut cache = lock(&self.cache);
        if cache.len() >= CACHED_ANSWERS_MAX {
            cache.clear();
        }
        cache.insert(key, Arc::clone(answer));
    }
}

/// Locks, also after a panic elsewhere: what is guarded are counters and caches, valid at every step.
fn lock<T>(mutex: &Mutex<T>) -> std::sync::MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

fn unix_micros() -> u64 {
    let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    u64::try_from(since.as_micros()).unwrap_or(u64::MAX)
}
