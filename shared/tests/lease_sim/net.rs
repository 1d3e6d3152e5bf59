//! What is on its way between a node and the ledger: late, lost, doubled, out of order.

use sluice_shared::quota::ledger::{Ask, Grant};

use crate::world::Context;

#[derive(Clone, Copy, Debug)]
pub struct Message {
    pub due: u64,
    pub node: usize,
    pub bucket: usize,
    pub body: Body,
}

#[derive(Clone, Copy, Debug)]
pub enum Body {
    /// To the ledger.
    Ask(Ask),
    /// To the node, as the rest.
    Grant(Grant),
    Changed,
    Recall,
}

/// How bad the network is.
#[derive(Clone, Copy, Debug, Default)]
pub struct Weather {
    /// Percent of messages that never arrive.
    pub loss: u64,
    /// Percent that arrive twice.
    pub doubled: u64,
    /// Longest way, in microseconds.
    pub delay_us: u64,
}

impl Context {
    pub fn send(&mut self, node: usize, bucket: usize, body: Body) {
        if self.random.percent(self.weather.loss) {
            return;
        }
        let copies = if self.random.percent(self.weather.doubled) {
            2
        } else {
            1
        };
        for _ in 0..copies {
            // Most are quick, some take very long.
            let most = if self.random.percent(90) {
                self.weather.delay_us / 50
            } else {
                self.weather.delay_us
            };
            self.net.push(Message {
                due: self.now + 50 + self.random.below(most + 1),
                node,
                bucket,
                body,
            });
        }
    }

    /// One of those that are due, in no order.
    pub fn receive(&mut self) -> Option<Message> {
        let due = self.net.iter().filter(|message| message.due <= self.now).count();
        if due == 0 {
            return None;
        }
        let which = self.random.index(due);
        let (at, _) = self
            .net
            .iter()
            .enumerate()
            .filter(|(_, message)| message.due <= self.now)
            .nth(which)?;
        Some(self.net.swap_remove(at))
    }
}
