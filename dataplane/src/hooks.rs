//! Web services that are asked about a call before it is forwarded (`docs/HOOKS.md`).
//!
//! ```text
//!  inspect ──payload──▶ call ──▶ pooled connection ──▶ hook
//!     ▲                  │ deadline over everything, the client's leaving, bounds on the answer
//!     └── Reply | Fail ──┘
//! ```
//!
//! A hook is called like a provider: over connections of its own that the shard keeps, by our codec, over TLS with the
//! trust it is given. [`call`] brings back the answer's bytes or why there are none; what follows from either is decided
//! in `exchange/inspect.rs`. Hooks that are told of a request when it is over are the control plane's business.

mod call;
pub(crate) mod config;

pub(crate) use call::{Fail, Question, call};
