//! One conversation as a list of requests, and sending them.

use std::net::SocketAddr;
use std::time::Duration;

use anyhow::{Context as _, Result, bail};
use serde_json::Value;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;

use crate::answer::parse;

const SILENCE_LIMIT: Duration = Duration::from_secs(20);

/// What a client has to see.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Sees {
    /// A whole answer with status 200.
    Answer,
    /// An answer with a call of this tool.
    Call(&'static str),
    /// A stream that ends too early, or with an error in it.
    Cut,
}

/// One request.
#[derive(Debug)]
pub(super) struct Turn {
    /// What it is, for people.
    pub(super) what: &'static str,
    pub(super) path: String,
    pub(super) headers: Vec<(&'static str, String)>,
    pub(super) body: Value,
    pub(super) sees: Sees,
}

/// Where the key of a session comes from.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Key {
    /// The client says it, in a header.
    Header(String),
    /// The beginning of the conversation.
    Fingerprint,
}

/// A conversation, and what has to come of it.
#[derive(Debug)]
pub(super) struct Conversation {
    pub(super) name: &'static str,
    pub(super) turns: Vec<Turn>,
    pub(super) key: Key,
    pub(super) client: &'static str,
    /// Agents by name, `main(a(b))`.
    pub(super) tree: &'static str,
    /// Keys of the sessions that it starts.
    pub(super) starts: &'static [&'static str],
    pub(super) models: Vec<&'static str>,
    /// By which a session without a key of its own is found.
    pub(super) user_agent: String,
}

/// Sends a request, and looks whether the client sees what it has to.
pub(super) async fn send(gateway: SocketAddr, turn: &Turn) -> Result<()> {
    let body = turn.body.to_string();
    let headers: String = turn
        .headers
        .iter()
        .map(|(name, value)| format!("{name}: {value}\r\n"))
        .collect();
    let message = format!(
        "POST {} HTTP/1.1\r\nHost: {gateway}\r\nContent-Type: application/json\r\n{headers}Connection: close\r\n\
         Content-Length: {}\r\n\r\n{body}",
        turn.path,
        body.len()
    );
    let asked = async {
        let mut stream = TcpStream::connect(gateway).await?;
        stream.write_all(message.as_bytes()).await?;
        let mut seen = Vec::new();
        // A stream that is cut may end with a reset: what came before counts.
        let ended = stream.read_to_end(&mut seen).await;
        Ok::<_, anyhow::Error>((seen, ended.is_ok()))
    };
    let (seen, whole) = tokio::time::timeout(SILENCE_LIMIT, asked)
        .await
        .context("silence")??;
    let answer = if whole { parse(&seen)? } else { None };
    let text = String::from_utf8_lossy(&seen);
    match (turn.sees, answer) {
        (Sees::Cut, None) => Ok(()),
        (Sees::Cut, Some(_)) if text.contains("error") => Ok(()),
        (Sees::Answer, Some(answer)) if answer.status == 200 => Ok(()),
        (Sees::Call(tool), Some(answer))
            if answer.status == 200 && String::from_utf8_lossy(&answer.body).contains(tool) =>
        {
            Ok(())
        }
        (sees, _) => bail!("expected {sees:?}, saw: {text}"),
    }
}
