//! Texts and tool calls read from a stream in the simplest way, for comparison.

use std::collections::BTreeMap;

use base64::Engine as _;
use serde_json::Value;
use sluice_shared::api::ApiKind;

/// The data of every SSE event that is JSON.
pub(crate) fn sse_events(body: &[u8]) -> Vec<Value> {
    let body = String::from_utf8_lossy(body).replace("\r\n", "\n");
    body.split("\n\n")
        .filter_map(|event| {
            let data: Vec<&str> = event
                .lines()
                .filter_map(|line| line.strip_prefix("data:"))
                .collect();
            serde_json::from_str(&data.join("\n")).ok()
        })
        .collect()
}

/// The payloads of every message of an AWS event stream, under the name of their event.
fn aws_events(mut body: &[u8]) -> Vec<Value> {
    let word = |at: usize, body: &[u8]| u32::from_be_bytes(body[at..at + 4].try_into().unwrap()) as usize;
    let mut all = Vec::new();
    while body.len() >= 16 {
        let (total, headers) = (word(0, body), word(4, body));
        let payload: Value = serde_json::from_slice(&body[12 + headers..total - 4]).unwrap();
        // Each header: length of the name, name, type 7 (text), length, text.
        let mut rest = &body[12..12 + headers];
        let mut name = String::new();
        while !rest.is_empty() {
            let key = &rest[1..1 + usize::from(rest[0])];
            rest = &rest[2 + key.len()..];
            let len = usize::from(u16::from_be_bytes([rest[0], rest[1]]));
            if key == b":event-type" {
                name = String::from_utf8(rest[2..2 + len].to_vec()).unwrap();
            }
            rest = &rest[2 + len..];
        }
        all.push(match payload.get("bytes").and_then(Value::as_str) {
            Some(packed) => {
                let json = base64::engine::general_purpose::STANDARD.decode(packed).unwrap();
                serde_json::from_slice(&json).unwrap()
            }
            None => serde_json::json!({ name: payload }),
        });
        body = &body[total..];
    }
    all
}

fn events(framing: &str, body: &[u8]) -> Vec<Value> {
    match framing {
        "sse" => sse_events(body),
        "aws-eventstream" => aws_events(body),
        "json-array" => serde_json::from_slice(body).unwrap(),
        "ndjson" => body
            .split(|byte| *byte == b'\n')
            .filter_map(|line| serde_json::from_slice(line).ok())
            .collect(),
        _ => vec![serde_json::from_slice(body).unwrap_or_default()],
    }
}

/// What was said and what was thought, all choices one after the other.
#[derive(Default)]
pub(crate) struct Texts {
    pub(crate) said: String,
    pub(crate) thought: String,
}

fn at<'v>(value: &'v Value, path: &str) -> &'v str {
    value.pointer(path).and_then(Value::as_str).unwrap_or_default()
}

fn list<'v>(value: &'v Value, path: &str) -> &'v [Value] {
    value
        .pointer(path)
        .and_then(Value::as_array)
        .map_or(&[], Vec::as_slice)
}

/// Mistral's content in parts.
fn parts(content: &Value, texts: &mut Texts) {
    match content {
        Value::String(text) => texts.said += text,
        Value::Array(parts) => {
            for part in parts {
                texts.said += at(part, "/text");
                for thought in list(part, "/thinking") {
                    texts.thought += at(thought, "/text");
                }
            }
        }
        _ => {}
    }
}

pub(crate) fn texts_of_stream(kind: ApiKind, framing: &str, body: &[u8]) -> Texts {
    let events = events(framing, body);
    let mut texts = Texts::default();
    if events.iter().any(|event| event.get("is_finished").is_some()) {
        // Cohere: several texts by their index.
        let mut by_index: BTreeMap<u64, String> = BTreeMap::new();
        for event in &events {
            *by_index.entry(event["index"].as_u64().unwrap_or(0)).or_default() += at(event, "/text");
        }
        texts.said = by_index.into_values().collect();
        return texts;
    }
    if matches!(kind, ApiKind::OpenAiChat | ApiKind::OpenAiCompletions) {
        // Choices come mixed up.
        let mut by_choice: BTreeMap<u64, Texts> = BTreeMap::new();
        for choice in events.iter().flat_map(|event| list(event, "/choices")) {
            let texts = by_choice
                .entry(choice["index"].as_u64().unwrap_or(0))
                .or_default();
            texts.said += at(choice, "/text");
            parts(&choice["delta"]["content"], texts);
            texts.thought += at(choice, "/delta/reasoning_content");
            texts.thought += at(choice, "/delta/reasoning");
        }
        for (_, one) in by_choice {
            texts.said += &one.said;
            texts.thought += &one.thought;
        }
        return texts;
    }
    for event in &events {
        let kind_of = event["type"].as_str().unwrap_or_default();
        match kind {
            ApiKind::OpenAiResponses => match kind_of {
                "response.output_text.delta" => texts.said += at(event, "/delta"),
                "response.reasoning_summary_text.delta" | "response.reasoning_text.delta" => {
                    texts.thought += at(event, "/delta");
                }
                _ => {}
            },
            ApiKind::GeminiGenerate | ApiKind::VertexGenerate => {
                for part in list(event, "/candidates/0/content/parts") {
                    let slot = if part["thought"] == true {
                        &mut texts.thought
                    } else {
                        &mut texts.said
                    };
                    *slot += at(part, "/text");
                }
            }
            ApiKind::OllamaChat => {
                texts.said += at(event, "/message/content");
                texts.said += at(event, "/response");
                texts.thought += at(event, "/message/thinking");
            }
            ApiKind::OpenAiAudio => {
                if kind_of.ends_with(".delta") {
                    texts.said += at(event, "/delta");
                    texts.said += at(event, "/text");
                } else if kind_of == "transcript.text.segment" {
                    texts.said += at(event, "/text").trim_start();
                }
            }
            // Anthropic, Converse, and the vendors of InvokeModel.
            _ => {
                texts.said += at(event, "/content_block/text");
                texts.said += at(event, "/delta/text");
                texts.thought += at(event, "/delta/thinking");
                texts.said += at(event, "/contentBlockDelta/delta/text");
                texts.thought += at(event, "/contentBlockDelta/delta/reasoningContent/text");
                texts.said += at(event, "/outputText");
                texts.said += at(event, "/generation");
                texts.said += at(event, "/outputs/0/text");
                texts.said += at(event, "/choices/0/delta/content");
                texts.said += at(event, "/choices/0/message/content");
                texts.said += at(event, "/text");
            }
        }
    }
    texts
}

pub(crate) fn texts_of_answer(kind: ApiKind, answer: &Value) -> Texts {
    let mut texts = Texts::default();
    for choice in list(answer, "/choices") {
        texts.said += at(choice, "/text");
        parts(&choice["message"]["content"], &mut texts);
        texts.thought += at(choice, "/message/reasoning_content");
        texts.thought += at(choice, "/message/reasoning");
    }
    for item in list(answer, "/output") {
        for part in list(item, "/content") {
            let slot = if item["type"] == "reasoning" {
                &mut texts.thought
            } else {
                &mut texts.said
            };
            *slot += at(part, "/text");
        }
        for part in list(item, "/summary") {
            texts.thought += at(part, "/text");
        }
    }
    for block in list(answer, "/content")
        .iter()
        .chain(list(answer, "/output/message/content"))
    {
        texts.said += at(block, "/text");
        for part in list(block, "/citationsContent/content") {
            texts.said += at(part, "/text");
        }
        texts.thought += at(block, "/thinking");
        texts.thought += at(block, "/reasoningContent/reasoningText/text");
    }
    for part in list(answer, "/candidates/0/content/parts") {
        let slot = if part["thought"] == true {
            &mut texts.thought
        } else {
            &mut texts.said
        };
        *slot += at(part, "/text");
    }
    texts.said += at(answer, "/results/0/outputText");
    texts.said += at(answer, "/generation");
    texts.said += at(answer, "/outputs/0/text");
    for generation in list(answer, "/generations") {
        texts.said += at(generation, "/text");
    }
    if matches!(
        kind,
        ApiKind::OllamaChat | ApiKind::OpenAiAudio | ApiKind::BedrockInvoke
    ) {
        texts.said += at(answer, "/message/content");
        texts.said += at(answer, "/response");
        texts.said += at(answer, "/text");
        texts.thought += at(answer, "/message/thinking");
    }
    texts
}

/// A tool call, its arguments as parsed JSON where they are JSON.
#[derive(Debug, PartialEq)]
pub(crate) struct Call {
    id: String,
    name: String,
    arguments: Value,
}

impl Call {
    /// The arguments as texts under their places, as [`calls`] has them where they came in pieces.
    pub(crate) fn flat(mut self) -> Self {
        fn walk(value: &Value, place: &str, flat: &mut serde_json::Map<String, Value>) {
            match value {
                Value::Object(members) => members
                    .iter()
                    .for_each(|(key, value)| walk(value, &format!("{place}/{key}"), flat)),
                Value::Array(items) => {
                    items
                        .iter()
                        .enumerate()
                        .for_each(|(index, value)| walk(value, &format!("{place}/{index}"), flat));
                }
                value => {
                    flat.insert(place.to_owned(), value.clone());
                }
            }
        }
        let mut flat = serde_json::Map::new();
        walk(&self.arguments, "", &mut flat);
        self.arguments = Value::Object(flat);
        self
    }

    pub(crate) fn new(id: &str, name: &str, arguments: &str) -> Self {
        let arguments = if arguments.is_empty() { "{}" } else { arguments };
        Self {
            id: id.to_owned(),
            name: name.to_owned(),
            arguments: serde_json::from_str(arguments)
                .unwrap_or_else(|_| Value::String(arguments.to_owned())),
        }
    }

    fn with(id: &Value, name: &Value, arguments: &Value) -> Self {
        let arguments = match arguments {
            Value::String(text) => text.clone(),
            Value::Null => String::new(),
            other => other.to_string(),
        };
        Self::new(
            id.as_str().unwrap_or_default(),
            name.as_str().unwrap_or_default(),
            &arguments,
        )
    }
}

/// The calls that the client is asked to make, from every event or from the document.
pub(crate) fn calls(kind: ApiKind, framing: &str, body: &[u8]) -> Vec<Call> {
    let events = events(framing, body);
    let mut calls = Vec::new();
    // Pieces by choice and by number, or by Anthropic's and Bedrock's number of the block.
    let mut open: BTreeMap<(u64, u64), (Value, Value, String)> = BTreeMap::new();
    for event in &events {
        for choice in list(event, "/choices") {
            let whole = if framing == "json" {
                list(choice, "/message/tool_calls")
            } else {
                &[]
            };
            for call in whole.iter().filter(|call| !at(call, "/function/name").is_empty()) {
                calls.push(Call::with(
                    &call["id"],
                    &call["function"]["name"],
                    &call["function"]["arguments"],
                ));
            }
            for call in whole.iter().filter(|call| !at(call, "/custom/name").is_empty()) {
                calls.push(Call::with(
                    &call["id"],
                    &call["custom"]["name"],
                    &call["custom"]["input"],
                ));
            }
            if let Some(call) = choice
                .pointer("/message/function_call")
                .filter(|call| !at(call, "/name").is_empty())
            {
                calls.push(Call::with(&Value::Null, &call["name"], &call["arguments"]));
            }
            for call in list(choice, "/delta/tool_calls") {
                if framing == "json" {
                    continue;
                }
                // Cerebras numbers all calls 0: they differ by their ids.
                let mut key = (
                    choice["index"].as_u64().unwrap_or(0),
                    call["index"].as_u64().unwrap_or(0),
                );
                while open
                    .get(&key)
                    .is_some_and(|slot| call["id"].is_string() && call["id"] != slot.0)
                {
                    key.1 += 1000;
                }
                let slot = open
                    .entry(key)
                    .or_insert((Value::Null, Value::Null, String::new()));
                if call["id"].as_str().is_some_and(|id| !id.is_empty()) {
                    slot.0 = call["id"].clone();
                }
                if call["function"]["name"]
                    .as_str()
                    .is_some_and(|name| !name.is_empty())
                {
                    slot.1 = call["function"]["name"].clone();
                }
                slot.2 += at(call, "/function/arguments");
            }
        }
        let ended = event
            .get("response")
            .filter(|response| response["output"].as_array().is_some_and(|all| !all.is_empty()));
        let output = list(ended.unwrap_or(event), "/output");
        for item in output {
            match item["type"].as_str().unwrap_or_default() {
                "function_call" => {
                    calls.push(Call::with(&item["call_id"], &item["name"], &item["arguments"]));
                }
                "custom_tool_call" => calls.push(Call::with(&item["call_id"], &item["name"], &item["input"])),
                "apply_patch_call" => calls.push(Call::with(
                    &item["call_id"],
                    &Value::String("apply_patch".to_owned()),
                    &item["operation"],
                )),
                "tool_search_call" if item["execution"] == "client" => calls.push(Call::with(
                    &item["call_id"],
                    &Value::String("tool_search".to_owned()),
                    &item["arguments"],
                )),
                kind @ ("local_shell_call" | "shell_call" | "computer_call") => calls.push(Call::with(
                    &item["call_id"],
                    &Value::String(kind.trim_end_matches("_call").to_owned()),
                    &item["action"],
                )),
                _ => {}
            }
        }
        for block in list(event, "/content") {
            if block["type"] == "tool_use" {
                calls.push(Call::with(&block["id"], &block["name"], &block["input"]));
            }
        }
        for block in list(event, "/output/message/content") {
            if let Some(call) = block
                .get("toolUse")
                .filter(|call| call["type"] != "server_tool_use")
            {
                calls.push(Call::with(&call["toolUseId"], &call["name"], &call["input"]));
            }
        }
        for part in list(event, "/candidates/0/content/parts") {
            let Some(call) = part.get("functionCall") else {
                continue;
            };
            if call.get("name").is_some() {
                calls.push(Call::with(&call["id"], &call["name"], &call["args"]));
            }
            // In pieces: the texts under their places.
            for piece in list(call, "/partialArgs") {
                let place = at(piece, "/jsonPath")
                    .replace(['.', '['], "/")
                    .replace(['$', ']'], "");
                let arguments = &mut calls.last_mut().unwrap().arguments;
                let text = format!(
                    "{}{}",
                    at(&arguments[place.as_str()], ""),
                    at(piece, "/stringValue")
                );
                arguments[place.as_str()] = Value::String(text);
            }
        }
        if kind == ApiKind::OllamaChat {
            for call in list(event, "/message/tool_calls") {
                calls.push(Call::with(
                    &call["id"],
                    &call["function"]["name"],
                    &call["function"]["arguments"],
                ));
            }
        }
        let number = |value: &Value, key: &str| (0, value[key].as_u64().unwrap_or(0));
        if event["content_block"]["type"] == "tool_use" {
            let block = &event["content_block"];
            open.insert(
                number(event, "index"),
                (block["id"].clone(), block["name"].clone(), String::new()),
            );
        }
        if let Some(slot) = open.get_mut(&number(event, "index")) {
            slot.2 += at(event, "/delta/partial_json");
        }
        if let Some(start) = event.get("contentBlockStart")
            && let Some(call) = start["start"].get("toolUse")
            && call["type"] != "server_tool_use"
        {
            open.insert(
                number(start, "contentBlockIndex"),
                (call["toolUseId"].clone(), call["name"].clone(), String::new()),
            );
        }
        if let Some(delta) = event.get("contentBlockDelta")
            && let Some(slot) = open.get_mut(&number(delta, "contentBlockIndex"))
        {
            slot.2 += at(delta, "/delta/toolUse/input");
        }
    }
    calls.extend(
        open.into_values()
            .map(|(id, name, arguments)| Call::with(&id, &name, &Value::String(arguments))),
    );
    calls
}
