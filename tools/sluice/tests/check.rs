//! `sluice check` and `sluice schema` as a person runs them: what is printed, and with what they end.

use std::io::Write as _;
use std::path::{Path, PathBuf};
use std::process::{Command, Output, Stdio};

fn docs(path: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR"))
        .join("../../docs")
        .join(path)
}

fn sluice(folder: &Path, arguments: &[&str], input: &str) -> Output {
    let mut child = Command::new(env!("CARGO_BIN_EXE_sluice"))
        .args(arguments)
        .current_dir(folder)
        .env_clear()
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .expect("the built program starts");
    // A command that reads no input has closed its end.
    let _ = child.stdin.take().expect("a pipe").write_all(input.as_bytes());
    child.wait_with_output().expect("it ends")
}

fn text(bytes: &[u8]) -> String {
    String::from_utf8(bytes.to_vec()).expect("it prints text")
}

const GOOD: &str = r#"{"providers": {"p": {"baseurl": "http://127.0.0.1:1", "models": ["m"]}},
"grants": [{"src": ["(loopback)"], "capabilities": [{"role": "admin", "models": "**"}]}]}"#;

#[test]
fn broken_documents_are_told_of_one_after_the_other() {
    let folder = docs("examples/broken");
    let mut names: Vec<String> = std::fs::read_dir(&folder)
        .unwrap()
        .map(|entry| entry.unwrap().file_name().into_string().unwrap())
        .filter(|name| name.ends_with(".hujson"))
        .collect();
    names.sort();
    let mut arguments = vec!["check"];
    arguments.extend(names.iter().map(String::as_str));
    let output = sluice(&folder, &arguments, "");
    assert_eq!(output.status.code(), Some(1));
    assert_eq!(
        text(&output.stdout),
        std::fs::read_to_string(folder.join("expected.txt")).unwrap()
    );
}

#[test]
fn the_end_says_whether_there_is_anything_to_mend() {
    let folder = tempfile::tempdir().unwrap();
    std::fs::write(folder.path().join("sluice.hujson"), GOOD).unwrap();
    let check = |arguments: &[&str], input: &str, code: i32, said: &str| {
        let output = sluice(folder.path(), arguments, input);
        let out = text(&output.stdout);
        assert_eq!(output.status.code(), Some(code), "{arguments:?}: {out}");
        assert!(out.contains(said), "{arguments:?}: {out}");
    };
    check(&["check"], "", 0, "sluice.hujson: 1 provider (p), 1 grant");
    check(&["check", "-"], GOOD, 0, "-: 1 provider (p)");
    check(
        &["check", "-"],
        "{",
        1,
        "error: -:1:1: the document does not parse",
    );
    check(
        &["check", "-"],
        &GOOD.replace("models\": [", "model\": ["),
        1,
        "did you mean \"models\"?",
    );
    check(
        &["check", "sluice.hujson", "nowhere"],
        "",
        1,
        "error: nowhere:1:1: cannot be read: ",
    );
    check(
        &["check", "sluice.hujson", "sluice.hujson"],
        "",
        0,
        "(0 errors, 0 warnings)",
    );
}

#[test]
fn machines_read_json() {
    let folder = tempfile::tempdir().unwrap();
    let output = sluice(
        folder.path(),
        &["check", "--json", "-"],
        "{\"providers\": {},\n \"grnts\": []}",
    );
    assert_eq!(output.status.code(), Some(1));
    let reports: serde_json::Value = serde_json::from_slice(&output.stdout).unwrap();
    let report = &reports[0];
    assert_eq!(
        (report["file"].as_str(), report["usable"].as_bool()),
        (Some("-"), Some(true))
    );
    let last = report["warnings"].as_array().unwrap().last().unwrap();
    assert_eq!(
        *last,
        serde_json::json!({
            "path": "grnts", "line": 2, "column": 2,
            "text": "unknown config key \"grnts\"; did you mean \"grants\"?",
        })
    );
}

#[test]
fn the_schema_is_the_one_in_the_documentation() {
    let output = sluice(Path::new("."), &["schema"], "");
    assert!(output.status.success());
    assert_eq!(
        text(&output.stdout),
        std::fs::read_to_string(docs("sluice.schema.json")).unwrap()
    );
}
