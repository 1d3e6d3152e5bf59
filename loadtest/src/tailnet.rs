//! What happens on a tailnet, played with a stand-in for its daemon, a mock provider and a real `sluice up`.
//!
//! The model: one gateway whose only source is the daemon. The client is a balancer that the gateway believes, so its
//! connections come from any address of the tailnet. Every peer asks for a model of its own, and in the end each
//! record is compared with who may have asked for its model: a wrong name anywhere is a fault.
//!
//! Each scenario gives a [`Row`] with figures and with what was not as declared. Scenarios that would disturb each other's
//! questions run one after the other; the one that waits half a minute runs beside others.

mod asking;
mod change;
mod lab;
mod link;
mod outage;
mod proxy;
mod statuses;
mod syscalls;

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Instant;

use anyhow::Result;

use lab::{Lab, Source};

use crate::folder::Folder;
use crate::report::ms;
pub use crate::report::{Report, Row};

/// What to play.
#[derive(clap::Args, Clone, Debug)]
pub struct Options {
    /// The `sluice` binary
    #[arg(long, value_name = "PATH")]
    pub sluice: PathBuf,
    /// Addresses that come for the first time
    #[arg(long, default_value_t = 300)]
    pub peers: usize,
    /// New addresses at a time, to see how many questions are under way
    #[arg(long, default_value_t = 64)]
    pub wave: usize,
    /// Requests of known people
    #[arg(long, default_value_t = 2_000)]
    pub requests: usize,
    /// Runs of what is played several times
    #[arg(long, default_value_t = 20)]
    pub runs: usize,
    /// Shards of the data plane
    #[arg(long, default_value_t = 2)]
    pub shards: u32,
    /// Let the daemon go away for good, too (a minute more)
    #[arg(long)]
    pub slow: bool,
    /// Print JSON
    #[arg(long)]
    pub json: bool,
    /// Times are judged
    #[arg(skip = true)]
    pub timed: bool,
    /// System calls are counted
    #[arg(skip = true)]
    pub counted: bool,
    /// What takes seconds by itself is played: grants that age, the daemon's restart
    #[arg(skip = true)]
    pub patient: bool,
}

impl Options {
    /// A run of a few seconds in which only order and outcome count; with one shard, so that there is one order.
    #[must_use]
    pub fn short(sluice: &Path) -> Self {
        Self {
            sluice: sluice.to_owned(),
            peers: 20,
            wave: 12,
            requests: 80,
            runs: 2,
            shards: 1,
            slow: false,
            json: false,
            timed: false,
            counted: false,
            patient: false,
        }
    }
}

/// Plays the scenarios.
///
/// # Errors
/// The gateway does not start, or its records cannot be read. What is not as declared is no error but a fault of the
/// report.
pub async fn run(options: &Options) -> Result<Report> {
    let mut folder = Folder::new("tailnet")?;
    let played = play(options, &folder.path).await;
    if played.as_ref().map_or(true, |report| report.faults() > 0) {
        folder.keep();
    }
    played
}

async fn play(options: &Options, folder: &Path) -> Result<Report> {
    let lab = Lab::start(&options.sluice, options.shards, Source::Tailscale, folder).await?;
    let lab = Arc::new(lab);
    let mut rows = vec![
        told("1 miss", asking::miss(&lab, options)).await,
        told("2 hit", asking::hit(&lab, options, folder)).await,
        told("10 slow daemon", outage::slow(&lab, options)).await,
    ];
    let changes = async {
        [
            told("3 peer removed", change::remove(&lab, options)).await,
            told("4 peer retagged", change::retag(&lab, options)).await,
            told("8 address given to somebody else", change::reuse(&lab, options)).await,
            told("9 statuses", statuses::statuses(&lab)).await,
        ]
    };
    if options.patient {
        let (changes, grants) = tokio::join!(
            Box::pin(changes),
            Box::pin(told("5 grants edited", change::grants(&lab, options)))
        );
        rows.extend(changes);
        rows.push(grants);
        rows.push(told("6 daemon restarted", outage::restart(&lab)).await);
    } else {
        rows.extend(Box::pin(changes).await);
    }
    if options.slow {
        rows.push(told("7 daemon away for good", outage::away(&lab)).await);
    }
    rows.sort_by_key(|row| row.name.split(' ').next().and_then(|n| n.parse::<u32>().ok()));
    rows.push(told("names in the records", names(&lab)).await);
    Ok(Report { rows })
}

/// Plays one. What could not be played to its end is not as declared.
async fn told(name: &'static str, scenario: impl Future<Output = Result<Row>>) -> Row {
    let begin = Instant::now();
    let mut row = scenario.await.unwrap_or_else(|error| {
        let mut row = Row::new(name);
        row.faults.push(format!("{error:#}"));
        row
    });
    row.figure("played in, ms", ms(begin.elapsed()));
    row
}

/// Every record of the whole run against who may have asked.
async fn names(lab: &Lab) -> Result<Row> {
    let mut row = Row::new("names in the records");
    let last = lab.person().await?;
    lab.ask(&last).await?;
    lab.served(&BTreeSet::from([last.model.as_str()])).await?;
    let (compared, wrong) = lab.wrong_names().await?;
    row.demand(compared > 0, || "nothing to compare".into());
    row.figure("records compared", compared);
    row.figure("wrong", wrong.len());
    row.faults.extend(wrong);
    Ok(row)
}
