//! Captures and tool calls over the API: who sees what, ranges, and that looking is put on record.

use super::*;
use crate::captures::tests::{NOW, Plane, settings, told};
use crate::captures::{CaptureIngest, Status};
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
