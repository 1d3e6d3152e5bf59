//! JSON that is written in a string: the arguments of a tool call, as they come piece by piece.
//!
//! What is looked at is what the JSON says, each of its strings for itself and each bare value for itself, so that an
//! escape in it hides nothing and a replacement leaves it JSON. Arguments that begin like no JSON are text.

use super::text;

/// What a run of text is.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) enum Run {
    /// Not JSON at all.
    #[default]
    Text,
    /// In a string of the JSON.
    String,
    /// A number or whatever else stands between commas and brackets.
    Bare,
}

/// What is read from the arguments, in order.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Token<'a> {
    /// These bytes stand for themselves, from this offset.
    Plain(u64, &'a [u8]),
    /// A character that an escape between these offsets stands for.
    Escape(u64, u64, char),
    /// A byte at this offset that stands for itself.
    Byte(u64, u8),
    /// The run ended; another of this kind begins at this offset. With what ended it.
    Break(u64, Run, u8),
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum State {
    /// Nothing but white space has come.
    Start,
    Text,
    Bare,
    String,
    /// In an escape that began at this offset; its bytes so far.
    Escape {
        from: u64,
        bytes: [u8; 12],
        len: usize,
    },
}

/// Reads arguments in whatever pieces they come.
#[derive(Debug)]
pub(super) struct Inner {
    state: State,
    at: u64,
}

impl Inner {
    pub(super) const fn new() -> Self {
        Self {
            state: State::Start,
            at: 0,
        }
    }

    /// Offset of an escape that has begun and not ended.
    pub(super) const fn unfinished(&self) -> Option<u64> {
        match self.state {
            State::Escape { from, .. } => Some(from),
            _ => None,
        }
    }

    /// Takes the next piece of the arguments' text.
    pub(super) fn feed<'a>(&mut self, piece: &'a [u8], mut sink: impl FnMut(Token<'a>)) {
        let base = self.at;
        self.at = base.saturating_add(piece.len() as u64);
        let offset = |at: usize| base.saturating_add(at as u64);
        let mut at = 0;
        while let Some(rest) = piece.get(at..).filter(|rest| !rest.is_empty()) {
            match &mut self.state {
                State::Start => {
                    let Some(first) = rest.iter().position(|byte| !byte.is_ascii_whitespace()) else {
                        return;
                    };
                    at += first;
                    self.state = match rest.get(first) {
                        Some(b'{' | b'[' | b'"') => State::Bare,
                        _ => {
                            sink(Token::Break(offset(at), Run::Text, b' '));
                            State::Text
                        }
                    };
                }
                State::Text => {
                    sink(Token::Plain(offset(at), rest));
                    return;
                }
                State::Bare => {
                    let border = |byte: &u8| matches!(byte, b'{' | b'}' | b'[' | b']' | b',' | b':' | b'"');
                    let end = rest.iter().position(border).unwrap_or(rest.len());
                    if end > 0 {
                        sink(Token::Plain(offset(at), rest.get(..end).unwrap_or_default()));
                    }
                    at += end;
                    if let Some(byte) = rest.get(end) {
                        at += 1;
                        if *byte == b'"' {
                            self.state = State::String;
                            sink(Token::Break(offset(at), Run::String, *byte));
                        } else {
                            sink(Token::Break(offset(at), Run::Bare, *byte));
                        }
                    }
                }
                State::String => {
                    let end = memchr::memchr2(b'"', b'\\', rest).unwrap_or(rest.len());
                    if end > 0 {
                        sink(Token::Plain(offset(at), rest.get(..end).unwrap_or_default()));
                    }
                    at += end;
                    match rest.get(end) {
                        Some(b'"') => {
                            at += 1;
                            self.state = State::Bare;
                            sink(Token::Break(offset(at), Run::Bare, b'"'));
                        }
                        Some(_) => {
                            self.state = begun(offset(at));
                            at += 1;
                        }
                        None => {}
                    }
                }
                State::Escape { from, bytes, len } => {
                    if let (Some(place), Some(byte)) = (bytes.get_mut(*len), rest.first()) {
                        *place = *byte;
                    }
                    *len += 1;
                    at += 1;
                    let (from, bytes, len) = (*from, *bytes, *len);
                    self.escaped(from, &bytes, len, &mut sink);
                }
            }
        }
    }

    /// Reads the last bytes of a broken escape again: they are plain, or end the string, or begin another escape.
    fn reread<'a>(&mut self, bytes: &[u8], from: u64, sink: &mut impl FnMut(Token<'a>)) {
        for (byte, offset) in bytes.iter().zip(from..) {
            match (byte, &mut self.state) {
                (byte, State::Escape { from, bytes, len }) => {
                    if let Some(place) = bytes.get_mut(*len) {
                        *place = *byte;
                    }
                    *len += 1;
                    let (from, bytes, len) = (*from, *bytes, *len);
                    // It is shorter than the one that it was part of, so this ends.
                    self.escaped(from, &bytes, len, sink);
                }
                (b'"', State::String) => {
                    self.state = State::Bare;
                    sink(Token::Break(offset.saturating_add(1), Run::Bare, b'"'));
                }
                (b'\\', State::String) => self.state = begun(offset),
                _ => sink(Token::Byte(offset, *byte)),
            }
        }
    }

    /// Hands out an escape that is whole.
    fn escaped<'a>(&mut self, from: u64, bytes: &[u8; 12], len: usize, sink: &mut impl FnMut(Token<'a>)) {
        let so_far = bytes.get(..len).unwrap_or_default();
        let Some((c, given_back)) = ended(so_far) else {
            return;
        };
        self.state = State::String;
        let own = len - given_back.min(len);
        let behind = from.saturating_add(own as u64);
        sink(Token::Escape(from, behind, c));
        self.reread(so_far.get(own..).unwrap_or_default(), behind, sink);
    }
}

/// An escape of which the backslash has come.
const fn begun(from: u64) -> State {
    let mut bytes = [0; 12];
    bytes[0] = b'\\';
    State::Escape { from, bytes, len: 1 }
}

/// Whether an escape is whole: what it stands for, and how many of its last bytes are no part of it.
fn ended(so_far: &[u8]) -> Option<(char, usize)> {
    let kind = *so_far.get(1)?;
    if kind != b'u' {
        let mut said = Vec::new();
        text::decode(so_far, &mut said);
        let c = std::str::from_utf8(&said)
            .ok()
            .and_then(|said| said.chars().next());
        // Of a character of several bytes, only the backslash is read here.
        return Some((
            c.unwrap_or(char::REPLACEMENT_CHARACTER),
            usize::from(kind >= 0x80),
        ));
    }
    let digits = so_far.get(2..so_far.len().min(6)).unwrap_or_default();
    if !digits.iter().all(u8::is_ascii_hexdigit) {
        return Some(('u', so_far.len() - 2));
    }
    let first = text::hex(so_far.get(2..6))?;
    if !(0xd800..=0xdbff).contains(&first) {
        return Some((char::from_u32(first).unwrap_or(char::REPLACEMENT_CHARACTER), 0));
    }
    let lone = |len: usize| Some((char::REPLACEMENT_CHARACTER, len - 6));
    let second = so_far.get(6..).unwrap_or_default();
    let digits = second.get(2..).unwrap_or_default();
    let pair = second.first().is_none_or(|byte| *byte == b'\\')
        && second.get(1).is_none_or(|byte| *byte == b'u')
        && digits.iter().all(u8::is_ascii_hexdigit);
    if !pair {
        return lone(so_far.len());
    }
    let second = text::hex(second.get(2..6))?;
    if !(0xdc00..=0xdfff).contains(&second) {
        return lone(so_far.len());
    }
    let code = 0x1_0000 + ((first - 0xd800) << 10) + (second - 0xdc00);
    Some((char::from_u32(code).unwrap_or(char::REPLACEMENT_CHARACTER), 0))
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The runs of a text that comes in pieces of `step` bytes, and where each of their characters begins.
    fn runs(args: &str, step: usize) -> Vec<(Run, String, Vec<u64>)> {
        let mut inner = Inner::new();
        let mut all = vec![(Run::Bare, Vec::new(), Vec::new())];
        for piece in args.as_bytes().chunks(step) {
            inner.feed(piece, |token| match token {
                Token::Plain(at, bytes) => {
                    let last = all.last_mut().unwrap();
                    last.1.extend_from_slice(bytes);
                    last.2.extend((0..bytes.len() as u64).map(|n| at + n));
                }
                Token::Escape(at, _, c) => {
                    let last = all.last_mut().unwrap();
                    last.1.extend_from_slice(c.to_string().as_bytes());
                    last.2.push(at);
                }
                Token::Byte(at, byte) => {
                    let last = all.last_mut().unwrap();
                    last.1.push(byte);
                    last.2.push(at);
                }
                Token::Break(_, run, _) => all.push((run, Vec::new(), Vec::new())),
            });
        }
        all.retain(|run| !run.1.is_empty());
        all.into_iter()
            .map(|(run, text, at)| (run, String::from_utf8(text).unwrap(), at))
            .collect()
    }

    fn check(args: &str, expected: &[(Run, &str)]) {
        for step in 1..=args.len() {
            let got = runs(args, step);
            let plain: Vec<_> = got.iter().map(|(run, text, _)| (*run, text.as_str())).collect();
            assert_eq!(plain, expected, "{args} by {step}");
            assert_eq!(got, runs(args, args.len()), "{args} by {step}");
        }
    }

    #[test]
    fn strings_and_bare_values_are_apart() {
        check(
            r#"{"to":"a\u0040b\n","n": 41,"x":[true,"\ud83d\ude00"]}"#,
            &[
                (Run::String, "to"),
                (Run::String, "a@b\n"),
                (Run::String, "n"),
                (Run::Bare, " 41"),
                (Run::String, "x"),
                (Run::Bare, "true"),
                (Run::String, "\u{1f600}"),
            ],
        );
    }

    #[test]
    fn what_begins_like_no_json_is_text() {
        check("*** \"x\\u0040\"", &[(Run::Text, "*** \"x\\u0040\"")]);
        check("41", &[(Run::Text, "41")]);
    }

    #[test]
    fn broken_escapes_hide_nothing() {
        check(
            r#""\u00zy\ud83d\"\ud83d\n\ud83d\u0041.\ud83d" z"#,
            &[
                (Run::String, "u00zy\u{fffd}\"\u{fffd}\n\u{fffd}A.\u{fffd}"),
                (Run::Bare, " z"),
            ],
        );
        check(r#""\u0" z"#, &[(Run::String, "u0"), (Run::Bare, " z")]);
    }
}
