//! Asking the gateway itself whether it is ready.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::time::Duration;

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

/// Pause between two questions.
const PAUSE: Duration = Duration::from_millis(20);
/// Patience with one answer. Before the data plane runs, a connection only waits in the backlog.
const PATIENCE: Duration = Duration::from_secs(5);

/// Waits until `/readyz` at this address answers 200.
pub(super) async fn ready(address: SocketAddr) {
    let address = reachable(address);
    loop {
        if matches!(tokio::time::timeout(PATIENCE, ask(address)).await, Ok(Ok(true))) {
            return;
        }
        tokio::time::sleep(PAUSE).await;
    }
}

async fn ask(address: SocketAddr) -> std::io::Result<bool> {
    let mut stream = TcpStream::connect(address).await?;
    let question = format!("GET /readyz HTTP/1.1\r\nhost: {address}\r\nconnection: close\r\n\r\n");
    stream.write_all(question.as_bytes()).await?;
    let mut status_line = [0; 12];
    stream.read_exact(&mut status_line).await?;
    Ok(&status_line == b"HTTP/1.1 200")
}

/// An address that this machine can connect to: "any" becomes loopback.
pub(super) fn reachable(address: SocketAddr) -> SocketAddr {
    let ip = match address.ip() {
        IpAddr::V4(ip) if ip.is_unspecified() => IpAddr::V4(Ipv4Addr::LOCALHOST),
        IpAddr::V6(ip) if ip.is_unspecified() => IpAddr::V6(Ipv6Addr::LOCALHOST),
        ip => ip,
    };
    SocketAddr::new(ip, address.port())
}
