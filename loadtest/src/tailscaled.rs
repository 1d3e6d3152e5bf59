//! A stand-in for the tailnet's daemon: the part of its LocalAPI that identity needs, with a table of nodes that a
//! test changes and with faults on request.
//!
//! The model: one table of nodes; `whois` looks an address up in it, `watch-ipn-bus` tells watchers what changed.
//! Whatever the real daemon says about a peer is made from a [`Node`] by hand-written shapes ([`Node::to_json`]).
//! Requests are read by hand, because the faults (an answer that is cut, junk, a body without end) need the bytes
//! themselves. It speaks over any byte stream: a Unix socket ([`Socket`]) or a pipe in memory
//! ([`Tailscaled::attend`]), so that tests can run in virtual time.
//!
//! # What is played
//! * `GET /localapi/v0/whois?addr=…&proto=…`: 200, 400 for what is no address, 403 for a foreign `Host`, an `Origin` or
//!   a `Referer`, 404 for nobody. Only node addresses match, never the networks behind a subnet router. An unknown
//!   address *with a port* makes the daemon sleep 0 + 10 + 20 + 50 + 100 ms with its lock held, for each protocol.
//! * `GET /localapi/v0/watch-ipn-bus?mask=…`: JSON lines. Peers that were added, replaced or removed are told to
//!   watchers that asked for peer changes (4096); a change of grants is told to nobody. A mask with the rate limit
//!   (256) beside it is 400. An old daemon ([`Tailscaled::set_old`]) knows none of the bits above 256.
//! * `GET /localapi/v0/status`: the state and our own name.
//!
//! Bodies beyond 2 KiB go out chunked, shorter ones with their length, unless a fault says otherwise.

mod file;
mod http;
mod node;
mod socket;

use std::collections::{BTreeMap, HashMap};
use std::io;
use std::net::{IpAddr, SocketAddr};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use serde_json::{Value, json};
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::sync::{broadcast, watch};

pub use file::serve_file;
pub use node::{Node, User};
pub use socket::Socket;

/// State numbers of the daemon, as they stand on its bus.
pub mod state {
    /// Somebody has to log in.
    pub const NEEDS_LOGIN: u8 = 2;
    /// Switched off.
    pub const STOPPED: u8 = 4;
    /// On its way.
    pub const STARTING: u8 = 5;
    /// On the tailnet.
    pub const RUNNING: u8 = 6;
}

/// Bit of a watch mask: tell the state at once.
const MASK_STATE: u64 = 2;
/// Bit of a watch mask: tell the whole network map at once.
const MASK_NET_MAP: u64 = 8;
/// Bit of a watch mask: limit the rate.
const MASK_RATE: u64 = 256;
/// Bit of a watch mask: tell peers that were added, replaced or removed.
const MASK_PEERS: u64 = 4096;
/// Bit of a watch mask: tell the status at once.
const MASK_STATUS: u64 = 16384;
/// What the daemon sleeps for an unknown address with a port, for each protocol.
const STALL: Duration = Duration::from_millis(180);
/// Lines that a watcher may be behind before it is cut off.
const BUS_LINES: usize = 128;

/// How a `whois` is answered wrongly.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Fault {
    /// Only this time after it was looked up.
    Slow(Duration),
    /// With this status and a line of text.
    Status(u16),
    /// The head and half of the body, then the connection is closed.
    CutBody,
    /// In small chunks, whatever the length.
    Chunked,
    /// With these bytes as the body, status 200.
    Body(Vec<u8>),
    /// With these bytes on the wire, then the connection is closed.
    Wire(Vec<u8>),
    /// With white space before the JSON, so that the body has this many bytes; chunked if `true`.
    Oversize(usize, bool),
    /// The connection is closed without an answer.
    Close,
}

/// A request that came.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Call {
    /// The request target, as it came.
    pub target: String,
    /// Status of the answer; 0 if there was none.
    pub status: u16,
    /// Which connection, counted from 1.
    pub connection: usize,
}

/// The daemon; clones share one state.
#[derive(Clone)]
pub struct Tailscaled {
    shared: Arc<Shared>,
}

struct Shared {
    table: Mutex<Table>,
    calls: Mutex<Vec<Call>>,
    /// How long each `whois` took, up to its answer going out.
    took: Mutex<Vec<Duration>>,
    asked: watch::Sender<usize>,
    running: AtomicUsize,
    running_max: AtomicUsize,
    connections: AtomicUsize,
    bus: broadcast::Sender<(u64, Arc<str>)>,
    watchers: watch::Sender<usize>,
    /// Connections of another generation end: the daemon was restarted.
    generation: watch::Sender<u64>,
    /// Watchers of another generation are cut off.
    bus_generation: watch::Sender<u64>,
    lock: tokio::sync::Mutex<()>,
}

struct Table {
    nodes: BTreeMap<String, Node>,
    flows: HashMap<SocketAddr, String>,
    state: u8,
    up: bool,
    old: bool,
    fault: Option<Fault>,
    bus_delay: Duration,
    bus_refused: Option<u16>,
}

impl Default for Tailscaled {
    fn default() -> Self {
        Self::new()
    }
}

fn hold<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

impl Tailscaled {
    /// A running daemon on a tailnet without nodes.
    #[must_use]
    pub fn new() -> Self {
        Self {
            shared: Arc::new(Shared {
                table: Mutex::new(Table {
                    nodes: BTreeMap::new(),
                    flows: HashMap::new(),
                    state: state::RUNNING,
                    up: true,
                    old: false,
                    fault: None,
                    bus_delay: Duration::ZERO,
                    bus_refused: None,
                }),
                calls: Mutex::default(),
                took: Mutex::default(),
                asked: watch::channel(0).0,
                running: AtomicUsize::new(0),
                running_max: AtomicUsize::new(0),
                connections: AtomicUsize::new(0),
                bus: broadcast::channel(BUS_LINES).0,
                watchers: watch::channel(0).0,
                generation: watch::channel(0).0,
                bus_generation: watch::channel(0).0,
                lock: tokio::sync::Mutex::default(),
            }),
        }
    }

    /// Adds a node, or replaces the one with its stable id; watchers are told.
    pub fn put(&self, node: Node) {
        let line = json!({ "PeersChanged": [node.to_json()] });
        hold(&self.shared.table)
            .nodes
            .insert(node.stable_id.clone(), node);
        self.tell(MASK_PEERS, &line);
    }

    /// Changes a node in place; watchers are told.
    ///
    /// # Panics
    /// There is no such node.
    pub fn change(&self, stable_id: &str, change: impl FnOnce(&mut Node)) {
        let node = self.edit(stable_id, change);
        self.tell(MASK_PEERS, &json!({ "PeersChanged": [node.to_json()] }));
    }

    /// Changes what a node is granted; nobody is told, as in real life.
    ///
    /// # Panics
    /// There is no such node.
    pub fn grant(&self, stable_id: &str, cap_map: Value) {
        self.edit(stable_id, |node| node.cap_map = cap_map);
    }

    fn edit(&self, stable_id: &str, change: impl FnOnce(&mut Node)) -> Node {
        let mut table = hold(&self.shared.table);
        let node = table
            .nodes
            .get_mut(stable_id)
            .unwrap_or_else(|| panic!("no node {stable_id}"));
        change(node);
        node.clone()
    }

    /// Changes the profile of a user on all of the user's nodes; watchers are told the profile.
    pub fn set_user(&self, user: &User) {
        for node in hold(&self.shared.table).nodes.values_mut() {
            if node.user.id == user.id {
                node.user = user.clone();
            }
        }
        let mut profiles = serde_json::Map::new();
        profiles.insert(user.id.to_string(), user.to_json());
        self.tell(MASK_PEERS, &json!({ "UserProfiles": profiles }));
    }

    /// Removes a node; watchers are told.
    pub fn remove(&self, stable_id: &str) {
        let removed = hold(&self.shared.table).nodes.remove(stable_id);
        if let Some(node) = removed {
            self.tell(MASK_PEERS, &json!({ "PeersRemoved": [node.id] }));
        }
    }

    /// Userspace networking: the node speaks to us from this address of our own.
    pub fn flow(&self, from: SocketAddr, stable_id: &str) {
        hold(&self.shared.table).flows.insert(from, stable_id.into());
    }

    /// The connection of a flow has ended.
    pub fn end_flow(&self, from: SocketAddr) {
        hold(&self.shared.table).flows.remove(&from);
    }

    /// Sets the state (see [`state`]); watchers are told.
    pub fn set_state(&self, state: u8) {
        hold(&self.shared.table).state = state;
        self.tell(u64::MAX, &json!({ "State": state }));
    }

    /// Answers every `whois` wrongly from now on, or rightly.
    pub fn set_fault(&self, fault: Option<Fault>) {
        hold(&self.shared.table).fault = fault;
    }

    /// Behaves as a daemon that does not know the newer watch bits.
    pub fn set_old(&self, old: bool) {
        hold(&self.shared.table).old = old;
    }

    /// Refuses watchers with this status from now on, or takes them again.
    pub fn refuse_bus(&self, status: Option<u16>) {
        hold(&self.shared.table).bus_refused = status;
    }

    /// Lets every line of the bus wait before it goes out.
    pub fn delay_bus(&self, delay: Duration) {
        hold(&self.shared.table).bus_delay = delay;
    }

    /// Cuts every watcher off.
    pub fn cut_bus(&self) {
        self.shared
            .bus_generation
            .send_modify(|generation| *generation += 1);
    }

    /// Puts a line of any text on the bus.
    pub fn say(&self, line: &str) {
        let _ = self.shared.bus.send((u64::MAX, line.into()));
    }

    /// Ends every connection and takes no new one, until [`Self::start`].
    pub fn stop(&self) {
        hold(&self.shared.table).up = false;
        self.shared.generation.send_modify(|generation| *generation += 1);
    }

    /// Takes connections again.
    pub fn start(&self) {
        hold(&self.shared.table).up = true;
    }

    /// The requests that came, oldest first.
    #[must_use]
    pub fn calls(&self) -> Vec<Call> {
        hold(&self.shared.calls).clone()
    }

    /// How many `whois` requests came.
    #[must_use]
    pub fn whois_count(&self) -> usize {
        *self.shared.asked.borrow()
    }

    /// The most `whois` requests that were under way at a time.
    #[must_use]
    pub fn whois_running_max(&self) -> usize {
        self.shared.running_max.load(Ordering::Relaxed)
    }

    /// How long each `whois` took, from its request to its answer going out, oldest end first.
    #[must_use]
    pub fn whois_took(&self) -> Vec<Duration> {
        hold(&self.shared.took).clone()
    }

    /// Connections that were taken.
    #[must_use]
    pub fn connections(&self) -> usize {
        self.shared.connections.load(Ordering::Relaxed)
    }

    /// Waits until at least this many `whois` requests have come.
    pub async fn until_asked(&self, count: usize) {
        let _ = self
            .shared
            .asked
            .subscribe()
            .wait_for(|seen| *seen >= count)
            .await;
    }

    /// Waits until at least this many watchers have been told the beginning.
    pub async fn until_watched(&self, count: usize) {
        let _ = self
            .shared
            .watchers
            .subscribe()
            .wait_for(|seen| *seen >= count)
            .await;
    }

    /// Waits until no watcher is left.
    pub async fn until_unwatched(&self) {
        let _ = self.shared.watchers.subscribe().wait_for(|seen| *seen == 0).await;
    }

    /// A connection in memory.
    ///
    /// # Errors
    /// The daemon is stopped.
    pub fn dial(&self) -> io::Result<tokio::io::DuplexStream> {
        if !hold(&self.shared.table).up {
            return Err(io::ErrorKind::ConnectionRefused.into());
        }
        let (ours, theirs) = tokio::io::duplex(64 << 10);
        let daemon = self.clone();
        tokio::spawn(async move { daemon.attend(ours).await });
        Ok(theirs)
    }

    /// Serves one connection until one of both ends it.
    pub async fn attend(&self, stream: impl AsyncRead + AsyncWrite + Unpin) {
        let mut generation = self.shared.generation.subscribe();
        if !hold(&self.shared.table).up {
            return;
        }
        let number = self.shared.connections.fetch_add(1, Ordering::Relaxed) + 1;
        tokio::select! {
            _ = generation.changed() => {}
            _ = http::connection(self, stream, number) => {}
        }
    }

    fn tell(&self, mask: u64, line: &Value) {
        // Without a watcher nobody misses it.
        let _ = self.shared.bus.send((mask, line.to_string().into()));
    }

    fn note(&self, target: &str, status: u16, connection: usize) {
        hold(&self.shared.calls).push(Call {
            target: target.into(),
            status,
            connection,
        });
    }

    /// Who is at this address? `Err` is a status and a text.
    async fn whois(&self, addr: &str, proto: &str) -> Result<Value, (u16, &'static str)> {
        if !matches!(proto, "" | "tcp" | "udp") {
            return Err((400, "invalid 'proto' parameter\n"));
        }
        // The daemon's main lock is held while an unknown port is waited for.
        let _lock = self.shared.lock.lock().await;
        if addr.starts_with("nodekey:") {
            return self.find(|node| node.key == addr);
        }
        if let Ok(ip) = addr.parse::<IpAddr>() {
            return self.find(|node| node.addresses.contains(&ip));
        }
        let Ok(flow) = addr.parse::<SocketAddr>() else {
            return Err((400, "invalid 'addr' parameter\n"));
        };
        let by_ip = self.find(|node| node.addresses.contains(&flow.ip()));
        if by_ip.is_ok() {
            return by_ip;
        }
        let by_flow = || {
            let stable_id = hold(&self.shared.table).flows.get(&flow).cloned();
            stable_id.map(|stable_id| self.find(|node| node.stable_id == stable_id))
        };
        if let Some(found) = by_flow() {
            return found;
        }
        tokio::time::sleep(if proto.is_empty() { STALL * 2 } else { STALL }).await;
        by_flow().unwrap_or(Err((404, "no match for IP:port\n")))
    }

    fn find(&self, matches: impl Fn(&Node) -> bool) -> Result<Value, (u16, &'static str)> {
        let table = hold(&self.shared.table);
        let node = table.nodes.values().find(|node| matches(node));
        node.map(Node::whois).ok_or((404, "no match for IP:port\n"))
    }

    /// What a watcher is told first.
    fn beginning(&self, mask: u64) -> Value {
        let table = hold(&self.shared.table);
        let mut line = serde_json::Map::new();
        line.insert("Version".into(), "1.103.0-mock".into());
        if mask & MASK_STATE != 0 {
            line.insert("SessionID".into(), "0123456789abcdef".into());
            line.insert("State".into(), table.state.into());
        }
        if mask & MASK_STATUS != 0 && !table.old {
            line.insert("InitialStatus".into(), status(&table));
        }
        if mask & MASK_NET_MAP != 0 {
            let peers: Vec<Value> = table.nodes.values().map(Node::to_json).collect();
            line.insert("NetMap".into(), json!({ "Peers": peers }));
        }
        Value::Object(line)
    }

    /// A line of the bus as a watcher with this mask gets it, if at all.
    fn as_told(&self, mask: u64, wanted: u64, line: &str) -> Option<String> {
        let table = hold(&self.shared.table);
        if wanted == u64::MAX {
            return Some(line.to_owned());
        }
        if table.old {
            // Old daemons send the whole map again.
            let peers: Vec<Value> = table.nodes.values().map(Node::to_json).collect();
            return Some(json!({ "NetMap": { "Peers": peers } }).to_string());
        }
        (mask & wanted != 0).then(|| line.to_owned())
    }
}

fn status(table: &Table) -> Value {
    let name = match table.state {
        state::RUNNING => "Running",
        state::STARTING => "Starting",
        state::STOPPED => "Stopped",
        state::NEEDS_LOGIN => "NeedsLogin",
        _ => "NoState",
    };
    json!({
        "Version": "1.103.0-mock", "BackendState": name, "TUN": table.flows.is_empty(),
        "TailscaleIPs": ["100.64.0.254"], "Self": {"ID": "nSELF", "HostName": "gateway"}, "Peer": {},
    })
}
