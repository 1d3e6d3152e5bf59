//! The data plane as a process, over real sockets. One file a subject; the harness is in `tests/support`.

#![allow(
    clippy::unwrap_used,
    clippy::print_stdout,
    unreachable_pub,
    dead_code,
    reason = "helpers of tests, shared by files that each use some of them; figures are printed"
)]

#[path = "../support/mod.rs"]
mod support;

mod access;
mod basics;
mod captures;
mod client_certificates;
mod control_plane;
mod endings;
mod flow;
mod forwarding;
mod grants;
mod guard_answers;
mod hooks;
mod hooks_failing;
mod hostile;
mod identity;
mod limits;
mod own_pages;
mod proxy;
mod quotas;
mod quotas_cut;
mod quotas_refused;
mod refusals;
mod sessions;
mod spoofing;
mod standing;
mod timeline;
mod tls_listener;
mod vectors;

/// Not a test of its own: the process that every other test starts.
#[test]
fn data_plane_child() {
    support::serve_if_child();
}
