//! Hooks before requests: what they are sent, what becomes of their answers, in which order, on which routes.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use serde_json::{Value, json};
use sluice_proto::route::{Access, samples};
use sluice_shared::quota::{Rate, Unit};
use sluice_shared::snapshot::{
    AppValue, Capability, Grant, GuardAction, GuardPattern, Guardrail, HookPart, Source,
};
use sluice_shared::usage::{Action, Ended, Judge, UsageRecord};

use crate::support::client::{chat, get, post, post_with};
use crate::support::control::{Who, person};
use crate::support::pki::counter;
use crate::support::setup::{
    HOOK_KEY, before, counting, hook, judged, plain, price, provider, quota, snapshot,
};
use crate::support::upstream::{COMPLETION, Upstream};
use crate::support::{Gateway, Setup};

/// A hook that gives this answer to every question.
fn answering(reply: &str) -> Upstream {
    let reply = reply.to_owned();
    Upstream::scripted(move |exchange| {
        if exchange.body().is_some() {
            exchange.json(&reply);
        }
    })
}

/// A gateway with one provider and one hook.
fn start(upstream: &Upstream, judge: &Upstream) -> Gateway {
    let snapshot = judged(plain(upstream.address), vec![hook("judge", judge.address)]);
    Gateway::start(Setup::new(snapshot).who(Who::somebody("alice")))
}

fn asked(judge: &Upstream) -> Vec<Value> {
    let requests = judge.requests();
    requests
        .iter()
        .map(|request| serde_json::from_slice(&request.body).unwrap())
        .collect()
}

/// Names and actions of a record's verdicts.
fn verdicts(record: &UsageRecord) -> Vec<(&str, Action)> {
    assert!(record.verdicts.iter().all(|verdict| verdict.judge == Judge::Hook));
    let verdicts = record.verdicts.iter();
    verdicts
        .map(|verdict| (verdict.name.as_str(), verdict.action))
        .collect()
}

/// Red if the hook gets another request than it is owed, its key is missing or the client's leaks, or a second call makes
/// a second connection.
#[test]
fn a_hook_that_allows_sees_the_request_and_changes_nothing() {
    let (upstream, judge) = (Upstream::plain(), answering(r#"{"action":"allow"}"#));
    let gateway = start(&upstream, &judge);
    let body = r#" {"model":"m", "messages":[],"n":1.50,"x":"\u00e9"} "#;
    let mut client = gateway.client();
    for _ in 0..2 {
        client.send(post_with(
            "/v1/chat/completions?key=secret&a=b",
            "Authorization: Bearer client-secret\r\nUser-Agent: tester\r\nX-Session-Id: s-1\r\n",
            body.as_bytes(),
        ));
        assert_eq!(client.answer().status, 200);
    }
    assert_eq!(upstream.last().body, body.as_bytes());
    let seen = judge.last();
    assert_eq!(seen.line(), "POST /judge?v=1 HTTP/1.1");
    assert_eq!(seen.fields("authorization"), [format!("Bearer {HOOK_KEY}")]);
    assert_eq!(seen.fields("content-type"), ["application/json"]);
    assert_eq!(seen.fields("x-sluice-event"), ["pre_request"]);
    let text = String::from_utf8(seen.body.clone()).unwrap();
    assert!(text.ends_with(&format!(r#","request_body":{body}}}"#)), "{text}");
    assert!(!text.contains("secret"), "{text}");
    let told: Value = serde_json::from_str(&text).unwrap();
    let records = gateway.wait_records(2);
    let id = records[1].request_id.to_string();
    assert_eq!(seen.fields("x-sluice-request-id"), [&id]);
    assert_eq!(told["event"], "pre_request");
    let metadata = told["metadata"].as_object().unwrap();
    assert_eq!(metadata.len(), 9, "{metadata:?}");
    for (key, expected) in [
        ("login_name", "alice"),
        ("user_agent", "tester"),
        ("model", "m"),
        ("provider", "main"),
        ("stable_node_id", "node-1"),
        ("request_id", id.as_str()),
        ("tailnet_name", ""),
    ] {
        assert_eq!(metadata[key], expected, "{key}");
    }
    let url = metadata["url"].as_str().unwrap();
    assert!(
        url.starts_with("/v1/chat/completions?") && url.contains("a=b"),
        "{url}"
    );
    assert_eq!(records[1].session.as_deref(), metadata["session_id"].as_str());
    for record in &records {
        assert_eq!(verdicts(record), [("judge", Action::Allow)]);
        assert_eq!((record.ended, record.status), (Ended::Complete, 200));
    }
    assert_eq!((judge.connections(), judge.requests().len()), (1, 2));
    let metrics = gateway.call(get("/metrics")).text();
    assert_eq!(
        counter(
            &metrics,
            "sluice_hook_calls_total{hook=\"judge\",outcome=\"allow\"}"
        ),
        2
    );
    assert_eq!(
        counter(&metrics, "sluice_hook_duration_seconds_count{hook=\"judge\"}"),
        2
    );
}

/// Red if a hook is not sent what `send` asks for, or more.
#[test]
fn parts_are_sent_as_the_grants_ask() {
    let upstream = Upstream::plain();
    let judge = answering(r#"{"action":"allow"}"#);
    let mut daily = quota(
        "daily:<user>",
        &[(Unit::Usd, 10_000_000_000), (Unit::Requests, 7)],
    );
    daily.limits[0].terms.rate = Rate {
        amount: 5_000_000_000,
        per_us: 86_400_000_000,
    };
    let mut snapshot = counting(plain(upstream.address), vec![daily]);
    snapshot.prices = vec![price("main/priced")];
    snapshot.hooks = vec![hook("judge", judge.address)];
    // Two grants wire it: it is asked once, and sent what either says.
    for parts in [
        &[HookPart::Tools, HookPart::UserMessage, HookPart::Grants][..],
        &[HookPart::EstimatedCost, HookPart::Quotas],
    ] {
        snapshot.grants.push(Grant {
            sources: vec![Source::Login("alice".into())],
            capabilities: vec![Capability {
                models: Some(vec!["**".into()]),
                send_hooks: vec![before("judge", parts)],
                ..Capability::default()
            }],
            app: vec![AppValue {
                key: "example.com/cap/x".into(),
                json: format!("[{}]", parts.len()),
            }],
        });
    }
    let mut alice = person("alice");
    alice.app = vec![AppValue {
        key: "example.com/cap/y".into(),
        json: "null".into(),
    }];
    let gateway = Gateway::start(Setup::new(snapshot).who(Who::Somebody(alice)));
    let body = r#"{"model":"priced","max_tokens":100,"tools":[{"type":"function","function":{"name":"read"}}],
        "messages":[{"role":"user","content":"one"},{"role":"assistant","content":"two"},{"role":"user","content":"three"}]}"#;
    for _ in 0..2 {
        assert_eq!(gateway.call(post("/v1/chat/completions", body)).status, 200);
    }
    let told = asked(&judge).pop().unwrap();
    assert_eq!(judge.requests().len(), 2);
    assert!(told.get("request_body").is_none() && told.get("response_body").is_none());
    assert_eq!(told["tool_calls"], json!([{"name": "read", "params": null}]));
    assert_eq!(told["user_message"], "three");
    let metadata = &told["metadata"];
    assert_eq!(
        metadata["grants"],
        json!({"example.com/cap/x": [3, 2], "example.com/cap/y": []})
    );
    let cost = &metadata["estimated_cost"];
    assert_eq!(cost["usage"]["output_tokens"], 100);
    let input = cost["usage"]["input_tokens"].as_u64().unwrap();
    assert!(input > 0 && cost["usage"]["cached_tokens"].is_null());
    // 1,000 nanodollars a prompt token, 10,000 a generated one.
    let nanodollars = cost["dollars"].as_f64().unwrap() * 1e9;
    assert!(
        (nanodollars - (input * 1_000 + 1_000_000) as f64).abs() < 1.0,
        "{cost}"
    );
    let bucket = &metadata["quotas"]["daily:alice"];
    assert_eq!(
        (&bucket["capacity"], &bucket["rate"]),
        (&json!(10), &json!("$5.00/day"))
    );
    assert!(
        bucket["current"]
            .as_f64()
            .is_some_and(|left| left > 0.0 && left < 10.0),
        "{bucket}"
    );
    assert_eq!(metadata["quotas"]["daily:alice (requests)"]["current"], 6);
}

/// Red if a block is not told in the words of the API that was called, with the hook's status and message; or reaches a
/// provider, or is charged.
#[test]
fn a_block_is_told_in_every_familys_words() {
    let upstream = Upstream::plain();
    let judge = answering(r#"{"action":"block","status_code":403,"message":"no \u0007secrets\nplease"}"#);
    let gateway = start(&upstream, &judge);
    let calls = [
        (
            "/v1/chat/completions",
            r#"{"model":"m"}"#,
            r#""type":"guardrail_blocked","param":null,"code":"guardrail_blocked""#,
        ),
        (
            "/v1/responses",
            r#"{"model":"m"}"#,
            r#""type":"guardrail_blocked""#,
        ),
        (
            "/v1/embeddings",
            r#"{"model":"m"}"#,
            r#""type":"guardrail_blocked""#,
        ),
        (
            "/v1/messages",
            r#"{"model":"m"}"#,
            r#"{"type":"error","error":{"type":"invalid_request_error","#,
        ),
        (
            "/v1/projects/p/locations/l/publishers/anthropic/models/m:rawPredict",
            "{}",
            r#""type":"invalid_request_error""#,
        ),
        (
            "/v1beta/models/m:generateContent",
            "{}",
            r#""status":"PERMISSION_DENIED""#,
        ),
        (
            "/v1/projects/p/locations/l/publishers/google/models/m:generateContent",
            "{}",
            r#""status":"PERMISSION_DENIED""#,
        ),
        ("/bedrock/model/m/converse", "{}", r#"{"message":""#),
        ("/ollama/api/chat", r#"{"model":"m"}"#, r#"{"error":""#),
    ];
    for (path, body, words) in calls {
        let answer = gateway.call(post(path, body));
        let text = answer.text();
        assert_eq!(
            (answer.status, answer.field("x-sluice-error")),
            (403, Some("guardrail_blocked")),
            "{path}: {text}"
        );
        assert!(
            text.contains(words) && text.contains("no  secrets please"),
            "{path}: {text}"
        );
        assert_eq!(answer.field("x-should-retry"), Some("false"));
        assert_eq!(answer.field("retry-after"), None);
        if path.starts_with("/bedrock") {
            assert_eq!(answer.field("x-amzn-errortype"), Some("AccessDeniedException"));
        }
    }
    assert_eq!(upstream.requests().len(), 0);
    for record in gateway.wait_records(calls.len()) {
        assert_eq!((record.ended, record.status), (Ended::Blocked, 403));
        assert_eq!(record.error.as_deref(), Some("guardrail_blocked"));
        assert_eq!(verdicts(&record), [("judge", Action::Block)]);
        assert_eq!(record.verdicts[0].what, "no  secrets please");
        assert_eq!(record.provider, "main");
    }
}

/// Red if a status outside of 400 to 599 reaches a client, or a block without a message says nothing.
#[test]
fn a_blocks_status_is_one_of_a_refusal() {
    let replies = [
        ("451", 451),
        ("599", 599),
        ("200", 403),
        ("302", 403),
        ("70000", 403),
        ("null", 403),
    ];
    let next = Arc::new(AtomicUsize::new(0));
    let judge = Upstream::scripted(move |exchange| {
        if exchange.body().is_some() {
            let (status, _) = replies[next.fetch_add(1, Ordering::Relaxed)];
            exchange.json(&format!(r#"{{"action":"block","status_code":{status}}}"#));
        }
    });
    let upstream = Upstream::plain();
    let gateway = start(&upstream, &judge);
    for (said, expected) in replies {
        let answer = gateway.call(chat("m"));
        assert_eq!(answer.status, expected, "{said}");
        assert!(
            answer.text().contains("blocked by the hook judge"),
            "{}",
            answer.text()
        );
    }
    assert_eq!(upstream.requests().len(), 0);
}

/// Red if another body is not forwarded exactly as the hook wrote it, the record names another model than was asked for,
/// or a model that the hook puts in is served without being granted.
#[test]
fn another_body_takes_the_place_and_its_model_must_be_granted() {
    let (first, second) = (Upstream::plain(), Upstream::plain());
    let judge = Upstream::scripted(|exchange| {
        let Some(body) = exchange.body() else { return };
        let told: Value = serde_json::from_slice(&body).unwrap();
        let wish = told["request_body"]["wish"].as_str().unwrap().to_owned();
        exchange.json(&format!(r#"{{"action":"modify","request_body":{wish}}}"#));
    });
    let mut providers = vec![
        provider("first", first.address),
        provider("second", second.address),
    ];
    providers[0].models = vec!["m".into(), "hidden".into()];
    providers[1].models = vec!["n".into()];
    let mut snapshot = judged(snapshot(providers), vec![hook("judge", judge.address)]);
    snapshot.prices = vec![price("second/n")];
    snapshot.grants[0].capabilities[0].models = Some(vec!["first/m".into(), "second/n".into()]);
    let gateway = Gateway::start(Setup::new(snapshot).who(Who::somebody("alice")));
    let call = |wish: &str| {
        let body = json!({"model": "m", "messages": [], "wish": wish});
        gateway.call(post("/v1/chat/completions", &body.to_string()))
    };
    // The same model: the bytes as they are, numbers and escapes included.
    let wish = r#"{"model":"m", "messages":[{"role":"user","content":"\u00e9"}],"temperature":1.0}"#;
    assert_eq!(call(wish).status, 200);
    assert_eq!(String::from_utf8(first.last().body).unwrap(), wish);
    // Another model: another provider, another price.
    let wish = r#"{"model":"n","messages":[]}"#;
    assert_eq!(call(wish).status, 200);
    assert_eq!(second.last().body, wish.as_bytes());
    // A stream: the usage chunk is asked for.
    let wish = r#"{"stream":true,"model":"n","messages":[]}"#;
    call(wish);
    assert_eq!(
        second.last().body,
        br#"{"stream_options":{"include_usage":true},"stream":true,"model":"n","messages":[]}"#
    );
    let refused = [
        (r#"{"model":"hidden","messages":[]}"#, 403, "model_not_granted"),
        (r#"{"model":"unknown","messages":[]}"#, 404, "model_not_found"),
        (r#"{"messages":[]}"#, 400, "bad_request"),
        (r#"{"model":"m","model":"hidden"}"#, 400, "bad_request"),
        (r#"{"model":"m","Model":"hidden"}"#, 400, "bad_request"),
        (r#"{"model":"m","stream":"yes"}"#, 400, "bad_request"),
    ];
    for (wish, status, code) in refused {
        let answer = call(wish);
        assert_eq!(
            (answer.status, answer.field("x-sluice-error")),
            (status, Some(code)),
            "{wish}: {}",
            answer.text()
        );
        assert!(
            answer.text().contains("hook judge changed the request"),
            "{}",
            answer.text()
        );
    }
    // No object: as if it had allowed.
    assert_eq!(call("[1]").status, 200);
    assert!(first.last().body.ends_with(br#""wish":"[1]"}"#));
    assert_eq!((first.requests().len(), second.requests().len()), (2, 2));
    let records = gateway.wait_records(4 + refused.len());
    assert!(records.iter().all(|record| record.model_asked == "m"));
    assert_eq!(records[1].provider, "second");
    assert_eq!(records[1].cost.unwrap().0, 3 * 1_000 + 5 * 10_000);
    assert!(records[2].stream && !records[1].stream);
    assert_eq!(verdicts(&records[1]), [("judge", Action::Modify)]);
    assert_eq!(verdicts(&records[9]), [("judge", Action::Allow)]);
    for record in &records[3..9] {
        assert_eq!(record.ended, Ended::Blocked);
        assert_eq!(verdicts(record), [("judge", Action::Modify)]);
    }
}

/// Red if hooks are called out of order, do not see what the one before made, or are called after a block.
#[test]
fn each_sees_what_the_one_before_made_and_a_block_ends_the_round() {
    let judge = Upstream::scripted(|exchange| {
        let Some(body) = exchange.body() else { return };
        let told: Value = serde_json::from_slice(&body).unwrap();
        let mut request = told["request_body"].clone();
        let place = exchange
            .target()
            .split('?')
            .next()
            .unwrap()
            .trim_start_matches('/')
            .to_owned();
        if request["stop_at"] == place.as_str() {
            exchange.json(&json!({"action": "block", "message": place}).to_string());
            return;
        }
        request["seen"].as_array_mut().unwrap().push(place.into());
        exchange.json(&json!({"action": "modify", "request_body": request}).to_string());
    });
    let upstream = Upstream::plain();
    // As the control plane orders them: by preference, then by name.
    let hooks = ["b", "a", "c"].map(|name| {
        let mut hook = hook(name, judge.address);
        hook.base.path = format!("/{name}");
        hook
    });
    let mut snapshot = judged(plain(upstream.address), hooks.to_vec());
    // One that is not wired is not called.
    snapshot.grants[0].capabilities[0]
        .send_hooks
        .retain(|hook| hook.name != "c");
    let mut extra = snapshot.grants[0].clone();
    extra.sources = vec![Source::Login("alice".into())];
    extra.capabilities[0].send_hooks = vec![before("c", &[HookPart::RequestBody])];
    snapshot.grants.insert(0, extra);
    let gateway = Gateway::start(Setup::new(snapshot).who(Who::somebody("alice")));
    let call = |stop_at: &str| {
        let body = json!({"model": "m", "messages": [], "seen": [], "stop_at": stop_at});
        gateway.call(post("/v1/chat/completions", &body.to_string()))
    };
    assert_eq!(call("nowhere").status, 200);
    let forwarded: Value = serde_json::from_slice(&upstream.last().body).unwrap();
    assert_eq!(forwarded["seen"], json!(["b", "a", "c"]));
    let before = judge.requests().len();
    let answer = call("a");
    assert_eq!(answer.status, 403);
    assert_eq!(judge.requests().len(), before + 2);
    assert_eq!(upstream.requests().len(), 1);
    let records = gateway.wait_records(2);
    assert_eq!(
        verdicts(&records[1]),
        [("b", Action::Modify), ("a", Action::Block)]
    );
}

/// Red if another provider makes a hook that has spoken be asked again, or one of that provider's own not be asked.
#[test]
fn the_next_provider_asks_only_who_has_not_spoken() {
    let upstream = Upstream::plain();
    let judge = answering(r#"{"action":"allow"}"#);
    let nobody = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let gone = nobody.local_addr().unwrap();
    drop(nobody);
    let mut providers = vec![provider("dead", gone), provider("main", upstream.address)];
    providers[0].preference = 10;
    let mut snapshot = snapshot(providers);
    let both = before("both", &[]);
    snapshot.hooks = vec![hook("both", judge.address), hook("later", judge.address)];
    snapshot.grants[0].capabilities[0].send_hooks = vec![both];
    snapshot.grants[0].capabilities.push(Capability {
        models: Some(vec!["main/**".into()]),
        send_hooks: vec![before("later", &[])],
        ..Capability::default()
    });
    let gateway = Gateway::start(Setup::new(snapshot).who(Who::somebody("alice")));
    assert_eq!(gateway.call(chat("m")).status, 200);
    let providers: Vec<Value> = asked(&judge)
        .iter()
        .map(|told| told["metadata"]["provider"].clone())
        .collect();
    assert_eq!(providers, ["dead", "main"]);
    let record = &gateway.wait_records(1)[0];
    assert_eq!(
        verdicts(record),
        [("both", Action::Allow), ("later", Action::Allow)]
    );
    assert_eq!(record.provider, "main");
}

/// Red if any row of the route table that calls a provider passes by the hook, streamed or not.
#[test]
fn every_route_reaches_the_hook() {
    let upstream = Upstream::scripted(|exchange| {
        if exchange.body().is_some() {
            exchange.json(COMPLETION);
        }
    });
    let judge = answering(r#"{"action":"block","status_code":418}"#);
    let gateway = start(&upstream, &judge);
    let mut cells = 0;
    for sample in samples("m") {
        if !matches!(
            sample.route.endpoint.access(),
            Access::RoleAndModel | Access::RoleAndAnyModel
        ) {
            continue;
        }
        for stream in [false, true] {
            let request = if sample.method == "POST" {
                let form = sample.path.ends_with("/transcriptions")
                    || sample.path.ends_with("/translations")
                    || sample.path.ends_with("/edits")
                    || sample.path.ends_with("/variations");
                if form {
                    let flag = if stream {
                        "--b\r\nContent-Disposition: form-data; name=\"stream\"\r\n\r\ntrue\r\n"
                    } else {
                        ""
                    };
                    let body = format!(
                        "--b\r\nContent-Disposition: form-data; name=\"model\"\r\n\r\nm\r\n{flag}--b--\r\n"
                    );
                    post_with(
                        &sample.path,
                        "Content-Type: multipart/form-data; boundary=b\r\n",
                        body.as_bytes(),
                    )
                } else if sample.route.model.is_some() {
                    post(&sample.path, if stream { r#"{"stream":true}"# } else { "{}" })
                } else {
                    post(&sample.path, &format!(r#"{{"model":"m","stream":{stream}}}"#))
                }
            } else {
                format!(
                    "{} {} HTTP/1.1\r\nHost: localhost\r\n\r\n",
                    sample.method, sample.path
                )
                .into_bytes()
            };
            let answer = gateway.call(request);
            assert_eq!(
                (answer.status, answer.field("x-sluice-error")),
                (418, Some("guardrail_blocked")),
                "{} {} stream {stream}: {}",
                sample.method,
                sample.path,
                answer.text()
            );
            cells += 1;
        }
    }
    assert!(cells > 40, "{cells}");
    assert_eq!(judge.requests().len(), cells);
    assert_eq!(upstream.requests().len(), 0);
    println!("route x stream: {cells} cells, every one reaches the hook");
}

/// Red if a guardrail does not look at a request, a hook sees or a provider gets what it redacts, or a body that a hook
/// puts in is not looked at.
#[test]
fn guardrails_come_first_and_see_what_a_hook_puts_in() {
    let upstream = Upstream::plain();
    let judge = Upstream::scripted(|exchange| {
        let Some(body) = exchange.body() else { return };
        let told: Value = serde_json::from_slice(&body).unwrap();
        let mut request = told["request_body"].clone();
        // What no guardrail has seen before.
        let Some(say) = request["say"].as_str().map(|say| say.replace('*', "-")) else {
            exchange.json(r#"{"action":"allow"}"#);
            return;
        };
        request["messages"] = json!([{"role": "user", "content": say}]);
        exchange.json(&json!({"action": "modify", "request_body": request}).to_string());
    });
    let mut snapshot = judged(plain(upstream.address), vec![hook("judge", judge.address)]);
    let rule = |name: &str, action, word: &str| Guardrail {
        name: name.into(),
        everyone: true,
        on_requests: true,
        action,
        patterns: vec![GuardPattern {
            name: word.into(),
            regex: word.into(),
        }],
        replacement: "XXX".into(),
        ..Guardrail::default()
    };
    snapshot.guardrails = vec![
        rule("hide", GuardAction::Redact, "secret-[0-9]+"),
        rule("stop", GuardAction::Block, "bo?-?mb"),
    ];
    let gateway = Gateway::start(Setup::new(snapshot).who(Who::somebody("alice")));
    let call = |content: &str, say: Option<&str>| {
        let body = json!({"model": "m", "messages": [{"role": "user", "content": content}], "say": say});
        gateway.call(post("/v1/chat/completions", &body.to_string()))
    };
    let forwarded = || {
        let body: Value = serde_json::from_slice(&upstream.last().body).unwrap();
        body["messages"][0]["content"].as_str().unwrap().to_owned()
    };
    let guarded = |record: &UsageRecord| -> Vec<(String, Action)> {
        let verdicts = record.verdicts.iter();
        verdicts
            .map(|verdict| (verdict.name.clone(), verdict.action))
            .collect()
    };
    let expect = |number: usize, expected: &[(&str, Action)]| {
        let records = gateway.wait_records(number);
        let expected: Vec<_> = expected
            .iter()
            .map(|(name, action)| ((*name).to_owned(), *action))
            .collect();
        assert_eq!(guarded(&records[number - 1]), expected);
    };
    assert_eq!(call("it is secret-12 here", None).status, 200);
    assert_eq!(forwarded(), "it is XXX here");
    assert_eq!(
        asked(&judge)[0]["request_body"]["messages"][0]["content"],
        "it is XXX here"
    );
    expect(1, &[("hide", Action::Redact), ("judge", Action::Allow)]);

    let answer = call("a bomb, secret-1", None);
    assert_eq!(
        (answer.status, answer.field("x-sluice-error")),
        (403, Some("guardrail_blocked"))
    );
    assert_eq!(answer.field("x-should-retry"), Some("false"));
    assert_eq!(judge.requests().len(), 1, "nobody is asked about what is refused");
    expect(2, &[("hide", Action::Redact), ("stop", Action::Block)]);

    assert_eq!(call("nothing", Some("now secret*7")).status, 200);
    assert_eq!(forwarded(), "now XXX");
    expect(3, &[("judge", Action::Modify), ("hide", Action::Redact)]);

    assert_eq!(call("nothing", Some("a b*mb")).status, 403);
    assert_eq!(upstream.requests().len(), 2);
    expect(4, &[("judge", Action::Modify), ("stop", Action::Block)]);
}
