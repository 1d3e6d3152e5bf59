//! Numbers of texts, for the writer: the table `texts`, with what was used lately in memory.

use std::collections::HashMap;

use rusqlite::{Connection, OptionalExtension as _};

use super::detail::TextId;

/// Number of the empty text; the schema puts it there.
pub(super) const NO_TEXT: TextId = 0;
/// Bytes of texts that are kept in memory, about; when they are more, all are forgotten.
const KEPT_BYTES: usize = 1 << 20;
/// What one kept text costs beside its bytes, about.
const KEPT_EACH: usize = 64;
/// Texts that are found without hashing.
const RECENT: usize = 64;

/// Texts whose numbers are known.
#[derive(Default)]
pub(super) struct Numbers {
    known: HashMap<Box<str>, TextId>,
    bytes: usize,
    recent: Vec<(Box<str>, TextId)>,
}

impl Numbers {
    /// The number of a text, which gets one if it has none. Belongs to the transaction of the connection: if that is
    /// rolled back, call [`Self::forget`].
    pub(super) fn of(&mut self, connection: &Connection, text: &str) -> rusqlite::Result<TextId> {
        if text.is_empty() {
            return Ok(NO_TEXT);
        }
        let place = place(text);
        if let Some((known, number)) = self.recent.get(place).filter(|(known, _)| **known == *text) {
            debug_assert!(!known.is_empty(), "an empty place matches no text");
            return Ok(*number);
        }
        let number = match self.known.get(text) {
            Some(number) => *number,
            None => self.look_up(connection, text)?,
        };
        if self.recent.is_empty() {
            self.recent.resize_with(RECENT, Default::default);
        }
        if let Some(recent) = self.recent.get_mut(place) {
            *recent = (text.into(), number);
        }
        Ok(number)
    }

    fn look_up(&mut self, connection: &Connection, text: &str) -> rusqlite::Result<TextId> {
        let found = connection
            .prepare_cached("SELECT id FROM texts WHERE text = ?")?
            .query_row([text], |row| row.get(0))
            .optional()?;
        let number = match found {
            Some(number) => number,
            None => connection
                .prepare_cached("INSERT INTO texts (text) VALUES (?)")?
                .insert([text])?,
        };
        self.bytes += text.len() + KEPT_EACH;
        if self.bytes > KEPT_BYTES {
            self.forget();
            self.bytes = text.len() + KEPT_EACH;
        }
        self.known.insert(text.into(), number);
        Ok(number)
    }

    /// Forgets everything.
    pub(super) fn forget(&mut self) {
        *self = Self::default();
    }
}

/// A place by length and a few bytes: cheap, and texts that differ share places seldom.
fn place(text: &str) -> usize {
    let bytes = text.as_bytes();
    let at = |index: usize| bytes.get(index).copied().map_or(0, usize::from);
    let last = bytes.len().saturating_sub(1);
    (bytes.len() ^ at(last) ^ at(last / 2) << 2 ^ at(4) << 1) % RECENT
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn texts_keep_their_numbers_whatever_is_remembered() {
        let connection = Connection::open_in_memory().unwrap();
        connection.execute_batch(include_str!("schema/0001.sql")).unwrap();
        let mut numbers = Numbers::default();
        let mut first = HashMap::new();
        for round in 0..3 {
            for n in 0..500 {
                let text = if n == 0 {
                    String::new()
                } else {
                    format!("text {n}")
                };
                let number = numbers.of(&connection, &text).unwrap();
                assert_eq!(*first.entry(text.clone()).or_insert(number), number, "{text}");
                assert_eq!(number == NO_TEXT, text.is_empty());
                assert_eq!(numbers.of(&connection, &text).unwrap(), number);
            }
            if round == 1 {
                numbers.forget();
            }
        }
        let distinct: std::collections::HashSet<_> = first.values().collect();
        assert_eq!(distinct.len(), 500);
        for n in 0..200 {
            numbers
                .of(&connection, &format!("{n}{}", "x".repeat(10_000)))
                .unwrap();
            assert!(numbers.bytes <= KEPT_BYTES, "memory is bounded");
        }
    }
}
