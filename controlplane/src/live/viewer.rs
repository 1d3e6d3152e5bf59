//! Who watches: a queue for each, bounded, and a seat that is free again when its holder is gone.

use std::convert::Infallible;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};

use axum::body::{Bytes, HttpBody};
use hyper::body::Frame;
use sluice_shared::usage::UsageRecord;
use tokio::sync::mpsc;

use super::lately::Who;
use super::{Live, event};
use crate::store::RequestQuery;

/// Events that wait for a viewer: more than two seconds of everything he may get.
const QUEUE: usize = 128;
/// Records that a viewer gets in a second.
pub(super) const RECORDS_PER_S: u32 = 50;

/// What somebody wants to see.
#[derive(Debug, Clone, Default)]
pub(crate) struct Wish {
    /// Who watches: nobody takes all seats.
    pub(crate) watcher: String,
    /// Whose figures; `None`: the whole gateway's.
    pub(crate) user: Option<String>,
    /// Which records as they come; `None`: none.
    pub(crate) tail: Option<RequestQuery>,
}

/// One who watches.
#[derive(Debug)]
pub(super) struct Viewer {
    pub(super) seat: u64,
    pub(super) watcher: String,
    pub(super) who: Option<Who>,
    tail: Option<RequestQuery>,
    queue: mpsc::Sender<Bytes>,
    /// Records that he may get until the next tick.
    left: u32,
    /// Events that he missed and was not told of.
    missed: u64,
}

impl Viewer {
    pub(super) fn new(seat: u64, who: Option<Who>, wish: Wish) -> (Self, mpsc::Receiver<Bytes>) {
        let (queue, events) = mpsc::channel(QUEUE);
        let viewer = Self {
            seat,
            watcher: wish.watcher,
            who,
            tail: wish.tail,
            queue,
            left: RECORDS_PER_S,
            missed: 0,
        };
        (viewer, events)
    }

    pub(super) const fn has_tail(&self) -> bool {
        self.tail.is_some()
    }

    pub(super) fn send(&mut self, event: Bytes) {
        if self.queue.try_send(event).is_err() {
            self.missed = self.missed.saturating_add(1);
        }
    }

    /// Offers a record; `text` makes its event when it is wanted.
    pub(super) fn offer(&mut self, record: &UsageRecord, text: impl FnOnce() -> Bytes) {
        if self.tail.as_ref().is_none_or(|wanted| !wanted.matches(record)) {
            return;
        }
        match self.left.checked_sub(1) {
            Some(left) => {
                self.left = left;
                self.send(text());
            }
            None => self.missed = self.missed.saturating_add(1),
        }
    }

    /// A second has passed: tells what was missed.
    pub(super) fn tick(&mut self) {
        self.left = RECORDS_PER_S;
        if self.missed > 0 && self.queue.try_send(event::skipped(self.missed).into()).is_ok() {
            self.missed = 0;
        }
    }
}

/// The stream of one viewer, as the body of an answer. His seat is free when it is dropped.
pub(crate) struct Feed {
    pub(super) events: mpsc::Receiver<Bytes>,
    pub(super) live: Arc<Live>,
    pub(super) seat: u64,
}

impl Drop for Feed {
    fn drop(&mut self) {
        self.live.leave(self.seat);
    }
}

impl HttpBody for Feed {
    type Data = Bytes;
    type Error = Infallible;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, Infallible>>> {
        self.events
            .poll_recv(context)
            .map(|event| event.map(|event| Ok(Frame::data(event))))
    }
}
