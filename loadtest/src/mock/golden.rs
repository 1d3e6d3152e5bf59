//! Every kind's answers, whole and streamed, as text or tool call, compared with files that a person has read.
//!
//! `UPDATE_GOLDEN=1 cargo test -p sluice-loadtest golden` writes them anew; the difference is to be read.

use std::fmt::Write as _;
use std::path::Path;

use serde_json::{Value, json};

use super::answer::DraftBody;
use super::ask::Ask;
use super::connection::provider;
use super::reply::Reply;
use super::route::{Kind, classify};
use super::settings::Settings;

const ID: &str = "0123456789abcdef01234567";

fn ask(target: &str, stream: bool, body: Value, settings: Settings) -> Ask {
    let (kind, model) = classify("POST", target);
    let named = body.get("model").and_then(Value::as_str).unwrap_or("").to_owned();
    Ask {
        kind,
        model: model.unwrap_or(named),
        stream,
        usage_asked: body.pointer("/stream_options/include_usage").is_some(),
        raw: body.to_string().into(),
        body,
        target: target.to_owned(),
        tool: None,
        settings,
    }
}

/// An event stream message in words: its headers and payload. Other events as they are.
fn readable(kind: Kind, event: &[u8]) -> String {
    let bedrock = matches!(kind, Kind::BedrockConverseStream | Kind::BedrockInvokeStream);
    if !bedrock {
        return String::from_utf8_lossy(event).replace('\r', "\\r");
    }
    let headers = u32::from_be_bytes(event[4..8].try_into().unwrap()) as usize;
    let text = |bytes: &[u8]| -> String {
        String::from_utf8_lossy(bytes)
            .chars()
            .map(|c| if c.is_control() { '.' } else { c })
            .collect()
    };
    format!(
        "{} | {}\n",
        text(&event[12..12 + headers]),
        text(&event[12 + headers..event.len() - 4])
    )
}

fn check(name: &str, ask: &Ask) {
    let draft = provider(ask, &Reply::new(ask, ID, 1_700_000_000));
    let mut text = format!("{} {}\n", draft.status, draft.content_type);
    for (name, value) in &draft.fields {
        writeln!(text, "{name}: {value}").unwrap();
    }
    writeln!(text, "(input {} output {})\n", draft.input, draft.output).unwrap();
    match &draft.body {
        DraftBody::Whole(body) => text += &String::from_utf8_lossy(body),
        DraftBody::Events { events, error } => {
            for event in events {
                text += &readable(ask.kind, event);
            }
            text += "--- error event\n";
            text += &readable(ask.kind, error);
        }
    }
    text += "\n";
    let path = Path::new(env!("CARGO_MANIFEST_DIR"))
        .join("golden")
        .join(format!("{name}.txt"));
    if std::env::var_os("UPDATE_GOLDEN").is_some() {
        std::fs::create_dir_all(path.parent().unwrap()).unwrap();
        std::fs::write(&path, &text).unwrap();
    }
    let expected = std::fs::read_to_string(&path).unwrap_or_default();
    assert_eq!(
        text,
        expected,
        "{name}: differs from {}; UPDATE_GOLDEN=1 writes it anew",
        path.display()
    );
}

fn two_events() -> Settings {
    Settings {
        events: Some(2),
        cached_tokens: Some(3),
        ..Settings::default()
    }
}

#[test]
fn golden_chat() {
    let asked = json!({"model": "m", "messages": [], "stream_options": {"include_usage": true}});
    check(
        "chat",
        &ask(
            "/v1/chat/completions",
            false,
            json!({"model": "m", "messages": []}),
            two_events(),
        ),
    );
    check(
        "chat-stream",
        &ask(
            "/v1/chat/completions",
            true,
            json!({"model": "m", "messages": []}),
            two_events(),
        ),
    );
    check(
        "chat-stream-usage",
        &ask("/v1/chat/completions", true, asked.clone(), two_events()),
    );
    check(
        "completions",
        &ask(
            "/v1/completions",
            false,
            json!({"model": "m", "prompt": "x"}),
            two_events(),
        ),
    );
    check(
        "completions-stream",
        &ask("/v1/completions", true, asked, two_events()),
    );
    let unasked = Settings {
        usage: Some(super::UsageSent::Always),
        ..two_events()
    };
    check(
        "chat-stream-unasked",
        &ask("/v1/chat/completions", true, json!({"model": "m"}), unasked),
    );
}

#[test]
fn golden_responses() {
    let body = json!({"model": "m", "input": "hi", "store": false});
    check(
        "responses",
        &ask("/v1/responses", false, body.clone(), two_events()),
    );
    check(
        "responses-stream",
        &ask("/v1/responses", true, body, two_events()),
    );
}

#[test]
fn golden_messages() {
    let body = json!({"model": "m", "messages": []});
    check(
        "messages",
        &ask("/v1/messages", false, body.clone(), two_events()),
    );
    check(
        "messages-stream",
        &ask("/v1/messages", true, body.clone(), two_events()),
    );
    check(
        "count-tokens",
        &ask("/v1/messages/count_tokens", false, body.clone(), two_events()),
    );
    let vertex = "/v1/projects/p/locations/l/publishers/anthropic/models/m@1:streamRawPredict";
    check("vertex-raw-stream", &ask(vertex, true, body, two_events()));
}

#[test]
fn golden_gemini() {
    let body = json!({"contents": []});
    let thinking = Settings {
        reasoning_tokens: Some(1),
        ..two_events()
    };
    check(
        "gemini",
        &ask("/v1beta/models/m:generateContent", false, body.clone(), thinking),
    );
    check(
        "gemini-sse",
        &ask(
            "/v1beta/models/m:streamGenerateContent?alt=sse",
            true,
            body.clone(),
            two_events(),
        ),
    );
    check(
        "gemini-array",
        &ask(
            "/v1beta/models/m:streamGenerateContent",
            true,
            body.clone(),
            two_events(),
        ),
    );
    check(
        "gemini-count",
        &ask("/v1beta/models/m:countTokens", false, body.clone(), two_events()),
    );
    check(
        "gemini-embed",
        &ask("/v1beta/models/m:embedContent", false, body, two_events()),
    );
    let predict = "/v1/projects/p/locations/l/publishers/google/models/m:predict";
    check(
        "vertex-predict",
        &ask(
            predict,
            false,
            json!({"instances": [{"content": "a"}]}),
            two_events(),
        ),
    );
}

#[test]
fn golden_bedrock() {
    let body = json!({"messages": []});
    check(
        "converse",
        &ask("/model/m/converse", false, body.clone(), two_events()),
    );
    check(
        "converse-stream",
        &ask("/model/m/converse-stream", true, body.clone(), two_events()),
    );
    for model in [
        "anthropic.claude",
        "amazon.nova",
        "amazon.titan-text",
        "meta.llama",
    ] {
        let target = format!("/model/{model}/invoke");
        check(
            &format!("invoke-{model}"),
            &ask(&target, false, body.clone(), two_events()),
        );
        let target = format!("/model/{model}/invoke-with-response-stream");
        check(
            &format!("invoke-stream-{model}"),
            &ask(&target, true, body.clone(), two_events()),
        );
    }
}

#[test]
fn golden_ollama() {
    let body = json!({"model": "m", "messages": []});
    check(
        "ollama-chat",
        &ask("/api/chat", false, body.clone(), two_events()),
    );
    check(
        "ollama-chat-stream",
        &ask("/api/chat", true, body.clone(), two_events()),
    );
    check(
        "ollama-generate-stream",
        &ask("/api/generate", true, body.clone(), two_events()),
    );
    check("ollama-embed", &ask("/api/embed", false, body, two_events()));
}

#[test]
fn golden_others() {
    let body = json!({"model": "m", "input": ["a", "b"], "dimensions": 2});
    check(
        "embeddings",
        &ask("/v1/embeddings", false, body.clone(), two_events()),
    );
    let base64 = json!({"model": "m", "input": "a", "encoding_format": "base64"});
    check(
        "embeddings-base64",
        &ask("/v1/embeddings", false, base64, two_events()),
    );
    check(
        "images",
        &ask("/v1/images/generations", false, body.clone(), two_events()),
    );
    check(
        "images-stream",
        &ask("/v1/images/generations", true, body.clone(), two_events()),
    );
    check(
        "transcription",
        &ask("/v1/audio/transcriptions", false, body.clone(), two_events()),
    );
    check(
        "transcription-stream",
        &ask("/v1/audio/transcriptions", true, body.clone(), two_events()),
    );
    check(
        "moderations",
        &ask("/v1/moderations", false, body.clone(), two_events()),
    );
    check(
        "rerank",
        &ask(
            "/v1/rerank",
            false,
            json!({"model": "m", "documents": ["a", "b"]}),
            two_events(),
        ),
    );
}

#[test]
fn golden_tool_calls() {
    let prompt = r#"MOCK_TOOL{"name":"T","input":{"command":"echo hi"}}"#;
    let chat = json!({"model": "m", "tools": [{"type": "function", "function": {"name": "T"}}],
        "messages": [{"role": "user", "content": prompt}]});
    let responses = json!({"model": "m", "tools": [{"type": "function", "name": "T"}], "input": prompt});
    let custom = json!({"model": "m", "tools": [{"type": "custom", "name": "T"}],
        "input": r#"MOCK_TOOL{"name":"T","input":"free text"}"#});
    let messages =
        json!({"model": "m", "tools": [{"name": "T"}], "messages": [{"role": "user", "content": prompt}]});
    let gemini = json!({"tools": [{"functionDeclarations": [{"name": "T"}]}],
        "contents": [{"role": "user", "parts": [{"text": prompt}]}]});
    let converse = json!({"toolConfig": {"tools": [{"toolSpec": {"name": "T"}}]},
        "messages": [{"role": "user", "content": [{"text": prompt}]}]});
    let rows = [
        ("chat", "/v1/chat/completions", &chat),
        ("responses", "/v1/responses", &responses),
        ("responses-custom", "/v1/responses", &custom),
        ("messages", "/v1/messages", &messages),
        ("converse", "/model/m/converse", &converse),
        ("ollama", "/api/chat", &chat),
    ];
    for (name, target, body) in rows {
        check(
            &format!("tool-{name}"),
            &ask(target, false, body.clone(), Settings::default()),
        );
        let target = target.replace("converse", "converse-stream");
        check(
            &format!("tool-{name}-stream"),
            &ask(&target, true, body.clone(), Settings::default()),
        );
    }
    check(
        "tool-gemini",
        &ask(
            "/v1beta/models/m:generateContent",
            false,
            gemini.clone(),
            Settings::default(),
        ),
    );
    let target = "/v1beta/models/m:streamGenerateContent?alt=sse";
    check(
        "tool-gemini-stream",
        &ask(target, true, gemini, Settings::default()),
    );
}
