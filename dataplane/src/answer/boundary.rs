//! Where the events of a stream end, so that an event of ours can stand behind the last whole one.

use sluice_proto::error_body::StreamFraming;

/// Shortest message of an AWS event stream: prelude and two checksums.
const MESSAGE_BYTES_MIN: u32 = 16;

/// Follows a stream in whatever pieces it comes.
pub(super) struct Boundaries {
    state: State,
    /// Nothing of an unfinished event has passed.
    between: bool,
}

enum State {
    /// The last two bytes, in order: an event ends with an empty line.
    Sse([u8; 2]),
    /// A document a line.
    Lines,
    /// Bytes of the present message to come, and the first four bytes of the next as far as they are there.
    Messages { left: u32, length: [u8; 4], have: usize },
    /// Nothing can be told.
    Unknown,
}

impl Boundaries {
    pub(super) fn new(framing: StreamFraming) -> Self {
        let state = match framing {
            StreamFraming::Sse => State::Sse([0; 2]),
            StreamFraming::Ndjson => State::Lines,
            StreamFraming::EventStream => State::Messages {
                left: 0,
                length: [0; 4],
                have: 0,
            },
            StreamFraming::JsonArray | StreamFraming::Opaque => State::Unknown,
        };
        Self { state, between: true }
    }

    /// Whether what has passed ends with a whole event.
    pub(super) fn is_between(&self) -> bool {
        self.between
    }

    /// Takes the next piece. Returns how much of it is whole events, counting one that began before; `None` if an event
    /// has begun before it and does not end in it.
    pub(super) fn feed(&mut self, piece: &[u8]) -> Option<usize> {
        if piece.is_empty() {
            return self.between.then_some(0);
        }
        let end = match &mut self.state {
            State::Sse(tail) => {
                let end = blank_line(*tail, piece);
                let mut last = piece.iter().rev();
                *tail = match (last.next(), last.next()) {
                    (Some(one), Some(two)) => [*two, *one],
                    (Some(one), None) => [tail[1], *one],
                    _ => *tail,
                };
                end
            }
            State::Lines => memchr::memrchr(b'\n', piece).map(|at| at + 1),
            State::Messages { left, length, have } => match messages(left, length, have, piece) {
                Ok(end) => end,
                Err(NoMessage) => {
                    self.state = State::Unknown;
                    None
                }
            },
            State::Unknown => None,
        };
        let whole = end.or_else(|| self.between.then_some(0));
        self.between = whole == Some(piece.len());
        whole
    }
}

/// Behind the last empty line that ends in `piece`; `tail` is what stood before. Lines end with LF, CR or both.
fn blank_line(tail: [u8; 2], piece: &[u8]) -> Option<usize> {
    let before = |at: usize, back: usize| match at.checked_sub(back) {
        Some(at) => piece.get(at).copied(),
        None => (at + 2).checked_sub(back).and_then(|at| tail.get(at).copied()),
    };
    memchr::memrchr2_iter(b'\n', b'\r', piece)
        .find(|&at| match (piece.get(at), before(at, 1)) {
            // CRLF is one end: what stands before it decides.
            (Some(b'\n'), Some(b'\r')) => matches!(before(at, 2), Some(b'\n' | b'\r')),
            (Some(b'\n'), one) => one == Some(b'\n'),
            // Behind a line feed it is the first half of an end.
            (_, one) => one == Some(b'\r'),
        })
        .map(|at| at + 1)
}

/// A length that no message has.
struct NoMessage;

fn messages(
    left: &mut u32,
    length: &mut [u8; 4],
    have: &mut usize,
    piece: &[u8],
) -> Result<Option<usize>, NoMessage> {
    let mut end = None;
    let mut at = 0;
    while let Some(rest) = piece.get(at..).filter(|rest| !rest.is_empty()) {
        if *left > 0 {
            let step = rest.len().min(usize::try_from(*left).unwrap_or(usize::MAX));
            at += step;
            *left = left.saturating_sub(u32::try_from(step).unwrap_or(u32::MAX));
            if *left == 0 {
                end = Some(at);
            }
            continue;
        }
        if let (Some(place), Some(byte)) = (length.get_mut(*have), rest.first()) {
            *place = *byte;
        }
        *have += 1;
        at += 1;
        if *have == length.len() {
            *have = 0;
            let total = u32::from_be_bytes(*length);
            if total < MESSAGE_BYTES_MIN {
                return Err(NoMessage);
            }
            *left = total - 4;
        }
    }
    Ok(end)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A stream and the offsets behind its events.
    fn check(framing: StreamFraming, stream: &[u8], ends: &[usize]) {
        for step in 1..=stream.len() {
            let mut boundaries = Boundaries::new(framing);
            let mut at = 0;
            for piece in stream.chunks(step) {
                let whole = boundaries.feed(piece);
                let to = at + piece.len();
                // The last end in this piece; where the stream stood between events before it, that.
                let expected = ends
                    .iter()
                    .chain(&[0])
                    .filter(|&&end| (at..=to).contains(&end))
                    .max();
                assert_eq!(
                    whole,
                    expected.map(|end| end - at),
                    "{} cut at {at} by {step}",
                    stream.escape_ascii()
                );
                assert_eq!(boundaries.is_between(), expected == Some(&to));
                at = to;
            }
        }
    }

    #[test]
    fn events_end_with_an_empty_line() {
        check(StreamFraming::Sse, b"data: a\n\ndata: b\n\ndata: c\n", &[9, 18]);
        check(StreamFraming::Sse, b"data: a\r\n\r\ndata: b\r\n", &[11]);
        check(StreamFraming::Sse, b"a\n\r\nb\r\n", &[4]);
        check(StreamFraming::Sse, b"event: x\ndata: a\ndata: b\n", &[]);
        check(StreamFraming::Ndjson, b"{}\n{\"a\":1}\n{", &[3, 11]);
    }

    #[test]
    fn a_carriage_return_ends_a_line_too() {
        // Whether a line feed follows is not known yet when the piece ends behind the first: both places are ends.
        let mut whole = Boundaries::new(StreamFraming::Sse);
        assert_eq!(whole.feed(b"a\r\rb"), Some(3));
        assert_eq!(whole.feed(b"\r"), None);
        assert_eq!(whole.feed(b"\r"), Some(1));
        assert!(whole.is_between());
    }

    #[test]
    fn messages_state_their_length() {
        let message = |bytes: u32| {
            let mut out = bytes.to_be_bytes().to_vec();
            out.resize(bytes as usize, b'\n');
            out
        };
        let stream = [message(16), message(40), message(16)[..9].to_vec()].concat();
        check(StreamFraming::EventStream, &stream, &[16, 56]);
        // What states a length that cannot be has no ends any more.
        let mut broken = Boundaries::new(StreamFraming::EventStream);
        assert_eq!(broken.feed(&message(20)), Some(20));
        assert_eq!(broken.feed(&3u32.to_be_bytes()), Some(0));
        assert_eq!(broken.feed(&message(16)), None);
    }

    #[test]
    fn what_has_no_events_has_no_ends() {
        for framing in [StreamFraming::JsonArray, StreamFraming::Opaque] {
            let mut boundaries = Boundaries::new(framing);
            assert_eq!(boundaries.feed(b"[{}\n\n"), Some(0));
            assert_eq!(boundaries.feed(b",{}\n\n"), None);
        }
    }
}
