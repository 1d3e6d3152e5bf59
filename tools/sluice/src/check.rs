//! `sluice check`: every problem of configurations, with its place; `sluice schema`: what they may hold.

use std::io::Read as _;
use std::path::Path;
use std::process::ExitCode;

use sluice_controlplane::config::{self, Message, Report};

use crate::cli::CheckOptions;
use crate::environment;

/// Largest document that is read, in bytes; the parser refuses a shorter one already, with its own words.
const READ_BYTES_MAX: u64 = 64 << 20;

/// Prints one line a problem, in the form compilers use, and for each document a line that sums up; or JSON. Ends with 0 if
/// there is no error and no warning anywhere, else with 1.
pub(crate) fn run(options: &CheckOptions) -> ExitCode {
    let environment = environment::readable();
    let mut clean = true;
    let mut reports = Vec::new();
    for file in &options.files {
        let name = file.display().to_string();
        let report = match read(file) {
            Ok(text) => config::check_in(&text, &environment, folder_of(file)),
            Err(error) => unreadable(&error),
        };
        clean &= report.clean();
        if options.json {
            reports.push(json(&name, &report));
        } else {
            for line in report.lines(&name) {
                println!("{line}");
            }
        }
    }
    if options.json {
        println!("{:#}", serde_json::Value::from(reports));
    }
    if clean {
        ExitCode::SUCCESS
    } else {
        ExitCode::FAILURE
    }
}

/// Prints the JSON Schema of the document.
pub(crate) fn schema() -> ExitCode {
    print!("{}", config::schema());
    ExitCode::SUCCESS
}

fn read(file: &Path) -> std::io::Result<String> {
    let mut bytes = Vec::new();
    if file == Path::new("-") {
        std::io::stdin().take(READ_BYTES_MAX).read_to_end(&mut bytes)?;
    } else {
        std::fs::File::open(file)?
            .take(READ_BYTES_MAX)
            .read_to_end(&mut bytes)?;
    }
    String::from_utf8(bytes)
        .map_err(|_| std::io::Error::new(std::io::ErrorKind::InvalidData, "it is not UTF-8"))
}

/// Paths in a document are relative to where it lies; those of standard input to the working directory.
fn folder_of(file: &Path) -> &Path {
    file.parent()
        .filter(|folder| !folder.as_os_str().is_empty())
        .unwrap_or_else(|| Path::new("."))
}

fn unreadable(error: &std::io::Error) -> Report {
    Report {
        errors: vec![Message {
            path: String::new(),
            line: 1,
            column: 1,
            text: format!("cannot be read: {error}"),
        }],
        summary: "not usable".into(),
        ..Report::default()
    }
}

fn json(name: &str, report: &Report) -> serde_json::Value {
    let list = |messages: &[Message]| {
        messages
            .iter()
            .map(
                |m| serde_json::json!({ "path": m.path, "line": m.line, "column": m.column, "text": m.text }),
            )
            .collect::<Vec<_>>()
    };
    serde_json::json!({
        "file": name,
        "usable": report.usable(),
        "summary": report.summary,
        "errors": list(&report.errors),
        "warnings": list(&report.warnings),
        "notices": list(&report.notices),
    })
}
