//! Before the first request: the PROXY header of a balancer, then the TLS handshake, both within the limit for a head.
//!
//! All of it lives in one boxed future, so that a connection that needs neither carries no room for it.

use std::pin::Pin;

use sluice_proto::proxy_v2::{self, Origin, Progress, ProxyError};
use sluice_shared::snapshot::address_bits;

use super::Downstream;
use crate::certificate::recheck::Shown;
use crate::clock;
use crate::limits;
use crate::listener::entrance::{Entrance, Security};
use crate::metrics::entrance::{ProxyRefusal, TlsFailure};
use crate::shard::Shard;
use crate::tls::TlsError;
use crate::tls::server::{ServerTls, failure};
use crate::transport::HandshakeError;
use crate::watch::Fired;

/// Does what the entrance asks; `false` if the connection is over.
pub(super) fn enter<'a>(
    conn: &'a mut Downstream,
    entrance: &'a Entrance,
    patience_ms: u64,
) -> Pin<Box<dyn Future<Output = bool> + 'a>> {
    Box::pin(async move {
        let deadline_ms = Shard::now_ms().saturating_add(patience_ms);
        conn.watch.arm_whole(conn.sock.fd(), deadline_ms);
        let entered = proxied(conn, entrance).await && encrypted(conn, entrance).await;
        conn.watch.disarm();
        entered
    })
}

/// Takes a sender's word on whose connection it is.
async fn proxied(conn: &mut Downstream, entrance: &Entrance) -> bool {
    if !entrance.expects_proxy(conn.address) {
        return true;
    }
    let found = header(conn).await;
    let mut metrics = conn.shard.metrics.borrow_mut();
    match found {
        Ok(origin) => {
            metrics.entrance.proxied += 1;
            if let Origin::Peer(peer) = origin {
                conn.address = address_bits(peer.ip());
                conn.port = peer.port();
                conn.watch.set_address(conn.address);
            }
            true
        }
        Err(refusal) => {
            metrics.entrance.refuse(refusal);
            false
        }
    }
}

/// Reads a PROXY header and not a byte more.
async fn header(conn: &Downstream) -> Result<Origin, ProxyRefusal> {
    let mut read: Vec<u8> = Vec::new();
    loop {
        let needs = match proxy_v2::parse(&read) {
            Ok(Progress::Done { origin, .. }) => return Ok(origin),
            Ok(Progress::Needs(bytes)) => bytes,
            Err(ProxyError::Missing) => return Err(ProxyRefusal::Missing),
            Err(ProxyError::Malformed) => return Err(ProxyRefusal::Malformed),
            Err(ProxyError::TooLong) => return Err(ProxyRefusal::TooLong),
        };
        let missing = needs.saturating_sub(read.len());
        read.reserve(missing);
        match conn.sock.recv_append(&mut read, missing) {
            Ok(Some(n)) if n > 0 => continue,
            Ok(None) => {
                if conn.sock.readable().await.is_ok() {
                    continue;
                }
            }
            Ok(Some(_)) | Err(_) => {}
        }
        return Err(match conn.watch.fired() {
            Fired::Deadline => ProxyRefusal::Timeout,
            Fired::Cut | Fired::No => ProxyRefusal::Closed,
        });
    }
}

/// Does the TLS handshake, and finds out whose certificate was shown in it.
async fn encrypted(conn: &mut Downstream, entrance: &Entrance) -> bool {
    let tls = match &entrance.security {
        Security::Plain => return true,
        Security::Broken => return fail(conn, TlsFailure::Unavailable),
        Security::Tls(tls) => tls,
    };
    let shaken = conn.sock.handshake(&conn.shard, &tls.config).await;
    match (shaken, conn.watch.fired()) {
        (Ok(()), Fired::No) => match certified(conn, entrance, tls) {
            Ok(()) => true,
            Err(reason) => fail(conn, reason),
        },
        (_, Fired::Deadline) => fail(conn, TlsFailure::Timeout),
        (Ok(()) | Err(HandshakeError::Closed), _) => fail(conn, TlsFailure::Closed),
        (Err(HandshakeError::Tls(error)), _) => {
            fail(conn, reason(&error));
            // The alert would be lost if the socket closed over bytes that were not read.
            discard(conn).await;
            false
        }
    }
}

fn certified(conn: &mut Downstream, entrance: &Entrance, tls: &ServerTls) -> Result<(), TlsFailure> {
    if let Some(trust) = &tls.trust {
        let chain = conn.sock.peer_certificates();
        if !chain.is_empty() {
            let certified = trust.certify(&chain)?;
            let left_ms = certified.until.since(clock::mono_now()) / 1_000;
            conn.watch.limit_life(Shard::now_ms().saturating_add(left_ms));
            conn.watch.set_shown(Shown::new(chain, &certified, trust));
            conn.certificate = Some(certified);
            if conn.shard.config().is_some_and(|newest| !entrance.is_of(&newest)) {
                // The bundles have changed during the handshake.
                conn.shard.watches.compared.set(None);
            }
            conn.shard.metrics.borrow_mut().entrance.certificates += 1;
        }
    }
    conn.shard.metrics.borrow_mut().entrance.handshakes += 1;
    Ok(())
}

fn reason(error: &TlsError) -> TlsFailure {
    match error {
        TlsError::Certificate(error) | TlsError::Protocol(error) => failure(error),
        TlsError::Truncated => TlsFailure::Closed,
        TlsError::Roots(_) | TlsError::ServerName => TlsFailure::Protocol,
    }
}

fn fail(conn: &Downstream, reason: TlsFailure) -> bool {
    conn.shard.metrics.borrow_mut().entrance.fail(reason);
    tracing::debug!(reason = reason.name(), listener = %conn.listener, "a TLS handshake failed");
    false
}

/// Says that nothing more comes and throws away what the client still sends, within bounds.
async fn discard(conn: &Downstream) {
    let sock = conn.sock.socket();
    sock.shutdown_write();
    conn.watch
        .arm_read(sock.fd(), Shard::now_ms().saturating_add(limits::LINGER_MS));
    let mut thrown_away = 0usize;
    while thrown_away < limits::LINGER_BYTES_MAX {
        if sock.readable().await.is_err() {
            return;
        }
        match sock.recv(&mut conn.shard.cipher.borrow_mut()) {
            Ok(None) => {}
            Ok(Some(0)) | Err(_) => return,
            Ok(Some(n)) => thrown_away += n,
        }
    }
}
