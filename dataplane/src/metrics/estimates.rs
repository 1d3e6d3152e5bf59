//! What shards have learnt of models, as it is reserved by.
//!
//! Each shard learns for itself; the text shows what one would know that had learnt all of it, so a shard that has served
//! more counts more. The first [`super::labels::ESTIMATES_MAX`] pairs of provider and model of the process are shown.

use sluice_shared::quota::estimate::{Estimates, Learnt};

use super::labels::{LabelSlot, Labels};

/// What was learnt, by number of the label.
#[derive(Clone, Debug, Default)]
pub struct EstimateGauges {
    learnt: Vec<(LabelSlot, Learnt)>,
}

impl EstimateGauges {
    /// Takes over what a shard knows now, in the place of what it knew before.
    pub fn take(&mut self, labels: &Labels, estimates: &Estimates) {
        self.learnt.clear();
        for (provider, model, learnt) in estimates.iter() {
            let slot = labels.estimate(provider, model);
            if slot != LabelSlot::OTHER {
                self.learnt.push((slot, learnt.clone()));
            }
        }
    }

    /// Adds what another shard knows.
    pub(super) fn merge(&mut self, other: &Self) {
        for (slot, more) in &other.learnt {
            match self.learnt.iter_mut().find(|(known, _)| known == slot) {
                Some((_, learnt)) => learnt.merge(more),
                None => self.learnt.push((*slot, more.clone())),
            }
        }
    }

    /// Provider, model and what is known, sorted by name.
    pub(super) fn sorted(&self, labels: &Labels) -> Vec<(String, String, &Learnt)> {
        let named = self.learnt.iter().filter_map(|(slot, learnt)| {
            let (provider, model) = labels.estimate_names(*slot)?;
            Some((provider, model, learnt))
        });
        let mut sorted: Vec<_> = named.collect();
        sorted.sort_by(|a, b| (&a.0, &a.1).cmp(&(&b.0, &b.1)));
        sorted
    }
}
