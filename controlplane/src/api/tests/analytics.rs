//! Series, adoption and people over the API: what they show, whose it is, pages, tables and what is refused.

use sluice_shared::units::NanoUsd;
use sluice_shared::usage::UsageRecord;

use super::*;

/// Logins that a spreadsheet or a page would take for something else.
const ODD: [&str; 3] = ["=HYPERLINK(\"http://x\")", "a,\"b\"\r\n", "tag:ci,tag:x"];

async fn started() -> Api {
    let api = Api::start().await;
    let records: Vec<UsageRecord> = (10..)
        .zip(ODD)
        .map(|(number, login)| {
            let mut r = record(number, 1_795_345_260_000_000 + number);
            r.user = login.into();
            r.node = format!("node{number}");
            r.user_agent = Some("codex_exec/1".into());
            r
        })
        .collect();
    let batch = Batch {
        records,
        ..Batch::default()
    };
    api.shown.store.ingest(&batch).await.unwrap();
    api
}

fn user(api: &Api, login: &str, target: &str) -> Value {
    let (status, _, body) = api.ask(Some("user"), login, "GET", target);
    assert_eq!(status, 200, "{target}: {body}");
    body
}

fn logins(list: &Value) -> Vec<&str> {
    list.as_array()
        .unwrap()
        .iter()
        .map(|entry| entry["login"].as_str().unwrap())
        .collect()
}

const SPAN: &str = "since=2026-11-22T10:00:00Z&until=2026-11-22T12:00:00Z";

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn series_show_totals_parts_and_the_rest() {
    let api = started().await;
    let body = api.admin(&format!("/api/usage/series?step=hour&split=user&top=1&{SPAN}"));
    assert_eq!(
        body["times"],
        json!(["2026-11-22T10:00:00.000000Z", "2026-11-22T11:00:00.000000Z"])
    );
    assert_eq!(body["total"]["requests"], json!([3, 4]));
    assert_eq!(body["total"]["key"], Value::Null);
    assert_eq!(body["series"].as_array().unwrap().len(), 1);
    assert_eq!(body["total"]["totals"]["requests"], 7);
    let shown = body["series"][0]["totals"]["requests"].as_u64().unwrap();
    assert_eq!(body["other"]["totals"]["requests"], 7 - shown);
    let body = api.admin(&format!(
        "/api/usage/series?step=hour&split=model&model=model1&{SPAN}"
    ));
    assert_eq!(
        (body["series"][0]["key"].as_str(), &body["other"]),
        (Some("model1"), &Value::Null)
    );
    assert_eq!(body["series"][0]["requests"], body["total"]["requests"]);
    let body = api.admin(&format!("/api/usage/series?step=minute&{SPAN}"));
    assert_eq!(body["times"].as_array().unwrap().len(), 120);
    let body = api.admin(&format!("/api/usage/series?step=day&offset_s=-39600&{SPAN}"));
    assert_eq!(
        body["times"],
        json!(["2026-11-21T11:00:00.000000Z", "2026-11-22T11:00:00.000000Z"])
    );
    assert_eq!(body["total"]["requests"], json!([3, 4]));
    let groups = api.admin("/api/usage?by=api&model=model1&provider=openai");
    assert_eq!(groups["groups"][0]["key"], "openai_chat");

    // A user sees nobody else.
    let own = user(&api, "user1", &format!("/api/usage/series?split=user&{SPAN}"));
    assert_eq!(
        (
            own["series"][0]["key"].as_str(),
            own["total"]["totals"]["requests"].as_u64()
        ),
        (Some("user1"), Some(2))
    );
    let others = user(&api, "user1", &format!("/api/usage/series?user=user2&{SPAN}"));
    assert_eq!(others["total"]["requests"], json!([0, 0]));
    assert_eq!((&others["series"], &others["other"]), (&json!([]), &Value::Null));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_largest_groups_of_usage_come_first_and_are_counted() {
    let api = Api::start().await;
    // What costs most is asked for least.
    let records: Vec<UsageRecord> = (10..16)
        .map(|number| {
            let mut r = record(number, 1_795_345_260_000_000 + number);
            let rank = number.min(12);
            (r.user, r.model_asked) = (format!("u{rank}"), "m".into());
            r.cost = Some(NanoUsd(1_000 - rank * 50));
            (r.usage.input, r.usage.output) = (Some(rank), Some(1));
            r
        })
        .collect();
    let batch = Batch {
        records,
        ..Batch::default()
    };
    api.shown.store.ingest(&batch).await.unwrap();
    let check = |query: &str, expected: &[&str], truncated: bool| {
        let body = api.admin(&format!("/api/usage?model=m&{query}"));
        let groups = body["groups"].as_array().unwrap();
        let keys: Vec<&str> = groups
            .iter()
            .map(|group| group["key"].as_str().unwrap())
            .collect();
        assert_eq!(
            (keys.as_slice(), &body["truncated"]),
            (expected, &json!(truncated)),
            "{query}"
        );
    };
    check("by=user", &["u12", "u10", "u11"], false);
    check("by=user&sort=cost&limit=3", &["u12", "u10", "u11"], false);
    check("by=user&sort=requests&limit=1", &["u12"], true);
    check("by=user&sort=tokens&limit=2", &["u12", "u11"], true);
    api.shown
        .store
        .ingest(&Batch {
            records: vec![{
                let mut r = record(30, 1_795_345_260_000_000 + 3_600_000_000);
                (r.user, r.model_asked, r.cost) = ("u99".into(), "m".into(), Some(NanoUsd(90_000)));
                (r.usage.input, r.usage.output) = (Some(1), Some(1));
                r
            }],
            ..Batch::default()
        })
        .await
        .unwrap();
    check("by=user&sort=cost&limit=2", &["u99", "u12"], true);
    // Of times the newest are shown.
    let newest = api.admin("/api/usage?model=m&by=hour&limit=1");
    assert_eq!(
        (newest["groups"][0]["requests"].as_u64(), &newest["truncated"]),
        (Some(1), &json!(true))
    );
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_series_cannot_show_is_refused() {
    let api = Api::start().await;
    let check = |query: &str, name: &str| {
        let (status, _, body) = api.ask(Some("admin"), "root", "GET", &format!("/api/{query}"));
        assert_eq!(status, 400, "{query}: {body}");
        assert!(
            body["detail"].as_str().unwrap().contains(&format!("{name:?}")),
            "{query}: {body}"
        );
    };
    check("usage/series?step=week", "step");
    check("usage/series?split=color", "split");
    check("usage?sort=price", "sort");
    check("usage?limit=0", "limit");
    check("usage?limit=10001", "limit");
    check("usage/series?top=0", "top");
    check("usage/series?top=51", "top");
    check("usage/series?offset_s=1800", "offset_s");
    check("usage/series?step=minute&since=0&until=90060", "since");
    check("usage/series?step=day&since=0&until=9999999999", "since");
    check("adoption?since=0", "since");
    check("adoption?offset_s=x", "offset_s");
    check("adoption/users?sort=name", "sort");
    check("adoption/users?order=up", "order");
    check("adoption/users?format=xml", "format");
    check("adoption/users?cursor=-1", "cursor");
    check("people?cursor=x", "cursor");
    check("people?sort=days", "sort");
    check("sessions?sort=size", "sort");
    let most = api.admin("/api/usage/series?step=minute&since=0&until=90000");
    assert_eq!(most["times"].as_array().unwrap().len(), 1_500);
    let none = api.admin("/api/usage/series?step=minute&since=60&until=60");
    assert_eq!(
        (&none["times"], &none["total"]["requests"]),
        (&json!([]), &json!([]))
    );
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn adoption_counts_people_and_lists_them() {
    let api = started().await;
    let span = "since=2026-11-22T00:00:00Z&until=2026-11-24T00:00:00Z";
    let body = api.admin(&format!("/api/adoption?{span}"));
    assert_eq!(
        body["users"],
        json!({"total": 6, "active_1d": 1, "active_7d": 6, "active_30d": 6, "active": 6, "new": 6})
    );
    assert_eq!(
        body["days"][0],
        json!({"time": "2026-11-22T00:00:00.000000Z", "active": 6, "active_7d": 6, "active_30d": 6, "new": 6, "requests": 7})
    );
    assert_eq!(
        ["active", "active_7d"].map(|name| body["days"][1][name].as_u64()),
        [Some(1), Some(6)]
    );
    let models: u64 = body["models"]
        .as_array()
        .unwrap()
        .iter()
        .map(|m| m["requests"].as_u64().unwrap())
        .sum();
    assert_eq!(models, 8);
    let counted: u64 = body["distribution"]["requests"]
        .as_array()
        .unwrap()
        .iter()
        .map(|c| c["users"].as_u64().unwrap())
        .sum();
    assert_eq!(counted, 6);

    let (mut seen, mut cursor) = (Vec::new(), String::new());
    loop {
        let page = api.admin(&format!(
            "/api/adoption/users?{span}&sort=login&limit=4&cursor={cursor}"
        ));
        assert_eq!(page["total"], 6);
        seen.extend(logins(&page["users"]).into_iter().map(str::to_owned));
        match page["next_cursor"].as_str() {
            Some(next) => cursor = next.to_owned(),
            None => break,
        }
    }
    let mut expected = vec!["user0", "user1", "user2"];
    expected.extend(ODD);
    expected.sort_unstable();
    assert_eq!(seen, expected);
    let found = api.admin(&format!(
        "/api/adoption/users?{span}&search=USER&sort=requests&order=asc"
    ));
    assert_eq!(logins(&found["users"]), ["user0", "user1", "user2"]);

    let request = format!(
        "GET /api/adoption/users?{span}&format=csv&sort=login HTTP/1.1\r\nhost: x\r\nx-sluice-role: admin\r\nx-sluice-login: root\r\nconnection: close\r\n\r\n"
    );
    let mut stream = std::os::unix::net::UnixStream::connect(&api.path).unwrap();
    stream.write_all(request.as_bytes()).unwrap();
    let mut answer = String::new();
    stream.read_to_string(&mut answer).unwrap();
    let (head, csv) = answer.split_once("\r\n\r\n").unwrap();
    assert!(head.contains("content-type: text/csv; charset=utf-8"), "{head}");
    assert!(
        head.contains("content-disposition: attachment; filename=\"users.csv\""),
        "{head}"
    );
    assert!(
        csv.starts_with("login,requests,errors,input,output,cost_nanousd,"),
        "{csv}"
    );
    assert!(
        csv.contains("\r\n\"'=HYPERLINK(\"\"http://x\"\")\",1,1,10,1,"),
        "{csv}"
    );
    assert!(csv.contains("\r\n\"a,\"\"b\"\"\r\n\",1,"), "{csv}");
    assert!(csv.contains("\r\n\"tag:ci,tag:x\",1,"), "{csv}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn people_are_found_and_others_do_not_exist() {
    let api = started().await;
    let body = api.admin("/api/people?sort=login");
    assert_eq!(body["people"].as_array().unwrap().len(), 6);
    let kinds: Vec<(&str, &str)> = body["people"]
        .as_array()
        .unwrap()
        .iter()
        .map(|p| (p["login"].as_str().unwrap(), p["kind"].as_str().unwrap()))
        .collect();
    assert!(kinds.contains(&("tag:ci,tag:x", "device")) && kinds.contains(&("user1", "person")));
    let one = api.admin("/api/people/tag%3Aci%2Ctag%3Ax");
    assert_eq!(one["totals"]["requests"], 1);
    assert_eq!(one["models"][0]["key"], "model0");
    assert_eq!(one["providers"][0]["key"], "openai");
    assert_eq!(one["clients"][0]["client"], "codex");
    assert_eq!(one["nodes"][0]["node"], "node12");
    assert_eq!((&one["tokens"], &one["last_session"]), (&json!(0), &Value::Null));

    assert_eq!(logins(&user(&api, "user1", "/api/people")["people"]), ["user1"]);
    assert_eq!(user(&api, "user1", "/api/people/user1")["requests"], 2);
    let (status, _, theirs) = api.ask(Some("user"), "user1", "GET", "/api/people/user2");
    let (nobody, _, none) = api.ask(Some("user"), "user1", "GET", "/api/people/nobody");
    assert_eq!(
        (status, nobody, &theirs),
        (404, 404, &none),
        "others look like nobody"
    );
    // Whoever has sent nothing yet is somebody to themselves.
    let fresh = user(&api, "new", "/api/people/new");
    assert_eq!((&fresh["first"], &fresh["requests"]), (&Value::Null, &json!(0)));
    assert_eq!(user(&api, "new", "/api/people")["people"], json!([]));
    let (status, _, _) = api.ask(Some("admin"), "root", "GET", "/api/people/new");
    assert_eq!(status, 404);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_largest_sessions_come_first() {
    let api = Api::start().await;
    let records = (20..40).map(|number| {
        let mut r = record(number, 1_795_341_600_000_000 + number * 1_000_000);
        (r.user, r.model_asked) = (format!("user{}", number % 2), format!("model{}", number % 3));
        r.session = Some(format!("s{}", number * number % 7));
        r
    });
    let batch = Batch {
        records: records.collect(),
        ..Batch::default()
    };
    api.shown.store.ingest(&batch).await.unwrap();
    let all = api.admin("/api/sessions");
    let all = all["sessions"].as_array().unwrap();
    assert!(all.len() > 5);
    for (sort, size) in [
        (
            "cost",
            &(|s: &Value| s["cost_nanousd"].as_u64().unwrap()) as &dyn Fn(&Value) -> u64,
        ),
        ("requests", &|s| s["requests"].as_u64().unwrap()),
        ("tokens", &|s| {
            s["input"].as_u64().unwrap() + s["output"].as_u64().unwrap()
        }),
    ] {
        let (mut sizes, mut cursor) = (Vec::new(), String::new());
        loop {
            let page = api.admin(&format!("/api/sessions?sort={sort}&limit=2&cursor={cursor}"));
            assert_eq!(page["considered_since"], Value::Null);
            sizes.extend(page["sessions"].as_array().unwrap().iter().map(size));
            match page["next_cursor"].as_str() {
                Some(next) => cursor = next.to_owned(),
                None => break,
            }
        }
        let mut expected: Vec<u64> = all.iter().map(size).collect();
        expected.sort_unstable_by(|a, b| b.cmp(a));
        assert_eq!(sizes, expected, "{sort}");
    }
    for filter in [
        "user=user1",
        "model=model1",
        "client=unknown",
        "since=1795341630",
        "until=1795341630",
    ] {
        let newest = api.admin(&format!("/api/sessions?{filter}"));
        let largest = api.admin(&format!("/api/sessions?sort=cost&{filter}"));
        let ids = |list: &Value| -> std::collections::BTreeSet<String> {
            list["sessions"]
                .as_array()
                .unwrap()
                .iter()
                .map(|s| s["id"].to_string())
                .collect()
        };
        assert_eq!(ids(&newest), ids(&largest), "{filter}");
        assert!(
            !ids(&newest).is_empty() && ids(&newest).len() <= all.len(),
            "{filter}"
        );
    }
    let own = user(&api, "user1", "/api/sessions?sort=cost");
    assert!(
        own["sessions"]
            .as_array()
            .unwrap()
            .iter()
            .all(|s| s["user"] == "user1")
    );
    assert_eq!(
        user(&api, "user1", "/api/sessions?sort=cost&user=user0")["sessions"],
        json!([])
    );
}
