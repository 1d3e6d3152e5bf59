//! What is answered, before it is put into a provider's shape: pieces of text or a tool call, and the counts.

use std::fmt::Write as _;

use super::ask::Ask;
use super::tool::{Scripted, ToolCall, demanded_json, scripted};

/// The default answer.
const GREETING: &str = "Hello! This is the Sluice mock provider speaking: no model was asked, no key was needed, \
    and every byte of this answer was made up.";
/// What longer answers are filled with.
const FILLER: &str =
    "the quick brown fox jumps over the lazy dog while the mock provider keeps on counting words ";
/// Bytes of an event's text where only the number of events is set.
const PIECE_BYTES: usize = 12;

/// An answer without its clothes.
pub(super) struct Reply {
    /// 24 characters, to be put behind the provider's prefix.
    pub(super) id: String,
    /// Unix seconds.
    pub(super) created: u64,
    pub(super) model: String,
    /// The text, cut as it is streamed; empty if a tool is called.
    pub(super) pieces: Vec<String>,
    pub(super) tool: Option<ToolCall>,
    pub(super) input: u64,
    pub(super) output: u64,
    pub(super) cached: u64,
    pub(super) reasoning: u64,
}

impl Reply {
    pub(super) fn new(ask: &Ask, id: &str, created: u64) -> Self {
        let (pieces, tool) = match scripted(ask) {
            Scripted::Call(call) => (Vec::new(), Some(call)),
            Scripted::Say(text) => (words(&text), None),
            Scripted::Nothing => (content(ask), None),
        };
        let content_events = match &tool {
            Some(call) => argument_pieces(call).len(),
            None => pieces.len(),
        };
        let settings = &ask.settings;
        Self {
            id: id.to_owned(),
            created,
            model: ask.model.clone(),
            pieces,
            tool,
            input: ask.input_tokens(),
            output: settings.output_tokens.map_or(content_events as u64, u64::from),
            cached: settings.cached_tokens.map_or(0, u64::from),
            reasoning: settings.reasoning_tokens.map_or(0, u64::from),
        }
    }

    pub(super) fn text(&self) -> String {
        self.pieces.concat()
    }

    pub(super) fn total(&self) -> u64 {
        self.input.saturating_add(self.output)
    }

    /// Input tokens not read from the cache.
    pub(super) fn uncached(&self) -> u64 {
        self.input.saturating_sub(self.cached)
    }

    /// A number made of the id, for fields where providers send something random.
    pub(super) fn suffix(&self) -> &str {
        self.id.get(..24).unwrap_or(&self.id)
    }
}

/// The arguments of a call in pieces of a few bytes, as providers stream them.
pub(super) fn argument_pieces(call: &ToolCall) -> Vec<String> {
    let text = match (&call.custom, call.input.as_str()) {
        (true, Some(text)) => text.to_owned(),
        _ => call.input.to_string(),
    };
    split_even(&text, text.len().div_ceil(16).max(1))
}

fn content(ask: &Ask) -> Vec<String> {
    let settings = &ask.settings;
    let given = settings.text.clone().or_else(|| demanded_json(&ask.body));
    let events = settings.events.map(|n| n as usize);
    match (given, events, settings.text_bytes) {
        (Some(text), None, _) => words(&text),
        (Some(text), Some(n), _) => split_even(&text, n),
        (None, None, None) if settings.numbered => numbered_words(GREETING),
        (None, None, None) => words(GREETING),
        (None, events, bytes) => {
            let bytes = bytes.map(|n| n as usize);
            let n = events.unwrap_or_else(|| bytes.unwrap_or(0).div_ceil(PIECE_BYTES));
            let bytes = bytes.unwrap_or_else(|| n.saturating_mul(PIECE_BYTES));
            filled(n, bytes, settings.numbered)
        }
    }
}

/// One piece a word, with the blank behind it.
fn words(text: &str) -> Vec<String> {
    text.split_inclusive(' ').map(str::to_owned).collect()
}

fn numbered_words(text: &str) -> Vec<String> {
    words(text)
        .into_iter()
        .enumerate()
        .map(|(i, word)| format!("{i:06} {word}"))
        .collect()
}

/// `count` pieces of about the same length, cut between characters; the later ones may be empty.
fn split_even(text: &str, count: usize) -> Vec<String> {
    let chars: Vec<char> = text.chars().collect();
    (0..count)
        .map(|i| {
            let bound = |i: usize| i.saturating_mul(chars.len()).checked_div(count).unwrap_or(0);
            chars
                .get(bound(i)..bound(i + 1))
                .unwrap_or_default()
                .iter()
                .collect()
        })
        .collect()
}

/// `count` pieces of filler, `bytes` in all; the first `bytes % count` are one longer.
fn filled(count: usize, bytes: usize, numbered: bool) -> Vec<String> {
    let mut filler = FILLER.bytes().cycle();
    (0..count)
        .map(|i| {
            let length = bytes / count + usize::from(i < bytes % count);
            let mut piece = String::with_capacity(length);
            if numbered {
                let _infallible = write!(piece, "{i:06} ");
            }
            while piece.len() < length {
                piece.push(char::from(filler.next().unwrap_or(b' ')));
            }
            piece
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pieces_add_up() {
        assert_eq!(words(GREETING).concat(), GREETING);
        for (count, bytes) in [(1, 1000), (3, 1000), (200, 1000), (7, 3), (1, 0)] {
            let pieces = filled(count, bytes, false);
            assert_eq!((pieces.len(), pieces.concat().len()), (count, bytes));
        }
        assert_eq!(filled(0, 5, false), Vec::<String>::new());
        assert_eq!(split_even("añb", 2), ["a", "ñb"]);
        assert_eq!(split_even("ab", 4).concat(), "ab");
        assert_eq!(filled(2, 24, true), ["000000 the q", "000001 uick "]);
    }
}
