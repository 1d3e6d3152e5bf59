//! A body cut into units that can be looked at and handed on one by one: events, messages, lines, elements, or the
//! whole of it. All units in order are the body, byte for byte.

use crate::eventstream;

/// Longest unit, in bytes; 16 MiB. Bodies that are one document are held up to here.
pub const UNIT_BYTES_MAX: usize = 16 << 20;

/// A buffer grown beyond this is given back when it is empty.
const KEEP_BYTES_MAX: usize = 64 * 1024;

/// What stands between two units.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Framing {
    /// Server-sent events: an empty line.
    Sse,
    /// AWS event stream: messages state their length.
    Messages,
    /// A document a line.
    Lines,
    /// The elements of one array, sent piece by piece.
    Array,
    /// Documents one after another.
    Row,
    /// One document.
    Document,
    /// Text without any structure.
    Text,
}

/// Why a body cannot be cut.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Uncut {
    /// A unit of more than [`UNIT_BYTES_MAX`].
    TooLong,
    /// What should be a message of an event stream is none.
    Damaged,
}

/// See the module.
#[derive(Debug)]
pub(super) struct Cutter {
    framing: Framing,
    carry: Vec<u8>,
    /// How far the unfinished unit has been looked at.
    at: usize,
    lines: LineState,
    nesting: Nesting,
}

#[derive(Debug)]
struct LineState {
    line_start: bool,
    after_cr: bool,
    /// The last line ended with CR and LF.
    crlf: bool,
    /// The unit has a line that is not empty.
    seen: bool,
}

#[derive(Debug, Default)]
struct Nesting {
    depth: u32,
    in_string: bool,
}

const LINE_STATE: LineState = LineState {
    line_start: true,
    after_cr: false,
    crlf: false,
    seen: false,
};

impl Cutter {
    pub(super) const fn new(framing: Framing) -> Self {
        Self {
            framing,
            carry: Vec::new(),
            at: 0,
            lines: LINE_STATE,
            nesting: Nesting {
                depth: 0,
                in_string: false,
            },
        }
    }

    pub(super) const fn framing(&self) -> Framing {
        self.framing
    }

    /// Bytes of the unfinished unit.
    pub(super) fn held(&self) -> usize {
        self.carry.len()
    }

    /// Takes the next bytes; `sink` gets each unit that is whole.
    pub(super) fn feed(&mut self, bytes: &[u8], mut sink: impl FnMut(&[u8])) -> Result<(), Uncut> {
        if self.carry.is_empty() {
            let used = self.cut(bytes, &mut sink)?;
            let rest = bytes.get(used..).unwrap_or_default();
            self.carry.extend_from_slice(rest);
        } else {
            let mut carry = std::mem::take(&mut self.carry);
            carry.extend_from_slice(bytes);
            let used = self.cut(&carry, &mut sink)?;
            carry.drain(..used);
            if !(carry.is_empty() && carry.capacity() > KEEP_BYTES_MAX) {
                self.carry = carry;
            }
        }
        if self.carry.len() > UNIT_BYTES_MAX {
            return Err(Uncut::TooLong);
        }
        Ok(())
    }

    /// Ends the body; `sink` gets what is left, be it whole or not.
    pub(super) fn finish(&mut self, mut sink: impl FnMut(&[u8])) {
        let rest = std::mem::take(&mut self.carry);
        if !rest.is_empty() {
            sink(&rest);
        }
    }

    /// Hands out the units at the beginning of `data`, and returns how long they are.
    fn cut(&mut self, data: &[u8], sink: &mut impl FnMut(&[u8])) -> Result<usize, Uncut> {
        let mut used = 0;
        while let Some(rest) = data.get(used..).filter(|rest| !rest.is_empty()) {
            let end = match self.framing {
                Framing::Sse => self.event(rest),
                Framing::Messages => message(rest)?,
                Framing::Lines => self.line(rest),
                Framing::Array => self.element(rest, 1),
                Framing::Row => self.element(rest, 0),
                Framing::Document => None,
                Framing::Text => whole_characters(rest),
            };
            let Some(end) = end else { break };
            sink(rest.get(..end).unwrap_or_default());
            used += end;
            self.at = 0;
            self.lines.seen = false;
        }
        Ok(used)
    }

    fn event(&mut self, rest: &[u8]) -> Option<usize> {
        let state = &mut self.lines;
        while let Some(&byte) = rest.get(self.at) {
            if std::mem::take(&mut state.after_cr) && byte == b'\n' {
                state.crlf = true;
                self.at += 1;
                continue;
            }
            if state.line_start && (byte == b'\n' || byte == b'\r') {
                if byte == b'\r' {
                    match rest.get(self.at + 1) {
                        Some(b'\n') => self.at += 1,
                        Some(_) => {}
                        // Where lines end with both, the other half is still to come.
                        None if state.crlf => return None,
                        None => state.after_cr = true,
                    }
                }
                self.at += 1;
                if state.seen {
                    return Some(self.at);
                }
                continue;
            }
            state.seen = true;
            let line = rest.get(self.at..).unwrap_or_default();
            let Some(found) = memchr::memchr2(b'\n', b'\r', line) else {
                state.line_start = false;
                self.at = rest.len();
                break;
            };
            state.line_start = true;
            state.crlf = false;
            state.after_cr = line.get(found) == Some(&b'\r');
            self.at += found + 1;
        }
        None
    }

    fn line(&mut self, rest: &[u8]) -> Option<usize> {
        while let Some(found) = rest.get(self.at..).and_then(|rest| memchr::memchr(b'\n', rest)) {
            let line = rest.get(self.at..self.at + found).unwrap_or_default();
            self.lines.seen |= !line.trim_ascii().is_empty();
            self.at += found + 1;
            if self.lines.seen {
                return Some(self.at);
            }
        }
        None
    }

    fn element(&mut self, rest: &[u8], base: u32) -> Option<usize> {
        let Nesting { depth, in_string } = &mut self.nesting;
        while let Some(&byte) = rest.get(self.at) {
            if *in_string {
                let found = rest
                    .get(self.at..)
                    .and_then(|rest| memchr::memchr2(b'"', b'\\', rest));
                let Some(found) = found else {
                    self.at = rest.len();
                    return None;
                };
                if rest.get(self.at + found) == Some(&b'"') {
                    *in_string = false;
                    self.at += found + 1;
                } else if rest.len() > self.at + found + 1 {
                    self.at += found + 2;
                } else {
                    // What is escaped is still to come.
                    self.at += found;
                    return None;
                }
                continue;
            }
            self.at += 1;
            match byte {
                b'"' => *in_string = true,
                b'{' | b'[' => *depth = depth.saturating_add(1),
                b'}' | b']' => {
                    *depth = depth.saturating_sub(1);
                    if *depth == base {
                        return Some(self.at);
                    }
                }
                _ => {}
            }
        }
        None
    }
}

/// Length of the message at the start of `rest`.
fn message(rest: &[u8]) -> Result<Option<usize>, Uncut> {
    match eventstream::message_len(rest) {
        Ok(Some(total)) if total > UNIT_BYTES_MAX => Err(Uncut::TooLong),
        Ok(total) => Ok(total.filter(|total| rest.len() >= *total)),
        Err(_) => Err(Uncut::Damaged),
    }
}

/// How much of a text ends with a whole character.
fn whole_characters(rest: &[u8]) -> Option<usize> {
    let tail = rest.len().saturating_sub(3);
    let open = (tail..rest.len()).rev().find_map(|at| {
        let width = match rest.get(at)? {
            0xc0..=0xdf => 2,
            0xe0..=0xef => 3,
            0xf0..=0xf7 => 4,
            0x80..=0xbf => return None,
            _ => 1,
        };
        Some((at + width > rest.len()).then_some(at))
    });
    let end = open.flatten().unwrap_or(rest.len());
    (end > 0).then_some(end)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A body and its units; cut in whatever pieces it comes, they are the same.
    fn check(framing: Framing, units: &[&[u8]]) {
        let body = units.concat();
        for step in 1..=body.len() {
            let mut cutter = Cutter::new(framing);
            let mut got: Vec<Vec<u8>> = Vec::new();
            for piece in body.chunks(step) {
                cutter.feed(piece, |unit| got.push(unit.to_vec())).unwrap();
            }
            cutter.finish(|unit| got.push(unit.to_vec()));
            assert_eq!(got, units, "step {step} of {}", body.escape_ascii());
        }
    }

    #[test]
    fn bodies_come_apart_at_their_borders() {
        check(
            Framing::Sse,
            &[
                b"data: a\n\n",
                b": x\nevent: e\ndata: b\n\n",
                b"\n\ndata: c\n\n",
                b"data: d\n",
            ],
        );
        check(
            Framing::Sse,
            &[b"data: a\r\n\r\n", b"data: b\r\n\r\n", b"data: c"],
        );
        check(Framing::Sse, &[b"data: a\r\r", b"data: b\r\r"]);
        check(Framing::Sse, &[b"\xEF\xBB\xBFdata: a\n\n", b"data: b\n\n"]);
        check(Framing::Lines, &[b"{}\r\n", b"\n \n{\"a\":1}\n", b"{}"]);
        check(
            Framing::Array,
            &[b" [{\"a\":\"}]\\\"\"}", b"\n,\r\n{\"b\":[{}]}", b",{}", b"\n]\n"],
        );
        check(Framing::Row, &[b"{\"a\":[1]}", b"\n{}", b"\n"]);
        check(Framing::Document, &[b"{\"a\":\n\n1}"]);
        let one = eventstream::write(&[(":message-type", "event")], b"{}");
        let two = eventstream::write(&[], b"");
        check(Framing::Messages, &[&one, &two, &one[..20]]);
    }

    #[test]
    fn text_is_cut_between_characters() {
        let body = "aüb€c😀".as_bytes();
        for step in 1..=body.len() {
            let mut cutter = Cutter::new(Framing::Text);
            let mut got = Vec::new();
            for piece in body.chunks(step) {
                cutter
                    .feed(piece, |unit| {
                        assert!(std::str::from_utf8(unit).is_ok());
                        got.extend_from_slice(unit);
                    })
                    .unwrap();
            }
            assert_eq!((got.as_slice(), cutter.held()), (body, 0));
        }
        // What is no UTF-8 is not waited for.
        let mut cutter = Cutter::new(Framing::Text);
        let mut got = 0;
        cutter
            .feed(b"\x80\x80\x80\x80", |unit| got += unit.len())
            .unwrap();
        assert_eq!(got, 4);
    }

    #[test]
    fn what_cannot_be_cut_is_refused() {
        let mut cutter = Cutter::new(Framing::Messages);
        assert_eq!(cutter.feed(&[7; 16], |_| ()), Err(Uncut::Damaged));
        let mut cutter = Cutter::new(Framing::Document);
        let half = vec![b' '; UNIT_BYTES_MAX / 2 + 1];
        assert_eq!(cutter.feed(&half, |_| ()), Ok(()));
        assert_eq!(cutter.feed(&half, |_| ()), Err(Uncut::TooLong));
    }
}
