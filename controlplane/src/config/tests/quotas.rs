//! What quotas become, and that nothing unreadable limits less than it was meant to.

use sluice_shared::quota::{AMOUNT_MAX, Rate, Unit};
use sluice_shared::snapshot::{Admission, OnExhausted, Quota};

use super::{document, with};

const NAMED: &str = r#""grants": [{"src": ["*"], "capabilities": [{"role": "admin", "models": "**", "quotas": [{"bucket": "q"}]}]}],"#;

fn quota(fields: &str) -> Quota {
    document(&with(&format!(r#"{NAMED} "quotas": {{"q": {fields}}}"#)))
        .quotas
        .remove(0)
}

#[test]
fn limits_are_exact() {
    let check = |fields: &str, expected: &[(Unit, u64, u64, u64)]| {
        let found: Vec<_> = quota(&format!("{{{fields}}}"))
            .limits
            .iter()
            .map(|l| {
                let Rate { amount, per_us } = l.terms.rate;
                (l.unit, l.terms.capacity, amount, per_us / 1_000_000)
            })
            .collect();
        assert_eq!(found, expected, "{fields}");
    };
    check(r#""capacity": "$10.00""#, &[(Unit::Usd, 10_000_000_000, 0, 0)]);
    check(
        r#""capacity": "$0.000000001", "rate": "$0.5/sec""#,
        &[(Unit::Usd, 1, 500_000_000, 1)],
    );
    check(r#""tokens": 5"#, &[(Unit::Tokens, 5, 0, 0)]);
    check(r#""tokens": "1.5M""#, &[(Unit::Tokens, 1_500_000, 0, 0)]);
    check(
        r#""tokens": "1M/day""#,
        &[(Unit::Tokens, 1_000_000, 1_000_000, 86_400)],
    );
    check(
        r#""requests": {"capacity": 7, "rate": "2/min"}"#,
        &[(Unit::Requests, 7, 2, 60)],
    );
    check(
        r#""requests": {"capacity": "7k"}"#,
        &[(Unit::Requests, 7_000, 0, 0)],
    );
    check(r#""concurrency": 8"#, &[(Unit::Concurrency, 8, 0, 0)]);
    check(
        r#""capacity": "$0", "rate": "$0/day", "tokens": 0, "requests": 1152921504606846976, "concurrency": 1"#,
        &[
            (Unit::Usd, 0, 0, 0),
            (Unit::Tokens, 0, 0, 0),
            (Unit::Requests, AMOUNT_MAX, 0, 0),
            (Unit::Concurrency, 1, 0, 0),
        ],
    );
}

#[test]
fn settings_have_their_defaults() {
    let plain = quota(r#"{"requests": 1}"#);
    assert_eq!(
        plain,
        Quota {
            name: "q".into(),
            limits: plain.limits.clone(),
            deny_status: 429,
            ..Quota::default()
        }
    );
    let all = quota(
        r#"{"requests": 1, "admission": "strict", "on_exhausted": "cut", "clamp_max_tokens": true, "deny_status": 403,
            "unpriced": "refuse", "disabled": true, "on_exceed": "reject", "description": "x"}"#,
    );
    assert_eq!(
        all,
        Quota {
            name: "q".into(),
            limits: plain.limits.clone(),
            disabled: true,
            admission: Admission::Strict,
            on_exhausted: OnExhausted::Cut,
            clamp_max_tokens: true,
            deny_status: 403,
            refuse_unpriced: true,
        }
    );
    assert_eq!(
        quota(r#"{"requests": 1, "admission": "positive"}"#).admission,
        Admission::Positive
    );
}

#[test]
fn doubt_closes_a_quota() {
    for fields in [
        "5",
        "null",
        "{}",
        r#"{"capacity": "10"}"#,
        r#"{"capacity": "$1", "rate": "$1/fortnight"}"#,
        r#"{"rate": "$1/day"}"#,
        r#"{"capacity": "$1", "tokens": -1}"#,
        r#"{"capacity": "$1", "requests": "x"}"#,
        r#"{"capacity": "$1", "concurrency": 0}"#,
        r#"{"capacity": "$1", "concurrency": "1/day"}"#,
        r#"{"capacity": "$1", "admission": "loose"}"#,
        r#"{"capacity": "$1", "on_exhausted": "stop"}"#,
        r#"{"capacity": "$1", "unpriced": false}"#,
        r#"{"capacity": "$1", "tokns": 5}"#,
        r#"{"capacity": "$1", "tokens": {"capacity": 5, "rate": "x"}}"#,
    ] {
        let quota = quota(fields);
        assert_eq!((quota.limits, quota.deny_status), (vec![], 429), "{fields}");
    }
    for fields in [
        r#"{"capacity": "$1", "description": 5}"#,
        r#"{"capacity": "$1", "deny_status": 500, "clamp_max_tokens": 1, "disabled": 0, "on_exceed": "warn", "colour": "red"}"#,
    ] {
        let quota = quota(fields);
        assert_eq!((quota.limits.len(), quota.disabled), (1, false), "{fields}");
    }
    let bad = document(&with(
        r#""quotas": {"a<b": {"requests": 1}, "(x)": {"requests": 1}, "ok:<user>": {"requests": 1}}"#,
    ));
    let limits: Vec<(String, usize)> = bad
        .quotas
        .into_iter()
        .map(|quota| (quota.name, quota.limits.len()))
        .collect();
    assert_eq!(
        limits,
        [("(x)".into(), 0), ("a<b".into(), 0), ("ok:<user>".into(), 1)],
        "by name"
    );
}

#[test]
fn doubt_in_a_grant_refuses() {
    let check = |fields: &str, expected: &[&str]| {
        let text = with(&format!(
            r#""quotas": {{"q": {{"requests": 1}}}}, "grants": [{{"src": ["*"], "capabilities": [{{{fields}}}]}}]"#
        ));
        let found = document(&text).grants.remove(0).capabilities;
        let found: Vec<&str> = found.iter().flat_map(|c| &c.quotas).map(String::as_str).collect();
        assert_eq!(found, expected, "{fields}");
    };
    check(r#""role": "user""#, &[]);
    check(r#""role": "user", "quotas": []"#, &[]);
    check(
        r#""quotas": [{"bucket": "q"}, {"bucket": "q"}, {"bucket": "p"}]"#,
        &["q", "p"],
    );
    for fields in [
        r#""role": "user", "quotas": "q""#,
        r#""role": "user", "quotas": ["q"]"#,
        r#""role": "user", "quotas": [{}]"#,
        r#""role": "user", "quotas": [{"bucket": null}]"#,
        r#""role": "user", "quota": [{"bucket": "q"}]"#,
    ] {
        check(fields, &["(unreadable)"]);
    }
    // What else cannot be read takes the role or the models away, never the budget.
    check(
        r#""role": "owner", "models": "p/**", "quotas": [{"bucket": "q"}]"#,
        &["q"],
    );
    check(r#""role": 5, "quotas": [{"bucket": "q"}]"#, &["q"]);
    check(
        r#""role": "user", "models": 5, "quotas": [{"bucket": "q"}]"#,
        &["q"],
    );
}

#[test]
fn a_policy_names_budgets_too() {
    let values = [
        serde_json::json!({"role": "user", "models": "**", "quotas": [{"bucket": "not:<defined>"}, {"bucket": "q"}]}),
        serde_json::json!({"quotas": [{"bukket": "q"}]}),
    ];
    let read = super::capabilities_of_policy(&values);
    let quotas: Vec<&[String]> = read.capabilities.iter().map(|c| c.quotas.as_slice()).collect();
    assert_eq!(
        quotas,
        [["not:<defined>", "q"].as_slice(), ["(unreadable)"].as_slice()]
    );
    assert_eq!(
        read.complaints,
        [
            r#"[1].quotas[0].bukket: unknown grant field "bukket"; did you mean "bucket"?"#,
            r#"[1].quotas[0]: needs "bucket", the name of a quota"#
        ]
    );
}
