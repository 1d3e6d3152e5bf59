//! Sessions in records: named by the client, or recognised by how they begin.

use sluice_shared::quota::Unit;
use sluice_shared::usage::SessionSource;

use crate::support::client::{post, post_with};
use crate::support::control::Who;
use crate::support::setup::{counting, plain, price, quota};
use crate::support::upstream::Upstream;
use crate::support::{Gateway, Setup};

/// Red if a record does not say whose conversation it belongs to, or if a first message opens a budget of its own.
#[test]
fn records_say_which_conversation_agent_and_parent() {
    let upstream = Upstream::plain();
    let mut snapshot = counting(
        plain(upstream.address),
        vec![quota("s:<session>", &[(Unit::Requests, 100)])],
    );
    snapshot.prices = vec![price("**")];
    let gateway = Gateway::start(Setup::new(snapshot).who(Who::somebody("alice")));
    let first =
        r#"{"model":"m","messages":[{"role":"system","content":"S"},{"role":"user","content":"hello"}]}"#;
    // The next turn, laid out anew, its answer long enough to take several reads.
    let second = format!(
        r#"{{ "messages": [ {{"content":[{{"type":"text","text":"S"}}],"role":"system"}}, {{"content":"h\u0065llo","role":"user"}},
            {{"role":"assistant","content":"{}"}}, {{"role":"user","content":"more"}} ], "model": "m" }}"#,
        "long ".repeat(20_000)
    );
    let other = r#"{"model":"m","messages":[{"role":"user","content":"something else"}]}"#;
    let named = "x-claude-code-session-id: s-1\r\nx-claude-code-agent-id: a-2\r\nx-claude-code-parent-agent-id: a-1\r\n";
    for body in [first, &second, other, r#"{"model":"m","messages":[]}"#] {
        assert_eq!(gateway.call(post("/v1/chat/completions", body)).status, 200);
    }
    assert_eq!(
        gateway
            .call(post_with("/v1/chat/completions", named, first.as_bytes()))
            .status,
        200
    );
    let records = gateway.wait_records(5);
    let prints: Vec<_> = records.iter().map(|record| record.session.as_deref()).collect();
    assert!(
        prints[0].is_some_and(|print| print.starts_with("fp-")),
        "{prints:?}"
    );
    assert_eq!(prints[0], prints[1]);
    assert_ne!(prints[0], prints[2]);
    assert_eq!((prints[3], prints[4]), (None, Some("s-1")));
    let sources = records.iter().map(|record| record.session_source);
    let (print, none, header) = (
        SessionSource::Fingerprint,
        SessionSource::None,
        SessionSource::Header,
    );
    assert_eq!(sources.collect::<Vec<_>>(), [print, print, print, none, header]);
    let mut agents = records
        .iter()
        .map(|record| (record.agent.as_deref(), record.parent.as_deref()));
    assert_eq!(agents.next_back(), Some((Some("a-2"), Some("a-1"))));
    let buckets: Vec<String> = gateway
        .control
        .ledger(|ledger| ledger.names())
        .into_iter()
        .map(|(name, _)| name)
        .collect();
    assert_eq!(buckets, ["s:alice/(none)", "s:alice/s-1"]);
}
