//! `sluice hook`: how deliveries to hooks stand, and the events that could not be delivered.

use std::process::ExitCode;

use anyhow::Result;
use serde_json::Value;

use crate::cli::{HookCommand, HookOptions};
use crate::client::{Client, array, columns, encoded, number, printable, query, text};

/// Does what the subcommand says.
///
/// # Errors
/// If no instance answers, or it refuses.
pub(crate) fn run(options: &HookOptions) -> Result<ExitCode> {
    let client = Client::new(&options.instance.data);
    let (answer, json, shown): (Value, bool, fn(&Value) -> String) = match &options.command {
        HookCommand::List { json } => (client.get("/api/hooks")?, *json, hooks),
        HookCommand::Dead { hook, limit, json } => {
            let limit = limit.to_string();
            let asked = [("hook", hook.as_deref()), ("limit", Some(limit.as_str()))];
            let asked = asked.into_iter().filter_map(|(name, value)| Some((name, value?)));
            let answer = client.get(&format!("/api/hooks/dead?{}", query(asked)))?;
            (answer, *json, dead)
        }
        HookCommand::Retry { id } => {
            let target = format!("/api/hooks/dead/{}/retry", encoded(id));
            (
                client.call("POST", &target, None, None)?.wanted()?,
                false,
                |letter| {
                    format!(
                        "{} of {} waits again\n",
                        text(letter, "event"),
                        text(letter, "hook")
                    )
                },
            )
        }
        HookCommand::Remove { id } => {
            let target = format!("/api/hooks/dead/{}", encoded(id));
            (
                client.call("DELETE", &target, None, None)?.wanted()?,
                false,
                |letter| {
                    format!(
                        "{} of {} is removed\n",
                        text(letter, "event"),
                        text(letter, "hook")
                    )
                },
            )
        }
    };
    if json {
        println!("{answer:#}");
    } else {
        print!("{}", printable(&shown(&answer)));
    }
    Ok(ExitCode::SUCCESS)
}

fn hooks(answer: &Value) -> String {
    let head = ["name", "waiting", "delivered", "failed", "dead", "last error"];
    let mut rows = vec![head.map(str::to_owned).to_vec()];
    for hook in array(answer, "hooks") {
        let gone = hook.get("configured") == Some(&Value::Bool(false));
        let mut row = vec![format!(
            "{}{}",
            text(hook, "name"),
            if gone { " (gone)" } else { "" }
        )];
        row.extend(["waiting", "delivered", "failed", "dead"].map(|name| number(hook, name)));
        row.push(text(hook, "last_error").to_owned());
        rows.push(row);
    }
    columns(&rows)
}

fn dead(answer: &Value) -> String {
    let head = ["id", "died", "hook", "event", "user", "model", "tries", "error"];
    let mut rows = vec![head.map(str::to_owned).to_vec()];
    for letter in array(answer, "dead") {
        let mut row: Vec<String> = ["id", "died", "hook", "event", "user", "model"]
            .map(|name| text(letter, name).to_owned())
            .to_vec();
        row.push(number(letter, "tries"));
        row.push(text(letter, "error").to_owned());
        rows.push(row);
    }
    let mut out = columns(&rows);
    if !text(answer, "next_cursor").is_empty() {
        out += "and more: raise --limit\n";
    }
    out
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn hooks_and_dead_letters_are_told_in_columns() {
        let shown = hooks(&json!({"hooks": [
            {"name": "ledger", "configured": true, "waiting": 1200, "delivered": 3, "failed": 0, "dead": 0, "last_error": null},
            {"name": "old", "configured": false, "waiting": 0, "delivered": 0, "failed": 9, "dead": 2, "last_error": "HTTP 500"},
        ]}));
        let lines: Vec<Vec<&str>> = shown.lines().map(|l| l.split_whitespace().collect()).collect();
        assert_eq!(lines[1], ["ledger", "1,200", "3", "0", "0"]);
        assert_eq!(lines[2], ["old", "(gone)", "0", "0", "9", "2", "HTTP", "500"]);
        let shown = dead(
            &json!({"dead": [{"id": "7", "hook": "h", "event": "entire_request", "tries": 5, "error": "refused"}], "next_cursor": "x"}),
        );
        assert!(
            shown.contains("\n7 ") && shown.contains("refused") && shown.ends_with("raise --limit\n"),
            "{shown}"
        );
    }
}
