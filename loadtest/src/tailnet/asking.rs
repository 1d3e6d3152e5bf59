//! What it takes to know somebody: the first time, and from then on.

use std::collections::BTreeSet;
use std::net::IpAddr;
use std::path::Path;
use std::sync::Arc;
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result};
use tokio::task::JoinSet;

use super::Options;
use super::lab::{Lab, PATIENCE, Peer, Source};
use super::syscalls::Counting;
use crate::report::{Row, ms, spread};
use crate::tailscaled::Fault;

/// What the daemon takes for each of them.
const WAVE_PAUSE: Duration = Duration::from_millis(10);
/// Questions under way at most.
const IN_FLIGHT_MAX: usize = 4;
/// An answer counts this long; whatever is to be a hit has to come sooner.
const FRESH: Duration = Duration::from_secs(28);
/// People whose requests are hits.
const REGULARS: usize = 20;
/// Beginning of the name of the threads that serve requests.
const SHARDS: &str = "shard-";
/// Calls before.
const WARM: usize = 5;
/// Calls while system calls are counted.
const COUNTED: u64 = 400;
/// Counts, of which the lowest is taken: timers tick meanwhile, and the more the slower the machine is.
const ROUNDS: usize = 3;
/// System calls that may be more or fewer for each request. Whoever asked something for each made one more at least.
const CALLS_OFF_MAX: f64 = 0.5;

fn addresses(peers: &[Peer]) -> BTreeSet<IpAddr> {
    peers.iter().map(|peer| peer.address).collect()
}

/// Latency of the first call minus that of the second on a new connection: `(added, hit)`.
async fn first_and_second(lab: &Lab, peer: &Peer, row: &mut Row) -> Result<(Duration, Duration)> {
    let mut link = lab.open(peer.address).await?;
    let first = link.call(&peer.model).await?;
    let second = link.call(&peer.model).await?;
    row.demand((first.status, second.status) == (200, 200), || {
        format!("{}: {} and {}", peer.login, first.status, second.status)
    });
    Ok((first.took.saturating_sub(second.took), second.took))
}

/// The first requests of addresses that nobody has asked about.
pub(super) async fn miss(lab: &Arc<Lab>, options: &Options) -> Result<Row> {
    let mut row = Row::new("1 miss");
    let peers = lab.people(options.peers).await?;
    let before = lab.daemon.whois_took().len();
    let (mut new, mut hits, mut known) = (Vec::new(), Vec::new(), Vec::new());
    for peer in &peers {
        let (added, hit) = first_and_second(lab, peer, &mut row).await?;
        new.push(added);
        hits.push(hit);
    }
    for peer in &peers {
        known.push(first_and_second(lab, peer, &mut row).await?.0);
    }
    let took = lab.daemon.whois_took().split_off(before);
    let asked = lab.asked(&addresses(&peers));
    row.demand(asked == peers.len(), || {
        format!("{asked} questions about {} addresses", peers.len())
    });

    let wave = lab.people(options.wave).await?;
    // Questions that are answered at once are never many at a time.
    lab.daemon.set_fault(Some(Fault::Slow(WAVE_PAUSE)));
    let mut calls = JoinSet::new();
    for peer in wave.clone() {
        let lab = Arc::clone(lab);
        calls.spawn(async move { Ok::<_, anyhow::Error>(lab.ask(&peer).await?.status) });
    }
    while let Some(status) = calls.join_next().await {
        let status = status??;
        row.demand(status == 200, || format!("{status} within the wave"));
    }
    lab.daemon.set_fault(None);
    let in_wave = lab.asked(&addresses(&wave));
    row.demand(in_wave == wave.len(), || {
        format!("{in_wave} questions about a wave of {}", wave.len())
    });
    let in_flight = lab.daemon.whois_running_max();
    row.demand(in_flight <= IN_FLIGHT_MAX, || {
        format!("{in_flight} questions at a time")
    });

    row.figure("addresses", peers.len());
    row.figure("questions", asked);
    row.figure("added by a miss, p50 / p99 / max ms", spread(&new));
    row.figure("added by a new connection of a known one, ms", spread(&known));
    row.figure("a hit, ms", spread(&hits));
    row.figure("the daemon took, ms", spread(&took));
    row.figure("new addresses at once", wave.len());
    row.figure("most questions at a time", in_flight);
    Ok(row)
}

/// Requests of people who are known.
pub(super) async fn hit(lab: &Arc<Lab>, options: &Options, folder: &Path) -> Result<Row> {
    let mut row = Row::new("2 hit");
    let peers = lab.people(REGULARS).await?;
    let begin = Instant::now();
    for peer in &peers {
        lab.ask(peer).await?;
    }
    let asked = lab.asked(&addresses(&peers));
    let each = options.requests.div_ceil(2).div_ceil(peers.len());
    let mut kept = calls(lab, &peers, each, true, &mut row).await?;
    let fresh = calls(lab, &peers, each, false, &mut row).await?;
    let took = begin.elapsed();
    let more = lab.asked(&addresses(&peers)).saturating_sub(asked);
    if options.timed {
        row.demand(took < FRESH, || format!("too slow to tell: {} ms", ms(took)));
    }
    row.demand(more == 0 || took >= FRESH, || format!("{more} more questions"));
    row.figure("requests on kept connections", kept.len());
    row.figure("on new ones", fresh.len());
    row.figure("more questions", more);
    row.figure("on kept ones, p50 / p99 / max ms", spread(&kept));
    kept.clear();
    if options.counted {
        match count(lab, options, folder).await? {
            Ok([tailscale, fixed]) => {
                row.figure("system calls a request, source tailscale", tailscale);
                row.figure("source static", fixed);
                row.demand((tailscale - fixed).abs() <= CALLS_OFF_MAX, || {
                    format!("{tailscale} system calls a request, {fixed} with a source that asks nobody")
                });
            }
            Err(why) => row.skipped = Some(format!("system calls: {why}")),
        }
    }
    Ok(row)
}

/// So many calls of each peer, on one connection each or on a new one each time.
async fn calls(
    lab: &Arc<Lab>,
    peers: &[Peer],
    each: usize,
    kept: bool,
    row: &mut Row,
) -> Result<Vec<Duration>> {
    let mut tasks = JoinSet::new();
    for peer in peers.iter().cloned() {
        let lab = Arc::clone(lab);
        tasks.spawn(async move {
            let mut link = lab.open(peer.address).await?;
            let mut seen = Vec::new();
            for _ in 0..each {
                let answer = link.call(&peer.model).await?;
                seen.push((answer.status, answer.took));
                if !kept || answer.close {
                    link = lab.open(peer.address).await?;
                }
            }
            Ok::<_, anyhow::Error>(seen)
        });
    }
    let mut times = Vec::new();
    while let Some(seen) = tasks.join_next().await {
        for (status, took) in seen?? {
            row.demand(status == 200, || format!("{status} of somebody known"));
            times.push(took);
        }
    }
    Ok(times)
}

/// System calls for each request of somebody known, with the daemon and with a table; or why they cannot be counted.
async fn count(lab: &Lab, options: &Options, folder: &Path) -> Result<Result<[f64; 2], String>> {
    let other = Lab::start(&options.sluice, options.shards, Source::Static, folder).await?;
    let mut both = [0.0; 2];
    for ((lab, label), out) in [(lab, "tailscale"), (&other, "static")]
        .into_iter()
        .zip(&mut both)
    {
        match count_one(lab, label, folder).await? {
            Ok(calls) => *out = calls,
            Err(why) => return Ok(Err(why)),
        }
    }
    Ok(Ok(both))
}

async fn count_one(lab: &Lab, label: &str, folder: &Path) -> Result<Result<f64, String>> {
    let (peer, node) = lab.stranger();
    lab.daemon.put(node);
    let mut link = lab.open(peer.address).await?;
    // The first ones make connections, and the gateway learns who it is.
    let begin = Instant::now();
    for _ in 0..WARM {
        while link.call(&peer.model).await?.status != 200 {
            anyhow::ensure!(begin.elapsed() < PATIENCE, "{} is not let in", peer.login);
        }
    }
    let pid = lab.data_plane().context("there is no data plane")?;
    let mut fewest = u64::MAX;
    for _ in 0..ROUNDS {
        let counting = match Counting::begin(pid, SHARDS, folder, label).await {
            Ok(counting) => counting,
            Err(why) => return Ok(Err(why)),
        };
        for _ in 0..COUNTED {
            link.call(&peer.model).await?;
        }
        fewest = fewest.min(counting.end()?);
    }
    Ok(Ok((fewest as f64 / COUNTED as f64 * 100.0).round() / 100.0))
}
