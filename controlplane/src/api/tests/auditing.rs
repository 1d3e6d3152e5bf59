//! What is on record, who may read it, and that nothing is done off it.

use super::*;

fn post(api: &Api, method: &str, target: &str, more: &str, body: &str) -> (u16, Value) {
    let length = body.len();
    let request = format!(
        "{method} {target} HTTP/1.1\r\nhost: x\r\nx-sluice-role: admin\r\nx-sluice-login: root\r\nx-sluice-node: n7\r\n\
         {more}content-type: application/json\r\ncontent-length: {length}\r\nconnection: close\r\n\r\n{body}"
    );
    let (status, _, body) = exchange(&api.path, &request);
    (status, body)
}

/// Action, subject and detail of every entry, oldest first.
fn entries(api: &Api) -> Vec<(String, String, Value)> {
    let body = api.admin("/api/audit");
    let mut all: Vec<_> = body["entries"]
        .as_array()
        .unwrap()
        .iter()
        .map(|e| {
            let text = |name: &str| e[name].as_str().unwrap().to_owned();
            (text("action"), text("subject"), e["detail"].clone())
        })
        .collect();
    all.reverse();
    all
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn acts_of_administrators_are_on_record_without_secrets() {
    let api = Api::start().await;
    let before = entries(&api);
    // The document of the start is one that a file brought.
    assert_eq!(before.len(), 1);
    assert_eq!(before[0].0, "config.file");

    let changed = DOCUMENT.replace("\"description\": \"chat\"", "\"description\": \"talk\"");
    let body = json!({ "config": changed.replace("sk-canary", "sk-other-canary") }).to_string();
    let (status, _) = post(&api, "PUT", "/aperture/config", "if-match: *\r\n", &body);
    assert_eq!(status, 200);
    let (status, body) = post(&api, "POST", "/api/config/rollback", "", r#"{"id":1}"#);
    assert_eq!(status, 200, "{body}");
    let (status, token) = post(
        &api,
        "POST",
        "/api/tokens",
        "",
        r#"{"name":"<ci>","login":"bob@example.com","expires_in_s":60}"#,
    );
    assert_eq!(status, 201);
    let id = token["id"].as_str().unwrap();
    let (status, _) = post(&api, "DELETE", &format!("/api/tokens/{id}"), "", "");
    assert_eq!(status, 200);
    // What is refused for other reasons is not an act.
    assert_eq!(
        post(
            &api,
            "PUT",
            "/aperture/config",
            "if-match: *\r\n",
            r#"{"config":"oops"}"#
        )
        .0,
        422
    );
    assert_eq!(post(&api, "DELETE", "/api/tokens/none", "", "").0, 404);

    let all = entries(&api);
    let actions: Vec<&str> = all.iter().map(|(action, ..)| action.as_str()).collect();
    assert_eq!(
        actions,
        [
            "config.file",
            "config.save",
            "config.save",
            "token.create",
            "token.revoke"
        ]
    );
    assert_eq!(
        all[1].2["changed"],
        json!(["providers.openai.apikey", "providers.openai.description"])
    );
    assert_eq!(
        (&all[1].2["version"], &all[2].2["version"]),
        (&json!(2), &json!(3))
    );
    assert_eq!(all[2].2["note"], "back to version 1");
    assert_eq!((all[3].1.as_str(), all[4].1.as_str()), (id, id));
    assert_eq!(all[3].2["name"], "<ci>");
    let text = format!("{all:?}");
    assert!(
        !text.contains("canary") && !text.contains(token["token"].as_str().unwrap()),
        "{text}"
    );

    let entry = &api.admin("/api/audit?action=token.create")["entries"][0];
    assert_eq!((&entry["actor"], &entry["node"]), (&json!("root"), &json!("n7")));
    let verified = api.admin("/api/audit/verify");
    assert_eq!((&verified["ok"], &verified["entries"]), (&json!(true), &json!(5)));
    let head = &verified["head"];
    let noted = |hash: &str| api.admin(&format!("/api/audit/verify?seq={}&hash={hash}", head["seq"]));
    assert_eq!(noted(head["hash"].as_str().unwrap())["ok"], true);
    let other = noted(&"0".repeat(64));
    assert_eq!(
        other["breaks"],
        json!([{"what": "rewritten", "seq": 5, "noted_by": "caller"}])
    );
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_changed_file_is_on_record_with_its_paths() {
    let api = Api::start().await;
    let file = api.folder.path().join("sluice.hujson");
    std::fs::write(&file, DOCUMENT.replace("\"gpt-*\"", "\"gpt-5\"")).unwrap();
    let configuration = api.shown.configuration.clone();
    tokio::task::spawn_blocking(move || configuration.look())
        .await
        .unwrap();
    let all = entries(&api);
    assert_eq!(all.len(), 2);
    assert_eq!(
        (all[1].0.as_str(), &all[1].2["version"]),
        ("config.file", &json!(2))
    );
    assert_eq!(all[1].2["changed"], json!(["providers.openai.models[0]"]));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn nothing_is_done_that_cannot_be_put_on_record() {
    let api = Api::start().await;
    let store = rusqlite::Connection::open(api.folder.path().join(crate::store::FILE)).unwrap();
    let (_, token) = post(&api, "POST", "/api/tokens", "", r#"{"name":"ci","login":"bob"}"#);
    store
        .execute_batch("CREATE TRIGGER full BEFORE INSERT ON audit BEGIN SELECT raise(ABORT, 'full'); END")
        .unwrap();
    let before = std::fs::read(api.folder.path().join("sluice.hujson")).unwrap();
    let body = json!({ "config": DOCUMENT.replace("chat", "talk") }).to_string();
    let id = token["id"].as_str().unwrap();
    for (method, target, body) in [
        ("PUT", "/aperture/config", body.as_str()),
        ("POST", "/api/tokens", r#"{"name":"ci","login":"bob"}"#),
        ("DELETE", &format!("/api/tokens/{id}"), ""),
    ] {
        let (status, problem) = post(&api, method, target, "if-match: *\r\n", body);
        assert_eq!(status, 503, "{method} {target}: {problem}");
        assert_eq!(problem["type"], "urn:sluice:problem:audit", "{method} {target}");
    }
    assert_eq!(
        std::fs::read(api.folder.path().join("sluice.hujson")).unwrap(),
        before
    );
    assert_eq!(api.shown.configuration.present().version.id, 1);
    let tokens = api.admin("/api/tokens");
    assert_eq!(tokens["tokens"].as_array().unwrap().len(), 1);
    assert_eq!(tokens["tokens"][0]["revoked_at"], Value::Null);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn pages_and_parameters_of_the_audit() {
    let api = Api::start().await;
    for number in 0..7 {
        api.shown
            .audit
            .record("root", "", "test.act", &number.to_string(), json!({}))
            .await
            .unwrap();
    }
    let (mut seen, mut cursor) = (Vec::new(), String::new());
    loop {
        let page = api.admin(&format!("/api/audit?action=test.act&limit=3&cursor={cursor}"));
        seen.extend(
            page["entries"]
                .as_array()
                .unwrap()
                .iter()
                .map(|e| e["subject"].clone()),
        );
        match page["next_cursor"].as_str() {
            Some(next) => cursor = next.to_owned(),
            None => break,
        }
    }
    assert_eq!(json!(seen), json!(["6", "5", "4", "3", "2", "1", "0"]));
    assert_eq!(api.admin("/api/audit?actor=nobody")["entries"], json!([]));
    assert_eq!(api.admin("/api/audit?until=1")["entries"], json!([]));
    for (target, name) in [
        ("/api/audit?cursor=x", "cursor"),
        ("/api/audit?limit=0", "limit"),
        ("/api/audit?since=x", "since"),
        ("/api/audit/verify?seq=1", "hash"),
        ("/api/audit/verify?seq=0&hash=0", "seq"),
        ("/api/audit/verify?seq=1&hash=zz", "hash"),
        ("/api/audit/verify?x=1", "x"),
    ] {
        let (status, _, body) = api.ask(Some("admin"), "root", "GET", target);
        assert_eq!(status, 400, "{target}");
        assert!(
            body["detail"].as_str().unwrap().contains(&format!("{name:?}")),
            "{body}"
        );
    }
}
