//! The strict bound against recorded requests: no provider stated more than it.
#![allow(clippy::print_stderr, reason = "a skip must be visible")]

use std::path::PathBuf;

use serde_json::Value;

use super::*;

fn folder() -> PathBuf {
    match std::env::var_os("SLUICE_FIXTURES") {
        Some(path) => PathBuf::from(path),
        None => PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("../../shared/fixtures"),
    }
}

/// The kind of the calls in a folder; `None`: calls that are free or not HTTP.
fn kind_of(folder: &str) -> Option<ApiKind> {
    Some(match folder {
        "anthropic-messages" => ApiKind::AnthropicMessages,
        "bedrock-converse" => ApiKind::BedrockConverse,
        "bedrock-invoke" => ApiKind::BedrockInvoke,
        "compat-chat" | "openai-chat" => ApiKind::OpenAiChat,
        "gemini-embed" => ApiKind::GeminiEmbed,
        "gemini-generate" => ApiKind::GeminiGenerate,
        "ollama-native" => ApiKind::OllamaChat,
        "openai-completions" => ApiKind::OpenAiCompletions,
        "openai-embeddings" => ApiKind::OpenAiEmbeddings,
        "openai-images" => ApiKind::OpenAiImages,
        "openai-responses" => ApiKind::OpenAiResponses,
        "vertex-predict" => ApiKind::VertexPredict,
        _ => return None,
    })
}

/// A request that was recorded, and the model tokens that its answer stated.
struct Recorded {
    name: String,
    asked: Asked,
    input: u64,
    output: Option<u64>,
}

fn read(path: &std::path::Path, kind: ApiKind) -> Option<Recorded> {
    let sidecar: Value = serde_json::from_slice(&std::fs::read(path).ok()?).unwrap();
    let request = &sidecar["request"];
    let body = match &request["body"] {
        Value::Object(body) => serde_json::to_string(body).unwrap(),
        Value::String(body) if body.starts_with('{') => body.clone(),
        _ => return None,
    };
    // A hand has shortened the prompt of these two: the answer counts 18,000 tokens for 28 characters.
    if body.contains("very very long system prompt") {
        return None;
    }
    let input = sidecar["expected"]["input"].as_u64()?;
    let basis = match sidecar["provider"].as_str().unwrap_or_default() {
        "openai" => "openai",
        "azure" => "azure",
        "openrouter" => "openrouter",
        _ => "",
    };
    Some(Recorded {
        name: path.display().to_string(),
        asked: Asked::new(kind, basis, request["model"].as_str().unwrap_or("m"), &body),
        input,
        output: sidecar["expected"]["output"].as_u64(),
    })
}

fn recordings() -> Vec<Recorded> {
    let Ok(folders) = std::fs::read_dir(folder()) else {
        eprintln!(
            "SKIPPED: no recordings at {} (set SLUICE_FIXTURES)",
            folder().display()
        );
        return Vec::new();
    };
    let mut all = Vec::new();
    for entry in folders.flatten() {
        let Some(kind) = kind_of(&entry.file_name().to_string_lossy()) else {
            continue;
        };
        for file in std::fs::read_dir(entry.path()).unwrap().flatten() {
            let path = file.path();
            if path.extension().is_some_and(|extension| extension == "json") {
                all.extend(read(&path, kind));
            }
        }
    }
    all
}

#[test]
fn no_recorded_request_used_more_than_strict_reserves() {
    let all = recordings();
    if all.is_empty() {
        return;
    }
    let strict = quota(Admission::Strict);
    let estimates = Estimates::new();
    let (mut bounded, mut refused, mut whole) = (0, 0, 0);
    let mut broken = Vec::new();
    let mut most = (0, String::new());
    for recorded in &all {
        let call = recorded.asked.call();
        // Without a context window: by the bytes alone, or not at all.
        match strict::input(&call, None) {
            Ok(input) => {
                bounded += 1;
                // What the template takes beyond the bytes and 4 for each key and value.
                let each = u64::from(call.facts.tokens) * strict::TEMPLATE_TOKENS_EACH;
                let beyond = recorded.input.saturating_sub(call.body_bytes + each);
                if call.outside().images == 0 && beyond > most.0 {
                    most = (beyond, recorded.name.clone());
                }
                if recorded.input > input {
                    broken.push(format!(
                        "{}: {} tokens, bound {input}",
                        recorded.name, recorded.input
                    ));
                }
            }
            Err(_) => refused += 1,
        }
        if let (Ok(need), Some(output)) = (
            need(&limit(Unit::Tokens), &strict, &call, &estimates, None),
            recorded.output,
        ) {
            whole += 1;
            if need.amount < recorded.input + output {
                broken.push(format!("{}: output {output}, in all {need:?}", recorded.name));
            }
        }
    }
    assert!(broken.is_empty(), "{}", broken.join("\n"));
    eprintln!("{bounded} prompts bounded by their bytes, {whole} requests in all, {refused} refused");
    eprintln!("the largest template: {} tokens, in {}", most.0, most.1);
    assert!(bounded > 300 && refused < bounded / 2 && whole > 50);
}
