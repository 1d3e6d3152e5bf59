//! Asking the running control plane, over the private socket of its data directory.
//!
//! There is one way for every subcommand: whoever can open the socket is the gateway's own user or root, which the
//! control plane checks with the kernel, and may do everything as the admin `(local)`. Nothing goes over the network.

use std::io::{ErrorKind, Read, Write};
use std::os::unix::net::UnixStream;
use std::path::{Path, PathBuf};
use std::time::Duration;

use anyhow::{Context, Result, bail};
use serde_json::Value;

use crate::usage::thousands;

/// Patience with the control plane.
const PATIENCE: Duration = Duration::from_secs(30);
/// Longest answer that is read, in bytes.
const ANSWER_BYTES_MAX: u64 = 256 << 20;

/// A way to a running instance.
pub(crate) struct Client<'a> {
    data: &'a Path,
}

/// What it answered.
pub(crate) struct Answer {
    pub(crate) status: u16,
    /// `null` if there is none.
    pub(crate) body: Value,
}

impl<'a> Client<'a> {
    pub(crate) fn new(data: &'a Path) -> Self {
        Self { data }
    }

    /// Asks a question whose answer is wanted or nothing.
    ///
    /// # Errors
    /// No instance runs on the data directory, or it refuses; the message says why.
    pub(crate) fn get(&self, target: &str) -> Result<Value> {
        self.call("GET", target, None, None)?.wanted()
    }

    /// Sends a request; whatever the answer says, it is one.
    ///
    /// # Errors
    /// No instance runs on the data directory, or its answer is none.
    pub(crate) fn call(
        &self,
        method: &str,
        target: &str,
        if_match: Option<&str>,
        body: Option<&Value>,
    ) -> Result<Answer> {
        let path = self.socket();
        let mut socket = UnixStream::connect(&path).map_err(|error| {
            let remedy = if error.kind() == ErrorKind::PermissionDenied {
                "run this as the gateway's user, or as root"
            } else {
                "start one with `sluice up`, or name its directory with --data (SLUICE_DATA)"
            };
            anyhow::Error::new(error).context(format!(
                "no instance answers on {} ({remedy})",
                self.data.display()
            ))
        })?;
        socket.set_read_timeout(Some(PATIENCE))?;
        socket.set_write_timeout(Some(PATIENCE))?;
        let body = body.map(Value::to_string);
        let mut head = format!(
            "{method} {target} HTTP/1.1\r\nhost: sluice\r\nx-sluice-role: admin\r\nx-sluice-login: (local)\r\nconnection: close\r\n"
        );
        if let Some(tag) = if_match {
            if tag.contains(['\r', '\n']) {
                bail!("an entity tag has no line breaks");
            }
            head.push_str(&format!("if-match: {tag}\r\n"));
        }
        if body.is_some() {
            head.push_str("content-type: application/json\r\n");
        }
        let body = body.unwrap_or_default();
        head.push_str(&format!("content-length: {}\r\n\r\n", body.len()));
        socket.write_all(head.as_bytes())?;
        // A refusal may come before the whole body is taken; then the answer says why.
        let sent = socket.write_all(body.as_bytes());
        let mut answer = Vec::new();
        let read = socket.take(ANSWER_BYTES_MAX).read_to_end(&mut answer);
        if answer.is_empty() {
            sent.and_then(|()| read.map(drop))
                .context("the control plane did not answer")?;
            bail!("the control plane gave no answer");
        }
        Answer::read(&answer)
    }

    fn socket(&self) -> PathBuf {
        self.data.join("api.sock")
    }
}

impl Answer {
    fn read(bytes: &[u8]) -> Result<Self> {
        let end = bytes
            .windows(4)
            .position(|w| w == b"\r\n\r\n")
            .context("the control plane gave no answer")?;
        let (head, body) = bytes.split_at(end + 4);
        let head = String::from_utf8_lossy(head);
        let status = head
            .strip_prefix("HTTP/1.1 ")
            .and_then(|rest| rest.get(..3))
            .and_then(|code| code.parse().ok())
            .context("the control plane's answer is not HTTP")?;
        let body = if body.is_empty() {
            Value::Null
        } else {
            serde_json::from_slice(body).context("the control plane's answer is not JSON")?
        };
        Ok(Self { status, body })
    }

    /// The body of a success.
    ///
    /// # Errors
    /// Any other answer, in its own words.
    pub(crate) fn wanted(self) -> Result<Value> {
        if (200..300).contains(&self.status) {
            return Ok(self.body);
        }
        bail!("{}", self.problem())
    }

    /// What a refusal says.
    pub(crate) fn problem(&self) -> String {
        self.body["detail"]
            .as_str()
            .or_else(|| self.body["title"].as_str())
            .map_or_else(
                || format!("the control plane answered {}", self.status),
                str::to_owned,
            )
    }
}

/// A member that is a text; empty where there is none.
pub(crate) fn text<'a>(value: &'a Value, name: &str) -> &'a str {
    value.get(name).and_then(Value::as_str).unwrap_or_default()
}

/// A member that is a list; empty where there is none.
pub(crate) fn array<'a>(value: &'a Value, name: &str) -> &'a [Value] {
    value
        .get(name)
        .and_then(Value::as_array)
        .map_or(&[], Vec::as_slice)
}

/// A member that counts something; `-` where it is not known.
pub(crate) fn number(value: &Value, name: &str) -> String {
    let number = value.get(name).and_then(Value::as_u64);
    number.map_or_else(|| "-".to_owned(), thousands)
}

/// A query of named values, percent-encoded.
pub(crate) fn query<'a>(pairs: impl IntoIterator<Item = (&'a str, &'a str)>) -> String {
    let pairs: Vec<String> = pairs
        .into_iter()
        .map(|(name, value)| format!("{name}={}", encoded(value)))
        .collect();
    pairs.join("&")
}

/// Percent-encodes what is not plain.
pub(crate) fn encoded(text: &str) -> String {
    let plain = |byte: u8| byte.is_ascii_alphanumeric() || b"-._~".contains(&byte);
    text.bytes()
        .map(|byte| {
            if plain(byte) {
                char::from(byte).to_string()
            } else {
                format!("%{byte:02X}")
            }
        })
        .collect()
}

/// A text of somebody else on a terminal: control characters would act there.
pub(crate) fn printable(text: &str) -> String {
    text.chars()
        .map(|c| {
            if c.is_control() && c != '\n' && c != '\t' {
                '\u{fffd}'
            } else {
                c
            }
        })
        .collect()
}

/// Columns with two spaces between, as wide as they need.
pub(crate) fn columns(rows: &[Vec<String>]) -> String {
    let count = rows.iter().map(Vec::len).max().unwrap_or(0);
    let width = |column: usize| {
        let cells = rows.iter().filter_map(|row| row.get(column));
        cells.map(|cell| cell.chars().count()).max().unwrap_or(0)
    };
    let widths: Vec<usize> = (0..count).map(width).collect();
    let mut out = String::new();
    for row in rows {
        let cells = row
            .iter()
            .zip(&widths)
            .map(|(cell, width)| format!("{cell:<width$}"));
        out.push_str(cells.collect::<Vec<_>>().join("  ").trim_end());
        out.push('\n');
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn answers_are_read_or_refused() {
        let read = |text: &str| Answer::read(text.as_bytes());
        let good = read("HTTP/1.1 201 Created\r\netag: \"x\"\r\n\r\n{\"a\": 1}").unwrap();
        assert_eq!(
            (good.status, good.wanted().unwrap()["a"].as_u64()),
            (201, Some(1))
        );
        let bad = read("HTTP/1.1 404 Not Found\r\n\r\n{\"title\": \"t\", \"detail\": \"no such\"}").unwrap();
        assert_eq!(bad.wanted().unwrap_err().to_string(), "no such");
        assert_eq!(
            read("HTTP/1.1 500 x\r\n\r\n").unwrap().problem(),
            "the control plane answered 500"
        );
        for broken in [
            "",
            "HTTP/1.1 200 OK",
            "HTTP/1.1 x\r\n\r\n",
            "HTTP/1.1 200 OK\r\n\r\n{",
            "x\r\n\r\n",
        ] {
            assert!(read(broken).is_err(), "{broken}");
        }
    }

    #[test]
    fn queries_are_encoded() {
        assert_eq!(
            query([("as", "a b@c"), ("tag", "tag:x")]),
            "as=a%20b%40c&tag=tag%3Ax"
        );
        assert_eq!(printable("a\u{1b}[1mb\n"), "a\u{fffd}[1mb\n");
        assert_eq!(
            columns(&[vec!["a".into(), "b".into()], vec!["ccc".into(), "d".into()]]),
            "a    b\nccc  d\n"
        );
    }
}
