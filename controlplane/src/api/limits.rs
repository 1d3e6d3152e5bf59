//! How fast a principal may ask.
//!
//! Each has two buckets: one for reads, one for changes. A bucket holds what some seconds of its rate add up to, so a page
//! that asks for twenty things at once gets them, and a script that asks forever is slowed down to the rate. What costs
//! more than a page of a list takes more out. The rates are `limits` of the document in use, and 0 means none. Who asks
//! over the socket of the data directory is the operator, and free.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Instant;

use axum::http::{HeaderMap, HeaderName, HeaderValue, Method};
use tokio::sync::watch;

use super::principal::LOCAL;
use crate::config::domain::{ApiRates, Document};

/// Principals that are told apart; those beyond share a bucket.
const PRINCIPALS_MAX: usize = 4_096;
/// Name of the shared bucket: no login is empty.
const SHARED: &str = "";
const SECOND_US: u64 = 1_000_000;

/// What a request is, as far as limits go.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Kind {
    Reads,
    Changes,
}

impl Kind {
    pub(super) fn of(method: &Method) -> Self {
        if *method == Method::GET || *method == Method::HEAD {
            Self::Reads
        } else {
            Self::Changes
        }
    }

    const fn name(self) -> &'static str {
        match self {
            Self::Reads => "reads",
            Self::Changes => "changes",
        }
    }

    /// Seconds whose requests may come at once.
    const fn window_s(self) -> u64 {
        match self {
            Self::Reads => 4,
            Self::Changes => 6,
        }
    }

    const fn per_s(self, rates: ApiRates) -> u64 {
        match self {
            Self::Reads => rates.reads_per_s,
            Self::Changes => rates.changes_per_s,
        }
    }
}

/// What a route takes out of its bucket.
pub(super) fn cost(path: &str) -> u64 {
    match path {
        // They walk through everything that is asked for.
        "/api/export" | "/api/audit/verify" => 20,
        // Files of the dashboard, of which a page has many.
        _ if path.starts_with("/ui") => 0,
        _ => 1,
    }
}

/// A bucket after a request.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Left {
    kind: Kind,
    per_s: u64,
    remaining: u64,
    /// Until it is whole again.
    reset_s: u64,
    /// Until the request can be made again; 0: it was let through.
    pub(super) wait_s: u64,
}

impl Left {
    /// Adds the fields of draft-ietf-httpapi-ratelimit-headers.
    pub(super) fn tell(&self, headers: &mut HeaderMap) {
        let (name, window) = (self.kind.name(), self.kind.window_s());
        let quota = self.per_s.saturating_mul(window);
        let lines = [
            ("ratelimit-policy", format!("\"{name}\";q={quota};w={window}")),
            (
                "ratelimit",
                format!("\"{name}\";r={};t={}", self.remaining, self.reset_s),
            ),
        ];
        for (name, text) in lines {
            if let Ok(value) = HeaderValue::from_str(&text) {
                headers.insert(HeaderName::from_static(name), value);
            }
        }
    }
}

/// When each bucket of a principal will be full, in microseconds of the limiter's time: reads, changes.
type Full = [u64; 2];

/// The buckets of everybody.
pub(super) struct Limiter {
    documents: watch::Receiver<Arc<Document>>,
    started: Instant,
    full: Mutex<HashMap<String, Full>>,
}

impl Limiter {
    pub(super) fn new(documents: watch::Receiver<Arc<Document>>) -> Self {
        Self {
            documents,
            started: Instant::now(),
            full: Mutex::default(),
        }
    }

    /// Takes `cost` out of a principal's bucket; `None`: there is no limit for this.
    pub(super) fn take(&self, login: &str, kind: Kind, cost: u64) -> Option<Left> {
        let per_s = kind.per_s(self.documents.borrow().api_rates);
        if per_s == 0 || cost == 0 || login == LOCAL {
            return None;
        }
        let now = u64::try_from(self.started.elapsed().as_micros()).unwrap_or(u64::MAX);
        let mut full = self.full.lock().unwrap_or_else(PoisonError::into_inner);
        Some(take(&mut full, login, kind, per_s, cost, now))
    }
}

fn take(full: &mut HashMap<String, Full>, login: &str, kind: Kind, per_s: u64, cost: u64, now: u64) -> Left {
    if !full.contains_key(login) && full.len() >= PRINCIPALS_MAX {
        // A full bucket is the same as none.
        full.retain(|_, at| at.iter().any(|at| *at > now));
    }
    let room = full.contains_key(login) || full.len() < PRINCIPALS_MAX;
    let buckets = full
        .entry(if room { login } else { SHARED }.to_owned())
        .or_default();
    let [reads, changes] = buckets;
    let at = match kind {
        Kind::Reads => reads,
        Kind::Changes => changes,
    };
    let each = SECOND_US.checked_div(per_s).unwrap_or(SECOND_US).max(1);
    let most = kind.window_s().saturating_mul(SECOND_US);
    let missing = at.saturating_sub(now);
    let after = missing.saturating_add(each.saturating_mul(cost));
    // Out of a full bucket anything may be taken: else what costs more than it holds could never be asked for.
    let (kept, wait) = if after <= most || missing == 0 {
        (after, 0)
    } else {
        (missing, after.saturating_sub(most).min(missing))
    };
    *at = now.saturating_add(kept);
    Left {
        kind,
        per_s,
        remaining: most.saturating_sub(kept).checked_div(each).unwrap_or(0),
        reset_s: kept.div_ceil(SECOND_US),
        wait_s: wait.div_ceil(SECOND_US),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// What is left after each of some requests at times in milliseconds; a refusal as `!` and the seconds to wait.
    fn story(kind: Kind, per_s: u64, cost: u64, times_ms: &[u64]) -> String {
        let mut full = HashMap::new();
        let one = |ms: &u64| {
            let left = take(&mut full, "alice", kind, per_s, cost, ms * 1_000);
            match left.wait_s {
                0 => left.remaining.to_string(),
                wait => format!("!{wait}"),
            }
        };
        times_ms.iter().map(one).collect::<Vec<_>>().join(" ")
    }

    #[test]
    fn a_bucket_holds_some_seconds_and_fills_at_its_rate() {
        let check = |kind, per_s, cost, times: &[u64], expected: &str| {
            assert_eq!(
                story(kind, per_s, cost, times),
                expected,
                "{kind:?} {per_s} {cost}"
            );
        };
        check(Kind::Reads, 1, 1, &[0, 0, 0, 0, 0, 999, 1_000], "3 2 1 0 !1 !1 0");
        check(Kind::Changes, 1, 1, &[0; 8], "5 4 3 2 1 0 !1 !1");
        // Whoever was refused waits no longer for it.
        check(
            Kind::Reads,
            1,
            1,
            &[0, 0, 0, 0, 0, 0, 0, 4_000],
            "3 2 1 0 !1 !1 !1 3",
        );
        check(
            Kind::Reads,
            50,
            20,
            &[0; 12],
            "180 160 140 120 100 80 60 40 20 0 !1 !1",
        );
        // It costs more than the bucket holds.
        check(Kind::Reads, 2, 20, &[0, 0, 9_999, 10_000], "0 !10 !1 0");
        check(Kind::Reads, 1_000_000, 1, &[0, 0], "3999999 3999998");
    }

    #[test]
    fn buckets_are_apart_and_their_number_is_bounded() {
        let mut full = HashMap::new();
        let mut ask =
            |login: &str, kind, now_s: u64| take(&mut full, login, kind, 1, 1, now_s * SECOND_US).remaining;
        assert_eq!(ask("alice", Kind::Reads, 0), 3);
        assert_eq!(ask("bob", Kind::Reads, 0), 3);
        assert_eq!(ask("alice", Kind::Changes, 0), 5);
        assert_eq!(ask("alice", Kind::Reads, 0), 2);
        for n in 0..PRINCIPALS_MAX {
            ask(&format!("user{n}"), Kind::Reads, 0);
        }
        // No room: strangers share a bucket, who has one keeps it.
        assert_eq!(ask("carol", Kind::Reads, 0), 1);
        assert_eq!(ask("alice", Kind::Reads, 0), 1);
        // Full buckets make room.
        assert_eq!(ask("dave", Kind::Reads, 100), 3);
        assert_eq!(full.len(), 1);
    }

    #[test]
    fn what_is_left_is_told_as_structured_fields() {
        let mut headers = HeaderMap::new();
        let left = take(&mut HashMap::new(), "alice", Kind::Reads, 50, 1, 0);
        left.tell(&mut headers);
        assert_eq!(headers["ratelimit-policy"], "\"reads\";q=200;w=4");
        assert_eq!(headers["ratelimit"], "\"reads\";r=199;t=1");
    }
}
