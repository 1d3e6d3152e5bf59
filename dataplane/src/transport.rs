//! What carries a client's connection: the socket itself, or TLS over it.
//!
//! Both are used in the same way, by the readiness of the socket. Over TLS three things differ. A readable socket may
//! bring nothing for the reader (a key update, half a record), and a socket that is silent may have something for
//! it (what was decrypted already): [`Transport::readable`] knows the second, callers live with the first. What is
//! taken for sending may still lie in a buffer ([`Transport::is_flushed`]); [`Transport::send_all`] waits until
//! nothing does. And the end has a form of its own: `close_notify` says that nothing was lost, so it is sent at every
//! end except an abort.

use std::cell::{Cell, RefCell};
use std::io;
use std::os::fd::RawFd;
use std::rc::Rc;
use std::sync::Arc;

use rustls::ServerConfig;
use rustls::pki_types::CertificateDer;

use crate::shard::Shard;
use crate::sock::{Peek, Sock};
use crate::tls::{PlainRead, TlsError, TlsStream};

/// Plaintext decrypted into a body's chunk at once, in bytes: one record of the largest size.
const APPEND_BYTES_MAX: usize = 16 << 10;

/// A client's connection, plain or encrypted.
pub(crate) struct Transport {
    sock: Sock,
    tls: Option<Box<Tls>>,
}

struct Tls {
    /// For its scratch space.
    shard: Rc<Shard>,
    side: RefCell<Side>,
    /// No goodbye: the client must not take what it has for the whole.
    is_cut: Cell<bool>,
}

struct Side {
    stream: TlsStream,
    /// Ciphertext that TLS has not taken yet, because plaintext must be read first; at most one read's worth.
    unread: Vec<u8>,
    /// The socket has ended.
    ended: bool,
}

/// Why a handshake was not finished.
#[derive(Debug)]
pub(crate) enum HandshakeError {
    /// TLS itself, a certificate that was refused among it. An alert has been sent.
    Tls(TlsError),
    /// The socket broke or ended.
    Closed,
}

impl Transport {
    /// A connection without encryption.
    pub(crate) fn plain(sock: Sock) -> Self {
        Self { sock, tls: None }
    }

    /// Does the handshake; from then on the connection is encrypted.
    pub(crate) async fn handshake(
        &mut self,
        shard: &Rc<Shard>,
        config: &Arc<ServerConfig>,
    ) -> Result<(), HandshakeError> {
        let mut side = Side {
            stream: TlsStream::accept(config).map_err(HandshakeError::Tls)?,
            unread: Vec::new(),
            ended: false,
        };
        let mut taken = Ok(());
        loop {
            let flushed = side.stream.send_pending(&mut &self.sock);
            // What went wrong is told by the alert that was just sent.
            taken.map_err(HandshakeError::Tls)?;
            taken = Ok(());
            if !flushed.map_err(|_| HandshakeError::Closed)? {
                self.sock.writable().await.map_err(|_| HandshakeError::Closed)?;
                continue;
            }
            if !side.stream.is_handshaking() {
                break;
            }
            self.sock.readable().await.map_err(|_| HandshakeError::Closed)?;
            let mut cipher = shard.cipher.borrow_mut();
            match self.sock.recv(&mut cipher) {
                Ok(None) => {}
                Ok(Some(0)) | Err(_) => return Err(HandshakeError::Closed),
                Ok(Some(n)) => taken = side.ingest(cipher.get(..n).unwrap_or_default()),
            }
        }
        self.tls = Some(Box::new(Tls {
            shard: shard.clone(),
            side: RefCell::new(side),
            is_cut: Cell::new(false),
        }));
        Ok(())
    }

    /// The certificates that the client has shown, its own first; none if it was not asked or is not encrypted.
    pub(crate) fn peer_certificates(&self) -> Vec<CertificateDer<'static>> {
        let shown = |tls: &Tls| tls.side.borrow().stream.peer_certificates().to_vec();
        self.tls.as_deref().map(shown).unwrap_or_default()
    }

    /// The socket below.
    pub(crate) fn socket(&self) -> &Sock {
        &self.sock
    }

    pub(crate) fn fd(&self) -> RawFd {
        self.sock.fd()
    }

    /// Waits until a read may bring something: bytes, the end, or an error.
    pub(crate) async fn readable(&self) -> io::Result<()> {
        if let Some(tls) = &self.tls
            && tls.side.borrow().has_buffered()
        {
            return Ok(());
        }
        self.sock.readable().await
    }

    /// Reads what is there; `None` if nothing is, `Some(0)` at the end. `buf` must not be empty.
    pub(crate) fn recv(&self, buf: &mut [u8]) -> io::Result<Option<usize>> {
        match &self.tls {
            None => self.sock.recv(buf),
            Some(tls) => tls.recv(&self.sock, buf),
        }
    }

    /// Reads what is there, at most `bytes_max`, behind the end of `buf`, whose capacity must not be exceeded.
    pub(crate) fn recv_append(&self, buf: &mut Vec<u8>, bytes_max: usize) -> io::Result<Option<usize>> {
        let Some(tls) = &self.tls else {
            return self.sock.recv_append(buf, bytes_max);
        };
        let before = buf.len();
        let room = (buf.capacity() - before).min(bytes_max).min(APPEND_BYTES_MAX);
        buf.resize(before + room, 0);
        let taken = tls.recv(&self.sock, buf.get_mut(before..).unwrap_or_default());
        let n = taken.as_ref().map_or(0, |taken| taken.unwrap_or(0));
        buf.truncate(before + n);
        taken
    }

    /// Looks what a read would bring, without taking anything from the reader.
    pub(crate) fn peek(&self) -> Peek {
        match &self.tls {
            None => self.sock.peek(),
            Some(tls) => tls.peek(&self.sock),
        }
    }

    /// Takes for sending what fits; `None` if nothing does.
    pub(crate) fn send(&self, buf: &[u8]) -> io::Result<Option<usize>> {
        match &self.tls {
            None => self.sock.send(buf),
            Some(tls) => tls.send(&self.sock, buf),
        }
    }

    /// Whether the socket has taken everything that [`Self::send`] took.
    pub(crate) fn is_flushed(&self) -> bool {
        match &self.tls {
            None => true,
            Some(tls) => !tls.side.borrow().stream.wants_write(),
        }
    }

    /// Sends everything, waiting where it must.
    pub(crate) async fn send_all(&self, mut buf: &[u8]) -> io::Result<()> {
        let Some(tls) = &self.tls else {
            return self.sock.send_all(buf).await;
        };
        loop {
            if buf.is_empty() {
                if tls.side.borrow_mut().stream.send_pending(&mut &self.sock)? {
                    return Ok(());
                }
            } else if let Some(sent) = tls.send(&self.sock, buf)? {
                buf = buf.get(sent..).unwrap_or_default();
                continue;
            }
            self.sock.writable().await?;
        }
    }

    /// Tells the client that nothing more will come.
    pub(crate) fn shutdown_write(&self) {
        self.say_goodbye();
        self.sock.shutdown_write();
    }

    /// Says that what the client has is whole: at every end but an abort. Does nothing without TLS.
    pub(crate) fn say_goodbye(&self) {
        let Some(tls) = &self.tls else { return };
        if tls.is_cut.get() {
            return;
        }
        let mut side = tls.side.borrow_mut();
        side.stream.close();
        // Everything before was flushed, so a few bytes find room; a client that is gone needs none.
        let _ = side.stream.send_pending(&mut &self.sock);
    }

    /// The answer is cut: with TLS the end must not say that it is whole.
    pub(crate) fn withhold_goodbye(&self) {
        if let Some(tls) = &self.tls {
            tls.is_cut.set(true);
        }
    }

    /// Makes the close an abort: the client sees a reset, never a clean end.
    pub(crate) fn reset_on_close(&self) {
        self.withhold_goodbye();
        self.sock.reset_on_close();
    }
}

impl Tls {
    fn recv(&self, sock: &Sock, buf: &mut [u8]) -> io::Result<Option<usize>> {
        let mut side = self.side.borrow_mut();
        loop {
            match side.stream.read_plain(buf).map_err(io::Error::other)? {
                PlainRead::Bytes(n) => return Ok(Some(n)),
                PlainRead::End => return Ok(Some(0)),
                PlainRead::Blocked if side.ended => return Err(io::ErrorKind::UnexpectedEof.into()),
                PlainRead::Blocked => {}
            }
            if !side.ingest_more(sock, &mut self.shard.cipher.borrow_mut())? {
                return Ok(None);
            }
        }
    }

    fn peek(&self, sock: &Sock) -> Peek {
        let mut side = self.side.borrow_mut();
        loop {
            if side.stream.has_plain() {
                return Peek::Data;
            }
            // No plaintext waits, so this read takes none from the reader: it only tells an end from silence.
            let mut byte = [0];
            match side.stream.read_plain(&mut byte) {
                Ok(PlainRead::Blocked) if !side.ended => {}
                Ok(_) | Err(_) => return Peek::Closed,
            }
            match side.ingest_more(sock, &mut self.shard.cipher.borrow_mut()) {
                Ok(true) => {}
                Ok(false) => return Peek::Empty,
                Err(_) => return Peek::Closed,
            }
        }
    }

    fn send(&self, sock: &Sock, buf: &[u8]) -> io::Result<Option<usize>> {
        let mut side = self.side.borrow_mut();
        if !side.stream.send_pending(&mut &*sock)? {
            return Ok(None);
        }
        let taken = side.stream.write_plain(buf);
        side.stream.send_pending(&mut &*sock)?;
        Ok((taken > 0).then_some(taken))
    }
}

impl Side {
    fn ingest(&mut self, ciphertext: &[u8]) -> Result<(), TlsError> {
        let taken = self.stream.ingest(ciphertext)?;
        self.unread
            .extend_from_slice(ciphertext.get(taken..).unwrap_or_default());
        Ok(())
    }

    /// Hands TLS what has come; `false` if nothing has. To be called when no plaintext waits.
    fn ingest_more(&mut self, sock: &Sock, cipher: &mut [u8]) -> io::Result<bool> {
        let taken = if self.unread.is_empty() {
            match sock.recv(cipher)? {
                None => return Ok(false),
                Some(0) => {
                    self.ended = true;
                    return self.stream.ingest_end().map(|()| true).map_err(io::Error::other);
                }
                Some(n) => self.ingest(cipher.get(..n).unwrap_or_default()),
            }
        } else {
            let unread = std::mem::take(&mut self.unread);
            self.ingest(&unread)
        };
        // An answer to a key update, or an alert that explains a failure, goes out if it can.
        let flushed = self.stream.send_pending(&mut &*sock);
        taken.map_err(io::Error::other)?;
        flushed?;
        Ok(true)
    }

    /// Whether a read can bring something although the socket has nothing.
    fn has_buffered(&self) -> bool {
        self.stream.has_plain() || !self.unread.is_empty() || self.ended
    }
}
