//! Mock providers, load generator and scenarios.
//!
//! * [`mock`]: a server that answers every API kind the gateway knows, in the provider's exact shape, with settable
//!   sizes, gaps and faults, and a ledger of what it served.
//! * [`tailscaled`]: a stand-in for the tailnet's daemon, for tests of identity.
//!
//! The library half is what `sluice mock` and `sluice up` without keys use; the binary `loadtest` drives load.

pub mod mock;
pub mod tailscaled;
