//! What quotas refused and cut.
//!
//! Labelled by the name of the quota as the document has it, placeholders and all, never by a bucket: the names of
//! buckets hold what clients say. The first [`NAMES_MAX`] names of a shard have a series of their own.

/// Quotas with a label of their own.
pub const NAMES_MAX: usize = 64;
/// The label of all others.
pub const OTHER: &str = "other";

/// Why a quota let a request not pass.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u8)]
pub enum Refused {
    /// Too little was left.
    Exhausted,
    /// It is not defined, or cannot be read.
    Undefined,
    /// What is left could not be found out.
    Unavailable,
    /// The model has no price.
    Unpriced,
    /// What the request uses at most could not be said.
    Unbounded,
}

impl Refused {
    /// Every reason.
    pub const ALL: [Self; 5] = [
        Self::Exhausted,
        Self::Undefined,
        Self::Unavailable,
        Self::Unpriced,
        Self::Unbounded,
    ];

    /// The word in the label.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Exhausted => "exhausted",
            Self::Undefined => "undefined",
            Self::Unavailable => "unavailable",
            Self::Unpriced => "unpriced",
            Self::Unbounded => "unbounded",
        }
    }
}

/// What one quota did.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Did {
    /// Requests refused, by reason, in the order of [`Refused::ALL`].
    pub refused: [u64; Refused::ALL.len()],
    /// Streams cut.
    pub cut: u64,
}

/// Counts of a shard.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct QuotaCounts {
    named: Vec<(Box<str>, Did)>,
}

impl QuotaCounts {
    /// Counts a refusal.
    pub fn refuse(&mut self, quota: &str, why: Refused) {
        if let Some(count) = self.of(quota).refused.get_mut(why as usize) {
            *count += 1;
        }
    }

    /// Counts a stream that was cut.
    pub fn cut(&mut self, quota: &str) {
        self.of(quota).cut += 1;
    }

    fn of(&mut self, quota: &str) -> &mut Did {
        let known =
            |named: &[(Box<str>, Did)], quota: &str| named.iter().position(|(name, _)| **name == *quota);
        let at = known(&self.named, quota).or_else(|| {
            let full = self.named.len() >= NAMES_MAX;
            if full {
                return known(&self.named, OTHER);
            }
            None
        });
        let at = at.unwrap_or_else(|| {
            let name = if self.named.len() >= NAMES_MAX {
                OTHER
            } else {
                quota
            };
            self.named.push((name.into(), Did::default()));
            self.named.len() - 1
        });
        &mut self.named[at].1
    }

    /// Every quota that did something, by name.
    #[must_use]
    pub fn sorted(&self) -> Vec<(&str, Did)> {
        let mut out: Vec<(&str, Did)> = self.named.iter().map(|(name, did)| (&**name, *did)).collect();
        out.sort_unstable_by_key(|(name, _)| *name);
        out
    }

    /// Adds the counts of another shard.
    pub(super) fn merge(&mut self, other: &Self) {
        for (name, did) in &other.named {
            let sum = self.of(name);
            for (sum, more) in sum.refused.iter_mut().zip(did.refused) {
                *sum = sum.saturating_add(more);
            }
            sum.cut = sum.cut.saturating_add(did.cut);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_bounded_and_counts_add_up() {
        let (mut one, mut two) = (QuotaCounts::default(), QuotaCounts::default());
        for n in 0..NAMES_MAX + 10 {
            one.refuse(&format!("q{n:02}"), Refused::Exhausted);
            two.cut(&format!("r{n:02}"));
        }
        assert_eq!(one.sorted().len(), NAMES_MAX + 1);
        one.refuse("q00", Refused::Undefined);
        one.merge(&two);
        let sorted = one.sorted();
        assert_eq!(sorted.len(), NAMES_MAX + 1);
        let find = |name: &str| sorted.iter().find(|(n, _)| *n == name).map(|(_, did)| *did);
        let other = find(OTHER).unwrap();
        assert_eq!((other.refused[0], other.cut), (10, (NAMES_MAX + 10) as u64));
        assert_eq!(find("q00").unwrap().refused, [1, 1, 0, 0, 0]);
    }
}
