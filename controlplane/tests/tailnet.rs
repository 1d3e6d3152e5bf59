//! From the tailnet's daemon to the data plane: a control plane with a document, a stand-in for the daemon on a Unix
//! socket, and the control socket's other side.

#![allow(clippy::unwrap_used, clippy::expect_used, reason = "tests")]

#[path = "support/data.rs"]
mod data;

use std::os::unix::fs::MetadataExt as _;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use data::Data;
use sluice_controlplane::Options;
use sluice_loadtest::tailscaled::{Node, Socket, Tailscaled, User};
use sluice_shared::snapshot::address_bits;
use sluice_shared::wire::control::{IdentityAnswer, ToData, Whom};
use tokio::task::JoinHandle;

const A: &str = "100.64.0.1";

struct Plane {
    folder: tempfile::TempDir,
    running: JoinHandle<()>,
}

impl Drop for Plane {
    fn drop(&mut self) {
        self.running.abort();
    }
}

impl Plane {
    fn data(&self) -> PathBuf {
        self.folder.path().join("data")
    }

    /// A document whose `identity.tailscale` says this, beside the socket.
    fn write(folder: &Path, tailscale: &str) {
        let text = format!(
            r#"{{"providers": {{"p": {{"baseurl": "http://127.0.0.1:9", "models": ["m"]}}}},
            "identity": {{"sources": ["tailscale", "static"], "static": [{{"cidr": "0.0.0.0/0", "login": "net"}}],
              "tailscale": {{"socket": "{}"{tailscale}}}}}}}"#,
            folder.join("tailscaled.sock").display()
        );
        std::fs::write(folder.join("sluice.hujson"), text).unwrap();
    }

    fn start(folder: tempfile::TempDir) -> Self {
        let options = Options {
            config_file: Some(folder.path().join("sluice.hujson")),
            data_dir: folder.path().join("data"),
            ..Options::default()
        };
        let running = tokio::spawn(async move {
            sluice_controlplane::run(options, std::future::pending())
                .await
                .unwrap();
        });
        Self { folder, running }
    }

    async fn connect(&self) -> Data {
        until(|| Data::connect(&self.data())).await
    }
}

/// Waits for something that another thread makes true.
async fn until<T>(mut look: impl FnMut() -> Option<T>) -> T {
    let began = Instant::now();
    loop {
        if let Some(found) = look() {
            return found;
        }
        assert!(began.elapsed() < Duration::from_secs(60), "it comes true");
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
}

/// Hears until this is told.
fn until_told(data: &mut Data, wanted: &ToData) {
    if !data.told.contains(wanted) {
        while data.hear() != *wanted {}
    }
    data.told.clear();
}

fn folder() -> (tempfile::TempDir, PathBuf, String) {
    let folder = tempfile::tempdir().unwrap();
    let socket = folder.path().join("tailscaled.sock");
    let owner = format!(", \"owner\": {}", folder.path().metadata().unwrap().uid());
    (folder, socket, owner)
}

fn tailnet() -> Tailscaled {
    let daemon = Tailscaled::new();
    daemon.put(Node::person(1, A, User::new(45, "alice@example.com")));
    daemon.put(Node::person(2, "100.64.0.2", User::new(46, "bob@example.com")));
    daemon
}

fn shown(answer: &IdentityAnswer) -> String {
    match answer {
        IdentityAnswer::Known { principal, .. } => principal.login.clone(),
        IdentityAnswer::Unknown { .. } => "unknown".into(),
        IdentityAnswer::Unavailable { .. } => "unavailable".into(),
        other => format!("{other:?}"),
    }
}

fn forget(address: &str, cut: bool) -> ToData {
    ToData::Forget {
        whom: Whom::Address(address_bits(address.parse().unwrap())),
        cut,
    }
}

const OUTDATED: ToData = ToData::Forget {
    whom: Whom::Everyone,
    cut: false,
};

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_removed_node_is_cut_in_every_data_plane() {
    let (folder, socket, owner) = folder();
    let daemon = tailnet();
    let _socket = Socket::bind(&daemon, &socket).unwrap();
    Plane::write(folder.path(), &owner);
    let plane = Plane::start(folder);
    let mut first = plane.connect().await;
    assert!(matches!(first.hear(), ToData::Snapshot { .. }));
    assert_eq!(
        first.hear(),
        OUTDATED,
        "what an earlier control plane said is asked for again"
    );
    let mut second = plane.connect().await;
    assert_eq!(shown(&first.ask(A, 1)), "alice@example.com");
    assert_eq!(shown(&second.ask(A, 2)), "alice@example.com");
    assert_eq!(daemon.whois_count(), 1);
    assert_eq!(shown(&first.ask("10.0.0.1", 1)), "net");
    // A node that nobody knows is left to the next source, once the bus stands.
    daemon.until_watched(1).await;
    until(|| (shown(&first.ask("100.64.9.9", 1)) == "net").then_some(())).await;
    daemon.remove("n1");
    until_told(&mut first, &forget(A, true));
    until_told(&mut second, &forget(A, true));
    assert_eq!(shown(&first.ask(A, 1)), "net");
    assert_eq!(shown(&first.ask("100.64.0.2", 1)), "bob@example.com");
    // Every question was taken: right host, no origin, and nothing but what is allowed.
    for call in daemon.calls() {
        assert!(matches!(call.status, 200 | 404), "{call:?}");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_restart_of_the_daemon_keeps_the_known_and_lets_nobody_new_in() {
    let (folder, path, owner) = folder();
    let daemon = tailnet();
    let mut socket = Socket::bind(&daemon, &path).unwrap();
    Plane::write(folder.path(), &owner);
    let plane = Plane::start(folder);
    let mut data = plane.connect().await;
    assert_eq!(shown(&data.ask(A, 1)), "alice@example.com");
    daemon.until_watched(1).await;
    data.told.clear();
    socket.down();
    assert_eq!(shown(&data.ask(A, 1)), "alice@example.com");
    assert_eq!(
        shown(&data.ask("100.64.0.2", 1)),
        "unavailable",
        "never the next source"
    );
    assert_eq!(shown(&data.ask("10.0.0.1", 1)), "net");
    socket.up().unwrap();
    until_told(&mut data, &OUTDATED);
    until(|| (shown(&data.ask("100.64.0.2", 1)) == "bob@example.com").then_some(())).await;
    assert!(
        !data.told.contains(&forget(A, true)),
        "nobody is cut: {:?}",
        data.told
    );
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_socket_that_is_not_the_daemons_is_not_believed() {
    // As root, somebody else's; as anybody else, our own, which the document does not name.
    let (folder, path, _) = folder();
    let daemon = tailnet();
    let _socket = Socket::bind(&daemon, &path).unwrap();
    if path.metadata().unwrap().uid() == 0 {
        std::os::unix::fs::chown(&path, Some(65_534), None).unwrap();
    }
    Plane::write(folder.path(), "");
    let plane = Plane::start(folder);
    let mut data = plane.connect().await;
    assert_eq!(shown(&data.ask(A, 1)), "unavailable");
    assert_eq!(daemon.connections(), 0);
    // No socket at all.
    std::fs::remove_file(&path).unwrap();
    std::fs::write(&path, "HTTP/1.1 200 OK").unwrap();
    assert_eq!(shown(&data.ask(A, 1)), "unavailable");
    std::fs::remove_file(&path).unwrap();
    assert_eq!(shown(&data.ask(A, 1)), "unavailable");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_document_that_lets_fewer_in_cuts_them() {
    let (folder, path, owner) = folder();
    let daemon = tailnet();
    daemon.change("n2", |node| node.shared = true);
    let _socket = Socket::bind(&daemon, &path).unwrap();
    Plane::write(folder.path(), &format!("{owner}, \"allow_shared\": true"));
    let plane = Plane::start(folder);
    let mut data = plane.connect().await;
    assert_eq!(shown(&data.ask("100.64.0.2", 1)), "bob@example.com");
    assert_eq!(shown(&data.ask(A, 1)), "alice@example.com");
    data.told.clear();
    Plane::write(plane.folder.path(), &owner);
    until_told(&mut data, &forget("100.64.0.2", true));
    assert_eq!(
        shown(&data.ask("100.64.0.2", 1)),
        "unknown",
        "not the next source's"
    );
    assert_eq!(shown(&data.ask(A, 1)), "alice@example.com");
    assert!(!data.told.contains(&forget(A, true)), "{:?}", data.told);
}
