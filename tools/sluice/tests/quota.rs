//! Budgets from the command line, against running processes.

#[path = "up/gateway.rs"]
#[allow(dead_code, reason = "shared with the other tests of the program")]
mod gateway;

use std::fs;

use gateway::{Gateway, Printed, output};
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
