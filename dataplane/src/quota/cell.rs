//! What a node has of one bucket, shared between its shards and the agent: atomics only, so that nobody ever waits.
//!
//! ```text
//!  agent ──add (grants, credits)──▶ free ──take (compare and swap)──▶ a shard's lease
//!        ◀──take_back (recall)──── free ◀──give (idle, debts)─────── a shard's lease
//!                                charged ◀──give (what was charged)──┘
//! ```
//!
//! Nothing is created or lost here: at every moment at which no shard is between two of its own steps,
//! `free + Σ shards (free + reserved) + charged + Σ shards charged` is what the agent has added less what it has taken back.
//! The two amounts of a [`NodeCell::give`] are added one after the other; who reads between them sees less than is there,
//! never more.
//!
//! A cell is at most once opened and at most once abandoned. If its bucket is removed, or two shards made a cell for the
//! same bucket, the agent makes another the one that counts and marks this as [`MOVED`]; what is still reserved on it is
//! settled here and goes nowhere, as the ledger does with charges to a bucket that is not there any more.

use std::sync::atomic::{AtomicI64, AtomicU32, AtomicU64, Ordering};

use sluice_shared::quota::{shard, signed, unsigned};

/// Names a bucket within a process: a keyed hash of quota, name and unit. Two of 2^20 buckets share one with a
/// probability below 2^-88, and nobody outside can aim at that, because the key is drawn at the start.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(crate) struct Key(pub(crate) u64, pub(crate) u64);

/// The ledger has said what is there.
pub(crate) const OPEN: u32 = 1;
/// Something was short lately: shards keep nothing idle, what a settlement frees goes back at once.
pub(crate) const TIGHT: u32 = 2;
/// No such limit is defined.
pub(crate) const UNDEFINED: u32 = 4;
/// Another cell has taken this one's place.
pub(crate) const MOVED: u32 = 8;
/// No room for another bucket: this one is known to nobody.
pub(crate) const HOMELESS: u32 = 16;

/// Shards are returning what they have idle: what is free in the cell is not all there is yet.
pub(crate) const RECALLING: u32 = 32;

/// Bits below the number of the terms.
const FLAG_BITS: u32 = 8;

/// Largest number of terms that a cell can hold.
pub(crate) const TERMS_MAX: u32 = u32::MAX >> FLAG_BITS;

/// See the module. 48 bytes; with the counts of its `Arc` one cache line.
#[derive(Debug)]
pub(crate) struct NodeCell {
    key: Key,
    free: AtomicI64,
    charged: AtomicU64,
    /// Number of the bucket; 0 until it is open.
    id: AtomicU64,
    /// Up to when refill is contained in `free`, in milliseconds of the monotonic clock, wrapping after 49 days.
    as_of_ms: AtomicU32,
    /// Flags, and above them the number of the terms.
    bits: AtomicU32,
}

impl NodeCell {
    /// Not open, and empty.
    pub(crate) fn new(key: Key) -> Self {
        Self {
            key,
            free: AtomicI64::new(0),
            charged: AtomicU64::new(0),
            id: AtomicU64::new(0),
            as_of_ms: AtomicU32::new(0),
            bits: AtomicU32::new(0),
        }
    }

    pub(crate) fn key(&self) -> Key {
        self.key
    }

    /// Whether all of these flags are set. What was written before the last of them was set is seen after this.
    pub(crate) fn is(&self, flags: u32) -> bool {
        self.bits.load(Ordering::Acquire) & flags == flags
    }

    /// Whether any of these flags is set.
    pub(crate) fn is_any(&self, flags: u32) -> bool {
        self.bits.load(Ordering::Acquire) & flags != 0
    }

    /// Whether no shard has anything idle.
    pub(crate) fn holds_all(&self) -> bool {
        self.bits.load(Ordering::Acquire) & (TIGHT | RECALLING) == TIGHT
    }

    pub(crate) fn set(&self, flags: u32) {
        self.bits.fetch_or(flags, Ordering::AcqRel);
    }

    pub(crate) fn clear(&self, flags: u32) {
        self.bits.fetch_and(!flags, Ordering::AcqRel);
    }

    /// Number of the bucket, for charges; 0 if it is not open.
    pub(crate) fn id(&self) -> u64 {
        self.id.load(Ordering::Relaxed)
    }

    /// Number of the terms; see [`super::deals`].
    pub(crate) fn terms(&self) -> u32 {
        self.bits.load(Ordering::Acquire) >> FLAG_BITS
    }

    /// Free in the cell itself; negative if more was used than was reserved.
    pub(crate) fn free(&self) -> i64 {
        self.free.load(Ordering::Acquire)
    }

    /// Charges that shards have told of.
    pub(crate) fn charged(&self) -> u64 {
        self.charged.load(Ordering::Acquire)
    }

    /// Milliseconds since refill was last credited.
    pub(crate) fn age_ms(&self, now_ms: u64) -> u64 {
        let now = wrapped(now_ms);
        u64::from(now.wrapping_sub(self.as_of_ms.load(Ordering::Relaxed)))
    }

    /// The agent: refill is contained up to this moment.
    pub(crate) fn set_as_of(&self, now_ms: u64) {
        self.as_of_ms.store(wrapped(now_ms), Ordering::Relaxed);
    }

    /// The agent: puts the bucket's number and terms into force.
    pub(crate) fn open(&self, id: u64, terms: u32) {
        self.id.store(id, Ordering::Relaxed);
        let number = terms.min(TERMS_MAX) << FLAG_BITS;
        // Only the agent changes these bits, and shards change no flags.
        let flags = self.bits.load(Ordering::Acquire) & ((1 << FLAG_BITS) - 1);
        self.bits.store(number | flags | OPEN, Ordering::Release);
    }

    /// The agent: adds what was granted or credited.
    pub(crate) fn add(&self, amount: u64) {
        self.free.fetch_add(signed(amount), Ordering::AcqRel);
    }

    /// Takes what a shard lacks, or more while plenty is there (`sluice_shared::quota::shard::chunk`); `None` if that is
    /// not there.
    pub(crate) fn take(&self, lack: u64, shards: u32) -> Option<u64> {
        let tight = self.is(TIGHT);
        self.change(|free| {
            if unsigned(free) < lack {
                None
            } else if tight {
                Some(lack)
            } else {
                Some(shard::chunk(free, lack, shards))
            }
        })
    }

    /// The agent: takes at most this much out again; how much that was.
    pub(crate) fn take_back(&self, most: u64) -> u64 {
        self.change(|free| Some(unsigned(free).min(most))).unwrap_or(0)
    }

    /// A shard returns what it has free, a debt included, and tells what it has charged.
    pub(crate) fn give(&self, free: i64, charged: u64) {
        if charged != 0 {
            self.charged.fetch_add(charged, Ordering::AcqRel);
        }
        if free != 0 {
            self.free.fetch_add(free, Ordering::AcqRel);
        }
    }

    /// Lowers `free` by what `amount` says of it.
    fn change(&self, amount: impl Fn(i64) -> Option<u64>) -> Option<u64> {
        let mut free = self.free.load(Ordering::Acquire);
        loop {
            let taken = amount(free)?;
            if taken == 0 {
                return Some(0);
            }
            let left = free.saturating_sub(signed(taken));
            match self
                .free
                .compare_exchange_weak(free, left, Ordering::AcqRel, Ordering::Acquire)
            {
                Ok(_) => return Some(taken),
                Err(now) => free = now,
            }
        }
    }
}

/// The low bits of a time.
#[allow(clippy::cast_possible_truncation, reason = "the low bits are what is wanted")]
const fn wrapped(ms: u64) -> u32 {
    ms as u32
}
