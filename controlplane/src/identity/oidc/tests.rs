//! Tokens against an issuer's server of our own.

mod fetching;
mod forged;
pub(in crate::identity) mod lab;
