//! What a budget refuses: statuses, words in every API's shape, when to come again, and when nobody can say.

use sluice_shared::quota::{Rate, Unit};
use sluice_shared::snapshot::{Admission, Quota};
use sluice_shared::usage::Ended;

use crate::support::client::{Answer, chat, get, post};
use crate::support::control::Who;
use crate::support::ledger::Mood;
use crate::support::setup::{counting, plain, price, quota};
use crate::support::upstream::Upstream;
use crate::support::{Gateway, Setup, wait_until};

const HOUR_US: u64 = 3_600_000_000;

fn start(upstream: &Upstream, quotas: Vec<Quota>) -> Gateway {
    let mut snapshot = counting(plain(upstream.address), quotas);
    snapshot.prices = vec![price("main/priced")];
    Gateway::start(Setup::new(snapshot).who(Who::somebody("alice")))
}

fn seconds(answer: &Answer) -> Option<u64> {
    answer.field("retry-after").map(|value| value.parse().unwrap())
}

/// Red if a refusal is not in the words of the API that was called, reaches a provider, or is charged.
#[test]
fn every_family_has_its_own_words() {
    let upstream = Upstream::plain();
    let gateway = start(&upstream, vec![quota("daily:<user>", &[(Unit::Requests, 1)])]);
    assert_eq!(gateway.call(chat("m")).status, 200);
    let calls = [
        (
            "/v1/chat/completions",
            r#"{"model":"m"}"#,
            r#""type":"insufficient_quota","param":null,"code":"insufficient_quota""#,
        ),
        (
            "/v1/responses",
            r#"{"model":"m"}"#,
            r#""type":"insufficient_quota""#,
        ),
        (
            "/v1/embeddings",
            r#"{"model":"m"}"#,
            r#""type":"insufficient_quota""#,
        ),
        (
            "/v1/messages",
            r#"{"model":"m"}"#,
            r#"{"type":"error","error":{"type":"rate_limit_error","#,
        ),
        (
            "/v1/projects/p/locations/l/publishers/anthropic/models/m:rawPredict",
            "{}",
            r#""type":"rate_limit_error""#,
        ),
        (
            "/v1beta/models/m:generateContent",
            "{}",
            r#""status":"RESOURCE_EXHAUSTED""#,
        ),
        (
            "/v1/projects/p/locations/l/publishers/google/models/m:generateContent",
            "{}",
            r#""status":"RESOURCE_EXHAUSTED""#,
        ),
        ("/bedrock/model/m/converse", "{}", r#"{"message":""#),
        ("/ollama/api/chat", r#"{"model":"m"}"#, r#"{"error":""#),
    ];
    for (path, body, words) in calls {
        let answer = gateway.call(post(path, body));
        let text = answer.text();
        assert_eq!(
            (answer.status, answer.field("x-sluice-error")),
            (429, Some("quota_exceeded")),
            "{path}: {text}"
        );
        assert!(text.contains(words), "{path}: {text}");
        assert!(
            text.contains("quota exceeded: daily:alice has 0 requests left, this request needs 1 request; it is not refilled"),
            "{path}: {text}"
        );
        assert_eq!(answer.field("x-should-retry"), Some("false"));
        assert_eq!(seconds(&answer), None, "waiting does not help");
        if path.starts_with("/bedrock") {
            assert_eq!(answer.field("x-amzn-errortype"), Some("ThrottlingException"));
        }
    }
    assert_eq!(upstream.requests().len(), 1);
    let records = gateway.wait_records(1 + calls.len());
    for record in &records[1..] {
        assert_eq!((record.ended, record.status), (Ended::Blocked, 429));
        assert_eq!(record.error.as_deref(), Some("quota_exceeded"));
        assert_eq!(record.charges, []);
        assert_eq!(record.provider, "main");
    }
    // What is free costs nothing, and asks nobody.
    let free = post("/v1/messages/count_tokens", r#"{"model":"m","messages":[]}"#);
    assert_eq!(gateway.call(free).status, 200);
    let metrics = gateway.call(get("/metrics")).text();
    let line = format!(
        "sluice_quota_refusals_total{{quota=\"daily:<user>\",reason=\"exhausted\"}} {}\n",
        calls.len()
    );
    assert!(metrics.contains(&line), "{metrics}");
}

/// Red if `Retry-After` is not the time until enough is refilled.
#[test]
fn retry_after_is_when_enough_is_there() {
    let upstream = Upstream::plain();
    let mut hourly = quota("hourly", &[(Unit::Requests, 2)]);
    hourly.limits[0].terms.rate = Rate {
        amount: 2,
        per_us: HOUR_US,
    };
    let gateway = start(&upstream, vec![hourly]);
    for _ in 0..2 {
        assert_eq!(gateway.call(chat("m")).status, 200);
    }
    let answer = gateway.call(chat("m"));
    // Half an hour for one, less what has passed since the first.
    let wait = seconds(&answer).unwrap();
    assert!((1_700..=1_800).contains(&wait), "{wait}");
    assert!(
        answer.text().contains("enough will be there in 30 min"),
        "{}",
        answer.text()
    );
}

/// Red if a request that can never pass is told to wait.
#[test]
fn what_never_fits_is_not_told_to_wait() {
    let upstream = Upstream::plain();
    let mut small = quota("small", &[(Unit::Tokens, 10)]);
    small.limits[0].terms.rate = Rate {
        amount: 10,
        per_us: HOUR_US,
    };
    let gateway = start(&upstream, vec![small]);
    let body = format!(r#"{{"model":"m","pad":"{}"}}"#, "x".repeat(10_000));
    let answer = gateway.call(post("/v1/chat/completions", &body));
    assert_eq!(
        (answer.status, seconds(&answer)),
        (429, None),
        "{}",
        answer.text()
    );
    assert!(
        answer.text().contains("it never holds more than 10 tokens"),
        "{}",
        answer.text()
    );
}

/// Red if `deny_status` does not decide the status, or changes the words.
#[test]
fn another_status_may_be_chosen() {
    for (deny_status, status) in [(429, 429), (403, 403), (400, 400)] {
        let upstream = Upstream::plain();
        let mut quota = quota("q", &[(Unit::Requests, 1)]);
        quota.deny_status = deny_status;
        let gateway = start(&upstream, vec![quota]);
        assert_eq!(gateway.call(chat("m")).status, 200);
        let answer = gateway.call(chat("m"));
        assert_eq!(
            (answer.status, answer.field("x-sluice-error")),
            (status, Some("quota_exceeded"))
        );
        assert!(
            answer.text().contains(r#""code":"insufficient_quota""#),
            "{}",
            answer.text()
        );
    }
}

/// Red if a quota that nobody defined, or whose definition cannot be read, lets anything pass.
#[test]
fn a_quota_that_cannot_be_used_refuses() {
    let upstream = Upstream::plain();
    let gateway = start(&upstream, vec![quota("q", &[(Unit::Requests, 100)])]);
    assert_eq!(gateway.call(chat("m")).status, 200);
    let changes: [fn(&mut sluice_shared::snapshot::Snapshot); 2] = [
        |snapshot| snapshot.quotas.clear(),
        |snapshot| snapshot.quotas = vec![quota("q", &[])],
    ];
    for change in changes {
        gateway.control.publish(change);
        let answer = gateway.call(chat("m"));
        assert_eq!(
            (answer.status, answer.field("x-sluice-error")),
            (429, Some("quota_undefined")),
            "{}",
            answer.text()
        );
        assert!(
            answer
                .text()
                .contains("quota q counts for this call and is not defined")
        );
        assert_eq!(seconds(&answer), None);
    }
    // Mended, it passes again; disabled, it is as if nobody named it.
    gateway
        .control
        .publish(|snapshot| snapshot.quotas = vec![quota("q", &[(Unit::Requests, 100)])]);
    assert_eq!(gateway.call(chat("m")).status, 200);
    gateway.control.publish(|snapshot| {
        snapshot.quotas = vec![Quota {
            disabled: true,
            ..quota("q", &[])
        }];
    });
    assert_eq!(gateway.call(chat("m")).status, 200);
    assert_eq!(gateway.records().last().unwrap().charges, []);
}

/// Red if a bucket that is open stops serving when the control plane goes away, or one that never was serves.
#[test]
fn without_a_control_plane_what_is_open_goes_on() {
    let upstream = Upstream::plain();
    let gateway = start(&upstream, vec![quota("m:<model>", &[(Unit::Requests, 3)])]);
    assert_eq!(gateway.call(chat("open")).status, 200);
    gateway.control.down();
    assert_eq!(gateway.call(chat("open")).status, 200);
    let answer = gateway.call(chat("new"));
    assert_eq!(
        (answer.status, answer.field("x-sluice-error"), seconds(&answer)),
        (503, Some("quota_unavailable"), Some(1)),
        "{}",
        answer.text()
    );
    assert_eq!(gateway.call(chat("open")).status, 200);
    assert_eq!(
        gateway.call(chat("open")).status,
        429,
        "and no further than its lease"
    );
    let record = gateway
        .records()
        .into_iter()
        .find(|record| record.status == 503)
        .unwrap();
    assert_eq!((record.ended, &*record.charges), (Ended::Blocked, &[][..]));
    gateway.control.up();
    gateway.control.wait_connected();
    wait_until("the new one opens", || gateway.call(chat("new")).status == 200);
}

/// Red if a ledger that cannot answer is taken for one that allows, or for one that refuses.
#[test]
fn a_ledger_that_cannot_answer_is_neither_yes_nor_no() {
    let upstream = Upstream::plain();
    let gateway = start(&upstream, vec![quota("m:<model>", &[(Unit::Requests, 3)])]);
    gateway.control.set_ledger(Mood::Unavailable);
    let answer = gateway.call(chat("m"));
    assert_eq!(
        (answer.status, answer.field("x-sluice-error"), seconds(&answer)),
        (503, Some("quota_unavailable"), Some(1))
    );
    gateway.control.set_ledger(Mood::Well);
    wait_until("it is asked again", || gateway.call(chat("m")).status == 200);
}

/// Red if a client that leaves while its budget is looked for goes on to a provider.
#[test]
fn a_client_that_leaves_while_it_waits_is_gone() {
    let upstream = Upstream::plain();
    let gateway = start(&upstream, vec![quota("q", &[(Unit::Requests, 3)])]);
    gateway.control.set_ledger(Mood::Silent);
    let mut client = gateway.client();
    client.send(chat("m"));
    wait_until("the ledger is asked", || {
        gateway.control.ledger(|ledger| ledger.asked()) > 0
    });
    drop(client);
    let record = gateway.wait_records(1).remove(0);
    assert_eq!((record.ended, &*record.charges), (Ended::ClientGone, &[][..]));
    assert_eq!(upstream.connections(), 0);
}

/// Red if an admin's refill is not seen by the next request.
#[test]
fn a_refill_by_hand_counts_at_once() {
    let upstream = Upstream::plain();
    let gateway = start(&upstream, vec![quota("q", &[(Unit::Requests, 1)])]);
    assert_eq!(gateway.call(chat("m")).status, 200);
    assert_eq!(gateway.call(chat("m")).status, 429);
    let records = gateway.wait_records(2);
    gateway
        .control
        .ledger(|ledger| ledger.ingest(records.iter().flat_map(|record| &record.charges)));
    gateway.control.refill("q", Unit::Requests, 1);
    wait_until("the refill is there", || gateway.call(chat("m")).status == 200);
    assert_eq!(gateway.call(chat("m")).status, 429);
}

/// Red if a strict quota admits what has no bound, or one in dollars a model without a price where it may not.
#[test]
fn what_has_no_bound_or_no_price() {
    let upstream = Upstream::plain();
    let mut strict = quota("strict", &[(Unit::Tokens, 100_000)]);
    strict.admission = Admission::Strict;
    let mut dollars = quota("dollars", &[(Unit::Usd, 1 << 50)]);
    dollars.refuse_unpriced = true;
    let gateway = start(&upstream, vec![strict, dollars]);
    let bounded = |model: &str| {
        let body = format!(r#"{{"model":"{model}","max_tokens":10,"messages":[]}}"#);
        gateway.call(post("/v1/chat/completions", &body))
    };
    let unbounded = gateway.call(chat("priced"));
    assert_eq!(
        (unbounded.status, unbounded.field("x-sluice-error")),
        (400, Some("cannot_bound")),
        "{}",
        unbounded.text()
    );
    assert!(unbounded.text().contains("max_tokens"), "{}", unbounded.text());
    assert_eq!(bounded("priced").status, 200);
    let unpriced = bounded("nobody-knows-this");
    assert_eq!(
        (
            unpriced.status,
            unpriced.field("x-sluice-error"),
            seconds(&unpriced)
        ),
        (403, Some("unpriced_model"), None),
        "{}",
        unpriced.text()
    );
    let metrics = gateway.call(get("/metrics")).text();
    for line in [
        "sluice_quota_refusals_total{quota=\"dollars\",reason=\"unpriced\"} 1\n",
        "sluice_quota_refusals_total{quota=\"strict\",reason=\"unbounded\"} 1\n",
    ] {
        assert!(metrics.contains(line), "{metrics}");
    }
}
