//! What the provider gets and what the client gets back: the same bytes, but for what policy changes.

use std::sync::{Arc, Mutex};

use sluice_shared::snapshot::{Alias, AuthMode, Authorization, Header, Secret};
use sluice_shared::usage::{Ended, Known};

use crate::support::client::{Framed, get, post, post_with, show};
use crate::support::setup::{PROVIDER_KEY, plain};
use crate::support::upstream::Upstream;
use crate::support::{Gateway, Setup};

/// Every row of the path table that calls a provider: the path, what the provider gets, whether the body names the
/// model, and whether a stream is asked for by `stream` in it.
const PATHS: &[(&str, &str, bool)] = &[
    ("/v1/chat/completions", "/v1/chat/completions", true),
    ("/openai/v1/chat/completions", "/v1/chat/completions", true),
    ("/v1/completions", "/v1/completions", true),
    ("/v1/responses", "/v1/responses", true),
    ("/v1/responses/input_tokens", "/v1/responses/input_tokens", true),
    ("/v1/embeddings", "/v1/embeddings", true),
    ("/v1/images/generations", "/v1/images/generations", true),
    ("/v1/audio/speech", "/v1/audio/speech", true),
    ("/v1/moderations", "/v1/moderations", true),
    ("/v1/rerank", "/v1/rerank", true),
    ("/v1/messages", "/v1/messages", true),
    ("/v1/messages/count_tokens", "/v1/messages/count_tokens", true),
    (
        "/v1beta/models/m:generateContent",
        "/v1beta/models/m:generateContent",
        false,
    ),
    (
        "/v1beta/models/m:streamGenerateContent?alt=sse",
        "/v1beta/models/m:streamGenerateContent?alt=sse",
        false,
    ),
    (
        "/v1beta/models/m:countTokens",
        "/v1beta/models/m:countTokens",
        false,
    ),
    (
        "/v1beta/models/m:embedContent",
        "/v1beta/models/m:embedContent",
        false,
    ),
    (
        "/v1beta/models/m:batchEmbedContents",
        "/v1beta/models/m:batchEmbedContents",
        false,
    ),
    (
        "/v1/projects/p/locations/l/publishers/google/models/m:generateContent",
        "/v1/projects/p/locations/l/publishers/google/models/m:generateContent",
        false,
    ),
    (
        "/v1/projects/p/locations/l/publishers/google/models/m:streamGenerateContent",
        "/v1/projects/p/locations/l/publishers/google/models/m:streamGenerateContent",
        false,
    ),
    (
        "/v1/projects/p/locations/l/publishers/google/models/m:countTokens",
        "/v1/projects/p/locations/l/publishers/google/models/m:countTokens",
        false,
    ),
    (
        "/v1/projects/p/locations/l/publishers/google/models/m:predict",
        "/v1/projects/p/locations/l/publishers/google/models/m:predict",
        false,
    ),
    (
        "/v1/projects/p/locations/l/publishers/anthropic/models/m:rawPredict",
        "/v1/projects/p/locations/l/publishers/anthropic/models/m:rawPredict",
        false,
    ),
    (
        "/v1/projects/p/locations/l/publishers/anthropic/models/m:streamRawPredict",
        "/v1/projects/p/locations/l/publishers/anthropic/models/m:streamRawPredict",
        false,
    ),
    ("/bedrock/model/m/invoke", "/model/m/invoke", false),
    (
        "/bedrock/model/m/invoke-with-response-stream",
        "/model/m/invoke-with-response-stream",
        false,
    ),
    ("/bedrock/model/m/converse", "/model/m/converse", false),
    (
        "/bedrock/model/m/converse-stream",
        "/model/m/converse-stream",
        false,
    ),
    ("/bedrock/model/m/count-tokens", "/model/m/count-tokens", false),
    ("/ollama/api/chat", "/api/chat", true),
    ("/ollama/api/generate", "/api/generate", true),
    ("/ollama/api/embed", "/api/embed", true),
    ("/ollama/api/embeddings", "/api/embeddings", true),
];

/// How the provider delimits its answer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Delimited {
    Length,
    Chunked,
    Close,
}

fn framed(how: Delimited, content_type: &str, body: &[u8]) -> Vec<u8> {
    let mut out = format!("HTTP/1.1 200 OK\r\nContent-Type: {content_type}\r\n").into_bytes();
    match how {
        Delimited::Length => {
            out.extend_from_slice(format!("Content-Length: {}\r\n\r\n", body.len()).as_bytes());
            out.extend_from_slice(body);
        }
        Delimited::Close => {
            out.extend_from_slice(b"Connection: close\r\n\r\n");
            out.extend_from_slice(body);
        }
        Delimited::Chunked => {
            out.extend_from_slice(b"Transfer-Encoding: chunked\r\n\r\n");
            for (index, piece) in body.chunks(7_777).enumerate() {
                let extension = if index % 3 == 0 { ";x=y" } else { "" };
                out.extend_from_slice(format!("{:X}{extension}\r\n", piece.len()).as_bytes());
                out.extend_from_slice(piece);
                out.extend_from_slice(b"\r\n");
            }
            out.extend_from_slice(b"0\r\n\r\n");
        }
    }
    out
}

fn request_body(names_model: bool, stream: bool, pad: usize) -> Vec<u8> {
    let model = if names_model { "\"model\"\t:\n \"m\" ," } else { "" };
    let stream = if stream {
        r#""stream" : true, "stream_options":{"include_usage":  true} ,"#
    } else {
        ""
    };
    format!(
        " {{\r\n\"zz_unknown\" : [1.50e+3, null, {{\"a\":{{}}}} ,\"\\u00fc\\/\u{fc}\" ] ,{model}{stream} \"pad\": \"{}\"\n}}\n ",
        "x".repeat(pad)
    )
    .into_bytes()
}

fn answer_body(stream: bool, pad: usize) -> Vec<u8> {
    if stream {
        let event = ": comment\r\nevent:x\r\ndata:  {\"unknown\" : 1}\r\ndata: {}\r\n\r\ndata: [1,2]\n\n\u{feff}id: 7\r\r";
        format!("{}data: {}\n\ndata: [DONE]\n\n", event.repeat(9), "y".repeat(pad)).into_bytes()
    } else {
        format!(
            "\n{{ \"zz\" : [ 1e2 ,{{}}], \"usage\":{{\"unknown\":1}},\"pad\":\"{}\" }}\r\n",
            "y".repeat(pad)
        )
        .into_bytes()
    }
}

/// Red if any byte of any body changes on any path, in any framing, small or large; or if a path is sent on wrongly.
#[test]
fn bodies_pass_byte_for_byte_on_every_path() {
    let answer: Arc<Mutex<(Vec<u8>, bool)>> = Arc::default();
    let script = answer.clone();
    let upstream = Upstream::scripted(move |exchange| {
        if exchange.body().is_none() {
            return;
        }
        let (answer, close) = script.lock().unwrap().clone();
        exchange.send(&answer);
        if close {
            exchange.fin();
        }
    });
    let gateway = Gateway::start(Setup::new(plain(upstream.address)));
    let mut client = gateway.client();
    let mut calls = 0;
    for (path, target, names_model) in PATHS {
        for stream in [false, true] {
            for (how, pad) in [
                (Delimited::Length, 10),
                (Delimited::Chunked, 100_000),
                (Delimited::Close, 1_000),
                (
                    if stream {
                        Delimited::Chunked
                    } else {
                        Delimited::Length
                    },
                    4 << 20,
                ),
            ] {
                let (sent, expected) = (request_body(*names_model, stream, pad), answer_body(stream, pad));
                let content_type = if stream {
                    "text/event-stream"
                } else {
                    "application/json"
                };
                *answer.lock().unwrap() = (framed(how, content_type, &expected), how == Delimited::Close);
                let what = format!("{path} stream {stream} {how:?} {pad}");
                client.send(post_with(path, "", &sent));
                let got = client.answer();
                assert_eq!(got.status, 200, "{what}: {}", got.text());
                assert!(got.body == expected, "{what}: answer {}", show(&got.body));
                assert_eq!(got.field("content-type"), Some(content_type));
                let request = upstream.last();
                assert!(request.body == sent, "{what}: request {}", show(&request.body));
                assert_eq!(request.line(), format!("POST {target} HTTP/1.1"));
                calls += 1;
            }
        }
    }
    let records = gateway.wait_records(calls);
    assert!(
        records
            .iter()
            .all(|r| r.ended == Ended::Complete && r.model_asked == "m")
    );
    println!("{calls} bodies each way");
}

/// Red if a form's bytes change, or its model is not found.
#[test]
fn forms_pass_byte_for_byte() {
    let upstream = Upstream::plain();
    let gateway = Gateway::start(Setup::new(plain(upstream.address)));
    let form = "--b\r\nContent-Disposition: form-data; name=\"file\"; filename=\"a.wav\"\r\nContent-Type: audio/wav\r\n\r\n\0\x01\r\n-- binary \r\n--b\r\ncontent-disposition: form-data; name=model\r\n\r\nm\r\n--b--\r\n";
    let request = format!(
        "POST /v1/audio/transcriptions HTTP/1.1\r\nHost: a\r\nContent-Type: multipart/form-data; boundary=b\r\nContent-Length: {}\r\n\r\n{form}",
        form.len()
    );
    let answer = gateway.call(request);
    assert_eq!(answer.status, 200, "{}", answer.text());
    assert_eq!(upstream.last().body, form.as_bytes());
    assert_eq!(gateway.wait_records(1)[0].model_asked, "m");
}

/// Red if a field that is the client's business is lost, renamed or moved, or one that is not gets through.
#[test]
fn header_fields_pass_in_order_less_what_is_nobodys_business() {
    let upstream = Upstream::plain();
    let gateway = Gateway::start(Setup::new(plain(upstream.address)));
    let kept = [
        ("X-Custom-ONE", "a, b"),
        ("anthropic-VERSION", "2023-06-01"),
        ("x-custom-one", "again"),
        ("User-Agent", "client/1.0 (x; y)"),
        ("X-Tailscaleish", "kept"),
        ("OpenAI-Organization", "org"),
        ("accept-encoding", "gzip, br"),
        ("X-Empty", ""),
    ];
    let dropped = [
        "Authorization: Bearer client-secret",
        "X-API-Key: client-secret",
        "x-goog-api-key: client-secret",
        "X_Api_Key: client-secret",
        "Api-Key: client-secret",
        "Cookie: session=client-secret",
        "Proxy-Authorization: Basic client-secret",
        "Tailscale-User-Login: spoofed",
        "tailscale_user_login: spoofed",
        "TAILSCALE-USER-NAME: spoofed",
        "X-Forwarded-For: spoofed",
        "x-forwarded-for: spoofed",
        "X_Forwarded_For: spoofed",
        "X-Forwarded-Proto: spoofed",
        "Forwarded: for=spoofed",
        "X-Real-IP: spoofed",
        "X-Webauth-User: spoofed",
        "Remote-User: spoofed",
        "True-Client-IP: spoofed",
        "Via: 1.1 spoofed",
        "X-Sluice-Login: spoofed",
        "X_Sluice_Role: spoofed",
        "x-sluice-request-id: spoofed",
        "Connection: X-Nominated, X-Other-One, authorization",
        "X-Nominated: spoofed",
        "x-other-one: spoofed",
        "Keep-Alive: timeout=5",
        "TE: trailers",
        "Trailer: X-T",
        "Proxy-Connection: keep-alive",
        "Proxy-Authenticate: spoofed",
    ];
    let mut fields = String::new();
    for (index, (name, value)) in kept.iter().enumerate() {
        fields.push_str(&format!("{name}: {value}\r\n"));
        for line in dropped.iter().skip(index).step_by(kept.len()) {
            fields.push_str(&format!("{line}\r\n"));
        }
    }
    let answer = gateway.call(post_with("/v1/messages", &fields, br#"{"model":"m"}"#));
    assert_eq!(answer.status, 200, "{}", answer.text());
    let request = upstream.last();
    let address = upstream.address.to_string();
    let key = format!("Bearer {PROVIDER_KEY}");
    let mut expected = vec![("host", address.as_str()), ("Content-Type", "application/json")];
    expected.extend(kept);
    let mut found = request.pairs();
    let ours: Vec<_> = found.split_off(expected.len());
    assert_eq!(found, expected);
    let ours: Vec<(String, &str)> = ours.iter().map(|(n, v)| (n.to_ascii_lowercase(), *v)).collect();
    assert_eq!(
        ours,
        [
            ("authorization".to_owned(), key.as_str()),
            ("content-length".to_owned(), "13")
        ]
    );
    assert!(!request.head.contains("spoofed") && !request.head.contains("client-secret"));
}

/// Red if the answer's fields are lost or moved, a hop-by-hop field passes, or the provider can forge ours.
#[test]
fn answer_fields_pass_in_order_less_hop_by_hop() {
    let upstream = Upstream::answering(
        "HTTP/1.1 201 Whatever\r\nX-A: 1\r\nrequest-id: req_1\r\nConnection: X-Hop\r\nX-Hop: 1\r\nKeep-Alive: timeout=5\r\n\
         Set-Cookie: a\r\nset-cookie: b\r\nx-sluice-error: forged\r\nX-Sluice-Request-Id: forged\r\nContent-Length: 2\r\nX-Z: 2\r\n\r\n{}",
    );
    let gateway = Gateway::start(Setup::new(plain(upstream.address)));
    let answer = gateway.call(post("/v1/messages", r#"{"model":"m"}"#));
    assert_eq!(answer.status, 201);
    let lines: Vec<&str> = answer
        .head
        .lines()
        .skip(1)
        .filter(|l| !l.starts_with("x-sluice-request-id: "))
        .collect();
    assert_eq!(
        lines,
        [
            "X-A: 1",
            "request-id: req_1",
            "Set-Cookie: a",
            "set-cookie: b",
            "X-Z: 2",
            "content-length: 2"
        ]
    );
    assert_eq!(answer.field("x-sluice-request-id").unwrap().len(), 32);
    // The connection to the provider lives on.
    assert_eq!(gateway.call(post("/v1/messages", r#"{"model":"m"}"#)).status, 201);
    assert_eq!(upstream.connections(), 1);
}

/// Red if a key goes out in the wrong field, the client's goes out where it must not, or is lost where it is meant.
#[test]
fn credentials_by_kind_and_mode() {
    let upstream = Upstream::plain();
    let gateway = Gateway::start(Setup::new(plain(upstream.address)));
    let client_fields = "Authorization: Bearer mine\r\nx-api-key: mine\r\nX-Goog-Api-Key: mine\r\n";
    for mode in [AuthMode::Override, AuthMode::Passthrough, AuthMode::None] {
        for (kind, name, value) in [
            (
                Authorization::Bearer,
                "authorization",
                format!("Bearer {PROVIDER_KEY}"),
            ),
            (Authorization::XApiKey, "x-api-key", PROVIDER_KEY.to_owned()),
            (
                Authorization::XGoogApiKey,
                "x-goog-api-key",
                PROVIDER_KEY.to_owned(),
            ),
        ] {
            gateway.control.publish(|snapshot| {
                snapshot.providers[0].authorization = kind;
                snapshot.providers[0].auth_mode = mode;
            });
            let path = "/v1beta/models/m:generateContent?a=1&key=mine&b=%20";
            let answer = gateway.call(post_with(path, client_fields, b"{}"));
            assert_eq!(answer.status, 200, "{mode:?} {kind:?}: {}", answer.text());
            let request = upstream.last();
            let found: Vec<(String, &str)> = request
                .pairs()
                .into_iter()
                .filter(|(name, _)| {
                    ["authorization", "x-api-key", "x-goog-api-key"]
                        .contains(&name.to_ascii_lowercase().as_str())
                })
                .map(|(name, value)| (name.to_ascii_lowercase(), value))
                .collect();
            let expected: Vec<(String, &str)> = match mode {
                AuthMode::Override => vec![(name.to_owned(), value.as_str())],
                AuthMode::Passthrough => vec![
                    ("authorization".to_owned(), "Bearer mine"),
                    ("x-api-key".to_owned(), "mine"),
                    ("x-goog-api-key".to_owned(), "mine"),
                ],
                AuthMode::None => vec![],
            };
            assert_eq!(found, expected, "{mode:?} {kind:?}");
            let query = if mode == AuthMode::Passthrough {
                "?a=1&key=mine&b=%20"
            } else {
                "?a=1&b=%20"
            };
            assert_eq!(
                request.line(),
                format!("POST /v1beta/models/m:generateContent{query} HTTP/1.1"),
                "{mode:?}"
            );
        }
    }
}

/// Red if configured fields are missing, doubled, or lose against the client's.
#[test]
fn configured_fields_replace_the_clients() {
    let upstream = Upstream::plain();
    let mut snapshot = plain(upstream.address);
    let header = |name: &str, value: &str| Header {
        name: name.into(),
        value: Secret(value.into()),
    };
    snapshot.providers[0].add_headers = vec![header("X-Team", "ours"), header("anthropic-beta", "x")];
    snapshot.grants[0].capabilities[0].add_headers =
        vec![header("X-Grant", "granted"), header("x-team", "not this")];
    let gateway = Gateway::start(Setup::new(snapshot));
    let fields = "x-team: mine\r\nX-TEAM: mine\r\nx-grant: mine\r\nAnthropic-Beta: mine\r\n";
    assert_eq!(
        gateway
            .call(post_with("/v1/messages", fields, br#"{"model":"m"}"#))
            .status,
        200
    );
    let request = upstream.last();
    assert_eq!(request.fields("x-team"), ["ours"]);
    assert_eq!(request.fields("anthropic-beta"), ["x"]);
    assert_eq!(request.fields("x-grant"), ["granted"]);
}

/// Red if renaming a model touches any byte but the name's, or the path and the body disagree afterwards.
#[test]
fn renaming_changes_the_name_alone() {
    let upstream = Upstream::plain();
    let mut snapshot = plain(upstream.address);
    snapshot.providers[0].base.path = "/proxy/v1".into();
    snapshot.aliases = vec![Alias {
        from: "fast".into(),
        to: "main/org/real-model:1".into(),
    }];
    let gateway = Gateway::start(Setup::new(snapshot));
    let check = |path: &str, body: &str, target: &str, expected: &str, asked: &str| {
        let before = gateway.records().len();
        let answer = gateway.call(post(path, body));
        assert_eq!(answer.status, 200, "{path}: {}", answer.text());
        let request = upstream.last();
        assert_eq!(request.line(), format!("POST {target} HTTP/1.1"));
        assert_eq!(String::from_utf8(request.body).unwrap(), expected);
        assert_eq!(gateway.wait_records(before + 1)[before].model_asked, asked);
    };
    check(
        "/v1/chat/completions",
        " {\"a\":[\"model\"],\r\n\"model\" : \"fast\" ,\"b\":{\"model\":\"fast\"} } ",
        "/proxy/v1/chat/completions",
        " {\"a\":[\"model\"],\r\n\"model\" : \"org/real-model:1\" ,\"b\":{\"model\":\"fast\"} } ",
        "fast",
    );
    check(
        "/v1/chat/completions",
        r#"{"model":"main/m-1"}"#,
        "/proxy/v1/chat/completions",
        r#"{"model":"m-1"}"#,
        "main/m-1",
    );
    check(
        "/v1/chat/completions",
        r#"{"model":"other/m-1"}"#,
        "/proxy/v1/chat/completions",
        r#"{"model":"other/m-1"}"#,
        "other/m-1",
    );
    check(
        "/v1beta/models/fast:generateContent",
        "{}",
        "/proxy/v1/models/org%2Freal-model%3A1:generateContent",
        "{}",
        "fast",
    );
    check(
        "/bedrock/model/fast/converse",
        "{}",
        "/proxy/v1/model/org%2Freal-model%3A1/converse",
        "{}",
        "fast",
    );
    check(
        "/bedrock/model/arn%3Aaws%2Fm/invoke",
        "{}",
        "/proxy/v1/model/arn%3Aaws%2Fm/invoke",
        "{}",
        "arn:aws/m",
    );
}

/// Red if usage is not asked for, or the chunk that the client did not ask for reaches it, or any other byte is lost.
#[test]
fn usage_is_asked_for_and_kept_from_the_client() {
    let usage = "data: {\"id\":\"c\",\"object\":\"chat.completion.chunk\",\"model\":\"m\",\"choices\":[],\"usage\":{\"prompt_tokens\":3,\"completion_tokens\":5,\"total_tokens\":8}}\n\n";
    let before = "data: {\"id\":\"c\",\"choices\":[{\"index\":0,\"delta\":{\"content\":\"a\"}}],\"usage\":null}\n\n: ping\n\n";
    let after = "data: [DONE]\n\n";
    let whole = format!("{before}{usage}{after}");
    for step in [1, 7, 64, whole.len()] {
        let pieces: Vec<String> = whole
            .as_bytes()
            .chunks(step)
            .map(|piece| String::from_utf8(piece.to_vec()).unwrap())
            .collect();
        let upstream = Upstream::scripted(move |exchange| {
            exchange.body();
            exchange.begin_events();
            pieces.iter().for_each(|piece| {
                exchange.chunk(piece);
            });
            exchange.send("0\r\n\r\n");
        });
        let gateway = Gateway::start(Setup::new(plain(upstream.address)));
        let request = post_with(
            "/v1/chat/completions",
            "Accept-Encoding: gzip\r\n",
            br#" {"model":"m","stream":true}"#,
        );
        let answer = gateway.call(request);
        assert_eq!(
            (answer.text(), answer.framed),
            (format!("{before}{after}"), Framed::Chunked),
            "step {step}"
        );
        let request = upstream.last();
        assert_eq!(
            String::from_utf8_lossy(&request.body),
            r#" {"stream_options":{"include_usage":true},"model":"m","stream":true}"#
        );
        assert_eq!(request.fields("accept-encoding"), ["identity"]);
        let record = gateway.wait_records(1).remove(0);
        assert_eq!(
            (record.usage_known, record.usage.output),
            (Known::Reported, Some(5))
        );
    }
}

/// Red if every look at a stored response is billed again: its usage is that of the call that made it.
#[test]
fn a_stored_response_is_not_billed_at_every_look() {
    let stored = r#"{"id":"resp_1","object":"response","status":"completed","model":"m","usage":{"input_tokens":3,"output_tokens":5,"total_tokens":8}}"#;
    let upstream = Upstream::scripted(move |exchange| {
        exchange.body();
        exchange.json(stored);
    });
    let gateway = Gateway::start(Setup::new(plain(upstream.address)));
    for _ in 0..2 {
        assert_eq!(gateway.call(get("/v1/responses/resp_1")).text(), stored);
    }
    gateway.call(post("/v1/responses", r#"{"model":"m","input":"hi"}"#));
    let mut known: Vec<_> = gateway
        .wait_records(3)
        .iter()
        .map(|record| (record.usage_known, record.usage.output))
        .collect();
    known.sort();
    assert_eq!(
        known,
        [
            (Known::Reported, Some(5)),
            (Known::Unknown, None),
            (Known::Unknown, None)
        ]
    );
}
