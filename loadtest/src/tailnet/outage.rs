//! The daemon goes away, for a while or for good, or takes its time.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use anyhow::{Result, bail};
use tokio::task::JoinSet;

use super::Options;
use super::lab::{Lab, PATIENCE, PAUSE, Peer};
use crate::report::{Row, ms, spread};
use crate::tailscaled::Fault;

/// How long the daemon is away in a restart.
const AWAY: Duration = Duration::from_secs(3);
/// Peers who are known by then, and what each does.
const KNOWN: usize = 20;
const EACH: Duration = Duration::from_millis(100);
/// Longest that somebody known may be let in without the daemon, and a second of a busy machine.
const CLOSED_MAX: Duration = Duration::from_secs(61);
/// Known people go on at least this long.
const CLOSED_MIN: Duration = Duration::from_secs(45);
/// What a slow daemon takes, what a request waits for it at most, and what a busy machine adds.
const SLOW: Duration = Duration::from_millis(700);
const WAIT_MAX: Duration = Duration::from_millis(500);
const WAIT_NOISE: Duration = Duration::from_millis(150);

/// What the known ones saw.
#[derive(Default)]
struct Seen {
    stop: AtomicBool,
    requests: AtomicUsize,
    failed: AtomicUsize,
}

/// Requests of one peer at a steady pace, on one connection and on new ones in turns.
async fn keep_asking(lab: Arc<Lab>, peer: Peer, seen: Arc<Seen>) -> Result<()> {
    let mut due = tokio::time::Instant::now();
    let mut link = lab.open(peer.address).await?;
    while !seen.stop.load(Ordering::Relaxed) {
        tokio::time::sleep_until(due).await;
        due += EACH;
        let number = seen.requests.fetch_add(1, Ordering::Relaxed);
        let answer = link.call(&peer.model).await;
        let whole = answer.as_ref().is_ok_and(|answer| answer.status == 200);
        if !whole {
            seen.failed.fetch_add(1, Ordering::Relaxed);
        }
        if !whole || number.is_multiple_of(5) || answer.is_ok_and(|answer| answer.close) {
            link = lab.open(peer.address).await?;
        }
    }
    Ok(())
}

/// The daemon is restarted under load.
pub(super) async fn restart(lab: &Arc<Lab>) -> Result<Row> {
    let mut row = Row::new("6 daemon restarted");
    let known = lab.people(KNOWN).await?;
    let strangers = lab.people(KNOWN).await?;
    let leaver = lab.person().await?;
    let stream = lab.open(leaver.address).await?.stream(&leaver.model).await?;
    let seen = Arc::new(Seen::default());
    let mut tasks = JoinSet::new();
    for peer in known {
        tasks.spawn(keep_asking(Arc::clone(lab), peer, Arc::clone(&seen)));
    }
    tokio::time::sleep(Duration::from_millis(500)).await;

    lab.down();
    let gone = Instant::now();
    // Nobody is told of it.
    lab.daemon.until_unwatched().await;
    lab.daemon.remove(&leaver.stable_id);
    let (mut refused, mut number) = (Vec::new(), 0);
    while gone.elapsed() < AWAY {
        let Some(peer) = strangers.get(number % strangers.len()) else {
            bail!("no strangers");
        };
        number += 1;
        let answer = lab.ask(peer).await?;
        row.demand(answer.status == 503 && answer.retry_after_s.is_some(), || {
            let later = if answer.retry_after_s.is_some() {
                "with"
            } else {
                "without"
            };
            format!("{} {later} Retry-After for somebody new", answer.status)
        });
        refused.push(answer.took);
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    lab.up()?;
    let back = Instant::now();
    let cut = tokio::spawn(stream.cut());
    let mut first = None;
    for peer in &strangers {
        while lab.ask(peer).await?.status != 200 {
            if back.elapsed() > PATIENCE {
                bail!("{} is not let in again", peer.login);
            }
            tokio::time::sleep(PAUSE).await;
        }
        first.get_or_insert_with(|| back.elapsed());
    }
    let cut = cut.await??.saturating_duration_since(back);
    // Until the bus stands again, nobody there may mean that the daemon does not know its nodes yet.
    let next = loop {
        let next = lab.ask(&leaver).await?.status;
        if next != 503 || back.elapsed() > PATIENCE {
            break next;
        }
        tokio::time::sleep(PAUSE).await;
    };
    row.demand(next == 403, || format!("{next} for who was removed meanwhile"));
    tokio::time::sleep(Duration::from_secs(1)).await;
    seen.stop.store(true, Ordering::Relaxed);
    while let Some(task) = tasks.join_next().await {
        task??;
    }
    let failed = seen.failed.load(Ordering::Relaxed);
    row.demand(failed == 0, || {
        format!("{failed} requests of known people failed")
    });
    row.figure("away ms", ms(AWAY));
    row.figure(
        "requests of 20 known people",
        seen.requests.load(Ordering::Relaxed),
    );
    row.figure("of these failed", failed);
    row.figure("503 for new ones", refused.len());
    row.figure("which took, p50 / p99 / max ms", spread(&refused));
    row.figure(
        "back: somebody new let in after, ms",
        first.map(ms).unwrap_or_default(),
    );
    row.figure("who was removed meanwhile cut after, ms", ms(cut));
    Ok(row)
}

/// The daemon never comes back.
pub(super) async fn away(lab: &Arc<Lab>) -> Result<Row> {
    let mut row = Row::new("7 daemon away for good");
    let peer = lab.person().await?;
    let first = lab.ask(&peer).await?.status;
    row.demand(first == 200, || format!("{first} before"));
    let confirmed = Instant::now();
    lab.down();
    let mut served = 0;
    let closed = loop {
        let answer = lab.ask(&peer).await?;
        match answer.status {
            200 => served += 1,
            status => {
                row.demand(status == 503 && answer.retry_after_s.is_some(), || {
                    format!("{status} in the end")
                });
                break confirmed.elapsed();
            }
        }
        if confirmed.elapsed() > PATIENCE * 2 {
            bail!("somebody known is let in for ever");
        }
        tokio::time::sleep(Duration::from_millis(100)).await;
    };
    row.demand((CLOSED_MIN..=CLOSED_MAX).contains(&closed), || {
        format!("closed {} ms after the last answer", ms(closed))
    });
    for _ in 0..10 {
        let status = lab.ask(&peer).await?.status;
        row.demand(status == 503, || format!("{status} after it had closed"));
    }
    lab.up()?;
    row.figure("requests of somebody known, served", served);
    row.figure("503 after the last answer, ms", ms(closed));
    Ok(row)
}

/// The daemon answers too late.
pub(super) async fn slow(lab: &Arc<Lab>, options: &Options) -> Result<Row> {
    let mut row = Row::new("10 slow daemon (700 ms)");
    let peers = lab.people(options.runs).await?;
    let regular = lab.person().await?;
    lab.ask(&regular).await?;
    lab.daemon.set_fault(Some(Fault::Slow(SLOW)));
    let mut times = Vec::new();
    for peer in &peers {
        let answer = lab.ask(peer).await?;
        row.demand(answer.status == 503 && answer.retry_after_s.is_some(), || {
            format!("{} for somebody new", answer.status)
        });
        times.push(answer.took);
        let known = lab.ask(&regular).await?.status;
        row.demand(known == 200, || format!("{known} for somebody known"));
    }
    lab.daemon.set_fault(None);
    for peer in &peers {
        let begin = Instant::now();
        while lab.ask(peer).await?.status != 200 {
            if begin.elapsed() > PATIENCE {
                bail!("{} is not let in when the daemon is fast again", peer.login);
            }
            tokio::time::sleep(PAUSE).await;
        }
    }
    let slowest = times.iter().max().copied().unwrap_or_default();
    if options.timed {
        row.demand(slowest <= WAIT_MAX + WAIT_NOISE, || {
            format!("503 after {} ms", ms(slowest))
        });
    }
    row.figure("503 for new ones", times.len());
    row.figure("which took, p50 / p99 / max ms", spread(&times));
    Ok(row)
}
