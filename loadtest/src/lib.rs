//! Mock providers, load generator and scenarios.
//!
//! * [`mock`]: a server that answers every API kind the gateway knows, in the provider's exact shape, with settable
//!   sizes, gaps and faults, and a ledger of what it served.
//! * [`tailscaled`]: a stand-in for the tailnet's daemon, for tests of identity.
//! * [`tailnet`]: what happens on a tailnet, played with that stand-in and a real gateway.
//! * [`quota`]: budgets under load, with that mock and a real gateway.
//! * [`conversation`]: conversations of coding agents, shown as sessions, with that mock and a real gateway.
//! * [`organisation`]: what the people of an organisation ask, for stores that look like real ones.
//! * [`process`]: starting and measuring processes.
//! * [`report`]: what came of scenarios; [`random`]: numbers that come again with their seed.
//!
//! The library half is what `sluice mock`, `sluice up` without keys and tests use; the binary `loadtest` drives load.

mod answer;
pub mod conversation;
mod folder;
pub mod mock;
pub mod organisation;
pub mod process;
pub mod quota;
pub mod random;
pub mod report;
pub mod tailnet;
pub mod tailscaled;
