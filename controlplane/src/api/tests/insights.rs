//! Tools, guardrails, models, budgets over time and search, over the API: what admins get, and what users get of it.

use sluice_shared::ids::RequestId;
use sluice_shared::quota::{Charge, Unit};
use sluice_shared::units::UnixMicros;
use sluice_shared::usage::{Action, Judge, Verdict};

use super::capturing::{id, stored};
use super::*;

const DOCUMENT: &str = r#"{
  "providers": {
    "one": {"baseurl": "http://127.0.0.1:8000", "models": ["gpt-5", "model0", "mini-*"], "auth_mode": "none", "cost_basis": "openai", "preference": 1},
    "two": {"baseurl": "http://127.0.0.1:8001", "models": ["model1", "gpt-5"], "auth_mode": "none"},
  },
  "grants": [
    {"src": ["root"], "capabilities": [{"role": "admin", "models": "**"}]},
    {"src": ["user1"], "capabilities": [{"role": "user", "models": ["one/gpt-5", "one/model0"], "quotas": [{"bucket": "daily:<user>"}, {"bucket": "s:<session>"}]}]},
    {"src": ["user2"], "capabilities": [{"role": "user", "models": ["two/model1"]}]},
  ],
  "quotas": {"daily:<user>": {"capacity": "$10.00"}, "s:<session>": {"tokens": "1M/day"}},
  "guardrails": {
    "secrets": {"action": "redact", "on": ["requests"], "detectors": ["email"], "shadow": true},
    "quiet": {"action": "block", "on": ["requests", "answers"], "phrases": ["all work"]},
  },
}"#;

/// 2026-11-22T10:00:00Z
const START: u64 = 1_795_341_600_000_000;
const HOUR: u64 = 3_600_000_000;
const PERIOD: &str = "since=2026-11-22T10:00:00Z&until=2026-11-22T13:00:00Z";

fn verdict(name: &str, action: Action, shadow: bool, took_us: u64) -> Verdict {
    Verdict {
        judge: if name == "asked" {
            Judge::Hook
        } else {
            Judge::Guardrail
        },
        name: name.into(),
        action,
        shadow,
        on_answer: false,
        what: "email".into(),
        count: 1,
        took_us,
    }
}

/// Requests 100 to 105 of three users, half an hour apart.
async fn judged(api: &Api) {
    let records = (100..106).map(|number| {
        let mut r = record(number, START + (number - 100) * HOUR / 2);
        r.verdicts = match number % 3 {
            0 => vec![verdict("secrets", Action::Redact, true, 0)],
            1 => vec![
                verdict("asked", Action::Allow, false, 1_000),
                verdict("gone", Action::Block, false, 0),
            ],
            _ => vec![verdict("asked", Action::Modify, false, 3_000)],
        };
        r
    });
    let batch = Batch {
        records: records.collect(),
        ..Batch::default()
    };
    api.shown.store.ingest(&batch).await.unwrap();
}

fn user(api: &Api, login: &str, target: &str) -> Value {
    let (status, _, body) = api.ask(Some("user"), login, "GET", target);
    assert_eq!(status, 200, "{target}: {body}");
    body
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn guardrails_are_summed_by_rule_and_listed_by_hit() {
    let api = Api::with(DOCUMENT).await;
    judged(&api).await;
    let body = api.admin(&format!("/api/guardrails?{PERIOD}"));
    assert_eq!(body["step"], "hour");
    assert_eq!(body["times"].as_array().unwrap().len(), 3);
    let rules = body["rules"].as_array().unwrap();
    let named = |name: &str| rules.iter().find(|rule| rule["name"] == name).unwrap();
    let zero = json!({"total": 0, "blocked": 0, "redacted": 0, "modified": 0, "flagged": 0, "failed": 0, "shadow": 0});
    assert_eq!(
        *named("quiet"),
        json!({"name": "quiet", "judge": "guardrail", "configured": true, "action": "block", "shadow": false,
               "on": ["requests", "answers"], "verdicts": 0, "hits": zero, "took_us": null, "last": null})
    );
    let mut hits = zero.clone();
    (hits["total"], hits["shadow"]) = (2.into(), 2.into());
    assert_eq!(
        *named("secrets"),
        json!({"name": "secrets", "judge": "guardrail", "configured": true, "action": "redact", "shadow": true,
               "on": ["requests"], "verdicts": 2, "hits": hits, "took_us": null, "last": "2026-11-22T12:30:00.000000Z"})
    );
    let mut hits = zero.clone();
    (hits["total"], hits["modified"]) = (2.into(), 2.into());
    assert_eq!(
        *named("asked"),
        json!({"name": "asked", "judge": "hook", "configured": false, "action": null, "shadow": null, "on": null,
               "verdicts": 4, "hits": hits, "took_us": {"mean": 2_000, "max": 3_000}, "last": "2026-11-22T12:00:00.000000Z"})
    );
    assert_eq!(named("gone")["configured"], false);
    assert_eq!(named("gone")["hits"]["blocked"], 2);
    let series = body["series"].as_array().unwrap();
    let line = series.iter().find(|line| line["name"] == "gone").unwrap();
    assert_eq!(line["hits"], json!([1, 1, 0]));

    let list = |target: &str| -> Vec<String> {
        let body = api.admin(&format!("/api/guardrails/hits{target}"));
        let hits = body["hits"].as_array().unwrap().iter();
        hits.map(|hit| {
            let name = hit["verdict"]["name"].as_str().unwrap();
            format!("{} {name}", hit["user"].as_str().unwrap())
        })
        .collect()
    };
    let all = [
        "user0 secrets",
        "user2 asked",
        "user1 gone",
        "user0 secrets",
        "user2 asked",
        "user1 gone",
    ];
    let mut found = list("");
    found.sort_unstable();
    let mut expected = all;
    expected.sort_unstable();
    assert_eq!(found, expected);
    assert_eq!(list("?rule=secrets&shadow=true").len(), 2);
    assert_eq!(list("?rule=secrets&shadow=false").len(), 0);
    assert_eq!(list("?judge=hook"), ["user2 asked", "user2 asked"]);
    assert_eq!(list("?action=block&user=user1").len(), 2);
    assert_eq!(list("?action=allow").len(), 0);
    let theirs = user(&api, "user1", "/api/guardrails/hits");
    assert_eq!(theirs["hits"].as_array().unwrap().len(), 2);
    assert!(
        theirs["hits"]
            .as_array()
            .unwrap()
            .iter()
            .all(|hit| hit["user"] == "user1")
    );
    assert_eq!(
        user(&api, "user1", "/api/guardrails/hits?user=user2")["hits"],
        json!([])
    );
    for target in [
        "?judge=x",
        "?action=x",
        "?shadow=x",
        "?cursor=1-2",
        "?cursor=1-00000000000000000000000000000001-x",
    ] {
        let (status, _, _) = api.ask(
            Some("admin"),
            "root",
            "GET",
            &format!("/api/guardrails/hits{target}"),
        );
        assert_eq!(status, 400, "{target}");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn tools_are_counted_for_all_and_for_oneself() {
    let api = Api::with(DOCUMENT).await;
    stored(&api).await;
    let target = format!("/api/tool-calls/summary?{PERIOD}");
    let body = api.admin(&target);
    assert_eq!(
        body,
        json!({
            "since": "2026-11-22T10:00:00.000000Z", "until": "2026-11-22T13:00:00.000000Z", "step": "hour",
            "times": ["2026-11-22T10:00:00.000000Z", "2026-11-22T11:00:00.000000Z", "2026-11-22T12:00:00.000000Z"],
            "tools": [{"name": "read", "calls": 6, "hosted": 0, "users": body["tools"][0]["users"], "last": "2026-11-22T10:00:00.000005Z"}],
            "series": [{"name": "read", "calls": [6, 0, 0]}],
            "other": null,
            "total": {"calls": 6, "hosted": 0, "series": [6, 0, 0]},
        })
    );
    assert_eq!(api.admin(&format!("{target}&top=0"))["other"], json!([6, 0, 0]));
    let open = "/api/tool-calls/summary?since=2026-11-22T10:00:00Z&until=2030-01-01T00:00:00Z";
    assert_eq!(api.admin(open)["tools"][0]["users"], 3);
    let theirs = user(&api, "user1", &target);
    assert_eq!(theirs["tools"][0]["calls"], 2);
    assert_eq!(theirs["tools"][0]["users"], 1);
    let others = user(&api, "user1", &format!("{target}&user=user2"));
    assert_eq!(
        (&others["tools"], &others["total"]["calls"]),
        (&json!([]), &json!(0))
    );
    assert_eq!(api.admin(&format!("{target}&user=user2"))["total"]["calls"], 2);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn models_are_listed_to_whom_they_are_granted() {
    let api = Api::with(DOCUMENT).await;
    let since = "since=2026-11-20T00:00:00Z";
    let body = api.admin(&format!("/api/models?{since}"));
    let names = |body: &Value| -> Vec<String> {
        let models = body["models"].as_array().unwrap().iter();
        models
            .map(|model| model["model"].as_str().unwrap().to_owned())
            .collect()
    };
    assert_eq!(names(&body), ["gpt-5", "model0", "model1"]);
    assert_eq!(
        body["patterns"],
        json!([{"pattern": "mini-*", "providers": ["one"]}])
    );
    let gpt = &body["models"][0];
    assert_eq!(gpt["usage"], Value::Null);
    assert_eq!(gpt["health"], Value::Null);
    let providers = gpt["providers"].as_array().unwrap();
    assert_eq!(
        providers
            .iter()
            .map(|p| p["id"].as_str().unwrap())
            .collect::<Vec<_>>(),
        ["one", "two"]
    );
    assert_eq!(providers[0]["price"]["input"], "1.25");
    assert_eq!(
        (&providers[0]["serves"], &providers[0]["cost_basis"]),
        (&json!("listed"), &json!("openai"))
    );
    // Records 2 and 4; the price of what nobody knows is not known.
    let usage = &body["models"][1]["usage"];
    assert_eq!((&usage["requests"], &usage["input"]), (&json!(2), &json!(6)));
    assert_eq!(usage["last"], "2026-11-22T11:00:00.000000Z");
    assert_eq!(body["models"][1]["providers"][0]["price"], Value::Null);

    let theirs = user(&api, "user1", &format!("/api/models?{since}"));
    assert_eq!(names(&theirs), ["gpt-5", "model0"]);
    assert_eq!(theirs["patterns"], json!([]));
    assert_eq!(theirs["models"][0]["providers"].as_array().unwrap().len(), 1);
    assert_eq!(
        theirs["models"][0]["quotas"],
        json!([{"quota": "daily:<user>", "bucket": "daily:user1", "unit": "usd", "balance": 10_000_000_000_u64,
                "capacity": 10_000_000_000_u64, "percent_used": 0}])
    );
    assert_eq!(theirs["models"][1]["usage"]["requests"], 1);
    assert_eq!(
        user(&api, "user1", &format!("/api/models/model0?{since}"))["usage"]["last"],
        "2026-11-22T11:00:00.000000Z"
    );
    assert_eq!(
        names(&user(&api, "user2", &format!("/api/models?{since}"))),
        ["model1"]
    );
    for (login, model, status) in [
        ("user1", "model1", 404),
        ("user1", "two/gpt-5", 200),
        ("user2", "gpt-5", 404),
        ("user1", "mini-x", 404),
        ("user1", "nothing", 404),
    ] {
        let (found, _, _) = api.ask(Some("user"), login, "GET", &format!("/api/models/{model}"));
        assert_eq!(found, status, "{login} {model}");
    }
    assert_eq!(
        api.admin("/api/models/mini-x")["providers"][0]["serves"],
        "pattern"
    );
    assert_eq!(api.admin("/api/models/one/gpt-5")["model"], "gpt-5");
    // What was asked for lately says how the model does.
    let now = crate::reload::now();
    let lately = [200, 202].map(|number| {
        let mut r = record(number, now.0 - 5_000_000);
        (r.provider, r.ttft_us, r.duration_us) = ("one".into(), Some(20_000), 30_000);
        r
    });
    api.shown.live.feed(&lately, now);
    let health = &api.admin("/api/models/model0")["health"];
    assert_eq!(health["error_share"], 0.5, "{health}");
    assert!(
        health["ttft_p50_ms"]
            .as_u64()
            .is_some_and(|ms| (15..25).contains(&ms)),
        "{health}"
    );
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn buckets_have_a_history_and_a_speed() {
    let api = Api::with(DOCUMENT).await;
    let mine = api.open("daily:<user>", "daily:user1", Unit::Usd).await;
    let store = &api.shown.store;
    let now = api.shown.ledger.now();
    let take = async |ago: u64| {
        store
            .sample_buckets(0, 100, UnixMicros(now.0 - ago))
            .await
            .unwrap();
    };
    let charge = async |number: u64, amount: u64| {
        let mut used = record(number, now.0);
        used.charges = vec![Charge {
            bucket: mine,
            unit: Unit::Usd,
            amount,
        }];
        let batch = Batch {
            records: vec![used],
            ..Batch::default()
        };
        store.ingest(&batch).await.unwrap();
    };
    let row = || api.admin("/api/quotas?bucket=daily:user1")["quotas"][0].clone();
    assert_eq!((&row()["burn"], &row()["empty_at"]), (&Value::Null, &Value::Null));
    take(3 * HOUR).await;
    charge(300, 1_000_000_000).await;
    take(2 * HOUR).await;
    charge(301, 500_000_000).await;
    let found = row();
    assert_eq!(found["burn"], json!({"per_h": 500_000_000, "window_s": 3_600}));
    assert!(found["empty_at"].is_string(), "8.5 dollars last for 17 hours");
    let target = format!("/api/quotas/{mine}/history");
    let history = user(&api, "user1", &target);
    let points: Vec<(i64, u64)> = history["points"]
        .as_array()
        .unwrap()
        .iter()
        .map(|point| {
            (
                point["balance"].as_i64().unwrap(),
                point["charged"].as_u64().unwrap(),
            )
        })
        .collect();
    assert_eq!(
        points,
        [
            (10_000_000_000, 0),
            (9_000_000_000, 1_000_000_000),
            (8_500_000_000, 1_500_000_000)
        ]
    );
    assert_eq!(
        (&history["bucket"], &history["step_s"]),
        (&json!("daily:user1"), &json!(300))
    );
    for (who, login, target, status) in [
        ("user", "user2", target.clone(), 404),
        ("admin", "root", target.clone(), 200),
        ("admin", "root", "/api/quotas/999/history".to_owned(), 404),
        ("admin", "root", "/api/quotas/x/history".to_owned(), 404),
        ("admin", "root", format!("{target}?step=minute"), 400),
    ] {
        let (found, _, body) = api.ask(Some(who), login, "GET", &target);
        assert_eq!(found, status, "{login} {target}: {body}");
    }
    assert_eq!(
        user(&api, "user1", &format!("{target}?step=day"))["step_s"],
        86_400
    );
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn captures_show_what_rules_of_now_find_and_looking_is_on_record() {
    let api = Api::with(DOCUMENT).await;
    stored(&api).await;
    let target = format!("/api/captures/{}/shadow", id(1));
    let found = user(&api, "user1", &target);
    assert_eq!(found["looked_at"], json!({"request": true, "answer": true}));
    let rules = found["rules"].as_array().unwrap();
    assert_eq!(rules.len(), 2);
    let quiet = rules.iter().find(|rule| rule["name"] == "quiet").unwrap();
    assert_eq!(quiet["found"][0]["what"], "phrase");
    assert!(
        quiet["found"][0]["where"]
            .as_str()
            .unwrap()
            .starts_with("answer."),
        "{quiet}"
    );
    assert!(!found.to_string().contains("all work"), "{found}");
    let (status, _, body) = api.ask(Some("user"), "user2", "GET", &target);
    assert_eq!(
        (status, &body["type"]),
        (404, &json!("urn:sluice:problem:no-capture"))
    );
    let views = async || {
        let query = crate::store::audit::AuditQuery {
            limit: 100,
            ..Default::default()
        };
        let entries = api.shown.store.audit(&query).await.unwrap();
        entries.into_iter().filter(|e| e.action == "capture.view").count()
    };
    assert_eq!(views().await, 0);
    api.admin(&target);
    assert_eq!(views().await, 1);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn search_finds_ones_own() {
    let api = Api::with(DOCUMENT).await;
    stored(&api).await;
    let nothing = json!({"people": [], "models": [], "sessions": [], "requests": [], "tools": []});
    assert_eq!(api.admin("/api/search?q="), nothing);
    assert_eq!(api.admin("/api/search"), nothing);
    assert_eq!(api.admin("/api/search?q=re")["tools"], json!(["read"]));
    assert_eq!(user(&api, "user7", "/api/search?q=re")["tools"], json!([]));
    assert_eq!(api.admin("/api/search?q=5")["models"], json!(["gpt-5"]));
    assert_eq!(user(&api, "user2", "/api/search?q=gpt")["models"], json!([]));
    assert_eq!(
        user(&api, "user1", "/api/search?q=gpt")["models"],
        json!(["gpt-5"])
    );
    let first: RequestId = record(1, 0).request_id;
    let target = format!("/api/search?q={first}");
    assert_eq!(api.admin(&target)["requests"], json!([first.to_string()]));
    assert_eq!(
        user(&api, "user1", &target)["requests"],
        json!([first.to_string()])
    );
    assert_eq!(user(&api, "user2", &target)["requests"], json!([]));
    let (status, _, _) = api.ask(
        Some("admin"),
        "root",
        "GET",
        &format!("/api/search?q={}", "x".repeat(300)),
    );
    assert_eq!(status, 400);
}
