//! Sessions over the API: the golden answer, whose they are, and what is refused.

use sluice_shared::usage::{SessionSource, UsageRecord};

use super::*;

fn of(number: u64, user: &str, key: &str, agent: Option<&str>, parent: Option<&str>) -> UsageRecord {
    let mut r = record(number, 1_795_341_600_000_000 + number * 1_000_000);
    r.user = user.into();
    r.session = Some(key.into());
    r.session_source = SessionSource::Header;
    r.agent = agent.map(str::to_owned);
    r.parent = parent.map(str::to_owned);
    r.user_agent = Some("claude-cli/2.1.197 (external, cli)".into());
    r.duration_us = 1_000;
    r.tool_calls = 1;
    r
}

async fn started() -> Api {
    let api = Api::start().await;
    let batch = Batch {
        records: vec![
            of(11, "user1", "s1", None, None),
            of(12, "user1", "s1", Some("a"), None),
            of(13, "user1", "s1", Some("<b>"), Some("a")),
            of(14, "user1", "s1", None, None),
            of(16, "user2", "s1", None, None),
            of(17, "user1", "s2", None, Some("s1")),
        ],
        ..Batch::default()
    };
    api.shown.store.ingest(&batch).await.unwrap();
    api
}

fn user(api: &Api, target: &str) -> (u16, Value) {
    let (status, _, body) = api.ask(Some("user"), "user1", "GET", target);
    (status, body)
}

fn keys(body: &Value) -> Vec<String> {
    let all = body["sessions"].as_array().unwrap().iter();
    all.map(|s| format!("{} {}", s["user"].as_str().unwrap(), s["key"].as_str().unwrap()))
        .collect()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_session_is_shown_with_its_tree() {
    let api = started().await;
    let list = api.admin("/api/sessions");
    assert_eq!(keys(&list), ["user1 s2", "user2 s1", "user1 s1"]);
    let id = list["sessions"][2]["id"].as_str().unwrap();
    let found = api.admin(&format!("/api/sessions/{id}"));
    let expected: Value = serde_json::from_str(include_str!("../golden/session.json")).unwrap();
    assert_eq!(found, expected, "{found:#}");
    let requests = api.admin(&format!("/api/sessions/{id}/requests"));
    assert_eq!(numbers(&requests), [14, 13, 12, 11]);
    assert_eq!(requests["requests"][1]["agent"], "<b>");
    let first = api.admin(&format!("/api/sessions/{id}/requests?limit=3"));
    let next = first["next_cursor"].as_str().unwrap();
    let second = api.admin(&format!("/api/sessions/{id}/requests?limit=3&cursor={next}"));
    assert_eq!(
        (numbers(&second), &second["next_cursor"]),
        (vec![11], &Value::Null)
    );
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_user_has_own_sessions_and_requests_only() {
    let api = started().await;
    let list = api.admin("/api/sessions?user=user2");
    assert_eq!(keys(&list), ["user2 s1"]);
    let foreign = list["sessions"][0]["id"].as_str().unwrap();
    let (_, own) = user(&api, "/api/sessions");
    assert_eq!(keys(&own), ["user1 s2", "user1 s1"]);
    assert_eq!(user(&api, "/api/sessions?user=user2").1["sessions"], json!([]));
    // What is somebody else's looks as what is not there.
    let missing = "0".repeat(32);
    let check = |target: &dyn Fn(&str) -> String, foreign: &str| {
        let (there, not_there) = (user(&api, &target(foreign)), user(&api, &target(&missing)));
        assert_eq!(there.0, 404, "{}", there.1);
        assert_eq!(there, not_there);
    };
    check(&|id| format!("/api/sessions/{id}"), foreign);
    check(&|id| format!("/api/sessions/{id}/requests"), foreign);
    let requests = api.admin("/api/requests?user=user2&limit=1");
    let foreign = requests["requests"][0]["request_id"].as_str().unwrap();
    check(&|id| format!("/api/requests/{id}"), foreign);
    let own = user(&api, "/api/requests?limit=1").1["requests"][0].clone();
    let id = own["request_id"].as_str().unwrap();
    assert_eq!(user(&api, &format!("/api/requests/{id}")), (200, own));
    assert_eq!(user(&api, "/api/requests/none").0, 404);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn lists_of_sessions_are_filtered_paged_and_strict() {
    let api = started().await;
    let check = |query: &str, expected: &[&str]| {
        assert_eq!(
            keys(&api.admin(&format!("/api/sessions{query}"))),
            expected,
            "{query}"
        );
    };
    check("?client=claude-code&model=model1", &["user1 s2", "user1 s1"]);
    check("?client=codex", &[]);
    check("?since=1795341617", &["user1 s2"]);
    check("?until=1795341616&user=user1", &["user1 s1"]);
    let (mut seen, mut cursor) = (Vec::new(), String::new());
    loop {
        let page = api.admin(&format!("/api/sessions?limit=1&cursor={cursor}"));
        seen.extend(keys(&page));
        match page["next_cursor"].as_str() {
            Some(next) => cursor = next.to_owned(),
            None => break,
        }
    }
    assert_eq!(seen, ["user1 s2", "user2 s1", "user1 s1"]);
    for (target, name) in [
        ("/api/sessions?client=vim", "client"),
        ("/api/sessions?cursor=1", "cursor"),
        ("/api/sessions?cursor=1--1", "cursor"),
        ("/api/sessions?cursor=1-99999999999999999999", "cursor"),
        ("/api/sessions?limit=1001", "limit"),
        ("/api/sessions?key=s1", "key"),
        ("/api/requests/0?x=1", "x"),
    ] {
        let (status, _, body) = api.ask(Some("admin"), "root", "GET", target);
        assert_eq!(status, 400, "{target}");
        assert!(
            body["detail"].as_str().unwrap().contains(&format!("{name:?}")),
            "{body}"
        );
    }
}
