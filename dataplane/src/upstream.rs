//! Connections to providers: made, kept per shard for reuse, read and written without blocking, TLS or not.

use std::collections::VecDeque;
use std::io;
use std::net::{IpAddr, SocketAddr};
use std::path::Path;

use sluice_shared::snapshot::BaseUrl;

use crate::dns;
use crate::metrics::ShardMetrics;
use crate::shard::Shard;
use crate::sock::{self, Peek, Sock};
use crate::tls::{PlainRead, TlsConfig, TlsError, TlsStream};
use crate::watch::{Fired, Watch};

/// A connection to a provider, or to the control plane.
pub(crate) struct Upstream {
    pub(crate) sock: Sock,
    tls: Option<Box<Tls>>,
    /// It has carried an exchange before.
    pub(crate) reused: bool,
    /// Bytes handed to the socket since it was made.
    sent: u64,
    /// `sent` when the present request began.
    request_began_at: u64,
    idle_since_ms: u64,
}

struct Tls {
    stream: TlsStream,
    /// Ciphertext that the socket has not taken yet.
    pending: Vec<u8>,
    /// Ciphertext that TLS has not taken yet, because plaintext must be read first.
    unread: Vec<u8>,
    /// The socket has ended.
    ended: bool,
}

impl Tls {
    fn ingest(&mut self, ciphertext: &[u8]) -> Result<(), TlsError> {
        let taken = self.stream.ingest(ciphertext)?;
        self.unread
            .extend_from_slice(ciphertext.get(taken..).unwrap_or_default());
        Ok(())
    }

    fn ingest_unread(&mut self) -> Result<(), TlsError> {
        let unread = std::mem::take(&mut self.unread);
        self.ingest(&unread)
    }
}

/// Why no connection could be made.
#[derive(Debug)]
pub(crate) enum ConnectError {
    /// The name has no address.
    Resolve,
    /// Nobody accepts there, or the way is broken.
    Refused(io::Error),
    /// It took too long.
    Timeout,
    /// TLS could not be agreed on, or the certificate is not the provider's.
    Tls(String),
    /// The client left meanwhile, or the process ends.
    Cut,
}

/// What a read brought.
pub(crate) enum Read {
    /// So many bytes.
    Bytes(usize),
    /// Nothing yet: wait for readability.
    Nothing,
    /// The end, stated by the peer.
    End,
}

impl Upstream {
    fn new(sock: Sock, tls: Option<Box<Tls>>) -> Self {
        Self {
            sock,
            tls,
            reused: false,
            sent: 0,
            request_began_at: 0,
            idle_since_ms: 0,
        }
    }

    /// Marks the start of a request, for [`Self::nothing_was_taken`].
    pub(crate) fn begin_request(&mut self) {
        self.request_began_at = self.sent;
    }

    /// Whether the peer's kernel has acknowledged no byte of the present request, so that nobody can have acted
    /// on it. `false` where that cannot be known.
    pub(crate) fn nothing_was_taken(&self) -> bool {
        // The SYN is counted as one acknowledged byte.
        self.sock
            .bytes_acked()
            .is_some_and(|acked| acked <= self.request_began_at + 1)
    }

    /// Reads plaintext into `buf`. `cipher` is scratch space for TLS.
    ///
    /// # Errors
    /// The connection broke; with TLS also an end without the peer's goodbye.
    pub(crate) fn read(&mut self, buf: &mut [u8], cipher: &mut [u8]) -> io::Result<Read> {
        let Some(tls) = &mut self.tls else {
            return Ok(match self.sock.recv(buf)? {
                None => Read::Nothing,
                Some(0) => Read::End,
                Some(n) => Read::Bytes(n),
            });
        };
        loop {
            match tls.stream.read_plain(buf).map_err(io::Error::other)? {
                PlainRead::Bytes(n) => return Ok(Read::Bytes(n)),
                PlainRead::End => return Ok(Read::End),
                PlainRead::Blocked if tls.ended => return Err(io::ErrorKind::UnexpectedEof.into()),
                PlainRead::Blocked => {}
            }
            if !tls.unread.is_empty() {
                tls.ingest_unread().map_err(io::Error::other)?;
                continue;
            }
            match self.sock.recv(cipher)? {
                None => return Ok(Read::Nothing),
                Some(0) => {
                    tls.ended = true;
                    tls.stream.ingest_end().map_err(io::Error::other)?;
                }
                Some(n) => {
                    let taken = tls.ingest(cipher.get(..n).unwrap_or_default());
                    // An answer to a key update, or an alert that explains a failure, goes out if it can.
                    tls.stream.pending_ciphertext(&mut tls.pending);
                    let flushed = Self::flush_pending(&self.sock, &mut tls.pending, &mut self.sent);
                    taken.map_err(io::Error::other)?;
                    flushed?;
                }
            }
        }
    }

    /// Whether a read can bring something although the socket has nothing.
    pub(crate) fn has_buffered(&self) -> bool {
        self.tls
            .as_ref()
            .is_some_and(|tls| tls.stream.has_plain() || !tls.unread.is_empty() || tls.ended)
    }

    /// Writes what can be taken now; 0 if nothing can.
    ///
    /// # Errors
    /// The connection broke.
    pub(crate) fn write(&mut self, buf: &[u8]) -> io::Result<usize> {
        let Some(tls) = &mut self.tls else {
            let n = self.sock.send(buf)?.unwrap_or(0);
            self.sent += n as u64;
            return Ok(n);
        };
        if !Self::flush_pending(&self.sock, &mut tls.pending, &mut self.sent)? {
            return Ok(0);
        }
        let n = tls.stream.write_plain(buf);
        tls.stream.pending_ciphertext(&mut tls.pending);
        Self::flush_pending(&self.sock, &mut tls.pending, &mut self.sent)?;
        Ok(n)
    }

    /// Whether ciphertext still waits for the socket; tries to send it.
    pub(crate) fn flushed(&mut self) -> io::Result<bool> {
        match &mut self.tls {
            None => Ok(true),
            Some(tls) => Self::flush_pending(&self.sock, &mut tls.pending, &mut self.sent),
        }
    }

    fn flush_pending(sock: &Sock, pending: &mut Vec<u8>, sent: &mut u64) -> io::Result<bool> {
        while !pending.is_empty() {
            match sock.send(pending)? {
                Some(n) => {
                    pending.drain(..n.min(pending.len()));
                    *sent += n as u64;
                }
                None => return Ok(false),
            }
        }
        Ok(true)
    }

    async fn handshake(&mut self, shard: &Shard) -> Result<(), ConnectError> {
        loop {
            let Some(tls) = &mut self.tls else { return Ok(()) };
            tls.stream.pending_ciphertext(&mut tls.pending);
            let flushed = Self::flush_pending(&self.sock, &mut tls.pending, &mut self.sent);
            if !flushed.map_err(ConnectError::Refused)? {
                self.sock.writable().await.map_err(ConnectError::Refused)?;
                continue;
            }
            if !tls.stream.is_handshaking() {
                return Ok(());
            }
            let taken = {
                let mut cipher = shard.cipher.borrow_mut();
                match self.sock.recv(&mut cipher).map_err(ConnectError::Refused)? {
                    None => None,
                    Some(0) => return Err(ConnectError::Tls("the peer closed during the handshake".into())),
                    Some(n) => Some(tls.ingest(cipher.get(..n).unwrap_or_default())),
                }
            };
            match taken {
                None => self.sock.readable().await.map_err(ConnectError::Refused)?,
                Some(Ok(())) => {}
                Some(Err(error)) => {
                    tls.stream.pending_ciphertext(&mut tls.pending);
                    let _ = Self::flush_pending(&self.sock, &mut tls.pending, &mut self.sent);
                    return Err(ConnectError::Tls(error.to_string()));
                }
            }
        }
    }
}

/// Where a connection leads.
#[derive(Clone, Copy)]
pub(crate) struct Place<'a> {
    pub(crate) base: &'a BaseUrl,
    /// Whom to trust; `None`: no TLS.
    pub(crate) tls: Option<&'a TlsConfig>,
    /// How long connecting may take, in milliseconds; 0: as long as it does.
    pub(crate) connect_ms: u64,
}

/// Connects to a place, trying each of its addresses within the one limit for connecting.
pub(crate) async fn connect(
    shard: &Shard,
    place: Place<'_>,
    watch: &Watch,
) -> Result<Upstream, ConnectError> {
    let base = place.base;
    let deadline = if place.connect_ms == 0 {
        u64::MAX
    } else {
        Shard::now_ms().saturating_add(place.connect_ms)
    };
    let addresses: Vec<IpAddr> = match dns::literal(&base.host) {
        Some(address) => vec![address],
        None => match shard.resolve(&base.host).await {
            Some(addresses) => addresses.to_vec(),
            None => return Err(ConnectError::Resolve),
        },
    };
    let mut last = ConnectError::Resolve;
    for address in addresses {
        if Shard::now_ms() >= deadline {
            return Err(ConnectError::Timeout);
        }
        match connect_one(shard, place, watch, SocketAddr::new(address, base.port), deadline).await {
            Ok(upstream) => return Ok(upstream),
            Err(ConnectError::Refused(error)) => last = ConnectError::Refused(error),
            Err(other) => return Err(other),
        }
    }
    Err(last)
}

async fn connect_one(
    shard: &Shard,
    place: Place<'_>,
    watch: &Watch,
    address: SocketAddr,
    deadline: u64,
) -> Result<Upstream, ConnectError> {
    let sock = sock::connect_tcp(address).map_err(ConnectError::Refused)?;
    watch.arm_whole(sock.fd(), deadline);
    let made = async {
        sock.writable().await.map_err(ConnectError::Refused)?;
        sock::connected(&sock).map_err(ConnectError::Refused)?;
        let tls = match place.tls {
            None => None,
            Some(config) => Some(Box::new(Tls {
                stream: TlsStream::new(config, &place.base.host)
                    .map_err(|error| ConnectError::Tls(error.to_string()))?,
                pending: Vec::new(),
                unread: Vec::new(),
                ended: false,
            })),
        };
        let mut upstream = Upstream::new(sock, tls);
        upstream.handshake(shard).await?;
        Ok(upstream)
    }
    .await;
    watch.disarm();
    match (watch.fired(), made) {
        (Fired::Cut, _) => Err(ConnectError::Cut),
        (Fired::Deadline, _) => Err(ConnectError::Timeout),
        (Fired::No, made) => made,
    }
}

/// Connects to a Unix socket of the control plane; made or refused at once.
pub(crate) fn connect_unix(path: &Path) -> io::Result<Upstream> {
    let stream = std::os::unix::net::UnixStream::connect(path)?;
    stream.set_nonblocking(true)?;
    Ok(Upstream::new(
        Sock::Unix(monoio::net::UnixStream::from_std(stream)?),
        None,
    ))
}

/// The idle connections of a shard, one row a place.
#[derive(Default)]
pub(crate) struct Pools {
    rows: Vec<Row>,
}

#[derive(Default)]
struct Row {
    idle: VecDeque<Upstream>,
    open: u32,
    idle_ms_max: u64,
}

impl Pools {
    fn row(&mut self, pool: usize) -> &mut Row {
        if self.rows.len() <= pool {
            self.rows.resize_with(pool + 1, Row::default);
        }
        &mut self.rows[pool]
    }

    /// The youngest idle connection that is still alive.
    pub(crate) fn take(&mut self, pool: usize) -> Option<Upstream> {
        let row = self.row(pool);
        while let Some(mut upstream) = row.idle.pop_back() {
            // However young: bytes that nobody asked for would be taken for the answer to the next request.
            if upstream.sock.peek() == Peek::Empty {
                upstream.reused = true;
                return Some(upstream);
            }
            row.open = row.open.saturating_sub(1);
        }
        None
    }

    /// Connections open to a place, idle and in use.
    pub(crate) fn open(&mut self, pool: usize) -> u32 {
        self.row(pool).open
    }

    /// Connections open to a place, and of these the idle ones.
    pub(crate) fn standing(&mut self, pool: usize) -> (u64, u64) {
        let row = self.row(pool);
        (u64::from(row.open), row.idle.len() as u64)
    }

    /// Counts a connection that was made.
    pub(crate) fn opened(&mut self, pool: usize) {
        self.row(pool).open += 1;
    }

    /// Counts a connection that is closed instead of given back.
    pub(crate) fn closed(&mut self, pool: usize) {
        let row = self.row(pool);
        row.open = row.open.saturating_sub(1);
    }

    /// Keeps a connection for the next request.
    pub(crate) fn give(&mut self, pool: usize, mut upstream: Upstream, idle_ms_max: u64, idle_max: u64) {
        let row = self.row(pool);
        row.idle_ms_max = idle_ms_max;
        if row.idle.len() as u64 >= idle_max {
            row.open = row.open.saturating_sub(1);
            return;
        }
        upstream.idle_since_ms = Shard::now_ms();
        row.idle.push_back(upstream);
    }

    /// Closes what has been idle for too long.
    pub(crate) fn expire(&mut self, now_ms: u64) {
        for row in &mut self.rows {
            while row
                .idle
                .front()
                .is_some_and(|u| now_ms.saturating_sub(u.idle_since_ms) > row.idle_ms_max)
            {
                row.idle.pop_front();
                row.open = row.open.saturating_sub(1);
            }
        }
    }

    /// Tells the metrics how many connections there are.
    pub(crate) fn report(&self, metrics: &mut ShardMetrics) {
        let open: u64 = self.rows.iter().map(|row| u64::from(row.open)).sum();
        let idle: u64 = self.rows.iter().map(|row| row.idle.len() as u64).sum();
        metrics.gauges.pool_open = open;
        metrics.gauges.pool_idle = idle;
    }
}
