//! Conversations as clients of coding agents have them, and the program as a person runs it: sessions with their trees.
//!
//! `loadtest conversation` plays the same and shows it.

#![allow(clippy::unwrap_used, clippy::expect_used, reason = "tests")]

use std::path::Path;

use sluice_loadtest::conversation::{self, Options};

#[test]
fn conversations_of_coding_agents_are_one_session_each() {
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .worker_threads(2)
        .enable_all()
        .build()
        .expect("a runtime");
    let options = Options {
        sluice: Path::new(env!("CARGO_BIN_EXE_sluice")).to_owned(),
        shards: 2,
        json: false,
    };
    let played = runtime
        .block_on(conversation::run(&options))
        .expect("a gateway that starts");
    assert_eq!(played.report.faults(), 0, "{}", played.report.table());
    assert!(played.report.rows.len() >= 8, "{}", played.report.table());
    assert!(
        played.trees.contains("    explore-1: 2 requests"),
        "{}",
        played.trees
    );
}
