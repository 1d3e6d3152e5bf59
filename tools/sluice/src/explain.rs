//! `sluice explain`: who may do what, by which grant, or what is missing. Asked from a running instance, or answered
//! here for a document that is not in use.

use std::path::Path;
use std::process::ExitCode;

use anyhow::{Context, Result, bail};
use serde_json::Value;
use sluice_controlplane::{ExplainError, Question};

use crate::cli::ExplainOptions;
use crate::client::{Client, printable, query};
use crate::environment;

/// Asked and answered, and the answer is no.
const DENIED: u8 = 3;

/// Prints a few lines, or the API's JSON.
///
/// # Errors
/// If there is no answer: no instance, a bad document, a bad question.
pub(crate) fn run(options: &ExplainOptions) -> Result<ExitCode> {
    let answer = match &options.config {
        Some(file) => offline(options, file)?,
        None => Client::new(&options.instance.data).get(&format!("/api/explain?{}", parameters(options)))?,
    };
    if options.json {
        println!("{answer:#}");
    } else {
        print!("{}", printable(&lines(&answer)));
    }
    Ok(if allowed(&answer) {
        ExitCode::SUCCESS
    } else {
        ExitCode::from(DENIED)
    })
}

fn parameters(options: &ExplainOptions) -> String {
    let address = options.address.map(|address| address.to_string());
    let one = [
        ("as", options.login.as_deref()),
        ("address", address.as_deref()),
        ("source", options.source.as_deref()),
        ("model", options.model.as_deref()),
        ("api", options.api.as_deref()),
    ];
    let one = one.into_iter().filter_map(|(name, value)| Some((name, value?)));
    let tags = options.tag.iter().map(|tag| ("tag", tag.as_str()));
    let groups = options.group.iter().map(|group| ("group", group.as_str()));
    query(one.chain(tags).chain(groups))
}

fn offline(options: &ExplainOptions, file: &Path) -> Result<Value> {
    let text = std::fs::read_to_string(file).with_context(|| format!("cannot read {}", file.display()))?;
    let folder = file
        .parent()
        .filter(|folder| !folder.as_os_str().is_empty())
        .unwrap_or_else(|| Path::new("."));
    let question = Question {
        login: options.login.clone(),
        tags: options.tag.clone(),
        groups: options.group.clone(),
        address: options.address,
        source: options.source.clone(),
        model: options.model.clone(),
        api: options.api.clone(),
    };
    match sluice_controlplane::explain(&text, &environment::readable(), folder, &question) {
        Ok(answer) => Ok(answer),
        Err(ExplainError::Document(report)) => {
            for error in &report.errors {
                eprintln!("error: {}:{error}", file.display());
            }
            bail!("{} cannot be used; mend it first (sluice check)", file.display())
        }
        Err(error) => Err(error.into()),
    }
}

/// With a model: whether any API serves it to them. Without: whether they have a role.
fn allowed(answer: &Value) -> bool {
    if answer["model"].is_null() {
        return !answer["role"].is_null();
    }
    list(&answer["model"]["apis"]).any(|api| api["outcome"] == "allowed")
}

fn lines(answer: &Value) -> String {
    let mut out = String::new();
    let mut line = |text: String| {
        out.push_str(&text);
        out.push('\n');
    };
    let who = &answer["principal"];
    if who.is_null() {
        line(format!("nobody: {}", text(&answer["missing"])));
        return out;
    }
    let mut about = vec![];
    for (name, value) in [("tags", &who["tags"]), ("groups", &who["groups"])] {
        let all: Vec<&str> = list(value).map(text).collect();
        if !all.is_empty() {
            about.push(format!("{name} {}", all.join(" ")));
        }
    }
    for (name, value) in [("source", &who["source"]), ("node", &who["node"])] {
        if !text(value).is_empty() {
            about.push(format!("{name} {}", text(value)));
        }
    }
    about.push(format!("according to {}", text(&who["from"])));
    line(format!("{} ({})", text(&who["login"]), about.join(", ")));
    match answer["role"].as_str() {
        Some(role) => line(format!("role {role}, by {}", grants(&answer["role_by"]))),
        None => line(text(&answer["missing"]).to_owned()),
    }
    let model = &answer["model"];
    if model.is_null() {
        for grant in list(&answer["grants"]) {
            for capability in list(&grant["capabilities"]).filter(|c| c["grants_models"] == true) {
                let models: Vec<&str> = list(&capability["models"]).map(text).collect();
                let models = if capability["models"].is_null() {
                    "every model".to_owned()
                } else {
                    format!("models {}", models.join(" "))
                };
                line(format!("{models}, by {}", by(grant)));
            }
        }
        return out;
    }
    if let Some(alias) = model["alias_of"].as_str() {
        line(format!("{} is an alias of {alias}", text(&model["asked"])));
    }
    if let Some(missing) = model["missing"].as_str() {
        line(format!("not served: {missing}"));
    }
    for api in list(&model["apis"]) {
        let name = text(&api["api"]);
        match api["missing"].as_str() {
            Some(missing) => {
                let word = if api["outcome"] == "not_served" {
                    "not served"
                } else {
                    "not allowed"
                };
                // The same as above needs no second telling.
                if model["missing"].is_null() {
                    line(format!("{word} on {name}: {missing}"));
                }
            }
            None => {
                let mut told: Vec<String> = Vec::new();
                let tried = list(&api["candidates"]).filter(|c| c["granted"] == true);
                let tried: Vec<String> = tried
                    .map(|c| {
                        format!(
                            "{}/{} by {}",
                            text(&c["provider"]),
                            text(&c["model"]),
                            grants(&c["granted_by"])
                        )
                    })
                    .collect();
                line(format!("allowed on {name}: {}", tried.join(", then ")));
                let granted = list(&api["candidates"]).filter(|c| c["granted"] == true);
                for (at, candidate) in granted.enumerate() {
                    for said in list(&candidate["quotas"]).flat_map(budget) {
                        // What counts for the first counts for the others, too, unless a name says which it is.
                        let of = format!("{}/{}", text(&candidate["provider"]), text(&candidate["model"]));
                        if at == 0 {
                            told.push(said.clone());
                            line(format!("  counts for {said}"));
                        } else if !told.contains(&said) {
                            line(format!("  counts for {said}, with {of}"));
                        }
                    }
                }
            }
        }
    }
    out
}

/// A budget's buckets, each with what is left of it.
fn budget(quota: &Value) -> Vec<String> {
    let by = text(&quota["grant"]);
    if quota["usable"] == false {
        let name = text(&quota["quota"]);
        return vec![format!(
            "{name:?} by {by}, which is not defined or cannot be read: every call is refused"
        )];
    }
    let limit = |limit: &Value| {
        let shown = &limit["display"];
        let rate = shown["rate"]
            .as_str()
            .map_or_else(String::new, |rate| format!(" (refilled {rate})"));
        let what = match text(&limit["unit"]) {
            "usd" => String::new(),
            unit => format!(" {unit}"),
        };
        let capacity = text(&shown["capacity"]);
        match shown["balance"].as_str() {
            Some(balance) => format!("{balance} of {capacity}{what} left{rate}"),
            None => format!("{capacity}{what}{rate}"),
        }
    };
    let bucket = |bucket: &Value| {
        let limits: Vec<String> = list(&bucket["limits"]).map(limit).collect();
        format!("{} by {by}: {}", text(&bucket["bucket"]), limits.join(", "))
    };
    list(&quota["buckets"]).map(bucket).collect()
}

fn grants(list_of: &Value) -> String {
    let all: Vec<String> = list(list_of).map(by).collect();
    all.join(" and ")
}

fn by(grant: &Value) -> String {
    let sources: Vec<&str> = list(&grant["sources"]).map(text).collect();
    if sources.is_empty() {
        text(&grant["grant"]).to_owned()
    } else {
        format!("{} ({})", text(&grant["grant"]), sources.join(", "))
    }
}

fn list(value: &Value) -> impl Iterator<Item = &Value> {
    value.as_array().into_iter().flatten()
}

fn text(value: &Value) -> &str {
    value.as_str().unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use std::collections::HashMap;

    use super::*;

    const DOCUMENT: &str = r#"{
      "providers": {"a": {"baseurl": "http://a", "models": ["m*"]}, "b": {"baseurl": "http://b", "models": ["m*"], "preference": -1}},
      "model_aliases": {"best": "m1"},
      "grants": [
        {"src": ["alice", "group:eng"], "capabilities": [{"role": "user", "models": "**"}]},
        {"src": ["bob"], "capabilities": [{"role": "user", "models": "x/**"}]},
        {"src": ["dave"], "capabilities": [{"role": "user", "models": "**",
          "quotas": [{"bucket": "daily:<user>"}, {"bucket": "on:<provider>"}, {"bucket": "gone"}]}]},
      ],
      "quotas": {"daily:<user>": {"capacity": "$10.00", "rate": "$5.00/day", "requests": 100}, "on:<provider>": {"tokens": "1M/day"}},
    }"#;

    fn check(login: &str, group: &str, model: Option<&str>, expected: &str, ok: bool) {
        let question = Question {
            login: Some(login.to_owned()),
            groups: Some(group.to_owned())
                .filter(|g| !g.is_empty())
                .into_iter()
                .collect(),
            model: model.map(str::to_owned),
            ..Question::default()
        };
        let answer =
            sluice_controlplane::explain(DOCUMENT, &HashMap::new(), Path::new("."), &question).unwrap();
        assert_eq!(
            (lines(&answer).as_str(), allowed(&answer)),
            (expected, ok),
            "{answer:#}"
        );
    }

    #[test]
    fn budgets_that_count_are_named() {
        check(
            "dave",
            "",
            Some("m1"),
            "dave (according to the question)\n\
             role user, by grants[2] (dave)\n\
             allowed on openai_chat: a/m1 by grants[2] (dave), then b/m1 by grants[2] (dave)\n  \
               counts for daily:dave by grants[2]: $10.00 (refilled $5.00/day), 100 requests\n  \
               counts for on:a by grants[2]: 1M tokens (refilled 1M/day)\n  \
               counts for \"gone\" by grants[2], which is not defined or cannot be read: every call is refused\n  \
               counts for on:b by grants[2]: 1M tokens (refilled 1M/day), with b/m1\n",
            true,
        );
        let asked = serde_json::json!({ "quota": "d", "grant": "grants[0]", "usable": true, "buckets": [{ "bucket": "d", "limits": [
            { "unit": "usd", "display": { "capacity": "$10.00", "balance": "-$0.40", "rate": null } },
        ] }] });
        assert_eq!(budget(&asked), ["d by grants[0]: -$0.40 of $10.00 left"]);
    }

    #[test]
    fn answers_in_a_few_lines() {
        check(
            "alice",
            "",
            Some("best"),
            "alice (according to the question)\n\
             role user, by grants[0] (alice)\n\
             best is an alias of m1\n\
             allowed on openai_chat: a/m1 by grants[0] (alice), then b/m1 by grants[0] (alice)\n",
            true,
        );
        check(
            "bob",
            "",
            Some("m1"),
            "bob (according to the question)\n\
             role user, by grants[1] (bob)\n\
             not allowed on openai_chat: role user by grants[1] (bob), but no capability names a glob that matches a/m1 or b/m1\n",
            false,
        );
        check(
            "carol",
            "group:eng",
            None,
            "carol (groups group:eng, according to the question)\n\
             role user, by grants[0] (group:eng)\n\
             models **, by grants[0] (group:eng)\n",
            true,
        );
        check(
            "bob",
            "",
            Some("gpt"),
            "bob (according to the question)\n\
             role user, by grants[1] (bob)\n\
             not served: no enabled provider serves gpt on any API\n",
            false,
        );
    }
}
