//! The wall clock jumps while the gateway is down: no refill beyond the capacity, no refusal.

use std::path::Path;

use anyhow::{Context as _, Result};

use super::Mode;
use super::books::Unit;
use super::client::{Outcome, unix_us};
use super::lab::Lab;
use super::plan::{Model, Plan};
use super::setup::{POT, Setup};
use super::storm::{History, faults};
use crate::folder::Folder;
use crate::report::{Report, Row};

const MINUTE_US: i64 = 60_000_000;
/// What comes into the pot in a minute, in nanodollars.
const A_MINUTE: u64 = 600_000;
/// Enough for some requests, a day's refill.
const POT_CAPACITY: u64 = A_MINUTE * 60 * 24;

/// Lets the gateway find its store as if the clock had jumped while it was down: by −2 hours, +1 hour, +30 days. `shift` moves every
/// moment up to which a bucket was refilled by so many microseconds, in the store in that folder.
///
/// # Errors
/// The gateway does not start, or its API cannot be read.
pub async fn shift_clock(sluice: &Path, shift: impl Fn(&Path, i64) -> Result<()>) -> Result<Report> {
    let mut folder = Folder::new("quota")?;
    let played = play(sluice, &folder.path, shift).await;
    if played.as_ref().map_or(true, |report| report.faults() > 0) {
        folder.keep();
    }
    played
}

async fn play(sluice: &Path, folder: &Path, shift: impl Fn(&Path, i64) -> Result<()>) -> Result<Report> {
    let mode = Mode::Strict;
    let setup = Setup {
        pot_a_minute: A_MINUTE,
        ..Setup::new(mode, POT_CAPACITY)
    };
    let mut lab = Lab::start(sluice, 1, folder, |upstream| setup.document(upstream)).await?;
    let mut history = History::new();
    history.pot_a_minute = A_MINUTE;
    let mut rows = Vec::new();
    // As the store sees it: the clock goes back, so that it was refilled in the future; or on, so that it was long ago.
    for (name, minutes) in [
        ("the clock goes back two hours", 120),
        ("the clock goes on an hour", -60),
        ("the clock goes on thirty days", -60 * 24 * 30),
    ] {
        let mut row = Row::new(name);
        // A quarter of the day's refill is used up, more than comes in an hour.
        let plan = Plan {
            output: 350_000,
            max_tokens: 350_000,
            ..Plan::small(history.next(), Model::Pot)
        };
        let outcome = history.one(&lab, &plan).await;
        row.demand(outcome == Outcome::Complete, || format!("before: {outcome:?}"));
        let settled = history.settled(&lab, mode).await?;
        faults(&mut row, &settled);
        let before = settled.account(POT, Unit::Usd).context("no pot")?.balance;
        let from = unix_us();
        lab.end()?;
        shift(&lab.data(), minutes * MINUTE_US)?;
        lab.begin().await?;
        let accounts = lab.accounts().await?;
        let pot = accounts
            .iter()
            .find(|account| account.quota == POT && account.unit == Unit::Usd)
            .context("the pot is gone")?;
        let passed_us = unix_us().saturating_sub(from);
        let jump = u64::try_from(-minutes).unwrap_or(0);
        let most = A_MINUTE * jump + A_MINUTE * (passed_us / 60_000_000 + 1);
        // What came between the last charge and the end stands nowhere but in the list that was read; a clock that goes back
        // leaves no trace of it. So much is a second's refill more than enough for.
        let unstored = i64::try_from(A_MINUTE / 60).unwrap_or(i64::MAX);
        let came = pot.balance.saturating_sub(before);
        let gained = u64::try_from(came.max(0)).unwrap_or(0);
        row.figure("came", came);
        row.demand(
            pot.balance <= i64::try_from(POT_CAPACITY).unwrap_or(i64::MAX),
            || format!("{} of {POT_CAPACITY}", pot.balance),
        );
        row.demand(came >= -unstored && gained <= most, || {
            format!("{came} came, at most {most} could")
        });
        let expected = (A_MINUTE * jump).min(POT_CAPACITY.saturating_sub(u64::try_from(before).unwrap_or(0)));
        row.demand(gained >= expected, || {
            format!("{came} came instead of {expected}")
        });
        history.came(pot.id, gained);
        let outcome = history.one(&lab, &Plan::small(history.next(), Model::Pot)).await;
        row.demand(outcome == Outcome::Complete, || format!("after: {outcome:?}"));
        let settled = history.settled(&lab, mode).await?;
        faults(&mut row, &settled);
        rows.push(row);
    }
    Ok(Report { rows })
}
