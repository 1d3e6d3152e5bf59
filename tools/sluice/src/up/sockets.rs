//! The listening sockets: bound by the supervisor and kept by it, one a shard and address.
//!
//! They live as long as the supervisor, so that while a data plane is being started again connections wait in the
//! backlog. Several sockets on one address share the connections by `SO_REUSEPORT`; that option would also let two
//! instances share a port unnoticed, hence the probe without it.

use std::net::{SocketAddr, TcpListener};

use anyhow::{Context, Result};
use tokio::net::TcpSocket;

/// Connections that wait for `accept`; the kernel caps it at `net.core.somaxconn`.
const BACKLOG: u32 = 4_096;

/// The sockets of all addresses.
#[derive(Debug)]
pub(super) struct Sockets {
    /// The addresses in effect, ports filled in.
    pub(super) addresses: Vec<SocketAddr>,
    /// Address by address, `shards` sockets each.
    pub(super) listeners: Vec<TcpListener>,
}

impl Sockets {
    /// Binds `shards` sockets to every address. Port 0 takes any free one. Needs a tokio context.
    ///
    /// # Errors
    /// If an address is taken or is not one of this machine.
    pub(super) fn bind(wanted: &[SocketAddr], shards: u16) -> Result<Self> {
        let mut sockets = Self {
            addresses: Vec::new(),
            listeners: Vec::new(),
        };
        for &wanted in wanted {
            let refused = || format!("cannot listen on {wanted}");
            // std's listener sets SO_REUSEADDR, never SO_REUSEPORT: old connections do not hinder, a listener does.
            let probe = TcpListener::bind(wanted).with_context(refused)?;
            let address = probe.local_addr().with_context(refused)?;
            drop(probe);
            for _ in 0..shards {
                sockets.listeners.push(one(address).with_context(refused)?);
            }
            sockets.addresses.push(address);
        }
        Ok(sockets)
    }
}

fn one(address: SocketAddr) -> std::io::Result<TcpListener> {
    let socket = if address.is_ipv4() {
        TcpSocket::new_v4()
    } else {
        TcpSocket::new_v6()
    }?;
    socket.set_reuseaddr(true)?;
    socket.set_reuseport(true)?;
    socket.bind(address)?;
    socket.listen(BACKLOG)?.into_std()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn shards_share_a_port_and_instances_do_not() {
        let any = "127.0.0.1:0".parse().unwrap();
        let sockets = Sockets::bind(&[any, any], 3).unwrap();
        assert_eq!(sockets.listeners.len(), 6);
        assert_ne!(sockets.addresses[0].port(), 0);
        assert_ne!(sockets.addresses[0], sockets.addresses[1]);
        for (n, listener) in sockets.listeners.iter().enumerate() {
            assert_eq!(listener.local_addr().unwrap(), sockets.addresses[n / 3]);
        }
        let refused = Sockets::bind(&sockets.addresses[..1], 1).unwrap_err();
        let cause = refused.downcast_ref::<std::io::Error>().unwrap();
        assert_eq!(cause.kind(), std::io::ErrorKind::AddrInUse);
    }
}
