//! How exporters stand, runs by hand, and records as a table.

use super::*;
use crate::config::domain;

/// The body of an answer that comes in chunks, put together.
fn text(api: &Api, role: &str, login: &str, target: &str) -> (u16, String) {
    let request = format!(
        "GET {target} HTTP/1.1\r\nhost: x\r\nx-sluice-role: {role}\r\nx-sluice-login: {login}\r\nconnection: close\r\n\r\n"
    );
    let answer = described::ask(&api.path, request.as_bytes());
    assert_eq!(
        answer.header("transfer-encoding"),
        "chunked",
        "it is not built in memory: {}",
        answer.head
    );
    (answer.status, String::from_utf8(answer.body).unwrap())
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn records_by_hand_are_those_one_may_see() {
    let api = Api::start().await;
    let (status, csv) = text(&api, "admin", "root", "/api/export");
    assert_eq!(status, 200);
    let lines: Vec<&str> = csv.split("\r\n").collect();
    assert!(lines[0].starts_with("request_id,time,user,"), "{}", lines[0]);
    assert_eq!(lines.len(), 1 + 5 + 1);
    let (_, csv) = text(
        &api,
        "admin",
        "root",
        "/api/export?since=1795341601&until=1795345200",
    );
    assert_eq!(csv.lines().count(), 1 + 2);
    // A user gets the own ones, and nobody else's.
    let users = |text: &str| -> Vec<String> {
        let lines = text
            .lines()
            .map(|line| serde_json::from_str::<Value>(line).unwrap());
        lines
            .map(|line| line["user"].as_str().unwrap().to_owned())
            .collect()
    };
    let (_, own) = text(&api, "user", "user1", "/api/export?format=jsonl");
    assert_eq!(users(&own), ["user1", "user1"]);
    let (_, others) = text(&api, "user", "user1", "/api/export?format=jsonl&user=user2");
    assert_eq!(users(&others), Vec::<String>::new());
    let (_, asked) = text(&api, "admin", "root", "/api/export?format=jsonl&user=user2");
    assert_eq!(users(&asked), ["user2", "user2"]);
    let (status, _, problem) = api.ask(Some("admin"), "root", "GET", "/api/export?format=xml");
    assert_eq!(
        (status, problem["type"].as_str()),
        (400, Some("urn:sluice:problem:bad-parameter"))
    );
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_run_by_hand_is_on_record() {
    let api = Api::start().await;
    let exporter = domain::Exporter {
        name: "hook".into(),
        every_s: 3_600,
        limit: 10,
        what: [domain::Exported::Requests, domain::Exported::Audit].into(),
        sink: domain::Sink::Webhook(domain::Endpoint {
            url: "http://user:canary@127.0.0.1:1/in?key=canary".into(),
            key: sluice_shared::snapshot::Secret("canary".into()),
            ..domain::Endpoint::default()
        }),
        disabled: false,
    };
    api.shown.exports.take(&[exporter]).await.unwrap();
    let list = api.admin("/api/exports");
    let found = &list["exports"][0];
    assert_eq!(
        (&found["name"], &found["kind"]),
        (&json!("hook"), &json!("webhook"))
    );
    assert_eq!(found["what"], json!(["requests", "audit"]));
    assert_eq!(found["last_success"], Value::Null);
    assert!(!list.to_string().contains("canary"), "{list}");
    let (status, _, body) = api.ask(Some("admin"), "root", "POST", "/api/exports/hook/run");
    assert_eq!((status, &body["running"]), (202, &json!(true)), "{body}");
    let audit = api.admin("/api/audit?action=export.run");
    assert_eq!(audit["entries"][0]["subject"], "hook");
    assert_eq!(audit["entries"][0]["actor"], "root");
    // The act itself waits to be exported.
    assert_eq!(api.admin("/api/exports")["exports"][0]["lag_records"], 1);
    let (status, ..) = api.ask(Some("admin"), "root", "POST", "/api/exports/none/run");
    assert_eq!(status, 404);
}
