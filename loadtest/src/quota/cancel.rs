//! Streams that are left at a random event: nothing stays reserved.

use std::path::Path;

use anyhow::Result;

use super::books::Unit;
use super::lab::Lab;
use super::penny;
use super::plan::{Model, Plan};
use super::setup::{POT, Setup};
use super::storm::History;
use super::{Mode, Options};
use crate::random::Random;
use crate::report::Row;

/// Plays so many, so many clients at a time.
pub(super) async fn play(options: &Options, mode: Mode, streams: usize, folder: &Path) -> Result<Vec<Row>> {
    let seed = options.seed();
    let mut random = Random::new(seed);
    let plans: Vec<Plan> = (1..)
        .take(streams)
        .map(|number| Plan::draw_leaving(&mut random, number, Model::Pot))
        .collect();
    let needs = plans
        .iter()
        .filter_map(|plan| plan.most().get(&Unit::Usd).copied());
    let seats = 24;
    let setup = Setup {
        seats,
        // One whose client has just left may still sit; in the end all that is left is held, by as many as it takes.
        pot_seats: (options.clients * 2 + streams) as u64,
        ..Setup::new(mode, needs.sum())
    };
    let mut lab = Lab::start(&options.sluice, options.shards, folder, |upstream| {
        setup.document(upstream)
    })
    .await?;
    let mut row = Row::new(match mode {
        Mode::Estimate => "estimate: streams left at a random event",
        Mode::Strict => "strict: streams left at a random event",
        Mode::Positive => "positive: streams left at a random event",
    });
    row.figure("seed", seed);
    let mut history = History::new();
    history.queue(&lab, plans, options.clients).await?;
    let settled = history.settled(&lab, mode).await?;
    history.judge(&mut row, mode, &settled);
    let refused = history.since(0).filter(|told| told.over_budget()).count();
    row.demand(refused == 0, || {
        format!("{refused} were refused although there was enough for all")
    });
    let free = settled
        .account(POT, Unit::Concurrency)
        .map(|account| account.balance);
    row.demand(
        free.and_then(|free| u64::try_from(free).ok()) == Some(setup.pot_seats),
        || format!("{free:?} of {} seats are free", setup.pot_seats),
    );
    let mut rows = vec![row];
    rows.push(penny::last(&lab, mode, &mut history).await?);
    rows.push(penny::seats(&mut lab, mode, &mut history, seats).await?);
    Ok(rows)
}
