//! TLS towards providers and towards clients: rustls behind buffers of the caller's, without sockets and futures.
//!
//! ```text
//!  socket ──ciphertext──▶ ingest ──▶ read_plain ──▶ answer
//!  socket ◀─ciphertext── pending_ciphertext ◀── write_plain ◀── request
//! ```
//!
//! Nothing is read from a socket here, so no read can be dropped half-way. After each [`TlsStream::ingest`] there may be
//! something to send, during the handshake and after it (key updates, alerts): call
//! [`TlsStream::pending_ciphertext`] after every step. Both directions are bounded: `ingest` takes no more than it
//! has room for until the plaintext is read, `write_plain` no more until the ciphertext is taken.
//!
//! An end of the socket without `close_notify` is [`TlsError::Truncated`], never a clean end: an answer whose length
//! is told by the end of the connection would otherwise be cut unnoticed (RFC 8446 §6.1).

use std::fmt;
use std::io::{self, ErrorKind, Read, Write};
use std::sync::Arc;

use rustls::client::Resumption;
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, ServerName};
use rustls::{
    CertificateError, ClientConfig, ClientConnection, Connection, RootCertStore, ServerConfig,
    ServerConnection,
};

pub(crate) mod server;

/// Plaintext kept for reading; more ciphertext is not taken until it is read, in bytes.
pub const PLAINTEXT_BYTES_MAX: usize = 16 << 10;
/// Plaintext and ciphertext kept for sending, each, in bytes.
pub const OUTGOING_BYTES_MAX: usize = 64 << 10;
/// Sessions a shard remembers for resumption, over all providers that share a configuration.
const SESSIONS_MAX: usize = 256;

/// Why a TLS connection cannot be made or went wrong.
#[derive(Debug, thiserror::Error)]
pub enum TlsError {
    /// The certificates to trust cannot be read.
    #[error("certificates to trust: {0}")]
    Roots(String),
    /// The host is neither a DNS name nor an address.
    #[error("not a valid TLS server name")]
    ServerName,
    /// The peer's certificate is not to be trusted, or is for another name. No retry without TLS, ever.
    #[error("certificate of the peer refused: {0}")]
    Certificate(rustls::Error),
    /// The connection ended without `close_notify`: what was read may be cut.
    #[error("TLS connection ended without close_notify")]
    Truncated,
    /// Anything else the protocol forbids, alerts of the peer included.
    #[error("TLS: {0}")]
    Protocol(rustls::Error),
}

impl From<rustls::Error> for TlsError {
    fn from(error: rustls::Error) -> Self {
        match error {
            rustls::Error::InvalidCertificate(_)
            | rustls::Error::NoCertificatesPresented
            | rustls::Error::UnsupportedNameType
            | rustls::Error::InvalidCertRevocationList(_) => Self::Certificate(error),
            error => Self::Protocol(error),
        }
    }
}

impl TlsError {
    /// Whether the provider's certificate was good but for another name.
    #[must_use]
    pub const fn is_wrong_name(&self) -> bool {
        matches!(
            self,
            Self::Certificate(rustls::Error::InvalidCertificate(
                CertificateError::NotValidForName | CertificateError::NotValidForNameContext { .. }
            ))
        )
    }
}

/// Whom to trust, and the sessions to resume. Cheap to clone; clones share the sessions.
#[derive(Clone)]
pub struct TlsConfig {
    client: Arc<ClientConfig>,
}

impl fmt::Debug for TlsConfig {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("TlsConfig")
    }
}

impl TlsConfig {
    /// Trusts the system's certificates and Mozilla's, which the program carries with it. Reads files: not for a shard.
    ///
    /// # Errors
    /// The protocol versions are not available, which would be a fault of the build.
    pub fn system() -> Result<Self, TlsError> {
        let mut roots = RootCertStore::empty();
        roots.extend(webpki_roots::TLS_SERVER_ROOTS.iter().cloned());
        let found = rustls_native_certs::load_native_certs();
        for error in &found.errors {
            tracing::warn!(%error, "some of the system's certificates cannot be read");
        }
        roots.add_parsable_certificates(found.certs);
        Self::with_roots(roots)
    }

    /// Trusts the certificates of this PEM text and no others.
    ///
    /// # Errors
    /// The text holds no certificate, or one that cannot be read.
    pub fn from_ca_pem(pem: &str) -> Result<Self, TlsError> {
        let mut roots = RootCertStore::empty();
        for certificate in CertificateDer::pem_slice_iter(pem.as_bytes()) {
            let certificate = certificate.map_err(|e| TlsError::Roots(e.to_string()))?;
            roots
                .add(certificate)
                .map_err(|e| TlsError::Roots(e.to_string()))?;
        }
        if roots.is_empty() {
            return Err(TlsError::Roots("no certificate in the PEM text".into()));
        }
        Self::with_roots(roots)
    }

    fn with_roots(roots: RootCertStore) -> Result<Self, TlsError> {
        let provider = Arc::new(rustls::crypto::ring::default_provider());
        let mut client = ClientConfig::builder_with_provider(provider)
            .with_protocol_versions(&[&rustls::version::TLS13, &rustls::version::TLS12])?
            .with_root_certificates(roots)
            .with_no_client_auth();
        client.alpn_protocols = vec![b"http/1.1".to_vec()];
        // Early data could be replayed: a prompt would be paid for twice.
        client.enable_early_data = false;
        client.resumption = Resumption::in_memory_sessions(SESSIONS_MAX);
        Ok(Self {
            client: Arc::new(client),
        })
    }

    /// The same trust with sessions of its own. One per shard, so that shards do not meet at the lock of the session store.
    #[must_use]
    pub fn for_shard(&self) -> Self {
        let mut client = ClientConfig::clone(&self.client);
        client.resumption = Resumption::in_memory_sessions(SESSIONS_MAX);
        Self {
            client: Arc::new(client),
        }
    }
}

/// What [`TlsStream::read_plain`] found.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum PlainRead {
    /// This many bytes, at least one.
    Bytes(usize),
    /// Nothing now; more ciphertext is needed.
    Blocked,
    /// The peer closed properly; nothing will follow.
    End,
}

/// One connection, to a provider or from a client.
pub struct TlsStream {
    connection: Connection,
    /// Plaintext that waits to be read.
    readable_bytes: usize,
    /// The socket has ended.
    ended: bool,
}

impl fmt::Debug for TlsStream {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("TlsStream")
            .field("handshaking", &self.is_handshaking())
            .field("readable_bytes", &self.readable_bytes)
            .finish_non_exhaustive()
    }
}

impl TlsStream {
    /// Begins a connection to `host`, a DNS name or an address (IPv6 without brackets). The hello is pending then.
    ///
    /// # Errors
    /// [`TlsError::ServerName`], or a fault of the configuration.
    pub fn new(config: &TlsConfig, host: &str) -> Result<Self, TlsError> {
        let name = ServerName::try_from(host.to_owned()).map_err(|_| TlsError::ServerName)?;
        let connection = ClientConnection::new(Arc::clone(&config.client), name)?;
        Ok(Self::over(connection.into()))
    }

    /// Begins a connection that a client has made. The hello is awaited then.
    pub(crate) fn accept(config: &Arc<ServerConfig>) -> Result<Self, TlsError> {
        let connection = ServerConnection::new(Arc::clone(config))?;
        Ok(Self::over(connection.into()))
    }

    fn over(mut connection: Connection) -> Self {
        connection.set_buffer_limit(Some(OUTGOING_BYTES_MAX));
        Self {
            connection,
            readable_bytes: 0,
            ended: false,
        }
    }

    /// Takes ciphertext from the socket; returns how many bytes were taken. Fewer than given: read the plaintext,
    /// then offer the rest again. What comes after `close_notify` is taken and ignored.
    ///
    /// # Errors
    /// The connection is over. An alert for the provider may be pending; what was readable before can still be read.
    pub fn ingest(&mut self, ciphertext: &[u8]) -> Result<usize, TlsError> {
        let mut rest = ciphertext;
        while !rest.is_empty() && self.readable_bytes < PLAINTEXT_BYTES_MAX {
            let before = rest.len();
            self.connection.read_tls(&mut rest).map_err(|_| {
                TlsError::Protocol(rustls::Error::General("record longer than allowed".into()))
            })?;
            let state = self.connection.process_new_packets()?;
            self.readable_bytes = state.plaintext_bytes_to_read();
            if rest.len() == before {
                return Ok(ciphertext.len());
            }
        }
        Ok(ciphertext.len() - rest.len())
    }

    /// Says that the socket has ended; what that means is told by the next [`Self::read_plain`].
    ///
    /// # Errors
    /// [`TlsError::Truncated`] if it ended before the handshake was done.
    pub fn ingest_end(&mut self) -> Result<(), TlsError> {
        if self.is_handshaking() {
            return Err(TlsError::Truncated);
        }
        self.ended = true;
        Ok(())
    }

    /// Moves plaintext into `out`; an empty `out` reads nothing.
    ///
    /// # Errors
    /// [`TlsError::Truncated`] if the socket ended (see [`Self::ingest_end`]) without `close_notify`.
    pub fn read_plain(&mut self, out: &mut [u8]) -> Result<PlainRead, TlsError> {
        if out.is_empty() {
            return Ok(PlainRead::Blocked);
        }
        let mut read = self.connection.reader().read(out);
        if self.ended && matches!(&read, Err(e) if e.kind() == ErrorKind::WouldBlock) {
            // rustls looks at the end of the socket only when no plaintext waits.
            let _ = self.connection.read_tls(&mut io::empty());
            read = self.connection.reader().read(out);
        }
        match read {
            Ok(0) => Ok(PlainRead::End),
            Ok(bytes) => {
                self.readable_bytes = self.readable_bytes.saturating_sub(bytes);
                Ok(PlainRead::Bytes(bytes))
            }
            Err(error) if error.kind() == ErrorKind::WouldBlock => Ok(PlainRead::Blocked),
            Err(_) => Err(TlsError::Truncated),
        }
    }

    /// Takes plaintext to send; returns how many bytes were taken, 0 if [`OUTGOING_BYTES_MAX`] wait already. Possible
    /// before the handshake is done: it is sent with its end.
    pub fn write_plain(&mut self, plaintext: &[u8]) -> usize {
        // Writing into memory has no errors of its own; a connection that failed takes nothing.
        self.connection.writer().write(plaintext).unwrap_or(0)
    }

    /// Appends everything that is to be sent now to `out` and returns its length.
    pub fn pending_ciphertext(&mut self, out: &mut Vec<u8>) -> usize {
        let before = out.len();
        while self.connection.wants_write() {
            match self.connection.write_tls(out) {
                Ok(0) | Err(_) => break,
                Ok(_) => {}
            }
        }
        out.len() - before
    }

    /// Writes what is to be sent now straight into `socket`, which answers [`ErrorKind::WouldBlock`] when it is full;
    /// whether everything has gone out.
    pub(crate) fn send_pending(&mut self, socket: &mut dyn Write) -> io::Result<bool> {
        while self.connection.wants_write() {
            match self.connection.write_tls(socket) {
                Ok(0) => return Err(ErrorKind::WriteZero.into()),
                Ok(_) => {}
                Err(error) if error.kind() == ErrorKind::WouldBlock => return Ok(false),
                Err(error) => return Err(error),
            }
        }
        Ok(true)
    }

    /// The certificates that the peer has shown, its own first.
    pub(crate) fn peer_certificates(&self) -> &[CertificateDer<'static>] {
        self.connection.peer_certificates().unwrap_or_default()
    }

    /// Queues `close_notify`; send what is pending, then close the socket.
    pub fn close(&mut self) {
        self.connection.send_close_notify();
    }

    /// Whether the handshake still runs.
    #[must_use]
    pub fn is_handshaking(&self) -> bool {
        self.connection.is_handshaking()
    }

    /// Whether plaintext can be read without more ciphertext.
    #[must_use]
    pub const fn has_plain(&self) -> bool {
        self.readable_bytes > 0
    }

    /// Whether something waits to be sent.
    #[must_use]
    pub fn wants_write(&self) -> bool {
        self.connection.wants_write()
    }

    /// Whether the handshake resumed an earlier session; `None` while it runs.
    #[must_use]
    pub fn resumed(&self) -> Option<bool> {
        self.connection
            .handshake_kind()
            .map(|kind| matches!(kind, rustls::HandshakeKind::Resumed))
    }
}
