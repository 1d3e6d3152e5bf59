//! `sluice token`: tokens of this gateway, for jobs that have no identity of the network.

use std::process::ExitCode;

use anyhow::{Context, Result};
use serde_json::{Value, json};

use crate::cli::{TokenCommand, TokenCreate, TokenOptions};
use crate::client::{Client, columns, encoded, printable, text};
use crate::usage;

/// Does what the subcommand says.
///
/// # Errors
/// If no instance answers, or it refuses.
pub(crate) fn run(options: &TokenOptions) -> Result<ExitCode> {
    let client = Client::new(&options.instance.data);
    match &options.command {
        TokenCommand::Create(wanted) => create(&client, wanted)?,
        TokenCommand::List { json } => {
            let answer = client.get("/api/tokens")?;
            if *json {
                println!("{answer:#}");
            } else {
                print!("{}", printable(&table(&answer)));
                warn_if_useless(&answer);
            }
        }
        TokenCommand::Revoke { id } => {
            let answer = client.call("DELETE", &format!("/api/tokens/{}", encoded(id)), None, None)?;
            let token = answer.wanted()?;
            eprintln!(
                "{} is revoked; what runs with it ends within a second",
                printable(&described(&token))
            );
        }
    }
    Ok(ExitCode::SUCCESS)
}

/// The token alone on standard output, so that `$(sluice token create …)` is it; what there is to say on the other.
fn create(client: &Client<'_>, wanted: &TokenCreate) -> Result<()> {
    let body = wish(wanted)?;
    let token = client.call("POST", "/api/tokens", None, Some(&body))?.wanted()?;
    let secret = token["token"].as_str().context("the answer holds no token")?;
    eprintln!(
        "{}, until {}; it is shown this once: revoke with `sluice token revoke {}`",
        printable(&described(&token)),
        text(&token, "expires_at"),
        text(&token, "id"),
    );
    warn_if_useless(&token);
    println!("{secret}");
    Ok(())
}

fn wish(wanted: &TokenCreate) -> Result<Value> {
    let who = wanted.login.clone().unwrap_or_else(|| wanted.tag.join(","));
    let mut body = json!({
        "name": wanted.name.clone().unwrap_or(who),
        "tags": wanted.tag,
        "groups": wanted.group,
    });
    if let Some(login) = &wanted.login {
        body["login"] = json!(login);
    }
    if !wanted.models.is_empty() {
        body["models"] = json!(wanted.models);
    }
    if let Some(role) = &wanted.role {
        body["role"] = json!(role.name());
    }
    if let Some(expires) = &wanted.expires {
        match usage::span_s(expires) {
            Some(seconds) => body["expires_in_s"] = json!(seconds),
            None => body["expires_at"] = json!(expires),
        }
    }
    Ok(body)
}

fn warn_if_useless(answer: &Value) {
    if answer["accepted"] == false {
        eprintln!(
            "warning: \"token\" is not among identity.sources of the document in use: no token lets anybody in until it is"
        );
    }
}

fn described(token: &Value) -> String {
    let tags: Vec<&str> = token["tags"]
        .as_array()
        .into_iter()
        .flatten()
        .filter_map(Value::as_str)
        .collect();
    let who = if tags.is_empty() {
        text(token, "login").to_owned()
    } else {
        tags.join(",")
    };
    format!("token {} ({}) for {who}", text(token, "id"), text(token, "name"))
}

fn table(answer: &Value) -> String {
    let head = ["id", "name", "for", "limits", "expires", "last used", "state"];
    let mut rows = vec![head.map(str::to_owned).to_vec()];
    for token in answer["tokens"].as_array().into_iter().flatten() {
        let join = |name: &str| {
            let all = token[name]
                .as_array()
                .into_iter()
                .flatten()
                .filter_map(Value::as_str);
            all.collect::<Vec<_>>().join(",")
        };
        let who = [text(token, "login").to_owned(), join("tags"), join("groups")];
        let mut limits: Vec<String> = token["role"].as_str().map(str::to_owned).into_iter().collect();
        limits.extend(Some(join("models")).filter(|models| !models.is_empty()));
        let moment = |name: &str| {
            let time = text(token, name);
            time.get(..16)
                .map_or_else(|| "-".to_owned(), |t| t.replace('T', " "))
        };
        rows.push(vec![
            text(token, "id").to_owned(),
            text(token, "name").to_owned(),
            who.iter()
                .filter(|w| !w.is_empty())
                .cloned()
                .collect::<Vec<_>>()
                .join(" "),
            if limits.is_empty() {
                "-".to_owned()
            } else {
                limits.join(" ")
            },
            moment("expires_at"),
            moment("last_used_at"),
            if token["revoked_at"].is_null() {
                ""
            } else {
                "revoked"
            }
            .to_owned(),
        ]);
    }
    columns(&rows)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::cli::TokenRole;

    #[test]
    fn wishes_say_what_was_asked_for_and_no_more() {
        let wanted = TokenCreate {
            login: None,
            tag: vec!["tag:ci".into()],
            group: Vec::new(),
            models: vec!["openai/**".into()],
            role: Some(TokenRole::User),
            expires: Some("90d".into()),
            name: None,
        };
        assert_eq!(
            wish(&wanted).unwrap(),
            json!({ "name": "tag:ci", "tags": ["tag:ci"], "groups": [], "models": ["openai/**"], "role": "user", "expires_in_s": 7_776_000 })
        );
        let dated = TokenCreate {
            expires: Some("2027-01-01T00:00:00Z".into()),
            ..wanted
        };
        assert_eq!(wish(&dated).unwrap()["expires_at"], "2027-01-01T00:00:00Z");
    }

    #[test]
    fn tokens_for_people() {
        let answer = json!({ "tokens": [
            { "id": "abcd1234", "name": "ci", "login": "", "tags": ["tag:ci"], "groups": [], "models": ["openai/**"], "role": "user",
              "expires_at": "2027-02-20T06:00:00.000000Z", "last_used_at": null, "revoked_at": null },
        ] });
        assert_eq!(
            table(&answer),
            "id        name  for     limits          expires           last used  state\n\
             abcd1234  ci    tag:ci  user openai/**  2027-02-20 06:00  -\n"
        );
    }
}
