//! `sluice up` as a person runs it: the built program, both planes, the mock provider, real sockets.

#[path = "up/gateway.rs"]
#[allow(dead_code, reason = "shared with the other tests of the program")]
mod gateway;

use std::fs;
use std::io::{Read, Write};
use std::net::TcpListener;

use gateway::{Answer, Gateway, once, output, run, until};
use serde_json::{Value, json};

fn chat(model: &str) -> Value {
    json!({ "model": model, "messages": [{ "role": "user", "content": "hi" }] })
}

#[test]
fn answers_and_meters_without_any_configuration() {
    let gateway = Gateway::start(&[]);
    let answer = gateway.post("/v1/chat/completions", &chat("gpt-5.5"));
    assert_eq!(answer.status, 200, "{}", answer.text());
    let id = answer
        .header("x-sluice-request-id")
        .expect("an id in every answer")
        .to_owned();
    let body = answer.json();
    assert!(
        body["choices"][0]["message"]["content"]
            .as_str()
            .is_some_and(|text| !text.is_empty())
    );

    let records = gateway.records(1);
    let record = &records[0];
    assert_eq!(record["request_id"], id);
    assert_eq!(record["user"], "(loopback)");
    assert_eq!(record["provider"], "mock");
    assert_eq!(record["model_asked"], "gpt-5.5");
    assert_eq!(record["api"], "openai_chat");
    assert_eq!(record["status"], 200);
    assert_eq!(record["ended"], "complete");
    assert_eq!(record["usage_known"], "reported");
    assert_eq!(record["input"], body["usage"]["prompt_tokens"]);
    assert_eq!(record["output"], body["usage"]["completion_tokens"]);

    let usage = run(&["usage", "--json", "--by", "model", "--data", &gateway.data()]);
    let usage: Value = serde_json::from_str(&usage.out).expect("JSON");
    assert_eq!(usage["groups"][0]["key"], "gpt-5.5", "{usage}");
    assert_eq!(usage["groups"][0]["requests"], 1, "{usage}");
    gateway.stop();
}

#[test]
fn streams_and_withholds_the_usage_that_nobody_asked_for() {
    let gateway = Gateway::start(&[]);
    let mut body = chat("gpt-5.5");
    body["stream"] = true.into();
    let answer = Answer::read(gateway.send("/v1/chat/completions", &body, "x-mock-events: 20\r\n"));
    let text = answer.text();
    assert!(text.ends_with("data: [DONE]\n\n"), "{text}");
    assert!(!text.contains("prompt_tokens"), "{text}");
    let records = gateway.records(1);
    assert_eq!(records[0]["usage_known"], "reported");
    assert_eq!(records[0]["output"], 20);
    gateway.stop();
}

#[test]
fn no_process_shows_a_key() {
    let gateway = Gateway::start_with(&[], &[("OPENAI_API_KEY", "sk-canary-0123456789")]);
    let banner = gateway.printed();
    assert!(!banner.contains("canary"), "{banner}");
    for name in ["supervisor", "controlplane", "dataplane"] {
        let pid = gateway.pid(name);
        let command = fs::read_to_string(format!("/proc/{pid}/cmdline")).expect("a running process");
        assert!(!command.contains("canary"), "{name}: {command}");
    }
    // The key arrived all the same: the provider it stands for is there, and still is after another start.
    let before = gateway.pid("controlplane");
    gateway.kill(before);
    until("another control plane", || {
        gateway.try_pid("controlplane").filter(|pid| *pid != before)
    });
    until("the provider", || {
        let answer = gateway.get("/api/providers");
        (answer.status == 200 && answer.text().contains("openai")).then_some(())
    });
    gateway.stop();
}

#[test]
fn the_mock_alone_means_no_other_provider() {
    let gateway = Gateway::start_with(&["--mock"], &[("OPENAI_API_KEY", "sk-canary-0123456789")]);
    assert_eq!(gateway.post("/v1/chat/completions", &chat("gpt-5.5")).status, 200);
    assert_eq!(gateway.records(1)[0]["provider"], "mock");
    let snapshot = fs::read(format!("{}/snapshot.bin", gateway.data())).expect("a snapshot");
    assert!(!String::from_utf8_lossy(&snapshot).contains("canary"));
    gateway.stop();
}

#[test]
fn a_killed_plane_is_started_again_and_nobody_is_refused() {
    let gateway = Gateway::start(&[]);
    assert_eq!(gateway.post("/v1/chat/completions", &chat("a")).status, 200);
    let mut made = 1;
    for name in ["dataplane", "controlplane", "dataplane"] {
        let before = gateway.pid(name);
        gateway.kill(before);
        // Its parent has taken note: until then a dying io_uring may still accept a connection and reset it.
        until("its death", || {
            fs::metadata(format!("/proc/{before}")).is_err().then_some(())
        });
        // While nobody accepts: the connection waits in the backlog of the supervisor's socket.
        let answer = gateway.post("/v1/chat/completions", &chat("b"));
        assert_eq!(answer.status, 200, "after {name} was killed: {}", answer.text());
        made += 1;
        until("another process", || {
            gateway.try_pid(name).filter(|pid| *pid != before)
        });
    }
    let records = gateway.records(made);
    assert_eq!(records.len(), made);
    assert!(
        records.iter().all(|record| record["ended"] == "complete"),
        "{records:?}"
    );
    gateway.stop();
}

#[test]
fn nothing_is_left_when_the_supervisor_is_killed() {
    let gateway = Gateway::start(&[]);
    let pids = ["controlplane", "dataplane", "mock"].map(|name| gateway.pid(name));
    gateway.kill(gateway.pid("supervisor"));
    for pid in pids {
        until("the end of the children", || is_gone(pid).then_some(()));
    }
}

/// Gone, or dead and waiting for its new parent to notice.
fn is_gone(pid: i32) -> bool {
    match fs::read_to_string(format!("/proc/{pid}/stat")) {
        Ok(stat) => stat
            .rsplit_once(") ")
            .is_some_and(|(_, rest)| rest.starts_with('Z')),
        Err(_) => true,
    }
}

#[test]
fn drains_what_is_in_flight() {
    let gateway = Gateway::start(&[]);
    let mut body = chat("m");
    body["stream"] = true.into();
    let paced = "x-mock-events: 30\r\nx-mock-gap-ms: 20\r\n";
    let mut stream = gateway.send("/v1/chat/completions", &body, paced);
    let mut first = [0; 16];
    stream
        .read_exact(&mut first)
        .expect("the beginning of the answer");
    assert_eq!(&first[..12], b"HTTP/1.1 200");
    gateway.terminate();
    let mut rest = Vec::new();
    stream.read_to_end(&mut rest).expect("the rest of the answer");
    assert!(String::from_utf8_lossy(&rest).contains("data: [DONE]"));
    gateway.wait();
}

#[test]
fn a_second_signal_stops_at_once() {
    let gateway = Gateway::start(&[]);
    let mut body = chat("m");
    body["stream"] = true.into();
    let endless = "x-mock-events: 100000\r\nx-mock-gap-ms: 20\r\n";
    let mut stream = gateway.send("/v1/chat/completions", &body, endless);
    let mut first = [0; 12];
    stream
        .read_exact(&mut first)
        .expect("the beginning of the answer");
    let pids = ["controlplane", "dataplane", "mock"].map(|name| gateway.pid(name));
    gateway.terminate();
    until("the drain", || gateway.log().contains("draining").then_some(()));
    gateway.terminate();
    assert!(!gateway.end().success(), "a stream was cut, which is no good end");
    assert!(pids.iter().all(|pid| is_gone(*pid)));
}

#[test]
fn a_new_document_takes_effect_and_an_invalid_one_does_not() {
    let mock = Gateway::start(&[]);
    let folder = tempfile::tempdir().expect("a folder");
    let file = folder.path().join("sluice.hujson");
    let document = |model: &str| {
        format!(
            r#"{{ "providers": {{ "p": {{ "baseurl": "{}", "models": ["{model}"], "auth_mode": "none" }} }},
               "grants": [ {{ "src": ["*"], "capabilities": [ {{ "role": "admin", "models": "**" }} ] }} ], }}"#,
            mock.mock_url()
        )
    };
    fs::write(&file, document("old")).expect("a document");
    let gateway = Gateway::start(&["--config", &file.to_string_lossy()]);
    let status = |model: &str| gateway.post("/v1/chat/completions", &chat(model)).status;
    assert_eq!((status("old"), status("new")), (200, 404));

    fs::write(&file, "{ this is no document").expect("a document");
    until("the refusal", || {
        let health = gateway.get("/api/health").json();
        health.to_string().contains("does not parse").then_some(())
    });
    assert_eq!((status("old"), status("new")), (200, 404));

    fs::write(&file, document("new")).expect("a document");
    until("the new document", || (status("new") == 200).then_some(()));
    assert_eq!(status("old"), 404);
    gateway.stop();
    mock.stop();
}

#[test]
fn refuses_a_taken_port() {
    let holder = TcpListener::bind("127.0.0.1:0").expect("a port");
    let address = holder.local_addr().expect("an address").to_string();
    let refused = once(&["up", "--listen", &address]);
    assert_eq!(
        refused.err,
        format!("sluice: cannot listen on {address}: Address already in use (os error 98)\n")
    );
    assert_eq!(refused.status, Some(1));
}

#[test]
fn refuses_a_port_that_another_instance_shares_among_its_shards() {
    let gateway = Gateway::start(&[]);
    let refused = once(&["up", "--listen", gateway.address()]);
    assert!(refused.err.contains("Address already in use"), "{}", refused.err);
    gateway.stop();
}

#[test]
fn refuses_a_data_directory_in_use() {
    let gateway = Gateway::start(&[]);
    let refused = once(&["up", "--listen", "127.0.0.1:0", "--data", &gateway.data()]);
    let wanted = format!(
        "belongs to a running instance (pid {})\n",
        gateway.pid("supervisor")
    );
    assert!(refused.err.ends_with(&wanted), "{}", refused.err);
    assert_eq!(refused.err.lines().count(), 1, "{}", refused.err);
    assert_eq!(
        gateway.post("/v1/chat/completions", &chat("m")).status,
        200,
        "the running one is not disturbed"
    );
    gateway.stop();
}

#[test]
fn refuses_a_data_directory_that_cannot_be_written() {
    let folder = tempfile::tempdir().expect("a folder");
    let file = folder.path().join("file");
    fs::write(&file, "").expect("a file");
    let refused = once(&[
        "up",
        "--listen",
        "127.0.0.1:0",
        "--data",
        &file.join("data").to_string_lossy(),
    ]);
    assert!(
        refused
            .err
            .starts_with("sluice: cannot write to the data directory"),
        "{}",
        refused.err
    );
    assert_eq!(refused.err.lines().count(), 1, "{}", refused.err);
}

#[test]
fn refuses_an_invalid_configuration_with_its_place() {
    let folder = tempfile::tempdir().expect("a folder");
    let file = folder.path().join("bad.hujson");
    fs::write(&file, "{\n  \"providers\": { \"p\": }\n}\n").expect("a document");
    let name = file.canonicalize().expect("a path").display().to_string();
    let refused = once(&["up", "--listen", "127.0.0.1:0", "--config", &name]);
    assert!(
        refused
            .err
            .starts_with(&format!("sluice: invalid configuration: {name}:2:")),
        "{}",
        refused.err
    );
    assert_eq!(refused.err.lines().count(), 1, "{}", refused.err);
    let checked = run(&["check", &name]);
    assert!(
        checked.out.starts_with(&format!("error: {name}:2:")),
        "{}",
        checked.out
    );
    assert_eq!(checked.status, Some(1));
}

#[test]
fn the_readme_shows_a_configuration_without_a_fault() {
    let readme = include_str!("../../../README.md");
    let (_, document) = readme.split_once("```jsonc\n").expect("an example");
    let (document, _) = document.split_once("```").expect("its end");
    let folder = tempfile::tempdir().expect("a folder");
    let file = folder.path().join("sluice.hujson");
    let document = document.replace("${env:ANTHROPIC_API_KEY}", "invented");
    fs::write(&file, document).expect("a document");
    let checked = run(&["check", &file.to_string_lossy()]);
    assert_eq!(checked.status, Some(0), "{}", checked.out);
    assert!(
        checked.out.ends_with("(0 errors, 0 warnings)\n"),
        "{}",
        checked.out
    );
}

#[test]
fn meters_a_body_by_hand() {
    let folder = tempfile::tempdir().expect("a folder");
    let file = folder.path().join("answer.json");
    let answer = json!({ "id": "x", "model": "claude-opus-4-8", "type": "message", "stop_reason": "tool_use",
        "content": [{ "type": "tool_use", "id": "t", "name": "n", "input": {} }],
        "usage": { "input_tokens": 3, "cache_read_input_tokens": 4, "output_tokens": 5 } });
    fs::File::create(&file)
        .and_then(|mut file| write!(file, "{answer}"))
        .expect("a file");
    for kind in ["anthropic-messages", "anthropic_messages"] {
        let metered = run(&["meter", "--api", kind, &file.to_string_lossy()]);
        let metered: Value = serde_json::from_str(&metered.out).expect("JSON");
        let wanted = json!([7, 3, 4, 5, "claude-opus-4-8", "tool_use", 1, "reported", true]);
        let names = [
            "input",
            "input_uncached",
            "cached_read",
            "output",
            "model",
            "stop_reason",
            "tool_calls",
            "usage_known",
            "complete",
        ];
        assert_eq!(
            names.map(|name| metered[name].clone()).to_vec(),
            *wanted.as_array().expect("a list")
        );
        assert_eq!(metered["audio_ms"], Value::Null, "unknown is null");
    }
    assert_eq!(output(&["meter", "--api", "nothing", "-"]).status, Some(1));
}
