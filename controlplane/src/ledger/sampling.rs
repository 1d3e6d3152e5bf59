//! Samples of buckets, every five minutes: what their history and the speed of their use are told from.
//!
//! A round looks at all buckets in stretches, so that nobody waits long for the store, and ends early when it has taken as
//! many samples as a round may; the next one goes on where it ended, so that every bucket gets its turn.

use std::time::Duration;

use sluice_shared::units::UnixMicros;

use crate::store::samples::FINE_S;
use crate::store::{BucketId, Store, StoreError};

/// Samples of a round.
const ROUND_MAX: u32 = 20_000;
/// Pause between two stretches.
const PAUSE: Duration = Duration::from_millis(100);
const ROUND_US: u64 = FINE_S * 1_000_000;

/// Where sampling stands.
#[derive(Debug, Default)]
pub(super) struct Sampling {
    /// Number of the last round that is done.
    done: u64,
    /// The round under way.
    round: Option<Round>,
    /// The next bucket is behind this one.
    after: BucketId,
}

#[derive(Debug)]
struct Round {
    number: u64,
    taken: u32,
    /// Behind which bucket it began.
    began: BucketId,
    /// It has come to the end of the buckets and goes on from the first.
    wrapped: bool,
    /// All samples are taken; what is too old is removed.
    purging: bool,
}

impl Sampling {
    /// Does what is to be done at a moment; how long it has time then.
    pub(super) async fn step(&mut self, store: &dyn Store, now: UnixMicros) -> Result<Duration, StoreError> {
        let number = now.0 / ROUND_US;
        if self.round.is_none() {
            if number <= self.done {
                let next = self.done.saturating_add(1).saturating_mul(ROUND_US);
                return Ok(Duration::from_micros(next.saturating_sub(now.0)));
            }
            self.round = Some(Round {
                number,
                taken: 0,
                began: self.after,
                wrapped: false,
                purging: false,
            });
        }
        let Some(round) = &mut self.round else {
            return Ok(PAUSE);
        };
        if round.purging {
            if !store.purge_samples(now).await? {
                self.done = round.number;
                self.round = None;
            }
            return Ok(PAUSE);
        }
        let left = ROUND_MAX.saturating_sub(round.taken);
        let sampled = store.sample_buckets(self.after, left, now).await?;
        round.taken = round.taken.saturating_add(sampled.taken);
        match sampled.next {
            Some(next) => self.after = next,
            None => {
                self.after = 0;
                // Whoever began at the first bucket has seen them all.
                round.purging = round.wrapped || round.began == 0;
                round.wrapped = true;
            }
        }
        round.purging |= round.taken >= ROUND_MAX || (round.wrapped && self.after >= round.began);
        Ok(PAUSE)
    }

    /// How long to wait after a failure.
    pub(super) const fn retry() -> Duration {
        Duration::from_secs(30)
    }
}

#[cfg(test)]
mod tests;
