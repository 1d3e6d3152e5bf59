//! Which tools a request offers, in the words of each API, and whether a rule allows them.

use serde_json::Value;
use sluice_shared::snapshot::ToolRule;

/// A tool that is offered or chosen, or a server whose tools are.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Offered {
    pub(super) name: Option<String>,
    pub(super) server: Option<String>,
}

/// Top-level keys whose values name tools.
pub(super) const KEYS: &[&[u8]] = &[
    b"tools",
    b"tool_choice",
    b"toolConfig",
    b"tool_config",
    b"mcp_servers",
    b"functions",
    b"function_call",
];

/// The tools that the value of one of [`KEYS`] names.
pub(super) fn offered(key: &[u8], value: &Value) -> Vec<Offered> {
    let mut out = Vec::new();
    match key {
        b"mcp_servers" => each(value, &mut |server| named_server(server, &mut out)),
        b"toolConfig" | b"tool_config" => {
            each(&value["tools"], &mut |tool| declared(tool, &mut out));
            name(&value["toolChoice"]["tool"]["name"], &mut out);
            let calling = [&value["functionCallingConfig"], &value["function_calling_config"]];
            for calling in calling {
                for names in [
                    &calling["allowedFunctionNames"],
                    &calling["allowed_function_names"],
                ] {
                    each(names, &mut |one| name(one, &mut out));
                }
            }
        }
        _ => each(value, &mut |tool| declared(tool, &mut out)),
    }
    out
}

fn each(value: &Value, with: &mut dyn FnMut(&Value)) {
    match value {
        Value::Array(values) => values.iter().for_each(with),
        Value::Null => {}
        one => with(one),
    }
}

fn name(value: &Value, out: &mut Vec<Offered>) {
    if let Some(name) = value.as_str() {
        out.push(Offered {
            name: Some(name.to_owned()),
            server: None,
        });
    }
}

/// Tools of a server: those that are picked out, or any.
fn of_server(server: &str, picked: &Value, out: &mut Vec<Offered>) {
    let mut any = true;
    let names = if picked.is_object() {
        &picked["tool_names"]
    } else {
        picked
    };
    each(names, &mut |one| {
        if let Some(tool) = one.as_str() {
            any = false;
            out.push(Offered {
                name: Some(format!("mcp__{server}__{tool}")),
                server: Some(server.to_owned()),
            });
        }
    });
    if any {
        out.push(Offered {
            name: Some(format!("mcp__{server}__*")),
            server: Some(server.to_owned()),
        });
    }
}

fn named_server(server: &Value, out: &mut Vec<Offered>) {
    if let Some(label) = server["name"].as_str() {
        of_server(label, &server["tool_configuration"]["allowed_tools"], out);
    }
}

/// A tool as it is declared or chosen: OpenAI (chat, responses, legacy functions), Anthropic, Gemini, Bedrock, Ollama.
fn declared(tool: &Value, out: &mut Vec<Offered>) {
    let kind = tool["type"].as_str().unwrap_or_default();
    if let Some(server) = tool["server_label"]
        .as_str()
        .or_else(|| tool["mcp_server_name"].as_str())
    {
        let one = tool["name"].as_str().is_some();
        return of_server(
            server,
            if one {
                &tool["name"]
            } else {
                &tool["allowed_tools"]
            },
            out,
        );
    }
    let before = out.len();
    for holder in [
        tool,
        &tool["function"],
        &tool["custom"],
        &tool["toolSpec"],
        &tool["systemTool"],
        &tool["tool"],
    ] {
        name(&holder["name"], out);
    }
    for list in [
        "functionDeclarations",
        "function_declarations",
        "allowed_tools",
        "tools",
    ] {
        let list = &tool[list];
        let list = if list.is_object() { &list["tools"] } else { list };
        each(list, &mut |tool| declared(tool, out));
    }
    if out.len() > before {
        return;
    }
    let hosted = !matches!(
        kind,
        "" | "function" | "custom" | "auto" | "any" | "none" | "required" | "tool"
    );
    if hosted {
        out.push(Offered {
            name: Some(kind.to_owned()),
            server: None,
        });
    } else if kind.is_empty()
        && let Some(keys) = tool.as_object()
    {
        // Gemini names tools that the provider runs by a key: `googleSearch`, `codeExecution`.
        out.extend(
            keys.iter()
                .filter(|(_, value)| value.is_object())
                .map(|(key, _)| Offered {
                    name: Some(key.clone()),
                    server: None,
                }),
        );
    }
}

/// Whether a rule allows a tool of this name. `mcp__SERVER__tool` is one of a server.
pub(super) fn allows(rule: &ToolRule, tool: &str) -> bool {
    let listed = |globs: &[String]| globs.iter().any(|glob| matches(glob, tool));
    !listed(&rule.deny)
        && (rule.allow.is_empty() || listed(&rule.allow))
        && server_of(tool).is_none_or(|server| allows_server(rule, server))
}

/// Whether a rule allows tools of this server.
pub(super) fn allows_server(rule: &ToolRule, server: &str) -> bool {
    let listed = |globs: &[String]| globs.iter().any(|glob| matches(glob, server));
    !listed(&rule.deny_servers) && (rule.allow_servers.is_empty() || listed(&rule.allow_servers))
}

/// Whether a rule says anything of tools.
pub(super) const fn concerns(rule: &ToolRule) -> bool {
    !(rule.allow.is_empty()
        && rule.deny.is_empty()
        && rule.allow_servers.is_empty()
        && rule.deny_servers.is_empty())
}

fn server_of(tool: &str) -> Option<&str> {
    let (server, _) = tool.strip_prefix("mcp__")?.split_once("__")?;
    Some(server)
}

/// Whether a whole text matches a glob in which `*` stands for any text. One point to go back to is enough: a later star can
/// take over what an earlier one would give up.
fn matches(glob: &str, text: &str) -> bool {
    let (glob, text) = (glob.as_bytes(), text.as_bytes());
    let (mut g, mut t) = (0, 0);
    let mut back = None;
    while t < text.len() {
        if glob.get(g) == Some(&b'*') {
            back = Some((g + 1, t));
            g += 1;
        } else if glob.get(g) == text.get(t) {
            g += 1;
            t += 1;
        } else if let Some((after, from)) = back {
            back = Some((after, from + 1));
            (g, t) = (after, from + 1);
        } else {
            return false;
        }
    }
    glob.get(g..).unwrap_or_default().iter().all(|byte| *byte == b'*')
}
