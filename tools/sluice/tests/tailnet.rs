//! The whole way of a tailnet identity: the daemon (a stand-in), the control plane, the data plane, a client's stream.
//!
//! Clients in a test come from loopback, so the daemon plays userspace networking: it says which node speaks from which
//! local port.

#![allow(clippy::print_stdout, reason = "a figure of the run")]

#[path = "up/gateway.rs"]
#[allow(dead_code, reason = "shared with the other tests of the program")]
mod gateway;

use std::fs;
use std::io::{Read, Write};
use std::net::TcpStream;
use std::os::unix::fs::MetadataExt;
use std::time::Instant;

use gateway::{Gateway, folder, until};
use serde_json::json;
use sluice_loadtest::mock::{self, MockOptions};
use sluice_loadtest::tailscaled::{Node, Socket, Tailscaled, User};

struct Tailnet {
    daemon: Tailscaled,
    gateway: Gateway,
    socket: Socket,
    runtime: tokio::runtime::Runtime,
}

fn start() -> Tailnet {
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .worker_threads(1)
        .enable_all()
        .build()
        .expect("a runtime");
    let folder = folder(true);
    let path = folder.path().join("tailscaled.sock");
    let daemon = Tailscaled::new();
    daemon.put(Node {
        cap_map: json!({"tailscale.com/cap/aperture": [{"role": "user"}, {"models": "mock/**"}]}),
        ..Node::person(1, "100.64.0.1", User::new(45, "alice@example.com"))
    });
    daemon.put(Node::tagged(2, "100.64.0.2", &["tag:ci"]));
    let (socket, provider) = runtime.block_on(async {
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0")
            .await
            .expect("a port");
        let provider = listener.local_addr().expect("an address");
        tokio::spawn(mock::serve(listener, MockOptions::default()));
        (Socket::bind(&daemon, &path).expect("a socket"), provider)
    });
    let owner = folder.path().metadata().expect("a folder").uid();
    let document = json!({
        "providers": {"mock": {"baseurl": format!("http://{provider}"), "models": ["m"]}},
        "grants": [],
        "identity": {"sources": ["tailscale"], "tailscale": {"socket": path, "userspace": true, "owner": owner}},
    });
    let file = folder.path().join("sluice.hujson");
    fs::write(&file, document.to_string()).expect("a document");
    let name = file.to_string_lossy().into_owned();
    let gateway = Gateway::start_in(folder, &["--config", &name], &[]);
    runtime.block_on(daemon.until_watched(1));
    Tailnet {
        daemon,
        gateway,
        socket,
        runtime,
    }
}

impl Tailnet {
    /// A connection of a node; the daemon knows its port from the beginning, or a moment later.
    fn connect(&self, node: Option<&str>) -> TcpStream {
        let stream = TcpStream::connect(self.gateway.address()).expect("a connection");
        if let Some(node) = node {
            self.daemon.flow(stream.local_addr().expect("an address"), node);
        }
        stream
    }

    fn send(&self, node: Option<&str>, body: &serde_json::Value, lines: &str) -> TcpStream {
        let mut stream = self.connect(node);
        let body = body.to_string();
        let request = format!(
            "POST /v1/chat/completions HTTP/1.1\r\nhost: x\r\ncontent-type: application/json\r\n\
             content-length: {}\r\nconnection: close\r\n{lines}\r\n{body}",
            body.len()
        );
        stream.write_all(request.as_bytes()).expect("a request sent");
        stream
    }

    /// Status of a request; `None` if the connection was cut: in userspace a removed node takes everybody of the
    /// loopback address with it.
    fn status(&self, node: Option<&str>) -> Option<u16> {
        let body = json!({"model": "m", "messages": [{"role": "user", "content": "hi"}]});
        let mut answer = String::new();
        // A reset is a cut as well.
        let _ = self.send(node, &body, "").read_to_string(&mut answer);
        answer.split(' ').nth(1)?.parse().ok()
    }

    /// Waits until a request is answered like this.
    fn until_status(&self, node: Option<&str>, status: u16) {
        until("the status", || (self.status(node) == Some(status)).then_some(()));
    }
}

#[test]
fn a_node_is_let_in_by_the_tailnets_grants_and_cut_when_it_is_removed() {
    let tailnet = start();
    // On a busy machine an answer may come too late at first, which is 503.
    tailnet.until_status(Some("n1"), 200);
    // Known, and granted nothing.
    tailnet.until_status(Some("n2"), 403);
    // A process of this machine is nobody, as soon as the control plane listens to the daemon's bus.
    tailnet.until_status(None, 403);

    let body = json!({"model": "m", "stream": true, "messages": [{"role": "user", "content": "hi"}]});
    let endless = "x-mock-events: 100000\r\nx-mock-gap-ms: 20\r\n";
    let mut stream = until("a stream", || {
        let mut stream = tailnet.send(Some("n1"), &body, endless);
        let mut first = [0; 12];
        stream
            .read_exact(&mut first)
            .expect("the beginning of the answer");
        (&first == b"HTTP/1.1 200").then_some(stream)
    });
    let began = Instant::now();
    tailnet.daemon.remove("n1");
    let mut rest = Vec::new();
    // An end or a reset: the stream is over either way.
    let _ = stream.read_to_end(&mut rest);
    println!("removed to cut: {:?}", began.elapsed());
    assert!(!rest.ends_with(b"0\r\n\r\n"), "no clean end");
    assert!(!String::from_utf8_lossy(&rest).contains("[DONE]"));
    tailnet.until_status(Some("n1"), 403);
    tailnet.gateway.stop();
}

#[test]
fn without_the_daemon_nobody_comes_in_and_with_it_everybody_again() {
    let mut tailnet = start();
    tailnet.until_status(Some("n1"), 200);
    tailnet.socket.down();
    assert_ne!(tailnet.status(Some("n1")), Some(200), "nobody is let in");
    tailnet.until_status(Some("n1"), 503);
    {
        let _entered = tailnet.runtime.enter();
        tailnet.socket.up().expect("the socket is free");
    }
    tailnet.until_status(Some("n1"), 200);
    tailnet.gateway.stop();
}
