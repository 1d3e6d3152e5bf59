//! Accepting: one listening socket a shard and address, limits before anything is read.

#![allow(
    unsafe_code,
    reason = "taking over listening sockets that the supervisor made, and socket options"
)]

use std::any::Any;
use std::future::Future;
use std::io;
use std::net::{SocketAddr, TcpListener as StdListener};
use std::os::fd::{FromRawFd, RawFd};
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::pin::Pin;
use std::rc::Rc;
use std::sync::atomic::Ordering;
use std::task::{Context, Poll};

use monoio::net::TcpListener;
use sluice_shared::snapshot::address_bits;

use crate::downstream;
use crate::limits;
use crate::shard::Shard;
use crate::sock::{self, Sock};

pub(crate) mod entrance;

use entrance::Entrance;

/// Connections that may wait to be accepted.
const BACKLOG: i32 = 4_096;

/// Takes over a listening socket.
pub(crate) fn inherit(fd: RawFd) -> io::Result<StdListener> {
    let mut kind: libc::c_int = 0;
    let mut length = libc::socklen_t::try_from(size_of::<libc::c_int>()).unwrap_or(0);
    // SAFETY: the kernel writes one integer into `kind`; a wrong descriptor is an error that changes nothing.
    let status = unsafe {
        libc::getsockopt(
            fd,
            libc::SOL_SOCKET,
            libc::SO_ACCEPTCONN,
            (&raw mut kind).cast(),
            &raw mut length,
        )
    };
    if status != 0 {
        return Err(io::Error::last_os_error());
    }
    if kind == 0 {
        return Err(io::Error::new(
            io::ErrorKind::InvalidInput,
            "the inherited socket is not listening",
        ));
    }
    // SAFETY: the supervisor made this socket for us and names each descriptor once.
    Ok(unsafe { StdListener::from_raw_fd(fd) })
}

/// Binds a listening socket that other shards can share the address of.
pub(crate) fn bind(address: SocketAddr) -> io::Result<StdListener> {
    let family = if address.is_ipv4() {
        libc::AF_INET
    } else {
        libc::AF_INET6
    };
    // SAFETY: integer arguments only.
    let fd = unsafe { libc::socket(family, libc::SOCK_STREAM | libc::SOCK_CLOEXEC, 0) };
    if fd < 0 {
        return Err(io::Error::last_os_error());
    }
    // SAFETY: `fd` was just made; from here on the listener owns and closes it.
    let listener = unsafe { StdListener::from_raw_fd(fd) };
    let on: libc::c_int = 1;
    for option in [libc::SO_REUSEADDR, libc::SO_REUSEPORT] {
        if !sock::set_option(fd, libc::SOL_SOCKET, option, &on) {
            return Err(io::Error::last_os_error());
        }
    }
    // SAFETY: the pointer and the size describe an address that lives for the call.
    let status = sock::with_address(address, |raw, bytes| unsafe { libc::bind(fd, raw, bytes) });
    // SAFETY: integer arguments only.
    if status != 0 || unsafe { libc::listen(fd, BACKLOG) } != 0 {
        return Err(io::Error::last_os_error());
    }
    Ok(listener)
}

/// Accepts for the life of the process.
pub(crate) async fn accept(shard: Rc<Shard>, listener: StdListener) {
    let name: Rc<str> = listener
        .local_addr()
        .map_or_else(|_| String::new(), |a| a.to_string())
        .into();
    // epoll accepts until there is nothing left, which must not block; the ring waits in the kernel, which must.
    let ready = listener.set_nonblocking(monoio::utils::is_legacy());
    let listener = match ready.and_then(|()| TcpListener::from_std(listener)) {
        Ok(listener) => listener,
        Err(error) => {
            tracing::error!(%error, %name, "cannot use the listening socket");
            std::process::abort();
        }
    };
    // Now, not only at the first connection: should the listener leave the configuration before, it stays what it was.
    let mut entrance = Entrance::unknown().renewed(shard.config().as_ref(), &name);
    loop {
        let (stream, peer) = match listener.accept().await {
            Ok(accepted) => accepted,
            Err(error) => {
                // Out of descriptors: what is open goes on, the backlog waits.
                tracing::warn!(%error, "cannot accept");
                monoio::time::sleep(limits::ACCEPT_PAUSE).await;
                continue;
            }
        };
        let open = shard.process.connections.fetch_add(1, Ordering::Relaxed);
        let permit = Permit(shard.clone());
        if open >= shard.process.connections_max {
            shard.metrics.borrow_mut().counts.connections_refused += 1;
            continue;
        }
        shard.metrics.borrow_mut().counts.connections_accepted += 1;
        let _ = stream.set_nodelay(true);
        entrance = entrance.renewed(shard.config().as_ref(), &name);
        let sock = Sock::Tcp(stream);
        let served = downstream::serve(
            shard.clone(),
            sock,
            address_bits(peer.ip()),
            peer.port(),
            name.clone(),
            entrance.clone(),
        );
        let shard = shard.clone();
        monoio::spawn(async move {
            let _permit = permit;
            if let Err(panic) = (Caught {
                future: Box::pin(served),
            })
            .await
            {
                shard.metrics.borrow_mut().counts.panics += 1;
                tracing::error!(what = panic_text(&*panic), "a connection was lost to a panic");
            }
        });
    }
}

/// One of the connections that the process may have.
struct Permit(Rc<Shard>);

impl Drop for Permit {
    fn drop(&mut self) {
        self.0.process.connections.fetch_sub(1, Ordering::Relaxed);
    }
}

/// A future whose panic becomes its result, so that it costs one connection and not the shard.
struct Caught<F> {
    future: Pin<Box<F>>,
}

impl<F: Future> Future for Caught<F> {
    type Output = Result<F::Output, Box<dyn Any + Send>>;

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        let future = self.future.as_mut();
        match catch_unwind(AssertUnwindSafe(|| future.poll(cx))) {
            Ok(Poll::Ready(value)) => Poll::Ready(Ok(value)),
            Ok(Poll::Pending) => Poll::Pending,
            Err(panic) => Poll::Ready(Err(panic)),
        }
    }
}

fn panic_text(panic: &(dyn Any + Send)) -> &str {
    let text = panic.downcast_ref::<&str>().copied();
    text.or_else(|| panic.downcast_ref::<String>().map(String::as_str))
        .unwrap_or("unknown")
}
