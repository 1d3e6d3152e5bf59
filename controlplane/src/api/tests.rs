//! The API over its socket: every route and role, golden answers, every bad parameter.

use std::io::{Read as _, Write as _};
use std::path::Path;

use serde_json::{Value, json};
use sluice_shared::usage::{Ended, Known};

use super::*;
use crate::config::{self, Report};
use crate::reload::{First, Parts, Source};
use crate::store::tests::record;
use crate::store::{Batch, Sqlite};

mod analytics;
mod auditing;
mod capturing;
mod compatibility;
mod described;
mod explaining;
mod exports;
mod insights;
mod limits;
mod live;
mod matrix;
mod openapi;
mod pricing;
mod quotas;
mod saving;
mod schema;
mod sessions;
mod tokens;
mod ui;

struct Api {
    folder: tempfile::TempDir,
    path: std::path::PathBuf,
    shown: Arc<Shown>,
}

const DOCUMENT: &str = r#"{
  "providers": {
    "openai": {"baseurl": "https://api.openai.com/v1", "apikey": "sk-canary", "models": ["gpt-*"], "preference": 2,
               "add_headers": ["x-team: canary"], "description": "chat"},
    "off": {"baseurl": "http://off", "models": ["m"], "disabled": true},
    "local": {"baseurl": "http://127.0.0.1:8000", "models": ["**"], "compatibility": {"ollama": true}, "auth_mode": "none"},
  },
  "grants": [{"src": ["*"], "capabilities": [{"role": "admin", "models": "**"}]}],
  "limits": {"api_reads_per_s": 0, "api_changes_per_s": 0},
}"#;

impl Api {
    async fn start() -> Self {
        Self::with(DOCUMENT).await
    }

    async fn with(document: &str) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let store = Sqlite::open(folder.path()).await.unwrap();
        // Five records of three users, two at the same moment.
        let mut records = vec![
            record(1, 1_795_341_600_000_001),
            record(2, 1_795_341_601_000_000),
            record(3, 1_795_341_601_000_000),
            record(4, 1_795_345_200_000_000),
            record(5, 1_795_428_000_000_000),
        ];
        let last = &mut records[4];
        (last.usage_known, last.usage, last.cost) =
            (Known::Unknown, sluice_shared::usage::Usage::default(), None);
        (last.status, last.ended) = (0, Ended::ClientGone);
        store
            .ingest(&Batch {
                records,
                ..Batch::default()
            })
            .await
            .unwrap();
        let file = folder.path().join("sluice.hujson");
        std::fs::write(&file, document).unwrap();
        let source = Source {
            file: Some(file),
            mock_url: None,
            environment: std::collections::HashMap::new(),
            listen: Vec::new(),
            data: folder.path().to_owned(),
        };
        let First { loaded, seen, .. } = source.first().unwrap();
        let publisher = Arc::new(Publisher::open(folder.path()));
        let identities = Arc::new(Identities::new(&loaded.document.identity));
        let epoch = publisher.publish(loaded.document.clone()).unwrap();
        let store: Arc<dyn Store> = Arc::new(store);
        let quotas = publisher.current().unwrap().snapshot.quotas.clone();
        let ledger = Ledger::new(store.clone(), crate::ledger::Clock::start(), &quotas);
        let link = Link::new(publisher.clone(), identities.clone(), ledger.clone());
        let state = Arc::new(ConfigState::new(
            "sluice.hujson".into(),
            loaded.report.clone(),
            None,
        ));
        let audit = Audit::open(store.clone(), folder.path()).unwrap();
        let parts = Parts {
            publisher: publisher.clone(),
            identities: identities.clone(),
            ledger: ledger.clone(),
            link: link.clone(),
            audit: audit.clone(),
            state: state.clone(),
        };
        let captures = Captures::new(folder.path(), store.clone());
        let exports = Exports::new(store.clone(), captures.clone(), crate::export::clock);
        let shown = Arc::new(Shown {
            tokens: Tokens::open(store.clone()).await.unwrap(),
            captures,
            full_text: FullText::new(folder.path()),
            capture_status: Arc::default(),
            store,
            ledger,
            identities,
            link,
            audit,
            publisher,
            ingest: Arc::new(ingest::Status::new(Instant::now())),
            config: state,
            configuration: Configuration::new(source, loaded, seen, epoch, parts),
            exports,
            live: Live::new(crate::reload::now()),
            started: Instant::now(),
        });
        let path = folder.path().join("api.sock");
        tokio::spawn(serve(
            OwnListener::bind(&path).unwrap(),
            shown.clone(),
            std::future::pending(),
        ));
        Self { folder, path, shown }
    }

    /// Status, content type and body.
    fn ask(&self, role: Option<&str>, login: &str, method: &str, target: &str) -> (u16, String, Value) {
        let role = role.map_or_else(String::new, |role| format!("x-sluice-role: {role}\r\n"));
        let request = format!(
            "{method} {target} HTTP/1.1\r\nhost: x\r\n{role}x-sluice-login: {login}\r\nconnection: close\r\n\r\n"
        );
        exchange(&self.path, &request)
    }

    fn admin(&self, target: &str) -> Value {
        let (status, kind, body) = self.ask(Some("admin"), "root", "GET", target);
        assert_eq!(
            (status, kind.as_str()),
            (200, "application/json"),
            "{target}: {body}"
        );
        body
    }
}

/// Status, content type and body of an answer, which is as the API is described.
fn exchange(path: &Path, request: &str) -> (u16, String, Value) {
    let answer = described::ask(path, request.as_bytes());
    (
        answer.status,
        answer.header("content-type").to_owned(),
        answer.json(),
    )
}

fn numbers(body: &Value) -> Vec<u64> {
    let inputs = body["requests"].as_array().unwrap().iter();
    inputs.map(|r| r["input"].as_u64().unwrap_or(5)).collect()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn answers_are_as_recorded() {
    let api = Api::start().await;
    let check = |target: &str, golden: &str| {
        let expected: Value = serde_json::from_str(golden).unwrap();
        let found = api.admin(target);
        assert_eq!(found, expected, "{target}:\n{found:#}");
    };
    check("/api/requests?limit=1", include_str!("golden/requests.json"));
    check("/api/usage?by=user", include_str!("golden/usage.json"));
    check("/api/providers", include_str!("golden/providers.json"));
    let mut health = api.admin("/api/health");
    for (part, field) in [("ingest", "lag_ms"), ("store", "bytes")] {
        assert!(health[part][field].is_u64());
        health[part][field] = json!(0);
    }
    health["uptime_s"] = json!(0);
    assert_eq!(
        health["config"]["saves_to"],
        json!(api.folder.path().join("sluice.hujson"))
    );
    health["config"]["saves_to"] = json!("sluice.hujson");
    let expected: Value = serde_json::from_str(include_str!("golden/health.json")).unwrap();
    assert_eq!(health, expected, "{health:#}");
    for target in ["/api/requests", "/api/usage", "/api/providers", "/api/health"] {
        assert!(
            !api.admin(target).to_string().contains("canary"),
            "{target} shows a secret"
        );
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn each_role_sees_what_it_may() {
    let api = Api::start().await;
    for target in ["/api/requests", "/api/usage", "/api/providers", "/api/health"] {
        for role in [None, Some("none")] {
            let (status, kind, body) = api.ask(role, "user1", "GET", target);
            assert_eq!(
                (status, kind.as_str()),
                (403, "application/problem+json"),
                "{target}"
            );
            assert_eq!(body["type"], "urn:sluice:problem:no-role");
        }
        let (status, _, _) = api.ask(Some("owner"), "user1", "GET", target);
        assert_eq!(status, 403);
        let twice = format!(
            "GET {target} HTTP/1.1\r\nhost: x\r\nx-sluice-role: user\r\nx-sluice-role: admin\r\nx-sluice-login: a\r\nconnection: close\r\n\r\n"
        );
        assert_eq!(exchange(&api.path, &twice).0, 403, "{target}");
    }
    let user = |target: &str| {
        let (status, _, body) = api.ask(Some("user"), "user1", "GET", target);
        assert_eq!(status, 200, "{target}");
        body
    };
    assert_eq!(numbers(&user("/api/requests")), [4, 1]);
    assert_eq!(numbers(&user("/api/requests?user=user1")), [4, 1]);
    assert_eq!(numbers(&user("/api/requests?user=user2")), [] as [u64; 0]);
    assert_eq!(user("/api/usage?by=user")["groups"].as_array().unwrap().len(), 1);
    assert_eq!(user("/api/usage?by=user&user=user2")["groups"], json!([]));
    assert_eq!(user("/api/usage?by=provider")["groups"][0]["requests"], 2);
    let providers = user("/api/providers");
    assert_eq!(
        providers["providers"][0],
        json!({"id": "openai", "name": "openai", "description": "chat", "models": ["gpt-*"]})
    );
    assert_eq!(user("/api/health"), json!({"status": "ok", "epoch": 1}));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn lists_are_filtered_and_pages_join_without_gap() {
    let api = Api::start().await;
    let check = |query: &str, expected: &[u64]| {
        assert_eq!(
            numbers(&api.admin(&format!("/api/requests{query}"))),
            expected,
            "{query}"
        );
    };
    check("", &[5, 4, 3, 2, 1]);
    check("?user=user2", &[5, 2]);
    check("?model=model1", &[5, 3, 1]);
    check("?provider=openai&status=200", &[4, 3, 2, 1]);
    check("?status=2xx", &[4, 3, 2, 1]);
    check("?status=0", &[5]);
    check("?since=1795345200", &[5, 4]);
    check(
        "?since=2026-11-22T11:00:00Z&until=2026-11-22T11:00:00.000001Z",
        &[4],
    );
    check("?until=1795341601.000000", &[1]);
    check("?provider=none", &[]);
    check("?user=&limit=", &[5, 4, 3, 2, 1]);
    for limit in 1..=5 {
        let (mut seen, mut cursor) = (Vec::new(), String::new());
        loop {
            let page = api.admin(&format!("/api/requests?limit={limit}&cursor={cursor}"));
            seen.extend(numbers(&page));
            match page["next_cursor"].as_str() {
                Some(next) => cursor = next.to_owned(),
                None => break,
            }
        }
        assert_eq!(seen, [5, 4, 3, 2, 1], "{limit} a page");
    }
    let days = api.admin("/api/usage?by=day");
    let keys: Vec<&str> = days["groups"]
        .as_array()
        .unwrap()
        .iter()
        .map(|g| g["key"].as_str().unwrap())
        .collect();
    assert_eq!(
        keys,
        ["2026-11-22T00:00:00.000000Z", "2026-11-23T00:00:00.000000Z"]
    );
    let hours = api.admin("/api/usage?by=hour&since=2026-11-22T10:00:00.000002Z");
    assert_eq!(hours["groups"][0]["requests"], 2);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn bad_requests_are_problems_that_name_the_parameter() {
    let api = Api::start().await;
    let check = |target: &str, name: &str| {
        let (status, kind, body) = api.ask(Some("admin"), "root", "GET", target);
        assert_eq!(
            (status, kind.as_str()),
            (400, "application/problem+json"),
            "{target}"
        );
        assert_eq!(body["status"], 400);
        assert_eq!(body["title"], "Bad Request");
        assert!(
            body["detail"].as_str().unwrap().contains(&format!("{name:?}")),
            "{target}: {body}"
        );
    };
    for limit in ["0", "1001", "-1", "x", "1e2", "+5", "99999999999999999999"] {
        check(&format!("/api/requests?limit={limit}"), "limit");
    }
    for time in ["yesterday", "-5", "2026-13-01T00:00:00Z", "1.", "%ff"] {
        check(&format!("/api/requests?since={time}"), "since");
        check(&format!("/api/usage?until={time}"), "until");
    }
    for status in ["1000", "6xx", "x", "4x", "-1", "+200"] {
        check(&format!("/api/requests?status={status}"), "status");
    }
    for cursor in [
        "x",
        "1",
        "1-2",
        "-00000000000000000000000000000000",
        "1-0000000000000000000000000000000g",
    ] {
        check(&format!("/api/requests?cursor={cursor}"), "cursor");
    }
    check("/api/requests?usr=a", "usr");
    check("/api/requests?user=a&user=b", "user");
    check("/api/usage?by=week", "by");
    check("/api/providers?x=1", "x");
    check("/api/health?verbose", "verbose");

    let (status, kind, _) = api.ask(Some("admin"), "root", "GET", "/api/nothing");
    assert_eq!((status, kind.as_str()), (404, "application/problem+json"));
    for method in ["POST", "DELETE"] {
        let (status, kind, _) = api.ask(Some("admin"), "root", method, "/api/requests");
        assert_eq!((status, kind.as_str()), (405, "application/problem+json"));
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_rejected_document_shows_with_its_place() {
    let api = Api::start().await;
    let (_, report): (_, Report) = config::load("{\n  oops", &std::collections::HashMap::new(), None);
    let view = api.shown.config.view();
    let shown = Arc::new(Shown {
        store: api.shown.store.clone(),
        ledger: api.shown.ledger.clone(),
        identities: api.shown.identities.clone(),
        tokens: api.shown.tokens.clone(),
        link: api.shown.link.clone(),
        audit: api.shown.audit.clone(),
        captures: api.shown.captures.clone(),
        full_text: api.shown.full_text.clone(),
        capture_status: api.shown.capture_status.clone(),
        publisher: api.shown.publisher.clone(),
        ingest: api.shown.ingest.clone(),
        config: Arc::new(ConfigState::new(view.source, view.report, Some(report))),
        configuration: api.shown.configuration.clone(),
        exports: api.shown.exports.clone(),
        live: api.shown.live.clone(),
        started: api.shown.started,
    });
    let path = api.path.with_file_name("second.sock");
    tokio::spawn(serve(
        OwnListener::bind(&path).unwrap(),
        shown,
        std::future::pending(),
    ));
    let request = "GET /api/health HTTP/1.1\r\nhost: x\r\nx-sluice-role: admin\r\nx-sluice-login: a\r\nconnection: close\r\n\r\n";
    let (_, _, body) = exchange(&path, request);
    assert_eq!(body["status"], "degraded");
    let error = &body["config"]["rejected"]["errors"][0];
    assert_eq!(
        (error["line"].as_u64(), error["column"].as_u64()),
        (Some(2), Some(3)),
        "{body:#}"
    );
}
