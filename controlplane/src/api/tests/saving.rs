//! The document through the API: reading, checking, saving, its history; and no secret on any of these ways.

use super::*;

const CANARY: &str = "canary-4711-secret";

fn document(more: &str) -> String {
    format!(
        "// notes of the operator\n{{\n  \"providers\": {{\n    \"openai\": {{\n      \"baseurl\": \"https://api.openai.com/v1\",\n      \
         \"apikey\": \"{CANARY}-1\", // never {CANARY}-1\n      \"models\": [\"gpt-*\"],\n      \
         \"add_headers\": [\"X-Team: {CANARY}-2\"]{more}\n    }},\n  }},\n  \
         \"grants\": [\n    {{\"src\": [\"root\", \"group:ops\"], \"capabilities\": [{{\"role\": \"admin\", \"models\": \"**\"}}]}},\n    \
         {{\"src\": [\"*\"], \"capabilities\": [{{\"role\": \"user\", \"models\": \"**\"}}]}},\n  ],\n  \"limits\": {{\"api_changes_per_s\": 0}},\n}}\n"
    )
}

struct Answer {
    status: u16,
    head: String,
    body: Value,
    text: String,
}

impl Answer {
    fn header(&self, name: &str) -> &str {
        let find = |line: &'_ str| {
            line.split_once(": ")
                .filter(|(n, _)| *n == name)
                .map(|(_, v)| v.to_owned())
        };
        let found = self.head.lines().find_map(find);
        found.map_or("", |v| Box::leak(v.into_boxed_str()))
    }
}

impl Api {
    fn call(&self, login: &str, method: &str, target: &str, headers: &str, body: Option<&Value>) -> Answer {
        let body = body.map(Value::to_string);
        let kind = if body.is_some() {
            "content-type: application/json\r\n"
        } else {
            ""
        };
        self.raw(
            login,
            method,
            target,
            &format!("{headers}{kind}"),
            body.as_deref().unwrap_or_default().as_bytes(),
        )
    }

    fn raw(&self, login: &str, method: &str, target: &str, headers: &str, body: &[u8]) -> Answer {
        let mut request = format!(
            "{method} {target} HTTP/1.1\r\nhost: x\r\nx-sluice-role: admin\r\nx-sluice-login: {login}\r\n{headers}content-length: {}\r\nconnection: close\r\n\r\n",
            body.len()
        )
        .into_bytes();
        request.extend_from_slice(body);
        let answer = described::ask(&self.path, &request);
        Answer {
            status: answer.status,
            body: answer.json(),
            text: String::from_utf8(answer.body).unwrap(),
            head: answer.head,
        }
    }

    fn put(&self, login: &str, if_match: &str, config: impl Into<Value>) -> Answer {
        let body = json!({ "config": config.into() });
        self.call(
            login,
            "PUT",
            "/aperture/config",
            &format!("if-match: {if_match}\r\n"),
            Some(&body),
        )
    }

    fn get(&self, target: &str) -> Answer {
        self.call("root", "GET", target, "", None)
    }

    fn file(&self) -> String {
        std::fs::read_to_string(self.folder.path().join("sluice.hujson")).unwrap()
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_document_goes_round_with_its_comments_and_secrets() {
    let api = Api::with(&document("")).await;
    let got = api.get("/aperture/config");
    assert_eq!(got.status, 200);
    let shown = got.body["config"].as_str().unwrap();
    assert!(
        shown.contains("// notes of the operator") && shown.contains("X-Team: ***"),
        "{shown}"
    );
    assert!(!got.text.contains(CANARY), "{}", got.text);
    let etag = got.header("etag").to_owned();
    assert!(etag.starts_with("\"1-") && etag.ends_with('"'), "{etag}");
    assert_eq!(got.body["etag"], etag);
    let again = api.call(
        "root",
        "GET",
        "/aperture/config",
        &format!("if-none-match: {etag}\r\n"),
        None,
    );
    assert_eq!((again.status, again.text.as_str()), (304, ""));

    let edited = shown.replace("gpt-*", "o3*");
    let put = api.put("root", &etag, edited.as_str());
    assert_eq!(put.status, 200, "{}", put.text);
    assert_eq!(
        (put.body["epoch"].as_u64(), put.body["version"].as_u64()),
        (Some(2), Some(2))
    );
    assert_eq!(put.header("etag"), put.body["etag"].as_str().unwrap());
    assert_ne!(put.header("etag"), etag);
    // A comment has no path: what was redacted in it stays so; everything else is as it was.
    let expected = document("")
        .replace("gpt-*", "o3*")
        .replace(&format!("// never {CANARY}-1"), "// never ***");
    assert_eq!(api.file(), expected);
    let snapshot = api.shown.publisher.current().unwrap().snapshot;
    assert_eq!(snapshot.providers[0].key.0, format!("{CANARY}-1"));
    assert_eq!(snapshot.providers[0].models, ["o3*"]);
    assert_eq!(api.put("root", &etag, edited.as_str()).status, 412);
    // The same text again is a version of its own only if something changed.
    let weak = format!("W/{}", put.header("etag"));
    assert_eq!(api.put("root", &weak, edited.as_str()).status, 412);
    assert_eq!(
        api.put("root", &format!("\"x\", {}", put.header("etag")), edited.as_str())
            .status,
        200
    );
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn saves_are_refused_with_every_message_and_no_effect() {
    let api = Api::with(&document("")).await;
    let shown = api.get("/aperture/config").body["config"]
        .as_str()
        .unwrap()
        .to_owned();
    let check = |text: &str, path: &str, line: u64, severity: &str, words: &str| {
        for answer in [
            api.put("root", "*", text),
            api.call(
                "root",
                "PUT",
                "/api/config",
                "",
                Some(&json!({"config": text, "hash": "*"})),
            ),
        ] {
            assert_eq!(answer.status, 422, "{text}: {}", answer.text);
            assert_eq!(answer.body["type"], "urn:sluice:problem:invalid-config");
            let messages = answer.body["messages"].as_array().unwrap();
            let found = messages.iter().any(|m| {
                m["path"] == path
                    && m["line"] == line
                    && m["severity"] == severity
                    && m["text"].as_str().unwrap().contains(words)
            });
            assert!(found, "{text}: {}", answer.text);
            let validated = api.call(
                "root",
                "POST",
                "/aperture/config:validate",
                "",
                Some(&json!({"config": text})),
            );
            assert_eq!((validated.status, &validated.body["valid"]), (200, &json!(false)));
            assert_eq!(validated.body["messages"], answer.body["messages"]);
            assert!(!validated.text.contains(CANARY));
        }
    };
    check("", "", 1, "error", "empty");
    check("// only words", "", 1, "error", "empty");
    check("{", "", 1, "error", "parse");
    check("[]", "", 1, "error", "object");
    check(
        &shown.replace("models", "modles"),
        "providers.openai.modles",
        7,
        "warning",
        "models",
    );
    check(
        &shown.replace("\"openai\"", "\"other\""),
        "providers.other.apikey",
        6,
        "error",
        "write it out",
    );
    check(
        &shown.replace("X-Team", "X-Other"),
        "providers.openai.add_headers[0]",
        8,
        "error",
        "redacted",
    );
    check(&shown.replace("\"root\", ", ""), "grants", 1, "error", "\"root\"");
    check(
        &shown.replace("https://", "ftp://"),
        "providers.openai.baseurl",
        5,
        "warning",
        "",
    );
    assert_eq!(api.file(), document(""));
    assert_eq!(api.shown.publisher.current().unwrap().epoch.0, 1);
    let fine = api.call(
        "root",
        "POST",
        "/aperture/config:validate",
        "",
        Some(&json!({"config": shown})),
    );
    assert_eq!(
        (fine.status, &fine.body["valid"], &fine.body["messages"]),
        (200, &json!(true), &json!([]))
    );
    assert_eq!(
        api.shown.publisher.current().unwrap().epoch.0,
        1,
        "checking has no effect"
    );
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn nobody_saves_away_the_own_role() {
    let api = Api::with(&document("")).await;
    let text = document("");
    let without = text.replace("\"root\", ", "");
    let save = |login: &str, headers: &str, text: &str| {
        let body = json!({ "config": text });
        api.call(
            login,
            "PUT",
            "/aperture/config",
            &format!("if-match: *\r\n{headers}"),
            Some(&body),
        )
        .status
    };
    assert_eq!(save("root", "", &without), 422);
    assert_eq!(
        save("root", "x-sluice-groups: group:ops\r\n", &without),
        200,
        "still admin by the group"
    );
    assert_eq!(
        save(
            "root",
            "x-sluice-groups: group:ops\r\n",
            &without.replace("group:ops", "group:x")
        ),
        422
    );
    assert_eq!(
        save("%28local%29", "", &text.replace("\"root\"", "\"other\"")),
        200,
        "the socket stays"
    );
    assert_eq!(
        save("by-policy", "", &text),
        200,
        "admin by something else than the document"
    );
    let static_only = text.replace(
        "\"grants\"",
        "\"identity\": {\"sources\": [\"static\"], \"static\": [{\"cidr\": \"10.0.0.0/8\", \"login\": \"root\"}]}, \"grants\"",
    );
    assert_eq!(save("root", "x-sluice-source: loopback\r\n", &static_only), 422);
    assert_eq!(save("root", "x-sluice-source: mtls\r\n", &static_only), 200);
    let network = text.replace("\"root\", ", "\"10.0.0.0/8\", ");
    assert_eq!(save("root", "x-sluice-address: 10.1.2.3\r\n", &network), 200);
    assert_eq!(
        save(
            "root",
            "x-sluice-address: 10.1.2.3\r\n",
            &network.replace("10.0.0.0/8", "11.0.0.0/8")
        ),
        422
    );
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn bodies_and_preconditions_are_checked() {
    let api = Api::with(&document("")).await;
    let text = document("");
    let code = |answer: &Answer| {
        let kind = answer.body["type"].as_str().unwrap_or_default().to_owned();
        (
            answer.status,
            kind.trim_start_matches("urn:sluice:problem:").to_owned(),
        )
    };
    let check = |answer: Answer, status: u16, kind: &str| {
        assert_eq!(code(&answer), (status, kind.to_owned()), "{}", answer.text);
    };
    let body = json!({ "config": text });
    check(
        api.call("root", "PUT", "/aperture/config", "", Some(&body)),
        428,
        "precondition-required",
    );
    check(
        api.call("root", "PUT", "/api/config", "", Some(&body)),
        428,
        "precondition-required",
    );
    check(
        api.put("root", "\"0-stale\"", text.as_str()),
        412,
        "precondition-failed",
    );
    check(api.put("root", "unquoted", text.as_str()), 400, "bad-header");
    for (kind, status) in [
        ("text/plain", 415),
        ("application/jsonx", 415),
        ("multipart/form-data", 415),
    ] {
        let headers = format!("if-match: *\r\ncontent-type: {kind}\r\n");
        check(
            api.raw(
                "root",
                "PUT",
                "/aperture/config",
                &headers,
                body.to_string().as_bytes(),
            ),
            status,
            "unsupported-media-type",
        );
    }
    let json = "if-match: *\r\ncontent-type: application/json; charset=utf-8\r\n";
    for broken in [
        "",
        "{",
        "[]",
        "\"x\"",
        "{\"config\": 5}",
        "{}",
        "\u{fffd}",
        "{\"config\": [1]}",
    ] {
        check(
            api.raw("root", "PUT", "/aperture/config", json, broken.as_bytes()),
            400,
            "bad-body",
        );
    }
    check(
        api.raw("root", "PUT", "/aperture/config", json, &[0xff, 0xfe]),
        400,
        "bad-body",
    );
    let long = format!("{{\"config\": \"{}\"}}", " ".repeat(4 << 20));
    check(
        api.raw("root", "PUT", "/aperture/config", json, long.as_bytes()),
        413,
        "body-too-large",
    );
    check(
        api.call(
            "root",
            "PUT",
            "/api/config",
            "",
            Some(&json!({"config": text, "hash": 5})),
        ),
        400,
        "bad-body",
    );
    for id in [json!("1"), json!(-1), json!(null), json!(1.5)] {
        check(
            api.call(
                "root",
                "POST",
                "/api/config/rollback",
                "",
                Some(&json!({ "id": id })),
            ),
            400,
            "bad-body",
        );
    }
    check(
        api.call(
            "root",
            "POST",
            "/api/config/rollback",
            "",
            Some(&json!({"id": 99})),
        ),
        404,
        "no-version",
    );
    check(api.get("/api/config/history/99"), 404, "no-version");
    check(api.get("/api/config/history/x"), 404, "no-version");
    check(api.get("/api/config/history/1?against=x"), 400, "bad-parameter");
    check(api.get("/api/config/history?x=1"), 400, "bad-parameter");
    assert_eq!(api.shown.publisher.current().unwrap().epoch.0, 1);
    // An object instead of a text, and the hash instead of the entity tag.
    let hash = api.get("/api/config").body["hash"].as_str().unwrap().to_owned();
    let object: Value = json!({
        "providers": {"openai": {"baseurl": "https://api.openai.com/v1", "apikey": "***", "models": ["gpt-*"]}},
        "grants": [{"src": ["root"], "capabilities": [{"role": "admin"}]}],
    });
    let put = |hash: &str| {
        api.call(
            "root",
            "PUT",
            "/api/config",
            "",
            Some(&json!({"config": object, "hash": hash})),
        )
    };
    assert_eq!(put(&hash).status, 200);
    assert_eq!(put(&hash).status, 412);
    assert_eq!(
        api.shown.publisher.current().unwrap().snapshot.providers[0].key.0,
        format!("{CANARY}-1")
    );
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn versions_are_listed_shown_and_taken_back() {
    let api = Api::with(&document("")).await;
    let first = api.file();
    assert_eq!(api.put("alice", "*", first.replace("gpt-*", "o3*")).status, 200);
    assert_eq!(
        api.put(
            "bob",
            "*",
            first
                .replace("gpt-*", "o3*")
                .replace("canary-4711-secret-2", "new")
        )
        .status,
        200
    );
    let list = api.get("/api/config/history");
    let versions = list.body["versions"].as_array().unwrap();
    let authors: Vec<&str> = versions.iter().map(|v| v["author"].as_str().unwrap()).collect();
    assert_eq!(authors, ["bob", "alice", "(file)"]);
    assert_eq!(
        (
            &list.body["current"],
            &versions[0]["current"],
            &versions[1]["current"]
        ),
        (&json!(3), &json!(true), &json!(false))
    );
    assert_eq!(
        (&versions[1]["added"], &versions[1]["removed"]),
        (&json!(1), &json!(1))
    );
    assert_eq!(
        versions[0]["secrets_changed"],
        json!(["providers.openai.add_headers[0]"])
    );
    assert_eq!(
        versions[0]["hash"], versions[1]["hash"],
        "nothing derived from a secret"
    );
    let shown = api.get("/api/config/history/2");
    let diff = shown.body["diff"].as_str().unwrap();
    assert!(
        diff.contains("-      \"models\": [\"gpt-*\"]") && diff.contains("+      \"models\": [\"o3*\"]"),
        "{diff}"
    );
    let wide = api.get("/api/config/history/3?against=1");
    assert_eq!(wide.body["against"], 1);

    let back = api.call(
        "root",
        "POST",
        "/api/config/rollback",
        "",
        Some(&json!({"id": 1})),
    );
    assert_eq!(
        (back.status, &back.body["version"]),
        (200, &json!(4)),
        "{}",
        back.text
    );
    assert_eq!(api.file(), first);
    let newest = &api.get("/api/config/history").body["versions"][0];
    assert_eq!(
        (&newest["author"], &newest["note"]),
        (&json!("root"), &json!("back to version 1"))
    );
    let stale = api.call(
        "root",
        "POST",
        "/api/config/rollback",
        "if-match: \"1-x\"\r\n",
        Some(&json!({"id": 2})),
    );
    assert_eq!(stale.status, 412);
    for answer in [list, shown, wide, back] {
        assert!(!answer.text.contains(CANARY), "{}", answer.text);
    }
}

#[allow(clippy::print_stdout, reason = "the count is part of what the run shows")]
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn no_answer_of_any_route_holds_a_secret() {
    let api = Api::with(&document("")).await;
    let broken =
        document(", \"apikye\": \"canary-4711-secret-3\", \"authorization\": \"canary-4711-secret-4\"");
    let bodies = [
        json!({ "config": document("") }),
        json!({ "config": broken }),
        json!({ "config": format!("{{ {broken}") }),
        json!({ "config": document(""), "hash": "*" }),
        json!({ "id": 1 }),
        json!({ "config": CANARY }),
    ];
    let mut answers = 0;
    // A stream of events has no end that could be waited for; what it tells of are records.
    api.shown.live.close();
    for route in routes::ROUTES {
        let target = route.path.replace("{id}", "1");
        for method in ["GET", "PUT", "POST", "DELETE"] {
            for body in bodies.iter().map(Some).chain([None]) {
                for headers in ["", "if-match: *\r\n", "if-match: \"x\"\r\n"] {
                    let answer = api.call("root", method, &target, headers, body);
                    assert!(
                        !answer.text.contains("canary") && !answer.head.contains("canary"),
                        "{method} {target} {body:?}: {}",
                        answer.text
                    );
                    answers += 1;
                }
            }
        }
    }
    println!("{answers} answers without a secret");
}
