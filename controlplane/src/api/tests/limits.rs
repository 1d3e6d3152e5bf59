//! Limits of principals, entity tags and HEAD over the API.

use super::*;

const SLOW: &str = r#"{
  "providers": {"openai": {"baseurl": "https://api.openai.com/v1", "models": ["gpt-*"]}},
  "grants": [{"src": ["*"], "capabilities": [{"role": "admin", "models": "**"}]}],
  "limits": {"api_reads_per_s": 1, "api_changes_per_s": 1},
}"#;

impl Api {
    fn send(&self, role: &str, login: &str, line: &str, headers: &str) -> described::Answer {
        let request = format!(
            "{line} HTTP/1.1\r\nhost: x\r\nx-sluice-role: {role}\r\nx-sluice-login: {login}\r\n{headers}content-length: 0\r\nconnection: close\r\n\r\n"
        );
        described::ask(&self.path, request.as_bytes())
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn who_asks_too_fast_is_told_when_to_go_on() {
    let api = Api::with(SLOW).await;
    // The seventh in the same second is one too many; the test may be slow, so some more are asked for.
    let refused = |line: &str| {
        let mut answers = (0..200).map(|_| api.send("admin", "alice", line, ""));
        answers.find(|answer| answer.status == 429)
    };
    for (line, policy) in [
        ("GET /api/me", "\"reads\";q=4;w=4"),
        ("POST /api/exports/none/run", "\"changes\";q=6;w=6"),
    ] {
        let answer = refused(line).unwrap_or_else(|| panic!("{line} is never refused"));
        assert_eq!(answer.json()["type"], "urn:sluice:problem:too-fast");
        assert_eq!(answer.header("retry-after"), "1", "{answer}");
        assert_eq!(answer.header("ratelimit-policy"), policy, "{answer}");
        assert!(answer.header("ratelimit").contains(";r=0;t="), "{answer}");
        assert_eq!(answer.header("cache-control"), "no-store");
    }
    // Others do not suffer, and the socket's own principal has no limit.
    let other = api.send("user", "bob", "GET /api/me", "");
    assert_eq!(
        (other.status, other.header("ratelimit")),
        (200, "\"reads\";r=3;t=1")
    );
    for _ in 0..20 {
        let local = api.send("admin", "(local)", "GET /api/me", "");
        assert_eq!((local.status, local.header("ratelimit-policy")), (200, ""));
    }
    // What is refused by role counts as well.
    let refused = (0..200).any(|_| api.send("user", "carol", "GET /api/audit", "").status == 429);
    assert!(refused);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_new_document_brings_new_limits() {
    let api = Api::with(SLOW).await;
    assert!((0..200).any(|_| api.send("admin", "alice", "GET /api/me", "").status == 429));
    let body =
        json!({ "config": SLOW.replace("\"api_reads_per_s\": 1", "\"api_reads_per_s\": 0") }).to_string();
    let save = format!(
        "PUT /aperture/config HTTP/1.1\r\nhost: x\r\nx-sluice-role: admin\r\nx-sluice-login: (local)\r\nif-match: *\r\ncontent-type: application/json\r\ncontent-length: {}\r\nconnection: close\r\n\r\n{body}",
        body.len()
    );
    assert_eq!(described::ask(&api.path, save.as_bytes()).status, 200);
    for _ in 0..20 {
        assert_eq!(api.send("admin", "alice", "GET /api/me", "").status, 200);
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn answers_that_the_caller_has_are_not_sent_again() {
    let api = Api::start().await;
    for target in [
        "/api/requests?limit=2",
        "/api/usage",
        "/api/providers",
        "/aperture/config",
        "/api/config",
        "/aperture/openapi.json",
    ] {
        let line = format!("GET {target}");
        let first = api.send("admin", "root", &line, "");
        let tag = first.header("etag").to_owned();
        assert!(tag.starts_with('"') && tag.ends_with('"'), "{target}: {tag:?}");
        assert_eq!(first.header("cache-control"), "private, no-cache");
        for (headers, status) in [
            (format!("if-none-match: {tag}\r\n"), 304),
            (format!("if-none-match: \"x\", W/{tag}\r\n"), 304),
            ("if-none-match: \"x\"\r\n".to_owned(), 200),
        ] {
            let again = api.send("admin", "root", &line, &headers);
            assert_eq!(
                (again.status, again.header("etag")),
                (status, tag.as_str()),
                "{again}"
            );
            assert_eq!(again.body.is_empty(), status == 304, "{again}");
        }
        let head = api.send("admin", "root", &format!("HEAD {target}"), "");
        assert_eq!(
            (head.status, head.header("etag"), head.body.len()),
            (200, tag.as_str(), 0)
        );
        assert_eq!(
            head.header("content-length"),
            first.body.len().to_string(),
            "{target}"
        );
    }
    let (other, mine) = ("/api/requests?limit=2", "/api/requests?limit=3");
    let [other, mine] = [other, mine].map(|target| api.send("admin", "root", &format!("GET {target}"), ""));
    assert_ne!(other.header("etag"), mine.header("etag"));
    // Errors and tables are not kept.
    for target in ["/api/requests/none", "/api/export"] {
        let answer = api.send("admin", "root", &format!("GET {target}"), "if-none-match: *\r\n");
        assert_eq!(
            (answer.header("etag"), answer.header("cache-control")),
            ("", "no-store"),
            "{answer}"
        );
    }
}
