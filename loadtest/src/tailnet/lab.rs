//! The place where scenarios are played: a daemon, a provider, a gateway, and people to come.

use std::collections::{BTreeMap, BTreeSet};
use std::net::{IpAddr, Ipv4Addr, SocketAddr, TcpListener};
use std::os::unix::fs::{MetadataExt as _, PermissionsExt as _};
use std::path::Path;
use std::sync::atomic::{AtomicU32, Ordering};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, bail};
use serde_json::{Value, json};
use tokio::task::JoinHandle;

use super::link::{Answer, Link};
use crate::mock::{Mock, MockOptions};
use crate::process::{self, Spawned};
use crate::tailscaled::{Node, Socket, Tailscaled, User};

/// Whatever is waited for comes within this time, unless it never comes.
pub(super) const PATIENCE: Duration = Duration::from_secs(60);
/// Pause between two looks at something.
pub(super) const PAUSE: Duration = Duration::from_millis(2);
/// Nodes that come at a time. The daemon cuts off who is 128 lines behind.
const BATCH: usize = 48;
/// Node by which is seen that everything told before it has been heard.
const SENTINEL: &str = "n2";
const SENTINEL_AT: IpAddr = IpAddr::V4(Ipv4Addr::new(100, 64, 0, 2));
const ADMIN_AT: IpAddr = IpAddr::V4(Ipv4Addr::new(100, 64, 0, 1));

/// By which source the gateway knows people.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Source {
    Tailscale,
    /// The same addresses, out of the document.
    Static,
}

/// Somebody's machine on the tailnet.
#[derive(Clone, Debug)]
pub(super) struct Peer {
    pub(super) stable_id: String,
    pub(super) address: IpAddr,
    pub(super) login: String,
    /// The model that only this peer asks for, so that records tell who asked.
    pub(super) model: String,
}

/// The gateway and everything around it.
pub(super) struct Lab {
    pub(super) daemon: Tailscaled,
    pub(super) gateway: SocketAddr,
    socket: Mutex<Socket>,
    process: Spawned,
    provider: JoinHandle<()>,
    next: AtomicU32,
    /// Who may be recorded as having asked for a model.
    expected: Mutex<BTreeMap<String, BTreeSet<String>>>,
}

impl Drop for Lab {
    fn drop(&mut self) {
        self.provider.abort();
    }
}

fn hold<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

/// What only the tailnet's own policy gives, as its grants stand in an answer.
pub(super) fn extra() -> Value {
    json!({"tailscale.com/cap/aperture": [{"role": "user", "models": "mock/mock-extra"}]})
}

/// The model that only [`extra`] gives.
pub(super) const EXTRA: &str = "mock-extra";

fn document(source: Source, upstream: SocketAddr, listen: SocketAddr, socket: &Path, owner: u32) -> Value {
    let identity = match source {
        Source::Tailscale => {
            json!({"sources": ["tailscale"], "tailscale": {"socket": socket, "owner": owner}})
        }
        Source::Static => json!({"sources": ["static"], "static": [
            {"cidr": "100.64.0.0/10", "login": "somebody@example.com", "groups": ["group:eng"]},
            {"cidr": format!("{ADMIN_AT}/32"), "login": "admin@example.com"},
        ]}),
    };
    let models = json!({"role": "user", "models": ["mock/mock-who-*"]});
    json!({
        "providers": {"mock": {"baseurl": format!("http://{upstream}"), "apikey": "mock-key", "models": ["mock-*"],
                               "compatibility": {"openai_chat": true}}},
        "identity": identity,
        "listeners": [{"address": listen, "proxy_protocol": ["127.0.0.1/32"]}],
        "grants": [
            {"src": ["admin@example.com"], "capabilities": [{"role": "admin", "models": ["mock/*"], "read_metrics": true}]},
            {"src": ["login@example.com"], "capabilities": [models]},
            {"src": ["group:eng"], "capabilities": [models]},
            {"src": ["tag:ci"], "capabilities": [models, {"models": ["mock/mock-ci-*"]}]},
        ],
    })
}

impl Lab {
    /// Starts everything in `folder` and waits until the gateway knows its admin.
    pub(super) async fn start(sluice: &Path, shards: u32, source: Source, folder: &Path) -> Result<Self> {
        let place = folder.join(match source {
            Source::Tailscale => "tailscale",
            Source::Static => "static",
        });
        std::fs::create_dir(&place)?;
        std::fs::set_permissions(&place, std::fs::Permissions::from_mode(0o755))?;
        let daemon = Tailscaled::new();
        daemon.put(Node::person(
            1,
            &ADMIN_AT.to_string(),
            User::new(1_001, "admin@example.com"),
        ));
        daemon.put(Node::tagged(2, &SENTINEL_AT.to_string(), &["tag:ci"]));
        let path = place.join("tailscaled.sock");
        let socket = Socket::bind(&daemon, &path)?;
        let mock = Mock::new(MockOptions::default());
        let listener = tokio::net::TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await?;
        let upstream = listener.local_addr()?;
        let provider = tokio::spawn(async move {
            // It ends with the scenarios.
            let _ = mock.serve(listener).await;
        });
        // Free now; if another process takes it meanwhile, the start fails visibly.
        let gateway = TcpListener::bind((Ipv4Addr::LOCALHOST, 0))?.local_addr()?;
        let owner = std::fs::metadata(&place)?.uid();
        let config = place.join("sluice.hujson");
        let text = document(source, upstream, gateway, &path, owner).to_string();
        std::fs::write(&config, text)?;
        let command = [
            sluice.display().to_string(),
            "up".into(),
            "--config".into(),
            config.display().to_string(),
            "--data".into(),
            place.join("data").display().to_string(),
            "--shards".into(),
            shards.to_string(),
        ];
        let process = Spawned::start(&command, None, &place, "sluice")?;
        let mut lab = Self {
            daemon,
            gateway,
            socket: Mutex::new(socket),
            process,
            provider,
            next: AtomicU32::new(10),
            expected: Mutex::default(),
        };
        lab.await_admin()
            .await
            .with_context(|| format!("its output is in {}", place.display()))?;
        if source == Source::Tailscale {
            lab.daemon.until_watched(1).await;
        }
        Ok(lab)
    }

    async fn await_admin(&mut self) -> Result<()> {
        let begin = Instant::now();
        let mut last = "no try yet".to_owned();
        while begin.elapsed() < PATIENCE {
            if self.process.ended() {
                bail!("the gateway ended while starting");
            }
            let answer = async { self.open(ADMIN_AT).await?.get("/api/health").await };
            match answer.await {
                Ok(answer) if answer.status == 200 => return Ok(()),
                Ok(answer) => last = format!("status {}", answer.status),
                Err(error) => last = format!("{error:#}"),
            }
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
        bail!("the gateway did not answer: {last}")
    }

    /// A connection from an address of the tailnet, or any other.
    pub(super) async fn open(&self, from: IpAddr) -> Result<Link> {
        Link::open(self.gateway, from).await
    }

    /// A short call on a connection of its own.
    pub(super) async fn call(&self, from: IpAddr, model: &str) -> Result<Answer> {
        self.open(from).await?.call(model).await
    }

    /// A short call of a peer.
    pub(super) async fn ask(&self, peer: &Peer) -> Result<Answer> {
        self.call(peer.address, &peer.model).await
    }

    /// The process id of the data plane.
    pub(super) fn data_plane(&self) -> Option<u32> {
        process::tree(&[self.process.pid()]).into_iter().find(|pid| {
            let line = std::fs::read(format!("/proc/{pid}/cmdline")).unwrap_or_default();
            line.split(|b| *b == 0).any(|word| word == b"dataplane")
        })
    }

    /// A number that no node bears.
    pub(super) fn number(&self) -> u32 {
        self.next.fetch_add(1, Ordering::Relaxed)
    }

    /// Somebody whom the daemon does not know yet, with the node that would make them known.
    pub(super) fn stranger(&self) -> (Peer, Node) {
        let number = self.number();
        let [_, _, c, d] = number.to_be_bytes();
        let address = IpAddr::V4(Ipv4Addr::new(100, 65, c, d));
        let login = format!("u{number}@example.com");
        let mut user = User::new(1_000 + i64::from(number), &login);
        user.groups.push("group:eng".into());
        let node = Node::person(i64::from(number), &address.to_string(), user);
        let peer = Peer {
            stable_id: node.stable_id.clone(),
            address,
            model: format!("mock-who-{number}"),
            login,
        };
        self.expect(&peer.model, &peer.login);
        (peer, node)
    }

    /// Somebody who is let in, and of whom the gateway has not heard.
    pub(super) async fn person(&self) -> Result<Peer> {
        self.people(1).await?.pop().context("nobody came")
    }

    /// As many.
    pub(super) async fn people(&self, count: usize) -> Result<Vec<Peer>> {
        let mut peers = Vec::new();
        while peers.len() < count {
            for _ in peers.len()..count.min(peers.len().saturating_add(BATCH)) {
                let (peer, node) = self.stranger();
                self.daemon.put(node);
                peers.push(peer);
            }
            self.heard().await?;
        }
        Ok(peers)
    }

    /// Waits until the control plane has heard everything that the daemon has told.
    pub(super) async fn heard(&self) -> Result<()> {
        let mut link = self.open(SENTINEL_AT).await?;
        for (tag, status) in [("tag:none", 403), ("tag:ci", 200)] {
            self.daemon.change(SENTINEL, |node| node.tags = vec![tag.into()]);
            let begin = Instant::now();
            loop {
                // A retagged machine is cut, so the connection may have to be made again.
                match link.call("mock-who-sentinel").await {
                    Ok(answer) if answer.status == status => {
                        if answer.close {
                            link = self.open(SENTINEL_AT).await?;
                        }
                        break;
                    }
                    Ok(answer) if !answer.close => {}
                    _ => link = self.open(SENTINEL_AT).await?,
                }
                if begin.elapsed() > PATIENCE {
                    bail!("a change at the daemon was not heard");
                }
                tokio::time::sleep(PAUSE).await;
            }
        }
        Ok(())
    }

    /// How often the daemon was asked about these addresses.
    pub(super) fn asked(&self, addresses: &BTreeSet<IpAddr>) -> usize {
        let calls = self.daemon.calls();
        calls
            .iter()
            .filter(|call| asked_address(&call.target).is_some_and(|ip| addresses.contains(&ip)))
            .count()
    }

    /// The daemon and its socket go.
    pub(super) fn down(&self) {
        hold(&self.socket).down();
    }

    /// And come back.
    pub(super) fn up(&self) -> Result<()> {
        Ok(hold(&self.socket).up()?)
    }

    /// Who asks for this model may be recorded under this name.
    pub(super) fn expect(&self, model: &str, login: &str) {
        let mut expected = hold(&self.expected);
        expected.entry(model.into()).or_default().insert(login.into());
    }

    /// Who was recorded as having asked for these models, once all of them are recorded as served.
    pub(super) async fn served(&self, models: &BTreeSet<&str>) -> Result<BTreeMap<String, String>> {
        let begin = Instant::now();
        loop {
            let records = self.all_records().await?;
            let served = records.iter().filter(|record| is_served(record));
            let named = served.map(|record| (text(record, "model_asked"), text(record, "user")));
            let users: BTreeMap<String, String> = named
                .filter(|(model, _)| models.contains(model))
                .map(|(model, user)| (model.to_owned(), user.to_owned()))
                .collect();
            if users.len() >= models.len() {
                return Ok(users);
            }
            if begin.elapsed() > PATIENCE {
                bail!("{} of {} requests are recorded", users.len(), models.len());
            }
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
    }

    async fn all_records(&self) -> Result<Vec<Value>> {
        let mut link = self.open(ADMIN_AT).await?;
        let mut records = Vec::new();
        let mut after = String::new();
        loop {
            let answer = link.get(&format!("/api/requests?limit=1000{after}")).await?;
            if answer.status != 200 {
                bail!("/api/requests: status {}", answer.status);
            }
            let mut page: Value = serde_json::from_slice(&answer.body)?;
            if let Some(Value::Array(found)) = page.get_mut("requests").map(Value::take) {
                records.extend(found);
            }
            let Some(next) = page.get("next_cursor").and_then(Value::as_str) else {
                return Ok(records);
            };
            after = format!("&cursor={next}");
            if answer.close {
                link = self.open(ADMIN_AT).await?;
            }
        }
    }

    /// Compares every record with who may have asked. Gives how many were compared, and those that name another.
    pub(super) async fn wrong_names(&self) -> Result<(usize, Vec<String>)> {
        let records = self.all_records().await?;
        let expected = hold(&self.expected);
        let mut compared = 0;
        let mut wrong = Vec::new();
        for record in &records {
            let (model, user) = (text(record, "model_asked"), text(record, "user"));
            let served = is_served(record);
            let Some(may_be) = expected.get(model) else {
                continue;
            };
            compared += 1;
            // Who was let in is named; who was not may be nobody.
            if !may_be.contains(user) && (served || !user.is_empty()) {
                wrong.push(format!(
                    "{model} was asked for by {may_be:?} and recorded for {user:?}"
                ));
            }
        }
        Ok((compared, wrong))
    }
}

fn is_served(record: &Value) -> bool {
    record.get("status").and_then(Value::as_u64) == Some(200)
}

fn text<'v>(record: &'v Value, field: &str) -> &'v str {
    record.get(field).and_then(Value::as_str).unwrap_or_default()
}

/// The address of a `whois` question.
fn asked_address(target: &str) -> Option<IpAddr> {
    let (_, query) = target.split_once("/whois?")?;
    let value = query.split('&').find_map(|pair| pair.strip_prefix("addr="))?;
    let value = value.replace("%3A", ":").replace("%5B", "[").replace("%5D", "]");
    value
        .parse()
        .or_else(|_| value.parse::<SocketAddr>().map(|at| at.ip()))
        .ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn questions_name_their_address() {
        let check = |target: &str, expected: Option<&str>| {
            let expected = expected.map(|ip| ip.parse().unwrap());
            assert_eq!(asked_address(target), expected, "{target}");
        };
        check("/localapi/v0/whois?addr=100.64.0.1&proto=tcp", Some("100.64.0.1"));
        check(
            "/localapi/v0/whois?proto=tcp&addr=100.64.0.1%3A80",
            Some("100.64.0.1"),
        );
        check("/localapi/v0/whois?addr=%5Bfd7a%3A%3A1%5D%3A80", Some("fd7a::1"));
        check("/localapi/v0/status", None);
    }
}
