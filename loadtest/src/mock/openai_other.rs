//! OpenAI's other endpoints: embeddings, images, audio, moderations, rerank, and the model lists of three APIs.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD as BASE64;
use serde_json::{Value, json};

use super::answer::Draft;
use super::ask::Ask;
use super::head::Head;
use super::reply::Reply;
use super::settings::MockOptions;

/// Dimensions of an embedding that asks for none.
const DIMENSIONS: u64 = 8;
/// Most dimensions and inputs that are answered.
const VECTORS_MAX: u64 = 4096;
/// Bytes of a spoken answer, unless set.
const SPEECH_BYTES: u32 = 4096;
/// A PNG of one transparent pixel.
const PIXEL: &str =
    "iVBORw0KGgoAAAANSUhEUgAAAAEAAAABCAYAAAAfFcSJAAAADUlEQVR42mNk+M9QDwADhgGAWjR9awAAAABJRU5ErkJggg==";

/// The same vector for the same place.
pub(super) fn vector(seed: usize, dimensions: u64) -> Vec<f32> {
    (0..dimensions.min(VECTORS_MAX))
        .map(|d| ((seed as u64 + d) % 16) as f32 / 16.0 - 0.5)
        .collect()
}

/// How many texts a field holds: a list holds its length, a text or a list of token numbers one.
pub(super) fn inputs(value: Option<&Value>) -> usize {
    match value {
        Some(Value::Array(items)) if !items.iter().all(Value::is_number) => items
            .len()
            .min(usize::try_from(VECTORS_MAX).unwrap_or(usize::MAX)),
        _ => 1,
    }
}

/// `POST /v1/embeddings`, floats or base64.
pub(super) fn embeddings(ask: &Ask, reply: &Reply) -> Draft {
    let dimensions = ask
        .body
        .get("dimensions")
        .and_then(Value::as_u64)
        .unwrap_or(DIMENSIONS);
    let base64 = ask.body.get("encoding_format").and_then(Value::as_str) == Some("base64");
    let data: Vec<Value> = (0..inputs(ask.body.get("input")))
        .map(|index| {
            let vector = vector(index, dimensions);
            let embedding = match base64 {
                true => {
                    json!(BASE64.encode(vector.iter().flat_map(|f| f.to_le_bytes()).collect::<Vec<u8>>()))
                }
                false => json!(vector),
            };
            json!({"object": "embedding", "index": index, "embedding": embedding})
        })
        .collect();
    let usage = json!({"prompt_tokens": reply.input, "total_tokens": reply.input});
    Draft::json(&json!({"object": "list", "data": data, "model": reply.model, "usage": usage}))
        .field("x-request-id", format!("req_{}", reply.suffix()))
        .counted(reply.input, 0)
}

/// `POST /v1/images/*`.
pub(super) fn images(ask: &Ask, reply: &Reply) -> Draft {
    let usage = json!({
        "total_tokens": reply.total(),
        "input_tokens": reply.input,
        "output_tokens": reply.output,
        "input_tokens_details": {"text_tokens": reply.input, "image_tokens": 0},
    });
    let draft = if ask.stream {
        let event = |value: Value| {
            let name = value.get("type").and_then(Value::as_str).unwrap_or("message");
            format!("event: {name}\ndata: {value}\n\n").into_bytes()
        };
        let image = |kind: &str| {
            json!({
                "type": kind, "b64_json": PIXEL, "created_at": reply.created, "size": "1024x1024", "quality": "low",
                "background": "transparent", "output_format": "png",
            })
        };
        let mut partial = image("image_generation.partial_image");
        partial["partial_image_index"] = json!(0);
        let mut completed = image("image_generation.completed");
        completed["usage"] = usage;
        let error = json!({"type": "error", "error": {"type": "server_error", "message": "the mock was told to fail here"}});
        Draft::events(
            "text/event-stream; charset=utf-8",
            vec![event(partial), event(completed)],
            event(error),
        )
    } else {
        Draft::json(&json!({"created": reply.created, "data": [{"b64_json": PIXEL}], "usage": usage}))
    };
    draft
        .field("x-request-id", format!("req_{}", reply.suffix()))
        .counted(reply.input, reply.output)
}

/// `POST /v1/audio/speech`: bytes, or SSE if `stream_format` says so.
pub(super) fn speech(ask: &Ask, reply: &Reply) -> Draft {
    let length = ask.settings.text_bytes.unwrap_or(SPEECH_BYTES) as usize;
    let audio: Vec<u8> = (0_u8..=255).cycle().take(length).collect();
    if !ask.stream {
        return Draft::whole("audio/mpeg", audio).field("x-request-id", format!("req_{}", reply.suffix()));
    }
    let usage =
        json!({"input_tokens": reply.input, "output_tokens": reply.output, "total_tokens": reply.total()});
    let mut events: Vec<Vec<u8>> = audio
        .chunks(1024)
        .map(|piece| sse(&json!({"type": "speech.audio.delta", "audio": BASE64.encode(piece)})))
        .collect();
    events.push(sse(&json!({"type": "speech.audio.done", "usage": usage})));
    Draft::events(
        "text/event-stream; charset=utf-8",
        events,
        sse(&json!({"error": {"message": "mock fault"}})),
    )
    .counted(reply.input, reply.output)
}

fn sse(value: &Value) -> Vec<u8> {
    format!("data: {value}\n\n").into_bytes()
}

/// `POST /v1/audio/transcriptions`.
pub(super) fn transcription(ask: &Ask, reply: &Reply) -> Draft {
    let usage = json!({
        "type": "tokens",
        "total_tokens": reply.total(),
        "input_tokens": reply.input,
        "input_token_details": {"text_tokens": 0, "audio_tokens": reply.input},
        "output_tokens": reply.output,
    });
    if !ask.stream {
        return Draft::json(&json!({"text": reply.text(), "usage": usage}))
            .counted(reply.input, reply.output);
    }
    let mut events: Vec<Vec<u8>> = reply
        .pieces
        .iter()
        .map(|piece| sse(&json!({"type": "transcript.text.delta", "delta": piece})))
        .collect();
    events.push(sse(
        &json!({"type": "transcript.text.done", "text": reply.text(), "usage": usage}),
    ));
    events.push(b"data: [DONE]\n\n".to_vec());
    Draft::events(
        "text/event-stream; charset=utf-8",
        events,
        sse(&json!({"error": {"message": "mock fault"}})),
    )
    .counted(reply.input, reply.output)
}

/// `POST /v1/moderations`.
pub(super) fn moderations(ask: &Ask, reply: &Reply) -> Draft {
    let result = json!({
        "flagged": false,
        "categories": {"violence": false, "hate": false, "harassment": false, "self-harm": false, "sexual": false},
        "category_scores": {"violence": 0.0, "hate": 0.0, "harassment": 0.0, "self-harm": 0.0, "sexual": 0.0},
    });
    let results: Vec<Value> = (0..inputs(ask.body.get("input")))
        .map(|_| result.clone())
        .collect();
    Draft::json(&json!({"id": format!("modr-{}", reply.id), "model": reply.model, "results": results}))
}

/// `POST /v1/rerank`: documents in the order received.
pub(super) fn rerank(ask: &Ask, reply: &Reply) -> Draft {
    let results: Vec<Value> = (0..inputs(ask.body.get("documents")))
        .map(|index| json!({"index": index, "relevance_score": 1.0 / (index as f64 + 1.0)}))
        .collect();
    let usage = json!({"prompt_tokens": reply.input, "total_tokens": reply.input});
    Draft::json(&json!({
        "id": format!("rerank-{}", reply.id), "model": reply.model, "object": "list", "results": results, "usage": usage,
    }))
    .counted(reply.input, 0)
}

/// `GET …/models` and `GET …/models/M`, in the format that the request's headers or path call for.
pub(super) fn models(head: &Head, one: Option<String>, options: &MockOptions) -> Draft {
    let mut names: Vec<String> = ["mock-gpt", "mock-claude", "mock-gemini", "mock-embed"]
        .map(str::to_owned)
        .to_vec();
    names.extend(options.models.iter().cloned());
    let path = head.target();
    let google =
        head.field("x-goog-api-key").is_some() || path.starts_with("/v1beta/") || path.contains("key=");
    let anthropic = head.field("anthropic-version").is_some();
    let entry = |name: &String| {
        if google {
            json!({
                "name": format!("models/{name}"), "version": "1", "displayName": name,
                "description": "Answers without a model", "inputTokenLimit": 1_048_576, "outputTokenLimit": 65_536,
                "supportedGenerationMethods": ["generateContent", "countTokens", "embedContent"],
            })
        } else if anthropic {
            json!({"type": "model", "id": name, "display_name": name, "created_at": "2026-01-01T00:00:00Z"})
        } else {
            json!({"id": name, "object": "model", "created": 1_767_225_600, "owned_by": "sluice-mock"})
        }
    };
    if let Some(name) = one {
        return Draft::json(&entry(&name));
    }
    let entries: Vec<Value> = names.iter().map(entry).collect();
    Draft::json(&if google {
        json!({"models": entries})
    } else if anthropic {
        json!({"data": entries, "has_more": false, "first_id": names.first(), "last_id": names.last()})
    } else {
        json!({"object": "list", "data": entries})
    })
}
