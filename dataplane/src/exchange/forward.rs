//! Forwarding: a connection, the request out, the first bytes of the answer in.
//!
//! The next candidate is tried only while nothing of an answer has arrived, always from the same original body, and
//! only if no provider can have begun to work: no connection was made, or a pooled connection turned out dead
//! before the peer's kernel had taken a byte. A provider that fails after it has the request is an error, because
//! trying again could pay for the same answer twice.

use std::pin::pin;
use std::rc::Rc;

use sluice_proto::error_body::{ErrorAnswer, ErrorCode};
use sluice_proto::route::Route;
use sluice_proto::splice::{Edit, Edits};
use sluice_shared::usage::Ended;
use smallvec::SmallVec;

use super::budget::{self, Denied};
use super::inspect::{Inspection, Look, Subject};
use super::{Admitted, Head, Live, Prepared, edits_for, expectation, head, refuse_call};
use crate::answer::Answer;
use crate::config::Config;
use crate::downstream::{Downstream, Next};
use crate::limits;
use crate::policy::{Candidate, Verdict};
use crate::shard::{Held, Shard};
use crate::sock::Peek;
use crate::tally::Tally;
use crate::upstream::{self, ConnectError, Read, Upstream};
use crate::wait::{Either, GoneWatch, race, unless_gone, watch_gone};
use crate::watch::Fired;

/// A request as it goes out: the head, with the body behind it if that is small.
struct Message<'a> {
    first: Vec<u8>,
    /// Bytes of `first` that are the head, and hold a provider key.
    head_bytes: usize,
    /// The chunks of a larger body.
    rest: &'a [Vec<u8>],
    edits: &'a Edits,
}

impl Message<'_> {
    /// Gives the buffer up, without the key.
    fn into_buffer(mut self) -> Vec<u8> {
        self.wipe();
        std::mem::take(&mut self.first)
    }

    /// Overwrites the head. By `fill`, some ten nanoseconds, and not byte by byte; the fence keeps the compiler from
    /// leaving it out.
    fn wipe(&mut self) {
        if let Some(head) = self.first.get_mut(..self.head_bytes) {
            head.fill(0);
            std::sync::atomic::compiler_fence(std::sync::atomic::Ordering::SeqCst);
        }
        self.head_bytes = 0;
    }
}

impl Drop for Message<'_> {
    fn drop(&mut self) {
        self.wipe();
    }
}

/// Why an attempt brought no answer.
enum Failed {
    /// No provider has the request: another may be tried.
    TryNext(ErrorAnswer),
    /// It must not be sent to any: this is the answer.
    Refused(ErrorAnswer),
    /// A provider may be working on it: this is the answer.
    Final(ErrorAnswer),
    /// The client left, or was cut.
    Gone,
}

pub(super) async fn run(
    conn: &mut Downstream,
    config: &Rc<Config>,
    head: &Head,
    route: &Route,
    mut tally: Tally,
    mut admitted: Admitted,
) -> Prepared {
    let Some(kind) = tally.record().map(|record| record.api) else {
        return Prepared::Done(Next::Close);
    };
    let mut verdict = admitted.verdict.clone();
    let mut inspection = Inspection::default();
    let mut failure = ErrorAnswer::new(ErrorCode::Internal, "no provider was tried");
    let mut at = 0;
    while let Verdict::Allowed(candidates) = &*verdict
        && let Some(candidate) = candidates.get(at)
    {
        at += 1;
        let spec = &candidate.provider.spec;
        if let Some(record) = tally.record() {
            record.provider.clone_from(&spec.id);
        }
        tally.model_sent.clone_from(&candidate.model);
        tally.release();
        tally.watched(config, Some((&candidate.watch, &*admitted.policy)));
        let subject = Subject {
            conn,
            config,
            head,
            route,
            kind,
        };
        match subject
            .look(&mut tally, &mut admitted, &mut inspection, candidate)
            .await
        {
            Look::Go => {}
            Look::Rerouted => {
                verdict = admitted.verdict.clone();
                at = 0;
                continue;
            }
            Look::Refused(answer) => {
                unsent(config, head, &mut tally, &admitted, &inspection);
                return Prepared::Done(
                    refuse_call(conn, head, kind, tally, &answer, true, Ended::Blocked).await,
                );
            }
            Look::Gone => {
                unsent(config, head, &mut tally, &admitted, &inspection);
                tally.settle(Ended::ClientGone, 0, None, 0);
                return Prepared::Done(Next::Close);
            }
        }
        let clamped = match budget::reserve(conn, config, kind, tally.session(), &admitted, candidate).await {
            Ok(reserved) => {
                if let Some(spend) = reserved.spend {
                    tally.reserve(spend);
                }
                reserved.edits
            }
            Err(Denied::Answer(answer)) => {
                unsent(config, head, &mut tally, &admitted, &inspection);
                return Prepared::Done(
                    refuse_call(conn, head, kind, tally, &answer, true, Ended::Blocked).await,
                );
            }
            Err(Denied::Gone) => {
                unsent(config, head, &mut tally, &admitted, &inspection);
                tally.settle(Ended::ClientGone, 0, None, 0);
                return Prepared::Done(Next::Close);
            }
        };
        if spec.timeouts.total_ms > 0 {
            conn.watch
                .limit_total(Shard::now_ms().saturating_add(spec.timeouts.total_ms));
        }
        let guarded = inspection.edits();
        tally.attempt();
        match attempt(
            conn, config, head, route, &admitted, candidate, clamped, guarded, &mut tally,
        )
        .await
        {
            Ok((upstream, sent_whole, first_bytes)) => {
                let expected = expectation(head, kind, &tally, &admitted, candidate);
                let answer = Answer::new(expected, config.head_limits).captured(tally.tap());
                return Prepared::Live(Box::new(Live {
                    upstream,
                    answer,
                    tally: Some(tally),
                    provider: Some(candidate.provider.clone()),
                    sent_whole,
                    first_bytes,
                    pool_idle_ms: config.limits.pool_idle_ms,
                    pool_idle_count: config.limits.pool_idle_count,
                    first_byte_ms: spec.timeouts.first_byte_ms,
                    idle_ms: spec.timeouts.idle_ms,
                    held: Held::none(&conn.shard.process),
                    held_bytes_max: config.limits.buffer_bytes,
                }));
            }
            Err(Failed::TryNext(answer)) => failure = answer,
            Err(Failed::Refused(answer)) => {
                return Prepared::Done(
                    refuse_call(conn, head, kind, tally, &answer, true, Ended::Blocked).await,
                );
            }
            Err(Failed::Final(answer)) => {
                failure = answer;
                break;
            }
            Err(Failed::Gone) => {
                unsent(config, head, &mut tally, &admitted, &inspection);
                tally.settle(Ended::ClientGone, 0, None, 0);
                return Prepared::Done(Next::Close);
            }
        }
    }
    unsent(config, head, &mut tally, &admitted, &inspection);
    Prepared::Done(refuse_call(conn, head, kind, tally, &failure, true, Ended::UpstreamFailed).await)
}

/// Captures a request that goes no further, with what guardrails have found in it replaced.
fn unsent(config: &Config, head: &Head, tally: &mut Tally, admitted: &Admitted, inspection: &Inspection) {
    // Where it cannot be replaced, nothing of the body is kept.
    let edits = Edits::new(inspection.edits().to_vec());
    let body = edits.iter().flat_map(|edits| edits.pieces(&admitted.body.chunks));
    tally.capture_unsent(config, (&head.bytes, &head.parsed), body);
}

/// Tries one candidate. Whether the request went out whole, and how many bytes of the answer lie in the scratch
/// space, come with the connection.
async fn attempt(
    conn: &mut Downstream,
    config: &Config,
    head: &Head,
    route: &Route,
    admitted: &Admitted,
    candidate: &Candidate,
    clamped: SmallVec<[Edit; 1]>,
    guarded: &[Edit],
    tally: &mut Tally,
) -> Result<(Upstream, bool, usize), Failed> {
    let provider = &candidate.provider;
    let edits =
        edits_for(admitted, candidate, route.model.is_some(), clamped, guarded).map_err(Failed::Final)?;
    let edited = edits
        .len_after(admitted.body.bytes)
        .map_err(|error| Failed::Final(ErrorAnswer::new(ErrorCode::Internal, error.to_string())))?;
    let body_bytes = (head.parsed.framing.has_body() || head.parsed.method.expects_body()).then_some(edited);
    let mut first = conn.shard.take_buffer();
    // Room for all of it at once: a buffer that grows leaves a copy of the key behind.
    let room = head::bytes_max(head, candidate);
    let body_room = usize::try_from(edited).unwrap_or(usize::MAX);
    let body_room = if body_room <= limits::COALESCE_BYTES {
        body_room
    } else {
        0
    };
    first.reserve(room.saturating_add(body_room));
    head::write(
        head,
        route,
        &admitted.asked,
        candidate,
        admitted.withhold_usage || tally.may_cut() || candidate.guards.guards_answers(),
        admitted.own_credential,
        body_bytes,
        &mut first,
    );
    debug_assert!(first.len() <= room, "the head was to fit");
    let head_bytes = first.len();
    let chunks = admitted.body.chunks.as_slice();
    let small = first.len() as u64 + edited <= limits::COALESCE_BYTES as u64;
    if small {
        edits
            .pieces(chunks)
            .for_each(|piece| first.extend_from_slice(piece));
    }
    let message = Message {
        first,
        head_bytes,
        rest: if small { &[] } else { chunks },
        edits: &edits,
    };
    let pooled = conn.shard.pools.borrow_mut().take(provider.pool);
    let mut upstream = match pooled {
        Some(upstream) => {
            conn.shard.metrics.borrow_mut().counts.pool_hits += 1;
            upstream
        }
        None => open(conn, provider).await?,
    };
    let sent = message.first.get(..head_bytes).unwrap_or_default();
    // The draft of the record says whether there is a capture.
    let refused = if !tally.capture_sent(config, candidate, sent, edited) {
        let message = "the call cannot be captured now, and none is served without; try again shortly";
        Some(ErrorAnswer::new(ErrorCode::CaptureUnavailable, message))
    } else if !tally.occupy() {
        let message = "as many requests run as may; try again shortly";
        Some(ErrorAnswer::new(ErrorCode::Overloaded, message))
    } else {
        None
    };
    if let Some(answer) = refused {
        let limits = &config.limits;
        let mut pools = conn.shard.pools.borrow_mut();
        pools.give(
            provider.pool,
            upstream,
            limits.pool_idle_ms,
            limits.pool_idle_count,
        );
        return Err(Failed::Refused(answer));
    }
    let result = loop {
        match once(
            conn,
            &mut upstream,
            &message,
            provider.spec.timeouts.first_byte_ms,
            tally,
        )
        .await
        {
            Ok((sent_whole, first_bytes)) => break Ok((sent_whole, first_bytes)),
            Err(Broken::Gone) => break Err(Failed::Gone),
            Err(Broken::Timeout) => {
                let message = format!("provider {} did not answer in time", provider.spec.id);
                break Err(Failed::Final(ErrorAnswer::new(
                    ErrorCode::UpstreamTimeout,
                    message,
                )));
            }
            Err(Broken::Connection) => {
                if upstream.reused && upstream.nothing_was_taken() {
                    // The keep-alive race: the provider closed while the request was on its way. A reset alone
                    // proves nothing: balancers send one when a provider has long been at work.
                    tally.note_sent(false);
                    conn.shard.pools.borrow_mut().closed(provider.pool);
                    upstream = open(conn, provider).await?;
                    continue;
                }
                let message = format!(
                    "provider {} closed the connection without an answer",
                    provider.spec.id
                );
                break Err(Failed::Final(ErrorAnswer::new(
                    ErrorCode::UpstreamClosed,
                    message,
                )));
            }
        }
    };
    conn.shard.give_buffer(message.into_buffer());
    match result {
        Ok((sent_whole, first_bytes)) => Ok((upstream, sent_whole, first_bytes)),
        Err(failed) => {
            conn.shard.pools.borrow_mut().closed(provider.pool);
            Err(failed)
        }
    }
}

async fn open(conn: &Downstream, provider: &crate::config::Provider) -> Result<Upstream, Failed> {
    let id = &provider.spec.id;
    let most = provider.spec.connections_max;
    if most > 0 && conn.shard.pools.borrow_mut().open(provider.pool) >= most {
        let message = format!("as many requests to provider {id} run as may; try again shortly");
        return Err(Failed::TryNext(ErrorAnswer::new(ErrorCode::Overloaded, message)));
    }
    conn.shard.metrics.borrow_mut().counts.pool_misses += 1;
    let connected = {
        let mut gone = watch_gone(&conn.sock, &conn.watch);
        unless_gone(
            upstream::connect(&conn.shard, provider.place(), &conn.watch),
            &mut gone,
        )
        .await
    };
    conn.watch.disarm();
    match connected {
        None | Some(Err(ConnectError::Cut)) => Err(Failed::Gone),
        Some(Ok(upstream)) => {
            conn.shard.pools.borrow_mut().opened(provider.pool);
            Ok(upstream)
        }
        Some(Err(error)) => {
            conn.shard.metrics.borrow_mut().counts.connect_failures += 1;
            let (code, why) = match error {
                ConnectError::Resolve => (ErrorCode::UpstreamConnect, "its name has no address".to_owned()),
                ConnectError::Refused(error) => (ErrorCode::UpstreamConnect, error.kind().to_string()),
                ConnectError::Timeout => (ErrorCode::UpstreamTimeout, "it did not accept in time".to_owned()),
                ConnectError::Tls(why) => (ErrorCode::UpstreamConnect, format!("TLS failed: {why}")),
                ConnectError::Cut => (ErrorCode::UpstreamConnect, String::new()),
            };
            tracing::warn!(provider = %id, %why, "cannot connect to provider");
            let message = format!("provider {id} cannot be reached: {why}");
            Err(Failed::TryNext(ErrorAnswer::new(code, message)))
        }
    }
}

/// How one try over one connection broke.
enum Broken {
    /// The connection, before any byte of an answer.
    Connection,
    Timeout,
    Gone,
}

/// Sends the request over a connection and, where it could still be sent again, waits for the first bytes of the
/// answer.
async fn once(
    conn: &mut Downstream,
    upstream: &mut Upstream,
    message: &Message<'_>,
    first_byte_ms: u64,
    tally: &Tally,
) -> Result<(bool, usize), Broken> {
    let deadline = if first_byte_ms == 0 {
        u64::MAX
    } else {
        Shard::now_ms().saturating_add(first_byte_ms)
    };
    conn.watch.arm_whole(upstream.sock.fd(), deadline);
    upstream.begin_request();
    let result = {
        let mut gone = watch_gone(&conn.sock, &conn.watch);
        send_and_wait(conn, upstream, message, &mut gone, tally).await
    };
    conn.watch.disarm();
    match (conn.watch.fired(), result) {
        (Fired::Deadline, Err(Broken::Connection)) => Err(Broken::Timeout),
        (Fired::Cut, Err(_)) => Err(Broken::Gone),
        (_, result) => result,
    }
}

async fn send_and_wait(
    conn: &Downstream,
    upstream: &mut Upstream,
    message: &Message<'_>,
    gone: &mut GoneWatch<'_>,
    tally: &Tally,
) -> Result<(bool, usize), Broken> {
    let mut sent_whole = send(upstream, &message.first, gone).await?;
    let tap = tally.tap();
    let mut at = 0;
    if let Some(tap) = tap {
        let body = message.first.get(message.head_bytes..).unwrap_or_default();
        tap.request(at, body);
        at += body.len() as u64;
    }
    // A body is captured whole, also where the provider does not read it to its end.
    if !message.rest.is_empty() && (sent_whole || tap.is_some()) {
        for piece in message.edits.pieces(message.rest) {
            if sent_whole {
                sent_whole = send(upstream, piece, gone).await?;
            } else if tap.is_none() {
                break;
            }
            if let Some(tap) = tap {
                tap.catch_up(piece.len()).await;
                tap.request(at, piece);
                at += piece.len() as u64;
            }
        }
    }
    tally.note_sent(sent_whole);
    if !upstream.reused {
        // Nothing could be tried again, so nothing is kept for it: the relay waits for the answer.
        return Ok((sent_whole, 0));
    }
    loop {
        // An answer that is there already could only be an early one; else the first read would be in vain.
        if unless_gone(upstream.sock.readable(), gone).await.is_none() {
            return Err(Broken::Gone);
        }
        let read = {
            let mut scratch = conn.shard.scratch.borrow_mut();
            let mut cipher = conn.shard.cipher.borrow_mut();
            upstream.read(&mut scratch, &mut cipher)
        };
        match read {
            Ok(Read::Bytes(n)) => return Ok((sent_whole, n)),
            Ok(Read::End) | Err(_) => return Err(Broken::Connection),
            Ok(Read::Nothing) => {}
        }
    }
}

/// Sends a piece of the request. `false`: the provider has begun to answer, or has stopped reading, and the rest need
/// not be sent.
async fn send(upstream: &mut Upstream, mut piece: &[u8], gone: &mut GoneWatch<'_>) -> Result<bool, Broken> {
    loop {
        if piece.is_empty() {
            match upstream.flushed() {
                Ok(true) => return Ok(true),
                Ok(false) => {}
                Err(_) => return Ok(false),
            }
        } else {
            match upstream.write(piece) {
                Ok(0) => {}
                Ok(n) => {
                    piece = piece.get(n..).unwrap_or_default();
                    continue;
                }
                // What the provider said before it closed is still to be read, and decides.
                Err(_) => return Ok(false),
            }
        }
        let wait = async {
            let writable = pin!(upstream.sock.writable());
            let readable = pin!(upstream.sock.readable());
            race(writable, readable).await
        };
        match unless_gone(wait, gone).await {
            None => return Err(Broken::Gone),
            Some(Either::First(_)) => {}
            Some(Either::Second(_)) => match upstream.sock.peek() {
                Peek::Empty => {}
                Peek::Data | Peek::Closed => return Ok(false),
            },
        }
    }
}
