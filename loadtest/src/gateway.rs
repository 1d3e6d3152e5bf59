//! A gateway under test: started on a fresh data directory, its processes found, its records read.

use std::fs;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, bail};
use serde_json::Value;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};

use crate::process;
use crate::target::{Running, Target};

/// Bytes of an API answer, at most.
const ANSWER_BYTES_MAX: u64 = 64 << 20;

/// Which process.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Plane {
    Data,
    Control,
}

impl Plane {
    fn name(self) -> &'static str {
        match self {
            Self::Data => "dataplane",
            Self::Control => "controlplane",
        }
    }
}

/// A started gateway and where its data are.
pub(crate) struct Gateway {
    pub(crate) running: Running,
    data: PathBuf,
}

impl Gateway {
    /// Starts `sluice up` in front of `upstream`.
    pub(crate) fn start(
        binary: &str,
        shards: u32,
        upstream: SocketAddr,
        dir: &std::path::Path,
    ) -> Result<Self> {
        let line =
            format!("{binary} up --config {{config}} --listen {{listen}} --data {{data}} --shards {shards}");
        let target = Target::Command {
            label: "sluice".to_owned(),
            line,
        };
        let running = target.start(upstream, dir, None)?;
        Ok(Self {
            running,
            data: dir.join("sluice").join("data"),
        })
    }

    /// The same with a document of one's own.
    pub(crate) fn start_with(
        binary: &str,
        shards: u32,
        dir: &std::path::Path,
        document: &str,
    ) -> Result<Self> {
        let place = dir.join("sluice");
        fs::create_dir_all(&place)?;
        fs::write(place.join("own.hujson"), document)?;
        let line = format!(
            "{binary} up --config {} --listen {{listen}} --data {{data}} --shards {shards}",
            place.join("own.hujson").display()
        );
        let target = Target::Command {
            label: "sluice".to_owned(),
            line,
        };
        // Nothing in the line speaks of the upstream: the document does.
        let running = target.start(SocketAddr::from(([127, 0, 0, 1], 9)), dir, None)?;
        Ok(Self {
            running,
            data: place.join("data"),
        })
    }

    /// The document of [`Self::start_with`].
    pub(crate) fn document(&self) -> PathBuf {
        self.data.with_file_name("own.hujson")
    }

    pub(crate) fn address(&self) -> SocketAddr {
        self.running.address
    }

    /// The process id of a plane: from its file in the data directory, else by its command line.
    pub(crate) fn pid(&self, plane: Plane) -> Option<u32> {
        let children = process::tree(&self.running.pids());
        let named = |pid: &u32| {
            let line = fs::read(format!("/proc/{pid}/cmdline")).unwrap_or_default();
            line.split(|b| *b == 0)
                .any(|word| word == plane.name().as_bytes())
        };
        let file = ["", "run/"].iter().find_map(|dir| {
            let text = fs::read_to_string(self.data.join(format!("{dir}{}.pid", plane.name()))).ok()?;
            text.trim().parse::<u32>().ok()
        });
        file.filter(|pid| children.contains(pid))
            .or_else(|| children.iter().copied().find(named))
    }

    /// Waits for a plane that is not `old`.
    pub(crate) async fn restarted(&self, plane: Plane, old: u32, limit: Duration) -> Result<Duration> {
        let begin = Instant::now();
        while begin.elapsed() < limit {
            if self.pid(plane).is_some_and(|pid| pid != old) {
                return Ok(begin.elapsed());
            }
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
        bail!("the {} was not restarted within {limit:?}", plane.name())
    }

    /// All request records, newest first or oldest first as the gateway likes.
    pub(crate) async fn records(&self) -> Result<Vec<Value>> {
        let mut records = Vec::new();
        let mut cursor: Option<String> = None;
        loop {
            let after = cursor
                .as_deref()
                .map(|cursor| format!("&cursor={cursor}"))
                .unwrap_or_default();
            let page = get(self.address(), &format!("/api/requests?limit=1000{after}")).await?;
            let found = page
                .get("requests")
                .and_then(Value::as_array)
                .context("no `requests` in the answer")?;
            let empty = found.is_empty();
            records.extend(found.iter().cloned());
            let next = match page.get("next_cursor") {
                Some(Value::String(next)) => Some(next.clone()),
                Some(Value::Number(next)) => Some(next.to_string()),
                _ => None,
            };
            if next.is_none() || next == cursor || empty {
                return Ok(records);
            }
            cursor = next;
        }
    }
}

/// The JSON answer to a GET; anything but 200 is an error.
pub(crate) async fn get(address: SocketAddr, path: &str) -> Result<Value> {
    let body = fetch(address, path).await?;
    serde_json::from_slice(&body).with_context(|| format!("GET {path}: no JSON"))
}

/// The same as text.
pub(crate) async fn text(address: SocketAddr, path: &str) -> Result<String> {
    let body = fetch(address, path).await?;
    String::from_utf8(body).with_context(|| format!("GET {path}: no text"))
}

async fn fetch(address: SocketAddr, path: &str) -> Result<Vec<u8>> {
    let fetched = async {
        let mut stream = tokio::net::TcpStream::connect(address).await?;
        let request = format!("GET {path} HTTP/1.1\r\nHost: {address}\r\nConnection: close\r\n\r\n");
        stream.write_all(request.as_bytes()).await?;
        let mut answer = Vec::new();
        stream.take(ANSWER_BYTES_MAX).read_to_end(&mut answer).await?;
        Ok::<_, anyhow::Error>(answer)
    };
    let answer = tokio::time::timeout(Duration::from_secs(20), fetched)
        .await
        .context("no answer in time")??;
    let (status, body) = unframe(&answer).with_context(|| format!("GET {path}"))?;
    if status != 200 {
        bail!("GET {path}: status {status}: {}", String::from_utf8_lossy(&body));
    }
    Ok(body)
}

/// Status and body of a whole answer on a closed connection.
fn unframe(answer: &[u8]) -> Result<(u16, Vec<u8>)> {
    let mut fields = [httparse::EMPTY_HEADER; 64];
    let mut response = httparse::Response::new(&mut fields);
    let httparse::Status::Complete(length) = response.parse(answer)? else {
        bail!("the head is cut")
    };
    let body = answer.get(length..).unwrap_or_default();
    let chunked = response
        .headers
        .iter()
        .any(|field| field.name.eq_ignore_ascii_case("transfer-encoding"));
    let status = response.code.unwrap_or(0);
    if !chunked {
        return Ok((status, body.to_vec()));
    }
    let mut out = Vec::new();
    let mut rest = body;
    loop {
        let end = memchr::memmem::find(rest, b"\r\n").context("the body is cut")?;
        let digits = std::str::from_utf8(rest.get(..end).unwrap_or_default())?;
        let size = usize::from_str_radix(digits.split(';').next().unwrap_or("").trim(), 16)?;
        if size == 0 {
            return Ok((status, out));
        }
        let data = end.saturating_add(2);
        let stop = data.checked_add(size).context("chunk too large")?;
        out.extend_from_slice(rest.get(data..stop).context("the body is cut")?);
        rest = rest.get(stop + 2..).context("the body is cut")?;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn answers_are_unframed() {
        let plain = unframe(b"HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\n{}").unwrap();
        assert_eq!(plain, (200, b"{}".to_vec()));
        let chunked =
            unframe(b"HTTP/1.1 404 No\r\ntransfer-encoding: chunked\r\n\r\n2\r\n{}\r\n1;x\r\n \r\n0\r\n\r\n")
                .unwrap();
        assert_eq!(chunked, (404, b"{} ".to_vec()));
        assert!(unframe(b"HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n9\r\n{}").is_err());
    }
}
