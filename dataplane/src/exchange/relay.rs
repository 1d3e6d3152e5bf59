//! The answer on its way: read what is there, pass it on at once, look at it in passing.
//!
//! One turn is one read and one write; nothing is held back except an unfinished usage chunk. A client that stops
//! reading stops the reading from the provider: at most one read's worth of bytes waits for it. Guardrails hold back what
//! may be the beginning of what they look for, and wake the relay when its time is up.
//!
//! A stream that has used its budget up is cut where the quota says so: behind a whole event, with the news as the last
//! one. The provider's connection is closed before that is sent.

use std::pin::pin;

use sluice_proto::error_body::{
    ErrorAnswer, ErrorCode, ErrorFamily, StreamFraming, write_error, write_stream_error,
};
use sluice_proto::guard::stream::Step;
use sluice_proto::http1::Version;
use sluice_shared::units::MonoMicros;
use sluice_shared::usage::Ended;

use super::Live;
use crate::answer::{Answer, Cut, Fault};
use crate::clock;
use crate::downstream::{Downstream, Next, error_bytes};
use crate::limits;
use crate::shard::{Held, Shard};
use crate::tally::Tally;
use crate::upstream::Read;
use crate::wait::{Either, GoneWatch, race, unless_gone, watch_gone};
use crate::watch::Fired;

/// How stale the in-flight table may be while a stream runs, in microseconds.
const NOTE_US: u64 = 50_000;

/// How the relay ended.
enum End {
    /// The whole answer has been handed to the client's socket.
    Complete,
    /// The client left.
    ClientGone,
    /// The provider failed.
    Upstream(Failure),
    /// A revocation or the end of the process.
    Cut,
    /// Guardrails let it go no further.
    Guarded {
        answer: ErrorAnswer,
        /// The last that the client gets, where the answer had begun.
        bytes: Vec<u8>,
        /// They say why.
        told: bool,
    },
    /// A budget is used up.
    Budget {
        /// The last that the client gets.
        bytes: Vec<u8>,
        /// They say why.
        told: bool,
    },
}

enum Failure {
    Fault(Fault),
    Connection,
    Timeout,
}

pub(super) async fn run(conn: &mut Downstream, mut live: Box<Live>) -> Next {
    let end = pass(conn, &mut live).await;
    conn.watch.disarm();
    conn.watch.limit_total(u64::MAX);
    match finish(conn, live, end) {
        Finished::Next(next) => next,
        Finished::Answer { bytes, keep_alive } => match (conn.write(&bytes).await, keep_alive) {
            (true, true) => Next::KeepAlive,
            _ => Next::Close,
        },
        Finished::Cut { bytes, next } => {
            conn.write(&bytes).await;
            next
        }
    }
}

/// What is left to do when the books are closed.
enum Finished {
    Next(Next),
    /// No answer had begun: this error takes its place.
    Answer {
        bytes: Vec<u8>,
        keep_alive: bool,
    },
    /// The last of an answer that goes no further.
    Cut {
        bytes: Vec<u8>,
        next: Next,
    },
}

async fn pass(conn: &Downstream, live: &mut Live) -> End {
    let mut gone = watch_gone(&conn.sock, &conn.watch);
    let mut n = live.first_bytes;
    let mut now = clock::mono_now();
    let mut noted = now;
    let mut body_noted = false;
    let mut turns = 0u64;
    loop {
        if n > 0 {
            // What was read lies in the scratch space; `out` takes what the client gets.
            let (fault, sent) = {
                let mut scratch = conn.shard.scratch.borrow_mut();
                let mut out = conn.shard.out.borrow_mut();
                out.clear();
                let bytes = scratch.get_mut(..n).unwrap_or_default();
                live.answer.now_ms = Shard::now_ms();
                let fault = live.answer.push(bytes, &mut out).err();
                if let Some(end) = stopped(live, &mut out) {
                    return end;
                }
                if live.answer.is_done() && fault.is_none() {
                    settle_complete(live, now);
                } else {
                    // The first bytes of the body, too: they often say what the prompt took.
                    let begins = !body_noted && live.answer.body_bytes > 0;
                    let due = turns == 0 || begins || now.since(noted) >= NOTE_US;
                    if due {
                        noted = now;
                        body_noted = live.answer.body_bytes > 0;
                        note(live, now);
                    }
                    if fault.is_none()
                        && (due || live.answer.is_cuttable())
                        && let Some(told) = over_budget(conn, live, &mut out)
                    {
                        let bytes = out.to_vec();
                        return End::Budget { bytes, told };
                    }
                }
                // After a fault before the head there is nothing to send; after it, what came before is still good.
                (fault, send_now(conn, &out))
            };
            turns += 1;
            match turns {
                1 => conn
                    .shard
                    .metrics
                    .borrow_mut()
                    .overhead
                    .add(clock::mono_now().since(now)),
                // A stream: many small segments one way, which need no acknowledgement each.
                2 => live.upstream.sock.delay_acks(),
                _ => {}
            }
            match sent {
                Sent::All => {}
                Sent::Rest(rest) => {
                    if let Some(end) = send_rest(conn, rest).await {
                        return end;
                    }
                }
                Sent::Broken => return End::ClientGone,
            }
            if let Some(fault) = fault {
                return End::Upstream(Failure::Fault(fault));
            }
            if live.answer.is_done() {
                return End::Complete;
            }
        }
        n = match next_bytes(conn, live, &mut gone).await {
            Ok(Came::Bytes(n)) => n,
            Ok(Came::Time) => match expire(conn, live).await {
                None => {
                    n = 0;
                    continue;
                }
                Some(end) => return end,
            },
            Err(end) => return end,
        };
        let before = std::mem::replace(&mut now, clock::mono_now());
        if turns > 0 {
            conn.shard.metrics.borrow_mut().event_gap.add(now.since(before));
        }
    }
}

/// What a running answer waited for.
enum Came {
    /// So many bytes; they lie in the scratch space.
    Bytes(usize),
    /// What guardrails hold is to be judged as it stands.
    Time,
}

/// Judges what guardrails hold as it stands, and sends what passes.
async fn expire(conn: &Downstream, live: &mut Live) -> Option<End> {
    let sent = {
        let mut out = conn.shard.out.borrow_mut();
        out.clear();
        live.answer.expire(&mut out);
        if let Some(end) = stopped(live, &mut out) {
            return Some(end);
        }
        send_now(conn, &out)
    };
    match sent {
        Sent::All => None,
        Sent::Rest(rest) => send_rest(conn, rest).await,
        Sent::Broken => Some(End::ClientGone),
    }
}

/// Ends an answer that guardrails let go no further, or for which there is no memory to look at it.
fn stopped(live: &mut Live, out: &mut Vec<u8>) -> Option<End> {
    let held = u64::try_from(live.answer.held_bytes()).unwrap_or(u64::MAX);
    let answer = match live.answer.stopped() {
        None if live.held.resize(held, live.held_bytes_max) => return None,
        None => ErrorAnswer::new(
            ErrorCode::Overloaded,
            "the gateway holds as many bytes of bodies as it may; try again shortly",
        ),
        Some(Step::Unreadable { why }) => {
            let message = format!("a guardrail wants the answer read, and {why}");
            ErrorAnswer::new(ErrorCode::GuardrailBlocked, message).with_status(502)
        }
        Some(Step::Blocked { message }) => ErrorAnswer::new(ErrorCode::GuardrailBlocked, message.clone()),
        Some(Step::Go) => return None,
    };
    if !live.answer.has_begun() {
        return Some(End::Guarded {
            answer,
            bytes: Vec::new(),
            told: false,
        });
    }
    let tally = live.tally.as_mut()?;
    let kind = tally.record()?.api;
    let request_id = tally.request_id.to_string();
    let cut = live.answer.stop(out, |framing, out| match framing {
        StreamFraming::JsonArray => {
            write_error(kind.error_family(), &answer, &request_id, out);
            true
        }
        framing => write_stream_error(kind, framing, &answer, &request_id, out),
    });
    Some(End::Guarded {
        answer,
        bytes: out.to_vec(),
        told: cut == Cut::Told,
    })
}

/// Puts what guardrails found into the record.
fn judged(live: &mut Answer, tally: &mut Tally) {
    for verdict in live.take_verdicts() {
        tally.judged(verdict);
    }
}

/// Waits for the next bytes of the answer and reads them into the scratch space.
async fn next_bytes(conn: &Downstream, live: &mut Live, gone: &mut GoneWatch<'_>) -> Result<Came, End> {
    loop {
        let patience = if live.answer.is_heard() {
            live.idle_ms
        } else {
            live.first_byte_ms
        };
        let deadline = if patience == 0 {
            u64::MAX
        } else {
            Shard::now_ms().saturating_add(patience)
        };
        conn.watch.arm_whole(live.upstream.sock.fd(), deadline);
        // Decrypted bytes may wait although the socket is silent.
        if !live.upstream.has_buffered() {
            let come = match live.answer.held_until_ms() {
                None => unless_gone(live.upstream.sock.readable(), gone).await.is_some(),
                Some(until_ms) => {
                    let readable = pin!(live.upstream.sock.readable());
                    let alarm = pin!(conn.watch.alarm(until_ms));
                    match unless_gone(race(readable, alarm), gone).await {
                        Some(Either::Second(())) => return Ok(Came::Time),
                        Some(Either::First(_)) => true,
                        None => false,
                    }
                }
            };
            if !come {
                return Err(End::ClientGone);
            }
        }
        let read = {
            let mut scratch = conn.shard.scratch.borrow_mut();
            let mut cipher = conn.shard.cipher.borrow_mut();
            live.upstream.read(&mut scratch, &mut cipher)
        };
        match read {
            Ok(Read::Bytes(n)) => return Ok(Came::Bytes(n)),
            Ok(Read::Nothing) => {}
            Ok(Read::End) | Err(_) => {
                return Err(match conn.watch.fired() {
                    Fired::Cut => End::Cut,
                    Fired::Deadline => End::Upstream(Failure::Timeout),
                    Fired::No if matches!(read, Ok(Read::End)) => end_of_stream(conn, live).await,
                    Fired::No => End::Upstream(Failure::Connection),
                });
            }
        }
    }
}

/// The provider has closed: the end of a body that ends so, or a failure.
async fn end_of_stream(conn: &Downstream, live: &mut Live) -> End {
    let sent = {
        let mut out = conn.shard.out.borrow_mut();
        out.clear();
        if live.answer.finish_eof(&mut out).is_err() {
            // What had come was good; it was not all.
            return End::Upstream(Failure::Connection);
        }
        if let Some(end) = stopped(live, &mut out) {
            return end;
        }
        settle_complete(live, clock::mono_now());
        send_now(conn, &out)
    };
    match sent {
        Sent::All => End::Complete,
        Sent::Rest(rest) => send_rest(conn, rest).await.unwrap_or(End::Complete),
        Sent::Broken => End::ClientGone,
    }
}

/// Writes the record of a complete answer: before its last bytes go out.
fn settle_complete(live: &mut Live, now: MonoMicros) {
    let outcome = live.answer.take_outcome(false);
    let (status, bytes) = (live.answer.status, live.answer.body_bytes);
    if let Some(tally) = &mut live.tally {
        judged(&mut live.answer, tally);
        tally.first_byte(status, now);
        tally.settle(Ended::Complete, status, outcome, bytes);
    }
}

/// Keeps the in-flight table up to date.
fn note(live: &mut Live, now: MonoMicros) {
    let (status, bytes) = (live.answer.status, live.answer.body_bytes);
    if let (Some(tally), Some(meter)) = (&mut live.tally, live.answer.meter()) {
        if bytes > 0 {
            tally.first_byte(status, now);
        }
        tally.so_far(meter.so_far(), bytes, now);
    }
}

/// Reserves what the answer has used beyond its reservation. If a stream must end for it, ends it in `out` and returns
/// whether the client is told.
fn over_budget(conn: &Downstream, live: &mut Live, out: &mut Vec<u8>) -> Option<bool> {
    let tally = live.tally.as_mut()?;
    let meter = live.answer.meter()?;
    let quota = tally.keep_pace(meter.so_far(), live.answer.body_bytes)?;
    // What ended by itself needs no end.
    if meter.at_end_marker() || !live.answer.is_cuttable() {
        return None;
    }
    let kind = tally.record()?.api;
    let request_id = tally.request_id.to_string();
    let bucket = tally.bucket_name(&quota);
    let message = format!("quota exceeded: {bucket} is used up; the answer ends here");
    let news = ErrorAnswer::new(ErrorCode::QuotaExceeded, message);
    let cut = live.answer.cut(out, |framing, out| {
        write_stream_error(kind, framing, &news, &request_id, out)
    });
    if cut == Cut::NotYet {
        return None;
    }
    conn.shard.metrics.borrow_mut().quotas.cut(&quota);
    tracing::warn!(%bucket, request = %request_id, "quota used up: an answer was cut");
    Some(cut == Cut::Told)
}

enum Sent {
    All,
    /// The socket took a part only; this is the rest, which with TLS may be empty and still on its way.
    Rest(Vec<u8>),
    Broken,
}

fn send_now(conn: &Downstream, out: &[u8]) -> Sent {
    if out.is_empty() {
        return Sent::All;
    }
    match conn.sock.send(out) {
        Ok(Some(n)) if n == out.len() && conn.sock.is_flushed() => Sent::All,
        Ok(taken) => {
            let rest = out.get(taken.unwrap_or(0)..).unwrap_or_default();
            Sent::Rest(rest.to_vec())
        }
        Err(_) => Sent::Broken,
    }
}

/// Sends what the client's socket did not take at once; the provider is not read meanwhile.
async fn send_rest(conn: &Downstream, rest: Vec<u8>) -> Option<End> {
    let mut held = Held::none(&conn.shard.process);
    // Counted, not refused: the bytes are there already.
    let _ = held.grow(rest.len() as u64, u64::MAX);
    conn.watch.arm_whole(
        conn.sock.fd(),
        Shard::now_ms().saturating_add(limits::WRITE_STALL_MS),
    );
    let sent = conn.sock.send_all(&rest).await;
    conn.watch.disarm();
    match (sent, conn.watch.fired()) {
        (Ok(()), Fired::No) => None,
        (_, Fired::Cut) => Some(End::Cut),
        (_, Fired::Deadline) | (Err(_), Fired::No) => Some(End::ClientGone),
    }
}

fn finish(conn: &Downstream, live: Box<Live>, end: End) -> Finished {
    let Live {
        upstream,
        mut answer,
        mut tally,
        provider,
        sent_whole,
        pool_idle_ms,
        pool_idle_count,
        ..
    } = *live;
    let reusable = matches!(end, End::Complete) && answer.reusable && sent_whole;
    if let Some(provider) = &provider {
        let mut pools = conn.shard.pools.borrow_mut();
        if reusable {
            pools.give(provider.pool, upstream, pool_idle_ms, pool_idle_count);
        } else {
            pools.closed(provider.pool);
            drop(upstream);
        }
    }
    let at_end = answer
        .meter()
        .is_some_and(sluice_proto::meter::Meter::at_end_marker);
    let cut = !at_end;
    let (status, bytes) = (answer.status, answer.body_bytes);
    match end {
        End::Complete if answer.client_keep_alive => Finished::Next(Next::KeepAlive),
        End::Complete => Finished::Next(Next::Close),
        End::ClientGone | End::Cut => {
            let settled = answer.is_done() && answer.meter().is_none();
            if let Some(tally) = &mut tally {
                // A client may hang up as soon as it has seen the stream's own end: that is a finished request.
                let ended = if at_end {
                    Ended::Complete
                } else {
                    Ended::ClientGone
                };
                if settled {
                    tally.amend(Ended::ClientGone);
                } else {
                    judged(&mut answer, tally);
                    tally.settle(ended, status, answer.take_outcome(cut), bytes);
                }
            }
            Finished::Next(if matches!(end, End::Cut) {
                Next::Abort
            } else {
                Next::Close
            })
        }
        End::Guarded {
            answer: reply,
            bytes,
            told,
        } => guarded(conn, answer, tally, &reply, bytes, told),
        End::Budget { bytes, told } => {
            let sent = answer.body_bytes;
            if let Some(tally) = &mut tally {
                if let Some(record) = tally.record() {
                    record.error = Some(ErrorCode::QuotaExceeded.name().to_owned());
                }
                judged(&mut answer, tally);
                let outcome = answer.take_outcome(true);
                tally.settle(Ended::CutByQuota, status, outcome, sent);
            }
            let next = if told {
                Next::Close
            } else {
                conn.sock.withhold_goodbye();
                if answer.close_delimited {
                    Next::Abort
                } else {
                    Next::Close
                }
            };
            Finished::Cut { bytes, next }
        }
        End::Upstream(failure) => {
            let begun = answer.has_begun();
            // What guardrails hold was good as far as it came.
            let mut last = Vec::new();
            if begun {
                answer.expire(&mut last);
            }
            let bytes = answer.body_bytes;
            let (code, why) = match failure {
                Failure::Fault(fault) => (ErrorCode::UpstreamBadAnswer, fault.reason()),
                Failure::Connection => (ErrorCode::UpstreamClosed, "the provider broke the connection"),
                Failure::Timeout if begun => (ErrorCode::UpstreamTimeout, "the provider fell silent"),
                Failure::Timeout => (ErrorCode::UpstreamTimeout, "the provider did not answer in time"),
            };
            let id = provider.as_ref().map_or("", |p| p.spec.id.as_str());
            tracing::warn!(provider = id, why, "an answer was cut short");
            let reply = ErrorAnswer::new(code, format!("provider {id}: {why}"));
            let request_id = tally
                .as_ref()
                .map_or_else(|| conn.shard.next_request_id(), |t| t.request_id);
            let mut family = ErrorFamily::Plain;
            if let Some(record) = tally.as_mut().and_then(Tally::record) {
                family = record.api.error_family();
                record.error = Some(code.name().to_owned());
            }
            let message = error_bytes(
                family,
                &reply,
                request_id,
                Version::Http11,
                answer.client_keep_alive,
            );
            if let Some(tally) = &mut tally {
                if !begun {
                    tally.capture_own_answer(reply.status, &message);
                }
                let status = if begun { status } else { reply.status };
                judged(&mut answer, tally);
                let outcome = answer.take_outcome(true);
                tally.settle(Ended::UpstreamFailed, status, outcome, bytes);
            }
            if begun {
                conn.sock.withhold_goodbye();
                // No last chunk, fewer bytes than announced: an HTTP client sees the break. Only a body that ends
                // with its connection needs a reset to show it.
                let next = if answer.close_delimited {
                    Next::Abort
                } else {
                    Next::Close
                };
                return Finished::Cut { bytes: last, next };
            }
            Finished::Answer {
                bytes: message,
                keep_alive: answer.client_keep_alive,
            }
        }
    }
}

/// Closes the books on an answer that guardrails have ended.
fn guarded(
    conn: &Downstream,
    mut answer: Answer,
    tally: Option<Tally>,
    reply: &ErrorAnswer,
    bytes: Vec<u8>,
    told: bool,
) -> Finished {
    let begun = answer.has_begun();
    let request_id = tally
        .as_ref()
        .map_or_else(|| conn.shard.next_request_id(), |t| t.request_id);
    let mut family = ErrorFamily::Plain;
    let mut message = Vec::new();
    if let Some(mut tally) = tally {
        if let Some(record) = tally.record() {
            family = record.api.error_family();
            record.error = Some(reply.code.name().to_owned());
        }
        if !begun {
            message = error_bytes(
                family,
                reply,
                request_id,
                Version::Http11,
                answer.client_keep_alive,
            );
            tally.capture_own_answer(reply.status, &message);
        }
        tracing::warn!(request = %request_id, "a guardrail ended an answer");
        judged(&mut answer, &mut tally);
        let (status, sent) = if begun {
            tally.first_byte(answer.status, clock::mono_now());
            (answer.status, answer.body_bytes)
        } else {
            (reply.status, 0)
        };
        let whole = answer.is_whole();
        let outcome = answer.take_outcome(!whole);
        tally.settle(Ended::Blocked, status, outcome, sent);
    }
    if !begun {
        return Finished::Answer {
            bytes: message,
            keep_alive: answer.client_keep_alive,
        };
    }
    let next = if told {
        Next::Close
    } else {
        conn.sock.withhold_goodbye();
        if answer.close_delimited {
            Next::Abort
        } else {
            Next::Close
        }
    };
    Finished::Cut { bytes, next }
}
