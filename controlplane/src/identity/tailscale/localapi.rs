//! The LocalAPI of the tailnet's daemon: HTTP/1.1 over its Unix socket.
//!
//! The socket is trusted only if it belongs to root (or to the user that the document names): looked at as a file
//! before connecting, and as the peer's credentials after. Answers are bounded in bytes and in time. A kept connection
//! that turns out to be closed is replaced once; whatever else fails, fails.

use std::io;
use std::os::unix::fs::{FileTypeExt as _, MetadataExt as _};
use std::path::PathBuf;
use std::pin::Pin;
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use hyper::body::{Body as _, Incoming};
use hyper::client::conn::http1::{self, SendRequest};
use hyper::{Request, Response, StatusCode};
use hyper_util::rt::TokioIo;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::UnixStream;
use tokio::sync::Semaphore;
use tokio::time::Instant;

use super::gate::Key;
use crate::config::domain;

/// How long a call may take.
pub(super) const CALL_MAX: Duration = Duration::from_millis(500);
/// How long until a watch stands.
const WATCH_MAX: Duration = Duration::from_secs(5);
/// Calls under way at a time.
pub(super) const CALLS_MAX: usize = 4;
/// Connections that are kept between calls.
const KEPT_MAX: usize = 2;
/// Largest answer to a call.
const BODY_BYTES_MAX: usize = 1 << 20;
/// Largest head of an answer.
const HEAD_BYTES_MAX: usize = 16 << 10;
/// Longest line of the bus that is looked at; of a longer one only the end is found.
const LINE_BYTES_MAX: usize = 4 << 20;

/// Why the daemon did not say anything usable.
#[derive(Debug, thiserror::Error)]
pub(super) enum CallError {
    #[error("cannot reach it")]
    Connect(#[source] io::Error),
    #[error("{0} is no socket")]
    NoSocket(PathBuf),
    #[error("{path} belongs to user {uid}, who is not trusted")]
    Owner { path: PathBuf, uid: u32 },
    #[error("no answer in time")]
    Timeout,
    #[error("its answer breaks off or is no HTTP")]
    Http(#[from] hyper::Error),
    #[error("its answer is larger than {BODY_BYTES_MAX} bytes")]
    TooLong,
    #[error("it answers with status {0}")]
    Status(u16),
    #[error(transparent)]
    Malformed(#[from] super::answer::Malformed),
    #[error("it is not on the tailnet")]
    NotRunning,
}

impl CallError {
    /// Whether there is no daemon at all.
    pub(super) fn is_absence(&self) -> bool {
        matches!(self, Self::Connect(error) if error.kind() == io::ErrorKind::NotFound)
    }
}

/// How the daemon is reached.
pub(super) enum Dial {
    Socket {
        path: PathBuf,
        owner: Option<u32>,
    },
    /// In memory, so that tests run in virtual time.
    #[cfg(test)]
    Memory(sluice_loadtest::tailscaled::Tailscaled),
}

impl Dial {
    pub(super) fn of(settings: &domain::Tailscale) -> Self {
        Self::Socket {
            path: settings.socket.clone(),
            owner: settings.owner,
        }
    }

    async fn connect(&self) -> Result<SendRequest<String>, CallError> {
        match self {
            Self::Socket { path, owner } => {
                // Both looks: the file may be replaced between them, and credentials alone would connect first.
                let file = std::fs::metadata(path).map_err(CallError::Connect)?;
                if !file.file_type().is_socket() {
                    return Err(CallError::NoSocket(path.clone()));
                }
                let trusted = |uid| {
                    if is_trusted(uid, *owner) {
                        return Ok(());
                    }
                    Err(CallError::Owner {
                        path: path.clone(),
                        uid,
                    })
                };
                trusted(file.uid())?;
                let stream = UnixStream::connect(path).await.map_err(CallError::Connect)?;
                trusted(stream.peer_cred().map_err(CallError::Connect)?.uid())?;
                shake(stream).await
            }
            #[cfg(test)]
            Self::Memory(daemon) => shake(daemon.dial().map_err(CallError::Connect)?).await,
        }
    }
}

/// Root, and the user that the document names.
fn is_trusted(uid: u32, owner: Option<u32>) -> bool {
    uid == 0 || Some(uid) == owner
}

async fn shake(
    stream: impl AsyncRead + AsyncWrite + Unpin + Send + 'static,
) -> Result<SendRequest<String>, CallError> {
    let (sender, connection) = http1::Builder::new()
        .max_buf_size(HEAD_BYTES_MAX)
        .handshake(TokioIo::new(stream))
        .await?;
    // It ends when the sender is dropped, or the daemon closes; whoever waits for an answer hears of it.
    tokio::spawn(async move {
        let _ = connection.await;
    });
    Ok(sender)
}

fn request(target: &str) -> Request<String> {
    let mut request = Request::new(String::new());
    // A target that is no URI cannot be made from an address; the daemon would refuse `/`.
    *request.uri_mut() = target.parse().unwrap_or_default();
    request.headers_mut().insert(
        hyper::header::HOST,
        hyper::header::HeaderValue::from_static("local-tailscaled.sock"),
    );
    request
}

/// A client with its kept connections.
pub(super) struct LocalApi {
    dial: Dial,
    kept: Mutex<Vec<SendRequest<String>>>,
    calls: Semaphore,
}

impl LocalApi {
    pub(super) fn new(dial: Dial) -> Self {
        Self {
            dial,
            kept: Mutex::default(),
            calls: Semaphore::new(CALLS_MAX),
        }
    }

    fn kept(&self) -> std::sync::MutexGuard<'_, Vec<SendRequest<String>>> {
        self.kept.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Who is it? `None`: nobody that the daemon knows. Also says when the question was put.
    pub(super) async fn whois(&self, key: &Key) -> (Instant, Result<Option<Vec<u8>>, CallError>) {
        let target = format!(
            "/localapi/v0/whois?addr={}&proto=tcp",
            key.addr()
                .replace(':', "%3A")
                .replace('[', "%5B")
                .replace(']', "%5D")
        );
        // A question that waited this long is one that nobody waits for. Nobody closes the semaphore.
        let Ok(_permit) = tokio::time::timeout(CALL_MAX, self.calls.acquire()).await else {
            return (Instant::now(), Err(CallError::Timeout));
        };
        let asked = Instant::now();
        let answer = tokio::time::timeout(CALL_MAX, self.call(&target))
            .await
            .unwrap_or(Err(CallError::Timeout));
        let answer = match answer {
            Ok((StatusCode::OK, body)) => Ok(Some(body)),
            Ok((StatusCode::NOT_FOUND, _)) => Ok(None),
            Ok((status, _)) => Err(CallError::Status(status.as_u16())),
            Err(error) => Err(error),
        };
        (asked, answer)
    }

    async fn call(&self, target: &str) -> Result<(StatusCode, Vec<u8>), CallError> {
        let kept = self.kept().pop();
        if let Some(mut sender) = kept
            && sender.ready().await.is_ok()
        {
            match sender.send_request(request(target)).await {
                Ok(response) => return self.body(sender, response).await,
                // The daemon closed it while it was idle: the question was not answered, ask anew.
                Err(error) if error.is_canceled() || error.is_closed() || error.is_incomplete_message() => {}
                Err(error) => return Err(error.into()),
            }
        }
        let mut sender = self.dial.connect().await?;
        let response = sender.send_request(request(target)).await?;
        self.body(sender, response).await
    }

    /// Reads a whole body, and keeps the connection for the next call.
    async fn body(
        &self,
        sender: SendRequest<String>,
        response: Response<Incoming>,
    ) -> Result<(StatusCode, Vec<u8>), CallError> {
        let (head, mut body) = response.into_parts();
        let mut bytes = Vec::new();
        while let Some(piece) = piece(&mut body).await? {
            if bytes.len() + piece.len() > BODY_BYTES_MAX {
                return Err(CallError::TooLong);
            }
            bytes.extend_from_slice(&piece);
        }
        let mut kept = self.kept();
        if kept.len() < KEPT_MAX && !sender.is_closed() {
            kept.push(sender);
        }
        Ok((head.status, bytes))
    }

    /// Watches what changes.
    pub(super) async fn watch(&self, mask: u32) -> Result<Bus, CallError> {
        let begin = async {
            let mut sender = self.dial.connect().await?;
            let target = format!("/localapi/v0/watch-ipn-bus?mask={mask}");
            let response = sender.send_request(request(&target)).await?;
            if response.status() != StatusCode::OK {
                return Err(CallError::Status(response.status().as_u16()));
            }
            Ok(Bus {
                body: response.into_body(),
                bytes: Vec::new(),
                skipping: false,
                _sender: sender,
            })
        };
        tokio::time::timeout(WATCH_MAX, begin)
            .await
            .unwrap_or(Err(CallError::Timeout))
    }
}

async fn piece(body: &mut Incoming) -> Result<Option<hyper::body::Bytes>, CallError> {
    loop {
        let frame = std::future::poll_fn(|context| Pin::new(&mut *body).poll_frame(context)).await;
        match frame.transpose()? {
            None => return Ok(None),
            Some(frame) => {
                if let Ok(data) = frame.into_data() {
                    return Ok(Some(data));
                }
            }
        }
    }
}

/// A line of the bus.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Line {
    Text(Vec<u8>),
    /// Longer than is looked at: something changed, nobody knows what.
    TooLong,
}

/// The bus, line by line.
pub(super) struct Bus {
    body: Incoming,
    bytes: Vec<u8>,
    skipping: bool,
    _sender: SendRequest<String>,
}

impl Bus {
    /// The next line; `None` where the daemon has ended the watch.
    pub(super) async fn line(&mut self) -> Result<Option<Line>, CallError> {
        // Bytes before this hold no end of line.
        let mut searched = 0;
        loop {
            if let Some(end) = self.bytes.iter().skip(searched).position(|byte| *byte == b'\n') {
                let mut line: Vec<u8> = self.bytes.drain(..=searched + end).collect();
                line.pop();
                if std::mem::take(&mut self.skipping) {
                    return Ok(Some(Line::TooLong));
                }
                return Ok(Some(Line::Text(line)));
            }
            if self.bytes.len() > LINE_BYTES_MAX {
                self.skipping = true;
                self.bytes.clear();
            }
            searched = self.bytes.len();
            match piece(&mut self.body).await? {
                Some(piece) => self.bytes.extend_from_slice(&piece),
                None => return Ok(None),
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_root_and_whom_the_document_names_are_trusted() {
        let check =
            |uid, owner, expected| assert_eq!(is_trusted(uid, owner), expected, "{uid} with {owner:?}");
        check(0, None, true);
        check(0, Some(1000), true);
        check(1000, Some(1000), true);
        check(1000, None, false);
        check(1001, Some(1000), false);
        check(u32::MAX, None, false);
    }
}
