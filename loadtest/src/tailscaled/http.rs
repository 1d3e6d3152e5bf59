//! HTTP/1.1 by hand: one connection, one request after the other, faults on the wire.

use std::io;
use std::sync::atomic::Ordering;
use std::time::Instant;

use serde_json::Value;
use tokio::io::{AsyncRead, AsyncReadExt as _, AsyncWrite, AsyncWriteExt as _};
use tokio::sync::broadcast::error::RecvError;

use super::{Fault, MASK_PEERS, MASK_RATE, MASK_STATUS, Tailscaled, hold};

const HEAD_BYTES_MAX: usize = 16 << 10;
/// Go's server gives a length to what fits into its buffer.
const LENGTH_BYTES_MAX: usize = 2048;

struct Request {
    target: String,
    allowed: bool,
}

/// Serves requests until one side ends.
pub(super) async fn connection(
    daemon: &Tailscaled,
    mut stream: impl AsyncRead + AsyncWrite + Unpin,
    number: usize,
) -> io::Result<()> {
    let mut bytes = Vec::new();
    while let Some(request) = read_request(&mut stream, &mut bytes).await? {
        let (path, query) = request
            .target
            .split_once('?')
            .unwrap_or((request.target.as_str(), ""));
        if !request.allowed {
            daemon.note(&request.target, 403, number);
            send(&mut stream, 403, b"forbidden\n", false).await?;
            continue;
        }
        match path {
            "/localapi/v0/whois" => whois(daemon, &mut stream, &request.target, query, number).await?,
            "/localapi/v0/watch-ipn-bus" => {
                return bus(daemon, &mut stream, &request.target, query, number).await;
            }
            "/localapi/v0/status" => {
                let status = super::status(&hold(&daemon.shared.table)).to_string();
                daemon.note(&request.target, 200, number);
                send(&mut stream, 200, status.as_bytes(), false).await?;
            }
            _ => {
                daemon.note(&request.target, 404, number);
                send(&mut stream, 404, b"404 page not found\n", false).await?;
            }
        }
    }
    Ok(())
}

async fn read_request(
    stream: &mut (impl AsyncRead + Unpin),
    bytes: &mut Vec<u8>,
) -> io::Result<Option<Request>> {
    loop {
        let mut fields = [httparse::EMPTY_HEADER; 32];
        let mut head = httparse::Request::new(&mut fields);
        match head.parse(bytes) {
            Ok(httparse::Status::Complete(length)) => {
                let mut allowed = head.method == Some("GET");
                let mut hosts = 0;
                for field in head.headers.iter() {
                    match field.name.to_ascii_lowercase().as_str() {
                        "origin" | "referer" => allowed = false,
                        "host" => {
                            hosts += 1;
                            allowed &= field.value.is_empty() || field.value == b"local-tailscaled.sock";
                        }
                        _ => {}
                    }
                }
                let request = Request {
                    target: head.path.unwrap_or_default().to_owned(),
                    allowed: allowed && hosts == 1,
                };
                bytes.drain(..length);
                return Ok(Some(request));
            }
            Ok(httparse::Status::Partial) if bytes.len() < HEAD_BYTES_MAX => {}
            _ => return Err(io::ErrorKind::InvalidData.into()),
        }
        if stream.read_buf(bytes).await? == 0 {
            return Ok(None);
        }
    }
}

/// The value of a query parameter, percent-decoded.
fn parameter(query: &str, name: &str) -> String {
    let value = query
        .split('&')
        .find_map(|pair| pair.strip_prefix(name)?.strip_prefix('='));
    let mut out = Vec::new();
    let mut rest = value.unwrap_or_default().bytes();
    while let Some(byte) = rest.next() {
        if byte == b'%' {
            let digits = [rest.next().unwrap_or(b'0'), rest.next().unwrap_or(b'0')];
            let text = String::from_utf8_lossy(&digits).into_owned();
            out.push(u8::from_str_radix(&text, 16).unwrap_or(b'?'));
        } else {
            out.push(byte);
        }
    }
    String::from_utf8_lossy(&out).into_owned()
}

async fn whois(
    daemon: &Tailscaled,
    stream: &mut (impl AsyncWrite + Unpin),
    target: &str,
    query: &str,
    number: usize,
) -> io::Result<()> {
    let shared = &daemon.shared;
    let running = shared.running.fetch_add(1, Ordering::Relaxed) + 1;
    shared.running_max.fetch_max(running, Ordering::Relaxed);
    shared.asked.send_modify(|asked| *asked += 1);
    let done = Running(daemon, Instant::now());
    let fault = hold(&shared.table).fault.clone();
    let answer = daemon
        .whois(&parameter(query, "addr"), &parameter(query, "proto"))
        .await;
    if let Some(Fault::Slow(time)) = &fault {
        tokio::time::sleep(*time).await;
    }
    let (mut status, mut body) = match answer {
        Ok(value) => (200, value.to_string().into_bytes()),
        Err((status, text)) => (status, text.as_bytes().to_vec()),
    };
    let mut chunked = body.len() > LENGTH_BYTES_MAX;
    match fault {
        None | Some(Fault::Slow(_)) => {}
        Some(Fault::Status(other)) => (status, body) = (other, b"as you wished\n".to_vec()),
        Some(Fault::CutBody) => {
            daemon.note(target, status, number);
            let head = format!("HTTP/1.1 {status} X\r\ncontent-length: {}\r\n\r\n", body.len());
            stream.write_all(head.as_bytes()).await?;
            stream
                .write_all(body.get(..body.len() / 2).unwrap_or_default())
                .await?;
            stream.flush().await?;
            return Err(io::ErrorKind::ConnectionAborted.into());
        }
        Some(Fault::Chunked) => chunked = true,
        Some(Fault::Body(bytes)) => (status, body) = (200, bytes),
        Some(Fault::Wire(bytes)) => {
            daemon.note(target, 0, number);
            stream.write_all(&bytes).await?;
            stream.flush().await?;
            return Err(io::ErrorKind::ConnectionAborted.into());
        }
        Some(Fault::Oversize(bytes, in_chunks)) => {
            let mut wide = vec![b' '; bytes.saturating_sub(body.len())];
            wide.append(&mut body);
            (body, chunked) = (wide, in_chunks);
        }
        Some(Fault::Close) => {
            daemon.note(target, 0, number);
            return Err(io::ErrorKind::ConnectionAborted.into());
        }
    }
    daemon.note(target, status, number);
    drop(done);
    send(stream, status, &body, chunked).await
}

/// Counts a `whois` as under way until it is dropped, also when the client leaves.
struct Running<'a>(&'a Tailscaled, Instant);

impl Drop for Running<'_> {
    fn drop(&mut self) {
        self.0.shared.running.fetch_sub(1, Ordering::Relaxed);
        hold(&self.0.shared.took).push(self.1.elapsed());
    }
}

async fn send(
    stream: &mut (impl AsyncWrite + Unpin),
    status: u16,
    body: &[u8],
    chunked: bool,
) -> io::Result<()> {
    let framing = if chunked {
        "transfer-encoding: chunked".to_owned()
    } else {
        format!("content-length: {}", body.len())
    };
    let head = format!("HTTP/1.1 {status} X\r\ncontent-type: application/json\r\n{framing}\r\n\r\n");
    stream.write_all(head.as_bytes()).await?;
    if chunked {
        for piece in body.chunks(4096.min(body.len() / 3 + 1)) {
            stream
                .write_all(format!("{:x}\r\n", piece.len()).as_bytes())
                .await?;
            stream.write_all(piece).await?;
            stream.write_all(b"\r\n").await?;
        }
        stream.write_all(b"0\r\n\r\n").await?;
    } else {
        stream.write_all(body).await?;
    }
    stream.flush().await
}

/// Counts a watcher until it is dropped.
struct Watching<'a>(&'a Tailscaled);

impl Drop for Watching<'_> {
    fn drop(&mut self) {
        self.0.shared.watchers.send_modify(|watchers| *watchers -= 1);
    }
}

async fn bus(
    daemon: &Tailscaled,
    stream: &mut (impl AsyncRead + AsyncWrite + Unpin),
    target: &str,
    query: &str,
    number: usize,
) -> io::Result<()> {
    let mut cut = daemon.shared.bus_generation.subscribe();
    let mut lines = daemon.shared.bus.subscribe();
    let refused = hold(&daemon.shared.table).bus_refused;
    let mask = parameter(query, "mask").parse::<u64>().ok();
    let bad = mask.is_none_or(|mask| mask & MASK_RATE != 0 && mask & (MASK_PEERS | MASK_STATUS) != 0);
    if let Some(status) = refused.or_else(|| bad.then_some(400)) {
        daemon.note(target, status, number);
        return send(stream, status, b"bad mask\n", false).await;
    }
    let mask = mask.unwrap_or_default();
    daemon.note(target, 200, number);
    let head = "HTTP/1.1 200 OK\r\ncontent-type: application/json\r\ntransfer-encoding: chunked\r\n\r\n";
    stream.write_all(head.as_bytes()).await?;
    let beginning: Value = daemon.beginning(mask);
    line(stream, &beginning.to_string()).await?;
    daemon.shared.watchers.send_modify(|watchers| *watchers += 1);
    let _watching = Watching(daemon);
    let mut rest = [0; 64];
    loop {
        tokio::select! {
            _ = cut.changed() => return Ok(()),
            gone = stream.read(&mut rest) => {
                // Nothing more is to come; an end is the watcher leaving.
                if gone? == 0 {
                    return Ok(());
                }
            }
            told = lines.recv() => match told {
                Ok((wanted, text)) => {
                    let delay = hold(&daemon.shared.table).bus_delay;
                    if !delay.is_zero() {
                        tokio::time::sleep(delay).await;
                    }
                    if let Some(text) = daemon.as_told(mask, wanted, &text) {
                        line(stream, &text).await?;
                    }
                }
                // A slow watcher is cut off.
                Err(RecvError::Lagged(_) | RecvError::Closed) => return Ok(()),
            },
        }
    }
}

async fn line(stream: &mut (impl AsyncWrite + Unpin), text: &str) -> io::Result<()> {
    let chunk = format!("{:x}\r\n{text}\n\r\n", text.len() + 1);
    stream.write_all(chunk.as_bytes()).await?;
    stream.flush().await
}
