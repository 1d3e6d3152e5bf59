//! Who may do what, in words; to admins about everybody, to users about themselves.

use super::*;
use crate::api::explain::Question;

const DOCUMENT: &str = r#"{
  "providers": {
    "openai": {"baseurl": "https://api.openai.com/v1", "apikey": "sk-canary-000001", "models": ["gpt-*"]},
    "local": {"baseurl": "http://127.0.0.1:8000", "models": ["llama*"], "compatibility": {"ollama": true}},
  },
  "identity": {"sources": ["loopback", "static"], "static": [{"cidr": "10.1.0.0/16", "login": "net@example.com"}]},
  "grants": [
    {"src": ["root"], "capabilities": [{"role": "admin"}]},
    {"src": ["alice@example.com", "tag:ci"], "capabilities": [{"role": "user", "models": "openai/**"}]},
    {"src": ["10.0.0.0/8"], "capabilities": [{"role": "user", "models": "local/**", "add_headers": ["X-Secret: canary"]}]},
  ],
}"#;

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn admins_ask_about_anybody() {
    let api = Api::with(DOCUMENT).await;
    let ask = |query: &str| api.admin(&format!("/api/explain?{query}"));
    let outcome = |answer: &Value| {
        answer["model"]["apis"][0]["outcome"]
            .as_str()
            .unwrap_or("-")
            .to_owned()
    };

    let alice = ask("as=alice%40example.com&model=gpt-5.5");
    assert_eq!(
        (&alice["role"], outcome(&alice).as_str()),
        (&json!("user"), "allowed"),
        "{alice:#}"
    );
    assert_eq!(
        alice["role_by"],
        json!([{"grant": "grants[1]", "sources": ["alice@example.com"]}])
    );
    let candidate = &alice["model"]["apis"][0]["candidates"][0];
    assert_eq!(
        (&candidate["provider"], &candidate["granted"]),
        (&json!("openai"), &json!(true))
    );

    let denied = ask("as=alice%40example.com&model=llama3");
    assert_eq!(outcome(&denied), "not_granted");
    assert!(
        denied["model"]["apis"][0]["missing"]
            .as_str()
            .unwrap()
            .contains("local/llama3"),
        "{denied:#}"
    );
    let nobody = ask("as=alicia%40example.com");
    assert_eq!(nobody["role"], Value::Null);
    assert!(
        nobody["missing"].as_str().unwrap().contains("grants[1]"),
        "{nobody:#}"
    );

    let tagged = ask("tag=tag%3Aci&tag=tag%3Aother&model=gpt-5&api=openai-chat");
    assert_eq!(tagged["principal"]["login"], "tag:ci,tag:other");
    assert_eq!(outcome(&tagged), "allowed");
    let network = ask("address=10.1.2.3&model=llama3");
    assert_eq!(network["principal"]["login"], "net@example.com");
    assert_eq!(network["principal"]["from"], "the identity source static");
    assert_eq!(outcome(&network), "allowed");
    assert!(
        !network.to_string().contains("canary"),
        "header names, not values"
    );
    let stranger = ask("address=192.0.2.1");
    assert_eq!(
        (&stranger["principal"], &stranger["role"]),
        (&Value::Null, &Value::Null)
    );
    let unserved = ask("as=root&model=nothing&api=ollama");
    assert_eq!(outcome(&unserved), "not_served");
    assert_eq!(
        ask("as=root&model=gpt-5&api=bedrock_converse")["model"]["served_on"],
        json!(["openai_chat"])
    );
    assert_eq!(
        ask("model=gpt-5")["principal"]["login"],
        "root",
        "nobody else named: oneself"
    );

    for (query, name) in [
        ("api=telepathy&as=a", "api"),
        ("address=nowhere", "address"),
        ("group=group%3Ax", "as"),
        ("as=a&as=b", "as"),
        ("who=a", "who"),
    ] {
        let (status, _, body) = api.ask(Some("admin"), "root", "GET", &format!("/api/explain?{query}"));
        assert_eq!(status, 400, "{query}: {body}");
        assert!(
            body["detail"].as_str().unwrap().contains(&format!("{name:?}")),
            "{query}: {body}"
        );
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn users_ask_about_themselves() {
    let api = Api::with(DOCUMENT).await;
    let ask = |query: &str| {
        api.ask(
            Some("user"),
            "alice%40example.com",
            "GET",
            &format!("/api/explain?{query}"),
        )
    };
    for query in ["model=gpt-5", "as=alice%40example.com&model=gpt-5"] {
        let (status, _, body) = ask(query);
        assert_eq!((status, &body["role"]), (200, &json!("user")), "{body}");
    }
    for query in [
        "as=root",
        "tag=tag%3Aci",
        "group=group%3Ax",
        "address=10.1.2.3",
        "as=alice%40example.com&source=loopback",
    ] {
        let (status, _, body) = ask(query);
        assert_eq!(
            (status, &body["type"]),
            (403, &json!("urn:sluice:problem:only-yourself")),
            "{query}"
        );
    }
}

#[test]
fn a_document_is_explained_without_a_gateway() {
    let environment = std::collections::HashMap::new();
    let ask = |question: Question| explain::explain(DOCUMENT, &environment, Path::new("."), &question);
    let about = |address: &str| {
        ask(Question {
            address: Some(address.parse().unwrap()),
            model: Some("llama3".into()),
            ..Question::default()
        })
    };
    let network = about("10.1.2.3").unwrap();
    assert_eq!(network["principal"]["login"], "net@example.com");
    assert_eq!(network["model"]["apis"][0]["outcome"], "allowed");
    assert_eq!(about("127.0.0.1").unwrap()["principal"]["source"], "loopback");
    assert_eq!(about("192.0.2.1").unwrap()["principal"], Value::Null);
    assert!(matches!(
        ask(Question::default()),
        Err(explain::ExplainError::Nobody)
    ));
    let broken = explain::explain("{", &environment, Path::new("."), &Question::default());
    assert!(matches!(broken, Err(explain::ExplainError::Document(_))));
}
