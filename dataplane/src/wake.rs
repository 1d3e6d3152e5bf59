//! A wake-up between threads that can be waited on with `poll`, epoll or io_uring.
//!
//! Only the first ring since the last [`Ear::clear`] costs a system call: `signalled` remembers that the byte is on
//! its way. Whoever listens clears first and then looks at what it was wakened for; what is put there in between
//! is either seen by that look or announced by a byte of its own.

use std::io::{self, Read, Write};
use std::os::fd::{AsFd, BorrowedFd};
use std::os::unix::net::UnixStream;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

/// The ringing end.
#[derive(Clone, Debug)]
pub(crate) struct Bell {
    shared: Arc<Shared>,
}

/// The listening end.
#[derive(Debug)]
pub(crate) struct Ear {
    shared: Arc<Shared>,
    wake: UnixStream,
}

#[derive(Debug)]
struct Shared {
    signalled: AtomicBool,
    wake: UnixStream,
}

/// Makes both ends.
pub(crate) fn wake_pair() -> io::Result<(Bell, Ear)> {
    let (sender, receiver) = UnixStream::pair()?;
    sender.set_nonblocking(true)?;
    receiver.set_nonblocking(true)?;
    let shared = Arc::new(Shared {
        signalled: AtomicBool::new(false),
        wake: sender,
    });
    let bell = Bell {
        shared: Arc::clone(&shared),
    };
    Ok((
        bell,
        Ear {
            shared,
            wake: receiver,
        },
    ))
}

impl Bell {
    /// Wakes the listener; never blocks.
    pub(crate) fn ring(&self) {
        if !self.shared.signalled.swap(true, Ordering::AcqRel) {
            // A full socket already holds bytes that wake, a closed one means that nobody listens any more.
            let _ = (&self.shared.wake).write(&[1]);
        }
    }
}

impl Ear {
    /// Becomes readable when the bell was rung. Only to be waited on: [`Self::clear`] does the reading.
    pub(crate) fn fd(&self) -> BorrowedFd<'_> {
        self.wake.as_fd()
    }

    /// A second descriptor of the same socket, for a runtime that wants to own what it waits on.
    pub(crate) fn stream(&self) -> io::Result<UnixStream> {
        self.wake.try_clone()
    }

    /// Takes the wake-up back.
    pub(crate) fn clear(&mut self) {
        let mut bytes = [0; 64];
        while matches!(self.wake.read(&mut bytes), Ok(n) if n == bytes.len()) {}
        self.shared.signalled.swap(false, Ordering::AcqRel);
    }
}
