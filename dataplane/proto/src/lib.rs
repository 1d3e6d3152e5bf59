//! The sans-IO core of the data plane: bytes and time in, decisions out.
//!
//! No runtime, clock, socket, file or environment is touched here, so the same code runs on a shard, in a
//! simulator and under a fuzzer.

pub mod api;
pub mod error_body;
pub mod eventstream;
pub mod guard;
pub mod hook;
pub mod http1;
pub mod json;
pub mod meter;
pub mod multipart;
pub mod ndjson;
pub mod proxy_v2;
pub mod route;
pub mod session;
pub mod splice;
pub mod sse;
pub mod transcript;
