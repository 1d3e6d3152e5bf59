//! Budgets, and the program as a person runs it: streams that come all at once, that are left, and that live through `kill -9`.
//!
//! `loadtest quota` plays the same with more of everything.

#![allow(clippy::unwrap_used, clippy::expect_used, reason = "tests")]

use std::path::Path;

use sluice_loadtest::quota::{self, Mode, Options, Report};

fn sluice() -> &'static Path {
    Path::new(env!("CARGO_BIN_EXE_sluice"))
}

fn played(scenario: impl Future<Output = anyhow::Result<Report>>) -> Report {
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .worker_threads(2)
        .enable_all()
        .build()
        .expect("a runtime");
    let report = runtime.block_on(scenario).expect("a gateway that starts");
    assert_eq!(report.faults(), 0, "{}", report.table());
    report
}

/// Three waves on one pot that suffices for half of them, a kill of each plane; then all that is left, to the last
/// nanodollar.
fn waves(mode: Mode) {
    let report = played(quota::run(&Options::short(sluice(), mode)));
    assert!(report.rows.len() >= 5, "{}", report.table());
}

#[test]
fn budgets_hold_when_what_is_usual_is_reserved() {
    waves(Mode::Estimate);
}

#[test]
fn budgets_hold_when_the_most_is_reserved() {
    waves(Mode::Strict);
}

#[test]
fn budgets_hold_when_nothing_is_reserved() {
    waves(Mode::Positive);
}

#[test]
fn nothing_stays_reserved_when_clients_leave() {
    let options = Options {
        cancel_storm: Some(400),
        kills: false,
        ..Options::short(sluice(), Mode::Strict)
    };
    let report = played(quota::run(&options));
    assert!(report.rows.len() >= 3, "{}", report.table());
}

/// Every moment up to which a bucket was refilled, and of which a lease was reported, is another.
fn shift(data: &Path, by_us: i64) -> anyhow::Result<()> {
    let store = rusqlite::Connection::open(data.join("store.sqlite"))?;
    let buckets = store.execute("UPDATE buckets SET as_of = as_of + ?1", [by_us])?;
    store.execute("UPDATE leases SET as_of = as_of + ?1", [by_us])?;
    anyhow::ensure!(buckets > 0, "no bucket was ever asked for");
    Ok(())
}

#[test]
fn a_clock_that_jumps_refuses_nobody_and_fills_no_bucket_beyond_its_capacity() {
    let report = played(quota::shift_clock(sluice(), shift));
    assert_eq!(report.rows.len(), 3, "{}", report.table());
}
