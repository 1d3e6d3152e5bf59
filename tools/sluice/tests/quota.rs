//! Budgets from the command line, against running processes.

#[path = "up/gateway.rs"]
#[allow(dead_code, reason = "shared with the other tests of the program")]
mod gateway;

use std::fs;

use gateway::{Gateway, Printed, output, until};
use serde_json::Value;

/// A gateway with its mock as provider, and budgets.
struct Setup {
    gateway: Gateway,
    data: String,
    _folder: tempfile::TempDir,
}

impl Setup {
    fn start(quotas: &str, named: &str) -> Self {
        let gateway = Gateway::start(&[]);
        let data = gateway.data();
        let folder = tempfile::TempDir::new().expect("a folder");
        let file = folder.path().join("budgets.hujson");
        let document = format!(
            r#"{{
  "providers": {{"mock": {{"baseurl": "{}", "apikey": "k", "models": ["m*"], "compatibility": {{"openai_chat": true}}}}}},
  "identity": {{"sources": ["loopback"]}},
  "grants": [{{"src": ["(loopback)"], "capabilities": [{{"role": "admin", "models": "**", "quotas": [{named}]}}]}}],
  "quotas": {{{quotas}}},
}}"#,
            gateway.mock_url()
        );
        fs::write(&file, document).expect("a file");
        let setup = Self {
            gateway,
            data,
            _folder: folder,
        };
        let put = setup.sluice(&["config", "put", &file.display().to_string()]);
        assert_eq!(put.status, Some(0), "{}", put.err);
        setup
    }

    fn sluice(&self, args: &[&str]) -> Printed {
        let mut all = args.to_vec();
        all.extend(["--data", self.data.as_str()]);
        output(&all)
    }
}

#[test]
fn before_the_first_request_there_is_nothing_to_see() {
    let setup = Setup::start(
        r#""calls:<user>": {"requests": 3}, "team": {"capacity": "$5.00", "rate": "$1.00/day"}"#,
        r#"{"bucket": "calls:<user>"}, {"bucket": "team"}"#,
    );
    let list = setup.sluice(&["quota", "list"]);
    assert_eq!((list.status, list.err.as_str()), (Some(0), ""));
    assert_eq!(
        list.out, "bucket  counts  balance  of  refill  used  full at  quota\n",
        "a head and no bucket"
    );
    let json: Value = serde_json::from_str(&setup.sluice(&["quota", "list", "--json"]).out).expect("JSON");
    assert_eq!(json, serde_json::json!({ "quotas": [], "next": null }));
    let watched = setup.sluice(&["quota", "watch", "--count", "3", "--every", "0"]);
    assert_eq!(
        (watched.status, watched.out.lines().count()),
        (Some(0), 1),
        "{}",
        watched.err
    );
    for (args, words) in [
        (&["quota", "refill", "team"][..], "there is no bucket \"team\""),
        (&["quota", "refill", "team", "5 dollars"], "amount of dollars"),
        (&["quota", "refill", "team", "-5"], "negative"),
        (&["quota", "refill", "team", "0"], "nothing"),
        (
            &["quota", "refill", "team", "1.5", "--unit", "tokens"],
            "no whole number",
        ),
    ] {
        let refused = setup.sluice(args);
        assert_eq!((refused.status, refused.out.as_str()), (Some(1), ""), "{args:?}");
        assert!(refused.err.contains(words), "{args:?}: {}", refused.err);
    }
    assert_eq!(
        setup
            .sluice(&["quota", "refill", "team", "--unit", "euro"])
            .status,
        Some(2)
    );
    let explained = setup.sluice(&["explain", "--address", "127.0.0.1", "--model", "m1"]);
    for words in [
        "counts for calls:(loopback) by grants[0]: 3 requests\n",
        "counts for team by grants[0]: $5.00 (refilled $1.00/day)\n",
    ] {
        assert!(explained.out.contains(words), "{}", explained.out);
    }
    setup.gateway.stop();
}

fn call(setup: &Setup) -> u16 {
    let body = serde_json::json!({ "model": "m1", "messages": [{ "role": "user", "content": "hello" }] });
    setup.gateway.post("/v1/chat/completions", &body).status
}

#[test]
fn what_requests_take_is_listed_watched_and_refilled() {
    let setup = Setup::start(
        r#""calls:<user>": {"requests": 2}, "team": {"tokens": "1M", "concurrency": 4}"#,
        r#"{"bucket": "calls:<user>"}, {"bucket": "team"}"#,
    );
    assert_eq!((call(&setup), call(&setup)), (200, 200));
    assert_eq!(call(&setup), 429, "two requests and no refill");

    // Balances follow when the journal is stored.
    let list = until("both requests to be charged", || {
        let list = setup.sluice(&["quota", "list"]).out;
        list.contains("100%").then_some(list)
    });
    let rows: Vec<String> = list
        .lines()
        .skip(1)
        .map(|line| line.split_whitespace().collect::<Vec<_>>().join(" "))
        .collect();
    let [calls, tokens, running] = rows.as_slice() else {
        panic!("{list}")
    };
    assert_eq!(calls, "calls:(loopback) requests 0 2 - 100% - calls:<user>");
    assert!(tokens.starts_with("team tokens 999"), "{list}");
    assert_eq!(running, "team concurrency 4 4 - 0% - team", "nothing is charged");
    let one = setup.sluice(&["quota", "list", "--quota", "team", "--bucket", "team", "--json"]);
    let one: Value = serde_json::from_str(&one.out).expect("JSON");
    let units: Vec<&str> = one["quotas"]
        .as_array()
        .expect("a list")
        .iter()
        .filter_map(|bucket| bucket["unit"].as_str())
        .collect();
    assert_eq!(units, ["tokens", "concurrency"]);
    let used = one["quotas"][0]["charged"].as_u64().expect("a number");
    assert!(used > 0, "{one}");
    let explained = setup.sluice(&["explain", "--address", "127.0.0.1", "--model", "m1"]);
    assert!(
        explained
            .out
            .contains("counts for calls:(loopback) by grants[0]: 0 of 2 requests left\n"),
        "{}",
        explained.out
    );

    let refilled = setup.sluice(&["quota", "refill", "calls:(loopback)", "1", "--unit", "requests"]);
    assert_eq!(
        (refilled.status, refilled.out.as_str()),
        (Some(0), "calls:(loopback): 1 added, 0 -> 1\n"),
        "{}",
        refilled.err
    );
    // The data plane hears of it.
    assert_eq!(
        until("a request that passes", || Some(call(&setup))
            .filter(|status| *status == 200)),
        200
    );
    assert_eq!(call(&setup), 429);
    let refilled = setup.sluice(&["quota", "refill", "team", "--unit", "tokens"]);
    assert!(
        refilled.out.ends_with("-> 1M\n"),
        "{}{}",
        refilled.out,
        refilled.err
    );
    setup.gateway.stop();
}
