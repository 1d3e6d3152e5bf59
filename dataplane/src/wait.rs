//! Waiting within a shard: for an answer that comes as a message, and for the first of two sockets.

use std::cell::RefCell;
use std::future::{Future, poll_fn};
use std::io;
use std::pin::{Pin, pin};
use std::rc::Rc;
use std::task::{Context, Poll, Waker};

use crate::sock::{Peek, Sock};

/// A place for one value that another task of the same shard will put there.
pub(crate) struct Slot<T> {
    inner: Rc<RefCell<(Option<T>, Option<Waker>)>>,
}

impl<T> Clone for Slot<T> {
    fn clone(&self) -> Self {
        Self {
            inner: self.inner.clone(),
        }
    }
}

impl<T> Slot<T> {
    pub(crate) fn new() -> Self {
        Self {
            inner: Rc::new(RefCell::new((None, None))),
        }
    }

    /// Puts the value there and wakes whoever waits.
    pub(crate) fn put(&self, value: T) {
        let waker = {
            let mut inner = self.inner.borrow_mut();
            inner.0 = Some(value);
            inner.1.take()
        };
        if let Some(waker) = waker {
            waker.wake();
        }
    }

    /// Waits for the value.
    pub(crate) fn take(&self) -> impl Future<Output = T> + '_ {
        poll_fn(move |cx| {
            let mut inner = self.inner.borrow_mut();
            if let Some(value) = inner.0.take() {
                return Poll::Ready(value);
            }
            inner.1 = Some(cx.waker().clone());
            Poll::Pending
        })
    }
}

/// Which of two futures ended first.
pub(crate) enum Either<A, B> {
    First(A),
    Second(B),
}

/// Waits for the first of two futures; the other stays as it is and can be awaited again.
pub(crate) async fn race<A: Future, B: Future>(
    mut first: Pin<&mut A>,
    mut second: Pin<&mut B>,
) -> Either<A::Output, B::Output> {
    poll_fn(move |cx| {
        if let Poll::Ready(value) = first.as_mut().poll(cx) {
            return Poll::Ready(Either::First(value));
        }
        if let Poll::Ready(value) = second.as_mut().poll(cx) {
            return Poll::Ready(Either::Second(value));
        }
        Poll::Pending
    })
    .await
}

/// The standing watch for a client that leaves. It is kept over all waits of an exchange, so that watching costs
/// nothing per event.
pub(crate) struct GoneWatch<'a, F> {
    sock: &'a Sock,
    waiting: Option<F>,
}

/// Starts watching `sock`.
pub(crate) fn watch_gone(sock: &Sock) -> GoneWatch<'_, impl Future<Output = io::Result<()>> + '_> {
    GoneWatch {
        sock,
        waiting: Some(sock.readable()),
    }
}

impl<F: Future<Output = io::Result<()>>> GoneWatch<'_, F> {
    /// Ready when the client has closed or reset its connection.
    ///
    /// Bytes of a pipelined request end the watch instead: they hide the client's end until they are read.
    fn poll_gone(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<()> {
        let (sock, mut waiting) = self.project();
        let Some(future) = waiting.as_mut().as_pin_mut() else {
            return Poll::Pending;
        };
        if future.poll(cx).is_pending() {
            return Poll::Pending;
        }
        waiting.set(None);
        match sock.peek() {
            Peek::Closed => Poll::Ready(()),
            Peek::Data | Peek::Empty => Poll::Pending,
        }
    }

    #[allow(unsafe_code, reason = "projection of a pin to the one field that needs it")]
    fn project(self: Pin<&mut Self>) -> (&Sock, Pin<&mut Option<F>>) {
        // SAFETY: `waiting` is never moved out of a pinned `GoneWatch`, and `sock` is a shared reference.
        let this = unsafe { self.get_unchecked_mut() };
        // SAFETY: as above: the field is pinned because the whole is.
        (this.sock, unsafe { Pin::new_unchecked(&mut this.waiting) })
    }
}

/// Waits for `event`; `None` if the client leaves first.
pub(crate) async fn unless_gone<E: Future, F: Future<Output = io::Result<()>>>(
    event: E,
    mut gone: Pin<&mut GoneWatch<'_, F>>,
) -> Option<E::Output> {
    let mut event = pin!(event);
    poll_fn(move |cx| {
        if let Poll::Ready(value) = event.as_mut().poll(cx) {
            return Poll::Ready(Some(value));
        }
        gone.as_mut().poll_gone(cx).map(|()| None)
    })
    .await
}
