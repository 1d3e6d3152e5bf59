//! What a request asks: the user's last words and the tools it offers.

use serde_json::Value;
use sluice_shared::api::ApiKind;

use super::join::{items, text, word};

/// Most tools named.
const TOOLS_MAX: usize = 4096;

/// The text of the last user message, its parts joined by line ends.
///
/// A message of the user that holds no text (results of tools, pictures) is passed over: what the person said last
/// stands before it. `None` where there is no such message.
#[must_use]
pub fn user_message(api: ApiKind, request: &Value) -> Option<String> {
    let is_google = matches!(
        api,
        ApiKind::GeminiGenerate
            | ApiKind::GeminiCountTokens
            | ApiKind::VertexGenerate
            | ApiKind::VertexCountTokens
    );
    // Code Assist and Gemini's token counting wrap the request.
    let request = ["request", "generateContentRequest", "generate_content_request"]
        .iter()
        .find_map(|key| request.get(key).filter(|inner| is_google && inner.is_object()))
        .unwrap_or(request);
    for key in ["messages", "input", "contents", "prompt", "inputText", "message"] {
        match request.get(key) {
            Some(Value::String(said)) if !said.is_empty() => return Some(said.clone()),
            // One message by itself: Gemini's SDKs may leave the list out.
            Some(one @ Value::Object(_)) => {
                if let Some(said) = said_by_user(one, is_google) {
                    return Some(said);
                }
            }
            Some(Value::Array(all)) => {
                let said = all.iter().rev().find_map(|message| match message {
                    Value::String(said) => Some(said.clone()).filter(|said| !said.is_empty()),
                    message => said_by_user(message, is_google),
                });
                if said.is_some() {
                    return said;
                }
            }
            _ => {}
        }
    }
    None
}

fn said_by_user(message: &Value, is_google: bool) -> Option<String> {
    match text(message, "role") {
        Some(role) if role.eq_ignore_ascii_case("user") => {}
        None if is_google => {}
        // Parts directly in the list: one message.
        None if matches!(text(message, "type"), Some("input_text" | "text")) => {}
        _ => return None,
    }
    let mut said = Vec::new();
    for key in ["content", "parts", "text"] {
        match message.get(key) {
            Some(Value::String(part)) => said.push(part.as_str()),
            Some(Value::Array(parts)) => said.extend(parts.iter().filter_map(part_text)),
            Some(part @ Value::Object(_)) => said.extend(part_text(part)),
            _ => {}
        }
    }
    said.retain(|part| !part.is_empty());
    (!said.is_empty()).then(|| said.join("\n"))
}

fn part_text(part: &Value) -> Option<&str> {
    match part {
        Value::String(part) => Some(part),
        part => text(part, "text"),
    }
}

/// The names of the tools that the request offers to the model, each once, in their order.
///
/// A tool without a name is called by its kind (`web_search`, `googleSearch`), an MCP server `mcp:` and its label or name.
#[must_use]
pub fn tools_offered(api: ApiKind, request: &Value) -> Vec<String> {
    let mut names: Vec<String> = Vec::new();
    let mut offer = |name: &str| {
        if !name.is_empty() && names.len() < TOOLS_MAX {
            names.push(name.to_owned());
        }
    };
    let request = match api {
        ApiKind::GeminiGenerate | ApiKind::VertexGenerate | ApiKind::GeminiCountTokens => request
            .get("request")
            .filter(|inner| inner.is_object())
            .unwrap_or(request),
        _ => request,
    };
    for tool in items(request, "tools") {
        tool_names(tool, &mut offer);
    }
    for function in items(request, "functions") {
        offer(text(function, "name").unwrap_or_default());
    }
    if let Some(config) = request.get("toolConfig") {
        for tool in items(config, "tools") {
            tool_names(tool, &mut offer);
        }
    }
    for server in items(request, "mcp_servers") {
        offer(&format!("mcp:{}", word(server, "name").unwrap_or_default()));
    }
    let mut seen = std::collections::HashSet::new();
    names.retain(|name| seen.insert(name.clone()));
    names
}

fn tool_names(tool: &Value, offer: &mut impl FnMut(&str)) {
    for list in ["functionDeclarations", "function_declarations"] {
        for function in items(tool, list) {
            offer(text(function, "name").unwrap_or_default());
        }
    }
    let inner = ["function", "custom", "toolSpec", "systemTool"]
        .iter()
        .find_map(|key| tool.get(key).and_then(|inner| word(inner, "name")));
    let kind = text(tool, "type");
    match (inner.or_else(|| word(tool, "name")), kind) {
        // Codex: a group of tools under one name.
        (Some(group), Some("namespace")) => {
            for inner in items(tool, "tools") {
                offer(&format!("{group}.{}", word(inner, "name").unwrap_or_default()));
            }
        }
        (Some(name), _) => offer(name),
        (None, Some("mcp")) => offer(&format!("mcp:{}", word(tool, "server_label").unwrap_or_default())),
        (None, Some(kind)) => offer(kind),
        // Gemini: a tool of Google's is a member by its name; Bedrock's cache points are none.
        (None, None) => {
            for (key, value) in tool.as_object().into_iter().flatten() {
                if value.is_object() && !matches!(key.as_str(), "cachePoint" | "function" | "toolSpec") {
                    offer(key);
                }
            }
        }
    }
}
