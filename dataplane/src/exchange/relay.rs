//! The answer on its way: read what is there, pass it on at once, look at it in passing.
//!
//! One turn is one read and one write; nothing is held back except an unfinished usage chunk. A client that stops
//! reading stops the reading from the provider: at most one read's worth of bytes waits for it.
//!
//! A stream that has used its budget up is cut where the quota says so: behind a whole event, with the news as the last
//! one. The provider's connection is closed before that is sent.

use sluice_proto::error_body::{ErrorAnswer, ErrorCode, ErrorFamily, write_stream_error};
use sluice_proto::http1::Version;
use sluice_shared::units::MonoMicros;
use sluice_shared::usage::Ended;

use super::Live;
use crate::answer::{Cut, Fault};
use crate::clock;
use crate::downstream::{Downstream, Next, error_bytes};
use crate::limits;
use crate::shard::{Held, Shard};
use crate::upstream::Read;
use crate::wait::{GoneWatch, unless_gone, watch_gone};
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
                let fault = live.answer.push(bytes, &mut out).err();
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
            Ok(n) => n,
            Err(end) => return end,
        };
        let before = std::mem::replace(&mut now, clock::mono_now());
        if turns > 0 {
            conn.shard.metrics.borrow_mut().event_gap.add(now.since(before));
        }
    }
}

/// Waits for the next bytes of the answer and reads them into the scratch space.
async fn next_bytes(conn: &Downstream, live: &mut Live, gone: &mut GoneWatch<'_>) -> Result<usize, End> {
    loop {
        let patience = if live.answer.has_begun() {
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
        if !live.upstream.has_buffered() && unless_gone(live.upstream.sock.readable(), gone).await.is_none() {
            return Err(End::ClientGone);
        }
        let read = {
            let mut scratch = conn.shard.scratch.borrow_mut();
            let mut cipher = conn.shard.cipher.borrow_mut();
            live.upstream.read(&mut scratch, &mut cipher)
        };
        match read {
            Ok(Read::Bytes(n)) => return Ok(n),
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
                    tally.settle(ended, status, answer.take_outcome(cut), bytes);
                }
            }
            Finished::Next(if matches!(end, End::Cut) {
                Next::Abort
            } else {
                Next::Close
            })
        }
        End::Budget { bytes, told } => {
            let sent = answer.body_bytes;
            if let Some(tally) = &mut tally {
                if let Some(record) = tally.record() {
                    record.error = Some(ErrorCode::QuotaExceeded.name().to_owned());
                }
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
            if let Some(tally) = &mut tally {
                if let Some(record) = tally.record() {
                    family = record.api.error_family();
                    record.error = Some(code.name().to_owned());
                }
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
                let outcome = answer.take_outcome(true);
                tally.settle(Ended::UpstreamFailed, status, outcome, bytes);
            }
            if begun {
                conn.sock.withhold_goodbye();
                // No last chunk, fewer bytes than announced: an HTTP client sees the break. Only a body that ends
                // with its connection needs a reset to show it.
                return Finished::Next(if answer.close_delimited {
                    Next::Abort
                } else {
                    Next::Close
                });
            }
            Finished::Answer {
                bytes: message,
                keep_alive: answer.client_keep_alive,
            }
        }
    }
}
