//! Peers that go, change, or give their address to somebody else, while requests of theirs run.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::{Duration, Instant};

use anyhow::{Result, bail};
use serde_json::Value;
use tokio::task::JoinHandle;

use super::Options;
use super::lab::{EXTRA, Lab, PATIENCE, PAUSE, Peer, extra};
use crate::report::{Row, ms, spread};

/// A change that is told has to be felt within this time.
const CUT_MAX: Duration = Duration::from_secs(1);
/// A change that is told to nobody, within this, and a second of a busy machine.
const AGE_MAX: Duration = Duration::from_secs(31);
/// Pause between requests that wait for such a change.
const AGE_PAUSE: Duration = Duration::from_millis(50);
/// Peers whose streams nothing happens to.
const BYSTANDERS: usize = 10;
/// Requests of an address after somebody else has got it.
const AFTER_REUSE: usize = 20;

/// Streams of others, which are to go on.
struct Bystanders(Vec<JoinHandle<Instant>>);

impl Bystanders {
    async fn begin(lab: &Lab) -> Result<Self> {
        let mut streams = Vec::new();
        for peer in lab.people(BYSTANDERS).await? {
            let stream = lab.open(peer.address).await?.stream(&peer.model).await?;
            streams.push(tokio::spawn(stream.ended()));
        }
        Ok(Self(streams))
    }

    /// How many were cut.
    fn cut(self) -> usize {
        let cut = self.0.iter().filter(|stream| stream.is_finished()).count();
        for stream in self.0 {
            stream.abort();
        }
        cut
    }
}

/// What happens to a peer, and how its requests show that it counts.
struct Turn {
    name: &'static str,
    happen: fn(&Lab, &Peer, usize),
    after: fn(&Peer, usize) -> After,
}

/// A request that gets this status now and got another one before.
struct After {
    model: String,
    status: u16,
    login: &'static str,
}

impl After {
    fn refused(peer: &Peer, login: &'static str) -> Self {
        Self {
            model: format!("{}-after", peer.model),
            status: 403,
            login,
        }
    }
}

/// A peer is removed.
pub(super) async fn remove(lab: &Arc<Lab>, options: &Options) -> Result<Row> {
    let turn = Turn {
        name: "3 peer removed while it streams",
        happen: |lab, peer, _| lab.daemon.remove(&peer.stable_id),
        after: |peer, _| After::refused(peer, ""),
    };
    play(lab, options, &turn).await
}

/// A person's machine becomes a tagged one, with and without grants.
pub(super) async fn retag(lab: &Arc<Lab>, options: &Options) -> Result<Row> {
    let turn = Turn {
        name: "4 peer retagged while it streams",
        happen: |lab, peer, run| {
            let tag = if run.is_multiple_of(2) {
                "tag:ci"
            } else {
                "tag:none"
            };
            lab.daemon
                .change(&peer.stable_id, |node| node.tags = vec![tag.into()]);
        },
        after: |peer, run| {
            if run.is_multiple_of(2) {
                After {
                    model: peer.model.replace("who", "ci"),
                    status: 200,
                    login: "tag:ci",
                }
            } else {
                After::refused(peer, "tag:none")
            }
        },
    };
    play(lab, options, &turn).await
}

async fn play(lab: &Arc<Lab>, options: &Options, turn: &Turn) -> Result<Row> {
    let mut row = Row::new(turn.name);
    let bystanders = Bystanders::begin(lab).await?;
    let (mut times, mut everywhere) = (Vec::new(), Vec::new());
    let mut again = 0;
    for run in 0..options.runs {
        let peer = lab.person().await?;
        let stream = lab.open(peer.address).await?.stream(&peer.model).await?;
        let told = Instant::now();
        (turn.happen)(lab, &peer, run);
        times.push(stream.cut().await?.saturating_duration_since(told));
        let After { model, status, login } = (turn.after)(&peer, run);
        // Another shard may hear of it a moment later: there, the request counts as before, or is cut as well.
        for login in [login, &peer.login] {
            lab.expect(&model, login);
        }
        loop {
            match lab.call(peer.address, &model).await {
                Ok(answer) if answer.status == status => break,
                _ => again += 1,
            }
            if told.elapsed() > PATIENCE {
                bail!("the next request of {} does not get {status}", peer.login);
            }
            tokio::time::sleep(PAUSE).await;
        }
        everywhere.push(told.elapsed());
    }
    let others = bystanders.cut();
    row.demand(others == 0, || format!("{others} streams of others were cut"));
    for (what, times) in [("cut", &times), ("a new request was judged anew", &everywhere)] {
        let slowest = times.iter().max().copied().unwrap_or_default();
        if options.timed {
            row.demand(slowest <= CUT_MAX, || format!("{what} after {} ms", ms(slowest)));
        }
    }
    row.demand(again == 0 || options.shards > 1, || {
        format!("{again} requests after the cut counted as before")
    });
    row.figure("runs", options.runs);
    row.figure("from the event to the cut, p50 / p99 / max ms", spread(&times));
    row.figure(
        "to the answer of a new request that is judged anew, ms",
        spread(&everywhere),
    );
    row.figure("requests in between, at a shard that had not heard yet", again);
    row.figure("streams of others cut", format!("{others} of {BYSTANDERS}"));
    Ok(row)
}

/// What the tailnet's policy grants changes; nobody is told.
pub(super) async fn grants(lab: &Arc<Lab>, _options: &Options) -> Result<Row> {
    let mut row = Row::new("5 grants of the tailnet's policy edited");
    let gains = lab.person().await?;
    let (loses, mut node) = lab.stranger();
    node.cap_map = extra();
    lab.daemon.put(node);
    lab.heard().await?;
    for (peer, status) in [(&gains, 403), (&loses, 200)] {
        let first = lab.call(peer.address, EXTRA).await?;
        row.demand(first.status == status, || {
            format!(
                "{} before the edit, not {status}: {}",
                first.status,
                String::from_utf8_lossy(&first.body)
            )
        });
    }
    let edited = Instant::now();
    lab.daemon.grant(&gains.stable_id, extra());
    lab.daemon.grant(&loses.stable_id, Value::Null);
    let (gained, lost) = tokio::join!(until(lab, &gains, 200), until(lab, &loses, 403));
    for (name, moment) in [
        ("a grant counts after, ms", gained?),
        ("a withdrawn one no more after, ms", lost?),
    ] {
        let after = moment.saturating_duration_since(edited);
        row.demand(after <= AGE_MAX, || format!("{name} {}", ms(after)));
        row.figure(name, ms(after));
    }
    Ok(row)
}

async fn until(lab: &Lab, peer: &Peer, status: u16) -> Result<Instant> {
    let begin = Instant::now();
    let mut link = lab.open(peer.address).await?;
    while begin.elapsed() < PATIENCE {
        let answer = link.call(EXTRA).await?;
        if answer.status == status {
            return Ok(Instant::now());
        }
        if answer.close {
            link = lab.open(peer.address).await?;
        }
        tokio::time::sleep(AGE_PAUSE).await;
    }
    bail!("no {status} for {EXTRA}")
}

/// One of the requests that an address sends without pause.
struct Sent {
    begun: Instant,
    model: String,
    status: u16,
}

/// An address that was somebody's and is somebody else's.
struct Reuse {
    old: Peer,
    new: Peer,
    sent: Vec<Sent>,
    removed: Instant,
}

/// A node is deleted and its address given to somebody else, while the address asks without pause. In turns, the address is
/// nobody's for a while, or not for a moment.
pub(super) async fn reuse(lab: &Arc<Lab>, options: &Options) -> Result<Row> {
    let mut row = Row::new("8 address given to somebody else");
    let mut played = Vec::new();
    for run in 0..options.runs {
        let (old, node) = lab.stranger();
        let (new, mut other) = lab.stranger();
        other.addresses = vec![old.address];
        lab.daemon.put(node);
        lab.heard().await?;
        let mut sent = Vec::new();
        while sent.len() < 3 {
            sent.push(send(lab, &old, sent.len()).await);
        }
        let removed = Instant::now();
        lab.daemon.remove(&old.stable_id);
        let pause = run.is_multiple_of(2);
        while pause && sent.last().is_some_and(|sent| sent.status == 200) && removed.elapsed() < PATIENCE {
            sent.push(send(lab, &old, sent.len()).await);
        }
        lab.daemon.put(other);
        let (given, mut after) = (Instant::now(), 0);
        while after < AFTER_REUSE && given.elapsed() < PATIENCE {
            let one = send(lab, &old, sent.len()).await;
            after += usize::from(one.status == 200);
            sent.push(one);
        }
        row.demand(after == AFTER_REUSE, || "the new one was not let in".into());
        played.push(Reuse {
            old,
            new,
            sent,
            removed,
        });
    }
    let all = played.iter().flat_map(|reuse| &reuse.sent);
    let models = all
        .filter(|sent| sent.status == 200)
        .map(|sent| sent.model.as_str());
    let users = lab.served(&models.collect()).await?;
    let mut late = Vec::new();
    let (mut counts, mut back) = ([0_usize; 3], 0);
    for reuse in &played {
        late.push(reuse.judge(&users, &mut counts, &mut back, &mut row));
    }
    let latest = late.iter().max().copied().unwrap_or_default();
    if options.timed {
        row.demand(latest <= CUT_MAX, || {
            format!("the old one until {} ms after", ms(latest))
        });
    }
    row.demand(back == 0 || options.shards > 1, || {
        format!("{back} requests out of order")
    });
    row.figure("runs", options.runs);
    let [old, refused, new] = counts;
    row.figure(
        "requests of the old one / refused / of the new one",
        format!("{old} / {refused} / {new}"),
    );
    row.figure("out of order, at a shard that had not heard yet", back);
    row.figure(
        "last request begun as the old one after the event, p50 / p99 / max ms",
        spread(&late),
    );
    Ok(row)
}

impl Reuse {
    /// The old one's, then perhaps refused ones, then the new one's. Counts those that go back, and gives how long after
    /// the event the last request was begun that counts as the old one's.
    fn judge(
        &self,
        users: &BTreeMap<String, String>,
        counts: &mut [usize; 3],
        back: &mut usize,
        row: &mut Row,
    ) -> Duration {
        let mut stage = 0;
        let mut last = self.removed;
        for sent in &self.sent {
            let user = users.get(&sent.model);
            let now = match user {
                None => 1,
                Some(user) if *user == self.old.login => 0,
                Some(user) if *user == self.new.login => 2,
                Some(user) => {
                    row.demand(false, || format!("{} was recorded for {user}", sent.model));
                    continue;
                }
            };
            // One shard may hear of it a moment after another.
            if now < stage {
                *back += 1;
            }
            stage = stage.max(now);
            if now == 0 {
                last = last.max(sent.begun);
            }
            if let Some(count) = counts.get_mut(now) {
                *count += 1;
            }
        }
        row.demand(stage == 2, || format!("{} was never recorded", self.new.login));
        last.saturating_duration_since(self.removed)
    }
}

async fn send(lab: &Lab, peer: &Peer, number: usize) -> Sent {
    let model = format!("{}-{number:04}", peer.model);
    let begun = Instant::now();
    let status = match lab.call(peer.address, &model).await {
        Ok(answer) => answer.status,
        // Cut: it was the old one's.
        Err(_) => 0,
    };
    if status != 200 {
        tokio::time::sleep(PAUSE).await;
    }
    Sent { begun, model, status }
}
