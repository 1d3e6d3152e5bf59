//! A tailnet with a stand-in for its daemon, and the program as a person runs it: who is known, cut, refused.
//!
//! `loadtest tailnet` plays the same with more of everything, and judges how long it takes.

#![allow(clippy::unwrap_used, clippy::expect_used, reason = "tests")]

use std::path::Path;

use sluice_loadtest::tailnet::{self, Options};

#[test]
fn the_scenarios_of_a_tailnet_go_as_declared() {
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .worker_threads(2)
        .enable_all()
        .build()
        .expect("a runtime");
    let options = Options::short(Path::new(env!("CARGO_BIN_EXE_sluice")));
    let report = runtime
        .block_on(tailnet::run(&options))
        .expect("a gateway that starts");
    assert!(report.rows.len() >= 8, "{}", report.table());
    assert_eq!(report.faults(), 0, "{}", report.table());
}
