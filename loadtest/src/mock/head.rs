//! Reading of requests: head by `httparse`, body by length or chunks, all bounded.

use std::io;

use bytes::{Buf, Bytes, BytesMut};
use tokio::net::TcpStream;

/// Bytes of a request head, at most.
const HEAD_BYTES_MAX: usize = 128 << 10;
/// Header fields of a request, at most.
const HEADERS_MAX: usize = 256;
/// Bytes of a request body, at most.
const BODY_BYTES_MAX: usize = 512 << 20;
/// Bytes of a chunk-size line, at most.
const CHUNK_LINE_BYTES_MAX: usize = 4096;

/// Why no request could be read.
#[derive(Debug)]
pub(super) enum ReadError {
    /// The peer closed, or the connection broke.
    Closed { reset: bool },
    /// Not HTTP/1.1 as we know it: status to answer with.
    Bad(u16, &'static str),
}

impl From<io::Error> for ReadError {
    fn from(error: io::Error) -> Self {
        Self::Closed {
            reset: error.kind() == io::ErrorKind::ConnectionReset,
        }
    }
}

/// A request head; names and values are ranges of `raw`.
#[derive(Debug, Clone)]
pub(super) struct Head {
    raw: Bytes,
    method: (usize, usize),
    target: (usize, usize),
    fields: Vec<[usize; 4]>,
    /// HTTP/1.0: no keep-alive, no chunks.
    pub(super) old: bool,
}

impl Head {
    fn text(&self, range: (usize, usize)) -> &str {
        self.raw
            .get(range.0..range.1)
            .and_then(|b| std::str::from_utf8(b).ok())
            .unwrap_or("")
    }

    pub(super) fn method(&self) -> &str {
        self.text(self.method)
    }

    /// Path and query as received.
    pub(super) fn target(&self) -> &str {
        self.text(self.target)
    }

    /// Names and values in the order and case received; a value that is no UTF-8 reads as empty.
    pub(super) fn fields(&self) -> impl Iterator<Item = (&str, &str)> {
        self.fields
            .iter()
            .map(|[a, b, c, d]| (self.text((*a, *b)), self.text((*c, *d))))
    }

    pub(super) fn field(&self, name: &str) -> Option<&str> {
        self.fields()
            .find(|(n, _)| n.eq_ignore_ascii_case(name))
            .map(|(_, v)| v)
    }

    /// Whether a comma list of tokens under `name` holds `token`.
    fn lists(&self, name: &str, token: &str) -> bool {
        self.fields()
            .filter(|(n, _)| n.eq_ignore_ascii_case(name))
            .any(|(_, v)| v.split(',').any(|t| t.trim().eq_ignore_ascii_case(token)))
    }

    pub(super) fn wants_close(&self) -> bool {
        self.old || self.lists("connection", "close")
    }

    pub(super) fn expects_continue(&self) -> bool {
        self.lists("expect", "100-continue")
    }

    fn body(&self) -> Result<BodyLength, ReadError> {
        if self.field("transfer-encoding").is_some() {
            if self.field("content-length").is_some() {
                return Err(ReadError::Bad(400, "both transfer-encoding and content-length"));
            }
            return match self.lists("transfer-encoding", "chunked") {
                true => Ok(BodyLength::Chunked),
                false => Err(ReadError::Bad(501, "unknown transfer coding")),
            };
        }
        let mut lengths = self
            .fields()
            .filter(|(n, _)| n.eq_ignore_ascii_case("content-length"));
        let Some((_, length)) = lengths.next() else {
            return Ok(BodyLength::Known(0));
        };
        if lengths.next().is_some() || length.is_empty() || !length.bytes().all(|b| b.is_ascii_digit()) {
            return Err(ReadError::Bad(400, "bad content-length"));
        }
        match length.parse::<usize>() {
            Ok(n) if n <= BODY_BYTES_MAX => Ok(BodyLength::Known(n)),
            _ => Err(ReadError::Bad(413, "body too large")),
        }
    }
}

#[derive(Clone, Copy)]
enum BodyLength {
    Known(usize),
    Chunked,
}

/// Reads what is there, at least one byte.
async fn fill(stream: &TcpStream, buffer: &mut BytesMut) -> Result<(), ReadError> {
    loop {
        buffer.reserve(4096);
        match stream.try_read_buf(buffer) {
            Ok(0) => {
                return Err(ReadError::Closed { reset: false });
            }
            Ok(_) => return Ok(()),
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => stream.readable().await?,
            Err(error) => return Err(error.into()),
        }
    }
}

/// Reads one head; `buffer` may hold the beginning of it and keeps what follows.
pub(super) async fn read_head(stream: &TcpStream, buffer: &mut BytesMut) -> Result<Head, ReadError> {
    loop {
        if let Some(head) = parse_head(buffer)? {
            return Ok(head);
        }
        fill(stream, buffer).await?;
    }
}

/// Takes a complete head off the front of `buffer`.
fn parse_head(buffer: &mut BytesMut) -> Result<Option<Head>, ReadError> {
    if buffer.is_empty() {
        return Ok(None);
    }
    let mut fields = [httparse::EMPTY_HEADER; HEADERS_MAX];
    let mut request = httparse::Request::new(&mut fields);
    let length = match request.parse(buffer) {
        Ok(httparse::Status::Complete(length)) => length,
        Ok(httparse::Status::Partial) if buffer.len() > HEAD_BYTES_MAX => {
            return Err(ReadError::Bad(431, "head too large"));
        }
        Ok(httparse::Status::Partial) => return Ok(None),
        Err(httparse::Error::TooManyHeaders) => return Err(ReadError::Bad(431, "too many headers")),
        Err(_) => return Err(ReadError::Bad(400, "not an HTTP/1.1 request")),
    };
    let base = buffer.as_ptr().addr();
    let range = |part: &[u8]| {
        let start = part.as_ptr().addr().saturating_sub(base);
        (start, start + part.len())
    };
    let mut ranges = Vec::with_capacity(request.headers.len());
    for field in request.headers.iter() {
        let (a, b) = range(field.name.as_bytes());
        let (c, d) = range(field.value);
        ranges.push([a, b, c, d]);
    }
    let method = range(request.method.unwrap_or("").as_bytes());
    let target = range(request.path.unwrap_or("").as_bytes());
    let old = request.version == Some(0);
    Ok(Some(Head {
        raw: buffer.split_to(length).freeze(),
        method,
        target,
        fields: ranges,
        old,
    }))
}

/// Reads the body that belongs to `head`, after it the buffer holds what follows.
pub(super) async fn read_body(
    stream: &TcpStream,
    buffer: &mut BytesMut,
    head: &Head,
) -> Result<Bytes, ReadError> {
    match head.body()? {
        BodyLength::Known(0) => Ok(Bytes::new()),
        BodyLength::Known(length) => {
            if buffer.len() < length {
                buffer.reserve(length.min(1 << 20) - buffer.len().min(1 << 20).min(length));
            }
            while buffer.len() < length {
                fill(stream, buffer).await?;
            }
            Ok(buffer.split_to(length).freeze())
        }
        BodyLength::Chunked => {
            let mut body = BytesMut::new();
            loop {
                match next_chunk(buffer, &mut body)? {
                    Step::More => fill(stream, buffer).await?,
                    Step::Done => return Ok(body.freeze()),
                }
            }
        }
    }
}

/// Whether the request has a body at all.
pub(super) fn has_body(head: &Head) -> bool {
    !matches!(head.body(), Ok(BodyLength::Known(0)))
}

enum Step {
    More,
    Done,
}

/// Moves every complete chunk from `buffer` to `body`.
fn next_chunk(buffer: &mut BytesMut, body: &mut BytesMut) -> Result<Step, ReadError> {
    loop {
        let Some(line_end) = memchr::memchr(b'\n', buffer) else {
            if buffer.len() > CHUNK_LINE_BYTES_MAX {
                return Err(ReadError::Bad(400, "chunk size line too long"));
            }
            return Ok(Step::More);
        };
        let line = buffer.get(..line_end).unwrap_or_default();
        let digits = line
            .split(|b| matches!(b, b';' | b'\r' | b' '))
            .next()
            .unwrap_or_default();
        let size = std::str::from_utf8(digits)
            .ok()
            .and_then(|text| usize::from_str_radix(text, 16).ok())
            .filter(|n| n.saturating_add(body.len()) <= BODY_BYTES_MAX)
            .ok_or(ReadError::Bad(400, "bad chunk size"))?;
        if size == 0 {
            // Trailers: skipped up to the empty line.
            let Some(end) = end_of_trailers(buffer.get(line_end + 1..).unwrap_or_default()) else {
                if buffer.len() > HEAD_BYTES_MAX {
                    return Err(ReadError::Bad(431, "trailers too large"));
                }
                return Ok(Step::More);
            };
            buffer.advance(line_end + 1 + end);
            return Ok(Step::Done);
        }
        let whole = line_end + 1 + size + 2;
        if buffer.len() < whole {
            return Ok(Step::More);
        }
        if buffer.get(whole - 2..whole) != Some(b"\r\n") {
            return Err(ReadError::Bad(400, "chunk longer than its size"));
        }
        buffer.advance(line_end + 1);
        body.extend_from_slice(&buffer.split_to(size));
        buffer.advance(2);
    }
}

/// Bytes up to and with the empty line that ends the trailers.
fn end_of_trailers(bytes: &[u8]) -> Option<usize> {
    let mut start = 0;
    loop {
        let end = start + memchr::memchr(b'\n', bytes.get(start..)?)?;
        let line = bytes.get(start..end)?;
        if line.is_empty() || line == b"\r" {
            return Some(end + 1);
        }
        start = end + 1;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn heads_are_read_at_every_split() {
        let text =
            b"POST /v1/x?y=1 HTTP/1.1\r\nHost: a\r\nX-Mock-Id:  7 \r\nconnection: a, Close\r\n\r\nrest";
        for cut in 0..text.len() {
            let mut buffer = BytesMut::from(&text[..cut]);
            let early = parse_head(&mut buffer).unwrap();
            let head = match early {
                Some(head) => head,
                None => {
                    buffer.extend_from_slice(&text[cut..]);
                    parse_head(&mut buffer).unwrap().unwrap()
                }
            };
            assert_eq!((head.method(), head.target()), ("POST", "/v1/x?y=1"));
            assert_eq!(head.field("x-mock-id"), Some("7"));
            assert!(head.wants_close());
        }
    }

    #[test]
    fn chunks_are_read_at_every_split() {
        let text = b"5;x=y\r\nhello\r\n1\r\n \r\nA\r\n0123456789\r\n0\r\nt: r\r\n\r\nNEXT";
        for cut in 0..text.len() {
            let mut buffer = BytesMut::from(&text[..cut]);
            let mut body = BytesMut::new();
            if matches!(next_chunk(&mut buffer, &mut body).unwrap(), Step::More) {
                buffer.extend_from_slice(&text[cut..]);
                assert!(
                    matches!(next_chunk(&mut buffer, &mut body).unwrap(), Step::Done),
                    "cut {cut}"
                );
                assert_eq!(&buffer[..], b"NEXT");
            }
            assert_eq!(&body[..], b"hello 0123456789");
        }
    }

    #[test]
    fn bad_framing_is_refused() {
        fn head(fields: &str) -> Head {
            let mut buffer = BytesMut::from(format!("POST / HTTP/1.1\r\n{fields}\r\n").as_bytes());
            parse_head(&mut buffer).unwrap().unwrap()
        }
        for fields in [
            "content-length: 1\r\ncontent-length: 1\r\n",
            "content-length: +1\r\n",
            "content-length: 1\r\ntransfer-encoding: chunked\r\n",
            "transfer-encoding: gzip\r\n",
        ] {
            assert!(matches!(head(fields).body(), Err(ReadError::Bad(..))), "{fields}");
        }
    }
}
