//! A connected socket of a shard: wait for readiness through the ring, then read or write without blocking.
//!
//! Readiness is awaited through monoio; bytes are moved by `recv` and `send` with `MSG_DONTWAIT`. No kernel
//! operation ever owns a buffer of ours, so a future that is dropped at any await loses nothing and frees nothing
//! under the kernel, and an idle stream costs no buffer at all. Both drivers take the same path. The
//! reasons: `docs/adr/0002-readiness-and-direct-reads.md`.

#![allow(
    clippy::cast_possible_truncation,
    reason = "sizes and constants of the socket interface in the types that it wants"
)]
#![allow(
    unsafe_code,
    reason = "recv, send and socket options on descriptors that this module owns"
)]

use std::io;
use std::net::SocketAddr;
use std::os::fd::{AsRawFd, FromRawFd, RawFd};

use monoio::net::{TcpStream, UnixStream};

/// Buffers of one vectored write at most (`UIO_MAXIOV` of Linux).
const IOV_MAX: usize = 1_024;

/// A connected stream socket.
pub(crate) enum Sock {
    Tcp(TcpStream),
    Unix(UnixStream),
}

/// What a look at the receive queue shows.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Peek {
    /// Nothing there, and the peer has not closed.
    Empty,
    /// Bytes wait.
    Data,
    /// The peer has closed or reset the connection.
    Closed,
}

impl Sock {
    pub(crate) fn fd(&self) -> RawFd {
        match self {
            Self::Tcp(stream) => stream.as_raw_fd(),
            Self::Unix(stream) => stream.as_raw_fd(),
        }
    }

    /// Waits until a read would not block: bytes, the end, or an error.
    pub(crate) async fn readable(&self) -> io::Result<()> {
        match self {
            Self::Tcp(stream) => stream.readable(false).await,
            Self::Unix(stream) => stream.readable(false).await,
        }
    }

    /// Waits until a write would not block.
    pub(crate) async fn writable(&self) -> io::Result<()> {
        match self {
            Self::Tcp(stream) => stream.writable(false).await,
            Self::Unix(stream) => stream.writable(false).await,
        }
    }

    /// Reads what is there; `None` if nothing is, `Some(0)` at the end.
    pub(crate) fn recv(&self, buf: &mut [u8]) -> io::Result<Option<usize>> {
        // SAFETY: the pointer and the length describe `buf`, which outlives the call.
        let n = unsafe { libc::recv(self.fd(), buf.as_mut_ptr().cast(), buf.len(), libc::MSG_DONTWAIT) };
        outcome(n)
    }

    /// Reads what is there, at most `bytes_max`, behind the end of `buf`, whose capacity must not be exceeded.
    pub(crate) fn recv_append(&self, buf: &mut Vec<u8>, bytes_max: usize) -> io::Result<Option<usize>> {
        let room = buf.spare_capacity_mut();
        let length = room.len().min(bytes_max);
        // SAFETY: at most `length` bytes are written into the spare capacity, which is at least that large.
        let n = unsafe { libc::recv(self.fd(), room.as_mut_ptr().cast(), length, libc::MSG_DONTWAIT) };
        let taken = outcome(n)?;
        if let Some(n) = taken {
            // SAFETY: the kernel has initialised exactly `n` bytes behind the old length, within the capacity.
            unsafe { buf.set_len(buf.len() + n) };
        }
        Ok(taken)
    }

    /// Looks at the receive queue without taking anything.
    pub(crate) fn peek(&self) -> Peek {
        let mut byte = 0u8;
        // SAFETY: one byte is written at most, into `byte`.
        let n = unsafe {
            libc::recv(
                self.fd(),
                (&raw mut byte).cast(),
                1,
                libc::MSG_DONTWAIT | libc::MSG_PEEK,
            )
        };
        match outcome(n) {
            Ok(None) => Peek::Empty,
            Ok(Some(0)) | Err(_) => Peek::Closed,
            Ok(Some(_)) => Peek::Data,
        }
    }

    /// Writes what fits; `None` if nothing does.
    pub(crate) fn send(&self, buf: &[u8]) -> io::Result<Option<usize>> {
        // SAFETY: the pointer and the length describe `buf`, which outlives the call.
        let n = unsafe {
            libc::send(
                self.fd(),
                buf.as_ptr().cast(),
                buf.len(),
                libc::MSG_DONTWAIT | libc::MSG_NOSIGNAL,
            )
        };
        outcome(n)
    }

    /// Writes everything, waiting where it must.
    pub(crate) async fn send_all(&self, mut buf: &[u8]) -> io::Result<()> {
        while !buf.is_empty() {
            match self.send(buf)? {
                Some(sent) => buf = buf.get(sent..).unwrap_or_default(),
                None => self.writable().await?,
            }
        }
        Ok(())
    }

    /// Tells the peer that nothing more will come.
    pub(crate) fn shutdown_write(&self) {
        shutdown(self.fd(), libc::SHUT_WR);
    }

    /// Makes the close an abort: the peer sees a reset, never a clean end.
    pub(crate) fn reset_on_close(&self) {
        let linger = libc::linger {
            l_onoff: 1,
            l_linger: 0,
        };
        let _ = set_option(self.fd(), libc::SOL_SOCKET, libc::SO_LINGER, &linger);
    }

    /// Acknowledges received segments together with what is sent or after a short while, instead of one by one.
    pub(crate) fn delay_acks(&self) {
        let off: libc::c_int = 0;
        let _ = set_option(self.fd(), libc::IPPROTO_TCP, libc::TCP_QUICKACK, &off);
    }

    /// Bytes of ours that the peer's kernel has acknowledged over the life of the connection; `None` where the
    /// system does not say (`tcpi_bytes_acked` of `TCP_INFO`, Linux 4.1 and later).
    pub(crate) fn bytes_acked(&self) -> Option<u64> {
        const BYTES_ACKED_AT: usize = 120;
        let mut info = [0u8; 256];
        let mut length = libc::socklen_t::try_from(info.len()).ok()?;
        // SAFETY: the kernel writes at most `length` bytes into `info`, and says how many.
        let status = unsafe {
            libc::getsockopt(
                self.fd(),
                libc::IPPROTO_TCP,
                libc::TCP_INFO,
                info.as_mut_ptr().cast(),
                &raw mut length,
            )
        };
        let filled = info.get(..usize::try_from(length).ok()?)?;
        let bytes = filled.get(BYTES_ACKED_AT..BYTES_ACKED_AT + 8)?;
        (status == 0)
            .then(|| bytes.try_into().map(u64::from_ne_bytes).ok())
            .flatten()
    }
}

/// Writes without blocking; a full socket is [`io::ErrorKind::WouldBlock`].
impl io::Write for &Sock {
    fn write(&mut self, buf: &[u8]) -> io::Result<usize> {
        self.send(buf)?.ok_or_else(|| io::ErrorKind::WouldBlock.into())
    }

    fn write_vectored(&mut self, bufs: &[io::IoSlice<'_>]) -> io::Result<usize> {
        // SAFETY: an all-zero message header is a valid one that names no buffers.
        let mut message: libc::msghdr = unsafe { std::mem::zeroed() };
        message.msg_iov = bufs.as_ptr().cast_mut().cast();
        message.msg_iovlen = bufs.len().min(IOV_MAX);
        // SAFETY: `IoSlice` has the layout of `iovec`; the slices outlive the call, which only reads them.
        let n = unsafe {
            libc::sendmsg(
                self.fd(),
                &raw const message,
                libc::MSG_DONTWAIT | libc::MSG_NOSIGNAL,
            )
        };
        outcome(n)?.ok_or_else(|| io::ErrorKind::WouldBlock.into())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

/// Ends waiting on a descriptor from outside the task that waits: its reads see the end, its writes fail.
pub(crate) fn shutdown(fd: RawFd, how: i32) {
    // SAFETY: an integer argument; a descriptor that is not a socket is an error that changes nothing.
    let _ = unsafe { libc::shutdown(fd, how) };
}

/// Begins a connection; await [`Sock::writable`], then ask [`connected`].
pub(crate) fn connect_tcp(address: SocketAddr) -> io::Result<Sock> {
    let family = if address.is_ipv4() {
        libc::AF_INET
    } else {
        libc::AF_INET6
    };
    // SAFETY: integer arguments only.
    let fd = unsafe {
        libc::socket(
            family,
            libc::SOCK_STREAM | libc::SOCK_NONBLOCK | libc::SOCK_CLOEXEC,
            0,
        )
    };
    if fd < 0 {
        return Err(io::Error::last_os_error());
    }
    // SAFETY: `fd` was just made and belongs to nobody else.
    let stream = unsafe { std::net::TcpStream::from_raw_fd(fd) };
    // SAFETY: the pointer and the size describe an address that lives for the call.
    let status = with_address(address, |raw, bytes| unsafe { libc::connect(fd, raw, bytes) });
    if status < 0 {
        let error = io::Error::last_os_error();
        if error.raw_os_error() != Some(libc::EINPROGRESS) {
            return Err(error);
        }
    }
    stream.set_nodelay(true)?;
    Ok(Sock::Tcp(TcpStream::from_std(stream)?))
}

/// Shows an address to `call` in the form that the socket interface wants.
pub(crate) fn with_address(
    address: SocketAddr,
    call: impl FnOnce(*const libc::sockaddr, libc::socklen_t) -> i32,
) -> i32 {
    match address {
        SocketAddr::V4(v4) => {
            let raw = libc::sockaddr_in {
                sin_family: libc::AF_INET as libc::sa_family_t,
                sin_port: v4.port().to_be(),
                sin_addr: libc::in_addr {
                    s_addr: u32::from_ne_bytes(v4.ip().octets()),
                },
                sin_zero: [0; 8],
            };
            call((&raw const raw).cast(), size_of_val(&raw) as libc::socklen_t)
        }
        SocketAddr::V6(v6) => {
            let raw = libc::sockaddr_in6 {
                sin6_family: libc::AF_INET6 as libc::sa_family_t,
                sin6_port: v6.port().to_be(),
                sin6_flowinfo: v6.flowinfo(),
                sin6_addr: libc::in6_addr {
                    s6_addr: v6.ip().octets(),
                },
                sin6_scope_id: v6.scope_id(),
            };
            call((&raw const raw).cast(), size_of_val(&raw) as libc::socklen_t)
        }
    }
}

/// How a connection attempt that has become writable ended.
pub(crate) fn connected(sock: &Sock) -> io::Result<()> {
    let mut error: libc::c_int = 0;
    let mut length = size_of::<libc::c_int>() as libc::socklen_t;
    // SAFETY: the kernel writes one integer into `error`.
    let status = unsafe {
        libc::getsockopt(
            sock.fd(),
            libc::SOL_SOCKET,
            libc::SO_ERROR,
            (&raw mut error).cast(),
            &raw mut length,
        )
    };
    match (status, error) {
        (0, 0) => Ok(()),
        (0, code) => Err(io::Error::from_raw_os_error(code)),
        _ => Err(io::Error::last_os_error()),
    }
}

/// Sets a socket option; whether the system took it.
pub(crate) fn set_option<T>(fd: RawFd, level: i32, name: i32, value: &T) -> bool {
    // SAFETY: the pointer and the size describe `value`.
    let status = unsafe {
        libc::setsockopt(
            fd,
            level,
            name,
            (&raw const *value).cast(),
            size_of::<T>() as libc::socklen_t,
        )
    };
    status == 0
}

fn outcome(n: isize) -> io::Result<Option<usize>> {
    match usize::try_from(n) {
        Ok(n) => Ok(Some(n)),
        Err(_) => {
            let error = io::Error::last_os_error();
            match error.kind() {
                io::ErrorKind::WouldBlock | io::ErrorKind::Interrupted => Ok(None),
                _ => Err(error),
            }
        }
    }
}
