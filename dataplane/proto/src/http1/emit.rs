//! Heads and chunk headers as we write them: one spelling for everything.
//!
//! Bodies that we send are framed by exactly one of `Content-Length` and `Transfer-Encoding: chunked`. Names and
//! values that came through the parser are valid by that; what comes from elsewhere (configuration, identities) goes
//! through [`try_field`], which cannot be made to write a second line.

use super::bytes::{is_token, is_value_byte};
use super::{Framing, Method};

/// The chunk that ends a body without trailers.
pub const LAST_CHUNK: &[u8] = b"0\r\n\r\n";

/// The end of a chunk's data.
pub const CRLF: &[u8] = b"\r\n";

/// The interim answer to `Expect: 100-continue`.
pub const CONTINUE: &[u8] = b"HTTP/1.1 100 Continue\r\n\r\n";

/// Longest chunk header that [`chunk_header`] writes: 16 digits and CRLF.
pub const CHUNK_HEADER_BYTES_MAX: usize = 18;

/// Writes the size line of a chunk with `len` bytes of data to the start of `out`, and returns how long it is. `len`
/// must not be 0, which would end the body.
pub fn chunk_header(len: usize, out: &mut [u8; CHUNK_HEADER_BYTES_MAX]) -> usize {
    debug_assert_ne!(len, 0, "a chunk of no bytes ends the body");
    let digits = (usize::BITS - len.leading_zeros()).div_ceil(4).max(1) as usize;
    let mut rest = len;
    for place in out.iter_mut().take(digits).rev() {
        *place = b"0123456789abcdef".get(rest & 15).copied().unwrap_or(b'0');
        rest >>= 4;
    }
    for (place, byte) in out.iter_mut().skip(digits).zip(CRLF) {
        *place = *byte;
    }
    digits + CRLF.len()
}

/// `HTTP/1.1 200 OK` and its line end.
pub fn status_line(out: &mut Vec<u8>, status: u16) {
    out.extend_from_slice(b"HTTP/1.1 ");
    out.extend_from_slice(itoa::Buffer::new().format(status.clamp(100, 599)).as_bytes());
    out.push(b' ');
    out.extend_from_slice(reason_phrase(status).as_bytes());
    out.extend_from_slice(CRLF);
}

/// `POST /v1/messages HTTP/1.1` and its line end. `target` comes from the parser or is made of such parts.
pub fn request_line(out: &mut Vec<u8>, method: Method, target: &[u8]) {
    debug_assert!(
        !target.is_empty() && target.iter().all(u8::is_ascii_graphic),
        "a target has no blanks"
    );
    out.extend_from_slice(method.as_str().as_bytes());
    out.push(b' ');
    out.extend_from_slice(target);
    out.extend_from_slice(b" HTTP/1.1\r\n");
}

/// A field whose name and value came from the parser or are literals.
pub fn field(out: &mut Vec<u8>, name: &[u8], value: &[u8]) {
    debug_assert!(
        is_field(name, value),
        "only parsed or literal fields are written unchecked"
    );
    out.reserve(name.len() + value.len() + 4);
    out.extend_from_slice(name);
    out.extend_from_slice(b": ");
    out.extend_from_slice(value);
    out.extend_from_slice(CRLF);
}

/// A field with a number.
pub fn field_number(out: &mut Vec<u8>, name: &[u8], value: u64) {
    field(out, name, itoa::Buffer::new().format(value).as_bytes());
}

/// A name that is no token, or a value with a control character: nothing was written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct InvalidField;

impl std::fmt::Display for InvalidField {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("not a valid header field")
    }
}

impl std::error::Error for InvalidField {}

/// A field from any source.
///
/// # Errors
/// [`InvalidField`] if it is not one field by the grammar.
pub fn try_field(out: &mut Vec<u8>, name: &[u8], value: &[u8]) -> Result<(), InvalidField> {
    if !is_field(name, value) {
        return Err(InvalidField);
    }
    field(out, name, value);
    Ok(())
}

/// Whether name and value are one field by the grammar (RFC 9110 §5.1, §5.5).
#[must_use]
pub fn is_field(name: &[u8], value: &[u8]) -> bool {
    is_token(name) && value.iter().all(|&b| is_value_byte(b))
}

/// The one framing field that a body needs; nothing for [`Framing::None`] and [`Framing::UntilClose`].
pub fn framing(out: &mut Vec<u8>, framing: Framing) {
    match framing {
        Framing::Length(length) => content_length(out, length),
        Framing::Chunked => chunked(out),
        Framing::None | Framing::UntilClose => {}
    }
}

/// `content-length: N`
pub fn content_length(out: &mut Vec<u8>, length: u64) {
    field_number(out, b"content-length", length);
}

/// `transfer-encoding: chunked`
pub fn chunked(out: &mut Vec<u8>) {
    out.extend_from_slice(b"transfer-encoding: chunked\r\n");
}

/// `connection: close`
pub fn close(out: &mut Vec<u8>) {
    out.extend_from_slice(b"connection: close\r\n");
}

/// The blank line.
pub fn end_head(out: &mut Vec<u8>) {
    out.extend_from_slice(CRLF);
}

/// The registered phrase for a status (RFC 9110 §15 and the IANA registry), or a phrase for its class.
#[must_use]
pub const fn reason_phrase(status: u16) -> &'static str {
    match status {
        100 => "Continue",
        101 => "Switching Protocols",
        102 => "Processing",
        103 => "Early Hints",
        200 => "OK",
        201 => "Created",
        202 => "Accepted",
        203 => "Non-Authoritative Information",
        204 => "No Content",
        205 => "Reset Content",
        206 => "Partial Content",
        207 => "Multi-Status",
        300 => "Multiple Choices",
        301 => "Moved Permanently",
        302 => "Found",
        303 => "See Other",
        304 => "Not Modified",
        307 => "Temporary Redirect",
        308 => "Permanent Redirect",
        400 => "Bad Request",
        401 => "Unauthorized",
        402 => "Payment Required",
        403 => "Forbidden",
        404 => "Not Found",
        405 => "Method Not Allowed",
        406 => "Not Acceptable",
        407 => "Proxy Authentication Required",
        408 => "Request Timeout",
        409 => "Conflict",
        410 => "Gone",
        411 => "Length Required",
        412 => "Precondition Failed",
        413 => "Content Too Large",
        414 => "URI Too Long",
        415 => "Unsupported Media Type",
        416 => "Range Not Satisfiable",
        417 => "Expectation Failed",
        421 => "Misdirected Request",
        422 => "Unprocessable Content",
        424 => "Failed Dependency",
        425 => "Too Early",
        426 => "Upgrade Required",
        428 => "Precondition Required",
        429 => "Too Many Requests",
        431 => "Request Header Fields Too Large",
        451 => "Unavailable For Legal Reasons",
        499 => "Client Closed Request",
        500 => "Internal Server Error",
        501 => "Not Implemented",
        502 => "Bad Gateway",
        503 => "Service Unavailable",
        504 => "Gateway Timeout",
        505 => "HTTP Version Not Supported",
        507 => "Insufficient Storage",
        511 => "Network Authentication Required",
        529 => "Site Is Overloaded",
        _ => match status / 100 {
            1 => "Informational",
            2 => "Success",
            3 => "Redirection",
            4 => "Client Error",
            _ => "Server Error",
        },
    }
}
