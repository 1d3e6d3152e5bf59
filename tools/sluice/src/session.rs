//! `sluice session`: conversations, what they cost, and the agents in them.

use std::process::ExitCode;

use anyhow::Result;
use serde_json::Value;

use crate::cli::{SessionCommand, SessionList, SessionOptions};
use crate::client::{Client, array, columns, encoded, number, printable, query, text};
use crate::usage;

/// Does what the subcommand says.
///
/// # Errors
/// If no instance answers, or it refuses.
pub(crate) fn run(options: &SessionOptions) -> Result<ExitCode> {
    let client = Client::new(&options.instance.data);
    let (answer, json, shown): (Value, bool, fn(&Value) -> String) = match &options.command {
        SessionCommand::List(wanted) => (list(&client, wanted)?, wanted.json, table),
        SessionCommand::Show { id, json } => {
            let answer = client.get(&format!("/api/sessions/{}", encoded(id)))?;
            (answer, *json, one)
        }
    };
    if json {
        println!("{answer:#}");
    } else {
        print!("{}", printable(&shown(&answer)));
    }
    Ok(ExitCode::SUCCESS)
}

fn list(client: &Client<'_>, wanted: &SessionList) -> Result<Value> {
    let since = wanted.since.as_deref().map(usage::moment).transpose()?;
    let limit = wanted.limit.to_string();
    let asked = [
        ("user", wanted.user.as_deref()),
        ("client", wanted.client.as_deref()),
        ("model", wanted.model.as_deref()),
        ("since", since.as_deref()),
        ("limit", Some(limit.as_str())),
    ];
    let asked = asked.into_iter().filter_map(|(name, value)| Some((name, value?)));
    client.get(&format!("/api/sessions?{}", query(asked)))
}

fn table(answer: &Value) -> String {
    let head = [
        "id", "last", "user", "client", "requests", "errors", "in", "out", "cost USD",
    ];
    let mut rows = vec![head.map(str::to_owned).to_vec()];
    for session in array(answer, "sessions") {
        let mut row: Vec<String> = ["id", "last", "user", "client"]
            .map(|name| text(session, name).to_owned())
            .to_vec();
        row.extend(["requests", "errors", "input", "output"].map(|name| number(session, name)));
        row.push(cost(session));
        rows.push(row);
    }
    columns(&rows)
}

fn one(session: &Value) -> String {
    let mut out = String::new();
    for name in [
        "id",
        "key",
        "source",
        "user",
        "node",
        "client",
        "user_agent",
        "parent",
        "first",
        "last",
    ] {
        let value = text(session, name);
        if !value.is_empty() {
            out += &format!("{name:<10}  {value}\n");
        }
    }
    let mut rows = vec![
        ["", "requests", "errors", "in", "out", "tool calls", "cost USD"]
            .map(str::to_owned)
            .to_vec(),
        line("all", session),
    ];
    branch(session.get("tree").unwrap_or(&Value::Null), 0, &mut rows);
    for model in array(session, "models") {
        rows.push(line(&format!("model {}", text(model, "model")), model));
    }
    for child in array(session, "sessions") {
        rows.push(line(&format!("session {}", text(child, "id")), child));
    }
    out += &columns(&rows);
    for tool in array(session, "tools") {
        out += &format!("tool {}: {}\n", text(tool, "name"), number(tool, "calls"));
    }
    out
}

/// An agent, and those below it, indented.
fn branch(agent: &Value, depth: usize, rows: &mut Vec<Vec<String>>) {
    let name = agent.get("agent").and_then(Value::as_str).unwrap_or("(main)");
    rows.push(line(&format!("{}agent {name}", "  ".repeat(depth)), agent));
    for below in array(agent, "agents") {
        branch(below, depth + 1, rows);
    }
}

fn line(name: &str, sums: &Value) -> Vec<String> {
    let mut row = vec![name.to_owned()];
    row.extend(["requests", "errors", "input", "output", "tool_calls"].map(|name| number(sums, name)));
    row.push(cost(sums));
    row
}

fn cost(sums: &Value) -> String {
    let nano = sums.get("cost_nanousd").and_then(Value::as_u64);
    nano.map_or_else(|| "-".to_owned(), usage::dollars)
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn a_session_is_shown_with_its_agents() {
        let sums = json!({"requests": 1200, "errors": 1, "input": 5, "output": 7, "tool_calls": 2, "cost_nanousd": 1_500});
        let with = |more: Value| {
            let mut all = sums.clone();
            all.as_object_mut()
                .unwrap()
                .extend(more.as_object().unwrap().clone());
            all
        };
        let session = with(json!({
            "id": "ab", "key": "k", "parent": null,
            "tree": {"agent": null, "agents": [with(json!({"agent": "explore", "agents": []}))]},
            "models": [with(json!({"model": "m"}))], "sessions": [], "tools": [{"name": "Bash", "calls": 2}],
        }));
        let shown = one(&session);
        let lines: Vec<Vec<&str>> = shown.lines().map(|l| l.split_whitespace().collect()).collect();
        assert_eq!(lines[0], ["id", "ab"]);
        assert_eq!(lines[3], ["all", "1,200", "1", "5", "7", "2", "0.000002"]);
        // With agents left out, nobody knows what the main one did.
        assert_eq!(lines[4], ["agent", "(main)", "-", "-", "-", "-", "-", "-"]);
        assert!(shown.contains("\n  agent explore"), "{shown}");
        assert_eq!(lines.last().unwrap(), &["tool", "Bash:", "2"]);
        let listed = table(&json!({"sessions": [session]}));
        assert_eq!(
            listed.lines().nth(1).unwrap().split_whitespace().next(),
            Some("ab")
        );
    }
}
