//! The head of a provider's answer.

use super::bytes::is_value_byte;
use super::fields::{Declared, Survey};
use super::{
    BadAnswer, ConnectionTokens, Framing, HeadLimits, Headers, Method, Span, Version, hop_by_hop, request,
};

/// An answer head that may be forwarded. Its spans are ranges of the slice that was parsed.
#[derive(Clone, Debug)]
pub struct ResponseHead {
    /// 100–599, never 101.
    pub status: u16,
    /// The reason phrase as received; often empty. It is not forwarded.
    pub reason: Span,
    /// 1.0 or 1.1.
    pub version: Version,
    /// All fields, those of framing and connection included; see [`ResponseHead::end_to_end`].
    pub headers: Headers,
    /// How the body ends. [`Framing::None`] for 1xx, 204, 304 and every answer to HEAD.
    pub framing: Framing,
    /// The length that was declared, which for HEAD and 304 speaks of the answer to a GET.
    pub content_length: Option<u64>,
    /// Whether the connection can carry another exchange after this body, as far as the provider says. A shell must
    /// not reuse it either if bytes were received beyond the end of the message.
    pub keep_alive: bool,
    /// What the `Connection` fields say.
    pub connection: ConnectionTokens,
}

impl ResponseHead {
    /// Whether this is an interim answer (1xx), after which the real one follows on the same connection.
    #[must_use]
    pub const fn is_interim(&self) -> bool {
        self.status < 200
    }

    /// The fields that may be forwarded as far as the protocol is concerned, in order: not hop-by-hop, not framing.
    pub fn end_to_end<'a>(&'a self, head: &'a [u8]) -> impl Iterator<Item = (&'a [u8], &'a [u8])> + 'a {
        self.headers
            .pairs(head)
            .filter(|(name, _)| !hop_by_hop(name, &self.connection, head) && !super::is_framing(name))
    }
}

/// Reads the head of an answer to a request with `request_method`: exactly the slice that
/// [`HeadScanner::scan`](super::HeadScanner::scan) found.
///
/// Decisions: a status line may lack the space before an absent reason phrase, as several servers write it, since
/// nothing hangs on it; `Content-Length: 0` with 204 is tolerated, any other framing with 1xx or 204 is refused;
/// `Transfer-Encoding` in HTTP/1.0 is faulty framing (RFC 9112 §6.1).
///
/// # Errors
/// Anything that two clients could read differently; see [`BadAnswer`].
pub fn parse_response(
    head: &[u8],
    request_method: Method,
    limits: &HeadLimits,
) -> Result<ResponseHead, BadAnswer> {
    if head.len() > limits.head_bytes() {
        return Err(BadAnswer::TooLarge);
    }
    let first_line = request::line_at(head, 0)?;
    let line = parse_status_line(first_line)?;
    let survey = Survey::take(head, first_line.len() + 2, limits)?;
    if line.status == 101 {
        return Err(BadAnswer::SwitchingProtocols);
    }
    let declared = survey.declared(head, line.version)?;
    let framing = match (line.status, declared) {
        (100..=199, Declared::Nothing) | (204, Declared::Nothing | Declared::Length(0)) | (304, _) => {
            Framing::None
        }
        (100..=199 | 204, _) => return Err(BadAnswer::BodyForbidden),
        _ if request_method == Method::Head => Framing::None,
        (_, Declared::Length(length)) => Framing::Length(length),
        (_, Declared::Chunked) => Framing::Chunked,
        (_, Declared::Nothing) => Framing::UntilClose,
    };
    Ok(ResponseHead {
        status: line.status,
        reason: Span::new(line.reason_start, line.reason_len),
        version: line.version,
        framing,
        content_length: match declared {
            Declared::Length(length) => Some(length),
            Declared::Nothing | Declared::Chunked => None,
        },
        keep_alive: survey.connection.persists(line.version) && framing != Framing::UntilClose,
        headers: survey.headers,
        connection: survey.connection,
    })
}

struct StatusLine {
    version: Version,
    status: u16,
    reason_start: usize,
    reason_len: usize,
}

/// `HTTP-version SP status-code [ SP reason-phrase ]`
fn parse_status_line(line: &[u8]) -> Result<StatusLine, BadAnswer> {
    let version = match line.get(..9) {
        Some(b"HTTP/1.1 ") => Version::Http11,
        Some(b"HTTP/1.0 ") => Version::Http10,
        _ => return Err(BadAnswer::StatusLine),
    };
    let Some(&[a, b, c]) = line.get(9..12) else {
        return Err(BadAnswer::StatusLine);
    };
    if ![a, b, c].iter().all(u8::is_ascii_digit) {
        return Err(BadAnswer::StatusLine);
    }
    let status = [a, b, c]
        .iter()
        .fold(0u16, |sum, digit| sum * 10 + u16::from(digit - b'0'));
    let reason = match line.get(12..).unwrap_or_default().split_first() {
        None => &[][..],
        Some((b' ', reason)) if reason.iter().all(|&b| is_value_byte(b)) => reason,
        Some(_) => return Err(BadAnswer::StatusLine),
    };
    if !(100..=599).contains(&status) {
        return Err(BadAnswer::Status);
    }
    Ok(StatusLine {
        version,
        status,
        reason_start: line.len() - reason.len(),
        reason_len: reason.len(),
    })
}
