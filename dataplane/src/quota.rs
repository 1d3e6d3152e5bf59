//! Budgets on a shard.

pub(crate) mod need;
