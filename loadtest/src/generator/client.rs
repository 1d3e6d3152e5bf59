//! An HTTP/1.1 answer taken apart as it arrives, strictly, without a socket.

use super::check::{Check, Expect, Wrong};

/// Bytes of an answer's head, at most.
const HEAD_BYTES_MAX: usize = 64 << 10;
/// Fields of an answer's head, at most.
const FIELDS_MAX: usize = 64;

/// Why an answer is no good.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Fault {
    /// No HTTP/1.1 answer, or its framing is broken.
    Protocol(&'static str),
    /// Another status than the expected one, with the beginning of the body.
    Status(u16, String),
    /// The body is not the expected one.
    Body(Wrong),
    /// The connection ended in the middle.
    Closed,
    /// Bytes came behind the end of the answer.
    Surplus,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum State {
    Head,
    Length(u64),
    /// In a chunk-size line: value so far and digits seen; `true` once past the digits.
    Size(u64, u8, bool),
    Chunk(u64),
    /// Behind a chunk: which of CR and LF comes next.
    ChunkEnd(u8),
    /// The line behind the last chunk: bytes of it seen that are not CR or LF.
    Trailer(u16),
    UntilClose,
    Done,
}

/// The reading of one answer after another on one connection.
#[derive(Debug)]
pub(crate) struct Reader {
    state: State,
    head: Vec<u8>,
    check: Check,
    status: u16,
    /// Beginning of the body of an unexpected status.
    excerpt: Vec<u8>,
    begun: bool,
    close: bool,
}

impl Reader {
    pub(crate) fn new(expect: Expect) -> Self {
        Self {
            state: State::Head,
            head: Vec::with_capacity(1024),
            check: Check::new(expect),
            status: 0,
            excerpt: Vec::new(),
            begun: false,
            close: false,
        }
    }

    /// Starts over for the next answer.
    pub(crate) fn reset(&mut self) {
        self.state = State::Head;
        self.head.clear();
        self.check.reset();
        self.excerpt.clear();
        self.status = 0;
        self.begun = false;
        self.close = false;
    }

    /// Whether the first byte of the body has come.
    pub(crate) fn begun(&self) -> bool {
        self.begun
    }

    /// Whether the peer ends the connection behind this answer.
    pub(crate) fn close(&self) -> bool {
        self.close
    }

    /// Events of the body so far.
    pub(crate) fn events(&self) -> u64 {
        self.check.events()
    }

    /// Takes the next bytes; true once the answer is complete and right.
    pub(crate) fn feed(&mut self, mut bytes: &[u8]) -> Result<bool, Fault> {
        while !bytes.is_empty() {
            bytes = self.step(bytes)?;
            if self.state == State::Done {
                return if bytes.is_empty() {
                    self.end().map(|()| true)
                } else {
                    Err(Fault::Surplus)
                };
            }
        }
        Ok(false)
    }

    /// The connection was closed in good order.
    pub(crate) fn closed(&mut self) -> Result<(), Fault> {
        match self.state {
            State::UntilClose => self.end(),
            _ => Err(Fault::Closed),
        }
    }

    fn end(&mut self) -> Result<(), Fault> {
        if self.status != 200 {
            return Err(Fault::Status(
                self.status,
                String::from_utf8_lossy(&self.excerpt).into_owned(),
            ));
        }
        self.check.end().map_err(Fault::Body)
    }

    fn body(&mut self, bytes: &[u8]) -> Result<(), Fault> {
        self.begun = true;
        if self.status != 200 {
            let room = 300_usize.saturating_sub(self.excerpt.len());
            self.excerpt
                .extend_from_slice(bytes.get(..bytes.len().min(room)).unwrap_or_default());
            return Ok(());
        }
        self.check.feed(bytes).map_err(Fault::Body)
    }

    /// Consumes some of `bytes` and gives the rest.
    fn step<'b>(&mut self, bytes: &'b [u8]) -> Result<&'b [u8], Fault> {
        let taken = |n: u64| usize::try_from(n).unwrap_or(usize::MAX).min(bytes.len());
        match self.state {
            State::Head => self.head(bytes),
            State::Length(left) => {
                let (now, rest) = bytes.split_at(taken(left));
                self.body(now)?;
                let left = left - now.len() as u64;
                self.state = if left == 0 {
                    State::Done
                } else {
                    State::Length(left)
                };
                Ok(rest)
            }
            State::UntilClose => self.body(bytes).map(|()| &bytes[bytes.len()..]),
            State::Size(size, digits, past) => {
                let (&byte, rest) = bytes.split_first().ok_or(Fault::Closed)?;
                let digit = char::from(byte).to_digit(16).map(u64::from).filter(|_| !past);
                self.state = match (byte, digit) {
                    (_, Some(_)) if digits >= 15 => return Err(Fault::Protocol("chunk size too long")),
                    (_, Some(digit)) => State::Size(size * 16 + digit, digits + 1, false),
                    (_, None) if digits == 0 => return Err(Fault::Protocol("chunk without a size")),
                    (b'\n', None) if size == 0 => State::Trailer(0),
                    (b'\n', None) => State::Chunk(size),
                    (b'\r' | b';', None) => State::Size(size, digits, true),
                    (_, None) if past => State::Size(size, digits, true),
                    _ => return Err(Fault::Protocol("bad chunk size")),
                };
                Ok(rest)
            }
            State::Chunk(left) => {
                let (now, rest) = bytes.split_at(taken(left));
                self.body(now)?;
                let left = left - now.len() as u64;
                self.state = if left == 0 {
                    State::ChunkEnd(b'\r')
                } else {
                    State::Chunk(left)
                };
                Ok(rest)
            }
            State::ChunkEnd(expected) => match bytes.split_first() {
                Some((&byte, rest)) if byte == expected => {
                    self.state = if expected == b'\r' {
                        State::ChunkEnd(b'\n')
                    } else {
                        State::Size(0, 0, false)
                    };
                    Ok(rest)
                }
                _ => Err(Fault::Protocol("chunk longer than its size")),
            },
            State::Trailer(seen) => {
                let (&byte, rest) = bytes.split_first().ok_or(Fault::Closed)?;
                self.state = match byte {
                    b'\n' if seen == 0 => State::Done,
                    b'\n' => State::Trailer(0),
                    b'\r' => State::Trailer(seen),
                    _ => State::Trailer(seen.saturating_add(1)),
                };
                Ok(rest)
            }
            State::Done => Err(Fault::Surplus),
        }
    }

    fn head<'b>(&mut self, bytes: &'b [u8]) -> Result<&'b [u8], Fault> {
        let before = self.head.len();
        self.head.extend_from_slice(bytes);
        let mut fields = [httparse::EMPTY_HEADER; FIELDS_MAX];
        let mut response = httparse::Response::new(&mut fields);
        let length = match response.parse(&self.head) {
            Ok(httparse::Status::Complete(length)) => length,
            Ok(httparse::Status::Partial) if self.head.len() <= HEAD_BYTES_MAX => {
                return Ok(&bytes[bytes.len()..]);
            }
            _ => return Err(Fault::Protocol("bad head")),
        };
        let find = |name: &str| {
            let mut found = response
                .headers
                .iter()
                .filter(|f| f.name.eq_ignore_ascii_case(name));
            let first = found.next().map(|f| f.value);
            if found.next().is_some() {
                Err(Fault::Protocol("framing field twice"))
            } else {
                Ok(first)
            }
        };
        self.status = response.code.unwrap_or(0);
        let stated = find("x-mock-body-crc32c")?
            .and_then(|v| std::str::from_utf8(v).ok())
            .and_then(|text| u32::from_str_radix(text, 16).ok());
        self.check.state(stated);
        self.close = find("connection")?.is_some_and(|v| v.eq_ignore_ascii_case(b"close"));
        let coding = find("transfer-encoding")?;
        let stated_length = find("content-length")?;
        self.state = match (coding, stated_length) {
            _ if (100..200).contains(&self.status) => State::Head,
            (Some(_), Some(_)) => return Err(Fault::Protocol("both length and chunks")),
            (Some(coding), None) if coding.eq_ignore_ascii_case(b"chunked") => State::Size(0, 0, false),
            (Some(_), None) => return Err(Fault::Protocol("unknown coding")),
            (None, Some(digits)) if digits.iter().all(u8::is_ascii_digit) => {
                let length = std::str::from_utf8(digits)
                    .ok()
                    .and_then(|text| text.parse().ok());
                match length.ok_or(Fault::Protocol("bad length"))? {
                    0 => State::Done,
                    n => State::Length(n),
                }
            }
            (None, Some(_)) => return Err(Fault::Protocol("bad length")),
            (None, None) => State::UntilClose,
        };
        self.head.clear();
        Ok(bytes.get(length - before..).unwrap_or_default())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const BODY: &[u8] = b"hello world";

    fn whole(answer: &str, cut: usize) -> Result<bool, Fault> {
        let mut reader = Reader::new(Expect::Whole);
        let bytes = answer.as_bytes();
        let early = reader.feed(&bytes[..cut])?;
        if early {
            return if cut == bytes.len() {
                Ok(true)
            } else {
                Err(Fault::Surplus)
            };
        }
        reader.feed(&bytes[cut..])
    }

    fn answers() -> [String; 3] {
        let crc = crc32c::crc32c(BODY);
        [
            format!(
                "HTTP/1.1 200 OK\r\ncontent-length: 11\r\nx-mock-body-crc32c: {crc:08x}\r\n\r\nhello world"
            ),
            format!(
                "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\nx-mock-body-crc32c: {crc:08x}\r\n\r\n\
                 5\r\nhello\r\n0006;a=b\r\n world\r\n0\r\n\r\n"
            ),
            format!(
                "HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 200 OK\r\ncontent-length: 11\r\nx-mock-body-crc32c: {crc:08x}\r\n\r\nhello world"
            ),
        ]
    }

    #[test]
    fn answers_are_read_at_every_split() {
        for answer in answers() {
            for cut in 0..=answer.len() {
                assert_eq!(whole(&answer, cut), Ok(true), "cut {cut} of {answer}");
            }
        }
    }

    #[test]
    fn damaged_answers_are_noticed() {
        for answer in answers() {
            let bad = answer.replace("hello", "hellO");
            assert!(
                matches!(whole(&bad, 9), Err(Fault::Body(Wrong::Checksum { .. }))),
                "{bad}"
            );
            assert_eq!(
                whole(&answer[..answer.len() - 1], 9),
                Ok(false),
                "the end is missing"
            );
            assert_eq!(whole(&format!("{answer}x"), 9), Err(Fault::Surplus));
            let unstated = answer.replace("x-mock-body-crc32c", "x-other");
            assert_eq!(whole(&unstated, 9), Err(Fault::Body(Wrong::NoChecksum)));
        }
        let [_, chunked, _] = answers();
        for (from, to) in [
            ("5\r\nhello", "4\r\nhello"),
            ("5\r\n", "5 \r\n"),
            ("5\r\nhello", "\r\nhello"),
        ] {
            assert!(
                matches!(whole(&chunked.replace(from, to), 9), Err(Fault::Protocol(_))),
                "{to}"
            );
        }
        let both = chunked.replace("\r\n\r\n5", "\r\ncontent-length: 11\r\n\r\n5");
        assert!(matches!(whole(&both, 9), Err(Fault::Protocol(_))));
    }

    #[test]
    fn another_status_is_a_fault_with_its_words() {
        let answer = "HTTP/1.1 503 Nope\r\ncontent-length: 5\r\n\r\nsorry";
        assert_eq!(whole(answer, 12), Err(Fault::Status(503, "sorry".into())));
    }

    #[test]
    fn a_body_until_close_ends_with_the_connection() {
        let crc = crc32c::crc32c(BODY);
        let answer = format!("HTTP/1.1 200 OK\r\nx-mock-body-crc32c: {crc:08x}\r\n\r\nhello world");
        let mut reader = Reader::new(Expect::Whole);
        assert_eq!(reader.feed(answer.as_bytes()), Ok(false));
        assert_eq!(reader.closed(), Ok(()));
        let mut reader = Reader::new(Expect::Whole);
        assert_eq!(
            reader.feed(b"HTTP/1.1 200 OK\r\ncontent-length: 9\r\n\r\nhello"),
            Ok(false)
        );
        assert_eq!(reader.closed(), Err(Fault::Closed));
    }
}
