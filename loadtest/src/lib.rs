//! Mock providers, load generator and scenarios.
//!
//! * [`mock`]: a server that answers every API kind the gateway knows, in the provider's exact shape, with settable
//!   sizes, gaps and faults, and a ledger of what it served.
//!
//! The library half is what `sluice mock` and `sluice up` without keys use; the binary `loadtest` drives load.

pub mod mock;
