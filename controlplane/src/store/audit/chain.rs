//! The chain of the audit's entries, and the walk along it that finds where it was broken.
//!
//! The hash of an entry is SHA-256 over the hash of the entry before (32 zero bytes for the first), its number and time
//! (eight bytes each, highest first) and its texts, each behind its length in bytes as such a number. With lengths in
//! front, no two entries have the same encoding.
//!
//! Whoever can write the store can also calculate hashes: a chain shows changes only up to where somebody else knows a
//! hash of it. That is why its end is kept in three places (the table of the end, a file, the log), and why the walk
//! checks hashes that somebody noted.

use ring::digest::{Context, SHA256};
use sluice_shared::units::UnixMicros;

/// A hash of an entry.
pub(crate) type Hash = [u8; 32];

/// Places of a broken chain that are told one by one.
const BREAKS_MAX: usize = 100;

/// An entry as it was written.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct AuditEntry {
    /// Number, from 1.
    pub(crate) seq: u64,
    pub(crate) time: UnixMicros,
    /// Login, or in parentheses what acted.
    pub(crate) actor: String,
    /// Node that the actor came from; empty where there is none.
    pub(crate) node: String,
    /// What was done, e.g. `config.save`.
    pub(crate) action: String,
    /// To what.
    pub(crate) subject: String,
    /// JSON.
    pub(crate) detail: String,
    pub(crate) hash: Hash,
}

/// An entry by its number and hash. Number 0: before the first.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(crate) struct Link {
    pub(crate) seq: u64,
    pub(crate) hash: Hash,
}

/// The hash of an entry that follows one with the hash `before`.
pub(crate) fn hash(before: &Hash, entry: &AuditEntry) -> Hash {
    let mut context = Context::new(&SHA256);
    context.update(b"sluice audit 1\0");
    context.update(before);
    context.update(&entry.seq.to_be_bytes());
    context.update(&entry.time.0.to_be_bytes());
    for text in [
        &entry.actor,
        &entry.node,
        &entry.action,
        &entry.subject,
        &entry.detail,
    ] {
        context.update(&(text.len() as u64).to_be_bytes());
        context.update(text.as_bytes());
    }
    let mut out = [0; 32];
    for (to, from) in out.iter_mut().zip(context.finish().as_ref()) {
        *to = *from;
    }
    out
}

/// Where a chain is broken.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Break {
    /// Entries that must have been there are not.
    Missing { first: u64, last: u64 },
    /// The entry is not the one that was written, or the one before it is not.
    Changed { seq: u64 },
    /// The entry stands behind the end of the chain.
    Beyond { seq: u64 },
    /// The entry has another hash than was noted elsewhere: the chain was written anew from here or from before.
    Rewritten { seq: u64, noted: Noted },
}

/// Where a hash of the chain is noted.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Noted {
    /// The table of the chain's end.
    Store,
    /// The file beside the store.
    File,
    /// Whoever asks.
    Caller,
}

impl Noted {
    pub(crate) const fn name(self) -> &'static str {
        match self {
            Self::Store => "store",
            Self::File => "file",
            Self::Caller => "caller",
        }
    }
}

/// What a walk found.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct Verified {
    /// Entries that are there.
    pub(crate) entries: u64,
    /// The last one.
    pub(crate) head: Link,
    /// The first places, in order.
    pub(crate) breaks: Vec<Break>,
    /// All of them.
    pub(crate) broken: u64,
}

/// A walk from the first entry to the last.
pub(crate) struct Walk {
    at: Link,
    /// The hash before the next entry is known.
    certain: bool,
    end: Link,
    noted: Vec<(Noted, Link)>,
    found: Verified,
}

impl Walk {
    /// `end` is what the store says about the chain's end.
    pub(crate) fn new(end: Link, noted: &[(Noted, Link)]) -> Self {
        let mut noted = noted.to_vec();
        noted.push((Noted::Store, end));
        // Before the first entry there is nothing to compare.
        noted.retain(|(_, link)| link.seq > 0);
        Self {
            at: Link::default(),
            certain: true,
            end,
            noted,
            found: Verified::default(),
        }
    }

    /// The next entry, in order of numbers.
    pub(crate) fn step(&mut self, entry: &AuditEntry) {
        self.found.entries += 1;
        let due = self.at.seq.saturating_add(1);
        if entry.seq != due {
            self.broken(Break::Missing {
                first: due,
                last: entry.seq.saturating_sub(1),
            });
            self.certain = false;
        }
        if self.certain && hash(&self.at.hash, entry) != entry.hash {
            self.broken(Break::Changed { seq: entry.seq });
        }
        if entry.seq > self.end.seq {
            self.broken(Break::Beyond { seq: entry.seq });
        }
        for at in 0..self.noted.len() {
            if let Some((noted, link)) = self.noted.get(at).copied()
                && link.seq == entry.seq
                && link.hash != entry.hash
            {
                self.broken(Break::Rewritten {
                    seq: entry.seq,
                    noted,
                });
            }
        }
        // The next one is judged by what stands here: each break is told once.
        self.certain = true;
        self.at = Link {
            seq: entry.seq,
            hash: entry.hash,
        };
    }

    /// There are no more.
    pub(crate) fn finish(mut self) -> Verified {
        let last = self.noted.iter().map(|(_, link)| link.seq).max().unwrap_or(0);
        if last > self.at.seq {
            self.broken(Break::Missing {
                first: self.at.seq + 1,
                last,
            });
        }
        self.found.head = self.at;
        self.found
    }

    fn broken(&mut self, place: Break) {
        self.found.broken += 1;
        if self.found.breaks.len() < BREAKS_MAX {
            self.found.breaks.push(place);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A whole chain.
    pub(super) fn chain(length: u64) -> Vec<AuditEntry> {
        let mut before = Link::default();
        (1..=length)
            .map(|seq| {
                let mut entry = AuditEntry {
                    seq,
                    time: UnixMicros(seq * 10),
                    actor: "root".into(),
                    node: String::new(),
                    action: "quota.refill".into(),
                    subject: format!("bucket {seq}"),
                    detail: "{}".into(),
                    hash: [0; 32],
                };
                entry.hash = hash(&before.hash, &entry);
                before = Link {
                    seq,
                    hash: entry.hash,
                };
                entry
            })
            .collect()
    }

    fn walk(entries: &[AuditEntry], end: Link, noted: &[(Noted, Link)]) -> Vec<Break> {
        let mut walk = Walk::new(end, noted);
        entries.iter().for_each(|entry| walk.step(entry));
        walk.finish().breaks
    }

    fn end(entries: &[AuditEntry]) -> Link {
        entries.last().map_or_else(Link::default, |entry| Link {
            seq: entry.seq,
            hash: entry.hash,
        })
    }

    #[test]
    fn every_field_counts_and_no_text_runs_into_the_next() {
        let whole = chain(1).remove(0);
        let mut hashes = vec![hash(&[0; 32], &whole), hash(&[1; 32], &whole)];
        let changes: [fn(&mut AuditEntry); 8] = [
            |e| e.seq = 2,
            |e| e.time.0 += 1,
            |e| e.actor.push('x'),
            |e| e.node.push('x'),
            |e| e.action.push('x'),
            |e| e.subject.push('x'),
            |e| e.detail.push('x'),
            // The same letters, cut otherwise.
            |e| (e.actor, e.action) = ("rootq".into(), "uota.refill".into()),
        ];
        for change in changes {
            let mut entry = whole.clone();
            change(&mut entry);
            hashes.push(hash(&[0; 32], &entry));
        }
        let distinct: std::collections::HashSet<_> = hashes.iter().collect();
        assert_eq!(distinct.len(), hashes.len());
    }

    #[test]
    fn every_kind_of_tampering_is_found_at_its_place() {
        let whole = chain(9);
        let last = end(&whole);
        let check = |what: &str, change: &dyn Fn(&mut Vec<AuditEntry>), expected: &[Break]| {
            let mut entries = whole.clone();
            change(&mut entries);
            assert_eq!(walk(&entries, last, &[]), expected, "{what}");
        };
        check("nothing", &|_| {}, &[]);
        check(
            "an edit",
            &|e| e[4].subject = "mine".into(),
            &[Break::Changed { seq: 5 }],
        );
        check(
            "an edit with its hash made anew",
            &|e| {
                e[4].subject = "mine".into();
                e[4].hash = hash(&e[3].hash, &e[4]);
            },
            &[Break::Changed { seq: 6 }],
        );
        check(
            "a deletion",
            &|e| drop(e.remove(4)),
            &[Break::Missing { first: 5, last: 5 }],
        );
        check(
            "a deletion with the rest renumbered",
            &|e| {
                e.remove(4);
                (1..).zip(e.iter_mut()).for_each(|(seq, e)| e.seq = seq);
            },
            &[
                Break::Changed { seq: 5 },
                Break::Changed { seq: 6 },
                Break::Changed { seq: 7 },
                Break::Changed { seq: 8 },
                Break::Missing { first: 9, last: 9 },
            ],
        );
        check(
            "a cut tail",
            &|e| e.truncate(6),
            &[Break::Missing { first: 7, last: 9 }],
        );
        check(
            "all gone",
            &|e| e.clear(),
            &[Break::Missing { first: 1, last: 9 }],
        );
        check(
            "an insertion behind the end",
            &|e| e.push(chain(10).remove(9)),
            &[Break::Beyond { seq: 10 }],
        );
        check(
            "two that changed places",
            &|e| {
                let (a, b) = (e[2].subject.clone(), e[3].subject.clone());
                (e[2].subject, e[3].subject) = (b, a);
            },
            &[Break::Changed { seq: 3 }, Break::Changed { seq: 4 }],
        );
    }

    #[test]
    fn a_chain_written_anew_shows_by_what_was_noted_elsewhere() {
        let whole = chain(9);
        let noted = Link {
            seq: 7,
            hash: whole[6].hash,
        };
        let mut anew = chain(9);
        anew[2].subject = "mine".into();
        for at in 2..9 {
            anew[at].hash = hash(&anew[at - 1].hash, &anew[at]);
        }
        // By itself it is whole.
        assert_eq!(walk(&anew, end(&anew), &[]), []);
        let file = [(Noted::File, noted)];
        assert_eq!(walk(&whole, end(&whole), &file), []);
        assert_eq!(
            walk(&anew, end(&anew), &file),
            [Break::Rewritten {
                seq: 7,
                noted: Noted::File
            }]
        );
        // Cut before what was noted, with the store's own end set back.
        assert_eq!(
            walk(&whole[..5], end(&whole[..5]), &file),
            [Break::Missing { first: 6, last: 7 }]
        );
    }

    #[test]
    fn countless_breaks_are_counted_and_the_first_are_told() {
        let mut entries = chain(300);
        entries.iter_mut().for_each(|entry| entry.detail = "[]".into());
        let mut walk = Walk::new(end(&entries), &[]);
        entries.iter().for_each(|entry| walk.step(entry));
        let found = walk.finish();
        assert_eq!(
            (found.entries, found.broken, found.breaks.len()),
            (300, 300, BREAKS_MAX)
        );
    }
}
