//! The body of a message, decoded as it arrives.
//!
//! Lengths and close-delimited bodies are counters. Chunks are a state machine over single bytes of framing between
//! runs of data, of which each run is handed out as one slice of the caller's buffer:
//!
//! ```text
//! 5 ; a = b ␍ ␊ h e l l o ␍ ␊ 0 ␍ ␊ T : v ␍ ␊ ␍ ␊
//! Size          Data      ↑   Size  trailers  ↑ Done
//!   Extension…            DataCr
//! ```
//!
//! Grammar (RFC 9112 §7.1) and the decisions within it:
//! - `chunk-size = 1*HEXDIG`: at most 16 digits, leading zeros included; at most 2^53. Nothing before the digits;
//!   behind them CRLF or an extension.
//! - `chunk-ext = *( BWS ";" BWS name [ BWS "=" BWS ( token / quoted-string ) ] )`: blanks are accepted exactly where the
//!   grammar has BWS, so not before CR. Extensions are dropped. A line of them is at most 256 bytes.
//! - CRLF after each size line and after the data of each chunk; nothing else ends a line.
//! - Trailers follow the grammar of header fields and are dropped. Fields that frame, route or speak of the connection
//!   may not be among them (RFC 9110 §6.5.1) and make the body malformed.
//! - Extensions and trailers of one message take at most 16 KiB together, so that a stream of chunks cannot be made of
//!   overhead.

use super::bytes::{is_blank, is_token_byte, is_value_byte};
use super::{BodyError, Framing, LENGTH_MAX};

/// Bytes of extensions that one size line may carry.
pub const CHUNK_EXTENSION_BYTES_MAX: u16 = 256;

/// Bytes of extensions and trailers, line ends of trailers included, that one message may carry.
pub const CHUNK_OVERHEAD_BYTES_MAX: u16 = 16 * 1024;

/// Digits of a chunk size.
const SIZE_DIGITS_MAX: u8 = 16;

/// Trailer fields that would change how the message is framed, routed or answered. At most 8: one bit each.
const TRAILERS_FORBIDDEN: [&[u8]; 8] = [
    b"content-length",
    b"transfer-encoding",
    b"host",
    b"connection",
    b"upgrade",
    b"trailer",
    b"te",
    b"expect",
];

/// Decodes one body. Small, plain state: a copy taken before a piece can be used to read the piece again.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct BodyDecoder {
    /// Bytes left of the body ([`State::Length`]) or of the current chunk.
    left: u64,
    /// Bytes of extensions and trailers so far; `overhead <= CHUNK_OVERHEAD_BYTES_MAX`.
    overhead: u16,
    /// Bytes of extensions on the current line; `extension <= CHUNK_EXTENSION_BYTES_MAX`.
    extension: u16,
    /// Characters of the current trailer name, counted up to 255.
    name_len: u8,
    /// One bit for each forbidden trailer that begins with the name so far.
    candidates: u8,
    /// Digits of the current chunk size; `digits <= SIZE_DIGITS_MAX`.
    digits: u8,
    state: State,
}

/// One piece of a body.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Piece<'a> {
    /// Body bytes, a slice of what was given. Empty only at the end of the body or of the buffer.
    pub data: &'a [u8],
    /// Bytes of the buffer that are done with: framing before the data, and the data.
    pub consumed: usize,
}

/// What [`BodyDecoder::decode_in_place`] did.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Decoded {
    /// Bytes of the buffer that were read. What lies behind them belongs to the next message.
    pub consumed: usize,
    /// Body bytes, moved to the front of the buffer; `body <= consumed`.
    pub body: usize,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum State {
    Length,
    UntilClose,
    /// Before or among the digits of a size.
    Size,
    /// Blanks after a size or a value: only more blanks or `;` may follow.
    ExtensionBlanks,
    /// Behind `;`: blanks, then a name.
    ExtensionStart,
    ExtensionName,
    /// Blanks behind a name: `=` or `;` may follow.
    ExtensionNameBlanks,
    /// Behind `=`: blanks, then a value.
    ExtensionValueStart,
    ExtensionToken,
    ExtensionQuoted,
    /// Behind a backslash in a quoted string.
    ExtensionEscape,
    /// Behind the closing quote.
    ExtensionQuoteEnd,
    SizeLf,
    Data,
    DataCr,
    DataLf,
    TrailerStart,
    TrailerName,
    TrailerValue,
    TrailerLf,
    LastLf,
    Done,
    /// An error was reported; it is reported again.
    Failed(BodyError),
}

impl BodyDecoder {
    /// A decoder at the start of a body.
    #[must_use]
    pub const fn new(framing: Framing) -> Self {
        let (state, left) = match framing {
            Framing::None | Framing::Length(0) => (State::Done, 0),
            Framing::Length(length) => (State::Length, length),
            Framing::Chunked => (State::Size, 0),
            Framing::UntilClose => (State::UntilClose, 0),
        };
        Self {
            left,
            overhead: 0,
            extension: 0,
            name_len: 0,
            candidates: 0,
            digits: 0,
            state,
        }
    }

    /// Whether the end of the body has been read.
    #[must_use]
    pub fn is_done(&self) -> bool {
        self.state == State::Done
    }

    /// Bytes that must still come, where that was declared: with `Content-Length`, or 0 at the end.
    #[must_use]
    pub fn remaining(&self) -> Option<u64> {
        match self.state {
            State::Length => Some(self.left),
            State::Done => Some(0),
            _ => None,
        }
    }

    /// The sender has closed its side.
    ///
    /// # Errors
    /// [`BodyError::Truncated`] unless the body had ended or is one that ends so. An error found before stands.
    pub fn finish_eof(&mut self) -> Result<(), BodyError> {
        match self.state {
            State::Done => Ok(()),
            State::UntilClose => {
                self.state = State::Done;
                Ok(())
            }
            State::Failed(error) => Err(error),
            _ => Err(self.fail(BodyError::Truncated)),
        }
    }

    /// The next run of body bytes in `buf`, without a copy. Call again with what lies behind `consumed`; at the end
    /// of the body nothing more is consumed.
    ///
    /// # Errors
    /// The bytes are not a body by the grammar above. The decoder stays in error.
    pub fn decode<'a>(&mut self, buf: &'a [u8]) -> Result<Piece<'a>, BodyError> {
        let mut at = 0usize;
        loop {
            let rest = buf.get(at..).unwrap_or_default();
            let Some(&byte) = rest.first() else {
                return Ok(Piece {
                    data: &[],
                    consumed: at,
                });
            };
            match self.state {
                State::Done => {
                    return Ok(Piece {
                        data: &[],
                        consumed: at,
                    });
                }
                State::Failed(error) => return Err(error),
                State::UntilClose => {
                    return Ok(Piece {
                        data: rest,
                        consumed: buf.len(),
                    });
                }
                State::Length | State::Data => {
                    let take = usize::try_from(self.left).map_or(rest.len(), |left| left.min(rest.len()));
                    self.left = self.left.saturating_sub(take as u64);
                    if self.left == 0 {
                        self.state = if self.state == State::Data {
                            State::DataCr
                        } else {
                            State::Done
                        };
                    }
                    let data = rest.get(..take).unwrap_or_default();
                    return Ok(Piece {
                        data,
                        consumed: at + take,
                    });
                }
                _ => match self.step(byte) {
                    Ok(next) => self.state = next,
                    Err(error) => return Err(self.fail(error)),
                },
            }
            at += 1;
        }
    }

    /// Decodes all of `buf` up to the end of the body: the body bytes are moved to its front.
    ///
    /// # Errors
    /// As [`Self::decode`]. Body bytes that precede the fault are lost with it, since a body that breaks its framing
    /// is not forwarded further.
    pub fn decode_in_place(&mut self, buf: &mut [u8]) -> Result<Decoded, BodyError> {
        let (mut consumed, mut body) = (0usize, 0usize);
        loop {
            let piece = self.decode(buf.get(consumed..).unwrap_or_default())?;
            let (len, end) = (piece.data.len(), consumed + piece.consumed);
            if len > 0 && end - len != body {
                buf.copy_within(end - len..end, body);
            }
            consumed = end;
            body += len;
            if len == 0 || self.is_done() {
                return Ok(Decoded { consumed, body });
            }
        }
    }

    fn fail(&mut self, error: BodyError) -> BodyError {
        self.state = State::Failed(error);
        error
    }

    /// One byte of chunk framing: the state that follows it.
    #[inline]
    fn step(&mut self, byte: u8) -> Result<State, BodyError> {
        match self.state {
            State::Size => self.size(byte),
            State::SizeLf => match (byte, self.left) {
                (b'\n', 0) => Ok(State::TrailerStart),
                (b'\n', _) => Ok(State::Data),
                _ => Err(BodyError::ChunkLineEnd),
            },
            State::DataCr if byte == b'\r' => Ok(State::DataLf),
            State::DataLf if byte == b'\n' => {
                (self.digits, self.extension) = (0, 0);
                Ok(State::Size)
            }
            State::DataCr | State::DataLf => Err(BodyError::ChunkDataEnd),
            State::TrailerStart | State::TrailerName | State::TrailerValue | State::TrailerLf => {
                self.trailer(byte)
            }
            State::LastLf if byte == b'\n' => Ok(State::Done),
            State::LastLf => Err(BodyError::ChunkLineEnd),
            _ => self.extension(byte),
        }
    }

    fn size(&mut self, byte: u8) -> Result<State, BodyError> {
        if let Some(digit) = char::from(byte).to_digit(16) {
            if self.digits >= SIZE_DIGITS_MAX {
                return Err(BodyError::ChunkSize);
            }
            if self.digits == 0 {
                self.left = 0;
            }
            self.digits += 1;
            // Sixteen digits fill the 64 bits and cannot overflow them.
            self.left = self.left << 4 | u64::from(digit);
            return if self.left > LENGTH_MAX {
                Err(BodyError::ChunkTooLarge)
            } else {
                Ok(State::Size)
            };
        }
        match byte {
            _ if self.digits == 0 => Err(BodyError::ChunkSize),
            b'\r' => Ok(State::SizeLf),
            b';' | b' ' | b'\t' => {
                self.extension = 0;
                self.state = State::ExtensionBlanks;
                self.extension(byte)
            }
            b'\n' => Err(BodyError::ChunkLineEnd),
            _ => Err(BodyError::ChunkSize),
        }
    }

    fn extension(&mut self, byte: u8) -> Result<State, BodyError> {
        let next = match (self.state, byte) {
            (State::ExtensionToken | State::ExtensionName | State::ExtensionQuoteEnd, b'\r') => {
                return Ok(State::SizeLf);
            }
            (
                State::ExtensionBlanks
                | State::ExtensionNameBlanks
                | State::ExtensionName
                | State::ExtensionToken
                | State::ExtensionQuoteEnd,
                b';',
            ) => State::ExtensionStart,
            (State::ExtensionName | State::ExtensionNameBlanks, b'=') => State::ExtensionValueStart,
            (State::ExtensionName | State::ExtensionNameBlanks, b) if is_blank(b) => {
                State::ExtensionNameBlanks
            }
            (State::ExtensionBlanks | State::ExtensionToken | State::ExtensionQuoteEnd, b) if is_blank(b) => {
                State::ExtensionBlanks
            }
            (State::ExtensionStart, b) if is_blank(b) => State::ExtensionStart,
            (State::ExtensionStart | State::ExtensionName, b) if is_token_byte(b) => State::ExtensionName,
            (State::ExtensionValueStart, b) if is_blank(b) => State::ExtensionValueStart,
            (State::ExtensionValueStart, b'"') => State::ExtensionQuoted,
            (State::ExtensionValueStart | State::ExtensionToken, b) if is_token_byte(b) => {
                State::ExtensionToken
            }
            (State::ExtensionQuoted, b'"') => State::ExtensionQuoteEnd,
            (State::ExtensionQuoted, b'\\') => State::ExtensionEscape,
            (State::ExtensionQuoted | State::ExtensionEscape, b) if is_value_byte(b) => {
                State::ExtensionQuoted
            }
            (_, b'\n') => return Err(BodyError::ChunkLineEnd),
            _ => return Err(BodyError::ChunkExtension),
        };
        self.extension += 1;
        if self.extension > CHUNK_EXTENSION_BYTES_MAX {
            return Err(BodyError::ChunkOverhead);
        }
        self.add_overhead()?;
        Ok(next)
    }

    fn trailer(&mut self, byte: u8) -> Result<State, BodyError> {
        if self.state == State::TrailerStart && byte == b'\r' {
            return Ok(State::LastLf);
        }
        self.add_overhead()?;
        match (self.state, byte) {
            (State::TrailerStart, b) if is_token_byte(b) => {
                (self.name_len, self.candidates) = (0, u8::MAX);
                self.name_byte(b);
                Ok(State::TrailerName)
            }
            (State::TrailerName, b':') => {
                if self.name_is_forbidden() {
                    return Err(BodyError::TrailerForbidden);
                }
                Ok(State::TrailerValue)
            }
            (State::TrailerName, b) if is_token_byte(b) => {
                self.name_byte(b);
                Ok(State::TrailerName)
            }
            (State::TrailerValue, b'\r') => Ok(State::TrailerLf),
            (State::TrailerValue, b) if is_value_byte(b) => Ok(State::TrailerValue),
            (State::TrailerLf, b'\n') => Ok(State::TrailerStart),
            (State::TrailerLf, _) | (_, b'\n') => Err(BodyError::ChunkLineEnd),
            _ => Err(BodyError::Trailer),
        }
    }

    /// Strikes out the forbidden names that do not have this character here.
    fn name_byte(&mut self, byte: u8) {
        let at = usize::from(self.name_len);
        for (bit, name) in TRAILERS_FORBIDDEN.iter().enumerate() {
            if name.get(at) != Some(&byte.to_ascii_lowercase()) {
                self.candidates &= !(1 << bit);
            }
        }
        self.name_len = self.name_len.saturating_add(1);
    }

    fn name_is_forbidden(&self) -> bool {
        TRAILERS_FORBIDDEN
            .iter()
            .enumerate()
            .any(|(bit, name)| self.candidates & 1 << bit != 0 && name.len() == usize::from(self.name_len))
    }

    fn add_overhead(&mut self) -> Result<(), BodyError> {
        self.overhead += 1;
        if self.overhead > CHUNK_OVERHEAD_BYTES_MAX {
            Err(BodyError::ChunkOverhead)
        } else {
            Ok(())
        }
    }
}

const _: () = assert!(
    size_of::<BodyDecoder>() <= 24,
    "one decoder stands in every open exchange"
);
