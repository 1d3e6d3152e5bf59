//! One parsed JSON document, and a small view of it for the folds.
//!
//! simd-json writes a flat tape, so neither parsing nor dropping recurses and a deep document cannot exhaust
//! the stack. The buffers are kept between documents.

use std::cell::RefCell;

use simd_json::{Buffers, Node, StaticNode, Tape};

/// Buffers above this size are given back after a document.
const KEEP_BYTES_MAX: usize = 64 * 1024;

thread_local! {
    /// One set of buffers a thread: a parse is over before another begins, and thousands of open streams that parse
    /// an event now and then keep none of their own.
    static KEPT: RefCell<Kept> = RefCell::default();
}

#[derive(Default)]
struct Kept {
    scratch: Vec<u8>,
    buffers: Option<Buffers>,
    nodes: Option<Tape<'static>>,
}

/// A parser. Its buffers belong to the thread.
pub(crate) struct Parser;

impl Parser {
    /// Parses a document and shows it to `read`; `None` where it is not JSON.
    #[allow(clippy::unused_self, reason = "who may parse holds a parser")]
    pub(crate) fn read<R>(&mut self, json: &[u8], read: impl FnOnce(View<'_>) -> R) -> Option<R> {
        if json.is_empty() {
            return None;
        }
        KEPT.with(|kept| match kept.try_borrow_mut() {
            Ok(mut kept) => kept.read(json, read),
            // A document within a document: the inner one makes its own.
            Err(_) => Kept::default().read(json, read),
        })
    }
}

impl Kept {
    fn read<R>(&mut self, json: &[u8], read: impl FnOnce(View<'_>) -> R) -> Option<R> {
        self.scratch.clear();
        self.scratch.extend_from_slice(json);
        let buffers = self.buffers.get_or_insert_with(Buffers::default);
        let mut tape = self.nodes.take().unwrap_or_else(|| Tape(Vec::new())).reset();
        let result = match simd_json::fill_tape(&mut self.scratch, buffers, &mut tape) {
            Ok(()) => Some(read(View(&tape.0))),
            Err(_) => None,
        };
        if json.len() > KEEP_BYTES_MAX {
            *self = Self::default();
        } else {
            self.nodes = Some(tape.reset());
        }
        result
    }
}

/// A value in a parsed document. Anything absent or of another type reads as `None`.
#[derive(Clone, Copy)]
pub(crate) struct View<'t>(&'t [Node<'t>]);

fn span(node: Option<&Node<'_>>) -> usize {
    match node {
        Some(Node::Object { count, .. } | Node::Array { count, .. }) => count.saturating_add(1),
        _ => 1,
    }
}

impl<'t> View<'t> {
    /// The member of this name, if it is there and not null.
    pub(crate) fn get(self, key: &str) -> Option<Self> {
        self.members()
            .find(|(name, _)| *name == key)
            .map(|(_, value)| value)
            .filter(|value| !value.is_null())
    }

    /// The member reached through these names.
    pub(crate) fn path(self, keys: &[&str]) -> Option<Self> {
        keys.iter().try_fold(self, |view, key| view.get(key))
    }

    /// Name and value of every member of an object.
    pub(crate) fn members(self) -> impl Iterator<Item = (&'t str, Self)> {
        let mut rest: &'t [Node<'t>] = match self.0.first() {
            Some(Node::Object { .. }) => self.0.get(1..span(self.0.first())).unwrap_or_default(),
            _ => &[],
        };
        std::iter::from_fn(move || {
            let Some(Node::String(name)) = rest.first() else {
                return None;
            };
            let value = rest.get(1..)?;
            let width = span(value.first());
            let found = value.get(..width)?;
            rest = value.get(width..)?;
            Some((*name, View(found)))
        })
    }

    /// The elements of an array.
    pub(crate) fn items(self) -> impl Iterator<Item = Self> {
        let mut rest: &'t [Node<'t>] = match self.0.first() {
            Some(Node::Array { .. }) => self.0.get(1..span(self.0.first())).unwrap_or_default(),
            _ => &[],
        };
        std::iter::from_fn(move || {
            let width = span(rest.first());
            let found = rest.get(..width)?;
            rest = rest.get(width..)?;
            Some(View(found))
        })
    }

    /// A string.
    pub(crate) fn text(self) -> Option<&'t str> {
        match self.0.first() {
            Some(Node::String(text)) => Some(text),
            _ => None,
        }
    }

    /// A string that is not empty.
    pub(crate) fn word(self) -> Option<&'t str> {
        self.text().filter(|text| !text.is_empty())
    }

    /// A string, or a number written out.
    pub(crate) fn name(self) -> Option<String> {
        match self.0.first()? {
            Node::String(text) if !text.is_empty() => Some(clip(text, 256)),
            Node::Static(StaticNode::I64(number)) => Some(number.to_string()),
            Node::Static(StaticNode::U64(number)) => Some(number.to_string()),
            Node::Static(StaticNode::F64(number)) => Some(number.to_string()),
            _ => None,
        }
    }

    /// A count: a whole number not below 0. `12.0` counts as 12.
    pub(crate) fn count(self) -> Option<u64> {
        match self.0.first()? {
            Node::Static(StaticNode::U64(number)) => Some(*number),
            Node::Static(StaticNode::I64(number)) => u64::try_from(*number).ok(),
            Node::Static(StaticNode::F64(number)) => scaled(*number, 0),
            _ => None,
        }
    }

    /// A decimal number not below 0, times 10^`digits`, rounded half up.
    pub(crate) fn decimal(self, digits: i32) -> Option<u64> {
        match self.0.first()? {
            Node::Static(StaticNode::F64(number)) => scaled(*number, digits),
            _ => {
                let whole = u128::from(self.count()?);
                let value = if digits >= 0 {
                    whole.checked_mul(10_u128.checked_pow(digits.unsigned_abs())?)?
                } else {
                    let unit = 10_u128.checked_pow(digits.unsigned_abs())?;
                    whole.checked_add(unit / 2)? / unit
                };
                u64::try_from(value).ok()
            }
        }
    }

    /// Whether this is `true`.
    pub(crate) fn is_true(self) -> bool {
        matches!(self.0.first(), Some(Node::Static(StaticNode::Bool(true))))
    }

    /// Whether this is an object.
    pub(crate) fn is_object(self) -> bool {
        matches!(self.0.first(), Some(Node::Object { .. }))
    }

    /// Whether this is an array.
    pub(crate) fn is_array(self) -> bool {
        matches!(self.0.first(), Some(Node::Array { .. }))
    }

    fn is_null(self) -> bool {
        matches!(self.0.first(), None | Some(Node::Static(StaticNode::Null)))
    }

    /// The value as text for people: a string as it is, anything else as a sketch of its JSON.
    pub(crate) fn sketch(self) -> String {
        if let Some(text) = self.text() {
            return clip(text, MESSAGE_BYTES_MAX);
        }
        let mut out = String::new();
        for node in self.0 {
            if out.len() > MESSAGE_BYTES_MAX {
                break;
            }
            match node {
                Node::String(text) => {
                    out.push_str(&clip(text, MESSAGE_BYTES_MAX));
                    out.push(' ');
                }
                Node::Static(value) => {
                    out.push_str(&value.to_string());
                    out.push(' ');
                }
                Node::Object { .. } | Node::Array { .. } => {}
            }
        }
        clip(out.trim_end(), MESSAGE_BYTES_MAX)
    }
}

/// Longest error message kept, in bytes.
pub(crate) const MESSAGE_BYTES_MAX: usize = 4096;

/// The text, cut at a character boundary to at most `max` bytes.
pub(crate) fn clip(text: &str, max: usize) -> String {
    text.get(..text.floor_char_boundary(max))
        .unwrap_or_default()
        .to_owned()
}

/// A finite number not below 0, times 10^`digits`, rounded half up. It works on the shortest decimal that reads
/// back as the number, which is the one the provider wrote, so that `0.0133176` is exactly 13,317,600e-9.
fn scaled(number: f64, digits: i32) -> Option<u64> {
    if !number.is_finite() || number < 0.0 {
        return None;
    }
    let text = format!("{number:e}");
    let (mantissa, exponent) = text.split_once('e')?;
    let (whole, fraction) = mantissa.split_once('.').unwrap_or((mantissa, ""));
    let digits_all: u128 = format!("{whole}{fraction}").parse().ok()?;
    let shift = exponent
        .parse::<i32>()
        .ok()?
        .checked_add(digits)?
        .checked_sub(i32::try_from(fraction.len()).ok()?)?;
    let value = if shift >= 0 {
        digits_all.checked_mul(10_u128.checked_pow(shift.unsigned_abs())?)?
    } else {
        match 10_u128.checked_pow(shift.unsigned_abs()) {
            Some(unit) => digits_all.checked_add(unit / 2)? / unit,
            None => 0,
        }
    };
    u64::try_from(value).ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn decimals_become_exact_integers() {
        for (text, digits, want) in [
            ("0.0133176", 9, Some(13_317_600)),
            ("1.4e-07", 9, Some(140)),
            ("0.0004970133333333333", 9, Some(497_013)),
            ("0.0000000005", 9, Some(1)),
            ("0.00000000049", 9, Some(0)),
            ("3", 9, Some(3_000_000_000)),
            ("1399005", -1, Some(139_901)),
            ("-1", 9, None),
            ("1e300", 9, None),
            ("12.0", 0, Some(12)),
            ("\"x\"", 0, None),
        ] {
            let got = Parser
                .read(text.as_bytes(), |view| view.decimal(digits))
                .flatten();
            assert_eq!(got, want, "{text}");
        }
    }

    #[test]
    fn views_walk_nested_values_and_pass_over_what_is_not_there() {
        let json = br#"{"a":{"x":[1,{"y":2},[]],"n":null},"b":"two","c":7}"#;
        let mut parser = Parser;
        for _ in 0..2 {
            parser
                .read(json, |view| {
                    assert_eq!(view.path(&["a", "x"]).map(|list| list.items().count()), Some(3));
                    assert!(view.path(&["a", "n"]).is_none());
                    assert!(view.path(&["b", "x"]).is_none());
                    assert_eq!(view.get("b").and_then(View::text), Some("two"));
                    assert_eq!(view.get("c").and_then(View::count), Some(7));
                    assert_eq!(view.items().count(), 0);
                })
                .unwrap();
        }
        assert!(parser.read(b"{", |_| ()).is_none());
        assert!(parser.read(b"", |_| ()).is_none());
        let deep = "[".repeat(500_000);
        assert!(parser.read(deep.as_bytes(), |_| ()).is_none());
        let deep = format!("{}{}", "[".repeat(200_000), "]".repeat(200_000));
        assert!(parser.read(deep.as_bytes(), |view| view.is_array()).unwrap());
    }
}
