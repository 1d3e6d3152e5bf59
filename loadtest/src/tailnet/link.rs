//! A client's connection to the gateway, from an address of the tailnet.

use std::net::{IpAddr, SocketAddr};
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, bail};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;

use super::proxy;
pub(super) use crate::answer::Answer;
use crate::answer::parse;

/// How long an answer may be silent; only what hangs takes so long.
const SILENCE_LIMIT: Duration = Duration::from_secs(30);
/// Bytes of an answer that is read whole, at most.
const ANSWER_BYTES_MAX: usize = 64 << 20;

/// A connection. The header that says from where stands before the first request.
pub(super) struct Link {
    stream: TcpStream,
    gateway: SocketAddr,
    greeting: Vec<u8>,
}

impl Link {
    pub(super) async fn open(gateway: SocketAddr, from: IpAddr) -> Result<Self> {
        let stream = TcpStream::connect(gateway).await?;
        stream.set_nodelay(true)?;
        let greeting = proxy::header(SocketAddr::new(from, stream.local_addr()?.port()), gateway);
        Ok(Self {
            stream,
            gateway,
            greeting,
        })
    }

    async fn send(&mut self, message: &str) -> Result<()> {
        let mut bytes = std::mem::take(&mut self.greeting);
        bytes.extend_from_slice(message.as_bytes());
        self.stream.write_all(&bytes).await.context("sending")
    }

    /// Asks for a path.
    pub(super) async fn get(&mut self, path: &str) -> Result<Answer> {
        let message = format!("GET {path} HTTP/1.1\r\nHost: {}\r\n\r\n", self.gateway);
        self.exchange(&message).await
    }

    /// A short call of a model.
    pub(super) async fn call(&mut self, model: &str) -> Result<Answer> {
        let message = self.chat(model, "", "x-mock-events: 1\r\n");
        self.exchange(&message).await
    }

    /// Begins a stream of a minute, and waits until some of it has come.
    pub(super) async fn stream(mut self, model: &str) -> Result<Stream> {
        let paced = "x-mock-events: 3000\r\nx-mock-gap-ms: 20\r\n";
        let message = self.chat(model, r#","stream":true"#, paced);
        self.send(&message).await?;
        let mut seen = Vec::new();
        while memchr::memmem::find(&seen, b"data:").is_none() {
            let n = silent_read(&mut self.stream, &mut seen).await?;
            if n == 0 || seen.len() > ANSWER_BYTES_MAX {
                bail!(
                    "no stream: {}",
                    String::from_utf8_lossy(&seen).lines().next().unwrap_or_default()
                );
            }
        }
        Ok(Stream { stream: self.stream })
    }

    fn chat(&self, model: &str, option: &str, settings: &str) -> String {
        let body = format!(r#"{{"model":"{model}","messages":[{{"role":"user","content":"hi"}}]{option}}}"#);
        format!(
            "POST /v1/chat/completions HTTP/1.1\r\nHost: {}\r\nContent-Type: application/json\r\n{settings}\
             Content-Length: {}\r\n\r\n{body}",
            self.gateway,
            body.len()
        )
    }

    async fn exchange(&mut self, message: &str) -> Result<Answer> {
        let begin = Instant::now();
        self.send(message).await?;
        let mut bytes = Vec::new();
        loop {
            let n = silent_read(&mut self.stream, &mut bytes).await?;
            if let Some(mut answer) = parse(&bytes)? {
                answer.took = begin.elapsed();
                return Ok(answer);
            }
            if n == 0 || bytes.len() > ANSWER_BYTES_MAX {
                bail!("the connection ended within an answer");
            }
        }
    }
}

async fn silent_read(stream: &mut TcpStream, bytes: &mut Vec<u8>) -> Result<usize> {
    tokio::time::timeout(SILENCE_LIMIT, stream.read_buf(bytes))
        .await
        .context("silence")?
        .context("reading")
}

/// A running stream.
pub(super) struct Stream {
    stream: TcpStream,
}

impl Stream {
    /// Waits until it ends, however long that takes, and gives the moment.
    pub(super) async fn ended(mut self) -> Instant {
        let mut sink = vec![0; 16 << 10];
        loop {
            match self.stream.read(&mut sink).await {
                Ok(0) | Err(_) => return Instant::now(),
                Ok(_) => {}
            }
        }
    }

    /// Waits until it is cut and gives the moment.
    ///
    /// # Errors
    /// Nobody cut it.
    pub(super) async fn cut(self) -> Result<Instant> {
        tokio::time::timeout(SILENCE_LIMIT, self.ended())
            .await
            .context("the stream was not cut")
    }
}
