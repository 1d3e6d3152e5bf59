//! The field section of a head: `httparse` tokenises, we check what it lets pass.
//!
//! `httparse` finds names (tokens only) and values (HTAB, SP, VCHAR, obs-text; trimmed) with SIMD. It also accepts a
//! bare LF as a line end. Against that and anything else it may come to allow, its tokens must *tile* the section:
//! each name begins where the line before ended, a colon follows it directly, only blanks stand around the value,
//! CRLF follows, and after the last field the blank line is all that is left. A byte that no token claims makes the
//! head malformed.

use httparse::{EMPTY_HEADER, Error, Header, Status};
use memchr::memchr;
use smallvec::SmallVec;

use super::bytes::{is_blank, is_token, trim};
use super::{HeadLimits, LENGTH_MAX, Reject, Version};

/// A range of a head's bytes.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Span {
    /// Position of the first byte in the head.
    pub start: u32,
    /// Number of bytes.
    pub len: u32,
}

impl Span {
    /// The bytes in `head`, which is the slice that was parsed. Another, shorter slice yields nothing rather than a
    /// panic.
    #[inline]
    #[must_use]
    pub fn of<'a>(&self, head: &'a [u8]) -> &'a [u8] {
        let start = self.start as usize;
        head.get(start..start.saturating_add(self.len as usize))
            .unwrap_or_default()
    }

    /// First byte and end as a range of the head.
    #[must_use]
    pub fn range(&self) -> std::ops::Range<usize> {
        let start = self.start as usize;
        start..start.saturating_add(self.len as usize)
    }

    /// A range inside a head, whose positions fit 16 bits ([`HEAD_BYTES_CEILING`](super::HEAD_BYTES_CEILING)).
    pub(super) fn new(start: usize, len: usize) -> Self {
        Self {
            start: u32::try_from(start).unwrap_or(u32::MAX),
            len: u32::try_from(len).unwrap_or(0),
        }
    }

    /// The range of `part` inside `head`, if it lies there.
    fn within(head: &[u8], part: &[u8]) -> Option<Self> {
        let start = (part.as_ptr() as usize).checked_sub(head.as_ptr() as usize)?;
        (start.checked_add(part.len())? <= head.len()).then(|| Self::new(start, part.len()))
    }
}

/// A field: its name as received, and its value without the white space around it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct HeaderSlot {
    /// A token, in the case in which it came.
    pub name: Span,
    /// The value; may be empty.
    pub value: Span,
}

/// Eight bytes a field.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Packed {
    name_start: u16,
    name_len: u16,
    value_start: u16,
    value_len: u16,
}

impl Packed {
    fn unpack(self) -> HeaderSlot {
        HeaderSlot {
            name: Span {
                start: u32::from(self.name_start),
                len: u32::from(self.name_len),
            },
            value: Span {
                start: u32::from(self.value_start),
                len: u32::from(self.value_len),
            },
        }
    }
}

/// The fields of a head in the order in which they came; up to 24 without an allocation.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Headers {
    slots: SmallVec<[Packed; 24]>,
}

impl Headers {
    /// Number of fields.
    #[must_use]
    pub fn len(&self) -> usize {
        self.slots.len()
    }

    /// Whether there are none.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.slots.is_empty()
    }

    /// The field at `index`.
    #[must_use]
    pub fn get(&self, index: usize) -> Option<HeaderSlot> {
        self.slots.get(index).map(|slot| slot.unpack())
    }

    /// All fields in order.
    pub fn iter(&self) -> impl DoubleEndedIterator<Item = HeaderSlot> + ExactSizeIterator + Clone + '_ {
        self.slots.iter().map(|slot| slot.unpack())
    }

    /// Names and values in order.
    pub fn pairs<'a>(&'a self, head: &'a [u8]) -> impl Iterator<Item = (&'a [u8], &'a [u8])> + Clone + 'a {
        self.iter().map(|slot| (slot.name.of(head), slot.value.of(head)))
    }

    /// The value of the first field with this name, in any case.
    #[must_use]
    pub fn find<'a>(&self, head: &'a [u8], name: &str) -> Option<&'a [u8]> {
        self.slots
            .iter()
            .filter(|slot| usize::from(slot.name_len) == name.len())
            .map(|slot| slot.unpack())
            .find(|slot| slot.name.of(head).eq_ignore_ascii_case(name.as_bytes()))
            .map(|slot| slot.value.of(head))
    }

    /// The values of all fields with this name, in any case.
    pub fn find_all<'a>(&'a self, head: &'a [u8], name: &'a str) -> impl Iterator<Item = &'a [u8]> + 'a {
        self.pairs(head)
            .filter(|(n, _)| n.eq_ignore_ascii_case(name.as_bytes()))
            .map(|(_, value)| value)
    }
}

/// What the `Connection` fields say (RFC 9110 §7.6.1).
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct ConnectionTokens {
    /// `close`
    pub close: bool,
    /// `keep-alive`
    pub keep_alive: bool,
    /// `upgrade`
    pub upgrade: bool,
    /// The other options: names of fields that are meant for this connection only.
    nominated: SmallVec<[Span; 4]>,
}

/// Options in all `Connection` fields together; real messages have three.
const CONNECTION_OPTIONS_MAX: usize = 64;

impl ConnectionTokens {
    /// Whether a `Connection` field names this field, so that it must not be forwarded.
    #[must_use]
    pub fn nominates(&self, name: &[u8], head: &[u8]) -> bool {
        self.nominated
            .iter()
            .any(|span| span.of(head).eq_ignore_ascii_case(name))
    }

    /// The nominated names as received.
    pub fn nominated<'a>(&'a self, head: &'a [u8]) -> impl Iterator<Item = &'a [u8]> + 'a {
        self.nominated.iter().map(|span| span.of(head))
    }

    /// Whether the connection outlives a message of this version (RFC 9112 §9.3).
    pub(super) fn persists(&self, version: Version) -> bool {
        !self.close && (version == Version::Http11 || self.keep_alive)
    }
}

/// What one walk over the fields finds.
#[derive(Debug, Default)]
pub(super) struct Survey {
    pub(super) headers: Headers,
    pub(super) connection: ConnectionTokens,
    pub(super) host: Field,
    pub(super) content_length: Field,
    pub(super) transfer_encoding: Field,
    pub(super) expect: Field,
    pub(super) upgrade: bool,
    options: usize,
}

/// A field that may stand once.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) enum Field {
    #[default]
    Absent,
    Once(Span),
    Repeated,
}

impl Field {
    fn add(&mut self, span: Span) {
        *self = if *self == Self::Absent {
            Self::Once(span)
        } else {
            Self::Repeated
        };
    }
}

/// The framing that the fields declare, before method and status have their say.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Declared {
    Nothing,
    Length(u64),
    Chunked,
}

impl Survey {
    /// Reads `head[from..]`, which must be a field section and its blank line, and nothing else.
    pub(super) fn take(head: &[u8], from: usize, limits: &HeadLimits) -> Result<Self, Reject> {
        const FEW: usize = 32;
        let section = head.get(from..).unwrap_or_default();
        let mut few: [Header<'_>; FEW] = [EMPTY_HEADER; FEW];
        match httparse::parse_headers(section, &mut few) {
            Err(Error::TooManyHeaders) if limits.header_count() > FEW => {
                let mut many = [EMPTY_HEADER; super::HEADER_COUNT_CEILING];
                let parsed = httparse::parse_headers(section, &mut many);
                Self::tile(head, from, limits, parsed)
            }
            parsed => Self::tile(head, from, limits, parsed),
        }
    }

    fn tile(
        head: &[u8],
        from: usize,
        limits: &HeadLimits,
        parsed: httparse::Result<(usize, &[Header<'_>])>,
    ) -> Result<Self, Reject> {
        let headers = match parsed {
            Ok(Status::Complete((_, headers))) => headers,
            Ok(Status::Partial) => return Err(Reject::HeadEnd),
            Err(Error::TooManyHeaders) => return Err(Reject::TooManyHeaders),
            Err(Error::HeaderValue) => return Err(Reject::HeaderValue),
            Err(Error::NewLine) => return Err(Reject::BareCr),
            Err(_) => return Err(Reject::HeaderName),
        };
        if headers.len() > limits.header_count() {
            return Err(Reject::TooManyHeaders);
        }
        let mut survey = Self::default();
        let mut at = from;
        for header in headers {
            at = survey.add(head, at, header)?;
        }
        if head.get(at..) != Some(b"\r\n") {
            return Err(Reject::HeadEnd);
        }
        Ok(survey)
    }

    /// Checks that the field lies at `at` without a gap, notes it, and says where the next line begins.
    fn add(&mut self, head: &[u8], at: usize, header: &Header<'_>) -> Result<usize, Reject> {
        let raw_name = header.name.as_bytes();
        let name = Span::within(head, raw_name).ok_or(Reject::HeaderName)?;
        let name_end = at.saturating_add(raw_name.len());
        if name.range() != (at..name_end) || raw_name.is_empty() || head.get(name_end) != Some(&b':') {
            return Err(Reject::HeaderName);
        }
        let value_start = skip_blanks(head, name_end.saturating_add(1));
        let value = Span::new(value_start, header.value.len());
        if !header.value.is_empty() && Span::within(head, header.value) != Some(value) {
            return Err(Reject::HeaderValue);
        }
        let line_end = skip_blanks(head, value.range().end);
        let next = line_end.saturating_add(2);
        if head.get(line_end..next) != Some(b"\r\n") {
            return Err(Reject::BareLf);
        }
        self.headers.slots.push(Packed {
            name_start: narrow(name.start)?,
            name_len: narrow(name.len)?,
            value_start: narrow(value.start)?,
            value_len: narrow(value.len)?,
        });
        self.note(head, raw_name, value)?;
        Ok(next)
    }

    fn note(&mut self, head: &[u8], name: &[u8], value: Span) -> Result<(), Reject> {
        match name.len() {
            4 if name.eq_ignore_ascii_case(b"host") => self.host.add(value),
            6 if name.eq_ignore_ascii_case(b"expect") => self.expect.add(value),
            7 if name.eq_ignore_ascii_case(b"upgrade") => self.upgrade = true,
            10 if name.eq_ignore_ascii_case(b"connection") => self.note_connection(head, value)?,
            14 if name.eq_ignore_ascii_case(b"content-length") => self.content_length.add(value),
            17 if name.eq_ignore_ascii_case(b"transfer-encoding") => self.transfer_encoding.add(value),
            _ => {}
        }
        Ok(())
    }

    /// `#connection-option`: tokens between commas; empty elements are ignored (RFC 9110 §5.6.1.2).
    fn note_connection(&mut self, head: &[u8], value: Span) -> Result<(), Reject> {
        let text = value.of(head);
        let mut from = 0usize;
        while from <= text.len() {
            self.options += 1;
            if self.options > CONNECTION_OPTIONS_MAX {
                return Err(Reject::Connection);
            }
            let rest = text.get(from..).unwrap_or_default();
            let element = rest
                .get(..memchr(b',', rest).unwrap_or(rest.len()))
                .unwrap_or_default();
            from += element.len() + 1;
            let option = trim(element);
            if option.is_empty() {
                continue;
            }
            if !is_token(option) {
                return Err(Reject::Connection);
            }
            if option.eq_ignore_ascii_case(b"close") {
                self.connection.close = true;
            } else if option.eq_ignore_ascii_case(b"keep-alive") {
                self.connection.keep_alive = true;
            } else if option.eq_ignore_ascii_case(b"upgrade") {
                self.connection.upgrade = true;
            } else {
                self.connection
                    .nominated
                    .push(Span::within(head, option).ok_or(Reject::Connection)?);
            }
        }
        Ok(())
    }

    /// The declared framing; any doubt is an error.
    pub(super) fn declared(&self, head: &[u8], version: Version) -> Result<Declared, Reject> {
        match (self.transfer_encoding, self.content_length) {
            (Field::Absent, Field::Absent) => Ok(Declared::Nothing),
            (Field::Absent, Field::Once(span)) => content_length(span.of(head)).map(Declared::Length),
            (Field::Absent, Field::Repeated) => Err(Reject::ContentLengthRepeated),
            (Field::Repeated, _) => Err(Reject::TransferEncodingRepeated),
            (Field::Once(_), Field::Once(_) | Field::Repeated) => Err(Reject::LengthAndChunked),
            (Field::Once(_), Field::Absent) if version == Version::Http10 => {
                Err(Reject::TransferEncodingVersion)
            }
            (Field::Once(span), Field::Absent) => {
                transfer_encoding(span.of(head)).map(|()| Declared::Chunked)
            }
        }
    }
}

fn skip_blanks(head: &[u8], mut at: usize) -> usize {
    while head.get(at).is_some_and(|&b| is_blank(b)) {
        at += 1;
    }
    at
}

fn narrow(position: u32) -> Result<u16, Reject> {
    u16::try_from(position).map_err(|_| Reject::HeadTooLarge)
}

/// `1*DIGIT` and nothing else: no sign, no list (`5, 5` is refused too, as RFC 9110 §8.6 permits), no number base.
/// Leading zeros are in the grammar; more than [`LENGTH_MAX`] is a body too large, however many digits it takes.
fn content_length(value: &[u8]) -> Result<u64, Reject> {
    if value.is_empty() || !value.iter().all(u8::is_ascii_digit) {
        return Err(Reject::ContentLength);
    }
    let length = value.iter().fold(0u64, |sum, digit| {
        sum.saturating_mul(10)
            .saturating_add(u64::from(digit.saturating_sub(b'0')))
    });
    if length > LENGTH_MAX {
        Err(Reject::BodyTooLarge)
    } else {
        Ok(length)
    }
}

/// Exactly `chunked`, in any case. What it is not decides the status only: a list whose last coding is not `chunked`
/// has no determinable end (400, RFC 9112 §6.3), one with further codings before `chunked` is not understood (501,
/// §6.1), anything else is malformed (400): empty elements, parameters on `chunked`, `chunked` twice.
fn transfer_encoding(value: &[u8]) -> Result<(), Reject> {
    if value.eq_ignore_ascii_case(b"chunked") {
        return Ok(());
    }
    let mut codings = value.split(|&b| b == b',').map(trim).rev();
    let last_is_chunked = codings
        .next()
        .is_some_and(|last| last.eq_ignore_ascii_case(b"chunked"));
    let foreign = |coding: &[u8]| {
        let name = coding.split(|&b| b == b';').next().map(trim).unwrap_or_default();
        is_token(name) && !name.eq_ignore_ascii_case(b"chunked")
    };
    if last_is_chunked && codings.all(foreign) {
        Err(Reject::TransferCoding)
    } else {
        Err(Reject::TransferEncoding)
    }
}
