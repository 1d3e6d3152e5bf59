//! The load generator: a light HTTP/1.1 client that believes nothing, loops that drive it, and what they measured.
//!
//! [`client::Reader`] takes an answer apart without any socket, [`check::Check`] compares it with what was expected
//! (every event, in order, checksum included), [`drive`] holds the closed and the open loop, [`histogram`] the times.

pub(crate) mod check;
pub(crate) mod client;
pub(crate) mod drive;
pub(crate) mod histogram;
