//! Who calls: the process-wide half of identity.
//!
//! A shard asks by [`IdentityClient::ask`], without waiting; the answer comes as
//! [`ShardMessage::Identity`](crate::mailbox::ShardMessage::Identity). The thread of the control link owns the
//! [`cache::IdentityCache`] behind it, so a shard that misses its own cache usually gets its answer without a
//! question to the control plane.
//!
//! A question is about the address of a peer, or about a proof that a request carries (a token, the headers of
//! `tailscale serve`). What the answers come to for one request is decided in [`combine`]; what a shard remembers of
//! them, policies included, is in [`known`].

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use crossbeam::channel::{Receiver, Sender, bounded};
use sluice_shared::wire::control::{Principal, Proof};

use crate::wake::Bell;

pub mod cache;
pub mod combine;
pub(crate) mod facts;
pub(crate) mod known;
mod narrow;
#[doc(hidden)]
pub mod probe;
pub mod table;

/// Questions of all shards that wait for the thread of the control link at most.
pub const QUESTIONS_MAX: usize = 16_384;

/// What a question is about.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Key {
    /// A peer.
    Peer {
        /// Its address; IPv4 mapped into IPv6.
        address: [u8; 16],
        /// Its port.
        port: u16,
    },
    /// A proof, by SHA-256 of [`Proof::canonical`].
    Proof([u8; 32]),
}

/// What is known about a peer or a proof, as a shard gets it. Cloning allocates nothing.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum IdentityAnswer {
    /// A principal, shared by all connections of the process.
    Known {
        /// Who.
        principal: Arc<Principal>,
        /// Holds for every port of the address.
        whole_address: bool,
    },
    /// No source knows the peer: 403.
    Unknown,
    /// The credential claims to be ours and does not hold: 401.
    Refused {
        /// Why, for the caller.
        reason: Arc<str>,
    },
    /// The credential is none of ours.
    Foreign,
    /// Nobody can say now: 503, never "allow".
    Unavailable {
        /// Seconds after which a client should try again.
        retry_after_s: u32,
    },
}

/// The question was not taken; answer 503 at once.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("too many identity questions are waiting")]
pub struct AskRefused;

/// A question of a shard.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Question {
    /// Index of the shard.
    pub shard: usize,
    /// Chosen by the shard, returned with the answer.
    pub ticket: u64,
    /// What it is about.
    pub key: Key,
    /// For [`Key::Proof`]: the proof itself, in case the control plane has to be asked. Secrets in it are overwritten
    /// when it is dropped.
    pub proof: Option<Proof>,
}

/// One shard's way to ask.
#[derive(Clone, Debug)]
pub struct IdentityClient {
    shard: usize,
    questions: Sender<Question>,
    bell: Bell,
    refused: Arc<AtomicU64>,
}

impl IdentityClient {
    /// Asks, without waiting. `proof` must be there for [`Key::Proof`].
    ///
    /// # Errors
    /// [`QUESTIONS_MAX`] questions are waiting already, or the control link has ended.
    pub fn ask(&self, key: Key, proof: Option<Proof>, ticket: u64) -> Result<(), AskRefused> {
        let question = Question {
            shard: self.shard,
            ticket,
            key,
            proof,
        };
        self.questions.try_send(question).map_err(|_| {
            self.refused.fetch_add(1, Ordering::Relaxed);
            AskRefused
        })?;
        self.bell.ring();
        Ok(())
    }
}

/// The other end of every [`IdentityClient`].
#[derive(Debug)]
pub(crate) struct Questions {
    sender: Sender<Question>,
    pub(crate) receiver: Receiver<Question>,
    pub(crate) refused: Arc<AtomicU64>,
}

impl Questions {
    pub(crate) fn new() -> Self {
        let (sender, receiver) = bounded(QUESTIONS_MAX);
        Self {
            sender,
            receiver,
            refused: Arc::new(AtomicU64::new(0)),
        }
    }

    pub(crate) fn client(&self, shard: usize, bell: &Bell) -> IdentityClient {
        IdentityClient {
            shard,
            questions: self.sender.clone(),
            bell: bell.clone(),
            refused: Arc::clone(&self.refused),
        }
    }
}
