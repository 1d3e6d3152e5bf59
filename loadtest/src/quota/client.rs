//! One client: it asks, reads, and leaves when it was told to.

use std::net::SocketAddr;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;

use super::plan::{Leave, Plan};
use crate::answer::parse;

/// How long any one answer may take; only what hangs takes so long.
const ANSWER_LIMIT: Duration = Duration::from_secs(60);
const ANSWER_BYTES_MAX: usize = 16 << 20;

/// What came of a request, as its client saw it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Outcome {
    /// The whole answer, to its last event.
    Complete,
    /// Another status than 200.
    Refused {
        status: u16,
        retry_after_s: Option<u64>,
        /// Beginning of the body.
        text: String,
    },
    /// No answer, or a part of one.
    Broken(String),
    /// The client left, as it had meant to.
    Left,
}

/// A request that is over.
#[derive(Clone, Debug)]
pub(super) struct Told {
    pub(super) number: u64,
    /// Before the connection was made, in Unix microseconds.
    pub(super) begun_us: u64,
    /// When it was over for the client.
    pub(super) ended_us: u64,
    pub(super) outcome: Outcome,
}

impl Told {
    /// Refused because of a budget.
    pub(super) fn over_budget(&self) -> bool {
        matches!(self.outcome, Outcome::Refused { status: 429, .. })
    }
}

pub(super) fn unix_us() -> u64 {
    let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    u64::try_from(since.as_micros()).unwrap_or(u64::MAX)
}

/// Plays one request.
pub(super) async fn play(gateway: SocketAddr, plan: &Plan) -> Told {
    let begun_us = unix_us();
    let outcome = match tokio::time::timeout(ANSWER_LIMIT, ask(gateway, plan)).await {
        Ok(Ok(outcome)) => outcome,
        Ok(Err(error)) => Outcome::Broken(error.kind().to_string()),
        Err(_) => Outcome::Broken(format!("no end within {ANSWER_LIMIT:?}")),
    };
    Told {
        number: plan.number,
        begun_us,
        ended_us: unix_us(),
        outcome,
    }
}

async fn ask(gateway: SocketAddr, plan: &Plan) -> std::io::Result<Outcome> {
    let mut stream = TcpStream::connect(gateway).await?;
    stream.set_nodelay(true)?;
    let asked = async {
        stream.write_all(&plan.message(gateway)).await?;
        read(&mut stream, plan).await
    };
    let outcome = match plan.leave {
        Leave::Early(ms) => match tokio::time::timeout(Duration::from_millis(ms), asked).await {
            Ok(outcome) => outcome,
            Err(_) => Ok(Outcome::Left),
        },
        Leave::Never | Leave::Event(_) | Leave::Last => asked.await,
    };
    if plan.reset && matches!(outcome, Ok(Outcome::Left)) {
        stream.set_zero_linger()?;
    }
    outcome
}

async fn read(stream: &mut TcpStream, plan: &Plan) -> std::io::Result<Outcome> {
    let mut seen = Vec::with_capacity(4 << 10);
    loop {
        let n = stream.read_buf(&mut seen).await?;
        if n == 0 || seen.len() > ANSWER_BYTES_MAX {
            return Ok(Outcome::Broken(format!(
                "the connection ended after {} bytes of an answer",
                seen.len()
            )));
        }
        if leaves(plan, &seen) {
            return Ok(Outcome::Left);
        }
        if !may_be_whole(&seen) {
            continue;
        }
        let answer = match parse(&seen) {
            Ok(Some(answer)) => answer,
            Ok(None) => continue,
            Err(error) => return Ok(Outcome::Broken(format!("{error:#}"))),
        };
        let start = |bytes: &[u8], most: usize| {
            String::from_utf8_lossy(bytes.get(..bytes.len().min(most)).unwrap_or_default()).into_owned()
        };
        return Ok(if answer.status != 200 {
            Outcome::Refused {
                status: answer.status,
                retry_after_s: answer.retry_after_s,
                text: start(&answer.body, 300),
            }
        } else if memchr::memmem::find(&answer.body, plan.shape.mark()).is_none() {
            let tail = answer.body.len().saturating_sub(300);
            Outcome::Broken(format!(
                "an answer without its end: …{}",
                start(answer.body.get(tail..).unwrap_or_default(), 300)
            ))
        } else {
            Outcome::Complete
        });
    }
}

/// Whether it is worth while to take the answer apart: a chunked one has its last chunk at the end.
fn may_be_whole(seen: &[u8]) -> bool {
    let head = memchr::memmem::find(seen, b"\r\n\r\n").unwrap_or(seen.len());
    let head = seen.get(..head).unwrap_or_default();
    let chunked = head
        .windows(8)
        .any(|window| window.eq_ignore_ascii_case(b": chunke"));
    !chunked || seen.ends_with(b"0\r\n\r\n")
}

/// Whether the event has come with which the client leaves. An answer other than 200 is read to its end.
fn leaves(plan: &Plan, seen: &[u8]) -> bool {
    if seen.get(9..12) != Some(b"200") {
        return false;
    }
    match plan.leave {
        Leave::Never | Leave::Early(_) => false,
        Leave::Event(count) => memchr::memmem::find_iter(seen, b"data: ").count() >= count as usize,
        Leave::Last => memchr::memmem::find(seen, plan.shape.mark()).is_some(),
    }
}

#[cfg(test)]
mod tests {
    use super::super::plan::{Model, Shape};
    use super::*;

    #[test]
    fn a_client_leaves_with_its_event() {
        let head = "HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n";
        let plan = |leave| Plan {
            leave,
            shape: Shape::Chat,
            ..Plan::small(1, Model::Pot)
        };
        let check = |leave, body: &str, expected| {
            assert_eq!(
                leaves(&plan(leave), format!("{head}{body}").as_bytes()),
                expected,
                "{body}"
            );
        };
        check(Leave::Event(2), "data: a\n\n", false);
        check(Leave::Event(2), "data: a\n\ndata: b\n\n", true);
        check(Leave::Last, "data: a\n\n", false);
        check(Leave::Last, "data: [DONE]\n\n", true);
        check(Leave::Never, "data: [DONE]\n\n", false);
        assert!(!leaves(&plan(Leave::Event(1)), b"HTTP/1.1 429 No\r\n\r\ndata: a"));
        assert!(!may_be_whole(head.as_bytes()));
        assert!(may_be_whole(format!("{head}0\r\n\r\n").as_bytes()));
        assert!(may_be_whole(b"HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\n{}"));
    }
}
