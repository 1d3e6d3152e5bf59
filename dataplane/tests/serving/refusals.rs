//! Refusals in the caller's own words, and that a refused call reaches nobody.

use std::net::{SocketAddr, TcpListener};

use sluice_shared::api::Flag;
use sluice_shared::snapshot::{Capability, Role};
use sluice_shared::usage::Ended;

use crate::support::client::{Answer, chat, get, post};
use crate::support::control::Who;
use crate::support::setup::{PROVIDER_KEY, plain, provider, snapshot};
use crate::support::upstream::Upstream;
use crate::support::{Gateway, Setup};

/// A call of each family.
const CALLS: &[(&str, &str, &str)] = &[
    ("openai", "/v1/chat/completions", r#"{"model":"secret-model"}"#),
    ("openai", "/v1/responses", r#"{"model":"secret-model"}"#),
    ("anthropic", "/v1/messages", r#"{"model":"secret-model"}"#),
    (
        "anthropic",
        "/v1/projects/p/locations/l/publishers/anthropic/models/secret-model:rawPredict",
        "{}",
    ),
    ("google", "/v1beta/models/secret-model:generateContent", "{}"),
    (
        "google",
        "/v1/projects/p/locations/l/publishers/google/models/secret-model:generateContent",
        "{}",
    ),
    ("bedrock", "/bedrock/model/secret-model/converse", "{}"),
    ("plain", "/ollama/api/chat", r#"{"model":"secret-model"}"#),
];

/// Checks shape, status and ids of a refusal.
fn check(family: &str, answer: &Answer, status: u16, code: &str, words: [&str; 4]) {
    let text = answer.text();
    let id = answer.field("x-sluice-request-id").unwrap();
    assert_eq!(
        (answer.status, answer.field("x-sluice-error")),
        (status, Some(code)),
        "{family}: {text}"
    );
    assert_eq!(answer.field("content-type"), Some("application/json"));
    assert!(!text.contains(PROVIDER_KEY), "{text}");
    let [openai, anthropic, google, bedrock] = words;
    match family {
        "openai" => {
            assert!(text.starts_with(r#"{"error":{"message":""#), "{text}");
            assert!(
                text.ends_with(&format!(
                    r#"","type":"{openai}","param":null,"code":"{code}"}}}}"#
                )),
                "{text}"
            );
            assert_eq!(answer.field("x-request-id"), Some(id));
        }
        "anthropic" => {
            assert!(
                text.starts_with(&format!(
                    r#"{{"type":"error","error":{{"type":"{anthropic}","message":""#
                )),
                "{text}"
            );
            assert!(text.ends_with(&format!(r#""}},"request_id":"{id}"}}"#)), "{text}");
            assert_eq!(answer.field("request-id"), Some(id));
        }
        "google" => {
            assert!(
                text.starts_with(&format!(r#"{{"error":{{"code":{status},"message":""#)),
                "{text}"
            );
            assert!(text.ends_with(&format!(r#"","status":"{google}"}}}}"#)), "{text}");
        }
        "bedrock" => {
            assert!(text.starts_with(r#"{"message":""#), "{text}");
            assert_eq!(answer.field("x-amzn-ErrorType"), Some(bedrock));
            assert_eq!(answer.field("x-amzn-requestid"), Some(id));
        }
        _ => assert!(text.starts_with(r#"{"error":""#), "{text}"),
    }
}

/// Calls every family once and checks every answer and record.
fn every_family(gateway: &Gateway, status: u16, code: &str, ended: Ended, words: [&str; 4]) -> Vec<Answer> {
    let before = gateway.records().len();
    let answers: Vec<Answer> = CALLS
        .iter()
        .map(|(family, path, body)| {
            let answer = gateway.call(post(path, body));
            check(family, &answer, status, code, words);
            answer
        })
        .collect();
    let records = gateway.wait_records(before + CALLS.len());
    for (record, answer) in records[before..].iter().zip(&answers) {
        assert_eq!(
            (record.ended, record.status, record.error.as_deref()),
            (ended, status, Some(code))
        );
        assert_eq!(
            record.request_id.hex(),
            answer.field("x-sluice-request-id").unwrap().as_bytes()
        );
    }
    answers
}

const DENIED: [&str; 4] = [
    "permission_error",
    "permission_error",
    "PERMISSION_DENIED",
    "AccessDeniedException",
];

/// Red if somebody unknown, or without a role, or without the model, gets through, or is told so in words that the
/// client does not know.
#[test]
fn denials_in_every_family() {
    let upstream = Upstream::plain();
    let mut setup = Setup::new(plain(upstream.address)).who(Who::Unknown);
    setup.snapshot.limits.identity_ms = 400;
    let gateway = Gateway::start(setup);
    let denied = |answers: Vec<Answer>| {
        for answer in answers {
            assert_eq!(answer.field("x-should-retry"), Some("false"));
            assert_eq!(answer.field("retry-after"), None);
        }
    };
    denied(every_family(
        &gateway,
        403,
        "identity_unknown",
        Ended::Blocked,
        DENIED,
    ));

    gateway.control.set_who(Who::somebody("alice@example.com"));
    gateway.revoke_all();
    gateway.control.publish(|snapshot| snapshot.grants.clear());
    denied(every_family(&gateway, 403, "no_role", Ended::Blocked, DENIED));

    gateway.control.publish(|snapshot| {
        snapshot.grants = plain(upstream.address).grants;
        snapshot.grants[0].capabilities = vec![Capability {
            role: Some(Role::User),
            models: Some(vec!["main/other-*".into()]),
            grants_models: true,
            ..Capability::default()
        }];
    });
    let answers = every_family(&gateway, 403, "model_not_granted", Ended::Blocked, DENIED);
    assert!(
        answers
            .iter()
            .all(|a| a.text().contains("secret-model") && a.text().contains("administrator"))
    );
    denied(answers);
    assert_eq!(gateway.call(chat("other-model")).status, 200);

    gateway
        .control
        .publish(|snapshot| snapshot.providers[0].models = vec!["only-this".into()]);
    let words = [
        "invalid_request_error",
        "not_found_error",
        "NOT_FOUND",
        "ResourceNotFoundException",
    ];
    every_family(&gateway, 404, "model_not_found", Ended::Blocked, words);
    assert_eq!(upstream.requests().len(), 1);
    let user = gateway.records().pop().unwrap().user;
    assert_eq!(user, "alice@example.com");
}

/// Red if not knowing who calls lets anybody through, or a client is not told when to come again.
#[test]
fn an_identity_that_cannot_be_found_out_is_a_503() {
    let upstream = Upstream::plain();
    let mut setup = Setup::new(plain(upstream.address)).who(Who::Unavailable { retry_after_s: 7 });
    setup.snapshot.limits.identity_ms = 200;
    let gateway = Gateway::start(setup);
    let words = [
        "server_error",
        "api_error",
        "UNAVAILABLE",
        "ServiceUnavailableException",
    ];
    for answer in every_family(&gateway, 503, "identity_unavailable", Ended::Blocked, words) {
        assert_eq!(answer.field("retry-after"), Some("7"));
    }
    gateway.control.set_who(Who::Silence);
    let answer = gateway.call(chat("m"));
    assert_eq!(
        (
            answer.status,
            answer.field("x-sluice-error"),
            answer.field("retry-after")
        ),
        (503, Some("identity_unavailable"), Some("1"))
    );
    assert_eq!(upstream.bytes(), 0);
}

fn nobody() -> SocketAddr {
    TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap()
}

/// Red if a provider that cannot be reached hangs the call, or is reported as something else.
#[test]
fn unreachable_providers_in_every_family() {
    let gateway = Gateway::start(Setup::new(plain(nobody())));
    let words = [
        "server_error",
        "api_error",
        "UNAVAILABLE",
        "InternalServerException",
    ];
    for answer in every_family(&gateway, 502, "upstream_connect", Ended::UpstreamFailed, words) {
        assert!(answer.text().contains("main"), "{}", answer.text());
    }
}

/// Red if the next provider is not tried when the first cannot be reached, or is tried although the first has the
/// request; or if the attempt that failed keeps its slot in the in-flight table.
#[test]
fn the_next_provider_takes_over_only_what_nobody_has() {
    let second = Upstream::plain();
    let gateway = Gateway::start(Setup::new(snapshot(vec![
        provider("first", nobody()),
        provider("second", second.address),
    ])));
    let answer = gateway.call(chat("m"));
    assert_eq!(answer.status, 200);
    let record = gateway.wait_records(1).remove(0);
    assert_eq!(
        (record.provider.as_str(), record.ended),
        ("second", Ended::Complete)
    );

    let first = Upstream::scripted(|exchange| {
        exchange.body();
        exchange.fin();
    });
    gateway
        .control
        .publish(|snapshot| snapshot.providers[0] = provider("first", first.address));
    let answer = gateway.call(chat("m"));
    assert_eq!(
        (answer.status, answer.field("x-sluice-error")),
        (502, Some("upstream_closed"))
    );
    assert_eq!((first.requests().len(), second.requests().len()), (1, 1));
    gateway.wait_records(2);
    assert_eq!(crate::support::journal::occupied_slots(gateway.data_dir()), 0);
}

/// Red if a provider is asked for an API that it does not serve.
#[test]
fn flags_decide_who_serves() {
    let (a, b) = (Upstream::plain(), Upstream::plain());
    let mut providers = vec![provider("a", a.address), provider("b", b.address)];
    providers[0].flags = 1 << Flag::AnthropicMessages as u8;
    providers[1].flags = 1 << Flag::OpenAiChat as u8;
    let gateway = Gateway::start(Setup::new(snapshot(providers)));
    assert_eq!(gateway.call(chat("m")).status, 200);
    assert_eq!(gateway.call(post("/v1/messages", r#"{"model":"m"}"#)).status, 200);
    assert_eq!(
        gateway.call(post("/v1/responses", r#"{"model":"m"}"#)).status,
        404
    );
    assert_eq!((a.requests().len(), b.requests().len()), (1, 1));
}

/// Red if a body that two readers could take for different calls is forwarded.
#[test]
fn bodies_that_name_two_models_are_refused() {
    let upstream = Upstream::plain();
    let gateway = Gateway::start(Setup::new(plain(upstream.address)));
    for (path, body) in [
        ("/v1/messages", r#"{"model":"a","model":"b"}"#),
        ("/v1/messages", r#"{"model":"a","mod\u0065l":"b"}"#),
        ("/v1/messages", r#"{"model":"a","Model":"b"}"#),
        ("/v1/messages", r#"{"model":1}"#),
        ("/v1/messages", r#"{"model":null}"#),
        ("/v1/messages", r#"{"model":"a b"}"#),
        ("/v1/messages", r#"{"model":""}"#),
        ("/v1/messages", r#"{"messages":[]}"#),
        ("/v1/messages", r#"{"model":"a"}{"model":"b"}"#),
        ("/v1/messages", r#"{"model":"a"} x"#),
        ("/v1/messages", r#"{"model":"a",}"#),
        ("/v1/messages", r#"{"model":"a","x":NaN}"#),
        ("/v1/messages", r#"[{"model":"a"}]"#),
        ("/v1/messages", r#"{"model":"a""#),
        ("/v1/messages", ""),
        ("/v1/messages", r#"{"model":"a","stream":"true"}"#),
        ("/v1beta/models/a:generateContent", r#"{"model":"b"}"#),
        ("/bedrock/model/a/invoke", r#"{"model":"b"}"#),
    ] {
        let mut client = gateway.client();
        client.send(post(path, body));
        let status = client.try_answer(false).map(|answer| answer.status);
        assert_eq!(status, Ok(400), "{path} {body}");
    }
    let deep = format!("{{\"model\":\"a\",\"x\":{}{}}}", "[".repeat(200), "]".repeat(200));
    assert_eq!(gateway.call(post("/v1/messages", &deep)).status, 400);
    assert_eq!(upstream.bytes(), 0);
    // The connection of a refused but wholly read body lives on.
    let mut client = gateway.client();
    client.send(post("/v1/messages", r#"{"messages":[]}"#));
    assert_eq!(client.answer().status, 400);
    client.send(chat("m"));
    assert_eq!(client.answer().status, 200);
}

/// Red if a web socket is not sent back to POST, or other paths and methods get a wrong word.
#[test]
fn paths_and_methods_that_are_not_served() {
    let upstream = Upstream::plain();
    let gateway = Gateway::start(Setup::new(plain(upstream.address)));
    let upgrade = |method: &str, path: &str| {
        format!(
            "{method} {path} HTTP/1.1\r\nHost: a\r\nConnection: Upgrade\r\nUpgrade: websocket\r\nSec-WebSocket-Key: x\r\n\r\n"
        )
    };
    let answer = gateway.call(upgrade("GET", "/v1/responses"));
    assert_eq!(
        (
            answer.status,
            answer.field("x-sluice-error"),
            answer.field("upgrade")
        ),
        (426, Some("upgrade_required"), Some("HTTP/1.1"))
    );
    assert_eq!(gateway.call(upgrade("GET", "/healthz")).status, 426);
    let answer = gateway.call(get("/v1/chat/completions"));
    assert_eq!((answer.status, answer.field("allow")), (405, Some("POST")));
    // No resource has these; which it is, is not even read.
    let answer = gateway
        .call(upgrade("TRACE", "/api/me").replace("Connection: Upgrade\r\nUpgrade: websocket\r\n", ""));
    assert_eq!(
        (answer.status, answer.field("allow")),
        (405, Some("GET, HEAD, POST, PUT, PATCH, DELETE, OPTIONS"))
    );
    assert_eq!(gateway.call(get("/v1/nothing")).status, 404);
    assert_eq!(
        gateway
            .call(post("/v1/threads/t/messages", r#"{"model":"m"}"#))
            .status,
        404
    );
    assert_eq!(upstream.bytes(), 0);
}
