//! A client's connection: heads in, exchanges done one after the other, refusals written, the end made clean.

use std::rc::Rc;

use sluice_proto::error_body::{ErrorAnswer, ErrorCode, ErrorFamily, error_headers, write_error};
use sluice_proto::http1::{HeadLimits, HeadScanner, Kind, Reject, Version, emit};
use sluice_shared::ids::RequestId;

use crate::answer::connection;
use crate::certificate::Certified;
use crate::config::{Config, Serves};
use crate::exchange;
use crate::exchange::caller::LastCaller;
use crate::limits;
use crate::listener::entrance::Entrance;
use crate::shard::Shard;
use crate::sock::Sock;
use crate::transport::Transport;
use crate::watch::{Fired, WatchGuard};

mod enter;

/// What becomes of the connection after an exchange.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Next {
    /// The next request may come.
    KeepAlive,
    /// Close; everything was read.
    Close,
    /// Close, but let the client read the refusal although it is still sending.
    Linger,
    /// Close so that the client cannot take the answer for a whole one.
    Abort,
}

/// A client's connection.
pub(crate) struct Downstream {
    pub(crate) shard: Rc<Shard>,
    pub(crate) sock: Transport,
    pub(crate) watch: WatchGuard,
    /// Where the client is: the peer of the socket, or what a trusted PROXY header says.
    pub(crate) address: [u8; 16],
    pub(crate) port: u16,
    /// Who the client's certificate proves it to be; `None` if it showed none.
    pub(crate) certificate: Option<Certified>,
    /// Address of the listener that accepted it.
    pub(crate) listener: Rc<str>,
    /// Bytes received and not used yet: a head, what came with it, what was pipelined behind it.
    pub(crate) buf: Vec<u8>,
    /// Who called last, which saves looking.
    pub(crate) last: Option<LastCaller>,
}

/// What counts while a head is waited for.
struct Waiting {
    head_limits: HeadLimits,
    keep_alive_ms: u64,
    head_ms: u64,
}

impl Waiting {
    fn new(config: &Config) -> Self {
        Self {
            head_limits: config.head_limits,
            keep_alive_ms: config.limits.keep_alive_ms,
            head_ms: config.limits.head_ms,
        }
    }
}

/// What waiting for a head brought.
enum Incoming {
    /// A head of so many bytes lies in the buffer.
    Head(usize),
    /// The head must be refused.
    Refuse(Reject),
    /// It did not come in time.
    Late,
    /// Nobody is there any more, or nothing was begun.
    Gone,
}

/// Serves one connection to its end.
pub(crate) async fn serve(
    shard: Rc<Shard>,
    sock: Sock,
    address: [u8; 16],
    port: u16,
    listener: Rc<str>,
    entrance: Rc<Entrance>,
) {
    let watch = shard.watches.add(address);
    let buf = shard.take_buffer();
    let mut conn = Downstream {
        shard,
        sock: Transport::plain(sock),
        watch,
        address,
        port,
        certificate: None,
        listener,
        buf,
        last: None,
    };
    conn.watch.cut_also(Some(conn.sock.fd()));
    let mut next = Next::KeepAlive;
    if !entrance.is_known() {
        next = conn.refuse_unready().await;
    } else if !entrance.is_open_to(address) {
        let patience_ms = conn.shard.config().map_or(0, |config| config.limits.head_ms);
        if !enter::enter(&mut conn, &entrance, patience_ms).await {
            next = Next::Close;
        }
    }
    drop(entrance);
    while next == Next::KeepAlive {
        let Some(config) = conn.shard.config() else {
            next = conn.refuse_unready().await;
            break;
        };
        // A connection may wait for a minute: meanwhile it holds no configuration, and its next request is judged by the
        // one that is in use then.
        let waiting = Waiting::new(&config);
        drop(config);
        next = match conn.next_head(&waiting).await {
            Incoming::Head(head_bytes) => match conn.shard.config() {
                Some(config) => exchange::run(&mut conn, &config, head_bytes).await,
                None => conn.refuse_unready().await,
            },
            Incoming::Refuse(reject) => {
                let answer = rejected(reject);
                conn.shard.metrics.borrow_mut().reject(answer.code.name());
                conn.refuse(ErrorFamily::Plain, &answer, None, Version::Http11)
                    .await
            }
            Incoming::Late => {
                conn.shard
                    .metrics
                    .borrow_mut()
                    .reject(ErrorCode::RequestTimeout.name());
                let answer =
                    ErrorAnswer::new(ErrorCode::RequestTimeout, "the request head did not come in time");
                conn.refuse(ErrorFamily::Plain, &answer, None, Version::Http11)
                    .await
            }
            Incoming::Gone => Next::Close,
        };
    }
    match next {
        Next::Linger => conn.linger().await,
        Next::Abort => conn.sock.reset_on_close(),
        Next::KeepAlive | Next::Close => conn.sock.say_goodbye(),
    }
    conn.watch.disarm();
    conn.watch.cut_also(None);
    let buf = std::mem::take(&mut conn.buf);
    conn.shard.give_buffer(buf);
}

impl Downstream {
    async fn next_head(&mut self, waiting: &Waiting) -> Incoming {
        let mut scanner = HeadScanner::new(Kind::Request, waiting.head_limits);
        let fd = self.sock.fd();
        self.watch.set_idle(self.buf.is_empty());
        let wait_ms = if self.buf.is_empty() {
            waiting.keep_alive_ms
        } else {
            waiting.head_ms
        };
        self.watch.arm_read(fd, Shard::now_ms().saturating_add(wait_ms));
        if self.buf.is_empty() && self.buf.capacity() > 0 {
            // An idle connection holds no buffer.
            let buf = std::mem::take(&mut self.buf);
            self.shard.give_buffer(buf);
        }
        loop {
            if !self.buf.is_empty() {
                match scanner.scan(&self.buf) {
                    Ok(Some(head_bytes)) => {
                        self.watch.disarm();
                        self.watch.set_idle(false);
                        return Incoming::Head(head_bytes);
                    }
                    Ok(None) => {}
                    Err(reject) => return Incoming::Refuse(reject),
                }
            }
            let begun = !self.buf.is_empty();
            match self.fill().await {
                Ok(n) if n > 0 => {}
                Ok(_) | Err(_) => {
                    return match self.watch.fired() {
                        Fired::Deadline if begun && scanner.has_started() => Incoming::Late,
                        _ => Incoming::Gone,
                    };
                }
            }
            if !begun {
                self.watch.set_idle(false);
                self.watch
                    .arm_read(fd, Shard::now_ms().saturating_add(waiting.head_ms));
            }
        }
    }

    /// Waits for bytes and appends what is there to the buffer; 0 at the end.
    pub(crate) async fn fill(&mut self) -> std::io::Result<usize> {
        loop {
            self.sock.readable().await?;
            let taken = {
                let mut scratch = self.shard.scratch.borrow_mut();
                let taken = self.sock.recv(&mut scratch)?;
                if let Some(n) = taken {
                    if self.buf.capacity() == 0 {
                        self.buf = self.shard.take_buffer();
                    }
                    self.buf.extend_from_slice(scratch.get(..n).unwrap_or_default());
                }
                taken
            };
            if let Some(n) = taken {
                return Ok(n);
            }
        }
    }

    /// What this connection's listener serves.
    pub(crate) fn serves(&self, config: &Config) -> Serves {
        config.serves(&self.listener)
    }

    async fn refuse_unready(&mut self) -> Next {
        let answer = ErrorAnswer::new(ErrorCode::NotReady, "the gateway has no configuration yet");
        self.refuse(ErrorFamily::Plain, &answer, None, Version::Http11)
            .await
    }

    /// Answers with an error of our own and ends the connection.
    pub(crate) async fn refuse(
        &mut self,
        family: ErrorFamily,
        answer: &ErrorAnswer,
        request_id: Option<RequestId>,
        version: Version,
    ) -> Next {
        let id = request_id.unwrap_or_else(|| self.shard.next_request_id());
        let bytes = error_bytes(family, answer, id, version, false);
        if self.write(&bytes).await {
            Next::Linger
        } else {
            Next::Close
        }
    }

    /// Writes everything within the write limit; `false` if the client is gone.
    pub(crate) async fn write(&mut self, bytes: &[u8]) -> bool {
        self.watch.arm_whole(
            self.sock.fd(),
            Shard::now_ms().saturating_add(limits::WRITE_STALL_MS),
        );
        let sent = self.sock.send_all(bytes).await.is_ok();
        self.watch.disarm();
        sent
    }

    /// Says that nothing more comes and throws away what the client still sends, within bounds, so that closing does
    /// not destroy the answer on its way (RFC 9112 §9.6).
    async fn linger(&mut self) {
        self.sock.shutdown_write();
        self.watch
            .arm_read(self.sock.fd(), Shard::now_ms().saturating_add(limits::LINGER_MS));
        let mut thrown_away = 0usize;
        while thrown_away < limits::LINGER_BYTES_MAX {
            self.buf.clear();
            match self.fill().await {
                Ok(0) | Err(_) => return,
                Ok(n) => thrown_away += n,
            }
        }
    }
}

/// A whole error answer.
pub(crate) fn error_bytes(
    family: ErrorFamily,
    answer: &ErrorAnswer,
    id: RequestId,
    version: Version,
    keep_alive: bool,
) -> Vec<u8> {
    let hex = id.hex();
    let id = std::str::from_utf8(&hex).unwrap_or_default();
    let mut body = Vec::with_capacity(256);
    write_error(family, answer, id, &mut body);
    let mut out = Vec::with_capacity(512 + body.len());
    emit::status_line(&mut out, answer.status);
    error_headers(family, answer, id, |name, value| {
        emit::field(&mut out, name.as_bytes(), value.as_bytes());
    });
    emit::content_length(&mut out, body.len() as u64);
    connection(&mut out, version, keep_alive);
    emit::end_head(&mut out);
    out.extend_from_slice(&body);
    out
}

/// The answer to a refused head.
pub(crate) fn rejected(reject: Reject) -> ErrorAnswer {
    let mut answer = ErrorAnswer::new(reject_code(reject), reject.reason()).with_status(reject.status());
    if reject.status() == 405 {
        // What a resource would allow is not known yet: these are all that any does.
        answer.allow = Some("GET, HEAD, POST, PUT, PATCH, DELETE, OPTIONS");
    }
    answer
}

/// The code that stands for a refused head.
fn reject_code(reject: Reject) -> ErrorCode {
    match reject.status() {
        405 => ErrorCode::MethodNotAllowed,
        411 => ErrorCode::LengthRequired,
        413 => ErrorCode::BodyTooLarge,
        414 => ErrorCode::UriTooLong,
        415 => ErrorCode::UnsupportedEncoding,
        417 => ErrorCode::ExpectationFailed,
        426 => ErrorCode::UpgradeRequired,
        431 => ErrorCode::HeadersTooLarge,
        501 => ErrorCode::NotImplemented,
        505 => ErrorCode::HttpVersion,
        _ => ErrorCode::BadHttp,
    }
}
