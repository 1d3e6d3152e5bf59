//! `sluice exporter`: how exporters of the configuration stand, and running one now.

use std::process::ExitCode;

use anyhow::{Result, bail};
use serde_json::Value;

use crate::cli::{ExporterCommand, ExporterOptions};
use crate::client::{Client, array, columns, encoded, number, printable, text};

/// Does what the subcommand says.
///
/// # Errors
/// If no instance answers, or it refuses; if the exporter that is to run cannot.
pub(crate) fn run(options: &ExporterOptions) -> Result<ExitCode> {
    let client = Client::new(&options.instance.data);
    match &options.command {
        ExporterCommand::List { json } => {
            let answer = client.get("/api/exports")?;
            if *json {
                println!("{answer:#}");
            } else {
                print!("{}", printable(&table(&answer)));
            }
        }
        ExporterCommand::Run { name } => {
            let target = format!("/api/exports/{}/run", encoded(name));
            let answer = client.call("POST", &target, None, None)?.wanted()?;
            if answer.get("running") != Some(&Value::Bool(true)) {
                bail!(
                    "{name} does not run: it is disabled, or cannot be opened; `sluice exporter list` says why"
                );
            }
            println!("{} runs", printable(text(&answer, "name")));
        }
    }
    Ok(ExitCode::SUCCESS)
}

fn table(answer: &Value) -> String {
    let head = [
        "name",
        "kind",
        "place",
        "sent",
        "waiting",
        "last success",
        "last error",
    ];
    let mut rows = vec![head.map(str::to_owned).to_vec()];
    for export in array(answer, "exports") {
        let off = export.get("disabled") == Some(&Value::Bool(true));
        let mut row = vec![format!(
            "{}{}",
            text(export, "name"),
            if off { " (disabled)" } else { "" }
        )];
        row.extend(["kind", "place"].map(|name| text(export, name).to_owned()));
        row.extend(["records", "lag_records"].map(|name| number(export, name)));
        row.push(text(export, "last_success").to_owned());
        row.push(text(export.get("last_error").unwrap_or(&Value::Null), "text").to_owned());
        rows.push(row);
    }
    columns(&rows)
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn exporters_are_told_in_columns_and_what_is_not_known_is_a_dash() {
        let shown = table(&json!({"exports": [
            {"name": "lake", "kind": "s3_parquet", "place": "s3://usage", "records": 120_311, "lag_records": null,
             "disabled": true, "last_error": {"time": "t", "text": "no such bucket"}},
        ]}));
        let row: Vec<&str> = shown.lines().nth(1).unwrap().split_whitespace().collect();
        assert_eq!(
            row,
            [
                "lake",
                "(disabled)",
                "s3_parquet",
                "s3://usage",
                "120,311",
                "-",
                "no",
                "such",
                "bucket"
            ]
        );
    }
}
