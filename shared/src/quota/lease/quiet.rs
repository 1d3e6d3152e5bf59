//! The usual state of a holder in few bytes, for nodes that keep very many.

use super::Holder;
use crate::quota::bucket::{Accrual, Rate, Terms};
use crate::units::MonoMicros;

/// A holder whose last question was answered, and that has since credited itself nothing; nor has it ever in its stint,
/// or given anything back. Ceiling, refill and share are kept elsewhere, because many buckets have the same.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Quiet {
    /// First question of the stint.
    pub first: u64,
    /// Last question, which was answered.
    pub answered: u64,
    /// Granted.
    pub seen: u64,
    /// When the answer came. A later time is on the safe side: so much less is credited.
    pub at: MonoMicros,
}

impl Quiet {
    /// The holder in this state.
    #[must_use]
    pub fn holder(self, terms: Terms, share: Rate) -> Holder {
        Holder {
            seq: self.answered,
            first: self.first,
            answered: self.answered,
            answered_at: self.at,
            seen: self.seen,
            returned: 0,
            advanced: 0,
            asking: false,
            since: self.at,
            share,
            accrual: Accrual::default(),
            terms,
        }
    }
}

impl Holder {
    /// Its state, if it is a quiet one.
    #[must_use]
    pub fn quiet(&self) -> Option<Quiet> {
        let quiet = Quiet {
            first: self.first,
            answered: self.answered,
            seen: self.seen,
            at: self.answered_at,
        };
        (quiet.holder(self.terms, self.share) == *self).then_some(quiet)
    }

    /// What it may credit itself while the ledger is away.
    #[must_use]
    pub const fn share(&self) -> Rate {
        self.share
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::quota::ledger::Grant;

    #[test]
    fn a_holder_is_quiet_between_an_answer_and_the_next_change() {
        let now = MonoMicros(5_000_000);
        let mut holder = Holder::begin(7, now);
        assert_eq!(holder.quiet(), None, "nothing was answered yet");
        let ask = holder.ask(1, now);
        assert_eq!(holder.quiet(), None, "a question is under way");
        let terms = Terms {
            capacity: 100,
            rate: Rate {
                amount: 1,
                per_us: 1_000_000,
            },
        };
        let grant = Grant {
            seq: ask.seq,
            granted: 50,
            terms,
            share: terms.rate,
        };
        assert_eq!(holder.granted(&grant, now), Some(50));
        let quiet = holder.quiet().unwrap();
        assert_eq!((quiet.first, quiet.answered, quiet.seen), (8, 8, 50));
        assert_eq!(quiet.holder(terms, terms.rate), holder);

        let mut gave = holder;
        gave.give_back(1);
        assert_eq!(gave.quiet(), None);
        let mut credited = holder;
        assert_eq!(credited.advance(0, MonoMicros(7_000_000)), 2);
        assert_eq!(credited.quiet(), None);
    }
}
