//! The operator's expressions: the `regex` crate finds what they match, in linear time; a lazy automaton of the same expression
//! says from where the end of a text could be the beginning of a match.

use std::ops::Range;

use regex::bytes::{Regex, RegexBuilder};
use regex_automata::hybrid::dfa::{Cache, DFA};
use regex_automata::nfa::thompson;
use regex_automata::util::pool::Pool;
use regex_automata::util::syntax;
use regex_automata::{Anchored, Input};

use super::detectors::View;

/// Longest expression, in bytes.
pub const PATTERN_BYTES_MAX: usize = 4_096;
/// Most memory of a compiled expression, in bytes.
const COMPILED_BYTES_MAX: usize = 1 << 20;
/// On streams a match of an expression is waited for within so many bytes.
pub const PATTERN_WINDOW_BYTES: usize = 1_024;

type Caches =
    Pool<Cache, Box<dyn Fn() -> Cache + Send + Sync + std::panic::UnwindSafe + std::panic::RefUnwindSafe>>;

/// A compiled expression.
#[derive(Debug)]
pub(super) struct Pattern {
    regex: Regex,
    /// `None`: it could not be built; whatever may match is held back.
    prefix: Option<(DFA, Caches)>,
    /// Longest match, no more than [`PATTERN_WINDOW_BYTES`].
    longest: usize,
}

impl Pattern {
    /// Compiles an expression; the error says what is wrong with it.
    pub(super) fn new(text: &str) -> Result<Self, String> {
        if text.len() > PATTERN_BYTES_MAX {
            return Err(format!("the expression is longer than {PATTERN_BYTES_MAX} bytes"));
        }
        let regex = RegexBuilder::new(text)
            .size_limit(COMPILED_BYTES_MAX)
            .dfa_size_limit(COMPILED_BYTES_MAX)
            .build()
            .map_err(|error| error.to_string())?;
        let syntax = syntax::Config::new().utf8(false);
        let parsed = syntax::parse_with(text, &syntax).map_err(|error| error.to_string())?;
        let properties = parsed.properties();
        if properties.minimum_len().unwrap_or(0) == 0 {
            return Err("the expression matches the empty text".to_owned());
        }
        let longest = properties.maximum_len().unwrap_or(PATTERN_WINDOW_BYTES);
        let nfa = thompson::Config::new()
            .utf8(false)
            .nfa_size_limit(Some(COMPILED_BYTES_MAX));
        let lazy = DFA::config()
            .unicode_word_boundary(true)
            .cache_capacity(COMPILED_BYTES_MAX)
            .skip_cache_capacity_check(true);
        let prefix = DFA::builder()
            .syntax(syntax)
            .thompson(nfa)
            .configure(lazy)
            .build(text);
        let prefix = prefix.ok().map(|dfa| {
            let make = dfa.clone();
            let caches: Caches = Pool::new(Box::new(move || make.create_cache()));
            (dfa, caches)
        });
        Ok(Self {
            regex,
            prefix,
            longest: longest.min(PATTERN_WINDOW_BYTES),
        })
    }

    pub(super) const fn longest(&self) -> usize {
        self.longest
    }

    /// Calls `found` for each match from `from` on; returns the first byte of one that the end of the text cuts.
    pub(super) fn search(&self, view: View<'_>, from: usize, mut found: impl FnMut(Range<usize>)) -> usize {
        let mut at = from;
        while let Some(hit) = self.regex.find_at(view.text, at) {
            if hit.is_empty() {
                break;
            }
            found(hit.range());
            at = hit.end();
        }
        if view.ended {
            view.text.len()
        } else {
            self.hold(view.text, from)
        }
    }

    fn hold(&self, text: &[u8], from: usize) -> usize {
        let len = text.len();
        let first = from.max(len.saturating_sub(self.longest));
        let Some((dfa, caches)) = &self.prefix else {
            return first;
        };
        let mut cache = caches.get();
        (first..len)
            .find(|start| alive(dfa, &mut cache, text, *start))
            .unwrap_or(len)
    }
}

/// Whether a match that begins at `start` could go on behind the end.
fn alive(dfa: &DFA, cache: &mut Cache, text: &[u8], start: usize) -> bool {
    let input = Input::new(text).range(start..).anchored(Anchored::Yes);
    let Ok(mut state) = dfa.start_state_forward(cache, &input) else {
        return true;
    };
    for byte in text.get(start..).unwrap_or_default() {
        match dfa.next_state(cache, state, *byte) {
            Ok(next) if next.is_dead() => return false,
            Ok(next) if next.is_quit() => return true,
            Ok(next) => state = next,
            Err(_) => return true,
        }
    }
    !state.is_dead()
}
