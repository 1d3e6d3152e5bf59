//! Budgets under load: a mock provider that keeps its own account, a real gateway, and clients that come all at once, leave
//! in the middle, or live through `kill -9`.
//!
//! The model: everything that is asked is drawn from a seed and known; the mock knows what it served and what that
//! cost; records and buckets are read from the admin API. [`books`] compares the three, [`refusals`] judges each
//! refusal by what could have been taken at that moment at the very most. Each scenario gives a [`Row`].

mod books;
mod cancel;
mod client;
mod clock;
pub(crate) mod lab;
mod penny;
mod plan;
mod refusals;
mod setup;
mod storm;

use std::path::{Path, PathBuf};
use std::time::Duration;

use anyhow::{Context as _, Result};
use clap::ValueEnum;

use books::Unit;
use client::Outcome;
use lab::{Lab, Plane};
use plan::{Model, Plan};
use setup::{POT, Setup};
use storm::History;

pub use clock::shift_clock;

use crate::folder::Folder;
use crate::process;
use crate::random::Random;
pub use crate::report::{Report, Row};

/// Requests whose needs are exactly what there is.
const SUM_REQUESTS: u64 = 120;

/// What is reserved before a request is sent.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum Mode {
    /// What such requests have used so far
    Estimate,
    /// The most that it can use
    Strict,
    /// Nothing: any positive balance will do
    Positive,
}

impl Mode {
    const ALL: [Self; 3] = [Self::Estimate, Self::Strict, Self::Positive];

    const fn name(self) -> &'static str {
        match self {
            Self::Estimate => "estimate",
            Self::Strict => "strict",
            Self::Positive => "positive",
        }
    }
}

/// What to play.
#[derive(clap::Args, Clone, Debug)]
pub struct Options {
    /// The `sluice` binary
    #[arg(long, value_name = "PATH")]
    pub sluice: PathBuf,
    /// How requests are let in (default: each way, one after the other)
    #[arg(long, value_enum)]
    pub mode: Option<Mode>,
    /// Streams at once
    #[arg(long, default_value_t = 2_000)]
    pub streams: usize,
    /// How often so many come
    #[arg(long, default_value_t = 4)]
    pub waves: u32,
    /// Kill the data plane in the second wave and the control plane in the third, and so on in turn
    #[arg(long)]
    pub kills: bool,
    /// Streams that are left at a random event, instead
    #[arg(long, value_name = "N")]
    pub cancel_storm: Option<usize>,
    /// Clients of the cancel storm
    #[arg(long, default_value_t = 400)]
    pub clients: usize,
    /// Shards of the data plane
    #[arg(long, default_value_t = 2)]
    pub shards: u32,
    /// Beginning of the random numbers
    #[arg(long)]
    pub seed: Option<u64>,
    /// Print JSON
    #[arg(long)]
    pub json: bool,
}

impl Options {
    /// A run of some seconds.
    #[must_use]
    pub fn short(sluice: &Path, mode: Mode) -> Self {
        Self {
            sluice: sluice.to_owned(),
            mode: Some(mode),
            streams: 200,
            waves: 3,
            kills: true,
            cancel_storm: None,
            clients: 60,
            shards: 2,
            seed: None,
            json: false,
        }
    }

    fn seed(&self) -> u64 {
        self.seed.unwrap_or_else(|| client::unix_us() % 1_000_000_007)
    }
}

/// Plays the scenarios.
///
/// # Errors
/// The gateway does not start or does not come back, or its API cannot be read. What is not as declared is no error
/// but a fault of the report.
pub async fn run(options: &Options) -> Result<Report> {
    let wanted = options.streams.saturating_mul(2).saturating_add(1_024);
    let files = process::raise_open_files().context("reading the limit of open files")?;
    anyhow::ensure!(
        files >= wanted as u64,
        "{wanted} open files are needed, {files} are allowed (ulimit -n)"
    );
    let modes = options.mode.map_or_else(|| Mode::ALL.to_vec(), |mode| vec![mode]);
    let mut rows = Vec::new();
    for mode in modes {
        let mut folder = Folder::new("quota")?;
        let played = match options.cancel_storm {
            Some(streams) => cancel::play(options, mode, streams, &folder.path).await,
            None => play(options, mode, &folder.path).await,
        };
        if played
            .as_ref()
            .map_or(true, |rows| rows.iter().any(|row| !row.faults.is_empty()))
        {
            folder.keep();
        }
        rows.extend(
            played.with_context(|| format!("{}, data kept in {}", mode.name(), folder.path.display()))?,
        );
    }
    if options.cancel_storm.is_none() && options.mode.is_none() {
        // Once more with a refill.
        let mut folder = Folder::new("quota")?;
        let row = refilled(options, &folder.path).await;
        if row.as_ref().map_or(true, |row| !row.faults.is_empty()) {
            folder.keep();
        }
        rows.push(row?);
    }
    Ok(Report { rows })
}

/// Everything that is asked of the pot, in waves, and half of what it costs.
fn waves(options: &Options, random: &mut Random, first: u64) -> (Vec<Vec<Plan>>, u64) {
    let mut number = first;
    let mut cost = 0_u64;
    let mut waves = Vec::new();
    for _ in 0..options.waves {
        let mut wave = Vec::new();
        for _ in 0..options.streams {
            let plan = Plan::draw(random, number, Model::Pot);
            cost = cost.saturating_add(plan.foreseen());
            number += 1;
            wave.push(plan);
        }
        waves.push(wave);
    }
    (waves, cost / 2)
}

async fn play(options: &Options, mode: Mode, folder: &Path) -> Result<Vec<Row>> {
    let seed = options.seed();
    let mut random = Random::new(seed);
    let (waves, pot) = waves(options, &mut random, 1);
    let first = waves.iter().map(Vec::len).sum::<usize>() as u64 + 10;
    // They follow what the pot is asked, wherever that ends.
    let sums: Vec<Plan> = (first..first + SUM_REQUESTS)
        .map(|number| Plan::draw(&mut random, number, Model::Sum))
        .collect();
    let needs = sums
        .iter()
        .filter_map(|plan| plan.most().get(&Unit::Usd).copied());
    let (count, seats) = (64, 24);
    let setup = Setup {
        sum: needs.sum(),
        count,
        seats,
        ..Setup::new(mode, pot)
    };
    let mut lab = Lab::start(&options.sluice, options.shards, folder, |upstream| {
        setup.document(upstream)
    })
    .await?;
    let mut history = History::new();
    let mut row = Row::new(match mode {
        Mode::Estimate => "estimate: waves on one pot",
        Mode::Strict => "strict: waves on one pot",
        Mode::Positive => "positive: waves on one pot",
    });
    row.figure("seed", seed);
    row.figure("at once", options.streams);
    storm(
        &mut lab,
        mode,
        options,
        &mut history,
        waves,
        &mut random,
        &mut row,
    )
    .await?;
    if !row.faults.is_empty() {
        // What follows would show the same once more.
        return Ok(vec![row]);
    }
    let mut rows = vec![row];
    rows.push(penny::last(&lab, mode, &mut history).await?);
    rows.push(penny::sum(&mut lab, mode, &mut history, sums).await?);
    rows.push(penny::count(&mut lab, mode, &mut history, count).await?);
    rows.push(penny::seats(&mut lab, mode, &mut history, seats).await?);
    Ok(rows)
}

/// The waves, each judged when it is over.
async fn storm(
    lab: &mut Lab,
    mode: Mode,
    options: &Options,
    history: &mut History,
    waves: Vec<Vec<Plan>>,
    random: &mut Random,
    row: &mut Row,
) -> Result<()> {
    let last = waves.len().saturating_sub(1);
    let mut left = Vec::new();
    for (at, wave) in waves.into_iter().enumerate() {
        let kill = match (options.kills, at % 3) {
            (true, 1) => Some(Plane::Data),
            (true, 2) => Some(Plane::Control),
            _ => None,
        };
        let pause = Duration::from_millis(random.between(50, 600));
        let first = history.next();
        history.wave(lab, wave, kill.map(|plane| (plane, pause))).await?;
        let settled = history.settled(lab, mode).await?;
        let served = history
            .since(first)
            .filter(|told| told.outcome == Outcome::Complete)
            .count();
        if let Some(before) = left
            .last()
            .filter(|left| **left <= 0 && history.pot_a_minute == 0)
        {
            row.demand(served == 0, || {
                format!("wave {at}: {served} were served, with a balance of {before} before")
            });
        }
        left.extend(settled.account(POT, Unit::Usd).map(|pot| pot.balance));
        if at == last || !settled.faults.is_empty() {
            history.judge(row, mode, &settled);
            break;
        }
    }
    row.figure("balance after each wave", left);
    Ok(())
}

/// The same with a refill while it goes on.
async fn refilled(options: &Options, folder: &Path) -> Result<Row> {
    let mode = Mode::Strict;
    let seed = options.seed();
    let mut random = Random::new(seed);
    let (waves, pot) = waves(options, &mut random, 1);
    let setup = Setup {
        // All of it again in a minute.
        pot_a_minute: pot,
        ..Setup::new(mode, pot / 2)
    };
    let mut lab = Lab::start(&options.sluice, options.shards, folder, |upstream| {
        setup.document(upstream)
    })
    .await?;
    let mut history = History::new();
    history.pot_a_minute = setup.pot_a_minute;
    let mut row = Row::new("strict: waves on one pot that is refilled");
    row.figure("seed", seed);
    storm(
        &mut lab,
        mode,
        options,
        &mut history,
        waves,
        &mut random,
        &mut row,
    )
    .await?;
    Ok(row)
}
