//! Where a head ends, found while it arrives.
//!
//! One pass of `memchr3` over CR, LF and NUL: every CR must be followed by LF, an LF is only ever consumed behind its
//! CR, a NUL is refused. Each byte is looked at once, however many pieces the head comes in; only a CR at the end of
//! what has arrived is looked at again. Everything is decided in the order of the bytes, so that the outcome cannot
//! depend on how they were cut.
//!
//! ```text
//! buffered: G E T · / · H T T P / 1 . 1 ␍ ␊ H o s t : · a ␍ ␊ ␍ ␊ (body …)
//!           └──────── line ─────────────┘   └─ line ──┘   ╰─ empty line after a line: the head ends here
//! ```

use memchr::memchr3;

use super::{HeadLimits, Reject, bytes::is_token_byte, request};

/// Empty lines that are skipped before a request line. RFC 9112 §2.2 asks for at least one, for clients that send a
/// CRLF too many after a body; without a bound they would be a way to keep a connection busy for nothing.
pub const EMPTY_LINES_MAX: u8 = 4;

/// What kind of head is expected.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// From a client.
    Request,
    /// From a provider.
    Response,
}

/// Finds the end of a head in a growing buffer and refuses as early as it can.
#[derive(Clone, Debug)]
pub struct HeadScanner {
    kind: Kind,
    limits: HeadLimits,
    /// First byte that was not looked at; `line_start <= pos <= head_bytes_max`.
    pos: usize,
    /// First byte of the line that has not ended yet.
    line_start: usize,
    /// Lines that have ended, without the empty ones before a request.
    lines: usize,
    empty_lines: u8,
}

impl HeadScanner {
    /// A scanner at the start of a message.
    #[must_use]
    pub fn new(kind: Kind, limits: HeadLimits) -> Self {
        Self {
            kind,
            limits,
            pos: 0,
            line_start: 0,
            lines: 0,
            empty_lines: 0,
        }
    }

    /// Goes back to the start, for the next message of the same kind.
    pub fn reset(&mut self) {
        *self = Self::new(self.kind, self.limits);
    }

    /// Whether a byte of a message other than skipped empty lines has been seen. A client that closes before that
    /// has left between requests; one that is silent before that is idle, not slow.
    #[must_use]
    pub fn has_started(&self) -> bool {
        self.lines > 0 || self.pos > self.line_start
    }

    /// Looks on in `buffered`, which holds everything since the start of the message and only ever grows between
    /// calls. `Ok(Some(n))`: the head is `buffered[..n]`, its blank line included, as are the empty lines before a
    /// request. `Ok(None)`: more bytes are needed.
    ///
    /// # Errors
    /// The head cannot become a good one: bare CR or LF, NUL, a first byte or a first line that no message begins
    /// with, or a limit exceeded ([`Reject::TargetTooLong`], [`Reject::TooManyHeaders`], [`Reject::HeadTooLarge`]).
    pub fn scan(&mut self, buffered: &[u8]) -> Result<Option<usize>, Reject> {
        let window = &buffered[..buffered.len().min(self.limits.head_bytes())];
        let first_line_max = request::line_bytes_max(&self.limits);
        self.check_first_byte(window)?;
        while let Some(found) = memchr3(b'\r', b'\n', 0, window.get(self.pos..).unwrap_or_default()) {
            let at = self.pos + found;
            if self.lines == 0 && at - self.line_start > first_line_max {
                return Err(Reject::TargetTooLong);
            }
            match (window.get(at), window.get(at + 1)) {
                (Some(b'\r'), Some(b'\n')) => {}
                (Some(b'\r'), None) => {
                    self.pos = at;
                    return self.unfinished(buffered, first_line_max);
                }
                (Some(b'\r'), Some(_)) => return Err(Reject::BareCr),
                (Some(b'\n'), _) => return Err(Reject::BareLf),
                _ => return Err(Reject::NulByte),
            }
            let line = window.get(self.line_start..at).unwrap_or_default();
            self.pos = at + 2;
            self.line_start = self.pos;
            if !line.is_empty() {
                self.end_line(line)?;
            } else if self.lines > 0 {
                return Ok(Some(self.pos));
            } else {
                self.skip_empty_line()?;
                self.check_first_byte(window)?;
            }
        }
        self.pos = window.len();
        self.unfinished(buffered, first_line_max)
    }

    fn unfinished(&self, buffered: &[u8], first_line_max: usize) -> Result<Option<usize>, Reject> {
        if self.lines == 0 && self.pos.saturating_sub(self.line_start) > first_line_max {
            return Err(Reject::TargetTooLong);
        }
        if buffered.len() > self.limits.head_bytes() {
            return Err(Reject::HeadTooLarge);
        }
        Ok(None)
    }

    /// A TLS hello or other noise on the port is refused at its first byte instead of being waited for.
    fn check_first_byte(&self, window: &[u8]) -> Result<(), Reject> {
        match window.get(self.line_start) {
            Some(&b) if self.lines == 0 && !is_token_byte(b) && !matches!(b, b'\r' | b'\n' | 0) => {
                Err(Reject::RequestLine)
            }
            _ => Ok(()),
        }
    }

    fn end_line(&mut self, line: &[u8]) -> Result<(), Reject> {
        if self.lines == 0 {
            // HTTP/0.9 and other protocols never send a blank line: judge their first line now.
            let known = match self.kind {
                Kind::Request => line.ends_with(b" HTTP/1.1") || line.ends_with(b" HTTP/1.0"),
                Kind::Response => line.starts_with(b"HTTP/1.1 ") || line.starts_with(b"HTTP/1.0 "),
            };
            if !known {
                return Err(match self.kind {
                    Kind::Request => request::parse_line(line, &self.limits)
                        .err()
                        .unwrap_or(Reject::RequestLine),
                    Kind::Response => Reject::RequestLine,
                });
            }
        } else if self.lines > self.limits.header_count() {
            return Err(Reject::TooManyHeaders);
        }
        self.lines += 1;
        Ok(())
    }

    fn skip_empty_line(&mut self) -> Result<(), Reject> {
        if self.kind == Kind::Response || self.empty_lines >= EMPTY_LINES_MAX {
            return Err(Reject::EmptyLines);
        }
        self.empty_lines += 1;
        Ok(())
    }
}
