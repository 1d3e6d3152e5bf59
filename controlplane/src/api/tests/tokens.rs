//! Tokens over the API: shown once, to whom they belong.

use super::*;

impl Api {
    fn token(&self, who: (&str, &str), method: &str, target: &str, body: Option<&Value>) -> (u16, Value) {
        let (role, login) = who;
        let body = body.map(Value::to_string).unwrap_or_default();
        let kind = if body.is_empty() {
            ""
        } else {
            "content-type: application/json\r\n"
        };
        let request = format!(
            "{method} {target} HTTP/1.1\r\nhost: x\r\nx-sluice-role: {role}\r\nx-sluice-login: {login}\r\n{kind}content-length: {}\r\nconnection: close\r\n\r\n{body}",
            body.len()
        );
        let (status, _, body) = exchange(&self.path, &request);
        (status, body)
    }
}

const ADMIN: (&str, &str) = ("admin", "root");
const USER: (&str, &str) = ("user", "user1");

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_token_is_shown_once_and_revoked() {
    let api = Api::start().await;
    let wish = json!({"name": "ci", "tags": ["tag:ci"], "models": ["openai/**"], "role": "user", "expires_in_s": 86400});
    let (status, made) = api.token(ADMIN, "POST", "/api/tokens", Some(&wish));
    assert_eq!(status, 201, "{made}");
    let secret = made["token"].as_str().unwrap().to_owned();
    assert!(secret.starts_with("slt_") && secret.len() == 47, "{secret}");
    assert_eq!(
        (&made["models"], &made["role"], &made["created_by"]),
        (&json!(["openai/**"]), &json!("user"), &json!("root"))
    );
    assert_eq!(made["accepted"], false, "the document names no such source");
    let (status, list) = api.token(ADMIN, "GET", "/api/tokens", None);
    assert_eq!((status, list["tokens"].as_array().unwrap().len()), (200, 1));
    assert!(!list.to_string().contains(&secret[4..]), "never again");
    let id = made["id"].as_str().unwrap();
    let (status, gone) = api.token(ADMIN, "DELETE", &format!("/api/tokens/{id}"), None);
    assert_eq!(status, 200, "{gone}");
    assert!(gone["revoked_at"].is_string());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn users_have_their_own_and_see_no_other() {
    let api = Api::start().await;
    let (_, other) = api.token(
        ADMIN,
        "POST",
        "/api/tokens",
        Some(&json!({"name": "x", "login": "user2"})),
    );
    let (status, own) = api.token(
        USER,
        "POST",
        "/api/tokens",
        Some(&json!({"name": "mine", "login": "user1"})),
    );
    assert_eq!(status, 201, "{own}");
    let (_, list) = api.token(USER, "GET", "/api/tokens", None);
    let names: Vec<&str> = list["tokens"]
        .as_array()
        .unwrap()
        .iter()
        .map(|t| t["name"].as_str().unwrap())
        .collect();
    assert_eq!(names, ["mine"]);
    let target = format!("/api/tokens/{}", other["id"].as_str().unwrap());
    assert_eq!(
        api.token(USER, "DELETE", &target, None).0,
        404,
        "it does not exist to them"
    );
    let own = format!("/api/tokens/{}", own["id"].as_str().unwrap());
    assert_eq!(api.token(USER, "DELETE", &own, None).0, 200);
    for (wish, status, code) in [
        (json!({"name": "x", "login": "user2"}), 403, "token-not-yours"),
        (
            json!({"name": "x", "login": "user1", "role": "admin"}),
            403,
            "token-not-yours",
        ),
        (json!({"name": "x", "tags": ["tag:ci"]}), 403, "token-not-yours"),
    ] {
        let (found, body) = api.token(USER, "POST", "/api/tokens", Some(&wish));
        assert_eq!(
            (found, body["type"].as_str().unwrap()),
            (status, format!("urn:sluice:problem:{code}").as_str()),
            "{wish}: {body}"
        );
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn bad_wishes_are_named() {
    let api = Api::start().await;
    let check = |wish: Value, status: u16, words: &str| {
        let (found, body) = api.token(ADMIN, "POST", "/api/tokens", Some(&wish));
        assert_eq!(found, status, "{wish}: {body}");
        assert!(body["detail"].as_str().unwrap().contains(words), "{wish}: {body}");
    };
    check(json!({"login": "a"}), 422, "name");
    check(json!({"name": "x"}), 422, "login or tags");
    check(
        json!({"name": "x", "login": "a", "tags": ["tag:b"]}),
        422,
        "not both",
    );
    check(
        json!({"name": "x", "login": "a", "model": "m"}),
        400,
        "\"model\" is not known",
    );
    check(
        json!({"name": "x", "login": "a", "models": "m"}),
        400,
        "list of strings",
    );
    check(json!({"name": "x", "login": "a", "models": []}), 422, "models");
    check(json!({"name": "x", "login": "a", "role": "owner"}), 422, "owner");
    check(
        json!({"name": "x", "login": "a", "expires_at": "soon"}),
        400,
        "expires_at",
    );
    check(
        json!({"name": "x", "login": "a", "expires_at": "2020-01-01T00:00:00Z"}),
        422,
        "past",
    );
    check(
        json!({"name": "x", "login": "a", "expires_in_s": u64::MAX}),
        422,
        "ten years",
    );
    check(
        json!({"name": "x", "login": "a", "expires_in_s": -1}),
        400,
        "seconds",
    );
    check(json!({"name": 5, "login": "a"}), 400, "name");
}
