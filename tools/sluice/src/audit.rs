//! `sluice audit`: who did what, and whether the record of it was changed.

use std::process::ExitCode;

use anyhow::Result;
use serde_json::Value;

use crate::cli::{AuditCommand, AuditList, AuditOptions};
use crate::client::{Client, array, columns, printable, query, text};
use crate::usage;

/// Does what the subcommand says. A chain that is broken makes `verify` fail.
///
/// # Errors
/// If no instance answers, or it refuses.
pub(crate) fn run(options: &AuditOptions) -> Result<ExitCode> {
    let client = Client::new(&options.instance.data);
    match &options.command {
        AuditCommand::List(wanted) => {
            let answer = list(&client, wanted)?;
            if wanted.json {
                println!("{answer:#}");
            } else {
                print!("{}", printable(&table(&answer)));
            }
            Ok(ExitCode::SUCCESS)
        }
        AuditCommand::Verify { seq, hash, json } => {
            let seq = seq.map(|seq| seq.to_string());
            let noted = [("seq", seq.as_deref()), ("hash", hash.as_deref())];
            let noted = noted.into_iter().filter_map(|(name, value)| Some((name, value?)));
            let answer = client.get(&format!("/api/audit/verify?{}", query(noted)))?;
            if *json {
                println!("{answer:#}");
            } else {
                print!("{}", printable(&verdict(&answer)));
            }
            let whole = answer.get("ok") == Some(&Value::Bool(true));
            Ok(if whole {
                ExitCode::SUCCESS
            } else {
                ExitCode::FAILURE
            })
        }
    }
}

fn list(client: &Client<'_>, wanted: &AuditList) -> Result<Value> {
    let since = wanted.since.as_deref().map(usage::moment).transpose()?;
    let limit = wanted.limit.to_string();
    let asked = [
        ("actor", wanted.actor.as_deref()),
        ("action", wanted.action.as_deref()),
        ("since", since.as_deref()),
        ("limit", Some(limit.as_str())),
    ];
    let asked = asked.into_iter().filter_map(|(name, value)| Some((name, value?)));
    client.get(&format!("/api/audit?{}", query(asked)))
}

fn table(answer: &Value) -> String {
    let head = ["seq", "time", "actor", "action", "subject", "detail"];
    let mut rows = vec![head.map(str::to_owned).to_vec()];
    for entry in array(answer, "entries") {
        let mut row = vec![number(entry, "seq").to_string()];
        row.extend(["time", "actor", "action", "subject"].map(|name| text(entry, name).to_owned()));
        row.push(entry.get("detail").map_or_else(String::new, ToString::to_string));
        rows.push(row);
    }
    columns(&rows)
}

fn verdict(answer: &Value) -> String {
    let head = answer.get("head").unwrap_or(&Value::Null);
    let mut out = format!(
        "{} entries; the last is {} with the hash {}\n",
        number(answer, "entries"),
        number(head, "seq"),
        text(head, "hash")
    );
    for place in array(answer, "breaks") {
        let seq = number(place, "seq");
        out += &match text(place, "what") {
            "missing" => format!("entries {seq} to {} are missing\n", number(place, "last")),
            "changed" => format!("entry {seq}, or the one before it, was changed\n"),
            "beyond" => format!("entry {seq} stands behind the end of the chain\n"),
            "rewritten" => format!(
                "entry {seq} is not the one that was noted ({})\n",
                text(place, "noted_by")
            ),
            other => format!("entry {seq}: {other}\n"),
        };
    }
    let told = array(answer, "breaks").len() as u64;
    let broken = number(answer, "broken");
    if broken > told {
        out += &format!("and {} more\n", broken - told);
    }
    out += if broken == 0 {
        "the chain is whole; keep number and hash elsewhere to notice one that is written anew\n"
    } else {
        "THE CHAIN IS BROKEN\n"
    };
    out
}

fn number(value: &Value, name: &str) -> u64 {
    value.get(name).and_then(Value::as_u64).unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn a_broken_chain_is_told_place_by_place() {
        let shown = verdict(&json!({
            "ok": false, "entries": 7, "head": {"seq": 9, "hash": "aa"}, "broken": 6,
            "breaks": [
                {"what": "missing", "seq": 2, "last": 3}, {"what": "changed", "seq": 5},
                {"what": "beyond", "seq": 9}, {"what": "rewritten", "seq": 6, "noted_by": "file"},
            ],
        }));
        for part in [
            "7 entries; the last is 9 with the hash aa",
            "entries 2 to 3 are missing",
            "entry 5, or the one before it",
            "entry 9 stands behind",
            "not the one that was noted (file)",
            "and 2 more",
            "THE CHAIN IS BROKEN",
        ] {
            assert!(shown.contains(part), "{part}: {shown}");
        }
        let whole = verdict(&json!({"ok": true, "entries": 1, "head": {}, "broken": 0, "breaks": []}));
        assert!(whole.contains("the chain is whole"), "{whole}");
        let listed = table(&json!({"entries": [{"seq": 4, "actor": "root", "detail": {"a": 1}}]}));
        assert!(listed.contains("4") && listed.contains(r#"{"a":1}"#), "{listed}");
    }
}
