//! `sluice config`: the document of a running instance, and its history.

use std::borrow::Cow;
use std::io::{IsTerminal as _, Read as _};
use std::path::Path;
use std::process::ExitCode;

use anyhow::{Context, Result, bail};
use serde_json::{Value, json};

use crate::cli::{ConfigCommand, ConfigOptions};
use crate::client::{Client, columns, printable, text};

/// Longest document that is read, in bytes; the control plane's own bound is the same.
const DOCUMENT_BYTES_MAX: u64 = 4 << 20;

/// Does what the subcommand says.
///
/// # Errors
/// If no instance answers, or it refuses.
pub(crate) fn run(options: &ConfigOptions) -> Result<ExitCode> {
    let client = Client::new(&options.instance.data);
    match &options.command {
        ConfigCommand::Get { json } => {
            let answer = client.get("/aperture/config")?;
            if *json {
                println!("{answer:#}");
            } else {
                print!("{}", document(text(&answer, "config")));
                eprintln!(
                    "version {} of {}; save with: sluice config put FILE --if-match '{}'",
                    answer["version"],
                    text(&answer, "source"),
                    text(&answer, "etag"),
                );
            }
        }
        ConfigCommand::Put { file, if_match } => return put(&client, file, if_match.as_deref()),
        ConfigCommand::History { json } => {
            let answer = client.get("/api/config/history")?;
            if *json {
                println!("{answer:#}");
            } else {
                print!("{}", printable(&list(&answer)));
            }
        }
        ConfigCommand::Show { id } => {
            let answer = client.get(&format!("/api/config/history/{id}"))?;
            print!("{}", document(text(&answer, "config")));
        }
        ConfigCommand::Diff { id, against } => {
            let against = against.map_or_else(String::new, |against| format!("?against={against}"));
            let answer = client.get(&format!("/api/config/history/{id}{against}"))?;
            print!("{}", printable(text(&answer, "diff")));
            if !answer["against"].is_null() && against.is_empty() {
                for path in answer["secrets_changed"].as_array().into_iter().flatten() {
                    println!(
                        "~{} (a secret, not shown)",
                        printable(path.as_str().unwrap_or_default())
                    );
                }
            }
        }
        ConfigCommand::Rollback { id } => {
            let answer = client.call("POST", "/api/config/rollback", None, Some(&json!({ "id": id })))?;
            return saved(
                &answer.body,
                answer.status,
                &format!("version {id}"),
                &answer.problem(),
            );
        }
    }
    Ok(ExitCode::SUCCESS)
}

/// A document as it is, to be edited and saved again; on a terminal without what would act there.
fn document(text: &str) -> Cow<'_, str> {
    if std::io::stdout().is_terminal() {
        Cow::Owned(printable(text))
    } else {
        Cow::Borrowed(text)
    }
}

fn put(client: &Client<'_>, file: &Path, if_match: Option<&str>) -> Result<ExitCode> {
    let name = file.display().to_string();
    let mut document = String::new();
    let read = if file == Path::new("-") {
        std::io::stdin()
            .take(DOCUMENT_BYTES_MAX + 1)
            .read_to_string(&mut document)
    } else {
        std::fs::File::open(file)
            .and_then(|file| file.take(DOCUMENT_BYTES_MAX + 1).read_to_string(&mut document))
    };
    read.with_context(|| format!("cannot read {name}"))?;
    let tag = if_match.unwrap_or("*");
    let answer = client.call(
        "PUT",
        "/aperture/config",
        Some(tag),
        Some(&json!({ "config": document })),
    )?;
    saved(&answer.body, answer.status, &name, &answer.problem())
}

/// Says what is in use now, or what is to be mended, in the form of `sluice check`.
fn saved(body: &Value, status: u16, name: &str, problem: &str) -> Result<ExitCode> {
    let messages = body["messages"].as_array();
    for message in messages.into_iter().flatten() {
        eprintln!("{}", printable(&line(name, message)));
    }
    if status == 200 {
        println!("version {} is in use (epoch {})", body["version"], body["epoch"]);
        return Ok(ExitCode::SUCCESS);
    }
    if status == 412 {
        bail!("{problem} (it is {} now)", text(body, "etag"));
    }
    bail!("{problem}")
}

fn line(name: &str, message: &Value) -> String {
    let kind = match message["severity"].as_str() {
        Some("notice") => "note",
        Some(other) => other,
        None => "error",
    };
    let path = text(message, "path");
    let colon = if path.is_empty() { "" } else { ": " };
    format!(
        "{kind}: {name}:{}:{}: {path}{colon}{}",
        message["line"],
        message["column"],
        text(message, "text"),
    )
}

fn list(answer: &Value) -> String {
    let mut rows = vec![
        ["version", "time", "author", "lines", "summary"]
            .map(str::to_owned)
            .to_vec(),
    ];
    for version in answer["versions"].as_array().into_iter().flatten() {
        let mark = if version["current"] == true { "*" } else { "" };
        let note = text(version, "note");
        let time = text(version, "time");
        let secrets = version["secrets_changed"].as_array().map_or(0, Vec::len);
        let mut lines = format!("+{} -{}", version["added"], version["removed"]);
        if secrets > 0 {
            lines.push_str(&format!(" ~{secrets}"));
        }
        let mut summary = text(version, "summary").to_owned();
        if !note.is_empty() {
            summary = format!("{note}: {summary}");
        }
        rows.push(vec![
            format!("{}{mark}", version["id"]),
            time.get(..19).unwrap_or(time).replace('T', " "),
            text(version, "author").to_owned(),
            lines,
            summary,
        ]);
    }
    columns(&rows)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn versions_and_messages_for_people() {
        let answer = json!({ "versions": [
            { "id": 2, "current": true, "time": "2026-11-22T10:00:00.000000Z", "author": "alice", "note": "back to version 1",
              "summary": "1 provider", "added": 3, "removed": 1, "secrets_changed": ["a"] },
            { "id": 1, "current": false, "time": "2026-11-22T09:00:00.000000Z", "author": "(file)", "note": "", "summary": "none",
              "added": 9, "removed": 0, "secrets_changed": [] },
        ] });
        assert_eq!(
            list(&answer),
            "version  time                 author  lines     summary\n\
             2*       2026-11-22 10:00:00  alice   +3 -1 ~1  back to version 1: 1 provider\n\
             1        2026-11-22 09:00:00  (file)  +9 -0     none\n"
        );
        let message =
            json!({ "severity": "warning", "path": "a.b", "line": 3, "column": 4, "text": "is odd" });
        assert_eq!(line("f", &message), "warning: f:3:4: a.b: is odd");
    }
}
