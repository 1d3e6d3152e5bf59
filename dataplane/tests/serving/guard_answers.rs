//! Guardrails on answers: redacted, blocked, noted, held back for a time; streams and whole documents.

use std::sync::{Mutex, mpsc};

use sluice_shared::snapshot::{GuardAction, Guardrail, Snapshot, ToolRule};
use sluice_shared::usage::{Action, Ended, Judge, Known, UsageRecord, Verdict};

use crate::support::client::{Answer, Cut, chat, chat_stream, get, post};
use crate::support::setup::plain;
use crate::support::upstream::{Upstream, json};
use crate::support::{Gateway, Setup, wait_until};

const SECRET: &str = "alice.smith@mail.example.com";

fn rule(action: GuardAction) -> Guardrail {
    Guardrail {
        name: "pii".into(),
        everyone: true,
        on_answers: true,
        action,
        detectors: vec!["email".into()],
        hold_back_bytes: 4096,
        hold_back_ms: 60_000,
        message: "no addresses here".into(),
        ..Guardrail::default()
    }
}

fn guarded(upstream: &Upstream, rule: Guardrail) -> Snapshot {
    let mut snapshot = plain(upstream.address);
    snapshot.guardrails = vec![rule];
    snapshot
}

fn said(text: &str) -> String {
    format!(
        "data: {{\"id\":\"c\",\"model\":\"m\",\"choices\":[{{\"index\":0,\"delta\":{{\"content\":\"{text}\"}}}}]}}\n\n"
    )
}

const USAGE: &str = "data: {\"id\":\"c\",\"model\":\"m\",\"choices\":[],\"usage\":{\"prompt_tokens\":3,\"completion_tokens\":5,\"total_tokens\":8}}\n\n";
const DONE: &str = "data: [DONE]\n\n";

/// A provider that streams these texts.
fn streams(texts: &'static [&'static str]) -> Upstream {
    Upstream::scripted(move |exchange| {
        if exchange.body().is_none() {
            return;
        }
        exchange.begin_events();
        for text in texts {
            exchange.chunk(&said(text));
        }
        exchange.chunk(&format!("{USAGE}{DONE}"));
        exchange.send("0\r\n\r\n");
    })
}

fn completion(text: &str) -> String {
    format!(
        r#"{{"id":"c1","object":"chat.completion","model":"m","choices":[{{"index":0,"message":{{"role":"assistant","content":"{text}"}},"finish_reason":"stop"}}],"usage":{{"prompt_tokens":3,"completion_tokens":5,"total_tokens":8}}}}"#
    )
}

fn answers(text: &'static str) -> Upstream {
    Upstream::scripted(move |exchange| {
        if exchange.body().is_some() {
            exchange.json(&completion(text));
        }
    })
}

/// The one record, and the verdict in it.
fn judged(gateway: &Gateway) -> (UsageRecord, Verdict) {
    let record = gateway.wait_records(1).remove(0);
    let [verdict] = record.verdicts.as_slice() else {
        panic!("{record:#?}");
    };
    let verdict = verdict.clone();
    assert_eq!((verdict.judge, verdict.name.as_str()), (Judge::Guardrail, "pii"));
    assert!(verdict.on_answer);
    (record, verdict)
}

fn metric(gateway: &Gateway, sample: &str) {
    wait_until(sample, || gateway.call(get("/metrics")).text().contains(sample));
}

#[test]
fn a_stream_is_redacted_across_events() {
    let upstream = streams(&["write to alice.sm", "ith@mail.exam", "ple.com, ", "please"]);
    let gateway = Gateway::start(Setup::new(guarded(&upstream, rule(GuardAction::Redact))));
    let answer = gateway.call(chat_stream("m"));
    let expected = [
        said("write to [REDACTED:email]"),
        said(""),
        said(", "),
        said("please"),
        USAGE.to_owned(),
        DONE.to_owned(),
    ];
    assert_eq!(answer.text(), expected.concat());
    let (record, verdict) = judged(&gateway);
    assert_eq!(
        (verdict.action, verdict.what.as_str(), verdict.count),
        (Action::Redact, "email", 1)
    );
    assert_eq!((record.ended, record.usage.output), (Ended::Complete, Some(5)));
    metric(
        &gateway,
        r#"sluice_guardrail_findings_total{rule="pii",detector="email",action="redact",on="answer"} 1"#,
    );
    // Nothing compressed is asked for where it is to be read.
    assert_eq!(upstream.requests()[0].fields("accept-encoding"), ["identity"]);
}

#[test]
fn a_stream_is_blocked_behind_a_whole_event() {
    let upstream = streams(&["write to ", "alice.smith@mail.exam", "ple.com, ", "please"]);
    let gateway = Gateway::start(Setup::new(guarded(&upstream, rule(GuardAction::Block))));
    let mut client = gateway.client();
    client.send(chat_stream("m"));
    let answer = client.answer();
    let text = answer.text();
    let news = text.strip_prefix(&said("write to ")).unwrap();
    assert!(
        news.starts_with("data: {\"error\":") && news.contains("guardrail_blocked") && news.ends_with("\n\n"),
        "{news}"
    );
    assert!(
        news.contains("no addresses here") && !text.contains("alice"),
        "{text}"
    );
    client.expect_end();
    let (record, verdict) = judged(&gateway);
    assert_eq!((verdict.action, verdict.count), (Action::Block, 1));
    assert_eq!(record.ended, Ended::Blocked);
    assert_eq!(record.error.as_deref(), Some("guardrail_blocked"));
    assert_ne!(record.ttft_us, None);
}

#[test]
fn shadow_changes_and_holds_nothing() {
    let shadow = Guardrail {
        shadow: true,
        ..rule(GuardAction::Block)
    };
    let upstream = streams(&["write to alice.smith@mail.exam", "ple.com, please"]);
    let gateway = Gateway::start(Setup::new(guarded(&upstream, shadow)));
    let answer = gateway.call(chat_stream("m"));
    let expected = [
        said("write to alice.smith@mail.exam"),
        said("ple.com, please"),
        USAGE.to_owned(),
        DONE.to_owned(),
    ];
    assert_eq!(answer.text(), expected.concat());
    let (record, verdict) = judged(&gateway);
    assert_eq!(
        (verdict.action, verdict.shadow, verdict.count),
        (Action::Block, true, 1)
    );
    assert_eq!(record.ended, Ended::Complete);
    metric(
        &gateway,
        r#"sluice_guardrail_findings_total{rule="pii",detector="email",action="shadow",on="answer"} 1"#,
    );
}

#[test]
fn what_is_held_is_released_by_time() {
    let (go, wait) = mpsc::channel::<()>();
    let wait = Mutex::new(wait);
    let upstream = Upstream::scripted(move |exchange| {
        if exchange.body().is_none() {
            return;
        }
        exchange.begin_events();
        exchange.chunk(&said("it may be alice.smith@mai"));
        let _ = wait.lock().unwrap().recv();
        exchange.chunk(&format!("{}{DONE}", said(" or not")));
        exchange.send("0\r\n\r\n");
    });
    let patient = Guardrail {
        hold_back_ms: 100,
        ..rule(GuardAction::Redact)
    };
    let gateway = Gateway::start(Setup::new(guarded(&upstream, patient)));
    let mut client = gateway.client();
    client.send(chat_stream("m"));
    // The provider is silent until the client has what was held.
    client.wait_for(said("it may be alice.smith@mai").as_bytes());
    go.send(()).unwrap();
    let answer = client.answer();
    assert!(answer.text().ends_with(&format!("{}{DONE}", said(" or not"))));
    let record = gateway.wait_records(1).remove(0);
    assert_eq!((record.ended, record.verdicts), (Ended::Complete, Vec::new()));
}

#[test]
fn a_client_that_leaves_while_something_is_held_is_noticed() {
    let (gone, wait) = mpsc::channel::<()>();
    let gone = Mutex::new(gone);
    let upstream = Upstream::scripted(move |exchange| {
        if exchange.body().is_none() {
            return;
        }
        exchange.begin_events();
        exchange.chunk(&said("hello "));
        exchange.chunk(&said("alice.smith@mai"));
        exchange.until_closed();
        let _ = gone.lock().unwrap().send(());
    });
    let gateway = Gateway::start(Setup::new(guarded(&upstream, rule(GuardAction::Redact))));
    let mut client = gateway.client();
    client.send(chat_stream("m"));
    client.wait_for(said("hello ").as_bytes());
    drop(client);
    wait.recv().unwrap();
    let record = gateway.wait_records(1).remove(0);
    assert_eq!(record.ended, Ended::ClientGone);
}

#[test]
fn a_document_is_redacted() {
    let upstream = answers("write to alice.smith@mail.example.com, please");
    let gateway = Gateway::start(Setup::new(guarded(&upstream, rule(GuardAction::Redact))));
    let mut client = gateway.client();
    for _ in 0..2 {
        client.send(chat("m"));
        let answer = client.answer();
        assert_eq!(answer.status, 200);
        assert_eq!(answer.text(), completion("write to [REDACTED:email], please"));
        // Its length is not that which the provider has announced.
        assert_eq!(answer.fields("content-length"), [] as [&str; 0]);
    }
    let records = gateway.wait_records(2);
    assert!(records.iter().all(|record| record.usage.output == Some(5)
        && record.usage_known == Known::Reported
        && record.verdicts.len() == 1));
}

#[test]
fn a_document_is_blocked_with_an_error_in_its_place() {
    let upstream = answers("write to alice.smith@mail.example.com, please");
    let gateway = Gateway::start(Setup::new(guarded(&upstream, rule(GuardAction::Block))));
    let mut client = gateway.client();
    client.send(chat("m"));
    let answer = client.answer();
    assert_eq!(
        (answer.status, answer.field("x-sluice-error")),
        (403, Some("guardrail_blocked"))
    );
    assert!(
        answer.text().contains("no addresses here") && !answer.text().contains(SECRET),
        "{}",
        answer.text()
    );
    assert_eq!(answer.field("x-should-retry"), Some("false"));
    // The connection lives on.
    client.send(get("/healthz"));
    assert_eq!(client.answer().status, 200);
    let (record, verdict) = judged(&gateway);
    assert_eq!(
        (verdict.action, record.ended, record.status),
        (Action::Block, Ended::Blocked, 403)
    );
    // The provider has made it, and is paid for it.
    assert_eq!(
        (record.usage_known, record.usage.output),
        (Known::Reported, Some(5))
    );
}

#[test]
fn a_tool_that_is_denied_is_not_called() {
    let tools = Guardrail {
        detectors: Vec::new(),
        tools: ToolRule {
            deny: vec!["delete_*".into()],
            ..ToolRule::default()
        },
        ..rule(GuardAction::Redact)
    };
    let upstream = Upstream::scripted(|exchange| {
        if exchange.body().is_none() {
            return;
        }
        exchange.begin_events();
        exchange.chunk(&said("I will"));
        exchange.chunk("data: {\"choices\":[{\"index\":0,\"delta\":{\"tool_calls\":[{\"index\":0,\"id\":\"c\",\"function\":{\"name\":\"delete_all\",\"arguments\":\"\"}}]}}]}\n\n");
        exchange.chunk(&format!("{USAGE}{DONE}"));
        exchange.send("0\r\n\r\n");
    });
    let gateway = Gateway::start(Setup::new(guarded(&upstream, tools)));
    let answer = gateway.call(chat_stream("m"));
    let text = answer.text();
    assert!(
        text.starts_with(&said("I will")) && text.contains("guardrail_blocked"),
        "{text}"
    );
    assert!(!text.contains("delete_all"), "{text}");
    let (record, verdict) = judged(&gateway);
    assert_eq!(
        (verdict.action, verdict.what.as_str()),
        (Action::Block, "tool:delete_all")
    );
    assert_eq!(record.ended, Ended::Blocked);
}

fn compressed() -> Upstream {
    Upstream::scripted(|exchange| {
        if exchange.body().is_some() {
            exchange.send(
                "HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Encoding: gzip\r\nContent-Length: 4\r\n\r\n\x1f\x0b..",
            );
        }
    })
}

#[test]
fn what_cannot_be_read_is_refused_or_noted() {
    let upstream = compressed();
    let gateway = Gateway::start(Setup::new(guarded(&upstream, rule(GuardAction::Redact))));
    let answer = gateway.call(chat("m"));
    assert_eq!(
        (answer.status, answer.field("x-sluice-error")),
        (502, Some("guardrail_blocked"))
    );
    assert!(answer.text().contains("compressed"), "{}", answer.text());
    let (record, verdict) = judged(&gateway);
    assert_eq!(verdict.what, "not inspected: it is compressed");
    assert_eq!(record.ended, Ended::Blocked);

    let gateway = Gateway::start(Setup::new(guarded(&upstream, rule(GuardAction::Log))));
    let answer = gateway.call(chat("m"));
    assert_eq!((answer.status, answer.body.as_slice()), (200, &b"\x1f\x0b.."[..]));
    let (record, verdict) = judged(&gateway);
    assert_eq!(
        (verdict.action, verdict.what.as_str(), record.ended),
        (Action::Log, "not inspected: it is compressed", Ended::Complete)
    );
}

#[test]
fn what_came_before_a_break_is_good() {
    let upstream = Upstream::scripted(|exchange| {
        if exchange.body().is_none() {
            return;
        }
        exchange.begin_events();
        exchange.chunk(&said("ask alice.smith@mail.example.com or bob@mai"));
        exchange.close();
    });
    let gateway = Gateway::start(Setup::new(guarded(&upstream, rule(GuardAction::Redact))));
    let mut client = gateway.client();
    client.send(chat_stream("m"));
    let Err(Cut { received, .. }) = client.try_answer(false) else {
        panic!("the answer was cut");
    };
    let text = String::from_utf8(received).unwrap();
    assert!(text.contains("ask [REDACTED:email] or bob@mai"), "{text}");
    let (record, _) = judged(&gateway);
    assert_eq!(record.ended, Ended::UpstreamFailed);
}

#[test]
fn an_error_of_the_provider_is_looked_at_too() {
    let upstream = Upstream::scripted(|exchange| {
        if exchange.body().is_some() {
            let body = r#"{"error":{"message":"alice.smith@mail.example.com is no model"}}"#;
            let whole = String::from_utf8(json(body)).unwrap();
            exchange.send(whole.replace("200 OK", "400 Bad Request"));
        }
    });
    let gateway = Gateway::start(Setup::new(guarded(&upstream, rule(GuardAction::Redact))));
    let answer: Answer = gateway.call(post("/v1/messages", r#"{"model":"m"}"#));
    assert_eq!(
        (answer.status, answer.text()),
        (
            400,
            r#"{"error":{"message":"[REDACTED:email] is no model"}}"#.to_owned()
        )
    );
}
