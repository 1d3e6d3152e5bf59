//! Budgets: the data plane's half, from a request's reservation to the questions for the ledger.
//!
//! ```text
//!  request ──want──▶ Buckets (a shard) ──take──▶ NodeCell (atomics) ◀──add── Agent (thread of the control link) ◀─▶ ledger
//!          ◀─Reservation, Short─  Bucket: lease  ◀──────── recall, answers ────────┘
//! ```
//!
//! - A **request** names its buckets and how much it needs of each ([`Want`]). It gets all of it, as a [`Reservation`],
//!   or nothing and the reason ([`Short`]). What it used is charged when it ends; whatever else ends it, the reservation's
//!   drop gives everything back.
//! - A **shard** ([`Buckets`]) holds a lease of each bucket it uses ([`bucket::Bucket`]): plain integers that nobody else
//!   touches. While they suffice, reserving and settling costs neither an atomic write nor an allocation.
//! - What the lease lacks comes from the node's **cell** ([`cell::NodeCell`]) by compare-and-swap: its part of half of what
//!   is there while that is plenty, so that shards seldom meet, else exactly what is lacking.
//! - What the cell lacks, the shard asks the **agent** for ([`agent::Agent`]) and waits, once for each bucket and two
//!   seconds in all. The agent marks the cell as tight, has every shard return what lies idle, and then asks the ledger,
//!   or, while the control plane is away, credits the node's share of the refill. Then the shard tries again; if that
//!   does not suffice either, the request is refused, and nobody holds what would have sufficed: while a cell is tight,
//!   shards keep nothing idle, and settlements go to the cell at once.
//! - A request that asking cannot help is refused at once: the cell is tight, and what the refill has brought since the
//!   ledger last answered is less than what is lacking. So a dry bucket under a storm costs the other shards, the agent
//!   and the ledger nothing.
//! - **Idle** buckets are let go: a shard forgets one that it has not used for some minutes, and when no shard knows it
//!   any more, the agent gives everything back to the ledger and forgets it, too. At most [`BUCKETS_MAX`] live at a time.
//!
//! What holds at every moment at which nobody is between two steps of their own: what a node was granted and has
//! credited itself, less what it has given back and charged, is what is free in the cell plus what is free and reserved
//! in the shards. A request that goes away while it waits loses nothing: what was granted for it stays in the cell.

use std::hash::{BuildHasher, RandomState};
use std::sync::Arc;

use crossbeam::channel::{Receiver, Sender, bounded};
use sluice_shared::quota::Unit;
use sluice_shared::wire::control;

use crate::wake::Bell;

pub(crate) mod agent;
pub(crate) mod bucket;
pub(crate) mod buckets;
pub(crate) mod cell;
mod deals;
mod index;
pub(crate) mod need;
#[doc(hidden)]
pub mod node;
pub(crate) mod reserve;
mod slab;
mod wait;

pub(crate) use buckets::Buckets;
#[doc(hidden)]
pub use need::probe;
pub(crate) use reserve::{Reservation, Short, Want};

use cell::{Key, NodeCell};
use deals::Deals;

/// Buckets that a shard, or the agent, knows at most. Beyond, one that lies idle makes room; if none does, requests for
/// a further one are answered 503.
pub(crate) const BUCKETS_MAX: usize = 1 << 20;

/// Questions of all shards that wait for the thread of the control link at most. A shard asks about a bucket once at a
/// time, however many requests wait for the answer.
const QUESTIONS_MAX: usize = 16_384;

/// Rounds of shards returning what lies idle that are open at most; also the most that can end before the agent looks.
pub(crate) const ROUNDS_MAX: usize = 16_384;

/// A question of a shard: a bucket is not open, or a request lacks something.
#[derive(Debug)]
pub(crate) struct Question {
    pub(crate) shard: usize,
    /// The shard's cell for it. While the bucket is not open, the agent may have another one.
    pub(crate) cell: Arc<NodeCell>,
    /// Its name, while it is not open.
    pub(crate) name: Option<Box<control::Bucket>>,
    /// What the request needs beyond what its shard has.
    pub(crate) lack: u64,
}

/// What the agent says to a [`Question`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Answer {
    /// Whatever could be had is in the cell: try again.
    TryAgain,
    /// Nobody can say what is there.
    Unavailable,
    /// No such limit is defined.
    Undefined,
}

/// What a shard is told about a bucket.
#[derive(Debug)]
pub struct QuotaMessage(pub(crate) Message);

impl From<Message> for QuotaMessage {
    fn from(message: Message) -> Self {
        Self(message)
    }
}

#[derive(Debug)]
pub(crate) enum Message {
    /// Answer to its [`Question`], with the cell that counts.
    Answered(Arc<NodeCell>, Answer),
    /// Return what lies idle, then drop this.
    Recall(Arc<Round>),
}

/// A round in which all shards return what they have idle of a bucket. Each shard holds it until it has done so; when the
/// last lets go of it, the agent is told, also if a shard has ended.
#[derive(Debug)]
pub(crate) struct Round {
    pub(crate) cell: Arc<NodeCell>,
    id: RoundId,
    done: Sender<RoundId>,
    bell: Bell,
}

/// Names a round.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct RoundId {
    /// The agent's number of the bucket.
    pub(crate) bucket: u32,
    /// Never used again.
    pub(crate) serial: u64,
}

impl Drop for Round {
    fn drop(&mut self) {
        // The agent opens no more rounds than fit; one that it does not hear of ends by its deadline.
        let _ = self.done.try_send(self.id);
        self.bell.ring();
    }
}

/// A shard's way to ask.
#[derive(Clone, Debug)]
pub(crate) struct QuotaClient {
    shard: usize,
    shards: u32,
    keys: Arc<Keys>,
    deals: Deals,
    questions: Sender<Question>,
    bell: Bell,
}

impl QuotaClient {
    /// Asks, without waiting; `false` if too many questions wait already or the control link has ended.
    fn ask(&self, cell: Arc<NodeCell>, name: Option<Box<control::Bucket>>, lack: u64) -> bool {
        let question = Question {
            shard: self.shard,
            cell,
            name,
            lack,
        };
        let asked = self.questions.try_send(question).is_ok();
        self.bell.ring();
        asked
    }
}

/// The other end of every [`QuotaClient`].
#[derive(Debug)]
pub(crate) struct Questions {
    sender: Sender<Question>,
    pub(crate) receiver: Receiver<Question>,
    done: Sender<RoundId>,
    pub(crate) rounds: Receiver<RoundId>,
    keys: Arc<Keys>,
    deals: Deals,
}

impl Questions {
    /// `deals` is the agent's.
    pub(crate) fn new(deals: Deals) -> Self {
        let (sender, receiver) = bounded(QUESTIONS_MAX);
        let (done, rounds) = bounded(ROUNDS_MAX);
        Self {
            sender,
            receiver,
            done,
            rounds,
            keys: Arc::default(),
            deals,
        }
    }

    /// For one shard of this many.
    pub(crate) fn client(&self, shard: usize, shards: usize, bell: &Bell) -> QuotaClient {
        QuotaClient {
            shard,
            shards: u32::try_from(shards).unwrap_or(u32::MAX).max(1),
            keys: Arc::clone(&self.keys),
            deals: self.deals.clone(),
            questions: self.sender.clone(),
            bell: bell.clone(),
        }
    }

    /// A round for the shards.
    pub(crate) fn round(&self, cell: Arc<NodeCell>, id: RoundId, bell: &Bell) -> Arc<Round> {
        Arc::new(Round {
            cell,
            id,
            done: self.done.clone(),
            bell: bell.clone(),
        })
    }
}

/// Makes the keys of the process's buckets.
#[derive(Debug, Default)]
struct Keys(RandomState, RandomState);

impl Keys {
    fn key(&self, quota: &str, name: &str, unit: Unit) -> Key {
        let named = (quota, name, unit);
        Key(self.0.hash_one(named), self.1.hash_one(named))
    }
}
