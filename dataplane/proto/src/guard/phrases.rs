//! Phrases: words in a row, whatever their letter case and the white space between them.
//!
//! All first words are looked for at once; where one stands the rest of the phrase is compared.

use aho_corasick::{AhoCorasick, MatchKind};

use super::detectors::{View, word};

/// Longest white space between two words, in bytes.
const GAP_BYTES_MAX: usize = 64;

/// Compiled phrases.
#[derive(Debug)]
pub(super) struct Phrases {
    first_words: AhoCorasick,
    /// For each first word the phrases that begin with it.
    phrases: Vec<Vec<Phrase>>,
    longest_first: usize,
    longest: usize,
}

#[derive(Debug)]
struct Phrase {
    words: Vec<Box<[u8]>>,
    /// What a finding is called.
    source: u16,
}

enum Match {
    No,
    /// It ends here.
    Yes(usize),
    /// The end of the text cuts it.
    More,
}

impl Phrases {
    /// Compiles phrases, each with what its findings are called; `None` if there are none. Those without a word are left out.
    pub(super) fn new<'a>(
        phrases: impl Iterator<Item = (&'a str, u16)>,
    ) -> Result<Option<Self>, aho_corasick::BuildError> {
        let mut first_words: Vec<Vec<u8>> = Vec::new();
        let mut by_first: Vec<Vec<Phrase>> = Vec::new();
        let mut longest = 0;
        for (text, source) in phrases {
            let words: Vec<Box<[u8]>> = text
                .split_ascii_whitespace()
                .map(|word| word.as_bytes().into())
                .collect();
            let Some(first) = words.first().map(|first| first.to_ascii_lowercase()) else {
                continue;
            };
            longest = longest.max(words.iter().map(|word| word.len() + GAP_BYTES_MAX).sum());
            let phrase = Phrase { words, source };
            match first_words.iter().position(|known| *known == first) {
                Some(at) => by_first.get_mut(at).into_iter().for_each(|list| {
                    list.push(Phrase {
                        words: phrase.words.clone(),
                        source,
                    });
                }),
                None => {
                    first_words.push(first);
                    by_first.push(vec![phrase]);
                }
            }
        }
        if first_words.is_empty() {
            return Ok(None);
        }
        Ok(Some(Self {
            longest_first: first_words.iter().map(Vec::len).max().unwrap_or(0),
            first_words: AhoCorasick::builder()
                .match_kind(MatchKind::Standard)
                .ascii_case_insensitive(true)
                .build(&first_words)?,
            phrases: by_first,
            longest,
        }))
    }

    /// Longest text that a phrase can match, in bytes.
    pub(super) const fn longest(&self) -> usize {
        self.longest
    }

    /// Calls `found` for each phrase that begins at `from` or later; returns the first byte of one that the end of the text cuts.
    pub(super) fn search(
        &self,
        view: View<'_>,
        from: usize,
        mut found: impl FnMut(u16, std::ops::Range<usize>),
    ) -> usize {
        let mut hold = view.text.len();
        let rest = view.rest(from);
        for hit in self.first_words.find_overlapping_iter(rest) {
            let at = from + hit.start();
            for phrase in self.phrases.get(hit.pattern().as_usize()).into_iter().flatten() {
                match phrase.stands_at(view, at) {
                    Match::No => {}
                    Match::Yes(end) => found(phrase.source, at..end),
                    Match::More => hold = hold.min(at),
                }
            }
        }
        if view.ended {
            return hold;
        }
        let len = view.text.len();
        let last = view
            .run_back(len, self.longest_first, |byte| !byte.is_ascii_whitespace())
            .max(from);
        let cut = (last..len).find(|at| {
            let rest = view.rest(*at);
            let mut firsts = self.phrases.iter().filter_map(|list| list.first()?.words.first());
            firsts.any(|first| {
                first.len() > rest.len()
                    && first.iter().zip(rest).all(|(a, b)| a.eq_ignore_ascii_case(b))
                    && (!first.first().is_some_and(|byte| word(*byte)) || view.begins(*at))
            })
        });
        hold.min(cut.unwrap_or(len))
    }
}

impl Phrase {
    fn stands_at(&self, view: View<'_>, start: usize) -> Match {
        let outer = |word_: Option<&Box<[u8]>>, last: bool| {
            let word_ = word_.map(|word| &**word).unwrap_or_default();
            let byte = if last { word_.last() } else { word_.first() };
            byte.is_some_and(|byte| word(*byte))
        };
        if outer(self.words.first(), false) && !view.begins(start) {
            return Match::No;
        }
        let mut at = start;
        for (index, word) in self.words.iter().enumerate() {
            if index > 0 {
                let gap = view.run(at, GAP_BYTES_MAX, |byte| byte.is_ascii_whitespace());
                if view.open_at(gap) {
                    return Match::More;
                }
                if gap == at {
                    return Match::No;
                }
                at = gap;
            }
            let rest = view.rest(at);
            if !rest.iter().zip(word).all(|(a, b)| a.eq_ignore_ascii_case(b)) {
                return Match::No;
            }
            at += word.len();
            if at > view.text.len() {
                return if view.ended { Match::No } else { Match::More };
            }
        }
        if outer(self.words.last(), true) {
            if view.open_at(at) {
                return Match::More;
            }
            if !view.ends(at) {
                return Match::No;
            }
        }
        Match::Yes(at)
    }
}
