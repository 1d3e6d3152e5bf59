//! Waiting within a shard: for an answer that comes as a message, and for the first of two sockets.

use std::cell::RefCell;
use std::future::{Future, poll_fn};
use std::io;
use std::pin::{Pin, pin};
use std::rc::Rc;
use std::task::{Context, Poll, Waker};

use crate::shard::Shard;
use crate::sock::Peek;
use crate::transport::Transport;
use crate::watch::Watch;

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

/// The watch for a client that leaves, kept over all waits of an exchange.
///
/// It begins after one sweep of the shard's list, so an exchange that is over sooner costs no submission and no
/// cancellation, and an exchange that lasts costs one, however many events it has.
pub(crate) struct GoneWatch<'a> {
    sock: &'a Transport,
    watch: &'a Watch,
    stage: Stage<'a>,
}

enum Stage<'a> {
    /// Nothing has been asked of the shard yet.
    New,
    /// The sweep will wake us.
    Asleep,
    /// The socket is being waited on.
    Waiting(GoneFuture<'a>),
    /// Bytes of a pipelined request hide the client's end until they are read.
    Blind,
}

/// Prepares to watch `sock`.
pub(crate) fn watch_gone<'a>(sock: &'a Transport, watch: &'a Watch) -> GoneWatch<'a> {
    GoneWatch {
        sock,
        watch,
        stage: Stage::New,
    }
}

/// A wait for the client's socket; boxed, because few exchanges need one.
type GoneFuture<'a> = Pin<Box<dyn Future<Output = io::Result<()>> + 'a>>;

impl GoneWatch<'_> {
    fn poll_gone(&mut self, cx: &mut Context<'_>) -> Poll<()> {
        loop {
            match &mut self.stage {
                Stage::New => {
                    self.watch.wake_later(cx.waker(), Shard::now_ms());
                    self.stage = Stage::Asleep;
                    return Poll::Pending;
                }
                Stage::Asleep => {
                    if self.watch.will_wake() {
                        return Poll::Pending;
                    }
                    self.stage = Stage::Waiting(Box::pin(self.sock.readable()));
                }
                Stage::Waiting(future) => {
                    if future.as_mut().poll(cx).is_pending() {
                        return Poll::Pending;
                    }
                    match self.sock.peek() {
                        Peek::Closed => return Poll::Ready(()),
                        Peek::Data => self.stage = Stage::Blind,
                        Peek::Empty => self.stage = Stage::Waiting(Box::pin(self.sock.readable())),
                    }
                }
                Stage::Blind => return Poll::Pending,
            }
        }
    }
}

impl Drop for GoneWatch<'_> {
    fn drop(&mut self) {
        self.watch.wake_not();
    }
}

/// Waits for `event`; `None` if the client leaves first.
pub(crate) async fn unless_gone<E: Future>(event: E, gone: &mut GoneWatch<'_>) -> Option<E::Output> {
    let mut event = pin!(event);
    poll_fn(move |cx| {
        if let Poll::Ready(value) = event.as_mut().poll(cx) {
            return Poll::Ready(Some(value));
        }
        gone.poll_gone(cx).map(|()| None)
    })
    .await
}
