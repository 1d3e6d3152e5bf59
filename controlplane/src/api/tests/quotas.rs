//! Budgets over the API: what is in buckets, for whom, in pages; money by hand, and what is remembered of it.

use sluice_shared::quota::ledger::Ask;
use sluice_shared::quota::{Charge, Unit};
use sluice_shared::wire::control::{Bucket, BucketRef, LeaseAnswer};

use super::*;

const DOCUMENT: &str = r#"{
  "providers": {"p": {"baseurl": "http://127.0.0.1:8000", "models": ["**"], "auth_mode": "none"}},
  "grants": [
    {"src": ["root"], "capabilities": [{"role": "admin", "models": "**"}]},
    {"src": ["user1"], "capabilities": [{"role": "user", "models": "**", "quotas": [{"bucket": "daily:<user>"}, {"bucket": "all"}, {"bucket": "gone"}]}]},
    {"src": ["user2"], "capabilities": [{"role": "user", "models": "**", "quotas": [{"bucket": "daily:<user>"}]}]},
  ],
  "quotas": {
    "daily:<user>": {"capacity": "$10.00", "tokens": "1M/day"},
    "daily:<node>": {"capacity": "$3.00"},
    "all": {"requests": 100},
    "<user>/<model>": {"requests": {"capacity": 5, "rate": "1/hour"}},
  },
}"#;

const ADMIN: (&str, &str) = ("admin", "root");
const USER1: (&str, &str) = ("user", "user1");
const USER2: (&str, &str) = ("user", "user2");

impl Api {
    /// Makes a bucket by asking for it, as a data plane does; its number.
    pub(super) async fn open(&self, quota: &str, name: &str, unit: Unit) -> u64 {
        let bucket = BucketRef::Named(Bucket {
            quota: quota.into(),
            name: name.into(),
            unit,
        });
        let ask = Ask {
            seq: 1,
            first: 1,
            need: 1,
            ..Ask::default()
        };
        match self.shown.ledger.lease(1, bucket, ask).await {
            Some(LeaseAnswer::Granted { bucket, .. }) => bucket,
            other => panic!("{name}: {other:?}"),
        }
    }

    /// Stores the record of a request that used this much.
    async fn charge(&self, number: u64, bucket: u64, unit: Unit, amount: u64) {
        let mut used = record(number, 1_795_341_600_000_000);
        used.charges = vec![Charge { bucket, unit, amount }];
        let batch = Batch {
            records: vec![used],
            ..Batch::default()
        };
        self.shown.store.ingest(&batch).await.unwrap();
    }

    fn look(&self, who: (&str, &str), target: &str) -> Value {
        let (status, _, body) = self.ask(Some(who.0), who.1, "GET", target);
        assert_eq!(status, 200, "{target}: {body}");
        body
    }

    fn refill(&self, body: &Value) -> (u16, Value) {
        let body = body.to_string();
        let request = format!(
            "POST /api/quotas/refill HTTP/1.1\r\nhost: x\r\nx-sluice-role: admin\r\nx-sluice-login: root\r\ncontent-type: application/json\r\ncontent-length: {}\r\nconnection: close\r\n\r\n{body}",
            body.len()
        );
        let (status, _, body) = exchange(&self.path, &request);
        (status, body)
    }
}

/// `bucket unit` of each entry.
fn buckets(body: &Value, list: &str) -> Vec<String> {
    let entries = body[list].as_array().unwrap().iter();
    let name = |entry: &Value| {
        format!(
            "{} {}",
            entry["bucket"].as_str().unwrap(),
            entry["unit"].as_str().unwrap()
        )
    };
    entries.map(name).collect()
}

/// A gateway with seven buckets, one of them used.
async fn used() -> Api {
    let api = Api::with(DOCUMENT).await;
    assert_eq!(
        api.look(ADMIN, "/api/quotas")["quotas"],
        json!([]),
        "nobody has asked for any"
    );
    let one = api.open("daily:<user>", "daily:user1", Unit::Usd).await;
    api.open("daily:<user>", "daily:user1", Unit::Tokens).await;
    api.open("daily:<user>", "daily:user2", Unit::Usd).await;
    // The same name, by another quota.
    api.open("daily:<node>", "daily:user1", Unit::Usd).await;
    api.open("all", "all", Unit::Requests).await;
    api.open("<user>/<model>", "user1/m", Unit::Requests).await;
    api.open("<user>/<model>", "user2/m", Unit::Requests).await;
    api.charge(101, one, Unit::Usd, 8_500_000_000).await;
    api
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_bucket_is_shown_exactly() {
    let api = used().await;
    let list = api.look(
        ADMIN,
        "/api/quotas?quota=daily:%3Cuser%3E&bucket=daily:user1&unit=usd",
    );
    let id = list["quotas"][0]["id"].clone();
    let leased = list["quotas"][0]["leased"].clone();
    assert_eq!(
        list["quotas"],
        json!([{
            "quota": "daily:<user>", "bucket": "daily:user1", "unit": "usd", "id": id, "capacity": 10_000_000_000_u64,
            "balance": 1_500_000_000, "leased": leased, "charged": 8_500_000_000_u64, "rate": null, "percent_used": 85,
            "burn": null, "empty_at": null, "full_at": null, "display": {"capacity": "$10.00", "balance": "$1.50", "rate": null},
        }])
    );
    let tokens = api.look(ADMIN, "/api/quotas?bucket=daily:user1&unit=tokens");
    let tokens = &tokens["quotas"][0];
    assert_eq!(
        (
            &tokens["rate"],
            &tokens["display"],
            &tokens["percent_used"],
            &tokens["full_at"]
        ),
        (
            &json!({"amount": 1_000_000, "per_s": 86_400}),
            &json!({"capacity": "1M", "balance": "1M", "rate": "1M/day"}),
            &json!(0),
            &Value::Null,
        )
    );
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn users_see_their_own_and_admins_all() {
    let api = used().await;
    let check = |who: (&str, &str), query: &str, expected: &[&str]| {
        let found = api.look(who, &format!("/api/quotas{query}"));
        assert_eq!(buckets(&found, "quotas"), expected, "{who:?} {query}");
        assert!(found["next"].is_null(), "{query}");
    };
    let all = [
        "all requests",
        "daily:user1 usd",
        "daily:user1 usd",
        "daily:user1 tokens",
        "daily:user2 usd",
        "user1/m requests",
        "user2/m requests",
    ];
    check(ADMIN, "", &all);
    check(ADMIN, "?unit=tokens", &["daily:user1 tokens"]);
    check(ADMIN, "?quota=all&bucket=", &["all requests"]);
    check(ADMIN, "?quota=none", &[]);
    check(
        USER1,
        "",
        &[
            "all requests",
            "daily:user1 usd",
            "daily:user1 tokens",
            "user1/m requests",
        ],
    );
    check(USER1, "?bucket=daily:user2", &[]);
    check(USER2, "", &["daily:user2 usd", "user2/m requests"]);
    check(USER2, "?bucket=all", &[]);
    check(("user", "user3"), "", &[]);
    for (who, expected) in [(ADMIN, 7), (USER1, 4)] {
        for limit in 1..=7 {
            let (mut seen, mut cursor) = (Vec::new(), String::new());
            loop {
                let page = api.look(who, &format!("/api/quotas?limit={limit}&cursor={cursor}"));
                let found = buckets(&page, "quotas");
                assert!(found.len() <= limit, "{page}");
                seen.extend(found);
                match page["next"].as_str() {
                    Some(next) => cursor = next.to_owned(),
                    None => break,
                }
            }
            assert_eq!(seen.len(), expected, "{who:?}, {limit} a page: {seen:?}");
        }
    }
    for (query, name) in [
        ("limit=0", "limit"),
        ("limit=1001", "limit"),
        ("cursor=x", "cursor"),
        ("unit=euro", "unit"),
        ("name=x", "name"),
    ] {
        let (status, _, body) = api.ask(Some("admin"), "root", "GET", &format!("/api/quotas?{query}"));
        assert_eq!(status, 400, "{query}");
        assert!(
            body["detail"].as_str().unwrap().contains(&format!("{name:?}")),
            "{body}"
        );
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn money_by_hand_stops_at_the_ceiling_and_is_remembered() {
    let api = used().await;
    let check = |body: Value, status: u16, expected: Value| {
        let (found, answer) = api.refill(&body);
        assert_eq!(found, status, "{body}: {answer}");
        for (key, value) in expected.as_object().unwrap() {
            assert_eq!(&answer[key], value, "{body}: {answer}");
        }
    };
    let problem = |code: &str| json!({"type": format!("urn:sluice:problem:{code}")});
    let two = json!({"bucket": "daily:user1", "quota": "daily:<user>", "amount": "$2.00"});
    check(
        two.clone(),
        200,
        json!({"quota": "daily:<user>", "bucket": "daily:user1", "unit": "usd", "before": 1_500_000_000, "after": 3_500_000_000_u64,
               "added": 2_000_000_000, "display": {"before": "$1.50", "after": "$3.50", "added": "$2.00"}}),
    );
    // The name alone is that of two buckets.
    let (status, answer) = api.refill(&json!({"bucket": "daily:user1"}));
    assert_eq!(
        (status, &answer["type"]),
        (409, &problem("ambiguous-bucket")["type"])
    );
    assert_eq!(
        answer["candidates"],
        json!([
            {"quota": "daily:<node>", "bucket": "daily:user1", "unit": "usd"},
            {"quota": "daily:<user>", "bucket": "daily:user1", "unit": "usd"},
        ])
    );
    check(
        json!({"bucket": "daily:user1", "quota": "daily:<user>", "amount": 2.5}),
        200,
        json!({"after": 6_000_000_000_u64}),
    );
    check(
        json!({"bucket": "daily:user1", "quota": "daily:<user>"}),
        200,
        json!({"before": 6_000_000_000_u64, "after": 10_000_000_000_u64, "added": 4_000_000_000_u64}),
    );
    check(
        two,
        200,
        json!({"before": 10_000_000_000_u64, "after": 10_000_000_000_u64, "added": 0}),
    );
    // Without a unit it is dollars.
    check(json!({"bucket": "all"}), 404, problem("no-bucket"));
    let (_, answer) = api.refill(&json!({"bucket": "all"}));
    assert!(
        answer["detail"].as_str().unwrap().contains("requests"),
        "{answer}"
    );
    check(
        json!({"bucket": "all", "unit": "requests", "amount": 5}),
        200,
        json!({"added": 0}),
    );
    check(json!({"bucket": "daily:user9"}), 404, problem("no-bucket"));
    for amount in [
        json!("5"),
        json!("$-5"),
        json!("$0"),
        json!(0),
        json!(-1),
        json!(1e300),
        json!("$9999999999999"),
        json!("$0.0000000001"),
        json!("5k"),
    ] {
        let body = json!({"bucket": "daily:user2", "amount": amount});
        check(body, 422, problem("bad-amount"));
    }
    for body in [
        json!({}),
        json!({"bucket": ""}),
        json!({"bucket": 5}),
        json!({"bucket": "all", "unit": "euro"}),
        json!({"bucket": "all", "amount": []}),
        json!({"bucket": "all", "amuont": "$5.00"}),
    ] {
        check(body, 400, problem("bad-body"));
    }

    let history = api.look(ADMIN, "/api/quotas/refills?bucket=daily:user1");
    let told: Vec<(&str, &str)> = history["refills"]
        .as_array()
        .unwrap()
        .iter()
        .map(|entry| {
            (
                entry["author"].as_str().unwrap(),
                entry["display"]["added"].as_str().unwrap(),
            )
        })
        .collect();
    assert_eq!(
        told,
        [
            ("root", "$0.00"),
            ("root", "$4.00"),
            ("root", "$2.50"),
            ("root", "$2.00")
        ],
        "newest first"
    );
    assert!(history["next"].is_null() && history["refills"][0]["time"].is_string());
    let page = api.look(USER1, "/api/quotas/refills?limit=3");
    assert_eq!(
        buckets(&page, "refills"),
        ["all requests", "daily:user1 usd", "daily:user1 usd"]
    );
    let rest = api.look(
        USER1,
        &format!(
            "/api/quotas/refills?limit=3&cursor={}",
            page["next"].as_str().unwrap()
        ),
    );
    assert_eq!(buckets(&rest, "refills"), ["daily:user1 usd"; 2]);
    assert!(rest["next"].is_null());
    assert_eq!(api.look(USER2, "/api/quotas/refills")["refills"], json!([]));
    let (status, _, _) = api.ask(Some("admin"), "root", "GET", "/api/quotas/refills?cursor=-1");
    assert_eq!(status, 400);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn marks_are_told_to_whom_they_concern() {
    let api = used().await;
    let all = api.look(ADMIN, "/api/quotas/events");
    let told: Vec<(&str, u64, &str)> = all["events"]
        .as_array()
        .unwrap()
        .iter()
        .map(|e| {
            let display = &e["display"];
            (
                e["bucket"].as_str().unwrap(),
                e["percent"].as_u64().unwrap(),
                display["balance"].as_str().unwrap(),
            )
        })
        .collect();
    assert_eq!(told.first(), Some(&("daily:user1", 80, "$1.50")), "{all}");
    assert_eq!(api.look(USER1, "/api/quotas/events")["events"], all["events"]);
    assert_eq!(api.look(USER2, "/api/quotas/events")["events"], json!([]));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn explanations_name_budgets_and_what_is_left() {
    let api = used().await;
    let answer = api.look(USER1, "/api/explain?model=gpt&api=openai_chat");
    let quotas = &answer["model"]["apis"][0]["candidates"][0]["quotas"];
    assert_eq!(
        *quotas,
        json!([
            {"quota": "daily:<user>", "grant": "grants[1]", "usable": true, "buckets": [{"bucket": "daily:user1", "limits": [
                {"unit": "usd", "capacity": 10_000_000_000_u64, "balance": 1_500_000_000,
                 "display": {"capacity": "$10.00", "balance": "$1.50", "rate": null}},
                {"unit": "tokens", "capacity": 1_000_000, "balance": 1_000_000,
                 "display": {"capacity": "1M", "balance": "1M", "rate": "1M/day"}},
            ]}]},
            {"quota": "all", "grant": "grants[1]", "usable": true, "buckets": [{"bucket": "all", "limits": [
                {"unit": "requests", "capacity": 100, "balance": 100,
                 "display": {"capacity": "100", "balance": "100", "rate": null}},
            ]}]},
            {"quota": "gone", "grant": "grants[1]", "usable": false, "buckets": []},
        ]),
        "{answer:#}"
    );
    assert!(
        api.look(USER1, "/api/explain")["model"].is_null(),
        "nothing was asked about a model"
    );
    // Nobody has used this one yet.
    let answer = api.look(
        ("admin", "root"),
        "/api/explain?as=user2&group=x&model=gpt&api=openai_chat",
    );
    let of_two = &answer["model"]["apis"][0]["candidates"][0]["quotas"][0]["buckets"][0]["limits"];
    assert_eq!(
        (&of_two[0]["balance"], &of_two[1]["balance"]),
        (&json!(10_000_000_000_u64), &Value::Null)
    );
}
