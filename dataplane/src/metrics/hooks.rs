//! Calls of hooks: how often, how they ended, how long they took.
//!
//! Labelled by the hook's name in the document. The first [`NAMES_MAX`] names of a shard have series of their own.

use super::Histogram;

/// Hooks with a label of their own.
pub const NAMES_MAX: usize = 64;
/// The label of all others.
pub const OTHER: &str = "other";

/// How a call of a hook ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u8)]
pub enum HookOutcome {
    /// The request goes on.
    Allow,
    /// It goes on with another body.
    Modify,
    /// It ends.
    Block,
    /// The hook was not heard and the request goes on.
    FailedOpen,
    /// The hook was not heard and the request is refused.
    FailedClosed,
    /// The client left first.
    Gone,
}

impl HookOutcome {
    /// Every outcome.
    pub const ALL: [Self; 6] = [
        Self::Allow,
        Self::Modify,
        Self::Block,
        Self::FailedOpen,
        Self::FailedClosed,
        Self::Gone,
    ];

    /// The word in the label.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Allow => "allow",
            Self::Modify => "modify",
            Self::Block => "block",
            Self::FailedOpen => "failed_open",
            Self::FailedClosed => "failed_closed",
            Self::Gone => "client_gone",
        }
    }
}

/// Calls of one hook.
#[derive(Clone, Debug, Default)]
pub struct HookCalls {
    /// By outcome, in the order of [`HookOutcome::ALL`].
    pub ended: [u64; HookOutcome::ALL.len()],
    /// How long they took, in microseconds.
    pub took: Histogram,
}

/// Counts of a shard.
#[derive(Clone, Debug, Default)]
pub struct HookCounts {
    named: Vec<(Box<str>, HookCalls)>,
}

impl HookCounts {
    /// Counts a call.
    pub fn count(&mut self, hook: &str, outcome: HookOutcome, took_us: u64) {
        let calls = self.of(hook);
        if let Some(count) = calls.ended.get_mut(outcome as usize) {
            *count += 1;
        }
        calls.took.add(took_us);
    }

    fn of(&mut self, hook: &str) -> &mut HookCalls {
        let known =
            |named: &[(Box<str>, HookCalls)], hook: &str| named.iter().position(|(name, _)| **name == *hook);
        let full = self.named.len() >= NAMES_MAX;
        let at = known(&self.named, hook).or_else(|| full.then(|| known(&self.named, OTHER)).flatten());
        let at = at.unwrap_or_else(|| {
            let name = if full { OTHER } else { hook };
            self.named.push((name.into(), HookCalls::default()));
            self.named.len() - 1
        });
        &mut self.named[at].1
    }

    /// Every hook that was called, by name.
    #[must_use]
    pub fn sorted(&self) -> Vec<(&str, &HookCalls)> {
        let mut out: Vec<(&str, &HookCalls)> =
            self.named.iter().map(|(name, calls)| (&**name, calls)).collect();
        out.sort_unstable_by_key(|(name, _)| *name);
        out
    }

    /// Adds the counts of another shard.
    pub(super) fn merge(&mut self, other: &Self) {
        for (name, calls) in &other.named {
            let sum = self.of(name);
            for (sum, more) in sum.ended.iter_mut().zip(calls.ended) {
                *sum = sum.saturating_add(more);
            }
            sum.took.merge(&calls.took);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_bounded_and_counts_add_up() {
        let (mut one, mut two) = (HookCounts::default(), HookCounts::default());
        for n in 0..NAMES_MAX + 10 {
            one.count(&format!("a{n:02}"), HookOutcome::Allow, 1);
            two.count(&format!("b{n:02}"), HookOutcome::Gone, 1);
        }
        assert_eq!(one.sorted().len(), NAMES_MAX + 1);
        one.count("a00", HookOutcome::FailedClosed, 5);
        one.merge(&two);
        let sorted = one.sorted();
        assert_eq!(sorted.len(), NAMES_MAX + 1);
        let find = |name: &str| {
            sorted
                .iter()
                .find(|(n, _)| *n == name)
                .map(|(_, calls)| *calls)
                .unwrap()
        };
        assert_eq!(find(OTHER).ended, [10, 0, 0, 0, 0, (NAMES_MAX + 10) as u64]);
        assert_eq!(find("a00").ended, [1, 0, 0, 0, 1, 0]);
        assert_eq!((find("a00").took.count(), find("a00").took.sum_us()), (2, 6));
    }
}
