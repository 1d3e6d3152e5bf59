//! A strict HTTP/1.1 codec without IO: bytes in, decisions out (RFC 9110, RFC 9112).
//!
//! The model. A shell owns sockets and buffers. It shows everything it has received since the start of a message to
//! a [`HeadScanner`] until that says where the head ends, hands exactly that slice to [`parse_request`] or
//! [`parse_response`], and feeds what follows to a [`BodyDecoder`] made from the head's [`Framing`]. Whatever goes
//! out again is written anew by [`emit`]: received framing fields are never forwarded, the body is framed by one
//! `Content-Length` or by `chunked`.
//!
//! The rule behind every decision: if two reasonable parsers could read a message differently, it is refused
//! ([`Reject`] towards a client, [`BadAnswer`] towards a provider) and its connection is closed. The grammar
//! decisions that go beyond the RFCs stand with the function that makes them and in
//! `docs/adr/0001-own-http1-codec.md`:
//!
//! | where | decision |
//! |---|---|
//! | line ends | CRLF only; bare LF, bare CR and NUL are refused wherever they stand in a head |
//! | before a request | at most [`EMPTY_LINES_MAX`] empty lines (RFC 9112 §2.2) |
//! | request line | exactly one space twice; target in origin form, or `*` with OPTIONS |
//! | version | 1.0 and 1.1; others that are well formed 505, malformed or absent 400 |
//! | fields | tokens as names, no folding, no space before the colon; bytes 0x80–0xFF are opaque in values |
//! | `Content-Length` | one field of digits; repetition and lists refused even if equal; at most [`LENGTH_MAX`] |
//! | `Transfer-Encoding` | one field that is `chunked`, HTTP/1.1 only, never with `Content-Length` |
//! | chunks | 1–16 hex digits; extensions by the grammar and bounded; trailers checked, then dropped |
//!
//! Every parser here gives the same outcome however its input is cut; the tests and [`fuzz`] assert it.

mod answer;
mod body;
mod bytes;
pub mod credential;
pub mod emit;
mod fields;
#[doc(hidden)]
pub mod fuzz;
mod host;
pub mod names;
pub mod query;
mod reject;
mod request;
mod scan;
pub mod served;
mod target;

pub use answer::{ResponseHead, parse_response};
pub use body::{BodyDecoder, CHUNK_EXTENSION_BYTES_MAX, CHUNK_OVERHEAD_BYTES_MAX, Decoded, Piece};
pub use fields::{ConnectionTokens, HeaderSlot, Headers, Span};
pub use names::{hop_by_hop, is_client_credential, is_framing, is_identity_header};
pub use reject::{BadAnswer, BodyError, Reject};
pub use request::{RequestHead, parse_request};
pub use scan::{EMPTY_LINES_MAX, HeadScanner, Kind};

/// No head is larger than this, whatever the configured limit: positions in a head are stored in 16 bits.
pub const HEAD_BYTES_CEILING: usize = 65_536;

/// No head has more fields than this, whatever the configured limit.
pub const HEADER_COUNT_CEILING: usize = 256;

/// Largest body length that is believed, 2^53: every consumer of a length, JSON tools included, can count to it.
pub const LENGTH_MAX: u64 = 1 << 53;

/// Interim answers (1xx) that a shell forwards or skips before it gives the exchange up.
pub const INTERIM_ANSWERS_MAX: u32 = 16;

/// Limits of a head. Defaults are decisions: they equal or exceed what common servers accept, and a request of a
/// real model client uses a fiftieth of them.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct HeadLimits {
    /// Bytes of a whole head with its blank line; more is 431. At most [`HEAD_BYTES_CEILING`] takes effect.
    pub head_bytes_max: usize,
    /// Fields in a head; more is 431. At most [`HEADER_COUNT_CEILING`] takes effect.
    pub header_count_max: usize,
    /// Bytes of a request target; more is 414.
    pub target_bytes_max: usize,
}

impl Default for HeadLimits {
    fn default() -> Self {
        Self {
            head_bytes_max: 65_536,
            header_count_max: 100,
            target_bytes_max: 8_192,
        }
    }
}

impl HeadLimits {
    /// Bytes of a head that are accepted in effect.
    #[must_use]
    pub fn head_bytes(&self) -> usize {
        self.head_bytes_max.min(HEAD_BYTES_CEILING)
    }

    /// Fields of a head that are accepted in effect.
    #[must_use]
    pub fn header_count(&self) -> usize {
        self.header_count_max.min(HEADER_COUNT_CEILING)
    }
}

/// The methods that are served. Method names are case-sensitive (RFC 9110 §9.1).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Method {
    /// `GET`
    Get,
    /// `HEAD`
    Head,
    /// `POST`
    Post,
    /// `PUT`
    Put,
    /// `PATCH`
    Patch,
    /// `DELETE`
    Delete,
    /// `OPTIONS`
    Options,
}

impl Method {
    /// Every method that is served.
    pub const ALL: [Self; 7] = [
        Self::Get,
        Self::Head,
        Self::Post,
        Self::Put,
        Self::Patch,
        Self::Delete,
        Self::Options,
    ];

    /// The name on the wire.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Get => "GET",
            Self::Head => "HEAD",
            Self::Post => "POST",
            Self::Put => "PUT",
            Self::Patch => "PATCH",
            Self::Delete => "DELETE",
            Self::Options => "OPTIONS",
        }
    }

    /// Whether a request with this method has content by its definition, so that one without framing is 411.
    #[must_use]
    pub const fn expects_body(self) -> bool {
        matches!(self, Self::Post | Self::Put | Self::Patch)
    }
}

/// The protocol versions that are served.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Version {
    /// `HTTP/1.0`
    Http10,
    /// `HTTP/1.1`
    Http11,
}

/// How the end of a body is found (RFC 9112 §6.3).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Framing {
    /// There is no body.
    None,
    /// As many bytes as `Content-Length` says, at most [`LENGTH_MAX`].
    Length(u64),
    /// `Transfer-Encoding: chunked`.
    Chunked,
    /// Until the sender closes the connection. Answers only.
    UntilClose,
}

impl Framing {
    /// Whether at least one byte follows the head: false for no body and for a length of zero.
    #[must_use]
    pub const fn has_body(self) -> bool {
        !matches!(self, Self::None | Self::Length(0))
    }
}
