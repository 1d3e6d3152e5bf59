//! The head of a request.

use memchr::memchr;

use super::bytes::is_token;
use super::fields::{Declared, Field, Survey};
use super::scan::EMPTY_LINES_MAX;
use super::{
    ConnectionTokens, Framing, HeadLimits, Headers, Method, Reject, Span, Version, hop_by_hop, host, target,
};

/// A request head that may be served. Its spans are ranges of the slice that was parsed.
#[derive(Clone, Debug)]
pub struct RequestHead {
    /// One of the methods that are served.
    pub method: Method,
    /// Path and query as received, or `*` with OPTIONS.
    pub target: Span,
    /// 1.0 or 1.1.
    pub version: Version,
    /// All fields, those of framing and connection included; see [`RequestHead::end_to_end`].
    pub headers: Headers,
    /// How the body ends; never [`Framing::UntilClose`].
    pub framing: Framing,
    /// Whether the client lets the connection live on.
    pub keep_alive: bool,
    /// The client waits for `100 (Continue)` before it sends its body. False without a body, and in HTTP/1.0, where
    /// the expectation must be ignored (RFC 9110 §10.1.1).
    pub expect_continue: bool,
    /// A protocol upgrade is asked for, by an `Upgrade` field or by `Connection: upgrade`. False in HTTP/1.0, where it
    /// must be ignored (RFC 9110 §7.8). A body may follow such a head, and its framing holds: whoever refuses the
    /// upgrade closes the connection or reads the body first.
    pub upgrade: bool,
    /// The valid `Host` value; absent only in HTTP/1.0. It decides nothing.
    pub host: Option<Span>,
    /// What the `Connection` fields say.
    pub connection: ConnectionTokens,
}

impl RequestHead {
    /// The fields that may be forwarded as far as the protocol is concerned, in order: not hop-by-hop, not framing,
    /// not `Host`, not `Expect`. Identity and credentials are the caller's to drop.
    pub fn end_to_end<'a>(&'a self, head: &'a [u8]) -> impl Iterator<Item = (&'a [u8], &'a [u8])> + 'a {
        self.headers.pairs(head).filter(|(name, _)| {
            !hop_by_hop(name, &self.connection, head)
                && !super::is_framing(name)
                && !name.eq_ignore_ascii_case(b"host")
                && !name.eq_ignore_ascii_case(b"expect")
        })
    }

    /// The path, without the query.
    #[must_use]
    pub fn path<'a>(&self, head: &'a [u8]) -> &'a [u8] {
        let target = self.target.of(head);
        target
            .get(..memchr(b'?', target).unwrap_or(target.len()))
            .unwrap_or_default()
    }

    /// The query without its question mark; `None` if there is no question mark.
    #[must_use]
    pub fn query<'a>(&self, head: &'a [u8]) -> Option<&'a [u8]> {
        let target = self.target.of(head);
        target.get(memchr(b'?', target)? + 1..)
    }

    /// Refuses a compressed body where those are not served: every `Content-Encoding` but `identity`.
    ///
    /// # Errors
    /// [`Reject::EncodedBody`].
    pub fn refuse_encoded(&self, head: &[u8]) -> Result<(), Reject> {
        let plain = |value: &[u8]| value.is_empty() || value.eq_ignore_ascii_case(b"identity");
        if self.headers.find_all(head, "content-encoding").all(plain) {
            Ok(())
        } else {
            Err(Reject::EncodedBody)
        }
    }
}

/// Reads a request head: exactly the slice that [`HeadScanner::scan`](super::HeadScanner::scan) found, though nothing
/// that the scanner checks is taken on trust here.
///
/// # Errors
/// The first reason found to refuse it, in the order request line, fields, framing, `Host`, expectation.
pub fn parse_request(head: &[u8], limits: &HeadLimits) -> Result<RequestHead, Reject> {
    if head.len() > limits.head_bytes() {
        return Err(Reject::HeadTooLarge);
    }
    let mut start = 0;
    while head.get(start..).is_some_and(|rest| rest.starts_with(b"\r\n")) {
        start += 2;
        if start > 2 * usize::from(EMPTY_LINES_MAX) {
            return Err(Reject::EmptyLines);
        }
    }
    let first_line = line_at(head, start)?;
    let line = parse_line(first_line, limits)?;
    let survey = Survey::take(head, start + first_line.len() + 2, limits)?;

    let framing = match survey.declared(head, line.version)? {
        Declared::Length(length) => Framing::Length(length),
        Declared::Chunked => Framing::Chunked,
        Declared::Nothing if line.method.expects_body() => return Err(Reject::LengthRequired),
        Declared::Nothing => Framing::None,
    };
    let host = match survey.host {
        Field::Once(span) if host::is_valid(span.of(head)) => Some(span),
        Field::Once(_) => return Err(Reject::HostSyntax),
        Field::Repeated => return Err(Reject::HostRepeated),
        Field::Absent if line.version == Version::Http11 => return Err(Reject::HostMissing),
        Field::Absent => None,
    };
    let expect_continue = match survey.expect {
        Field::Absent => false,
        Field::Once(span) if span.of(head).eq_ignore_ascii_case(b"100-continue") => {
            line.version == Version::Http11 && framing.has_body()
        }
        Field::Once(_) | Field::Repeated => return Err(Reject::Expectation),
    };
    Ok(RequestHead {
        method: line.method,
        target: Span::new(start + line.target_start, line.target_len),
        version: line.version,
        framing,
        keep_alive: survey.connection.persists(line.version),
        expect_continue,
        upgrade: line.version == Version::Http11 && (survey.upgrade || survey.connection.upgrade),
        host,
        headers: survey.headers,
        connection: survey.connection,
    })
}

/// The line that begins at `start`, without its CRLF.
pub(super) fn line_at(head: &[u8], start: usize) -> Result<&[u8], Reject> {
    let rest = head.get(start..).unwrap_or_default();
    let line_feed = memchr(b'\n', rest).ok_or(Reject::HeadEnd)?;
    rest.get(..line_feed)
        .and_then(|line| line.strip_suffix(b"\r"))
        .ok_or(Reject::BareLf)
}

/// Longest method name that is told apart from a line that is too long. Registered ones have at most 17 characters.
const METHOD_BYTES_MAX: usize = 32;

/// Bytes of a request line without its CRLF that can still become a good one.
pub(super) fn line_bytes_max(limits: &HeadLimits) -> usize {
    limits
        .target_bytes_max
        .saturating_add(METHOD_BYTES_MAX + " ".len() + " HTTP/1.1".len())
}

/// What a request line says; positions count from its first byte.
pub(super) struct Line {
    pub(super) method: Method,
    pub(super) target_start: usize,
    pub(super) target_len: usize,
    pub(super) version: Version,
}

/// `method SP request-target SP HTTP-version` with exactly these two spaces. Syntax is judged before meaning: first
/// what is malformed (400), then version (505), method (405, 501), and the target (414, 400).
pub(super) fn parse_line(line: &[u8], limits: &HeadLimits) -> Result<Line, Reject> {
    let method_len = memchr(b' ', line).ok_or(Reject::RequestLine)?;
    let (method, rest) = (line.get(..method_len), line.get(method_len + 1..));
    let (Some(method), Some(rest)) = (method, rest) else {
        return Err(Reject::RequestLine);
    };
    if !is_token(method) || rest.is_empty() || rest.starts_with(b" ") {
        return Err(Reject::RequestLine);
    }
    let target_len = memchr(b' ', rest).ok_or(Reject::NoVersion)?;
    let (Some(target), Some(version)) = (rest.get(..target_len), rest.get(target_len + 1..)) else {
        return Err(Reject::RequestLine);
    };
    let version = parse_version(version)?;
    let method = match method {
        b"POST" => Method::Post,
        b"GET" => Method::Get,
        b"HEAD" => Method::Head,
        b"PUT" => Method::Put,
        b"PATCH" => Method::Patch,
        b"DELETE" => Method::Delete,
        b"OPTIONS" => Method::Options,
        b"CONNECT" | b"TRACE" | b"QUERY" => return Err(Reject::MethodRefused),
        _ => return Err(Reject::MethodUnknown),
    };
    if target_len > limits.target_bytes_max {
        return Err(Reject::TargetTooLong);
    }
    target::check(target, method)?;
    Ok(Line {
        method,
        target_start: method_len + 1,
        target_len,
        version,
    })
}

fn parse_version(text: &[u8]) -> Result<Version, Reject> {
    match text {
        b"HTTP/1.1" => Ok(Version::Http11),
        b"HTTP/1.0" => Ok(Version::Http10),
        &[b'H', b'T', b'T', b'P', b'/', major, b'.', minor]
            if major.is_ascii_digit() && minor.is_ascii_digit() =>
        {
            Err(Reject::VersionUnknown)
        }
        _ => Err(Reject::VersionSyntax),
    }
}
