//! One call of a hook.
//!
//! One deadline covers all of it: looking the name up, connecting, sending, and an answer that comes by the byte. It is
//! dropped when that has passed or the client leaves; every wait is for readiness, so nothing is lost with it, and the
//! connection goes with the call unless the answer was read to its end.
//!
//! A pooled connection that breaks before the hook's kernel has taken a byte is replaced by a new one, once. Redirects are
//! answers like others: not 2xx, so a failure.

use std::borrow::Cow;
use std::io;
use std::pin::pin;
use std::time::Duration;

use sluice_proto::hook::{BadReply, Written};
use sluice_proto::http1::{
    BodyDecoder, Framing, HeadLimits, HeadScanner, INTERIM_ANSWERS_MAX, Kind, Method, emit, parse_response,
};
use sluice_proto::splice::Edits;
use zeroize::Zeroizing;

use super::config::Hook;
use crate::downstream::Downstream;
use crate::limits;
use crate::shard::Held;
use crate::sock::Peek;
use crate::upstream::{self, ConnectError, Read, Upstream};
use crate::wait::{race, unless_gone, watch_gone};
use crate::watch::Fired;

/// What a hook is asked.
pub(crate) struct Question<'a> {
    /// The event, for a header.
    pub(crate) event: &'static str,
    /// The request, for a header.
    pub(crate) request_id: &'a str,
    pub(crate) payload: &'a Written,
    /// The request body that goes into the payload; `None`: `null`.
    pub(crate) body: Option<(&'a Edits, &'a [Vec<u8>])>,
    /// Longest answer.
    pub(crate) reply_bytes_max: u64,
    /// Bytes that the process may hold.
    pub(crate) memory_bytes_max: u64,
}

/// Why there is no answer.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Fail {
    /// Not within its time.
    Timeout,
    /// It cannot be reached.
    Connect(Cow<'static, str>),
    /// It closed without an answer, or in the middle of one.
    Closed,
    /// Its answer is no good HTTP.
    Http(&'static str),
    /// Its answer is not 2xx.
    Status(u16),
    /// Its answer is compressed, which was not asked for.
    Encoded,
    /// Its answer is longer than it may be.
    TooLong,
    /// Its answer is no decision.
    Reply(BadReply),
    /// Its decision cannot be carried out.
    Cannot(&'static str),
    /// As many calls of it wait as may, or there is no memory for its answer.
    Busy,
}

impl Fail {
    /// Why, for the record and the log.
    pub(crate) fn reason(&self) -> Cow<'static, str> {
        match self {
            Self::Timeout => "no answer in time".into(),
            Self::Connect(why) => format!("cannot be reached: {why}").into(),
            Self::Closed => "closed the connection without an answer".into(),
            Self::Http(why) => format!("bad HTTP: {why}").into(),
            Self::Status(status) => format!("answered with status {status}").into(),
            Self::Encoded => "the answer is compressed".into(),
            Self::TooLong => "the answer is too long".into(),
            Self::Reply(bad) => bad.to_string().into(),
            Self::Cannot(why) => (*why).into(),
            Self::Busy => "as many calls of it wait as may".into(),
        }
    }
}

impl From<io::Error> for Fail {
    fn from(_: io::Error) -> Self {
        Self::Closed
    }
}

/// The body of an answer, and what it takes of the process's memory.
pub(crate) struct Answered {
    pub(crate) body: Vec<u8>,
    pub(crate) held: Held,
}

/// Calls a hook. `None`: the client left meanwhile, or was cut.
pub(crate) async fn call(
    conn: &Downstream,
    hook: &Hook,
    question: &Question<'_>,
    pool_idle: (u64, u64),
) -> Option<Result<Answered, Fail>> {
    let called = {
        let mut gone = watch_gone(&conn.sock, &conn.watch);
        let bounded = async {
            let called = exchange(conn, hook, question, pool_idle);
            match hook.spec.timeout_ms {
                0 => called.await,
                limit => monoio::time::timeout(Duration::from_millis(limit), called)
                    .await
                    .unwrap_or(Err(Fail::Timeout)),
            }
        };
        unless_gone(bounded, &mut gone).await
    };
    conn.watch.disarm();
    match (conn.watch.fired(), called) {
        (Fired::Cut, _) | (_, None) => None,
        // The limit of the whole exchange.
        (Fired::Deadline, Some(Err(_))) => Some(Err(Fail::Timeout)),
        (_, called) => called,
    }
}

/// A connection for one call. Given up unless it is given back, whatever ends the call.
struct Lent<'a> {
    conn: &'a Downstream,
    pool: usize,
    upstream: Option<Upstream>,
}

impl Drop for Lent<'_> {
    fn drop(&mut self) {
        if let Some(upstream) = self.upstream.take() {
            // The watch must not know a socket that is closed.
            self.conn.watch.disarm();
            drop(upstream);
            self.conn.shard.pools.borrow_mut().closed(self.pool);
        }
    }
}

impl<'a> Lent<'a> {
    fn pooled(conn: &'a Downstream, hook: &Hook) -> Option<Self> {
        let upstream = conn.shard.pools.borrow_mut().take(hook.pool)?;
        Some(Self {
            conn,
            pool: hook.pool,
            upstream: Some(upstream),
        })
    }

    async fn open(conn: &'a Downstream, hook: &Hook) -> Result<Self, Fail> {
        if hook.spec.base.host.is_empty() {
            return Err(Fail::Connect(
                "the document gives it no address that can be used".into(),
            ));
        }
        if conn.shard.pools.borrow_mut().open(hook.pool) >= limits::HOOK_CONNECTIONS_MAX {
            return Err(Fail::Busy);
        }
        // Counted before it is made, so that those that are being made count, too.
        conn.shard.pools.borrow_mut().opened(hook.pool);
        let mut opening = Opening {
            conn,
            pool: hook.pool,
            done: false,
        };
        let connected = upstream::connect(&conn.shard, hook.place(), &conn.watch).await;
        let upstream = connected.map_err(|error| match error {
            ConnectError::Resolve => Fail::Connect("its name has no address".into()),
            ConnectError::Refused(error) => Fail::Connect(error.kind().to_string().into()),
            ConnectError::Timeout => Fail::Timeout,
            ConnectError::Tls(why) => Fail::Connect(format!("TLS failed: {why}").into()),
            ConnectError::Cut => Fail::Closed,
        })?;
        opening.done = true;
        Ok(Self {
            conn,
            pool: hook.pool,
            upstream: Some(upstream),
        })
    }

    fn give_back(mut self, (idle_ms, idle_count): (u64, u64)) {
        if let Some(upstream) = self.upstream.take() {
            self.conn.watch.disarm();
            let mut pools = self.conn.shard.pools.borrow_mut();
            pools.give(self.pool, upstream, idle_ms, idle_count);
        }
    }
}

/// A connection that is being made.
struct Opening<'a> {
    conn: &'a Downstream,
    pool: usize,
    done: bool,
}

impl Drop for Opening<'_> {
    fn drop(&mut self) {
        if !self.done {
            self.conn.watch.disarm();
            self.conn.shard.pools.borrow_mut().closed(self.pool);
        }
    }
}

async fn exchange(
    conn: &Downstream,
    hook: &Hook,
    question: &Question<'_>,
    pool_idle: (u64, u64),
) -> Result<Answered, Fail> {
    let message = Message::new(hook, question);
    let mut lent = match Lent::pooled(conn, hook) {
        Some(lent) => lent,
        None => Lent::open(conn, hook).await?,
    };
    loop {
        let Some(upstream) = &mut lent.upstream else {
            return Err(Fail::Closed);
        };
        conn.watch.arm_whole(upstream.sock.fd(), u64::MAX);
        upstream.begin_request();
        match once(conn, upstream, &message, question).await {
            Ok((answered, reusable)) => {
                if reusable {
                    lent.give_back(pool_idle);
                }
                return Ok(answered);
            }
            Err(Broken::Silent) if upstream.reused && upstream.nothing_was_taken() => {
                drop(lent);
                lent = Lent::open(conn, hook).await?;
            }
            Err(Broken::Silent) => return Err(Fail::Closed),
            Err(Broken::Fail(fail)) => return Err(fail),
        }
    }
}

/// A request: what goes out first, the body that is not ours, what goes out last.
struct Message<'a> {
    /// Holds the hook's key.
    first: Zeroizing<Vec<u8>>,
    body: Option<(&'a Edits, &'a [Vec<u8>])>,
    last: &'static [u8],
}

impl<'a> Message<'a> {
    fn new(hook: &Hook, question: &Question<'a>) -> Self {
        let written = question.payload;
        let (body, last) = match written.after {
            None => (None, &[][..]),
            Some(last) => (question.body, last),
        };
        let body_bytes = match (written.after, body) {
            (None, _) => 0,
            (Some(_), None) => NULL.len() as u64,
            (Some(_), Some((edits, chunks))) => {
                let bytes: u64 = chunks.iter().map(|chunk| chunk.len() as u64).sum();
                // An edit beyond the end would be a fault of ours; the hook then sees the body as it came.
                edits.len_after(bytes).unwrap_or(bytes)
            }
        };
        let length = (written.before.len() as u64)
            .saturating_add(body_bytes)
            .saturating_add(last.len() as u64);
        let small = body.filter(|_| length <= limits::COALESCE_BYTES as u64);
        let room = if small.is_some() || body.is_none() {
            usize::try_from(length).unwrap_or(usize::MAX)
        } else {
            written.before.len()
        };
        // Room for all of it at once: a buffer that grows leaves a copy of the key behind.
        let mut first = Zeroizing::new(Vec::with_capacity(
            hook.head.len().saturating_add(room).saturating_add(256),
        ));
        first.extend_from_slice(&hook.head);
        emit::field(&mut first, b"x-sluice-event", question.event.as_bytes());
        emit::field(&mut first, b"x-sluice-request-id", question.request_id.as_bytes());
        emit::content_length(&mut first, length);
        emit::end_head(&mut first);
        first.extend_from_slice(&written.before);
        match (written.after, body, small) {
            (None, _, _) => {}
            (Some(_), None, _) => {
                first.extend_from_slice(NULL);
                first.extend_from_slice(last);
            }
            (Some(_), Some(_), Some((edits, chunks))) => {
                edits
                    .pieces(chunks)
                    .for_each(|piece| first.extend_from_slice(piece));
                first.extend_from_slice(last);
            }
            (Some(_), Some(_), None) => return Self { first, body, last },
        }
        Self {
            first,
            body: None,
            last: &[],
        }
    }
}

/// Stands for a request without a body that is JSON.
const NULL: &[u8] = b"null";

/// How one try over one connection broke.
enum Broken {
    /// Before any byte of an answer.
    Silent,
    Fail(Fail),
}

async fn once(
    conn: &Downstream,
    upstream: &mut Upstream,
    message: &Message<'_>,
    question: &Question<'_>,
) -> Result<(Answered, bool), Broken> {
    let mut whole = send(upstream, &message.first).await;
    if whole && let Some((edits, chunks)) = message.body {
        for piece in edits.pieces(chunks) {
            if !send(upstream, piece).await {
                whole = false;
                break;
            }
        }
    }
    whole = whole && send(upstream, message.last).await;
    let (answered, reusable) = receive(conn, upstream, question).await?;
    Ok((answered, reusable && whole))
}

/// Sends a piece. `false`: the hook has begun to answer or to close, and what it says decides.
async fn send(upstream: &mut Upstream, mut piece: &[u8]) -> bool {
    loop {
        if piece.is_empty() {
            match upstream.flushed() {
                Ok(true) => return true,
                Ok(false) => {}
                Err(_) => return false,
            }
        } else {
            match upstream.write(piece) {
                Ok(0) => {}
                Ok(n) => {
                    piece = piece.get(n..).unwrap_or_default();
                    continue;
                }
                Err(_) => return false,
            }
        }
        let writable = pin!(upstream.sock.writable());
        let readable = pin!(upstream.sock.readable());
        race(writable, readable).await;
        match upstream.sock.peek() {
            Peek::Empty => {}
            Peek::Data | Peek::Closed => return false,
        }
    }
}

/// What is read of an answer.
enum Stage {
    Head(HeadScanner),
    Body(BodyDecoder, bool),
}

/// Reads an answer. Returns its body and whether the connection can be used again.
async fn receive(
    conn: &Downstream,
    upstream: &mut Upstream,
    question: &Question<'_>,
) -> Result<(Answered, bool), Broken> {
    let limits = HeadLimits::default();
    let mut stage = Stage::Head(HeadScanner::new(Kind::Response, limits));
    let mut pending: Vec<u8> = Vec::new();
    let mut interim = 0;
    let mut answered = Answered {
        body: Vec::new(),
        held: Held::none(&conn.shard.process),
    };
    let mut silent = true;
    loop {
        if !upstream.has_buffered() && upstream.sock.readable().await.is_err() {
            return Err(if silent {
                Broken::Silent
            } else {
                Broken::Fail(Fail::Closed)
            });
        }
        let read = {
            let mut scratch = conn.shard.scratch.borrow_mut();
            let mut cipher = conn.shard.cipher.borrow_mut();
            let read = upstream.read(&mut scratch, &mut cipher);
            if let Ok(Read::Bytes(n)) = read {
                pending.extend_from_slice(scratch.get(..n).unwrap_or_default());
            }
            read
        };
        match read {
            Ok(Read::Nothing) => continue,
            Ok(Read::Bytes(_)) => silent = false,
            Ok(Read::End) => {
                let Stage::Body(decoder, _) = &mut stage else {
                    return Err(if silent {
                        Broken::Silent
                    } else {
                        Broken::Fail(Fail::Closed)
                    });
                };
                decoder.finish_eof().map_err(|_| Broken::Fail(Fail::Closed))?;
                return Ok((answered, false));
            }
            Err(_) => {
                return Err(if silent {
                    Broken::Silent
                } else {
                    Broken::Fail(Fail::Closed)
                });
            }
        }
        while let Stage::Head(scanner) = &mut stage {
            let found = scanner.scan(&pending);
            let found = found.map_err(|reject| Broken::Fail(Fail::Http(reject.reason())))?;
            let Some(head_bytes) = found else { break };
            let head = pending.get(..head_bytes).unwrap_or_default();
            let parsed = parse_response(head, Method::Post, &limits);
            let parsed = parsed.map_err(|bad| Broken::Fail(Fail::Http(bad.reason())))?;
            if parsed.is_interim() {
                interim += 1;
                if interim > INTERIM_ANSWERS_MAX {
                    return Err(Broken::Fail(Fail::Http("too many interim answers")));
                }
                pending.drain(..head_bytes);
                scanner.reset();
                continue;
            }
            if !(200..=299).contains(&parsed.status) {
                return Err(Broken::Fail(Fail::Status(parsed.status)));
            }
            let encoding = parsed.headers.find(head, "content-encoding");
            if encoding.is_some_and(|value| !value.eq_ignore_ascii_case(b"identity")) {
                return Err(Broken::Fail(Fail::Encoded));
            }
            if let Framing::Length(length) = parsed.framing
                && length > question.reply_bytes_max
            {
                return Err(Broken::Fail(Fail::TooLong));
            }
            stage = Stage::Body(BodyDecoder::new(parsed.framing), parsed.keep_alive);
            pending.drain(..head_bytes);
        }
        if let Stage::Body(decoder, keep_alive) = &mut stage {
            let decoded = decoder
                .decode_in_place(&mut pending)
                .map_err(|error| Broken::Fail(Fail::Http(error.reason())))?;
            let piece = pending.get(..decoded.body).unwrap_or_default();
            answered.add(piece, question)?;
            let left = pending.len().saturating_sub(decoded.consumed);
            if decoder.is_done() {
                // Bytes behind the end belong to nobody's request.
                return Ok((answered, *keep_alive && left == 0));
            }
            pending.drain(..decoded.consumed.min(pending.len()));
        }
    }
}

impl Answered {
    fn add(&mut self, piece: &[u8], question: &Question<'_>) -> Result<(), Broken> {
        let more = piece.len() as u64;
        if (self.body.len() as u64).saturating_add(more) > question.reply_bytes_max {
            return Err(Broken::Fail(Fail::TooLong));
        }
        if !self.held.grow(more, question.memory_bytes_max) {
            return Err(Broken::Fail(Fail::Busy));
        }
        self.body.extend_from_slice(piece);
        Ok(())
    }
}
