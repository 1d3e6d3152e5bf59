//! The strings of a JSON text, and where each stands.
//!
//! A flat list in the order of the text, without recursion. The reading is lenient: whatever is no JSON is read as
//! well as it goes, because what is passed over here would pass unseen.

use std::ops::Range;

use super::text;

/// Deepest nesting; what is deeper is not read.
const DEPTH_MAX: usize = 256;
/// Most values of one text.
const NODES_MAX: usize = 1 << 20;

/// What a value is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Kind {
    Object,
    Array,
    String,
    /// Numbers, `true`, `null`, and whatever else stands there without quotes.
    Bare,
}

/// One value.
#[derive(Clone, Debug)]
pub(super) struct Node {
    pub(super) kind: Kind,
    /// Where its key stands, without quotes; empty in arrays.
    pub(super) key: Range<u32>,
    /// Where it stands: strings without quotes.
    pub(super) at: Range<u32>,
    /// Index of the value that it stands in; its own for the outermost.
    pub(super) parent: u32,
    /// Index behind its last part.
    pub(super) next: u32,
}

/// The text is too deep or has too many values.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct TooComplex;

/// See the module.
#[derive(Debug, Default)]
pub(super) struct Tape {
    nodes: Vec<Node>,
    open: Vec<u32>,
}

fn small(at: usize) -> u32 {
    u32::try_from(at).unwrap_or(u32::MAX)
}

/// A range of offsets as a range of indices.
pub(super) fn wide(range: &Range<u32>) -> Range<usize> {
    let wide = |at: u32| usize::try_from(at).unwrap_or(usize::MAX);
    wide(range.start)..wide(range.end)
}

impl Tape {
    /// Reads a text; what was read before is forgotten.
    pub(super) fn read(&mut self, doc: &[u8]) -> Result<(), TooComplex> {
        self.nodes.clear();
        self.open.clear();
        let mut key = 0..0;
        let mut at = 0;
        while let Some(&byte) = doc.get(at) {
            match byte {
                b' ' | b'\t' | b'\r' | b'\n' | b',' | b':' => at += 1,
                b'{' | b'[' => {
                    if self.open.len() >= DEPTH_MAX {
                        return Err(TooComplex);
                    }
                    let kind = if byte == b'{' { Kind::Object } else { Kind::Array };
                    let index = self.add(kind, &mut key, at..doc.len())?;
                    self.open.push(index);
                    at += 1;
                }
                b'}' | b']' => {
                    at += 1;
                    key = 0..0;
                    self.close(at);
                }
                b'"' => {
                    let from = at + 1;
                    let to = end_of_string(doc, from);
                    at = (to + 1).min(doc.len());
                    let in_object = self
                        .open
                        .last()
                        .is_some_and(|&index| self.node(index).is_some_and(|node| node.kind == Kind::Object));
                    if in_object && key.is_empty() && followed_by_colon(doc, at) {
                        // An empty key is none.
                        key = small(from)..small(to);
                    } else {
                        self.add(Kind::String, &mut key, from..to)?;
                    }
                }
                _ => {
                    let from = at;
                    while doc.get(at).is_some_and(|byte| {
                        !matches!(
                            byte,
                            b' ' | b'\t' | b'\r' | b'\n' | b',' | b':' | b'{' | b'[' | b'}' | b']' | b'"'
                        )
                    }) {
                        at += 1;
                    }
                    self.add(Kind::Bare, &mut key, from..at)?;
                }
            }
        }
        while !self.open.is_empty() {
            self.close(doc.len());
        }
        Ok(())
    }

    fn add(&mut self, kind: Kind, key: &mut Range<u32>, at: Range<usize>) -> Result<u32, TooComplex> {
        if self.nodes.len() >= NODES_MAX {
            return Err(TooComplex);
        }
        let index = small(self.nodes.len());
        self.nodes.push(Node {
            kind,
            key: std::mem::replace(key, 0..0),
            at: small(at.start)..small(at.end),
            parent: self.open.last().copied().unwrap_or(index),
            next: index.saturating_add(1),
        });
        Ok(index)
    }

    fn close(&mut self, end: usize) {
        let next = small(self.nodes.len());
        if let Some(index) = self.open.pop()
            && let Some(node) = self.nodes.get_mut(usize::try_from(index).unwrap_or(usize::MAX))
        {
            node.next = next;
            node.at.end = small(end);
        }
    }

    /// Values in the order of the text.
    pub(super) fn nodes(&self) -> &[Node] {
        &self.nodes
    }

    pub(super) fn node(&self, index: u32) -> Option<&Node> {
        self.nodes.get(usize::try_from(index).unwrap_or(usize::MAX))
    }

    /// The value that a value stands in.
    pub(super) fn parent(&self, index: u32) -> Option<u32> {
        let parent = self.node(index)?.parent;
        (parent != index).then_some(parent)
    }

    /// The member of this name.
    pub(super) fn member(&self, doc: &[u8], object: u32, name: &[u8]) -> Option<u32> {
        let node = self.node(object)?;
        let end = node.next;
        if node.kind != Kind::Object {
            return None;
        }
        let mut index = object.saturating_add(1);
        while index < end {
            let child = self.node(index)?;
            if is(doc, &child.key, name) {
                return Some(index);
            }
            index = child.next.max(index.saturating_add(1));
        }
        None
    }

    /// What a member says, if it is a string or a bare word.
    pub(super) fn said<'a>(&self, doc: &'a [u8], object: u32, name: &[u8]) -> Option<&'a [u8]> {
        let node = self.node(self.member(doc, object, name)?)?;
        match node.kind {
            Kind::String | Kind::Bare => doc.get(wide(&node.at)),
            Kind::Object | Kind::Array => None,
        }
    }

    /// Gives large buffers back.
    pub(super) fn relax(&mut self) {
        if self.nodes.capacity() > 4096 {
            self.nodes = Vec::new();
        }
    }
}

/// Whether a key or string, given by its place, reads so.
pub(super) fn is(doc: &[u8], at: &Range<u32>, name: &[u8]) -> bool {
    let raw = doc.get(wide(at)).unwrap_or_default();
    if raw == name {
        return true;
    }
    if memchr::memchr(b'\\', raw).is_none() {
        return false;
    }
    let mut read = Vec::new();
    text::decode(raw, &mut read);
    read == name
}

/// Where the string ends whose content begins at `from`: at its quote, or the end of the text.
fn end_of_string(doc: &[u8], from: usize) -> usize {
    let mut at = from;
    while let Some(found) = doc.get(at..).and_then(|rest| memchr::memchr2(b'"', b'\\', rest)) {
        at += found;
        if doc.get(at) == Some(&b'"') {
            return at;
        }
        at += 2;
    }
    doc.len()
}

fn followed_by_colon(doc: &[u8], at: usize) -> bool {
    doc.get(at..)
        .unwrap_or_default()
        .iter()
        .find(|byte| !byte.is_ascii_whitespace())
        == Some(&b':')
}

#[cfg(test)]
mod tests {
    use super::*;

    fn strings(doc: &str) -> Vec<(String, String)> {
        let mut tape = Tape::default();
        tape.read(doc.as_bytes()).unwrap();
        let text = |at: &Range<u32>| doc[wide(at)].to_owned();
        let scalars = tape
            .nodes()
            .iter()
            .filter(|node| matches!(node.kind, Kind::String | Kind::Bare));
        scalars.map(|node| (text(&node.key), text(&node.at))).collect()
    }

    fn check(doc: &str, expected: &[(&str, &str)]) {
        let expected: Vec<_> = expected
            .iter()
            .map(|(key, value)| ((*key).to_owned(), (*value).to_owned()))
            .collect();
        assert_eq!(strings(doc), expected, "{doc}");
    }

    #[test]
    fn every_value_is_found_with_its_key() {
        check(
            r#"{"a":"x","b":[1,"y",{"c":"z\""}],"d":null}"#,
            &[("a", "x"), ("", "1"), ("", "y"), ("c", r#"z\""#), ("d", "null")],
        );
        check(r#""alone""#, &[("", "alone")]);
        check("[DONE]", &[("", "DONE")]);
    }

    #[test]
    fn what_is_no_json_is_read_as_well_as_it_goes() {
        check(r#"{"a":"cut of"#, &[("a", "cut of")]);
        check(r#"{"a":"x" "b":"y"}}"z""#, &[("a", "x"), ("b", "y"), ("", "z")]);
        check(r#"{"a" "b"}"#, &[("", "a"), ("", "b")]);
        check(r"plain text", &[("", "plain"), ("", "text")]);
        check("{\"a\":\"\\", &[("a", "\\")]);
    }

    #[test]
    fn members_are_found_by_name() {
        let doc = br#"{"x":{"type":"no"},"\u0074ype":"yes","n":3}"#;
        let mut tape = Tape::default();
        tape.read(doc).unwrap();
        assert_eq!(tape.said(doc, 0, b"type"), Some(&b"yes"[..]));
        assert_eq!(tape.said(doc, 0, b"n"), Some(&b"3"[..]));
        assert_eq!(tape.said(doc, 0, b"x"), None);
        assert_eq!(tape.member(doc, 3, b"type"), None);
    }

    #[test]
    fn depth_and_number_are_bounded() {
        let mut tape = Tape::default();
        let deep = "[".repeat(DEPTH_MAX + 1);
        assert_eq!(tape.read(deep.as_bytes()), Err(TooComplex));
        let many = "1,".repeat(NODES_MAX + 1);
        assert_eq!(tape.read(many.as_bytes()), Err(TooComplex));
    }
}
