//! Requests of a shard that wait for one answer about one bucket.

use std::cell::{Cell, RefCell};
use std::future::Future;
use std::pin::Pin;
use std::rc::Rc;
use std::task::{Context, Poll, Waker};

use super::Answer;

/// An answer that is on its way, and who waits for it.
#[derive(Debug, Default)]
pub(super) struct Pending {
    answer: Cell<Option<Answer>>,
    wakers: RefCell<Vec<Option<Waker>>>,
}

impl Pending {
    /// It is there.
    pub(super) fn put(&self, answer: Answer) {
        self.answer.set(Some(answer));
        let wakers = std::mem::take(&mut *self.wakers.borrow_mut());
        for waker in wakers.into_iter().flatten() {
            waker.wake();
        }
    }
}

/// One who waits; dropping it ends the wait, and nothing else.
#[derive(Debug)]
pub(crate) struct Wait {
    pending: Rc<Pending>,
    place: Option<usize>,
}

impl Wait {
    pub(super) fn new(pending: Rc<Pending>) -> Self {
        Self { pending, place: None }
    }

    /// The answer, if it is there.
    pub(super) fn answer(&self) -> Option<Answer> {
        self.pending.answer.get()
    }
}

impl Future for Wait {
    type Output = Answer;

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Answer> {
        let me = &mut *self;
        if let Some(answer) = me.pending.answer.get() {
            return Poll::Ready(answer);
        }
        let mut wakers = me.pending.wakers.borrow_mut();
        let place = *me.place.get_or_insert_with(|| {
            wakers.push(None);
            wakers.len().saturating_sub(1)
        });
        if let Some(waker) = wakers.get_mut(place) {
            match waker {
                Some(waker) => waker.clone_from(cx.waker()),
                None => *waker = Some(cx.waker().clone()),
            }
        }
        Poll::Pending
    }
}

impl Drop for Wait {
    fn drop(&mut self) {
        if let Some(place) = self.place
            && let Some(waker) = self.pending.wakers.borrow_mut().get_mut(place)
        {
            *waker = None;
        }
    }
}
