//! Captures and tool calls over the API: who sees what, ranges, and that looking is put on record.

use super::*;
use crate::captures::tests::{NOW, Plane, settings, told};
use crate::captures::{CaptureIngest, Status};
use crate::fulltext::Indexer;
use crate::ingest::Endings;
use crate::store::audit::AuditQuery;

/// Stores captures of three users: 0 to 5.
pub(super) async fn stored(api: &Api) {
    let mut plane = Plane::new(api.folder.path(), 1);
    for n in 0..6u32 {
        plane.whole(0, u64::from(n), &told(n));
    }
    let mut ingest = CaptureIngest::new(
        api.folder.path(),
        api.shown.store.clone(),
        tokio::runtime::Handle::current(),
        Arc::new(Status::default()),
        Arc::new(Endings::default()),
        settings(),
    )
    .unwrap();
    tokio::task::spawn_blocking(move || ingest.pass(NOW).unwrap())
        .await
        .unwrap();
}

fn ids(body: &Value, list: &str) -> Vec<String> {
    let rows = body[list].as_array().unwrap().iter();
    rows.map(|row| row["request_id"].as_str().unwrap().to_owned())
        .collect()
}

pub(super) fn id(n: u32) -> String {
    told(n).opened.request_id.to_string()
}

/// Status, head and body of a GET with a range.
fn ranged(api: &Api, target: &str, range: &str) -> (u16, String, Vec<u8>) {
    let request = format!(
        "GET {target} HTTP/1.1\r\nhost: x\r\nx-sluice-role: user\r\nx-sluice-login: user1\r\n{range}connection: close\r\n\r\n"
    );
    let answer = described::ask(&api.path, request.as_bytes());
    (answer.status, answer.head, answer.body)
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn captures_are_shown_to_whom_they_belong_and_looking_is_on_record() {
    let api = Api::start().await;
    stored(&api).await;
    let check = |query: &str, expected: &[u32]| {
        let expected: Vec<String> = expected.iter().map(|n| id(*n)).collect();
        let body = api.admin(&format!("/api/captures{query}"));
        assert_eq!(ids(&body, "captures"), expected, "{query}");
    };
    check("", &[5, 4, 3, 2, 1, 0]);
    check("?user=user1", &[4, 1]);
    check("?session=s-user2", &[5, 2]);
    check("?session=s-user2&user=user1", &[]);
    check(
        "?provider=openai&model=gpt-5&status=2xx&min_bytes=100&limit=2",
        &[5, 4],
    );
    check("?status=4xx", &[]);
    check("?model=nothing", &[]);
    check("?min_bytes=1000000", &[]);
    check("?until=1795341600.000002", &[1, 0]);
    for limit in 1..=6 {
        for list in ["captures", "tool-calls"] {
            let (mut seen, mut cursor) = (Vec::new(), String::new());
            loop {
                let page = api.admin(&format!("/api/{list}?limit={limit}&cursor={cursor}"));
                seen.extend(ids(&page, &list.replace('-', "_")));
                match page["next_cursor"].as_str() {
                    Some(next) => cursor = next.to_owned(),
                    None => break,
                }
            }
            let expected: Vec<String> = (0..6).rev().map(id).collect();
            assert_eq!(seen, expected, "{list}, {limit} a page");
        }
    }
    let calls = api.admin("/api/tool-calls?name=read&user=user1&limit=1");
    assert_eq!(calls["tool_calls"][0]["arguments"], "{\"path\":\"x\"}");
    assert_eq!(calls["tool_calls"][0]["truncated"], false);

    let user = |target: &str| api.ask(Some("user"), "user1", "GET", target);
    assert_eq!(ids(&user("/api/captures").2, "captures"), [id(4), id(1)]);
    assert_eq!(
        ids(&user("/api/captures?user=user2").2, "captures"),
        [] as [String; 0]
    );
    assert_eq!(ids(&user("/api/tool-calls").2, "tool_calls"), [id(4), id(1)]);
    let (status, _, body) = user(&format!("/api/captures/{}", id(1)));
    assert_eq!(status, 200);
    assert_eq!(body["target"], "/v1/chat/completions");
    assert_eq!(
        body["request_headers"][0],
        json!({"name": "authorization", "value": "***"})
    );
    assert_eq!(body["tool_calls"], 1);
    for part in ["", "/request", "/answer", "/assembled", "/events"] {
        let (status, _, body) = user(&format!("/api/captures/{}{part}", id(2)));
        assert_eq!(
            (status, &body["type"]),
            (404, &json!("urn:sluice:problem:no-capture"))
        );
    }
    assert_eq!(user(&format!("/api/captures/{}/all", id(1))).0, 404);

    // One's own is nobody's business; another's is.
    let entries = || async {
        let query = AuditQuery {
            limit: 100,
            ..AuditQuery::default()
        };
        let entries = api.shown.store.audit(&query).await.unwrap();
        entries.into_iter().filter(|e| e.action == "capture.view").count()
    };
    assert_eq!(entries().await, 0);
    api.admin(&format!("/api/captures/{}", id(1)));
    let (status, _, events) = api.ask(
        Some("admin"),
        "root",
        "GET",
        &format!("/api/captures/{}/events", id(1)),
    );
    assert_eq!(status, 200);
    assert!(events.as_array().unwrap().len() >= 23, "{events}");
    assert_eq!(entries().await, 2);
    api.ask(Some("admin"), "user1", "GET", &format!("/api/captures/{}", id(1)));
    assert_eq!(entries().await, 2);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn bodies_come_whole_or_in_ranges_and_never_to_be_shown() {
    let api = Api::start().await;
    stored(&api).await;
    let answer = told(1).answer;
    let target = format!("/api/captures/{}/answer", id(1));
    let (status, head, body) = ranged(&api, &target, "");
    assert_eq!((status, &body), (200, &answer));
    for line in [
        "content-type: application/octet-stream",
        "accept-ranges: bytes",
        "x-content-type-options: nosniff",
        &format!("content-disposition: attachment; filename=\"{}-answer\"", id(1)),
    ] {
        assert!(head.contains(&format!("{line}\r\n")), "{line}: {head}");
    }
    let (status, head, body) = ranged(&api, &target, "range: bytes=10-19\r\n");
    assert_eq!((status, body.as_slice()), (206, &answer[10..20]));
    assert!(
        head.contains(&format!("content-range: bytes 10-19/{}\r\n", answer.len())),
        "{head}"
    );
    let (status, _, body) = ranged(&api, &target, "range: bytes=-7\r\n");
    assert_eq!((status, body.as_slice()), (206, &answer[answer.len() - 7..]));
    let (status, head, body) = ranged(&api, &target, "range: bytes=99999999-\r\n");
    let problem: Value = serde_json::from_slice(&body).unwrap();
    assert_eq!(
        (status, &problem["type"]),
        (416, &json!("urn:sluice:problem:no-such-range"))
    );
    assert!(
        head.contains(&format!("content-range: bytes */{}\r\n", answer.len())),
        "{head}"
    );
    let (status, head, body) = ranged(&api, &format!("/api/captures/{}/assembled", id(1)), "");
    assert_eq!(status, 200);
    assert!(head.contains("content-type: application/json\r\n"));
    let object: Value = serde_json::from_slice(&body).unwrap();
    assert_eq!(object["object"], "chat.completion");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn captures_and_requests_are_found_by_their_words_within_what_one_may_see() {
    let api = Api::start().await;
    stored(&api).await;
    let records = (0..6u32).map(|n| told(n).record()).collect();
    let batch = Batch {
        records,
        ..Batch::default()
    };
    api.shown.store.ingest(&batch).await.unwrap();
    let (status, _, body) = api.ask(Some("admin"), "root", "GET", "/api/captures?text=play");
    assert_eq!(status, 400, "there is no index yet");
    assert!(
        body["detail"].as_str().unwrap().contains("captures.full_text"),
        "{body}"
    );
    assert_eq!(api.admin("/api/me")["features"]["full_text"], false);
    let indexer = Indexer {
        index: api.shown.full_text.clone(),
        store: api.shown.store.clone(),
        captures: api.shown.captures.clone(),
        settings: crate::fulltext::Settings::default(),
    };
    while indexer.turn(true).await.unwrap() {}
    assert_eq!(api.admin("/api/me")["features"]["full_text"], true);

    let check = |query: &str, expected: &[u32]| {
        let expected: Vec<String> = expected.iter().map(|n| id(*n)).collect();
        for list in ["captures", "requests"] {
            let body = api.admin(&format!("/api/{list}?{query}"));
            assert_eq!(ids(&body, list), expected, "{list} {query}");
            assert_eq!(body["cut"], false);
        }
    };
    check("text=play", &[5, 4, 3, 2, 1, 0]);
    check("text=%22text%203%22", &[3]);
    check("text=%223%20text%22%20work", &[3]);
    check("text=nobody", &[]);
    check("text=play&user=user1", &[4, 1]);
    check("text=play&user=user1&session=s-user1", &[4, 1]);
    check("text=play&status=4xx", &[]);
    check("text=play&model=gpt-5&until=1795341600.000002", &[1, 0]);
    for limit in 1..=6 {
        for list in ["captures", "requests"] {
            let (mut seen, mut cursor) = (Vec::new(), String::new());
            loop {
                let page = api.admin(&format!("/api/{list}?text=all&limit={limit}&cursor={cursor}"));
                seen.extend(ids(&page, list));
                match page["next_cursor"].as_str() {
                    Some(next) => cursor = next.to_owned(),
                    None => break,
                }
            }
            let expected: Vec<String> = (0..6).rev().map(id).collect();
            assert_eq!(seen, expected, "{list}, {limit} a page");
        }
    }
    let user = |target: &str| api.ask(Some("user"), "user1", "GET", target).2;
    for list in ["captures", "requests"] {
        assert_eq!(
            ids(&user(&format!("/api/{list}?text=play")), list),
            [id(4), id(1)]
        );
        let others = user(&format!("/api/{list}?text=play&user=user2"));
        assert_eq!(ids(&others, list), [] as [String; 0]);
        let unseen = user(&format!("/api/{list}?text=%22text%203%22"));
        assert_eq!(ids(&unseen, list), [] as [String; 0]);
        for bad in [
            "text=%22open",
            "text=---",
            "text=a%20a%20a%20a%20a%20a%20a%20a%20a%20a%20a%20a%20a%20a%20a%20a%20a",
        ] {
            let (status, _, body) = api.ask(Some("admin"), "root", "GET", &format!("/api/{list}?{bad}"));
            assert_eq!(
                (status, body["type"].as_str()),
                (400, Some("urn:sluice:problem:bad-parameter")),
                "{bad}"
            );
        }
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn requests_are_filtered_by_what_their_records_say() {
    let api = Api::start().await;
    let batch = Batch {
        records: vec![crate::store::tests::full()],
        ..Batch::default()
    };
    api.shown.store.ingest(&batch).await.unwrap();
    let check = |query: &str, expected: usize| {
        let body = api.admin(&format!("/api/requests?{query}"));
        assert_eq!(body["requests"].as_array().unwrap().len(), expected, "{query}");
    };
    check("", 6);
    check("session=s", 1);
    check("session=t", 0);
    check("agent=agent", 1);
    check("agent=main", 5);
    check("api=openai_chat", 6);
    check("api=ollama_chat", 0);
    check("ended=client_gone", 1);
    check("error=e", 1);
    check("stream=true", 1);
    check("stream=false&tools=false", 5);
    check("min_duration_ms=1", 0);
    check("min_duration_ms=0", 6);
    check("min_cost_nanousd=10", 4);
    check("min_cost_nanousd=11", 0);
    check("verdict=any", 1);
    check("verdict=redact", 1);
    check("verdict=block", 0);
    check("rule=pii&verdict=failed", 1);
    check("rule=none", 0);
    check("capture=written", 1);
    check("capture=off", 5);
    for bad in [
        "api=chat",
        "ended=done",
        "stream=yes",
        "tools=1",
        "min_cost_nanousd=-1",
        "min_duration_ms=9223372036854775808",
        "verdict=maybe",
        "capture=on",
    ] {
        let (status, _, body) = api.ask(Some("admin"), "root", "GET", &format!("/api/requests?{bad}"));
        let name = bad.split('=').next().unwrap();
        assert_eq!(status, 400, "{bad}");
        assert!(body["detail"].as_str().unwrap().contains(name), "{bad}: {body}");
    }
}
