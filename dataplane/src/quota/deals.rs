//! Ceilings and refills, each kept once: a million buckets of one quota have the same.
//!
//! The agent numbers them and counts their users; shards read them without waiting. A number whose last user is gone is
//! given to others, so a shard that reads one while that happens may see other terms than its bucket has; it uses them
//! for nothing but the time after which a client is told to try again, and for whether to ask the agent.

use std::collections::HashMap;
use std::sync::Arc;

use arc_swap::ArcSwap;
use sluice_shared::quota::{Rate, Terms};

/// What the ledger last said about a bucket apart from amounts.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub(crate) struct Deal {
    /// Ceiling and refill.
    pub(crate) terms: Terms,
    /// The node's share of the refill while the control plane is away.
    pub(crate) share: Rate,
}

/// What shards see.
#[derive(Clone, Debug, Default)]
pub(crate) struct Deals(Arc<ArcSwap<Vec<Deal>>>);

impl Deals {
    /// Terms by number; no ceiling and no refill for one that was never given.
    pub(crate) fn terms(&self, number: u32) -> Terms {
        let deals = self.0.load();
        let found = usize::try_from(number).ok().and_then(|n| deals.get(n));
        found.map_or_else(Terms::default, |deal| deal.terms)
    }
}

/// The agent's side.
#[derive(Debug, Default)]
pub(crate) struct DealBook {
    shared: Deals,
    deals: Vec<(Deal, u32)>,
    numbers: HashMap<Deal, u32>,
    unused: Vec<u32>,
}

impl DealBook {
    /// What shards read.
    pub(crate) fn shared(&self) -> Deals {
        self.shared.clone()
    }

    /// By number.
    pub(crate) fn get(&self, number: u32) -> Deal {
        let place = usize::try_from(number).ok().and_then(|n| self.deals.get(n));
        place.map_or_else(Deal::default, |(deal, _)| *deal)
    }

    /// The number of a deal, with one user more.
    pub(crate) fn join(&mut self, deal: Deal) -> u32 {
        if let Some(number) = self.numbers.get(&deal).copied() {
            if let Some((_, users)) = self.place(number) {
                *users = users.saturating_add(1);
            }
            return number;
        }
        let number = match self.unused.pop() {
            Some(number) => {
                if let Some(place) = self.place(number) {
                    *place = (deal, 1);
                }
                number
            }
            None => {
                let number = u32::try_from(self.deals.len()).unwrap_or(u32::MAX);
                self.deals.push((deal, 1));
                number
            }
        };
        self.numbers.insert(deal, number);
        let all = self.deals.iter().map(|(deal, _)| *deal).collect();
        self.shared.0.store(Arc::new(all));
        number
    }

    /// One user less.
    pub(crate) fn leave(&mut self, number: u32) {
        let Some((deal, users)) = self.place(number) else {
            return;
        };
        *users = users.saturating_sub(1);
        if *users == 0 {
            let deal = *deal;
            self.numbers.remove(&deal);
            self.unused.push(number);
        }
    }

    fn place(&mut self, number: u32) -> Option<&mut (Deal, u32)> {
        self.deals.get_mut(usize::try_from(number).ok()?)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn deal(capacity: u64) -> Deal {
        Deal {
            terms: Terms {
                capacity,
                rate: Rate::NONE,
            },
            share: Rate::NONE,
        }
    }

    #[test]
    fn equal_deals_share_a_number_and_unused_numbers_come_back() {
        let mut book = DealBook::default();
        let shared = book.shared();
        let (a, b) = (book.join(deal(1)), book.join(deal(2)));
        assert_ne!(a, b);
        assert_eq!(book.join(deal(1)), a);
        assert_eq!((shared.terms(a).capacity, shared.terms(b).capacity), (1, 2));
        book.leave(a);
        assert_eq!(book.join(deal(3)), 2, "one user of the first is left");
        book.leave(a);
        assert_eq!(book.join(deal(4)), a);
        assert_eq!(shared.terms(a).capacity, 4);
        assert_eq!(shared.terms(99), Terms::default());
    }
}
