//! What rules find in a call.

use super::*;

fn rule(name: &str, action: GuardAction, detectors: &[&str]) -> Guardrail {
    Guardrail {
        name: name.into(),
        everyone: true,
        on_requests: true,
        on_answers: true,
        action,
        shadow: true,
        detectors: detectors.iter().map(|name| (*name).to_owned()).collect(),
        ..Guardrail::default()
    }
}

fn call(request: &str, answer: &str) -> Call {
    Call {
        kind: ApiKind::OpenAiChat,
        provider: "p".into(),
        model: "m".into(),
        request: Some(request.as_bytes().to_vec()),
        answer: Some(answer.as_bytes().to_vec()),
    }
}

const REQUEST: &str = r#"{"model":"m","messages":[{"role":"user","content":"mail bob@example.com now"}],"tools":[{"type":"function","function":{"name":"rm","parameters":{}}}]}"#;
const ANSWER: &str =
    r#"{"id":"x","choices":[{"message":{"role":"assistant","content":"or eve@example.org"}}]}"#;

#[test]
fn rules_tell_what_they_would_do_and_show_nothing_that_they_found() {
    let mut tools = rule("tools", GuardAction::Block, &[]);
    tools.tools.deny = vec!["rm".into()];
    let mut elsewhere = rule("elsewhere", GuardAction::Redact, &["email"]);
    elsewhere.models = Some(vec!["other/*".into()]);
    let rules = [
        rule("pii", GuardAction::Redact, &["email"]),
        rule("note", GuardAction::Log, &["email"]),
        tools,
        elsewhere,
    ];
    let found = call(REQUEST, ANSWER).look(&rules).unwrap();
    assert_eq!(found["looked_at"], json!({"request": true, "answer": true}));
    let names: Vec<&str> = found["rules"]
        .as_array()
        .unwrap()
        .iter()
        .map(|rule| rule["name"].as_str().unwrap())
        .collect();
    assert_eq!(names, ["pii", "note", "tools"]);
    assert_eq!(
        found["rules"][0],
        json!({
            "name": "pii", "action": "redact", "shadow": true, "on": ["requests", "answers"], "everyone": true, "more": 0,
            "found": [
                {"where": "request.messages[0].content", "before": "mail b•••m now", "after": "mail [REDACTED:email] now", "what": "email", "count": 1},
                {"where": "answer.choices[0].message.content", "before": "or e•••g", "after": "or [REDACTED:email]", "what": "email", "count": 1},
            ],
        })
    );
    assert_eq!(found["rules"][1]["found"][0]["after"], Value::Null);
    assert_eq!(found["rules"][1]["found"][0]["before"], "mail b•••m now");
    let refused = &found["rules"][2]["found"];
    assert_eq!(refused.as_array().unwrap().len(), 1, "{refused}");
    assert_eq!(
        (&refused[0]["where"], &refused[0]["before"]),
        (&json!("request"), &Value::Null)
    );
    assert!(refused[0]["what"].as_str().unwrap().contains("rm"), "{refused}");
    assert!(!found.to_string().contains("example."), "{found}");
}

#[test]
fn what_cannot_be_read_is_not_looked_at() {
    let rules = [rule("pii", GuardAction::Redact, &["email"])];
    let check = |request: &str, answer: &str, looked: (bool, bool), hits: usize| {
        let found = call(request, answer).look(&rules).unwrap();
        assert_eq!(
            found["looked_at"],
            json!({"request": looked.0, "answer": looked.1}),
            "{request} {answer}"
        );
        assert_eq!(
            found["rules"][0]["found"].as_array().unwrap().len(),
            hits,
            "{request} {answer}"
        );
    };
    check(REQUEST, "data: a@example.com", (true, false), 1);
    check("{\"x\": \"a@example.com\"", ANSWER, (false, true), 1);
    check("", "", (false, false), 0);
}

#[test]
fn findings_are_bounded() {
    let mails = "a@example.com ".repeat(50);
    let request = json!({ "model": "m", "messages": [{ "role": "user", "content": mails }] }).to_string();
    let found = call(&request, "{}")
        .look(&[rule("pii", GuardAction::Redact, &["email"])])
        .unwrap();
    let rule = &found["rules"][0];
    assert_eq!(rule["found"].as_array().unwrap().len(), SHOWN_MAX);
    assert_eq!(rule["more"], 30);
}
