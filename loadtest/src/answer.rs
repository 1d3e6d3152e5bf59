//! An answer of the gateway, taken apart once all of it is there.

use std::time::Duration;

use anyhow::{Context as _, Result, bail};

const FIELDS_MAX: usize = 64;

/// A whole answer.
#[derive(Debug)]
pub(crate) struct Answer {
    pub(crate) status: u16,
    /// Seconds of its `Retry-After`.
    pub(crate) retry_after_s: Option<u64>,
    pub(crate) body: Vec<u8>,
    /// From the first byte of the request to the last one of the answer; 0 until whoever read it has said.
    pub(crate) took: Duration,
    /// Nothing more can be asked on the connection.
    pub(crate) close: bool,
}

/// The answer that these bytes are, if they are all of it.
pub(crate) fn parse(bytes: &[u8]) -> Result<Option<Answer>> {
    let mut fields = [httparse::EMPTY_HEADER; FIELDS_MAX];
    let mut head = httparse::Response::new(&mut fields);
    let httparse::Status::Complete(length) = head.parse(bytes)? else {
        return Ok(None);
    };
    let find = |name: &str| {
        let found = head.headers.iter().find(|f| f.name.eq_ignore_ascii_case(name));
        found.map(|f| String::from_utf8_lossy(f.value).into_owned())
    };
    let rest = bytes.get(length..).unwrap_or_default();
    let body = if find("transfer-encoding").is_some() {
        unchunk(rest)?
    } else {
        let length: usize = find("content-length").context("no length")?.trim().parse()?;
        rest.get(..length).map(<[u8]>::to_vec)
    };
    Ok(body.map(|body| Answer {
        status: head.code.unwrap_or(0),
        retry_after_s: find("retry-after").and_then(|value| value.trim().parse().ok()),
        body,
        took: Duration::ZERO,
        close: find("connection").is_some_and(|value| value.eq_ignore_ascii_case("close")),
    }))
}

/// A chunked body without trailers, if it is whole.
fn unchunk(mut rest: &[u8]) -> Result<Option<Vec<u8>>> {
    let mut out = Vec::new();
    loop {
        let Some(end) = memchr::memmem::find(rest, b"\r\n") else {
            return Ok(None);
        };
        let digits = std::str::from_utf8(rest.get(..end).unwrap_or_default())?;
        let size = usize::from_str_radix(digits.split(';').next().unwrap_or_default().trim(), 16)?;
        let data = end.saturating_add(2);
        let stop = data.checked_add(size).context("chunk too large")?;
        let (Some(chunk), Some(behind)) = (rest.get(data..stop), rest.get(stop..stop.saturating_add(2)))
        else {
            return Ok(None);
        };
        if behind != b"\r\n" {
            bail!("chunk longer than its size");
        }
        if size == 0 {
            return Ok(Some(out));
        }
        out.extend_from_slice(chunk);
        rest = rest.get(stop.saturating_add(2)..).unwrap_or_default();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn answers_are_whole_only_with_their_last_byte() {
        for text in [
            "HTTP/1.1 503 No\r\ncontent-length: 2\r\nRetry-After: 1\r\nConnection: close\r\n\r\n{}",
            "HTTP/1.1 503 No\r\nretry-after: 1\r\nconnection: close\r\ntransfer-encoding: chunked\r\n\r\n1\r\n{\r\n1;x\r\n}\r\n0\r\n\r\n",
        ] {
            for cut in 0..text.len() {
                assert!(parse(&text.as_bytes()[..cut]).unwrap().is_none(), "{cut}");
            }
            let answer = parse(text.as_bytes()).unwrap().unwrap();
            assert_eq!(
                (answer.status, answer.retry_after_s, answer.close),
                (503, Some(1), true)
            );
            assert_eq!(answer.body, b"{}");
        }
        assert!(parse(b"HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n1\r\nabc\r\n").is_err());
        assert!(parse(b"HTTP/1.1 200 OK\r\n\r\n").is_err());
    }
}
