//! Every route with every caller and every method, against what the table of routes declares.
//!
//! A row without a probe fails: whoever adds a route says here what a plain admitted call gets.

use super::routes::{Access, Method, ROUTES};
use super::*;

/// What stands in the headers of the data plane.
const CALLERS: [(&str, &str); 8] = [
    ("no principal", ""),
    ("no role", "x-sluice-role: none\r\nx-sluice-login: user1\r\n"),
    ("user", "x-sluice-role: user\r\nx-sluice-login: user1\r\n"),
    ("other user", "x-sluice-role: user\r\nx-sluice-login: user2\r\n"),
    ("admin", "x-sluice-role: admin\r\nx-sluice-login: root\r\n"),
    (
        "malformed principal",
        "x-sluice-role: admin\r\nx-sluice-login: %zz\r\n",
    ),
    ("unknown role", "x-sluice-role: owner\r\nx-sluice-login: root\r\n"),
    (
        "doubled header",
        "x-sluice-role: user\r\nx-sluice-role: admin\r\nx-sluice-login: root\r\n",
    ),
];
const METHODS: [&str; 8] = [
    "GET", "HEAD", "POST", "PUT", "DELETE", "PATCH", "OPTIONS", "TRACE",
];

/// Target and status of a plain call that is let through: without effect, so that the order does not matter.
pub(super) fn probe(method: Method, path: &str) -> Option<(&'static str, u16)> {
    Some(match (method, path) {
        (Method::Get, "/aperture/config") => ("/aperture/config", 200),
        (Method::Put, "/aperture/config") => ("/aperture/config", 415),
        (Method::Post, "/aperture/config:validate") => ("/aperture/config:validate", 415),
        (Method::Get, "/aperture/openapi.json") => ("/aperture/openapi.json", 200),
        (Method::Get, "/aperture/pricing") => ("/aperture/pricing", 200),
        (Method::Get, "/aperture/pricing/{*model}") => ("/aperture/pricing/openai/gpt-5", 200),
        (Method::Get, "/api/adoption") => ("/api/adoption", 200),
        (Method::Get, "/api/adoption/users") => ("/api/adoption/users", 200),
        (Method::Get, "/api/audit") => ("/api/audit", 200),
        (Method::Get, "/api/audit/verify") => ("/api/audit/verify", 200),
        (Method::Get, "/api/captures") => ("/api/captures", 200),
        (Method::Get, "/api/captures/{id}") => ("/api/captures/00000000000000000000000000000001", 404),
        (Method::Get, "/api/captures/{id}/shadow") => {
            ("/api/captures/00000000000000000000000000000001/shadow", 404)
        }
        (Method::Get, "/api/captures/{id}/{part}") => {
            ("/api/captures/00000000000000000000000000000001/answer", 404)
        }
        (Method::Get, "/api/guardrails") => ("/api/guardrails", 200),
        (Method::Get, "/api/guardrails/hits") => ("/api/guardrails/hits", 200),
        (Method::Get, "/api/models") => ("/api/models", 200),
        (Method::Get, "/api/models/{*model}") => ("/api/models/openai/gpt-5", 200),
        (Method::Get, "/api/quotas/{id}/history") => ("/api/quotas/1/history", 404),
        (Method::Get, "/api/search") => ("/api/search?q=a", 200),
        (Method::Get, "/api/tool-calls/summary") => ("/api/tool-calls/summary", 200),
        (Method::Get, "/api/tool-calls") => ("/api/tool-calls", 200),
        (Method::Get, "/api/config") => ("/api/config", 200),
        (Method::Put, "/api/config") => ("/api/config", 415),
        (Method::Get, "/api/config/history") => ("/api/config/history", 200),
        (Method::Get, "/api/config/history/{id}") => ("/api/config/history/1", 200),
        (Method::Post, "/api/config/rollback") => ("/api/config/rollback", 415),
        (Method::Get, "/api/explain") => ("/api/explain?model=gpt-5", 200),
        (Method::Get, "/api/hooks") => ("/api/hooks", 200),
        (Method::Get, "/api/hooks/dead") => ("/api/hooks/dead", 200),
        (Method::Delete, "/api/hooks/dead/{id}") => ("/api/hooks/dead/1", 404),
        (Method::Post, "/api/hooks/dead/{id}/retry") => ("/api/hooks/dead/1/retry", 404),
        (Method::Get, "/api/export") => ("/api/export", 200),
        (Method::Get, "/api/exports") => ("/api/exports", 200),
        (Method::Post, "/api/exports/{name}/run") => ("/api/exports/none/run", 404),
        (Method::Get, "/api/health") => ("/api/health", 200),
        // Its answer has no end.
        (Method::Get, "/api/live") => ("/api/live?tail=perhaps", 400),
        (Method::Get, "/api/me") => ("/api/me", 200),
        (Method::Get, "/api/people") => ("/api/people", 200),
        (Method::Get, "/api/people/{login}") => ("/api/people/none", 404),
        (Method::Get, "/api/providers") => ("/api/providers", 200),
        (Method::Get, "/api/providers/{id}") => ("/api/providers/openai", 200),
        (Method::Get, "/api/quotas") => ("/api/quotas", 200),
        (Method::Get, "/api/quotas/events") => ("/api/quotas/events", 200),
        (Method::Post, "/api/quotas/refill") => ("/api/quotas/refill", 415),
        (Method::Get, "/api/quotas/refills") => ("/api/quotas/refills", 200),
        (Method::Get, "/api/requests") => ("/api/requests", 200),
        (Method::Get, "/api/requests/{id}") => ("/api/requests/none", 404),
        (Method::Get, "/api/sessions") => ("/api/sessions", 200),
        (Method::Get, "/api/sessions/{id}") => ("/api/sessions/none", 404),
        (Method::Get, "/api/sessions/{id}/requests") => ("/api/sessions/none/requests", 404),
        (Method::Get, "/api/tokens") => ("/api/tokens", 200),
        (Method::Post, "/api/tokens") => ("/api/tokens", 415),
        (Method::Delete, "/api/tokens/{id}") => ("/api/tokens/none", 404),
        (Method::Get, "/ui") => ("/ui", 308),
        // Without npm there is no dashboard in the build.
        (Method::Get, "/ui/") => ("/ui/", if sluice_ui::MISSING.is_some() { 404 } else { 200 }),
        (Method::Get, "/ui/{*path}") => ("/ui/assets/none.js", 404),
        (Method::Get, "/api/usage") => ("/api/usage", 200),
        (Method::Get, "/api/usage/series") => ("/api/usage/series", 200),
        _ => return None,
    })
}

fn methods(path: &str) -> Vec<&'static str> {
    let rows = ROUTES.iter().filter(|route| route.path == path);
    rows.flat_map(|route| match route.method {
        Method::Get => vec!["GET", "HEAD"],
        Method::Post => vec!["POST"],
        Method::Put => vec!["PUT"],
        Method::Delete => vec!["DELETE"],
    })
    .collect()
}

/// The status that the declared rule gives.
fn expected(access: Access, caller: &str, admitted: u16) -> (u16, Option<&'static str>) {
    match (caller, access) {
        ("no principal" | "no role", _) => (403, Some("no-role")),
        ("malformed principal" | "unknown role" | "doubled header", _) => (403, Some("bad-principal")),
        ("user" | "other user", Access::Admin) => (403, Some("admins-only")),
        ("user" | "other user", Access::AnyRole | Access::Own) | ("admin", _) => (admitted, None),
        _ => panic!("{caller} is no caller"),
    }
}

#[allow(clippy::print_stdout, reason = "the count is part of what the run shows")]
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn every_cell_is_as_declared() {
    let api = Api::start().await;
    let mut cells = 0;
    for route in ROUTES {
        let Some((target, admitted)) = probe(route.method, route.path) else {
            panic!("{:?} {} has no probe", route.method, route.path)
        };
        let own = match route.method {
            Method::Get => vec!["GET", "HEAD"],
            Method::Post => vec!["POST"],
            Method::Put => vec!["PUT"],
            Method::Delete => vec!["DELETE"],
        };
        let all = methods(route.path);
        for (caller, headers) in CALLERS {
            for method in METHODS {
                // Another method of the same path is the matter of its own row.
                if all.contains(&method) && !own.contains(&method) {
                    continue;
                }
                let request = format!(
                    "{method} {target} HTTP/1.1\r\nhost: x\r\n{headers}content-length: 0\r\nconnection: close\r\n\r\n"
                );
                let (status, head, body) = whole(&api.path, &request);
                let (wanted, code) = if own.contains(&method) {
                    expected(route.access, caller, admitted)
                } else {
                    (405, Some("method-not-allowed"))
                };
                let cell = format!("{method} {} by {caller}: {head}{body}", route.path);
                assert_eq!(status, wanted, "{cell}");
                if let (Some(code), false) = (code, method == "HEAD") {
                    let body: Value = serde_json::from_str(&body).unwrap_or_default();
                    assert_eq!(body["type"], format!("urn:sluice:problem:{code}"), "{cell}");
                    assert!(head.contains("content-type: application/problem+json"), "{cell}");
                }
                if wanted == 405 {
                    let allow = head
                        .lines()
                        .find_map(|l| l.strip_prefix("allow: "))
                        .unwrap_or_default();
                    let mut allowed: Vec<&str> = allow.split(',').map(str::trim).collect();
                    let mut expected = all.clone();
                    allowed.sort_unstable();
                    expected.sort_unstable();
                    assert_eq!(allowed, expected, "{cell}");
                }
                // Who has an answer with a tag may keep it, and asks again.
                let kept = if head.contains("\r\netag: ") {
                    "cache-control: private, no-cache"
                } else {
                    "cache-control: no-store"
                };
                for line in [
                    kept,
                    "x-content-type-options: nosniff",
                    "content-security-policy: default-src 'none'; ",
                    "frame-ancestors 'none'",
                ] {
                    assert!(head.contains(line), "{line}: {cell}");
                }
                cells += 1;
            }
        }
    }
    println!(
        "{} routes x {} callers: {cells} cells as declared",
        ROUTES.len(),
        CALLERS.len()
    );
    assert!(cells > 300);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn unknown_paths_are_problems_for_everybody() {
    let api = Api::start().await;
    for (caller, headers) in CALLERS {
        for target in [
            "/api",
            "/api/",
            "/api/nothing",
            "/aperture",
            "/",
            "/api/config/",
            "/api/config/history/1/2",
        ] {
            let request = format!("GET {target} HTTP/1.1\r\nhost: x\r\n{headers}connection: close\r\n\r\n");
            let (status, head, body) = whole(&api.path, &request);
            assert_eq!(status, 404, "{target} by {caller}");
            assert!(
                head.contains("application/problem+json") && head.contains("nosniff"),
                "{head}"
            );
            assert!(body.contains("urn:sluice:problem:not-found"), "{body}");
        }
    }
}

/// Status, head and body of an answer.
fn whole(path: &Path, request: &str) -> (u16, String, String) {
    let answer = described::ask(path, request.as_bytes());
    (
        answer.status,
        answer.head,
        String::from_utf8(answer.body).unwrap(),
    )
}
