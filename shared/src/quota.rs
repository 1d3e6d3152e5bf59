//! Budgets: who holds how much of a bucket, in pure integer arithmetic.
//!
//! A bucket is an amount with a ceiling that is refilled continuously. Its money is spent in three places, each of which
//! may only spend what the one before has leased to it:
//!
//! ```text
//! ledger::Account (control plane, persistent) ──grant──▶ lease::Holder (a node) ──chunk──▶ shard::ShardLease (a core)
//!        ▲ charges, from the journal                            ▲ idle, on recall                reserve, settle
//! ```
//!
//! What holds, whatever is lost, delayed, doubled or killed:
//!
//! - **Q1** The sum of what was settled never exceeds capacity + refill + what running requests used beyond their
//!   reservations. A request that reserves an upper bound cannot overshoot.
//! - **Q2** With nothing running, reservations are 0, and ledger, node and shards add up to the balance.
//! - **Q3** Nobody is refused while the sum over the shards would have sufficed.
//! - **Q4** After a kill the balance is the last balance + refill − charges in the journal, each counted once.
//!
//! Nothing here knows floating point, and no operation can wrap: amounts are bounded by [`AMOUNT_MAX`], sums saturate.

#![deny(clippy::float_arithmetic, clippy::arithmetic_side_effects)]

use rkyv::{Archive, Deserialize, Serialize};

use crate::api::named_enum;

pub mod bucket;
pub mod estimate;
pub mod lease;
pub mod ledger;
pub mod name;
pub mod shard;

#[cfg(test)]
#[allow(clippy::arithmetic_side_effects, reason = "a test that wraps fails")]
mod tests;

pub use bucket::{Accrual, Rate, Terms};

/// Largest capacity, refill or charge, in the unit's own smallest amount: about 1.15 billion dollars. Far below what
/// `i64` holds, so that a balance and a debt can be added.
pub const AMOUNT_MAX: u64 = 1 << 60;

named_enum! {
    /// What a bucket counts.
    Unit {
        /// Nanodollars.
        Usd = "usd",
        /// Model tokens: all of the prompt and all of the answer.
        Tokens = "tokens",
        /// Requests that were sent to a provider.
        Requests = "requests",
        /// Requests that run at this moment: reserved while they run, never charged.
        Concurrency = "concurrency",
    }
}

/// What a request took from a bucket, in the smallest amount of the bucket's unit; in a record in the making: what is
/// reserved for it.
#[derive(Archive, Serialize, Deserialize, Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[rkyv(derive(Debug))]
pub struct Charge {
    /// Number that the ledger gave the bucket; never used again for another.
    pub bucket: u64,
    /// What the bucket counts.
    pub unit: Unit,
    /// How much.
    pub amount: u64,
}

/// An amount as a signed number, cut to [`AMOUNT_MAX`].
#[must_use]
#[allow(clippy::cast_possible_wrap, reason = "the amount is cut to 2^60 first")]
pub const fn signed(amount: u64) -> i64 {
    if amount > AMOUNT_MAX {
        AMOUNT_MAX as i64
    } else {
        amount as i64
    }
}

/// How far one counter that only grows is from another: `plus` of them less `minus` of them. Such counters may pass
/// 2^64 and begin anew at 0; what lies between them never comes near 2^63, so the difference is always exact.
#[must_use]
#[allow(
    clippy::cast_possible_wrap,
    reason = "two's complement is what makes the difference exact"
)]
pub const fn apart(plus: [u64; 2], minus: [u64; 2]) -> i64 {
    plus[0]
        .wrapping_add(plus[1])
        .wrapping_sub(minus[0])
        .wrapping_sub(minus[1]) as i64
}

/// A balance as an amount: a debt is 0.
#[must_use]
#[allow(clippy::cast_sign_loss, reason = "a negative value became 0 before")]
pub const fn unsigned(balance: i64) -> u64 {
    if balance < 0 { 0 } else { balance as u64 }
}
