//! The command line towards a running instance: the document and its history, explanations, tokens.

#[path = "up/gateway.rs"]
#[allow(dead_code, reason = "shared with the other tests of the program")]
mod gateway;

use std::fs;
use std::os::unix::fs::PermissionsExt;

use gateway::{Gateway, output, run, until};
use serde_json::Value;

fn admin_document(mock: &str, more: &str) -> String {
    format!(
        r#"// kept
{{
  "providers": {{"mock": {{"baseurl": "{mock}", "apikey": "canary-cli-0001", "models": ["m*"], "compatibility": {{"openai_chat": true}}}}}},
  "identity": {{"sources": ["loopback", "token"]}},
  "grants": [{{"src": ["(loopback)"], "capabilities": [{{"role": "admin", "models": "**"}}]}},
             {{"src": ["tag:ci"], "capabilities": [{{"role": "user", "models": "mock/m1"}}]}}{more}],
}}
"#
    )
}

#[test]
fn a_document_is_saved_read_and_taken_back() {
    let gateway = Gateway::start(&[]);
    let data = gateway.data();
    let sluice = |args: &[&str]| {
        let mut all = args.to_vec();
        all.extend(["--data", data.as_str()]);
        output(&all)
    };
    let built_in = sluice(&["config", "get"]);
    assert_eq!(built_in.status, Some(0), "{}", built_in.err);
    assert!(
        built_in.out.contains("\"providers\"") && built_in.err.contains("built-in document"),
        "{}",
        built_in.err
    );

    let folder = tempfile::TempDir::new().expect("a folder");
    let file = folder.path().join("new.hujson");
    let name = file.display().to_string();
    let mock = gateway.mock_url();
    fs::write(&file, admin_document(&mock, ", {\"src\": [5]}")).expect("a file");
    let refused = sluice(&["config", "put", &name]);
    assert_eq!(
        (refused.status, refused.out.as_str()),
        (Some(1), ""),
        "{}",
        refused.err
    );
    assert!(
        refused.err.contains(&format!("warning: {name}:6:")),
        "{}",
        refused.err
    );

    fs::write(&file, admin_document(&mock, "")).expect("a file");
    let put = sluice(&["config", "put", &name]);
    assert_eq!(put.status, Some(0), "{}", put.err);
    assert!(put.out.starts_with("version 2 is in use (epoch "), "{}", put.out);
    let saved = format!("{data}/config.hujson");
    assert_eq!(
        fs::read_to_string(&saved).expect("the saved document"),
        admin_document(&mock, "")
    );
    assert_eq!(
        fs::metadata(&saved).expect("a file").permissions().mode() & 0o777,
        0o600
    );
    let shown = sluice(&["config", "get"]);
    assert!(
        shown.out.contains("// kept") && !shown.out.contains("canary"),
        "{}",
        shown.out
    );
    assert!(shown.err.contains("config.hujson"), "{}", shown.err);
    // What was shown can be changed and saved; the key that it hides stays.
    fs::write(&file, shown.out.replace("// kept", "// kept, too")).expect("a file");
    let etag = shown.err.split('\'').nth(1).expect("an entity tag").to_owned();
    assert_eq!(
        sluice(&["config", "put", &name, "--if-match", &etag]).status,
        Some(0)
    );
    let stale = sluice(&["config", "put", &name, "--if-match", &etag]);
    assert_eq!(stale.status, Some(1));
    assert!(stale.err.contains("has changed"), "{}", stale.err);
    assert!(
        fs::read_to_string(&saved)
            .expect("a file")
            .contains("canary-cli-0001")
    );

    let history = sluice(&["config", "history"]);
    let lines: Vec<&str> = history.out.lines().collect();
    assert_eq!(lines.len(), 4, "{}", history.out);
    assert!(
        lines[1].starts_with("3*") && lines[1].contains("(local)"),
        "{}",
        history.out
    );
    assert!(
        lines[3].starts_with("1 ") && lines[3].contains("(built-in)"),
        "{}",
        history.out
    );
    let diff = sluice(&["config", "diff", "2"]);
    assert!(diff.out.contains("+// kept"), "{}", diff.out);
    let back = sluice(&["config", "rollback", "2"]);
    assert_eq!(back.status, Some(0), "{}", back.err);
    assert!(sluice(&["config", "show", "4"]).out.contains("// kept"));
    let unknown = sluice(&["config", "rollback", "77"]);
    assert_eq!(unknown.status, Some(1));
    assert!(unknown.err.contains("not in the history"), "{}", unknown.err);

    // The gateway itself tells its admins the same.
    let answer = gateway.get("/aperture/config");
    assert_eq!(
        (answer.status, answer.header("cache-control")),
        (200, Some("private, no-cache"))
    );
    assert!(answer.header("etag").is_some() && !answer.text().contains("canary"));
    gateway.stop();
}

#[test]
fn what_was_saved_is_used_after_a_restart() {
    let first = Gateway::start(&[]);
    let data = first.data();
    let folder = tempfile::TempDir::new().expect("a folder");
    let file = folder.path().join("new.hujson");
    fs::write(&file, admin_document("http://127.0.0.1:9", "")).expect("a file");
    let put = output(&["config", "put", &file.display().to_string(), "--data", &data]);
    assert_eq!(put.status, Some(0), "{}", put.err);
    // Killed, not stopped: nothing gets a chance to write anything more.
    let control = first.pid("controlplane");
    first.kill(control);
    let version = until("the control plane to be back with the saved document", || {
        let get = output(&["config", "get", "--json", "--data", &data]);
        let answer: Value = serde_json::from_str(&get.out).ok()?;
        (first.try_pid("controlplane") != Some(control)).then_some(answer)
    });
    assert_eq!(version["version"], 2);
    assert!(
        version["source"]
            .as_str()
            .expect("a source")
            .ends_with("config.hujson"),
        "{version}"
    );
    first.stop();
}

#[test]
fn grants_are_explained_and_tokens_made() {
    let gateway = Gateway::start(&[]);
    let data = gateway.data();
    let folder = tempfile::TempDir::new().expect("a folder");
    let file = folder.path().join("new.hujson");
    let name = file.display().to_string();
    fs::write(&file, admin_document(&gateway.mock_url(), "")).expect("a file");
    let sluice = |args: &[&str]| {
        let mut all = args.to_vec();
        all.extend(["--data", data.as_str()]);
        output(&all)
    };

    // The built-in document lets nobody in with a token.
    let useless = sluice(&[
        "token",
        "create",
        "--login",
        "alice@example.com",
        "--expires",
        "1h",
    ]);
    assert_eq!(useless.status, Some(0), "{}", useless.err);
    assert!(useless.err.contains("identity.sources"), "{}", useless.err);
    assert_eq!(sluice(&["config", "put", &name]).status, Some(0));

    let made = sluice(&[
        "token", "create", "--tag", "tag:ci", "--models", "mock/**", "--role", "user", "--name", "nightly",
    ]);
    assert_eq!(made.status, Some(0), "{}", made.err);
    let token = made.out.trim_end();
    assert!(
        token.starts_with("slt_") && token.len() == 47 && made.out.ends_with('\n'),
        "{}",
        made.out
    );
    assert!(
        made.err.contains("nightly") && !made.err.contains("warning") && !made.err.contains(token),
        "{}",
        made.err
    );
    let list = sluice(&["token", "list"]);
    assert!(
        list.out.contains("nightly") && !list.out.contains(&token[4..]),
        "{}",
        list.out
    );
    let listed: Value = serde_json::from_str(&sluice(&["token", "list", "--json"]).out).expect("JSON");
    let id = listed["tokens"][1]["id"].as_str().expect("an id").to_owned();
    assert_eq!(sluice(&["token", "revoke", &id]).status, Some(0));
    assert!(sluice(&["token", "list"]).out.contains("revoked"));
    let unknown = sluice(&["token", "revoke", "nothing0"]);
    assert_eq!((unknown.status, unknown.out.as_str()), (Some(1), ""));
    assert_eq!(sluice(&["token", "create", "--name", "nobody"]).status, Some(2));

    let explained = |args: &[&str], status: i32, words: &str| {
        let mut live = vec!["explain"];
        live.extend(args);
        for found in [sluice(&live), {
            live.extend(["--config", &name]);
            run(&live)
        }] {
            assert_eq!(found.status, Some(status), "{args:?}: {}{}", found.out, found.err);
            assert!(found.out.contains(words), "{args:?}: {}", found.out);
        }
    };
    explained(
        &["--tag", "tag:ci", "--model", "m1"],
        0,
        "allowed on openai_chat: mock/m1 by grants[1] (tag:ci)",
    );
    explained(
        &["--tag", "tag:ci", "--model", "m2"],
        3,
        "not allowed on openai_chat",
    );
    explained(
        &["--as", "eve@example.com", "--model", "m1"],
        3,
        "no role: no grant matches",
    );
    explained(
        &["--address", "127.0.0.1"],
        0,
        "role admin, by grants[0] ((loopback))",
    );
    explained(&["--address", "192.0.2.7"], 3, "nobody: ");
    let bad = sluice(&["explain", "--as", "a", "--model", "m", "--api", "telepathy"]);
    assert_eq!(bad.status, Some(1));
    assert!(bad.err.contains("openai_chat"), "{}", bad.err);
    gateway.stop();
}

#[test]
fn without_an_instance_the_remedy_is_named() {
    let folder = tempfile::TempDir::new().expect("a folder");
    let data = folder.path().display().to_string();
    for args in [
        &["config", "get"][..],
        &["config", "history"],
        &["token", "list"],
        &["quota", "list"],
        &["quota", "watch"],
        &["explain", "--as", "a"],
        &["usage"],
    ] {
        let mut all = args.to_vec();
        all.extend(["--data", &data]);
        let done = output(&all);
        assert_eq!((done.status, done.out.as_str()), (Some(1), ""), "{args:?}");
        assert!(
            done.err.contains("sluice up") && done.err.contains("--data"),
            "{}",
            done.err
        );
    }
}

#[test]
fn sessions_and_the_audit_are_listed_shown_and_checked() {
    let gateway = Gateway::start(&[]);
    let data = gateway.data();
    let sluice = |args: &[&str]| {
        let mut all = args.to_vec();
        all.extend(["--data", data.as_str()]);
        output(&all)
    };
    let made = sluice(&["token", "create", "--login", "bob@example.com", "--name", "ci"]);
    assert_eq!(made.status, Some(0), "{}", made.err);
    for args in [
        &["session", "list"][..],
        &[
            "session", "list", "--client", "codex", "--since", "1d", "--limit", "5",
        ],
    ] {
        let listed = sluice(args);
        assert_eq!(
            (listed.status, listed.out.lines().count()),
            (Some(0), 1),
            "{}",
            listed.err
        );
        assert!(listed.out.starts_with("id "), "{}", listed.out);
    }
    let missing = sluice(&["session", "show", &"0".repeat(32)]);
    assert_eq!(missing.status, Some(1));
    assert!(
        missing.err.contains("there is no such session"),
        "{}",
        missing.err
    );

    let listed = sluice(&["audit", "list", "--action", "token.create", "--actor", "(local)"]);
    assert_eq!(listed.out.lines().count(), 2, "{} {}", listed.out, listed.err);
    assert!(
        listed.out.contains("bob@example.com") && !listed.out.contains(made.out.trim()),
        "{}",
        listed.out
    );
    let verified = sluice(&["audit", "verify"]);
    assert_eq!(verified.status, Some(0), "{}", verified.err);
    assert!(verified.out.contains("the chain is whole"), "{}", verified.out);
    let other = "0".repeat(64);
    let noted = sluice(&["audit", "verify", "--seq", "1", "--hash", &other]);
    assert_eq!(noted.status, Some(1), "{}", noted.out);
    assert!(
        noted.out.contains("entry 1 is not the one that was noted"),
        "{}",
        noted.out
    );
}

#[test]
fn hooks_and_exporters_are_listed_and_what_is_not_there_is_named() {
    let gateway = Gateway::start(&[]);
    let data = gateway.data();
    let sluice = |args: &[&str]| {
        let mut all = args.to_vec();
        all.extend(["--data", data.as_str()]);
        output(&all)
    };
    for (args, head) in [
        (&["hook", "list"][..], "name"),
        (&["hook", "dead", "--hook", "x"], "id"),
        (&["exporter", "list"], "name"),
    ] {
        let listed = sluice(args);
        assert_eq!(
            (listed.status, listed.out.lines().count()),
            (Some(0), 1),
            "{}",
            listed.err
        );
        assert!(listed.out.starts_with(head), "{}", listed.out);
    }
    for args in [
        &["hook", "retry", "7"][..],
        &["hook", "remove", "7"],
        &["exporter", "run", "lake/../x"],
    ] {
        let missing = sluice(args);
        assert_eq!(missing.status, Some(1), "{args:?}");
        assert!(
            missing.err.contains("no such") || missing.err.contains("there is no"),
            "{args:?}: {}",
            missing.err
        );
    }
}
