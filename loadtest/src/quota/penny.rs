//! Amounts that suffice to the last one: everything that is there can be reserved, and nothing more.

use std::time::{Duration, Instant};

use anyhow::{Context as _, Result};
use tokio::task::JoinSet;

use super::Mode;
use super::books::Unit;
use super::client::{Outcome, Told, play};
use super::lab::{Lab, PATIENCE};
use super::plan::{Model, Plan, Shape};
use super::setup::{COUNT, POT, SEATS, SUM};
use super::storm::{History, faults};
use crate::mock::Ending;
use crate::report::Row;

const PAUSE: Duration = Duration::from_millis(5);
/// More than this the model never answers, so it needs no more for a request that asks for more.
const OUTPUT_MAX: u64 = 16_000;

/// How many of these were whole, and what became of the others.
fn whole(told: impl Iterator<Item = Told>) -> (usize, Vec<Outcome>) {
    let (mut whole, mut others) = (0, Vec::new());
    for told in told {
        match told.outcome {
            Outcome::Complete => whole += 1,
            other => others.push(other),
        }
    }
    (whole, others)
}

fn shown(outcomes: &[Outcome]) -> String {
    format!("{:?}", outcomes.get(..outcomes.len().min(3)).unwrap_or_default())
}

/// What is left in the pot when nothing runs is what one more request can reserve; not a cent is held by anybody.
pub(super) async fn last(lab: &Lab, mode: Mode, history: &mut History) -> Result<Row> {
    let mut row = Row::new(match mode {
        Mode::Estimate => "estimate: what is left can be had",
        Mode::Strict => "strict: what is left can be had",
        Mode::Positive => "positive: what is left can be had",
    });
    let settled = history.settled(lab, mode).await?;
    let pot = settled
        .account(POT, Unit::Usd)
        .context("the pot was never asked for")?;
    let id = pot.id;
    let small = Plan::small(history.next(), Model::Pot);
    let need = |plan: &Plan| plan.most().get(&Unit::Usd).copied().unwrap_or(0);
    // In debt or nearly so: enough for one, and an odd rest.
    let wanted = i128::from(need(&small)) * 2 + 12_345;
    let lacking = wanted - i128::from(pot.balance);
    if let Ok(lacking) = u64::try_from(lacking) {
        if lacking > 0 && pot.balance <= 0 {
            let outcome = history.one(lab, &small).await;
            row.demand(matches!(outcome, Outcome::Refused { status: 429, .. }), || {
                format!(
                    "with a balance of {} a request is not refused: {outcome:?}",
                    pot.balance
                )
            });
        }
        let added = lab.refill(POT, Unit::Usd, lacking).await?;
        row.demand(added == lacking, || format!("{added} came instead of {lacking}"));
        *history.by_hand.entry(id).or_default() += added;
    }
    let settled = history.settled(lab, mode).await?;
    let pot = settled.account(POT, Unit::Usd).context("the pot is gone")?;
    let balance = u64::try_from(pot.balance).unwrap_or(0);
    row.figure("left", balance);
    let large = Plan {
        max_tokens: OUTPUT_MAX,
        head_ms: 60_000,
        ..Plan::small(0, Model::Pot)
    };
    let mut holding = JoinSet::new();
    let first = history.next();
    let mut rest = balance;
    while mode == Mode::Strict && rest > need(&large) {
        let plan = Plan {
            number: history.next(),
            // Enough for another one stays.
            max_tokens: match rest.checked_sub(need(&large)) {
                Some(more) if more < need(&small) => OUTPUT_MAX / 2,
                _ => OUTPUT_MAX,
            },
            ..large.clone()
        };
        rest = rest.saturating_sub(need(&plan));
        history.plan(plan.clone());
        let gateway = lab.gateway;
        holding.spawn(async move { play(gateway, &plan).await });
    }
    row.figure("requests that hold it", holding.len());
    arrived(lab, first, &mut holding, &mut row).await?;
    // As large an answer as the rest allows.
    let number = history.next();
    let most = |max_tokens| Plan {
        max_tokens,
        ..Plan::small(number, Model::Pot)
    };
    let fits = fitting(rest, |max_tokens| need(&most(max_tokens))).min(OUTPUT_MAX);
    if mode == Mode::Strict {
        let outcome = history.one(lab, &most(fits + 1)).await;
        let refused = matches!(outcome, Outcome::Refused { status: 429, .. });
        row.demand(refused, || {
            format!("one token more than there is money for is not refused: {outcome:?}")
        });
    }
    let plan = Plan {
        number: history.next(),
        ..most(fits)
    };
    let outcome = history.one(lab, &plan).await;
    row.demand(outcome == Outcome::Complete, || {
        format!(
            "{} of {rest} that are left cannot be had: {outcome:?}",
            need(&plan)
        )
    });
    leave(lab, first, &mut holding, history.next()).await;
    let settled = history.settled(lab, mode).await?;
    faults(&mut row, &settled);
    Ok(row)
}

/// Waits until all of them, numbered from the first on, run at the provider. One that is over already is a fault.
async fn arrived(lab: &Lab, first: u64, running: &mut JoinSet<Told>, row: &mut Row) -> Result<()> {
    let begin = Instant::now();
    let there = |number: u64| {
        let entry = lab.mock.find(&number.to_string());
        entry.is_some_and(|entry| entry.ended == Ending::Running && entry.events > 0)
    };
    while !(first..).take(running.len()).all(there) {
        if let Some(told) = running.try_join_next() {
            row.faults
                .push(format!("a place was not to be had: {:?}", told?.outcome));
            return Ok(());
        }
        if begin.elapsed() > PATIENCE {
            row.faults.push("not all of them reached the provider".into());
            return Ok(());
        }
        tokio::time::sleep(PAUSE).await;
    }
    Ok(())
}

/// Lets them leave, and waits until the provider has noticed.
async fn leave(lab: &Lab, first: u64, running: &mut JoinSet<Told>, next: u64) {
    running.shutdown().await;
    let gone = |number: u64| {
        let entry = lab.mock.find(&number.to_string());
        entry.is_none_or(|entry| entry.ended != Ending::Running)
    };
    let begin = Instant::now();
    while !(first..next).all(gone) && begin.elapsed() < PATIENCE {
        tokio::time::sleep(PAUSE).await;
    }
}

/// The largest number that needs no more than there is.
fn fitting(there_is: u64, need: impl Fn(u64) -> u64) -> u64 {
    let (mut low, mut high) = (1_u64, 1_u64 << 40);
    while low < high {
        let middle = low + (high - low).div_ceil(2);
        if need(middle) <= there_is {
            low = middle;
        } else {
            high = middle - 1;
        }
    }
    low
}

/// As much money as all of them may need together, all of them at once, on all shards: nobody is refused.
pub(super) async fn sum(lab: &mut Lab, mode: Mode, history: &mut History, plans: Vec<Plan>) -> Result<Row> {
    let mut row = Row::new("money for exactly so many: all are served");
    let first = history.next();
    let count = plans.len();
    history.wave(lab, plans, None).await?;
    let (complete, others) = whole(history.since(first).cloned());
    row.figure("requests", count);
    row.figure("whole", complete);
    row.demand(others.is_empty(), || {
        format!("{} were not served: {}", others.len(), shown(&others))
    });
    let settled = history.settled(lab, mode).await?;
    if let Some(account) = settled.account(SUM, Unit::Usd) {
        row.figure("capacity", account.capacity);
        row.figure("charged", account.charged);
    }
    faults(&mut row, &settled);
    Ok(row)
}

/// So many requests are allowed, twice as many come at once: exactly so many are served.
pub(super) async fn count(lab: &mut Lab, mode: Mode, history: &mut History, allowed: u64) -> Result<Row> {
    let mut row = Row::new("so many requests and no more");
    let first = history.next();
    let half = (first..).take(usize::try_from(allowed).unwrap_or(1));
    history
        .wave(
            lab,
            half.map(|number| Plan::small(number, Model::Count)).collect(),
            None,
        )
        .await?;
    let (complete, others) = whole(history.since(first).cloned());
    row.figure("allowed", allowed);
    row.figure("whole", complete);
    row.demand(others.is_empty(), || {
        format!("{} were not served: {}", others.len(), shown(&others))
    });
    let second = history.next();
    let again = (second..).take(8).map(|number| Plan::small(number, Model::Count));
    history.wave(lab, again.collect(), None).await?;
    let refused = history.since(second).filter(|told| told.over_budget()).count();
    row.figure("refused", refused);
    row.demand(refused == 8, || format!("{refused} of 8 too many were refused"));
    let settled = history.settled(lab, mode).await?;
    let left = settled
        .account(COUNT, Unit::Requests)
        .map(|account| account.balance);
    row.demand(left == Some(0), || format!("{left:?} are left"));
    faults(&mut row, &settled);
    Ok(row)
}

/// So many at a time: a stream more is refused, and when they have left there is room for as many.
pub(super) async fn seats(lab: &mut Lab, mode: Mode, history: &mut History, seats: u64) -> Result<Row> {
    let mut row = Row::new("so many at a time and no more");
    for round in 0..2 {
        let first = history.next();
        let long = |number| Plan {
            shape: Shape::Chat,
            events: 600,
            gap_ms: 100,
            ..Plan::small(number, Model::Seats)
        };
        let mut running = JoinSet::new();
        for number in (first..).take(usize::try_from(seats).unwrap_or(1)) {
            let (plan, gateway) = (long(number), lab.gateway);
            history.plan(plan.clone());
            running.spawn(async move { play(gateway, &plan).await });
        }
        arrived(lab, first, &mut running, &mut row).await?;
        let outcome = history.one(lab, &Plan::small(history.next(), Model::Seats)).await;
        row.demand(matches!(outcome, Outcome::Refused { status: 429, .. }), || {
            format!("round {round}: one more than there are seats: {outcome:?}")
        });
        leave(lab, first, &mut running, history.next()).await;
        let settled = history.settled(lab, mode).await?;
        let free = settled
            .account(SEATS, Unit::Concurrency)
            .map(|account| account.balance);
        row.demand(
            free.and_then(|free| u64::try_from(free).ok()) == Some(seats),
            || format!("round {round}: {free:?} of {seats} seats are free"),
        );
        faults(&mut row, &settled);
    }
    row.figure("seats", seats);
    Ok(row)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_largest_that_fits_is_found() {
        for there_is in [10, 11, 12, 99, 100, 1_000_000] {
            let found = fitting(there_is, |n| n * 3 + 7);
            assert!(
                found * 3 + 7 <= there_is && (found + 1) * 3 + 7 > there_is,
                "{there_is}: {found}"
            );
        }
    }
}
