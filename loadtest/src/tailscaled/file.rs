//! The daemon as a program: its table is a file, read again whenever it changes.

use std::collections::{BTreeMap, HashMap};
use std::net::SocketAddr;
use std::path::Path;
use std::time::Duration;

use anyhow::Context as _;
use serde::Deserialize;

use super::{Fault, Node, Socket, Tailscaled, hold, state};

/// Pause between looks at the file.
const LOOK: Duration = Duration::from_millis(50);

/// What stands in the file.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Contents {
    /// See [`state`]; running if absent.
    #[serde(default = "running")]
    state: u8,
    /// `true`: no socket at all.
    #[serde(default)]
    stopped: bool,
    #[serde(default)]
    nodes: Vec<Node>,
    /// Userspace flows: address and port, and the stable id of the node.
    #[serde(default)]
    flows: HashMap<SocketAddr, String>,
    /// `whois` answers after this many milliseconds.
    #[serde(default)]
    slow_ms: u64,
    /// `whois` answers with this status.
    #[serde(default)]
    status: Option<u16>,
}

const fn running() -> u8 {
    state::RUNNING
}

fn read(file: &Path) -> anyhow::Result<Contents> {
    let text = std::fs::read(file).with_context(|| format!("cannot read {}", file.display()))?;
    serde_json::from_slice(&text).with_context(|| format!("cannot use {}", file.display()))
}

/// Serves at `socket` what stands in `file`, for ever. Nodes that came, changed or went are told on the bus; a node
/// whose grants alone changed is not. A file that cannot be used changes nothing; `complain` is told.
///
/// # Errors
/// The file cannot be used at the start, or the socket cannot be made.
pub async fn serve_file(socket: &Path, file: &Path, complain: impl Fn(anyhow::Error)) -> anyhow::Result<()> {
    let daemon = Tailscaled::new();
    let mut before: Option<Vec<u8>> = None;
    let mut bound: Option<Socket> = None;
    let first = read(file)?;
    apply(&daemon, first);
    loop {
        let bytes = std::fs::read(file).ok();
        if bytes.is_some() && bytes != before {
            match read(file) {
                Ok(contents) => {
                    let stopped = contents.stopped;
                    apply(&daemon, contents);
                    if stopped {
                        bound = None;
                    } else if bound.is_none() {
                        // A socket that a killed daemon left behind.
                        let _ = std::fs::remove_file(socket);
                        bound = Some(Socket::bind(&daemon, socket).context("cannot make the socket")?);
                    }
                }
                Err(error) => complain(error),
            }
            before = bytes;
        }
        tokio::time::sleep(LOOK).await;
    }
}

fn apply(daemon: &Tailscaled, contents: Contents) {
    let fresh: BTreeMap<String, Node> = contents
        .nodes
        .into_iter()
        .map(|node| (node.stable_id.clone(), node))
        .collect();
    let old = hold(&daemon.shared.table).nodes.clone();
    for stable_id in old.keys().filter(|stable_id| !fresh.contains_key(*stable_id)) {
        daemon.remove(stable_id);
    }
    for (stable_id, node) in fresh {
        match old.get(&stable_id) {
            Some(before) if *before == node => {}
            Some(before) => {
                let told = Node {
                    cap_map: before.cap_map.clone(),
                    ..node.clone()
                };
                if told == *before {
                    daemon.grant(&stable_id, node.cap_map);
                } else {
                    daemon.put(node);
                }
            }
            None => daemon.put(node),
        }
    }
    let changed = {
        let mut table = hold(&daemon.shared.table);
        table.flows = contents.flows;
        table.fault = match (contents.slow_ms, contents.status) {
            (_, Some(status)) => Some(Fault::Status(status)),
            (0, None) => None,
            (ms, None) => Some(Fault::Slow(Duration::from_millis(ms))),
        };
        table.state != contents.state
    };
    if changed {
        daemon.set_state(contents.state);
    }
}
