//! The tool calls in an answer.

use serde_json::Value;
use sluice_shared::api::ApiKind;

use super::join::{items, text, word};

/// Most tool calls taken from one answer.
const CALLS_MAX: usize = 4096;

/// A call that the model asks for.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct ToolCall {
    /// The provider's id; empty where it gives none (Gemini, Ollama).
    pub id: String,
    /// Name of the tool. A tool of the provider that has no name is called by its kind: `web_search`, `code_execution`.
    pub name: String,
    /// JSON text as made by the model: as it was sent where the API sends text, else written out again. Half of it where
    /// the stream was cut. Free text for OpenAI's custom tools, empty where a call has no arguments.
    pub arguments: String,
    /// Run by the provider, not by the client.
    pub hosted: bool,
}

/// The tool calls of an answer in their order, at most 4,096.
#[must_use]
pub fn tool_calls(api: ApiKind, answer: &Value) -> Vec<ToolCall> {
    let mut calls = Vec::new();
    match api {
        ApiKind::OpenAiChat | ApiKind::OpenAiCompletions => chat(answer, &mut calls),
        ApiKind::OpenAiResponses => responses(answer, &mut calls),
        ApiKind::AnthropicMessages | ApiKind::VertexRawPredict => messages(answer, &mut calls),
        ApiKind::GeminiGenerate | ApiKind::VertexGenerate => gemini(answer, &mut calls),
        ApiKind::BedrockConverse => converse(answer, &mut calls),
        ApiKind::BedrockInvoke => {
            chat(answer, &mut calls);
            messages(answer, &mut calls);
            converse(answer, &mut calls);
            cohere(answer, &mut calls);
        }
        ApiKind::OllamaChat => {
            if let Some(message) = answer.get("message") {
                functions(message, &mut calls);
            }
        }
        ApiKind::OpenAiEmbeddings
        | ApiKind::OpenAiImages
        | ApiKind::OpenAiAudio
        | ApiKind::OpenAiModerations
        | ApiKind::OpenAiRerank
        | ApiKind::AnthropicCountTokens
        | ApiKind::GeminiCountTokens
        | ApiKind::GeminiEmbed
        | ApiKind::VertexCountTokens
        | ApiKind::VertexPredict
        | ApiKind::BedrockCountTokens
        | ApiKind::OllamaEmbed => {}
    }
    // Snowflake has an empty call beside every answer.
    calls.retain(|call| !(call.id.is_empty() && call.name.is_empty()));
    calls.truncate(CALLS_MAX);
    calls
}

/// Arguments as text: a string is the text itself.
fn written(arguments: Option<&Value>) -> String {
    match arguments {
        None | Some(Value::Null) => String::new(),
        Some(Value::String(text)) => text.clone(),
        Some(other) => other.to_string(),
    }
}

fn owned(text: Option<&str>) -> String {
    text.unwrap_or_default().to_owned()
}

fn chat(answer: &Value, calls: &mut Vec<ToolCall>) {
    for choice in items(answer, "choices") {
        if let Some(message) = choice.get("message") {
            functions(message, calls);
        }
    }
}

/// `tool_calls` of a message, and the `function_call` that was before them.
fn functions(message: &Value, calls: &mut Vec<ToolCall>) {
    for call in items(message, "tool_calls") {
        let (what, arguments) = match (call.get("function"), call.get("custom")) {
            (Some(function), _) => (function, "arguments"),
            (None, Some(custom)) => (custom, "input"),
            (None, None) => continue,
        };
        calls.push(ToolCall {
            id: owned(text(call, "id")),
            name: owned(text(what, "name")),
            arguments: written(what.get(arguments)),
            hosted: false,
        });
    }
    if let Some(function) = message
        .get("function_call")
        .filter(|function| function.is_object())
    {
        calls.push(ToolCall {
            id: String::new(),
            name: owned(text(function, "name")),
            arguments: written(function.get("arguments")),
            hosted: false,
        });
    }
}

fn responses(answer: &Value, calls: &mut Vec<ToolCall>) {
    for item in items(answer, "output") {
        let kind = text(item, "type").unwrap_or_default();
        let Some(plain) = kind.strip_suffix("_call") else {
            continue;
        };
        let id = word(item, "call_id").or_else(|| word(item, "id"));
        let (name, arguments, hosted) = match kind {
            "function_call" => (word(item, "name"), item.get("arguments"), false),
            "custom_tool_call" => (word(item, "name"), item.get("input"), false),
            "local_shell_call" | "shell_call" | "computer_call" => {
                (None, item.get("action").or_else(|| item.get("actions")), false)
            }
            "apply_patch_call" => (None, item.get("operation"), false),
            "mcp_call" => (word(item, "name"), item.get("arguments"), true),
            "code_interpreter_call" => (None, item.get("code"), true),
            "file_search_call" => (None, item.get("queries"), true),
            "tool_search_call" => (
                None,
                item.get("arguments"),
                text(item, "execution") != Some("client"),
            ),
            _ => (
                word(item, "name"),
                item.get("arguments")
                    .or_else(|| item.get("action"))
                    .or_else(|| item.get("input")),
                true,
            ),
        };
        // What is no JSON by itself is made a JSON string.
        let arguments = match (kind, arguments) {
            ("code_interpreter_call", Some(code @ Value::String(_))) => code.to_string(),
            _ => written(arguments),
        };
        calls.push(ToolCall {
            id: owned(id),
            name: name.unwrap_or(plain).to_owned(),
            arguments,
            hosted,
        });
    }
}

fn messages(answer: &Value, calls: &mut Vec<ToolCall>) {
    for block in items(answer, "content") {
        let hosted = match text(block, "type") {
            Some("tool_use") => false,
            Some("server_tool_use" | "mcp_tool_use") => true,
            _ => continue,
        };
        calls.push(ToolCall {
            id: owned(text(block, "id")),
            name: owned(text(block, "name")),
            arguments: written(block.get("input")),
            hosted,
        });
    }
}

fn gemini(answer: &Value, calls: &mut Vec<ToolCall>) {
    let answer = answer
        .get("response")
        .filter(|inner| inner.is_object())
        .unwrap_or(answer);
    let parts = items(answer, "candidates")
        .iter()
        .filter_map(|candidate| candidate.get("content"))
        .flat_map(|content| items(content, "parts"));
    for part in parts {
        if let Some(call) = part.get("functionCall") {
            calls.push(ToolCall {
                id: owned(text(call, "id")),
                name: owned(text(call, "name")),
                arguments: written(call.get("args")),
                hosted: false,
            });
        } else if let Some(code) = part.get("executableCode") {
            calls.push(ToolCall {
                id: owned(text(code, "id")),
                name: "code_execution".to_owned(),
                arguments: code.to_string(),
                hosted: true,
            });
        } else if let Some(call) = part.get("toolCall") {
            calls.push(ToolCall {
                id: owned(text(call, "id")),
                name: owned(text(call, "toolType")),
                arguments: written(call.get("args")),
                hosted: true,
            });
        }
    }
}

fn converse(answer: &Value, calls: &mut Vec<ToolCall>) {
    let Some(message) = answer.get("output").and_then(|output| output.get("message")) else {
        return;
    };
    for call in items(message, "content")
        .iter()
        .filter_map(|block| block.get("toolUse"))
    {
        calls.push(ToolCall {
            id: owned(text(call, "toolUseId")),
            name: owned(text(call, "name")),
            arguments: written(call.get("input")),
            hosted: text(call, "type") == Some("server_tool_use"),
        });
    }
}

fn cohere(answer: &Value, calls: &mut Vec<ToolCall>) {
    for call in items(answer, "tool_calls") {
        calls.push(ToolCall {
            id: owned(text(call, "id")),
            name: owned(text(call, "name")),
            arguments: written(call.get("parameters")),
            hosted: false,
        });
    }
}
