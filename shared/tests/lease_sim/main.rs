//! Both ends of the budget protocol in virtual time: one ledger with its store, one to three nodes with their shards
//! and journals, a network that loses, delays, doubles and reorders, and kills of every process at every step.
//!
//! What runs are the modules that ship (`quota::{ledger, lease, shard}`); what drives them is a model of the processes.
//! After every step Q1 and the ceilings are checked; at rest Q2 and Q4, and that all there is can be spent; at every
//! refusal Q3. Each [`fault::Fault`] breaks one rule and must be found out.
//!
//! A failing seed prints the line that repeats it. `SLUICE_SIM_SEEDS` sets how many are run.

#![allow(
    unreachable_pub,
    missing_docs,
    clippy::unwrap_used,
    clippy::print_stdout,
    reason = "a test: its parts are for each other alone, and it prints what it has seen"
)]

mod check;
mod fault;
mod ledger;
mod naive;
mod net;
mod node;
mod random;
mod rules;
mod world;

use fault::Fault;
use world::run;

/// Seeds of a normal run, over all its quarters.
const SEEDS: u64 = 10_000;
/// Within so many seeds each mutant must be found out.
const SEEDS_PER_FAULT: u64 = 3_000;

#[allow(clippy::disallowed_methods, reason = "a person sets it to run more, or one")]
fn setting(name: &str) -> Option<u64> {
    std::env::var(name).ok().and_then(|text| text.parse().ok())
}

fn quarter(which: u64) {
    let seeds = setting("SLUICE_SIM_SEEDS").unwrap_or(SEEDS);
    let (mut admitted, mut refused, mut incarnations) = (0, 0, 0);
    for seed in (which..seeds).step_by(4) {
        match run(seed, Fault::None, false) {
            Ok(seen) => {
                admitted += seen.admitted;
                refused += seen.refused;
                incarnations += seen.incarnations;
            }
            Err((invariant, what)) => panic!(
                "{invariant:?} fails: {what}\nSLUICE_SIM_SEED={seed} cargo test -p sluice-shared --test lease_sim one_seed"
            ),
        }
    }
    println!("{admitted} requests admitted, {refused} refused, {incarnations} incarnations of nodes");
    assert!(admitted > 0 && refused > 0, "the runs have seen too little");
}

#[test]
fn seeds_first_quarter() {
    quarter(0);
}

#[test]
fn seeds_second_quarter() {
    quarter(1);
}

#[test]
fn seeds_third_quarter() {
    quarter(2);
}

#[test]
fn seeds_fourth_quarter() {
    quarter(3);
}

/// Repeats the seed that `SLUICE_SIM_SEED` names and, with `--nocapture`, prints what happens.
#[test]
fn one_seed() {
    let seed = setting("SLUICE_SIM_SEED").unwrap_or(1);
    let trace = setting("SLUICE_SIM_SEED").is_some();
    if let Err((invariant, what)) = run(seed, Fault::None, trace) {
        panic!("seed {seed}: {invariant:?} fails: {what}");
    }
}

#[test]
fn every_mutant_is_found_out() {
    let mut missed = Vec::new();
    for fault in Fault::ALL {
        let found =
            (0..SEEDS_PER_FAULT).find_map(|seed| run(seed, *fault, false).err().map(|found| (seed, found)));
        match found {
            Some((seed, (invariant, what))) => {
                println!("{fault:?}: {invariant:?} at seed {seed}: {what}");
                if !fault.found_by().contains(&invariant) {
                    missed.push(format!("{fault:?}: by {invariant:?} at seed {seed} ({what})"));
                }
            }
            None => missed.push(format!("{fault:?}: not at all")),
        }
    }
    assert!(
        missed.is_empty(),
        "not found out as expected:\n{}",
        missed.join("\n")
    );
}
