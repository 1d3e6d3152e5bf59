//! What both planes of Sluice share.
//!
//! Nothing here knows a runtime, a clock, a socket, a file or the environment: time, bytes and seeds are
//! arguments, decisions and bytes are results. The planes never import each other; what they exchange is
//! written down in [`snapshot`] (configuration), [`wire`] (control frames, journal records) and
//! [`usage`] (what a request consumed).

pub mod api;
pub mod cost;
pub mod glob;
pub mod ids;
pub mod model_name;
pub mod policy;
pub mod quota;
pub mod snapshot;
pub mod units;
pub mod usage;
pub mod wire;
