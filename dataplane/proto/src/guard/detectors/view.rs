//! A text as recognisers see it, and where they put what they find.

use std::ops::Range;

use super::{Detector, Mask};

/// A letter, digit or underscore of ASCII: what words are made of. Other scripts are not: numbers stand beside their letters
/// without a space.
pub(crate) const fn word(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || byte == b'_'
}

/// A text, or a window of one.
#[derive(Clone, Copy, Debug)]
pub(crate) struct View<'a> {
    pub(crate) text: &'a [u8],
    /// What names the text: the key of the value that it is. For words of context only.
    pub(crate) name: &'a [u8],
    /// There is more before the window that cannot be seen.
    pub(crate) cut: bool,
    /// Nothing follows.
    pub(crate) ended: bool,
}

impl<'a> View<'a> {
    pub(crate) fn at(&self, at: usize) -> Option<u8> {
        self.text.get(at).copied()
    }

    pub(crate) fn slice(&self, range: Range<usize>) -> &'a [u8] {
        self.text.get(range).unwrap_or_default()
    }

    /// The text from an offset on.
    pub(crate) fn rest(&self, from: usize) -> &'a [u8] {
        self.text.get(from..).unwrap_or_default()
    }

    /// Whether an offset is the end of a text that may go on.
    pub(crate) fn open_at(&self, at: usize) -> bool {
        !self.ended && at >= self.text.len()
    }

    /// Whether a word may begin at an offset. The letter of a written-out escape (`\n` in JSON within a string) does not
    /// belong to the word behind it.
    pub(crate) fn begins(&self, at: usize) -> bool {
        let Some(before) = at.checked_sub(1) else {
            return !self.cut;
        };
        match self.at(before) {
            Some(byte) if !word(byte) => true,
            Some(b'n' | b't' | b'r') => before.checked_sub(1).and_then(|at| self.at(at)) == Some(b'\\'),
            _ => false,
        }
    }

    /// Whether no word goes on at an offset.
    pub(crate) fn ends(&self, at: usize) -> bool {
        self.at(at).is_none_or(|byte| !word(byte))
    }

    /// Offset of the first byte from `at` on that is not of a class, looking at no more than `most`.
    pub(crate) fn run(&self, at: usize, most: usize, class: impl Fn(u8) -> bool) -> usize {
        let rest = self.rest(at);
        let rest = rest.get(..most).unwrap_or(rest);
        at + rest.iter().position(|byte| !class(*byte)).unwrap_or(rest.len())
    }

    /// Offset of the first byte of the run of a class that ends at `at`, looking at no more than `most`.
    pub(crate) fn run_back(&self, at: usize, most: usize, class: impl Fn(u8) -> bool) -> usize {
        let before = self.slice(at.saturating_sub(most)..at);
        let run = before.iter().rev().take_while(|byte| class(**byte)).count();
        at - run
    }

    /// Whether one of some words stands shortly before an offset, or names the text. Words are in lower case; letter case is
    /// not looked at, and `_`, `-` and spaces are the same.
    pub(crate) fn near(&self, at: usize, words: &[&str]) -> bool {
        const BACK: usize = 48;
        let before = self.slice(at.saturating_sub(BACK)..at);
        holds(before, words) || before.len() < BACK && holds(tail(self.name, BACK), words)
    }
}

fn tail(text: &[u8], bytes: usize) -> &[u8] {
    text.get(text.len().saturating_sub(bytes)..).unwrap_or(text)
}

/// Whether a short text holds one of some words, as a word.
fn holds(text: &[u8], words: &[&str]) -> bool {
    let same = |a: u8, b: u8| a.to_ascii_lowercase() == b || b == b' ' && (a == b'_' || a == b'-');
    words.iter().any(|wanted| {
        let wanted = wanted.as_bytes();
        text.windows(wanted.len()).enumerate().any(|(at, window)| {
            window.iter().zip(wanted).all(|(a, b)| same(*a, *b))
                && !at
                    .checked_sub(1)
                    .and_then(|before| text.get(before))
                    .is_some_and(u8::is_ascii_alphabetic)
                && !text.get(at + wanted.len()).is_some_and(u8::is_ascii_alphabetic)
        })
    })
}

/// A finding: which detector, and where in the text.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Hit {
    pub(crate) detector: u8,
    pub(crate) range: Range<usize>,
    /// It goes on behind the window, for all that is known.
    pub(crate) goes_on: bool,
}

/// Where findings go.
pub(crate) struct Sink<'a> {
    /// Detectors that are wanted.
    pub(crate) on: Mask,
    /// What is before has been judged.
    pub(crate) from: usize,
    pub(crate) hits: &'a mut Vec<Hit>,
    /// First byte of what is not decided.
    pub(crate) hold: usize,
    /// End of the last token or key that was walked to its end: what begins within it is part of it, and walking on from
    /// there again and again would cost the square of its length.
    pub(crate) walked: usize,
}

impl Sink<'_> {
    pub(crate) const fn wants(&self, detector: Detector) -> bool {
        self.on & detector.bit() != 0
    }

    /// A finding. What of it has been judged already cannot be helped; the rest counts.
    pub(crate) fn found(&mut self, detector: Detector, range: Range<usize>) {
        self.hit(detector, range, false);
    }

    /// A finding that reaches to the end of the text and may well go on.
    pub(crate) fn goes_on(&mut self, detector: Detector, range: Range<usize>) {
        self.hit(detector, range, true);
    }

    fn hit(&mut self, detector: Detector, range: Range<usize>, goes_on: bool) {
        if self.wants(detector) && range.end > self.from && range.start < range.end {
            self.hits.push(Hit {
                detector: detector as u8,
                range: range.start.max(self.from)..range.end,
                goes_on,
            });
        }
    }

    /// What begins at `start` cannot be decided before more has come.
    pub(crate) fn more(&mut self, start: usize) {
        self.hold = self.hold.min(start.max(self.from));
    }
}
