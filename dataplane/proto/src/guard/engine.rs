//! Looking for what rules forbid in a text, whole or as it arrives.
//!
//! [`Engine::scan`] looks through a whole text. A [`Lane`] is fed a text in pieces and finds the same, whatever the pieces:
//!
//! ```text
//!            base            from              end of the window
//!  ─ gone ────┼── in sight ────┼──── held ────────┼─ to come ─▶
//!             │ at most        │ may be the beginning of a match:
//!             │ 192 bytes      │ not judged yet
//! ```
//!
//! What lies before `from` is judged for good and may be handed on. A finding is settled when nothing that can follow would
//! change it. Private keys, tokens of the JWT kind and what a forced end cut are settled at once, up to where the text is, and then
//! followed: the pieces that belong to them come as further findings that continue the first.
//!
//! Findings of one rule never overlap: of two that do, one remains that covers both and bears the name of the leftmost,
//! and at one place of the longest.

use std::cmp::Reverse;
use std::ops::Range;
use std::sync::Arc;

use super::detectors::{CONTEXT_BYTES, Hit, Mask, Sink, View, follow, longest, search};
use super::rule::Rule;

/// A finding in a text.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Found {
    /// Index of the rule in its set: [`super::GuardSet::rule`].
    pub rule: usize,
    /// What found it: [`Rule::what`] has its name.
    pub detector: u16,
    /// Bytes of the text.
    pub range: Range<usize>,
}

/// A finding in a text that arrives in pieces.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Settled {
    /// Index of the rule in its set.
    pub rule: usize,
    /// What found it.
    pub detector: u16,
    /// Offsets from the beginning of the lane.
    pub range: Range<u64>,
    /// It is more of the finding before it of this rule: replaced by nothing, and not counted again.
    pub continues: bool,
}

/// The text parts of some rules, ready to look.
#[derive(Clone, Debug, Default)]
pub struct Engine {
    /// With their indices in the set.
    rules: Vec<(usize, Arc<Rule>)>,
    /// Built-in detectors of all of them.
    mask: Mask,
    longest: usize,
}

#[derive(Clone, Debug)]
struct Judged {
    found: Found,
    goes_on: bool,
}

impl Engine {
    pub(super) fn new(rules: impl Iterator<Item = (usize, Arc<Rule>)>) -> Self {
        let rules: Vec<_> = rules.filter(|(_, rule)| rule.looks_at_text()).collect();
        let mask = rules.iter().fold(0, |mask, (_, rule)| mask | rule.mask());
        let own = rules.iter().map(|(_, rule)| rule.longest()).max();
        Self {
            rules,
            mask,
            longest: longest(mask).max(own.unwrap_or(0)),
        }
    }

    /// Whether it looks for nothing.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.rules.is_empty()
    }

    /// Longest match, in bytes, of what has a bound. What has none (private keys, JSON web tokens) is followed by a [`Lane`]
    /// to its end; of the operator's expressions those bytes are waited for.
    #[must_use]
    pub const fn longest(&self) -> usize {
        self.longest
    }

    /// Shortest text in which anything is found, where `built_in` is that of the detectors.
    pub(super) fn shortest(&self, built_in: usize) -> usize {
        if self.rules.iter().any(|(_, rule)| rule.has_own()) {
            1
        } else {
            built_in
        }
    }

    /// Finds everything in a whole text, sorted by rule, then place.
    pub fn scan(&self, text: &[u8], out: &mut Vec<Found>) {
        self.scan_value(b"", text, out);
    }

    /// As [`Self::scan`]; `name` is the key that the text is the value of, which may say what a number is.
    pub fn scan_value(&self, name: &[u8], text: &[u8], out: &mut Vec<Found>) {
        let view = View {
            text,
            name,
            cut: false,
            ended: true,
        };
        let mut judged = Vec::new();
        self.judge(view, 0, &mut judged);
        out.extend(judged.into_iter().map(|judged| judged.found));
    }

    /// The first byte of a text that could begin an unfinished match.
    #[must_use]
    pub fn hold_from(&self, text: &[u8]) -> usize {
        let view = View {
            text,
            name: b"",
            cut: false,
            ended: false,
        };
        self.judge(view, 0, &mut Vec::new())
    }

    /// Judges what lies from `from` on, as far as it can; returns how far.
    fn judge(&self, view: View<'_>, from: usize, out: &mut Vec<Judged>) -> usize {
        let len = view.text.len();
        let mut hold = len;
        let mut hits: Vec<Hit> = Vec::new();
        if self.mask != 0 {
            let mut sink = Sink {
                on: self.mask,
                from,
                hits: &mut hits,
                hold: len,
                walked: 0,
            };
            search(view, &mut sink);
            hold = sink.hold;
        }
        for (index, rule) in &self.rules {
            let begin = out.len();
            let mut found = |detector: u16, range: Range<usize>, goes_on: bool| {
                out.push(Judged {
                    found: Found {
                        rule: *index,
                        detector,
                        range,
                    },
                    goes_on,
                });
            };
            for hit in hits.iter().filter(|hit| rule.mask() & (1 << hit.detector) != 0) {
                found(u16::from(hit.detector), hit.range.clone(), hit.goes_on);
            }
            let cut = rule.search(view, from, |source, range| found(source, range, false));
            hold = hold.min(cut);
            unite(out, begin);
        }
        if view.ended {
            return len;
        }
        // A finding that is certain and goes on hides what might begin within it. What stands behind it may belong to it.
        let certain = out
            .iter()
            .filter(|judged| judged.goes_on && judged.found.range.start <= hold);
        if let Some(end) = certain.map(|judged| judged.found.range.end).max() {
            hold = end;
        }
        settle(out, hold)
    }
}

/// Unites the findings of one rule that overlap.
fn unite(out: &mut Vec<Judged>, begin: usize) {
    let mut list = out.split_off(begin);
    list.sort_by_key(|judged| (judged.found.range.start, Reverse(judged.found.range.end)));
    for judged in list {
        match out.get_mut(begin..).and_then(<[_]>::last_mut) {
            Some(last) if judged.found.range.start < last.found.range.end => {
                let range = &mut last.found.range;
                if judged.found.range.end >= range.end {
                    last.goes_on |= judged.goes_on;
                    range.end = judged.found.range.end;
                }
            }
            _ => out.push(judged),
        }
    }
}

/// Leaves the findings that end before what is held, and holds the others from their beginning.
fn settle(out: &mut Vec<Judged>, mut hold: usize) -> usize {
    loop {
        let cut = out.iter().map(|judged| &judged.found.range);
        let cut = cut.filter(|range| range.start < hold && range.end > hold);
        match cut.map(|range| range.start).min() {
            Some(start) => hold = start,
            None => break,
        }
    }
    out.retain(|judged| judged.found.range.start < hold);
    hold
}

/// A text that arrives in pieces.
#[derive(Clone, Debug, Default)]
pub struct Lane {
    window: Vec<u8>,
    /// Offset of the window in the lane.
    base: u64,
    /// What of the window is judged.
    from: usize,
    following: Vec<Following>,
    /// The key that the text is the value of.
    name: Vec<u8>,
}

/// A settled finding that goes on.
#[derive(Clone, Debug)]
struct Following {
    rule: usize,
    detector: u16,
    /// Where it began, from the beginning of the lane.
    start: u64,
    /// Whether a forced end cut it: then the word that it ends in belongs to it.
    cut: bool,
}

fn wide(n: usize) -> u64 {
    u64::try_from(n).unwrap_or(u64::MAX)
}

impl Lane {
    /// A lane for the value of this key, which may say what a number is.
    #[must_use]
    pub fn named(name: &[u8]) -> Self {
        Self {
            name: name.to_vec(),
            ..Self::default()
        }
    }

    /// Offset up to which everything is judged, from the beginning of the lane.
    #[must_use]
    pub fn settled(&self) -> u64 {
        self.base.saturating_add(wide(self.from))
    }

    /// Bytes that are held: they may be the beginning of a match.
    #[must_use]
    pub fn held(&self) -> usize {
        self.window.len().saturating_sub(self.from)
    }

    /// Takes the next piece and judges what can be.
    pub fn push(&mut self, engine: &Engine, text: &[u8], out: &mut Vec<Settled>) {
        self.window.extend_from_slice(text);
        self.step(engine, false, out);
    }

    /// The text has ended: judges the rest.
    pub fn finish(&mut self, engine: &Engine, out: &mut Vec<Settled>) {
        self.step(engine, true, out);
        self.following.clear();
    }

    /// Judges what is held as it stands, although more will come. A finding that reaches to the end is followed to the end of its
    /// word.
    pub fn flush(&mut self, engine: &Engine, out: &mut Vec<Settled>) {
        let before = out.len();
        self.step(engine, true, out);
        let end = self.settled();
        for settled in out.get(before..).unwrap_or_default() {
            let known = self.following.iter().any(|one| one.rule == settled.rule);
            if settled.range.end == end && !known {
                self.following.push(Following {
                    rule: settled.rule,
                    detector: settled.detector,
                    start: settled.range.start,
                    cut: true,
                });
            }
        }
    }

    fn view(&self, ended: bool) -> View<'_> {
        View {
            text: &self.window,
            name: &self.name,
            cut: self.base > 0,
            ended,
        }
    }

    fn step(&mut self, engine: &Engine, ended: bool, out: &mut Vec<Settled>) {
        if self.follow(ended, out) {
            let mut judged = Vec::new();
            self.from = engine.judge(self.view(ended), self.from, &mut judged);
            for one in judged {
                let range = self.base.saturating_add(wide(one.found.range.start))
                    ..self.base.saturating_add(wide(one.found.range.end));
                if one.goes_on {
                    self.following.push(Following {
                        rule: one.found.rule,
                        detector: one.found.detector,
                        start: range.start,
                        cut: false,
                    });
                }
                out.push(Settled {
                    rule: one.found.rule,
                    detector: one.found.detector,
                    range,
                    continues: false,
                });
            }
        }
        let passed = self.from.saturating_sub(CONTEXT_BYTES);
        if passed > 0 {
            self.window.drain(..passed);
            self.base = self.base.saturating_add(wide(passed));
            self.from -= passed;
        }
    }

    /// Follows what goes on; returns whether all of it has ended.
    fn follow(&mut self, ended: bool, out: &mut Vec<Settled>) -> bool {
        let (from, mut furthest, mut open) = (self.from, self.from, false);
        let following = std::mem::take(&mut self.following);
        for one in following {
            let start = usize::try_from(one.start.saturating_sub(self.base)).unwrap_or(0);
            let (end, goes_on) = follow(self.view(ended), one.detector, one.cut, start, from);
            furthest = furthest.max(end);
            if end > from {
                out.push(Settled {
                    rule: one.rule,
                    detector: one.detector,
                    range: self.base.saturating_add(wide(from))..self.base.saturating_add(wide(end)),
                    continues: true,
                });
            }
            if goes_on {
                open = true;
                self.following.push(one);
            }
        }
        self.from = furthest;
        !open
    }
}
