//! Gemini, on AI Studio's and on Vertex's paths: JSON, SSE with CRLF (`alt=sse`), or a JSON array sent in pieces.

use serde_json::{Value, json};

use super::answer::Draft;
use super::ask::Ask;
use super::errors;
use super::openai_other::{inputs, vector};
use super::reply::Reply;
use super::route::{Family, Kind};

/// Dimensions of an embedding that asks for none.
const DIMENSIONS: u64 = 8;

/// Answers every Gemini method but the Anthropic ones.
pub(super) fn answer(ask: &Ask, reply: &Reply) -> Draft {
    match ask.kind {
        Kind::GeminiCount => Draft::json(&json!({
            "totalTokens": reply.input,
            "promptTokensDetails": [{"modality": "TEXT", "tokenCount": reply.input}],
        })),
        Kind::GeminiEmbed => {
            Draft::json(&json!({"embedding": {"values": values(ask, 0)}})).counted(reply.input, 0)
        }
        Kind::GeminiBatchEmbed => {
            let count = inputs(ask.body.get("requests"));
            let embeddings: Vec<Value> = (0..count).map(|at| json!({"values": values(ask, at)})).collect();
            Draft::json(&json!({"embeddings": embeddings})).counted(reply.input, 0)
        }
        Kind::VertexPredict => {
            let count = inputs(ask.body.get("instances"));
            let each = reply.input / (count.max(1) as u64);
            let predictions: Vec<Value> = (0..count)
                .map(|at| {
                    json!({"embeddings": {
                        "values": vector(at, DIMENSIONS),
                        "statistics": {"truncated": false, "token_count": each},
                    }})
                })
                .collect();
            Draft::json(
                &json!({"predictions": predictions, "metadata": {"billableCharacterCount": ask.raw.len()}}),
            )
            .counted(each * count as u64, 0)
        }
        Kind::GeminiStream if ask.query("alt") == Some("sse") => {
            let events = chunks(reply)
                .iter()
                .map(|chunk| format!("data: {chunk}\r\n\r\n").into_bytes())
                .collect();
            let error = errors::body(Family::Google, 503, "the mock was told to fail here", "");
            let error = format!("data: {error}\r\n\r\n").into_bytes();
            Draft::events("text/event-stream", events, error).counted(reply.input, reply.output)
        }
        Kind::GeminiStream => {
            let error = errors::body(Family::Google, 503, "the mock was told to fail here", "");
            Draft::events(
                "application/json; charset=UTF-8",
                array_pieces(&chunks(reply)),
                format!("\n,\r\n{error}\n]").into_bytes(),
            )
            .counted(reply.input, reply.output)
        }
        _ => Draft::json(&whole(reply)).counted(reply.input, reply.output),
    }
    .field("server-timing", "gfet4t7; dur=1")
}

/// `[{…}`, `\n,\r\n{…}`, …, the last one with `\n]`: one piece a chunk, as the service writes it.
fn array_pieces(chunks: &[Value]) -> Vec<Vec<u8>> {
    let last = chunks.len().saturating_sub(1);
    chunks
        .iter()
        .enumerate()
        .map(|(at, chunk)| {
            let before = if at == 0 { "[" } else { "\n,\r\n" };
            let after = if at == last { "\n]\n" } else { "" };
            format!("{before}{chunk}{after}").into_bytes()
        })
        .collect()
}

fn values(ask: &Ask, at: usize) -> Vec<f32> {
    let asked = ["outputDimensionality", "output_dimensionality"]
        .iter()
        .find_map(|name| {
            ask.body
                .get(name)
                .or_else(|| ask.body.pointer(&format!("/requests/{at}/{name}")))
                .and_then(Value::as_u64)
        });
    vector(at, asked.unwrap_or(DIMENSIONS))
}

fn usage(reply: &Reply, output: u64) -> Value {
    // Thinking stands beside the candidates' tokens, not inside them.
    let candidates = output.saturating_sub(reply.reasoning);
    let mut usage = json!({
        "promptTokenCount": reply.input,
        "candidatesTokenCount": candidates,
        "totalTokenCount": reply.input.saturating_add(output),
        "promptTokensDetails": [{"modality": "TEXT", "tokenCount": reply.input}],
    });
    if reply.reasoning > 0 {
        usage["thoughtsTokenCount"] = json!(output.min(reply.reasoning));
    }
    if reply.cached > 0 {
        usage["cachedContentTokenCount"] = json!(reply.cached);
    }
    usage
}

fn chunk(reply: &Reply, parts: Value, finish: Option<&str>, output: u64) -> Value {
    let mut candidate = json!({"content": {"parts": parts, "role": "model"}});
    if let Some(finish) = finish {
        candidate["finishReason"] = json!(finish);
    }
    candidate["index"] = json!(0);
    json!({
        "candidates": [candidate],
        "usageMetadata": usage(reply, output),
        "modelVersion": reply.model,
        "responseId": reply.id,
    })
}

fn parts(reply: &Reply) -> Value {
    match &reply.tool {
        Some(call) => json!([{"functionCall": {"name": call.name, "args": call.input}}]),
        None => json!([{"text": reply.text()}]),
    }
}

fn whole(reply: &Reply) -> Value {
    chunk(reply, parts(reply), Some("STOP"), reply.output)
}

/// One chunk a piece; the last one bears the finish reason and the final counts.
fn chunks(reply: &Reply) -> Vec<Value> {
    let last = reply.pieces.len().saturating_sub(1);
    if reply.tool.is_some() || reply.pieces.is_empty() {
        return vec![whole(reply)];
    }
    reply
        .pieces
        .iter()
        .enumerate()
        .map(|(at, piece)| {
            let (finish, output) = match at == last {
                true => (Some("STOP"), reply.output),
                false => (None, reply.output.min(at as u64 + 1)),
            };
            chunk(reply, json!([{"text": piece}]), finish, output)
        })
        .collect()
}
